//! The adversarial corpus: things that look like a platform, a cell or a service and what must come of them. Cases are
//! files in `tests/fixtures/platform`; a new case is no new code. A wrong platform is worse than none.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use tawny::model::alert::Voice;
use tawny::model::{Alert, Identity, Labels, SenderId, Severity, State, TagName, Tags, Timestamp};
use tawny::rules::{Origin, RuleSet, SourceFile, Stamped, Stamps, Telemetry};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    families: Vec<u32>,
    /// Families that are not about tags: the number and where they are tested.
    #[serde(default)]
    elsewhere: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    family: u32,
    #[serde(default)]
    title: String,
    #[serde(default)]
    alertname: String,
    /// Telemetry instead of an alert.
    resource: Option<Map<String, Value>>,
    /// Attributes of a span of kind `SERVER` of that resource.
    server_span: Option<Map<String, Value>>,
    #[serde(default)]
    label: Map<String, Value>,
    #[serde(default)]
    annotation: Map<String, Value>,
    #[serde(default)]
    field: Map<String, Value>,
    #[serde(default)]
    dimension: Map<String, Value>,
    #[serde(default)]
    constants: Map<String, Value>,
    /// Identities that are known to be stamps.
    #[serde(default)]
    stamped: Vec<String>,
    /// So many instances of the resource have been seen; `$instance` stands for the number of one.
    #[serde(default)]
    seen_by: u64,
    #[serde(default)]
    pods_ipv6_only: bool,
    /// Each label is so many times as long.
    #[serde(default)]
    repeat: usize,
    expect: Map<String, Value>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rules(pods_ipv6_only: bool) -> RuleSet {
    let read = |name: &str| {
        let text = fs::read_to_string(root().join("rules").join(name)).expect("the shipped rules are there");
        let declared = text.replace("pods_ipv6_only: false", "pods_ipv6_only: true");
        SourceFile { name: name.to_owned(), text: if pods_ipv6_only { declared } else { text } }
    };
    let files = ["platform.yaml", "cells.yaml", "services.yaml", "routes.yaml"].map(read);
    RuleSet::compile(&files).unwrap_or_else(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{}", faults.join("\n"))
    })
}

/// As a scanner of telemetry hands attributes over: numbers and booleans as text, lists as JSON.
fn labels(map: &Map<String, Value>, instance: u64, repeat: usize) -> Labels<'static> {
    let text = |value: &Value| match value {
        Value::String(text) => text.replace("$instance", &instance.to_string()).repeat(repeat.max(1)),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    map.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// What a case came to, in the words of `expect`.
struct Seen {
    tags: Arc<Tags>,
    shadow: Vec<Arc<str>>,
    unknown_cell: Option<Arc<str>>,
}

fn run_telemetry(rules: &RuleSet, case: &Case, resource: &Map<String, Value>) -> Seen {
    let constants = labels(&case.constants, 0, 0);
    let origin = Origin { kind: "otlp", instance: "spans", constants: &constants };
    let server_span = case.server_span.as_ref().map(|span| labels(span, 0, 0));
    let mut stamps = Stamps::default();
    let told: Stamped = case.stamped.iter().map(String::as_str).collect();
    let mut stamped = Arc::new(told);
    let start = Timestamp::from_ms(1_700_000_000_000);
    for instance in 0..case.seen_by {
        let resource = labels(resource, instance, 0);
        let decision = rules.tag_resource(Telemetry { resource: &resource, server_span: None }, origin, &stamped);
        for disputed in decision.disputed.iter() {
            if stamps.observe(disputed, start.plus(Duration::from_secs(instance))) {
                stamped = stamps.snapshot();
            }
        }
    }
    let resource = labels(resource, 1, case.repeat);
    let telemetry = Telemetry { resource: &resource, server_span: server_span.as_ref() };
    let decision = rules.tag_resource(telemetry, origin, &stamped);
    let explanation = rules.explain_resource(telemetry, origin, &stamped);
    assert_eq!(explanation.tags, decision.tags, "{}: the explanation is the decision", case.name);
    Seen { tags: decision.tags, shadow: explanation.shadow, unknown_cell: decision.unknown_cell }
}

fn run_alert(rules: &RuleSet, case: &Case) -> Seen {
    let mut fields = labels(&case.field, 0, 0);
    for (name, value) in labels(&case.dimension, 0, 0).iter() {
        fields.set(format!("dimension.{name}"), value.to_owned());
    }
    let alert = Alert {
        identity: Identity([7; 16]),
        sender: SenderId(1),
        voice: Voice::Evaluator,
        state: State::Firing,
        starts_at: None,
        ends_at: None,
        holds_for: Duration::from_secs(300),
        severity: Severity::Critical,
        name: Cow::Owned(case.alertname.clone()),
        title: Cow::Owned(case.title.clone()),
        labels: labels(&case.label, 0, case.repeat),
        annotations: labels(&case.annotation, 0, 0),
        fields,
        links: Vec::new(),
    };
    let constants = labels(&case.constants, 0, 0);
    let origin = Origin { kind: "alertmanager", instance: "corpus", constants: &constants };
    let decision = rules.decide(&alert, origin);
    let explanation = rules.explain(&alert, origin);
    assert_eq!(explanation.decision.tags, decision.tags, "{}: the explanation is the decision", case.name);
    Seen { tags: decision.tags, shadow: explanation.shadow, unknown_cell: decision.unknown_cell }
}

/// One line per expectation that was not met.
fn compare(case: &Case, seen: &Seen) -> Vec<String> {
    let id = |by: &str| by.split_once(' ').map_or("", |(_, id)| id).to_owned();
    let tag = |name: TagName| seen.tags.value(name).map(str::to_owned);
    let mut wrong = Vec::new();
    for (what, wanted) in &case.expect {
        let (wanted, found) = match (what.as_str(), wanted) {
            ("conflict", Value::Array(words)) => {
                let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                ((!words.is_empty()).then(|| words.join(",")), tag(TagName::PlatformConflict))
            }
            ("by", wanted) => {
                (wanted.as_str().map(str::to_owned), seen.tags.get(TagName::Platform).map(|tag| id(&tag.by)))
            }
            ("shadow", wanted) => (wanted.as_str().map(str::to_owned), seen.shadow.first().map(|by| id(by))),
            ("unknown_cell", wanted) => {
                (wanted.as_str().map(str::to_owned), seen.unknown_cell.as_ref().map(ToString::to_string))
            }
            (name, wanted) => {
                let name = match name {
                    "cluster" | "variant" => TagName::parse(&format!("platform.{name}")),
                    _ => TagName::parse(name),
                };
                (wanted.as_str().map(str::to_owned), tag(name.expect("an expectation names a tag")))
            }
        };
        if wanted != found {
            wrong.push(format!("family {} `{}`: {what} is {found:?}, not {wanted:?}", case.family, case.name));
        }
    }
    wrong
}

fn files() -> Vec<(PathBuf, File)> {
    let folder = root().join("tests/fixtures/platform");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("the corpus is there").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a case file is text");
        let file = serde_saphyr::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        (path, file)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_family_of_the_corpus_has_cases_or_says_where_it_is_tested() {
    let mut covered: BTreeSet<u32> = BTreeSet::new();
    for (path, file) in files() {
        for family in &file.families {
            let count = file.cases.iter().filter(|case| case.family == *family).count();
            assert!(count >= 2, "{}: {count} cases of family {family}", path.display());
            covered.insert(*family);
        }
        assert!(file.cases.iter().all(|case| file.families.contains(&case.family)), "{}", path.display());
        covered.extend(file.elsewhere.keys().map(|family| family.parse::<u32>().expect("a number")));
    }
    assert_eq!(covered, (1..=30).collect());
}

#[test]
fn the_corpus_gets_the_right_platform_or_unknown() {
    let (plain, ipv6) = (rules(false), rules(true));
    let mut wrong = Vec::new();
    let mut case_count = 0;
    for (_, file) in files() {
        for case in &file.cases {
            let rules = if case.pods_ipv6_only { &ipv6 } else { &plain };
            let seen = match &case.resource {
                Some(resource) => run_telemetry(rules, case, resource),
                None => run_alert(rules, case),
            };
            wrong.extend(compare(case, &seen));
            case_count += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {case_count} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(case_count >= 330, "{case_count} cases");
}

/// Folders of payloads and what reads them; `anything` reads the others as well as it can.
const READ_BY: [(&str, &str); 5] = [
    ("alertmanager", "alertmanager"),
    ("grafana", "alertmanager"),
    ("prometheus-api", "alertmanager-api"),
    ("pagerduty-events-v2", "pagerduty"),
    ("otlp-logs", "otlp"),
];

const ANYTHING: &str = "anything";
/// Any JSON through a mapping that makes labels of the whole body.
const SAMPLE_SETTINGS: &str = r#"listen: "127.0.0.1:0"
store: "sqlite:tawny.db"
sources:
  - { name: anything, kind: json, auth: none, options: { title: [/detail-type, /title, /reason], labels: "" } }
sinks:
  - { name: console, kind: console }
"#;

/// What payloads say of themselves: a part of the file's path, and platform, service and cell.
const TOLD: [(&str, [&str; 3]); 10] = [
    ("alertmanager/captured-", ["eks", "", "prod-use1-c2"]),
    ("prometheus-api/prometheus-2.42-", ["eks", "", "prod-use1-c2"]),
    ("prometheus-api/vmalert-", ["eks", "", "prod-use1-c2"]),
    ("pagerduty-events-v2/alertmanager-", ["eks", "", "prod-use1-c2"]),
    ("pagerduty-events-v2/schema-", ["unknown", "", ""]),
    ("eventbridge-ecs/", ["ecs", "", ""]),
    ("eventbridge-cloudwatch/metric-", ["ec2", "", ""]),
    ("eventbridge-cloudwatch/composite-", ["unknown", "", ""]),
    ("kubernetes-events/", ["k8s", "", ""]),
    ("otlp-logs/", ["unknown", "my.service", ""]),
];

/// Writes a table of every payload to `target/samples-platform.md`.
#[test]
fn samples_of_real_senders_get_what_they_tell() {
    let samples = root().join("../shared/samples");
    if !samples.is_dir() {
        return;
    }
    let mut table = String::from(
        "| payload | platform | confidence | cluster | cell | service |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    let mut wrong = Vec::new();
    let mut told_count = 0;
    for path in sorted(&samples).into_iter().filter(|path| path.is_dir()).flat_map(|folder| sorted(&folder)) {
        let name = path.strip_prefix(&samples).expect("it lies there").to_string_lossy().into_owned();
        if name.contains(".headers.") {
            continue;
        }
        let folder = name.split('/').next().unwrap_or_default();
        let source = READ_BY.iter().find(|(known, _)| *known == folder).map_or(ANYTHING, |(_, source)| source);
        let told = TOLD.iter().find(|(part, _)| name.starts_with(part)).map(|(_, told)| told);
        let (decided, refusal) = explain(&path, source);
        if decided.is_empty() {
            table.push_str(&format!("| {name} | not read by `{source}`: {refusal} | | | | |\n"));
        }
        for decision in decided {
            let tag = |name: &str| decision["tags"][name]["value"].as_str().unwrap_or("").to_owned();
            let row = ["platform", "platform.confidence", "platform.cluster", "cell", "service"].map(tag);
            table.push_str(&format!("| {name} | {} |\n", row.join(" | ")));
            let Some(told) = told else { continue };
            told_count += 1;
            let [platform, _, _, cell, service] = &row;
            for (told, found) in told.iter().zip([platform, service, cell]) {
                if !told.is_empty() && told != found {
                    wrong.push(format!("{name}: `{found}`, not `{told}`"));
                }
            }
        }
    }
    fs::write(root().join("target/samples-platform.md"), &table).expect("the folder of builds can be written");
    assert!(wrong.is_empty(), "{}\n{table}", wrong.join("\n"));
    assert!(told_count >= 30, "{told_count} decisions that a payload tells\n{table}");
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of samples can be read");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The alerts of a payload, or the resources of telemetry; and where there are none, the reason.
fn explain(path: &Path, source: &str) -> (Vec<Value>, String) {
    let home = tempfile::tempdir().expect("a place for settings");
    if source == ANYTHING {
        fs::write(home.path().join("tawny.yaml"), SAMPLE_SETTINGS).expect("it can be written");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tawny"));
    command
        .arg("explain")
        .arg(path)
        .args(["--source", source, "--format", "json", "--rules"])
        .arg(root().join("rules"));
    let output = command.current_dir(home.path()).output().expect("the binary was built with this test");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let decided = if source == "otlp" { &value["resources"] } else { &value["alerts"] };
    let said = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("nothing in it").to_owned();
    let reason = value["rejects"][0]["reason"].as_str().map_or(said, str::to_owned);
    (decided.as_array().cloned().unwrap_or_default(), reason.replace('|', "/"))
}
