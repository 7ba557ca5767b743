//! Which route an incident follows when its members have several. Never takes a sink away: who was told hears the end.

use std::iter;
use std::sync::Arc;

use super::Heard;
use crate::model::{Incident, Phase, Route, Severity, TagName};

/// A member begins to fire, or is worse than it was. Nobody waits longer than its own route says, and whoever that route
/// names is told; the times of the worst member's route are those of the incident.
pub(super) fn follow(incident: &mut Incident, heard: &Heard, severity: Severity) {
    let theirs = &heard.route;
    if let Phase::Held { until } = &mut incident.phase {
        *until = heard.received_at.plus(theirs.hold).min(*until);
    }
    let is_worse = severity > incident.severity;
    if is_worse && let Some(tag) = heard.tags.get(TagName::Severity) {
        Arc::make_mut(&mut incident.tags).replace(TagName::Severity, tag.clone());
    }
    let ours = &incident.route;
    let is_known = |sink: &&Arc<str>| ours.sinks.contains(sink);
    let takes_over = is_worse && ours.by != theirs.by;
    if !takes_over && theirs.sinks.iter().all(|sink| is_known(&sink)) {
        return;
    }
    let (first, second) = if takes_over { (theirs, ours) } else { (ours, theirs) };
    let mut route = Route::clone(first);
    // Those that were told stand first: their number says who was.
    route.sinks = ours.sinks.clone();
    route.sinks.extend(theirs.sinks.iter().filter(|sink| !is_known(sink)).cloned());
    for by in iter::once(&second.by).chain(&second.also) {
        if route.by != *by && !route.also.contains(by) {
            route.also.push(by.clone());
        }
    }
    incident.route = Arc::new(route);
}
