//! Where a JSON request went wrong, in the words of its sender. Never repeats more of the input than a key.

use std::fmt;

/// Keys are cut after this many characters: the text goes back to the sender in an answer.
const KEY_CHARS_MAX: usize = 60;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{what} (line {line}, column {column})", Place(path))]
pub struct JsonFault {
    /// As one would write it: `resourceSpans[0].scopeSpans[2].spans[5].traceId`. Empty for the request itself.
    pub path: String,
    /// In bytes, from 0.
    pub offset: usize,
    /// Both from 1; the column counts bytes.
    pub line: usize,
    pub column: usize,
    pub what: String,
}

impl JsonFault {
    pub(super) fn at(body: &[u8], offset: usize, what: impl Into<String>) -> JsonFault {
        let before = &body[..offset.min(body.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.len() - line_start + 1;
        JsonFault { path: String::new(), offset, line, column, what: what.into() }
    }
}

/// The path and a colon, or nothing.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(formatter, "`{}`: ", self.0) }
    }
}

/// A piece of the input, short enough to be repeated.
pub(super) fn shortened(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(KEY_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.into_owned(),
    }
}
