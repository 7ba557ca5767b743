//! How often a route may page, and what it has paged lately. Counts only what was said; what is held back waits in its
//! incident.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Incident, Notice, NoticeKind, Route, Timestamp};

/// First notices of routes with a limit, within its window. Begins anew with every start of the daemon.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    /// Shared with the transactions that look at it, and so never changed while one runs.
    settled: Arc<Groups>,
    /// What was noted since: few, so that a copy costs next to nothing.
    fresh: HashMap<Group, Told>,
}

#[derive(Clone, Debug, Default)]
struct Groups {
    told: HashMap<Group, Told>,
    /// How many groups there must be before those that are over are looked for again.
    sweep_at: usize,
}

/// The route, by its id, and the value of the tag that the limit counts per.
type Group = (Arc<str>, Arc<str>);

#[derive(Clone, Debug, Default)]
struct Told {
    times: VecDeque<Timestamp>,
    window: Duration,
}

impl Pages {
    /// To be called for every notice that a step returned.
    pub fn note(&mut self, notice: &Notice) {
        let incident = &notice.incident;
        let Some(limit) = incident.route.limit.filter(|_| notice.kind == NoticeKind::Opened) else { return };
        let told = self.fresh.entry(group(incident)).or_default();
        told.window = limit.window;
        told.times.push_back(notice.at);
    }

    /// To be called when what was noted is committed, and nobody else holds a copy: else all of it is copied.
    pub fn settle(&mut self) {
        if !self.fresh.is_empty() {
            let groups = Arc::make_mut(&mut self.settled);
            self.fresh.drain().for_each(|(group, told)| groups.add(group, told));
        }
    }

    /// When the incident may page; `None` when it may now.
    pub fn free_at(&self, incident: &Incident, now: Timestamp) -> Option<Timestamp> {
        let limit = incident.route.limit?;
        let since = now.minus(limit.window);
        let group = group(incident);
        let told = [self.settled.told.get(&group), self.fresh.get(&group)];
        // Noted before the clock was set back, a page would count for too long.
        let counted = |at: &&Timestamp| **at > since && **at <= now;
        let times: Vec<Timestamp> =
            told.into_iter().flatten().flat_map(|told| &told.times).filter(counted).copied().collect();
        let excess = times.len().checked_sub(limit.count as usize)?;
        Some(times[excess].plus(limit.window))
    }

    #[cfg(test)]
    pub(super) fn group_count(&self) -> usize {
        self.settled.told.len() + self.fresh.len()
    }
}

impl Groups {
    /// Looks at one group, and at all of them only when there are twice as many as were worth keeping: a storm of
    /// problems that are all different makes a group of each.
    fn add(&mut self, group: Group, fresh: Told) {
        const SWEEP_MIN: usize = 64;
        let Some(last) = fresh.times.back().copied() else { return };
        let told = self.told.entry(group).or_default();
        told.window = fresh.window;
        told.times.extend(fresh.times);
        let since = last.minus(told.window);
        while told.times.front().is_some_and(|at| *at <= since) {
            told.times.pop_front();
        }
        if self.told.len() > self.sweep_at.max(SWEEP_MIN) {
            let is_over = |told: &Told| told.times.back().is_none_or(|at| at.plus(told.window) <= last);
            self.told.retain(|_, told| !is_over(told));
            self.sweep_at = self.told.len() * 2;
        }
    }
}

fn group(incident: &Incident) -> Group {
    let id = Route::id_of(&incident.route.by);
    let value = incident.route.limit.and_then(|limit| incident.tags.get(limit.per));
    (Arc::from(id), value.map_or_else(|| Arc::from(incident.lead.name.as_str()), |tag| Arc::clone(&tag.value)))
}
