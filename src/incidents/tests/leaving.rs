//! Sinks that left the settings, or got another name, while incidents are open.

use super::routes::{sinks_of, to};
use super::*;

/// The shipped rules with these sinks; their routes name none, so each goes to all.
fn rules_with(sinks: &[&str]) -> Option<RuleSet> {
    let mut rules = RuleSet::built_in();
    let sinks: Vec<Arc<str>> = sinks.iter().map(|sink| Arc::from(*sink)).collect();
    rules.bind_sinks(&sinks).unwrap();
    Some(rules)
}

/// A world in which `sinks` were told of an alert, and after which the settings have `later`.
fn told_then(sinks: &'static [&'static str], later: &[&str]) -> World {
    let mut world = World { rules: rules_with(sinks), ..World::default() };
    assert_eq!(
        world.hear(prometheus("a", 0).route(to("routes.yaml:18 page-at-once", sinks, Duration::ZERO))),
        AlertOutcome::Opened
    );
    world.rules = rules_with(later);
    world
}

fn reasons(world: &World) -> Vec<Reason> {
    world.told.iter().map(|(_, reason, _)| *reason).collect()
}

#[test]
fn whoever_stands_in_for_a_sink_that_left_is_told_what_is_open_and_its_end() {
    for (sinks, later, told) in [
        (&["pager"][..], &["oncall"][..], &["oncall"][..]),
        (&["pager", "chat"], &["oncall", "chat"], &["chat", "oncall"]),
    ] {
        let mut world = told_then(sinks, later);
        world.tick_all(10);
        assert_eq!((reasons(&world), sinks_of(&world)), (vec![Reason::FirstAlert, Reason::NewSink], names(told)));
        world.tick_all(20);
        assert_eq!(world.told.len(), 2, "once");
        world.hear(prometheus("a", 30).resolved());
        assert_eq!((world.told[2].1, sinks_of(&world)), (Reason::AllResolved, names(told)));
    }
}

fn names(sinks: &[&str]) -> Vec<String> {
    sinks.iter().map(ToString::to_string).collect()
}

#[test]
fn an_end_that_comes_first_goes_to_whoever_stands_in_for_it() {
    let mut world = told_then(&["pager"], &["oncall"]);
    world.hear(prometheus("a", 30).resolved());
    assert_eq!((world.told[1].1, sinks_of(&world)), (Reason::AllResolved, names(&["oncall"])));
}

#[test]
fn the_next_word_of_an_alert_is_enough_to_be_told_anew() {
    let mut world = told_then(&["pager"], &["oncall"]);
    world.hear(prometheus("a", 60));
    assert_eq!((reasons(&world), sinks_of(&world)), (vec![Reason::FirstAlert, Reason::NewSink], names(&["oncall"])));
}

#[test]
fn a_hold_ends_at_whoever_is_there_then() {
    let mut world = World { rules: rules_with(&["pager"]), ..World::default() };
    world.hear(prometheus("a", 0).route(to("routes.yaml:25 warnings-that-last", &["pager"], MINUTE)));
    world.rules = rules_with(&["oncall"]);
    world.tick(60);
    assert_eq!((reasons(&world), sinks_of(&world)), (vec![Reason::HoldOver], names(&["oncall"])));
}

#[test]
fn a_sink_that_left_for_good_or_one_that_came_is_no_news() {
    for (later, told) in [(&["chat"][..], &["chat"][..]), (&["pager", "chat", "new"], &["pager", "chat"])] {
        let mut world = told_then(&["pager", "chat"], later);
        world.tick_all(10);
        world.hear(prometheus("a", 60));
        assert_eq!((world.told.len(), sinks_of(&world)), (1, names(told)));
    }
}

#[test]
fn where_no_route_is_left_the_last_one_says_who_is_told() {
    let mut world = World { rules: rules_with(&["pager"]), ..World::default() };
    world.hear(prometheus("a", 0).route(to("routes.yaml:90 long-gone", &["pager"], Duration::ZERO)));
    world.rules = rules_with(&["oncall"]);
    world.tick_all(10);
    assert_eq!(sinks_of(&world), ["oncall"]);
}
