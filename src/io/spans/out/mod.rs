//! Telemetry on its way out: each sink has a queue bounded in bytes and some lanes that send. Never waits in
//! order to batch, and never lets one sink wait for another.
//!
//! A parcel goes to the first lane that is free, as it came. Only what has queued up behind busy lanes is joined,
//! by writing requests one after another, up to `join_bytes_max`. A sink that answers within a millisecond counts as
//! busy with one request: what is small goes with the next one, and a guard sees to it that it does not wait for
//! longer than that. Each lane has one connection and one request in flight; while a lane waits to try again, the others
//! go on, except where the sink itself asks for a pause.

mod answer;
mod body;
mod call;
mod client;
mod encode;
mod lane;
mod link;
mod queue;
mod request;
#[cfg(test)]
mod tests;
mod unpack;

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use client::{Connectors, ConnectorsError};
pub use encode::Encoded;
pub use queue::Queue;

use encode::Encoders;
use lane::Lane;

use super::faces::Outlet;
use super::workers::Workers;
use crate::io::clock::Clock;
use crate::io::secrets::SecretSet;
use crate::sinks::TelemetrySink;
use crate::telemetry::OutletTally;

/// Who tries again when a sink does not take a parcel now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// We do, until the plan's `give_up_after` (`memory`).
    Retry,
    /// The sender does: each parcel is tried once, alone, and what the sink answers is told (`through`).
    Pass,
    /// We do, without an end: the parcel is kept elsewhere meanwhile (`spool`).
    Keep,
}

/// What all sinks of telemetry share.
pub struct Machinery {
    pub clock: Arc<Clock>,
    pub connectors: Connectors,
    pub encoders: Encoders,
    /// Whose lanes they are.
    pub workers: Arc<Workers>,
}

impl Machinery {
    pub fn new(clock: Arc<Clock>, workers: Arc<Workers>) -> Result<Arc<Machinery>, ConnectorsError> {
        Ok(Arc::new(Machinery { clock, connectors: Connectors::new()?, encoders: Encoders::default(), workers }))
    }
}

/// One configured sink of telemetry.
pub struct OutletSetup {
    pub name: Arc<str>,
    pub sink: Box<dyn TelemetrySink>,
    pub secrets: SecretSet,
    pub patience: Patience,
    /// Where it counts; registered with [`crate::telemetry::Metrics::outlet`].
    pub tally: Arc<OutletTally>,
}

/// A sink that sends.
pub struct Sending {
    queue: Arc<Queue>,
    lanes: Vec<JoinHandle<()>>,
    guard: JoinHandle<()>,
}

/// What a stop left behind, all counted as `stopped` or handed back to who keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub parcel_count: u64,
    pub item_count: u64,
}

/// Starts the lanes of a sink, on the workers in turn. Needs a running tokio runtime.
pub fn start(setup: OutletSetup, machinery: &Arc<Machinery>) -> Sending {
    let OutletSetup { name, sink, secrets, patience, tally } = setup;
    let sink: Arc<dyn TelemetrySink> = Arc::from(sink);
    let in_flight_max = sink.plan().in_flight_max.max(1);
    let queue = Queue::new(name, sink.clone(), patience, tally);
    let secrets = Arc::new(secrets);
    let lane = |_| {
        let lane = Lane::new(queue.clone(), sink.clone(), secrets.clone(), machinery.clone());
        machinery.workers.spawn(lane.run())
    };
    let lanes = (0..in_flight_max).map(lane).collect();
    let guarded = queue.clone();
    let guard = machinery.workers.spawn(async move { guarded.guard().await });
    Sending { queue, lanes, guard }
}

impl Sending {
    /// Where the road puts parcels.
    pub fn outlet(&self) -> Arc<dyn Outlet> {
        self.queue.clone()
    }

    /// Takes nothing more and sends what is there, retries included, until then; what is left is lost and counted.
    pub async fn stop(self, until: Instant) -> Left {
        let Sending { queue, mut lanes, guard } = self;
        queue.close();
        joined(guard).await;
        let drained = async {
            for lane in &mut lanes {
                joined(lane).await;
            }
        };
        if tokio::time::timeout_at(until, drained).await.is_err() {
            queue.cut();
            for lane in lanes {
                // Each lane sees the cut at once, wherever it waits.
                if !lane.is_finished() {
                    joined(lane).await;
                }
            }
        }
        queue.left()
    }
}

async fn joined(lane: impl Future<Output = Result<(), tokio::task::JoinError>>) {
    if let Err(error) = lane.await {
        tracing::error!(error = %error, "a lane or its guard died");
    }
}
