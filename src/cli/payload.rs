//! A request to decide on once more: from a file or the journal, through the source that would read it today. Never
//! sends or stores anything.

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::io::instance::Instance;
use crate::model::{Identity, Timestamp};
use crate::settings::Ready;
use crate::sources::{Batch, Request, source_of_kind};
use crate::store::RecordRow;

pub(super) struct Payload {
    pub(super) body: Vec<u8>,
    pub(super) received_at: Timestamp,
    /// Kind or name of a source.
    pub(super) source: String,
    /// The kind, for a record of a source that is not in the settings.
    pub(super) kind: Option<String>,
}

impl Payload {
    pub(super) fn of_record(record: &RecordRow) -> anyhow::Result<Payload> {
        Ok(Payload {
            body: record.body.clone(),
            received_at: Timestamp::parse_rfc3339(&record.received_at).context("the record's time")?,
            source: record.source.clone(),
            kind: Some(record.kind.clone()),
        })
    }
}

/// What was decided when it came.
pub(super) fn recorded(record: &RecordRow) -> Value {
    let decisions = serde_json::from_str(&record.decisions).unwrap_or(Value::Null);
    json!({ "id": record.id, "received_at": record.received_at, "source": record.source, "decisions": decisions })
}

/// A sender's credential may be part of an alert's identity and is never kept, so the identities are those that were
/// written down. What was a repeat then is not in the record; with another count nothing is known to belong together.
pub(super) fn keep_identities(batch: &mut Batch<'_>, recorded: &Value) {
    let then = recorded["decisions"]["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if then.len() != batch.alerts.len() {
        return;
    }
    for (alert, then) in batch.alerts.iter_mut().zip(then) {
        let identity = then[0].as_str().and_then(Identity::parse);
        if let (Some(identity), true) = (identity, then[1].as_str() == Some(&*alert.name)) {
            alert.identity = identity;
        }
    }
}

/// At the given path, or at the first at which the kind can read it: a record and a file do not tell theirs.
pub(super) fn decode<'q>(
    instance: &'q Instance,
    payload: &'q Payload,
    path: Option<&'q str>,
) -> anyhow::Result<Batch<'q>> {
    let fixed = instance.source.fixed_paths();
    let paths: Vec<&str> = match (path, fixed) {
        (Some(path), _) => vec![path],
        (None, []) => vec![""],
        (None, fixed) => fixed.to_vec(),
    };
    let mut first_fault = None;
    for path in paths {
        let request = Request {
            path,
            body: &payload.body,
            peer: "127.0.0.1",
            user_agent: "tawny",
            content_type: "application/json",
            received_at: payload.received_at,
        };
        match instance.source.decode(&request, &instance.decoder) {
            Ok(batch) => return Ok(batch),
            Err(fault) => {
                first_fault.get_or_insert(fault);
            }
        }
    }
    Err(first_fault.expect("there is at least one path, and none was good").into())
}

/// The source of that name, else the first of that kind.
pub(super) fn instance<'a>(ready: &'a Ready, payload: &Payload) -> anyhow::Result<&'a Instance> {
    let by_name = |name: &str| ready.instances.iter().find(|held| held.decoder.name == name);
    let by_kind = |kind: &str| ready.instances.iter().find(|held| held.source.kind() == kind);
    let wanted = payload.source.as_str();
    let found = by_name(wanted).or_else(|| by_kind(wanted)).or_else(|| by_kind(payload.kind.as_deref()?));
    match found {
        Some(instance) => Ok(instance),
        None if source_of_kind(wanted).is_some() => bail!("no source of kind `{wanted}` is configured"),
        None => bail!("{}", super::send::unknown_kind(wanted)),
    }
}
