//! Exceptions in telemetry: span events named `exception` and log records with `exception.*` attributes become error
//! events with frames and causes. Never loses an exception because its stack trace is strange, and never holds more
//! than its bounds allow.
//!
//! Semantic conventions: opentelemetry.io/docs/specs/semconv/exceptions. The block has passed the scanner; bytes that
//! are malformed all the same end the reading of their message and nothing else.

pub(super) mod attributes;
mod identity;
mod log;
mod resource;
mod span;
mod stack;
mod words;

use std::sync::Arc;

use crate::model::exception::ErrorResource;
use crate::model::{ErrorEvent, Signal, Tags, Timestamp};
use attributes::messages;

/// Exceptions of one block that are told one by one; a block with more has one fault many times.
const EVENT_COUNT_MAX: usize = 256;

/// What a block held.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub events: Vec<ErrorEvent>,
    /// Exceptions beyond the bound, for the count of what was lost.
    pub omitted_count: u64,
}

/// The exceptions of one `ResourceSpans` or `ResourceLogs`, without its own key and length. `tags` are what the rules
/// say of its resource; `now` stands in for times that cannot be. Other signals have none.
pub fn find(signal: Signal, block: &[u8], tags: &Tags, now: Timestamp) -> Found {
    let mut found = Found::default();
    let in_block = Block { resource: Arc::new(resource::read(block, tags)), now };
    match signal {
        Signal::Traces => span::find(block, &in_block, &mut found),
        Signal::Logs => log::find(block, &in_block, &mut found),
        Signal::Metrics | Signal::Profiles => {}
    }
    found
}

/// How many exceptions a block has, without reading what they say: for those that nobody wants now.
pub fn count(signal: Signal, block: &[u8]) -> u64 {
    let counts = items(block).map(|item| match signal {
        Signal::Traces => span::count(item),
        Signal::Logs => u64::from(log::is_exception(item)),
        Signal::Metrics | Signal::Profiles => 0,
    });
    counts.sum()
}

/// What all exceptions of a block share.
struct Block {
    resource: Arc<ErrorResource>,
    now: Timestamp,
}

impl Found {
    /// Makes the event only while there is room for it.
    fn push(&mut self, make: impl FnOnce() -> ErrorEvent) {
        if self.events.len() < EVENT_COUNT_MAX {
            self.events.push(make());
        } else {
            self.omitted_count += 1;
        }
    }
}

/// The items of a block: field 2 of each scope (field 2 of the block), for spans and log records alike.
fn items(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    messages(block, 2).flat_map(|scope| messages(scope, 2))
}

/// A sender's nanoseconds as microseconds, if they are of a time that can be: an absurd one says nothing about when it
/// happened.
fn time_us(time_ns: u64, now: Timestamp) -> i64 {
    const AGE_US_MAX: i64 = 29 * 86_400 * 1_000_000;
    let now_us = now.as_ms().saturating_mul(1000);
    let time_us = i64::try_from(time_ns / 1000).unwrap_or(i64::MAX);
    if time_us > now_us || now_us - time_us > AGE_US_MAX { now_us } else { time_us }
}

#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
