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
    shared: Option<Arc<Slots>>,
}

/// One place per name; that of the class stays empty.
type Slots = [Option<Tag>; TagName::ALL.len()];

impl Tags {
    pub const fn new() -> Tags {
        Tags { class: None, own: None, shared: None }
    }

    pub fn get(&self, name: TagName) -> Option<&Tag> {
        if name == TagName::Class {
            return self.class.as_ref();
        }
        self.own.as_deref().or(self.shared.as_deref())?[name as usize].as_ref()
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
        let own = self.own.get_or_insert_with(|| shared.map_or_else(Box::default, |slots| Box::new((*slots).clone())));
        &mut own[name as usize]
    }

    /// From here on clones share all but the class, each until it is changed.
    pub fn share(&mut self) {
        if let Some(slots) = self.own.take() {
            self.shared = Some(Arc::from(slots));
        }
    }

    /// Where all but the class stand, if they are shared: the same for all that share them, while one of these lives.
    pub fn shared_address(&self) -> Option<usize> {
        self.shared.as_ref().map(|slots| Arc::as_ptr(slots).addr())
    }

    pub fn iter(&self) -> impl Iterator<Item = (TagName, &Tag)> {
        TagName::ALL.into_iter().filter_map(|name| self.get(name).map(|tag| (name, tag)))
    }
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
        let read: Tags = serde_json::from_str(&serde_json::to_string(&second).unwrap()).unwrap();
        assert_eq!(read, second);
    }
}
