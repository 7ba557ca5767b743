//! What is inside: everything but the set attributes arrives as it was sent, whatever the signal and whoever knows
//! the field.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::kit::{OWL, block, export, export_by_grpc, home_of, metric, pairs, request};
use crate::daemon::Daemon;
use crate::otlp_doors::speak::{PROTOBUF, call, framed, gzip, post};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::{Otlp, attribute};

const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

/// One attribute of each kind there is.
fn every_kind() -> Vec<KeyValue> {
    let list = ArrayValue { values: vec![AnyValue { value: Some(Value::IntValue(-3)) }, AnyValue { value: None }] };
    let map = KeyValueList { values: pairs(&[("inner", "x")]) };
    let values = [
        Some(Value::StringValue("é".to_owned())),
        Some(Value::BoolValue(true)),
        Some(Value::IntValue(i64::MIN)),
        Some(Value::DoubleValue(-0.5)),
        Some(Value::ArrayValue(list)),
        Some(Value::KvlistValue(map)),
        Some(Value::BytesValue(vec![0, 255, 1])),
        None,
    ];
    let pair =
        |(at, value)| KeyValue { key: format!("kind.{at}"), value: Some(AnyValue { value }), ..KeyValue::default() };
    values.into_iter().enumerate().map(pair).collect()
}

fn rich_resource() -> Resource {
    let attributes = [pairs(&OWL), every_kind()].concat();
    Resource { attributes, dropped_attributes_count: 3, ..Resource::default() }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "owls".to_owned(), version: "1".to_owned(), ..InstrumentationScope::default() })
}

pub fn logs() -> ResourceLogs {
    let record = |at: u64| LogRecord {
        time_unix_nano: 1_795_394_411_000_000_000 + at,
        observed_time_unix_nano: 1_795_394_412_000_000_000,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: any(Value::KvlistValue(KeyValueList { values: every_kind() })),
        attributes: every_kind(),
        dropped_attributes_count: 1,
        flags: 1,
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        event_name: "owl.flew".to_owned(),
    };
    let log_records = (0..20).map(record).collect();
    ResourceLogs {
        resource: Some(rich_resource()),
        scope_logs: vec![ScopeLogs { scope: scope(), log_records, schema_url: "https://example.com/1".to_owned() }],
        schema_url: "https://example.com/2".to_owned(),
    }
}

pub fn metrics() -> ResourceMetrics {
    let exemplars =
        vec![Exemplar { value: Some(exemplar::Value::AsInt(5)), trace_id: vec![1; 16], ..Exemplar::default() }];
    let number = |value| NumberDataPoint {
        attributes: every_kind(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: exemplars.clone(),
        flags: 1,
        value: Some(value),
    };
    let points =
        vec![number(number_data_point::Value::AsDouble(f64::MIN)), number(number_data_point::Value::AsInt(-1))];
    let histogram = HistogramDataPoint {
        count: 6,
        sum: Some(1.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.1, 1.0],
        min: Some(0.0),
        max: Some(2.0),
        ..HistogramDataPoint::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        scale: -2,
        zero_count: 4,
        positive: Some(Buckets { offset: -7, bucket_counts: vec![1, 0, 300] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let summary = SummaryDataPoint {
        quantile_values: vec![ValueAtQuantile { quantile: 0.99, value: 0.3 }],
        ..SummaryDataPoint::default()
    };
    let data = [
        Data::Gauge(Gauge { data_points: points.clone() }),
        Data::Sum(Sum { data_points: points, aggregation_temporality: 2, is_monotonic: true }),
        Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 1 }),
        Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![exponential], aggregation_temporality: 1 }),
        Data::Summary(Summary { data_points: vec![summary] }),
    ];
    let metric = |(at, data)| Metric {
        name: format!("owls.{at}"),
        unit: "{owl}".to_owned(),
        metadata: pairs(&[("m", "1")]),
        data: Some(data),
        ..Metric::default()
    };
    let metrics = data.into_iter().enumerate().map(metric).collect();
    ResourceMetrics {
        resource: Some(rich_resource()),
        scope_metrics: vec![ScopeMetrics { scope: scope(), metrics, schema_url: String::new() }],
        schema_url: "https://example.com/3".to_owned(),
    }
}

/// Takes away what was set, after a look that it was.
pub fn without_tags(resource: &mut Option<Resource>) {
    let resource = resource.as_mut().expect("a resource");
    for (key, value) in [("tawny.service", "owl-service"), ("tawny.owner", "owl"), ("tawny.env", "production")] {
        assert_eq!(attribute(resource, key), Some(value), "{resource:?}");
    }
    resource.attributes.retain(|held| !held.key.starts_with("tawny."));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_and_metrics_arrive_tagged_and_otherwise_equal() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home_of(&backend, "", ", durability: through");
    let daemon = Daemon::start(&home).await;
    let [grpc, http] = daemon.telemetry_addresses();
    let bare = ResourceLogs { resource: None, ..logs() };
    let log_bytes = ExportLogsServiceRequest { resource_logs: vec![logs(), bare.clone(), logs()] }.encode_to_vec();
    let metric_bytes = ExportMetricsServiceRequest { resource_metrics: vec![metrics(), metrics()] }.encode_to_vec();
    let packed = [PROTOBUF, ("content-encoding", "gzip")];
    assert_eq!(post(http, "/v1/logs", &packed, &gzip(&log_bytes)).await.status, 200);
    assert_eq!(call(grpc, LOGS, &[], framed(0, &log_bytes)).await.header("grpc-status"), "0");
    assert_eq!(post(http, "/v1/metrics", &[PROTOBUF], &metric_bytes).await.status, 200);
    let zipped = framed(1, &gzip(&metric_bytes));
    assert_eq!(call(grpc, METRICS, &[("grpc-encoding", "gzip")], zipped).await.header("grpc-status"), "0");

    let mut arrived = backend.role.logs();
    assert_eq!(arrived.len(), 6, "logs are never taken for resends");
    for (at, block) in arrived.iter_mut().enumerate() {
        if at % 3 == 1 {
            // It says nothing of itself, so nothing but that is known.
            assert_eq!(attribute(&block.resource.take().unwrap_or_default(), "tawny.service"), None);
            assert_eq!(*block, bare);
        } else {
            without_tags(&mut block.resource);
            assert_eq!(*block, logs());
        }
    }
    let mut arrived = backend.role.metrics();
    assert_eq!(arrived.len(), 4);
    for block in &mut arrived {
        without_tags(&mut block.resource);
        assert_eq!(*block, metrics());
    }
    // 2 x 60 records; 2 x 2 x 7 points.
    assert_eq!(metric(&daemon, "tawny_telemetry_items_total", "signal=\"logs\",outcome=\"taken\"").await, 120.0);
    assert_eq!(metric(&daemon, "tawny_telemetry_items_total", "signal=\"metrics\",outcome=\"taken\"").await, 28.0);
}

/// A field that no message of OTLP has, of every wire type but groups.
fn strange_fields() -> Vec<u8> {
    // 1000: varint 7; 1001: fixed64; 1002: "hi"; 1003: fixed32.
    let mut bytes = vec![0xc0, 0x3e, 7, 0xc9, 0x3e];
    bytes.extend_from_slice(&8_u64.to_le_bytes());
    bytes.extend_from_slice(&[0xd2, 0x3e, 2, b'h', b'i', 0xdd, 0x3e]);
    bytes.extend_from_slice(&9_u32.to_le_bytes());
    bytes
}

fn length_delimited(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(payload.len() as u64, &mut out);
    [out, payload.to_vec()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_at_every_level_arrive_bit_for_bit() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home_of(&backend, "", ", durability: through, resend_window: 0s");
    let daemon = Daemon::start(&home).await;
    let strange = strange_fields();
    let known = block(&OWL, 1);
    let span = [known.scope_spans[0].spans[0].encode_to_vec(), strange.clone()].concat();
    let scopes = length_delimited(2, &[strange.clone(), length_delimited(2, &span)].concat());
    let resource_fields = known.resource.clone().unwrap_or_default().encode_to_vec();
    let framed = |block: Vec<u8>| [strange.clone(), length_delimited(1, &block), strange.clone()].concat();
    let resource = length_delimited(1, &[strange.clone(), resource_fields].concat());
    let body = framed([strange.clone(), resource, scopes.clone(), strange.clone()].concat());
    for is_grpc in [false, true] {
        if is_grpc {
            assert_eq!(export_by_grpc(&daemon, &body).await.header("grpc-status"), "0");
        } else {
            assert_eq!(export(&daemon, &body).await.status, 200);
        }
        let exchanges = backend.exchanges();
        let got = &exchanges.last().expect("it has arrived").body;
        // The only differences: what was set, at the end of the Resource, and that the Resource stands first.
        let spans = backend.role.spans();
        let (resource, span) = spans.last().expect("a span");
        assert_eq!(*span, known.scope_spans[0].spans[0]);
        let added: Vec<KeyValue> =
            resource.attributes.iter().filter(|held| held.key.starts_with("tawny.")).cloned().collect();
        assert!(!added.is_empty());
        let added: Vec<u8> = added.iter().flat_map(|held| length_delimited(1, &held.encode_to_vec())).collect();
        let old = known.resource.clone().unwrap_or_default().encode_to_vec();
        let resource = length_delimited(1, &[strange.clone(), old, added].concat());
        assert_eq!(got[..], framed([resource, strange.clone(), scopes.clone(), strange.clone()].concat())[..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_are_called_as_the_settings_say_and_kept_where_they_say_so() {
    let told = [("service.name", "owl-service"), ("team", "mine"), ("acme.cell", "theirs")];
    for (spans, service, team) in [
        (", attribute_prefix: acme., attributes: { owner: team, env: '' }", Some("owl-service"), "owl"),
        (
            ", attribute_prefix: acme., attributes: { owner: team, env: '' }, existing: keep",
            Some("owl-service"),
            "mine",
        ),
        (", attributes: { service: '', owner: team }", None, "owl"),
    ] {
        let backend = StandIn::start(Otlp::default()).await;
        let home = home_of(&backend, "", &format!(", durability: through{spans}"));
        let daemon = Daemon::start(&home).await;
        assert_eq!(export(&daemon, &request(vec![block(&told, 1)])).await.status, 200);
        let (resource, _) = backend.role.spans().remove(0);
        assert_eq!(attribute(&resource, "acme.service"), service.filter(|_| spans.contains("acme")), "{spans}");
        assert_eq!(attribute(&resource, "team"), Some(team), "{spans}");
        assert!(attribute(&resource, "acme.env").is_none() && attribute(&resource, "tawny.service").is_none());
        assert_eq!(attribute(&resource, "acme.cell"), Some("theirs"), "nothing is known of the cell");
        let mut keys: Vec<&str> = resource.attributes.iter().map(|held| held.key.as_str()).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "each key once: {keys:?}");
    }
}
