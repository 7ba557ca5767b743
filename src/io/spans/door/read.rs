//! Reads the body of a request within its bounds: bytes, time, and the budget, of which only as much is taken as has
//! come. Never holds a piece of a sender's connection buffer for longer than the reading.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{CONTENT_LENGTH, EXPECT};
use tokio::time::Instant;

use super::fault::Fault;
use super::incoming::Incoming;
use super::inflate::{Buffer, Buffers, capacity_for};
use crate::io::spans::faces::Share;

/// What a body without a length, or with one that it has yet to prove, takes of the budget at first.
const BOOKED_BYTES_FIRST: usize = 256 * 1024;
/// A body of one piece that is smaller is copied: the piece may be a slice of a much larger buffer, which would live
/// as long as the body waits in a queue. A larger one is not worth the copy.
const COPIED_BYTES_MAX: usize = 64 * 1024;
/// How often a sender must have sent what it has sent so far, for a buffer to be taken for all of it.
const BELIEVED_TIMES: usize = 8;
/// What is read of a body that was refused, so that its connection can be used again.
const DRAINED_BYTES_MAX: usize = 1 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Why and until when a body is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub at: Instant,
    /// The sender's own deadline is nearer than ours.
    pub is_senders: bool,
    pub seconds: u64,
}

impl Deadline {
    pub(super) fn fault(self) -> Fault {
        if self.is_senders { Fault::Late } else { Fault::TooSlow { seconds: self.seconds } }
    }
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What to take of the budget before the first byte is read.
pub(super) fn first_booking(expected: Option<usize>) -> usize {
    expected.unwrap_or(BOOKED_BYTES_FIRST).min(BOOKED_BYTES_FIRST)
}

/// What will be made of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// They are handed on as they are.
    Kept,
    /// Something else is made of them at once.
    Converted,
}

/// Gathers pieces into one body and books what it holds.
pub(super) struct Gathering<'a> {
    share: &'a mut Share,
    buffers: &'a Arc<Buffers>,
    bytes_max: usize,
    expected: Option<usize>,
    first: Option<Bytes>,
    whole: Option<Buffer>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(
        share: &'a mut Share,
        buffers: &'a Arc<Buffers>,
        bytes_max: usize,
        expected: Option<usize>,
    ) -> Gathering<'a> {
        Gathering { share, buffers, bytes_max, expected, first: None, whole: None }
    }

    pub(super) fn byte_count(&self) -> usize {
        let whole = self.whole.as_ref().map_or(0, |whole| whole.as_ref().len());
        whole + self.first.as_ref().map_or(0, Bytes::len)
    }

    pub(super) fn add(&mut self, data: Bytes) -> Result<(), Fault> {
        let total = self.byte_count() + data.len();
        if total > self.bytes_max {
            return Err(Fault::TooLarge { bytes_max: self.bytes_max });
        }
        self.book(total)?;
        match self.first.take() {
            None if self.whole.is_none() => self.first = Some(data),
            None => self.append(&data),
            Some(first) => {
                self.append(&first);
                self.append(&data);
            }
        }
        Ok(())
    }

    /// More than is needed, where there is room and use for it: who has sent a part of what it announced is believed
    /// about the rest, up to some times the part.
    fn book(&mut self, total: usize) -> Result<(), Fault> {
        if total <= self.share.bytes() {
            return Ok(());
        }
        let ahead = match self.expected {
            Some(expected) => capacity_for(expected).min(BELIEVED_TIMES * total),
            None => 2 * total,
        };
        let ahead = ahead.min(capacity_for(self.bytes_max)).max(total);
        if self.share.grow(ahead) || self.share.grow(total) { Ok(()) } else { Err(Fault::NoRoom) }
    }

    fn append(&mut self, data: &[u8]) {
        let held = self.whole.as_ref().map_or(&[][..], |whole| whole.as_ref());
        let total = held.len() + data.len();
        if self.whole.as_mut().is_none_or(|whole| total > whole.whole().capacity()) {
            // A length is believed as far as it has been booked.
            let wanted = self.expected.unwrap_or(2 * total).min(self.share.bytes()).max(total);
            let mut larger = self.buffers.take(wanted);
            let bytes = larger.whole();
            bytes.clear();
            bytes.extend_from_slice(self.whole.as_ref().map_or(&[][..], |whole| whole.as_ref()));
            self.whole = Some(larger);
        }
        if let Some(whole) = &mut self.whole {
            whole.whole().extend_from_slice(data);
        }
    }

    pub(super) fn finish(self, purpose: Use) -> Bytes {
        match (self.first, self.whole) {
            (Some(first), _) if purpose == Use::Kept && first.len() <= COPIED_BYTES_MAX => {
                Bytes::copy_from_slice(&first)
            }
            (Some(first), _) => first,
            (None, None) => Bytes::new(),
            (None, Some(mut whole)) => {
                let count = whole.as_ref().len();
                if purpose == Use::Kept && whole.whole().capacity() > capacity_for(count) {
                    Bytes::copy_from_slice(whole.as_ref())
                } else {
                    whole.freeze(count)
                }
            }
        }
    }
}

/// What a body that is kept takes of the budget: what was gathered lies in a buffer that is a little larger.
pub(super) fn footprint(body: &Bytes) -> usize {
    capacity_for(body.len())
}

/// A whole body, whatever its framing.
pub(super) async fn whole(
    body: &mut Incoming,
    expected: Option<usize>,
    bytes_max: usize,
    share: &mut Share,
    buffers: &Arc<Buffers>,
    purpose: Use,
) -> Result<Bytes, Fault> {
    let mut gathering = Gathering::new(share, buffers, bytes_max, expected);
    while let Some(data) = body.piece().await? {
        gathering.add(data)?;
    }
    Ok(gathering.finish(purpose))
}

/// Reads the rest of a body that was refused, if it is short. `true`: the connection can go on.
pub(super) async fn drain(body: &mut Incoming, headers: &HeaderMap) -> bool {
    if body.is_end_stream() {
        return true;
    }
    // Who asks before sending has not sent, and would be told to.
    let is_long = content_length(headers).is_some_and(|length| length > DRAINED_BYTES_MAX);
    if is_long || headers.contains_key(EXPECT) {
        return false;
    }
    let all = async {
        let mut left = DRAINED_BYTES_MAX;
        while let Ok(Some(data)) = body.piece().await {
            let Some(less) = left.checked_sub(data.len()) else { return false };
            left = less;
        }
        body.is_end_stream()
    };
    tokio::time::timeout(DRAIN_TIMEOUT, all).await.unwrap_or(false)
}
