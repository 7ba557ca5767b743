//! The incident that the tests of all sinks speak about, and golden files. Only tests see it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{EncodeError, HttpAnswer, HttpRequest, Outgoing, Secrets, Sink, SinkSettings, sink_kind};
use crate::model::incident::Sample;
use crate::model::{
    Identity, Incident, IncidentKey, Labels, Leg, Link, Notice, NoticeKind, Phase, Reason, Route, Secret, Severity,
    SourceRef, Tag, TagName, Tags, Timestamp,
};

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// The moment of the attempt in all golden files.
pub(crate) fn now() -> Timestamp {
    at("2026-11-23T00:40:13.120Z")
}

pub(crate) fn tag(value: &str, by: &str) -> Tag {
    Tag { value: value.into(), by: by.into(), seen: None }
}

fn seen(value: &str, by: &str, seen: &str) -> Tag {
    Tag { seen: Some(seen.into()), ..tag(value, by) }
}

/// `owl-service` fails on EKS and, less, on ECS: one incident with two legs.
pub(crate) fn owl() -> Incident {
    let mut tags = Tags::default();
    for (name, tag) in [
        (TagName::Service, seen("owl-service", "services.yaml:14 owl-service", "label.service=owl-service")),
        (TagName::Class, seen("HighErrorRate", "services.yaml:3 class-from-name", "label.alertname=HighErrorRate")),
        (TagName::Environment, seen("prod", "cells.yaml:21 prod-use1-c2", "label.cluster=prod-c2-use1")),
        (TagName::Platform, seen("eks", "platform.yaml:44 k8s-labels", "label.pod=owl-service-7c9f8b6d5f-x2k4q")),
        (TagName::PlatformCluster, seen("prod-c2-use1", "platform.yaml:44 k8s-labels", "label.cluster=prod-c2-use1")),
        (TagName::PlatformConfidence, tag("strong", "platform.yaml:44 k8s-labels")),
        (TagName::Cell, seen("prod-use1-c2", "cells.yaml:21 prod-use1-c2", "label.cluster=prod-c2-use1")),
        (TagName::Owner, seen("team-owl", "services.yaml:14 owl-service", "label.service=owl-service")),
        (
            TagName::Runbook,
            tag("https://runbooks.example.com/owl-service/high-error-rate", "services.yaml:14 owl-service"),
        ),
    ] {
        tags.replace(name, tag);
    }
    let mut key = [0; 16];
    key[..8].copy_from_slice(&0x0f1e_00bb_eec8_02e0_u64.to_be_bytes());
    key[8..].copy_from_slice(&0x021d_b816_2416_c071_u64.to_be_bytes());
    Incident {
        key: IncidentKey(key),
        episode: 1,
        sequence: 1,
        phase: Phase::Open,
        opened_at: at("2026-11-23T00:40:12.400Z"),
        started_at: at("2026-11-23T00:40:12Z"),
        severity: Severity::Critical,
        acknowledged: false,
        tags: tags.into(),
        rules_revision: "9f1c2ab".into(),
        legs: vec![leg("ecs", 1, 0), leg("eks", 2, 0)],
        cells: vec!["prod-use1-c2".into()],
        lead: sample("owl-service-7c9f8b6d5f-x2k4q", "eks").into(),
        samples: vec![sample("owl-service-7c9f8b6d5f-p9m2d", "eks").into()],
        route: Arc::new(Route {
            by: "routes.yaml:8 page-owners".into(),
            sinks: vec!["pager".into(), "errors".into()],
            hold: Duration::from_secs(30),
            update: Duration::from_secs(300),
            remind: Duration::from_secs(10_800),
            also: Vec::new(),
            limit: None,
            joined: Vec::new(),
        }),
        told: None,
        quiet: None,
        next_expiry: at("2026-11-23T00:45:12Z"),
    }
}

pub(crate) fn leg(platform: &str, firing_count: u32, resolved_count: u32) -> Leg {
    Leg { platform: platform.into(), firing_count, resolved_count }
}

pub(crate) fn sample(pod: &str, platform: &str) -> Sample {
    let labels = [
        ("alertname", "HighErrorRate"),
        ("cluster", "prod-c2-use1"),
        ("container", "app"),
        ("namespace", "owl"),
        ("platform", platform),
        ("pod", pod),
        ("app.kubernetes.io/name", "owl-service"),
        ("service", "owl-service"),
        ("service_version", "1.42.0+9f1c2ab"),
        ("severity", "page"),
    ];
    let annotations =
        [("description", "5xx ratio is 4.2 % over 5 m\n(threshold 1 %)"), ("summary", "Errors on owl-service: 4.2 %")];
    Sample {
        identity: Identity([7; 16]),
        source: SourceRef { kind: "alertmanager".into(), instance: "eks-prod".to_owned() },
        name: "HighErrorRate".to_owned(),
        title: "Errors on owl-service: 4.2 %".to_owned(),
        starts_at: at("2026-11-23T00:40:12Z"),
        severity: Severity::Critical,
        labels: labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect(),
        annotations: Labels::from_iter(annotations),
        links: vec![
            Link { href: "https://prometheus.example.com/graph?g0.expr=errors".to_owned(), text: "Source".to_owned() },
            Link { href: "https://grafana.example.com/d/owl".to_owned(), text: "Dashboard".to_owned() },
        ],
    }
}

/// This many labels of this value.
pub(crate) fn labels_of(count: usize, value: &str) -> Labels<'static> {
    (0..count).map(|at| (format!("label_{at}"), value.to_owned())).collect()
}

/// A service that no rule knows: no tags, no labels, nothing but a name.
pub(crate) fn bare() -> Incident {
    let mut incident = owl();
    incident.tags = Tags::default().into();
    incident.legs = vec![leg("unknown", 1, 0)];
    incident.cells.clear();
    incident.samples.clear();
    Arc::make_mut(&mut incident.lead).title.clear();
    Arc::make_mut(&mut incident.lead).labels = Labels::new();
    Arc::make_mut(&mut incident.lead).annotations = Labels::new();
    Arc::make_mut(&mut incident.lead).links.clear();
    incident.started_at = Timestamp::ZERO;
    incident
}

pub(crate) fn notice(incident: Incident, kind: NoticeKind, reason: Reason) -> Notice {
    Notice {
        kind,
        reason,
        at: at("2026-11-23T00:40:12.900Z"),
        sequence: incident.sequence,
        incident: Arc::new(incident),
    }
}

/// The life of the owl incident, with the name of its golden file.
pub(crate) fn life() -> Vec<(&'static str, Notice)> {
    let opened = Incident { legs: vec![leg("eks", 2, 0)], ..owl() };
    let changed = Incident { sequence: 2, ..owl() };
    let acknowledged = Incident { sequence: 3, acknowledged: true, ..owl() };
    let reminder = Incident { sequence: 4, ..owl() };
    let resolved = Incident {
        sequence: 5,
        phase: Phase::Closed { at: at("2026-11-23T00:52:40Z") },
        legs: vec![leg("ecs", 0, 1), leg("eks", 0, 2)],
        ..owl()
    };
    let resolved =
        Notice { at: at("2026-11-23T00:52:40Z"), ..notice(resolved, NoticeKind::Resolved, Reason::AllResolved) };
    let mut event = bare();
    event.tags = owl().tags;
    event.severity = Severity::Info;
    Arc::make_mut(&mut event.lead).title = "owl-service: EKS canary weight 10 % to 25 % (release 1.42.0)".to_owned();
    let lead = Arc::make_mut(&mut event.lead);
    lead.name = "argocd-sync".to_owned();
    lead.source = SourceRef { kind: "pagerduty".into(), instance: "changes".to_owned() };
    let said = [("revision", "9f1c2ab"), ("source", "argocd/owl-service-prod-use1-c2"), ("weight.percent", "25")];
    lead.labels = Labels::from_iter(said);
    let application = "https://argocd.example.com/applications/owl-service-prod-use1-c2";
    lead.links = vec![Link { href: application.to_owned(), text: "Argo CD".to_owned() }];
    event.started_at = at("2026-11-23T00:31:05Z");
    vec![
        ("opened", notice(opened, NoticeKind::Opened, Reason::FirstAlert)),
        ("changed", notice(changed, NoticeKind::Changed, Reason::NewLeg)),
        ("acknowledged", notice(acknowledged, NoticeKind::Changed, Reason::Acknowledged)),
        ("reminder", notice(reminder, NoticeKind::Reminder, Reason::RemindInterval)),
        ("resolved", resolved),
        ("event", notice(event, NoticeKind::Event, Reason::Event)),
        ("bare", notice(bare(), NoticeKind::Opened, Reason::FirstAlert)),
    ]
}

/// Secrets by name.
pub(crate) struct Held(pub(crate) &'static [(&'static str, &'static str)]);

impl Secrets for Held {
    fn get(&self, name: &str) -> Option<Secret> {
        self.0.iter().find(|(held, _)| *held == name).map(|(_, value)| Secret::new(value))
    }
}

pub(crate) fn settings(options: serde_json::Value, secret_names: &[&str]) -> SinkSettings {
    let serde_json::Value::Object(options) = options else { panic!("options are a mapping") };
    SinkSettings {
        name: "test".to_owned(),
        endpoint: None,
        options,
        secret_names: secret_names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

pub(crate) fn build(kind: &str, options: serde_json::Value, secret_names: &[&str]) -> Result<Box<dyn Sink>, String> {
    sink_kind(kind).unwrap().build(settings(options, secret_names))
}

pub(crate) fn request(outgoing: Result<Outgoing, EncodeError>) -> HttpRequest {
    match outgoing.unwrap() {
        Outgoing::Http(request) => request,
        Outgoing::Print(_) | Outgoing::Nothing => panic!("no request"),
    }
}

pub(crate) fn body(outgoing: Result<Outgoing, EncodeError>) -> serde_json::Value {
    serde_json::from_slice(&request(outgoing).body).unwrap()
}

pub(crate) fn answer(status: u16, body: &str) -> HttpAnswer<'_> {
    HttpAnswer { status, retry_after: None, rate_limits: None, body: body.as_bytes(), received_at: now() }
}

/// One judgement of an answer to one notice.
pub(crate) fn judge(sink: &dyn Sink, status: u16, body: &str) -> super::Judgement {
    let mut judgements = sink.judge(&answer(status, body), 1);
    assert_eq!(judgements.len(), 1);
    judgements.remove(0)
}

/// Encodes the whole life and compares each request with its golden file: `.http` is what leaves, byte for byte
/// after the head; `.json` is the same body for people to read.
pub(crate) fn check_life(kind: &str, sink: &dyn Sink, secrets: &dyn Secrets) {
    for (name, notice) in life() {
        match sink.encode(&[&notice], secrets, now()).unwrap() {
            Outgoing::Nothing => check(kind, &format!("{name}.nothing"), ""),
            Outgoing::Print(text) => check(kind, &format!("{name}.txt"), &text),
            Outgoing::Http(request) => {
                let body = String::from_utf8(request.body).unwrap();
                let mut text = format!("POST {}\n", request.url);
                for (name, value) in &request.headers {
                    text.push_str(&format!("{name}: {value}\n"));
                }
                check(kind, &format!("{name}.http"), &format!("{text}\n{body}"));
                // An envelope is several JSON documents; its last line is the one to read.
                let readable: serde_json::Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
                check(kind, &format!("{name}.json"), &format!("{readable:#}\n"));
            }
        }
    }
}

/// Compares with a golden file; with `UPDATE=1` in the environment it writes it instead.
pub(crate) fn check(kind: &str, file: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sinks").join(kind).join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{} (UPDATE=1 writes it)", path.display());
}
