//! The way from the spool to one sink: straight after the sync while the sink keeps up, from disk when it does not.
//! Never gives a record to a sink twice in one life of the daemon.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::files::{self, FILE_HEAD_BYTES, Kind};
use super::record::{Position, Record, Scanner};
use super::writer::Command;
use super::{SinkId, View};
use crate::io::spans::faces::{Budget, Fate, Outlet, Parcel};

/// How long to wait where nobody says when there is room again.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// There is nothing to read.
    Level,
    Behind,
}

pub(super) struct Feed {
    sink: SinkId,
    outlet: Arc<dyn Outlet>,
    view: Arc<View>,
    commands: mpsc::WeakSender<Command>,
    /// The thread of the spool is none of the runtime's.
    runtime: Handle,
    progress: Mutex<Progress>,
    /// The sink fell behind, or has settled something.
    stirred: Notify,
    /// Parcels that the sink has and that nobody has heard of again.
    pub(super) unheard: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Everything before this was read from disk or offered; what comes is offered straight.
    Level { since: Position },
    /// From here on it is read from disk.
    Behind { from: Position },
}

impl Feed {
    pub(super) fn new(
        sink: SinkId,
        outlet: Arc<dyn Outlet>,
        view: Arc<View>,
        commands: mpsc::WeakSender<Command>,
        start: Start,
    ) -> Feed {
        let progress = match start {
            Start::Level => Progress::Level { since: Position::default() },
            Start::Behind => Progress::Behind { from: Position::default() },
        };
        let (runtime, progress) = (Handle::current(), Mutex::new(progress));
        Feed { sink, outlet, view, commands, runtime, progress, stirred: Notify::new(), unheard: AtomicUsize::new(0) }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called for each record, in order, after it is on disk.
    pub(super) fn offer(self: &Arc<Feed>, position: Position, parcel: Parcel) {
        let mut progress = self.progress();
        let Progress::Level { since } = *progress else { return };
        if position >= since && !self.try_offer(position, parcel) {
            *progress = Progress::Behind { from: position };
            self.stirred.notify_one();
        }
    }

    fn try_offer(self: &Arc<Feed>, position: Position, parcel: Parcel) -> bool {
        let (told, fate) = oneshot::channel();
        let is_taken = self.outlet.offer(parcel, Some(told)).is_ok();
        if is_taken {
            let feed = self.clone();
            self.unheard.fetch_add(1, Ordering::Relaxed);
            self.runtime.spawn(async move { feed.hear(position, fate).await });
        }
        is_taken
    }

    async fn hear(&self, position: Position, fate: oneshot::Receiver<Fate>) {
        let is_settled = match fate.await {
            Ok(Fate::Delivered | Fate::Partly { .. } | Fate::Refused { .. }) => true,
            // The daemon stops; the next start reads it again.
            Ok(Fate::NotNow { .. }) | Err(_) => false,
        };
        self.stirred.notify_one();
        if is_settled && let Some(commands) = self.commands.upgrade() {
            // A spool that is closed notes nothing more: it is sent twice.
            let _ = commands.send(Command::Settle { position, sink: self.sink }).await;
        }
        self.unheard.fetch_sub(1, Ordering::Relaxed);
    }

    /// Reads while the sink is behind; ends when it is aborted.
    pub(super) async fn run(self: Arc<Feed>, budget: Arc<Budget>) {
        let mut reader = Reader { view: self.view.clone(), sink: self.sink, open: None };
        loop {
            let from = match *self.progress() {
                Progress::Level { .. } => None,
                Progress::Behind { from } => Some(from),
            };
            let Some(from) = from else {
                self.stirred.notified().await;
                continue;
            };
            let read = tokio::task::spawn_blocking(move || {
                let record = reader.next(from);
                (reader, record)
            });
            let Ok((back, record)) = read.await else { return };
            reader = back;
            match record {
                Ok(record) => self.offer_from_disk(record, &budget).await,
                Err(ReadUntil(end)) => self.level_at(end),
            }
        }
    }

    /// Offers until it is taken, and goes on behind it.
    async fn offer_from_disk(self: &Arc<Feed>, record: Record, budget: &Arc<Budget>) {
        let Record { position, head, payload, end } = record;
        let share = loop {
            match budget.take_alone(payload.len()) {
                Some(share) => break Arc::new(share),
                None => sleep(LOOK_EVERY).await,
            }
        };
        let parcel = Parcel::new(head.signal, vec![payload], head.item_count as usize, share);
        while !self.try_offer(position, parcel.clone()) {
            let _ = timeout(LOOK_EVERY, self.stirred.notified()).await;
        }
        let offset = u32::try_from(end).expect("a segment is smaller than 4 GiB");
        *self.progress() = Progress::Behind { from: Position { offset, ..position } };
    }

    /// The end was reached: if it still is the end, the next record comes straight.
    fn level_at(&self, read_until: Position) {
        let mut progress = self.progress();
        let end = self.view.with(|committed| committed.end);
        // A commit publishes its end before it offers: whoever offers after this sees that we are level.
        *progress = match self.view.next_end(read_until) {
            None => Progress::Level { since: end.max(read_until) },
            Some(_) => Progress::Behind { from: read_until },
        };
    }
}

impl View {
    /// The first segment that has something at or behind a place, and where reading begins and ends in it.
    fn next_end(&self, from: Position) -> Option<(u64, u64, u64)> {
        self.with(|committed| {
            let start = |number: u64| {
                let known = if number == from.segment { u64::from(from.offset) } else { 0 };
                known.max(FILE_HEAD_BYTES)
            };
            let mut ends = committed.ends.range(from.segment..).map(|(number, end)| (*number, start(*number), *end));
            ends.find(|(_, start, end)| start < end)
        })
    }
}

/// Reads what a sink has not settled, segment by segment.
struct Reader {
    view: Arc<View>,
    sink: SinkId,
    open: Option<Open>,
}

/// There was nothing for the sink up to here.
struct ReadUntil(Position);

struct Open {
    number: u64,
    file: File,
    done: HashSet<u32>,
}

impl Reader {
    /// The first record at or behind a place that the sink has not settled. Blocks.
    fn next(&mut self, mut from: Position) -> Result<Record, ReadUntil> {
        while let Some((number, start, end)) = self.view.next_end(from) {
            match self.next_in(number, start, end) {
                Ok(Some(record)) => return Ok(record),
                Ok(None) => {}
                // It was deleted a moment ago, or cannot be read any more: a start will say so.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => tracing::error!(segment = number, error = %cause, "a segment of the spool fails"),
            }
            let offset = u32::try_from(end).unwrap_or(u32::MAX);
            from = Position { segment: number, offset };
        }
        Err(ReadUntil(from))
    }

    fn next_in(&mut self, number: u64, start: u64, end: u64) -> io::Result<Option<Record>> {
        if self.open.as_ref().is_none_or(|open| open.number != number) {
            let directory = &self.view.directory;
            let file = File::open(files::path(directory, number, Kind::Segment))?;
            let done = files::read_done(directory, number)?;
            let mine = done.into_iter().filter(|(_, sink)| *sink == self.sink).map(|(offset, _)| offset).collect();
            self.open = Some(Open { number, file, done: mine });
        }
        let open = self.open.as_ref().expect("it was opened just now");
        let mut scanner = Scanner::new(&open.file, number, start, end);
        while let Some(record) = scanner.next()? {
            if scanner.is_damaged {
                // It was whole at the start. What is lost of it stays open, and the next start counts the damage.
                tracing::error!(segment = number, "bytes of the spool have changed; whole records go on");
            }
            if record.head.sinks.contains(&self.sink) && !open.done.contains(&record.position.offset) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}
