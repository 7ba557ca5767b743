//! When an incident speaks and what it says. Never changes who is a member.

use std::sync::Arc;

use super::{Facts, Heard, route};
use crate::model::id::IdHasher;
use crate::model::incident::{EndedHow, Quiet, Told};
use crate::model::{AlertOutcome, Incident, IncidentKey, Leg, Notice, NoticeKind, Phase, Reason, TagName, Timestamp};

/// A notice before it is made: the incident goes with it as it stands at the end of the step.
pub(super) struct Said {
    pub(super) kind: NoticeKind,
    pub(super) reason: Reason,
    pub(super) at: Timestamp,
}

/// Says what is due now, unless it must wait, and leaves the incident as told.
pub(super) fn speak(incident: &mut Incident, facts: &Facts<'_>, now: Timestamp) -> Option<Said> {
    route::stand_in(incident, facts);
    let Some((kind, reason)) = due(incident, now) else {
        incident.quiet = None;
        return None;
    };
    if let Some(quiet) = facts.quiet(incident, kind, now) {
        hold_back(incident, quiet, now);
        return None;
    }
    let was_quiet = incident.quiet.take().is_some();
    incident.phase = Phase::Open;
    let reason = if was_quiet && kind == NoticeKind::Opened { Reason::QuietOver } else { reason };
    Some(tell(incident, kind, reason, now))
}

fn due(incident: &Incident, now: Timestamp) -> Option<(NoticeKind, Reason)> {
    match incident.phase {
        Phase::Closed { .. } => None,
        // An opening that lies ahead of us was noted before the clock was set back, and so was the end of the hold.
        Phase::Held { until } if now >= until || now < incident.opened_at => {
            let reason = if until > incident.opened_at { Reason::HoldOver } else { Reason::FirstAlert };
            Some((NoticeKind::Opened, reason))
        }
        Phase::Held { .. } => None,
        Phase::Open => incident.told.as_ref().and_then(|told| {
            let due = |span| now >= told.at.plus(span);
            match change(incident, told) {
                Some(reason) if is_at_once(reason) => Some((NoticeKind::Changed, reason)),
                Some(reason) if due(incident.route.update) => Some((NoticeKind::Changed, reason)),
                Some(_) | None if due(incident.route.remind) => Some((NoticeKind::Reminder, Reason::RemindInterval)),
                Some(_) | None => None,
            }
        }),
    }
}

/// The same reason as before is written again only when it is time to look again.
fn hold_back(incident: &mut Incident, quiet: Quiet, now: Timestamp) {
    match &mut incident.quiet {
        Some(held) if held.by == quiet.by && held.until == quiet.until && now < held.look_at => {}
        Some(held) => *held = Quiet { since: held.since, ..quiet },
        None => incident.quiet = Some(quiet),
    }
}

/// What has changed since the last notice, the gravest first.
pub(super) fn change(incident: &Incident, told: &Told) -> Option<Reason> {
    let is_new = |leg: &&Leg| leg.firing_count > 0 && !told.platforms.contains(&leg.platform);
    if incident.severity > told.severity {
        Some(Reason::WorseSeverity)
    } else if has_new_sink(incident, told) {
        // Before all that is no page: it is the first word that some sink hears.
        Some(Reason::NewSink)
    } else if incident.acknowledged && !told.acknowledged {
        Some(Reason::Acknowledged)
    } else if incident.legs.iter().find(is_new).is_some() {
        Some(Reason::NewLeg)
    } else if incident.cells.iter().any(|cell| !told.cells.contains(cell)) {
        Some(Reason::NewCell)
    } else {
        None
    }
}

/// Worse is said at once, and so is what somebody knows nothing of yet, and that somebody has taken it: none of these comes
/// often.
pub(super) fn is_at_once(reason: Reason) -> bool {
    matches!(reason, Reason::WorseSeverity | Reason::NewSink | Reason::Acknowledged)
}

fn has_new_sink(incident: &Incident, told: &Told) -> bool {
    told.sink_count.is_some_and(|count| (count as usize) < incident.route.sinks.len())
}

/// Closes an incident whose last member has ended. A held one closes in silence.
pub(super) fn close_if_over(
    incident: &mut Incident,
    how: EndedHow,
    facts: &Facts<'_>,
    now: Timestamp,
) -> (Option<Said>, AlertOutcome) {
    if incident.firing_count() > 0 {
        return (speak(incident, facts, now), AlertOutcome::MemberResolved);
    }
    incident.quiet = None;
    let was_told = incident.told.is_some();
    let has_left = route::stand_in(incident, facts);
    // Who was never told hears of no end, but for those who stand in for a sink that was: it may be the same under another
    // name. Those who were told stand first.
    let told_count = incident.told.as_ref().and_then(|told| told.sink_count).map_or(usize::MAX, |count| count as usize);
    if !has_left && told_count < incident.route.sinks.len() {
        Arc::make_mut(&mut incident.route).sinks.truncate(told_count);
    }
    incident.phase = Phase::Closed { at: now };
    if !was_told {
        return (None, AlertOutcome::Cancelled);
    }
    let reason = match how {
        EndedHow::Resolved => Reason::AllResolved,
        EndedHow::Stale => Reason::Stale,
    };
    (Some(tell(incident, NoticeKind::Resolved, reason, now)), AlertOutcome::Resolved)
}

fn tell(incident: &mut Incident, kind: NoticeKind, reason: Reason, now: Timestamp) -> Said {
    incident.sequence += 1;
    // A page is no acknowledgement, which then follows as a word of its own.
    let knew = incident.told.as_ref().is_some_and(|told| told.acknowledged);
    let acknowledged = if reason == Reason::NewSink { knew } else { incident.acknowledged };
    incident.told = Some(Told {
        at: now,
        severity: incident.severity,
        platforms: incident.legs.iter().map(|leg| leg.platform.clone()).collect(),
        cells: incident.cells.clone(),
        acknowledged,
        sink_count: u32::try_from(incident.route.sinks.len()).ok(),
    });
    Said { kind, reason, at: now }
}

/// An event without an end, as a notice of its own: it belongs to no incident's life.
pub fn event_notice(heard: &Heard) -> Notice {
    let mut hasher = IdHasher::new("event");
    hasher.part(&heard.alert.identity.to_string());
    let mut incident = super::hear::stub(heard);
    incident.key = IncidentKey(hasher.finish());
    incident.phase = Phase::Closed { at: heard.received_at };
    incident.sequence = 1;
    if let Some(platform) = heard.tags.get(TagName::Platform) {
        incident.legs.push(Leg { platform: platform.value.clone(), firing_count: 0, resolved_count: 0 });
    }
    incident.cells.extend(heard.tags.get(TagName::Cell).map(|tag| tag.value.clone()));
    Notice {
        kind: NoticeKind::Event,
        reason: Reason::Event,
        at: heard.received_at,
        sequence: 1,
        incident: Arc::new(incident),
    }
}
