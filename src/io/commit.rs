//! The committer: one task that owns the writer. It takes whatever is waiting, decides all of it in one
//! transaction, and answers after the commit; so an fsync is shared and nothing waits in order to batch.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::cache::{Mark, ResendCache};
use super::clock::Clock;
use super::mailbox::Mailbox;
use crate::incidents::{Event, Heard, deadline, key_for, step};
use crate::model::id::IdSet;
use crate::model::{AlertOutcome, Identity, IncidentKey, Notice, NoticeKind, State, Timestamp};
use crate::store::{Changes, Loaded, Pending, Record, RejectRecord, Retention, Settlement, StoreError, Wanted, Writer};
use crate::telemetry::Metrics;

/// Requests that may wait for the committer. Each holds its body, which the byte budget of the door bounds.
pub const WAITING_COUNT_MAX: usize = 4096;
/// Alerts in one transaction: enough to make the fsync cheap, few enough to keep the wait short.
const ALERTS_PER_COMMIT: usize = 2048;
/// Members are found by their decision, so the sweep may wait.
const RETAIN_PIECES_MAX: u32 = 20;

/// One tagged alert on its way to a decision.
pub struct Incoming {
    pub heard: Box<Heard>,
    pub mark: Mark,
    /// Its part of the record, an open JSON array that incident and outcome complete.
    pub record_head: String,
}

pub enum Work {
    Alerts {
        alerts: Vec<Incoming>,
        record: Record,
        rejects: Vec<RejectRecord>,
        reply: oneshot::Sender<Result<Vec<AlertOutcome>, StoreError>>,
    },
    Settle {
        settlements: Vec<Settlement>,
        done: oneshot::Sender<bool>,
    },
    Ticks {
        keys: Vec<IncidentKey>,
        done: oneshot::Sender<bool>,
    },
    Reject {
        reject: RejectRecord,
        done: oneshot::Sender<bool>,
    },
    Retain {
        retention: Retention,
        done: oneshot::Sender<bool>,
    },
}

/// One sink as the committer sees it.
pub struct Outlet {
    pub mailbox: Arc<Mailbox>,
    /// Which kinds of notice the sink has words for.
    pub says: Box<dyn Fn(NoticeKind) -> bool + Send + Sync>,
}

/// What the committer needs besides its work.
pub struct Committer {
    pub writer: Box<dyn Writer>,
    pub clock: Arc<Clock>,
    pub cache: Arc<ResendCache>,
    pub outlets: Arc<HashMap<Arc<str>, Outlet>>,
    pub metrics: Metrics,
    /// The earliest deadline that was committed since the timers looked last.
    pub next_deadline: watch::Sender<Timestamp>,
    /// Why the last transaction failed; `None` while all is well.
    pub trouble: watch::Sender<Option<String>>,
}

impl Committer {
    /// Runs until every sender of work is gone and all of it is done.
    pub async fn run(mut self, mut waiting: mpsc::Receiver<Work>) {
        let mut batch = Vec::new();
        while let Some(work) = waiting.recv().await {
            let mut alert_count = alert_count(&work);
            batch.push(work);
            while alert_count < ALERTS_PER_COMMIT {
                let Ok(work) = waiting.try_recv() else { break };
                alert_count += self::alert_count(&work);
                batch.push(work);
            }
            self.commit(std::mem::take(&mut batch)).await;
        }
    }

    async fn commit(&mut self, batch: Vec<Work>) {
        let mut decided = Vec::with_capacity(batch.len());
        for work in batch {
            match work {
                Work::Retain { retention, done } => self.retain(retention, done).await,
                Work::Alerts { .. } | Work::Settle { .. } | Work::Ticks { .. } | Work::Reject { .. } => {
                    decided.push(work)
                }
            }
        }
        if decided.is_empty() {
            return;
        }
        let answers = Answers::of(&mut decided);
        let now = self.clock.now();
        let started = Instant::now();
        let wanted = wanted(&decided, now);
        let listening_since = self.clock.listening_since();
        let decision: Arc<Mutex<Decided>> = Arc::default();
        let slot = decision.clone();
        let outlets = self.outlets.clone();
        let decide = Box::new(move |loaded: Loaded| {
            let (changes, decided) = Decider::new(loaded, outlets, now, listening_since).decide(decided);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = decided;
            changes
        });
        let result = self.writer.transact(wanted, decide).await;
        let decided = std::mem::take(&mut *decision.lock().unwrap_or_else(PoisonError::into_inner));
        match result {
            Ok(pending) => {
                self.trouble.send_if_modified(|held| held.take().is_some());
                self.publish(decided, pending, answers, started);
            }
            Err(error) => {
                self.trouble.send_replace(Some(error.to_string()));
                tracing::error!(error = %error, "a transaction failed, its senders are asked to come back");
                answers.refuse(&error);
            }
        }
    }

    /// After the commit: remember, hand out, answer, in this order, so that whoever is answered finds the
    /// world as it was told.
    fn publish(&self, decided: Decided, pending: Vec<Pending>, answers: Answers, started: Instant) {
        for mark in decided.marks {
            self.cache.remember(mark);
        }
        for item in pending {
            if let Some(outlet) = self.outlets.get(&item.delivery.sink) {
                outlet.mailbox.post(item);
            }
        }
        for alike in decided.notices.chunk_by(|one, next| (one.kind, one.reason) == (next.kind, next.reason)) {
            let count = u64::try_from(alike.len()).unwrap_or(u64::MAX);
            self.metrics.notices(alike[0].kind.as_str(), alike[0].reason.as_str(), count);
        }
        if let Some(next) = decided.next_deadline {
            self.next_deadline.send_if_modified(|held| {
                let earlier = next < *held;
                if earlier {
                    *held = next;
                }
                earlier
            });
        }
        self.metrics.commit(started.elapsed().as_secs_f64(), decided.outcomes.iter().map(Vec::len).sum());
        answers.give(decided.outcomes);
    }

    async fn retain(&mut self, retention: Retention, done: oneshot::Sender<bool>) {
        let now = self.clock.now();
        for _ in 0..RETAIN_PIECES_MAX {
            match self.writer.retain(&retention, now).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(error = %error, "the retention sweep failed, the next one tries again");
                    break;
                }
            }
        }
        let _ = done.send(true);
    }
}

fn alert_count(work: &Work) -> usize {
    match work {
        Work::Alerts { alerts, .. } => alerts.len(),
        Work::Settle { .. } | Work::Ticks { .. } | Work::Reject { .. } | Work::Retain { .. } => 0,
    }
}

fn wanted(batch: &[Work], now: Timestamp) -> Wanted {
    let mut wanted = Wanted { now, ..Wanted::default() };
    for work in batch {
        match work {
            Work::Alerts { alerts, .. } => {
                for incoming in alerts {
                    wanted.want(incoming.heard.alert.identity, incoming.heard.key);
                }
            }
            Work::Ticks { keys, .. } => wanted.ticks.extend(keys),
            Work::Settle { .. } | Work::Reject { .. } | Work::Retain { .. } => {}
        }
    }
    wanted.dedup();
    wanted
}

/// Where the answers go, kept apart from what is decided: it outlives the transaction.
#[derive(Default)]
struct Answers {
    alerts: Vec<oneshot::Sender<Result<Vec<AlertOutcome>, StoreError>>>,
    done: Vec<oneshot::Sender<bool>>,
}

impl Answers {
    fn of(batch: &mut [Work]) -> Answers {
        let mut answers = Answers::default();
        for work in batch {
            match work {
                Work::Alerts { reply, .. } => answers.alerts.push(std::mem::replace(reply, oneshot::channel().0)),
                Work::Settle { done, .. } | Work::Ticks { done, .. } | Work::Reject { done, .. } => {
                    answers.done.push(std::mem::replace(done, oneshot::channel().0));
                }
                Work::Retain { .. } => {}
            }
        }
        answers
    }

    /// Who has gone away meanwhile does not hear it; that is the sender's choice.
    fn give(self, outcomes: Vec<Vec<AlertOutcome>>) {
        for (reply, outcomes) in self.alerts.into_iter().zip(outcomes) {
            let _ = reply.send(Ok(outcomes));
        }
        for done in self.done {
            let _ = done.send(true);
        }
    }

    fn refuse(self, error: &StoreError) {
        for reply in self.alerts {
            let _ = reply.send(Err(StoreError::Unavailable { reason: error.to_string() }));
        }
        for done in self.done {
            let _ = done.send(false);
        }
    }
}

/// What the transaction decided, for after the commit.
#[derive(Default)]
struct Decided {
    outcomes: Vec<Vec<AlertOutcome>>,
    marks: Vec<Mark>,
    notices: Vec<Arc<Notice>>,
    next_deadline: Option<Timestamp>,
}

/// Runs the pure steps over what was loaded, in order of arrival.
struct Decider {
    loaded: Loaded,
    outlets: Arc<HashMap<Arc<str>, Outlet>>,
    changed_incidents: IdSet<IncidentKey>,
    changed_members: IdSet<Identity>,
    changes: Changes,
    decided: Decided,
    now: Timestamp,
    listening_since: Timestamp,
}

impl Decider {
    fn new(
        loaded: Loaded,
        outlets: Arc<HashMap<Arc<str>, Outlet>>,
        now: Timestamp,
        listening_since: Timestamp,
    ) -> Decider {
        Decider {
            loaded,
            outlets,
            changed_incidents: IdSet::default(),
            changed_members: IdSet::default(),
            changes: Changes { now, ..Changes::default() },
            decided: Decided::default(),
            now,
            listening_since,
        }
    }

    fn decide(mut self, batch: Vec<Work>) -> (Changes, Decided) {
        let mut spoken_of = IdSet::default();
        for work in &batch {
            if let Work::Alerts { alerts, .. } = work {
                spoken_of.extend(alerts.iter().map(|incoming| incoming.heard.alert.identity));
            }
        }
        // Time first: what it ends, a message may open again, and not the other way round.
        for work in &batch {
            if let Work::Ticks { keys, .. } = work {
                keys.iter().for_each(|key| self.tick(*key, &spoken_of));
            }
        }
        for work in batch {
            match work {
                Work::Alerts { alerts, record, rejects, .. } => self.alerts(alerts, record, rejects),
                Work::Ticks { .. } => {}
                Work::Settle { settlements, .. } => self.changes.settlements.extend(settlements),
                Work::Reject { reject, .. } => self.changes.rejects.push(reject),
                Work::Retain { .. } => {}
            }
        }
        let Loaded { mut incidents, mut members, .. } = self.loaded;
        for key in self.changed_incidents {
            if let Some(incident) = incidents.remove(&key) {
                let next = deadline(&incident);
                self.decided.next_deadline = [self.decided.next_deadline, next].into_iter().flatten().min();
                self.changes.incidents.push(Arc::new(incident));
            }
        }
        self.changes.members.extend(self.changed_members.into_iter().filter_map(|identity| members.remove(&identity)));
        (self.changes, self.decided)
    }

    fn alerts(&mut self, alerts: Vec<Incoming>, mut record: Record, rejects: Vec<RejectRecord>) {
        let mut outcomes = Vec::with_capacity(alerts.len());
        let mut lines = std::mem::take(&mut record.decisions);
        lines.reserve(alerts.iter().map(|incoming| incoming.record_head.len() + 64).sum());
        let mut is_news = false;
        for Incoming { heard, mark, record_head } in alerts {
            let (key, outcome) = self.hear(heard);
            outcomes.push(outcome);
            self.decided.marks.push(mark);
            is_news |= !matches!(outcome, AlertOutcome::Repeated | AlertOutcome::Late | AlertOutcome::Updated);
            lines.push(if outcomes.len() == 1 { '[' } else { ',' });
            lines.push_str(&record_head);
            lines.push_str(",\"");
            lines.push_str(&key.to_string());
            lines.push_str("\",\"");
            lines.push_str(outcome.as_str());
            lines.push_str("\"]");
        }
        if is_news {
            lines.push_str("]}");
            record.decisions = lines;
            self.changes.records.push(record);
        }
        self.changes.rejects.extend(rejects);
        self.decided.outcomes.push(outcomes);
    }

    fn hear(&mut self, heard: Box<Heard>) -> (IncidentKey, AlertOutcome) {
        let identity = heard.alert.identity;
        let now = heard.received_at;
        let is_event = heard.alert.state == State::Info;
        let member = if is_event { None } else { self.loaded.members.remove(&identity) };
        let key = key_for(&heard, member.as_deref());
        let incident = if is_event { None } else { self.loaded.incidents.remove(&key) };
        let step = step(incident, Event::Heard { heard, member }, now);
        let outcome = step.outcome;
        self.keep(key, step);
        (key, outcome)
    }

    fn tick(&mut self, key: IncidentKey, spoken_of: &IdSet<Identity>) {
        let due = self.loaded.due.remove(&key).unwrap_or_default();
        // What a message of this very batch speaks of is not silent; the tick comes again after it.
        let (spoken_of, due_members): (Vec<_>, Vec<_>) =
            due.members.into_iter().partition(|member| spoken_of.contains(&member.identity));
        let next_expiry = if spoken_of.is_empty() { due.next_expiry } else { self.now };
        let event = Event::Tick { due: due_members, next_expiry, listening_since: self.listening_since };
        let incident = self.loaded.incidents.remove(&key);
        let step = step(incident, event, self.now);
        self.keep(key, step);
    }

    fn keep(&mut self, key: IncidentKey, step: crate::incidents::Step) {
        if let Some(incident) = step.incident {
            if step.incident_changed {
                self.changed_incidents.insert(incident.key);
            }
            debug_assert!(incident.key == key || step.incident_changed, "an unchanged incident keeps its key");
            self.loaded.incidents.insert(incident.key, incident);
        }
        if let Some(member) = step.unchanged_member {
            self.loaded.members.insert(member.identity, member);
        }
        for member in step.members {
            self.changed_members.insert(member.identity);
            self.loaded.members.insert(member.identity, member);
        }
        for notice in step.notices {
            // A sink that left the settings gets nothing new; one without words for this kind never does.
            let has_words = |sink: &&Arc<str>| self.outlets.get(*sink).is_some_and(|outlet| (outlet.says)(notice.kind));
            let sinks = notice.incident.route.sinks.iter().filter(has_words).cloned().collect();
            let notice = Arc::new(notice);
            self.decided.notices.push(notice.clone());
            self.changes.notices.push((notice, sinks));
        }
    }
}
