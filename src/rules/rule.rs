//! One rule: when its conditions hold, it sets tags. Never sets a tag that stands already.

use std::sync::Arc;

use crate::model::TagName;

use super::condition::{All, Reading};
use super::diagnostic::Faults;
use super::facts;
use super::hash::FastMap;
use super::matcher::Bindable;
use super::suggest;
use super::template::Template;
use super::value::Values;
use super::walk::{self, Fields, Word};
use super::yaml::Node;

#[derive(Debug)]
pub(super) struct Rule {
    /// `file:line id`.
    pub(super) by: Arc<str>,
    pub(super) when: All,
    pub(super) sets: Vec<(TagName, Template)>,
    /// One bit per tag that it may set.
    pub(super) mask: u16,
    pub(super) stage: Stage,
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
    pub(super) fn read(
        node: &Node,
        reading: &mut Reading<'_>,
        values: &Values,
        ids: &mut Ids,
        faults: &mut Faults<'_>,
    ) -> Option<Rule> {
        let fields = Fields::read(node, "a rule", &["id", "why", "when", "set", "stage", "expires"], faults)?;
        let by = read_id(&fields, "a rule", ids, faults);
        fields.word("why", faults);
        let stage = match fields.one_of("stage", &["live", "shadow"], faults) {
            Some(Word { text: "shadow", .. }) => Stage::Shadow,
            Some(_) | None => Stage::Live,
        };
        if let Some(date) = fields.word("expires", faults)
            && !walk::is_date(date.text)
        {
            faults.error(date.at, format!("`{}` is not a date", date.text), Some("write `2027-06-30`".to_owned()));
        }
        reading.keys.reading(stage);
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
        let sets = read_sets(set, reading, values, &bindable, faults)?;
        let mask = sets.iter().fold(0, |mask, (name, _)| mask | bit(*name));
        Some(Rule { by: by?, when, sets, mask, stage })
    }
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
