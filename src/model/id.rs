//! Identities: who an alert is, which problem it belongs to, who said it. All are hashes of what the sender
//! or the tags say; none contains a time, a value or a severity.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::json_text::Plain;

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            pub fn from_slice(bytes: &[u8]) -> Option<$name> {
                bytes.try_into().ok().map($name)
            }

            /// Reads what `Display` writes.
            pub fn parse(text: &str) -> Option<$name> {
                parse_hex16(text.strip_prefix($prefix)?).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 32];
                f.write_str($prefix)?;
                f.write_str(write_hex16(&self.0, &mut text))
            }
        }

        impl Plain for $name {
            fn push_to(&self, out: &mut String) {
                let mut text = [0; 32];
                out.push_str($prefix);
                out.push_str(write_hex16(&self.0, &mut text));
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            /// As text for people, as its bytes for the store.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if !deserializer.is_human_readable() {
                    return deserializer.deserialize_bytes(BytesVisitor).map($name);
                }
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                $name::parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("`{text}` is not an id")))
            }
        }
    };
}

hash_id!(
    /// Who an alert is at its source: the same on every message about the same alert.
    Identity,
    ""
);
hash_id!(
    /// One problem that people are told about. `v1` is the version of what goes into the hash.
    IncidentKey,
    "v1-"
);

/// For maps whose keys are ids: an id is a hash already, so its first bytes serve. Not for anything that a sender
/// can choose freely; ids are made of SHA-256.
pub type IdMap<K, V> = std::collections::HashMap<K, V, std::hash::BuildHasherDefault<IdHash>>;
pub type IdSet<K> = std::collections::HashSet<K, std::hash::BuildHasherDefault<IdHash>>;

#[derive(Clone, Copy, Debug, Default)]
pub struct IdHash(u64);

impl std::hash::Hasher for IdHash {
    fn write(&mut self, bytes: &[u8]) {
        let mut first = [0; 8];
        let count = bytes.len().min(8);
        first[..count].copy_from_slice(&bytes[..count]);
        self.0 = self.0.rotate_left(32) ^ u64::from_le_bytes(first);
    }

    fn write_usize(&mut self, _length: usize) {
        // The length that arrays write before their bytes says nothing here.
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = self.0.rotate_left(32) ^ word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Who spoke: an evaluator (one Prometheus replica) or a relay (an Alertmanager). Its words are kept apart
/// from those of the others, so that two replicas that disagree do not flap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SenderId(pub u64);

/// Collects the parts of an identity. Parts are separated, so `("ab", "c")` and `("a", "bc")` differ.
#[derive(Clone)]
pub struct IdHasher(Sha256);

impl IdHasher {
    /// `domain` keeps identities of different meaning apart.
    pub fn new(domain: &str) -> IdHasher {
        let mut hasher = IdHasher(Sha256::new());
        hasher.part(domain);
        hasher
    }

    pub fn part(&mut self, part: &str) {
        self.0.update(part.as_bytes());
        self.0.update([0xff]);
    }

    pub fn finish(self) -> [u8; 16] {
        let digest = self.0.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        id
    }

    pub fn identity(self) -> Identity {
        Identity(self.finish())
    }

    pub fn sender(self) -> SenderId {
        let id = self.finish();
        let mut short = [0; 8];
        short.copy_from_slice(&id[..8]);
        SenderId(u64::from_be_bytes(short))
    }
}

/// The hash of parts that [`separate`] wrote, the domain first: what [`IdHasher`] makes of the same parts.
pub fn hash_separated(parts: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(parts);
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

/// Appends parts as [`IdHasher::part`] would feed them. Hashing once over many short parts is several times
/// cheaper than part by part.
#[inline]
pub fn separate<'p>(parts: impl IntoIterator<Item = &'p str>, into: &mut Vec<u8>) {
    for part in parts {
        into.extend_from_slice(part.as_bytes());
        into.push(0xff);
    }
}

/// Alertmanager's fingerprint: FNV-1a over the labels sorted by name, each `name 0xFF value 0xFF`
/// (prometheus/common model/signature.go). Used to match with Alertmanager, never as our identity.
pub fn alertmanager_fingerprint<'a>(sorted_labels: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut bytes = Vec::new();
    separate(sorted_labels.flat_map(|(name, value)| [name, value]), &mut bytes);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

struct BytesVisitor;

impl serde::de::Visitor<'_> for BytesVisitor {
    type Value = [u8; 16];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("16 bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<[u8; 16], E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

fn write_hex16<'a>(bytes: &[u8; 16], text: &'a mut [u8; 32]) -> &'a str {
    for (four, digits) in bytes.as_chunks().0.iter().zip(text.as_chunks_mut().0) {
        *digits = hex_digits(*four);
    }
    std::str::from_utf8(text).expect("hex digits are ASCII")
}

/// The digits of four bytes, made all at once: each half of a byte gets a byte of its own, and those above nine are moved
/// on to the letters.
const fn hex_digits(four: [u8; 4]) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let bytes = u32::from_be_bytes(four) as u64;
    let bytes = (bytes | bytes << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (bytes | bytes << 8) & 0x00ff_00ff_00ff_00ff;
    let halves = (bytes | bytes << 4) & (ONES * 0x0f);
    let letters = ((halves + ONES * 6) >> 4) & ONES;
    (halves + ONES * b'0' as u64 + letters * (b'a' - b'9' - 1) as u64).to_be_bytes()
}

fn parse_hex16(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 32 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = digit(text[at * 2])? << 4 | digit(text[at * 2 + 1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_one_alertmanager_gives() {
        // Labels and fingerprint of a body that Alertmanager 0.25.0 sent.
        let labels = [
            ("alertname", "HighErrorRate"),
            ("cell", "prod-use1-c2"),
            ("cluster", "eks-prod-1"),
            ("instance", "127.0.0.1:19098"),
            ("job", "demo"),
            ("namespace", "api"),
            ("note", "line1\nline2"),
            ("path", "/x"),
            ("region", "us-east-1"),
            ("service", "duo-api"),
            ("severity", "critical"),
        ];
        assert_eq!(format!("{:016x}", alertmanager_fingerprint(labels.into_iter())), "51f99cfc0c7805e8");
    }

    #[test]
    fn every_byte_has_its_two_digits() {
        for byte in 0..=u8::MAX {
            let others = [byte.wrapping_add(1), byte ^ 0xff, byte.rotate_left(4)];
            let digits = hex_digits([byte, others[0], others[1], others[2]]);
            let expected = format!("{byte:02x}{:02x}{:02x}{:02x}", others[0], others[1], others[2]);
            assert_eq!(digits, expected.as_bytes());
        }
    }

    #[test]
    fn ids_read_what_they_write_and_keep_their_parts_apart() {
        let mut left = IdHasher::new("test");
        left.part("ab");
        left.part("c");
        let mut right = IdHasher::new("test");
        right.part("a");
        right.part("bc");
        let mut bytes = Vec::new();
        separate(["test", "ab", "c"], &mut bytes);
        let (left, right) = (left.identity(), right.identity());
        assert_eq!(Identity(hash_separated(&bytes)), left);
        assert_ne!(left, right);
        assert_eq!(Identity::parse(&left.to_string()), Some(left));
        let key = IncidentKey(left.0);
        assert_eq!(IncidentKey::parse(&key.to_string()), Some(key));
        assert_eq!(IncidentKey::parse("v2-00"), None);
    }
}
