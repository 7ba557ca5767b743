//! What Sentry is sent and how its answers are read.

use serde_json::{Value, json};

use super::super::testkit::{Held, answer, build, check, check_life, judge, labels_of, notice, now, owl, request, tag};
use super::*;
use crate::model::{Reason, Severity, TagName};

const SECRETS: Held = Held(&[("dsn", "https://0123456789abcdef0123456789abcdef@o1.ingest.us.sentry.io/7")]);

fn sink() -> Box<dyn Sink> {
    build("sentry", json!({}), &["dsn"]).unwrap()
}

fn body(notice: &Notice, at: Timestamp) -> Vec<u8> {
    request(sink().encode(&[notice], &SECRETS, at)).body
}

/// The three parts of an envelope, cut where its own length says.
fn parts(envelope: &[u8]) -> (Value, Value, Value) {
    let mut lines = envelope.splitn(3, |byte| *byte == b'\n');
    let mut part = || lines.next().unwrap();
    let (headers, item) = (part(), part());
    let payload = part();
    let item: Value = serde_json::from_slice(item).unwrap();
    assert_eq!(item["length"], payload.len(), "length is in bytes and reaches the end");
    (serde_json::from_slice(headers).unwrap(), item, serde_json::from_slice(payload).unwrap())
}

fn event_of(notice: &Notice) -> Value {
    parts(&body(notice, now())).2
}

#[test]
fn the_life_of_an_incident_is_written_as_in_the_golden_files() {
    check_life("sentry", sink().as_ref(), &SECRETS);
}

#[test]
fn a_retry_is_the_same_event_sent_at_another_time() {
    let opened = notice(owl(), NoticeKind::Opened, Reason::FirstAlert);
    let first = parts(&body(&opened, now()));
    let second = parts(&body(&opened, now().plus(Duration::from_secs(60))));
    assert_eq!(first.0["event_id"], opened.delivery_id_hex());
    assert_eq!(first.0["event_id"], second.0["event_id"]);
    assert_ne!(first.0["sent_at"], second.0["sent_at"]);
    assert_eq!(first.2, second.2);
    assert_eq!(first.1["type"], "event");
}

#[test]
fn levels_are_the_words_of_sentry() {
    for (severity, level) in [
        (Severity::Critical, "fatal"),
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Info, "info"),
    ] {
        let mut incident = owl();
        incident.severity = severity;
        assert_eq!(event_of(&notice(incident.clone(), NoticeKind::Changed, Reason::NewLeg))["level"], level);
        assert_eq!(event_of(&notice(incident, NoticeKind::Resolved, Reason::AllResolved))["level"], "info");
    }
}

#[test]
fn both_platforms_make_one_issue() {
    let mut ecs = owl();
    std::sync::Arc::make_mut(&mut ecs.tags).replace(TagName::Platform, tag("ecs", "x"));
    std::sync::Arc::make_mut(&mut ecs.tags).replace(TagName::Cell, tag("prod-use1-c3", "x"));
    let [eks, ecs] = [owl(), ecs].map(|incident| event_of(&notice(incident, NoticeKind::Opened, Reason::FirstAlert)));
    assert_eq!(eks["fingerprint"], ecs["fingerprint"]);
    assert_eq!(eks["fingerprint"], json!(["alert", "HighErrorRate", "owl-service"]));
    assert_eq!((&eks["tags"]["deploy.platform"], &ecs["tags"]["deploy.platform"]), (&json!("eks"), &json!("ecs")));
    assert_eq!((eks["tags"].get("platform"), &eks["tags"]["label.platform"]), (None, &json!("eks")));
}

/// Everything is longer, stranger or older than Sentry takes it.
fn hostile() -> Notice {
    let mut incident = owl();
    std::sync::Arc::make_mut(&mut incident.lead).title = "t\u{e9}".repeat(9000);
    std::sync::Arc::make_mut(&mut incident.lead).name = "n".repeat(9000);
    std::sync::Arc::make_mut(&mut incident.lead).labels = labels_of(300, &"v\n".repeat(9000));
    std::sync::Arc::make_mut(&mut incident.lead).labels.set("app.kubernetes.io/name", "owl");
    std::sync::Arc::make_mut(&mut incident.lead).labels.set("release", "kube-prometheus-stack");
    std::sync::Arc::make_mut(&mut incident.lead).labels.set("pod", "p".repeat(300));
    std::sync::Arc::make_mut(&mut incident.lead).labels.set("service_version", "registry.example.com/owl:1\\2");
    std::sync::Arc::make_mut(&mut incident.lead).labels.set("\u{fc}ber", "x");
    std::sync::Arc::make_mut(&mut incident.lead).labels.set("a".repeat(250), "x");
    std::sync::Arc::make_mut(&mut incident.lead).annotations = labels_of(300, &"\u{1}".repeat(9000));
    std::sync::Arc::make_mut(&mut incident.tags).replace(TagName::Environment, tag(&"pro/d".repeat(40), "x"));
    std::sync::Arc::make_mut(&mut incident.tags).replace(TagName::Owner, tag(&"o".repeat(900), "x"));
    std::sync::Arc::make_mut(&mut incident.tags).replace(TagName::Class, tag(&"c".repeat(900), &"f".repeat(9000)));
    Notice { at: Timestamp::from_ms(0), ..notice(incident, NoticeKind::Opened, Reason::FirstAlert) }
}

#[test]
fn all_limits_are_kept_before_sending() {
    let (mut fewer, hostile) = (hostile(), hostile());
    let incident = std::sync::Arc::make_mut(&mut fewer.incident);
    std::sync::Arc::make_mut(&mut incident.lead).labels = labels_of(8, &"v\n".repeat(9000));
    std::sync::Arc::make_mut(&mut incident.lead).annotations = labels_of(8, &"\u{e9}\u{1}".repeat(9000));
    for (file, notice) in [("limits.http", &hostile), ("limits-labels.http", &fewer)] {
        check("sentry", file, &format!("POST x\n\n{}", String::from_utf8(body(notice, now())).unwrap()));
    }
    let envelope = body(&hostile, now());
    assert!(envelope.len() < 1 << 20);
    let event = parts(&envelope).2;
    let chars = |value: &Value| value.as_str().unwrap().chars().count();
    assert_eq!(event["timestamp"], now().to_string());
    assert_eq!(chars(&event["logentry"]["formatted"]), 8192);
    assert_eq!(chars(&event["environment"]), 64);
    assert_eq!(event["release"], "owl-service@registry.example.com-owl:1-2");
    assert_eq!(chars(&event["server_name"]), 200);
    let tags = event["tags"].as_object().unwrap();
    assert!(tags.len() <= 20);
    for (key, value) in tags {
        let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        assert!(key.len() <= 200 && key.bytes().all(is_kept), "{key}");
        assert!(chars(value) <= 200 && !value.as_str().unwrap().contains('\n'), "{value}");
    }
}

#[test]
fn an_environment_that_sentry_refuses_is_left_out() {
    for (environment, expected) in [("None", None), ("  ", None), ("prod", Some("prod")), ("a/b\\c", Some("a-b-c"))] {
        let mut incident = owl();
        std::sync::Arc::make_mut(&mut incident.tags).replace(TagName::Environment, tag(environment, "x"));
        let event = event_of(&notice(incident, NoticeKind::Opened, Reason::FirstAlert));
        assert_eq!(event.get("environment").and_then(Value::as_str), expected, "{environment}");
    }
}

#[test]
fn each_answer_has_its_class() {
    let sink = sink();
    let judge = |status| judge(sink.as_ref(), status, r#"{"detail":"why"}"#);
    assert_eq!(judge(200), Judgement::Delivered);
    for status in [400, 413, 415] {
        assert!(matches!(judge(status), Judgement::Rejected { .. }), "{status}");
    }
    for status in [401, 403, 404, 302] {
        assert!(matches!(judge(status), Judgement::Blocked { .. }), "{status}");
    }
    for status in [202, 408, 500, 502, 503, 504] {
        assert!(matches!(judge(status), Judgement::Transient { .. }), "{status}");
    }
    assert_eq!(judge(429), Judgement::Throttled { retry_after: Some(Duration::from_secs(60)) });
}

#[test]
fn rate_limits_are_read_on_every_answer() {
    let sink = sink();
    let judge = |status, limits, retry_after| {
        let answer = HttpAnswer { rate_limits: limits, retry_after, ..answer(status, "") };
        sink.judge(&answer, 1).remove(0)
    };
    let seconds = Duration::from_secs;
    let throttled = |pause| Judgement::Throttled { retry_after: Some(seconds(pause)) };
    assert_eq!(judge(200, Some("70:error:key"), None), Judgement::DeliveredThenPause(seconds(70)));
    assert_eq!(judge(200, Some("70:span:key"), None), Judgement::Delivered);
    assert_eq!(judge(200, Some("70:tomatoes:key"), None), Judgement::Delivered);
    assert_eq!(judge(429, Some("70::key"), Some("9")), throttled(70));
    assert!(matches!(judge(429, Some("70:span:key"), Some("9")), Judgement::Transient { .. }));
    assert_eq!(judge(429, Some(" "), Some("9")), throttled(9));
    assert_eq!(judge(429, None, Some("9")), throttled(9));
    assert_eq!(judge(429, None, Some("0")), throttled(60), "no wait is no answer to how long");
    assert!(matches!(judge(503, None, Some("0")), Judgement::Transient { .. }));
    assert_eq!(judge(503, Some("70:error:key"), None), throttled(70));
    assert!(matches!(judge(403, Some("70:error:key"), None), Judgement::Blocked { .. }));
}

#[test]
fn there_is_nothing_to_say_for_reminders_and_changes() {
    for (kind, reason) in [(NoticeKind::Reminder, Reason::RemindInterval), (NoticeKind::Event, Reason::Event)] {
        assert!(!sink().says(kind));
        assert!(matches!(sink().encode(&[&notice(owl(), kind, reason)], &Held(&[]), now()), Ok(Outgoing::Nothing)));
    }
}

#[test]
fn settings_and_the_dsn_are_checked() {
    let refused = |options, secrets: &[&str]| build("sentry", options, secrets).err().unwrap();
    assert_eq!(
        refused(json!({"env": "x"}), &["dsn"]),
        "unknown option `env` (known: `in_flight`, `in_app_include`, `in_app_exclude`)"
    );
    assert!(refused(json!({}), &[]).starts_with("secret `dsn` is missing"));
    let opened = notice(owl(), NoticeKind::Opened, Reason::FirstAlert);
    let error = sink().encode(&[&opened], &Held(&[("dsn", "https://hunter2.example.com/7")]), now()).err().unwrap();
    assert_eq!(error.to_string(), "secret `dsn`: has no public key");
    let stand_in = SinkSettings {
        endpoint: Some("http://127.0.0.1:8080/".to_owned()),
        ..super::super::testkit::settings(json!({}), &["dsn"])
    };
    let sink = Kind.build(stand_in).unwrap();
    assert_eq!(request(sink.encode(&[&opened], &SECRETS, now())).url, "http://127.0.0.1:8080/api/7/envelope/");
}
