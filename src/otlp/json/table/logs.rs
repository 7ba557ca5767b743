//! opentelemetry/proto/logs/v1. Tables only.

use super::common::{ANY_VALUE, attributes, dropped_attributes, resource, schema_url, scope};
use super::{Kind, Message, envelope, item, many, one, single};

pub(super) static REQUEST: Message =
    envelope(&[many("resourceLogs", "resource_logs", 1, Kind::Message(&RESOURCE_LOGS))]);

static RESOURCE_LOGS: Message =
    envelope(&[resource(), many("scopeLogs", "scope_logs", 2, Kind::Message(&SCOPE_LOGS)), schema_url()]);

static SCOPE_LOGS: Message =
    envelope(&[scope(), many("logRecords", "log_records", 2, Kind::Message(&LOG_RECORD)), schema_url()]);

static LOG_RECORD: Message = item(&[
    one("timeUnixNano", "time_unix_nano", 1, Kind::Fixed64),
    one("observedTimeUnixNano", "observed_time_unix_nano", 11, Kind::Fixed64),
    one("severityNumber", "severity_number", 2, Kind::Enum(&SEVERITIES)),
    one("severityText", "severity_text", 3, Kind::Text),
    single("body", "body", 5, &ANY_VALUE),
    attributes(6),
    dropped_attributes(7),
    one("flags", "flags", 8, Kind::Fixed32),
    one("traceId", "trace_id", 9, Kind::TraceId),
    one("spanId", "span_id", 10, Kind::SpanId),
    one("eventName", "event_name", 12, Kind::Text),
]);

static SEVERITIES: [&str; 25] = [
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];
