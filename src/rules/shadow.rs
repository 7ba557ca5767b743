//! What rules in the shadow stage would change: each is tried as if it were live, alone, on an alert that the live rules
//! have decided on. Never changes a decision.

use std::sync::Arc;

use crate::model::{Alert, Tag, TagName};

use super::decide::Program;
use super::facts::{Facts, Scopes};
use super::rule::Stage;
use super::stamp::Stamped;
use super::{Decision, Origin, RuleSet};

/// A tag that would be another one if a shadow rule were live.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShadowChange {
    /// The shadow rule, as `file:line id`.
    pub rule: Arc<str>,
    pub tag: TagName,
    pub before: Option<Arc<str>>,
    pub after: Option<Arc<str>>,
}

impl RuleSet {
    /// Whether [`RuleSet::shadow_changes`] can ever find something.
    pub fn has_shadow_rules(&self) -> bool {
        !self.program.shadows.is_empty()
    }

    /// What each shadow rule alone would change in a decision of these rules. The rule takes its own place in the order,
    /// and the tags that follow from it are counted as well. Costs one more look-up, and one more decision for each
    /// shadow rule that holds.
    pub fn shadow_changes(&self, alert: &Alert<'_>, origin: Origin<'_>, decision: &Decision) -> Vec<ShadowChange> {
        self.program.shadow_changes(decision, || self.program.keys.look_up(&Scopes::of_alert(alert, origin)))
    }
}

impl Program {
    /// `facts` are those that the decision was made on, and not asked for where there are no shadow rules.
    pub(super) fn shadow_changes<'a>(
        &self,
        decision: &Decision,
        facts: impl FnOnce() -> Facts<'a>,
    ) -> Vec<ShadowChange> {
        if self.shadows.is_empty() {
            return Vec::new();
        }
        let facts = facts();
        let chance = self.shadows.iter().filter(|number| self.may_hold(**number, &facts, decision));
        chance.flat_map(|number| self.changes_of(*number, &facts, decision)).collect()
    }

    /// The rules in the shadow stage, in their order.
    pub(super) fn shadows_of(rules: &[super::rule::Rule]) -> Vec<usize> {
        (0..rules.len()).filter(|number| rules[*number].stage == Stage::Shadow).collect()
    }

    /// A rule that asks tags must be tried where it stands, because tags that are set later do not stand there yet.
    fn may_hold(&self, number: usize, facts: &Facts<'_>, decision: &Decision) -> bool {
        let when = &self.rules[number].when;
        let mut asks_tags = false;
        when.visit_keys(&mut |key| asks_tags |= key < TagName::ALL.len());
        asks_tags || when.holds(&self.view(facts, &decision.tags, self.witnesses.place(facts)))
    }

    fn changes_of(&self, number: usize, facts: &Facts<'_>, decision: &Decision) -> Vec<ShadowChange> {
        let tagging = self.tag_with(facts, &Stamped::default(), Some(number));
        let value = |tag: Option<&Tag>| tag.map(|tag| Arc::clone(&tag.value));
        let differs = |name: &TagName| {
            let after = tagging.tags.get(*name);
            // Without a rule that sets them these two come from the alert, whatever the rules say.
            let is_given = after.is_none() && matches!(name, TagName::Class | TagName::Severity);
            !is_given && after.map(|tag| &tag.value) != decision.tags.get(*name).map(|tag| &tag.value)
        };
        TagName::ALL
            .into_iter()
            .filter(differs)
            .map(|tag| ShadowChange {
                rule: Arc::clone(&self.rules[number].by),
                tag,
                before: value(decision.tags.get(tag)),
                after: value(tagging.tags.get(tag)),
            })
            .collect()
    }
}
