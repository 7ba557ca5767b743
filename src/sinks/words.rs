//! What all sinks say alike: the key of an incident, the rules behind its tags, its legs and links. Never
//! knows a wire format.

use std::borrow::Cow;
use std::fmt::Display;

use serde::{Serialize, Serializer};

use crate::model::alert::{GRAFANA_LINK, SILENCE_LINK, SOURCE_LINK, is_web_address};
use crate::model::incident::Sample;
use crate::model::json_text::push_number;
use crate::model::{Incident, Link, Notice, NoticeKind, TagName, Tags, Timestamp};

/// Name and version as user agents and SDK names give them.
pub(super) const PRODUCT: &str = concat!("tawny/", env!("CARGO_PKG_VERSION"));
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// PagerDuty's limit; all sinks show the same key, so that a person can search for it everywhere.
const DEDUP_KEY_BYTES_MAX: usize = 255;

/// `{env}/{cell}/{service}/{class}/{start of the incident key}`. The hash makes it unique and the words make it
/// readable. It depends on the incident key and the frozen tags alone, so all notices of an episode agree. The
/// platform is not part of it: the incident itself resolves only when every leg has.
pub(super) fn dedup_key(incident: &Incident) -> String {
    let mut key = String::with_capacity(96);
    for name in [TagName::Environment, TagName::Cell, TagName::Service, TagName::Class] {
        key.push_str(incident.tags.value(name).unwrap_or("unknown"));
        key.push('/');
    }
    for byte in &incident.key.0[..8] {
        for digit in [byte >> 4, byte & 15] {
            key.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    if key.len() <= DEDUP_KEY_BYTES_MAX && !has_control(&key) { key } else { incident.key.to_string() }
}

fn has_control(text: &str) -> bool {
    if text.is_ascii() {
        // Looked at as a whole, so that several bytes are looked at together.
        return text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == 0x7f));
    }
    text.chars().any(char::is_control)
}

/// `firing`, `acknowledged`, `resolved` or `event`.
pub(super) fn status(notice: &Notice) -> &'static str {
    match notice.kind {
        NoticeKind::Opened | NoticeKind::Changed | NoticeKind::Reminder if notice.incident.acknowledged => {
            "acknowledged"
        }
        NoticeKind::Opened | NoticeKind::Changed | NoticeKind::Reminder => "firing",
        NoticeKind::Resolved => "resolved",
        NoticeKind::Event => "event",
    }
}

/// `service: services.yaml:14 owl-service; owner: …`: the rule behind each tag.
pub(super) fn reasons(tags: &Tags) -> String {
    let mut text = String::with_capacity(320);
    tags.visit_reasons(|piece| text.push_str(piece));
    text
}

/// `ecs 1 firing, eks 2 firing 1 resolved`.
pub(super) fn legs(incident: &Incident) -> String {
    let mut text = String::with_capacity(32);
    for leg in &incident.legs {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&leg.platform);
        if leg.firing_count > 0 || leg.resolved_count == 0 {
            text.push(' ');
            push_number(&mut text, leg.firing_count);
            text.push_str(" firing");
        }
        if leg.resolved_count > 0 {
            text.push(' ');
            push_number(&mut text, leg.resolved_count);
            text.push_str(" resolved");
        }
    }
    text
}

/// When the problem began: by the source, or by us where the source does not say.
pub(super) fn began_at(incident: &Incident) -> Timestamp {
    if incident.started_at.is_unset() { incident.opened_at } else { incident.started_at }
}

/// The alert's name at its source, or the class where it has none.
pub(super) fn alert_name(incident: &Incident) -> &str {
    if incident.lead.name.is_empty() {
        incident.tags.value(TagName::Class).unwrap_or("alert")
    } else {
        &incident.lead.name
    }
}

/// The tool that the alert came from, by the name its users know.
pub(super) fn origin(lead: &Sample) -> &str {
    match lead.source.kind.as_ref() {
        "alertmanager" if lead.links.iter().any(|link| link.text == GRAFANA_LINK) => "Grafana",
        "alertmanager" => "Alertmanager",
        "alertmanager-api" => "Prometheus",
        // Whoever speaks PagerDuty's language may say who it is.
        PAGERDUTY => lead.labels.get("client").unwrap_or("PagerDuty"),
        "grafana" => "Grafana",
        "sns" | "cloudwatch" => "CloudWatch",
        _ => &lead.source.instance,
    }
}

/// What the sender itself names as the thing that has the problem, where its language has a word for it.
pub(super) fn sender_source(lead: &Sample) -> Option<&str> {
    lead.labels.get("source").filter(|_| lead.source.kind == PAGERDUTY)
}

const PAGERDUTY: &str = "pagerduty";

/// The lead, then the samples.
pub(super) fn samples(incident: &Incident) -> impl Iterator<Item = &Sample> {
    std::iter::once(&incident.lead).chain(&incident.samples).map(AsRef::as_ref)
}

/// Links of a notice: back to the tool that raised it, runbooks, and whatever else the source gave.
pub(super) struct Links<'a> {
    pub(super) origin: Option<&'a Link>,
    /// The alert's own, else that of its tags.
    pub(super) runbook: Option<&'a str>,
    /// That of the tags, when the alert has another.
    pub(super) service_runbook: Option<&'a str>,
    pub(super) further: Vec<&'a Link>,
}

/// Vendors give no limit; a reader does not look at more.
const LINK_COUNT_MAX: usize = 16;
const LINK_BYTES_MAX: usize = 2048;

impl<'a> Links<'a> {
    pub(super) fn of(incident: &'a Incident) -> Links<'a> {
        let tagged = incident.tags.value(TagName::Runbook).filter(|href| is_link(href));
        let mut links = Links { origin: None, runbook: None, service_runbook: None, further: Vec::new() };
        for link in incident.lead.links.iter().filter(|link| is_link(&link.href)) {
            if tagged == Some(link.href.as_str()) {
                continue;
            }
            if links.runbook.is_none() && is_runbook(link) {
                links.runbook = Some(&link.href);
            } else if links.origin.is_none() && leads_back(link) {
                links.origin = Some(link);
            } else if links.further.len() < LINK_COUNT_MAX {
                links.further.push(link);
            }
        }
        match links.runbook {
            Some(_) => links.service_runbook = tagged,
            None => links.runbook = tagged,
        }
        links
    }
}

/// Back to the tool that raised an alert.
pub(super) fn origin_link(links: &[Link]) -> Option<&str> {
    links.iter().find(|link| is_link(&link.href) && leads_back(link)).map(|link| link.href.as_str())
}

/// What the link back is called: the sender's word for it, else the tool's name.
pub(super) fn origin_text<'a>(link: &'a Link, lead: &'a Sample) -> &'a str {
    if link.text.is_empty() || link.text == SOURCE_LINK { origin(lead) } else { &link.text }
}

/// The first link that does is the one back to the tool; what one does about an alert is none.
fn leads_back(link: &Link) -> bool {
    !is_runbook(link) && link.text != SILENCE_LINK
}

fn is_runbook(link: &Link) -> bool {
    link.text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("runbook"))
}

fn is_link(href: &str) -> bool {
    href.len() <= LINK_BYTES_MAX && is_web_address(href)
}

/// At most `max` characters, the last one `…` if something was cut.
pub(super) fn clip(text: &str, max: usize) -> Cow<'_, str> {
    // A text has at most as many characters as bytes: the common case counts nothing.
    if text.len() <= max || text.chars().count() <= max {
        return Cow::Borrowed(text);
    }
    let mut clipped: String = text.chars().take(max.saturating_sub(1)).collect();
    clipped.push('…');
    Cow::Owned(clipped)
}

/// At most `max` bytes, cut between characters, ending in `…` if something was cut. `max` is at least 3.
pub(super) fn clip_bytes(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(max.saturating_sub('…'.len_utf8()));
    Cow::Owned(format!("{}…", &text[..end]))
}

/// Line breaks and other control characters become spaces.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(text.replace(char::is_control, " "))
    } else {
        Cow::Borrowed(text)
    }
}

/// Written as text by its `Display`, without a `String` in between.
pub(super) struct Shown<T>(pub(super) T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The title in at most `max` characters. What is cut is the source's sentence, never our bracket.
pub(super) fn title(notice: &Notice, max: usize) -> String {
    let title = notice.title();
    let lead = &notice.incident.lead.title;
    let bracket = title.get(lead.len()..).unwrap_or_default();
    if lead.trim().is_empty() {
        return clip(&format!("{}{bracket}", alert_name(&notice.incident)), max).into_owned();
    }
    if title.len() <= max {
        return title;
    }
    let room = max.saturating_sub(bracket.chars().count());
    let clipped = format!("{}{bracket}", clip(lead, room));
    clip(&clipped, max).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{notice, owl, tag};
    use super::*;
    use crate::model::{NoticeKind, Reason};

    #[test]
    fn the_key_is_readable_and_falls_back_to_the_hash_when_it_would_be_too_long() {
        let mut incident = owl();
        assert_eq!(dedup_key(&incident), "prod/prod-use1-c2/owl-service/HighErrorRate/0f1e00bbeec802e0");
        std::sync::Arc::make_mut(&mut incident.tags).replace(TagName::Class, tag(&"é".repeat(120), "x"));
        assert_eq!(dedup_key(&incident), incident.key.to_string());
        incident.tags = Tags::default().into();
        assert_eq!(dedup_key(&incident), "unknown/unknown/unknown/unknown/0f1e00bbeec802e0");
    }

    #[test]
    fn the_key_does_not_change_within_an_episode() {
        let opened = owl();
        let mut resolved = owl();
        resolved.legs.clear();
        resolved.sequence += 3;
        resolved.severity = crate::model::Severity::Info;
        resolved.cells.clear();
        assert_eq!(dedup_key(&opened), dedup_key(&resolved));
    }

    #[test]
    fn a_long_title_keeps_its_bracket() {
        let mut incident = owl();
        std::sync::Arc::make_mut(&mut incident.lead).title = "é".repeat(2000);
        let title = title(&notice(incident, NoticeKind::Opened, Reason::FirstAlert), 1024);
        assert_eq!(title.chars().count(), 1024);
        assert!(title.ends_with("é… [ECS+EKS prod-use1-c2]"), "{title}");
    }

    #[test]
    fn clipping_cuts_between_characters_and_says_so() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äö…");
        assert_eq!(clip_bytes("äöüß", 8), "äöüß");
        assert_eq!(clip_bytes("äöüß", 7), "äö…");
        assert_eq!(clip_bytes("äöüß", 6), "ä…");
    }

    #[test]
    fn only_real_addresses_become_links() {
        let mut incident = owl();
        let mut link = |href: &str| {
            std::sync::Arc::make_mut(&mut incident.lead)
                .links
                .push(Link { href: href.to_owned(), text: "x".to_owned() })
        };
        link("javascript:alert(1)");
        link("/graph?g0.expr=up");
        link("https://argocd.example.com/applications/owl-service");
        let links = Links::of(&incident);
        assert_eq!(links.runbook, Some("https://runbooks.example.com/owl-service/high-error-rate"));
        let origin = links.origin.map(|link| link.href.as_str());
        assert_eq!(origin, Some("https://prometheus.example.com/graph?g0.expr=errors"));
        assert_eq!(links.further.len(), 2, "the dashboard and the application");
    }
}
