//! Which row holds which member and which incident, in memory. Hashes are random: an index over them in the
//! database would touch a page of its own for nearly every new alert, and those pages, not the rows, would be
//! most of what is written. It is rebuilt at the start and follows every commit; it knows nothing else.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sqlx::{Row, SqliteConnection};

use super::unavailable;
use crate::model::id::IdMap;
use crate::model::{Identity, IncidentKey};
use crate::store::StoreError;

#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) members: IdMap<Identity, i64>,
    pub(super) incidents: IdMap<IncidentKey, i64>,
}

/// Shared by the writer, which changes it after a commit, and the readers. About 50 bytes an entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory(Arc<RwLock<Rows>>);

impl Directory {
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Directory, StoreError> {
        let mut rows = Rows::default();
        for row in
            sqlx::query("select id, identity from members").fetch_all(&mut *connection).await.map_err(unavailable)?
        {
            if let Some(identity) = Identity::from_slice(row.try_get(1).map_err(unavailable)?) {
                rows.members.insert(identity, row.try_get(0).map_err(unavailable)?);
            }
        }
        for row in sqlx::query("select id, key from incidents").fetch_all(connection).await.map_err(unavailable)? {
            if let Some(key) = IncidentKey::from_slice(row.try_get(1).map_err(unavailable)?) {
                rows.incidents.insert(key, row.try_get(0).map_err(unavailable)?);
            }
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
