//! Answers as their readers see them: through prost, through opentelemetry-proto, through serde.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use serde_json::{Value, json};

use super::*;
use crate::model::Signal;

/// googleapis, google/rpc/status.proto.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// googleapis, google/rpc/error_details.proto.
#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn as_json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn bad_data_is_a_status_with_a_bad_request_inside() {
    let status = Status::bad_request("resourceSpans[0]", "it is \"half\"\n");
    let read = RpcStatus::decode(status.body(Encoding::Protobuf).as_slice()).unwrap();
    assert_eq!((read.code, read.message.as_str()), (3, "it is \"half\"\n"));
    assert_eq!(read.details[0].type_url, "type.googleapis.com/google.rpc.BadRequest");
    let violation = &BadRequest::decode(read.details[0].value.as_slice()).unwrap().field_violations[0];
    assert_eq!((violation.field.as_str(), violation.description.as_str()), ("resourceSpans[0]", "it is \"half\"\n"));
    let expected = json!({
        "code": 3,
        "message": "it is \"half\"\n",
        "details": [{
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "field": "resourceSpans[0]", "description": "it is \"half\"\n" }],
        }],
    });
    assert_eq!(as_json(&status.body(Encoding::Json)), expected);
}

#[test]
fn a_delay_is_a_status_with_a_retry_info_inside() {
    for (delay, seconds, nanos, text) in [
        (Duration::from_secs(7), 7, 0, "7s"),
        (Duration::from_millis(1500), 1, 500_000_000, "1.500s"),
        (Duration::from_micros(3), 0, 3000, "0.000003s"),
        (Duration::new(1, 1), 1, 1, "1.000000001s"),
        (Duration::ZERO, 0, 0, "0s"),
        (Duration::MAX, 315_576_000_000, 0, "315576000000s"),
    ] {
        let status = Status::retry(Code::Unavailable, "full", delay);
        let read = RpcStatus::decode(status.body(Encoding::Protobuf).as_slice()).unwrap();
        assert_eq!((read.code, read.details[0].type_url.as_str()), (14, "type.googleapis.com/google.rpc.RetryInfo"));
        let info = RetryInfo::decode(read.details[0].value.as_slice()).unwrap();
        assert_eq!(info.retry_delay, Some(ProtoDuration { seconds, nanos }));
        assert_eq!(as_json(&status.body(Encoding::Json))["details"][0]["retryDelay"], text);
    }
}

#[test]
fn a_status_without_details_has_none() {
    let status = Status::new(Code::Internal, "");
    assert_eq!(status.body(Encoding::Protobuf), [0x08, 13]);
    assert_eq!(as_json(&status.body(Encoding::Json)), json!({ "code": 13, "message": "" }));
}

#[test]
fn a_whole_success_says_nothing() {
    let read = ExportTraceServiceResponse::decode(success_body(Encoding::Protobuf)).unwrap();
    assert_eq!(read.partial_success, None);
    assert_eq!(success_body(Encoding::Json), b"{}");
}

#[test]
fn a_part_is_named_in_the_words_of_its_signal() {
    let body = |signal| partial_body(signal, 300, "mended", Encoding::Protobuf);
    let spans = ExportTraceServiceResponse::decode(body(Signal::Traces).as_slice()).unwrap().partial_success.unwrap();
    assert_eq!((spans.rejected_spans, spans.error_message.as_str()), (300, "mended"));
    let logs = ExportLogsServiceResponse::decode(body(Signal::Logs).as_slice()).unwrap().partial_success.unwrap();
    assert_eq!((logs.rejected_log_records, logs.error_message.as_str()), (300, "mended"));
    let points = ExportMetricsServiceResponse::decode(body(Signal::Metrics).as_slice()).unwrap();
    assert_eq!(points.partial_success.unwrap().rejected_data_points, 300);
    for (signal, key) in [
        (Signal::Traces, "rejectedSpans"),
        (Signal::Logs, "rejectedLogRecords"),
        (Signal::Metrics, "rejectedDataPoints"),
        (Signal::Profiles, "rejectedProfiles"),
    ] {
        let read = as_json(&partial_body(signal, 2, "two", Encoding::Json));
        assert_eq!(read, json!({ "partialSuccess": { key: "2", "errorMessage": "two" } }));
    }
}

#[test]
fn a_warning_rejects_nothing() {
    let read = as_json(&partial_body(Signal::Traces, 0, "1 x base64 id", Encoding::Json));
    assert_eq!(read, json!({ "partialSuccess": { "errorMessage": "1 x base64 id" } }));
    let body = partial_body(Signal::Traces, u64::MAX, "", Encoding::Protobuf);
    let read = ExportTraceServiceResponse::decode(body.as_slice()).unwrap();
    assert_eq!(read.partial_success.unwrap().rejected_spans, i64::MAX);
}

#[test]
fn trailers_hold_only_what_a_header_may_hold() {
    assert_eq!(grpc_message("plain words, ~"), "plain words, ~");
    assert_eq!(grpc_message("100% é\n\u{7f}"), "100%25 %C3%A9%0A%7F");
    let long = grpc_message(&"é".repeat(5000)).into_owned();
    assert_eq!(long.len(), 512 * "%C3%A9".len());
    let status = Status::retry(Code::ResourceExhausted, "full", Duration::from_secs(1));
    let bytes = STANDARD_NO_PAD.decode(status_details_bin(&status)).unwrap();
    assert_eq!(RpcStatus::decode(bytes.as_slice()).unwrap().code, 8);
}
