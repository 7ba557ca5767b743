//! Takes the credential out of a body that is to be kept. Never gives back a body in which it can still be
//! read: then nothing of it is kept.

use crate::sources::node::{self, Kind, Node};

/// Stands where the credential stood.
const PLACEHOLDER: &str = "[secret]";
/// Shorter ones also stand in text that has nothing to do with them, so they are not replaced there.
const REPLACED_BYTES_MIN: usize = 8;
/// JSON in a text of JSON, and so on: who goes deeper has something to hide.
const ESCAPE_DEPTH_MAX: usize = 8;

/// The body with the top-level members of these names replaced, and whatever else repeats their values.
/// `None`: it cannot be told whether the credential is gone.
pub(super) fn masked(body: &[u8], names: &[&str]) -> Option<String> {
    let text = node::body_text(body).ok()?;
    let root = Node::parse(text).ok().filter(|root| root.kind() == Kind::Object)?;
    let members = root.members();
    if members.len() >= node::COUNT_MAX {
        return None;
    }
    let mut kept = String::with_capacity(text.len());
    let mut secrets = Vec::new();
    let mut copied = 0;
    for (_, value) in members.iter().filter(|(name, value)| names.contains(&name.as_ref()) && !value.is_null()) {
        // A node is a slice of the text, so its place is the distance of the two.
        let start = value.json().as_ptr().addr() - text.as_ptr().addr();
        kept.push_str(&text[copied..start]);
        kept.push('"');
        kept.push_str(PLACEHOLDER);
        kept.push('"');
        copied = start + value.json().len();
        secrets.extend(value.scalar().filter(|secret| !secret.is_empty()));
    }
    kept.push_str(&text[copied..]);
    // A longer one may hold a shorter one.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in secrets.iter().filter(|secret| secret.len() >= REPLACED_BYTES_MIN) {
        kept = kept.replace(secret.as_ref(), PLACEHOLDER);
    }
    let is_gone = |text: &str| !secrets.iter().any(|secret| text.contains(secret.as_ref()));
    let is_readable = !secrets.iter().any(|secret| secret.contains(char::REPLACEMENT_CHARACTER));
    (is_readable && holds_at_each_depth(&kept, is_gone)).then_some(kept)
}

/// Whether something holds for a text as it stands and for all that its escapes hide.
fn holds_at_each_depth(text: &str, holds: impl Fn(&str) -> bool) -> bool {
    let mut plain = text.to_owned();
    for _ in 0..ESCAPE_DEPTH_MAX {
        if !holds(&plain) {
            return false;
        }
        let deeper = unescaped(&plain);
        if deeper == plain {
            return true;
        }
        plain = deeper;
    }
    false
}

/// One level of JSON escapes taken off, in and out of strings alike; what is no escape stays.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let (character, length) = escape(after).unwrap_or(('\\', 0));
        plain.push(character);
        rest = &after[length..];
    }
    plain.push_str(rest);
    plain
}

/// The character that an escape stands for, and how many bytes it takes behind its backslash.
fn escape(after: &str) -> Option<(char, usize)> {
    let simple = |character| Some((character, 1));
    match after.as_bytes().first()? {
        b'"' => simple('"'),
        b'\\' => simple('\\'),
        b'/' => simple('/'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'u' => {
            let unit = |from: usize| u16::from_str_radix(after.get(from..from + 4)?, 16).ok();
            let first = unit(1)?;
            let second = after.get(5..7).filter(|next| *next == "\\u").and_then(|_| unit(7));
            let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
            match char::from_u32(u32::from(first)) {
                Some(character) => Some((character, 5)),
                None => Some(pair.map_or((char::REPLACEMENT_CHARACTER, 5), |character| (character, 11))),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "fedcba9876543210fedcba9876543210";
    const NAMES: [&str; 2] = ["routing_key", "service_key"];

    fn kept(body: &str) -> Option<String> {
        masked(body.as_bytes(), &NAMES)
    }

    #[test]
    fn a_body_is_kept_as_it_came_but_for_its_key() {
        let body =
            format!(r#" {{ "a" : 1.50, "routing_key":"{KEY}","routing_key" : "{KEY}", "d":{{"u":"x/{KEY}?"}} }} "#);
        let expected = body.trim().replace(KEY, "[secret]");
        assert_eq!(kept(&body).unwrap(), expected);
        assert_eq!(
            kept(r#"{"a":"\\d+ \"q\" \ud83d\ude00","b":[]}"#).unwrap(),
            r#"{"a":"\\d+ \"q\" \ud83d\ude00","b":[]}"#
        );
        assert_eq!(
            kept(r#"{"routing_key":7000000000,"service_key":["x"]}"#).unwrap(),
            r#"{"routing_key":"[secret]","service_key":"[secret]"}"#
        );
    }

    #[test]
    fn an_escaped_key_or_name_is_found_in_its_place() {
        let escaped: String = KEY.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        assert_eq!(
            kept(&format!(r#"{{"routing\u005fkey":"{escaped}"}}"#)).unwrap(),
            r#"{"routing\u005fkey":"[secret]"}"#
        );
    }

    #[test]
    fn nothing_is_kept_of_a_body_that_hides_its_key_elsewhere() {
        let half = KEY.replacen('f', "\\u0066", 1);
        let deep = half.replace('\\', "\\\\");
        let deeper = deep.replace('\\', "\\\\");
        for hidden in [&half, &deep, &deeper] {
            let body = format!(r#"{{"routing_key":"{KEY}","d":"see {hidden}"}}"#);
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
            assert_eq!(kept(&body), None, "{body}");
        }
    }

    #[test]
    fn nothing_is_kept_of_what_cannot_be_read() {
        let cut = format!(r#"{{"routing_key":"{KEY}","d":"#);
        for body in [cut.as_str(), "", "[]", "\"text\"", KEY, "{} x"] {
            assert_eq!(kept(body), None, "{body}");
        }
        assert_eq!(masked(b"{\"routing_key\":\"\xff\"}", &NAMES), None);
        assert_eq!(kept(r#"{"routing_key":"abc","d":"abc"}"#), None, "too short to be replaced wherever it stands");
    }
}
