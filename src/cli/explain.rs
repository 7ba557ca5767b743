//! `tawny explain`: one payload through the real pipeline, with no side effect: what each alert becomes, which
//! rule and line set each tag, and the exact requests that would leave, secrets masked.

mod show;
mod telemetry;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::payload::{Payload, decode, instance, keep_identities, recorded};
use super::{Common, say};
use crate::app;
use crate::incidents::{Event, Facts, Heard, step};
use crate::io::clock::Clock;
use crate::io::spans::book;
use crate::model::{Alert, Notice, NoticeKind, Secret, SourceRef, Timestamp};
use crate::rules::{Explanation, NearMiss, Origin, RuleSet};
use crate::settings::{self, Flags, SecretsPolicy, SinkPlan};
use crate::sinks::{Outgoing, Secrets};
use crate::store::{RecordRow, sqlite};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny explain alert.json --source alertmanager\n  curl -s … | tawny explain - --source json --format json\n  tawny explain spans.json --source otlp\n  tawny explain logs.pb --source otlp --path /v1/logs\n  tawny explain --record last --store sqlite:data/tawny.db\n\nA record is named by its number, by `last`, or by an incident key or alert identity: then it is the newest that\nmentions it. It is decided on again, by the rules of today.\n\nExit codes: 0 explained, 1 a fault in what was given, 2 wrong usage."
)]
pub(super) struct ExplainArgs {
    /// The payload; `-` or nothing reads standard input
    #[arg(default_value = "-", conflicts_with = "record")]
    file: PathBuf,
    /// Kind of the sender, or the name of a source in the settings; `otlp` for a request of telemetry
    #[arg(long, value_name = "KIND", required_unless_present = "record")]
    source: Option<String>,
    /// Path behind the source's address, where a kind has several [default: the first that can read the payload]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Explains a recorded request: its number, `last`, an incident key or an alert's identity
    #[arg(long, value_name = "ID")]
    record: Option<String>,
    /// The store that holds the record [default: `store` of the settings]
    #[arg(long, value_name = "URL", requires = "record")]
    store: Option<String>,
    #[command(flatten)]
    common: Common,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub(super) fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let flags = Flags {
        config: args.common.config.clone(),
        rules: args.common.rules.clone(),
        store: args.store.clone(),
        ..Flags::default()
    };
    let loaded = settings::load(&flags)?;
    let mut rules = super::rules::compile(loaded.settings.rules.as_deref())?;
    let ready = settings::resolve(&loaded, SecretsPolicy::Ignored)?;
    let names: Vec<Arc<str>> = ready.sinks.iter().map(|plan| plan.name.clone()).collect();
    app::bind_sinks(&mut rules, &names)?;
    if args.record.is_none() && args.source.as_deref() == Some(book::SOURCE) {
        return telemetry::explain(&read(&args.file)?, args.path.as_deref(), args.format, rules, &ready);
    }
    let (payload, record) = question(args, &ready.store)?;
    let instance = instance(&ready, &payload)?;
    let mut batch = decode(instance, &payload, args.path.as_deref())?;
    if let Some(record) = &record {
        keep_identities(&mut batch, &recorded(record));
    }
    let through = Through { origin: instance.origin(), source: instance.source_ref() };
    let alerts = batch.alerts.into_iter();
    let explained: Vec<Value> =
        alerts.map(|alert| one(alert, &through, &rules, &ready.sinks, payload.received_at)).collect();
    let rejects: Vec<Value> =
        batch.rejects.iter().map(|reject| json!({ "position": reject.position, "reason": reject.reason })).collect();
    match args.format {
        Format::Json => {
            let mut all = json!({ "rules": rules.revision(), "alerts": explained, "rejects": rejects });
            if let Some(record) = &record {
                all["record"] = recorded(record);
            }
            say(&all.to_string());
        }
        Format::Human => {
            if let Some(record) = &record {
                let then = recorded(record);
                let (id, at) = (record.id, &record.received_at);
                let rules_then = show::text(&then["decisions"]["rules"]);
                say(&format!("record {id} of {at} through `{}`, then decided by rules {rules_then}\n", record.source));
            }
            explained.iter().for_each(show::show);
            for reject in &rejects {
                say(&format!("alert {}  REJECTED  {}\n", reject["position"], show::text(&reject["reason"])));
            }
        }
    }
    if explained.is_empty() && !rejects.is_empty() {
        bail!("nothing in the payload could be used");
    }
    Ok(())
}

fn question(args: &ExplainArgs, store: &str) -> anyhow::Result<(Payload, Option<RecordRow>)> {
    let Some(wanted) = &args.record else {
        let source = args.source.clone().context("`--source` says who reads the payload")?;
        let received_at = Clock::default().now();
        return Ok((Payload { body: read(&args.file)?, received_at, source, kind: None }, None));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let record = runtime.block_on(find_record(store, wanted))?;
    let mut payload = Payload::of_record(&record)?;
    payload.source = args.source.clone().unwrap_or(payload.source);
    Ok((payload, Some(record)))
}

/// By number, or the newest that mentions what is wanted.
async fn find_record(store: &str, wanted: &str) -> anyhow::Result<RecordRow> {
    /// Records looked through for a key: those of the last hours of a busy daemon.
    const LOOKED_AT_MAX: usize = 100_000;
    const PAGE: u32 = 500;
    let reader = sqlite::open_to_read(store).await?;
    let (mut before, only) = match wanted.parse::<i64>() {
        Ok(number) => (number.saturating_add(1), Some(number)),
        Err(_) => (i64::MAX, None),
    };
    let mut seen_count = 0;
    loop {
        let page = reader.records(before, if only.is_some() { 1 } else { PAGE }).await?;
        let Some(last) = page.last() else { break };
        before = last.id;
        seen_count += page.len();
        let is_meant = |record: &RecordRow| match only {
            Some(number) => record.id == number,
            None => wanted == "last" || record.decisions.contains(&format!("\"{wanted}\"")),
        };
        if let Some(record) = page.into_iter().find(is_meant) {
            return Ok(record);
        }
        if only.is_some() || seen_count >= LOOKED_AT_MAX {
            break;
        }
    }
    bail!("{store} holds no record `{wanted}` ({seen_count} looked at)")
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body)?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| file.display().to_string())
}

/// The source that an alert came through.
struct Through<'a> {
    origin: Origin<'a>,
    source: SourceRef,
}

fn one(alert: Alert<'_>, through: &Through<'_>, rules: &RuleSet, sinks: &[SinkPlan], received_at: Timestamp) -> Value {
    let explanation = rules.explain(&alert, through.origin);
    let mut explained = in_json(&explanation);
    let decision = explanation.decision;
    let severity = decision.severity;
    let heard = Heard::new(alert, through.source.clone(), received_at, decision, rules.revision().clone());
    let about = json!({
        "name": heard.alert.name,
        "title": heard.alert.title,
        "identity": heard.alert.identity,
        "state": heard.alert.state,
        "severity": severity,
        "starts_at": heard.alert.starts_at.map(|at| at.to_string()),
        "tags": heard.tags,
        "incident": heard.key,
        "route": {
            "by": heard.route.by, "also": heard.route.also, "limit": heard.route.limit, "sinks": heard.route.sinks, "hold_s": heard.route.hold.as_secs_f64(),
            "update_s": heard.route.update.as_secs_f64(), "remind_s": heard.route.remind.as_secs_f64(),
        },
    });
    if let (Value::Object(explained), Value::Object(about)) = (&mut explained, about) {
        explained.extend(about);
    }
    // As a first message of its own: a hold is shown as if it were over.
    let hold = heard.route.hold;
    let route = heard.route.clone();
    let first = step(None, Event::Heard { heard: Box::new(heard), member: None }, &Facts::default(), received_at);
    let quiet = first.incident.as_ref().and_then(|incident| rules.quiet(incident, received_at));
    explained["quiet"] = json!(quiet);
    let mut notices = first.notices;
    if let (true, Some(incident)) = (notices.is_empty() && !hold.is_zero(), first.incident) {
        let after = received_at.plus(hold);
        let event = Event::Tick { due: Vec::new(), next_expiry: Timestamp::MAX, listening_since: received_at };
        notices = step(Some(incident), event, &Facts::default(), after).notices;
    }
    explained["outcome"] = json!(first.outcome);
    // An event belongs to no incident of its service: it has a key of its own.
    if let Some(event) = notices.iter().find(|notice| notice.kind == NoticeKind::Event) {
        explained["incident"] = json!(event.incident.key);
        explained["key_parts"] = json!([{ "name": "event", "value": event.incident.lead.identity }]);
    }
    let leaving = notices.iter().flat_map(|notice| {
        let chosen = sinks.iter().filter(|plan| route.sinks.contains(&plan.name));
        chosen.map(move |plan| leaving(plan, notice, received_at))
    });
    explained["requests"] = leaving.collect();
    explained
}

/// The reasons. What the rules explain besides the parts that are named here is passed on as it is.
fn in_json(explanation: &Explanation) -> Value {
    let mut further = serde_json::to_value(explanation).expect("an explanation is plain data");
    if let Some(further) = further.as_object_mut() {
        for named in ["decision", "key_parts", "service", "votes", "near_misses", "shadow"] {
            further.remove(named);
        }
        further.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty()));
    }
    json!({
        "key_parts": explanation.key_parts,
        "service_read": explanation.service,
        "votes": explanation.votes,
        "near_misses": near(&explanation.near_misses),
        "shadow": explanation.shadow,
        "further": further,
    })
}

fn near(misses: &[NearMiss]) -> Value {
    let one = |miss: &NearMiss| {
        let would_set: Vec<&str> = miss.would_set.iter().map(|name| name.as_str()).collect();
        json!({ "rule": miss.rule, "condition": miss.condition, "seen": miss.seen, "would_set": would_set })
    };
    misses.iter().map(one).collect()
}

/// Secrets that look like the real ones but are none, so that a request can be shown.
struct Masked;

impl Secrets for Masked {
    fn get(&self, name: &str) -> Option<Secret> {
        Some(Secret::new(match name {
            "dsn" => "https://masked@sentry.invalid/1",
            "routing_key" => "maskedmaskedmaskedmaskedmaskedma",
            "secret" | "secret_previous" => "whsec_bWFza2VkbWFza2VkbWFza2VkbWFza2VkbWFza2Vk",
            "url" => "https://masked.invalid/",
            _ => "masked",
        }))
    }
}

fn leaving(plan: &SinkPlan, notice: &Notice, now: Timestamp) -> Value {
    let sink = plan.name.as_ref();
    match plan.sink.encode(&[notice], &Masked, now) {
        Ok(Outgoing::Http(request)) => {
            let headers: serde_json::Map<String, Value> =
                request.headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
            let body = String::from_utf8_lossy(&request.body).into_owned();
            json!({ "sink": sink, "method": "POST", "url": request.url, "headers": headers, "body": body })
        }
        Ok(Outgoing::Print(text)) => json!({ "sink": sink, "print": text }),
        Ok(Outgoing::Nothing) => json!({ "sink": sink, "nothing": true }),
        Err(cause) => json!({ "sink": sink, "error": cause.to_string() }),
    }
}
