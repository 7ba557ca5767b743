//! What the sources make of real bodies and of broken ones. Samples that others published are read from the
//! shared folder; bodies that we wrote stand beside the tests.

mod alertmanager;
mod alertmanager_api;
mod json;
mod mutations;
mod pagerduty;
mod traps;

use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Labels, Timestamp};

use super::*;

/// Between the two captures of `prometheus-api/`: the first still fires, and the webhooks were just sent.
pub(super) const RECEIVED_AT: &str = "2026-11-23T02:21:00.000Z";

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// The bytes of a published sample. A missing folder fails the test, so that nothing passes unseen.
pub(super) fn sample(name: &str) -> Vec<u8> {
    let path = shared_folder().join("samples").join(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("sample {} is needed ({error}); set TAWNY_SHARED to the shared folder", path.display())
    })
}

/// All bodies of one folder, by name, without the notes on their headers.
pub(super) fn samples(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = shared_folder().join("samples").join(folder);
    let entries = std::fs::read_dir(&path).unwrap_or_else(|error| {
        panic!("samples {} are needed ({error}); set TAWNY_SHARED to the shared folder", path.display())
    });
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".json") && !name.ends_with(".headers.json"));
    names.sort();
    assert!(!names.is_empty(), "no samples in {}", path.display());
    names.into_iter().map(|name| (format!("{folder}/{name}"), sample(&format!("{folder}/{name}")))).collect()
}

fn shared_folder() -> PathBuf {
    std::env::var_os("TAWNY_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")), PathBuf::from)
}

pub(super) fn instance(kind: &'static str) -> Instance {
    Instance {
        name: "lab".to_owned(),
        kind,
        constants: Labels::new(),
        replica_labels: Vec::new(),
        holds_for: None,
        options: serde_json::Value::Null,
    }
}

pub(super) fn request(body: &[u8]) -> Request<'_> {
    Request {
        path: "",
        body,
        peer: "192.0.2.1",
        user_agent: "",
        content_type: "application/json",
        received_at: at(RECEIVED_AT),
    }
}

pub(super) fn source(kind: &str) -> &'static dyn Source {
    source_of_kind(kind).unwrap()
}

/// Decodes what must be decodable.
pub(super) fn decode<'a>(body: &'a [u8], instance: &'a Instance) -> Batch<'a> {
    source(instance.kind).decode(&request(body), instance).unwrap()
}

/// The text of the error for what must not be decodable.
pub(super) fn refusal(kind: &'static str, body: &[u8]) -> String {
    let instance = instance(kind);
    source(kind).decode(&request(body), &instance).map(|batch| batch.rejects).unwrap_err().to_string()
}

pub(super) fn reasons(batch: &Batch<'_>) -> Vec<String> {
    batch.rejects.iter().map(ToString::to_string).collect()
}

pub(super) fn taken<'a>(batch: &'a Batch<'_>) -> Receipt<'a> {
    Receipt::Taken {
        answer_key: batch.answer_key.as_deref(),
        accepted_count: batch.alerts.len(),
        rejects: &batch.rejects,
    }
}

pub(super) const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

#[test]
fn every_kind_has_its_own_word_and_a_sentence() {
    for source in SOURCES {
        assert_eq!(source_of_kind(source.kind()).map(Source::kind), Some(source.kind()));
        assert_eq!(SOURCES.iter().filter(|other| other.kind() == source.kind()).count(), 1);
        assert!(source.about().ends_with('.') && !source.about().contains('\n'), "{}", source.about());
        assert!(source.body_bytes_max() >= 512 << 10);
    }
}

#[test]
fn overload_is_a_503_for_every_kind_and_every_refusal_is_one_short_line() {
    let reasons = ["disk full".to_owned(), "\u{1}\"\\".repeat(300), "é\n".repeat(400), String::new()];
    for source in SOURCES {
        for path in std::iter::once(&"").chain(source.fixed_paths()) {
            for reason in &reasons {
                let not_now = source.answer(path, &Receipt::NotNow { reason });
                assert_eq!(not_now.status, 503, "{}", source.kind());
                let refused = source.answer(path, &Receipt::Refused { status: 413, reason });
                assert_eq!(refused.status, 413, "{}", source.kind());
                for answer in [not_now, refused] {
                    assert!(answer.body.len() < 300 && !answer.body.contains('\n'), "{}", answer.body);
                    serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
                }
            }
        }
    }
}
