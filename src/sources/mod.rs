//! Their bytes to our alerts, one file per kind. A source decodes and words its answer; it never waits,
//! stores or looks anything up.

mod alertmanager;
mod alertmanager_api;
mod flatten;
mod json;
mod node;
mod pagerduty;
mod prometheus;
#[cfg(test)]
mod tests;
mod times;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::model::{Alert, Labels, Timestamp};

/// All kinds, in the order of the docs. A new source is its file and two lines here.
pub static SOURCES: &[&dyn Source] =
    &[&alertmanager::Alertmanager, &alertmanager_api::AlertmanagerApi, &pagerduty::PagerDuty, &json::Json];

pub fn source_of_kind(kind: &str) -> Option<&'static dyn Source> {
    SOURCES.iter().copied().find(|source| source.kind() == kind)
}

/// Labels that tell replicas of one Prometheus apart, where the settings do not say otherwise.
pub const REPLICA_LABELS: [&str; 3] = ["replica", "prometheus_replica", "__replica__"];

/// One configured source, as its decoder may see it.
#[derive(Clone, Debug)]
pub struct Instance {
    pub name: String,
    pub kind: &'static str,
    /// Tags that the payload may not contain (account, region, cluster, environment); part of the identity.
    pub constants: Labels<'static>,
    /// Labels that tell replicas of one sender apart: dropped before hashing.
    pub replica_labels: Vec<String>,
    /// How long a firing word holds when the payload does not say.
    pub holds_for: Option<Duration>,
    /// Kind-specific settings (the mapping of `json`), checked by [`Source::check_options`].
    pub options: serde_json::Value,
}

/// A request as a decoder sees it: authenticated and inflated.
pub struct Request<'a> {
    /// Path behind the instance's own address, `""` or starting with `/`.
    pub path: &'a str,
    pub body: &'a [u8],
    /// Address family and port removed: one sender process is one peer.
    pub peer: &'a str,
    pub user_agent: &'a str,
    pub content_type: &'a str,
    pub received_at: Timestamp,
}

/// What a request contained.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    pub alerts: Vec<Alert<'a>>,
    /// Single alerts of a batch that could not be used; the others are not harmed.
    pub rejects: Vec<Reject>,
    /// Text for the answer where the sender reads one (PagerDuty's `dedup_key`).
    pub answer_key: Option<String>,
    /// Alerts that the sender left out of this message (Alertmanager's `max_alerts`).
    pub truncated_count: u64,
}

/// One alert that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Position in the sender's list, from 0.
    pub position: usize,
    /// Names the field and what is wrong with it, in one line.
    pub reason: String,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "alert {}: {}", self.position, self.reason)
    }
}

/// Why a whole request could not be used. Shown to the sender in one line.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is not JSON: {cause}")]
    NotJson { cause: String },
    #[error("the body is empty")]
    Empty,
    #[error("field `{field}` is missing")]
    Missing { field: &'static str },
    #[error("field `{field}`: {reason}")]
    Bad { field: Cow<'static, str>, reason: String },
    /// Several faults at once, for senders that read a list of them.
    #[error("{}", errors.join(ERROR_SEPARATOR))]
    Invalid { errors: Vec<String> },
    #[error("no such address: `{path}`")]
    NoSuchPath { path: String },
}

/// Between the faults of [`DecodeError::Invalid`].
const ERROR_SEPARATOR: &str = "; ";

/// Where the sender's credential stands.
pub enum Credential<'a> {
    /// `Authorization: Bearer`, or Basic (the password).
    Headers,
    /// In the body (PagerDuty's routing key). `None`: the body holds none.
    Body(Option<Cow<'a, str>>),
    /// Would stand in the body, which cannot be read: why.
    Unreadable(String),
}

/// What came of a request, for wording the answer.
pub enum Receipt<'a> {
    Taken {
        answer_key: Option<&'a str>,
        accepted_count: usize,
        rejects: &'a [Reject],
    },
    /// Undecodable, wrong credential, too large: never try again as it is.
    Refused {
        status: u16,
        reason: &'a str,
    },
    /// Overload, disk full, shutting down.
    NotNow {
        reason: &'a str,
    },
}

pub struct Answer {
    pub status: u16,
    /// Empty for an empty body.
    pub content_type: &'static str,
    pub body: String,
}

impl Answer {
    pub fn json(status: u16, body: &serde_json::Value) -> Answer {
        Answer { status, content_type: "application/json", body: body.to_string() }
    }

    /// One line of JSON that says why.
    pub fn error(status: u16, reason: &str) -> Answer {
        Answer::bounded(status, reason, |reason| serde_json::json!({ "error": reason }))
    }

    /// Senders copy the body of a refusal into their logs: the reason is shortened until all of it, escapes
    /// included, stays under 300 bytes.
    pub fn bounded(status: u16, reason: &str, body: impl Fn(&str) -> serde_json::Value) -> Answer {
        let mut bytes_max = REFUSAL_BYTES_MAX;
        loop {
            let answer = Answer::json(status, &body(&node::one_line(reason, bytes_max)));
            if answer.body.len() < REFUSAL_BYTES_MAX || bytes_max < 8 {
                return answer;
            }
            bytes_max -= bytes_max / 8;
        }
    }
}

/// A refusal's body is one line that a person can read in the sender's log.
const REFUSAL_BYTES_MAX: usize = 300;

pub trait Source: Send + Sync {
    /// The word in the settings.
    fn kind(&self) -> &'static str;

    /// One sentence for help and docs.
    fn about(&self) -> &'static str;

    /// Paths that reach this kind without an instance prefix.
    fn fixed_paths(&self) -> &'static [&'static str] {
        &[]
    }

    /// Largest inflated body, in bytes.
    fn body_bytes_max(&self) -> usize {
        1 << 20
    }

    fn credential<'a>(&self, _body: &'a [u8]) -> Credential<'a> {
        Credential::Headers
    }

    /// The header into which some senders put a credential that belongs into the body.
    fn key_header(&self) -> Option<&'static str> {
        None
    }

    /// The body with that credential in its place; `None` where it has one already, or has no place for it.
    fn with_key(&self, _body: &[u8], _key: &str) -> Option<Vec<u8>> {
        None
    }

    /// What of a body may be kept: all of it but the credential. Empty when that cannot be told apart.
    fn without_credential<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(body)
    }

    /// Checks the kind-specific settings; the error names the key.
    fn check_options(&self, options: &serde_json::Value) -> Result<(), String> {
        match options.as_object() {
            Some(map) if map.is_empty() => Ok(()),
            None if options.is_null() => Ok(()),
            _ => Err(format!("sources of kind `{}` have no options", self.kind())),
        }
    }

    /// What the batch holds borrows from the body and from the instance.
    fn decode<'a>(&self, request: &Request<'a>, instance: &'a Instance) -> Result<Batch<'a>, DecodeError>;

    /// The answer in the form the sender expects at this path (as in [`Request::path`]); the default suits
    /// senders that read the status only.
    fn answer(&self, _path: &str, receipt: &Receipt<'_>) -> Answer {
        match receipt {
            Receipt::Taken { .. } => Answer::json(200, &serde_json::json!({})),
            Receipt::Refused { status, reason } => Answer::error(*status, reason),
            Receipt::NotNow { reason } => Answer::error(503, reason),
        }
    }

    /// Headers that a real sender of this kind would send, for `tawny send`.
    fn send_headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("content-type", "application/json")]
    }
}
