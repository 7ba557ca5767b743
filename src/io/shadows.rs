//! Counts what the shadow rules of a set would have changed, with a few examples of each change. Never grows with what
//! senders write: changes beyond the bound are counted without their values.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::model::Alert;
use crate::rules::ShadowChange;

/// Examples kept of each change.
const EXAMPLE_COUNT_MAX: usize = 5;
/// Different changes kept of each set of rules: what a person would look through.
const CHANGE_COUNT_MAX: usize = 500;
const NAME_CHARACTERS_MAX: usize = 120;

/// Belongs to one set of rules in force.
#[derive(Debug, Default)]
pub struct Shadows(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    changes: HashMap<ShadowChange, Seen>,
    /// Changes of tags by rule, also those that are not kept one by one.
    totals: BTreeMap<Arc<str>, u64>,
    unkept_count: u64,
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    /// Names of alerts, each with its identity.
    examples: Vec<(String, String)>,
}

impl Shadows {
    pub fn note(&self, changes: Vec<ShadowChange>, alert: &Alert<'_>) {
        if changes.is_empty() {
            return;
        }
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            *counted.totals.entry(Arc::clone(&change.rule)).or_default() += 1;
            if counted.changes.len() >= CHANGE_COUNT_MAX && !counted.changes.contains_key(&change) {
                counted.unkept_count += 1;
                continue;
            }
            let seen = counted.changes.entry(change).or_default();
            seen.count += 1;
            if seen.examples.len() < EXAMPLE_COUNT_MAX {
                let name = alert.name.chars().take(NAME_CHARACTERS_MAX).collect();
                seen.examples.push((name, alert.identity.to_string()));
            }
        }
    }

    /// Tags that would have been others, by rule (`file:line id`).
    pub fn totals(&self) -> Vec<(Arc<str>, u64)> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.totals.iter().map(|(rule, count)| (Arc::clone(rule), *count)).collect()
    }

    /// For people, the most frequent change first.
    pub fn show(&self) -> Value {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes: Vec<(&ShadowChange, &Seen)> = counted.changes.iter().collect();
        changes.sort_by(|(left, seen_left), (right, seen_right)| {
            let key = |change: &ShadowChange| (Arc::clone(&change.rule), change.tag, change.after.clone());
            seen_right.count.cmp(&seen_left.count).then_with(|| key(left).cmp(&key(right)))
        });
        let shown = changes.into_iter().map(|(change, seen)| {
            let examples = seen.examples.iter().map(|(name, identity)| json!({ "alert": name, "identity": identity }));
            json!({
                "rule": change.rule, "tag": change.tag.as_str(), "before": change.before, "after": change.after,
                "count": seen.count, "examples": examples.collect::<Vec<_>>(),
            })
        });
        json!({ "changes": shown.collect::<Vec<_>>(), "unkept": counted.unkept_count })
    }
}
