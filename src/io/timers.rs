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
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = self.next_deadline.changed(), if !has_failed => if changed.is_err() { return },
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
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
