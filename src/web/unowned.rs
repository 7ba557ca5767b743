//! The debt of ownership: what rang lately and belongs to nobody, and whose it probably is. A guess stands beside the
//! facts and never becomes a tag.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{Incident, TagName, Timestamp};
use crate::rules::RuleSet;

/// Services, or alerts without one, that nobody owns.
#[derive(Debug, Serialize)]
struct Debt<'i> {
    /// Absent for alerts that belong to no service; `name` is then theirs.
    service: Option<&'i str>,
    name: Option<&'i str>,
    incident_count: u64,
    open_count: u64,
    #[serde(serialize_with = "shown")]
    first_seen: Timestamp,
    #[serde(serialize_with = "shown")]
    last_seen: Timestamp,
    classes: Vec<&'i str>,
    guess: Option<Value>,
}

fn shown<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// Classes that are named per service.
const CLASS_COUNT_MAX: usize = 8;

/// Of the given incidents those without an owner, by service, those with the most incidents first. An episode counts
/// once.
pub(super) fn report(incidents: &[Incident], rules: &RuleSet) -> Value {
    let mut debts: BTreeMap<(Option<&str>, Option<&str>), Debt<'_>> = BTreeMap::new();
    for incident in incidents.iter().filter(|incident| incident.tags.value(TagName::Owner) == Some("unowned")) {
        let service = incident.tags.value(TagName::Service);
        let name = if service.is_none() { Some(incident.lead.name.as_str()) } else { None };
        let last_seen = incident.told.as_ref().map_or(incident.opened_at, |told| told.at.max(incident.opened_at));
        let debt = debts.entry((service, name)).or_insert_with(|| Debt {
            service,
            name,
            incident_count: 0,
            open_count: 0,
            first_seen: incident.opened_at,
            last_seen,
            classes: Vec::new(),
            guess: service.and_then(|service| guess(service, rules)),
        });
        debt.incident_count += u64::from(incident.episode.max(1));
        debt.open_count += u64::from(!incident.is_closed());
        debt.first_seen = debt.first_seen.min(incident.opened_at);
        debt.last_seen = debt.last_seen.max(last_seen);
        if let Some(class) = incident.tags.value(TagName::Class)
            && debt.classes.len() < CLASS_COUNT_MAX
            && !debt.classes.contains(&class)
        {
            debt.classes.push(class);
        }
    }
    let mut debts: Vec<Debt<'_>> = debts.into_values().collect();
    debts.sort_by_key(|debt| std::cmp::Reverse(debt.incident_count));
    json!({ "looked_at": incidents.len(), "unowned": debts })
}

fn guess(service: &str, rules: &RuleSet) -> Option<Value> {
    let (near, owner) = rules.likely_service(service)?;
    Some(json!({ "service": near, "owner": owner }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Phase, Tag, Tags};
    use crate::store::testkit::{at, open_incident};

    fn incident(number: u32, service: Option<&str>, owner: &str) -> Incident {
        let mut incident = open_incident(number, at(60));
        let mut tags = Tags::default();
        let mut set = |name, value: &str| {
            tags.set_first(name, Tag { value: value.into(), by: "services.yaml:1 x".into(), seen: None });
        };
        set(TagName::Owner, owner);
        set(TagName::Class, "HighErrorRate");
        if let Some(service) = service {
            set(TagName::Service, service);
        }
        incident.tags = Arc::new(tags);
        incident
    }

    #[test]
    fn what_nobody_owns_is_counted_by_service_with_a_guess() {
        let mut second = incident(2, Some("payments-exporter-v2"), "unowned");
        second.opened_at = at(500);
        second.phase = Phase::Closed { at: at(600) };
        let incidents = [
            incident(1, Some("payments-exporter-v2"), "unowned"),
            second,
            incident(3, Some("owl-service"), "owl"),
            incident(4, Some("zzz"), "unowned"),
            incident(5, None, "unowned"),
        ];
        let report = report(&incidents, &RuleSet::built_in());
        assert_eq!(report["looked_at"], 5);
        let debts = report["unowned"].as_array().unwrap();
        assert_eq!(debts.len(), 3);
        assert_eq!(debts[0]["service"], "payments-exporter-v2");
        assert_eq!((&debts[0]["incident_count"], &debts[0]["open_count"]), (&json!(2), &json!(1)));
        assert_eq!(debts[0]["last_seen"], at(500).to_string());
        assert_eq!(debts[0]["guess"], json!({ "service": "payments", "owner": "payments" }));
        assert_eq!(debts[0]["classes"], json!(["HighErrorRate"]));
        assert!(debts.iter().any(|debt| debt["service"] == "zzz" && debt["guess"].is_null()));
        assert!(debts.iter().any(|debt| debt["service"].is_null() && debt["name"] != Value::Null));
    }
}
