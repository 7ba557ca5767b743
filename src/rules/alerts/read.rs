//! The section `alerts` of a rule file. Reports what could never hold, or would hold for everything, where it is
//! written; never leaves a fault to the first record.

use std::time::Duration;

use crate::model::Severity;
use crate::rules::condition::{All, Reading};
use crate::rules::diagnostic::Faults;
use crate::rules::facts::{Asker, Key, Scope};
use crate::rules::matcher::Bindable;
use crate::rules::rule::{Ids, read_id};
use crate::rules::suggest;
use crate::rules::table::Tables;
use crate::rules::template::Template;
use crate::rules::walk::{self, Fields, Word};
use crate::rules::yaml::{Kind, Node};

use super::{ATTRIBUTES, AlertRule, AlertSets, RecordSet, Records, scope_of};

const KEYS: [&str; 10] = ["id", "why", "from", "when", "name", "severity", "title", "identity", "labels", "holds_for"];
const SEVERITIES: [&str; 4] = ["critical", "error", "warning", "info"];
const HOLDS_FOR: Duration = Duration::from_secs(600);

pub(super) fn rule(node: &Node, sets: &mut AlertSets, tables: &Tables, ids: &mut Ids, faults: &mut Faults<'_>) {
    let Some(fields) = Fields::read(node, "an alert rule", &KEYS, faults) else { return };
    let by = read_id(&fields, "an alert rule", ids, faults);
    fields.word("why", faults);
    let Some(set) = read_from(&fields, faults).map(|records| sets.of_mut(records)) else { return };
    let rule = read_rule(&fields, set, tables, faults);
    if let (Some(by), Some(rule)) = (by, rule) {
        let id = by.rsplit(' ').next().unwrap_or_default().into();
        set.rules.push(AlertRule { id, by, ..rule });
    }
}

fn read_from(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Option<Records> {
    const FROM: [Records; 2] = [Records::Logs, Records::Spans];
    if fields.get("from").is_none() {
        fields.missing("from", "an alert rule", Some("`from: logs` or `from: spans`".to_owned()), faults);
        return None;
    }
    let word = fields.one_of("from", &FROM.map(Records::as_str), faults)?;
    FROM.into_iter().find(|records| records.as_str() == word.text)
}

/// All but its id.
fn read_rule(fields: &Fields<'_>, set: &mut RecordSet, tables: &Tables, faults: &mut Faults<'_>) -> Option<AlertRule> {
    let records = set.records;
    set.keys.asked_by(Asker::Record(records));
    let mut reading = Reading { keys: &mut set.keys, tables };
    let mut bindable = Bindable::default();
    let when = match fields.get("when") {
        Some(node) => read_when(node, records, &mut reading, &mut bindable, faults),
        None => {
            fields.missing("when", "an alert rule", None, faults);
            None
        }
    };
    let severity = read_severity(fields, faults);
    let holds_for = read_holds_for(fields, faults);
    let name = fields.required("name", "an alert rule", faults);
    // After a fault in `when`, what the texts may name is not known: more messages would be noise.
    let when = when?;
    let name = name.and_then(|word| {
        let template = Template::read(word, &mut reading, &bindable, faults)?;
        let mut keys = Vec::new();
        template.visit_keys(&mut |key| keys.push(key));
        keys.iter().all(|key| is_lasting(*key, records, word, &reading, faults)).then_some(template)
    });
    let title = match fields.word("title", faults) {
        Some(word) => Some(Template::read(word, &mut reading, &bindable, faults)?),
        None => None,
    };
    let labels = read_labels(fields, &mut reading, &bindable, faults);
    let identity = read_identity(fields, records, &mut reading, faults);
    Some(AlertRule {
        id: "".into(),
        by: "".into(),
        severity: severity?,
        holds_for: holds_for?,
        when,
        name: name?,
        title,
        identity: identity?,
        labels: labels?,
    })
}

fn read_when(
    node: &Node,
    records: Records,
    reading: &mut Reading<'_>,
    bindable: &mut Bindable,
    faults: &mut Faults<'_>,
) -> Option<All> {
    let before = faults.error_count();
    check_words(node, records, faults);
    let when = All::read(node, reading, bindable, faults)?;
    if faults.error_count() > before {
        return None;
    }
    let own = scope_of(records);
    let mut asks_record = false;
    when.visit_keys(&mut |key| asks_record |= reading.keys.is_of(key, own));
    if !asks_record {
        let example = match records {
            Records::Logs => "`log.severity: [ERROR, FATAL]`",
            Records::Spans => "`span.status: ERROR`",
        };
        let hint = format!("ask the record itself, for example {example}");
        faults.error(node.at, "this would make an alert of every record of a Resource", Some(hint));
        return None;
    }
    Some(when)
}

/// Reports a value that a closed set does not have, such as `error` for `ERROR`.
fn check_words(node: &Node, records: Records, faults: &mut Faults<'_>) {
    let Kind::Map(entries) = &node.kind else { return };
    for entry in entries {
        match (entry.key.as_str(), &entry.value.kind) {
            ("any", Kind::List(branches)) => branches.iter().for_each(|branch| check_words(branch, records, faults)),
            ("not", Kind::Map(_)) => check_words(&entry.value, records, faults),
            (key, Kind::Text(_) | Kind::List(_)) => {
                let word = key.strip_prefix(prefix_of(records)).unwrap_or_default();
                let Some(known) = records.values_of(word) else { continue };
                let items = if let Kind::List(items) = &entry.value.kind {
                    &items[..]
                } else {
                    std::slice::from_ref(&entry.value)
                };
                for item in items {
                    let Kind::Text(text) = &item.kind else { continue };
                    if known.contains(&text.as_str()) {
                        continue;
                    }
                    let hint = suggest::hint(text, known.iter().copied());
                    faults.error(item.at, format!("`{key}` is never `{text}`"), hint);
                }
            }
            (_, Kind::Null | Kind::Map(_)) => {}
        }
    }
}

const fn prefix_of(records: Records) -> &'static str {
    match records {
        Records::Logs => "log.",
        Records::Spans => "span.",
    }
}

/// Reports a key whose value is another with each record.
fn is_lasting(key: Key, records: Records, word: Word<'_>, reading: &Reading<'_>, faults: &mut Faults<'_>) -> bool {
    let text = reading.keys.text(key);
    let is_fleeting = text.strip_prefix(prefix_of(records)).is_some_and(|name| records.is_fleeting(name));
    if is_fleeting {
        let hint = "it is another with each record, so that each would be an alert of its own; take a part of it with \
                    `re` and `(?<name>…)`, or put it into `title`";
        faults.error(word.at, format!("`{text}` cannot tell alerts apart"), Some(hint.to_owned()));
    }
    !is_fleeting
}

fn read_severity(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Option<Severity> {
    match fields.get("severity") {
        None => Some(Severity::default()),
        Some(_) => fields.one_of("severity", &SEVERITIES, faults).and_then(|word| Severity::from_word(word.text)),
    }
}

fn read_holds_for(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Option<Duration> {
    let Some(node) = fields.get("holds_for") else { return Some(HOLDS_FOR) };
    let holds_for = fields.duration("holds_for", faults)?;
    if holds_for.is_zero() {
        faults.error(node.at, "an alert must hold for some time", Some("10m is the default".to_owned()));
        return None;
    }
    Some(holds_for)
}

fn read_labels(
    fields: &Fields<'_>,
    reading: &mut Reading<'_>,
    bindable: &Bindable,
    faults: &mut Faults<'_>,
) -> Option<Vec<(Box<str>, Template)>> {
    let Some(node) = fields.get("labels") else { return Some(Vec::new()) };
    let entries = walk::entries(node, "`labels`", faults)?;
    let label = |entry: &crate::rules::yaml::Entry| {
        if entry.key == "alertname" {
            let hint = "it is the `name` of the rule".to_owned();
            faults.error(entry.key_at, "the label `alertname` cannot be set", Some(hint));
            return None;
        }
        let word = walk::word(&entry.value, &format!("`{}`", entry.key), faults)?;
        let template = Template::read(word, reading, bindable, faults)?;
        Some((Box::from(entry.key.as_str()), template))
    };
    // All of them first, so that each fault is reported.
    let labels: Vec<_> = entries.iter().map(label).collect();
    labels.into_iter().collect()
}

fn read_identity(
    fields: &Fields<'_>,
    records: Records,
    reading: &mut Reading<'_>,
    faults: &mut Faults<'_>,
) -> Option<Vec<Key>> {
    let words = fields.words("identity", faults);
    let key = |word: Word<'_>| {
        let key = reading.keys.read(word, faults)?;
        is_lasting(key, records, word, reading, faults).then_some(key)
    };
    let keys: Vec<_> = words.into_iter().map(key).collect();
    keys.into_iter().collect()
}

/// The name under which a key stands, or a fault: who may ask in which scope, and how a record's own words are spelled.
pub(in crate::rules) fn check_key<'n>(
    asker: Asker,
    scope: Scope,
    word: Word<'n>,
    faults: &mut Faults<'_>,
) -> Option<&'n str> {
    let records = match asker {
        Asker::Anyone | Asker::Voter if scope != Scope::Log => return Some(word.text),
        Asker::Anyone | Asker::Voter => {
            let hint =
                "a rule of kind `alerts` makes an alert of the record; its `labels` are `label.` here".to_owned();
            faults.error(word.at, "log records are looked at by rules of kind `alerts` only", Some(hint));
            return None;
        }
        Asker::Record(records) => records,
    };
    if scope == scope_of(records) {
        return check_word(records, word, faults);
    }
    let is_unset = scope == Scope::Out && matches!(word.text, "class" | "severity");
    if is_unset || !matches!(scope, Scope::Resource | Scope::Out) {
        let hint = format!("known: `{}…`, `resource.…`, and tags of the Resource: `out.…`", prefix_of(records));
        let message = match is_unset {
            true => format!("a Resource has no tag `{}`", word.text),
            false => format!("a rule for {} does not see this scope", records.as_str()),
        };
        faults.error(word.at, message, Some(hint));
        return None;
    }
    Some(word.text)
}

/// A slip in one of the record's own words would be an attribute that never comes.
fn check_word<'n>(records: Records, word: Word<'n>, faults: &mut Faults<'_>) -> Option<&'n str> {
    let own = records.words();
    if own.contains(&word.text) {
        return Some(word.text);
    }
    if let Some(attribute) = word.text.strip_prefix(ATTRIBUTES).filter(|name| !name.is_empty()) {
        return Some(if own.contains(&attribute) { word.text } else { attribute });
    }
    if let Some(near) = suggest::nearest(word.text, own.iter().copied()) {
        let prefix = prefix_of(records);
        let hint =
            format!("did you mean `{prefix}{near}`? An attribute of that name is `{prefix}{ATTRIBUTES}{}`", word.text);
        faults.error(word.at, format!("unknown word `{}`", word.text), Some(hint));
        return None;
    }
    Some(word.text)
}
