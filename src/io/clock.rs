//! The only place that reads the clock, and the one that notices when somebody moves it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::model::Timestamp;

/// A difference between the wall clock and the monotonic one that no slewing explains.
const JUMP: Duration = Duration::from_secs(30);

/// Wall time, and since when we have been listening without a gap in it.
#[derive(Debug)]
pub struct Clock {
    listening_since_ms: AtomicI64,
    #[cfg(test)]
    by_hand: Option<ByHand>,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            listening_since_ms: AtomicI64::new(wall().as_ms()),
            #[cfg(test)]
            by_hand: None,
        }
    }
}

/// A wall clock that goes with tokio's time, which tests turn, and that can be set wrong.
#[cfg(test)]
#[derive(Debug)]
struct ByHand {
    started: Instant,
    wall_ms: AtomicI64,
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        #[cfg(test)]
        if let Some(by_hand) = &self.by_hand {
            let wall = Timestamp::from_ms(by_hand.wall_ms.load(Ordering::Relaxed));
            return wall.plus(by_hand.started.elapsed());
        }
        wall()
    }

    /// Shows `start` now, and goes with tokio's time from here on.
    #[cfg(test)]
    pub(crate) fn by_hand(start: Timestamp) -> Clock {
        let by_hand = ByHand { started: Instant::now(), wall_ms: AtomicI64::new(start.as_ms()) };
        Clock { listening_since_ms: AtomicI64::new(start.as_ms()), by_hand: Some(by_hand) }
    }

    /// Somebody sets the clock.
    #[cfg(test)]
    pub(crate) fn move_by_ms(&self, ms: i64) {
        let by_hand = self.by_hand.as_ref().expect("only a clock by hand is moved");
        by_hand.wall_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Words heard before this instant may have been repeated while nobody listened, or while the clock
    /// showed another time.
    pub fn listening_since(&self) -> Timestamp {
        Timestamp::from_ms(self.listening_since_ms.load(Ordering::Relaxed))
    }

    pub fn watch(&self) -> JumpWatch {
        JumpWatch { wall: self.now(), mono: Instant::now() }
    }
}

/// Compares how far both clocks have come.
#[derive(Debug)]
pub struct JumpWatch {
    wall: Timestamp,
    mono: Instant,
}

/// The wall clock was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    Forward(Duration),
    Backward(Duration),
}

impl JumpWatch {
    /// Call about once a second. After a jump the listening begins anew, so that a step of the clock never
    /// closes what is only waiting for its next word.
    pub fn look(&mut self, clock: &Clock) -> Option<Jump> {
        let jump = self.notice(clock)?;
        clock.listening_since_ms.store(self.wall.as_ms(), Ordering::Relaxed);
        Some(jump)
    }

    /// The same for who only measures spans of his own: nobody's listening begins anew.
    pub fn notice(&mut self, clock: &Clock) -> Option<Jump> {
        let (now, mono) = (clock.now(), Instant::now());
        let expected = self.wall.plus(mono.duration_since(self.mono));
        *self = JumpWatch { wall: now, mono };
        if now.since(expected) > JUMP {
            Some(Jump::Forward(now.since(expected)))
        } else if expected.since(now) > JUMP {
            Some(Jump::Backward(expected.since(now)))
        } else {
            None
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one reader of the clock")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::ZERO.plus(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_ms(1_795_394_412_000);

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_only_goes_is_not_a_jump_however_seldom_one_looks() {
        let clock = Clock::by_hand(START);
        let mut watch = clock.watch();
        for seconds in [1, 1, 3600, 86_400] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            // Slewing may take half a second in a thousand; a look a second apart sees nothing of it.
            clock.move_by_ms(400);
            assert_eq!(watch.look(&clock), None);
        }
        assert_eq!(clock.listening_since(), START, "the listening went on");
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_in_either_direction_is_seen_once_and_the_listening_begins_anew() {
        let clock = Clock::by_hand(START);
        let mut watch = clock.watch();
        for (step_ms, jump) in [
            (31_000, Jump::Forward(Duration::from_secs(31))),
            (-31_000, Jump::Backward(Duration::from_secs(31))),
            (3_600_000 * 24 * 365, Jump::Forward(Duration::from_secs(3600 * 24 * 365))),
            (-3_600_000 * 24 * 365, Jump::Backward(Duration::from_secs(3600 * 24 * 365))),
        ] {
            tokio::time::advance(Duration::from_secs(1)).await;
            clock.move_by_ms(step_ms);
            assert_eq!(watch.look(&clock), Some(jump));
            assert_eq!(clock.listening_since(), clock.now());
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(watch.look(&clock), None, "one step is told once");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn thirty_seconds_are_not_yet_a_jump() {
        let clock = Clock::by_hand(START);
        let mut watch = clock.watch();
        clock.move_by_ms(30_000);
        assert_eq!(watch.look(&clock), None);
        clock.move_by_ms(-30_000);
        assert_eq!(watch.look(&clock), None);
    }
}
