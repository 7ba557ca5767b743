//! Alerts in telemetry: log records and spans that a rule takes for one, read from a block that a scan has accepted.
//! Never reads more of a record than the rules ask for, and never makes the same alert twice in one request.

mod log;
mod span;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::model::alert::Voice;
use crate::model::id::{IdHasher, IdSet};
use crate::model::{Alert, Identity, Labels, SenderId, State, TagName, Tags};
use crate::otlp::exceptions::attributes::{clip, messages, name_and_value, text_of};
use crate::otlp::resource;
use crate::rules::{AlertRules, FoundAlert, RecordFacts, Records};

/// Alerts of one request; a sender with more has one fault many times.
pub const ALERT_COUNT_MAX: usize = 256;
/// Of a text that rules look at; what stands further behind is not seen.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// What of it goes out with the alert.
const DESCRIPTION_BYTES_MAX: usize = 2048;
const TITLE_BYTES_MAX: usize = 256;
/// Attributes of a Resource that go with an alert; more say nothing about where it ran.
const FIELD_COUNT_MAX: usize = 128;
const FIELD_BYTES_MAX: usize = 4096;
const FIELDS_BYTES_MAX: usize = 16 * 1024;

/// What is asked of a block.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub rules: AlertRules<'a>,
    pub records: Records,
    /// The kind and the name of the source that the alerts come from.
    pub kind: &'static str,
    pub instance: &'a str,
    /// What the rules say of the block's Resource.
    pub tags: &'a Tags,
}

/// The alerts of one request.
#[derive(Debug, Default)]
pub struct Found {
    pub alerts: Vec<Alert<'static>>,
    /// Records beyond the bound.
    pub omitted_count: u64,
    known: IdSet<Identity>,
}

/// A record, read as far as rules ask.
struct Record<'a> {
    words: Labels<'a>,
    /// The sentence a person reads where the rule has none.
    title: Cow<'a, str>,
    description: Cow<'a, str>,
    trace_id: &'a [u8],
    span_id: &'a [u8],
}

/// Adds the alerts of one block, without its own key and length. `resource` is its Resource message.
pub fn find(block: &[u8], resource: &[u8], asked: &Asked<'_>, found: &mut Found) {
    // Most blocks have no record that a rule may hold for.
    let mut labels = None;
    for scope in messages(block, 2) {
        for item in messages(scope, 2) {
            let record = match asked.records {
                Records::Logs => log::read(item, scope, asked.rules),
                Records::Spans => span::read(item, scope, asked.rules),
            };
            let Some(record) = record else { continue };
            let labels = labels.get_or_insert_with(|| resource::labels(resource));
            look(&record, labels, asked, found);
        }
    }
}

fn look(record: &Record<'_>, resource: &Labels<'_>, asked: &Asked<'_>, found: &mut Found) {
    let facts = RecordFacts { instance: asked.instance, resource, tags: asked.tags, record: &record.words };
    let Found { alerts, omitted_count, known } = found;
    let mut is_new = |identity| {
        if known.contains(&identity) {
            return false;
        }
        let has_room = known.len() < ALERT_COUNT_MAX;
        if has_room {
            known.insert(identity);
        } else {
            *omitted_count += 1;
        }
        has_room
    };
    let made = asked.rules.find(&facts, &mut is_new);
    alerts.extend(made.map(|alert| make(alert, record, resource, asked)));
}

fn make(found: FoundAlert<'_>, record: &Record<'_>, resource: &Labels<'_>, asked: &Asked<'_>) -> Alert<'static> {
    let FoundAlert { rule, name, title, labels, identity } = found;
    let service = asked.tags.value(TagName::Service).unwrap_or_default();
    // What the rule says stands last and wins.
    let defaults = [("service", service.to_owned())];
    let set = labels.into_iter().map(|(label, value)| (label.to_owned(), value));
    let given = defaults.into_iter().map(|(label, value)| (label.to_owned(), value));
    let labels = given.chain(set).chain([("alertname".to_owned(), name.clone())]).collect();
    let title = title.unwrap_or_else(|| match record.title.trim() {
        "" => name.clone(),
        text => text.to_owned(),
    });
    let annotations = [
        ("description", record.description.trim().to_owned()),
        ("trace_id", hex(record.trace_id)),
        ("span_id", hex(record.span_id)),
        ("rule", rule.by.to_string()),
    ];
    Alert {
        identity,
        sender: sender(asked),
        voice: Voice::Evaluator,
        state: State::Firing,
        // A start would tell every record from the one before it, though they are one alert.
        starts_at: None,
        ends_at: None,
        holds_for: rule.holds_for,
        severity: rule.severity,
        name: Cow::Owned(name),
        title: Cow::Owned(title),
        labels,
        annotations: annotations.into_iter().collect(),
        fields: fields_of(resource, asked.records, &rule.id),
        links: Vec::new(),
    }
}

/// Whoever sends, the telemetry of one service is one voice: instances come and go.
fn sender(asked: &Asked<'_>) -> SenderId {
    let mut hasher = IdHasher::new("sender");
    hasher.part(asked.kind);
    hasher.part(asked.instance);
    hasher.sender()
}

/// The Resource for the rules that tag the alert, under `resource.`, so that they say of it what they say of the span.
fn fields_of(resource: &Labels<'_>, records: Records, rule: &str) -> Labels<'static> {
    let mut room = FIELDS_BYTES_MAX;
    let mut kept = vec![("rule".to_owned(), rule.to_owned()), ("signal".to_owned(), records.as_str().to_owned())];
    // Command lines hold passwords, and no rule needs all of one.
    let shown = resource.iter().filter(|(name, _)| *name != "process.command_args");
    for (name, value) in shown.take(FIELD_COUNT_MAX) {
        let byte_count = name.len() + value.len();
        if byte_count <= FIELD_BYTES_MAX.min(room) {
            room -= byte_count;
            kept.push((format!("resource.{name}"), value.to_owned()));
        }
    }
    kept.into_iter().collect()
}

/// What rules may ask of a record: its attributes, its own words, and the name of its scope.
fn words<'a>(
    attributes: impl Iterator<Item = &'a [u8]>,
    own: [(&'static str, Cow<'a, str>); 5],
    scope: &'a [u8],
    rules: AlertRules<'_>,
) -> Labels<'a> {
    let mut words: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
    for pair in attributes {
        take_attribute(pair, rules, &mut words);
    }
    words.extend(own.into_iter().map(|(word, value)| (Cow::Borrowed(word), value)));
    let scope = if rules.asks("scope") { scope_name(scope) } else { Cow::Borrowed("") };
    words.push((Cow::Borrowed("scope"), scope));
    words.into_iter().collect()
}

/// Adds an attribute that some rule asks for.
fn take_attribute<'a>(pair: &'a [u8], rules: AlertRules<'_>, words: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>) {
    let (name, value) = name_and_value(pair);
    if let (Some(held), Some(value)) = (rules.attribute(name), value) {
        words.push((held, bounded(text_of(value, 0), TEXT_BYTES_MAX)));
    }
}

/// The name of the instrumentation scope: in many SDKs that of the logger.
fn scope_name(scope: &[u8]) -> Cow<'_, str> {
    let names = messages(scope, 1).flat_map(|scope| messages(scope, 1));
    names.last().map_or(Cow::Borrowed(""), |name| bounded(String::from_utf8_lossy(name), TEXT_BYTES_MAX))
}

fn bounded(text: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(clip(text, bytes_max)),
        Cow::Owned(mut text) => {
            text.truncate(clip(&text, bytes_max).len());
            Cow::Owned(text)
        }
    }
}

fn first_line(text: &str) -> &str {
    clip(text.trim_start().lines().next().unwrap_or_default(), TITLE_BYTES_MAX)
}

/// An id as people search for it; one of a wrong length or of zeros is none.
fn hex(id: &[u8]) -> String {
    if !matches!(id.len(), 8 | 16) || id.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
