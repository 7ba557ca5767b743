//! What two decisions on the same alert differ in, counted by kind. Pure: knows neither where alerts come from nor who
//! reads the counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::id::{IdMap, IdSet};
use crate::model::{Incident, IncidentKey, Route, TagName};
use crate::rules::Decision;

/// Examples kept of each change.
const EXAMPLE_COUNT_MAX: usize = 5;

/// Kinds of changes, in the order in which people read them: who is told, then why.
pub(super) const KINDS: [&str; 17] = [
    "owner",
    "service",
    "platform",
    "cell",
    "env",
    "severity",
    "class",
    "runbook",
    "criticality",
    "platform.variant",
    "platform.cluster",
    "platform.confidence",
    "platform.conflict",
    "route",
    "sinks",
    "route times",
    "incident key",
];

/// An alert that shows a change.
pub(super) struct Example<'e> {
    /// Of its record in the store, or of its line in the file.
    pub(super) number: i64,
    pub(super) alert: &'e str,
}

#[derive(Default)]
pub(super) struct Comparison {
    pub(super) record_count: u64,
    pub(super) alert_count: u64,
    /// Alerts of which anything changes.
    pub(super) changed_count: u64,
    /// Why, for each record that could not be read.
    pub(super) unreadable: Vec<String>,
    pub(super) changes: BTreeMap<&'static str, HashMap<Change, Seen>>,
    pub(super) is_of_file: bool,
    /// When the oldest and the newest record came.
    pub(super) received: Option<(String, String)>,
    /// Different incidents that the alerts make.
    keys: [IdSet<IncidentKey>; 2],
    /// `None` without a store.
    open: Option<IdMap<IncidentKey, Open>>,
}

/// From what to what; `None` is no value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Change {
    pub(super) before: Option<Arc<str>>,
    pub(super) after: Option<Arc<str>>,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) count: u64,
    pub(super) examples: Vec<(i64, String)>,
    /// The rule that says so afterwards, of the first example.
    pub(super) by: Option<Arc<str>>,
}

/// An open incident of the store.
pub(super) struct Open {
    pub(super) title: String,
    pub(super) firing_count: u32,
    is_seen: bool,
    /// Keys that its alerts would have afterwards, where those differ.
    pub(super) moves_to: Vec<IncidentKey>,
}

impl Comparison {
    pub(super) fn changes_anything(&self) -> bool {
        self.changed_count > 0
    }

    /// Incidents that are open now: a new key would open them a second time.
    pub(super) fn watch(&mut self, open: Vec<Incident>) {
        let open = open.into_iter().map(|incident| {
            let firing_count = incident.firing_count();
            let title = incident.lead.title.clone();
            (incident.key, Open { title, firing_count, is_seen: false, moves_to: Vec::new() })
        });
        self.open = Some(open.collect());
    }

    pub(super) fn saw(&mut self, received_at: &str) {
        match &mut self.received {
            None => self.received = Some((received_at.to_owned(), received_at.to_owned())),
            Some((oldest, newest)) => {
                if received_at < oldest.as_str() {
                    received_at.clone_into(oldest);
                }
                if received_at > newest.as_str() {
                    received_at.clone_into(newest);
                }
            }
        }
    }

    /// `recorded`: the incident that the alert belonged to when it came.
    pub(super) fn compare(
        &mut self,
        example: &Example<'_>,
        before: &Decision,
        after: &Decision,
        recorded: Option<IncidentKey>,
    ) {
        self.alert_count += 1;
        self.keys[0].insert(before.key);
        self.keys[1].insert(after.key);
        let mut is_changed = false;
        let mut note = |kind: &'static str, change: Change, by: Option<&Arc<str>>| {
            is_changed = true;
            let seen = self.changes.entry(kind).or_default().entry(change).or_default();
            seen.count += 1;
            if seen.examples.len() < EXAMPLE_COUNT_MAX {
                seen.examples.push((example.number, example.alert.to_owned()));
            }
            seen.by = seen.by.take().or_else(|| by.cloned());
        };
        for name in TagName::ALL {
            let (old, new) = (before.tags.get(name), after.tags.get(name));
            if old.map(|tag| &tag.value) != new.map(|tag| &tag.value) {
                let value = |tag: Option<&crate::model::Tag>| tag.map(|tag| Arc::clone(&tag.value));
                note(name.as_str(), Change { before: value(old), after: value(new) }, new.map(|tag| &tag.by));
            }
        }
        let (old, new) = (&*before.route, &*after.route);
        for (kind, of) in ROUTE_KINDS {
            let (old, new) = (of(old), of(new));
            if old != new {
                let change = Change { before: Some(Arc::from(old)), after: Some(Arc::from(new)) };
                note(kind, change, Some(&after.route.by));
            }
        }
        if before.key != after.key {
            let text = |key: IncidentKey| Some(Arc::from(key.to_string()));
            note("incident key", Change { before: text(before.key), after: text(after.key) }, None);
        }
        self.changed_count += u64::from(is_changed);
        self.look_at_open(before.key, after.key, recorded);
    }

    fn look_at_open(&mut self, before: IncidentKey, after: IncidentKey, recorded: Option<IncidentKey>) {
        let Some(open) = &mut self.open else { return };
        for key in recorded.into_iter().chain([before]) {
            if let Some(incident) = open.get_mut(&key) {
                incident.is_seen = true;
                if before != after && after != key && !incident.moves_to.contains(&after) {
                    incident.moves_to.push(after);
                }
                return;
            }
        }
    }

    /// How many incidents the alerts make, before and after.
    pub(super) fn incident_counts(&self) -> [usize; 2] {
        [self.keys[0].len(), self.keys[1].len()]
    }

    /// How many incidents are open, and of how many no alert was among the records.
    pub(super) fn open_counts(&self) -> Option<(usize, usize)> {
        let open = self.open.as_ref()?;
        Some((open.len(), open.values().filter(|incident| !incident.is_seen).count()))
    }

    /// Open incidents that would get another key, in order of key.
    pub(super) fn moving(&self) -> Vec<(IncidentKey, &Open)> {
        let open = self.open.iter().flatten();
        let mut moving: Vec<_> =
            open.filter(|(_, open)| !open.moves_to.is_empty()).map(|(key, open)| (*key, open)).collect();
        moving.sort_by_key(|(key, _)| *key);
        moving
    }

    /// The changes of one kind, the most frequent first.
    pub(super) fn sorted(&self, kind: &str) -> Vec<(&Change, &Seen)> {
        let mut changes: Vec<_> = self.changes.get(kind).into_iter().flatten().collect();
        changes.sort_by(|(left, seen_left), (right, seen_right)| {
            seen_right.count.cmp(&seen_left.count).then_with(|| left.cmp(right))
        });
        changes
    }

    /// Alerts that change in this.
    pub(super) fn count_of(&self, kind: &str) -> u64 {
        self.changes.get(kind).into_iter().flatten().map(|(_, seen)| seen.count).sum()
    }
}

/// What of a route people care about. Its line in the file moves with every edit and is no change.
type RouteKind = (&'static str, fn(&Route) -> String);

const ROUTE_KINDS: [RouteKind; 3] = [
    ("route", |route| route.by.split_once(' ').map_or(&*route.by, |(_, id)| id).to_owned()),
    ("sinks", |route| {
        let mut sinks: Vec<&str> = route.sinks.iter().map(AsRef::as_ref).collect();
        sinks.sort_unstable();
        sinks.join(", ")
    }),
    ("route times", |route| {
        let [hold, update, remind] = [route.hold, route.update, route.remind].map(|span| span.as_secs_f64());
        format!("hold {hold} s, update {update} s, remind {remind} s")
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_is_a_kind_of_change() {
        for name in TagName::ALL {
            assert!(KINDS.contains(&name.as_str()), "{}", name.as_str());
        }
        for (kind, _) in ROUTE_KINDS {
            assert!(KINDS.contains(&kind), "{kind}");
        }
    }
}
