//! The codes of gRPC, beside those of HTTP (opentelemetry-proto, docs/specification.md, "Failures"). A table, never a
//! decision.

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    pub const ALL: [Code; 17] = [
        Code::Ok,
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// Codes that do not exist are `Unknown`, as gRPC clients have it.
    pub fn from_u8(code: u8) -> Code {
        Code::ALL.get(usize::from(code)).copied().unwrap_or(Code::Unknown)
    }

    /// The HTTP status that says the same to an OTLP/HTTP sender. Only codes that may be sent again become statuses
    /// that may be sent again; `RESOURCE_EXHAUSTED` has become 429, as the Collector has it, which is right only
    /// where a delay is named.
    pub const fn http_status(self) -> u16 {
        match self {
            Code::Ok => 200,
            Code::InvalidArgument | Code::FailedPrecondition => 400,
            Code::Unauthenticated => 401,
            Code::PermissionDenied => 403,
            Code::NotFound => 404,
            Code::AlreadyExists => 409,
            Code::ResourceExhausted => 429,
            Code::Unknown | Code::Internal => 500,
            Code::Unimplemented => 501,
            Code::Cancelled | Code::Aborted | Code::OutOfRange | Code::Unavailable | Code::DataLoss => 503,
            Code::DeadlineExceeded => 504,
        }
    }

    /// What an HTTP status of a peer, or of ours, is called in gRPC. May be sent again there where it may here,
    /// 413 aside: a sender that is told no delay leaves it.
    pub const fn from_http(status: u16) -> Code {
        match status {
            200..=299 => Code::Ok,
            401 => Code::Unauthenticated,
            403 | 407 => Code::PermissionDenied,
            404 => Code::NotFound,
            502..=504 => Code::Unavailable,
            409 => Code::AlreadyExists,
            // Too large is never to be sent again: exhausted, and without a delay.
            413 | 429 => Code::ResourceExhausted,
            405 | 501 => Code::Unimplemented,
            400..=499 => Code::InvalidArgument,
            500..=599 => Code::Internal,
            _ => Code::Unknown,
        }
    }

    /// Whether the same request may be sent again. The delay is named by a `RetryInfo` in the answer.
    pub const fn is_retryable(self, delay: Delay) -> bool {
        match self {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            Code::ResourceExhausted => matches!(delay, Delay::Named),
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::Internal
            | Code::Unauthenticated => false,
        }
    }
}

/// Whether an answer named a time to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Named,
    None,
}

/// Whether the same request may be sent again after this HTTP status.
pub const fn http_is_retryable(status: u16) -> bool {
    matches!(status, 429 | 502..=504)
}
