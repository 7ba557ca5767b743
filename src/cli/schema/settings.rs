//! The settings as JSON Schema. Keys and defaults are read from the types themselves; only the words for people and
//! the keys of each kind of sink are kept here, and tests hold them against the program.

use serde_json::{Map, Value, json};

use crate::model::State;
use crate::rules::schema::root_schema;
use crate::settings::Settings;
use crate::sinks::{PLAN_KEYS, SINK_KINDS};
use crate::sources::SOURCES;

/// What a key means, where its name does not say it.
const ABOUT: [(&str, &str); 49] = [
    ("listen", "Address, or list of addresses, for people and alerts."),
    ("store", "Where decisions are kept: `sqlite:PATH`."),
    ("rules", "Folder of rule files."),
    ("rules_refused_for", "Rules that were refused for so long are an alert."),
    ("sources", "Who may send."),
    ("sinks", "Who is told."),
    ("limits", "What a request may cost."),
    ("limits.header_seconds", "Seconds until the head of a request must be complete."),
    ("limits.body_seconds", "Seconds until its body must be complete."),
    ("limits.connections", "Open connections per address."),
    ("limits.in_flight_bytes", "Bytes of bodies held at once, inflated."),
    ("limits.shutdown_seconds", "Seconds that a stop may take."),
    ("retention", "How long and how much is kept."),
    ("retention.age", "How long journal, rejects, settled deliveries and closed incidents are kept."),
    ("retention.bytes", "Size of the store above which the oldest entries go."),
    ("log", "Our own log, on standard error."),
    ("log.format", "`auto`, `human` or `json`."),
    ("log.filter", "A level, or a filter such as `tawny=debug,warn`."),
    ("otlp", "Where telemetry is taken. Both ports take gRPC, HTTP with protobuf, and HTTP with JSON."),
    ("otlp.grpc", "Address, or list of addresses; an empty list closes the door."),
    ("otlp.http", "Address, or list of addresses; an empty list closes the door."),
    ("otlp.token", "Senders must show it as a bearer token."),
    ("otlp.tls_certificate", "PEM file: the certificate of the doors, then its chain."),
    ("otlp.tls_key", "PEM file: its private key."),
    ("otlp.path_prefix", "In front of `/v1/traces` and its like; begins with `/`."),
    ("otlp.cors_origins", "Origins whose pages may send from a browser; `*` for all."),
    ("otlp.json", "Whether known mistakes of senders are mended or refused."),
    ("otlp.request_bytes", "The largest request, before and after inflation."),
    ("otlp.in_flight_bytes", "Memory of requests held at once, inflated."),
    ("otlp.connections", "Open connections per address."),
    ("otlp.connection_age", "A connection is asked to end at this age; `0s` never."),
    ("otlp.idle", "A connection on which nothing happens for so long is closed."),
    ("spans", "What happens to telemetry."),
    ("spans.to", "Sinks for what no route says otherwise of; the first one decides the answer."),
    ("spans.routes", "The first whose lists all fit."),
    ("spans.durability", "When the sender is told that its request was taken."),
    ("spans.resend_window", "An identical block of spans is sent on once in this time; `0s` switches that off."),
    ("spans.attribute_prefix", "In front of the tags in Resource attributes."),
    ("spans.attributes", "Tag to attribute name; an empty name leaves the tag out."),
    ("spans.existing", "What becomes of an attribute that has the name already."),
    ("spans.spool_dir", "What `spool` keeps on disk."),
    ("spans.spool_bytes", "And how much of it."),
    ("sources[].name", "Part of the address `/in/NAME`."),
    ("sources[].auth", "`none`: no token although the address is not loopback."),
    ("sources[].constants", "Labels that the payload may lack."),
    ("sources[].replica_labels", "Labels that only tell replicas of one sender apart."),
    ("sources[].holds_for", "After this a firing alert that nobody repeats is stale."),
    ("sources[].options", "Settings of the kind: the mapping of `json`."),
    ("sinks[].endpoint", "Replaces the vendor's address, for a proxy or a stand-in."),
];

/// The keys of each kind of sink, and which of them are always a secret.
const SINK_KEYS: [SinkKeys; 6] = [
    SinkKeys {
        kind: "pagerduty",
        own: &["routing_key", "region", "rate_per_minute", "in_flight"],
        shared: &[],
        secret: &["routing_key"],
    },
    SinkKeys {
        kind: "sentry",
        own: &["dsn", "in_flight", "in_app_include", "in_app_exclude"],
        shared: &[],
        secret: &["dsn"],
    },
    SinkKeys {
        kind: "honeycomb",
        own: &["api_key", "dataset", "region", "telemetry_dataset"],
        shared: &PLAN_KEYS,
        secret: &["api_key"],
    },
    SinkKeys { kind: "otlp", own: &["protocol", "headers"], shared: &PLAN_KEYS, secret: &[] },
    SinkKeys {
        kind: "webhook",
        own: &["url", "secret", "secret_previous", "headers", "in_flight"],
        shared: &[],
        secret: &["secret", "secret_previous"],
    },
    SinkKeys { kind: "console", own: &[], shared: &[], secret: &[] },
];

struct SinkKeys {
    kind: &'static str,
    own: &'static [&'static str],
    /// With the other kinds that take telemetry.
    shared: &'static [&'static str],
    secret: &'static [&'static str],
}

pub(super) fn json_schema() -> Value {
    let defaults = serde_json::to_value(Settings::default()).expect("settings are plain data");
    let mut properties = Map::new();
    for (key, value) in defaults.as_object().into_iter().flatten() {
        let property = match key.as_str() {
            "listen" => one_or_many(),
            "sources" => json!({ "type": "array", "items": source() }),
            "sinks" => json!({ "type": "array", "items": sink() }),
            _ => described(key, value),
        };
        properties.insert(key.clone(), about(key, property));
    }
    let secret = json!({
        "description": "Never the secret itself, but where it stands.",
        "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
        "properties": { "env": text(), "file": text() },
    });
    let mut schema = root_schema("Settings of Tawny", Map::from_iter([("secret".to_owned(), secret)]));
    schema["properties"] = Value::Object(properties);
    schema["additionalProperties"] = json!(false);
    schema
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn texts() -> Value {
    json!({ "type": "array", "items": text() })
}

fn one_or_many() -> Value {
    json!({ "anyOf": [text(), texts()] })
}

/// Where the default does not show the shape.
fn shaped(path: &str) -> Option<Value> {
    Some(match path {
        "otlp.grpc" | "otlp.http" | "spans.to" => one_or_many(),
        "otlp.cors_origins" => texts(),
        "otlp.token" => json!({ "$ref": "#/$defs/secret" }),
        "otlp.json" => json!({ "enum": ["lenient", "strict"], "default": "lenient" }),
        "otlp.connections" => json!({ "type": "integer", "minimum": 1, "default": 1024 }),
        "spans.durability" => json!({ "enum": ["through", "memory", "spool"], "default": "memory" }),
        "spans.existing" => json!({ "enum": ["replace", "keep"], "default": "replace" }),
        "spans.attributes" => json!({ "type": "object", "additionalProperties": text() }),
        "spans.routes" => {
            let route = json!({ "owner": texts(), "service": texts(), "env": texts(), "to": texts() });
            let route =
                json!({ "type": "object", "required": ["to"], "properties": route, "additionalProperties": false });
            json!({ "type": "array", "items": route })
        }
        _ => return None,
    })
}

fn about(key: &str, mut property: Value) -> Value {
    if let Some((_, words)) = ABOUT.iter().find(|(known, _)| *known == key) {
        property["description"] = json!(words);
    }
    property
}

/// By the shape of its default.
fn described(path: &str, default: &Value) -> Value {
    if let Some(shape) = shaped(path) {
        return shape;
    }
    match default {
        Value::Object(members) if !members.is_empty() => {
            let properties: Map<String, Value> = members
                .iter()
                .map(|(key, value)| {
                    let path = format!("{path}.{key}");
                    (key.clone(), about(&path, described(&path, value)))
                })
                .collect();
            json!({ "type": "object", "properties": properties, "additionalProperties": false })
        }
        Value::Number(number) => json!({ "type": "integer", "minimum": 0, "default": number }),
        // A size may be written as a bare number.
        Value::String(word) => json!({ "type": ["string", "integer"], "default": word }),
        Value::Bool(yes) => json!({ "type": "boolean", "default": yes }),
        // Without a default its shape is not known here.
        Value::Null | Value::Object(_) => json!({}),
        Value::Array(_) => json!({ "type": "array" }),
    }
}

/// The keys of the least entry that the types accept.
fn keys_of_an_entry(section: &str, kind: &str) -> Vec<String> {
    let entry = json!({ section: [{ "name": "a", "kind": kind }] });
    let settings: Settings = serde_json::from_value(entry).expect("name and kind are all that an entry needs");
    let written = serde_json::to_value(settings).expect("settings are plain data");
    written[section][0].as_object().map(|entry| entry.keys().cloned().collect()).unwrap_or_default()
}

fn source() -> Value {
    let kinds: Vec<&str> = SOURCES.iter().map(|source| source.kind()).collect();
    let mut properties = Map::new();
    for key in keys_of_an_entry("sources", "json") {
        let property = match key.as_str() {
            "kind" => json!({ "enum": kinds }),
            "token" => json!({ "$ref": "#/$defs/secret" }),
            "auth" => json!({ "enum": ["none"] }),
            "constants" => {
                json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
            }
            "replica_labels" => json!({ "type": "array", "items": text() }),
            "name" | "holds_for" => text(),
            "options" => json!({ "type": ["object", "null"], "properties": { "states": states() } }),
            _ => json!({}),
        };
        let path = format!("sources[].{key}");
        properties.insert(key, about(&path, property));
    }
    json!({ "type": "object", "required": ["name", "kind"], "properties": properties, "additionalProperties": false })
}

/// What the words of a `json` source may mean.
fn states() -> Value {
    let words = State::ALL.map(State::as_str);
    json!({ "type": "object", "additionalProperties": { "enum": words } })
}

fn sink() -> Value {
    let kinds: Vec<&str> = SINK_KINDS.iter().map(|kind| kind.kind()).collect();
    let common = Map::from_iter([
        ("name".to_owned(), text()),
        ("kind".to_owned(), json!({ "enum": kinds })),
        ("endpoint".to_owned(), about("sinks[].endpoint", text())),
    ]);
    let per_kind: Vec<Value> = SINK_KEYS
        .iter()
        .map(|SinkKeys { kind, own, shared, secret }| {
            let mut properties = common.clone();
            for key in own.iter().chain(*shared) {
                let property = if secret.contains(key) { json!({ "$ref": "#/$defs/secret" }) } else { json!({}) };
                properties.insert((*key).to_owned(), property);
            }
            json!({
                "if": { "properties": { "kind": { "const": kind } }, "required": ["kind"] },
                "then": {
                    "properties": properties, "additionalProperties": false,
                    // One header whose value is a secret.
                    "patternProperties": { "^headers\\..+$": { "$ref": "#/$defs/secret" } },
                },
            })
        })
        .collect();
    json!({ "type": "object", "required": ["name", "kind"], "properties": common, "allOf": per_kind })
}
