//! What compiles and is still probably wrong: rules that never speak, that contradict each other, or that say more than
//! they can know. Looks at a set that compiled; never changes what a rule does.

mod keys;
mod overlap;
mod owners;
mod platform;
mod registry;
mod secret;
#[cfg(test)]
mod tests;
mod text;
mod witness;

use super::diagnostic::{At, Faults};
use super::yaml::{self, Entry, Kind, Node};
use super::{Diagnostic, DiagnosticSeverity, Listed, RuleSet, SourceFile, compile, roster};

/// What a rule set cannot know by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct LintFacts<'a> {
    /// `2026-11-23`; without it nothing has expired.
    pub today: Option<&'a str>,
    /// Rules and routes that no story tried; `None` when nobody looked.
    pub untested: Option<&'a [Listed]>,
}

impl RuleSet {
    /// The findings beside the warnings of the compiler, in the order of the files. `files` are those of this set.
    pub fn lint(&self, files: &[SourceFile], facts: &LintFacts<'_>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut stranded = owners::stranded(&self.program);
        for file in files {
            let mut faults = Faults::new(file);
            secret::check(&mut faults, &file.text);
            found.extend(faults.into_found().into_iter().map(secret::without_line));
            if !compile::is_rule_file(&file.name) {
                continue;
            }
            let mut faults = Faults::new(file);
            if let Some(root) = yaml::read(&file.text, &mut Faults::new(file)) {
                let tree = Tree::new(&root);
                text::check(&tree, facts.today, &mut faults);
                platform::check(&tree, &mut faults);
                keys::check(&tree, &mut faults);
                registry::check(&tree, &mut faults);
                owners::check(&tree, &mut stranded, &mut faults);
                text::silences(&tree, facts.today, &mut faults);
            }
            found.extend(faults.into_found());
        }
        found.extend(overlap::check(&self.program, files));
        found.extend(owners::elsewhere(&stranded, files));
        found.extend(untested(files, facts));
        found.sort_by(|left, right| (&left.file, left.line, left.column).cmp(&(&right.file, right.line, right.column)));
        found
    }
}

/// Per rule; where there is no test at all, once.
fn untested(files: &[SourceFile], facts: &LintFacts<'_>) -> Vec<Diagnostic> {
    let Some(untested) = facts.untested else { return Vec::new() };
    let warning = DiagnosticSeverity::Warning;
    if !files.iter().any(|file| super::story::is_story_file(&file.name)) {
        let Some(first) = untested.first() else { return Vec::new() };
        let hint = "put examples into `tests/*.yaml` beside the rules; `tawny test` plays them".to_owned();
        let message = format!("no tests: none of {} rules and routes is tried", untested.len());
        return vec![roster::at_rule(files, &first.by, warning, message, Some(hint))];
    }
    let lint = |listed: &Listed| {
        let what = if listed.is_route { "route" } else { "rule" };
        let message = format!("no test tries {what} `{}`", listed.id());
        let hint = "add a test to `tests/` in which it decides something".to_owned();
        roster::at_rule(files, &listed.by, warning, message, Some(hint))
    };
    untested.iter().map(lint).collect()
}

/// A rule file as it is written.
struct Tree<'n> {
    /// `platform`, `cells`, …
    kind: &'n str,
    root: &'n Node,
    rules: Vec<RuleNode<'n>>,
}

/// A rule or a route as it is written.
struct RuleNode<'n> {
    node: &'n Node,
    when: Option<&'n Node>,
    set: &'n [Entry],
    is_shadow: bool,
}

impl<'n> Tree<'n> {
    fn new(root: &'n Node) -> Tree<'n> {
        let list = |key: &str| get(root, key).map(items).unwrap_or_default();
        let nodes = list("rules").iter().chain(list("routes"));
        let rules = nodes.map(|node| RuleNode {
            node,
            when: get(node, "when"),
            set: get(node, "set").map(entries).unwrap_or_default(),
            is_shadow: get(node, "stage").and_then(text_of) == Some("shadow"),
        });
        Tree { kind: get(root, "kind").and_then(text_of).unwrap_or(""), root, rules: rules.collect() }
    }
}

impl<'n> RuleNode<'n> {
    /// The constant that a tag is set to.
    fn sets(&self, names: &[&str]) -> Option<&'n Entry> {
        self.set.iter().find(|entry| names.contains(&entry.key.as_str()))
    }

    /// Every condition on a key, whether it is wanted or denied.
    fn conditions(&self) -> Vec<(&'n Entry, Wanted)> {
        let mut found = Vec::new();
        if let Some(when) = self.when {
            collect(when, Wanted::Yes, &mut found);
        }
        found
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Yes,
    /// Below a `not`.
    No,
}

fn collect<'n>(when: &'n Node, wanted: Wanted, found: &mut Vec<(&'n Entry, Wanted)>) {
    for entry in entries(when) {
        match entry.key.as_str() {
            "any" => items(&entry.value).iter().for_each(|branch| collect(branch, wanted, found)),
            "not" => collect(&entry.value, Wanted::No, found),
            _ => found.push((entry, wanted)),
        }
    }
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    entries(node).iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

fn entries(node: &Node) -> &[Entry] {
    match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Null | Kind::Text(_) | Kind::List(_) => &[],
    }
}

fn items(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        Kind::Null | Kind::Text(_) | Kind::Map(_) => &[],
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Text(text) => Some(text),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// The words of a text or a list of texts, each with its place.
fn words(node: &Node) -> Vec<(&str, At)> {
    let nodes = match &node.kind {
        Kind::List(items) => items.as_slice(),
        Kind::Null | Kind::Text(_) | Kind::Map(_) => std::slice::from_ref(node),
    };
    nodes.iter().filter_map(|node| text_of(node).map(|text| (text, node.at))).collect()
}

/// The matchers written behind a key: a list is one after another.
fn matchers(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::List(items) => items.iter().flat_map(matchers).collect(),
        Kind::Null | Kind::Text(_) | Kind::Map(_) => vec![node],
    }
}
