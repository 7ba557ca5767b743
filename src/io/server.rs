//! The listener for people and alerts: connections bounded in number and in time, requests led to their
//! source. Decides nothing about an alert.

mod connection;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};

use super::auth::{Guard, Strangers};
use super::body::{BodyBudget, BodyError, drain};
use super::instance::Instance;
use super::intake::{Intake, NOBODY, Raw};
use crate::model::json_text::push_number;
use crate::sources::{Answer, Credential, Receipt, Source};

pub use connection::{Peer, bind, serve};

/// What a sender is told to wait when we cannot take its alerts, in seconds.
const COME_BACK_SECONDS: &str = "5";

/// All doors for alerts.
pub struct Doors {
    instances: BTreeMap<String, Arc<Instance>>,
    intake: Arc<Intake>,
    budget: BodyBudget,
    /// Those who asked for a source that is not there.
    lost: Strangers,
}

impl Doors {
    pub fn new(instances: Vec<Instance>, intake: Arc<Intake>, budget: BodyBudget) -> Doors {
        let instances = instances.into_iter().map(|held| (held.decoder.name.clone(), Arc::new(held))).collect();
        Doors { instances, intake, budget, lost: Strangers::default() }
    }

    /// `/in/{instance}` and behind it, and the fixed paths that some senders insist on; each also with the slash that
    /// people and tools put behind an address.
    pub fn router(self) -> Router {
        let doors = Arc::new(self);
        let mut router = ["/in", "/in/", "/in/{*rest}"]
            .into_iter()
            .fold(Router::new(), |router, address| router.route(address, any(by_name)));
        let mut paths: Vec<&'static str> =
            doors.instances.values().flat_map(|instance| instance.source.fixed_paths()).copied().collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            let by_path = axum::routing::post(by_path).put(by_path);
            router = router.route(path, by_path.clone()).route(&format!("{path}/"), by_path);
        }
        router.with_state(doors)
    }
}

async fn by_name(State(doors): State<Arc<Doors>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let behind = path.strip_prefix("/in").unwrap_or(&path).trim_start_matches('/');
    let (name, rest) = behind.split_once('/').unwrap_or((behind, ""));
    let Some(instance) = doors.instances.get(name) else { return doors.lose(name, request).await };
    // Tools that join an address and a path leave two slashes or one too many.
    let rest = match rest.trim_matches('/') {
        "" => String::new(),
        rest => format!("/{rest}"),
    };
    doors.handle(&[instance], rest, request).await
}

/// A fixed path names a kind; the credential tells which instance of it is meant.
async fn by_path(State(doors): State<Arc<Doors>>, request: Request) -> Response {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let offered: Vec<&Arc<Instance>> =
        doors.instances.values().filter(|instance| instance.source.fixed_paths().contains(&path.as_str())).collect();
    doors.handle(&offered, path, request).await
}

/// The first whose token was shown, else the first that needs none.
fn meant<'i>(offered: &[&'i Arc<Instance>], admits: impl Fn(&Guard) -> bool) -> Option<&'i Arc<Instance>> {
    let admitting = || offered.iter().copied().filter(|instance| admits(&instance.guard));
    let by_token = admitting().find(|instance| matches!(instance.guard, Guard::Token(_)));
    by_token.or_else(|| admitting().next())
}

impl Doors {
    /// Makes visible that an alert came for nobody; of many only some. Who sent it proved nothing, so nothing of it is
    /// kept, and of its address neither, in which a token may stand.
    async fn lose(&self, name: &str, request: Request) -> Response {
        let shown: String = name.chars().take(80).collect();
        let (parts, body) = request.into_parts();
        drain(&parts.headers, body).await;
        if is_sending(&parts.method) {
            let now = self.intake.clock.now();
            if self.lost.admit(now) {
                let reason = format!("no source has the address of this request, from {}", peer(&parts));
                self.intake.reject_lost(404, reason, now).await;
            } else {
                self.intake.metrics.rejects(NOBODY, 1);
            }
        }
        respond(Answer::error(404, &format!("no source is called `{shown}`")))
    }

    /// `offered` are the instances of one kind that the address may mean.
    async fn handle(&self, offered: &[&Arc<Instance>], path: String, request: Request) -> Response {
        let Some(first) = offered.first() else {
            return respond(Answer::error(404, "no source of this kind is configured"));
        };
        let (instance, answer) = self.answer(first, offered, path, request).await;
        self.intake.metrics.request(&instance.decoder.name, answer.status);
        respond(answer)
    }

    async fn answer<'i>(
        &self,
        first: &'i Arc<Instance>,
        offered: &[&'i Arc<Instance>],
        path: String,
        request: Request,
    ) -> (&'i Arc<Instance>, Answer) {
        let source = first.source;
        let (parts, body) = request.into_parts();
        let refused = |status, reason: &str| source.answer(&path, &Receipt::Refused { status, reason });
        if !is_sending(&parts.method) {
            drain(&parts.headers, body).await;
            return (first, refused(405, "send alerts with POST"));
        }
        let by_headers = matches!(source.credential(&[]), Credential::Headers);
        let known = if by_headers { meant(offered, |guard| guard.admits_headers(&parts.headers)) } else { Some(first) };
        let peer = peer(&parts);
        let Some(instance) = known else {
            drain(&parts.headers, body).await;
            let reason = "the token is missing or wrong";
            self.turn_away(first, 401, reason, peer).await;
            return (first, refused(401, reason));
        };
        let held = match self.budget.read(&parts.headers, body, source.body_bytes_max()).await {
            Ok(held) => held,
            Err(error @ BodyError::NoRoom) => {
                return (instance, source.answer(&path, &Receipt::NotNow { reason: &error.to_string() }));
            }
            Err(error) => {
                self.refuse_body(instance, error.status(), &error.to_string()).await;
                return (instance, refused(error.status(), &error.to_string()));
            }
        };
        let body = with_key(source, &parts.headers, &held.bytes);
        let instance = match source.credential(&body) {
            Credential::Headers => instance,
            Credential::Body(shown) => match meant(offered, |guard| guard.admits_body(shown.as_deref())) {
                Some(instance) => instance,
                // PagerDuty's clients retry neither 400 nor 401 but log the body of a 400.
                None => {
                    let reason = "the routing key is missing or wrong";
                    self.turn_away(instance, 400, reason, peer).await;
                    return (instance, refused(400, reason));
                }
            },
            Credential::Unreadable(reason) => match meant(offered, |guard| guard.admits_body(None)) {
                Some(instance) => instance,
                None => {
                    self.refuse_body(instance, 400, &reason).await;
                    return (instance, refused(400, &reason));
                }
            },
        };
        let raw = Raw {
            path,
            peer: text_of(peer),
            user_agent: header(&parts.headers, &USER_AGENT),
            content_type: header(&parts.headers, &CONTENT_TYPE),
            body,
        };
        (instance, self.intake.take(instance, raw).await)
    }

    /// Makes visible that somebody without the token tries; of many only some. Nothing of a body is kept.
    async fn turn_away(&self, instance: &Instance, status: u16, reason: &str, peer: IpAddr) {
        if instance.strangers.admit(self.intake.clock.now()) {
            self.refuse_body(instance, status, &format!("{reason}, from {peer}")).await;
        } else {
            self.intake.metrics.rejects(&instance.decoder.name, 1);
        }
    }

    /// Makes visible that a body came which nobody could read. Nothing of it is kept.
    async fn refuse_body(&self, instance: &Instance, status: u16, reason: &str) {
        let now = self.intake.clock.now();
        self.intake.reject(instance, status, reason, &Bytes::new(), now).await;
    }
}

/// The body with the key of its sender, who may have put it into a header.
fn with_key(source: &dyn Source, headers: &HeaderMap, body: &Bytes) -> Bytes {
    let offered = source.key_header().and_then(|name| headers.get(name)?.to_str().ok());
    let completed = offered.and_then(|key| source.with_key(body, key.trim()));
    completed.map_or_else(|| body.clone(), Bytes::from)
}

fn is_sending(method: &Method) -> bool {
    method == Method::POST || method == Method::PUT
}

fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0)
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

/// What `Display` writes, without its formatter for the addresses that nearly all senders have.
fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        push_number(&mut text, octet.into());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn an_address_is_written_as_display_writes_it() {
        for octet in 0..=u8::MAX {
            let address = IpAddr::V4(Ipv4Addr::new(octet, 255 - octet, octet / 3, octet % 11));
            assert_eq!(text_of(address), address.to_string());
        }
        let address = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert_eq!(text_of(address), "::1");
    }
}
