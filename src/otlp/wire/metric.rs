//! A metric: checked to its last field, and its data points counted. Never allocates.

use crate::otlp::Malformed;

use super::attributes;
use super::check::{self, deeper};
use super::read::{DELIMITED, delimited, key};
use super::schema::{
    EXPONENTIAL_POINT, GAUGE, HISTOGRAM, HISTOGRAM_POINT, METRIC, Message, NUMBER_POINT, SUM, SUMMARY_POINT,
};

/// How many data points a reader will find.
pub(super) fn walk(mut tail: &[u8], depth: u32) -> Result<usize, Malformed> {
    // The kinds of data exclude each other: another kind replaces what was there, the same kind is merged with it.
    let mut kind = 0;
    let mut count = 0;
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
        let more = match number {
            5 => points::<0x3a>(&GAUGE, &NUMBER_POINT, data, inner)?,
            7 => points::<0x3a>(&SUM, &NUMBER_POINT, data, inner)?,
            9 => points::<0x4a>(&HISTOGRAM, &HISTOGRAM_POINT, data, inner)?,
            10 => points::<0x0a>(&HISTOGRAM, &EXPONENTIAL_POINT, data, inner)?,
            _ => points::<0x3a>(&GAUGE, &SUMMARY_POINT, data, inner)?,
        };
        count = if kind == number { count + more } else { more };
        kind = number;
    }
    Ok(count)
}

/// The message of the data, its points, and the key `TAG` of their attributes.
fn points<const TAG: u8>(
    data: &Message,
    point: &'static Message,
    mut tail: &[u8],
    depth: u32,
) -> Result<usize, Malformed> {
    let mut count = 0;
    while !tail.is_empty() {
        match key(&mut tail)? {
            (1, DELIMITED) => {
                attributes::message::<TAG>(point, delimited(&mut tail)?, deeper(depth)?)?;
                count += 1;
            }
            (1, wire_type) => return Err(check::wrong(wire_type)),
            (number, wire_type) => check::value(data.kind(number), number, wire_type, &mut tail, depth)?,
        }
    }
    Ok(count)
}
