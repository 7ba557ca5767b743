//! Why the rules said what they said, for `explain`. Asks the same program the same question; adds only what a
//! person wants to know beside the answer.

use std::sync::Arc;

use crate::model::{Alert, TagName, Tags};

use super::decide::{Decided, Program, ServiceFound, Tagging, visit_key_parts};
use super::facts::{Facts, Scopes, View};
use super::resource::{ResourceExplanation, Telemetry};
use super::rule::Rule;
use super::stamp::Stamped;
use super::{Explanation, KeyPart, NearMiss, Origin, ServiceMatch};

/// More than this is a list that nobody reads.
const NEAR_MISSES_MAX: usize = 20;
const SEEN_CHARACTERS_MAX: usize = 200;

pub(super) fn explain(program: &Program, alert: &Alert<'_>, origin: Origin<'_>) -> Explanation {
    let values = program.keys.look_up(&Scopes::of_alert(alert, origin));
    let Decided { decision, ground } = program.decide_on(&values, alert, origin, &Stamped::default());
    let mut key_parts = Vec::new();
    visit_key_parts(&decision.tags, &decision.class, ground.fold, alert, origin, |name, value| {
        key_parts.push(KeyPart { name, value: value.map(Arc::from) });
    });
    Explanation {
        key_parts,
        votes: program.show_votes(&ground.votes, &values),
        near_misses: near_misses(program, &values, &decision.tags),
        shadow: shadow(program, &values, &decision.tags),
        service: ground.service.map(service_match),
        decision,
    }
}

pub(super) fn explain_resource(
    program: &Program,
    telemetry: Telemetry<'_>,
    origin: Origin<'_>,
    stamped: &Stamped,
) -> ResourceExplanation {
    let values = program.keys.look_up(&Scopes::of_telemetry(telemetry, origin));
    let Tagging { tags, service, votes, .. } = program.tag(&values, stamped);
    ResourceExplanation {
        votes: program.show_votes(&votes, &values),
        near_misses: near_misses(program, &values, &tags),
        shadow: shadow(program, &values, &tags),
        service: service.map(service_match),
        tags: Arc::new(tags),
    }
}

fn service_match(found: ServiceFound) -> ServiceMatch {
    ServiceMatch { raw: found.raw.into(), read_by: found.read_by, how: found.how }
}

pub(super) fn shadow(program: &Program, values: &Facts<'_>, tags: &Tags) -> Vec<Arc<str>> {
    let view = program.view(values, tags, program.witnesses.place(values));
    let rules = program.shadows.iter().map(|number| &program.rules[*number]);
    rules.filter(|rule| rule.when.holds(&view)).map(|rule| Arc::clone(&rule.by)).collect()
}

fn near_misses(program: &Program, values: &Facts<'_>, tags: &Tags) -> Vec<NearMiss> {
    let view = program.view(values, tags, program.witnesses.place(values));
    program.rules.iter().filter_map(|rule| near_miss(rule, &view, tags)).take(NEAR_MISSES_MAX).collect()
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
    // Unknown is an answer, and one that people would like to better.
    let is_unknown = |name: TagName| name == TagName::Platform && tags.value(name) == Some("unknown");
    let is_open = |name: &TagName| tags.get(*name).is_none() || is_unknown(*name);
    let would_set: Vec<TagName> = rule.names().filter(is_open).collect();
    if would_set.is_empty() {
        return None;
    }
    let seen = seen.map(|seen| seen.chars().take(SEEN_CHARACTERS_MAX).collect());
    Some(NearMiss { rule: rule.by.clone(), condition: condition.text.to_string(), seen, would_set })
}
