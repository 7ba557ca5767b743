//! Gzip, zlib and raw deflate (RFC 1950, 1951, 1952). The usual gzip body has one member and goes through libdeflate;
//! everything else goes the slower way, which knows where each stream ends.

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::sync::Arc;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::Decompressor;

use super::buffers::{Buffers, capacity_for};
use super::{Fault, Room};
use crate::otlp::enrich::{GZIP_HEAD, Member};

/// Header and trailer of the shortest member.
const GZIP_BYTES_MIN: usize = 18;
/// A checksum and a length.
const TRAILER_BYTES: usize = 8;
/// How far deflate can inflate at most; a trailer that claims more lies.
const DEFLATE_RATIO_MAX: usize = 1032;
/// Pieces in which a body of unknown size is inflated, from the first to the largest.
const PIECE_BYTES: usize = 64 * 1024;
const PIECE_BYTES_MAX: usize = 8 << 20;

thread_local! {
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// What it holds, and whether it is one member and nothing else.
pub(super) fn gunzip(
    input: &[u8],
    bytes_max: usize,
    room: &mut Room<'_>,
    buffers: &Arc<Buffers>,
) -> Result<(Bytes, bool), Fault> {
    if let Some(bytes) = single_member(input, bytes_max, room, buffers)? {
        return Ok((bytes, true));
    }
    let mut decoder = MultiGzDecoder::new(input);
    let bytes = pieces(bytes_max, room, |piece| {
        decoder.read(piece).map_err(|cause| Fault::Corrupt {
            encoding: "gzip",
            reason: if cause.kind() == ErrorKind::UnexpectedEof {
                "it is cut short"
            } else {
                "it is damaged, or something follows it"
            },
        })
    })?;
    Ok((bytes, false))
}

/// The parts of an input that was found to be one member. `None`: its head is longer than the shortest, or nobody can
/// tell where its stream ends.
pub(super) fn member(input: &Bytes) -> Option<Member> {
    let end = input.len().checked_sub(TRAILER_BYTES)?;
    let trailer: [u8; TRAILER_BYTES] = input[end..].try_into().ok()?;
    let [m0, m1, method, 0, ..] = input[..] else { return None };
    if [m0, m1, method] != GZIP_HEAD[..3] || occurs(&input[GZIP_HEAD.len()..input.len() - 1], trailer) {
        return None;
    }
    let [crc @ .., _, _, _, _] = trailer;
    Some(Member { deflate: input.slice(GZIP_HEAD.len()..end), crc: u32::from_le_bytes(crc) })
}

/// The quick way, for input that holds one member and says its size rightly. `None`: look closer.
fn single_member(
    input: &[u8],
    bytes_max: usize,
    room: &mut Room<'_>,
    buffers: &Arc<Buffers>,
) -> Result<Option<Bytes>, Fault> {
    let Some(size) = input.last_chunk().filter(|_| input.len() >= GZIP_BYTES_MIN) else { return Ok(None) };
    let Ok(size) = usize::try_from(u32::from_le_bytes(*size)) else { return Ok(None) };
    if size > bytes_max || size > input.len() * DEFLATE_RATIO_MAX || may_hold_another_member(input) {
        return Ok(None);
    }
    room.cover(capacity_for(size))?;
    let mut buffer = buffers.take(size);
    let inflated = DECOMPRESSOR.with_borrow_mut(|tool| tool.gzip_decompress(input, buffer.front(size)));
    // libdeflate does not say where the member ended. Its own trailer holds the checksum and the size; the input ends
    // with the same two only if it ends there.
    let whole = inflated == Ok(size) && ends_with_checksum(input, &buffer.as_ref()[..size]);
    Ok(whole.then(|| buffer.freeze(size)))
}

fn ends_with_checksum(input: &[u8], inflated: &[u8]) -> bool {
    let trailer = &input[input.len() - TRAILER_BYTES..];
    trailer[..4] == libdeflater::crc32(inflated).to_le_bytes()
}

/// Whether the first bytes of a member occur behind the first one. By chance they do once in sixteen million bytes.
fn may_hold_another_member(input: &[u8]) -> bool {
    occurs(&input[GZIP_BYTES_MIN..], [0x1f, 0x8b, 8])
}

/// Whether `input` holds `wanted`, which has at least two bytes.
fn occurs<const N: usize>(input: &[u8], wanted: [u8; N]) -> bool {
    const BLOCK: usize = 64;
    let mut at = 0;
    while at + N <= input.len() {
        let end = (at + BLOCK).min(input.len() - 1);
        // Without a branch, so that the compiler looks at many bytes at once.
        let pairs = input[at..end].iter().zip(&input[at + 1..=end]);
        let hit = pairs.fold(false, |hit, (first, second)| hit | (*first == wanted[0]) & (*second == wanted[1]));
        if hit && input[at..(end + N - 1).min(input.len())].windows(N).any(|window| window == wanted) {
            return true;
        }
        at = end;
    }
    false
}

/// What HTTP calls deflate is the zlib form; some senders leave its head and checksum out.
pub(super) fn inflate(input: &[u8], bytes_max: usize, room: &mut Room<'_>) -> Result<Bytes, Fault> {
    let is_zlib = match input {
        [first, second, ..] => first & 0x0f == 8 && (u32::from(*first) * 256 + u32::from(*second)).is_multiple_of(31),
        _ => false,
    };
    let mut stream = Decompress::new(is_zlib);
    let corrupt = |reason| Fault::Corrupt { encoding: "deflate", reason };
    let mut at = 0;
    let mut ended = false;
    pieces(bytes_max, room, |piece| {
        let mut written = 0;
        while written == 0 && !ended {
            let (before_in, before_out) = (stream.total_in(), stream.total_out());
            let status =
                stream.decompress(&input[at..], piece, FlushDecompress::None).map_err(|_| corrupt("it is damaged"))?;
            let moved = |after: u64, before: u64| usize::try_from(after - before).unwrap_or(0);
            let read = moved(stream.total_in(), before_in);
            at += read;
            written = moved(stream.total_out(), before_out);
            match status {
                Status::StreamEnd if at < input.len() => return Err(corrupt("something follows it")),
                Status::StreamEnd => ended = true,
                Status::Ok | Status::BufError if read == 0 && written == 0 => return Err(corrupt("it is cut short")),
                Status::Ok | Status::BufError => {}
            }
        }
        Ok(written)
    })
}

/// Reads to the end in pieces that grow, and joins them. Never holds more than the limit before the size is known.
fn pieces(
    bytes_max: usize,
    room: &mut Room<'_>,
    mut read: impl FnMut(&mut [u8]) -> Result<usize, Fault>,
) -> Result<Bytes, Fault> {
    let mut full: Vec<Vec<u8>> = Vec::new();
    let mut total = 0;
    loop {
        // One byte more than is allowed tells a body at the limit from one beyond it.
        let size = (PIECE_BYTES << full.len().min(7)).min(PIECE_BYTES_MAX).min(bytes_max + 1 - total);
        room.cover(total + size)?;
        let mut piece = vec![0; size];
        let mut filled = 0;
        let mut ended = false;
        while filled < size && !ended {
            let count = read(&mut piece[filled..])?;
            filled += count;
            ended = count == 0;
        }
        total += filled;
        if total > bytes_max {
            return Err(Fault::InflatesTooLarge { bytes_max });
        }
        piece.truncate(filled);
        full.push(piece);
        if ended {
            break;
        }
    }
    room.cover(2 * total)?;
    Ok(full.concat().into())
}
