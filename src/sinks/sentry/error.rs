//! An exception as an event of Sentry, in an envelope of its own. Sends no fingerprint: both platforms then share one
//! issue, and its tags show where it happens. Never exceeds a limit that Sentry would enforce by damage.

use std::borrow::Cow;

use serde::Serialize;

use super::super::words::{self, Shown};
use super::super::{Lost, LostWhy};
use super::error_context::{Contexts, Extra, Tags};
use super::event::{AGE_MAX, SDK, Sdk, clean_environment, clean_release, tag_value, write};
use super::in_app::InApp;
use crate::model::Timestamp;
use crate::model::exception::{Breadcrumb, ErrorEvent, ErrorResource, Exception, Frame, Language, Level, Link, Origin};

/// Sentry takes 1 MiB; the rest is for the headers around it.
const EVENT_BYTES_MAX: usize = 1_000_000;
const TRANSACTION_CHARS_MAX: usize = 200;
const KIND_CHARS_MAX: usize = 256;
const FUNCTION_CHARS_MAX: usize = 512;
const PATH_CHARS_MAX: usize = 1024;
const BREADCRUMB_COUNT_MAX: usize = 100;

/// How much of an event is written: the first that fits into an envelope.
#[derive(Clone, Copy)]
pub(super) struct Room {
    exceptions: usize,
    frames_first: usize,
    frames_last: usize,
    value_chars: usize,
    breadcrumbs: usize,
    pub(super) has_extra: bool,
}

/// The limits of Sentry, then less and less. What is cut first is what a reader misses least.
const ROOMS: [Room; 3] = [
    Room {
        exceptions: 50,
        frames_first: 50,
        frames_last: 200,
        value_chars: 8192,
        breadcrumbs: BREADCRUMB_COUNT_MAX,
        has_extra: true,
    },
    Room { exceptions: 20, frames_first: 10, frames_last: 40, value_chars: 1024, breadcrumbs: 20, has_extra: true },
    Room { exceptions: 5, frames_first: 5, frames_last: 15, value_chars: 1024, breadcrumbs: 0, has_extra: false },
];

/// Headers, the event, and a report of what was lost before. `now` is the moment of the attempt.
pub(super) fn envelope(event: &ErrorEvent, lost: &[Lost], in_app: &InApp, now: Timestamp) -> Vec<u8> {
    #[derive(Serialize)]
    struct Headers {
        event_id: String,
        sent_at: Shown<Timestamp>,
        sdk: Sdk,
    }
    let payload = payload(event, in_app, now);
    let mut envelope = Vec::with_capacity(payload.len() + 512);
    write(&mut envelope, &Headers { event_id: event.id.to_string(), sent_at: Shown(now), sdk: SDK });
    put_item(&mut envelope, "event", &payload);
    if !lost.is_empty() {
        put_item(&mut envelope, "client_report", &report(lost, now));
    }
    envelope
}

fn put_item(envelope: &mut Vec<u8>, kind: &'static str, payload: &[u8]) {
    #[derive(Serialize)]
    struct ItemHeaders {
        #[serde(rename = "type")]
        kind: &'static str,
        /// In bytes.
        length: usize,
        content_type: &'static str,
    }
    envelope.push(b'\n');
    write(envelope, &ItemHeaders { kind, length: payload.len(), content_type: "application/json" });
    envelope.push(b'\n');
    envelope.extend_from_slice(payload);
}

/// What was dropped on our side. A 429 is not among it: the server counted that itself.
fn report(lost: &[Lost], now: Timestamp) -> Vec<u8> {
    #[derive(Serialize)]
    struct Report {
        timestamp: Shown<Timestamp>,
        discarded_events: Vec<Discarded>,
    }
    #[derive(Serialize)]
    struct Discarded {
        reason: &'static str,
        category: &'static str,
        quantity: u64,
    }
    let discarded = |lost: &Lost| Discarded {
        reason: match lost.why {
            LostWhy::Overflow => "queue_overflow",
            LostWhy::RateLimited => "ratelimit_backoff",
            LostWhy::Network => "network_error",
            LostWhy::Refused => "send_error",
        },
        category: "error",
        quantity: lost.count,
    };
    let mut bytes = Vec::new();
    write(&mut bytes, &Report { timestamp: Shown(now), discarded_events: lost.iter().map(discarded).collect() });
    bytes
}

#[derive(Serialize)]
struct Event<'a> {
    event_id: String,
    timestamp: String,
    platform: &'static str,
    level: &'static str,
    logger: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<Cow<'a, str>>,
    tags: Tags<'a>,
    contexts: Contexts<'a>,
    exception: Values<SentryException<'a>>,
    #[serde(skip_serializing_if = "Values::is_empty")]
    breadcrumbs: Values<SentryBreadcrumb<'a>>,
    #[serde(skip_serializing_if = "Extra::is_empty")]
    extra: Extra<'a>,
    sdk: Sdk,
}

#[derive(Serialize)]
struct Values<T> {
    values: Vec<T>,
}

impl<T> Values<T> {
    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[derive(Serialize)]
struct SentryException<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    value: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<Cow<'a, str>>,
    mechanism: Mechanism,
    #[serde(skip_serializing_if = "Option::is_none")]
    stacktrace: Option<StackTrace<'a>>,
}

#[derive(Serialize)]
struct Mechanism {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Said of the outermost alone: it is the one that was dealt with, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    handled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_exception_group: bool,
    exception_id: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<usize>,
}

#[derive(Serialize)]
struct StackTrace<'a> {
    frames: Vec<SentryFrame<'a>>,
}

#[derive(Serialize)]
struct SentryFrame<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    abs_path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lineno: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    colno: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_line: Option<Cow<'a, str>>,
    in_app: bool,
}

#[derive(Serialize)]
struct SentryBreadcrumb<'a> {
    timestamp: String,
    category: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    data: std::collections::BTreeMap<&'a str, &'a str>,
}

/// The event with as much as fits.
fn payload(event: &ErrorEvent, in_app: &InApp, now: Timestamp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4096);
    for room in ROOMS {
        bytes.clear();
        write(&mut bytes, &written(event, room, in_app, now));
        if bytes.len() <= EVENT_BYTES_MAX {
            break;
        }
    }
    bytes
}

fn written<'a>(event: &'a ErrorEvent, room: Room, in_app: &InApp, now: Timestamp) -> Event<'a> {
    let resource = &*event.resource;
    let exceptions = event.exceptions.iter().enumerate().take(room.exceptions);
    let crumbs = event.breadcrumbs.len().saturating_sub(room.breadcrumbs);
    Event {
        event_id: event.id.to_string(),
        timestamp: timestamp(event.at_us, now),
        platform: platform(event.language),
        level: match event.level {
            Level::Error => "error",
            Level::Fatal => "fatal",
        },
        logger: "tawny.otlp",
        transaction: event.transaction.as_deref().map(|name| line(name, TRANSACTION_CHARS_MAX)),
        release: release(resource),
        environment: resource.environment.as_deref().and_then(clean_environment),
        server_name: resource.server_name.as_deref().and_then(tag_value),
        tags: Tags(event),
        contexts: Contexts::of(event),
        exception: Values {
            values: exceptions.rev().map(|(id, one)| exception(event, (id, one), room, in_app)).collect(),
        },
        breadcrumbs: Values {
            values: event.breadcrumbs[crumbs..].iter().map(|crumb| breadcrumb(crumb, now)).collect(),
        },
        extra: Extra(event.stack_text.as_deref().filter(|_| room.has_extra)),
        sdk: SDK,
    }
}

/// RFC 3339 with microseconds. A time in the future or long past would be replaced and marked as an error.
fn timestamp(at_us: i64, now: Timestamp) -> String {
    let at = Timestamp::from_ms(at_us.div_euclid(1000));
    if at > now || now.since(at) > AGE_MAX {
        return now.to_string();
    }
    let text = at.to_string();
    format!("{}{:03}Z", text.trim_end_matches('Z'), at_us.rem_euclid(1000))
}

/// The few words that Sentry knows.
fn platform(language: Language) -> &'static str {
    match language {
        Language::Python => "python",
        Language::Java => "java",
        Language::Node => "node",
        Language::Browser => "javascript",
        Language::Go => "go",
        Language::DotNet => "csharp",
        Language::Ruby => "ruby",
        Language::Php => "php",
        Language::Elixir => "elixir",
        Language::Other => "other",
    }
}

fn release(resource: &ErrorResource) -> Option<String> {
    let version = resource.version.as_deref()?;
    match &resource.service {
        Some(service) => clean_release(&format!("{service}@{version}")),
        None => clean_release(version),
    }
}

fn exception<'a>(
    event: &ErrorEvent,
    (id, one): (usize, &'a Exception),
    room: Room,
    in_app: &InApp,
) -> SentryException<'a> {
    let frames = &one.frames;
    // As Sentry itself would cut: the oldest calls, and more of those near the fault.
    let (first, last) = match frames.len() > room.frames_first + room.frames_last {
        true => (&frames[..room.frames_first], &frames[frames.len() - room.frames_last..]),
        false => (&frames[..], &[][..]),
    };
    SentryException {
        kind: line(&one.kind, KIND_CHARS_MAX),
        value: words::clip(&one.value, room.value_chars),
        module: one.module.as_deref().map(|module| line(module, KIND_CHARS_MAX)),
        mechanism: Mechanism {
            kind: match event.origin {
                Origin::SpanEvent => "otel.span_event",
                Origin::LogRecord => "otel.log",
            },
            handled: (id == 0).then_some(event.handled),
            source: one.link.and_then(|link| source(link, event.language)),
            is_exception_group: one.is_group,
            exception_id: id,
            parent_id: one.parent,
        },
        stacktrace: (!frames.is_empty())
            .then(|| StackTrace { frames: first.iter().chain(last).map(|one| frame(one, in_app)).collect() }),
    }
}

/// The attribute of the parent that holds it, where the runtime has a name for that.
fn source(link: Link, language: Language) -> Option<String> {
    match (link, language) {
        (Link::Cause, Language::Python) => Some("__cause__".to_owned()),
        (Link::Context, _) => Some("__context__".to_owned()),
        (Link::Member(at), Language::DotNet) => Some(format!("InnerExceptions[{at}]")),
        (Link::Member(at), _) => Some(format!("exceptions[{at}]")),
        (Link::Cause, _) => None,
    }
}

fn frame<'a>(frame: &'a Frame, in_app: &InApp) -> SentryFrame<'a> {
    fn text(text: &Option<String>, chars_max: usize) -> Option<Cow<'_, str>> {
        text.as_deref().map(|text| line(text, chars_max))
    }
    SentryFrame {
        filename: text(&frame.filename, PATH_CHARS_MAX),
        abs_path: text(&frame.abs_path, PATH_CHARS_MAX),
        module: text(&frame.module, KIND_CHARS_MAX),
        function: text(&frame.function, FUNCTION_CHARS_MAX),
        lineno: frame.line,
        colno: frame.column,
        context_line: text(&frame.context_line, FUNCTION_CHARS_MAX),
        in_app: in_app.judges(frame),
    }
}

fn breadcrumb(crumb: &Breadcrumb, now: Timestamp) -> SentryBreadcrumb<'_> {
    SentryBreadcrumb {
        timestamp: timestamp(crumb.at_us, now),
        category: "otel.event",
        message: &crumb.message,
        data: crumb.data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
    }
}

/// One line of so many characters.
fn line(text: &str, chars_max: usize) -> Cow<'_, str> {
    if text.len() <= chars_max && !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(words::clip(&words::one_line(text), chars_max).into_owned())
}
