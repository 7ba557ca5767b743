//! What a sender is told, from what became of the parts of its request. Decides nothing about telemetry.

use std::time::Duration;

use crate::io::spans::faces::{Arrival, Fate, Verdict};

/// What a sender is told to wait when a queue has no room.
const COME_BACK_AFTER: Duration = Duration::from_secs(2);

pub(super) fn come_back(reason: &str) -> Verdict {
    Verdict::NotNow { reason: reason.to_owned(), retry_after: COME_BACK_AFTER }
}

/// The first sink's word, for the sender.
pub(super) fn passed(fate: Fate) -> Verdict {
    match fate {
        Fate::Delivered => Verdict::Taken,
        Fate::Partly { rejected, message } => Verdict::Partly { rejected, message },
        Fate::Refused { http, grpc, reason } => Verdict::Passed { http, grpc, reason, retry_after: None },
        Fate::NotNow { http, grpc, reason, retry_after } => {
            let retry_after = Some(retry_after.unwrap_or(COME_BACK_AFTER));
            Verdict::Passed { http, grpc, reason, retry_after }
        }
    }
}

/// What became of the parts of one request so far. Where some were taken, those that were refused for good are a partial
/// success: a sender that heard an error would count all as lost.
pub(super) struct Parts {
    worst: Verdict,
    has_taken: bool,
    rejected: u64,
    reasons: Vec<String>,
}

impl Parts {
    pub(super) const fn new() -> Parts {
        Parts { worst: Verdict::Taken, has_taken: false, rejected: 0, reasons: Vec::new() }
    }

    /// A part with items that is in good hands.
    pub(super) fn taken(&mut self) {
        self.has_taken = true;
    }

    pub(super) fn add(&mut self, verdict: Verdict, item_count: usize) {
        match &verdict {
            Verdict::Taken => self.has_taken |= item_count > 0,
            Verdict::Partly { rejected, message } => {
                self.has_taken |= item_count > 0;
                self.reject(*rejected, message);
            }
            Verdict::Passed { retry_after: None, reason, .. } => self.reject(item_count as u64, reason),
            Verdict::Passed { retry_after: Some(_), .. } | Verdict::NotNow { .. } | Verdict::Malformed { .. } => {}
        }
        self.worst = worse(std::mem::replace(&mut self.worst, Verdict::Taken), verdict);
    }

    fn reject(&mut self, count: u64, reason: &str) {
        self.rejected += count;
        if !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_owned());
        }
    }

    /// What is asked of the sender.
    pub(super) fn verdict(self) -> Verdict {
        match self.worst {
            Verdict::Partly { .. } | Verdict::Passed { retry_after: None, .. } if self.has_taken => {
                Verdict::Partly { rejected: self.rejected, message: self.reasons.join("; ") }
            }
            worst @ (Verdict::Taken
            | Verdict::Partly { .. }
            | Verdict::Passed { .. }
            | Verdict::NotNow { .. }
            | Verdict::Malformed { .. }) => worst,
        }
    }
}

/// Of two answers for parts of one request, the one that asks more of the sender.
fn worse(left: Verdict, right: Verdict) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Taken => 0,
        Verdict::Partly { .. } => 1,
        Verdict::Passed { retry_after: None, .. } => 2,
        Verdict::Passed { retry_after: Some(_), .. } | Verdict::NotNow { .. } => 3,
        Verdict::Malformed { .. } => 4,
    };
    if rank(&right) > rank(&left) { right } else { left }
}

/// Success with a word about what was odd.
pub(super) fn with_warnings(verdict: Verdict, arrival: &Arrival, invalid_id_count: usize) -> Verdict {
    let mut words = Vec::new();
    if !arrival.repairs.is_empty() {
        words.push(format!("mended: {}", arrival.repairs));
    }
    if let Some(overlooked) = arrival.repairs.overlooked() {
        words.push(overlooked.to_string());
    }
    if invalid_id_count > 0 {
        words.push(format!("{invalid_id_count} items have ids of a wrong length and were passed on as they are"));
    }
    if words.is_empty() {
        return verdict;
    }
    let words = words.join("; ");
    match verdict {
        Verdict::Taken => Verdict::Partly { rejected: 0, message: words },
        Verdict::Partly { rejected, message } => Verdict::Partly { rejected, message: format!("{message}; {words}") },
        Verdict::Malformed { .. } | Verdict::NotNow { .. } | Verdict::Passed { .. } => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_asks_most_of_the_sender_decides() {
        let partly = || Verdict::Partly { rejected: 1, message: "one".to_owned() };
        assert_eq!(worse(Verdict::Taken, partly()), partly());
        assert_eq!(worse(come_back("full"), partly()), come_back("full"));
        let refused = passed(Fate::Refused { http: 400, grpc: 3, reason: "bad".to_owned() });
        assert_eq!(worse(refused.clone(), Verdict::Taken), refused);
        assert_eq!(worse(refused, come_back("full")), come_back("full"));
    }

    fn told(parts: impl IntoIterator<Item = (Verdict, usize)>) -> Verdict {
        let mut all = Parts::new();
        parts.into_iter().for_each(|(verdict, item_count)| all.add(verdict, item_count));
        all.verdict()
    }

    #[test]
    fn beside_a_part_that_was_taken_what_is_refused_for_good_is_a_partial_success() {
        let refused = |reason: &str| passed(Fate::Refused { http: 400, grpc: 3, reason: reason.to_owned() });
        let later = || passed(Fate::NotNow { http: 503, grpc: 14, reason: "busy".to_owned(), retry_after: None });
        let partly = |rejected, message: &str| Verdict::Partly { rejected, message: message.to_owned() };
        assert_eq!(told([]), Verdict::Taken);
        assert_eq!(told([(Verdict::Taken, 3), (Verdict::Taken, 0)]), Verdict::Taken);
        assert_eq!(told([(Verdict::Taken, 1), (refused("bad"), 2)]), partly(2, "bad"));
        assert_eq!(
            told([(refused("bad"), 2), (partly(1, "old"), 5), (refused("bad"), 4), (refused("worse"), 8)]),
            partly(15, "bad; old; worse")
        );
        assert_eq!(told([(partly(1, "old"), 5), (partly(2, "new"), 5)]), partly(3, "old; new"));
        for nothing_taken in [vec![], vec![(Verdict::Taken, 0)], vec![(refused("b"), 1)]] {
            let parts = std::iter::once((refused("a"), 2)).chain(nothing_taken);
            assert_eq!(told(parts), refused("a"));
        }
        for again in [come_back("full"), later()] {
            let parts = [(Verdict::Taken, 1), (refused("bad"), 2), (again.clone(), 3), (partly(1, "old"), 4)];
            assert_eq!(told(parts), again);
        }
    }
}
