//! The rules' answer for telemetry: the same program as for alerts, with the attributes of a Resource in the place of
//! labels. Never looks at what a span says of others.

use std::hash::Hasher;
use std::sync::Arc;

use serde::Serialize;

use crate::model::{Existing, Labels, Tag, Tags};

use super::decide::{Program, Tagging};
use super::facts::Facts;
use super::hash::FastHasher;
use super::stamp::Disputed;
use super::{NearMiss, RuleSet, ServiceMatch, Vote};

/// What a Resource says of itself. Numbers and booleans as their text, lists as JSON; empty values are absent.
#[derive(Clone, Copy, Debug)]
pub struct Telemetry<'a> {
    pub resource: &'a Labels<'a>,
    /// Of the attributes of a span of kind `SERVER` the [`super::SERVER_SPAN_KEYS`], for Lambda: it learns its own name
    /// only with the first request. Spans of other kinds speak of others and must not be given.
    pub server_span: Option<&'a Labels<'a>>,
}

/// What the rules say of one Resource.
#[derive(Clone, Debug)]
pub struct ResourceDecision {
    pub tags: Arc<Tags>,
    /// Identities in it that contradict each other, nearly always none. Each time the resource is seen they are told
    /// to [`super::Stamps::observe`], also when the answer itself was remembered.
    pub disputed: Arc<[Disputed]>,
    /// The id of a cell that no registry has, where the cell is `unknown` for that reason.
    pub unknown_cell: Option<Arc<str>>,
}

/// A decision on a Resource and how it came about.
#[derive(Clone, Debug, Serialize)]
pub struct ResourceExplanation {
    pub tags: Arc<Tags>,
    /// Every signal that spoke about the platform.
    pub votes: Vec<Vote>,
    pub service: Option<ServiceMatch>,
    pub near_misses: Vec<NearMiss>,
    pub shadow: Vec<Arc<str>>,
}

impl RuleSet {
    /// What the rule that set this tag says of attributes which have the tag's name already; `None` where it says
    /// nothing, or no rule but a registry set it.
    pub fn existing(&self, tag: &Tag) -> Option<Existing> {
        self.program.existing.iter().find(|(by, _)| *by == tag.by).map(|(_, existing)| *existing)
    }
}

/// What was tagged, as whoever asked gets it.
pub(super) fn decision(
    program: &Program,
    values: &Facts<'_>,
    tagging: Tagging,
    telemetry: Telemetry<'_>,
) -> ResourceDecision {
    let Tagging { tags, votes, unknown_cell, .. } = tagging;
    let disputed = program.disputes(values, &votes, telemetry.resource);
    ResourceDecision { tags: Arc::new(tags), disputed, unknown_cell }
}

/// A hash of what tells one running copy of a service from another; `None` when nothing does.
pub(super) fn instance_of(resource: &Labels<'_>) -> Option<u64> {
    let instance = resource.get("service.instance.id").or_else(|| resource.get("host.name"))?;
    let mut hasher = FastHasher::default();
    hasher.write(resource.get("service.name").unwrap_or_default().as_bytes());
    hasher.write(instance.as_bytes());
    Some(hasher.finish())
}
