//! Reads a request's body: bounded in bytes before and after inflation, and in time.

#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HeaderMap};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::aside::aside;

/// What is read of a body that nobody will take, so that its sender comes to see why: most send all before they listen.
const DRAIN_BYTES_MAX: usize = 32 << 20;
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// What text may inflate to, for each of its bytes: beyond a few, bodies are inflated where they hold up nobody.
const INFLATION: usize = 32;
/// What is booked at once while a body grows.
const STEP_BYTES: usize = 64 * 1024;

/// Bodies held at once, in bytes, over all requests.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    bytes: Arc<Semaphore>,
    /// All of them: no body may need more room than there ever is, for to come again would be of no use.
    bytes_max: usize,
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
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        BodyBudget { bytes: Arc::new(Semaphore::new(bytes_max)), bytes_max, timeout }
    }

    /// A body that is refused for its size or for want of room has been let run out.
    pub async fn read(&self, headers: &HeaderMap, mut body: Body, bytes_max: usize) -> Result<Held, BodyError> {
        // A compressed body and what it inflates to are held side by side, and a byte more tells that it goes on.
        let room = if encoding(headers).is_some() { self.bytes_max.saturating_sub(1) / 2 } else { self.bytes_max };
        let bytes_max = bytes_max.min(room);
        let read = self.read_part(headers, &mut body, bytes_max).await;
        if matches!(read, Err(BodyError::TooLarge { .. } | BodyError::NoRoom)) {
            drain(headers, body).await;
        }
        read
    }

    async fn read_part(&self, headers: &HeaderMap, body: &mut Body, bytes_max: usize) -> Result<Held, BodyError> {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > bytes_max) {
            return Err(BodyError::TooLarge { bytes_max });
        }
        // What is not announced is booked while it comes.
        let mut booking = Booking::open(self.bytes.clone(), length.unwrap_or(STEP_BYTES).max(1))?;
        let read =
            tokio::time::timeout(self.timeout, collect(body, length.unwrap_or(0), bytes_max, &mut booking)).await;
        let bytes = read.map_err(|_| BodyError::TooSlow { seconds: self.timeout.as_secs() })??;
        let bytes = match encoding(headers) {
            None => bytes,
            Some(encoding) => {
                // Both forms are in memory until the inflated one is whole.
                let mut inflated = Booking::open(self.bytes.clone(), STEP_BYTES)?;
                let work = || inflate(&encoding, &bytes, bytes_max, &mut inflated);
                let bytes = aside(bytes.len().saturating_mul(INFLATION), work)?;
                booking = inflated;
                bytes
            }
        };
        Ok(Held { bytes, _permit: booking.permit })
    }
}

/// Reads on and forgets. A sender that asked first whether it may send has not begun, and is answered at once.
pub async fn drain(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DRAIN_BYTES_MAX {
                return;
            }
        }
    };
    // Who sends more or slower is cut off; the answer may then be lost on its way.
    let _ = tokio::time::timeout(DRAIN_PATIENCE, all).await;
}

/// What one body has taken of the budget so far.
struct Booking {
    budget: Arc<Semaphore>,
    permit: OwnedSemaphorePermit,
}

impl Booking {
    fn open(budget: Arc<Semaphore>, bytes: usize) -> Result<Booking, BodyError> {
        let permit = Booking::book(&budget, bytes)?;
        Ok(Booking { budget, permit })
    }

    /// Books a step ahead where there is room, and no less than what is needed.
    fn cover(&mut self, bytes: usize) -> Result<(), BodyError> {
        let missing = bytes.saturating_sub(self.permit.num_permits());
        if missing > 0 {
            let more = Booking::book(&self.budget, missing.max(STEP_BYTES))
                .or_else(|_| Booking::book(&self.budget, missing))?;
            self.permit.merge(more);
        }
        Ok(())
    }

    fn book(budget: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, BodyError> {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        budget.clone().try_acquire_many_owned(count).map_err(|_| BodyError::NoRoom)
    }
}

async fn collect(body: &mut Body, length: usize, bytes_max: usize, booking: &mut Booking) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    let mut only: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        let so_far = whole.len() + only.as_ref().map_or(0, Bytes::len);
        if so_far + data.len() > bytes_max {
            return Err(BodyError::TooLarge { bytes_max });
        }
        booking.cover(so_far + data.len())?;
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

/// Inflates at most `bytes_max` bytes, whatever the input claims to hold, and books its memory before it is taken.
fn inflate(encoding: &str, bytes: &[u8], bytes_max: usize, booking: &mut Booking) -> Result<Bytes, BodyError> {
    let mut inflated: Box<dyn Read + '_> = match encoding {
        "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        // RFC 9110 means the zlib form; some senders leave its header out.
        "deflate" if bytes.first().is_some_and(|first| first & 0x0f == 8) => {
            Box::new(flate2::read::ZlibDecoder::new(bytes))
        }
        "deflate" => Box::new(flate2::read::DeflateDecoder::new(bytes)),
        other => return Err(BodyError::UnknownEncoding { encoding: other.chars().take(40).collect() }),
    };
    let mut whole: Vec<u8> = Vec::new();
    loop {
        if whole.len() == whole.capacity() {
            let larger = (whole.capacity() * 2).clamp(STEP_BYTES, (bytes_max + 1).max(STEP_BYTES));
            booking.cover(larger)?;
            whole.reserve_exact(larger - whole.len());
        }
        let room = whole.capacity() - whole.len();
        let count = inflated
            .as_mut()
            .take(room as u64)
            .read_to_end(&mut whole)
            .map_err(|cause| BodyError::Corrupt { encoding: encoding.to_owned(), reason: cause.to_string() })?;
        if whole.len() > bytes_max {
            return Err(BodyError::InflatesTooLarge { bytes_max });
        }
        if count < room {
            return Ok(Bytes::from(whole));
        }
    }
}
