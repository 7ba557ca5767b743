//! What a Prometheus and an Alertmanager send about an alert, byte shapes included. Never sends by itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::Timestamp;

/// How long a Prometheus vouches for an alert that fires: four times its interval of one minute.
const VOUCHED_FOR: Duration = Duration::from_secs(240);
/// What Go writes for "has not ended".
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Prometheus,
    Alertmanager,
}

impl Sender {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Sender::Prometheus => "prometheus",
            Sender::Alertmanager => "alertmanager",
        }
    }

    /// Prometheus takes us for an Alertmanager; for an Alertmanager we are the receiver of a webhook.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Sender::Prometheus => "/api/v2/alerts",
            Sender::Alertmanager => "/in/alertmanager",
        }
    }

    pub(super) fn body(self, alerts: &[Alert], now: Timestamp) -> Value {
        match self {
            Sender::Prometheus => alerts.iter().map(|alert| prometheus(alert, now)).collect(),
            Sender::Alertmanager => webhook(alerts),
        }
    }
}

/// An alert as its sender holds it.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    /// Without its name.
    pub(super) labels: Vec<(&'static str, &'static str)>,
    pub(super) starts_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
}

impl Alert {
    pub(super) fn firing(
        name: &'static str,
        summary: &'static str,
        labels: &[(&'static str, &'static str)],
        starts_at: Timestamp,
    ) -> Alert {
        Alert { name, summary, labels: labels.to_vec(), starts_at, ended_at: None }
    }

    /// The same alert once it is over. An end at this very moment could look like the future to the daemon's
    /// clock, so it lies a little back.
    pub(super) fn resolved(&self, now: Timestamp) -> Alert {
        let ended_at = now.minus(Duration::from_millis(20)).max(self.starts_at);
        Alert { ended_at: Some(ended_at), ..self.clone() }
    }

    pub(super) fn status(&self) -> &'static str {
        match self.ended_at {
            None => "firing",
            Some(_) => "resolved",
        }
    }

    fn all_labels(&self) -> Value {
        std::iter::once(&("alertname", self.name))
            .chain(&self.labels)
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect()
    }
}

fn prometheus(alert: &Alert, now: Timestamp) -> Value {
    json!({
        "annotations": { "summary": alert.summary },
        "endsAt": alert.ended_at.unwrap_or_else(|| now.plus(VOUCHED_FOR)).to_string(),
        "startsAt": alert.starts_at.to_string(),
        "generatorURL": "http://prometheus.example.com:9090/graph",
        "labels": alert.all_labels(),
    })
}

fn webhook(alerts: &[Alert]) -> Value {
    let list: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            json!({
                "status": alert.status(),
                "labels": alert.all_labels(),
                "annotations": { "summary": alert.summary },
                "startsAt": alert.starts_at.to_string(),
                "endsAt": alert.ended_at.map_or_else(|| NOT_ENDED.to_owned(), |at| at.to_string()),
                "generatorURL": "http://prometheus.example.com:9090/graph",
            })
        })
        .collect();
    let is_firing = alerts.iter().any(|alert| alert.ended_at.is_none());
    json!({
        "receiver": "tawny",
        "status": if is_firing { "firing" } else { "resolved" },
        "alerts": list,
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.com:9093",
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
    })
}
