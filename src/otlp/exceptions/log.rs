//! Log records with `exception.*` attributes, the newer form of the semantic conventions. A record without them is no
//! exception, however loud it is.

use super::attributes::{Attributes, clip, fields, id, messages, text_of};
use super::identity::{self, Elsewhere, Place};
use super::stack::{self, Told};
use super::{Block, Found, items, resource, time_us};
use crate::model::ErrorEvent;
use crate::model::exception::{Language, Level, Origin, TraceRef};
use crate::otlp::wire::{Field, Value};

/// `SEVERITY_NUMBER_FATAL` and above.
const FATAL: u64 = 21;
const VALUE_BYTES_MAX: usize = 1024;
const ATTRIBUTES_BYTES_MAX: usize = 8 * 1024;

#[derive(Default)]
struct Record<'a> {
    time_ns: u64,
    observed_ns: u64,
    severity: u64,
    severity_text: &'a [u8],
    body: Option<&'a [u8]>,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    attributes: Attributes<'a>,
}

pub(super) fn find(block: &[u8], shared: &Block, found: &mut Found) {
    let language = resource::language(block);
    for item in items(block) {
        if is_exception(item) {
            let record = read(item);
            found.push(|| event(&record, language, shared));
        }
    }
}

/// Whether any of its attributes is one of an exception.
pub(super) fn is_exception(item: &[u8]) -> bool {
    const KEYS: [&[u8]; 3] = [b"exception.type", b"exception.message", b"exception.stacktrace"];
    let is_key = |field: Field<'_>| field.number == 1 && field.value.bytes().is_some_and(|key| KEYS.contains(&key));
    messages(item, 6).any(|pair| fields(pair).any(is_key))
}

fn read(item: &[u8]) -> Record<'_> {
    let mut record = Record::default();
    for field in fields(item) {
        match (field.number, field.value) {
            (1, Value::Fixed64(time)) => record.time_ns = time,
            (11, Value::Fixed64(time)) => record.observed_ns = time,
            (2, Value::Varint(number)) => record.severity = number,
            (3, Value::Bytes(text)) => record.severity_text = text,
            (5, Value::Bytes(body)) => record.body = Some(body),
            (6, Value::Bytes(pair)) => record.attributes.take(pair),
            (9, Value::Bytes(id)) => record.trace_id = id,
            (10, Value::Bytes(id)) => record.span_id = id,
            _ => {}
        }
    }
    record
}

fn event(record: &Record<'_>, language: Option<Language>, shared: &Block) -> ErrorEvent {
    let attributes = &record.attributes;
    let body = record.body.map(|body| text_of(body, 0)).unwrap_or_default();
    let told = Told {
        kind: attributes.get("exception.type"),
        message: attributes.get("exception.message"),
        stack: attributes.get("exception.stacktrace"),
        otherwise: Some(body.as_ref()).filter(|body| !body.trim().is_empty()),
    };
    let thrown = stack::read(&told, language);
    let time_ns = if record.time_ns == 0 { record.observed_ns } else { record.time_ns };
    let trace = trace(record);
    let elsewhere = || Elsewhere {
        service: shared.resource.service.as_deref().unwrap_or_default(),
        host: shared.resource.server_name.as_deref().unwrap_or_default(),
        time_ns,
    };
    let place = match &trace {
        Some(TraceRef { trace_id, span_id, .. }) => Place::Span {
            trace_id: *trace_id,
            span_id: *span_id,
            // A trace without the span is a whole request, which may throw the same twice.
            outside: span_id.is_none().then(elsewhere),
        },
        None => Place::Nowhere(elsewhere()),
    };
    let is_fatal = record.severity >= FATAL;
    let escaped = attributes.is_true("exception.escaped");
    let mut kept = attributes.kept(VALUE_BYTES_MAX, ATTRIBUTES_BYTES_MAX);
    let severity = String::from_utf8_lossy(record.severity_text);
    for (key, value) in [("log.body", body.as_ref()), ("log.severity", severity.as_ref())] {
        if !value.trim().is_empty() {
            kept.push((key.to_owned(), clip(value, VALUE_BYTES_MAX).to_owned()));
        }
    }
    ErrorEvent {
        id: identity::of(&place, &thrown.exceptions[0], thrown.stack_text.as_deref()),
        origin: Origin::LogRecord,
        level: if is_fatal { Level::Fatal } else { Level::Error },
        handled: !(is_fatal || escaped),
        language: thrown.language,
        at_us: time_us(time_ns, shared.now),
        exceptions: thrown.exceptions,
        stack_text: thrown.stack_text,
        trace,
        transaction: None,
        attributes: kept,
        breadcrumbs: Vec::new(),
        resource: shared.resource.clone(),
    }
}

fn trace(record: &Record<'_>) -> Option<TraceRef> {
    let trace_id = id(record.trace_id)?;
    Some(TraceRef { trace_id, span_id: id(record.span_id), parent_span_id: None, op: None, status: None })
}
