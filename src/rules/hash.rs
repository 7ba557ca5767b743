//! A quick hash for maps whose keys come from rule files. Never for maps that grow with what senders write:
//! it does not defend against chosen keys.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// Multiply and rotate, eight bytes at a time: label names and values are short.
#[derive(Default)]
pub(super) struct FastHasher(u64);

impl FastHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// The last eight bytes, or all of fewer, some perhaps twice. Read where they lie: a copy of a few bytes that is read again
/// as one word waits for the copy to end.
fn end(bytes: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk::<8>() {
        return u64::from_le_bytes(*last);
    }
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32,
        _ => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let last = if tail.is_empty() { 0 } else { end(bytes) };
        // The length tells `a` from `a\0`.
        self.mix(last ^ (bytes.len() as u64).rotate_left(56));
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // The map takes its bucket from the low bits and its tag from the high ones; multiplication leaves
        // the low ones poor.
        self.0 ^ (self.0 >> 29)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn texts_that_differ_in_a_byte_or_in_length_have_different_hashes() {
        let build = BuildHasherDefault::<FastHasher>::default();
        let text = "abcdefghijklmnopqrstuvwxyz";
        let mut texts: Vec<String> = (0..=text.len()).map(|length| text[..length].to_owned()).collect();
        for length in 1..=text.len() {
            for at in 0..length {
                let mut changed = text[..length].to_owned();
                changed.replace_range(at..=at, "#");
                texts.push(changed);
            }
        }
        texts.extend((1..20).map(|count| "\0".repeat(count)));
        let hashes: HashSet<u64> = texts.iter().map(|text| build.hash_one(text.as_str())).collect();
        assert_eq!(hashes.len(), texts.len());
    }
}
