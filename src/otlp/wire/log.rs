//! A log record: checked to its last field, and whether it tells of an exception. Never allocates.

use crate::otlp::Malformed;

use super::attributes::{self, Exceptions};
use super::check::{self, deeper};
use super::read::{DELIMITED, delimited, key};
use super::scan::{Tally, is_span_id};
use super::schema::{KEY_VALUE, LOG_RECORD};

/// The record is at the start of `from`, which goes on to the end of the request, and ends where `beyond` bytes are left.
pub(super) fn walk(from: &[u8], beyond: usize, depth: u32, tally: &mut Tally) -> Result<(), Malformed> {
    let mut trace_id: &[u8] = &[];
    let mut span_id: &[u8] = &[];
    let mut exceptions = Exceptions::default();
    let mut tail = from;
    while tail.len() > beyond {
        let before = tail.len();
        if let [0x32, ..] = tail {
            attributes::run::<0x32, Exceptions>(&mut tail, beyond, &mut exceptions)?;
        }
        if tail.len() < before {
            continue;
        }
        let mut inside = &tail[..before - beyond];
        match key(&mut inside)? {
            (6, DELIMITED) => tally.has_exceptions |= attribute(delimited(&mut inside)?, deeper(depth)?)?,
            (9, DELIMITED) => trace_id = delimited(&mut inside)?,
            (10, DELIMITED) => span_id = delimited(&mut inside)?,
            (number, wire_type) => check::value(LOG_RECORD.kind(number), number, wire_type, &mut inside, depth)?,
        }
        tail = &tail[before - beyond - inside.len()..];
    }
    if tail.len() < beyond {
        return Err(Malformed::Truncated);
    }
    tally.item_count += 1;
    tally.has_exceptions |= exceptions.0;
    tally.invalid_id_count += usize::from(!(matches!(trace_id.len(), 0 | 16) && is_span_id(span_id)));
    Ok(())
}

/// Whether it belongs to an exception.
fn attribute(mut tail: &[u8], depth: u32) -> Result<bool, Malformed> {
    let mut name: &[u8] = &[];
    while !tail.is_empty() {
        match key(&mut tail)? {
            (1, DELIMITED) => {
                name = delimited(&mut tail)?;
                check::text(name)?;
            }
            (number, wire_type) => check::value(KEY_VALUE.kind(number), number, wire_type, &mut tail, depth)?,
        }
    }
    Ok(name.starts_with(b"exception."))
}
