//! OTLP/gRPC and the two services that every gRPC server is asked for, on bytes: no generated code, and messages are
//! taken as they stand (gRPC, PROTOCOL-HTTP2.md). Never answers with anything but a gRPC status.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request};
use tokio::time::{Instant, timeout_at};

use super::counts::{Outcome, Transport};
use super::fault::{Fault, shown};
use super::frames::{self, Messages, Prefix, framed};
use super::incoming::Incoming;
use super::inflate::{Coding, Codings};
use super::life::Life;
use super::read::{self, Deadline, Use};
use super::refusal::{Partial, Refusal};
use super::reply::{Reply, Response};
use super::{Door, Entry, health, http, reflection};
use crate::io::spans::faces::Budget;
use crate::model::Signal;
use crate::otlp::answer::{Code, Encoding, Status, grpc_message, status_details_bin};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Questions of the health and reflection services are short.
pub(super) const QUESTION_BYTES_MAX: usize = 16 * 1024;

/// `None`: it is not gRPC. Otherwise what stands behind `application/grpc`, which names the encoding of messages.
pub(super) fn subtype(headers: &HeaderMap) -> Option<&str> {
    const START: &str = "application/grpc";
    let value = headers.get(CONTENT_TYPE)?;
    // Of a request over plain HTTP nothing more is looked at.
    if !value.as_bytes().get(..START.len())?.eq_ignore_ascii_case(START.as_bytes()) {
        return None;
    }
    let rest = value.to_str().ok()?.get(START.len()..)?;
    let rest = rest.split(';').next().unwrap_or_default().trim_end();
    (rest.is_empty() || rest.starts_with('+')).then_some(rest)
}

pub(super) async fn answer(door: &Arc<Door>, request: Request<Incoming>, life: &Arc<Life>) -> Response {
    let (parts, mut body) = request.into_parts();
    let path = parts.uri.path();
    if let Some(signal) = Signal::ALL.into_iter().find(|signal| path == signal.grpc_path()) {
        let open = door.counts.open(Some(signal), Transport::Grpc);
        let admitted = door.options.guard.admits_headers(&parts.headers);
        let checked = check(&parts).and_then(|call| if admitted { Ok(call) } else { Err(Fault::NoToken) });
        let exported = match checked {
            Ok(call) => export(door, call, &mut body, signal).await,
            Err(fault) => Err(Refusal::of(&fault, door)),
        };
        return match exported {
            Ok(partial) => {
                let outcome = if partial.is_some() { Outcome::Partly } else { Outcome::Taken };
                open.end(outcome);
                say(&http::success(signal, partial.as_ref(), Encoding::Protobuf))
            }
            Err(refusal) => {
                open.end(refusal.outcome);
                if matches!(refusal.outcome, Outcome::NotNow | Outcome::TooLarge | Outcome::Unauthorized) {
                    // Its body is on its way; taking it in spares the connection a reset stream.
                    read::drain(&mut body, &parts.headers).await;
                }
                refuse(&refusal)
            }
        };
    }
    let answered = match check(&parts) {
        Ok(call) if path.starts_with(health::PREFIX) => health::answer(door, path, call, body, life).await,
        Ok(call) => reflection::answer(path, call, body, life, door.options.body_timeout),
        Err(fault) => Err(fault),
    };
    answered.unwrap_or_else(|fault| {
        let refusal = Refusal::of(&fault, door);
        door.counts.request(None, Transport::Grpc, refusal.outcome);
        refuse(&refusal)
    })
}

/// What the head of a call says about its messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    coding: Option<Coding>,
    timeout: Option<Duration>,
}

fn check(parts: &Parts) -> Result<Call, Fault> {
    if parts.method != Method::POST {
        return Err(Fault::NotPost);
    }
    match subtype(&parts.headers).unwrap_or_default() {
        "" | "+proto" => {}
        other => return Err(Fault::UnknownSubtype { subtype: shown(other.trim_start_matches('+')) }),
    }
    let coding = match parts.headers.get(ENCODING) {
        Some(value) => Coding::named(value.to_str().unwrap_or("?").trim())?,
        None => None,
    };
    let timeout = parts.headers.get(TIMEOUT).map(|value| frames::timeout(value.as_bytes())).transpose()?;
    Ok(Call { coding, timeout })
}

impl Call {
    /// The coding of one message: its own flag decides whether the call's applies.
    fn codings(self, prefix: Prefix) -> Result<Codings, Fault> {
        match (prefix.is_compressed, self.coding) {
            (false, _) => Ok(Codings::default()),
            (true, Some(coding)) => Ok(Codings::one(Some(coding))),
            (true, None) => Err(Fault::Framing { reason: "a message is compressed and no grpc-encoding is named" }),
        }
    }

    fn deadline(self, ours: Duration) -> Deadline {
        let is_senders = self.timeout.is_some_and(|timeout| timeout < ours);
        let wait = self.timeout.filter(|_| is_senders).unwrap_or(ours);
        Deadline { at: Instant::now() + wait, is_senders, seconds: ours.as_secs() }
    }
}

async fn export(door: &Door, call: Call, body: &mut Incoming, signal: Signal) -> Result<Partial, Refusal> {
    let late = || Refusal::of(&Fault::Late, door);
    // A deadline of years is none; the clock could not hold it.
    let until = call.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let deadline = call.deadline(door.options.body_timeout);
    let entered = timeout_at(deadline.at, enter(door, call, body, signal)).await;
    let entry = entered.unwrap_or_else(|_| Err(deadline.fault())).map_err(|fault| Refusal::of(&fault, door))?;
    match until {
        None => door.hand_over(entry).await,
        Some(until) => timeout_at(until, door.hand_over(entry)).await.map_err(|_| late())?,
    }
}

async fn enter(door: &Door, call: Call, body: &mut Incoming, signal: Signal) -> Result<Entry, Fault> {
    let bytes_max = door.options.body_bytes_max;
    let mut messages = Messages::new(body);
    let prefix = messages.prefix().await?.ok_or(Fault::Cardinality { what: "no message" })?;
    if prefix.length > bytes_max {
        return Err(Fault::TooLarge { bytes_max });
    }
    let codings = call.codings(prefix)?;
    let mut share = door.budget.take(read::first_booking(Some(prefix.length))).ok_or(Fault::NoRoom)?;
    let purpose = if codings.is_none() || door.options.keeps_members { Use::Kept } else { Use::Converted };
    let bytes = messages.message(prefix.length, &mut share, &door.buffers, purpose).await?;
    messages.end().await?;
    door.unpack(signal, codings, bytes, share)
}

/// The next question of a call to one of the small services; `None` at the end of the stream. These are answered
/// while the budget is used up, too: their size is bounded by itself.
pub(super) async fn question(messages: &mut Messages<'_>, call: Call) -> Result<Option<Bytes>, Fault> {
    let Some(prefix) = messages.prefix().await? else { return Ok(None) };
    let bytes_max = QUESTION_BYTES_MAX;
    if prefix.length > bytes_max {
        return Err(Fault::TooLarge { bytes_max });
    }
    let codings = call.codings(prefix)?;
    let mut share = Budget::new(8 * QUESTION_BYTES_MAX).take(prefix.length).ok_or(Fault::NoRoom)?;
    let bytes = messages.message(prefix.length, &mut share, &Arc::default(), Use::Converted).await?;
    if codings.is_none() {
        return Ok(Some(bytes));
    }
    super::inflate::inflate(codings, bytes, bytes_max, &mut share, &Arc::default()).map(Some)
}

/// The head of an answer that has messages.
pub(super) fn respond(reply: Reply) -> Response {
    let mut response = Response::new(reply);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(ACCEPT_ENCODING, ENCODINGS);
    response
}

/// One message, and that all went well.
pub(super) fn say(message: &[u8]) -> Response {
    let message = if message.is_empty() { Bytes::from_static(&[0; 5]) } else { framed(message) };
    respond(Reply::Message { message: Some(message), trailers: Some(fine()) })
}

/// The trailers of a success.
pub(super) fn fine() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    trailers
}

/// The trailers of a stream that ended otherwise.
pub(super) fn failed(code: Code, reason: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    put_status(&mut trailers, &Status::new(code, reason));
    trailers
}

/// A status and no message; the trailers are the head.
fn refuse(refusal: &Refusal) -> Response {
    let mut response = respond(Reply::Bytes(None));
    put_status(response.headers_mut(), &refusal.status);
    response
}

fn put_status(headers: &mut HeaderMap, status: &Status) {
    headers.insert(STATUS, HeaderValue::from(u16::from(status.code.as_u8())));
    // Both texts are ASCII by their encodings.
    if let Ok(message) = HeaderValue::try_from(grpc_message(&status.message).as_ref()) {
        headers.insert(MESSAGE, message);
    }
    if !status.details.is_empty()
        && let Ok(details) = HeaderValue::try_from(status_details_bin(status))
    {
        headers.insert(DETAILS, details);
    }
}
