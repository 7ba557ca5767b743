//! Gives each item of a request that was accepted its one outcome, also where the request is dropped on its way because
//! its sender went away. Counts, and decides nothing.

use crate::io::spans::faces::Verdict;
use crate::io::spans::tally::{ItemOutcome, Tally};
use crate::model::Signal;

/// What an answer means for the items it is about.
pub(super) const fn outcome(verdict: &Verdict) -> ItemOutcome {
    match verdict {
        Verdict::Taken | Verdict::Partly { .. } => ItemOutcome::Taken,
        Verdict::NotNow { .. } | Verdict::Passed { retry_after: Some(_), .. } => ItemOutcome::NotNow,
        Verdict::Passed { retry_after: None, .. } | Verdict::Malformed { .. } => ItemOutcome::Refused,
    }
}

pub(super) struct Ledger<'a> {
    tally: &'a Tally,
    signal: Signal,
    /// Items without an outcome.
    open_count: usize,
}

impl<'a> Ledger<'a> {
    pub(super) const fn new(tally: &'a Tally, signal: Signal, item_count: usize) -> Ledger<'a> {
        Ledger { tally, signal, open_count: item_count }
    }

    pub(super) fn settle(&mut self, outcome: ItemOutcome, item_count: usize) {
        debug_assert!(item_count <= self.open_count, "no item ends twice");
        self.open_count = self.open_count.saturating_sub(item_count);
        self.tally.items(self.signal, outcome, item_count);
    }

    pub(super) fn settle_all(&mut self, outcome: ItemOutcome) {
        self.settle(outcome, self.open_count);
    }
}

impl Drop for Ledger<'_> {
    fn drop(&mut self) {
        if self.open_count > 0 {
            self.tally.items(self.signal, ItemOutcome::Abandoned, self.open_count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_outcome_when_the_request_is_dropped_was_abandoned() {
        let tally = Tally::default();
        let mut ledger = Ledger::new(&tally, Signal::Traces, 7);
        ledger.settle(ItemOutcome::Taken, 3);
        drop(ledger);
        Ledger::new(&tally, Signal::Traces, 5).settle_all(ItemOutcome::NotNow);
        let lines = tally.lines();
        let of = |outcome: &str| {
            let labels = format!("{{signal=\"traces\",outcome=\"{outcome}\"}}");
            lines.iter().find(|line| line.1 == labels).map(|line| line.2)
        };
        assert_eq!([of("taken"), of("abandoned"), of("not_now")], [Some(3), Some(4), Some(5)]);
    }
}
