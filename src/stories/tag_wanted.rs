//! One tag held against what a story expects of it. Never looks at anything but the tags.

use std::collections::BTreeSet;

use crate::model::{TagName, Tags};
use crate::rules::story::Value;

/// Message and hint, where it differs.
pub(super) fn tag(name: TagName, want: &Value, by: Option<&str>, tags: &Tags) -> Option<(String, Option<String>)> {
    let seen = tags.get(name);
    let text = seen.map(|tag| tag.value.as_ref());
    let parts = |text: &str| -> BTreeSet<String> {
        text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    };
    let (fits, wanted) = match want {
        Value::Is(value) => (text == Some(value.as_str()), format!("`{value}`")),
        Value::Parts(wanted) => {
            (parts(text.unwrap_or("")) == wanted.iter().cloned().collect(), format!("[{}]", wanted.join(", ")))
        }
        Value::Unknown => (text.is_none_or(|text| text == "unknown"), "unknown".to_owned()),
        Value::Absent => (text.is_none(), "absent".to_owned()),
    };
    let reason = seen.map(|tag| match &tag.seen {
        Some(seen) => format!("set by {}, which saw {seen}", tag.by),
        None => format!("set by {}", tag.by),
    });
    let shown = text.map_or("absent".to_owned(), |text| format!("`{text}`"));
    if !fits {
        let hint = reason.or_else(|| Some("no rule set it; `tawny explain` lists those that nearly did".to_owned()));
        return Some((format!("`{}` is {shown}, expected {wanted}", name.as_str()), hint));
    }
    let by_seen = seen.map(|tag| tag.by.split_once(' ').map_or(tag.by.as_ref(), |(_, id)| id));
    match by {
        Some(by) if by_seen != Some(by) => {
            let message = format!("`{}` is {shown}, but `{by}` did not set it", name.as_str());
            Some((message, reason))
        }
        Some(_) | None => None,
    }
}
