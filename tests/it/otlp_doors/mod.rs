//! The conformance suite of telemetry: every probe asks over a real connection and looks at what was answered and at
//! what arrived behind. Asks the door alone, in this process, and the whole daemon.

mod bytes;
mod compression;
mod connections;
mod grpc;
mod ids;
mod json;
pub mod report;
mod semantics;
pub mod speak;
mod target;
mod tls;
mod transport;

use report::Report;
use target::{Receiver, Target, Whole};

use crate::stand_in::StandIn;
use crate::stand_in::otlp::Otlp;

/// All probes that any OTLP receiver can be asked; those of connections need timeouts of their own.
async fn probe_all(target: &dyn Receiver, report: &mut Report) {
    transport::probe(target, report).await;
    compression::probe(target, report).await;
    bytes::probe(target, report).await;
    grpc::probe(target, report).await;
}

/// JSON is read by the daemon's own reader, so only the daemon is asked; it is asked in both of its modes.
async fn probe_daemon(report: &mut Report) {
    for mode in [json::Mode::Lenient, json::Mode::Strict] {
        let backend = StandIn::start(Otlp::default()).await;
        let home = Whole::home(&backend, mode.as_str());
        let mut whole = Whole::start(&home, backend).await;
        report.ask(mode.asked());
        json::probe(&whole, mode, report).await;
        ids::probe(&whole, mode, report).await;
        if mode == json::Mode::Lenient {
            probe_all(&whole, report).await;
            let refused = whole.backend.role.refused();
            report.check("the backend understood all that it got", "HTTP/1.1", "[]", format!("{refused:?}"));
        }
        report.check("the process lives", "HTTP/1.1", true, whole.daemon.is_running());
        eprintln!("conformance: the daemon held {} MB at most", whole.daemon.memory_peak_bytes() >> 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_probe_of_the_list_is_answered_as_it_should_be() {
    let target = Target::start(|_| {}).await;
    let mut report = Report::default();
    report.ask("the door");
    probe_all(&target, &mut report).await;
    semantics::probe(&target, &mut report).await;
    probe_daemon(&mut report).await;
    report.write("otlp-conformance.md");
    report.assert_all_green();
    target.assert_the_budget_is_whole().await;
}
