//! Finds which of many beginnings a text has, by one binary search however many there are. Never looks at what
//! follows the beginning.

#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// Sorted and different from each other.
    entries: Vec<Entry>,
    /// The head of each entry: most searches end among these, which lie side by side.
    heads: Vec<u64>,
    /// Of the longest entry.
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry {
    prefix: Box<[u8]>,
    /// The longest other entry that this one begins with: whoever begins with this one begins with that one.
    parent: Option<usize>,
    rules: Vec<u32>,
}

impl Prefixes {
    pub(super) fn new(mut pairs: Vec<(Vec<u8>, u32)>) -> Prefixes {
        pairs.sort();
        let mut entries: Vec<Entry> = Vec::new();
        for (prefix, rule) in pairs {
            if let Some(last) = entries.last_mut().filter(|last| *last.prefix == *prefix) {
                if last.rules.last() != Some(&rule) {
                    last.rules.push(rule);
                }
                continue;
            }
            // The nearest entry above that is a beginning of this one, found along the parents of its neighbour.
            let mut parent = entries.len().checked_sub(1);
            while let Some(at) = parent.filter(|at| !prefix.starts_with(&entries[*at].prefix)) {
                parent = entries[at].parent;
            }
            entries.push(Entry { prefix: prefix.into(), parent, rules: vec![rule] });
        }
        let bytes_max = entries.iter().map(|entry| entry.prefix.len()).max().unwrap_or(0);
        let heads = entries.iter().map(|entry| head(&entry.prefix)).collect();
        Prefixes { entries, heads, bytes_max }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Visits the rules of all beginnings of the text read backwards.
    pub(super) fn visit_backwards(&self, text: &[u8], visit: impl FnMut(u32)) {
        // What stands before the longest entry makes no difference.
        let mut buffer = [0; 64];
        let end = &text[text.len().saturating_sub(self.bytes_max)..];
        match buffer.get_mut(..end.len()) {
            Some(backwards) => {
                backwards.iter_mut().zip(end.iter().rev()).for_each(|(to, from)| *to = *from);
                self.visit(backwards, visit);
            }
            None => self.visit(&end.iter().rev().copied().collect::<Vec<u8>>(), visit),
        }
    }

    /// Visits the rules of all beginnings of the text.
    pub(super) fn visit(&self, text: &[u8], mut visit: impl FnMut(u32)) {
        // Every beginning of the text sorts at or before it, and is a beginning of the nearest entry before it or of
        // one of that entry's parents.
        let head = head(text);
        let first = self.heads.partition_point(|held| *held < head);
        let alike = self.heads[first..].partition_point(|held| *held == head);
        let behind = first + self.entries[first..first + alike].partition_point(|entry| *entry.prefix <= *text);
        let mut at = behind.checked_sub(1);
        while let Some(entry) = at.map(|at| &self.entries[at]) {
            if text.starts_with(&entry.prefix) {
                entry.rules.iter().for_each(|rule| visit(*rule));
            }
            at = entry.parent;
        }
    }
}

/// The first eight bytes as a number, with zeros behind a shorter text: of two texts the one with the smaller head sorts
/// first.
fn head(text: &[u8]) -> u64 {
    if let Some(first) = text.first_chunk::<8>() {
        return u64::from_be_bytes(*first);
    }
    let missing = 8 * (8 - text.len());
    match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        // Where the two overlap they agree.
        (Some(first), Some(last)) => {
            u64::from(u32::from_be_bytes(*first)) << 32 | u64::from(u32::from_be_bytes(*last)) << missing
        }
        _ if text.is_empty() => 0,
        _ => text.iter().fold(0, |head, byte| head << 8 | u64::from(*byte)) << missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_first_eight_bytes_with_zeros_behind() {
        let text = b"owl-service\xff";
        for length in 0..=text.len() {
            let mut expected = [0; 8];
            let count = length.min(8);
            expected[..count].copy_from_slice(&text[..count]);
            assert_eq!(head(&text[..length]), u64::from_be_bytes(expected), "{length}");
        }
    }

    #[test]
    fn exactly_the_beginnings_of_a_text_are_visited() {
        let words = [
            "a",
            "ab",
            "abc",
            "abd",
            "b",
            "ba",
            "owl-",
            "owl-service-",
            "owl-t",
            "é",
            "zz",
            "abc",
            "a\0",
            "owl-service",
            "owl-servicd",
        ];
        let pairs = (0..).zip(words).map(|(rule, word)| (word.as_bytes().to_vec(), rule)).collect();
        let prefixes = Prefixes::new(pairs);
        for text in [
            "",
            "a",
            "abce",
            "abdx",
            "ac",
            "bab",
            "owl-service-prod",
            "owl-u",
            "owl",
            "a\0b",
            "owl-serv",
            "owl-service",
            "é!",
            "z",
            "zzz",
            "\u{ff}",
        ] {
            let mut found = Vec::new();
            prefixes.visit(text.as_bytes(), |rule| found.push(rule));
            found.sort_unstable();
            let mut backwards = Vec::new();
            let reversed: Vec<u8> = text.bytes().rev().collect();
            prefixes.visit_backwards(&reversed, |rule| backwards.push(rule));
            backwards.sort_unstable();
            assert_eq!(backwards, found, "{text}");
            let expected: Vec<u32> =
                (0..).zip(words).filter(|(_, word)| text.starts_with(word)).map(|(rule, _)| rule).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
