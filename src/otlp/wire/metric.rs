//! A metric: checked to its last field, and its data points counted. Never allocates.

use crate::otlp::Malformed;

use super::attributes;
use super::check::{self, deeper};
use super::read::{DELIMITED, delimited, key};
use super::scan::has_odd_ids;
use super::schema::{
    EXEMPLAR, EXPONENTIAL_POINT, GAUGE, HISTOGRAM, HISTOGRAM_POINT, METRIC, Message, NUMBER_POINT, SUM, SUMMARY_POINT,
};

/// What a reader will find.
#[derive(Clone, Copy, Default)]
pub(super) struct Points {
    pub(super) count: usize,
    /// Points with an exemplar that has ids of a wrong length.
    pub(super) invalid_id_count: usize,
}

pub(super) fn walk(mut tail: &[u8], depth: u32) -> Result<Points, Malformed> {
    // The kinds of data exclude each other: another kind replaces what was there, the same kind is merged with it.
    let mut kind = 0;
    let mut found = Points::default();
    while !tail.is_empty() {
        let (number, wire_type) = key(&mut tail)?;
        if !matches!(number, 5 | 7 | 9..=11) {
            check::value(METRIC.kind(number), number, wire_type, &mut tail, depth)?;
            continue;
        }
        if wire_type != DELIMITED {
            return Err(check::wrong(wire_type));
        }
        let (data, inner) = (delimited(&mut tail)?, deeper(depth)?);
        if kind != number {
            found = Points::default();
        }
        match number {
            5 => points::<0x3a, 5>(&GAUGE, &NUMBER_POINT, data, inner, &mut found)?,
            7 => points::<0x3a, 5>(&SUM, &NUMBER_POINT, data, inner, &mut found)?,
            9 => points::<0x4a, 8>(&HISTOGRAM, &HISTOGRAM_POINT, data, inner, &mut found)?,
            10 => points::<0x0a, 11>(&HISTOGRAM, &EXPONENTIAL_POINT, data, inner, &mut found)?,
            _ => points::<0x3a, 0>(&GAUGE, &SUMMARY_POINT, data, inner, &mut found)?,
        }
        kind = number;
    }
    Ok(found)
}

/// The message of the data, its points, the key `TAG` of their attributes and the number of their exemplars, 0 where
/// they have none.
fn points<const TAG: u8, const EXEMPLARS: u32>(
    data: &Message,
    point: &'static Message,
    mut tail: &[u8],
    depth: u32,
    found: &mut Points,
) -> Result<(), Malformed> {
    while !tail.is_empty() {
        match key(&mut tail)? {
            (1, DELIMITED) => {
                let is_odd = is_odd::<TAG, EXEMPLARS>(point, delimited(&mut tail)?, deeper(depth)?)?;
                found.count += 1;
                found.invalid_id_count += usize::from(is_odd);
            }
            (1, wire_type) => return Err(check::wrong(wire_type)),
            (number, wire_type) => check::value(data.kind(number), number, wire_type, &mut tail, depth)?,
        }
    }
    Ok(())
}

/// Whether an exemplar of the point has ids of a wrong length.
fn is_odd<const TAG: u8, const EXEMPLARS: u32>(
    point: &'static Message,
    mut tail: &[u8],
    depth: u32,
) -> Result<bool, Malformed> {
    let mut is_odd = false;
    while let [first, ..] = tail {
        let before = tail.len();
        if *first == TAG {
            attributes::run::<TAG, ()>(&mut tail, 0, &mut ())?;
        }
        if tail.len() == before {
            match key(&mut tail)? {
                (number, DELIMITED) if number == EXEMPLARS => {
                    is_odd |= has_odd_ids(&EXEMPLAR, [5, 4], delimited(&mut tail)?, deeper(depth)?)?;
                }
                (number, wire_type) => check::value(point.kind(number), number, wire_type, &mut tail, depth)?,
            }
        }
    }
    Ok(is_odd)
}
