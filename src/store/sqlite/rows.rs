//! The rows of one transaction, table by table. Decides nothing: ids and contents are given.

use std::sync::Arc;

use lz4_flex::block::compress_prepend_size;
use sqlx::SqliteConnection;

use super::bulk::{Row, Script, Shape};
use crate::incidents::deadline;
use crate::model::id::IdMap;
use crate::model::{Incident, IncidentKey, Member, Notice, Timestamp};
use crate::store::{Changes, Pending, Record, RejectRecord, Settlement, StoreError};

/// What most states need, so that the bytes are not moved while they are written.
const STATE_BYTES: usize = 2048;

/// Rows of one transaction with the ids they get. Ids of a transaction that fails are lost, which harms nobody.
pub(super) struct Numbered<'a> {
    /// With the state as it is written, which a notice of this transaction often repeats.
    pub(super) incidents: Vec<(i64, &'a Arc<Incident>, Vec<u8>)>,
    pub(super) members: Vec<(i64, Option<i64>, &'a Member)>,
    pub(super) notices: Vec<(i64, &'a Notice)>,
    pub(super) deliveries: Vec<(i64, Pending)>,
}

/// A statement that fails takes the transaction with it, as we would: SQLite then keeps no copy of the pages that each
/// statement changes.
pub(super) async fn write(
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

/// MessagePack without names: they would be a third of it.
pub(super) fn packed<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STATE_BYTES);
    rmp_serde::encode::write(&mut bytes, value).expect("our own types always serialise");
    bytes
}

/// When a member that fires lapses, in ms.
pub(super) fn expiry(member: &Member) -> Option<i64> {
    member.is_firing().then(|| member.expires_at().map(Timestamp::as_ms)).flatten()
}

async fn write_incidents(
    script: &mut Script<'_>,
    incidents: &[(i64, &Arc<Incident>, Vec<u8>)],
    now: Timestamp,
) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert or rollback into incidents (id, key, deadline, changed_at, state) values ",
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
        head: "insert or rollback into members (id, identity, incident, expires_at, changed_at, state) values ",
        column_count: 6,
        tail: " on conflict (id) do update set incident = excluded.incident, expires_at = excluded.expires_at, changed_at = excluded.changed_at, state = excluded.state",
    };
    let bind = |row: &mut Row, (id, incident, member): &(i64, Option<i64>, &Member)| {
        row.add(*id);
        row.add(member.identity.0.to_vec());
        row.add(*incident);
        row.add(expiry(member));
        row.add(now.as_ms());
        row.add(packed(member));
    };
    script.rows(&SHAPE, members, bind).await
}

async fn write_notices(script: &mut Script<'_>, numbered: &Numbered<'_>) -> Result<(), StoreError> {
    const SHAPE: Shape = Shape {
        head: "insert or rollback into notices (id, at, kind, reason, sequence, state) values ",
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
        head: "insert or rollback into deliveries (id, notice, sink, key, attempts, created_at, next_at, reason) values ",
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
        head: "insert or rollback into records (received_at, source, kind, body, decisions) values ",
        column_count: 5,
        tail: "",
    };
    const REJECTS: Shape = Shape {
        head: "insert or rollback into rejects (received_at, source, kind, status, reason, body) values ",
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
        tail: ") update or rollback deliveries set attempts = settled.attempts, next_at = settled.next_at, outcome = settled.outcome, \
               reason = settled.reason, settled_at = settled.settled_at from settled where deliveries.id = settled.id",
    };
    // The last word on a delivery counts; two of one batch must not meet in one statement.
    let mut rows: Vec<&Settlement> = settlements.iter().rev().collect();
    rows.sort_by_key(|settlement| settlement.id);
    rows.dedup_by_key(|settlement| settlement.id);
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
