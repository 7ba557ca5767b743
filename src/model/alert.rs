//! One message of a source about one problem, as the sources decode it and the rules read it.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::alertmanager_fingerprint;
use super::{Identity, Labels, SenderId, Severity, Timestamp};

/// What the source says of the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Firing,
    Resolved,
    Acknowledged,
    Suppressed,
    NoData,
    /// An event that has no end: a change, a deployment.
    Info,
}

impl State {
    pub const ALL: [State; 6] =
        [State::Firing, State::Resolved, State::Acknowledged, State::Suppressed, State::NoData, State::Info];

    pub const fn as_str(self) -> &'static str {
        match self {
            State::Firing => "firing",
            State::Resolved => "resolved",
            State::Acknowledged => "acknowledged",
            State::Suppressed => "suppressed",
            State::NoData => "no_data",
            State::Info => "info",
        }
    }
}

/// Whose word it is. A relay repeats what evaluators told it, so an evaluator's resolve overrules a relay's
/// older "firing", and never the reverse while another evaluator still fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    Evaluator,
    Relay,
}

/// Which configured source a message came through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRef {
    pub kind: Cow<'static, str>,
    pub instance: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub href: String,
    pub text: String,
}

/// Text of the link that leads back to Grafana, whose messages come as Alertmanager's do.
pub const GRAFANA_LINK: &str = "Grafana";
/// Text of the link by which somebody silences an alert: never the way back to where it came from.
pub const SILENCE_LINK: &str = "Silence";
/// Text of the link that leads back to a tool that has no better name for it.
pub const SOURCE_LINK: &str = "Source";

impl Link {
    pub fn checked(href: &str, text: &str) -> Option<Link> {
        is_web_address(href).then(|| Link { href: href.to_owned(), text: text.to_owned() })
    }
}

/// Only whole web addresses are links: senders also send `?orgId=1`, templates and prose.
pub fn is_web_address(href: &str) -> bool {
    let is_web = href.starts_with("https://") || href.starts_with("http://");
    is_web && !has_blank(href)
}

/// Whether a character is white space or a control character.
fn has_blank(text: &str) -> bool {
    if text.is_ascii() {
        // Nearly every address; looked at as a whole, so that several bytes are looked at together.
        return text.bytes().fold(false, |found, byte| found | (byte <= b' ') | (byte == 0x7f));
    }
    text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A decoded message. Borrows from the body where it can; [`Alert::into_owned`] keeps it.
#[derive(Clone, Debug)]
pub struct Alert<'a> {
    pub identity: Identity,
    pub sender: SenderId,
    pub voice: Voice,
    pub state: State,
    /// When this firing began, if the sender tells.
    pub starts_at: Option<Timestamp>,
    /// When it ended (`Resolved`), or the instant until which the sender vouches for it (`Firing`), by the
    /// sender's clock.
    pub ends_at: Option<Timestamp>,
    /// How long the word holds when nothing more is heard, by our clock from receipt.
    pub holds_for: Duration,
    pub severity: Severity,
    /// The alert's name at the source (`alertname`, PagerDuty's `class`), before any stripping.
    pub name: Cow<'a, str>,
    /// The sentence a person reads first, exactly as the source wrote it.
    pub title: Cow<'a, str>,
    pub labels: Labels<'a>,
    pub annotations: Labels<'a>,
    /// Canonical fields for the scope `field.` of rules (`source`, `instance`, `namespace`, …).
    pub fields: Labels<'a>,
    /// Links that stand nowhere else in the alert; readers want [`Alert::all_links`].
    pub links: Vec<Link>,
}

impl Alert<'_> {
    /// The runbook first, then the source, then the rest; each address once. Made on demand, because most
    /// messages are resends whose links nobody reads.
    pub fn all_links(&self) -> Vec<Link> {
        const ANNOTATIONS: [(&str, &str); 7] = [
            ("runbook_url", "Runbook"),
            ("runbookURL", "Runbook"),
            ("runbook", "Runbook"),
            ("dashboard_url", "Dashboard"),
            ("dashboardURL", "Dashboard"),
            ("dashboard", "Dashboard"),
            ("url", "Link"),
        ];
        let (runbooks, others) = ANNOTATIONS.split_at(3);
        // Most alerts have a summary and no link.
        let is_one = |(name, _)| ANNOTATIONS.iter().any(|(known, _)| *known == name);
        let has_some = self.annotations.iter().any(is_one);
        let annotated = |(name, text): &(&str, &str)| {
            let href = if has_some { self.annotations.get(name) } else { None };
            Link::checked(href?, text)
        };
        // Where the source has a word of its own for that link, that one counts.
        let source = self.fields.get("generatorURL").filter(|href| self.links.iter().all(|link| link.href != **href));
        let source = source.and_then(|href| Link::checked(href, SOURCE_LINK));
        let mut links: Vec<Link> = Vec::new();
        let candidates = runbooks.iter().filter_map(annotated).chain(source).chain(self.links.iter().cloned());
        for link in candidates.chain(others.iter().filter_map(annotated)) {
            if links.iter().all(|held| held.href != link.href) {
                links.push(link);
            }
        }
        links
    }

    /// Alertmanager's fingerprint of the labels. Made on demand: it is a multiplication for each byte, each of which waits
    /// for the one before.
    pub fn alertmanager_fingerprint(&self) -> u64 {
        alertmanager_fingerprint(self.labels.iter())
    }

    pub fn into_owned(self) -> Alert<'static> {
        Alert {
            name: Cow::Owned(self.name.into_owned()),
            title: Cow::Owned(self.title.into_owned()),
            labels: self.labels.into_owned(),
            annotations: self.annotations.into_owned(),
            fields: self.fields.into_owned(),
            identity: self.identity,
            sender: self.sender,
            voice: self.voice,
            state: self.state,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            holds_for: self.holds_for,
            severity: self.severity,
            links: self.links,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_anywhere_makes_an_address_prose() {
        for character in (0..0x3100).filter_map(char::from_u32) {
            let is_blank = character.is_whitespace() || character.is_control();
            let address = format!("https://example.com/{character}x");
            assert_eq!(is_web_address(&address), !is_blank, "{character:?}");
            assert_eq!(is_web_address(&format!("{address}\u{e9}")), !is_blank, "{character:?}");
        }
        assert!(!is_web_address("ftp://example.com") && !is_web_address("?orgId=1"));
    }
}
