//! What all alerts of a group have in common, as Alertmanager tells of a group in one event. Never reads a rendered list
//! of labels: a value may hold lines that look like further labels.

use crate::sources::flatten::{LABEL_COUNT_MAX, NAME_BYTES_MAX, Pairs, bounded};
use crate::sources::node::{Kind, Node};

/// The lists in the details, of which the first that holds an alert counts.
const LISTS: [&str; 2] = ["firing", "resolved"];

/// Labels that each alert of the group has with the same value. None where an alert has no labels, because such a list may
/// be anybody's.
pub(super) fn shared_labels(details: Node<'_>) -> Pairs<'_> {
    let lists = LISTS.iter().filter_map(|list| details.get(list)).map(Node::items);
    let alerts = lists.into_iter().find(|alerts| !alerts.is_empty()).unwrap_or_default();
    let Some((first, others)) = alerts.split_first() else { return Vec::new() };
    let mut shared = labels(*first);
    for alert in others {
        if shared.is_empty() {
            break;
        }
        let held = labels(*alert);
        shared.retain(|pair| held.binary_search(pair).is_ok());
    }
    shared
}

/// Sorted, each name once. An empty label is none, and the last of two equal names wins, as everywhere.
fn labels(alert: Node<'_>) -> Pairs<'_> {
    let Some(labels) = alert.get("labels").filter(|labels| labels.kind() == Kind::Object) else { return Vec::new() };
    let mut pairs: Pairs<'_> = Vec::new();
    for (name, value) in labels.members().into_iter().take(LABEL_COUNT_MAX) {
        if let Some(value) = value.scalar().filter(|_| name.len() <= NAME_BYTES_MAX) {
            pairs.retain(|(held, _)| *held != name);
            pairs.push((name, bounded(value)));
        }
    }
    pairs.retain(|(name, value)| !name.is_empty() && !value.is_empty());
    pairs.sort();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(details: &str) -> Vec<(String, String)> {
        let pairs = shared_labels(Node::parse(details).unwrap());
        pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    #[test]
    fn only_what_each_alert_says_alike_is_shared() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let two = r#"{"firing":[{"labels":{"service":"owl","pod":"a","n":7,"x":"","z":"1","z":"2"}},
            {"labels":{"pod":"b","n":"7","service":"owl","x":"","z":"2"}}],"resolved":[{"labels":{"service":"duo"}}]}"#;
        assert_eq!(shared(two), [pair("n", "7"), pair("service", "owl"), pair("z", "2")]);
        let over = r#"{"firing":[],"resolved":[{"labels":{"service":"duo","l":{"a":1}}}]}"#;
        assert_eq!(shared(over), [pair("service", "duo")]);
        assert_eq!(shared(r#"{"firing":null,"resolved":[{"labels":{"a":"b"}}]}"#), [pair("a", "b")]);
    }

    #[test]
    fn what_is_no_list_of_alerts_shares_nothing() {
        for details in [
            "{}",
            r#""text""#,
            "[]",
            r#"{"firing":"Labels:\n - alertname = X\n - service = owl\n"}"#,
            r#"{"firing":["service"]}"#,
            r#"{"firing":[{"labels":"service=owl"}]}"#,
            r#"{"firing":[{"labels":{"service":"owl"}},{"service":"owl"}]}"#,
            r#"{"firing":[{"labels":{"service":"owl"}},{"labels":{}}]}"#,
        ] {
            assert!(shared(details).is_empty(), "{details}");
        }
    }

    #[test]
    fn many_alerts_of_many_labels_are_bounded() {
        let labels: String = (0..5000).map(|at| format!("\"k{at}\":\"{}\",", "v".repeat(20))).collect();
        let alert = format!(r#"{{"labels":{{{labels}"k0":"v"}}}}"#);
        assert_eq!(shared(&format!(r#"{{"firing":[{alert},{alert},{alert}]}}"#)).len(), LABEL_COUNT_MAX);
    }
}
