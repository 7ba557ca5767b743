//! Whether bytes are plain ASCII, a vector register at a time. Never says anything about what is not.

const HIGH: u64 = 0x8080_8080_8080_8080;

/// Two blocks that may overlap, as large as fits.
#[inline(always)]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    match bytes.len() {
        128..=256 => ends::<128>(bytes),
        ..64 => is_short_ascii(bytes),
        64..128 => ends::<64>(bytes),
        _ => {
            let (blocks, _) = bytes.as_chunks::<128>();
            blocks.iter().all(|block| ends::<64>(block)) && ends::<128>(bytes)
        }
    }
}

/// The longest text that [`is_short_ascii`] looks at whole.
const SHORT_MAX: usize = 128;

/// As [`is_ascii`], for names, which are seldom longer than 63 bytes and never longer than [`SHORT_MAX`].
#[inline(always)]
pub(super) fn is_short_ascii(bytes: &[u8]) -> bool {
    debug_assert!(bytes.len() <= SHORT_MAX);
    match bytes.len() {
        65.. => ends::<64>(bytes),
        32.. => ends::<32>(bytes),
        16.. => ends::<16>(bytes),
        8.. => ends::<8>(bytes),
        _ => bytes.iter().fold(0, |all, byte| all | byte) < 0x80,
    }
}

/// Whether so many of the first bytes and so many of the last are ASCII.
#[inline(always)]
fn ends<const COUNT: usize>(bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first_chunk::<COUNT>(), bytes.last_chunk::<COUNT>()) else { return false };
    let mut all = 0;
    for place in 0..COUNT / 8 {
        all |= word(first, 8 * place) | word(last, 8 * place);
    }
    all & HIGH == 0
}

#[inline(always)]
fn word(block: &[u8], at: usize) -> u64 {
    block[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_high_byte_is_seen_at_every_place_of_every_length() {
        for length in 0..300 {
            let mut bytes = vec![b'a'; length];
            assert!(is_ascii(&bytes));
            for place in 0..length {
                bytes[place] = 0x80;
                assert!(!is_ascii(&bytes), "{place} of {length}");
                assert!(length > SHORT_MAX || !is_short_ascii(&bytes), "{place} of {length}");
                bytes[place] = 0x7f;
            }
        }
    }
}
