//! What a start makes of a directory: whole records are found again, torn tails are cut, damage is counted. Never
//! fails because of what stands in a file.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::files::{self, FILE_HEAD_BYTES, Kind};
use super::record::{Position, Scanner};
use super::writer::{Segment, Writer};
use super::{Found, SinkId, SpoolError, SpoolSettings, View, unusable};
use crate::telemetry::SpoolTally;

pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) view: Arc<View>,
    pub(super) found: Found,
}

pub(super) fn open(
    settings: &SpoolSettings,
    known: &BTreeSet<SinkId>,
    tally: Arc<SpoolTally>,
) -> Result<Opened, SpoolError> {
    let directory = &settings.directory;
    fs::create_dir_all(directory).map_err(|cause| unusable(settings, cause))?;
    let lock = lock(settings)?;
    files::remove_spare(directory);
    let numbers = files::numbers(directory, Kind::Segment).map_err(|cause| unusable(settings, cause))?;
    let view = Arc::new(View { directory: directory.clone(), ..View::default() });
    let mut writer = Writer::new(settings, lock, view.clone(), tally);
    let mut found = Found::default();
    for number in &numbers {
        writer.next_number = number.saturating_add(1);
        let look = match look_at(directory, *number, known) {
            Ok(look) => look,
            Err(cause) => {
                // A file that cannot be read must not keep the others from their sinks.
                tracing::error!(segment = number, error = %cause, "a segment of the spool cannot be read");
                found.damaged_segment_count += 1;
                set_aside(directory, *number);
                continue;
            }
        };
        found.open_record_count += look.open_record_count;
        found.open_delivery_count += look.segment.open_count;
        found.forgotten_delivery_count += look.forgotten_count;
        found.torn_segment_count += u64::from(look.is_torn);
        found.damaged_segment_count += u64::from(look.segment.is_damaged);
        writer.next_sequence = writer.next_sequence.max(look.next_sequence);
        if look.segment.is_damaged {
            tracing::error!(segment = number, "a segment of the spool is damaged; its whole records are delivered");
        }
        view.with(|committed| committed.ends.insert(*number, look.segment.used));
        writer.segments.insert(*number, look.segment);
        writer.retire(*number);
    }
    remove_orphans(directory, &numbers);
    // A number is never used twice, not even that of a segment which was set aside.
    let damaged = files::numbers(directory, Kind::Damaged).unwrap_or_default();
    let above = damaged.last().map_or(0, |last| last.saturating_add(1));
    writer.next_number = writer.next_number.max(above);
    view.with(|committed| committed.end = Position { segment: writer.next_number, offset: 0 });
    writer.tally.open.store(found.open_delivery_count, Ordering::Relaxed);
    writer.tally.damaged.fetch_add(found.damaged_segment_count, Ordering::Relaxed);
    writer.count_bytes();
    Ok(Opened { writer, view, found })
}

fn lock(settings: &SpoolSettings) -> Result<File, SpoolError> {
    let path = settings.directory.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|cause| unusable(settings, cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(SpoolError::Locked { directory: settings.directory.display().to_string() })
        }
        Err(TryLockError::Error(cause)) => Err(unusable(settings, cause)),
    }
}

struct Look {
    segment: Segment,
    open_record_count: u64,
    forgotten_count: u64,
    next_sequence: u64,
    is_torn: bool,
}

fn look_at(directory: &Path, number: u64, known: &BTreeSet<SinkId>) -> io::Result<Look> {
    let path = files::path(directory, number, Kind::Segment);
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let done = files::read_done(directory, number)?;
    let mut scanner = Scanner::new(&file, number, FILE_HEAD_BYTES, length);
    let mut look = Look {
        segment: Segment { used: FILE_HEAD_BYTES, ..Segment::default() },
        open_record_count: 0,
        forgotten_count: 0,
        next_sequence: 0,
        is_torn: false,
    };
    while let Some(record) = scanner.next()? {
        let is_open = |sink: &&SinkId| !done.contains(&(record.position.offset, **sink));
        let open_count = record.head.sinks.iter().filter(is_open).filter(|sink| known.contains(sink)).count();
        look.forgotten_count +=
            record.head.sinks.iter().filter(is_open).filter(|sink| !known.contains(sink)).count() as u64;
        look.segment.open_count += open_count as u64;
        look.open_record_count += u64::from(open_count > 0);
        look.next_sequence = look.next_sequence.max(record.head.sequence.saturating_add(1));
    }
    look.segment.used = scanner.whole_until;
    let has_records = scanner.whole_until > FILE_HEAD_BYTES;
    // A file has the name of a segment only once it is full of zeros and its head is synced: one that is empty, or
    // begins with something else, has lost what it held.
    let has_head = files::has_head(&file, number);
    look.segment.is_damaged = scanner.is_damaged || !has_head;
    let is_segment = has_records || has_head;
    let has_rest = length > scanner.whole_until && !scanner.rest_is_zero()?;
    look.is_torn = is_segment && has_rest;
    // Of what is no segment at all everything is set aside.
    if length > scanner.whole_until && (is_segment || !has_rest) {
        // A disk that refuses this costs room, nothing else.
        if file.set_len(scanner.whole_until).and_then(|()| file.sync_all()).is_err() {
            tracing::warn!(segment = number, "the tail of a segment of the spool cannot be cut");
        }
    }
    look.segment.byte_count = file.metadata()?.len();
    Ok(look)
}

fn set_aside(directory: &Path, number: u64) {
    if let Err(cause) = files::set_aside(directory, number) {
        tracing::error!(segment = number, error = %cause, "a segment of the spool cannot be set aside");
    }
}

/// Lists of what is done in segments that are gone.
fn remove_orphans(directory: &Path, segments: &[u64]) {
    for number in files::numbers(directory, Kind::Done).unwrap_or_default() {
        if !segments.contains(&number) {
            let _ = fs::remove_file(files::path(directory, number, Kind::Done));
        }
    }
}
