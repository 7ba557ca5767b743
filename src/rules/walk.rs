//! Reads maps of known keys out of a YAML tree and reports every key and every value that does not fit. Never
//! stops at the first fault.

use std::time::Duration;

use super::diagnostic::{At, Faults};
use super::suggest;
use super::yaml::{Entry, Kind, Node};

/// A text and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'n> {
    pub(super) text: &'n str,
    pub(super) at: At,
}

/// The entries of a map whose keys are all known.
pub(super) struct Fields<'n> {
    pub(super) at: At,
    entries: &'n [Entry],
    /// A key that is missing is then probably the one that was misspelt: one message is enough.
    has_unknown: bool,
}

impl<'n> Fields<'n> {
    pub(super) fn read(node: &'n Node, what: &str, known: &[&str], faults: &mut Faults<'_>) -> Option<Fields<'n>> {
        Fields::read_or_hint(node, what, known, None, faults)
    }

    /// With a hint for keys that are near none of the known ones.
    pub(super) fn read_or_hint(
        node: &'n Node,
        what: &str,
        known: &[&str],
        otherwise: Option<&str>,
        faults: &mut Faults<'_>,
    ) -> Option<Fields<'n>> {
        let entries = entries(node, what, faults)?;
        let is_unknown = |entry: &&Entry| !known.contains(&entry.key.as_str());
        for entry in entries.iter().filter(is_unknown) {
            let hint = suggest::hint(&entry.key, known.iter().copied()).or_else(|| otherwise.map(str::to_owned));
            faults.error(entry.key_at, format!("unknown key `{}`", entry.key), hint);
        }
        Some(Fields { at: node.at, entries, has_unknown: entries.iter().any(|entry| is_unknown(&entry)) })
    }

    /// A map whose keys somebody else has checked or will check.
    pub(super) fn unchecked(node: &'n Node, what: &str, faults: &mut Faults<'_>) -> Option<Fields<'n>> {
        Some(Fields { at: node.at, entries: entries(node, what, faults)?, has_unknown: false })
    }

    /// A key with nothing behind it counts as not written.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.value.kind, Kind::Null)).then_some(&entry.value)
    }

    pub(super) fn key_at(&self, key: &str) -> Option<At> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_at)
    }

    pub(super) fn word(&self, key: &str, faults: &mut Faults<'_>) -> Option<Word<'n>> {
        word(self.get(key)?, &format!("`{key}`"), faults)
    }

    pub(super) fn required(&self, key: &str, what: &str, faults: &mut Faults<'_>) -> Option<Word<'n>> {
        if self.get(key).is_none() {
            self.missing(key, what, None, faults);
            return None;
        }
        self.word(key, faults)
    }

    /// Reports that `key` is missing: at the key, when it stands there with nothing behind it.
    pub(super) fn missing(&self, key: &str, what: &str, hint: Option<String>, faults: &mut Faults<'_>) {
        if !self.has_unknown {
            faults.error(self.key_at(key).unwrap_or(self.at), format!("{what} needs `{key}`"), hint);
        }
    }

    /// One text or a list of texts.
    pub(super) fn words(&self, key: &str, faults: &mut Faults<'_>) -> Vec<Word<'n>> {
        self.get(key).map(|node| words(node, &format!("`{key}`"), faults)).unwrap_or_default()
    }

    pub(super) fn list(&self, key: &str, faults: &mut Faults<'_>) -> &'n [Node] {
        let Some(node) = self.get(key) else { return &[] };
        match &node.kind {
            Kind::List(items) => items,
            Kind::Null | Kind::Text(_) | Kind::Map(_) => {
                let hint = matches!(node.kind, Kind::Text(_)).then(|| format!("write `{key}: [first, second]`"));
                faults.error(node.at, format!("`{key}` must be a list, not {}", node.kind_name()), hint);
                &[]
            }
        }
    }

    /// One of a closed set of words.
    pub(super) fn one_of(&self, key: &str, known: &[&str], faults: &mut Faults<'_>) -> Option<Word<'n>> {
        let word = self.word(key, faults)?;
        if known.contains(&word.text) {
            return Some(word);
        }
        faults.error(
            word.at,
            format!("unknown {key} `{}`", word.text),
            suggest::hint(word.text, known.iter().copied()),
        );
        None
    }

    pub(super) fn duration(&self, key: &str, faults: &mut Faults<'_>) -> Option<Duration> {
        let word = self.word(key, faults)?;
        let span = duration(word.text);
        if span.is_none() {
            let hint = "write a number and a unit: `30s`, `5m`, `3h`, `1h30m`".to_owned();
            faults.error(word.at, format!("`{}` is not a duration", word.text), Some(hint));
        }
        span
    }
}

pub(super) fn entries<'n>(node: &'n Node, what: &str, faults: &mut Faults<'_>) -> Option<&'n [Entry]> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        Kind::Null | Kind::Text(_) | Kind::List(_) => {
            let hint =
                (what == "`when`").then(|| "conditions are keys and values: `{ label.team: payments }`".to_owned());
            faults.error(node.at, format!("{what} must be a map, not {}", node.kind_name()), hint);
            None
        }
    }
}

pub(super) fn word<'n>(node: &'n Node, what: &str, faults: &mut Faults<'_>) -> Option<Word<'n>> {
    match &node.kind {
        Kind::Text(text) if !text.is_empty() => Some(Word { text, at: node.at }),
        Kind::Text(_) => {
            let hint = "an empty value counts as absent; test absence with `{ exists: false }`".to_owned();
            faults.error(node.at, format!("{what} must not be empty"), Some(hint));
            None
        }
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            faults.error(node.at, format!("{what} must be a text, not {}", node.kind_name()), None);
            None
        }
    }
}

pub(super) fn words<'n>(node: &'n Node, what: &str, faults: &mut Faults<'_>) -> Vec<Word<'n>> {
    match &node.kind {
        Kind::List(items) => items.iter().filter_map(|item| word(item, what, faults)).collect(),
        Kind::Null | Kind::Text(_) | Kind::Map(_) => word(node, what, faults).into_iter().collect(),
    }
}

/// `90s`, `1h30m`; units `ms`, `s`, `m`, `h`, `d`, from big to small or not. `None` for anything else.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms: u64 = match &rest[digits..digits + unit] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
        rest = &rest[digits + unit..];
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// `YYYY-MM-DD`; only the shape and the ranges, because nothing here knows today.
pub(super) fn is_date(text: &str) -> bool {
    let parts: Vec<Option<u32>> = text.split('-').map(|part| part.parse().ok()).collect();
    let shape = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let [Some(year), Some(month), Some(day)] = parts[..] else { return false };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        _ => 31,
    };
    shape && (1..=12).contains(&month) && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        for (text, seconds) in [("0s", 0), ("30s", 30), ("5m", 300), ("3h", 10_800), ("1h30m", 5400), ("2d", 172_800)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "m", "5 m", "-5m", "5y", "1.5h", "99999999999999999999s", "18446744073709551615d", "5µs"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_is_four_two_and_two_digits() {
        assert!(is_date("2027-06-30") && is_date("2028-02-29"));
        for text in [
            "2027-02-29",
            "2100-02-29",
            "2027-04-31",
            "2027-6-30",
            "2027-13-01",
            "2027-00-10",
            "20270630",
            "tomorrow",
            "2027-06-3x",
        ] {
            assert!(!is_date(text), "{text}");
        }
    }
}
