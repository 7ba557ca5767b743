//! Whether a request may speak for a source. Compares in constant time and says nothing about what was wrong.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};

use super::secrets::LiveSecret;

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
    use super::offered_token;

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
