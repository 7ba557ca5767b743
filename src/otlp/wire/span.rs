//! A span: checked to its last field, and the few facts that are told about it. Never allocates.

use crate::otlp::Malformed;

use super::attributes;
use super::check::{self, deeper};
use super::read::{DELIMITED, FIXED64, VARINT, delimited, fixed, key, varint};
use super::scan::{SeenSpan, Tally, Walk, Watch, has_odd_ids};
use super::schema::{EVENT, LINK, SPAN, STATUS};
use super::text::is_short_ascii;

/// The span is at the start of `from`, which goes on to the end of the request, and ends where `beyond` bytes are left.
/// Whatever is as nearly every sender writes it is read here.
#[inline(always)]
pub(super) fn walk<W: Watch>(from: &[u8], beyond: usize, depth: u32, walk: &mut Walk<'_, W>) -> Result<(), Malformed> {
    let Some((head, tail)) = Head::read(from) else {
        return walk_others(SeenSpan::default(), from, beyond, depth, walk);
    };
    let Some(tail) = attributes::plain::<0x4a, ()>(tail, beyond, &mut ()) else {
        return walk_others(SeenSpan::default(), from, beyond, depth, walk);
    };
    // The rest of the head is looked at only now, which leaves the registers to the attributes.
    if !head.is_usual() {
        return walk_others(SeenSpan::default(), from, beyond, depth, walk);
    }
    let (status, length) = tail.first_chunk().map_or((0, 0), last_fields);
    if tail.len() - length != beyond {
        return walk_others(head.seen(0), tail, beyond, depth, walk);
    }
    walk.tally.item_count += 1;
    walk.watch.span(walk.index, &head.seen(status));
    Ok(())
}

/// The rest of a span, or all of it, in whatever way it is written.
#[inline(never)]
fn walk_others<W: Watch>(
    seen: SeenSpan<'_>,
    tail: &[u8],
    beyond: usize,
    depth: u32,
    walk: &mut Walk<'_, W>,
) -> Result<(), Malformed> {
    let seen = others(seen, tail, beyond, depth, &mut walk.tally)?;
    walk.tally.item_count += 1;
    let has_odd_link = std::mem::take(&mut walk.tally.has_odd_link);
    walk.tally.invalid_id_count += usize::from(has_odd_link || !seen.has_valid_ids());
    walk.watch.span(walk.index, &seen);
    Ok(())
}

/// The code of a status, and how long it is together with the flags that follow it; both may be absent.
#[inline(always)]
fn last_fields(window: &[u8; 10]) -> (i32, usize) {
    // Neither good nor bad, and flags.
    if window[..4] == [0x7a, 0, 0x85, 0x01] {
        return (0, 8);
    }
    let (status, length) = match window {
        [0x7a, 0, ..] => (0, 2),
        [0x7a, 2, 0x18, code @ 0..0x80, ..] => (i32::from(*code), 4),
        _ => (0, 0),
    };
    let has_flags = window[length..length + 2] == [0x85, 0x01];
    (status, if has_flags { length + 6 } else { length })
}

fn others<'a>(
    mut seen: SeenSpan<'a>,
    mut tail: &'a [u8],
    beyond: usize,
    depth: u32,
    tally: &mut Tally,
) -> Result<SeenSpan<'a>, Malformed> {
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
    Ok(seen)
}

/// The first fields, from the ids to the times, in the order in which nearly every sender writes them. Where they
/// reach out of the span, so does what is left, and [`others`] sees it.
struct Head<'a> {
    ids: &'a [u8; 40],
    has_parent: bool,
    /// The kind, and both times.
    times: &'a [u8; 20],
}

/// Ids, a name of up to 127 bytes, and times.
const HEAD_MAX: usize = 40 + 127 + 20;

impl<'a> Head<'a> {
    /// All of them or none.
    #[inline(always)]
    fn read(from: &'a [u8]) -> Option<(Head<'a>, &'a [u8])> {
        let window = from.first_chunk::<HEAD_MAX>()?;
        let ids = window.first_chunk::<40>()?;
        if ids[..2] != [0x0a, 16] || ids[18..20] != [0x12, 8] {
            return None;
        }
        let has_parent = ids[28..30] == [0x22, 8];
        let at = if has_parent { 38 } else { 28 };
        let length = usize::from(ids[at + 1]);
        if ids[at] != 0x2a || length >= 0x80 {
            return None;
        }
        if !is_short_ascii(&window[at + 2..at + 2 + length]) {
            return None;
        }
        let times = window[at + 2 + length..].first_chunk::<20>()?;
        Some((Head { ids, has_parent, times }, &from[at + 2 + length + 20..]))
    }

    /// Whether the kind and the times are there.
    #[inline(always)]
    fn is_usual(&self) -> bool {
        // Both keys around the kind, and a kind of one byte.
        let kind = self.times.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        kind & 0x00ff_80ff == 0x0039_0030 && self.times[11] == 0x41
    }

    #[inline(always)]
    fn seen(&self, status: i32) -> SeenSpan<'a> {
        let time = |at: usize| self.times[at..].first_chunk().map_or(0, |time| u64::from_le_bytes(*time));
        SeenSpan {
            kind: i32::from(self.times[1]),
            status,
            start_unix_nano: time(3),
            end_unix_nano: time(12),
            trace_id: &self.ids[2..18],
            span_id: &self.ids[20..28],
            parent_id: if self.has_parent { &self.ids[30..38] } else { &[] },
        }
    }
}

/// Fields that have their usual form.
#[inline(always)]
fn glance(tail: &mut &[u8], beyond: usize, seen: &mut SeenSpan<'_>) -> Result<(), Malformed> {
    match tail {
        [0x4a, ..] => attributes::run::<0x4a, ()>(tail, beyond, &mut ())?,
        [0x7a, 2, 0x18, code @ 0..0x80, rest @ ..] => (seen.status, *tail) = (i32::from(*code), rest),
        // Flags, and a status without anything.
        [0x85, 0x01, _, _, _, _, rest @ ..] | [0x7a, 0, rest @ ..] => *tail = rest,
        _ => {}
    }
    Ok(())
}

/// Kept out of [`others`], which has better uses for its registers.
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
        (13, DELIMITED) => tally.has_odd_link |= has_odd_ids(&LINK, [1, 2], delimited(tail)?, deeper(depth)?)?,
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
