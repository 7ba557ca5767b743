//! What a story is given: a payload, an alert or a span, with `${word}` filled in. Never opens a file: payloads are
//! among the files that the caller has read.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::{Labels, Severity, State};
use crate::rules::diagnostic::Faults;
use crate::rules::schema::{ALERT, GIVEN, SPAN, SPAN_KINDS, known};
use crate::rules::walk::{self, Fields, Word};
use crate::rules::yaml::{Kind, Node};
use crate::rules::{SourceFile, suggest};

use super::{Given, GivenAlert, Payload, Sender, Span, Spot};

/// As the webhooks of senders that do not repeat themselves often.
const HOLDS_FOR: Duration = Duration::from_secs(24 * 3600);
const SOURCE: &str = "alertmanager";
/// Labels that may be written beside `name`, because every second story needs them.
const SHORT_LABELS: [&str; 5] = ["service", "env", "cell", "cluster", "platform"];

const STATES: [State; 6] =
    [State::Firing, State::Resolved, State::Acknowledged, State::Suppressed, State::NoData, State::Info];

/// What a story may send.
pub(super) struct Givens<'g> {
    pub(super) files: &'g [SourceFile],
    pub(super) given: Option<&'g Node>,
}

/// What `${…}` stands for.
#[derive(Default)]
pub(super) struct Words(Vec<(String, String)>);

impl Words {
    pub(super) fn of_moment(word: &str) -> Words {
        Words(vec![("at".to_owned(), word.to_owned())])
    }

    pub(super) fn read(node: &Node, faults: &mut Faults<'_>) -> Words {
        let entries = walk::entries(node, "`with`", faults).unwrap_or_default();
        let read = |entry: &crate::rules::yaml::Entry, faults: &mut Faults<'_>| {
            walk::word(&entry.value, &format!("`{}`", entry.key), faults)
                .map(|word| (entry.key.clone(), word.text.to_owned()))
        };
        Words(entries.iter().filter_map(|entry| read(entry, faults)).collect())
    }

    /// The text with every `${word}` filled in.
    fn fill(&self, word: Word<'_>, faults: &mut Faults<'_>) -> String {
        let mut filled = String::with_capacity(word.text.len());
        let mut rest = word.text;
        while let Some((before, behind)) = rest.split_once("${") {
            filled.push_str(before);
            let Some((name, after)) = behind.split_once('}') else {
                faults.error(word.at, "`${` without its `}`", None);
                return filled;
            };
            match self.0.iter().find(|(known, _)| known == name) {
                Some((_, text)) => filled.push_str(text),
                None => {
                    let hint = suggest::hint(name, self.0.iter().map(|(known, _)| known.as_str()))
                        .or_else(|| Some("give it a value in `with` of the step".to_owned()));
                    faults.error(word.at, format!("nothing fills in `${{{name}}}`"), hint);
                }
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

/// `send`: a state, or `as_given`. The outer `None` is a fault.
pub(super) fn read_send(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Option<Option<State>> {
    let mut known: Vec<&str> = STATES.iter().map(|state| state.as_str()).collect();
    known.push("as_given");
    let word = fields.one_of("send", &known, faults)?;
    Some(STATES.into_iter().find(|state| state.as_str() == word.text))
}

impl Givens<'_> {
    /// `None` after a fault, or when nothing is given.
    pub(super) fn read(&self, words: &Words, state: Option<State>, faults: &mut Faults<'_>) -> Option<Given> {
        let node = self.given?;
        let fields = Fields::read(node, "`given`", &known(&GIVEN), faults)?;
        let kinds = ["alert", "file", "span"];
        let given: Vec<&str> = kinds.into_iter().filter(|kind| fields.get(kind).is_some()).collect();
        let [kind] = given[..] else {
            let hint = Some("one of `alert`, `file` and `span`".to_owned());
            faults.error(node.at, "`given` must say one thing that comes in", hint);
            return None;
        };
        let reads_body = ["source", "instance", "path", "constants", "options"];
        if let Some(key) = reads_body.into_iter().find(|key| kind != "file" && fields.get(key).is_some()) {
            let hint = (kind == "alert").then(|| format!("write `{key}` inside `alert`"));
            let at = fields.key_at(key).unwrap_or(node.at);
            faults.error(at, format!("`{key}` belongs to `file`"), hint);
            return None;
        }
        if let (Some(_), false) = (state, kind == "alert") {
            faults.error(node.at, format!("a `{kind}` says its own state"), Some("write `send: as_given`".to_owned()));
            return None;
        }
        match kind {
            "alert" => {
                let alert = read_alert(fields.get("alert")?, words, faults)?;
                let state = state.unwrap_or(alert.state);
                Some(Given::Alert(Box::new(GivenAlert { state, ..alert })))
            }
            "file" => self.read_payload(&fields, words, faults).map(|payload| Given::Payload(Box::new(payload))),
            _ => {
                let fields = Fields::read(fields.get("span")?, "`span`", &known(&SPAN), faults)?;
                let resource = labels(&fields, "resource", words, faults);
                let attributes = labels(&fields, "attributes", words, faults);
                let is_server = fields.one_of("kind", SPAN_KINDS, faults).is_some_and(|kind| kind.text == "server");
                Some(Given::Span(Box::new(Span { resource, attributes, is_server })))
            }
        }
    }

    fn read_payload(&self, fields: &Fields<'_>, words: &Words, faults: &mut Faults<'_>) -> Option<Payload> {
        let file = fields.word("file", faults)?;
        let name = format!("tests/{}", words.fill(file, faults));
        let mut sender = read_sender(fields, words, faults);
        if fields.get("source").is_none() {
            // The one that can read the body, which is known when it is read.
            sender.kind.clear();
            if fields.get("instance").is_none() {
                sender.instance.clear();
            }
        }
        if !self.files.iter().any(|held| held.name == name) {
            let below = self.files.iter().filter_map(|held| held.name.strip_prefix("tests/"));
            let near = suggest::nearest(file.text, below).map(|near| format!("did you mean `{near}`?"));
            faults.error(file.at, format!("no file `{name}` beside the rules"), near);
            return None;
        }
        let options = fields.get("options").map_or(Value::Null, as_json);
        let path = fields.word("path", faults).map(|word| word.text.to_owned());
        Some(Payload { file: name, spot: Spot::new(file.at, faults), sender, path, options })
    }
}

fn read_sender(fields: &Fields<'_>, words: &Words, faults: &mut Faults<'_>) -> Sender {
    let kind = fields.word("source", faults);
    let text = kind.map_or(SOURCE, |word| word.text).to_owned();
    let kind_spot = Spot::new(kind.map_or(fields.at, |word| word.at), faults);
    let instance = fields.word("instance", faults).map_or_else(|| text.clone(), |word| word.text.to_owned());
    Sender { kind: text, kind_spot, instance, constants: labels(fields, "constants", words, faults) }
}

fn read_alert(node: &Node, words: &Words, faults: &mut Faults<'_>) -> Option<GivenAlert> {
    let otherwise = Some("labels stand in `labels: { … }`, but for the few that every second test needs");
    let fields = Fields::read_or_hint(node, "`alert`", &known(&ALERT), otherwise, faults)?;
    let sender = read_sender(&fields, words, faults);
    let text = |key: &str, faults: &mut Faults<'_>| fields.word(key, faults).map(|word| words.fill(word, faults));
    let mut labels = labels(&fields, "labels", words, faults);
    for name in SHORT_LABELS {
        if let Some(value) = text(name, faults) {
            labels.set(name, value);
        }
    }
    let state_words: Vec<&str> = STATES.iter().map(|state| state.as_str()).collect();
    let state = fields.one_of("state", &state_words, faults);
    let state = state.and_then(|word| STATES.into_iter().find(|state| state.as_str() == word.text));
    let severity_word = text("severity", faults);
    let severity = severity_word.as_deref().or(labels.get("severity"));
    let severity = match (severity.and_then(Severity::from_word), &severity_word) {
        (None, Some(word)) => {
            let at = fields.get("severity").map_or(node.at, |node| node.at);
            let hint = suggest::hint(word, ["info", "warning", "error", "critical"]);
            faults.error(at, format!("unknown severity `{word}`"), hint);
            Severity::default()
        }
        (found, _) => found.unwrap_or_default(),
    };
    let (name, class) = (text("name", faults), text("class", faults));
    if let (Some(_), Some(_)) = (&name, &class) {
        faults.error(node.at, "`class` is another word for `name` here: write one of them", None);
    }
    let name = name.or(class).unwrap_or_else(|| labels.get("alertname").unwrap_or("Alert").to_owned());
    let mut further = self::labels(&fields, "fields", words, faults);
    // As the sources hand them over.
    for (dimension, value) in self::labels(&fields, "dimensions", words, faults).iter() {
        further.set(format!("dimension.{dimension}"), value.to_owned());
    }
    let holds_for = fields.duration("holds_for", faults).unwrap_or(HOLDS_FOR);
    if holds_for.is_zero() {
        let at = fields.get("holds_for").map_or(node.at, |node| node.at);
        faults.error(at, "`0s`: an alert would be over as soon as it fires", None);
    }
    Some(GivenAlert {
        sender,
        id: text("id", faults),
        state: state.unwrap_or(State::Firing),
        severity,
        title: text("title", faults).unwrap_or_else(|| name.clone()),
        name,
        annotations: self::labels(&fields, "annotations", words, faults),
        fields: further,
        labels,
        holds_for,
    })
}

/// A map of texts. An empty text is absent, as everywhere.
fn labels(fields: &Fields<'_>, key: &str, words: &Words, faults: &mut Faults<'_>) -> Labels<'static> {
    let mut labels = Labels::new();
    let Some(node) = fields.get(key) else { return labels };
    for entry in walk::entries(node, &format!("`{key}`"), faults).unwrap_or_default() {
        match &entry.value.kind {
            Kind::Text(text) => {
                let filled = words.fill(Word { text, at: entry.value.at }, faults);
                labels.set(entry.key.clone(), filled);
            }
            Kind::Null => {}
            // As a scanner of telemetry hands it over.
            Kind::List(_) if key == "resource" => {
                let items = walk::words(&entry.value, &format!("`{}`", entry.key), faults);
                let items: Vec<Value> = items.into_iter().map(|word| words.fill(word, faults).into()).collect();
                labels.set(entry.key.clone(), Value::Array(items).to_string());
            }
            Kind::List(_) | Kind::Map(_) => {
                let message = format!("`{}` must be a text, not {}", entry.key, entry.value.kind_name());
                faults.error(entry.value.at, message, None);
            }
        }
    }
    labels
}

/// Every scalar as a text, as everywhere in rule files.
fn as_json(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Text(text) => Value::String(text.clone()),
        Kind::List(items) => Value::Array(items.iter().map(as_json).collect()),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), as_json(&entry.value))).collect::<Map<_, _>>())
        }
    }
}
