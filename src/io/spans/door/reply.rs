//! The bodies of our answers: bytes, a gRPC message with its trailers, or a stream of messages. Holds no decision.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::life::Busy;
use crate::store::Later;

pub(super) type Response = hyper::Response<Reply>;

pub(super) enum Reply {
    Bytes(Option<Bytes>),
    Message { message: Option<Bytes>, trailers: Option<HeaderMap> },
    Stream(Stream),
}

/// Messages that a future makes; the future runs whenever the body is asked for more, in no task of its own.
pub(super) struct Stream {
    maker: Option<Later<'static, ()>>,
    frames: mpsc::Receiver<Frame<Bytes>>,
    /// The connection is not idle while this runs.
    _busy: Busy,
}

impl Stream {
    pub(super) fn new(maker: Later<'static, ()>, frames: mpsc::Receiver<Frame<Bytes>>, busy: Busy) -> Stream {
        Stream { maker: Some(maker), frames, _busy: busy }
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Some(maker) = &mut self.maker
            && maker.as_mut().poll(context).is_ready()
        {
            self.maker = None;
        }
        self.frames.poll_recv(context)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.get_mut() {
            Reply::Bytes(bytes) => bytes.take().map(Frame::data),
            Reply::Message { message, trailers } => {
                message.take().map(Frame::data).or_else(|| trailers.take().map(Frame::trailers))
            }
            Reply::Stream(stream) => return stream.poll_next(context).map(|frame| frame.map(Ok)),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Reply::Bytes(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Reply::Message { message, trailers } => message.is_none() && trailers.is_none(),
            Reply::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Bytes(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Reply::Message { .. } | Reply::Stream(_) => SizeHint::default(),
        }
    }
}
