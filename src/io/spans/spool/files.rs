//! The files of the spool: names, heads, preallocation, and the lists of what is done. Never deletes a segment that
//! holds something open.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::SinkId;

/// What a segment begins with: a word, its number, and a checksum of both.
pub(super) const FILE_HEAD_BYTES: u64 = HEAD_BYTES as u64;
const HEAD_BYTES: usize = 24;
const WORD: &[u8; 8] = b"TAWNYSP1";
const DONE_BYTES: usize = 16;
/// Beyond this a file has its name from somebody else; to go on from there would run out of numbers.
const NUMBER_MAX: u64 = 1 << 63;
/// Segments that were set aside and are kept for people to look at.
const DAMAGED_COUNT_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Segment,
    Done,
    Damaged,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Kind::Segment => "seg",
            Kind::Done => "done",
            Kind::Damaged => "damaged",
        }
    }
}

pub(super) fn path(directory: &Path, number: u64, kind: Kind) -> PathBuf {
    directory.join(format!("{number:016x}.{}", kind.extension()))
}

/// Numbers of the files of a kind, in order. A number that counting will not reach in any time is of no file of ours.
pub(super) fn numbers(directory: &Path, kind: Kind) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_kind = path.extension().is_some_and(|extension| extension == kind.extension());
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| is_kind && stem.len() == 16);
        numbers.extend(stem.and_then(|stem| u64::from_str_radix(stem, 16).ok()).filter(|number| *number < NUMBER_MAX));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What was created or renamed in a directory stays only after this.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn file_head(number: u64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(WORD);
    head[8..16].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32fast::hash(&head[..16]);
    head[16..20].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// Whether a file is the segment that its name says.
pub(super) fn has_head(file: &File, number: u64) -> bool {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0).is_ok() && head == file_head(number)
}

/// A file full of zeros, on disk: writing into it later changes no length, takes no room and is quick to sync.
pub(super) fn preallocate(directory: &Path, byte_count: u64) -> io::Result<File> {
    const CHUNK: usize = 256 * 1024;
    let path = spare(directory);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    let zeros = vec![0; CHUNK];
    let mut left = byte_count;
    let mut fill = || -> io::Result<()> {
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
            file.write_all(&zeros[..part])?;
            left -= part as u64;
        }
        file.sync_all()
    };
    if let Err(cause) = fill() {
        // A full disk gets its room back at once.
        let _ = fs::remove_file(&path);
        return Err(cause);
    }
    Ok(file)
}

fn spare(directory: &Path) -> PathBuf {
    directory.join("next.tmp")
}

/// Makes the preallocated file a segment.
pub(super) fn christen(directory: &Path, file: &File, number: u64) -> io::Result<()> {
    file.write_all_at(&file_head(number), 0)?;
    file.sync_data()?;
    fs::rename(spare(directory), path(directory, number, Kind::Segment))?;
    sync_directory(directory)
}

pub(super) fn remove_spare(directory: &Path) {
    // Usually there is none.
    let _ = fs::remove_file(spare(directory));
}

fn done_entry(segment: u64, offset: u32, sink: SinkId) -> [u8; DONE_BYTES] {
    let mut entry = [0; DONE_BYTES];
    entry[..4].copy_from_slice(&offset.to_le_bytes());
    entry[4..8].copy_from_slice(&sink.0.to_le_bytes());
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&segment.to_le_bytes());
    checksum.update(&entry[..8]);
    entry[8..12].copy_from_slice(&checksum.finalize().to_le_bytes());
    entry[12..].copy_from_slice(b"done");
    entry
}

/// Notes that sinks have settled records of one segment. Not synced: what a power cut takes of it is sent twice.
pub(super) fn note_done(directory: &Path, segment: u64, done: &[(u32, SinkId)]) -> io::Result<()> {
    let mut entries = Vec::with_capacity(done.len() * DONE_BYTES);
    done.iter().for_each(|(offset, sink)| entries.extend_from_slice(&done_entry(segment, *offset, *sink)));
    let mut file = OpenOptions::new().append(true).create(true).open(path(directory, segment, Kind::Done))?;
    // After a torn write the entries go on at the next multiple.
    let torn = file.metadata()?.len() % DONE_BYTES as u64;
    if torn > 0 {
        file.write_all(&vec![0; DONE_BYTES - usize::try_from(torn).unwrap_or(0)])?;
    }
    file.write_all(&entries)
}

/// What has been noted. An entry that is not right is none: its record is sent again.
pub(super) fn read_done(directory: &Path, segment: u64) -> io::Result<HashSet<(u32, SinkId)>> {
    let mut bytes = Vec::new();
    match File::open(path(directory, segment, Kind::Done)) {
        Ok(mut file) => file.read_to_end(&mut bytes).map(|_| ())?,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(cause),
    }
    let entry = |entry: &[u8]| {
        let word = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().expect("four bytes"));
        let (offset, sink) = (word(0), SinkId(word(4)));
        (entry == done_entry(segment, offset, sink)).then_some((offset, sink))
    };
    Ok(bytes.chunks_exact(DONE_BYTES).filter_map(entry).collect())
}

/// A segment whose records are all settled.
pub(super) fn remove(directory: &Path, number: u64) -> io::Result<()> {
    fs::remove_file(path(directory, number, Kind::Segment))?;
    // Without its segment it says nothing; a start removes it as well.
    let _ = fs::remove_file(path(directory, number, Kind::Done));
    Ok(())
}

/// A segment with damage, after everything that could be saved of it is settled.
pub(super) fn set_aside(directory: &Path, number: u64) -> io::Result<()> {
    fs::rename(path(directory, number, Kind::Segment), path(directory, number, Kind::Damaged))?;
    let _ = fs::remove_file(path(directory, number, Kind::Done));
    let kept = numbers(directory, Kind::Damaged)?;
    for old in kept.iter().take(kept.len().saturating_sub(DAMAGED_COUNT_MAX)) {
        fs::remove_file(path(directory, *old, Kind::Damaged))?;
    }
    sync_directory(directory)
}
