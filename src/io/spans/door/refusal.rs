//! What a sender is told that did not get through, the same for both protocols. Wording is left to them.

use std::time::Duration;

use super::Door;
use super::counts::Outcome;
use super::fault::Fault;
use crate::io::spans::faces::Verdict;
use crate::otlp::answer::{Code, Detail, Status};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub http: u16,
    pub status: Status,
    pub outcome: Outcome,
}

/// A success that has something to say.
pub(super) type Partial = Option<(u64, String)>;

impl Refusal {
    pub(super) fn of(fault: &Fault, door: &Door) -> Refusal {
        let (code, reason) = (fault.grpc(), fault.to_string());
        let status = match fault.outcome() {
            Outcome::NotNow => Status::retry(code, reason, jittered(door.options.retry_after)),
            Outcome::Malformed => about_the_request(code, reason),
            Outcome::Taken
            | Outcome::Partly
            | Outcome::TooLarge
            | Outcome::TooSlow
            | Outcome::Late
            | Outcome::Unsupported
            | Outcome::Unauthorized
            | Outcome::Passed
            | Outcome::Broken => Status::new(code, reason),
        };
        Refusal { http: fault.http(), status, outcome: fault.outcome() }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.status.details.iter().find_map(|detail| match detail {
            Detail::RetryInfo { delay } => Some(*delay),
            Detail::BadRequest { .. } => None,
        })
    }
}

/// The request itself is wrong, by whatever code its protocol has for that.
fn about_the_request(code: Code, reason: String) -> Status {
    Status { code, ..Status::bad_request("", reason) }
}

/// Up to twice the delay, so that senders do not come back together.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(1.0 + fastrand::f64())
}

/// What the road said.
pub(super) fn settle(verdict: Verdict) -> Result<Partial, Refusal> {
    match verdict {
        Verdict::Taken => Ok(None),
        Verdict::Partly { rejected, message } => Ok(Some((rejected, message))),
        Verdict::Malformed { reason } => Err(Refusal {
            http: 400,
            status: about_the_request(Code::InvalidArgument, reason),
            outcome: Outcome::Malformed,
        }),
        Verdict::NotNow { reason, retry_after } => Err(Refusal {
            http: 503,
            status: Status::retry(Code::Unavailable, reason, retry_after),
            outcome: Outcome::NotNow,
        }),
        Verdict::Passed { http, grpc, reason, retry_after } => {
            let told = Code::from_u8(grpc);
            let code = if told == Code::Ok { Code::Unknown } else { told };
            Err(Refusal {
                // A sink that refuses by something else than an error has broken the protocol, not the sender.
                http: if (400..600).contains(&http) { http } else { 502 },
                status: match retry_after {
                    Some(delay) => Status::retry(code, reason, delay),
                    None => Status::new(code, reason),
                },
                outcome: Outcome::Passed,
            })
        }
    }
}
