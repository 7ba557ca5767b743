//! One transaction per batch: load, decide, write, commit.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use lz4_flex::block::compress_prepend_size;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row as _, SqliteConnection};

use super::bulk::{Row, Script, Shape, in_list};
use super::directory::Directory;
use super::{last_id, retain, unavailable, unreadable};
use crate::incidents::deadline;
use crate::model::id::IdMap;
use crate::model::{Delivery, DeliveryId, Identity, Incident, IncidentKey, Member, Notice, Timestamp};
use crate::store::{
    Changes, Decide, Due, Later, Loaded, Pending, Record, RejectRecord, Retention, Settlement, StoreError, Wanted,
    Writer,
};

/// Ids in one `in (…)`; more are asked for in pieces.
const ASKED_COUNT_MAX: usize = 256;
/// Lapsed members handled in one tick; the rest follow in the next one.
const DUE_COUNT_MAX: i64 = 2000;

pub struct SqliteWriter {
    connection: SqliteConnection,
    directory: Directory,
    last: LastIds,
    recent: Recent,
}

/// Incidents that were written last, as they stand in the store: problems that go on are asked for with every
/// batch. Two generations; the older one goes when the younger is full.
#[derive(Debug, Default)]
struct Recent {
    young: HashMap<i64, Arc<Incident>>,
    old: HashMap<i64, Arc<Incident>>,
}

/// Per generation; an incident is about 4 KB in memory.
const RECENT_COUNT_MAX: usize = 1024;

impl Recent {
    fn get(&self, id: i64) -> Option<&Arc<Incident>> {
        self.young.get(&id).or_else(|| self.old.get(&id))
    }

    fn put(&mut self, id: i64, incident: Arc<Incident>) {
        if self.young.len() >= RECENT_COUNT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, incident);
    }
}

/// The highest id given in each table.
#[derive(Clone, Copy, Debug)]
struct LastIds {
    incident: i64,
    member: i64,
    notice: i64,
    delivery: i64,
}

/// Rows of one transaction with the ids they get. Ids of a transaction that fails are lost, which harms nobody.
struct Numbered<'a> {
    /// With the state as it is written, which a notice of this transaction often repeats.
    incidents: Vec<(i64, &'a Arc<Incident>, Vec<u8>)>,
    members: Vec<(i64, Option<i64>, &'a Member)>,
    notices: Vec<(i64, &'a Notice)>,
    deliveries: Vec<(i64, Pending)>,
}

impl SqliteWriter {
    pub(super) async fn new(
        mut connection: SqliteConnection,
        directory: Directory,
    ) -> Result<SqliteWriter, StoreError> {
        let last = LastIds {
            incident: last_id(&mut connection, "select max(id) from incidents").await?,
            member: last_id(&mut connection, "select max(id) from members").await?,
            notice: last_id(&mut connection, "select max(id) from notices").await?,
            delivery: last_id(&mut connection, "select max(id) from deliveries").await?,
        };
        Ok(SqliteWriter { connection, directory, last, recent: Recent::default() })
    }

    /// Reads before `begin`: nobody else writes, so nothing can change in between.
    async fn decide_and_write(&mut self, wanted: Wanted, decide: Decide<'_>) -> Result<Vec<Pending>, StoreError> {
        let loaded = self.load(&wanted).await?;
        let changes = decide(loaded);
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let numbered = self.number(&changes);
        write(&mut self.connection, &changes, &numbered).await?;
        for (id, incident, _) in &numbered.incidents {
            self.recent.put(*id, (*incident).clone());
        }
        let mut rows = self.directory.write();
        rows.incidents.extend(numbered.incidents.iter().map(|(id, incident, _)| (incident.key, *id)));
        rows.members.extend(numbered.members.iter().map(|(id, _, member)| (member.identity, *id)));
        Ok(numbered.deliveries.into_iter().map(|(_, pending)| pending).collect())
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

    fn retain<'a>(&'a mut self, retention: &'a Retention, now: Timestamp) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(retain::retain(&mut self.connection, &self.directory, retention, now))
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

async fn write(
    connection: &mut SqliteConnection,
    changes: &Changes,
    numbered: &Numbered<'_>,
) -> Result<(), StoreError> {
    let mut script = Script::new(connection);
    script.add("begin immediate");
    write_incidents(&mut script, &numbered.incidents, changes.now).await?;
    write_members(&mut script, &numbered.members, changes.now).await?;
    write_notices(&mut script, numbered).await?;
    write_deliveries(&mut script, &numbered.deliveries, changes.now).await?;
    write_records(&mut script, changes).await?;
    settle(&mut script, &changes.settlements).await?;
    script.add("commit");
    script.flush().await
}

/// MessagePack with names: fields can come and go as in JSON, and text is copied instead of searched for quotes.
fn packed<T: serde::Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("our own types always serialise")
}

async fn write_incidents(
    script: &mut Script<'_>,
    incidents: &[(i64, &Arc<Incident>, Vec<u8>)],
    now: Timestamp,
) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert into incidents (id, key, deadline, changed_at, state) values ",
        column_count: 5,
        tail: " on conflict (id) do update set deadline = excluded.deadline, changed_at = excluded.changed_at, state = excluded.state",
    };
    let bind = |row: &mut Row, (id, incident, state): &(i64, &Arc<Incident>, Vec<u8>)| {
        row.add(*id);
        row.add(incident.key.0.to_vec());
        row.add(deadline(incident).map(Timestamp::as_ms));
        row.add(now.as_ms());
        row.add(state.clone());
    };
    script.rows(&SHAPE, incidents, bind).await
}

async fn write_members(
    script: &mut Script<'_>,
    members: &[(i64, Option<i64>, &Member)],
    now: Timestamp,
) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert into members (id, identity, incident, expires_at, changed_at, state) values ",
        column_count: 6,
        tail: " on conflict (id) do update set incident = excluded.incident, expires_at = excluded.expires_at, changed_at = excluded.changed_at, state = excluded.state",
    };
    let bind = |row: &mut Row, (id, incident, member): &(i64, Option<i64>, &Member)| {
        row.add(*id);
        row.add(member.identity.0.to_vec());
        row.add(*incident);
        row.add(if member.is_firing() { member.expires_at().map(Timestamp::as_ms) } else { None });
        row.add(now.as_ms());
        row.add(packed(member));
    };
    script.rows(&SHAPE, members, bind).await
}

async fn write_notices(script: &mut Script<'_>, numbered: &Numbered<'_>) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert into notices (id, at, kind, reason, sequence, state) values ",
        column_count: 6,
        tail: "",
    };
    let states: IdMap<IncidentKey, (&Incident, &Vec<u8>)> =
        numbered.incidents.iter().map(|(_, incident, state)| (incident.key, (incident.as_ref(), state))).collect();
    let bind = |row: &mut Row, (id, notice): &(i64, &Notice)| {
        row.add(*id);
        row.add(notice.at.as_ms());
        row.add(notice.kind.as_str());
        row.add(notice.reason.as_str());
        row.add(i64::from(notice.sequence));
        row.add(match states.get(&notice.incident.key) {
            Some((incident, state)) if *incident == notice.incident.as_ref() => (*state).clone(),
            _ => packed(&notice.incident),
        });
    };
    script.rows(&SHAPE, &numbered.notices, bind).await
}

async fn write_deliveries(
    script: &mut Script<'_>,
    deliveries: &[(i64, Pending)],
    now: Timestamp,
) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert into deliveries (id, notice, sink, key, attempts, created_at, next_at, reason) values ",
        column_count: 8,
        tail: "",
    };
    let bind = |row: &mut Row, (notice, pending): &(i64, Pending)| {
        row.add(pending.delivery.id.0);
        row.add(*notice);
        row.add(pending.delivery.sink.to_string());
        row.add(pending.delivery.key.0.to_vec());
        row.add(0_i64);
        row.add(now.as_ms());
        row.add(now.as_ms());
        row.add("");
    };
    script.rows(&SHAPE, deliveries, bind).await
}

async fn write_records(script: &mut Script<'_>, changes: &Changes) -> Result<(), StoreError> {
    const RECORDS: Shape = Shape {
        head: "insert into records (received_at, source, kind, body, decisions) values ",
        column_count: 5,
        tail: "",
    };
    const REJECTS: Shape = Shape {
        head: "insert into rejects (received_at, source, kind, status, reason, body) values ",
        column_count: 6,
        tail: "",
    };
    let bind = |row: &mut Row, record: &Record| {
        row.add(record.received_at.as_ms());
        row.add(record.source.clone());
        row.add(record.kind);
        row.add(compress_prepend_size(&record.body));
        row.add(compress_prepend_size(record.decisions.as_bytes()));
    };
    script.rows(&RECORDS, &changes.records, bind).await?;
    let bind = |row: &mut Row, reject: &RejectRecord| {
        row.add(reject.received_at.as_ms());
        row.add(reject.source.clone());
        row.add(reject.kind.clone());
        row.add(i64::from(reject.status));
        row.add(reject.reason.clone());
        row.add(reject.body.to_vec());
    };
    script.rows(&REJECTS, &changes.rejects, bind).await
}

async fn settle(script: &mut Script<'_>, settlements: &[Settlement]) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "with settled (id, attempts, next_at, outcome, reason, settled_at) as (values ",
        column_count: 6,
        tail: ") update deliveries set attempts = settled.attempts, next_at = settled.next_at, outcome = settled.outcome, \
               reason = settled.reason, settled_at = settled.settled_at from settled where deliveries.id = settled.id",
    };
    // The last word on a delivery counts; two of one batch must not meet in one statement.
    let mut last: HashMap<DeliveryId, &Settlement> = HashMap::with_capacity(settlements.len());
    for settlement in settlements {
        last.insert(settlement.id, settlement);
    }
    let mut rows: Vec<&Settlement> = last.into_values().collect();
    rows.sort_by_key(|settlement| settlement.id);
    let bind = |row: &mut Row, settlement: &&Settlement| {
        row.add(settlement.id.0);
        row.add(i64::from(settlement.attempts));
        row.add(settlement.next_attempt_at.as_ms());
        row.add(settlement.outcome.map(|outcome| outcome.as_str()));
        row.add(settlement.reason.clone());
        row.add(settlement.outcome.map(|_| settlement.at.as_ms()));
    };
    script.rows(&SHAPE, &rows, bind).await
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
