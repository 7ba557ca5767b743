//! A comparison, for people and for programs. Prints what is there and decides nothing.

use serde_json::{Value, json};

use super::compare::{Change, Comparison, KINDS, Seen};
use super::rule_set::Side;
use crate::cli::say;

/// Changes of one kind that are shown to people.
const SHOWN_COUNT_MAX: usize = 10;
/// Examples of a change that are shown to people.
const EXAMPLE_COUNT_MAX: usize = 2;

pub(super) fn show(comparison: &Comparison, sides: &[Side; 2]) {
    let [before, after] = sides;
    let set = |side: &Side| format!("{} ({})", side.name, side.rules.revision());
    let received = comparison.received.as_ref();
    let span = received.map(|(oldest, newest)| format!(", {oldest} to {newest}")).unwrap_or_default();
    let noun = if comparison.is_of_file { "line" } else { "record" };
    say(&format!("{} -> {}", set(before), set(after)));
    say(&format!(
        "{} of {} alerts change, in {} {noun}s{span}",
        grouped(comparison.changed_count),
        grouped(comparison.alert_count),
        grouped(comparison.record_count)
    ));
    for kind in KINDS {
        show_kind(comparison, kind, noun);
    }
    let [incidents_before, incidents_after] = comparison.incident_counts();
    if incidents_before != incidents_after {
        say(&format!("\nthe alerts make {incidents_after} incidents instead of {incidents_before}"));
    }
    show_open(comparison);
    if let Some(first) = comparison.unreadable.first() {
        say(&format!("\n{noun}s that could not be read and are in no count: {}; {first}", comparison.unreadable.len()));
    }
}

fn show_kind(comparison: &Comparison, kind: &str, noun: &str) {
    let changes = comparison.sorted(kind);
    if changes.is_empty() {
        return;
    }
    let count = comparison.count_of(kind);
    say(&format!("\n{kind}: {} of {} alerts", grouped(count), grouped(comparison.alert_count)));
    for (change, seen) in changes.iter().take(SHOWN_COUNT_MAX) {
        let examples: Vec<String> = seen
            .examples
            .iter()
            .take(EXAMPLE_COUNT_MAX)
            .map(|(number, alert)| format!("{noun} {number} {alert}"))
            .collect();
        let by = seen.by.as_ref().map(|by| format!("  by {by}")).unwrap_or_default();
        say(&format!("  {:>7}  {}{by}  ({})", grouped(seen.count), in_words(change), examples.join(", ")));
    }
    if changes.len() > SHOWN_COUNT_MAX {
        say(&format!("  and {} more; --format json lists all", changes.len() - SHOWN_COUNT_MAX));
    }
}

fn show_open(comparison: &Comparison) {
    let Some((open_count, unseen_count)) = comparison.open_counts() else { return };
    let moving = comparison.moving();
    if !moving.is_empty() {
        say(&format!(
            "\n{} of {open_count} open incidents would get another key, and people would be told again:",
            moving.len()
        ));
        for (key, open) in moving.iter().take(SHOWN_COUNT_MAX) {
            let to: Vec<String> = open.moves_to.iter().map(ToString::to_string).collect();
            say(&format!("  {key} -> {}  {} ({} firing)", to.join(", "), open.title, open.firing_count));
        }
        if moving.len() > SHOWN_COUNT_MAX {
            say(&format!("  and {} more; --format json lists all", moving.len() - SHOWN_COUNT_MAX));
        }
    }
    if unseen_count > 0 {
        say(&format!("\n{unseen_count} of {open_count} open incidents have no alert among these records; see --limit"));
    }
}

fn in_words(change: &Change) -> String {
    let word = |value: &Option<std::sync::Arc<str>>| value.as_deref().unwrap_or("(none)").to_owned();
    format!("{} -> {}", word(&change.before), word(&change.after))
}

/// `10,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn in_json(comparison: &Comparison, sides: &[Side; 2]) -> Value {
    let set = |side: &Side| json!({ "rules": side.name, "revision": side.rules.revision() });
    let number = if comparison.is_of_file { "line" } else { "record" };
    let change = |(change, seen): (&Change, &Seen)| {
        let examples = seen.examples.iter().map(|(at, alert)| json!({ number: at, "alert": alert }));
        json!({
            "before": change.before, "after": change.after, "count": seen.count, "by": seen.by,
            "examples": examples.collect::<Vec<_>>(),
        })
    };
    let kinds: serde_json::Map<String, Value> = KINDS
        .into_iter()
        .map(|kind| (kind, comparison.sorted(kind)))
        .filter(|(_, changes)| !changes.is_empty())
        .map(|(kind, changes)| {
            let of_kind: Vec<Value> = changes.into_iter().map(change).collect();
            (kind.to_owned(), json!({ "count": comparison.count_of(kind), "changes": of_kind }))
        })
        .collect();
    let [before, after] = comparison.incident_counts();
    let open = comparison.open_counts().map(|(count, unseen)| {
        let moving = comparison.moving().into_iter().map(|(key, open)| {
            json!({ "incident": key, "title": open.title, "firing": open.firing_count, "moves_to": open.moves_to })
        });
        json!({ "count": count, "without_record": unseen, "moving": moving.collect::<Vec<_>>() })
    });
    json!({
        "before": set(&sides[0]),
        "after": set(&sides[1]),
        "records": comparison.record_count,
        "alerts": comparison.alert_count,
        "changed": comparison.changed_count,
        "received": comparison.received.as_ref().map(|(oldest, newest)| json!([oldest, newest])),
        "incidents": { "before": before, "after": after },
        "kinds": kinds,
        "open_incidents": open,
        "unreadable": comparison.unreadable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_kept_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (10_000, "10,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
