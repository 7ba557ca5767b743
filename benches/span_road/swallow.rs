//! A receiver that swallows what comes and says that it was taken. Keeps the first request, so that the bench can see
//! that what it measured was the work it meant.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::Protocol;

#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    bytes: AtomicU64,
    first: OnceLock<Vec<u8>>,
}

pub struct Swallow {
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

impl Swallow {
    pub fn start(protocol: Protocol) -> Swallow {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let shared = seen.clone();
        thread::spawn(move || match protocol {
            Protocol::Http => {
                for stream in listener.incoming() {
                    let (stream, seen) = (stream.unwrap(), shared.clone());
                    thread::spawn(move || http(stream, &seen));
                }
            }
            Protocol::Grpc => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(grpc(listener, shared));
            }
        });
        Swallow { address, seen }
    }

    pub fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::Relaxed)
    }

    pub fn first(&self) -> &[u8] {
        self.seen.first.get().expect("a request has come")
    }

    /// Until nothing has come for a while.
    pub fn wait_quiet(&self) {
        let mut before = u64::MAX;
        while before != self.bytes() {
            before = self.bytes();
            thread::sleep(Duration::from_millis(300));
        }
    }
}

fn http(mut stream: TcpStream, seen: &Seen) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut filled = 0;
    loop {
        let head = loop {
            if let Some(at) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buffer[filled..]) {
                Ok(0) | Err(_) => return,
                Ok(count) => filled += count,
            }
        };
        let text = std::str::from_utf8(&buffer[..head]).unwrap().to_ascii_lowercase();
        let length: usize = text.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        let is_first = seen.first.get().is_none();
        let mut kept = Vec::new();
        let mut left = length;
        let mut at = head;
        loop {
            let here = left.min(filled - at);
            if is_first {
                kept.extend_from_slice(&buffer[at..at + here]);
            }
            left -= here;
            if left == 0 {
                buffer.copy_within(at + here..filled, 0);
                filled -= at + here;
                break;
            }
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => (at, filled) = (0, count),
            }
        }
        if is_first {
            let _ = seen.first.set(kept);
        }
        note(seen, length);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

fn note(seen: &Seen, length: usize) {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    seen.bytes.fetch_add(length as u64, Ordering::Relaxed);
}

async fn grpc(listener: TcpListener, seen: Arc<Seen>) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let seen = seen.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| call(request, seen.clone()));
        let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.initial_stream_window_size(1 << 20).initial_connection_window_size(4 << 20);
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}

async fn call(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    let mut body = request.into_body();
    let is_first = seen.first.get().is_none();
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            length += data.len();
            if is_first {
                kept.extend_from_slice(&data);
            }
        }
    }
    if is_first {
        let _ = seen.first.set(kept);
    }
    note(&seen, length);
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
    Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}
