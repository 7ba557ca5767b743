//! The way of alerts that rules make of telemetry: into the same intake as every source's, and the sender hears of it
//! only after the commit. Costs nothing where no rule asks.

use std::sync::Arc;

use super::book::{Book, SOURCE, origin};
use super::tally::Tally;
use crate::io::intake::{Intake, Made};
use crate::model::{Signal, Tags};
use crate::otlp::alerts::{Asked, Found};
use crate::rules::{AlertRules, Records, RuleSet};

pub struct AlertWay(Arc<Intake>);

/// The rules that ask for what a request holds.
pub(super) struct Asking<'a> {
    rules: AlertRules<'a>,
    records: Records,
}

impl<'a> Asking<'a> {
    /// For a block whose Resource has these tags.
    pub(super) fn of(&self, tags: &'a Tags) -> Asked<'a> {
        Asked { rules: self.rules, records: self.records, kind: SOURCE, instance: SOURCE, tags }
    }
}

impl AlertWay {
    pub fn new(intake: Arc<Intake>) -> AlertWay {
        AlertWay(intake)
    }

    /// `None` where no rule makes alerts of this signal.
    pub(super) fn asked(rules: &RuleSet, signal: Signal) -> Option<Asking<'_>> {
        let records = match signal {
            Signal::Traces => Records::Spans,
            Signal::Logs => Records::Logs,
            Signal::Metrics | Signal::Profiles => return None,
        };
        rules.alerts_from(records).map(|rules| Asking { rules, records })
    }

    /// Returns when the store holds what is new; else the reason for which the sender must come back.
    pub(super) async fn take(&self, found: Found, book: &Book, tally: &Tally) -> Result<(), String> {
        let Found { alerts, omitted_count, .. } = found;
        tally.omitted_alerts(omitted_count);
        if alerts.is_empty() {
            return Ok(());
        }
        let made = Made { kind: SOURCE, origin: origin(), alerts, rules: &book.rules, stamped: &book.stamped };
        self.0.take_made(made).await
    }
}
