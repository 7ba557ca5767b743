//! What `explain` found, for people. Prints what is there and decides nothing.

use serde_json::Value;

use crate::cli::say;

/// Longest part of a request that is shown to people.
const SHOWN_CHARS_MAX: usize = 4000;
/// Near misses shown per alert.
const NEAR_MISSES_MAX: usize = 8;

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

pub(super) fn show(alert: &Value) {
    say(&format!("{}  {}  {}", text(&alert["state"]).to_uppercase(), text(&alert["severity"]), text(&alert["title"])));
    tags(alert);
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
    for also in route["also"].as_array().into_iter().flatten() {
        say(&format!("  {:<20} {}", "route, also", text(also)));
    }
    if let Some(quiet) = alert["quiet"].as_object() {
        let (how, by) = (text(&quiet["how"]), text(&quiet["by"]));
        let until = quiet["until"].as_i64().map(|ms| crate::model::Timestamp::from_ms(ms).to_string());
        say(&format!("  {:<20} held back by {how} {by} until {}", "quiet", until.unwrap_or_default()));
    }
    say(&format!("  {:<20} {}", "outcome", text(&alert["outcome"])));
    reasons(alert);
    further(alert);
    near_misses(alert);
    for request in alert["requests"].as_array().into_iter().flatten() {
        say(&show_request(request));
    }
}

/// One Resource of telemetry.
pub(super) fn resource(resource: &Value) {
    say(&format!("RESOURCE  {} items", resource["item_count"]));
    tags(resource);
    let sinks: Vec<&str> = resource["to"].as_array().into_iter().flatten().map(text).collect();
    let sinks = if sinks.is_empty() { "no sink: `spans.to` names none".to_owned() } else { sinks.join(", ") };
    say(&format!("  {:<20} {sinks}", "goes to"));
    for (name, value) in resource["added"].as_object().into_iter().flatten() {
        say(&format!("  {:<20} {name}={}", "attribute", text(value)));
    }
    for identity in resource["disputed"].as_array().into_iter().flatten() {
        say(&format!("  {:<20} {}: another identity contradicts it", "disputed", text(identity)));
    }
    reasons(resource);
    near_misses(resource);
    say("");
}

fn tags(explained: &Value) {
    for (name, tag) in explained["tags"].as_object().into_iter().flatten() {
        let seen = tag["seen"].as_str().map(|seen| format!("  <- {seen}")).unwrap_or_default();
        say(&format!("  {name:<20} {:<24} {}{seen}", text(&tag["value"]), text(&tag["by"])));
    }
}

/// How the service was read, what was tried, and who voted.
fn reasons(alert: &Value) {
    if let Some(read) = alert["service_read"].as_object() {
        let (raw, how) = (text(&read["raw"]), text(&read["how"]));
        let known = if how == "unregistered" { "not registered".to_owned() } else { format!("known by its {how}") };
        say(&format!("  {:<20} `{raw}` read by {}, {known}", "service name", text(&read["read_by"])));
    }
    for by in alert["shadow"].as_array().into_iter().flatten() {
        say(&format!("  {:<20} {} would have held", "shadow", text(by)));
    }
    for vote in alert["votes"].as_array().into_iter().flatten() {
        let seen = vote["seen"].as_str().map(|seen| format!("  <- {seen}")).unwrap_or_default();
        let why = vote["why"].as_str().filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
        let says = format!("{} {}", text(&vote["platform"]), text(&vote["confidence"]));
        say(&format!("  {:<20} {says:<24} {}{seen}  {}{why}", "vote", text(&vote["rule"]), text(&vote["outcome"])));
    }
}

fn near_misses(alert: &Value) {
    for miss in alert["near_misses"].as_array().into_iter().flatten().take(NEAR_MISSES_MAX) {
        let seen = miss["seen"].as_str().map_or("nothing".to_owned(), |seen| format!("`{seen}`"));
        let would: Vec<&str> = miss["would_set"].as_array().into_iter().flatten().map(text).collect();
        let (rule, condition) = (text(&miss["rule"]), text(&miss["condition"]));
        say(&format!("  {:<20} {rule}: {condition} (saw {seen}; would set {})", "near miss", would.join(", ")));
    }
    let more = alert["near_misses"].as_array().map_or(0, Vec::len).saturating_sub(NEAR_MISSES_MAX);
    if more > 0 {
        say(&format!("  {:<20} and {more} more; --format json lists all", ""));
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

/// Whatever else the rules explain, one line each: votes of signals, what lost, what was left out.
fn further(alert: &Value) {
    for (name, value) in alert["further"].as_object().into_iter().flatten() {
        let name = name.replace('_', " ");
        match value.as_array() {
            Some(items) => items.iter().for_each(|item| say(&format!("  {name:<20} {}", flat(item)))),
            None => say(&format!("  {name:<20} {}", flat(value))),
        }
    }
}

/// `platform ecs, tier conclusive, by platform.yaml:30 ecs-task-arn`.
fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(flat).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let held = members.iter().filter(|(_, value)| !value.is_null());
            held.map(|(name, value)| format!("{} {}", name.replace('_', " "), flat(value)))
                .collect::<Vec<_>>()
                .join(", ")
        }
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
