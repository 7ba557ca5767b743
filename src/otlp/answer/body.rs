//! Bodies of answers, written by hand: `google.rpc.Status` (googleapis, google/rpc/status.proto and
//! error_details.proto) and the responses of the export services. Never empty where the specification wants a Status.

use std::time::Duration;

use serde_json::{Value, json};

use super::Code;
use crate::model::Signal;
use crate::otlp::wire::{put_bytes, put_key, put_varint};

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// What the sender spoke, and so what it is answered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    pub const fn content_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }
}

/// `google.rpc.Status`: the body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: Code,
    pub message: String,
    pub details: Vec<Detail>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What is wrong with the request; `field` is a path into it, or empty.
    BadRequest { field: String, description: String },
    /// When to come again.
    RetryInfo { delay: Duration },
}

impl Status {
    pub fn new(code: Code, message: impl Into<String>) -> Status {
        Status { code, message: message.into(), details: Vec::new() }
    }

    /// Bad data, never to be sent again: `INVALID_ARGUMENT` with a `BadRequest`.
    pub fn bad_request(field: impl Into<String>, description: impl Into<String>) -> Status {
        let (field, description) = (field.into(), description.into());
        let mut status = Status::new(Code::InvalidArgument, description.clone());
        status.details.push(Detail::BadRequest { field, description });
        status
    }

    /// To be sent again after the delay: `code` with a `RetryInfo`.
    pub fn retry(code: Code, message: impl Into<String>, delay: Duration) -> Status {
        let mut status = Status::new(code, message);
        status.details.push(Detail::RetryInfo { delay });
        status
    }

    pub fn body(&self, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Protobuf => self.protobuf(),
            Encoding::Json => self.json().to_string().into_bytes(),
        }
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.code != Code::Ok {
            put_key(&mut out, 1, 0);
            put_varint(&mut out, u64::from(self.code.as_u8()));
        }
        put_text(&mut out, 2, &self.message);
        for detail in &self.details {
            let mut any = Vec::new();
            put_text(&mut any, 1, detail.type_url());
            put_bytes(&mut any, 2, &detail.protobuf());
            put_bytes(&mut out, 3, &any);
        }
        out
    }

    fn json(&self) -> Value {
        let details: Vec<Value> = self.details.iter().map(Detail::json).collect();
        let mut body = json!({ "code": self.code.as_u8(), "message": self.message });
        if !details.is_empty() {
            body["details"] = Value::Array(details);
        }
        body
    }
}

impl Detail {
    const fn type_url(&self) -> &'static str {
        match self {
            Detail::BadRequest { .. } => BAD_REQUEST,
            Detail::RetryInfo { .. } => RETRY_INFO,
        }
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut inner = Vec::new();
        match self {
            Detail::BadRequest { field, description } => {
                put_text(&mut inner, 1, field);
                put_text(&mut inner, 2, description);
            }
            Detail::RetryInfo { delay } => {
                let delay = longest(*delay);
                put_number(&mut inner, 1, delay.as_secs());
                put_number(&mut inner, 2, u64::from(delay.subsec_nanos()));
            }
        }
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &inner);
        out
    }

    fn json(&self) -> Value {
        match self {
            Detail::BadRequest { field, description } => json!({
                "@type": BAD_REQUEST,
                "fieldViolations": [{ "field": field, "description": description }],
            }),
            Detail::RetryInfo { delay } => json!({ "@type": RETRY_INFO, "retryDelay": duration_text(*delay) }),
        }
    }
}

/// The body of a whole success: an empty response.
pub const fn success_body(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::Protobuf => b"",
        Encoding::Json => b"{}",
    }
}

/// The body of a success with a message: `rejected` items were not taken, or (0) this is a warning. The sender must
/// not send them again.
pub fn partial_body(signal: Signal, rejected: u64, message: &str, encoding: Encoding) -> Vec<u8> {
    // The field is an int64.
    let rejected = rejected.min(i64::MAX.unsigned_abs());
    match encoding {
        Encoding::Protobuf => {
            let mut partial = Vec::new();
            put_number(&mut partial, 1, rejected);
            put_text(&mut partial, 2, message);
            let mut out = Vec::new();
            put_bytes(&mut out, 1, &partial);
            out
        }
        Encoding::Json => {
            let mut partial = serde_json::Map::new();
            if rejected > 0 {
                // 64-bit integers are texts in protobuf's JSON.
                partial.insert(camel_case(signal.rejected()), Value::String(rejected.to_string()));
            }
            if !message.is_empty() {
                partial.insert("errorMessage".to_owned(), Value::String(message.to_owned()));
            }
            json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    }
}

fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    if value > 0 {
        put_key(out, number, 0);
        put_varint(out, value);
    }
}

/// `google.protobuf.Duration` ends at 10,000 years.
fn longest(delay: Duration) -> Duration {
    delay.min(Duration::from_secs(315_576_000_000))
}

/// `3s`, `1.500s`: no, three, six or nine digits behind the point.
fn duration_text(delay: Duration) -> String {
    let delay = longest(delay);
    let (seconds, nanos) = (delay.as_secs(), delay.subsec_nanos());
    match nanos {
        0 => format!("{seconds}s"),
        _ if nanos.is_multiple_of(1_000_000) => format!("{seconds}.{:03}s", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => format!("{seconds}.{:06}s", nanos / 1_000),
        _ => format!("{seconds}.{nanos:09}s"),
    }
}

fn camel_case(snake: &str) -> String {
    let mut camel = String::with_capacity(snake.len());
    let mut raise = false;
    for letter in snake.chars() {
        if letter == '_' {
            raise = true;
        } else {
            camel.push(if raise { letter.to_ascii_uppercase() } else { letter });
            raise = false;
        }
    }
    camel
}
