//! Which route an incident follows when its members have several, and who stands in for sinks that left the settings.
//! Never takes away a sink that is there: who was told hears the end.

use std::iter;
use std::sync::Arc;

use super::{Facts, Heard};
use crate::model::{Incident, Phase, Route, Severity, TagName};

/// A member begins to fire, or is worse than it was. Nobody waits longer than its own route says, and whoever that route
/// names is told; the times of the worst member's route are those of the incident. True if that changed anything.
pub(super) fn follow(incident: &mut Incident, heard: &Heard, severity: Severity) -> bool {
    let theirs = &heard.route;
    let is_sooner = sooner(incident, heard);
    let is_worse = severity > incident.severity;
    if is_worse && let Some(tag) = heard.tags.get(TagName::Severity) {
        Arc::make_mut(&mut incident.tags).replace(TagName::Severity, tag.clone());
    }
    let ours = &incident.route;
    let is_ours = Route::id_of(&ours.by) == Route::id_of(&theirs.by);
    let takes_over = is_worse && !is_ours;
    let is_joined = is_ours || ours.joined.iter().any(|by| Route::id_of(by) == Route::id_of(&theirs.by));
    let is_known = |sink: &Arc<str>| ours.sinks.contains(sink);
    if !takes_over && is_joined && theirs.sinks.iter().all(is_known) {
        return is_sooner;
    }
    if let Some(told) = &mut incident.told {
        // Before they were counted, all that there were had been told.
        told.sink_count = told.sink_count.or(u32::try_from(ours.sinks.len()).ok());
    }
    incident.route = Arc::new(both(ours, theirs, takes_over));
    true
}

/// A sink that left the settings, or got another name, hears nothing any more: whom the routes of the incident name now
/// stand in for it, behind those that were told. True if somebody who was told has left.
pub(super) fn stand_in(incident: &mut Incident, facts: &Facts<'_>) -> bool {
    let Some(rules) = facts.rules else { return false };
    let is_there = |sink: &&Arc<str>| rules.has_sink(sink);
    let sinks = &incident.route.sinks;
    if sinks.iter().all(|sink| is_there(&sink)) {
        return false;
    }
    let told_count =
        incident.told.as_ref().map_or(0, |told| told.sink_count.map_or(sinks.len(), |count| count as usize));
    let (told, waiting) = sinks.split_at(told_count.min(sinks.len()));
    let mut stay: Vec<Arc<str>> = told.iter().filter(is_there).cloned().collect();
    let (has_left, stay_count) = (stay.len() < told.len(), stay.len());
    for sink in waiting.iter().filter(is_there).chain(&rules.audience(&incident.route)) {
        if !stay.contains(sink) {
            stay.push(sink.clone());
        }
    }
    Arc::make_mut(&mut incident.route).sinks = stay;
    if let Some(told) = &mut incident.told {
        told.sink_count = u32::try_from(stay_count).ok();
    }
    has_left
}

/// A hold ends when that of the most impatient member does.
fn sooner(incident: &mut Incident, heard: &Heard) -> bool {
    let Phase::Held { until } = &mut incident.phase else { return false };
    let theirs = heard.received_at.plus(heard.route.hold);
    let is_sooner = theirs < *until;
    *until = theirs.min(*until);
    is_sooner
}

fn both(ours: &Route, theirs: &Route, takes_over: bool) -> Route {
    let (first, second) = if takes_over { (theirs, ours) } else { (ours, theirs) };
    let mut route = Route::clone(first);
    // Those that were told stand first: their number says who was.
    route.sinks = ours.sinks.clone();
    route.sinks.extend(theirs.sinks.iter().filter(|sink| !ours.sinks.contains(sink)).cloned());
    // What one of them does not limit is not limited.
    route.limit = first.limit.filter(|_| second.limit.is_some());
    let id = Route::id_of(&first.by);
    for by in iter::once(&second.by).chain(&second.joined).filter(|by| Route::id_of(by) != id) {
        add(&mut route.joined, by);
    }
    for by in iter::once(&second.by).chain(&second.also).filter(|by| Route::id_of(by) != id) {
        add(&mut route.also, by);
    }
    route
}

fn add(all: &mut Vec<Arc<str>>, by: &Arc<str>) {
    if !all.iter().any(|known| Route::id_of(known) == Route::id_of(by)) {
        all.push(by.clone());
    }
}
