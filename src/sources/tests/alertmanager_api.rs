//! `POST /api/v2/alerts`.

use super::*;
use crate::model::alert::Voice;
use crate::model::{Severity, State};

const KIND: &str = "alertmanager-api";

/// One alert with a name and these other members.
fn body(members: &str) -> Vec<u8> {
    format!(r#"[{{"labels":{{"alertname":"A"}}{members}}}]"#).into_bytes()
}

#[test]
fn prometheus_fires_while_its_end_lies_ahead() {
    let (body, instance) = (sample("prometheus-api/prometheus-2.42-firing.json"), instance(KIND));
    let batch = decode(&body, &instance);
    assert_eq!((batch.alerts.len(), batch.rejects.len(), batch.truncated_count), (2, 0, 0));
    let alert = &batch.alerts[1];
    assert_eq!(alert.state, State::Firing);
    assert_eq!(alert.voice, Voice::Evaluator);
    assert_eq!(alert.starts_at, Some(at("2026-11-23T02:20:50.568Z")));
    assert_eq!(alert.ends_at, Some(at("2026-11-23T02:21:10.568Z")));
    assert_eq!(alert.holds_for, Duration::from_millis(10_568));
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!((alert.name.as_ref(), alert.title.as_ref()), ("HighErrorRate", "Errors on duo-api: 7"));
    assert_eq!(alert.labels.get("note"), Some("line1\nline2"));
    assert_eq!(alert.fields.get("source"), Some(KIND));
    assert_eq!(alert.fields.get("instance"), Some("lab"));
    assert_eq!(format!("{:016x}", alert.alertmanager_fingerprint()), "51f99cfc0c7805e8");
    assert_eq!(format!("{:016x}", batch.alerts[0].alertmanager_fingerprint()), "eda02f6d59e594f7");
    let links: Vec<_> = alert.all_links().into_iter().map(|link| (link.text, link.href)).collect();
    assert_eq!(links[0].1, "https://runbooks.example.com/high-error-rate");
    assert_eq!(links[1], ("Source".to_owned(), "http://vm:19090/graph?g0.expr=demo+%3E+1&g0.tab=1".to_owned()));
}

#[test]
fn an_end_in_the_past_is_a_resolve_also_when_it_moved_backwards() {
    let (body, instance) = (sample("prometheus-api/prometheus-2.42-resolved.json"), instance(KIND));
    let mut request = request(&body);
    request.received_at = at("2026-11-23T02:23:57.000Z");
    let batch = source(KIND).decode(&request, &instance).unwrap();
    let alert = &batch.alerts[0];
    assert_eq!(alert.state, State::Resolved);
    assert_eq!(alert.ends_at, Some(at("2026-11-23T02:23:56.568Z")));
    assert_eq!(alert.starts_at, Some(at("2026-11-23T02:23:32.568Z")));
}

#[test]
fn vmalert_may_repeat_a_label_and_leave_one_empty() {
    let (body, instance) = (sample("prometheus-api/vmalert-1.79-firing-duplicate-keys.json"), instance(KIND));
    let batch = decode(&body, &instance);
    assert_eq!((batch.alerts.len(), batch.rejects.len()), (2, 0));
    let alert = &batch.alerts[0];
    assert_eq!(alert.labels.len(), 11);
    assert_eq!(alert.labels.get("empty"), None);
    assert_eq!(alert.name, "HighErrorRate");
    assert_eq!(alert.starts_at, Some(at("2026-11-23T02:18:40.627Z")));
    assert_eq!(alert.state, State::Resolved);
}

#[test]
fn a_script_without_times_fires_for_five_minutes_and_opens_nothing_new_by_repeating() {
    let (body, instance) = (sample("prometheus-api/six-alerts-no-times.json"), instance(KIND));
    let batch = decode(&body, &instance);
    assert_eq!((batch.alerts.len(), batch.rejects.len()), (6, 0));
    for alert in &batch.alerts {
        assert_eq!((alert.state, alert.starts_at, alert.ends_at), (State::Firing, None, None));
        assert_eq!(alert.holds_for, minutes(5));
    }
    let identities: std::collections::HashSet<_> = batch.alerts.iter().map(|alert| alert.identity).collect();
    assert_eq!(identities.len(), 6);
    assert_eq!(batch.alerts[4].severity, Severity::Critical);
    assert_eq!(batch.alerts[4].title, "DiskRunningFull example3");
    // An annotation that only mentions an address is no link.
    assert!(batch.alerts[1].all_links().is_empty());
}

#[test]
fn the_content_type_does_not_decide() {
    let (body, instance) = (sample("prometheus-api/six-alerts-no-times.json"), instance(KIND));
    let mut request = request(&body);
    (request.content_type, request.path) = ("application/x-www-form-urlencoded", "/api/v1/alerts");
    assert_eq!(source(KIND).decode(&request, &instance).unwrap().alerts.len(), 6);
}

#[test]
fn the_instance_says_how_long_a_word_without_an_end_holds() {
    let (body, mut instance) = (body(r#","endsAt":"0001-01-01T00:00:00.000Z""#), instance(KIND));
    instance.holds_for = Some(minutes(42));
    let batch = decode(&body, &instance);
    assert_eq!((batch.alerts[0].state, batch.alerts[0].holds_for), (State::Firing, minutes(42)));
}

#[test]
fn zero_times_are_times_not_set() {
    let (body, instance) =
        (body(r#","startsAt":"0001-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z""#), instance(KIND));
    let alert = &decode(&body, &instance).alerts[0];
    assert_eq!((alert.state, alert.starts_at, alert.ends_at), (State::Firing, None, None));
    assert_eq!(alert.holds_for, minutes(5));
}

#[test]
fn a_missing_start_is_the_end_of_what_is_over_and_unknown_for_what_fires() {
    let instance = instance(KIND);
    let past = body(r#","endsAt":"2026-11-23T02:00:00Z""#);
    let alert = &decode(&past, &instance).alerts[0];
    assert_eq!((alert.state, alert.starts_at), (State::Resolved, Some(at("2026-11-23T02:00:00Z"))));
    let ahead = body(r#","startsAt":null,"endsAt":"2026-11-23T02:22:00Z""#);
    let alert = &decode(&ahead, &instance).alerts[0];
    assert_eq!((alert.state, alert.starts_at, alert.holds_for), (State::Firing, None, minutes(1)));
}

#[test]
fn absurd_times_are_replaced_or_bounded_and_never_panic() {
    let instance = instance(KIND);
    let old = body(r#","startsAt":"1970-01-01T00:00:01Z","endsAt":"9999-12-31T23:59:59Z""#);
    let alert = &decode(&old, &instance).alerts[0];
    assert_eq!(alert.starts_at, Some(at(RECEIVED_AT)));
    assert_eq!(alert.ends_at, Some(at("9999-12-31T23:59:59Z")));
    assert_eq!(alert.holds_for, Duration::from_secs(7 * 86_400));
    let ahead = body(r#","startsAt":"2030-01-01T00:00:00Z""#);
    assert_eq!(decode(&ahead, &instance).alerts[0].starts_at, Some(at(RECEIVED_AT)));
    let long_ago = body(r#","startsAt":"1980-01-01T00:00:00Z","endsAt":"1990-01-01T00:00:00Z""#);
    let alert = &decode(&long_ago, &instance).alerts[0];
    assert_eq!(alert.state, State::Resolved);
    assert!(alert.starts_at <= alert.ends_at);
}

#[test]
fn one_bad_alert_never_costs_the_good_ones_and_each_reason_names_its_field() {
    let (body, instance) =
        (include_bytes!("../../../tests/fixtures/sources/alertmanager-api/mixed.json"), instance(KIND));
    let batch = decode(body, &instance);
    let names: Vec<_> = batch.alerts.iter().map(|alert| alert.name.as_ref()).collect();
    assert_eq!(names, ["Good", "HalfSurrogate\u{fffd}\u{fffd}\u{fffd}", "NumberAsAnnotation", "Last"]);
    assert_eq!(
        reasons(&batch),
        [
            "alert 1: field `labels.code`: `500` is no text",
            "alert 2: field `labels` is missing",
            "alert 3: field `labels`: no label has a value",
            "alert 4: field `startsAt`: `yesterday` is no RFC 3339 time",
            "alert 5: field `endsAt`: `9999999-01-01T00:00:00Z` is no RFC 3339 time",
            "alert 6: field `startsAt`: 2026-11-23T02:00:00.000Z is after `endsAt` 2026-11-23T01:00:00.000Z",
            "alert 7: expected an object, found a text",
            "alert 8: field `endsAt`: `1700000000` is no RFC 3339 time",
            "alert 9: field `labels`: expected an object of texts, found a list",
            "alert 10: field `labels.nested`: an object is no text",
            "alert 11: field `annotations`: expected an object of texts, found a text",
        ]
    );
    let answer = source(KIND).answer("/api/v2/alerts", &taken(&batch));
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}

#[test]
fn a_batch_without_one_good_alert_is_refused_with_the_first_reason() {
    let (body, instance) = (br#"[{"labels":{"a":""}},{}]"#, instance(KIND));
    let batch = decode(body, &instance);
    let answer = source(KIND).answer("", &taken(&batch));
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, r#"{"code":400,"message":"alert 0: field `labels`: no label has a value"}"#);
}

#[test]
fn an_empty_list_is_taken_and_version_one_gets_its_own_words() {
    let instance = instance(KIND);
    let batch = decode(b"[]\n", &instance);
    let v2 = source(KIND).answer("/api/v2/alerts", &taken(&batch));
    assert_eq!((v2.status, v2.content_type, v2.body.as_str()), (200, "", ""));
    let v1 = source(KIND).answer("/api/v1/alerts", &taken(&batch));
    assert_eq!((v1.status, v1.body.as_str()), (200, r#"{"status":"success"}"#));
}

#[test]
fn what_is_no_list_of_alerts_is_refused_and_says_why() {
    for (body, reason) in [
        (&b""[..], "the body is empty"),
        (b" \n", "the body is empty"),
        (b"{}", "field `body`: expected a list of alerts, found an object"),
        (b"null", "field `body`: expected a list of alerts, found null"),
        (b"[{]", "the body is not JSON: key must be a string at line 1 column 3"),
        (b"[{\"labels\":{\"a\":\"b\"}}", "the body is not JSON: EOF while parsing a list at line 1 column 21"),
        (b"[] []", "the body is not JSON: trailing characters at line 1 column 4"),
        (b"[{},]", "the body is not JSON: expected value at line 1 column 5"),
        (b"\xff[]", "the body is not JSON: no UTF-8 at byte 0"),
        (b"alertname=A", "the body is not JSON: expected value at line 1 column 1"),
        (
            b"[{\"labels\":{\"a\":\"\0\"}}]",
            "the body is not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 17",
        ),
    ] {
        assert_eq!(refusal(KIND, body), reason, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_byte_order_mark_and_trailing_blanks_are_overlooked() {
    let instance = instance(KIND);
    assert_eq!(decode(b"\xef\xbb\xbf [{\"labels\":{\"a\":\"b\"}}]\r\n\n", &instance).alerts.len(), 1);
}

#[test]
fn deep_nesting_costs_the_alert_that_has_it_and_nothing_else() {
    let instance = instance(KIND);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let batch_text = format!(r#"[{{"labels":{{"a":"b"}},"unknown":{deep}}},{{"labels":{deep}}},{deep}]"#);
    let batch = decode(batch_text.as_bytes(), &instance);
    assert_eq!(batch.alerts.len(), 1);
    assert_eq!(
        reasons(&batch),
        [
            "alert 1: field `labels`: expected an object of texts, found a list",
            "alert 2: expected an object, found a list"
        ]
    );
    assert_eq!(
        refusal(KIND, "{\"a\":".repeat(200).as_bytes()),
        "the body is not JSON: EOF while parsing a value at line 1 column 1000"
    );
}

#[test]
fn the_same_member_twice_is_read_as_its_last() {
    let instance = instance(KIND);
    let body = br#"[{"labels":{"a":"1"},"startsAt":"2026-11-23T02:00:00Z","labels":{"b":"2"},"startsAt":null}]"#;
    let alert = &decode(body, &instance).alerts[0];
    assert_eq!(alert.labels.iter().collect::<Vec<_>>(), [("b", "2")]);
    assert_eq!(alert.starts_at, None);
}

#[test]
fn a_label_without_a_name_costs_its_alert_as_in_alertmanager() {
    let batch_text = br#"[{"labels":{"":"x","a":"b"}},{"labels":{"":"","a":"b"}}]"#;
    let instance = instance(KIND);
    let batch = decode(batch_text, &instance);
    assert_eq!(batch.alerts.len(), 1, "what has no value is no label");
    assert_eq!(reasons(&batch), ["alert 0: field `labels`: a label has no name"]);
}

#[test]
fn any_label_name_is_taken() {
    let instance = instance(KIND);
    let body = "[{\"labels\":{\"k8s.pod/name é\":\"x\",\"alertname\":\"A\"},\"generatorURL\":\"?orgId=1\"}]";
    let batch = decode(body.as_bytes(), &instance);
    let alert = &batch.alerts[0];
    assert_eq!(alert.labels.get("k8s.pod/name é"), Some("x"));
    assert_eq!(alert.fields.get("generatorURL"), Some("?orgId=1"));
    assert!(alert.all_links().is_empty());
}

#[test]
fn replicas_share_an_identity_and_speak_for_themselves() {
    let (mut one, body) =
        (instance(KIND), br#"[{"labels":{"a":"b","replica":"r0"}},{"labels":{"a":"b","replica":"r1"}}]"#);
    one.replica_labels = vec!["replica".to_owned()];
    let batch = decode(body, &one);
    assert_eq!(batch.alerts[0].identity, batch.alerts[1].identity);
    assert_eq!(batch.alerts[0].alertmanager_fingerprint(), batch.alerts[1].alertmanager_fingerprint());
    assert_ne!(batch.alerts[0].sender, batch.alerts[1].sender);
    assert_eq!(batch.alerts[0].labels.get("replica"), None);
    let plain = instance(KIND);
    let two = decode(body, &plain);
    assert_ne!(two.alerts[0].identity, two.alerts[1].identity);
    assert_eq!(two.alerts[0].sender, two.alerts[1].sender);
    let mut other_peer = request(body);
    other_peer.peer = "2001:db8::2";
    assert_ne!(source(KIND).decode(&other_peer, &plain).unwrap().alerts[0].sender, two.alerts[0].sender);
}

#[test]
fn constants_of_the_instance_tell_equal_alerts_of_two_clusters_apart() {
    let (body, plain) = (br#"[{"labels":{"alertname":"A","region":"eu"}}]"#, instance(KIND));
    let mut ecs = instance(KIND);
    ecs.constants = Labels::from_iter([("cluster", "ecs-1")]);
    let mut eks = instance(KIND);
    eks.constants = Labels::from_iter([("cluster", "eks-1")]);
    let identity = |instance| decode(body, instance).alerts[0].identity;
    assert_ne!(identity(&ecs), identity(&eks));
    assert_eq!(decode(body, &eks).alerts[0].fields.get("cluster"), Some("eks-1"));
    // What the alert itself says is not said twice.
    let mut region = instance(KIND);
    region.constants = Labels::from_iter([("region", "us")]);
    assert_eq!(identity(&region), identity(&plain));
}

#[test]
fn severity_is_read_from_the_labels_that_people_use_for_it() {
    let instance = instance(KIND);
    for (label, severity) in [
        (r#""severity":"page""#, Severity::Critical),
        (r#""severity":"Warning""#, Severity::Warning),
        (r#""priority":"P4""#, Severity::Info),
        (r#""severity":"ticket","level":"warn""#, Severity::Warning),
        (r#""severity":"ticket""#, Severity::Error),
    ] {
        let body = format!(r#"[{{"labels":{{{label}}}}}]"#);
        assert_eq!(decode(body.as_bytes(), &instance).alerts[0].severity, severity, "{label}");
    }
}

#[test]
fn other_paths_are_not_ours() {
    let instance = instance(KIND);
    let mut request = request(b"[]");
    for path in ["", "/", "/api/v2/alerts", "/api/v2/alerts/", "/api/v1/alerts"] {
        request.path = path;
        assert!(source(KIND).decode(&request, &instance).is_ok(), "{path}");
    }
    request.path = "/api/v2/silences";
    let error = source(KIND).decode(&request, &instance).unwrap_err();
    assert_eq!(error.to_string(), "no such address: `/api/v2/silences`");
}

/// Run it in release: `cargo test --release -- --ignored --nocapture a_resend_is_cheap`.
#[test]
#[ignore = "a measurement, not a check"]
fn a_resend_is_cheap() {
    let element = |at: usize| {
        format!(
            r#"{{"annotations":{{"description":"More than five percent of the requests fail.","summary":"Errors on svc-{at}"}},"endsAt":"2026-11-23T02:24:50.568Z","startsAt":"2026-11-23T02:20:50.568Z","generatorURL":"http://prometheus:9090/graph?g0.expr=demo+%3E+1\u0026g0.tab=1","labels":{{"alertname":"HighErrorRate","cell":"prod-use1-c2","cluster":"eks-prod-1","instance":"10.0.0.{at}:9090","job":"api","service":"svc-{at}","severity":"critical"}}}}"#
        )
    };
    let body = format!("[{}]", (0..256).map(element).collect::<Vec<_>>().join(","));
    let instance = instance(KIND);
    let mut best = u128::MAX;
    for _ in 0..200 {
        let started = std::time::Instant::now();
        assert_eq!(std::hint::black_box(decode(body.as_bytes(), &instance)).alerts.len(), 256);
        best = best.min(started.elapsed().as_nanos());
    }
    println!("{} ns for each alert of {} bytes", best / 256, body.len() / 256);
}
