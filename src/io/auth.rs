//! Whether a request may speak for a source. Compares in constant time and says nothing about what was wrong.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};

use super::secrets::LiveSecret;
use crate::model::Timestamp;

/// Refusals in a minute that a source keeps of those who did not get in: enough to see who tries, and so few that
/// nobody without a token fills the store.
const KEPT_PER_MINUTE: u32 = 10;
const MINUTE_MS: i64 = 60_000;

/// How a source's senders prove themselves.
#[derive(Debug)]
pub enum Guard {
    /// Said so in the settings, or only reachable from this machine.
    Open,
    /// The token as bearer, as Basic password, or in the body where the kind has its own place for it.
    Token(LiveSecret),
}

impl Guard {
    pub fn admits_headers(&self, headers: &HeaderMap) -> bool {
        match self {
            Guard::Open => true,
            Guard::Token(token) => {
                let offered = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(offered_token);
                offered.is_some_and(|offered| token.get().matches(&offered))
            }
        }
    }

    pub fn admits_body(&self, offered: Option<&str>) -> bool {
        match self {
            Guard::Open => true,
            Guard::Token(token) => offered.is_some_and(|offered| token.get().matches(offered)),
        }
    }
}

/// Those who came without a token. All are counted, few are kept.
#[derive(Debug, Default)]
pub struct Strangers {
    /// A minute, and how many were kept in it.
    kept: Mutex<(i64, u32)>,
}

impl Strangers {
    /// Whether one more is kept.
    pub fn admit(&self, now: Timestamp) -> bool {
        let minute = now.as_ms().div_euclid(MINUTE_MS);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != minute {
            *kept = (minute, 0);
        }
        kept.1 = kept.1.saturating_add(1);
        kept.1 <= KEPT_PER_MINUTE
    }
}

/// The token of `Bearer TOKEN`, or the password of `Basic`; the scheme's case does not matter (RFC 9110 §11.1).
fn offered_token(value: &str) -> Option<String> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(rest.to_owned())
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        pair.split_once(':').map(|(_, password)| password.to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_strangers_a_minute_are_kept_whatever_way_the_clock_goes() {
        let strangers = Strangers::default();
        let kept_at = |ms: i64| (0..30).filter(|_| strangers.admit(Timestamp::from_ms(ms))).count();
        assert_eq!((kept_at(0), kept_at(59_999), kept_at(60_000), kept_at(1)), (10, 0, 10, 10));
    }

    #[test]
    fn the_token_is_the_bearer_or_the_basic_password() {
        assert_eq!(offered_token("Bearer s3cret").as_deref(), Some("s3cret"));
        assert_eq!(offered_token("bearer  s3cret ").as_deref(), Some("s3cret"));
        assert_eq!(offered_token("Basic dXNlcjpwYTpzcw==").as_deref(), Some("pa:ss"));
        assert_eq!(offered_token("Digest x"), None);
        assert_eq!(offered_token("Basic %%%"), None);
        assert_eq!(offered_token("s3cret"), None);
    }
}
