//! What a sender is told that did not get through, the same for both protocols. Wording is left to them.

use std::time::Duration;

use super::Door;
use super::counts::Outcome;
use super::fault::Fault;
use super::words::{Detail, code};
use crate::io::spans::faces::Verdict;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub http: u16,
    pub grpc: u8,
    pub reason: String,
    pub detail: Detail,
    pub outcome: Outcome,
}

/// A success that has something to say.
pub(super) type Partial = Option<(u64, String)>;

impl Refusal {
    pub(super) fn of(fault: &Fault, door: &Door) -> Refusal {
        let detail = match fault.outcome() {
            Outcome::NotNow => Detail::RetryInfo(jittered(door.options.retry_after)),
            Outcome::Malformed => Detail::BadRequest,
            Outcome::Taken
            | Outcome::Partly
            | Outcome::TooLarge
            | Outcome::TooSlow
            | Outcome::Late
            | Outcome::Unsupported
            | Outcome::Passed
            | Outcome::Broken => Detail::None,
        };
        Refusal { http: fault.http(), grpc: fault.grpc(), reason: fault.to_string(), detail, outcome: fault.outcome() }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self.detail {
            Detail::RetryInfo(delay) => Some(delay),
            Detail::None | Detail::BadRequest => None,
        }
    }
}

/// Up to twice the delay, so that senders do not come back together.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(1.0 + fastrand::f64())
}

/// What the road said, with what the reader of JSON mended on the way.
pub(super) fn settle(verdict: Verdict, repairs: &str) -> Result<Partial, Refusal> {
    match verdict {
        Verdict::Taken if repairs.is_empty() => Ok(None),
        Verdict::Taken => Ok(Some((0, repairs.to_owned()))),
        Verdict::Partly { rejected, message } if message.contains(repairs) => Ok(Some((rejected, message))),
        Verdict::Partly { rejected, message } => Ok(Some((rejected, format!("{message}; {repairs}")))),
        Verdict::Malformed { reason } => Err(Refusal {
            http: 400,
            grpc: code::INVALID_ARGUMENT,
            reason,
            detail: Detail::BadRequest,
            outcome: Outcome::Malformed,
        }),
        Verdict::NotNow { reason, retry_after } => Err(Refusal {
            http: 503,
            grpc: code::UNAVAILABLE,
            reason,
            detail: Detail::RetryInfo(retry_after),
            outcome: Outcome::NotNow,
        }),
        Verdict::Passed { http, grpc, reason, retry_after } => Err(Refusal {
            // A sink that refuses by something else than an error has broken the protocol, not the sender.
            http: if (400..600).contains(&http) { http } else { 502 },
            grpc: if (1..=16).contains(&grpc) { grpc } else { code::UNKNOWN },
            reason,
            detail: retry_after.map_or(Detail::None, Detail::RetryInfo),
            outcome: Outcome::Passed,
        }),
    }
}
