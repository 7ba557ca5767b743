//! What may speak of a platform: only what a thing says about itself, and no more surely than it can know. Knows
//! nothing of values; only keys and scopes.

use super::{Entry, Node, RuleNode, Tree, Wanted, get, matchers, text_of};
use crate::rules::diagnostic::Faults;
use crate::rules::self_scope;

/// The older name of `network.peer.`, which the compiler lets pass.
const OLD_PEER: &str = "net.peer.";

/// Names whose shape hints at a platform and proves none: addresses, hosts, services.
const HINTS: [&str; 20] = [
    "label.instance",
    "label.host",
    "label.hostname",
    "label.host_name",
    "label.ip",
    "label.host_ip",
    "label.pod_ip",
    "label.address",
    "label.node",
    "label.job",
    "label.service",
    "label.service_name",
    "resource.host.ip",
    "resource.host.name",
    "resource.k8s.node.name",
    "resource.net.host.name",
    "resource.service.name",
    "resource.service.instance.id",
    "out.service",
    "field.source_host",
];

pub(super) fn check(tree: &Tree<'_>, faults: &mut Faults<'_>) {
    for rule in tree.rules.iter().filter(|rule| rule.sets(&["platform"]).is_some()) {
        for (entry, _) in rule.conditions() {
            if let Some(reason) = peer(&entry.key) {
                let hint =
                    "ask the resource, the labels or the fields of the alert: what it says about itself".to_owned();
                faults.error(entry.key_at, format!("`{}` {reason}, not what ran", entry.key), Some(hint));
            }
        }
        too_sure(rule, faults);
    }
}

fn peer(key: &str) -> Option<&'static str> {
    let (scope, name) = key.split_once('.')?;
    // The convention lets a function say on its own span what it is.
    match scope {
        "span" if !self_scope::SERVER_SPAN_KEYS.contains(&name) => Some("tells what was called"),
        "annotation" => Some("is prose and tells what somebody wrote"),
        "field" if name == "title" => Some("is prose and tells what somebody wrote"),
        "resource" | "label" if self_scope::is_peer(name) || name.starts_with(OLD_PEER) => {
            Some("tells what was called")
        }
        _ => None,
    }
}

fn too_sure(rule: &RuleNode<'_>, faults: &mut Faults<'_>) {
    let confidence = rule.sets(&["platform.confidence", "confidence"]);
    let word = confidence.and_then(|entry| text_of(&entry.value));
    let conditions = rule.conditions();
    let wanted: Vec<&Entry> =
        conditions.iter().filter(|(_, wanted)| *wanted == Wanted::Yes).map(|(entry, _)| *entry).collect();
    let only_hints = !wanted.is_empty() && wanted.iter().all(|entry| is_hint(entry));
    if rule.is_shadow || !only_hints || matches!(word, Some("hint" | "none")) {
        return;
    }
    let at = confidence.map_or(rule.node.at, |entry| entry.value.at);
    let hint = "write `platform.confidence: hint`, and `stage: shadow` until it is trusted".to_owned();
    let message = "the shape of a name or an address proves no platform".to_owned();
    faults.warning(at, message, Some(hint));
}

/// An exact value or a row of a table is knowledge; a pattern over names and addresses is not.
fn is_hint(entry: &Entry) -> bool {
    let by_shape =
        |matcher: &&Node| ["re", "glob", "prefix", "suffix", "exists"].iter().any(|key| get(matcher, key).is_some());
    let by_address = |matcher: &&Node| get(matcher, "cidr").is_some();
    let matchers = matchers(&entry.value);
    matchers.iter().all(by_address) || HINTS.contains(&entry.key.as_str()) && matchers.iter().all(by_shape)
}
