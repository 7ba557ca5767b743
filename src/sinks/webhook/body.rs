//! The body of a webhook: everything a notice knows, under 20 KB. Never cuts what says whose the problem is
//! before what merely describes it.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::super::EncodeError;
use super::super::words::{self, Shown};
use crate::model::incident::Sample;
use crate::model::{IncidentKey, Labels, Leg, Link, Notice, NoticeKind, SourceRef, TagName, Tags, Timestamp};

/// Standard Webhooks asks for bodies under 20 KB.
const BODY_BYTES_MAX: usize = 20_000;

/// How much of a notice is told.
#[derive(Clone, Copy)]
struct Detail {
    sample_count: usize,
    /// Labels, annotations, links and cells, of each.
    entry_count: usize,
    text_chars: usize,
    title_chars: usize,
}

/// From everything to the least, in the order in which readers miss it.
const DETAILS: [Detail; 5] = [
    Detail { sample_count: usize::MAX, entry_count: usize::MAX, text_chars: usize::MAX, title_chars: 1024 },
    Detail { sample_count: 0, entry_count: usize::MAX, text_chars: usize::MAX, title_chars: 1024 },
    Detail { sample_count: 0, entry_count: 32, text_chars: 256, title_chars: 512 },
    Detail { sample_count: 0, entry_count: 8, text_chars: 128, title_chars: 256 },
    Detail { sample_count: 0, entry_count: 0, text_chars: 64, title_chars: 128 },
];

pub(super) fn encode(notice: &Notice, id: &str) -> Result<Vec<u8>, EncodeError> {
    let mut body = Vec::with_capacity(4096);
    for detail in DETAILS {
        body.clear();
        let message = Message { kind: kind(notice.kind), timestamp: Shown(notice.at), data: data(notice, id, detail) };
        serde_json::to_writer(&mut body, &message).expect("a notice holds texts and numbers only");
        if body.len() < BODY_BYTES_MAX {
            return Ok(body);
        }
    }
    Err(EncodeError::Unencodable { reason: format!("the least body has {} bytes", body.len()) })
}

fn kind(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Opened => "incident.opened",
        NoticeKind::Changed => "incident.changed",
        NoticeKind::Reminder => "incident.reminder",
        NoticeKind::Resolved => "incident.resolved",
        NoticeKind::Event => "event",
    }
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Shown<Timestamp>,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: &'a str,
    incident: Shown<IncidentKey>,
    episode: u32,
    sequence: u32,
    dedup_key: String,
    status: &'static str,
    reason: &'static str,
    severity: &'static str,
    title: String,
    name: String,
    started_at: Shown<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Cut<'a>>,
    criticality: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cell: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<Cut<'a>>,
    firing_count: u32,
    resolved_count: u32,
    legs: &'a [Leg],
    cells: Texts<'a>,
    tags: TagsOut<'a>,
    rules_revision: Cut<'a>,
    source: Source<'a>,
    labels: Map<'a>,
    annotations: Map<'a>,
    links: Links<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    samples: Vec<SampleOut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    samples_omitted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn data<'a>(notice: &'a Notice, id: &'a str, detail: Detail) -> Data<'a> {
    let incident = &*notice.incident;
    let cut = |text| Cut { text, chars: detail.text_chars };
    let tag = |name| incident.tags.value(name).map(cut);
    let sample_count = incident.samples.len().min(detail.sample_count);
    Data {
        id,
        incident: Shown(incident.key),
        episode: incident.episode,
        sequence: notice.sequence,
        dedup_key: words::dedup_key(incident),
        status: words::status(notice),
        reason: notice.reason.as_str(),
        severity: incident.severity.as_str(),
        title: words::title(notice, detail.title_chars),
        name: words::clip(words::alert_name(incident), detail.title_chars).into_owned(),
        started_at: Shown(words::began_at(incident)),
        service: tag(TagName::Service),
        owner: tag(TagName::Owner),
        criticality: tag(TagName::Criticality),
        platform: tag(TagName::Platform),
        cell: tag(TagName::Cell),
        env: tag(TagName::Environment),
        runbook: tag(TagName::Runbook),
        firing_count: incident.firing_count(),
        resolved_count: incident.resolved_count(),
        // There are as many legs as platforms: a handful, named by the rules.
        legs: &incident.legs,
        cells: Texts { texts: &incident.cells, detail },
        tags: TagsOut { tags: &incident.tags, detail },
        rules_revision: cut(&incident.rules_revision),
        source: source(&incident.lead.source, detail),
        labels: Map { map: &incident.lead.labels, detail },
        annotations: Map { map: &incident.lead.annotations, detail },
        links: Links { links: &incident.lead.links, detail },
        samples: incident.samples.iter().take(sample_count).map(|sample| sample_out(sample, detail)).collect(),
        samples_omitted: incident.samples.len() - sample_count,
    }
}

#[derive(Serialize)]
struct Source<'a> {
    kind: Cut<'a>,
    instance: Cut<'a>,
}

fn source(source: &SourceRef, detail: Detail) -> Source<'_> {
    let cut = |text| Cut { text, chars: detail.text_chars };
    Source { kind: cut(source.kind.as_ref()), instance: cut(&source.instance) }
}

#[derive(Serialize)]
struct SampleOut<'a> {
    name: &'a str,
    title: &'a str,
    severity: &'static str,
    started_at: Shown<Timestamp>,
    source: Source<'a>,
    labels: Map<'a>,
}

fn sample_out(sample: &Sample, detail: Detail) -> SampleOut<'_> {
    SampleOut {
        name: &sample.name,
        title: &sample.title,
        severity: sample.severity.as_str(),
        started_at: Shown(sample.starts_at),
        source: source(&sample.source, detail),
        labels: Map { map: &sample.labels, detail },
    }
}

/// A text that is cut while it is written.
struct Cut<'a> {
    text: &'a str,
    chars: usize,
}

impl Serialize for Cut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&words::clip(self.text, self.chars))
    }
}

struct Texts<'a> {
    texts: &'a [std::sync::Arc<str>],
    detail: Detail,
}

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = self.texts.iter().take(self.detail.entry_count);
        serializer.collect_seq(texts.map(|text| Cut { text, chars: self.detail.text_chars }))
    }
}

struct Map<'a> {
    map: &'a Labels<'static>,
    detail: Detail,
}

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let chars = self.detail.text_chars;
        // A name is an identifier: one that is too long is left out, not cut into another.
        let entries = self.map.iter().filter(|(name, _)| name.len() <= chars).take(self.detail.entry_count);
        for (name, value) in entries {
            map.serialize_entry(name, &Cut { text: value, chars })?;
        }
        map.end()
    }
}

struct Links<'a> {
    links: &'a [Link],
    detail: Detail,
}

impl Serialize for Links<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        // Half an address leads nowhere.
        let is_short = |link: &&Link| self.detail.text_chars == usize::MAX || link.href.len() <= 1024;
        for link in self.links.iter().filter(is_short).take(self.detail.entry_count) {
            list.serialize_element(link)?;
        }
        list.end()
    }
}

/// Each tag with its rule, so that a receiver can show why.
struct TagsOut<'a> {
    tags: &'a Tags,
    detail: Detail,
}

impl Serialize for TagsOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct TagOut<'a> {
            value: Cut<'a>,
            by: Cut<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            seen: Option<Cut<'a>>,
        }
        let cut = |text| Cut { text, chars: self.detail.text_chars };
        serializer.collect_map(self.tags.iter().map(|(name, tag)| {
            let seen = tag.seen.as_deref().map(cut);
            (name.as_str(), TagOut { value: cut(&tag.value), by: cut(&tag.by), seen })
        }))
    }
}
