//! One connection of gRPC to a sink and the call on it, run by whoever waits for the answer. Never starts a task: a request
//! would wake several of them, and its head would leave before its body.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep};

use super::body::{SliceBody, Unread};
use super::client::Stream;
use super::link::{ANSWER_BYTES_MAX, Broken, Received};
use crate::io::spans::cork::Cork;
use crate::io::spans::waking::Waking;

/// How long a connection may be silent with a request on it before it is asked whether it lives, and how long it then
/// has to say so.
const PING_AFTER: Duration = Duration::from_secs(20);
/// What a sink may say before we have read it: a long answer is cut short.
const WINDOW_BYTES: u32 = 1 << 20;
const HEAD_BYTES_MAX: u32 = 16 * 1024;
/// Calls that may be open before the sink says how many it allows. We have one, and perhaps some that we have given up.
const CALLS_FIRST: usize = 100;

type Wire = Cork<TokioIo<Stream>>;

pub(super) struct Calls {
    sender: SendRequest<Unread>,
    driver: Driver,
    waking: Waking,
}

/// What moves the connection.
struct Driver {
    connection: Connection<Wire, Unread>,
    cork: Wire,
    pulse: Pulse,
    is_over: bool,
}

impl Calls {
    pub(super) async fn open(stream: Stream) -> Result<Calls, h2::Error> {
        let cork = Cork::new(TokioIo::new(stream));
        let mut builder = Builder::new();
        builder.enable_push(false).initial_max_send_streams(CALLS_FIRST).max_header_list_size(HEAD_BYTES_MAX);
        builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let (sender, mut connection) = builder.handshake(cork.clone()).await?;
        let pulse = Pulse::new(connection.ping_pong().expect("nobody else has asked for it"));
        let driver = Driver { connection, cork, pulse, is_over: false };
        Ok(Calls { sender, driver, waking: Waking::new() })
    }

    /// Ends when the connection is of no more use.
    pub(super) async fn closed(&mut self) {
        let Calls { driver, waking, .. } = self;
        poll_fn(|context| waking.poll(context, |context| driver.poll(context))).await;
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.driver.is_over
    }

    pub(super) async fn exchange(&mut self, request: Request<SliceBody>) -> Result<Received, Broken> {
        let Calls { sender, driver, waking } = self;
        let mut exchange = pin!(exchange(sender, request));
        driver.pulse.begin();
        // It may have ended while the lane waited for something else.
        let mut has_news = waking.is_awake();
        poll_fn(|context| {
            waking.poll(context, |context| {
                if std::mem::take(&mut has_news) {
                    let _ = driver.poll(context);
                }
                if let Poll::Ready(done) = exchange.as_mut().poll(context) {
                    return Poll::Ready(done);
                }
                // What the exchange has woken is the connection, which has its turn now.
                waking.settle();
                let _ = driver.poll(context);
                // What has come is with the exchange now.
                if let Poll::Ready(done) = exchange.as_mut().poll(context) {
                    return Poll::Ready(done);
                }
                let silent = ready!(driver.pulse.poll(context, driver.cork.read_count()));
                Poll::Ready(Err(silent))
            })
        })
        .await
    }
}

impl Driver {
    /// Ready when the connection has ended. Its errors reach the request on it.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Driver { connection, cork, is_over, .. } = self;
        if !*is_over {
            *is_over = Pin::new(&mut *connection).poll(context).is_ready();
        }
        if let Poll::Ready(Err(_)) = cork.flush(context)
            && !*is_over
        {
            // It finds out by the next read.
            *is_over = Pin::new(connection).poll(context).is_ready();
        }
        if *is_over { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Whether the other side is still there.
struct Pulse {
    pings: PingPong,
    alarm: Pin<Box<Sleep>>,
    read_count: u64,
    is_asked: bool,
}

impl Pulse {
    fn new(pings: PingPong) -> Pulse {
        Pulse { pings, alarm: Box::pin(sleep(PING_AFTER)), read_count: 0, is_asked: false }
    }

    /// A request begins: silence before it was none. The alarm is set again only where it has gone off: one that comes
    /// too soon costs a question, and setting it for each request would cost more.
    fn begin(&mut self) {
        if self.alarm.deadline() <= Instant::now() {
            self.rest();
        }
    }

    fn rest(&mut self) {
        self.alarm.as_mut().reset(Instant::now() + PING_AFTER);
    }

    /// Ready when it is not.
    fn poll(&mut self, context: &mut Context<'_>, read_count: u64) -> Poll<Broken> {
        if self.is_asked && self.pings.poll_pong(context).is_ready() {
            self.is_asked = false;
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            if self.is_asked {
                let reason = "the connection broke: keep-alive timed out".to_owned();
                return Poll::Ready(Broken { reason, is_again: false });
            }
            if read_count == self.read_count {
                // An error means that the connection has ended.
                self.is_asked = self.pings.send_ping(Ping::opaque()).is_ok();
            }
            self.read_count = read_count;
            self.rest();
        }
        Poll::Pending
    }
}

async fn exchange(sender: &mut SendRequest<Unread>, request: Request<SliceBody>) -> Result<Received, Broken> {
    let unsent = |cause: h2::Error| Broken::new(&cause, true);
    poll_fn(|context| sender.poll_ready(context)).await.map_err(unsent)?;
    let (head, body) = request.into_parts();
    let body = body.into_unread();
    let (answer, mut stream) = sender.send_request(Request::from_parts(head, ()), body.is_none()).map_err(unsent)?;
    if let Some(body) = body {
        // The connection sends as much as the sink has room for. An error comes with the answer, too.
        let _ = stream.send_data(body, true);
    }
    let (head, mut incoming) = answer.await.map_err(|cause| Broken::new(&cause, is_unseen(&cause)))?.into_parts();
    let mut received =
        Received { status: head.status.as_u16(), headers: head.headers, trailers: None, body: Vec::new() };
    match read(&mut received, &mut incoming).await {
        Ok(()) => Ok(received),
        // Some servers reset a stream behind a whole answer: the status has been said.
        Err(_) if received.headers.contains_key("grpc-status") => Ok(received),
        Err(cause) => Err(Broken::new(&cause, false)),
    }
}

/// The sink says that it has not looked at the request: it goes away and named an earlier one as its last, or refuses the
/// stream as such (RFC 9113, section 8.7). Or it has closed the connection and said nothing.
fn is_unseen(cause: &h2::Error) -> bool {
    cause.is_io() || cause.is_remote() && (cause.is_go_away() || cause.reason() == Some(Reason::REFUSED_STREAM))
}

async fn read(received: &mut Received, incoming: &mut RecvStream) -> Result<(), h2::Error> {
    while let Some(data) = poll_fn(|context| incoming.poll_data(context)).await {
        let data = match data {
            Ok(data) => data,
            // The sink wants no more of this, and that is all it says.
            Err(cause) if matches!(cause.reason(), Some(Reason::NO_ERROR | Reason::CANCEL)) => return Ok(()),
            Err(cause) => return Err(cause),
        };
        let room = ANSWER_BYTES_MAX - received.body.len();
        received.body.extend_from_slice(&data[..data.len().min(room)]);
        if received.body.len() >= ANSWER_BYTES_MAX {
            return Ok(());
        }
        // An error means that the stream has ended, which the next piece says.
        let _ = incoming.flow_control().release_capacity(data.len());
    }
    received.trailers = poll_fn(|context| incoming.poll_trailers(context)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::body::Slices;
    use super::*;

    /// A connection whose other side never says anything.
    async fn pulse() -> (Pulse, impl Sized) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (sender, mut connection) = h2::client::handshake(ours).await.unwrap();
        (Pulse::new(connection.ping_pong().unwrap()), (sender, connection, theirs))
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_says_nothing_to_a_request_is_asked_and_given_up() {
        let (mut pulse, _held) = pulse().await;
        let mut look = |read_count| match pulse.poll(&mut Context::from_waker(Waker::noop()), read_count) {
            Poll::Ready(broken) => Err(broken.reason),
            Poll::Pending => Ok(pulse.is_asked),
        };
        assert_eq!(look(1), Ok(false));
        tokio::time::advance(PING_AFTER).await;
        assert_eq!(look(2), Ok(false), "it has spoken since");
        tokio::time::advance(PING_AFTER).await;
        assert_eq!(look(2), Ok(true));
        tokio::time::advance(PING_AFTER - Duration::from_secs(1)).await;
        assert_eq!(look(2), Ok(true));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(look(2), Err("the connection broke: keep-alive timed out".to_owned()));
    }

    /// Answers the first request with these bytes of HTTP/2, and then says nothing more; `None`: closes the connection.
    async fn broken_by(answer: Option<&'static [u8]>) -> Broken {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        let sink = async {
            theirs.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
            let mut read = Vec::new();
            // A frame's type stands behind its length, and the first one of type 1 opens the stream.
            while !read.windows(9).any(|frame| frame[..2] == [0, 0] && frame[3] == 1 && frame[5..] == [0, 0, 0, 1]) {
                assert_ne!(theirs.read_buf(&mut read).await.unwrap(), 0);
            }
            match answer {
                Some(answer) => theirs.write_all(answer).await.unwrap(),
                None => drop(theirs),
            }
            std::future::pending::<()>().await;
        };
        let call = async {
            let mut calls = Calls::open(Stream::Http(TokioIo::new(ours))).await.unwrap();
            let request = Request::post("http://sink/x").body(Slices::new(vec![Bytes::from("body")]).body()).unwrap();
            calls.exchange(request).await.err().unwrap()
        };
        tokio::select! {
            () = sink => unreachable!("it never ends"),
            broken = call => broken,
        }
    }

    #[tokio::test]
    async fn only_what_the_sink_has_not_looked_at_may_be_sent_again_at_once() {
        let away = broken_by(Some(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0")).await;
        assert!(away.is_again, "{}", away.reason);
        let refused = broken_by(Some(b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07")).await;
        assert!(refused.is_again, "{}", refused.reason);
        let closed = broken_by(None).await;
        assert!(closed.is_again, "{}", closed.reason);
        let failed = broken_by(Some(b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x02")).await;
        assert!(!failed.is_again, "{}", failed.reason);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_before_a_request_is_none() {
        let (mut pulse, _held) = pulse().await;
        tokio::time::advance(10 * PING_AFTER).await;
        pulse.begin();
        assert!(pulse.poll(&mut Context::from_waker(Waker::noop()), 0).is_pending() && !pulse.is_asked);
    }
}
