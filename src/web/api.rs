//! Our own JSON API, the probes and the metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::{Views, error, json as reply, unavailable};
use crate::io::live_rules::LiveRules;
use crate::model::incident::Quiet;
use crate::model::{Incident, IncidentKey, Member, Phase};
use crate::store::{DeliveryFilter, IncidentFilter};

const COUNT_DEFAULT: u32 = 100;
const COUNT_MAX: u32 = 1000;

pub(super) fn router(views: Arc<Views>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/incidents", get(incidents))
        .route("/api/v1/incidents/{key}", get(incident))
        .route("/api/v1/deliveries", get(deliveries))
        .route("/api/v1/rejects", get(rejects))
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/unowned", get(unowned))
        .route("/-/reload", post(reload).put(reload))
        .with_state(views)
}

/// `?state=…&limit=…`.
#[derive(serde::Deserialize)]
struct Filter {
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

/// A query that cannot be read is answered as every other fault.
impl<S: Send + Sync> FromRequestParts<S> for Filter {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Filter, Response> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(filter)) => Ok(filter),
            Err(rejection) => Err(error(StatusCode::BAD_REQUEST, &rejection.body_text())),
        }
    }
}

impl Filter {
    fn count_max(&self) -> u32 {
        self.limit.unwrap_or(COUNT_DEFAULT).min(COUNT_MAX)
    }
}

async fn index() -> Response {
    let paths = [
        "/api/v1/incidents?state=open|recent",
        "/api/v1/incidents/{key}",
        "/api/v1/deliveries?state=recent|pending|dead",
        "/api/v1/rejects",
        "/api/v1/rules",
        "/api/v1/unowned",
        "/api/v2/alerts",
        "/metrics",
        "/livez",
        "/readyz",
    ];
    reply(&json!({ "name": "tawny", "version": env!("CARGO_PKG_VERSION"), "read": paths }))
}

/// Names what is not ready.
async fn readyz(State(views): State<Arc<Views>>) -> Response {
    let trouble = views.trouble.borrow().clone();
    let stopping = *views.stop.borrow();
    let store = match (&trouble, views.reader.due(views.started_at, 1).await) {
        (Some(reason), _) => Err(reason.clone()),
        (None, Err(cause)) => Err(cause.to_string()),
        (None, Ok(_)) => Ok(()),
    };
    let mut not_ready = Vec::new();
    if let Err(reason) = store {
        not_ready.push(json!({ "what": "store", "reason": reason }));
    }
    if stopping {
        not_ready.push(json!({ "what": "daemon", "reason": "shutting down" }));
    }
    if not_ready.is_empty() {
        // Old rules are no reason to take a daemon out of service, and one to say so.
        return match views.rules.loads().refusal {
            None => "ready\n".into_response(),
            Some(refusal) => format!(
                "ready\nthe rules in the folder are refused since {}; older ones are in force:\n{}\n",
                refusal.since,
                refusal.faults.join("\n")
            )
            .into_response(),
        };
    }
    let body = json!({ "ready": false, "not_ready": not_ready }).to_string();
    (StatusCode::SERVICE_UNAVAILABLE, [(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn metrics(State(views): State<Arc<Views>>) -> Response {
    let counts = match views.reader.counts().await {
        Ok(counts) => counts,
        Err(cause) => return unavailable(&cause),
    };
    #[expect(clippy::cast_precision_loss, reason = "the exposition format has floats only")]
    let number = |count: u64| count as f64;
    let mut gauges = vec![
        ("tawny_incidents_open", String::new(), number(counts.open_incidents)),
        ("tawny_alerts_firing", String::new(), number(counts.firing_members)),
        ("tawny_deliveries_pending", String::new(), number(counts.pending_deliveries)),
        ("tawny_deliveries_dead", String::new(), number(counts.dead_deliveries)),
        ("tawny_store_bytes", String::new(), number(counts.bytes)),
    ];
    for (name, paused) in &views.sinks {
        gauges.push(("tawny_sink_paused", format!("{{sink=\"{name}\"}}"), f64::from(u8::from(*paused.borrow()))));
    }
    gauges.extend(of_rules(&views.rules));
    gauges.extend((views.telemetry)().into_iter().map(|(name, labels, count)| (name, labels, number(count))));
    gauges.push(("alertmanager_build_info", super::alertmanager::build_labels(), 1.0));
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], views.metrics.render(&gauges)).into_response()
}

fn of_rules(rules: &LiveRules) -> Vec<(&'static str, String, f64)> {
    let loads = rules.loads();
    #[expect(clippy::cast_precision_loss, reason = "the exposition format has floats only")]
    let (seconds, loaded, refused) =
        (rules.since().as_ms() as f64 / 1000.0, loads.load_count as f64, loads.refused_count as f64);
    let in_force = rules.in_force();
    #[expect(clippy::cast_precision_loss, reason = "the exposition format has floats only")]
    let number = |count: u64| count as f64;
    let shadows = in_force.shadows.totals().into_iter().map(|(rule, count)| {
        let id = rule.split_once(' ').map_or(&*rule, |(_, id)| id);
        ("tawny_rules_shadow_changes", format!("{{rule=\"{id}\"}}"), number(count))
    });
    let mut gauges = vec![
        ("tawny_rules_expired", String::new(), number(in_force.expired.len() as u64)),
        ("tawny_rules_info", format!("{{revision=\"{}\"}}", rules.get().revision()), 1.0),
        ("tawny_rules_loads", "{outcome=\"in_force\"}".to_owned(), loaded),
        ("tawny_rules_loads", "{outcome=\"refused\"}".to_owned(), refused),
        ("tawny_rules_since_seconds", String::new(), seconds),
        ("tawny_rules_stale", String::new(), f64::from(u8::from(loads.refusal.is_some()))),
    ];
    gauges.extend(shadows);
    gauges
}

async fn incidents(State(views): State<Arc<Views>>, filter: Filter) -> Response {
    let count_max = filter.count_max();
    let asked = match filter.state.as_deref() {
        None | Some("open") => IncidentFilter::Open { count_max },
        Some("recent") => IncidentFilter::Recent { count_max },
        Some(other) => return error(StatusCode::BAD_REQUEST, &format!("state `{other}` is not `open` or `recent`")),
    };
    match views.reader.incidents(asked).await {
        Ok(found) => reply(&found.iter().map(summary).collect::<Vec<_>>()),
        Err(cause) => unavailable(&cause),
    }
}

async fn incident(State(views): State<Arc<Views>>, key: Result<Path<String>, PathRejection>) -> Response {
    let Some(key) = key.ok().and_then(|Path(key)| IncidentKey::parse(&key)) else {
        return error(StatusCode::BAD_REQUEST, "an incident key looks like `v1-` and 32 hex digits");
    };
    match views.reader.incident(key).await {
        Ok(Some((incident, members))) => {
            let mut body = summary(&incident);
            body["samples"] = json!(incident.samples);
            body["lead"] = json!(incident.lead);
            body["firing"] = json!(members.iter().map(member).collect::<Vec<_>>());
            reply(&body)
        }
        Ok(None) => error(StatusCode::NOT_FOUND, "no such incident"),
        Err(cause) => unavailable(&cause),
    }
}

fn summary(incident: &Incident) -> serde_json::Value {
    let phase = match incident.phase {
        Phase::Held { .. } => "held",
        Phase::Open => "open",
        Phase::Closed { .. } => "closed",
    };
    json!({
        "key": incident.key,
        "episode": incident.episode,
        "phase": phase,
        "title": incident.lead.title,
        "severity": incident.severity,
        "acknowledged": incident.acknowledged,
        "started_at": incident.started_at.to_string(),
        "opened_at": incident.opened_at.to_string(),
        "told_at": incident.told.as_ref().map(|told| told.at.to_string()),
        "tags": incident.tags,
        "legs": incident.legs,
        "cells": incident.cells,
        "quiet": incident.quiet.as_ref().map(quiet),
        "route": incident.route.by,
        "sinks": incident.route.sinks,
        "rules_revision": incident.rules_revision,
    })
}

fn quiet(quiet: &Quiet) -> serde_json::Value {
    json!({ "how": quiet.how, "by": quiet.by, "since": quiet.since.to_string(), "until": quiet.until.to_string() })
}

fn member(member: &Member) -> serde_json::Value {
    json!({
        "identity": member.identity,
        "name": member.name,
        "title": member.title,
        "platform": member.platform,
        "cell": member.cell,
        "severity": member.severity,
        "starts_at": member.starts_at.to_string(),
        "expires_at": member.expires_at().map(|at| at.to_string()),
        "labels": member.labels,
        "source": member.source,
    })
}

async fn deliveries(State(views): State<Arc<Views>>, filter: Filter) -> Response {
    let count_max = filter.count_max();
    let asked = match filter.state.as_deref() {
        None | Some("recent") => DeliveryFilter::Recent { count_max },
        Some("pending") => DeliveryFilter::Pending { count_max },
        Some("dead") => DeliveryFilter::Dead { count_max },
        Some(other) => {
            return error(StatusCode::BAD_REQUEST, &format!("state `{other}` is not `recent`, `pending` or `dead`"));
        }
    };
    match views.reader.deliveries(asked).await {
        Ok(found) => reply(&found),
        Err(cause) => unavailable(&cause),
    }
}

async fn rejects(State(views): State<Arc<Views>>, filter: Filter) -> Response {
    match views.reader.rejects(filter.count_max()).await {
        Ok(found) => reply(&found),
        Err(cause) => unavailable(&cause),
    }
}

async fn rules(State(views): State<Arc<Views>>) -> Response {
    let in_force = views.rules.in_force();
    let rules = &in_force.rules;
    let warnings: Vec<String> = rules.warnings().iter().map(ToString::to_string).collect();
    let refused = views
        .rules
        .loads()
        .refusal
        .map(|refusal| json!({ "since": refusal.since.to_string(), "faults": refusal.faults }));
    reply(&json!({
        "revision": rules.revision(),
        "since": in_force.since.to_string(),
        "warnings": warnings,
        "expired": in_force.expired,
        "shadow": in_force.shadows.show(),
        "refused": refused,
    }))
}

/// What rang lately and belongs to nobody.
async fn unowned(State(views): State<Arc<Views>>, filter: Filter) -> Response {
    let count_max = filter.limit.unwrap_or(COUNT_MAX).min(COUNT_MAX);
    match views.reader.incidents(IncidentFilter::Recent { count_max }).await {
        Ok(found) => reply(&super::unowned::report(&found, &views.rules.get())),
        Err(cause) => unavailable(&cause),
    }
}

/// Reads the folder now. A set that is refused leaves the old one in force, and is told to whoever asked.
async fn reload(State(views): State<Arc<Views>>) -> Response {
    match views.reloader.reload().await {
        Ok(revision) => reply(&json!({ "revision": revision })),
        Err(faults) => {
            let body = json!({ "error": "the new rules are refused, the old ones stay in force", "faults": faults });
            (StatusCode::UNPROCESSABLE_ENTITY, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
        }
    }
}
