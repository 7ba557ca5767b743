//! How things end. Every accepted alert and every delivery ends in exactly one of these.

use serde::{Deserialize, Serialize};

/// What became of one alert of an accepted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertOutcome {
    /// Opened an incident.
    Opened,
    /// Joined an incident that was open, or began a new episode in it.
    Joined,
    /// Changed a member of an open incident (severity, expiry, another sender's word).
    Updated,
    /// Ended a member; the incident goes on.
    MemberResolved,
    /// Ended the last member and with it the incident.
    Resolved,
    /// Ended the incident while it was held: nobody is told.
    Cancelled,
    /// Said again what was known: nothing changed.
    Repeated,
    /// Belongs to an episode that is over: nothing changed.
    Late,
    /// Kept as a fact; nobody is told (a resolve without an episode, no data, suppressed at the source).
    Noted,
    /// An event without an end: passed on once.
    Passed,
    /// Could not be decoded or understood: kept as a reject with its reason.
    Rejected,
}

impl AlertOutcome {
    pub const ALL: [AlertOutcome; 11] = [
        AlertOutcome::Opened,
        AlertOutcome::Joined,
        AlertOutcome::Updated,
        AlertOutcome::MemberResolved,
        AlertOutcome::Resolved,
        AlertOutcome::Cancelled,
        AlertOutcome::Repeated,
        AlertOutcome::Late,
        AlertOutcome::Noted,
        AlertOutcome::Passed,
        AlertOutcome::Rejected,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            AlertOutcome::Opened => "opened",
            AlertOutcome::Joined => "joined",
            AlertOutcome::Updated => "updated",
            AlertOutcome::MemberResolved => "member_resolved",
            AlertOutcome::Resolved => "resolved",
            AlertOutcome::Cancelled => "cancelled",
            AlertOutcome::Repeated => "repeated",
            AlertOutcome::Late => "late",
            AlertOutcome::Noted => "noted",
            AlertOutcome::Passed => "passed",
            AlertOutcome::Rejected => "rejected",
        }
    }
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    Delivered,
    /// A newer notice of the same lane says all that this one would have said.
    Superseded,
    /// Given up; kept with its reason until a person replays it.
    Dead,
}

impl DeliveryOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryOutcome::Delivered => "delivered",
            DeliveryOutcome::Superseded => "superseded",
            DeliveryOutcome::Dead => "dead",
        }
    }
}
