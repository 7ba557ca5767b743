//! What must be true at PagerDuty after any history: one page per incident, one resolve if all its alerts have
//! resolved, and no word twice without need. Pure, so that the verdict itself can be tested.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::stand_in::pagerduty::{Action, Alert, Effect, Event};

/// One incident as the senders know it.
#[derive(Clone, Debug)]
pub struct Expected {
    pub service: &'static str,
    pub class: String,
    pub cell: &'static str,
    /// An open incident is told anew when a platform joins, so there may be as many texts as platforms.
    pub platform_count: usize,
    pub resolves: bool,
}

type Place = (String, String, String);

/// All that is wrong, each as a sentence.
pub fn faults_found(
    expected: &[Expected],
    alerts: &BTreeMap<(String, String), Alert>,
    refused: &[String],
) -> Vec<String> {
    let mut faults: Vec<String> =
        refused.iter().map(|what| format!("PagerDuty refused what it was sent: {what}")).collect();
    let mut by_place: BTreeMap<Place, Vec<(&str, &Alert)>> = BTreeMap::new();
    for ((_, dedup_key), alert) in alerts {
        let places: BTreeSet<Place> = alert.events.iter().filter_map(|event| place_of(&event.body)).collect();
        if places.len() != 1 {
            faults.push(format!("the page `{dedup_key}` speaks of {} incidents: {places:?}", places.len()));
        }
        for place in places {
            by_place.entry(place).or_default().push((dedup_key, alert));
        }
    }
    for incident in expected {
        let place = (incident.service.to_owned(), incident.class.clone(), incident.cell.to_owned());
        let name = format!("{} {} {}", incident.service, incident.class, incident.cell);
        match by_place.remove(&place).as_deref() {
            None => faults.push(format!("{name}: every alert was acknowledged, but nobody was paged")),
            Some([(_, alert)]) => faults.extend(faults_of(incident, alert).map(|fault| format!("{name}: {fault}"))),
            Some(several) => {
                let keys: Vec<&str> = several.iter().map(|(key, _)| *key).collect();
                faults.push(format!("{name}: one incident has several pages: {keys:?}"));
            }
        }
    }
    faults.extend(by_place.keys().map(|place| format!("somebody was paged for what nobody sent: {place:?}")));
    faults
}

fn faults_of(incident: &Expected, alert: &Alert) -> impl Iterator<Item = String> {
    let mut faults = Vec::new();
    let (pages, resolves) = (alert.page_count, alert.resolve_count);
    if pages != 1 {
        faults.push(format!("it paged {pages} times"));
    }
    match (incident.resolves, alert.is_open) {
        (true, true) => faults.push("all its alerts have resolved, but the page is still open".to_owned()),
        (false, false) => faults.push("it still fires, but the page is closed".to_owned()),
        (true, false) | (false, true) => {}
    }
    if resolves != u32::from(incident.resolves) {
        faults.push(format!("it was resolved {resolves} times"));
    }
    if alert.events.first().is_some_and(|event| event.action != Action::Trigger) {
        faults.push("the first word about it is not a trigger".to_owned());
    }
    let texts = texts_of(&alert.events, Action::Trigger);
    if texts.len() > incident.platform_count {
        faults.push(format!(
            "{} different triggers for {} platforms: a resend must not be told",
            texts.len(),
            incident.platform_count
        ));
    }
    if texts_of(&alert.events, Action::Resolve).len() > 1 {
        faults.push("different resolves for one end".to_owned());
    }
    faults.extend(needless_repetitions(&alert.events));
    if !faults.is_empty() {
        faults.push(format!("  its history: {}", history(&alert.events)));
    }
    faults.into_iter()
}

/// A word may be said again only if the answer to it was lost, or if the process that said it died.
fn needless_repetitions(events: &[Event]) -> Vec<String> {
    let mut faults = Vec::new();
    for (position, event) in events.iter().enumerate() {
        let before = &events[..position];
        if let Some(first) = before
            .iter()
            .find(|earlier| earlier.body == event.body && earlier.answer_arrives && earlier.boot == event.boot)
        {
            faults
                .push(format!("a {:?} was said again although its answer had arrived ({})", first.action, event.boot));
        }
        let is_repetition = before.iter().any(|earlier| earlier.body == event.body);
        if event.effect == Effect::Dropped && !is_repetition {
            faults.push(format!("a {:?} came when nothing was open", event.action));
        }
        // In order per lane: an older text must not come back after a newer one.
        let last_different = before.iter().rposition(|earlier| earlier.body != event.body);
        if is_repetition && last_different.is_some_and(|at| before[..at].iter().any(|old| old.body == event.body)) {
            faults.push(format!("an older {:?} came after a newer word", event.action));
        }
    }
    faults
}

fn texts_of(events: &[Event], action: Action) -> BTreeSet<String> {
    events.iter().filter(|event| event.action == action).map(|event| event.body.to_string()).collect()
}

fn history(events: &[Event]) -> String {
    let words: Vec<String> = events
        .iter()
        .map(|event| {
            let lost = if event.answer_arrives { "" } else { ", answer lost" };
            format!("{:?} ({:?}, {}{lost})", event.action, event.effect, event.boot)
        })
        .collect();
    words.join("; ")
}

/// Service, class and cell as the page says them. A resolve may say nothing.
fn place_of(body: &Value) -> Option<Place> {
    let payload = body.get("payload")?;
    let details = payload.get("custom_details")?;
    let tag = |name: &str| Some(details.get(name)?.as_str()?.to_owned());
    let class = payload.get("class")?.as_str()?.to_owned();
    Some((tag("tawny.service")?, class, tag("tawny.cell")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expected(resolves: bool) -> Expected {
        Expected { service: "owl-service", class: "HighErrorRate".to_owned(), cell: "c1", platform_count: 1, resolves }
    }

    fn event(action: Action, effect: Effect, boot: u32, answer_arrives: bool) -> Event {
        let details = json!({ "tawny.service": "owl-service", "tawny.cell": "c1" });
        let body = json!({
            "event_action": format!("{action:?}"),
            "payload": { "class": "HighErrorRate", "custom_details": details },
        });
        Event { action, effect, body, boot: format!("boot-{boot}"), answer_arrives }
    }

    fn verdict(expected: Expected, events: Vec<Event>) -> Vec<String> {
        let count = |effect| u32::try_from(events.iter().filter(|event| event.effect == effect).count()).unwrap();
        let (page_count, resolve_count) = (count(Effect::Opened), count(Effect::Resolved));
        let alert = Alert { is_open: page_count > resolve_count, page_count, resolve_count, events };
        faults_found(&[expected], &BTreeMap::from([(("key".to_owned(), "dedup".to_owned()), alert)]), &[])
    }

    #[test]
    fn honest_histories_pass() {
        let trigger = |boot, arrives| event(Action::Trigger, Effect::Opened, boot, arrives);
        let again = |boot| event(Action::Trigger, Effect::Logged, boot, true);
        let resolve = event(Action::Resolve, Effect::Resolved, 1, false);
        let resolve_again = event(Action::Resolve, Effect::Dropped, 1, true);
        let none: Vec<String> = Vec::new();
        assert_eq!(verdict(expected(false), vec![trigger(0, true)]), none);
        assert_eq!(verdict(expected(false), vec![trigger(0, false), again(0)]), none, "the answer was lost");
        assert_eq!(verdict(expected(false), vec![trigger(0, true), again(1)]), none, "the process died");
        assert_eq!(verdict(expected(true), vec![trigger(0, true), resolve, resolve_again]), none);
    }

    #[test]
    fn each_kind_of_dishonesty_is_found() {
        let opened = || event(Action::Trigger, Effect::Opened, 0, true);
        let resolved = || event(Action::Resolve, Effect::Resolved, 0, true);
        let finds = |expected, events, what: &str| {
            let faults = verdict(expected, events);
            assert!(faults.iter().any(|fault| fault.contains(what)), "`{what}` is not among {faults:#?}");
        };
        finds(expected(true), vec![opened()], "still open");
        finds(expected(false), vec![opened(), resolved()], "still fires");
        finds(expected(true), vec![opened(), resolved(), opened()], "paged 2 times");
        finds(expected(true), vec![opened(), resolved(), opened()], "an older Trigger came after a newer word");
        let logged = event(Action::Trigger, Effect::Logged, 0, true);
        finds(expected(false), vec![opened(), logged.clone()], "although its answer had arrived");
        let mut other_text = logged;
        other_text.body["payload"]["summary"] = json!("again");
        finds(expected(false), vec![opened(), other_text], "a resend must not be told");
        let early = event(Action::Resolve, Effect::Dropped, 0, true);
        finds(expected(false), vec![early, opened()], "nothing was open");
        let nobody = faults_found(&[expected(false)], &BTreeMap::new(), &[]);
        assert!(nobody[0].contains("nobody was paged"), "{nobody:?}");
    }
}
