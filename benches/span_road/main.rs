//! What a span costs: the real release binary with the shipped rules between four senders and a receiver that swallows,
//! beside a reference that decodes everything and, where it can be had, Rotel. CPU time is that of the process, from the
//! kernel, until it is quiet again. Ends with 1 when the count of instructions is above its bar: that figure does not
//! depend on what else the machine does; the others are printed beside their bars and not judged.
//!
//! `cargo bench --bench span_road`; `-- --rows http,graft` for some rows, `--spans 10` for one size of requests,
//! `--scale 0.2` for fewer spans, `--only-count` for the instructions alone (needs valgrind), `--without-count` for all
//! else. `TAWNY_BINARY` names another daemon than the one that was built with the bench. Rotel runs when it is there:
//! `python3 -m venv target/rotel/venv && target/rotel/venv/bin/pip install rotel`.

#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "senders and receivers are threads and wait as they like")]
#![expect(unreachable_pub, reason = "a bench has no outside that could reach anything")]

mod alerts;
mod count;
mod load;
mod payload;
mod process;
mod reference;
mod request;
mod rows;
mod swallow;

use std::process::ExitCode;

/// As in the daemon, for the reference.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    None,
    Gzip,
    Zstd,
}

impl Coding {
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Coding::None => None,
            Coding::Gzip => Some("gzip"),
            Coding::Zstd => Some("zstd"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Grpc,
}

impl Protocol {
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Grpc => "grpc",
        }
    }
}

struct Options {
    rows: Option<String>,
    spans: Option<usize>,
    scale: f64,
    only_count: bool,
    without_count: bool,
}

fn main() -> ExitCode {
    let mut options = Options { rows: None, spans: None, scale: 1.0, only_count: false, without_count: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rows" => options.rows = arguments.next(),
            "--spans" => options.spans = Some(arguments.next().unwrap().parse().unwrap()),
            "--scale" => options.scale = arguments.next().unwrap().parse().unwrap(),
            "--only-count" => options.only_count = true,
            "--without-count" => options.without_count = true,
            "--reference" => {
                let [listen, to, coding] = [(); 3].map(|()| arguments.next().unwrap());
                refer(&listen, &to, &coding);
            }
            // What cargo adds.
            "--bench" => {}
            other => panic!("unknown option {other}"),
        }
    }
    if !options.only_count {
        rows::print(&rows::measure(options.rows.as_deref(), options.spans, options.scale));
        if options.rows.is_none_or(|rows| rows.split(',').any(|key| key == "alerts")) {
            alerts::measure();
        }
    }
    if options.without_count || count::is_within() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refer(listen: &str, to: &str, coding: &str) {
    let coding = if coding == "gzip" { Coding::Gzip } else { Coding::None };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(reference::run(listen.parse().unwrap(), to.parse().unwrap(), coding));
}
