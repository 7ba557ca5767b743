//! Counts what passes, per Resource: the entry spans of services and their errors. Never keeps a span.

use std::sync::atomic::Ordering;

use crate::io::spans::book::Known;
use crate::otlp::wire::{Block, SeenSpan, Watch};

/// Entry spans and their errors, per block.
#[derive(Default)]
pub(super) struct Observed {
    blocks: Vec<Entries>,
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
        if span.kind != SERVER && span.kind != CONSUMER {
            return;
        }
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, Entries::default());
        }
        let entries = &mut self.blocks[block];
        entries.count += 1;
        entries.error_count += u64::from(span.status == ERROR);
    }
}

impl Observed {
    pub(super) fn add_to(&self, at: usize, block: &Block, known: &Known) {
        known.tally.items.fetch_add(block.item_count as u64, Ordering::Relaxed);
        if let Some(entries) = self.blocks.get(at).filter(|entries| entries.count > 0) {
            known.tally.entries.fetch_add(entries.count, Ordering::Relaxed);
            known.tally.errors.fetch_add(entries.error_count, Ordering::Relaxed);
        }
    }
}
