//! The doors of telemetry: OTLP over gRPC and over HTTP, in protobuf and in JSON, on one listener, told apart by
//! what a request says of itself. Never looks inside a request beyond its framing and compression.

mod connection;
mod counts;
mod options;
pub mod words;

use std::sync::Arc;

use tokio::sync::watch;

use super::faces::{Budget, Road};

pub use connection::serve_telemetry;
pub use counts::{Count, Counts, Outcome, Transport};
pub use options::DoorOptions;

/// One door; both listeners may share it.
pub struct Door {
    road: Arc<dyn Road>,
    budget: Arc<Budget>,
    options: DoorOptions,
    counts: Arc<Counts>,
    /// Told to health watchers; set when a listener is told to stop.
    stopping: watch::Sender<bool>,
}

impl Door {
    pub fn new(road: Arc<dyn Road>, budget: Arc<Budget>, options: DoorOptions) -> Arc<Door> {
        let stopping = watch::Sender::new(false);
        Arc::new(Door { road, budget, options, counts: Arc::default(), stopping })
    }

    /// For the scrape.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }
}
