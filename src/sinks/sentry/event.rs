//! The envelope and the event inside. Never writes a field that Sentry's own normaliser would change.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::super::words::{self, Shown};
use super::deployment::Deployment;
use crate::model::{Incident, IncidentKey, Labels, Notice, NoticeKind, Severity, TagName, Timestamp};

const TITLE_CHARS_MAX: usize = 8192;
const TAG_CHARS_MAX: usize = 200;
/// Sentry shows tags in a column; a reader does not look at more.
const TAG_COUNT_MAX: usize = 20;
const ENVIRONMENT_CHARS_MAX: usize = 64;
const RELEASE_CHARS_MAX: usize = 200;
/// Relay allows 8192 bytes for the values of one context together, and a little for each of them. With this
/// much per text and per map no context comes near it.
pub(super) const TEXT_BYTES_MAX: usize = 1024;
pub(super) const MAP_BYTES_MAX: usize = 7500;
/// An older time is replaced by the server's own.
pub(super) const AGE_MAX: std::time::Duration = std::time::Duration::from_secs(29 * 86_400);

/// Headers, item headers and the event, separated by line feeds. `now` is the moment of the attempt: Sentry
/// computes the clock's drift from it.
pub(super) fn envelope(notice: &Notice, now: Timestamp) -> Vec<u8> {
    #[derive(Serialize)]
    struct Headers<'a> {
        event_id: &'a str,
        sent_at: Shown<Timestamp>,
        sdk: Sdk,
    }
    #[derive(Serialize)]
    struct ItemHeaders {
        #[serde(rename = "type")]
        kind: &'static str,
        /// In bytes.
        length: usize,
        content_type: &'static str,
    }
    let event_id = notice.delivery_id_hex();
    let event = event(notice, &event_id, now);
    let mut envelope = Vec::with_capacity(event.len() + 256);
    write(&mut envelope, &Headers { event_id: &event_id, sent_at: Shown(now), sdk: SDK });
    envelope.push(b'\n');
    write(&mut envelope, &ItemHeaders { kind: "event", length: event.len(), content_type: "application/json" });
    envelope.push(b'\n');
    envelope.extend_from_slice(&event);
    envelope
}

pub(super) fn write(bytes: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(bytes, value).expect("an event holds texts and numbers only");
}

/// Never the name of one of Sentry's own: the server changes its behaviour for those.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Sdk {
    name: &'static str,
    version: &'static str,
}

pub(super) const SDK: Sdk = Sdk { name: "tawny", version: words::VERSION };

#[derive(Serialize)]
struct Event<'a> {
    event_id: &'a str,
    timestamp: Shown<Timestamp>,
    platform: &'static str,
    level: &'static str,
    logger: &'static str,
    logentry: LogEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<Cow<'a, str>>,
    fingerprint: [Cow<'a, str>; 3],
    tags: Tags<'a>,
    contexts: Contexts<'a>,
    sdk: Sdk,
}

#[derive(Serialize)]
struct LogEntry {
    formatted: String,
}

#[derive(Serialize)]
struct Contexts<'a> {
    alert: AlertContext<'a>,
    /// Of the alert, in contexts of their own: the limit is one of contexts.
    labels: Map<'a>,
    annotations: Map<'a>,
    deployment: Deployment<'a>,
    tawny: Tawny<'a>,
}

#[derive(Serialize)]
struct AlertContext<'a> {
    name: Cow<'a, str>,
    status: &'static str,
    severity: &'static str,
    started_at: Shown<Timestamp>,
    origin: Cow<'a, str>,
}

#[derive(Serialize)]
struct Tawny<'a> {
    incident: Shown<IncidentKey>,
    dedup_key: String,
    reason: &'static str,
    sequence: u32,
    by: String,
    rules_revision: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<Cow<'a, str>>,
}

fn event(notice: &Notice, event_id: &str, now: Timestamp) -> Vec<u8> {
    let incident = &*notice.incident;
    // A rule may take a value from a label, and a label may be of any length.
    let text = |name| incident.tags.value(name).map(|value| words::clip_bytes(value, TEXT_BYTES_MAX));
    // A time in the future or long past would be replaced and marked as an error.
    let is_plausible = notice.at <= now && now.since(notice.at) < AGE_MAX;
    let event = Event {
        event_id,
        timestamp: Shown(if is_plausible { notice.at } else { now }),
        platform: "other",
        level: level(notice),
        logger: "tawny.alert",
        logentry: LogEntry { formatted: words::title(notice, TITLE_CHARS_MAX) },
        release: release(incident),
        environment: environment(incident),
        server_name: server_name(&incident.lead.labels),
        fingerprint: [
            "alert".into(),
            text(TagName::Class).unwrap_or_else(|| words::clip_bytes(words::alert_name(incident), TEXT_BYTES_MAX)),
            text(TagName::Service).unwrap_or("unknown".into()),
        ],
        tags: Tags(notice),
        contexts: Contexts {
            alert: AlertContext {
                name: words::clip_bytes(words::alert_name(incident), TEXT_BYTES_MAX),
                status: words::status(notice),
                severity: incident.severity.as_str(),
                started_at: Shown(words::began_at(incident)),
                origin: words::clip_bytes(words::origin(&incident.lead), TEXT_BYTES_MAX),
            },
            labels: Map(&incident.lead.labels),
            annotations: Map(&incident.lead.annotations),
            deployment: Deployment::of(&incident.tags, Some(&words::legs(incident)), None),
            tawny: Tawny {
                incident: Shown(incident.key),
                dedup_key: words::dedup_key(incident),
                reason: notice.reason.as_str(),
                sequence: notice.sequence,
                by: words::clip_bytes(&words::reasons(&incident.tags), 2 * TEXT_BYTES_MAX).into_owned(),
                rules_revision: words::clip_bytes(&incident.rules_revision, TEXT_BYTES_MAX),
                runbook: text(TagName::Runbook),
            },
        },
        sdk: SDK,
    };
    let mut bytes = Vec::with_capacity(4096);
    write(&mut bytes, &event);
    bytes
}

/// The words of Sentry; `warn` or `critical` would not do.
fn level(notice: &Notice) -> &'static str {
    match (notice.kind, notice.incident.severity) {
        (NoticeKind::Resolved, _) | (_, Severity::Info) => "info",
        (_, Severity::Warning) => "warning",
        (_, Severity::Error) => "error",
        (_, Severity::Critical) => "fatal",
    }
}

/// `service@version`, from labels that mean the version of the service and of nothing else.
fn release(incident: &Incident) -> Option<String> {
    const VERSIONS: [&str; 5] = [
        "service_version",
        "service.version",
        "app_kubernetes_io_version",
        "app.kubernetes.io/version",
        "label_app_kubernetes_io_version",
    ];
    let version = VERSIONS.iter().find_map(|name| incident.lead.labels.get(name))?;
    let service = incident.tags.value(TagName::Service)?;
    clean_release(&format!("{service}@{version}"))
}

/// With what Sentry refuses in a release replaced; one that is too long is none.
pub(super) fn clean_release(release: &str) -> Option<String> {
    let release = release.trim().replace(['/', '\\', '\n', '\r', '\t'], "-");
    let is_reserved = release.is_empty() || [".", "..", "latest"].iter().any(|word| release.eq_ignore_ascii_case(word));
    let is_kept = release.chars().count() <= RELEASE_CHARS_MAX && !release.chars().any(char::is_control);
    (is_kept && !is_reserved).then_some(release)
}

fn environment(incident: &Incident) -> Option<String> {
    clean_environment(incident.tags.value(TagName::Environment)?)
}

pub(super) fn clean_environment(environment: &str) -> Option<String> {
    let environment = environment.trim();
    let clean = |character: char| {
        if character.is_control() || ['/', '\\'].contains(&character) { '-' } else { character }
    };
    let environment: String = environment.chars().take(ENVIRONMENT_CHARS_MAX).map(clean).collect();
    (!environment.is_empty() && !environment.eq_ignore_ascii_case("none")).then_some(environment)
}

/// The host as Sentry's SDKs would have called it: the pod, the machine, the task.
fn server_name<'a>(labels: &'a Labels<'_>) -> Option<Cow<'a, str>> {
    let name = ["exported_pod", "pod", "host", "TaskId"].into_iter().find_map(|name| labels.get(name))?;
    tag_value(name)
}

/// The tags people filter by, then the labels of the alert.
struct Tags<'a>(&'a Notice);

/// Names that mean a field of the event in Sentry's search; a label of that name is told apart by a prefix.
const FIELDS: [&str; 18] = [
    "platform",
    "level",
    "logger",
    "transaction",
    "release",
    "title",
    "url",
    "user",
    "environment",
    "dist",
    "server_name",
    "message",
    "timestamp",
    "id",
    "issue",
    "project",
    "event_id",
    "culprit",
];

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let incident = &*self.0.incident;
        let tag = |name| incident.tags.value(name);
        let key = incident.key.to_string();
        let ours = [
            ("service", tag(TagName::Service)),
            ("owner", tag(TagName::Owner)),
            ("service.criticality", tag(TagName::Criticality)),
            ("cell", tag(TagName::Cell)),
            ("deploy.platform", tag(TagName::Platform)),
            ("alert.name", Some(words::alert_name(incident))),
            ("alert.severity", Some(incident.severity.as_str())),
            ("alert.status", Some(words::status(self.0))),
            ("runbook", tag(TagName::Runbook)),
            ("tawny.incident", Some(&*key)),
            ("tawny.reason", Some(self.0.reason.as_str())),
        ];
        let mut map = serializer.serialize_map(None)?;
        let mut written: Vec<Cow<'_, str>> = Vec::with_capacity(TAG_COUNT_MAX);
        let labels = incident.lead.labels.iter().map(|(name, value)| (tag_key(name), value));
        for (key, value) in ours.into_iter().filter_map(|(key, value)| Some((Cow::Borrowed(key), value?))).chain(labels)
        {
            // Of two equal keys Sentry takes the first, and so do we.
            if key.is_empty() || written.contains(&key) {
                continue;
            }
            if written.len() == TAG_COUNT_MAX {
                break;
            }
            if let Some(value) = tag_value(value) {
                map.serialize_entry(&key, &value)?;
                written.push(key);
            }
        }
        map.end()
    }
}

/// Sentry loses a key with any other character.
pub(super) fn tag_key(name: &str) -> Cow<'_, str> {
    let is_kept = |character: char| character.is_ascii_alphanumeric() || "_.:-".contains(character);
    if FIELDS.contains(&name) {
        Cow::Owned(format!("label.{name}"))
    } else if name.len() <= TAG_CHARS_MAX && name.chars().all(is_kept) {
        Cow::Borrowed(name)
    } else {
        let clean = |character: char| if is_kept(character) { character } else { '_' };
        Cow::Owned(name.chars().take(TAG_CHARS_MAX).map(clean).collect())
    }
}

/// One line of at most 200 characters; nothing if it is blank.
pub(super) fn tag_value(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim();
    if value.is_empty() {
        None
    } else if value.len() <= TAG_CHARS_MAX && !value.chars().any(char::is_control) {
        Some(Cow::Borrowed(value))
    } else {
        Some(Cow::Owned(words::clip(&words::one_line(value), TAG_CHARS_MAX).into_owned()))
    }
}

/// Labels or annotations under their own names, as many as a context may hold.
struct Map<'a>(&'a Labels<'static>);

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut room = MAP_BYTES_MAX;
        for (name, value) in self.0.iter().filter(|(name, _)| name.len() <= TAG_CHARS_MAX) {
            let value = words::clip_bytes(value, TEXT_BYTES_MAX);
            // Relay counts quotes and separators, and not the name; we count both.
            let bytes = name.len() + value.len() + 8;
            if bytes <= room {
                room -= bytes;
                map.serialize_entry(name, &value)?;
            }
        }
        map.end()
    }
}
