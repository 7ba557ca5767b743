//! A small sorted map of text to text that borrows from the body it was read from. Names are unique, values
//! are never empty (an empty label equals no label, as in Prometheus).

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Sorted by name. Reading the same name twice keeps the last value, as vmalert needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Labels<'a> {
    pub const fn new() -> Labels<'a> {
        Labels(Vec::new())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|(held, _)| held.as_ref().cmp(name)).ok().map(|at| self.0[at].1.as_ref())
    }

    /// Like [`Labels::get`]; a clone of what it gives still borrows from the body where it can.
    pub fn get_cow(&self, name: &str) -> Option<&Cow<'a, str>> {
        self.0.binary_search_by(|(held, _)| held.as_ref().cmp(name)).ok().map(|at| &self.0[at].1)
    }

    /// Like [`Labels::iter`]; clones of the values still borrow from the body where they can.
    pub fn iter_cow(&self) -> impl Iterator<Item = (&str, &Cow<'a, str>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets or replaces; an empty value removes.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let (name, value) = (name.into(), value.into());
        match self.0.binary_search_by(|(held, _)| held.cmp(&name)) {
            Ok(at) if value.is_empty() => drop(self.0.remove(at)),
            Ok(at) => self.0[at].1 = value,
            Err(_) if value.is_empty() => {}
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.0.binary_search_by(|(held, _)| held.as_ref().cmp(name)).ok()?;
        Some(self.0.remove(at).1)
    }

    pub fn into_owned(self) -> Labels<'static> {
        Labels(
            self.0
                .into_iter()
                .map(|(name, value)| (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned())))
                .collect(),
        )
    }

    /// For what is read back from the store: nothing to borrow from.
    pub fn deserialize_owned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels<'static>, D::Error> {
        deserializer.deserialize_any(LabelsVisitor).map(Labels::into_owned)
    }

    fn from_unsorted(mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Labels<'a> {
        // Go and most others write maps sorted; then nothing moves.
        if !pairs.is_sorted_by(|left, right| left.0 < right.0) {
            // Stable, so of two equal names the later stays later; the reversed dedup then keeps it.
            pairs.sort_by(|left, right| left.0.cmp(&right.0));
            pairs.reverse();
            pairs.dedup_by(|dropped, kept| dropped.0 == kept.0);
            pairs.reverse();
        }
        pairs.retain(|(_, value)| !value.is_empty());
        Labels(pairs)
    }
}

impl<'a, N: Into<Cow<'a, str>>, V: Into<Cow<'a, str>>> FromIterator<(N, V)> for Labels<'a> {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Labels<'a> {
        Labels::from_unsorted(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
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
        Ok(Labels::from_unsorted(pairs))
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
        assert!(matches!(&labels.0[0].1, Cow::Borrowed("plain")));
        assert!(matches!(&labels.0[1].1, Cow::Owned(text) if text == "<"));
    }

    #[test]
    fn a_number_is_not_a_label_value() {
        assert!(serde_json::from_str::<Labels>(r#"{"a":1}"#).is_err());
        assert!(serde_json::from_str::<Labels>("null").unwrap().is_empty());
    }
}
