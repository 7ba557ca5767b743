//! Blocks of spans that were accepted a moment ago, so that a sender which got no answer and sends again does not
//! double them. Remembers hashes only, for a bounded time and in a bounded number; forgetting one costs a duplicate,
//! which OTLP permits, and never a loss.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use tokio::sync::oneshot;
use twox_hash::XxHash3_128;

/// Independent parts, so that connections rarely wait for each other.
const SHARD_COUNT: usize = 16;
/// Blocks remembered in one generation of a shard: 16 x 2 x 16,384 entries of about 64 bytes are 32 MB at most.
const GENERATION_COUNT_MAX: usize = 16_384;

/// What a block is, told by its hash.
#[derive(Debug)]
pub enum Look {
    /// Never seen: it is the caller's now, who settles it.
    New,
    /// Accepted within the window: acknowledge, forward nothing.
    Accepted,
    /// The same request holds the block already, and what becomes of that one becomes of this.
    Twin,
    /// Another request holds the same block; hears whether it was accepted.
    InFlight(oneshot::Receiver<bool>),
}

#[derive(Debug)]
pub struct Resends {
    window: Duration,
    /// Chosen at start, so that nobody can prepare two blocks with one hash.
    seed: u64,
    shards: [Mutex<Shard>; SHARD_COUNT],
}

/// Two generations: the older one is dropped whole when the younger is old or full.
#[derive(Debug)]
struct Shard {
    young: HashMap<u128, Entry, RandomState>,
    old: HashMap<u128, Entry, RandomState>,
    young_since: Instant,
}

#[derive(Debug)]
enum Entry {
    Accepted(Instant),
    InFlight(Vec<oneshot::Sender<bool>>),
}

/// Blocks that a request has claimed. Whatever it does not settle, because its sender went away, counts as not
/// accepted.
#[derive(Debug)]
pub struct Claims {
    resends: Arc<Resends>,
    hashes: Vec<u128>,
}

impl Resends {
    pub fn new(window: Duration, seed: u64, now: Instant) -> Arc<Resends> {
        let shard = || Shard { young: HashMap::default(), old: HashMap::default(), young_since: now };
        Arc::new(Resends { window, seed, shards: std::array::from_fn(|_| Mutex::new(shard())) })
    }

    pub fn hash(&self, block: &[u8]) -> u128 {
        XxHash3_128::oneshot_with_seed(self.seed, block)
    }

    pub fn claims(self: &Arc<Resends>) -> Claims {
        Claims { resends: self.clone(), hashes: Vec::new() }
    }

    fn look(&self, hash: u128, now: Instant) -> Look {
        let mut shard = self.shard(hash);
        shard.turn(self.window, now);
        let Shard { young, old, .. } = &mut *shard;
        for generation in [&mut *young, old] {
            match generation.get_mut(&hash) {
                Some(Entry::Accepted(at)) if now.saturating_duration_since(*at) <= self.window => {
                    return Look::Accepted;
                }
                Some(Entry::InFlight(waiting)) => {
                    let (tell, told) = oneshot::channel();
                    waiting.push(tell);
                    return Look::InFlight(told);
                }
                Some(Entry::Accepted(_)) => drop(generation.remove(&hash)),
                None => {}
            }
        }
        young.insert(hash, Entry::InFlight(Vec::new()));
        Look::New
    }

    fn settle(&self, hash: u128, is_accepted: bool, now: Instant) {
        let mut shard = self.shard(hash);
        let held = match shard.young.get_mut(&hash) {
            // Where it stands: nearly every block ends so.
            Some(entry) if is_accepted => Some(std::mem::replace(entry, Entry::Accepted(now))),
            Some(_) => shard.young.remove(&hash),
            None => {
                if is_accepted {
                    shard.young.insert(hash, Entry::Accepted(now));
                }
                shard.old.remove(&hash)
            }
        };
        drop(shard);
        if let Some(Entry::InFlight(waiting)) = held {
            for tell in waiting {
                // Who waited may have gone away meanwhile.
                let _ = tell.send(is_accepted);
            }
        }
    }

    fn shard(&self, hash: u128) -> std::sync::MutexGuard<'_, Shard> {
        let place = hash.to_le_bytes()[0] as usize % SHARD_COUNT;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn turn(&mut self, window: Duration, now: Instant) {
        let is_due = now.saturating_duration_since(self.young_since) > window;
        if !is_due && self.young.len() < GENERATION_COUNT_MAX {
            return;
        }
        let before = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        self.young_since = now;
        // A block still in flight is somebody's claim, however old.
        self.young.extend(before.into_iter().filter(|(_, entry)| matches!(entry, Entry::InFlight(_))));
    }
}

impl Claims {
    pub fn look(&mut self, hash: u128, now: Instant) -> Look {
        match self.resends.look(hash, now) {
            Look::New => {
                self.hashes.push(hash);
                Look::New
            }
            // To wait for oneself would end well only if the request is accepted.
            Look::InFlight(_) if self.hashes.contains(&hash) => Look::Twin,
            look @ (Look::InFlight(_) | Look::Accepted | Look::Twin) => look,
        }
    }

    /// All claimed blocks at once: a request is accepted whole or not.
    pub fn settle(mut self, is_accepted: bool, now: Instant) {
        for hash in std::mem::take(&mut self.hashes) {
            self.resends.settle(hash, is_accepted, now);
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        if self.hashes.is_empty() {
            return;
        }
        let now = Instant::now();
        for hash in self.hashes.drain(..) {
            self.resends.settle(hash, false, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn an_accepted_block_is_known_for_the_window_and_not_longer() {
        let start = Instant::now();
        let resends = Resends::new(WINDOW, 7, start);
        let hash = resends.hash(b"block");
        let mut claims = resends.claims();
        assert!(matches!(claims.look(hash, start), Look::New));
        claims.settle(true, start);
        for (after, known) in [(0, true), (59, true), (60, true), (61, false)] {
            let look = resends.claims().look(hash, start + Duration::from_secs(after));
            assert_eq!(matches!(look, Look::Accepted), known, "{after} s after");
        }
    }

    #[test]
    fn a_block_in_flight_shares_its_outcome() {
        let now = Instant::now();
        for is_accepted in [true, false] {
            let resends = Resends::new(WINDOW, 7, now);
            let mut first = resends.claims();
            assert!(matches!(first.look(1, now), Look::New));
            let Look::InFlight(mut told) = resends.claims().look(1, now) else { panic!("it is in flight") };
            assert!(told.try_recv().is_err());
            first.settle(is_accepted, now);
            assert_eq!(told.try_recv(), Ok(is_accepted));
            let again = resends.claims().look(1, now);
            assert_eq!(matches!(again, Look::Accepted), is_accepted);
        }
    }

    #[test]
    fn a_block_that_stands_twice_in_a_request_waits_for_nobody() {
        let now = Instant::now();
        let resends = Resends::new(WINDOW, 7, now);
        let mut claims = resends.claims();
        assert!(matches!(claims.look(1, now), Look::New));
        assert!(matches!(claims.look(1, now), Look::Twin));
        claims.settle(false, now);
        assert!(matches!(resends.claims().look(1, now), Look::New));
    }

    #[test]
    fn a_sender_that_goes_away_leaves_its_blocks_unaccepted() {
        let now = Instant::now();
        let resends = Resends::new(WINDOW, 7, now);
        let mut first = resends.claims();
        first.look(1, now);
        let Look::InFlight(mut told) = resends.claims().look(1, now) else { panic!("it is in flight") };
        drop(first);
        assert_eq!(told.try_recv(), Ok(false));
        assert!(matches!(resends.claims().look(1, now), Look::New));
    }

    #[test]
    fn the_number_of_blocks_is_bounded_and_claims_outlive_the_turn() {
        let now = Instant::now();
        let resends = Resends::new(WINDOW, 7, now);
        let mut held = resends.claims();
        // All in the shard of number 0.
        held.look(0, now);
        for number in 1..(3 * GENERATION_COUNT_MAX as u128) {
            let mut claims = resends.claims();
            claims.look(number << 8, now);
            claims.settle(true, now);
        }
        let shard = resends.shard(0);
        assert!(shard.young.len() + shard.old.len() <= 2 * GENERATION_COUNT_MAX + 1);
        drop(shard);
        assert!(matches!(resends.claims().look(0, now), Look::InFlight(_)));
    }
}
