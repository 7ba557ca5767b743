//! Between the committer and one sink: freshly committed deliveries, without a way back through the store.
//! Bounded: what does not fit stays in the store, and the sink reads it from there in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::store::Pending;

/// Deliveries held in memory for one sink. A notice is about 4 KB in memory.
pub const PENDING_COUNT_MAX: usize = 2000;

#[derive(Debug)]
struct Inner {
    fresh: VecDeque<Pending>,
    /// Something was left in the store. While set, nothing is taken here: order is the store's.
    behind: bool,
}

#[derive(Debug)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    woken: Notify,
}

impl Default for Mailbox {
    /// Starts behind: whatever an earlier process left pending is read from the store first.
    fn default() -> Mailbox {
        Mailbox { inner: Mutex::new(Inner { fresh: VecDeque::new(), behind: true }), woken: Notify::new() }
    }
}

impl Mailbox {
    pub fn new() -> Arc<Mailbox> {
        Arc::new(Mailbox::default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Every critical section leaves the queue whole, so a poisoned lock is still good.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the committer after the commit, in the order of ids.
    pub fn post(&self, pending: impl IntoIterator<Item = Pending>) {
        let mut inner = self.lock();
        for item in pending {
            if inner.behind || inner.fresh.len() >= PENDING_COUNT_MAX {
                inner.behind = true;
            } else {
                inner.fresh.push_back(item);
            }
        }
        drop(inner);
        self.woken.notify_one();
    }

    pub fn take(&self, count_max: usize) -> Vec<Pending> {
        let mut inner = self.lock();
        let count = inner.fresh.len().min(count_max);
        inner.fresh.drain(..count).collect()
    }

    /// Whether the store must be read. Only after everything fresh has been taken: that came first.
    pub fn is_behind(&self) -> bool {
        let inner = self.lock();
        inner.behind && inner.fresh.is_empty()
    }

    /// Call *before* the read that is to reach the end: what is committed during the read then comes both
    /// ways, and the reader drops what it has seen.
    pub fn catching_up(&self) {
        self.lock().behind = false;
    }

    /// The read did not reach the end after all.
    pub fn still_behind(&self) {
        let mut inner = self.lock();
        inner.behind = true;
        // What came meanwhile is in the store too, behind what has not been read yet.
        inner.fresh.clear();
    }

    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    pub fn wake(&self) {
        self.woken.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NoticeKind;
    use crate::store::testkit::{START, pending};

    fn post(mailbox: &Mailbox, ids: std::ops::RangeInclusive<u32>) {
        ids.for_each(|id| mailbox.post([pending(id, 1, NoticeKind::Opened, START)]));
    }

    fn ids(taken: &[Pending]) -> Vec<i64> {
        taken.iter().map(|row| row.delivery.id.0).collect()
    }

    #[test]
    fn a_new_mailbox_sends_its_reader_to_the_store_first() {
        let mailbox = Mailbox::default();
        post(&mailbox, 1..=3);
        assert!(mailbox.is_behind());
        assert!(mailbox.take(10).is_empty(), "the store has them, behind what an earlier process left");
    }

    #[test]
    fn what_comes_during_the_read_that_reaches_the_end_is_handed_out_in_order() {
        let mailbox = Mailbox::default();
        mailbox.catching_up();
        post(&mailbox, 1..=5);
        assert!(!mailbox.is_behind());
        assert_eq!(ids(&mailbox.take(2)), [1, 2]);
        assert_eq!(ids(&mailbox.take(10)), [3, 4, 5]);
    }

    #[test]
    fn what_comes_during_a_read_that_does_not_reach_the_end_is_left_to_the_store() {
        let mailbox = Mailbox::default();
        mailbox.catching_up();
        post(&mailbox, 1..=5);
        mailbox.still_behind();
        post(&mailbox, 6..=7);
        assert!(mailbox.take(10).is_empty());
        assert!(mailbox.is_behind());
    }

    #[test]
    fn a_full_mailbox_drops_the_newest_and_says_so_only_after_the_older_ones_are_taken() {
        let full = u32::try_from(PENDING_COUNT_MAX).unwrap();
        let mailbox = Mailbox::default();
        mailbox.catching_up();
        post(&mailbox, 1..=full + 10);
        assert!(!mailbox.is_behind(), "the older ones come first");
        assert_eq!(mailbox.take(usize::MAX).len(), PENDING_COUNT_MAX);
        assert!(mailbox.is_behind());
        post(&mailbox, full + 11..=full + 12);
        assert!(mailbox.take(10).is_empty(), "room again, but order is the store's until it was read");
    }
}
