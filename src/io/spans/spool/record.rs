//! One record of the spool, as bytes. Never believes a length or a number that its checksum does not vouch for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::SinkId;
use crate::model::Signal;

pub(super) const HEAD_BYTES: usize = 48;
/// Records begin at multiples of this, so that one can be found behind damage.
const ALIGNMENT: u64 = 8;
const MAGIC: u32 = u32::from_le_bytes(*b"TwR\x01");
/// The count of sinks is one byte.
pub(super) const SINK_COUNT_MAX: usize = 255;
const HEAD_AND_SINKS_MAX: usize = HEAD_BYTES + SINK_COUNT_MAX * 4;
const SEARCH_BYTES: usize = 64 * 1024;

/// Where a record lies, and what identifies it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u32,
}

/// What a record says besides its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) sequence: u64,
    pub(super) signal: Signal,
    pub(super) item_count: u32,
    pub(super) sinks: Vec<SinkId>,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) position: Position,
    pub(super) head: Head,
    pub(super) payload: Bytes,
    /// Where the next one begins.
    pub(super) end: u64,
}

pub(super) fn byte_count(sink_count: usize, payload_bytes: usize) -> u64 {
    ((HEAD_BYTES + sink_count * 4 + payload_bytes) as u64).next_multiple_of(ALIGNMENT)
}

/// Appends the record. Sizes were checked when the record was placed.
pub(super) fn write(to: &mut Vec<u8>, position: Position, head: &Head, slices: &[Bytes]) {
    let start = to.len();
    let mut checksum = crc32fast::Hasher::new();
    slices.iter().for_each(|slice| checksum.update(slice));
    let payload_bytes: usize = slices.iter().map(Bytes::len).sum();
    let payload_bytes = u32::try_from(payload_bytes).expect("a larger request is not placed");
    to.extend_from_slice(&MAGIC.to_le_bytes());
    to.extend_from_slice(&[0; 4]);
    to.extend_from_slice(&head.sequence.to_le_bytes());
    to.extend_from_slice(&position.segment.to_le_bytes());
    to.extend_from_slice(&position.offset.to_le_bytes());
    to.extend_from_slice(&payload_bytes.to_le_bytes());
    to.extend_from_slice(&head.item_count.to_le_bytes());
    to.extend_from_slice(&checksum.finalize().to_le_bytes());
    let sink_count = u8::try_from(head.sinks.len()).expect("more sinks are not placed");
    to.extend_from_slice(&[head.signal as u8, sink_count, 0, 0, 0, 0, 0, 0]);
    head.sinks.iter().for_each(|sink| to.extend_from_slice(&sink.0.to_le_bytes()));
    let vouched = crc32fast::hash(&to[start + 8..]);
    to[start + 4..start + 8].copy_from_slice(&vouched.to_le_bytes());
    slices.iter().for_each(|slice| to.extend_from_slice(slice));
    let padded = start as u64 + byte_count(head.sinks.len(), payload_bytes as usize);
    to.resize(usize::try_from(padded).expect("it lies in memory"), 0);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Payload length and checksum, if a head stands here and every byte of it is right.
fn read_head(bytes: &[u8], position: Position) -> Option<(Head, usize, u32)> {
    if bytes.len() < HEAD_BYTES || u32_at(bytes, 0) != MAGIC {
        return None;
    }
    let sink_count = usize::from(bytes[41]);
    let vouched = bytes.get(8..HEAD_BYTES + sink_count * 4)?;
    // A copy of another place, or of another file, is no record of this one.
    let is_here = u64_at(bytes, 16) == position.segment && u32_at(bytes, 24) == position.offset;
    if crc32fast::hash(vouched) != u32_at(bytes, 4) || !is_here {
        return None;
    }
    let head = Head {
        sequence: u64_at(bytes, 8),
        signal: *Signal::ALL.get(usize::from(bytes[40]))?,
        item_count: u32_at(bytes, 32),
        sinks: (0..sink_count).map(|at| SinkId(u32_at(bytes, HEAD_BYTES + at * 4))).collect(),
    };
    Some((head, u32_at(bytes, 28) as usize, u32_at(bytes, 36)))
}

/// Reads a segment from some place on, record by record, over damage.
pub(super) struct Scanner<'f> {
    file: &'f File,
    segment: u64,
    at: u64,
    end: u64,
    /// End of the last record.
    pub(super) whole_until: u64,
    /// A record stands behind bytes that are none.
    pub(super) is_damaged: bool,
}

impl Scanner<'_> {
    /// `start` is the beginning of a record; nothing is read from `end` on.
    pub(super) fn new(file: &File, segment: u64, start: u64, end: u64) -> Scanner<'_> {
        Scanner { file, segment, at: start, end, whole_until: start, is_damaged: false }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        if let Some(record) = self.record_at(self.at)? {
            return Ok(Some(self.found(record)));
        }
        let mut from = self.at + ALIGNMENT;
        while let Some(candidate) = self.search(from)? {
            if let Some(record) = self.record_at(candidate)? {
                self.is_damaged = true;
                return Ok(Some(self.found(record)));
            }
            from = candidate + ALIGNMENT;
        }
        self.at = self.end;
        Ok(None)
    }

    /// Whether nothing was ever written behind the last record.
    pub(super) fn rest_is_zero(&self) -> io::Result<bool> {
        let mut chunk = vec![0; SEARCH_BYTES];
        let mut from = self.whole_until;
        loop {
            let read = read_at_most(self.file, &mut chunk, from)?;
            if read == 0 || chunk[..read].iter().any(|byte| *byte != 0) {
                return Ok(read == 0);
            }
            from += read as u64;
        }
    }

    fn found(&mut self, record: Record) -> Record {
        self.at = record.end;
        self.whole_until = record.end;
        record
    }

    fn record_at(&self, at: u64) -> io::Result<Option<Record>> {
        let Ok(offset) = u32::try_from(at) else { return Ok(None) };
        let position = Position { segment: self.segment, offset };
        let mut head = [0; HEAD_AND_SINKS_MAX];
        let room = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX).min(head.len());
        let read = read_at_most(self.file, &mut head[..room], at)?;
        let Some((head, payload_bytes, checksum)) = read_head(&head[..read], position) else { return Ok(None) };
        let start = at + (HEAD_BYTES + head.sinks.len() * 4) as u64;
        if start + payload_bytes as u64 > self.end {
            return Ok(None);
        }
        // The padding says nothing, so it need not be there.
        let end = (at + byte_count(head.sinks.len(), payload_bytes)).min(self.end);
        let mut payload = vec![0; payload_bytes];
        if read_at_most(self.file, &mut payload, start)? < payload_bytes || crc32fast::hash(&payload) != checksum {
            return Ok(None);
        }
        Ok(Some(Record { position, head, payload: payload.into(), end }))
    }

    /// The next place that looks like the beginning of a record.
    fn search(&self, mut from: u64) -> io::Result<Option<u64>> {
        let mut chunk = vec![0; SEARCH_BYTES];
        while from < self.end {
            let room = usize::try_from(self.end - from).unwrap_or(usize::MAX).min(chunk.len());
            let read = read_at_most(self.file, &mut chunk[..room], from)?;
            let words = chunk[..read].chunks_exact(8);
            if let Some(at) = words.clone().position(|word| word[..4] == MAGIC.to_le_bytes()) {
                return Ok(Some(from + at as u64 * ALIGNMENT));
            }
            if read < SEARCH_BYTES {
                break;
            }
            from += read as u64;
        }
        Ok(None)
    }
}

/// Fewer bytes than wanted only at the end of the file.
fn read_at_most(file: &File, mut to: &mut [u8], mut at: u64) -> io::Result<usize> {
    let mut count = 0;
    while !to.is_empty() {
        match file.read_at(to, at) {
            Ok(0) => break,
            Ok(read) => {
                count += read;
                at += read as u64;
                to = &mut to[read..];
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(count)
}
