//! What lets pages of other origins send telemetry from a browser (Fetch standard, "CORS protocol"). Never says anything to
//! an origin that the settings do not name, and never stands in for the token of the door.

use bytes::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::reply::{Reply, Response};

/// As long as Chrome remembers an answer, whatever it is told.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// Whose pages may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// None but those of programs, which ask nobody.
    #[default]
    Unnamed,
    Any,
    /// As browsers write them: `https://app.example.com`.
    Listed(Vec<String>),
}

impl Origins {
    /// Of the settings; `*` stands for all.
    pub fn of(written: Vec<String>) -> Origins {
        if written.iter().any(|origin| origin == "*") {
            Origins::Any
        } else if written.is_empty() {
            Origins::Unnamed
        } else {
            Origins::Listed(written)
        }
    }

    /// The origin of a request, if its page may send. It is named in answers, and not `*`: browsers want that where they
    /// send cookies, as `sendBeacon` always does.
    pub(super) fn admitted(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = match self {
            Origins::Unnamed => return None,
            Origins::Any => headers.get(ORIGIN)?,
            Origins::Listed(listed) => {
                headers.get(ORIGIN).filter(|origin| listed.iter().any(|known| known.as_bytes() == origin.as_bytes()))?
            }
        };
        Some(origin.clone())
    }
}

/// Whether a browser asks before it sends. Such a question has no token.
pub(super) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// That everything may be sent, with whatever headers the page has.
pub(super) fn preflight(parts: &Parts, origin: HeaderValue) -> Response {
    let mut response = Response::new(Reply::Bytes(Some(Bytes::new())));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    if let Some(asked) = parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
    admit(headers, origin);
    headers.insert(VARY, HeaderValue::from_static("origin, access-control-request-headers"));
    response
}

/// Lets the page read an answer.
pub(super) fn admit(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    headers.insert(VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_that_are_named_are_admitted() {
        let sent = |origin: &'static str| HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
        let list = |origins: &[&str]| Origins::of(origins.iter().map(|origin| (*origin).to_owned()).collect());
        let app = "https://app.example.com";
        for (origins, admitted) in [
            (list(&[]), false),
            (list(&[app]), true),
            (list(&["https://other.example.com", app]), true),
            (list(&["https://app.example.co"]), false),
            (list(&["https://app.example.com:8443"]), false),
            (list(&["*"]), true),
        ] {
            let found = origins.admitted(&sent(app));
            assert_eq!(found, admitted.then(|| HeaderValue::from_static(app)), "{origins:?}");
            assert_eq!(origins.admitted(&HeaderMap::new()), None, "no browser");
        }
    }
}
