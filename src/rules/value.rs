//! What a tag may hold: closed sets, registered names, short texts. A value that does not fit is no value: a tag is
//! right or absent.

use std::sync::Arc;

use crate::model::{Severity, Tag, TagName};

use super::arn::Arn;
use super::cell::Cells;
use super::diagnostic::Faults;
use super::platform::Platform;
use super::service::{CRITICALITIES, Match, Services};
use super::suggest;
use super::template::{Rendered, Template};
use super::walk::Word;

const VARIANTS: [&str; 7] = ["fargate", "ec2", "external", "managed_instances", "auto", "hybrid", "unknown"];
const CONFIDENCES: [&str; 5] = ["conclusive", "strong", "inferred", "hint", "none"];
const SEVERITIES: [&str; 4] = ["info", "warning", "error", "critical"];
/// Longer texts are prose, not names.
const TEXT_BYTES_MAX: usize = 256;
const RUNBOOK_BYTES_MAX: usize = 2048;

#[derive(Debug)]
pub(super) struct Values {
    pub(super) cells: Cells,
    pub(super) services: Services,
    platforms: Vec<Arc<str>>,
    variants: Vec<Arc<str>>,
    confidences: Vec<Arc<str>>,
    severities: Vec<Arc<str>>,
    criticalities: Vec<Arc<str>>,
    source_severity_by: Arc<str>,
    pub(super) unknown: Arc<str>,
    pub(super) unowned: Arc<str>,
}

/// A value that a tag may hold.
pub(super) struct Fit {
    pub(super) value: Arc<str>,
    /// For a service: its place in the registry and how it was found.
    pub(super) service: Option<(Option<usize>, Match)>,
}

impl Values {
    pub(super) fn new(cells: Cells, services: Services) -> Values {
        let shared = |words: &[&str]| words.iter().map(|word| Arc::from(*word)).collect();
        Values {
            cells,
            services,
            platforms: shared(&Platform::ALL.map(Platform::as_str)),
            variants: shared(&VARIANTS),
            confidences: shared(&CONFIDENCES),
            severities: shared(&SEVERITIES),
            criticalities: shared(&CRITICALITIES),
            source_severity_by: Arc::from("field.severity"),
            unknown: Arc::from("unknown"),
            unowned: Arc::from("unowned"),
        }
    }

    /// The value as the tag holds it, or `None` when it does not fit.
    pub(super) fn fit(&self, name: TagName, rendered: Rendered<'_>) -> Option<Fit> {
        let text = rendered.as_str();
        let value = match name {
            TagName::Service => {
                let service = self.services.resolve(text)?;
                let value = match service.0 {
                    Some(at) => Arc::clone(&self.services.get(at).name),
                    None => rendered.into_shared(),
                };
                return Some(Fit { value, service: Some(service) });
            }
            TagName::Platform => held(&self.platforms, text)?,
            TagName::PlatformVariant => held(&self.variants, text).or_else(|| held(&self.variants, &variant(text)))?,
            TagName::PlatformConfidence => held(&self.confidences, text)?,
            TagName::Severity => held(&self.severities, Severity::from_word(text)?.as_str())?,
            TagName::Criticality => held(&self.criticalities, text)?,
            TagName::Environment => match self.cells.environment(text) {
                Some(environment) => Arc::clone(&environment.name),
                None => short(rendered, TEXT_BYTES_MAX)?,
            },
            TagName::Cell => match self.cells.find(text) {
                Some(cell) => Arc::clone(&cell.id),
                None if self.cells.is_empty() => short(rendered, TEXT_BYTES_MAX)?,
                // A typo or a new cell: visible as such, and never another cell's.
                None => Arc::clone(&self.unknown),
            },
            TagName::Owner => match self.services.team(text) {
                Some(team) => Arc::clone(team),
                None if self.services.teams().next().is_none() => short(rendered, TEXT_BYTES_MAX)?,
                None => return None,
            },
            // The short name: ARNs of the same cluster differ in their partition and compare badly.
            TagName::PlatformCluster => match Arn::parse(text).and_then(|arn| arn.cluster) {
                Some(cluster) => short(Rendered::Text(cluster.into()), TEXT_BYTES_MAX)?,
                None => short(rendered, TEXT_BYTES_MAX)?,
            },
            TagName::Class | TagName::PlatformConflict => short(rendered, TEXT_BYTES_MAX)?,
            TagName::Runbook => short(rendered, RUNBOOK_BYTES_MAX)?,
        };
        Some(Fit { value, service: None })
    }

    /// What a constant is as a tag. `None` for what depends on the alert, and for services and cells, of which is also
    /// told how they were found.
    pub(super) fn fit_constant(&self, name: TagName, template: &Template) -> Option<Arc<str>> {
        match template {
            Template::Constant(value) if !matches!(name, TagName::Service | TagName::Cell) => {
                self.fit(name, Rendered::Shared(value)).map(|fit| fit.value)
            }
            Template::Constant(_) | Template::Parts(_) => None,
        }
    }

    /// The shared words of the platform's tags.
    pub(super) fn platform(&self, platform: Platform) -> Arc<str> {
        Arc::clone(&self.platforms[platform as usize])
    }

    pub(super) fn confidence(&self, word: &str) -> Arc<str> {
        held(&self.confidences, word).unwrap_or_else(|| Arc::clone(&self.unknown))
    }

    /// What the source itself said, for alerts about whose severity no rule speaks.
    pub(super) fn severity_of_source(&self, severity: Severity) -> Tag {
        let value = Arc::clone(&self.severities[severity as usize]);
        Tag { value, by: Arc::clone(&self.source_severity_by), seen: None }
    }

    /// Reports a constant that could never fit.
    pub(super) fn check_constant(&self, name: TagName, word: Word<'_>, faults: &mut Faults<'_>) {
        if self.fit(name, Rendered::Text(word.text.into())).is_some_and(|fit| *fit.value != *self.unknown)
            || word.text == &*self.unknown
        {
            return;
        }
        let hint = match name {
            TagName::Platform => suggest::hint(word.text, Platform::ALL.map(Platform::as_str)),
            TagName::PlatformVariant => suggest::hint(word.text, VARIANTS),
            TagName::PlatformConfidence => suggest::hint(word.text, CONFIDENCES),
            TagName::Severity => suggest::hint(word.text, SEVERITIES),
            TagName::Criticality => suggest::hint(word.text, CRITICALITIES),
            TagName::Owner => suggest::hint(word.text, self.services.teams()),
            TagName::Cell => suggest::hint(word.text, self.cells.ids()),
            TagName::Service
            | TagName::Class
            | TagName::Environment
            | TagName::PlatformCluster
            | TagName::PlatformConflict
            | TagName::Runbook => None,
        };
        faults.error(word.at, format!("`{}` is not a value for `{}`", word.text, name.as_str()), hint);
    }
}

/// `FARGATE`, `managed-instances`: each sender has its own case and its own dash.
fn variant(text: &str) -> String {
    text.to_ascii_lowercase().replace('-', "_")
}

fn held(words: &[Arc<str>], text: &str) -> Option<Arc<str>> {
    words.iter().find(|word| word.as_ref() == text).cloned()
}

fn short(rendered: Rendered<'_>, bytes_max: usize) -> Option<Arc<str>> {
    let text = rendered.as_str();
    let fits = !text.trim().is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control);
    fits.then(|| rendered.into_shared())
}
