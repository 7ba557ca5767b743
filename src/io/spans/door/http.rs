//! OTLP/HTTP: four paths, protobuf and JSON, each answer in the encoding of its request
//! (opentelemetry-proto, docs/specification.md, "OTLP/HTTP"). Never answers without a `Status` when it refuses.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Version};
use tokio::time::{Instant, timeout_at};

use super::counts::{Outcome, Transport};
use super::fault::{Fault, shown};
use super::incoming::Incoming;
use super::inflate::Codings;
use super::read::{self, Deadline, Use};
use super::refusal::{Partial, Refusal};
use super::reply::{Reply, Response};
use super::{Door, DoorOptions, Entry, JsonRead, NotRead, cors};
use crate::io::aside::aside;
use crate::io::spans::faces::Share;
use crate::model::Signal;
use crate::otlp::answer::{self, Encoding};
use crate::otlp::json::BYTES_TIMES_MAX;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const PROTOBUF_REGISTERED: HeaderValue = HeaderValue::from_static("application/protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, zstd, deflate");
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"tawny\"");

/// A map with room for more headers is not used again. Senders have about ten.
const HEADER_COUNT_KEPT: usize = 24;

/// How a request's body is written, and what its answer is called.
struct Kind {
    encoding: Encoding,
    content_type: HeaderValue,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Result<Kind, Fault> {
        let given = headers.get(CONTENT_TYPE).map_or(Ok(""), HeaderValue::to_str);
        let given = given.map_err(|_| Fault::UnknownType { given: "?".to_owned() })?;
        // As nearly every sender writes it.
        if given == "application/x-protobuf" {
            return Ok(Kind { encoding: Encoding::Protobuf, content_type: PROTOBUF });
        }
        // Parameters such as a charset say nothing about protobuf, and JSON is UTF-8.
        let bare = given.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| bare.eq_ignore_ascii_case(name);
        if is("application/x-protobuf") {
            Ok(Kind { encoding: Encoding::Protobuf, content_type: PROTOBUF })
        } else if is("application/json") {
            Ok(Kind { encoding: Encoding::Json, content_type: JSON })
        } else if is("application/protobuf") {
            Ok(Kind { encoding: Encoding::Protobuf, content_type: PROTOBUF_REGISTERED })
        } else {
            Err(Fault::UnknownType { given: shown(given) })
        }
    }

    fn transport(&self) -> Transport {
        match self.encoding {
            Encoding::Protobuf => Transport::HttpProtobuf,
            Encoding::Json => Transport::HttpJson,
        }
    }
}

fn signal_at(path: &str, prefix: &str) -> Option<Signal> {
    let bare = path.strip_prefix(prefix.trim_end_matches('/')).unwrap_or(path);
    Signal::ALL.into_iter().find(|signal| bare == signal.http_path() || path == signal.http_path())
}

pub(super) async fn answer(door: &Door, request: Request<Incoming>) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let kind = Kind::of(&parts.headers);
    let signal = signal_at(parts.uri.path(), &door.options.path_prefix);
    let origin = door.options.origins.admitted(&parts.headers);
    if let Some(origin) = &origin
        && signal.is_some()
        && cors::is_preflight(&parts)
    {
        return cors::preflight(&parts, origin.clone());
    }
    let transport = kind.as_ref().map_or(Transport::Unknown, Kind::transport);
    let open = door.counts.open(signal, transport);
    let exported = export(door, &parts, &mut body, signal, &kind).await;
    // A sender whose type we cannot tell is most likely a person with curl.
    let kind = kind.unwrap_or(Kind { encoding: Encoding::Json, content_type: JSON });
    let mut response = match exported {
        Ok((signal, partial)) => {
            let outcome = if partial.is_some() { Outcome::Partly } else { Outcome::Taken };
            open.end(outcome);
            let body = success(signal, partial.as_ref(), kind.encoding);
            respond_in(emptied(&mut parts.headers), StatusCode::OK, kind.content_type, body)
        }
        Err(refusal) => {
            open.end(refusal.outcome);
            let is_lost = matches!(refusal.outcome, Outcome::TooSlow | Outcome::Broken);
            let goes_on = !is_lost && read::drain(&mut body, &parts.headers).await;
            refuse(&refusal, kind, &parts, goes_on)
        }
    };
    if let Some(origin) = origin {
        cors::admit(response.headers_mut(), origin);
    }
    response
}

async fn export(
    door: &Door,
    parts: &Parts,
    body: &mut Incoming,
    signal: Option<Signal>,
    kind: &Result<Kind, Fault>,
) -> Result<(Signal, Partial), Refusal> {
    let refused = |fault: Fault| Refusal::of(&fault, door);
    let signal = signal.ok_or_else(|| refused(Fault::UnknownPath { path: shown(parts.uri.path()) }))?;
    if parts.method != Method::POST {
        return Err(refused(Fault::NotPost));
    }
    if !door.options.guard.admits_headers(&parts.headers) {
        return Err(refused(Fault::NoToken));
    }
    let kind = kind.as_ref().map_err(|fault| refused(fault.clone()))?;
    let entry = enter(door, parts, body, signal, kind).await.map_err(refused)?;
    Ok((signal, door.hand_over(entry).await?))
}

async fn enter(door: &Door, parts: &Parts, body: &mut Incoming, signal: Signal, kind: &Kind) -> Result<Entry, Fault> {
    let options = &door.options;
    let bytes_max = options.body_bytes_max;
    let values = parts.headers.get_all(CONTENT_ENCODING).iter();
    let codings = Codings::read(values.map(HeaderValue::as_bytes))?;
    let expected = read::content_length(&parts.headers);
    if expected.is_some_and(|expected| expected > bytes_max) {
        return Err(Fault::TooLarge { bytes_max });
    }
    let mut share = door.budget.take(read::first_booking(expected)).ok_or(Fault::NoRoom)?;
    let is_kept = (codings.is_none() || options.keeps_members) && kind.encoding == Encoding::Protobuf;
    let purpose = if is_kept { Use::Kept } else { Use::Converted };
    let reading = read::whole(body, expected, bytes_max, &mut share, &door.buffers, purpose);
    let bytes = in_time(reading, options.body_timeout).await?;
    match kind.encoding {
        Encoding::Protobuf => door.unpack(signal, codings, bytes, share),
        Encoding::Json => {
            let Entry { body, mut share, .. } = door.unpack(signal, codings, bytes, share)?;
            let read = aside(body.len(), || read_json(door, signal, &body, &mut share))?;
            share.shrink(read.protobuf.len());
            Ok(Entry { signal, body: read.protobuf.into(), member: None, repairs: read.repairs, share })
        }
    }
}

/// The body, if it comes within the timeout.
async fn in_time(reading: impl Future<Output = Result<Bytes, Fault>>, body_timeout: Duration) -> Result<Bytes, Fault> {
    let mut reading = pin!(reading);
    // Most bodies have come together with their head, and need neither clock nor timer.
    if let Poll::Ready(read) = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
        return read;
    }
    let deadline = Deadline { at: Instant::now() + body_timeout, is_senders: false, seconds: body_timeout.as_secs() };
    timeout_at(deadline.at, reading).await.map_err(|_| deadline.fault())?
}

/// Within memory that was booked before: as much again as the text, which is enough for all but long lists of numbers,
/// and else as much as these can need.
fn read_json(door: &Door, signal: Signal, body: &[u8], share: &mut Share) -> Result<JsonRead, Fault> {
    let DoorOptions { body_bytes_max, read_json, .. } = &door.options;
    let most = body.len().saturating_mul(BYTES_TIMES_MAX).min(*body_bytes_max);
    for bytes_max in [Some(body.len()), Some(most).filter(|most| *most > body.len())].into_iter().flatten() {
        if !share.grow(body.len() + bytes_max) {
            return Err(Fault::NoRoom);
        }
        match read_json(signal, body, bytes_max) {
            Ok(read) if read.protobuf.len() <= *body_bytes_max => return Ok(read),
            Ok(_) | Err(NotRead::Outgrown) => {}
            Err(NotRead::Fault(reason)) => return Err(Fault::Json { reason }),
        }
    }
    Err(Fault::InflatesTooLarge { bytes_max: *body_bytes_max })
}

/// The body of a success, with what it has to say.
pub(super) fn success(signal: Signal, partial: Option<&(u64, String)>, encoding: Encoding) -> Bytes {
    match partial {
        None => Bytes::from_static(answer::success_body(encoding)),
        Some((rejected, message)) => answer::partial_body(signal, *rejected, message, encoding).into(),
    }
}

fn respond(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response {
    respond_in(HeaderMap::new(), status, content_type, body)
}

/// With the headers in a map that is there and empty.
fn respond_in(headers: HeaderMap, status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response {
    let mut response = Response::new(Reply::Bytes(Some(body)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The memory of a request's headers, for those of its answer. Hyper reads the next request of a connection into the map
/// of the last answer, so that one map serves them all; one that was made for an answer would grow at every request.
fn emptied(headers: &mut HeaderMap) -> HeaderMap {
    // A sender of many headers would have the connection keep the room for them.
    if headers.capacity() > HEADER_COUNT_KEPT {
        return HeaderMap::new();
    }
    let mut headers = std::mem::take(headers);
    headers.clear();
    headers
}

fn refuse(refusal: &Refusal, kind: Kind, parts: &Parts, goes_on: bool) -> Response {
    let body = refusal.status.body(kind.encoding).into();
    let status = StatusCode::from_u16(refusal.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(status, kind.content_type, body);
    let headers = response.headers_mut();
    if let Some(delay) = refusal.retry_after() {
        // Whole seconds, and never too early.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        headers.insert(ACCEPT_ENCODING, ENCODINGS);
    }
    if status == StatusCode::UNAUTHORIZED && refusal.outcome == Outcome::Unauthorized {
        headers.insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    if !goes_on && parts.version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// gRPC over a connection that cannot carry it.
pub(super) fn refuse_grpc(door: &Door, request: &Request<Incoming>) -> Response {
    let refusal = Refusal::of(&Fault::GrpcNeedsHttp2, door);
    door.counts.request(None, Transport::Grpc, refusal.outcome);
    let body = refusal.status.body(Encoding::Json).into();
    let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
    let mut response = respond(status, JSON, body);
    if request.version() < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_memory_of_its_requests_headers_and_none_of_them() {
        let sent = |count: usize| -> HeaderMap {
            let name = |number| hyper::header::HeaderName::try_from(format!("x-owl-{number}")).expect("it is a name");
            (0..count).map(|number| (name(number), JSON)).collect()
        };
        let mut few = sent(9);
        let room = few.capacity();
        let response = respond_in(emptied(&mut few), StatusCode::OK, PROTOBUF, Bytes::new());
        assert_eq!(response.headers(), &HeaderMap::from_iter([(CONTENT_TYPE, PROTOBUF)]));
        assert_eq!(response.headers().capacity(), room);
        assert_eq!(emptied(&mut sent(2 * HEADER_COUNT_KEPT)).capacity(), 0, "that much is not kept");
    }
}
