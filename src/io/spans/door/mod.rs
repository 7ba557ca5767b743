//! The doors of telemetry: OTLP over gRPC and over HTTP, in protobuf and in JSON, on one listener, told apart by
//! what a request says of itself. Never looks inside a request beyond its framing and compression.

mod connection;
mod cors;
mod counts;
mod date;
mod descriptors;
mod fault;
mod frames;
mod grpc;
mod health;
mod http;
mod http2;
mod incoming;
mod inflate;
mod life;
mod options;
mod quiet;
mod read;
mod reflection;
mod refusal;
mod reply;
mod tls;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Version};
use tokio::sync::watch;

use super::faces::{Arrival, Budget, Road, Share};
use crate::model::Signal;
use crate::otlp::enrich::Member;
use crate::otlp::json::Repairs;
use fault::Fault;
use incoming::Incoming;
use inflate::{Buffers, Codings};
use life::Life;
use refusal::{Partial, Refusal};
use reply::Response;

pub use connection::serve_telemetry;
pub use cors::Origins;
pub use counts::{Count, Counts, Outcome, Transport};
pub use options::{DoorOptions, JsonRead, NotRead, ReadJson};
pub use tls::{Tls, TlsError};

/// One door; both listeners may share it.
pub struct Door {
    road: Arc<dyn Road>,
    budget: Arc<Budget>,
    options: DoorOptions,
    counts: Arc<Counts>,
    buffers: Arc<Buffers>,
    /// Told to health watchers; set when a listener is told to stop.
    stopping: watch::Sender<bool>,
}

impl Door {
    pub fn new(road: Arc<dyn Road>, budget: Arc<Budget>, options: DoorOptions) -> Arc<Door> {
        let stopping = watch::Sender::new(false);
        Arc::new(Door { road, budget, options, counts: Arc::default(), buffers: Arc::default(), stopping })
    }

    /// For the scrape.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// One request of a connection, of either protocol.
    async fn answer(self: &Arc<Door>, request: Request<Incoming>, life: &Arc<Life>) -> Response {
        let _busy = life.begin();
        let version = request.version();
        let is_grpc = grpc::subtype(request.headers()).is_some();
        let mut response = match (is_grpc, version) {
            (true, Version::HTTP_2) => grpc::answer(self, request, life).await,
            (true, _) => http::refuse_grpc(self, &request),
            (false, _) => http::answer(self, request).await,
        };
        if life.is_closing() && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Inflates a body, if it needs it.
    fn unpack(&self, signal: Signal, codings: Codings, body: Bytes, mut share: Share) -> Result<Entry, Fault> {
        let (body, member) = if codings.is_none() {
            share.shrink(read::footprint(&body));
            (body, None)
        } else {
            let Door { options, buffers, .. } = self;
            let keeping = options.keeps_members;
            inflate::inflate_keeping(codings, body, options.body_bytes_max, &mut share, buffers, keeping)?
        };
        Ok(Entry { signal, body, member, repairs: Repairs::default(), share })
    }

    async fn hand_over(&self, entry: Entry) -> Result<Partial, Refusal> {
        let Entry { signal, body, member, repairs, mut share } = entry;
        if !share.grow(cost_of(body.len())) {
            return Err(Refusal::of(&Fault::NoRoom, self));
        }
        let verdict = self.road.take(Arrival { signal, body, member, repairs, share: Arc::new(share) }).await;
        refusal::settle(verdict)
    }
}

/// What a request of so many bytes takes of memory while it waits: the allocator rounds up by as much as an eighth, and
/// a parcel and its place in each queue are not free either.
fn cost_of(body_bytes: usize) -> usize {
    const PARCEL_BYTES: usize = 1024;
    body_bytes + body_bytes / 8 + PARCEL_BYTES
}

/// A request that has come in whole.
struct Entry {
    signal: Signal,
    body: Bytes,
    member: Option<Member>,
    repairs: Repairs,
    share: Share,
}

/// The gRPC services behind the doors, as health and reflection name them; the empty name is the server itself.
fn services() -> impl Iterator<Item = &'static str> {
    let own = ["", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
    let exports =
        Signal::ALL.into_iter().filter_map(|signal| signal.grpc_path().trim_start_matches('/').split('/').next());
    own.into_iter().chain(["grpc.reflection.v1alpha.ServerReflection"]).chain(exports)
}
