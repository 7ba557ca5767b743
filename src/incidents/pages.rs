//! How often a route may page, and what it has paged lately. Counts only what was said; what is held back waits in its
//! incident.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::model::{Incident, Notice, NoticeKind, Timestamp};

/// First notices of routes with a limit, within its window. Begins anew with every start of the daemon.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    told: HashMap<(Arc<str>, Arc<str>), VecDeque<Timestamp>>,
}

impl Pages {
    /// To be called for every notice that a step returned.
    pub fn note(pages: &mut Arc<Pages>, notice: &Notice) {
        let incident = &notice.incident;
        let Some(limit) = incident.route.limit.filter(|_| notice.kind == NoticeKind::Opened) else { return };
        let pages = Arc::make_mut(pages);
        let since = notice.at.minus(limit.window);
        pages.told.retain(|_, times| times.back().is_some_and(|last| *last > notice.at.minus(WINDOW_MAX)));
        let times = pages.told.entry(group(incident)).or_default();
        times.retain(|at| *at > since);
        times.push_back(notice.at);
    }

    /// When the incident may page; `None` when it may now.
    pub fn free_at(&self, incident: &Incident, now: Timestamp) -> Option<Timestamp> {
        let limit = incident.route.limit?;
        let since = now.minus(limit.window);
        // Noted before the clock was set back, a page would count for too long.
        let counted = |at: &&Timestamp| **at > since && **at <= now;
        let times: Vec<Timestamp> = self.told.get(&group(incident))?.iter().filter(counted).copied().collect();
        let excess = times.len().checked_sub(limit.count as usize)?;
        Some(times[excess].plus(limit.window))
    }
}

/// No limit has a longer window (the compiler sees to it).
pub const WINDOW_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// The route, by its id, and the value of the tag that the limit counts per.
fn group(incident: &Incident) -> (Arc<str>, Arc<str>) {
    let by = &incident.route.by;
    let id = by.split_once(' ').map_or(by.as_ref(), |(_, id)| id);
    let value = incident.route.limit.and_then(|limit| incident.tags.get(limit.per));
    (Arc::from(id), value.map_or_else(|| Arc::from(incident.lead.name.as_str()), |tag| Arc::clone(&tag.value)))
}
