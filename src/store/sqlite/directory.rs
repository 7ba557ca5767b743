//! Which row holds which member and which incident, when each wants to be looked at, and which deliveries are
//! pending, in memory. Hashes are random and deadlines change with every message: indexes over them in the database would touch pages of their own
//! for nearly every new alert, and those pages, not the rows, would be most of what is written. It is rebuilt at the
//! start and follows every commit; it knows nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sqlx::{Row, SqliteConnection};

use super::unavailable;
use crate::model::id::IdMap;
use crate::model::{DeliveryId, Identity, IncidentKey, Timestamp};
use crate::store::{Deadlines, StoreError};

/// About 110 bytes for each member and each incident.
#[derive(Debug, Default)]
pub(super) struct Rows {
    members: IdMap<Identity, MemberPlace>,
    incidents: IdMap<IncidentKey, IncidentPlace>,
    /// Members that fire: row of the incident, expiry in ms, row of the member.
    firing: BTreeSet<(i64, i64, i64)>,
    /// Open incidents by their deadline in ms.
    open: BTreeSet<(i64, IncidentKey)>,
    /// Unsettled deliveries of each sink.
    pending: BTreeMap<Arc<str>, BTreeSet<i64>>,
}

#[derive(Clone, Copy, Debug)]
struct MemberPlace {
    id: i64,
    /// While it fires: row of the incident and expiry.
    firing: Option<(i64, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct IncidentPlace {
    id: i64,
    deadline: Option<i64>,
}

impl Rows {
    pub(super) fn member(&self, identity: &Identity) -> Option<i64> {
        self.members.get(identity).map(|place| place.id)
    }

    pub(super) fn incident(&self, key: &IncidentKey) -> Option<i64> {
        self.incidents.get(key).map(|place| place.id)
    }

    pub(super) fn put_member(&mut self, identity: Identity, id: i64, firing: Option<(i64, i64)>) {
        let before = self.members.insert(identity, MemberPlace { id, firing });
        let was_firing = before.and_then(|place| place.firing);
        if was_firing == firing {
            return;
        }
        if let Some((incident, expires_at)) = was_firing {
            self.firing.remove(&(incident, expires_at, id));
        }
        if let Some((incident, expires_at)) = firing {
            self.firing.insert((incident, expires_at, id));
        }
    }

    pub(super) fn put_incident(&mut self, key: IncidentKey, id: i64, deadline: Option<i64>) {
        let before = self.incidents.insert(key, IncidentPlace { id, deadline });
        let was_due = before.and_then(|place| place.deadline);
        if was_due == deadline {
            return;
        }
        if let Some(at) = was_due {
            self.open.remove(&(at, key));
        }
        if let Some(at) = deadline {
            self.open.insert((at, key));
        }
    }

    pub(super) fn remove_member(&mut self, identity: &Identity) {
        if let Some(MemberPlace { id, firing: Some((incident, expires_at)) }) = self.members.remove(identity) {
            self.firing.remove(&(incident, expires_at, id));
        }
    }

    pub(super) fn remove_incident(&mut self, key: &IncidentKey) {
        if let Some(IncidentPlace { deadline: Some(at), .. }) = self.incidents.remove(key) {
            self.open.remove(&(at, *key));
        }
    }

    pub(super) fn put_pending(&mut self, sink: &Arc<str>, id: DeliveryId) {
        match self.pending.get_mut(sink) {
            Some(held) => drop(held.insert(id.0)),
            None => drop(self.pending.insert(sink.clone(), BTreeSet::from([id.0]))),
        }
    }

    pub(super) fn is_pending(&self, id: DeliveryId) -> bool {
        self.pending.values().any(|held| held.contains(&id.0))
    }

    /// Sinks are few, so nobody has to say which one it was.
    pub(super) fn settle(&mut self, id: DeliveryId) {
        self.pending.values_mut().any(|held| held.remove(&id.0));
    }

    /// Unsettled deliveries of a sink behind one of them, in order.
    pub(super) fn pending_of(&self, sink: &str, after: DeliveryId, count_max: usize) -> Vec<i64> {
        let behind = (Bound::Excluded(after.0), Bound::Unbounded);
        self.pending.get(sink).into_iter().flat_map(|held| held.range(behind)).take(count_max).copied().collect()
    }

    /// Unsettled deliveries of sinks that are wanted, each sink's in order.
    pub(super) fn pending_where(&self, wanted: impl Fn(&str) -> bool) -> Vec<i64> {
        let held = self.pending.iter().filter(|(sink, _)| wanted(sink));
        held.flat_map(|(_, held)| held.iter().copied()).collect()
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending.values().map(BTreeSet::len).sum()
    }

    pub(super) fn due(&self, now: Timestamp, count_max: usize) -> Deadlines {
        let mut due = Vec::new();
        for (at, key) in &self.open {
            let at = Timestamp::from_ms(*at);
            if at > now || due.len() >= count_max {
                return Deadlines { due, next: Some(at) };
            }
            due.push(*key);
        }
        Deadlines { due, next: None }
    }

    /// Rows of the members of an incident whose words have lapsed, the first to lapse first.
    pub(super) fn lapsed(&self, incident: i64, now: Timestamp, count_max: usize) -> Vec<i64> {
        let range = (incident, i64::MIN, i64::MIN)..=(incident, now.as_ms(), i64::MAX);
        self.firing.range(range).take(count_max).map(|(_, _, id)| *id).collect()
    }

    /// When the next of the others lapses.
    pub(super) fn next_expiry(&self, incident: i64, now: Timestamp) -> Option<Timestamp> {
        let range = (incident, now.as_ms(), i64::MAX)..=(incident, i64::MAX, i64::MAX);
        self.firing.range(range).map(|(_, at, _)| Timestamp::from_ms(*at)).next()
    }

    pub(super) fn firing_of(&self, incident: i64, count_max: usize) -> Vec<i64> {
        self.lapsed(incident, Timestamp::MAX, count_max)
    }

    pub(super) fn firing(&self, count_max: usize) -> Vec<i64> {
        self.firing.iter().take(count_max).map(|(_, _, id)| *id).collect()
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    pub(super) fn firing_count(&self) -> usize {
        self.firing.len()
    }
}

/// Shared by the writer, which changes it after a commit, and the readers.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory(Arc<RwLock<Rows>>);

impl Directory {
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Directory, StoreError> {
        let mut rows = Rows::default();
        let sql = "select id, identity, incident, expires_at from members";
        for row in sqlx::query(sql).fetch_all(&mut *connection).await.map_err(unavailable)? {
            if let Some(identity) = Identity::from_slice(row.try_get(1).map_err(unavailable)?) {
                let incident: Option<i64> = row.try_get(2).map_err(unavailable)?;
                let expires_at: Option<i64> = row.try_get(3).map_err(unavailable)?;
                rows.put_member(identity, row.try_get(0).map_err(unavailable)?, incident.zip(expires_at));
            }
        }
        let sql = "select id, key, deadline from incidents";
        for row in sqlx::query(sql).fetch_all(&mut *connection).await.map_err(unavailable)? {
            if let Some(key) = IncidentKey::from_slice(row.try_get(1).map_err(unavailable)?) {
                let deadline = row.try_get(2).map_err(unavailable)?;
                rows.put_incident(key, row.try_get(0).map_err(unavailable)?, deadline);
            }
        }
        let sql = "select id, sink from deliveries where outcome is null";
        for row in sqlx::query(sql).fetch_all(connection).await.map_err(unavailable)? {
            let sink: String = row.try_get(1).map_err(unavailable)?;
            rows.put_pending(&Arc::from(sink), DeliveryId(row.try_get(0).map_err(unavailable)?));
        }
        Ok(Directory(Arc::new(RwLock::new(rows))))
    }

    // Every change leaves the maps whole, so a poisoned lock is still good.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testkit::{at, identity, key};

    #[test]
    fn a_row_that_moves_in_time_is_found_at_its_new_place_alone() {
        let mut rows = Rows::default();
        for seconds in [60, 30, 90] {
            rows.put_member(identity(1), 11, Some((5, at(seconds).as_ms())));
            rows.put_incident(key(1), 5, Some(at(seconds).as_ms()));
        }
        rows.put_member(identity(2), 12, Some((5, at(40).as_ms())));
        rows.put_member(identity(3), 13, Some((6, at(1).as_ms())));
        rows.put_incident(key(2), 6, Some(at(95).as_ms()));
        assert_eq!(rows.lapsed(5, at(39), 10), [0; 0]);
        assert_eq!(rows.lapsed(5, at(40), 10), [12]);
        assert_eq!((rows.next_expiry(5, at(40)), rows.next_expiry(5, at(90))), (Some(at(90)), None));
        assert_eq!(rows.firing_of(5, 10), [12, 11]);
        assert_eq!(rows.due(at(89), 10), Deadlines { due: vec![], next: Some(at(90)) });
        assert_eq!(rows.due(at(95), 1), Deadlines { due: vec![key(1)], next: Some(at(95)) });
        assert_eq!(rows.due(at(95), 10), Deadlines { due: vec![key(1), key(2)], next: None });
        assert_eq!((rows.open_count(), rows.firing_count()), (2, 3));
    }

    #[test]
    fn what_is_pending_stands_with_its_sink_in_order_until_it_is_settled() {
        let mut rows = Rows::default();
        let (pager, chat): (Arc<str>, Arc<str>) = (Arc::from("pager"), Arc::from("chat"));
        for id in [4, 1, 3] {
            rows.put_pending(&pager, DeliveryId(id));
        }
        rows.put_pending(&chat, DeliveryId(2));
        assert_eq!(rows.pending_of("pager", DeliveryId(1), 10), [3, 4]);
        assert_eq!(rows.pending_of("pager", DeliveryId(0), 2), [1, 3]);
        assert_eq!(rows.pending_of("mail", DeliveryId(0), 10), [0; 0]);
        assert_eq!(rows.pending_where(|sink| sink != "pager"), [2]);
        rows.settle(DeliveryId(3));
        rows.settle(DeliveryId(9));
        assert_eq!(rows.pending_of("pager", DeliveryId(0), 10), [1, 4]);
        assert_eq!(rows.pending_count(), 3);
    }

    #[test]
    fn what_ended_is_still_known_and_what_is_removed_is_not() {
        let mut rows = Rows::default();
        rows.put_member(identity(1), 11, Some((5, 60)));
        rows.put_incident(key(1), 5, Some(60));
        rows.put_member(identity(1), 11, None);
        rows.put_incident(key(1), 5, None);
        assert_eq!((rows.member(&identity(1)), rows.incident(&key(1))), (Some(11), Some(5)));
        assert_eq!((rows.open_count(), rows.firing_count()), (0, 0));
        rows.put_member(identity(2), 12, Some((5, 60)));
        rows.put_incident(key(2), 6, Some(60));
        for number in [1, 2] {
            rows.remove_member(&identity(number));
            rows.remove_incident(&key(number));
        }
        assert_eq!((rows.member(&identity(1)), rows.incident(&key(2))), (None, None));
        assert_eq!((rows.open_count(), rows.firing_count()), (0, 0));
    }
}
