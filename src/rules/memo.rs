//! Answers of one batch: its alerts often differ only in what no rule wants (the instance, the pod). Holds answers that
//! the rules gave to what looked exactly the same to them, and never one that depends on an alert's identity.

use std::hash::Hasher;

use crate::model::{Alert, Severity, TagName};

use super::decide::Program;
use super::facts::{Facts, Key, Keys, Present, Scopes};
use super::hash::FastHasher;
use super::stamp::Stamped;
use super::{Decision, Origin};

/// Different answers kept: more than a batch of 256 has in practice, few enough to search one by one.
const KNOWN_COUNT_MAX: usize = 64;

#[derive(Debug, Default)]
pub struct Memo {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    hash: u64,
    name: Box<str>,
    severity: Severity,
    /// What the rules were shown, and nothing of what was absent.
    values: Vec<(Key, Box<str>)>,
    decision: Decision,
}

/// What stands in an alert, as far as it had to be looked up.
pub(super) enum Seen<'a> {
    Present(Present<'a>),
    Facts(Facts<'a>),
}

impl<'a> Seen<'a> {
    pub(super) fn into_facts(self, keys: &Keys) -> Facts<'a> {
        match self {
            Seen::Present(present) => keys.spread(present),
            Seen::Facts(facts) => facts,
        }
    }
}

impl Memo {
    pub(super) fn decide<'a>(
        &mut self,
        program: &Program,
        alert: &'a Alert<'a>,
        origin: Origin<'a>,
    ) -> (Decision, Seen<'a>) {
        let present = program.keys.present(&Scopes::of_alert(alert, origin));
        let shown = program.looks.shown(program, &present);
        let mut hasher = FastHasher::default();
        hasher.write(alert.name.as_bytes());
        shown.iter().for_each(|(_, value)| hasher.write(value.as_bytes()));
        let hash = hasher.finish();
        if let Some(known) = self.known.iter().find(|known| known.hash == hash && known.is_same(alert, &shown)) {
            return (known.decision.clone(), Seen::Present(present));
        }
        let facts = program.keys.spread(present);
        let decision = program.decide_on(&facts, alert, origin, &Stamped::default()).decision;
        // Without a service the key is made of the identity, which is not compared here.
        if self.known.len() < KNOWN_COUNT_MAX && decision.tags.get(TagName::Service).is_some() {
            self.known.push(Known {
                hash,
                name: alert.name.as_ref().into(),
                severity: alert.severity,
                values: shown.into_iter().map(|(key, value)| (key, value.into())).collect(),
                decision: decision.clone(),
            });
        }
        (decision, Seen::Facts(facts))
    }
}

impl Known {
    fn is_same(&self, alert: &Alert<'_>, shown: &[(Key, &str)]) -> bool {
        self.severity == alert.severity
            && self.name.as_ref() == alert.name
            && self.values.len() == shown.len()
            && self.values.iter().zip(shown).all(|((held, text), (key, value))| held == key && **text == **value)
    }
}
