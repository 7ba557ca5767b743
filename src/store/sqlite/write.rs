//! One transaction per batch: load, decide, write, commit.

use std::collections::{BTreeSet, HashMap};

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row as _, SqliteConnection};

use super::bulk::in_list;
use super::directory::Directory;
use super::recent::Recent;
use super::rows::{self, Numbered, packed};
use super::{OpenFile, last_id, retain, unavailable, unreadable};
use crate::model::{Delivery, DeliveryId, Identity, Incident, IncidentKey, Member, Timestamp};
use crate::store::{Changes, Decide, Due, Later, Loaded, Pending, Retention, StoreError, Wanted, Writer};

/// Ids in one `in (…)`; more are asked for in pieces.
const ASKED_COUNT_MAX: usize = 256;
/// Lapsed members handled in one tick; the rest follow in the next one.
const DUE_COUNT_MAX: i64 = 2000;

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
        for (id, incident, _) in &numbered.incidents {
            self.recent.put(*id, (*incident).clone());
        }
        let mut rows = self.directory.write();
        rows.incidents.extend(numbered.incidents.iter().map(|(id, incident, _)| (incident.key, *id)));
        rows.members.extend(numbered.members.iter().map(|(id, _, member)| (member.identity, *id)));
        Ok(numbered.deliveries.into_iter().map(|(_, pending)| pending).collect())
    }

    fn check_file(&self) -> Result<(), StoreError> {
        self.file.as_ref().map_or(Ok(()), OpenFile::check)
    }

    fn number<'a>(&mut self, changes: &'a Changes) -> Numbered<'a> {
        let rows = self.directory.read();
        let last = &mut self.last;
        let mut fresh = HashMap::new();
        let incidents = changes.incidents.iter().map(|incident| {
            let id = rows.incidents.get(&incident.key).copied().unwrap_or_else(|| next(&mut last.incident));
            fresh.insert(incident.key, id);
            (id, incident, packed(incident))
        });
        let incidents = incidents.collect();
        let members = changes.members.iter().map(|member| {
            let id = rows.members.get(&member.identity).copied().unwrap_or_else(|| next(&mut last.member));
            let incident =
                member.incident.and_then(|key| fresh.get(&key).or_else(|| rows.incidents.get(&key)).copied());
            (id, incident, member.as_ref())
        });
        let members = members.collect();
        let mut numbered = Numbered { incidents, members, notices: Vec::new(), deliveries: Vec::new() };
        for (notice, sinks) in &changes.notices {
            let notice_id = next(&mut last.notice);
            numbered.notices.push((notice_id, notice));
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
                numbered.deliveries.push((notice_id, Pending { delivery, notice: notice.clone() }));
            }
        }
        numbered
    }

    async fn load(&mut self, wanted: &Wanted) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        loaded.members.reserve(wanted.identities.len());
        let member_ids: Vec<i64> = {
            let rows = self.directory.read();
            wanted.identities.iter().filter_map(|identity| rows.members.get(identity)).copied().collect()
        };
        for row in ask(&mut self.connection, "select state from members where id in ", &member_ids).await? {
            let member: Box<Member> = state(&row, "member")?;
            loaded.members.insert(member.identity, member);
        }
        let incident_ids: BTreeSet<i64> = {
            let rows = self.directory.read();
            let of_members = loaded.members.values().filter_map(|member| member.incident.as_ref());
            let keys = wanted.keys.iter().chain(&wanted.ticks).chain(of_members);
            keys.filter_map(|key| rows.incidents.get(key)).copied().collect()
        };
        let mut missing = Vec::with_capacity(incident_ids.len());
        for id in incident_ids {
            match self.recent.get(id) {
                Some(incident) => drop(loaded.incidents.insert(incident.key, incident.as_ref().clone())),
                None => missing.push(id),
            }
        }
        for row in ask(&mut self.connection, "select state from incidents where id in ", &missing).await? {
            let incident: Incident = state(&row, "incident")?;
            loaded.incidents.insert(incident.key, incident);
        }
        for key in &wanted.ticks {
            let id = self.directory.read().incidents.get(key).copied();
            if let Some(id) = id {
                let due = load_due(&mut self.connection, id, wanted.now).await?;
                loaded.due.insert(*key, due);
            }
        }
        Ok(loaded)
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

async fn ask(connection: &mut SqliteConnection, head: &str, ids: &[i64]) -> Result<Vec<SqliteRow>, StoreError> {
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

async fn load_due(connection: &mut SqliteConnection, incident: i64, now: Timestamp) -> Result<Due, StoreError> {
    let rows = sqlx::query("select state from members where incident = ?1 and expires_at <= ?2 limit ?3")
        .bind(incident)
        .bind(now.as_ms())
        .bind(DUE_COUNT_MAX)
        .fetch_all(&mut *connection)
        .await
        .map_err(unavailable)?;
    let mut due = Due::default();
    for row in &rows {
        due.members.push(state(row, "member")?);
    }
    if i64::try_from(rows.len()).is_ok_and(|count| count == DUE_COUNT_MAX) {
        due.next_expiry = now;
        return Ok(due);
    }
    let next: Option<i64> = sqlx::query("select min(expires_at) from members where incident = ?1 and expires_at > ?2")
        .bind(incident)
        .bind(now.as_ms())
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(unavailable)?;
    due.next_expiry = next.map_or(Timestamp::MAX, Timestamp::from_ms);
    Ok(due)
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
