//! One transaction per batch: load, decide, write, commit.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row as _, SqliteConnection};

use super::bulk::{self, in_list};
use super::directory::Directory;
use super::recent::Recent;
use super::rows::{self, IncidentRow, NoticeRow, Numbered};
use super::{OpenFile, last_id, retain, unavailable, unreadable};
use crate::incidents::deadline;
use crate::model::id::IdMap;
use crate::model::{Delivery, DeliveryId, Identity, Incident, IncidentKey, Member, Timestamp};
use crate::store::{Changes, Decide, Due, Later, Loaded, Pending, Retention, StoreError, Wanted, Writer};

/// Ids in one `in (…)`; more are asked for in pieces.
const ASKED_COUNT_MAX: usize = 256;
/// States of incidents, to be followed by which: what an incident last said may stand in its notice alone.
macro_rules! incident_states {
    () => {
        "select coalesce(n.state, i.state) from incidents i left join notices n on n.id = i.notice "
    };
}
pub(super) use incident_states;

/// Lapsed members handled in one tick; the rest follow in the next one.
const DUE_COUNT_MAX: usize = 2000;

pub struct SqliteWriter {
    connection: SqliteConnection,
    directory: Directory,
    /// `None` where a test opened it otherwise.
    file: Option<OpenFile>,
    last: LastIds,
    recent: Recent,
}

/// The highest id given in each table.
#[derive(Clone, Copy, Debug)]
struct LastIds {
    incident: i64,
    member: i64,
    notice: i64,
    delivery: i64,
}

impl SqliteWriter {
    pub(super) async fn new(
        mut connection: SqliteConnection,
        directory: Directory,
        file: Option<OpenFile>,
    ) -> Result<SqliteWriter, StoreError> {
        let last = LastIds {
            incident: last_id(&mut connection, "select max(id) from incidents").await?,
            member: last_id(&mut connection, "select max(id) from members").await?,
            notice: last_id(&mut connection, "select max(id) from notices").await?,
            delivery: last_id(&mut connection, "select max(id) from deliveries").await?,
        };
        bulk::prepare(&mut connection).await?;
        Ok(SqliteWriter { connection, directory, file, last, recent: Recent::default() })
    }

    /// Reads before `begin`: nobody else writes, so nothing can change in between.
    async fn decide_and_write(&mut self, wanted: Wanted, decide: Decide<'_>) -> Result<Vec<Pending>, StoreError> {
        self.check_file()?;
        let loaded = self.load(&wanted).await?;
        let changes = decide(loaded);
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let numbered = self.number(&changes);
        rows::write(&mut self.connection, &changes, &numbered).await?;
        let mut directory = self.directory.write();
        for IncidentRow { id, incident, is_new, .. } in &numbered.incidents {
            let held = Arc::clone(incident);
            if *is_new {
                self.recent.put_first(*id, held)
            } else {
                self.recent.put_again(*id, held)
            }
            directory.put_incident(incident.key, *id, deadline(incident).map(Timestamp::as_ms));
        }
        for (id, incident, member) in &numbered.members {
            directory.put_member(member.identity, *id, incident.zip(rows::expiry(member)));
        }
        for (_, pending) in &numbered.deliveries {
            directory.put_pending(&pending.delivery.sink, pending.delivery.id);
        }
        for settlement in changes.settlements.iter().filter(|settlement| settlement.outcome.is_some()) {
            directory.settle(settlement.id);
        }
        drop(directory);
        Ok(numbered.deliveries.into_iter().map(|(_, pending)| pending).collect())
    }

    fn check_file(&self) -> Result<(), StoreError> {
        self.file.as_ref().map_or(Ok(()), OpenFile::check)
    }

    fn number<'a>(&mut self, changes: &'a Changes) -> Numbered<'a> {
        let rows = self.directory.read();
        let last = &mut self.last;
        let incidents = changes.incidents.iter().map(|incident| {
            let known = rows.incident(&incident.key);
            let id = known.unwrap_or_else(|| next(&mut last.incident));
            IncidentRow { id, incident, is_new: known.is_none(), notice: None }
        });
        let mut incidents: Vec<_> = incidents.collect();
        let of_key: IdMap<IncidentKey, usize> =
            incidents.iter().enumerate().map(|(at, row)| (row.incident.key, at)).collect();
        let members = changes.members.iter().map(|member| {
            let id = rows.member(&member.identity).unwrap_or_else(|| next(&mut last.member));
            let written = |key| of_key.get(&key).map(|at| incidents[*at].id);
            let incident = member.incident.and_then(|key| written(key).or_else(|| rows.incident(&key)));
            (id, incident, member.as_ref())
        });
        let members = members.collect();
        let mut notices = Vec::with_capacity(changes.notices.len());
        let mut deliveries = Vec::with_capacity(changes.notices.len());
        for (notice, sinks) in &changes.notices {
            let notice_id = next(&mut last.notice);
            // The incident as it stands now is what its last notice carries, unless more came behind it.
            let row = of_key.get(&notice.incident.key).map(|at| &mut incidents[*at]);
            let is_same =
                |incident: &Arc<Incident>| Arc::ptr_eq(incident, &notice.incident) || *incident == notice.incident;
            let shared = row.filter(|row| is_same(row.incident));
            let incident = shared.map(|row| {
                row.notice = Some(notice_id);
                row.id
            });
            notices.push(NoticeRow { id: notice_id, notice, incident });
            for sink in sinks {
                let delivery = Delivery {
                    id: DeliveryId(next(&mut last.delivery)),
                    sink: sink.clone(),
                    key: notice.incident.key,
                    sequence: notice.sequence,
                    kind: notice.kind,
                    attempts: 0,
                    created_at: changes.now,
                    next_attempt_at: changes.now,
                    reason: String::new(),
                };
                deliveries.push((notice_id, Pending { delivery, notice: notice.clone() }));
            }
        }
        // The last word on a delivery counts; two of one batch must not meet in one statement.
        let mut settlements: Vec<_> =
            changes.settlements.iter().rev().filter(|said| rows.is_pending(said.id)).collect();
        settlements.sort_by_key(|settlement| settlement.id);
        settlements.dedup_by_key(|settlement| settlement.id);
        Numbered { incidents, members, notices, deliveries, settlements }
    }

    async fn load(&mut self, wanted: &Wanted) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        loaded.members.reserve(wanted.identities.len());
        loaded.incidents.reserve(wanted.keys.len());
        let member_ids: Vec<i64> = {
            let rows = self.directory.read();
            wanted.identities.iter().filter_map(|identity| rows.member(identity)).collect()
        };
        for row in ask(&mut self.connection, "select state from members where id in ", &member_ids).await? {
            let member: Box<Member> = state(&row, "member")?;
            loaded.members.insert(member.identity, member);
        }
        let incident_ids: BTreeSet<i64> = {
            let rows = self.directory.read();
            let of_members = loaded.members.values().filter_map(|member| member.incident.as_ref());
            let keys = wanted.keys.iter().chain(&wanted.ticks).chain(of_members);
            keys.filter_map(|key| rows.incident(key)).collect()
        };
        let head = concat!(incident_states!(), "where i.id in ");
        let mut missing = Vec::with_capacity(incident_ids.len());
        for id in incident_ids {
            match self.recent.get(id) {
                Some(incident) => drop(loaded.incidents.insert(incident.key, incident.clone())),
                None => missing.push(id),
            }
        }
        for row in ask(&mut self.connection, head, &missing).await? {
            let incident: Incident = state(&row, "incident")?;
            loaded.incidents.insert(incident.key, Arc::new(incident));
        }
        for key in &wanted.ticks {
            let id = self.directory.read().incident(key);
            if let Some(id) = id {
                let due = self.load_due(id, wanted.now).await?;
                loaded.due.insert(*key, due);
            }
        }
        Ok(loaded)
    }

    async fn load_due(&mut self, incident: i64, now: Timestamp) -> Result<Due, StoreError> {
        let (ids, next_expiry) = {
            let rows = self.directory.read();
            (rows.lapsed(incident, now, DUE_COUNT_MAX), rows.next_expiry(incident, now))
        };
        // The rest of those that have lapsed follows in the next tick, which is due at once.
        let next_expiry = if ids.len() < DUE_COUNT_MAX { next_expiry.unwrap_or(Timestamp::MAX) } else { now };
        let mut members = Vec::with_capacity(ids.len());
        for row in ask(&mut self.connection, "select state from members where id in ", &ids).await? {
            members.push(state(&row, "member")?);
        }
        Ok(Due { members, next_expiry })
    }
}

fn next(last: &mut i64) -> i64 {
    *last += 1;
    *last
}

impl Writer for SqliteWriter {
    fn transact<'a>(&'a mut self, wanted: Wanted, decide: Decide<'a>) -> Later<'a, Result<Vec<Pending>, StoreError>> {
        Box::pin(async move {
            let result = self.decide_and_write(wanted, decide).await;
            if result.is_err() {
                // Fails when the transaction never began or the disk took it away already: both are fine.
                let _ = sqlx::query("rollback").execute(&mut self.connection).await;
            }
            result
        })
    }

    fn probe(&mut self, now: Timestamp) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.check_file()?;
            let sql = "insert into probe (id, at) values (1, ?1) on conflict (id) do update set at = excluded.at";
            sqlx::query(sql).bind(now.as_ms()).execute(&mut self.connection).await.map_err(unavailable)?;
            Ok(())
        })
    }

    fn retain<'a>(&'a mut self, retention: &'a Retention, now: Timestamp) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(retain::retain(&mut self.connection, &self.directory, retention, now))
    }

    fn keep<'a>(&'a mut self, name: &'a str, value: &'a [u8]) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let sql = "insert into kept (name, value) values (?1, ?2) on conflict (name) do update set value = excluded.value";
            sqlx::query(sql).bind(name).bind(value).execute(&mut self.connection).await.map_err(unavailable)?;
            Ok(())
        })
    }
}

/// Rows by their ids, in no order.
pub(super) async fn ask(
    connection: &mut SqliteConnection,
    head: &str,
    ids: &[i64],
) -> Result<Vec<SqliteRow>, StoreError> {
    let mut rows = Vec::with_capacity(ids.len());
    for ids in ids.chunks(ASKED_COUNT_MAX) {
        let (padded, marks) = in_list(ids.len());
        let mut arguments = SqliteArguments::default();
        arguments.reserve(padded, 0);
        for at in 0..padded {
            // Padding repeats the last id, which finds nothing twice.
            arguments.add(ids[at.min(ids.len() - 1)]).expect("a number always encodes");
        }
        let sql = AssertSqlSafe(format!("{head}({marks})"));
        rows.extend(sqlx::query_with(sql, arguments).fetch_all(&mut *connection).await.map_err(unavailable)?);
    }
    Ok(rows)
}

fn state<T: serde::de::DeserializeOwned>(row: &SqliteRow, what: &'static str) -> Result<T, StoreError> {
    rmp_serde::from_slice(row.try_get::<&[u8], _>(0).map_err(unavailable)?).map_err(unreadable(what))
}

impl Wanted {
    /// Asks for what a message is about.
    pub fn want(&mut self, identity: Identity, key: IncidentKey) {
        self.identities.push(identity);
        self.keys.push(key);
    }

    pub fn dedup(&mut self) {
        self.identities.sort_unstable();
        self.identities.dedup();
        self.keys.sort_unstable();
        self.keys.dedup();
    }
}
