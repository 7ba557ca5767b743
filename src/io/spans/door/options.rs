//! What can be set on a door. Every bound of a connection and of a request stands here, with its reason.

use std::sync::Arc;
use std::time::Duration;

use super::cors::Origins;
use super::tls::Tls;
use crate::io::auth::Guard;
use crate::io::spans::workers::Workers;
use crate::model::Signal;
use crate::otlp::json::Repairs;

/// Makes protobuf of a JSON request within so many bytes, or says what is wrong with it.
pub type ReadJson = fn(Signal, &[u8], usize) -> Result<JsonRead, NotRead>;

/// Why a JSON request has no protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRead {
    /// In words for its sender.
    Fault(String),
    /// It would be larger than was allowed.
    Outgrown,
}

/// A JSON request as protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonRead {
    pub protobuf: Vec<u8>,
    /// What was mended on the way.
    pub repairs: Repairs,
}

#[derive(Clone, Debug)]
pub struct DoorOptions {
    /// Of a body, before and after inflation.
    pub body_bytes_max: usize,
    /// From the head of a request to the end of its body.
    pub body_timeout: Duration,
    /// How long a new connection may say nothing, and how long its handshake may take.
    pub first_byte_timeout: Duration,
    /// From the first byte of a request's head to its end.
    pub head_timeout: Duration,
    /// How long a connection may stay without a request. SDKs export metrics once a minute: shorter than that would
    /// cost every one of them a new connection.
    pub idle_timeout: Duration,
    /// After this, give or take a tenth, a connection is asked to end, so that senders behind a load balancer of
    /// connections spread again. `None`: never.
    pub connection_age_max: Option<Duration>,
    /// How long requests on such a connection may still run.
    pub connection_age_grace: Duration,
    /// How long a closed connection is still read, so that a sender that is in the middle of a body that we refused
    /// sees our answer and not a reset.
    pub linger_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// What a sender is told to wait when the budget is used up; up to twice as long, so that senders do not come
    /// back together.
    pub retry_after: Duration,
    /// The certificate of the door. `None`: connections are bare.
    pub tls: Option<Arc<Tls>>,
    /// What senders of telemetry must show. Health and reflection are answered without it: load balancers ask them.
    pub guard: Arc<Guard>,
    /// Accepted in front of the paths of OTLP/HTTP, beside the bare ones: `/otlp`. Empty: none.
    pub path_prefix: String,
    /// Whose pages may send over HTTP from a browser.
    pub origins: Origins,
    /// Whether the gzip member of a request goes on with it, for sinks that send its blocks again.
    pub keeps_members: bool,
    /// Makes protobuf of a JSON request.
    pub read_json: ReadJson,
    /// Who serves the connections.
    pub workers: Arc<Workers>,
}

impl DoorOptions {
    pub fn new(read_json: ReadJson) -> DoorOptions {
        DoorOptions {
            body_bytes_max: 64 << 20,
            body_timeout: Duration::from_secs(30),
            first_byte_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            connection_age_max: Some(Duration::from_secs(30 * 60)),
            connection_age_grace: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            streams_max: 256,
            retry_after: Duration::from_secs(2),
            tls: None,
            guard: Arc::new(Guard::Open),
            path_prefix: String::new(),
            origins: Origins::default(),
            keeps_members: false,
            read_json,
            workers: Arc::default(),
        }
    }
}
