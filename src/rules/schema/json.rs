//! The table as JSON Schema (2020-12), for editors. Says what the compiler says of keys and kinds of values; what
//! depends on other files (names of teams, tables, sinks) is left to the compiler.

use serde_json::{Map, Value, json};

use crate::model::TagName;

use super::files::{CELLS_FILE, PLATFORM_FILE, ROUTES_FILE, SERVICES_FILE, SILENCES_FILE};
use super::stories::STORIES;
use super::{Key, Need, Rest, Section, Shape};

const FILES: [&Section; 5] = [&PLATFORM_FILE, &CELLS_FILE, &SERVICES_FILE, &ROUTES_FILE, &SILENCES_FILE];

/// The schema of rule files and of the files of their tests.
pub fn json_schema() -> Value {
    let mut defs = Map::new();
    let by_kind: Vec<Value> = FILES
        .iter()
        .map(|file| {
            json!({
                "if": { "properties": { "kind": { "const": file.name } }, "required": ["kind"] },
                "then": reference(file, &mut defs),
            })
        })
        .collect();
    let stories = reference(&STORIES, &mut defs);
    let kinds: Vec<&str> = FILES.iter().map(|file| file.name).collect();
    let mut schema = root("Rule files of Tawny, and their tests", defs);
    schema["if"] = json!({ "required": ["tests"] });
    schema["then"] = stories;
    schema["else"] =
        json!({ "required": ["version", "kind"], "properties": { "kind": { "enum": kinds } }, "allOf": by_kind });
    schema
}

/// What every schema of ours begins with.
pub fn root(title: &str, defs: Map<String, Value>) -> Value {
    json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "type": "object", "$defs": defs })
}

/// A reference to a section, which is described once.
fn reference(section: &'static Section, defs: &mut Map<String, Value>) -> Value {
    if !defs.contains_key(section.name) {
        // Sections may contain each other; the place is taken first.
        defs.insert(section.name.to_owned(), Value::Null);
        let described = describe(section, defs);
        defs.insert(section.name.to_owned(), described);
    }
    json!({ "$ref": format!("#/$defs/{}", section.name) })
}

fn describe(section: &'static Section, defs: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for key in section.keys {
        properties.insert(key.name.to_owned(), property(key, defs));
    }
    let required: Vec<&str> =
        section.keys.iter().filter(|key| key.need == Need::Required).map(|key| key.name).collect();
    let mut described = json!({ "type": "object", "description": section.about, "properties": properties });
    if !required.is_empty() {
        described["required"] = json!(required);
    }
    match section.rest {
        Rest::None => described["additionalProperties"] = json!(false),
        Rest::ScopedKeys => {
            let scopes = "^(resource|span|label|annotation|dimension|field|constant|out)\\..+$";
            described["patternProperties"] = json!({ scopes: shape(Shape::Matcher, defs) });
            described["additionalProperties"] = json!(false);
        }
        Rest::Tags => {
            let value = json!({ "anyOf": [shape(Shape::Texts, defs), reference(&super::EXPECT_TAG, defs)] });
            for name in tag_words() {
                described["properties"][name] = value.clone();
            }
            described["additionalProperties"] = json!(false);
        }
        Rest::Options => {}
    }
    described
}

fn property(key: &Key, defs: &mut Map<String, Value>) -> Value {
    let mut about = key.about.to_owned();
    if let Need::Default(default) = key.need {
        about.push_str(&format!(" Default: {default}."));
    }
    let mut property = shape(key.shape, defs);
    property["description"] = json!(about);
    property
}

/// The names of tags, and the other words for them.
fn tag_words() -> Vec<&'static str> {
    let mut words: Vec<&str> = TagName::ALL.iter().map(|name| name.as_str()).collect();
    words.extend(["environment", "confidence"].into_iter().filter(|word| TagName::parse(word).is_some()));
    words
}

fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn shape(shape: Shape, defs: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Text => scalar(),
        Shape::Texts => json!({ "anyOf": [scalar(), { "type": "array", "items": scalar() }] }),
        // A version is written without quotes.
        Shape::OneOf(&["1"]) => json!({ "enum": [1, "1"] }),
        Shape::OneOf(words) => json!({ "enum": words }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Whole => json!({ "type": "integer", "minimum": 0 }),
        Shape::Duration => json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" }),
        Shape::Date => json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
        Shape::Time => json!({ "type": "string", "format": "date-time" }),
        Shape::Map(section) => reference(section, defs),
        Shape::List(section) => json!({ "type": "array", "items": reference(section, defs) }),
        Shape::MapOf(section) => {
            let value = reference(section, defs);
            json!({ "type": "object", "additionalProperties": { "anyOf": [value, { "type": "null" }] } })
        }
        Shape::TextMap => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "null"] } })
        }
        Shape::TextsMap => json!({ "type": "object", "additionalProperties": self::shape(Shape::Texts, defs) }),
        Shape::TextsPer(names) => {
            let value = self::shape(Shape::Texts, defs);
            let properties: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
            json!({ "type": "object", "properties": properties, "additionalProperties": false })
        }
        Shape::Counts => json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } }),
        Shape::Rows => json!({ "type": "array", "items": self::shape(Shape::TextMap, defs) }),
        Shape::TextOr(section) => json!({ "anyOf": [scalar(), reference(section, defs)] }),
        Shape::ListOfTextOr(section) => {
            json!({ "type": "array", "items": { "anyOf": [scalar(), reference(section, defs)] } })
        }
        Shape::CountOrListOf(section) => json!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            self::shape(Shape::Counts, defs),
            self::shape(Shape::ListOfTextOr(section), defs),
        ] }),
        Shape::ListOfExpect => json!({ "type": "array", "items": reference(&super::EXPECT, defs) }),
        Shape::Matcher => {
            let one = json!({ "anyOf": [scalar(), reference(&super::MATCHER, defs)] });
            json!({ "anyOf": [one.clone(), { "type": "array", "minItems": 1, "items": one }] })
        }
        Shape::When => reference(&super::files::WHEN, defs),
        Shape::Whens => {
            json!({ "type": "array", "minItems": 1, "items": reference(&super::files::WHEN, defs) })
        }
        Shape::Set => {
            let properties: Map<String, Value> =
                tag_words().into_iter().map(|name| (name.to_owned(), scalar())).collect();
            json!({ "type": "object", "minProperties": 1, "properties": properties, "additionalProperties": false })
        }
        Shape::Any => json!({}),
    }
}
