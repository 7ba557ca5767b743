//! Wires the daemon together, starts it, and stops it in the order the data flows. The only file that knows
//! everyone.

mod port_file;
mod spans;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::http::StatusCode;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::incidents::Pages;
use crate::io::body::BodyBudget;
use crate::io::cache::ResendCache;
use crate::io::clock::Clock;
use crate::io::commit::{Chore, Committer, Outlet, WAITING_COUNT_MAX, Work};
use crate::io::deliver::Deliverer;
use crate::io::intake::Intake;
use crate::io::live_rules::{self, Examine, LiveRules, RuleSource, RulesFrom};
use crate::io::mailbox::Mailbox;
use crate::io::rules_alarm;
use crate::io::rules_watch::{self, Reloader};
use crate::io::server::{Doors, bind, serve};
use crate::io::strays;
use crate::io::timers::Timers;
use crate::io::transport::HttpTransport;
use crate::model::Timestamp;
use crate::rules::RuleSet;
use crate::settings::{LimitSettings, Ready, SinkPlan};
use crate::sinks::Sink;
use crate::store::sqlite::{self, StoreLock};
use crate::store::{Reader, Retention, Writer};
use crate::stories::run_stories;
use crate::telemetry::Metrics;
use crate::web::{self, Views};
use spans::{Shared, Sides, SpanSide};

/// How often the retention sweep runs.
const RETAIN_EVERY: Duration = Duration::from_secs(60);

/// What comes in during a stop is still sent, unless a slow sender holds a door open: meanwhile a hanging sink would be
/// asked again and again, and each of these requests would lengthen the stop.
const DOORS_FIRST: Duration = Duration::from_secs(1);

/// Of the time for a stop this much, or a tenth, is kept for counting what could not be sent.
const COUNTING: Duration = Duration::from_millis(500);

/// Gives routes their sinks; a sink that does not exist is a fault of the rules.
pub fn bind_sinks(rules: &mut RuleSet, sinks: &[Arc<str>]) -> anyhow::Result<()> {
    rules.bind_sinks(sinks).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the rules do not fit the settings:\n{}", faults.join("\n"))
    })
}

/// A daemon that listens.
pub struct App {
    pub addresses: Vec<SocketAddr>,
    pub reloader: Reloader,
    /// Stops taking alerts.
    stop_doors: watch::Sender<bool>,
    doors: Vec<JoinHandle<()>>,
    /// Stops what makes work by itself.
    stop_workers: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    committer: JoinHandle<()>,
    spans: SpanSide,
    shutdown: Duration,
    /// No other daemon may write to the store while this one may.
    store_lock: StoreLock,
}

/// What the start needs besides settings: where the rules are.
pub async fn start(ready: Ready, rules: RulesFrom, port_file: Option<&Path>) -> anyhow::Result<App> {
    let Ready { listen, listen_is_default, store, rules_refused_for, instances, sinks, limits, retention, telemetry } =
        ready;
    let names: Vec<_> = sinks.iter().map(|plan| plan.name.clone()).collect();
    let store_lock = sqlite::lock(&store).await?;
    let (writer, reader) = open_store(&store).await?;
    let clock: Arc<Clock> = Arc::default();
    let source = RuleSource { from: rules, examine: examine(names.clone()) };
    let (rules, to_keep) = LiveRules::start(source, reader.as_ref(), clock.clone())
        .await
        .map_err(|faults| anyhow::anyhow!("the rules cannot be used:\n{}", faults.join("\n")))?;
    let listeners = bind_all(&listen, listen_is_default).await?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;

    let (stop_doors, doors_stop) = watch::channel(false);
    let (stop_workers, workers_stop) = watch::channel(false);
    let machine = Machine {
        rules: rules.clone(),
        clock,
        metrics: Metrics::default(),
        cache: Arc::default(),
        reader,
        workers_stop,
    };
    let (sinks, sides) = sides_of(sinks);
    let shutdown = Duration::from_secs(limits.shutdown_seconds);
    let mut running = machine.start(writer, sinks, retention)?;
    let intake = Arc::new(machine.intake(running.work.clone()));
    let spans = spans::start(telemetry, sides, &machine.shared(&intake, &doors_stop, shutdown)).await?;
    let addresses: Vec<SocketAddr> = addresses.into_iter().chain(spans.addresses.iter().copied()).collect();
    if let Some(value) = to_keep {
        live_rules::keep(&running.work, value).await;
    }
    let reloader = machine.watch_rules(&mut running, &intake, rules_refused_for);
    strays::settle(machine.reader.as_ref(), &names, &machine.clock, &running.work).await;
    strays::look_after(machine.reader.clone(), &names, running.work.clone(), machine.workers_stop.clone()).await;
    let budget = BodyBudget::new(limits.in_flight_bytes, Duration::from_secs(limits.body_seconds));
    let doors = Doors::new(instances, intake, budget);
    let views = Views {
        reader: machine.reader.clone(),
        rules,
        reloader: reloader.clone(),
        telemetry: Box::new(spans.lines()),
        metrics: machine.metrics.clone(),
        started_at: machine.clock.now(),
        sinks: running.paused,
        trouble: running.trouble,
        stop: doors_stop.clone(),
    };
    let router =
        doors.router().merge(web::router(views)).fallback(no_such_path).method_not_allowed_fallback(wrong_method);
    let doors = serve_all(listeners, &router, &limits, &doors_stop);
    drop(router);
    if let Some(path) = port_file {
        port_file::write(path, &addresses)?;
    }
    Ok(App {
        addresses,
        reloader,
        stop_doors,
        doors,
        stop_workers,
        workers: running.workers,
        committer: running.committer,
        spans,
        shutdown,
        store_lock,
    })
}

impl App {
    /// Doors first, then deliveries and timers, then the committer, which ends when nobody is left to ask it.
    pub async fn stop(self) {
        let App {
            reloader, stop_doors, doors, stop_workers, workers, committer, mut spans, shutdown, store_lock, ..
        } = self;
        // The committer ends when nobody is left to give it work.
        drop(reloader);
        let until = Instant::now() + shutdown;
        let orderly = async {
            stop_doors.send_replace(true);
            {
                let mut closing = std::pin::pin!(async {
                    for door in doors {
                        join(door).await;
                    }
                    spans.close_doors().await;
                });
                let are_closed = tokio::time::timeout(DOORS_FIRST, &mut closing).await.is_ok();
                stop_workers.send_replace(true);
                if !are_closed {
                    closing.await;
                }
            }
            let deliveries = async {
                for worker in workers {
                    join(worker).await;
                }
            };
            // Neither waits for the other's sinks.
            tokio::join!(deliveries, spans.stop(until - (shutdown / 10).min(COUNTING)));
            join(committer).await;
        };
        if tokio::time::timeout_at(until, orderly).await.is_err() {
            tracing::warn!("the stop took too long; alerts and deliveries that are left stand in the store");
        }
        drop(store_lock);
    }

    /// Returns when a part of the daemon has died, which only a bug can cause.
    pub async fn died(&mut self) {
        let _ = (&mut self.committer).await;
    }
}

/// Takes the sides of sinks that telemetry knows out of their plans.
fn sides_of(mut sinks: Vec<SinkPlan>) -> (Vec<SinkPlan>, Vec<Sides>) {
    let side = |plan: &mut SinkPlan| Sides {
        name: plan.name.clone(),
        telemetry: plan.telemetry.take(),
        errors: plan.errors.take(),
    };
    let sides = sinks.iter_mut().map(side).collect();
    (sinks, sides)
}

/// A set that compiles must also fit the settings and hold its own tests.
fn examine(sinks: Vec<Arc<str>>) -> Examine {
    Box::new(move |rules, files| {
        rules.bind_sinks(&sinks).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let report = run_stories(rules, files);
        if report.is_good() { Ok(()) } else { Err(report.wrongs().map(ToString::to_string).collect()) }
    })
}

async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(error = %error, "a task died");
    }
}

/// What every part shares.
struct Machine {
    rules: Arc<LiveRules>,
    clock: Arc<Clock>,
    metrics: Metrics,
    cache: Arc<ResendCache>,
    reader: Arc<dyn Reader>,
    workers_stop: watch::Receiver<bool>,
}

struct Running {
    work: mpsc::Sender<Work>,
    workers: Vec<JoinHandle<()>>,
    committer: JoinHandle<()>,
    paused: Vec<(Arc<str>, watch::Receiver<bool>)>,
    trouble: watch::Receiver<Option<String>>,
}

impl Machine {
    /// Follows the folder of rules, and raises the alarm when it is refused for that long.
    fn watch_rules(&self, running: &mut Running, intake: &Arc<Intake>, refused_for: Duration) -> Reloader {
        let reloader = Reloader { rules: self.rules.clone(), work: running.work.clone() };
        let alarm = rules_alarm::follow(intake.clone(), refused_for, self.workers_stop.clone());
        let watch = rules_watch::follow(reloader.clone(), self.workers_stop.clone());
        running.workers.extend([tokio::spawn(watch), tokio::spawn(alarm)]);
        reloader
    }

    fn intake(&self, work: mpsc::Sender<Work>) -> Intake {
        Intake {
            rules: self.rules.clone(),
            cache: self.cache.clone(),
            clock: self.clock.clone(),
            work,
            metrics: self.metrics.clone(),
        }
    }

    fn shared(&self, intake: &Arc<Intake>, doors_stop: &watch::Receiver<bool>, shutdown: Duration) -> Shared {
        Shared {
            rules: self.rules.clone(),
            clock: self.clock.clone(),
            intake: intake.clone(),
            metrics: self.metrics.clone(),
            doors_stop: doors_stop.clone(),
            workers_stop: self.workers_stop.clone(),
            shutdown,
        }
    }

    fn start(&self, writer: Box<dyn Writer>, sinks: Vec<SinkPlan>, retention: Retention) -> anyhow::Result<Running> {
        let (work, waiting) = mpsc::channel(WAITING_COUNT_MAX);
        let (next_deadline, deadline_seen) = watch::channel(Timestamp::MAX);
        let (trouble_told, trouble) = watch::channel(None);
        let mut outlets = HashMap::new();
        let mut workers = Vec::new();
        let mut paused = Vec::new();
        let transport = Arc::new(HttpTransport::new().context("the HTTP client")?);
        for SinkPlan { name, sink, secrets, .. } in sinks {
            let mailbox = Mailbox::new();
            let sink: Arc<dyn Sink> = Arc::from(sink);
            let words = sink.clone();
            let says = Box::new(move |kind| words.says(kind));
            outlets.insert(name.clone(), Outlet { mailbox: mailbox.clone(), says });
            let (pausing, is_paused) = watch::channel(false);
            paused.push((name.clone(), is_paused));
            let deliverer = Deliverer {
                name,
                sink,
                secrets,
                transport: transport.clone(),
                mailbox,
                reader: self.reader.clone(),
                clock: self.clock.clone(),
                work: work.clone(),
                metrics: self.metrics.clone(),
                paused: pausing,
                stop: self.workers_stop.clone(),
            };
            workers.push(tokio::spawn(deliverer.run()));
        }
        let timers = Timers {
            reader: self.reader.clone(),
            clock: self.clock.clone(),
            work: work.clone(),
            next_deadline: deadline_seen,
            reset_deadline: next_deadline.clone(),
            stop: self.workers_stop.clone(),
        };
        workers.push(tokio::spawn(timers.run()));
        workers.push(tokio::spawn(sweep(retention, work.clone(), self.workers_stop.clone())));
        let committer = Committer {
            writer,
            clock: self.clock.clone(),
            cache: self.cache.clone(),
            outlets: Arc::new(outlets),
            metrics: self.metrics.clone(),
            rules: Some(self.rules.clone()),
            pages: Pages::default(),
            next_deadline,
            trouble: trouble_told,
        };
        let committer = tokio::spawn(committer.run(waiting));
        Ok(Running { work, workers, committer, paused, trouble })
    }
}

/// Keeps the store inside its age and size.
async fn sweep(retention: Retention, work: mpsc::Sender<Work>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RETAIN_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let (done, swept) = oneshot::channel();
        if work.send(Work::Chore(Chore::Retain { retention, done })).await.is_err() {
            return;
        }
        let _ = swept.await;
    }
}

async fn open_store(url: &str) -> anyhow::Result<(Box<dyn Writer>, Arc<dyn Reader>)> {
    let (writer, reader) = sqlite::open(url).await?;
    Ok((writer, Arc::from(reader)))
}

/// A default address may be missing on the host; a chosen one may not.
async fn bind_all(addresses: &[SocketAddr], is_default: bool) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut first_fault = None;
    for address in addresses {
        match bind(*address).await {
            Ok(listener) => listeners.push(listener),
            Err(cause) => {
                let fault = anyhow::anyhow!("cannot listen on {address}: {cause}");
                if !is_default || cause.kind() == std::io::ErrorKind::AddrInUse {
                    return Err(fault);
                }
                first_fault.get_or_insert(fault);
            }
        }
    }
    match (listeners.is_empty(), first_fault) {
        (true, Some(fault)) => Err(fault),
        _ => Ok(listeners),
    }
}

fn serve_all(
    listeners: Vec<TcpListener>,
    router: &axum::Router,
    limits: &LimitSettings,
    stop: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let connections = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let header_timeout = Duration::from_secs(limits.header_seconds);
    let grace = Duration::from_secs(limits.shutdown_seconds / 2);
    listeners
        .into_iter()
        .map(|listener| {
            tokio::spawn(serve(listener, router.clone(), header_timeout, connections.clone(), stop.clone(), grace))
        })
        .collect()
}

async fn no_such_path(uri: axum::http::Uri) -> Response {
    web::error(StatusCode::NOT_FOUND, &format!("no such address: {:.120}", uri.path()))
}

async fn wrong_method(method: axum::http::Method) -> Response {
    web::error(StatusCode::METHOD_NOT_ALLOWED, &format!("nothing here takes {:.20}", method.as_str()))
}
