//! Decides a whole batch inside its transaction. Never writes, sends or reads the clock.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Decided, Incoming, Outlet, Work};
use crate::incidents::{Event, Facts, Heard, Pages, deadline, key_for, step};
use crate::model::id::IdSet;
use crate::model::json_text::Plain as _;
use crate::model::{AlertOutcome, Identity, IncidentKey, State, Timestamp};
use crate::rules::RuleSet;
use crate::store::{Changes, Loaded, Record, RejectRecord};

/// Runs the pure steps over what was loaded, in order of arrival.
pub(super) struct Decider {
    loaded: Loaded,
    outlets: Arc<HashMap<Arc<str>, Outlet>>,
    changed_incidents: IdSet<IncidentKey>,
    changed_members: IdSet<Identity>,
    changes: Changes,
    decided: Decided,
    facts: InForce,
    now: Timestamp,
    listening_since: Timestamp,
}

/// What incidents ask before they speak, as it is during this transaction.
#[derive(Clone, Default)]
pub(super) struct InForce {
    pub(super) rules: Option<Arc<RuleSet>>,
    pub(super) pages: Pages,
}

impl InForce {
    fn facts(&self) -> Facts<'_> {
        Facts { rules: self.rules.as_deref(), pages: Some(&self.pages) }
    }
}

impl Decider {
    pub(super) fn new(
        loaded: Loaded,
        outlets: Arc<HashMap<Arc<str>, Outlet>>,
        facts: InForce,
        now: Timestamp,
        listening_since: Timestamp,
    ) -> Decider {
        Decider {
            loaded,
            outlets,
            changed_incidents: IdSet::default(),
            changed_members: IdSet::default(),
            changes: Changes { now, ..Changes::default() },
            decided: Decided::default(),
            facts,
            now,
            listening_since,
        }
    }

    pub(super) fn decide(mut self, batch: Vec<Work>) -> (Changes, Decided) {
        let mut spoken_of = IdSet::default();
        // Only ticks ask for it, and most batches have none.
        let has_ticks = batch.iter().any(|work| matches!(work, Work::Ticks { .. }));
        for work in &batch {
            if let Work::Alerts { alerts, .. } = work {
                self.changed_incidents.reserve(alerts.len());
                self.changed_members.reserve(alerts.len());
                self.decided.marks.reserve(alerts.len());
                let identities = alerts.iter().map(|incoming| incoming.heard.alert.identity);
                spoken_of.extend(identities.filter(|_| has_ticks));
            }
        }
        // Time first: what it ends, a message may open again, and not the other way round.
        for work in &batch {
            if let Work::Ticks { keys, .. } = work {
                keys.iter().for_each(|key| self.tick(*key, &spoken_of));
            }
        }
        for work in batch {
            match work {
                Work::Alerts { alerts, record, rejects, .. } => self.alerts(alerts, record, rejects),
                Work::Ticks { .. } => {}
                Work::Settle { settlements, .. } => self.changes.settlements.extend(settlements),
                Work::Reject { reject, .. } => self.changes.rejects.push(reject),
                Work::Chore(_) => {}
            }
        }
        let Loaded { mut incidents, mut members, .. } = self.loaded;
        self.changes.incidents.reserve(self.changed_incidents.len());
        self.changes.members.reserve(self.changed_members.len());
        for key in self.changed_incidents {
            if let Some(incident) = incidents.remove(&key) {
                let next = deadline(&incident);
                self.decided.next_deadline = [self.decided.next_deadline, next].into_iter().flatten().min();
                self.changes.incidents.push(incident);
            }
        }
        self.changes.members.extend(self.changed_members.into_iter().filter_map(|identity| members.remove(&identity)));
        self.decided.pages = self.facts.pages;
        (self.changes, self.decided)
    }

    fn alerts(&mut self, alerts: Vec<Incoming>, mut record: Record, rejects: Vec<RejectRecord>) {
        let mut outcomes = Vec::with_capacity(alerts.len());
        let mut lines = std::mem::take(&mut record.decisions);
        lines.reserve(alerts.iter().map(|incoming| incoming.record_head.len() + 64).sum());
        let mut is_news = false;
        for Incoming { heard, mark, record_head } in alerts {
            let (key, outcome) = self.hear(heard);
            outcomes.push(outcome);
            self.decided.marks.push(mark);
            is_news |= !matches!(outcome, AlertOutcome::Repeated | AlertOutcome::Late | AlertOutcome::Updated);
            lines.push(if outcomes.len() == 1 { '[' } else { ',' });
            lines.push_str(&record_head);
            lines.push_str(",\"");
            key.push_to(&mut lines);
            lines.push_str("\",\"");
            lines.push_str(outcome.as_str());
            lines.push_str("\"]");
        }
        if is_news {
            lines.push_str("]}");
            record.decisions = lines;
            self.changes.records.push(record);
        }
        self.changes.rejects.extend(rejects);
        self.decided.outcomes.push(outcomes);
    }

    fn hear(&mut self, heard: Box<Heard>) -> (IncidentKey, AlertOutcome) {
        let identity = heard.alert.identity;
        let now = heard.received_at;
        let is_event = heard.alert.state == State::Info;
        let member = if is_event { None } else { self.loaded.members.remove(&identity) };
        let key = key_for(&heard, member.as_deref());
        let incident = if is_event { None } else { self.loaded.incidents.remove(&key) };
        let step = step(incident, Event::Heard { heard, member }, &self.facts.facts(), now);
        let outcome = step.outcome;
        self.keep(key, step);
        (key, outcome)
    }

    fn tick(&mut self, key: IncidentKey, spoken_of: &IdSet<Identity>) {
        let due = self.loaded.due.remove(&key).unwrap_or_default();
        // What a message of this very batch speaks of is not silent; the tick comes again after it.
        let (spoken_of, due_members): (Vec<_>, Vec<_>) =
            due.members.into_iter().partition(|member| spoken_of.contains(&member.identity));
        let next_expiry = if spoken_of.is_empty() { due.next_expiry } else { self.now };
        let event = Event::Tick { due: due_members, next_expiry, listening_since: self.listening_since };
        let incident = self.loaded.incidents.remove(&key);
        let step = step(incident, event, &self.facts.facts(), self.now);
        self.keep(key, step);
    }

    fn keep(&mut self, key: IncidentKey, step: crate::incidents::Step) {
        if let Some(incident) = step.incident {
            if step.incident_changed {
                self.changed_incidents.insert(incident.key);
            }
            debug_assert!(incident.key == key || step.incident_changed, "an unchanged incident keeps its key");
            self.loaded.incidents.insert(incident.key, incident);
        }
        if let Some(member) = step.unchanged_member {
            self.loaded.members.insert(member.identity, member);
        }
        for member in step.members {
            self.changed_members.insert(member.identity);
            self.loaded.members.insert(member.identity, member);
        }
        for notice in step.notices {
            // A sink that left the settings gets nothing new; one without words for this kind never does.
            let has_words = |sink: &&Arc<str>| self.outlets.get(*sink).is_some_and(|outlet| (outlet.says)(notice.kind));
            let sinks = notice.incident.route.sinks.iter().filter(has_words).cloned().collect();
            self.facts.pages.note(&notice);
            let notice = Arc::new(notice);
            self.decided.notices.push(notice.clone());
            self.changes.notices.push((notice, sinks));
        }
    }
}
