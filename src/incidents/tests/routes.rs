//! Members of one incident whose routes differ, and words that outlive each other.

use super::*;

fn to(by: &'static str, sinks: &'static [&'static str], hold: Duration) -> impl Fn(&mut Route) {
    move |route| {
        route.by = by.into();
        route.sinks = sinks.iter().map(|sink| Arc::from(*sink)).collect();
        route.hold = hold;
    }
}

fn sinks_of(world: &World) -> Vec<String> {
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
