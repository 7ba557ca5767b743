//! What was sent so far in a story, as decided. Holds it and judges nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{AlertOutcome, IncidentKey, Route, Tags};
use crate::rules::{Decision, Listed};

/// What expectations speak of besides the world.
pub(super) struct Scene<'s> {
    /// What was sent last, and before that.
    pub(super) sent: Vec<Sent>,
    pub(super) before: Vec<Sent>,
    /// What decided something in what was sent last, as `file:line id`.
    pub(super) rules: BTreeSet<Arc<str>>,
    pub(super) all_rules: BTreeSet<Arc<str>>,
    pub(super) sinks: &'s BTreeSet<Arc<str>>,
    pub(super) roster: &'s [Listed],
}

impl<'s> Scene<'s> {
    pub(super) fn new(roster: &'s [Listed], sinks: &'s BTreeSet<Arc<str>>) -> Scene<'s> {
        let (sent, before) = (Vec::new(), Vec::new());
        Scene { sent, before, rules: BTreeSet::new(), all_rules: BTreeSet::new(), sinks, roster }
    }
}

/// One alert or resource of telemetry, decided.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) tags: Arc<Tags>,
    /// Only of alerts.
    pub(super) heard: Option<Heard>,
}

/// What telemetry does not have.
#[derive(Clone)]
pub(super) struct Heard {
    pub(super) decision: Decision,
    key: IncidentKey,
    pub(super) outcome: AlertOutcome,
}

impl Sent {
    pub(super) fn of_telemetry(tags: Arc<Tags>) -> Sent {
        Sent { tags, heard: None }
    }

    pub(super) fn of_alert(decision: Decision, key: IncidentKey, outcome: AlertOutcome) -> Sent {
        Sent { tags: Arc::clone(&decision.tags), heard: Some(Heard { decision, key, outcome }) }
    }

    pub(super) fn key(&self) -> Option<IncidentKey> {
        self.heard.as_ref().map(|heard| heard.key)
    }

    pub(super) fn route(&self) -> Option<&Route> {
        self.heard.as_ref().map(|heard| heard.decision.route.as_ref())
    }
}
