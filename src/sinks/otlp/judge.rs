//! What an answer means by the rules of OTLP: which status may be tried again, how long to wait, what was taken
//! in part. Never calls anything a success that the protocol does not.

use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::proto::{self, Partial};
use crate::model::{Code, Delay, Signal, http_is_retryable};
use crate::sinks::answer::{WAIT_MAX, excerpt, wait_of};
use crate::sinks::{Reply, TelemetryAnswer};

/// An answer of OTLP/HTTP. Only 429, 502, 503 and 504 may be tried again.
pub(crate) fn http(signal: Signal, answer: &TelemetryAnswer<'_>) -> Reply {
    let (http, code) = (answer.status, Code::from_http(answer.status));
    match http {
        200..=299 => taken(signal, answer),
        300..=399 => Reply::Refused {
            // The sender of the data has nothing to follow either.
            http: 500,
            grpc: Code::Internal.as_u8(),
            // Following it would hand headers, and so the secret, to somebody else.
            reason: format!("{http}, redirects are not followed"),
            is_about_data: false,
        },
        _ if http_is_retryable(http) => Reply::NotNow {
            http,
            grpc: code.as_u8(),
            reason: http_reason(answer),
            retry_after: answer.retry_after.and_then(|text| wait_of(text, answer.received_at)),
        },
        _ => {
            let is_about_data = matches!(http, 400 | 413 | 422 | 500);
            Reply::Refused { http, grpc: code.as_u8(), reason: http_reason(answer), is_about_data }
        }
    }
}

/// An answer of OTLP/gRPC, or of something between us and it that only speaks HTTP.
pub(crate) fn grpc(signal: Signal, answer: &TelemetryAnswer<'_>) -> Reply {
    let told = answer.grpc_status.map(|text| text.trim().parse().map_or(Code::Unknown, Code::from_u8));
    let Some(code) = told else {
        return without_status(answer);
    };
    if code == Code::Ok {
        return taken(signal, answer);
    }
    let retry_after = retry_info(answer);
    let delay = Delay::of(retry_after);
    let (http, grpc) = (code.http_status(delay), code.as_u8());
    let message = answer.grpc_message.map(percent_decoded).unwrap_or_default();
    let reason = with_remark(format!("gRPC status {grpc}"), &excerpt(&message));
    if code.is_retryable(delay) {
        // That there is a delay says that another attempt is welcome; one of nothing does not say when.
        let retry_after = retry_after.filter(|wait| !wait.is_zero());
        return Reply::NotNow { http, grpc, reason, retry_after };
    }
    let is_about_data = matches!(code, Code::InvalidArgument | Code::Internal | Code::ResourceExhausted);
    Reply::Refused { http, grpc, reason, is_about_data }
}

fn retry_info(answer: &TelemetryAnswer<'_>) -> Option<Duration> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let status = GeneralPurpose::new(&alphabet::STANDARD, config).decode(answer.grpc_details?.trim()).ok()?;
    proto::retry_delay(&status).map(|wait| wait.min(WAIT_MAX))
}

/// A success, which may say that a part was not taken.
fn taken(signal: Signal, answer: &TelemetryAnswer<'_>) -> Reply {
    let kind = kind_of(answer);
    let partial = match kind.as_str() {
        _ if answer.body.is_some_and(<[u8]>::is_empty) => Some(Partial::default()),
        PAGE => return page(answer.status),
        "application/json" => answer.body.and_then(|body| partial_success_of_json(signal, body)),
        "application/x-protobuf" | "application/protobuf" => answer.body.and_then(proto::partial_success),
        _ if kind.starts_with("application/grpc") => answer.body.and_then(proto::partial_success),
        _ => Some(Partial::default()),
    };
    match partial {
        Some(partial) if partial == Partial::default() => Reply::Taken,
        Some(Partial { rejected, message }) => Reply::Partly { rejected, message: excerpt(message.as_bytes()) },
        None => Reply::Unread,
    }
}

/// What no receiver of OTLP answers with.
const PAGE: &str = "text/html";

/// A sign-in page or the wrong address: the next answer may be the sink's own.
fn page(http: u16) -> Reply {
    let reason = format!("{http} with a page of HTML, not an answer of OTLP");
    Reply::NotNow { http, grpc: Code::Unavailable.as_u8(), reason, retry_after: None }
}

/// The type of the body, without its parameters.
fn kind_of(answer: &TelemetryAnswer<'_>) -> String {
    answer.content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase()
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

/// What HTTP alone says of a call, by gRPC's own table (http-grpc-status-mapping.md). That has no line for a success that
/// is none.
fn without_status(answer: &TelemetryAnswer<'_>) -> Reply {
    let http = answer.status;
    if http == 200 && kind_of(answer) == PAGE {
        return page(http);
    }
    let code = match http {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let reason = with_remark(format!("{http} without a gRPC status"), &excerpt(words_of(answer)));
    let grpc = code.as_u8();
    if code == Code::Unavailable {
        let retry_after: Option<Duration> = answer.retry_after.and_then(|text| wait_of(text, answer.received_at));
        return Reply::NotNow { http, grpc, reason, retry_after };
    }
    // What is told to a sender must be a failure, and one that is not tried again.
    let http = if http < 400 { 500 } else { http };
    Reply::Refused { http, grpc, reason, is_about_data: false }
}

fn http_reason(answer: &TelemetryAnswer<'_>) -> String {
    // Receivers of OTLP explain themselves in a `google.rpc.Status`; proxies in words.
    let is_protobuf = answer.content_type.is_some_and(|kind| kind.contains("protobuf"));
    let status = if is_protobuf { answer.body.and_then(proto::status_message) } else { None };
    let words = match &status {
        Some(message) => excerpt(message.as_bytes()),
        None if is_protobuf => String::new(),
        None => excerpt(words_of(answer)),
    };
    with_remark(answer.status.to_string(), &words)
}

/// Of what nobody can read there are none.
fn words_of<'a>(answer: &TelemetryAnswer<'a>) -> &'a [u8] {
    answer.body.unwrap_or_default()
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
