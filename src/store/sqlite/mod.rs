//! The store on one machine: SQLite in WAL mode, synchronous=FULL, one connection that writes and a few
//! that read.

mod block;
mod bulk;
mod directory;
mod lock;
mod pack;
mod read;
mod recent;
mod retain;
mod rows;
mod shapes;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, SqlStr, SqliteConnection};

use super::{Reader, StoreError, Writer};

pub use lock::{StoreLock, lock};
pub use write::SqliteWriter;

/// Pages before a commit copies the log into the database: 16 MiB of 4 KiB pages, so that a page which changes often is
/// copied once and not at each thousand pages.
const CHECKPOINT_PAGES: &str = "4000";
/// So many pages with their heads in the log.
const LOG_BYTES: u64 = 4000 * (4096 + 24) + 32;
/// Page cache of the writer, in KiB (negative by SQLite's convention).
const WRITER_CACHE: &str = "-24000";
const READER_CACHE: &str = "-4000";
/// Rows on their way from SQLite's thread: a start reads all, and each time the buffer is full or empty a thread sleeps.
const ROW_COUNT_MAX: usize = 2048;
/// Distinct statements: a few tables times four bucket sizes each.
const STATEMENT_COUNT_MAX: usize = 256;

/// Opens (and makes, and migrates) the database of `sqlite:PATH`.
pub async fn open(url: &str) -> Result<(Box<dyn Writer>, Box<dyn Reader>), StoreError> {
    let bad = |reason: String| StoreError::BadAddress { url: url.to_owned(), reason };
    let options = SqliteConnectOptions::from_str(url).map_err(|cause| bad(cause.to_string()))?;
    let folder = options.get_filename().parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)
            .map_err(|cause| bad(format!("cannot make the folder `{}`: {cause}", folder.display())))?;
    }
    let options = options
        .create_if_missing(true)
        // New databases only. An alert that comes alone changes a row on each of five to eight pages, and waits for all of
        // their bytes to be on disk; larger pages make a batch a little cheaper.
        .page_size(4096)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "memory")
        .statement_cache_capacity(STATEMENT_COUNT_MAX)
        .row_buffer_size(ROW_COUNT_MAX)
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options.clone().pragma("cache_size", WRITER_CACHE))
        .await
        .map_err(unavailable)?;
    migrator().run(&mut connection).await.map_err(|cause| bad(format!("migration: {cause}")))?;
    let directory = directory::Directory::load(&mut connection).await?;
    lay_out_log(options.get_filename());
    let file = OpenFile::of(options.get_filename())?;
    let writer = SqliteWriter::new(connection, directory.clone(), Some(file)).await?;
    let pool = SqlitePoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options.pragma("cache_size", READER_CACHE).pragma("query_only", "true"))
        .await
        .map_err(unavailable)?;
    Ok((Box::new(writer), Box::new(read::SqliteReader::new(pool, directory))))
}

/// Writes the log at its full length before anybody waits for it: a commit into blocks that a file has already is one write and
/// one flush, and the file system has nothing to note. SQLite takes what is no frame of its own for the end of the log.
/// Where there is no room, commits find out.
fn lay_out_log(database: &Path) {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    let laid_out = || -> std::io::Result<()> {
        let mut log = std::fs::OpenOptions::new().append(true).open(&name)?;
        let missing = LOG_BYTES.saturating_sub(log.metadata()?.len());
        std::io::copy(&mut std::io::repeat(0).take(missing), &mut log)?;
        log.sync_data()
    };
    if let Err(cause) = laid_out() {
        tracing::debug!(error = %cause, "the log of the store could not be laid out");
    }
}

/// Opens a database that is there, also one that a daemon is writing to. Changes nothing in it.
pub async fn open_to_read(url: &str) -> Result<Box<dyn Reader>, StoreError> {
    let bad = |reason: String| StoreError::BadAddress { url: url.to_owned(), reason };
    let options = SqliteConnectOptions::from_str(url).map_err(|cause| bad(cause.to_string()))?;
    if !options.get_filename().is_file() {
        return Err(bad(format!("there is no file `{}`", options.get_filename().display())));
    }
    let options = options.create_if_missing(false).busy_timeout(Duration::from_secs(5)).pragma("query_only", "true");
    let mut connection =
        SqliteConnection::connect_with(&options.clone().disable_statement_logging()).await.map_err(unavailable)?;
    let directory = directory::Directory::load(&mut connection).await?;
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(unavailable)?;
    Ok(Box::new(read::SqliteReader::new(pool, directory)))
}

/// The database file as it was opened. SQLite goes on writing to a file that somebody has removed or replaced, and
/// everything acknowledged from then on would be gone with the process.
pub(super) struct OpenFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl OpenFile {
    fn of(path: &Path) -> Result<OpenFile, StoreError> {
        let identity = identity(path)?;
        Ok(OpenFile { path: path.to_owned(), identity })
    }

    /// Costs one `stat`.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if identity(&self.path)? == self.identity {
            return Ok(());
        }
        let reason = format!("`{}` was replaced while it was open", self.path.display());
        Err(StoreError::Unavailable { reason })
    }
}

fn identity(path: &Path) -> Result<(u64, u64), StoreError> {
    let found = std::fs::metadata(path)
        .map_err(|cause| StoreError::Unavailable { reason: format!("`{}`: {cause}", path.display()) })?;
    Ok((found.dev(), found.ino()))
}

fn migrator() -> Migrator {
    let migrations = [
        (1, "tables of the alert road", include_str!("schema.sql")),
        (2, "kept things", include_str!("kept.sql")),
        (3, "deadlines are kept in memory", include_str!("schema_3.sql")),
        (4, "an incident's last word is kept once", include_str!("schema_4.sql")),
        (5, "what was told counts its sinks", include_str!("schema_5.sql")),
    ];
    Migrator {
        migrations: migrations
            .into_iter()
            .map(|(version, description, sql)| {
                Migration::new(
                    version,
                    Cow::Borrowed(description),
                    MigrationType::Simple,
                    SqlStr::from_static(sql),
                    false,
                )
            })
            .collect(),
        ..Migrator::DEFAULT
    }
}

fn unavailable(cause: sqlx::Error) -> StoreError {
    StoreError::Unavailable { reason: cause.to_string() }
}

fn unreadable<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> StoreError {
    move |cause| StoreError::Unreadable { what, reason: cause.to_string() }
}

/// The highest id of a table, 0 when it is empty.
async fn last_id(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, StoreError> {
    let row = sqlx::query(sql).fetch_one(connection).await.map_err(unavailable)?;
    Ok(row.try_get::<Option<i64>, _>(0).map_err(unavailable)?.unwrap_or(0))
}

type Pool = SqlitePool;
