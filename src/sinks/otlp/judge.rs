//! What an answer means by the rules of OTLP: which status may be tried again, how long to wait, what was taken
//! in part. Never calls anything a success that the protocol does not.

use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::proto::{self, Partial};
use crate::model::Signal;
use crate::sinks::answer::{excerpt, wait_of};
use crate::sinks::{Reply, TelemetryAnswer};

/// gRPC's numbers (github.com/grpc/grpc/blob/master/doc/statuscodes.md).
pub(crate) mod code {
    pub(crate) const OK: u8 = 0;
    pub(crate) const CANCELLED: u8 = 1;
    pub(crate) const UNKNOWN: u8 = 2;
    pub(crate) const INVALID_ARGUMENT: u8 = 3;
    pub(crate) const DEADLINE_EXCEEDED: u8 = 4;
    pub(crate) const PERMISSION_DENIED: u8 = 7;
    pub(crate) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(crate) const ABORTED: u8 = 10;
    pub(crate) const OUT_OF_RANGE: u8 = 11;
    pub(crate) const UNIMPLEMENTED: u8 = 12;
    pub(crate) const INTERNAL: u8 = 13;
    pub(crate) const UNAVAILABLE: u8 = 14;
    pub(crate) const DATA_LOSS: u8 = 15;
    pub(crate) const UNAUTHENTICATED: u8 = 16;
}

/// An answer of OTLP/HTTP. Only 429, 502, 503 and 504 may be tried again.
pub(crate) fn http(signal: Signal, answer: &TelemetryAnswer<'_>) -> Reply {
    let (http, grpc) = (answer.status, grpc_of_http(answer.status));
    match http {
        200..=299 => taken(signal, answer),
        429 | 502..=504 => Reply::NotNow {
            http,
            grpc,
            reason: http_reason(answer),
            retry_after: answer.retry_after.and_then(|text| wait_of(text, answer.received_at)),
        },
        300..=399 => Reply::Refused {
            // The sender of the data has nothing to follow either.
            http: 500,
            grpc: code::INTERNAL,
            // Following it would hand headers, and so the secret, to somebody else.
            reason: format!("{http}, redirects are not followed"),
            is_about_data: false,
        },
        _ => {
            let is_about_data = matches!(http, 400 | 413 | 422 | 500);
            Reply::Refused { http, grpc, reason: http_reason(answer), is_about_data }
        }
    }
}

/// An answer of OTLP/gRPC, or of something between us and it that only speaks HTTP.
pub(crate) fn grpc(signal: Signal, answer: &TelemetryAnswer<'_>) -> Reply {
    let told = answer.grpc_status.map(|text| text.trim().parse::<u8>().unwrap_or(code::UNKNOWN));
    let Some(grpc) = told else {
        return without_status(answer);
    };
    let reason = || {
        let message = answer.grpc_message.map(percent_decoded).unwrap_or_default();
        with_remark(format!("gRPC status {grpc}"), &excerpt(&message))
    };
    let retry_info = || {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let status = GeneralPurpose::new(&alphabet::STANDARD, config).decode(answer.grpc_details?.trim()).ok()?;
        proto::retry_delay(&status)
    };
    match grpc {
        code::OK => taken(signal, answer),
        code::CANCELLED
        | code::DEADLINE_EXCEEDED
        | code::ABORTED
        | code::OUT_OF_RANGE
        | code::UNAVAILABLE
        | code::DATA_LOSS => {
            Reply::NotNow { http: http_of_grpc(grpc), grpc, reason: reason(), retry_after: retry_info() }
        }
        code::RESOURCE_EXHAUSTED => match retry_info() {
            Some(delay) => Reply::NotNow { http: http_of_grpc(grpc), grpc, reason: reason(), retry_after: Some(delay) },
            None => Reply::Refused { http: 413, grpc, reason: reason(), is_about_data: true },
        },
        _ => {
            let is_about_data = matches!(grpc, code::INVALID_ARGUMENT | code::INTERNAL);
            Reply::Refused { http: http_of_grpc(grpc), grpc, reason: reason(), is_about_data }
        }
    }
}

/// A success, which may say that a part was not taken.
fn taken(signal: Signal, answer: &TelemetryAnswer<'_>) -> Reply {
    let kind = answer.content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let partial = match kind.as_str() {
        _ if answer.body.is_empty() => Some(Partial::default()),
        // A sign-in page or the wrong address: no receiver of OTLP answers so.
        "text/html" => {
            let (http, grpc) = (answer.status, code::UNAVAILABLE);
            let reason = format!("{http} with a page, not an answer of OTLP");
            return Reply::NotNow { http, grpc, reason, retry_after: None };
        }
        "application/json" => partial_success_of_json(signal, answer.body),
        "application/x-protobuf" | "application/protobuf" => proto::partial_success(answer.body),
        _ if kind.starts_with("application/grpc") => answer.body.get(5..).and_then(proto::partial_success),
        _ => Some(Partial::default()),
    };
    match partial {
        Some(partial) if partial == Partial::default() => Reply::Taken,
        Some(Partial { rejected, message }) => Reply::Partly { rejected, message: excerpt(message.as_bytes()) },
        None => Reply::Partly { rejected: 0, message: "success with an unreadable answer".to_owned() },
    }
}

/// As receivers answer that know JSON only: `{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "…"}}`.
fn partial_success_of_json(signal: Signal, body: &[u8]) -> Option<Partial> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = &answer["partialSuccess"];
    let name = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Profiles => "rejectedProfiles",
    };
    // 64-bit numbers are texts in the JSON of protobuf.
    let rejected = &partial[name];
    let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
    let message = partial["errorMessage"].as_str().unwrap_or_default().to_owned();
    Some(Partial { rejected, message })
}

/// What HTTP alone says of a call, by gRPC's own table (http-grpc-status-mapping.md).
fn without_status(answer: &TelemetryAnswer<'_>) -> Reply {
    let http = answer.status;
    let grpc = match http {
        400 => code::INTERNAL,
        401 => code::UNAUTHENTICATED,
        403 => code::PERMISSION_DENIED,
        404 => code::UNIMPLEMENTED,
        429 | 502..=504 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    };
    let reason = with_remark(format!("{http} without a gRPC status"), &excerpt(answer.body));
    if grpc == code::UNAVAILABLE {
        let retry_after: Option<Duration> = answer.retry_after.and_then(|text| wait_of(text, answer.received_at));
        return Reply::NotNow { http, grpc, reason, retry_after };
    }
    // What is told to a sender must be a failure, and one that is not tried again.
    let http = if http < 400 { 500 } else { http };
    Reply::Refused { http, grpc, reason, is_about_data: false }
}

fn http_of_grpc(grpc: u8) -> u16 {
    match grpc {
        code::INVALID_ARGUMENT => 400,
        code::UNAUTHENTICATED => 401,
        code::PERMISSION_DENIED => 403,
        code::UNIMPLEMENTED => 404,
        code::RESOURCE_EXHAUSTED => 429,
        code::CANCELLED
        | code::DEADLINE_EXCEEDED
        | code::ABORTED
        | code::OUT_OF_RANGE
        | code::UNAVAILABLE
        | code::DATA_LOSS => 503,
        _ => 500,
    }
}

fn grpc_of_http(http: u16) -> u8 {
    match http {
        200..=299 => code::OK,
        400 | 415 | 422 => code::INVALID_ARGUMENT,
        401 => code::UNAUTHENTICATED,
        403 => code::PERMISSION_DENIED,
        404 | 405 => code::UNIMPLEMENTED,
        413 => code::RESOURCE_EXHAUSTED,
        429 | 502..=504 => code::UNAVAILABLE,
        500 => code::INTERNAL,
        _ => code::UNKNOWN,
    }
}

fn http_reason(answer: &TelemetryAnswer<'_>) -> String {
    // Receivers of OTLP explain themselves in a `google.rpc.Status`; proxies in words.
    let is_protobuf = answer.content_type.is_some_and(|kind| kind.contains("protobuf"));
    let status = if is_protobuf { proto::status_message(answer.body) } else { None };
    let words = match &status {
        Some(message) => excerpt(message.as_bytes()),
        None if is_protobuf => String::new(),
        None => excerpt(answer.body),
    };
    with_remark(answer.status.to_string(), &words)
}

fn with_remark(mut text: String, remark: &str) -> String {
    if !remark.is_empty() {
        text.push_str(": ");
        text.push_str(remark);
    }
    text
}

/// `grpc-message` is percent-encoded; what is not stays as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}
