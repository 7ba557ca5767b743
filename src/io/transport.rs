//! How requests leave: one HTTP client for all sinks. Never follows a redirect (the body or a header carries
//! the secret) and never lets a URL into an error text.

mod plain;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::Timestamp;
use crate::sinks::{HttpAnswer, HttpRequest};
use crate::store::Later;
use plain::{PlainClient, Target};

/// What an answer is read of.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Below the minute after which many servers close a connection.
const IDLE_MAX: Duration = Duration::from_secs(50);
const PRODUCT: &str = concat!("tawny/", env!("CARGO_PKG_VERSION"));

/// A full answer of a sink.
#[derive(Debug, Default)]
pub struct Received {
    pub status: u16,
    pub retry_after: Option<String>,
    pub rate_limits: Option<String>,
    pub body: Vec<u8>,
}

impl Received {
    /// As a sink judges it. `body` is what may be kept and logged of it: some answers repeat the key that was wrong.
    pub fn answer<'a>(&'a self, body: &'a [u8], received_at: Timestamp) -> HttpAnswer<'a> {
        HttpAnswer {
            status: self.status,
            retry_after: self.retry_after.as_deref(),
            rate_limits: self.rate_limits.as_deref(),
            body,
            received_at,
        }
    }
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct NoAnswer {
    pub reason: String,
    /// Some of the request has left, or may have: nobody knows whether it arrived.
    pub is_doubtful: bool,
}

/// The network, replaceable in tests.
pub trait Transport: Send + Sync {
    fn post(&self, request: HttpRequest, timeout: Duration) -> Later<'_, Result<Received, NoAnswer>>;
}

#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
    /// For this machine's own addresses: a proxy of the company knows nothing of them.
    direct: reqwest::Client,
    plain: Arc<PlainClient>,
    /// Sinks have few addresses and use them for ever; parsing one costs as much as encoding a notice.
    addresses: Arc<Mutex<HashMap<String, Road, RandomState>>>,
}

/// How an address is reached.
#[derive(Clone, Debug)]
enum Road {
    Plain(Arc<Target>),
    Direct(reqwest::Url),
    /// Through the proxy of the company, where there is one.
    Far(reqwest::Url),
}

/// More addresses than sinks are a sink that makes a new one for each notice.
const ADDRESS_COUNT_MAX: usize = 256;

impl HttpTransport {
    pub fn new() -> anyhow::Result<HttpTransport> {
        // Fails only when another provider was installed before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_PATIENCE)
                .pool_idle_timeout(IDLE_MAX)
                .user_agent(PRODUCT)
        };
        Ok(HttpTransport {
            client: builder().build()?,
            direct: builder().no_proxy().build()?,
            plain: Arc::default(),
            addresses: Arc::default(),
        })
    }
}

impl HttpTransport {
    fn road(&self, text: &str) -> Option<Road> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(road) = addresses.get(text) {
            return Some(road.clone());
        }
        let url = reqwest::Url::parse(text).ok()?;
        let road = if is_local(&url) {
            self.plain.target(&url).map_or(Road::Direct(url), |target| Road::Plain(Arc::new(target)))
        } else {
            Road::Far(url)
        };
        if addresses.len() >= ADDRESS_COUNT_MAX {
            addresses.clear();
        }
        addresses.insert(text.to_owned(), road.clone());
        Some(road)
    }
}

impl Transport for HttpTransport {
    fn post(&self, request: HttpRequest, timeout: Duration) -> Later<'_, Result<Received, NoAnswer>> {
        let Some(road) = self.road(&request.url) else {
            return Box::pin(async {
                Err(NoAnswer { reason: "the address is not a URL".to_owned(), is_doubtful: false })
            });
        };
        let (client, url) = match road {
            Road::Plain(target) => return Box::pin(self.plain.post(target, request, timeout)),
            Road::Direct(url) => (&self.direct, url),
            Road::Far(url) => (&self.client, url),
        };
        Box::pin(async move {
            let mut builder = client.post(url).timeout(timeout).body(request.body);
            for (name, value) in request.headers {
                builder = builder.header(name.as_ref(), value.as_ref());
            }
            let mut response = builder.send().await.map_err(no_answer)?;
            let header =
                |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let mut received = Received {
                status: response.status().as_u16(),
                retry_after: header("retry-after"),
                rate_limits: header("x-sentry-rate-limits"),
                body: Vec::new(),
            };
            while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
                let room = ANSWER_BYTES_MAX - received.body.len();
                received.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if received.body.len() >= ANSWER_BYTES_MAX {
                    break;
                }
            }
            Ok(received)
        })
    }
}

fn is_local(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The chain of causes without the address: it may be the secret.
fn no_answer(error: reqwest::Error) -> NoAnswer {
    let mut reason = if error.is_timeout() {
        "timed out".to_owned()
    } else if error.is_connect() {
        "cannot connect".to_owned()
    } else {
        "the connection broke".to_owned()
    };
    let is_doubtful = !(error.is_connect() || error.is_builder());
    let error = error.without_url();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if inner.source().is_none() {
            reason = format!("{reason}: {inner}");
        }
        cause = inner.source();
    }
    NoAnswer { reason, is_doubtful }
}
