//! Zstandard (RFC 8878), all frames of a body at once. The frames are measured before anything is inflated, so that
//! one call writes into one buffer and no window is kept.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use zstd::zstd_safe::DCtx;

use super::buffers::{Buffers, capacity_for};
use super::{Fault, Room};

const MAGIC: u32 = 0xfd2f_b528;
/// The sixteen magic numbers of frames that are to be skipped differ in their last four bits.
const MAGIC_SKIPPABLE: u32 = 0x184d_2a50;
/// What a compressed block inflates to at most.
const BLOCK_BYTES_MAX: usize = 128 * 1024;

thread_local! {
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

const CUT_SHORT: Fault = Fault::Corrupt { encoding: "zstd", reason: "it is cut short" };
const DAMAGED: Fault = Fault::Corrupt { encoding: "zstd", reason: "it is damaged" };

pub(super) fn inflate(
    input: &[u8],
    bytes_max: usize,
    room: &mut Room<'_>,
    buffers: &Arc<Buffers>,
) -> Result<Bytes, Fault> {
    let measure = measure(input)?;
    if measure.exact && measure.bytes > bytes_max {
        return Err(Fault::InflatesTooLarge { bytes_max });
    }
    let bound = measure.bytes.min(bytes_max);
    room.cover(capacity_for(bound))?;
    let mut buffer = buffers.take(bound);
    let inflated = CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(DCtx::try_create().ok_or(Fault::NoRoom)?),
        };
        // The buffer may be larger than the bound, and nothing is written beyond the buffer.
        Ok(context.decompress(buffer.whole(), input))
    })?;
    match inflated {
        Ok(size) if size > bytes_max => Err(Fault::InflatesTooLarge { bytes_max }),
        // A bound that was far too wide would hold memory for as long as the body lives.
        Ok(size) if capacity_for(bound) > size + size / 4 + 4096 => {
            room.cover(capacity_for(bound) + size)?;
            Ok(Bytes::copy_from_slice(&buffer.as_ref()[..size]))
        }
        Ok(size) => Ok(buffer.freeze(size)),
        // The measure was a true bound, so only a body beyond the limit can have found too little room.
        Err(_) if measure.bytes > bytes_max => Err(Fault::InflatesTooLarge { bytes_max }),
        Err(_) => Err(DAMAGED),
    }
}

/// What all frames inflate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measure {
    bytes: usize,
    /// `false`: `bytes` is an upper bound.
    exact: bool,
}

/// Walks the frames and their blocks by their headers alone.
fn measure(input: &[u8]) -> Result<Measure, Fault> {
    let mut all = Measure { bytes: 0, exact: true };
    let mut rest = input;
    if rest.is_empty() {
        return Err(CUT_SHORT);
    }
    while !rest.is_empty() {
        let (magic, behind) = number(rest, 4)?;
        if magic == u64::from(MAGIC) {
            let (frame, behind) = frame(behind)?;
            all.bytes = all.bytes.saturating_add(frame.bytes);
            all.exact &= frame.exact;
            rest = behind;
        } else if magic & !0xf == u64::from(MAGIC_SKIPPABLE) {
            let (length, behind) = number(behind, 4)?;
            rest = skip(behind, usize::try_from(length).map_err(|_| CUT_SHORT)?)?;
        } else if rest.len() == input.len() {
            return Err(Fault::Corrupt { encoding: "zstd", reason: "it does not begin as a frame does" });
        } else {
            return Err(Fault::Corrupt { encoding: "zstd", reason: "something follows it" });
        }
    }
    Ok(all)
}

/// A frame behind its magic number, and what follows it.
fn frame(rest: &[u8]) -> Result<(Measure, &[u8]), Fault> {
    let (descriptor, rest) = number(rest, 1)?;
    let is_single_segment = descriptor & 0x20 != 0;
    let has_checksum = descriptor & 0x04 != 0;
    let rest = skip(rest, usize::from(!is_single_segment))?;
    let rest = skip(rest, [0, 1, 2, 4][place(descriptor & 3)])?;
    let size_length = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let (size, mut rest) = number(rest, size_length)?;
    // Sizes of two bytes start where those of one end.
    let size = if size_length == 2 { size + 256 } else { size };
    let known = (size_length > 0).then(|| usize::try_from(size).unwrap_or(usize::MAX));
    let mut bound = 0_usize;
    loop {
        let (header, behind) = number(rest, 3)?;
        let size = place(header >> 3);
        let (inside, inflated) = match (header >> 1) & 3 {
            0 => (size, size),
            1 => (1, size),
            2 => (size, BLOCK_BYTES_MAX),
            _ => return Err(DAMAGED),
        };
        if size > BLOCK_BYTES_MAX {
            return Err(DAMAGED);
        }
        bound = bound.saturating_add(inflated);
        rest = skip(behind, inside)?;
        if header & 1 == 1 {
            break;
        }
    }
    let rest = skip(rest, if has_checksum { 4 } else { 0 })?;
    // A frame whose blocks cannot hold what it claims is damaged; it must not book memory for the claim.
    let measure = match known {
        Some(known) if known > bound => return Err(DAMAGED),
        Some(known) => Measure { bytes: known, exact: true },
        None => Measure { bytes: bound, exact: false },
    };
    Ok((measure, rest))
}

/// A number of up to eight bytes, the least first.
fn number(bytes: &[u8], length: usize) -> Result<(u64, &[u8]), Fault> {
    let (front, rest) = bytes.split_at_checked(length).ok_or(CUT_SHORT)?;
    let mut whole = [0; 8];
    whole[..length].copy_from_slice(front);
    Ok((u64::from_le_bytes(whole), rest))
}

fn skip(bytes: &[u8], count: usize) -> Result<&[u8], Fault> {
    bytes.get(count..).ok_or(CUT_SHORT)
}

/// A number of at most 21 bits.
fn place(value: u64) -> usize {
    usize::try_from(value).expect("it has few bits")
}
