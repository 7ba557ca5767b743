//! One problem that people are told about, and the alerts that it is made of.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alert::Voice;
use super::{Identity, IncidentKey, Labels, Link, SenderId, Severity, SourceRef, TagName, Tags, Timestamp};

/// Where an incident stands. Closed incidents stay for a while, so that late and repeated messages find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting out the hold: nobody has been told yet.
    Held {
        until: Timestamp,
    },
    Open,
    Closed {
        at: Timestamp,
    },
}

/// How one platform takes part in the incident. Counted from members, never guessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// `ecs`, `eks`, …, or `unknown`.
    pub platform: Arc<str>,
    pub firing_count: u32,
    pub resolved_count: u32,
}

/// Where notices go and when. Frozen at the start of the episode, but for what further members bring: their sinks, and
/// the times of the worst one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `file:line rule-id` of the route.
    pub by: Arc<str>,
    /// Names of sinks in the settings.
    pub sinks: Vec<Arc<str>>,
    /// How long an alert must last before anybody is told.
    #[serde(with = "millis")]
    pub hold: Duration,
    /// The least time between two notices about changes.
    #[serde(with = "millis")]
    pub update: Duration,
    /// After this long without a notice an open incident is told again.
    #[serde(with = "millis")]
    pub remind: Duration,
    /// Further routes whose sinks are among them, as `file:line rule-id`: those that `by` went on to, and those of members
    /// with other routes.
    // Written even when it is nothing: a state is a list of fields, and only the last may be missing.
    #[serde(default)]
    pub also: Vec<Arc<str>>,
    // Written even when it is nothing: a state is a list of fields, and only the last may be missing.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// Of `also`, the routes of members with other routes: their hours count beside those of `by`.
    #[serde(default)]
    pub joined: Vec<Arc<str>>,
}

impl Route {
    /// The id of a rule in `file:line rule-id`: its line may have moved since.
    pub fn id_of(by: &str) -> &str {
        by.split_once(' ').map_or(by, |(_, id)| id)
    }
}

/// How many incidents may page within a while, per value of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub per: TagName,
    /// At least one.
    pub count: u32,
    #[serde(with = "millis")]
    pub window: Duration,
}

/// Why an incident that has something to say does not say it yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    pub how: QuietHow,
    /// The silence or the route, as `file:line rule-id`.
    pub by: Arc<str>,
    /// Since when something is held back.
    pub since: Timestamp,
    /// When it ends, as far as the rules know now.
    pub until: Timestamp,
    /// When the rules are asked again: they may have changed.
    pub look_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuietHow {
    Silence,
    /// Outside the hours of its route.
    Schedule,
    /// Its route has paged often enough.
    Limit,
}

/// What people know: the last notice that went out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub at: Timestamp,
    pub severity: Severity,
    pub platforms: Vec<Arc<str>>,
    pub cells: Vec<Arc<str>>,
    pub acknowledged: bool,
    /// How many of the route's sinks: further ones are added at the end. `None` from before they were counted.
    #[serde(default)]
    pub sink_count: Option<u32>,
}

// The store holds these types as lists of their fields, in order: only the last one may be left out of what is
// written, and a new one goes to the end with a default. What an earlier version wrote with names is read too.

/// One alert as readers see it: the lead of an incident, or one of its further samples without annotations and
/// links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub identity: Identity,
    pub source: SourceRef,
    pub name: String,
    pub title: String,
    pub starts_at: Timestamp,
    pub severity: Severity,
    #[serde(deserialize_with = "Labels::deserialize_owned")]
    pub labels: Labels<'static>,
    #[serde(default, deserialize_with = "Labels::deserialize_owned")]
    pub annotations: Labels<'static>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
}

/// The state of one incident key. `episode` counts its openings; `sequence` its notices over all episodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    pub key: IncidentKey,
    pub episode: u32,
    pub sequence: u32,
    pub phase: Phase,
    /// When the first message of this episode reached us.
    pub opened_at: Timestamp,
    /// When the problem began, by the source.
    pub started_at: Timestamp,
    /// The worst in this episode.
    pub severity: Severity,
    pub acknowledged: bool,
    /// Tags of the lead, frozen.
    pub tags: Arc<Tags>,
    /// Revision of the rules that tagged the lead.
    pub rules_revision: Arc<str>,
    pub legs: Vec<Leg>,
    /// Cells with a firing member in this episode, in order of appearance.
    pub cells: Vec<Arc<str>>,
    pub lead: Arc<Sample>,
    /// The first few further members, for readers.
    pub samples: Vec<Arc<Sample>>,
    pub route: Arc<Route>,
    pub told: Option<Told>,
    /// Present while something is held back.
    // Written even when it is nothing: a state is a list of fields, and only the last may be missing.
    #[serde(default)]
    pub quiet: Option<Quiet>,
    /// No firing member expires before this instant. A lower bound: refreshes do not raise it.
    pub next_expiry: Timestamp,
}

impl Quiet {
    pub fn new(how: QuietHow, by: Arc<str>, since: Timestamp, until: Timestamp) -> Quiet {
        Quiet { how, by, since, until, look_at: until }
    }
}

impl Incident {
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    pub fn firing_count(&self) -> u32 {
        self.legs.iter().map(|leg| leg.firing_count).sum()
    }

    pub fn resolved_count(&self) -> u32 {
        self.legs.iter().map(|leg| leg.resolved_count).sum()
    }
}

/// One alert of an incident, found again by its identity at the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    #[serde(rename = "k")]
    pub identity: Identity,
    /// The incident it belongs to; `None` for a resolve that never had one.
    #[serde(rename = "i", default)]
    pub incident: Option<IncidentKey>,
    /// The episode of that incident in which it was counted last.
    #[serde(rename = "e")]
    pub episode: u32,
    #[serde(rename = "p")]
    pub platform: Arc<str>,
    #[serde(rename = "c", default)]
    pub cell: Option<Arc<str>>,
    #[serde(rename = "s")]
    pub severity: Severity,
    #[serde(rename = "t")]
    pub starts_at: Timestamp,
    /// `None` while it fires.
    #[serde(rename = "x", default)]
    pub ended: Option<Ended>,
    /// Live "firing" words, one per sender. After the end: the last word of the sender that ended it.
    #[serde(rename = "w")]
    pub words: Vec<Word>,
    #[serde(rename = "n")]
    pub name: String,
    #[serde(rename = "h")]
    pub title: String,
    #[serde(rename = "l", deserialize_with = "Labels::deserialize_owned")]
    pub labels: Labels<'static>,
    #[serde(rename = "a", default, deserialize_with = "Labels::deserialize_owned")]
    pub annotations: Labels<'static>,
    #[serde(rename = "o")]
    pub source: SourceRef,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub generator_url: Option<String>,
}

/// How and when a member ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// By the source for a resolve, by our clock for a lapse.
    pub at: Timestamp,
    /// When we learnt of it.
    pub heard_at: Timestamp,
    pub how: EndedHow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedHow {
    Resolved,
    /// Nothing more was heard.
    Stale,
}

/// One sender's claim that the alert fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    #[serde(rename = "s")]
    pub sender: SenderId,
    #[serde(rename = "v")]
    pub voice: Voice,
    /// When we last heard it, by our clock.
    #[serde(rename = "h")]
    pub heard_at: Timestamp,
    /// When it lapses, by our clock.
    #[serde(rename = "e")]
    pub expires_at: Timestamp,
    /// The sender's own `endsAt`, if it gave one.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub said_ends_at: Option<Timestamp>,
}

impl Member {
    pub fn is_firing(&self) -> bool {
        self.ended.is_none()
    }

    /// When the last word lapses.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.words.iter().map(|word| word.expires_at).max()
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        u64::try_from(span.as_millis()).unwrap_or(u64::MAX).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
