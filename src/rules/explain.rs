//! Why the rules said what they said, for `explain`. Asks the same program the same question; adds only what a
//! person wants to know beside the answer.

use std::sync::Arc;

use crate::model::{Alert, Tags};

use super::decide::{Program, visit_key_parts};
use super::facts::{Scopes, View};
use super::rule::{Rule, Stage};
use super::{Explanation, KeyPart, NearMiss, Origin, ServiceMatch};

/// More than this is a list that nobody reads.
const NEAR_MISSES_MAX: usize = 20;
const SEEN_CHARACTERS_MAX: usize = 200;

pub(super) fn explain(program: &Program, alert: &Alert<'_>, origin: Origin<'_>) -> Explanation {
    let (decision, service) = program.decide(alert, origin);
    let scopes = Scopes::of_alert(alert, origin);
    let values = program.keys.look_up(&scopes);
    let view = View { values: &values, tags: &decision.tags, tables: &program.tables };
    let mut key_parts = Vec::new();
    let fold = program.fold_of(&decision.route);
    visit_key_parts(&decision.tags, &decision.class, fold, alert, origin, |name, value| {
        key_parts.push(KeyPart { name, value: value.map(Arc::from) });
    });
    let shadow = program.rules.iter().filter(|rule| rule.stage == Stage::Shadow && rule.when.holds(&view));
    let misses = program.rules.iter().filter_map(|rule| near_miss(rule, &view, &decision.tags));
    Explanation {
        key_parts,
        near_misses: misses.take(NEAR_MISSES_MAX).collect(),
        shadow: shadow.map(|rule| rule.by.clone()).collect(),
        service: service.map(|found| ServiceMatch { raw: found.raw.into(), read_by: found.read_by, how: found.how }),
        decision,
    }
}

/// A rule that would have set something if one condition more had held. A rule with a single condition was near
/// only if there was a value to look at.
fn near_miss(rule: &Rule, view: &View<'_>, tags: &Tags) -> Option<NearMiss> {
    let mut failed = rule.when.conditions.iter().filter(|condition| !condition.holds(view));
    let (condition, None) = (failed.next()?, failed.next()) else { return None };
    let seen = condition.seen(view);
    if seen.is_none() && rule.when.conditions.len() == 1 {
        return None;
    }
    let would_set: Vec<_> = rule.sets.iter().map(|(name, _)| *name).filter(|name| tags.get(*name).is_none()).collect();
    if would_set.is_empty() {
        return None;
    }
    let seen = seen.map(|seen| seen.chars().take(SEEN_CHARACTERS_MAX).collect());
    Some(NearMiss { rule: rule.by.clone(), condition: condition.text.to_string(), seen, would_set })
}
