//! Protobuf read for a few fields only: sub-messages by number, attributes as texts. Never fails: what is malformed ends
//! its message, because the scanner has judged the bytes before.

use std::borrow::Cow;

use crate::otlp::wire::{Field, Fields, Value};

/// Attributes of one thing that are looked at.
const ATTRIBUTE_COUNT_MAX: usize = 128;
const KEY_BYTES_MAX: usize = 200;
/// Lists in lists in an attribute; OTLP's own readers allow more, but nobody reads such a text.
const DEPTH_MAX: usize = 4;
/// Of a list or map that is written out as text.
const RENDERED_BYTES_MAX: usize = 4096;

/// The fields of a message up to the first that is malformed.
pub(in crate::otlp) fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields::new(message).map_while(Result::ok)
}

/// The sub-messages of one field number.
pub(in crate::otlp) fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    fields(message).filter(move |field| field.number == number).filter_map(|field| field.value.bytes())
}

/// The name and the value of an attribute; of what stands twice the last counts.
pub(in crate::otlp) fn name_and_value(attribute: &[u8]) -> (&str, Option<&[u8]>) {
    let (mut name, mut value) = ("", None);
    for field in fields(attribute) {
        match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => name = std::str::from_utf8(bytes).unwrap_or_default(),
            (2, Value::Bytes(bytes)) => value = Some(bytes),
            _ => {}
        }
    }
    (name, value)
}

/// Attributes by name, borrowed from the block where they are texts.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a>(Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Attributes<'a> {
    /// The key-value pairs in all fields of one number.
    pub(super) fn of(message: &'a [u8], number: u32) -> Attributes<'a> {
        let mut attributes = Attributes::default();
        messages(message, number).for_each(|pair| attributes.take(pair));
        attributes
    }

    pub(super) fn take(&mut self, pair: &'a [u8]) {
        if self.0.len() >= ATTRIBUTE_COUNT_MAX {
            return;
        }
        let (key, value) = name_and_value(pair);
        if let (1..=KEY_BYTES_MAX, Some(value)) = (key.len(), value) {
            self.0.push((key, text_of(value, 0)));
        }
    }

    /// The first of that name, which should be the only one, unless it is blank.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| *key == name)?;
        Some(value.as_ref()).filter(|value| !value.trim().is_empty())
    }

    /// The first of several names that has a value.
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Python's SDK writes `True`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn number(&self, names: &[&str]) -> Option<u32> {
        self.first(names)?.parse().ok()
    }

    /// Copies of those that a reader may see, each and all together within bounds.
    pub(super) fn kept(&self, value_bytes_max: usize, bytes_max: usize) -> Vec<(String, String)> {
        let mut room = bytes_max;
        let mut kept = Vec::new();
        for (key, value) in self.0.iter().filter(|(key, value)| is_shown(key) && !value.trim().is_empty()) {
            let value = shown(key, value);
            let value = clip(&value, value_bytes_max);
            let Some(left) = room.checked_sub(key.len() + value.len()) else { continue };
            room = left;
            kept.push(((*key).to_owned(), value.to_owned()));
        }
        kept
    }
}

/// Who the user was and what headers held is nobody's business in a tracker of errors; the exception itself has its
/// own place there.
fn is_shown(key: &str) -> bool {
    const HIDDEN: [&str; 21] = [
        "exception.",
        "enduser.",
        "user.",
        "http.request.header.",
        "http.response.header.",
        "http.request.body",
        "rpc.grpc.request.metadata.",
        "rpc.grpc.response.metadata.",
        "client.",
        "source.address",
        "http.client_ip",
        "http.user_agent",
        "net.peer.ip",
        "net.sock.peer.",
        "network.peer.",
        "session.",
        "user_agent.",
        // Queries hold tokens.
        "url.query",
        "url.fragment",
        // Command lines hold passwords.
        "process.command",
        "process.owner",
    ];
    !HIDDEN.iter().any(|start| key.starts_with(start))
}

/// Of an address what tells where it leads, without who asked and what for: scheme, host and path.
fn shown<'v>(key: &str, value: &'v str) -> Cow<'v, str> {
    if !["url.full", "http.url", "http.target"].contains(&key) {
        return Cow::Borrowed(value);
    }
    let address = &value[..value.find(['?', '#']).unwrap_or(value.len())];
    let Some((scheme, rest)) = address.split_once("//") else { return Cow::Borrowed(address) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{scheme}//{host}{path}")),
        None => Cow::Borrowed(address),
    }
}

/// At most so many bytes, cut between characters.
pub(in crate::otlp) fn clip(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max.min(text.len()))]
}

/// An `AnyValue` as text: scalars as they read, lists and maps like JSON.
pub(in crate::otlp) fn text_of(any_value: &[u8], depth: usize) -> Cow<'_, str> {
    let mut text = Cow::Borrowed("");
    for field in fields(any_value) {
        text = match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => String::from_utf8_lossy(bytes),
            (2, Value::Varint(flag)) => Cow::Borrowed(if flag == 0 { "false" } else { "true" }),
            (3, Value::Varint(number)) => Cow::Owned(number.cast_signed().to_string()),
            (4, Value::Fixed64(bits)) => Cow::Owned(f64::from_bits(bits).to_string()),
            (5, Value::Bytes(list)) if depth < DEPTH_MAX => Cow::Owned(list_text(list, depth)),
            (6, Value::Bytes(map)) if depth < DEPTH_MAX => Cow::Owned(map_text(map, depth)),
            (7, Value::Bytes(bytes)) => Cow::Owned(format!("{} bytes", bytes.len())),
            _ => text,
        };
    }
    text
}

fn list_text(list: &[u8], depth: usize) -> String {
    let mut text = String::from("[");
    for value in messages(list, 1) {
        if text.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(clip(&text_of(value, depth + 1), RENDERED_BYTES_MAX));
        if text.len() > RENDERED_BYTES_MAX {
            break;
        }
    }
    text.push(']');
    text
}

fn map_text(map: &[u8], depth: usize) -> String {
    let mut text = String::from("{");
    for pair in messages(map, 1) {
        if text.len() > 1 {
            text.push_str(", ");
        }
        for field in fields(pair) {
            match (field.number, field.value) {
                (1, Value::Bytes(key)) => {
                    text.push_str(clip(&String::from_utf8_lossy(key), KEY_BYTES_MAX));
                    text.push_str(": ");
                }
                (2, Value::Bytes(value)) => text.push_str(clip(&text_of(value, depth + 1), RENDERED_BYTES_MAX)),
                _ => {}
            }
        }
        if text.len() > RENDERED_BYTES_MAX {
            break;
        }
    }
    text.push('}');
    text
}

/// The bytes of an id, if they are as many as they should be and not all zero.
pub(in crate::otlp) fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok().filter(|id: &[u8; N]| id.iter().any(|byte| *byte != 0))
}
