//! The way of exceptions to one sink for errors: a bounded queue, a window in which a repeat is known, and a worker that
//! sends. Never waits when something is offered, and never loses an exception without counting it.
//!
//! Exceptions of telemetry are many and each alone says little, so the rule of Sentry's own SDKs holds: what it does not
//! want now is dropped, and what fails is tried twice more.

mod attempt;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::io::clock::Clock;
use crate::io::secrets::SecretSet;
use crate::io::transport::Transport;
use crate::model::ErrorEvent;
use crate::sinks::Sink;
use crate::telemetry::Metrics;
use queue::Queue;

/// What an outlet is made of. The sink must have an [`ErrorSink`](crate::sinks::ErrorSink), or nothing is sent.
pub struct Parts {
    pub name: Arc<str>,
    pub sink: Arc<dyn Sink>,
    pub secrets: SecretSet,
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<Clock>,
    pub metrics: Metrics,
    pub stop: watch::Receiver<bool>,
    /// How long what waits may still be sent after the stop.
    pub grace: Duration,
}

/// How an exception ended: each in exactly one of these, as labels of `tawny_exceptions_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent,
    /// Known already: a resend, or the same exception in the other signal.
    Repeated,
    /// There was no room in the queue, or too many in one block.
    Overflow,
    /// The sink had asked for silence.
    Throttled,
    /// The sink did not take it, or not from us.
    Refused,
    /// Given up after its attempts.
    Failed,
    /// Still waiting when the grace of the stop was over.
    Stopped,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Outcome::Sent => "sent",
            Outcome::Repeated => "repeated",
            Outcome::Overflow => "overflow",
            Outcome::Throttled => "throttled",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Stopped => "stopped",
        }
    }
}

/// Where the span road puts exceptions.
pub struct ErrorOutlet {
    name: Arc<str>,
    metrics: Metrics,
    queue: Mutex<Queue>,
    woken: Notify,
}

impl ErrorOutlet {
    /// Queues what is new; what is a repeat, or finds no room, is counted and dropped.
    pub fn offer(&self, events: Vec<ErrorEvent>) {
        let now = Instant::now();
        let mut dropped = Vec::new();
        {
            let mut queue = self.lock();
            dropped.extend(events.into_iter().filter_map(|event| queue.push(event, now).err()));
        }
        dropped.into_iter().for_each(|outcome| self.count(outcome, 1));
        self.woken.notify_one();
    }

    /// Counts exceptions that were not even made into events: beyond the bound of a block, or not wanted.
    pub fn omitted(&self, count: u64) {
        if count > 0 {
            let outcome = self.lock().omitted(count, Instant::now());
            self.count(outcome, count);
        }
    }

    /// Whether it is worth while to read a block for exceptions. Where it is not, they are only counted, because most
    /// of the cost of an exception is its stack trace.
    pub fn wants(&self) -> bool {
        self.lock().has_room(Instant::now())
    }

    /// Exceptions that wait now.
    pub fn waiting_count(&self) -> usize {
        self.lock().len()
    }

    /// Whether the sink has asked for silence, or is at fault itself.
    pub fn is_paused(&self) -> bool {
        self.lock().pause(Instant::now()).is_some()
    }

    /// What became of the events offered is decided under this lock, which is held for no longer than that.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, outcome: Outcome, count: u64) {
        self.metrics.exceptions(&self.name, outcome.as_str(), count);
    }
}

/// Sends what the outlet holds.
pub struct ErrorWorker {
    outlet: Arc<ErrorOutlet>,
    parts: Arc<Parts>,
}

/// The two ends of one queue.
pub fn outlet(parts: Parts) -> (Arc<ErrorOutlet>, ErrorWorker) {
    let outlet = Arc::new(ErrorOutlet {
        name: parts.name.clone(),
        metrics: parts.metrics.clone(),
        queue: Mutex::default(),
        woken: Notify::new(),
    });
    (outlet.clone(), ErrorWorker { outlet, parts: Arc::new(parts) })
}

impl ErrorWorker {
    /// Runs until told to stop, then sends what waits as long as the grace lasts, and counts the rest as lost.
    pub async fn run(self) {
        let mut stop = self.parts.stop.clone();
        let mut jobs = JoinSet::new();
        let mut deadline = None;
        loop {
            // An owner that is gone cannot say stop any more, and means it.
            if deadline.is_none() && (*stop.borrow() || stop.has_changed().is_err()) {
                self.outlet.lock().close();
                deadline = Some(Instant::now() + self.parts.grace);
            }
            self.dispatch(&mut jobs);
            if deadline.is_some() && jobs.is_empty() {
                return;
            }
            tokio::select! {
                Some(done) = jobs.join_next() => self.settle(done),
                () = self.outlet.woken.notified(), if deadline.is_none() => {}
                () = sleep_until(deadline) => {
                    self.give_up(jobs).await;
                    return;
                }
                _ = stop.changed(), if deadline.is_none() => {}
            }
        }
    }

    /// Starts as many requests as the sink takes at once.
    fn dispatch(&self, jobs: &mut JoinSet<Outcome>) {
        while jobs.len() < self.parts.sink.limits().in_flight_max {
            let Some(event) = self.outlet.lock().pop() else { return };
            jobs.spawn(attempt::send(event, self.parts.clone(), self.outlet.clone()));
        }
    }

    fn settle(&self, done: Result<Outcome, tokio::task::JoinError>) {
        match done {
            Ok(outcome) => self.outlet.count(outcome, 1),
            Err(error) if error.is_cancelled() => self.outlet.count(Outcome::Stopped, 1),
            Err(error) => {
                tracing::error!(sink = %self.parts.name, error = %error, "sending an exception died");
                self.outlet.count(Outcome::Failed, 1);
            }
        }
    }

    /// The grace is over: what is under way is broken off, what waits is counted.
    async fn give_up(&self, mut jobs: JoinSet<Outcome>) {
        jobs.abort_all();
        while let Some(done) = jobs.join_next().await {
            self.settle(done);
        }
        let mut waiting = 0;
        while self.outlet.lock().pop().is_some() {
            waiting += 1;
        }
        self.outlet.count(Outcome::Stopped, waiting);
        tracing::warn!(sink = %self.parts.name, waiting, "exceptions were lost at the stop");
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
