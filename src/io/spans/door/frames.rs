//! The framing of gRPC messages: a flag, a length, the bytes (gRPC, PROTOCOL-HTTP2.md). Never holds more than one
//! message, nor anything behind it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::fault::Fault;
use super::incoming::Incoming;
use super::inflate::Buffers;
use super::read::{Gathering, Use};
use crate::io::spans::faces::Share;

const PREFIX_BYTES: usize = 5;

/// What stands before a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub is_compressed: bool,
    pub length: usize,
}

impl Prefix {
    fn read(bytes: [u8; PREFIX_BYTES]) -> Result<Prefix, Fault> {
        let [flag, length @ ..] = bytes;
        let is_compressed = match flag {
            0 => false,
            1 => true,
            _ => return Err(Fault::Framing { reason: "the flag of a message is neither 0 nor 1" }),
        };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        Ok(Prefix { is_compressed, length })
    }
}

/// The messages of a call, as they come.
pub(super) struct Messages<'a> {
    body: &'a mut Incoming,
    pending: Bytes,
}

impl<'a> Messages<'a> {
    pub(super) fn new(body: &'a mut Incoming) -> Messages<'a> {
        Messages { body, pending: Bytes::new() }
    }

    /// `None` where the stream ends instead.
    pub(super) async fn prefix(&mut self) -> Result<Option<Prefix>, Fault> {
        let mut bytes = [0; PREFIX_BYTES];
        let mut filled = 0;
        while filled < PREFIX_BYTES {
            if self.pending.is_empty() {
                match self.body.piece().await? {
                    Some(data) => self.pending = data,
                    None if filled == 0 => return Ok(None),
                    None => return Err(Fault::Framing { reason: "the stream ends inside a prefix" }),
                }
            }
            let count = self.pending.len().min(PREFIX_BYTES - filled);
            self.pending.copy_to_slice(&mut bytes[filled..filled + count]);
            filled += count;
        }
        Prefix::read(bytes).map(Some)
    }

    /// The bytes behind a prefix.
    pub(super) async fn message(
        &mut self,
        length: usize,
        share: &mut Share,
        buffers: &Arc<Buffers>,
        purpose: Use,
    ) -> Result<Bytes, Fault> {
        let mut gathering = Gathering::new(share, buffers, length, Some(length));
        loop {
            let count = self.pending.len().min(length - gathering.byte_count());
            if count > 0 {
                gathering.add(self.pending.split_to(count))?;
            }
            if gathering.byte_count() == length {
                return Ok(gathering.finish(purpose));
            }
            self.pending =
                self.body.piece().await?.ok_or(Fault::Framing { reason: "the stream ends inside a message" })?;
        }
    }

    /// Nothing may follow the one message of a unary call.
    pub(super) async fn end(&mut self) -> Result<(), Fault> {
        loop {
            if !self.pending.is_empty() {
                return Err(Fault::Cardinality { what: "more than one message" });
            }
            match self.body.piece().await? {
                Some(data) => self.pending = data,
                None => return Ok(()),
            }
        }
    }
}

/// An uncompressed message with its prefix.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    out.extend_from_slice(&[0]);
    let length = u32::try_from(message.len()).expect("our own answers are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    out.freeze()
}

/// Reads `grpc-timeout`: up to eight digits and a unit.
pub(super) fn timeout(value: &[u8]) -> Result<Duration, Fault> {
    const WRONG: Fault = Fault::Framing { reason: "grpc-timeout is not up to eight digits and a unit" };
    let (unit, digits) = value.split_last().ok_or(WRONG)?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(WRONG);
    }
    let count = digits.iter().fold(0_u64, |count, digit| count * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Ok(Duration::from_secs(count * 3600)),
        b'M' => Ok(Duration::from_secs(count * 60)),
        b'S' => Ok(Duration::from_secs(count)),
        b'm' => Ok(Duration::from_millis(count)),
        b'u' => Ok(Duration::from_micros(count)),
        b'n' => Ok(Duration::from_nanos(count)),
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_digits_and_a_unit() {
        assert_eq!(timeout(b"250m"), Ok(Duration::from_millis(250)));
        assert_eq!(timeout(b"99999999H"), Ok(Duration::from_secs(99_999_999 * 3600)));
        assert!(
            ["", "1", "S", "123456789S", "-1S", "1s", "1 S"].iter().all(|value| timeout(value.as_bytes()).is_err())
        );
    }

    #[test]
    fn a_prefix_holds_a_flag_and_a_length() {
        assert_eq!(Prefix::read([1, 0, 0, 1, 2]), Ok(Prefix { is_compressed: true, length: 258 }));
        assert!(Prefix::read([2, 0, 0, 0, 0]).is_err());
    }
}
