//! Blocks as SDKs send them, built with the official messages, for the tests of exceptions and of their sinks. Only tests
//! see it.

use std::path::Path;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};
use prost::Message;

use crate::model::{Tag, TagName, Tags, Timestamp};

/// 2026-11-23T00:40:11.482913Z, a moment before [`now`].
pub(crate) const THROWN_AT_NS: u64 = 1_795_394_411_482_913_777;

pub(crate) fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-23T00:40:13.120Z").unwrap()
}

pub(crate) fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exceptions");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue((*value).to_owned())) }),
        ..KeyValue::default()
    };
    pairs.iter().map(pair).collect()
}

pub(crate) fn resource(language: &str) -> Resource {
    let attributes = pairs(&[
        ("service.name", "owl-service"),
        ("service.version", "1.42.0+9f1c2ab"),
        ("deployment.environment.name", "prod"),
        ("k8s.pod.name", "owl-service-7c9f8b6d5f-x2k4q"),
        ("k8s.namespace.name", "owl"),
        ("k8s.cluster.name", "prod-c2-use1"),
        ("telemetry.sdk.language", language),
    ]);
    Resource { attributes, ..Resource::default() }
}

pub(crate) fn tags() -> Tags {
    let mut tags = Tags::default();
    for (name, value) in [
        (TagName::Service, "owl-service"),
        (TagName::Platform, "eks"),
        (TagName::PlatformCluster, "prod-c2-use1"),
        (TagName::Cell, "prod-use1-c2"),
        (TagName::Owner, "team-owl"),
    ] {
        let by = format!("rules.yaml:7 {}", name.as_str());
        tags.replace(name, Tag { value: value.into(), by: by.into(), seen: None });
    }
    tags
}

/// A span event of this type, message and stack trace; an empty text is no attribute.
pub(crate) fn exception(kind: &str, message: &str, stack: &str) -> Event {
    Event {
        time_unix_nano: THROWN_AT_NS,
        name: "exception".to_owned(),
        attributes: thrown(kind, message, stack),
        ..Event::default()
    }
}

fn thrown(kind: &str, message: &str, stack: &str) -> Vec<KeyValue> {
    let all = [("exception.type", kind), ("exception.message", message), ("exception.stacktrace", stack)];
    pairs(&all.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>())
}

/// A failed request with these events.
pub(crate) fn span(events: Vec<Event>) -> Span {
    Span {
        trace_id: 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c_u128.to_be_bytes().to_vec(),
        span_id: 0xeee1_9b7e_c3c1_b174_u64.to_be_bytes().to_vec(),
        parent_span_id: 0xeee1_9b7e_c3c1_b173_u64.to_be_bytes().to_vec(),
        name: "POST /v1/lessons/{id}/complete".to_owned(),
        kind: 2,
        attributes: pairs(&[
            ("http.request.method", "POST"),
            ("http.route", "/v1/lessons/{id}/complete"),
            ("http.response.status_code", "500"),
            ("enduser.id", "somebody@example.com"),
            ("http.request.header.authorization", "Bearer hunter2"),
        ]),
        events,
        status: Some(Status { code: 2, message: "it failed".to_owned() }),
        ..Span::default()
    }
}

/// The log record that says the same as [`span`] with this exception.
pub(crate) fn record(kind: &str, message: &str, stack: &str) -> LogRecord {
    let span = span(Vec::new());
    LogRecord {
        time_unix_nano: THROWN_AT_NS + 5_000_000,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue("request failed".to_owned())) }),
        attributes: thrown(kind, message, stack),
        trace_id: span.trace_id,
        span_id: span.span_id,
        ..LogRecord::default()
    }
}

pub(crate) fn spans_block(language: &str, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ResourceSpans { resource: Some(resource(language)), scope_spans, ..ResourceSpans::default() }.encode_to_vec()
}

pub(crate) fn logs_block(language: &str, log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    ResourceLogs { resource: Some(resource(language)), scope_logs, ..ResourceLogs::default() }.encode_to_vec()
}
