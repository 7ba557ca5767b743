//! What is known of one alert (or one resource of a trace) while rules look at it: each key that any rule mentions
//! is looked up once. Never holds a value that no rule asks for.

mod names;
mod scopes;

use crate::model::{TagName, Tags};

use super::alerts::{self, Records};
use super::diagnostic::Faults;
use super::hash::FastMap;
use super::self_scope;
use super::suggest;
use super::table::Tables;
use super::walk::Word;

pub(super) use names::Names;
pub(super) use scopes::Scopes;

use scopes::USUAL;

/// Who says it: a rule names the scope, so that a thing's own words and those about its peers never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Resource,
    Span,
    Label,
    Annotation,
    Dimension,
    Field,
    Constant,
    /// Only for rules that make alerts of log records.
    Log,
    Out,
}

const SCOPES: [(Scope, &str); 9] = [
    (Scope::Resource, "resource"),
    (Scope::Span, "span"),
    (Scope::Label, "label"),
    (Scope::Annotation, "annotation"),
    (Scope::Dimension, "dimension"),
    (Scope::Field, "field"),
    (Scope::Constant, "constant"),
    (Scope::Log, "log"),
    (Scope::Out, "out"),
];

/// The number of a key that rules mention. The tags come first, in their own order.
pub(super) type Key = usize;

/// Which keys may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Anyone,
    /// A rule that votes on the platform: only what the sender says of itself.
    Voter,
    /// A rule that makes alerts: one record, its Resource, and the tags of that.
    Record(Records),
}

/// All keys that any rule mentions.
#[derive(Debug)]
pub(super) struct Keys {
    texts: Vec<Box<str>>,
    /// What the rule that is read may look at.
    asker: Asker,
    /// Fields that the rule files declare to be `true` of everything.
    declared: Vec<Key>,
    /// One map per scope but `out`.
    numbers: [FastMap<Box<str>, Key>; 8],
    /// The keys of [`USUAL`] that any rule mentions.
    usual: [Option<Key>; USUAL.len()],
}

/// Keys that have a value, each once and in an order that only depends on where they stood: few, however many keys the
/// rules mention.
#[derive(Debug)]
pub(super) struct Present<'a>(Vec<(Key, &'a str)>);

impl<'a> Present<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &'a str)> {
        self.0.iter().copied()
    }

    pub(super) fn get(&self, key: Key) -> Option<&'a str> {
        self.0.iter().find(|(held, _)| *held == key).map(|(_, value)| *value)
    }

    /// For a key that cannot be there yet.
    fn push(&mut self, key: Key, value: &'a str) {
        if !value.is_empty() {
            self.0.push((key, value));
        }
    }

    fn push_first(&mut self, key: Key, value: &'a str) {
        if self.get(key).is_none() {
            self.push(key, value);
        }
    }
}

/// The values of one alert or resource, found by their keys.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// For each key the place of its value, from 1; 0 where there is none. Two bytes and not the value itself: most keys
    /// have none, and making room for them all would cost more than any rule.
    places: Vec<u16>,
    present: Present<'a>,
}

impl<'a> Facts<'a> {
    /// No key has a value.
    pub(super) const NONE: Facts<'static> = Facts { places: Vec::new(), present: Present(Vec::new()) };

    pub(super) fn present(&self) -> impl Iterator<Item = (Key, &'a str)> {
        self.present.iter()
    }

    pub(super) fn get(&self, key: Key) -> Option<&'a str> {
        match self.places.get(key) {
            None | Some(0) => None,
            Some(&u16::MAX) => self.present.get(key),
            Some(place) => self.present.0.get(usize::from(*place) - 1).map(|(_, value)| *value),
        }
    }
}

impl Keys {
    pub(super) fn new() -> Keys {
        let texts = TagName::ALL.iter().map(|name| format!("out.{}", name.as_str()).into()).collect();
        Keys {
            texts,
            asker: Asker::Anyone,
            declared: Vec::new(),
            numbers: Default::default(),
            usual: [None; USUAL.len()],
        }
    }

    /// Who asks from here on.
    pub(super) fn asked_by(&mut self, asker: Asker) {
        self.asker = asker;
    }

    /// A key that the program itself looks at, whether a rule mentions it or not.
    pub(super) fn own(&mut self, scope: Scope, name: &str) -> Key {
        let text = format!("{}.{name}", SCOPES[scope as usize].1);
        self.intern(scope, name, &text)
    }

    /// The field is `true`, whatever is looked at.
    pub(super) fn declare(&mut self, field: &str) {
        let key = self.own(Scope::Field, field);
        self.declared.push(key);
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn number(&self, scope: Scope, name: &str) -> Option<Key> {
        self.numbers.get(scope as usize)?.get(name).copied()
    }

    /// Whether any rule asks for it.
    pub(super) fn has(&self, scope: Scope, name: &str) -> bool {
        self.number(scope, name).is_some()
    }

    pub(super) fn is_of(&self, key: Key, scope: Scope) -> bool {
        self.texts[key].split_once('.').is_some_and(|(held, _)| held == SCOPES[scope as usize].1)
    }

    /// `label.cluster`.
    pub(super) fn text(&self, key: Key) -> &str {
        &self.texts[key]
    }

    /// Reads `scope.name`, and reports what is wrong with it.
    pub(super) fn read(&mut self, word: Word<'_>, faults: &mut Faults<'_>) -> Option<Key> {
        let (scope, name) = word.text.split_once('.').unwrap_or((word.text, ""));
        let Some((scope, _)) = SCOPES.iter().find(|(_, known)| *known == scope) else {
            let hint = match suggest::nearest(scope, SCOPES.iter().map(|(_, known)| *known).chain(["any", "not"])) {
                Some(near @ ("any" | "not")) => format!("did you mean `{near}`?"),
                Some(near) => format!("did you mean `{near}.{name}`?"),
                None => {
                    let known: Vec<String> = SCOPES.iter().map(|(_, known)| format!("{known}.")).collect();
                    format!("a key starts with its scope: {}", known.join(" "))
                }
            };
            faults.error(word.at, format!("unknown scope in `{}`", word.text), Some(hint));
            return None;
        };
        if name.is_empty() {
            faults.error(word.at, format!("`{}` names no key", word.text), None);
            return None;
        }
        if self.asker == Asker::Voter
            && let Err(fault) = self_scope::check(*scope, name)
        {
            faults.error(
                word.at,
                format!("`{}` has no vote on the platform: {}", word.text, fault.why),
                Some(fault.hint),
            );
            return None;
        }
        let name = alerts::check_key(self.asker, *scope, Word { text: name, at: word.at }, faults)?;
        match scope {
            Scope::Out => tag_name(Word { text: name, at: word.at }, faults).map(|name| name as Key),
            Scope::Resource
            | Scope::Span
            | Scope::Label
            | Scope::Annotation
            | Scope::Dimension
            | Scope::Field
            | Scope::Constant
            | Scope::Log => Some(self.intern(*scope, name, word.text)),
        }
    }

    fn intern(&mut self, scope: Scope, name: &str, text: &str) -> Key {
        let numbers = &mut self.numbers[scope as usize];
        if let Some(key) = numbers.get(name) {
            return *key;
        }
        let key = self.texts.len();
        numbers.insert(name.into(), key);
        self.texts.push(text.into());
        if let (Scope::Field, Some(at)) = (scope, USUAL.iter().position(|usual| *usual == name)) {
            self.usual[at] = Some(key);
        }
        key
    }

    /// One value per key, empty values absent. Places of tags stay `None`: those are read from the tags.
    pub(super) fn look_up<'a>(&self, scopes: &Scopes<'a>) -> Facts<'a> {
        self.spread(self.present(scopes))
    }

    /// The same values, found by their keys.
    pub(super) fn spread<'a>(&self, present: Present<'a>) -> Facts<'a> {
        let mut places = vec![0; self.texts.len()];
        for (place, (key, _)) in (1_usize..).zip(present.iter()) {
            // Whoever finds the last place searches.
            places[key] = u16::try_from(place).unwrap_or(u16::MAX);
        }
        Facts { places, present }
    }

    /// For what was thought up and not read.
    pub(super) fn given<'a>(&self, values: impl Iterator<Item = (Key, &'a str)>) -> Facts<'a> {
        let mut present = Present(Vec::new());
        values.for_each(|(key, value)| present.push_first(key, value));
        self.spread(present)
    }

    /// What there is to look at.
    pub(super) fn present<'a>(&self, scopes: &Scopes<'a>) -> Present<'a> {
        self.present_by(scopes, |scope, name| self.number(scope, name))
    }

    /// The same, quicker for an alert that has the names of the one before.
    pub(super) fn present_again<'a>(&self, scopes: &Scopes<'a>, names: &mut Names) -> Present<'a> {
        let mut reader = names::Reader::new(names);
        self.present_by(scopes, |scope, name| reader.key(scope, name, || self.number(scope, name)))
    }

    fn present_by<'a>(&self, scopes: &Scopes<'a>, mut number: impl FnMut(Scope, &str) -> Option<Key>) -> Present<'a> {
        const PRESENT_COUNT_USUAL: usize = 32;
        let mut present = Present(Vec::with_capacity(PRESENT_COUNT_USUAL));
        for key in &self.declared {
            present.push_first(*key, "true");
        }
        let declared_count = present.0.len();
        let mut has_fields = declared_count > 0;
        for (scope, labels) in [
            (Scope::Resource, scopes.resource),
            (Scope::Span, scopes.span),
            (Scope::Label, scopes.label),
            (Scope::Annotation, scopes.annotation),
            (Scope::Dimension, scopes.dimension),
            (Scope::Field, scopes.field),
            (Scope::Constant, scopes.constant),
            (Scope::Log, scopes.log),
        ] {
            let numbers = &self.numbers[scope as usize];
            let before = present.0.len();
            // Names are unique within a scope, so that only what was declared can be there already.
            if !numbers.is_empty() {
                for (name, value) in labels.iter() {
                    match number(scope, name) {
                        Some(key) if declared_count == 0 => present.push(key, value),
                        Some(key) => present.push_first(key, value),
                        None => {}
                    }
                }
            }
            has_fields |= scope == Scope::Field && present.0.len() > before;
        }
        let mut fill = |scope: Scope, name: &str, value: &'a str| {
            if let Some(key) = self.numbers[scope as usize].get(name) {
                present.push_first(*key, value);
            }
        };
        // After the labels, so that a constant speaks only where no label does.
        scopes.constant.iter().for_each(|(name, value)| fill(Scope::Label, name, value));
        // A source that reads a metric's dimensions or a program's resource hands them over among its fields.
        for (name, value) in scopes.field.iter() {
            if let Some(name) = name.strip_prefix("dimension.") {
                fill(Scope::Dimension, name, value);
            } else if let Some(name) = name.strip_prefix("resource.") {
                fill(Scope::Resource, name, value);
            }
        }
        for (key, value) in self.usual.iter().zip(scopes.usual) {
            match key {
                // They are fields, each once.
                Some(key) if !has_fields => present.push(*key, value),
                Some(key) => present.push_first(*key, value),
                None => {}
            }
        }
        present
    }
}

/// Reads the name of a tag, and reports what is wrong with it.
pub(super) fn tag_name(word: Word<'_>, faults: &mut Faults<'_>) -> Option<TagName> {
    let name = TagName::parse(word.text);
    if name.is_none() {
        let hint = suggest::hint(word.text, TagName::ALL.iter().map(|name| name.as_str()));
        faults.error(word.at, format!("unknown tag `{}`", word.text), hint);
    }
    name
}

/// The account and region that are known beside a cluster's name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place<'v> {
    pub(super) account: Option<&'v str>,
    pub(super) region: Option<&'v str>,
}

/// What conditions and templates look at.
#[derive(Clone, Copy)]
pub(super) struct View<'v> {
    pub(super) place: Place<'v>,
    pub(super) values: &'v Facts<'v>,
    pub(super) tags: &'v Tags,
    pub(super) tables: &'v Tables,
}

impl<'v> View<'v> {
    pub(super) fn get(&self, key: Key) -> Option<&'v str> {
        match TagName::ALL.get(key) {
            Some(name) => self.tags.value(*name),
            None => self.values.get(key),
        }
    }
}
