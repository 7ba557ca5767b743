//! From what people wrote to what runs: kinds looked up, secrets opened, guards decided. After this nothing
//! about the settings can be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{
    LimitSettings, Loaded, SettingsError, SinkEntry, SourceEntry, SpanRoadPlan, parse_bytes, parse_span, telemetry,
};
use crate::io::auth::{Guard, Strangers};
use crate::io::instance::Instance;
use crate::io::secrets::{LiveSecret, SecretRef, SecretSet};
use crate::model::Labels;
use crate::sinks::{Sink, SinkSettings, TelemetrySink, sink_kind};
use crate::sources::{self, SOURCES, Source, source_of_kind};
use crate::store::Retention;

/// Both families of this machine and nobody else.
const DEFAULT_LISTEN: [&str; 2] = ["127.0.0.1:9393", "[::1]:9393"];

/// Everything that the daemon needs to know.
pub struct Ready {
    pub listen: Vec<SocketAddr>,
    /// The address was not chosen by anybody: a host without one of the families may skip it.
    pub listen_is_default: bool,
    pub store: String,
    /// Rules that were refused for so long are an alert.
    pub rules_refused_for: Duration,
    pub instances: Vec<Instance>,
    pub sinks: Vec<SinkPlan>,
    pub limits: LimitSettings,
    pub retention: Retention,
    pub telemetry: SpanRoadPlan,
}

/// One configured sink.
pub struct SinkPlan {
    pub name: Arc<str>,
    pub sink: Box<dyn Sink>,
    pub secrets: SecretSet,
    /// Its other side, for kinds that take telemetry.
    pub telemetry: Option<TelemetrySetup>,
    /// And for kinds that take exceptions.
    pub errors: Option<ErrorSetup>,
}

/// A sink as exceptions see it.
pub struct ErrorSetup {
    pub sink: Box<dyn Sink>,
    pub secrets: SecretSet,
}

/// A sink as the span road sees it.
pub struct TelemetrySetup {
    pub sink: Box<dyn TelemetrySink>,
    /// Of its own, so that neither road waits for the other to read a file.
    pub secrets: SecretSet,
}

/// Whether secrets must be there. `explain` works without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretsPolicy {
    Required,
    Ignored,
}

pub fn resolve(loaded: &Loaded, secrets: SecretsPolicy) -> Result<Ready, SettingsError> {
    let settings = &loaded.settings;
    let listen = addresses(loaded)?;
    let is_loopback = listen.iter().all(|address| is_loopback(address.ip()));
    let instances = if settings.sources.is_empty() {
        default_instances(loaded, is_loopback)?
    } else {
        instances(loaded, is_loopback, secrets)?
    };
    let sinks = if settings.sinks.is_empty() {
        vec![sink_plan(loaded, &console(), secrets)?]
    } else {
        unique(loaded, "sinks", settings.sinks.iter().map(|entry| entry.name.as_str()))?;
        settings.sinks.iter().map(|entry| sink_plan(loaded, entry, secrets)).collect::<Result<_, _>>()?
    };
    let retention = Retention {
        age: age(loaded)?,
        bytes_max: parse_bytes(&settings.retention.bytes).filter(|bytes| *bytes > 0).ok_or_else(|| {
            top(
                loaded,
                "retention.bytes",
                format!("`{}` is not a size", settings.retention.bytes),
                "write `10GiB` or `500MiB`",
            )
        })?,
    };
    check_limits(loaded)?;
    let telemetry = telemetry::resolve(loaded, secrets, &sinks)?;
    let store = store_url(loaded)?;
    Ok(Ready {
        listen_is_default: settings.listen.is_none(),
        listen,
        store,
        rules_refused_for: span(loaded, "rules_refused_for", &settings.rules_refused_for)?,
        instances,
        sinks,
        limits: settings.limits.clone(),
        retention,
        telemetry,
    })
}

/// What is deleted at once was not kept.
fn age(loaded: &Loaded) -> Result<Duration, SettingsError> {
    let text = &loaded.settings.retention.age;
    let age = span(loaded, "retention.age", text)?;
    if age.is_zero() {
        let message = format!("`{text}`: nothing would be kept");
        return Err(top(loaded, "retention.age", message, "write `30d`"));
    }
    Ok(age)
}

/// With less nobody could ever send anything; a body may have half of the bytes.
fn check_limits(loaded: &Loaded) -> Result<(), SettingsError> {
    let LimitSettings { header_seconds, body_seconds, connections, in_flight_bytes, shutdown_seconds: _ } =
        &loaded.settings.limits;
    let least = [
        ("limits.header_seconds", *header_seconds, 1),
        ("limits.body_seconds", *body_seconds, 1),
        ("limits.connections", *connections as u64, 1),
        ("limits.in_flight_bytes", *in_flight_bytes as u64, 1 << 20),
    ];
    match least.into_iter().find(|(_, value, least)| value < least) {
        Some((key, value, least)) => {
            let message = format!("`{key}` is {value}: nobody could send anything");
            Err(top(loaded, key, message, &format!("write at least {least}")))
        }
        None => Ok(()),
    }
}

/// `sqlite:PATH`; another word would become the name of a file.
fn store_url(loaded: &Loaded) -> Result<String, SettingsError> {
    let store = &loaded.settings.store;
    let hint = "write `sqlite:data/tawny.db`";
    let path = store.strip_prefix("sqlite:").map(|path| path.trim_start_matches('/'));
    match path {
        Some(path) if path.starts_with(":memory:") => {
            Err(top(loaded, "store", "a store in memory would lose alerts".to_owned(), hint))
        }
        Some(path) if !path.is_empty() => Ok(store.clone()),
        _ if store.starts_with("postgres:") || store.starts_with("postgresql:") => {
            let message = "this version keeps its decisions in SQLite only".to_owned();
            Err(top(loaded, "store", message, hint))
        }
        // It may hold a password, so it is not repeated.
        _ => Err(top(loaded, "store", "`store` is no address of a SQLite file".to_owned(), hint)),
    }
}

fn top(loaded: &Loaded, key: &str, message: String, hint: &str) -> SettingsError {
    SettingsError { place: loaded.place.of_top(key), message, hint: Some(hint.to_owned()) }
}

fn addresses(loaded: &Loaded) -> Result<Vec<SocketAddr>, SettingsError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            top(
                loaded,
                "listen",
                format!("`{text}` is not an address"),
                "write `[::]:9393` for all, `127.0.0.1:9393` for this machine",
            )
        })
    };
    let written = match &loaded.settings.listen {
        Some(listen) => listen.to_vec(),
        None => DEFAULT_LISTEN.map(str::to_owned).to_vec(),
    };
    written.iter().map(parse).collect()
}

/// `::ffff:127.0.0.1` is IPv4 loopback as well.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn span(loaded: &Loaded, key: &str, text: &str) -> Result<Duration, SettingsError> {
    parse_span(text)
        .ok_or_else(|| top(loaded, key, format!("`{text}` is not a duration"), "write `30s`, `5m`, `3h` or `30d`"))
}

fn unique<'a>(loaded: &Loaded, section: &str, names: impl Iterator<Item = &'a str>) -> Result<(), SettingsError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(SettingsError {
                place: loaded.place.of(section, name, "name"),
                message: format!("two entries of `{section}` are called `{name}`"),
                hint: None,
            });
        }
    }
    Ok(())
}

/// An instance per kind, only for this machine.
fn default_instances(loaded: &Loaded, is_loopback: bool) -> Result<Vec<Instance>, SettingsError> {
    if !is_loopback {
        return Err(top(
            loaded,
            "listen",
            "no sources are configured, and the default ones have no authentication: they need a loopback address"
                .to_owned(),
            "add `sources:` with a `token:` each, or listen on `127.0.0.1:9393`",
        ));
    }
    let entry = |source: &dyn Source| SourceEntry {
        name: source.kind().to_owned(),
        kind: source.kind().to_owned(),
        token: None,
        auth: None,
        constants: Labels::new(),
        replica_labels: super::replica_labels(),
        holds_for: None,
        options: serde_json::Value::Null,
    };
    SOURCES.iter().map(|source| instance(loaded, &entry(*source), true, SecretsPolicy::Ignored)).collect()
}

fn instances(loaded: &Loaded, is_loopback: bool, secrets: SecretsPolicy) -> Result<Vec<Instance>, SettingsError> {
    let entries = &loaded.settings.sources;
    unique(loaded, "sources", entries.iter().map(|entry| entry.name.as_str()))?;
    entries.iter().map(|entry| instance(loaded, entry, is_loopback, secrets)).collect()
}

fn instance(
    loaded: &Loaded,
    entry: &SourceEntry,
    is_loopback: bool,
    secrets: SecretsPolicy,
) -> Result<Instance, SettingsError> {
    let wrong = |key: &str, message: String, hint: Option<String>| SettingsError {
        place: loaded.place.of("sources", &entry.name, key),
        message,
        hint,
    };
    if entry.name.is_empty() || !entry.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(wrong(
            "name",
            format!("`{}` cannot be part of an address", entry.name),
            Some("use letters, digits, `-`, `_`, `.`".to_owned()),
        ));
    }
    let source = source_of_kind(&entry.kind).ok_or_else(|| {
        let known: Vec<_> = SOURCES.iter().map(|source| source.kind()).collect();
        wrong(
            "kind",
            format!("unknown kind of source `{}`", entry.kind),
            Some(format!("known kinds: {}", known.join(", "))),
        )
    })?;
    let guard = guard(entry, is_loopback, secrets).map_err(|(key, message, hint)| wrong(key, message, hint))?;
    source.check_options(&entry.options).map_err(|message| wrong("options", message, None))?;
    let holds_for = match &entry.holds_for {
        Some(text) => {
            let hint = || Some("write `5m` or `24h`".to_owned());
            let span =
                parse_span(text).ok_or_else(|| wrong("holds_for", format!("`{text}` is not a duration"), hint()))?;
            if span.is_zero() {
                return Err(wrong(
                    "holds_for",
                    format!("`{text}`: an alert would be over as soon as it fires"),
                    hint(),
                ));
            }
            Some(span)
        }
        None => None,
    };
    let decoder = sources::Instance {
        name: entry.name.clone(),
        kind: source.kind(),
        constants: entry.constants.clone(),
        replica_labels: entry.replica_labels.clone(),
        holds_for,
        options: entry.options.clone(),
    };
    Ok(Instance { source, guard, strangers: Strangers::default(), decoder })
}

type Wrong = (&'static str, String, Option<String>);

fn guard(entry: &SourceEntry, is_loopback: bool, secrets: SecretsPolicy) -> Result<Guard, Wrong> {
    match (&entry.token, entry.auth.as_deref()) {
        (Some(_), Some(_)) => Err(("auth", "`token` and `auth` exclude each other".to_owned(), None)),
        (Some(token), None) => {
            let place = SecretRef::from_json(token).ok_or_else(|| {
                let hint = "write `token: { env: NAME }` or `token: { file: PATH }`".to_owned();
                ("token", "a secret is never written in the settings".to_owned(), Some(hint))
            })?;
            if secrets == SecretsPolicy::Ignored {
                return Ok(Guard::Open);
            }
            LiveSecret::open(place).map(Guard::Token).map_err(|cause| ("token", cause.to_string(), None))
        }
        (None, Some("none")) => Ok(Guard::Open),
        (None, Some(other)) => {
            Err(("auth", format!("unknown authentication `{other}`"), Some("the only word here is `none`".to_owned())))
        }
        (None, None) if is_loopback => Ok(Guard::Open),
        (None, None) => {
            let message = format!("source `{}` has no authentication, and the listener is not on loopback", entry.name);
            let hint = "add `token: { env: NAME }`, or say `auth: none` if that is what you want".to_owned();
            Err(("name", message, Some(hint)))
        }
    }
}

/// What runs when nobody chose a sink.
fn console() -> SinkEntry {
    SinkEntry { name: "console".to_owned(), kind: "console".to_owned(), endpoint: None, rest: serde_json::Map::new() }
}

fn sink_plan(loaded: &Loaded, entry: &SinkEntry, policy: SecretsPolicy) -> Result<SinkPlan, SettingsError> {
    let wrong = |key: &str, message: String| SettingsError {
        place: loaded.place.of("sinks", &entry.name, key),
        message: format!("sink `{}`: {message}", entry.name),
        hint: None,
    };
    let kind = sink_kind(&entry.kind).ok_or_else(|| {
        let known: Vec<_> = crate::sinks::SINK_KINDS.iter().map(|kind| kind.kind()).collect();
        SettingsError {
            hint: Some(format!("known kinds: {}", known.join(", "))),
            ..wrong("kind", format!("unknown kind of sink `{}`", entry.kind))
        }
    })?;
    let (options, places) = split_secrets(&entry.rest);
    let open_all = || match policy {
        SecretsPolicy::Ignored => Ok(SecretSet::default()),
        SecretsPolicy::Required => {
            let open = |(key, place): (&String, &SecretRef)| {
                // Of a secret inside a mapping the file shows the inner key alone.
                let written = key.rsplit_once('.').map_or(key.as_str(), |(_, inner)| inner);
                let secret = LiveSecret::open(place.clone()).map_err(|cause| wrong(written, cause.to_string()))?;
                Ok((key.clone(), secret))
            };
            places.iter().map(open).collect::<Result<_, _>>().map(SecretSet)
        }
    };
    let secrets = open_all()?;
    let secret_names = places.keys().cloned().collect();
    let settings = SinkSettings { name: entry.name.clone(), endpoint: entry.endpoint.clone(), options, secret_names };
    let fault = |message: String| {
        // The message names the key in back quotes first; of one inside a mapping the file shows the inner key.
        let key = message.split('`').nth(1).unwrap_or("");
        let key = key.rsplit_once('.').map_or(key, |(_, inner)| inner).to_owned();
        wrong(&key, message)
    };
    let sink = kind.build(settings.clone()).map_err(fault)?;
    if policy == SecretsPolicy::Required {
        sink.check_secrets(&secrets).map_err(|cause| fault(cause.to_string()))?;
    }
    let telemetry = match kind.telemetry(&settings) {
        Some(side) => Some(TelemetrySetup { sink: side.map_err(fault)?, secrets: open_all()? }),
        None => None,
    };
    let errors = match sink.errors() {
        Some(_) => Some(ErrorSetup { sink: kind.build(settings).map_err(fault)?, secrets: open_all()? }),
        None => None,
    };
    Ok(SinkPlan { name: Arc::from(entry.name.as_str()), sink, secrets, telemetry, errors })
}

/// Takes out what is `{ env: NAME }` or `{ file: PATH }`, by its key. One inside a mapping has both keys:
/// `headers: { x-api-key: { env: KEY } }` is the secret `headers.x-api-key`.
fn split_secrets(
    rest: &serde_json::Map<String, serde_json::Value>,
) -> (serde_json::Map<String, serde_json::Value>, BTreeMap<String, SecretRef>) {
    let mut options = serde_json::Map::new();
    let mut places = BTreeMap::new();
    for (key, value) in rest {
        if let Some(place) = SecretRef::from_json(value) {
            places.insert(key.clone(), place);
            continue;
        }
        let mut value = value.clone();
        if let Some(map) = value.as_object_mut() {
            map.retain(|inner, value| match SecretRef::from_json(value) {
                Some(place) => {
                    places.insert(format!("{key}.{inner}"), place);
                    false
                }
                None => true,
            });
        }
        options.insert(key.clone(), value);
    }
    (options, places)
}
