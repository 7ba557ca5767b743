//! Whole requests of the three signals, every field of every message among them.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value as ExemplarValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as PointValue;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::dice::Dice;
use super::model::Signal;
use super::oracle::Request;

pub(super) fn request(signal: Signal, dice: &mut Dice<'_>) -> Request {
    match signal {
        Signal::Traces => Request::Traces(ExportTraceServiceRequest {
            resource_spans: dice.list(4, |dice| ResourceSpans {
                resource: dice.resource(),
                scope_spans: dice.list(3, |dice| ScopeSpans {
                    scope: dice.scope(),
                    spans: dice.list(5, span),
                    schema_url: dice.text(),
                }),
                schema_url: dice.text(),
            }),
        }),
        Signal::Logs => Request::Logs(ExportLogsServiceRequest {
            resource_logs: dice.list(4, |dice| ResourceLogs {
                resource: dice.resource(),
                scope_logs: dice.list(3, |dice| ScopeLogs {
                    scope: dice.scope(),
                    log_records: dice.list(5, log_record),
                    schema_url: dice.text(),
                }),
                schema_url: dice.text(),
            }),
        }),
        Signal::Metrics => Request::Metrics(ExportMetricsServiceRequest {
            resource_metrics: dice.list(4, |dice| ResourceMetrics {
                resource: dice.resource(),
                scope_metrics: dice.list(3, |dice| ScopeMetrics {
                    scope: dice.scope(),
                    metrics: dice.list(5, metric),
                    schema_url: dice.text(),
                }),
                schema_url: dice.text(),
            }),
        }),
        Signal::Profiles => panic!("profiles are not decoded"),
    }
}

fn span(dice: &mut Dice<'_>) -> Span {
    Span {
        trace_id: dice.bytes(16),
        span_id: dice.bytes(8),
        trace_state: if dice.hits(3) { dice.text() } else { String::new() },
        parent_span_id: dice.bytes(8),
        flags: dice.small(),
        name: dice.text(),
        kind: dice.small().cast_signed(),
        start_time_unix_nano: dice.number(),
        end_time_unix_nano: dice.number(),
        attributes: dice.attributes(),
        dropped_attributes_count: dice.small(),
        events: dice.list(3, |dice| Event {
            time_unix_nano: dice.number(),
            name: dice.text(),
            attributes: dice.attributes(),
            dropped_attributes_count: dice.small(),
        }),
        dropped_events_count: dice.small(),
        links: dice.list(3, |dice| Link {
            trace_id: dice.bytes(16),
            span_id: dice.bytes(8),
            trace_state: dice.text(),
            attributes: dice.attributes(),
            dropped_attributes_count: dice.small(),
            flags: dice.small(),
        }),
        dropped_links_count: dice.small(),
        status: dice.maybe(|dice| Status { message: dice.text(), code: dice.small().cast_signed() }),
    }
}

fn log_record(dice: &mut Dice<'_>) -> LogRecord {
    LogRecord {
        time_unix_nano: dice.number(),
        observed_time_unix_nano: dice.number(),
        severity_number: dice.small().cast_signed(),
        severity_text: dice.text(),
        body: dice.maybe(|dice| dice.any_value(3)),
        attributes: dice.attributes(),
        dropped_attributes_count: dice.small(),
        flags: dice.small(),
        trace_id: dice.bytes(16),
        span_id: dice.bytes(8),
        event_name: dice.text(),
    }
}

fn metric(dice: &mut Dice<'_>) -> Metric {
    let temporality = dice.small().cast_signed();
    let data = match dice.below(6) {
        0 => None,
        1 => Some(Data::Gauge(Gauge { data_points: dice.list(4, number_point) })),
        2 => Some(Data::Sum(Sum {
            data_points: dice.list(4, number_point),
            aggregation_temporality: temporality,
            is_monotonic: dice.hits(2),
        })),
        3 => Some(Data::Histogram(Histogram {
            data_points: dice.list(4, histogram_point),
            aggregation_temporality: temporality,
        })),
        4 => Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: dice.list(4, exponential_point),
            aggregation_temporality: temporality,
        })),
        _ => Some(Data::Summary(Summary { data_points: dice.list(4, summary_point) })),
    };
    Metric { name: dice.text(), description: dice.text(), unit: dice.text(), metadata: dice.attributes(), data }
}

fn number_point(dice: &mut Dice<'_>) -> NumberDataPoint {
    NumberDataPoint {
        attributes: dice.attributes(),
        start_time_unix_nano: dice.number(),
        time_unix_nano: dice.number(),
        exemplars: dice.list(3, exemplar),
        flags: dice.small(),
        value: dice.maybe(|dice| match dice.hits(2) {
            true => PointValue::AsDouble(dice.double()),
            false => PointValue::AsInt(dice.number().cast_signed()),
        }),
    }
}

fn histogram_point(dice: &mut Dice<'_>) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: dice.attributes(),
        start_time_unix_nano: dice.number(),
        time_unix_nano: dice.number(),
        count: dice.number(),
        sum: dice.maybe(Dice::double),
        bucket_counts: dice.list(8, Dice::number),
        explicit_bounds: dice.list(8, Dice::double),
        exemplars: dice.list(3, exemplar),
        flags: dice.small(),
        min: dice.maybe(Dice::double),
        max: dice.maybe(Dice::double),
    }
}

fn exponential_point(dice: &mut Dice<'_>) -> ExponentialHistogramDataPoint {
    let buckets =
        |dice: &mut Dice<'_>| Buckets { offset: dice.small().cast_signed(), bucket_counts: dice.list(8, Dice::number) };
    ExponentialHistogramDataPoint {
        attributes: dice.attributes(),
        start_time_unix_nano: dice.number(),
        time_unix_nano: dice.number(),
        count: dice.number(),
        sum: dice.maybe(Dice::double),
        scale: dice.small().cast_signed(),
        zero_count: dice.number(),
        positive: dice.maybe(buckets),
        negative: dice.maybe(buckets),
        flags: dice.small(),
        exemplars: dice.list(3, exemplar),
        min: dice.maybe(Dice::double),
        max: dice.maybe(Dice::double),
        zero_threshold: dice.double(),
    }
}

fn summary_point(dice: &mut Dice<'_>) -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: dice.attributes(),
        start_time_unix_nano: dice.number(),
        time_unix_nano: dice.number(),
        count: dice.number(),
        sum: dice.double(),
        quantile_values: dice.list(4, |dice| ValueAtQuantile { quantile: dice.double(), value: dice.double() }),
        flags: dice.small(),
    }
}

fn exemplar(dice: &mut Dice<'_>) -> Exemplar {
    Exemplar {
        filtered_attributes: dice.attributes(),
        time_unix_nano: dice.number(),
        span_id: dice.bytes(8),
        trace_id: dice.bytes(16),
        value: dice.maybe(|dice| match dice.hits(2) {
            true => ExemplarValue::AsDouble(dice.double()),
            false => ExemplarValue::AsInt(dice.number().cast_signed()),
        }),
    }
}
