//! Our own logs and metrics. Every metric name stands in one table, with its unit and one sentence; label
//! values come from closed sets or from the settings, never from input.

use std::io::IsTerminal;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

/// `(name as scraped, unit, what it counts)`. The reference in the docs is checked against this.
pub const METRICS: &[(&str, &str, &str)] = &[
    ("tawny_alerts_total", "alerts", "Accepted alerts by source and outcome."),
    ("tawny_requests_total", "requests", "Requests of senders by source and status."),
    ("tawny_rejects_total", "rejects", "Requests or single alerts that could not be used, by source."),
    ("tawny_notices_total", "notices", "What incidents said, by kind and reason."),
    ("tawny_deliveries_total", "deliveries", "Settled deliveries by sink and outcome."),
    ("tawny_attempts_total", "attempts", "Requests to sinks by sink and what the answer meant."),
    ("tawny_commit_seconds", "seconds", "Time of a transaction, from the first load to the commit."),
    ("tawny_commit_alerts", "alerts", "Alerts that shared a transaction."),
    ("tawny_delivery_seconds", "seconds", "From the commit of a notice to its delivery, by sink."),
    ("tawny_incidents_open", "incidents", "Incidents that are held or open now."),
    ("tawny_alerts_firing", "alerts", "Alerts that fire now."),
    ("tawny_deliveries_pending", "deliveries", "Deliveries that wait, are under way or are retried."),
    ("tawny_deliveries_dead", "deliveries", "Dead letters that nobody has replayed yet."),
    ("tawny_store_bytes", "bytes", "Size of the store, free pages not counted."),
    ("tawny_sink_paused", "boolean", "1 while a sink's credential is throttled or blocked."),
    ("tawny_rules_info", "boolean", "Always 1; the label is the revision of the rules in force."),
    ("tawny_rules_loads", "loads", "Rule sets that were read since the start, by whether they went live."),
    ("tawny_rules_since_seconds", "seconds", "When the rules in force went live, since 1970."),
    ("tawny_rules_stale", "boolean", "1 while the rules in the folder are refused and older ones are in force."),
    ("alertmanager_build_info", "boolean", "Always 1; karma reads the version of the API from it."),
];

/// The instruments that count as things happen; gauges are read when somebody scrapes.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    // Instruments stop when their provider is dropped.
    _provider: SdkMeterProvider,
    alerts: Counter<u64>,
    requests: Counter<u64>,
    rejects: Counter<u64>,
    notices: Counter<u64>,
    deliveries: Counter<u64>,
    attempts: Counter<u64>,
    commit_seconds: Histogram<f64>,
    commit_alerts: Histogram<f64>,
    delivery_seconds: Histogram<f64>,
}

fn about(name: &str) -> &'static str {
    METRICS.iter().find(|(known, _, _)| *known == name).map_or("", |(_, _, about)| about)
}

impl Default for Metrics {
    fn default() -> Metrics {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .expect("a fresh registry holds no collector of that name");
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter = provider.meter("tawny");
        let counter = |name: &'static str| {
            let scraped = format!("{name}_total");
            meter.u64_counter(name).with_description(about(&scraped)).build()
        };
        let seconds = |name: &'static str| {
            meter
                .f64_histogram(name)
                .with_description(about(name))
                .with_boundaries(vec![0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0])
                .build()
        };
        Metrics {
            alerts: counter("tawny_alerts"),
            requests: counter("tawny_requests"),
            rejects: counter("tawny_rejects"),
            notices: counter("tawny_notices"),
            deliveries: counter("tawny_deliveries"),
            attempts: counter("tawny_attempts"),
            commit_seconds: seconds("tawny_commit_seconds"),
            commit_alerts: meter
                .f64_histogram("tawny_commit_alerts")
                .with_description(about("tawny_commit_alerts"))
                .with_boundaries(vec![1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0])
                .build(),
            delivery_seconds: seconds("tawny_delivery_seconds"),
            registry,
            _provider: provider,
        }
    }
}

impl Metrics {
    pub fn alerts(&self, source: &str, outcome: &'static str, count: u64) {
        if count > 0 {
            self.alerts.add(count, &[KeyValue::new("source", source.to_owned()), KeyValue::new("outcome", outcome)]);
        }
    }

    pub fn request(&self, source: &str, status: u16) {
        self.requests.add(1, &[KeyValue::new("source", source.to_owned()), KeyValue::new("status", i64::from(status))]);
    }

    pub fn rejects(&self, source: &str, count: u64) {
        if count > 0 {
            self.rejects.add(count, &[KeyValue::new("source", source.to_owned())]);
        }
    }

    pub fn notices(&self, kind: &'static str, reason: &'static str, count: u64) {
        self.notices.add(count, &[KeyValue::new("kind", kind), KeyValue::new("reason", reason)]);
    }

    pub fn delivery(&self, sink: &Arc<str>, outcome: &'static str, seconds: f64) {
        self.deliveries.add(1, &[KeyValue::new("sink", sink.clone()), KeyValue::new("outcome", outcome)]);
        self.delivery_seconds.record(seconds, &[KeyValue::new("sink", sink.clone())]);
    }

    pub fn attempt(&self, sink: &Arc<str>, meaning: &'static str) {
        self.attempts.add(1, &[KeyValue::new("sink", sink.clone()), KeyValue::new("meaning", meaning)]);
    }

    pub fn commit(&self, seconds: f64, alert_count: usize) {
        self.commit_seconds.record(seconds, &[]);
        #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 alerts")]
        self.commit_alerts.record(alert_count as f64, &[]);
    }

    /// Everything counted so far, then `gauges` (`name`, labels in braces or empty, value).
    pub fn render(&self, gauges: &[(&str, String, f64)]) -> String {
        let mut text = Vec::new();
        // The encoder fails only when its writer does, and a vector does not.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        let mut text = String::from_utf8(text).unwrap_or_default();
        let mut last = "";
        for (name, labels, value) in gauges {
            if *name != last {
                text.push_str(&format!("# HELP {name} {}\n# TYPE {name} gauge\n", about(name)));
                last = name;
            }
            text.push_str(&format!("{name}{labels} {value}\n"));
        }
        text
    }
}

/// How our own log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    Auto,
    Human,
    Json,
}

/// Starts logging to standard error. `filter` has the form of tracing's `EnvFilter`: `info`, `tawny=debug`.
pub fn start_logging(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|cause| anyhow::anyhow!("log filter `{filter}`: {cause}"))?;
    let human = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if human {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
    Ok(())
}
