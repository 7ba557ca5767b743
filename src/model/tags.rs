//! What Tawny says about an alert or a span: where it ran and whose it is, each with the rule that said so.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};

/// The fields that rules may set. A closed set: routes, keys and sinks depend on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagName {
    Service,
    Class,
    Environment,
    Platform,
    PlatformVariant,
    PlatformCluster,
    PlatformConfidence,
    /// What contradicted the platform, separated by commas; absent when nothing did.
    PlatformConflict,
    Cell,
    Owner,
    /// How bad it is when the service fails: `critical`, `high`, `medium`, `low`.
    Criticality,
    Severity,
    Runbook,
}

/// What becomes of an attribute of a Resource that has the name of a tag already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// Every attribute of that name is removed, and the new one is added at the end.
    #[default]
    Replace,
    /// It stays, whatever value it has, and nothing is added.
    Keep,
}

impl TagName {
    /// In the order people read them.
    pub const ALL: [TagName; 13] = [
        TagName::Service,
        TagName::Class,
        TagName::Environment,
        TagName::Platform,
        TagName::PlatformVariant,
        TagName::PlatformCluster,
        TagName::PlatformConfidence,
        TagName::PlatformConflict,
        TagName::Cell,
        TagName::Owner,
        TagName::Criticality,
        TagName::Severity,
        TagName::Runbook,
    ];

    /// As written in rule files and outputs.
    pub const fn as_str(self) -> &'static str {
        match self {
            TagName::Service => "service",
            TagName::Class => "class",
            TagName::Environment => "env",
            TagName::Platform => "platform",
            TagName::PlatformVariant => "platform.variant",
            TagName::PlatformCluster => "platform.cluster",
            TagName::PlatformConfidence => "platform.confidence",
            TagName::PlatformConflict => "platform.conflict",
            TagName::Cell => "cell",
            TagName::Owner => "owner",
            TagName::Criticality => "criticality",
            TagName::Severity => "severity",
            TagName::Runbook => "runbook",
        }
    }

    pub fn parse(text: &str) -> Option<TagName> {
        match text {
            "environment" => Some(TagName::Environment),
            "confidence" => Some(TagName::PlatformConfidence),
            _ => TagName::ALL.into_iter().find(|name| name.as_str() == text),
        }
    }
}

/// A value and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub value: Arc<str>,
    /// `file:line rule-id`, rendered once when the rules are compiled.
    pub by: Arc<str>,
    /// `scope.key=value` of the input that decided, where one input did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Arc<str>>,
}

/// At most one value per name; absent means that no rule knew. Many alerts differ in their class and in nothing else, so
/// that all tags but the class can be shared.
#[derive(Clone, Default)]
pub struct Tags {
    class: Option<Tag>,
    /// The others, unless they are shared.
    own: Option<Box<Slots>>,
    shared: Option<Arc<Shared>>,
}

/// One place per name; that of the class stays empty.
type Slots = [Option<Tag>; TagName::ALL.len()];

/// What many sets have in common, and what is said of it in each of their notices.
struct Shared {
    slots: Slots,
    reasons_before: String,
    reasons_behind: String,
}

impl Tags {
    pub const fn new() -> Tags {
        Tags { class: None, own: None, shared: None }
    }

    pub fn get(&self, name: TagName) -> Option<&Tag> {
        if name == TagName::Class {
            return self.class.as_ref();
        }
        let shared = || self.shared.as_deref().map(|shared| &shared.slots);
        self.own.as_deref().or_else(shared)?[name as usize].as_ref()
    }

    pub fn value(&self, name: TagName) -> Option<&str> {
        self.get(name).map(|tag| tag.value.as_ref())
    }

    /// Keeps what stands there already: the first rule that sets a field wins.
    pub fn set_first(&mut self, name: TagName, tag: Tag) -> bool {
        let is_free = self.get(name).is_none();
        if is_free {
            self.replace(name, tag);
        }
        is_free
    }

    pub fn replace(&mut self, name: TagName, tag: Tag) {
        *self.slot(name) = Some(tag);
    }

    fn slot(&mut self, name: TagName) -> &mut Option<Tag> {
        if name == TagName::Class {
            return &mut self.class;
        }
        // What others have as well is not changed under their hands.
        let shared = self.shared.take();
        let slots = || shared.map_or_else(Box::default, |shared| Box::new(shared.slots.clone()));
        let own = self.own.get_or_insert_with(slots);
        &mut own[name as usize]
    }

    /// From here on clones share all but the class, each until it is changed.
    pub fn share(&mut self) {
        if self.own.is_none() {
            return;
        }
        let reasons_before = reasons(self.iter().filter(|(name, _)| *name < TagName::Class));
        let reasons_behind = reasons(self.iter().filter(|(name, _)| *name > TagName::Class));
        let slots = self.own.take().map(|slots| *slots).unwrap_or_default();
        self.shared = Some(Arc::new(Shared { slots, reasons_before, reasons_behind }));
    }

    /// The rule behind each tag, as people are told: `service: services.yaml:14 owl-service; owner: …`, in pieces between
    /// which nothing stands.
    pub fn visit_reasons(&self, mut visit: impl FnMut(&str)) {
        let Some(shared) = &self.shared else {
            let mut before = "";
            for (name, tag) in self.iter() {
                [before, name.as_str(), ": ", &tag.by].into_iter().for_each(&mut visit);
                before = REASONS_SEPARATOR;
            }
            return;
        };
        visit(&shared.reasons_before);
        let mut is_first = shared.reasons_before.is_empty();
        if let Some(class) = &self.class {
            let before = if is_first { "" } else { REASONS_SEPARATOR };
            [before, TagName::Class.as_str(), ": ", &class.by].into_iter().for_each(&mut visit);
            is_first = false;
        }
        if !is_first && !shared.reasons_behind.is_empty() {
            visit(REASONS_SEPARATOR);
        }
        visit(&shared.reasons_behind);
    }

    /// Where all but the class stand, if they are shared: the same for all that share them, while one of these lives.
    pub fn shared_address(&self) -> Option<usize> {
        self.shared.as_ref().map(|slots| Arc::as_ptr(slots).addr())
    }

    pub fn iter(&self) -> impl Iterator<Item = (TagName, &Tag)> {
        TagName::ALL.into_iter().filter_map(|name| self.get(name).map(|tag| (name, tag)))
    }
}

const REASONS_SEPARATOR: &str = "; ";

fn reasons<'t>(tags: impl Iterator<Item = (TagName, &'t Tag)>) -> String {
    let mut text = String::new();
    for (name, tag) in tags {
        let before = if text.is_empty() { "" } else { REASONS_SEPARATOR };
        text.extend([before, name.as_str(), ": ", &tag.by]);
    }
    text
}

impl PartialEq for Tags {
    fn eq(&self, other: &Tags) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Tags {}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Tags {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // With their number, because formats that begin with it would else write all into memory of its own first.
        let mut map = serializer.serialize_map(Some(self.iter().count()))?;
        for (name, tag) in self.iter() {
            map.serialize_entry(name.as_str(), tag)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let held = std::collections::BTreeMap::<String, Tag>::deserialize(deserializer)?;
        let mut tags = Tags::default();
        for (name, tag) in held {
            // A name that a later version knows and we do not is not ours to judge.
            if let Some(name) = TagName::parse(&name) {
                tags.replace(name, tag);
            }
        }
        Ok(tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(value: &str) -> Tag {
        Tag { value: value.into(), by: "a.yaml:1 x".into(), seen: None }
    }

    fn reasons_of(tags: &Tags) -> String {
        let mut text = String::new();
        tags.visit_reasons(|piece| text.push_str(piece));
        text
    }

    #[test]
    fn the_reasons_are_told_alike_whether_tags_are_shared_or_not() {
        let names = [TagName::Service, TagName::Class, TagName::Environment, TagName::Cell, TagName::Runbook];
        for chosen in 0..1_u32 << names.len() {
            let mut tags = Tags::new();
            for (at, name) in names.into_iter().enumerate().filter(|(at, _)| chosen & 1 << at != 0) {
                tags.set_first(name, tag(&at.to_string()));
            }
            let own = reasons_of(&tags);
            assert_eq!(own.matches(": a.yaml:1 x").count(), tags.iter().count());
            tags.share();
            assert_eq!(reasons_of(&tags), own, "{chosen}");
        }
    }

    #[test]
    fn what_is_shared_is_the_same_for_its_readers_and_a_change_stays_with_who_made_it() {
        let mut first = Tags::new();
        assert_eq!((first.shared_address(), first.get(TagName::Cell)), (None, None));
        assert!(first.set_first(TagName::Service, tag("owl")) && first.set_first(TagName::Class, tag("High")));
        let plain = first.clone();
        first.share();
        assert_eq!(first, plain);
        assert_eq!(format!("{first:?}"), format!("{plain:?}"));
        let mut second = first.clone();
        second.replace(TagName::Class, tag("Low"));
        assert!(!second.set_first(TagName::Service, tag("duo")), "the first one stands");
        assert!(first.shared_address().is_some() && first.shared_address() == second.shared_address());
        assert_ne!(first, second);
        second.replace(TagName::Class, tag("High"));
        assert_eq!(first, second);
        second.replace(TagName::Service, tag("duo"));
        second.set_first(TagName::Cell, tag("c1"));
        assert_eq!((second.shared_address(), second.iter().count()), (None, 3));
        assert_eq!(first, plain, "nobody else's tags changed");
        second.share();
        assert_eq!(reasons_of(&second), "service: a.yaml:1 x; class: a.yaml:1 x; cell: a.yaml:1 x");
        let read: Tags = serde_json::from_str(&serde_json::to_string(&second).unwrap()).unwrap();
        assert_eq!(read, second);
    }
}
