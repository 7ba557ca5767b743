//! What it costs to check, scan and splice a request of traces, beside prost's decode, edit and encode of the same:
//! `cargo bench --bench splice`. With valgrind, the instructions of one form alone:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='splice::spliced' target/release/deps/splice-* spliced 512 200
//! ```
//!
//! The last number is how often it runs; instructions divided by (runs x spans) are those of a span.

#![expect(unreachable_pub, reason = "a benchmark has no outside that could reach anything")]
#![expect(clippy::print_stdout, reason = "a benchmark speaks through its standard output")]

#[path = "span_road/request.rs"]
mod request;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tawny::model::{Existing, Signal};
use tawny::otlp::enrich::{Assembly, Edit, NewResource, new_resource};
use tawny::otlp::wire::{SeenSpan, Watch, scan};

use request::{request, text};

const EDITS: [Edit<'static>; 3] = [
    Edit { key: "tawny.platform", value: "eks", existing: Existing::Replace },
    Edit { key: "tawny.cell", value: "prod-c2-use1", existing: Existing::Replace },
    Edit { key: "tawny.owner", value: "team-owls", existing: Existing::Replace },
];

/// Each form is timed this often; the shortest time counts, because the machine has other work too.
const ROUNDS: usize = 15;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [form, spans, runs] = arguments.as_slice() {
        let (spans, runs) = (spans.parse().expect("spans is a number"), runs.parse().expect("runs is a number"));
        count(form, spans, runs);
        return;
    }
    println!("spans   bytes/span   scan + splice   again (resource known)   prost decode + edit + encode");
    for spans in [10, 100, 512] {
        let body = Bytes::from(request(spans).encode_to_vec());
        assert_eq!(whole(&spliced(&body, None)), decoded(&body), "both must make the same request");
        let known = resource_of(&body);
        let first = time(spans, || drop(black_box(spliced(&body, None))));
        let again = time(spans, || drop(black_box(spliced(&body, Some(&known)))));
        let prost = time(spans, || drop(black_box(decoded(&body))));
        println!("{spans:>5}   {:>10}   {first:>10} ns   {again:>19} ns   {prost:>25} ns", body.len() / spans);
    }
}

/// For callgrind: one form, a fixed number of times.
fn count(form: &str, spans: usize, runs: usize) {
    let body = Bytes::from(request(spans).encode_to_vec());
    let known = resource_of(&body);
    for _ in 0..runs {
        match form {
            "spliced" => drop(black_box(spliced(&body, None))),
            "known" => drop(black_box(spliced(&body, Some(&known)))),
            "decoded" => drop(black_box(decoded(&body))),
            other => panic!("`{other}` is none of: spliced, known, decoded"),
        }
    }
}

/// Nanoseconds a span.
fn time(spans: usize, mut run: impl FnMut()) -> u128 {
    let runs = 20_000 / spans + 1;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..runs {
            run();
        }
        best = best.min(start.elapsed());
    }
    best.as_nanos() / (runs * spans) as u128
}

/// Takes what evidence needs of each span.
#[derive(Default)]
struct Counts {
    entries: u64,
    errors: u64,
    nanos: u64,
    ids: u64,
}

impl Watch for Counts {
    #[inline]
    fn span(&mut self, _block: usize, span: &SeenSpan<'_>) {
        self.entries += u64::from(span.kind == 2 || span.kind == 5);
        self.errors += u64::from(span.status == 2);
        self.nanos += span.end_unix_nano.wrapping_sub(span.start_unix_nano);
        self.ids += (span.trace_id.len() + span.span_id.len() + span.parent_id.len()) as u64;
    }
}

#[inline(never)]
fn spliced(body: &Bytes, known: Option<&NewResource>) -> Vec<Bytes> {
    let mut counts = Counts::default();
    let scan = scan(Signal::Traces, body, &mut counts).expect("it is a request");
    black_box(&counts);
    let mut assembly = Assembly::new(body);
    let mut from = 0;
    for block in &scan.blocks {
        assembly.keep(from..block.field.start);
        match known {
            Some(known) => assembly.block(block, known),
            None => assembly.block(block, &new_resource(&block.resource(body), &EDITS).expect("it was scanned")),
        }
        from = block.field.end;
    }
    assembly.keep(from..body.len());
    assembly.finish()
}

fn whole(slices: &[Bytes]) -> Vec<u8> {
    slices.concat()
}

fn resource_of(body: &Bytes) -> NewResource {
    let scan = scan(Signal::Traces, body, &mut ()).expect("it is a request");
    new_resource(&scan.blocks[0].resource(body), &EDITS).expect("it was scanned")
}

#[inline(never)]
fn decoded(body: &Bytes) -> Vec<u8> {
    let mut request = ExportTraceServiceRequest::decode(body.clone()).expect("it is a request");
    for block in &mut request.resource_spans {
        let attributes = &mut block.resource.get_or_insert_default().attributes;
        for edit in EDITS {
            attributes.retain(|attribute| attribute.key != edit.key);
            attributes.push(text(edit.key, edit.value));
        }
    }
    request.encode_to_vec()
}
