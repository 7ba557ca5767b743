//! Hours in which a route is active or mute, in the time of a place. Knows no now: the instant is an argument.

use std::ops::RangeInclusive;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use crate::model::Timestamp;

use super::diagnostic::Faults;
use super::suggest;
use super::walk::{Fields, Word};
use super::yaml::Node;

/// When notices may leave: within an `active` interval where there is one, and within no `mute` one.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    active: Vec<Interval>,
    mute: Vec<Interval>,
}

/// All that is given must hold; what is not given always does.
#[derive(Debug)]
struct Interval {
    weekdays: Vec<RangeInclusive<i32>>,
    /// Minutes of the day, the second one not included.
    times: Vec<(u16, u16)>,
    /// Days of the month; negative ones count from its end.
    days: Vec<RangeInclusive<i32>>,
    months: Vec<RangeInclusive<i32>>,
    years: Vec<RangeInclusive<i32>>,
    zone: TimeZone,
}

const MINUTES_PER_DAY: u16 = 24 * 60;
/// How far ahead an opening is looked for: a year and a day, so that every month is seen.
const DAYS_AHEAD_MAX: i32 = 367;
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Schedule {
    pub(super) fn read(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Schedule {
        let mut read = |key: &str| -> Vec<Interval> {
            fields.list(key, faults).iter().filter_map(|node| Interval::read(node, faults)).collect()
        };
        Schedule { active: read("active"), mute: read("mute") }
    }

    pub(super) fn is_always_open(&self) -> bool {
        self.active.is_empty() && self.mute.is_empty()
    }

    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        let holds = |interval: &Interval| interval.holds(now);
        (self.active.is_empty() || self.active.iter().any(holds)) && !self.mute.iter().any(holds)
    }

    /// When it opens next; `None` while it is open. Where no opening is in sight, the end of the sight.
    pub(super) fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_open(now) {
            return None;
        }
        let intervals = || self.active.iter().chain(&self.mute);
        let mut edges: Vec<Timestamp> = Vec::new();
        // It can only open where an interval begins or ends: at a time of its own, or at midnight in its zone.
        for ahead in 0..DAYS_AHEAD_MAX {
            edges.clear();
            intervals().for_each(|interval| interval.edges(now, ahead, &mut edges));
            edges.sort_unstable();
            if let Some(at) = edges.iter().find(|at| **at > now && self.is_open(**at)) {
                return Some(*at);
            }
        }
        Some(edges.last().copied().unwrap_or(now).max(now))
    }
}

impl Interval {
    fn read(node: &Node, faults: &mut Faults<'_>) -> Option<Interval> {
        const KEYS: [&str; 6] = ["weekdays", "times", "days", "months", "years", "zone"];
        let fields = Fields::read(node, "an interval", &KEYS, faults)?;
        let before = faults.error_count();
        let weekdays = ranges(&fields, "weekdays", 1..=7, Some(&WEEKDAYS), faults);
        let days = ranges(&fields, "days", -31..=31, None, faults);
        let months = ranges(&fields, "months", 1..=12, Some(&MONTHS), faults);
        let years = ranges(&fields, "years", 1970..=9998, None, faults);
        let mut times = Vec::new();
        for word in fields.words("times", faults) {
            match read_times(word.text) {
                Some(range) => times.push(range),
                None => {
                    let hint = "write `09:00-17:30`; for a night, `22:00-24:00` and `00:00-06:00`".to_owned();
                    faults.error(word.at, format!("`{}` is not a range of times", word.text), Some(hint));
                }
            }
        }
        let zone = read_zone(fields.word("zone", faults), faults);
        if [&weekdays, &days, &months, &years].iter().all(|ranges| ranges.is_empty())
            && times.is_empty()
            && faults.error_count() == before
        {
            faults.error(fields.at, "an interval that is always", Some("give it `weekdays` or `times`".to_owned()));
        }
        (faults.error_count() == before).then_some(Interval { weekdays, times, days, months, years, zone: zone? })
    }

    fn holds(&self, now: Timestamp) -> bool {
        let Some(local) = self.local(now) else { return false };
        let date = local.date();
        let minute = u16::try_from(local.hour()).unwrap_or(0) * 60 + u16::try_from(local.minute()).unwrap_or(0);
        let fits = |ranges: &[RangeInclusive<i32>], value: i32| {
            ranges.is_empty() || ranges.iter().any(|range| range.contains(&value))
        };
        fits(&self.weekdays, i32::from(date.weekday().to_monday_one_offset()))
            && fits(&self.months, i32::from(date.month()))
            && fits(&self.years, i32::from(date.year()))
            && self.fits_day(date)
            && (self.times.is_empty() || self.times.iter().any(|(from, to)| (*from..*to).contains(&minute)))
    }

    /// `-3..=-1` are the last three days, whatever the month's length.
    fn fits_day(&self, date: Date) -> bool {
        let length = i32::from(date.days_in_month());
        let from_start = |day: i32| if day < 0 { length + 1 + day } else { day };
        self.days.is_empty()
            || self
                .days
                .iter()
                .any(|range| (from_start(*range.start())..=from_start(*range.end())).contains(&i32::from(date.day())))
    }

    fn local(&self, now: Timestamp) -> Option<jiff::Zoned> {
        Some(jiff::Timestamp::from_millisecond(now.as_ms()).ok()?.to_zoned(self.zone.clone()))
    }

    fn edges(&self, now: Timestamp, ahead: i32, edges: &mut Vec<Timestamp>) {
        let Some(local) = self.local(now) else { return };
        let Ok(date) = local.date().checked_add(jiff::Span::new().days(ahead)) else { return };
        let minutes = self.times.iter().flat_map(|(from, to)| [*from, *to]).chain([0, MINUTES_PER_DAY]);
        for minute in minutes {
            let (date, minute) = match minute {
                MINUTES_PER_DAY => (date.tomorrow().unwrap_or(date), 0),
                minute => (date, minute),
            };
            // An hour that is left out in spring begins when it would have been over.
            let at = time_of(minute).and_then(|time| date.to_datetime(time).to_zoned(self.zone.clone()).ok());
            edges.extend(at.map(|at| Timestamp::from_ms(at.timestamp().as_millisecond())));
        }
    }
}

fn time_of(minute: u16) -> Option<Time> {
    Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok()
}

fn read_zone(word: Option<Word<'_>>, faults: &mut Faults<'_>) -> Option<TimeZone> {
    let Some(word) = word else { return Some(TimeZone::UTC) };
    let zone = TimeZone::get(word.text).ok();
    if zone.is_none() {
        let hint = "a name of the IANA database, such as `Europe/Berlin`; without one it is UTC".to_owned();
        faults.error(word.at, format!("unknown zone `{}`", word.text), Some(hint));
    }
    zone
}

/// `22:00-24:00`, in minutes.
fn read_times(text: &str) -> Option<(u16, u16)> {
    let minute = |text: &str| -> Option<u16> {
        let (hour, minute) = text.trim().split_once(':')?;
        let is_short = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let (hour, minute): (u16, u16) = (
            Some(hour).filter(|part| is_short(part))?.parse().ok()?,
            Some(minute).filter(|part| is_short(part))?.parse().ok()?,
        );
        (minute < 60 && hour * 60 + minute <= MINUTES_PER_DAY).then_some(hour * 60 + minute)
    };
    let (from, to) = text.split_once('-')?;
    Some((minute(from)?, minute(to)?)).filter(|(from, to)| from < to)
}

fn ranges(
    fields: &Fields<'_>,
    key: &str,
    bounds: RangeInclusive<i32>,
    names: Option<&'static [&'static str]>,
    faults: &mut Faults<'_>,
) -> Vec<RangeInclusive<i32>> {
    let mut found = Vec::new();
    for word in fields.words(key, faults) {
        match read_range(word.text, &bounds, names) {
            Some(range) => found.push(range),
            None => {
                let names = names.unwrap_or_default();
                let hint = suggest::nearest(word.text, names.iter().copied())
                    .map(|near| format!("did you mean `{near}`?"))
                    .or_else(|| Some(format!("one, or a range: `{}`", example(key))));
                faults.error(word.at, format!("`{}` does not fit `{key}`", word.text), hint);
            }
        }
    }
    found
}

fn example(key: &str) -> &'static str {
    match key {
        "weekdays" => "mon-fri",
        "days" => "1-7` or `-3--1",
        "months" => "nov-dec",
        _ => "2026-2027",
    }
}

/// One value, or two with a dash between them; a number may be negative.
fn read_range(
    text: &str,
    bounds: &RangeInclusive<i32>,
    names: Option<&'static [&'static str]>,
) -> Option<RangeInclusive<i32>> {
    let one = |text: &str| -> Option<i32> {
        let text = text.trim().to_lowercase();
        let number = match names {
            // Whole or as three letters.
            Some(names) => {
                let at = names.iter().position(|name| *name == text || text.len() == 3 && name.starts_with(&text));
                at.and_then(|at| i32::try_from(at + 1).ok()).or_else(|| text.parse().ok())
            }
            None => text.parse().ok(),
        };
        number.filter(|number| bounds.contains(number) && *number != 0)
    };
    if let Some(value) = one(text) {
        return Some(value..=value);
    }
    // The dash behind the first character, which may be a sign.
    let dash = text.char_indices().skip(1).find(|(_, character)| *character == '-')?.0;
    let (from, to) = (one(&text[..dash])?, one(&text[dash + 1..])?);
    let is_ordered = from <= to || from > 0 && to < 0;
    is_ordered.then_some(from..=to)
}

/// For silences: an instant, with its fault.
pub(super) fn read_instant(word: Word<'_>, faults: &mut Faults<'_>) -> Option<Timestamp> {
    let instant = Timestamp::parse_rfc3339(word.text);
    if instant.is_none() {
        let hint = "write date, time and offset: `2026-11-24T18:00:00Z` or `2026-11-24T18:00:00+01:00`".to_owned();
        faults.error(word.at, format!("`{}` is not an instant", word.text), Some(hint));
    }
    instant
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::SourceFile;
    use crate::rules::yaml;

    fn schedule(text: &str) -> Result<Schedule, String> {
        let file = SourceFile { name: "routes.yaml".into(), text: text.to_owned() };
        let mut faults = Faults::new(&file);
        let node = yaml::read(text, &mut faults).unwrap();
        let fields = Fields::unchecked(&node, "a route", &mut faults).unwrap();
        let schedule = Schedule::read(&fields, &mut faults);
        let found: String = faults.into_found().iter().map(ToString::to_string).collect();
        if found.is_empty() { Ok(schedule) } else { Err(found) }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn office_hours_follow_the_clock_of_their_place_through_summer_and_winter() {
        let office = "active: [{ weekdays: mon-fri, times: '09:00-17:30', zone: Europe/Berlin }]";
        let schedule = schedule(office).unwrap();
        for (now, opens) in [
            // Winter: UTC+1. A Monday.
            ("2026-11-23T07:59:00Z", Some("2026-11-23T08:00:00Z")),
            ("2026-11-23T08:00:00Z", None),
            ("2026-11-23T16:29:59Z", None),
            ("2026-11-23T16:30:00Z", Some("2026-11-24T08:00:00Z")),
            // Friday evening to Monday.
            ("2026-11-27T20:00:00Z", Some("2026-11-30T08:00:00Z")),
            // Over the change of clocks on 29 March 2026: UTC+2 from then on.
            ("2026-03-27T20:00:00Z", Some("2026-03-30T07:00:00Z")),
        ] {
            assert_eq!(schedule.opens_at(at(now)), opens.map(at), "{now}");
        }
    }

    #[test]
    fn mute_goes_before_active_and_days_count_from_both_ends() {
        let text =
            "active: [{ days: ['1-2', '-2--1'] }]\nmute: [{ times: ['00:00-06:00', '22:00-24:00'] }, { months: dec }]";
        let schedule = schedule(text).unwrap();
        for (now, opens) in [
            ("2026-11-01T07:00:00Z", None),
            ("2026-11-01T22:30:00Z", Some("2026-11-02T06:00:00Z")),
            ("2026-11-03T12:00:00Z", Some("2026-11-29T06:00:00Z")),
            ("2026-11-30T23:00:00Z", Some("2027-01-01T06:00:00Z")),
            ("2027-02-27T12:00:00Z", None),
        ] {
            assert_eq!(schedule.opens_at(at(now)), opens.map(at), "{now}");
        }
    }

    #[test]
    fn a_schedule_that_never_opens_says_so_within_sight_and_does_not_turn_for_ever() {
        let schedule = schedule("active: [{ years: 2020 }]").unwrap();
        let until = schedule.opens_at(at("2026-11-23T00:00:00Z")).unwrap();
        assert!(until > at("2027-11-01T00:00:00Z"), "{until}");
    }

    #[test]
    fn a_wrong_word_is_said_with_what_would_fit() {
        for (text, said) in [
            ("active: [{ weekdays: mon-firday }]", "`mon-firday` does not fit `weekdays`"),
            ("active: [{ weekdays: mondya }]", "did you mean `monday`?"),
            ("active: [{ times: '9-17' }]", "`9-17` is not a range of times"),
            ("active: [{ times: '22:00-06:00' }]", "for a night"),
            ("active: [{ times: '09:00-17:00', zone: Europe/Berln }]", "unknown zone `Europe/Berln`"),
            ("active: [{ days: 0 }]", "`0` does not fit `days`"),
            ("mute: [{ zone: UTC }]", "an interval that is always"),
            ("mute: [{ weekday: mon }]", "did you mean `weekdays`?"),
        ] {
            let seen = schedule(text).unwrap_err();
            assert!(seen.contains(said), "{text}\n{seen}");
        }
    }
}
