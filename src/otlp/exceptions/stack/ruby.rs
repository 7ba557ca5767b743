//! Ruby's `full_message` with the newest call first, in both styles of quotes, and bare backtraces. Causes come after
//! what they caused.

use super::path::place;
use super::{EXCEPTION_COUNT_MAX, chain, frame_of, oldest_first, push_line};
use crate::model::exception::{Exception, Frame};

pub(super) fn parse(text: &str) -> Vec<Exception> {
    let mut exceptions: Vec<Exception> = Vec::new();
    let mut has_callers = false;
    for line in text.lines().map(str::trim_end) {
        let from = line.trim_start().strip_prefix("from ").filter(|_| line.starts_with([' ', '\t']));
        if let Some(call) = from {
            if let (Some(now), Some((frame, _))) = (exceptions.last_mut(), frame(call)) {
                now.frames.push(frame);
            }
            has_callers = true;
        } else if let Some((frame, message)) = frame(line).filter(|_| !line.starts_with([' ', '\t'])) {
            let has_room = exceptions.len() < EXCEPTION_COUNT_MAX;
            match exceptions.last_mut() {
                // A bare backtrace has no message on any line.
                Some(now) if message.is_empty() => now.frames.push(frame),
                // A message may have a line that looks like the start of a cause; one without its callers is none.
                Some(now) if !has_callers && !is_titled(message) => push_line(&mut now.value, line),
                Some(_) | None if has_room => {
                    let (kind, value) = titled(message);
                    let (kind, value) = (kind.to_owned(), value.to_owned());
                    exceptions.push(Exception { kind, value, frames: vec![frame], ..Exception::default() });
                    has_callers = false;
                }
                Some(_) | None => break,
            }
        } else if let Some(now) = exceptions.last_mut().filter(|_| !has_callers && !line.is_empty()) {
            push_line(&mut now.value, line);
        }
    }
    for one in &mut exceptions {
        // A message of several lines has its type at the end of the first, or at the end of all.
        if one.kind.is_empty() {
            let (kind, value) = titled(&one.value);
            (one.kind, one.value) = (kind.to_owned(), value.to_owned());
        }
    }
    oldest_first(&mut exceptions);
    chain(&mut exceptions);
    exceptions
}

/// `file.rb:12:in 'Owl#load': message (Type)`: the frame, and what stands behind it.
fn frame(line: &str) -> Option<(Frame, &str)> {
    let quoted = [":in `", ":in '"].iter().filter_map(|mark| Some((line.find(mark)?, mark.len()))).min();
    let (at, function, message) = match quoted {
        Some((at, mark)) => {
            let rest = &line[at + mark..];
            let end = rest.find("': ").or_else(|| rest.rfind('\''))?;
            (&line[..at], &rest[..end], rest[end + 1..].strip_prefix(": ").unwrap_or_default())
        }
        // Code outside of any method: `file.rb:12: message (Type)`, or the place alone.
        None => match line.split_once(": ") {
            Some((at, message)) => (at, "", message),
            None => (line, "", ""),
        },
    };
    let (file, number, _) = place(at);
    let is_file = file.ends_with(".rb") || file.ends_with(".ru") || file.ends_with(".erb") || quoted.is_some();
    let number = number.filter(|_| is_file && !file.contains(['\n', '"']))?;
    let in_app = !(LIBRARIES.iter().any(|part| file.contains(part))
        || ["<internal:", "(eval"].iter().any(|start| file.starts_with(start)));
    let function = Some(function.to_owned()).filter(|name| !name.is_empty());
    Some((Frame { function, line: Some(number), in_app, ..frame_of(file) }, message))
}

/// Where gems and the language's own files lie; the fifth is the official image's.
const LIBRARIES: [&str; 6] =
    ["/gems/", "/lib/ruby/", "/rubygems/", "/vendor/bundle/", "/usr/local/bundle/", "/vendor_ruby/"];

fn is_titled(message: &str) -> bool {
    !titled(message).0.is_empty()
}

/// `message (Type)`, with the type a constant of Ruby: `Owl::StoreError`.
fn titled(message: &str) -> (&str, &str) {
    let is_constant = |name: &str| {
        name.starts_with(|first: char| first.is_uppercase())
            && name.chars().all(|character| character.is_alphanumeric() || "_:".contains(character))
    };
    let named = message.rsplit_once('(').and_then(|(value, rest)| Some((rest.strip_suffix(')')?, value.trim_end())));
    named.filter(|(kind, _)| is_constant(kind)).unwrap_or(("", message))
}
