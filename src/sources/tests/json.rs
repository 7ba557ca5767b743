//! Free JSON through a mapping.

use super::*;
use crate::model::{Severity, State};

const KIND: &str = "json";

fn mapped(options: serde_json::Value) -> Instance {
    source(KIND).check_options(&options).unwrap();
    Instance { options, ..instance(KIND) }
}

#[test]
fn a_legacy_dashboard_alert_closes_what_it_opened() {
    let instance = mapped(serde_json::json!({
        "identity": "/ruleId", "name": "/ruleName", "labels": "/tags", "link": "/ruleUrl"
    }));
    let (open, close) = (sample("grafana-legacy/alerting-evalmatches.json"), sample("grafana-legacy/ok.json"));
    let (open, close) = (decode(&open, &instance), decode(&close, &instance));
    let (open, close) = (&open.alerts[0], &close.alerts[0]);
    assert_eq!((open.state, close.state), (State::Firing, State::Resolved));
    assert_eq!(open.identity, close.identity);
    assert_eq!((open.name.as_ref(), open.title.as_ref()), ("Zeta CPU alert", "[Alerting] CPU alert"));
    assert_eq!((open.links.len(), open.starts_at, open.holds_for), (1, None, minutes(24 * 60)));
    let body = sample("grafana-legacy/alerting-tags-v6.json");
    let batch = decode(&body, &instance);
    assert_eq!((batch.alerts.len(), batch.alerts[0].severity), (1, Severity::Warning));
    assert_eq!(batch.alerts[0].labels.get("service"), Some("Physical"));
    let body = sample("grafana-legacy/alerting-image.json");
    assert_eq!(decode(&body, &instance).alerts[0].title, "My alert");
}

#[test]
fn stackdriver_is_read_through_pointers_into_its_incident() {
    let instance = mapped(serde_json::json!({
        "alerts": "/incident", "identity": "/incident_id", "name": "/condition_name", "time": "/started_at",
        "labels": "/documentation", "severity": { "const": "warning" }
    }));
    let body = sample("generic/stackdriver-open.json");
    let batch = decode(&body, &instance);
    let alert = &batch.alerts[0];
    assert_eq!((alert.state, alert.severity, alert.name.as_ref()), (State::Firing, Severity::Warning, "CPU usage"));
    assert_eq!(alert.starts_at, Some(at("2017-07-06T19:10:14Z")));
    assert_eq!(alert.links[0].href, "https://app.stackdriver.com/incidents/f2e08c333dc64cb09f75eaab355393bz");
    // A text that holds JSON stays a text.
    assert!(alert.labels.get("content").unwrap().starts_with("{\"summary\""));
}

#[test]
fn graylog_riemann_and_vrealize_need_a_few_pointers() {
    let graylog = mapped(serde_json::json!({
        "identity": "/stream/id", "title": "/check_result/result_description", "name": "/stream/title",
        "time": ["/check_result/missing", "/check_result/triggered_at"],
        "labels": "/check_result/triggered_condition/parameters"
    }));
    let body = sample("generic/graylog.json");
    let batch = decode(&body, &graylog);
    let alert = &batch.alerts[0];
    assert_eq!((alert.name.as_ref(), alert.starts_at), ("test", Some(at("2015-09-10T09:45:54.749Z"))));
    assert_eq!(alert.labels.get("threshold"), Some("1"));

    let riemann = mapped(serde_json::json!({ "identity": "/service", "title": "/description", "labels": "" }));
    let body = sample("generic/riemann.json");
    let batch = decode(&body, &riemann);
    let alert = &batch.alerts[0];
    assert_eq!((alert.state, alert.title.as_ref()), (State::Resolved, "This is a description"));
    assert_eq!((alert.labels.get("host"), alert.labels.get("metric")), (Some("hostbob"), Some("1")));

    let vrealize = mapped(serde_json::json!({ "identity": "/alertId", "title": "/info", "time": "/startDate" }));
    let body = sample("generic/vrealize.json");
    let batch = decode(&body, &vrealize);
    assert_eq!(
        (batch.alerts[0].state, batch.alerts[0].starts_at),
        (State::Firing, Some(at("2013-05-28T16:09:06.267Z")))
    );
}

#[test]
fn without_a_mapping_the_usual_names_are_tried() {
    let instance = instance(KIND);
    let body = br#"[
        {"id":12345678901234567890123,"summary":"One","status":"firing","priority":"P1","tags":["env:prod"],"url":"https://x.example","time":1700000000000},
        {"id":"12345678901234567890123","summary":"Other words","status":"Resolved","time":"2023-11-14 22:14"},
        {"alertname":"Two","state":"acked"},
        "three",
        {}
    ]"#;
    let batch = decode(body, &instance);
    let (one, end, two) = (&batch.alerts[0], &batch.alerts[1], &batch.alerts[2]);
    assert_eq!((one.state, one.severity, one.title.as_ref()), (State::Firing, Severity::Critical, "One"));
    assert_eq!((one.labels.get("env"), one.links.len()), (Some("prod"), 1));
    assert_eq!(one.starts_at, Some(at("2023-11-14T22:13:20Z")));
    // The number and the text are the same identity, digit for digit.
    assert_eq!((end.identity, end.state), (one.identity, State::Resolved));
    assert_eq!((end.starts_at, end.ends_at), (None, Some(at("2023-11-14T22:14:00Z"))));
    assert_eq!((two.state, two.name.as_ref()), (State::Acknowledged, "Two"));
    assert_eq!(
        reasons(&batch),
        [
            "alert 3: expected an object, found a text",
            "alert 4: missing identity: nothing at `/dedup_key`, `/dedupKey`, `/fingerprint`, `/alias`, \
             `/incident_key`, `/alert_id`, `/id`, and neither title nor labels to make one of",
        ]
    );
}

#[test]
fn without_a_name_the_whole_title_is_the_name_so_that_titles_which_begin_alike_are_two() {
    let instance = instance(KIND);
    let name = |body: &str| decode(body.as_bytes(), &instance).alerts[0].name.to_string();
    assert_eq!(name(r#"{"id":"A","title":"High CPU on duo-api"}"#), "High CPU on duo-api");
    assert_eq!(name(r#"{"id":"B","title":"High error rate on duo-api"}"#), "High error rate on duo-api");
    assert_eq!(name(r#"{"id":"A","title":"CPU 93 % on duo-api","name":"HighCpu"}"#), "HighCpu");
}

#[test]
fn without_an_identity_title_and_labels_are_it() {
    let instance = instance(KIND);
    let identity = |body: &str| decode(body.as_bytes(), &instance).alerts[0].identity;
    let one = identity(r#"{"title":"A","labels":{"x":"1"},"severity":"warning","status":"firing"}"#);
    assert_eq!(one, identity(r#"{"status":"ok","labels":{"x":"1"},"title":"A"}"#));
    assert_ne!(one, identity(r#"{"title":"A","labels":{"x":"2"}}"#));
    assert_ne!(identity(r#"{"title":"A"}"#), identity(r#"{"id":"A","title":"A"}"#));
}

#[test]
fn a_template_that_nobody_filled_in_makes_no_alert_of_that_name() {
    let instance = instance(KIND);
    let batch = decode(br#"{"id":"$ID","title":"$EVENT_TITLE","tags":"$TAGS"}"#, &instance);
    assert_eq!((batch.alerts.len(), batch.rejects.len()), (0, 1));
    assert_eq!(source(KIND).answer("", &taken(&batch)).status, 400);
    let body = sample("datadog/default-template-unrendered.json");
    let batch = decode(&body, &instance);
    assert!(batch.alerts.iter().all(|alert| !alert.title.contains('$') && !alert.name.contains('$')), "{batch:?}");
}

#[test]
fn a_form_is_an_object_and_its_payload_is_the_body() {
    let instance = instance(KIND);
    let decode_form = |body: &str| {
        let request =
            Request { content_type: "application/x-www-form-urlencoded; charset=utf-8", ..request(body.as_bytes()) };
        let batch = source(KIND).decode(&request, &instance).unwrap();
        let alert = &batch.alerts[0];
        (alert.identity, alert.title.to_string(), alert.state, alert.labels.get("env").map(str::to_owned))
    };
    let form = decode_form("id=1&title=Disk+full+%C3%A9&status=closed&tags=env%3Aprod");
    assert_eq!((form.1.as_str(), form.2, form.3.as_deref()), ("Disk full é", State::Resolved, Some("prod")));
    let payload = decode_form("token=x&payload=%7B%22id%22%3A1%2C%22title%22%3A%22A%22%7D");
    assert_eq!((payload.0, payload.1.as_str()), (form.0, "A"));
    assert_eq!(decode_form(r#"{"id":1,"title":"A"}"#).0, form.0);
}

#[test]
fn a_mapping_is_checked_and_the_error_names_the_key() {
    for (options, error) in [
        (
            serde_json::json!({ "titel": "/x" }),
            "unknown key `titel`; known are `alerts`, `identity`, `labels`, `link`, `name`, `severity`, `state`, `states`, `time`, `title`",
        ),
        (serde_json::json!({ "title": "a.b" }), "key `title`: `a.b` is no JSON pointer, did you mean `/a/b`?"),
        (serde_json::json!({ "title": 7 }), "key `title`: expected a JSON pointer, `{const: …}` or a list of them"),
        (serde_json::json!({ "title": [] }), "key `title`: the list is empty"),
        (serde_json::json!({ "title": [["/a"]] }), "key `title`: a list inside the list"),
        (serde_json::json!({ "title": { "konst": "x" } }), "key `title`: expected `{const: …}` with a text"),
        (serde_json::json!({ "alerts": { "const": "x" } }), "key `alerts`: expected JSON pointers only"),
        (serde_json::json!({ "labels": { "const": { "a": 1 } } }), "key `labels`: the constant is an object of texts"),
        (serde_json::json!([]), "the mapping of a `json` source is an object"),
    ] {
        assert_eq!(source(KIND).check_options(&options).unwrap_err(), error);
    }
    assert_eq!(source(KIND).check_options(&serde_json::Value::Null), Ok(()));
    for kind in ["alertmanager", "alertmanager-api", "pagerduty"] {
        assert!(source(kind).check_options(&serde_json::json!({ "a": 1 })).is_err());
    }
}

#[test]
fn constants_stand_where_the_body_is_silent() {
    let instance = mapped(serde_json::json!({
        "title": ["/headline", { "const": "Something happened" }], "state": { "const": "firing" },
        "labels": { "const": { "team": "owl" } }, "alerts": ["/missing", "/items"]
    }));
    let batch = decode(br#"{"items":[{"id":1},{"id":2,"headline":"H"}]}"#, &instance);
    let titles: Vec<_> = batch.alerts.iter().map(|alert| alert.title.as_ref()).collect();
    assert_eq!(titles, ["Something happened", "H"]);
    assert_eq!(batch.alerts[0].labels.get("team"), Some("owl"));
    let request = request(b"{}");
    let error = source(KIND).decode(&request, &instance).map(|batch| batch.alerts.len()).unwrap_err();
    assert_eq!(error.to_string(), "field `alerts`: nothing at `/missing`, `/items`");
}

#[test]
fn what_is_no_alert_is_refused_and_says_why() {
    for (body, reason) in [
        ("", "the body is empty"),
        ("null", "field `body`: expected an object or a list of them, found null"),
        ("7", "field `body`: expected an object or a list of them, found a number"),
        ("a=b", "the body is not JSON: expected value at line 1 column 1"),
        ("{\"id\":1,}", "the body is not JSON: key must be a string at line 1 column 9"),
        ("{\"id\":1} // note", "the body is not JSON: trailing characters at line 1 column 10"),
    ] {
        assert_eq!(refusal(KIND, body.as_bytes()), reason);
    }
    let deep = format!("{{\"id\":1,\"labels\":{}{}}}", "{\"a\":[".repeat(5000), "]}".repeat(5000));
    assert_eq!(decode(deep.as_bytes(), &instance(KIND)).alerts.len(), 1);
}

#[test]
fn absurd_times_are_the_time_of_receipt() {
    let instance = instance(KIND);
    for (time, expected) in [
        ("9223372036854775807", Some(at(RECEIVED_AT))),
        ("\"9999999-01-01\"", None),
        ("-1", None),
        ("1e400", None),
        ("\"1 January\"", None),
        ("946684800", Some(at("2000-01-01T00:00:00Z"))),
    ] {
        let body = format!(r#"{{"id":1,"time":{time}}}"#);
        assert_eq!(decode(body.as_bytes(), &instance).alerts[0].starts_at, expected, "{time}");
    }
}

#[test]
fn where_the_mapping_names_the_identity_nothing_else_is_one() {
    let instance = mapped(serde_json::json!({ "identity": ["/check/id", "/id"], "title": "/t" }));
    let batch = decode(br#"[{"t":"A"},{"t":"A","id":7},{"t":"A","check":{"id":""}}]"#, &instance);
    assert_eq!(batch.alerts.len(), 1);
    let reasons: Vec<String> = batch.rejects.iter().map(ToString::to_string).collect();
    assert_eq!(reasons[0], "alert 0: missing identity: nothing at `/check/id`, `/id`");
    assert_eq!(batch.rejects[1].position, 2);
}

#[test]
fn uptime_kuma_says_by_number_that_it_is_up() {
    let body = sample("uptime-kuma/up.json");
    let pointers = serde_json::json!({ "identity": "/monitor/id", "state": "/heartbeat/status", "title": "/msg" });
    let unmapped = mapped(pointers.clone());
    assert_eq!(
        reasons(&decode(&body, &unmapped)),
        ["alert 0: state `1` means nothing by itself: the option `states` says what it is, as in `{ 1: resolved }`"]
    );
    let mut options = pointers;
    options["states"] = serde_json::json!({ "0": "firing", "1": "resolved", "3": "suppressed" });
    let instance = mapped(options);
    assert_eq!(decode(&body, &instance).alerts[0].state, State::Resolved);
    let down = String::from_utf8(body).unwrap().replace("\"status\": 1", "\"status\": 0");
    assert_eq!(decode(down.as_bytes(), &instance).alerts[0].state, State::Firing);
}

#[test]
fn a_number_in_a_form_is_a_number_and_a_constant_is_checked_at_the_start() {
    let pointers =
        serde_json::json!({ "identity": "/monitor_url", "state": "/alert_type", "states": { "2": "resolved" } });
    let instance = mapped(pointers);
    let body = sample("uptimerobot/monitor-up.json");
    assert_eq!(decode(&body, &instance).alerts[0].state, State::Resolved);
    let form = Request { content_type: "application/x-www-form-urlencoded", ..request(b"monitor_url=a&alert_type=1") };
    let batch = source(KIND).decode(&form, &instance).unwrap();
    assert_eq!((batch.alerts.len(), batch.rejects.len()), (0, 1), "1 is not in the option");
    let fault = source(KIND).check_options(&serde_json::json!({ "state": { "const": 1 } })).unwrap_err();
    assert!(fault.starts_with("key `state`: state `1` means nothing by itself"), "{fault}");
}

#[test]
fn a_number_where_nobody_said_that_a_state_is_does_not_hide_an_alert() {
    let instance = mapped(serde_json::json!({}));
    for (body, state) in [
        (&br#"{"id":1,"title":"Checkout answers 500","status":500}"#[..], State::Firing),
        (br#"{"id":1,"title":"Checkout answers 200","status":200,"state":"resolved"}"#, State::Resolved),
    ] {
        assert_eq!(decode(body, &instance).alerts[0].state, state);
    }
}
