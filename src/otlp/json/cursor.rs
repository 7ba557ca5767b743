//! The words of JSON (RFC 8259), read from left to right. Knows nothing of OTLP, copies only texts with escapes, and
//! looks at no byte twice but those.

use std::borrow::Cow;

use super::fault::{Fault, shortened};
use super::number::{self, Number};

pub(super) type Outcome<T> = Result<T, Box<Fault>>;

/// Objects and lists inside each other in a value that is skipped.
const SKIPPED_DEPTH_MAX: u32 = 100;

#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    /// Known to be UTF-8.
    text: &'a [u8],
    at: usize,
}

/// What stands between two quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a> {
    inner: &'a [u8],
    pub(super) start: usize,
    has_escapes: bool,
}

impl<'a> Quoted<'a> {
    /// The text itself, when nothing in it is escaped.
    pub(super) fn plain(&self) -> Option<&'a [u8]> {
        (!self.has_escapes).then_some(self.inner)
    }

    pub(super) fn decoded(&self, slips: &mut Slips) -> Outcome<Cow<'a, [u8]>> {
        if !self.has_escapes {
            return Ok(Cow::Borrowed(self.inner));
        }
        let mut decoded = Vec::with_capacity(self.inner.len());
        self.decode_into(&mut decoded, slips)?;
        Ok(Cow::Owned(decoded))
    }

    pub(super) fn decode_into(&self, out: &mut Vec<u8>, slips: &mut Slips) -> Outcome<()> {
        let mut rest = self.inner;
        while let Some(run) = rest.iter().position(|byte| *byte == b'\\') {
            out.extend_from_slice(&rest[..run]);
            let escape = &rest[run..];
            let offset = self.start + self.inner.len() - escape.len();
            let (letter, length) = unescaped(escape, slips).map_err(|what| Fault::at(offset, what))?;
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &escape[length..];
        }
        out.extend_from_slice(rest);
        Ok(())
    }
}

/// Whether what is JSON in all but a detail is taken: numbers that it does not have, without quotes, and halves of a
/// surrogate pair, as languages with texts in UTF-16 write them where they cut a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slips {
    Refused,
    /// With how many halves were replaced by U+FFFD so far.
    Taken {
        half_count: u64,
    },
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { text, at }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The next byte that is not blank.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    #[inline]
    pub(super) fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(super) fn expect(&mut self, wanted: u8, name: &'static str) -> Outcome<()> {
        if self.eat(wanted) { Ok(()) } else { Err(self.unexpected(name)) }
    }

    /// Behind a member or an element: whether another one follows.
    #[inline]
    pub(super) fn another(&mut self, close: u8) -> Outcome<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) | None => Err(self.unexpected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        }
    }

    /// One certain key and its colon, if they are next: far cheaper than to read a key and look it up.
    #[inline]
    pub(super) fn eat_key(&mut self, name: &str) -> bool {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return false;
        }
        let rest = &self.text[self.at + 1..];
        if rest.get(name.len()) == Some(&b'"') && rest.starts_with(name.as_bytes()) {
            self.at += name.len() + 2;
            if self.eat(b':') {
                return true;
            }
            self.at = start;
        }
        false
    }

    /// A key and its colon.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Outcome<Quoted<'a>> {
        let key = self.quoted("a key")?;
        self.expect(b':', "`:`")?;
        Ok(key)
    }

    /// Always inlined: handed over in memory, its parts would be written in pieces and read back as one, which stalls
    /// at every key.
    #[inline(always)]
    pub(super) fn quoted(&mut self, name: &'static str) -> Outcome<Quoted<'a>> {
        self.expect(b'"', name)?;
        let start = self.at;
        let rest = &self.text[start..];
        let length = plain_length(rest);
        if rest.get(length) == Some(&b'"') {
            self.at = start + length + 1;
            return Ok(Quoted { inner: &rest[..length], start, has_escapes: false });
        }
        self.at = start + length;
        self.rest_of_quoted(start)
    }

    /// From the first byte of a text that is not plain.
    #[inline(never)]
    fn rest_of_quoted(&mut self, start: usize) -> Outcome<Quoted<'a>> {
        let mut has_escapes = false;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    let inner = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Quoted { inner, start, has_escapes });
                }
                // What is escaped is looked at when the text is decoded; here only its quote must not end the text.
                Some(b'\\') if self.at + 1 < self.text.len() => {
                    has_escapes = true;
                    self.at += 2;
                }
                Some(b'\\') | None => return Err(Fault::at(start - 1, "a text is not closed")),
                Some(_) => return Err(Fault::at(self.at, "a control character in a text must be escaped")),
            }
            self.at += plain_length(&self.text[self.at..]);
        }
    }

    #[inline]
    pub(super) fn number(&mut self, name: &'static str) -> Outcome<Number<'a>> {
        self.peek();
        match number::scan(&self.text[self.at..]) {
            Some(number) => {
                self.at += number.length();
                Ok(number)
            }
            None => Err(self.unexpected(name)),
        }
    }

    /// `NaN`, `Infinity` and `-Infinity`, as Python and Java print them.
    pub(super) fn bare_non_finite(&mut self) -> Option<f64> {
        const WORDS: [(&[u8], f64); 3] =
            [(b"NaN", f64::NAN), (b"Infinity", f64::INFINITY), (b"-Infinity", f64::NEG_INFINITY)];
        self.peek();
        let rest = &self.text[self.at..];
        let (word, value) = WORDS.into_iter().find(|(word, _)| rest.starts_with(word))?;
        self.at += word.len();
        Some(value)
    }

    #[inline]
    pub(super) fn eat_word(&mut self, word: &'static str) -> bool {
        self.peek();
        let found = self.text[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// The beginning of an object or a list that holds something.
    pub(super) fn eat_beginning(&mut self) -> bool {
        self.eat(b'[') && self.peek() != Some(b']') || self.eat(b'{') && self.peek() != Some(b'}')
    }

    /// Walks over one value of any kind, which must be JSON all the same.
    pub(super) fn skip(&mut self, slips: &mut Slips) -> Outcome<()> {
        // One bit for each that is open: 1 for an object, 0 for a list.
        let mut open = 0_u128;
        let mut depth = 0;
        loop {
            let first = self.peek();
            let is_object = first == Some(b'{');
            if is_object || first == Some(b'[') {
                self.at += 1;
                if !self.eat(if is_object { b'}' } else { b']' }) {
                    if depth == SKIPPED_DEPTH_MAX {
                        return Err(Fault::at(self.at - 1, "values are nested too deeply"));
                    }
                    depth += 1;
                    open = open << 1 | u128::from(is_object);
                    if is_object {
                        self.key_of_a_skipped(slips)?;
                    }
                    continue;
                }
            } else {
                self.skip_leaf(first, slips)?;
            }
            while depth > 0 {
                let in_object = open & 1 == 1;
                if self.another(if in_object { b'}' } else { b']' })? {
                    if in_object {
                        self.key_of_a_skipped(slips)?;
                    }
                    break;
                }
                depth -= 1;
                open >>= 1;
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn key_of_a_skipped(&mut self, slips: &mut Slips) -> Outcome<()> {
        self.key()?.decoded(slips).map(drop)
    }

    fn skip_leaf(&mut self, first: Option<u8>, slips: &mut Slips) -> Outcome<()> {
        let known = match first {
            Some(b'"') => return self.quoted("a text")?.decoded(slips).map(drop),
            Some(b't') => self.eat_word("true"),
            Some(b'f') => self.eat_word("false"),
            Some(b'n') => self.eat_word("null"),
            Some(_) | None => {
                *slips != Slips::Refused && self.bare_non_finite().is_some() || self.number("a value").map(drop).is_ok()
            }
        };
        if known { Ok(()) } else { Err(self.unexpected("a value")) }
    }

    #[cold]
    pub(super) fn unexpected(&mut self, name: &str) -> Box<Fault> {
        let found: Cow<'static, str> = match self.peek() {
            None => "the end".into(),
            Some(b'{') => "an object".into(),
            Some(b'[') => "a list".into(),
            Some(b'"') => "a text".into(),
            Some(b'-' | b'0'..=b'9') => "a number".into(),
            Some(b't' | b'f' | b'n') => {
                let rest = &self.text[self.at..];
                let end = rest.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(rest.len());
                format!("`{}`", shortened(&rest[..end])).into()
            }
            Some(_) => {
                let rest = String::from_utf8_lossy(&self.text[self.at..self.text.len().min(self.at + 4)]).into_owned();
                format!("`{}`", rest.chars().next().unwrap_or('?').escape_default()).into()
            }
        };
        Fault::at(self.at, format!("expected {name}, found {found}"))
    }
}

/// Bytes before the first quote, backslash or control character. Eight at a time: texts are most of a request.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut length = 0;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk);
        let quotes = zero_bytes(word ^ (ONES * 0x22));
        let backslashes = zero_bytes(word ^ (ONES * 0x5c));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        // A borrow can only mark bytes above one that is truly marked, so the lowest mark is always true.
        let marks = quotes | backslashes | controls;
        if marks != 0 {
            return length + (marks.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    length + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// What a text that starts with a backslash begins with, and how long its escape is.
fn unescaped(escape: &[u8], slips: &mut Slips) -> Result<(char, usize), &'static str> {
    let letter = match escape.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unescaped_unit(escape, slips),
        Some(_) | None => return Err("an escape is unknown"),
    };
    Ok((letter, 2))
}

/// `\u` and four hex digits, twice for letters beyond the first 65,536.
fn unescaped_unit(escape: &[u8], slips: &mut Slips) -> Result<(char, usize), &'static str> {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6).filter(|digits| digits.starts_with(b"\\u"))?;
        digits[2..].iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    };
    let first = unit(0).ok_or("a `\\u` needs four hex digits")?;
    if let Some(letter) = char::from_u32(first) {
        return Ok((letter, 6));
    }
    let second = unit(6).filter(|second| first < 0xdc00 && (0xdc00..=0xdfff).contains(second));
    match (second, slips) {
        (Some(second), _) => {
            let letter = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            Ok((letter.expect("two surrogates name a letter"), 12))
        }
        (None, Slips::Taken { half_count }) => {
            *half_count += 1;
            Ok((char::REPLACEMENT_CHARACTER, 6))
        }
        (None, Slips::Refused) => Err("half of a surrogate pair"),
    }
}
