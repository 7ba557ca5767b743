//! The life of a connection of a telemetry sender: which protocol it speaks, and when it ends. Every state it can be
//! in has a bound in time.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::http2::Http2;
use super::incoming::Incoming;
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
const HEAD_BYTES_MAX: u16 = 32 * 1024;
/// With 320 KB a request of 512 spans is taken in one piece and costs a quarter less, but up to 20 MB more are in use at
/// saturation.
const READ_BUFFER_BYTES_MAX: usize = 256 * 1024;

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
pub(super) enum Protocol {
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
    match protocol {
        Protocol::Http1 => {
            let service = service_fn({
                let (door, life) = (door.clone(), life.clone());
                move |request: Request<hyper::body::Incoming>| {
                    let (door, life) = (door.clone(), life.clone());
                    let request = request.map(Incoming::Http1);
                    async move { Ok::<Response, Infallible>(door.answer(request, &life).await) }
                }
            });
            let mut builder = http1::Builder::new();
            // No timer: hyper would set one for every request; the watch below needs one per connection.
            builder.half_close(true).header_read_timeout(None).max_header_size(HEAD_BYTES_MAX.into());
            builder.max_buf_size(READ_BUFFER_BYTES_MAX);
            let served = pin!(builder.serve_connection(TokioIo::new(stream), service));
            drive(Http1 { served, waking: Waking::new() }, options, life, stop).await;
        }
        Protocol::Http2 => {
            let connection = Http2::new(stream.reading_ahead(), door.clone(), life.clone(), HEAD_BYTES_MAX.into());
            drive(connection, options, life, stop).await;
        }
    }
}

/// A connection of either protocol.
pub(super) trait Connection {
    const PROTOCOL: Protocol;

    /// Ready when it has ended. A peer that breaks off is its own affair; each request has its outcome already.
    fn poll(&mut self, context: &Context<'_>) -> Poll<()>;

    /// Asks the other side to begin nothing more.
    fn end(&mut self);

    /// Called every few seconds, at least.
    fn look(&mut self, now: Instant);
}

struct Http1<'a, S: hyper::service::HttpService<hyper::body::Incoming>> {
    served: Pin<&'a mut http1::Connection<TokioIo<Watched>, S>>,
    waking: Waking,
}

impl<S> Connection for Http1<'_, S>
where
    S: hyper::service::Service<Request<hyper::body::Incoming>, Response = Response, Error = Infallible>,
{
    const PROTOCOL: Protocol = Protocol::Http1;

    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let Http1 { served, waking } = self;
        waking.poll(context, |context| served.as_mut().poll(context)).map(drop)
    }

    fn end(&mut self) {
        self.served.as_mut().graceful_shutdown();
    }

    fn look(&mut self, _now: Instant) {}
}

/// What ends a wait for a connection.
enum Turn {
    Over,
    Look,
    Stop,
}

async fn turn<C: Connection>(
    connection: &mut C,
    mut look: Pin<&mut Sleep>,
    mut stopped: Option<Pin<&mut impl Future>>,
    quiet: &Quiet,
) -> Turn {
    poll_fn(|context| {
        if connection.poll(context).is_ready() {
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
    mut connection: C,
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
    let quiet = Quiet::new();
    loop {
        let stopped = (!is_told).then_some(stopped.as_mut());
        let turn = turn(&mut connection, look.as_mut(), stopped, &quiet).await;
        quiet.stir();
        match turn {
            Turn::Over => return,
            Turn::Look => {}
            Turn::Stop => {
                // The listener bounds what follows.
                is_told = true;
                life.close();
                connection.end();
                continue;
            }
        }
        let now = Instant::now();
        look.as_mut().reset(now + interval);
        connection.look(now);
        match watch.look(now, options.idle_timeout, options.head_timeout) {
            Sight::Fine => {}
            // Pings are reads, so nothing is known of heads over HTTP/2; there the idle timeout must do.
            Sight::SlowHead if C::PROTOCOL == Protocol::Http1 => return,
            Sight::SlowHead | Sight::Idle if ends_at.is_some() => {}
            Sight::SlowHead => {}
            Sight::Idle => {
                ends_at = Some(now + options.connection_age_grace);
                connection.end();
            }
        }
        match ends_at {
            Some(ends_at) if now >= ends_at && C::PROTOCOL == Protocol::Http2 => return,
            // Nobody used the connection to be told that it ends, or a request is stuck.
            Some(ends_at) if now >= ends_at + options.linger_timeout => return,
            Some(ends_at) if now >= ends_at => connection.end(),
            Some(_) => {}
            None if old_at.is_some_and(|old_at| now >= old_at) => {
                ends_at = Some(now + options.connection_age_grace);
                life.close();
                // Over HTTP/1 the next answer says so; closing at once could meet a request on its way.
                if C::PROTOCOL == Protocol::Http2 {
                    connection.end();
                }
            }
            None => {}
        }
    }
}
