//! What waits, what was seen, how long the sink wants silence, and what was lost since it was last told. Every part of
//! it has a bound.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Outcome;
use crate::model::ErrorEvent;
use crate::model::exception::ErrorId;
use crate::model::id::IdSet;
use crate::sinks::{Lost, LostWhy};

/// Minutes of a normal day's exceptions; a storm of them is one fault many times, and loses nothing by a sample.
const COUNT_MAX: usize = 1000;
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// A repeat comes within this: the other signal's batch, an exporter's retry.
const SEEN_WINDOW: Duration = Duration::from_secs(300);
/// Ids of one window; about half a megabyte.
const SEEN_COUNT_MAX: usize = 20_000;
/// Sentry wants no more than one report in this time.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Queue {
    events: VecDeque<ErrorEvent>,
    byte_count: usize,
    is_closed: bool,
    seen: Seen,
    pause: Option<(Instant, Outcome)>,
    /// By reason, in the order of [`LOST`].
    lost: [u64; LOST.len()],
    reported_at: Option<Instant>,
    warned_at: Option<Instant>,
}

const LOST: [LostWhy; 4] = [LostWhy::Overflow, LostWhy::RateLimited, LostWhy::Network, LostWhy::Refused];

impl Queue {
    /// Takes an event, or says what became of it instead. Only what was taken is known from then on.
    pub(super) fn push(&mut self, event: ErrorEvent, now: Instant) -> Result<(), Outcome> {
        if self.is_closed {
            return Err(Outcome::Stopped);
        }
        if self.seen.has(event.id, now) {
            return Err(Outcome::Repeated);
        }
        if let Some(outcome) = self.pause(now) {
            self.lose(lost_to(outcome), 1);
            return Err(outcome);
        }
        let bytes = event.byte_count();
        if self.events.len() >= COUNT_MAX || self.byte_count + bytes > BYTES_MAX {
            self.lose(LostWhy::Overflow, 1);
            return Err(Outcome::Overflow);
        }
        self.seen.add(event.id);
        self.byte_count += bytes;
        self.events.push_back(event);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<ErrorEvent> {
        let event = self.events.pop_front()?;
        self.byte_count -= event.byte_count();
        Some(event)
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Takes nothing more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// What became of exceptions that were never offered one by one.
    pub(super) fn omitted(&mut self, count: u64, now: Instant) -> Outcome {
        if self.is_closed {
            return Outcome::Stopped;
        }
        let outcome = self.pause(now).unwrap_or(Outcome::Overflow);
        self.lose(lost_to(outcome), count);
        outcome
    }

    pub(super) fn has_room(&self, now: Instant) -> bool {
        let is_full = self.events.len() >= COUNT_MAX || self.byte_count >= BYTES_MAX;
        !(self.is_closed || is_full || self.pause(now).is_some())
    }

    /// What becomes of exceptions as long as the sink is paused; `None` when it is not.
    pub(super) fn pause(&self, now: Instant) -> Option<Outcome> {
        self.pause.filter(|(until, _)| *until > now).map(|(_, outcome)| outcome)
    }

    /// The longer of two pauses holds.
    pub(super) fn pause_for(&mut self, span: Duration, outcome: Outcome, now: Instant) {
        let until = now + span.min(PAUSE_MAX);
        if self.pause.is_none_or(|(held, _)| held < until) {
            self.pause = Some((until, outcome));
        }
    }

    pub(super) fn lose(&mut self, why: LostWhy, count: u64) {
        if let Some(at) = LOST.iter().position(|known| *known == why) {
            self.lost[at] += count;
        }
    }

    /// What the sink is to be told with the next request, if it is time.
    pub(super) fn report(&mut self, now: Instant) -> Vec<Lost> {
        if self.reported_at.is_some_and(|at| now.duration_since(at) < REPORT_INTERVAL) {
            return Vec::new();
        }
        let lost: Vec<Lost> = LOST
            .into_iter()
            .zip(std::mem::take(&mut self.lost))
            .filter(|(_, count)| *count > 0)
            .map(|(why, count)| Lost { why, count })
            .collect();
        if !lost.is_empty() {
            self.reported_at = Some(now);
        }
        lost
    }

    /// The request with the report did not arrive.
    pub(super) fn unreport(&mut self, lost: &[Lost]) {
        lost.iter().for_each(|lost| self.lose(lost.why, lost.count));
    }

    /// Whether a warning is due: one a minute says it as well as thousands.
    pub(super) fn may_warn(&mut self, now: Instant) -> bool {
        let is_due = self.warned_at.is_none_or(|at| now.duration_since(at) >= Duration::from_secs(60));
        if is_due {
            self.warned_at = Some(now);
        }
        is_due
    }
}

/// The reason that the sink is told for an outcome.
pub(super) fn lost_to(outcome: Outcome) -> LostWhy {
    match outcome {
        Outcome::Throttled => LostWhy::RateLimited,
        Outcome::Overflow => LostWhy::Overflow,
        Outcome::Sent | Outcome::Repeated | Outcome::Refused | Outcome::Failed | Outcome::Stopped => LostWhy::Refused,
    }
}

/// Ids of this window and the one before it.
#[derive(Debug, Default)]
struct Seen {
    now: IdSet<ErrorId>,
    before: IdSet<ErrorId>,
    turned_at: Option<Instant>,
}

impl Seen {
    fn has(&mut self, id: ErrorId, now: Instant) -> bool {
        let turned_at = *self.turned_at.get_or_insert(now);
        let age = now.duration_since(turned_at);
        if age >= SEEN_WINDOW || self.now.len() >= SEEN_COUNT_MAX {
            self.before = std::mem::take(&mut self.now);
            // What lies two windows back is forgotten, however quiet it was since.
            if age >= SEEN_WINDOW * 2 {
                self.before.clear();
            }
            self.turned_at = Some(now);
        }
        self.now.contains(&id) || self.before.contains(&id)
    }

    fn add(&mut self, id: ErrorId) {
        self.now.insert(id);
    }
}
