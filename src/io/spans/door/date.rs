//! The `date` of answers over HTTP/2; hyper sees to those over HTTP/1. Never made more often than once a second by a
//! thread.

use std::cell::RefCell;
use std::time::Duration;

use hyper::header::HeaderValue;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::time::Instant;

use crate::io::clock::Clock;

const FRESH: Duration = Duration::from_secs(1);

thread_local! {
    static HELD: RefCell<Option<(Instant, HeaderValue)>> = const { RefCell::new(None) };
}

pub(super) fn now() -> Option<HeaderValue> {
    HELD.with_borrow_mut(|held| {
        if held.as_ref().is_none_or(|(made_at, _)| made_at.elapsed() >= FRESH) {
            *held = make().map(|date| (Instant::now(), date));
        }
        held.as_ref().map(|(_, date)| date.clone())
    })
}

/// A time that cannot be written is one that nobody believes.
fn make() -> Option<HeaderValue> {
    let time = jiff::Timestamp::from_millisecond(Clock::default().now().as_ms()).ok()?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()?;
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_time_as_http_writes_it() {
        let date = now().unwrap();
        let text = date.to_str().unwrap();
        assert!(text.len() == "Sun, 06 Nov 1994 08:49:37 GMT".len() && text.ends_with(" GMT"), "{text}");
        let read = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).unwrap();
        assert!((jiff::Timestamp::now().as_second() - read.as_second()).abs() <= 2);
    }
}
