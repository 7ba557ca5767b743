//! More than can be sent on, and connections that want nothing: memory stays inside the budget, who is refused may come
//! back, and everybody else is served. `TAWNY_OVERLOAD_SECONDS` makes it long; the figures are printed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::kit::{export, home, metric, outlet, owls, sink};
use crate::client::{Alert, Client, alertmanager_body};
use crate::daemon::Daemon;
use crate::otlp_doors::speak::{Answer, EXPORT, Http1, JSON, PROTOBUF, framed, gzip, http2, post, send2};
use crate::wait::{PATIENCE, until, until_true};

const SENDER_COUNT: usize = 24;
const REQUEST_SPANS: usize = 200;
/// What the connections of the senders hold besides requests.
const CONNECTIONS_BYTES_MAX: u64 = 8 << 20;
/// What the process holds besides requests: code, rules, SQLite, buffers of connections.
const IDLE_BYTES_MAX: u64 = 64 << 20;

/// A receiver that keeps nothing and is slow.
struct Slow {
    address: SocketAddr,
    byte_count: Arc<AtomicU64>,
    server: tokio::task::JoinHandle<()>,
}

impl Slow {
    async fn start(delay: Duration) -> Slow {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let byte_count = Arc::<AtomicU64>::default();
        let counted = byte_count.clone();
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let counted = counted.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let counted = counted.clone();
                    async move {
                        let mut body = request.into_body();
                        while let Some(Ok(frame)) = body.frame().await {
                            let length = frame.data_ref().map_or(0, Bytes::len);
                            counted.fetch_add(length as u64, Ordering::Relaxed);
                        }
                        sleep(delay).await;
                        Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
                    }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Slow { address, byte_count, server }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Default)]
struct Told {
    taken: AtomicU64,
    refused: AtomicU64,
}

impl Told {
    /// Until the time is up; on a slow machine until somebody was refused.
    fn goes_on(&self, until: Instant) -> bool {
        let now = Instant::now();
        now < until || (self.refused.load(Ordering::Relaxed) == 0 && now < until + PATIENCE)
    }

    /// Anything but success and "come back" is a lie about a good request.
    fn hear(&self, answer: &Answer, is_grpc: bool) {
        let (is_taken, may_come_back) = if is_grpc {
            (answer.header("grpc-status") == "0", answer.header("grpc-status") == "14")
        } else {
            (answer.status == 200, answer.brief() == "503 14" && !answer.header("retry-after").is_empty())
        };
        assert!(is_taken || may_come_back, "{answer:?}");
        let count = if is_taken { &self.taken } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn flood(addresses: [SocketAddr; 2], told: Arc<Told>, until: Instant, is_grpc: bool) {
    // Resends are switched off, so one body does for all.
    let body = owls(REQUEST_SPANS);
    if is_grpc {
        let (mut sender, _connection) = http2(addresses[0]).await;
        while told.goes_on(until) {
            let headers = [("content-type", "application/grpc")];
            told.hear(&send2(&mut sender, EXPORT, &headers, framed(0, &body)).await, true);
        }
    } else {
        let mut connection = Http1::open(addresses[1]).await;
        while told.goes_on(until) {
            told.hear(&connection.send("POST", "/v1/traces", &[PROTOBUF], &body).await, false);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn far_more_than_a_sink_takes_stays_inside_the_budget_and_the_rest_may_come_back() {
    let seconds = std::env::var("TAWNY_OVERLOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_u64);
    // What the defaults say, or in the short form what is used up in time.
    let (budget_mib, request_mib) = if seconds < 30 { (16, 4) } else { (144, 64) };
    let budget = budget_mib << 20;
    let slow = Slow::start(Duration::from_secs(1)).await;
    // The queue is larger than the budget, so that the budget is what holds.
    let sinks = sink("slow", &format!("http://{}", slow.address), ", queue_bytes: 1000000000, in_flight: 1");
    let doors = format!(", in_flight_bytes: {budget_mib}MiB, request_bytes: {request_mib}MiB");
    let home = home(&sinks, &doors, "to: [slow], resend_window: 0s");
    let settings = std::fs::read_to_string(home.settings_path()).expect("it was written");
    home.write("tawny.yaml", &settings.replace("limits: { ", "limits: { shutdown_seconds: 2, "));
    let daemon = Daemon::start(&home).await;
    let idle = daemon.memory_bytes();
    let told = Arc::<Told>::default();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut senders = JoinSet::new();
    for at in 0..SENDER_COUNT {
        senders.spawn(flood(daemon.telemetry_addresses(), told.clone(), until, at % 2 == 0));
    }
    // The alert road beside it: slower, but it answers.
    let client = Client::new();
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        let alert = Alert::firing(&[("alertname", "HighErrorRate"), ("service", "owl-service")]);
        let start = Instant::now();
        let reply = client.post(daemon.address, "/in/alertmanager", alertmanager_body(&[alert])).await;
        assert!(reply.is_ok_and(|reply| reply.is_taken()), "an alert beside the flood");
        slowest = slowest.max(start.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    while let Some(ended) = senders.join_next().await {
        ended.expect("a sender was answered as it should be");
    }
    let (taken, refused) = (told.taken.load(Ordering::Relaxed), told.refused.load(Ordering::Relaxed));
    let request_bytes = owls(REQUEST_SPANS).len() as u64;
    let counts = outlet(&daemon, "slow").await;
    let peak = daemon.memory_peak_bytes();
    eprintln!(
        "overload: {seconds} s, offered {} MB, taken {} MB, sent on {} MB, {refused} of {} requests refused; memory {} MB idle, \
         {} MB peak, budget {} MB; slowest alert {slowest:?}; CPU {:?}; {counts:?}",
        ((taken + refused) * request_bytes) >> 20,
        (taken * request_bytes) >> 20,
        slow.byte_count.load(Ordering::Relaxed) >> 20,
        taken + refused,
        idle >> 20,
        peak >> 20,
        budget >> 20,
        daemon.cpu_time(),
    );
    assert!(refused > 0, "the sink was not slow enough for this machine");
    assert_eq!(counts.accepted, taken as f64 * REQUEST_SPANS as f64);
    assert_eq!(counts.accepted, counts.settled + counts.open, "{counts:?}");
    let offered = metric(&daemon, "tawny_telemetry_requests_total", "").await;
    assert_eq!(offered, (taken + refused) as f64);
    // With the defaults the budget covers the process as a whole; a small one cannot, beside its code.
    let besides = if seconds < 30 { idle + CONNECTIONS_BYTES_MAX } else { 0 };
    assert!(peak <= budget * 11 / 10 + besides, "{} MB of memory", peak >> 20);
    // Somebody waits for an answer; nobody waits for the sink.
    assert!(daemon.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_that_want_nothing_keep_nobody_out_for_long() {
    let slow = Slow::start(Duration::ZERO).await;
    let home = home(&sink("back", &format!("http://{}", slow.address), ""), "", "to: [back]");
    let daemon = Daemon::start(&home).await;
    let address = daemon.telemetry_addresses()[1];
    let before = daemon.memory_bytes();
    // More than the door holds at once: silent ones, half heads, and heads without their body.
    let mut connections = Vec::new();
    for at in 0..1100 {
        let mut stream = TcpStream::connect(address).await.expect("the backlog takes it");
        let said: &[u8] = match at % 4 {
            0 => b"",
            1 => b"PRI * HT",
            2 => b"POST /v1/traces HTTP/1.1\r\nhost: x\r\nx-slow: ",
            _ => b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 9999\r\n\r\nabc",
        };
        stream.write_all(said).await.expect("the kernel takes it");
        connections.push(stream);
    }
    let held = daemon.memory_bytes();
    let start = Instant::now();
    let answer = until("a sender among them to be served", PATIENCE, async || {
        let asked = tokio::time::timeout(Duration::from_secs(20), export(&daemon, &owls(3))).await;
        asked.ok()
    })
    .await;
    assert_eq!(answer.status, 200);
    eprintln!(
        "idle connections: {} bytes each, served after {:?}",
        held.saturating_sub(before) / connections.len() as u64,
        start.elapsed()
    );
    // The bytes that were promised and did not come are given back.
    drop(connections);
    until_true("the other door", PATIENCE, async || {
        post(daemon.telemetry_addresses()[0], "/v1/traces", &[PROTOBUF], &owls(1)).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_bomb_costs_no_more_than_the_limit() {
    let slow = Slow::start(Duration::ZERO).await;
    let home = home(&sink("back", &format!("http://{}", slow.address), ""), "", "to: [back]");
    let daemon = Daemon::start(&home).await;
    let address = daemon.telemetry_addresses()[1];
    // Zstandard says a gigabyte in a few dozen kilobytes, gzip of gzip more than that in four.
    let gigabyte = {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("zstd is here");
        std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 1 << 30), &mut encoder).expect("into memory");
        encoder.finish().expect("into memory")
    };
    let twice = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 1 << 30), &mut encoder).expect("into memory");
        gzip(&encoder.finish().expect("into memory"))
    };
    eprintln!("bombs: {} bytes of zstd, {} bytes of gzip in gzip", gigabyte.len(), twice.len());
    for _ in 0..4 {
        for (encoding, body) in [("zstd", &gigabyte), ("gzip, gzip", &twice)] {
            let answer = post(address, "/v1/traces", &[PROTOBUF, ("content-encoding", encoding)], body).await;
            assert_eq!(answer.brief(), "413 8", "{encoding}");
        }
    }
    let peak = daemon.memory_peak_bytes();
    eprintln!("bombs: {} MB at most", peak >> 20);
    // Each has a buffer of 72 MiB while it is looked at, and the allocator keeps one for a moment on each thread that
    // had one: two workers, and those that stand in for a worker which inflates. Eight bombs were sent.
    assert!(peak < (72 << 20) * 4 + IDLE_BYTES_MAX, "{} MB of memory", peak >> 20);
    assert_eq!(post(address, "/v1/traces", &[PROTOBUF], &owls(1)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_json_that_outgrow_the_limit_as_protobuf_are_refused_for_good() {
    let slow = Slow::start(Duration::ZERO).await;
    let backend = format!("http://{}", slow.address);
    let home = home(&sink("back", &backend, ""), ", request_bytes: 1MiB, in_flight_bytes: 5MiB", "to: [back]");
    let daemon = Daemon::start(&home).await;
    let address = daemon.telemetry_addresses()[1];
    // Two letters as text are eight bytes as protobuf.
    let body = |count: usize| {
        let numbers = "0,".repeat(count);
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"explicitBounds":[{numbers}0]}}]}}}}]}}]}}]}}"#
        )
    };
    let gzipped = [JSON, ("content-encoding", "gzip")];
    for (count, expected) in [(500_000, "413 8"), (140_000, "413 8"), (120_000, "200"), (10, "200")] {
        let answer = post(address, "/v1/metrics", &gzipped, &gzip(body(count).as_bytes())).await;
        let seen = if answer.status == 200 { "200".to_owned() } else { answer.brief() };
        assert_eq!(seen, expected, "{count} numbers: {answer:?}");
    }
}
