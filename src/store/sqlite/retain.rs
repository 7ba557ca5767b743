//! Deletes what is past its time, in small pieces, so that a sweep never holds the writer for long.

use sqlx::{Row, SqliteConnection};

use super::directory::Directory;
use super::unavailable;
use crate::model::{Identity, IncidentKey, Timestamp};
use crate::store::{ENDED_MEMBER_AGE, Retention, StoreError};

/// Rows deleted from one table in one piece.
const PIECE: i64 = 500;

/// A column of the oldest delivery that is young enough to stay, whatever became of it.
macro_rules! first_young {
    ($column:literal) => {
        concat!(
            "coalesce((select ",
            $column,
            " from deliveries where created_at >= ?1 order by id limit 1), 9223372036854775807)"
        )
    };
}

/// Notices that nobody needs any more: old, and without deliveries. Notices and their deliveries are numbered in the
/// same order.
macro_rules! spent_notices {
    () => {
        concat!(
            "(select id from notices where id < ",
            first_young!("notice"),
            " and at < ?1 and id not in (select notice from deliveries where id < ",
            first_young!("id"),
            ") order by id limit ?2)"
        )
    };
}

/// Each deletes at most `?2` rows older than `?1`. Ids grow with time, so the oldest rows stand first and the
/// scan ends at the first row that is young enough. What is pending or open is never old; however much of it
/// stands in front, it is passed over and not counted.
const BY_AGE: [&str; 6] = [
    "delete from records where id in (select id from records order by id limit ?2) and received_at < ?1",
    "delete from rejects where id in (select id from rejects order by id limit ?2) and received_at < ?1",
    concat!(
        "delete from deliveries where id in (select id from deliveries where id < ",
        first_young!("id"),
        " and settled_at < ?1 and outcome in ('delivered', 'superseded') order by id limit ?2)"
    ),
    // An incident that goes on gets its state back before the notice goes in which it stands.
    concat!(
        "update incidents set state = (select state from notices where id = incidents.notice), notice = null \
         where id in (select incident from notices where id in ",
        spent_notices!(),
        ") and notice in ",
        spent_notices!()
    ),
    concat!("delete from notices where id in ", spent_notices!()),
    "delete from deliveries where id in (select id from deliveries where outcome = 'dead' and settled_at < ?1 order by id limit ?2)",
];

const CLOSED_INCIDENTS: &str = "delete from incidents where id in \
    (select id from incidents where deadline is null and changed_at < ?1 order by changed_at limit ?2) returning key";

const ENDED_MEMBERS: &str = "delete from members where id in \
    (select id from members where expires_at is null and changed_at < ?1 order by changed_at limit ?2) returning identity";

pub(super) async fn retain(
    connection: &mut SqliteConnection,
    directory: &Directory,
    retention: &Retention,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut deleted = 0;
    let cutoff = now.minus(retention.age);
    for sql in BY_AGE {
        deleted += delete(connection, sql, cutoff).await?;
    }
    for key in forget(connection, CLOSED_INCIDENTS, cutoff).await? {
        deleted += 1;
        directory.write().remove_incident(&IncidentKey(key));
    }
    for identity in forget(connection, ENDED_MEMBERS, now.minus(ENDED_MEMBER_AGE.min(retention.age))).await? {
        deleted += 1;
        directory.write().remove_member(&Identity(identity));
    }
    if used_bytes(connection).await? > retention.bytes_max {
        // The journal of raw bodies is what grows; decisions that still matter live in the other tables.
        deleted += delete(connection, BY_AGE[0], Timestamp::MAX).await?;
        deleted += delete(connection, BY_AGE[1], Timestamp::MAX).await?;
    }
    sqlx::query("pragma incremental_vacuum(1000)").execute(connection).await.map_err(unavailable)?;
    Ok(deleted > 0)
}

/// Deletes rows that the directory knows; returns what they were known by.
async fn forget(
    connection: &mut SqliteConnection,
    sql: &'static str,
    before: Timestamp,
) -> Result<Vec<[u8; 16]>, StoreError> {
    let rows = sqlx::query(sql).bind(before.as_ms()).bind(PIECE).fetch_all(connection).await.map_err(unavailable)?;
    let hashes = rows.iter().filter_map(|row| row.try_get::<&[u8], _>(0).ok()?.try_into().ok());
    Ok(hashes.collect())
}

async fn delete(connection: &mut SqliteConnection, sql: &'static str, before: Timestamp) -> Result<u64, StoreError> {
    let done = sqlx::query(sql).bind(before.as_ms()).bind(PIECE).execute(connection).await.map_err(unavailable)?;
    Ok(done.rows_affected())
}

/// Bytes in use: free pages inside the file do not count, they are filled again first.
pub(super) async fn used_bytes(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let sql = "select (select page_count from pragma_page_count()) - (select freelist_count from pragma_freelist_count()), \
               (select page_size from pragma_page_size())";
    let row = sqlx::query(sql).fetch_one(connection).await.map_err(unavailable)?;
    let pages: i64 = row.try_get(0).map_err(unavailable)?;
    let page_bytes: i64 = row.try_get(1).map_err(unavailable)?;
    Ok(u64::try_from(pages.saturating_mul(page_bytes)).unwrap_or(0))
}
