//! Alerts posted as to an Alertmanager (`POST /api/v2/alerts`): Prometheus, vmalert, rulers, amtool, scripts.
//! Never refuses a batch for one bad alert, and never decides which of two senders is right.
//!
//! Format: <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>; the members of an
//! alert are in [`super::prometheus`].
//!
//! | their field | our field | note |
//! | --- | --- | --- |
//! | `startsAt` missing or zero | `starts_at`: the end of what is over, else none | repeats open nothing new |
//! | `endsAt` after receipt | firing, `holds_for` until then | what was not heard of until then is over |
//! | `endsAt` past | resolved | |
//! | `endsAt` missing or zero | firing, `holds_for` 5 minutes | Alertmanager's `resolve_timeout` |

use std::time::Duration;

use crate::model::alert::Voice;
use crate::model::{Alert, State, Timestamp};

use super::prometheus::{Element, Shape, Spoken, Values, read_elements};
use super::{Answer, Batch, DecodeError, Instance, Receipt, Reject, Request, Source, node, times};

pub(super) struct AlertmanagerApi;

const KIND: &str = "alertmanager-api";
const PATH_V2: &str = "/api/v2/alerts";
const PATH_V1: &str = "/api/v1/alerts";
/// Alertmanager's default `resolve_timeout`.
const HOLDS_FOR: Duration = Duration::from_secs(300);
/// A clock that is years ahead must not keep an alert open for years.
const HOLDS_FOR_MAX: Duration = Duration::from_secs(7 * 86_400);

impl Source for AlertmanagerApi {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn about(&self) -> &'static str {
        "Prometheus, vmalert and rulers, posting as they would to an Alertmanager (API v2)."
    }

    fn fixed_paths(&self) -> &'static [&'static str] {
        &[PATH_V2, PATH_V1]
    }

    fn body_bytes_max(&self) -> usize {
        16 << 20
    }

    fn decode<'a>(&self, request: &Request<'a>, instance: &'a Instance) -> Result<Batch<'a>, DecodeError> {
        if !is_served(request.path) {
            return Err(DecodeError::NoSuchPath { path: request.path.to_owned() });
        }
        let text = node::body_text(request.body)?;
        let shape = Shape::new(KIND, Voice::Evaluator, request, instance);
        let elements = read_elements("body", text, Values::Texts)?;
        let mut batch = Batch { alerts: Vec::with_capacity(elements.len()), ..Batch::default() };
        for (position, element) in elements.into_iter().enumerate() {
            match element.and_then(|element| alert_of(&shape, element, request.received_at, instance)) {
                Ok(alert) => batch.alerts.push(alert),
                Err(reason) => batch.rejects.push(Reject { position, reason }),
            }
        }
        Ok(batch)
    }

    fn answer(&self, path: &str, receipt: &Receipt<'_>) -> Answer {
        match receipt {
            Receipt::Taken { accepted_count: 0, rejects: [first, ..], .. } => refusal(400, &first.to_string()),
            Receipt::Taken { .. } if path.trim_end_matches('/').ends_with(PATH_V1) => {
                Answer::json(200, &serde_json::json!({ "status": "success" }))
            }
            Receipt::Taken { .. } => Answer { status: 200, content_type: "", body: String::new() },
            Receipt::Refused { status, reason } => refusal(*status, reason),
            Receipt::NotNow { reason } => refusal(503, reason),
        }
    }
}

/// Below its own address, a source is also reached behind a prefix that the sender adds: rulers put `/alertmanager` or
/// `/api` before the path, for Mimir's sake.
fn is_served(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    path.is_empty() || path.ends_with(PATH_V2) || path.ends_with(PATH_V1)
}

/// The form of go-openapi, which Alertmanager's clients know.
fn refusal(status: u16, reason: &str) -> Answer {
    Answer::bounded(status, reason, |reason| serde_json::json!({ "code": status, "message": reason }))
}

fn alert_of<'a>(
    shape: &Shape<'a>,
    mut element: Element<'a>,
    received_at: Timestamp,
    instance: &Instance,
) -> Result<Alert<'a>, String> {
    let labels = shape.labels_of(&mut element)?;
    // They are sorted, so an empty name stands first.
    if labels.0.iter().next().is_some_and(|(name, _)| name.is_empty()) {
        return Err("field `labels`: a label has no name".to_owned());
    }
    let starts_at = element.starts_at.filter(|instant| !instant.is_unset());
    let ends_at = element.ends_at.filter(|instant| !instant.is_unset());
    if let (Some(starts_at), Some(ends_at)) = (starts_at, ends_at)
        && starts_at > ends_at
    {
        return Err(format!("field `startsAt`: {starts_at} is after `endsAt` {ends_at}"));
    }
    let spoken = spoken(starts_at, ends_at, received_at, instance);
    Ok(shape.alert(element, labels, spoken))
}

fn spoken(
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    received_at: Timestamp,
    instance: &Instance,
) -> Spoken {
    let clamped = starts_at.map(|instant| times::clamp(instant, received_at));
    match ends_at {
        None => Spoken {
            state: State::Firing,
            starts_at: clamped,
            ends_at: None,
            holds_for: instance.holds_for.unwrap_or(HOLDS_FOR),
        },
        Some(ends_at) if ends_at > received_at => Spoken {
            state: State::Firing,
            starts_at: clamped,
            ends_at: Some(ends_at),
            holds_for: ends_at.since(received_at).min(HOLDS_FOR_MAX),
        },
        // A clamped start must not lie behind the end.
        Some(ends_at) => Spoken {
            state: State::Resolved,
            starts_at: Some(clamped.map_or(ends_at, |instant| instant.min(ends_at))),
            ends_at: Some(ends_at),
            holds_for: Duration::ZERO,
        },
    }
}
