//! What a sender wrote, found again in what leaves: `explain` is given a body and shows the requests. Never starts a
//! daemon, because what is explained is what it sends (`rules_tools.rs`).

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const KEY: &str = "fedcba9876543210fedcba9876543210";

const SETTINGS: &str = r#"
listen: "127.0.0.1:0"
sources:
  - { name: pd, kind: pagerduty }
  - { name: am, kind: alertmanager }
sinks:
  - { name: pager, kind: pagerduty, routing_key: { env: PD_KEY } }
"#;

const SERVICES: &str = r#"
version: 1
kind: services
teams:
  owl: { about: The owl. }
services:
  - { name: owl-service, owner: owl, runbook: "RUNBOOK" }
rules:
  - id: service-label
    when: { label.service: { exists: true } }
    set: { service: "${label.service}" }
"#;

/// A folder with these settings and this payload.
fn home(settings: &str, payload: &Value) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(home.path().join("tawny.yaml"), settings).expect("it can be written");
    std::fs::write(home.path().join("payload.json"), payload.to_string()).expect("it can be written");
    home
}

fn tawny(folder: &Path, arguments: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_tawny")).args(arguments).current_dir(folder).output();
    run.expect("the binary was built with this test")
}

/// The body that would leave to PagerDuty for the only alert of a payload.
fn event(source: &str, path: &str, payload: &Value) -> Value {
    let home = home(SETTINGS, payload);
    let explained =
        tawny(home.path(), &["explain", "payload.json", "--source", source, "--path", path, "--format", "json"]);
    let said = String::from_utf8_lossy(&explained.stderr).into_owned();
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap_or_else(|cause| panic!("{cause}: {said}"));
    let body = explained["alerts"][0]["requests"][0]["body"].as_str().unwrap_or_else(|| panic!("{explained:#}"));
    serde_json::from_str(body).expect("PagerDuty is sent JSON")
}

#[test]
fn a_change_event_leaves_with_its_own_time_source_details_and_link() {
    let change = json!({
        "routing_key": KEY,
        "payload": {
            "summary": "Deploy owl-service 1.2", "timestamp": "2026-11-23T20:00:00.000Z", "source": "argocd/owl",
            "custom_details": { "revision": "abc", "diff": { "files": 3 }, "tawny.owner": "of another Tawny" },
        },
        "links": [
            { "href": "https://argocd.example.com/owl", "text": "Argo CD" },
            { "href": "https://git.example.com/abc", "text": "Commit" },
        ],
    });
    let event = event("pd", "/v2/change/enqueue", &change);
    let payload = &event["payload"];
    assert_eq!(payload["timestamp"], "2026-11-23T20:00:00.000Z", "{event:#}");
    assert_eq!(payload["source"], "argocd/owl", "{event:#}");
    assert_eq!(payload["summary"], "Deploy owl-service 1.2");
    assert_eq!(payload["custom_details"]["revision"], "abc", "{event:#}");
    assert_eq!(payload["custom_details"]["diff.files"], "3", "{event:#}");
    assert_eq!(payload["custom_details"]["source"], Value::Null, "it has its place: {event:#}");
    assert_ne!(payload["custom_details"]["tawny.owner"], "of another Tawny", "{event:#}");
    assert_eq!(event["links"], change["links"], "{event:#}");
}

#[test]
fn a_trigger_leaves_with_its_source_and_the_name_and_address_of_its_client() {
    let mut trigger = json!({
        "routing_key": KEY, "event_action": "trigger", "dedup_key": "d",
        "client": "Datadog", "client_url": "https://app.datadoghq.com/monitors/1",
        "payload": { "summary": "Disk of db1 is full", "source": "db1.example.com", "severity": "critical" },
        "links": [{ "href": "https://wiki.example.com/disk", "text": "Wiki" }],
    });
    let left = event("pd", "/v2/enqueue", &trigger);
    assert_eq!(left["payload"]["source"], "db1.example.com", "{left:#}");
    assert_eq!((&left["client"], &left["client_url"]), (&trigger["client"], &trigger["client_url"]), "{left:#}");
    assert_eq!(left["links"], trigger["links"], "{left:#}");
    trigger.as_object_mut().expect("an object").remove("client");
    assert_eq!(event("pd", "/v2/enqueue", &trigger)["client"], "PagerDuty");

    let old = json!({
        "service_key": KEY, "event_type": "trigger", "incident_key": "i", "description": "FAILURE for db",
        "client": "Zabbix", "client_url": "https://zabbix.example.com/tr_events.php?eventid=1",
        "contexts": [{ "type": "link", "href": "https://graph.example.com/db", "text": "Graph" }],
    });
    let left = event("pd", "/generic/2010-04-15/create_event.json", &old);
    assert_eq!((&left["client"], &left["client_url"]), (&old["client"], &old["client_url"]), "{left:#}");
    assert_eq!(left["links"], json!([{ "href": "https://graph.example.com/db", "text": "Graph" }]), "{left:#}");
}

fn grafana(generator_url: &str) -> Value {
    json!({
        "receiver": "tawny", "status": "firing", "orgId": 1, "state": "alerting", "title": "t", "version": "1",
        "externalURL": "https://grafana.example.com/",
        "alerts": [{
            "status": "firing", "labels": { "alertname": "HighErrorRate", "severity": "critical" },
            "annotations": { "summary": "Errors" }, "startsAt": "2026-11-23T00:40:12Z", "fingerprint": "c4edaaf9f9f839b0",
            "generatorURL": generator_url, "silenceURL": "https://grafana.example.com/alerting/silence/new",
            "panelURL": "https://grafana.example.com/d/x?viewPanel=1", "valueString": "[ var='B' value=22 ]",
        }],
    })
}

#[test]
fn what_grafana_raised_is_called_grafana_and_leads_back_to_it() {
    let rule = "https://grafana.example.com/alerting/grafana/owl5xx/view";
    for (generator_url, client_url) in [(rule, rule), ("?orgId=1", "https://grafana.example.com/")] {
        let left = event("am", "", &grafana(generator_url));
        assert_eq!((&left["client"], &left["client_url"]), (&json!("Grafana"), &json!(client_url)), "{left:#}");
        let texts: Vec<&Value> = left["links"].as_array().expect("links").iter().map(|link| &link["text"]).collect();
        assert_eq!(texts, ["Panel", "Silence"], "{left:#}");
    }
    let test: Value = {
        let mut body = grafana("?orgId=1");
        body["alerts"][0]["labels"] = json!({ "alertname": "TestAlert", "instance": "Grafana" });
        body
    };
    let left = event("am", "", &test);
    assert_eq!(left["links"][0], json!({ "href": "https://grafana.example.com/", "text": "Grafana" }), "{left:#}");
    assert_eq!(left["links"][1]["text"], "Panel", "{left:#}");
}

#[test]
fn two_runbooks_are_told_apart() {
    let alert = |runbook: &str| {
        json!({ "version": "4", "status": "firing", "alerts": [{
            "status": "firing", "labels": { "alertname": "HighErrorRate", "service": "owl-service", "severity": "critical" },
            "annotations": { "runbook_url": runbook }, "startsAt": "2026-11-23T00:40:12Z",
        }] })
    };
    let service = "https://runbooks.example.com/owl";
    let settings = format!("{SETTINGS}rules: rules\n");
    for (runbook, expected) in [
        (service, json!([{ "href": service, "text": "Runbook" }])),
        (
            "https://runbooks.example.com/errors",
            json!([
                { "href": "https://runbooks.example.com/errors", "text": "Runbook" },
                { "href": service, "text": "Runbook of the service" },
            ]),
        ),
    ] {
        let home = home(&settings, &alert(runbook));
        std::fs::create_dir(home.path().join("rules")).expect("it can be made");
        let rules = [
            ("services.yaml", SERVICES.replace("RUNBOOK", service)),
            ("routes.yaml", "version: 1\nkind: routes\nroutes:\n  - { id: all, to: [pager] }\n".to_owned()),
        ];
        for (name, text) in rules {
            std::fs::write(home.path().join("rules").join(name), text).expect("it can be written");
        }
        let explained = tawny(home.path(), &["explain", "payload.json", "--source", "am", "--format", "json"]);
        let said = String::from_utf8_lossy(&explained.stderr).into_owned();
        let explained: Value =
            serde_json::from_slice(&explained.stdout).unwrap_or_else(|cause| panic!("{cause}: {said}"));
        let body = explained["alerts"][0]["requests"][0]["body"].as_str().unwrap_or_else(|| panic!("{explained:#}"));
        let left: Value = serde_json::from_str(body).expect("PagerDuty is sent JSON");
        assert_eq!(left["links"], expected, "{left:#}");
    }
}

/// What `explain` prints for people.
fn explained(settings: &str, source: &str, payload: &Value) -> String {
    let home = home(settings, payload);
    let explained = tawny(home.path(), &["explain", "payload.json", "--source", source]);
    assert!(explained.status.success(), "{}", String::from_utf8_lossy(&explained.stderr));
    String::from_utf8_lossy(&explained.stdout).into_owned()
}

#[test]
fn an_event_is_explained_under_the_one_key_that_it_leaves_with() {
    let settings = SETTINGS.replace("  - { name: pager", "  - { name: lines, kind: console }\n  - { name: pager");
    let change =
        json!({ "routing_key": KEY, "payload": { "summary": "Deploy owl-service 1.2", "source": "argocd/owl" } });
    let shown = explained(&settings, "pd", &change);
    let mut keys: Vec<&str> = shown.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    keys.retain(|word| word.starts_with("v1-"));
    keys.dedup();
    assert_eq!(keys.len(), 1, "{keys:?}:\n{shown}");
    let route = shown.lines().find(|line| line.starts_with("  route")).expect("a route");
    assert!(route.ends_with("to lines, pager"), "{route}");
}

#[test]
fn an_alert_is_explained_in_lines_that_can_be_read() {
    let runbook = "https://runbooks.example.com/a-rather-long-name-of-a-book";
    let alert = json!({ "version": "4", "status": "firing", "alerts": [{
        "status": "firing", "labels": { "alertname": "DiskFull", "severity": "critical" },
        "annotations": { "summary": "Disk of db1 is full", "runbook_url": runbook }, "startsAt": "2026-11-23T00:40:12Z",
    }] });
    let shown = explained(SETTINGS, "am", &alert);
    let head = shown.split("\n  -> ").next().expect("there is a beginning");
    assert!(head.lines().all(|line| line.chars().count() <= 200), "{head}");
    assert!(!head.contains("any: [") && !head.contains("resource."), "rules for other senders: {head}");
    assert!(head.contains("near miss") && head.contains("--format json lists all"), "{head}");
    let route = head.lines().find(|line| line.starts_with("  route")).expect("a route");
    assert!(route.ends_with("to pager, hold 0s, update 1m, remind 3h"), "{route}");
    // The rule behind each tag stands in one column, whatever the value.
    assert!(head.lines().any(|line| line.ends_with(runbook)), "{head}");
    let tags = head.lines().skip(1).take_while(|line| !line.starts_with("  incident"));
    let columns: std::collections::BTreeSet<usize> =
        tags.filter_map(|line| line[23..].find(".yaml:").and_then(|at| line[..23 + at].rfind(' '))).collect();
    assert_eq!(columns.len(), 1, "{head}");
}

#[test]
fn a_payload_is_sent_under_the_name_of_a_source_and_an_unknown_name_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let to = format!("http://{}", listener.local_addr().expect("it is bound"));
    let daemon = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut line, _) = listener.accept().expect("somebody sends");
        let mut head = vec![0; 4096];
        let count = line.read(&mut head).expect("a request");
        line.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").expect("it listens");
        String::from_utf8_lossy(&head[..count]).into_owned()
    });
    let settings = "sources:\n  - { name: pingdom, kind: json, auth: none }\n";
    let home = home(settings, &json!({ "title": "t" }));
    let sent = tawny(home.path(), &["send", "payload.json", "--source", "pingdom", "--to", &to]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let head = daemon.join().expect("it took the request");
    assert!(head.starts_with("POST /in/pingdom HTTP/1.1\r\n"), "{head}");
    let refused = tawny(home.path(), &["send", "payload.json", "--source", "pingdon", "--to", &to]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("no source in the settings has this name"), "{said}");
}
