//! The life of a connection of a telemetry sender: which protocol it speaks, and when it ends. Every state it can be
//! in has a bound in time.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::life::{Life, Sight, Watch, Watched};
use super::quiet::Quiet;
use super::reply::Response;
use super::tls::{self, Tls};
use super::wire::Wire;
use super::{Door, DoorOptions};
use crate::io::spans::waking::Waking;

/// An accept that fails for want of file handles is tried again after this, not at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long to wait for more of something that may become the preface.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// How often a connection is looked at, at least.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// What a connection may have sent beyond what was read, over HTTP/2: memory that no budget knows.
const WINDOW_BYTES: u32 = 1 << 20;
const FRAME_BYTES_MAX: u32 = 64 * 1024;
const READ_BUFFER_BYTES_MAX: usize = 256 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Accepts until told to stop, then lets what is under way finish within `grace`.
pub async fn serve_telemetry(
    listener: TcpListener,
    door: Arc<Door>,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let mut tasks = JoinSet::new();
    loop {
        let permit = tokio::select! {
            permit = connections.clone().acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(cause) => {
                tracing::warn!(error = %cause, "a telemetry connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (own, stop) = (door.clone(), stop.clone());
        match door.options.workers.next() {
            None => tasks.spawn(async move {
                live(stream, own, stop).await;
                drop(permit);
            }),
            Some(worker) => {
                // The thread's own runtime has to hear of what comes.
                let Ok(stream) = stream.into_std() else { continue };
                let living = async move {
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        live(stream, own, stop).await;
                    }
                    drop(permit);
                };
                tasks.spawn_on(living, worker)
            }
        };
        while let Some(ended) = tasks.try_join_next() {
            report(ended);
        }
    }
    drop(listener);
    door.stopping.send_replace(true);
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    };
    if timeout(grace, all).await.is_err() {
        tracing::warn!("some telemetry connections did not finish in time");
        tasks.shutdown().await;
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(cause) = ended
        && cause.is_panic()
    {
        tracing::error!(error = %cause, "a telemetry connection broke");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Waits for the first bytes without taking them. `None`: it hung up.
async fn detect(stream: &TcpStream) -> Option<Protocol> {
    let mut bytes = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut bytes).await.ok()?;
        match bytes[..count] {
            [] => return None,
            ref all if all == PREFACE => return Some(Protocol::Http2),
            ref some if PREFACE.starts_with(some) => sleep(PREFACE_PAUSE).await,
            _ => return Some(Protocol::Http1),
        }
    }
}

/// What a new connection speaks. `None`: it hung up, or there was no agreement.
async fn open(stream: TcpStream, tls: Option<&Tls>) -> Option<(Wire, Protocol)> {
    let Some(tls) = tls else {
        let protocol = detect(&stream).await?;
        return Some((Wire::Bare(stream), protocol));
    };
    match tls.accept(stream).await {
        Ok(stream) => {
            let protocol = if tls::is_http2(&stream) { Protocol::Http2 } else { Protocol::Http1 };
            Some((Wire::Tls(Box::new(stream)), protocol))
        }
        Err(cause) => {
            tracing::debug!(error = %cause, "a telemetry connection did not get through its handshake");
            None
        }
    }
}

async fn live(stream: TcpStream, door: Arc<Door>, mut stop: watch::Receiver<bool>) {
    let options = &door.options;
    let opened = tokio::select! {
        opened = timeout(options.first_byte_timeout, open(stream, options.tls.as_deref())) => opened,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let Ok(Some((stream, protocol))) = opened else { return };
    let life = Arc::new(Life::default());
    let stream = Watched::new(stream, life.clone(), options.linger_timeout);
    let service = service_fn({
        let (door, life) = (door.clone(), life.clone());
        move |request: Request<Incoming>| {
            let (door, life) = (door.clone(), life.clone());
            async move { Ok::<Response, Infallible>(door.answer(request, &life).await) }
        }
    });
    match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            // No timer: hyper would set one for every request; the watch below needs one per connection.
            builder.half_close(true).header_read_timeout(None).max_header_size(HEAD_BYTES_MAX);
            builder.max_buf_size(READ_BUFFER_BYTES_MAX);
            drive(pin!(builder.serve_connection(stream, service)), options, life, stop).await;
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
            builder.max_concurrent_streams(options.streams_max).max_frame_size(FRAME_BYTES_MAX);
            builder.max_header_list_size(u32::try_from(HEAD_BYTES_MAX).expect("it is a small constant"));
            builder.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
            drive(pin!(builder.serve_connection(stream.reading_ahead(), service)), options, life, stop).await;
        }
    }
}

/// A connection of either protocol.
trait Connection: Future<Output = Result<(), hyper::Error>> {
    const PROTOCOL: Protocol;

    fn end(self: Pin<&mut Self>);
}

type Served<S> = http1::Connection<Watched, S>;

impl<S> Connection for Served<S>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    const PROTOCOL: Protocol = Protocol::Http1;

    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Connection for http2::Connection<Watched, S, TokioExecutor>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    const PROTOCOL: Protocol = Protocol::Http2;

    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// What ends a wait for a connection.
enum Turn {
    Over,
    Look,
    Stop,
}

async fn turn<C: Connection>(
    mut connection: Pin<&mut C>,
    mut look: Pin<&mut Sleep>,
    mut stopped: Option<Pin<&mut impl Future>>,
    waking: &Waking,
    quiet: &Quiet,
) -> Turn {
    poll_fn(|context| {
        // A peer that breaks off is its own affair; each request has its outcome already.
        if waking.poll(context, |context| connection.as_mut().poll(context)).is_ready() {
            return Poll::Ready(Turn::Over);
        }
        let Some(mut context) = quiet.context(context) else { return Poll::Pending };
        if look.as_mut().poll(&mut context).is_ready() {
            return Poll::Ready(Turn::Look);
        }
        match &mut stopped {
            Some(stopped) => stopped.as_mut().poll(&mut context).map(|_| Turn::Stop),
            None => Poll::Pending,
        }
    })
    .await
}

/// Runs a connection to its end, and ends it when its time has come.
async fn drive<C: Connection>(
    mut connection: Pin<&mut C>,
    options: &DoorOptions,
    life: Arc<Life>,
    mut stop: watch::Receiver<bool>,
) {
    let start = Instant::now();
    let old_at = options.connection_age_max.map(|age| start + age.mul_f64(0.9 + fastrand::f64() / 5.0));
    let shortest = options.idle_timeout.min(options.head_timeout).min(LOOK_INTERVAL_MAX);
    let interval = (shortest / 4).max(Duration::from_millis(5));
    let mut watch = Watch::new(life.clone());
    let mut look = pin!(sleep(interval));
    let mut ends_at: Option<Instant> = None;
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    let mut is_told = false;
    let (waking, quiet) = (Waking::new(), Quiet::new());
    loop {
        let stopped = (!is_told).then_some(stopped.as_mut());
        let turn = turn(connection.as_mut(), look.as_mut(), stopped, &waking, &quiet).await;
        quiet.stir();
        match turn {
            Turn::Over => return,
            Turn::Look => {}
            Turn::Stop => {
                // The listener bounds what follows.
                is_told = true;
                life.close();
                connection.as_mut().end();
                continue;
            }
        }
        let now = Instant::now();
        look.as_mut().reset(now + interval);
        match watch.look(now, options.idle_timeout, options.head_timeout) {
            Sight::Fine => {}
            // Pings are reads, so nothing is known of heads over HTTP/2; there the idle timeout must do.
            Sight::SlowHead if C::PROTOCOL == Protocol::Http1 => return,
            Sight::SlowHead | Sight::Idle if ends_at.is_some() => {}
            Sight::SlowHead => {}
            Sight::Idle => {
                ends_at = Some(now + options.connection_age_grace);
                connection.as_mut().end();
            }
        }
        match ends_at {
            Some(ends_at) if now >= ends_at && C::PROTOCOL == Protocol::Http2 => return,
            // Nobody used the connection to be told that it ends, or a request is stuck.
            Some(ends_at) if now >= ends_at + options.linger_timeout => return,
            Some(ends_at) if now >= ends_at => connection.as_mut().end(),
            Some(_) => {}
            None if old_at.is_some_and(|old_at| now >= old_at) => {
                ends_at = Some(now + options.connection_age_grace);
                life.close();
                // Over HTTP/1 the next answer says so; closing at once could meet a request on its way.
                if C::PROTOCOL == Protocol::Http2 {
                    connection.as_mut().end();
                }
            }
            None => {}
        }
    }
}
