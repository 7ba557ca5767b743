//! Binding, accepting, and the life of one connection.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tower_service::Service;

/// An accept that fails for want of file handles is tried again after this, not at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end, without the port.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// `[::]` takes IPv4 as well where the host has IPv6, and becomes `0.0.0.0` where it has none.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(cause) if address.ip().is_unspecified() && address.is_ipv6() && no_such_family(&cause) => {
            TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()))).await
        }
        bound => bound,
    }
}

/// Whether the host lacks the address family (or just this address of it).
fn no_such_family(cause: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    matches!(cause.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || cause.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Accepts until told to stop, then lets what is under way finish within `grace`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    header_timeout: Duration,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let graceful = GracefulShutdown::new();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let builder = Arc::new(builder);
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
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(cause) => {
                tracing::warn!(error = %cause, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = service(router.clone(), peer);
        let watcher = graceful.watcher();
        let builder = builder.clone();
        tasks.spawn(async move {
            let _ = stream.set_nodelay(true);
            let connection = builder.serve_connection(TokioIo::<TcpStream>::new(stream), service).into_owned();
            // A peer that breaks off is its own affair; each request has its outcome already.
            let _ = watcher.watch(connection).await;
            drop(permit);
        });
        while let Some(ended) = tasks.try_join_next() {
            report(ended);
        }
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not finish in time");
    }
    // Whoever never ends a request keeps nothing alive that the rest of the stop waits for.
    tasks.shutdown().await;
}

fn report(ended: Result<(), JoinError>) {
    if let Err(cause) = ended
        && cause.is_panic()
    {
        tracing::error!(error = %cause, "a connection broke");
    }
}

fn service(
    router: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future = impl Future<Output = Result<axum::response::Response, Infallible>> + Send,
> + Clone {
    let peer = Peer(peer.ip().to_canonical());
    service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().call(request.map(axum::body::Body::new))
    })
}
