//! The messages of OTLP 1.11.0 as tables: what each key is called, which field it becomes, and what it may hold.
//! Holds nothing that would have to be computed.

mod common;
mod logs;
mod metrics;
mod traces;

use crate::model::Signal;

/// One kind of message.
#[derive(Debug)]
pub(super) struct Message {
    /// In the order in which senders write them.
    pub(super) fields: &'static [Field],
    pub(super) part: Part,
    /// How many bytes the length of one usually takes: a wrong guess costs a move of what is inside.
    pub(super) length_bytes: usize,
}

/// What a message is in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The request, and what groups items by resource and scope.
    Envelope,
    /// A span, a log record or a metric.
    Item,
    /// What stands inside an item, or beside it.
    Piece,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) json: &'static str,
    pub(super) snake: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) shape: Shape,
}

impl Field {
    /// Whether items are lost when the field is overlooked.
    pub(super) fn leads_to_items(&self) -> bool {
        matches!(self.kind, Kind::Message(message) if message.part != Part::Piece)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Absent when it has its default value.
    One,
    /// Says by its presence that it was given (`optional`).
    Present,
    /// A member of the message's one `oneof`: present, and alone.
    Choice,
    Many,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    Bytes,
    /// 16 bytes, hex in JSON.
    TraceId,
    /// 8 bytes, hex in JSON.
    SpanId,
    Bool,
    Int32,
    Sint32,
    Uint32,
    Fixed32,
    Int64,
    Sfixed64,
    Uint64,
    Fixed64,
    Double,
    /// Names by value, from 0.
    Enum(&'static [&'static str]),
    Message(&'static Message),
}

/// The export request of a signal; none for profiles, whose format is still in development.
pub(super) fn request(signal: Signal) -> Option<&'static Message> {
    match signal {
        Signal::Traces => Some(&traces::REQUEST),
        Signal::Logs => Some(&logs::REQUEST),
        Signal::Metrics => Some(&metrics::REQUEST),
        Signal::Profiles => None,
    }
}

/// Whether the field holds values of attributes, which may be empty.
pub(super) fn is_value(field: &Field) -> bool {
    matches!(field.kind, Kind::Message(message) if std::ptr::eq(message, &common::ANY_VALUE))
}

const fn field(json: &'static str, snake: &'static str, number: u32, kind: Kind, shape: Shape) -> Field {
    Field { json, snake, number, kind, shape }
}

const fn one(json: &'static str, snake: &'static str, number: u32, kind: Kind) -> Field {
    field(json, snake, number, kind, Shape::One)
}

const fn many(json: &'static str, snake: &'static str, number: u32, kind: Kind) -> Field {
    field(json, snake, number, kind, Shape::Many)
}

const fn choice(json: &'static str, snake: &'static str, number: u32, kind: Kind) -> Field {
    field(json, snake, number, kind, Shape::Choice)
}

/// A message field is present when it is given, even when it is empty.
const fn single(json: &'static str, snake: &'static str, number: u32, message: &'static Message) -> Field {
    field(json, snake, number, Kind::Message(message), Shape::Present)
}

const fn present(json: &'static str, snake: &'static str, number: u32, kind: Kind) -> Field {
    field(json, snake, number, kind, Shape::Present)
}

const fn envelope(fields: &'static [Field]) -> Message {
    Message { fields, part: Part::Envelope, length_bytes: 3 }
}

const fn item(fields: &'static [Field]) -> Message {
    Message { fields, part: Part::Item, length_bytes: 2 }
}

/// Most pieces are attributes: a few dozen bytes.
const fn piece(fields: &'static [Field]) -> Message {
    Message { fields, part: Part::Piece, length_bytes: 1 }
}

/// A piece that usually holds attributes of its own.
const fn large_piece(fields: &'static [Field]) -> Message {
    Message { fields, part: Part::Piece, length_bytes: 2 }
}
