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
    let beyond = from.len() - length;
    let (mut seen, mut tail) = head(from).unwrap_or((SeenSpan::default(), from));
    while tail.len() > beyond {
        let before = tail.len();
        glance(&mut tail, beyond, &mut seen)?;
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

/// The first fields in the order in which nearly every sender writes them, all or none. Where they reach out of the
/// span, so does what is left, and [`walk`] sees it.
#[inline(always)]
fn head(from: &[u8]) -> Option<(SeenSpan<'_>, &[u8])> {
    let ids = from.first_chunk::<40>()?;
    if ids[..2] != [0x0a, 16] || ids[18..20] != [0x12, 8] {
        return None;
    }
    let (parent_id, at): (&[u8], usize) = if ids[28..30] == [0x22, 8] { (&ids[30..38], 38) } else { (&[], 28) };
    let length = usize::from(ids[at + 1]);
    if ids[at] != 0x2a || length >= 0x80 {
        return None;
    }
    let (name, tail) = from[at + 2..].split_at_checked(length)?;
    let (times, tail) = tail.split_first_chunk::<20>()?;
    if times[0] != 0x30 || times[1] >= 0x80 || times[2] != 0x39 || times[11] != 0x41 || !is_ascii(name) {
        return None;
    }
    let seen = SeenSpan {
        kind: i32::from(times[1]),
        status: 0,
        start_unix_nano: times[3..].first_chunk().map_or(0, |time| u64::from_le_bytes(*time)),
        end_unix_nano: times[12..].first_chunk().map_or(0, |time| u64::from_le_bytes(*time)),
        trace_id: &ids[2..18],
        span_id: &ids[20..28],
        parent_id,
    };
    Some((seen, tail))
}

/// Fields that have their usual form.
#[inline(always)]
fn glance(tail: &mut &[u8], beyond: usize, seen: &mut SeenSpan<'_>) -> Result<(), Malformed> {
    match tail {
        [0x4a, ..] => drop(attributes::run::<0x4a, Ignore>(tail, beyond)?),
        [0x7a, 2, 0x18, code @ 0..0x80, rest @ ..] => (seen.status, *tail) = (i32::from(*code), rest),
        // Flags, and a status without anything.
        [0x85, 0x01, _, _, _, _, rest @ ..] | [0x7a, 0, rest @ ..] => *tail = rest,
        _ => {}
    }
    Ok(())
}

/// Kept out of [`walk`], which has better uses for its registers.
#[inline(never)]
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
