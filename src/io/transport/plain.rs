//! HTTP/1.1 without TLS and without a proxy: a stand-in, a collector on this machine. A request is one write and an
//! answer mostly one read, in the task that asked, so nothing is handed to another one. Never follows a redirect.

mod answer;

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Where requests of one address go.
#[derive(Debug)]
pub(super) struct Target {
    /// `host:port` as it is connected to.
    place: String,
    /// The first lines of each request.
    head: String,
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
        // A parsed address holds nothing but what may stand in a line of HTTP.
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Some(Target { place, head: format!("POST {path} HTTP/1.1\r\nhost: {shown}\r\n") })
    }
}

/// An open connection.
struct Connection {
    stream: TcpStream,
    /// Memory for what is read.
    held: Vec<u8>,
    idle_since: Instant,
}

/// Why there is no answer.
struct Broken {
    cause: io::Error,
    /// Nothing of the request has left, so it may go over another connection.
    is_unsent: bool,
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
        let bytes = encoded(target, &request)?;
        loop {
            let (mut connection, is_used) = match self.take(&target.place) {
                Some(connection) => (connection, true),
                None => (connect(&target.place).await?, false),
            };
            match connection.exchange(&bytes).await {
                Ok(Answer { received, is_reusable }) => {
                    if is_reusable {
                        self.give_back(&target.place, connection);
                    }
                    return Ok(received);
                }
                // The other side closed it meanwhile.
                Err(Broken { is_unsent: true, .. }) if is_used => {}
                Err(Broken { cause, .. }) => return Err(no_answer("the connection broke", Some(&cause))),
            }
        }
    }

    /// An open connection that is not known to be closed by the other side.
    fn take(&self, place: &str) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let held = idle.get_mut(place)?;
        // Those that were used last stand last, so the oldest are together in front.
        let old = held.partition_point(|held| held.idle_since.elapsed() >= IDLE_MAX);
        held.drain(..old);
        while let Some(connection) = held.pop() {
            // Nothing may come unasked: it is the end of the connection, or of our trust in it.
            let unasked = connection.stream.try_read(&mut [0]);
            if unasked.is_err_and(|cause| cause.kind() == io::ErrorKind::WouldBlock) {
                return Some(connection);
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn holds_any(&self) -> bool {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).values().any(|held| !held.is_empty())
    }

    fn give_back(&self, place: &str, mut connection: Connection) {
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
    Ok(Connection { stream, held: Vec::new(), idle_since: Instant::now() })
}

impl Connection {
    /// One request and its answer. Who answers before it has read all of a request is heard too.
    async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Broken> {
        let (reader, mut writer) = self.stream.split();
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
            let mut read = pin!(Incoming::new(reader, &mut self.held).answer());
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

/// Head and body in one piece.
fn encoded(target: &Target, request: &HttpRequest) -> Result<Vec<u8>, NoAnswer> {
    let length = request.body.len().to_string();
    let given: usize = request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut bytes =
        Vec::with_capacity(target.head.len() + given + PRODUCT.len() + length.len() + 64 + request.body.len());
    bytes.extend_from_slice(target.head.as_bytes());
    let mut names_itself = false;
    for (name, value) in &request.headers {
        if !is_token(name) || !is_line(value) {
            return Err(no_answer("a header cannot be sent", Some(name)));
        }
        names_itself |= name.eq_ignore_ascii_case("user-agent");
        header(&mut bytes, name, value);
    }
    if !names_itself {
        header(&mut bytes, "user-agent", PRODUCT);
    }
    header(&mut bytes, "content-length", &length);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&request.body);
    Ok(bytes)
}

fn header(bytes: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Nothing that would end the line, and no other control character.
fn is_line(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

fn no_answer(what: &str, cause: Option<&dyn std::fmt::Display>) -> NoAnswer {
    NoAnswer { reason: cause.map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}")) }
}
