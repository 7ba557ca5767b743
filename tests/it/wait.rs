//! Waiting for conditions. Never waits without a deadline, and never lets a test depend on how long it took.

use std::time::Duration;

/// Long enough for a loaded machine with two cores; a test that needs it all has failed anyway.
pub const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks until `look` finds something. The panic says what was waited for.
pub async fn until<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {} s in vain for {what}", patience.as_secs());
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The same for a plain condition.
pub async fn until_true(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> bool) {
    until(what, patience, async || look().await.then_some(())).await;
}
