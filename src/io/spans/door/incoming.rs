//! The body of a request, of either protocol, as it comes. Never reads ahead of who asks: over HTTP/2 a sender is given
//! no more room than what was asked for leaves free.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body_util::BodyExt;
use hyper::body::Body;

use super::fault::Fault;

pub(super) enum Incoming {
    Http1(hyper::body::Incoming),
    Http2(RecvStream),
}

impl Incoming {
    /// The next piece; `None` at the end. Trailers are not for us.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        match self {
            Incoming::Http1(body) => {
                while let Some(frame) = body.frame().await {
                    if let Ok(data) = frame.map_err(|_| Fault::Broken)?.into_data() {
                        return Ok(Some(data));
                    }
                }
                Ok(None)
            }
            Incoming::Http2(stream) => match poll_fn(|context| stream.poll_data(context)).await {
                Some(Ok(data)) => {
                    // An error means that the stream has ended, which the next piece says.
                    let _ = stream.flow_control().release_capacity(data.len());
                    Ok(Some(data))
                }
                // The sender wants no more of this, and that is all it says.
                Some(Err(cause)) if matches!(cause.reason(), Some(Reason::NO_ERROR | Reason::CANCEL)) => Ok(None),
                Some(Err(_)) => Err(Fault::Broken),
                None => Ok(None),
            },
        }
    }

    /// Whether all of it has been read.
    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Incoming::Http1(body) => body.is_end_stream(),
            Incoming::Http2(stream) => stream.is_end_stream(),
        }
    }
}
