//! What a message does to the member it is about and to the incident of that member. Never decides when to
//! speak: `speak` does.

use std::sync::Arc;
use std::time::Duration;

use super::{Facts, Heard, LATE_EVALUATOR, LATE_RELAY, RESTART_GRACE_MAX, SAMPLE_COUNT_MAX, Step, route, speak};
use crate::model::alert::Voice;
use crate::model::incident::{Ended, EndedHow, Sample, Word};
use crate::model::{AlertOutcome, Incident, IncidentKey, Leg, Member, Phase, Severity, State, TagName, Timestamp};
use crate::rules::RuleSet;

/// For a sender whose clock is behind: what Alertmanager assumes of an alert without an end.
const HOLDS_FOR_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// The incident that a message concerns: the one its member belongs to while that episode lasts, else the one
/// that the tags name. So a rule change alters the next episode, never the running one.
pub fn key_for(heard: &Heard, member: Option<&Member>) -> IncidentKey {
    match member {
        Some(member) if member.is_firing() || !starts_new_episode(heard, member) => {
            member.incident.unwrap_or(heard.key)
        }
        _ => heard.key,
    }
}

pub(super) fn hear(incident: Option<Incident>, heard: Heard, member: Option<Box<Member>>, facts: &Facts<'_>) -> Step {
    match heard.alert.state {
        State::Firing => hear_firing(incident, heard, member, facts),
        State::Resolved => hear_resolved(incident, heard, member, facts),
        State::Acknowledged => hear_acknowledged(incident, heard, member, facts),
        State::Suppressed | State::NoData => Step::unchanged(incident, member, AlertOutcome::Noted),
        State::Info => {
            let notice = speak::event_notice(&heard);
            // It does not last, so nothing could be told when the silence ends.
            let is_silent = |rules: &RuleSet| rules.is_silent(&notice.incident, heard.received_at);
            if facts.rules.is_some_and(is_silent) {
                return Step::unchanged(incident, member, AlertOutcome::Noted);
            }
            Step { notices: vec![notice], ..Step::unchanged(incident, member, AlertOutcome::Passed) }
        }
    }
}

fn hear_firing(incident: Option<Incident>, heard: Heard, member: Option<Box<Member>>, facts: &Facts<'_>) -> Step {
    match member {
        None => join(incident, heard, None, facts),
        Some(member) if member.is_firing() => match incident {
            Some(incident) => refresh(incident, heard, member, facts),
            // Retention took the incident of a member that still fires: it begins anew.
            None => join(None, heard, Some(member), facts),
        },
        Some(member) if starts_new_episode(&heard, &member) => join(incident, heard, Some(member), facts),
        member => Step::unchanged(incident, member, AlertOutcome::Late),
    }
}

/// Whether a message about an ended member opens a new episode rather than being an echo of the old one.
fn starts_new_episode(heard: &Heard, member: &Member) -> bool {
    let Some(ended) = member.ended else { return false };
    if heard.alert.state != State::Firing {
        return false;
    }
    let late_window = match heard.alert.voice {
        Voice::Evaluator => LATE_EVALUATOR,
        Voice::Relay => LATE_RELAY,
    };
    match (ended.how, heard.alert.starts_at) {
        // We closed it for silence, and silence is over. A relay's echo of what went stale is still news.
        (EndedHow::Stale, _) => true,
        // A sender without start times speaks in order: firing after the end is new.
        (EndedHow::Resolved, None) => true,
        (EndedHow::Resolved, Some(starts_at)) => {
            starts_at >= ended.at && starts_at != member.starts_at
                || heard.received_at.since(ended.heard_at) > late_window
        }
    }
}

/// Another "firing" about a member that fires: its expiry moves, it may have become worse.
fn refresh(mut incident: Incident, heard: Heard, mut member: Box<Member>, facts: &Facts<'_>) -> Step {
    let before = member.severity;
    say(&mut member, &heard);
    if let Some(starts_at) = heard.alert.starts_at {
        member.starts_at = member.starts_at.min(starts_at);
    }
    member.severity = severity_of(&heard);
    let mut changed = false;
    if member.severity > before {
        changed |= route::follow(&mut incident, &heard, member.severity);
    }
    if member.severity > before && member.severity > incident.severity {
        incident.severity = member.severity;
        changed = true;
    }
    // A shorter word can only come from a sender that changed its interval.
    changed |= expect_expiry(&mut incident, &member);
    let quiet_before = incident.quiet.clone();
    let said = speak::speak(&mut incident, facts, heard.received_at);
    Step {
        incident_changed: changed || said.is_some() || incident.quiet != quiet_before,
        ..Step::changed(incident, Some(member), said, AlertOutcome::Updated)
    }
}

/// Sees to it that the incident is looked at when the last word lapses. True if it would not have been.
fn expect_expiry(incident: &mut Incident, member: &Member) -> bool {
    let expiry = member.expires_at().filter(|expiry| *expiry < incident.next_expiry);
    incident.next_expiry = expiry.unwrap_or(incident.next_expiry);
    expiry.is_some()
}

/// The sender's word: it fires, until then.
fn word_of(heard: &Heard) -> Word {
    Word {
        sender: heard.alert.sender,
        voice: heard.alert.voice,
        heard_at: heard.received_at,
        expires_at: heard.received_at.plus(heard.alert.holds_for),
        said_ends_at: heard.alert.ends_at,
    }
}

/// Records the sender's word.
fn say(member: &mut Member, heard: &Heard) {
    let mut word = word_of(heard);
    // Words of other senders that lapsed long ago count for nothing, and where senders change their addresses
    // they would add up. One more span is left to them, because a start may count it again (see `tick`).
    let is_over = |held: &Word| {
        let span = held.expires_at.since(held.heard_at).min(RESTART_GRACE_MAX);
        held.expires_at.plus(span) <= word.heard_at
    };
    member.words.retain(|held| held.sender == word.sender || !is_over(held));
    match member.words.iter_mut().find(|held| held.sender == word.sender) {
        Some(held) => {
            // Who has said how long it fires takes that back by a resolve and by nothing else: a later end that was said
            // outright outlives an earlier one and one that was only assumed (Alertmanager's merge).
            if held.said_ends_at.is_some() && held.expires_at > word.expires_at {
                word.expires_at = held.expires_at;
                word.said_ends_at = word.said_ends_at.max(held.said_ends_at);
            }
            *held = word;
        }
        None => member.words.push(word),
    }
}

/// A member begins to fire: in an open incident, or as the first of a new episode.
fn join(incident: Option<Incident>, heard: Heard, previous: Option<Box<Member>>, facts: &Facts<'_>) -> Step {
    let now = heard.received_at;
    let platform: Arc<str> = tag(&heard, TagName::Platform).unwrap_or_else(|| Arc::from("unknown"));
    let cell = tag(&heard, TagName::Cell);
    let severity = severity_of(&heard);
    let expires_at = now.plus(heard.alert.holds_for);
    let (mut incident, outcome) = match incident {
        Some(incident) if !incident.is_closed() => (incident, AlertOutcome::Joined),
        previous => (open(&heard, severity, previous.as_ref()), AlertOutcome::Opened),
    };
    if outcome == AlertOutcome::Joined {
        route::follow(&mut incident, &heard, severity);
    }
    incident.severity = incident.severity.max(severity);
    incident.next_expiry = incident.next_expiry.min(expires_at);
    let counted_before = previous.as_ref().filter(|member| {
        member.incident == Some(incident.key) && member.episode == incident.episode && !member.is_firing()
    });
    if let Some(member) = counted_before {
        let leg = leg(&mut incident, &member.platform);
        leg.resolved_count = leg.resolved_count.saturating_sub(1);
    }
    leg(&mut incident, &platform).firing_count += 1;
    if let Some(cell) = &cell
        && !incident.cells.contains(cell)
    {
        incident.cells.push(cell.clone());
    }
    let is_lead = outcome == AlertOutcome::Opened;
    let known = incident.lead.identity == heard.alert.identity
        || incident.samples.iter().any(|sample| sample.identity == heard.alert.identity);
    if !is_lead && !known && incident.samples.len() < SAMPLE_COUNT_MAX {
        let further = Sample { annotations: Default::default(), links: Vec::new(), ..sample(&heard, severity) };
        incident.samples.push(Arc::new(further));
    }
    let member = member_of(heard, &incident, platform, cell, severity);
    let said = speak::speak(&mut incident, facts, now);
    Step::changed(incident, Some(member), said, outcome)
}

fn member_of(
    heard: Heard,
    incident: &Incident,
    platform: Arc<str>,
    cell: Option<Arc<str>>,
    severity: Severity,
) -> Box<Member> {
    let words = vec![word_of(&heard)];
    // All that the message owns becomes the member's.
    let Heard { alert, source, received_at, .. } = heard;
    Box::new(Member {
        identity: alert.identity,
        incident: Some(incident.key),
        episode: incident.episode,
        platform,
        cell,
        severity,
        starts_at: alert.starts_at.unwrap_or(received_at),
        ended: None,
        words,
        name: alert.name.into_owned(),
        title: alert.title.into_owned(),
        labels: alert.labels,
        annotations: alert.annotations,
        source,
        generator_url: alert.fields.get("generatorURL").map(str::to_owned),
    })
}

/// The incident of an event without an end: nothing but its lead.
pub(super) fn stub(heard: &Heard) -> Incident {
    open(heard, severity_of(heard), None)
}

/// A new episode of the key, with no member counted yet.
fn open(heard: &Heard, severity: Severity, previous: Option<&Incident>) -> Incident {
    let now = heard.received_at;
    Incident {
        key: heard.key,
        episode: previous.map_or(0, |incident| incident.episode) + 1,
        sequence: previous.map_or(0, |incident| incident.sequence),
        phase: Phase::Held { until: now.plus(heard.route.hold) },
        opened_at: now,
        started_at: heard.alert.starts_at.unwrap_or(now).min(now),
        severity,
        acknowledged: false,
        tags: heard.tags.clone(),
        rules_revision: heard.rules_revision.clone(),
        legs: Vec::new(),
        cells: Vec::new(),
        lead: Arc::new(sample(heard, severity)),
        samples: Vec::new(),
        route: heard.route.clone(),
        told: None,
        quiet: None,
        next_expiry: Timestamp::MAX,
    }
}

fn sample(heard: &Heard, severity: Severity) -> Sample {
    Sample {
        identity: heard.alert.identity,
        source: heard.source.clone(),
        name: heard.alert.name.to_string(),
        title: heard.alert.title.to_string(),
        starts_at: heard.alert.starts_at.unwrap_or(heard.received_at),
        severity,
        labels: heard.alert.labels.clone(),
        annotations: heard.alert.annotations.clone(),
        links: heard.alert.all_links(),
    }
}

fn hear_resolved(incident: Option<Incident>, heard: Heard, member: Option<Box<Member>>, facts: &Facts<'_>) -> Step {
    match (incident, member) {
        (Some(incident), Some(member)) if member.is_firing() => end_word(incident, heard, member, facts),
        // An orphan that is said to have ended again, later, by the same sender and with the same start: no
        // resolve moves on with the clock. The sender's clock is behind ours and the alert fires.
        (incident, Some(member)) if member.incident.is_none() && clock_is_behind(&heard, &member) => {
            let mut heard = heard;
            heard.alert.state = State::Firing;
            heard.alert.holds_for = HOLDS_FOR_DEFAULT;
            join(incident, heard, None, facts)
        }
        (incident, member @ Some(_)) => Step::unchanged(incident, member, AlertOutcome::Repeated),
        (incident, None) => {
            let orphan = orphan(heard);
            Step { members: vec![orphan], ..Step::unchanged(incident, None, AlertOutcome::Noted) }
        }
    }
}

/// One sender takes its "firing" back; the member ends when nobody else says so any more.
fn end_word(mut incident: Incident, mut heard: Heard, mut member: Box<Member>, facts: &Facts<'_>) -> Step {
    let now = heard.received_at;
    // A start that lies ahead of us was noted before the clock was set back: then it proves nothing.
    let is_before_start = heard.alert.ends_at.is_some_and(|ends_at| ends_at < earliest_end(&member));
    if is_before_start && member.starts_at <= now {
        return Step::unchanged(Some(incident), Some(member), AlertOutcome::Late);
    }
    if clock_is_behind(&heard, &member) {
        heard.alert.state = State::Firing;
        heard.alert.holds_for = HOLDS_FOR_DEFAULT;
        return refresh(incident, heard, member, facts);
    }
    let sender = heard.alert.sender;
    // A relay only repeats what evaluators told it, so its own older "firing" falls with either kind of resolve.
    member.words.retain(|word| word.sender != sender && word.voice == Voice::Evaluator && word.expires_at > now);
    if !member.words.is_empty() {
        // What is left may lapse before what has just been taken back would have.
        let incident_changed = expect_expiry(&mut incident, &member);
        return Step { incident_changed, ..Step::changed(incident, Some(member), None, AlertOutcome::Updated) };
    }
    let ended_at = heard.alert.ends_at.unwrap_or(now).min(now);
    end_member(&mut incident, &mut member, Ended { at: ended_at, heard_at: now, how: EndedHow::Resolved });
    let (said, outcome) = speak::close_if_over(&mut incident, EndedHow::Resolved, facts, now);
    Step::changed(incident, Some(member), said, outcome)
}

/// An end before this is an echo of an earlier episode. Where the sender named no start, ours was noted, and its whole
/// seconds or a clock that is a little behind may put an end before that.
fn earliest_end(member: &Member) -> Timestamp {
    const SENDERS_CLOCK_BEHIND: Duration = Duration::from_secs(2);
    let is_ours = member.words.iter().any(|word| word.heard_at == member.starts_at);
    if is_ours { member.starts_at.minus(SENDERS_CLOCK_BEHIND) } else { member.starts_at }
}

/// Moves a member from firing to ended in the counts of its leg.
pub(super) fn end_member(incident: &mut Incident, member: &mut Member, ended: Ended) {
    member.ended = Some(ended);
    let leg = leg(incident, &member.platform);
    leg.firing_count = leg.firing_count.saturating_sub(1);
    leg.resolved_count += 1;
}

/// A past end that is later than the end this sender promised before: not a resolve, but a firing message of
/// a sender whose clock is behind ours. A resolve is always earlier than the promise.
fn clock_is_behind(heard: &Heard, member: &Member) -> bool {
    let Some(ends_at) = heard.alert.ends_at else { return false };
    heard.alert.starts_at == Some(member.starts_at)
        && member
            .words
            .iter()
            .any(|word| word.sender == heard.alert.sender && word.said_ends_at.is_some_and(|said| ends_at > said))
}

/// A resolve without an episode is kept as a fact, so that the firing message it overtook is known as late.
fn orphan(heard: Heard) -> Box<Member> {
    let now = heard.received_at;
    let ended_at = heard.alert.ends_at.unwrap_or(now).min(now);
    let mut member = Box::new(Member {
        identity: heard.alert.identity,
        incident: None,
        episode: 0,
        platform: tag(&heard, TagName::Platform).unwrap_or_else(|| Arc::from("unknown")),
        cell: None,
        severity: severity_of(&heard),
        starts_at: heard.alert.starts_at.unwrap_or(ended_at),
        ended: Some(Ended { at: ended_at, heard_at: now, how: EndedHow::Resolved }),
        words: Vec::new(),
        name: heard.alert.name.to_string(),
        title: heard.alert.title.to_string(),
        labels: Default::default(),
        annotations: Default::default(),
        source: heard.source.clone(),
        generator_url: None,
    });
    say(&mut member, &heard);
    member
}

fn hear_acknowledged(incident: Option<Incident>, heard: Heard, member: Option<Box<Member>>, facts: &Facts<'_>) -> Step {
    match (incident, member) {
        (Some(mut incident), Some(member)) if member.is_firing() && !incident.acknowledged => {
            incident.acknowledged = true;
            let said = speak::speak(&mut incident, facts, heard.received_at);
            Step { unchanged_member: Some(member), ..Step::changed(incident, None, said, AlertOutcome::Updated) }
        }
        (incident, member) => Step::unchanged(incident, member, AlertOutcome::Noted),
    }
}

fn leg<'a>(incident: &'a mut Incident, platform: &Arc<str>) -> &'a mut Leg {
    let at = incident.legs.iter().position(|leg| leg.platform == *platform).unwrap_or_else(|| {
        incident.legs.push(Leg { platform: platform.clone(), firing_count: 0, resolved_count: 0 });
        incident.legs.len() - 1
    });
    &mut incident.legs[at]
}

fn tag(heard: &Heard, name: TagName) -> Option<Arc<str>> {
    heard.tags.get(name).map(|tag| tag.value.clone())
}

/// A rule may say how bad it is; else the source does.
pub(super) fn severity_of(heard: &Heard) -> Severity {
    heard.tags.value(TagName::Severity).and_then(Severity::from_word).unwrap_or(heard.alert.severity)
}
