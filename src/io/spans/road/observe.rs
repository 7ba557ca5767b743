//! Counts what passes, per Resource: the entry spans of services and their errors. Never keeps a span.

use std::sync::atomic::Ordering;

use crate::io::spans::book::Known;
use crate::otlp::wire::{Block, SeenSpan, Watch};

/// Entry spans and their errors, per block.
#[derive(Default)]
pub(super) struct Observed {
    /// Of the blocks before `at`.
    before: Vec<Entries>,
    at: usize,
    /// Of the block that is looked at now.
    here: Entries,
}

#[derive(Clone, Copy, Default)]
struct Entries {
    count: u64,
    error_count: u64,
}

const SERVER: i32 = 2;
const CONSUMER: i32 = 5;
const ERROR: i32 = 2;

impl Watch for Observed {
    #[inline]
    fn span(&mut self, block: usize, span: &SeenSpan<'_>) {
        if block != self.at {
            self.turn(block);
        }
        let is_entry = u64::from(span.kind == SERVER || span.kind == CONSUMER);
        self.here.count += is_entry;
        self.here.error_count += is_entry & u64::from(span.status == ERROR);
    }
}

impl Observed {
    /// Blocks come in their order; some have no span.
    #[cold]
    fn turn(&mut self, block: usize) {
        self.before.resize(block, Entries::default());
        self.before[self.at] = std::mem::take(&mut self.here);
        self.at = block;
    }

    pub(super) fn add_to(&self, at: usize, block: &Block, known: &Known) {
        known.tally.items.fetch_add(block.item_count as u64, Ordering::Relaxed);
        let entries = if at == self.at { Some(&self.here) } else { self.before.get(at) };
        if let Some(entries) = entries.filter(|entries| entries.count > 0) {
            known.tally.entries.fetch_add(entries.count, Ordering::Relaxed);
            known.tally.errors.fetch_add(entries.error_count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_under_the_block_that_holds_them() {
        let mut observed = Observed::default();
        let span = |kind, status| SeenSpan { kind, status, ..SeenSpan::default() };
        for (block, kind, status) in
            [(0, SERVER, 0), (0, 3, ERROR), (2, CONSUMER, ERROR), (2, SERVER, 1), (3, 1, ERROR)]
        {
            observed.span(block, &span(kind, status));
        }
        let counts = |at: usize| if at == observed.at { observed.here } else { observed.before[at] };
        let seen: Vec<_> = (0..4).map(|at| (counts(at).count, counts(at).error_count)).collect();
        assert_eq!(seen, [(1, 0), (0, 0), (2, 1), (0, 0)]);
    }
}
