//! Whether bytes are plain ASCII, a vector register at a time. Never says anything about what is not.

const HIGH: u64 = 0x8080_8080_8080_8080;

/// Reads whole blocks, and the last block again instead of a rest byte by byte.
#[inline]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<32>() else { return is_short_ascii(bytes) };
    let mut seen = words(last);
    for block in bytes.as_chunks::<32>().0 {
        let block = words(block);
        for (seen, word) in seen.iter_mut().zip(block) {
            *seen |= word;
        }
    }
    (seen[0] | seen[1] | seen[2] | seen[3]) & HIGH == 0
}

/// As the compiler puts them into registers.
#[inline(always)]
fn words(block: &[u8; 32]) -> [u64; 4] {
    let word = |at: usize| block[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    [word(0), word(8), word(16), word(24)]
}

#[inline]
fn is_short_ascii(bytes: &[u8]) -> bool {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        let both = u128::from_le_bytes(*first) | u128::from_le_bytes(*last);
        return both & (u128::from(HIGH) << 64 | u128::from(HIGH)) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return (u64::from_le_bytes(*first) | u64::from_le_bytes(*last)) & HIGH == 0;
    }
    bytes.iter().fold(0, |all, byte| all | byte) < 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_high_byte_is_seen_at_every_place_of_every_length() {
        for length in 0..200 {
            let mut bytes = vec![b'a'; length];
            assert!(is_ascii(&bytes));
            for place in 0..length {
                bytes[place] = 0x80;
                assert!(!is_ascii(&bytes), "{place} of {length}");
                bytes[place] = 0x7f;
            }
        }
    }
}
