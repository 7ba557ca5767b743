//! Times as senders write them, made into instants. Never takes a sender's clock for ours: what is absurd is
//! replaced by the time of receipt.

use std::time::Duration;

use crate::model::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);
/// 2000-01-01T00:00:00Z.
const PLAUSIBLE_FROM: Timestamp = Timestamp::from_ms(946_684_800_000);

/// More than a day ahead of receipt, or before 2000: no clock is that wrong, so it is no time.
pub(super) fn clamp(instant: Timestamp, received_at: Timestamp) -> Timestamp {
    if instant < PLAUSIBLE_FROM || instant > received_at.plus(DAY) { received_at } else { instant }
}

/// A time in any form that senders of free JSON use, text or bare number; `None` also for "not set".
pub(super) fn parse_any(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    Timestamp::parse_rfc3339(text)
        .or_else(|| from_number(text))
        .or_else(|| from_loose_iso(text))
        .or_else(|| from_rfc2822(text))
        .filter(|instant| !instant.is_unset())
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size: the ranges do not
/// meet between 1973 and 5138.
fn from_number(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    let milli =
        fraction.bytes().chain(std::iter::repeat(b'0')).take(3).fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    let ms = match number.unsigned_abs() {
        0..100_000_000_000 => number.saturating_mul(1000).saturating_add(milli),
        100_000_000_000..100_000_000_000_000 => number,
        100_000_000_000_000..100_000_000_000_000_000 => number / 1000,
        100_000_000_000_000_000.. => number / 1_000_000,
    };
    Some(Timestamp::from_ms(ms))
}

/// ISO 8601 with what programs do to it: a blank for the `T`, blanks inside, an offset without colon or none
/// at all (then UTC), Go's ` +0000 UTC m=+0.1`.
fn from_loose_iso(text: &str) -> Option<Timestamp> {
    if !text.is_ascii() || text.len() > 80 {
        return None;
    }
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.split(" m=").next().unwrap_or_default();
    let rest: String = rest.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let rest = rest.trim_start_matches(['T', 't']).trim_end_matches("UTC").trim_end_matches(['Z', 'z']);
    let (time, offset) = rest.split_at(rest.find(['+', '-']).unwrap_or(rest.len()));
    let offset = match offset.replace(':', "") {
        none if none.is_empty() => "Z".to_owned(),
        digits if digits.len() == 5 => format!("{}:{}", &digits[..3], &digits[3..]),
        hours if hours.len() == 3 => format!("{hours}:00"),
        _ => return None,
    };
    let seconds = match time.matches(':').count() {
        0 if time.is_empty() => "00:00:00",
        1 => ":00",
        _ => "",
    };
    Timestamp::parse_rfc3339(&format!("{date}T{time}{seconds}{offset}"))
}

/// `Sat, 05 Jun 2016 15:10:09 GMT`; a wrong name of the day is overlooked.
fn from_rfc2822(text: &str) -> Option<Timestamp> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    parser.parse_timestamp(text).ok().map(|instant| Timestamp::from_ms(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_senders_use_is_read() {
        for (text, expected) in [
            ("2026-11-23T02:20:50.568Z", "2026-11-23T02:20:50.568Z"),
            ("2026-11-23T02:18:40.62728864Z", "2026-11-23T02:18:40.627Z"),
            ("2019-02-15T23:53:45.093+0000", "2019-02-15T23:53:45.093Z"),
            ("2019-02-15T23:53:45+02", "2019-02-15T21:53:45.000Z"),
            ("2023-08-04T12: 36: 15.490+0000", "2023-08-04T12:36:15.490Z"),
            ("2022-07-02 12:33:26.951000+00:00", "2022-07-02T12:33:26.951Z"),
            ("2006-01-02 15:04:05.999 +0000 UTC", "2006-01-02T15:04:05.999Z"),
            ("2006-01-02 15:04:05.999 -0700 UTC m=+0.000012", "2006-01-02T22:04:05.999Z"),
            ("2022-07-02 12:33", "2022-07-02T12:33:00.000Z"),
            ("2022-07-02", "2022-07-02T00:00:00.000Z"),
            ("Sat, 05 Jun 2016 15:10:09 GMT", "2016-06-05T15:10:09.000Z"),
            ("1700000000", "2023-11-14T22:13:20.000Z"),
            ("1700000000.25", "2023-11-14T22:13:20.250Z"),
            ("1369757346267", "2013-05-28T16:09:06.267Z"),
            ("1544712660300000", "2018-12-13T14:51:00.300Z"),
            ("1544712660300000000", "2018-12-13T14:51:00.300Z"),
        ] {
            assert_eq!(parse_any(text).map(|instant| instant.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none_and_never_panics() {
        for text in [
            "",
            "0",
            "-5",
            "soon",
            "2022-13-01",
            "0001-01-01T00:00:00Z",
            "9999999-01-01T00:00:00Z",
            "1e999",
            "1.x",
            "(14/02/19 23:53:00)",
            "2022-07-02T12:33:26+1",
            "é022-07-02T12:33:26",
            "2022-07-0é",
            "99999999999999999999",
        ] {
            assert_eq!(parse_any(text), None, "{text}");
        }
        assert_eq!(parse_any("9223372036854775807").map(Timestamp::as_ms), Some(9_223_372_036_854));
    }

    #[test]
    fn absurd_times_become_the_time_of_receipt() {
        let received_at = parse_any("2026-11-23").unwrap();
        for (text, is_kept) in [
            ("1999-12-31T23:59:59Z", false),
            ("2000-01-01T00:00:00Z", true),
            ("2026-11-24T00:00:00Z", true),
            ("2026-11-24T00:00:01Z", false),
            ("9998-01-01T00:00:00Z", false),
        ] {
            let instant = parse_any(text).unwrap();
            assert_eq!(clamp(instant, received_at) == instant, is_kept, "{text}");
        }
    }
}
