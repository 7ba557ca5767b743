//! What the span road counts: every item that came in ends in exactly one of the outcomes here or in a queue's own
//! counts. Adds numbers and decides nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Signal;
use crate::otlp::json::{Repair, Repairs};

/// What became of an item at the road itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemOutcome {
    /// Offered to the sinks of its Resource and taken by the first.
    Taken,
    /// Part of a block that was taken before: acknowledged, not sent on.
    Resent,
    /// No sink takes it: looked at, and acknowledged.
    Unsent,
    /// The sender was asked to come back.
    NotNow,
    /// The first sink refused it, and the sender was told (`through`).
    Refused,
    /// Its sender went away, or the deadline of its call passed, before there was an answer.
    Abandoned,
}

impl ItemOutcome {
    pub const ALL: [ItemOutcome; 6] = [
        ItemOutcome::Taken,
        ItemOutcome::Resent,
        ItemOutcome::Unsent,
        ItemOutcome::NotNow,
        ItemOutcome::Refused,
        ItemOutcome::Abandoned,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            ItemOutcome::Taken => "taken",
            ItemOutcome::Resent => "resent",
            ItemOutcome::Unsent => "unsent",
            ItemOutcome::NotNow => "not_now",
            ItemOutcome::Refused => "refused",
            ItemOutcome::Abandoned => "abandoned",
        }
    }
}

/// Cells that no registry has are listed by name, as long as there are few of them.
const UNKNOWN_CELL_COUNT_MAX: usize = 64;

#[derive(Debug, Default)]
pub struct Tally {
    items: [[AtomicU64; ItemOutcome::ALL.len()]; Signal::ALL.len()],
    invalid_ids: AtomicU64,
    repairs: [AtomicU64; Repair::ALL.len()],
    omitted_alerts: AtomicU64,
    platforms: Mutex<Platforms>,
    unknown_cells: Mutex<BTreeMap<Box<str>, u64>>,
}

/// By the names of platform and confidence.
type Platforms = BTreeMap<(Box<str>, Box<str>), Arc<PlatformTally>>;

/// By platform and confidence, which are closed sets of few values.
#[derive(Debug, Default)]
pub struct PlatformTally {
    pub items: AtomicU64,
    /// Spans of kind server or consumer.
    pub entries: AtomicU64,
    /// Those with status error.
    pub errors: AtomicU64,
}

/// One line of what was counted: labels in the exposition format, and the number.
pub type Line = (&'static str, String, u64);

impl Tally {
    pub fn items(&self, signal: Signal, outcome: ItemOutcome, count: usize) {
        self.items[signal as usize][outcome as usize].fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn invalid_ids(&self, count: usize) {
        self.invalid_ids.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn repairs(&self, repairs: &Repairs) {
        for (repair, count) in repairs.iter() {
            self.repairs[repair as usize].fetch_add(count, Ordering::Relaxed);
        }
    }

    pub fn platform(&self, platform: &str, confidence: &str) -> Arc<PlatformTally> {
        let mut platforms = self.platforms.lock().unwrap_or_else(PoisonError::into_inner);
        platforms.entry((platform.into(), confidence.into())).or_default().clone()
    }

    /// Records that would have made more alerts than one request may.
    pub fn omitted_alerts(&self, count: u64) {
        self.omitted_alerts.fetch_add(count, Ordering::Relaxed);
    }

    pub fn unknown_cell(&self, raw: &str) {
        let mut cells = self.unknown_cells.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if cells.len() < UNKNOWN_CELL_COUNT_MAX || cells.contains_key(raw) { raw } else { "other" };
        *cells.entry(name.chars().take(64).collect::<String>().into()).or_default() += 1;
    }

    pub fn lines(&self) -> Vec<Line> {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let mut lines = Vec::new();
        for signal in Signal::ALL {
            for outcome in ItemOutcome::ALL {
                let labels = format!("{{signal=\"{}\",outcome=\"{}\"}}", signal.as_str(), outcome.as_str());
                let count = read(&self.items[signal as usize][outcome as usize]);
                lines.push(("tawny_telemetry_items_total", labels, count));
            }
        }
        lines.push(("tawny_telemetry_invalid_ids_total", String::new(), read(&self.invalid_ids)));
        for repair in Repair::ALL {
            let labels = format!("{{repair=\"{}\"}}", repair.as_str());
            lines.push(("tawny_telemetry_repairs_total", labels, read(&self.repairs[repair as usize])));
        }
        lines.push(("tawny_telemetry_alerts_omitted_total", String::new(), read(&self.omitted_alerts)));
        let platforms = self.platforms.lock().unwrap_or_else(PoisonError::into_inner);
        for ((platform, confidence), tally) in platforms.iter() {
            let labels = format!("{{platform=\"{platform}\",confidence=\"{confidence}\"}}");
            lines.push(("tawny_platform_items_total", labels, read(&tally.items)));
        }
        for ((platform, confidence), tally) in platforms.iter() {
            for (outcome, count) in
                [("error", read(&tally.errors)), ("ok", read(&tally.entries).saturating_sub(read(&tally.errors)))]
            {
                let labels = format!("{{platform=\"{platform}\",confidence=\"{confidence}\",outcome=\"{outcome}\"}}");
                lines.push(("tawny_entry_spans_total", labels, count));
            }
        }
        drop(platforms);
        for (cell, count) in self.unknown_cells.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let cell = cell.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            lines.push(("tawny_unknown_cells_total", format!("{{cell=\"{cell}\"}}"), *count));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_platform_and_unknown_cell_has_its_line() {
        let tally = Tally::default();
        tally.items(Signal::Logs, ItemOutcome::Resent, 3);
        tally.platform("eks", "strong").items.fetch_add(2, Ordering::Relaxed);
        tally.platform("eks", "strong").errors.fetch_add(1, Ordering::Relaxed);
        tally.platform("eks", "strong").entries.fetch_add(2, Ordering::Relaxed);
        tally.unknown_cell("c\"9");
        tally.omitted_alerts(7);
        let lines = tally.lines();
        let of = |name: &str, part: &str| {
            lines.iter().find(|line| line.0 == name && line.1.contains(part)).map(|line| line.2)
        };
        assert_eq!(of("tawny_telemetry_items_total", "signal=\"logs\",outcome=\"resent\""), Some(3));
        assert_eq!(of("tawny_platform_items_total", "platform=\"eks\",confidence=\"strong\""), Some(2));
        assert_eq!(of("tawny_entry_spans_total", "outcome=\"ok\""), Some(1));
        assert_eq!(of("tawny_telemetry_alerts_omitted_total", ""), Some(7));
        assert_eq!(of("tawny_unknown_cells_total", "c\\\"9"), Some(1));
    }

    #[test]
    fn unknown_cells_are_bounded_in_number() {
        let tally = Tally::default();
        (0..1000).for_each(|number| tally.unknown_cell(&format!("c{number}")));
        let cells = tally.unknown_cells.lock().unwrap();
        assert_eq!((cells.len(), cells["other"]), (UNKNOWN_CELL_COUNT_MAX + 1, 1000 - UNKNOWN_CELL_COUNT_MAX as u64));
    }
}
