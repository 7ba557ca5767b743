//! PagerDuty's Events API, spoken as a server, so that a client is moved to us by its address alone. Never
//! stores the routing key, which is a credential: it is only hashed.
//!
//! Format: <https://developer.pagerduty.com/docs/events-api-v2/overview/>
//!
//! | their field | our field | note |
//! | --- | --- | --- |
//! | `routing_key`, `dedup_key` | identity | with the constants of the instance; the header `X-Routing-Key` where the body has no key; of a change the body, and the time of receipt where it has no `payload.timestamp` |
//! | `event_action` | `state` | change events are `info` |
//! | `payload.summary` | `title` | |
//! | `payload.class` | `name` | else `alertname` of the details, or of a group of Alertmanager, else `dedup_key` |
//! | `payload.source`, `.component`, `.group`, `.class`, `client` | labels and fields | |
//! | `payload.custom_details` | labels | flattened; rendered lists of labels stay text |
//! | `.firing[].labels`, else `.resolved[].labels` | labels | those that all alerts of the list share, where nothing above has the name |
//! | `payload.timestamp` | field `timestamp`; `starts_at` of a change | of an alert it is not the episode's start |
//! | `client_url`, `links`, `images` | `links` | in this order |

mod event;
mod group;
mod mask;
mod name;

use std::borrow::Cow;
use std::time::Duration;

use serde_json::json;

use crate::model::alert::Voice;
use crate::model::id::IdHasher;
use crate::model::{Alert, Identity, Labels, Link, Severity, State, Timestamp};

use super::flatten::{bounded, flatten};
use super::node::{self, Kind, Node};
use super::{Answer, Batch, Credential, DecodeError, ERROR_SEPARATOR, Instance, Receipt, Request, Source, times};
use event::{Event, Form};

pub(super) struct PagerDuty;

const KIND: &str = "pagerduty";
/// PagerDuty itself never forgets; here each open alert needs an end.
const HOLDS_FOR: Duration = Duration::from_secs(86_400);
const LINK_COUNT_MAX: usize = 20;
/// Version 1 has another name for it. One list for reading and checking, so that the key that was checked is
/// the key that counts.
const KEY_NAMES: [&str; 2] = ["routing_key", "service_key"];

impl Source for PagerDuty {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn about(&self) -> &'static str {
        "Clients of PagerDuty's Events API (version 2, change events, and version 1)."
    }

    fn fixed_paths(&self) -> &'static [&'static str] {
        &[event::PATH_V2, event::PATH_CHANGE, event::PATH_V1]
    }

    /// PagerDuty's 512 KiB and a tenth.
    fn body_bytes_max(&self) -> usize {
        563_200
    }

    fn credential<'a>(&self, body: &'a [u8]) -> Credential<'a> {
        match node::top_level_text(body, &KEY_NAMES) {
            Some(key) => Credential::Body(Some(key)),
            None => match event_object(body) {
                Ok(_) => Credential::Body(None),
                Err(error) => Credential::Unreadable(error.to_string()),
            },
        }
    }

    fn key_header(&self) -> Option<&'static str> {
        Some("x-routing-key")
    }

    /// From here on the key stands where all others have it, so it is checked, hashed and masked as theirs are. It comes
    /// last, where it wins over an empty one.
    fn with_key(&self, body: &[u8], key: &str) -> Option<Vec<u8>> {
        if key.is_empty() || node::top_level_text(body, &KEY_NAMES).is_some() {
            return None;
        }
        let (text, _) = event_object(body).ok()?;
        let members = text.strip_suffix('}')?;
        let comma = if members.trim_end() == "{" { "" } else { "," };
        Some(format!("{members}{comma}{}:{}}}", json!(KEY_NAMES[0]), json!(key)).into_bytes())
    }

    /// Nothing of a body that may still show its key: see [`mask`].
    fn without_credential<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Owned(mask::masked(body, &KEY_NAMES).unwrap_or_default().into_bytes())
    }

    fn decode<'a>(&self, request: &Request<'a>, instance: &'a Instance) -> Result<Batch<'a>, DecodeError> {
        let form = Form::of_path(request.path)?;
        let (text, body) = event_object(request.body)?;
        let routing_key = node::top_level_text(request.body, &KEY_NAMES).unwrap_or_default();
        let mut event = Event::read(body, form);
        event.check(form, &routing_key)?;
        let decoder = Decoder { request, instance, routing_key: &routing_key, text };
        let dedup_key = match form {
            Form::Change => None,
            Form::V2 | Form::V1 => Some(event.dedup_key.take().unwrap_or_else(|| Cow::Owned(decoder.invented_key()))),
        };
        Ok(Batch {
            answer_key: dedup_key.as_deref().map(str::to_owned),
            alerts: vec![decoder.alert(event, dedup_key)],
            ..Batch::default()
        })
    }

    fn answer(&self, path: &str, receipt: &Receipt<'_>) -> Answer {
        match receipt {
            Receipt::Taken { answer_key, .. } => taken(path, answer_key.unwrap_or_default()),
            // An unknown key is a bad event to PagerDuty, and its clients log that body.
            Receipt::Refused { status: 401, .. } => invalid(400, "`routing_key` is unknown or missing"),
            Receipt::Refused { status, reason } => invalid(*status, reason),
            Receipt::NotNow { reason } => {
                Answer::bounded(503, reason, |reason| json!({ "status": "unavailable", "message": reason }))
            }
        }
    }
}

fn event_object(body: &[u8]) -> Result<(&str, Node<'_>), DecodeError> {
    let text = node::body_text(body)?;
    let body = Node::parse(text)?;
    if body.kind() == Kind::Object {
        return Ok((text, body));
    }
    let reason = format!("expected an event object, found {}", body.kind().as_str());
    Err(DecodeError::Bad { field: Cow::Borrowed("body"), reason })
}

/// Clients insist on the status and read `dedup_key` out of the body.
fn taken(path: &str, key: &str) -> Answer {
    match Form::of_path(path) {
        Ok(Form::V1) => {
            Answer::json(200, &json!({ "status": "success", "message": "Event processed", "incident_key": key }))
        }
        Ok(Form::Change) => Answer::json(202, &json!({ "status": "success", "message": "Change event processed" })),
        Ok(Form::V2) | Err(_) => {
            Answer::json(202, &json!({ "status": "success", "message": "Event processed", "dedup_key": key }))
        }
    }
}

fn invalid(status: u16, reason: &str) -> Answer {
    Answer::bounded(status, reason, |reason| {
        let errors: Vec<&str> = reason.split(ERROR_SEPARATOR).collect();
        json!({ "status": "invalid event", "message": "Event object is invalid", "errors": errors })
    })
}

struct Decoder<'r, 'a> {
    request: &'r Request<'a>,
    instance: &'a Instance,
    routing_key: &'r str,
    text: &'a str,
}

impl<'a> Decoder<'_, 'a> {
    /// A client that gives no key gets one of the body and the time: shaped as a UUID, as PagerDuty does it,
    /// without chance, so that the same input decodes to the same alert.
    fn invented_key(&self) -> String {
        let mut hasher = IdHasher::new("pagerduty-dedup-key");
        hasher.part(self.text);
        hasher.part(&self.request.received_at.as_ms().to_string());
        let mut id = hasher.finish();
        // Version 8 ("custom") and the variant of RFC 9562.
        id[6] = id[6] & 0x0f | 0x80;
        id[8] = id[8] & 0x3f | 0x80;
        let hex = Identity(id).to_string();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    fn alert(&self, event: Event<'a>, dedup_key: Option<Cow<'a, str>>) -> Alert<'a> {
        let mut sender = IdHasher::new("sender");
        sender.part(&self.instance.name);
        let mut labels = self.labels(&event);
        // Named before the labels of a group join: by whom it is grouped decides whether theirs is its name.
        let name = name::given(&labels, event.summary.as_deref());
        self.add_shared(&mut labels, &event);
        let title = self.title(&event, dedup_key.as_deref());
        let identity = match dedup_key.as_deref() {
            Some(key) => self.identity(key),
            None => self.identity_of_change(&event),
        };
        Alert {
            identity,
            sender: sender.sender(),
            voice: Voice::Evaluator,
            state: event.state,
            // A change happened when it happened; a problem may have begun before the event that tells of it.
            starts_at: match event.state {
                State::Info => self.timestamp(&event),
                State::Firing | State::Acknowledged | State::Resolved | State::Suppressed | State::NoData => None,
            },
            ends_at: None,
            holds_for: match event.state {
                State::Resolved | State::Info => Duration::ZERO,
                State::Firing | State::Acknowledged | State::Suppressed | State::NoData => {
                    self.instance.holds_for.unwrap_or(HOLDS_FOR)
                }
            },
            severity: severity_of(&event),
            name: name.unwrap_or_else(|| self.own_name(dedup_key.as_ref(), identity, &title)),
            title,
            fields: self.fields(&event, dedup_key),
            links: self.links(&event),
            labels,
            annotations: Labels::new(),
        }
    }

    fn identity(&self, dedup_key: &str) -> Identity {
        let mut hasher = IdHasher::new("pagerduty");
        hasher.part(self.routing_key);
        hasher.part(dedup_key);
        self.with_constants(hasher)
    }

    /// A change has no key. One that says when it happened is the same whenever it is posted; of others two may read alike
    /// (the second deploy of a day), and PagerDuty shows both.
    fn identity_of_change(&self, event: &Event<'a>) -> Identity {
        let is_dated = self.timestamp(event).is_some();
        let mut hasher = IdHasher::new(if is_dated { "pagerduty-change" } else { "pagerduty-change-undated" });
        hasher.part(self.routing_key);
        hasher.part(self.text);
        if !is_dated {
            hasher.part(&self.request.received_at.as_ms().to_string());
        }
        self.with_constants(hasher)
    }

    fn with_constants(&self, mut hasher: IdHasher) -> Identity {
        for (name, value) in self.instance.constants.iter() {
            hasher.part(name);
            hasher.part(value);
        }
        hasher.identity()
    }

    /// Details under their own names, so that rules read `label.service`; PagerDuty's own members win.
    fn labels(&self, event: &Event<'a>) -> Labels<'a> {
        let details = event.details.map(|details| match details.kind() {
            Kind::Object => flatten("", details),
            Kind::Text | Kind::Number | Kind::Bool | Kind::List | Kind::Null => flatten("custom_details", details),
        });
        let own = event.members().into_iter().filter_map(|(name, value)| Some((Cow::Borrowed(name), value?)));
        details
            .unwrap_or_default()
            .into_iter()
            .chain(own)
            .filter(|(name, value)| self.is_public(name) && self.is_public(value))
            .collect()
    }

    /// What is known of the event itself wins over what its alerts have in common.
    fn add_shared(&self, labels: &mut Labels<'a>, event: &Event<'a>) {
        for (name, value) in event.details.map(group::shared_labels).unwrap_or_default() {
            if labels.get(&name).is_none() && self.is_public(&name) && self.is_public(&value) {
                labels.set(name, value);
            }
        }
    }

    fn fields(&self, event: &Event<'a>, dedup_key: Option<Cow<'a, str>>) -> Labels<'a> {
        let constants = self.instance.constants.iter().map(|(name, value)| (name, Cow::Borrowed(value)));
        let own = event.members().into_iter().chain([
            ("severity", event.severity.clone()),
            ("dedup_key", dedup_key),
            ("timestamp", self.timestamp(event).map(|instant| Cow::Owned(instant.to_string()))),
        ]);
        let own = own.filter_map(|(name, value)| Some((name, value?)));
        let fixed = [("source", Cow::Borrowed(KIND)), ("instance", Cow::Borrowed(self.instance.name.as_str()))];
        // `source` says which kind of source spoke; PagerDuty's own is among the labels.
        let own = own.filter(|(name, value)| *name != "source" && self.is_public(value));
        constants.chain(own.map(|(name, value)| (name, bounded(value)))).chain(fixed).collect()
    }

    fn timestamp(&self, event: &Event<'a>) -> Option<Timestamp> {
        let instant = times::parse_any(event.timestamp.as_deref()?)?;
        Some(times::clamp(instant, self.request.received_at))
    }

    /// An acknowledgement or a resolve may come with nothing but its key.
    fn title(&self, event: &Event<'a>, dedup_key: Option<&str>) -> Cow<'a, str> {
        let summary = event.summary.clone().filter(|summary| self.is_public(summary));
        let key = || dedup_key.filter(|key| self.is_public(key)).map(|key| Cow::Owned(key.to_owned()));
        summary.or_else(key).unwrap_or(Cow::Borrowed("event"))
    }

    /// What nobody named is a problem of its own, as it is at PagerDuty, so its key names it. A change is told as it comes
    /// and joins nothing.
    fn own_name(&self, dedup_key: Option<&Cow<'a, str>>, identity: Identity, title: &str) -> Cow<'a, str> {
        match dedup_key {
            Some(key) if self.is_public(key) => key.clone(),
            Some(_) => Cow::Owned(identity.to_string()),
            None => Cow::Owned(title.split_whitespace().next().unwrap_or("change").to_owned()),
        }
    }

    fn links(&self, event: &Event<'a>) -> Vec<Link> {
        event
            .links
            .iter()
            .filter(|(href, text)| self.is_public(href) && self.is_public(text))
            .filter_map(|(href, text)| Link::checked(href, text))
            .take(LINK_COUNT_MAX)
            .collect()
    }

    /// Whether a text may be kept: clients do repeat their routing key inside the event.
    fn is_public(&self, text: &str) -> bool {
        const LENGTH_MIN: usize = 8;
        text != self.routing_key && (self.routing_key.len() < LENGTH_MIN || !text.contains(self.routing_key))
    }
}

fn severity_of(event: &Event<'_>) -> Severity {
    match (event.state, event.severity.as_deref()) {
        (State::Info, None) => Severity::Info,
        // A word that nobody knows is no reason to lose an alert.
        (_, severity) => severity.and_then(Severity::from_word).unwrap_or_default(),
    }
}
