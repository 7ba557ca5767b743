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
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { listening_since_ms: AtomicI64::new(wall().as_ms()) }
    }
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        wall()
    }

    /// Words heard before this instant may have been repeated while nobody listened, or while the clock
    /// showed another time.
    pub fn listening_since(&self) -> Timestamp {
        Timestamp::from_ms(self.listening_since_ms.load(Ordering::Relaxed))
    }

    pub fn watch(&self) -> JumpWatch {
        JumpWatch { wall: wall(), mono: Instant::now() }
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
        let (now, mono) = (wall(), Instant::now());
        let expected = self.wall.plus(mono.duration_since(self.mono));
        *self = JumpWatch { wall: now, mono };
        let jump = if now.since(expected) > JUMP {
            Jump::Forward(now.since(expected))
        } else if expected.since(now) > JUMP {
            Jump::Backward(expected.since(now))
        } else {
            return None;
        };
        clock.listening_since_ms.store(now.as_ms(), Ordering::Relaxed);
        Some(jump)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one reader of the clock")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::ZERO.plus(since)
}
