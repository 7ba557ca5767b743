//! The codes of gRPC, beside those of HTTP (opentelemetry-proto, docs/specification.md, "Failures"): what our doors
//! answer and what the answers of sinks mean. A table, never a decision.

use std::time::Duration;

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

    /// The HTTP status that says the same to an OTLP/HTTP sender, and may be sent again where the code may.
    pub const fn http_status(self, delay: Delay) -> u16 {
        match self {
            Code::Ok => 200,
            Code::InvalidArgument | Code::FailedPrecondition => 400,
            Code::Unauthenticated => 401,
            Code::PermissionDenied => 403,
            Code::NotFound => 404,
            Code::AlreadyExists => 409,
            Code::ResourceExhausted => match delay {
                Delay::Named => 429,
                Delay::None => 413,
            },
            Code::Unknown | Code::Internal => 500,
            Code::Unimplemented => 501,
            Code::Cancelled | Code::Aborted | Code::OutOfRange | Code::Unavailable | Code::DataLoss => 503,
            Code::DeadlineExceeded => 504,
        }
    }

    /// What an HTTP status is called in gRPC, and may be sent again where the status may: 429 is `UNAVAILABLE`, as gRPC
    /// itself has it, because an exhausted receiver that names no delay would not be asked again. 413 is exhausted, and
    /// must be told without a delay.
    pub const fn from_http(status: u16) -> Code {
        match status {
            200..=299 => Code::Ok,
            401 => Code::Unauthenticated,
            403 | 407 => Code::PermissionDenied,
            404 => Code::NotFound,
            429 | 502..=504 => Code::Unavailable,
            409 => Code::AlreadyExists,
            413 => Code::ResourceExhausted,
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

impl Delay {
    pub const fn of(wait: Option<Duration>) -> Delay {
        if wait.is_some() { Delay::Named } else { Delay::None }
    }
}

/// Whether the same request may be sent again after this HTTP status.
pub const fn http_is_retryable(status: u16) -> bool {
    matches!(status, 429 | 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_sent_again_is_as_otlp_lists_it() {
        let retryable = [Code::Cancelled, Code::DeadlineExceeded, Code::Aborted, Code::OutOfRange, Code::Unavailable];
        for code in Code::ALL {
            let always = retryable.contains(&code) || code == Code::DataLoss;
            assert_eq!(code.is_retryable(Delay::None), always, "{code:?}");
            assert_eq!(code.is_retryable(Delay::Named), always || code == Code::ResourceExhausted, "{code:?}");
            assert_eq!(Code::from_u8(code.as_u8()), code);
        }
        assert_eq!(Code::from_u8(200), Code::Unknown);
        let again: Vec<u16> = (100..600).filter(|status| http_is_retryable(*status)).collect();
        assert_eq!(again, [429, 502, 503, 504]);
    }

    #[test]
    fn no_translation_makes_a_refusal_of_a_delay_or_a_delay_of_a_refusal() {
        for code in Code::ALL {
            for delay in [Delay::Named, Delay::None] {
                assert_eq!(http_is_retryable(code.http_status(delay)), code.is_retryable(delay), "{code:?} {delay:?}");
            }
        }
        for status in 100..600 {
            let code = Code::from_http(status);
            assert_eq!(code.is_retryable(Delay::None), http_is_retryable(status), "{status}");
        }
        let codes = [200, 400, 404, 413, 415, 429, 500, 503].map(|status| Code::from_http(status).as_u8());
        assert_eq!(codes, [0, 3, 5, 8, 3, 14, 13, 14]);
    }
}
