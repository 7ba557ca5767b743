//! An exception that telemetry told of, as a sink for errors needs it: what was thrown, where, during which span, by
//! which deployment. Never holds more than its bounds say, and never decides whether anybody is told.

use std::fmt;
use std::sync::Arc;

use super::{Tags, Timestamp};

/// One exception with its causes. What was found twice (on a span and in a log record) has the same id twice.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorEvent {
    pub id: ErrorId,
    pub origin: Origin,
    pub level: Level,
    /// Whether the program went on by itself.
    pub handled: bool,
    pub language: Language,
    /// Microseconds since 1970; a sender's time, or the time of its arrival where that is implausible.
    pub at_us: i64,
    /// The outermost first; each names the one that it belongs to. Never empty.
    pub exceptions: Vec<Exception>,
    /// A stack trace in which no frame was found, whole.
    pub stack_text: Option<String>,
    pub trace: Option<TraceRef>,
    /// The name of the request or message that was served.
    pub transaction: Option<String>,
    /// Of the span or the log record.
    pub attributes: Vec<(String, String)>,
    /// What the span had noted before, oldest first.
    pub breadcrumbs: Vec<Breadcrumb>,
    /// Shared by all events of one resource.
    pub resource: Arc<ErrorResource>,
}

/// Who threw it, by its own resource attributes, and what the rules say of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorResource {
    pub service: Option<String>,
    pub version: Option<String>,
    pub environment: Option<String>,
    /// The host as Sentry's own SDKs would call it: the pod, the machine, the task.
    pub server_name: Option<String>,
    pub attributes: Vec<(String, String)>,
    pub tags: Tags,
}

/// An identity of 16 bytes in the form of a random UUID, made of what was thrown and where.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorId(pub [u8; 16]);

impl ErrorId {
    /// Marks a hash as a UUID of version 4, which is what receivers check.
    pub fn of_hash(mut hash: [u8; 16]) -> ErrorId {
        hash[6] = hash[6] & 0x0f | 0x40;
        hash[8] = hash[8] & 0x3f | 0x80;
        ErrorId(hash)
    }
}

impl fmt::Display for ErrorId {
    /// 32 hex digits without dashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ErrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    SpanEvent,
    LogRecord,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    /// The program ended of it.
    Fatal,
}

/// The runtime that wrote the stack trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Python,
    /// Kotlin and Scala too.
    Java,
    Node,
    Browser,
    Go,
    DotNet,
    Ruby,
    Php,
    Elixir,
    Other,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exception {
    /// The name of its class without the package.
    pub kind: String,
    pub module: Option<String>,
    pub value: String,
    /// The oldest call first, the one that threw last.
    pub frames: Vec<Frame>,
    /// Place of the exception that this one caused or that holds it; `None` for the outermost.
    pub parent: Option<usize>,
    pub link: Option<Link>,
    /// It holds others instead of having one cause.
    pub is_group: bool,
}

/// What an exception is to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Cause,
    /// The parent was thrown while this one was dealt with.
    Context,
    /// The n-th of a group.
    Member(usize),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    pub function: Option<String>,
    pub module: Option<String>,
    /// Without the directories of one machine.
    pub filename: Option<String>,
    /// As the runtime wrote it.
    pub abs_path: Option<String>,
    pub line: Option<u32>,
    pub column: Option<u32>,
    /// The source, where the runtime wrote it too.
    pub context_line: Option<String>,
    /// Code of the service and not of a library.
    pub in_app: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TraceRef {
    pub trace_id: [u8; 16],
    pub span_id: Option<[u8; 8]>,
    pub parent_span_id: Option<[u8; 8]>,
    /// In Sentry's words: `http.server`, `db`; `None` for a log record, which does not know its span.
    pub op: Option<&'static str>,
    pub status: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Breadcrumb {
    pub at_us: i64,
    pub message: String,
    pub data: Vec<(String, String)>,
}

impl ErrorEvent {
    /// What it takes in memory, about; for queues that are bounded by bytes. The resource counts as if it were not
    /// shared, which it may not be.
    pub fn byte_count(&self) -> usize {
        let pairs = |pairs: &[(String, String)]| -> usize {
            pairs.iter().map(|(key, value)| key.len() + value.len() + 48).sum()
        };
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let frames = |frames: &[Frame]| -> usize {
            let texts = |frame: &Frame| {
                text(&frame.function)
                    + text(&frame.module)
                    + text(&frame.filename)
                    + text(&frame.abs_path)
                    + text(&frame.context_line)
            };
            frames.iter().map(|frame| size_of::<Frame>() + texts(frame)).sum()
        };
        let exceptions: usize = self
            .exceptions
            .iter()
            .map(|one| {
                size_of::<Exception>() + one.kind.len() + text(&one.module) + one.value.len() + frames(&one.frames)
            })
            .sum();
        let attributes: usize = pairs(&self.attributes) + pairs(&self.resource.attributes);
        let crumbs: usize = self
            .breadcrumbs
            .iter()
            .map(|crumb| -> usize {
                let data: usize = pairs(&crumb.data);
                size_of::<Breadcrumb>() + crumb.message.len() + data
            })
            .sum();
        size_of::<ErrorEvent>() + exceptions + text(&self.stack_text) + text(&self.transaction) + attributes + crumbs
    }

    /// When it happened, as far as our own times go.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_ms(self.at_us.div_euclid(1000))
    }
}
