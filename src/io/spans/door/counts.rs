//! What became of every telemetry request, counted without a lock. The scrape reads it; nothing decides by it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Signal;

/// How a request spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Grpc,
    HttpProtobuf,
    HttpJson,
    /// It did not say, or said something we do not know.
    Unknown,
}

impl Transport {
    pub const ALL: [Transport; 4] = [Transport::Grpc, Transport::HttpProtobuf, Transport::HttpJson, Transport::Unknown];

    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Grpc => "grpc",
            Transport::HttpProtobuf => "http_protobuf",
            Transport::HttpJson => "http_json",
            Transport::Unknown => "unknown",
        }
    }
}

/// How a request ended; each one ends in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    Partly,
    /// Bytes that are not what they claim to be.
    Malformed,
    TooLarge,
    TooSlow,
    /// The sender's own deadline passed.
    Late,
    /// Wrong path, method, type or encoding.
    Unsupported,
    /// Without the token of the door.
    Unauthorized,
    /// To be sent again later.
    NotNow,
    /// What the first sink answered, in `through` mode.
    Passed,
    /// The sender broke off.
    Broken,
}

impl Outcome {
    pub const ALL: [Outcome; 11] = [
        Outcome::Taken,
        Outcome::Partly,
        Outcome::Malformed,
        Outcome::TooLarge,
        Outcome::TooSlow,
        Outcome::Late,
        Outcome::Unsupported,
        Outcome::Unauthorized,
        Outcome::NotNow,
        Outcome::Passed,
        Outcome::Broken,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Taken => "taken",
            Outcome::Partly => "partly",
            Outcome::Malformed => "malformed",
            Outcome::TooLarge => "too_large",
            Outcome::TooSlow => "too_slow",
            Outcome::Late => "late",
            Outcome::Unsupported => "unsupported",
            Outcome::Unauthorized => "unauthorized",
            Outcome::NotNow => "not_now",
            Outcome::Passed => "passed",
            Outcome::Broken => "broken",
        }
    }
}

/// One row of what was counted: signal (`none` where the request named none that we know), transport and outcome,
/// and how often.
pub type Count = ([&'static str; 3], u64);

const SIGNALS: usize = Signal::ALL.len() + 1;
const TRANSPORTS: usize = Transport::ALL.len();
const OUTCOMES: usize = Outcome::ALL.len();

/// All counters, one for each combination.
#[derive(Debug)]
pub struct Counts {
    requests: [[[AtomicU64; OUTCOMES]; TRANSPORTS]; SIGNALS],
}

impl Default for Counts {
    fn default() -> Counts {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Counts { requests: std::array::from_fn(|_| std::array::from_fn(|_| zeros())) }
    }
}

/// A request that is under way. One that is dropped before it has an outcome was left by its sender.
pub(super) struct Open<'a> {
    counts: &'a Counts,
    signal: Option<Signal>,
    transport: Transport,
    outcome: Outcome,
}

impl Open<'_> {
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.counts.request(self.signal, self.transport, self.outcome);
    }
}

impl Counts {
    pub(super) fn open(&self, signal: Option<Signal>, transport: Transport) -> Open<'_> {
        Open { counts: self, signal, transport, outcome: Outcome::Broken }
    }

    pub fn request(&self, signal: Option<Signal>, transport: Transport, outcome: Outcome) {
        let signal = signal.map_or(SIGNALS - 1, |signal| signal as usize);
        self.requests[signal][transport as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Every combination that has occurred.
    pub fn read(&self) -> Vec<Count> {
        let names = Signal::ALL.iter().map(|signal| signal.as_str()).chain(["none"]);
        let mut rows = Vec::new();
        for (signal, of_signal) in names.zip(&self.requests) {
            for (transport, of_transport) in Transport::ALL.iter().zip(of_signal) {
                for (outcome, count) in Outcome::ALL.iter().zip(of_transport) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        rows.push(([signal, transport.as_str(), outcome.as_str()], count));
                    }
                }
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_under_its_own_names() {
        let counts = Counts::default();
        counts.request(Some(Signal::Logs), Transport::HttpJson, Outcome::Late);
        counts.request(Some(Signal::Logs), Transport::HttpJson, Outcome::Late);
        counts.request(None, Transport::Unknown, Outcome::Unsupported);
        counts.open(Some(Signal::Logs), Transport::HttpJson).end(Outcome::Late);
        drop(counts.open(Some(Signal::Logs), Transport::HttpJson));
        let logs = (["logs", "http_json", "late"], 3);
        let left = (["logs", "http_json", "broken"], 1);
        let none = (["none", "unknown", "unsupported"], 1);
        assert_eq!(counts.read(), [logs, left, none]);
    }

    #[test]
    fn the_lists_name_each_value_at_its_own_place() {
        assert!(Signal::ALL.iter().enumerate().all(|(place, signal)| *signal as usize == place));
        assert!(Transport::ALL.iter().enumerate().all(|(place, transport)| *transport as usize == place));
        assert!(Outcome::ALL.iter().enumerate().all(|(place, outcome)| *outcome as usize == place));
    }
}
