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

use serde_json::Value;

use super::answer::{default_judgement, only, reason};
use super::{
    EncodeError, HttpAnswer, HttpRequest, Judgement, Limits, Outgoing, Secrets, Sink, SinkKind, SinkSettings, options,
    words,
};
use crate::model::{Notice, Timestamp};

pub(super) struct Kind;

const URL: &str = "url";
const SECRET: &str = "secret";
const SECRET_PREVIOUS: &str = "secret_previous";
/// Prefix of secrets that are the values of further headers.
const HEADER_SECRET: &str = "headers.";

impl SinkKind for Kind {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn about(&self) -> &'static str {
        "Posts each notice as JSON to any address, signed after Standard Webhooks."
    }

    fn build(&self, settings: SinkSettings) -> Result<Box<dyn Sink>, String> {
        options::check_keys(&settings, &[URL, "headers", "in_flight"])?;
        let secret_headers: Vec<&str> =
            settings.secret_names.iter().map(String::as_str).filter(|name| name.starts_with(HEADER_SECRET)).collect();
        let taken = [&[SECRET_PREVIOUS, URL][..], &secret_headers].concat();
        options::check_secrets(&settings, &[SECRET], &taken)?;
        let address = match (&settings.endpoint, options::text(&settings, URL)?) {
            (Some(endpoint), _) => Address::Plain(checked("endpoint", endpoint)?),
            (None, Some(url)) => Address::Plain(checked(URL, url)?),
            (None, None) if options::has_secret(&settings, URL) => Address::Secret,
            (None, None) => return Err("`url` is missing: an address, or { env: NAME } or { file: PATH }".to_owned()),
        };
        let mut headers = Vec::new();
        for (name, value) in plain_headers(&settings)? {
            headers.push((header_name(name)?, HeaderValue::Plain(value)));
        }
        for secret in secret_headers {
            let name = header_name(&secret[HEADER_SECRET.len()..])?;
            headers.push((name, HeaderValue::Secret(secret.to_owned())));
        }
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

enum HeaderValue {
    Plain(String),
    /// The name of a secret.
    Secret(String),
}

fn plain_headers(settings: &SinkSettings) -> Result<Vec<(&str, String)>, String> {
    let map = match settings.options.get("headers") {
        None => return Ok(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(other) => {
            return Err(format!("`headers` must be a mapping of names to texts, not {}", options::type_of(other)));
        }
    };
    map.iter()
        .map(|(name, value)| match value {
            Value::String(text) if is_header_value(text) => Ok((name.as_str(), text.clone())),
            Value::String(_) => Err(format!("`headers.{name}` holds a character that no header may have")),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(format!("`headers.{name}` must be a text, not {}", options::type_of(other)))
            }
        })
        .collect()
}

/// Lower case, a token of RFC 9110, and none of those that we or the HTTP client set.
fn header_name(name: &str) -> Result<String, String> {
    const OURS: [&str; 6] = ["content-type", "content-length", "transfer-encoding", "host", "connection", "user-agent"];
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("`headers.{name}` is not a header's name"));
    }
    if OURS.contains(&lower.as_str()) || lower.starts_with("webhook-") {
        return Err(format!("`headers.{name}` is set by this sink"));
    }
    Ok(lower)
}

fn is_header_value(text: &str) -> bool {
    text.chars().all(|character| character == '\t' || (' '..='~').contains(&character))
}

struct Webhook {
    address: Address,
    headers: Vec<(String, HeaderValue)>,
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
        for (name, value) in &self.headers {
            let value = match value {
                HeaderValue::Plain(text) => text.clone(),
                HeaderValue::Secret(secret) => {
                    let missing = EncodeError::SecretMissing { name: "headers" };
                    let value = secrets.get(secret).ok_or(missing)?;
                    if !is_header_value(value.reveal()) {
                        let reason = "holds a character that no header may have";
                        return Err(EncodeError::SecretBad { name: "headers", reason });
                    }
                    value.reveal().to_owned()
                }
            };
            headers.push((Cow::Owned(name.clone()), value));
        }
        Ok(Outgoing::Http(HttpRequest { url: self.url(secrets)?, headers, body }))
    }

    fn judge(&self, answer: &HttpAnswer<'_>, notice_count: usize) -> Vec<Judgement> {
        let judgement = match (answer.status, default_judgement(answer)) {
            (200..=299, _) => Judgement::Delivered,
            (410, _) => Judgement::Blocked { reason: reason(answer, "the receiver wants no more") },
            // The specification knows one final answer, 410: any other failure may be the receiver's deployment.
            (_, Judgement::Rejected { reason }) => Judgement::Transient { reason },
            (502 | 504, Judgement::Transient { .. }) if answer.retry_after.is_some() => {
                Judgement::Throttled { retry_after: super::answer::retry_after(answer) }
            }
            (_, other) => other,
        };
        vec![judgement; notice_count]
    }
}

#[cfg(test)]
mod tests;
