//! Signals that a route sends to nobody, because none of its sinks takes them. Says so, and changes nothing.

use super::{Loaded, SettingsError, SpanRouteEntry, fault};
use crate::model::Signal;
use crate::settings::SinkPlan;

/// One for each list of sinks that leaves signals out: their senders are told that all was taken.
pub(super) fn warnings(loaded: &Loaded, plans: &[SinkPlan]) -> Vec<SettingsError> {
    let spans = &loaded.settings.spans;
    let to = spans.to.to_vec();
    // Few send profiles, and most kinds never take them: they are missed only where some sink gets them.
    let has_profiles =
        spans.routes.iter().map(|entry| &entry.to).chain([&to]).any(|to| takes(plans, to, Signal::Profiles));
    let wanted = Signal::ALL.into_iter().filter(|signal| *signal != Signal::Profiles || has_profiles);
    let wanted: Vec<Signal> = wanted.collect();
    let warning = |key: &str, what: String, to: &[String]| {
        // An empty list was meant so, and a sink of exceptions alone is no place for anything else.
        if !to.iter().any(|name| plan_of(plans, name).is_some_and(|plan| plan.telemetry.is_some())) {
            return None;
        }
        let missed = wanted.iter().filter(|signal| !takes(plans, to, **signal));
        let missed: Vec<&str> = missed.map(|signal| signal.as_str()).collect();
        if missed.is_empty() {
            return None;
        }
        let names: Vec<String> = to.iter().map(|name| format!("`{name}`")).collect();
        let message = format!(
            "{what} goes to {}, and nobody there takes {}: senders are told that it was taken, and it goes nowhere",
            names.join(", "),
            missed.join(", ")
        );
        Some(fault(loaded, key, message, "add a sink that takes them, or name them in the `signals` of one"))
    };
    let of_route = |(at, entry): (usize, &SpanRouteEntry)| {
        warning("spans.routes", format!("what fits entry {} ({})", at + 1, condition(entry)), &entry.to)
    };
    let routes = spans.routes.iter().enumerate().filter_map(of_route);
    routes.chain(warning("spans.to", "what no route fits".to_owned(), &to)).collect()
}

fn plan_of<'p>(plans: &'p [SinkPlan], name: &str) -> Option<&'p SinkPlan> {
    plans.iter().find(|plan| *plan.name == *name)
}

fn takes(plans: &[SinkPlan], to: &[String], signal: Signal) -> bool {
    let sides = to.iter().filter_map(|name| plan_of(plans, name)?.telemetry.as_ref());
    sides.into_iter().any(|side| side.sink.accepts(signal))
}

/// As it was written: `owner: owl, crow; env: prod`.
fn condition(entry: &SpanRouteEntry) -> String {
    let lists = [("owner", &entry.owner), ("service", &entry.service), ("env", &entry.env)];
    let written = lists.iter().filter(|(_, list)| !list.is_empty());
    let written: Vec<String> = written.map(|(key, list)| format!("{key}: {}", list.join(", "))).collect();
    if written.is_empty() { "everything".to_owned() } else { written.join("; ") }
}
