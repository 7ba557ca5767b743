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

/// Of two answers for parts of one request, the one that asks more of the sender.
pub(super) fn worse(left: Verdict, right: Verdict) -> Verdict {
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
}
