//! One notice for one sink, and how far it has come.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{IncidentKey, NoticeKind, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub i64);

/// A delivery that waits. Lane = (sink, incident key): one in flight, in order of `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub sink: Arc<str>,
    pub key: IncidentKey,
    pub sequence: u32,
    pub kind: NoticeKind,
    pub attempts: u32,
    pub created_at: Timestamp,
    pub next_attempt_at: Timestamp,
    /// Why the last attempt failed; empty before the first.
    pub reason: String,
}
