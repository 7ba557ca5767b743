//! Wakes incidents whose deadline has come. Takes no input but "look": the store says what is due, so a
//! restart, a commit and a periodic look are the same path.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::clock::{Clock, Jump};
use super::commit::Work;
use crate::model::Timestamp;
use crate::store::{Deadlines, Reader};

/// Incidents ticked in one transaction.
const TICK_COUNT_MAX: u32 = 256;
/// Incidents asked early after the clock was set back; holds have the nearest deadlines and stand first.
const LOOK_AHEAD_COUNT_MAX: u32 = 16_384;
/// A hold that had just begun is over its whole length after the clock as it was: those that are no longer are found.
const LOOK_AHEAD_HOLD: Duration = Duration::from_secs(3600);
/// How often to look even if nothing is known to be due: bounds what a moved clock can delay.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A failing store is not asked faster than this.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

pub struct Timers {
    pub reader: Arc<dyn Reader>,
    pub clock: Arc<Clock>,
    pub work: mpsc::Sender<Work>,
    pub next_deadline: watch::Receiver<Timestamp>,
    pub reset_deadline: watch::Sender<Timestamp>,
    pub stop: watch::Receiver<bool>,
}

impl Timers {
    pub async fn run(mut self) {
        let mut jumps = self.clock.watch();
        loop {
            if let Some(jump) = jumps.look(&self.clock) {
                let (direction, span) = match jump {
                    Jump::Forward(span) => ("forward", span),
                    Jump::Backward(span) => ("backward", span),
                };
                tracing::warn!(
                    span_ms = span.as_millis(),
                    "the clock moved {direction}; nothing lapses before it could be repeated"
                );
                if let Jump::Backward(span) = jump {
                    self.look_ahead(span).await;
                }
            }
            let looked = self.look().await;
            // What is due stays due: nothing that is committed meanwhile makes another look more useful.
            let has_failed = looked.is_err();
            let next = looked.unwrap_or_else(|reason| {
                tracing::warn!(reason, "not all deadlines could be met, trying again");
                Some(self.clock.now().plus(PAUSE_AFTER_FAILURE))
            });
            let now = self.clock.now();
            let wait = next.map_or(LOOK_EVERY, |at| at.since(now)).min(LOOK_EVERY);
            // Only what comes before the next look is worth one of its own.
            self.reset_deadline.send_if_modified(|held| {
                *held = now.plus(wait).min(*held);
                false
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = self.next_deadline.changed(), if !has_failed => if changed.is_err() { return },
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// After a step back: what was to come within its span, and within a hold after it, is asked now, because its
    /// time may have been noted by the clock as it was. Asking early changes nothing else.
    async fn look_ahead(&self, span: Duration) {
        let until = self.clock.now().plus(span + LOOK_AHEAD_HOLD);
        let Ok(Deadlines { due, .. }) = self.reader.due(until, LOOK_AHEAD_COUNT_MAX).await else {
            return;
        };
        for keys in due.chunks(TICK_COUNT_MAX as usize) {
            let (done, ticked) = oneshot::channel();
            if self.work.send(Work::Ticks { keys: keys.to_vec(), done }).await.is_err() {
                return;
            }
            let _ = ticked.await;
        }
    }

    /// Ticks all that is due; returns when the next one will be.
    async fn look(&self) -> Result<Option<Timestamp>, String> {
        loop {
            // What is committed from here on announces itself again.
            self.reset_deadline.send_if_modified(|held| {
                *held = Timestamp::MAX;
                false
            });
            let now = self.clock.now();
            let Deadlines { due: keys, next } =
                self.reader.due(now, TICK_COUNT_MAX).await.map_err(|error| error.to_string())?;
            if keys.is_empty() {
                return Ok(next);
            }
            let (done, ticked) = oneshot::channel();
            if self.work.send(Work::Ticks { keys, done }).await.is_err() {
                return Ok(None);
            }
            if !ticked.await.unwrap_or(false) {
                return Err("the transaction failed".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::store::testkit::{START, at, key, open_incident};
    use crate::store::{Changes, Loaded, Wanted, Writer, sqlite};

    struct Rig {
        _folder: tempfile::TempDir,
        writer: Box<dyn Writer>,
        work: mpsc::Receiver<Work>,
        next_deadline: watch::Sender<Timestamp>,
        stop: watch::Sender<bool>,
        clock: Arc<Clock>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Rig {
        /// Timers over a store that holds one open incident with this expiry.
        async fn new(expiry: Timestamp) -> Rig {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", folder.path().join("t.db").display());
            let (mut writer, reader) = sqlite::open(&url).await.unwrap();
            put(writer.as_mut(), expiry).await;
            let (work_in, work) = mpsc::channel(8);
            let (next_deadline, seen) = watch::channel(Timestamp::MAX);
            let (stop, stopped) = watch::channel(false);
            let clock = Arc::new(Clock::by_hand(START));
            let timers = Timers {
                reader: Arc::from(reader),
                clock: clock.clone(),
                work: work_in,
                next_deadline: seen,
                reset_deadline: next_deadline.clone(),
                stop: stopped,
            };
            let task = tokio::spawn(timers.run());
            Rig { _folder: folder, writer, work, next_deadline, stop, clock, task }
        }

        /// The next tick, and where its answer goes.
        async fn ticked(&mut self) -> (Vec<crate::model::IncidentKey>, oneshot::Sender<bool>) {
            match self.work.recv().await.unwrap() {
                Work::Ticks { keys, done } => (keys, done),
                Work::Alerts { .. } | Work::Settle { .. } | Work::Reject { .. } | Work::Chore(_) => {
                    unreachable!("timers only tick")
                }
            }
        }
    }

    async fn put(writer: &mut dyn Writer, expiry: Timestamp) {
        let incident = Arc::new(open_incident(1, expiry));
        let decide = move |_: Loaded| Changes { incidents: vec![incident], now: START, ..Changes::default() };
        writer.transact(Wanted::default(), Box::new(decide)).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_due_is_ticked_again_after_a_pause_when_it_failed_and_no_commit_hurries_it() {
        let mut rig = Rig::new(START).await;
        let (keys, done) = rig.ticked().await;
        assert_eq!(keys, [key(1)]);
        let failed_at = Instant::now();
        done.send(false).unwrap();
        for _ in 0..20 {
            rig.next_deadline.send_replace(START);
            tokio::task::yield_now().await;
        }
        let (keys, done) = rig.ticked().await;
        assert_eq!(keys, [key(1)]);
        assert!(failed_at.elapsed() >= PAUSE_AFTER_FAILURE / 2, "after {:?}", failed_at.elapsed());
        put(rig.writer.as_mut(), at(3600)).await;
        done.send(true).unwrap();
        rig.stop.send_replace(true);
        rig.task.await.unwrap();
        assert!(rig.work.try_recv().is_err(), "nothing is due any more");
    }

    #[tokio::test]
    async fn what_was_noted_just_before_the_clock_was_set_back_is_asked_at_once_and_not_when_the_clock_is_there_again()
    {
        let mut rig = Rig::new(at(60)).await;
        // The task notes how late it is before it waits for anything.
        tokio::task::yield_now().await;
        rig.clock.move_by_ms(-3_600_000);
        let (keys, done) = rig.ticked().await;
        assert_eq!(keys, [key(1)], "due a minute after the time that the clock has lost");
        done.send(true).unwrap();
        rig.stop.send_replace(true);
        rig.task.await.unwrap();
    }
}
