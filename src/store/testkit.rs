//! Incidents, members and notices for the tests of the store and of io. Plain data with one thing varied at a
//! time; never a stand-in for what is tested.

use std::sync::Arc;
use std::time::Duration;

use super::Pending;
use crate::model::alert::Voice;
use crate::model::incident::{Ended, EndedHow, Sample, Told, Word};
use crate::model::{
    Delivery, DeliveryId, Identity, Incident, IncidentKey, Labels, Leg, Member, Notice, NoticeKind, Phase, Reason,
    Route, SenderId, Severity, SourceRef, Tags, Timestamp,
};

pub(crate) const START: Timestamp = Timestamp::from_ms(1_795_394_412_000);

pub(crate) fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

pub(crate) fn key(number: u32) -> IncidentKey {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    IncidentKey(bytes)
}

pub(crate) fn identity(number: u32) -> Identity {
    Identity(key(number).0)
}

fn source() -> SourceRef {
    SourceRef { kind: "alertmanager-api".into(), instance: "prom".into() }
}

pub(crate) fn route(sinks: &[&str]) -> Arc<Route> {
    Arc::new(Route {
        by: "routes.yaml:1 test".into(),
        sinks: sinks.iter().map(|sink| Arc::from(*sink)).collect(),
        hold: Duration::ZERO,
        update: Duration::from_secs(60),
        remind: Duration::from_secs(3600),
        also: Vec::new(),
        limit: None,
        joined: Vec::new(),
    })
}

/// An open incident that was told at [`START`]; its deadline is `next_expiry` or an hour after the start.
pub(crate) fn open_incident(number: u32, next_expiry: Timestamp) -> Incident {
    Incident {
        key: key(number),
        episode: 1,
        sequence: 1,
        phase: Phase::Open,
        opened_at: START,
        started_at: START,
        severity: Severity::Error,
        acknowledged: false,
        tags: Tags::default().into(),
        rules_revision: "r1".into(),
        legs: vec![Leg { platform: "eks".into(), firing_count: 1, resolved_count: 0 }],
        cells: Vec::new(),
        lead: Sample {
            identity: identity(number),
            source: source(),
            name: "HighErrorRate".to_owned(),
            title: "Errors".to_owned(),
            starts_at: START,
            severity: Severity::Error,
            labels: Labels::new(),
            annotations: Labels::new(),
            links: Vec::new(),
        }
        .into(),
        samples: Vec::new(),
        route: route(&["pager"]),
        told: Some(Told {
            at: START,
            severity: Severity::Error,
            platforms: vec!["eks".into()],
            cells: Vec::new(),
            acknowledged: false,
            sink_count: Some(1),
        }),
        quiet: None,
        next_expiry,
    }
}

pub(crate) fn closed_incident(number: u32, closed_at: Timestamp) -> Incident {
    let mut incident = open_incident(number, Timestamp::MAX);
    incident.phase = Phase::Closed { at: closed_at };
    incident.legs[0] = Leg { platform: "eks".into(), firing_count: 0, resolved_count: 1 };
    incident
}

pub(crate) fn firing_member(number: u32, incident: u32, expires_at: Timestamp) -> Member {
    Member {
        identity: identity(number),
        incident: Some(key(incident)),
        episode: 1,
        platform: "eks".into(),
        cell: None,
        severity: Severity::Error,
        starts_at: START,
        ended: None,
        words: vec![Word {
            sender: SenderId(1),
            voice: Voice::Evaluator,
            heard_at: START,
            expires_at,
            said_ends_at: None,
        }],
        name: "HighErrorRate".to_owned(),
        title: "Errors".to_owned(),
        labels: Labels::new(),
        annotations: Labels::new(),
        source: source(),
        generator_url: None,
    }
}

pub(crate) fn ended_member(number: u32, incident: u32, ended_at: Timestamp) -> Member {
    let ended = Ended { at: ended_at, heard_at: ended_at, how: EndedHow::Resolved };
    Member { ended: Some(ended), ..firing_member(number, incident, ended_at) }
}

pub(crate) fn notice(number: u32, sequence: u32, kind: NoticeKind, now: Timestamp) -> Arc<Notice> {
    let incident = Arc::new(Incident { sequence, ..open_incident(number, Timestamp::MAX) });
    Arc::new(Notice { kind, reason: Reason::FirstAlert, at: now, sequence, incident })
}

/// A delivery whose notice carries its own id as sequence, so that a request tells which one it is.
pub(crate) fn pending(id: u32, number: u32, kind: NoticeKind, now: Timestamp) -> Pending {
    let delivery = Delivery {
        id: DeliveryId(i64::from(id)),
        sink: "pager".into(),
        key: key(number),
        sequence: id,
        kind,
        attempts: 0,
        created_at: now,
        next_attempt_at: now,
        reason: String::new(),
    };
    Pending { delivery, notice: notice(number, id, kind, now) }
}
