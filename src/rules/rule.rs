//! One rule: when its conditions hold, it sets tags, or votes on the platform. Never sets a tag that stands already.

use std::sync::Arc;

use crate::model::{Existing, TagName};

use super::condition::{All, Findings, Reading};
use super::diagnostic::Faults;
use super::facts::{self, Asker, View};
use super::hash::FastMap;
use super::matcher::Bindable;
use super::platform::{Platform, Tier};
use super::self_scope;
use super::suggest;
use super::template::Template;
use super::value::Values;
use super::walk::{self, Fields, Word};
use super::yaml::{Entry, Kind, Node};

#[derive(Debug)]
pub(super) struct Rule {
    /// `file:line id`.
    pub(super) by: Arc<str>,
    pub(super) when: All,
    /// For a voter all but the platform itself and its confidence.
    pub(super) sets: Vec<(TagName, Template)>,
    /// For each of these the value as the tag holds it, where that is always the same.
    pub(super) fitted: Vec<Option<Arc<str>>>,
    /// What it says of the platform, where it does.
    pub(super) ballot: Option<Ballot>,
    /// Whether any of these takes what the conditions find in a value.
    needs_bindings: bool,
    /// One bit per tag that it may set.
    pub(super) mask: u16,
    pub(super) stage: Stage,
    /// The last day on which it is wanted.
    pub(super) expires: Option<Box<str>>,
    /// What it says of attributes that have the names of its tags already.
    pub(super) existing: Option<Existing>,
}

/// A rule's vote.
#[derive(Debug)]
pub(super) struct Ballot {
    pub(super) tier: Tier,
    pub(super) says: Says,
}

#[derive(Debug)]
pub(super) enum Says {
    Always(Platform),
    Rendered(Template),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Live,
    /// Evaluated where somebody looks, sets nothing.
    Shadow,
}

/// Ids over all files: explanations and tests name rules by them.
pub(super) type Ids = FastMap<String, String>;

pub(super) const fn bit(name: TagName) -> u16 {
    1 << name as u16
}

impl Rule {
    /// What it found, when it holds. Captures and rows are looked for only where something is made of them.
    pub(super) fn find<'v>(&'v self, view: &View<'v>) -> Findings<'v> {
        if !self.needs_bindings {
            return Findings { seen: self.when.saw(view), ..Findings::default() };
        }
        let mut findings = Findings::default();
        self.when.find(view, &mut findings);
        findings
    }

    pub(super) fn read(
        node: &Node,
        reading: &mut Reading<'_>,
        values: &Values,
        ids: &mut Ids,
        faults: &mut Faults<'_>,
    ) -> Option<Rule> {
        let fields =
            Fields::read(node, "a rule", &["id", "why", "when", "set", "existing", "stage", "expires"], faults)?;
        let by = read_id(&fields, "a rule", ids, faults);
        fields.word("why", faults);
        let stage = match fields.one_of("stage", &["live", "shadow"], faults) {
            Some(Word { text: "shadow", .. }) => Stage::Shadow,
            Some(_) | None => Stage::Live,
        };
        let existing = fields.one_of("existing", &["replace", "keep"], faults).map(|word| match word.text {
            "keep" => Existing::Keep,
            _ => Existing::Replace,
        });
        let expires = fields.word("expires", faults);
        if let Some(date) = expires
            && !walk::is_date(date.text)
        {
            faults.error(date.at, format!("`{}` is not a date", date.text), Some("write `2027-06-30`".to_owned()));
        }
        let votes = fields.get("set").and_then(|set| entry_of(set, TagName::Platform)).is_some();
        reading.keys.asked_by(if votes { Asker::Voter } else { Asker::Anyone });
        let mut bindable = Bindable::default();
        let when = match fields.get("when") {
            Some(node) => All::read(node, reading, &mut bindable, faults),
            None => {
                fields.missing("when", "a rule", Some("`when: {}` matches everything".to_owned()), faults);
                None
            }
        };
        let Some(set) = fields.get("set") else {
            fields.missing("set", "a rule", None, faults);
            return None;
        };
        // After a fault in `when`, what `set` may name is not known: a second message would be noise.
        let when = when?;
        let before = faults.error_count();
        let mut sets = read_sets(set, reading, values, &bindable, faults)?;
        let ballot = match votes && faults.error_count() == before {
            true => Some(take_ballot(&mut sets, set, faults)?),
            false => None,
        };
        if ballot.is_some() {
            check_span(&when, &sets, ballot.as_ref(), reading, set, faults)?;
        }
        let mask = sets.iter().fold(0, |mask, (name, _)| mask | bit(*name));
        let expires = expires.map(|date| date.text.into());
        let says = ballot.as_ref().and_then(|ballot| match &ballot.says {
            Says::Always(_) => None,
            Says::Rendered(template) => Some(template),
        });
        let needs_bindings = sets.iter().map(|(_, template)| template).chain(says).any(Template::needs_bindings);
        let fitted = sets.iter().map(|(name, template)| values.fit_constant(*name, template)).collect();
        Some(Rule { by: by?, when, sets, fitted, ballot, needs_bindings, mask, stage, expires, existing })
    }

    /// The tags that it would set, for people.
    pub(super) fn names(&self) -> impl Iterator<Item = TagName> {
        let platform = self.ballot.as_ref().map(|_| TagName::Platform);
        platform.into_iter().chain(self.sets.iter().map(|(name, _)| *name))
    }
}

fn entry_of(set: &Node, wanted: TagName) -> Option<&Entry> {
    let Kind::Map(entries) = &set.kind else { return None };
    entries.iter().find(|entry| TagName::parse(&entry.key) == Some(wanted))
}

/// Takes platform and confidence out of the sets. Without a confidence it is the word of the person who wrote it.
fn take_ballot(sets: &mut Vec<(TagName, Template)>, set: &Node, faults: &mut Faults<'_>) -> Option<Ballot> {
    let mut take = |wanted: TagName| {
        let at = sets.iter().position(|(name, _)| *name == wanted)?;
        Some(sets.remove(at).1)
    };
    let says = take(TagName::Platform)?;
    let tier = match take(TagName::PlatformConfidence) {
        None => Tier::Explicit,
        Some(Template::Constant(word)) if let Some(tier) = Tier::of_confidence(&word) => tier,
        Some(_) => {
            let at = entry_of(set, TagName::PlatformConfidence).map_or(set.at, |entry| entry.value.at);
            let hint = "conclusive, strong, inferred or hint; without it the rule outranks all votes".to_owned();
            faults.error(at, "the confidence of a vote must be one of four words", Some(hint));
            return None;
        }
    };
    let says = match says {
        Template::Constant(word) => Says::Always(Platform::parse(&word)?),
        Template::Parts(_) => Says::Rendered(says),
    };
    if matches!(says, Says::Always(Platform::Unknown)) && tier != Tier::Explicit {
        let at = entry_of(set, TagName::Platform).map_or(set.at, |entry| entry.value.at);
        let hint = "without a confidence, the rule makes it `unknown` whatever the votes say".to_owned();
        faults.error(at, "`unknown` is no vote", Some(hint));
        return None;
    }
    Some(Ballot { tier, says })
}

/// A rule that asks a span must ask for the `SERVER` one, and can learn from it only that this is Lambda.
fn check_span(
    when: &All,
    sets: &[(TagName, Template)],
    ballot: Option<&Ballot>,
    reading: &Reading<'_>,
    set: &Node,
    faults: &mut Faults<'_>,
) -> Option<()> {
    let mut keys = Vec::new();
    when.visit_keys(&mut |key| keys.push(key));
    sets.iter().for_each(|(_, template)| template.visit_keys(&mut |key| keys.push(key)));
    let Some(asked) = keys.iter().map(|key| reading.keys.text(*key)).find(|text| text.starts_with("span.")) else {
        return Some(());
    };
    let (field, kind) = self_scope::SPAN_KIND;
    let is_lambda = ballot.is_some_and(|ballot| matches!(ballot.says, Says::Always(Platform::Lambda)));
    let asks_for_server = when.requires(|key| reading.keys.text(key) == field, kind);
    if is_lambda && asks_for_server {
        return Some(());
    }
    let hint = format!("only `platform: lambda`, with `{field}: {kind}` among the conditions");
    faults.error(set.at, format!("`{asked}` has no vote on the platform: a span speaks of what it called"), Some(hint));
    None
}

/// Reads `id`, which must be unique over all files, and makes `file:line id` of it.
pub(super) fn read_id(fields: &Fields<'_>, what: &str, ids: &mut Ids, faults: &mut Faults<'_>) -> Option<Arc<str>> {
    let id = fields.required("id", what, faults)?;
    if !id.text.chars().all(|character| character.is_alphanumeric() || "-_.".contains(character)) {
        let hint = "letters, digits, `-`, `_` and `.`".to_owned();
        faults.error(id.at, format!("`{}` is not an id", id.text), Some(hint));
        return None;
    }
    let place = format!("{}:{}", faults.file_name(), id.at.line);
    if let Some(earlier) = ids.get(id.text) {
        faults.error(id.at, format!("id `{}` is taken", id.text), Some(format!("it is already at {earlier}")));
        return None;
    }
    ids.insert(id.text.to_owned(), place.clone());
    Some(Arc::from(format!("{place} {}", id.text)))
}

/// Why a rule may not set this tag.
fn refusal(name: TagName, set: &Node) -> Option<&'static str> {
    if name == TagName::PlatformConflict {
        return Some("it is made of the votes that lost");
    }
    let is_alone = name == TagName::PlatformConfidence && entry_of(set, TagName::Platform).is_none();
    is_alone.then_some("a confidence belongs to a `platform`")
}

fn read_sets(
    node: &Node,
    reading: &mut Reading<'_>,
    values: &Values,
    bindable: &Bindable,
    faults: &mut Faults<'_>,
) -> Option<Vec<(TagName, Template)>> {
    let entries = walk::entries(node, "`set`", faults)?;
    if entries.is_empty() {
        faults.error(node.at, "a rule that sets nothing", None);
    }
    let mut sets: Vec<(TagName, Template)> = Vec::new();
    for entry in entries {
        let name = facts::tag_name(Word { text: &entry.key, at: entry.key_at }, faults);
        let word = walk::word(&entry.value, &format!("`{}`", entry.key), faults);
        let (Some(name), Some(word)) = (name, word) else { continue };
        if let Some(hint) = refusal(name, node) {
            faults.error(entry.key_at, format!("`{}` cannot be set here", name.as_str()), Some(hint.to_owned()));
            continue;
        }
        if sets.iter().any(|(set, _)| *set == name) {
            let hint =
                suggest::nearest(&entry.key, [name.as_str()]).map(|name| format!("it is another word for `{name}`"));
            faults.error(entry.key_at, format!("`{}` is set twice", name.as_str()), hint);
            continue;
        }
        let Some(template) = Template::read(word, reading, bindable, faults) else { continue };
        match template {
            Template::Constant(_) => values.check_constant(name, word, faults),
            Template::Parts(_) => {}
        }
        sets.push((name, template));
    }
    (!sets.is_empty()).then_some(sets)
}
