//! The settings of the span road: where OTLP is taken, what is said about it, where it goes. Checked like all
//! others before anything starts.

mod names;
mod unsent;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Loaded, OneOrMany, SettingsError, SinkPlan, parse_bytes, parse_span};
use crate::io::secrets::{LiveSecret, SecretRef};
use crate::io::spans::door::{Origins, Tls};
use crate::io::spans::routes::SpanRoutes;
use crate::model::{Existing, TagName};
use crate::otlp::json;
use crate::settings::SecretsPolicy;

const DEFAULT_GRPC: [&str; 2] = ["127.0.0.1:4317", "[::1]:4317"];
const DEFAULT_HTTP: [&str; 2] = ["127.0.0.1:4318", "[::1]:4318"];

/// The section `otlp`: the doors.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpSettings {
    /// Both ports take both protocols. Loopback when absent; an empty list closes the door.
    pub grpc: Option<OneOrMany>,
    pub http: Option<OneOrMany>,
    /// `{ env: NAME }` or `{ file: PATH }`: senders must show it as a bearer token.
    pub token: Option<serde_json::Value>,
    /// PEM files; with both, the doors take nothing but TLS.
    pub tls_certificate: String,
    pub tls_key: String,
    /// In front of `/v1/traces` and its like.
    pub path_prefix: String,
    /// Origins whose pages may send from a browser; `*` for all.
    pub cors_origins: Vec<String>,
    pub json: json::Mode,
    /// The largest request, before and after inflation.
    pub request_bytes: String,
    /// Memory of requests held at once, in doors and queues together, with what handling them takes.
    pub in_flight_bytes: String,
    pub connections: usize,
    /// A connection is asked to end at this age, so that clients spread anew; `0s` never.
    pub connection_age: String,
    /// One on which nothing is asked for so long is closed.
    pub idle: String,
}

/// The section `spans`: what happens to telemetry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpanSettings {
    /// Names of sinks that take telemetry, for what no route says otherwise. The first one's answer counts.
    pub to: OneOrMany,
    pub routes: Vec<SpanRouteEntry>,
    pub durability: Durability,
    /// An identical block of spans is not sent again within this time; `0s` switches that off.
    pub resend_window: String,
    pub attribute_prefix: String,
    /// Tag to attribute name, where it is not prefix and tag; an empty name leaves the tag out.
    pub attributes: BTreeMap<String, String>,
    /// What becomes of an attribute that has the name already.
    pub existing: Existing,
    pub spool_dir: String,
    pub spool_bytes: String,
}

/// One entry of `spans.routes`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SpanRouteEntry {
    #[serde(default)]
    pub owner: Vec<String>,
    #[serde(default)]
    pub service: Vec<String>,
    #[serde(default)]
    pub env: Vec<String>,
    /// An empty list sends what fits to nobody; that must be said.
    pub to: Vec<String>,
}

/// When a sender of telemetry is told that it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// When the first sink has taken it; its refusal is passed on.
    Through,
    /// When it is queued.
    #[default]
    Memory,
    /// When it is on disk.
    Spool,
}

impl Default for OtlpSettings {
    fn default() -> OtlpSettings {
        OtlpSettings {
            grpc: None,
            http: None,
            token: None,
            tls_certificate: String::new(),
            tls_key: String::new(),
            path_prefix: String::new(),
            cors_origins: Vec::new(),
            json: json::Mode::Lenient,
            request_bytes: "64MiB".to_owned(),
            in_flight_bytes: "144MiB".to_owned(),
            connections: 1024,
            connection_age: "30m".to_owned(),
            idle: "5m".to_owned(),
        }
    }
}

impl Default for SpanSettings {
    fn default() -> SpanSettings {
        SpanSettings {
            to: OneOrMany::Many(Vec::new()),
            routes: Vec::new(),
            durability: Durability::Memory,
            resend_window: "60s".to_owned(),
            attribute_prefix: "tawny.".to_owned(),
            attributes: BTreeMap::new(),
            existing: Existing::Replace,
            spool_dir: "data/spool".to_owned(),
            spool_bytes: "1GiB".to_owned(),
        }
    }
}

/// The span road as it runs.
pub struct SpanRoadPlan {
    /// Each with whether nobody chose it: a default address may be taken or missing on the host.
    pub listen: Vec<(SocketAddr, bool)>,
    pub token: Option<LiveSecret>,
    pub tls: Option<Tls>,
    pub path_prefix: String,
    pub cors_origins: Origins,
    pub json: json::Mode,
    pub request_bytes: usize,
    /// Without what is kept back for handling them.
    pub in_flight_bytes: usize,
    pub connections: usize,
    pub connection_age: Option<Duration>,
    pub idle: Duration,
    /// Names of the sinks, in the order of the bits of a `SinkSet`.
    pub sinks: Vec<String>,
    pub routes: SpanRoutes,
    pub durability: Durability,
    pub resend_window: Duration,
    /// Tags that are told, and the name of each.
    pub attributes: Vec<(TagName, String)>,
    pub existing: Existing,
    pub spool_dir: std::path::PathBuf,
    pub spool_bytes: u64,
    /// What is allowed and may still surprise.
    pub warnings: Vec<SettingsError>,
}

pub(super) fn resolve(
    loaded: &Loaded,
    secrets: SecretsPolicy,
    plans: &[SinkPlan],
) -> Result<SpanRoadPlan, SettingsError> {
    let otlp = &loaded.settings.otlp;
    let spans = &loaded.settings.spans;
    let mut listen = addresses(loaded, "otlp.grpc", otlp.grpc.as_ref(), DEFAULT_GRPC)?;
    listen.extend(addresses(loaded, "otlp.http", otlp.http.as_ref(), DEFAULT_HTTP)?);
    let (sinks, routes) = names::routes(loaded)?;
    let warnings = unsent::warnings(loaded, plans);
    let age = duration(loaded, "otlp.connection_age", &otlp.connection_age)?;
    let request_bytes = bytes(loaded, "otlp.request_bytes", &otlp.request_bytes)?;
    let in_flight_bytes = booked(bytes(loaded, "otlp.in_flight_bytes", &otlp.in_flight_bytes)?);
    let spool_bytes = bytes(loaded, "spans.spool_bytes", &spans.spool_bytes)?;
    holds_a_request(loaded, ("otlp.in_flight_bytes", "two and a quarter times"), in_flight_bytes, request_bytes)?;
    if spans.durability == Durability::Spool {
        holds_a_request(loaded, ("spans.spool_bytes", "twice"), spool_bytes, request_bytes)?;
    }
    Ok(SpanRoadPlan {
        listen,
        token: token(loaded, secrets)?,
        tls: tls(loaded, secrets)?,
        path_prefix: path_prefix(loaded)?,
        cors_origins: cors_origins(loaded)?,
        json: otlp.json,
        request_bytes,
        in_flight_bytes,
        connections: connections(loaded)?,
        connection_age: (!age.is_zero()).then_some(age),
        idle: idle(loaded)?,
        sinks,
        routes,
        durability: spans.durability,
        resend_window: duration(loaded, "spans.resend_window", &spans.resend_window)?,
        attributes: names::attributes(loaded)?,
        existing: spans.existing,
        spool_dir: spans.spool_dir.clone().into(),
        spool_bytes: spool_bytes as u64,
        warnings,
    })
}

fn fault(loaded: &Loaded, key: &str, message: String, hint: &str) -> SettingsError {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    SettingsError { place: loaded.place.of_top(key), message: format!("`{key}`: {message}"), hint }
}

fn addresses(
    loaded: &Loaded,
    key: &str,
    written: Option<&OneOrMany>,
    default: [&str; 2],
) -> Result<Vec<(SocketAddr, bool)>, SettingsError> {
    let Some(written) = written else {
        let parse = |text: &str| (text.parse().expect("the defaults are addresses"), true);
        return Ok(default.map(parse).to_vec());
    };
    let parse = |text: String| {
        let hint = "write `[::]:4317` for all, `127.0.0.1:4317` for this machine";
        let address = text.parse().map_err(|_| fault(loaded, key, format!("`{text}` is not an address"), hint))?;
        Ok((address, false))
    };
    written.to_vec().into_iter().map(parse).collect()
}

fn token(loaded: &Loaded, secrets: SecretsPolicy) -> Result<Option<LiveSecret>, SettingsError> {
    let Some(written) = &loaded.settings.otlp.token else { return Ok(None) };
    let place = SecretRef::from_json(written).ok_or_else(|| {
        let hint = "write `token: { env: NAME }` or `token: { file: PATH }`";
        fault(loaded, "otlp.token", "a secret is never written in the settings".to_owned(), hint)
    })?;
    if secrets == SecretsPolicy::Ignored {
        return Ok(None);
    }
    LiveSecret::open(place).map(Some).map_err(|cause| fault(loaded, "otlp.token", cause.to_string(), ""))
}

fn tls(loaded: &Loaded, secrets: SecretsPolicy) -> Result<Option<Tls>, SettingsError> {
    let OtlpSettings { tls_certificate, tls_key, .. } = &loaded.settings.otlp;
    let missing = |key: &str, other: &str| {
        let message = format!("proves nothing without `{key}`");
        fault(loaded, other, message, &format!("write both, or leave `{other}` out"))
    };
    match (tls_certificate.as_str(), tls_key.as_str()) {
        ("", "") => Ok(None),
        (_, "") => Err(missing("otlp.tls_key", "otlp.tls_certificate")),
        ("", _) => Err(missing("otlp.tls_certificate", "otlp.tls_key")),
        _ if secrets == SecretsPolicy::Ignored => Ok(None),
        (certificate, key) => {
            let opened = Tls::open(certificate.as_ref(), key.as_ref());
            opened.map(Some).map_err(|cause| {
                let key = if cause.is_about_the_key() { "otlp.tls_key" } else { "otlp.tls_certificate" };
                fault(loaded, key, cause.to_string(), "")
            })
        }
    }
}

fn duration(loaded: &Loaded, key: &str, text: &str) -> Result<Duration, SettingsError> {
    parse_span(text).ok_or_else(|| fault(loaded, key, format!("`{text}` is not a duration"), "write `30s` or `5m`"))
}

fn connections(loaded: &Loaded) -> Result<usize, SettingsError> {
    match loaded.settings.otlp.connections {
        0 => Err(fault(loaded, "otlp.connections", "a door for nobody".to_owned(), "`grpc: []` closes a door")),
        count => Ok(count),
    }
}

fn idle(loaded: &Loaded) -> Result<Duration, SettingsError> {
    let text = &loaded.settings.otlp.idle;
    let idle = duration(loaded, "otlp.idle", text)?;
    if idle.is_zero() {
        let message = format!("`{text}`: every connection would be closed at once");
        return Err(fault(loaded, "otlp.idle", message, "write `5m`, or `1d` for hardly ever"));
    }
    Ok(idle)
}

/// Without its last slash. A path that no request can have would be a door that nobody finds.
fn path_prefix(loaded: &Loaded) -> Result<String, SettingsError> {
    let prefix = loaded.settings.otlp.path_prefix.trim_end_matches('/');
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    if prefix.is_empty() || prefix.starts_with('/') && prefix.bytes().all(is_path) {
        return Ok(prefix.to_owned());
    }
    Err(fault(loaded, "otlp.path_prefix", format!("`{prefix}` is no path"), "write `/otlp`"))
}

/// As browsers write them, because they are compared with what browsers send.
fn cors_origins(loaded: &Loaded) -> Result<Origins, SettingsError> {
    let written = &loaded.settings.otlp.cors_origins;
    let is_host = |host: &str| {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_[]:".contains(&byte);
        !host.is_empty() && host.bytes().all(is_part)
    };
    let is_origin = |origin: &str| match origin.split_once("://") {
        Some(("http", host)) => is_host(host) && !host.ends_with(":80"),
        Some(("https", host)) => is_host(host) && !host.ends_with(":443"),
        // Of extensions and of applications around a browser.
        Some((scheme, host)) => is_host(scheme) && is_host(host),
        None => origin == "*",
    };
    match written.iter().find(|origin| !is_origin(origin)) {
        None => Ok(Origins::of(written.clone())),
        Some(origin) => {
            let hint =
                "write `https://app.example.com` in lower case, without a path and without the usual port, or `*`";
            Err(fault(loaded, "otlp.cors_origins", format!("`{origin}` is no origin"), hint))
        }
    }
}

fn bytes(loaded: &Loaded, key: &str, text: &str) -> Result<usize, SettingsError> {
    parse_bytes(text)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| fault(loaded, key, format!("`{text}` is not a size"), "write `64MiB` or `1GiB`"))
}

/// What of the memory for requests is given to requests. The rest is for what no request can be charged with: buffers of
/// connections, encoders, and what the allocator has not given back.
const fn booked(in_flight_bytes: usize) -> usize {
    in_flight_bytes - in_flight_bytes / 9
}

/// The largest request must fit twice: as it came and as it goes on. Where it does not, its sender would be asked to
/// come back for ever.
fn holds_a_request(
    loaded: &Loaded,
    (key, times): (&str, &str),
    bytes: usize,
    request_bytes: usize,
) -> Result<(), SettingsError> {
    if bytes / 2 >= request_bytes {
        return Ok(());
    }
    let message = format!("must be at least {times} `otlp.request_bytes`, which is {request_bytes} bytes");
    Err(fault(loaded, key, message, "raise the one, or lower the other"))
}
