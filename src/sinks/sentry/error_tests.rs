//! What Sentry is sent of exceptions: golden envelopes from the blocks of SDKs, and each limit and trap.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use super::super::testkit::{Held, build, check};
use super::super::{Lost, LostWhy};
use super::error::envelope;
use super::in_app::InApp;
use crate::model::exception::{Breadcrumb, ErrorEvent, ErrorResource, Exception, Frame, Language, Origin, TraceRef};
use crate::model::{Signal, Tag, TagName, Tags};
use crate::otlp::exceptions::find;
use crate::otlp::exceptions::testkit::{exception, fixture, logs_block, now, record, span, spans_block, tags};

const SECRETS: Held = Held(&[("dsn", "https://0123456789abcdef0123456789abcdef@o1.ingest.us.sentry.io/7")]);

/// One error event of a span with this exception.
fn of(language: &str, kind: &str, message: &str, stack: &str) -> ErrorEvent {
    of_span(language, span(vec![exception(kind, message, stack)]))
}

fn of_span(language: &str, span: Span) -> ErrorEvent {
    find(Signal::Traces, &spans_block(language, vec![span]), &tags(), now()).events.remove(0)
}

/// Headers and event of an envelope, cut where its lengths say; what follows is the report.
fn parts(envelope: &[u8]) -> (Value, Value, Option<Value>) {
    let (headers, mut rest) = line(envelope);
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (item, behind) = line(rest);
        let item: Value = serde_json::from_slice(item).unwrap();
        let length = usize::try_from(item["length"].as_u64().unwrap()).unwrap();
        items.push((item["type"].as_str().unwrap().to_owned(), serde_json::from_slice(&behind[..length]).unwrap()));
        rest = behind[length..].strip_prefix(b"\n").unwrap_or(&behind[length..]);
    }
    assert_eq!(items[0].0, "event");
    let report = items.get(1).map(|(kind, report): &(String, Value)| {
        assert_eq!(kind, "client_report");
        report.clone()
    });
    (serde_json::from_slice(headers).unwrap(), items.remove(0).1, report)
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    (&bytes[..at], &bytes[at + 1..])
}

fn written(event: &ErrorEvent) -> Value {
    parts(&envelope(event, &[], &InApp::default(), now())).1
}

fn golden(name: &str, event: &ErrorEvent, lost: &[Lost]) {
    let sink = build("sentry", json!({}), &["dsn"]).unwrap();
    let request = sink.errors().unwrap().encode_error(event, lost, &SECRETS, now()).unwrap();
    let mut text = format!("POST {}\n", request.url);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    let body = String::from_utf8(request.body).unwrap();
    check("sentry-errors", &format!("{name}.http"), &format!("{text}\n{body}"));
    // Long ones are for programs to check, not for people to read.
    if body.len() < 32 * 1024 {
        check("sentry-errors", &format!("{name}.json"), &format!("{:#}\n", parts(body.as_bytes()).1));
    }
}

#[test]
fn exceptions_of_all_runtimes_are_written_as_in_the_golden_files() {
    for (name, language, kind, message) in [
        ("python-cause", "python", "owl.store.StoreError", "cannot load lesson"),
        ("python-group", "python", "ExceptionGroup", "several (4 sub-exceptions)"),
        ("java-chain", "java", "java.lang.RuntimeException", "request failed"),
        ("java-kotlin", "java", "com.example.owl.LessonException", "lesson 7 is gone"),
        ("node-inspect", "nodejs", "StoreError", "cannot load"),
        ("node-browser", "webjs", "TypeError", "lesson is undefined"),
        ("go-nil", "go", "runtime.Error", "runtime error: invalid memory address or nil pointer dereference"),
        ("ruby-33", "ruby", "Owl::StoreError", "cannot load lesson"),
        ("dotnet-inner", "dotnet", "Owl.StoreException", "cannot load lesson"),
        ("dotnet-aggregate", "dotnet", "System.AggregateException", ""),
    ] {
        golden(name, &of(language, kind, message, &fixture(&format!("{name}.txt"))), &[]);
    }
    let logged = logs_block("python", vec![record("KeyError", "'x'", &fixture("python-context.txt"))]);
    let logged = find(Signal::Logs, &logged, &tags(), now()).events.remove(0);
    golden("log", &logged, &[Lost { why: LostWhy::Overflow, count: 12 }, Lost { why: LostWhy::Network, count: 1 }]);
    golden("raw", &of("rust", "owl::Error", "no", "   0: owl::load\n             at src/main.rs:7:5\n"), &[]);
    golden("raw-long", &of("rust", "owl::Error", "no", &"   1: owl::deeper \u{e9}\n".repeat(3000)), &[]);
    golden("bare", &bare(), &[]);
    golden("limits", &hostile(), &[]);
    golden("limits-size", &enormous(), &[]);
}

/// Nothing but an event named `exception`.
fn bare() -> ErrorEvent {
    let span = Span { trace_id: Vec::new(), span_id: Vec::new(), status: None, ..span(vec![exception("", "", "")]) };
    find(Signal::Traces, &spans_block("", vec![span]), &Tags::default(), now()).events.remove(0)
}

/// Everything is longer, stranger or older than Sentry takes it.
fn hostile() -> ErrorEvent {
    let long = |text: &str| text.repeat(9000);
    let frame = Frame {
        function: Some(long("f\u{e9}")),
        module: Some(long("m")),
        filename: Some(long("p/")),
        abs_path: Some(long("/p")),
        line: Some(u32::MAX),
        column: Some(0),
        context_line: Some(long("c\u{1}")),
        in_app: true,
    };
    let one = Exception {
        kind: long("K\n"),
        module: Some(long("m.")),
        value: long("v\u{e9}"),
        frames: vec![frame; 2],
        ..Exception::default()
    };
    let mut tags = Tags::default();
    for name in TagName::ALL {
        tags.replace(name, Tag { value: long("t\n").into(), by: long("b").into(), seen: None });
    }
    let pairs = |value: &str| (0..300).map(|at| (format!("app.kubernetes.io/name{at}"), value.repeat(500))).collect();
    ErrorEvent {
        exceptions: vec![one],
        at_us: 0,
        transaction: Some(long("t\n")),
        trace: Some(TraceRef { trace_id: [7; 16], span_id: None, parent_span_id: None, op: None, status: None }),
        attributes: pairs("a\u{e9}"),
        breadcrumbs: vec![
            Breadcrumb {
                at_us: i64::MAX,
                message: "m".repeat(256),
                data: vec![("k".to_owned(), "v".repeat(256))]
            };
            150
        ],
        resource: Arc::new(ErrorResource {
            service: Some(long("s")),
            version: Some("registry.example.com/owl:1\\2\n".to_owned()),
            environment: Some("pro/d\\".repeat(40)),
            server_name: Some(long("h")),
            attributes: pairs("r\u{1}"),
            tags,
        }),
        ..of("java", "A", "b", "")
    }
}

/// More than an envelope may hold.
fn enormous() -> ErrorEvent {
    let frame = Frame { function: Some("f".repeat(512)), filename: Some("p".repeat(1024)), ..Frame::default() };
    let one = |at: usize| Exception {
        kind: format!("K{at}"),
        value: "\u{1}".repeat(8192),
        frames: (0..250).map(|line| Frame { line: Some(line), ..frame.clone() }).collect(),
        parent: at.checked_sub(1),
        ..Exception::default()
    };
    ErrorEvent { exceptions: (0..50).map(one).collect(), ..of("java", "A", "b", "") }
}

#[test]
fn a_retry_is_the_same_event_sent_at_another_time() {
    let event = of("java", "A", "b", "");
    let first = parts(&envelope(&event, &[], &InApp::default(), now()));
    let second = parts(&envelope(&event, &[], &InApp::default(), now().plus(std::time::Duration::from_secs(60))));
    assert_eq!(first.0["event_id"], event.id.to_string());
    assert_eq!(first.1, second.1);
    assert_ne!(first.0["sent_at"], second.0["sent_at"]);
    assert_eq!(first.1["timestamp"], "2026-11-23T00:40:11.482913Z");
}

#[test]
fn both_platforms_make_one_issue_and_the_tag_tells_them_apart() {
    let on = |platform: &str, cell: &str| {
        let mut event = of("java", "A", "b", &fixture("java-chain.txt"));
        let resource = Arc::make_mut(&mut event.resource);
        for (name, value) in [(TagName::Platform, platform), (TagName::Cell, cell)] {
            resource.tags.replace(name, Tag { value: value.into(), by: "x".into(), seen: None });
        }
        written(&event)
    };
    let (eks, ecs) = (on("eks", "c2"), on("ecs", "c3"));
    assert_eq!(eks.get("fingerprint"), None);
    assert_eq!(eks["exception"], ecs["exception"], "what Sentry groups by");
    assert_eq!((&eks["tags"]["deploy.platform"], &ecs["tags"]["deploy.platform"]), (&json!("eks"), &json!("ecs")));
    assert_eq!(eks["tags"].get("platform"), None, "in a search that word is a field");
    assert_eq!((&eks["tags"]["owner"], &eks["tags"]["service"]), (&json!("team-owl"), &json!("owl-service")));
}

#[test]
fn causes_and_frames_stand_in_the_order_of_sentry() {
    let event = written(&of("java", "java.lang.RuntimeException", "request failed", &fixture("java-chain.txt")));
    let values = event["exception"]["values"].as_array().unwrap();
    let kinds: Vec<_> = values.iter().map(|value| value["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["IllegalArgumentException", "Owl$StoreException", "RuntimeException"], "the innermost first");
    let ids: Vec<_> =
        values.iter().map(|value| (&value["mechanism"]["exception_id"], &value["mechanism"]["parent_id"])).collect();
    assert_eq!(ids, [(&json!(2), &json!(1)), (&json!(1), &json!(0)), (&json!(0), &Value::Null)]);
    assert_eq!(values[2]["mechanism"]["handled"], false);
    assert_eq!(values[0]["mechanism"].get("handled"), None);
    let last = values[0]["stacktrace"]["frames"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["function"], &last["lineno"]), (&json!("connect"), &json!(6)), "the raising frame is the last");
}

#[test]
fn platforms_are_the_words_of_sentry() {
    for (language, platform) in [
        (Language::Python, "python"),
        (Language::Java, "java"),
        (Language::Node, "node"),
        (Language::Browser, "javascript"),
        (Language::Go, "go"),
        (Language::DotNet, "csharp"),
        (Language::Ruby, "ruby"),
        (Language::Php, "php"),
        (Language::Elixir, "elixir"),
        (Language::Other, "other"),
    ] {
        assert_eq!(written(&ErrorEvent { language, ..of("", "A", "b", "") })["platform"], platform);
    }
    let mechanism = |origin| {
        let event = written(&ErrorEvent { origin, ..of("", "A", "b", "") });
        event["exception"]["values"][0]["mechanism"]["type"].clone()
    };
    assert_eq!(
        (mechanism(Origin::SpanEvent), mechanism(Origin::LogRecord)),
        (json!("otel.span_event"), json!("otel.log"))
    );
}

#[test]
fn all_limits_are_kept_before_sending() {
    let event = written(&hostile());
    let chars = |value: &Value| value.as_str().unwrap().chars().count();
    assert_eq!(event["timestamp"], now().to_string(), "an absurd time would be replaced");
    assert_eq!(
        (chars(&event["transaction"]), chars(&event["environment"]), chars(&event["server_name"])),
        (200, 64, 200)
    );
    assert_eq!(event.get("release"), None, "too long, and half a release is another one");
    let one = &event["exception"]["values"][0];
    assert_eq!((chars(&one["type"]), chars(&one["module"]), chars(&one["value"])), (256, 256, 8192));
    assert_eq!(chars(&one["stacktrace"]["frames"][0]["function"]), 512);
    assert!(one["stacktrace"]["frames"][0]["lineno"].is_u64());
    let tags = event["tags"].as_object().unwrap();
    assert!(tags.len() <= 20);
    for (key, value) in tags {
        assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte)), "{key}");
        assert!(chars(value) <= 200 && !value.as_str().unwrap().contains('\n'), "{value}");
    }
    assert_eq!(event["breadcrumbs"]["values"].as_array().unwrap().len(), 100);
    for (name, context) in event["contexts"].as_object().unwrap() {
        assert!(serde_json::to_string(context).unwrap().chars().count() < 4 * 8192, "{name}");
    }
    assert_eq!(
        event["contexts"]["trace"]["span_id"], "0707070707070707",
        "what Sentry would make up, without the fault"
    );
}

#[test]
fn releases_that_sentry_refuses_are_mended_or_left_out() {
    let release = |service: Option<&str>, version: &str| {
        let mut event = of("", "A", "b", "");
        let resource = Arc::make_mut(&mut event.resource);
        (resource.service, resource.version) = (service.map(str::to_owned), Some(version.to_owned()));
        written(&event)["release"].as_str().map(str::to_owned)
    };
    assert_eq!(release(Some("owl"), "1.42.0+9f1c2ab").as_deref(), Some("owl@1.42.0+9f1c2ab"));
    assert_eq!(release(Some("owl"), "r.example.com/owl:1").as_deref(), Some("owl@r.example.com-owl:1"));
    assert_eq!(release(None, "9f1c2ab").as_deref(), Some("9f1c2ab"));
    for reserved in ["latest", "LATEST", ".", ".."] {
        assert_eq!(release(None, reserved), None);
    }
    assert_eq!(release(Some("owl"), &"1".repeat(200)), None);
}

#[test]
fn an_event_beyond_a_mebibyte_loses_its_middle_and_never_its_head() {
    let bytes = envelope(&enormous(), &[], &InApp::default(), now());
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    let event = parts(&bytes).1;
    let values = event["exception"]["values"].as_array().unwrap();
    assert_eq!(values.last().unwrap()["type"], "K0");
    let frames = values[0]["stacktrace"]["frames"].as_array().unwrap();
    assert_eq!((&frames[0]["lineno"], &frames.last().unwrap()["lineno"]), (&json!(0), &json!(249)));
}

#[test]
fn a_stack_trace_that_nobody_understood_is_sent_whole() {
    let short = written(&of("rust", "E", "no", "   0: owl::load\n"));
    assert_eq!(short["contexts"]["otel"]["stacktrace"], "   0: owl::load\n");
    assert_eq!((short.get("extra"), short["exception"]["values"][0].get("stacktrace")), (None, None));
    let text = "   1: owl::deeper \u{e9}\n".repeat(2500);
    let long = written(&of("rust", "E", "no", &text));
    let pieces = long["extra"].as_object().unwrap();
    let whole: String = (1..=pieces.len()).map(|at| pieces[&format!("stacktrace.{at}")].as_str().unwrap()).collect();
    assert_eq!(whole, text);
    assert!(pieces.values().all(|piece| piece.as_str().unwrap().len() <= 16_384));
}

#[test]
fn what_was_lost_is_reported_with_the_next_event() {
    let all = [LostWhy::Overflow, LostWhy::RateLimited, LostWhy::Network, LostWhy::Refused];
    let lost: Vec<Lost> = all.into_iter().map(|why| Lost { why, count: 3 }).collect();
    let (_, event, report) = parts(&envelope(&of("", "A", "b", "t\u{e9}xt"), &lost, &InApp::default(), now()));
    let report = report.unwrap();
    assert_eq!(event["event_id"].as_str().unwrap().len(), 32);
    assert_eq!(report["timestamp"], now().to_string());
    let reasons: Vec<_> =
        report["discarded_events"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["queue_overflow", "ratelimit_backoff", "network_error", "send_error"]);
    assert_eq!(report["discarded_events"][0]["quantity"], 3);
    assert_eq!(parts(&envelope(&of("", "A", "b", ""), &[], &InApp::default(), now())).2, None);
}
