//! What a sink of telemetry has taken and what became of it. Everything taken is settled in one named outcome or
//! is open: the difference is nothing, at any moment that nobody is counting in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::{Outlets, about};

/// How items end that a queue took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutletOutcome {
    Delivered,
    /// The sink took the rest of the request.
    Rejected,
    /// The sink will never take the request.
    Refused,
    /// Tried again until the time was up.
    GaveUp,
    /// Still here when a stop ended.
    Stopped,
    /// Handed back to who keeps it or will send it again: nothing is lost.
    Returned,
}

impl OutletOutcome {
    pub const ALL: [OutletOutcome; 6] = [
        OutletOutcome::Delivered,
        OutletOutcome::Rejected,
        OutletOutcome::Refused,
        OutletOutcome::GaveUp,
        OutletOutcome::Stopped,
        OutletOutcome::Returned,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            OutletOutcome::Delivered => "delivered",
            OutletOutcome::Rejected => "rejected",
            OutletOutcome::Refused => "refused",
            OutletOutcome::GaveUp => "gave_up",
            OutletOutcome::Stopped => "stopped",
            OutletOutcome::Returned => "returned",
        }
    }
}

/// What a request to a sink ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutletAnswer {
    Taken,
    Partly,
    Refused,
    NotNow,
    /// No connection, a broken one, or the time was up.
    None,
}

impl OutletAnswer {
    pub const ALL: [OutletAnswer; 5] =
        [OutletAnswer::Taken, OutletAnswer::Partly, OutletAnswer::Refused, OutletAnswer::NotNow, OutletAnswer::None];

    pub const fn as_str(self) -> &'static str {
        match self {
            OutletAnswer::Taken => "taken",
            OutletAnswer::Partly => "partly",
            OutletAnswer::Refused => "refused",
            OutletAnswer::NotNow => "not_now",
            OutletAnswer::None => "none",
        }
    }
}

/// Counts of one sink.
#[derive(Debug, Default)]
pub struct OutletTally {
    accepted: AtomicU64,
    no_room: AtomicU64,
    open_bytes: AtomicU64,
    settled: [AtomicU64; OutletOutcome::ALL.len()],
    answers: [AtomicU64; OutletAnswer::ALL.len()],
}

impl OutletTally {
    pub fn accept(&self, items: u64, bytes: u64) {
        self.accepted.fetch_add(items, Ordering::Relaxed);
        self.open_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The queue was full; whoever offered still has it.
    pub fn no_room(&self, items: u64) {
        self.no_room.fetch_add(items, Ordering::Relaxed);
    }

    pub fn settle(&self, outcome: OutletOutcome, items: u64) {
        self.settled[outcome as usize].fetch_add(items, Ordering::Relaxed);
    }

    /// All items of a parcel are settled.
    pub fn release(&self, bytes: u64) {
        self.open_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn answer(&self, answer: OutletAnswer) {
        self.answers[answer as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn accepted_count(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn no_room_count(&self) -> u64 {
        self.no_room.load(Ordering::Relaxed)
    }

    pub fn settled_count(&self, outcome: OutletOutcome) -> u64 {
        self.settled[outcome as usize].load(Ordering::Relaxed)
    }

    pub fn answer_count(&self, answer: OutletAnswer) -> u64 {
        self.answers[answer as usize].load(Ordering::Relaxed)
    }

    /// Items that wait or are under way.
    pub fn open_count(&self) -> u64 {
        let settled: u64 = OutletOutcome::ALL.iter().map(|outcome| self.settled_count(*outcome)).sum();
        self.accepted_count().saturating_sub(settled)
    }

    /// Bytes that wait or are under way.
    pub fn open_bytes(&self) -> u64 {
        self.open_bytes.load(Ordering::Relaxed)
    }
}

/// Counts of the spool.
#[derive(Debug, Default)]
pub struct SpoolTally {
    pub bytes: AtomicU64,
    /// Pairs of a request and a sink that has not settled it.
    pub open: AtomicU64,
    pub not_now: AtomicU64,
    pub damaged: AtomicU64,
}

/// What is seen of one sink: values with the label that tells them apart.
type Reading = fn(&OutletTally) -> Vec<(Option<(&'static str, &'static str)>, u64)>;

type Read = Box<dyn Fn(&mut dyn FnMut(u64, &[KeyValue])) + Send + Sync>;

/// One number of the spool.
type SpoolReading = fn(&SpoolTally) -> &AtomicU64;

pub(super) fn observe(meter: &Meter, outlets: &Outlets) {
    let counters: [(&'static str, Reading); 4] = [
        ("tawny_outlet_accepted", |tally| vec![(None, tally.accepted_count())]),
        ("tawny_outlet_settled", |tally| {
            let settled = |outcome: OutletOutcome| (Some(("outcome", outcome.as_str())), tally.settled_count(outcome));
            OutletOutcome::ALL.map(settled).to_vec()
        }),
        ("tawny_outlet_no_room", |tally| vec![(None, tally.no_room_count())]),
        ("tawny_outlet_requests", |tally| {
            let answered = |answer: OutletAnswer| (Some(("answer", answer.as_str())), tally.answer_count(answer));
            OutletAnswer::ALL.map(answered).to_vec()
        }),
    ];
    for (name, reading) in counters {
        let read = each(outlets, reading);
        meter
            .u64_observable_counter(name)
            .with_description(about(&format!("{name}_total")))
            .with_callback(move |observer| read(&mut |value, labels| observer.observe(value, labels)))
            .build();
    }
    let gauges: [(&'static str, Reading); 2] = [
        ("tawny_outlet_open", |tally| vec![(None, tally.open_count())]),
        ("tawny_outlet_open_bytes", |tally| vec![(None, tally.open_bytes())]),
    ];
    for (name, reading) in gauges {
        let read = each(outlets, reading);
        meter
            .u64_observable_gauge(name)
            .with_description(about(name))
            .with_callback(move |observer| read(&mut |value, labels| observer.observe(value, labels)))
            .build();
    }
}

fn each(outlets: &Outlets, reading: Reading) -> Read {
    let outlets = outlets.clone();
    Box::new(move |observe| {
        for (sink, tally) in outlets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (label, value) in reading(tally) {
                let mut labels = vec![KeyValue::new("sink", sink.clone())];
                labels.extend(label.map(|(name, value)| KeyValue::new(name, value)));
                observe(value, &labels);
            }
        }
    })
}

pub(super) fn observe_spool(meter: &Meter, spool: &Arc<SpoolTally>) {
    let gauges: [(&'static str, SpoolReading); 2] =
        [("tawny_spool_bytes", |spool| &spool.bytes), ("tawny_spool_open", |spool| &spool.open)];
    for (name, reading) in gauges {
        let spool = spool.clone();
        meter
            .u64_observable_gauge(name)
            .with_description(about(name))
            .with_callback(move |observer| observer.observe(reading(&spool).load(Ordering::Relaxed), &[]))
            .build();
    }
    let counters: [(&'static str, SpoolReading); 2] =
        [("tawny_spool_not_now", |spool| &spool.not_now), ("tawny_spool_damaged", |spool| &spool.damaged)];
    for (name, reading) in counters {
        let spool = spool.clone();
        meter
            .u64_observable_counter(name)
            .with_description(about(&format!("{name}_total")))
            .with_callback(move |observer| observer.observe(reading(&spool).load(Ordering::Relaxed), &[]))
            .build();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn a_scrape_shows_each_sink_and_accepted_is_settled_and_open() {
        let metrics = Metrics::default();
        let (first, _second) = (metrics.outlet(&Arc::from("traces")), metrics.outlet(&Arc::from("events")));
        first.accept(10, 700);
        first.settle(OutletOutcome::Delivered, 4);
        first.settle(OutletOutcome::Rejected, 1);
        first.release(300);
        first.no_room(2);
        first.answer(OutletAnswer::NotNow);
        metrics.spool().bytes.store(77, Ordering::Relaxed);
        let text = metrics.render(&[]);
        for line in [
            "tawny_outlet_accepted_total{sink=\"traces\"} 10",
            "tawny_outlet_settled_total{outcome=\"delivered\",sink=\"traces\"} 4",
            "tawny_outlet_settled_total{outcome=\"rejected\",sink=\"traces\"} 1",
            "tawny_outlet_settled_total{outcome=\"gave_up\",sink=\"events\"} 0",
            "tawny_outlet_open{sink=\"traces\"} 5",
            "tawny_outlet_open_bytes{sink=\"traces\"} 400",
            "tawny_outlet_no_room_total{sink=\"traces\"} 2",
            "tawny_outlet_requests_total{answer=\"not_now\",sink=\"traces\"} 1",
            "tawny_spool_bytes 77",
            "tawny_spool_damaged_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }
}
