//! What an alert costs, beside Alertmanager on the same machine with the same bodies. Starts the real release
//! binary and Debian's `prometheus-alertmanager`, posts batches of 256 alerts with 7 labels over three routes,
//! and reads the CPU time and memory of each process from the kernel. Never asserts: it prints what it saw.
//!
//! `cargo bench --bench alert_road`, with `-- --alerts 100000 --skip-alertmanager` if wanted. `TAWNY_BENCH_BINARY` names
//! another build of the daemon, so that two can be compared within minutes of each other.

#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(unreachable_pub, reason = "a bench has no outside that could reach anything")]

mod bodies;
mod peers;
mod stand_in;

use std::io::{Seek, Write};
use std::time::{Duration, Instant};

use bodies::{BATCH, Shape, batch, resend};
use peers::Peer;
use stand_in::StandIn;

/// Whatever `--alerts` says: the bar for a restart is for so many.
const RESTART_INCIDENT_COUNT: usize = 100_000;
/// Five pages of SQLite's log.
const COMMIT_BYTES: usize = 20 * 1024;
const SYNC_COUNT: usize = 200;

struct Options {
    alert_count: usize,
    with_alertmanager: bool,
    only_cost: bool,
}

/// One row of the table.
struct Row {
    what: &'static str,
    bar: &'static str,
    tawny: String,
    alertmanager: String,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut options = Options { alert_count: 100_000, with_alertmanager: true, only_cost: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--alerts" => options.alert_count = arguments.next().unwrap().parse().unwrap(),
            "--skip-alertmanager" => options.with_alertmanager = false,
            "--only-cost" => options.only_cost = true,
            // What cargo adds.
            "--bench" => {}
            other => panic!("unknown option {other}"),
        }
    }
    let mut rows = Vec::new();
    let tawny = measure(&options, Kind::Tawny).await;
    let alertmanager =
        if options.with_alertmanager { measure(&options, Kind::Alertmanager).await } else { Seen::default() };
    let us = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1} µs"));
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3} ms"));
    let mut row = |what, bar, tawny, alertmanager| rows.push(Row { what, bar, tawny, alertmanager });
    row("CPU per resent alert", "4 µs", us(tawny.resent), us(alertmanager.resent));
    row("CPU per new alert, folding", "12 µs", us(tawny.folding), us(alertmanager.folding));
    row("CPU per new alert that pages", "40 µs", us(tawny.paging), us(alertmanager.paging));
    row("memory, all alerts active", "150 MB", mb(tawny.memory_kb), mb(alertmanager.memory_kb));
    row("POST to notification, p50", "below", ms(tawny.p50), ms(alertmanager.p50));
    row("POST to notification, p99", "", ms(tawny.p99), ms(alertmanager.p99));
    row("of it at least: a write and its sync", "", ms(tawny.sync), ms(None));
    row(
        "restart, 100,000 open incidents",
        "1 s",
        tawny.restart.map_or("-".into(), |span| format!("{span:?}")),
        "-".to_owned(),
    );
    println!("\n{} alerts active, batches of {BATCH}, 7 labels, three routes, 2 cores\n", options.alert_count);
    println!("{:<34} {:>10} {:>14} {:>14}", "", "at most", "tawny", "alertmanager");
    for Row { what, bar, tawny, alertmanager } in rows {
        println!("{what:<34} {bar:>10} {tawny:>14} {alertmanager:>14}");
    }
}

fn mb(kb: Option<u64>) -> String {
    kb.map_or("-".to_owned(), |kb| format!("{} MB", kb / 1024))
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Tawny,
    Alertmanager,
}

#[derive(Default)]
struct Seen {
    resent: Option<f64>,
    folding: Option<f64>,
    paging: Option<f64>,
    memory_kb: Option<u64>,
    p50: Option<f64>,
    p99: Option<f64>,
    /// p50 of what no commit can do without.
    sync: Option<f64>,
    restart: Option<Duration>,
}

async fn measure(options: &Options, kind: Kind) -> Seen {
    let mut seen = Seen::default();
    let stand_in = StandIn::start().await;
    let batches = options.alert_count / BATCH;
    // Half of the alerts open an incident each, half fold into the few that exist.
    let peer = match kind {
        Kind::Tawny => Peer::tawny(&stand_in).await,
        Kind::Alertmanager => Peer::alertmanager(&stand_in).await,
    };
    let name = if kind == Kind::Tawny { "tawny" } else { "alertmanager" };
    println!("{name}: warming up");
    peer.post(&batch(Shape::Folding, 0)).await;
    stand_in.wait_quiet().await;

    let (folding_batches, paging_batches) = (batches / 2, batches - batches / 2);
    println!("{name}: {folding_batches} batches that fold");
    let cpu = peer.cpu();
    for index in 1..=folding_batches {
        peer.post(&batch(Shape::Folding, index)).await;
    }
    stand_in.wait_quiet().await;
    seen.folding = Some(per_alert(peer.cpu() - cpu, folding_batches));

    println!("{name}: {paging_batches} batches that page");
    let (cpu, told) = (peer.cpu(), stand_in.count());
    for index in 0..paging_batches {
        peer.post(&batch(Shape::Own, index)).await;
    }
    stand_in.wait_count(told + paging_batches * BATCH).await;
    stand_in.wait_quiet().await;
    seen.paging = Some(per_alert(peer.cpu() - cpu, paging_batches));
    println!("{name}: {} notifications", stand_in.count());

    println!("{name}: the same alerts again");
    let rounds = 3;
    let told = stand_in.count();
    let cpu = peer.cpu();
    for _ in 0..rounds {
        for index in 0..paging_batches {
            peer.post(&resend(Shape::Own, index)).await;
        }
    }
    stand_in.wait_quiet().await;
    seen.resent = Some(per_alert(peer.cpu() - cpu, rounds * paging_batches));
    println!("{name}: {} notifications for resends", stand_in.count() - told);
    seen.memory_kb = Some(peer.memory_kb());

    if !options.only_cost {
        let mut waits = Vec::new();
        for index in 0..400 {
            let (id, body) = bodies::single(index);
            let arrival = stand_in.expect(&id);
            let started = Instant::now();
            peer.post(&body).await;
            waits.push(arrival.await.unwrap().duration_since(started).as_secs_f64() * 1000.0);
        }
        waits.sort_by(f64::total_cmp);
        seen.p50 = Some(waits[waits.len() / 2]);
        seen.p99 = Some(waits[waits.len() * 99 / 100]);
    }
    peer.stop();
    if !options.only_cost && kind == Kind::Tawny {
        seen.sync = Some(sync_ms());
        seen.restart = Some(restart(&stand_in).await);
    }
    seen
}

/// How long this disk takes to keep what the commit of one alert writes, p50: it is the floor below a notification that
/// follows its commit, and Alertmanager, which writes nothing, has none.
fn sync_ms() -> f64 {
    let mut file = tempfile::tempfile_in(peers::store_folder()).unwrap();
    file.write_all(&vec![0; SYNC_COUNT * COMMIT_BYTES]).unwrap();
    file.sync_all().unwrap();
    file.rewind().unwrap();
    let mut waits: Vec<f64> = (0..SYNC_COUNT)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[1; COMMIT_BYTES]).unwrap();
            file.sync_data().unwrap();
            started.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    waits.sort_by(f64::total_cmp);
    waits[SYNC_COUNT / 2]
}

/// How long a start takes after a kill with so many incidents open, each with a page that was sent.
async fn restart(stand_in: &StandIn) -> Duration {
    println!("tawny: restart with {RESTART_INCIDENT_COUNT} open incidents");
    let mut peer = Peer::tawny(stand_in).await;
    let told = stand_in.count();
    for start in (0..RESTART_INCIDENT_COUNT).step_by(BATCH) {
        peer.post(&bodies::own(start, BATCH.min(RESTART_INCIDENT_COUNT - start))).await;
    }
    stand_in.wait_count(told + RESTART_INCIDENT_COUNT).await;
    stand_in.wait_quiet().await;
    let span = peer.kill_and_restart().await;
    let metrics = peer.get("/metrics").await;
    let open = metrics.lines().find_map(|line| line.strip_prefix("tawny_incidents_open "));
    println!("tawny: {} incidents are open after it", open.unwrap_or("unknown how many"));
    peer.stop();
    span
}

/// Microseconds of CPU time.
fn per_alert(cpu: Duration, batches: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / (batches * BATCH) as f64
}
