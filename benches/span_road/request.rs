//! The request that the benches of telemetry send: spans of a web service on EKS with 12 Resource attributes and 11 span
//! attributes, some 550 bytes each. The same whenever it is made.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

pub fn request(spans: usize) -> ExportTraceServiceRequest {
    let attributes = [
        ("service.name", "owl-service"),
        ("service.version", "4.17.2"),
        ("service.instance.id", "7d9f4c9c5b-x2x7q"),
        ("deployment.environment.name", "prod"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.language", "java"),
        ("telemetry.sdk.version", "1.54.0"),
        ("cloud.provider", "aws"),
        ("cloud.platform", "aws_eks"),
        ("k8s.cluster.name", "prod-c2-use1"),
        ("k8s.namespace.name", "owls"),
        ("k8s.pod.name", "owl-service-7d9f4c9c5b-x2x7q"),
    ];
    let resource =
        Resource { attributes: attributes.map(|(key, value)| text(key, value)).to_vec(), ..Resource::default() };
    let scope = InstrumentationScope {
        name: "io.opentelemetry.tomcat-10.0".to_owned(),
        version: "2.20.1-alpha".to_owned(),
        ..InstrumentationScope::default()
    };
    let scoped = ScopeSpans {
        scope: Some(scope),
        spans: (0..spans as u64).map(span).collect(),
        schema_url: "https://opentelemetry.io/schemas/1.37.0".to_owned(),
    };
    let block = ResourceSpans { resource: Some(resource), scope_spans: vec![scoped], schema_url: String::new() };
    ExportTraceServiceRequest { resource_spans: vec![block] }
}

fn span(number: u64) -> Span {
    // Ids and times have bytes of all values, as real ones do.
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let start = 1_790_000_000_000_000_000 + number * 1_003_411;
    let is_failed = number % 50 == 7;
    Span {
        trace_id: [mixed.to_le_bytes(), mixed.rotate_left(23).to_be_bytes()].concat(),
        span_id: mixed.rotate_left(7).to_le_bytes().to_vec(),
        parent_span_id: mixed.rotate_left(41).to_le_bytes().to_vec(),
        flags: 0x101,
        name: "GET /api/v1/owls/{owl}/feathers".to_owned(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 12_345_678 + mixed % 1_000_000,
        attributes: vec![
            text("http.request.method", "GET"),
            text("url.scheme", "https"),
            text("url.path", &format!("/api/v1/owls/{}/feathers", mixed % 100_000)),
            text("http.route", "/api/v1/owls/{owl}/feathers"),
            text("server.address", "owls.internal.example.com"),
            attribute("server.port", Value::IntValue(8443)),
            text("client.address", &format!("10.20.{}.{}", mixed % 251, mixed % 241)),
            text("network.protocol.version", "1.1"),
            text(
                "user_agent.original",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0",
            ),
            attribute("http.response.status_code", Value::IntValue(if is_failed { 503 } else { 200 })),
            attribute("thread.id", Value::IntValue(42)),
        ],
        status: Some(Status { message: String::new(), code: if is_failed { 2 } else { 0 } }),
        ..Span::default()
    }
}
