//! What a span did and how it ended, in the words that Sentry knows; any other word would be read as `unknown`.

use super::span::Span;

const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const PRODUCER: u64 = 4;
const CONSUMER: u64 = 5;
pub(super) const STATUS_ERROR: u64 = 2;

/// A span that stands for a whole request or message.
pub(super) fn is_entry(kind: u64) -> bool {
    kind == SERVER || kind == CONSUMER
}

pub(super) fn op(span: &Span<'_>) -> &'static str {
    let has = |names: &[&str]| span.attributes.first(names).is_some();
    let is_http = has(&["http.request.method", "http.method", "http.route"]);
    if is_http && span.kind == SERVER {
        "http.server"
    } else if is_http && span.kind == CLIENT {
        "http.client"
    } else if has(&["db.system.name", "db.system"]) {
        "db"
    } else if has(&["rpc.system.name", "rpc.system"]) {
        "rpc"
    } else if has(&["messaging.system"]) && span.kind == PRODUCER {
        "queue.publish"
    } else if has(&["messaging.system"]) && span.kind == CONSUMER {
        "queue.process"
    } else {
        match span.kind {
            SERVER => "server",
            CLIENT => "client",
            PRODUCER => "producer",
            CONSUMER => "consumer",
            _ => "internal",
        }
    }
}

pub(super) fn status(span: &Span<'_>) -> &'static str {
    let http = span.attributes.number(&["http.response.status_code", "http.status_code"]);
    let of_code = http.and_then(http_status).or_else(|| {
        let code = span.attributes.first(&["rpc.grpc.status_code", "rpc.response.status_code"])?;
        code.parse().map_or_else(|_| grpc_status_by_name(code), grpc_status)
    });
    of_code.unwrap_or(if span.status == STATUS_ERROR { "internal_error" } else { "ok" })
}

fn http_status(code: u32) -> Option<&'static str> {
    Some(match code {
        401 => "unauthenticated",
        403 => "permission_denied",
        404 => "not_found",
        409 => "already_exists",
        413 => "failed_precondition",
        429 => "resource_exhausted",
        499 => "cancelled",
        400..=498 => "invalid_argument",
        501 => "unimplemented",
        503 => "unavailable",
        504 => "deadline_exceeded",
        500..=599 => "internal_error",
        _ => return None,
    })
}

/// From 1, by number; their names are the same in capitals but for two.
const GRPC_WORDS: [&str; 16] = [
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal_error",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

fn grpc_status(code: u32) -> Option<&'static str> {
    usize::try_from(code.checked_sub(1)?).ok().and_then(|at| GRPC_WORDS.get(at).copied())
}

/// `UNAVAILABLE`, as newer conventions have it.
fn grpc_status_by_name(name: &str) -> Option<&'static str> {
    if name.eq_ignore_ascii_case("INTERNAL") {
        return Some("internal_error");
    }
    GRPC_WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(name))
}
