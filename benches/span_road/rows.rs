//! The rows of the table: which road, how many spans a request, what it may cost, what it cost.

use std::io::Read;
use std::path::PathBuf;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::load::{self, Load};
use crate::payload::Template;
use crate::process::{Out, Process};
use crate::swallow::Swallow;
use crate::{Coding, Protocol};

const SIZES: [usize; 3] = [10, 100, 512];
/// What is sent of each size before the clock is read.
const WARM_UP: usize = 200;

enum Who {
    Tawny { graft: bool },
    Reference,
    Rotel(PathBuf),
}

struct Road {
    /// What `--rows` calls it.
    key: &'static str,
    name: &'static str,
    who: Who,
    protocol: Protocol,
    coding: Coding,
    /// Microseconds a span at 512 spans.
    bar: Option<f64>,
}

pub struct Row {
    name: &'static str,
    spans: usize,
    us_per_span: f64,
    us_per_request: f64,
    bar: Option<f64>,
    idle_mb: f64,
    peak_mb: f64,
    out_ratio: f64,
}

fn roads() -> Vec<Road> {
    let tawny = |key, name, protocol, coding, graft, bar| {
        let who = Who::Tawny { graft };
        Road { key, name, who, protocol, coding, bar: Some(bar) }
    };
    let mut roads = vec![
        tawny("http", "HTTP to HTTP", Protocol::Http, Coding::None, false, 0.30),
        tawny("grpc", "gRPC to gRPC", Protocol::Grpc, Coding::None, false, 0.65),
        tawny("zstd", "zstd to zstd", Protocol::Http, Coding::Zstd, false, 0.90),
        tawny("gzip", "gzip to gzip", Protocol::Http, Coding::Gzip, false, 1.50),
        tawny("graft", "gzip to gzip, graft", Protocol::Http, Coding::Gzip, true, 0.60),
    ];
    let reference =
        |key, name, coding| Road { key, name, who: Who::Reference, protocol: Protocol::Http, coding, bar: None };
    roads.push(reference("reference", "decode all, HTTP to HTTP", Coding::None));
    roads.push(reference("reference-gzip", "decode all, gzip to gzip", Coding::Gzip));
    match rotel_agent() {
        Some(agent) => roads.push(Road {
            key: "rotel",
            name: "Rotel, gzip to gzip",
            who: Who::Rotel(agent),
            protocol: Protocol::Http,
            coding: Coding::Gzip,
            bar: None,
        }),
        None => println!("no Rotel here: its row is left out"),
    }
    roads
}

/// Where the first lines of the bench say that it may be.
fn rotel_agent() -> Option<PathBuf> {
    let lib = std::fs::read_dir("target/rotel/venv/lib").ok()?;
    let agents = lib.flatten().map(|python| python.path().join("site-packages/rotel/rotel-agent"));
    agents.into_iter().find(|agent| agent.exists())
}

pub fn measure(wanted: Option<&str>, size: Option<usize>, scale: f64) -> Vec<Row> {
    let mut rows = Vec::new();
    for road in roads() {
        if wanted.is_some_and(|wanted| !wanted.split(',').any(|key| key == road.key)) {
            continue;
        }
        for spans in SIZES.into_iter().filter(|spans| size.is_none_or(|size| size == *spans)) {
            println!("{}, {spans} spans a request", road.name);
            rows.push(row(&road, spans, scale));
        }
    }
    rows
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of requests, made of small numbers"
)]
fn row(road: &Road, spans: usize, scale: f64) -> Row {
    let swallow = Swallow::start(road.protocol);
    let process = match &road.who {
        Who::Tawny { graft } => {
            Process::tawny(swallow.address, Out { protocol: road.protocol, coding: road.coding, graft: *graft })
        }
        Who::Reference => Process::reference(swallow.address, road.coding),
        Who::Rotel(agent) => Process::rotel(agent, swallow.address),
    };
    let idle_mb = process.memory_mb("VmRSS");
    let all = match road.who {
        Who::Tawny { .. } => [400_000, 800_000, 1_500_000],
        Who::Reference | Who::Rotel(_) => [100_000, 150_000, 200_000],
    };
    let all = all[SIZES.iter().position(|size| *size == spans).unwrap()];
    let request_count = (f64::from(all) * scale / spans as f64) as usize + 1;
    let (protocol, coding) = (road.protocol, road.coding);
    let load = |request_count, round| Load { protocol, coding, spans_per_request: spans, request_count, round };
    load::send(process.address, load(WARM_UP, 0));
    swallow.wait_quiet();
    let (cpu, requests, bytes) = (process.cpu(), swallow.requests(), swallow.bytes());
    load::send(process.address, load(request_count, 1));
    swallow.wait_quiet();
    let spent = (process.cpu() - cpu).as_secs_f64() * 1e6;
    check(swallow.first(), road);
    let sent_bytes = (Template::new(spans).byte_count() * request_count) as f64;
    println!("  {} requests out for {request_count} in", swallow.requests() - requests);
    Row {
        name: road.name,
        spans,
        us_per_span: spent / (request_count * spans) as f64,
        us_per_request: spent / request_count as f64,
        bar: road.bar,
        idle_mb,
        peak_mb: process.memory_mb("VmHWM"),
        out_ratio: (swallow.bytes() - bytes) as f64 / sent_bytes,
    }
}

/// What came out is a request with one Resource that has our attributes.
fn check(first: &[u8], road: &Road) {
    let message = match road.protocol {
        Protocol::Http => first,
        Protocol::Grpc => &first[5..],
    };
    let mut plain = Vec::new();
    match road.coding {
        Coding::None => plain.extend_from_slice(message),
        Coding::Gzip => drop(flate2::read::GzDecoder::new(message).read_to_end(&mut plain).unwrap()),
        Coding::Zstd => plain = zstd::decode_all(message).unwrap(),
    }
    let request = ExportTraceServiceRequest::decode(&plain[..]).unwrap();
    for block in &request.resource_spans {
        let keys: Vec<&str> = block.resource.iter().flat_map(|held| &held.attributes).map(|held| &*held.key).collect();
        // Rotel alpha loses Resources of what it batches; its figure is what it costs all the same.
        let is_whole = keys.contains(&"service.name") && keys.contains(&"tawny.platform");
        assert!(is_whole || matches!(road.who, Who::Rotel(_)), "{keys:?}");
        assert!(!block.scope_spans[0].spans.is_empty());
    }
}

pub fn print(rows: &[Row]) {
    println!("\nCPU time of the process, user and system, drained; {} connections\n", load::CONNECTION_COUNT);
    println!(
        "{:<26} {:>5} {:>9} {:>6} {:>11} {:>6} {:>9} {:>9} {:>8}",
        "", "spans", "µs/span", "bar", "µs/request", "bar", "idle MB", "peak MB", "out/in"
    );
    for row in rows {
        let shown = |bar: Option<f64>| bar.map_or(String::from("-"), |bar| format!("{bar}"));
        let span_bar = shown(row.bar.filter(|_| row.spans == 512));
        let request_bar = shown(row.bar.filter(|_| row.spans == 10).map(|_| 18.0));
        let Row { name, spans, us_per_span, us_per_request, idle_mb, peak_mb, out_ratio, .. } = row;
        println!(
            "{name:<26} {spans:>5} {us_per_span:>9.3} {span_bar:>6} {us_per_request:>11.1} {request_bar:>6} {idle_mb:>9.1} \
             {peak_mb:>9.1} {out_ratio:>8.3}"
        );
    }
    let of = |name: &str| rows.iter().find(|row| row.name == name && row.spans == 512).map(|row| row.us_per_span);
    let times = |slow: &str, quick: &str, bar: f64| {
        if let (Some(slow_us), Some(quick_us)) = (of(slow), of(quick)) {
            println!("{slow} costs {:.1} times what {quick} does (bar {bar})", slow_us / quick_us);
        }
    };
    println!();
    times("decode all, HTTP to HTTP", "HTTP to HTTP", 6.0);
    times("decode all, gzip to gzip", "gzip to gzip, graft", 6.0);
    times("Rotel, gzip to gzip", "gzip to gzip, graft", 12.0);
    times("Rotel, gzip to gzip", "gzip to gzip", 12.0);
}
