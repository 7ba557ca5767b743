//! The life of an incident: what an alert or the passing of time does to it, and what it then says. A pure
//! function of its inputs: never reads the clock, draws a random number or touches the world.

mod hear;
mod pages;
mod route;
mod speak;
mod tick;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::model::incident::{Quiet, QuietHow};
use crate::model::{
    Alert, AlertOutcome, Incident, IncidentKey, Member, Notice, NoticeKind, Phase, Route, SourceRef, Tags, Timestamp,
};

use crate::rules::{Decision, RuleSet};

pub use hear::key_for;
pub use pages::Pages;
use speak::Said;
pub use speak::event_notice;

/// A firing message whose episode is over is late when it comes this soon after the end; an evaluator that
/// goes on saying so for longer means it.
pub const LATE_EVALUATOR: Duration = Duration::from_secs(5 * 60);
/// Relays repeat from a group that they flush every few minutes, and their peers may lag behind each other.
pub const LATE_RELAY: Duration = Duration::from_secs(15 * 60);
/// After a start nothing lapses for as long as its word holds, but at most this: what we could not hear
/// while we were away is not silence.
pub const RESTART_GRACE_MAX: Duration = Duration::from_secs(15 * 60);
/// After a start a hold that ran out meanwhile goes on for its own length, but at most for this: evaluators repeat
/// themselves every minute.
pub const ABSENCE_HOLD_MAX: Duration = Duration::from_secs(90);
/// How soon a quiet incident asks the rules again: a silence may be taken out of the files.
pub const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Members shown to readers besides the lead. They are written with every change of the incident, so they are
/// few and hold what tells one from another: labels and times.
pub const SAMPLE_COUNT_MAX: usize = 4;

/// A decoded, tagged and routed alert.
#[derive(Clone, Debug)]
pub struct Heard {
    pub alert: Alert<'static>,
    pub source: SourceRef,
    pub received_at: Timestamp,
    pub tags: Arc<Tags>,
    pub rules_revision: Arc<str>,
    pub key: IncidentKey,
    pub route: Arc<Route>,
}

impl Heard {
    /// An alert as the rules decided on it: the one way to make what an incident hears.
    pub fn new(
        alert: Alert<'_>,
        source: SourceRef,
        received_at: Timestamp,
        decision: Decision,
        rules_revision: Arc<str>,
    ) -> Heard {
        let Decision { tags, key, route, .. } = decision;
        Heard { alert: alert.into_owned(), source, received_at, tags, rules_revision, key, route }
    }
}

/// What happens to an incident.
pub enum Event {
    /// A message; `member` is what is held under the alert's identity.
    Heard { heard: Box<Heard>, member: Option<Box<Member>> },
    /// A deadline has come. `due` are the firing members whose last word should have lapsed by `now`;
    /// `next_expiry` is the earliest expiry among the others.
    Tick { due: Vec<Member>, next_expiry: Timestamp, listening_since: Timestamp },
}

/// What an incident asks before it speaks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'f> {
    /// The rules in force, for silences and hours.
    pub rules: Option<&'f RuleSet>,
    pub pages: Option<&'f Pages>,
}

impl Facts<'_> {
    /// Why a notice of this kind must wait. A resolve never does: it only ends what was told.
    fn quiet(&self, incident: &Incident, kind: NoticeKind, now: Timestamp) -> Option<Quiet> {
        let by_rules = self.rules.and_then(|rules| rules.quiet(incident, now));
        let limited = || {
            let until = self.pages.filter(|_| kind == NoticeKind::Opened)?.free_at(incident, now)?;
            Some(Quiet::new(QuietHow::Limit, incident.route.by.clone(), now, until))
        };
        let quiet = by_rules.or_else(limited)?;
        Some(Quiet { look_at: quiet.until.min(now.plus(LOOK_AGAIN)), ..quiet })
    }
}

/// What came of it. `incident` and `members` are to be stored if changed.
#[derive(Debug)]
pub struct Step {
    /// Shared with what it says: most steps that say something say how it stands after them.
    pub incident: Option<Arc<Incident>>,
    pub incident_changed: bool,
    pub members: Vec<Box<Member>>,
    /// The member that was given, when nothing about it changed.
    pub unchanged_member: Option<Box<Member>>,
    pub notices: Vec<Notice>,
    pub outcome: AlertOutcome,
}

/// One step of an incident's life.
pub fn step(incident: Option<Arc<Incident>>, event: Event, facts: &Facts<'_>, now: Timestamp) -> Step {
    let incident = incident.map(Arc::unwrap_or_clone);
    let step = match event {
        Event::Heard { heard, member } => hear::hear(incident, *heard, member, facts),
        Event::Tick { due, next_expiry, listening_since } => match incident {
            Some(incident) => {
                tick::tick(incident, tick::Due { members: due, next_expiry }, listening_since, facts, now)
            }
            None => Step::unchanged(None, None, AlertOutcome::Noted),
        },
    };
    debug_assert!(step.incident.as_deref().is_none_or(is_consistent), "inconsistent: {:?}", step.incident);
    step
}

/// When the incident wants to be looked at again, if nothing happens before.
pub fn deadline(incident: &Incident) -> Option<Timestamp> {
    match incident.phase {
        Phase::Closed { .. } => None,
        Phase::Held { until } => Some(when_not_quiet(incident, until).min(incident.next_expiry)),
        Phase::Open => {
            let Some(told) = &incident.told else { return Some(incident.next_expiry) };
            let mut at = told.at.plus(incident.route.remind);
            at = match speak::change(incident, told) {
                Some(reason) if speak::is_at_once(reason) => told.at,
                Some(_) => at.min(told.at.plus(incident.route.update)),
                None => at,
            };
            Some(when_not_quiet(incident, at).min(incident.next_expiry))
        }
    }
}

/// What is held back is looked at when its silence may be over, not when it came due.
fn when_not_quiet(incident: &Incident, due: Timestamp) -> Timestamp {
    incident.quiet.as_ref().map_or(due, |quiet| due.max(quiet.look_at))
}

impl Step {
    /// A step that changes the incident, and says what it has to say of it.
    fn changed(incident: Incident, member: Option<Box<Member>>, said: Option<Said>, outcome: AlertOutcome) -> Step {
        let incident = Arc::new(incident);
        let notices = said.map(|Said { kind, reason, at }| Notice {
            kind,
            reason,
            at,
            sequence: incident.sequence,
            incident: incident.clone(),
        });
        Step {
            incident: Some(incident),
            incident_changed: true,
            members: member.into_iter().collect(),
            unchanged_member: None,
            notices: notices.into_iter().collect(),
            outcome,
        }
    }

    fn unchanged(incident: Option<Incident>, member: Option<Box<Member>>, outcome: AlertOutcome) -> Step {
        Step {
            incident: incident.map(Arc::new),
            incident_changed: false,
            members: Vec::new(),
            unchanged_member: member,
            notices: Vec::new(),
            outcome,
        }
    }
}

/// The laws that hold between events.
fn is_consistent(incident: &Incident) -> bool {
    let firing = incident.firing_count() > 0;
    match incident.phase {
        Phase::Held { .. } => firing && incident.told.is_none(),
        Phase::Open => firing && incident.told.is_some(),
        Phase::Closed { .. } => !firing,
    }
}
