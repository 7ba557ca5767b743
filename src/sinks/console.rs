//! Notices as a few lines for people: what happened, whose it is, and which rule said so. Never writes
//! colours or control characters: the lines go to files and log collectors too.

use std::fmt::Write;
use std::time::Duration;

use super::{
    EncodeError, HttpAnswer, Judgement, Limits, Outgoing, Secrets, Sink, SinkKind, SinkSettings, options, words,
};
use crate::model::{Incident, Notice, NoticeKind, Reason, Tag, TagName, Timestamp};

pub(super) struct Kind;

impl SinkKind for Kind {
    fn kind(&self) -> &'static str {
        "console"
    }

    fn about(&self) -> &'static str {
        "Prints each notice to standard output, with its tags and the rule that gave each."
    }

    fn build(&self, settings: SinkSettings) -> Result<Box<dyn Sink>, String> {
        options::check_keys(&settings, &[], &[])?;
        options::check_secrets(&settings, &[], &[])?;
        if settings.endpoint.is_some() {
            return Err("unknown option `endpoint`: this kind prints to standard output".to_owned());
        }
        Ok(Box::new(Console))
    }
}

struct Console;

impl Sink for Console {
    fn kind(&self) -> &'static str {
        Kind.kind()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_count_max: 64,
            // One writer: blocks of lines must not mix.
            in_flight_max: 1,
            rate: None,
            deadline: Duration::from_secs(60),
            timeout: Duration::from_secs(5),
        }
    }

    fn encode(&self, notices: &[&Notice], _secrets: &dyn Secrets, _now: Timestamp) -> Result<Outgoing, EncodeError> {
        let mut text = String::with_capacity(notices.len() * 768);
        for notice in notices {
            write_notice(&mut text, notice);
        }
        Ok(Outgoing::Print(text))
    }

    fn judge(&self, _answer: &HttpAnswer<'_>, notice_count: usize) -> Vec<Judgement> {
        vec![Judgement::Delivered; notice_count]
    }
}

/// What stands in the three columns behind a row's name.
struct Row {
    name: &'static str,
    value: String,
    /// `file:line rule-id`.
    by: String,
    seen: String,
}

/// A longer value stands alone on its line, whole, and moves nobody's columns.
const COLUMN_CHARS_MAX: usize = 34;

const INCIDENT: &str = "incident";

fn write_notice(text: &mut String, notice: &Notice) {
    let title = words::title(notice, 512);
    let title = words::one_line(&title);
    writeln!(text, "{:<8}  {:<8}  {title}", headline(notice), notice.incident.severity.as_str())
        .expect("writing to a String cannot fail");
    let rows = rows(notice);
    let width = |column: fn(&Row) -> &str| {
        rows.iter().map(|row| column(row).chars().count()).filter(|width| *width <= COLUMN_CHARS_MAX).max().unwrap_or(0)
    };
    let (value_width, by_width) = (width(|row| &row.value), width(|row| &row.by));
    let mut push = |name: &str, value: &str, by: &str, seen: &str| {
        let line = format!("  {name:<8}  {value:<value_width$}  {by:<by_width$}  {seen}");
        text.push_str(words::one_line(line.trim_end()).as_ref());
        text.push('\n');
    };
    for Row { name, value, by, seen } in &rows {
        // Behind the last row nothing stands that could be moved.
        if value.chars().count() > COLUMN_CHARS_MAX && *name != INCIDENT {
            push(name, value, "", "");
            push("", "", by, seen);
        } else {
            push(name, value, by, seen);
        }
    }
    text.push('\n');
}

fn headline(notice: &Notice) -> &'static str {
    match (notice.kind, notice.reason) {
        (NoticeKind::Opened, _) => "OPENED",
        (NoticeKind::Changed, Reason::Acknowledged) => "ACKED",
        (NoticeKind::Changed, _) => "CHANGED",
        (NoticeKind::Reminder, _) => "REMINDER",
        (NoticeKind::Resolved, Reason::Stale) => "STALE",
        (NoticeKind::Resolved, _) => "RESOLVED",
        (NoticeKind::Event, _) => "EVENT",
    }
}

fn rows(notice: &Notice) -> Vec<Row> {
    let incident = &*notice.incident;
    let mut rows: Vec<Row> = incident.tags.iter().filter_map(|(name, tag)| tag_row(incident, name, tag)).collect();
    if rows.is_empty() {
        let value = "none: no rule knows this alert".to_owned();
        rows.push(Row { name: "tags", value, by: String::new(), seen: String::new() });
    }
    if !incident.legs.is_empty() && notice.kind != NoticeKind::Event {
        rows.push(Row { name: "legs", value: words::legs(incident), by: String::new(), seen: String::new() });
    }
    rows.push(Row {
        name: "sinks",
        value: match incident.route.sinks.as_slice() {
            [] => "nobody".to_owned(),
            sinks => sinks.join(", "),
        },
        by: incident.route.by.to_string(),
        seen: String::new(),
    });
    rows.push(Row { name: INCIDENT, value: why(notice), by: incident.key.to_string(), seen: String::new() });
    rows
}

/// The parts of the platform stand behind it in one row when the same rule gave them.
fn tag_row(incident: &Incident, name: TagName, tag: &Tag) -> Option<Row> {
    let platform = incident.tags.get(TagName::Platform);
    let is_said_with_platform = platform.is_some_and(|platform| platform.by == tag.by);
    let (shown, value) = match name {
        TagName::PlatformVariant | TagName::PlatformCluster if is_said_with_platform => return None,
        // How sure the platform is: nothing to say without one.
        TagName::PlatformConfidence => return None,
        TagName::PlatformConflict => ("contradicted", tag.value.to_string()),
        TagName::PlatformVariant => ("variant", tag.value.to_string()),
        TagName::PlatformCluster => ("cluster", tag.value.to_string()),
        TagName::Platform => ("platform", platform_value(incident, tag)),
        // The column holds nine letters.
        TagName::Criticality => ("impact", tag.value.to_string()),
        TagName::Service
        | TagName::Class
        | TagName::Environment
        | TagName::Cell
        | TagName::Owner
        | TagName::Severity
        | TagName::Runbook => (name.as_str(), tag.value.to_string()),
    };
    let seen = tag.seen.as_deref().unwrap_or_default();
    // A rule may take a value from a label, and a label may be of any length.
    let value = words::clip(&value, 120).into_owned();
    Some(Row { name: shown, value, by: tag.by.to_string(), seen: words::clip(seen, 80).into_owned() })
}

/// `eks fargate prod-c2-use1 (strong)`.
fn platform_value(incident: &Incident, platform: &Tag) -> String {
    let mut value = platform.value.to_string();
    for name in [TagName::PlatformVariant, TagName::PlatformCluster] {
        if let Some(tag) = incident.tags.get(name).filter(|tag| tag.by == platform.by) {
            value.push(' ');
            value.push_str(&tag.value);
        }
    }
    if let Some(confidence) = incident.tags.value(TagName::PlatformConfidence) {
        write!(value, " ({confidence})").expect("writing to a String cannot fail");
    }
    value
}

/// `new leg, since 2026-11-23T00:40:12Z`, and for a resolve how long it lasted.
fn why(notice: &Notice) -> String {
    let reason = notice.reason.as_str().replace('_', " ");
    let began_at = words::began_at(&notice.incident);
    let moment = Timestamp::from_ms(began_at.as_seconds().saturating_mul(1000)).to_string().replace(".000Z", "Z");
    match notice.kind {
        NoticeKind::Event => format!("{reason}, at {moment}"),
        NoticeKind::Opened | NoticeKind::Changed | NoticeKind::Reminder => format!("{reason}, since {moment}"),
        NoticeKind::Resolved => format!("{reason}, after {}", length(notice.at.since(began_at))),
    }
}

/// The two biggest units: `45 s`, `12 min 28 s`, `3 h 5 min`, `2 d 4 h`.
fn length(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testkit::{Held, build, check_life, life, notice, now, owl, settings, tag};
    use super::*;

    #[test]
    fn the_life_of_an_incident_is_printed_as_in_the_golden_files() {
        check_life("console", build("console", json!({}), &[]).unwrap().as_ref(), &Held(&[]));
    }

    #[test]
    fn a_block_fits_a_glance() {
        for (name, notice) in life() {
            let mut text = String::new();
            write_notice(&mut text, &notice);
            assert!(text.trim_end().lines().count() <= 13, "{name}:\n{text}");
            assert!(text.lines().all(|line| line.trim_end() == line && line.chars().count() <= 140), "{text}");
        }
    }

    #[test]
    fn what_a_stranger_wrote_cannot_colour_or_move_the_terminal() {
        let mut incident = owl();
        std::sync::Arc::make_mut(&mut incident.lead).title = "bad\u{1b}[31m\r\nOPENED  info  fake".to_owned();
        std::sync::Arc::make_mut(&mut incident.tags).replace(TagName::Owner, tag("x\u{9b}2J\n", "services.yaml:1 x"));
        let mut text = String::new();
        write_notice(&mut text, &notice(incident, NoticeKind::Opened, Reason::FirstAlert));
        assert!(text.lines().all(|line| !line.chars().any(char::is_control)), "{text:?}");
        assert_eq!(text.matches("\nOPENED").count(), 0);
    }

    #[test]
    fn parts_of_the_platform_that_another_rule_gave_have_a_row_of_their_own() {
        let mut incident = owl();
        std::sync::Arc::make_mut(&mut incident.tags).replace(TagName::PlatformCluster, tag("other", "cells.yaml:9 x"));
        let mut text = String::new();
        write_notice(&mut text, &notice(incident, NoticeKind::Opened, Reason::FirstAlert));
        assert!(text.contains("\n  cluster   other"), "{text}");
        assert!(text.contains("\n  platform  eks (strong) "), "{text}");
    }

    #[test]
    fn several_notices_are_printed_in_order() {
        let life = life();
        let notices: Vec<&Notice> = life.iter().map(|(_, notice)| notice).collect();
        let Ok(Outgoing::Print(text)) = Console.encode(&notices, &Held(&[]), now()) else { panic!("no lines") };
        assert!(text.find("OPENED") < text.find("RESOLVED"));
    }

    #[test]
    fn lengths_are_short() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (748, "12 min 28 s"), (11_100, "3 h 5 min"), (187_200, "2 d 4 h")]
        {
            assert_eq!(length(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn settings_are_checked() {
        assert_eq!(
            build("console", json!({"color": true}), &[]).err().unwrap(),
            "unknown option `color` (this kind has none)"
        );
        let elsewhere = SinkSettings { endpoint: Some("https://x".to_owned()), ..settings(json!({}), &[]) };
        assert!(Kind.build(elsewhere).err().unwrap().contains("`endpoint`"));
    }
}
