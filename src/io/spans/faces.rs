//! What the parts of the span road say to each other: a door hands an [`Arrival`] to the [`Road`] and answers its
//! sender with the [`Verdict`]; the road gives each sink a [`Parcel`]. Holds no logic but the budget's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::out::Encoded;
use crate::model::Signal;
use crate::otlp::enrich::{Grafted, Member};
use crate::otlp::json::Repairs;
use crate::store::Later;

/// One request, inflated and in protobuf, as a door read it.
pub struct Arrival {
    pub signal: Signal,
    pub body: Bytes,
    /// The gzip member that it came in, where a sink may use it again.
    pub member: Option<Member>,
    /// What was mended on the way, for the answer and the counts.
    pub repairs: Repairs,
    /// Its place in the budget of bytes in flight; given back when the last copy is dropped.
    pub share: Arc<Share>,
}

/// What the sender is told. Each door words it in its own encoding (`formats/otlp.md` §4.2, §4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    /// Success with a message: some items were refused, or (`rejected` is 0) this is a warning.
    Partly {
        rejected: u64,
        message: String,
    },
    /// Never to be sent again: HTTP 400, `INVALID_ARGUMENT`.
    Malformed {
        reason: String,
    },
    /// To be sent again after the delay: HTTP 503 with `Retry-After`, `UNAVAILABLE` with `RetryInfo`.
    NotNow {
        reason: String,
        retry_after: Duration,
    },
    /// In `through` mode, what the first sink answered: an HTTP status and its meaning in gRPC.
    Passed {
        http: u16,
        grpc: u8,
        reason: String,
        retry_after: Option<Duration>,
    },
}

/// Everything behind the doors.
pub trait Road: Send + Sync {
    fn take(&self, arrival: Arrival) -> Later<'_, Verdict>;
}

/// A part of a request for one or more sinks: slices that, written one after another, are one valid request.
/// Parcels of one signal may be joined by writing them one after another.
#[derive(Clone)]
pub struct Parcel {
    pub signal: Signal,
    pub slices: Vec<Bytes>,
    /// Sum of the slices.
    pub byte_count: usize,
    /// Spans, log records or data points inside.
    pub item_count: usize,
    /// Shared by all parcels of one request.
    pub share: Arc<Share>,
    /// Where several sinks get this parcel: what one of them has compressed serves the others.
    pub encoded: Option<Arc<Encoded>>,
    /// The same request compressed already, for sinks that take it so; when it is joined to others it is of no use.
    pub grafted: Option<Arc<Grafted>>,
}

impl Parcel {
    pub fn new(signal: Signal, slices: Vec<Bytes>, item_count: usize, share: Arc<Share>) -> Parcel {
        let byte_count = slices.iter().map(Bytes::len).sum();
        Parcel { signal, slices, byte_count, item_count, share, encoded: None, grafted: None }
    }

    /// For a parcel that more than one sink gets; its clones share what they compress.
    pub fn for_several(self) -> Parcel {
        Parcel { encoded: Some(Arc::default()), ..self }
    }
}

/// Where a parcel goes. Implemented by the queue of each sink.
pub trait Outlet: Send + Sync {
    /// Queues the parcel, or says that there is no room; never waits. `told` hears what became of it, where
    /// somebody wants to know (`through` and `spool`).
    fn offer(&self, parcel: Parcel, told: Option<oneshot::Sender<Fate>>) -> Result<(), NoRoom>;

    /// Whether the sink takes this kind of telemetry; what it does not take is not offered.
    fn accepts(&self, _signal: Signal) -> bool {
        true
    }
}

/// What became of a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Delivered,
    /// The sink took a part; `rejected` items it will never take.
    Partly {
        rejected: u64,
        message: String,
    },
    /// The sink will never take it.
    Refused {
        http: u16,
        grpc: u8,
        reason: String,
    },
    /// The sink may take it later; only told where nobody but the sender retries (`through`).
    NotNow {
        http: u16,
        grpc: u8,
        reason: String,
        retry_after: Option<Duration>,
    },
}

/// The queue of a sink is full. Counted there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// The budget of inflated bytes in flight, over all doors and queues.
#[derive(Debug)]
pub struct Budget {
    free: AtomicUsize,
    total: usize,
}

impl Budget {
    pub fn new(total: usize) -> Arc<Budget> {
        Arc::new(Budget { free: AtomicUsize::new(total), total })
    }

    /// Takes bytes at once or not at all.
    pub fn take(self: &Arc<Budget>, bytes: usize) -> Option<Share> {
        self.reserve(bytes).then(|| Share { budget: self.clone(), bytes })
    }

    /// Takes bytes, or all there are of it for what is larger than the whole budget: that goes alone.
    pub fn take_alone(self: &Arc<Budget>, bytes: usize) -> Option<Share> {
        self.take(bytes.min(self.total))
    }

    pub fn in_use(&self) -> usize {
        self.total - self.free.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: usize) -> bool {
        let take = |free: usize| free.checked_sub(bytes);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// A part of the budget, given back on drop.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Grows to `bytes` (a body that inflates further than was announced); `false` when there is no room.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let grown = self.budget.reserve(more);
        if grown {
            self.bytes += more;
        }
        grown
    }

    /// Gives back what turned out not to be needed.
    pub fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.budget.free.fetch_add(less, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_gives_no_more_than_it_has_and_takes_everything_back() {
        let budget = Budget::new(100);
        let mut first = budget.take(60).unwrap();
        assert!(budget.take(41).is_none());
        assert!(first.grow(100));
        assert_eq!(budget.in_use(), 100);
        assert!(!first.grow(101));
        first.shrink(10);
        assert_eq!(budget.in_use(), 10);
        drop(first);
        assert_eq!(budget.in_use(), 0);
        let alone = budget.take_alone(1000).unwrap();
        assert!(budget.take_alone(1).is_none());
        drop(alone);
        assert_eq!(budget.in_use(), 0);
    }
}
