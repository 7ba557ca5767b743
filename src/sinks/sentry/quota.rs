//! `X-Sentry-Rate-Limits`: how long Sentry wants no more events of our category. Never mistakes a limit on
//! somebody else's category for ours.

use std::time::Duration;

/// Those that an event made of an alert may be counted under.
const OURS: [&str; 2] = ["error", "default"];
/// Nobody may silence us for longer.
const PAUSE_SECONDS_MAX: f64 = 6.0 * 3600.0;

/// The longest pause that the header asks of us. `seconds:categories:scope:reason:namespaces…`, separated by
/// commas; categories by semicolons, none at all means every one; seconds may have a fraction; further fields
/// are of no concern.
pub(super) fn pause(header: &str) -> Option<Duration> {
    header.split(',').filter_map(one).max()
}

fn one(limit: &str) -> Option<Duration> {
    let mut fields = limit.split(':').map(str::trim);
    let seconds: f64 = fields.next()?.parse().ok()?;
    let mut categories =
        fields.next().unwrap_or_default().split(';').map(str::trim).filter(|name| !name.is_empty()).peekable();
    let concerns_us = categories.peek().is_none() || categories.any(|name| OURS.contains(&name));
    (concerns_us && seconds.is_finite() && seconds > 0.0)
        .then(|| Duration::from_secs_f64(seconds.min(PAUSE_SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limits_on_our_category_count_and_the_longest_wins() {
        for (header, seconds) in [
            ("60:error:key", Some(60.0)),
            ("60:transaction:key, 2700:default;error;security:organization:quota_exceeded", Some(2700.0)),
            ("60:error:key, 30::organization", Some(60.0)),
            ("2.5:error:key", Some(2.5)),
            (" 60 : error ; span : key ", Some(60.0)),
            ("60::organization", Some(60.0)),
            ("60", Some(60.0)),
            ("60:transaction:key", None),
            ("60:tomatoes;potatoes:key", None),
            ("60:tomatoes;error:key:why:ns:more:fields", Some(60.0)),
            ("0:error:key", None),
            ("-5:error:key", None),
            ("NaN:error:key, inf:error:key", None),
            ("1e300:error:key", Some(6.0 * 3600.0)),
            ("soon:error:key", None),
            ("", None),
        ] {
            assert_eq!(pause(header), seconds.map(Duration::from_secs_f64), "{header}");
        }
    }
}
