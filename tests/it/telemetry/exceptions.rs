//! One exception, told by its span and by a log record, is one event at Sentry.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message;

use super::kit::{OWL, arrived, block, export, home, metric, pairs, request, resource, sink};
use crate::daemon::Daemon;
use crate::otlp_doors::speak::{PROTOBUF, post};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::Otlp;
use crate::stand_in::sentry::Sentry;
use crate::wait::{PATIENCE, until_true};

const STACK: &str = "Traceback (most recent call last):\n  File \"/app/owl.py\", line 12, in fly\n    \
                     raise ValueError(\"too tired\")\nValueError: too tired\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_span_event_and_the_log_record_of_one_exception_arrive_once() {
    let (backend, sentry) = (StandIn::start(Otlp::default()).await, StandIn::start(Sentry::default()).await);
    let sinks =
        format!("{}  - {{ name: errors, kind: sentry, dsn: {{ env: DSN }} }}\n", sink("back", &backend.url(), ""));
    let mut home = home(&sinks, "", "to: [back, errors]");
    home.set_environment("DSN", &format!("http://0123456789abcdef@{}/7", sentry.address));
    let daemon = Daemon::start(&home).await;
    let attributes =
        pairs(&[("exception.type", "ValueError"), ("exception.message", "too tired"), ("exception.stacktrace", STACK)]);
    let mut thrown = block(&OWL, 2);
    let (trace_id, span_id) = {
        let span = &mut thrown.scope_spans[0].spans[1];
        span.events = vec![Event {
            time_unix_nano: span.end_time_unix_nano,
            name: "exception".to_owned(),
            attributes: attributes.clone(),
            ..Event::default()
        }];
        (span.trace_id.clone(), span.span_id.clone())
    };
    let time_unix_nano = thrown.scope_spans[0].spans[1].end_time_unix_nano;
    let record = LogRecord {
        time_unix_nano,
        severity_number: 17,
        body: Some(AnyValue { value: Some(Value::StringValue("request failed".to_owned())) }),
        attributes,
        trace_id,
        span_id,
        ..LogRecord::default()
    };
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(&OWL)),
            scope_logs: vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    };
    let traces = request(vec![thrown]);
    let address = daemon.telemetry_addresses()[1];
    assert_eq!(export(&daemon, &traces).await.status, 200);
    // The span again, as a sender that heard nothing.
    assert_eq!(export(&daemon, &traces).await.status, 200);
    let bytes = logs.encode_to_vec();
    for _ in 0..2 {
        assert_eq!(post(address, "/v1/logs", &[PROTOBUF], &bytes).await.status, 200);
    }
    until_true("the repetitions to be counted", PATIENCE, async || {
        let repeated = metric(&daemon, "tawny_exceptions_total", "outcome=\"repeated\"").await;
        repeated >= 2.0 && !sentry.role.events().is_empty()
    })
    .await;
    assert_eq!(metric(&daemon, "tawny_exceptions_total", "outcome=\"sent\"").await, 1.0);
    let events = sentry.role.events();
    assert_eq!((events.len(), sentry.role.double_count(), sentry.role.refused()), (1, 0, Vec::new()));
    let event = &events[0];
    assert_eq!(event["exception"]["values"][0]["type"], "ValueError", "{event}");
    assert_eq!(event["tags"]["owner"], "owl", "{event}");
    assert_eq!(event["environment"], "production", "{event}");
    // The telemetry itself goes its own way.
    until_true("telemetry behind", PATIENCE, async || arrived(&backend).len() == 2 && backend.role.logs().len() == 2)
        .await;
}
