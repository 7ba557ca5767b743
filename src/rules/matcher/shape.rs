//! What every text that a pattern matches looks like from outside: how long it is at least, with which bytes it begins
//! and ends, which byte it has somewhere. Never rules out a text that the pattern matches: in doubt it rules out none.

/// A set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bytes([u64; 4]);

impl Bytes {
    const NONE: Bytes = Bytes([0; 4]);
    const ALL: Bytes = Bytes([u64::MAX; 4]);

    fn of(bytes: impl IntoIterator<Item = u8>) -> Bytes {
        let mut set = Bytes::NONE;
        bytes.into_iter().for_each(|byte| set.0[usize::from(byte / 64)] |= 1 << (byte % 64));
        set
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] & 1 << (byte % 64) != 0
    }

    fn or(self, other: Bytes) -> Bytes {
        Bytes(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    fn and(self, other: Bytes) -> Bytes {
        Bytes(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }
}

/// The shape of whole matches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    bytes_min: usize,
    first: Bytes,
    last: Bytes,
    /// A byte that each match has somewhere.
    needed: Option<u8>,
}

impl Shape {
    pub(super) fn of(pattern: &str) -> Shape {
        let mut reader = Reader { rest: pattern };
        let part = reader.alternatives().filter(|_| reader.rest.is_empty());
        let Part { bytes_min, first, last, needed } = part.unwrap_or(Part::ANY);
        // A match that may be empty has no ends to look at.
        let ends = |set: Bytes| if bytes_min == 0 { Bytes::ALL } else { set };
        // Punctuation is rarer in names than letters are.
        let rarity = |byte: &u8| (byte.is_ascii_alphanumeric(), *byte);
        let needed = (0..=127).filter(|byte| needed.has(*byte)).min_by_key(rarity);
        Shape { bytes_min, first: ends(first), last: ends(last), needed }
    }

    /// False only for what the pattern cannot match.
    pub(super) fn may_match(&self, text: &str) -> bool {
        let text = text.as_bytes();
        text.len() >= self.bytes_min
            && text.first().is_none_or(|byte| self.first.has(*byte))
            && text.last().is_none_or(|byte| self.last.has(*byte))
            && self.needed.is_none_or(|byte| text.contains(&byte))
    }
}

/// The same of a piece of a pattern. The ends are those of matches that are not empty.
#[derive(Clone, Copy)]
struct Part {
    bytes_min: usize,
    first: Bytes,
    last: Bytes,
    needed: Bytes,
}

impl Part {
    const EMPTY: Part = Part { bytes_min: 0, first: Bytes::NONE, last: Bytes::NONE, needed: Bytes::NONE };
    /// What is not understood.
    const ANY: Part = Part { bytes_min: 0, first: Bytes::ALL, last: Bytes::ALL, needed: Bytes::NONE };
    const ONE: Part = Part { bytes_min: 1, ..Part::ANY };

    fn then(self, next: Part) -> Part {
        Part {
            bytes_min: self.bytes_min.saturating_add(next.bytes_min),
            first: if self.bytes_min == 0 { self.first.or(next.first) } else { self.first },
            last: if next.bytes_min == 0 { self.last.or(next.last) } else { next.last },
            needed: self.needed.or(next.needed),
        }
    }

    fn or(self, other: Part) -> Part {
        Part {
            bytes_min: self.bytes_min.min(other.bytes_min),
            first: self.first.or(other.first),
            last: self.last.or(other.last),
            needed: self.needed.and(other.needed),
        }
    }

    fn times(self, count: usize) -> Part {
        match count {
            0 => Part { bytes_min: 0, needed: Bytes::NONE, ..self },
            _ => Part { bytes_min: self.bytes_min.saturating_mul(count), ..self },
        }
    }

    fn character(character: char) -> Part {
        let mut buffer = [0; 4];
        let bytes = character.encode_utf8(&mut buffer).as_bytes();
        let ends = |byte: Option<&u8>| Bytes::of(byte.copied());
        let needed = if character.is_ascii() { ends(bytes.first()) } else { Bytes::NONE };
        Part { bytes_min: bytes.len(), first: ends(bytes.first()), last: ends(bytes.last()), needed }
    }
}

/// `None` when a form is not one that is understood.
struct Reader<'p> {
    rest: &'p str,
}

impl Reader<'_> {
    fn alternatives(&mut self) -> Option<Part> {
        let mut all = self.sequence()?;
        while self.eat("|") {
            all = all.or(self.sequence()?);
        }
        Some(all)
    }

    fn sequence(&mut self) -> Option<Part> {
        let mut all = Part::EMPTY;
        while let Some(first) = self.rest.chars().next().filter(|first| !matches!(first, '|' | ')')) {
            let piece = self.piece(first)?;
            let count = self.repeats()?;
            all = all.then(count.map_or(piece, |count| piece.times(count)));
        }
        Some(all)
    }

    fn piece(&mut self, first: char) -> Option<Part> {
        self.rest = &self.rest[first.len_utf8()..];
        match first {
            '(' => {
                if self.rest.starts_with("?<") || self.rest.starts_with("?P<") {
                    self.rest = self.rest.split_once('>')?.1;
                } else if self.rest.starts_with('?') && !self.eat("?:") {
                    // Flags change what letters mean, from there on.
                    return None;
                }
                let inside = self.alternatives()?;
                self.eat(")").then_some(inside)
            }
            '[' => self.class(),
            '.' => Some(Part::ONE),
            '^' | '$' => Some(Part::EMPTY),
            '\\' => {
                let escaped = self.rest.chars().next()?;
                self.rest = &self.rest[escaped.len_utf8()..];
                match escaped {
                    _ if escaped.is_ascii_punctuation() && !matches!(escaped, '<' | '>') => {
                        Some(Part::character(escaped))
                    }
                    'd' | 'D' | 's' | 'S' | 'w' | 'W' => Some(Part::ONE),
                    _ => None,
                }
            }
            _ => Some(Part::character(first)),
        }
    }

    /// How often the piece stands there at least; the outer `None` for what is not understood.
    fn repeats(&mut self) -> Option<Option<usize>> {
        let count = if self.eat("*") || self.eat("?") {
            0
        } else if self.eat("+") {
            1
        } else if self.eat("{") {
            let (inside, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            inside.split(',').next()?.trim().parse().ok()?
        } else {
            return Some(None);
        };
        // The lazy form.
        self.eat("?");
        // A repeated repetition is legal and rare.
        (!self.rest.starts_with(['*', '+', '?', '{'])).then_some(Some(count))
    }

    /// Behind the opening bracket: characters and ranges of ASCII, or any character in doubt.
    fn class(&mut self) -> Option<Part> {
        let end = self.rest.find(']').filter(|end| *end > 0)?;
        let (inside, rest) = (&self.rest[..end], &self.rest[end + 1..]);
        if inside.contains(['[', '\\', '&', '~', '^']) || inside.contains("--") || !inside.is_ascii() {
            // A bracket or an escape inside may hide where the class ends.
            self.rest = rest;
            return (!inside.contains(['[', '\\']) && inside != "^").then_some(Part::ONE);
        }
        self.rest = rest;
        let mut set = Bytes::NONE;
        let mut members = inside.bytes().peekable();
        while let Some(first) = members.next() {
            let mut ahead = members.clone();
            if ahead.next() == Some(b'-')
                && let Some(last) = ahead.next()
            {
                set = set.or(Bytes::of(first..=last));
                members = ahead;
            } else {
                set = set.or(Bytes::of([first]));
            }
        }
        Some(Part { bytes_min: 1, first: set, last: set, needed: Bytes::NONE })
    }

    fn eat(&mut self, wanted: &str) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn what_cannot_match_is_seen_from_outside() {
        for (pattern, text, may) in [
            (".+-(?<platform>ecs|eks)", "owl-service-eks", true),
            (".+-(?<platform>ecs|eks)", "owl-service", false),
            (".+-(?<platform>ecs|eks)", "geeks", false),
            ("(.+-)?(?<cell>(prod|stage)-[a-z]{3}[0-9]-c[0-9]+)", "apps", false),
            ("(.+-)?(?<cell>(prod|stage)-[a-z]{3}[0-9]-c[0-9]+)", "prod-use1-c2", true),
            (".+-[bcdf2456]{8,10}-[bcdf2456]{5}(:[0-9]+)?", "10.0.103.202:9090", false),
            ("(?i)fargate", "FARGATE", true),
            ("a(?i)b", "aB", true),
            (r"\/x\d", "/x١", true),
            ("[^a]b", "ab", true),
            ("[]a]b", "]b", true),
            (r"[\]]b", "]b", true),
            ("é", "é", true),
            ("", "", true),
            ("a*", "", true),
        ] {
            assert_eq!(Shape::of(pattern).may_match(text), may, "{pattern} {text}");
        }
    }

    #[test]
    fn nothing_that_matches_is_ruled_out() {
        let pieces = [
            "a", "b", "(a|b)", "(ab)?", "[ab]", "[^b]", "[a-c]", "[.-]", "[a-]", "a*", "b+", "a{0,2}", "b{2}", "a{1,}",
            r"\.", "(?:b|ab)", ".", "|", "(?<x>a)", "^", "$", "(|c)", "a??", "(?:a+)?", r"\w",
        ];
        let texts: Vec<String> = (0..1024_usize)
            .map(|number| {
                let text: String = (0..5).map(|at| ['a', 'b', '.', 'c'][(number >> (2 * at)) & 3]).collect();
                text[..number % 6].to_owned()
            })
            .collect();
        for first in pieces {
            for second in pieces {
                for third in ["", "b", "|c", "[a-c]?"] {
                    let pattern = format!("{first}{second}{third}");
                    let Ok(regex) = Regex::new(&format!(r"\A(?:{pattern})\z")) else { continue };
                    let shape = Shape::of(&pattern);
                    for text in texts.iter().filter(|text| regex.is_match(text)) {
                        assert!(shape.may_match(text), "{pattern} {text}");
                    }
                }
            }
        }
    }
}
