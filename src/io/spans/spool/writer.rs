//! The thread of the spool: writes what waits, syncs once for all of it, then lets it go on. Never tells anybody
//! that something is kept before the sync, and goes on after any failure of the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::feed::Feed;
use super::files::{self, FILE_HEAD_BYTES};
use super::record::{self, Head, Position, SINK_COUNT_MAX};
use super::{NotKept, SinkId, SpoolSettings, View};
use crate::io::spans::faces::Parcel;
use crate::telemetry::SpoolTally;

/// Bytes that share a sync; what waits beyond is the next group.
const GROUP_BYTES_MAX: u64 = 8 << 20;
/// After a failure the disk is left alone for so long.
const FAULT_PAUSE: Duration = Duration::from_millis(100);

pub(super) enum Command {
    Append { parcels: Vec<(Parcel, Vec<SinkId>)>, done: oneshot::Sender<Result<(), NotKept>> },
    Settle { position: Position, sink: SinkId },
    Stop,
}

/// A segment that is not deleted yet.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// End of the last whole record.
    pub(super) used: u64,
    pub(super) byte_count: u64,
    /// Pairs of a record and a sink that has not settled it.
    pub(super) open_count: u64,
    pub(super) is_damaged: bool,
}

struct Active {
    file: File,
    number: u64,
    /// End of what is synced.
    committed: u64,
    /// End of what is written or staged.
    at: u64,
    capacity: u64,
}

/// Kept on disk together with others.
struct Placed {
    position: Position,
    parcel: Parcel,
    sinks: Vec<SinkId>,
}

type Waiter = oneshot::Sender<Result<(), NotKept>>;

pub(super) struct Writer {
    settings: SpoolSettings,
    view: Arc<View>,
    pub(super) tally: Arc<SpoolTally>,
    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) next_number: u64,
    pub(super) next_sequence: u64,
    active: Option<Active>,
    preparing: Option<std::thread::JoinHandle<io::Result<File>>>,
    /// Written, but not yet to the file.
    staged: Vec<u8>,
    failed_at: Option<Instant>,
    /// What was staged for the present group did not all reach its file.
    group_fault: Option<io::Error>,
    /// Held until the end.
    _lock: File,
}

impl Writer {
    pub(super) fn new(settings: &SpoolSettings, lock: File, view: Arc<View>, tally: Arc<SpoolTally>) -> Writer {
        // Some segments must fit: a full one is only given back as a whole.
        let segment_bytes = settings.segment_bytes.min(settings.bytes_max / 4).max(4096);
        Writer {
            settings: SpoolSettings { segment_bytes, ..settings.clone() },
            view,
            tally,
            segments: BTreeMap::new(),
            next_number: 1,
            next_sequence: 1,
            active: None,
            preparing: None,
            staged: Vec::new(),
            failed_at: None,
            group_fault: None,
            _lock: lock,
        }
    }

    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Command>, feeds: &BTreeMap<SinkId, Arc<Feed>>) {
        self.prepare();
        let mut is_stopping = false;
        while !is_stopping && let Some(first) = waiting.blocking_recv() {
            let mut next = Some(first);
            let (mut placed, mut waiters, mut settled) = (Vec::new(), Vec::new(), Vec::new());
            let mut group_bytes = 0;
            while let Some(command) = next {
                match command {
                    Command::Append { parcels, done } => {
                        group_bytes += parcels.iter().map(|(parcel, _)| parcel.byte_count as u64).sum::<u64>();
                        self.place(parcels, done, &mut placed, &mut waiters);
                    }
                    Command::Settle { position, sink } => settled.push((position, sink)),
                    Command::Stop => is_stopping = true,
                }
                next = if group_bytes < GROUP_BYTES_MAX { waiting.try_recv().ok() } else { None };
            }
            self.commit(placed, waiters, feeds);
            self.settle(settled);
        }
        self.seal();
        if let Some(preparing) = self.preparing.take() {
            let _ = preparing.join();
            files::remove_spare(&self.settings.directory);
        }
    }

    /// Finds room for all parcels of a request, or for none that anybody is told of.
    fn place(
        &mut self,
        parcels: Vec<(Parcel, Vec<SinkId>)>,
        done: Waiter,
        placed: &mut Vec<Placed>,
        waiters: &mut Vec<Waiter>,
    ) {
        for (parcel, sinks) in parcels {
            if sinks.is_empty() {
                continue;
            }
            match self.room(&parcel, &sinks) {
                Ok(position) => {
                    let head = Head {
                        sequence: self.next_sequence,
                        signal: parcel.signal,
                        item_count: u32::try_from(parcel.item_count).unwrap_or(u32::MAX),
                        sinks,
                    };
                    self.next_sequence += 1;
                    record::write(&mut self.staged, position, &head, &parcel.slices);
                    placed.push(Placed { position, parcel, sinks: head.sinks });
                }
                Err(not_kept) => {
                    self.tally.not_now.fetch_add(1, Ordering::Relaxed);
                    // What was placed of this request before is delivered all the same; the sender sends it again.
                    let _ = done.send(Err(not_kept));
                    return;
                }
            }
        }
        waiters.push(done);
    }

    fn room(&mut self, parcel: &Parcel, sinks: &[SinkId]) -> Result<Position, NotKept> {
        let byte_count = record::byte_count(sinks.len(), parcel.byte_count);
        if sinks.len() > SINK_COUNT_MAX || byte_count > u64::from(u32::MAX / 2) {
            return Err(NotKept { reason: "the request is too large for the spool".to_owned() });
        }
        if self.active.as_ref().is_none_or(|active| active.at + byte_count > active.capacity) {
            self.rotate(byte_count)?;
        }
        let active = self.active.as_mut().expect("it was opened just now");
        let offset = u32::try_from(active.at).expect("a segment is smaller than 4 GiB");
        active.at += byte_count;
        if active.at > active.capacity / 2 {
            self.prepare();
        }
        Ok(Position { segment: self.active.as_ref().map_or(0, |active| active.number), offset })
    }

    /// Begins a new segment that has room for this record.
    fn rotate(&mut self, byte_count: u64) -> Result<(), NotKept> {
        if self.failed_at.is_some_and(|at| at.elapsed() < FAULT_PAUSE) {
            return Err(NotKept { reason: "the spool's disk failed a moment ago".to_owned() });
        }
        if let Err(cause) = self.flush() {
            // Others of this group were staged too: none of them is kept.
            let not_kept = self.failed(&cause);
            self.group_fault = Some(cause);
            return Err(not_kept);
        }
        self.seal();
        let capacity = self.settings.segment_bytes.max(FILE_HEAD_BYTES + byte_count);
        if self.count_bytes() + capacity > self.settings.bytes_max {
            return Err(NotKept { reason: "the spool is full".to_owned() });
        }
        let number = self.next_number;
        let prepared = self.preparing.take().map(|preparing| preparing.join().unwrap_or_else(|_| Err(died())));
        let fits = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() >= capacity);
        let file = match prepared {
            Some(Ok(file)) if fits(&file) => Ok(file),
            Some(_) | None => files::preallocate(&self.settings.directory, capacity),
        };
        let file = file.and_then(|file| files::christen(&self.settings.directory, &file, number).map(|()| file));
        let file = file.map_err(|cause| self.failed(&cause))?;
        self.next_number += 1;
        self.failed_at = None;
        let segment = Segment { used: FILE_HEAD_BYTES, byte_count: capacity, ..Segment::default() };
        self.segments.insert(number, segment);
        self.active = Some(Active { file, number, committed: FILE_HEAD_BYTES, at: FILE_HEAD_BYTES, capacity });
        self.count_bytes();
        Ok(())
    }

    fn failed(&mut self, cause: &io::Error) -> NotKept {
        if self.failed_at.is_none() {
            tracing::error!(error = %cause, "the spool's disk fails; senders are asked to come back");
        }
        self.failed_at = Some(Instant::now());
        NotKept { reason: format!("the spool's disk fails: {cause}") }
    }

    /// Writes what is staged, without a sync.
    fn flush(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if self.staged.is_empty() {
            return Ok(());
        }
        let start = active.at - self.staged.len() as u64;
        let written = active.file.write_all_at(&self.staged, start);
        self.staged.clear();
        if self.staged.capacity() > 1 << 20 {
            self.staged = Vec::new();
        }
        written
    }

    /// Syncs everything placed, then lets it go on.
    fn commit(&mut self, mut placed: Vec<Placed>, waiters: Vec<Waiter>, feeds: &BTreeMap<SinkId, Arc<Feed>>) {
        let mut answer = Ok(());
        if let Err(cause) = self.sync(&placed) {
            answer = Err(self.failed(&cause));
            self.abandon();
            self.tally.not_now.fetch_add(waiters.len() as u64, Ordering::Relaxed);
            // Those in a segment that was sealed meanwhile are whole: they are delivered, and come again.
            placed.retain(|placed| {
                let segment = self.segments.get(&placed.position.segment);
                segment.is_some_and(|segment| u64::from(placed.position.offset) < segment.used)
            });
        }
        for placed in &placed {
            let segment = self.segments.get_mut(&placed.position.segment).expect("a record lies in a segment");
            segment.open_count += placed.sinks.len() as u64;
            self.tally.open.fetch_add(placed.sinks.len() as u64, Ordering::Relaxed);
        }
        if let Some(active) = &mut self.active {
            active.committed = active.at;
            let (number, end) = (active.number, active.at);
            self.segments.get_mut(&number).expect("the active segment is one").used = end;
        }
        self.publish();
        // In the order of the records: what a feed has seen once it does not look for on disk.
        for Placed { position, parcel, sinks } in placed {
            for sink in sinks {
                match feeds.get(&sink) {
                    Some(feed) => feed.offer(position, parcel.clone()),
                    // The settings know no such sink; a road that asks for it is wrong, and nothing waits for it.
                    None => self.settle(vec![(position, sink)]),
                }
            }
        }
        waiters.into_iter().for_each(|done| drop(done.send(answer.clone())));
    }

    fn sync(&mut self, placed: &[Placed]) -> io::Result<()> {
        if let Some(cause) = self.group_fault.take() {
            return Err(cause);
        }
        if placed.is_empty() {
            return Ok(());
        }
        self.flush()?;
        self.active.as_ref().map_or(Ok(()), |active| active.file.sync_data())
    }

    /// Lets the feeds read up to here.
    fn publish(&self) {
        self.view.with(|committed| {
            for (number, segment) in self.segments.range(committed.end.segment..) {
                committed.ends.insert(*number, segment.used);
            }
            if let Some(active) = &self.active {
                let offset = u32::try_from(active.committed).expect("a segment is smaller than 4 GiB");
                committed.end = Position { segment: active.number, offset };
            }
        });
    }

    /// After a failed write or sync nobody knows what the file holds behind the last commit.
    fn abandon(&mut self) {
        self.staged.clear();
        let Some(active) = self.active.take() else { return };
        // If this fails too, the next start finds what is whole, and delivers it a second time at worst.
        let _ = active.file.set_len(active.committed).and_then(|()| active.file.sync_all());
        let segment = self.segments.get_mut(&active.number).expect("the active segment is one");
        segment.used = active.committed;
        segment.byte_count = active.committed;
        self.retire(active.number);
    }

    /// Ends the active segment; what it does not need is given back.
    fn seal(&mut self) {
        let Some(active) = self.active.take() else { return };
        // Its records may be part of a group that is not synced yet.
        let cut = active.file.set_len(active.at).and_then(|()| active.file.sync_all());
        let segment = self.segments.get_mut(&active.number).expect("the active segment is one");
        segment.used = if cut.is_ok() { active.at } else { active.committed };
        segment.byte_count = active.file.metadata().map_or(active.capacity, |metadata| metadata.len());
        if let Err(cause) = cut {
            let _ = self.failed(&cause);
            self.group_fault = Some(cause);
        }
        if active.committed == active.at {
            self.retire(active.number);
        }
    }

    /// Notes what is settled, and deletes segments in which nothing is open.
    fn settle(&mut self, settled: Vec<(Position, SinkId)>) {
        let mut by_segment: BTreeMap<u64, Vec<(u32, SinkId)>> = BTreeMap::new();
        for (position, sink) in settled {
            by_segment.entry(position.segment).or_default().push((position.offset, sink));
        }
        for (number, done) in by_segment {
            let Some(segment) = self.segments.get_mut(&number) else { continue };
            segment.open_count = segment.open_count.saturating_sub(done.len() as u64);
            self.tally.open.fetch_sub(done.len() as u64, Ordering::Relaxed);
            let is_over = segment.open_count == 0 && self.active.as_ref().is_none_or(|active| active.number != number);
            if is_over {
                self.retire(number);
            } else if let Err(cause) = files::note_done(&self.settings.directory, number, &done) {
                // They will be sent twice after a restart.
                tracing::warn!(segment = number, error = %cause, "the spool cannot note what is settled");
            }
        }
    }

    /// Deletes a segment that is not the active one, or sets it aside, if nothing in it is open.
    pub(super) fn retire(&mut self, number: u64) {
        let Some(segment) = self.segments.get(&number).filter(|segment| segment.open_count == 0) else { return };
        let gone = if segment.is_damaged {
            files::set_aside(&self.settings.directory, number)
        } else {
            files::remove(&self.settings.directory, number)
        };
        if let Err(cause) = gone {
            tracing::warn!(segment = number, error = %cause, "a segment of the spool cannot be removed");
        }
        self.segments.remove(&number);
        self.view.with(|committed| committed.ends.remove(&number));
        self.count_bytes();
    }

    pub(super) fn count_bytes(&self) -> u64 {
        let byte_count = self.segments.values().map(|segment| segment.byte_count).sum();
        self.tally.bytes.store(byte_count, Ordering::Relaxed);
        byte_count
    }

    /// Makes the next segment's file on a thread of its own, so that nobody waits for it.
    fn prepare(&mut self) {
        let byte_count = self.settings.segment_bytes;
        if self.preparing.is_some() || self.count_bytes() + byte_count > self.settings.bytes_max {
            return;
        }
        let directory = self.settings.directory.clone();
        let thread = std::thread::Builder::new().name("tawny-spool-next".to_owned());
        // Without it the file is made when it is needed.
        self.preparing = thread.spawn(move || files::preallocate(&directory, byte_count)).ok();
    }
}

fn died() -> io::Error {
    io::Error::other("the thread that prepares segments died")
}
