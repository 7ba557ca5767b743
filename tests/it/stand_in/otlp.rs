//! A backend of OTLP over HTTP: decodes each request with the official messages and keeps them. Never takes what
//! those messages cannot read.

use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;

use super::{Answer, Received, Role, lock};

#[derive(Default)]
pub struct Otlp {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    traces: Vec<ResourceSpans>,
    logs: Vec<ResourceLogs>,
    metrics: Vec<ResourceMetrics>,
    refused: Vec<String>,
    /// What every success says: so many rejected, and why.
    partial: Option<(i64, String)>,
    /// Before a request is looked at.
    delay: Duration,
}

impl Otlp {
    pub fn traces(&self) -> Vec<ResourceSpans> {
        lock(&self.state).traces.clone()
    }

    pub fn logs(&self) -> Vec<ResourceLogs> {
        lock(&self.state).logs.clone()
    }

    pub fn metrics(&self) -> Vec<ResourceMetrics> {
        lock(&self.state).metrics.clone()
    }

    /// All spans, each with its resource.
    pub fn spans(&self) -> Vec<(Resource, Span)> {
        let blocks = self.traces();
        let spans = blocks.into_iter().flat_map(|block| {
            let resource = block.resource.unwrap_or_default();
            let spans = block.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(move |span| (resource.clone(), span)).collect::<Vec<_>>()
        });
        spans.collect()
    }

    /// From now on every success is a partial one.
    pub fn answer_partly(&self, rejected: i64, message: &str) {
        lock(&self.state).partial = Some((rejected, message.to_owned()));
    }

    /// From now on every request takes so long.
    pub fn set_delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    pub fn refused(&self) -> Vec<String> {
        lock(&self.state).refused.clone()
    }
}

/// A text attribute.
pub fn attribute<'a>(resource: &'a Resource, key: &str) -> Option<&'a str> {
    let found = resource.attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text),
        _ => None,
    }
}

impl Role for Otlp {
    fn delay(&self) -> Duration {
        lock(&self.state).delay
    }

    fn receive(&self, request: &Received<'_>) -> Answer {
        let read = inflate(request).and_then(|body| {
            let mut state = lock(&self.state);
            let wrong = |cause: prost::DecodeError| cause.to_string();
            match request.path {
                "/v1/traces" => {
                    state.traces.extend(ExportTraceServiceRequest::decode(&*body).map_err(wrong)?.resource_spans)
                }
                "/v1/logs" => state.logs.extend(ExportLogsServiceRequest::decode(&*body).map_err(wrong)?.resource_logs),
                "/v1/metrics" => {
                    state.metrics.extend(ExportMetricsServiceRequest::decode(&*body).map_err(wrong)?.resource_metrics);
                }
                // Not compiled in: kept as an exchange only.
                "/v1development/profiles" => {}
                other => return Err(format!("no such address: {other}")),
            }
            Ok(())
        });
        match read {
            Ok(()) => {
                // Short enough that every length and number is ASCII.
                let body = lock(&self.state).partial.clone().map(|(rejected_spans, error_message)| {
                    let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
                    ExportTraceServiceResponse { partial_success }.encode_to_vec()
                });
                let body = String::from_utf8(body.unwrap_or_default()).expect("a short message is ASCII");
                let mut answer = Answer::new(200, body);
                answer.headers.push(("content-type", "application/x-protobuf".to_owned()));
                answer
            }
            Err(reason) => {
                lock(&self.state).refused.push(reason.clone());
                Answer::new(400, reason)
            }
        }
    }
}

fn inflate(request: &Received<'_>) -> Result<Vec<u8>, String> {
    if request.header("content-type") != Some("application/x-protobuf") {
        return Err("content type".to_owned());
    }
    match request.header("content-encoding") {
        None => Ok(request.body.to_vec()),
        Some("gzip") => {
            let mut body = Vec::new();
            flate2::read::GzDecoder::new(request.body).read_to_end(&mut body).map_err(|cause| cause.to_string())?;
            Ok(body)
        }
        Some("zstd") => zstd::stream::decode_all(request.body).map_err(|cause| cause.to_string()),
        Some(other) => Err(format!("content encoding {other}")),
    }
}
