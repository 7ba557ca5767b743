//! The lanes of one sink: per incident key, what waits, in order, with one at a time under way. Never looks
//! at a clock: callers say what time it is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::model::id::IdMap;
use crate::model::{DeliveryId, DeliveryOutcome, IncidentKey, NoticeKind, Reason, Severity};
use crate::store::Pending;

#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Pending>,
    /// The head is under way or being settled.
    busy: bool,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: IdMap<IncidentKey, Lane>,
    /// Lanes whose head may go now; the urgent first, else in order of arrival.
    urgent: VecDeque<IncidentKey>,
    ready: VecDeque<IncidentKey>,
    /// Lanes whose head waits for its next attempt.
    delayed: BinaryHeap<Reverse<(Instant, IncidentKey)>>,
    /// Which lane a delivery under way belongs to.
    under_way: HashMap<DeliveryId, IncidentKey, RandomState>,
    len: usize,
}

impl Lanes {
    /// Deliveries held, waiting and under way.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds behind all that the lane holds; as its head it waits until `not_before`, where a start before this
    /// one was asked to. Ids only grow, so this keeps the order.
    pub(super) fn push(&mut self, pending: Pending, not_before: Option<Instant>) {
        let key = pending.delivery.key;
        // Nearly all lanes hold one delivery and never another.
        let lane = self.lanes.entry(key).or_insert_with(|| Lane { waiting: VecDeque::with_capacity(1), busy: false });
        lane.waiting.push_back(pending);
        self.len += 1;
        if lane.waiting.len() == 1 && !lane.busy {
            match not_before {
                Some(at) => self.delayed.push(Reverse((at, key))),
                None => self.make_ready(key),
            }
        }
    }

    fn make_ready(&mut self, key: IncidentKey) {
        let Some(head) = self.lanes.get(&key).and_then(|lane| lane.waiting.front()) else { return };
        if is_urgent(head) { self.urgent.push_back(key) } else { self.ready.push_back(key) }
    }

    /// The heads of at most `count_max` ready lanes, and what was dropped on the way because a newer notice
    /// of the lane says it all. Both are then under way until settled.
    pub(super) fn take(&mut self, count_max: usize, now: Instant) -> (Vec<Pending>, Vec<Pending>) {
        while self.delayed.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            if let Some(Reverse((_, key))) = self.delayed.pop() {
                self.make_ready(key);
            }
        }
        let ready_count = self.urgent.len() + self.ready.len();
        let (mut heads, mut skipped) = (Vec::with_capacity(count_max.min(ready_count)), Vec::new());
        while heads.len() < count_max {
            let Some(key) = self.urgent.pop_front().or_else(|| self.ready.pop_front()) else { break };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            while lane.waiting.len() > 1 && says_less(&lane.waiting[0], &lane.waiting[1]) {
                skipped.extend(lane.waiting.pop_front());
                self.len -= 1;
            }
            if let Some(head) = lane.waiting.front() {
                lane.busy = true;
                self.under_way.insert(head.delivery.id, key);
                heads.push(head.clone());
            }
        }
        (heads, skipped)
    }

    /// Notes a finished attempt on the head, for the next one.
    pub(super) fn attempted(&mut self, item: &Pending, attempts: u32, reason: &str) {
        if let Some(head) = self.lanes.get_mut(&item.delivery.key).and_then(|lane| lane.waiting.front_mut())
            && head.delivery.id == item.delivery.id
        {
            head.delivery.attempts = attempts;
            reason.clone_into(&mut head.delivery.reason);
        }
    }

    /// After the commit: the lane goes on, or its head waits until `retry_at`.
    pub(super) fn settled(&mut self, id: DeliveryId, outcome: Option<DeliveryOutcome>, retry_at: Instant) {
        let Some(key) = self.under_way.remove(&id) else { return };
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.busy = false;
        if outcome.is_none() {
            self.delayed.push(Reverse((retry_at, key)));
            return;
        }
        lane.waiting.pop_front();
        self.len -= 1;
        if lane.waiting.is_empty() {
            self.lanes.remove(&key);
        } else {
            self.make_ready(key);
        }
    }

    pub(super) fn next_ready_at(&self) -> Option<Instant> {
        if self.urgent.is_empty() && self.ready.is_empty() {
            self.delayed.peek().map(|Reverse((at, _))| *at)
        } else {
            Some(Instant::now())
        }
    }
}

/// What a bounded credential sends first: pages that wake somebody, and whatever lets somebody sleep again.
fn is_urgent(pending: &Pending) -> bool {
    pending.notice.kind == NoticeKind::Resolved || pending.notice.incident.severity >= Severity::Error
}

/// Whether `later` makes `earlier` unnecessary. The first page and the resolve are always sent; what may have
/// been sent already (attempted, outcome unknown) is sent again.
fn says_less(earlier: &Pending, later: &Pending) -> bool {
    let is_update = |pending: &Pending| matches!(pending.notice.kind, NoticeKind::Changed | NoticeKind::Reminder);
    // For a sink that a further member's route has named, these are the first page.
    let may_be_first = matches!(earlier.notice.reason, Reason::NewSink | Reason::WorseSeverity);
    earlier.delivery.attempts == 0
        && is_update(earlier)
        && !may_be_first
        && (is_update(later) || later.notice.kind == NoticeKind::Resolved)
        && earlier.notice.incident.episode == later.notice.incident.episode
}
