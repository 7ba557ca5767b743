//! Rules that turn a log record or a span into an alert: the first of them that holds says its name, its identity and
//! how long it lasts. Never looks at a record that the cheap facts rule out, and never at anything but one record, its
//! Resource and the tags of that.

mod read;
#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::model::id::IdHasher;
use crate::model::{Identity, Labels, Severity, TagName, Tags};

use super::condition::{All, Findings};
use super::decide::Program;
use super::diagnostic::Faults;
use super::facts::{Key, Keys, Place, Scope, Scopes, View};
use super::index::Index;
use super::rule::Ids;
use super::table::Tables;
use super::template::Template;
use super::walk::Fields;

pub(super) use read::check_key;
pub use words::{LogSeverity, Records, SpanKind, SpanStatus};

/// Names and titles are for people; a longer one is cut.
const NAME_BYTES_MAX: usize = 200;
const TITLE_BYTES_MAX: usize = 1024;
const LABEL_BYTES_MAX: usize = 1024;

/// What of a record is read before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// `None`: the record does not say.
    Log(Option<LogSeverity>),
    Span {
        status: SpanStatus,
        kind: SpanKind,
    },
}

/// One record as its rules see it.
#[derive(Clone, Copy, Debug)]
pub struct RecordFacts<'a> {
    /// The name of the source: part of the identity.
    pub instance: &'a str,
    pub resource: &'a Labels<'a>,
    /// What the rules say of that Resource: `out.`.
    pub tags: &'a Tags,
    /// Its own words and those attributes that [`AlertRules::attribute`] names.
    pub record: &'a Labels<'a>,
}

/// A record that a rule takes for an alert.
#[derive(Clone, Debug)]
pub struct FoundAlert<'r> {
    pub rule: &'r AlertRule,
    pub name: String,
    /// `None`: the rule has none, or lacks a value for it.
    pub title: Option<String>,
    pub labels: Vec<(&'r str, String)>,
    pub identity: Identity,
}

/// One rule, compiled.
#[derive(Debug)]
pub struct AlertRule {
    pub id: Box<str>,
    /// `file:line id`.
    pub by: Arc<str>,
    pub severity: Severity,
    /// The alert fires until no such record came for this long.
    pub holds_for: Duration,
    when: All,
    name: Template,
    title: Option<Template>,
    /// Empty: the service as its Resource calls it, and the name.
    identity: Vec<Key>,
    labels: Vec<(Box<str>, Template)>,
}

/// The rules for one kind of records.
#[derive(Clone, Copy, Debug)]
pub struct AlertRules<'r> {
    set: &'r RecordSet,
    tables: &'r Tables,
}

impl<'r> AlertRules<'r> {
    /// `None` where no rule looks at these records.
    pub(super) fn of(program: &'r Program, records: Records) -> Option<AlertRules<'r>> {
        let set = program.alerts.of(records);
        (!set.rules.is_empty()).then_some(AlertRules { set, tables: &program.tables })
    }

    pub fn may_hold(&self, glance: Glance) -> bool {
        let (row, bit) = place_of(glance);
        self.set.glances[row] & 1 << bit != 0
    }

    /// The name under which an attribute belongs into [`RecordFacts::record`]; `None` when no rule asks for it.
    pub fn attribute<'n>(&self, name: &'n str) -> Option<Cow<'n, str>> {
        let held = match self.set.records.words().contains(&name) {
            true => Cow::Owned(format!("{ATTRIBUTES}{name}")),
            false => Cow::Borrowed(name),
        };
        self.asks(&held).then_some(held)
    }

    /// Whether a rule asks for this word of the record itself.
    pub fn asks(&self, word: &str) -> bool {
        self.set.keys.has(scope_of(self.set.records), word)
    }

    /// What the first rule that holds makes of the record; `None` where none holds, or the alert is not new.
    pub fn find(&self, facts: &RecordFacts<'_>, is_new: &mut dyn FnMut(Identity) -> bool) -> Option<FoundAlert<'r>> {
        let RecordSet { records, keys, rules, index, service_keys, .. } = self.set;
        let values = keys.look_up(&Scopes::of_record(*records, facts));
        let view = View { place: Place::default(), values: &values, tags: facts.tags, tables: self.tables };
        let mut candidates = index.start(&values);
        for (name, tag) in facts.tags.iter() {
            index.add(name as usize, &tag.value, &mut candidates);
        }
        let mut next = 0;
        while let Some(number) = candidates.next(next) {
            let rule = &rules[number];
            if rule.when.holds(&view) {
                return rule.make(&view, facts, service_keys, is_new);
            }
            next = number + 1;
        }
        None
    }
}

impl AlertRule {
    fn make<'r>(
        &'r self,
        view: &View<'_>,
        facts: &RecordFacts<'_>,
        service_keys: &[Key],
        is_new: &mut dyn FnMut(Identity) -> bool,
    ) -> Option<FoundAlert<'r>> {
        let mut findings = Findings::default();
        self.when.find(view, &mut findings);
        let text = |template: &Template, bytes_max: usize| {
            let rendered = template.render(view, &findings)?;
            one_line(rendered.as_str(), bytes_max)
        };
        let name = text(&self.name, NAME_BYTES_MAX).unwrap_or_else(|| self.id.to_string());
        let mut hasher = IdHasher::new("otlp");
        hasher.part(facts.instance);
        hasher.part(&self.id);
        // Tags are kept per alert, so one alert never spans two places, whatever the rule takes for its identity.
        for tag in PLACE_TAGS {
            hasher.part(facts.tags.value(tag).unwrap_or(""));
        }
        let keys = if self.identity.is_empty() { service_keys } else { &self.identity };
        keys.iter().for_each(|key| hasher.part(view.get(*key).unwrap_or("")));
        if self.identity.is_empty() {
            hasher.part(&name);
        }
        let identity = hasher.identity();
        if !is_new(identity) {
            return None;
        }
        let title = self.title.as_ref().and_then(|title| text(title, TITLE_BYTES_MAX));
        let label = |(name, template): &'r (Box<str>, Template)| Some((&**name, text(template, LABEL_BYTES_MAX)?));
        let labels = self.labels.iter().filter_map(label).collect();
        Some(FoundAlert { rule: self, name, title, labels, identity })
    }
}

/// Where a Resource runs, as far as an incident or its legs tell it apart.
const PLACE_TAGS: [TagName; 4] = [TagName::Environment, TagName::Platform, TagName::PlatformCluster, TagName::Cell];

/// Spells an attribute that has the name of one of the record's own words.
const ATTRIBUTES: &str = "attributes.";

/// Text for a line: control characters are blanks, the ends are trimmed, an empty one is none.
fn one_line(text: &str, bytes_max: usize) -> Option<String> {
    let cut = &text[..text.floor_char_boundary(bytes_max)];
    let line: String = cut.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

const fn scope_of(records: Records) -> Scope {
    match records {
        Records::Logs => Scope::Log,
        Records::Spans => Scope::Span,
    }
}

/// The bit behind those of the severities.
const UNSAID: u8 = 6;

/// Row and bit of a glance in [`RecordSet::glances`].
fn place_of(glance: Glance) -> (usize, u8) {
    match glance {
        Glance::Log(severity) => (0, severity.map_or(UNSAID, |severity| severity as u8)),
        Glance::Span { status, kind } => (status as usize, kind as u8),
    }
}

/// The rules for one kind of records, while they are read and after.
#[derive(Debug)]
struct RecordSet {
    records: Records,
    keys: Keys,
    rules: Vec<AlertRule>,
    index: Index,
    /// Which glances some rule may hold for: per status of a span the kinds, or the severities of a log record.
    glances: [u8; SpanStatus::ALL.len()],
    /// What says which service it is, for rules without an identity.
    service_keys: [Key; 2],
}

/// All rules for alerts.
#[derive(Debug)]
pub(super) struct AlertSets {
    logs: RecordSet,
    spans: RecordSet,
}

impl AlertSets {
    pub(super) fn new() -> AlertSets {
        AlertSets { logs: RecordSet::new(Records::Logs), spans: RecordSet::new(Records::Spans) }
    }

    /// Reads the section `alerts` of a file.
    pub(super) fn read(&mut self, fields: &Fields<'_>, tables: &Tables, ids: &mut Ids, faults: &mut Faults<'_>) {
        for node in fields.list("alerts", faults) {
            read::rule(node, self, tables, ids, faults);
        }
    }

    /// After the last file.
    pub(super) fn finish(mut self) -> AlertSets {
        for set in [&mut self.logs, &mut self.spans] {
            set.index = Index::new(set.rules.iter().map(|rule| &rule.when), set.keys.len());
            for rule in &set.rules {
                let seen = set.glances_of(rule);
                set.glances.iter_mut().zip(seen).for_each(|(all, seen)| *all |= seen);
            }
        }
        self
    }

    fn of(&self, records: Records) -> &RecordSet {
        match records {
            Records::Logs => &self.logs,
            Records::Spans => &self.spans,
        }
    }

    fn of_mut(&mut self, records: Records) -> &mut RecordSet {
        match records {
            Records::Logs => &mut self.logs,
            Records::Spans => &mut self.spans,
        }
    }
}

impl RecordSet {
    fn new(records: Records) -> RecordSet {
        let mut keys = Keys::new();
        let service_keys = ["service.namespace", "service.name"].map(|name| keys.own(Scope::Resource, name));
        RecordSet { records, keys, rules: Vec::new(), index: Index::default(), glances: [0; 3], service_keys }
    }

    /// The glances that do not rule out this rule.
    fn glances_of(&self, rule: &AlertRule) -> [u8; SpanStatus::ALL.len()] {
        let allowed = |word: &str| {
            let key = self.keys.number(scope_of(self.records), word)?;
            rule.when.allowed(key)
        };
        match self.records {
            Records::Logs => match allowed("severity") {
                Some(words) => [bits(&words, &LogSeverity::ALL.map(LogSeverity::as_str)), 0, 0],
                None => [u8::MAX, 0, 0],
            },
            Records::Spans => {
                let kinds = allowed("kind").map_or(u8::MAX, |words| bits(&words, &SpanKind::ALL.map(SpanKind::as_str)));
                let statuses = allowed("status");
                SpanStatus::ALL.map(|status| {
                    let fits = statuses.as_ref().is_none_or(|words| words.contains(&status.as_str()));
                    if fits { kinds } else { 0 }
                })
            }
        }
    }
}

/// One bit for each of `all` that is among `words`.
fn bits(words: &[&str], all: &[&str]) -> u8 {
    let among = |word: &&str| words.contains(word);
    all.iter().enumerate().filter(|(_, word)| among(word)).fold(0, |bits, (at, _)| bits | 1 << at)
}
