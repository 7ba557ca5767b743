//! PagerDuty's Events API v2 as far as its documents go: strict about bodies, with open alerts by routing key
//! and dedup key. A path may start with `/boot-N`, so that a test knows which process spoke.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, Received, Role, StandIn, lock};

/// Alertmanager and Grafana take KB as 1000 bytes, and so do we.
const BODY_BYTES_MAX: usize = 512_000;

#[derive(Default)]
pub struct PagerDuty {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    alerts: BTreeMap<(String, String), Alert>,
    refused: Vec<String>,
    generated_count: u32,
}

/// One (routing key, dedup key) and all that was ever said about it.
#[derive(Clone, Debug, Default)]
pub struct Alert {
    pub is_open: bool,
    /// How often it was opened: each one wakes somebody.
    pub page_count: u32,
    /// How often it was closed by a resolve that found it open.
    pub resolve_count: u32,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub action: Action,
    pub effect: Effect,
    pub body: Value,
    /// `boot-N` of the path; empty without one.
    pub boot: String,
    pub answer_arrives: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Opened,
    /// A trigger for an alert that is open: a log entry, no page.
    Logged,
    Acknowledged,
    Resolved,
    /// Acknowledge or resolve with nothing open: 202 all the same.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

impl PagerDuty {
    pub fn alerts(&self) -> BTreeMap<(String, String), Alert> {
        lock(&self.state).alerts.clone()
    }

    /// What it would not take, with the reasons it gave.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.state).refused.clone()
    }

    pub fn page_count(&self) -> u32 {
        lock(&self.state).alerts.values().map(|alert| alert.page_count).sum()
    }

    pub fn resolve_count(&self) -> u32 {
        lock(&self.state).alerts.values().map(|alert| alert.resolve_count).sum()
    }
}

impl StandIn<PagerDuty> {
    /// What the setting `endpoint` must say for the daemon's process number `boot`.
    pub fn endpoint(&self, boot: u32) -> String {
        format!("{}/boot-{boot}", self.url())
    }
}

impl Role for PagerDuty {
    fn receive(&self, request: &Received<'_>) -> Answer {
        let (boot, path) = split_boot(request.path);
        let event = match path {
            "/v2/enqueue" => parse(request),
            "/v2/change/enqueue" => {
                return Answer::new(202, r#"{"status":"success","message":"Change event processed"}"#);
            }
            _ => return Answer::new(404, r#"{"status":"not found"}"#),
        };
        let mut state = lock(&self.state);
        match event {
            Ok(event) => {
                let dedup_key = state.take(event, boot, request);
                let body = json!({ "status": "success", "message": "Event processed", "dedup_key": dedup_key });
                Answer::new(202, body.to_string())
            }
            Err(reason) => {
                let body = json!({
                    "status": "invalid event", "message": "Event object is invalid", "errors": [reason]
                });
                state.refused.push(format!("{reason}: {}", String::from_utf8_lossy(request.body)));
                Answer::new(400, body.to_string())
            }
        }
    }

    fn trouble(&self, status: u16) -> String {
        match status {
            429 => r#"{"status":"throttle exceeded","message":"Requests for this service are arriving too quickly.  Please retry later.","errors":["Enhance Your Calm."]}"#.to_owned(),
            _ => format!("<html><body><h1>{status}</h1></body></html>"),
        }
    }
}

impl State {
    fn take(&mut self, event: Wire, boot: &str, request: &Received<'_>) -> String {
        let dedup_key = event.dedup_key.unwrap_or_else(|| {
            self.generated_count += 1;
            format!("generated-{}", self.generated_count)
        });
        let alert = self.alerts.entry((event.routing_key, dedup_key.clone())).or_default();
        let effect = match (event.event_action, alert.is_open) {
            (Action::Trigger, false) => Effect::Opened,
            (Action::Trigger, true) => Effect::Logged,
            (Action::Acknowledge, true) => Effect::Acknowledged,
            (Action::Resolve, true) => Effect::Resolved,
            (Action::Acknowledge | Action::Resolve, false) => Effect::Dropped,
        };
        match effect {
            Effect::Opened => {
                alert.is_open = true;
                alert.page_count += 1;
            }
            Effect::Resolved => {
                alert.is_open = false;
                alert.resolve_count += 1;
            }
            Effect::Logged | Effect::Acknowledged | Effect::Dropped => {}
        }
        let body = serde_json::from_slice(request.body).expect("it was parsed before");
        let (action, boot, answer_arrives) = (event.event_action, boot.to_owned(), request.answer_arrives);
        alert.events.push(Event { action, effect, body, boot, answer_arrives });
        dedup_key
    }
}

/// The body; unknown keys at the top or in `payload` are mistakes of ours even where PagerDuty ignores them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    routing_key: String,
    event_action: Action,
    dedup_key: Option<String>,
    payload: Option<Payload>,
    #[serde(default)]
    images: Vec<Image>,
    #[serde(default)]
    links: Vec<Link>,
    #[serde(rename = "client")]
    _client: Option<String>,
    #[serde(rename = "client_url")]
    _client_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    summary: Option<String>,
    source: Option<String>,
    severity: Option<String>,
    timestamp: Option<String>,
    #[serde(rename = "component")]
    _component: Option<String>,
    #[serde(rename = "group")]
    _group: Option<String>,
    #[serde(rename = "class")]
    _class: Option<String>,
    #[serde(rename = "custom_details")]
    _custom_details: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    src: String,
    #[serde(rename = "href")]
    _href: Option<String>,
    #[serde(rename = "alt")]
    _alt: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    href: String,
    #[serde(rename = "text")]
    _text: Option<String>,
}

fn split_boot(path: &str) -> (&str, &str) {
    let boot = path.strip_prefix('/').and_then(|rest| rest.split_once('/')).map(|(first, _)| first);
    match boot.filter(|first| first.starts_with("boot-")) {
        Some(boot) => (boot, &path[boot.len() + 1..]),
        None => ("", path),
    }
}

fn parse(request: &Received<'_>) -> Result<Wire, String> {
    let refuse_unless = |holds: bool, reason: &str| if holds { Ok(()) } else { Err(reason.to_owned()) };
    let content_type = request.header("content-type").unwrap_or_default();
    refuse_unless(content_type.starts_with("application/json"), "Content-Type must be application/json")?;
    refuse_unless(request.header("content-encoding").is_none(), "no encoding is documented")?;
    refuse_unless(request.body.len() <= BODY_BYTES_MAX, "the event exceeds the maximum size of 512KB")?;
    let event: Wire = serde_json::from_slice(request.body).map_err(|cause| format!("JSON parse error: {cause}"))?;
    let key = &event.routing_key;
    refuse_unless(key.len() == 32, "Length of 'routing_key' is incorrect (should be 32 characters)")?;
    refuse_unless(key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "'routing_key' must be alphanumeric")?;
    match &event.dedup_key {
        Some(key) => refuse_unless((1..=255).contains(&key.chars().count()), "'dedup_key' is too long or empty")?,
        None => refuse_unless(event.event_action == Action::Trigger, "'dedup_key' is missing or blank")?,
    }
    refuse_unless(event.images.iter().all(|image| image.src.starts_with("https://")), "'images' need HTTPS")?;
    refuse_unless(event.links.iter().all(|link| link.href.contains("://")), "'links' need an address")?;
    match (&event.payload, event.event_action) {
        (Some(payload), action) => check_payload(payload, action)?,
        (None, Action::Trigger) => return Err("'payload' is missing or blank".to_owned()),
        (None, Action::Acknowledge | Action::Resolve) => {}
    }
    Ok(event)
}

fn check_payload(payload: &Payload, action: Action) -> Result<(), String> {
    let required = [("summary", &payload.summary), ("source", &payload.source), ("severity", &payload.severity)];
    for (name, value) in required {
        let is_blank = value.as_ref().is_none_or(|value| value.trim().is_empty());
        if is_blank && action == Action::Trigger {
            return Err(format!("'payload.{name}' is missing or blank"));
        }
    }
    if payload.summary.as_ref().is_some_and(|summary| summary.chars().count() > 1024) {
        return Err("'payload.summary' is longer than 1024 characters".to_owned());
    }
    if let Some(severity) = &payload.severity
        && !["critical", "error", "warning", "info"].contains(&severity.as_str())
    {
        return Err(
            "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
                .to_owned(),
        );
    }
    if let Some(timestamp) = &payload.timestamp
        && timestamp.parse::<jiff::Timestamp>().is_err()
    {
        return Err("'payload.timestamp' is not ISO 8601".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, pagerduty_body};
    use crate::daemon::PAGER_KEY;

    #[tokio::test]
    async fn the_stand_in_keeps_alerts_as_pagerduty_does() {
        let pager = StandIn::start(PagerDuty::default()).await;
        let client = Client::new();
        for (action, path) in [
            ("resolve", "/v2/enqueue"),
            ("trigger", "/v2/enqueue"),
            ("trigger", "/boot-2/v2/enqueue"),
            ("resolve", "/v2/enqueue"),
            ("resolve", "/v2/enqueue"),
        ] {
            let reply = client.post(pager.address, path, pagerduty_body(PAGER_KEY, action, "k")).await.unwrap();
            assert_eq!(reply.status, 202, "{}", reply.body);
        }
        let alerts = pager.role.alerts();
        let alert = &alerts[&(PAGER_KEY.to_owned(), "k".to_owned())];
        let effects: Vec<Effect> = alert.events.iter().map(|event| event.effect).collect();
        assert_eq!(effects, [Effect::Dropped, Effect::Opened, Effect::Logged, Effect::Resolved, Effect::Dropped]);
        assert_eq!((alert.page_count, alert.resolve_count, alert.is_open), (1, 1, false));
        assert_eq!(alert.events[2].boot, "boot-2");
    }

    #[tokio::test]
    async fn the_stand_in_refuses_what_pagerduty_refuses() {
        let pager = StandIn::start(PagerDuty::default()).await;
        let client = Client::new();
        let good = pagerduty_body(PAGER_KEY, "trigger", "k");
        let good = String::from_utf8(good).unwrap();
        for (from, to) in [
            (PAGER_KEY, "short"),
            ("\"trigger\"", "\"Trigger\""),
            ("\"error\"", "\"Error\""),
            ("Nightly backup failed", " "),
            ("\"payload\":{", "\"payload\":{\"links\":[],"),
            ("\"dedup_key\":\"k\"", "\"dedup_key\":\"\""),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "the case `{from}` changes nothing");
            let reply = client.post(pager.address, "/v2/enqueue", bad.into_bytes()).await.unwrap();
            assert_eq!(reply.status, 400, "{from} -> {to}");
        }
        assert_eq!(pager.role.page_count(), 0);
        assert_eq!(pager.role.refused().len(), 6);
        assert_eq!(client.post(pager.address, "/v2/other", good.into_bytes()).await.unwrap().status, 404);
    }

    #[tokio::test]
    async fn faults_take_or_refuse_exactly_as_they_say() {
        use super::super::{Fault, Weather};
        let pager = StandIn::start(PagerDuty::default()).await;
        let client = Client::new();
        pager.set_weather(Weather::script(&[
            Fault::Refuse { status: 429, retry_after: Some("1") },
            Fault::TakeThenReset,
            Fault::TakeThenCutBody,
        ]));
        let body = || pagerduty_body(PAGER_KEY, "trigger", "k");
        let throttled = client.post(pager.address, "/v2/enqueue", body()).await.unwrap();
        assert_eq!((throttled.status, throttled.retry_after.as_deref()), (429, Some("1")));
        assert_eq!(pager.role.page_count(), 0);
        assert!(client.post(pager.address, "/v2/enqueue", body()).await.is_err(), "the connection is reset");
        assert!(client.post(pager.address, "/v2/enqueue", body()).await.is_err(), "the body is cut");
        assert_eq!(client.post(pager.address, "/v2/enqueue", body()).await.unwrap().status, 202);
        let alerts = pager.role.alerts();
        let events = &alerts.values().next().unwrap().events;
        assert_eq!(events.iter().map(|event| event.answer_arrives).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!((pager.role.page_count(), pager.exchanges().len()), (1, 4));
    }
}
