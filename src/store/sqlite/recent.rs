//! Incidents that were written last, decoded: problems that go on are asked for with every batch. Holds only what
//! a commit has written; the store stays the truth.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::Incident;

/// Incidents that were written again, and a few that were written once: in a storm of problems that are all different
/// each is heard of once, and to hold many of them would push everything else out of the processor's cache.
#[derive(Debug)]
pub(super) struct Recent {
    again: Generations,
    once: Generations,
}

/// Two generations; the older one goes when the younger is full.
#[derive(Debug)]
struct Generations {
    young: HashMap<i64, Arc<Incident>, RandomState>,
    old: HashMap<i64, Arc<Incident>, RandomState>,
    count_max: usize,
}

/// Per generation; an incident is about 4 KB in memory.
const AGAIN_COUNT_MAX: usize = 1024;
const ONCE_COUNT_MAX: usize = 64;

impl Default for Recent {
    fn default() -> Recent {
        Recent { again: Generations::new(AGAIN_COUNT_MAX), once: Generations::new(ONCE_COUNT_MAX) }
    }
}

impl Recent {
    pub(super) fn get(&self, id: i64) -> Option<&Arc<Incident>> {
        self.again.get(id).or_else(|| self.once.get(id))
    }

    /// For the first time that it is written.
    pub(super) fn put_first(&mut self, id: i64, incident: Arc<Incident>) {
        self.once.put(id, incident);
    }

    pub(super) fn put_again(&mut self, id: i64, incident: Arc<Incident>) {
        // What it was before must not be found when what it is now has gone.
        self.once.remove(id);
        self.again.put(id, incident);
    }
}

impl Generations {
    fn new(count_max: usize) -> Generations {
        Generations { young: HashMap::default(), old: HashMap::default(), count_max }
    }

    fn get(&self, id: i64) -> Option<&Arc<Incident>> {
        self.young.get(&id).or_else(|| self.old.get(&id))
    }

    fn put(&mut self, id: i64, incident: Arc<Incident>) {
        if self.young.len() >= self.count_max {
            // The older map keeps its room and is filled again.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(id, incident);
    }

    fn remove(&mut self, id: i64) {
        self.young.remove(&id);
        self.old.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testkit::{at, open_incident};

    #[test]
    fn what_is_found_is_what_was_written_last_however_much_came_between() {
        let mut recent = Recent::default();
        let written = |seconds: u64| Arc::new(open_incident(1, at(seconds)));
        recent.put_first(1, written(1));
        assert_eq!(recent.get(1), Some(&written(1)));
        recent.put_again(1, written(2));
        for id in 2..10_000 {
            assert!(recent.get(1).is_none_or(|held| *held == written(2)), "after {id}");
            recent.put_first(id, written(3));
            recent.put_again(id, written(4));
        }
        assert_eq!(recent.get(1), None);
        assert_eq!(recent.get(9_999), Some(&written(4)));
    }

    #[test]
    fn a_storm_of_new_incidents_takes_none_from_those_that_go_on() {
        let mut recent = Recent::default();
        let incident = Arc::new(open_incident(1, at(1)));
        recent.put_again(1, incident.clone());
        for id in 2..10_000 {
            recent.put_first(id, incident.clone());
        }
        assert!(recent.get(1).is_some() && recent.get(9_999).is_some());
        assert!(Arc::strong_count(&incident) <= 2 + 2 * ONCE_COUNT_MAX);
    }
}
