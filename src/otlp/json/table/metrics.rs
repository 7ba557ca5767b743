//! opentelemetry/proto/metrics/v1. Tables only.

use super::common::{KEY_VALUE, attributes, resource, schema_url, scope};
use super::{Field, Kind, Message, choice, envelope, item, large_piece, many, one, piece, present, single};

pub(super) static REQUEST: Message =
    envelope(&[many("resourceMetrics", "resource_metrics", 1, Kind::Message(&RESOURCE_METRICS))]);

static RESOURCE_METRICS: Message =
    envelope(&[resource(), many("scopeMetrics", "scope_metrics", 2, Kind::Message(&SCOPE_METRICS)), schema_url()]);

static SCOPE_METRICS: Message =
    envelope(&[scope(), many("metrics", "metrics", 2, Kind::Message(&METRIC)), schema_url()]);

static METRIC: Message = item(&[
    one("name", "name", 1, Kind::Text),
    one("description", "description", 2, Kind::Text),
    one("unit", "unit", 3, Kind::Text),
    choice("sum", "sum", 7, Kind::Message(&SUM)),
    choice("gauge", "gauge", 5, Kind::Message(&GAUGE)),
    choice("histogram", "histogram", 9, Kind::Message(&HISTOGRAM)),
    choice("exponentialHistogram", "exponential_histogram", 10, Kind::Message(&EXPONENTIAL_HISTOGRAM)),
    choice("summary", "summary", 11, Kind::Message(&SUMMARY)),
    many("metadata", "metadata", 12, Kind::Message(&KEY_VALUE)),
]);

static GAUGE: Message = large_piece(&[data_points(&NUMBER_POINT)]);

static SUM: Message =
    large_piece(&[data_points(&NUMBER_POINT), temporality(), one("isMonotonic", "is_monotonic", 3, Kind::Bool)]);

static HISTOGRAM: Message = large_piece(&[data_points(&HISTOGRAM_POINT), temporality()]);

static EXPONENTIAL_HISTOGRAM: Message = large_piece(&[data_points(&EXPONENTIAL_POINT), temporality()]);

static SUMMARY: Message = large_piece(&[data_points(&SUMMARY_POINT)]);

static NUMBER_POINT: Message = piece(&[
    attributes(7),
    start_time(),
    time(3),
    choice("asInt", "as_int", 6, Kind::Sfixed64),
    choice("asDouble", "as_double", 4, Kind::Double),
    exemplars(5),
    flags(8),
]);

static HISTOGRAM_POINT: Message = large_piece(&[
    attributes(9),
    start_time(),
    time(3),
    one("count", "count", 4, Kind::Fixed64),
    present("sum", "sum", 5, Kind::Double),
    many("bucketCounts", "bucket_counts", 6, Kind::Fixed64),
    many("explicitBounds", "explicit_bounds", 7, Kind::Double),
    exemplars(8),
    flags(10),
    present("min", "min", 11, Kind::Double),
    present("max", "max", 12, Kind::Double),
]);

static EXPONENTIAL_POINT: Message = large_piece(&[
    attributes(1),
    start_time(),
    time(3),
    one("count", "count", 4, Kind::Fixed64),
    present("sum", "sum", 5, Kind::Double),
    one("scale", "scale", 6, Kind::Sint32),
    one("zeroCount", "zero_count", 7, Kind::Fixed64),
    single("positive", "positive", 8, &BUCKETS),
    single("negative", "negative", 9, &BUCKETS),
    flags(10),
    exemplars(11),
    present("min", "min", 12, Kind::Double),
    present("max", "max", 13, Kind::Double),
    one("zeroThreshold", "zero_threshold", 14, Kind::Double),
]);

static BUCKETS: Message =
    piece(&[one("offset", "offset", 1, Kind::Sint32), many("bucketCounts", "bucket_counts", 2, Kind::Uint64)]);

static SUMMARY_POINT: Message = large_piece(&[
    attributes(7),
    start_time(),
    time(3),
    one("count", "count", 4, Kind::Fixed64),
    one("sum", "sum", 5, Kind::Double),
    many("quantileValues", "quantile_values", 6, Kind::Message(&QUANTILE)),
    flags(8),
]);

static QUANTILE: Message =
    piece(&[one("quantile", "quantile", 1, Kind::Double), one("value", "value", 2, Kind::Double)]);

static EXEMPLAR: Message = piece(&[
    many("filteredAttributes", "filtered_attributes", 7, Kind::Message(&KEY_VALUE)),
    time(2),
    choice("asDouble", "as_double", 3, Kind::Double),
    choice("asInt", "as_int", 6, Kind::Sfixed64),
    one("spanId", "span_id", 4, Kind::SpanId),
    one("traceId", "trace_id", 5, Kind::TraceId),
]);

static TEMPORALITIES: [&str; 3] =
    ["AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA", "AGGREGATION_TEMPORALITY_CUMULATIVE"];

const fn data_points(point: &'static Message) -> Field {
    many("dataPoints", "data_points", 1, Kind::Message(point))
}

const fn temporality() -> Field {
    one("aggregationTemporality", "aggregation_temporality", 2, Kind::Enum(&TEMPORALITIES))
}

const fn start_time() -> Field {
    one("startTimeUnixNano", "start_time_unix_nano", 2, Kind::Fixed64)
}

const fn time(number: u32) -> Field {
    one("timeUnixNano", "time_unix_nano", number, Kind::Fixed64)
}

const fn exemplars(number: u32) -> Field {
    many("exemplars", "exemplars", number, Kind::Message(&EXEMPLAR))
}

const fn flags(number: u32) -> Field {
    one("flags", "flags", number, Kind::Uint32)
}
