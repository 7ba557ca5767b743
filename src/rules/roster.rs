//! Every rule and route of a set by name, for reports about a set as a whole. Knows where each stands and not what it
//! says.

use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use super::rule::Stage;
use super::{Diagnostic, DiagnosticSeverity, RuleSet, SourceFile};
use crate::model::Route;

/// One rule or route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `file:line id`.
    pub by: Arc<str>,
    pub is_route: bool,
    pub is_shadow: bool,
}

impl Listed {
    pub fn id(&self) -> &str {
        id_of(&self.by)
    }
}

/// The id in `file:line id`.
pub(super) fn id_of(by: &str) -> &str {
    Route::id_of(by)
}

impl RuleSet {
    /// In the order of evaluation.
    pub fn roster(&self) -> Vec<Listed> {
        let rules = self.program.rules.iter().map(|rule| Listed {
            by: Arc::clone(&rule.by),
            is_route: false,
            is_shadow: rule.stage == Stage::Shadow,
        });
        let routes = self.program.routes.iter().map(|route| Listed {
            by: Arc::clone(&route.route.by),
            is_route: true,
            is_shadow: false,
        });
        rules.chain(routes).collect()
    }

    /// The sinks that routes write out in `to`, whether they are bound or not.
    pub fn named_sinks(&self) -> BTreeSet<Arc<str>> {
        self.program.routes.iter().flat_map(|route| route.named_sinks()).collect()
    }

    /// The sinks that routes send to, once they are bound.
    pub fn bound_sinks(&self) -> BTreeSet<Arc<str>> {
        self.program.routes.iter().flat_map(|route| route.route.sinks.iter().cloned()).collect()
    }

    /// Whether the settings have a sink of this name. Before sinks are bound nobody knows, and every name may be one.
    pub fn has_sink(&self, name: &str) -> bool {
        self.sinks.as_ref().is_none_or(|sinks| sinks.iter().any(|sink| **sink == *name))
    }

    /// The sinks that the routes of an incident name now; those of the last route where none of them is left.
    pub fn audience(&self, route: &Route) -> Vec<Arc<str>> {
        let ids: Vec<&str> = iter::once(&route.by).chain(&route.also).map(|by| id_of(by)).collect();
        let routes = &self.program.routes;
        let mut followed: Vec<_> = routes.iter().filter(|route| ids.contains(&route.id())).collect();
        if followed.is_empty() {
            followed.extend(routes.last());
        }
        let mut sinks = Vec::new();
        for sink in followed.into_iter().flat_map(|route| &route.route.sinks) {
            if !sinks.contains(sink) {
                sinks.push(Arc::clone(sink));
            }
        }
        sinks
    }
}

/// A finding about what stands at `file:line id`, drawn at the id.
pub(super) fn at_rule(
    files: &[SourceFile],
    by: &str,
    severity: DiagnosticSeverity,
    message: String,
    hint: Option<String>,
) -> Diagnostic {
    let (place, id) = by.split_once(' ').unwrap_or((by, ""));
    let (file, line) = place.rsplit_once(':').unwrap_or((place, "1"));
    let line: u32 = line.parse().unwrap_or(1);
    let text = files.iter().find(|held| held.name == file).map_or("", |held| held.text.as_str());
    let source_line = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or("");
    let before = source_line.find(&format!("id: {id}")).map_or(0, |at| at + "id: ".len());
    let column = source_line[..before].chars().count() + 1;
    Diagnostic {
        file: file.to_owned(),
        line,
        column: u32::try_from(column).unwrap_or(u32::MAX),
        severity,
        message,
        hint,
        source_line: source_line.chars().take(200).collect(),
    }
}
