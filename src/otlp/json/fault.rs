//! Where a JSON request went wrong, in the words of its sender. Never repeats more of the input than a short piece.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

/// Pieces are cut after this many characters: the text goes back to the sender in an answer.
const PIECE_CHARS_MAX: usize = 60;

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

/// A fault on its way out of the walk; each level adds where it stood. On the heap, so that a success costs nothing.
#[derive(Debug)]
pub(super) struct Fault {
    offset: usize,
    what: Cow<'static, str>,
    /// Innermost first.
    path: Vec<Step>,
    /// Nothing is wrong with the request but its size as protobuf.
    pub(super) is_outgrown: bool,
}

#[derive(Debug)]
enum Step {
    Key(&'static str),
    Element(usize),
}

impl Fault {
    #[cold]
    pub(super) fn at(offset: usize, what: impl Into<Cow<'static, str>>) -> Box<Fault> {
        Box::new(Fault { offset, what: what.into(), path: Vec::new(), is_outgrown: false })
    }

    #[cold]
    pub(super) fn outgrown(offset: usize) -> Box<Fault> {
        Box::new(Fault { is_outgrown: true, ..*Fault::at(offset, "the request is too large as protobuf") })
    }

    #[cold]
    pub(super) fn inside(mut self: Box<Fault>, key: &'static str) -> Box<Fault> {
        self.path.push(Step::Key(key));
        self
    }

    #[cold]
    pub(super) fn inside_element(mut self: Box<Fault>, index: usize) -> Box<Fault> {
        self.path.push(Step::Element(index));
        self
    }

    pub(super) fn told(self, body: &[u8]) -> JsonFault {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            let dot = if path.is_empty() { "" } else { "." };
            match step {
                Step::Key(key) => write!(path, "{dot}{key}"),
                Step::Element(index) => write!(path, "[{index}]"),
            }
            .expect("a String takes everything");
        }
        let before = &body[..self.offset.min(body.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.len() - line_start + 1;
        JsonFault { path, offset: self.offset, line, column, what: self.what.into_owned() }
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
    // Four bytes a character at most: the rest is not looked at.
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * (PIECE_CHARS_MAX + 1))]);
    match text.char_indices().nth(PIECE_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.into_owned(),
    }
}
