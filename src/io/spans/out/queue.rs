//! The queue of one sink: bounded in bytes, refuses at once when it is full, and gives a free lane all it may join.
//! Never holds a lock while anybody waits, and counts everything it took until it is settled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::{Left, Patience};
use crate::io::spans::faces::{Fate, NoRoom, Outlet, Parcel};
use crate::io::spans::workers::Place;
use crate::model::Signal;
use crate::sinks::{TelemetryPlan, TelemetrySink};
use crate::telemetry::{OutletOutcome, OutletTally};

/// Joined requests are at most this many: answers are shared out among them.
const JOINED_COUNT_MAX: usize = 1024;
/// A larger request that is compressed already costs less alone than compressed again with others.
const GRAFTED_ALONE_BYTES: usize = 16 * 1024;
/// A sink that usually answers within this is quick: while it has a request, what is small waits for its answer and
/// shares the next one. A write of its own would cost more than all else that is done for it.
const QUICK: Duration = Duration::from_millis(1);
/// What waits behind one request of a quick sink has no further lane until it is more than this.
const BEHIND_ONE_BYTES_MAX: usize = 64 * 1024;
/// What still waits behind one request after this, or at most twice this, has all lanes again: the sink is not quick.
const GUARD_INTERVAL: Duration = Duration::from_millis(2);
/// Nobody may silence us for longer.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// What a sink holds that is not settled.
pub struct Queue {
    name: Arc<str>,
    sink: Arc<dyn TelemetrySink>,
    plan: TelemetryPlan,
    patience: Patience,
    tally: Arc<OutletTally>,
    state: Mutex<State>,
    /// Something waits behind one request, though there are free lanes.
    deferred: Notify,
    /// A stop whose time is up.
    cut: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// One list per signal: only requests of one signal can be joined.
    waiting: [VecDeque<Waiting>; Signal::ALL.len()],
    next_order: u64,
    /// Inflated bytes that wait or are under way.
    open_bytes: usize,
    /// Lanes that hold no load.
    free_lanes: usize,
    /// Those of them that wait for one.
    idle: Vec<Arc<Bell>>,
    /// Inflated bytes that wait.
    waiting_bytes: usize,
    /// How long an answer usually takes; `None`: nobody knows, or it did not come.
    usual_wait: Option<Duration>,
    is_guarded: bool,
    closed: bool,
    paused_until: Option<Instant>,
    left: Left,
}

/// What the guard of a queue sees.
enum Sight {
    Clear,
    /// The oldest, by its order.
    Waiting(u64),
    Closed,
}

/// How a lane is told that something came, or that nothing will come any more.
pub(super) struct Bell {
    place: Place,
    rung: Notify,
}

impl Bell {
    pub(super) fn here() -> Arc<Bell> {
        Arc::new(Bell { place: Place::here(), rung: Notify::new() })
    }
}

struct Waiting {
    order: u64,
    held: Held,
}

/// A parcel and who wants to know about it.
pub(super) struct Held {
    pub(super) parcel: Parcel,
    told: Option<oneshot::Sender<Fate>>,
}

impl Held {
    /// Whoever wanted to know has gone.
    pub(super) fn is_left(&self) -> bool {
        self.told.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

impl Queue {
    pub(super) fn new(
        name: Arc<str>,
        sink: Arc<dyn TelemetrySink>,
        patience: Patience,
        tally: Arc<OutletTally>,
    ) -> Arc<Queue> {
        let (plan, cut) = (sink.plan().clone(), watch::Sender::new(false));
        let state = Mutex::new(State { free_lanes: plan.in_flight_max.max(1), ..State::default() });
        Arc::new(Queue { name, sink, plan, patience, tally, state, deferred: Notify::new(), cut })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    pub(super) fn tally(&self) -> &OutletTally {
        &self.tally
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next load: what waits longest, and of its signal all that may be joined to it. `None`: nothing will
    /// come any more. Nothing is lost when the wait is given up.
    pub(super) async fn take(&self, bell: &Arc<Bell>) -> Option<Vec<Held>> {
        loop {
            {
                let mut state = self.state();
                let waiting_count: usize = state.waiting.iter().map(VecDeque::len).sum();
                // Where each can have a lane of its own, nothing is joined, unless it waited for an answer that was near.
                let is_behind = waiting_count > state.free_lanes || state.is_quick();
                let load = state.load(if is_behind { self.join_bytes_max() } else { 0 }, self.plan.graft);
                if !load.is_empty() {
                    state.free_lanes = state.free_lanes.saturating_sub(1);
                    state.idle.retain(|idle| !Arc::ptr_eq(idle, bell));
                    if state.waiting.iter().any(|list| !list.is_empty()) {
                        state.wake_one();
                    }
                    return Some(load);
                }
                if state.closed {
                    return None;
                }
                if !state.idle.iter().any(|idle| Arc::ptr_eq(idle, bell)) {
                    state.idle.push(bell.clone());
                }
            }
            bell.rung.notified().await;
        }
    }

    /// A lane has settled its load.
    pub(super) fn free_lane(&self) {
        self.state().free_lanes += 1;
    }

    /// Whether the sink answers so soon that what is small waits for its answer.
    pub(super) fn is_quick(&self) -> bool {
        self.patience != Patience::Pass && self.state().is_quick()
    }

    /// How long the sink took to take a request; `None`: it did not.
    pub(super) fn note(&self, wait: Option<Duration>) {
        let mut state = self.state();
        state.usual_wait = wait.map(|wait| match state.usual_wait {
            Some(usual) => (usual * 7 + wait) / 8,
            None => wait,
        });
    }

    /// Sees to it that nothing waits for long behind one request of a sink that was quick. Ends after
    /// [`Queue::close`].
    pub(super) async fn guard(&self) {
        loop {
            self.deferred.notified().await;
            let mut seen = None;
            loop {
                match self.look(seen) {
                    Sight::Waiting(oldest) => seen = Some(oldest),
                    Sight::Clear => break,
                    Sight::Closed => return,
                }
                sleep(GUARD_INTERVAL).await;
            }
        }
    }

    /// What still waits that waited when the guard looked last gets every free lane.
    fn look(&self, seen: Option<u64>) -> Sight {
        let mut state = self.state();
        let oldest = state.oldest();
        if oldest.is_some() && oldest == seen {
            state.usual_wait = None;
            (0..state.idle.len()).for_each(|_| state.wake_one());
        }
        if state.closed {
            return Sight::Closed;
        }
        state.is_guarded = oldest.is_some();
        oldest.map_or(Sight::Clear, Sight::Waiting)
    }

    /// Whether a parcel waits for a lane that is busy, though others are free.
    fn is_deferred(&self, state: &State, parcel: &Parcel) -> bool {
        let has_lane = state.idle.len() < self.plan.in_flight_max.max(1);
        let is_alone = self.patience == Patience::Pass || goes_alone(self.plan.graft, parcel);
        has_lane && !is_alone && state.is_quick() && state.waiting_bytes <= BEHIND_ONE_BYTES_MAX
    }

    fn join_bytes_max(&self) -> usize {
        match self.patience {
            // An answer must be the answer to what the sender sent.
            Patience::Pass => 0,
            Patience::Retry | Patience::Keep => self.plan.join_bytes_max,
        }
    }

    /// The end of one parcel.
    pub(super) fn settle(&self, held: Held, fate: Fate, outcome: OutletOutcome) {
        let Held { parcel, told } = held;
        let items = parcel.item_count as u64;
        let rejected = match &fate {
            Fate::Partly { rejected, .. } => (*rejected).min(items),
            Fate::Delivered | Fate::Refused { .. } | Fate::NotNow { .. } => 0,
        };
        let (outcome, untold) = match outcome {
            OutletOutcome::Returned | OutletOutcome::Stopped => {
                // Who asked to be told keeps it, also a sender that has left since. Where nobody does it is gone.
                let is_kept = told.map(|told| told.send(fate)).is_some();
                let lost =
                    if outcome == OutletOutcome::Returned { OutletOutcome::GaveUp } else { OutletOutcome::Stopped };
                (if is_kept { OutletOutcome::Returned } else { lost }, None)
            }
            OutletOutcome::Delivered | OutletOutcome::Rejected | OutletOutcome::Refused | OutletOutcome::GaveUp => {
                (outcome, told.map(|told| (told, fate)))
            }
        };
        self.tally.settle(OutletOutcome::Rejected, rejected);
        self.tally.settle(outcome, items - rejected);
        self.tally.release(parcel.byte_count as u64);
        self.state().open_bytes -= parcel.byte_count;
        // Who hears of it finds it counted, and room for the next.
        drop(parcel);
        if let Some((told, fate)) = untold {
            // Whoever asked may have gone since.
            let _ = told.send(fate);
        }
    }

    /// A parcel that a stop has left behind.
    pub(super) fn abandon(&self, held: Held) {
        let items = held.parcel.item_count as u64;
        let reason = "the daemon stops".to_owned();
        let retry_after = None;
        self.settle(held, Fate::NotNow { http: 503, grpc: 14, reason, retry_after }, OutletOutcome::Stopped);
        let mut state = self.state();
        state.left.parcel_count += 1;
        state.left.item_count += items;
    }

    /// The sink asked for silence: no lane begins a request before. Returns how much of it is granted.
    pub(super) fn pause(&self, wait: Duration) -> Duration {
        let granted = wait.min(PAUSE_MAX);
        let until = Instant::now() + granted;
        let mut state = self.state();
        state.paused_until = Some(state.paused_until.map_or(until, |known| known.max(until)));
        granted
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        let mut state = self.state();
        state.paused_until = state.paused_until.filter(|until| *until > Instant::now());
        state.paused_until
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.idle.drain(..).for_each(|idle| idle.rung.notify_one());
        self.deferred.notify_one();
    }

    /// The time of a stop is up: what waits is left, and the lanes leave what they hold.
    pub(super) fn cut(&self) {
        loop {
            let load = self.state().load(0, false);
            if load.is_empty() {
                break;
            }
            load.into_iter().for_each(|held| self.abandon(held));
        }
        self.cut.send_replace(true);
    }

    /// Waits for [`Queue::cut`].
    pub(super) async fn until_cut(&self) {
        // The sender lives as long as the queue.
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }

    pub(super) fn left(&self) -> Left {
        self.state().left
    }
}

/// Whether it is sent as it was compressed.
fn goes_alone(has_grafts: bool, parcel: &Parcel) -> bool {
    has_grafts && parcel.grafted.is_some() && parcel.byte_count > GRAFTED_ALONE_BYTES
}

impl State {
    /// A lane on the thread of whoever asks, if one is idle: another would cost a call to the kernel.
    fn wake_one(&mut self) {
        let here = Place::here();
        let near = self.idle.iter().rposition(|idle| idle.place == here);
        let Some(at) = near.or(self.idle.len().checked_sub(1)) else { return };
        self.idle.swap_remove(at).rung.notify_one();
    }

    fn is_quick(&self) -> bool {
        !self.closed && self.usual_wait.is_some_and(|wait| wait <= QUICK)
    }

    fn oldest(&self) -> Option<u64> {
        self.waiting.iter().filter_map(|list| Some(list.front()?.order)).min()
    }

    fn load(&mut self, join_bytes_max: usize, has_grafts: bool) -> Vec<Held> {
        let first = |list: &VecDeque<Waiting>| list.front().map(|waiting| waiting.order);
        let Some(list) = self.waiting.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| first(list)) else {
            return Vec::new();
        };
        let mut load = Vec::new();
        let mut byte_count = 0_usize;
        while let Some(next) = list.front() {
            let parcel = &next.held.parcel;
            if goes_alone(has_grafts, parcel) {
                if load.is_empty() {
                    load.extend(list.pop_front().map(|waiting| waiting.held));
                }
                break;
            }
            byte_count = byte_count.saturating_add(parcel.byte_count);
            if !load.is_empty() && (byte_count > join_bytes_max || load.len() >= JOINED_COUNT_MAX) {
                break;
            }
            load.extend(list.pop_front().map(|waiting| waiting.held));
        }
        self.waiting_bytes -= load.iter().map(|held| held.parcel.byte_count).sum::<usize>();
        load
    }
}

impl Outlet for Queue {
    fn offer(&self, parcel: Parcel, told: Option<oneshot::Sender<Fate>>) -> Result<(), NoRoom> {
        let (items, byte_count) = (parcel.item_count as u64, parcel.byte_count);
        let signal = parcel.signal;
        let mut state = self.state();
        // What is larger than the whole queue goes through it alone.
        let fits = state.open_bytes == 0 || state.open_bytes.saturating_add(byte_count) <= self.plan.queue_bytes_max;
        if state.closed || !fits {
            drop(state);
            self.tally.no_room(items);
            return Err(NoRoom);
        }
        state.open_bytes += byte_count;
        self.tally.accept(items, byte_count as u64);
        let order = state.next_order;
        state.next_order += 1;
        state.waiting_bytes += byte_count;
        let is_deferred = self.is_deferred(&state, &parcel);
        state.waiting[signal as usize].push_back(Waiting { order, held: Held { parcel, told } });
        if !is_deferred {
            state.wake_one();
        } else if !state.is_guarded {
            state.is_guarded = true;
            drop(state);
            self.deferred.notify_one();
        }
        Ok(())
    }

    fn accepts(&self, signal: Signal) -> bool {
        self.sink.accepts(signal)
    }
}
