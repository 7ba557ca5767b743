//! How long an alert takes from its POST to the pager, alone and while spans saturate the machine: senders, receivers and
//! the daemon share the processors. The route holds nothing back (`hold: 0s`).

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

type Arrivals = Arc<Mutex<HashMap<String, Instant>>>;

pub fn measure() {
    println!("alerts while spans saturate the machine");
    let (swallow, pager) = (Swallow::start(Protocol::Http), TcpListener::bind("127.0.0.1:0").unwrap());
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
        let is_over = Arc::new(AtomicBool::new(false));
        let (to, seen) = (process.address, is_over.clone());
        let saturating = thread::spawn(move || {
            let mut round = spans_per_request as u64;
            while !seen.load(Ordering::Relaxed) {
                round += 1000;
                let (protocol, coding) = (Protocol::Http, Coding::None);
                load::send(to, Load { protocol, coding, spans_per_request, request_count: 2000, round });
            }
        });
        let (start, cpu, requests) = (Instant::now(), process.cpu(), swallow.bytes());
        let waits = waits(&mut sender, &arrivals, ALERT_COUNT);
        let seconds = start.elapsed().as_secs_f64();
        let megabytes = (swallow.bytes() - requests) as f64 / 1e6 / seconds;
        let cores = (process.cpu() - cpu).as_secs_f64() / seconds;
        is_over.store(true, Ordering::Relaxed);
        saturating.join().unwrap();
        say(&format!("beside {spans_per_request} spans a request, {megabytes:.0} MB/s on {cores:.2} cores"), waits);
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
