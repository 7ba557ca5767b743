//! Reads that are part of no decision: deadlines, pending deliveries, and what people look at.

use std::cmp::Reverse;
use std::sync::Arc;

use lz4_flex::block::decompress_size_prepended;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::directory::Directory;
use super::retain::used_bytes;
use super::write::{ask, incident_states};
use super::{Pool, unavailable, unreadable};
use crate::model::{Delivery, DeliveryId, Incident, IncidentKey, Member, Notice, NoticeKind, Timestamp};
use crate::store::{
    Counts, Deadlines, DeliveryFilter, DeliveryRow, Detail, IncidentFilter, Later, Pending, Reader, RecordRow,
    RejectRow, StoreError, Stray,
};

pub(super) struct SqliteReader {
    pool: Pool,
    directory: Directory,
}

impl SqliteReader {
    pub(super) fn new(pool: Pool, directory: Directory) -> SqliteReader {
        SqliteReader { pool, directory }
    }

    async fn members(&self, ids: &[i64]) -> Result<Vec<Member>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(unavailable)?;
        let rows = ask(&mut connection, "select state from members where id in ", ids).await?;
        rows.iter().map(|row| state(row, 0, "member")).collect()
    }
}

/// Members shown with an incident.
const DETAIL_COUNT_MAX: usize = 1000;

impl Reader for SqliteReader {
    fn due(&self, now: Timestamp, count_max: u32) -> Later<'_, Result<Deadlines, StoreError>> {
        Box::pin(async move {
            // The answer stands in memory, but who asks wants to know whether the store can be read, too.
            sqlx::query("select 1 from probe").fetch_optional(&self.pool).await.map_err(unavailable)?;
            Ok(self.directory.read().due(now, count_max as usize))
        })
    }

    fn pending<'a>(
        &'a self,
        sink: &'a str,
        after: DeliveryId,
        count_max: u32,
    ) -> Later<'a, Result<Vec<Pending>, StoreError>> {
        Box::pin(async move {
            let ids = self.directory.read().pending_of(sink, after, count_max as usize);
            let mut connection = self.pool.acquire().await.map_err(unavailable)?;
            let head = "select d.id, d.sink, d.attempts, d.created_at, d.next_at, d.reason, n.kind, n.reason, n.at, n.sequence, n.state \
                        from deliveries d join notices n on n.id = d.notice where d.outcome is null and d.id in ";
            let rows = ask(&mut connection, head, &ids).await?;
            let mut found = rows.iter().map(pending).collect::<Result<Vec<_>, _>>()?;
            found.sort_unstable_by_key(|row| row.delivery.id);
            Ok(found)
        })
    }

    fn strays<'a>(&'a self, sinks: &'a [Arc<str>], count_max: u32) -> Later<'a, Result<Vec<Stray>, StoreError>> {
        Box::pin(async move {
            let is_stray = |sink: &str| sinks.iter().all(|known| known.as_ref() != sink);
            let mut ids = self.directory.read().pending_where(is_stray);
            ids.sort_unstable();
            ids.truncate(count_max as usize);
            let mut connection = self.pool.acquire().await.map_err(unavailable)?;
            let head = "select id, sink, attempts from deliveries where outcome is null and id in ";
            let stray = |row: &SqliteRow| {
                Ok(Stray { id: DeliveryId(number(row, 0)?), sink: text(row, 1)?, attempts: small(row, 2)? })
            };
            let rows = ask(&mut connection, head, &ids).await?;
            let mut found = rows.iter().map(stray).collect::<Result<Vec<_>, StoreError>>()?;
            found.sort_unstable_by_key(|stray| stray.id);
            Ok(found)
        })
    }

    fn counts(&self) -> Later<'_, Result<Counts, StoreError>> {
        Box::pin(async move {
            // One connection for both looks: a second one may have to be opened, which waits for the writer.
            let mut connection = self.pool.acquire().await.map_err(unavailable)?;
            let dead: i64 = sqlx::query_scalar("select count(*) from deliveries where outcome = 'dead'")
                .fetch_one(&mut *connection)
                .await
                .map_err(unavailable)?;
            let bytes = used_bytes(&mut connection).await?;
            let rows = self.directory.read();
            Ok(Counts {
                open_incidents: u64::try_from(rows.open_count()).unwrap_or(u64::MAX),
                firing_members: u64::try_from(rows.firing_count()).unwrap_or(u64::MAX),
                pending_deliveries: u64::try_from(rows.pending_count()).unwrap_or(u64::MAX),
                dead_deliveries: u64::try_from(dead).unwrap_or(0),
                bytes,
            })
        })
    }

    fn incidents(&self, filter: IncidentFilter) -> Later<'_, Result<Vec<Incident>, StoreError>> {
        Box::pin(async move {
            let (sql, count_max) = match filter {
                IncidentFilter::Open { count_max } => (
                    concat!(incident_states!(), "where i.deadline is not null order by i.changed_at desc limit ?1"),
                    count_max,
                ),
                IncidentFilter::Recent { count_max } => {
                    (concat!(incident_states!(), "order by i.changed_at desc limit ?1"), count_max)
                }
            };
            let rows = sqlx::query(sql).bind(i64::from(count_max)).fetch_all(&self.pool).await.map_err(unavailable)?;
            rows.iter().map(|row| state(row, 0, "incident")).collect()
        })
    }

    fn incident(&self, key: IncidentKey) -> Later<'_, Result<Option<Detail>, StoreError>> {
        Box::pin(async move {
            let Some(id) = self.directory.read().incident(&key) else { return Ok(None) };
            let found = sqlx::query(concat!(incident_states!(), "where i.id = ?1"))
                .bind(id)
                .fetch_optional(&self.pool)
                .await
                .map_err(unavailable)?;
            let Some(row) = found else { return Ok(None) };
            let incident: Incident = state(&row, 0, "incident")?;
            let ids = self.directory.read().firing_of(id, DETAIL_COUNT_MAX);
            let members = self.members(&ids).await?;
            Ok(Some((incident, members)))
        })
    }

    fn firing(&self, count_max: u32) -> Later<'_, Result<Vec<Member>, StoreError>> {
        Box::pin(async move {
            let ids = self.directory.read().firing(count_max as usize);
            self.members(&ids).await
        })
    }

    fn deliveries(&self, filter: DeliveryFilter) -> Later<'_, Result<Vec<DeliveryRow>, StoreError>> {
        Box::pin(async move {
            let head = "select d.id, d.sink, d.attempts, d.created_at, d.next_at, d.reason, n.kind, d.outcome, n.sequence, n.state \
                        from deliveries d join notices n on n.id = d.notice ";
            let (tail, count_max) = match filter {
                DeliveryFilter::Recent { count_max } => ("", count_max),
                DeliveryFilter::Dead { count_max } => ("where d.outcome = 'dead' ", count_max),
                DeliveryFilter::Pending { count_max } => {
                    let mut ids = self.directory.read().pending_where(|_| true);
                    ids.sort_unstable_by_key(|id| Reverse(*id));
                    ids.truncate(count_max as usize);
                    let mut connection = self.pool.acquire().await.map_err(unavailable)?;
                    let head = format!("{head}where d.outcome is null and d.id in ");
                    let rows = ask(&mut connection, &head, &ids).await?;
                    let mut found = rows.iter().map(delivery_row).collect::<Result<Vec<_>, _>>()?;
                    found.sort_unstable_by_key(|row| Reverse(row.id));
                    return Ok(found);
                }
            };
            let sql = format!("{head}{tail}order by d.id desc limit ?1");
            let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(i64::from(count_max))
                .fetch_all(&self.pool)
                .await
                .map_err(unavailable)?;
            rows.iter().map(delivery_row).collect()
        })
    }

    fn records(&self, before: i64, count_max: u32) -> Later<'_, Result<Vec<RecordRow>, StoreError>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "select id, received_at, source, kind, body, decisions from records where id < ?1 order by id desc limit ?2",
            )
            .bind(before)
            .bind(i64::from(count_max))
            .fetch_all(&self.pool)
            .await
            .map_err(unavailable)?;
            rows.iter().map(record_row).collect()
        })
    }

    fn rejects(&self, count_max: u32) -> Later<'_, Result<Vec<RejectRow>, StoreError>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "select id, received_at, source, kind, status, reason, substr(body, 1, 2000) from rejects order by id desc limit ?1",
            )
            .bind(i64::from(count_max))
            .fetch_all(&self.pool)
            .await
            .map_err(unavailable)?;
            rows.iter().map(reject_row).collect()
        })
    }

    fn kept<'a>(&'a self, name: &'a str) -> Later<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            sqlx::query_scalar("select value from kept where name = ?1")
                .bind(name)
                .fetch_optional(&self.pool)
                .await
                .map_err(unavailable)
        })
    }
}

fn state<T: serde::de::DeserializeOwned>(row: &SqliteRow, at: usize, what: &'static str) -> Result<T, StoreError> {
    rmp_serde::from_slice(row.try_get::<&[u8], _>(at).map_err(unavailable)?).map_err(unreadable(what))
}

fn word<T: serde::de::DeserializeOwned>(row: &SqliteRow, at: usize, what: &'static str) -> Result<T, StoreError> {
    let text: String = row.try_get(at).map_err(unavailable)?;
    serde_json::from_value(serde_json::Value::String(text)).map_err(unreadable(what))
}

fn number(row: &SqliteRow, at: usize) -> Result<i64, StoreError> {
    row.try_get(at).map_err(unavailable)
}

fn text(row: &SqliteRow, at: usize) -> Result<String, StoreError> {
    row.try_get(at).map_err(unavailable)
}

fn time(row: &SqliteRow, at: usize) -> Result<Timestamp, StoreError> {
    number(row, at).map(Timestamp::from_ms)
}

fn small(row: &SqliteRow, at: usize) -> Result<u32, StoreError> {
    number(row, at).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

fn pending(row: &SqliteRow) -> Result<Pending, StoreError> {
    let incident: Arc<Incident> = Arc::new(state(row, 10, "notice")?);
    let kind: NoticeKind = word(row, 6, "notice kind")?;
    let sequence = small(row, 9)?;
    let delivery = Delivery {
        id: DeliveryId(number(row, 0)?),
        sink: Arc::from(text(row, 1)?),
        key: incident.key,
        sequence,
        kind,
        attempts: small(row, 2)?,
        created_at: time(row, 3)?,
        next_attempt_at: time(row, 4)?,
        reason: text(row, 5)?,
    };
    let notice =
        Arc::new(Notice { kind, reason: word(row, 7, "notice reason")?, at: time(row, 8)?, sequence, incident });
    Ok(Pending { delivery, notice })
}

fn delivery_row(row: &SqliteRow) -> Result<DeliveryRow, StoreError> {
    let incident: Incident = state(row, 9, "notice")?;
    let outcome: Option<String> = row.try_get(7).map_err(unavailable)?;
    Ok(DeliveryRow {
        id: number(row, 0)?,
        sink: text(row, 1)?,
        incident: incident.key,
        sequence: number(row, 8)?,
        kind: text(row, 6)?,
        title: incident.lead.title.clone(),
        attempts: number(row, 2)?,
        created_at: time(row, 3)?.to_string(),
        next_attempt_at: time(row, 4)?.to_string(),
        outcome: outcome.unwrap_or_else(|| "pending".to_owned()),
        reason: text(row, 5)?,
    })
}

fn record_row(row: &SqliteRow) -> Result<RecordRow, StoreError> {
    let unpacked = |at: usize| -> Result<Vec<u8>, StoreError> {
        decompress_size_prepended(row.try_get::<&[u8], _>(at).map_err(unavailable)?).map_err(unreadable("record"))
    };
    Ok(RecordRow {
        id: number(row, 0)?,
        received_at: time(row, 1)?.to_string(),
        source: text(row, 2)?,
        kind: text(row, 3)?,
        body: unpacked(4)?,
        decisions: String::from_utf8(unpacked(5)?).map_err(unreadable("record"))?,
    })
}

fn reject_row(row: &SqliteRow) -> Result<RejectRow, StoreError> {
    let body: &[u8] = row.try_get(6).map_err(unavailable)?;
    Ok(RejectRow {
        id: number(row, 0)?,
        received_at: time(row, 1)?.to_string(),
        source: text(row, 2)?,
        kind: text(row, 3)?,
        status: number(row, 4)?,
        reason: text(row, 5)?,
        body: String::from_utf8_lossy(body).into_owned(),
    })
}
