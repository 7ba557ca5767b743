//! Sentry, envelopes (develop.sentry.dev/sdk/foundations/transport): each transition of an incident is one
//! event of one issue. Never sends what Sentry would accept and then damage: all limits are kept here.
//!
//! | our notice | their event |
//! | --- | --- |
//! | opened, changed | level by severity |
//! | resolved | level `info` |
//! | reminder, event | nothing: neither is news to an issue |
//! | exception of telemetry | an error of the issue that its own stack trace makes |

mod deployment;
mod dsn;
mod error;
mod error_context;
#[cfg(test)]
mod error_tests;
mod event;
mod in_app;
mod quota;

use std::time::Duration;

use in_app::InApp;

use super::answer::{default_judgement, only, reason};
use super::{
    EncodeError, ErrorSink, HttpAnswer, HttpRequest, Judgement, Limits, Lost, Outgoing, Secrets, Sink, SinkKind,
    SinkSettings, options, words,
};
use crate::model::{ErrorEvent, Notice, NoticeKind, Timestamp};

pub(super) struct Kind;

const DSN: &str = "dsn";
/// When Sentry says 429 and not for how long.
const THROTTLED_PAUSE: Duration = Duration::from_secs(60);

impl SinkKind for Kind {
    fn kind(&self) -> &'static str {
        "sentry"
    }

    fn about(&self) -> &'static str {
        "Makes each transition of an incident an event in Sentry, one issue per alert and service."
    }

    fn build(&self, settings: SinkSettings) -> Result<Box<dyn Sink>, String> {
        let [include, exclude] = in_app::KEYS;
        options::check_keys(&settings, &["in_flight", include, exclude], &[DSN])?;
        options::check_secrets(&settings, &[DSN], &[])?;
        let base = match &settings.endpoint {
            Some(_) => Some(options::base_url(&settings, "")?),
            None => None,
        };
        Ok(Box::new(Sentry {
            base,
            in_flight_max: options::count(&settings, "in_flight", 4, 256)? as usize,
            in_app: InApp::of(&settings)?,
        }))
    }
}

struct Sentry {
    /// Replaces scheme, host and port of the DSN.
    base: Option<String>,
    in_flight_max: usize,
    in_app: InApp,
}

impl Sink for Sentry {
    fn kind(&self) -> &'static str {
        Kind.kind()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_count_max: 1,
            in_flight_max: self.in_flight_max,
            rate: None,
            // Sentry remembers an event's id for an hour; a later retry could show twice.
            deadline: Duration::from_secs(3600),
            timeout: Duration::from_secs(10),
        }
    }

    fn says(&self, kind: NoticeKind) -> bool {
        match kind {
            NoticeKind::Opened | NoticeKind::Changed | NoticeKind::Resolved => true,
            NoticeKind::Reminder | NoticeKind::Event => false,
        }
    }

    fn encode(&self, notices: &[&Notice], secrets: &dyn Secrets, now: Timestamp) -> Result<Outgoing, EncodeError> {
        let notice = only(notices)?;
        if !self.says(notice.kind) {
            return Ok(Outgoing::Nothing);
        }
        self.request(secrets, event::envelope(notice, now)).map(Outgoing::Http)
    }

    fn check_secrets(&self, secrets: &dyn Secrets) -> Result<(), EncodeError> {
        self.target(secrets).map(drop)
    }

    fn judge(&self, answer: &HttpAnswer<'_>, notice_count: usize) -> Vec<Judgement> {
        vec![judgement(answer); notice_count]
    }

    fn errors(&self) -> Option<&dyn ErrorSink> {
        Some(self)
    }
}

impl ErrorSink for Sentry {
    fn encode_error(
        &self,
        event: &ErrorEvent,
        lost: &[Lost],
        secrets: &dyn Secrets,
        now: Timestamp,
    ) -> Result<HttpRequest, EncodeError> {
        self.request(secrets, error::envelope(event, lost, &self.in_app, now))
    }
}

impl Sentry {
    fn target(&self, secrets: &dyn Secrets) -> Result<dsn::Target, EncodeError> {
        let secret = options::secret(secrets, DSN)?;
        dsn::parse(secret.reveal(), self.base.as_deref()).map_err(|reason| EncodeError::SecretBad { name: DSN, reason })
    }

    /// An envelope on its way to the project of the DSN.
    fn request(&self, secrets: &dyn Secrets, envelope: Vec<u8>) -> Result<HttpRequest, EncodeError> {
        let target = self.target(secrets)?;
        Ok(HttpRequest {
            url: target.url,
            headers: vec![
                ("content-type".into(), "application/x-sentry-envelope".into()),
                ("user-agent".into(), words::PRODUCT.into()),
                ("x-sentry-auth".into(), target.auth.into()),
            ],
            body: envelope,
        })
    }
}

/// Limits are read on every answer: a 200 announces them too.
fn judgement(answer: &HttpAnswer<'_>) -> Judgement {
    let pause = answer.rate_limits.and_then(quota::pause);
    match (answer.status, default_judgement(answer), pause) {
        (200, _, Some(pause)) => Judgement::DeliveredThenPause(pause),
        (200, _, None) => Judgement::Delivered,
        (_, Judgement::Throttled { .. } | Judgement::Transient { .. }, Some(pause)) => {
            Judgement::Throttled { retry_after: Some(pause) }
        }
        // A limit of other categories is none on ours, and `Retry-After` speaks for those too.
        (429, _, None) if answer.rate_limits.is_some_and(|limits| !limits.trim().is_empty()) => {
            Judgement::Transient { reason: reason(answer, "though no limit on our category is announced") }
        }
        (_, Judgement::Throttled { retry_after }, None) => {
            Judgement::Throttled { retry_after: Some(retry_after.unwrap_or(THROTTLED_PAUSE)) }
        }
        (_, other, _) => other,
    }
}

#[cfg(test)]
mod tests;
