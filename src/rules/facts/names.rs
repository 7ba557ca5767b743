//! Which key each name meant in the alert before: senders write the same names in the same order, and one text that is read
//! from its beginning costs less than a look-up for each. Never answers for a name that differs in a byte.

use super::{Key, Scope};

/// The names of one alert, as far as it is a usual one.
#[derive(Debug, Default)]
pub(in crate::rules) struct Names {
    text: Vec<u8>,
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    scope: Scope,
    /// Where the name ends in the text.
    end: usize,
    key: Option<Key>,
}

/// Names behind these are looked up each time.
const NAME_COUNT_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 4096;

/// One alert, name by name.
pub(super) struct Reader<'n> {
    names: &'n mut Names,
    at: usize,
    /// Where the next name begins in the text.
    start: usize,
}

impl<'n> Reader<'n> {
    pub(super) fn new(names: &'n mut Names) -> Reader<'n> {
        Reader { names, at: 0, start: 0 }
    }

    pub(super) fn key(&mut self, scope: Scope, name: &str, look_up: impl FnOnce() -> Option<Key>) -> Option<Key> {
        let Names { text, known } = &mut *self.names;
        if let Some(known) = known.get(self.at)
            && known.scope == scope
            && text[self.start..known.end] == *name.as_bytes()
        {
            (self.at, self.start) = (self.at + 1, known.end);
            return known.key;
        }
        let key = look_up();
        let end = self.start + name.len();
        if self.at < NAME_COUNT_MAX && end <= TEXT_BYTES_MAX {
            known.truncate(self.at);
            text.truncate(self.start);
            known.push(Known { scope, end, key });
            text.extend_from_slice(name.as_bytes());
            (self.at, self.start) = (self.at + 1, end);
        } else {
            // From here on the positions are not those of the text.
            self.at = NAME_COUNT_MAX;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_gets_its_key_whatever_came_before_it() {
        let long = "n".repeat(TEXT_BYTES_MAX - 3);
        let many: Vec<String> = (0..NAME_COUNT_MAX + 9).map(|number| format!("name{number}")).collect();
        let alerts: Vec<Vec<&str>> = vec![
            vec!["a", "b", "c"],
            vec!["a", "b", "c"],
            vec!["ab", "c"],
            vec!["a", "bc"],
            vec![],
            vec!["a", "b", "c", "", "d"],
            vec!["a", "c"],
            vec!["a", &long, "b", "cd", "e"],
            vec!["a", "b"],
            many.iter().map(String::as_str).collect(),
            many.iter().skip(1).map(String::as_str).collect(),
            many.iter().map(String::as_str).collect(),
        ];
        let key_of = |scope: Scope, name: &str| (name != "c").then_some(scope as usize * 1000 + name.len());
        let mut names = Names::default();
        for alert in alerts.iter().chain(&alerts).chain(alerts.iter().rev()) {
            for (number, scope) in [(0, Scope::Label), (1, Scope::Field)] {
                let mut reader = Reader::new(&mut names);
                for (at, name) in alert.iter().enumerate() {
                    let scope = if at >= 2 + number { Scope::Annotation } else { scope };
                    assert_eq!(reader.key(scope, name, || key_of(scope, name)), key_of(scope, name), "{alert:?}");
                }
                assert!(names.known.len() <= NAME_COUNT_MAX && names.text.len() <= TEXT_BYTES_MAX);
            }
        }
    }
}
