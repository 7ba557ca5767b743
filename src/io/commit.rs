//! The committer: one task that owns the writer. It takes whatever is waiting, decides all of it in one
//! transaction, and answers after the commit; so an fsync is shared and nothing waits in order to batch.

mod decide;
mod split;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::cache::{Mark, ResendCache};
use super::clock::Clock;
use super::live_rules::LiveRules;
use super::mailbox::Mailbox;
use crate::incidents::{Heard, Pages};
use crate::model::{AlertOutcome, IncidentKey, Notice, NoticeKind, Timestamp};
use crate::store::{Loaded, Pending, Record, RejectRecord, Retention, Settlement, StoreError, Wanted, Writer};
use crate::telemetry::Metrics;
use decide::{Decider, InForce};

/// Requests that may wait for the committer. Each holds its body, which the byte budget of the door bounds.
pub const WAITING_COUNT_MAX: usize = 4096;
/// How often a store that refused is asked whether it takes writes again.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Settlements wait so long for something that cannot, to share its commit: nobody waits for them but the next notice
/// of the same incident.
const COMPANY_PATIENCE: Duration = Duration::from_millis(5);
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
    Chore(Chore),
}

/// What is no decision and has a transaction of its own.
pub enum Chore {
    /// Deletes what is past its time.
    Retain { retention: Retention, done: oneshot::Sender<bool> },
    /// Keeps something small under a name, over what was there.
    Keep { name: &'static str, value: Vec<u8>, done: oneshot::Sender<bool> },
}

impl Work {
    fn may_wait(&self) -> bool {
        match self {
            Work::Settle { .. } => true,
            Work::Alerts { .. } | Work::Ticks { .. } | Work::Reject { .. } | Work::Chore(_) => false,
        }
    }
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
    /// Silences and hours, as they are when a notice is due.
    pub rules: Option<Arc<LiveRules>>,
    /// What limited routes have paged, as committed.
    pub pages: Pages,
    /// The earliest deadline that was committed since the timers looked last.
    pub next_deadline: watch::Sender<Timestamp>,
    /// Why the last transaction failed; `None` while all is well.
    pub trouble: watch::Sender<Option<String>>,
}

impl Committer {
    /// Runs until every sender of work is gone and all of it is done.
    pub async fn run(mut self, mut waiting: mpsc::Receiver<Work>) {
        let mut batch = Vec::new();
        while let Some(work) = self.next(&mut waiting).await {
            let mut alert_count = alert_count(&work);
            let mut may_wait = work.may_wait();
            batch.push(work);
            let patience_ends = Instant::now() + COMPANY_PATIENCE;
            while may_wait && let Ok(Some(work)) = tokio::time::timeout_at(patience_ends, waiting.recv()).await {
                alert_count += self::alert_count(&work);
                may_wait = work.may_wait();
                batch.push(work);
            }
            while alert_count < ALERTS_PER_COMMIT {
                let Ok(work) = waiting.try_recv() else { break };
                alert_count += self::alert_count(&work);
                batch.push(work);
            }
            self.commit(std::mem::take(&mut batch)).await;
        }
    }

    /// All in one transaction; where a row cannot be read, in ever smaller parts, so that it costs nobody but
    /// those who ask for it. Any other failure is one of the store, which more transactions would not mend.
    /// While writing fails nobody may be sent here, so the store is asked now and then whether it is well again.
    async fn next(&mut self, waiting: &mut mpsc::Receiver<Work>) -> Option<Work> {
        loop {
            if self.trouble.borrow().is_none() {
                return waiting.recv().await;
            }
            if let Ok(work) = tokio::time::timeout(PROBE_EVERY, waiting.recv()).await {
                return work;
            }
            if self.writer.probe(self.clock.now()).await.is_ok() {
                tracing::info!("the store takes writes again");
                self.trouble.send_replace(None);
            }
        }
    }

    async fn commit(&mut self, batch: Vec<Work>) {
        let mut decided = Vec::with_capacity(batch.len());
        for work in batch {
            match work {
                Work::Chore(chore) => self.do_chore(chore).await,
                Work::Alerts { .. } | Work::Settle { .. } | Work::Ticks { .. } | Work::Reject { .. } => {
                    decided.push(work)
                }
            }
        }
        let mut joints = Vec::new();
        // The part that arrived first is on top.
        let mut parts = vec![decided];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            if let Some(undecided) = self.transact(part).await {
                let (first, second) = split::halves(undecided, &mut joints);
                parts.push(second);
                parts.push(first);
            }
        }
        // Later joints hang on earlier ones.
        joints.into_iter().rev().for_each(split::Joint::answer);
    }

    /// One transaction, answered; or its work again, when a row could not be read and a part may fare better.
    async fn transact(&mut self, mut batch: Vec<Work>) -> Option<Vec<Work>> {
        let answers = Answers::of(&mut batch);
        let now = self.clock.now();
        let started = Instant::now();
        let wanted = wanted(&batch, now);
        let listening_since = self.clock.listening_since();
        // Outlives the closure, which a failing load never calls.
        let undecided = Arc::new(Mutex::new(batch));
        let taken = undecided.clone();
        let decision: Arc<Mutex<Decided>> = Arc::default();
        let slot = decision.clone();
        let outlets = self.outlets.clone();
        let facts = InForce { rules: self.rules.as_ref().map(|rules| rules.get()), pages: self.pages.clone() };
        let decide = Box::new(move |loaded: Loaded| {
            let batch = take(&taken);
            let (changes, decided) = Decider::new(loaded, outlets, facts, now, listening_since).decide(batch);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = decided;
            changes
        });
        let result = self.writer.transact(wanted, decide).await;
        match result {
            Ok(pending) => {
                self.trouble.send_if_modified(|held| held.take().is_some());
                self.publish(take(&decision), pending, answers, started);
                None
            }
            Err(error @ StoreError::Unreadable { .. }) => {
                let mut undecided = take(&undecided);
                if split::is_divisible(&undecided) {
                    answers.give_back(&mut undecided);
                    return Some(undecided);
                }
                tracing::error!(error = %error, "a row cannot be read, who needs it is asked to come back");
                answers.refuse(&error);
                None
            }
            Err(error @ (StoreError::Unavailable { .. } | StoreError::BadAddress { .. })) => {
                self.trouble.send_replace(Some(error.to_string()));
                tracing::error!(error = %error, "a transaction failed, its senders are asked to come back");
                answers.refuse(&error);
                None
            }
        }
    }

    /// After the commit: remember, answer, hand out. Whoever is answered finds the cache and the store as it was
    /// told; what is handed out last is taken up first, because a worker goes on with what it woke last.
    fn publish(&mut self, decided: Decided, pending: Vec<Pending>, answers: Answers, started: Instant) {
        self.pages = decided.pages;
        self.pages.settle();
        for mark in decided.marks {
            self.cache.remember(mark);
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
        let mut pending = pending.into_iter().peekable();
        while let Some(sink) = pending.peek().map(|next| next.delivery.sink.clone()) {
            let of_sink = iter::from_fn(|| pending.next_if(|next| Arc::ptr_eq(&next.delivery.sink, &sink)));
            match self.outlets.get(&sink) {
                Some(outlet) => outlet.mailbox.post(of_sink),
                None => of_sink.for_each(drop),
            }
        }
    }

    async fn do_chore(&mut self, chore: Chore) {
        match chore {
            Chore::Retain { retention, done } => {
                self.retain(retention).await;
                let _ = done.send(true);
            }
            Chore::Keep { name, value, done } => {
                let kept = self.writer.keep(name, &value).await;
                if let Err(error) = &kept {
                    tracing::warn!(error = %error, name, "something could not be kept");
                }
                let _ = done.send(kept.is_ok());
            }
        }
    }

    async fn retain(&mut self, retention: Retention) {
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
    }
}

fn take<T: Default>(slot: &Mutex<T>) -> T {
    std::mem::take(&mut *slot.lock().unwrap_or_else(PoisonError::into_inner))
}

fn alert_count(work: &Work) -> usize {
    match work {
        Work::Alerts { alerts, .. } => alerts.len(),
        Work::Settle { .. } | Work::Ticks { .. } | Work::Reject { .. } | Work::Chore(_) => 0,
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
            Work::Settle { .. } | Work::Reject { .. } | Work::Chore(_) => {}
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
                Work::Chore(_) => {}
            }
        }
        answers
    }

    /// Undoes [`Answers::of`].
    fn give_back(self, batch: &mut [Work]) {
        let (mut replies, mut dones) = (self.alerts.into_iter(), self.done.into_iter());
        for work in batch {
            match work {
                Work::Alerts { reply, .. } => replies.next().into_iter().for_each(|held| *reply = held),
                Work::Settle { done, .. } | Work::Ticks { done, .. } | Work::Reject { done, .. } => {
                    dones.next().into_iter().for_each(|held| *done = held);
                }
                Work::Chore(_) => {}
            }
        }
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
            // What is unavailable says so itself.
            let reason = match error {
                StoreError::Unavailable { reason } => reason.clone(),
                StoreError::Unreadable { .. } | StoreError::BadAddress { .. } => error.to_string(),
            };
            let _ = reply.send(Err(StoreError::Unavailable { reason }));
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
    pages: Pages,
}
