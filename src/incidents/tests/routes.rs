//! Members of one incident whose routes differ, words that outlive each other, and what a title says.

use super::*;
use crate::model::incident::Limit;

pub(super) fn to(by: &'static str, sinks: &'static [&'static str], hold: Duration) -> impl Fn(&mut Route) {
    move |route| {
        route.by = by.into();
        route.sinks = sinks.iter().map(|sink| Arc::from(*sink)).collect();
        route.hold = hold;
    }
}

pub(super) fn sinks_of(world: &World) -> Vec<String> {
    let incident = world.incidents.values().next().unwrap();
    incident.route.sinks.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_worse_goes_where_its_own_route_says_and_at_once() {
    let mut world = World::default();
    let warning = prometheus("a", 0).severity(Severity::Warning).route(to("r:1 warnings", &["chat"], Duration::ZERO));
    world.hear(warning);
    let critical = prometheus("b", 1).severity(Severity::Critical).route(to("r:2 pages", &["pager"], Duration::ZERO));
    assert_eq!(world.hear(critical), AlertOutcome::Joined);
    assert_eq!(world.told[1].1, Reason::WorseSeverity);
    assert_eq!(sinks_of(&world), ["chat", "pager"], "who was told hears of the end, too");
    let route = &world.incidents.values().next().unwrap().route;
    assert_eq!((route.by.as_ref(), route.also.as_slice()), ("r:2 pages", &["r:1 warnings".into()][..]));
}

#[test]
fn nobody_waits_out_the_hold_of_a_milder_member() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).severity(Severity::Info).route(to("r:1 rest", &["pager"], 5 * MINUTE)));
    world.hear(prometheus("b", 10).severity(Severity::Warning).route(to("r:2 warnings", &["pager"], MINUTE)));
    assert_eq!(world.told.len(), 0);
    world.tick(69);
    assert_eq!(world.told.len(), 0);
    world.tick(70);
    assert_eq!(world.kinds(), [NoticeKind::Opened]);
    world.hear(prometheus("c", 80).severity(Severity::Critical).route(to("r:3 pages", &["pager"], Duration::ZERO)));
    assert_eq!(world.told[1].1, Reason::WorseSeverity);
}

#[test]
fn one_alert_that_becomes_worse_takes_its_route_along() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).severity(Severity::Warning).route(to("r:1 warnings", &["chat"], MINUTE)));
    world.hear(prometheus("a", 5).severity(Severity::Critical).route(to("r:2 pages", &["pager"], Duration::ZERO)));
    assert_eq!(world.kinds(), [NoticeKind::Opened]);
    assert_eq!(sinks_of(&world), ["chat", "pager"]);
}

#[test]
fn a_sink_that_only_a_further_member_names_is_told_once() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).on("ecs").route(to("r:1 owner", &["owner"], Duration::ZERO)));
    for (further, second) in [("b", 1), ("c", 2), ("d", 3)] {
        world.hear(prometheus(further, second).on("ecs").route(to("r:2 partner", &["owner", "partner"], MINUTE)));
    }
    let reasons: Vec<Reason> = world.told.iter().map(|(_, reason, _)| *reason).collect();
    assert_eq!(reasons, [Reason::FirstAlert, Reason::NewSink]);
    assert_eq!(sinks_of(&world), ["owner", "partner"]);
    assert_eq!(world.incidents.values().next().unwrap().route.by.as_ref(), "r:1 owner");
}

#[test]
fn a_later_end_that_was_said_outlives_one_that_is_only_assumed() {
    let mut world = World::default();
    let until = |mut says: Says, seconds: u64, said: bool| {
        says.heard.alert.holds_for = at(seconds).since(says.heard.received_at);
        says.heard.alert.ends_at = said.then(|| at(seconds));
        says
    };
    world.hear(until(prometheus("a", 0), 3600, true));
    world.hear(until(prometheus("a", 10), 310, false));
    world.hear(until(prometheus("a", 20), 26, true));
    world.tick(3599);
    assert_eq!(world.kinds(), [NoticeKind::Opened], "the first said that it fires for an hour");
    world.tick(3600);
    assert_eq!(world.told[1].1, Reason::Stale);
    // An end that was only assumed holds no longer than the next one.
    world.hear(until(prometheus("b", 4000), 7600, false));
    world.hear(until(prometheus("b", 4010), 4310, false));
    world.tick(4310);
    assert_eq!(world.kinds().len(), 4);
}

#[test]
fn a_word_that_lapses_behind_the_relays_resolve_ends_the_alert() {
    let mut world = World::default();
    let mut relay = prometheus("a", 0).by(9, Voice::Relay);
    relay.heard.alert.holds_for = 24 * 60 * MINUTE;
    world.hear(relay.clone());
    let mut direct = prometheus("a", 1);
    direct.heard.alert.holds_for = Duration::from_secs(10);
    world.hear(direct);
    relay = relay.resolved().ends(5);
    relay.heard.received_at = at(5);
    assert_eq!(world.hear(relay), AlertOutcome::Updated);
    world.tick(10);
    assert_eq!(world.kinds(), [NoticeKind::Opened]);
    world.tick(11);
    assert_eq!(world.told[1].1, Reason::Stale);
}

#[test]
fn a_title_that_says_where_it_is_does_not_say_it_twice() {
    for (title, told) in [("Errors [EKS c1]", "Errors [EKS c1]"), ("Errors EKS c1]", "Errors EKS c1] [EKS c1]")] {
        let mut world = World::default();
        let mut says = prometheus("a", 0).cell("c1");
        says.heard.alert.title = title.into();
        world.hear(says);
        assert_eq!(world.told[0].2, told);
    }
}

/// What a silence or the hours of a route would hold back, put there by hand.
fn silenced(world: &mut World, until: u64) {
    let incident = Arc::make_mut(world.incidents.values_mut().next().unwrap());
    incident.quiet = Some(Quiet::new(QuietHow::Silence, "s:1 quiet".into(), START, at(until)));
}

fn with_partner(name: &str, second: u64) -> Says {
    prometheus(name, second).route(to("r:2 partner", &["owner", "partner"], Duration::ZERO))
}

#[test]
fn a_page_to_somebody_new_goes_before_an_acknowledgement_and_does_not_stand_in_for_it() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).route(to("r:1 owner", &["owner"], Duration::ZERO)));
    let incident = Arc::make_mut(world.incidents.values_mut().next().unwrap());
    incident.acknowledged = true;
    world.hear(with_partner("b", 10));
    assert_eq!(world.told[1].1, Reason::NewSink);
    world.tick(11);
    assert_eq!(world.told[2].1, Reason::Acknowledged);
    world.tick(12);
    assert_eq!(world.told.len(), 3);
}

#[test]
fn who_was_never_told_hears_of_no_end() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).route(to("r:1 owner", &["owner"], Duration::ZERO)));
    let incident = Arc::make_mut(world.incidents.values_mut().next().unwrap());
    // As it is left when a silence has kept the partner's first word back.
    Arc::make_mut(&mut incident.route).sinks.push("partner".into());
    world.hear(prometheus("a", 20).resolved());
    assert_eq!(world.told[1].0, NoticeKind::Resolved);
    assert_eq!(sinks_of(&world), ["owner"]);
}

#[test]
fn what_is_said_at_once_is_said_when_its_silence_ends() {
    let mut world = World::default();
    let hourly = |route: &mut Route| route.update = 60 * MINUTE;
    world.hear(prometheus("a", 0).route(to("r:1 owner", &["owner"], Duration::ZERO)).route(hourly));
    let incident = Arc::make_mut(world.incidents.values_mut().next().unwrap());
    Arc::make_mut(&mut incident.route).sinks.push("partner".into());
    silenced(&mut world, 100);
    world.tick(99);
    assert_eq!(world.told.len(), 1);
    world.tick(100);
    assert_eq!(world.told[1].1, Reason::NewSink);
}

#[test]
fn a_member_that_becomes_as_bad_as_the_worst_brings_its_sinks() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).severity(Severity::Critical).route(to("r:1 pages", &["pager"], Duration::ZERO)));
    world.hear(prometheus("b", 1).severity(Severity::Warning).route(to("r:1 pages", &["pager"], Duration::ZERO)));
    let worse = prometheus("b", 2).severity(Severity::Critical);
    world.hear(worse.route(to("r:2 security", &["pager", "security"], Duration::ZERO)));
    assert_eq!(sinks_of(&world), ["pager", "security"]);
    assert_eq!(world.told[1].1, Reason::NewSink);
}

#[test]
fn what_one_member_does_not_limit_is_not_limited_and_each_route_is_remembered_once() {
    let mut world = World::default();
    let limit = Limit { per: TagName::Class, count: 1, window: MINUTE };
    let limited = |route: &mut Route| route.limit = Some(limit);
    world.hear(prometheus("a", 0).route(to("r:1 limited", &["pager"], MINUTE)).route(limited));
    for (name, second) in [("b", 1), ("c", 2)] {
        world.hear(prometheus(name, second).route(to("r:9 free", &["pager"], MINUTE)));
    }
    let route = &world.incidents.values().next().unwrap().route;
    assert_eq!((route.limit, route.by.as_ref()), (None, "r:1 limited"));
    assert_eq!((&route.joined, &route.also), (&vec!["r:9 free".into()], &vec!["r:9 free".into()]));
}
