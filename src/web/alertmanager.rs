//! The read side of Alertmanager's API v2, as far as Prometheus, amtool and dashboards need it to accept us
//! as an Alertmanager: status, receivers, alerts (api/v2/openapi.yaml of prometheus/alertmanager).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::filter::{Filter, RECEIVER};
use super::{Views, json as reply, unavailable};
use crate::model::Member;
use crate::model::id::alertmanager_fingerprint;

/// The Alertmanager whose API this is. Tools pick their client by it, so it is not our own version.
const API_VERSION: &str = "0.27.0";
const ALERT_COUNT_MAX: u32 = 10_000;

pub(super) fn router(views: Arc<Views>) -> Router {
    Router::new()
        .route("/-/healthy", get(|| async { "OK" }))
        .route("/-/ready", get(|| async { "OK" }))
        .route("/api/v2/status", get(status))
        .route("/api/v2/receivers", get(receivers))
        .route("/api/v2/alerts", get(alerts))
        .with_state(views)
}

pub(super) fn build_labels() -> String {
    format!("{{version=\"{API_VERSION}\",branch=\"tawny\",revision=\"{}\"}}", env!("CARGO_PKG_VERSION"))
}

async fn status(State(views): State<Arc<Views>>) -> Response {
    reply(&json!({
        "cluster": { "status": "disabled", "peers": [] },
        "versionInfo": {
            "version": API_VERSION,
            "revision": env!("CARGO_PKG_VERSION"),
            "branch": "tawny",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        },
        "config": { "original": "# Tawny has no alertmanager.yml; see /api/v1/rules.\nroute:\n  receiver: tawny\nreceivers:\n- name: tawny\n" },
        "uptime": views.started_at.to_string(),
    }))
}

async fn receivers(State(views): State<Arc<Views>>) -> Response {
    reply(&views.sinks.iter().map(|(name, _)| json!({ "name": name })).collect::<Vec<_>>())
}

async fn alerts(State(views): State<Arc<Views>>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let filter = match Filter::of(&query) {
        Ok(filter) => filter,
        // A bare text, as Alertmanager has it: its clients read nothing else.
        Err(reason) => {
            let body = serde_json::Value::from(reason).to_string();
            return (StatusCode::BAD_REQUEST, [(CONTENT_TYPE, "application/json")], body).into_response();
        }
    };
    match views.reader.firing(ALERT_COUNT_MAX).await {
        Ok(members) => {
            let mut alerts: Vec<serde_json::Value> =
                members.iter().filter(|member| filter.wants(&member.labels)).map(gettable).collect();
            alerts.sort_by(|left, right| left["fingerprint"].as_str().cmp(&right["fingerprint"].as_str()));
            reply(&alerts)
        }
        Err(cause) => unavailable(&cause),
    }
}

fn gettable(member: &Member) -> serde_json::Value {
    let heard_at = member.words.iter().map(|word| word.heard_at).max().unwrap_or(member.starts_at);
    json!({
        "labels": member.labels,
        "annotations": member.annotations,
        "startsAt": member.starts_at.to_string(),
        "endsAt": member.expires_at().unwrap_or(member.starts_at).to_string(),
        "updatedAt": heard_at.to_string(),
        "generatorURL": member.generator_url.as_deref().unwrap_or(""),
        "fingerprint": format!("{:016x}", alertmanager_fingerprint(member.labels.iter())),
        "receivers": [{ "name": RECEIVER }],
        "status": { "state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": [] },
    })
}
