//! What a webhook sends and how answers to it are read.

use serde_json::{Value, json};

use super::super::testkit::{Held, answer, body, build, check_life, judge, labels_of, notice, now, owl, request};
use super::*;
use crate::model::{NoticeKind, Reason};

const URL_OPTION: &str = "https://hooks.example.com/in?team=owl";
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_b3dsLXJlbGF5LXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=";
const SECRETS: Held = Held(&[("secret", NEW)]);

fn sink() -> Box<dyn Sink> {
    build("webhook", json!({"url": URL_OPTION}), &["secret"]).unwrap()
}

fn opened() -> Notice {
    notice(owl(), NoticeKind::Opened, Reason::FirstAlert)
}

fn header(request: &HttpRequest, name: &str) -> String {
    request.headers.iter().find(|(held, _)| held == name).map(|(_, value)| value.to_string()).unwrap_or_default()
}

#[test]
fn the_life_of_an_incident_is_written_as_in_the_golden_files() {
    check_life("webhook", sink().as_ref(), &SECRETS);
}

#[test]
fn a_retry_keeps_its_id_and_signs_anew() {
    let first = request(sink().encode(&[&opened()], &SECRETS, now()));
    let second = request(sink().encode(&[&opened()], &SECRETS, now().plus(Duration::from_secs(5))));
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    assert_ne!(header(&first, "webhook-timestamp"), header(&second, "webhook-timestamp"));
    assert_ne!(header(&first, "webhook-signature"), header(&second, "webhook-signature"));
    assert_eq!(first.body, second.body);
    assert!(!header(&first, "webhook-id").contains('.'));
}

#[test]
fn while_keys_rotate_both_sign_and_afterwards_only_the_new_one_does() {
    let sink = build("webhook", json!({"url": URL_OPTION}), &["secret", "secret_previous"]).unwrap();
    let both = request(sink.encode(&[&opened()], &Held(&[("secret", NEW), ("secret_previous", OLD)]), now()));
    let one = request(sink.encode(&[&opened()], &SECRETS, now()));
    let signatures = header(&both, "webhook-signature");
    assert_eq!(signatures.split(' ').count(), 2);
    assert_eq!(signatures.split(' ').next().unwrap(), header(&one, "webhook-signature"));
}

#[test]
fn a_body_stays_under_twenty_kilobytes_whatever_the_alert_holds() {
    let mut incident = owl();
    let sample = incident.lead.clone();
    incident.samples = vec![sample; 100];
    let many =
        body(sink().encode(&[&notice(incident.clone(), NoticeKind::Opened, Reason::FirstAlert)], &SECRETS, now()));
    assert_eq!(many["data"]["samples_omitted"], 100);
    assert_eq!(many["data"]["labels"]["namespace"], "owl", "the lead is told whole");

    let value = "\u{1}".repeat(3000);
    std::sync::Arc::make_mut(&mut incident.lead).labels = labels_of(2000, &value);
    std::sync::Arc::make_mut(&mut incident.lead).annotations = labels_of(1, &"x".repeat(1 << 20));
    std::sync::Arc::make_mut(&mut incident.lead).title = value.clone();
    incident.cells = (0..2000).map(|at| format!("cell-{at}").into()).collect();
    let huge = request(sink().encode(&[&notice(incident, NoticeKind::Opened, Reason::FirstAlert)], &SECRETS, now()));
    assert!(huge.body.len() < 20_000, "{}", huge.body.len());
    let huge: Value = serde_json::from_slice(&huge.body).unwrap();
    assert_eq!(huge["data"]["owner"], "team-owl");
    assert_eq!(huge["data"]["tags"]["owner"]["by"], "services.yaml:14 owl-service");
}

#[test]
fn each_answer_has_its_class() {
    let sink = sink();
    let judge = |status| judge(sink.as_ref(), status, "");
    for status in [200, 201, 202, 204] {
        assert_eq!(judge(status), Judgement::Delivered, "{status}");
    }
    for status in [301, 307, 401, 403, 404, 410] {
        assert!(matches!(judge(status), Judgement::Blocked { .. }), "{status}");
    }
    for status in [400, 408, 413, 422, 500, 502, 503, 504] {
        assert!(matches!(judge(status), Judgement::Transient { .. }), "{status}");
    }
    assert_eq!(judge(429), Judgement::Throttled { retry_after: None });
    for status in [429, 502, 503, 504] {
        let mut slow = answer(status, "");
        slow.retry_after = Some("60");
        let expected = Judgement::Throttled { retry_after: Some(Duration::from_secs(60)) };
        assert_eq!(sink.judge(&slow, 1), [expected], "{status}");
    }
    for (status, is_throttled) in [(429, true), (502, false), (503, false), (504, false)] {
        let mut hasty = answer(status, "");
        hasty.retry_after = Some("0");
        let judged = sink.judge(&hasty, 1).remove(0);
        assert_eq!(judged == Judgement::Throttled { retry_after: None }, is_throttled, "{status}: {judged:?}");
        assert_eq!(matches!(judged, Judgement::Transient { .. }), !is_throttled, "{status}: {judged:?}");
    }
}

#[test]
fn the_address_and_headers_may_be_secrets() {
    let options = json!({"headers": {"X-Team": "owl"}});
    let sink = build("webhook", options, &["secret", "url", "headers.Authorization"]).unwrap();
    let held =
        Held(&[("secret", NEW), ("url", "https://hooks.example.com/token"), ("headers.Authorization", "Bearer abc")]);
    let sent = request(sink.encode(&[&opened()], &held, now()));
    assert_eq!(sent.url, "https://hooks.example.com/token");
    assert_eq!((header(&sent, "x-team").as_str(), header(&sent, "authorization").as_str()), ("owl", "Bearer abc"));
    let broken = Held(&[("secret", NEW), ("url", "hooks.example.com/token"), ("headers.Authorization", "x")]);
    let error = sink.encode(&[&opened()], &broken, now()).err().unwrap().to_string();
    assert_eq!(error, "secret `url`: not an address");
    assert!(matches!(sink.encode(&[&opened()], &SECRETS, now()), Err(EncodeError::SecretMissing { .. })));
}

#[test]
fn settings_are_checked() {
    let refused = |options, secrets: &[&str]| build("webhook", options, secrets).err().unwrap();
    assert!(refused(json!({}), &["secret"]).starts_with("`url` is missing"));
    assert!(refused(json!({"url": URL_OPTION}), &[]).starts_with("secret `secret` is missing"));
    assert!(refused(json!({"url": "hooks"}), &["secret"]).starts_with("`url` must start with"));
    assert!(refused(json!({"url": URL_OPTION, "method": "PUT"}), &["secret"]).starts_with("unknown option `method`"));
    assert!(refused(json!({"url": URL_OPTION}), &["secret", "tokn"]).starts_with("`tokn` is no secret"));
    for (headers, error) in [
        (json!([]), "`headers` must be a mapping"),
        (json!({"a b": "x"}), "`headers.a b` is not a header's name"),
        (json!({"a": 1}), "`headers.a` must be a text, not a number"),
        (json!({"a": "x\r\ny: z"}), "`headers.a` holds a character"),
        (json!({"Webhook-Id": "x"}), "`headers.Webhook-Id` is set by this sink"),
    ] {
        let found = refused(json!({"url": URL_OPTION, "headers": headers}), &["secret"]);
        assert!(found.starts_with(error), "{found}");
    }
}
