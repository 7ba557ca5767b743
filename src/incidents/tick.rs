//! What the passing of time does: words lapse, holds end, reminders come due. Never hears anything.

use super::hear::end_member;
use super::speak;
use super::{ABSENCE_HOLD_MAX, Facts, RESTART_GRACE_MAX, Step};
use crate::model::incident::{Ended, EndedHow, Word};
use crate::model::{AlertOutcome, Incident, Member, Phase, Timestamp};

/// Members whose last word should have lapsed, and the earliest expiry among the others.
pub(super) struct Due {
    pub(super) members: Vec<Member>,
    pub(super) next_expiry: Timestamp,
}

pub(super) fn tick(
    mut incident: Incident,
    due: Due,
    listening_since: Timestamp,
    facts: &Facts<'_>,
    now: Timestamp,
) -> Step {
    if incident.is_closed() {
        return Step::unchanged(Some(incident), None, AlertOutcome::Repeated);
    }
    incident.next_expiry = due.next_expiry;
    hold_after_absence(&mut incident, listening_since, now);
    let mut members = Vec::new();
    let mut ended_any = false;
    for mut member in due.members {
        let last = member.words.iter().map(|word| lapses_at(word, listening_since)).max();
        match last {
            Some(lapse) if lapse > now => incident.next_expiry = incident.next_expiry.min(lapse),
            Some(_) | None => {
                end_member(&mut incident, &mut member, Ended { at: now, heard_at: now, how: EndedHow::Stale });
                ended_any = true;
                members.push(Box::new(member));
            }
        }
    }
    let (said, outcome) = if ended_any {
        speak::close_if_over(&mut incident, EndedHow::Stale, facts, now)
    } else {
        (speak::speak(&mut incident, facts, now), AlertOutcome::Updated)
    };
    Step { members, ..Step::changed(incident, None, said, outcome) }
}

/// A hold that ran out while nobody listened goes on for a moment: the alert may have ended meanwhile, and its sender says
/// so again before long.
fn hold_after_absence(incident: &mut Incident, listening_since: Timestamp, now: Timestamp) {
    let hold = incident.route.hold.min(ABSENCE_HOLD_MAX);
    if let Phase::Held { until } = &mut incident.phase
        && *until < listening_since
        && listening_since.plus(hold) > now
    {
        *until = listening_since.plus(hold);
    }
}

/// When a word lapses. One heard before this start holds again for its own span, counted from the start:
/// its sender may have repeated it while nobody listened.
fn lapses_at(word: &Word, listening_since: Timestamp) -> Timestamp {
    if word.heard_at >= listening_since {
        return word.expires_at;
    }
    let span = word.expires_at.since(word.heard_at).min(RESTART_GRACE_MAX);
    word.expires_at.max(listening_since.plus(span))
}
