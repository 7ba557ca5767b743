//! Whether bytes are a well formed message of the schema, to its last nested field. Accepts what prost accepts and
//! refuses what it refuses; keeps nothing.

use crate::otlp::Malformed;

use super::read::{DELIMITED, FIXED32, FIXED64, VARINT, delimited, key, skip, take, varint};
use super::schema::{Kind, Message};

/// A whole message. `depth` is what is left of [`super::read::DEPTH`] for what is nested in it.
pub(super) fn message(message: &'static Message, mut tail: &[u8], depth: u32) -> Result<(), Malformed> {
    while !tail.is_empty() {
        let (number, wire_type) = key(&mut tail)?;
        value(message.kind(number), number, wire_type, &mut tail, depth)?;
    }
    Ok(())
}

/// What follows the key of a field; `kind` is `None` where nobody knows the number.
pub(super) fn value(
    kind: Option<Kind>,
    number: u32,
    wire_type: u8,
    tail: &mut &[u8],
    depth: u32,
) -> Result<(), Malformed> {
    match (kind, wire_type) {
        (None, _) => skip(tail, number, wire_type, depth),
        (Some(Kind::Varint | Kind::Varints), VARINT) => varint(tail).map(drop),
        (Some(Kind::Fixed64 | Kind::Fixed64s), FIXED64) => take(tail, 8).map(drop),
        (Some(Kind::Fixed32), FIXED32) => take(tail, 4).map(drop),
        (Some(Kind::Bytes), DELIMITED) => delimited(tail).map(drop),
        (Some(Kind::Text), DELIMITED) => text(delimited(tail)?),
        (Some(Kind::Nested(inner)), DELIMITED) => message(inner, delimited(tail)?, deeper(depth)?),
        (Some(Kind::Varints), DELIMITED) => varints(delimited(tail)?),
        (Some(Kind::Fixed64s), DELIMITED) if delimited(tail)?.len().is_multiple_of(8) => Ok(()),
        (Some(Kind::Fixed64s), DELIMITED) => Err(Malformed::Truncated),
        (Some(_), _) => Err(wrong(wire_type)),
    }
}

/// What is left inside a nested message.
#[inline]
pub(super) fn deeper(depth: u32) -> Result<u32, Malformed> {
    depth.checked_sub(1).ok_or(Malformed::TooDeep)
}

#[inline]
pub(super) fn text(bytes: &[u8]) -> Result<(), Malformed> {
    if super::text::is_ascii(bytes) || simdutf8::basic::from_utf8(bytes).is_ok() {
        return Ok(());
    }
    Err(Malformed::Utf8)
}

/// A message, text or bytes field that came with another wire type.
#[cold]
pub(super) fn wrong(wire_type: u8) -> Malformed {
    if wire_type > FIXED32 { Malformed::WireType } else { Malformed::WrongType }
}

fn varints(mut packed: &[u8]) -> Result<(), Malformed> {
    while !packed.is_empty() {
        varint(&mut packed)?;
    }
    Ok(())
}
