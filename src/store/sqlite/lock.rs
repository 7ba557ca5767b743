//! One daemon for one database. What a daemon holds in memory about its store is true only while nobody else writes to
//! it. Never blocks readers, and never needs cleaning up: a lock ends with its process.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use tokio::time::Instant;

use crate::store::StoreError;

/// How long a start waits for the daemon that it replaces.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Held while a daemon runs.
#[derive(Debug)]
pub struct StoreLock(#[expect(dead_code, reason = "closing the file ends the lock")] File);

/// Of a file beside the database: SQLite's own locks come and go with its transactions.
pub async fn lock(url: &str) -> Result<StoreLock, StoreError> {
    lock_within(url, PATIENCE).await
}

async fn lock_within(url: &str, patience: Duration) -> Result<StoreLock, StoreError> {
    let bad = |reason: String| StoreError::BadAddress { url: url.to_owned(), reason };
    let options = SqliteConnectOptions::from_str(url).map_err(|cause| bad(cause.to_string()))?;
    let mut name = options.get_filename().as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|cause| bad(format!("cannot make the folder `{}`: {cause}", folder.display())))?;
    }
    let shown = path.display().to_string();
    let failed = |cause: std::io::Error| bad(format!("`{shown}`: {cause}"));
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    let give_up_at = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(StoreLock(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < give_up_at => tokio::time::sleep(LOOK_AGAIN).await,
            Err(TryLockError::WouldBlock) => return Err(bad("another daemon is using it".to_owned())),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_belongs_to_one_daemon_until_that_ends() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/new/t.db", folder.path().display());
        let held = lock_within(&url, Duration::ZERO).await.unwrap();
        let refused = lock_within(&url, Duration::from_millis(1)).await.unwrap_err().to_string();
        assert_eq!(refused, format!("the store `{url}` cannot be opened: another daemon is using it"));
        let other = format!("sqlite:{}/new/other.db", folder.path().display());
        lock_within(&other, Duration::ZERO).await.unwrap();
        let waiting = tokio::spawn(async move { lock_within(&url, Duration::from_secs(60)).await.map(drop) });
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(held);
        waiting.await.unwrap().unwrap();
    }
}
