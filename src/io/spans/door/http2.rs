//! A connection of HTTP/2: takes its requests, answers them and asks a silent sender whether it lives. Never hands to
//! another task what can be answered at once, which is nearly all of it: a small request is here whole when its head is.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Handshake, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use hyper::Request;
use hyper::header::{CONTENT_LENGTH, DATE, HeaderValue};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Door;
use super::connection::{Connection, Protocol};
use super::date;
use super::incoming::Incoming;
use super::life::{Life, Watched};
use super::reply::{Reply, Response, Stream};
use crate::io::spans::cork::Cork;
use crate::io::spans::waking::Waking;

/// What a connection may have sent beyond what was read: memory that no budget knows.
const WINDOW_BYTES: u32 = 1 << 20;
const FRAME_BYTES_MAX: u32 = 64 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// So many requests are answered before their answers leave.
const ANSWERED_TOGETHER_MAX: usize = 32;

pub(super) struct Http2 {
    waking: Waking,
    serving: Serving,
}

struct Serving {
    state: State,
    /// What is said to several requests at once leaves together.
    cork: Cork<Watched>,
    door: Arc<Door>,
    life: Arc<Life>,
    /// Exchanges that could not be ended at once.
    waiting: JoinSet<()>,
    is_ending: bool,
}

enum State {
    Opening(Box<Handshake<Cork<Watched>>>),
    Open(Box<Open>),
}

struct Open {
    connection: h2::server::Connection<Cork<Watched>, Bytes>,
    pulse: Pulse,
}

impl Http2 {
    pub(super) fn new(stream: Watched, door: Arc<Door>, life: Arc<Life>, head_bytes_max: u32) -> Http2 {
        let mut builder = Builder::new();
        builder.max_concurrent_streams(door.options.streams_max).max_frame_size(FRAME_BYTES_MAX);
        builder.max_header_list_size(head_bytes_max);
        builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let cork = Cork::new(stream);
        let state = State::Opening(Box::new(builder.handshake(cork.clone())));
        let serving = Serving { state, cork, door, life, waiting: JoinSet::new(), is_ending: false };
        Http2 { waking: Waking::new(), serving }
    }
}

impl Serving {
    /// Takes what has come and answers what can be answered at once.
    fn advance(&mut self, waking: &Waking, context: &mut Context<'_>) -> Poll<()> {
        let Serving { state, door, life, waiting, is_ending, .. } = self;
        for _ in 0..ANSWERED_TOGETHER_MAX {
            match state {
                State::Opening(handshake) => {
                    let Ok(connection) = ready!(Pin::new(&mut **handshake).poll(context)) else {
                        return Poll::Ready(());
                    };
                    *state = State::Open(Box::new(Open::new(connection, life, *is_ending)));
                }
                State::Open(open) => {
                    // What the answer before has woken is looked at now.
                    waking.settle();
                    match ready!(open.connection.poll_accept(context)) {
                        Some(Ok((request, respond))) => {
                            let exchange = exchange(door.clone(), life.clone(), request, respond);
                            begin(Box::pin(exchange), waiting, context);
                        }
                        // Its requests have heard of it.
                        Some(Err(_)) | None => return Poll::Ready(()),
                    }
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn begin(
    mut exchange: Pin<Box<impl Future<Output = ()> + Send + 'static>>,
    waiting: &mut JoinSet<()>,
    context: &mut Context<'_>,
) {
    if exchange.as_mut().poll(context).is_pending() {
        while waiting.try_join_next().is_some() {}
        waiting.spawn(exchange);
    }
}

impl Connection for Http2 {
    const PROTOCOL: Protocol = Protocol::Http2;

    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let Http2 { waking, serving } = self;
        waking.poll(context, |context| {
            let advanced = serving.advance(waking, context);
            match serving.cork.flush(context) {
                // Nobody is there to hear the rest.
                Poll::Ready(Err(_)) => Poll::Ready(()),
                Poll::Ready(Ok(())) | Poll::Pending => advanced,
            }
        })
    }

    fn end(&mut self) {
        self.serving.is_ending = true;
        match &mut self.serving.state {
            State::Opening(_) => {}
            State::Open(open) => open.connection.graceful_shutdown(),
        }
    }

    fn look(&mut self, now: Instant) {
        let Serving { state, life, .. } = &mut self.serving;
        match state {
            State::Opening(_) => {}
            State::Open(open) => {
                if !open.pulse.is_alive(now, life.read_count()) {
                    open.connection.abrupt_shutdown(Reason::NO_ERROR);
                }
            }
        }
    }
}

impl Open {
    fn new(mut connection: h2::server::Connection<Cork<Watched>, Bytes>, life: &Life, is_ending: bool) -> Open {
        let pings = connection.ping_pong().expect("nobody else has asked for it");
        if is_ending {
            connection.graceful_shutdown();
        }
        let pulse = Pulse { pings, read_count: life.read_count(), silent_since: Instant::now(), asked_at: None };
        Open { connection, pulse }
    }
}

/// Whether the other side is still there.
struct Pulse {
    pings: PingPong,
    read_count: u32,
    silent_since: Instant,
    asked_at: Option<Instant>,
}

impl Pulse {
    fn is_alive(&mut self, now: Instant, read_count: u32) -> bool {
        if read_count != self.read_count {
            (self.read_count, self.silent_since) = (read_count, now);
        }
        match self.asked_at {
            // The next look is soon enough.
            Some(asked_at) => match self.pings.poll_pong(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(_) => {
                    self.asked_at = None;
                    true
                }
                Poll::Pending => now.duration_since(asked_at) < PING_TIMEOUT,
            },
            None => {
                if now.duration_since(self.silent_since) >= PING_INTERVAL {
                    // An error means that the connection has ended.
                    self.asked_at = self.pings.send_ping(Ping::opaque()).is_ok().then_some(now);
                }
                true
            }
        }
    }
}

/// One request and its answer.
async fn exchange(door: Arc<Door>, life: Arc<Life>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let answered = {
        let mut answering = pin!(door.answer(request.map(Incoming::Http2), &life));
        poll_fn(|context| match answering.as_mut().poll(context) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            // A sender that has gone wants no answer.
            Poll::Pending => respond.poll_reset(context).map(|_| None),
        })
        .await
    };
    let Some(response) = answered else { return };
    // A sender that breaks off is its own affair; the request has its outcome already.
    if send(response, &mut respond).await.is_err() {
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
}

/// Short answers are left to the connection whole; it sends as much as the other side has room for.
async fn send(response: Response, respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (head, body) = response.into_parts();
    let mut head = hyper::Response::from_parts(head, ());
    match body {
        Reply::Bytes(bytes) => {
            let bytes = bytes.filter(|bytes| !bytes.is_empty());
            if let Some(date) = date::now() {
                head.headers_mut().insert(DATE, date);
            }
            if let Some(bytes) = bytes {
                head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                respond.send_response(head, false)?.send_data(bytes, true)
            } else {
                respond.send_response(head, true).map(drop)
            }
        }
        Reply::Message { message, trailers } => {
            let mut stream = respond.send_response(head, false)?;
            if let Some(message) = message {
                stream.send_data(message, trailers.is_none())?;
            }
            trailers.map_or(Ok(()), |trailers| stream.send_trailers(trailers))
        }
        Reply::Stream(messages) => stream_out(messages, respond.send_response(head, false)?).await,
    }
}

/// Message after message, each when the one before has left.
async fn stream_out(mut messages: Stream, mut stream: SendStream<Bytes>) -> Result<(), h2::Error> {
    loop {
        let frame = poll_fn(|context| match stream.poll_reset(context) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => messages.poll_next(context),
        });
        let Some(frame) = frame.await else { return Ok(()) };
        match frame.into_data() {
            Ok(data) => {
                stream.reserve_capacity(1);
                let has_room = poll_fn(|context| match stream.poll_reset(context) {
                    Poll::Ready(_) => Poll::Ready(false),
                    Poll::Pending if stream.capacity() > 0 => Poll::Ready(true),
                    Poll::Pending => stream.poll_capacity(context).map(|room| room.is_some_and(|room| room.is_ok())),
                });
                if !has_room.await {
                    return Ok(());
                }
                stream.send_data(data, false)?;
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.send_trailers(trailers);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (h2::server::Connection<tokio::io::DuplexStream, Bytes>, impl Future) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (server, client) = tokio::join!(h2::server::handshake(ours), h2::client::handshake(theirs));
        let (sender, connection) = client.unwrap();
        let other_side = async move {
            let _sender = sender;
            connection.await
        };
        (server.unwrap(), other_side)
    }

    async fn run(connection: &mut h2::server::Connection<tokio::io::DuplexStream, Bytes>) {
        for _ in 0..8 {
            poll_fn(|context| Poll::Ready(connection.poll_accept(context).is_pending())).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_silent_sender_is_asked_whether_it_lives_and_given_up_when_it_does_not_say_so() {
        let (mut connection, _dead) = pair().await;
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pings = connection.ping_pong().unwrap();
        let mut pulse = Pulse { pings, read_count: 7, silent_since: start, asked_at: None };
        assert!(pulse.is_alive(at(29), 7) && pulse.asked_at.is_none());
        assert!(pulse.is_alive(at(30), 8) && pulse.asked_at.is_none(), "it has just spoken");
        assert!(pulse.is_alive(at(59), 8) && pulse.asked_at.is_none());
        assert!(pulse.is_alive(at(60), 8) && pulse.asked_at.is_some());
        run(&mut connection).await;
        assert!(pulse.is_alive(at(79), 8));
        assert!(!pulse.is_alive(at(80), 8));
    }

    #[tokio::test]
    async fn a_sender_that_answers_is_left_in_peace() {
        let (mut connection, other_side) = pair().await;
        let other_side = tokio::spawn(async move { drop(other_side.await) });
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pings = connection.ping_pong().unwrap();
        let mut pulse = Pulse { pings, read_count: 0, silent_since: start, asked_at: None };
        assert!(pulse.is_alive(at(30), 0) && pulse.asked_at.is_some());
        run(&mut connection).await;
        assert!(pulse.is_alive(at(70), 1) && pulse.asked_at.is_none());
        assert!(pulse.is_alive(at(99), 1) && pulse.asked_at.is_none());
        assert!(pulse.is_alive(at(100), 1) && pulse.asked_at.is_some());
        other_side.abort();
    }
}
