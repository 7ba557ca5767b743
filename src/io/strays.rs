//! Ends what was meant for sinks that the settings no longer name, so that nothing waits for ever, and has open incidents
//! look for whom to tell instead. Never touches a delivery of a sink that is there.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::clock::Clock;
use super::commit::{Chore, Work};
use crate::model::{DeliveryOutcome, Timestamp};
use crate::store::{Reader, Settlement, Stray};

/// Settled in one transaction.
const PAGE: u32 = 1000;
/// Asked in one transaction.
const TICK_COUNT_MAX: usize = 256;
/// Under this name the store keeps the names of the sinks, a line each, whose incidents have been looked after.
const KEPT_AS: &str = "sinks";

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

/// Where a sink has left since the last start, asks every open incident behind the start's back, so that it is told to whom
/// its routes name now, and not only with its next word or reminder. What fails is left to the next start.
pub async fn look_after(
    reader: Arc<dyn Reader>,
    sinks: &[Arc<str>],
    work: mpsc::Sender<Work>,
    stop: watch::Receiver<bool>,
) {
    let names = sinks.join("\n");
    let known = match reader.kept(KEPT_AS).await {
        Ok(known) => known.map(|known| String::from_utf8_lossy(&known).into_owned()),
        Err(error) => {
            tracing::warn!(error = %error, "whether a sink has left since the last start cannot be looked up");
            return;
        }
    };
    if known.as_ref() == Some(&names) {
        return;
    }
    let is_there = |name: &&str| sinks.iter().any(|sink| **sink == **name);
    let left: Vec<&str> = known.iter().flat_map(|known| known.lines()).filter(|name| !is_there(name)).collect();
    if left.is_empty() {
        return keep(names, &work).await;
    }
    tracing::warn!(
        sinks = left.join(", "),
        "sinks have left since the last start; open incidents that they know of are told to whom their routes name now"
    );
    tokio::spawn(async move {
        if are_asked(reader.as_ref(), &work, &stop).await {
            keep(names, &work).await;
        }
    });
}

async fn are_asked(reader: &dyn Reader, work: &mpsc::Sender<Work>, stop: &watch::Receiver<bool>) -> bool {
    let open = match reader.due(Timestamp::MAX, u32::MAX).await {
        Ok(deadlines) => deadlines.due,
        Err(error) => {
            tracing::warn!(error = %error, "open incidents cannot be asked whether a sink that has left knew of them");
            return false;
        }
    };
    for keys in open.chunks(TICK_COUNT_MAX) {
        let (done, asked) = oneshot::channel();
        let is_sent = !*stop.borrow() && work.send(Work::Ticks { keys: keys.to_vec(), done }).await.is_ok();
        if !is_sent || !asked.await.unwrap_or(false) {
            return false;
        }
    }
    true
}

async fn keep(names: String, work: &mpsc::Sender<Work>) {
    let (done, kept) = oneshot::channel();
    let chore = Chore::Keep { name: KEPT_AS, value: names.into_bytes(), done };
    if work.send(Work::Chore(chore)).await.is_ok() {
        let _ = kept.await;
    }
}
