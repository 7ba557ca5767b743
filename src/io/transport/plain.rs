//! HTTP/1.1 without TLS and without a proxy: a stand-in, a collector on this machine. A request is one write and an
//! answer mostly one read, in the task that asked, so nothing is handed to another one. Never follows a redirect.

mod answer;

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io::{self, Write as _};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{CONNECT_PATIENCE, IDLE_MAX, NoAnswer, PRODUCT, Received};
use crate::sinks::HttpRequest;
use answer::{Answer, Incoming};

/// Connections kept for one address: as many as a sink may use at once.
const IDLE_COUNT_MAX: usize = 256;
/// Memory that a connection keeps for its next request: more than nearly every request needs.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Where requests of one address go.
#[derive(Debug)]
pub(super) struct Target {
    /// `host:port` as it is connected to.
    place: String,
    /// The first lines of each request.
    head: String,
    /// What is open to this place, whatever the address.
    idle: Arc<Idle>,
}

/// An open connection.
struct Connection {
    stream: TcpStream,
    /// Memory for what is written and for what is read: what went last over this connection is still near.
    request: Vec<u8>,
    held: Vec<u8>,
    idle_since: Instant,
}

/// Open connections, those that were used last at the end.
#[derive(Default)]
struct Idle(Mutex<Vec<Connection>>);

impl std::fmt::Debug for Idle {
    /// What was written over a connection may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Idle")
    }
}

/// Why there is no answer.
struct Broken {
    cause: io::Error,
    /// Nothing of the request has left, so it may go over another connection.
    is_unsent: bool,
}

#[derive(Debug, Default)]
pub(super) struct PlainClient {
    places: Mutex<HashMap<String, Arc<Idle>>>,
}

impl PlainClient {
    /// `None` for what only the large client can do: TLS, a user in the address.
    pub(super) fn target(&self, url: &reqwest::Url) -> Option<Target> {
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let host = url.host_str()?;
        let place = format!("{host}:{}", url.port_or_known_default()?);
        let shown = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        // A parsed address holds nothing but what may stand in a line of HTTP.
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Places that no address leads to any more are forgotten, with what is open to them.
        places.retain(|held, idle| *held == place || Arc::strong_count(idle) > 1);
        let idle = places.entry(place.clone()).or_default().clone();
        Some(Target { place, head: format!("POST {path} HTTP/1.1\r\nhost: {shown}\r\n"), idle })
    }

    pub(super) async fn post(
        &self,
        target: Arc<Target>,
        request: HttpRequest,
        timeout: Duration,
    ) -> Result<Received, NoAnswer> {
        let exchange = exchange(&target, &request);
        tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| Err(doubtful(no_answer("timed out", None))))
    }

    #[cfg(test)]
    pub(super) fn holds_any(&self) -> bool {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).values().any(|idle| !idle.lock().is_empty())
    }
}

async fn exchange(target: &Target, request: &HttpRequest) -> Result<Received, NoAnswer> {
    check(request)?;
    loop {
        let (mut connection, is_used) = match target.idle.take() {
            Some(connection) => (connection, true),
            None => (connect(&target.place).await?, false),
        };
        encode(target, request, &mut connection.request);
        match connection.exchange().await {
            Ok(Answer { received, is_reusable }) => {
                if is_reusable {
                    target.idle.give_back(connection);
                }
                return Ok(received);
            }
            // The other side closed it meanwhile.
            Err(Broken { is_unsent: true, .. }) if is_used => {}
            Err(Broken { cause, is_unsent }) => {
                let broke = no_answer("the connection broke", Some(&cause));
                return Err(if is_unsent { broke } else { doubtful(broke) });
            }
        }
    }
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Every critical section leaves the list whole, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An open connection that is not known to be closed by the other side.
    fn take(&self) -> Option<Connection> {
        let mut held = self.lock();
        let now = Instant::now();
        let is_old = |held: &Connection| now.duration_since(held.idle_since) >= IDLE_MAX;
        if held.first().is_some_and(is_old) {
            // Those that were used last stand last, so the oldest are together in front.
            let old = held.partition_point(is_old);
            held.drain(..old);
        }
        while let Some(connection) = held.pop() {
            // Nothing may come unasked: it is the end of the connection, or of our trust in it.
            let unasked = connection.stream.try_read(&mut [0]);
            if unasked.is_err_and(|cause| cause.kind() == io::ErrorKind::WouldBlock) {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(&self, mut connection: Connection) {
        connection.idle_since = Instant::now();
        if connection.request.capacity() > KEPT_BYTES_MAX {
            connection.request = Vec::new();
        }
        let mut held = self.lock();
        if held.len() < IDLE_COUNT_MAX {
            held.push(connection);
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
    Ok(Connection { stream, request: Vec::new(), held: Vec::new(), idle_since: Instant::now() })
}

impl Connection {
    /// One request, which lies ready, and its answer. Who answers before it has read all of a request is heard too.
    async fn exchange(&mut self) -> Result<Answer, Broken> {
        let Connection { stream, request, held, .. } = self;
        let (reader, mut writer) = stream.split();
        let mut sent = 0;
        let mut is_written = false;
        let outcome = {
            let mut write = pin!(async {
                while sent < request.len() {
                    match writer.write(&request[sent..]).await? {
                        0 => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                        count => sent += count,
                    }
                }
                Ok(())
            });
            let mut read = pin!(Incoming::new(reader, held).answer());
            let mut failure = None;
            poll_fn(|context| {
                if !is_written
                    && failure.is_none()
                    && let Poll::Ready(written) = write.as_mut().poll(context)
                {
                    is_written = written.is_ok();
                    failure = written.err();
                }
                match read.as_mut().poll(context) {
                    // What stopped the request says more than the missing answer.
                    Poll::Ready(Err(cause)) => Poll::Ready(Err(failure.take().unwrap_or(cause))),
                    Poll::Ready(Ok(answer)) => Poll::Ready(Ok(answer)),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        };
        match outcome {
            Ok(answer) => Ok(Answer { is_reusable: answer.is_reusable && is_written, ..answer }),
            Err(cause) => Err(Broken { cause, is_unsent: sent == 0 }),
        }
    }
}

/// Nothing of a header may be read as something else.
fn check(request: &HttpRequest) -> Result<(), NoAnswer> {
    match request.headers.iter().find(|(name, value)| !is_token(name) || !is_line(value)) {
        Some((name, _)) => Err(no_answer("a header cannot be sent", Some(name))),
        None => Ok(()),
    }
}

/// Head and body in one piece.
fn encode(target: &Target, request: &HttpRequest, bytes: &mut Vec<u8>) {
    let given: usize = request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    bytes.clear();
    bytes.reserve(target.head.len() + given + PRODUCT.len() + 96 + request.body.len());
    bytes.extend_from_slice(target.head.as_bytes());
    let mut names_itself = false;
    for (name, value) in &request.headers {
        names_itself |= name.eq_ignore_ascii_case("user-agent");
        header(bytes, name, value);
    }
    if !names_itself {
        header(bytes, "user-agent", PRODUCT);
    }
    write!(bytes, "content-length: {}\r\n\r\n", request.body.len()).expect("writing to a vector cannot fail");
    bytes.extend_from_slice(&request.body);
}

fn header(bytes: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
}

fn is_token(name: &str) -> bool {
    let is_of_token = |byte: u8| {
        let marks = b"!#$%&'*+.^_`|~";
        byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_alphanumeric() || marks.contains(&byte)
    };
    !name.is_empty() && name.bytes().all(is_of_token)
}

/// Nothing that would end the line, and no other control character. Looked at as a whole, so that several bytes are
/// looked at together.
fn is_line(value: &str) -> bool {
    value.bytes().fold(true, |is_line, byte| is_line & (byte == b'\t' || (byte >= b' ' && byte != 0x7f)))
}

/// Nothing of the request has left.
fn no_answer(what: &str, cause: Option<&dyn std::fmt::Display>) -> NoAnswer {
    let reason = cause.map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}"));
    NoAnswer { reason, is_doubtful: false }
}

fn doubtful(error: NoAnswer) -> NoAnswer {
    NoAnswer { is_doubtful: true, ..error }
}
