//! When a fake is unkind, and how. Chance comes from a seed, so that a history can be run again.

/// One way to mistreat a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not taken, and says so.
    Refuse { status: u16, retry_after: Option<&'static str> },
    /// Taken, but the client's own patience ends first.
    TakeThenSilence,
    /// Taken, but the connection is reset before a byte of the answer.
    TakeThenReset,
    /// Taken, the status says so, and the connection breaks in the body.
    TakeThenCutBody,
    /// Not taken, and never answered.
    Hang,
}

pub enum Weather {
    Fair,
    /// The same for every request.
    Always(Fault),
    /// One fault after another, then fair.
    Script(std::collections::VecDeque<Fault>),
    Random(Storm),
}

/// Faults by chance. What hangs holds a lane for as long as the client waits, so those are counted out.
pub struct Storm {
    chance: fastrand::Rng,
    silences_left: u32,
}

impl Weather {
    pub fn storm(seed: u64, silence_count_max: u32) -> Weather {
        Weather::Random(Storm { chance: fastrand::Rng::with_seed(seed), silences_left: silence_count_max })
    }

    pub fn script(faults: &[Fault]) -> Weather {
        Weather::Script(faults.iter().copied().collect())
    }

    pub(super) fn next_fault(&mut self) -> Option<Fault> {
        match self {
            Weather::Fair => None,
            Weather::Always(fault) => Some(*fault),
            Weather::Script(faults) => faults.pop_front(),
            Weather::Random(storm) => storm.next_fault(),
        }
    }
}

impl Storm {
    fn next_fault(&mut self) -> Option<Fault> {
        // A 429 or 503 pauses the whole credential, which is right but slow: rarer than the others.
        match self.chance.u32(0..100) {
            0..8 => Some(Fault::Refuse { status: 500, retry_after: None }),
            8..10 => Some(Fault::Refuse { status: 503, retry_after: Some("1") }),
            10..12 => Some(Fault::Refuse { status: 429, retry_after: Some("1") }),
            12..20 => Some(Fault::TakeThenReset),
            20..26 => Some(Fault::TakeThenCutBody),
            26..29 => self.silence(),
            _ => None,
        }
    }

    fn silence(&mut self) -> Option<Fault> {
        self.silences_left = self.silences_left.checked_sub(1)?;
        Some(if self.chance.bool() { Fault::TakeThenSilence } else { Fault::Hang })
    }
}
