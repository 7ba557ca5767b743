//! A decision with the names of all that had a part in it, for tests of rules. Asks the program what the daemon asks
//! it; never looks for what nearly held, because that costs a look at every rule.

use std::sync::Arc;

use crate::model::{Alert, Tags};

use super::decide::{Decided, ServiceFound};
use super::facts::{Facts, Scopes};
use super::platform::Cast;
use super::resource::{self, Telemetry};
use super::stamp::Stamped;
use super::{Decision, Origin, ResourceDecision, RuleSet, explain};

/// A decision, and who decided.
#[derive(Clone, Debug)]
pub struct Traced<D> {
    pub decision: D,
    /// Rules, registry entries and routes that set, voted, chose, or would have held in the shadow stage, as
    /// `file:line id`.
    pub by: Vec<Arc<str>>,
}

impl RuleSet {
    /// The same code as [`RuleSet::decide`].
    pub fn decide_traced(&self, alert: &Alert<'_>, origin: Origin<'_>) -> Traced<Decision> {
        let program = &self.program;
        let values = program.keys.look_up(&Scopes::of_alert(alert, origin));
        let Decided { decision, ground } = program.decide_on(&values, alert, origin, &Stamped::default());
        let mut by = self.parts(&values, &decision.tags, ground.service, &ground.votes);
        by.push(Arc::clone(&decision.route.by));
        by.extend(decision.route.also.iter().cloned());
        Traced { decision, by }
    }

    /// The same code as [`RuleSet::tag_resource`].
    pub fn tag_resource_traced(
        &self,
        telemetry: Telemetry<'_>,
        origin: Origin<'_>,
        stamped: &Stamped,
    ) -> Traced<ResourceDecision> {
        let values = self.program.keys.look_up(&Scopes::of_telemetry(telemetry, origin));
        let mut tagging = self.program.tag(&values, stamped);
        let service = tagging.service.take();
        let by = self.parts(&values, &tagging.tags, service, &tagging.votes);
        Traced { decision: resource::decision(&self.program, &values, tagging, telemetry), by }
    }

    fn parts(&self, values: &Facts<'_>, tags: &Tags, service: Option<ServiceFound>, votes: &[Cast]) -> Vec<Arc<str>> {
        let voters = votes.iter().map(|vote| Arc::clone(&self.program.rules[vote.rule].by));
        let setters = tags.iter().map(|(_, tag)| Arc::clone(&tag.by));
        let shadows = explain::shadow(&self.program, values, tags);
        service.map(|found| found.read_by).into_iter().chain(voters).chain(setters).chain(shadows).collect()
    }
}
