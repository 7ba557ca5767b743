//! What a story gives, as the daemon would hear it: a payload goes through its source's decoder, an alert is made
//! field by field, and both are decided on by the rules. Never invents what the story does not say.

use std::borrow::Cow;
use std::sync::Arc;

use crate::incidents::Heard;
use crate::model::alert::Voice;
use crate::model::id::IdHasher;
use crate::model::{Alert, Labels, SourceRef, Timestamp};
use crate::rules::story::{Given, GivenAlert, Payload, Sender, Step};
use crate::rules::{Decision, Diagnostic, Origin, RuleSet, SourceFile, Traced};
use crate::sources::{Instance, REPLICA_LABELS, Request, SOURCES, Source, source_of_kind};

pub(super) struct Arrival {
    pub(super) heard: Heard,
    pub(super) decision: Decision,
    /// Who decided, as `file:line id`.
    pub(super) by: Vec<Arc<str>>,
}

/// All alerts of what is given, in order. A payload that cannot be used is a fault of the story.
pub(super) fn arrivals(
    given: &Given,
    step: &Step,
    rules: &RuleSet,
    files: &[SourceFile],
    now: Timestamp,
) -> Result<Vec<Arrival>, Box<Diagnostic>> {
    match given {
        Given::Alert(alert) => Ok(vec![arrive(make(alert), &alert.sender, rules, now)]),
        Given::Payload(payload) => decode(payload, rules, files, now).map_err(Box::new),
        Given::Span(_) => Err(Box::new(step.spot.fault("a span is no alert".to_owned(), None))),
    }
}

fn arrive(alert: Alert<'_>, sender: &Sender, rules: &RuleSet, now: Timestamp) -> Arrival {
    let origin = Origin { kind: &sender.kind, instance: &sender.instance, constants: &sender.constants };
    let Traced { decision, by } = rules.decide_traced(&alert, origin);
    let source = SourceRef { kind: Cow::Owned(sender.kind.clone()), instance: sender.instance.clone() };
    let heard = Heard::new(alert, source, now, decision.clone(), rules.revision().clone());
    Arrival { heard, decision, by }
}

/// Two with the same name and labels are the same alert, as at Prometheus.
fn make(given: &GivenAlert) -> Alert<'static> {
    let mut hasher = IdHasher::new("story");
    match &given.id {
        Some(id) => hasher.part(id),
        None => {
            hasher.part(&given.name);
            for (name, value) in given.labels.iter() {
                hasher.part(name);
                hasher.part(value);
            }
        }
    }
    let mut sender = IdHasher::new("story sender");
    sender.part(&given.sender.instance);
    let mut fields: Labels<'static> = given.fields.clone();
    fields.set("source", given.sender.kind.clone());
    fields.set("instance", given.sender.instance.clone());
    Alert {
        identity: hasher.identity(),
        sender: sender.sender(),
        voice: Voice::Evaluator,
        state: given.state,
        starts_at: None,
        ends_at: None,
        holds_for: given.holds_for,
        severity: given.severity,
        name: Cow::Owned(given.name.clone()),
        title: Cow::Owned(given.title.clone()),
        labels: given.labels.clone(),
        annotations: given.annotations.clone(),
        fields,
        links: Vec::new(),
    }
}

fn decode(
    payload: &Payload,
    rules: &RuleSet,
    files: &[SourceFile],
    now: Timestamp,
) -> Result<Vec<Arrival>, Diagnostic> {
    let wrong = |reason: String| payload.spot.fault(reason, None);
    let Some(file) = files.iter().find(|file| file.name == payload.file) else {
        return Err(wrong(format!("no file `{}` beside the rules", payload.file)));
    };
    let source = match payload.sender.kind.as_str() {
        "" => only_reader(payload, file, now)?,
        kind => source_of_kind(kind).ok_or_else(|| {
            let known: Vec<&str> = SOURCES.iter().map(|source| source.kind()).collect();
            let hint = Some(format!("known kinds: {}", known.join(", ")));
            payload.sender.kind_spot.fault(format!("no source is of kind `{kind}`"), hint)
        })?,
    };
    source.check_options(&payload.options).map_err(|reason| wrong(format!("`options`: {reason}")))?;
    let sender = sender_of(payload, source);
    let instance = instance_of(&sender, source, payload);
    let request = request_of(payload, source, file, now);
    let batch = source.decode(&request, &instance).map_err(|cause| wrong(format!("`{}`: {cause}", payload.file)))?;
    if let Some(reject) = batch.rejects.first() {
        return Err(wrong(format!("`{}`: {reject}", payload.file)));
    }
    if batch.alerts.is_empty() {
        return Err(wrong(format!("`{}` holds no alert", payload.file)));
    }
    Ok(batch.alerts.into_iter().map(|alert| arrive(alert, &sender, rules, now)).collect())
}

/// The source that can make alerts of the body, if there is one only. `json` takes any body, so it must be named.
fn only_reader(payload: &Payload, file: &SourceFile, now: Timestamp) -> Result<&'static dyn Source, Diagnostic> {
    let fits = |source: &&'static dyn Source| {
        let instance = instance_of(&sender_of(payload, *source), *source, payload);
        let batch = source.decode(&request_of(payload, *source, file, now), &instance);
        source.kind() != "json" && batch.is_ok_and(|batch| batch.rejects.is_empty() && !batch.alerts.is_empty())
    };
    let mut fitting = SOURCES.iter().copied().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(source), None) => Ok(source),
        (None, _) | (Some(_), Some(_)) => {
            let hint = Some("name the kind of source that reads it, such as `source: alertmanager`".to_owned());
            Err(payload.spot.fault(format!("`{}` does not tell which source reads it", payload.file), hint))
        }
    }
}

fn sender_of(payload: &Payload, source: &dyn Source) -> Sender {
    let mut sender = payload.sender.clone();
    source.kind().clone_into(&mut sender.kind);
    if sender.instance.is_empty() {
        source.kind().clone_into(&mut sender.instance);
    }
    sender
}

fn instance_of(sender: &Sender, source: &dyn Source, payload: &Payload) -> Instance {
    Instance {
        name: sender.instance.clone(),
        kind: source.kind(),
        constants: sender.constants.clone(),
        replica_labels: REPLICA_LABELS.map(str::to_owned).to_vec(),
        holds_for: None,
        options: payload.options.clone(),
    }
}

fn request_of<'f>(payload: &'f Payload, source: &dyn Source, file: &'f SourceFile, now: Timestamp) -> Request<'f> {
    let fixed = source.fixed_paths().first().copied();
    Request {
        path: payload.path.as_deref().or(fixed).unwrap_or(""),
        body: file.text.as_bytes(),
        peer: "127.0.0.1",
        user_agent: "tawny test",
        content_type: "application/json",
        received_at: now,
    }
}
