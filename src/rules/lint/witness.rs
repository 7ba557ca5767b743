//! Conditions multiplied out, and an alert for which given conditions hold. A witness is tried with the rules' own code
//! before it is shown, so that none is made up.

use std::sync::Arc;

use crate::model::{Tag, TagName, Tags};

use crate::rules::condition::{All, Condition, Test};
use crate::rules::decide::Program;
use crate::rules::facts::{Facts, Key, Place};
use crate::rules::matcher::Matcher;
use crate::rules::table::Tables;

/// More than this is a rule that nobody reads, and the product of two such is slow.
const BRANCHES_MAX: usize = 32;
/// Samples that are tried together: `pay` and `-dead` meet in `pay-dead`.
const JOINED_MAX: usize = 16;
/// Keys of a table that are tried.
const TABLE_KEYS_MAX: usize = 64;

/// Conditions without `any`: all of them must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Branch<'p> {
    pub(super) values: Vec<(Key, &'p Matcher)>,
    /// What must not hold, with its text.
    pub(super) denied: Vec<(&'p str, &'p All)>,
}

pub(super) fn branches(all: &All) -> Option<Vec<Branch<'_>>> {
    let mut branches = vec![Branch::default()];
    for condition in &all.conditions {
        let further = of_condition(condition)?;
        let joined: Vec<Branch<'_>> = branches
            .iter()
            .flat_map(|held| {
                further.iter().map(move |more| Branch {
                    values: [held.values.as_slice(), &more.values].concat(),
                    denied: [held.denied.as_slice(), &more.denied].concat(),
                })
            })
            .collect();
        if joined.len() > BRANCHES_MAX {
            return None;
        }
        branches = joined;
    }
    Some(branches)
}

fn of_condition(condition: &Condition) -> Option<Vec<Branch<'_>>> {
    match &condition.test {
        Test::Value { key, matcher } => Some(vec![Branch { values: vec![(*key, matcher)], denied: Vec::new() }]),
        Test::Not(all) => Some(vec![Branch { values: Vec::new(), denied: vec![(&condition.text, all)] }]),
        Test::Any(lists) => {
            let lists: Option<Vec<Vec<Branch<'_>>>> = lists.iter().map(branches).collect();
            let found = lists?.concat();
            (found.len() <= BRANCHES_MAX).then_some(found)
        }
    }
}

/// `label.a=x, label.b=y`: an alert for which all of `whens` hold, one branch of each being given. `None` when none
/// was found, which does not prove that there is none.
pub(super) fn find(branches: &[&Branch<'_>], program: &Program, whens: &[&All]) -> Option<String> {
    let mut keys: Vec<Key> = branches.iter().flat_map(|branch| branch.values.iter().map(|(key, _)| *key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut chosen: Vec<(Key, String)> = Vec::new();
    for key in keys {
        let matchers: Vec<&Matcher> = branches
            .iter()
            .flat_map(|branch| branch.values.iter().filter(|(held, _)| *held == key).map(|(_, matcher)| *matcher))
            .collect();
        if matchers.iter().all(|matcher| matcher.accepts_absence()) {
            continue;
        }
        let fits = |sample: &String| matchers.iter().all(|matcher| accepts(matcher, sample, program));
        let alone = || matchers.iter().flat_map(|matcher| samples(matcher, &program.tables));
        let sample = alone().find(fits).or_else(|| joined(&alone().take(JOINED_MAX).collect::<Vec<_>>()).find(fits))?;
        chosen.push((key, sample));
    }
    let mut tags = Tags::default();
    for (key, sample) in &chosen {
        if let Some(name) = TagName::ALL.get(*key) {
            tags.replace(*name, Tag { value: Arc::from(sample.as_str()), by: Arc::from(""), seen: None });
        }
    }
    let values = program.keys.given(chosen.iter().map(|(key, sample)| (*key, sample.as_str())));
    let view = program.view(&values, &tags, Place { account: None, region: None });
    let shown: Vec<String> =
        chosen.iter().map(|(key, sample)| format!("{}={sample}", program.keys.text(*key))).collect();
    whens.iter().all(|when| when.holds(&view)).then(|| shown.join(", "))
}

/// Whether the value alone satisfies the matcher.
pub(super) fn accepts(matcher: &Matcher, value: &str, program: &Program) -> bool {
    matcher.holds(Some(value), &program.view(&Facts::NONE, &Tags::default(), Place { account: None, region: None }))
}

/// Each sample before each other.
fn joined(samples: &[String]) -> impl Iterator<Item = String> {
    samples.iter().flat_map(|before| samples.iter().map(move |after| format!("{before}{after}")))
}

/// Values that the matcher probably accepts.
fn samples(matcher: &Matcher, tables: &Tables) -> Vec<String> {
    match matcher {
        Matcher::Exact(want) => vec![want.to_string()],
        Matcher::Prefix(want) => vec![want.to_string(), format!("{want}x"), format!("{want}1")],
        Matcher::Suffix(want) => vec![want.to_string(), format!("x{want}"), format!("1{want}")],
        Matcher::Glob(glob) => vec![glob.sample(""), glob.sample("x"), glob.sample("1")],
        Matcher::Pattern(regex) => {
            // The alternatives of a simple expression, as they stand between the anchors.
            let inner = regex.as_str().trim_start_matches(r"\A(?:").trim_end_matches(r")\z");
            let plain = inner.replace(".*", "").replace(".+", "x").replace("[0-9]+", "1").replace("[a-z]+", "x");
            plain.split('|').map(str::to_owned).chain(["x", "1", "a-1"].map(str::to_owned)).collect()
        }
        Matcher::Within(networks) => networks.iter().map(|network| network.sample().to_string()).collect(),
        Matcher::Arn { service, kinds, .. } => {
            let arn = |kind: &str| format!("arn:aws:{service}:us-east-1:111111111111:{kind}/a/b");
            if kinds.is_empty() { vec![arn("cluster")] } else { kinds.iter().map(|kind| arn(kind)).collect() }
        }
        Matcher::In { table, .. } => {
            let mut keys: Vec<String> = tables.get(*table).keys().map(str::to_owned).collect();
            keys.sort();
            keys.truncate(TABLE_KEYS_MAX);
            keys
        }
        Matcher::Above(bound) => vec![(bound + 1.0).to_string(), (bound + 0.001).to_string()],
        Matcher::Below(bound) => vec![(bound - 1.0).to_string(), (bound - 0.001).to_string()],
        Matcher::Present => vec!["x".to_owned()],
        Matcher::Absent => Vec::new(),
        Matcher::AnyOf(matchers) | Matcher::AllOf(matchers) => {
            matchers.iter().flat_map(|matcher| samples(matcher, tables)).collect()
        }
    }
}
