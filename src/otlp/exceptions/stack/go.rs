//! Go's goroutine dumps, of a panic or of `debug.Stack`, and the pairs of lines that `pkg/errors` prints: the newest call
//! first. Only the goroutine that speaks is read.

use super::path::place;
use super::{frame_of, oldest_first};
use crate::model::exception::{Exception, Frame};

/// The SDK reads a stack into a buffer of this size; the last line of a full one is cut.
const SDK_BUFFER_BYTES: usize = 2048;

/// Frames that only show how the stack was taken.
const RECORDERS: [&str; 4] = ["runtime/debug.Stack", "runtime.Stack", "recordStackTrace", "(*recordingSpan)."];

pub(super) fn parse(text: &str) -> Vec<Exception> {
    let mut exception = Exception::default();
    let has_dump = text.lines().any(is_goroutine);
    let text = without_cut(text, has_dump);
    let mut lines = text.lines().map(|line| line.trim_end_matches('\r')).peekable();
    if has_dump {
        for line in lines.by_ref() {
            if let Some(message) = line.strip_prefix("panic: ").filter(|_| exception.kind.is_empty()) {
                exception.kind = "panic".to_owned();
                exception.value = without_mark(message).to_owned();
            } else if is_goroutine(line) {
                break;
            }
        }
    }
    let mut calls: Vec<(&str, Frame)> = Vec::new();
    while let Some(line) = lines.next() {
        if is_goroutine(line) || line.starts_with("created by ") {
            break;
        }
        let call = line.trim();
        if call.is_empty() || line.starts_with(['\t', ' ']) {
            continue;
        }
        let below = lines.peek().filter(|next| next.starts_with(['\t', ' ']));
        if let Some(frame) = below.and_then(|next| frame(call, next)) {
            calls.push((call, frame));
        } else if !has_dump && below.is_none() && !calls.is_empty() {
            // The message of an error around the first one; its own stack leads to the same place by fewer calls.
            break;
        }
    }
    exception.frames = culprits(calls);
    oldest_first(std::slice::from_mut(&mut exception));
    vec![exception]
}

/// Without what the runtime says of a panic that was dealt with.
fn without_mark(message: &str) -> &str {
    [" [recovered]", " [recovered, repanicked]"].iter().find_map(|mark| message.strip_suffix(mark)).unwrap_or(message)
}

fn is_goroutine(line: &str) -> bool {
    line.starts_with("goroutine ") && line.trim_end().ends_with(':')
}

/// Without a last line that is the place of a call and may have lost digits of its line number. In a dump an offset
/// follows it, except for calls that were inlined; those have no arguments.
fn without_cut(text: &str, has_dump: bool) -> &str {
    let Some((rest, last)) = text.rsplit_once('\n') else { return text };
    let is_place = last.starts_with(['\t', ' ']) && !last.contains(" +0x");
    let is_inlined = rest.trim_end().ends_with("(...)");
    let is_cut = text.len() == SDK_BUFFER_BYTES || has_dump && !is_inlined;
    if is_place && is_cut { rest } else { text }
}

/// From the one that failed on: what stands before it recovered from the panic, or took the stack.
fn culprits(calls: Vec<(&str, Frame)>) -> Vec<Frame> {
    let is_panic = |call: &str| call.starts_with("panic(");
    let is_machinery = |call: &str| {
        ["runtime.panic", "runtime.sigpanic", "runtime.goPanic"].iter().any(|start| call.starts_with(start))
    };
    let is_recorder = |call: &str| RECORDERS.iter().any(|recorder| call.contains(recorder));
    let skipped = match calls.iter().rposition(|(call, _)| is_panic(call)) {
        Some(at) => at + 1 + calls[at + 1..].iter().take_while(|(call, _)| is_machinery(call)).count(),
        None => calls.iter().take_while(|(call, _)| is_recorder(call) || is_machinery(call)).count(),
    };
    // A trace of nothing but machinery is better than none.
    let skipped = if skipped < calls.len() { skipped } else { 0 };
    calls.into_iter().skip(skipped).map(|(_, frame)| frame).collect()
}

/// `example.com/owl/store.(*Store).Load(0xc000012345, {0x1, 0x2})` and the line below it: `\t/app/store.go:41 +0x1d`.
fn frame(call: &str, below: &str) -> Option<Frame> {
    let below = below.trim();
    let (file, line, _) = place(below.split(" +0x").next().unwrap_or(below));
    let line = line.filter(|_| file.ends_with(".go") || file.ends_with(".s") || file.contains('/'))?;
    let name = match call.rfind('(') {
        // `(*T).Func` without arguments, as pkg/errors writes it.
        Some(at) if call.ends_with(')') => &call[..at],
        Some(_) | None => call,
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let (package, function) = match name[last..].find('.') {
        Some(dot) => (&name[..last + dot], &name[last + dot + 1..]),
        None => ("", name),
    };
    // A dot in the last part of a package's path is escaped.
    let package = package.replace("%2e", ".");
    let in_app = is_in_app(&package, file);
    Some(Frame {
        function: Some(function.to_owned()),
        module: Some(package).filter(|package| !package.is_empty()),
        line: Some(line),
        in_app,
        ..frame_of(file)
    })
}

fn is_in_app(package: &str, file: &str) -> bool {
    let first = package.split('/').next().unwrap_or_default();
    !(package.is_empty()
        || STANDARD.contains(&first)
        || package.starts_with("go.opentelemetry.io/")
        || ["/vendor/", "/pkg/mod/"].iter().any(|part| file.contains(part))
        || file.split('/').any(has_version)
        || is_external(file))
}

/// `yaml.v3@v3.0.1`: a module as `-trimpath` writes it. The program's own has no version.
fn has_version(part: &str) -> bool {
    part.split_once("@v").is_some_and(|(_, version)| version.starts_with(|first: char| first.is_ascii_digit()))
}

/// The repositories of others, as Bazel lays them out.
fn is_external(file: &str) -> bool {
    let in_sandbox = file.split_once("/execroot/").map(|(_, rest)| rest);
    file.starts_with("external/") || in_sandbox.is_some_and(|rest| rest.contains("/external/"))
}

/// First parts of the standard library's packages. Modules of companies have no dot either, so that is no sign.
const STANDARD: [&str; 44] = [
    "archive",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
];
