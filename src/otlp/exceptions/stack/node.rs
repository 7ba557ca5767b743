//! V8's `stack` and what `util.inspect` makes of it, and the shorter lines of other browsers: the newest call first. A
//! cause is only there if the program printed one.

use super::path::{place, shortened};
use super::{Copies, EXCEPTION_COUNT_MAX, chain, oldest_first, push_line};
use crate::model::exception::{Exception, Frame};

pub(super) fn parse(text: &str) -> Vec<Exception> {
    let mut printed: Vec<Printed> = Vec::new();
    let mut is_over = false;
    let mut lines = text.lines().map(str::trim_end).peekable();
    while let Some(line) = lines.next() {
        if let Some(cause) = cause(line, printed.len()) {
            if printed.len() >= EXCEPTION_COUNT_MAX || !is_thrown(cause, lines.peek().copied()) {
                break;
            }
            printed.push(Printed::of(cause));
            // One without a stack is printed between brackets, on one line and with its properties behind it.
            is_over = cause.starts_with('[') && cause.contains(']');
        } else if is_over {
            // Properties of the error, and the ends of its braces.
        } else if line.trim() == "}" && line.len() < printed.len().saturating_sub(1) * 2 {
            // The brace of the error around this one.
            is_over = true;
        } else if let Some(now) = printed.last_mut() {
            is_over = now.read(line);
        } else if !line.is_empty() {
            let mut first = Printed::default();
            match call(line) {
                Some(frame) => first.calls.push(Call::Frame(frame)),
                None => first = Printed::of(line),
            }
            printed.push(first);
        }
    }
    let mut exceptions = with_frames(printed);
    oldest_first(&mut exceptions);
    chain(&mut exceptions);
    exceptions
}

/// What Safari calls code of its own, and code outside of any function.
const NATIVE: &str = "[native code]";
const CODE: [&str; 3] = ["global code", "module code", "eval code"];

#[derive(Default)]
struct Printed {
    exception: Exception,
    calls: Vec<Call>,
}

enum Call {
    Frame(Frame),
    /// Lines that the cause has too, between one before and one behind that both have.
    LikeCause(usize),
}

impl Printed {
    fn of(line: &str) -> Printed {
        let (kind, value) = head(line);
        let exception = Exception { kind: kind.to_owned(), value: value.to_owned(), ..Exception::default() };
        Printed { exception, calls: Vec::new() }
    }

    /// Whether the stack ends with this line.
    fn read(&mut self, line: &str) -> bool {
        let open = line.strip_suffix(" {");
        let inner = open.unwrap_or(line);
        if let Some(frame) = call(inner) {
            self.calls.push(Call::Frame(frame));
        } else if let Some(count) = like_cause(inner) {
            self.calls.push(Call::LikeCause(count));
        } else if self.calls.is_empty() {
            push_line(&mut self.exception.value, line);
            return false;
        } else if !line.trim().starts_with("at ") && inner.trim() != "[...]" {
            return true;
        }
        open.is_some()
    }
}

/// `TypeError: message`, `TypeError [CODE]: message`, `Uncaught Error: message`, `[Error: message]`.
fn head(line: &str) -> (&str, &str) {
    let line = line.trim().trim_end_matches(" {");
    let line = line.strip_prefix('[').and_then(|line| line.rsplit_once(']')).map_or(line, |(line, _)| line);
    let line = line.strip_prefix("Uncaught ").unwrap_or(line);
    if let Some((name, rest)) = line.split_once(" [")
        && let Some((_, message)) = rest.split_once("]: ")
        && !name.contains(char::is_whitespace)
    {
        return (name, message);
    }
    super::head(line)
}

/// `  [cause]: Error: message`, two blanks further in with each cause, so that those of other properties do not count.
fn cause(line: &str, depth: usize) -> Option<&str> {
    let rest = line.trim_start_matches(' ');
    (line.len() - rest.len() == depth * 2).then(|| rest.strip_prefix("[cause]: ")).flatten()
}

/// Whether a cause is an error. Programs give texts, objects and `undefined` for one too.
fn is_thrown(cause: &str, next: Option<&str>) -> bool {
    if next.is_some_and(|next| call(next.trim_end_matches(" {")).is_some()) {
        return true;
    }
    let (kind, value) = head(cause);
    let is_name = kind.starts_with(|first: char| first.is_alphabetic() || "_$".contains(first))
        && kind.chars().all(|character| character.is_alphanumeric() || "_$.".contains(character));
    let is_function = cause.starts_with('[') && kind.ends_with("Function");
    is_name && !is_function && (!value.is_empty() || ["Error", "Exception"].iter().any(|end| kind.ends_with(end)))
}

fn like_cause(line: &str) -> Option<usize> {
    line.trim().strip_prefix("... ")?.strip_suffix(" lines matching cause stack trace ...")?.parse().ok()
}

/// The innermost first: the lines left out of one are those of its cause.
fn with_frames(printed: Vec<Printed>) -> Vec<Exception> {
    let mut exceptions: Vec<Exception> = Vec::new();
    let mut copies = Copies::new();
    for Printed { mut exception, calls } in printed.into_iter().rev() {
        let cause = exceptions.last().map(|cause| cause.frames.as_slice()).unwrap_or_default();
        let mut missing = None;
        for call in calls {
            match call {
                Call::LikeCause(count) => missing = Some(count),
                Call::Frame(next) => {
                    if let (Some(count), Some(before)) = (missing.take(), exception.frames.last()) {
                        let between = cause
                            .windows(count.saturating_add(2))
                            .find(|window| window.first() == Some(before) && window.last() == Some(&next));
                        let between = between.map_or(&[][..], |window| &window[1..window.len() - 1]);
                        copies.copy(between, &mut exception.frames);
                    }
                    exception.frames.push(next);
                }
            }
        }
        exceptions.push(exception);
    }
    exceptions.reverse();
    exceptions
}

/// `    at function (file:12:34)`, `    at file:12:34`, or `function@file:12:34`.
fn call(line: &str) -> Option<Frame> {
    let trimmed = line.trim();
    let Some(call) = trimmed.strip_prefix("at ").filter(|_| line.starts_with([' ', '\t'])) else {
        if trimmed == NATIVE {
            return Some(frame(NATIVE, NATIVE));
        }
        let (function, file) = trimmed.split_once('@')?;
        let is_place = place(file).1.is_some() || file == NATIVE;
        let is_name = !function.contains(char::is_whitespace) || CODE.contains(&function);
        return (is_place && is_name).then(|| frame(function, file));
    };
    let call = call.strip_prefix("async ").unwrap_or(call);
    match call.strip_suffix(')').and_then(|call| call.split_once(" (")) {
        Some((function, file)) => Some(frame(function, evaluated(file))),
        None => {
            let (file, number, _) = place(call);
            let is_place = number.is_some() || file == "<anonymous>" || file == "native";
            is_place.then(|| frame("", call))
        }
    }
}

/// `eval at f (file:1:2), <anonymous>:3:4`: where the code was made, which is a file.
fn evaluated(file: &str) -> &str {
    if !file.starts_with("eval at ") {
        return file;
    }
    let inner = file.rfind(" (").map_or(file, |at| &file[at + 2..]);
    inner.split_once(')').map_or(inner, |(inner, _)| inner)
}

fn frame(function: &str, text: &str) -> Frame {
    // The name under which a method was called says less than its own.
    let function = function.split(" [as ").next().unwrap_or(function).trim();
    let function = Some(function.to_owned()).filter(|name| !name.is_empty());
    let (file, line, column) = place(text);
    if file.is_empty() || ["<anonymous>", "native", NATIVE].contains(&file) || file.starts_with("index ") {
        return Frame { function, ..Frame::default() };
    }
    let short = shortened(file);
    Frame {
        function,
        // The name of a bundle changes with each release, so an address is no module.
        module: if file.contains("://") && !file.starts_with("file:") { None } else { module(&short) },
        abs_path: Some(file.to_owned()).filter(|_| short != file),
        filename: Some(short),
        line,
        column,
        in_app: !is_library(file),
        ..Frame::default()
    }
}

fn is_library(file: &str) -> bool {
    const STARTS: [&str; 6] = ["node:", "internal/", "wasm:", "ext:", "/var/runtime/", "file:///var/runtime/"];
    ["node_modules/", "node_modules\\"].iter().any(|folder| file.contains(folder))
        || STARTS.iter().any(|start| file.starts_with(start))
        || INTERNALS.contains(&file)
        || file.split_once("://").is_some_and(|(scheme, _)| scheme.ends_with("-extension"))
}

/// Files of Node itself, before version 16 gave them their scheme. Those of programs have a folder.
const INTERNALS: [&str; 38] = [
    "_http_agent.js",
    "_http_client.js",
    "_http_common.js",
    "_http_incoming.js",
    "_http_outgoing.js",
    "_http_server.js",
    "_stream_duplex.js",
    "_stream_readable.js",
    "_stream_transform.js",
    "_stream_writable.js",
    "_tls_common.js",
    "_tls_wrap.js",
    "assert.js",
    "async_hooks.js",
    "bootstrap_node.js",
    "buffer.js",
    "child_process.js",
    "cluster.js",
    "crypto.js",
    "dgram.js",
    "dns.js",
    "domain.js",
    "events.js",
    "fs.js",
    "http.js",
    "https.js",
    "module.js",
    "net.js",
    "node.js",
    "querystring.js",
    "readline.js",
    "stream.js",
    "timers.js",
    "tls.js",
    "url.js",
    "util.js",
    "vm.js",
    "zlib.js",
];

/// As Sentry's own SDK writes it: `express.lib.router:layer`, `src.routes:users`.
fn module(file: &str) -> Option<String> {
    if file.contains(':') {
        return None;
    }
    let file = file.rfind("node_modules/").map_or(file, |at| &file[at + "node_modules/".len()..]);
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    Some(if folder.is_empty() { name.to_owned() } else { format!("{}:{name}", folder.replace('/', ".")) })
}
