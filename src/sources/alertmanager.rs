//! Alertmanager's webhook, version 4 and the older 3, and Grafana's, which is the same with additions.
//! Never reads the state of the message where alerts have their own: the message can lie when it is cut.
//!
//! Format: <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>; the members of an
//! alert are in [`super::prometheus`].
//!
//! | their field | our field | note |
//! | --- | --- | --- |
//! | `alerts[].status` | `state` | else `endsAt` (zero or future fires), else the message's `status` |
//! | `truncatedAlerts` | `truncated_count` | resolves may be among what was cut |
//! | `receiver` | field `receiver` | arrives with regular-expression escapes, which are undone |
//! | `groupKey`, `externalURL` | fields of that name | a number in version 3; never part of the identity |
//! | `orgId`, `valueString`, `ruleUID` | Grafana | its given fingerprint is the identity |

use std::borrow::Cow;
use std::time::Duration;

use crate::model::alert::Voice;
use crate::model::{Alert, State, Timestamp};

use super::node::{self, Kind, Node};
use super::prometheus::{Element, Elements, Shape, Spoken, Values, read_elements};
use super::{Answer, Batch, DecodeError, Instance, Receipt, Reject, Request, Source, times};

pub(super) struct Alertmanager;

const KIND: &str = "alertmanager";
/// Silenced and truncated alerts never get their resolve: each needs an end of its own.
const HOLDS_FOR: Duration = Duration::from_secs(86_400);

const FIELD_BYTES_MAX: usize = 1024;

impl Source for Alertmanager {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn about(&self) -> &'static str {
        "Alertmanager's webhook (versions 3 and 4), and Grafana's, which has its form."
    }

    fn body_bytes_max(&self) -> usize {
        16 << 20
    }

    fn decode<'a>(&self, request: &Request<'a>, instance: &'a Instance) -> Result<Batch<'a>, DecodeError> {
        let message = Message::read(node::body_text(request.body)?)?;
        let shape = message.shape(request, instance);
        let mut batch = Batch {
            alerts: Vec::with_capacity(message.alerts.len()),
            truncated_count: message.truncated_count,
            ..Batch::default()
        };
        for (position, element) in message.alerts.into_iter().enumerate() {
            match element.and_then(|element| alert_of(&shape, element, &message.status, request, instance)) {
                Ok(alert) => batch.alerts.push(alert),
                Err(reason) => batch.rejects.push(Reject { position, reason }),
            }
        }
        Ok(batch)
    }

    /// A 4xx makes Alertmanager log our reason and come again with the next group interval, a 503 makes it
    /// retry at once: so the first is for what will never be taken.
    fn answer(&self, _path: &str, receipt: &Receipt<'_>) -> Answer {
        match receipt {
            Receipt::Taken { accepted_count: 0, rejects: [first, ..], .. } => Answer::error(400, &first.to_string()),
            Receipt::Taken { .. } => Answer::json(200, &serde_json::json!({})),
            Receipt::Refused { status, reason } => Answer::error(*status, reason),
            Receipt::NotNow { reason } => Answer::error(503, reason),
        }
    }
}

/// The members of the message around its alerts.
struct Message<'a> {
    alerts: Elements<'a>,
    status: Option<Cow<'a, str>>,
    receiver: Cow<'a, str>,
    group_key: Cow<'a, str>,
    external_url: Cow<'a, str>,
    truncated_count: u64,
    /// Grafana's organisation, or an empty text for a Grafana that does not tell.
    grafana: Option<Cow<'a, str>>,
}

impl<'a> Message<'a> {
    fn read(text: &'a str) -> Result<Message<'a>, DecodeError> {
        let body = Node::parse(text)?;
        if body.kind() != Kind::Object {
            return Err(DecodeError::Bad {
                field: Cow::Borrowed("body"),
                reason: format!("expected an object with `alerts`, found {}", body.kind().as_str()),
            });
        }
        let members = body.members();
        let member = |wanted: &str| {
            members.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| *value).filter(|v| !v.is_null())
        };
        let text_of = |wanted: &str| member(wanted).and_then(Node::scalar);
        let list = member("alerts").ok_or(DecodeError::Missing { field: "alerts" })?;
        // Others send in this form too, and not all of them quote their numbers.
        let alerts = read_elements("alerts", list.json(), Values::Scalars)?;
        let is_grafana = |element: &Element<'_>| element.extras.iter().any(|(name, _)| *name == "valueString");
        let grafana = text_of("orgId").or_else(|| {
            let says_so = member("state").is_some() || alerts.iter().flatten().any(is_grafana);
            says_so.then_some(Cow::Borrowed(""))
        });
        Ok(Message {
            alerts,
            status: text_of("status"),
            receiver: unescaped(text_of("receiver").unwrap_or_default()),
            group_key: text_of("groupKey").unwrap_or_default(),
            external_url: text_of("externalURL").unwrap_or_default(),
            truncated_count: text_of("truncatedAlerts").and_then(|count| count.parse().ok()).unwrap_or(0),
            grafana,
        })
    }

    fn shape(&self, request: &Request<'a>, instance: &'a Instance) -> Shape<'a> {
        let mut shape = Shape::new(KIND, Voice::Relay, request, instance);
        for (name, value) in
            [("receiver", &self.receiver), ("groupKey", &self.group_key), ("externalURL", &self.external_url)]
        {
            // They go with each alert, so a megabyte here would be a megabyte times the alerts.
            if value.len() <= FIELD_BYTES_MAX {
                shape.set_field(name, value.clone());
            }
        }
        if let Some(organisation) = &self.grafana {
            shape.set_grafana(organisation.clone());
        }
        shape
    }
}

/// Alertmanager quotes the receiver's name as for a regular expression: `hook\.main`.
fn unescaped(name: Cow<'_, str>) -> Cow<'_, str> {
    if !name.contains('\\') {
        return name;
    }
    let mut plain = String::with_capacity(name.len());
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        plain.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    Cow::Owned(plain)
}

fn alert_of<'a>(
    shape: &Shape<'a>,
    mut element: Element<'a>,
    message_status: &Option<Cow<'a, str>>,
    request: &Request<'a>,
    instance: &Instance,
) -> Result<Alert<'a>, String> {
    let labels = shape.labels_of(&mut element)?;
    let state = state_of(&element, message_status.as_deref(), request.received_at);
    let ends_at = element.ends_at.filter(|instant| !instant.is_unset());
    let starts_at =
        element.starts_at.filter(|instant| !instant.is_unset()).map(|at| times::clamp(at, request.received_at));
    let spoken = match state {
        State::Resolved => Spoken {
            state,
            starts_at: starts_at.map(|start| ends_at.map_or(start, |end| start.min(end))),
            ends_at,
            holds_for: Duration::ZERO,
        },
        // The word "firing" with a past end is a relay that is late, not an alert that ended.
        State::Firing | State::Acknowledged | State::Suppressed | State::NoData | State::Info => Spoken {
            state,
            starts_at,
            ends_at: ends_at.filter(|end| *end > request.received_at),
            holds_for: instance.holds_for.unwrap_or(HOLDS_FOR),
        },
    };
    Ok(shape.alert(element, labels, spoken))
}

fn state_of(element: &Element<'_>, message_status: Option<&str>, received_at: Timestamp) -> State {
    let word = |word: &str| match word {
        _ if word.eq_ignore_ascii_case("firing") => Some(State::Firing),
        _ if word.eq_ignore_ascii_case("resolved") => Some(State::Resolved),
        _ => None,
    };
    let by_end = |end: Timestamp| {
        if end.is_unset() || end > received_at { State::Firing } else { State::Resolved }
    };
    element
        .status
        .as_deref()
        .and_then(word)
        .or_else(|| element.ends_at.map(by_end))
        .or_else(|| message_status.and_then(word))
        .unwrap_or(State::Firing)
}
