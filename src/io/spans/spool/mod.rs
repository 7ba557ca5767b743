//! What has been acknowledged and not yet delivered, on disk: survives a kill, torn tails and flipped bits. Never
//! says that a request is kept before it is synced, and never refuses to start because of what it finds.
//!
//! A directory holds segments, `NNN.seg` (16 hex digits), written one after another and preallocated. A segment
//! begins with `TAWNYSP1`, its number and a CRC-32 of both (24 bytes). Records follow at multiples of 8, numbers in
//! little endian:
//!
//! | bytes | is |
//! | --- | --- |
//! | 0..4 | `TwR` and 1 |
//! | 4..8 | CRC-32 of bytes 8..48 and the sinks |
//! | 8..16, 16..24, 24..28 | sequence; number of the segment; offset of this record in it |
//! | 28..32, 32..36, 36..40 | length of the payload; items; CRC-32 of the payload |
//! | 40, 41, 42..48 | signal; count of sinks; zeros |
//! | 48.. | sinks, 4 bytes each; then the payload: one request in protobuf |
//!
//! `NNN.done` lists what is settled: offset, sink, a CRC-32 of the segment's number and both, `done`. It is not
//! synced: what is lost of it is sent twice. A segment is deleted when every sink has settled every record; one without
//! its head, or in which a record stands behind bytes that are none, is renamed to `NNN.damaged` instead, and the last
//! four are kept. The next segment is `next.tmp` until its zeros and its head are synced, so no crash leaves a `.seg`
//! without a head: that is damage.
//! `lock` is held while a daemon uses the directory.

mod feed;
mod files;
mod open;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::faces::{Budget, Outlet, Parcel};
use crate::telemetry::SpoolTally;
use feed::Feed;
use record::Position;
use writer::Command;

/// A sink, by a number that stays the same over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkId(pub u32);

impl SinkId {
    /// From the name in the settings.
    pub fn of(name: &str) -> SinkId {
        SinkId(crc32fast::hash(name.as_bytes()))
    }
}

/// Where and how much.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    pub directory: PathBuf,
    /// Size of a segment; 64 MiB unless a test wants otherwise.
    pub segment_bytes: u64,
    /// All files together.
    pub bytes_max: u64,
}

pub const SEGMENT_BYTES: u64 = 64 << 20;

/// What a start found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Records that some sink has not settled.
    pub open_record_count: u64,
    /// Pairs of a record and a sink that has not settled it.
    pub open_delivery_count: u64,
    /// Segments in which bytes had changed, or that were gone with their heads; what could be read of them is among
    /// the open records.
    pub damaged_segment_count: u64,
    /// Segments that ended in the middle of a record, as after a power cut.
    pub torn_segment_count: u64,
    /// Deliveries to sinks that are no longer in the settings.
    pub forgotten_delivery_count: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("the spool `{directory}` is used by another process")]
    Locked { directory: String },
    #[error("the spool `{directory}` cannot be opened")]
    Unusable {
        directory: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("sinks `{first}` and `{second}` have the same number; rename one")]
    SameNumber { first: String, second: String },
}

/// The spool cannot keep it now: the budget is used up, or the disk fails. Nothing was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotKept {
    pub reason: String,
}

/// An open spool. Parcels that it keeps go to the outlets by themselves.
pub struct Spool {
    commands: mpsc::Sender<Command>,
    thread: Option<std::thread::JoinHandle<()>>,
    feeds: Vec<Arc<Feed>>,
    feeders: Vec<JoinHandle<()>>,
}

impl Spool {
    /// Opens the directory, reads what was left there, and begins to feed it to the outlets. These must be of
    /// [`Patience::Keep`](super::out::Patience): what they hand back is read again at the next start. Blocks while it reads;
    /// needs a running tokio runtime.
    pub fn open(
        settings: &SpoolSettings,
        outlets: &[(Arc<str>, Arc<dyn Outlet>)],
        budget: &Arc<Budget>,
        tally: Arc<SpoolTally>,
    ) -> Result<(Spool, Found), SpoolError> {
        let mut sinks: BTreeMap<SinkId, (&Arc<str>, &Arc<dyn Outlet>)> = BTreeMap::new();
        for (name, outlet) in outlets {
            if let Some((first, _)) = sinks.insert(SinkId::of(name), (name, outlet)) {
                let (first, second) = (first.to_string(), name.to_string());
                return Err(SpoolError::SameNumber { first, second });
            }
        }
        let known = sinks.keys().copied().collect();
        let opened = open::open(settings, &known, tally)?;
        let (commands, waiting) = mpsc::channel(COMMAND_COUNT_MAX);
        let start = if opened.found.open_delivery_count > 0 { feed::Start::Behind } else { feed::Start::Level };
        let feeds: BTreeMap<SinkId, Arc<Feed>> = sinks
            .iter()
            .map(|(sink, (_, outlet))| {
                let feed = Feed::new(*sink, Arc::clone(outlet), opened.view.clone(), commands.downgrade(), start);
                (*sink, Arc::new(feed))
            })
            .collect();
        let feeders = feeds.values().map(|feed| tokio::spawn(feed.clone().run(budget.clone()))).collect();
        let (writer, kept) = (opened.writer, feeds.values().cloned().collect());
        let thread = std::thread::Builder::new()
            .name("tawny-spool".to_owned())
            .spawn(move || writer.run(waiting, &feeds))
            .map_err(|cause| unusable(settings, cause))?;
        Ok((Spool { commands, thread: Some(thread), feeds: kept, feeders }, opened.found))
    }

    /// Keeps the parcels, each for its sinks; returns when all of them are on disk. After an error some of them may
    /// have been kept: the sender sends them again.
    pub async fn append(&self, parcels: Vec<(Parcel, Vec<SinkId>)>) -> Result<(), NotKept> {
        let (done, kept) = oneshot::channel();
        let gone = || NotKept { reason: "the spool is closed".to_owned() };
        self.commands.send(Command::Append { parcels, done }).await.map_err(|_| gone())?;
        kept.await.map_err(|_| gone())?
    }

    /// Stops reading, notes what is settled and closes the files. The outlets must have stopped before, so that what
    /// they settled is noted.
    pub async fn close(mut self) {
        for feeder in self.feeders.drain(..) {
            feeder.abort();
            // An aborted task says so; there is nothing else to hear.
            let _ = feeder.await;
        }
        // What the outlets have just settled is on its way here; what comes later than this is sent twice.
        let heard = async {
            while self.feeds.iter().any(|feed| feed.unheard.load(Ordering::Relaxed) > 0) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, heard).await;
        let _ = self.commands.send(Command::Stop).await;
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the thread of the spool died");
            }
        }
    }
}

/// Commands that wait; each append among them holds its part of the budget of bytes.
const COMMAND_COUNT_MAX: usize = 4096;

/// How long a close waits for outlets that have stopped.
const LAST_WORDS: Duration = Duration::from_secs(1);

fn unusable(settings: &SpoolSettings, cause: std::io::Error) -> SpoolError {
    SpoolError::Unusable { directory: settings.directory.display().to_string(), cause }
}

/// What is on disk and may be read: for the feeds.
#[derive(Debug, Default)]
struct View {
    directory: PathBuf,
    committed: Mutex<Committed>,
}

#[derive(Debug, Default)]
struct Committed {
    /// End of the last whole record, by segment.
    ends: BTreeMap<u64, u64>,
    /// Where the next record will lie, or after.
    end: Position,
}

impl View {
    fn with<T>(&self, look: impl FnOnce(&mut Committed) -> T) -> T {
        look(&mut self.committed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
