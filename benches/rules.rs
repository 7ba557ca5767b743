//! What one event costs when there are many rules: exact values, prefixes, globs and regular expressions in equal
//! parts over five labels, as services, cells and releases are named. Never asserts: it prints what it saw.
//!
//! `cargo bench --bench rules`. Single thread, the alert's tags made anew each time (no memo), medians of 15 rounds,
//! with the daemon's allocator.

#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tawny::io::spans::book::{Book, Telling};
use tawny::io::spans::routes::SpanRoutes;
use tawny::io::spans::tally::Tally;
use tawny::model::alert::Voice;
use tawny::model::{Alert, Existing, Identity, Labels, SenderId, Severity, State, TagName};
use tawny::otlp::wire::put_bytes;
use tawny::rules::{Memo, Origin, RuleSet, SourceFile, Stamped, Telemetry};
use tawny::stories::run_stories;

/// As in the daemon.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
const CALLS: u32 = 20_000;

/// The shipped rules, and `count` rules of one company.
fn rules(count: usize, forms: &[&str]) -> RuleSet {
    let mut text = "version: 1\nkind: services\nrules:\n".to_owned();
    for number in 0..count {
        let (label, value) = match forms[number % forms.len()] {
            "exact" => ("queue", format!("\"queue-{number}\"")),
            "prefix" => ("release", format!("{{ prefix: \"team-{number}-\" }}")),
            "glob" => ("host", format!("{{ glob: \"web-{number}-*-prod\" }}")),
            "suffix" => ("topic", format!("{{ suffix: \"-stream-{number}\" }}")),
            "regex" => ("shard", format!("{{ re: \"shard-{number}-(?<cell>c[0-9]+)\" }}")),
            other => panic!("unknown form {other}"),
        };
        writeln!(text, "  - {{ id: r{number}, when: {{ label.{label}: {value} }}, set: {{ severity: critical }} }}")
            .unwrap();
    }
    let mut files = RuleSet::built_in_files();
    files.push(SourceFile { name: "a-company.yaml".to_owned(), text });
    RuleSet::compile(&files).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

/// One of the company's rules of each form holds: the one in the middle.
fn alert(number: usize) -> Alert<'static> {
    let labels: Labels<'static> = [
        ("alertname", "HighErrorRate".to_owned()),
        ("service", "owl-service".to_owned()),
        ("cluster", "eks-prod-1".to_owned()),
        ("namespace", "owl".to_owned()),
        ("pod", "owl-service-7d4b9c8f6d-x2x9z".to_owned()),
        ("queue", format!("queue-{number}")),
        ("release", format!("team-{}-api", number + 1)),
        ("host", format!("web-{}-17-prod", number + 2)),
        ("shard", format!("shard-{}-c4", number + 3)),
        ("topic", format!("events-stream-{number}")),
        ("severity", "critical".to_owned()),
    ]
    .into_iter()
    .collect();
    Alert {
        identity: Identity([7; 16]),
        sender: SenderId(1),
        voice: Voice::Evaluator,
        state: State::Firing,
        starts_at: None,
        ends_at: None,
        holds_for: Duration::from_secs(300),
        severity: Severity::Critical,
        name: Cow::Borrowed("HighErrorRate"),
        title: Cow::Borrowed("Errors on owl-service"),
        labels,
        annotations: Labels::new(),
        fields: Labels::new(),
        links: Vec::new(),
    }
}

fn median(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            (0..CALLS).for_each(|_| call());
            began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn main() {
    let constants = Labels::new();
    let origin = Origin { kind: "alertmanager", instance: "bench", constants: &constants };
    let mixed: &[&str] = &["exact", "prefix", "glob", "regex"];
    let sets: [(&str, usize, &[&str]); 8] = [
        ("shipped only", 0, mixed),
        ("mixed", 1000, mixed),
        ("mixed", 5000, mixed),
        ("exact", 1000, &["exact"]),
        ("prefix", 1000, &["prefix"]),
        ("regex", 1000, &["regex"]),
        ("glob", 1000, &["glob"]),
        ("suffix", 1000, &["suffix"]),
    ];
    println!("rules beside the shipped ones | ns per decision | bar");
    for (what, count, forms) in sets {
        let rules = rules(count, forms);
        let alert = alert(count / 2);
        let cost = median(|| drop(black_box(rules.decide(black_box(&alert), origin))));
        let bar = if count > 1000 { "4000" } else { "2000" };
        println!("{count} {what} | {cost:.0} | {bar}");
    }
    known_in_the_batch(&rules(0, mixed), origin);
    of_telemetry(rules(1000, mixed), origin);
    reload(1000);
}

/// Alerts of one problem at many instances, as a batch brings them.
fn known_in_the_batch(rules: &RuleSet, origin: Origin<'_>) {
    let alerts: Vec<Alert<'_>> = (0..256)
        .map(|number| {
            let mut alert = alert(0);
            alert.labels.remove("pod");
            alert.labels.set("instance", format!("10.0.{}.{}:9090", number % 7, number));
            alert
        })
        .collect();
    let mut memo = Memo::default();
    let mut next = alerts.iter().cycle();
    let mut call = || drop(black_box(rules.decide_in_batch(black_box(next.next().unwrap()), origin, &mut memo)));
    println!("shipped only, another instance of what is known in the batch | {:.0} | -", median(&mut call));
}

/// A Resource as a pod on EKS has it.
const RESOURCE: [(&str, &str); 10] = [
    ("cloud.platform", "aws_eks"),
    ("cloud.account.id", "222222222222"),
    ("cloud.region", "us-east-1"),
    ("k8s.cluster.name", "eks-prod-1"),
    ("k8s.pod.name", "owl-service-7d4b9c8f6d-x2x9z"),
    ("k8s.pod.uid", "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff"),
    ("k8s.namespace.name", "owl"),
    ("host.name", "owl-service-7d4b9c8f6d-x2x9z"),
    ("service.name", "owl-service"),
    ("service.version", "1.42.0"),
];

fn of_telemetry(rules: RuleSet, origin: Origin<'_>) {
    let resource: Labels<'_> = RESOURCE.into_iter().collect();
    let telemetry = Telemetry { resource: &resource, server_span: None };
    let stamped = Stamped::default();
    let cost = median(|| drop(black_box(rules.tag_resource(black_box(telemetry), origin, &stamped))));
    println!("1000 mixed, a Resource seen for the first time | {cost:.0} | -");
    let mut message = Vec::new();
    for (name, value) in RESOURCE {
        let (mut any, mut attribute) = (Vec::new(), Vec::new());
        put_bytes(&mut any, 1, value.as_bytes());
        put_bytes(&mut attribute, 1, name.as_bytes());
        put_bytes(&mut attribute, 2, &any);
        put_bytes(&mut message, 1, &attribute);
    }
    let book = Book::new(Arc::new(rules), Arc::default());
    let attributes = TagName::ALL.map(|name| (name, format!("tawny.{}", name.as_str()))).to_vec();
    let telling = Telling { attributes, existing: Existing::Replace };
    let (routes, tally) = (SpanRoutes::default(), Tally::default());
    let cost = median(|| drop(black_box(book.look_up(black_box(&message), &telling, &routes, &tally).unwrap())));
    println!("1000 mixed, a Resource that is remembered | {cost:.0} | 150");
}

/// A company's rules with one test beside each, as files.
fn tested_rules(count: usize) -> Vec<SourceFile> {
    let mut rules = "version: 1\nkind: services\nrules:\n".to_owned();
    let mut tests = "version: 1\ntests:\n".to_owned();
    for number in 0..count {
        let (when, label) = match number % 4 {
            0 => (format!("label.queue: \"queue-{number}\""), format!("queue: queue-{number}")),
            1 => (format!("label.release: {{ prefix: \"team-{number}-\" }}"), format!("release: team-{number}-api")),
            2 => (format!("label.host: {{ glob: \"web-{number}-*-prod\" }}"), format!("host: web-{number}-17-prod")),
            _ => (
                format!("label.shard: {{ re: \"shard-{number}-(?<at>c[0-9]+)\" }}"),
                format!("shard: shard-{number}-c4"),
            ),
        };
        writeln!(
            rules,
            "  - {{ id: r{number}, when: {{ {when} }}, set: {{ runbook: \"https://x.example.com/{number}\" }} }}"
        )
        .unwrap();
        writeln!(
            tests,
            "  - name: rule {number}\n    given: {{ alert: {{ service: owl-service, labels: {{ {label} }} }} }}\n    expect: {{ runbook: {{ is: \"https://x.example.com/{number}\", by: r{number} }} }}"
        )
        .unwrap();
    }
    let mut files = RuleSet::built_in_files();
    files.push(SourceFile { name: "a-company.yaml".to_owned(), text: rules });
    files.push(SourceFile { name: "tests/a-company.yaml".to_owned(), text: tests });
    files
}

/// Everything of a reload but the reading of the disk and the swap of a pointer.
fn reload(count: usize) {
    let files = tested_rules(count);
    let mut rounds: Vec<[f64; 2]> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            let mut rules = RuleSet::compile(&files).unwrap_or_else(|faults| panic!("{}", faults[0]));
            rules.bind_sinks(&["pager".into()]).unwrap();
            let compiled = began.elapsed().as_secs_f64() * 1e3;
            let report = run_stories(&rules, &files);
            assert!(report.is_good(), "{}", report.wrongs().next().map(ToString::to_string).unwrap_or_default());
            [compiled, began.elapsed().as_secs_f64() * 1e3]
        })
        .collect();
    rounds.sort_by(|left, right| left[1].total_cmp(&right[1]));
    let [compiled, all] = rounds[ROUNDS / 2];
    println!("reload of {count} rules with {count} tests | {all:.1} ms, of which compiling {compiled:.1} ms | 100 ms");
}
