//! `tawny explain --source otlp`: a request of telemetry, decided by the daemon's own book and rules: what each Resource
//! is tagged with and why, where it goes, and which alerts are made of it. Never passes anything on.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::{Format, Through, near, one, show};
use crate::cli::say;
use crate::io::clock::Clock;
use crate::io::spans::book::{Book, SOURCE, Telling, origin};
use crate::io::spans::tally::Tally;
use crate::model::{Signal, SourceRef};
use crate::otlp::alerts::{self, Asked};
use crate::otlp::wire::{Block, Fields, scan};
use crate::otlp::{json, resource};
use crate::rules::{Records, RuleSet, Telemetry};
use crate::settings::Ready;

/// What tells the signal of a request: its address, or the one key of its JSON.
const SIGNALS: [(Signal, &str, &str); 3] = [
    (Signal::Traces, "/v1/traces", "resourceSpans"),
    (Signal::Logs, "/v1/logs", "resourceLogs"),
    (Signal::Metrics, "/v1/metrics", "resourceMetrics"),
];

pub(super) fn explain(
    body: &[u8],
    path: Option<&str>,
    format: Format,
    rules: RuleSet,
    ready: &Ready,
) -> anyhow::Result<()> {
    let signal = signal(body, path)?;
    let body = protobuf(signal, body, ready.telemetry.json)?;
    let scanned = scan(signal, &body, &mut ()).context("the request is not OTLP")?;
    let book = Book::new(Arc::new(rules), Arc::default());
    let asked = Asking { book: &book, ready, signal, body: &body };
    let mut found = alerts::Found::default();
    let blocks = scanned.blocks.iter();
    let resources: Vec<Value> = blocks.map(|block| asked.resource(block, &mut found)).collect::<anyhow::Result<_>>()?;
    let source = SourceRef { kind: Cow::Borrowed(SOURCE), instance: SOURCE.to_owned() };
    let through = Through { origin: origin(), source };
    let now = Clock::default().now();
    let made: Vec<Value> =
        found.alerts.into_iter().map(|alert| one(alert, &through, &book.rules, &ready.sinks, now)).collect();
    match format {
        Format::Json => {
            let all = json!({
                "rules": book.rules.revision(), "signal": signal.as_str(), "resources": resources, "alerts": made,
                "omitted_alerts": found.omitted_count,
            });
            say(&all.to_string());
        }
        Format::Human => {
            resources.iter().for_each(show::resource);
            made.iter().for_each(show::show);
        }
    }
    Ok(())
}

/// As the address says, else as JSON does. Requests of all signals look alike in protobuf.
fn signal(body: &[u8], path: Option<&str>) -> anyhow::Result<Signal> {
    if let Some(path) = path {
        let found = SIGNALS.iter().find(|(_, address, _)| path.trim_end_matches('/').ends_with(address));
        let Some((signal, ..)) = found else {
            bail!("`--path {path}` is not `/v1/traces`, `/v1/logs` or `/v1/metrics`")
        };
        return Ok(*signal);
    }
    let members: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    let snake = |key: &str| key.replace("resource", "resource_").to_lowercase();
    let has = |key: &str| members.as_ref().is_some_and(|held| held.contains_key(key) || held.contains_key(&snake(key)));
    let found = SIGNALS.iter().find(|(_, _, key)| has(key));
    let (signal, ..) =
        found.context("nothing in it says which signal it is: add `--path /v1/traces` (or logs, metrics)")?;
    Ok(*signal)
}

/// The bytes that the scan reads: JSON as the door turns it into protobuf, anything else as it is.
fn protobuf(signal: Signal, body: &[u8], mode: json::Mode) -> anyhow::Result<Vec<u8>> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Ok(body.to_vec());
    }
    match json::to_protobuf(signal, body, mode) {
        Ok(read) => Ok(read.protobuf),
        Err(fault) => bail!("the request is not OTLP/JSON: {fault}"),
    }
}

/// A request and what it is asked with.
struct Asking<'a> {
    book: &'a Book,
    ready: &'a Ready,
    signal: Signal,
    body: &'a [u8],
}

impl Asking<'_> {
    /// The daemon's answer for the Resource of a block, and the reasons; adds the alerts that are made of its records.
    fn resource(&self, block: &Block, found: &mut alerts::Found) -> anyhow::Result<Value> {
        let plan = &self.ready.telemetry;
        let telling = Telling { attributes: plan.attributes.clone(), existing: plan.existing };
        let message = block.resource(self.body);
        let tally = Tally::default();
        let silent = self.book.look_up(&message, &telling, &plan.routes, &tally)?;
        let spans = &self.body[block.payload.clone()];
        let (known, said) = match self.signal {
            Signal::Traces => (
                self.book.look_up_with_spans(&message, spans, &telling, &plan.routes, &tally)?,
                Book::said(&silent, spans),
            ),
            Signal::Logs | Signal::Metrics | Signal::Profiles => (silent, None),
        };
        let records = match self.signal {
            Signal::Traces => Some(Records::Spans),
            Signal::Logs => Some(Records::Logs),
            Signal::Metrics | Signal::Profiles => None,
        };
        let rules = records.and_then(|records| Some((self.book.rules.alerts_from(records)?, records)));
        if let Some((rules, records)) = rules {
            let asked = Asked { rules, records, kind: SOURCE, instance: SOURCE, tags: &known.tags };
            alerts::find(&self.body[block.payload.clone()], &message, &asked, found);
        }
        let labels = resource::labels(&message);
        let telemetry = Telemetry { resource: &labels, server_span: said.as_ref() };
        let why = self.book.rules.explain_resource(telemetry, origin(), &self.book.stamped);
        // Read from what the daemon splices in, because a setting may keep what a sender said.
        let spliced = Fields::new(&known.resource.field).flatten().find_map(|field| field.value.bytes());
        let left = resource::labels(spliced.unwrap_or_default());
        let is_new = |(name, value): &(&str, &str)| labels.get(name) != Some(value);
        let added: Map<String, Value> =
            left.iter().filter(is_new).map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let to: Vec<&str> = known.to.iter().filter_map(|sink| plan.sinks.get(sink).map(String::as_str)).collect();
        let disputed: Vec<&str> = known.disputed.iter().map(|disputed| disputed.identity.as_ref()).collect();
        Ok(json!({
            "item_count": block.item_count,
            "resource": labels,
            "tags": known.tags,
            "service_read": why.service,
            "votes": why.votes,
            "near_misses": near(&why.near_misses),
            "shadow": why.shadow,
            "disputed": disputed,
            "to": to,
            "added": added,
        }))
    }
}
