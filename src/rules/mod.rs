//! Rule files to answers: where did this run, whose is it, who is told. Compiling may fail with diagnostics;
//! after it nothing can be wrong, and tagging cannot fail.

mod address;
mod alerts;
mod arn;
mod ballot;
mod catalogue;
mod cell;
mod class;
mod compile;
mod condition;
mod decide;
mod diagnostic;
mod explain;
mod facts;
mod few;
mod glob;
mod hash;
mod index;
mod lint;
mod literal;
mod look;
mod matcher;
mod memo;
mod platform;
mod prefixes;
mod resource;
mod roster;
mod route;
mod rule;
mod schedule;
pub mod schema;
mod self_scope;
mod service;
mod shadow;
mod silence;
mod stamp;
pub mod story;
mod strip;
mod suggest;
mod table;
mod template;
mod traced;
mod value;
mod walk;
mod yaml;

#[cfg(test)]
mod tests;

use std::iter;
use std::sync::Arc;

use serde::Serialize;

use crate::model::id::IdHasher;
use crate::model::incident::{Quiet, QuietHow};
use crate::model::{Alert, Incident, IncidentKey, Labels, Route, Severity, TagName, Tags, Timestamp};

pub use alerts::{AlertRule, AlertRules, FoundAlert, Glance, LogSeverity, RecordFacts, Records, SpanKind, SpanStatus};
pub use ballot::Vote;
pub use diagnostic::{Diagnostic, DiagnosticSeverity};
pub use lint::LintFacts;
pub use memo::Memo;
pub use platform::VoteOutcome;
pub use resource::{ResourceDecision, ResourceExplanation, Telemetry};
pub use roster::Listed;
pub use self_scope::SERVER_SPAN_KEYS;
pub use service::Match;
pub use shadow::ShadowChange;
pub use stamp::{Disputed, INSTANCE_COUNT_STAMPED, Stamped, Stamps};
pub use traced::Traced;

use facts::Scopes;

/// One rule file, already read: the rules themselves never touch a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the rules directory, such as `platform.yaml`; a table is a `.csv` beside it.
    pub name: String,
    pub text: String,
}

impl SourceFile {
    /// Whether it belongs to the tests of the rules: their stories and payloads.
    pub fn is_of_tests(&self) -> bool {
        self.name.starts_with("tests/")
    }
}

/// Where an alert came in: what the settings know about it before it is read.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The kind of source (`alertmanager`, `pagerduty`, …): `field.source`.
    pub kind: &'a str,
    /// The name of the configured source: `field.instance`.
    pub instance: &'a str,
    /// Tags of the settings (account, region, cluster, environment): `constant.*`.
    pub constants: &'a Labels<'a>,
}

/// A compiled set of rule files.
#[derive(Debug)]
pub struct RuleSet {
    program: decide::Program,
    warnings: Vec<Diagnostic>,
    revision: Arc<str>,
    /// All that the settings have, once they are bound.
    sinks: Option<Vec<Arc<str>>>,
}

/// What the rules say of one alert.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    pub tags: Arc<Tags>,
    pub key: IncidentKey,
    pub route: Arc<Route>,
    /// The alert's name without the parts that say where.
    pub class: Arc<str>,
    /// What a rule set, or else what the source said.
    pub severity: Severity,
    /// The id of a cell that no registry has, where the cell is `unknown` for that reason: a typo or a new cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_cell: Option<Arc<str>>,
}

/// A decision and how it came about. The rule, line and value behind each tag are in the tags themselves.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub decision: Decision,
    /// What went into the incident key, in order.
    pub key_parts: Vec<KeyPart>,
    /// How the service's name was found, where there is one.
    pub service: Option<ServiceMatch>,
    /// Every signal that spoke about the platform, in the order of the rules.
    pub votes: Vec<Vote>,
    /// Rules that set nothing because exactly one of their conditions failed.
    pub near_misses: Vec<NearMiss>,
    /// Rules in the shadow stage that would have held, as `file:line id`.
    pub shadow: Vec<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyPart {
    pub name: &'static str,
    pub value: Option<Arc<str>>,
}

/// From the name that was read to the name in the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceMatch {
    pub raw: String,
    /// The rule that read it, as `file:line id`.
    pub read_by: Arc<str>,
    pub how: Match,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// `file:line id`.
    pub rule: Arc<str>,
    /// The condition that failed, as written.
    pub condition: String,
    /// The value it looked at; `None` when there was none.
    pub seen: Option<String>,
    /// What the rule would have set.
    pub would_set: Vec<TagName>,
}

impl RuleSet {
    /// Reports all faults that it can find, not only the first.
    pub fn compile(files: &[SourceFile]) -> Result<RuleSet, Vec<Diagnostic>> {
        let (program, warnings) = compile::compile(files)?;
        // Tests change nothing that the rules say.
        let rules = files.iter().filter(|file| !file.is_of_tests());
        Ok(RuleSet { program, warnings, revision: Arc::from(content_hash(rules)), sinks: None })
    }

    /// The rules that ship with the program.
    pub fn built_in() -> RuleSet {
        RuleSet::compile(&RuleSet::built_in_files()).expect("a test compiles the shipped rules")
    }

    /// With their tests.
    pub fn built_in_files() -> Vec<SourceFile> {
        [
            ("platform.yaml", include_str!("../../rules/platform.yaml")),
            ("cells.yaml", include_str!("../../rules/cells.yaml")),
            ("services.yaml", include_str!("../../rules/services.yaml")),
            ("routes.yaml", include_str!("../../rules/routes.yaml")),
            ("tests/cells.yaml", include_str!("../../rules/tests/cells.yaml")),
            ("tests/platform.yaml", include_str!("../../rules/tests/platform.yaml")),
            ("tests/routes.yaml", include_str!("../../rules/tests/routes.yaml")),
            ("tests/services.yaml", include_str!("../../rules/tests/services.yaml")),
            ("tests/payloads/alertmanager.json", include_str!("../../rules/tests/payloads/alertmanager.json")),
        ]
        .into_iter()
        .map(|(name, text)| SourceFile { name: name.to_owned(), text: text.to_owned() })
        .collect()
    }

    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// A hash of the files, 12 hex digits, unless the caller knew better.
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// For callers that know the commit.
    pub fn set_revision(&mut self, revision: &str) {
        self.revision = Arc::from(revision);
    }

    /// Rules whose date is over on `today` (`2027-06-30`), as `file:line id`. They stay in force: who wrote the date wants
    /// to be reminded, and not to be surprised.
    pub fn expired(&self, today: &str) -> Vec<Arc<str>> {
        // Both are written year first, so that the order of texts is the order of days.
        let is_over = |rule: &&rule::Rule| rule.expires.as_deref().is_some_and(|date| date < today);
        self.program.rules.iter().filter(is_over).map(|rule| Arc::clone(&rule.by)).collect()
    }

    /// Gives a route without `to` all sinks, and refuses the name of a sink that does not exist.
    pub fn bind_sinks(&mut self, sinks: &[Arc<str>]) -> Result<(), Vec<Diagnostic>> {
        let faults: Vec<Diagnostic> = self.program.routes.iter_mut().flat_map(|route| route.bind(sinks)).collect();
        self.sinks = Some(sinks.to_vec());
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Why nobody is to be told of the incident now: a silence, or the hours of its route.
    pub fn quiet(&self, incident: &Incident, now: Timestamp) -> Option<Quiet> {
        if let Some(silence) = self.program.silence(incident, now) {
            return Some(Quiet::new(QuietHow::Silence, Arc::clone(&silence.by), now, silence.until));
        }
        // Whoever's route is open is told now; of those that are closed the one that opens first decides.
        let followed = iter::once(&incident.route.by).chain(&incident.route.joined);
        let mut closed = None::<(&route::RouteRule, Timestamp)>;
        for by in followed {
            let id = roster::id_of(by);
            let mut timed = self.program.routes.iter().filter(|route| !route.schedule.is_always_open());
            let route = timed.find(|route| route.id() == id)?;
            let until = route.schedule.opens_at(now)?;
            if closed.is_none_or(|(_, earliest)| until < earliest) {
                closed = Some((route, until));
            }
        }
        let (route, until) = closed?;
        Some(Quiet::new(QuietHow::Schedule, Arc::clone(&route.route.by), now, until))
    }

    /// The registered service that a name nobody registered is probably a part of, and its owner. A guess for people.
    pub fn likely_service(&self, name: &str) -> Option<(Arc<str>, Option<Arc<str>>)> {
        let service = self.program.values.services.likely(name)?;
        Some((Arc::clone(&service.name), service.owner.as_ref().map(|(owner, _)| Arc::clone(owner))))
    }

    pub fn is_silent(&self, incident: &Incident, now: Timestamp) -> bool {
        self.program.silence(incident, now).is_some()
    }

    pub fn decide(&self, alert: &Alert<'_>, origin: Origin<'_>) -> Decision {
        self.program.decide(alert, origin, &Stamped::default()).decision
    }

    /// The same for an alert that was made of telemetry: identities that gateways stamp have no say there.
    pub fn decide_stamped(&self, alert: &Alert<'_>, origin: Origin<'_>, stamped: &Stamped) -> Decision {
        self.program.decide(alert, origin, stamped).decision
    }

    /// The rules that make alerts of such records; `None` where there are none.
    pub fn alerts_from(&self, records: Records) -> Option<AlertRules<'_>> {
        AlertRules::of(&self.program, records)
    }

    /// The same rules on a Resource of traces, logs or metrics. Depends on nothing but its arguments, so that the
    /// answer may be remembered under the bytes of the resource, the revision and [`Stamped::generation`].
    pub fn tag_resource(&self, telemetry: Telemetry<'_>, origin: Origin<'_>, stamped: &Stamped) -> ResourceDecision {
        let program = &self.program;
        let values = program.keys.look_up(&Scopes::of_telemetry(telemetry, origin));
        resource::decision(program, &values, program.tag(&values, stamped), telemetry)
    }

    /// Whether any rule asks what a function says of itself on its spans; else nobody needs to look there.
    pub fn asks_server_spans(&self) -> bool {
        SERVER_SPAN_KEYS.iter().any(|name| self.program.keys.has(facts::Scope::Span, name))
    }

    /// The same code as [`RuleSet::tag_resource`], and the reasons.
    pub fn explain_resource(
        &self,
        telemetry: Telemetry<'_>,
        origin: Origin<'_>,
        stamped: &Stamped,
    ) -> ResourceExplanation {
        explain::explain_resource(&self.program, telemetry, origin, stamped)
    }

    /// The same answer, looked up when an alert of this batch gave the rules the same things to look at.
    pub fn decide_in_batch(&self, alert: &Alert<'_>, origin: Origin<'_>, memo: &mut Memo) -> Decision {
        memo.decide(&self.program, alert, origin).0
    }

    /// The same answer, and what each shadow rule alone would change in it.
    pub fn decide_and_try_shadows(
        &self,
        alert: &Alert<'_>,
        origin: Origin<'_>,
        memo: &mut Memo,
    ) -> (Decision, Vec<ShadowChange>) {
        let (decision, seen) = memo.decide(&self.program, alert, origin);
        let changes = self.program.shadow_changes(&decision, || seen.into_facts(&self.program.keys));
        (decision, changes)
    }

    /// The same code as [`RuleSet::decide`], and the reasons.
    pub fn explain(&self, alert: &Alert<'_>, origin: Origin<'_>) -> Explanation {
        explain::explain(&self.program, alert, origin)
    }
}

/// 12 hex digits of names and texts, in this order.
pub fn content_hash<'f>(files: impl Iterator<Item = &'f SourceFile>) -> String {
    let mut hasher = IdHasher::new("rules");
    for file in files {
        hasher.part(&file.name);
        hasher.part(&file.text);
    }
    hasher.finish()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
