//! What an event is called, which decides with the service what it is one incident with. Never takes words of the
//! summary that a sender rendered: two problems may begin alike, and one may be told with another number each time.

use std::borrow::Cow;

use crate::model::Labels;

/// What Grafana sends as the class where nobody chose one.
const CLASS_OF_NOBODY: &str = "default";

/// The name that the sender gives, if any.
pub(super) fn given<'a>(labels: &Labels<'a>, summary: Option<&str>) -> Option<Cow<'a, str>> {
    labels
        .get_cow("class")
        .filter(|class| class != CLASS_OF_NOBODY)
        .or_else(|| labels.get_cow("alertname"))
        .or_else(|| of_group(labels, summary?).map(Cow::Owned))
}

/// Alertmanager and Grafana send a group of alerts as one event whose summary is `[FIRING:2]`, then the values of the
/// labels by which they group, and whose details tell the labels of each alert. The name is there only where all alerts
/// of the group have one.
fn of_group(labels: &Labels<'_>, summary: &str) -> Option<String> {
    let (bracket, rest) = summary.split_once(']')?;
    if !bracket.starts_with("[FIRING") && !bracket.starts_with("[RESOLVED") {
        return None;
    }
    let rest = rest.trim_start();
    let is_group_of = |name: &&str| {
        rest.strip_prefix(name).is_some_and(|further| further.is_empty() || further.starts_with(char::is_whitespace))
    };
    let told = ["firing", "resolved"].iter().find_map(|state| {
        let listed = labels.get(&format!("{state}.0.labels.alertname"));
        listed.or_else(|| labels.get(state)?.split_once(" - alertname = ")?.1.lines().next())
    });
    match told {
        Some(name) => Some(name).filter(is_group_of),
        // Details that somebody replaced: only what is no word of any sentence is a name.
        None => rest.split_whitespace().next().filter(|word| is_identifier(word)),
    }
    .map(str::to_owned)
}

/// `HighErrorRate`, `disk_full`.
fn is_identifier(word: &str) -> bool {
    let is_hump = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase() || pair[1] == b'_';
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && word.as_bytes().windows(2).any(is_hump)
}
