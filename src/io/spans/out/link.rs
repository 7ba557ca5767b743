//! One connection to a sink and the request on it. Never shares a connection between lanes, follows a redirect, or
//! reads more than 64 KiB of an answer.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioTimer;

use super::body::SliceBody;
use super::client::Stream;
use super::cork::Cork;
use super::hands::{Driven, Hands};
use crate::io::spans::waking::Waking;
use crate::sinks::Protocol;

const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long a connection of gRPC may be silent with a request on it before it is asked whether it lives.
const PING_AFTER: std::time::Duration = std::time::Duration::from_secs(20);

/// An open connection.
pub(super) enum Link {
    Http {
        sender: http1::SendRequest<SliceBody>,
        /// Driven by the lane itself: a task of its own would cost two wake-ups per request.
        connection: Pin<Box<http1::Connection<Stream, SliceBody>>>,
        is_over: bool,
        waking: Waking,
    },
    Grpc {
        sender: http2::SendRequest<SliceBody>,
        /// Driven by the lane as well.
        driven: Driven,
        waking: Waking,
    },
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
    pub(super) cause: hyper::Error,
    /// The other side has certainly seen nothing of the request.
    pub(super) is_unsent: bool,
}

impl Link {
    pub(super) async fn open(stream: Stream, protocol: Protocol) -> Result<Link, hyper::Error> {
        match protocol {
            Protocol::Http => {
                let (sender, connection) = http1::handshake(stream).await?;
                Ok(Link::Http { sender, connection: Box::pin(connection), is_over: false, waking: Waking::new() })
            }
            Protocol::Grpc => {
                let (hands, cork) = (Hands::default(), Cork::new(stream));
                let handshake = http2::Builder::new(hands.clone())
                    .timer(TokioTimer::new())
                    .keep_alive_interval(PING_AFTER)
                    .keep_alive_timeout(PING_AFTER)
                    .handshake(cork.clone());
                let (sender, connection) = handshake.await?;
                let driven = Driven::new(connection, cork, hands);
                Ok(Link::Grpc { sender, driven, waking: Waking::new() })
            }
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
            Link::Grpc { driven, waking, .. } => poll_within(waking, |context| driven.poll(context)).await,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        match self {
            Link::Http { sender, is_over, .. } => !is_over && !sender.is_closed(),
            Link::Grpc { sender, driven, .. } => !driven.is_over() && !sender.is_closed(),
        }
    }

    pub(super) async fn exchange(&mut self, request: Request<SliceBody>) -> Result<Received, Broken> {
        match self {
            Link::Http { sender, connection, is_over, waking } => {
                let mut exchange = pin!(async {
                    sender.ready().await.map_err(|cause| Broken { cause, is_unsent: true })?;
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
            Link::Grpc { sender, driven, waking } => {
                let mut exchange = pin!(async {
                    sender.ready().await.map_err(|cause| Broken { cause, is_unsent: true })?;
                    read(sender.try_send_request(request).await).await
                });
                let mut is_driven = false;
                poll_within(waking, |context| {
                    if !std::mem::replace(&mut is_driven, true) {
                        // It may have ended while the lane waited for something else.
                        let _ = driven.poll(context);
                    }
                    if let Poll::Ready(done) = exchange.as_mut().poll(context) {
                        return Poll::Ready(done);
                    }
                    // What has come is with the exchange now.
                    let _ = driven.poll(context);
                    exchange.as_mut().poll(context)
                })
                .await
            }
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
        Broken { cause: error.into_error(), is_unsent }
    })?;
    let (head, mut incoming) = response.into_parts();
    let mut received =
        Received { status: head.status.as_u16(), headers: head.headers, trailers: None, body: Vec::new() };
    while let Some(frame) = incoming.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            // Some servers reset a stream behind a whole answer: the status has been said.
            Err(_) if received.headers.contains_key("grpc-status") => break,
            Err(cause) => return Err(Broken { cause, is_unsent: false }),
        };
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
