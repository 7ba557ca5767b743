//! Our own logs and metrics. Every metric name stands in one table, with its unit and one sentence; label
//! values come from closed sets or from the settings, never from input.

mod outlets;

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

pub use outlets::{OutletAnswer, OutletOutcome, OutletTally, SpoolTally};

/// `(name as scraped, unit, what it counts)`. The reference in the docs is checked against this.
pub const METRICS: &[(&str, &str, &str)] = &[
    ("tawny_alerts_total", "alerts", "Accepted alerts by source and outcome."),
    ("tawny_requests_total", "requests", "Requests of senders by source and status."),
    ("tawny_rejects_total", "rejects", "Requests or single alerts that could not be used, by source."),
    ("tawny_notices_total", "notices", "What incidents said, by kind and reason."),
    ("tawny_deliveries_total", "deliveries", "Settled deliveries by sink and outcome."),
    ("tawny_exceptions_total", "exceptions", "Exceptions found in telemetry by sink and outcome."),
    ("tawny_attempts_total", "attempts", "Requests to sinks by sink and what the answer meant."),
    ("tawny_telemetry_requests_total", "requests", "Requests of telemetry senders by signal, transport and outcome."),
    ("tawny_commit_seconds", "seconds", "Time of a transaction, from the first load to the commit."),
    ("tawny_commit_alerts", "alerts", "Alerts that shared a transaction."),
    ("tawny_delivery_seconds", "seconds", "From the commit of a notice to its delivery, by sink."),
    ("tawny_incidents_open", "incidents", "Incidents that are held or open now."),
    ("tawny_alerts_firing", "alerts", "Alerts that fire now."),
    ("tawny_deliveries_pending", "deliveries", "Deliveries that wait, are under way or are retried."),
    ("tawny_deliveries_dead", "deliveries", "Dead letters that nobody has replayed yet."),
    ("tawny_store_bytes", "bytes", "Size of the store, free pages not counted."),
    ("tawny_sink_paused", "boolean", "1 while a sink's credential is throttled or blocked."),
    ("tawny_rules_expired", "rules", "Rules in force whose date was over when they went live."),
    ("tawny_rules_info", "boolean", "Always 1; the label is the revision of the rules in force."),
    ("tawny_rules_loads", "loads", "Rule sets that were read since the start, by whether they went live."),
    ("tawny_rules_shadow_changes", "tags", "Tags that a rule in the shadow stage would have set otherwise, by rule."),
    ("tawny_rules_since_seconds", "seconds", "When the rules in force went live, since 1970."),
    ("tawny_rules_stale", "boolean", "1 while the rules in the folder are refused and older ones are in force."),
    ("tawny_telemetry_items_total", "items", "Spans, log records and data points by signal and what became of them."),
    (
        "tawny_telemetry_invalid_ids_total",
        "items",
        "Items with a trace or span id of a wrong length, their own or that of a link or exemplar, passed on as they are.",
    ),
    (
        "tawny_telemetry_repairs_total",
        "repairs",
        "Known mistakes of senders that were mended, in requests that were taken, by kind.",
    ),
    (
        "tawny_telemetry_alerts_omitted_total",
        "records",
        "Log records and spans beyond the 256 alerts that one request may make.",
    ),
    ("tawny_platform_items_total", "items", "Items by the platform they ran on and how sure that is."),
    ("tawny_entry_spans_total", "spans", "Server and consumer spans by platform and outcome."),
    ("tawny_unknown_cells_total", "resources", "Resources that name a cell which no registry has, by that name."),
    ("tawny_outlet_accepted_total", "items", "Spans, log records and data points that the queue of a sink took."),
    ("tawny_outlet_settled_total", "items", "What became of them, by sink and outcome."),
    ("tawny_outlet_no_room_total", "items", "Items that a full queue did not take, by sink."),
    ("tawny_outlet_requests_total", "requests", "Requests of telemetry by sink and what the answer meant."),
    ("tawny_outlet_open", "items", "Items that wait for a sink or are under way to it."),
    ("tawny_outlet_open_bytes", "bytes", "Their size, inflated."),
    ("tawny_spool_bytes", "bytes", "Size of the spool's files."),
    ("tawny_spool_open", "deliveries", "Requests in the spool that a sink has not settled, counted once per sink."),
    ("tawny_spool_not_now_total", "requests", "Requests that the spool could not take: no room, or a failing disk."),
    ("tawny_spool_damaged_total", "segments", "Segments of the spool in which bytes had changed."),
    ("alertmanager_build_info", "boolean", "Always 1; karma reads the version of the API from it."),
];

/// The instruments that count as things happen; gauges are read when somebody scrapes.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    // Instruments stop when their provider is dropped.
    provider: SdkMeterProvider,
    alerts: Counter<u64>,
    requests: Counter<u64>,
    rejects: Counter<u64>,
    notices: Counter<u64>,
    deliveries: Counter<u64>,
    exceptions: Counter<u64>,
    attempts: Counter<u64>,
    commit_seconds: Histogram<f64>,
    commit_alerts: Histogram<f64>,
    delivery_seconds: Histogram<f64>,
    outlets: Outlets,
    spool: Arc<SpoolTally>,
}

/// Sinks of telemetry count for themselves and are read when somebody scrapes: they settle thousands a second.
type Outlets = Arc<Mutex<Vec<(Arc<str>, Arc<OutletTally>)>>>;

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
        let (outlets, spool) = (Outlets::default(), Arc::<SpoolTally>::default());
        outlets::observe(&meter, &outlets);
        outlets::observe_spool(&meter, &spool);
        Metrics {
            alerts: counter("tawny_alerts"),
            requests: counter("tawny_requests"),
            rejects: counter("tawny_rejects"),
            notices: counter("tawny_notices"),
            deliveries: counter("tawny_deliveries"),
            exceptions: counter("tawny_exceptions"),
            attempts: counter("tawny_attempts"),
            commit_seconds: seconds("tawny_commit_seconds"),
            commit_alerts: meter
                .f64_histogram("tawny_commit_alerts")
                .with_description(about("tawny_commit_alerts"))
                .with_boundaries(vec![1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0])
                .build(),
            delivery_seconds: seconds("tawny_delivery_seconds"),
            outlets,
            spool,
            registry,
            provider,
        }
    }
}

impl Metrics {
    /// Where a sink of telemetry counts.
    pub fn outlet(&self, sink: &Arc<str>) -> Arc<OutletTally> {
        let tally = Arc::<OutletTally>::default();
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner).push((sink.clone(), tally.clone()));
        tally
    }

    /// Where the spool counts.
    pub fn spool(&self) -> Arc<SpoolTally> {
        self.spool.clone()
    }

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

    pub fn deliveries(&self, sink: &Arc<str>, outcome: &'static str, count: u64) {
        self.deliveries.add(count, &[KeyValue::new("sink", sink.clone()), KeyValue::new("outcome", outcome)]);
    }

    pub fn delivery_seconds(&self, sink: &Arc<str>, seconds: f64) {
        self.delivery_seconds.record(seconds, &[KeyValue::new("sink", sink.clone())]);
    }

    pub fn exceptions(&self, sink: &Arc<str>, outcome: &'static str, count: u64) {
        if count > 0 {
            self.exceptions.add(count, &[KeyValue::new("sink", sink.clone()), KeyValue::new("outcome", outcome)]);
        }
    }

    pub fn attempt(&self, sink: &Arc<str>, meaning: &'static str) {
        self.attempts(sink, meaning, 1);
    }

    pub fn attempts(&self, sink: &Arc<str>, meaning: &'static str, count: u64) {
        self.attempts.add(count, &[KeyValue::new("sink", sink.clone()), KeyValue::new("meaning", meaning)]);
    }

    /// Lets the telemetry doors be read at each scrape; they count by themselves, because an instrument costs more
    /// than the rest of a small request. `read` gives signal, transport, outcome and how often.
    pub fn telemetry_requests(&self, read: impl Fn() -> Vec<([&'static str; 3], u64)> + Send + Sync + 'static) {
        let meter = self.provider.meter("tawny");
        // The provider keeps the callback; the instrument is only its name.
        let _ = meter
            .u64_observable_counter("tawny_telemetry_requests")
            .with_description(about("tawny_telemetry_requests_total"))
            .with_callback(move |observer| {
                for ([signal, transport, outcome], count) in read() {
                    let signal = KeyValue::new("signal", signal);
                    let labels = [signal, KeyValue::new("transport", transport), KeyValue::new("outcome", outcome)];
                    observer.observe(count, &labels);
                }
            })
            .build();
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
                let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
                text.push_str(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", about(name)));
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

/// What a filter is put behind. Of odd frames h2 warns frame by frame, and whoever reaches a door could write our log with
/// them, token or none; a filter that names `h2` says otherwise.
const QUIET: &str = "h2=error";

/// Starts logging to standard error. `filter` has the form of tracing's `EnvFilter`: `info`, `tawny=debug`.
pub fn start_logging(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{QUIET},{filter}"))
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
