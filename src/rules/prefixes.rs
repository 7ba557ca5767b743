//! Finds which of many beginnings a text has, by one binary search however many there are. Never looks at what
//! follows the beginning.

#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// Sorted and different from each other.
    entries: Vec<Entry>,
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
        Prefixes { entries }
    }

    /// Visits the rules of all beginnings of the text.
    pub(super) fn visit(&self, text: impl Iterator<Item = u8> + Clone, mut visit: impl FnMut(u32)) {
        if self.entries.is_empty() {
            return;
        }
        // Every beginning of the text sorts at or before it, and is a beginning of the nearest entry before it or of
        // one of that entry's parents.
        let behind = self.entries.partition_point(|entry| entry.prefix.iter().copied().le(text.clone()));
        let mut at = behind.checked_sub(1);
        while let Some(entry) = at.map(|at| &self.entries[at]) {
            if starts_with(text.clone(), &entry.prefix) {
                entry.rules.iter().for_each(|rule| visit(*rule));
            }
            at = entry.parent;
        }
    }
}

fn starts_with(mut text: impl Iterator<Item = u8>, prefix: &[u8]) -> bool {
    prefix.iter().all(|byte| text.next() == Some(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_beginnings_of_a_text_are_visited() {
        let words = ["a", "ab", "abc", "abd", "b", "ba", "owl-", "owl-service-", "owl-t", "é", "zz", "abc"];
        let pairs = (0..).zip(words).map(|(rule, word)| (word.as_bytes().to_vec(), rule)).collect();
        let prefixes = Prefixes::new(pairs);
        for text in
            ["", "a", "abce", "abdx", "ac", "bab", "owl-service-prod", "owl-u", "owl", "é!", "z", "zzz", "\u{ff}"]
        {
            let mut found = Vec::new();
            prefixes.visit(text.bytes(), |rule| found.push(rule));
            found.sort_unstable();
            let expected: Vec<u32> =
                (0..).zip(words).filter(|(_, word)| text.starts_with(word)).map(|(rule, _)| rule).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
