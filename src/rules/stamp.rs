//! Tells identities that a gateway stamps on everybody's telemetry from those of the sender: a task or a pod belongs to
//! a few instances, a stamp to many. Holds a bounded number of identities for ten minutes and never reads the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::Timestamp;

/// As many instances in the window make an identity a stamp.
pub const INSTANCE_COUNT_STAMPED: usize = 8;
const WINDOW: Duration = Duration::from_secs(600);
/// Identities watched at once. Only those that contradict another one are, and those are few: the gateways of a
/// company and the tasks and pods behind them.
const WATCHED_COUNT_MAX: usize = 1024;
/// An ARN of a task has some 100 bytes; what is longer is no identity.
pub(super) const IDENTITY_BYTES_MAX: usize = 256;

/// One sighting of an identity in telemetry that also says something else about its platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disputed {
    /// `scope.key=value`.
    pub identity: Arc<str>,
    /// A hash of the service and its instance (or host).
    pub instance: u64,
}

/// The identities that have no vote. A snapshot: the rules that get the same one give the same answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamped {
    generation: u64,
    identities: BTreeSet<Arc<str>>,
}

impl Stamped {
    /// Differs whenever the set differs: a part of the key of whatever remembers answers.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn len(&self) -> usize {
        self.identities.len()
    }

    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// For the lint that names the collector: `resource.aws.ecs.task.arn=arn:…`.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.identities.iter().map(AsRef::as_ref)
    }

    pub(super) fn contains(&self, key: &str, value: &str) -> bool {
        !self.identities.is_empty() && self.identities.contains([key, "=", value].concat().as_str())
    }
}

impl<'a> FromIterator<&'a str> for Stamped {
    /// For tests and for rule stories: identities as [`Disputed::identity`] has them.
    fn from_iter<I: IntoIterator<Item = &'a str>>(identities: I) -> Stamped {
        let identities: BTreeSet<Arc<str>> = identities.into_iter().map(Arc::from).collect();
        Stamped { generation: u64::from(!identities.is_empty()), identities }
    }
}

/// Counts instances per identity.
#[derive(Debug, Default)]
pub struct Stamps {
    watched: BTreeMap<Arc<str>, Watched>,
    stamped: Arc<Stamped>,
    looked_at: Timestamp,
    overflow_count: u64,
}

#[derive(Debug, Default)]
struct Watched {
    /// Instances and when each was seen last; the oldest makes room.
    instances: Vec<(u64, Timestamp)>,
}

impl Stamps {
    /// Counts one sighting; true when it changed who is stamped, and the snapshot with it.
    pub fn observe(&mut self, disputed: &Disputed, now: Timestamp) -> bool {
        let expired = self.expire(now);
        if !self.watched.contains_key(&disputed.identity) {
            if self.watched.len() >= WATCHED_COUNT_MAX {
                self.overflow_count += 1;
                return expired;
            }
            self.watched.insert(Arc::clone(&disputed.identity), Watched::default());
        }
        let Some(watched) = self.watched.get_mut(&disputed.identity) else { return expired };
        watched.see(disputed.instance, now);
        let stamps = watched.instances.len() >= INSTANCE_COUNT_STAMPED;
        if !stamps || self.stamped.identities.contains(&disputed.identity) {
            return expired;
        }
        self.change(|identities| identities.insert(Arc::clone(&disputed.identity)));
        true
    }

    /// Forgets what was not seen for ten minutes; true when somebody is no longer stamped. Also called by
    /// [`Stamps::observe`], so that only a road without traffic needs it.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        const EVERY: Duration = Duration::from_secs(10);
        // A clock that was set back starts a new interval at once.
        if now >= self.looked_at && now.since(self.looked_at) < EVERY {
            return false;
        }
        self.looked_at = now;
        for watched in self.watched.values_mut() {
            watched.instances.retain(|(_, seen_at)| *seen_at <= now && now.since(*seen_at) < WINDOW);
        }
        self.watched.retain(|_, watched| !watched.instances.is_empty());
        let watched = &self.watched;
        let holds = |identity: &Arc<str>| {
            watched.get(identity).is_some_and(|watched| watched.instances.len() >= INSTANCE_COUNT_STAMPED)
        };
        if self.stamped.identities.iter().all(holds) {
            return false;
        }
        let kept = self.stamped.identities.iter().filter(|identity| holds(identity)).cloned().collect();
        self.change(|identities| *identities = kept);
        true
    }

    /// Cheap: shared until it changes.
    pub fn snapshot(&self) -> Arc<Stamped> {
        Arc::clone(&self.stamped)
    }

    /// Sightings that found no place. Not zero means that more identities contradict each other than gateways exist.
    pub fn overflow_count(&self) -> u64 {
        self.overflow_count
    }

    fn change<R>(&mut self, how: impl FnOnce(&mut BTreeSet<Arc<str>>) -> R) {
        let stamped = Arc::make_mut(&mut self.stamped);
        how(&mut stamped.identities);
        stamped.generation += 1;
    }
}

impl Watched {
    fn see(&mut self, instance: u64, now: Timestamp) {
        if let Some(known) = self.instances.iter_mut().find(|(known, _)| *known == instance) {
            known.1 = now;
        } else if self.instances.len() < INSTANCE_COUNT_STAMPED {
            self.instances.push((instance, now));
        } else if let Some(oldest) = self.instances.iter_mut().min_by_key(|(_, seen_at)| *seen_at) {
            *oldest = (instance, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: &str = "resource.aws.ecs.task.arn=arn:aws:ecs:us-east-1:111111111111:task/gateway/1";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000 + seconds * 1000)
    }

    fn sighting(identity: &str, instance: u64) -> Disputed {
        Disputed { identity: Arc::from(identity), instance }
    }

    fn is_stamped(stamps: &Stamps) -> bool {
        stamps.snapshot().iter().any(|identity| identity == GATEWAY)
    }

    #[test]
    fn an_identity_of_few_instances_keeps_its_vote_however_often_it_is_seen() {
        let mut stamps = Stamps::default();
        for second in 0..1000 {
            assert!(!stamps.observe(&sighting(GATEWAY, second % 7), at(second as i64)));
        }
        assert!(stamps.snapshot().is_empty());
    }

    #[test]
    fn the_eighth_instance_within_ten_minutes_makes_a_stamp_and_silence_ends_it() {
        let mut stamps = Stamps::default();
        for instance in 0..7 {
            assert!(!stamps.observe(&sighting(GATEWAY, instance), at(0)));
        }
        let before = stamps.snapshot().generation();
        assert!(stamps.observe(&sighting(GATEWAY, 7), at(599)));
        assert!(is_stamped(&stamps));
        assert_ne!(stamps.snapshot().generation(), before);
        // 40 instances keep it stamped for as long as they are heard.
        for second in 600..3000 {
            stamps.observe(&sighting(GATEWAY, second % 40), at(second as i64));
            assert!(is_stamped(&stamps) || second < 610, "{second}");
        }
        let before = stamps.snapshot().generation();
        assert!(stamps.expire(at(3700)));
        assert!(!is_stamped(&stamps));
        assert_ne!(stamps.snapshot().generation(), before);
    }

    #[test]
    fn instances_that_come_one_after_another_over_hours_are_no_stamp() {
        let mut stamps = Stamps::default();
        for instance in 0..100 {
            stamps.observe(&sighting(GATEWAY, instance), at(instance as i64 * 120));
        }
        assert!(stamps.snapshot().is_empty());
    }

    #[test]
    fn memory_is_bounded_and_what_found_no_place_is_counted() {
        let mut stamps = Stamps::default();
        for identity in 0..5000 {
            stamps.observe(&sighting(&format!("resource.k8s.pod.uid={identity}"), 1), at(0));
        }
        assert_eq!(stamps.watched.len(), WATCHED_COUNT_MAX);
        assert_eq!(stamps.overflow_count(), 5000 - WATCHED_COUNT_MAX as u64);
        // Ten minutes later the places are free again.
        (0..8).for_each(|instance| {
            stamps.observe(&sighting(GATEWAY, instance), at(700));
        });
        assert!(is_stamped(&stamps));
    }

    #[test]
    fn a_clock_that_is_set_back_forgets_rather_than_keeps() {
        let mut stamps = Stamps::default();
        (0..8).for_each(|instance| {
            stamps.observe(&sighting(GATEWAY, instance), at(10_000));
        });
        assert!(is_stamped(&stamps));
        assert!(stamps.expire(at(0)));
        assert!(!is_stamped(&stamps));
    }
}
