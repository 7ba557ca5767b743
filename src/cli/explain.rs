//! `tawny explain`: one payload through the real pipeline, with no side effect: what each alert becomes, which
//! rule and line set each tag, and the exact requests that would leave, secrets masked.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{Common, say};
use crate::incidents::{Event, Heard, step};
use crate::io::clock::Clock;
use crate::io::instance::Instance;
use crate::model::{Alert, Notice, Secret, SourceRef, Timestamp};
use crate::rules::{Explanation, Origin, RuleSet};
use crate::settings::{self, Flags, Ready, SecretsPolicy, SinkPlan};
use crate::sinks::{Outgoing, Secrets};
use crate::sources::{Request, source_of_kind};

/// Longest part of a request that is shown to people.
const SHOWN_CHARS_MAX: usize = 4000;
/// Near misses shown per alert.
const NEAR_MISSES_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny explain alert.json --source alertmanager\n  curl -s … | tawny explain - --source json --format json"
)]
pub(super) struct ExplainArgs {
    /// The payload; `-` or nothing reads standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Kind of the sender, or the name of a source in the settings
    #[arg(long, value_name = "KIND")]
    source: String,
    #[command(flatten)]
    common: Common,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub(super) fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let flags = Flags { config: args.common.config.clone(), rules: args.common.rules.clone(), ..Flags::default() };
    let loaded = settings::load(&flags)?;
    let mut rules = super::rules::compile(loaded.settings.rules.as_deref())?;
    let ready = settings::resolve(&loaded, SecretsPolicy::Ignored)?;
    let names: Vec<Arc<str>> = ready.sinks.iter().map(|plan| plan.name.clone()).collect();
    if let Err(faults) = rules.bind_sinks(&names) {
        bail!(
            "the rules do not fit the settings:\n{}",
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        );
    }
    let body = read(&args.file)?;
    let received_at = Clock::default().now();
    let instance = instance(&ready, &args.source)?;
    let path = instance.source.fixed_paths().first().copied().unwrap_or("");
    let request = Request {
        path,
        body: &body,
        peer: "127.0.0.1",
        user_agent: "tawny explain",
        content_type: "application/json",
        received_at,
    };
    let batch = instance.source.decode(&request, &instance.decoder)?;
    let explained: Vec<Value> =
        batch.alerts.into_iter().map(|alert| one(alert, instance, &rules, &ready.sinks, received_at)).collect();
    let rejects: Vec<Value> =
        batch.rejects.iter().map(|reject| json!({ "position": reject.position, "reason": reject.reason })).collect();
    match args.format {
        Format::Json => say(&json!({ "rules": rules.revision(), "alerts": explained, "rejects": rejects }).to_string()),
        Format::Human => {
            explained.iter().for_each(show);
            for reject in &rejects {
                say(&format!("alert {}  REJECTED  {}\n", reject["position"], text(&reject["reason"])));
            }
        }
    }
    if explained.is_empty() && !rejects.is_empty() {
        bail!("nothing in the payload could be used");
    }
    Ok(())
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body)?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| file.display().to_string())
}

/// The source of that name, else the first of that kind.
fn instance<'a>(ready: &'a Ready, wanted: &str) -> anyhow::Result<&'a Instance> {
    let by_name = ready.instances.iter().find(|held| held.decoder.name == wanted);
    let found = by_name.or_else(|| ready.instances.iter().find(|held| held.source.kind() == wanted));
    match found {
        Some(instance) => Ok(instance),
        None if source_of_kind(wanted).is_some() => bail!("no source of kind `{wanted}` is configured"),
        None => bail!("{}", super::send::unknown_kind(wanted)),
    }
}

fn one(alert: Alert<'_>, instance: &Instance, rules: &RuleSet, sinks: &[SinkPlan], received_at: Timestamp) -> Value {
    let decoder = &instance.decoder;
    let origin = Origin { kind: decoder.kind, instance: &decoder.name, constants: &decoder.constants };
    let Explanation { decision, key_parts, votes, near_misses, .. } = rules.explain(&alert, origin);
    let near: Vec<Value> = near_misses
        .iter()
        .map(|miss| {
            let would_set: Vec<&str> = miss.would_set.iter().map(|name| name.as_str()).collect();
            json!({ "rule": miss.rule, "condition": miss.condition, "seen": miss.seen, "would_set": would_set })
        })
        .collect();
    let heard = Heard {
        source: SourceRef { kind: decoder.kind.into(), instance: decoder.name.clone() },
        received_at,
        tags: decision.tags,
        rules_revision: rules.revision().clone(),
        key: decision.key,
        route: decision.route,
        alert: alert.into_owned(),
    };
    let mut explained = json!({
        "name": heard.alert.name,
        "title": heard.alert.title,
        "identity": heard.alert.identity,
        "state": heard.alert.state,
        "severity": decision.severity,
        "starts_at": heard.alert.starts_at.map(|at| at.to_string()),
        "tags": heard.tags,
        "incident": heard.key,
        "key_parts": key_parts.iter().map(|part| json!({ "name": part.name, "value": part.value })).collect::<Vec<_>>(),
        "route": {
            "by": heard.route.by, "sinks": heard.route.sinks, "hold_s": heard.route.hold.as_secs_f64(),
            "update_s": heard.route.update.as_secs_f64(), "remind_s": heard.route.remind.as_secs_f64(),
        },
        "votes": votes,
        "near_misses": near,
    });
    // As a first message of its own: a hold is shown as if it were over.
    let hold = heard.route.hold;
    let route = heard.route.clone();
    let first = step(None, Event::Heard { heard: Box::new(heard), member: None }, received_at);
    let mut notices = first.notices;
    if let (true, Some(incident)) = (notices.is_empty() && !hold.is_zero(), first.incident) {
        let after = received_at.plus(hold);
        let event = Event::Tick { due: Vec::new(), next_expiry: Timestamp::MAX, listening_since: received_at };
        notices = step(Some(incident), event, after).notices;
    }
    explained["outcome"] = json!(first.outcome);
    let leaving = notices.iter().flat_map(|notice| {
        let chosen = sinks.iter().filter(|plan| route.sinks.contains(&plan.name));
        chosen.map(move |plan| leaving(plan, notice, received_at))
    });
    explained["requests"] = leaving.collect();
    explained
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

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn show(alert: &Value) {
    say(&format!("{}  {}  {}", text(&alert["state"]).to_uppercase(), text(&alert["severity"]), text(&alert["title"])));
    for (name, tag) in alert["tags"].as_object().into_iter().flatten() {
        let seen = tag["seen"].as_str().map(|seen| format!("  <- {seen}")).unwrap_or_default();
        say(&format!("  {name:<20} {:<24} {}{seen}", text(&tag["value"]), text(&tag["by"])));
    }
    let parts: Vec<String> = alert["key_parts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|part| format!("{}={}", text(&part["name"]), text(&part["value"])))
        .collect();
    say(&format!("  {:<20} {}  ({})", "incident", text(&alert["incident"]), parts.join(", ")));
    let route = &alert["route"];
    let sinks: Vec<&str> = route["sinks"].as_array().into_iter().flatten().map(text).collect();
    say(&format!(
        "  {:<20} {}  to {}, hold {} s, update {} s, remind {} s",
        "route",
        text(&route["by"]),
        sinks.join(", "),
        route["hold_s"],
        route["update_s"],
        route["remind_s"]
    ));
    say(&format!("  {:<20} {}", "outcome", text(&alert["outcome"])));
    for vote in alert["votes"].as_array().into_iter().flatten() {
        let seen = vote["seen"].as_str().map(|seen| format!("  <- {seen}")).unwrap_or_default();
        let why = vote["why"].as_str().filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
        let says = format!("{} {}", text(&vote["platform"]), text(&vote["confidence"]));
        say(&format!("  {:<20} {says:<24} {}{seen}  {}{why}", "vote", text(&vote["rule"]), text(&vote["outcome"])));
    }
    for miss in alert["near_misses"].as_array().into_iter().flatten().take(NEAR_MISSES_MAX) {
        let seen = miss["seen"].as_str().map_or("nothing".to_owned(), |seen| format!("`{seen}`"));
        say(&format!("  {:<20} {}: {} (saw {seen})", "near miss", text(&miss["rule"]), text(&miss["condition"])));
    }
    for request in alert["requests"].as_array().into_iter().flatten() {
        say(&show_request(request));
    }
}

fn show_request(request: &Value) -> String {
    let sink = text(&request["sink"]);
    if let Some(print) = request["print"].as_str() {
        return format!("\n  -> {sink}\n{print}");
    }
    if request["nothing"].as_bool() == Some(true) {
        return format!("\n  -> {sink}: nothing for this kind of notice");
    }
    if let Some(error) = request["error"].as_str() {
        return format!("\n  -> {sink}: {error}");
    }
    let mut shown = format!("\n  -> {sink}: POST {}\n", text(&request["url"]));
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        shown.push_str(&format!("     {name}: {}\n", text(value)));
    }
    shown.push_str("     ");
    shown.extend(text(&request["body"]).chars().take(SHOWN_CHARS_MAX));
    shown.push('\n');
    shown
}
