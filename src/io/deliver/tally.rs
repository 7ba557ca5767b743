//! What became of requests and deliveries, gathered for the metrics: to count each alone costs a good part
//! of encoding it. Never keeps anything back for longer than its settlement is.

use std::sync::Arc;

use crate::telemetry::Metrics;

/// Counts by a word of a small vocabulary.
#[derive(Debug, Default)]
struct ByWord(Vec<(&'static str, u64)>);

impl ByWord {
    fn add(&mut self, word: &'static str) {
        match self.0.iter_mut().find(|(held, _)| *held == word) {
            Some((_, count)) => *count += 1,
            None => self.0.push((word, 1)),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    attempts: ByWord,
    deliveries: ByWord,
}

impl Tally {
    /// A request, by what its answer meant.
    pub(super) fn attempt(&mut self, meaning: &'static str) {
        self.attempts.add(meaning);
    }

    /// A delivery that is over.
    pub(super) fn delivery(&mut self, outcome: &'static str) {
        self.deliveries.add(outcome);
    }

    pub(super) fn tell(&mut self, metrics: &Metrics, sink: &Arc<str>) {
        self.attempts.0.drain(..).for_each(|(meaning, count)| metrics.attempts(sink, meaning, count));
        self.deliveries.0.drain(..).for_each(|(outcome, count)| metrics.deliveries(sink, outcome, count));
    }
}
