//! Where decisions are kept. One transaction holds an incident's new state, the deliveries it causes and the
//! record of why; nothing here decides, sends or reads the clock.

pub mod sqlite;
#[cfg(test)]
pub(crate) mod testkit;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::id::IdMap;
use crate::model::{Delivery, DeliveryId, DeliveryOutcome, Identity, Incident, IncidentKey, Member, Notice, Timestamp};

/// A future of a trait method.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Disk full, locked, lost: senders are asked to come back, the daemon stays.
    #[error("the store is not available: {reason}")]
    Unavailable { reason: String },
    /// A row that this version cannot read. Naming it lets an operator look.
    #[error("the store holds a {what} that cannot be read: {reason}")]
    Unreadable { what: &'static str, reason: String },
    #[error("the store `{url}` cannot be opened: {reason}")]
    BadAddress { url: String, reason: String },
}

/// What a transaction is about to decide on.
#[derive(Debug, Default)]
pub struct Wanted {
    pub identities: Vec<Identity>,
    pub keys: Vec<IncidentKey>,
    /// Incidents whose deadline has come: their lapsed members are loaded too.
    pub ticks: Vec<IncidentKey>,
    pub now: Timestamp,
}

/// What stands in the store, locked until the commit.
#[derive(Debug, Default)]
pub struct Loaded {
    pub members: IdMap<Identity, Box<Member>>,
    pub incidents: IdMap<IncidentKey, Arc<Incident>>,
    pub due: IdMap<IncidentKey, Due>,
}

/// Members of a ticked incident whose words have lapsed, and when the next of the others will.
#[derive(Debug)]
pub struct Due {
    pub members: Vec<Member>,
    pub next_expiry: Timestamp,
}

impl Default for Due {
    fn default() -> Due {
        Due { members: Vec::new(), next_expiry: Timestamp::MAX }
    }
}

/// What a transaction writes. Order matters only among notices: it is the order of their deliveries.
#[derive(Debug, Default)]
pub struct Changes {
    pub incidents: Vec<Arc<Incident>>,
    pub members: Vec<Box<Member>>,
    /// Each with the sinks it goes to.
    pub notices: Vec<(Arc<Notice>, Vec<Arc<str>>)>,
    pub records: Vec<Record>,
    pub rejects: Vec<RejectRecord>,
    pub settlements: Vec<Settlement>,
    pub now: Timestamp,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
            && self.members.is_empty()
            && self.notices.is_empty()
            && self.records.is_empty()
            && self.rejects.is_empty()
            && self.settlements.is_empty()
    }
}

/// One accepted request: the bytes as they came, and what was decided on each alert, as JSON.
#[derive(Clone, Debug)]
pub struct Record {
    pub received_at: Timestamp,
    pub source: String,
    pub kind: &'static str,
    pub body: Bytes,
    pub decisions: String,
}

/// A request, or one alert of it, that could not be used.
#[derive(Clone, Debug)]
pub struct RejectRecord {
    pub received_at: Timestamp,
    pub source: String,
    pub kind: String,
    pub status: u16,
    pub reason: String,
    pub body: Bytes,
}

/// How far a delivery has come.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub id: DeliveryId,
    pub attempts: u32,
    pub next_attempt_at: Timestamp,
    /// `None`: it waits for another attempt.
    pub outcome: Option<DeliveryOutcome>,
    pub reason: String,
    pub at: Timestamp,
}

/// A delivery with what it has to say.
#[derive(Clone, Debug)]
pub struct Pending {
    pub delivery: Delivery,
    pub notice: Arc<Notice>,
}

/// A delivery that nobody will attempt: its sink is not in the settings any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    pub id: DeliveryId,
    pub sink: String,
    pub attempts: u32,
}

/// Decides on what was loaded, inside the transaction. Must be quick: everybody waits.
pub type Decide<'a> = Box<dyn FnOnce(Loaded) -> Changes + Send + 'a>;

/// The one committer of a process owns this.
pub trait Writer: Send {
    /// Loads, decides, writes and commits: all of it or nothing. Returns the deliveries it made, in order.
    fn transact<'a>(&'a mut self, wanted: Wanted, decide: Decide<'a>) -> Later<'a, Result<Vec<Pending>, StoreError>>;

    /// Writes something small, to see whether writing works again after a failure.
    fn probe(&mut self, now: Timestamp) -> Later<'_, Result<(), StoreError>>;

    /// Deletes what is past its time or over the byte budget, a bounded piece per call. `true`: call again.
    fn retain<'a>(&'a mut self, retention: &'a Retention, now: Timestamp) -> Later<'a, Result<bool, StoreError>>;

    /// Keeps something small under a name, over what was there.
    fn keep<'a>(&'a mut self, name: &'a str, value: &'a [u8]) -> Later<'a, Result<(), StoreError>>;
}

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records, rejects, settled deliveries, closed incidents.
    pub age: std::time::Duration,
    /// The whole store: above it the oldest records go first.
    pub bytes_max: u64,
}

/// Ended members stay this long, so that late and repeated messages find them (Prometheus repeats a resolve
/// for 15 minutes, an Alertmanager group for its repeat interval).
pub const ENDED_MEMBER_AGE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// What is due, and the earliest deadline among the rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    pub due: Vec<IncidentKey>,
    pub next: Option<Timestamp>,
}

/// An incident and its firing members.
pub type Detail = (Incident, Vec<Member>);

/// Reads that are part of no decision.
pub trait Reader: Send + Sync {
    /// Incidents whose deadline is at or before `now`, the earliest first.
    fn due(&self, now: Timestamp, count_max: u32) -> Later<'_, Result<Deadlines, StoreError>>;

    /// Unsettled deliveries of a sink with an id above `after`, in order.
    fn pending<'a>(
        &'a self,
        sink: &'a str,
        after: DeliveryId,
        count_max: u32,
    ) -> Later<'a, Result<Vec<Pending>, StoreError>>;

    /// Unsettled deliveries of sinks other than these, in order.
    fn strays<'a>(&'a self, sinks: &'a [Arc<str>], count_max: u32) -> Later<'a, Result<Vec<Stray>, StoreError>>;

    fn counts(&self) -> Later<'_, Result<Counts, StoreError>>;

    fn incidents(&self, filter: IncidentFilter) -> Later<'_, Result<Vec<Incident>, StoreError>>;

    fn incident(&self, key: IncidentKey) -> Later<'_, Result<Option<Detail>, StoreError>>;

    /// Members that fire, for Alertmanager's `GET /alerts`.
    fn firing(&self, count_max: u32) -> Later<'_, Result<Vec<Member>, StoreError>>;

    fn deliveries(&self, filter: DeliveryFilter) -> Later<'_, Result<Vec<DeliveryRow>, StoreError>>;

    /// Entries of the journal with an id below `before`, the newest first.
    fn records(&self, before: i64, count_max: u32) -> Later<'_, Result<Vec<RecordRow>, StoreError>>;

    fn rejects(&self, count_max: u32) -> Later<'_, Result<Vec<RejectRow>, StoreError>>;

    /// What was kept under a name.
    fn kept<'a>(&'a self, name: &'a str) -> Later<'a, Result<Option<Vec<u8>>, StoreError>>;
}

/// Gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub open_incidents: u64,
    pub firing_members: u64,
    pub pending_deliveries: u64,
    pub dead_deliveries: u64,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum IncidentFilter {
    Open { count_max: u32 },
    Recent { count_max: u32 },
}

#[derive(Clone, Copy, Debug)]
pub enum DeliveryFilter {
    Recent { count_max: u32 },
    Dead { count_max: u32 },
    Pending { count_max: u32 },
}

/// A delivery as people look at it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct DeliveryRow {
    pub id: i64,
    pub sink: String,
    pub incident: IncidentKey,
    pub sequence: i64,
    pub kind: String,
    pub title: String,
    pub attempts: i64,
    pub created_at: String,
    pub next_attempt_at: String,
    /// `delivered`, `superseded`, `dead`, or `pending`.
    pub outcome: String,
    pub reason: String,
}

/// An entry of the journal: a request as it came, and what was decided.
#[derive(Clone, Debug)]
pub struct RecordRow {
    pub id: i64,
    pub received_at: String,
    pub source: String,
    pub kind: String,
    /// Without the sender's credential.
    pub body: Vec<u8>,
    /// `{"rules":…,"tags":[…],"alerts":[[identity, name, state, tags, route, incident, outcome],…]}`.
    pub decisions: String,
}

/// A reject as people look at it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RejectRow {
    pub id: i64,
    pub received_at: String,
    pub source: String,
    pub kind: String,
    pub status: i64,
    pub reason: String,
    /// The first bytes of the body, as text.
    pub body: String,
}
