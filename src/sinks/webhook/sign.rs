//! The signature of Standard Webhooks: HMAC-SHA256 over id, time of the attempt and body. Never prints a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::super::EncodeError;
use crate::model::Secret;

/// `v1,` and the base64 of the HMAC.
pub(super) fn signature(
    name: &'static str,
    secret: &Secret,
    id: &str,
    seconds: i64,
    body: &[u8],
) -> Result<String, EncodeError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key(name, secret)?).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// The bytes behind the prefix `whsec_`, which the specification's own libraries allow to be absent.
fn key(name: &'static str, secret: &Secret) -> Result<Vec<u8>, EncodeError> {
    let text = secret.reveal();
    let encoded = text.strip_prefix("whsec_").unwrap_or(text);
    let bad = |reason| EncodeError::SecretBad { name, reason };
    let key = STANDARD.decode(encoded).map_err(|_| bad("not `whsec_` and base64"))?;
    if (24..=64).contains(&key.len()) { Ok(key) } else { Err(bad("the key must have 24 to 64 bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_specification_and_of_our_documents_agree() {
        for (secret, id, seconds, body, expected) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "whsec_b3dsLXJlbGF5LXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=",
                "alr_0f1e00bbeec802e0_0001",
                1_795_394_413,
                r#"{"type":"alert.triggered","timestamp":"2026-11-23T00:40:12Z","data":{"service":"owl-service","platform":"eks","cell":"prod-use1-c2","severity":"critical","dedup_key":"eks/prod-use1-c2/owl-service/HighErrorRate/0f1e00bbeec802e0"}}"#,
                "v1,SgibCLmA/J4Nbd1yQfdZjZkW4WBQ8yYyDM1MzbFDxGU=",
            ),
        ] {
            assert_eq!(signature("secret", &Secret::new(secret), id, seconds, body.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn a_key_that_is_no_key_is_refused_without_being_shown() {
        for bad in ["whsec_", "whsec_c2hvcnQ=", "whsec_*", "password", "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let error = signature("secret", &Secret::new(bad), "id", 0, b"").unwrap_err().to_string();
            assert!(error.starts_with("secret `secret`: ") && !error.contains(bad), "{error}");
        }
    }
}
