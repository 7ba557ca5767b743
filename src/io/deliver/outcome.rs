//! What a judgement means for a delivery: settled, tried again when, the credential paused how long.

use std::time::Duration;

use tokio::time::Instant;

use crate::io::transport::NoAnswer;
use crate::model::{DeliveryOutcome, Timestamp};
use crate::sinks::{Judgement, Limits, Rate};
use crate::store::{Pending, Settlement};

/// Full jitter: a random wait up to a bound that doubles from the first to the cap.
const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_secs(60);
/// Without a `Retry-After`: 30 s, doubling to 5 min (PagerDuty documents none).
const THROTTLE_BASE: Duration = Duration::from_secs(30);
const THROTTLE_CAP: Duration = Duration::from_secs(300);
/// Whoever throttles us is not asked again sooner, however small a span it names: a batch of lanes would ask all at once.
const THROTTLE_MIN: Duration = Duration::from_secs(1);
/// A wrong credential is a person's to mend; asking faster helps nobody.
const BLOCKED_PAUSE: Duration = Duration::from_secs(300);
/// A sink may ask for silence, but not for ever.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// How the reason of a delivery begins that may have been taken and would show twice. It is stored with the delivery, so
/// that no restart forgets it.
const MAY_HAVE_BEEN_TAKEN: &str = "may have been taken";
/// What is kept of an error text.
const REASON_CHARS_MAX: usize = 500;

pub(super) struct After {
    pub(super) settlement: Settlement,
    /// The credential is left alone for this long.
    pub(super) pause: Option<Duration>,
    pub(super) meaning: &'static str,
}

/// What the sink's task remembers from one attempt to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    /// How often in a row the credential was told to slow down, this time included.
    pub(super) throttled_count: u32,
    /// Since when the clock goes on without a jump; what waits does not grow older by one.
    pub(super) since: Timestamp,
}

pub(super) fn after(item: &Pending, judgement: Judgement, limits: &Limits, history: History, now: Timestamp) -> After {
    let attempts = item.delivery.attempts.saturating_add(1);
    let is_doubted = item.delivery.reason.starts_with(MAY_HAVE_BEEN_TAKEN);
    // Whatever follows, the doubt stays.
    let told = |reason: String| match is_doubted {
        true => format!("{MAY_HAVE_BEEN_TAKEN} before: {reason}"),
        false => reason,
    };
    let settle = |outcome, reason: String| Settlement {
        id: item.delivery.id,
        attempts,
        next_attempt_at: now,
        outcome: Some(outcome),
        reason: reason.chars().take(REASON_CHARS_MAX).collect(),
        at: now,
    };
    let again = |reason: String, wait: Duration| {
        if now.since(item.delivery.created_at.max(history.since)) + wait > limits.deadline {
            return settle(DeliveryOutcome::Dead, format!("given up after {attempts} attempts: {reason}"));
        }
        Settlement { outcome: None, next_attempt_at: now.plus(wait), ..settle(DeliveryOutcome::Dead, reason) }
    };
    match judgement {
        Judgement::Delivered => {
            After { settlement: settle(DeliveryOutcome::Delivered, String::new()), pause: None, meaning: "delivered" }
        }
        Judgement::DeliveredThenPause(span) => After {
            settlement: settle(DeliveryOutcome::Delivered, String::new()),
            pause: Some(span.min(RETRY_AFTER_MAX)),
            meaning: "delivered",
        },
        Judgement::Throttled { retry_after } => {
            // It is the credential that is throttled, whichever notice comes first after the pause.
            let own = doubled(THROTTLE_BASE, THROTTLE_CAP, history.throttled_count);
            let wait = retry_after.map_or(own, |span| span.clamp(THROTTLE_MIN, RETRY_AFTER_MAX));
            After { settlement: again(told("throttled".to_owned()), wait), pause: Some(wait), meaning: "throttled" }
        }
        Judgement::Transient { reason } => {
            After { settlement: again(told(reason), jitter(attempts)), pause: None, meaning: "transient" }
        }
        Judgement::Doubtful { reason } => {
            let reason = format!("{MAY_HAVE_BEEN_TAKEN}: {reason}");
            let settlement = if is_doubted {
                settle(DeliveryOutcome::Dead, format!("given up after {attempts} attempts: {reason}"))
            } else {
                again(reason, jitter(attempts))
            };
            After { settlement, pause: None, meaning: "transient" }
        }
        Judgement::Blocked { reason } => {
            After { settlement: again(told(reason), BLOCKED_PAUSE), pause: Some(BLOCKED_PAUSE), meaning: "blocked" }
        }
        Judgement::Rejected { reason } => {
            After { settlement: settle(DeliveryOutcome::Dead, told(reason)), pause: None, meaning: "rejected" }
        }
    }
}

/// What a request without an answer means for one of its notices.
pub(super) fn unanswered(error: &NoAnswer, shows_twice: bool) -> Judgement {
    let reason = error.reason.clone();
    if error.is_doubtful && shows_twice { Judgement::Doubtful { reason } } else { Judgement::Transient { reason } }
}

/// A newer notice of the lane says all that this one would have said.
pub(super) fn superseded(item: &Pending, now: Timestamp) -> Settlement {
    Settlement {
        id: item.delivery.id,
        attempts: item.delivery.attempts,
        next_attempt_at: now,
        outcome: Some(DeliveryOutcome::Superseded),
        reason: String::new(),
        at: now,
    }
}

fn jitter(attempts: u32) -> Duration {
    let bound = doubled(RETRY_BASE, RETRY_CAP, attempts);
    Duration::from_millis(fastrand::u64(0..=u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)))
}

fn doubled(base: Duration, cap: Duration, attempts: u32) -> Duration {
    base.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(cap)
}

/// A token bucket per credential.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Option<Rate>,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Option<Rate>) -> Bucket {
        Bucket { rate, tokens: rate.map_or(0.0, |rate| f64::from(rate.burst)), filled_at: Instant::now() }
    }

    fn fill(&mut self, now: Instant) {
        if let Some(rate) = self.rate {
            let gained = now.duration_since(self.filled_at).as_secs_f64() * f64::from(rate.per_minute) / 60.0;
            self.tokens = (self.tokens + gained).min(f64::from(rate.burst));
            self.filled_at = now;
        }
    }

    pub(super) fn allows(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.rate.is_none() || self.tokens >= 1.0
    }

    pub(super) fn spend(&mut self, now: Instant) {
        self.fill(now);
        self.tokens -= 1.0;
    }

    /// When a request may go, if not now. A millisecond late, so that rounding never names a moment at which
    /// the token is still a hair short: whoever waits for that would wait again and again.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let rate = self.rate.filter(|_| self.tokens < 1.0)?;
        let missing = (1.0 - self.tokens) * 60.0 / f64::from(rate.per_minute.max(1));
        Some(self.filled_at + Duration::from_secs_f64(missing) + Duration::from_millis(1))
    }
}
