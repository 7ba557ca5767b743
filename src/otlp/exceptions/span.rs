//! Exceptions among the events of spans, with what the span knows: its request, its status, what it noted before. The
//! batch needs no root span for it, and a span without an error may have dealt with an exception too.

use std::collections::HashMap;

use super::attributes::{Attributes, clip, fields, id, messages};
use super::identity::{self, Place};
use super::stack::{self, Told};
use super::words;
use super::{Block, Found, items, resource, time_us};
use crate::model::ErrorEvent;
use crate::model::exception::{Breadcrumb, ErrorId, Language, Level, Origin, TraceRef};
use crate::otlp::wire::Value;

const NAME_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 1024;
const ATTRIBUTES_BYTES_MAX: usize = 8 * 1024;
/// Spans of a block that are looked at for the request an inner span belongs to.
const FAMILY_COUNT_MAX: usize = 8192;
/// Ancestors that are followed; a trace is seldom deeper inside one service.
const ANCESTOR_COUNT_MAX: usize = 64;
const BREADCRUMB_COUNT_MAX: usize = 100;
/// Events of a span that are read for each of its exceptions.
const NOTE_COUNT_MAX: usize = 2000;
const BREADCRUMB_VALUE_BYTES_MAX: usize = 256;
const BREADCRUMB_BYTES_MAX: usize = 512;
/// Between the handler that records an exception and the span it leaves, which records it again: Python's does.
const RECORDED_AGAIN_NS: u64 = 100_000_000;

#[derive(Default)]
pub(super) struct Span<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent: &'a [u8],
    name: &'a [u8],
    pub(super) kind: u64,
    /// 2 is an error.
    pub(super) status: u64,
    status_message: &'a [u8],
    pub(super) attributes: Attributes<'a>,
}

struct Note<'a> {
    time_ns: u64,
    name: &'a [u8],
}

/// Parent and, for entries, the name, by trace and span.
type Family<'a> = HashMap<(&'a [u8], &'a [u8]), (&'a [u8], Option<String>)>;

pub(super) fn find(block: &[u8], shared: &Block, found: &mut Found) {
    let language = resource::language(block);
    let mut family = None;
    for item in items(block) {
        if !has_exception(item) {
            continue;
        }
        let span = read(item);
        let family = family.get_or_insert_with(|| family_of(block));
        let mut alike: HashMap<ErrorId, Alike> = HashMap::new();
        for event in messages(item, 11) {
            let note = note(event);
            if note.name == b"exception" {
                found.push(|| {
                    let made = make(&span, item, event, note.time_ns, (language, family), shared);
                    let id = alike.entry(made.id).or_default().next(made.id, note.time_ns);
                    ErrorEvent { id, ..made }
                });
            }
        }
    }
}

/// Exceptions of one span that are the same but for their times.
#[derive(Default)]
struct Alike {
    count: u32,
    last_ns: u64,
}

impl Alike {
    fn next(&mut self, first: ErrorId, time_ns: u64) -> ErrorId {
        // Two recorders never read the same nanosecond; whoever writes the same time twice writes no times.
        let gap_ns = time_ns.abs_diff(self.last_ns);
        if self.count == 0 || gap_ns == 0 || gap_ns > RECORDED_AGAIN_NS {
            self.count += 1;
        }
        self.last_ns = time_ns;
        identity::further(first, self.count - 1)
    }
}

fn has_exception(item: &[u8]) -> bool {
    messages(item, 11).any(|event| note(event).name == b"exception")
}

pub(super) fn count(item: &[u8]) -> u64 {
    messages(item, 11).filter(|event| note(event).name == b"exception").count() as u64
}

fn note(event: &[u8]) -> Note<'_> {
    let mut note = Note { time_ns: 0, name: b"" };
    for field in fields(event) {
        match (field.number, field.value) {
            (1, Value::Fixed64(time)) => note.time_ns = time,
            (2, Value::Bytes(name)) => note.name = name,
            _ => {}
        }
    }
    note
}

fn read(item: &[u8]) -> Span<'_> {
    let mut span = Span::default();
    for field in fields(item) {
        match (field.number, field.value) {
            (1, Value::Bytes(id)) => span.trace_id = id,
            (2, Value::Bytes(id)) => span.span_id = id,
            (4, Value::Bytes(id)) => span.parent = id,
            (5, Value::Bytes(name)) => span.name = name,
            (6, Value::Varint(kind)) => span.kind = kind,
            (9, Value::Bytes(pair)) => span.attributes.take(pair),
            // A status in parts is one status.
            (15, Value::Bytes(status)) => {
                for field in fields(status) {
                    match (field.number, field.value) {
                        (2, Value::Bytes(message)) => span.status_message = message,
                        (3, Value::Varint(code)) => span.status = code,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    span
}

fn make(
    span: &Span<'_>,
    item: &[u8],
    event: &[u8],
    time_ns: u64,
    (language, family): (Option<Language>, &Family<'_>),
    shared: &Block,
) -> ErrorEvent {
    let attributes = Attributes::of(event, 3);
    let status_message = String::from_utf8_lossy(span.status_message);
    let told = Told {
        kind: attributes.get("exception.type"),
        message: attributes.get("exception.message"),
        stack: attributes.get("exception.stacktrace"),
        otherwise: Some(status_message.as_ref()).filter(|message| !message.trim().is_empty()),
    };
    let thrown = stack::read(&told, language);
    let trace_id = id(span.trace_id);
    let place = match trace_id {
        Some(trace_id) => Place::Span { trace_id, span_id: id(span.span_id), outside: None },
        None => Place::Nowhere(identity::Elsewhere {
            service: shared.resource.service.as_deref().unwrap_or_default(),
            host: shared.resource.server_name.as_deref().unwrap_or_default(),
            time_ns,
        }),
    };
    let escaped = attributes.is_true("exception.escaped");
    ErrorEvent {
        id: identity::of(&place, &thrown.exceptions[0], thrown.stack_text.as_deref()),
        origin: Origin::SpanEvent,
        level: Level::Error,
        handled: !(span.status == words::STATUS_ERROR || escaped),
        language: thrown.language,
        at_us: time_us(time_ns, shared.now),
        exceptions: thrown.exceptions,
        stack_text: thrown.stack_text,
        trace: trace_id.map(|trace_id| TraceRef {
            trace_id,
            span_id: id(span.span_id),
            parent_span_id: id(span.parent),
            op: Some(words::op(span)),
            status: Some(words::status(span)),
        }),
        transaction: transaction(span, family),
        attributes: span.attributes.kept(VALUE_BYTES_MAX, ATTRIBUTES_BYTES_MAX),
        breadcrumbs: breadcrumbs(item, time_ns, shared),
        resource: shared.resource.clone(),
    }
}

/// The spans of a block, so that the request around an inner span can be named.
fn family_of(block: &[u8]) -> Family<'_> {
    let mut family = Family::new();
    for item in items(block).take(FAMILY_COUNT_MAX) {
        let (mut trace_id, mut span_id, mut parent, mut kind): (&[u8], &[u8], &[u8], u64) = (b"", b"", b"", 0);
        for field in fields(item) {
            match (field.number, field.value) {
                (1, Value::Bytes(id)) => trace_id = id,
                (2, Value::Bytes(id)) => span_id = id,
                (4, Value::Bytes(id)) => parent = id,
                (6, Value::Varint(number)) => kind = number,
                _ => {}
            }
        }
        let name = words::is_entry(kind).then(|| name_of(&read(item)));
        family.insert((trace_id, span_id), (parent, name));
    }
    family
}

/// The name of the nearest entry at or above the span, if it came in the same block.
fn transaction(span: &Span<'_>, family: &Family<'_>) -> Option<String> {
    if words::is_entry(span.kind) {
        return Some(name_of(span));
    }
    let mut parent = span.parent;
    for _ in 0..ANCESTOR_COUNT_MAX {
        let (above, name) = family.get(&(span.trace_id, parent))?;
        if name.is_some() {
            return name.clone();
        }
        parent = above;
    }
    None
}

/// The span's name; a bare HTTP method is made whole with the route.
fn name_of(span: &Span<'_>) -> String {
    let name = String::from_utf8_lossy(span.name);
    let name = clip(name.trim(), NAME_BYTES_MAX);
    match span.attributes.get("http.route") {
        Some(route) if !name.contains(' ') && !name.contains('/') => {
            format!("{name} {}", clip(route, NAME_BYTES_MAX)).trim_start().to_owned()
        }
        _ => name.to_owned(),
    }
}

/// What else the span noted, up to the exception.
fn breadcrumbs(item: &[u8], until_ns: u64, shared: &Block) -> Vec<Breadcrumb> {
    let mut crumbs: Vec<Breadcrumb> = Vec::new();
    for event in messages(item, 11).take(NOTE_COUNT_MAX) {
        let note = note(event);
        if note.name == b"exception" || note.time_ns > until_ns || note.name.is_empty() {
            continue;
        }
        if crumbs.len() == BREADCRUMB_COUNT_MAX {
            crumbs.remove(0);
        }
        crumbs.push(Breadcrumb {
            at_us: time_us(note.time_ns, shared.now),
            message: clip(&String::from_utf8_lossy(note.name), BREADCRUMB_VALUE_BYTES_MAX).to_owned(),
            data: Attributes::of(event, 3).kept(BREADCRUMB_VALUE_BYTES_MAX, BREADCRUMB_BYTES_MAX),
        });
    }
    crumbs.sort_by_key(|crumb| crumb.at_us);
    crumbs
}
