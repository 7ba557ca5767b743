//! Requests in the shapes of the specification's own examples, read beside opentelemetry-proto's serde.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::de::DeserializeOwned;

use super::{Mode, to_protobuf};
use crate::model::Signal;

const TRACES: &str = r#"{
  "resourceSpans": [{
    "resource": {
      "attributes": [{"key": "service.name", "value": {"stringValue": "owl-service"}}],
      "entityRefs": [{"schemaUrl": "", "type": "service", "idKeys": ["service.name"], "descriptionKeys": ["service.version"]}]
    },
    "schemaUrl": "https://opentelemetry.io/schemas/1.40.0",
    "scopeSpans": [{
      "scope": {"name": "owls", "version": "1.0.0",
        "attributes": [{"key": "scope.attribute", "value": {"stringValue": "a \"quoted\" \u00e9 \ud83e\udd89"}}]},
      "spans": [{
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174",
        "parentSpanId": "EEE19B7EC3C1B173", "traceState": "a=b", "flags": 257,
        "name": "GET /owls", "kind": 2,
        "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000",
        "attributes": [
          {"key": "http.response.status_code", "value": {"intValue": "500"}},
          {"key": "retry", "value": {"boolValue": true}},
          {"key": "ratio", "value": {"doubleValue": 0.25}},
          {"key": "raw", "value": {"bytesValue": "AQID"}},
          {"key": "names", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}}},
          {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 1}}]}}}
        ],
        "droppedAttributesCount": 1,
        "events": [{"timeUnixNano": "1544712660500000000", "name": "exception", "droppedAttributesCount": 2,
          "attributes": [{"key": "exception.type", "value": {"stringValue": "OwlError"}}]}],
        "droppedEventsCount": 3,
        "links": [{"traceId": "5b8efff798038103d269b633813fc60d", "spanId": "eee19b7ec3c1b175", "traceState": "c=d",
          "attributes": [{"key": "a", "value": {"stringValue": "b"}}], "droppedAttributesCount": 4, "flags": 1}],
        "droppedLinksCount": 5,
        "status": {"message": "no owl", "code": 2}
      }]
    }]
  }]
}"#;

const LOGS: &str = r#"{
  "resourceLogs": [{
    "resource": {"attributes": [], "droppedAttributesCount": 1},
    "scopeLogs": [{
      "scope": {"name": "owls"},
      "schemaUrl": "https://opentelemetry.io/schemas/1.40.0",
      "logRecords": [{
        "timeUnixNano": "1544712660300000000", "observedTimeUnixNano": "1544712660300000001",
        "severityNumber": 10, "severityText": "Information", "eventName": "owl.seen",
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "flags": 1,
        "body": {"kvlistValue": {"values": [{"key": "type", "value": {"stringValue": "sms"}}]}},
        "attributes": [{"key": "a", "value": {"stringValue": ""}}], "droppedAttributesCount": 2
      }]
    }]
  }]
}"#;

const METRICS: &str = r#"{
  "resourceMetrics": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "owl-service"}}]},
    "scopeMetrics": [{
      "scope": {"name": "owls"},
      "metrics": [
        {"name": "a", "unit": "1", "description": "a counter", "metadata": [{"key": "m", "value": {"intValue": 1}}],
         "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [
           {"asDouble": 5, "startTimeUnixNano": "1544712660300000000", "timeUnixNano": "1544712660300000001", "flags": 1,
            "attributes": [{"key": "k", "value": {"stringValue": "v"}}],
            "exemplars": [{"timeUnixNano": "1", "asInt": "3", "spanId": "EEE19B7EC3C1B174",
              "traceId": "5B8EFFF798038103D269B633813FC60C",
              "filteredAttributes": [{"key": "f", "value": {"boolValue": false}}]}]}]}},
        {"name": "b", "gauge": {"dataPoints": [{"asInt": "10", "timeUnixNano": "2"}]}},
        {"name": "c", "histogram": {"aggregationTemporality": 2, "dataPoints": [
           {"startTimeUnixNano": "1", "timeUnixNano": "2", "count": "2", "sum": 2, "bucketCounts": ["1", "1"],
            "explicitBounds": [1.5], "min": 0, "max": 2}]}},
        {"name": "d", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [
           {"count": "3", "sum": 10, "scale": -1, "zeroCount": "1", "min": 0, "max": 5, "zeroThreshold": 0.5,
            "positive": {"offset": 1, "bucketCounts": ["0", "2"]}, "negative": {"offset": -3, "bucketCounts": ["1"]}}]}},
        {"name": "e", "summary": {"dataPoints": [
           {"count": "4", "sum": 1.25, "quantileValues": [{"quantile": 0.5, "value": 0.25}]}]}}
      ]
    }]
  }]
}"#;

fn reads_as_serde_does<M: Message + Default + DeserializeOwned + PartialEq + std::fmt::Debug>(
    signal: Signal,
    text: &str,
) {
    let expected: M = serde_json::from_str(text).unwrap();
    for mode in [Mode::Strict, Mode::Lenient] {
        let read = to_protobuf(signal, text.as_bytes(), mode).unwrap();
        assert!(read.repairs.is_empty());
        assert_eq!(M::decode(read.protobuf.as_slice()).unwrap(), expected);
        assert_eq!(read.protobuf.len(), expected.encoded_len());
    }
}

#[test]
fn the_trace_example_reads_as_the_official_message() {
    reads_as_serde_does::<ExportTraceServiceRequest>(Signal::Traces, TRACES);
}

#[test]
fn the_log_example_reads_as_the_official_message() {
    reads_as_serde_does::<ExportLogsServiceRequest>(Signal::Logs, LOGS);
}

#[test]
fn the_metric_example_reads_as_the_official_message() {
    reads_as_serde_does::<ExportMetricsServiceRequest>(Signal::Metrics, METRICS);
}
