//! A decision in two halves: the ground, which the rules lay and which many alerts have in common, and what an alert's own
//! name adds to it. Never asks a rule in the second half.

use std::sync::Arc;

use super::{Program, ServiceFound, Tagging, note};
use crate::model::id::{hash_separated, separate};
use crate::model::{Alert, IncidentKey, Route, Severity, Tag, TagName, Tags};
use crate::rules::facts::Facts;
use crate::rules::platform::Cast;
use crate::rules::route::Fold;
use crate::rules::stamp::Stamped;
use crate::rules::{Decision, Origin};

/// What the rules say of an alert, whatever its name is: all that a decision is made of but the class, and the key that
/// names it.
#[derive(Debug)]
pub(in crate::rules) struct Ground {
    tags: Tags,
    pub(in crate::rules) service: Option<ServiceFound>,
    pub(in crate::rules) votes: Vec<Cast>,
    unknown_cell: Option<Arc<str>>,
    severity: Severity,
    route: Arc<Route>,
    pub(in crate::rules) fold: Fold,
}

impl Program {
    /// Depends on nothing but the values and the alert's severity; and on its name only where a route asks for the class.
    pub(in crate::rules) fn ground(&self, values: &Facts<'_>, alert: &Alert<'_>, stamped: &Stamped) -> Ground {
        let Tagging { mut tags, service, votes, unknown_cell } = self.tag(values, stamped);
        // Routes ask for `out.severity`, whoever gave it.
        if tags.get(TagName::Severity).is_none() {
            tags.set_first(TagName::Severity, self.values.severity_of_source(alert.severity));
        }
        let mut severity = tags.value(TagName::Severity).and_then(Severity::from_word).unwrap_or(alert.severity);
        if self.routes_ask_class {
            self.finish_class(&mut tags, service.as_ref(), &alert.name);
        }
        let (rule, route) = self.route(values, &tags);
        if let Some((_, told)) = rule.severity.iter().find(|(said, _)| *said == severity) {
            severity = *told;
            let value = self.values.severity_of_source(severity).value;
            let seen = tags.value(TagName::Severity).map(|said| note("out.severity", said));
            tags.replace(TagName::Severity, Tag { value, by: Arc::clone(&rule.route.by), seen });
        }
        tags.share();
        Ground { tags, service, votes, unknown_cell, severity, route, fold: rule.fold }
    }

    /// The decision on an alert that has this ground. Depends beside it on nothing but the alert's name, and on its
    /// identity for the key of one that belongs to no service.
    pub(in crate::rules) fn conclude(&self, ground: &Ground, alert: &Alert<'_>, origin: Origin<'_>) -> Decision {
        let mut tags = ground.tags.clone();
        let class = self.finish_class(&mut tags, ground.service.as_ref(), &alert.name);
        let mut parts = Vec::with_capacity(KEY_BYTES_USUAL);
        separate(["v1"], &mut parts);
        visit_key_parts(&tags, &class, ground.fold, alert, origin, |_, value| {
            separate(value.or(Some("")), &mut parts);
        });
        Decision {
            tags: Arc::new(tags),
            key: IncidentKey(hash_separated(&parts)),
            route: Arc::clone(&ground.route),
            class,
            severity: ground.severity,
            unknown_cell: ground.unknown_cell.clone(),
        }
    }
}

/// What makes two alerts one incident. An alert without a service or a name is a problem of its own.
pub(in crate::rules) fn visit_key_parts(
    tags: &Tags,
    class: &str,
    fold: Fold,
    alert: &Alert<'_>,
    origin: Origin<'_>,
    mut visit: impl FnMut(&'static str, Option<&str>),
) {
    let Some(service) = tags.value(TagName::Service).filter(|_| !class.is_empty()) else {
        visit("source", Some(origin.instance));
        visit("identity", Some(&alert.identity.to_string()));
        return;
    };
    visit("service", Some(service));
    visit("class", Some(class));
    visit("env", tags.value(TagName::Environment));
    visit("cell", tags.value(TagName::Cell));
    match fold {
        Fold::Platforms => {}
        Fold::None => visit("platform", tags.value(TagName::Platform)),
    }
}

/// What goes into the hash of a key, as a rule.
const KEY_BYTES_USUAL: usize = 192;
