//! Opens connections to sinks: TCP in both families, TLS with the system's roots. Never lets an address into an
//! error text.

use std::error::Error;
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::sinks::Protocol;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// One way to connect for each protocol; they differ in what they offer in the TLS handshake.
#[derive(Clone)]
pub struct Connectors {
    http: HttpsConnector<HttpConnector>,
    grpc: HttpsConnector<HttpConnector>,
}

/// TLS cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the system's trusted certificates cannot be read")]
pub struct ConnectorsError {
    #[source]
    cause: rustls::Error,
}

impl Connectors {
    pub fn new() -> Result<Connectors, ConnectorsError> {
        // Fails only when another provider was installed before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let verified = rustls::ClientConfig::builder().try_with_platform_verifier();
        let config = verified.map_err(|cause| ConnectorsError { cause })?.with_no_client_auth();
        Ok(Connectors::trusting(&config))
    }

    /// With the roots of `config`.
    pub(super) fn trusting(config: &rustls::ClientConfig) -> Connectors {
        let builder = || HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_or_http();
        Connectors {
            http: builder().enable_http1().wrap_connector(tcp()),
            grpc: builder().enable_http2().wrap_connector(tcp()),
        }
    }

    /// A connection to where `uri` points; the error is a reason for people.
    pub(super) async fn connect(&self, protocol: Protocol, uri: &Uri) -> Result<Stream, String> {
        let mut connector = match protocol {
            Protocol::Http => self.http.clone(),
            Protocol::Grpc => self.grpc.clone(),
        };
        let ready = std::future::poll_fn(|context| connector.poll_ready(context)).await;
        ready.map_err(|cause| format!("cannot connect: {}", root(&*cause)))?;
        connector.call(uri.clone()).await.map_err(|cause| format!("cannot connect: {}", root(&*cause)))
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    // The TLS connector above knows the other scheme.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp
}

/// The innermost cause: those around it name the address.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
