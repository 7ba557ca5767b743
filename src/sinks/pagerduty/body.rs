//! The bodies of PagerDuty's events, written straight from the notice. Never builds a tree of JSON values:
//! that is kept for the rare event that is too large.

use std::ops::Range;

use super::super::words::{self, Links};
use super::shrink;
use crate::model::json_text::{JsonText, key};
use crate::model::{Incident, Labels, Notice, NoticeKind, TagName, Timestamp};

const SUMMARY_CHARS_MAX: usize = 1024;
/// PagerDuty documents no limit for its other fields; a longer text would not be read.
const FIELD_CHARS_MAX: usize = 512;

/// The keys that are given up last of all.
pub(super) const PINNED: [&str; 6] =
    ["tawny.service", "tawny.owner", "tawny.platform", "tawny.cell", "tawny.runbook", "tawny.dedup_key"];

/// What most events need, so that the text grows once.
const BODY_BYTES: usize = 3072;

pub(super) fn trigger(notice: &Notice, routing_key: &str) -> Vec<u8> {
    let incident = &*notice.incident;
    let tag = |name| incident.tags.value(name);
    let key = words::dedup_key(incident);
    let links = Links::of(incident);
    let mut json = head(routing_key, Some("trigger"), Some(&key));
    text(&mut json, key!("client"), Some(short(words::origin(&incident.lead))));
    text(&mut json, key!("client_url"), links.origin.map(|link| link.href.as_str()));
    write_links(&mut json, None, &links);
    payload(&mut json, notice, Some(incident.severity.as_str()), words::began_at(incident));
    text(&mut json, key!("component"), component(&incident.lead.labels).or(tag(TagName::Service)).map(short));
    text(&mut json, key!("group"), tag(TagName::Cell).map(short));
    text(&mut json, key!("class"), Some(short(words::alert_name(incident))));
    let start = open_details(&mut json);
    json.key(key!("firing"));
    write_samples(&mut json, incident);
    json.key(key!("resolved"));
    json.open('[');
    json.close(']');
    write_counts(&mut json, incident);
    write_tags(&mut json, incident);
    text(&mut json, key!("tawny.dedup_key"), Some(&key));
    text(&mut json, key!("tawny.legs"), Some(&words::legs(incident)));
    write_reasons(&mut json, incident);
    close(json, start, notice)
}

/// Acknowledge and resolve need the key and the action; the rest is what the log of the incident shows.
pub(super) fn brief(notice: &Notice, routing_key: &str, action: &'static str) -> Vec<u8> {
    let incident = &*notice.incident;
    let mut json = head(routing_key, Some(action), Some(&words::dedup_key(incident)));
    payload(&mut json, notice, Some(incident.severity.as_str()), notice.at);
    let start = open_details(&mut json);
    write_counts(&mut json, incident);
    write_tags(&mut json, incident);
    text(&mut json, key!("tawny.legs"), Some(&words::legs(incident)));
    close(json, start, notice)
}

pub(super) fn change(notice: &Notice, routing_key: &str) -> Vec<u8> {
    let incident = &*notice.incident;
    let links = Links::of(incident);
    let mut json = head(routing_key, None, None);
    let origin = links.origin.map(|link| (link.href.as_str(), short(words::origin_text(link, &incident.lead))));
    write_links(&mut json, origin, &links);
    payload(&mut json, notice, None, words::began_at(incident));
    let start = open_details(&mut json);
    write_details(&mut json, incident);
    write_tags(&mut json, incident);
    write_reasons(&mut json, incident);
    close(json, start, notice)
}

/// A text that is there.
#[inline]
fn text(json: &mut JsonText, name: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        json.member(name, value);
    }
}

fn head(routing_key: &str, action: Option<&str>, dedup_key: Option<&str>) -> JsonText {
    let mut json = JsonText::with_capacity(BODY_BYTES);
    json.open('{');
    text(&mut json, key!("routing_key"), Some(routing_key));
    text(&mut json, key!("event_action"), action);
    text(&mut json, key!("dedup_key"), dedup_key);
    json
}

fn write_links(json: &mut JsonText, origin: Option<(&str, &str)>, links: &Links<'_>) {
    let runbook = links.runbook.map(|href| (href, "Runbook"));
    let of_service = links.service_runbook.map(|href| (href, "Runbook of the service"));
    let further = links.further.iter().map(|link| (link.href.as_str(), short(&link.text)));
    let mut shown = origin.into_iter().chain(runbook).chain(of_service).chain(further).peekable();
    if shown.peek().is_none() {
        return;
    }
    json.key(key!("links"));
    json.open('[');
    for (href, name) in shown {
        json.open('{');
        text(json, key!("href"), Some(href));
        text(json, key!("text"), Some(name).filter(|name| !name.is_empty()));
        json.close('}');
    }
    json.close(']');
}

/// Opens the payload with what all events say.
fn payload(json: &mut JsonText, notice: &Notice, severity: Option<&str>, at: Timestamp) {
    json.key(key!("payload"));
    json.open('{');
    text(json, key!("summary"), Some(&words::title(notice, SUMMARY_CHARS_MAX)));
    json.key(key!("source"));
    write_source(json, notice);
    text(json, key!("severity"), severity);
    json.key(key!("timestamp"));
    json.plain(&at);
}

/// Where the details begin.
fn open_details(json: &mut JsonText) -> usize {
    json.key(key!("custom_details"));
    let start = json.len();
    json.open('{');
    start
}

/// Closes all that is open; only an event that is too large is taken apart.
fn close(mut json: JsonText, details_start: usize, notice: &Notice) -> Vec<u8> {
    text(&mut json, key!("tawny.rules_revision"), Some(&notice.incident.rules_revision));
    json.key(key!("tawny.incident"));
    json.plain(&notice.incident.key);
    text(&mut json, key!("tawny.reason"), Some(notice.reason.as_str()));
    json.close('}');
    let details = details_start..json.len();
    // The payload and the event.
    json.close('}');
    json.close('}');
    let body = json.into_string();
    if body.len() <= shrink::BODY_BYTES_MAX { body.into_bytes() } else { shrunk(&body, details) }
}

fn shrunk(body: &str, details: Range<usize>) -> Vec<u8> {
    let excess = body.len() - shrink::BODY_BYTES_MAX;
    let held = serde_json::from_str(&body[details.clone()]).expect("what was written is JSON");
    let smaller = shrink::shrink(held, excess).to_string();
    [&body[..details.start], &smaller, &body[details.end..]].concat().into_bytes()
}

fn write_counts(json: &mut JsonText, incident: &Incident) {
    json.key(key!("num_firing"));
    json.number(incident.firing_count());
    json.key(key!("num_resolved"));
    json.number(incident.resolved_count());
}

/// The four names that users of Alertmanager's and Grafana's events know come first, ours follow.
fn write_tags(json: &mut JsonText, incident: &Incident) {
    const SHOWN: [(&str, TagName); 8] = [
        (key!("tawny.service"), TagName::Service),
        (key!("tawny.owner"), TagName::Owner),
        (key!("tawny.criticality"), TagName::Criticality),
        (key!("tawny.platform"), TagName::Platform),
        (key!("tawny.cell"), TagName::Cell),
        (key!("tawny.env"), TagName::Environment),
        (key!("tawny.class"), TagName::Class),
        (key!("tawny.runbook"), TagName::Runbook),
    ];
    for (name, tag) in SHOWN {
        text(json, name, incident.tags.value(tag));
    }
}

/// What the sender of a change says of it, under its own names. Ours are kept for us, and its source has a place.
fn write_details(json: &mut JsonText, incident: &Incident) {
    let lead = &*incident.lead;
    let has_place = |name: &str| name == "source" && words::sender_source(lead).is_some();
    for (name, value) in lead.labels.iter().filter(|(name, _)| !name.starts_with("tawny.") && !has_place(name)) {
        json.entry(name, value);
    }
}

/// The rule behind each tag, as [`words::reasons`] tells it.
fn write_reasons(json: &mut JsonText, incident: &Incident) {
    if incident.tags.iter().next().is_none() {
        return;
    }
    json.key(key!("tawny.by"));
    json.open_text();
    incident.tags.visit_reasons(|piece| json.piece(piece));
    json.close_text();
}

/// The lead and the samples as Alertmanager lists its alerts.
fn write_samples(json: &mut JsonText, incident: &Incident) {
    json.open('[');
    for sample in words::samples(incident) {
        json.open('{');
        json.key(key!("labels"));
        json.labels(&sample.labels);
        if !sample.annotations.is_empty() {
            json.key(key!("annotations"));
            json.labels(&sample.annotations);
        }
        json.key(key!("startsAt"));
        json.plain(&sample.starts_at);
        text(json, key!("generatorURL"), words::origin_link(&sample.links));
        json.close('}');
    }
    json.close(']');
}

/// `service.namespace.cell`, as far as known, with what the sender calls it in the place of an unknown service; else the
/// name of the source; never empty. Where a change came from is no service, so there the sender's word stands alone.
fn write_source(json: &mut JsonText, notice: &Notice) {
    let incident = &*notice.incident;
    let labels = &incident.lead.labels;
    let sender = words::sender_source(&incident.lead);
    let namespace = labels.get("exported_namespace").or_else(|| labels.get("namespace"));
    let service = incident.tags.value(TagName::Service).or_else(|| labels.get("instance")).or(sender);
    let parts = match (notice.kind, sender) {
        (NoticeKind::Event, Some(sender)) => [Some(sender), None, None],
        (NoticeKind::Opened | NoticeKind::Changed | NoticeKind::Reminder | NoticeKind::Resolved, _)
        | (NoticeKind::Event, None) => [service, namespace, incident.tags.value(TagName::Cell)],
    };
    let mut is_empty = true;
    json.open_text();
    for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
        if !is_empty {
            json.bare(".");
        }
        json.piece(short(part));
        is_empty = false;
    }
    if is_empty {
        let instance = incident.lead.source.instance.as_str();
        json.piece(if instance.is_empty() { "tawny" } else { short(instance) });
    }
    json.close_text();
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
