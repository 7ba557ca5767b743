//! A metric: checked to its last field, and its data points counted. Never allocates.

use crate::otlp::Malformed;

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
        let Some((data, point)) = data(number) else {
            check::value(METRIC.kind(number), number, wire_type, &mut tail, depth)?;
            continue;
        };
        if wire_type != DELIMITED {
            return Err(check::wrong(wire_type));
        }
        let more = points(data, point, delimited(&mut tail)?, deeper(depth)?)?;
        count = if kind == number { count + more } else { more };
        kind = number;
    }
    Ok(count)
}

/// Field number to the message of the data and the message of its points.
fn data(number: u32) -> Option<(&'static Message, &'static Message)> {
    match number {
        5 => Some((&GAUGE, &NUMBER_POINT)),
        7 => Some((&SUM, &NUMBER_POINT)),
        9 => Some((&HISTOGRAM, &HISTOGRAM_POINT)),
        10 => Some((&HISTOGRAM, &EXPONENTIAL_POINT)),
        11 => Some((&GAUGE, &SUMMARY_POINT)),
        _ => None,
    }
}

fn points(data: &Message, point: &'static Message, mut tail: &[u8], depth: u32) -> Result<usize, Malformed> {
    let mut count = 0;
    while !tail.is_empty() {
        match key(&mut tail)? {
            (1, DELIMITED) => {
                check::message(point, delimited(&mut tail)?, deeper(depth)?)?;
                count += 1;
            }
            (1, wire_type) => return Err(check::wrong(wire_type)),
            (number, wire_type) => check::value(data.kind(number), number, wire_type, &mut tail, depth)?,
        }
    }
    Ok(count)
}
