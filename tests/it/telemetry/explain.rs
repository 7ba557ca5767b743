//! `tawny explain --source otlp` against what a daemon really did with the same bytes: the attributes that arrived, the
//! sinks that got them, and the incident that came of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Status};
use prost::Message;
use serde_json::Value;

use super::content::{logs, metrics};
use super::kit::{block, export, home, pairs, request, sink};
use crate::client::Client;
use crate::daemon::{Daemon, Home};
use crate::otlp_doors::speak::{PROTOBUF, post};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::{Otlp, attribute};
use crate::wait::{PATIENCE, until_true};

const ALERTS: &str = "version: 1\nkind: alerts\nalerts:\n  - id: span-failed\n    from: spans\n    when: { span.status: ERROR }\n    name: SpanFailed\n    severity: critical\n";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:222222222222:function:nightly";
const TASK: &str = "arn:aws:ecs:us-east-1:222222222222:task/prod-c2-use1/10838bed421f43ef870af43feacbbb5b";

/// Two sinks, the shipped rules, and one that makes alerts.
fn home_with(back: &StandIn<Otlp>, money: &StandIn<Otlp>, more: &str) -> Home {
    let sinks = [sink("back", &back.url(), ""), sink("money", &money.url(), "")].concat();
    let spans = format!("to: [back], routes: [{{ owner: [payments], to: [money] }}], durability: through{more}");
    let home = home(&sinks, "", &spans);
    let folder = home.path().join("rules");
    fs::create_dir(&folder).expect("a fresh home");
    for name in ["platform.yaml", "cells.yaml", "services.yaml", "routes.yaml"] {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").join(name);
        fs::copy(shipped, folder.join(name)).expect("the shipped rules are there");
    }
    fs::write(folder.join("alerts.yaml"), ALERTS).expect("the folder can be written");
    let settings = fs::read_to_string(home.settings_path()).expect("it was written");
    home.write("tawny.yaml", &format!("rules: {}\n{settings}", folder.display()));
    home
}

fn explain(home: &Home, body: &[u8], more: &[&str]) -> Output {
    let file = home.path().join("request");
    fs::write(&file, body).expect("the home can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tawny"));
    command.arg("explain").arg(file).args(["--source", "otlp", "--config"]).arg(home.settings_path()).args(more);
    command.output().expect("the binary was built with this test")
}

fn explained(home: &Home, body: &[u8], more: &[&str]) -> Value {
    let output = explain(home, body, &[more, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON was asked for")
}

/// Its attributes that are texts.
fn texts(resource: &Resource) -> BTreeMap<String, String> {
    let text = |key: &str| Some((key.to_owned(), attribute(resource, key)?.to_owned()));
    resource.attributes.iter().filter_map(|held| text(&held.key)).collect()
}

/// What the explanation promises of a Resource that was sent so.
fn promised(sent: &Resource, explained: &Value) -> BTreeMap<String, String> {
    let mut promised = texts(sent);
    for (name, value) in explained["added"].as_object().expect("a mapping") {
        promised.insert(name.clone(), value.as_str().expect("a text").to_owned());
    }
    promised
}

fn text(text: &str) -> any_value::Value {
    any_value::Value::StringValue(text.to_owned())
}

/// Resources of many kinds; each has a name of its own, and the first a span that failed.
fn blocks() -> Vec<ResourceSpans> {
    let eks = [("service.name", "owl-service"), ("cloud.platform", "aws_eks"), ("k8s.cluster.name", "eks-prod-1")];
    let mut blocks = vec![
        block(&[&eks[..], &[("name", "eks")]].concat(), 2),
        block(&[("service.name", "payments-svc"), ("aws.ecs.task.arn", TASK), ("name", "ecs")], 1),
        block(&[&eks[1..], &[("aws.ecs.task.arn", TASK), ("name", "both")]].concat(), 1),
        block(&[("service.name", "nobody-knows-it"), ("name", "unknown")], 1),
        block(&[&eks[..], &[("tawny.platform", "ecs"), ("tawny.cell", "x"), ("name", "said")]].concat(), 1),
        block(&[("name", "silent")], 1),
        block(&[("service.name", "nightly"), ("name", "function")], 2),
        block(&[("service.name", "owl-service"), ("name", "list")], 1),
    ];
    blocks[6].scope_spans[0].spans[1].attributes.extend(pairs(&[("cloud.resource_id", FUNCTION)]));
    let groups = ["/aws/eks/eks-prod-1/cluster", "/ecs/owl"].map(|group| AnyValue { value: Some(text(group)) });
    let list = any_value::Value::ArrayValue(ArrayValue { values: groups.to_vec() });
    let groups =
        KeyValue { value: Some(AnyValue { value: Some(list) }), ..pairs(&[("aws.log.group.names", "")]).remove(0) };
    blocks[7].resource.as_mut().expect("it has one").attributes.push(groups);
    blocks[0].scope_spans[0].spans[0].status = Some(Status { code: 2, message: "it broke".to_owned() });
    blocks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_explained_of_spans_is_what_the_daemon_adds_and_where_it_sends_them() {
    for more in
        ["", ", existing: keep", ", attribute_prefix: \"owl.\", attributes: { platform: cloud.kind, cell: \"\" }"]
    {
        let (back, money) = (StandIn::start(Otlp::default()).await, StandIn::start(Otlp::default()).await);
        let home = home_with(&back, &money, more);
        let blocks = blocks();
        let body = request(blocks.clone());
        let found = explained(&home, &body, &["--path", "/v1/traces"]);
        let daemon = Daemon::start(&home).await;
        let answer = export(&daemon, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let resources = found["resources"].as_array().expect("a list");
        assert_eq!(resources.len(), blocks.len());
        let arrived_count = async || back.role.traces().len() + money.role.traces().len() == blocks.len();
        until_true("all Resources", PATIENCE, arrived_count).await;
        for (sent, told) in blocks.iter().zip(resources) {
            let resource = sent.resource.as_ref().expect("each has one");
            let name = attribute(resource, "name").expect("each has a name");
            let of = |sink: &StandIn<Otlp>| {
                let blocks = sink.role.traces().into_iter().filter_map(|block| block.resource);
                blocks.filter(|resource| attribute(resource, "name") == Some(name)).collect::<Vec<_>>()
            };
            let to: Vec<&str> = told["to"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
            let went = [("back", of(&back)), ("money", of(&money))];
            for (sink, arrived) in &went {
                assert_eq!(arrived.len(), usize::from(to.contains(sink)), "{name} at {sink}, {more}");
            }
            let arrived = went.iter().flat_map(|(_, arrived)| arrived).next().expect("it went somewhere");
            assert_eq!(texts(arrived), promised(resource, told), "{name}, {more}");
            assert!(told["added"].as_object().is_some_and(|added| !added.is_empty()), "{name}: {told}");
        }
        let incidents = Client::new().get(daemon.address, "/api/v1/incidents").await.expect("the daemon answers").body;
        let incidents: Vec<Value> = serde_json::from_str(&incidents).expect("a list");
        let alerts = found["alerts"].as_array().expect("a list");
        assert_eq!((alerts.len(), incidents.len()), (1, 1), "{found} {incidents:?}");
        assert_eq!((&alerts[0]["name"], &alerts[0]["incident"]), (&"SpanFailed".into(), &incidents[0]["key"]));
        assert_eq!(alerts[0]["tags"], incidents[0]["tags"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_and_metrics_are_explained_as_they_are_passed_on() {
    let (back, money) = (StandIn::start(Otlp::default()).await, StandIn::start(Otlp::default()).await);
    let home = home_with(&back, &money, "");
    let daemon = Daemon::start(&home).await;
    let http = daemon.telemetry_addresses()[1];
    let log_request = ExportLogsServiceRequest { resource_logs: vec![logs()] }.encode_to_vec();
    assert_eq!(post(http, "/v1/logs", &[PROTOBUF], &log_request).await.status, 200);
    let told = explained(&home, &log_request, &["--path", "/v1/logs"]);
    let (sent, arrived) = (logs().resource.expect("one"), back.role.logs().remove(0).resource.expect("one"));
    assert_eq!(texts(&arrived), promised(&sent, &told["resources"][0]));
    let metric_request = ExportMetricsServiceRequest { resource_metrics: vec![metrics()] }.encode_to_vec();
    assert_eq!(post(http, "/v1/metrics", &[PROTOBUF], &metric_request).await.status, 200);
    let told = explained(&home, &metric_request, &["--path", "/v1/metrics"]);
    let (sent, arrived) = (metrics().resource.expect("one"), back.role.metrics().remove(0).resource.expect("one"));
    assert_eq!(texts(&arrived), promised(&sent, &told["resources"][0]));
    assert_eq!(told["signal"], "metrics");
}

#[tokio::test]
async fn json_and_protobuf_are_explained_alike_and_people_are_shown_why() {
    let nowhere = StandIn::start(Otlp::default()).await;
    let home = home_with(&nowhere, &nowhere, "");
    let asked = ExportTraceServiceRequest { resource_spans: blocks() };
    let in_json = serde_json::to_vec(&asked).expect("messages have a JSON form");
    let (by_json, by_protobuf) =
        (explained(&home, &in_json, &[]), explained(&home, &asked.encode_to_vec(), &["--path", "/v1/traces"]));
    assert_eq!(by_json["resources"], by_protobuf["resources"]);
    assert_eq!(by_json["alerts"][0]["identity"], by_protobuf["alerts"][0]["identity"]);
    let platform = |at: usize| by_json["resources"][at]["tags"]["platform"]["value"].clone();
    assert_eq!([0, 1, 2, 3].map(platform), ["eks", "ecs", "ecs", "unknown"]);
    // A function may be known by its own span only, and a list speaks with all it holds.
    assert_eq!([6, 7].map(platform), ["lambda", "unknown"]);
    assert_eq!(by_json["resources"][7]["tags"]["platform.conflict"]["value"], "ecs,eks");
    assert_eq!(by_json["resources"][2]["tags"]["platform.conflict"]["value"], "aws_eks");
    assert!(!by_json["resources"][0]["near_misses"].as_array().expect("a list").is_empty());

    let shown = String::from_utf8_lossy(&explain(&home, &in_json, &[]).stdout).into_owned();
    for words in [
        "RESOURCE  2 items",
        "tawny.platform=eks",
        "goes to              money",
        "resource.cloud.platform=aws_eks  lost: a stronger signal says otherwise",
        "near miss",
        "`nobody-knows-it` read by services.yaml",
        "FIRING  critical  ",
    ] {
        assert!(shown.contains(words), "no `{words}` in {shown}");
    }
    assert_eq!(nowhere.exchanges().len(), 0, "nothing is sent");
}

#[test]
fn what_is_no_telemetry_gets_a_reason_and_not_an_answer() {
    let home = Home::with_sinks("  - { name: print, kind: console }\n");
    for (body, more, reason) in [
        (&request(blocks())[..], &[][..], "nothing in it says which signal it is: add `--path /v1/traces`"),
        (b"{\"resourceSpans\":[]}", &["--path", "/v1/spans"], "is not `/v1/traces`, `/v1/logs` or `/v1/metrics`"),
        (b"{\"resourceSpans\":[{\"resource\":7}]}", &[], "the request is not OTLP/JSON"),
        (b"\x0a\x05ab", &["--path", "/v1/traces"], "the request is not OTLP"),
    ] {
        let output = explain(&home, body, more);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains(reason), "no `{reason}` in {told}");
    }
}
