//! `durability: spool` under SIGKILL: no span that was acknowledged is missing behind, whatever the moment, and a
//! spool with flipped bits or a cut tail never keeps the daemon from starting. Chance comes from a printed seed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::daemon::{Daemon, Home};
use crate::otlp_doors::speak::{EXPORT, PROTOBUF, framed, http2, send2};
use crate::stand_in::otlp::Otlp;
use crate::stand_in::{Fault, StandIn, Weather};
use crate::telemetry::kit::{self, arrived, ids, metric, owls};
use crate::wait::until_true;

const KILL_COUNT_DEFAULT: u32 = 6;
const SENDER_COUNT: usize = 12;
const SPANS_PER_REQUEST: usize = 12;
/// After the last death, until everything is delivered.
const DRAIN_PATIENCE: Duration = Duration::from_secs(180);
/// Longer than any start: a request that is not answered then is sent again.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

fn number_from_environment<N: std::str::FromStr>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, not a number")))
}

fn spool_home(backend: &StandIn<Otlp>, more: &str) -> Home {
    let sinks = kit::sink("back", &backend.url(), ", timeout_seconds: 2");
    // Small segments, so that many are begun and ended.
    kit::home(
        &sinks,
        ", request_bytes: 1MiB",
        &format!("to: [back], durability: spool, spool_dir: spool, spool_bytes: 4MiB{more}"),
    )
}

/// Whether the daemon at this address has acknowledged the request.
async fn is_acknowledged(client: &Client, address: SocketAddr, body: &[u8], is_grpc: bool) -> bool {
    if is_grpc {
        if TcpStream::connect(address).await.is_err() {
            return false;
        }
        let body = body.to_vec();
        // A daemon that dies in the middle makes the client give up by a panic of its own task.
        let call = tokio::spawn(async move {
            let (mut sender, _connection) = http2(address).await;
            let headers = [("content-type", "application/grpc"), ("te", "trailers")];
            send2(&mut sender, EXPORT, &headers, framed(0, &body)).await
        });
        let answer = timeout(ANSWER_PATIENCE, call).await;
        return answer.is_ok_and(|joined| joined.is_ok_and(|answer| answer.header("grpc-status") == "0"));
    }
    let posted = client.post_with(address, "/v1/traces", &[PROTOBUF], body.to_vec());
    match timeout(ANSWER_PATIENCE, posted).await {
        Ok(Ok(reply)) => {
            assert!(matches!(reply.status, 200 | 503), "a good request was answered with {reply:?}");
            reply.status == 200
        }
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Sends until it is told to stop; each request until it is acknowledged. Gives those that were.
async fn keep_sending(
    places: tokio::sync::watch::Receiver<Option<SocketAddr>>,
    stop: Arc<AtomicBool>,
    is_grpc: bool,
) -> Vec<Vec<u8>> {
    let client = Client::new();
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let body = owls(SPANS_PER_REQUEST);
        loop {
            let address = *places.borrow();
            let is_taken = match address {
                Some(address) => is_acknowledged(&client, address, &body, is_grpc).await,
                None => false,
            };
            if is_taken {
                acknowledged.push(body);
                break;
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_span_is_lost_under_sigkill() {
    let kill_count: u32 = number_from_environment("TAWNY_KILLS").unwrap_or(KILL_COUNT_DEFAULT);
    let seed = number_from_environment("TAWNY_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("spool kill: TAWNY_KILLS={kill_count} TAWNY_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let backend = StandIn::start(Otlp::default()).await;
    let home = spool_home(&backend, "");
    let (place, places) = tokio::sync::watch::channel(None);
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for at in 0..SENDER_COUNT {
        senders.spawn(keep_sending(places.clone(), stop.clone(), at % 2 == 1));
    }
    let mut daemon = Daemon::start(&home).await;
    for _ in 0..kill_count {
        place.send_replace(Some(daemon.telemetry_addresses()[0]));
        // Sometimes the sink keeps up, sometimes it refuses or hangs, so that deaths meet full spools and empty ones.
        backend.set_weather(match chance.u32(0..4) {
            0 => Weather::Always(Fault::Refuse { status: 503, retry_after: None }),
            1 => Weather::Always(Fault::TakeThenReset),
            _ => Weather::Fair,
        });
        sleep(Duration::from_millis(chance.u64(50..900))).await;
        place.send_replace(None);
        daemon.kill();
        if chance.u32(0..4) == 0 {
            let newborn = Daemon::start_unready(&home);
            sleep(Duration::from_millis(chance.u64(0..80))).await;
            newborn.kill();
        }
        daemon = Daemon::start(&home).await;
    }
    backend.set_weather(Weather::Fair);
    place.send_replace(Some(daemon.telemetry_addresses()[0]));
    sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    while let Some(sent) = senders.join_next().await {
        acknowledged.extend(sent.expect("a sender met no answer that an honest daemon gives"));
    }
    until_true("the spool to be empty", DRAIN_PATIENCE, async || metric(&daemon, "tawny_spool_open", "").await == 0.0)
        .await;
    let (sent, got) = (ids(&acknowledged), arrived(&backend));
    let missing = sent.keys().filter(|id| !got.contains_key(*id)).count();
    let doubled: usize = got.values().map(|count| count - 1).sum();
    eprintln!(
        "spool kill: {} spans acknowledged in {} requests, {missing} missing, {doubled} came again, {} never acknowledged",
        sent.len(),
        acknowledged.len(),
        got.keys().filter(|id| !sent.contains_key(*id)).count(),
    );
    assert!(!sent.is_empty(), "nothing was acknowledged at all");
    assert_eq!(missing, 0, "seed {seed}, {kill_count} kills\n{}", home.log_tail());
    assert_eq!(
        metric(&daemon, "tawny_spool_damaged_total", "").await,
        0.0,
        "a kill damages nothing\n{}",
        home.log_tail()
    );
    assert!(daemon.terminate().await.success());
}

fn segments(home: &Home) -> Vec<PathBuf> {
    let list = fs::read_dir(home.path().join("spool")).expect("the spool is there");
    let mut paths: Vec<PathBuf> = list.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    paths
}

/// Where the last byte stands that is not zero.
fn used(path: &PathBuf) -> u64 {
    let bytes = fs::read(path).expect("a segment can be read");
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_spool_starts_keeps_what_is_whole_and_counts_the_rest() {
    let seed = number_from_environment("TAWNY_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("spool damage: TAWNY_SEED={seed}");
    let (client, mut chance) = (Client::new(), fastrand::Rng::with_seed(seed));
    for round in 0..6 {
        let backend =
            StandIn::start_in(Otlp::default(), Weather::Always(Fault::Refuse { status: 503, retry_after: None })).await;
        let home = spool_home(&backend, "");
        let mut daemon = Daemon::start(&home).await;
        let sent: Vec<Vec<u8>> = (0..20).map(|_| owls(5)).collect();
        for body in &sent {
            assert!(is_acknowledged(&client, daemon.telemetry_addresses()[0], body, false).await);
        }
        daemon.kill();
        let paths = segments(&home);
        let path = paths.last().expect("what was acknowledged stands in a segment");
        let end = used(path);
        let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("it can be written");
        let is_tail = round % 2 == 1;
        if is_tail {
            // As if the last write had not come to its end.
            file.set_len(end - chance.u64(1..200)).expect("it can be cut");
        } else {
            // Well inside the records, so that others stand behind it.
            let mut byte = [0];
            let mut at = 0;
            // Records are padded with zeros, which nobody reads.
            while byte[0] == 0 {
                at = chance.u64(64..end / 2);
                file.read_exact_at(&mut byte, at).expect("it is inside");
            }
            file.write_all_at(&[byte[0] ^ (1 << chance.u32(0..8))], at).expect("it can be written");
        }
        drop(file);
        backend.set_weather(Weather::Fair);
        daemon = Daemon::start(&home).await;
        until_true("what is whole to arrive", DRAIN_PATIENCE, async || {
            metric(&daemon, "tawny_spool_open", "").await == 0.0
        })
        .await;
        let (sent, got): (BTreeMap<_, _>, BTreeMap<_, _>) = (ids(&sent), arrived(&backend));
        assert!(got.keys().all(|id| sent.contains_key(id)), "seed {seed}: something arrived that nobody sent");
        // One record of five spans, or two where the damage is at their seam.
        let missing = sent.len() - got.len();
        assert!(
            missing == 5 || missing == 10,
            "seed {seed}, round {round}: {missing} are missing\n{}",
            home.log_tail()
        );
        let damaged = metric(&daemon, "tawny_spool_damaged_total", "").await;
        if !is_tail {
            assert_eq!(damaged, 1.0, "seed {seed}, round {round}\n{}", home.log_tail());
        }
        // It goes on as if nothing had been.
        let more = owls(2);
        assert!(is_acknowledged(&client, daemon.telemetry_addresses()[0], &more, true).await);
        until_true("the next one", DRAIN_PATIENCE, async || arrived(&backend).len() == got.len() + 2).await;
        assert!(daemon.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_no_segments_never_keep_the_daemon_from_starting() {
    let (backend, client) = (StandIn::start(Otlp::default()).await, Client::new());
    let home = spool_home(&backend, "");
    let spool = home.path().join("spool");
    fs::create_dir(&spool).expect("a fresh home");
    for (name, bytes) in [
        ("0000000000000000.seg", &b""[..]),
        ("0000000000000001.seg", b"TAWNYSP1"),
        ("0000000000000002.seg", &[0xff; 5000]),
        ("00000000000000ff.seg", &[0; 5000]),
        ("0000000000000003.done", &[7; 33]),
        ("ffffffffffffffff.seg", b"the last number there is"),
        ("next.tmp", b"half"),
        ("readme.txt", b"not ours"),
    ] {
        fs::write(spool.join(name), bytes).expect("the spool can be written");
    }
    fs::create_dir(spool.join("0000000000000005.seg")).expect("a directory in the place of a segment");
    for _ in 0..2 {
        let daemon = Daemon::start(&home).await;
        let body = owls(3);
        let before = arrived(&backend).len();
        assert!(is_acknowledged(&client, daemon.telemetry_addresses()[0], &body, false).await, "{}", home.log_tail());
        until_true("it to arrive", DRAIN_PATIENCE, async || arrived(&backend).len() == before + 3).await;
        assert!(daemon.terminate().await.success());
    }
}
