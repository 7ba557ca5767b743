//! What a Resource says about itself, as text for the rules. Never guesses: what has no plain text is absent.

use std::borrow::Cow;

use crate::model::Labels;

use super::wire::{Fields, Value};

/// The attributes of a Resource message that a scan has accepted: texts as they are, numbers and booleans written
/// out, an array as the JSON list of its elements that are one of these and not empty. Maps, bytes and empty values are
/// absent.
///
/// Of two attributes with one key the last counts, whatever its kind: readers built on prost keep both in a list and
/// collect it into a map, where the later replaces the earlier, and so does Honeycomb's reader.
pub fn labels(resource: &[u8]) -> Labels<'_> {
    let attributes = Fields::new(resource).flatten().filter(|field| field.number == 1);
    attributes.filter_map(|field| field.value.bytes()).map(attribute).collect()
}

/// Fields that stand twice are merged as protobuf merges them: the last text counts, parts of a value are joined.
fn attribute(attribute: &[u8]) -> (Cow<'_, str>, Cow<'_, str>) {
    let mut key: &[u8] = &[];
    let mut seen = Seen::Nothing;
    for field in Fields::new(attribute).flatten() {
        match (field.number, field.value) {
            (1, Value::Bytes(text)) => key = text,
            (2, Value::Bytes(value)) => any_value(value, &mut seen),
            _ => {}
        }
    }
    let value = match seen {
        Seen::Text(text) | Seen::Plain(text) => text,
        Seen::Array(elements) if !elements.is_empty() => Cow::Owned(format!("[{elements}]")),
        Seen::Nothing | Seen::Array(_) => Cow::Borrowed(""),
    };
    (text(key), value)
}

/// What an AnyValue was found to hold.
enum Seen<'a> {
    /// Nothing, or what has no text.
    Nothing,
    Text(Cow<'a, str>),
    /// A number or a boolean.
    Plain(Cow<'a, str>),
    /// Its elements as JSON, with commas between them.
    Array(String),
}

/// A later member replaces an earlier one, but an array that follows an array continues it.
fn any_value<'a>(value: &'a [u8], seen: &mut Seen<'a>) {
    for field in Fields::new(value).flatten() {
        *seen = match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => Seen::Text(text(bytes)),
            (2, Value::Varint(flag)) => Seen::Plain(Cow::Borrowed(if flag == 0 { "false" } else { "true" })),
            (3, Value::Varint(number)) => Seen::Plain(number.cast_signed().to_string().into()),
            (4, Value::Fixed64(bits)) => Seen::Plain(double(f64::from_bits(bits)).into()),
            (5, Value::Bytes(array)) => {
                let before = std::mem::replace(seen, Seen::Nothing);
                let mut elements = if let Seen::Array(elements) = before { elements } else { String::new() };
                append(&mut elements, array);
                Seen::Array(elements)
            }
            (6..=8, _) => Seen::Nothing,
            _ => continue,
        };
    }
}

fn append(elements: &mut String, array: &[u8]) {
    let values = Fields::new(array).flatten().filter(|field| field.number == 1);
    for element in values.filter_map(|field| field.value.bytes()) {
        let mut seen = Seen::Nothing;
        any_value(element, &mut seen);
        let written = match seen {
            Seen::Text(text) if text.is_empty() => continue,
            Seen::Plain(number) if is_json(&number) => number,
            Seen::Text(text) | Seen::Plain(text) => Cow::Owned(serde_json::Value::from(text.as_ref()).to_string()),
            Seen::Nothing | Seen::Array(_) => continue,
        };
        if !elements.is_empty() {
            elements.push(',');
        }
        elements.push_str(&written);
    }
}

/// JSON has no word for a number that is none.
fn is_json(number: &str) -> bool {
    !number.ends_with(['N', 'y'])
}

/// As the Collector writes it: no exponent between 1e-6 and 1e21.
fn double(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        (if number > 0.0 { "Infinity" } else { "-Infinity" }).to_owned()
    } else if size != 0.0 && size < 1e-6 {
        format!("{number:e}")
    } else if size >= 1e21 {
        format!("{number:e}").replace('e', "e+")
    } else {
        number.to_string()
    }
}

/// The scan has seen that it is UTF-8, so nothing is replaced.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
