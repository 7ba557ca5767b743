//! Official requests made from bytes that proptest throws: each byte decides something, so shrinking bytes shrinks
//! requests. Makes only what opentelemetry-proto's own serde can write as JSON.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

pub(super) struct Dice<'a> {
    bytes: &'a [u8],
}

impl<'a> Dice<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Dice<'a> {
        Dice { bytes }
    }

    /// Zero once there is nothing left, so that everything ends.
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn bool(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn u64(&mut self) -> u64 {
        match self.byte() % 5 {
            0 => 0,
            1 => u64::from(self.byte()),
            2 => 1_700_000_000_000_000_000 + u64::from(self.byte()),
            3 => u64::MAX,
            _ => u64::from_le_bytes([(); 8].map(|()| self.byte())),
        }
    }

    fn i64(&mut self) -> i64 {
        self.u64().cast_signed()
    }

    fn u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.u64().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    fn i32(&mut self) -> i32 {
        self.u32().cast_signed()
    }

    fn double(&mut self) -> f64 {
        let double = f64::from_bits(self.u64());
        if double.is_finite() { double } else { f64::from(self.byte()) / 8.0 }
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 16] =
            ['a', 'Z', '0', '.', '"', '\\', '/', '\n', '\u{1}', 'é', '\u{7f}', '\u{2028}', '🦉', '\u{fffd}', '%', ' '];
        let long = if self.byte() == 7 { 20 } else { 1 };
        let count = self.byte() % 12;
        let text: String = (0..count).map(|_| LETTERS[usize::from(self.byte() % 16)]).collect();
        text.repeat(long)
    }

    fn bytes(&mut self, count: u8) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    fn id(&mut self, count: u8) -> Vec<u8> {
        let count = if self.bool() { count } else { 0 };
        self.bytes(count)
    }

    fn many<T>(&mut self, one: impl Fn(&mut Self) -> T) -> Vec<T> {
        let count = if self.bytes.is_empty() { 0 } else { self.byte() % 4 };
        (0..count).map(|_| one(self)).collect()
    }

    fn maybe<T>(&mut self, one: impl Fn(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| one(self))
    }

    fn any_value(&mut self) -> AnyValue {
        let value = match self.byte() % 8 {
            0 => None,
            1 => Some(Value::StringValue(self.text())),
            2 => Some(Value::BoolValue(self.bool())),
            3 => Some(Value::IntValue(self.i64())),
            4 => Some(Value::DoubleValue(self.double())),
            5 => Some(Value::ArrayValue(ArrayValue { values: self.many(Self::any_value) })),
            6 => Some(Value::KvlistValue(KeyValueList { values: self.many(Self::key_value) })),
            _ => {
                let count = self.byte() % 9;
                Some(Value::BytesValue(self.bytes(count)))
            }
        };
        AnyValue { value }
    }

    fn key_value(&mut self) -> KeyValue {
        KeyValue { key: self.text(), value: self.maybe(Self::any_value), key_strindex: self.i32() }
    }

    fn attributes(&mut self) -> Vec<KeyValue> {
        self.many(Self::key_value)
    }

    fn resource(&mut self) -> Resource {
        Resource {
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
            entity_refs: self.many(|dice| EntityRef {
                schema_url: dice.text(),
                r#type: dice.text(),
                id_keys: dice.many(Self::text),
                description_keys: dice.many(Self::text),
            }),
        }
    }

    fn scope(&mut self) -> InstrumentationScope {
        InstrumentationScope {
            name: self.text(),
            version: self.text(),
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
        }
    }

    fn span(&mut self) -> Span {
        Span {
            trace_id: self.id(16),
            span_id: self.id(8),
            trace_state: self.text(),
            parent_span_id: self.id(8),
            flags: self.u32(),
            name: self.text(),
            kind: self.i32(),
            start_time_unix_nano: self.u64(),
            end_time_unix_nano: self.u64(),
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
            events: self.many(|dice| Event {
                time_unix_nano: dice.u64(),
                name: dice.text(),
                attributes: dice.attributes(),
                dropped_attributes_count: dice.u32(),
            }),
            dropped_events_count: self.u32(),
            links: self.many(|dice| Link {
                trace_id: dice.id(16),
                span_id: dice.id(8),
                trace_state: dice.text(),
                attributes: dice.attributes(),
                dropped_attributes_count: dice.u32(),
                flags: dice.u32(),
            }),
            dropped_links_count: self.u32(),
            status: self.maybe(|dice| Status { message: dice.text(), code: dice.i32() }),
        }
    }

    pub(super) fn traces(&mut self) -> ExportTraceServiceRequest {
        let resource_spans = self.many(|dice| ResourceSpans {
            resource: dice.maybe(Self::resource),
            scope_spans: dice.many(|dice| ScopeSpans {
                scope: dice.maybe(Self::scope),
                spans: dice.many(Self::span),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportTraceServiceRequest { resource_spans }
    }

    fn log_record(&mut self) -> LogRecord {
        LogRecord {
            time_unix_nano: self.u64(),
            observed_time_unix_nano: self.u64(),
            severity_number: self.i32(),
            severity_text: self.text(),
            body: self.maybe(Self::any_value),
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
            flags: self.u32(),
            trace_id: self.id(16),
            span_id: self.id(8),
            event_name: self.text(),
        }
    }

    pub(super) fn logs(&mut self) -> ExportLogsServiceRequest {
        let resource_logs = self.many(|dice| ResourceLogs {
            resource: dice.maybe(Self::resource),
            scope_logs: dice.many(|dice| ScopeLogs {
                scope: dice.maybe(Self::scope),
                log_records: dice.many(Self::log_record),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportLogsServiceRequest { resource_logs }
    }

    fn exemplar(&mut self) -> Exemplar {
        Exemplar {
            filtered_attributes: self.attributes(),
            time_unix_nano: self.u64(),
            value: self.maybe(|dice| match dice.bool() {
                true => exemplar::Value::AsInt(dice.i64()),
                false => exemplar::Value::AsDouble(dice.double()),
            }),
            span_id: self.id(8),
            trace_id: self.id(16),
        }
    }

    fn number_point(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            exemplars: self.many(Self::exemplar),
            flags: self.u32(),
            value: self.maybe(|dice| match dice.bool() {
                true => number_data_point::Value::AsInt(dice.i64()),
                false => number_data_point::Value::AsDouble(dice.double()),
            }),
        }
    }

    fn histogram_point(&mut self) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            count: self.u64(),
            sum: self.maybe(Self::double),
            bucket_counts: self.many(Self::u64),
            explicit_bounds: self.many(Self::double),
            exemplars: self.many(Self::exemplar),
            flags: self.u32(),
            min: self.maybe(Self::double),
            max: self.maybe(Self::double),
        }
    }

    fn buckets(&mut self) -> Buckets {
        Buckets { offset: self.i32(), bucket_counts: self.many(Self::u64) }
    }

    fn exponential_point(&mut self) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            count: self.u64(),
            sum: self.maybe(Self::double),
            scale: self.i32(),
            zero_count: self.u64(),
            positive: self.maybe(Self::buckets),
            negative: self.maybe(Self::buckets),
            flags: self.u32(),
            exemplars: self.many(Self::exemplar),
            min: self.maybe(Self::double),
            max: self.maybe(Self::double),
            zero_threshold: self.double(),
        }
    }

    fn summary_point(&mut self) -> SummaryDataPoint {
        SummaryDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            count: self.u64(),
            sum: self.double(),
            quantile_values: self.many(|dice| ValueAtQuantile { quantile: dice.double(), value: dice.double() }),
            flags: self.u32(),
        }
    }

    fn metric(&mut self) -> Metric {
        let data = match self.byte() % 6 {
            0 => None,
            1 => Some(metric::Data::Gauge(Gauge { data_points: self.many(Self::number_point) })),
            2 => Some(metric::Data::Sum(Sum {
                data_points: self.many(Self::number_point),
                aggregation_temporality: self.i32(),
                is_monotonic: self.bool(),
            })),
            3 => Some(metric::Data::Histogram(Histogram {
                data_points: self.many(Self::histogram_point),
                aggregation_temporality: self.i32(),
            })),
            4 => Some(metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points: self.many(Self::exponential_point),
                aggregation_temporality: self.i32(),
            })),
            _ => Some(metric::Data::Summary(Summary { data_points: self.many(Self::summary_point) })),
        };
        Metric { name: self.text(), description: self.text(), unit: self.text(), metadata: self.attributes(), data }
    }

    pub(super) fn metrics(&mut self) -> ExportMetricsServiceRequest {
        let resource_metrics = self.many(|dice| ResourceMetrics {
            resource: dice.maybe(Self::resource),
            scope_metrics: dice.many(|dice| ScopeMetrics {
                scope: dice.maybe(Self::scope),
                metrics: dice.many(Self::metric),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportMetricsServiceRequest { resource_metrics }
    }
}
