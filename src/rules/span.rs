//! The rules asked about telemetry: a resource and, where there is one, a span of it. The same program answers as for
//! alerts; what is missing is what only an alert has, a name and a severity of its own.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::model::alert::Voice;
use crate::model::{Alert, Identity, Labels, SenderId, Severity, State};

use super::decide::Decided;
use super::facts::Scopes;
use super::stamp::Stamped;
use super::{Decision, Origin, RuleSet, Vote, explain};

/// What the rules say of a resource.
#[derive(Clone, Debug)]
pub struct SpanDecision {
    pub decision: Decision,
    /// The rule that read the service's name, as `file:line id`.
    pub service_read_by: Option<Arc<str>>,
    /// Every signal that spoke about the platform.
    pub votes: Vec<Vote>,
    /// Rules in the shadow stage that would have held, as `file:line id`.
    pub shadow: Vec<Arc<str>>,
}

impl RuleSet {
    /// The attributes of the resource say what it is; those of a span mostly speak of its peers.
    pub fn decide_span(&self, resource: &Labels<'_>, attributes: &Labels<'_>, origin: Origin<'_>) -> SpanDecision {
        let nameless = nameless();
        let scopes = Scopes { resource, span: attributes, ..Scopes::of_alert(&nameless, origin) };
        let values = self.program.keys.look_up(&scopes);
        let Decided { decision, service, votes, .. } =
            self.program.decide_on(&values, &nameless, origin, &Stamped::default());
        let votes = self.program.show_votes(&votes, &values);
        let shadow = explain::shadow(&self.program, &values, &decision.tags);
        SpanDecision { decision, service_read_by: service.map(|found| found.read_by), votes, shadow }
    }
}

fn nameless() -> Alert<'static> {
    Alert {
        identity: Identity([0; 16]),
        sender: SenderId(0),
        voice: Voice::Evaluator,
        state: State::Info,
        starts_at: None,
        ends_at: None,
        holds_for: Duration::ZERO,
        severity: Severity::Info,
        name: Cow::Borrowed(""),
        title: Cow::Borrowed(""),
        labels: Labels::new(),
        annotations: Labels::new(),
        fields: Labels::new(),
        links: Vec::new(),
        fingerprint: None,
    }
}
