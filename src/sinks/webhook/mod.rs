//! Any HTTP receiver, signed after Standard Webhooks 1.0.0 (standardwebhooks.com). Never sends a body whose
//! signature was made over other bytes.
//!
//! | our notice | their `type` |
//! | --- | --- |
//! | opened, changed, reminder, resolved | `incident.opened`, `incident.changed`, … |
//! | event | `event` |

mod body;
mod sign;

use std::borrow::Cow;
use std::time::Duration;

use super::answer::{default_judgement, only, reason, retry_after};
use super::{
    EncodeError, HttpAnswer, HttpRequest, Judgement, Limits, Outgoing, Secrets, Sink, SinkKind, SinkSettings, headers,
    options, words,
};
use crate::model::{Notice, Timestamp};

pub(super) struct Kind;

const URL: &str = "url";
const SECRET: &str = "secret";
const SECRET_PREVIOUS: &str = "secret_previous";

impl SinkKind for Kind {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn about(&self) -> &'static str {
        "Posts each notice as JSON to any address, signed after Standard Webhooks."
    }

    fn build(&self, settings: SinkSettings) -> Result<Box<dyn Sink>, String> {
        let taken = [&[SECRET_PREVIOUS, URL][..], &headers::secret_names(&settings)].concat();
        options::check_keys(&settings, &[URL, "headers", "in_flight"], &[SECRET, SECRET_PREVIOUS])?;
        options::check_secrets(&settings, &[SECRET], &taken)?;
        let address = match (&settings.endpoint, options::text(&settings, URL)?) {
            (Some(endpoint), _) => Address::Plain(checked("endpoint", endpoint)?),
            (None, Some(url)) => Address::Plain(checked(URL, url)?),
            (None, None) if options::has_secret(&settings, URL) => Address::Secret,
            (None, None) => return Err("`url` is missing: an address, or { env: NAME } or { file: PATH }".to_owned()),
        };
        let headers = headers::of(&settings, |name| name.starts_with("webhook-"))?;
        Ok(Box::new(Webhook {
            address,
            headers,
            has_previous: options::has_secret(&settings, SECRET_PREVIOUS),
            in_flight_max: options::count(&settings, "in_flight", 4, 256)? as usize,
        }))
    }
}

fn checked(key: &str, url: &str) -> Result<String, String> {
    options::check_url(key, url).map(|()| url.to_owned())
}

enum Address {
    Plain(String),
    /// The address holds a token: it is read like any other secret.
    Secret,
}

struct Webhook {
    address: Address,
    headers: Vec<(String, headers::Value)>,
    has_previous: bool,
    in_flight_max: usize,
}

impl Webhook {
    fn url(&self, secrets: &dyn Secrets) -> Result<String, EncodeError> {
        match &self.address {
            Address::Plain(url) => Ok(url.clone()),
            Address::Secret => {
                let url = options::secret(secrets, URL)?;
                let bad = EncodeError::SecretBad { name: URL, reason: "not an address" };
                options::check_url(URL, url.reveal()).map_err(|_| bad)?;
                Ok(url.reveal().to_owned())
            }
        }
    }

    /// One signature for each key, the new one first: a receiver may know either.
    fn signature(&self, secrets: &dyn Secrets, id: &str, seconds: i64, body: &[u8]) -> Result<String, EncodeError> {
        let mut list = sign::signature(SECRET, &options::secret(secrets, SECRET)?, id, seconds, body)?;
        // Its absence ends the rotation; it is not an error.
        if let Some(previous) =
            secrets.get(SECRET_PREVIOUS).filter(|held| self.has_previous && !held.reveal().is_empty())
        {
            list.push(' ');
            list.push_str(&sign::signature(SECRET_PREVIOUS, &previous, id, seconds, body)?);
        }
        Ok(list)
    }
}

impl Sink for Webhook {
    fn kind(&self) -> &'static str {
        Kind.kind()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_count_max: 1,
            in_flight_max: self.in_flight_max,
            rate: None,
            deadline: Duration::from_secs(24 * 3600),
            timeout: Duration::from_secs(20),
        }
    }

    fn encode(&self, notices: &[&Notice], secrets: &dyn Secrets, now: Timestamp) -> Result<Outgoing, EncodeError> {
        let notice = only(notices)?;
        let id = notice.delivery_id_hex();
        let body = body::encode(notice, &id)?;
        let signature = self.signature(secrets, &id, now.as_seconds(), &body)?;
        let mut headers: Vec<(Cow<'static, str>, String)> = vec![
            ("content-type".into(), "application/json".to_owned()),
            ("user-agent".into(), words::PRODUCT.to_owned()),
            ("webhook-id".into(), id),
            ("webhook-timestamp".into(), now.as_seconds().to_string()),
            ("webhook-signature".into(), signature),
        ];
        headers::append(&mut headers, &self.headers, secrets)?;
        let headers = headers.into_iter().map(|(name, value)| (name, Cow::Owned(value))).collect();
        Ok(Outgoing::Http(HttpRequest { url: self.url(secrets)?, headers, body }))
    }

    fn check_secrets(&self, secrets: &dyn Secrets) -> Result<(), EncodeError> {
        self.url(secrets)?;
        self.signature(secrets, "check", 0, b"").map(drop)
    }

    fn judge(&self, answer: &HttpAnswer<'_>, notice_count: usize) -> Vec<Judgement> {
        let wait = retry_after(answer);
        let judgement = match (answer.status, default_judgement(answer)) {
            (200..=299, _) => Judgement::Delivered,
            (410, _) => Judgement::Blocked { reason: reason(answer, "the receiver wants no more") },
            // The specification knows one final answer, 410: any other failure may be the receiver's deployment.
            (_, Judgement::Rejected { reason }) => Judgement::Transient { reason },
            (502 | 504, Judgement::Transient { .. }) if wait.is_some() => Judgement::Throttled { retry_after: wait },
            (_, other) => other,
        };
        vec![judgement; notice_count]
    }
}

#[cfg(test)]
mod tests;
