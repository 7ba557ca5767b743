//! What an incident has to say at one moment.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::IdHasher;
use super::{Incident, Timestamp};

/// What most brackets need.
const BRACKET_BYTES: usize = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    Opened,
    Changed,
    Reminder,
    Resolved,
    /// An event without an end (a change); belongs to no incident's life.
    Event,
}

impl NoticeKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            NoticeKind::Opened => "opened",
            NoticeKind::Changed => "changed",
            NoticeKind::Reminder => "reminder",
            NoticeKind::Resolved => "resolved",
            NoticeKind::Event => "event",
        }
    }
}

/// Why it is said now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    FirstAlert,
    HoldOver,
    NewLeg,
    NewCell,
    WorseSeverity,
    /// A further member's route names a sink that does not know of the incident.
    NewSink,
    Acknowledged,
    RemindInterval,
    /// A silence, the hours of a route or its limit held it back until now.
    QuietOver,
    AllResolved,
    /// Nothing more was heard: closed as stale, not as resolved.
    Stale,
    Event,
}

impl Reason {
    pub const ALL: [Reason; 12] = [
        Reason::FirstAlert,
        Reason::HoldOver,
        Reason::NewLeg,
        Reason::NewCell,
        Reason::WorseSeverity,
        Reason::NewSink,
        Reason::Acknowledged,
        Reason::RemindInterval,
        Reason::QuietOver,
        Reason::AllResolved,
        Reason::Stale,
        Reason::Event,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::FirstAlert => "first_alert",
            Reason::HoldOver => "hold_over",
            Reason::NewLeg => "new_leg",
            Reason::NewCell => "new_cell",
            Reason::WorseSeverity => "worse_severity",
            Reason::NewSink => "new_sink",
            Reason::Acknowledged => "acknowledged",
            Reason::RemindInterval => "remind_interval",
            Reason::QuietOver => "quiet_over",
            Reason::AllResolved => "all_resolved",
            Reason::Stale => "stale",
            Reason::Event => "event",
        }
    }
}

/// A notice carries the incident as it was when it spoke, so that a sink needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub kind: NoticeKind,
    pub reason: Reason,
    pub at: Timestamp,
    /// `incident.sequence` of this notice: 1 for the first one of a key.
    pub sequence: u32,
    pub incident: Arc<Incident>,
}

impl Notice {
    /// Identity of this transition: the same on every retry. 16 bytes shaped as a version 4 UUID, because
    /// Sentry accepts nothing else.
    pub fn delivery_id(&self) -> [u8; 16] {
        let mut hasher = IdHasher::new("notice");
        hasher.part(&self.incident.key.to_string());
        hasher.part(&self.incident.episode.to_string());
        hasher.part(&self.sequence.to_string());
        let mut id = hasher.finish();
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }

    pub fn delivery_id_hex(&self) -> String {
        self.delivery_id().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The original title first, then at most one bracket: where it runs, as far as we know. `EKS c3`, `ECS+EKS c3`;
    /// nothing when neither platform nor cell is known.
    pub fn title(&self) -> String {
        let incident = &*self.incident;
        let lead = &incident.lead.title;
        let mut title = String::with_capacity(lead.len() + BRACKET_BYTES);
        title.push_str(lead);
        let mut before = " [";
        for leg in incident.legs.iter().filter(|leg| leg.platform.as_ref() != "unknown") {
            title.push_str(before);
            title.extend(leg.platform.chars().flat_map(char::to_uppercase));
            before = "+";
        }
        if before == "+" {
            before = " ";
        }
        match incident.cells.as_slice() {
            [] => {}
            [cell] => title.extend([before, cell]),
            cells => write!(title, "{before}{} cells", cells.len()).expect("writing to a String cannot fail"),
        }
        if title.len() > lead.len() {
            title.push(']');
            // What another Tawny has passed on says it already.
            if lead.ends_with(&title[lead.len()..]) {
                title.truncate(lead.len());
            }
        }
        title
    }
}
