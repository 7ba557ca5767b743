//! Speaks to a door byte by byte over HTTP/1.1, and through hyper over HTTP/2. Mends nothing on the way.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::PATIENCE;

pub const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A trace request whose one span has a name of this length.
pub fn spans(name_length: usize) -> ExportTraceServiceRequest {
    let span = Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: "n".repeat(name_length), ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

/// A trace request of exactly so many bytes.
pub fn request_of(bytes: usize) -> Vec<u8> {
    let over = spans(bytes - 100).encoded_len() - (bytes - 100);
    let request = spans(bytes - over).encode_to_vec();
    assert_eq!(request.len(), bytes);
    request
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of the `Status` in a protobuf body, or why there is none.
    pub fn status_code(&self) -> String {
        // google.rpc.Status: field 1 is the code.
        match self.body.as_ref() {
            [0x08, code, ..] if self.header("content-type") == "application/x-protobuf" => code.to_string(),
            _ => serde_json::from_slice::<serde_json::Value>(&self.body)
                .map_or("no status".to_owned(), |status| status["code"].to_string()),
        }
    }

    pub fn brief(&self) -> String {
        format!("{} {}", self.status, self.status_code())
    }
}

/// A connection over HTTP/1.1.
pub struct Http1 {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: tawny\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head + "\r\n"
}

impl Http1 {
    pub async fn open(address: SocketAddr) -> Http1 {
        Http1 { stream: TcpStream::connect(address).await.unwrap(), unread: Vec::new() }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        // A door may have closed by now; the answer will tell.
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let length = body.len().to_string();
        let mut headers = headers.to_vec();
        headers.push(("content-length", &length));
        self.write(head(method, path, &headers).as_bytes()).await;
        self.write(body).await;
        self.read().await.expect("an answer")
    }

    /// The next answer, or `None` where the connection ends first.
    pub async fn read(&mut self) -> Option<Answer> {
        timeout(PATIENCE, self.read_on()).await.expect("an answer in time")
    }

    async fn read_on(&mut self) -> Option<Answer> {
        let mut buffer = [0; 4096];
        loop {
            if let Some((answer, used)) = parse(&self.unread) {
                self.unread.drain(..used);
                return Some(answer);
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Whether the other side closes within this time, whatever it says before.
    pub async fn closes_within(&mut self, wait: Duration) -> bool {
        let mut buffer = [0; 4096];
        let closed = async { while matches!(self.stream.read(&mut buffer).await, Ok(count) if count > 0) {} };
        timeout(wait, closed).await.is_ok()
    }
}

/// A whole answer at the front of the bytes, and its length.
fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = hyper::header::HeaderName::try_from(name).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    if status == 100 || status == 204 {
        return Some((Answer { status, headers, body: Bytes::new() }, end));
    }
    let length: usize = headers.get("content-length")?.to_str().unwrap().parse().unwrap();
    let body = bytes.get(end..end + length)?;
    Some((Answer { status, headers, body: Bytes::copy_from_slice(body) }, end + length))
}

/// One request on a connection of its own.
pub async fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    Http1::open(address).await.send("POST", path, headers, body).await
}

pub type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

pub async fn http2(address: SocketAddr) -> (Http2, tokio::task::JoinHandle<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    (sender, tokio::spawn(async move { drop(connection.await) }))
}

/// An answer with its trailers among its headers.
pub async fn send2(sender: &mut Http2, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = hyper::Request::post(format!("http://tawny{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    sender.ready().await.unwrap();
    let sent = sender.send_request(request.body(Full::new(body.into())).unwrap());
    let response = timeout(PATIENCE, sent).await.expect("an answer in time").unwrap();
    let (parts, body) = response.into_parts();
    let collected = timeout(PATIENCE, body.collect()).await.expect("an answer in time").unwrap();
    let mut headers = parts.headers;
    headers.extend(collected.trailers().cloned().unwrap_or_default());
    Answer { status: parts.status.as_u16(), headers, body: collected.to_bytes() }
}

pub fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

/// A unary call on a connection of its own, its body as given.
pub async fn call(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let (mut sender, _connection) = http2(address).await;
    let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
    all.extend_from_slice(headers);
    send2(&mut sender, path, &all, body).await
}
