//! The scopes of one alert, incident, resource or record, in the form in which facts are looked up. Holds references and
//! copies nothing.

use crate::model::{Alert, Incident, Labels};
use crate::rules::Origin;
use crate::rules::alerts::{RecordFacts, Records};
use crate::rules::resource::Telemetry;

/// The sorted pairs of each scope.
#[derive(Clone, Copy, Debug)]
pub(in crate::rules) struct Scopes<'a> {
    pub(in crate::rules) resource: &'a Labels<'a>,
    pub(in crate::rules) span: &'a Labels<'a>,
    pub(in crate::rules) label: &'a Labels<'a>,
    pub(in crate::rules) annotation: &'a Labels<'a>,
    pub(in crate::rules) dimension: &'a Labels<'a>,
    pub(in crate::rules) field: &'a Labels<'a>,
    /// Also answers for a label that is not there.
    pub(in crate::rules) constant: &'a Labels<'a>,
    pub(in crate::rules) log: &'a Labels<'a>,
    /// Fields that every alert has, where `field` does not say otherwise, in the order of [`USUAL`].
    pub(in crate::rules) usual: [&'a str; USUAL.len()],
}

/// Fields that everything has, whatever its source: their keys are known without a look-up.
pub(super) const USUAL: [&str; 7] = ["source", "instance", "name", "title", "severity", "state", "span_kind"];

static NOTHING: Labels<'static> = Labels::new();

impl<'a> Scopes<'a> {
    pub(in crate::rules) fn of_alert(alert: &'a Alert<'a>, origin: Origin<'a>) -> Scopes<'a> {
        Scopes {
            resource: &NOTHING,
            span: &NOTHING,
            label: &alert.labels,
            annotation: &alert.annotations,
            dimension: &NOTHING,
            field: &alert.fields,
            constant: origin.constants,
            log: &NOTHING,
            usual: [
                origin.kind,
                origin.instance,
                &alert.name,
                &alert.title,
                alert.severity.as_str(),
                alert.state.as_str(),
                "",
            ],
        }
    }

    /// What an incident keeps of the alert that opened it.
    pub(in crate::rules) fn of_incident(incident: &'a Incident) -> Scopes<'a> {
        let lead = &incident.lead;
        Scopes {
            resource: &NOTHING,
            span: &NOTHING,
            label: &lead.labels,
            annotation: &lead.annotations,
            dimension: &NOTHING,
            field: &NOTHING,
            constant: &NOTHING,
            log: &NOTHING,
            usual: [
                &lead.source.kind,
                &lead.source.instance,
                &lead.name,
                &lead.title,
                incident.severity.as_str(),
                "",
                "",
            ],
        }
    }

    pub(in crate::rules) fn of_telemetry(telemetry: Telemetry<'a>, origin: Origin<'a>) -> Scopes<'a> {
        let span_kind = if telemetry.server_span.is_some() { "server" } else { "" };
        Scopes {
            resource: telemetry.resource,
            span: telemetry.server_span.unwrap_or(&NOTHING),
            label: &NOTHING,
            annotation: &NOTHING,
            dimension: &NOTHING,
            field: &NOTHING,
            constant: origin.constants,
            log: &NOTHING,
            usual: [origin.kind, origin.instance, "", "", "", "", span_kind],
        }
    }

    /// One log record or span, for the rules that make alerts of them.
    pub(in crate::rules) fn of_record(records: Records, facts: &RecordFacts<'a>) -> Scopes<'a> {
        let (log, span) = match records {
            Records::Logs => (facts.record, &NOTHING),
            Records::Spans => (&NOTHING, facts.record),
        };
        Scopes {
            resource: facts.resource,
            span,
            label: &NOTHING,
            annotation: &NOTHING,
            dimension: &NOTHING,
            field: &NOTHING,
            constant: &NOTHING,
            log,
            usual: [""; USUAL.len()],
        }
    }
}
