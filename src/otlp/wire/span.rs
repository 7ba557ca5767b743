//! A span: checked to its last field, and the few facts that are told about it. Never allocates.

use crate::otlp::Malformed;

use super::attributes::{self, Ignore};
use super::check::{self, deeper};
use super::read::{DELIMITED, FIXED64, VARINT, delimited, fixed, key, varint};
use super::scan::{SeenSpan, Tally};
use super::schema::{EVENT, SPAN, STATUS};
use super::text::is_ascii;

/// The span is the first `length` bytes of `from`, which goes on to the end of the request.
pub(super) fn walk<'a>(
    from: &'a [u8],
    length: usize,
    depth: u32,
    tally: &mut Tally,
) -> Result<SeenSpan<'a>, Malformed> {
    let mut seen = SeenSpan::default();
    let beyond = from.len() - length;
    let mut tail = head(from, &mut seen);
    while tail.len() > beyond {
        let before = tail.len();
        glance(&mut tail, beyond)?;
        if tail.len() == before {
            let mut inside = &tail[..before - beyond];
            field(&mut inside, depth, &mut seen, tally)?;
            tail = &tail[before - beyond - inside.len()..];
        }
    }
    if tail.len() < beyond {
        return Err(Malformed::Truncated);
    }
    tally.item_count += 1;
    tally.invalid_id_count += usize::from(!seen.has_valid_ids());
    Ok(seen)
}

/// The first fields in the order in which nearly every sender writes them; stops at the first that is different.
/// Where one reaches out of the span, so does what is left, and [`walk`] sees it.
#[inline(always)]
fn head<'a>(mut tail: &'a [u8], seen: &mut SeenSpan<'a>) -> &'a [u8] {
    if let [0x0a, 16, rest @ ..] = tail
        && let Some((id, rest)) = rest.split_first_chunk::<16>()
    {
        (seen.trace_id, tail) = (id, rest);
    }
    if let [0x12, 8, rest @ ..] = tail
        && let Some((id, rest)) = rest.split_first_chunk::<8>()
    {
        (seen.span_id, tail) = (id, rest);
    }
    if let [0x22, 8, rest @ ..] = tail
        && let Some((id, rest)) = rest.split_first_chunk::<8>()
    {
        (seen.parent_id, tail) = (id, rest);
    }
    if let [0x2a, length @ 0..0x80, rest @ ..] = tail
        && let Some((name, rest)) = rest.split_at_checked(usize::from(*length))
        && is_ascii(name)
    {
        tail = rest;
    }
    if let [0x30, kind @ 0..0x80, rest @ ..] = tail {
        (seen.kind, tail) = (i32::from(*kind), rest);
    }
    if let [0x39, rest @ ..] = tail
        && let Some((time, rest)) = rest.split_first_chunk::<8>()
    {
        (seen.start_unix_nano, tail) = (u64::from_le_bytes(*time), rest);
    }
    if let [0x41, rest @ ..] = tail
        && let Some((time, rest)) = rest.split_first_chunk::<8>()
    {
        (seen.end_unix_nano, tail) = (u64::from_le_bytes(*time), rest);
    }
    tail
}

/// Fields that are told about nothing and have their usual form.
#[inline(always)]
fn glance(tail: &mut &[u8], beyond: usize) -> Result<(), Malformed> {
    match tail {
        [0x4a, ..] => drop(attributes::run::<0x4a, Ignore>(tail, beyond)?),
        // Flags, and a status without anything.
        [0x85, 0x01, _, _, _, _, rest @ ..] | [0x7a, 0, rest @ ..] => *tail = rest,
        _ => {}
    }
    Ok(())
}

fn field<'a>(tail: &mut &'a [u8], depth: u32, seen: &mut SeenSpan<'a>, tally: &mut Tally) -> Result<(), Malformed> {
    let (number, wire_type) = key(tail)?;
    match (number, wire_type) {
        (1, DELIMITED) => seen.trace_id = delimited(tail)?,
        (2, DELIMITED) => seen.span_id = delimited(tail)?,
        (4, DELIMITED) => seen.parent_id = delimited(tail)?,
        (6, VARINT) => seen.kind = int32(varint(tail)?),
        (7, FIXED64) => seen.start_unix_nano = u64::from_le_bytes(fixed(tail)?),
        (8, FIXED64) => seen.end_unix_nano = u64::from_le_bytes(fixed(tail)?),
        (11, DELIMITED) => tally.has_exceptions |= event(delimited(tail)?, deeper(depth)?)?,
        (15, DELIMITED) => status(delimited(tail)?, deeper(depth)?, &mut seen.status)?,
        _ => check::value(SPAN.kind(number), number, wire_type, tail, depth)?,
    }
    Ok(())
}

/// Whether it is an exception.
#[inline(never)]
fn event(mut tail: &[u8], depth: u32) -> Result<bool, Malformed> {
    let mut name: &[u8] = &[];
    while !tail.is_empty() {
        match key(&mut tail)? {
            (2, DELIMITED) => {
                name = delimited(&mut tail)?;
                check::text(name)?;
            }
            (number, wire_type) => check::value(EVENT.kind(number), number, wire_type, &mut tail, depth)?,
        }
    }
    Ok(name == b"exception")
}

/// Several status fields of one span are merged, so a later one without a code leaves the code as it is.
fn status(mut tail: &[u8], depth: u32, code: &mut i32) -> Result<(), Malformed> {
    while !tail.is_empty() {
        match key(&mut tail)? {
            (3, VARINT) => *code = int32(varint(&mut tail)?),
            (number, wire_type) => check::value(STATUS.kind(number), number, wire_type, &mut tail, depth)?,
        }
    }
    Ok(())
}

/// Enumerations are `int32`, of which protobuf reads the lowest 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "protobuf truncates an int32")]
#[inline]
const fn int32(value: u64) -> i32 {
    value as u32 as i32
}
