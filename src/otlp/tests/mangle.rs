//! The same request in other bytes: everything that protobuf lets a sender do and official encoders never do. What it
//! means stays the same, apart from fields that nobody knows.

use std::collections::{BTreeMap, VecDeque};

use super::dice::Dice;
use super::model::{Existing, Signal};
use super::oracle::EDITS;
use super::otlp::wire::{Fields, Value};

/// A message, by what it may hold.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Request(Signal),
    Block(Signal),
    Scope(Signal),
    Resource,
    InstrumentationScope,
    KeyValue,
    AnyValue,
    Array,
    KeyValueList,
    Span,
    Event,
    Link,
    LogRecord,
    Metric,
    Data(Point),
    Point(Point),
    Exemplar,
    Buckets,
    /// Holds no message.
    Flat,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Point {
    Number,
    Histogram,
    Exponential,
    Summary,
}

/// What a field of a message holds, and whether it may be cut in two.
fn nested(shape: Shape, number: u32) -> Option<(Shape, bool)> {
    let (inner, is_single) = match (shape, number) {
        (Shape::Request(signal), 1) => (Shape::Block(signal), false),
        (Shape::Block(_), 1) => (Shape::Resource, true),
        (Shape::Block(signal), 2) => (Shape::Scope(signal), false),
        (Shape::Scope(_), 1) => (Shape::InstrumentationScope, true),
        (Shape::Scope(Signal::Traces), 2) => (Shape::Span, false),
        (Shape::Scope(Signal::Logs), 2) => (Shape::LogRecord, false),
        (Shape::Scope(Signal::Metrics), 2) => (Shape::Metric, false),
        (Shape::KeyValue, 2) | (Shape::LogRecord, 5) => (Shape::AnyValue, true),
        (Shape::AnyValue, 5) => (Shape::Array, true),
        (Shape::AnyValue, 6) => (Shape::KeyValueList, true),
        (Shape::Array, 1) => (Shape::AnyValue, false),
        (Shape::Span, 11) => (Shape::Event, false),
        (Shape::Span, 13) => (Shape::Link, false),
        (Shape::Span, 15) => (Shape::Flat, true),
        (Shape::Metric, 5 | 7) => (Shape::Data(Point::Number), true),
        (Shape::Metric, 9) => (Shape::Data(Point::Histogram), true),
        (Shape::Metric, 10) => (Shape::Data(Point::Exponential), true),
        (Shape::Metric, 11) => (Shape::Data(Point::Summary), true),
        (Shape::Data(point), 1) => (Shape::Point(point), false),
        (Shape::Point(Point::Number), 5)
        | (Shape::Point(Point::Histogram), 8)
        | (Shape::Point(Point::Exponential), 11) => (Shape::Exemplar, false),
        (Shape::Point(Point::Exponential), 8 | 9) => (Shape::Buckets, true),
        (Shape::Point(Point::Summary), 6) | (Shape::Resource, 3) => (Shape::Flat, false),
        (Shape::KeyValueList | Shape::Resource, 1)
        | (Shape::InstrumentationScope | Shape::Event, 3)
        | (Shape::Link, 4)
        | (Shape::LogRecord, 6)
        | (Shape::Span | Shape::Point(Point::Histogram), 9)
        | (Shape::Metric, 12)
        | (Shape::Point(Point::Exponential), 1)
        | (Shape::Point(Point::Number | Point::Summary) | Shape::Exemplar, 7) => (Shape::KeyValue, false),
        _ => return None,
    };
    Some((inner, is_single))
}

/// Writes a message again: fields in another order, messages in pieces, unknown fields between, numbers longer than
/// needed, packed numbers unpacked.
pub(super) fn mangle(shape: Shape, message: &[u8], dice: &mut Dice<'_>) -> Vec<u8> {
    // The order of fields with one number has a meaning.
    let mut queues: BTreeMap<u32, VecDeque<Vec<u8>>> = BTreeMap::new();
    for field in Fields::new(message).map(|field| field.expect("an encoder wrote it")) {
        let queue = queues.entry(field.number).or_default();
        match (nested(shape, field.number), field.value) {
            (Some((inner, is_single)), Value::Bytes(payload)) => {
                let payload = mangle(inner, payload, dice);
                let cut = if is_single && dice.hits(3) { cut(&payload, dice) } else { 0 };
                if cut > 0 {
                    queue.push_back(delimited(field.number, &payload[..cut], dice));
                }
                queue.push_back(delimited(field.number, &payload[cut..], dice));
            }
            (None, Value::Bytes(payload)) => match packed(shape, field.number) {
                Some(width) if dice.hits(2) => queue.extend(unpack(field.number, payload, width, dice)),
                _ => queue.push_back(delimited(field.number, payload, dice)),
            },
            (_, Value::Varint(value)) => {
                let mut out = Vec::new();
                number(&mut out, u64::from(field.number) << 3, dice);
                number(&mut out, value, dice);
                queue.push_back(out);
            }
            _ => queue.push_back(message[field.start..field.end].to_vec()),
        }
    }
    if dice.hits(4) {
        let (number, bytes) = unknown(dice);
        queues.entry(number).or_default().push_back(bytes);
    }
    shuffle(queues, dice)
}

fn shuffle(mut queues: BTreeMap<u32, VecDeque<Vec<u8>>>, dice: &mut Dice<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let in_order = !dice.hits(2);
    while !queues.is_empty() {
        let place = if in_order { 0 } else { dice.below(queues.len()) };
        let number = *queues.keys().nth(place).expect("it is below the count");
        let queue = queues.get_mut(&number).expect("it was found there");
        out.extend(queue.pop_front().unwrap_or_default());
        if queue.is_empty() {
            queues.remove(&number);
        }
    }
    out
}

/// Between two fields, or 0.
fn cut(message: &[u8], dice: &mut Dice<'_>) -> usize {
    let ends: Vec<usize> = Fields::new(message).flatten().map(|field| field.end).collect();
    if ends.is_empty() { 0 } else { ends[dice.below(ends.len())] }
}

/// Width of the packed numbers of a field; 0 where they are varints.
fn packed(shape: Shape, number: u32) -> Option<usize> {
    match (shape, number) {
        (Shape::Point(Point::Histogram), 6 | 7) => Some(8),
        (Shape::Buckets, 2) => Some(0),
        _ => None,
    }
}

/// Some numbers one by one, the rest packed.
fn unpack(field: u32, mut payload: &[u8], width: usize, dice: &mut Dice<'_>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while !payload.is_empty() && !dice.hits(4) {
        let length = match width {
            0 => payload.iter().position(|byte| *byte < 0x80).expect("an encoder wrote it") + 1,
            width => width,
        };
        let mut out = Vec::new();
        number(&mut out, u64::from(field) << 3 | u64::from(width == 8), dice);
        out.extend_from_slice(&payload[..length]);
        payload = &payload[length..];
        all.push(out);
    }
    if !payload.is_empty() {
        all.push(delimited(field, payload, dice));
    }
    all
}

/// A field that no message of OTLP has: any wire type, groups too.
fn unknown(dice: &mut Dice<'_>) -> (u32, Vec<u8>) {
    let field = [100, 1000, 77, (1 << 29) - 1][dice.below(4)];
    let key = u64::from(field) << 3;
    let mut out = Vec::new();
    let mut put = |value: u64| number(&mut out, value, dice);
    match field % 5 {
        0 => [key | 3, 1 << 3, 300, 2 << 3 | 3, 2 << 3 | 4, key | 4].into_iter().for_each(&mut put),
        1 => [key, u64::MAX].into_iter().for_each(&mut put),
        2 => {
            put(key | 1);
            out.extend([0xff; 8]);
        }
        _ => {
            put(key | 2);
            put(5);
            out.extend([0xff, 0, 0x12, 0x80, b'x']);
        }
    }
    (field, out)
}

fn delimited(field: u32, payload: &[u8], dice: &mut Dice<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, u64::from(field) << 3 | 2, dice);
    number(&mut out, payload.len() as u64, dice);
    out.extend_from_slice(payload);
    out
}

/// A varint, now and then longer than it must be.
fn number(out: &mut Vec<u8>, value: u64, dice: &mut Dice<'_>) {
    let start = out.len();
    super::otlp::wire::put_varint(out, value);
    if dice.hits(12) {
        let longer = dice.below(10) + 1;
        while out.len() - start < longer {
            let last = out.len() - 1;
            out[last] |= 0x80;
            out.push(0);
        }
    }
}

/// The fields that nobody knows, each with the numbers that lead to it. Those of attributes that an upsert removes
/// are left out.
pub(super) fn unknowns(shape: Shape, message: &[u8]) -> Vec<(Vec<u32>, Vec<u8>)> {
    let mut all = Vec::new();
    collect(shape, message, &mut Vec::new(), &mut all);
    all.sort();
    all
}

fn collect(shape: Shape, message: &[u8], path: &mut Vec<u32>, all: &mut Vec<(Vec<u32>, Vec<u8>)>) {
    for field in Fields::new(message).map(|field| field.expect("it was accepted")) {
        path.push(field.number);
        match (nested(shape, field.number), field.value) {
            (Some((Shape::KeyValue, _)), Value::Bytes(payload)) if shape == Shape::Resource && is_upserted(payload) => {
            }
            (Some((inner, _)), Value::Bytes(payload)) => collect(inner, payload, path, all),
            _ if field.number > 16 => all.push((path.clone(), message[field.start..field.end].to_vec())),
            _ => {}
        }
        path.pop();
    }
}

fn is_upserted(attribute: &[u8]) -> bool {
    let key = Fields::new(attribute).flatten().filter(|field| field.number == 1).last();
    let key = key.and_then(|field| field.value.bytes()).unwrap_or_default();
    EDITS.iter().any(|edit| edit.existing == Existing::Replace && edit.key.as_bytes() == key)
}
