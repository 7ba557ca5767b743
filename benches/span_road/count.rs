//! Instructions in user space per span, and per small request of gRPC, counted by callgrind: the difference of two runs
//! that send different numbers of requests, so that start and stop cancel out.

use std::path::Path;
use std::process::Command;

use crate::load::{self, Load};
use crate::process::{Out, Process};
use crate::swallow::Swallow;
use crate::{Coding, Protocol};

const BAR: f64 = 800.0;

/// What is sent, twice.
#[derive(Clone, Copy)]
struct Counting {
    protocol: Protocol,
    spans_per_request: usize,
    few: usize,
    many: usize,
}

const LARGE: Counting = Counting { protocol: Protocol::Http, spans_per_request: 512, few: 48, many: 240 };
/// Here the connections cost most. Not judged: how many requests are joined is a matter of time, and time is odd below
/// valgrind.
const SMALL: Counting = Counting { protocol: Protocol::Grpc, spans_per_request: 10, few: 400, many: 2400 };

/// HTTP in, HTTP out, 512 spans. `true` where there is no valgrind, which is said.
pub fn is_within() -> bool {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("no valgrind here: instructions were not counted");
        return true;
    }
    let [large, small] = [LARGE, SMALL].map(|counting| {
        let Counted { all, moves } = per_request(counting);
        (all - moves, moves)
    });
    let spans = LARGE.spans_per_request;
    let (each, moved) = (large.0 / spans as f64, large.1 / spans as f64);
    println!(
        "\nuser instructions per span, HTTP to HTTP, {spans} spans a request: {each:.0}   (bar {BAR}), and {moved:.0} more \
         where a move of a block is a loop and not one instruction"
    );
    println!(
        "user instructions per request, gRPC to gRPC, {} spans a request: {:.0}, and {:.0} more in such loops",
        SMALL.spans_per_request, small.0, small.1
    );
    each <= BAR
}

struct Counted {
    all: f64,
    /// In `memcpy`: valgrind has no other way to count it than as a loop of vector registers, or byte by byte.
    moves: f64,
}

fn per_request(counting: Counting) -> Counted {
    let (few, many) = (instructions(counting, counting.few), instructions(counting, counting.many));
    let requests = (counting.many - counting.few) as f64;
    Counted { all: (many.all - few.all) / requests, moves: (many.moves - few.moves) / requests }
}

fn instructions(counting: Counting, request_count: usize) -> Counted {
    let Counting { protocol, spans_per_request, .. } = counting;
    let swallow = Swallow::start(protocol);
    let counts = tempfile::NamedTempFile::new_in("target").unwrap();
    let out = Out { protocol, coding: Coding::None, graft: false };
    let process = Process::tawny_counted(swallow.address, out, counts.path());
    load::send(process.address, Load { protocol, coding: out.coding, spans_per_request, request_count, round: 0 });
    swallow.wait_quiet();
    process.terminate();
    if let Ok(kept) = std::env::var("TAWNY_BENCH_COUNTS") {
        std::fs::copy(counts.path(), format!("{kept}.{request_count}")).unwrap();
    }
    let text = std::fs::read_to_string(counts.path()).unwrap();
    let totals = text.lines().filter_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let all = totals.filter_map(|number| number.trim().parse().ok()).fold(0.0, f64::max);
    Counted { all, moves: moves(counts.path()) }
}

/// What `callgrind_annotate` says of the function itself; 0 without that tool, which judges more strictly.
fn moves(counts: &Path) -> f64 {
    let Ok(output) = Command::new("callgrind_annotate").arg("--threshold=100").arg(counts).output() else { return 0.0 };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter(|line| line.contains(":__memcpy_") || line.contains(":__memmove_"));
    let numbers = lines.filter_map(|line| line.split_whitespace().next());
    numbers.filter_map(|number| number.replace(',', "").parse::<f64>().ok()).sum()
}
