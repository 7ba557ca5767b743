//! The members of an event as the three forms of the API word them. Collects all faults before it refuses,
//! because PagerDuty lists them all; never repeats a value in a fault.

use std::borrow::Cow;

use crate::model::State;
use crate::sources::DecodeError;
use crate::sources::node::Node;

pub(super) const PATH_V2: &str = "/v2/enqueue";
pub(super) const PATH_CHANGE: &str = "/v2/change/enqueue";
pub(super) const PATH_V1: &str = "/generic/2010-04-15/create_event.json";

const SUMMARY_CHARACTERS_MAX: usize = 1024;
const DEDUP_KEY_CHARACTERS_MAX: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    V2,
    Change,
    V1,
}

impl Form {
    /// A client that was given the whole address of the instance speaks version 2.
    pub(super) fn of_path(path: &str) -> Result<Form, DecodeError> {
        match path.trim_end_matches('/') {
            "" | PATH_V2 => Ok(Form::V2),
            PATH_CHANGE => Ok(Form::Change),
            PATH_V1 => Ok(Form::V1),
            _ => Err(DecodeError::NoSuchPath { path: path.to_owned() }),
        }
    }
}

pub(super) struct Event<'a> {
    action: Option<Cow<'a, str>>,
    /// Valid after [`Event::check`].
    pub(super) state: State,
    pub(super) dedup_key: Option<Cow<'a, str>>,
    pub(super) summary: Option<Cow<'a, str>>,
    pub(super) source: Option<Cow<'a, str>>,
    pub(super) severity: Option<Cow<'a, str>>,
    pub(super) timestamp: Option<Cow<'a, str>>,
    component: Option<Cow<'a, str>>,
    group: Option<Cow<'a, str>>,
    class: Option<Cow<'a, str>>,
    pub(super) client: Option<Cow<'a, str>>,
    pub(super) details: Option<Node<'a>>,
    /// Address and text.
    pub(super) links: Vec<(String, String)>,
}

impl<'a> Event<'a> {
    pub(super) fn read(body: Node<'a>, form: Form) -> Event<'a> {
        let payload = body.get("payload");
        let of_payload = |name: &str| payload.and_then(|payload| text(payload, name));
        match form {
            Form::V2 | Form::Change => Event {
                action: text(body, "event_action"),
                state: State::Info,
                dedup_key: text(body, "dedup_key"),
                summary: of_payload("summary"),
                source: of_payload("source"),
                severity: of_payload("severity"),
                timestamp: of_payload("timestamp"),
                component: of_payload("component"),
                group: of_payload("group"),
                class: of_payload("class"),
                client: text(body, "client"),
                details: payload.and_then(|payload| payload.get("custom_details")),
                links: links(body),
            },
            Form::V1 => Event {
                action: text(body, "event_type"),
                state: State::Info,
                dedup_key: text(body, "incident_key"),
                summary: text(body, "description"),
                source: text(body, "client"),
                severity: None,
                timestamp: None,
                component: None,
                group: None,
                class: None,
                client: text(body, "client"),
                details: body.get("details"),
                links: links(body),
            },
        }
    }

    /// What PagerDuty would refuse, in its words for a missing member, and the state.
    pub(super) fn check(&mut self, form: Form, routing_key: &str) -> Result<(), DecodeError> {
        let (key, action, dedup_key, summary) = match form {
            Form::V2 | Form::Change => ("routing_key", "event_action", "dedup_key", "payload.summary"),
            Form::V1 => ("service_key", "event_type", "incident_key", "description"),
        };
        let mut faults = Faults::default();
        faults.missing(key, routing_key.is_empty());
        match form {
            Form::Change => faults.missing(summary, self.summary.is_none()),
            Form::V2 | Form::V1 => self.check_action(form, action, dedup_key, summary, &mut faults),
        }
        faults.too_long(summary, self.summary.as_deref(), SUMMARY_CHARACTERS_MAX);
        faults.too_long(dedup_key, self.dedup_key.as_deref(), DEDUP_KEY_CHARACTERS_MAX);
        if faults.0.is_empty() { Ok(()) } else { Err(DecodeError::Invalid { errors: faults.0 }) }
    }

    fn check_action(&mut self, form: Form, action: &str, dedup_key: &str, summary: &str, faults: &mut Faults) {
        let word = self.action.as_deref().unwrap_or_default().to_ascii_lowercase();
        self.state = match word.as_str() {
            "trigger" => State::Firing,
            "acknowledge" => State::Acknowledged,
            "resolve" => State::Resolved,
            "" => return faults.missing(action, true),
            _ => return faults.0.push(format!("`{action}` is not one of trigger, acknowledge, resolve")),
        };
        if self.state == State::Firing {
            faults.missing(summary, self.summary.is_none());
            if form == Form::V2 {
                faults.missing("payload.source", self.source.is_none());
                faults.missing("payload.severity", self.severity.is_none());
            }
        } else {
            faults.missing(dedup_key, self.dedup_key.is_none());
        }
    }

    /// The members that say where and what, and who says so.
    pub(super) fn members(&self) -> [(&'static str, Option<Cow<'a, str>>); 5] {
        [
            ("class", self.class.clone()),
            ("client", self.client.clone()),
            ("component", self.component.clone()),
            ("group", self.group.clone()),
            ("source", self.source.clone()),
        ]
    }
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn missing(&mut self, field: &str, is_missing: bool) {
        if is_missing {
            self.0.push(format!("`{field}` is missing or blank"));
        }
    }

    fn too_long(&mut self, field: &str, text: Option<&str>, characters_max: usize) {
        if text.is_some_and(|text| text.chars().count() > characters_max) {
            self.0.push(format!("`{field}` is longer than {characters_max} characters"));
        }
    }
}

/// Texts and numbers; blank is absent.
fn text<'a>(object: Node<'a>, name: &str) -> Option<Cow<'a, str>> {
    object.get(name)?.scalar().filter(|text| !text.trim().is_empty())
}

/// Version 1 puts links and images into `contexts`.
fn links(body: Node<'_>) -> Vec<(String, String)> {
    const LISTS: [(&str, &str, &str, &str); 4] = [
        ("links", "href", "text", "Link"),
        ("contexts", "href", "text", "Link"),
        ("contexts", "src", "alt", "Image"),
        ("images", "src", "alt", "Image"),
    ];
    // The client's own address comes first: it is the way back to the tool that raised the event.
    let client = text(body, "client").map_or_else(|| "Client".to_owned(), Cow::into_owned);
    let mut links: Vec<_> = text(body, "client_url").map(|href| (href.into_owned(), client)).into_iter().collect();
    for (list, href, label, or) in LISTS {
        for item in body.get(list).map(Node::items).unwrap_or_default() {
            if let Some(href) = text(item, href) {
                let label = text(item, label).map_or_else(|| or.to_owned(), Cow::into_owned);
                links.push((href.into_owned(), label));
            }
        }
    }
    links
}
