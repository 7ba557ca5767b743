//! Whether bytes are plain ASCII, a vector register at a time. Never says anything about what is not.

const HIGH: u64 = 0x8080_8080_8080_8080;

/// Two blocks that may overlap, as large as fits.
#[inline(always)]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    if bytes.len() < 64 {
        return is_short_ascii(bytes);
    }
    if bytes.len() > 256 {
        return is_long_ascii(bytes);
    }
    if let Some(is_plain) = ends::<128, 16>(bytes) {
        return is_plain;
    }
    ends::<64, 8>(bytes).unwrap_or_default()
}

#[inline(never)]
fn is_long_ascii(bytes: &[u8]) -> bool {
    bytes.is_ascii()
}

/// As [`is_ascii`], for names, which are seldom longer than 63 bytes.
#[inline(always)]
pub(super) fn is_short_ascii(bytes: &[u8]) -> bool {
    if let Some(is_plain) = ends::<32, 4>(bytes) {
        return is_plain;
    }
    if let Some(is_plain) = ends::<16, 2>(bytes) {
        return is_plain;
    }
    if let Some(is_plain) = ends::<8, 1>(bytes) {
        return is_plain;
    }
    bytes.iter().fold(0, |all, byte| all | byte) < 0x80
}

/// Whether the first and the last bytes are ASCII, where there are so many.
#[inline(always)]
fn ends<const BYTES: usize, const WORDS: usize>(bytes: &[u8]) -> Option<bool> {
    let (first, last) = (bytes.first_chunk::<BYTES>()?, bytes.last_chunk::<BYTES>()?);
    let mut all = 0;
    for place in 0..WORDS {
        all |= word(first, 8 * place) | word(last, 8 * place);
    }
    Some(all & HIGH == 0)
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
                bytes[place] = 0x7f;
            }
        }
    }
}
