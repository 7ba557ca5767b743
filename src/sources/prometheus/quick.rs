//! A list of alerts in the plain form in which Prometheus and Alertmanager write it: a few names, texts, and objects of
//! texts. Never answers otherwise than the general parser would; whatever looks different is left to that.

use std::borrow::Cow;

use super::element::{Element, Elements, Name};
use crate::model::json_text::first_special;
use crate::model::labels::Text;
use crate::model::{Labels, Timestamp};
use crate::sources::node::COUNT_MAX;

/// `None`: not in the plain form, whether good or bad.
pub(super) fn read(array: &str, capacity: usize) -> Option<Elements<'_>> {
    let mut cursor = Cursor { text: array, at: 0 };
    let mut elements = Vec::with_capacity(capacity);
    cursor.expect(b'[')?;
    if !cursor.has(b']') {
        loop {
            elements.push(Ok(cursor.element()?));
            if elements.len() == COUNT_MAX {
                return None;
            }
            if !cursor.has(b',') {
                cursor.expect(b']')?;
                break;
            }
        }
    }
    cursor.skip_blanks();
    (cursor.at == array.len()).then_some(elements)
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    /// Steps over this sign if it comes next.
    fn has(&mut self, sign: u8) -> bool {
        if self.byte() != Some(sign) {
            self.skip_blanks();
        }
        let is_next = self.byte() == Some(sign);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: u8) -> Option<()> {
        self.has(sign).then_some(())
    }

    fn element(&mut self) -> Option<Element<'a>> {
        let mut element = Element::default();
        self.expect(b'{')?;
        if self.has(b'}') {
            return Some(element);
        }
        loop {
            let name = self.name()?;
            match Name::of(name) {
                Name::Labels => element.labels = Some(self.labels()?),
                Name::Annotations => element.annotations = self.labels()?,
                Name::StartsAt => element.starts_at = self.time()?,
                Name::EndsAt => element.ends_at = self.time()?,
                Name::GeneratorUrl => element.generator_url = self.text_if_any()?,
                Name::Status => element.status = self.text_if_any()?,
                Name::Fingerprint => element.fingerprint = self.text_if_any()?,
                Name::Extra(_) | Name::Other => return None,
            }
            if !self.has(b',') {
                self.expect(b'}')?;
                return Some(element);
            }
        }
    }

    fn labels(&mut self) -> Option<Labels<'a>> {
        const COUNT_USUAL: usize = 12;
        self.expect(b'{')?;
        if self.has(b'}') {
            return Some(Labels::new());
        }
        let mut pairs = Vec::with_capacity(COUNT_USUAL);
        loop {
            let name = self.name()?;
            pairs.push((Cow::Borrowed(name), self.text()?));
            if !self.has(b',') {
                self.expect(b'}')?;
                return Some(Labels::from_pairs(pairs));
            }
        }
    }

    /// A name and its colon.
    fn name(&mut self) -> Option<&'a str> {
        let name = match self.text()? {
            Cow::Borrowed(name) => name,
            Cow::Owned(_) => return None,
        };
        self.expect(b':')?;
        Some(name)
    }

    fn time(&mut self) -> Option<Option<Timestamp>> {
        match self.text_if_any()? {
            None => Some(None),
            Some(text) => Timestamp::parse_rfc3339(&text).map(Some),
        }
    }

    fn text_if_any(&mut self) -> Option<Option<Cow<'a, str>>> {
        self.text().map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        self.expect(b'"')?;
        let start = self.at;
        self.at = first_special(self.text.as_bytes(), start)?;
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Some(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        while self.byte()? == b'\\' {
            self.at = first_special(self.text.as_bytes(), self.at + 2)?;
        }
        (self.byte()? == b'"').then_some(())?;
        self.at += 1;
        if let Some(text) = unescaped(&self.text[start..self.at - 1]) {
            return Some(Cow::Owned(text));
        }
        let Text(text) = serde_json::from_str(&self.text[start - 1..self.at]).ok()?;
        Some(text)
    }
}

/// Go writes `&`, `<` and `>` as escapes, so that nearly every address has some. `None` for half a character, and for what
/// is no escape.
fn unescaped(written: &str) -> Option<String> {
    let mut text = String::with_capacity(written.len());
    let mut rest = written;
    while let Some(at) = first_special(rest.as_bytes(), 0) {
        text.push_str(rest.get(..at)?);
        let (character, length) = match rest.as_bytes().get(at + 1)? {
            sign @ (b'"' | b'\\' | b'/') => (char::from(*sign), 2),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => {
                let digits = rest.get(at + 2..at + 6)?;
                let digit = |code: u32, digit: char| Some(code << 4 | digit.to_digit(16)?);
                (char::from_u32(digits.chars().try_fold(0, digit)?)?, 6)
            }
            _ => return None,
        };
        text.push(character);
        rest = rest.get(at + length..)?;
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sources::prometheus::element::read_strictly;

    /// Whether it was in the plain form; what the two roads read must then be the same.
    fn check(array: &str) -> bool {
        let strict = read_strictly(array);
        let Some(quick) = read(array, 1) else { return false };
        assert_eq!(format!("{quick:?}"), format!("{:?}", strict.expect(array)), "{array}");
        true
    }

    const USUAL: &str = r#"[{"annotations":{"summary":"5 % of \"x\" é"},"endsAt":"2026-11-23T02:24:00Z","startsAt":"2026-11-23T02:20:00.5Z","generatorURL":"http://p/graph?g0.expr=a+%3E+1\u0026g0.tab=1","labels":{"alertname":"A","severity":"critical","empty":""}},
 { "labels" : { "b" : "2", "a" : "1", "b" : "3" } , "status":"firing", "fingerprint" : "f", "startsAt":"" }, {} ]"#;

    #[test]
    fn what_prometheus_sends_is_read_without_the_general_parser() {
        assert!(check(USUAL) && check("[]") && check(" [ ] \n") && check(r#"[{"labels":{},"annotations":{}}]"#));
    }

    #[test]
    fn what_is_broken_or_unusual_anywhere_is_left_to_the_general_parser_or_read_alike() {
        let signs = [
            "",
            "\"",
            "\\",
            "\n",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "1",
            "\\u00e9",
            "\\ud800",
            "\\ud83d\\ude00",
            "\\u00E",
            "\\u+123",
            "\\b\\f\\n\\r\\t\\/\\\"",
            "\\x",
            "é",
            "\u{7f}",
        ];
        for at in (0..=USUAL.len()).filter(|at| USUAL.is_char_boundary(*at)) {
            check(&USUAL[..at]);
            for sign in signs {
                check(&[&USUAL[..at], sign, &USUAL[at..]].concat());
                let behind = USUAL[at..].chars().next().map_or(at, |first| at + first.len_utf8());
                check(&[&USUAL[..at], sign, &USUAL[behind..]].concat());
            }
        }
        for unusual in
            [r#"[{"labels":null}]"#, r#"[{"x":[1]}]"#, r#"[{"panelURL":"p"}]"#, r#"[{"la\u0062els":{}}]"#, "{}", ""]
        {
            assert!(!check(unusual), "{unusual}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_alike(name in "\\PC{0,20}", value in "\\PC*|[\\x00-\\x7f]*", raw in "[ -~é]{0,40}") {
            let object = serde_json::json!({ name.clone(): value.clone(), "a": name, "b": value });
            check(&serde_json::json!([{ "labels": object, "annotations": object, "generatorURL": value }]).to_string());
            check(&format!("[{{\"labels\":{{\"{raw}\":\"{raw}\"}}}}]"));
        }
    }
}
