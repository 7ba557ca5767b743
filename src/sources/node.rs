//! A view into JSON text that is walked without building a tree: numbers keep their digits, the last of two
//! equal keys wins, and nothing is copied until it is wanted. It never recurses, so depth costs no stack.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::DecodeError;

/// Elements and members that are looked at. Sixteen megabytes of `1,1,1` must not become a gigabyte here.
pub(super) const COUNT_MAX: usize = 50_000;

/// The text of one JSON value, without blanks around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node<'a>(&'a str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    /// With its article, for error texts.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::Text => "a text",
            Kind::List => "a list",
            Kind::Object => "an object",
        }
    }
}

/// The body as text, without the byte order mark and the blanks that some senders put around it.
pub(super) fn body_text(body: &[u8]) -> Result<&str, DecodeError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| DecodeError::NotJson { cause: format!("no UTF-8 at byte {}", error.valid_up_to()) })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    if text.is_empty() { Err(DecodeError::Empty) } else { Ok(text) }
}

impl<'a> Node<'a> {
    /// Checks the text for being one JSON value and nothing behind it.
    pub(super) fn parse(text: &'a str) -> Result<Node<'a>, DecodeError> {
        serde_json::from_str::<&RawValue>(text)
            .map(|raw| Node(raw.get()))
            .map_err(|error| DecodeError::NotJson { cause: error.to_string() })
    }

    pub(super) fn json(self) -> &'a str {
        self.0
    }

    pub(super) fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    pub(super) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The text of a JSON string. Half a surrogate pair becomes U+FFFD, as Go's decoder has it.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        if self.kind() != Kind::Text {
            return None;
        }
        serde_json::from_str::<LossyText<'a>>(self.0).ok().map(|text| text.0)
    }

    /// Texts as they read, numbers and booleans as they are written; nothing for the rest.
    pub(super) fn scalar(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::Text => self.text(),
            Kind::Number | Kind::Bool => Some(Cow::Borrowed(self.0)),
            Kind::Null | Kind::List | Kind::Object => None,
        }
    }

    /// Elements of a list, no more than [`COUNT_MAX`]; empty for anything else.
    pub(super) fn items(self) -> Vec<Node<'a>> {
        if self.kind() != Kind::List {
            return Vec::new();
        }
        serde_json::from_str::<Items<'a>>(self.0).map(|items| items.0).unwrap_or_default()
    }

    /// Members of an object in their order, equal keys included, no more than [`COUNT_MAX`]; empty for
    /// anything else.
    pub(super) fn members(self) -> Vec<(Cow<'a, str>, Node<'a>)> {
        if self.kind() != Kind::Object {
            return Vec::new();
        }
        serde_json::from_str::<Members<'a>>(self.0).map(|members| members.0).unwrap_or_default()
    }

    /// The last member of that name; `null` counts as absent.
    pub(super) fn get(self, name: &str) -> Option<Node<'a>> {
        let mut members = self.members();
        let at = members.iter().rposition(|(held, _)| held == name)?;
        Some(members.swap_remove(at).1).filter(|node| !node.is_null())
    }

    /// RFC 6901; `null` counts as absent.
    pub(super) fn pointer(self, pointer: &str) -> Option<Node<'a>> {
        if pointer.is_empty() {
            return Some(self).filter(|node| !node.is_null());
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |node, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match node.kind() {
                Kind::Object => node.get(&token),
                Kind::List => node.items().get(token.parse::<usize>().ok()?).copied().filter(|node| !node.is_null()),
                Kind::Null | Kind::Bool | Kind::Number | Kind::Text => None,
            }
        })
    }
}

/// Reads a JSON string through its bytes, so that what is no Unicode is replaced and not refused.
struct LossyText<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for LossyText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = LossyText<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<LossyText<'de>, E> {
                Ok(LossyText(String::from_utf8_lossy(bytes)))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<LossyText<'de>, E> {
                Ok(LossyText(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
            }
        }
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<LossyText<'de>>()? {
                    let value = Node(map.next_value::<&'de RawValue>()?.get());
                    if members.len() < COUNT_MAX {
                        members.push((name.0, value));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct Items<'a>(Vec<Node<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(value) = list.next_element::<&'de RawValue>()? {
                    if items.len() < COUNT_MAX {
                        items.push(Node(value.get()));
                    }
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

/// The last text under one of the names at the top of a body, without reading the rest: where a credential
/// stands in the body it is read before anything else is trusted.
pub(super) fn top_level_text<'a>(body: &'a [u8], names: &[&str]) -> Option<Cow<'a, str>> {
    struct TopVisitor<'n>(&'n [&'n str]);
    impl<'de, 'n> Visitor<'de> for TopVisitor<'n> {
        type Value = Vec<Option<Cow<'de, str>>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = vec![None; self.0.len()];
            while let Some(name) = map.next_key::<LossyText<'de>>()? {
                match self.0.iter().position(|wanted| *wanted == name.0) {
                    Some(at) => found[at] = Node(map.next_value::<&'de RawValue>()?.get()).text(),
                    None => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            Ok(found)
        }
    }
    let text = body_text(body).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = (&mut deserializer).deserialize_map(TopVisitor(names)).ok()?;
    deserializer.end().ok()?;
    found.into_iter().flatten().find(|text| !text.is_empty())
}

/// One line for people: line breaks and control characters become blanks, and no more than `bytes_max`.
pub(super) fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(bytes_max));
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if line.len() + character.len_utf8() > bytes_max {
            line.truncate(line.floor_char_boundary(bytes_max.saturating_sub('…'.len_utf8())));
            line.push('…');
            break;
        }
        line.push(character);
    }
    line
}

/// The first characters of a text, at most `bytes_max` bytes of them.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node<'_> {
        Node::parse(text).unwrap()
    }

    #[test]
    fn pointers_follow_rfc_6901_and_null_is_absent() {
        let body = node(r#"{"a":{"b/c":[null,{"~":12345678901234567890123}]},"n":null,"a2":1}"#);
        assert_eq!(body.pointer("/a/b~1c/1/~0").unwrap().scalar().unwrap(), "12345678901234567890123");
        for absent in ["/n", "/a/b~1c/0", "/a/b~1c/2", "/a/b~1c/x", "/missing", "a"] {
            assert_eq!(body.pointer(absent), None, "{absent}");
        }
        assert_eq!(body.pointer(""), Some(body));
    }

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        assert_eq!(node(r#"{"a":1,"\u0061":2}"#).get("a").unwrap().scalar().unwrap(), "2");
        assert_eq!(node(r#"{"a":1,"a":null}"#).get("a"), None);
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        assert_eq!(node(r#""a\ud800b""#).text().unwrap(), "a\u{fffd}\u{fffd}\u{fffd}b");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(node(&deep).kind(), Kind::List);
        assert!(Node::parse(&deep[..1_500_000]).is_err());
    }

    #[test]
    fn one_line_is_one_line_and_bounded() {
        assert_eq!(one_line("a\nb\0c", 100), "a b c");
        let line = one_line(&"é".repeat(200), 100);
        assert!(line.len() <= 100 && line.ends_with('…'), "{line}");
    }

    #[test]
    fn the_credential_of_a_body_is_its_last_text_of_that_name() {
        let body = br#"{"key":"first","x":{"key":"inner"},"key":"last"}"#;
        assert_eq!(top_level_text(body, &["key", "old"]).unwrap(), "last");
        assert_eq!(top_level_text(br#"{"key":"a","key":1}"#, &["key"]), None);
        assert_eq!(top_level_text(br#"{"key":"a"} x"#, &["key"]), None);
    }
}
