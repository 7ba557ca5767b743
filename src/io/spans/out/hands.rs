//! What a connection of HTTP/2 wants to have run beside itself, run by whoever holds the connection. Never starts a task:
//! a request would wake three of them, and its head would leave before its body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::client::conn::http2;
use hyper::rt::Executor;

use super::body::SliceBody;
use super::cork::Cork;
use crate::store::Later;

/// Takes futures from the connection.
#[derive(Clone, Default)]
pub(super) struct Hands(Arc<Mutex<Vec<Later<'static, ()>>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Hands {
    fn execute(&self, future: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(future));
    }
}

/// A connection and all that it has given out of hand.
pub(super) struct Driven {
    connection: Pin<Box<http2::Connection<Cork, SliceBody, Hands>>>,
    cork: Cork,
    hands: Hands,
    running: Vec<Later<'static, ()>>,
    is_over: bool,
}

impl Driven {
    pub(super) fn new(connection: http2::Connection<Cork, SliceBody, Hands>, cork: Cork, hands: Hands) -> Driven {
        Driven { connection: Box::pin(connection), cork, hands, running: Vec::new(), is_over: false }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Ready when the connection has ended, whose errors reach the requests on it.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_all(context);
        if let Poll::Ready(Err(_)) = self.cork.flush(context) {
            // The connection finds out by its next read.
            self.poll_all(context);
        }
        if self.is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_all(&mut self, context: &mut Context<'_>) {
        // New ones are polled in the same turn: the connection's own waits for what the others put into it.
        loop {
            if !self.is_over && self.connection.as_mut().poll(context).is_ready() {
                self.is_over = true;
            }
            let mut given = std::mem::take(&mut *self.hands.0.lock().unwrap_or_else(PoisonError::into_inner));
            // The newest first: they fill what the oldest, which writes to the socket, sends.
            let new_count = given.len();
            self.running.append(&mut given);
            for at in (0..self.running.len()).rev() {
                if self.running[at].as_mut().poll(context).is_ready() {
                    drop(self.running.remove(at));
                }
            }
            if new_count == 0 {
                break;
            }
        }
    }
}
