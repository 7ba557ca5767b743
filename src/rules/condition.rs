//! The `when` of a rule: conditions that must all hold, `any` of several, `not`. Never changes anything.

use super::diagnostic::Faults;
use super::facts::{Key, Keys, View};
use super::matcher::{Affix, Bindable, Bindings, Matcher};
use super::table::Tables;
use super::walk::{self, Word};
use super::yaml::{Entry, Kind, Node};

/// Holds when each of its conditions holds; an empty one always does.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) conditions: Vec<Condition>,
    /// Without a value behind this key it cannot hold. Most branches of an `any` are told by this alone.
    gate: Option<Key>,
}

#[derive(Debug)]
pub(super) struct Condition {
    /// As written, for explanations.
    pub(super) text: Box<str>,
    pub(super) test: Test,
}

#[derive(Debug)]
pub(super) enum Test {
    Value { key: Key, matcher: Matcher },
    Any(Vec<All>),
    Not(All),
}

/// What must be so for a rule to have a chance, cheap to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Exact(Key, Box<str>),
    Prefix(Key, Box<str>),
    Suffix(Key, Box<str>),
    Present(Key),
}

impl Anchor {
    fn weakness(&self) -> u8 {
        match self {
            Anchor::Exact(..) => 0,
            Anchor::Prefix(_, text) | Anchor::Suffix(_, text) if text.len() >= 4 => 1,
            Anchor::Prefix(..) | Anchor::Suffix(..) => 2,
            Anchor::Present(_) => 3,
        }
    }
}

/// A rule's findings: the values for `${…}` and the first input that spoke for it.
#[derive(Debug, Default)]
pub(super) struct Findings<'v> {
    pub(super) bindings: Bindings<'v>,
    pub(super) seen: Option<(Key, &'v str)>,
}

/// What reading a condition needs from around it.
pub(super) struct Reading<'r> {
    pub(super) keys: &'r mut Keys,
    pub(super) tables: &'r Tables,
}

impl All {
    #[inline]
    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        self.gate.is_none_or(|gate| view.get(gate).is_some()) && self.all_hold(view)
    }

    fn all_hold(&self, view: &View<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(view))
    }

    /// Only for conditions that hold.
    pub(super) fn find<'v>(&'v self, view: &View<'v>, findings: &mut Findings<'v>) {
        for condition in &self.conditions {
            match &condition.test {
                Test::Value { key, matcher } => {
                    if let Some(text) = view.get(*key) {
                        findings.seen = findings.seen.or(Some((*key, text)));
                        matcher.bind(text, view, &mut findings.bindings);
                    }
                }
                Test::Any(branches) => {
                    if let Some(branch) = branches.iter().find(|branch| branch.holds(view)) {
                        branch.find(view, findings);
                    }
                }
                Test::Not(_) => {}
            }
        }
    }

    /// The first input that spoke for it, without what the values give to `${…}`. Only for conditions that hold.
    pub(super) fn saw<'v>(&self, view: &View<'v>) -> Option<(Key, &'v str)> {
        self.conditions.iter().find_map(|condition| match &condition.test {
            Test::Value { key, .. } => view.get(*key).map(|text| (*key, text)),
            Test::Any(branches) => branches.iter().find(|branch| branch.holds(view))?.saw(view),
            Test::Not(_) => None,
        })
    }

    /// Every key that it looks at.
    pub(super) fn visit_keys(&self, visit: &mut dyn FnMut(Key)) {
        for condition in &self.conditions {
            match &condition.test {
                Test::Value { key, matcher } => {
                    visit(*key);
                    matcher.visit_keys(visit);
                }
                Test::Any(branches) => branches.iter().for_each(|branch| branch.visit_keys(visit)),
                Test::Not(all) => all.visit_keys(visit),
            }
        }
    }

    /// Every test of a value, wherever it stands.
    pub(super) fn visit_tests(&self, visit: &mut dyn FnMut(Key, &Matcher)) {
        for condition in &self.conditions {
            match &condition.test {
                Test::Value { key, matcher } => visit(*key, matcher),
                Test::Any(branches) => branches.iter().for_each(|branch| branch.visit_tests(visit)),
                Test::Not(all) => all.visit_tests(visit),
            }
        }
    }

    /// Whether one of its tests of this key, wherever it stands, holds for the value.
    pub(super) fn has_test_that_holds(&self, key: Key, value: &str, view: &View<'_>) -> bool {
        self.conditions.iter().any(|condition| match &condition.test {
            Test::Value { key: tested, matcher } => *tested == key && matcher.holds(Some(value), view),
            Test::Any(branches) => branches.iter().any(|branch| branch.has_test_that_holds(key, value, view)),
            Test::Not(all) => all.has_test_that_holds(key, value, view),
        })
    }

    /// Whether it cannot hold unless such a key has exactly this value.
    pub(super) fn requires(&self, is_meant: impl Fn(Key) -> bool, value: &str) -> bool {
        self.conditions.iter().any(|condition| match &condition.test {
            Test::Value { key, matcher } => {
                is_meant(*key) && matcher.exact_values().is_some_and(|held| held == [value])
            }
            Test::Any(_) | Test::Not(_) => false,
        })
    }

    /// The only values that a key may have for this to hold, where one of the conditions lists them.
    pub(super) fn allowed(&self, wanted: Key) -> Option<Vec<&str>> {
        self.conditions.iter().find_map(|condition| match &condition.test {
            Test::Value { key, matcher } if *key == wanted => matcher.exact_values(),
            Test::Value { .. } | Test::Any(_) | Test::Not(_) => None,
        })
    }

    /// `None` when the conditions can hold with every value absent.
    pub(super) fn anchors(&self) -> Option<Vec<Anchor>> {
        let all = self.conditions.iter().filter_map(Condition::anchors);
        // A list is as good as its weakest part: an exact value rules out most alerts, a beginning many, a key that is
        // there at least those without it. Of equals the first.
        all.min_by_key(|anchors| anchors.iter().map(Anchor::weakness).max())
    }

    pub(super) fn read(
        node: &Node,
        reading: &mut Reading<'_>,
        bindable: &mut Bindable,
        faults: &mut Faults<'_>,
    ) -> Option<All> {
        let entries = walk::entries(node, "`when`", faults)?;
        // All of them first, so that each fault is reported.
        let conditions: Vec<_> =
            entries.iter().map(|entry| Condition::read(entry, reading, bindable, faults)).collect();
        let conditions: Vec<Condition> = conditions.into_iter().collect::<Option<_>>()?;
        let gate = conditions.iter().find_map(Condition::gate);
        Some(All { conditions, gate })
    }
}

impl Condition {
    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        match &self.test {
            Test::Value { key, matcher } => matcher.holds(view.get(*key), view),
            Test::Any(branches) => branches.iter().any(|branch| branch.holds(view)),
            Test::Not(all) => !all.holds(view),
        }
    }

    fn gate(&self) -> Option<Key> {
        match &self.test {
            Test::Value { key, matcher } if !matcher.accepts_absence() => Some(*key),
            Test::Value { .. } | Test::Any(_) | Test::Not(_) => None,
        }
    }

    /// The value that the condition looked at, where it looks at one.
    pub(super) fn seen<'v>(&self, view: &View<'v>) -> Option<&'v str> {
        match &self.test {
            Test::Value { key, .. } => view.get(*key),
            Test::Any(_) | Test::Not(_) => None,
        }
    }

    fn anchors(&self) -> Option<Vec<Anchor>> {
        match &self.test {
            Test::Value { key, matcher } => {
                if let Some(values) = matcher.exact_values() {
                    return Some(values.into_iter().map(|value| Anchor::Exact(*key, value.into())).collect());
                }
                if matcher.accepts_absence() {
                    return None;
                }
                let anchor = |affix: Affix<'_>| match affix {
                    Affix::Exact(text) => Anchor::Exact(*key, text.into()),
                    Affix::Prefix(text) => Anchor::Prefix(*key, text.into()),
                    Affix::Suffix(text) => Anchor::Suffix(*key, text.into()),
                };
                let affixes = matcher.affixes().map(|affixes| affixes.into_iter().map(anchor).collect());
                Some(affixes.unwrap_or_else(|| vec![Anchor::Present(*key)]))
            }
            Test::Any(branches) => {
                let anchors: Option<Vec<Vec<Anchor>>> = branches.iter().map(All::anchors).collect();
                anchors.map(|anchors| anchors.concat())
            }
            Test::Not(_) => None,
        }
    }

    fn read(
        entry: &Entry,
        reading: &mut Reading<'_>,
        bindable: &mut Bindable,
        faults: &mut Faults<'_>,
    ) -> Option<Condition> {
        let test = match entry.key.as_str() {
            "any" => read_any(&entry.value, reading, bindable, faults)?,
            "not" => {
                if matches!(&entry.value.kind, Kind::Map(entries) if entries.is_empty()) {
                    faults.error(entry.value.at, "`not` of nothing never holds", None);
                    return None;
                }
                // What a negation saw did not happen: nothing of it may be named in `set`.
                Test::Not(All::read(&entry.value, reading, &mut Bindable::default(), faults)?)
            }
            _ => {
                let key = reading.keys.read(Word { text: &entry.key, at: entry.key_at }, faults);
                let matcher = Matcher::read(&entry.value, reading, bindable, faults);
                Test::Value { key: key?, matcher: matcher? }
            }
        };
        Some(Condition { text: format!("{}: {}", entry.key, entry.value).into(), test })
    }
}

fn read_any(node: &Node, reading: &mut Reading<'_>, bindable: &mut Bindable, faults: &mut Faults<'_>) -> Option<Test> {
    let Kind::List(items) = &node.kind else {
        faults.error(node.at, format!("`any` must be a list of maps, not {}", node.kind_name()), None);
        return None;
    };
    if items.is_empty() {
        faults.error(node.at, "`any` of nothing never holds", None);
        return None;
    }
    let branches: Vec<_> = items.iter().map(|item| All::read(item, reading, bindable, faults)).collect();
    branches.into_iter().collect::<Option<_>>().map(Test::Any)
}
