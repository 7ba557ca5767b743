//! Ends what was meant for sinks that the settings no longer name, so that nothing waits for ever. Never
//! touches a delivery of a sink that is there.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::commit::Work;
use crate::model::DeliveryOutcome;
use crate::store::{Reader, Settlement, Stray};

/// Settled in one transaction.
const PAGE: u32 = 1000;

/// Makes dead letters of them, at the start. A store that fails meanwhile leaves the rest to the next start.
pub async fn settle(reader: &dyn Reader, sinks: &[Arc<str>], clock: &Clock, work: &mpsc::Sender<Work>) {
    let mut count = 0;
    loop {
        let strays = match reader.strays(sinks, PAGE).await {
            Ok(strays) => strays,
            Err(error) => {
                tracing::warn!(error = %error, "deliveries of sinks that are gone cannot be looked for");
                break;
            }
        };
        if strays.is_empty() {
            break;
        }
        let now = clock.now();
        let dead = |stray: &Stray| Settlement {
            id: stray.id,
            attempts: stray.attempts,
            next_attempt_at: now,
            outcome: Some(DeliveryOutcome::Dead),
            reason: format!("sink `{}` is no longer in the settings", stray.sink),
            at: now,
        };
        let (done, committed) = oneshot::channel();
        let settlements = strays.iter().map(dead).collect();
        let is_sent = work.send(Work::Settle { settlements, done }).await.is_ok();
        if !is_sent || !committed.await.unwrap_or(false) {
            break;
        }
        count += strays.len();
    }
    if count > 0 {
        tracing::warn!(count, "deliveries of sinks that are no longer in the settings became dead letters");
    }
}
