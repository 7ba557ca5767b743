//! One transaction per batch: load, decide, write, commit.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row as _, SqliteConnection};

use super::bulk::{Row, Shape, in_list, write_rows};
use super::{last_id, retain, unavailable, unreadable};
use crate::incidents::deadline;
use crate::model::{Delivery, DeliveryId, Identity, Incident, IncidentKey, Member, Timestamp};
use crate::store::{
    Changes, Decide, Due, Later, Loaded, Pending, RejectRecord, Retention, Settlement, StoreError, Wanted, Writer,
};

/// Ids in one `in (…)`; more are asked for in pieces.
const ASKED_COUNT_MAX: usize = 256;
/// Lapsed members handled in one tick; the rest follow in the next one.
const DUE_COUNT_MAX: i64 = 2000;

pub struct SqliteWriter {
    connection: SqliteConnection,
    last_notice: i64,
    last_delivery: i64,
}

impl SqliteWriter {
    pub(super) async fn new(mut connection: SqliteConnection) -> Result<SqliteWriter, StoreError> {
        let last_notice = last_id(&mut connection, "select max(id) from notices").await?;
        let last_delivery = last_id(&mut connection, "select max(id) from deliveries").await?;
        Ok(SqliteWriter { connection, last_notice, last_delivery })
    }

    async fn decide_and_write(&mut self, wanted: Wanted, decide: Decide<'_>) -> Result<Vec<Pending>, StoreError> {
        let loaded = load(&mut self.connection, &wanted).await?;
        let changes = decide(loaded);
        if changes.is_empty() {
            sqlx::query("rollback").execute(&mut self.connection).await.map_err(unavailable)?;
            return Ok(Vec::new());
        }
        let pending = self.write(&changes).await?;
        sqlx::query("commit").execute(&mut self.connection).await.map_err(unavailable)?;
        Ok(pending)
    }

    async fn write(&mut self, changes: &Changes) -> Result<Vec<Pending>, StoreError> {
        let connection = &mut self.connection;
        write_incidents(connection, changes).await?;
        write_members(connection, changes).await?;
        let pending = self.number(changes);
        let connection = &mut self.connection;
        write_notices(connection, changes, self.last_notice).await?;
        write_deliveries(connection, &pending, self.last_notice, changes).await?;
        write_records(connection, changes).await?;
        settle(connection, &changes.settlements).await?;
        Ok(pending.into_iter().map(|(pending, _)| pending).collect())
    }

    /// Gives ids. Ids of a transaction that fails are lost, which harms nobody.
    fn number(&mut self, changes: &Changes) -> Vec<(Pending, i64)> {
        let mut pending = Vec::new();
        for (notice, sinks) in &changes.notices {
            self.last_notice += 1;
            for sink in sinks {
                self.last_delivery += 1;
                let delivery = Delivery {
                    id: DeliveryId(self.last_delivery),
                    sink: sink.clone(),
                    key: notice.incident.key,
                    sequence: notice.sequence,
                    kind: notice.kind,
                    attempts: 0,
                    created_at: changes.now,
                    next_attempt_at: changes.now,
                    reason: String::new(),
                };
                pending.push((Pending { delivery, notice: notice.clone() }, self.last_notice));
            }
        }
        pending
    }
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
        Box::pin(retain::retain(&mut self.connection, retention, now))
    }
}

async fn load(connection: &mut SqliteConnection, wanted: &Wanted) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    sqlx::query("begin immediate").execute(&mut *connection).await.map_err(unavailable)?;
    for identities in wanted.identities.chunks(ASKED_COUNT_MAX) {
        let (padded, marks) = in_list(identities.len(), 1);
        let sql = format!(
            "select 0, state from members where identity in ({marks}) union all \
             select 1, state from incidents where key in (select incident from members where identity in ({marks}))"
        );
        let rows = ask(connection, sql, identities.iter().map(|identity| identity.0.to_vec()), padded).await?;
        keep(&mut loaded, rows)?;
    }
    let asked: Vec<IncidentKey> =
        wanted.keys.iter().chain(&wanted.ticks).filter(|key| !loaded.incidents.contains_key(key)).copied().collect();
    for keys in asked.chunks(ASKED_COUNT_MAX) {
        let (padded, marks) = in_list(keys.len(), 1);
        let sql = format!("select 1, state from incidents where key in ({marks})");
        let rows = ask(connection, sql, keys.iter().map(|key| key.0.to_vec()), padded).await?;
        keep(&mut loaded, rows)?;
    }
    for key in &wanted.ticks {
        let due = load_due(connection, *key, wanted.now).await?;
        loaded.due.insert(*key, due);
    }
    Ok(loaded)
}

async fn ask(
    connection: &mut SqliteConnection,
    sql: String,
    values: impl ExactSizeIterator<Item = Vec<u8>>,
    padded: usize,
) -> Result<Vec<SqliteRow>, StoreError> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(padded, 0);
    let mut last = Vec::new();
    let count = values.len();
    for value in values {
        last.clone_from(&value);
        arguments.add(value).expect("a blob always encodes");
    }
    for _ in count..padded {
        arguments.add(last.clone()).expect("a blob always encodes");
    }
    sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await.map_err(unavailable)
}

fn keep(loaded: &mut Loaded, rows: Vec<SqliteRow>) -> Result<(), StoreError> {
    for row in rows {
        let state: &[u8] = row.try_get(1).map_err(unavailable)?;
        if row.try_get::<i64, _>(0).map_err(unavailable)? == 0 {
            let member: Member = serde_json::from_slice(state).map_err(unreadable("member"))?;
            loaded.members.insert(member.identity, member);
        } else {
            let incident: Incident = serde_json::from_slice(state).map_err(unreadable("incident"))?;
            loaded.incidents.insert(incident.key, incident);
        }
    }
    Ok(())
}

async fn load_due(connection: &mut SqliteConnection, key: IncidentKey, now: Timestamp) -> Result<Due, StoreError> {
    let rows = sqlx::query("select state from members where incident = ?1 and expires_at <= ?2 limit ?3")
        .bind(key.0.to_vec())
        .bind(now.as_ms())
        .bind(DUE_COUNT_MAX)
        .fetch_all(&mut *connection)
        .await
        .map_err(unavailable)?;
    let mut due = Due::default();
    for row in &rows {
        let state: &[u8] = row.try_get(0).map_err(unavailable)?;
        due.members.push(serde_json::from_slice(state).map_err(unreadable("member"))?);
    }
    if i64::try_from(rows.len()).is_ok_and(|count| count == DUE_COUNT_MAX) {
        due.next_expiry = now;
        return Ok(due);
    }
    let next: Option<i64> = sqlx::query("select min(expires_at) from members where incident = ?1 and expires_at > ?2")
        .bind(key.0.to_vec())
        .bind(now.as_ms())
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(unavailable)?;
    due.next_expiry = next.map_or(Timestamp::MAX, Timestamp::from_ms);
    Ok(due)
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("our own types always serialise")
}

async fn write_incidents(connection: &mut SqliteConnection, changes: &Changes) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert into incidents (key, deadline, changed_at, state) values ",
        column_count: 4,
        tail: " on conflict (key) do update set deadline = excluded.deadline, changed_at = excluded.changed_at, state = excluded.state",
    };
    write_rows(connection, &SHAPE, &changes.incidents, |row: &mut Row, incident: &Arc<Incident>| {
        row.add(incident.key.0.to_vec());
        row.add(deadline(incident).map(Timestamp::as_ms));
        row.add(changes.now.as_ms());
        row.add(json(incident));
    })
    .await
}

async fn write_members(connection: &mut SqliteConnection, changes: &Changes) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert into members (identity, incident, expires_at, changed_at, state) values ",
        column_count: 5,
        tail: " on conflict (identity) do update set incident = excluded.incident, expires_at = excluded.expires_at, changed_at = excluded.changed_at, state = excluded.state",
    };
    write_rows(connection, &SHAPE, &changes.members, |row: &mut Row, member: &Member| {
        row.add(member.identity.0.to_vec());
        row.add(member.incident.map(|key| key.0.to_vec()));
        row.add(if member.is_firing() { member.expires_at().map(Timestamp::as_ms) } else { None });
        row.add(changes.now.as_ms());
        row.add(json(member));
    })
    .await
}

async fn write_notices(
    connection: &mut SqliteConnection,
    changes: &Changes,
    last_notice: i64,
) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert into notices (id, at, kind, reason, sequence, state) values ",
        column_count: 6,
        tail: "",
    };
    let count = i64::try_from(changes.notices.len()).unwrap_or(i64::MAX);
    let numbered: Vec<_> = (last_notice - count + 1..).zip(&changes.notices).collect();
    write_rows(connection, &SHAPE, &numbered, |row: &mut Row, (id, (notice, _))| {
        row.add(*id);
        row.add(notice.at.as_ms());
        row.add(notice.kind.as_str());
        row.add(notice.reason.as_str());
        row.add(i64::from(notice.sequence));
        row.add(json(&notice.incident));
    })
    .await
}

async fn write_deliveries(
    connection: &mut SqliteConnection,
    pending: &[(Pending, i64)],
    _last_notice: i64,
    changes: &Changes,
) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert into deliveries (id, notice, sink, key, attempts, created_at, next_at, reason) values ",
        column_count: 8,
        tail: "",
    };
    write_rows(connection, &SHAPE, pending, |row: &mut Row, (pending, notice)| {
        row.add(pending.delivery.id.0);
        row.add(*notice);
        row.add(pending.delivery.sink.to_string());
        row.add(pending.delivery.key.0.to_vec());
        row.add(0_i64);
        row.add(changes.now.as_ms());
        row.add(changes.now.as_ms());
        row.add("");
    })
    .await
}

async fn write_records(connection: &mut SqliteConnection, changes: &Changes) -> Result<(), StoreError> {
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
    write_rows(connection, &RECORDS, &changes.records, |row: &mut Row, record| {
        row.add(record.received_at.as_ms());
        row.add(record.source.clone());
        row.add(record.kind);
        row.add(record.body.to_vec());
        row.add(record.decisions.clone().into_bytes());
    })
    .await?;
    write_rows(connection, &REJECTS, &changes.rejects, |row: &mut Row, reject: &RejectRecord| {
        row.add(reject.received_at.as_ms());
        row.add(reject.source.clone());
        row.add(reject.kind.clone());
        row.add(i64::from(reject.status));
        row.add(reject.reason.clone());
        row.add(reject.body.to_vec());
    })
    .await
}

async fn settle(connection: &mut SqliteConnection, settlements: &[Settlement]) -> Result<(), StoreError> {
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
    write_rows(connection, &SHAPE, &rows, |row: &mut Row, settlement: &&Settlement| {
        row.add(settlement.id.0);
        row.add(i64::from(settlement.attempts));
        row.add(settlement.next_attempt_at.as_ms());
        row.add(settlement.outcome.map(|outcome| outcome.as_str()));
        row.add(settlement.reason.clone());
        row.add(settlement.outcome.map(|_| settlement.at.as_ms()));
    })
    .await
}

impl Wanted {
    /// Asks for each identity once.
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
