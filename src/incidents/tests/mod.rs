//! Stories about single rules of an incident's life, and long random histories held against its laws.

mod histories;
mod leaving;
mod pages;
mod routes;
mod starts;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::alert::Voice;
use crate::model::id::IdHasher;
use crate::model::{Identity, Labels, NoticeKind, Reason, SenderId, Severity, State, Tag, TagName};

const MINUTE: Duration = Duration::from_secs(60);
const START: Timestamp = Timestamp::from_ms(1_795_394_412_000);

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn identity(name: &str) -> Identity {
    let mut hasher = IdHasher::new("test");
    hasher.part(name);
    hasher.identity()
}

/// A message under construction; the defaults are a Prometheus that fires on EKS.
#[derive(Clone)]
struct Says {
    heard: Heard,
}

fn prometheus(name: &str, seconds: u64) -> Says {
    let alert = Alert {
        identity: identity(name),
        sender: SenderId(1),
        voice: Voice::Evaluator,
        state: State::Firing,
        starts_at: Some(START),
        ends_at: Some(at(seconds).plus(4 * MINUTE)),
        holds_for: 4 * MINUTE,
        severity: Severity::Error,
        name: "HighErrorRate".into(),
        title: "Errors".into(),
        labels: Labels::new(),
        annotations: Labels::new(),
        fields: Labels::new(),
        links: Vec::new(),
    };
    let route = Route {
        by: "routes.yaml:1 test".into(),
        sinks: vec!["pager".into()],
        hold: Duration::ZERO,
        update: MINUTE,
        remind: 60 * MINUTE,
        also: Vec::new(),
        limit: None,
        joined: Vec::new(),
    };
    let heard = Heard {
        alert,
        source: SourceRef { kind: "alertmanager-api".into(), instance: "prom".into() },
        received_at: at(seconds),
        tags: Arc::default(),
        rules_revision: "r1".into(),
        key: IncidentKey([7; 16]),
        route: Arc::new(route),
    };
    Says { heard }.on("eks")
}

impl Says {
    fn on(mut self, platform: &str) -> Says {
        Arc::make_mut(&mut self.heard.tags)
            .replace(TagName::Platform, Tag { value: platform.into(), by: "test".into(), seen: None });
        self
    }
    fn cell(mut self, cell: &str) -> Says {
        Arc::make_mut(&mut self.heard.tags)
            .replace(TagName::Cell, Tag { value: cell.into(), by: "test".into(), seen: None });
        self
    }
    fn resolved(mut self) -> Says {
        self.heard.alert.state = State::Resolved;
        self.heard.alert.ends_at = Some(self.heard.received_at);
        self
    }
    fn starts(mut self, seconds: u64) -> Says {
        self.heard.alert.starts_at = Some(at(seconds));
        self
    }
    fn ends(mut self, seconds: u64) -> Says {
        self.heard.alert.ends_at = Some(at(seconds));
        self
    }
    fn by(mut self, sender: u64, voice: Voice) -> Says {
        self.heard.alert.sender = SenderId(sender);
        self.heard.alert.voice = voice;
        self
    }
    fn severity(mut self, severity: Severity) -> Says {
        self.heard.alert.severity = severity;
        self
    }
    fn route(mut self, change: impl FnOnce(&mut Route)) -> Says {
        let mut route = (*self.heard.route).clone();
        change(&mut route);
        self.heard.route = Arc::new(route);
        self
    }
}

/// What the store and the committer are in production: keeps what steps return.
#[derive(Default)]
struct World {
    incidents: BTreeMap<[u8; 16], Arc<Incident>>,
    members: HashMap<Identity, Member>,
    told: Vec<(NoticeKind, Reason, String)>,
    listening_since: Timestamp,
    rules: Option<RuleSet>,
}

impl World {
    fn hear(&mut self, says: Says) -> AlertOutcome {
        let heard = says.heard;
        let member = self.members.remove(&heard.alert.identity);
        let key = key_for(&heard, member.as_ref());
        let incident = self.incidents.remove(&key.0);
        let now = heard.received_at;
        self.keep(step(
            incident,
            Event::Heard { heard: Box::new(heard), member: member.map(Box::new) },
            &Facts { rules: self.rules.as_ref(), pages: None },
            now,
        ))
    }

    fn tick(&mut self, seconds: u64) {
        self.tick_due(at(seconds), at(seconds));
    }

    /// What the timers do when the clock was set back.
    fn tick_all(&mut self, seconds: u64) {
        self.tick_due(at(seconds), Timestamp::MAX);
    }

    fn tick_due(&mut self, now: Timestamp, deadline_max: Timestamp) {
        let due: Vec<[u8; 16]> = self
            .incidents
            .values()
            .filter(|incident| deadline(incident).is_some_and(|deadline| deadline <= deadline_max))
            .map(|incident| incident.key.0)
            .collect();
        for key in due {
            let incident = self.incidents.remove(&key);
            let mut lapsed = Vec::new();
            let mut next_expiry = Timestamp::MAX;
            for member in
                self.members.values().filter(|member| member.incident == Some(IncidentKey(key)) && member.is_firing())
            {
                let expires_at = member.expires_at().unwrap_or(now);
                if expires_at <= now { lapsed.push(member.clone()) } else { next_expiry = next_expiry.min(expires_at) }
            }
            lapsed.sort_by_key(|member| member.identity);
            let event = Event::Tick { due: lapsed, next_expiry, listening_since: self.listening_since };
            self.keep(step(incident, event, &Facts { rules: self.rules.as_ref(), pages: None }, now));
        }
    }

    fn keep(&mut self, step: Step) -> AlertOutcome {
        self.incidents.extend(step.incident.map(|incident| (incident.key.0, incident)));
        let members = step.members.into_iter().chain(step.unchanged_member);
        self.members.extend(members.map(|member| (member.identity, *member)));
        for notice in step.notices {
            self.told.push((notice.kind, notice.reason, notice.title()));
        }
        step.outcome
    }

    fn kinds(&self) -> Vec<NoticeKind> {
        self.told.iter().map(|(kind, _, _)| *kind).collect()
    }
}

#[test]
fn a_problem_is_told_once_and_resolved_once() {
    let mut world = World::default();
    assert_eq!(world.hear(prometheus("a", 0)), AlertOutcome::Opened);
    assert_eq!(world.hear(prometheus("a", 60)), AlertOutcome::Updated);
    assert_eq!(world.hear(prometheus("b", 61)), AlertOutcome::Joined);
    assert_eq!(world.hear(prometheus("a", 90).resolved()), AlertOutcome::MemberResolved);
    assert_eq!(world.hear(prometheus("b", 95).resolved()), AlertOutcome::Resolved);
    for repeat in 0..15 {
        assert_eq!(world.hear(prometheus("b", 150 + repeat * 60).resolved().ends(95)), AlertOutcome::Repeated);
    }
    assert_eq!(world.kinds(), [NoticeKind::Opened, NoticeKind::Resolved]);
}

#[test]
fn a_resolve_during_the_hold_cancels_the_page() {
    let mut world = World::default();
    let hold = |route: &mut Route| route.hold = MINUTE;
    world.hear(prometheus("a", 0).route(hold));
    world.tick(59);
    assert_eq!(world.hear(prometheus("a", 59).resolved()), AlertOutcome::Cancelled);
    world.tick(120);
    assert_eq!(world.kinds(), []);
    world.hear(prometheus("a", 200).starts(190).route(hold));
    world.tick(261);
    assert_eq!(world.told, [(NoticeKind::Opened, Reason::HoldOver, "Errors [EKS]".to_owned())]);
}

#[test]
fn both_platforms_are_one_incident_that_ends_with_the_last_leg() {
    let mut world = World::default();
    world.hear(prometheus("eks", 0).cell("c1"));
    world.hear(prometheus("ecs", 1).on("ecs").cell("c1"));
    assert_eq!(world.kinds(), [NoticeKind::Opened], "the change waits for the update interval");
    world.tick(61);
    assert_eq!(world.told[1], (NoticeKind::Changed, Reason::NewLeg, "Errors [EKS+ECS c1]".to_owned()));
    world.hear(prometheus("eks", 70).resolved());
    assert_eq!(world.kinds().len(), 2, "one leg still fires");
    world.hear(prometheus("ecs", 80).on("ecs").resolved());
    assert_eq!(world.kinds(), [NoticeKind::Opened, NoticeKind::Changed, NoticeKind::Resolved]);
}

#[test]
fn worse_is_told_at_once_and_better_never() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).severity(Severity::Warning));
    world.hear(prometheus("a", 1).severity(Severity::Critical));
    world.hear(prometheus("a", 2).severity(Severity::Info));
    assert_eq!(world.told.len(), 2);
    assert_eq!(world.told[1].1, Reason::WorseSeverity);
}

#[test]
fn an_open_incident_is_told_again_after_the_reminder_interval_only() {
    let mut world = World::default();
    world.hear(prometheus("a", 0));
    for minute in 1..=130 {
        world.hear(prometheus("a", minute * 60));
        world.tick(minute * 60);
    }
    assert_eq!(world.kinds(), [NoticeKind::Opened, NoticeKind::Reminder, NoticeKind::Reminder]);
}

#[test]
fn what_is_heard_no_more_closes_as_stale_and_opens_again_when_it_is_heard() {
    let mut world = World::default();
    world.hear(prometheus("a", 0));
    world.tick(239);
    assert_eq!(world.kinds(), [NoticeKind::Opened]);
    world.tick(240);
    assert_eq!(world.told[1].1, Reason::Stale);
    assert_eq!(world.hear(prometheus("a", 300)), AlertOutcome::Opened, "same start: it never stopped");
}

#[test]
fn a_restart_gives_every_word_its_span_again() {
    let mut world = World::default();
    world.hear(prometheus("a", 0));
    world.listening_since = at(1800);
    world.tick(1800);
    assert_eq!(world.kinds(), [NoticeKind::Opened], "nobody could be heard for half an hour");
    world.hear(prometheus("a", 1810));
    world.tick(1800 + 239);
    assert_eq!(world.kinds(), [NoticeKind::Opened]);
    world.tick(1810 + 240);
    assert_eq!(world.kinds(), [NoticeKind::Opened, NoticeKind::Resolved]);
}

#[test]
fn a_hold_that_ran_out_while_nobody_listened_leaves_the_sender_a_moment_to_say_that_it_is_over() {
    let mut world = World::default();
    let hold = |route: &mut Route| route.hold = MINUTE;
    world.hear(prometheus("over", 0).route(hold));
    world.listening_since = at(65);
    world.tick(65);
    assert_eq!(world.hear(prometheus("over", 67).resolved().ends(20)), AlertOutcome::Cancelled);
    world.tick(200);
    assert_eq!(world.kinds(), []);

    world.hear(prometheus("lasts", 300).starts(300).route(hold));
    world.listening_since = at(365);
    world.tick(424);
    assert_eq!(world.kinds(), []);
    world.tick(425);
    assert_eq!(world.told, [(NoticeKind::Opened, Reason::HoldOver, "Errors [EKS]".to_owned())]);

    // What still had to wait waits no longer for a short absence.
    world.hear(prometheus("lasts", 430).resolved());
    world.hear(prometheus("short", 1000).starts(1000).route(hold));
    world.listening_since = at(1030);
    world.tick(1060);
    assert_eq!(world.kinds()[2], NoticeKind::Opened);
}

#[test]
fn two_replicas_do_not_flap() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).by(1, Voice::Evaluator));
    world.hear(prometheus("a", 3).starts(3).by(2, Voice::Evaluator));
    assert_eq!(world.hear(prometheus("a", 60).by(1, Voice::Evaluator).resolved()), AlertOutcome::Updated);
    assert_eq!(world.hear(prometheus("a", 63).starts(3).by(2, Voice::Evaluator)), AlertOutcome::Updated);
    assert_eq!(world.hear(prometheus("a", 70).starts(3).by(2, Voice::Evaluator).resolved()), AlertOutcome::Resolved);
    // The first replica's late word belongs to the episode that is over.
    assert_eq!(world.hear(prometheus("a", 71).by(1, Voice::Evaluator)), AlertOutcome::Late);
    assert_eq!(world.kinds(), [NoticeKind::Opened, NoticeKind::Resolved]);
}

#[test]
fn a_replica_that_keeps_firing_after_the_end_is_believed_in_the_end() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).by(1, Voice::Evaluator));
    world.hear(prometheus("a", 60).by(1, Voice::Evaluator).resolved());
    assert_eq!(world.hear(prometheus("a", 61).by(2, Voice::Evaluator)), AlertOutcome::Late);
    assert_eq!(world.hear(prometheus("a", 60 + 301).by(2, Voice::Evaluator)), AlertOutcome::Opened);
}

#[test]
fn the_same_alert_directly_and_through_a_relay_is_one_and_the_evaluator_ends_it() {
    let mut world = World::default();
    world.hear(prometheus("a", 0).by(1, Voice::Evaluator));
    world.hear(prometheus("a", 10).by(9, Voice::Relay));
    assert_eq!(world.hear(prometheus("a", 60).by(1, Voice::Evaluator).resolved()), AlertOutcome::Resolved);
    assert_eq!(world.hear(prometheus("a", 70).by(9, Voice::Relay).resolved().ends(60)), AlertOutcome::Repeated);
    // The other order: the relay is first, the evaluator still holds it until its own resolve.
    world.hear(prometheus("b", 0).by(1, Voice::Evaluator));
    world.hear(prometheus("b", 10).by(9, Voice::Relay));
    assert_eq!(world.hear(prometheus("b", 60).by(9, Voice::Relay).resolved()), AlertOutcome::Updated);
    assert_eq!(world.hear(prometheus("b", 61).by(1, Voice::Evaluator).resolved()), AlertOutcome::Resolved);
}

#[test]
fn a_resolve_that_overtakes_its_trigger_leaves_nothing_open() {
    let mut world = World::default();
    assert_eq!(world.hear(prometheus("a", 60).resolved()), AlertOutcome::Noted);
    assert_eq!(world.hear(prometheus("a", 61)), AlertOutcome::Late);
    assert_eq!(world.hear(prometheus("a", 90).starts(80)), AlertOutcome::Opened);
    assert_eq!(world.kinds(), [NoticeKind::Opened]);
}

#[test]
fn a_resolve_of_an_earlier_episode_does_not_end_the_present_one() {
    let mut world = World::default();
    world.hear(prometheus("a", 0));
    world.hear(prometheus("a", 60).resolved());
    world.hear(prometheus("a", 120).starts(110));
    assert_eq!(world.hear(prometheus("a", 121).resolved().ends(60)), AlertOutcome::Late);
    assert_eq!(world.kinds(), [NoticeKind::Opened, NoticeKind::Resolved, NoticeKind::Opened]);
}

#[test]
fn a_sender_whose_clock_is_behind_still_fires_and_still_resolves() {
    let mut world = World::default();
    // Its clock is ten minutes behind: every end it promises is past for us.
    let late = |seconds: u64, end: i64| {
        let mut says = prometheus("a", seconds).resolved();
        says.heard.alert.starts_at = Some(Timestamp::from_ms(START.as_ms() - 600_000));
        says.heard.alert.ends_at = Some(Timestamp::from_ms(START.as_ms() + end * 1000));
        says
    };
    assert_eq!(world.hear(late(0, -360)), AlertOutcome::Noted, "it cannot be told from a resolve yet");
    assert_eq!(world.hear(late(60, -300)), AlertOutcome::Opened, "no resolve moves on with the clock");
    assert_eq!(world.hear(late(120, -240)), AlertOutcome::Updated);
    assert_eq!(world.hear(late(130, -470)), AlertOutcome::Resolved, "earlier than the promise: a resolve");
    assert_eq!(world.kinds(), [NoticeKind::Opened, NoticeKind::Resolved]);
}

#[test]
fn a_rule_change_alters_the_next_episode_and_never_the_running_one() {
    let mut world = World::default();
    let moved = |mut says: Says| {
        says.heard.key = IncidentKey([8; 16]);
        says
    };
    world.hear(prometheus("a", 0));
    assert_eq!(world.hear(moved(prometheus("a", 60))), AlertOutcome::Updated);
    assert_eq!(world.hear(moved(prometheus("a", 90).resolved())), AlertOutcome::Resolved);
    assert_eq!(world.hear(moved(prometheus("a", 200).starts(190))), AlertOutcome::Opened);
    assert_eq!(world.incidents.len(), 2);
}

#[test]
fn a_clock_that_is_set_back_neither_keeps_a_hold_nor_loses_a_resolve() {
    let mut world = World::default();
    let hour = 3600;
    world.hear(prometheus("a", hour).starts(hour).route(|route| route.hold = MINUTE));
    // An hour back: the end of the hold is an hour and a minute away.
    world.tick_all(10);
    assert_eq!(world.kinds(), [NoticeKind::Opened]);
    assert_eq!(world.hear(prometheus("a", 20).starts(hour).resolved()), AlertOutcome::Resolved);
    assert_eq!(world.kinds(), [NoticeKind::Opened, NoticeKind::Resolved]);
}

#[test]
fn an_acknowledgement_is_passed_on_once() {
    let mut world = World::default();
    let acknowledged = |seconds| {
        let mut says = prometheus("a", seconds);
        says.heard.alert.state = State::Acknowledged;
        says
    };
    assert_eq!(world.hear(acknowledged(0)), AlertOutcome::Noted);
    world.hear(prometheus("a", 1));
    world.hear(acknowledged(2));
    world.hear(acknowledged(3));
    assert_eq!(world.told.iter().filter(|(_, reason, _)| *reason == Reason::Acknowledged).count(), 1);
}

/// Long random histories from printed seeds, held against the laws that no history may break.
#[test]
fn senders_that_change_their_addresses_do_not_add_up_in_a_member() {
    let mut world = World::default();
    for minute in 0..500 {
        world.hear(prometheus("a", minute * 60).by(minute, Voice::Evaluator));
        let words = &world.members[&identity("a")].words;
        assert!(words.len() <= 8, "{} words after {minute} minutes", words.len());
        assert!(words.iter().any(|word| word.sender == SenderId(minute)));
    }
    assert_eq!(world.kinds().iter().filter(|kind| **kind == NoticeKind::Opened).count(), 1);
    // A word that has only just lapsed is left: this start may count it anew.
    world.hear(prometheus("b", 0).by(1, Voice::Evaluator));
    world.hear(prometheus("b", 300).by(2, Voice::Evaluator));
    assert_eq!(world.members[&identity("b")].words.len(), 2);
}
