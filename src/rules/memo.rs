//! Answers that were given before: alerts often differ only in what no rule wants (the instance, the pod) or in their name.
//! Holds what the rules said to what looked exactly the same to them, and never what depends on an alert's identity.

use std::hash::Hasher;
use std::sync::Arc;

use crate::model::{Alert, TagName};

use super::decide::{Ground, Program};
use super::facts::{Facts, Keys, Names, Present, Scopes};
use super::hash::{FastHasher, FastMap};
use super::stamp::Stamped;
use super::{Decision, Origin};

/// Grounds kept: what a company has of services, cells and severities that something is wrong with at a time. Each is
/// about two thousand bytes. They lie in sets, by their hash, and in a full set a new one pushes out the oldest.
const SET_COUNT: usize = 256;
const SET_GROUND_COUNT_MAX: usize = 4;
/// An alert that shows the rules more than this is not remembered.
const SHOWN_BYTES_MAX: usize = 2048;
/// Different decisions kept: as many as a batch of 256 has alerts.
const DECISION_COUNT_MAX: usize = 256;

/// Belongs to one set of rules. Grounds are kept for as long as it lives, decisions until [`Memo::end_batch`].
#[derive(Debug, Default)]
pub struct Memo {
    /// Of the alert before.
    names: Names,
    /// What the alert in hand shows the rules.
    shown: Vec<u8>,
    /// By the hash of what was shown. Empty until the first is kept.
    grounds: Vec<[Option<Known>; SET_GROUND_COUNT_MAX]>,
    decisions: FastMap<u64, Told>,
}

#[derive(Debug)]
struct Known {
    hash: u64,
    shown: Box<[u8]>,
    ground: Arc<Ground>,
}

/// A decision on the ground it stands on.
#[derive(Debug)]
struct Told {
    ground: Arc<Ground>,
    /// Of the alert, where it is not the class itself.
    name: Option<Box<str>>,
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
    /// Forgets the decisions: a batch rarely brings what the one before it brought.
    pub fn end_batch(&mut self) {
        self.decisions.clear();
    }

    pub(super) fn decide<'a>(
        &mut self,
        program: &Program,
        alert: &'a Alert<'a>,
        origin: Origin<'a>,
    ) -> (Decision, Seen<'a>) {
        let present = program.keys.present_again(&Scopes::of_alert(alert, origin), &mut self.names);
        self.shown.clear();
        self.shown.push(alert.severity as u8);
        if program.routes_ask_class {
            self.shown.extend_from_slice(alert.name.as_bytes());
            self.shown.push(0xff);
        }
        program.looks.write(program, &present, &mut self.shown);
        let mut hasher = FastHasher::default();
        hasher.write(&self.shown);
        let hash = hasher.finish();
        let (ground, seen) = match self.ground(hash) {
            Some(ground) => (ground, Seen::Present(present)),
            None => {
                let facts = program.keys.spread(present);
                let ground = Arc::new(program.ground(&facts, alert, &Stamped::default()));
                self.keep(hash, &ground);
                (ground, Seen::Facts(facts))
            }
        };
        hasher.write(alert.name.as_bytes());
        (self.conclude(hasher.finish(), program, ground, alert, origin), seen)
    }

    fn ground(&self, hash: u64) -> Option<Arc<Ground>> {
        let mut known = self.grounds.get(set_of(hash))?.iter().flatten();
        let known = known.find(|known| known.hash == hash && *known.shown == *self.shown)?;
        Some(Arc::clone(&known.ground))
    }

    fn keep(&mut self, hash: u64, ground: &Arc<Ground>) {
        if self.shown.len() > SHOWN_BYTES_MAX {
            return;
        }
        if self.grounds.is_empty() {
            self.grounds.resize_with(SET_COUNT, Default::default);
        }
        let set = &mut self.grounds[set_of(hash)];
        set.rotate_right(1);
        set[0] = Some(Known { hash, shown: self.shown.as_slice().into(), ground: Arc::clone(ground) });
    }

    /// The decision on this ground, looked up when an alert of this batch had the same name.
    fn conclude(
        &mut self,
        hash: u64,
        program: &Program,
        ground: Arc<Ground>,
        alert: &Alert<'_>,
        origin: Origin<'_>,
    ) -> Decision {
        if let Some(told) = self.decisions.get(&hash).filter(|told| told.is_on(&ground, &alert.name)) {
            return told.decision.clone();
        }
        let decision = program.conclude(&ground, alert, origin);
        // Without a service the key is made of the identity, which is not compared here.
        if self.decisions.len() < DECISION_COUNT_MAX && decision.tags.get(TagName::Service).is_some() {
            let name = (*decision.class != *alert.name).then(|| Box::from(alert.name.as_ref()));
            self.decisions.insert(hash, Told { ground, name, decision: decision.clone() });
        }
        decision
    }
}

fn set_of(hash: u64) -> usize {
    usize::try_from(hash % SET_COUNT as u64).expect("less than the count")
}

impl Told {
    fn is_on(&self, ground: &Arc<Ground>, name: &str) -> bool {
        Arc::ptr_eq(&self.ground, ground) && self.name.as_deref().unwrap_or(&self.decision.class) == name
    }
}
