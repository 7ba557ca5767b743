//! Wires the span road: doors, road, queues, spool, and the way of exceptions. Starts it and stops it in the order
//! the data flows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::io::auth::Guard;
use crate::io::clock::Clock;
use crate::io::intake::Intake;
use crate::io::live_rules::LiveRules;
use crate::io::server::bind;
use crate::io::spans::alerts::AlertWay;
use crate::io::spans::book::Telling;
use crate::io::spans::door::{Door, DoorOptions, JsonRead, NotRead, serve_telemetry};
use crate::io::spans::errors::{self, Parts};
use crate::io::spans::faces::{Budget, Outlet};
use crate::io::spans::out::{self, Machinery, OutletSetup, Patience, Sending};
use crate::io::spans::resends::Resends;
use crate::io::spans::road::{Memory, Promise, SpanRoad, Way};
use crate::io::spans::spool::{SEGMENT_BYTES, SinkId, Spool, SpoolSettings};
use crate::io::spans::tally::{Line, Tally};
use crate::io::spans::workers::Workers;
use crate::io::transport::HttpTransport;
use crate::model::Signal;
use crate::otlp::json;
use crate::settings::{Durability, ErrorSetup, SpanRoadPlan, TelemetrySetup};
use crate::telemetry::Metrics;

/// What the road shares with the rest of the daemon.
pub(super) struct Shared {
    pub(super) rules: Arc<LiveRules>,
    pub(super) clock: Arc<Clock>,
    /// For the alerts that rules make of telemetry.
    pub(super) intake: Arc<Intake>,
    pub(super) metrics: Metrics,
    pub(super) doors_stop: watch::Receiver<bool>,
    pub(super) workers_stop: watch::Receiver<bool>,
    /// For all of a stop.
    pub(super) shutdown: Duration,
}

/// The sides of one sink that telemetry knows.
pub(super) struct Sides {
    pub(super) name: Arc<str>,
    pub(super) telemetry: Option<TelemetrySetup>,
    pub(super) errors: Option<ErrorSetup>,
}

/// The span road as it runs.
pub(super) struct SpanSide {
    pub(super) addresses: Vec<SocketAddr>,
    doors: Vec<JoinHandle<()>>,
    sendings: Vec<Sending>,
    error_workers: Vec<JoinHandle<()>>,
    spool: Option<Arc<Spool>>,
    tally: Arc<Tally>,
    door: Arc<Door>,
    workers: Arc<Workers>,
}

pub(super) async fn start(plan: SpanRoadPlan, sides: Vec<Sides>, shared: &Shared) -> anyhow::Result<SpanSide> {
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let listeners = listen(&plan.listen).await?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let budget = Budget::new(plan.in_flight_bytes);
    let tally: Arc<Tally> = Arc::default();
    // What is spooled is read back from the disk, inflated.
    let keeps_members = plan.durability != Durability::Spool
        && sides.iter().any(|side| side.telemetry.as_ref().is_some_and(|setup| setup.sink.plan().graft));
    let workers = Arc::new(Workers::start().context("the threads of telemetry")?);
    let mut outs = Outs::start(&plan, sides, shared, &workers)?;
    let (promise, spool) = promise(&plan, &outs, &budget, &shared.metrics)?;
    let resends =
        (!plan.resend_window.is_zero()).then(|| Resends::new(plan.resend_window, fastrand::u64(..), Instant::now()));
    let road = SpanRoad {
        memory: Memory::new(&shared.rules),
        rules: shared.rules.clone(),
        telling: Telling { attributes: plan.attributes, existing: plan.existing },
        routes: plan.routes,
        ways: std::mem::take(&mut outs.ways),
        promise,
        resends,
        tally: tally.clone(),
        clock: shared.clock.clone(),
        alerts: AlertWay::new(shared.intake.clone()),
        reading: plan.json,
    };
    let options = DoorOptions {
        body_bytes_max: plan.request_bytes,
        idle_timeout: plan.idle,
        connection_age_max: plan.connection_age,
        tls: plan.tls.map(Arc::new),
        guard: Arc::new(plan.token.map_or(Guard::Open, Guard::Token)),
        path_prefix: plan.path_prefix,
        origins: plan.cors_origins,
        keeps_members,
        workers: workers.clone(),
        ..DoorOptions::new(match plan.json {
            json::Mode::Lenient => |signal, body, most| read_json(signal, body, json::Mode::Lenient, most),
            json::Mode::Strict => |signal, body, most| read_json(signal, body, json::Mode::Strict, most),
        })
    };
    let door = Door::new(Arc::new(road), budget, options);
    let counts = door.counts();
    shared.metrics.telemetry_requests(move || counts.read());
    let grace = shared.shutdown / 2;
    let doors = listeners
        .into_iter()
        .map(|listener| {
            let connections = Arc::new(Semaphore::new(plan.connections.clamp(1, Semaphore::MAX_PERMITS)));
            tokio::spawn(serve_telemetry(listener, door.clone(), connections, shared.doors_stop.clone(), grace))
        })
        .collect();
    let Outs { sendings, error_workers, .. } = outs;
    Ok(SpanSide { addresses, doors, sendings, error_workers, spool, tally, door, workers })
}

impl SpanSide {
    /// What is counted here, for whoever scrapes.
    pub(super) fn lines(&self) -> impl Fn() -> Vec<Line> + Send + Sync + 'static {
        let tally = self.tally.clone();
        move || tally.lines()
    }

    /// After the doors were told to stop.
    pub(super) async fn close_doors(&mut self) {
        for door in self.doors.drain(..) {
            super::join(door).await;
        }
    }

    /// Sends what is queued until then; what is spooled stays on disk.
    pub(super) async fn stop(self, until: tokio::time::Instant) {
        let SpanSide { sendings, error_workers, spool, door, workers, .. } = self;
        let stops: Vec<_> = sendings.into_iter().map(|sending| tokio::spawn(sending.stop(until))).collect();
        for stop in stops {
            if let Ok(left) = stop.await
                && left.item_count > 0
            {
                tracing::warn!(items = left.item_count, "telemetry was still queued when the stop ended");
            }
        }
        for worker in error_workers {
            super::join(worker).await;
        }
        // The door holds the road, and the road the spool; it holds the workers as well.
        drop(door);
        match Arc::try_unwrap(workers) {
            Ok(workers) => workers.stop().await,
            Err(_) => tracing::warn!("the threads of telemetry were still in use when the stop ended"),
        }
        match spool.map(Arc::try_unwrap) {
            Some(Ok(spool)) => spool.close().await,
            Some(Err(_)) => tracing::warn!("the spool was still in use; what it noted last is sent twice"),
            None => {}
        }
    }
}

/// Everything behind the road.
struct Outs {
    ways: Vec<Way>,
    outlets: Vec<(Arc<str>, Arc<dyn Outlet>)>,
    sendings: Vec<Sending>,
    error_workers: Vec<JoinHandle<()>>,
}

impl Outs {
    fn start(plan: &SpanRoadPlan, sides: Vec<Sides>, shared: &Shared, workers: &Arc<Workers>) -> anyhow::Result<Outs> {
        let machinery = Machinery::new(shared.clock.clone(), workers.clone()).context("the clients of telemetry")?;
        let transport = Arc::new(HttpTransport::new().context("the HTTP client")?);
        let patience = match plan.durability {
            Durability::Through => Patience::Pass,
            Durability::Memory => Patience::Retry,
            Durability::Spool => Patience::Keep,
        };
        let mut outs = Outs { ways: Vec::new(), outlets: Vec::new(), sendings: Vec::new(), error_workers: Vec::new() };
        let firsts = firsts(plan, &sides);
        let mut sides: Vec<Option<Sides>> = sides.into_iter().map(Some).collect();
        // In the order of the bits of a set.
        for (at, wanted) in plan.sinks.iter().enumerate() {
            let found = sides.iter_mut().find(|side| side.as_ref().is_some_and(|side| *side.name == **wanted));
            let side = found.and_then(Option::take).context("settings name only sinks that are there")?;
            let name = side.name;
            if let Some(TelemetrySetup { sink, secrets }) = side.telemetry {
                let tally = shared.metrics.outlet(&name);
                // In `through` the sender speaks to the first sink only; for the others we try again.
                let is_passed = patience == Patience::Pass && firsts.contains(&at);
                let patience = if patience == Patience::Pass && !is_passed { Patience::Retry } else { patience };
                let setup = OutletSetup { name: name.clone(), sink, secrets, patience, tally };
                let sending = out::start(setup, &machinery);
                outs.ways.push(Way::Telemetry(SinkId::of(&name), sending.outlet()));
                outs.outlets.push((name, sending.outlet()));
                outs.sendings.push(sending);
            } else if let Some(ErrorSetup { sink, secrets }) = side.errors {
                let (outlet, worker) = errors::outlet(Parts {
                    name,
                    sink: Arc::from(sink),
                    secrets,
                    transport: transport.clone(),
                    clock: shared.clock.clone(),
                    metrics: shared.metrics.clone(),
                    stop: shared.workers_stop.clone(),
                    grace: shared.shutdown / 4,
                });
                outs.ways.push(Way::Errors(outlet));
                outs.error_workers.push(tokio::spawn(worker.run()));
            } else {
                anyhow::bail!(
                    "sink `{name}` takes no telemetry; `spans` may name sinks of kind otlp, honeycomb and sentry"
                );
            }
        }
        Ok(outs)
    }
}

/// The sinks whose answer decides for some route and signal: the first of each that takes it.
fn firsts(plan: &SpanRoadPlan, sides: &[Sides]) -> Vec<usize> {
    let takes = |at: usize, signal| {
        let name = &plan.sinks[at];
        let side = sides.iter().find(|side| *side.name == **name);
        side.and_then(|side| side.telemetry.as_ref()).is_some_and(|setup| setup.sink.accepts(signal))
    };
    let sets = plan.routes.routes.iter().map(|route| route.to).chain([plan.routes.otherwise]);
    sets.flat_map(|set| Signal::ALL.into_iter().filter_map(move |signal| set.iter().find(|at| takes(*at, signal))))
        .collect()
}

fn promise(
    plan: &SpanRoadPlan,
    outs: &Outs,
    budget: &Arc<Budget>,
    metrics: &Metrics,
) -> anyhow::Result<(Promise, Option<Arc<Spool>>)> {
    match plan.durability {
        Durability::Through => Ok((Promise::Through, None)),
        Durability::Memory => Ok((Promise::Memory, None)),
        Durability::Spool => {
            let settings = SpoolSettings {
                directory: plan.spool_dir.clone(),
                segment_bytes: SEGMENT_BYTES.min(plan.spool_bytes / 4),
                bytes_max: plan.spool_bytes,
            };
            let (spool, found) = Spool::open(&settings, &outs.outlets, budget, metrics.spool())?;
            if found.open_record_count > 0 || found.damaged_segment_count > 0 {
                tracing::info!(
                    open = found.open_record_count,
                    damaged = found.damaged_segment_count,
                    torn = found.torn_segment_count,
                    forgotten = found.forgotten_delivery_count,
                    "the spool holds telemetry of before"
                );
            }
            let spool = Arc::new(spool);
            Ok((Promise::Spool(spool.clone()), Some(spool)))
        }
    }
}

/// A default address may be in use (a collector has the same ports) or missing on the host; a chosen one may not.
async fn listen(addresses: &[(SocketAddr, bool)]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for (address, is_default) in addresses {
        match bind(*address).await {
            Ok(listener) => listeners.push(listener),
            Err(cause) if *is_default => {
                tracing::warn!(%address, error = %cause, "no telemetry here; `otlp.grpc` and `otlp.http` choose other addresses");
            }
            Err(cause) => anyhow::bail!("cannot listen on {address}: {cause}"),
        }
    }
    Ok(listeners)
}

fn read_json(signal: Signal, body: &[u8], mode: json::Mode, bytes_max: usize) -> Result<JsonRead, NotRead> {
    let read = json::to_protobuf_within(signal, body, mode, bytes_max).map_err(|cause| match cause {
        json::NotRead::Fault(fault) => NotRead::Fault(fault.to_string()),
        json::NotRead::Outgrown => NotRead::Outgrown,
    })?;
    Ok(JsonRead { protobuf: read.protobuf, repairs: read.repairs })
}
