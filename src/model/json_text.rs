//! JSON written piece by piece into one text, for what is written for every alert. Looks at eight bytes at a time
//! where serde_json looks at one; never checks that the pieces make a whole.

use std::fmt::Write;

use super::Labels;

/// What writes itself without characters that need escapes: a time, an id.
pub trait Plain {
    /// Appends what `Display` writes.
    fn push_to(&self, out: &mut String);
}

/// A name as [`JsonText::key`] takes it.
macro_rules! key {
    ($name:literal) => {
        concat!("\"", $name, "\":")
    };
}
pub(crate) use key;

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

    /// A name in its quotes and with its colon, as `key!("name")` makes it; its value follows. Taken whole, because a
    /// text that is known when this is compiled is moved and not copied piece by piece.
    #[inline]
    pub fn key(&mut self, quoted: &'static str) {
        debug_assert!(quoted.starts_with('"') && quoted.ends_with("\":"), "{quoted} is no name of a member");
        self.next();
        self.0.push_str(quoted);
    }

    /// A name that needs no escapes and is not known when this is compiled; its value follows.
    pub fn name(&mut self, name: &str) {
        self.next();
        self.0.reserve(name.len() + 3);
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// A text as the next element or value.
    pub fn text(&mut self, text: &str) {
        self.next();
        push_quoted(&mut self.0, text);
    }

    /// A text that is the value of a [`JsonText::key`].
    #[inline]
    pub fn member(&mut self, quoted: &'static str, text: &str) {
        self.key(quoted);
        push_quoted(&mut self.0, text);
    }

    /// Opens a text that is made of several pieces.
    pub fn open_text(&mut self) {
        self.next();
        self.0.push('"');
    }

    pub fn piece(&mut self, text: &str) {
        push_escaped(&mut self.0, text);
    }

    /// A piece that needs no escapes.
    #[inline]
    pub fn bare(&mut self, text: &'static str) {
        self.0.push_str(text);
    }

    pub fn close_text(&mut self) {
        self.0.push('"');
    }

    /// Members or elements that were written elsewhere, with the commas between them; perhaps none.
    pub fn members(&mut self, written: &str) {
        if !written.is_empty() {
            self.next();
            self.0.push_str(written);
        }
    }

    /// Where there is less room than that, it is made for so much more.
    pub fn make_room(&mut self, bytes: usize, then: usize) {
        if self.0.capacity() - self.0.len() < bytes {
            self.0.reserve(bytes.max(then));
        }
    }

    pub fn number(&mut self, number: u32) {
        self.next();
        push_number(&mut self.0, number);
    }

    pub fn plain(&mut self, value: &impl Plain) {
        self.next();
        self.0.push('"');
        value.push_to(&mut self.0);
        self.0.push('"');
    }

    /// A name and a value that may both need escapes.
    pub fn entry(&mut self, name: &str, value: &str) {
        self.next();
        push_quoted(&mut self.0, name);
        self.0.push(':');
        push_quoted(&mut self.0, value);
    }

    pub fn labels(&mut self, labels: &Labels<'_>) {
        self.open('{');
        labels.iter().for_each(|(name, value)| self.entry(name, value));
        self.close('}');
    }
}

/// Appends a number as `Display` writes it.
pub fn push_number(out: &mut String, number: u32) {
    let mut digits = [0; 10];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[start..]).expect("digits are ASCII"));
}

/// Appends a text in quotes, escaped as serde_json escapes it.
pub fn push_quoted(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

#[inline]
fn push_escaped(out: &mut String, text: &str) {
    if is_free_of_specials(text.as_bytes()) {
        out.push_str(text);
    } else {
        escape(out, text);
    }
}

#[cold]
fn escape(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes(), 0) {
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
}

/// Whether nothing in it is escaped: nearly every text. Looks at the bytes in blocks, and at the end of a text in a
/// block that overlaps the one before it.
fn is_free_of_specials(bytes: &[u8]) -> bool {
    // A quote with its second bit flipped stands next to the control characters.
    let has_any = |block: &[u8; 16]| block.iter().fold(false, |any, byte| any | (byte ^ 2 < 0x21) | (*byte == b'\\'));
    if let Some(last) = bytes.last_chunk() {
        return !has_any(last) && !bytes.as_chunks().0.iter().any(has_any);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return specials(u64::from_le_bytes(*first)) | specials(u64::from_le_bytes(*last)) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return specials(u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))) == 0;
    }
    !bytes.iter().any(|byte| is_special(*byte))
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Where the first control character, quote or backslash stands, at or behind `from`.
pub fn first_special(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let (words, tail) = rest.as_chunks();
    for (number, word) in words.iter().enumerate() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(from + number * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    tail.iter().position(|byte| is_special(*byte)).map(|found| from + words.len() * 8 + found)
}

/// The highest bit of each of eight bytes that is below 0x20, a quote or a backslash. A byte is less than `n` (at most
/// 0x80) if taking `n` away borrows into its highest bit while that bit was not set. Flipping the second bit puts the
/// quote next to the control characters. A borrow may tell falsely of a byte above a true one: only the lowest is sure.
const fn specials(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let controls_and_quotes = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let slashes = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (controls_and_quotes | slashes) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Timestamp;

    fn quoted(text: &str) -> String {
        let mut out = String::new();
        push_quoted(&mut out, text);
        out
    }

    #[test]
    fn every_character_is_written_as_serde_json_writes_it_wherever_it_stands() {
        for character in (0..0x300).filter_map(char::from_u32).chain(['\u{2028}', '😀', '\u{ffff}']) {
            for before in 0..35 {
                for after in ["", "ta", "tail", "tail of the text"] {
                    let text = format!("{}{character}{after}", "x".repeat(before));
                    assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
                }
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
        json.key(key!("a"));
        json.text("x\"");
        json.key(key!("b"));
        json.open('[');
        json.number(1);
        json.open('{');
        json.close('}');
        json.plain(&Timestamp::ZERO);
        json.open_text();
        json.piece("p\"");
        json.piece("q");
        json.close_text();
        json.members("");
        json.members("\"r\",2");
        json.close(']');
        json.name("c");
        json.labels(&Labels::from_iter([("k\n", "v"), ("l", "w")]));
        json.close('}');
        let written = r#"{"a":"x\"","b":[1,{},"1970-01-01T00:00:00.000Z","p\"q","r",2],"c":{"k\n":"v","l":"w"}}"#;
        assert_eq!(json.as_str(), written);
    }

    #[test]
    fn numbers_are_written_as_display_writes_them() {
        for number in (0..2_000).chain([9_999_999, 10_000_000, 4_294_967_294, u32::MAX]) {
            let mut out = String::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string());
        }
    }
}
