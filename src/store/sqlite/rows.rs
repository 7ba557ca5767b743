//! The rows of one transaction, table by table. Decides nothing: ids and contents are given.

use std::sync::Arc;

use sqlx::SqliteConnection;

use super::block::block;
use super::bulk::{Row, Script};
use super::pack::{INCIDENT_BYTES, MEMBER_BYTES, packed};
use super::shapes::{DELIVERIES, INCIDENTS, MEMBERS, NOTICES, RECORDS, REJECTS, SETTLEMENTS};
use crate::incidents::deadline;
use crate::model::{Incident, Member, Notice, Timestamp};
use crate::store::{Changes, Pending, Record, RejectRecord, Settlement, StoreError};

/// Rows of one transaction with the ids they get. Ids of a transaction that fails are lost, which harms nobody.
pub(super) struct Numbered<'a> {
    pub(super) incidents: Vec<IncidentRow<'a>>,
    pub(super) members: Vec<(i64, Option<i64>, &'a Member)>,
    pub(super) notices: Vec<NoticeRow<'a>>,
    pub(super) deliveries: Vec<(i64, Pending)>,
    /// Of deliveries that are pending, each once.
    pub(super) settlements: Vec<&'a Settlement>,
}

pub(super) struct IncidentRow<'a> {
    pub(super) id: i64,
    pub(super) incident: &'a Arc<Incident>,
    /// It was not in the store before.
    pub(super) is_new: bool,
    /// The notice of this transaction that holds its state, so that it is written once.
    pub(super) notice: Option<i64>,
}

pub(super) struct NoticeRow<'a> {
    pub(super) id: i64,
    pub(super) notice: &'a Notice,
    /// The row of the incident that has its state here.
    pub(super) incident: Option<i64>,
}

/// A statement that fails takes the transaction with it, as we would: SQLite then keeps no copy of the pages that each
/// statement changes.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    changes: &Changes,
    numbered: &Numbered<'_>,
) -> Result<(), StoreError> {
    let mut script = Script::new(connection);
    write_incidents(&mut script, &numbered.incidents, changes.now).await?;
    write_members(&mut script, &numbered.members, changes.now).await?;
    write_notices(&mut script, &numbered.notices).await?;
    write_deliveries(&mut script, &numbered.deliveries, changes.now).await?;
    write_records(&mut script, changes).await?;
    settle(&mut script, &numbered.settlements).await?;
    script.commit().await
}

/// When a member that fires lapses, in ms.
pub(super) fn expiry(member: &Member) -> Option<i64> {
    member.is_firing().then(|| member.expires_at().map(Timestamp::as_ms)).flatten()
}

async fn write_incidents(
    script: &mut Script<'_>,
    incidents: &[IncidentRow<'_>],
    now: Timestamp,
) -> Result<(), StoreError> {
    let bind = |row: &mut Row<'_>, IncidentRow { id, incident, notice, .. }: &IncidentRow<'_>| {
        row.add(*id);
        row.add(incident.key.0.to_vec());
        row.add(deadline(incident).map(Timestamp::as_ms));
        row.add(now.as_ms());
        row.add(*notice);
        row.add(if notice.is_some() { Vec::new() } else { packed(incident, INCIDENT_BYTES) });
    };
    script.rows(&INCIDENTS, incidents, bind).await
}

async fn write_members(
    script: &mut Script<'_>,
    members: &[(i64, Option<i64>, &Member)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let bind = |row: &mut Row<'_>, (id, incident, member): &(i64, Option<i64>, &Member)| {
        row.add(*id);
        row.add(member.identity.0.to_vec());
        row.add(*incident);
        row.add(expiry(member));
        row.add(now.as_ms());
        row.add(packed(member, MEMBER_BYTES));
    };
    script.rows(&MEMBERS, members, bind).await
}

async fn write_notices(script: &mut Script<'_>, notices: &[NoticeRow<'_>]) -> Result<(), StoreError> {
    let bind = |row: &mut Row<'_>, NoticeRow { id, notice, incident }: &NoticeRow<'_>| {
        row.add(*id);
        row.add(notice.at.as_ms());
        row.word(notice.kind.as_str());
        row.word(notice.reason.as_str());
        row.add(i64::from(notice.sequence));
        row.add(*incident);
        row.add(packed(&notice.incident, INCIDENT_BYTES));
    };
    script.rows(&NOTICES, notices, bind).await
}

async fn write_deliveries(
    script: &mut Script<'_>,
    deliveries: &[(i64, Pending)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let bind = |row: &mut Row<'_>, (notice, pending): &(i64, Pending)| {
        row.add(pending.delivery.id.0);
        row.add(*notice);
        row.add(pending.delivery.sink.clone());
        row.add(pending.delivery.key.0.to_vec());
        row.add(now.as_ms());
        row.add(now.as_ms());
    };
    script.rows(&DELIVERIES, deliveries, bind).await
}

async fn write_records(script: &mut Script<'_>, changes: &Changes) -> Result<(), StoreError> {
    let bind = |row: &mut Row<'_>, record: &Record| {
        row.add(record.received_at.as_ms());
        row.add(record.source.as_str());
        row.add(record.kind);
        row.add(block(&record.body));
        row.add(block(record.decisions.as_bytes()));
    };
    script.rows(&RECORDS, &changes.records, bind).await?;
    let bind = |row: &mut Row<'_>, reject: &RejectRecord| {
        row.add(reject.received_at.as_ms());
        row.add(reject.source.as_str());
        row.add(reject.kind.as_str());
        row.add(i64::from(reject.status));
        row.add(reject.reason.as_str());
        row.add(reject.body.to_vec());
    };
    script.rows(&REJECTS, &changes.rejects, bind).await
}

async fn settle(script: &mut Script<'_>, settlements: &[&Settlement]) -> Result<(), StoreError> {
    let bind = |row: &mut Row<'_>, settlement: &&Settlement| {
        row.add(settlement.id.0);
        row.add(i64::from(settlement.attempts));
        row.add(settlement.next_attempt_at.as_ms());
        match settlement.outcome {
            Some(outcome) => row.word(outcome.as_str()),
            None => row.add(None::<i64>),
        }
        match settlement.reason.as_str() {
            "" => row.word(""),
            reason => row.add(reason),
        }
        row.add(settlement.outcome.map(|_| settlement.at.as_ms()));
    };
    script.rows(&SETTLEMENTS, settlements, bind).await
}
