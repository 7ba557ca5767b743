//! Any receiver of OTLP, over HTTP or gRPC (opentelemetry.io/docs/specs/otlp). Tells nothing of incidents, and
//! never puts a secret anywhere but into a header.

pub(super) mod judge;
mod proto;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use super::telemetry::{self, Protocol, TelemetryPlan, TelemetrySink};
use super::{
    EncodeError, HttpAnswer, Judgement, Limits, Outgoing, Secrets, Sink, SinkKind, SinkSettings, headers, options,
    words,
};
use crate::model::{Notice, NoticeKind, Signal, Timestamp};

pub(super) struct Kind;

impl SinkKind for Kind {
    fn kind(&self) -> &'static str {
        "otlp"
    }

    fn about(&self) -> &'static str {
        "Sends telemetry on to any receiver of OTLP, over HTTP or gRPC."
    }

    fn build(&self, settings: SinkSettings) -> Result<Box<dyn Sink>, String> {
        let known = [&["protocol", "headers"][..], &telemetry::PLAN_KEYS].concat();
        options::check_keys(&settings, &known, &[])?;
        options::check_secrets(&settings, &[], &headers::secret_names(&settings))?;
        telemetry_of(&settings)?;
        Ok(Box::new(Silent))
    }

    fn telemetry(&self, settings: &SinkSettings) -> Option<Result<Box<dyn TelemetrySink>, String>> {
        Some(telemetry_of(settings).map(|sink| Box::new(sink) as Box<dyn TelemetrySink>))
    }
}

fn telemetry_of(settings: &SinkSettings) -> Result<Otlp, String> {
    let protocol = match options::choice(settings, "protocol", &["http", "grpc"])? {
        "grpc" => Protocol::Grpc,
        _ => Protocol::Http,
    };
    if settings.endpoint.is_none() {
        return Err("`endpoint` is missing: the address of the receiver, such as `http://127.0.0.1:4318`".to_owned());
    }
    let base = options::base_url(settings, "")?;
    if let Some(path) = Signal::ALL.iter().map(|signal| signal.http_path()).find(|path| base.ends_with(path)) {
        return Err(format!("`endpoint` must end before `{path}`: each signal adds its own path"));
    }
    let after_scheme = base.split_once("://").map_or("", |(_, rest)| rest);
    if protocol == Protocol::Grpc && after_scheme.contains('/') {
        return Err("`endpoint` must have no path where `protocol` is `grpc`".to_owned());
    }
    Ok(Otlp {
        base,
        headers: headers::of(settings, is_own)?,
        plan: telemetry::plan(settings, protocol)?,
        signals: telemetry::signals(settings, &Signal::ALL)?,
    })
}

/// Headers of the protocols themselves.
fn is_own(name: &str) -> bool {
    ["content-encoding", "te", "expect"].contains(&name) || name.starts_with("grpc-")
}

struct Otlp {
    base: String,
    headers: Vec<(String, headers::Value)>,
    plan: TelemetryPlan,
    signals: Vec<Signal>,
}

impl TelemetrySink for Otlp {
    fn plan(&self) -> &TelemetryPlan {
        &self.plan
    }

    fn accepts(&self, signal: Signal) -> bool {
        self.signals.contains(&signal)
    }

    fn url(&self, signal: Signal) -> String {
        match self.plan.protocol {
            Protocol::Http => format!("{}{}", self.base, signal.http_path()),
            Protocol::Grpc => format!("{}{}", self.base, signal.grpc_path()),
        }
    }

    fn headers(&self, _signal: Signal, secrets: &dyn Secrets) -> Result<Vec<(Cow<'static, str>, String)>, EncodeError> {
        let mut list = vec![("user-agent".into(), words::PRODUCT.to_owned())];
        headers::append(&mut list, &self.headers, secrets)?;
        Ok(list)
    }
}

/// What the alert road sees of it.
struct Silent;

impl Sink for Silent {
    fn kind(&self) -> &'static str {
        Kind.kind()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_count_max: 1,
            in_flight_max: 1,
            rate: None,
            deadline: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        }
    }

    fn says(&self, _kind: NoticeKind) -> bool {
        false
    }

    fn encode(&self, _notices: &[&Notice], _secrets: &dyn Secrets, _now: Timestamp) -> Result<Outgoing, EncodeError> {
        Ok(Outgoing::Nothing)
    }

    fn judge(&self, _answer: &HttpAnswer<'_>, notice_count: usize) -> Vec<Judgement> {
        vec![Judgement::Delivered; notice_count]
    }
}
