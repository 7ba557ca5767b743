//! What a sink of telemetry is: where requests go, how they are packed, and what the answers mean. Never looks
//! inside a request, and never retries, sleeps, counts or logs.

use std::borrow::Cow;
use std::time::Duration;

use super::{EncodeError, Secrets, SinkSettings, options, otlp};
use crate::model::{Signal, Timestamp};

/// How requests are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/HTTP with protobuf bodies.
    Http,
    /// OTLP/gRPC; over `http://` with HTTP/2 from the first byte.
    Grpc,
}

/// How bodies are compressed. Requests with the same value may share one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    None,
    /// Levels 1 to 12.
    Gzip {
        level: u8,
    },
    /// Levels 1 to 19.
    Zstd {
        level: u8,
    },
}

impl Compression {
    /// As `Content-Encoding` and `grpc-encoding` call it.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip { .. } => Some("gzip"),
            Compression::Zstd { .. } => Some("zstd"),
        }
    }
}

/// The numbers of a sink of telemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryPlan {
    pub protocol: Protocol,
    pub compression: Compression,
    /// How long one request may take, its connection included.
    pub timeout: Duration,
    /// How long a request is tried again, from its first attempt.
    pub give_up_after: Duration,
    /// Inflated bytes that wait or are under way.
    pub queue_bytes_max: usize,
    /// Inflated bytes that requests which queued up are joined to.
    pub join_bytes_max: usize,
    /// Requests in flight at once.
    pub in_flight_max: usize,
    /// A compressed request with one Resource keeps the sender's blocks.
    pub graft: bool,
}

/// A full answer, with secrets masked in every text of the other side.
#[derive(Clone, Copy, Debug)]
pub struct TelemetryAnswer<'a> {
    pub status: u16,
    pub content_type: Option<&'a str>,
    pub retry_after: Option<&'a str>,
    /// `grpc-status`, `grpc-message` and `grpc-status-details-bin`, from the trailers or else the headers.
    pub grpc_status: Option<&'a str>,
    pub grpc_message: Option<&'a str>,
    pub grpc_details: Option<&'a str>,
    /// The message, inflated and without the prefix of gRPC, at most 64 KiB; `None`: nobody can read it.
    pub body: Option<&'a [u8]>,
    pub received_at: Timestamp,
}

/// What an answer meant by the rules of OTLP. A request that never got one is to be tried again, which io knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Taken,
    /// A success, and nobody can read what was said of it.
    Unread,
    /// Never to be sent again: `rejected` items are gone; 0 is a warning.
    Partly {
        rejected: u64,
        message: String,
    },
    /// Never to be sent again.
    Refused {
        http: u16,
        grpc: u8,
        reason: String,
        /// The request is at fault, not its sender: a part of it may be taken.
        is_about_data: bool,
    },
    NotNow {
        http: u16,
        grpc: u8,
        reason: String,
        retry_after: Option<Duration>,
    },
}

pub trait TelemetrySink: Send + Sync {
    fn plan(&self) -> &TelemetryPlan;

    fn accepts(&self, signal: Signal) -> bool;

    /// Where requests of a signal are posted; holds no secret.
    fn url(&self, signal: Signal) -> String;

    /// All headers besides those of the protocol (content type and encoding, `te`).
    fn headers(&self, signal: Signal, secrets: &dyn Secrets) -> Result<Vec<(Cow<'static, str>, String)>, EncodeError>;

    fn judge(&self, signal: Signal, answer: &TelemetryAnswer<'_>) -> Reply {
        match self.plan().protocol {
            Protocol::Http => otlp::judge::http(signal, answer),
            Protocol::Grpc => otlp::judge::grpc(signal, answer),
        }
    }
}

/// Options that every kind with a telemetry side takes.
pub const PLAN_KEYS: [&str; 9] = [
    "compression",
    "compression_level",
    "timeout_seconds",
    "give_up_seconds",
    "queue_bytes",
    "join_bytes",
    "in_flight",
    "signals",
    "graft",
];

/// The numbers as the options say.
pub(super) fn plan(settings: &SinkSettings, protocol: Protocol) -> Result<TelemetryPlan, String> {
    let level = |default, max| -> Result<u8, String> {
        let level = options::count(settings, "compression_level", default, max)?;
        Ok(u8::try_from(level).expect("no format has more than 22 levels"))
    };
    let compression = match options::choice(settings, "compression", &["gzip", "zstd", "none"])? {
        "zstd" => Compression::Zstd { level: level(1, 19)? },
        "none" if settings.options.contains_key("compression_level") => {
            return Err("`compression_level` has no meaning where `compression` is `none`".to_owned());
        }
        "none" => Compression::None,
        _ => Compression::Gzip { level: level(1, 12)? },
    };
    let graft = options::flag(settings, "graft")?;
    if graft && !matches!(compression, Compression::Gzip { .. }) {
        return Err("`graft` keeps blocks of gzip: it needs `compression: gzip`".to_owned());
    }
    let seconds = |key, default, max| -> Result<Duration, String> {
        Ok(Duration::from_secs(options::count(settings, key, default, max)?.into()))
    };
    Ok(TelemetryPlan {
        protocol,
        compression,
        timeout: seconds("timeout_seconds", 10, 3600)?,
        give_up_after: seconds("give_up_seconds", 300, 7 * 86_400)?,
        queue_bytes_max: options::count(settings, "queue_bytes", 16 << 20, u32::MAX)? as usize,
        join_bytes_max: options::count(settings, "join_bytes", 512 << 10, 64 << 20)? as usize,
        in_flight_max: options::count(settings, "in_flight", 4, 256)? as usize,
        graft,
    })
}

/// Of those that this kind of sink takes the ones in `signals`; all of them without it.
pub(super) fn signals(settings: &SinkSettings, taken: &[Signal]) -> Result<Vec<Signal>, String> {
    let known = || taken.iter().map(|signal| format!("`{}`", signal.as_str())).collect::<Vec<_>>().join(", ");
    let Some(words) = options::texts(settings, "signals")? else { return Ok(taken.to_vec()) };
    if words.is_empty() {
        return Err(format!("`signals` is empty: name some of {}", known()));
    }
    words
        .iter()
        .map(|word| {
            let signal = taken.iter().copied().find(|signal| signal.as_str() == *word);
            signal.ok_or_else(|| format!("`signals` names `{word}` (known: {})", known()))
        })
        .collect()
}
