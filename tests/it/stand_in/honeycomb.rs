//! Honeycomb's batch endpoint: one status per event, and no memory, so that doubles are seen as its users would
//! see them.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, Received, Role, lock};

const BATCH_BYTES_MAX: usize = 5_000_000;
const FIELDS_MAX: usize = 2000;
const TEXT_BYTES_MAX: usize = 65_535;

#[derive(Default)]
pub struct Honeycomb {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: Vec<Map<String, Value>>,
    refused: Vec<String>,
    /// Statuses for the events to come, one each; 202 when there is none.
    scripted: VecDeque<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    time: Option<String>,
    samplerate: Option<u32>,
    data: Map<String, Value>,
}

impl Honeycomb {
    /// Stored events, doubles included.
    pub fn events(&self) -> Vec<Map<String, Value>> {
        lock(&self.state).events.clone()
    }

    pub fn refused(&self) -> Vec<String> {
        lock(&self.state).refused.clone()
    }

    /// The next events get these statuses inside a 200.
    pub fn script_statuses(&self, statuses: &[u16]) {
        lock(&self.state).scripted.extend(statuses);
    }
}

impl Role for Honeycomb {
    fn receive(&self, request: &Received<'_>) -> Answer {
        let mut state = lock(&self.state);
        match parse(request) {
            Ok(batch) => {
                let entries: Vec<Value> = batch.into_iter().map(|event| state.take(event)).collect();
                Answer::new(200, Value::Array(entries).to_string())
            }
            Err((status, reason)) => {
                state.refused.push(reason.clone());
                Answer::new(status, json!({ "error": reason }).to_string())
            }
        }
    }
}

impl State {
    fn take(&mut self, event: Wire) -> Value {
        if let Some(status) = self.scripted.pop_front().filter(|status| *status != 202) {
            return json!({ "status": status, "error": "as the test wants it" });
        }
        if let Err(reason) = check(&event) {
            self.refused.push(reason.clone());
            return json!({ "status": 400, "error": reason });
        }
        self.events.push(event.data);
        json!({ "status": 202 })
    }
}

fn parse(request: &Received<'_>) -> Result<Vec<Wire>, (u16, String)> {
    let dataset = request.path.strip_prefix("/1/batch/").unwrap_or_default();
    if dataset.is_empty() || dataset.contains('/') {
        return Err((404, format!("no such address: {}", request.path)));
    }
    if request.header("x-honeycomb-team").is_none_or(str::is_empty) {
        return Err((401, "unknown API key - check your credentials".to_owned()));
    }
    if !request.header("content-type").unwrap_or_default().starts_with("application/json") {
        return Err((400, "only JSON is understood here".to_owned()));
    }
    if request.header("content-encoding").is_some() {
        return Err((400, "this stand-in reads no encodings".to_owned()));
    }
    if request.body.len() > BATCH_BYTES_MAX {
        return Err((413, "the batch is larger than 5 MB".to_owned()));
    }
    serde_json::from_slice(request.body)
        .map_err(|cause| (400, format!("Request body is malformed and cannot be read. {cause}")))
}

fn check(event: &Wire) -> Result<(), String> {
    if event.data.is_empty() {
        return Err("Request body should not be empty.".to_owned());
    }
    if event.data.len() > FIELDS_MAX {
        return Err("Event has too many columns.".to_owned());
    }
    if event.time.as_ref().is_some_and(|time| time.parse::<jiff::Timestamp>().is_err()) {
        return Err("time would silently become the time of receipt".to_owned());
    }
    if event.samplerate == Some(0) {
        return Err("samplerate is 0".to_owned());
    }
    for (name, value) in &event.data {
        if value.as_str().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(format!("field {name} is longer than 64 KB"));
        }
        if value.is_object() || value.is_array() {
            return Err(format!("field {name} is not flat"));
        }
    }
    Ok(())
}
