//! One connection to a sink and the request on it. Never shares a connection between lanes, follows a redirect, or
//! reads more than 64 KiB of an answer.

use std::error::Error;
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
        /// Driven by the lane itself: a task of its own would cost two wake-ups per request.
        connection: Pin<Box<http1::Connection<Stream, SliceBody>>>,
        is_over: bool,
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
    /// The other side has certainly not taken it: nothing was sent, or the connection was closed before.
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
                Ok(Link::Http { sender, connection: Box::pin(connection), is_over: false, waking: Waking::new() })
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
            Link::Http { is_over: true, .. } => {}
            Link::Http { connection, is_over, waking, .. } => {
                let over = |context: &mut Context<'_>| connection.as_mut().poll(context).map(drop);
                poll_within(waking, over).await;
                *is_over = true;
            }
            Link::Grpc(calls) => calls.closed().await,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        match self {
            Link::Http { sender, is_over, .. } => !is_over && !sender.is_closed(),
            Link::Grpc(calls) => calls.is_usable(),
        }
    }

    pub(super) async fn exchange(&mut self, request: Request<SliceBody>) -> Result<Received, Broken> {
        match self {
            Link::Http { sender, connection, is_over, waking } => {
                let mut exchange = pin!(async {
                    sender.ready().await.map_err(|cause| Broken::new(&cause, true))?;
                    read(sender.try_send_request(request).await).await
                });
                poll_within(waking, |context| {
                    loop {
                        if let Poll::Ready(done) = exchange.as_mut().poll(context) {
                            return Poll::Ready(done);
                        }
                        if *is_over || connection.as_mut().poll(context).is_pending() {
                            return Poll::Pending;
                        }
                        // It has ended: what it still had to say is with the exchange now.
                        *is_over = true;
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
        broken(&error.into_error(), is_unsent)
    })?;
    let (head, mut incoming) = response.into_parts();
    let mut received =
        Received { status: head.status.as_u16(), headers: head.headers, trailers: None, body: Vec::new() };
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|cause| broken(&cause, false))?;
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

/// A connection that the other side closed before it had said anything had been closed before the request came.
fn broken(cause: &hyper::Error, is_unsent: bool) -> Broken {
    Broken::new(cause, is_unsent || cause.is_incomplete_message())
}
