//! Random histories: whatever is said in whatever order, the same laws hold.

use super::*;

#[test]
fn no_history_loses_doubles_or_reorders_anything() {
    for seed in 0..400 {
        let told = history(seed);
        assert_eq!(told, history(seed), "seed {seed}: the same inputs must say the same");
    }
}

fn history(seed: u64) -> Vec<(NoticeKind, Reason, String)> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut world = World::default();
    let mut seconds = 0;
    for _ in 0..120 {
        seconds += chance.u64(0..90);
        let name = ["a", "b", "c", "d"][chance.usize(0..4)];
        let platform = ["eks", "ecs"][chance.usize(0..2)];
        let hold = if seed.is_multiple_of(2) { Duration::ZERO } else { MINUTE };
        let voice = if chance.bool() { Voice::Evaluator } else { Voice::Relay };
        let says = prometheus(name, seconds)
            .on(platform)
            .by(chance.u64(1..4), voice)
            .starts(seconds.saturating_sub(chance.u64(0..200)))
            .severity([Severity::Info, Severity::Error, Severity::Critical][chance.usize(0..3)])
            .route(|route| route.hold = hold);
        match chance.u8(0..10) {
            0..5 => drop(world.hear(says)),
            5..8 => drop(world.hear(says.resolved())),
            8 => world.tick(seconds),
            _ => {
                seconds += chance.u64(0..600);
                world.tick(seconds);
            }
        }
        laws(&world, seed);
    }
    // Silence closes everything that is left.
    for _ in 0..20 {
        seconds += 600;
        world.tick(seconds);
    }
    laws(&world, seed);
    assert!(world.incidents.values().all(|incident| incident.is_closed()), "seed {seed}: silence must close all");
    world.told
}

fn laws(world: &World, seed: u64) {
    for incident in world.incidents.values() {
        let firing = world.members.values().filter(|member| {
            member.is_firing() && member.incident == Some(incident.key) && member.episode == incident.episode
        });
        let mut counted: BTreeMap<&str, u32> = BTreeMap::new();
        firing.for_each(|member| *counted.entry(&member.platform).or_default() += 1);
        let legs: BTreeMap<&str, u32> = incident
            .legs
            .iter()
            .filter(|leg| leg.firing_count > 0)
            .map(|leg| (leg.platform.as_ref(), leg.firing_count))
            .collect();
        assert_eq!(legs, counted, "seed {seed}: legs are counted from members");
    }
    // One key: opened and resolved alternate, and nothing is said in between without an open incident.
    let mut is_open = false;
    for (kind, reason, _) in &world.told {
        match kind {
            NoticeKind::Opened => assert!(!std::mem::replace(&mut is_open, true), "seed {seed}: opened twice"),
            NoticeKind::Resolved => assert!(std::mem::replace(&mut is_open, false), "seed {seed}: resolved twice"),
            NoticeKind::Changed | NoticeKind::Reminder => assert!(is_open, "seed {seed}: {reason:?} while closed"),
            NoticeKind::Event => {}
        }
    }
    let told_open = world.incidents.values().any(|incident| incident.phase == Phase::Open);
    assert_eq!(is_open, told_open, "seed {seed}: what people know is what is");
}
