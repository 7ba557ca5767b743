//! Which rules have a chance: one look-up per key of the alert instead of one test per rule. A rule that it leaves
//! out could not have held; a rule that it names must still be tested.

use super::condition::{All, Anchor};
use super::facts::{Facts, Key};
use super::hash::FastMap;
use super::prefixes::Prefixes;

#[derive(Debug, Default)]
pub(super) struct Index {
    keys: Vec<KeyIndex>,
    /// One bit per key behind which there is anything to find.
    used: Vec<u64>,
    always: Vec<u64>,
}

#[derive(Debug, Default)]
struct KeyIndex {
    exact: FastMap<Box<str>, Vec<u32>>,
    prefixes: Prefixes,
    /// Of the value read backwards.
    suffixes: Prefixes,
    present: Vec<u32>,
}

/// A set of rules, walked in their order while it grows ahead of the walk.
pub(super) struct Candidates(Vec<u64>);

impl Index {
    pub(super) fn new<'r>(rules: impl ExactSizeIterator<Item = &'r All>, key_count: usize) -> Index {
        let mut index = Index::default();
        index.keys.resize_with(key_count, KeyIndex::default);
        index.always = vec![0; rules.len().div_ceil(64)];
        let mut prefixes: Vec<Vec<(Vec<u8>, u32)>> = vec![Vec::new(); key_count];
        let mut suffixes = prefixes.clone();
        for (number, when) in (0_u32..).zip(rules) {
            let Some(anchors) = when.anchors() else {
                insert(&mut index.always, number);
                continue;
            };
            for anchor in anchors {
                let rules = match anchor {
                    Anchor::Exact(key, value) => index.keys[key].exact.entry(value).or_default(),
                    Anchor::Present(key) => &mut index.keys[key].present,
                    Anchor::Prefix(key, text) => {
                        prefixes[key].push((text.as_bytes().to_vec(), number));
                        continue;
                    }
                    Anchor::Suffix(key, text) => {
                        suffixes[key].push((text.bytes().rev().collect(), number));
                        continue;
                    }
                };
                if rules.last() != Some(&number) {
                    rules.push(number);
                }
            }
        }
        for (keys, (prefixes, suffixes)) in index.keys.iter_mut().zip(prefixes.into_iter().zip(suffixes)) {
            keys.prefixes = Prefixes::new(prefixes);
            keys.suffixes = Prefixes::new(suffixes);
        }
        index.used = vec![0; key_count.div_ceil(64)];
        for (number, _) in (0_u32..).zip(&index.keys).filter(|(_, key)| !key.is_empty()) {
            insert(&mut index.used, number);
        }
        index
    }

    /// The rules that have a chance before any tag is set.
    pub(super) fn start(&self, facts: &Facts<'_>) -> Candidates {
        let mut candidates = Candidates(self.always.clone());
        for (key, value) in facts.present() {
            self.add(key, value, &mut candidates);
        }
        candidates
    }

    /// Adds the rules that have a chance now that `key` has a value.
    pub(super) fn add(&self, key: Key, value: &str, candidates: &mut Candidates) {
        if self.used[key / 64] & 1 << (key % 64) != 0 {
            self.keys[key].add(value, candidates);
        }
    }
}

impl KeyIndex {
    fn is_empty(&self) -> bool {
        self.present.is_empty() && self.exact.is_empty() && self.prefixes.is_empty() && self.suffixes.is_empty()
    }

    fn add(&self, value: &str, candidates: &mut Candidates) {
        for rule in &self.present {
            insert(&mut candidates.0, *rule);
        }
        if !self.exact.is_empty()
            && let Some(rules) = self.exact.get(value)
        {
            for rule in rules {
                insert(&mut candidates.0, *rule);
            }
        }
        if !self.prefixes.is_empty() {
            self.prefixes.visit(value.as_bytes(), |rule| insert(&mut candidates.0, rule));
        }
        if !self.suffixes.is_empty() {
            self.suffixes.visit_backwards(value.as_bytes(), |rule| insert(&mut candidates.0, rule));
        }
    }
}

impl Candidates {
    /// The first rule at or behind `from`.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = *self.0.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.0.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

fn insert(words: &mut [u64], rule: u32) {
    words[rule as usize / 64] |= 1 << (rule % 64);
}
