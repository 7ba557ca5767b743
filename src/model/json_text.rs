//! JSON written piece by piece into one text, for what is written for every alert. Looks at eight bytes at a time
//! where serde_json looks at one; never checks that the pieces make a whole.

use std::fmt::{Display, Write};

use super::Labels;

/// A JSON text under construction. Commas come by themselves.
#[derive(Debug, Default)]
pub struct JsonText(String);

impl JsonText {
    pub fn with_capacity(bytes: usize) -> JsonText {
        JsonText(String::with_capacity(bytes))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A comma, unless something has just begun.
    fn next(&mut self) {
        if !matches!(self.0.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(',');
        }
    }

    /// `{` or `[`, as the next element or behind a [`JsonText::key`].
    pub fn open(&mut self, bracket: char) {
        self.next();
        self.0.push(bracket);
    }

    pub fn close(&mut self, bracket: char) {
        self.0.push(bracket);
    }

    /// A name that needs no escapes; its value follows.
    pub fn key(&mut self, name: &str) {
        self.next();
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// A text as the next element or value.
    pub fn text(&mut self, text: &str) {
        self.next();
        push_quoted(&mut self.0, text);
    }

    /// A number, or a text made of one piece that needs no escapes and brings its own quotes.
    pub fn bare(&mut self, value: impl Display) {
        self.next();
        write!(self.0, "{value}").expect("writing to a String cannot fail");
    }

    /// What writes itself without characters that need escapes: a time, an id.
    pub fn plain(&mut self, value: impl Display) {
        self.next();
        write!(self.0, "\"{value}\"").expect("writing to a String cannot fail");
    }

    /// Names and values that may both need escapes.
    pub fn labels(&mut self, labels: &Labels<'_>) {
        self.open('{');
        for (name, value) in labels.iter() {
            self.text(name);
            self.0.push(':');
            push_quoted(&mut self.0, value);
        }
        self.close('}');
    }
}

/// Appends a text in quotes, escaped as serde_json escapes it.
pub fn push_quoted(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let byte = rest.as_bytes()[at];
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            control => write!(out, "\\u{control:04x}").expect("writing to a String cannot fail"),
        }
        // What is escaped is one byte long, so this is between characters.
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first control character, quote or backslash stands.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let word_at = |at: usize| bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
    let mut at = 0;
    let mut word = word_at(at);
    while word.is_some_and(|word| !has_special(word)) {
        at += 8;
        word = word_at(at);
    }
    // What is left may be looked at together with the end of what was.
    if word.is_none()
        && let Some(last) = bytes.len().checked_sub(8).and_then(word_at)
        && !has_special(last)
    {
        return None;
    }
    bytes[at..].iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')).map(|found| at + found)
}

/// Whether one of eight bytes is below 0x20, a quote or a backslash. The usual tricks with borrows: a byte is less
/// than `n` (at most 0x80) if taking `n` away borrows into its highest bit while that bit was not set. A borrow
/// may tell falsely of a byte above a true one, which does not matter here.
const fn has_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let quotes = word ^ (ONES * 0x22);
    let slashes = word ^ (ONES * 0x5c);
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let quotes = quotes.wrapping_sub(ONES) & !quotes;
    let slashes = slashes.wrapping_sub(ONES) & !slashes;
    (controls | quotes | slashes) & HIGH != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(text: &str) -> String {
        let mut out = String::new();
        push_quoted(&mut out, text);
        out
    }

    #[test]
    fn every_character_is_written_as_serde_json_writes_it_wherever_it_stands() {
        for character in (0..0x300).filter_map(char::from_u32).chain(['\u{2028}', '😀', '\u{ffff}']) {
            for before in 0..17 {
                let text = format!("{}{character}tail of the text", "x".repeat(before));
                assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(text in "\\PC*|[\\x00-\\x7f]*") {
            prop_assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn commas_stand_between_elements_and_nowhere_else() {
        let mut json = JsonText::default();
        json.open('{');
        json.key("a");
        json.text("x\"");
        json.key("b");
        json.open('[');
        json.bare(1);
        json.open('{');
        json.close('}');
        json.plain(2);
        json.close(']');
        json.key("c");
        json.labels(&Labels::from_iter([("k\n", "v"), ("l", "w")]));
        json.close('}');
        assert_eq!(json.as_str(), r#"{"a":"x\"","b":[1,{},"2"],"c":{"k\n":"v","l":"w"}}"#);
    }
}
