//! What a reader of Alertmanager's alerts asks for: `filter`, `receiver` and the states. Never overlooks a question that it
//! cannot read: an answer to another question would be a lie.

use regex::Regex;

use crate::model::Labels;

/// The one receiver of all alerts.
pub(super) const RECEIVER: &str = "tawny";

/// Which alerts are wanted.
#[derive(Debug)]
pub(super) struct Filter {
    matchers: Vec<Matcher>,
    /// All of ours are active: whoever wants none of these wants none.
    is_none: bool,
}

#[derive(Debug)]
struct Matcher {
    name: String,
    test: Test,
    is_negative: bool,
}

#[derive(Debug)]
enum Test {
    Equal(String),
    Regex(Regex),
}

impl Filter {
    /// From the pairs of the query; the error is for the reader.
    pub(super) fn of(query: &[(String, String)]) -> Result<Filter, String> {
        let mut filter = Filter { matchers: Vec::new(), is_none: false };
        for (key, value) in query {
            match key.as_str() {
                "filter" => filter.matchers.push(Matcher::parse(value)?),
                "receiver" => filter.is_none |= !whole(value)?.is_match(RECEIVER),
                "active" => filter.is_none |= !flag(key, value)?,
                // Nothing of ours is in these states, so it is all the same.
                "silenced" | "inhibited" | "unprocessed" | "muted" => drop(flag(key, value)?),
                _ => {}
            }
        }
        Ok(filter)
    }

    pub(super) fn wants(&self, labels: &Labels<'_>) -> bool {
        !self.is_none && self.matchers.iter().all(|matcher| matcher.holds(labels))
    }
}

impl Matcher {
    /// `name="value"` with `=`, `!=`, `=~` or `!~`; braces around it and quotes may be absent.
    fn parse(text: &str) -> Result<Matcher, String> {
        let bad = |what: &str| format!("bad matcher format: {text}: {what}");
        let inner = text.trim();
        let inner = inner.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(inner);
        let at = inner.find(['=', '!']).ok_or_else(|| bad("no operator"))?;
        let (name, rest) = inner.split_at(at);
        let operators = [("=~", true, false), ("!~", true, true), ("!=", false, true), ("=", false, false)];
        let found = operators.into_iter().find_map(|(word, is_regex, is_negative)| {
            rest.strip_prefix(word).map(|value| (value, is_regex, is_negative))
        });
        let (value, is_regex, is_negative) = found.ok_or_else(|| bad("no operator"))?;
        let name = unquoted(name.trim()).filter(|name| !name.is_empty()).ok_or_else(|| bad("no label"))?;
        let value = unquoted(value.trim()).ok_or_else(|| bad("a quote is not closed"))?;
        let test = if is_regex { Test::Regex(whole(&value)?) } else { Test::Equal(value) };
        Ok(Matcher { name, test, is_negative })
    }

    /// A label that is absent is empty.
    fn holds(&self, labels: &Labels<'_>) -> bool {
        let value = labels.get(&self.name).unwrap_or("");
        let is_equal = match &self.test {
            Test::Equal(wanted) => wanted == value,
            Test::Regex(wanted) => wanted.is_match(value),
        };
        is_equal != self.is_negative
    }
}

/// An expression that must fit all of the text.
fn whole(expression: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?s:{expression})$")).map_err(|_| format!("bad regular expression: {expression}"))
}

fn flag(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{key}` must be true or false")),
    }
}

/// A text in quotes is what the JSON of it says; one without is what it is.
fn unquoted(text: &str) -> Option<String> {
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    (!text.contains('"')).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(pairs: &[(&str, &str)]) -> Result<Filter, String> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Filter::of(&pairs)
    }

    #[test]
    fn each_matcher_is_held_against_the_labels_and_an_absent_label_is_empty() {
        let labels = Labels::from_iter([("alertname", "Disk \"full\""), ("service", "owl")]);
        for (text, expected) in [
            (r#"alertname="Disk \"full\"""#, true),
            (r#"alertname="Disk""#, false),
            ("service=owl", true),
            ("{service=\"owl\"}", true),
            ("service!=owl", false),
            (r#"service=~"o.*""#, true),
            (r#"service=~"o""#, false),
            (r#"service=~"x|owl""#, true),
            ("service!~o.*", false),
            (r#"cell="""#, true),
            ("cell!=c1", true),
            ("cell=~.+", false),
        ] {
            assert_eq!(filter(&[("filter", text)]).unwrap().wants(&labels), expected, "{text}");
        }
        assert!(!filter(&[("filter", "service=owl"), ("filter", "cell=c1")]).unwrap().wants(&labels), "all must hold");
    }

    #[test]
    fn states_and_receivers_are_asked_for_and_what_cannot_be_read_is_refused() {
        let labels = Labels::new();
        for (pair, expected) in [
            (("active", "true"), true),
            (("active", "false"), false),
            (("silenced", "false"), true),
            (("receiver", "tawny|other"), true),
            (("receiver", "taw"), false),
            (("unheard", "of"), true),
        ] {
            assert_eq!(filter(&[pair]).unwrap().wants(&labels), expected, "{pair:?}");
        }
        for pair in [
            ("filter", "x"),
            ("filter", "=x"),
            ("filter", "a=\"b"),
            ("filter", "a=~("),
            ("active", "maybe"),
            ("receiver", "("),
        ] {
            assert!(filter(&[pair]).is_err(), "{pair:?}");
        }
    }
}
