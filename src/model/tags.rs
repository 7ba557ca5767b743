//! What Tawny says about an alert or a span: where it ran and whose it is, each with the rule that said so.

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

/// At most one value per name; absent means that no rule knew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags([Option<Tag>; TagName::ALL.len()]);

impl Tags {
    pub const fn new() -> Tags {
        Tags([const { None }; TagName::ALL.len()])
    }

    pub fn get(&self, name: TagName) -> Option<&Tag> {
        self.0[name as usize].as_ref()
    }

    pub fn value(&self, name: TagName) -> Option<&str> {
        self.get(name).map(|tag| tag.value.as_ref())
    }

    /// Keeps what stands there already: the first rule that sets a field wins.
    pub fn set_first(&mut self, name: TagName, tag: Tag) -> bool {
        let slot = &mut self.0[name as usize];
        let free = slot.is_none();
        if free {
            *slot = Some(tag);
        }
        free
    }

    pub fn replace(&mut self, name: TagName, tag: Tag) {
        self.0[name as usize] = Some(tag);
    }

    pub fn iter(&self) -> impl Iterator<Item = (TagName, &Tag)> {
        TagName::ALL.into_iter().filter_map(|name| self.get(name).map(|tag| (name, tag)))
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
