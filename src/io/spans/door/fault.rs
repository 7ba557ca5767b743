//! Why a request was not handed to the road, and what that means in HTTP and in gRPC (opentelemetry-proto,
//! docs/specification.md, "Failures"; gRPC, statuscodes.md). Decides nothing else.

use super::counts::Outcome;
use crate::otlp::answer::Code;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the body inflates to more than {bytes_max} bytes")]
    InflatesTooLarge { bytes_max: usize },
    #[error("the body did not arrive within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the deadline of the call passed")]
    Late,
    #[error("encoding `{encoding}` is not supported; send `gzip`, `zstd`, `deflate` or none")]
    UnknownEncoding { encoding: String },
    #[error("more than {count_max} encodings are stacked")]
    TooManyEncodings { count_max: usize },
    #[error("the body is not valid {encoding}: {reason}")]
    Corrupt { encoding: &'static str, reason: &'static str },
    #[error("the body is not valid OTLP in JSON: {reason}")]
    Json { reason: String },
    #[error("the connection broke before the body was complete")]
    Broken,
    #[error("too many bytes are in flight")]
    NoRoom,
    #[error("content type `{given}` is not supported; send `application/x-protobuf` or `application/json`")]
    UnknownType { given: String },
    #[error("nothing is served at `{path}`")]
    UnknownPath { path: String },
    #[error("send telemetry with POST")]
    NotPost,
    #[error("send the token of this door: `authorization: Bearer TOKEN`")]
    NoToken,
    #[error("gRPC needs HTTP/2")]
    GrpcNeedsHttp2,
    #[error("method `{path}` is not known here")]
    UnknownMethod { path: String },
    #[error("message encoding `{subtype}` is not supported; send protobuf")]
    UnknownSubtype { subtype: String },
    #[error("the call holds {what} where one message is wanted")]
    Cardinality { what: &'static str },
    #[error("the framing of the call is wrong: {reason}")]
    Framing { reason: &'static str },
    #[error("`{service}` is not served here")]
    UnknownService { service: String },
}

impl Fault {
    pub(super) const fn http(&self) -> u16 {
        match self {
            Fault::TooLarge { .. } | Fault::InflatesTooLarge { .. } => 413,
            Fault::TooSlow { .. } => 408,
            Fault::UnknownEncoding { .. } | Fault::TooManyEncodings { .. } | Fault::UnknownType { .. } => 415,
            Fault::NoRoom => 503,
            Fault::UnknownPath { .. } | Fault::UnknownMethod { .. } | Fault::UnknownService { .. } => 404,
            Fault::NotPost => 405,
            Fault::NoToken => 401,
            Fault::GrpcNeedsHttp2 => 505,
            Fault::Late => 504,
            Fault::Corrupt { .. }
            | Fault::Json { .. }
            | Fault::Broken
            | Fault::UnknownSubtype { .. }
            | Fault::Cardinality { .. }
            | Fault::Framing { .. } => 400,
        }
    }

    pub(super) const fn grpc(&self) -> Code {
        match self {
            Fault::TooLarge { .. } | Fault::InflatesTooLarge { .. } => Code::ResourceExhausted,
            Fault::TooSlow { .. } | Fault::Late => Code::DeadlineExceeded,
            // A broken body may also be one whose chunks are none.
            Fault::Corrupt { .. } | Fault::Json { .. } | Fault::UnknownType { .. } | Fault::Broken => {
                Code::InvalidArgument
            }
            Fault::NoRoom => Code::Unavailable,
            Fault::NoToken => Code::Unauthenticated,
            Fault::UnknownPath { .. } | Fault::UnknownService { .. } => Code::NotFound,
            Fault::UnknownEncoding { .. }
            | Fault::TooManyEncodings { .. }
            | Fault::NotPost
            | Fault::GrpcNeedsHttp2
            | Fault::UnknownMethod { .. }
            | Fault::UnknownSubtype { .. }
            | Fault::Cardinality { .. } => Code::Unimplemented,
            Fault::Framing { .. } => Code::Internal,
        }
    }

    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Fault::TooLarge { .. } | Fault::InflatesTooLarge { .. } => Outcome::TooLarge,
            Fault::TooSlow { .. } => Outcome::TooSlow,
            Fault::Late => Outcome::Late,
            Fault::Corrupt { .. } | Fault::Json { .. } | Fault::Cardinality { .. } | Fault::Framing { .. } => {
                Outcome::Malformed
            }
            Fault::NoRoom => Outcome::NotNow,
            Fault::NoToken => Outcome::Unauthorized,
            Fault::Broken => Outcome::Broken,
            Fault::UnknownEncoding { .. }
            | Fault::TooManyEncodings { .. }
            | Fault::UnknownType { .. }
            | Fault::UnknownPath { .. }
            | Fault::NotPost
            | Fault::GrpcNeedsHttp2
            | Fault::UnknownMethod { .. }
            | Fault::UnknownSubtype { .. }
            | Fault::UnknownService { .. } => Outcome::Unsupported,
        }
    }
}

/// What a stranger sent, short enough to be said back.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
