//! What is known of the start of an alert whose sender does not tell it.

use super::*;

/// The outcome of a resolve that says of itself that it was at that second, for an alert that was heard at 12 s.
/// Named, its start is at 10 s.
fn resolved_at(seconds: u64, names_start: bool) -> AlertOutcome {
    let without_start = |mut says: Says| {
        says.heard.alert.starts_at = says.heard.alert.starts_at.filter(|_| names_start);
        says
    };
    let mut world = World::default();
    world.hear(without_start(prometheus("a", 12).starts(10)));
    world.hear(without_start(prometheus("a", 13).starts(10).resolved().ends(seconds)))
}

#[test]
fn an_end_shortly_before_a_start_that_only_we_know_is_an_end() {
    assert_eq!(resolved_at(11, false), AlertOutcome::Resolved, "whole seconds, or a clock that is a little behind");
    assert_eq!(resolved_at(9, false), AlertOutcome::Late, "an echo of an earlier end");
    assert_eq!(resolved_at(9, true), AlertOutcome::Late, "both times are the sender's own");
    assert_eq!(resolved_at(11, true), AlertOutcome::Resolved);
}
