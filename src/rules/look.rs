//! How far an answer depends on what stands in an alert: two alerts that show the rules the same get the same answer.
//! Never takes two values for one unless every test that could ask for them says no to both.

use crate::model::{TagName, Tags};

use super::ballot::Witnesses;
use super::condition::{All, Test};
use super::decide::Program;
use super::facts::{Facts, Key, Place, Present, View};
use super::matcher::Matcher;
use super::route::RouteRule;
use super::rule::{Rule, Says, Stage};

/// Testing a value costs more than keeping it apart when more rules than this ask for it.
const ASKER_COUNT_MAX: usize = 4;

/// One look per key.
#[derive(Debug, Default)]
pub(super) struct Looks(Vec<Look>);

#[derive(Debug)]
enum Look {
    /// No answer depends on it: it serves explanations, silences or rules in the shadow stage.
    Nothing,
    /// Every value may have an answer of its own.
    Value,
    /// A value has an answer of its own when one of these rules has a test that it passes.
    Tests(Vec<Asker>),
}

#[derive(Debug)]
struct Asker {
    rule: Number,
    /// The rule cannot hold unless that key has this value.
    guard: Option<(Key, Box<str>)>,
    /// Its tests look at nothing but the value. The others are not tried: where the rule may hold, every value counts.
    is_plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Rule(usize),
    Route(usize),
}

/// What voters and tests see where tags do not matter.
static UNTAGGED: Tags = Tags::new();

impl Looks {
    pub(super) fn new(rules: &[Rule], routes: &[RouteRule], witnesses: &Witnesses, key_count: usize) -> Looks {
        let mut looks = Looks(Vec::new());
        looks.0.resize_with(key_count, || Look::Nothing);
        for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.stage == Stage::Live) {
            looks.add(Number::Rule(number), &rule.when);
            let says = rule.ballot.as_ref().and_then(|ballot| match &ballot.says {
                Says::Always(_) => None,
                Says::Rendered(template) => Some(template),
            });
            for template in rule.sets.iter().map(|(_, template)| template).chain(says) {
                template.visit_keys(&mut |key| looks.0[key] = Look::Value);
            }
        }
        for (number, route) in routes.iter().enumerate() {
            looks.add(Number::Route(number), &route.when);
        }
        witnesses.visit_keys(&mut |key| looks.0[key] = Look::Value);
        looks
    }

    fn add(&mut self, rule: Number, when: &All) {
        when.visit_tests(&mut |key, matcher| {
            matcher.visit_keys(&mut |key| self.0[key] = Look::Value);
            let guard = guard_of(when).filter(|(guarding, _)| *guarding != key);
            let is_plain = matcher.is_alone() && !matches!(matcher, Matcher::Present);
            match &mut self.0[key] {
                Look::Value => {}
                look if guard.is_none() && !is_plain => *look = Look::Value,
                look @ Look::Nothing => *look = Look::Tests(vec![Asker { rule, guard, is_plain }]),
                Look::Tests(askers) => match askers.iter().position(|asker| asker.rule == rule) {
                    Some(known) => askers[known].is_plain &= is_plain,
                    None if askers.len() < ASKER_COUNT_MAX => askers.push(Asker { rule, guard, is_plain }),
                    None => self.0[key] = Look::Value,
                },
            }
        });
    }

    /// Writes what of an alert the answer can depend on, so that equal bytes are equal answers. A value that no test
    /// wants stands there as an empty one, because it still matters that there is one.
    pub(super) fn write(&self, program: &Program, present: &Present<'_>, into: &mut Vec<u8>) {
        let view = View { place: Place::default(), values: &Facts::NONE, tags: &UNTAGGED, tables: &program.tables };
        for (key, value) in present.iter() {
            let shown = match &self.0[key] {
                Look::Nothing => continue,
                Look::Value => value,
                Look::Tests(askers) => {
                    let passes = |asker: &Asker| {
                        let guards = |(key, wanted): &(Key, Box<str>)| present.get(*key) == Some(wanted);
                        let may_hold = asker.guard.as_ref().is_none_or(guards);
                        may_hold && (!asker.is_plain || asker.when(program).has_test_that_holds(key, value, &view))
                    };
                    // An ARN tells account and region to rules that do not ask for it.
                    let is_wanted = value.starts_with("arn:") || askers.iter().any(passes);
                    if is_wanted { value } else { "" }
                }
            };
            // With its length, so that no value passes for the beginning of another.
            let head = (key as u64) << 40 ^ shown.len() as u64;
            into.extend_from_slice(&head.to_le_bytes());
            into.extend_from_slice(shown.as_bytes());
        }
    }
}

impl Asker {
    fn when<'p>(&self, program: &'p Program) -> &'p All {
        match self.rule {
            Number::Rule(number) => &program.rules[number].when,
            Number::Route(number) => &program.routes[number].when,
        }
    }
}

/// The first condition that only one value of a key meets. Tags are not known yet when this is asked.
fn guard_of(when: &All) -> Option<(Key, Box<str>)> {
    when.conditions.iter().find_map(|condition| match &condition.test {
        Test::Value { key, matcher } if *key >= TagName::ALL.len() => match matcher.exact_values()?[..] {
            [value] => Some((*key, Box::from(value))),
            _ => None,
        },
        Test::Value { .. } | Test::Any(_) | Test::Not(_) => None,
    })
}
