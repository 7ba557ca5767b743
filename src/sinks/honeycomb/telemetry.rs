//! Honeycomb's side for telemetry: OTLP over HTTP with its headers (docs.honeycomb.io/send-data/opentelemetry).
//! Never names a dataset where Honeycomb takes it from `service.name`, unless somebody asked for it.

use std::borrow::Cow;

use super::{base_url, key_of};
use crate::model::Signal;
use crate::sinks::telemetry::{self, Protocol, TelemetryPlan, TelemetrySink};
use crate::sinks::{EncodeError, Secrets, SinkSettings, options, words};

pub(super) const DATASET_KEY: &str = "telemetry_dataset";
/// Classic refuses traces and metrics that name none.
const DATASET_OF_CLASSIC: &str = "tawny-telemetry";

pub(super) fn of(settings: &SinkSettings) -> Result<Telemetry, String> {
    let dataset = options::text(settings, DATASET_KEY)?.map(|text| text.trim().to_owned());
    let is_header = |text: &String| !text.is_empty() && text.chars().all(|c| (' '..='~').contains(&c));
    if dataset.as_ref().is_some_and(|dataset| !is_header(dataset)) {
        return Err(format!("`{DATASET_KEY}` must be a name of ASCII characters"));
    }
    Ok(Telemetry {
        base: base_url(settings)?,
        dataset,
        plan: telemetry::plan(settings, Protocol::Http)?,
        signals: telemetry::signals(settings, &TAKEN)?,
    })
}

/// There is no address for profiles.
const TAKEN: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

pub(super) struct Telemetry {
    base: String,
    dataset: Option<String>,
    plan: TelemetryPlan,
    signals: Vec<Signal>,
}

impl TelemetrySink for Telemetry {
    fn plan(&self) -> &TelemetryPlan {
        &self.plan
    }

    fn accepts(&self, signal: Signal) -> bool {
        self.signals.contains(&signal)
    }

    fn url(&self, signal: Signal) -> String {
        format!("{}{}", self.base, signal.http_path())
    }

    fn headers(&self, _signal: Signal, secrets: &dyn Secrets) -> Result<Vec<(Cow<'static, str>, String)>, EncodeError> {
        let key = key_of(secrets)?;
        let classic = is_classic(key.reveal()).then_some(DATASET_OF_CLASSIC);
        let mut list = vec![
            ("user-agent".into(), words::PRODUCT.to_owned()),
            ("x-honeycomb-team".into(), key.reveal().to_owned()),
        ];
        if let Some(dataset) = self.dataset.as_deref().or(classic) {
            list.push(("x-honeycomb-dataset".into(), dataset.to_owned()));
        }
        Ok(list)
    }
}

/// The form of a key says which product it belongs to (honeycombio/husky, otlp/common.go, `IsClassicApiKey`).
fn is_classic(key: &str) -> bool {
    let is_lower_or_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    match key.len() {
        32 => key.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)),
        64 => {
            let bytes = key.as_bytes();
            let is_prefix = bytes.starts_with(b"hc") && bytes[2].is_ascii_lowercase() && &bytes[3..6] == b"ic_";
            is_prefix && bytes[6..].iter().all(|byte| is_lower_or_digit(*byte))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::testkit::{Held, settings};
    use super::super::Kind;
    use super::*;
    use crate::sinks::SinkKind;

    const CLASSIC: Held = Held(&[("api_key", "0123456789abcdef0123456789abcdef")]);
    const CLASSIC_INGEST: Held =
        Held(&[("api_key", "hcaic_0123456789012345678901234567890123456789012345678901234567")]);
    const ENVIRONMENT: Held = Held(&[("api_key", "hcaik_0123456789012345678901234567890123456789012345678901234567")]);

    fn dataset(options: serde_json::Value, secrets: &Held) -> Option<String> {
        let sink = Kind.telemetry(&settings(options, &["api_key"])).unwrap().unwrap();
        let headers = sink.headers(Signal::Traces, secrets).unwrap();
        assert!(headers.iter().any(|(name, value)| name == "x-honeycomb-team" && value.len() >= 32));
        headers.into_iter().find(|(name, _)| name == "x-honeycomb-dataset").map(|(_, dataset)| dataset)
    }

    #[test]
    fn only_classic_keys_name_a_dataset_unless_one_is_set() {
        assert_eq!(dataset(json!({}), &ENVIRONMENT), None);
        assert_eq!(dataset(json!({}), &CLASSIC).as_deref(), Some("tawny-telemetry"));
        assert_eq!(dataset(json!({}), &CLASSIC_INGEST).as_deref(), Some("tawny-telemetry"));
        for secrets in [&ENVIRONMENT, &CLASSIC] {
            assert_eq!(dataset(json!({"telemetry_dataset": " spans "}), secrets).as_deref(), Some("spans"));
        }
    }

    #[test]
    fn requests_go_to_the_region_and_profiles_nowhere() {
        let sink = |options| Kind.telemetry(&settings(options, &["api_key"])).unwrap();
        let eu = sink(json!({"region": "eu", "compression": "zstd"})).unwrap();
        assert_eq!(eu.url(Signal::Traces), "https://api.eu1.honeycomb.io/v1/traces");
        assert!(eu.accepts(Signal::Logs) && !eu.accepts(Signal::Profiles));
        let some = sink(json!({"signals": ["traces"]})).unwrap();
        assert!(some.accepts(Signal::Traces) && !some.accepts(Signal::Metrics));
        let fault = sink(json!({"signals": ["traces", "profiles"]})).err().unwrap();
        assert_eq!(fault, "`signals` names `profiles` (known: `traces`, `logs`, `metrics`)");
        let fault = sink(json!({"telemetry_dataset": "käse"})).err().unwrap();
        assert!(fault.starts_with("`telemetry_dataset`"), "{fault}");
    }

    #[test]
    fn a_key_that_no_header_can_hold_is_named_and_not_shown() {
        let sink = Kind.telemetry(&settings(json!({}), &["api_key"])).unwrap().unwrap();
        let fault = sink.headers(Signal::Traces, &Held(&[("api_key", "se\ncret")])).unwrap_err();
        assert_eq!(fault.to_string(), "secret `api_key`: not a Honeycomb key");
    }
}
