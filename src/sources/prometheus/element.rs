//! One element of an `alerts` array as it stands on the wire. Reads the whole array in one pass; only when
//! that fails is each element looked at alone, so that one bad alert never costs the good ones.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::quick;
use crate::model::labels::Text;
use crate::model::{Labels, Timestamp};
use crate::sources::DecodeError;
use crate::sources::node::{COUNT_MAX, Kind, Node, one_line};

#[derive(Debug, Default)]
pub(in crate::sources) struct Element<'a> {
    pub(in crate::sources) labels: Option<Labels<'a>>,
    pub(in crate::sources) annotations: Labels<'a>,
    /// Year 1 is kept here: "zero" and "absent" differ for a webhook's state.
    pub(in crate::sources) starts_at: Option<Timestamp>,
    pub(in crate::sources) ends_at: Option<Timestamp>,
    pub(in crate::sources) generator_url: Option<Cow<'a, str>>,
    pub(in crate::sources) status: Option<Cow<'a, str>>,
    pub(in crate::sources) fingerprint: Option<Cow<'a, str>>,
    /// What only Grafana sends, by its name on the wire.
    pub(in crate::sources) extras: Vec<(&'static str, Cow<'a, str>)>,
}

pub(in crate::sources) type Elements<'a> = Vec<Result<Element<'a>, String>>;

/// What a label's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) enum Values {
    /// As Alertmanager's API takes them.
    Texts,
    /// Numbers and booleans are the texts that they are written as.
    Scalars,
}

/// `array` is the text of the list, `field` its name in errors. An element that cannot be used is its reason.
pub(in crate::sources) fn read_elements<'a>(
    field: &'static str,
    array: &'a str,
    values: Values,
) -> Result<Elements<'a>, DecodeError> {
    if array.starts_with('[')
        && let Some(elements) = quick::read(array, capacity_for(array)).or_else(|| read_strictly(array).ok())
    {
        return Ok(elements);
    }
    let list = Node::parse(array)?;
    match list.kind() {
        Kind::List => match list.items() {
            items if items.len() == COUNT_MAX => Err(DecodeError::Bad {
                field: Cow::Borrowed(field),
                reason: format!("{COUNT_MAX} alerts or more in one request"),
            }),
            items => Ok(items.into_iter().map(|item| read_element(item, values)).collect()),
        },
        kind @ (Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Object) => Err(DecodeError::Bad {
            field: Cow::Borrowed(field),
            reason: format!("expected a list of alerts, found {}", kind.as_str()),
        }),
    }
}

fn capacity_for(array: &str) -> usize {
    (array.len() / 512).clamp(1, 1024)
}

/// Reads what has the right types, and nothing else.
pub(super) fn read_strictly(array: &str) -> serde_json::Result<Elements<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(array);
    let elements = deserializer.deserialize_seq(ElementsVisitor { capacity: capacity_for(array) })?;
    deserializer.end()?;
    Ok(elements)
}

struct ElementsVisitor {
    capacity: usize,
}

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of alerts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Elements<'de>, A::Error> {
        let mut elements = Vec::with_capacity(self.capacity);
        while let Some(element) = list.next_element::<Element<'de>>()? {
            if elements.len() + 1 == COUNT_MAX {
                return Err(A::Error::custom("too many"));
            }
            elements.push(Ok(element));
        }
        Ok(elements)
    }
}

/// Members that we read. A closed set of ours; any other name is skipped.
pub(super) enum Name {
    Labels,
    Annotations,
    StartsAt,
    EndsAt,
    GeneratorUrl,
    Status,
    Fingerprint,
    Extra(&'static str),
    Other,
}

const EXTRAS: [&str; 6] = ["dashboardURL", "panelURL", "silenceURL", "imageURL", "ruleUID", "valueString"];

impl Name {
    pub(super) fn of(name: &str) -> Name {
        match name {
            "labels" => Name::Labels,
            "annotations" => Name::Annotations,
            "startsAt" => Name::StartsAt,
            "endsAt" => Name::EndsAt,
            "generatorURL" => Name::GeneratorUrl,
            "status" => Name::Status,
            "fingerprint" => Name::Fingerprint,
            _ => EXTRAS.into_iter().find(|extra| *extra == name).map_or(Name::Other, Name::Extra),
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name::of(name))
            }
        }
        deserializer.deserialize_identifier(NameVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element<'de>, A::Error> {
        let mut element = Element::default();
        while let Some(name) = map.next_key::<Name>()? {
            match name {
                Name::Labels => element.labels = map.next_value()?,
                Name::Annotations => element.annotations = map.next_value()?,
                Name::StartsAt => element.starts_at = next_time(&mut map)?,
                Name::EndsAt => element.ends_at = next_time(&mut map)?,
                Name::GeneratorUrl => element.generator_url = next_text(&mut map)?,
                Name::Status => element.status = next_text(&mut map)?,
                Name::Fingerprint => element.fingerprint = next_text(&mut map)?,
                Name::Extra(extra) => element.extras.extend(next_text(&mut map)?.map(|text| (extra, text))),
                Name::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(element)
    }
}

fn next_text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<Option<Text<'de>>>()?.map(|text| text.0).filter(|text| !text.is_empty()))
}

fn next_time<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Timestamp>, A::Error> {
    match next_text(map)? {
        None => Ok(None),
        // The text of this error is never seen: the slow road words it.
        Some(text) => Timestamp::parse_rfc3339(&text).map(Some).ok_or_else(|| A::Error::custom("no time")),
    }
}

/// The slow road: says what is wrong, and overlooks what does no harm.
fn read_element(node: Node<'_>, values: Values) -> Result<Element<'_>, String> {
    if node.kind() != Kind::Object {
        return Err(format!("expected an object, found {}", node.kind().as_str()));
    }
    let mut element = Element::default();
    for (name, value) in node.members() {
        match Name::of(&name) {
            Name::Labels => element.labels = read_labels(value, values)?,
            Name::Annotations => element.annotations = read_annotations(value)?,
            Name::StartsAt => element.starts_at = read_time("startsAt", value)?,
            Name::EndsAt => element.ends_at = read_time("endsAt", value)?,
            Name::GeneratorUrl => element.generator_url = value.scalar(),
            Name::Status => element.status = value.scalar(),
            Name::Fingerprint => element.fingerprint = value.scalar(),
            Name::Extra(extra) => element.extras.extend(value.scalar().map(|text| (extra, text))),
            Name::Other => {}
        }
    }
    Ok(element)
}

fn read_labels(value: Node<'_>, values: Values) -> Result<Option<Labels<'_>>, String> {
    match value.kind() {
        Kind::Null => return Ok(None),
        Kind::Object => {}
        kind @ (Kind::Bool | Kind::Number | Kind::Text | Kind::List) => {
            return Err(format!("field `labels`: expected an object of texts, found {}", kind.as_str()));
        }
    }
    let mut pairs = Vec::new();
    for (name, value) in value.members() {
        let text = match values {
            Values::Texts => value.text(),
            Values::Scalars => value.scalar(),
        };
        match text {
            Some(text) => pairs.push((name, text)),
            None if value.is_null() => pairs.push((name, Cow::Borrowed(""))),
            None => return Err(format!("field `labels.{}`: {} is no text", one_line(&name, 60), quoted(value))),
        }
    }
    Ok(Some(pairs.into_iter().collect()))
}

/// Annotations are only read by people: a number among them is no reason to lose an alert.
fn read_annotations(value: Node<'_>) -> Result<Labels<'_>, String> {
    match value.kind() {
        Kind::Null | Kind::Object => {}
        kind @ (Kind::Bool | Kind::Number | Kind::Text | Kind::List) => {
            return Err(format!("field `annotations`: expected an object of texts, found {}", kind.as_str()));
        }
    }
    Ok(value
        .members()
        .into_iter()
        .map(|(name, value)| {
            let text = if value.is_null() { Cow::Borrowed("") } else { Cow::Borrowed(value.json()) };
            (name, value.scalar().unwrap_or(text))
        })
        .collect())
}

fn read_time(field: &str, value: Node<'_>) -> Result<Option<Timestamp>, String> {
    match value.text() {
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => Timestamp::parse_rfc3339(&text)
            .map(Some)
            .ok_or_else(|| format!("field `{field}`: `{}` is no RFC 3339 time", one_line(&text, 60))),
        None if value.is_null() => Ok(None),
        None => Err(format!("field `{field}`: {} is no RFC 3339 time", quoted(value))),
    }
}

/// A value in an error text: its beginning when it is short by nature, else its kind.
fn quoted(value: Node<'_>) -> String {
    match value.kind() {
        Kind::Number | Kind::Bool => format!("`{}`", one_line(value.json(), 40)),
        kind @ (Kind::Null | Kind::Text | Kind::List | Kind::Object) => kind.as_str().to_owned(),
    }
}
