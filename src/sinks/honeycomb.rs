//! Honeycomb, the events API (api-docs.honeycomb.io): each transition of an incident is one flat event of a
//! batch. Never repeats an event that was taken: Honeycomb would store it twice.
//!
//! | our notice | their event |
//! | --- | --- |
//! | opened, changed, resolved | `meta.annotation_type: alert` |
//! | event | `meta.annotation_type: change` |
//! | reminder | nothing |

mod telemetry;

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::answer::default_judgement;
use super::telemetry::{PLAN_KEYS, TelemetrySink};
use super::words::Shown;
use super::{
    EncodeError, HttpAnswer, HttpRequest, Judgement, Limits, Outgoing, Secrets, Sink, SinkKind, SinkSettings, options,
    words,
};
use crate::model::{Labels, Notice, NoticeKind, Secret, TagName, Timestamp};

pub(super) struct Kind;

const API_KEY: &str = "api_key";
const DATASET: &str = "tawny-alerts";
const BATCH_COUNT_MAX: usize = 50;
/// A batch may have 5 000 000 bytes: this much for each of its events.
const EVENT_BYTES_MAX: usize = 96_000;
/// Of which labels and annotations may fill this much, as far as they need no escapes.
const ENTRIES_BYTES_MAX: usize = 70_000;
const TEXT_BYTES_MAX: usize = 65_535;
/// An event may have 2000 fields; labels and annotations get most of them.
const ENTRY_COUNT_MAX: usize = 900;

impl SinkKind for Kind {
    fn kind(&self) -> &'static str {
        "honeycomb"
    }

    fn about(&self) -> &'static str {
        "Writes each transition of an incident as an event into a Honeycomb dataset."
    }

    fn build(&self, settings: SinkSettings) -> Result<Box<dyn Sink>, String> {
        let known = [&["dataset", "region", telemetry::DATASET_KEY][..], &PLAN_KEYS].concat();
        options::check_keys(&settings, &known, &[API_KEY])?;
        options::check_secrets(&settings, &[API_KEY], &[])?;
        telemetry::of(&settings)?;
        let base = base_url(&settings)?;
        let dataset = options::text(&settings, "dataset")?.unwrap_or(DATASET).trim();
        if dataset.is_empty() || dataset.contains('/') || dataset == "." || dataset == ".." {
            return Err("`dataset` must be a name without `/`".to_owned());
        }
        Ok(Box::new(Honeycomb { url: format!("{base}/1/batch/{}", percent_encoded(dataset)) }))
    }

    fn telemetry(&self, settings: &SinkSettings) -> Option<Result<Box<dyn TelemetrySink>, String>> {
        Some(telemetry::of(settings).map(|sink| Box::new(sink) as Box<dyn TelemetrySink>))
    }
}

fn base_url(settings: &SinkSettings) -> Result<String, String> {
    let vendor = match options::choice(settings, "region", &["us", "eu"])? {
        "eu" => "https://api.eu1.honeycomb.io",
        _ => "https://api.honeycomb.io",
    };
    options::base_url(settings, vendor)
}

/// The key as a header's value.
fn key_of(secrets: &dyn Secrets) -> Result<Secret, EncodeError> {
    let key = options::secret(secrets, API_KEY)?;
    if !key.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(EncodeError::SecretBad { name: API_KEY, reason: "not a Honeycomb key" });
    }
    Ok(key)
}

/// All but the unreserved characters of RFC 3986.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    encoded
}

struct Honeycomb {
    url: String,
}

impl Sink for Honeycomb {
    fn kind(&self) -> &'static str {
        Kind.kind()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_count_max: BATCH_COUNT_MAX,
            in_flight_max: 2,
            rate: None,
            deadline: Duration::from_secs(6 * 3600),
            timeout: Duration::from_secs(20),
        }
    }

    fn says(&self, kind: NoticeKind) -> bool {
        match kind {
            NoticeKind::Opened | NoticeKind::Changed | NoticeKind::Resolved | NoticeKind::Event => true,
            NoticeKind::Reminder => false,
        }
    }

    fn encode(&self, notices: &[&Notice], secrets: &dyn Secrets, _now: Timestamp) -> Result<Outgoing, EncodeError> {
        // A reminder among others is told with them: answers are matched to notices by their place.
        if notices.iter().all(|notice| !self.says(notice.kind)) {
            return Ok(Outgoing::Nothing);
        }
        let key = key_of(secrets)?;
        let mut body = Vec::with_capacity(notices.len() * 2048);
        for notice in notices {
            body.push(if body.is_empty() { b'[' } else { b',' });
            write_event(&mut body, notice);
        }
        body.push(b']');
        Ok(Outgoing::Http(HttpRequest {
            url: self.url.clone(),
            headers: vec![
                ("content-type".into(), "application/json".into()),
                ("user-agent".into(), words::PRODUCT.into()),
                ("x-honeycomb-team".into(), key.reveal().to_owned().into()),
            ],
            body,
        }))
    }

    fn check_secrets(&self, secrets: &dyn Secrets) -> Result<(), EncodeError> {
        key_of(secrets).map(drop)
    }

    fn judge(&self, answer: &HttpAnswer<'_>, notice_count: usize) -> Vec<Judgement> {
        if answer.status != 200 {
            return vec![default_judgement(answer); notice_count];
        }
        let entries: Vec<Entry> = serde_json::from_slice(answer.body).unwrap_or_default();
        // What has no entry is taken for lost: a double is better than a hole.
        (0..notice_count)
            .map(|at| match entries.get(at) {
                None => Judgement::Transient { reason: "200 without an entry for this event".to_owned() },
                Some(Entry { status: 200..=299, .. }) => Judgement::Delivered,
                Some(entry) => default_judgement(&HttpAnswer {
                    status: entry.status,
                    body: entry.error.as_deref().unwrap_or_default().as_bytes(),
                    ..*answer
                }),
            })
            .collect()
    }
}

/// What became of one event of a batch.
#[derive(serde::Deserialize)]
struct Entry {
    status: u16,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Full,
    /// Without labels and annotations.
    Core,
}

fn write_event(body: &mut Vec<u8>, notice: &Notice) {
    #[derive(Serialize)]
    struct Event<'a> {
        time: Shown<Timestamp>,
        /// This event stands for itself alone.
        samplerate: u32,
        data: Data<'a>,
    }
    let start = body.len();
    for detail in [Detail::Full, Detail::Core] {
        body.truncate(start);
        let event = Event { time: Shown(notice.at), samplerate: 1, data: Data { notice, detail } };
        serde_json::to_writer(&mut *body, &event).expect("an event holds texts and numbers only");
        if body.len() - start <= EVENT_BYTES_MAX {
            return;
        }
    }
}

/// The fields, flat.
struct Data<'a> {
    notice: &'a Notice,
    detail: Detail,
}

impl Data<'_> {
    fn title(&self) -> String {
        match self.detail {
            Detail::Full => words::clip_bytes(&self.notice.title(), TEXT_BYTES_MAX).into_owned(),
            Detail::Core => words::title(self.notice, 1024),
        }
    }

    fn core<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let incident = &*self.notice.incident;
        let is_change = self.notice.kind == NoticeKind::Event;
        let kind = if is_change { "change" } else { "alert" };
        let name = words::clip(words::alert_name(incident), 1024);
        map.serialize_entry("name", &format_args!("{kind} {name}"))?;
        map.serialize_entry("meta.annotation_type", kind)?;
        map.serialize_entry("meta.router_delivery_id", &self.notice.delivery_id_hex())?;
        map.serialize_entry("alert.name", &name)?;
        map.serialize_entry("alert.title", &self.title())?;
        map.serialize_entry("alert.status", words::status(self.notice))?;
        map.serialize_entry("alert.severity", incident.severity.as_str())?;
        map.serialize_entry("alert.dedup_key", &words::dedup_key(incident))?;
        map.serialize_entry("alert.started_at", &Shown(words::began_at(incident)))?;
        for (field, name) in [
            ("service.name", TagName::Service),
            ("service.owner", TagName::Owner),
            ("deploy.platform", TagName::Platform),
            ("cell", TagName::Cell),
            ("deployment.environment.name", TagName::Environment),
            ("tawny.class", TagName::Class),
            ("tawny.platform.variant", TagName::PlatformVariant),
            ("tawny.platform.cluster", TagName::PlatformCluster),
            ("tawny.platform.confidence", TagName::PlatformConfidence),
            ("service.criticality", TagName::Criticality),
            ("tawny.runbook", TagName::Runbook),
        ] {
            if let Some(value) = incident.tags.value(name) {
                map.serialize_entry(field, &words::clip_bytes(value, 1024))?;
            }
        }
        map.serialize_entry("tawny.kind", self.notice.kind.as_str())?;
        map.serialize_entry("tawny.reason", self.notice.reason.as_str())?;
        map.serialize_entry("tawny.incident", &Shown(incident.key))?;
        map.serialize_entry("tawny.episode", &incident.episode)?;
        map.serialize_entry("tawny.sequence", &self.notice.sequence)?;
        map.serialize_entry("tawny.firing_count", &incident.firing_count())?;
        map.serialize_entry("tawny.resolved_count", &incident.resolved_count())?;
        map.serialize_entry("tawny.legs", &words::clip_bytes(&words::legs(incident), 4096))?;
        map.serialize_entry("tawny.by", &words::clip_bytes(&words::reasons(&incident.tags), 4096))?;
        map.serialize_entry("tawny.rules_revision", &incident.rules_revision)?;
        if self.notice.kind == NoticeKind::Resolved {
            let lasted = self.notice.at.since(words::began_at(incident));
            map.serialize_entry("tawny.lasted_ms", &u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX))?;
        }
        Ok(())
    }
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.core(&mut map)?;
        if self.detail == Detail::Full {
            let lead = &self.notice.incident.lead;
            let room = write_entries(&mut map, "alert.label.", &lead.labels, ENTRIES_BYTES_MAX)?;
            write_entries(&mut map, "alert.annotation.", &lead.annotations, room)?;
        }
        map.end()
    }
}

/// Leaves out what no longer fits; tells how much room is left.
fn write_entries<M: SerializeMap>(
    map: &mut M,
    prefix: &str,
    labels: &Labels<'_>,
    mut room: usize,
) -> Result<usize, M::Error> {
    for (name, value) in labels.iter().take(ENTRY_COUNT_MAX) {
        let value = words::clip_bytes(value, TEXT_BYTES_MAX);
        let bytes = prefix.len() + name.len() + value.len();
        if bytes <= room {
            room -= bytes;
            map.serialize_entry(&format_args!("{prefix}{name}"), &value)?;
        }
    }
    Ok(room)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testkit::{
        Held, answer, body, build, check_life, judge, labels_of, life, notice, now, owl, request,
    };
    use super::*;
    use crate::model::Reason;

    const SECRETS: Held = Held(&[("api_key", "hcaik_0123456789")]);

    fn sink() -> Box<dyn Sink> {
        build("honeycomb", json!({}), &["api_key"]).unwrap()
    }

    #[test]
    fn the_life_of_an_incident_is_written_as_in_the_golden_files() {
        check_life("honeycomb", sink().as_ref(), &SECRETS);
    }

    #[test]
    fn a_batch_holds_one_event_per_notice_in_their_order() {
        let life = life();
        let notices: Vec<&Notice> = life.iter().map(|(_, notice)| notice).collect();
        let batch = body(sink().encode(&notices, &SECRETS, now()));
        let ids: Vec<String> = batch
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["data"]["meta.router_delivery_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids, notices.iter().map(|notice| notice.delivery_id_hex()).collect::<Vec<_>>());
    }

    #[test]
    fn the_fields_that_honeycomb_gives_a_meaning_are_left_alone() {
        let batch = body(sink().encode(&[&notice(owl(), NoticeKind::Opened, Reason::FirstAlert)], &SECRETS, now()));
        let data = batch[0]["data"].as_object().unwrap();
        for field in ["type", "error", "duration_ms", "status_code", "sampleRate", "trace.trace_id"] {
            assert!(!data.contains_key(field), "{field}");
        }
        assert_eq!(data["service.name"], "owl-service");
        assert!(data.values().all(|value| !value.is_object() && !value.is_array()), "flat");
    }

    #[test]
    fn a_full_batch_of_huge_alerts_stays_within_the_limits() {
        let mut incident = owl();
        std::sync::Arc::make_mut(&mut incident.lead).labels = labels_of(3000, &"\u{1}".repeat(1000));
        std::sync::Arc::make_mut(&mut incident.lead).title = "\u{e4}".repeat(100_000);
        let huge = notice(incident, NoticeKind::Opened, Reason::FirstAlert);
        let batch = request(sink().encode(&vec![&huge; 50], &SECRETS, now()));
        assert!(batch.body.len() < 5_000_000, "{}", batch.body.len());
        let mut incident = owl();
        std::sync::Arc::make_mut(&mut incident.lead).annotations = labels_of(1, &"\u{e4}".repeat(40_000));
        let long = body(sink().encode(&[&notice(incident, NoticeKind::Opened, Reason::FirstAlert)], &SECRETS, now()));
        let text = long[0]["data"]["alert.annotation.label_0"].as_str().unwrap();
        assert!((65_530..=65_535).contains(&text.len()) && text.ends_with('…'), "{}", text.len());
    }

    #[test]
    fn each_entry_of_an_answer_is_judged_by_its_place() {
        let entries =
            r#"[{"status":202},{"status":400,"error":"Event has too many columns."},{"status":429},{"status":500}]"#;
        let mut answer = answer(200, entries);
        answer.retry_after = Some("9");
        let judgements = sink().judge(&answer, 5);
        assert_eq!(judgements[0], Judgement::Delivered);
        assert_eq!(judgements[1], Judgement::Rejected { reason: "400: Event has too many columns.".to_owned() });
        assert_eq!(judgements[2], Judgement::Throttled { retry_after: Some(Duration::from_secs(9)) });
        assert!(matches!(judgements[3], Judgement::Transient { .. }));
        assert!(matches!(&judgements[4], Judgement::Transient { reason } if reason.contains("without an entry")));
        for unreadable in ["", "{}", "<html>", r#"[{"status":"202"}]"#] {
            assert!(matches!(judge(sink().as_ref(), 200, unreadable), Judgement::Transient { .. }), "{unreadable}");
        }
    }

    #[test]
    fn each_answer_has_its_class() {
        let sink = sink();
        let judge = |status| judge(sink.as_ref(), status, "");
        for status in [401, 403, 404] {
            assert!(matches!(judge(status), Judgement::Blocked { .. }), "{status}");
        }
        for status in [400, 413] {
            assert!(matches!(judge(status), Judgement::Rejected { .. }), "{status}");
        }
        for status in [500, 502, 503] {
            assert!(matches!(judge(status), Judgement::Transient { .. }), "{status}");
        }
        assert_eq!(judge(429), Judgement::Throttled { retry_after: None });
        assert_eq!(sink.judge(&answer(401, ""), 3).len(), 3);
    }

    #[test]
    fn a_reminder_alone_says_nothing() {
        let reminder = notice(owl(), NoticeKind::Reminder, Reason::RemindInterval);
        assert!(!sink().says(NoticeKind::Reminder));
        assert!(matches!(sink().encode(&[&reminder], &SECRETS, now()), Ok(Outgoing::Nothing)));
    }

    #[test]
    fn settings_are_checked() {
        let opened = notice(owl(), NoticeKind::Opened, Reason::FirstAlert);
        let url = |options| {
            request(build("honeycomb", options, &["api_key"]).unwrap().encode(&[&opened], &SECRETS, now())).url
        };
        assert_eq!(url(json!({})), "https://api.honeycomb.io/1/batch/tawny-alerts");
        assert_eq!(
            url(json!({"dataset": "alerts of käse?", "region": "eu"})),
            "https://api.eu1.honeycomb.io/1/batch/alerts%20of%20k%C3%A4se%3F"
        );
        let refused = |options, secrets: &[&str]| build("honeycomb", options, secrets).err().unwrap();
        assert!(refused(json!({"dataset": "a/b"}), &["api_key"]).starts_with("`dataset` must be"));
        assert!(refused(json!({"dataset": 1}), &["api_key"]).starts_with("`dataset` must be a text"));
        assert!(refused(json!({"datasets": "a"}), &["api_key"]).contains("known: `dataset`, `region`"));
        assert!(refused(json!({}), &[]).starts_with("secret `api_key` is missing"));
        let bad = sink().encode(&[&opened], &Held(&[("api_key", "a\nb")]), now()).err().unwrap();
        assert!(matches!(bad, EncodeError::SecretBad { name: "api_key", .. }));
    }
}
