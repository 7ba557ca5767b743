//! One lane of a sink: takes what waits, sends it, tries again, and settles each parcel. Never holds more than one
//! load, and leaves it at once when a stop is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::answer::{backoff, fate, judged, no_answer};
use super::body::Slices;
use super::link::{Broken, Link, Received};
use super::queue::{Bell, Held, Queue};
use super::request::Heads;
use super::{Machinery, Patience};
use crate::io::secrets::SecretSet;
use crate::io::spans::faces::Fate;
use crate::model::Signal;
use crate::otlp::enrich::{Grafted, join};
use crate::sinks::{Protocol, Reply, TelemetryPlan, TelemetrySink};
use crate::telemetry::{OutletAnswer, OutletOutcome};

/// At most one line a minute and lane says that a sink is in trouble.
const SAY_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Lane {
    queue: Arc<Queue>,
    sink: Arc<dyn TelemetrySink>,
    plan: TelemetryPlan,
    machinery: Arc<Machinery>,
    heads: Heads,
    link: Option<Link>,
    said_at: Option<Instant>,
}

impl Lane {
    pub(super) fn new(
        queue: Arc<Queue>,
        sink: Arc<dyn TelemetrySink>,
        secrets: Arc<SecretSet>,
        machinery: Arc<Machinery>,
    ) -> Lane {
        let heads = Heads::new(sink.clone(), secrets);
        let plan = sink.plan().clone();
        Lane { queue, sink, plan, machinery, heads, link: None, said_at: None }
    }

    pub(super) async fn run(mut self) {
        let queue = self.queue.clone();
        let bell = Bell::here();
        while let Some(load) = self.next_load(&bell).await {
            self.deliver(&queue, load).await;
            queue.free_lane();
            if queue.is_quick() {
                // What came together with the answer goes with the next request, and not with the one behind it.
                yield_now().await;
            }
        }
    }

    /// Waits for work; a connection that ends meanwhile is let go.
    async fn next_load(&mut self, bell: &Arc<Bell>) -> Option<Vec<Held>> {
        let queue = &self.queue;
        if let Some(link) = &mut self.link {
            tokio::select! {
                biased;
                load = queue.take(bell) => return load,
                () = link.closed() => {}
            }
            self.link = None;
        }
        queue.take(bell).await
    }

    /// Sends a load to its end. What a sink refuses as a whole it may take in parts. What nobody waits for any more goes
    /// back: its sender has its deadline behind it and sends it again, and a slow sink must not get both.
    async fn deliver(&mut self, queue: &Queue, load: Vec<Held>) {
        if queue.patience() == Patience::Pass && load.iter().all(Held::is_left) {
            let reason = "its sender has left".to_owned();
            return self.settle(queue, load, Reply::NotNow { http: 503, grpc: 14, reason, retry_after: None });
        }
        let joined: Vec<bytes::Bytes>;
        let slices = match &load[..] {
            [only] => &only.parcel.slices,
            _ => {
                joined = load.iter().flat_map(|held| held.parcel.slices.iter().cloned()).collect();
                &joined
            }
        };
        let Some(reply) = self.send_until_cut(queue, &load, slices).await else {
            load.into_iter().for_each(|held| queue.abandon(held));
            return;
        };
        if load.len() > 1 && matches!(reply, Reply::Refused { is_about_data: true, .. }) {
            let mut rest = load.into_iter();
            while let Some(held) = rest.next() {
                let alone = std::slice::from_ref(&held);
                match self.send_until_cut(queue, alone, &held.parcel.slices).await {
                    Some(reply) => self.settle(queue, vec![held], reply),
                    None => std::iter::once(held).chain(rest.by_ref()).for_each(|held| queue.abandon(held)),
                }
            }
            return;
        }
        self.settle(queue, load, reply);
    }

    /// `None`: a stop was over first.
    async fn send_until_cut(&mut self, queue: &Queue, load: &[Held], slices: &[bytes::Bytes]) -> Option<Reply> {
        tokio::select! {
            biased;
            reply = self.send(load, slices) => Some(reply),
            () = queue.until_cut() => {
                // A request may be half written.
                self.link = None;
                None
            }
        }
    }

    /// Tries until the sink has decided or patience is over.
    async fn send(&mut self, load: &[Held], slices: &[bytes::Bytes]) -> Reply {
        let parcel = &load[0].parcel;
        let shared = parcel.encoded.as_deref().filter(|_| load.len() == 1);
        let encoded = match self.grafted(load) {
            Some(grafted) => Ok(grafted),
            None => self.machinery.encoders.encode(self.plan.compression, slices, shared).await,
        };
        let body = match (encoded, self.plan.protocol) {
            (Ok(body), Protocol::Http) => Some(body),
            (Ok(body), Protocol::Grpc) => body.framed(self.plan.compression.name().is_some()),
            (Err(_), Protocol::Http | Protocol::Grpc) => None,
        };
        let Some(body) = body else {
            let reason = "the request cannot be encoded".to_owned();
            return Reply::Refused { http: 413, grpc: 8, reason, is_about_data: true };
        };
        let mut first_attempt = None;
        for attempt in 0.. {
            while let Some(until) = self.queue.paused_until() {
                if self.queue.patience() == Patience::Pass {
                    // The sender waits better than we do: it may have somewhere else to go.
                    let reason = "the sink has asked for a pause".to_owned();
                    let retry_after = Some(until.duration_since(Instant::now()));
                    return Reply::NotNow { http: 503, grpc: 14, reason, retry_after };
                }
                sleep_until(until).await;
            }
            let first_attempt = *first_attempt.get_or_insert_with(Instant::now);
            let reply = self.attempt(parcel.signal, &body).await;
            let Reply::NotNow { retry_after, reason, .. } = &reply else { return reply };
            let granted = retry_after.map(|wait| self.queue.pause(wait));
            self.say(reason);
            // What the sink asked for, or more by chance, so that lanes and hosts do not come back all at once.
            let wait = granted.unwrap_or_default() + backoff(attempt);
            let is_over = match self.queue.patience() {
                Patience::Pass => true,
                Patience::Retry => first_attempt.elapsed() + wait > self.plan.give_up_after,
                Patience::Keep => false,
            };
            if is_over {
                return reply;
            }
            sleep(wait).await;
        }
        unreachable!("the attempts have no end of their own")
    }

    /// The load as its senders compressed it.
    fn grafted(&self, load: &[Held]) -> Option<Slices> {
        if !self.plan.graft {
            return None;
        }
        if let [only] = load {
            return only.parcel.grafted.as_ref().map(|grafted| Slices::new(grafted.0.to_vec()));
        }
        let grafted: Vec<&Grafted> = load.iter().map(|held| held.parcel.grafted.as_deref()).collect::<Option<_>>()?;
        join(&grafted).map(Slices::new)
    }

    async fn attempt(&mut self, signal: Signal, body: &Slices) -> Reply {
        let start = Instant::now();
        let exchanged = timeout(self.plan.timeout, self.exchange(signal, body)).await;
        self.queue.note(matches!(exchanged, Ok(Ok(_))).then(|| start.elapsed()));
        let reply = match exchanged {
            Ok(Ok(received)) => {
                let now = self.machinery.clock.now();
                judged(&*self.sink, signal, &received, self.heads.secrets(), now)
            }
            Ok(Err(reason)) => {
                self.link = None;
                self.queue.tally().answer(OutletAnswer::None);
                return no_answer(reason);
            }
            Err(_) => {
                self.link = None;
                self.queue.tally().answer(OutletAnswer::None);
                return no_answer("timed out".to_owned());
            }
        };
        self.queue.tally().answer(match &reply {
            Reply::Taken => OutletAnswer::Taken,
            Reply::Partly { .. } | Reply::Unread => OutletAnswer::Partly,
            Reply::Refused { .. } => OutletAnswer::Refused,
            Reply::NotNow { .. } => OutletAnswer::NotNow,
        });
        reply
    }

    /// One request on the connection there is, or on a new one. A connection that the other side closed while
    /// nothing was on it costs no attempt.
    async fn exchange(&mut self, signal: Signal, body: &Slices) -> Result<Received, String> {
        let request = self.heads.request(signal, body)?;
        if let Some(mut link) = self.link.take().filter(Link::is_usable) {
            match link.exchange(request).await {
                Ok(received) => {
                    self.link = Some(link);
                    return Ok(received);
                }
                Err(Broken { is_again: true, .. }) => {}
                Err(Broken { reason, .. }) => return Err(reason),
            }
        }
        let address = self.heads.address(signal)?;
        let stream = self.machinery.connectors.connect(self.plan.protocol, &address).await?;
        let mut link = Link::open(stream, self.plan.protocol).await.map_err(|broken| broken.reason)?;
        let request = self.heads.request(signal, body)?;
        let received = link.exchange(request).await.map_err(|broken| broken.reason)?;
        self.link = Some(link);
        Ok(received)
    }

    fn settle(&mut self, queue: &Queue, load: Vec<Held>, reply: Reply) {
        let outcome = match &reply {
            Reply::Taken => OutletOutcome::Delivered,
            Reply::Unread => {
                self.say("success with an unreadable answer");
                OutletOutcome::Delivered
            }
            Reply::Partly { rejected, message } => {
                self.say(&format!("{rejected} items were rejected: {message}"));
                return share_out(queue, load, *rejected, message);
            }
            Reply::Refused { reason, .. } => {
                self.say(reason);
                OutletOutcome::Refused
            }
            Reply::NotNow { .. } => match queue.patience() {
                Patience::Retry => OutletOutcome::GaveUp,
                Patience::Pass | Patience::Keep => OutletOutcome::Returned,
            },
        };
        let fate = fate(reply);
        load.into_iter().for_each(|held| queue.settle(held, fate.clone(), outcome));
    }

    fn say(&mut self, reason: &str) {
        if self.said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.said_at = Some(Instant::now());
            tracing::warn!(sink = %self.queue.name(), reason, "a sink of telemetry does not take everything");
        }
    }
}

/// Whose items they were is not said: they are counted against the first parcels, and none twice.
fn share_out(queue: &Queue, load: Vec<Held>, rejected: u64, message: &str) {
    let mut left = rejected;
    for held in load {
        let rejected = left.min(held.parcel.item_count as u64);
        left -= rejected;
        let fate = Fate::Partly { rejected, message: message.to_owned() };
        queue.settle(held, fate, OutletOutcome::Delivered);
    }
}
