//! The listener for people and alerts: connections bounded in number and in time, requests led to their
//! source. Decides nothing about an alert.

mod connection;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};

use super::body::{BodyBudget, BodyError};
use super::instance::Instance;
use super::intake::{Intake, Raw};
use crate::sources::{Answer, Credential, Receipt};

pub use connection::{Peer, bind, serve};

/// What a sender is told to wait when we cannot take its alerts, in seconds.
const COME_BACK_SECONDS: &str = "5";

/// All doors for alerts.
pub struct Doors {
    pub instances: BTreeMap<String, Arc<Instance>>,
    pub intake: Arc<Intake>,
    pub budget: BodyBudget,
}

impl Doors {
    /// `/in/{instance}` and behind it, and the fixed paths that some senders insist on.
    pub fn router(self) -> Router {
        let doors = Arc::new(self);
        let mut router =
            Router::new().route("/in/{instance}", any(by_name)).route("/in/{instance}/{*rest}", any(by_name));
        let mut paths: Vec<&'static str> =
            doors.instances.values().flat_map(|instance| instance.source.fixed_paths()).copied().collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            router = router.route(path, axum::routing::post(by_path));
        }
        router.with_state(doors)
    }
}

async fn by_name(State(doors): State<Arc<Doors>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let behind = path.trim_start_matches("/in/");
    let (name, rest) = behind.split_once('/').map_or((behind, ""), |(name, _)| (name, &behind[name.len()..]));
    let Some(instance) = doors.instances.get(name) else {
        let shown: String = name.chars().take(80).collect();
        return respond(Answer::error(404, &format!("no source is called `{shown}`")));
    };
    doors.handle(instance.clone(), rest.to_owned(), request).await
}

/// A fixed path names a kind; the credential tells which instance of it is meant.
async fn by_path(State(doors): State<Arc<Doors>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let offered: Vec<&Arc<Instance>> =
        doors.instances.values().filter(|instance| instance.source.fixed_paths().contains(&path.as_str())).collect();
    let admits = |instance: &&&Arc<Instance>| {
        matches!(instance.source.credential(&[]), Credential::Headers)
            && instance.guard.admits_headers(request.headers())
    };
    let found = offered.iter().find(admits).or_else(|| offered.first()).map(|instance| (*instance).clone());
    match found {
        Some(instance) => doors.handle(instance, path, request).await,
        None => respond(Answer::error(404, "no source of this kind is configured")),
    }
}

impl Doors {
    async fn handle(&self, instance: Arc<Instance>, path: String, request: Request) -> Response {
        let answer = self.answer(&instance, path, request).await;
        self.intake.metrics.request(&instance.decoder.name, answer.status);
        respond(answer)
    }

    async fn answer(&self, instance: &Instance, path: String, request: Request) -> Answer {
        let source = instance.source;
        let (parts, body) = request.into_parts();
        let refused = |status, reason: &str| source.answer(&path, &Receipt::Refused { status, reason });
        if parts.method != Method::POST && parts.method != Method::PUT {
            return refused(405, "send alerts with POST");
        }
        let by_headers = matches!(source.credential(&[]), Credential::Headers);
        if by_headers && !instance.guard.admits_headers(&parts.headers) {
            return refused(401, "the token is missing or wrong");
        }
        let held = match self.budget.read(&parts.headers, body, source.body_bytes_max()).await {
            Ok(held) => held,
            Err(error @ BodyError::NoRoom) => {
                return source.answer(&path, &Receipt::NotNow { reason: &error.to_string() });
            }
            Err(error) => {
                let now = self.intake.clock.now();
                self.intake.reject(instance, error.status(), &error.to_string(), &bytes::Bytes::new(), now).await;
                return refused(error.status(), &error.to_string());
            }
        };
        if let Credential::Body(offered) = source.credential(&held.bytes)
            && !instance.guard.admits_body(offered.as_deref())
        {
            // PagerDuty's clients retry neither 400 nor 401 but log the body of a 400.
            return refused(400, "the routing key is missing or wrong");
        }
        let raw = Raw {
            path,
            peer: parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0).to_string(),
            user_agent: header(&parts.headers, &USER_AGENT),
            content_type: header(&parts.headers, &CONTENT_TYPE),
            body: held.bytes.clone(),
        };
        self.intake.take(instance, raw).await
    }
}

fn header(headers: &HeaderMap, name: &hyper::header::HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
}

fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !answer.content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    }
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            drop(headers.insert(RETRY_AFTER, HeaderValue::from_static(COME_BACK_SECONDS)))
        }
        // Without the challenge SNS never sends the password that it was given.
        StatusCode::UNAUTHORIZED => {
            drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tawny\"")))
        }
        StatusCode::METHOD_NOT_ALLOWED => drop(headers.insert(ALLOW, HeaderValue::from_static("POST, PUT"))),
        _ => {}
    }
    response
}
