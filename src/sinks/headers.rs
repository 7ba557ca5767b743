//! Further headers that a sink's settings name, some with secret values. Never repeats a value in an error.

use std::borrow::Cow;

use super::{EncodeError, Secrets, SinkSettings, options};

/// Prefix of secrets that are the values of headers.
const PREFIX: &str = "headers.";

pub(super) enum Value {
    Plain(String),
    /// The name of a secret.
    Secret(String),
}

/// Names of the secrets that are values of headers.
pub(super) fn secret_names(settings: &SinkSettings) -> Vec<&str> {
    settings.secret_names.iter().map(String::as_str).filter(|name| name.starts_with(PREFIX)).collect()
}

/// All headers of the settings, by lower-case names. `is_own` names those that the sink sets itself, besides
/// what every request has.
pub(super) fn of(settings: &SinkSettings, is_own: fn(&str) -> bool) -> Result<Vec<(String, Value)>, String> {
    let mut headers = Vec::new();
    for (name, value) in plain(settings)? {
        headers.push((checked_name(name, is_own)?, Value::Plain(value)));
    }
    for secret in secret_names(settings) {
        let name = checked_name(&secret[PREFIX.len()..], is_own)?;
        if headers.iter().any(|(known, _)| *known == name) {
            return Err(format!("`headers.{name}` is given twice"));
        }
        headers.push((name, Value::Secret(secret.to_owned())));
    }
    Ok(headers)
}

/// Adds them with their present values.
pub(super) fn append(
    list: &mut Vec<(Cow<'static, str>, String)>,
    headers: &[(String, Value)],
    secrets: &dyn Secrets,
) -> Result<(), EncodeError> {
    for (name, value) in headers {
        let value = match value {
            Value::Plain(text) => text.clone(),
            Value::Secret(secret) => {
                let value = secrets.get(secret).ok_or(EncodeError::SecretMissing { name: "headers" })?;
                if !is_value(value.reveal()) {
                    let reason = "holds a character that no header may have";
                    return Err(EncodeError::SecretBad { name: "headers", reason });
                }
                value.reveal().to_owned()
            }
        };
        list.push((Cow::Owned(name.clone()), value));
    }
    Ok(())
}

pub(super) fn is_value(text: &str) -> bool {
    text.chars().all(|character| character == '\t' || (' '..='~').contains(&character))
}

fn plain(settings: &SinkSettings) -> Result<Vec<(&str, String)>, String> {
    use serde_json::Value as Json;
    let map = match settings.options.get("headers") {
        None => return Ok(Vec::new()),
        Some(Json::Object(map)) => map,
        Some(other) => {
            return Err(format!("`headers` must be a mapping of names to texts, not {}", options::type_of(other)));
        }
    };
    map.iter()
        .map(|(name, value)| match value {
            Json::String(text) if is_value(text) => Ok((name.as_str(), text.clone())),
            Json::String(_) => Err(format!("`headers.{name}` holds a character that no header may have")),
            other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                Err(format!("`headers.{name}` must be a text, not {}", options::type_of(other)))
            }
        })
        .collect()
}

/// Lower case, a token of RFC 9110, and none of those that we or the HTTP client set.
fn checked_name(name: &str, is_own: fn(&str) -> bool) -> Result<String, String> {
    const OURS: [&str; 6] = ["content-type", "content-length", "transfer-encoding", "host", "connection", "user-agent"];
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("`headers.{name}` is not a header's name"));
    }
    if OURS.contains(&lower.as_str()) || is_own(&lower) {
        return Err(format!("`headers.{name}` is set by this sink"));
    }
    Ok(lower)
}
