//! What the probes ask: a door in this process with a road behind it that keeps what arrives, or the whole daemon. Decodes with prost, so that whatever it
//! calls good is good by the official messages.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tawny::io::spans::door::{Door, DoorOptions, JsonRead, NotRead, serve_telemetry};
use tawny::io::spans::faces::{Arrival, Budget, Road, Verdict};
use tawny::model::Signal;
use tawny::otlp::json::Repairs;
use tawny::store::Later;
use tokio::sync::{Semaphore, watch};

use crate::daemon::{Daemon, Home};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::Otlp;
use crate::telemetry::kit;
use crate::wait::{PATIENCE, until_true};

/// Small, so that bodies around it are quickly made.
pub const LIMIT: usize = 1 << 20;
const BUDGET: usize = 8 << 20;

/// Whatever can be asked: an address, and what came out behind it.
pub trait Receiver: Sync {
    fn address(&self) -> SocketAddr;

    /// What has arrived since the last call.
    fn arrived(&self) -> Vec<(Signal, Bytes)>;

    /// How long the requests to come take behind the door.
    fn set_delay(&self, delay: Duration);

    /// `exactly this` or what came instead, for the report.
    fn arrived_only(&self, body: &[u8]) -> String {
        match self.arrived().as_slice() {
            [(_, bytes)] if bytes == body => "whole".to_owned(),
            [] => "nothing".to_owned(),
            other => format!("{} bodies, or a different one", other.len()),
        }
    }
}

#[derive(Default)]
pub struct Recorder {
    arrived: Mutex<Vec<(Signal, Bytes)>>,
    script: Mutex<VecDeque<Verdict>>,
    /// How long the next request takes.
    pub delay: Mutex<Duration>,
}

impl Road for Recorder {
    fn take(&self, arrival: Arrival) -> Later<'_, Verdict> {
        Box::pin(async move {
            let delay = std::mem::take(&mut *self.delay.lock().unwrap());
            tokio::time::sleep(delay).await;
            if arrival.signal == Signal::Traces && ExportTraceServiceRequest::decode(arrival.body.clone()).is_err() {
                return Verdict::Malformed { reason: "it is not a trace request".to_owned() };
            }
            self.arrived.lock().unwrap().push((arrival.signal, Bytes::copy_from_slice(&arrival.body)));
            self.script.lock().unwrap().pop_front().unwrap_or(Verdict::Taken)
        })
    }
}

pub struct Target {
    pub address: SocketAddr,
    pub road: Arc<Recorder>,
    pub budget: Arc<Budget>,
    pub door: Arc<Door>,
    pub stop: watch::Sender<bool>,
    pub serving: tokio::task::JoinHandle<()>,
}

/// JSON as the official crate reads it, so that only the door's part is under test.
fn read_json(_: Signal, bytes: &[u8], _: usize) -> Result<JsonRead, NotRead> {
    let request: ExportTraceServiceRequest =
        serde_json::from_slice(bytes).map_err(|cause| NotRead::Fault(cause.to_string()))?;
    Ok(JsonRead { protobuf: request.encode_to_vec(), repairs: Repairs::default() })
}

impl Target {
    pub async fn start(set: impl FnOnce(&mut DoorOptions)) -> Target {
        let mut options = DoorOptions::new(read_json);
        options.body_bytes_max = LIMIT;
        options.path_prefix = "/otlp".to_owned();
        set(&mut options);
        let (road, budget) = (Arc::new(Recorder::default()), Budget::new(BUDGET));
        let door = Door::new(road.clone(), budget.clone(), options);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = watch::Sender::new(false);
        let connections = Arc::new(Semaphore::new(100));
        let serving = serve_telemetry(listener, door.clone(), connections, stop.subscribe(), Duration::from_secs(20));
        Target { address, road, budget, door, stop, serving: tokio::spawn(serving) }
    }

    /// The verdict on the next request.
    pub fn script(&self, verdict: Verdict) {
        self.road.script.lock().unwrap().push_back(verdict);
    }

    pub async fn assert_the_budget_is_whole(&self) {
        until_true("the budget to be given back", PATIENCE, async || self.budget.in_use() == 0).await;
    }
}

impl Receiver for Target {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn arrived(&self) -> Vec<(Signal, Bytes)> {
        std::mem::take(&mut self.road.arrived.lock().unwrap())
    }

    fn set_delay(&self, delay: Duration) {
        *self.road.delay.lock().unwrap() = delay;
    }
}

/// The whole daemon: tells nothing, so that requests go through it as they are, and answers when its backend has.
pub struct Whole<'home> {
    pub daemon: Daemon<'home>,
    pub backend: StandIn<Otlp>,
    seen_count: AtomicUsize,
}

/// Names no tag, sends on what comes, and has the bounds of the door under test.
const SETTINGS: &str = "to: [back], durability: through, resend_window: 0s, attributes: { platform: '', \
    platform.variant: '', platform.confidence: '', cell: '', service: '', owner: '', env: '' }";

impl<'home> Whole<'home> {
    pub fn home(backend: &StandIn<Otlp>, json: &str) -> Home {
        let doors = format!(", path_prefix: /otlp, request_bytes: 1MiB, in_flight_bytes: 8MiB, json: {json}");
        kit::home(&kit::sink("back", &backend.url(), ""), &doors, SETTINGS)
    }

    pub async fn start(home: &'home Home, backend: StandIn<Otlp>) -> Whole<'home> {
        Whole { daemon: Daemon::start(home).await, backend, seen_count: AtomicUsize::new(0) }
    }
}

impl Receiver for Whole<'_> {
    fn address(&self) -> SocketAddr {
        self.daemon.telemetry_addresses()[1]
    }

    fn arrived(&self) -> Vec<(Signal, Bytes)> {
        let exchanges = self.backend.exchanges();
        let seen_count = self.seen_count.swap(exchanges.len(), Ordering::Relaxed);
        let signal = |path: &str| Signal::ALL.into_iter().find(|signal| signal.http_path() == path).unwrap();
        exchanges.into_iter().skip(seen_count).map(|exchange| (signal(&exchange.path), exchange.body)).collect()
    }

    fn set_delay(&self, delay: Duration) {
        self.backend.role.set_delay(delay);
    }
}
