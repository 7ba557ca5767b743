//! What stands around an exception: its trace, its deployment, its attributes, the tags that people filter by. Never
//! lets a context grow beyond what Sentry keeps of it.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::super::words;
use super::deployment::Deployment;
use super::event::{MAP_BYTES_MAX, TEXT_BYTES_MAX, tag_value};
use crate::model::TagName;
use crate::model::exception::{ErrorEvent, TraceRef};

/// Of one value in `extra`.
const EXTRA_BYTES_MAX: usize = 16_000;

#[derive(Serialize)]
pub(super) struct Contexts<'a> {
    /// One that is not there is made up by Sentry; a made-up one of ours would be no better.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Trace>,
    otel: Otel<'a>,
    deployment: Deployment<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tawny: Option<Tawny>,
}

#[derive(Serialize)]
struct Trace {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

/// Sentry's own name and shape for OpenTelemetry's data.
#[derive(Serialize)]
struct Otel<'a> {
    /// Of a trace without frames: its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    stacktrace: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    resource: Pairs<'a>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    attributes: Pairs<'a>,
}

#[derive(Serialize)]
struct Tawny {
    /// The rule behind each tag.
    by: String,
}

impl<'a> Contexts<'a> {
    pub(super) fn of(event: &'a ErrorEvent) -> Contexts<'a> {
        let resource = &*event.resource;
        let stacktrace = event.stack_text.as_deref().map(|text| words::clip_bytes(text, MAP_BYTES_MAX));
        let mut room = MAP_BYTES_MAX - stacktrace.as_ref().map_or(0, |text| text.len());
        // What the span knows tells more about one exception than what its program is.
        let attributes = Pairs::of(&event.attributes, room);
        room -= attributes.byte_count;
        let by = words::clip_bytes(&words::reasons(&resource.tags), 2 * TEXT_BYTES_MAX).into_owned();
        Contexts {
            trace: event.trace.as_ref().map(trace),
            otel: Otel { stacktrace, resource: Pairs::of(&resource.attributes, room), attributes },
            deployment: Deployment::of(&resource.tags, None, of(&resource.attributes, "k8s.namespace.name")),
            tawny: (!by.is_empty()).then_some(Tawny { by }),
        }
    }
}

/// Sentry wants a span; where there is none it takes the start of the trace's id, and marks the event as damaged unless
/// we did.
fn trace(trace: &TraceRef) -> Trace {
    let halves = trace.trace_id.split_at(8);
    let of_trace = if halves.0.iter().any(|byte| *byte != 0) { halves.0 } else { halves.1 };
    Trace {
        trace_id: hex(&trace.trace_id),
        span_id: trace.span_id.map_or_else(|| hex(of_trace), |id| hex(&id)),
        parent_span_id: trace.parent_span_id.map(|id| hex(&id)),
        op: trace.op,
        status: trace.status,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Attributes under their own names, as many as there is room for.
struct Pairs<'a> {
    kept: Vec<(&'a str, Cow<'a, str>)>,
    byte_count: usize,
}

impl<'a> Pairs<'a> {
    fn of(pairs: &'a [(String, String)], room: usize) -> Pairs<'a> {
        let mut kept: Vec<(&str, Cow<'_, str>)> = Vec::new();
        let mut byte_count = 0;
        for (key, value) in pairs {
            let value = words::clip_bytes(value, TEXT_BYTES_MAX);
            let more = key.len() + value.len() + 8;
            if byte_count + more <= room && !kept.iter().any(|(held, _)| held == key) {
                byte_count += more;
                kept.push((key, value));
            }
        }
        Pairs { kept, byte_count }
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.kept.iter().map(|(key, value)| (key, value)))
    }
}

/// The tags that people filter by, under the names that alerts have too. The platform is not called `platform`: in
/// Sentry's search that word is a field of the event.
pub(super) struct Tags<'a>(pub(super) &'a ErrorEvent);

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let resource = &*self.0.resource;
        let tag = |name| resource.tags.value(name);
        let own = |name| of(&self.0.attributes, name);
        let theirs = |name| of(&resource.attributes, name);
        // The last part of a cluster's ARN is its name.
        let ecs_cluster = theirs("aws.ecs.cluster.arn").and_then(|arn| arn.rsplit('/').next());
        let tags = [
            ("service", tag(TagName::Service).or(resource.service.as_deref())),
            ("owner", tag(TagName::Owner)),
            ("cell", tag(TagName::Cell)),
            ("deploy.platform", tag(TagName::Platform)),
            ("deploy.variant", tag(TagName::PlatformVariant)),
            ("k8s.cluster.name", theirs("k8s.cluster.name")),
            ("aws.ecs.cluster", ecs_cluster),
            ("http.response.status_code", own("http.response.status_code").or(own("http.status_code"))),
            ("rpc.grpc.status_code", own("rpc.grpc.status_code")),
            ("error.type", own("error.type")),
        ];
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in tags {
            if let Some(value) = value.and_then(tag_value) {
                map.serialize_entry(key, &value)?;
            }
        }
        map.end()
    }
}

/// A stack trace without frames that is longer than a context holds, whole, in pieces.
pub(super) struct Extra<'a>(pub(super) Option<&'a str>);

impl Extra<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none_or(|text| text.len() <= MAP_BYTES_MAX)
    }
}

impl Serialize for Extra<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut rest = self.0.unwrap_or_default();
        let mut number = 1;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.floor_char_boundary(EXTRA_BYTES_MAX.min(rest.len())));
            map.serialize_entry(&format!("stacktrace.{number}"), piece)?;
            (rest, number) = (behind, number + 1);
        }
        map.end()
    }
}
