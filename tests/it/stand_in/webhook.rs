//! A receiver of Standard Webhooks: verifies each signature over the very bytes that came, and keeps what passed.
//! Never takes an unsigned word.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use super::{Answer, Received, Role, lock};

const TOLERANCE_SECONDS: i64 = 300;
const BODY_BYTES_MAX: usize = 20_000;

pub struct Webhook {
    key: Vec<u8>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    refused: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub body: Value,
}

impl Webhook {
    /// `secret` as both sides hold it: `whsec_` and base64.
    pub fn new(secret: &str) -> Webhook {
        let key = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        Webhook { key: key.expect("tests use a well-formed secret"), state: Mutex::default() }
    }

    /// Doubles included: telling them apart by `id` is the reader's work.
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.state).messages.clone()
    }

    pub fn refused(&self) -> Vec<String> {
        lock(&self.state).refused.clone()
    }

    fn verify(&self, request: &Received<'_>, now: Timestamp) -> Result<Message, (u16, String)> {
        let header = |name: &str| request.header(name).ok_or_else(|| (400, format!("header {name} is missing")));
        let (id, time, signatures) =
            (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
        let seconds: i64 = time.parse().map_err(|_| (400, format!("webhook-timestamp `{time}`")))?;
        if (now.as_second() - seconds).abs() > TOLERANCE_SECONDS {
            return Err((401, format!("webhook-timestamp {time} is not of this attempt")));
        }
        if id.contains('.') || id.is_empty() {
            return Err((400, format!("webhook-id `{id}`")));
        }
        let is_ours = |signature: &str| {
            let Some(bytes) = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok()) else {
                return false;
            };
            let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
            mac.update(format!("{id}.{time}.").as_bytes());
            mac.update(request.body);
            mac.verify_slice(&bytes).is_ok()
        };
        if !signatures.split(' ').any(is_ours) {
            return Err((401, "no signature matches".to_owned()));
        }
        if request.body.len() > BODY_BYTES_MAX {
            return Err((413, "the body is larger than 20 KB".to_owned()));
        }
        let body: Value = serde_json::from_slice(request.body).map_err(|cause| (400, cause.to_string()))?;
        if !(body["type"].is_string() && body["timestamp"].is_string() && body["data"].is_object()) {
            return Err((400, "type, timestamp or data is missing".to_owned()));
        }
        Ok(Message { id: id.to_owned(), body })
    }
}

impl Role for Webhook {
    fn receive(&self, request: &Received<'_>) -> Answer {
        let verified = self.verify(request, Timestamp::now());
        let mut state = lock(&self.state);
        match verified {
            Ok(message) => {
                state.messages.push(message);
                Answer::new(200, "")
            }
            Err((status, reason)) => {
                state.refused.push(reason.clone());
                Answer::new(status, reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;

    /// Secret, id, time, body and signature published with the specification.
    #[test]
    fn the_published_vector_passes_and_a_changed_body_does_not() {
        let receiver = Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
        headers.insert("webhook-timestamp", "1614265330".parse().unwrap());
        headers.insert("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".parse().unwrap());
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let verify = |body: &[u8]| {
            let request = Received { path: "/", headers: &headers, body, answer_arrives: true };
            receiver.verify(&request, now).map(|message| message.id)
        };
        // The signature holds; the body of the vector merely lacks the fields we insist on.
        assert_eq!(verify(br#"{"test": 2432232314}"#), Err((400, "type, timestamp or data is missing".to_owned())));
        assert_eq!(verify(br#"{"test": 2432232315}"#), Err((401, "no signature matches".to_owned())));
    }
}
