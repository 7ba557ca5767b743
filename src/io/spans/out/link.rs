//! One connection to a sink and the request on it. Never shares a connection between lanes, follows a redirect, or
//! reads more than 64 KiB of an answer.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, Response};

use super::body::SliceBody;
use super::call::Calls;
use super::client::{Stream, root};
use crate::io::spans::waking::Waking;
use crate::sinks::Protocol;

pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// An open connection.
pub(super) enum Link {
    Http {
        sender: http1::SendRequest<SliceBody>,
        /// Driven by the lane itself: a task of its own would cost two wake-ups per request. `None` once it has ended:
        /// hyper keeps a request that came too late until the connection is dropped.
        connection: Option<Pin<Box<http1::Connection<Stream, SliceBody>>>>,
        waking: Waking,
    },
    /// Driven by the lane as well.
    Grpc(Box<Calls>),
}

/// An answer, read to its end.
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
pub(super) struct Broken {
    /// In words for people.
    pub(super) reason: String,
    /// The connection was closed before anything was answered: as a rule it was closed while nothing was on it, and if not,
    /// OTLP lets a request come twice.
    pub(super) is_again: bool,
}

impl Broken {
    pub(super) fn new(cause: &(dyn Error + 'static), is_again: bool) -> Broken {
        Broken { reason: format!("the connection broke: {}", root(cause)), is_again }
    }
}

impl Link {
    pub(super) async fn open(stream: Stream, protocol: Protocol) -> Result<Link, Broken> {
        match protocol {
            Protocol::Http => {
                let (sender, connection) = http1::handshake(stream).await.map_err(|cause| Broken::new(&cause, true))?;
                Ok(Link::Http { sender, connection: Some(Box::pin(connection)), waking: Waking::new() })
            }
            Protocol::Grpc => Calls::open(stream)
                .await
                .map(|calls| Link::Grpc(Box::new(calls)))
                .map_err(|cause| Broken::new(&cause, true)),
        }
    }

    /// Ends when the connection is of no more use. Polled by a lane that has nothing to do.
    pub(super) async fn closed(&mut self) {
        match self {
            Link::Http { connection, waking, .. } => {
                if let Some(open) = connection {
                    poll_within(waking, |context| open.as_mut().poll(context).map(drop)).await;
                }
                *connection = None;
            }
            Link::Grpc(calls) => calls.closed().await,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        match self {
            Link::Http { sender, connection, .. } => connection.is_some() && !sender.is_closed(),
            Link::Grpc(calls) => calls.is_usable(),
        }
    }

    pub(super) async fn exchange(&mut self, request: Request<SliceBody>) -> Result<Received, Broken> {
        match self {
            Link::Http { sender, connection, waking } => {
                let mut exchange = pin!(async {
                    sender.ready().await.map_err(|cause| Broken::new(&cause, true))?;
                    read(sender.try_send_request(request).await).await
                });
                poll_within(waking, |context| {
                    loop {
                        if let Poll::Ready(done) = exchange.as_mut().poll(context) {
                            return Poll::Ready(done);
                        }
                        let Some(open) = connection else { return Poll::Pending };
                        if open.as_mut().poll(context).is_pending() {
                            return Poll::Pending;
                        }
                        // It has ended: what it still had to say, or the request that it has not looked at, is with the
                        // exchange now.
                        *connection = None;
                    }
                })
                .await
            }
            Link::Grpc(calls) => calls.exchange(request).await,
        }
    }
}

/// Polls with a waker that answers within the poll.
async fn poll_within<T>(waking: &Waking, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    std::future::poll_fn(|context| waking.poll(context, &mut poll)).await
}

type Sent = Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<SliceBody>>>;

async fn read(sent: Sent) -> Result<Received, Broken> {
    let response = sent.map_err(|mut error| {
        let is_unsent = error.take_message().is_some();
        let cause = error.into_error();
        Broken::new(&cause, is_unsent || cause.is_incomplete_message() || is_cut(&cause))
    })?;
    let (head, mut incoming) = response.into_parts();
    let mut received =
        Received { status: head.status.as_u16(), headers: head.headers, trailers: None, body: Vec::new() };
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|cause| Broken::new(&cause, false))?;
        match frame.into_data() {
            Ok(data) => {
                let data: Bytes = data;
                let room = ANSWER_BYTES_MAX - received.body.len();
                received.body.extend_from_slice(&data[..data.len().min(room)]);
            }
            Err(frame) => received.trailers = frame.into_trailers().ok(),
        }
        if received.body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(received)
}

/// Whether the other side closed the connection while the request was on its way: a server that has done so answers what
/// still comes with a reset.
fn is_cut(cause: &hyper::Error) -> bool {
    let mut cause: &(dyn Error + 'static) = cause;
    loop {
        if cause.downcast_ref::<io::Error>().is_some_and(|cause| CUT.contains(&cause.kind())) {
            return true;
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return false,
        }
    }
}

const CUT: [ErrorKind; 3] = [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::super::body::Slices;
    use super::*;

    async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ours, listener.accept().await.unwrap().0)
    }

    /// Reads one request to the end of its body.
    async fn read_request(stream: &mut TcpStream) {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\nbody") {
            read.push(stream.read_u8().await.unwrap());
        }
    }

    fn request() -> Request<SliceBody> {
        let body = Slices::new(vec![Bytes::from_static(b"body")]).body();
        Request::post("/x").header("host", "sink").body(body).unwrap()
    }

    /// A connection that has served one request.
    async fn used() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, mut theirs) = pair(&listener).await;
        let mut link = Link::open(Stream::Http(TokioIo::new(ours)), Protocol::Http).await.ok().unwrap();
        let sink = async {
            read_request(&mut theirs).await;
            theirs.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        };
        let (received, ()) = tokio::join!(link.exchange(request()), sink);
        assert_eq!(received.ok().unwrap().status, 200);
        (link, theirs)
    }

    async fn broken(link: &mut Link) -> Broken {
        let answered = timeout(Duration::from_secs(20), link.exchange(request())).await;
        answered.expect("nobody waits for a connection that has ended").err().expect("it has ended")
    }

    /// The runtime has looked at all sockets.
    async fn look_around() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for _ in 0..3 {
            let (mut ours, mut theirs) = pair(&listener).await;
            theirs.write_u8(1).await.unwrap();
            ours.read_u8().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_request_on_a_connection_that_has_just_ended_may_go_out_again_at_once() {
        let (mut link, theirs) = used().await;
        drop(theirs);
        look_around().await;
        assert!(link.is_usable(), "nobody has looked at it");
        let broken = broken(&mut link).await;
        assert!(broken.is_again && !link.is_usable(), "{}", broken.reason);
    }

    #[tokio::test]
    async fn a_request_whose_connection_ends_before_a_byte_of_the_answer_may_go_out_again_at_once() {
        for is_reset in [false, true] {
            let (mut link, mut theirs) = used().await;
            let sink = async {
                read_request(&mut theirs).await;
                if is_reset {
                    theirs.set_zero_linger().unwrap();
                }
                drop(theirs);
            };
            let (broken, ()) = tokio::join!(broken(&mut link), sink);
            assert!(broken.is_again && !link.is_usable(), "{}", broken.reason);
        }
    }

    #[tokio::test]
    async fn a_request_whose_answer_has_begun_does_not_go_out_again_by_itself() {
        let (mut link, mut theirs) = used().await;
        let sink = async {
            read_request(&mut theirs).await;
            theirs.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart").await.unwrap();
            drop(theirs);
        };
        let (broken, ()) = tokio::join!(broken(&mut link), sink);
        assert!(!broken.is_again, "{}", broken.reason);
    }
}
