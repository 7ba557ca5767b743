//! Honest fakes of the services we send to: strict about what they are given, remembering all of it, and unkind
//! on command. Never says yes to what the real one would refuse.

pub mod honeycomb;
pub mod otlp;
pub mod pagerduty;
pub mod sentry;
mod weather;
pub mod webhook;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use weather::{Fault, Weather};

/// More than the largest body any of the services takes.
const BODY_BYTES_MAX: usize = 32 << 20;

/// How long a fake that hangs holds the line. Longer than any client of ours waits.
const HANG: Duration = Duration::from_secs(600);

/// Of a failing test's stand-in.
const EXCHANGES_SHOWN: usize = 40;

/// What a request looks like to a role.
pub struct Received<'a> {
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// Whether the client will see the answer whole. If not, it may honestly ask again.
    pub answer_arrives: bool,
}

impl Received<'_> {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<String>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into() }
    }
}

/// One of the services: parses strictly, keeps state, answers as the real one does.
pub trait Role: Send + Sync + 'static {
    fn receive(&self, request: &Received<'_>) -> Answer;

    /// How long it takes before it looks at a request.
    fn delay(&self) -> Duration {
        Duration::ZERO
    }

    /// What the service says when it is unwell or throttles.
    fn trouble(&self, status: u16) -> String {
        format!("<html><body><h1>{status}</h1></body></html>")
    }
}

/// One request as it was, byte for byte, and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub fault: Option<Fault>,
    /// What the role answered; `None` when the fault kept the request from it.
    pub status: Option<u16>,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} -> {:?} ({:?}) {:?} {body}", self.path, self.status, self.fault, self.headers)
    }
}

/// A running fake on a port of its own.
pub struct StandIn<R> {
    pub address: SocketAddr,
    pub role: Arc<R>,
    desk: Arc<Desk>,
    server: tokio::task::JoinHandle<()>,
}

/// What all connections share besides the role.
struct Desk {
    weather: Mutex<Weather>,
    exchanges: Mutex<Vec<Exchange>>,
}

/// Cuts the TCP connection a request came by.
#[derive(Clone, Default)]
struct Line(Arc<Notify>);

impl<R: Role> StandIn<R> {
    pub async fn start(role: R) -> StandIn<R> {
        StandIn::start_in(role, Weather::Fair).await
    }

    pub async fn start_in(role: R, weather: Weather) -> StandIn<R> {
        let role = Arc::new(role);
        let desk = Arc::new(Desk { weather: Mutex::new(weather), exchanges: Mutex::default() });
        let router = Router::new().fallback(handle::<R>).with_state((Arc::clone(&role), Arc::clone(&desk)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = tokio::spawn(serve(listener, router));
        StandIn { address, role, desk, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set_weather(&self, weather: Weather) {
        *lock(&self.desk.weather) = weather;
    }

    /// All requests so far, in order of arrival.
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.desk.exchanges).clone()
    }
}

impl<R> Drop for StandIn<R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let exchanges = lock(&self.desk.exchanges);
            eprintln!("the last requests at {}:", self.address);
            for exchange in &exchanges[exchanges.len().saturating_sub(EXCHANGES_SHOWN)..] {
                eprintln!("  | {exchange}");
            }
        }
        // Aborting drops the set of connections with it.
        self.server.abort();
    }
}

/// A panic in one test's thread must not hide the state from the message that explains it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve_connection(stream, router.clone()));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router) {
    // Dropped without linger, a connection ends in a reset, as when a machine dies.
    let _only_the_reset_is_lost = stream.set_zero_linger();
    let line = Line::default();
    let cut = line.clone();
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(line.clone());
        routes.call(request)
    });
    tokio::select! {
        // However it ends, the client sees it; there is nobody else to tell.
        _ended = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service) => {}
        () = cut.0.notified() => {}
    }
}

async fn handle<R: Role>(
    State((role, desk)): State<(Arc<R>, Arc<Desk>)>,
    Extension(line): Extension<Line>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return response(Answer::new(413, "too large"));
    };
    tokio::time::sleep(role.delay()).await;
    let fault = lock(&desk.weather).next_fault();
    let ordinal = {
        let mut exchanges = lock(&desk.exchanges);
        let (path, headers) = (parts.uri.path().to_owned(), parts.headers.clone());
        exchanges.push(Exchange { path, headers, body: body.clone(), fault, status: None });
        exchanges.len() - 1
    };
    let take = |answer_arrives| {
        let answer = if parts.method == "POST" {
            let (path, headers) = (parts.uri.path(), &parts.headers);
            role.receive(&Received { path, headers, body: &body, answer_arrives })
        } else {
            Answer::new(405, "only POST")
        };
        lock(&desk.exchanges)[ordinal].status = Some(answer.status);
        answer
    };
    match fault {
        None => response(take(true)),
        Some(Fault::Refuse { status, retry_after }) => {
            let mut answer = Answer::new(status, role.trouble(status));
            answer.headers.extend(retry_after.map(|value| ("retry-after", value.to_owned())));
            response(answer)
        }
        Some(Fault::TakeThenReset) => {
            let _lost = take(false);
            line.0.notify_one();
            std::future::pending().await
        }
        Some(Fault::TakeThenSilence) => {
            let _never_told = take(false);
            tokio::time::sleep(HANG).await;
            response(Answer::new(504, ""))
        }
        Some(Fault::TakeThenCutBody) => cut_in_the_body(take(false)),
        Some(Fault::Hang) => {
            tokio::time::sleep(HANG).await;
            response(Answer::new(504, ""))
        }
    }
}

fn response(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("roles answer with real statuses");
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().expect("roles write printable headers"));
    }
    response
}

/// Promises the whole body, sends nothing of it, and breaks off.
fn cut_in_the_body(answer: Answer) -> Response<Body> {
    let length = answer.body.len() + 1;
    let mut cut = response(answer);
    *cut.body_mut() = Body::new(Cut);
    cut.headers_mut().insert("content-length", length.into());
    cut
}

/// A body that fails at its first byte; hyper then closes the connection.
struct Cut;

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}
