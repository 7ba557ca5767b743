//! One task per sink: takes what was committed for it, keeps each lane in order with one request in flight,
//! and settles every delivery. A sink that hangs or fails delays no other: each has its own task and limits.

mod jobs;
mod lanes;
mod outcome;
mod tally;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::clock::{Clock, JumpWatch};
use super::commit::Work;
use super::mailbox::{Mailbox, PENDING_COUNT_MAX};
use super::secrets::SecretSet;
use super::transport::{NoAnswer, Received, Transport};
use crate::model::{DeliveryId, DeliveryOutcome, IncidentKey, Notice, Timestamp};
use crate::sinks::{EncodeError, Judgement, Limits, Outgoing, Sink};
use crate::store::{Pending, Reader, Settlement};
use crate::telemetry::Metrics;
use jobs::{Died, Jobs};
use lanes::Lanes;
use outcome::{After, Bucket, History, RETRY_AFTER_MAX, after, superseded, unanswered};
use tally::Tally;

/// Rows read from the store at once.
const PAGE: u32 = 500;
/// Settlements gather for so long: they share a commit, and the next alert does not wait behind each.
const SETTLE_GATHER: Duration = Duration::from_millis(5);
/// So many are committed at once without waiting.
const SETTLE_COUNT: usize = 64;
/// A settlement that could not be committed is tried again after this; the lane waits for it.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);
/// A store that could not be read is not asked faster than this.
const READ_AGAIN: Duration = Duration::from_secs(1);

pub struct Deliverer {
    pub name: Arc<str>,
    pub sink: Arc<dyn Sink>,
    pub secrets: SecretSet,
    pub transport: Arc<dyn Transport>,
    pub mailbox: Arc<Mailbox>,
    pub reader: Arc<dyn Reader>,
    pub clock: Arc<Clock>,
    pub work: mpsc::Sender<Work>,
    pub metrics: Metrics,
    /// Until when the credential is paused, for the gauge.
    pub paused: watch::Sender<bool>,
    pub stop: watch::Receiver<bool>,
}

/// What a finished job brings back.
enum Done {
    Attempt { items: Vec<Pending>, judgements: Vec<Judgement> },
    Settled { settlements: Vec<Settlement>, committed: bool },
}

struct State {
    limits: Limits,
    lanes: Lanes,
    bucket: Bucket,
    jobs: Jobs<Done>,
    in_flight: usize,
    /// Decided but not yet on its way to the committer.
    unsettled: Vec<Settlement>,
    tally: Tally,
    settling: bool,
    settle_not_before: Option<Instant>,
    /// Until when those that are unsettled wait for more.
    gather_until: Option<Instant>,
    paused_until: Option<Instant>,
    /// The store could not be read; what is in memory goes on meanwhile.
    read_not_before: Option<Instant>,
    last_seen: DeliveryId,
    history: History,
    jumps: JumpWatch,
}

impl Deliverer {
    /// Runs until told to stop; then what is in flight is finished and settled, and the rest stays in the
    /// store for the next start.
    pub async fn run(self) {
        let this = Arc::new(self);
        let limits = this.sink.limits();
        let mut state = State {
            limits,
            lanes: Lanes::default(),
            bucket: Bucket::new(limits.rate),
            jobs: Jobs::default(),
            in_flight: 0,
            unsettled: Vec::new(),
            tally: Tally::default(),
            settling: false,
            settle_not_before: None,
            gather_until: None,
            paused_until: None,
            read_not_before: None,
            last_seen: DeliveryId(0),
            history: History::default(),
            jumps: this.clock.watch(),
        };
        let mut stop = this.stop.clone();
        loop {
            // An owner that is gone cannot say stop any more, and means it.
            let stopping = *stop.borrow() || stop.has_changed().is_err();
            if !stopping {
                this.refill(&mut state).await;
                this.dispatch(&mut state);
            }
            this.settle(&mut state, stopping);
            if stopping && state.jobs.is_empty() && state.unsettled.is_empty() {
                return;
            }
            let wake_at = if stopping { state.settle_not_before } else { state.wake_at() };
            tokio::select! {
                // Each round looks at all of them, so none waits for long; what is over is the most frequent.
                biased;
                done = state.jobs.next() => match done {
                    Ok(done) => this.finish(&mut state, done),
                    Err(Died) => {
                        // A panic in encode or judge is a bug; what it held is read again at the next start.
                        tracing::error!(sink = %this.name, "a delivery job died");
                        state.in_flight = state.in_flight.saturating_sub(1);
                    }
                },
                () = this.mailbox.woken(), if !stopping => {}
                () = sleep_until(wake_at) => {}
                _ = stop.changed(), if !stopping => {}
            }
        }
    }

    /// Takes what is new: from the mailbox, or from the store when the mailbox could not hold it all.
    async fn refill(&self, state: &mut State) {
        state.read_not_before = state.read_not_before.filter(|at| *at > Instant::now());
        while state.lanes.len() < PENDING_COUNT_MAX {
            let fresh = self.mailbox.take(PENDING_COUNT_MAX - state.lanes.len());
            if !fresh.is_empty() {
                state.accept(fresh, self.clock.now());
                continue;
            }
            if !self.mailbox.is_behind() || state.read_not_before.is_some() {
                return;
            }
            self.mailbox.catching_up();
            match self.reader.pending(&self.name, state.last_seen, PAGE).await {
                Ok(page) => {
                    if page.len() >= PAGE as usize {
                        self.mailbox.still_behind();
                    }
                    state.accept(page, self.clock.now());
                }
                Err(error) => {
                    tracing::warn!(sink = %self.name, error = %error, "pending deliveries cannot be read, trying again");
                    self.mailbox.still_behind();
                    state.read_not_before = Some(Instant::now() + READ_AGAIN);
                    return;
                }
            }
        }
    }

    /// Starts requests for as many lanes as the limits allow.
    fn dispatch(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        if state.paused_until.is_some_and(|until| until <= now) {
            state.paused_until = None;
            self.paused.send_replace(false);
        }
        while state.paused_until.is_none() && state.in_flight < state.limits.in_flight_max && state.bucket.allows(now) {
            let (items, skipped) = state.lanes.take(state.limits.batch_count_max, now);
            for item in skipped {
                state.tally.delivery(DeliveryOutcome::Superseded.as_str());
                self.metrics.delivery_seconds(&self.name, 0.0);
                state.unsettle(superseded(&item, self.clock.now()));
            }
            if items.is_empty() {
                return;
            }
            state.bucket.spend(now);
            state.in_flight += 1;
            let this = self.clone();
            state.jobs.add(async move { this.attempt(items).await });
        }
    }

    /// One request: encode, send, judge.
    async fn attempt(self: Arc<Self>, items: Vec<Pending>) -> Done {
        let notices: Vec<&Notice> = items.iter().map(|item| item.notice.as_ref()).collect();
        let encoded = self.sink.encode(&notices, &self.secrets, self.clock.now());
        let judgements = match encoded {
            Ok(Outgoing::Nothing) => vec![Judgement::Delivered; items.len()],
            Ok(Outgoing::Print(text)) => {
                let judgement = print(text).await;
                vec![judgement; items.len()]
            }
            Ok(Outgoing::Http(request)) => {
                let answer = self.transport.post(request, self.sink.limits().timeout).await;
                self.judge(answer, &notices)
            }
            Err(error @ (EncodeError::SecretMissing { .. } | EncodeError::SecretBad { .. })) => {
                vec![Judgement::Blocked { reason: error.to_string() }; items.len()]
            }
            Err(error @ EncodeError::Unencodable { .. }) => {
                vec![Judgement::Rejected { reason: error.to_string() }; items.len()]
            }
        };
        Done::Attempt { items, judgements }
    }

    fn judge(&self, answer: Result<Received, NoAnswer>, notices: &[&Notice]) -> Vec<Judgement> {
        match answer {
            Ok(received) => {
                let count = notices.len();
                let body = self.secrets.masked(&received.body);
                let mut judgements = self.sink.judge(&received.answer(&body, self.clock.now()), count);
                // A sink that judges fewer than it sent has a bug; nothing may vanish for that.
                judgements.resize(count, Judgement::Transient { reason: "not judged".to_owned() });
                judgements
            }
            Err(error) => notices.iter().map(|notice| unanswered(&error, self.sink.shows_twice(notice.kind))).collect(),
        }
    }

    fn finish(&self, state: &mut State, done: Done) {
        match done {
            Done::Attempt { items, judgements } => {
                state.in_flight -= 1;
                let now = self.clock.now();
                if state.jumps.notice(&self.clock).is_some() {
                    state.history.since = now;
                }
                for (item, judgement) in items.into_iter().zip(judgements) {
                    let history = state.history_after(&judgement);
                    let After { settlement, pause, meaning } = after(&item, judgement, &state.limits, history, now);
                    state.tally.attempt(meaning);
                    if let Some(span) = pause {
                        tracing::warn!(sink = %self.name, meaning, pause_ms = span.as_millis(), reason = %settlement.reason, "the sink is paused");
                        state.pause(Instant::now() + span);
                        self.paused.send_replace(true);
                    }
                    self.tell(&mut state.tally, &item, &settlement);
                    state.lanes.attempted(&item, settlement.attempts, &settlement.reason);
                    state.unsettle(settlement);
                }
            }
            Done::Settled { settlements, committed: true } => {
                state.settling = false;
                for settlement in settlements {
                    let retry_in = settlement.next_attempt_at.since(self.clock.now());
                    state.lanes.settled(settlement.id, settlement.outcome, Instant::now() + retry_in);
                }
            }
            Done::Settled { settlements, committed: false } => {
                state.settling = false;
                state.settle_not_before = Some(Instant::now() + SETTLE_AGAIN);
                state.unsettled.extend(settlements);
            }
        }
    }

    fn tell(&self, tally: &mut Tally, item: &Pending, settlement: &Settlement) {
        let key: IncidentKey = item.delivery.key;
        match settlement.outcome {
            Some(outcome) => {
                let waited = settlement.at.since(item.delivery.created_at);
                tally.delivery(outcome.as_str());
                self.metrics.delivery_seconds(&self.name, waited.as_secs_f64());
                if outcome == DeliveryOutcome::Dead {
                    tracing::error!(sink = %self.name, incident = %key, delivery = settlement.id.0, reason = %settlement.reason, "a delivery became a dead letter");
                }
            }
            None => tracing::info!(
                sink = %self.name, incident = %key, attempt = settlement.attempts, reason = %settlement.reason,
                "a delivery will be tried again in {} ms", settlement.next_attempt_at.since(settlement.at).as_millis()
            ),
        }
    }

    /// Sends what was decided to the committer, one group at a time. A lane goes on only after the commit:
    /// a crash may then repeat its last request, but never one before it.
    fn settle(self: &Arc<Self>, state: &mut State, stopping: bool) {
        if state.settling || state.unsettled.is_empty() {
            return;
        }
        let now = Instant::now();
        let is_worth_it = stopping || state.unsettled.len() >= SETTLE_COUNT;
        if !is_worth_it && state.gather_until.is_some_and(|at| at > now) {
            return;
        }
        state.tally.tell(&self.metrics, &self.name);
        if state.settle_not_before.is_some_and(|at| at > now) {
            return;
        }
        state.settle_not_before = None;
        state.gather_until = None;
        state.settling = true;
        let settlements = std::mem::take(&mut state.unsettled);
        let work = self.work.clone();
        state.jobs.add(async move {
            let (done, committed) = oneshot::channel();
            let sent = work.send(Work::Settle { settlements: settlements.clone(), done }).await.is_ok();
            let committed = sent && committed.await.unwrap_or(false);
            Done::Settled { settlements, committed }
        });
    }
}

impl State {
    fn unsettle(&mut self, settlement: Settlement) {
        self.gather_until.get_or_insert_with(|| Instant::now() + SETTLE_GATHER);
        self.unsettled.push(settlement);
    }

    /// Answers that were on their way when the pause began are part of the same one.
    fn history_after(&mut self, judgement: &Judgement) -> History {
        let is_paused = self.paused_until.is_some_and(|until| until > Instant::now());
        match judgement {
            Judgement::Throttled { .. } if !is_paused => self.history.throttled_count += 1,
            Judgement::Delivered | Judgement::DeliveredThenPause(_) if !is_paused => self.history.throttled_count = 0,
            Judgement::Delivered
            | Judgement::DeliveredThenPause(_)
            | Judgement::Throttled { .. }
            | Judgement::Transient { .. }
            | Judgement::Doubtful { .. }
            | Judgement::Blocked { .. }
            | Judgement::Rejected { .. } => {}
        }
        self.history
    }

    fn accept(&mut self, page: Vec<Pending>, now: Timestamp) {
        for pending in page {
            // What came both through the mailbox and from the store is taken once.
            if pending.delivery.id > self.last_seen {
                self.last_seen = pending.delivery.id;
                // No wait is longer than this; a clock that was set back must not make one, and where it shows a time
                // before the delivery was made, nobody knows when its next attempt is due.
                let is_known = pending.delivery.created_at <= now;
                let wait = pending.delivery.next_attempt_at.since(now).min(RETRY_AFTER_MAX);
                let wait = if is_known { wait } else { Duration::ZERO };
                self.lanes.push(pending, (!wait.is_zero()).then(|| Instant::now() + wait));
            }
        }
    }

    fn pause(&mut self, until: Instant) {
        self.paused_until = Some(self.paused_until.map_or(until, |held| held.max(until)));
    }

    fn wake_at(&self) -> Option<Instant> {
        let ready = if self.in_flight >= self.limits.in_flight_max {
            None
        } else {
            let lane = self.lanes.next_ready_at();
            let gate = self.paused_until.into_iter().chain(self.bucket.next_at()).max();
            match (lane, gate) {
                (Some(lane), Some(gate)) => Some(lane.max(gate)),
                (lane, None) => lane,
                (None, Some(_)) => self.paused_until,
            }
        };
        // While a group is on its way to the committer, its end wakes us.
        let settle = if self.settling || self.unsettled.is_empty() {
            None
        } else {
            // The later of both: who wakes between them finds nothing to do, again and again.
            let gather = self.gather_until.filter(|_| self.unsettled.len() < SETTLE_COUNT);
            self.settle_not_before.into_iter().chain(gather).max().or_else(|| Some(Instant::now()))
        };
        [ready, settle, self.read_not_before].into_iter().flatten().min()
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn print(text: String) -> Judgement {
    use tokio::io::AsyncWriteExt;
    let mut out = tokio::io::stdout();
    let written = async {
        out.write_all(text.as_bytes()).await?;
        out.flush().await
    };
    match written.await {
        Ok(()) => Judgement::Delivered,
        Err(cause) => Judgement::Transient { reason: format!("standard output: {cause}") },
    }
}
