//! opentelemetry/proto/trace/v1. Tables only.

use super::common::{attributes, dropped_attributes, resource, schema_url, scope};
use super::{Kind, Message, envelope, item, large_piece, many, one, piece, single};

pub(super) static REQUEST: Message =
    envelope(&[many("resourceSpans", "resource_spans", 1, Kind::Message(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: Message =
    envelope(&[resource(), many("scopeSpans", "scope_spans", 2, Kind::Message(&SCOPE_SPANS)), schema_url()]);

static SCOPE_SPANS: Message = envelope(&[scope(), many("spans", "spans", 2, Kind::Message(&SPAN)), schema_url()]);

static SPAN: Message = item(&[
    one("traceId", "trace_id", 1, Kind::TraceId),
    one("spanId", "span_id", 2, Kind::SpanId),
    one("traceState", "trace_state", 3, Kind::Text),
    one("parentSpanId", "parent_span_id", 4, Kind::SpanId),
    one("flags", "flags", 16, Kind::Fixed32),
    one("name", "name", 5, Kind::Text),
    one("kind", "kind", 6, Kind::Enum(&SPAN_KINDS)),
    one("startTimeUnixNano", "start_time_unix_nano", 7, Kind::Fixed64),
    one("endTimeUnixNano", "end_time_unix_nano", 8, Kind::Fixed64),
    attributes(9),
    dropped_attributes(10),
    many("events", "events", 11, Kind::Message(&EVENT)),
    one("droppedEventsCount", "dropped_events_count", 12, Kind::Uint32),
    many("links", "links", 13, Kind::Message(&LINK)),
    one("droppedLinksCount", "dropped_links_count", 14, Kind::Uint32),
    single("status", "status", 15, &STATUS),
]);

static EVENT: Message = large_piece(&[
    one("timeUnixNano", "time_unix_nano", 1, Kind::Fixed64),
    one("name", "name", 2, Kind::Text),
    attributes(3),
    dropped_attributes(4),
]);

static LINK: Message = piece(&[
    one("traceId", "trace_id", 1, Kind::TraceId),
    one("spanId", "span_id", 2, Kind::SpanId),
    one("traceState", "trace_state", 3, Kind::Text),
    attributes(4),
    dropped_attributes(5),
    one("flags", "flags", 6, Kind::Fixed32),
]);

static STATUS: Message =
    piece(&[one("message", "message", 2, Kind::Text), one("code", "code", 3, Kind::Enum(&STATUS_CODES))]);

static SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

static STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
