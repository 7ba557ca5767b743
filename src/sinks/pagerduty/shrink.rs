//! Makes the details of an event small enough, giving up what is least missed first. Never touches what a
//! person needs to know whose the problem is.

use std::collections::BinaryHeap;

use serde_json::{Map, Value};

use super::body::PINNED;

/// PagerDuty says 512 KB; the smaller reading of it, as Alertmanager and Grafana take it.
pub(super) const BODY_BYTES_MAX: usize = 512_000;

const MARK: &str = "…[cut]";
/// A text is not cut below this.
const TEXT_CHARS_MIN: usize = 256;
/// Room for the count of what was left out.
const OMITTED_BYTES: usize = 32;

/// Takes at least `excess` bytes off the written form: first by halving the longest text again and again, then
/// by dropping the ends of the lists, then whole keys, the largest first; the pinned keys last of all.
pub(super) fn shrink(mut details: Value, excess: usize) -> Value {
    let target = written(&details).saturating_sub(excess);
    halve_texts(&mut details, target);
    let Value::Object(details) = &mut details else { return Value::Null };
    if size(details) > target {
        drop_list_ends(details, target.saturating_sub(OMITTED_BYTES));
    }
    drop_keys(details, target);
    Value::Object(std::mem::take(details))
}

fn written(value: &Value) -> usize {
    // Writing to a counter would save the copy, but this path is for one event in a million.
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len())
}

fn size(details: &Map<String, Value>) -> usize {
    serde_json::to_vec(details).map_or(0, |bytes| bytes.len())
}

fn halve_texts(details: &mut Value, target: usize) {
    let mut bytes = written(details);
    let mut texts = Vec::new();
    collect_texts(details, &mut texts);
    let mut longest: BinaryHeap<(usize, usize)> = texts.iter().enumerate().map(|(at, text)| (text.len(), at)).collect();
    while bytes > target {
        let Some((_, at)) = longest.pop() else { return };
        let text = &mut *texts[at];
        let chars = text.chars().count();
        if chars <= TEXT_CHARS_MIN {
            continue;
        }
        let before = written_text(text);
        let kept = (chars / 2).max(TEXT_CHARS_MIN) - MARK.chars().count();
        let end = text.char_indices().nth(kept).map_or(text.len(), |(end, _)| end);
        text.truncate(end);
        text.push_str(MARK);
        bytes = bytes.saturating_sub(before.saturating_sub(written_text(text)));
        longest.push((text.len(), at));
    }
}

fn written_text(text: &str) -> usize {
    serde_json::to_vec(text).map_or(0, |bytes| bytes.len())
}

fn collect_texts<'v>(value: &'v mut Value, texts: &mut Vec<&'v mut String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter_mut().for_each(|value| collect_texts(value, texts)),
        Value::Object(map) => {
            map.iter_mut().filter(|(key, _)| !is_key(key)).for_each(|(_, value)| collect_texts(value, texts));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Half a key or an address is worth nothing.
fn is_key(key: &str) -> bool {
    matches!(key, "tawny.dedup_key" | "tawny.runbook")
}

/// The first entry, the lead, goes last.
fn drop_list_ends(details: &mut Map<String, Value>, target: usize) {
    let mut bytes = size(details);
    let mut omitted = 0;
    for key in ["resolved", "firing"] {
        let Some(Value::Array(list)) = details.get_mut(key) else { continue };
        while bytes > target
            && let Some(last) = list.pop()
        {
            bytes = bytes.saturating_sub(written(&last) + 1);
            omitted += 1;
        }
    }
    if omitted > 0 {
        details.insert("omitted".to_owned(), Value::from(omitted));
    }
}

fn drop_keys(details: &mut Map<String, Value>, target: usize) {
    while size(details) > target {
        let largest = details
            .iter()
            .max_by_key(|(key, value)| (!PINNED.contains(&key.as_str()), written(value)))
            .map(|(key, _)| key.clone());
        match largest {
            Some(key) => details.remove(&key),
            None => return,
        };
    }
}
