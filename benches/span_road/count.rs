//! Instructions in user space per span, counted by callgrind: the difference of two runs that send different numbers of
//! requests, so that start and stop cancel out.

use std::path::Path;
use std::process::Command;

use crate::load::{self, Load};
use crate::process::{Out, Process};
use crate::swallow::Swallow;
use crate::{Coding, Protocol};

const BAR: f64 = 800.0;
const SPANS_PER_REQUEST: usize = 512;
const FEW: usize = 48;
const MANY: usize = 240;

/// HTTP in, HTTP out, 512 spans. `true` where there is no valgrind, which is said.
pub fn is_within() -> bool {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("no valgrind here: instructions were not counted");
        return true;
    }
    let (few, many) = (instructions(FEW), instructions(MANY));
    let spans = ((MANY - FEW) * SPANS_PER_REQUEST) as f64;
    let (all, moved) = ((many.all - few.all) / spans, (many.moves - few.moves) / spans);
    let each = all - moved;
    println!(
        "\nuser instructions per span, HTTP to HTTP, {SPANS_PER_REQUEST} spans a request: {each:.0}   (bar {BAR}), and \
         {moved:.0} more where a move of a block is a loop and not one instruction"
    );
    each <= BAR
}

struct Counted {
    all: f64,
    /// In `memcpy`: valgrind has no other way to count it than as a loop of vector registers, or byte by byte.
    moves: f64,
}

fn instructions(request_count: usize) -> Counted {
    let swallow = Swallow::start(Protocol::Http);
    let counts = tempfile::NamedTempFile::new_in("target").unwrap();
    let out = Out { protocol: Protocol::Http, coding: Coding::None, graft: false };
    let process = Process::tawny_counted(swallow.address, out, counts.path());
    let (protocol, coding) = (out.protocol, out.coding);
    let load = Load { protocol, coding, spans_per_request: SPANS_PER_REQUEST, request_count, round: 0 };
    load::send(process.address, load);
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
