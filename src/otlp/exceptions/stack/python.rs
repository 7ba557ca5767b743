//! Python's `traceback.format_exception`: the oldest call first, each cause printed before what it caused. A message is
//! never read as frames, even where it holds a whole traceback.

use super::python_group::{self, Item, Section};
use super::{EXCEPTION_COUNT_MAX, frame_of, head, push_line};
use crate::model::exception::{Exception, Frame, Link};

const HEADERS: [&str; 2] = ["Traceback (most recent call last):", "Exception Group Traceback (most recent call last):"];
const CAUSE: &str = "The above exception was the direct cause of the following exception:";
const QUOTES: &str = "\"\"\"";
const CONTEXT: &str = "During handling of the above exception, another exception occurred:";

pub(super) fn parse(text: &str) -> Vec<Exception> {
    let mut exceptions = Vec::new();
    flatten(python_group::sections(text), None, None, &mut exceptions);
    exceptions
}

/// One exception of a chain, as it is printed.
#[derive(Default)]
struct Printed<'a> {
    exception: Exception,
    has_kind: bool,
    /// It came from another process, which printed it between two lines of quotes.
    is_quoted: bool,
    members: Vec<Section<'a>>,
    /// What it is to the one printed after it.
    link: Option<Link>,
}

/// Puts the chain of a section behind its parent: the one printed last is the outermost.
fn flatten(section: Section<'_>, parent: Option<usize>, link: Option<Link>, into: &mut Vec<Exception>) {
    let (mut parent, mut link) = (parent, link);
    let mut groups = Vec::new();
    for printed in chain(section).into_iter().rev() {
        if into.len() >= EXCEPTION_COUNT_MAX {
            return;
        }
        let place = into.len();
        into.push(Exception { parent, link: link.or(printed.link), ..printed.exception });
        if !printed.members.is_empty() {
            into[place].is_group = true;
            groups.push((place, printed.members));
        }
        (parent, link) = (Some(place), None);
    }
    for (place, members) in groups {
        for (at, member) in members.into_iter().enumerate() {
            flatten(member, Some(place), Some(Link::Member(at)), into);
        }
    }
}

/// The exceptions of a section in the order of the text.
fn chain(section: Section<'_>) -> Vec<Printed<'_>> {
    let mut chain: Vec<Printed<'_>> = Vec::new();
    let mut now = Printed::default();
    for item in section.items {
        let line = match item {
            Item::Line(line) => line,
            Item::Members(members) => {
                now.members.extend(members);
                continue;
            }
        };
        let trimmed = line.trim();
        if HEADERS.contains(&trimmed) {
            // Something else stood before it (`Exception in thread …`), or the message holds a traceback.
            if now.has_kind && !now.exception.frames.is_empty() {
                push_line(&mut now.exception.value, line);
            } else {
                let is_quoted = now.exception.value.ends_with(QUOTES);
                now = Printed { is_quoted, ..Printed::default() };
            }
        } else if now.has_kind && (trimmed == CAUSE || trimmed == CONTEXT) {
            now.link = Some(if trimmed == CAUSE { Link::Cause } else { Link::Context });
            now.close();
            chain.push(std::mem::take(&mut now));
        } else if now.has_kind {
            push_line(&mut now.exception.value, line);
        } else {
            now.read(line);
        }
    }
    if now.has_kind || !now.exception.frames.is_empty() {
        now.close();
        chain.push(now);
    }
    chain
}

impl Printed<'_> {
    /// Behind its last line.
    fn close(&mut self) {
        let value = self.exception.value.trim_end();
        let value = value.strip_suffix(QUOTES).filter(|_| self.is_quoted).unwrap_or(value).trim_end();
        self.exception.value.truncate(value.len());
    }

    /// A line between the header and the message.
    fn read(&mut self, line: &str) {
        if let Some(frame) = frame(line) {
            self.exception.frames.push(frame);
        } else if line.starts_with([' ', '\t']) {
            let source = line.trim();
            let is_mark =
                source.chars().all(|mark| "^~ ".contains(mark)) || source.starts_with("[Previous line repeated");
            if let Some(last) = self.exception.frames.last_mut()
                && last.context_line.is_none()
                && !is_mark
                && source != "[...]"
            {
                last.context_line = Some(source.to_owned());
            }
        } else if !line.trim().is_empty() {
            let (kind, message) = head(line);
            self.exception.kind = kind.to_owned();
            self.exception.value = message.to_owned();
            self.has_kind = true;
        }
    }
}

/// `  File "path", line 12, in function`; a `SyntaxError` has no function.
fn frame(line: &str) -> Option<Frame> {
    let rest = line.trim_start().strip_prefix("File \"").filter(|_| line.starts_with(' '))?;
    let (file, rest) = rest.split_once("\", line ")?;
    let (number, function) = match rest.split_once(", in ") {
        Some((number, function)) => (number, Some(function.trim())),
        None => (rest, None),
    };
    let line = number.trim().parse().ok()?;
    let frame = frame_of(file);
    let module = frame.filename.as_deref().and_then(module);
    let in_app = !(file.starts_with('<') || is_in_library(&file.replace('\\', "/")));
    let function = function.filter(|name| !name.is_empty()).map(str::to_owned);
    Some(Frame { function, module, line: Some(line), in_app, ..frame })
}

/// Whole names of folders count: `lib/python_utils` is a program's own.
fn is_in_library(file: &str) -> bool {
    let is_version = |name: &str| {
        let version = name.strip_prefix("python").map(|version| version.trim_end_matches('t'));
        version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
    };
    let mut above = "";
    let mut folders = file.split('/').peekable();
    while let Some(folder) = folders.next().filter(|_| folders.peek().is_some()) {
        if ["site-packages", "dist-packages", "Lib"].contains(&folder) || above.starts_with("lib") && is_version(folder)
        {
            return true;
        }
        above = folder;
    }
    false
}

/// `owl/store.py` is `owl.store`, `owl/__init__.py` is `owl`.
fn module(file: &str) -> Option<String> {
    let path = file.strip_suffix(".py")?;
    let path = path.strip_suffix("/__init__").unwrap_or(path);
    Some(path.replace('/', ".")).filter(|module| !module.is_empty())
}
