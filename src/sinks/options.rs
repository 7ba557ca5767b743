//! Reads a sink's settings and refuses what it does not know. An error names the key and never a secret.

use serde_json::Value;

use super::{EncodeError, Secrets, SinkSettings};
use crate::model::Secret;

/// A key that looks like a sink's own but is spelled otherwise must not be ignored: a page may hang on it.
/// `secrets` are those that may only be named: one that was written as it is gets no further.
pub(super) fn check_keys(settings: &SinkSettings, known: &[&str], secrets: &[&str]) -> Result<(), String> {
    match settings.options.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) if secrets.contains(&key.as_str()) => {
            Err(format!("`{key}` is a secret: give it as {{ env: NAME }} or {{ file: PATH }}"))
        }
        Some(key) if known.is_empty() => Err(format!("unknown option `{key}` (this kind has none)")),
        Some(key) => Err(format!("unknown option `{key}` (known: {})", quoted(known))),
        None => Ok(()),
    }
}

/// The secrets this kind cannot do without, and those it also takes.
pub(super) fn check_secrets(settings: &SinkSettings, needed: &[&str], taken: &[&str]) -> Result<(), String> {
    if let Some(missing) = needed.iter().find(|name| !has_secret(settings, name)) {
        return Err(match settings.options.get(*missing) {
            Some(_) => format!("`{missing}` is a secret: give it as {{ env: NAME }} or {{ file: PATH }}"),
            None => format!("secret `{missing}` is missing: give it as {{ env: NAME }} or {{ file: PATH }}"),
        });
    }
    match settings.secret_names.iter().find(|name| !needed.contains(&name.as_str()) && !taken.contains(&name.as_str()))
    {
        Some(name) if needed.is_empty() && taken.is_empty() => Err(format!("`{name}` is no secret of this kind")),
        Some(name) => Err(format!("`{name}` is no secret of this kind (known: {})", quoted(&[needed, taken].concat()))),
        None => Ok(()),
    }
}

pub(super) fn has_secret(settings: &SinkSettings, name: &str) -> bool {
    settings.secret_names.iter().any(|held| held == name)
}

pub(super) fn text<'a>(settings: &'a SinkSettings, key: &str) -> Result<Option<&'a str>, String> {
    match settings.options.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("`{key}` must be a text, not {}", type_of(other))),
    }
}

/// One of a few words; the first of them when the key is absent.
pub(super) fn choice<'w>(settings: &SinkSettings, key: &str, words: &[&'w str]) -> Result<&'w str, String> {
    let first = words.first().copied().unwrap_or_default();
    let Some(given) = text(settings, key)? else { return Ok(first) };
    words
        .iter()
        .copied()
        .find(|word| *word == given)
        .ok_or_else(|| format!("`{key}` is `{given}` (known: {})", quoted(words)))
}

/// A whole number from 1 to `max`.
pub(super) fn count(settings: &SinkSettings, key: &str, default: u32, max: u32) -> Result<u32, String> {
    let Some(given) = settings.options.get(key) else { return Ok(default) };
    // Settings from the environment arrive as text.
    let number = match given {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        other @ (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(format!("`{key}` must be a number, not {}", type_of(other)));
        }
    };
    number
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| format!("`{key}` must be a whole number from 1 to {max}, not {given}"))
}

/// `true` or `false`; `false` when the key is absent.
pub(super) fn flag(settings: &SinkSettings, key: &str) -> Result<bool, String> {
    match settings.options.get(key) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        // Settings from the environment arrive as text.
        Some(Value::String(text)) if text == "true" || text == "false" => Ok(text == "true"),
        Some(other) => Err(format!("`{key}` must be true or false, not {}", type_of(other))),
    }
}

/// A list of texts.
pub(super) fn texts<'a>(settings: &'a SinkSettings, key: &str) -> Result<Option<Vec<&'a str>>, String> {
    let Some(given) = settings.options.get(key) else { return Ok(None) };
    let texts = given.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    texts.map(Some).ok_or_else(|| format!("`{key}` must be a list of texts"))
}

/// The address that requests start with, without a slash at its end: the `endpoint` of the settings, or else
/// the vendor's own.
pub(super) fn base_url(settings: &SinkSettings, vendor: &str) -> Result<String, String> {
    match &settings.endpoint {
        Some(endpoint) => {
            check_url("endpoint", endpoint)?;
            if endpoint.contains('?') {
                return Err("`endpoint` must not have a query".to_owned());
            }
            Ok(endpoint.trim_end_matches('/').to_owned())
        }
        None => Ok(vendor.to_owned()),
    }
}

/// The error does not repeat the address: it may hold a token.
pub(super) fn check_url(key: &str, url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err(format!("`{key}` must start with `https://` or `http://`"));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with(':') {
        return Err(format!("`{key}` has no host"));
    }
    if authority.contains('@') {
        return Err(format!("`{key}` must not hold a user or password"));
    }
    if url.contains('#') || url.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return Err(format!("`{key}` is not an address"));
    }
    Ok(())
}

/// The present value of a secret.
pub(super) fn secret(secrets: &dyn Secrets, name: &'static str) -> Result<Secret, EncodeError> {
    secrets.get(name).filter(|secret| !secret.reveal().is_empty()).ok_or(EncodeError::SecretMissing { name })
}

pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_without_credentials_or_query() {
        let with = |endpoint: &str| {
            let settings = SinkSettings {
                name: "sink".to_owned(),
                endpoint: Some(endpoint.to_owned()),
                options: serde_json::Map::new(),
                secret_names: Vec::new(),
            };
            base_url(&settings, "https://vendor.example.com")
        };
        assert_eq!(with("http://[::1]:9000/").as_deref(), Ok("http://[::1]:9000"));
        assert_eq!(with("https://proxy.example.com/pd").as_deref(), Ok("https://proxy.example.com/pd"));
        for bad in
            ["localhost:80", "ftp://x", "https://", "https://:80", "https://u:p@x", "https://x/?a", "https://a b"]
        {
            assert!(with(bad).unwrap_err().starts_with("`endpoint`"), "{bad}");
        }
    }
}
