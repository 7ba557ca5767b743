//! The OpenTelemetry SDKs of Python and Node export to the daemon; what arrives behind it is compared with what they
//! say they sent. Never skips: a machine without them cannot say that we work with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use crate::client::Client;
use crate::daemon::{Daemon, Home};
use crate::stand_in::StandIn;
use crate::stand_in::otlp::{Otlp, attribute};
use crate::stand_in::sentry::Sentry;
use crate::wait::until_true;

/// A runtime that starts cold on a loaded machine takes its time.
const SENDER_PATIENCE: Duration = Duration::from_secs(90);
const SPAN_COUNT: usize = 120;

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/sdks")
}

fn installed(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sdks").join(name);
    assert!(place.exists(), "{} is missing: scripts/test installs it", place.display());
    place
}

fn python(arguments: &[&str]) -> Command {
    let mut command = Command::new(installed("python/bin/python"));
    command.arg(tools().join("sender.py")).args(arguments);
    command
}

fn node(arguments: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.arg(tools().join("sender.mjs")).args(arguments).env("SENDER_MODULES", installed("node"));
    command
}

/// Runs a sender to its end and gives what it says it sent, by span id.
async fn run(mut command: Command) -> BTreeMap<String, Value> {
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("the task only runs a command");
    let output = output.expect("the sender can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the sender ended with {}: {errors}", output.status);
    let text = String::from_utf8(output.stdout).expect("it prints JSON");
    let spans = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("one object a line"));
    spans.map(|span| (span["span_id"].as_str().expect("an id").to_owned(), span)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn any(value: &AnyValue) -> Value {
    match &value.value {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(truth)) => json!(truth),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        Some(any_value::Value::ArrayValue(list)) => list.values.iter().map(any).collect(),
        other => panic!("the senders send no {other:?}"),
    }
}

/// JSON writes 3 and 3.0 alike in one language and not in another.
fn alike(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| alike(left, right))
        }
        _ => left == right,
    }
}

fn nanos(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).expect("nanoseconds")
}

fn compare(sent: &Value, span: &Span) {
    assert_eq!(sent["trace_id"], hex(&span.trace_id), "{sent}");
    assert_eq!(sent["parent_id"], hex(&span.parent_span_id), "{sent}");
    assert_eq!(sent["name"], span.name, "{sent}");
    assert_eq!(sent["kind"], span.kind, "{sent}");
    assert_eq!((nanos(&sent["start"]), nanos(&sent["end"])), (span.start_time_unix_nano, span.end_time_unix_nano));
    assert_eq!(sent["status"], span.status.as_ref().map_or(0, |status| status.code), "{sent}");
    let attributes = sent["attributes"].as_object().expect("a map");
    assert_eq!(attributes.len(), span.attributes.len(), "{sent}");
    for KeyValue { key, value, .. } in &span.attributes {
        let value = any(value.as_ref().expect("a value"));
        assert!(alike(&attributes[key], &value), "{key}: {} is not {value}", attributes[key]);
    }
    let events: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(sent["events"], json!(events));
}

fn assert_tagged(resource: &Resource, platform: &str) {
    for (key, value) in [
        ("tawny.platform", platform),
        ("tawny.platform.confidence", "conclusive"),
        ("tawny.service", "owl-service"),
        ("tawny.owner", "owl"),
        ("tawny.env", "production"),
        ("service.name", "owl-service"),
    ] {
        assert_eq!(attribute(resource, key), Some(value), "{key} in {resource:?}");
    }
    assert!(resource.attributes.iter().any(|held| held.key == "list"), "what was there stays");
}

async fn home_with(backend: &StandIn<Otlp>, sentry: &StandIn<Sentry>) -> Home {
    let mut home = Home::with_sinks(&format!(
        "  - {{ name: traces, kind: otlp, endpoint: \"{}\" }}\n  - {{ name: errors, kind: sentry, dsn: {{ env: SENTRY_DSN }} }}\n",
        backend.url()
    ));
    home.set_environment("SENTRY_DSN", &format!("http://0123456789abcdef@{}/7", sentry.address));
    let settings = std::fs::read_to_string(home.settings_path()).expect("it was written");
    home.write("tawny.yaml", &format!("{settings}spans: {{ to: [traces, errors] }}\n"));
    home
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_of_real_sdks_arrive_as_they_were_sent_and_tagged() {
    let backend = StandIn::start(Otlp::default()).await;
    let sentry = StandIn::start(Sentry::default()).await;
    let home = home_with(&backend, &sentry).await;
    let daemon = Daemon::start(&home).await;
    let [grpc, http] = daemon.telemetry_addresses();
    let (grpc, http) = (format!("http://{grpc}"), format!("http://{http}"));
    let count = SPAN_COUNT.to_string();
    let senders = [
        ("python over gRPC", "eks", python(&["grpc", &grpc, &count, "gzip"])),
        ("python over HTTP", "eks", python(&["http", &http, &count, "none"])),
        // Either port takes both.
        ("python over gRPC at the HTTP port", "eks", python(&["grpc", &http, &count, "none"])),
        ("node over gRPC", "ecs", node(&["grpc", &grpc, &count, "none"])),
        ("node over HTTP with protobuf", "ecs", node(&["proto", &http, &count, "gzip"])),
        ("node over HTTP with JSON", "ecs", node(&["json", &http, &count, "none"])),
    ];
    let mut sent_count = 0;
    for (what, platform, sender) in senders {
        let sent = run(sender).await;
        assert_eq!(sent.len(), 2 * SPAN_COUNT, "{what}");
        sent_count += sent.len();
        until_true(what, SENDER_PATIENCE, async || backend.role.spans().len() >= sent_count).await;
        let arrived: BTreeMap<String, (Resource, Span)> =
            backend.role.spans().into_iter().map(|(resource, span)| (hex(&span.span_id), (resource, span))).collect();
        for (id, sent) in &sent {
            let (resource, span) = arrived.get(id).unwrap_or_else(|| panic!("{what}: span {id} did not arrive"));
            compare(sent, span);
            assert_tagged(resource, platform);
        }
    }
    assert_eq!(backend.role.spans().len(), sent_count, "nothing came twice");
    assert_eq!(backend.role.refused(), [""; 0]);

    // Every tenth span and the third of it raised: 12 a sender, each trace of its own.
    let expected = 6 * SPAN_COUNT / 10;
    until_true("the exceptions at Sentry", SENDER_PATIENCE, async || sentry.role.events().len() >= expected).await;
    assert_eq!((sentry.role.events().len(), sentry.role.refused()), (expected, Vec::new()));
    for event in sentry.role.events() {
        let exception =
            event["exception"]["values"].as_array().and_then(|values| values.last()).expect("one exception");
        let frames = exception["stacktrace"]["frames"].as_array().expect("frames");
        // Oldest first: the frame that raised is the last.
        let last = frames.last().expect("some frames");
        assert_eq!(last["function"], "fly", "{event}");
        assert!(event.get("fingerprint").is_none(), "{event}");
        assert!(["eks", "ecs"].iter().any(|platform| event["tags"]["deploy.platform"] == *platform), "{event}");
    }
    read_by_relay(&sentry.role.events()).await;
    let client = Client::new();
    let metric = client.metric(daemon.address, "tawny_telemetry_items_total").await;
    assert_eq!(metric, Some(f64::from(u32::try_from(sent_count).expect("some hundred"))));
}

/// Sentry's own package reads and normalises each event without finding a fault.
async fn read_by_relay(events: &[Value]) {
    const SCRIPT: &str = r#"
import json, sys
from sentry_relay.processing import StoreNormalizer
events = json.load(sys.stdin)
faults = []
for event in events:
    normal = StoreNormalizer().normalize_event(event)
    found = json.dumps(normal.get("_meta", {}))
    if normal.get("errors") or '"err"' in found:
        faults.append([normal.get("errors"), found])
print(json.dumps(faults))
"#;
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(file.path(), serde_json::to_vec(events).expect("it is JSON")).expect("it can be written");
    let input = std::fs::File::open(file.path()).expect("it was written");
    let mut command = Command::new(installed("python/bin/python"));
    command.args(["-c", SCRIPT]).stdin(input);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("the task only runs a command");
    let output = output.expect("python can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[]");
}
