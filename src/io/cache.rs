//! Answers an unchanged resend without touching the store. Holds only what a committed transaction said;
//! losing an entry costs one look into the store and nothing else.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::quality::FixedState;

use crate::incidents::LATE_RELAY;
use crate::model::alert::Voice;
use crate::model::id::IdMap;
use crate::model::{Alert, Identity, SenderId, State, Timestamp};

/// About 100 bytes an entry; enough for every alert of a large company and its replicas.
pub const ENTRY_COUNT_MAX: usize = 400_000;

/// Parts with a lock each: requests are looked up on all cores.
const SHARD_COUNT: usize = 16;
const GENERATION_COUNT_MAX: usize = ENTRY_COUNT_MAX / SHARD_COUNT / 2;

/// A relay's word falls with a resolve of anybody else, of which its entry here knows nothing. So it is asked for in the
/// store well within the time after which a relay that goes on firing opens the incident again.
const RELAY_SPAN_MAX: Duration = Duration::from_secs(LATE_RELAY.as_secs() / 3);

type Key = (Identity, SenderId);

/// What the cache holds of one sender and one alert.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// A message is on its way to the store: until it is committed nothing repeats what stands there.
    UnderWay {
        number: u64,
    },
    /// Messages overtook each other on their way: the next one must ask the store.
    Unsure,
    Known(Known),
}

/// What one sender said last of one alert, as it stands in the store.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Everything that would change a member if it changed, but not the expiry.
    said: u64,
    /// Until when the stored word holds, or an entry for a relay's. Irrelevant for what is not firing.
    expires_at: Timestamp,
}

/// Two generations: when the younger is full, the older one goes. What is asked for stays young.
#[derive(Debug, Default)]
struct Shard {
    young: IdMap<Key, Held>,
    old: IdMap<Key, Held>,
}

impl Shard {
    fn get(&mut self, key: &Key) -> Option<Held> {
        if let Some(held) = self.young.get(key) {
            return Some(*held);
        }
        let held = self.old.remove(key)?;
        self.put(*key, held);
        Some(held)
    }

    fn put(&mut self, key: Key, held: Held) {
        if self.young.len() >= GENERATION_COUNT_MAX {
            // The older map keeps its room and is filled again.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(key, held);
    }
}

#[derive(Default)]
pub struct ResendCache {
    shards: [Mutex<Shard>; SHARD_COUNT],
    marked_count: AtomicU64,
}

/// What to remember of an alert once it is committed.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    key: Key,
    known: Known,
    number: u64,
}

impl ResendCache {
    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        // The maps are spread by the first bytes of the same hash. Every change leaves them whole, so a poisoned
        // lock is still good.
        let shard = &self.shards[usize::from(key.0.0[15]) % SHARD_COUNT];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Call before the message goes to the committer. Whatever comes after it is then no repeat of what was
    /// said before it: a refire must not be dropped because the resolve ahead of it still waits for the disk.
    pub fn mark(&self, alert: &Alert<'_>, received_at: Timestamp) -> Mark {
        let number = self.marked_count.fetch_add(1, Ordering::Relaxed);
        let key = (alert.identity, alert.sender);
        self.shard(&key).put(key, Held::UnderWay { number });
        Mark { key, known: Known { said: said(alert), expires_at: received_at.plus(span(alert)) }, number }
    }

    /// Whether this says again what is stored, with so much of the stored expiry left that it need not be
    /// refreshed yet: at least half of what the new message would give.
    pub fn repeats(&self, alert: &Alert<'_>, received_at: Timestamp) -> bool {
        let key = (alert.identity, alert.sender);
        let held = self.shard(&key).get(&key);
        let Some(Held::Known(known)) = held else { return false };
        if known.said != said(alert) {
            return false;
        }
        alert.state != State::Firing || known.expires_at.since(received_at) * 2 >= span(alert)
    }

    /// Call after the commit, in its order. Only a message that was alone on its way is remembered.
    pub fn remember(&self, mark: Mark) {
        let mut shard = self.shard(&mark.key);
        let after = |held: Option<&Held>| match held {
            Some(Held::UnderWay { number }) if *number == mark.number => Held::Known(mark.known),
            // Pushed out meanwhile, or another one set out.
            None | Some(Held::UnderWay { .. } | Held::Unsure | Held::Known(_)) => Held::Unsure,
        };
        if let Some(held) = shard.young.get_mut(&mark.key) {
            *held = after(Some(held));
        } else {
            let held = after(shard.old.remove(&mark.key).as_ref());
            shard.put(mark.key, held);
        }
    }
}

fn span(alert: &Alert<'_>) -> Duration {
    match alert.voice {
        Voice::Evaluator => alert.holds_for,
        // Half of it is left while it answers.
        Voice::Relay => alert.holds_for.min(RELAY_SPAN_MAX * 2),
    }
}

/// Times of a resolve are part of it: a later end by the same sender is another statement. The promised end
/// of a firing one moves with each message and is not.
fn said(alert: &Alert<'_>) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    alert.state.hash(&mut hasher);
    alert.severity.hash(&mut hasher);
    alert.starts_at.hash(&mut hasher);
    if alert.state != State::Firing {
        alert.ends_at.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, Severity};
    use crate::store::testkit::{START, at, identity};

    const HOLD: Duration = Duration::from_secs(240);

    /// As PagerDuty's and plain JSON's senders speak: no start, no end.
    fn says(state: State) -> Alert<'static> {
        Alert {
            identity: identity(1),
            sender: SenderId(1),
            voice: Voice::Evaluator,
            state,
            starts_at: None,
            ends_at: None,
            holds_for: HOLD,
            severity: Severity::Error,
            name: "HighErrorRate".into(),
            title: "Errors".into(),
            labels: Labels::new(),
            annotations: Labels::new(),
            fields: Labels::new(),
            links: Vec::new(),
        }
    }

    fn commit(cache: &ResendCache, alert: &Alert<'_>, received_at: Timestamp) {
        let mark = cache.mark(alert, received_at);
        cache.remember(mark);
    }

    #[test]
    fn a_repeat_is_known_until_half_of_its_hold_is_over() {
        let cache = ResendCache::default();
        let firing = says(State::Firing);
        assert!(!cache.repeats(&firing, START));
        commit(&cache, &firing, START);
        assert!(cache.repeats(&firing, at(120)));
        assert!(!cache.repeats(&firing, at(121)), "less than half is left");
        assert!(!cache.repeats(&firing, at(100_000)));
    }

    #[test]
    fn a_relay_is_looked_up_again_before_its_going_on_would_open_what_another_has_ended() {
        let cache = ResendCache::default();
        let firing = Alert { voice: Voice::Relay, holds_for: 360 * HOLD, ..says(State::Firing) };
        commit(&cache, &firing, START);
        assert!(cache.repeats(&firing, at(300)));
        assert!(!cache.repeats(&firing, at(301)), "its word may have fallen meanwhile");
    }

    #[test]
    fn fire_resolve_fire_is_never_swallowed_at_any_pace() {
        let cache = ResendCache::default();
        for round in 0..10 {
            for state in [State::Firing, State::Acknowledged, State::Resolved] {
                let alert = says(state);
                assert!(!cache.repeats(&alert, at(round)), "round {round}: {state:?}");
                commit(&cache, &alert, at(round));
                assert!(cache.repeats(&alert, at(round)));
            }
        }
    }

    #[test]
    fn another_sender_another_severity_another_start_and_a_later_end_are_no_repeats() {
        let cache = ResendCache::default();
        commit(&cache, &says(State::Firing), START);
        assert!(!cache.repeats(&Alert { sender: SenderId(2), ..says(State::Firing) }, START));
        assert!(!cache.repeats(&Alert { severity: Severity::Critical, ..says(State::Firing) }, START));
        assert!(!cache.repeats(&Alert { starts_at: Some(START), ..says(State::Firing) }, START));
        assert!(cache.repeats(&Alert { ends_at: Some(at(240)), ..says(State::Firing) }, START), "a promise moves on");
        commit(&cache, &Alert { ends_at: Some(at(1)), ..says(State::Resolved) }, at(1));
        assert!(!cache.repeats(&Alert { ends_at: Some(at(2)), ..says(State::Resolved) }, at(2)));
    }

    #[test]
    fn nothing_is_a_repeat_while_another_word_waits_for_the_commit() {
        let cache = ResendCache::default();
        commit(&cache, &says(State::Firing), START);
        let resolve = cache.mark(&says(State::Resolved), at(1));
        assert!(!cache.repeats(&says(State::Firing), at(2)), "the resolve stands before it in the queue");
        let refire = cache.mark(&says(State::Firing), at(2));
        cache.remember(resolve);
        assert!(!cache.repeats(&says(State::Resolved), at(3)), "the refire stands before it in the queue");
        cache.remember(refire);
        assert!(!cache.repeats(&says(State::Resolved), at(4)));
    }

    #[test]
    fn a_commit_that_failed_is_not_remembered_and_the_next_one_is() {
        let cache = ResendCache::default();
        let _lost = cache.mark(&says(State::Firing), START);
        assert!(!cache.repeats(&says(State::Firing), START));
        commit(&cache, &says(State::Firing), START);
        assert!(cache.repeats(&says(State::Firing), START));
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let cache = ResendCache::default();
        let numbered = |number: usize| {
            let mut bytes = [7; 16];
            // Ids are hashes, and the maps rely on it.
            bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            Alert { identity: Identity(bytes), ..says(State::Firing) }
        };
        commit(&cache, &numbered(0), START);
        for number in 1..GENERATION_COUNT_MAX * 5 {
            commit(&cache, &numbered(number), START);
            if number % 1000 == 0 {
                assert!(cache.repeats(&numbered(0), START), "after {number}");
            }
        }
        assert!(!cache.repeats(&numbered(1), START), "nobody asked for it");
        let held: usize = cache
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap())
            .map(|shard| shard.young.len() + shard.old.len())
            .sum();
        assert!(held <= ENTRY_COUNT_MAX / SHARD_COUNT, "{held}, all of one shard");
    }
}
