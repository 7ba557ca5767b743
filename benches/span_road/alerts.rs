//! How long an alert takes from its POST to the pager, alone and while spans saturate the machine: senders, receivers and
//! the daemon share the processors. The route holds nothing back (`hold: 0s`).
//!
//! Who receives the spans stands back by ten nice values, as the daemon's own threads of telemetry do: in earnest it is
//! another machine. So are the senders; they are measured both ways, since nothing in the daemon can hold back a sender
//! that takes a processor from it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::load::{self, Load};
use crate::process::{Out, Process};
use crate::swallow::Swallow;
use crate::{Coding, Protocol};

const BAR_MS: f64 = 5.0;
const WARM_UP_COUNT: usize = 50;
const ALERT_COUNT: usize = 1000;
/// Between two alerts.
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(10);
/// As in `io::spans::workers`.
const NICE_STEP: i32 = 10;

type Arrivals = Arc<Mutex<HashMap<String, Instant>>>;

pub fn measure() {
    println!("alerts while spans saturate the machine");
    let swallow = thread::spawn(|| {
        stand_back();
        Swallow::start(Protocol::Http)
    });
    let (swallow, pager) = (swallow.join().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let arrivals = Arrivals::default();
    let out = Out { protocol: Protocol::Http, coding: Coding::None, graft: false };
    let process = Process::tawny_with_pager(swallow.address, out, pager.local_addr().unwrap());
    let shared = arrivals.clone();
    thread::spawn(move || {
        for stream in pager.incoming() {
            let (stream, arrivals) = (stream.unwrap(), shared.clone());
            thread::spawn(move || page(stream, &arrivals));
        }
    });
    let mut sender = Sender { stream: TcpStream::connect(process.alerts).unwrap(), to: process.alerts, sent: 0 };
    sender.stream.set_nodelay(true).unwrap();
    waits(&mut sender, &arrivals, WARM_UP_COUNT);
    say("alone", waits(&mut sender, &arrivals, ALERT_COUNT));
    for spans_per_request in [10, 512] {
        for stands_back in [false, true] {
            let load = Saturation { spans_per_request, stands_back };
            load.measure(&process, &swallow, || waits(&mut sender, &arrivals, ALERT_COUNT));
        }
    }
}

/// Threads inherit it.
fn stand_back() {
    let nice = rustix::process::getpriority_process(None).unwrap();
    rustix::process::setpriority_process(None, nice + NICE_STEP).unwrap();
}

/// Senders that send as fast as they are answered.
#[derive(Clone, Copy)]
struct Saturation {
    spans_per_request: usize,
    stands_back: bool,
}

impl Saturation {
    fn measure(self, process: &Process, swallow: &Swallow, measured: impl FnOnce() -> Vec<f64>) {
        let is_over = Arc::new(AtomicBool::new(false));
        let (to, seen) = (process.address, is_over.clone());
        let saturating = thread::spawn(move || {
            if self.stands_back {
                stand_back();
            }
            let mut round = self.spans_per_request as u64 + u64::from(self.stands_back) * 500;
            while !seen.load(Ordering::Relaxed) {
                round += 1000;
                let (protocol, coding, request_count) = (Protocol::Http, Coding::None, 2000);
                load::send(
                    to,
                    Load { protocol, coding, spans_per_request: self.spans_per_request, request_count, round },
                );
            }
        });
        let (start, cpu, bytes) = (Instant::now(), process.cpu(), swallow.bytes());
        let waits = measured();
        let seconds = start.elapsed().as_secs_f64();
        let megabytes = (swallow.bytes() - bytes) as f64 / 1e6 / seconds;
        let cores = (process.cpu() - cpu).as_secs_f64() / seconds;
        is_over.store(true, Ordering::Relaxed);
        saturating.join().unwrap();
        let senders = if self.stands_back { "senders stand back" } else { "senders do not stand back" };
        let spans = self.spans_per_request;
        say(&format!("beside {spans} spans a request, {megabytes:.0} MB/s on {cores:.2} cores, {senders}"), waits);
    }
}

fn say(what: &str, mut waits: Vec<f64>) {
    waits.sort_by(f64::total_cmp);
    let at = |share: usize| waits[(waits.len() - 1) * share / 100];
    let (p50, p99, max) = (at(50), at(99), at(100));
    println!("  alert in to out, {what}: p50 {p50:.2} ms, p99 {p99:.2} ms (bar {BAR_MS}), max {max:.2} ms");
}

/// In milliseconds, of alerts that are sent one after another.
fn waits(sender: &mut Sender, arrivals: &Arrivals, count: usize) -> Vec<f64> {
    let wait = |_| {
        let start = Instant::now();
        let name = sender.send();
        let arrived = loop {
            if let Some(arrived) = arrivals.lock().unwrap().remove(&name) {
                break arrived;
            }
            assert!(start.elapsed() < PATIENCE, "no page for {name}");
            thread::sleep(Duration::from_millis(1));
        };
        thread::sleep(PAUSE);
        (arrived - start).as_secs_f64() * 1e3
    };
    (0..count).map(wait).collect()
}

struct Sender {
    stream: TcpStream,
    to: SocketAddr,
    sent: usize,
}

impl Sender {
    /// Posts a problem that nobody has heard of, and returns its name.
    fn send(&mut self) -> String {
        self.sent += 1;
        let name = format!("Single{:06}", self.sent);
        let (now, end) = (rfc3339(0), rfc3339(240));
        let body = format!(
            "[{{\"annotations\":{{\"summary\":\"{name} on owl-service: 4.2 % of requests fail\"}},\"endsAt\":\"{end}\",\
             \"startsAt\":\"{now}\",\"generatorURL\":\"http://prometheus.example:9090/graph\",\
             \"labels\":{{\"alertname\":\"{name}\",\"cell\":\"prod-use1-c1\",\"cluster\":\"eks-prod-1\",\
             \"namespace\":\"apps\",\"service\":\"owl-service\",\"severity\":\"critical\"}}}}]"
        );
        let head = format!(
            "POST /api/v2/alerts HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.to,
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        let answer = message(&mut self.stream).expect("the daemon answers");
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        name
    }
}

/// Notes each problem that is told of.
fn page(mut stream: TcpStream, arrivals: &Arrivals) {
    stream.set_nodelay(true).unwrap();
    let body = "{\"status\":\"success\",\"message\":\"Event processed\",\"dedup_key\":\"x\"}";
    let length = body.len();
    let answer =
        format!("HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
    while let Some(text) = message(&mut stream) {
        let now = Instant::now();
        if let Some(at) = text.find("single0") {
            arrivals.lock().unwrap().insert(format!("S{}", &text[at + 1..at + 12]), now);
        }
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Head and body of one message, in lower case; `None` when the other side is gone.
fn message(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some(head) = text.find("\r\n\r\n") else { continue };
        let length = text[..head].split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        if bytes.len() >= head + 4 + length.unwrap_or(0) {
            return Some(text);
        }
    }
}

fn rfc3339(from_now: u64) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(from_now);
    tawny::model::Timestamp::ZERO.plus(at).to_string()
}
