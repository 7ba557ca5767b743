//! The smallest readers: varints, keys, lengths, and what is skipped because nobody knows it. Never reads beyond the
//! slice it was given; accepts and refuses what prost accepts and refuses.

use crate::otlp::Malformed;

/// Messages and groups inside one another that are followed, counted from the request; prost's own limit.
pub(super) const DEPTH: u32 = 100;

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const DELIMITED: u8 = 2;
pub(super) const GROUP_START: u8 = 3;
pub(super) const GROUP_END: u8 = 4;
pub(super) const FIXED32: u8 = 5;

/// One and two bytes are what lengths and numbers of telemetry have; the rest is kept out of the way.
#[inline]
pub(super) fn varint(tail: &mut &[u8]) -> Result<u64, Malformed> {
    match **tail {
        [first, ref rest @ ..] if first < 0x80 => {
            *tail = rest;
            Ok(u64::from(first))
        }
        [first, second, ref rest @ ..] if second < 0x80 => {
            *tail = rest;
            Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => long_varint(tail),
    }
}

/// Non-minimal forms are legal; the tenth byte may only hold the last bit.
#[cold]
fn long_varint(tail: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for (place, byte) in tail.iter().take(10).enumerate() {
        if place == 9 && *byte > 1 {
            return Err(Malformed::Varint);
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            *tail = &tail[place + 1..];
            return Ok(value);
        }
    }
    Err(if tail.len() < 10 { Malformed::Truncated } else { Malformed::Varint })
}

/// The number of a field and its wire type.
#[inline]
pub(super) fn key(tail: &mut &[u8]) -> Result<(u32, u8), Malformed> {
    let key = u32::try_from(varint(tail)?).map_err(|_| Malformed::FieldNumber)?;
    let number = key >> 3;
    if number == 0 {
        return Err(Malformed::FieldNumber);
    }
    Ok((number, (key & 7).to_le_bytes()[0]))
}

#[inline]
pub(super) fn take<'a>(tail: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = tail.split_at_checked(length).ok_or(Malformed::Truncated)?;
    *tail = rest;
    Ok(taken)
}

#[inline]
pub(super) fn fixed<const N: usize>(tail: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (taken, rest) = tail.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
    *tail = rest;
    Ok(*taken)
}

/// A length and as many bytes.
#[inline]
pub(super) fn delimited<'a>(tail: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(varint(tail)?).map_err(|_| Malformed::Truncated)?;
    take(tail, length)
}

/// Behind the key of a field that nobody knows: to its end. `depth` is what is left of [`DEPTH`] in this message;
/// like prost, an unknown field costs one level and each group inside it another.
pub(super) fn skip(tail: &mut &[u8], number: u32, wire_type: u8, depth: u32) -> Result<(), Malformed> {
    let inner = depth.checked_sub(1).ok_or(Malformed::TooDeep)?;
    match wire_type {
        VARINT => varint(tail).map(drop),
        FIXED64 => take(tail, 8).map(drop),
        DELIMITED => delimited(tail).map(drop),
        FIXED32 => take(tail, 4).map(drop),
        GROUP_START => loop {
            match key(tail)? {
                (end, GROUP_END) if end == number => return Ok(()),
                (_, GROUP_END) => return Err(Malformed::Group),
                (inside, wire_type) => skip(tail, inside, wire_type, inner)?,
            }
        },
        GROUP_END => Err(Malformed::Group),
        _ => Err(Malformed::WireType),
    }
}
