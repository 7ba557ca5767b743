//! Holds what came of a story against what it expects. A failure says what was seen and which rule said so; never
//! changes anything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Incident, IncidentKey, Notice, TagName};
use crate::rules::story::{NoticeWant, Notices, Sameness, Spot, Want, What, Wording};
use crate::rules::{Diagnostic, Listed};

use super::scene::{Scene, Sent};
use super::tag_wanted::tag;
use super::world::World;

/// What differs: message and hint. `None`: as expected.
type Difference = Option<(Spot, String, Option<String>)>;

/// `told_before`: how many notices there were when the judged stretch began.
pub(super) fn judge(wants: &[Want], scene: &Scene<'_>, world: &World<'_>, told_before: usize) -> Vec<Diagnostic> {
    let told = &world.notices[told_before..];
    let mut failures = Vec::new();
    for want in wants {
        match &want.what {
            What::Alerts(lists) => failures.extend(each(lists, &want.spot, scene)),
            What::Rules(ids) => failures.extend(rules(ids, &scene.rules, scene.roster)),
            What::Tag { .. } | What::Route(_) | What::To(_) => {
                // One failure per expectation: of alerts that were sent together, the first that differs.
                let of_each = scene.sent.iter().find_map(|sent| of_one(want, sent, scene));
                failures.extend(of_each.map(fault));
            }
            What::Outcome(_)
            | What::Incident(_)
            | What::Incidents(_)
            | What::Open(_)
            | What::Legs(_)
            | What::Cells(_)
            | What::Notices(_)
            | What::Deliveries(_)
            | What::Quiet(_)
            | What::Title(_) => failures.extend(of_all(want, scene, world, told).map(fault)),
        }
    }
    failures
}

fn fault((spot, message, hint): (Spot, String, Option<String>)) -> Diagnostic {
    spot.fault(message, hint)
}

fn each(lists: &[Vec<Want>], spot: &Spot, scene: &Scene<'_>) -> Vec<Diagnostic> {
    if lists.len() != scene.sent.len() {
        return vec![spot.fault(format!("{} alerts were sent, expected {}", scene.sent.len(), lists.len()), None)];
    }
    let mut failures = Vec::new();
    for (wants, sent) in lists.iter().zip(&scene.sent) {
        for want in wants {
            match &want.what {
                What::Rules(ids) => {
                    let mut decided: BTreeSet<Arc<str>> =
                        sent.tags.iter().map(|(_, tag)| Arc::clone(&tag.by)).collect();
                    if let Some(route) = sent.route() {
                        decided.extend(route.also.iter().cloned());
                        decided.insert(Arc::clone(&route.by));
                    }
                    failures.extend(rules(ids, &decided, scene.roster));
                }
                What::Alerts(_)
                | What::Tag { .. }
                | What::Route(_)
                | What::To(_)
                | What::Outcome(_)
                | What::Incident(_)
                | What::Incidents(_)
                | What::Open(_)
                | What::Legs(_)
                | What::Cells(_)
                | What::Notices(_)
                | What::Deliveries(_)
                | What::Quiet(_)
                | What::Title(_) => {
                    failures.extend(of_one(want, sent, scene).map(fault));
                }
            }
        }
    }
    failures
}

fn rules(ids: &[(String, Spot)], decided: &BTreeSet<Arc<str>>, roster: &[Listed]) -> Vec<Diagnostic> {
    let id = |by: &str| by.split_once(' ').map_or(by, |(_, id)| id).to_owned();
    let seen: Vec<String> = decided.iter().map(|by| id(by)).collect();
    let missing = ids.iter().filter(|(wanted, _)| !seen.contains(wanted));
    missing
        .map(|(wanted, spot)| {
            let known = roster.iter().any(|listed| listed.id() == wanted);
            let message = match known {
                true => format!("`{wanted}` decided nothing"),
                // Names of services decide as well, and only those that did are known here.
                false => format!("`{wanted}` decided nothing, and no rule or route has this id"),
            };
            spot.fault(message, Some(format!("decided: {}", seen.join(", "))))
        })
        .collect()
}

/// An expectation of a single decision.
fn of_one(want: &Want, sent: &Sent, scene: &Scene<'_>) -> Difference {
    let differs = |message: String, hint: Option<String>| Some((want.spot.clone(), message, hint));
    let unrouted = || {
        let hint = "`spans` in the settings says where telemetry goes".to_owned();
        differs("no route of the rules is asked about a span".to_owned(), Some(hint))
    };
    match &want.what {
        What::Tag { name, value, by } => {
            let (message, hint) = tag(*name, value, by.as_deref(), &sent.tags)?;
            differs(message, hint)
        }
        What::Route(id) => {
            let Some(route) = sent.route() else { return unrouted() };
            let seen = route.by.split_once(' ').map_or(route.by.as_ref(), |(_, id)| id);
            if seen == id {
                return None;
            }
            let known = scene.roster.iter().any(|listed| listed.is_route && listed.id() == id);
            let message = format!("the route is `{seen}`, expected `{id}`");
            let hint = if known { format!("chosen at {}", route.by) } else { format!("no route is called `{id}`") };
            differs(message, Some(hint))
        }
        What::To(sinks) => {
            let Some(route) = sent.route() else { return unrouted() };
            let seen: BTreeSet<&str> = route.sinks.iter().map(AsRef::as_ref).collect();
            let wanted: BTreeSet<&str> = sinks.iter().map(String::as_str).collect();
            let message = format!("the route goes to {}, expected {}", list(&seen), list(&wanted));
            if seen == wanted { None } else { differs(message, Some(format!("by {}", route.by))) }
        }
        What::Rules(_)
        | What::Alerts(_)
        | What::Outcome(_)
        | What::Incident(_)
        | What::Incidents(_)
        | What::Open(_)
        | What::Legs(_)
        | What::Cells(_)
        | What::Notices(_)
        | What::Deliveries(_)
        | What::Quiet(_)
        | What::Title(_) => None,
    }
}

/// An expectation of everything that happened.
fn of_all(want: &Want, scene: &Scene<'_>, world: &World<'_>, told: &[Notice]) -> Difference {
    let at_want = |message: String, hint: Option<String>| Some((want.spot.clone(), message, hint));
    let count = |what: &str, seen: usize, wanted: usize| {
        if seen == wanted { None } else { at_want(format!("{seen} {what}, expected {wanted}"), None) }
    };
    match &want.what {
        What::Outcome(wanted) => {
            let mut heard = scene.sent.iter().filter_map(|sent| sent.heard.as_ref()).peekable();
            if heard.peek().is_none() {
                return at_want("no alert was sent, so nothing became of one".to_owned(), None);
            }
            let seen = heard.find(|heard| heard.outcome.as_str() != wanted)?.outcome.as_str();
            at_want(format!("the outcome is `{seen}`, expected `{wanted}`"), None)
        }
        What::Incident(wanted) => incident(*wanted, scene).and_then(|message| at_want(message, key_hint(scene))),
        What::Incidents(wanted) => count("incidents", world.opened.len(), *wanted),
        What::Open(wanted) => count("open incidents", world.open_count(), *wanted),
        What::Legs(wanted) => {
            let seen = last_incident(scene, world).map(legs).unwrap_or_default();
            let mut wanted: Vec<(String, usize)> = wanted.iter().filter(|(_, count)| *count > 0).cloned().collect();
            wanted.sort();
            let message = format!("firing legs are {}, expected {}", show_counts(&seen), show_counts(&wanted));
            if seen == wanted { None } else { at_want(message, None) }
        }
        What::Quiet(wanted) => {
            let quiet = last_incident(scene, world).and_then(|incident| incident.quiet.as_ref());
            let seen = quiet.map(|quiet| quiet.by.split_once(' ').map_or(&*quiet.by, |(_, id)| id));
            let message =
                format!("quiet by {}, expected {}", seen.unwrap_or("nothing"), wanted.as_deref().unwrap_or("nothing"));
            if seen == wanted.as_deref() {
                None
            } else {
                at_want(message, quiet.map(|quiet| format!("until {}", quiet.until)))
            }
        }
        What::Cells(wanted) => {
            let cells = last_incident(scene, world).map(|incident| incident.cells.as_slice()).unwrap_or_default();
            let seen: BTreeSet<&str> = cells.iter().map(AsRef::as_ref).collect();
            let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
            let message = format!("the cells are {}, expected {}", list(&seen), list(&wanted));
            if seen == wanted { None } else { at_want(message, None) }
        }
        What::Notices(wanted) => notices(wanted, told, world).map(|(spot, message)| {
            let spot = spot.unwrap_or_else(|| want.spot.clone());
            (spot, message, Some(format!("said: {}", show(told, world))))
        }),
        What::Deliveries(wanted) => wanted.iter().find_map(|(sink, wanted, spot)| {
            let goes = |notice: &&Notice| notice.incident.route.sinks.iter().any(|held| held.as_ref() == sink);
            let seen = told.iter().filter(goes).count();
            if !scene.sinks.iter().any(|known| known.as_ref() == sink) {
                let known: BTreeSet<&str> = scene.sinks.iter().map(AsRef::as_ref).collect();
                let message = format!("no route goes to a sink `{sink}`");
                return Some((spot.clone(), message, Some(format!("known: {}", list(&known)))));
            }
            let message = format!("{seen} notices for `{sink}`, expected {wanted}");
            let hint = Some(format!("said: {}", show(told, world)));
            if seen == *wanted { None } else { Some((spot.clone(), message, hint)) }
        }),
        What::Title(wanted) => match told.last() {
            None => at_want("nothing was said, so there is no title".to_owned(), None),
            Some(notice) => wording(wanted, &notice.title()).and_then(|message| at_want(message, None)),
        },
        What::Tag { .. } | What::Rules(_) | What::Route(_) | What::To(_) | What::Alerts(_) => None,
    }
}

fn incident(wanted: Sameness, scene: &Scene<'_>) -> Option<String> {
    let keys = |sent: &[Sent]| -> BTreeSet<IncidentKey> { sent.iter().filter_map(Sent::key).collect() };
    let (now, before) = (keys(&scene.sent), keys(&scene.before));
    if before.is_empty() || now.is_empty() {
        let when = if now.is_empty() { "" } else { " before this" };
        return Some(format!("no alert was sent{when}"));
    }
    match wanted {
        Sameness::Same if now != before => Some("it belongs to another incident than what was sent before".to_owned()),
        Sameness::Different if !now.is_disjoint(&before) => {
            Some("it belongs to the incident of what was sent before".to_owned())
        }
        Sameness::Same | Sameness::Different => None,
    }
}

/// What the keys are made of, before and now.
fn key_hint(scene: &Scene<'_>) -> Option<String> {
    let parts = |sent: &Sent| {
        let value = |name: TagName| sent.tags.value(name).unwrap_or("-").to_owned();
        format!(
            "service {}, class {}, env {}, cell {}",
            value(TagName::Service),
            value(TagName::Class),
            value(TagName::Environment),
            value(TagName::Cell)
        )
    };
    Some(format!("before: {}; now: {}", parts(scene.before.last()?), parts(scene.sent.last()?)))
}

fn last_incident<'w>(scene: &Scene<'_>, world: &'w World) -> Option<&'w Incident> {
    world.incident(scene.sent.last()?.key()?)
}

fn legs(incident: &Incident) -> Vec<(String, usize)> {
    let firing = incident.legs.iter().filter(|leg| leg.firing_count > 0);
    let mut legs: Vec<_> = firing.map(|leg| (leg.platform.to_string(), leg.firing_count as usize)).collect();
    legs.sort();
    legs
}

/// The place of the part that differs, where it has one of its own, and how.
fn notices(wanted: &Notices, told: &[Notice], world: &World<'_>) -> Option<(Option<Spot>, String)> {
    match wanted {
        Notices::Count(wanted) => {
            let message = format!("{} notices, expected {wanted}", told.len());
            (told.len() != *wanted).then_some((None, message))
        }
        Notices::PerKind(wanted) => {
            let seen = |kind: &str| told.iter().filter(|notice| notice.kind.as_str() == kind).count();
            let differs = wanted.iter().find(|(kind, count)| seen(kind) != *count);
            if let Some((kind, count)) = differs {
                return Some((None, format!("{} notices `{kind}`, expected {count}", seen(kind))));
            }
            let other = told.iter().find(|notice| wanted.iter().all(|(kind, _)| kind != notice.kind.as_str()))?;
            Some((None, format!("a notice `{}`, expected none", other.kind.as_str())))
        }
        Notices::List(wanted) => {
            for (notice, wanted) in told.iter().zip(wanted) {
                if let Some(message) = notice_differs(wanted, notice, world) {
                    return Some((Some(wanted.spot.clone()), message));
                }
            }
            let message = format!("{} notices, expected {}", told.len(), wanted.len());
            (told.len() != wanted.len()).then_some((None, message))
        }
    }
}

fn notice_differs(wanted: &NoticeWant, notice: &Notice, world: &World<'_>) -> Option<String> {
    let at = world.since_start(notice.at);
    if notice.kind.as_str() != wanted.kind {
        return Some(format!("a notice `{}`, expected `{}`", notice.kind.as_str(), wanted.kind));
    }
    if let Some(reason) = wanted.reason.as_deref().filter(|reason| *reason != notice.reason.as_str()) {
        return Some(format!("`{}` because of `{}`, expected `{reason}`", wanted.kind, notice.reason.as_str()));
    }
    if let Some(wanted_at) = wanted.at.filter(|wanted| *wanted != at) {
        return Some(format!("`{}` at {}, expected at {}", wanted.kind, span(at), span(wanted_at)));
    }
    wanted.title.as_ref().and_then(|wanted| wording(wanted, &notice.title()))
}

fn wording(wanted: &Wording, title: &str) -> Option<String> {
    match wanted {
        Wording::Is(text) => (text != title).then(|| format!("the title is `{title}`, expected `{text}`")),
        Wording::Contains(parts) => {
            let missing = parts.iter().find(|part| !title.contains(part.as_str()))?;
            Some(format!("the title is `{title}`, which does not contain `{missing}`"))
        }
    }
}

/// `opened first_alert at 0s to pager, chat; …`, or `nothing`.
fn show(told: &[Notice], world: &World<'_>) -> String {
    const SHOWN_MAX: usize = 10;
    if told.is_empty() {
        return "nothing".to_owned();
    }
    let mut shown: Vec<String> = told
        .iter()
        .take(SHOWN_MAX)
        .map(|notice| {
            let at = span(world.since_start(notice.at));
            format!("{} {} at {at}", notice.kind.as_str(), notice.reason.as_str())
        })
        .collect();
    if told.len() > SHOWN_MAX {
        shown.push(format!("and {} more", told.len() - SHOWN_MAX));
    }
    shown.join("; ")
}

/// As people write it in the story.
fn span(span: Duration) -> String {
    let ms = span.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let mut rest = ms;
    let mut text = String::new();
    for (size, unit) in units {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn list(words: &BTreeSet<&str>) -> String {
    if words.is_empty() { "nothing".to_owned() } else { words.iter().copied().collect::<Vec<_>>().join(", ") }
}

fn show_counts(counts: &[(String, usize)]) -> String {
    let shown: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}
