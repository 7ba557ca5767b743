//! What `explain` found, for people. Prints what is there and decides nothing.

use std::time::Duration;

use serde_json::Value;

use crate::cli::say;

/// Longest part of a request that is shown to people.
const SHOWN_CHARS_MAX: usize = 4000;
/// Near misses shown per alert.
const NEAR_MISSES_MAX: usize = 8;
/// Longest line of one; the condition of a rule for many senders fills a screen.
const NEAR_MISS_CHARS_MAX: usize = 200;
/// A longer value stands alone on its line, so that it moves nobody's columns.
const VALUE_CHARS_MAX: usize = 40;

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

pub(super) fn show(alert: &Value) {
    say(&format!("{}  {}  {}", text(&alert["state"]).to_uppercase(), text(&alert["severity"]), text(&alert["title"])));
    tags(alert);
    let parts: Vec<String> = alert["key_parts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|part| format!("{}={}", text(&part["name"]), text(&part["value"])))
        .collect();
    say(&format!("  {:<20} {}  ({})", "incident", text(&alert["incident"]), parts.join(", ")));
    let route = &alert["route"];
    let sinks: Vec<&str> = route["sinks"].as_array().into_iter().flatten().map(text).collect();
    let mut times = String::new();
    // An event is told at once and once.
    if alert["state"] != "info" {
        for (name, key) in [("hold", "hold_s"), ("update", "update_s"), ("remind", "remind_s")] {
            times.push_str(&format!(", {name} {}", span(route[key].as_f64().unwrap_or_default())));
        }
    }
    let sinks = if sinks.is_empty() { "nobody".to_owned() } else { sinks.join(", ") };
    say(&format!("  {:<20} {}  to {sinks}{times}", "route", text(&route["by"])));
    for also in route["also"].as_array().into_iter().flatten() {
        say(&format!("  {:<20} {}", "route, also", text(also)));
    }
    if let Some(quiet) = alert["quiet"].as_object() {
        let (how, by) = (text(&quiet["how"]), text(&quiet["by"]));
        let until = quiet["until"].as_i64().map(|ms| crate::model::Timestamp::from_ms(ms).to_string());
        say(&format!("  {:<20} held back by {how} {by} until {}", "quiet", until.unwrap_or_default()));
    }
    say(&format!("  {:<20} {}", "outcome", text(&alert["outcome"])));
    reasons(alert);
    further(alert);
    near_misses(alert);
    for request in alert["requests"].as_array().into_iter().flatten() {
        say(&show_request(request));
    }
}

/// One Resource of telemetry.
pub(super) fn resource(resource: &Value) {
    say(&format!("RESOURCE  {} items", resource["item_count"]));
    tags(resource);
    let sinks: Vec<&str> = resource["to"].as_array().into_iter().flatten().map(text).collect();
    let sinks = if sinks.is_empty() { "no sink: `spans.to` names none".to_owned() } else { sinks.join(", ") };
    say(&format!("  {:<20} {sinks}", "goes to"));
    for (name, value) in resource["added"].as_object().into_iter().flatten() {
        say(&format!("  {:<20} {name}={}", "attribute", text(value)));
    }
    for identity in resource["disputed"].as_array().into_iter().flatten() {
        say(&format!("  {:<20} {}: another identity contradicts it", "disputed", text(identity)));
    }
    reasons(resource);
    near_misses(resource);
    say("");
}

fn tags(explained: &Value) {
    let tags = || explained["tags"].as_object().into_iter().flatten();
    let widths = tags().map(|(_, tag)| text(&tag["value"]).chars().count());
    let width = widths.filter(|width| *width <= VALUE_CHARS_MAX).max().unwrap_or(0).max(24);
    for (name, tag) in tags() {
        let seen = tag["seen"].as_str().map(|seen| format!("  <- {seen}")).unwrap_or_default();
        let mut value = text(&tag["value"]);
        let mut name = name.as_str();
        if value.chars().count() > VALUE_CHARS_MAX {
            say(&format!("  {name:<20} {value}"));
            (name, value) = ("", "");
        }
        say(&format!("  {name:<20} {value:<width$} {}{seen}", text(&tag["by"])));
    }
}

/// As rules write it: `0s`, `90s`, `3h`.
fn span(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match (span.as_secs(), span.subsec_millis()) {
        (_, ms) if ms > 0 => format!("{}ms", span.as_millis()),
        (seconds, _) if seconds > 0 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (seconds, _) if seconds > 0 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        (seconds, _) => format!("{seconds}s"),
    }
}

/// How the service was read, what was tried, and who voted.
fn reasons(alert: &Value) {
    if let Some(read) = alert["service_read"].as_object() {
        let (raw, how) = (text(&read["raw"]), text(&read["how"]));
        let known = if how == "unregistered" { "not registered".to_owned() } else { format!("known by its {how}") };
        say(&format!("  {:<20} `{raw}` read by {}, {known}", "service name", text(&read["read_by"])));
    }
    for by in alert["shadow"].as_array().into_iter().flatten() {
        say(&format!("  {:<20} {} would have held", "shadow", text(by)));
    }
    for vote in alert["votes"].as_array().into_iter().flatten() {
        let seen = vote["seen"].as_str().map(|seen| format!("  <- {seen}")).unwrap_or_default();
        let why = vote["why"].as_str().filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
        let says = format!("{} {}", text(&vote["platform"]), text(&vote["confidence"]));
        say(&format!("  {:<20} {says:<24} {}{seen}  {}{why}", "vote", text(&vote["rule"]), text(&vote["outcome"])));
    }
}

fn near_misses(alert: &Value) {
    let (near, far): (Vec<&Value>, Vec<&Value>) =
        alert["near_misses"].as_array().into_iter().flatten().partition(|miss| is_near(miss));
    for miss in near.iter().take(NEAR_MISSES_MAX) {
        let seen = miss["seen"].as_str().map_or("nothing".to_owned(), |seen| format!("`{seen}`"));
        let would: Vec<&str> = miss["would_set"].as_array().into_iter().flatten().map(text).collect();
        let (rule, condition) = (text(&miss["rule"]), text(&miss["condition"]));
        let behind = format!(" (saw {seen}; would set {})", would.join(", "));
        let before = format!("  {:<20} {rule}: ", "near miss");
        let room = NEAR_MISS_CHARS_MAX.saturating_sub(before.chars().count() + behind.chars().count());
        say(&format!("{before}{}{behind}", clipped(condition, room)));
    }
    let more = near.len().saturating_sub(NEAR_MISSES_MAX) + far.len();
    if more > 0 {
        say(&format!(
            "  {:<20} and {more} more; --format json lists all",
            if near.is_empty() { "near miss" } else { "" }
        ));
    }
}

/// A rule that asks for one thing of many and found none, or for what only telemetry has, is for another kind of sender.
fn is_near(miss: &Value) -> bool {
    let condition = text(&miss["condition"]);
    !miss["seen"].is_null() || !["any:", "resource.", "span.", "log."].iter().any(|start| condition.starts_with(start))
}

fn clipped(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

fn show_request(request: &Value) -> String {
    let sink = text(&request["sink"]);
    if let Some(print) = request["print"].as_str() {
        return format!("\n  -> {sink}\n{print}");
    }
    if request["nothing"].as_bool() == Some(true) {
        return format!("\n  -> {sink}: nothing for this kind of notice");
    }
    if let Some(error) = request["error"].as_str() {
        return format!("\n  -> {sink}: {error}");
    }
    let mut shown = format!("\n  -> {sink}: POST {}\n", text(&request["url"]));
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        shown.push_str(&format!("     {name}: {}\n", text(value)));
    }
    shown.push_str("     ");
    shown.extend(text(&request["body"]).chars().take(SHOWN_CHARS_MAX));
    shown.push('\n');
    shown
}

/// Whatever else the rules explain, one line each: votes of signals, what lost, what was left out.
fn further(alert: &Value) {
    for (name, value) in alert["further"].as_object().into_iter().flatten() {
        let name = name.replace('_', " ");
        match value.as_array() {
            Some(items) => items.iter().for_each(|item| say(&format!("  {name:<20} {}", flat(item)))),
            None => say(&format!("  {name:<20} {}", flat(value))),
        }
    }
}

/// `platform ecs, tier conclusive, by platform.yaml:30 ecs-task-arn`.
fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(flat).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let held = members.iter().filter(|(_, value)| !value.is_null());
            held.map(|(name, value)| format!("{} {}", name.replace('_', " "), flat(value)))
                .collect::<Vec<_>>()
                .join(", ")
        }
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_rules_write_them() {
        for (seconds, written) in [
            (0.0, "0s"),
            (0.25, "250ms"),
            (59.0, "59s"),
            (60.0, "1m"),
            (5400.0, "90m"),
            (10_800.0, "3h"),
            (3601.0, "3601s"),
        ] {
            assert_eq!(span(seconds), written);
        }
    }
}
