//! Alertmanager's webhook, and Grafana's.

use super::*;
use crate::model::alert::Voice;
use crate::model::{Severity, State};

const KIND: &str = "alertmanager";

#[test]
fn every_fingerprint_that_a_prometheus_side_sender_gave_is_recomputed() {
    let instance = instance(KIND);
    let mut checked_count = 0;
    for (name, body) in samples("alertmanager") {
        let batch = decode(&body, &instance);
        assert!(batch.rejects.is_empty() && !batch.alerts.is_empty(), "{name}: {:?}", batch.rejects);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        for (at, alert) in batch.alerts.iter().enumerate() {
            assert_eq!(alert.voice, Voice::Relay, "{name}");
            assert_eq!(alert.fields.get("receiver").is_some(), value["receiver"].is_string(), "{name}");
            let ours = format!("{:016x}", alert.alertmanager_fingerprint());
            if let Some(given) = value["alerts"][at]["fingerprint"].as_str() {
                assert_eq!(ours, given, "{name}");
                checked_count += 1;
            }
        }
    }
    assert_eq!(checked_count, 9);
}

#[test]
fn an_alert_has_one_identity_directly_and_through_alertmanager() {
    let direct = sample("prometheus-api/prometheus-2.42-firing.json");
    let relayed = sample("alertmanager/captured-firing.json");
    let (api, webhook) = (instance("alertmanager-api"), instance(KIND));
    let direct = decode(&direct, &api);
    let relayed = decode(&relayed, &webhook);
    assert_eq!(direct.alerts[1].identity, relayed.alerts[0].identity);
    assert_eq!(direct.alerts[0].identity, relayed.alerts[1].identity);
    assert_ne!(direct.alerts[0].identity, direct.alerts[1].identity);
    assert_ne!(direct.alerts[0].sender, relayed.alerts[0].sender);
}

#[test]
fn a_firing_webhook_is_read_whole() {
    let (body, instance) = (sample("alertmanager/captured-firing.json"), instance(KIND));
    let batch = decode(&body, &instance);
    assert_eq!((batch.alerts.len(), batch.truncated_count), (2, 0));
    let alert = &batch.alerts[0];
    assert_eq!((alert.state, alert.ends_at), (State::Firing, None));
    assert_eq!(alert.starts_at, Some(at("2026-11-23T02:20:50.568Z")));
    assert_eq!(alert.holds_for, minutes(24 * 60));
    assert_eq!(alert.fields.get("receiver"), Some("hook.main"));
    assert_eq!(alert.fields.get("externalURL"), Some("http://vm:19193"));
    assert_eq!(
        alert.fields.get("groupKey"),
        Some(r#"{}/{severity=~"critical|warning"}:{alertname="HighErrorRate", cluster="eks-prod-1"}"#)
    );
    assert_eq!(batch.alerts[1].labels.get("path"), Some("/a?b=1&c=<2>"));
    assert_eq!(batch.alerts[1].labels.get("note"), Some("tab\\t \"quoted\" café"));
}

#[test]
fn a_resolve_keeps_its_end() {
    let (body, mut instance) = (sample("alertmanager/captured-resolved.json"), instance(KIND));
    instance.holds_for = Some(minutes(8));
    let batch = decode(&body, &instance);
    assert!(batch.alerts.iter().all(|alert| alert.state == State::Resolved));
    assert_eq!(batch.alerts[0].ends_at, Some(at("2026-11-23T02:21:12.568Z")));
}

#[test]
fn a_truncated_message_says_how_much_is_missing_and_its_alerts_expire() {
    let (body, mut instance) = (sample("alertmanager/captured-truncated.json"), instance(KIND));
    instance.holds_for = Some(minutes(8 * 60));
    let batch = decode(&body, &instance);
    assert_eq!((batch.alerts.len(), batch.truncated_count), (1, 1));
    assert_eq!(batch.alerts[0].holds_for, minutes(8 * 60));
}

#[test]
fn version_three_bodies_are_read_and_a_huge_group_key_keeps_its_digits() {
    let (body, instance) = (sample("alertmanager/v3-integer-groupkey.json"), instance(KIND));
    let batch = decode(&body, &instance);
    let alert = &batch.alerts[0];
    assert_eq!(alert.fields.get("groupKey"), Some("5615590933959184469"));
    assert_eq!(alert.starts_at, Some(at("2016-08-01T10:27:08.008Z")));
    assert_eq!(alert.title, "Connect fail");
    let body = sample("alertmanager/v3-no-groupkey.json");
    let batch = decode(&body, &instance);
    assert_eq!((batch.alerts.len(), batch.alerts[0].fields.get("groupKey")), (2, None));
    assert_eq!(batch.alerts[1].title, "Oops, something happend!");
}

#[test]
fn imitators_leave_fields_out_and_use_other_cases() {
    let instance = instance(KIND);
    let body = sample("alertmanager/no-alert-status-nanos.json");
    let batch = decode(&body, &instance);
    let alert = &batch.alerts[0];
    assert_eq!((alert.state, alert.severity), (State::Firing, Severity::Warning));
    assert_eq!(alert.starts_at, Some(at("2018-03-07T11:33:21.873Z")));
    let body = sample("alertmanager/resolved-upper-annotations.json");
    let batch = decode(&body, &instance);
    assert_eq!(batch.alerts[0].title, "service /prometheus air down on instance1");
    assert_eq!(batch.alerts[1].ends_at, Some(at("2017-05-15T11:48:37.834Z")));
    let body = sample("alertmanager/v4-no-fingerprint.json");
    assert_eq!(decode(&body, &instance).alerts[0].starts_at, Some(at("2017-08-03T19:17:37.804Z")));
}

#[test]
fn the_state_of_the_message_is_not_the_state_of_its_alerts() {
    let instance = instance(KIND);
    let states = |body: &str| -> Vec<State> {
        decode(body.as_bytes(), &instance).alerts.iter().map(|alert| alert.state).collect()
    };
    let lie = r#"{"status":"resolved","truncatedAlerts":1,"alerts":[
        {"status":"firing","labels":{"a":"1"}},
        {"status":"resolved","labels":{"a":"2"},"endsAt":"2026-11-23T02:20:00Z"},
        {"labels":{"a":"3"},"endsAt":"0001-01-01T00:00:00Z"},
        {"labels":{"a":"4"},"endsAt":"2026-11-23T03:00:00Z"},
        {"labels":{"a":"5"},"endsAt":"2026-11-23T02:00:00Z"},
        {"labels":{"a":"6"}},
        {"status":"snoozed","labels":{"a":"7"},"endsAt":"0001-01-01T00:00:00Z"}]}"#;
    let (firing, resolved) = (State::Firing, State::Resolved);
    assert_eq!(states(lie), [firing, resolved, firing, firing, resolved, resolved, firing]);
    assert_eq!(states(r#"{"alerts":[{"labels":{"a":"1"}}]}"#), [firing]);
}

#[test]
fn a_firing_word_with_a_past_end_still_fires() {
    let instance = instance(KIND);
    let body = br#"{"alerts":[{"status":"firing","labels":{"a":"1"},"endsAt":"2026-11-23T02:00:00Z"}]}"#;
    let alert = &decode(body, &instance).alerts[0];
    assert_eq!((alert.state, alert.ends_at), (State::Firing, None));
}

#[test]
fn the_group_key_and_the_receiver_are_no_part_of_the_identity() {
    let instance = instance(KIND);
    let one = br#"{"receiver":"a","groupKey":"{}:{}","alerts":[{"labels":{"a":"1"},"annotations":{"summary":"7"}}]}"#;
    let two = br#"{"receiver":"b","groupKey":"x","alerts":[{"labels":{"a":"1"},"annotations":{"summary":"8"},"status":"resolved"}]}"#;
    assert_eq!(decode(one, &instance).alerts[0].identity, decode(two, &instance).alerts[0].identity);
}

#[test]
fn grafana_is_told_by_its_fields_and_known_by_the_fingerprint_it_gave() {
    let (body, instance) = (sample("grafana/unified-v9-values.json"), instance(KIND));
    let batch = decode(&body, &instance);
    let alert = &batch.alerts[0];
    assert_eq!((alert.name.as_ref(), alert.state), ("CPU Usage High", State::Firing));
    assert_eq!(alert.title, "CPU Usage High");
    let texts: Vec<_> = alert.all_links().into_iter().map(|link| link.text).collect();
    assert_eq!(texts, ["Grafana", "Silence", "Dashboard", "Panel"]);
    // Labels that Grafana hides make two alerts of one visible label set.
    let other = String::from_utf8(body.clone()).unwrap().replace("68d4e65db3ad9208", "68d4e65db3ad9209");
    assert_ne!(decode(other.as_bytes(), &instance).alerts[0].identity, alert.identity);
}

#[test]
fn grafanas_test_button_wakes_nobody() {
    let (body, instance) = (sample("grafana/unified-v12-test-alert.json"), instance(KIND));
    let batch = decode(&body, &instance);
    let alert = &batch.alerts[0];
    assert_eq!((alert.state, alert.severity, alert.fields.get("test")), (State::Info, Severity::Info, Some("true")));
    assert_eq!(alert.fields.get("groupKey"), Some("webhook-c4edaaf9f9f839b0-1777986297"));
    assert_eq!(alert.starts_at, Some(at("2026-05-05T13:04:57.622Z")));
}

#[test]
fn a_dashboard_alert_of_old_grafana_is_refused_with_what_is_missing() {
    for (name, body) in samples("grafana-legacy") {
        assert_eq!(refusal(KIND, &body), "field `alerts` is missing", "{name}");
    }
}

#[test]
fn what_is_no_webhook_is_refused_and_says_why() {
    for (body, reason) in [
        (&b""[..], "the body is empty"),
        (b"{}", "field `alerts` is missing"),
        (br#"{"alerts":null}"#, "field `alerts` is missing"),
        (br#"{"alerts":{}}"#, "field `alerts`: expected a list of alerts, found an object"),
        (b"[]", "field `body`: expected an object with `alerts`, found a list"),
        (br#"{"alerts":[}"#, "the body is not JSON: expected value at line 1 column 12"),
    ] {
        assert_eq!(refusal(KIND, body), reason, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_number_as_a_label_is_the_text_that_it_is_written_as() {
    let instance = instance(KIND);
    let body = br#"{"alerts":[{"labels":{"alertname":"X","id":12345678901234567890.10,"canary":true,"none":null}}]}"#;
    let alert = &decode(body, &instance).alerts[0];
    assert_eq!(
        alert.labels.iter().collect::<Vec<_>>(),
        [("alertname", "X"), ("canary", "true"), ("id", "12345678901234567890.10")]
    );
    let quoted = br#"{"alerts":[{"labels":{"alertname":"X","id":"12345678901234567890.10","canary":"true"}}]}"#;
    assert_eq!(decode(quoted, &instance).alerts[0].identity, alert.identity);
}

#[test]
fn a_bad_alert_is_kept_aside_and_a_message_of_bad_ones_is_refused() {
    let instance = instance(KIND);
    let batch = decode(br#"{"alerts":[{"labels":{"a":{}}},{"labels":{"a":"1"}}]}"#, &instance);
    assert_eq!(
        (batch.alerts.len(), reasons(&batch)),
        (1, vec!["alert 0: field `labels.a`: an object is no text".to_owned()])
    );
    assert_eq!(source(KIND).answer("", &taken(&batch)).status, 200);
    let batch = decode(br#"{"alerts":[{"labels":{"a":[1]}}]}"#, &instance);
    let answer = source(KIND).answer("", &taken(&batch));
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (400, r#"{"error":"alert 0: field `labels.a`: a list is no text"}"#)
    );
    assert_eq!(source(KIND).answer("", &taken(&decode(br#"{"alerts":[]}"#, &instance))).status, 200);
}
