//! Probes of protobuf whose ids hold the letters of their hex, a slip of several exporters: mended and named by a
//! lenient daemon, told and passed on as they are by a strict one.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::json::Mode;
use super::report::Report;
use super::speak::{EXPORT, PROTOBUF, call, framed, gzip, post};
use super::target::{Receiver, Whole};
use crate::telemetry::kit::metric;

const TRACE_ID: [u8; 16] =
    [0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0];
const SPAN_ID: [u8; 8] = [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74];

fn letters(id: &[u8]) -> Vec<u8> {
    id.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

fn traces(trace_id: &[u8], span_id: &[u8]) -> Vec<u8> {
    let span = Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        parent_span_id: span_id.to_vec(),
        name: "GET /owls".to_owned(),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span; 2], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn logs(trace_id: &[u8], span_id: &[u8]) -> Vec<u8> {
    let record = LogRecord { trace_id: trace_id.to_vec(), span_id: span_id.to_vec(), ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record; 3], ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

/// A span whose own ids are fine, with a link.
fn linked(trace_id: &[u8], span_id: &[u8]) -> Vec<u8> {
    let link = Link { trace_id: trace_id.to_vec(), span_id: span_id.to_vec(), ..Link::default() };
    let (trace_id, span_id) = (TRACE_ID.to_vec(), SPAN_ID.to_vec());
    let span = Span { trace_id, span_id, name: "GET /owls".to_owned(), links: vec![link], ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// A data point with an exemplar.
fn exemplified(trace_id: &[u8], span_id: &[u8]) -> Vec<u8> {
    let exemplar = Exemplar { trace_id: trace_id.to_vec(), span_id: span_id.to_vec(), ..Exemplar::default() };
    let point = NumberDataPoint { exemplars: vec![exemplar], ..NumberDataPoint::default() };
    let data = Some(Data::Gauge(Gauge { data_points: vec![point] }));
    let metric = Metric { name: "owls".to_owned(), data, ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

fn said_of_metrics(body: &[u8]) -> String {
    let read = ExportMetricsServiceResponse::decode(body).expect("an answer");
    read.partial_success
        .map_or_else(String::new, |said| format!("{} {}", said.rejected_data_points, said.error_message))
}

fn said_of_traces(body: &[u8]) -> String {
    let read = ExportTraceServiceResponse::decode(body).expect("an answer");
    read.partial_success.map_or_else(String::new, |said| format!("{} {}", said.rejected_spans, said.error_message))
}

fn said_of_logs(body: &[u8]) -> String {
    let read = ExportLogsServiceResponse::decode(body).expect("an answer");
    read.partial_success
        .map_or_else(String::new, |said| format!("{} {}", said.rejected_log_records, said.error_message))
}

pub async fn probe(whole: &Whole<'_>, mode: Mode, report: &mut Report) {
    let (bad, good) = (traces(&letters(&TRACE_ID), &letters(&SPAN_ID)), traces(&TRACE_ID, &SPAN_ID));
    let passed_on = |count: usize| format!("0 {count} items have ids of a wrong length and were passed on as they are");
    let (after, said) = match mode {
        Mode::Lenient => (&good, "0 mended: 6 x hex text id".to_owned()),
        Mode::Strict => (&bad, passed_on(2)),
    };
    let answer = post(whole.address(), "/v1/traces", &[PROTOBUF], &bad).await;
    report.check("hex letters for ids of spans", "HTTP/1.1", &said, said_of_traces(&answer.body));
    report.check("what arrives of them", "HTTP/1.1", "whole", whole.arrived_only(after));
    let packed = [PROTOBUF, ("content-encoding", "gzip")];
    let answer = post(whole.address(), "/v1/traces", &packed, &gzip(&bad)).await;
    report.check("the same in gzip", "HTTP/1.1", &said, said_of_traces(&answer.body));
    report.check("what arrives of it", "HTTP/1.1", "whole", whole.arrived_only(after));
    let answer = call(whole.address(), EXPORT, &[], framed(0, &bad)).await;
    report.check("hex letters for ids of spans", "gRPC", &said, said_of_traces(&answer.body[5..]));
    report.check("what arrives of them", "gRPC", "whole", whole.arrived_only(after));

    let (bad, good) = (logs(&letters(&TRACE_ID), &letters(&SPAN_ID)), logs(&TRACE_ID, &SPAN_ID));
    let (after, said) = match mode {
        Mode::Lenient => (&good, "0 mended: 6 x hex text id".to_owned()),
        Mode::Strict => (&bad, passed_on(3)),
    };
    let answer = post(whole.address(), "/v1/logs", &[PROTOBUF], &bad).await;
    report.check("hex letters for ids of log records", "HTTP/1.1", said, said_of_logs(&answer.body));
    report.check("what arrives of them", "HTTP/1.1", "whole", whole.arrived_only(after));

    let said = match mode {
        Mode::Lenient => "0 mended: 2 x hex text id".to_owned(),
        Mode::Strict => passed_on(1),
    };
    let (bad, good) = (linked(&letters(&TRACE_ID), &letters(&SPAN_ID)), linked(&TRACE_ID, &SPAN_ID));
    let after = if mode == Mode::Lenient { &good } else { &bad };
    let answer = post(whole.address(), "/v1/traces", &[PROTOBUF], &bad).await;
    report.check("hex letters for ids of a link alone", "HTTP/1.1", &said, said_of_traces(&answer.body));
    report.check("what arrives of it", "HTTP/1.1", "whole", whole.arrived_only(after));
    let (bad, good) = (exemplified(&letters(&TRACE_ID), &letters(&SPAN_ID)), exemplified(&TRACE_ID, &SPAN_ID));
    let after = if mode == Mode::Lenient { &good } else { &bad };
    let answer = post(whole.address(), "/v1/metrics", &[PROTOBUF], &bad).await;
    report.check("hex letters for ids of an exemplar", "HTTP/1.1", &said, said_of_metrics(&answer.body));
    report.check("what arrives of it", "HTTP/1.1", "whole", whole.arrived_only(after));

    // One that can be mended beside some that cannot.
    let (mixed, after) = (traces(&letters(&TRACE_ID), b"abc"), traces(&TRACE_ID, b"abc"));
    let (after, said) = match mode {
        Mode::Lenient => (&after, format!("0 mended: 2 x hex text id; {}", &passed_on(2)[2..])),
        Mode::Strict => (&mixed, passed_on(2)),
    };
    let answer = post(whole.address(), "/v1/traces", &[PROTOBUF], &mixed).await;
    report.check("hex letters beside ids that are none", "HTTP/1.1", said, said_of_traces(&answer.body));
    report.check("what arrives of them", "HTTP/1.1", "whole", whole.arrived_only(after));

    let counted = metric(&whole.daemon, "tawny_telemetry_repairs_total", "repair=\"hex text id\"").await;
    let expected = if mode == Mode::Lenient { 6 + 6 + 6 + 6 + 2 + 2 + 2 } else { 0 };
    report.check("each mended id is counted", "metrics", f64::from(expected), counted);
}
