//! The bodies of PagerDuty's events, written straight from the notice. Never builds a tree of JSON values:
//! that is kept for the rare event that is too large.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::super::words::{self, Links, Shown};
use super::shrink;
use crate::model::{Incident, IncidentKey, Labels, Notice, TagName, Timestamp};

const SUMMARY_CHARS_MAX: usize = 1024;
/// PagerDuty documents no limit for its other fields; a longer text would not be read.
const FIELD_CHARS_MAX: usize = 512;

#[derive(Serialize)]
pub(super) struct Event<'a, D> {
    routing_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link<'a>>,
    payload: Payload<'a, D>,
}

#[derive(Serialize)]
struct Link<'a> {
    href: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    text: &'a str,
}

#[derive(Serialize)]
struct Payload<'a, D> {
    summary: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    timestamp: Shown<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    custom_details: D,
}

/// The four names that users of Alertmanager's and Grafana's events know come first, ours follow.
#[derive(Serialize)]
struct Details<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    firing: Option<Samples<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<Samples<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_firing: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_resolved: Option<u32>,
    #[serde(rename = "tawny.service", skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(rename = "tawny.owner", skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(rename = "tawny.criticality", skip_serializing_if = "Option::is_none")]
    criticality: Option<&'a str>,
    #[serde(rename = "tawny.platform", skip_serializing_if = "Option::is_none")]
    platform: Option<&'a str>,
    #[serde(rename = "tawny.cell", skip_serializing_if = "Option::is_none")]
    cell: Option<&'a str>,
    #[serde(rename = "tawny.env", skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(rename = "tawny.class", skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    #[serde(rename = "tawny.runbook", skip_serializing_if = "Option::is_none")]
    runbook: Option<&'a str>,
    #[serde(rename = "tawny.dedup_key", skip_serializing_if = "Option::is_none")]
    dedup_key: Option<&'a str>,
    #[serde(rename = "tawny.legs", skip_serializing_if = "Option::is_none")]
    legs: Option<String>,
    #[serde(rename = "tawny.by", skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(rename = "tawny.rules_revision")]
    rules_revision: &'a str,
    #[serde(rename = "tawny.incident")]
    incident: Shown<IncidentKey>,
    #[serde(rename = "tawny.reason")]
    reason: &'static str,
}

/// The keys that are given up last of all.
pub(super) const PINNED: [&str; 6] =
    ["tawny.service", "tawny.owner", "tawny.platform", "tawny.cell", "tawny.runbook", "tawny.dedup_key"];

pub(super) fn trigger(notice: &Notice, routing_key: &str) -> Vec<u8> {
    let incident = &*notice.incident;
    let tag = |name| incident.tags.value(name);
    let key = words::dedup_key(incident);
    let links = Links::of(incident);
    let component = component(&incident.lead.labels).or(tag(TagName::Service));
    let event = Event {
        routing_key,
        event_action: Some("trigger"),
        dedup_key: Some(&key),
        client: Some(words::origin(&incident.lead.source)),
        client_url: links.origin,
        links: out(&links),
        payload: Payload {
            summary: words::title(notice, SUMMARY_CHARS_MAX),
            source: source(incident),
            severity: Some(incident.severity.as_str()),
            timestamp: Shown(words::began_at(incident)),
            component: component.map(short),
            group: tag(TagName::Cell).map(short),
            class: Some(short(words::alert_name(incident))),
            custom_details: Details {
                firing: Some(Samples(Some(incident))),
                resolved: Some(Samples(None)),
                num_firing: Some(incident.firing_count()),
                num_resolved: Some(incident.resolved_count()),
                dedup_key: Some(&key),
                legs: Some(words::legs(incident)),
                by: by(incident),
                ..details(notice)
            },
        },
    };
    bytes(event)
}

/// Acknowledge and resolve need the key and the action; the rest is what the log of the incident shows.
pub(super) fn brief(notice: &Notice, routing_key: &str, action: &'static str) -> Vec<u8> {
    let incident = &*notice.incident;
    let key = words::dedup_key(incident);
    bytes(Event {
        routing_key,
        event_action: Some(action),
        dedup_key: Some(&key),
        client: None,
        client_url: None,
        links: Vec::new(),
        payload: Payload {
            summary: words::title(notice, SUMMARY_CHARS_MAX),
            source: source(incident),
            severity: Some(incident.severity.as_str()),
            timestamp: Shown(notice.at),
            component: None,
            group: None,
            class: None,
            custom_details: Details {
                num_firing: Some(incident.firing_count()),
                num_resolved: Some(incident.resolved_count()),
                legs: Some(words::legs(incident)),
                ..details(notice)
            },
        },
    })
}

pub(super) fn change(notice: &Notice, routing_key: &str) -> Vec<u8> {
    let incident = &*notice.incident;
    let links = Links::of(incident);
    let mut shown = Vec::with_capacity(4);
    shown.extend(links.origin.map(|href| Link { href, text: words::origin(&incident.lead.source) }));
    shown.extend(out(&links));
    bytes(Event {
        routing_key,
        event_action: None,
        dedup_key: None,
        client: None,
        client_url: None,
        links: shown,
        payload: Payload {
            summary: words::title(notice, SUMMARY_CHARS_MAX),
            source: source(incident),
            severity: None,
            timestamp: Shown(words::began_at(incident)),
            component: None,
            group: None,
            class: None,
            custom_details: Details { by: by(incident), ..details(notice) },
        },
    })
}

/// What all events say; the counts, lists and reasons are added by those that have them.
fn details(notice: &Notice) -> Details<'_> {
    let incident = &*notice.incident;
    let tag = |name| incident.tags.value(name);
    Details {
        firing: None,
        resolved: None,
        num_firing: None,
        num_resolved: None,
        service: tag(TagName::Service),
        owner: tag(TagName::Owner),
        criticality: tag(TagName::Criticality),
        platform: tag(TagName::Platform),
        cell: tag(TagName::Cell),
        environment: tag(TagName::Environment),
        class: tag(TagName::Class),
        runbook: tag(TagName::Runbook),
        dedup_key: None,
        legs: None,
        by: None,
        rules_revision: &incident.rules_revision,
        incident: Shown(incident.key),
        reason: notice.reason.as_str(),
    }
}

fn by(incident: &Incident) -> Option<String> {
    Some(words::reasons(&incident.tags)).filter(|reasons| !reasons.is_empty())
}

/// Writes the event; only one that is too large is taken apart.
fn bytes(event: Event<'_, Details<'_>>) -> Vec<u8> {
    let mut body = Vec::with_capacity(4096);
    serde_json::to_writer(&mut body, &event).expect("an event holds texts and numbers only");
    if body.len() <= shrink::BODY_BYTES_MAX {
        return body;
    }
    let details = serde_json::to_value(&event.payload.custom_details).expect("an event holds texts and numbers only");
    let details = shrink::shrink(details, body.len() - shrink::BODY_BYTES_MAX);
    let Event { routing_key, event_action, dedup_key, client, client_url, links, payload } = event;
    let Payload { summary, source, severity, timestamp, component, group, class, .. } = payload;
    let payload = Payload { summary, source, severity, timestamp, component, group, class, custom_details: details };
    let event = Event { routing_key, event_action, dedup_key, client, client_url, links, payload };
    serde_json::to_vec(&event).expect("an event holds texts and numbers only")
}

fn out<'a>(links: &Links<'a>) -> Vec<Link<'a>> {
    let mut shown = Vec::with_capacity(links.further.len() + 1);
    shown.extend(links.runbook.map(|href| Link { href, text: "Runbook" }));
    shown.extend(links.further.iter().map(|link| Link { href: &link.href, text: short(&link.text) }));
    shown
}

/// `service.namespace.cell`, as far as known; else what the source calls it; never empty.
fn source(incident: &Incident) -> String {
    let labels = &incident.lead.labels;
    let namespace = labels.get("exported_namespace").or_else(|| labels.get("namespace"));
    let service = incident.tags.value(TagName::Service).or_else(|| labels.get("instance"));
    let mut source = String::with_capacity(64);
    for part in [service, namespace, incident.tags.value(TagName::Cell)].into_iter().flatten() {
        if !source.is_empty() {
            source.push('.');
        }
        source.push_str(short(part));
    }
    if source.is_empty() {
        source.push_str(short(&incident.lead.source.instance));
    }
    if source.is_empty() {
        source.push_str("tawny");
    }
    source
}

/// The broken part of the service: a container, or the target group of a load balancer.
fn component<'a>(labels: &'a Labels<'_>) -> Option<&'a str> {
    ["exported_container", "container", "TargetGroup", "target_group"].into_iter().find_map(|name| labels.get(name))
}

fn short(text: &str) -> &str {
    if text.len() <= FIELD_CHARS_MAX {
        return text;
    }
    text.char_indices().nth(FIELD_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

/// The lead and the samples as Alertmanager lists its alerts; `None` is an empty list.
struct Samples<'a>(Option<&'a Incident>);

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Line<'a> {
            labels: &'a Labels<'static>,
            #[serde(skip_serializing_if = "Labels::is_empty")]
            annotations: &'a Labels<'static>,
            starts_at: Shown<Timestamp>,
            #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
            generator_url: Option<&'a str>,
        }
        let mut list = serializer.serialize_seq(None)?;
        for sample in self.0.into_iter().flat_map(words::samples) {
            list.serialize_element(&Line {
                labels: &sample.labels,
                annotations: &sample.annotations,
                starts_at: Shown(sample.starts_at),
                generator_url: sample.links.first().map(|link| link.href.as_str()),
            })?;
        }
        list.end()
    }
}
