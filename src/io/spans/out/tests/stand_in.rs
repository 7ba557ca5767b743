//! A receiver of OTLP on a port of its own: HTTP/1.1 and HTTP/2, answers as a test says, and keeps what it got.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// One request as it came.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) version: Version,
    /// Inflated and without the prefix of gRPC.
    pub(super) message: Bytes,
    pub(super) at: Instant,
}

impl Seen {
    pub(super) fn spans(&self) -> Vec<String> {
        let request = ExportTraceServiceRequest::decode(&self.message[..]).expect("a request is protobuf");
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(|span| span.name).collect()
    }
}

#[derive(Clone, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(&'static str, String)>,
    pub(super) hang: bool,
    /// Ends the connection behind the answer.
    pub(super) last: bool,
}

pub(super) fn http(status: u16) -> Answer {
    let headers = vec![("content-type", "application/x-protobuf".to_owned())];
    Answer { status, headers, ..Answer::default() }
}

pub(super) fn grpc(status: u8) -> Answer {
    let headers = vec![("content-type", "application/grpc".to_owned())];
    let trailers = vec![("grpc-status", status.to_string())];
    Answer { status: 200, headers, trailers, body: vec![0; 5], ..Answer::default() }
}

pub(super) type Script = Arc<dyn Fn(usize, &Seen) -> Answer + Send + Sync>;

#[derive(Clone)]
pub(super) struct StandIn {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub(super) connection_count: Arc<AtomicUsize>,
    /// Each answer costs one of these.
    pub(super) gate: Arc<Semaphore>,
    script: Script,
}

impl StandIn {
    /// Answers at once.
    pub(super) async fn new(script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> StandIn {
        let stand_in = StandIn::gated(script).await;
        stand_in.gate.add_permits(1_000_000);
        stand_in
    }

    /// Answers as many requests as the gate has permits.
    pub(super) async fn gated(script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        StandIn::start(listener, Arc::new(script), None)
    }

    /// Answers at once, on this listener.
    pub(super) fn on(
        listener: TcpListener,
        script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static,
    ) -> StandIn {
        let stand_in = StandIn::start(listener, Arc::new(script), None);
        stand_in.gate.add_permits(1_000_000);
        stand_in
    }

    /// Answers at once, and speaks TLS.
    pub(super) async fn with_tls(
        acceptor: TlsAcceptor,
        script: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static,
    ) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stand_in = StandIn::start(listener, Arc::new(script), Some(acceptor));
        stand_in.gate.add_permits(1_000_000);
        stand_in
    }

    fn start(listener: TcpListener, script: Script, tls: Option<TlsAcceptor>) -> StandIn {
        let stand_in = StandIn {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connection_count: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            script,
        };
        let served = stand_in.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.connection_count.fetch_add(1, Ordering::Relaxed);
                let (served, tls) = (served.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => served.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                served.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        stand_in
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(|request| {
            let served = self.clone();
            async move { served.answer(request).await }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub(super) async fn wait_for(&self, count: usize) -> Vec<Seen> {
        for _ in 0..6000 {
            let seen = self.seen();
            if seen.len() >= count {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} of {count} requests came", self.seen().len());
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let length = head.headers.get("content-length").map(|length| length.to_str().unwrap().parse().unwrap());
        let body = body.collect().await?.to_bytes();
        if head.version == Version::HTTP_11 {
            assert_eq!(length, Some(body.len()), "the length is announced, exactly");
        }
        let message = unpacked(&head.headers, body);
        let seen = Seen {
            path: head.uri.path().to_owned(),
            headers: head.headers,
            version: head.version,
            message,
            at: Instant::now(),
        };
        let number = {
            let mut list = self.seen.lock().unwrap();
            list.push(seen.clone());
            list.len() - 1
        };
        self.gate.acquire().await.unwrap().forget();
        let answer = (self.script)(number, &seen);
        if answer.hang {
            std::future::pending::<()>().await;
        }
        let mut trailers = HeaderMap::new();
        for (name, value) in answer.trailers {
            trailers.insert(name, value.parse().unwrap());
        }
        let body = Full::new(Bytes::from(answer.body));
        let body = match trailers.is_empty() {
            true => body.boxed(),
            false => body.with_trailers(async move { Some(Ok(trailers)) }).boxed(),
        };
        let mut response = Response::builder().status(answer.status);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        if answer.last {
            response = response.header("connection", "close");
        }
        Ok(response.body(body).unwrap())
    }
}

fn unpacked(headers: &HeaderMap, body: Bytes) -> Bytes {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let is_grpc = header("content-type").is_some_and(|kind| kind == "application/grpc");
    let (encoding, body) = if is_grpc {
        assert_eq!(u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize, body.len() - 5);
        let encoding = header("grpc-encoding");
        assert_eq!(body[0] == 1, encoding.is_some());
        (encoding, body.slice(5..))
    } else {
        assert_eq!(header("content-type").as_deref(), Some("application/x-protobuf"));
        (header("content-encoding"), body)
    };
    match encoding.as_deref() {
        None => body,
        Some("gzip") => {
            let mut plain = Vec::new();
            let mut decoder = flate2::bufread::GzDecoder::new(&body[..]);
            std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
            assert!(decoder.into_inner().is_empty(), "one member and nothing behind it");
            plain.into()
        }
        Some("zstd") => zstd::decode_all(&body[..]).unwrap().into(),
        Some(other) => panic!("an encoding nobody asked for: {other}"),
    }
}
