//! Any JSON, read through a mapping in the settings: where the identity, the state and the words stand.
//! Never deduplicates what has no identity, beyond what its title and labels say; and where the mapping names the
//! place of the identity, refuses what has nothing there.
//!
//! Each target is a JSON pointer, `{const: …}`, or a list of these of which the first present wins.
//!
//! | target | candidates without a mapping | our field |
//! | --- | --- | --- |
//! | `alerts` | the body, or each element of a list at the top | one alert each |
//! | `identity` | `dedup_key dedupKey fingerprint alias incident_key alert_id id` | identity |
//! | `state` | `status state alert_state event_action action current_state` | `state`, by `states`, then by the words of [`states`]; a number needs `states` |
//! | `severity` | `severity priority level alert_type` | `severity` |
//! | `title` | `title summary subject name alertname message text` | `title` |
//! | `name` | `alertname name` | `name`, else the title |
//! | `labels` | `labels tags details attributes` | labels |
//! | `time` | `timestamp time startsAt date created_at occurred_at` | `starts_at`; `ends_at` of a resolve |
//! | `link` | `url link html_url generatorURL` | a link |

mod form;
mod mapping;
mod read;
mod states;

use std::borrow::Cow;
use std::time::Duration;

use crate::model::alert::Voice;
use crate::model::id::IdHasher;
use crate::model::{Alert, Identity, Labels, Link, SenderId, Severity, State};

use super::node::{self, COUNT_MAX, Kind, Node};
use super::{Answer, Batch, DecodeError, Instance, Receipt, Reject, Request, Source, times};
use mapping::Mapping;

pub(super) struct Json;

const KIND: &str = "json";
/// Nobody promises that a resolve will come.
const HOLDS_FOR: Duration = Duration::from_secs(86_400);

impl Source for Json {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn about(&self) -> &'static str {
        "Any JSON, through a mapping in the settings: pointers to identity, state, severity, title, labels."
    }

    fn check_options(&self, options: &serde_json::Value) -> Result<(), String> {
        Mapping::of_options(options).map(drop)
    }

    fn decode<'a>(&self, request: &Request<'a>, instance: &'a Instance) -> Result<Batch<'a>, DecodeError> {
        let mapping = Mapping::of_options(&instance.options)
            .map_err(|reason| DecodeError::Bad { field: Cow::Borrowed("options"), reason })?;
        let text = node::body_text(request.body)?;
        if form::is_form(request.content_type, text) {
            // Its text is ours and ends with this function, so the alerts are copied out of it.
            let json = form::to_json(text);
            let batch = decode_text(&json, &mapping, request, instance)?;
            let alerts = batch.alerts.into_iter().map(Alert::into_owned).collect();
            return Ok(Batch { alerts, rejects: batch.rejects, ..Batch::default() });
        }
        decode_text(text, &mapping, request, instance)
    }

    fn answer(&self, _path: &str, receipt: &Receipt<'_>) -> Answer {
        match receipt {
            Receipt::Taken { accepted_count: 0, rejects: [first, ..], .. } => Answer::error(400, &first.to_string()),
            Receipt::Taken { .. } => Answer::json(200, &serde_json::json!({})),
            Receipt::Refused { status, reason } => Answer::error(*status, reason),
            Receipt::NotNow { reason } => Answer::error(503, reason),
        }
    }
}

fn decode_text<'a>(
    text: &'a str,
    mapping: &Mapping,
    request: &Request<'_>,
    instance: &Instance,
) -> Result<Batch<'a>, DecodeError> {
    let body = Node::parse(text)?;
    let mut sender = IdHasher::new("sender");
    sender.part(&instance.name);
    let reader = Reader { mapping, request, instance, sender: sender.sender() };
    let mut batch = Batch::default();
    for (position, element) in elements(body, mapping)?.into_iter().enumerate() {
        match reader.alert(element) {
            Ok(alert) => batch.alerts.push(alert),
            Err(reason) => batch.rejects.push(Reject { position, reason }),
        }
    }
    Ok(batch)
}

/// A list at the top, or at the pointer of `alerts`, is several alerts; an object is one.
fn elements<'a>(body: Node<'a>, mapping: &Mapping) -> Result<Vec<Node<'a>>, DecodeError> {
    let list = match &mapping.alerts {
        None => body,
        Some(pointers) => {
            pointers.iter().find_map(|pointer| body.pointer(pointer)).ok_or_else(|| DecodeError::Bad {
                field: Cow::Borrowed("alerts"),
                reason: format!("nothing at {}", mapping::listed(pointers.iter().map(String::as_str))),
            })?
        }
    };
    match list.kind() {
        Kind::Object => Ok(vec![list]),
        Kind::List => match list.items() {
            items if items.len() == COUNT_MAX => Err(DecodeError::Bad {
                field: Cow::Borrowed("alerts"),
                reason: format!("{COUNT_MAX} alerts or more in one request"),
            }),
            items => Ok(items),
        },
        kind @ (Kind::Null | Kind::Bool | Kind::Number | Kind::Text) => Err(DecodeError::Bad {
            field: Cow::Borrowed("body"),
            reason: format!("expected an object or a list of them, found {}", kind.as_str()),
        }),
    }
}

struct Reader<'r> {
    mapping: &'r Mapping,
    request: &'r Request<'r>,
    instance: &'r Instance,
    sender: SenderId,
}

impl Reader<'_> {
    fn alert<'a>(&self, element: Node<'a>) -> Result<Alert<'a>, String> {
        if element.kind() != Kind::Object {
            return Err(format!("expected an object, found {}", element.kind().as_str()));
        }
        let mapping = self.mapping;
        let given = mapping.identity.text(element);
        if given.is_none() && mapping.identity_is_chosen {
            return Err(format!("missing identity: nothing at {}", mapping.identity.tried()));
        }
        let title = mapping.title.text(element);
        let labels = mapping.labels(element);
        if given.is_none() && title.is_none() && labels.is_empty() {
            return Err(format!(
                "missing identity: nothing at {}, and neither title nor labels to make one of",
                mapping.identity.tried()
            ));
        }
        let state = mapping.state(element)?;
        let time = mapping.time.text(element).and_then(|text| times::parse_any(&text));
        let time = time.map(|instant| times::clamp(instant, self.request.received_at));
        let name = mapping.name.text(element).or_else(|| labels.get_cow("alertname"));
        let name = name.or_else(|| title.clone()).unwrap_or(Cow::Borrowed("alert"));
        let link = mapping.link.text(element).and_then(|href| Link::checked(&href, "Source"));
        let severity = mapping.severity.text(element).and_then(|word| Severity::from_word(&word));
        let (starts_at, ends_at, holds_for) = match state {
            State::Resolved => (None, time, Duration::ZERO),
            State::Firing | State::Acknowledged | State::Suppressed | State::NoData | State::Info => {
                (time, None, self.instance.holds_for.unwrap_or(HOLDS_FOR))
            }
        };
        Ok(Alert {
            identity: self.identity(given.as_deref(), title.as_deref(), &labels),
            sender: self.sender,
            voice: Voice::Evaluator,
            state,
            starts_at,
            ends_at,
            holds_for,
            severity: severity.or_else(|| labels.get("severity").and_then(Severity::from_word)).unwrap_or_default(),
            title: title.unwrap_or_else(|| name.clone()),
            name,
            fields: self.fields(),
            links: link.into_iter().collect(),
            labels,
            annotations: Labels::new(),
        })
    }

    /// Without an identity of the sender's own, what it says is who it is.
    fn identity(&self, given: Option<&str>, title: Option<&str>, labels: &Labels<'_>) -> Identity {
        let mut hasher = IdHasher::new(if given.is_some() { "json" } else { "json-derived" });
        hasher.part(&self.instance.name);
        match given {
            Some(given) => hasher.part(given),
            None => {
                hasher.part(title.unwrap_or_default());
                for (name, value) in labels.iter() {
                    hasher.part(name);
                    hasher.part(value);
                }
            }
        }
        hasher.part("");
        for (name, value) in self.instance.constants.iter() {
            hasher.part(name);
            hasher.part(value);
        }
        hasher.identity()
    }

    fn fields<'a>(&self) -> Labels<'a> {
        let constants = self.instance.constants.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let own = [("source".to_owned(), KIND.to_owned()), ("instance".to_owned(), self.instance.name.clone())];
        constants.chain(own).collect()
    }
}
