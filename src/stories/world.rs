//! A store and a clock for one story: what the committer and the timers do in the daemon, without waiting. Decides
//! nothing: every change is a step of an incident.

use std::sync::Arc;
use std::time::Duration;

use crate::incidents::{Event, Facts, Heard, Pages, deadline, key_for, step};
use crate::model::id::{IdMap, IdSet};
use crate::model::{AlertOutcome, Identity, Incident, IncidentKey, Member, Notice, State, Timestamp};
use crate::rules::{Disputed, RuleSet, Stamped, Stamps};

/// More than this is a story that reminds each second for a month.
const TICKS_MAX: usize = 100_000;

pub(super) struct World<'r> {
    rules: &'r RuleSet,
    pages: Pages,
    started: Timestamp,
    now: Timestamp,
    members: IdMap<Identity, Box<Member>>,
    incidents: IdMap<IncidentKey, Arc<Incident>>,
    tick_count: usize,
    /// Identities in telemetry that contradict each other.
    stamps: Stamps,
    /// Keys that an incident was opened for.
    pub(super) opened: IdSet<IncidentKey>,
    pub(super) notices: Vec<Notice>,
}

impl<'r> World<'r> {
    pub(super) fn new(rules: &'r RuleSet, started: Timestamp) -> World<'r> {
        World {
            rules,
            pages: Pages::default(),
            started,
            now: started,
            members: IdMap::default(),
            incidents: IdMap::default(),
            tick_count: 0,
            stamps: Stamps::default(),
            opened: IdSet::default(),
            notices: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The identities that have no say by now, because gateways write them into everybody's telemetry.
    pub(super) fn stamped(&self) -> Arc<Stamped> {
        self.stamps.snapshot()
    }

    /// To be told of every resource that contradicts itself.
    pub(super) fn dispute(&mut self, disputed: &[Disputed]) {
        for disputed in disputed {
            self.stamps.observe(disputed, self.now);
        }
    }

    pub(super) fn since_start(&self, at: Timestamp) -> Duration {
        at.since(self.started)
    }

    pub(super) fn open_count(&self) -> usize {
        self.incidents.values().filter(|incident| !incident.is_closed()).count()
    }

    pub(super) fn incident(&self, key: IncidentKey) -> Option<&Incident> {
        self.incidents.get(&key).map(AsRef::as_ref)
    }

    pub(super) fn hear(&mut self, heard: Heard) -> (IncidentKey, AlertOutcome) {
        let is_event = heard.alert.state == State::Info;
        let member = if is_event { None } else { self.members.remove(&heard.alert.identity) };
        let key = key_for(&heard, member.as_deref());
        let incident = if is_event { None } else { self.incidents.remove(&key) };
        let done = step(incident, Event::Heard { heard: Box::new(heard), member }, &self.facts(), self.now);
        let outcome = done.outcome;
        self.keep(done);
        (key, outcome)
    }

    /// Lets time pass, and each deadline on the way come at its own instant.
    pub(super) fn advance(&mut self, to: Timestamp) -> Result<(), String> {
        while let Some((at, key)) = self.next_deadline().filter(|(at, _)| *at <= to) {
            self.now = self.now.max(at);
            self.tick(key);
            self.tick_count += 1;
            if self.tick_count > TICKS_MAX {
                return Err(format!("more than {TICKS_MAX} timers ran out: the story is too long for its intervals"));
            }
        }
        self.now = self.now.max(to);
        Ok(())
    }

    /// The earliest; of several at once, the lowest key, so that a story always goes the same way.
    fn next_deadline(&self) -> Option<(Timestamp, IncidentKey)> {
        self.incidents.values().filter_map(|incident| Some((deadline(incident)?, incident.key))).min()
    }

    fn tick(&mut self, key: IncidentKey) {
        let mut due = Vec::new();
        let mut next_expiry = Timestamp::MAX;
        for member in self.members.values().filter(|member| member.incident == Some(key) && member.is_firing()) {
            match member.expires_at() {
                Some(expiry) if expiry <= self.now => due.push(Member::clone(member)),
                Some(expiry) => next_expiry = next_expiry.min(expiry),
                None => {}
            }
        }
        due.sort_by_key(|member| member.identity);
        let event = Event::Tick { due, next_expiry, listening_since: self.started };
        let incident = self.incidents.remove(&key);
        let done = step(incident, event, &self.facts(), self.now);
        self.keep(done);
    }

    fn facts(&self) -> Facts<'_> {
        Facts { rules: Some(self.rules), pages: Some(&self.pages) }
    }

    fn keep(&mut self, done: crate::incidents::Step) {
        if let Some(incident) = done.incident {
            self.opened.insert(incident.key);
            self.incidents.insert(incident.key, incident);
        }
        for member in done.unchanged_member.into_iter().chain(done.members) {
            self.members.insert(member.identity, member);
        }
        for notice in done.notices {
            self.pages.note(&notice);
            self.notices.push(notice);
        }
        self.pages.settle();
    }
}
