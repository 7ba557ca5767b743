//! What every text that a pattern matches begins with, as far as it can be read off the pattern. Never claims a
//! beginning that a match could lack: in doubt there is none.

/// More alternatives than this are not worth a look-up each.
const PREFIX_COUNT_MAX: usize = 16;
const PREFIX_BYTES_MAX: usize = 32;

/// One of them begins each match; `None` when a match may begin with anything.
pub(super) fn prefixes(pattern: &str) -> Option<Vec<String>> {
    // `(?x)` and `(?i)` change what a letter means, wherever they stand.
    if has_flags(pattern) {
        return None;
    }
    let mut reader = Reader { rest: pattern };
    let found = reader.alternatives();
    let is_whole = reader.rest.is_empty();
    let found = found.filter(|_| is_whole)?;
    let mut prefixes: Vec<String> = found.into_iter().map(|found| found.text).collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes.iter().all(|prefix| !prefix.is_empty()).then_some(prefixes)
}

fn has_flags(pattern: &str) -> bool {
    pattern.match_indices("(?").any(|(at, _)| !matches!(pattern.as_bytes().get(at + 2), Some(b':' | b'<' | b'P')))
}

/// The beginning of one alternative.
#[derive(Clone, Default)]
struct Found {
    text: String,
    /// Nothing of the alternative was left out, so that what follows it continues the text.
    is_whole: bool,
}

struct Reader<'p> {
    rest: &'p str,
}

impl Reader<'_> {
    /// Alternatives up to a closing bracket or the end. `None` when the form is not one that is understood.
    fn alternatives(&mut self) -> Option<Vec<Found>> {
        let mut all = self.sequence()?;
        while self.eat('|') {
            all.extend(self.sequence()?);
        }
        (all.len() <= PREFIX_COUNT_MAX).then_some(all)
    }

    /// Pieces one after another. After the first that is not plain only the brackets are followed.
    fn sequence(&mut self) -> Option<Vec<Found>> {
        let mut found = vec![Found { text: String::new(), is_whole: true }];
        while let Some(first) = self.rest.chars().next().filter(|first| !matches!(first, '|' | ')')) {
            let piece = self.piece(first)?;
            let repeats = self.repeats();
            if found.iter().all(|found| !found.is_whole) {
                continue;
            }
            let piece = match repeats {
                Repeats::Once => piece,
                // The first time is certain, what follows it is not.
                Repeats::OnceOrMore => piece.into_iter().map(|piece| Found { is_whole: false, ..piece }).collect(),
                Repeats::Perhaps => vec![Found::default()],
            };
            found = joined(&found, &piece);
        }
        Some(found)
    }

    /// A character, a class, a group.
    fn piece(&mut self, first: char) -> Option<Vec<Found>> {
        match first {
            '(' => {
                self.rest = &self.rest[1..];
                if self.rest.starts_with("?:") {
                    self.rest = &self.rest[2..];
                } else if self.rest.starts_with("?<") || self.rest.starts_with("?P<") {
                    self.rest = self.rest.split_once('>')?.1;
                }
                let inside = self.alternatives()?;
                self.eat(')').then_some(inside)
            }
            '[' => {
                self.skip_class()?;
                Some(vec![Found::default()])
            }
            '\\' => {
                let escaped = self.rest[1..].chars().next()?;
                self.rest = &self.rest[1 + escaped.len_utf8()..];
                match escaped {
                    // `\.` is a dot; `\<` is the start of a word; `\x41` and `\pL` go on.
                    _ if escaped.is_ascii_punctuation() && !matches!(escaped, '<' | '>') => Some(vec![plain(escaped)]),
                    'd' | 'D' | 's' | 'S' | 'w' | 'W' => Some(vec![Found::default()]),
                    _ => None,
                }
            }
            '.' | '^' | '$' => {
                self.rest = &self.rest[1..];
                Some(vec![Found::default()])
            }
            _ => {
                self.rest = &self.rest[first.len_utf8()..];
                Some(vec![plain(first)])
            }
        }
    }

    fn repeats(&mut self) -> Repeats {
        let repeats = if self.eat('*') || self.eat('?') {
            Repeats::Perhaps
        } else if self.eat('+') {
            Repeats::OnceOrMore
        } else if self.rest.starts_with('{') {
            // However often: none of it is certain without reading the number.
            self.rest = self.rest.split_once('}').map_or("", |(_, rest)| rest);
            Repeats::Perhaps
        } else {
            return Repeats::Once;
        };
        // The lazy form.
        self.eat('?');
        repeats
    }

    /// Past the bracket that closes the class; classes in classes are not understood.
    fn skip_class(&mut self) -> Option<()> {
        let mut characters = self.rest.char_indices().skip(1).peekable();
        if characters.peek().is_some_and(|(_, character)| *character == '^') {
            characters.next();
        }
        let mut is_first = true;
        while let Some((at, character)) = characters.next() {
            match character {
                ']' if !is_first => {
                    self.rest = &self.rest[at + 1..];
                    return Some(());
                }
                '[' => return None,
                '\\' => drop(characters.next()),
                _ => {}
            }
            is_first = false;
        }
        None
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

enum Repeats {
    Once,
    OnceOrMore,
    Perhaps,
}

fn plain(character: char) -> Found {
    Found { text: character.to_string(), is_whole: true }
}

/// Each beginning that is still open, continued by each piece.
fn joined(found: &[Found], pieces: &[Found]) -> Vec<Found> {
    let mut all = Vec::new();
    for before in found {
        if !before.is_whole || before.text.len() >= PREFIX_BYTES_MAX {
            all.push(Found { is_whole: false, ..before.clone() });
            continue;
        }
        let continued =
            |piece: &Found| Found { text: [before.text.as_str(), &piece.text].concat(), is_whole: piece.is_whole };
        all.extend(pieces.iter().map(continued));
    }
    if all.len() <= PREFIX_COUNT_MAX {
        return all;
    }
    found.iter().map(|before| Found { is_whole: false, ..before.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn the_beginning_of_a_pattern_is_read_and_nothing_is_promised_in_doubt() {
        for (pattern, expected) in [
            ("payments-prod-c[0-9]+", Some(vec!["payments-prod-c"])),
            ("aws_(?<platform>ecs|eks|lambda)", Some(vec!["aws_ecs", "aws_eks", "aws_lambda"])),
            ("a|b", Some(vec!["a", "b"])),
            ("(?<c>.+)", None),
            (".*x", None),
            ("ab?c", Some(vec!["a"])),
            ("ab+c", Some(vec!["ab"])),
            ("ab{2,3}c", Some(vec!["a"])),
            ("(ab)*c", None),
            ("x(ab)?c", Some(vec!["x"])),
            (r"arn:aws\.x\d", Some(vec!["arn:aws.x"])),
            (r"\Aab", None),
            ("(?i)fargate", None),
            ("a(?i:b)", None),
            ("a|", None),
            ("", None),
            ("[a-z]x", None),
            ("x[]a]y", Some(vec!["x"])),
            ("x[^]a]y", Some(vec!["x"])),
            ("x[[:alpha:]]", None),
            ("(prod|stage)-(?<cell>c[0-9]+)", Some(vec!["prod-c", "stage-c"])),
            ("a(b|c.)d", Some(vec!["abd", "ac"])),
            ("é+x", Some(vec!["é"])),
            (r"\p{L}a", None),
            (r"\/a", Some(vec!["/a"])),
            (r"a\<b", None),
        ] {
            let expected: Option<Vec<String>> =
                expected.map(|prefixes| prefixes.into_iter().map(str::to_owned).collect());
            assert_eq!(prefixes(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn no_match_lacks_a_promised_beginning() {
        let pieces = ["a", "b", "(a|b)", "(ab)?", "[ab]", "a*", "b+", "a{0,2}", r"\.", "(?:b|ab)", ".", "|", "(?<x>a)"];
        let texts: Vec<String> = (0..256_usize)
            .map(|number| (0..4).map(|at| ['a', 'b', '.', 'c'][(number >> (2 * at)) & 3]).collect())
            .collect();
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    let pattern = format!("{first}{second}{third}");
                    let (Some(found), Ok(regex)) = (prefixes(&pattern), Regex::new(&format!(r"\A(?:{pattern})")))
                    else {
                        continue;
                    };
                    for text in texts.iter().filter(|text| regex.is_match(text)) {
                        let matched = regex.find(text).unwrap().as_str();
                        assert!(
                            found.iter().any(|prefix| matched.starts_with(prefix)),
                            "{pattern} {matched} {found:?}"
                        );
                    }
                }
            }
        }
    }
}
