//! What an HTTP answer means where a sink's own format says nothing else (`sinks.md` §0.4), and how long it
//! asks us to wait. Never decides what is delivered: each sink names the answers that say so.

use std::time::Duration;

use super::{EncodeError, HttpAnswer, Judgement};
use crate::model::{Notice, Timestamp};

/// Nobody may silence us for longer: a broken clock at the other end must not cost a day of pages.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(6 * 3600);

/// How much of an answer goes into a reason.
const EXCERPT_CHARS_MAX: usize = 300;

/// The class of an answer that the sink's own format does not name.
pub(super) fn default_judgement(answer: &HttpAnswer<'_>) -> Judgement {
    let wait = retry_after(answer);
    match answer.status {
        429 => Judgement::Throttled { retry_after: wait },
        503 if wait.is_some() => Judgement::Throttled { retry_after: wait },
        // A captive proxy or a wrong address answers 200 too: only the documented success is one.
        100..=299 => Judgement::Transient { reason: reason(answer, "not the success this sink documents") },
        // Following it would hand body and headers, and so the secret, to somebody else.
        300..=399 => Judgement::Blocked { reason: reason(answer, "redirects are not followed") },
        401 | 403 | 404 | 410 => Judgement::Blocked { reason: reason(answer, "") },
        408 => Judgement::Transient { reason: reason(answer, "") },
        400..=499 => Judgement::Rejected { reason: reason(answer, "") },
        _ => Judgement::Transient { reason: reason(answer, "") },
    }
}

/// The status, a remark, and the beginning of the body on one line.
pub(super) fn reason(answer: &HttpAnswer<'_>, remark: &str) -> String {
    let mut text = answer.status.to_string();
    if !remark.is_empty() {
        text.push_str(", ");
        text.push_str(remark);
    }
    let excerpt = excerpt(answer.body);
    if !excerpt.is_empty() {
        text.push_str(": ");
        text.push_str(&excerpt);
    }
    text
}

/// Some bytes of a stranger, made fit for a line that people read.
pub(super) fn excerpt(body: &[u8]) -> String {
    // Four bytes are the longest character, so no more of the body can be needed.
    let body = &body[..body.len().min(EXCERPT_CHARS_MAX * 4)];
    String::from_utf8_lossy(body)
        .chars()
        .take(EXCERPT_CHARS_MAX)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The `Retry-After` of an answer, as a time from its receipt.
pub(super) fn retry_after(answer: &HttpAnswer<'_>) -> Option<Duration> {
    wait_of(answer.retry_after?, answer.received_at)
}

/// Whole seconds, or an HTTP date in any of the three forms of RFC 9110 §5.6.7. No seconds, or a date in the past, ask for
/// no wait, and who asks for none has not said how long: the answer is a failure all the same.
pub(super) fn wait_of(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long wait, which is capped like any other.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        http_date(text)?.since(now)
    };
    (!wait.is_zero()).then_some(wait.min(WAIT_MAX))
}

fn http_date(text: &str) -> Option<Timestamp> {
    use jiff::civil::DateTime;
    use jiff::tz::TimeZone;

    let instant = match jiff::fmt::rfc2822::parse(text) {
        Ok(zoned) => zoned.timestamp(),
        Err(_) => ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
            .iter()
            .find_map(|format| DateTime::strptime(format, text).ok())
            .and_then(|date| date.to_zoned(TimeZone::UTC).ok())?
            .timestamp(),
    };
    Some(Timestamp::from_ms(instant.as_millisecond()))
}

/// The one notice of a sink whose requests hold one.
pub(super) fn only<'a>(notices: &[&'a Notice]) -> Result<&'a Notice, EncodeError> {
    match notices {
        [notice] => Ok(notice),
        _ => Err(EncodeError::Unencodable {
            reason: format!("a request of this sink holds one notice, not {}", notices.len()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::answer;
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_all_three_forms_of_an_http_date() {
        let now = Timestamp::parse_rfc3339("1994-11-06T08:49:07Z").unwrap();
        for (text, expected) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", None),
            ("000", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", None),
            ("Sun, 06 Nov 1994 08:49:07 GMT", None),
            ("99999999999999999999999", Some(6 * 3600)),
            ("Tue, 31 Dec 2999 23:59:59 GMT", Some(6 * 3600)),
            ("soon", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(wait_of(text, now), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn each_status_has_the_class_of_the_contract() {
        let class = |status: u16| match default_judgement(&answer(status, "why")) {
            Judgement::Delivered | Judgement::DeliveredThenPause(_) => "delivered",
            Judgement::Throttled { .. } => "throttled",
            Judgement::Transient { .. } | Judgement::Doubtful { .. } => "transient",
            Judgement::Blocked { .. } => "blocked",
            Judgement::Rejected { .. } => "rejected",
        };
        for (statuses, expected) in [
            (&[200, 204, 408, 500, 502, 503, 504, 599][..], "transient"),
            (&[429], "throttled"),
            (&[301, 302, 307, 401, 403, 404, 410], "blocked"),
            (&[400, 413, 415, 422, 418], "rejected"),
        ] {
            for status in statuses {
                assert_eq!(class(*status), expected, "{status}");
            }
        }
        let mut asked = answer(503, "");
        asked.retry_after = Some("9");
        assert_eq!(default_judgement(&asked), Judgement::Throttled { retry_after: Some(Duration::from_secs(9)) });
    }

    #[test]
    fn an_answer_that_asks_for_no_wait_leaves_the_pace_to_us() {
        for none in ["0", "Mon, 01 Jan 2001 00:00:00 GMT", "-1", "soon"] {
            let judged = |status| default_judgement(&HttpAnswer { retry_after: Some(none), ..answer(status, "") });
            assert_eq!(judged(429), Judgement::Throttled { retry_after: None }, "{none}");
            assert!(matches!(judged(503), Judgement::Transient { .. }), "{none}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let body = format!("no\r\n\u{1b}[31mway{}", "x".repeat(5000));
        let text = reason(&answer(400, &body), "");
        assert!(text.starts_with("400: no   [31mwayxxx"), "{text}");
        assert!(text.chars().count() <= EXCERPT_CHARS_MAX + 5);
    }
}
