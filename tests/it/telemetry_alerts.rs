//! Alerts from telemetry through the whole daemon: a log record or a span comes in over OTLP, one page goes out, and the
//! sender's answer waits for the store. Never checks texts that the rules' own tests check.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Client, Reply, sum_of_metric};
use crate::daemon::{Daemon, Home};
use crate::stand_in::StandIn;
use crate::stand_in::pagerduty::PagerDuty;
use crate::wait::{PATIENCE, until_true};

const ALERTS: &str = r#"version: 1
kind: alerts
alerts:
  - id: oom-killed
    from: logs
    when: { log.severity: [ERROR, FATAL], log.body: { glob: "*OOMKilled*" } }
    name: OOMKilled
    severity: critical
    labels: { reason: "${log.reason}" }
  - id: ledger-refused
    from: spans
    when: { span.status: ERROR, span.ledger.outcome: refused }
    name: LedgerRefused
    severity: critical
"#;

/// With the shipped rules, these for alerts, and a page at once.
fn home(endpoint: &str) -> Home {
    let home = Home::with_pager(endpoint);
    let folder = home.path().join("rules");
    fs::create_dir(&folder).expect("a fresh home");
    for name in ["platform.yaml", "cells.yaml", "services.yaml"] {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").join(name);
        fs::copy(shipped, folder.join(name)).expect("the shipped rules are there");
    }
    let routes = "version: 1\nkind: routes\nroutes:\n  - { id: all, when: {}, hold: 0s }\n";
    fs::write(folder.join("routes.yaml"), routes).expect("the folder can be written");
    fs::write(folder.join("alerts.yaml"), ALERTS).expect("the folder can be written");
    let settings = fs::read_to_string(home.settings_path()).expect("it was written");
    home.write("tawny.yaml", &format!("rules: {}\n{settings}", folder.display()));
    home
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } })).collect()
}

fn on_eks() -> Value {
    let own = [
        ("service.name", "owl-service"),
        ("cloud.platform", "aws_eks"),
        ("k8s.cluster.name", "eks-prod-1"),
        ("k8s.pod.name", "owl-service-7c9f8b6d5f-x2k4q"),
        ("k8s.pod.uid", "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff"),
    ];
    json!({ "attributes": attributes(&own) })
}

fn on_ecs() -> Value {
    let task = "arn:aws:ecs:us-east-1:222222222222:task/prod-c2-use1/10838bed421f43ef870af43feacbbb5b";
    json!({ "attributes": attributes(&[("service.name", "owl-service"), ("aws.ecs.task.arn", task)]) })
}

fn log(resource: &Value, severity: u64, body: &str, number: u64) -> Value {
    let record = json!({
        "timeUnixNano": (1_795_394_411_000_000_000_u64 + number).to_string(),
        "severityNumber": severity,
        "body": { "stringValue": body },
        "attributes": attributes(&[("reason", "limit")]),
    });
    json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": [record] }] }] })
}

fn span(resource: &Value, status: u64, number: u64) -> Value {
    let span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": format!("{number:016x}"),
        "name": "POST /ledger",
        "kind": 3,
        "startTimeUnixNano": "1795394411000000000",
        "endTimeUnixNano": "1795394411250000000",
        "attributes": attributes(&[("ledger.outcome", "refused")]),
        "status": { "code": status },
    });
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": [span] }] }] })
}

async fn post(client: &Client, daemon: &Daemon<'_>, path: &str, body: &Value) -> Reply {
    let [_, http] = daemon.telemetry_addresses();
    client.post(http, path, body.to_string().into_bytes()).await.expect("the door answers")
}

/// The last page as it came, once there are so many.
async fn pages(pagerduty: &StandIn<PagerDuty>, count: u32) -> Vec<String> {
    until_true(&format!("{count} pages"), PATIENCE, async || pagerduty.role.page_count() == count).await;
    let alerts = pagerduty.role.alerts();
    alerts.values().flat_map(|alert| &alert.events).map(|event| event.body.to_string()).collect()
}

async fn outcome_count(client: &Client, daemon: &Daemon<'_>, outcome: &str) -> f64 {
    let page = client.get(daemon.address, "/metrics").await.expect("the daemon answers").body;
    let lines: Vec<&str> = page.lines().filter(|line| line.contains("source=\"otlp\"")).collect();
    sum_of_metric(&lines.join("\n"), "tawny_alerts_total", &format!("outcome=\"{outcome}\"")).unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_record_and_a_span_page_once_with_the_tags_of_their_resource() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = home(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    for (severity, body) in [(9, "container OOMKilled"), (17, "all is well")] {
        let reply = post(&client, &daemon, "/v1/logs", &log(&on_eks(), severity, body, 0)).await;
        assert!(reply.is_taken(), "{reply:?}");
    }
    assert!(post(&client, &daemon, "/v1/traces", &span(&on_ecs(), 1, 1)).await.is_taken());
    for number in 0..20 {
        let reply = post(&client, &daemon, "/v1/logs", &log(&on_eks(), 17, "container OOMKilled", number)).await;
        assert!(reply.is_taken(), "{reply:?}");
    }
    let told = pages(&pagerduty, 1).await;
    for word in ["OOMKilled", "owl-service", "eks", "prod-use1-c2", "limit"] {
        assert!(told[0].contains(word), "no `{word}` in {}", told[0]);
    }
    assert_eq!(
        (outcome_count(&client, &daemon, "opened").await, outcome_count(&client, &daemon, "repeated").await),
        (1.0, 19.0)
    );

    for number in 2..5 {
        assert!(post(&client, &daemon, "/v1/traces", &span(&on_ecs(), 2, number)).await.is_taken());
    }
    let told = pages(&pagerduty, 2).await;
    let told = told.iter().find(|body| body.contains("LedgerRefused")).expect("a page about the span");
    for word in ["owl-service", "ecs", "prod-use1-c2"] {
        assert!(told.contains(word), "no `{word}` in {told}");
    }
    assert_eq!(outcome_count(&client, &daemon, "repeated").await, 21.0);

    // The same trouble on the other platform is a leg of the same incident.
    assert!(post(&client, &daemon, "/v1/logs", &log(&on_ecs(), 21, "OOMKilled", 99)).await.is_taken());
    assert_eq!(outcome_count(&client, &daemon, "joined").await, 1.0);
    let incidents = client.get(daemon.address, "/api/v1/incidents").await.expect("the daemon answers").body;
    assert!(incidents.contains("\"eks\"") && incidents.contains("\"ecs\""), "{incidents}");
    assert_eq!(pagerduty.role.page_count(), 2);
    assert!(daemon.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telemetry_with_a_new_alert_is_not_acknowledged_while_the_store_refuses() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = home(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let (store, aside) = (home.path().join("tawny.db"), home.path().join("aside.db"));
    fs::rename(&store, &aside).expect("the store is there");
    let alerting = log(&on_eks(), 21, "OOMKilled", 1);
    for _ in 0..3 {
        let reply = post(&client, &daemon, "/v1/logs", &alerting).await;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.retry_after.is_some(), "{reply:?}");
    }
    let plain = post(&client, &daemon, "/v1/logs", &log(&on_eks(), 9, "all is well", 2)).await;
    assert!(plain.is_taken(), "what makes no alert needs no store: {plain:?}");
    fs::rename(&aside, &store).expect("it can be put back");
    until_true("the store to take writes again", PATIENCE, async || {
        post(&client, &daemon, "/v1/logs", &alerting).await.is_taken()
    })
    .await;
    pages(&pagerduty, 1).await;
    // What was acknowledged survives the daemon.
    daemon.kill();
    let daemon = Daemon::start(&home).await;
    let incidents = client.get(daemon.address, "/api/v1/incidents").await.expect("the daemon answers").body;
    assert!(incidents.contains("OOMKilled"), "{incidents}");
}
