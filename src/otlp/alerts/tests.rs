//! Blocks as SDKs send them, and as nobody should.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;

use super::*;
use crate::model::{Severity, Tag};
use crate::otlp::exceptions::testkit::{logs_block, pairs, record, resource, span, spans_block, tags};
use crate::rules::{RuleSet, SourceFile};

const RULES: &str = r#"version: 1
kind: alerts
alerts:
  - id: payment-declined
    from: logs
    when: { log.severity: ERROR, log.event: payment.declined, log.provider: { exists: true } }
    name: PaymentDeclined
    severity: warning
    labels: { provider: "${log.provider}" }
  - id: by-logger
    from: logs
    when: { log.scope: { prefix: com.example. }, log.severity_number: { gt: 20 } }
    name: "Fatal in ${log.scope}"
  - id: any-error
    from: logs
    when: { log.severity: ERROR }
    name: "Errors ${log.number}"
    identity: [log.number]
  - id: slow-lesson
    from: spans
    when: { span.status: ERROR, span.kind: SERVER, span.http.route: { prefix: /v1/lessons }, span.duration_ms: { gt: 99 } }
    name: LessonFailed
    severity: critical
    title: "${span.name} took ${span.duration_ms} ms"
"#;

fn rules() -> RuleSet {
    let file = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
    let routes = "version: 1\nkind: routes\nroutes:\n  - { id: rest, when: {} }\n";
    RuleSet::compile(&[file("alerts.yaml", RULES), file("routes.yaml", routes)])
        .unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn find_in(records: Records, block: &[u8], tags: &Tags, found: &mut Found) {
    let rules = rules();
    let rules = rules.alerts_from(records).unwrap();
    let resource = messages(block, 1).next().unwrap_or_default();
    find(block, resource, &Asked { rules, records, kind: "otlp", instance: "otlp", tags }, found);
}

fn logs(records: Vec<LogRecord>) -> Found {
    let mut found = Found::default();
    find_in(Records::Logs, &logs_block("go", records), &tags(), &mut found);
    found
}

fn declined() -> LogRecord {
    LogRecord {
        event_name: "payment.declined".to_owned(),
        attributes: pairs(&[("provider", "adyen"), ("card", "4111")]),
        ..record("", "", "")
    }
}

fn numbered(number: usize) -> LogRecord {
    LogRecord { attributes: pairs(&[("number", &number.to_string())]), ..record("", "", "") }
}

#[test]
fn a_log_record_becomes_an_alert_with_the_words_of_the_rule_and_the_resource_as_fields() {
    let found = logs(vec![declined()]);
    let [alert] = &found.alerts[..] else { panic!("{found:?}") };
    assert_eq!((&*alert.name, &*alert.title, alert.severity), ("PaymentDeclined", "request failed", Severity::Warning));
    assert_eq!(alert.state, State::Firing);
    assert_eq!(alert.starts_at, None);
    let labels: Vec<_> = alert.labels.iter().collect();
    assert_eq!(labels, [("alertname", "PaymentDeclined"), ("provider", "adyen"), ("service", "owl-service")]);
    assert_eq!(alert.annotations.get("description"), Some("request failed"));
    assert_eq!(alert.annotations.get("trace_id"), Some("5b8efff798038103d269b633813fc60c"));
    assert_eq!(alert.annotations.get("rule"), Some("alerts.yaml:4 payment-declined"));
    assert_eq!(alert.fields.get("resource.k8s.cluster.name"), Some("prod-c2-use1"));
    assert_eq!((alert.fields.get("rule"), alert.fields.get("signal")), (Some("payment-declined"), Some("logs")));
}

#[test]
fn a_span_becomes_one_by_its_status_kind_duration_and_attributes() {
    let slow = || {
        let mut slow = span(Vec::new());
        (slow.start_time_unix_nano, slow.end_time_unix_nano) = (1_000_000, 251_900_000);
        slow
    };
    let find = |span| {
        let mut found = Found::default();
        find_in(Records::Spans, &spans_block("go", vec![span]), &tags(), &mut found);
        found.alerts.into_iter().next()
    };
    let alert = find(slow()).expect("it fits");
    assert_eq!((&*alert.name, &*alert.title), ("LessonFailed", "POST /v1/lessons/{id}/complete took 250 ms"));
    assert_eq!(alert.annotations.get("description"), Some("it failed"));
    let mut client = slow();
    client.kind = 3;
    let mut fine = slow();
    fine.status = None;
    let mut quick = slow();
    quick.end_time_unix_nano = 2_000_000;
    let mut backwards = slow();
    backwards.end_time_unix_nano = 0;
    let mut elsewhere = slow();
    elsewhere.attributes = pairs(&[("http.route", "/healthz")]);
    for other in [client, fine, quick, backwards, elsewhere] {
        assert!(find(other).is_none());
    }
}

#[test]
fn the_severity_may_stand_in_the_text_alone_and_the_loggers_name_counts() {
    let textual = LogRecord { severity_number: 0, ..declined() };
    assert_eq!(logs(vec![textual]).alerts.len(), 1);
    let silent = LogRecord { severity_number: 0, severity_text: String::new(), ..declined() };
    assert!(logs(vec![silent]).alerts.is_empty());
    let scope = Some(InstrumentationScope { name: "com.example.Pay".to_owned(), ..InstrumentationScope::default() });
    let fatal = LogRecord { severity_number: 21, ..record("", "", "") };
    let scope_logs = vec![ScopeLogs { scope, log_records: vec![fatal], ..ScopeLogs::default() }];
    let block = ResourceLogs { resource: Some(resource("go")), scope_logs, ..ResourceLogs::default() };
    let mut found = Found::default();
    find_in(Records::Logs, &block.encode_to_vec(), &tags(), &mut found);
    assert_eq!(found.alerts[0].name, "Fatal in com.example.Pay");
}

#[test]
fn many_records_of_one_problem_are_one_alert_and_the_number_of_alerts_is_bounded() {
    assert_eq!(logs((0..1000).map(|_| declined()).collect()).alerts.len(), 1);
    let found = logs((0..ALERT_COUNT_MAX + 44).map(numbered).chain([declined()]).collect());
    assert_eq!((found.alerts.len(), found.omitted_count), (ALERT_COUNT_MAX, 45));
    let mut found = Found::default();
    for number in [1, 2, 1] {
        find_in(Records::Logs, &logs_block("go", vec![numbered(number)]), &tags(), &mut found);
    }
    assert_eq!(found.alerts.len(), 2, "over the blocks of a request too");
}

#[test]
fn the_same_record_from_two_platforms_is_two_alerts() {
    let mut ecs = tags();
    ecs.replace(TagName::Platform, Tag { value: "ecs".into(), by: "test".into(), seen: None });
    let mut found = Found::default();
    let block = logs_block("go", vec![declined()]);
    find_in(Records::Logs, &block, &tags(), &mut found);
    find_in(Records::Logs, &block, &ecs, &mut found);
    assert_eq!(found.alerts.len(), 2);
}

#[test]
fn a_body_without_bounds_and_a_resource_without_bounds_give_a_bounded_alert() {
    let long = "é".repeat(2 << 20);
    let body = Some(AnyValue { value: Some(any_value::Value::StringValue(long.clone())) });
    let mut resource = resource("go");
    resource.attributes.extend(pairs(&[("huge", &long)]));
    let many: Vec<(String, String)> = (0..3000).map(|number| (format!("a{number:04}"), "v".repeat(100))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    resource.attributes.extend(pairs(&many));
    let scope_logs = vec![ScopeLogs { log_records: vec![LogRecord { body, ..declined() }], ..ScopeLogs::default() }];
    let block = ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() };
    let mut found = Found::default();
    find_in(Records::Logs, &block.encode_to_vec(), &tags(), &mut found);
    let alert = &found.alerts[0];
    let size = |labels: &Labels<'_>| labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    assert!(size(&alert.fields) < 32 * 1024 && alert.fields.len() <= FIELD_COUNT_MAX + 2, "{}", alert.fields.len());
    assert!(size(&alert.annotations) < 4096 && alert.title.len() <= TITLE_BYTES_MAX);
}

#[test]
fn bytes_that_are_cut_or_changed_anywhere_never_panic() {
    let mut block = logs_block("go", vec![declined(), numbered(3)]);
    for end in 0..block.len() {
        find_in(Records::Logs, &block[..end], &tags(), &mut Found::default());
    }
    let mut state = 7_u64;
    for _ in 0..400 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).unwrap() % block.len();
        block[at] = state.to_be_bytes()[1];
        find_in(Records::Logs, &block, &tags(), &mut Found::default());
        find_in(Records::Spans, &block, &tags(), &mut Found::default());
    }
}
