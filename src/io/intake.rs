//! From authenticated bytes to an answer: decode, drop what is only repeated, tag the rest, and wait for the
//! committer. One request is one entry in the journal.

mod journal;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::aside::aside;
use super::cache::ResendCache;
use super::clock::Clock;
use super::commit::{Incoming, Work};
use super::instance::Instance;
use super::live_rules::LiveRules;
use crate::incidents::Heard;
use crate::model::{Alert, AlertOutcome, SourceRef, Timestamp};
use crate::rules::{Decision, Memo, Origin, RuleSet, Stamped};
use crate::sources::{Answer, Batch, DecodeError, Receipt, Reject, Request};
use crate::store::{Record, RejectRecord};
use crate::telemetry::Metrics;
use journal::{Journal, WrittenTags};

pub use journal::Recall;

/// A sender is answered "come back" when the commit takes longer than this. What is then committed all the
/// same is only a repeat when the sender comes back.
const COMMIT_PATIENCE: Duration = Duration::from_secs(20);
/// What is kept of a body that could not be used.
pub const REJECT_BODY_BYTES: usize = 64 * 1024;

/// Stands for the source of a request whose address no source has.
pub const NOBODY: &str = "unknown";

pub struct Intake {
    pub rules: Arc<LiveRules>,
    pub cache: Arc<ResendCache>,
    pub clock: Arc<Clock>,
    pub work: mpsc::Sender<Work>,
    pub metrics: Metrics,
}

/// What of a request the decoders need, owned.
pub struct Raw {
    pub path: String,
    pub peer: String,
    pub user_agent: String,
    pub content_type: String,
    pub body: Bytes,
}

/// Alerts that were made here, of telemetry or of the daemon's own state, and not decoded from a sender's message.
pub struct Made<'a> {
    pub kind: &'static str,
    pub origin: Origin<'a>,
    pub alerts: Vec<Alert<'static>>,
    pub rules: &'a RuleSet,
    /// Identities that gateways stamp on telemetry.
    pub stamped: &'a Stamped,
}

impl Intake {
    /// Returns when what is new stands in the store, or says why whoever made them must come back.
    pub async fn take_made(&self, made: Made<'_>) -> Result<(), String> {
        let Made { kind, origin, mut alerts, rules, stamped } = made;
        let received_at = self.clock.now();
        let found_count = alerts.len();
        alerts.retain(|alert| !self.cache.repeats(alert, received_at));
        let repeated_count = u64::try_from(found_count - alerts.len()).unwrap_or(u64::MAX);
        self.metrics.alerts(origin.instance, AlertOutcome::Repeated.as_str(), repeated_count);
        if alerts.is_empty() {
            return Ok(());
        }
        let body = Bytes::from(made_body(&alerts));
        let mut written = WrittenTags::default();
        let mut journal = Journal::new(rules.revision(), alerts.len(), &mut written);
        let incoming = alerts
            .into_iter()
            .map(|alert| {
                let decision = rules.decide_stamped(&alert, origin, stamped);
                let source = SourceRef { kind: kind.into(), instance: origin.instance.to_owned() };
                self.incoming(rules, source, decision, alert, received_at, &mut journal)
            })
            .collect();
        let decisions = journal.into_head();
        let record = Record { received_at, source: origin.instance.to_owned(), kind, body, decisions };
        let outcomes = self.commit(incoming, Vec::new(), record).await?;
        self.count(origin.instance, &outcomes);
        Ok(())
    }

    pub async fn take(&self, instance: &Instance, raw: Raw) -> Answer {
        let received_at = self.clock.now();
        let name = &instance.decoder.name;
        let request = Request {
            path: &raw.path,
            body: &raw.body,
            peer: &raw.peer,
            user_agent: &raw.user_agent,
            content_type: &raw.content_type,
            received_at,
        };
        let body_bytes = raw.body.len();
        let batch = match aside(body_bytes, || instance.source.decode(&request, &instance.decoder)) {
            Ok(batch) => batch,
            Err(error) => return self.refuse(instance, &error, &raw, received_at).await,
        };
        if batch.truncated_count > 0 {
            tracing::warn!(source = %name, count = batch.truncated_count, "the sender left alerts out of its message; raise its max_alerts");
        }
        let Batch { alerts, rejects, answer_key, .. } = batch;
        let accepted_count = alerts.len();
        let mut repeated_count = 0;
        let mut incoming = Vec::new();
        // One set for the whole request.
        let in_force = self.rules.in_force();
        let rules = &in_force.rules;
        let decisions = aside(body_bytes, || {
            let Recall { mut memo, mut written } = in_force.take_recall();
            let mut journal = Journal::new(rules.revision(), accepted_count, &mut written);
            for alert in alerts {
                if self.cache.repeats(&alert, received_at) {
                    repeated_count += 1;
                } else {
                    incoming.reserve(accepted_count - incoming.len());
                    incoming.push(self.tag(rules, instance, alert, received_at, &mut memo, &mut journal));
                }
            }
            let decisions = journal.into_head();
            in_force.put_recall(Recall { memo, written });
            decisions
        });
        self.metrics.alerts(name, AlertOutcome::Repeated.as_str(), repeated_count);
        self.metrics.rejects(name, u64::try_from(rejects.len()).unwrap_or(u64::MAX));
        let receipt = Receipt::Taken { answer_key: answer_key.as_deref(), accepted_count, rejects: &rejects };
        if incoming.is_empty() && rejects.is_empty() {
            return instance.source.answer(&raw.path, &receipt);
        }
        let body = keepable(instance, &raw.body);
        let reject_records = reject_records(instance, &rejects, &body, received_at, accepted_count);
        let record = record(instance, decisions, &body, received_at);
        match self.commit(incoming, reject_records, record).await {
            Ok(outcomes) => {
                self.count(name, &outcomes);
                instance.source.answer(&raw.path, &receipt)
            }
            Err(reason) => instance.source.answer(&raw.path, &Receipt::NotNow { reason: &reason }),
        }
    }

    fn tag(
        &self,
        rules: &RuleSet,
        instance: &Instance,
        alert: Alert<'_>,
        received_at: Timestamp,
        memo: &mut Memo,
        journal: &mut Journal<'_>,
    ) -> Incoming {
        let (decision, changes) = rules.decide_and_try_shadows(&alert, instance.origin(), memo);
        self.rules.note_shadows(rules, changes, &alert);
        self.incoming(rules, instance.source_ref(), decision, alert, received_at, journal)
    }

    fn incoming(
        &self,
        rules: &RuleSet,
        source: SourceRef,
        decision: Decision,
        alert: Alert<'_>,
        received_at: Timestamp,
        journal: &mut Journal<'_>,
    ) -> Incoming {
        let mark = self.cache.mark(&alert, received_at);
        let heard = Heard::new(alert, source, received_at, decision, rules.revision().clone());
        Incoming { mark, record_head: journal.entry(&heard), heard: Box::new(heard) }
    }

    async fn commit(
        &self,
        alerts: Vec<Incoming>,
        rejects: Vec<RejectRecord>,
        record: Record,
    ) -> Result<Vec<AlertOutcome>, String> {
        let (reply, answered) = oneshot::channel();
        let work = Work::Alerts { alerts, record, rejects, reply };
        if self.work.try_send(work).is_err() {
            return Err("too much is waiting".to_owned());
        }
        match tokio::time::timeout(COMMIT_PATIENCE, answered).await {
            Ok(Ok(Ok(outcomes))) => Ok(outcomes),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(_)) => Err("shutting down".to_owned()),
            Err(_) => Err("the store is too slow".to_owned()),
        }
    }

    fn count(&self, source: &str, outcomes: &[AlertOutcome]) {
        for outcome in AlertOutcome::ALL {
            let count = outcomes.iter().filter(|held| **held == outcome).count();
            self.metrics.alerts(source, outcome.as_str(), u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// The credential was right, so the body is kept for a person to look at.
    async fn refuse(&self, instance: &Instance, error: &DecodeError, raw: &Raw, received_at: Timestamp) -> Answer {
        let status = match error {
            DecodeError::NoSuchPath { .. } => 404,
            DecodeError::NotJson { .. }
            | DecodeError::Empty
            | DecodeError::Missing { .. }
            | DecodeError::Invalid { .. }
            | DecodeError::Bad { .. } => 400,
        };
        let reason = match error {
            // An address may hold a token, so it is told to its sender and kept nowhere.
            DecodeError::NoSuchPath { .. } => "no such address".to_owned(),
            DecodeError::NotJson { .. }
            | DecodeError::Empty
            | DecodeError::Missing { .. }
            | DecodeError::Invalid { .. }
            | DecodeError::Bad { .. } => error.to_string(),
        };
        self.reject(instance, status, &reason, &raw.body, received_at).await;
        instance.source.answer(&raw.path, &Receipt::Refused { status, reason: &error.to_string() })
    }

    /// Makes a refusal visible, before the sender hears of it.
    pub async fn reject(&self, instance: &Instance, status: u16, reason: &str, body: &Bytes, received_at: Timestamp) {
        self.metrics.rejects(&instance.decoder.name, 1);
        let record = reject_record(instance, status, reason.to_owned(), &keepable(instance, body), received_at);
        self.keep(record).await;
    }

    /// A request for a source that is not there.
    pub async fn reject_lost(&self, status: u16, reason: String, received_at: Timestamp) {
        self.metrics.rejects(NOBODY, 1);
        let (source, kind) = (NOBODY.to_owned(), NOBODY.to_owned());
        self.keep(RejectRecord { received_at, source, kind, status, reason, body: Bytes::new() }).await;
    }

    async fn keep(&self, reject: RejectRecord) {
        let (source, status, reason) = (reject.source.clone(), reject.status, reject.reason.clone());
        let (done, kept) = oneshot::channel();
        let is_sent = self.work.try_send(Work::Reject { reject, done }).is_ok();
        let is_kept = is_sent && matches!(tokio::time::timeout(COMMIT_PATIENCE, kept).await, Ok(Ok(true)));
        if !is_kept {
            tracing::warn!(source, status, reason, "a reject was counted but could not be kept");
        }
    }
}

/// What the journal keeps: the alerts as they were made, because a request of telemetry may be large and holds much else.
fn made_body(alerts: &[Alert<'_>]) -> Vec<u8> {
    let word = |alert: &Alert<'_>| {
        json!({
            "identity": alert.identity,
            "name": alert.name,
            "title": alert.title,
            "severity": alert.severity,
            "labels": alert.labels,
            "annotations": alert.annotations,
            "fields": alert.fields,
        })
    };
    json!({ "alerts": alerts.iter().map(word).collect::<Vec<_>>() }).to_string().into_bytes()
}

fn record(instance: &Instance, decisions: String, body: &Bytes, received_at: Timestamp) -> Record {
    Record {
        received_at,
        source: instance.decoder.name.clone(),
        kind: instance.decoder.kind,
        body: body.clone(),
        decisions,
    }
}

/// The body as it may stand in the store.
fn keepable(instance: &Instance, body: &Bytes) -> Bytes {
    match instance.source.without_credential(body) {
        Cow::Borrowed(kept) => body.slice_ref(kept),
        Cow::Owned(kept) => Bytes::from(kept),
    }
}

fn reject_records(
    instance: &Instance,
    rejects: &[Reject],
    body: &Bytes,
    received_at: Timestamp,
    accepted_count: usize,
) -> Vec<RejectRecord> {
    let status = if accepted_count > 0 { 200 } else { 400 };
    rejects
        .iter()
        .map(|reject| {
            let reason = format!("alert {}: {}", reject.position, reject.reason);
            reject_record(instance, status, reason, body, received_at)
        })
        .collect()
}

fn reject_record(
    instance: &Instance,
    status: u16,
    reason: String,
    body: &Bytes,
    received_at: Timestamp,
) -> RejectRecord {
    RejectRecord {
        received_at,
        source: instance.decoder.name.clone(),
        kind: instance.decoder.kind.to_owned(),
        status,
        reason,
        body: body.slice(..body.len().min(REJECT_BODY_BYTES)),
    }
}
