//! .NET's `Exception.ToString`: the newest call first, and each inner exception printed between the first line of the
//! outer one and its frames. Words of other languages than English are not read.

use super::{EXCEPTION_COUNT_MAX, frame_of, head, oldest_first, push_line};
use crate::model::exception::{Exception, Frame, Link};

pub(super) fn parse(text: &str) -> Vec<Exception> {
    let mut reader = Reader { exceptions: Vec::new(), open: Vec::new(), in_message: false, is_repeat: false };
    for line in text.lines() {
        reader.line(line.trim_end());
    }
    oldest_first(&mut reader.exceptions);
    reader.exceptions
}

struct Reader {
    exceptions: Vec<Exception>,
    /// Whose frames are still to come, the innermost last.
    open: Vec<usize>,
    in_message: bool,
    /// The first of many is printed twice; the second time says nothing.
    is_repeat: bool,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let trimmed = line.trim_start();
        if let Some(inner) = trimmed.strip_prefix("---> (Inner Exception #") {
            self.member(inner);
        } else if let Some(inner) = trimmed.strip_prefix("---> ") {
            self.heads(inner);
        } else if trimmed.starts_with("--- End of inner exception") {
            self.in_message = false;
            if self.open.len() > 1 && !self.is_repeat {
                self.open.pop();
            }
        } else if let Some(frame) = trimmed.strip_prefix("at ").filter(|_| line.starts_with(' ')).and_then(frame) {
            self.in_message = false;
            if self.exceptions.is_empty() {
                self.push(Exception::default());
            }
            if let Some(one) = self.now().filter(|_| !trimmed.is_empty()) {
                one.frames.push(frame);
            }
        } else if self.exceptions.is_empty() {
            if !trimmed.is_empty() {
                self.heads(trimmed.strip_prefix("Unhandled exception. ").unwrap_or(trimmed));
            }
        } else if self.in_message
            && !trimmed.starts_with("--- ")
            && let Some(one) = self.now()
        {
            push_line(&mut one.value, line);
        }
    }

    fn now(&mut self) -> Option<&mut Exception> {
        if self.is_repeat {
            return None;
        }
        self.open.last().and_then(|at| self.exceptions.get_mut(*at))
    }

    /// The older form has outer and inner on one line.
    fn heads(&mut self, line: &str) {
        for one in line.split(" ---> ") {
            let (kind, value) = coded_head(one);
            self.push(Exception { kind: kind.to_owned(), value: value.to_owned(), ..Exception::default() });
        }
    }

    fn push(&mut self, one: Exception) {
        if self.is_repeat || self.exceptions.len() >= EXCEPTION_COUNT_MAX {
            return;
        }
        let parent = self.open.last().copied();
        self.open.push(self.exceptions.len());
        self.exceptions.push(Exception { parent, link: parent.map(|_| Link::Cause), ..one });
        self.in_message = true;
    }

    /// `---> (Inner Exception #1) System.X: message`, behind the frames of an `AggregateException`.
    fn member(&mut self, line: &str) {
        let Some((number, line)) = line.split_once(") ") else { return };
        let Ok(number) = number.parse::<usize>() else { return };
        self.open.truncate(1);
        self.is_repeat = number == 0;
        if let Some(group) = self.exceptions.first_mut() {
            group.is_group = true;
        }
        if number == 0 {
            if let Some(first) = self.exceptions.get_mut(1) {
                first.link = Some(Link::Member(0));
            }
            return;
        }
        let place = self.exceptions.len();
        // The mark behind the last line of a member; one without frames has only this line.
        self.heads(line.strip_suffix("<---").unwrap_or(line));
        if let Some(one) = self.exceptions.get_mut(place) {
            one.link = Some(Link::Member(number));
        }
    }
}

/// `System.Net.Sockets.SocketException (111): message`: the code of the system is no part of the type.
fn coded_head(line: &str) -> (&str, &str) {
    let coded = line.split_once(" (").and_then(|(kind, rest)| Some((kind, rest.split_once("): ")?)));
    match coded {
        Some((kind, (code, message))) if !kind.contains([' ', ':']) && !code.contains(' ') => (kind, message),
        Some(_) | None => head(line),
    }
}

/// `Owl.Store.Load(String id) in /src/Store.cs:line 41`.
fn frame(call: &str) -> Option<Frame> {
    let (name, rest) = call.split_once('(')?;
    let (_, behind) = rest.split_once(')')?;
    let place = behind.trim_start_matches(')').strip_prefix(" in ").and_then(|place| place.rsplit_once(":line "));
    // Type arguments of a method stand between its name and its parameters.
    let name = if name.ends_with(']') { name.rsplit_once('[').map_or(name, |(name, _)| name) } else { name };
    let (class, method) = match name.find("..") {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => name.rsplit_once('.').unwrap_or(("", name)),
    };
    if method.is_empty() || name.contains(' ') {
        return None;
    }
    let (class, method) = without_state_machine(class, method);
    let from_file = place.map(|(file, _)| frame_of(file)).unwrap_or_default();
    Some(Frame {
        function: Some(method.to_owned()),
        module: Some(class.to_owned()).filter(|class| !class.is_empty()),
        line: place.and_then(|(_, number)| number.trim().trim_end_matches("<---").parse().ok()),
        // Methods without a class are made at run time and numbered as they come.
        in_app: !(class.is_empty() || LIBRARIES.iter().any(|library| class.starts_with(library))),
        ..from_file
    })
}

/// `Owl.Store.<LoadAsync>d__3.MoveNext` is the method `LoadAsync` of `Owl.Store`.
fn without_state_machine<'a>(class: &'a str, method: &'a str) -> (&'a str, &'a str) {
    let parts = class.rsplit_once(".<").and_then(|(outer, rest)| Some((outer, rest.split_once(">d__")?.0)));
    match parts {
        Some((outer, name)) if method == "MoveNext" && !name.is_empty() => (outer, name),
        _ => (class, method),
    }
}

const LIBRARIES: [&str; 21] = [
    "System.",
    "Microsoft.",
    "Amazon.",
    "AutoMapper.",
    "Azure.",
    "Confluent.",
    "Dapper.",
    "FluentValidation.",
    "Google.",
    "Grpc.",
    "Hangfire.",
    "MassTransit.",
    "MediatR.",
    "MySqlConnector.",
    "Newtonsoft.",
    "Npgsql.",
    "OpenTelemetry.",
    "Polly.",
    "Serilog.",
    "StackExchange.",
    "Swashbuckle.",
];
