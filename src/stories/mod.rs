//! The tests of rules, played: the same decoders, rules and steps as in the daemon, with a clock that is turned by
//! hand and a store in memory. Pure: payloads are handed in, nothing is opened, sent or waited for.

mod arrive;
mod judge;
mod scene;
mod tag_wanted;
mod world;

#[cfg(test)]
mod quiet_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::Labels;
use crate::rules::story::{self, Case, Given, Spot, Step};
use crate::rules::{Diagnostic, Listed, Origin, RuleSet, SERVER_SPAN_KEYS, SourceFile, Telemetry, Traced};

use arrive::Arrival;
use scene::{Scene, Sent};
use world::World;

/// What came of the stories of a set of files.
#[derive(Clone, Debug)]
pub struct StoryReport {
    /// Faults in the files of tests themselves.
    pub faults: Vec<Diagnostic>,
    pub cases: Vec<CaseReport>,
    /// Rules and routes that decided nothing in any story.
    pub untested: Vec<Listed>,
    pub rule_count: usize,
}

#[derive(Clone, Debug)]
pub struct CaseReport {
    pub name: String,
    pub spot: Spot,
    /// Empty when all is as expected.
    pub failures: Vec<Diagnostic>,
}

impl StoryReport {
    /// Whether every file could be read and every case held.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && self.failed_count() == 0
    }

    pub fn failed_count(&self) -> usize {
        self.cases.iter().filter(|case| !case.failures.is_empty()).count()
    }

    /// Everything that is wrong, in the order of the files.
    pub fn wrongs(&self) -> impl Iterator<Item = &Diagnostic> {
        self.faults.iter().chain(self.cases.iter().flat_map(|case| &case.failures))
    }
}

/// Plays all stories among the files. `rules` are those of the same files; a route without `to` goes to the sinks
/// that they are bound to.
pub fn run_stories(rules: &RuleSet, files: &[SourceFile]) -> StoryReport {
    run_chosen(rules, files, |_| true)
}

/// Plays those that `chosen` picks.
pub fn run_chosen(rules: &RuleSet, files: &[SourceFile], chosen: impl Fn(&Case) -> bool) -> StoryReport {
    let (cases, faults) = story::read(files);
    let (roster, sinks) = (rules.roster(), rules.bound_sinks());
    let mut decided: BTreeSet<Arc<str>> = BTreeSet::new();
    let cases = cases
        .iter()
        .filter(|case| chosen(case))
        .map(|case| {
            let mut play = Play { rules, files, roster: &roster, sinks: &sinks, decided: &mut decided };
            CaseReport { name: case.name.clone(), spot: case.spot.clone(), failures: play.case(case) }
        })
        .collect();
    let rule_count = roster.len();
    let untested = roster.into_iter().filter(|listed| !decided.contains(&listed.by)).collect();
    StoryReport { faults, cases, untested, rule_count }
}

/// Kind and name of the source that telemetry comes through.
const TELEMETRY: &str = "otlp";
static NO_CONSTANTS: Labels<'static> = Labels::new();

struct Play<'p> {
    rules: &'p RuleSet,
    files: &'p [SourceFile],
    roster: &'p [Listed],
    /// Those that routes send to.
    sinks: &'p BTreeSet<Arc<str>>,
    /// What set or routed anything, as `file:line id`.
    decided: &'p mut BTreeSet<Arc<str>>,
}

impl Play<'_> {
    fn case(&mut self, case: &Case) -> Vec<Diagnostic> {
        let mut world = World::new(self.rules, case.clock);
        let mut scene = Scene::new(self.roster, self.sinks);
        let mut failures = Vec::new();
        for step in &case.steps {
            let now = case.clock.plus(step.at);
            let told_before = world.notices.len();
            if let Err(reason) = world.advance(now) {
                failures.push(step.spot.fault(reason, None));
                return failures;
            }
            scene.before = std::mem::take(&mut scene.sent);
            if let Some(given) = &step.given
                && let Err(fault) = self.send(given, step, &mut world, &mut scene)
            {
                failures.push(*fault);
                return failures;
            }
            if scene.sent.is_empty() {
                // Time only passed: what was sent last is still what is spoken of.
                scene.sent = scene.before.clone();
            }
            failures.extend(judge::judge(&step.expect, &scene, &world, told_before));
        }
        // Over the whole story.
        scene.rules = scene.all_rules.clone();
        failures.extend(judge::judge(&case.expect, &scene, &world, 0));
        failures
    }

    fn send(
        &mut self,
        given: &Given,
        step: &Step,
        world: &mut World<'_>,
        scene: &mut Scene<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        let mut rules = BTreeSet::new();
        match given {
            Given::Span(span) => {
                // Where the program runs is said by its resource; what its spans say is about others, but for a function.
                let own = || SERVER_SPAN_KEYS.iter().filter_map(|key| Some((*key, span.attributes.get(key)?)));
                let said: Labels<'_> = own().collect();
                let server_span = (span.is_server && own().next().is_some()).then_some(&said);
                let telemetry = Telemetry { resource: &span.resource, server_span };
                let origin = Origin { kind: TELEMETRY, instance: TELEMETRY, constants: &NO_CONSTANTS };
                let Traced { decision, by } = self.rules.tag_resource_traced(telemetry, origin, &world.stamped());
                world.dispute(&decision.disputed);
                rules.extend(by);
                scene.sent.push(Sent::of_telemetry(decision.tags));
            }
            Given::Alert(_) | Given::Payload(_) => {
                for Arrival { heard, decision, by } in
                    arrive::arrivals(given, step, self.rules, self.files, world.now())?
                {
                    rules.extend(by);
                    let (key, outcome) = world.hear(heard);
                    scene.sent.push(Sent::of_alert(decision, key, outcome));
                }
            }
        }
        self.decided.extend(rules.iter().cloned());
        scene.all_rules.extend(rules.iter().cloned());
        scene.rules = rules;
        Ok(())
    }
}
