//! HTTP/1.1 without TLS and without a proxy: a stand-in, a collector on this machine. Each connection is moved by
//! the request that uses it, so nothing is handed to another task. Never follows a redirect.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{ANSWER_BYTES_MAX, CONNECT_PATIENCE, IDLE_MAX, NoAnswer, PRODUCT, Received};
use crate::sinks::HttpRequest;

/// Connections kept for one address: as many as a sink may use at once.
const IDLE_COUNT_MAX: usize = 256;

/// Where requests of one address go.
#[derive(Debug)]
pub(super) struct Target {
    /// `host:port` as it is connected to.
    place: String,
    host: HeaderValue,
    uri: Uri,
}

impl Target {
    /// `None` for what only the large client can do: TLS, a user in the address.
    pub(super) fn of(url: &reqwest::Url) -> Option<Target> {
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let host = url.host_str()?;
        let place = format!("{host}:{}", url.port_or_known_default()?);
        let shown = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Some(Target { place, host: HeaderValue::from_str(&shown).ok()?, uri: path.parse().ok()? })
    }
}

type Moving = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// An open connection; somebody has to poll it for anything to move.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    moving: Moving,
    idle_since: Instant,
}

#[derive(Default)]
pub(super) struct PlainClient {
    idle: Mutex<HashMap<String, Vec<Connection>>>,
}

impl std::fmt::Debug for PlainClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlainClient")
    }
}

impl PlainClient {
    pub(super) async fn post(
        &self,
        target: Arc<Target>,
        request: HttpRequest,
        timeout: Duration,
    ) -> Result<Received, NoAnswer> {
        let exchange = self.exchange(&target, request);
        tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| Err(no_answer("timed out", None)))
    }

    async fn exchange(&self, target: &Target, request: HttpRequest) -> Result<Received, NoAnswer> {
        let headers = headers(target, request.headers)?;
        let body = Bytes::from(request.body);
        loop {
            let (mut connection, is_used) = match self.take(&target.place).await {
                Some(connection) => (connection, true),
                None => (connect(&target.place).await?, false),
            };
            match connection.exchange(&target.uri, headers.clone(), body.clone()).await {
                Ok(received) => {
                    self.give_back(&target.place, connection);
                    return Ok(received);
                }
                // The other side closed it meanwhile, and nothing of the request has left.
                Err(error) if is_used && error.is_canceled() => {}
                Err(error) => return Err(no_answer("the connection broke", Some(&error))),
            }
        }
    }

    /// An open connection that is not known to be closed by the other side.
    async fn take(&self, place: &str) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                let held = idle.get_mut(place)?;
                held.retain(|held| held.idle_since.elapsed() < IDLE_MAX);
                held.pop()?
            };
            let is_closed = poll_fn(|context| Poll::Ready(connection.moving.as_mut().poll(context).is_ready())).await;
            if !is_closed && connection.sender.is_ready() {
                return Some(connection);
            }
        }
    }

    fn give_back(&self, place: &str, mut connection: Connection) {
        if !connection.sender.is_ready() {
            return;
        }
        connection.idle_since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.get_mut(place) {
            Some(held) if held.len() < IDLE_COUNT_MAX => held.push(connection),
            Some(_) => {}
            None => drop(idle.insert(place.to_owned(), vec![connection])),
        }
    }
}

async fn connect(place: &str) -> Result<Connection, NoAnswer> {
    let stream = match tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(place)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(cause)) => return Err(no_answer("cannot connect", Some(&cause))),
        Err(_) => return Err(no_answer("cannot connect", Some(&"timed out"))),
    };
    let _ = stream.set_nodelay(true);
    let (sender, moving) =
        handshake(TokioIo::new(stream)).await.map_err(|error| no_answer("cannot connect", Some(&error)))?;
    Ok(Connection { sender, moving: Box::pin(moving), idle_since: Instant::now() })
}

impl Connection {
    /// One request and its answer; afterwards the connection is ready for the next one, or is not.
    async fn exchange(&mut self, uri: &Uri, headers: HeaderMap, body: Bytes) -> hyper::Result<Received> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        let answer = self.sender.send_request(request);
        let mut answer = pin!(async move { read(answer.await?).await });
        let moving = &mut self.moving;
        let mut is_over = false;
        poll_fn(|context: &mut Context<'_>| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            // Its end and its failure reach the answer too.
            is_over = is_over || moving.as_mut().poll(context).is_ready();
            let answer = answer.as_mut().poll(context);
            // Reading the last of the body is what makes the connection ready for the next request.
            if answer.is_ready() && !is_over {
                let _ = moving.as_mut().poll(context);
            }
            answer
        })
        .await
    }
}

async fn read(response: Response<Incoming>) -> hyper::Result<Received> {
    let (parts, mut body) = response.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut received = Received {
        status: parts.status.as_u16(),
        retry_after: header("retry-after"),
        rate_limits: header("x-sentry-rate-limits"),
        body: Vec::new(),
    };
    while let Some(frame) = body.frame().await {
        if let Ok(chunk) = frame?.into_data() {
            let room = ANSWER_BYTES_MAX - received.body.len();
            received.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        if received.body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(received)
}

fn headers(target: &Target, given: Vec<(std::borrow::Cow<'static, str>, String)>) -> Result<HeaderMap, NoAnswer> {
    let mut headers = HeaderMap::with_capacity(given.len() + 3);
    headers.insert(HOST, target.host.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    for (name, value) in given {
        let name = match name.as_ref() {
            "content-type" => CONTENT_TYPE,
            "user-agent" => USER_AGENT,
            other => HeaderName::from_bytes(other.as_bytes())
                .map_err(|_| no_answer("a header cannot be sent", Some(&name)))?,
        };
        let value = HeaderValue::try_from(value).map_err(|_| no_answer("a header cannot be sent", Some(&name)))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn no_answer(what: &str, cause: Option<&dyn std::fmt::Display>) -> NoAnswer {
    NoAnswer { reason: cause.map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}")) }
}
