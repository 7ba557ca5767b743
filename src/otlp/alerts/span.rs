//! A span as the rules for alerts see it: its status and kind first, the rest only where a rule may hold. Never reads
//! its events or links.

use std::borrow::Cow;

use super::{DESCRIPTION_BYTES_MAX, Record, TEXT_BYTES_MAX, bounded, first_line, words};
use crate::otlp::exceptions::attributes::{clip, fields, messages};
use crate::otlp::wire::Value;
use crate::rules::{AlertRules, Glance, SpanKind, SpanStatus};

const NS_PER_MS: u64 = 1_000_000;

#[derive(Default)]
struct Head<'a> {
    name: &'a [u8],
    kind: u64,
    status: u64,
    status_message: &'a [u8],
    start_ns: u64,
    end_ns: u64,
    trace_id: &'a [u8],
    span_id: &'a [u8],
}

/// `None` where no rule may hold.
pub(super) fn read<'a>(item: &'a [u8], scope: &'a [u8], rules: AlertRules<'_>) -> Option<Record<'a>> {
    let head = head(item);
    let (status, kind) = (SpanStatus::of_number(head.status), SpanKind::of_number(head.kind));
    if !rules.may_hold(Glance::Span { status, kind }) {
        return None;
    }
    let name = bounded(String::from_utf8_lossy(head.name), TEXT_BYTES_MAX);
    let message = bounded(String::from_utf8_lossy(head.status_message), TEXT_BYTES_MAX);
    let title = match first_line(&message) {
        "" => first_line(&name).to_owned(),
        line => format!("{}: {line}", first_line(&name)),
    };
    let description = Cow::Owned(clip(&message, DESCRIPTION_BYTES_MAX).to_owned());
    // Clocks that were set, and spans without times, have no duration.
    let span_ns = head.end_ns.checked_sub(head.start_ns).filter(|_| head.start_ns != 0);
    let duration = span_ns.map_or_else(String::new, |span_ns| (span_ns / NS_PER_MS).to_string());
    let own: [(&'static str, Cow<'a, str>); 5] = [
        ("name", name),
        ("kind", Cow::Borrowed(kind.as_str())),
        ("status", Cow::Borrowed(status.as_str())),
        ("status_message", message),
        ("duration_ms", Cow::Owned(duration)),
    ];
    Some(Record {
        words: words(messages(item, 9), own, scope, rules),
        title: Cow::Owned(title),
        description,
        trace_id: head.trace_id,
        span_id: head.span_id,
    })
}

/// Of a field that stands twice the last counts; a status in parts is one status.
fn head(item: &[u8]) -> Head<'_> {
    let mut head = Head::default();
    for field in fields(item) {
        match (field.number, field.value) {
            (1, Value::Bytes(id)) => head.trace_id = id,
            (2, Value::Bytes(id)) => head.span_id = id,
            (5, Value::Bytes(name)) => head.name = name,
            (6, Value::Varint(kind)) => head.kind = kind,
            (7, Value::Fixed64(time)) => head.start_ns = time,
            (8, Value::Fixed64(time)) => head.end_ns = time,
            (15, Value::Bytes(status)) => {
                for field in fields(status) {
                    match (field.number, field.value) {
                        (2, Value::Bytes(message)) => head.status_message = message,
                        (3, Value::Varint(code)) => head.status = code,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    head
}
