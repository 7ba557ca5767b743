//! The conformance suite of the telemetry doors: every probe asks over a real connection and looks at what was
//! answered and at what arrived behind. Knows of the door nothing but its address, its limit and what it let through.

mod compression;
mod connections;
mod grpc;
mod report;
mod semantics;
mod speak;
mod target;
mod transport;

use report::Report;
use target::Target;

/// All probes that any OTLP receiver can be asked; those of connections need timeouts of their own.
async fn probe_all(target: &Target, report: &mut Report) {
    transport::probe(target, report).await;
    compression::probe(target, report).await;
    semantics::probe(target, report).await;
    grpc::probe(target, report).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_probe_of_the_list_is_answered_as_it_should_be() {
    let target = Target::start(|_| {}).await;
    let mut report = Report::default();
    probe_all(&target, &mut report).await;
    report.write("otlp-conformance.md");
    report.assert_all_green();
    target.assert_the_budget_is_whole().await;
}
