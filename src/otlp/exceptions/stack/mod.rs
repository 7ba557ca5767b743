//! Stack traces as text to frames and causes, one file per runtime. What is not understood stays text: a wrong frame
//! groups wrongly for ever, a missing one only looks poor.

mod dotnet;
mod go;
mod java;
mod node;
mod path;
mod python;
mod python_group;
mod ruby;
mod shape;

use std::borrow::Cow;

use super::attributes::clip;
use crate::model::exception::{Exception, Frame, Language, Link};

/// What is read of a stack trace; of a longer one the beginning and the end.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Of a class name; longer ones are no names.
const KIND_BYTES_MAX: usize = 1024;
const VALUE_BYTES_MAX: usize = 32 * 1024;
/// Causes of causes that are followed.
const EXCEPTION_COUNT_MAX: usize = 50;
/// Sentry keeps the first and the last of more frames, so nothing is gained by sending those between.
const FRAMES_FIRST: usize = 50;
const FRAMES_LAST: usize = 200;
/// Frames that a text left out because another trace has them are copied; a text could ask for far more than it holds.
const COPIED_BYTES_MAX: usize = 256 * 1024;

/// What telemetry says of an exception.
pub(super) struct Told<'a> {
    pub(super) kind: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    pub(super) stack: Option<&'a str>,
    /// A sentence for an exception that has neither message nor stack trace.
    pub(super) otherwise: Option<&'a str>,
}

/// What became of it.
pub(super) struct Thrown {
    pub(super) language: Language,
    /// The outermost first; never empty.
    pub(super) exceptions: Vec<Exception>,
    /// Where no frame was found.
    pub(super) stack_text: Option<String>,
}

/// Without a language of the SDK the shape of the text decides; the shape also has a second say where the language's
/// own parser finds no frame, but none against a language that is not read here.
pub(super) fn read(told: &Told<'_>, language: Option<Language>) -> Thrown {
    let whole = told.stack.map(bounded).unwrap_or_default();
    let text = without_message_lines(&whole, told.message);
    let mut thrown = Thrown { language: Language::Other, exceptions: Vec::new(), stack_text: None };
    let by_shape = std::iter::once_with(|| match language {
        Some(unread @ (Language::Php | Language::Elixir | Language::Other)) => unread,
        Some(_) | None => shape::of(&text),
    });
    for candidate in language.into_iter().chain(by_shape) {
        let parsed = parse(candidate, &text);
        thrown.language = language.unwrap_or(candidate);
        if parsed.iter().any(|one| !one.frames.is_empty()) {
            (thrown.language, thrown.exceptions) = (candidate, parsed);
            break;
        }
    }
    if thrown.exceptions.is_empty() {
        thrown.stack_text = Some(whole.into_owned()).filter(|text| !text.trim().is_empty());
        thrown.exceptions.push(Exception::default());
    }
    thrown.exceptions.iter_mut().for_each(tidy);
    // Whole ones end with a line's end.
    if thrown.language == Language::Python && !told.stack.unwrap_or_default().ends_with('\n') {
        give_back_the_outermost(&mut thrown.exceptions, told);
    }
    name(&mut thrown.exceptions, told, thrown.language);
    thrown
}

/// Python prints what was raised last at the end, which is what a limit on the length of attributes cuts off. Then what
/// is left of the text is of another exception, whose frames must not become those of the one that telemetry names.
fn give_back_the_outermost(exceptions: &mut Vec<Exception>, told: &Told<'_>) {
    let last_part = |kind: &str| kind.rsplit('.').next().unwrap_or_default().to_owned();
    let told = told.kind.map(str::trim).map(last_part).unwrap_or_default();
    let printed = exceptions.first().map(|one| last_part(&one.kind)).unwrap_or_default();
    if told.is_empty() || printed.is_empty() || told == printed {
        return;
    }
    for one in exceptions.iter_mut() {
        one.link = one.link.or(Some(Link::Context));
        one.parent = Some(one.parent.map_or(0, |parent| parent + 1));
    }
    exceptions.insert(0, Exception::default());
}

/// Outermost first, each with its parent. Empty where the text is not of this runtime, or its runtime is not read.
fn parse(language: Language, text: &str) -> Vec<Exception> {
    match language {
        Language::Python => python::parse(text),
        Language::Java => java::parse(text),
        Language::Node | Language::Browser => node::parse(text),
        Language::Go => go::parse(text),
        Language::DotNet => dotnet::parse(text),
        Language::Ruby => ruby::parse(text),
        Language::Php | Language::Elixir | Language::Other => Vec::new(),
    }
}

/// The text without its middle if it is too long, cut between lines. Which end holds the cause depends on the runtime.
fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let head = clip(text, TEXT_BYTES_MAX / 2);
    let head = head.rsplit_once('\n').map_or(head, |(lines, _)| lines);
    let tail = &text[text.ceil_char_boundary(text.len() - TEXT_BYTES_MAX / 2 + 64)..];
    let tail = tail.split_once('\n').map_or(tail, |(_, lines)| lines);
    // Indented, so that no runtime's first line of a message is mistaken for it.
    Cow::Owned(format!("{head}\n    [...]\n{tail}"))
}

/// Messages may look like frames. Where the message is known, its further lines are taken out before anything is read.
fn without_message_lines<'a>(text: &'a str, message: Option<&str>) -> Cow<'a, str> {
    let Some(message) = message.map(str::trim).filter(|message| message.contains('\n')) else {
        return Cow::Borrowed(text);
    };
    let first_line = message.lines().next().unwrap_or_default();
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    while let Some(at) = rest.find(message) {
        let begins = kept.is_empty() && at == 0 || rest[..at].ends_with([' ', '\n']);
        kept.push_str(&rest[..at]);
        kept.push_str(if begins { first_line } else { message });
        rest = &rest[at + message.len()..];
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// Bounds, after which nothing of a text can be larger than a reader wants.
fn tidy(one: &mut Exception) {
    let count = one.frames.len();
    if count > FRAMES_FIRST + FRAMES_LAST {
        one.frames.drain(FRAMES_FIRST..count - FRAMES_LAST);
    }
    one.value.truncate(one.value.trim_end().len());
    cut(&mut one.kind, KIND_BYTES_MAX);
    cut(&mut one.value, VALUE_BYTES_MAX);
}

fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
}

/// What telemetry says of type and message holds for the outermost; the text fills in what it does not say.
fn name(exceptions: &mut [Exception], told: &Told<'_>, language: Language) {
    let has_packages = matches!(language, Language::Python | Language::Java);
    if let Some(outermost) = exceptions.first_mut() {
        if let Some(kind) = told.kind.map(str::trim) {
            // Some SDKs leave out the module, and Java's writes `Outer.Inner` of a span and `Outer$Inner` of a log record.
            let is_same = outermost.kind.rsplit('.').next() == Some(kind) || outermost.kind.replace('$', ".") == kind;
            if !is_same {
                outermost.kind = clip(kind, KIND_BYTES_MAX).to_owned();
            }
        }
        if let Some(message) = told.message.or(told.otherwise.filter(|_| outermost.value.is_empty())) {
            outermost.value = clip(message, VALUE_BYTES_MAX).to_owned();
        }
        if outermost.kind.is_empty() {
            // The name of the event; Sentry drops an exception that has none and no value.
            outermost.kind = "exception".to_owned();
        }
    }
    for one in exceptions.iter_mut().filter(|_| has_packages) {
        if let Some((module, kind)) =
            one.kind.rsplit_once('.').filter(|(module, kind)| !(module.is_empty() || kind.is_empty()))
        {
            one.module = Some(module.to_owned());
            one.kind = kind.to_owned();
        }
    }
}

/// `pkg.Type: message`, or a type alone. A type has no blanks; what has is a message.
fn head(line: &str) -> (&str, &str) {
    let line = line.trim();
    let (kind, message) = match line.split_once(':') {
        Some((kind, message)) if message.is_empty() || message.starts_with(' ') => (kind, message.trim_start()),
        _ => (line, ""),
    };
    if kind.is_empty() || kind.contains(char::is_whitespace) { ("", line) } else { (kind, message) }
}

/// Adds a line to a message that has several.
fn push_line(message: &mut String, line: &str) {
    if message.len() + line.len() < VALUE_BYTES_MAX {
        message.push('\n');
        message.push_str(line);
    }
}

/// Most runtimes print the newest call first.
fn oldest_first(exceptions: &mut [Exception]) {
    exceptions.iter_mut().for_each(|one| one.frames.reverse());
}

/// Each exception but the first is the cause of the one before it.
fn chain(exceptions: &mut [Exception]) {
    for (at, one) in exceptions.iter_mut().enumerate().skip(1) {
        one.parent = Some(at - 1);
        one.link = Some(Link::Cause);
    }
}

/// What may still be copied.
struct Copies {
    bytes_left: usize,
}

impl Copies {
    const fn new() -> Copies {
        Copies { bytes_left: COPIED_BYTES_MAX }
    }

    fn copy(&mut self, frames: &[Frame], into: &mut Vec<Frame>) {
        for frame in frames {
            let texts = [&frame.function, &frame.module, &frame.filename, &frame.abs_path];
            let bytes = 64 + texts.iter().filter_map(|text| text.as_ref()).map(String::len).sum::<usize>();
            let Some(left) = self.bytes_left.checked_sub(bytes) else { return };
            self.bytes_left = left;
            into.push(frame.clone());
        }
    }
}

/// A frame of a file, with the file in both forms.
fn frame_of(file: &str) -> Frame {
    let short = path::shortened(file);
    Frame { abs_path: Some(file.to_owned()).filter(|_| short != file), filename: Some(short), ..Frame::default() }
}

#[cfg(test)]
mod tests;
