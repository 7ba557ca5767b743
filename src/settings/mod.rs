//! `tawny.yaml`, `TAWNY__SECTION__KEY` and flags, merged in this order, checked before anything starts. A wrong
//! setting stops the start with its file and line; a secret is never part of an error.

mod file;
mod locate;
mod resolve;
mod telemetry;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Labels;
use crate::telemetry::LogFormat;

pub use resolve::{ErrorSetup, Ready, SecretsPolicy, SinkPlan, TelemetrySetup, resolve};
pub use telemetry::{Durability, OtlpSettings, SpanRoadPlan, SpanRouteEntry, SpanSettings};

/// Everything that can be set, as written. [`resolve()`] turns it into what runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Addresses for people and alerts; loopback port 9393 when absent. Port 0 takes any free one.
    pub listen: Option<OneOrMany>,
    pub store: String,
    /// Folder of rule files; without one the built-in rules apply.
    pub rules: Option<PathBuf>,
    /// Rules that were refused for so long are an alert.
    pub rules_refused_for: String,
    pub sources: Vec<SourceEntry>,
    pub sinks: Vec<SinkEntry>,
    pub limits: LimitSettings,
    pub retention: RetentionSettings,
    pub log: LogSettings,
    pub otlp: OtlpSettings,
    pub spans: SpanSettings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: None,
            store: "sqlite:data/tawny.db".to_owned(),
            rules: None,
            rules_refused_for: "10m".to_owned(),
            sources: Vec::new(),
            sinks: Vec::new(),
            limits: LimitSettings::default(),
            retention: RetentionSettings::default(),
            log: LogSettings::default(),
            otlp: OtlpSettings::default(),
            spans: SpanSettings::default(),
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// One text may hold several with commas between them, which is all that the environment can say.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            OneOrMany::One(one) => one.split(',').map(|part| part.trim().to_owned()).collect(),
            OneOrMany::Many(many) => many.clone(),
        }
    }
}

/// One entry of `sources`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEntry {
    pub name: String,
    pub kind: String,
    /// `{ env: NAME }` or `{ file: PATH }`.
    #[serde(default)]
    pub token: Option<serde_json::Value>,
    /// `none` must be said where the listener is not on loopback.
    #[serde(default)]
    pub auth: Option<String>,
    /// Tags that the payload may not contain; part of the identity of each alert.
    #[serde(default, deserialize_with = "Labels::deserialize_owned")]
    pub constants: Labels<'static>,
    /// Labels that tell replicas of one sender apart.
    #[serde(default = "replica_labels")]
    pub replica_labels: Vec<String>,
    /// How long a firing alert holds when the payload does not say: `5m`, `24h`.
    #[serde(default)]
    pub holds_for: Option<String>,
    /// Settings of the kind (the mapping of `json`).
    #[serde(default)]
    pub options: serde_json::Value,
}

fn replica_labels() -> Vec<String> {
    crate::sources::REPLICA_LABELS.map(str::to_owned).to_vec()
}

/// One entry of `sinks`: the common keys, and the keys of its kind.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SinkEntry {
    pub name: String,
    pub kind: String,
    #[serde(default)]
    pub endpoint: Option<String>,
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// A request's head must be complete in this time, in seconds.
    pub header_seconds: u64,
    /// And its body in this.
    pub body_seconds: u64,
    /// Connections open at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Bodies held at once, inflated, in bytes; beyond it senders are asked to come back.
    pub in_flight_bytes: usize,
    /// How long a stop may take, in seconds, until what is left stays in the store.
    pub shutdown_seconds: u64,
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        LimitSettings {
            header_seconds: 10,
            body_seconds: 30,
            connections: 4096,
            in_flight_bytes: 64 << 20,
            shutdown_seconds: 20,
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSettings {
    /// Records, rejects, settled deliveries and closed incidents are kept this long.
    pub age: String,
    /// The store's size; above it the oldest records go first.
    pub bytes: String,
}

impl Default for RetentionSettings {
    fn default() -> RetentionSettings {
        RetentionSettings { age: "30d".to_owned(), bytes: "10GiB".to_owned() }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    pub format: LogFormat,
    /// `info`, `warn`, or a filter such as `tawny=debug,warn`.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { format: LogFormat::Auto, filter: "info".to_owned() }
    }
}

/// What the command line says; it wins.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub rules: Option<PathBuf>,
    pub store: Option<String>,
    pub listen: Option<String>,
}

/// A fault in the settings, with its place.
#[derive(Debug, thiserror::Error)]
#[error("{place}  {message}{}", hint.as_ref().map(|hint| format!("\n    {hint}")).unwrap_or_default())]
pub struct SettingsError {
    /// `tawny.yaml:14:9`, or `TAWNY__STORE`, or `--store`.
    pub place: String,
    pub message: String,
    pub hint: Option<String>,
}

/// The settings and the text they came from, for errors that are found later.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub place: locate::Places,
}

/// Reads and merges. Without a file (and without `--config`) the defaults apply.
pub fn load(flags: &Flags) -> Result<Loaded, SettingsError> {
    file::load(flags)
}

/// `250ms`, `30s`, `5m`, `3h`, `30d`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let count: u64 = text[..digits].parse().ok()?;
    let unit_ms: u64 = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(count.checked_mul(unit_ms)?))
}

/// `500MiB`, `10GiB`, or bare bytes.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let count: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    count.checked_mul(unit)
}
