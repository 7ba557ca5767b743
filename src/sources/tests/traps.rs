//! The traps that the senders set, by their nature, where no other test has that name already.

use super::*;
use crate::model::State;

#[test]
fn the_resolve_that_prometheus_repeats_is_the_same_message_each_time() {
    let (body, instance) = (sample("prometheus-api/prometheus-2.42-resolved.json"), instance("alertmanager-api"));
    let word = |received_at: &str| {
        let request = Request { received_at: at(received_at), ..request(&body) };
        let batch = source("alertmanager-api").decode(&request, &instance).unwrap();
        let alert = &batch.alerts[0];
        (alert.identity, alert.sender, alert.state, alert.starts_at, alert.ends_at, alert.holds_for)
    };
    assert_eq!(word("2026-11-23T02:24:00Z"), word("2026-11-23T02:38:00Z"));
}

#[test]
fn the_slow_road_reads_a_good_alert_as_the_fast_one_does() {
    let instance = instance("alertmanager-api");
    for (name, body) in samples("prometheus-api") {
        let fast = decode(&body, &instance);
        let mut with_a_bad_one = body.trim_ascii_end().to_vec();
        with_a_bad_one.pop();
        with_a_bad_one.extend_from_slice(b",7]");
        let slow = decode(&with_a_bad_one, &instance);
        assert_eq!((slow.rejects.len(), fast.rejects.len()), (1, 0), "{name}");
        assert_eq!(format!("{:?}", slow.alerts), format!("{:?}", fast.alerts), "{name}");
    }
}

#[test]
fn what_is_rendered_is_no_part_of_an_identity() {
    let api = instance("alertmanager-api");
    let alert = |summary: &str| {
        format!(
            r#"[{{"labels":{{"a":"b"}},"annotations":{{"summary":"{summary}"}},"generatorURL":"http://x/{summary}"}}]"#
        )
    };
    assert_eq!(
        decode(alert("7").as_bytes(), &api).alerts[0].identity,
        decode(alert("8").as_bytes(), &api).alerts[0].identity
    );
    let pagerduty = instance("pagerduty");
    let event = |summary: &str, severity: &str| {
        format!(
            r#"{{"routing_key":"k","event_action":"trigger","dedup_key":"d","payload":{{"summary":"{summary}","source":"s","severity":"{severity}"}}}}"#
        )
    };
    assert_eq!(
        decode(event("[FIRING:1] A", "info").as_bytes(), &pagerduty).alerts[0].identity,
        decode(event("[FIRING:2] A", "critical").as_bytes(), &pagerduty).alerts[0].identity
    );
}

#[test]
fn copies_of_a_service_on_two_platforms_stay_two_for_every_kind() {
    let bodies: [(&'static str, &[u8]); 4] = [
        ("alertmanager-api", br#"[{"labels":{"alertname":"A"}}]"#),
        ("alertmanager", br#"{"orgId":1,"alerts":[{"labels":{"alertname":"A"},"fingerprint":"00000000000000ff"}]}"#),
        ("pagerduty", br#"{"routing_key":"k","event_action":"resolve","dedup_key":"d"}"#),
        ("json", br#"{"id":1}"#),
    ];
    for (kind, body) in bodies {
        let of_cluster = |cluster: &'static str| {
            let constants = Labels::from_iter([("cluster", cluster)]);
            let instance = Instance { constants, ..instance(kind) };
            let batch = decode(body, &instance);
            assert_eq!(batch.alerts[0].fields.get("cluster"), Some(cluster), "{kind}");
            assert_eq!(batch.alerts[0].fields.get("source"), Some(kind));
            batch.alerts[0].identity
        };
        assert_ne!(of_cluster("ecs-1"), of_cluster("eks-1"), "{kind}");
    }
}

#[test]
fn rendered_lists_of_labels_are_never_parsed() {
    let (body, instance) = (sample("pagerduty-events-v2/alertmanager-trigger.json"), instance("pagerduty"));
    let batch = decode(&body, &instance);
    let labels = &batch.alerts[0].labels;
    assert!(labels.get("firing").unwrap().contains(" - service = duo-api\n"));
    assert_eq!((labels.get("service"), labels.get("num_firing")), (None, Some("2")));
    assert_eq!(batch.alerts[0].name, "x");
}

#[test]
fn alertmanager_speaking_pagerduty_names_the_alert_behind_the_bracket() {
    let body = String::from_utf8(sample("pagerduty-events-v2/alertmanager-trigger.json")).unwrap();
    let body = body.replace(r#""class":"x","#, "");
    let instance = instance("pagerduty");
    assert_eq!(decode(body.as_bytes(), &instance).alerts[0].name, "HighErrorRate");
}

#[test]
fn every_firing_word_has_an_end_of_its_own() {
    for (folder, kind) in [
        ("alertmanager", "alertmanager"),
        ("grafana", "alertmanager"),
        ("prometheus-api", "alertmanager-api"),
        ("pagerduty-events-v2", "pagerduty"),
        ("generic", "json"),
        ("grafana-legacy", "json"),
    ] {
        let instance = Instance { options: serde_json::Value::Null, ..instance(source(kind).kind()) };
        for (name, body) in samples(folder) {
            let path = if name.contains("change") { "/v2/change/enqueue" } else { "" };
            let request = Request { path, ..request(&body) };
            let batch = source(kind).decode(&request, &instance).unwrap();
            for alert in &batch.alerts {
                assert!(alert.state != State::Firing || alert.holds_for > Duration::ZERO, "{name}");
                assert!(!alert.title.is_empty() && !alert.name.is_empty(), "{name}");
            }
        }
    }
}

#[test]
fn millions_of_tiny_elements_are_refused_before_they_cost_memory() {
    let many = format!("[{}1]", "1,".repeat(3_000_000));
    let empty = format!("[{}{{}}]", "{},".repeat(3_000_000));
    let expected = "50000 alerts or more in one request";
    for body in [&many, &empty] {
        assert_eq!(refusal("alertmanager-api", body.as_bytes()), format!("field `body`: {expected}"));
        assert_eq!(refusal("json", body.as_bytes()), format!("field `alerts`: {expected}"));
        let webhook = format!(r#"{{"alerts":{body}}}"#);
        assert_eq!(refusal("alertmanager", webhook.as_bytes()), format!("field `alerts`: {expected}"));
    }
}

#[test]
fn an_absurdly_long_group_key_does_not_go_with_each_alert() {
    let body =
        format!(r#"{{"groupKey":"{}","receiver":"a\\.b","alerts":[{{"labels":{{"a":"b"}}}}]}}"#, "k".repeat(5000));
    let instance = instance("alertmanager");
    let batch = decode(body.as_bytes(), &instance);
    assert_eq!((batch.alerts[0].fields.get("groupKey"), batch.alerts[0].fields.get("receiver")), (None, Some("a.b")));
}
