//! Nested JSON as labels: `{"a":{"b":1}}` becomes `a.b` = `1`. Never grows beyond its bounds, whatever a
//! sender nests.

use std::borrow::Cow;

use super::node::{Kind, Node, cut};

/// Labels made of one value; the rest is left out.
pub(super) const LABEL_COUNT_MAX: usize = 100;
/// Bytes of one label's value.
pub(super) const VALUE_BYTES_MAX: usize = 4096;
pub(super) const NAME_BYTES_MAX: usize = 256;
/// Deeper values stay JSON text.
const DEPTH_MAX: usize = 8;

pub(super) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// `name` is that of the value itself: empty for an object whose members stand for themselves.
pub(super) fn flatten<'a>(name: &str, value: Node<'a>) -> Pairs<'a> {
    let mut pairs = Vec::new();
    collect(Cow::Owned(name.to_owned()), value, DEPTH_MAX, &mut pairs);
    pairs
}

/// The recursion is bounded by `depth`.
fn collect<'a>(name: Cow<'a, str>, value: Node<'a>, depth: usize, pairs: &mut Pairs<'a>) {
    if pairs.len() >= LABEL_COUNT_MAX || name.len() > NAME_BYTES_MAX {
        return;
    }
    let inner = |member: Cow<'a, str>| if name.is_empty() { member } else { Cow::Owned(format!("{name}.{member}")) };
    match value.kind() {
        Kind::Null => {}
        Kind::Object if depth > 0 => {
            for (member, value) in value.members() {
                collect(inner(member), value, depth - 1, pairs);
            }
        }
        Kind::List if depth > 0 => {
            for (at, value) in value.items().into_iter().take(LABEL_COUNT_MAX).enumerate() {
                collect(inner(Cow::Owned(at.to_string())), value, depth - 1, pairs);
            }
        }
        Kind::Text | Kind::Number | Kind::Bool | Kind::Object | Kind::List => {
            let text = value.scalar().unwrap_or(Cow::Borrowed(value.json()));
            if !name.is_empty() {
                pairs.push((name, bounded(text)));
            }
        }
    }
}

pub(super) fn bounded(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text, VALUE_BYTES_MAX)),
        Cow::Owned(text) if text.len() <= VALUE_BYTES_MAX => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(cut(&text, VALUE_BYTES_MAX).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Vec<(String, String)> {
        flatten("", Node::parse(text).unwrap()).into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
    }

    #[test]
    fn names_are_dotted_and_numbers_keep_their_digits() {
        let pairs = flat(r#"{"a":{"b":12345678901234567890.10,"c":null},"l":[true,"x"],"t":"y"}"#);
        let expected = [("a.b", "12345678901234567890.10"), ("l.0", "true"), ("l.1", "x"), ("t", "y")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(flatten("d", Node::parse("\"x\"").unwrap()), [(Cow::Borrowed("d"), Cow::Borrowed("x"))]);
        assert!(flat("\"nameless\"").is_empty());
    }

    #[test]
    fn width_depth_and_length_are_bounded() {
        let wide = format!("{{{}\"z\":1}}", (0..5000).map(|at| format!("\"k{at}\":1,")).collect::<String>());
        assert_eq!(flat(&wide).len(), LABEL_COUNT_MAX);
        let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        let pairs = flat(&deep);
        assert_eq!((pairs.len(), pairs[0].0.as_str()), (1, "a.a.a.a.a.a.a.a"));
        let long = format!("{{\"a\":\"{}\"}}", "é".repeat(5000));
        assert_eq!(flat(&long)[0].1.len(), VALUE_BYTES_MAX);
    }
}
