//! As much of JSON Schema as our own schemas use, to hold files against them. A keyword that it does not know is a
//! fault, so that nothing is passed over.

use regex::Regex;
use serde_json::Value;

/// What does not fit, as `place: why`.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    Check { root: schema }.check(schema, value, "", &mut faults);
    faults
}

struct Check<'s> {
    root: &'s Value,
}

const WORDS_WITHOUT_EFFECT: [&str; 8] =
    ["$schema", "$defs", "title", "description", "default", "format", "then", "else"];

impl Check<'_> {
    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut faults = Vec::new();
        self.check(schema, value, "", &mut faults);
        faults.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let Some(keywords) = schema.as_object() else { return };
        for (keyword, wanted) in keywords {
            match keyword.as_str() {
                "$ref" => {
                    let path = wanted.as_str().expect("a reference is a text").trim_start_matches('#');
                    let target = self.root.pointer(path).unwrap_or_else(|| panic!("no `{path}` in the schema"));
                    self.check(target, value, at, faults);
                }
                "anyOf" => {
                    let branches = wanted.as_array().expect("a list");
                    if !branches.iter().any(|branch| self.fits(branch, value)) {
                        faults.push(format!("{at}: {value} fits none of {} forms", branches.len()));
                    }
                }
                "allOf" => {
                    wanted.as_array().expect("a list").iter().for_each(|part| self.check(part, value, at, faults))
                }
                "if" => {
                    let branch = if self.fits(wanted, value) { "then" } else { "else" };
                    if let Some(branch) = keywords.get(branch) {
                        self.check(branch, value, at, faults);
                    }
                }
                "type" if !is_one_of(wanted, value) => faults.push(format!("{at}: {value} is not {wanted}")),
                "type" => {}
                "enum" if !wanted.as_array().is_some_and(|known| known.contains(value)) => {
                    faults.push(format!("{at}: {value} is not one of {wanted}"));
                }
                "const" if wanted != value => faults.push(format!("{at}: {value} is not {wanted}")),
                "enum" | "const" => {}
                "pattern" => {
                    let pattern = Regex::new(wanted.as_str().expect("a text")).expect("a pattern of ours");
                    if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                        faults.push(format!("{at}: {value} does not match {wanted}"));
                    }
                }
                "minimum" | "minItems" | "minProperties" | "maxProperties" => {
                    if !is_within(keyword, wanted.as_f64().expect("a number"), value) {
                        faults.push(format!("{at}: {value} is beyond `{keyword}: {wanted}`"));
                    }
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(wanted, item, &format!("{at}/{number}"), faults);
                    }
                }
                "required" => faults.extend(missing(wanted, value).map(|key| format!("{at}: `{key}` is missing"))),
                "properties" | "patternProperties" | "additionalProperties" => {}
                word if WORDS_WITHOUT_EFFECT.contains(&word) => {}
                word => panic!("the schema uses `{word}`, which is not checked here"),
            }
        }
        self.members(schema, value, at, faults);
    }

    fn members(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        for (key, member) in value.as_object().into_iter().flatten() {
            let place = format!("{at}/{key}");
            let mut is_known = false;
            if let Some(known) = schema["properties"].get(key) {
                is_known = true;
                self.check(known, member, &place, faults);
            }
            for (pattern, known) in schema["patternProperties"].as_object().into_iter().flatten() {
                if Regex::new(pattern).expect("a pattern of ours").is_match(key) {
                    is_known = true;
                    self.check(known, member, &place, faults);
                }
            }
            match &schema["additionalProperties"] {
                Value::Bool(false) if !is_known => faults.push(format!("{place}: unknown key")),
                further @ Value::Object(_) if !is_known => self.check(further, member, &place, faults),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => {}
            }
        }
    }
}

/// Bounds of numbers, and of how much a list or a map holds; other kinds of values have none.
fn is_within(keyword: &str, bound: f64, value: &Value) -> bool {
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    match (keyword, value) {
        ("minimum", Value::Number(number)) => number.as_f64().is_some_and(|number| number >= bound),
        ("minItems", Value::Array(items)) => count(items.len()) >= bound,
        ("minProperties", Value::Object(map)) => count(map.len()) >= bound,
        ("maxProperties", Value::Object(map)) => count(map.len()) <= bound,
        _ => true,
    }
}

fn missing<'s>(wanted: &'s Value, value: &Value) -> impl Iterator<Item = &'s str> {
    let keys = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
    keys.filter(move |key| value.as_object().is_some_and(|map| !map.contains_key(*key)))
}

/// One type, or one of a list.
fn is_one_of(wanted: &Value, value: &Value) -> bool {
    let fits = |kind: &Value| is_type(kind.as_str().unwrap_or(""), value);
    wanted.as_array().map_or_else(|| fits(wanted), |kinds| kinds.iter().any(fits))
}

fn is_type(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("`{other}` is no type"),
    }
}
