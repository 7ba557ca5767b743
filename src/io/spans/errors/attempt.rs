//! The attempts at one exception: what the answer means for it and for those behind it. Never tries an exception again
//! that the sink has refused.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::lost_to;
use super::{ErrorOutlet, Outcome, Parts};
use crate::model::ErrorEvent;
use crate::sinks::{EncodeError, HttpRequest, Judgement, Lost, LostWhy};

/// The first, and two more.
const ATTEMPT_COUNT_MAX: u32 = 3;
/// Full jitter: a random wait up to a bound that doubles from the first to the cap.
const RETRY_BASE_MS: u64 = 1000;
const RETRY_CAP: Duration = Duration::from_secs(60);
/// A 429 that does not say for how long.
const THROTTLED_PAUSE: Duration = Duration::from_secs(60);
/// A wrong credential is a person's to mend; until then exceptions are dropped, and one of them asks again.
const BLOCKED_PAUSE: Duration = Duration::from_secs(60);

/// What one request brought.
struct Answer {
    judgement: Judgement,
    /// 0 where none came.
    status: u16,
}

pub(super) async fn send(event: ErrorEvent, parts: Arc<Parts>, outlet: Arc<ErrorOutlet>) -> Outcome {
    let mut attempt = 1;
    loop {
        let paused = {
            let mut queue = outlet.lock();
            let paused = queue.pause(Instant::now());
            paused.iter().for_each(|outcome| queue.lose(lost_to(*outcome), 1));
            paused
        };
        if let Some(outcome) = paused {
            return outcome;
        }
        let lost = outlet.lock().report(Instant::now());
        let answer = ask(&event, &lost, &parts).await;
        let is_delivered = matches!(answer.judgement, Judgement::Delivered | Judgement::DeliveredThenPause(_));
        if !is_delivered {
            outlet.lock().unreport(&lost);
        }
        match after(answer, &parts, &outlet) {
            After::Settled(outcome) => return outcome,
            After::Again { why, .. } if attempt == ATTEMPT_COUNT_MAX => {
                outlet.lock().lose(why, 1);
                return Outcome::Failed;
            }
            After::Again { wait, .. } => {
                let bound = RETRY_BASE_MS << (attempt - 1);
                tokio::time::sleep(wait.unwrap_or_else(|| Duration::from_millis(fastrand::u64(0..=bound)))).await;
                attempt += 1;
            }
        }
    }
}

/// One request, encoded at the moment of sending.
async fn ask(event: &ErrorEvent, lost: &[Lost], parts: &Parts) -> Answer {
    let request = match encode(event, lost, parts) {
        Ok(request) => request,
        Err(error @ (EncodeError::SecretMissing { .. } | EncodeError::SecretBad { .. })) => {
            return Answer { judgement: Judgement::Blocked { reason: error.to_string() }, status: 0 };
        }
        Err(error @ EncodeError::Unencodable { .. }) => {
            return Answer { judgement: Judgement::Rejected { reason: error.to_string() }, status: 0 };
        }
    };
    match parts.transport.post(request, parts.sink.limits().timeout).await {
        Err(error) => Answer { judgement: Judgement::Transient { reason: error.reason }, status: 0 },
        Ok(received) => {
            let body = parts.secrets.masked(&received.body);
            let judgement = parts.sink.judge(&received.answer(&body, parts.clock.now()), 1).pop();
            let unjudged = || Judgement::Transient { reason: "not judged".to_owned() };
            Answer { judgement: judgement.unwrap_or_else(unjudged), status: received.status }
        }
    }
}

fn encode(event: &ErrorEvent, lost: &[Lost], parts: &Parts) -> Result<HttpRequest, EncodeError> {
    match parts.sink.errors() {
        Some(errors) => errors.encode_error(event, lost, &parts.secrets, parts.clock.now()),
        None => Err(EncodeError::Unencodable { reason: "this kind of sink takes no exceptions".to_owned() }),
    }
}

enum After {
    Settled(Outcome),
    Again { wait: Option<Duration>, why: LostWhy },
}

fn after(answer: Answer, parts: &Parts, outlet: &ErrorOutlet) -> After {
    let Answer { judgement, status } = answer;
    let attempted = |meaning| parts.metrics.attempt(&parts.name, meaning);
    let pause = |span: Duration, outcome, reason: &str| {
        let is_news = {
            let mut queue = outlet.lock();
            let is_news = queue.pause(Instant::now()).is_none();
            queue.pause_for(span, outcome, Instant::now());
            is_news
        };
        if is_news {
            tracing::warn!(sink = %parts.name, pause_ms = span.as_millis(), reason, "exceptions are dropped for a while");
        }
    };
    match judgement {
        Judgement::Delivered => {
            attempted("delivered");
            After::Settled(Outcome::Sent)
        }
        Judgement::DeliveredThenPause(span) => {
            attempted("delivered");
            pause(span, Outcome::Throttled, "the sink asks for silence");
            After::Settled(Outcome::Sent)
        }
        // An overloaded server is no quota: what it could not take now it may take later.
        Judgement::Throttled { retry_after } if status >= 500 => {
            attempted("throttled");
            After::Again { wait: retry_after.map(|wait| wait.min(RETRY_CAP)), why: LostWhy::Refused }
        }
        Judgement::Throttled { retry_after } => {
            attempted("throttled");
            pause(retry_after.unwrap_or(THROTTLED_PAUSE), Outcome::Throttled, "the quota is used up");
            After::Settled(Outcome::Throttled)
        }
        // A quota of others, by what the sink says: this one is dropped as at any 429, and those behind it are sent.
        Judgement::Transient { .. } if status == 429 => {
            attempted("throttled");
            After::Settled(Outcome::Throttled)
        }
        // An exception has an id by which it is known again.
        Judgement::Transient { .. } | Judgement::Doubtful { .. } => {
            attempted("transient");
            After::Again { wait: None, why: if status == 0 { LostWhy::Network } else { LostWhy::Refused } }
        }
        Judgement::Blocked { reason } => {
            attempted("blocked");
            pause(BLOCKED_PAUSE, Outcome::Refused, &reason);
            outlet.lock().lose(LostWhy::Refused, 1);
            After::Settled(Outcome::Refused)
        }
        Judgement::Rejected { reason } => {
            attempted("rejected");
            let may_warn = {
                let mut queue = outlet.lock();
                queue.lose(LostWhy::Refused, 1);
                queue.may_warn(Instant::now())
            };
            if may_warn {
                tracing::warn!(sink = %parts.name, reason = %reason, "an exception was refused");
            }
            After::Settled(Outcome::Refused)
        }
    }
}
