//! What people and their tools read: our JSON API, Alertmanager's read side, probes and metrics. Changes
//! nothing.

mod alertmanager;
mod api;
mod filter;
mod unowned;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

use crate::io::live_rules::LiveRules;
use crate::io::rules_watch::Reloader;
use crate::model::Timestamp;
use crate::store::{Reader, StoreError};
use crate::telemetry::Metrics;

/// What the pages look at.
pub struct Views {
    pub reader: Arc<dyn Reader>,
    pub rules: Arc<LiveRules>,
    pub reloader: Reloader,
    pub metrics: Metrics,
    pub started_at: Timestamp,
    /// Sinks by name, and whether each is paused now.
    pub sinks: Vec<(Arc<str>, watch::Receiver<bool>)>,
    /// Why the store refused last.
    pub trouble: watch::Receiver<Option<String>>,
    /// What the span road counts.
    pub telemetry: Box<dyn Fn() -> Vec<(&'static str, String, u64)> + Send + Sync>,
    pub stop: watch::Receiver<bool>,
}

pub fn router(views: Views) -> Router {
    let views = Arc::new(views);
    Router::new().merge(api::router(views.clone())).merge(alertmanager::router(views))
}

fn json(value: &impl serde::Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(CONTENT_TYPE, "application/json"), (axum::http::header::CACHE_CONTROL, "no-store")], text)
            .into_response(),
        Err(cause) => error(StatusCode::INTERNAL_SERVER_ERROR, &cause.to_string()),
    }
}

/// One line of JSON that says why.
pub fn error(status: StatusCode, reason: &str) -> Response {
    let body = serde_json::json!({ "error": reason }).to_string();
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

fn unavailable(cause: &StoreError) -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, &cause.to_string())
}
