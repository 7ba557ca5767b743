//! How blocks become error events.

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};
use prost::Message;

use super::testkit::{
    THROWN_AT_NS, exception, fixture, logs_block, now, pairs, record, resource, span, spans_block, tags,
};
use super::*;
use crate::model::exception::{Language, Level, Origin};
use crate::otlp::wire::put_bytes;

const JAVA: &str = "com.example.owl.Late: too late\n\tat com.example.owl.Owl.load(Owl.java:7)\n\tat com.example.owl.Owl.main(Owl.java:9)\n";

fn of_spans(language: &str, spans: Vec<Span>) -> Vec<ErrorEvent> {
    find(Signal::Traces, &spans_block(language, spans), &tags(), now()).events
}

fn of_span(span: Span) -> ErrorEvent {
    of_spans("java", vec![span]).remove(0)
}

fn of_record(record: opentelemetry_proto::tonic::logs::v1::LogRecord) -> ErrorEvent {
    find(Signal::Logs, &logs_block("java", vec![record]), &tags(), now()).events.remove(0)
}

#[test]
fn a_span_event_brings_its_request_its_program_and_what_was_noted_before() {
    let mut noted = Event { name: "cache miss".to_owned(), ..exception("", "", "") };
    noted.time_unix_nano -= 1000;
    noted.attributes = pairs(&[("key", "lesson:7")]);
    let later = Event { time_unix_nano: THROWN_AT_NS + 1000, ..noted.clone() };
    let thrown = exception("com.example.owl.Late", "too late", JAVA);
    let event = of_span(span(vec![later, noted, thrown]));
    assert_eq!((event.origin, event.level, event.handled), (Origin::SpanEvent, Level::Error, false));
    assert_eq!((event.language, event.at_us), (Language::Java, 1_795_394_411_482_913));
    assert_eq!(event.transaction.as_deref(), Some("POST /v1/lessons/{id}/complete"));
    let trace = event.trace.unwrap();
    assert_eq!((trace.op, trace.status), (Some("http.server"), Some("internal_error")));
    assert_eq!(trace.span_id.map(u64::from_be_bytes), Some(0xeee1_9b7e_c3c1_b174));
    assert_eq!(trace.parent_span_id.map(u64::from_be_bytes), Some(0xeee1_9b7e_c3c1_b173));
    let one = &event.exceptions[0];
    assert_eq!((one.kind.as_str(), one.module.as_deref()), ("Late", Some("com.example.owl")));
    assert_eq!((one.value.as_str(), one.frames.len()), ("too late", 2));
    let messages: Vec<&str> = event.breadcrumbs.iter().map(|crumb| crumb.message.as_str()).collect();
    assert_eq!(messages, ["cache miss"], "what came later did not lead to it");
    assert_eq!(event.breadcrumbs[0].data, [("key".to_owned(), "lesson:7".to_owned())]);
    let resource = &event.resource;
    assert_eq!(resource.version.as_deref(), Some("1.42.0+9f1c2ab"));
    assert_eq!(resource.environment.as_deref(), Some("prod"));
    assert_eq!(resource.server_name.as_deref(), Some("owl-service-7c9f8b6d5f-x2k4q"));
    assert!(event.attributes.iter().any(|(key, _)| key == "http.route"));
    let hidden = |(key, _): &(String, String)| key.starts_with("enduser") || key.contains("header");
    assert!(!event.attributes.iter().any(hidden), "{:?}", event.attributes);
}

#[test]
fn a_span_event_and_a_log_record_of_one_exception_are_one_and_so_is_a_resend() {
    let thrown = || span(vec![exception("com.example.owl.Late", "too late", JAVA)]);
    let first = of_span(thrown());
    assert_eq!(first.id, of_span(thrown()).id);
    let logged = of_record(record("com.example.owl.Late", "too late", JAVA));
    assert_eq!((logged.id, logged.origin), (first.id, Origin::LogRecord));
    // Written nearer to the fault, a log record knows fewer of the callers.
    let shorter = JAVA.lines().take(2).collect::<Vec<_>>().join("\n");
    assert_eq!(of_record(record("com.example.owl.Late", "too late", &shorter)).id, first.id);
    let text = first.id.to_string();
    assert_eq!((text.len(), &text[12..13], "89ab".contains(&text[16..17])), (32, "4", true), "{text}");
}

/// The one exception in a block that an SDK sent.
fn of_sdk(signal: Signal, name: &str) -> ErrorEvent {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exceptions");
    let block = std::fs::read(folder.join(name)).unwrap();
    let mut events = find(signal, &block, &Tags::default(), now()).events;
    assert_eq!(events.len(), 1, "{name}");
    events.remove(0)
}

#[test]
fn what_nodes_sdk_sends_is_read() {
    let event = of_sdk(Signal::Traces, "node-sdk.spans");
    let one = &event.exceptions[0];
    assert_eq!((event.language, event.handled, one.kind.as_str()), (Language::Node, false, "StoreError"));
    let frames: Vec<_> = one.frames.iter().map(|frame| (frame.filename.as_deref().unwrap(), frame.in_app)).collect();
    assert_eq!(frames.len(), 5);
    assert_eq!(frames[3..], [("owl/service/app.mjs", true); 2]);
    assert!(!frames[0].1, "{frames:?}");
}

#[test]
fn what_pythons_sdk_sends_of_one_exception_in_both_signals_is_one() {
    let (span, log) = (of_sdk(Signal::Traces, "python-sdk.spans"), of_sdk(Signal::Logs, "python-sdk.logs"));
    // The log record was written two callers further in, and names the type without its module.
    assert_eq!((span.exceptions[0].frames.len(), log.exceptions[0].frames.len()), (5, 2));
    assert_eq!(span.id, log.id);
    for event in [span, log] {
        let kinds: Vec<_> = event.exceptions.iter().map(|one| (one.kind.as_str(), one.module.as_deref())).collect();
        assert_eq!(kinds, [("StoreError", Some("owl.app")), ("KeyError", None)]);
        assert_eq!(event.language, Language::Python);
    }
}

#[test]
fn each_exception_of_a_span_is_one_of_its_own_and_the_first_is_that_of_the_log_record() {
    let thrown = |message| exception("com.example.owl.Late", message, JAVA);
    let attempts = || span(vec![thrown("too late"), thrown("too late"), thrown("too soon"), thrown("too late")]);
    let ids = |span| of_spans("java", vec![span]).into_iter().map(|event| event.id).collect::<Vec<_>>();
    let first = ids(attempts());
    let mut sorted: Vec<_> = first.iter().map(|id| id.0).collect();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 4, "{first:?}");
    assert_eq!(ids(attempts()), first, "a resend");
    assert_eq!(of_record(record("com.example.owl.Late", "too late", JAVA)).id, first[0]);
    assert_eq!(of_record(record("com.example.owl.Late", "too soon", JAVA)).id, first[2]);
    // In a batch with others each span counts for itself.
    let other = Span { span_id: vec![1; 8], ..attempts() };
    assert_eq!(of_spans("java", vec![other, attempts()])[4..].iter().map(|event| event.id).collect::<Vec<_>>(), first);
}

#[test]
fn an_exception_that_a_handler_and_the_end_of_its_span_record_is_one_and_that_of_a_later_attempt_another() {
    let thrown = |time_unix_nano| Event { time_unix_nano, ..exception("Late", "too late", JAVA) };
    let attempt = 2_000_000_000_000_000_000;
    let times = [attempt, attempt + 400_000, attempt + 1_000_000_000, attempt + 1_000_900_000];
    let ids: Vec<_> = of_spans("java", vec![span(times.map(thrown).into())]).iter().map(|event| event.id).collect();
    assert_eq!((ids[0], ids[2]), (ids[1], ids[3]));
    assert_ne!(ids[0], ids[2]);
}

#[test]
fn javas_two_names_of_an_inner_class_are_one() {
    let stack = JAVA.replace("owl.Late", "owl.Owl$Late");
    let thrown = exception("com.example.owl.Owl.Late", "too late", &stack);
    let (span, log) = (of_span(span(vec![thrown])), of_record(record("com.example.owl.Owl$Late", "too late", &stack)));
    assert_eq!((span.id, span.exceptions[0].kind.as_str()), (log.id, "Owl$Late"));
}

#[test]
fn another_span_type_message_or_line_is_another_exception() {
    let base = of_span(span(vec![exception("A", "b", JAVA)])).id;
    let other_span = Span { span_id: vec![1; 8], ..span(vec![exception("A", "b", JAVA)]) };
    let other_trace = Span { trace_id: vec![1; 16], ..span(vec![exception("A", "b", JAVA)]) };
    let others = [
        other_span,
        other_trace,
        span(vec![exception("B", "b", JAVA)]),
        span(vec![exception("A", "c", JAVA)]),
        span(vec![exception("A", "b", &JAVA.replace("java:7", "java:8"))]),
        span(vec![exception("A", "b", "no frames here")]),
        span(vec![exception("A", "b", "none here either")]),
        span(vec![exception("A", "b", "")]),
    ];
    let mut ids: Vec<_> = others.into_iter().map(|span| of_span(span).id.0).chain([base.0]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 9);
}

#[test]
fn log_records_without_a_span_differ_by_their_time() {
    let at = |ns| {
        let bare = record("A", "b", "");
        of_record(opentelemetry_proto::tonic::logs::v1::LogRecord { time_unix_nano: ns, span_id: Vec::new(), ..bare })
    };
    let (first, again, second) = (at(THROWN_AT_NS), at(THROWN_AT_NS), at(THROWN_AT_NS + 1));
    assert_eq!(first.id, again.id);
    assert_ne!(first.id, second.id);
    assert_eq!(first.trace.unwrap().span_id, None);
}

#[test]
fn a_fatal_record_is_a_crash_and_one_without_exception_attributes_is_none() {
    let fatal = opentelemetry_proto::tonic::logs::v1::LogRecord { severity_number: 21, ..record("A", "b", "") };
    let event = of_record(fatal);
    assert_eq!((event.level, event.handled), (Level::Fatal, false));
    let warned = opentelemetry_proto::tonic::logs::v1::LogRecord { severity_number: 13, ..record("A", "", "") };
    let event = of_record(warned);
    assert_eq!((event.level, event.handled), (Level::Error, true));
    assert_eq!(event.exceptions[0].value, "request failed", "the body, where there is no message");
    assert!(event.attributes.contains(&("log.severity".to_owned(), "ERROR".to_owned())));
    let loud = opentelemetry_proto::tonic::logs::v1::LogRecord { attributes: Vec::new(), ..record("A", "b", "") };
    assert!(find(Signal::Logs, &logs_block("java", vec![loud]), &tags(), now()).events.is_empty());
    let block = spans_block("java", vec![span(vec![exception("A", "b", "")])]);
    assert!(find(Signal::Metrics, &block, &tags(), now()).events.is_empty());
}

#[test]
fn a_batch_needs_no_root_span_and_an_inner_span_is_told_with_its_request() {
    let child = |parent: &[u8], id: u8| Span {
        span_id: vec![id; 8],
        parent_span_id: parent.to_vec(),
        kind: 1,
        name: "load".to_owned(),
        ..span(vec![exception("A", "b", "")])
    };
    let entry = Span { name: "POST".to_owned(), ..span(Vec::new()) };
    let events = of_spans("java", vec![child(&[7; 8], 9), child(&entry.span_id, 7), entry]);
    let names: Vec<_> = events.iter().map(|event| event.transaction.as_deref()).collect();
    assert_eq!(names, [Some("POST /v1/lessons/{id}/complete"); 2], "the bare method with its route");
    let alone = of_spans("java", vec![child(&[3; 8], 9)]);
    assert_eq!((alone.len(), alone[0].transaction.as_deref()), (1, None));
    let circle = of_spans("java", vec![child(&[9; 8], 9)]);
    assert_eq!((circle.len(), circle[0].transaction.as_deref()), (1, None));
}

#[test]
fn only_a_failed_span_or_an_escaped_exception_was_not_dealt_with() {
    let with = |code, escaped: bool| {
        let mut thrown = exception("A", "b", "");
        let value = Some(AnyValue { value: Some(Any::BoolValue(escaped)) });
        thrown.attributes.extend(pairs(&[("exception.escaped", "")]));
        thrown.attributes.last_mut().unwrap().value = value;
        of_span(Span { status: Some(Status { code, ..Status::default() }), ..span(vec![thrown]) }).handled
    };
    assert_eq!([with(0, false), with(1, false), with(2, false), with(0, true)], [true, true, false, false]);
}

#[test]
fn ops_and_statuses_are_words_that_sentry_knows() {
    let told = |kind, code, attributes: &[(&str, &str)]| {
        let span = Span {
            kind,
            status: Some(Status { code, ..Status::default() }),
            attributes: pairs(attributes),
            ..span(vec![exception("A", "b", "")])
        };
        let trace = of_span(span).trace.unwrap();
        (trace.op.unwrap(), trace.status.unwrap())
    };
    assert_eq!(told(1, 0, &[]), ("internal", "ok"));
    assert_eq!(told(3, 2, &[("http.request.method", "GET")]), ("http.client", "internal_error"));
    assert_eq!(told(2, 0, &[("http.method", "GET"), ("http.status_code", "404")]), ("http.server", "not_found"));
    assert_eq!(told(2, 2, &[("rpc.system", "grpc"), ("rpc.grpc.status_code", "14")]), ("rpc", "unavailable"));
    assert_eq!(told(3, 2, &[("db.system", "redis")]), ("db", "internal_error"));
    assert_eq!(told(5, 2, &[("messaging.system", "kafka")]), ("queue.process", "internal_error"));
    assert_eq!(told(4, 0, &[("messaging.system", "kafka")]), ("queue.publish", "ok"));
    assert_eq!(told(2, 2, &[("http.response.status_code", "429")]).1, "resource_exhausted");
    for (code, expected) in
        [("UNAVAILABLE", "unavailable"), ("14", "unavailable"), ("INTERNAL", "internal_error"), ("OK", "ok")]
    {
        assert_eq!(told(3, 0, &[("rpc.system.name", "grpc"), ("rpc.response.status_code", code)]), ("rpc", expected));
    }
    assert_eq!(told(3, 2, &[("rpc.response.status_code", "OWL")]).1, "internal_error");
}

#[test]
fn what_says_who_the_user_was_is_left_out_and_an_address_keeps_its_host_and_path_only() {
    let told = |attributes: &[(&str, &str)]| {
        let attributes = pairs(attributes);
        of_span(Span { attributes, ..span(vec![exception("A", "b", "")]) }).attributes
    };
    for hidden in [
        "net.sock.peer.addr",
        "net.sock.peer.port",
        "network.peer.address",
        "user_agent.original",
        "http.user_agent",
        "session.id",
        "session.previous_id",
        "client.address",
        "url.query",
        "url.fragment",
    ] {
        assert_eq!(told(&[(hidden, "x"), ("url.path", "/owl")]), [("url.path".to_owned(), "/owl".to_owned())]);
    }
    for (whole, shown) in [
        ("http://u:p@h.example:8080/a/b?token=s", "http://h.example:8080/a/b"),
        ("https://u@h?x=1#y", "https://h"),
        ("https://h/a@b#c", "https://h/a@b"),
        ("https://u:p@ss@h/", "https://h/"),
        ("/a/b?token=s", "/a/b"),
        ("//u:p@h/a", "//h/a"),
        ("postgres://u:p@h/db", "postgres://h/db"),
        ("https://h/a", "https://h/a"),
    ] {
        for key in ["url.full", "http.url", "http.target"] {
            assert_eq!(told(&[(key, whole)]), [(key.to_owned(), shown.to_owned())], "{whole}");
        }
    }
    let crumb =
        Event { name: "got".to_owned(), attributes: pairs(&[("url.full", "http://u:p@h/?t")]), ..Event::default() };
    let event = of_span(span(vec![crumb, exception("A", "b", "")]));
    assert_eq!(event.breadcrumbs[0].data, [("url.full".to_owned(), "http://h/".to_owned())]);
}

#[test]
fn a_block_with_too_many_exceptions_says_how_many_were_left_out() {
    let block = spans_block("java", vec![span(vec![exception("A", "b", ""); 300])]);
    let found = find(Signal::Traces, &block, &tags(), now());
    assert_eq!((found.events.len(), found.omitted_count), (EVENT_COUNT_MAX, 44));
    assert_eq!(count(Signal::Traces, &block), 300);
    let records = vec![record("A", "", ""), record("", "", ""), record("", "b", "")];
    assert_eq!(count(Signal::Logs, &logs_block("java", records)), 2);
    assert_eq!(count(Signal::Metrics, &block), 0);
}

#[test]
fn an_exception_that_says_nothing_is_still_one() {
    let event = of_span(Span { status: None, ..span(vec![exception("", "", "")]) });
    assert_eq!((event.exceptions[0].kind.as_str(), event.exceptions[0].value.as_str()), ("exception", ""));
    let event = of_span(span(vec![exception("", "", "")]));
    assert_eq!(event.exceptions[0].value, "it failed", "the message of the status");
}

#[test]
fn a_time_that_cannot_be_is_the_time_of_arrival() {
    let at = |ns| {
        let thrown = Event { time_unix_nano: ns, ..exception("A", "b", "") };
        of_span(span(vec![thrown])).at_us
    };
    let arrival = now().as_ms() * 1000;
    assert_eq!([at(0), at(u64::MAX), at(1_000_000_000_000_000_000)], [arrival; 3]);
    assert_eq!(at(THROWN_AT_NS), 1_795_394_411_482_913);
}

#[test]
fn a_resource_in_parts_is_one_and_an_unknown_service_is_none() {
    let part = |attributes: &[(&str, &str)]| {
        let mut resource = Vec::new();
        let held =
            opentelemetry_proto::tonic::resource::v1::Resource { attributes: pairs(attributes), ..Default::default() };
        put_bytes(&mut resource, 1, &held.encode_to_vec());
        resource
    };
    let spans = vec![span(vec![exception("A", "b", JAVA)])];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let mut block = part(&[("service.name", "unknown_service:java"), ("host.name", "ip-10-0-0-7")]);
    block.extend(ResourceSpans { scope_spans, ..ResourceSpans::default() }.encode_to_vec());
    block.extend(part(&[("telemetry.sdk.language", "java"), ("service.version", "7")]));
    let event = find(Signal::Traces, &block, &Tags::default(), now()).events.remove(0);
    assert_eq!((event.language, event.resource.service.as_deref()), (Language::Java, None));
    assert_eq!(event.resource.version.as_deref(), Some("7"));
    assert_eq!(event.resource.server_name.as_deref(), Some("ip-10-0-0-7"));
}

#[test]
fn the_task_of_ecs_is_the_server_where_nothing_else_is() {
    let arn = "arn:aws:ecs:us-east-1:111111111111:task/prod/0123456789abcdef";
    let mut held = resource("go");
    held.attributes = pairs(&[("aws.ecs.task.arn", arn)]);
    let scope_spans = vec![ScopeSpans { spans: vec![span(vec![exception("A", "b", "")])], ..ScopeSpans::default() }];
    let block = ResourceSpans { resource: Some(held), scope_spans, ..ResourceSpans::default() }.encode_to_vec();
    let event = find(Signal::Traces, &block, &tags(), now()).events.remove(0);
    assert_eq!(event.resource.server_name.as_deref(), Some("0123456789abcdef"));
    assert_eq!(event.resource.service.as_deref(), Some("owl-service"), "by the rules");
}

#[test]
fn broken_bytes_end_a_message_and_never_the_program() {
    let block = spans_block("java", vec![span(vec![exception("A", "b", &fixture("java-chain.txt"))])]);
    let logs = logs_block("java", vec![record("A", "b", &fixture("python-group.txt"))]);
    for (signal, block) in [(Signal::Traces, block), (Signal::Logs, logs)] {
        for at in 0..block.len() {
            find(signal, &block[..at], &tags(), now());
            let mut odd = block.clone();
            odd[at] = odd[at].wrapping_mul(31).wrapping_add(0x85);
            find(signal, &odd, &tags(), now());
        }
    }
}
