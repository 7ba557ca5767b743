//! A log record as the rules for alerts see it: its severity first, the rest only where a rule may hold. Never fails:
//! what is malformed ends the reading of its record.

use std::borrow::Cow;

use super::{DESCRIPTION_BYTES_MAX, Record, TEXT_BYTES_MAX, bounded, first_line, words};
use crate::otlp::exceptions::attributes::{clip, fields, messages, text_of};
use crate::otlp::wire::Value;
use crate::rules::{AlertRules, Glance, LogSeverity};

#[derive(Default)]
struct Head<'a> {
    severity_number: u64,
    severity_text: &'a [u8],
    body: Option<&'a [u8]>,
    event: &'a [u8],
    trace_id: &'a [u8],
    span_id: &'a [u8],
}

/// `None` where no rule may hold.
pub(super) fn read<'a>(item: &'a [u8], scope: &'a [u8], rules: AlertRules<'_>) -> Option<Record<'a>> {
    let head = head(item);
    let severity_text = bounded(String::from_utf8_lossy(head.severity_text), TEXT_BYTES_MAX);
    let severity = LogSeverity::of_number(head.severity_number).or_else(|| LogSeverity::of_text(&severity_text));
    if !rules.may_hold(Glance::Log(severity)) {
        return None;
    }
    let body = bounded(head.body.map(|body| text_of(body, 0)).unwrap_or_default(), TEXT_BYTES_MAX);
    let number = if head.severity_number == 0 { String::new() } else { head.severity_number.to_string() };
    let own: [(&'static str, Cow<'a, str>); 5] = [
        ("severity", Cow::Borrowed(severity.map_or("", LogSeverity::as_str))),
        ("severity_number", Cow::Owned(number)),
        ("severity_text", severity_text),
        ("body", body.clone()),
        ("event", bounded(String::from_utf8_lossy(head.event), TEXT_BYTES_MAX)),
    ];
    Some(Record {
        words: words(messages(item, 6), own, scope, rules),
        title: Cow::Owned(first_line(&body).to_owned()),
        description: Cow::Owned(clip(&body, DESCRIPTION_BYTES_MAX).to_owned()),
        trace_id: head.trace_id,
        span_id: head.span_id,
    })
}

/// Of a field that stands twice the last counts.
fn head(item: &[u8]) -> Head<'_> {
    let mut head = Head::default();
    for field in fields(item) {
        match (field.number, field.value) {
            (2, Value::Varint(number)) => head.severity_number = number,
            (3, Value::Bytes(text)) => head.severity_text = text,
            (5, Value::Bytes(body)) => head.body = Some(body),
            (9, Value::Bytes(id)) => head.trace_id = id,
            (10, Value::Bytes(id)) => head.span_id = id,
            (12, Value::Bytes(name)) => head.event = name,
            _ => {}
        }
    }
    head
}
