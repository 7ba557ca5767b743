//! Answers an unchanged resend without touching the store. Holds only what a committed transaction said;
//! losing an entry costs one look into the store and nothing else.

use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use crate::model::id::IdHash;
use crate::model::{Alert, Identity, SenderId, State, Timestamp};

/// About 100 bytes an entry; enough for every alert of a large company and its replicas.
pub const ENTRY_COUNT_MAX: u64 = 400_000;

/// What one sender said last of one alert, as it stands in the store.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Everything that would change a member if it changed, but not the expiry.
    said: u64,
    /// Until when the stored word holds. Irrelevant for what is not firing.
    expires_at: Timestamp,
}

pub struct ResendCache {
    known: moka::sync::Cache<(Identity, SenderId), Known, BuildHasherDefault<IdHash>>,
}

impl Default for ResendCache {
    fn default() -> ResendCache {
        ResendCache {
            known: moka::sync::Cache::builder()
                .max_capacity(ENTRY_COUNT_MAX)
                .build_with_hasher(BuildHasherDefault::default()),
        }
    }
}

/// What to remember of an alert once it is committed.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    key: (Identity, SenderId),
    known: Known,
}

impl Mark {
    pub fn of(alert: &Alert<'_>, received_at: Timestamp) -> Mark {
        Mark {
            key: (alert.identity, alert.sender),
            known: Known { said: said(alert), expires_at: received_at.plus(alert.holds_for) },
        }
    }
}

impl ResendCache {
    /// Whether this says again what is stored, with so much of the stored expiry left that it need not be
    /// refreshed yet: at least half of what the new message would give.
    pub fn repeats(&self, alert: &Alert<'_>, received_at: Timestamp) -> bool {
        let Some(known) = self.known.get(&(alert.identity, alert.sender)) else { return false };
        if known.said != said(alert) {
            return false;
        }
        alert.state != State::Firing || known.expires_at.since(received_at) * 2 >= alert.holds_for
    }

    pub fn remember(&self, mark: Mark) {
        self.known.insert(mark.key, mark.known);
    }
}

/// Times of a resolve are part of it: a later end by the same sender is another statement. The promised end
/// of a firing one moves with each message and is not.
fn said(alert: &Alert<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    alert.state.hash(&mut hasher);
    alert.severity.hash(&mut hasher);
    alert.starts_at.hash(&mut hasher);
    if alert.state != State::Firing {
        alert.ends_at.hash(&mut hasher);
    }
    hasher.finish()
}
