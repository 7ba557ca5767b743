//! How answers are worded: OTLP's own responses and Google's `Status`, in protobuf and in JSON
//! (opentelemetry-proto, docs/specification.md, "OTLP/HTTP Response"). Decides nothing.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use serde_json::json;

use crate::model::Signal;
use crate::otlp::wire::{put_bytes, put_key, put_varint};

/// Makes protobuf of a JSON request, or says what is wrong with it.
pub type ReadJson = fn(Signal, &[u8]) -> Result<JsonRead, String>;

/// A JSON request as protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonRead {
    pub protobuf: Vec<u8>,
    /// What was mended on the way; empty for most.
    pub repairs: String,
}

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Protobuf,
    Json,
}

/// Codes of `google.rpc.Code` that the doors use themselves.
pub mod code {
    pub const UNKNOWN: u8 = 2;
    pub const INVALID_ARGUMENT: u8 = 3;
    pub const DEADLINE_EXCEEDED: u8 = 4;
    pub const NOT_FOUND: u8 = 5;
    pub const RESOURCE_EXHAUSTED: u8 = 8;
    pub const UNIMPLEMENTED: u8 = 12;
    pub const INTERNAL: u8 = 13;
    pub const UNAVAILABLE: u8 = 14;
}

/// What a `Status` says beyond its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    None,
    /// The request itself is wrong.
    BadRequest,
    /// It may be sent again after this.
    RetryInfo(Duration),
}

/// The body of a success, with what was refused or mended where there is something to say.
pub fn success(form: Form, signal: Signal, partial: Option<(u64, &str)>) -> Bytes {
    match (form, partial) {
        (Form::Protobuf, None) => Bytes::new(),
        (Form::Json, None) => Bytes::from_static(b"{}"),
        (Form::Protobuf, Some((rejected, message))) => {
            let mut inner = Vec::with_capacity(message.len() + 16);
            if rejected > 0 {
                put_key(&mut inner, 1, 0);
                put_varint(&mut inner, rejected);
            }
            if !message.is_empty() {
                put_bytes(&mut inner, 2, message.as_bytes());
            }
            let mut out = Vec::with_capacity(inner.len() + 8);
            put_bytes(&mut out, 1, &inner);
            out.into()
        }
        (Form::Json, Some((rejected, message))) => {
            // 64-bit numbers are texts in proto3's JSON.
            let mut partial = serde_json::Map::new();
            if rejected > 0 {
                partial.insert(lower_camel(signal.rejected()), json!(rejected.to_string()));
            }
            if !message.is_empty() {
                partial.insert("errorMessage".to_owned(), json!(message));
            }
            json!({ "partialSuccess": partial }).to_string().into()
        }
    }
}

/// The body of a refusal: `google.rpc.Status`.
pub fn status(form: Form, code: u8, message: &str, detail: Detail) -> Bytes {
    match form {
        Form::Protobuf => {
            let mut out = Vec::with_capacity(message.len() + 64);
            put_key(&mut out, 1, 0);
            put_varint(&mut out, u64::from(code));
            if !message.is_empty() {
                put_bytes(&mut out, 2, message.as_bytes());
            }
            if let Some((kind, value)) = detail_protobuf(message, detail) {
                let mut any = Vec::with_capacity(kind.len() + value.len() + 8);
                put_bytes(&mut any, 1, kind.as_bytes());
                put_bytes(&mut any, 2, &value);
                put_bytes(&mut out, 3, &any);
            }
            out.into()
        }
        Form::Json => {
            let mut status = json!({ "code": code, "message": message });
            match detail {
                Detail::None => {}
                Detail::BadRequest => {
                    status["details"] =
                        json!([{ "@type": BAD_REQUEST, "fieldViolations": [{ "description": message }] }]);
                }
                Detail::RetryInfo(delay) => {
                    let delay = format!("{}.{:09}s", delay.as_secs(), delay.subsec_nanos());
                    status["details"] = json!([{ "@type": RETRY_INFO, "retryDelay": delay }]);
                }
            }
            status.to_string().into()
        }
    }
}

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

fn detail_protobuf(message: &str, detail: Detail) -> Option<(&'static str, Vec<u8>)> {
    let mut inner = Vec::new();
    let mut value = Vec::new();
    match detail {
        Detail::None => None,
        Detail::BadRequest => {
            put_bytes(&mut inner, 2, message.as_bytes());
            put_bytes(&mut value, 1, &inner);
            Some((BAD_REQUEST, value))
        }
        Detail::RetryInfo(delay) => {
            if delay.as_secs() > 0 {
                put_key(&mut inner, 1, 0);
                put_varint(&mut inner, delay.as_secs());
            }
            if delay.subsec_nanos() > 0 {
                put_key(&mut inner, 2, 0);
                put_varint(&mut inner, u64::from(delay.subsec_nanos()));
            }
            put_bytes(&mut value, 1, &inner);
            Some((RETRY_INFO, value))
        }
    }
}

/// The value of `grpc-status-details-bin`: a `Status` again, in base64.
pub fn status_details(code: u8, message: &str, detail: Detail) -> String {
    STANDARD_NO_PAD.encode(status(Form::Protobuf, code, message, detail))
}

/// The value of `grpc-message`: whatever is not printable ASCII is percent-encoded (gRPC, PROTOCOL-HTTP2.md).
pub fn percent(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// `rejected_log_records` in JSON is `rejectedLogRecords`.
fn lower_camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1.min(word.len()));
        out.push_str(&first.to_ascii_uppercase());
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
    use prost::Message;

    use super::*;

    #[test]
    fn a_partial_success_reads_back_in_both_forms() {
        let bytes = success(Form::Protobuf, Signal::Logs, Some((3, "no")));
        let partial = ExportLogsServiceResponse::decode(bytes).unwrap().partial_success.unwrap();
        assert_eq!((partial.rejected_log_records, partial.error_message.as_str()), (3, "no"));
        let json: serde_json::Value =
            serde_json::from_slice(&success(Form::Json, Signal::Logs, Some((3, "no")))).unwrap();
        assert_eq!(json, json!({ "partialSuccess": { "rejectedLogRecords": "3", "errorMessage": "no" } }));
    }

    #[test]
    fn a_message_is_percent_encoded_where_a_header_could_not_hold_it() {
        assert_eq!(percent("100 % é\n"), "100 %25 %C3%A9%0A");
    }

    #[test]
    fn a_status_says_when_to_come_back() {
        let json: serde_json::Value = serde_json::from_slice(&status(
            Form::Json,
            code::UNAVAILABLE,
            "full",
            Detail::RetryInfo(Duration::from_millis(1500)),
        ))
        .unwrap();
        assert_eq!(json["details"][0]["retryDelay"], "1.500000000s");
        // code 14, message, details { type_url, value { retry_delay { seconds 1, nanos 500000000 } } }
        let bytes = status(Form::Protobuf, 14, "full", Detail::RetryInfo(Duration::from_millis(1500)));
        assert!(bytes.starts_with(&[0x08, 14, 0x12, 4]));
        assert!(bytes.ends_with(&[0x12, 0x0a, 0x0a, 0x08, 0x08, 0x01, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]));
    }
}
