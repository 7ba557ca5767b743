//! PagerDuty's Events API as a server.

use super::*;
use crate::model::{Severity, State};

const KIND: &str = "pagerduty";
const KEY: &str = "R0123456789ABCDEF0123456789ABCDE";
const CHANGE: &str = "/v2/change/enqueue";
const V1: &str = "/generic/2010-04-15/create_event.json";

/// Decodes at a path what must be decodable there.
fn decode_at<'a>(path: &'a str, body: &'a [u8], instance: &'a Instance) -> Batch<'a> {
    let request = Request { path, ..request(body) };
    source(KIND).decode(&request, instance).unwrap()
}

fn trigger(members: &str) -> String {
    format!(
        r#"{{"routing_key":"{KEY}","event_action":"trigger","dedup_key":"d","payload":{{"summary":"Disk full","source":"db-1","severity":"critical"{members}}}}}"#
    )
}

fn refused(path: &str, body: &str) -> Answer {
    let instance = instance(KIND);
    let request = Request { path, ..request(body.as_bytes()) };
    let error = source(KIND).decode(&request, &instance).map(|batch| batch.alerts.len()).unwrap_err();
    source(KIND).answer(path, &Receipt::Refused { status: 400, reason: &error.to_string() })
}

#[test]
fn a_full_trigger_is_read_whole() {
    let (body, instance) = (sample("pagerduty-events-v2/schema-event.json"), instance(KIND));
    let batch = decode_at("/v2/enqueue", &body, &instance);
    let alert = &batch.alerts[0];
    assert_eq!((alert.state, alert.severity), (State::Firing, Severity::Critical));
    assert_eq!(
        (alert.name.as_ref(), alert.title.as_ref()),
        ("disk", "DISK at 99% on machine prod-datapipe03.example.com")
    );
    assert_eq!((alert.starts_at, alert.holds_for), (None, minutes(24 * 60)));
    assert_eq!(
        alert.labels.iter().collect::<Vec<_>>(),
        [
            ("class", "disk"),
            ("client", "Sample Monitoring Service"),
            ("component", "mysql"),
            ("free space", "1%"),
            ("group", "prod-datapipe"),
            ("load avg", "0.75"),
            ("ping time", "1500ms"),
            ("source", "prod-datapipe03.example.com"),
        ]
    );
    assert_eq!(
        alert.fields.iter().collect::<Vec<_>>(),
        [
            ("class", "disk"),
            ("client", "Sample Monitoring Service"),
            ("component", "mysql"),
            ("dedup_key", "srv01/mysql"),
            ("group", "prod-datapipe"),
            ("instance", "lab"),
            ("severity", "critical"),
            ("source", "pagerduty"),
            ("timestamp", "2015-07-17T08:42:58.315Z"),
        ]
    );
    let texts: Vec<_> = alert.all_links().into_iter().map(|link| link.text).collect();
    assert_eq!(texts, ["Sample Monitoring Service", "An example link.", "An example link with an image"]);
    let answer = source(KIND).answer("/v2/enqueue", &taken(&batch));
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body, r#"{"dedup_key":"srv01/mysql","message":"Event processed","status":"success"}"#);
}

#[test]
fn the_routing_key_is_in_the_identity_and_nowhere_else() {
    let instance = instance(KIND);
    for (name, body) in samples("pagerduty-events-v2") {
        let path = if name.contains("change") { CHANGE } else { "/v2/enqueue" };
        let batch = decode_at(path, &body, &instance);
        let Credential::Body(Some(key)) = source(KIND).credential(&body) else { panic!("{name}") };
        let alert = &batch.alerts[0];
        let kept = format!("{:?}{:?}{}{}{:?}", alert.labels, alert.fields, alert.title, alert.name, alert.links);
        assert!(!kept.contains(key.as_ref()), "{name}: {kept}");
        let other = String::from_utf8(body.clone()).unwrap().replace(key.as_ref(), "another-key");
        assert_ne!(decode_at(path, other.as_bytes(), &instance).alerts[0].identity, alert.identity, "{name}");
    }
    let body = trigger(&format!(r#","custom_details":{{"debug":"key={KEY}","{KEY}":"x","cell":"c2"}}"#));
    let alert = &decode_at("", body.as_bytes(), &instance).alerts[0];
    assert_eq!((alert.labels.get("debug"), alert.labels.get("cell"), alert.labels.len()), (None, Some("c2"), 2));
}

#[test]
fn trigger_acknowledge_and_resolve_meet_on_their_key() {
    let instance = instance(KIND);
    let trigger = sample("pagerduty-events-v2/alertmanager-trigger.json");
    let resolve = sample("pagerduty-events-v2/alertmanager-resolve.json");
    let (trigger, resolve) = (decode(&trigger, &instance), decode(&resolve, &instance));
    assert_eq!(trigger.alerts[0].identity, resolve.alerts[0].identity);
    assert_eq!((trigger.alerts[0].state, resolve.alerts[0].state), (State::Firing, State::Resolved));
    assert_eq!(trigger.answer_key.as_deref(), Some("bc374adea0e1ab822bcbcc4098faa9a63da28ae071487eee4d28fca91ab8ebc5"));
    let (ack, end) = (sample("pagerduty-events-v2/acknowledge.json"), sample("pagerduty-events-v2/resolve.json"));
    let (ack, end) = (decode(&ack, &instance), decode(&end, &instance));
    assert_eq!((ack.alerts[0].state, ack.alerts[0].title.as_ref()), (State::Acknowledged, "dedupkeyhere"));
    assert_eq!(ack.alerts[0].identity, end.alerts[0].identity);
}

#[test]
fn change_events_are_facts_without_an_end() {
    let instance = instance(KIND);
    for name in ["change.json", "schema-build-change-event.json", "schema-git-change-event.json"] {
        let body = sample(&format!("pagerduty-events-v2/{name}"));
        let batch = decode_at(CHANGE, &body, &instance);
        let alert = &batch.alerts[0];
        assert_eq!((alert.state, alert.severity, batch.answer_key.is_none()), (State::Info, Severity::Info, true));
        let answer = source(KIND).answer(CHANGE, &taken(&batch));
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (202, r#"{"message":"Change event processed","status":"success"}"#)
        );
        let mut later = body.clone();
        later.push(b'\n');
        assert_eq!(decode_at(CHANGE, &later, &instance).alerts[0].identity, alert.identity);
    }
}

#[test]
fn a_change_that_does_not_say_when_it_happened_is_one_of_its_own_each_time_it_is_posted() {
    let instance = instance(KIND);
    let identity_of = |members: &str, received_at: &str| {
        let body = format!(r#"{{"routing_key":"{KEY}","payload":{{"summary":"Deploy of owl-service"{members}}}}}"#);
        let request = Request { path: CHANGE, received_at: at(received_at), ..request(body.as_bytes()) };
        source(KIND).decode(&request, &instance).unwrap().alerts[0].identity
    };
    let (one, next) = (RECEIVED_AT, "2026-11-23T02:21:00.001Z");
    for undated in ["", r#","timestamp":"""#, r#","timestamp":"today""#] {
        assert_ne!(identity_of(undated, one), identity_of(undated, next), "{undated}");
        // The same input is the same event, as a replay of the journal needs it.
        assert_eq!(identity_of(undated, one), identity_of(undated, one), "{undated}");
    }
    let dated = r#","timestamp":"2026-11-23T02:20:00Z""#;
    assert_eq!(identity_of(dated, one), identity_of(dated, next));
    assert_ne!(identity_of(dated, one), identity_of(&dated.replace(":00Z", ":01Z"), one));
}

#[test]
fn version_one_is_mapped_and_answered_in_its_own_words() {
    let instance = instance(KIND);
    let body = format!(
        r#"{{"service_key":"{KEY}","event_type":"trigger","incident_key":"i","description":"FAILURE for db","client":"Nagios","client_url":"https://n.example","details":{{"service":"db"}},"contexts":[{{"type":"link","href":"https://l.example"}}]}}"#
    );
    let batch = decode_at(V1, body.as_bytes(), &instance);
    let alert = &batch.alerts[0];
    assert_eq!((alert.state, alert.title.as_ref(), alert.name.as_ref()), (State::Firing, "FAILURE for db", "i"));
    assert_eq!((alert.severity, alert.labels.get("service")), (Severity::Error, Some("db")));
    assert_eq!(alert.links.len(), 2);
    let answer = source(KIND).answer(V1, &taken(&batch));
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"incident_key":"i","message":"Event processed","status":"success"}"#)
    );
    let resolve = format!(r#"{{"service_key":"{KEY}","event_type":"resolve","incident_key":"i"}}"#);
    assert_eq!(decode_at(V1, resolve.as_bytes(), &instance).alerts[0].identity, alert.identity);
}

#[test]
fn a_trigger_without_a_key_gets_one_that_closes_it_again() {
    let instance = instance(KIND);
    let body = trigger("").replace(r#""dedup_key":"d","#, "");
    let batch = decode(body.as_bytes(), &instance);
    let key = batch.answer_key.clone().unwrap();
    assert_eq!(key.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{key}");
    let resolve = format!(r#"{{"routing_key":"{KEY}","event_action":"resolve","dedup_key":"{key}"}}"#);
    assert_eq!(decode(resolve.as_bytes(), &instance).alerts[0].identity, batch.alerts[0].identity);
    assert_eq!(decode(body.as_bytes(), &instance).answer_key.as_deref(), Some(key.as_str()));
    let later = Request { received_at: at("2026-11-23T02:21:00.001Z"), ..request(body.as_bytes()) };
    assert_ne!(source(KIND).decode(&later, &instance).unwrap().answer_key, Some(key));
}

#[test]
fn faults_are_listed_as_pagerduty_lists_them() {
    let answer = refused("/v2/enqueue", r#"{"event_action":"trigger","payload":{"severity":""}}"#);
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        r#"{"errors":["`routing_key` is missing or blank","`payload.summary` is missing or blank","`payload.source` is missing or blank","`payload.severity` is missing or blank"],"message":"Event object is invalid","status":"invalid event"}"#
    );
    for (path, body, error) in [
        ("", r#"{"routing_key":"k","dedup_key":"d"}"#.to_owned(), "`event_action` is missing or blank"),
        (
            "",
            r#"{"routing_key":"k","event_action":"snooze"}"#.to_owned(),
            "`event_action` is not one of trigger, acknowledge, resolve",
        ),
        ("", r#"{"routing_key":"k","event_action":"resolve"}"#.to_owned(), "`dedup_key` is missing or blank"),
        (
            "",
            trigger("").replace("\"d\"", &format!("\"{}\"", "é".repeat(256))),
            "`dedup_key` is longer than 255 characters",
        ),
        ("", trigger("").replace("Disk full", &"é".repeat(1025)), "`payload.summary` is longer than 1024 characters"),
        (CHANGE, r#"{"routing_key":"k","payload":{}}"#.to_owned(), "`payload.summary` is missing or blank"),
        (V1, r#"{"service_key":"k","event_type":"trigger"}"#.to_owned(), "`description` is missing or blank"),
        ("", "[]".to_owned(), "field `body`: expected an event object, found a list"),
        ("", "{\"routing_key\":".to_owned(), "the body is not JSON: EOF while parsing a value at line 1 column 15"),
        ("", String::new(), "the body is empty"),
        ("/v2/other", "{}".to_owned(), "no such address: `/v2/other`"),
    ] {
        let answer: serde_json::Value = serde_json::from_str(&refused(path, &body).body).unwrap();
        assert_eq!(answer["errors"], serde_json::json!([error]), "{body}");
    }
    let unknown_key = source(KIND).answer("/v2/enqueue", &Receipt::Refused { status: 401, reason: "wrong credential" });
    assert_eq!(unknown_key.status, 400);
    let at_the_limit =
        trigger("").replace("Disk full", &"é".repeat(1024)).replace("\"d\"", &format!("\"{}\"", "é".repeat(255)));
    assert_eq!(decode(at_the_limit.as_bytes(), &instance(KIND)).alerts.len(), 1);
}

#[test]
fn an_unknown_severity_or_a_strange_detail_loses_no_alert() {
    let instance = instance(KIND);
    for (severity, expected) in
        [("CRITICAL", Severity::Critical), ("page", Severity::Critical), ("purple", Severity::Error)]
    {
        let body = trigger("").replace("\"critical\"", &format!("\"{severity}\""));
        assert_eq!(decode(body.as_bytes(), &instance).alerts[0].severity, expected, "{severity}");
    }
    for (details, name, value) in [
        (r#""plain text""#, "custom_details", "plain text"),
        (r#"["a",{"b":1}]"#, "custom_details.1.b", "1"),
        (r#"{"service":{"name":"owl"},"id":12345678901234567890123}"#, "service.name", "owl"),
        (r#"{"class":"theirs","half":"a\ud800"}"#, "half", "a\u{fffd}\u{fffd}\u{fffd}"),
    ] {
        let body = trigger(&format!(r#","class":"ours","custom_details":{details}"#));
        let alert = &decode(body.as_bytes(), &instance).alerts[0];
        assert_eq!(alert.labels.get(name), Some(value), "{details}");
        assert_eq!((alert.labels.get("class"), alert.name.as_ref()), (Some("ours"), "ours"));
    }
}

fn name_of(body: &str) -> String {
    decode(body.as_bytes(), &instance(KIND)).alerts[0].name.to_string()
}

#[test]
fn an_event_without_a_class_is_named_by_its_own_key_and_never_by_its_summary() {
    assert_eq!(name_of(&trigger("")), "d");
    for summary in ["CPU 91 % on duo-api", "CPU 93 % on duo-api", "[Triggered on {host:i-1}] Memory full"] {
        assert_eq!(name_of(&trigger("").replace("Disk full", summary)), "d", "{summary}");
    }
    assert_eq!(
        name_of(&trigger("").replace(r#""d""#, r#""owl-service-ecs-HighErrorRate""#)),
        "owl-service-ecs-HighErrorRate"
    );
    assert_eq!(name_of(&trigger(r#","class":"disk""#)), "disk");
    assert_eq!(name_of(&trigger(r#","custom_details":{"alertname":"DiskFull"}"#)), "DiskFull");
    // Grafana writes this where nobody chose a class.
    assert_eq!(name_of(&trigger(r#","class":"default","group":"default""#)), "d");
    // A key that PagerDuty would have made is the event's own too.
    let (body, instance) = (trigger("").replace(r#""dedup_key":"d","#, ""), instance(KIND));
    let batch = decode(body.as_bytes(), &instance);
    assert_eq!(Some(batch.alerts[0].name.as_ref()), batch.answer_key.as_deref());
}

#[test]
fn a_key_that_shows_the_routing_key_names_nothing() {
    let body = trigger("").replace(r#""d""#, &format!("\"{KEY}/disk\""));
    let instance = instance(KIND);
    let alert = &decode(body.as_bytes(), &instance).alerts[0];
    assert_eq!(alert.name, alert.identity.to_string());
}

#[test]
fn a_group_of_alertmanager_has_the_name_of_its_alerts_where_they_have_one() {
    let firing = |summary: &str, details: &str| {
        name_of(&trigger(&format!(r#","custom_details":{details}"#)).replace("Disk full", summary))
    };
    let text = r#"{"firing":"Labels:\n - alertname = High CPU\n - cluster = eks-prod-1\n"}"#;
    assert_eq!(firing("[FIRING:2] High CPU eks-prod-1 (critical)", text), "High CPU");
    assert_eq!(firing("[RESOLVED] High CPU eks-prod-1 (critical)", text), "High CPU");
    // Grouped by something else, so that any alert may be in it.
    assert_eq!(firing("[FIRING:2] eks-prod-1 (High CPU critical)", text), "d");
    assert_eq!(firing("[FIRING:2] High CPUs (critical)", text), "d");
    let list = r#"{"firing":[{"labels":{"alertname":"DiskFull"}}]}"#;
    assert_eq!(firing("[FIRING:1] DiskFull db-1 (critical)", list), "DiskFull");
    assert_eq!(firing("[FIRING:1] db-1 (DiskFull critical)", list), "d");
    // Without details only a word that nobody writes in a sentence is taken for a name.
    assert_eq!(firing("[FIRING:1] HighErrorRate eks-prod-1", "{}"), "HighErrorRate");
    assert_eq!(firing("[FIRING:1] High error rate on duo-api", "{}"), "d");
    assert_eq!(firing("[FIRING:1]", "{}"), "d");
}

#[test]
fn what_all_alerts_of_a_group_share_are_labels_and_change_neither_its_name_nor_its_identity() {
    let instance = instance(KIND);
    let alert = |pod: &str| {
        format!(
            r#"{{"labels":{{"alertname":"DiskFull","cluster":"eks-prod-1","service":"owl-service","pod":"{pod}","source":"theirs","job":"{KEY}"}}}}"#
        )
    };
    let group = |members: &str, firing: &str| {
        trigger(&format!(
            r#"{members},"custom_details":{{"cluster":"known-better","firing":[{firing}],"resolved":[]}}"#
        ))
        .replace("Disk full", "[FIRING:2] db-1 (DiskFull critical)")
    };
    let body = group("", &format!("{},{}", alert("a"), alert("b")));
    let event = &decode(body.as_bytes(), &instance).alerts[0];
    for (name, value) in [
        ("service", Some("owl-service")),
        ("alertname", Some("DiskFull")),
        ("cluster", Some("known-better")),
        ("source", Some("db-1")),
        ("pod", None),
        ("job", None),
        ("firing.1.labels.pod", Some("b")),
    ] {
        assert_eq!(event.labels.get(name), value, "{name}");
    }
    assert_eq!((event.name.as_ref(), event.fields.get("service")), ("d", None));
    let plain = trigger("");
    assert_eq!(event.identity, decode(plain.as_bytes(), &instance).alerts[0].identity);
    assert_eq!(name_of(&group(r#","class":"disk""#, &alert("a"))), "disk");
}

#[test]
fn details_are_bounded() {
    let instance = instance(KIND);
    let many: String = (0..500).map(|at| format!("\"k{at}\":\"{}\",", "x".repeat(600))).collect();
    let body = trigger(&format!(r#","custom_details":{{{many}"deep":{}1{}}}"#, "[".repeat(200), "]".repeat(200)));
    assert_eq!(decode(body.as_bytes(), &instance).alerts[0].labels.len(), 101);
    let body = trigger(&format!(r#","custom_details":{{"long":"{}"}}"#, "é".repeat(9000)));
    assert_eq!(decode(body.as_bytes(), &instance).alerts[0].labels.get("long").map(str::len), Some(4096));
}

#[test]
fn the_key_that_is_checked_is_the_key_that_counts() {
    let instance = instance(KIND);
    let twice = trigger("").replacen('{', r#"{"routing_key":"first","service_key":"other","#, 1);
    assert!(matches!(source(KIND).credential(twice.as_bytes()), Credential::Body(Some(key)) if key == KEY));
    assert_eq!(
        decode(twice.as_bytes(), &instance).alerts[0].identity,
        decode(trigger("").as_bytes(), &instance).alerts[0].identity
    );
    for body in [r#"{"routing_key":7}"#, r#"{"routing_key":"a","routing_key":null}"#, "{}"] {
        assert!(matches!(source(KIND).credential(body.as_bytes()), Credential::Body(None)), "{body}");
    }
    for body in ["", "{", "[]", "7", r#"{"routing_key":"a"} x"#] {
        assert!(matches!(source(KIND).credential(body.as_bytes()), Credential::Unreadable(_)), "{body}");
    }
}

#[test]
fn an_absurd_time_is_the_time_of_receipt_and_a_broken_one_is_overlooked() {
    let instance = instance(KIND);
    for (time, expected) in [
        ("2026-11-23T02:20:00.000+0000", Some("2026-11-23T02:20:00.000Z")),
        ("1999-01-01T00:00:00Z", Some(RECEIVED_AT)),
        ("9999999-01-01T00:00:00Z", None),
    ] {
        let body = trigger(&format!(r#","timestamp":"{time}""#));
        assert_eq!(decode(body.as_bytes(), &instance).alerts[0].fields.get("timestamp"), expected, "{time}");
    }
}

#[test]
fn a_key_in_the_header_takes_its_place_in_a_body_that_has_none() {
    let kind = source(KIND);
    let with = |body: &str| kind.with_key(body.as_bytes(), KEY).map(|body| String::from_utf8(body).unwrap());
    let without = trigger("").replace(&format!(r#""routing_key":"{KEY}","#), "");
    assert!(!without.contains(KEY), "{without}");
    let whole = with(&without).unwrap();
    let Credential::Body(Some(shown)) = kind.credential(whole.as_bytes()) else { panic!("{whole}") };
    assert_eq!(shown, KEY);
    let instance = instance(KIND);
    let (one, other) = (decode(whole.as_bytes(), &instance), trigger(""));
    assert_eq!(one.alerts[0].identity, decode(other.as_bytes(), &instance).alerts[0].identity);
    assert!(!String::from_utf8_lossy(&kind.without_credential(whole.as_bytes())).contains(KEY));
    assert_eq!(with("{ }").unwrap(), format!(r#"{{ "routing_key":"{KEY}"}}"#));
    for body in [trigger("").as_str(), r#"{"service_key":"other"}"#, "[]", "", "{", "routing_key=x"] {
        assert_eq!(with(body), None, "{body}");
    }
    assert_eq!(kind.with_key(b"{}", ""), None);
}

#[test]
fn a_key_in_the_header_wins_over_an_empty_one_in_the_body_and_is_masked_as_one_there() {
    let (kind, instance) = (source(KIND), instance(KIND));
    let expected = decode(trigger("").as_bytes(), &instance).alerts[0].identity;
    for empty in [r#""routing_key":"""#, r#""routing_key":null"#, r#""routing_key":"","service_key":null"#] {
        let body = trigger("").replace(&format!(r#""routing_key":"{KEY}""#), empty);
        assert!(body.contains(empty) && !body.contains(KEY), "{body}");
        let whole = kind.with_key(body.as_bytes(), KEY).unwrap();
        let shown = String::from_utf8_lossy(&whole);
        assert!(matches!(kind.credential(&whole), Credential::Body(Some(key)) if key == KEY), "{shown}");
        assert_eq!(decode(&whole, &instance).alerts[0].identity, expected, "{shown}");
        let kept = String::from_utf8(kind.without_credential(&whole).into_owned()).unwrap();
        assert!(!kept.is_empty() && !kept.contains(KEY) && kept.ends_with(r#""routing_key":"[secret]"}"#), "{kept}");
    }
}
