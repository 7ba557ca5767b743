//! Senders: four connections with one request each in flight, as fast as the daemon answers. They run in the bench's own
//! process, so that their work is nobody else's CPU time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use hyper::Request;
use hyper::header::HeaderValue;

use crate::payload::Maker;
use crate::{Coding, Protocol};

pub const CONNECTION_COUNT: usize = 4;

/// What is to be sent.
#[derive(Clone, Copy)]
pub struct Load {
    pub protocol: Protocol,
    pub coding: Coding,
    pub spans_per_request: usize,
    pub request_count: usize,
    /// Loads with different rounds have different ids.
    pub round: u64,
}

/// Sends all requests and returns when each was taken.
pub fn send(to: SocketAddr, load: Load) {
    let connections: Vec<_> = (0..CONNECTION_COUNT)
        .map(|number| {
            let count =
                load.request_count / CONNECTION_COUNT + usize::from(number < load.request_count % CONNECTION_COUNT);
            let maker = Maker::new(load.spans_per_request, load.coding, load.round << 8 | number as u64);
            thread::spawn(move || match load.protocol {
                Protocol::Http => http(to, load.coding, maker, count),
                Protocol::Grpc => {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(grpc(to, load.coding, maker, count));
                }
            })
        })
        .collect();
    connections.into_iter().for_each(|connection| connection.join().unwrap());
}

fn http(to: SocketAddr, coding: Coding, mut maker: Maker, count: usize) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    let encoding = coding.name().map_or(String::new(), |name| format!("content-encoding: {name}\r\n"));
    let mut message = Vec::new();
    let mut answer = [0; 4096];
    for _ in 0..count {
        loop {
            if message.is_empty() {
                let body = maker.next();
                write!(
                    message,
                    "POST /v1/traces HTTP/1.1\r\nhost: {to}\r\nuser-agent: bench\r\ncontent-type: application/x-protobuf\r\n\
                     {encoding}content-length: {}\r\n\r\n",
                    body.len()
                )
                .unwrap();
                message.extend_from_slice(&body);
            }
            stream.write_all(&message).unwrap();
            if is_taken(&mut stream, &mut answer) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        message.clear();
    }
}

/// Reads one short answer. `false`: to be sent again.
fn is_taken(stream: &mut TcpStream, answer: &mut [u8]) -> bool {
    let mut filled = 0;
    loop {
        let count = stream.read(&mut answer[filled..]).unwrap();
        assert!(count > 0, "the daemon hung up");
        filled += count;
        let Some(head) = answer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head]).unwrap().to_ascii_lowercase();
        let length =
            text.split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        if filled >= head + 4 + length {
            if text.starts_with("http/1.1 503") || text.starts_with("http/1.1 429") {
                return false;
            }
            assert!(text.starts_with("http/1.1 20"), "{}", String::from_utf8_lossy(&answer[..filled]));
            return true;
        }
    }
}

/// Head and message of a request leave in one write, as those of HTTP do above; hyper's client would write them apart.
async fn grpc(to: SocketAddr, coding: Coding, mut maker: Maker, count: usize) {
    let stream = tokio::net::TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    for _ in 0..count {
        let body = framed(&maker.next(), coding != Coding::None);
        loop {
            let mut request =
                Request::post(format!("http://{to}/opentelemetry.proto.collector.trace.v1.TraceService/Export"))
                    .version(hyper::Version::HTTP_2)
                    .header("content-type", "application/grpc")
                    .header("te", "trailers");
            if let Some(name) = coding.name() {
                request = request.header("grpc-encoding", name);
            }
            sender = sender.ready().await.unwrap();
            let (answer, mut stream) = sender.send_request(request.body(()).unwrap(), false).unwrap();
            stream.send_data(body.clone(), true).unwrap();
            match status(answer.await.unwrap()).await.as_bytes() {
                b"0" => break,
                b"14" => tokio::time::sleep(Duration::from_millis(5)).await,
                other => panic!("gRPC status {}", String::from_utf8_lossy(other)),
            }
        }
    }
    drop(sender);
    let _ = connection.await;
}

async fn status(answer: hyper::Response<h2::RecvStream>) -> HeaderValue {
    if let Some(status) = answer.headers().get("grpc-status") {
        return status.clone();
    }
    let mut body = answer.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    body.trailers().await.unwrap().unwrap()["grpc-status"].clone()
}

fn framed(message: &[u8], is_compressed: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(u8::from(is_compressed));
    out.put_u32(u32::try_from(message.len()).unwrap());
    out.put_slice(message);
    out.freeze()
}
