//! Reads a request's body: bounded in bytes before and after inflation, and in time.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies held at once, in bytes, over all requests.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    bytes: Arc<Semaphore>,
    timeout: Duration,
}

/// A body, and its share of the budget while it is held.
#[derive(Debug)]
pub struct Held {
    pub bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the body inflates to more than {bytes_max} bytes")]
    InflatesTooLarge { bytes_max: usize },
    #[error("the body did not arrive within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("content encoding `{encoding}` is not supported; send `gzip`, `deflate` or none")]
    UnknownEncoding { encoding: String },
    #[error("the body is not valid `{encoding}`: {reason}")]
    Corrupt { encoding: String, reason: String },
    #[error("the connection broke before the body was complete")]
    Broken,
    #[error("too many bodies are being read")]
    NoRoom,
}

impl BodyError {
    pub const fn status(&self) -> u16 {
        match self {
            BodyError::TooLarge { .. } | BodyError::InflatesTooLarge { .. } => 413,
            BodyError::TooSlow { .. } => 408,
            BodyError::UnknownEncoding { .. } => 415,
            BodyError::Corrupt { .. } | BodyError::Broken => 400,
            BodyError::NoRoom => 503,
        }
    }
}

impl BodyBudget {
    pub fn new(bytes_max: usize, timeout: Duration) -> BodyBudget {
        BodyBudget { bytes: Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS))), timeout }
    }

    pub async fn read(&self, headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Held, BodyError> {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > bytes_max) {
            return Err(BodyError::TooLarge { bytes_max });
        }
        // What is not announced is booked at a typical size first and corrected when it is known.
        let first = length.unwrap_or(64 * 1024).max(1);
        let mut permit = self.book(first)?;
        let read = tokio::time::timeout(self.timeout, collect(body, length.unwrap_or(0), bytes_max)).await;
        let bytes = read.map_err(|_| BodyError::TooSlow { seconds: self.timeout.as_secs() })??;
        let bytes = match encoding(headers) {
            None => bytes,
            Some(encoding) => inflate(&encoding, &bytes, bytes_max)?,
        };
        if bytes.len() > first {
            permit.merge(self.book(bytes.len() - first)?);
        }
        Ok(Held { bytes, _permit: permit })
    }

    fn book(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BodyError> {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes.clone().try_acquire_many_owned(count).map_err(|_| BodyError::NoRoom)
    }
}

async fn collect(mut body: Body, length: usize, bytes_max: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    let mut only: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        let so_far = whole.len() + only.as_ref().map_or(0, Bytes::len);
        if so_far + data.len() > bytes_max {
            return Err(BodyError::TooLarge { bytes_max });
        }
        // A small body comes in one piece and needs no copy.
        match only.take() {
            None if whole.is_empty() => only = Some(data),
            None => whole.extend_from_slice(&data),
            Some(first) => {
                whole.reserve(length.min(bytes_max).max(first.len() + data.len()));
                whole.extend_from_slice(&first);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(only.unwrap_or_else(|| whole.freeze()))
}

fn encoding(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_ENCODING)?.to_str().unwrap_or("?").trim().to_ascii_lowercase();
    (!value.is_empty() && value != "identity").then_some(value)
}

/// Inflates at most `bytes_max` bytes, whatever the input claims to hold.
fn inflate(encoding: &str, bytes: &[u8], bytes_max: usize) -> Result<Bytes, BodyError> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut whole = Vec::new();
    let read = match encoding {
        "gzip" | "x-gzip" => flate2::read::MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut whole),
        // RFC 9110 means the zlib form; some senders leave its header out.
        "deflate" if bytes.first().is_some_and(|first| first & 0x0f == 8) => {
            flate2::read::ZlibDecoder::new(bytes).take(limit).read_to_end(&mut whole)
        }
        "deflate" => flate2::read::DeflateDecoder::new(bytes).take(limit).read_to_end(&mut whole),
        other => return Err(BodyError::UnknownEncoding { encoding: other.chars().take(40).collect() }),
    };
    if whole.len() > bytes_max {
        return Err(BodyError::InflatesTooLarge { bytes_max });
    }
    read.map_err(|cause| BodyError::Corrupt { encoding: encoding.to_owned(), reason: cause.to_string() })?;
    Ok(Bytes::from(whole))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert!(bomb.len() < 20_000);
        assert!(matches!(inflate("gzip", &bomb, 1 << 20), Err(BodyError::InflatesTooLarge { .. })));
    }

    #[test]
    fn several_members_are_one_body_and_damage_is_named() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflate("gzip", &two, 100).unwrap(), "one two");
        assert!(matches!(inflate("gzip", &two[..two.len() - 3], 100), Err(BodyError::Corrupt { .. })));
        assert!(matches!(inflate("br", b"", 100), Err(BodyError::UnknownEncoding { .. })));
    }
}
