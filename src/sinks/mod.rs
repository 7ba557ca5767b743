//! Our notices to their requests, one file per kind. A sink says *what* to send (`encode`) and what the
//! answer meant (`judge`); it never retries, sleeps, counts or logs.

mod answer;
mod console;
mod headers;
mod honeycomb;
mod options;
mod otlp;
mod pagerduty;
mod sentry;
mod telemetry;
#[cfg(test)]
mod testkit;
mod webhook;
mod words;

use std::borrow::Cow;
use std::time::Duration;

use crate::model::{ErrorEvent, Notice, NoticeKind, Secret, Timestamp};

pub use telemetry::{Compression, PLAN_KEYS, Protocol, Reply, TelemetryAnswer, TelemetryPlan, TelemetrySink};

/// All kinds, in the order of the docs. A new sink is its file and two lines here.
pub static SINK_KINDS: &[&dyn SinkKind] =
    &[&pagerduty::Kind, &sentry::Kind, &honeycomb::Kind, &otlp::Kind, &webhook::Kind, &console::Kind];

pub fn sink_kind(kind: &str) -> Option<&'static dyn SinkKind> {
    SINK_KINDS.iter().copied().find(|known| known.kind() == kind)
}

/// A kind of sink: checks settings and makes sinks of them.
pub trait SinkKind: Send + Sync {
    /// The word in the settings.
    fn kind(&self) -> &'static str;

    /// One sentence for help and docs.
    fn about(&self) -> &'static str;

    /// Makes a sink of its settings. The error names the key; it never repeats a secret.
    fn build(&self, settings: SinkSettings) -> Result<Box<dyn Sink>, String>;

    /// The side that takes spans, log records and data points, for kinds that have one. Called with settings
    /// that `build` has taken.
    fn telemetry(&self, _settings: &SinkSettings) -> Option<Result<Box<dyn TelemetrySink>, String>> {
        None
    }
}

/// A sink's settings with the common keys taken out and secrets still unread.
#[derive(Clone, Debug)]
pub struct SinkSettings {
    pub name: String,
    /// Replaces the vendor's own address, so that a stand-in can be put in its place.
    pub endpoint: Option<String>,
    /// The remaining keys, without secrets.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// Names of the keys that hold secrets in this instance (`routing_key`, `dsn`, …).
    pub secret_names: Vec<String>,
}

/// Gives the present value of a secret: files are re-read when they change, so a sink asks at each encode.
pub trait Secrets {
    fn get(&self, name: &str) -> Option<Secret>;
}

/// Three numbers say how a sink wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Notices in one request.
    pub batch_count_max: usize,
    /// Requests in flight at once (different lanes).
    pub in_flight_max: usize,
    /// Requests per minute and credential, with `burst` at once; `None`: no limit is known.
    pub rate: Option<Rate>,
    /// How long a notice may be retried before it becomes a dead letter.
    pub deadline: Duration,
    /// How long one request may take.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_minute: u32,
    pub burst: u32,
}

/// What leaves.
pub enum Outgoing {
    Http(HttpRequest),
    /// Lines for standard output.
    Print(String),
    /// This sink has nothing to say for this notice (a change event to a sink without such a thing).
    Nothing,
}

/// A POST. `Debug` is left out on purpose: URL, headers and body may hold secrets.
pub struct HttpRequest {
    pub url: String,
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub body: Vec<u8>,
}

/// What came back, at most 64 KiB of it.
pub struct HttpAnswer<'a> {
    pub status: u16,
    pub retry_after: Option<&'a str>,
    /// `X-Sentry-Rate-Limits`.
    pub rate_limits: Option<&'a str>,
    pub body: &'a [u8],
    pub received_at: Timestamp,
}

/// What an answer meant for one notice (`sinks.md` §0.4). What never got an answer (connect, TLS, timeout)
/// is `Transient` or `Doubtful` and judged by io.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    Delivered,
    /// Delivered, and the credential asks for silence afterwards.
    DeliveredThenPause(Duration),
    /// Pause the credential; keep the notice.
    Throttled {
        retry_after: Option<Duration>,
    },
    /// Try again.
    Transient {
        reason: String,
    },
    /// No answer came, so it may have been taken, and the sink would show it twice: try again once.
    Doubtful {
        reason: String,
    },
    /// The credential or the target is at fault, not the notice: try slowly, raise an alarm.
    Blocked {
        reason: String,
    },
    /// The notice is at fault: dead letter.
    Rejected {
        reason: String,
    },
}

pub trait Sink: Send + Sync {
    fn kind(&self) -> &'static str;

    fn limits(&self) -> Limits;

    /// Whether there is anything to tell for notices of a kind. Those without are settled unasked, so that the
    /// others of a batch keep their places.
    fn says(&self, _kind: NoticeKind) -> bool {
        true
    }

    /// Whether a notice of a kind that arrives twice is shown twice: the sink has nothing by which it would know it again.
    fn shows_twice(&self, _kind: NoticeKind) -> bool {
        false
    }

    /// Whether the secrets have the form that requests need: a start must not wait for the first page to find out.
    fn check_secrets(&self, _secrets: &dyn Secrets) -> Result<(), EncodeError> {
        Ok(())
    }

    /// One request for these notices (at most `limits().batch_count_max`, all of different lanes). `now` is
    /// the moment of the attempt: some formats want it in the request.
    fn encode(&self, notices: &[&Notice], secrets: &dyn Secrets, now: Timestamp) -> Result<Outgoing, EncodeError>;

    /// One judgement per notice of the request, in the same order.
    fn judge(&self, answer: &HttpAnswer<'_>, notice_count: usize) -> Vec<Judgement>;

    /// For sinks that also take the exceptions which telemetry tells of.
    fn errors(&self) -> Option<&dyn ErrorSink> {
        None
    }
}

/// The part of a sink that takes exceptions, one a request. Its answers are judged by [`Sink::judge`].
pub trait ErrorSink: Send + Sync {
    /// `now` is the moment of the attempt. `lost` is told to the sink with it: what was dropped before it could be
    /// sent.
    fn encode_error(
        &self,
        event: &ErrorEvent,
        lost: &[Lost],
        secrets: &dyn Secrets,
        now: Timestamp,
    ) -> Result<HttpRequest, EncodeError>;
}

/// Exceptions that the sink never saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub why: LostWhy,
    pub count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostWhy {
    /// The queue was full.
    Overflow,
    /// The sink had asked for silence.
    RateLimited,
    /// No answer came.
    Network,
    /// The sink did not take it.
    Refused,
}

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The file or variable is gone: the credential is at fault, not the notice.
    #[error("secret `{name}` is missing")]
    SecretMissing { name: &'static str },
    #[error("secret `{name}`: {reason}")]
    SecretBad { name: &'static str, reason: &'static str },
    #[error("{reason}")]
    Unencodable { reason: String },
}
