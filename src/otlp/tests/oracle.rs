//! What prost and the official messages make of the same bytes. Also included by the fuzz target.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest as Logs;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Metrics;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Traces;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use prost::{DecodeError, Message};
use serde_json::value::RawValue;

use super::model::{Existing, Signal};
use super::otlp::enrich::{Assembly, Edit, NewResource, new_resource};
use super::otlp::wire::{Scan, SeenSpan, Watch, scan};
use super::otlp::{Malformed, resource};

pub(super) const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

/// The edits of all differential tests; `service.name` and `k` meet attributes that the requests have.
pub(super) const EDITS: [Edit<'static>; 4] = [
    Edit { key: "tawny.owner", value: "owls", existing: Existing::Replace },
    Edit { key: "k", value: "kept or set", existing: Existing::Keep },
    Edit { key: "service.name", value: "eule", existing: Existing::Replace },
    Edit { key: "service.name", value: "never", existing: Existing::Replace },
];

#[derive(Clone)]
pub(super) enum Request {
    Traces(Traces),
    Logs(Logs),
    Metrics(Metrics),
}

impl Request {
    pub(super) fn decode(signal: Signal, bytes: &[u8]) -> Result<Request, DecodeError> {
        match signal {
            Signal::Traces => Traces::decode(bytes).map(Request::Traces),
            Signal::Logs => Logs::decode(bytes).map(Request::Logs),
            Signal::Metrics => Metrics::decode(bytes).map(Request::Metrics),
            Signal::Profiles => panic!("profiles are not decoded"),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Request::Traces(request) => request.encode_to_vec(),
            Request::Logs(request) => request.encode_to_vec(),
            Request::Metrics(request) => request.encode_to_vec(),
        }
    }

    fn resources(&mut self) -> Vec<&mut Option<Resource>> {
        match self {
            Request::Traces(request) => request.resource_spans.iter_mut().map(|block| &mut block.resource).collect(),
            Request::Logs(request) => request.resource_logs.iter_mut().map(|block| &mut block.resource).collect(),
            Request::Metrics(request) => request.resource_metrics.iter_mut().map(|block| &mut block.resource).collect(),
        }
    }

    pub(super) fn edit(&mut self, edits: &[Edit<'_>]) {
        for resource in self.resources() {
            edit(&mut resource.get_or_insert_default().attributes, edits);
        }
    }

    /// Per block: items, items with invalid ids, whether there are exceptions.
    fn counts(&self) -> Vec<(usize, usize, bool)> {
        match self {
            Request::Traces(request) => {
                let blocks = request.resource_spans.iter();
                let spans = |block: &opentelemetry_proto::tonic::trace::v1::ResourceSpans| {
                    count(block.scope_spans.iter().flat_map(|scope| &scope.spans).map(|span| {
                        let own =
                            is_id(&span.trace_id, 16) && is_id(&span.span_id, 8) && is_id(&span.parent_span_id, 8);
                        let linked = |link: &Link| is_id(&link.trace_id, 16) && is_id(&link.span_id, 8);
                        let ids = own && span.links.iter().all(linked);
                        (1, ids, span.events.iter().any(|event| event.name == "exception"))
                    }))
                };
                blocks.map(spans).collect()
            }
            Request::Logs(request) => {
                let blocks = request.resource_logs.iter();
                let records = |block: &opentelemetry_proto::tonic::logs::v1::ResourceLogs| {
                    count(block.scope_logs.iter().flat_map(|scope| &scope.log_records).map(|record| {
                        let is_exception = record.attributes.iter().any(|a| a.key.starts_with("exception."));
                        (1, is_id(&record.trace_id, 16) && is_id(&record.span_id, 8), is_exception)
                    }))
                };
                blocks.map(records).collect()
            }
            Request::Metrics(request) => {
                let blocks = request.resource_metrics.iter();
                let metrics = blocks.map(|block| block.scope_metrics.iter().flat_map(|scope| &scope.metrics));
                metrics.map(|metrics| count(metrics.flat_map(points).map(|is_valid| (1, is_valid, false)))).collect()
            }
        }
    }

    fn spans(&self) -> Vec<(usize, &Span)> {
        let Request::Traces(request) = self else { return Vec::new() };
        let blocks = request.resource_spans.iter().enumerate();
        let scopes = blocks.flat_map(|(at, block)| block.scope_spans.iter().map(move |scope| (at, scope)));
        scopes.flat_map(|(at, scope)| scope.spans.iter().map(move |span| (at, span))).collect()
    }
}

fn count(items: impl Iterator<Item = (usize, bool, bool)>) -> (usize, usize, bool) {
    items.fold((0, 0, false), |(count, invalid, any), (items, is_valid, is_exception)| {
        (count + items, invalid + usize::from(!is_valid), any || is_exception)
    })
}

fn is_id(id: &[u8], length: usize) -> bool {
    id.is_empty() || id.len() == length
}

/// Whether the ids of its exemplars have the right lengths, for each data point.
fn points(metric: &Metric) -> Vec<bool> {
    let valid =
        |exemplars: &[Exemplar]| exemplars.iter().all(|held| is_id(&held.trace_id, 16) && is_id(&held.span_id, 8));
    match &metric.data {
        None => Vec::new(),
        Some(Data::Gauge(data)) => data.data_points.iter().map(|point| valid(&point.exemplars)).collect(),
        Some(Data::Sum(data)) => data.data_points.iter().map(|point| valid(&point.exemplars)).collect(),
        Some(Data::Histogram(data)) => data.data_points.iter().map(|point| valid(&point.exemplars)).collect(),
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter().map(|point| valid(&point.exemplars)).collect()
        }
        Some(Data::Summary(data)) => data.data_points.iter().map(|_| true).collect(),
    }
}

fn edit(attributes: &mut Vec<KeyValue>, edits: &[Edit<'_>]) {
    let mut done: Vec<&str> = Vec::new();
    let before: Vec<String> = attributes.iter().map(|attribute| attribute.key.clone()).collect();
    for edit in edits {
        let has_key = before.iter().any(|key| key == edit.key);
        if done.contains(&edit.key) || (edit.existing == Existing::Keep && has_key) {
            continue;
        }
        attributes.retain(|attribute| attribute.key != edit.key);
        let value = Some(AnyValue { value: Some(Value::StringValue(edit.value.to_owned())) });
        attributes.push(KeyValue { key: edit.key.to_owned(), value, key_strindex: 0 });
        done.push(edit.key);
    }
}

/// The labels that a reader of decoded attributes would make.
fn labels(resource: Option<&Resource>) -> BTreeMap<String, String> {
    let attributes = resource.map(|resource| resource.attributes.as_slice()).unwrap_or_default();
    let all = attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        (attribute.key.clone(), value.map_or_else(String::new, |value| text(value, true)))
    });
    all.collect::<BTreeMap<_, _>>().into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn text(value: &Value, is_outermost: bool) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(flag) => flag.to_string(),
        Value::IntValue(number) => number.to_string(),
        // Its form is tested apart; here it only must be the same number.
        Value::DoubleValue(number) => number.to_bits().to_string(),
        Value::ArrayValue(array) if is_outermost => {
            let elements = array.values.iter().filter_map(|element| element.value.as_ref());
            let texts: Vec<String> =
                elements.map(|element| shown(text(element, false))).filter(|text| !text.is_empty()).collect();
            if texts.is_empty() { String::new() } else { format!("{LIST}{}", texts.join(LIST)) }
        }
        Value::ArrayValue(_) | Value::KvlistValue(_) | Value::BytesValue(_) | Value::StringValueStrindex(_) => {
            String::new()
        }
    }
}

/// Before each element of a list.
const LIST: &str = "\u{1e}";

/// An element in which nothing looks like the beginning of the next.
fn shown(element: String) -> String {
    element.replace(LIST, "\u{241e}")
}

/// A label of ours in the form of [`text`]: every double compares equal to its bits.
fn comparable(ours: &str, theirs: &str) -> bool {
    // Raw, because the numbers must be those that were written.
    if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(ours)
        && let Some(theirs) = theirs.strip_prefix(LIST)
    {
        let read = |element: &&RawValue| {
            shown(serde_json::from_str(element.get()).unwrap_or_else(|_| element.get().to_owned()))
        };
        let (ours, theirs): (Vec<String>, Vec<&str>) = (list.iter().map(read).collect(), theirs.split(LIST).collect());
        return ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| comparable(ours, theirs));
    }
    let bits = theirs.parse::<u64>().map(f64::from_bits);
    let same_double = bits.is_ok_and(|theirs| match ours {
        "NaN" => theirs.is_nan(),
        "Infinity" => theirs == f64::INFINITY,
        "-Infinity" => theirs == f64::NEG_INFINITY,
        number => number.parse::<f64>().is_ok_and(|ours| ours == theirs),
    });
    ours == theirs || same_double
}

/// Keeps what it is told.
#[derive(Default)]
struct Told(Vec<(usize, OwnedSpan)>);

type OwnedSpan = (i32, i32, u64, u64, Vec<u8>, Vec<u8>, Vec<u8>);

impl Watch for Told {
    fn span(&mut self, block: usize, span: &SeenSpan<'_>) {
        let ids = (span.trace_id.to_vec(), span.span_id.to_vec(), span.parent_id.to_vec());
        let told = (span.kind, span.status, span.start_unix_nano, span.end_unix_nano, ids.0, ids.1, ids.2);
        self.0.push((block, told));
    }
}

/// Asks both, and fails where they disagree. Gives the request with the edits spliced in, if it is one.
pub(super) fn compare(signal: Signal, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut told = Told::default();
    let ours = scan(signal, bytes, &mut told);
    let theirs = Request::decode(signal, bytes);
    if ours == Err(Malformed::TooManyResources) {
        return None;
    }
    let (scan, mut request) = match (ours, theirs) {
        (Err(_), Err(_)) => return None,
        (Ok(scan), Ok(request)) => (scan, request),
        (ours, theirs) => panic!(
            "we say {:?}, prost says {:?}, of {} {bytes:02x?}",
            ours.map(drop),
            theirs.map(drop),
            signal.as_str()
        ),
    };
    let spans = request.spans().into_iter().map(|(block, span)| {
        let status = span.status.as_ref().map_or(0, |status| status.code);
        let times = (span.start_time_unix_nano, span.end_time_unix_nano);
        let ids = (span.trace_id.clone(), span.span_id.clone(), span.parent_span_id.clone());
        (block, (span.kind, status, times.0, times.1, ids.0, ids.1, ids.2))
    });
    assert_eq!(told.0, spans.collect::<Vec<_>>());
    let counts = scan.blocks.iter().map(|block| (block.item_count, block.invalid_id_count, block.has_exceptions));
    assert_eq!(counts.collect::<Vec<_>>(), request.counts());
    for (block, resource) in scan.blocks.iter().zip(request.resources()) {
        let bytes = block.resource(bytes);
        let (ours, theirs) = (resource::labels(&bytes), labels(resource.as_ref()));
        assert!(ours.iter().map(|(name, _)| name).eq(theirs.keys()), "{ours:?} {theirs:?}");
        let mut values = ours.iter().zip(theirs.values());
        assert!(values.all(|((_, ours), theirs)| comparable(ours, theirs)), "{ours:?} {theirs:?}");
    }
    let spliced = splice(&Bytes::copy_from_slice(bytes), &scan);
    request.edit(&EDITS);
    let read = Request::decode(signal, &spliced).expect("a spliced request is a request");
    assert_eq!(read.encode(), request.encode(), "of {} {bytes:02x?}", signal.as_str());
    Some(spliced)
}

/// The whole request with the edits in every block.
pub(super) fn splice(body: &Bytes, scan: &Scan) -> Vec<u8> {
    let mut assembly = Assembly::new(body);
    let mut from = 0;
    for block in &scan.blocks {
        assembly.keep(from..block.field.start);
        assembly.block(block, &resource_of(block.resource(body)));
        from = block.field.end;
    }
    assembly.keep(from..body.len());
    let count = assembly.byte_count();
    let whole = assembly.finish().concat();
    assert_eq!(whole.len(), count);
    whole
}

fn resource_of(old: Cow<'_, [u8]>) -> NewResource {
    new_resource(&old, &EDITS).expect("the scan has accepted it")
}
