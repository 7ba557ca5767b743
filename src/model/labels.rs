//! A small sorted map of text to text that borrows from the body it was read from. Names are unique, values
//! are never empty (an empty label equals no label, as in Prometheus).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Sorted by name. Reading the same name twice keeps the last value, as vmalert needs.
#[derive(Clone)]
pub struct Labels<'a>(Held<'a>);

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

#[derive(Clone)]
enum Held<'a> {
    /// As they were read: names and values stand in the body where they can.
    Loose(Pairs<'a>),
    /// As they are kept: an alert has some ten of them, in the member, the incident and its notices.
    Packed(Arc<Packed>),
}

/// All names and values in one text.
struct Packed {
    text: String,
    /// Where each name and each value ends, in turn.
    ends: Vec<u32>,
}

impl Packed {
    /// `None`: more text than an offset can tell.
    fn of(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Option<Packed> {
        let length = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        u32::try_from(length).ok()?;
        let (mut text, mut ends) = (String::with_capacity(length), Vec::with_capacity(pairs.len() * 2));
        for (name, value) in pairs {
            text.push_str(name);
            let name_end = u32::try_from(text.len()).ok()?;
            text.push_str(value);
            ends.extend_from_slice(&[name_end, u32::try_from(text.len()).ok()?]);
        }
        Some(Packed { text, ends })
    }

    fn piece(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[at] as usize]
    }
}

impl<'a> Labels<'a> {
    pub const fn new() -> Labels<'a> {
        Labels(Held::Loose(Vec::new()))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.position(name).map(|at| self.pair(at).1)
    }

    /// Like [`Labels::get`]; borrows from the body where it can.
    pub fn get_cow(&self, name: &str) -> Option<Cow<'a, str>> {
        self.position(name).map(|at| self.value_cow(at))
    }

    /// The first value whose name will do; borrows from the body where it can.
    pub fn find_cow(&self, will_do: impl Fn(&str) -> bool) -> Option<Cow<'a, str>> {
        self.iter().position(|(name, _)| will_do(name)).map(|at| self.value_cow(at))
    }

    pub fn iter(&self) -> Iter<'_, 'a> {
        match &self.0 {
            Held::Loose(pairs) => Iter { loose: pairs.iter(), text: "", ends: [].iter(), start: 0 },
            Held::Packed(packed) => {
                Iter { loose: [].iter(), text: &packed.text, ends: packed.ends.as_chunks().0.iter(), start: 0 }
            }
        }
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Held::Loose(pairs) => pairs.len(),
            Held::Packed(packed) => packed.ends.len() / 2,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets or replaces; an empty value removes.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let (name, value) = (name.into(), value.into());
        let found = self.find(&name);
        let mut pairs = self.take_loose();
        match found {
            Ok(at) if value.is_empty() => drop(pairs.remove(at)),
            Ok(at) => pairs[at].1 = value,
            Err(_) if value.is_empty() => {}
            Err(at) => pairs.insert(at, (name, value)),
        }
        self.0 = Held::Loose(pairs);
    }

    pub fn remove(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.position(name)?;
        let mut pairs = self.take_loose();
        let (_, value) = pairs.remove(at);
        self.0 = Held::Loose(pairs);
        Some(value)
    }

    pub fn into_owned(self) -> Labels<'static> {
        let pairs = match self.0 {
            Held::Loose(pairs) => pairs,
            Held::Packed(packed) => return Labels(Held::Packed(packed)),
        };
        if pairs.is_empty() {
            return Labels::new();
        }
        match Packed::of(&pairs) {
            Some(packed) => Labels(Held::Packed(Arc::new(packed))),
            None => {
                let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
                Labels(Held::Loose(pairs.into_iter().map(|(name, value)| (owned(name), owned(value))).collect()))
            }
        }
    }

    fn pair(&self, at: usize) -> (&str, &str) {
        match &self.0 {
            Held::Loose(pairs) => (&pairs[at].0, &pairs[at].1),
            Held::Packed(packed) => (packed.piece(at * 2), packed.piece(at * 2 + 1)),
        }
    }

    fn value_cow(&self, at: usize) -> Cow<'a, str> {
        match &self.0 {
            Held::Loose(pairs) => pairs[at].1.clone(),
            Held::Packed(packed) => Cow::Owned(packed.piece(at * 2 + 1).to_owned()),
        }
    }

    /// Where the name stands. Most labels are few, and most names are told apart by their length.
    fn position(&self, name: &str) -> Option<usize> {
        const FEW: usize = 16;
        if self.len() > FEW {
            return self.find(name).ok();
        }
        match &self.0 {
            Held::Loose(pairs) => pairs.iter().position(|(held, _)| held.as_ref() == name),
            Held::Packed(packed) => {
                let mut start = 0;
                packed.ends.as_chunks().0.iter().position(|[name_end, end]| {
                    let held = start..*name_end as usize;
                    start = *end as usize;
                    held.len() == name.len() && packed.text.as_bytes()[held] == *name.as_bytes()
                })
            }
        }
    }

    /// Where the name stands, or would stand.
    fn find(&self, name: &str) -> Result<usize, usize> {
        match &self.0 {
            Held::Loose(pairs) => pairs.binary_search_by(|(held, _)| held.as_ref().cmp(name)),
            Held::Packed(packed) => {
                let (mut low, mut high) = (0, packed.ends.len() / 2);
                while low < high {
                    let middle = usize::midpoint(low, high);
                    match packed.piece(middle * 2).cmp(name) {
                        Ordering::Less => low = middle + 1,
                        Ordering::Equal => return Ok(middle),
                        Ordering::Greater => high = middle,
                    }
                }
                Err(low)
            }
        }
    }

    /// Apart, to be changed and put back.
    fn take_loose(&mut self) -> Pairs<'a> {
        match std::mem::replace(&mut self.0, Held::Loose(Vec::new())) {
            Held::Loose(pairs) => pairs,
            Held::Packed(packed) => {
                let owned = |at: usize| Cow::Owned(packed.piece(at).to_owned());
                (0..packed.ends.len() / 2).map(|at| (owned(at * 2), owned(at * 2 + 1))).collect()
            }
        }
    }

    /// For what is read back from the store: nothing to borrow from.
    pub fn deserialize_owned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels<'static>, D::Error> {
        deserializer.deserialize_any(LabelsVisitor).map(Labels::into_owned)
    }

    /// In any order; of equal names the last one counts.
    pub fn from_pairs(mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Labels<'a> {
        // Go and most others write maps sorted; then nothing moves.
        if !pairs.is_sorted_by(|left, right| left.0 < right.0) {
            // Stable, so of two equal names the later stays later; the reversed dedup then keeps it.
            pairs.sort_by(|left, right| left.0.cmp(&right.0));
            pairs.reverse();
            pairs.dedup_by(|dropped, kept| dropped.0 == kept.0);
            pairs.reverse();
        }
        pairs.retain(|(_, value)| !value.is_empty());
        Labels(Held::Loose(pairs))
    }
}

/// Names and values in their order.
pub struct Iter<'l, 'a> {
    loose: std::slice::Iter<'l, (Cow<'a, str>, Cow<'a, str>)>,
    text: &'l str,
    ends: std::slice::Iter<'l, [u32; 2]>,
    /// Where the next name begins.
    start: usize,
}

impl<'l> Iterator for Iter<'l, '_> {
    type Item = (&'l str, &'l str);

    fn next(&mut self) -> Option<(&'l str, &'l str)> {
        if let Some((name, value)) = self.loose.next() {
            return Some((name, value));
        }
        let [name_end, end] = self.ends.next()?;
        let (name_end, end) = (*name_end as usize, *end as usize);
        let pair = (&self.text[self.start..name_end], &self.text[name_end..end]);
        self.start = end;
        Some(pair)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.loose.len() + self.ends.len();
        (count, Some(count))
    }
}

impl Default for Labels<'_> {
    fn default() -> Self {
        Labels::new()
    }
}

impl PartialEq for Labels<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Labels<'_> {}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a, N: Into<Cow<'a, str>>, V: Into<Cow<'a, str>>> FromIterator<(N, V)> for Labels<'a> {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Labels<'a> {
        Labels::from_pairs(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    /// An object of texts; `null` as the whole or as a value is absent; any other value is an error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_unit<E>(self) -> Result<Labels<'de>, E> {
        Ok(Labels::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels<'de>, A::Error> {
        let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(12).min(64));
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
            pairs.push((name, value.map_or(Cow::Borrowed(""), |Text(value)| value)));
        }
        Ok(Labels::from_pairs(pairs))
    }
}

/// A text that borrows when it can: serde's own `Cow` always copies.
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_equal_names_wins_and_empty_values_are_absent() {
        let labels: Labels = serde_json::from_str(r#"{"b":"1","a":"x","b":"2","c":"","d":null,"a":"y"}"#).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "y"), ("b", "2")]);
        assert_eq!(labels.get("b"), Some("2"));
        assert_eq!(labels.get("c"), None);
    }

    #[test]
    fn plain_text_borrows_from_the_body_and_escaped_text_is_copied() {
        let labels: Labels = serde_json::from_str(r#"{"a":"plain","b":"\u003c"}"#).unwrap();
        assert!(matches!(labels.get_cow("a"), Some(Cow::Borrowed("plain"))));
        assert!(matches!(labels.get_cow("b"), Some(Cow::Owned(text)) if text == "<"));
    }

    #[test]
    fn what_is_kept_reads_and_changes_as_what_was_read() {
        let names = ["a", "b", "bb", "é", "zone"];
        for count in 0..=names.len() {
            let loose = Labels::from_iter(names[..count].iter().map(|name| (*name, format!("of {name}"))));
            let mut kept = loose.clone().into_owned();
            assert_eq!(kept, loose);
            assert_eq!(kept.len(), count);
            assert_eq!(serde_json::to_string(&kept).unwrap(), serde_json::to_string(&loose).unwrap());
            assert_eq!(format!("{kept:?}"), format!("{loose:?}"));
            for name in ["", "a", "aa", "b", "bb", "c", "é", "z", "zone", "zones"] {
                assert_eq!(kept.get(name), loose.get(name), "{name}");
                assert_eq!(kept.get_cow(name), loose.get_cow(name), "{name}");
            }
            assert_eq!(kept.find_cow(|name| name > "b"), loose.find_cow(|name| name > "b"));
            assert_eq!(kept.clone().into_owned(), loose);
            let before = kept.clone();
            kept.set("bb", "new");
            kept.set("a", "");
            assert_eq!(kept.get("bb"), Some("new"));
            assert_eq!(kept.remove("a"), None);
            assert_eq!(before, loose, "a clone is not changed with it");
            assert_eq!(kept.remove("zone").is_some(), count == names.len());
        }
    }

    #[test]
    fn a_number_is_not_a_label_value() {
        assert!(serde_json::from_str::<Labels>(r#"{"a":1}"#).is_err());
        assert!(serde_json::from_str::<Labels>("null").unwrap().is_empty());
    }
}
