//! Incidents that were written last, decoded: problems that go on are asked for with every batch. Holds only what
//! a commit has written; the store stays the truth.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::Incident;

/// Two generations; the older one goes when the younger is full.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: HashMap<i64, Arc<Incident>>,
    old: HashMap<i64, Arc<Incident>>,
}

/// Per generation; an incident is about 4 KB in memory.
const RECENT_COUNT_MAX: usize = 1024;

impl Recent {
    pub(super) fn get(&self, id: i64) -> Option<&Arc<Incident>> {
        self.young.get(&id).or_else(|| self.old.get(&id))
    }

    pub(super) fn put(&mut self, id: i64, incident: Arc<Incident>) {
        if self.young.len() >= RECENT_COUNT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, incident);
    }
}
