//! Requests as SDKs send them, a daemon with sinks at stand-ins, and its counts. Judges nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::client::{Client, sum_of_metric};
use crate::daemon::{Daemon, Home};
use crate::otlp_doors::speak::{Answer, EXPORT, PROTOBUF, call, framed, post};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::Otlp;

pub const OWL: [(&str, &str); 2] = [("service.name", "owl-service"), ("deployment.environment.name", "production")];
/// Before anything else of a binary, so that no test says the ids of another.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A sink of kind `otlp` at this address, uncompressed, as settings.
pub fn sink(name: &str, endpoint: &str, more: &str) -> String {
    format!("  - {{ name: {name}, kind: otlp, endpoint: \"{endpoint}\", compression: none{more} }}\n")
}

/// Sinks, what is added to `otlp: { … }`, and the inside of `spans: { … }`.
pub fn home(sinks: &str, otlp: &str, spans: &str) -> Home {
    let home = Home::with_sinks(sinks);
    let settings = std::fs::read_to_string(home.settings_path()).expect("it was written");
    let doors = "http: \"127.0.0.1:0\"";
    assert!(settings.contains(doors), "the shared settings have changed");
    let settings = settings.replacen(doors, &format!("{doors}{otlp}"), 1);
    home.write("tawny.yaml", &format!("{settings}spans: {{ {spans} }}\n"));
    home
}

/// One backend called `back` behind a daemon.
pub fn home_of(backend: &StandIn<Otlp>, otlp: &str, spans: &str) -> Home {
    home(&sink("back", &backend.url(), ""), otlp, &format!("to: [back]{spans}"))
}

pub fn pairs(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue((*value).to_owned())) }),
        ..KeyValue::default()
    };
    pairs.iter().map(pair).collect()
}

pub fn resource(attributes: &[(&str, &str)]) -> Resource {
    Resource { attributes: pairs(attributes), ..Resource::default() }
}

/// Spans with ids that nobody else has.
pub fn block(attributes: &[(&str, &str)], span_count: usize) -> ResourceSpans {
    let span = |_| {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Span {
            trace_id: [id.to_be_bytes(), (!id).to_be_bytes()].concat(),
            span_id: id.to_be_bytes().to_vec(),
            name: format!("GET /owls/{id}"),
            kind: 2,
            start_time_unix_nano: 1_795_394_411_000_000_000 + id,
            end_time_unix_nano: 1_795_394_411_000_900_000 + id,
            attributes: pairs(&[("http.request.method", "GET"), ("url.path", "/owls")]),
            ..Span::default()
        }
    };
    let scope_spans = vec![ScopeSpans { spans: (0..span_count).map(span).collect(), ..ScopeSpans::default() }];
    ResourceSpans { resource: Some(resource(attributes)), scope_spans, ..ResourceSpans::default() }
}

pub fn request(blocks: Vec<ResourceSpans>) -> Vec<u8> {
    ExportTraceServiceRequest { resource_spans: blocks }.encode_to_vec()
}

/// A request of one service.
pub fn owls(span_count: usize) -> Vec<u8> {
    request(vec![block(&OWL, span_count)])
}

/// How often each span of a list stands in it, by id.
pub fn counted(spans: impl IntoIterator<Item = Span>) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    spans.into_iter().for_each(|span| *counts.entry(span.span_id).or_default() += 1);
    counts
}

/// The same of requests.
pub fn ids(requests: &[Vec<u8>]) -> BTreeMap<Vec<u8>, usize> {
    let read = |body: &Vec<u8>| ExportTraceServiceRequest::decode(&body[..]).expect("our own request");
    let blocks = requests.iter().flat_map(|body| read(body).resource_spans);
    counted(blocks.flat_map(|block| block.scope_spans).flat_map(|scope| scope.spans))
}

pub fn arrived(backend: &StandIn<Otlp>) -> BTreeMap<Vec<u8>, usize> {
    counted(backend.role.spans().into_iter().map(|(_, span)| span))
}

/// Over HTTP with protobuf.
pub async fn export(daemon: &Daemon<'_>, body: &[u8]) -> Answer {
    post(daemon.telemetry_addresses()[1], "/v1/traces", &[PROTOBUF], body).await
}

pub async fn export_by_grpc(daemon: &Daemon<'_>, body: &[u8]) -> Answer {
    call(daemon.telemetry_addresses()[0], EXPORT, &[], framed(0, body)).await
}

/// The counts of one sink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    pub accepted: f64,
    pub settled: f64,
    pub open: f64,
    pub no_room: f64,
}

/// The sum of a metric over the rows that hold this label.
pub async fn metric(daemon: &Daemon<'_>, name: &str, label: &str) -> f64 {
    let page = Client::new().get(daemon.address, "/metrics").await.expect("the daemon answers").body;
    sum_of_metric(&page, name, label).unwrap_or_default()
}

pub async fn outlet(daemon: &Daemon<'_>, name: &str) -> Counted {
    let page = Client::new().get(daemon.address, "/metrics").await.expect("the daemon answers").body;
    let of = |metric: &str| sum_of_metric(&page, metric, &format!("sink=\"{name}\"")).unwrap_or_default();
    Counted {
        accepted: of("tawny_outlet_accepted_total"),
        settled: of("tawny_outlet_settled_total"),
        open: of("tawny_outlet_open"),
        no_room: of("tawny_outlet_no_room_total"),
    }
}

/// Items of a sink that ended so.
pub async fn settled(daemon: &Daemon<'_>, name: &str, outcome: &str) -> f64 {
    metric(daemon, "tawny_outlet_settled_total", &format!("outcome=\"{outcome}\",sink=\"{name}\"")).await
}
