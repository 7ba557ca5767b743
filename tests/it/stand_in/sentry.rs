//! Sentry's envelope endpoint: newline framing with lengths in bytes, and a memory of event ids of one hour.
//! Keeps doubles of an id from the project, but counts them.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{Answer, Received, Role, lock};

/// Relay's limit for one event item.
const EVENT_BYTES_MAX: usize = 1 << 20;
const MEMORY: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub struct Sentry {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    remembered: BTreeMap<String, Timestamp>,
    events: Vec<Value>,
    double_count: u32,
    refused: Vec<String>,
}

impl Sentry {
    /// What a user of the project sees.
    pub fn events(&self) -> Vec<Value> {
        lock(&self.state).events.clone()
    }

    pub fn double_count(&self) -> u32 {
        lock(&self.state).double_count
    }

    pub fn refused(&self) -> Vec<String> {
        lock(&self.state).refused.clone()
    }
}

impl Role for Sentry {
    fn receive(&self, request: &Received<'_>) -> Answer {
        let mut state = lock(&self.state);
        match parse(request) {
            Ok((id, event)) => {
                let now = Timestamp::now();
                state.remembered.retain(|_, seen| now.duration_since(*seen).unsigned_abs() < MEMORY);
                if state.remembered.insert(id.clone(), now).is_some() {
                    state.double_count += 1;
                } else {
                    state.events.push(event);
                }
                Answer::new(200, format!(r#"{{"id":"{id}"}}"#))
            }
            Err((status, reason)) => {
                state.refused.push(reason.clone());
                Answer::new(status, serde_json::json!({ "detail": reason }).to_string())
            }
        }
    }
}

fn parse(request: &Received<'_>) -> Result<(String, Value), (u16, String)> {
    let project = request.path.strip_prefix("/api/").and_then(|rest| rest.strip_suffix("/envelope/"));
    if project.is_none_or(|id| id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err((404, format!("no such address: {}", request.path)));
    }
    let auth = request.header("x-sentry-auth").unwrap_or_default();
    if !(auth.starts_with("Sentry ") && auth.contains("sentry_key=") && auth.contains("sentry_version=7")) {
        return Err((403, "bad x-sentry-auth".to_owned()));
    }
    let content_type = request.header("content-type").unwrap_or_default();
    if content_type != "application/x-sentry-envelope" {
        return Err((400, format!("content type `{content_type}`")));
    }
    let bytes = inflate(request)?;
    envelope(&bytes).map_err(|reason| (400, reason))
}

fn inflate(request: &Received<'_>) -> Result<Vec<u8>, (u16, String)> {
    match request.header("content-encoding") {
        None => Ok(request.body.to_vec()),
        Some("gzip") => {
            let mut bytes = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(request.body).take(200 << 20);
            reader.read_to_end(&mut bytes).map_err(|cause| (400, format!("bad gzip: {cause}")))?;
            Ok(bytes)
        }
        Some(other) => Err((400, format!("encoding `{other}` is read as identity"))),
    }
}

/// One event item; what else an envelope may hold is not ours to send.
fn envelope(bytes: &[u8]) -> Result<(String, Value), String> {
    let (header, rest) = split_line(bytes).ok_or("the envelope has no header line")?;
    let header = json_line(header, "envelope header")?;
    let id = header["event_id"].as_str().ok_or("the envelope header has no event_id")?;
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("event_id `{id}` would be replaced by a random one"));
    }
    header["sent_at"]
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .ok_or("sent_at is missing or no time")?;
    let (item, rest) = split_line(rest).ok_or("the envelope has no item")?;
    let item = json_line(item, "item header")?;
    if item["type"] != "event" {
        return Err(format!("item type {} would be dropped without a word", item["type"]));
    }
    let length = item["length"].as_u64().and_then(|length| usize::try_from(length).ok()).ok_or("length is missing")?;
    if length > EVENT_BYTES_MAX {
        return Err("the event is larger than 1 MiB".to_owned());
    }
    let payload = rest.get(..length).ok_or("length is larger than the envelope")?;
    if !matches!(&rest[length..], b"" | b"\n") {
        return Err("length is not the length of the event in bytes".to_owned());
    }
    let event = json_line(payload, "event")?;
    if event["event_id"] != id {
        return Err("event_id of event and envelope differ".to_owned());
    }
    check_event(&event)?;
    Ok((id.to_owned(), event))
}

/// What the server would not refuse but would silently damage.
fn check_event(event: &Value) -> Result<(), String> {
    let time = &event["timestamp"];
    let is_text = time.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok());
    // A larger number would be milliseconds.
    let time_is_good = is_text || time.as_f64().is_some_and(|seconds| seconds < 1e11);
    if !time_is_good {
        return Err(format!("timestamp {} would be replaced by the server's", event["timestamp"]));
    }
    let level = event["level"].as_str().unwrap_or("error");
    if !["fatal", "error", "warning", "info", "debug"].contains(&level) {
        return Err(format!("level `{level}` would become `error`"));
    }
    for (key, value) in event["tags"].as_object().into_iter().flatten() {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        if key.len() > 200 || !key.bytes().all(is_good) {
            return Err(format!("tag key `{key}` would be lost"));
        }
        if value.as_str().is_none_or(|value| value.is_empty() || value.contains('\n') || value.chars().count() > 200) {
            return Err(format!("tag `{key}` has a value that would be damaged: {value}"));
        }
    }
    for (field, chars_max) in [("environment", 64), ("release", 200), ("transaction", 200), ("logger", 64)] {
        if event[field].as_str().is_some_and(|text| text.chars().count() > chars_max) {
            return Err(format!("{field} is longer than {chars_max} characters"));
        }
    }
    Ok(())
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn json_line(bytes: &[u8], what: &str) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|cause| format!("{what} is not JSON: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "db55c2db3bd14ba48b50eb9986eab801";

    fn with_length(length: usize) -> String {
        format!(
            "{{\"event_id\":\"{ID}\",\"sent_at\":\"2026-11-23T00:40:13.120Z\"}}\n\
             {{\"type\":\"event\",\"length\":{length}}}\n{}\n",
            event()
        )
    }

    fn event() -> String {
        format!(r#"{{"event_id":"{ID}","timestamp":"2026-11-23T00:40:11Z","logentry":{{"formatted":"café"}}}}"#)
    }

    #[test]
    fn the_length_of_an_item_counts_bytes_and_not_characters() {
        assert_eq!(envelope(with_length(event().len()).as_bytes()).unwrap().0, ID);
        assert!(envelope(with_length(event().chars().count()).as_bytes()).is_err());
    }
}
