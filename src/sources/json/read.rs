//! What free JSON means: the many forms of labels, templates that nobody filled in. Never refuses anything: what it
//! cannot read is absent.

use std::borrow::Cow;

use crate::model::Labels;
use crate::sources::flatten::{LABEL_COUNT_MAX, Pairs, bounded, flatten};
use crate::sources::node::{Kind, Node};

/// `$EVENT_TITLE`, `*alertFriendlyDuration*`, `{{ title }}`, `${title}`: the sender's template was pasted,
/// not filled in.
pub(super) fn is_filled_in(text: &str) -> bool {
    let text = text.trim();
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let between = |open: &str, close: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let is_variable = text
        .strip_prefix('$')
        .is_some_and(|name| is_word(name) && name.starts_with(|first: char| first.is_ascii_uppercase()))
        || between("*", "*").is_some_and(is_word)
        || between("{{", "}}").is_some_and(|name| !name.contains("}}"))
        || between("${", "}").is_some_and(|name| !name.contains('}'));
    !text.is_empty() && !is_variable
}

/// A map, a list of `k:v`, a list of pairs, or a text with commas.
pub(super) fn labels_of(node: Node<'_>) -> Labels<'_> {
    let is_said = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| is_filled_in(name) && is_filled_in(value);
    let pairs = match node.kind() {
        // In a map the last of two equal names wins; only lists repeat a name on purpose.
        Kind::Object => return flatten("", node).into_iter().filter(is_said).collect(),
        Kind::List => node.items().into_iter().take(LABEL_COUNT_MAX).flat_map(labels_of_item).collect(),
        Kind::Text => node.text().map(|text| split_text(&text)).unwrap_or_default(),
        Kind::Null | Kind::Bool | Kind::Number => Vec::new(),
    };
    joined(pairs.into_iter().filter(is_said).collect())
}

fn labels_of_item(item: Node<'_>) -> Pairs<'_> {
    match item.kind() {
        Kind::Text | Kind::Number | Kind::Bool => item.scalar().map(|text| vec![split_pair(text)]).unwrap_or_default(),
        Kind::List => match item.items().as_slice() {
            [name, value] => match (name.scalar(), value.scalar()) {
                (Some(name), Some(value)) => vec![(name, bounded(value))],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        },
        Kind::Object => {
            let first = |names: [&str; 3]| names.into_iter().find_map(|name| item.get(name)).and_then(Node::scalar);
            match (first(["key", "name", "label"]), first(["value", "val", "v"])) {
                (Some(name), Some(value)) => vec![(name, bounded(value))],
                _ => flatten("", item),
            }
        }
        Kind::Null => Vec::new(),
    }
}

fn split_text<'a>(text: &str) -> Pairs<'a> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty()).take(LABEL_COUNT_MAX);
    words.map(|word| split_pair(Cow::Owned(word.to_owned()))).collect()
}

/// At the first separator only: values hold colons. A tag without one is a fact.
fn split_pair(text: Cow<'_, str>) -> (Cow<'_, str>, Cow<'_, str>) {
    let Some(at) = text.find([':', '=']) else {
        return (bounded(text), Cow::Borrowed("true"));
    };
    match text {
        Cow::Borrowed(text) => (Cow::Borrowed(text[..at].trim()), bounded(Cow::Borrowed(text[at + 1..].trim()))),
        Cow::Owned(text) => {
            let value = text[at + 1..].trim().to_owned();
            (Cow::Owned(text[..at].trim().to_owned()), bounded(Cow::Owned(value)))
        }
    }
}

/// A name that comes twice keeps all its values, as a list with commas.
fn joined(pairs: Pairs<'_>) -> Labels<'_> {
    let mut labels = Labels::new();
    for (name, value) in pairs {
        let value = match labels.get(&name) {
            Some(held) if held.split(',').all(|one| one != value) => bounded(Cow::Owned(format!("{held},{value}"))),
            Some(_) => continue,
            None => value,
        };
        labels.set(name, value);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_in_many_forms() {
        for (json, expected) in [
            (r#"{"a":{"b":1},"c":"w","c":"x"}"#, &[("a.b", "1"), ("c", "x")][..]),
            (
                r#"["env:prod","url:http://x:1","urgent",7]"#,
                &[("7", "true"), ("env", "prod"), ("urgent", "true"), ("url", "http://x:1")],
            ),
            (r#"[["a","1"],["b",2],["c"],null]"#, &[("a", "1"), ("b", "2")]),
            (r#"[{"key":"a","value":"1"},{"name":"b","value":2},{"c":"3"}]"#, &[("a", "1"), ("b", "2"), ("c", "3")]),
            (r#""env=prod, team:owl,,urgent""#, &[("env", "prod"), ("team", "owl"), ("urgent", "true")]),
            (r#"["team:a","team:b","team:b"]"#, &[("team", "a,b")]),
            (r#"{"a":"$TAGS","b":"*alertDetails*","c":"{{ x }}","d":"${y}","e":"$5"}"#, &[("e", "$5")]),
            ("7", &[]),
        ] {
            let labels = labels_of(Node::parse(json).unwrap());
            assert_eq!(labels.iter().collect::<Vec<_>>(), expected, "{json}");
        }
    }
}
