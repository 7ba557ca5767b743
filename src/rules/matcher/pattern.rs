//! Regular expressions over whole values. Looks at a value from outside first, because most values that a rule is asked
//! about do not match; never answers differently from the expression itself.

use regex::Regex;

use super::shape::Shape;

#[derive(Debug)]
pub(in crate::rules) struct Pattern {
    /// Anchored at both ends.
    regex: Regex,
    shape: Shape,
    /// The name in `(?<name>.+)`, which is how rules say that a value is taken as it stands.
    whole: Option<Box<str>>,
}

pub(super) const ANCHORS: (&str, &str) = (r"\A(?:", r")\z");

impl Pattern {
    /// `regex` has the anchors around it, `inner` is what was written.
    pub(super) fn new(regex: Regex, inner: &str) -> Pattern {
        let name = inner.strip_prefix("(?<").and_then(|rest| rest.strip_suffix(">.+)"));
        let is_name = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        Pattern { shape: Shape::of(inner), whole: name.filter(is_name).map(Box::from), regex }
    }

    pub(in crate::rules) fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// As it was written, without the anchors that compiling puts around it.
    pub(super) fn inner(&self) -> &str {
        self.as_str().strip_prefix(ANCHORS.0).and_then(|text| text.strip_suffix(ANCHORS.1)).unwrap_or("")
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        match self.whole {
            // `.` is any character but the end of a line.
            Some(_) => !text.is_empty() && !text.contains('\n'),
            None => self.shape.may_match(text) && self.regex.is_match(text),
        }
    }

    /// The named groups of a match that hold something.
    pub(super) fn visit_captures<'a>(&'a self, text: &'a str, mut visit: impl FnMut(&'a str, &'a str)) {
        if let Some(name) = &self.whole {
            if self.is_match(text) {
                visit(name, text);
            }
            return;
        }
        // Nothing to name means nothing to remember, and the plain match is cheaper.
        if self.regex.captures_len() > 1
            && let Some(captures) = self.regex.captures(text)
        {
            for name in self.regex.capture_names().flatten() {
                if let Some(value) = captures.name(name).map(|found| found.as_str()).filter(|found| !found.is_empty()) {
                    visit(name, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(Regex::new(&[ANCHORS.0, text, ANCHORS.1].concat()).unwrap(), text)
    }

    #[test]
    fn taking_a_value_as_it_stands_is_the_same_as_asking_the_expression() {
        let short = pattern("(?<name>.+)");
        assert!(short.whole.is_some());
        let long = pattern("(?<name>(?:.+))");
        assert!(long.whole.is_none());
        for text in ["", "x", "owl-service", "a\nb", "\n", "é", "a\r", " "] {
            let found = |pattern: &Pattern| {
                let mut found = Vec::new();
                pattern.visit_captures(text, |name, value| found.push((name.to_owned(), value.to_owned())));
                (pattern.is_match(text), found)
            };
            assert_eq!(found(&short), found(&long), "{text:?}");
        }
    }
}
