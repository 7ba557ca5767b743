//! The mapping of an instance: for each target where to look. Refuses unknown keys and pointers that are
//! none, so that a slip is found at start and not by a lost alert.

use std::borrow::Cow;

use serde_json::Value;

use crate::model::{Labels, State};
use crate::sources::node::{Kind, Node};

use super::read;
use super::states::States;

pub(super) struct Mapping {
    pub(super) alerts: Option<Vec<String>>,
    pub(super) identity: Target,
    /// Somebody said where it stands: then nothing else is one.
    pub(super) identity_is_chosen: bool,
    state: Target,
    state_is_chosen: bool,
    states: States,
    pub(super) severity: Target,
    pub(super) title: Target,
    pub(super) name: Target,
    pub(super) time: Target,
    pub(super) link: Target,
    labels: LabelsTarget,
}

/// Places in their order; the first that holds something wins.
pub(super) struct Target(Vec<Place>);

enum Place {
    Pointer(String),
    Const(String),
}

enum LabelsTarget {
    Pointers(Vec<String>),
    Const(Vec<(String, String)>),
}

const KEYS: [&str; 10] =
    ["alerts", "identity", "labels", "link", "name", "severity", "state", "states", "time", "title"];

impl Mapping {
    /// The error names the key.
    pub(super) fn of_options(options: &Value) -> Result<Mapping, String> {
        let empty = serde_json::Map::new();
        let options = match options {
            Value::Null => &empty,
            Value::Object(options) => options,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err("the mapping of a `json` source is an object".to_owned());
            }
        };
        if let Some(key) = options.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("unknown key `{key}`; known are {}", listed(KEYS.into_iter())));
        }
        let target = |key: &str, candidates: &str| match options.get(key) {
            None => Ok(Target(pointers_to(candidates).map(Place::Pointer).collect())),
            Some(value) => places(key, value).map(Target),
        };
        let states = States::of_option(options.get("states"))?;
        let state = target("state", "status state alert_state event_action action current_state")?;
        for constant in state.constants() {
            states.state_of(constant).map_err(|reason| format!("key `state`: {reason}"))?;
        }
        Ok(Mapping {
            alerts: options.get("alerts").map(|value| pointers("alerts", value)).transpose()?,
            identity_is_chosen: options.contains_key("identity"),
            identity: target("identity", "dedup_key dedupKey fingerprint alias incident_key alert_id id")?,
            state,
            state_is_chosen: options.contains_key("state"),
            states,
            severity: target("severity", "severity priority level alert_type")?,
            title: target("title", "title summary subject name alertname message text")?,
            name: target("name", "alertname name")?,
            time: target("time", "timestamp time startsAt date created_at occurred_at")?,
            link: target("link", "url link html_url generatorURL")?,
            labels: match options.get("labels") {
                None => LabelsTarget::Pointers(pointers_to("labels tags details attributes").collect()),
                Some(value) => labels_target(value)?,
            },
        })
    }

    /// Firing where nothing is said. A number where nobody said that there is a state is none: `status: 500` may be what a
    /// server answered.
    pub(super) fn state(&self, element: Node<'_>) -> Result<State, String> {
        let mut words = self.state.texts(element);
        if self.state_is_chosen {
            return words.next().map_or(Ok(State::Firing), |word| self.states.state_of(&word));
        }
        Ok(words.find_map(|word| self.states.state_of(&word).ok()).unwrap_or(State::Firing))
    }

    pub(super) fn labels<'a>(&self, element: Node<'a>) -> Labels<'a> {
        match &self.labels {
            LabelsTarget::Pointers(pointers) => pointers
                .iter()
                .filter_map(|pointer| element.pointer(pointer))
                .find(|node| node.kind() != Kind::Null)
                .map(read::labels_of)
                .unwrap_or_default(),
            LabelsTarget::Const(pairs) => pairs.iter().cloned().collect(),
        }
    }
}

impl Target {
    pub(super) fn text<'a>(&self, element: Node<'a>) -> Option<Cow<'a, str>> {
        self.texts(element).next()
    }

    /// Texts, numbers and booleans; blanks and template variables that nobody filled in are absent.
    fn texts<'a>(&self, element: Node<'a>) -> impl Iterator<Item = Cow<'a, str>> {
        self.0.iter().filter_map(move |place| match place {
            Place::Const(text) => Some(Cow::Owned(text.clone())),
            Place::Pointer(pointer) => element.pointer(pointer)?.scalar().filter(|text| read::is_filled_in(text)),
        })
    }

    fn constants(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|place| match place {
            Place::Const(text) => Some(text.as_str()),
            Place::Pointer(_) => None,
        })
    }

    /// For the error of one who looks for the reason.
    pub(super) fn tried(&self) -> String {
        listed(self.0.iter().map(|place| match place {
            Place::Pointer(pointer) => pointer.as_str(),
            Place::Const(text) => text.as_str(),
        }))
    }
}

pub(super) fn listed<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    texts.map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ")
}

fn pointers_to(names: &str) -> impl Iterator<Item = String> {
    names.split(' ').map(|name| format!("/{name}"))
}

fn places(key: &str, value: &Value) -> Result<Vec<Place>, String> {
    match value {
        Value::String(pointer) => Ok(vec![Place::Pointer(checked_pointer(key, pointer)?)]),
        Value::Object(map) => match (map.len(), map.get("const")) {
            (1, Some(Value::String(text))) => Ok(vec![Place::Const(text.clone())]),
            (1, Some(Value::Number(number))) => Ok(vec![Place::Const(number.to_string())]),
            (1, Some(Value::Bool(yes))) => Ok(vec![Place::Const(yes.to_string())]),
            _ => Err(format!("key `{key}`: expected `{{const: …}}` with a text")),
        },
        Value::Array(list) if list.is_empty() => Err(format!("key `{key}`: the list is empty")),
        Value::Array(list) => {
            let mut all = Vec::new();
            for item in list {
                if item.is_array() {
                    return Err(format!("key `{key}`: a list inside the list"));
                }
                all.extend(places(key, item)?);
            }
            Ok(all)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            Err(format!("key `{key}`: expected a JSON pointer, `{{const: …}}` or a list of them"))
        }
    }
}

/// Only pointers: a constant makes no sense there.
fn pointers(key: &str, value: &Value) -> Result<Vec<String>, String> {
    places(key, value)?
        .into_iter()
        .map(|place| match place {
            Place::Pointer(pointer) => Ok(pointer),
            Place::Const(_) => Err(format!("key `{key}`: expected JSON pointers only")),
        })
        .collect()
}

fn labels_target(value: &Value) -> Result<LabelsTarget, String> {
    let Some(constant) = value.as_object().and_then(|map| map.get("const").filter(|_| map.len() == 1)) else {
        return pointers("labels", value).map(LabelsTarget::Pointers);
    };
    let fault = || "key `labels`: the constant is an object of texts".to_owned();
    let pairs = constant.as_object().ok_or_else(fault)?.iter().map(|(name, value)| {
        let text = value.as_str().ok_or_else(fault)?;
        Ok((name.clone(), text.to_owned()))
    });
    pairs.collect::<Result<_, String>>().map(LabelsTarget::Const)
}

fn checked_pointer(key: &str, pointer: &str) -> Result<String, String> {
    if pointer.is_empty() || pointer.starts_with('/') {
        Ok(pointer.to_owned())
    } else {
        Err(format!("key `{key}`: `{pointer}` is no JSON pointer, did you mean `/{}`?", pointer.replace('.', "/")))
    }
}
