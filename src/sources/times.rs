//! Times as senders write them, made into instants. Never takes a sender's clock for ours: what is absurd is
//! replaced by the time of receipt.

use std::time::Duration;

use crate::model::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);
/// 2000-01-01T00:00:00Z.
const PLAUSIBLE_FROM: Timestamp = Timestamp::from_ms(946_684_800_000);

/// More than a day ahead of receipt, or before 2000: no clock is that wrong, so it is no time.
pub(super) fn clamp(instant: Timestamp, received_at: Timestamp) -> Timestamp {
    if instant < PLAUSIBLE_FROM || instant > received_at.plus(DAY) { received_at } else { instant }
}
