//! Instants and spans as the product uses them: milliseconds since 1970, UTC. Arithmetic saturates, so
//! that a sender's absurd year can never panic or wrap.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::json_text::Plain;

/// An instant, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999Z: the last instant that RFC 3339 can write.
const LAST_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    pub const ZERO: Timestamp = Timestamp(0);
    pub const MAX: Timestamp = Timestamp(LAST_MS);

    /// Values outside year 1 to 9999 are moved to the nearest end.
    pub const fn from_ms(ms: i64) -> Timestamp {
        const FIRST_MS: i64 = -62_135_596_800_000;
        if ms > LAST_MS {
            Timestamp(LAST_MS)
        } else if ms < FIRST_MS {
            Timestamp(FIRST_MS)
        } else {
            Timestamp(ms)
        }
    }

    pub const fn as_ms(self) -> i64 {
        self.0
    }

    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// RFC 3339 with 0 to 9 fractional digits and any offset; digits below a millisecond are cut.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        parse_utc_fast(text.as_bytes()).or_else(|| {
            text.parse::<jiff::Timestamp>().ok().map(|instant| Timestamp::from_ms(instant.as_millisecond()))
        })
    }

    /// Go's zero time (and anything before 1970) stands for "not set" on the wire.
    pub fn is_unset(self) -> bool {
        self.0 <= 0
    }

    pub fn plus(self, span: Duration) -> Timestamp {
        let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_ms(self.0.saturating_add(span_ms))
    }

    pub fn minus(self, span: Duration) -> Timestamp {
        let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_ms(self.0.saturating_sub(span_ms))
    }

    /// Zero when `earlier` is in fact later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Timestamp {
    /// RFC 3339, UTC, always three fractional digits, where the year has four.
    fn digits(self) -> Option<[u8; 24]> {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400_000));
        if !(0..=9999).contains(&year) {
            return None;
        }
        let ms = u32::try_from(self.0.rem_euclid(86_400_000)).unwrap_or(0);
        let (second, milli) = (ms / 1000, ms % 1000);
        // At most 99, as all of these are.
        let pair = |value: i64| u8::try_from(value).map_or([b'0'; 2], |value| [b'0' + value / 10, b'0' + value % 10]);
        let small = |value: u32| pair(i64::from(value));
        let mut text = *b"0000-00-00T00:00:00.000Z";
        [text[0], text[1]] = pair(year / 100);
        [text[2], text[3]] = pair(year % 100);
        [text[5], text[6]] = pair(month);
        [text[8], text[9]] = pair(day);
        [text[11], text[12]] = small(second / 3600);
        [text[14], text[15]] = small(second / 60 % 60);
        [text[17], text[18]] = small(second % 60);
        [text[20], text[21]] = small(milli / 10);
        text[22] = small(milli % 10)[1];
        Some(text)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC, always three fractional digits: `2026-11-23T00:40:12.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.digits() {
            return f.write_str(std::str::from_utf8(&text).expect("digits are ASCII"));
        }
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400_000));
        let ms = self.0.rem_euclid(86_400_000);
        let (hour, minute, second, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl Plain for Timestamp {
    fn push_to(&self, out: &mut String) {
        match self.digits() {
            Some(text) => out.push_str(std::str::from_utf8(&text).expect("digits are ASCII")),
            None => out.push_str(&self.to_string()),
        }
    }
}

/// The form every Prometheus sends, `YYYY-MM-DDThh:mm:ss[.fraction]Z`, without the general parser: two of
/// these stand in each alert and resends are most of the load.
fn parse_utc_fast(text: &[u8]) -> Option<Timestamp> {
    let head: &[u8; 19] = text.first_chunk()?;
    let two = |at: usize| -> Option<i64> {
        let [tens, ones] = [head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0')];
        (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
    };
    let shape = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if text.len() < 20 || text.last() != Some(&b'Z') || shape.iter().any(|(at, byte)| head[*at] != *byte) {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_here = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        _ => return None,
    };
    // A leap second goes to the general parser, which knows what to do with it.
    if day < 1 || day > days_here || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = &text[19..text.len() - 1];
    let milli = match fraction {
        [] => 0,
        [b'.', rest @ ..] if (1..=9).contains(&rest.len()) && rest.iter().all(u8::is_ascii_digit) => {
            (0..3).fold(0, |sum, at| sum * 10 + i64::from(rest.get(at).map_or(0, |byte| byte - b'0')))
        }
        _ => return None,
    };
    let days = days_from_civil(year, month, day);
    Some(Timestamp::from_ms(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + milli))
}

/// Days since 1970-01-01 of a proleptic Gregorian date, counted from 1 March so that leap days come last.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_parser_agrees_with_the_general_one() {
        for text in [
            "2026-11-23T02:20:50.568Z",
            "2026-11-23T02:18:40.62728864Z",
            "2000-02-29T23:59:59Z",
            "1969-12-31T23:59:59.999Z",
            "0001-01-01T00:00:00Z",
            "9998-12-31T23:59:59.9Z",
        ] {
            let general = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            assert_eq!(parse_utc_fast(text.as_bytes()).unwrap().as_ms(), general, "{text}");
        }
        assert_eq!(
            Timestamp::parse_rfc3339("2016-08-01T13:27:08.008+03:00").unwrap().to_string(),
            "2016-08-01T10:27:08.008Z"
        );
    }

    #[test]
    fn what_is_not_a_time_is_refused_and_never_panics() {
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "99999-01-01T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T02:20:50.Z",
            "é026-11-23T02:20:50Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn display_writes_what_parse_reads_on_every_day_of_eight_centuries() {
        for day in -4_000..290_000_i64 {
            let instant = Timestamp::from_ms(day * 86_400_000 + 86_399_999);
            assert_eq!(Timestamp::parse_rfc3339(&instant.to_string()), Some(instant));
            let mut pushed = String::new();
            instant.push_to(&mut pushed);
            assert_eq!(pushed, instant.to_string());
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.since(Timestamp::MAX), Duration::ZERO);
    }
}
