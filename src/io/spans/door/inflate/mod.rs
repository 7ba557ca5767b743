//! Inflates bodies: gzip of one member and of many, zlib, raw deflate, zstd frames. Never gives a part of what was
//! sent: input that is cut short, damaged or followed by anything else is refused whole, because nobody can tell what
//! the rest was; and never takes memory that was not booked first.

mod buffers;
mod deflate;
mod zstd_frames;

use std::sync::Arc;

use bytes::Bytes;

use super::fault::{Fault, shown};
use crate::io::aside::aside;
use crate::io::spans::faces::Share;
use crate::otlp::enrich::Member;

pub(super) use buffers::{Buffer, Buffers, capacity_for};

/// Encodings that may be stacked on one body. Senders have no reason for more than one.
const STACKED_MAX: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Zstd,
}

impl Coding {
    /// `None`: no coding at all.
    pub(super) fn named(name: &str) -> Result<Option<Coding>, Fault> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("gzip") || is("x-gzip") {
            Ok(Some(Coding::Gzip))
        } else if is("zstd") {
            Ok(Some(Coding::Zstd))
        // The second name is what some libraries call the same format, and the Collector takes it.
        } else if is("deflate") || is("zlib") {
            Ok(Some(Coding::Deflate))
        } else if name.is_empty() || is("identity") || is("none") {
            Ok(None)
        } else {
            Err(Fault::UnknownEncoding { encoding: shown(name) })
        }
    }
}

/// The codings of a body, in the order in which they were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Codings {
    applied: [Option<Coding>; STACKED_MAX],
}

impl Codings {
    pub(super) fn one(coding: Option<Coding>) -> Codings {
        Codings { applied: [coding, None] }
    }

    /// Reads the values of `Content-Encoding`, which may be a list and may come more than once.
    pub(super) fn read<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Codings, Fault> {
        let mut codings = Codings::default();
        let mut count = 0;
        for value in values {
            let unreadable = |_| Fault::UnknownEncoding { encoding: "?".to_owned() };
            let value = std::str::from_utf8(value).map_err(unreadable)?;
            for name in value.split(',') {
                let Some(coding) = Coding::named(name.trim())? else { continue };
                let place = codings.applied.get_mut(count);
                *place.ok_or(Fault::TooManyEncodings { count_max: STACKED_MAX })? = Some(coding);
                count += 1;
            }
        }
        Ok(codings)
    }

    pub(super) fn is_none(self) -> bool {
        self.applied[0].is_none()
    }
}

/// Memory that may be taken, booked in the share of the request.
pub(super) struct Room<'a> {
    share: &'a mut Share,
    /// Held beside what is inflated: the input itself.
    beside: usize,
}

impl Room<'_> {
    fn cover(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.share.grow(self.beside + bytes) { Ok(()) } else { Err(Fault::NoRoom) }
    }
}

/// Undoes all codings, the last first. Afterwards the share holds what the result takes, and no more.
pub(super) fn inflate(
    codings: Codings,
    body: Bytes,
    bytes_max: usize,
    share: &mut Share,
    buffers: &Arc<Buffers>,
) -> Result<Bytes, Fault> {
    inflate_keeping(codings, body, bytes_max, share, buffers, false).map(|(body, _)| body)
}

/// The same; what came as one gzip member is, if `keeping`, returned beside what it holds.
pub(super) fn inflate_keeping(
    codings: Codings,
    body: Bytes,
    bytes_max: usize,
    share: &mut Share,
    buffers: &Arc<Buffers>,
    keeping: bool,
) -> Result<(Bytes, Option<Member>), Fault> {
    let mut body = body;
    let mut member = None;
    for coding in codings.applied.into_iter().rev().flatten() {
        let mut room = Room { share, beside: body.len() };
        let mut is_one_member = false;
        let once = || match coding {
            Coding::Gzip => deflate::gunzip(&body, bytes_max, &mut room, buffers).map(|(bytes, is_one)| {
                is_one_member = is_one;
                bytes
            }),
            Coding::Deflate => deflate::inflate(&body, bytes_max, &mut room),
            Coding::Zstd => zstd_frames::inflate(&body, bytes_max, &mut room, buffers),
        };
        let inflated = aside(body.len(), once)?;
        if keeping && is_one_member && codings == Codings::one(Some(Coding::Gzip)) {
            member = deflate::member(&body);
        }
        body = inflated;
    }
    let member_bytes = member.as_ref().map_or(0, |member| member.deflate.len());
    share.shrink(capacity_for(body.len()) + member_bytes);
    Ok((body, member))
}

#[cfg(test)]
mod tests;
