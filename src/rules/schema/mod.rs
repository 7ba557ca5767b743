//! The format of rule files as one table: every key, what it holds and what it means. The JSON Schema, the reference
//! in docs and the hints of tests come from it; a test holds it against what the compiler accepts.

mod files;
mod json;
mod reference;
mod stories;
#[cfg(test)]
mod tests;

pub use json::{json_schema, root as root_schema};
pub use reference::{SECTIONS, markdown};

pub(super) use files::MATCHER;
pub(super) use stories::{ALERT, CASE, EXPECT, EXPECT_NOTICE, EXPECT_TAG, GIVEN, SPAN, SPAN_KINDS, STEP, STORIES};

/// A map with known keys.
#[derive(Debug)]
pub struct Section {
    /// In the schema's `$defs`, and the heading in the reference.
    pub name: &'static str,
    pub about: &'static str,
    pub keys: &'static [Key],
    /// What keys besides these may be.
    pub rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// An unknown key is an error.
    None,
    /// `scope.name`, each with a matcher.
    ScopedKeys,
    /// Names of tags, each with the value that is expected.
    Tags,
    /// Any key, each with a value of the kind.
    Options,
}

#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub need: Need,
    pub about: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
    /// As a person would write the default.
    Default(&'static str),
}

/// What stands behind a key.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any scalar: `no` is `no`, `0123` is `0123`.
    Text,
    /// A text, or a list of texts.
    Texts,
    OneOf(&'static [&'static str]),
    Bool,
    Number,
    Whole,
    /// `1h30m`.
    Duration,
    /// `2027-06-30`.
    Date,
    /// `2026-01-01T00:00:00Z`.
    Time,
    Map(&'static Section),
    List(&'static Section),
    /// Names of the user's own, each with such a map or nothing.
    MapOf(&'static Section),
    /// Names of the user's own, each with a text.
    TextMap,
    /// Names of the user's own, each with a text or a list of texts.
    TextsMap,
    /// These names, each with a text or a list of texts.
    TextsPer(&'static [&'static str]),
    /// Names with whole numbers.
    Counts,
    /// A list of maps of texts.
    Rows,
    /// A text, or such a map.
    TextOr(&'static Section),
    /// A list of texts or such maps.
    ListOfTextOr(&'static Section),
    /// A number, a map of numbers, or a list of texts or such maps.
    CountOrListOf(&'static Section),
    /// A list of maps of expectations.
    ListOfExpect,
    /// A text, a matcher, or a list of both.
    Matcher,
    /// Conditions that must all hold.
    When,
    /// A list of such conditions.
    Whens,
    /// Tags and the texts that make their values.
    Set,
    /// Anything.
    Any,
}

/// The names of a section's keys, for checks and hints.
pub(super) fn known(section: &'static Section) -> Vec<&'static str> {
    section.keys.iter().map(|key| key.name).collect()
}

const fn required(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, need: Need::Required, about }
}

const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, need: Need::Optional, about }
}

const fn default(name: &'static str, shape: Shape, default: &'static str, about: &'static str) -> Key {
    Key { name, shape, need: Need::Default(default), about }
}
