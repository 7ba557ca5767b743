//! Routes: the first that matches says who is told, and when. Never decides whether somebody is told at all.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Route;

use super::condition::{All, Reading};
use super::diagnostic::{At, Diagnostic, DiagnosticSeverity, Faults};
use super::matcher::Bindable;
use super::rule::{Ids, read_id};
use super::suggest;
use super::walk::{Fields, Word};
use super::yaml::Node;

const HOLD: Duration = Duration::ZERO;
const UPDATE: Duration = Duration::from_secs(60);
const REMIND: Duration = Duration::from_secs(3 * 3600);

#[derive(Debug)]
pub(super) struct RouteRule {
    pub(super) when: All,
    pub(super) route: Arc<Route>,
    pub(super) fold: Fold,
    /// `None`: every sink.
    to: Option<Vec<SinkName>>,
}

/// Whether the same problem on two platforms is one incident with two legs, or two incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Platforms,
    None,
}

/// Remembers its place: whether the sink exists is known only when the settings are.
#[derive(Debug)]
struct SinkName {
    name: Arc<str>,
    file: String,
    at: At,
    source_line: String,
}

impl RouteRule {
    pub(super) fn read(
        node: &Node,
        reading: &mut Reading<'_>,
        ids: &mut Ids,
        faults: &mut Faults<'_>,
    ) -> Option<RouteRule> {
        const KEYS: [&str; 8] = ["id", "why", "when", "to", "hold", "update", "remind", "fold"];
        let fields = Fields::read(node, "a route", &KEYS, faults)?;
        let by = read_id(&fields, "a route", ids, faults);
        fields.word("why", faults);
        let when = match fields.get("when") {
            Some(node) => All::read(node, reading, &mut Bindable::default(), faults),
            None => Some(All::default()),
        };
        let mut to = fields.get("to").map(|_| Vec::new());
        for word in fields.words("to", faults) {
            to.get_or_insert_default().push(SinkName {
                name: Arc::from(word.text),
                file: faults.file_name().to_owned(),
                at: word.at,
                source_line: faults.line(word.at),
            });
        }
        let hold = fields.duration("hold", faults).unwrap_or(HOLD);
        let update = fields.duration("update", faults).unwrap_or(UPDATE);
        let remind = fields.duration("remind", faults).unwrap_or(REMIND);
        let fold = match fields.one_of("fold", &["platforms", "none"], faults) {
            Some(Word { text: "none", .. }) => Fold::None,
            Some(_) | None => Fold::Platforms,
        };
        let route = Arc::new(Route { by: by?, sinks: Vec::new(), hold, update, remind });
        Some(RouteRule { when: when?, route, fold, to })
    }

    pub(super) fn matches_everything(&self) -> bool {
        self.when.conditions.is_empty()
    }

    /// The sinks written out in `to`.
    pub(super) fn named_sinks(&self) -> impl Iterator<Item = Arc<str>> {
        self.to.iter().flatten().map(|sink| Arc::clone(&sink.name))
    }

    /// Gives the route its sinks; the names that do not exist come back as faults.
    pub(super) fn bind(&mut self, sinks: &[Arc<str>]) -> Vec<Diagnostic> {
        let known = |wanted: &SinkName| sinks.contains(&wanted.name);
        let faults =
            self.to.iter().flatten().filter(|wanted| !known(wanted)).map(|wanted| wanted.fault(sinks)).collect();
        let mut route = Route::clone(&self.route);
        route.sinks = match &self.to {
            Some(wanted) => wanted.iter().map(|wanted| Arc::clone(&wanted.name)).collect(),
            None => sinks.to_vec(),
        };
        self.route = Arc::new(route);
        faults
    }
}

impl SinkName {
    fn fault(&self, sinks: &[Arc<str>]) -> Diagnostic {
        Diagnostic {
            file: self.file.clone(),
            line: self.at.line,
            column: self.at.column,
            severity: DiagnosticSeverity::Error,
            message: format!("unknown sink `{}`", self.name),
            hint: suggest::hint(&self.name, sinks.iter().map(AsRef::as_ref)),
            source_line: self.source_line.clone(),
        }
    }
}
