//! What can be said of one rule by its words: expressions that match everything, ARNs of one partition, dates that are
//! over, routes that tell nobody.

use regex::RegexBuilder;

use super::{Node, RuleNode, Tree, get, items, matchers, text_of};
use crate::rules::diagnostic::Faults;
use crate::rules::yaml::Kind;

pub(super) fn check(tree: &Tree<'_>, today: Option<&str>, faults: &mut Faults<'_>) {
    for rule in &tree.rules {
        expired(rule, today, faults);
        for (entry, _) in rule.conditions() {
            for matcher in matchers(&entry.value) {
                matches_everything(matcher, faults);
                one_partition(matcher, faults);
            }
        }
        if let Some(to) = get(rule.node, "to")
            && matches!(&to.kind, Kind::List(items) if items.is_empty())
            && get(rule.node, "why").is_none()
        {
            let hint = "name a sink in `to`, leave it out for every sink, or say `why`".to_owned();
            faults.warning(to.at, "this route tells nobody", Some(hint));
        }
    }
}

fn expired(rule: &RuleNode<'_>, today: Option<&str>, faults: &mut Faults<'_>) {
    let Some(node) = get(rule.node, "expires") else { return };
    // Both are written year first, so that the order of texts is the order of days.
    if let (Some(date), Some(today)) = (text_of(node), today)
        && date < today
    {
        let hint = "remove the rule, or give it a later date".to_owned();
        faults.warning(node.at, format!("this rule was to end on {date}"), Some(hint));
    }
}

pub(super) fn silences(tree: &Tree<'_>, today: Option<&str>, faults: &mut Faults<'_>) {
    for silence in list(tree, "silences") {
        let Some((node, until)) = get(silence, "until").and_then(|node| Some((node, text_of(node)?))) else { continue };
        if today.zip(until.get(..10)).is_some_and(|(today, day)| day < today) {
            let hint = "remove it, or give it a later end".to_owned();
            faults.warning(node.at, format!("this silence has ended on {until}"), Some(hint));
        }
    }
}

/// Texts that have nothing in common: an expression that fits all of them fits anything.
const PROBES: [&str; 6] = ["x", "0", "~ ", "Qq-9/é", "arn:aws:s3:::b", "10.0.0.1:80"];

fn matches_everything(matcher: &Node, faults: &mut Faults<'_>) {
    let Some(node) = get(matcher, "re") else { return };
    let Some(pattern) = text_of(node) else { return };
    let Ok(regex) = RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).build() else { return };
    // One that names what it finds does so on purpose.
    let finds_nothing = regex.capture_names().flatten().next().is_none();
    if finds_nothing && PROBES.iter().all(|probe| regex.is_match(probe)) {
        let hint = "write `{ exists: true }`, or name what it finds: `(?<name>…)`".to_owned();
        faults.warning(node.at, format!("`{pattern}` fits every text"), Some(hint));
    }
}

fn one_partition(matcher: &Node, faults: &mut Faults<'_>) {
    for key in ["re", "prefix", "glob"] {
        let Some(node) = get(matcher, key) else { continue };
        if text_of(node).is_some_and(|pattern| pattern.contains("arn:aws:")) {
            let hint = "write `{ arn: { service: ecs, type: task } }`, which knows all partitions".to_owned();
            faults.warning(node.at, "`arn:aws:` misses aws-cn and aws-us-gov", Some(hint));
        }
    }
}

/// Also for the lists of other lints.
pub(super) fn list<'n>(tree: &Tree<'n>, key: &str) -> &'n [Node] {
    get(tree.root, key).map(items).unwrap_or_default()
}
