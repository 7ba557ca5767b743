//! The heads of requests, made once and kept for a second: secrets may change, but not between two requests.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri, Version};
use tokio::time::Instant;

use super::body::{SliceBody, Slices};
use super::unpack::ACCEPTED;
use crate::io::secrets::SecretSet;
use crate::model::Signal;
use crate::sinks::{Protocol, TelemetrySink};

/// How long a value of a secret is used before its file is looked at again.
const FRESH: Duration = Duration::from_secs(1);

/// What all requests of a signal have in common.
struct Head {
    /// With scheme and authority.
    address: Uri,
    /// As the protocol wants it.
    target: Uri,
    headers: HeaderMap,
    made_at: Instant,
}

pub(super) struct Heads {
    sink: Arc<dyn TelemetrySink>,
    secrets: Arc<SecretSet>,
    held: [Option<Head>; Signal::ALL.len()],
}

impl Heads {
    pub(super) fn new(sink: Arc<dyn TelemetrySink>, secrets: Arc<SecretSet>) -> Heads {
        Heads { sink, secrets, held: Default::default() }
    }

    pub(super) fn secrets(&self) -> &SecretSet {
        &self.secrets
    }

    /// The address to connect to. The error is a reason for people, without a secret.
    pub(super) fn address(&mut self, signal: Signal) -> Result<Uri, String> {
        self.fresh(signal).map(|head| head.address.clone())
    }

    pub(super) fn request(&mut self, signal: Signal, body: &Slices) -> Result<Request<SliceBody>, String> {
        let protocol = self.sink.plan().protocol;
        let head = self.fresh(signal)?;
        let mut request = Request::new(body.body());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = head.target.clone();
        *request.version_mut() = match protocol {
            Protocol::Http => Version::HTTP_11,
            Protocol::Grpc => Version::HTTP_2,
        };
        *request.headers_mut() = head.headers.clone();
        Ok(request)
    }

    fn fresh(&mut self, signal: Signal) -> Result<&Head, String> {
        let at = signal as usize;
        let is_fresh = self.held[at].as_ref().is_some_and(|head| head.made_at.elapsed() < FRESH);
        if !is_fresh {
            self.held[at] = None;
            let head = self.make(signal)?;
            return Ok(self.held[at].insert(head));
        }
        Ok(self.held[at].as_ref().expect("it was found fresh"))
    }

    fn make(&self, signal: Signal) -> Result<Head, String> {
        let plan = self.sink.plan();
        let address: Uri = self.sink.url(signal).parse().map_err(|_| "the address is not a URL".to_owned())?;
        let mut headers = HeaderMap::new();
        for (name, value) in self.sink.headers(signal, &*self.secrets).map_err(|cause| cause.to_string())? {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header's name is wrong".to_owned())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| format!("header `{name}` has a wrong value"))?;
            // Neither printed nor kept in the compressor of HTTP/2.
            value.set_sensitive(name != "user-agent");
            headers.insert(name, value);
        }
        let encoding = plan.compression.name().map(HeaderValue::from_static);
        let target = match plan.protocol {
            Protocol::Http => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                encoding.and_then(|encoding| headers.insert(CONTENT_ENCODING, encoding));
                let authority = address.authority().ok_or("the address has no host")?;
                let host = HeaderValue::from_str(authority.as_str()).map_err(|_| "the address has a wrong host")?;
                headers.insert(HOST, host);
                let path = address.path_and_query().map_or("/", |path| path.as_str());
                path.parse().map_err(|_| "the address has a wrong path".to_owned())?
            }
            Protocol::Grpc => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert("te", HeaderValue::from_static("trailers"));
                encoding.and_then(|encoding| headers.insert("grpc-encoding", encoding));
                headers.insert("grpc-accept-encoding", HeaderValue::from_static(ACCEPTED));
                address.clone()
            }
        };
        Ok(Head { address, target, headers, made_at: Instant::now() })
    }
}
