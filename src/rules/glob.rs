//! Globs: `*` is any run of characters, `?` is one. Linear in practice and never worse than text × pattern.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<char>);

impl Glob {
    pub(super) fn new(pattern: &str) -> Glob {
        let mut pattern: Vec<char> = pattern.chars().collect();
        pattern.dedup_by(|next, held| *next == '*' && *held == '*');
        Glob(pattern)
    }

    /// What every text that matches begins with and ends with.
    pub(super) fn ends(&self) -> (String, String) {
        let is_plain = |character: &&char| !['*', '?'].contains(*character);
        let prefix: String = self.0.iter().take_while(is_plain).collect();
        let suffix: Vec<char> = self.0.iter().rev().take_while(is_plain).copied().collect();
        (prefix, suffix.into_iter().rev().collect())
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let pattern = &self.0;
        let (mut at, mut rest) = (0, text.chars());
        // Where to resume when the characters behind a `*` do not fit: the star eats one character more.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            if pattern.get(at) == Some(&'*') {
                at += 1;
                retry = Some((at, rest.clone()));
                continue;
            }
            match rest.next() {
                Some(character) if pattern.get(at).is_some_and(|want| *want == '?' || *want == character) => at += 1,
                None if at == pattern.len() => return true,
                None => return false,
                Some(_) => {
                    let Some((star, from)) = &mut retry else { return false };
                    from.next();
                    at = *star;
                    rest = from.clone();
                }
            }
        }
    }

    /// A text that it fits, with `filling` for every `*`.
    pub(super) fn sample(&self, filling: &str) -> String {
        let mut text = String::new();
        for character in &self.0 {
            match character {
                '*' => text.push_str(filling),
                '?' => text.push('x'),
                character => text.push(*character),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, text, matches) in [
            ("payments-prod-c*", "payments-prod-c3", true),
            ("payments-prod-c*", "payments-prod", false),
            ("*-api", "duo-api", true),
            ("*-api", "duo-api-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("h?t", "höt", true),
            ("h?t", "ht", false),
            ("*", "", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("a*", "a", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), matches, "{pattern} {text}");
        }
    }
}
