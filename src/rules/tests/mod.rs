//! The rules as a whole: files in, decisions and diagnostics out. Cases are data; a new one is no new code.

mod catalogues;
mod diagnostics;
mod matching;
mod memo;
mod routes;
mod services;
mod shadow;
mod shipped;

use std::borrow::Cow;
use std::time::Duration;

use crate::model::alert::Voice;
use crate::model::{Alert, Identity, Labels, SenderId, Severity, State, TagName};

use super::{Decision, Diagnostic, Explanation, Origin, RuleSet, SourceFile};

const ROUTES: &str = "version: 1\nkind: routes\nroutes:\n  - { id: rest, when: {} }\n";

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

/// The given files, and a route for everything unless one is among them.
fn files(given: &[(&str, &str)]) -> Vec<SourceFile> {
    let mut files: Vec<SourceFile> = given.iter().map(|(name, text)| file(name, text)).collect();
    if !given.iter().any(|(_, text)| text.contains("kind: routes")) {
        files.push(file("rest.yaml", ROUTES));
    }
    files
}

fn compile(given: &[(&str, &str)]) -> RuleSet {
    RuleSet::compile(&files(given)).unwrap_or_else(|faults| panic!("{}", print(&faults)))
}

fn faults(given: &[(&str, &str)]) -> Vec<Diagnostic> {
    RuleSet::compile(&files(given)).expect_err("a fault")
}

fn print(faults: &[Diagnostic]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

fn alert(name: &str, labels: &[(&str, &str)]) -> Alert<'static> {
    let owned = |pairs: &[(&str, &str)]| -> Labels<'static> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    Alert {
        identity: Identity([7; 16]),
        sender: SenderId(1),
        voice: Voice::Evaluator,
        state: State::Firing,
        starts_at: None,
        ends_at: None,
        holds_for: Duration::from_secs(300),
        severity: Severity::Critical,
        name: Cow::Owned(name.to_owned()),
        title: Cow::Borrowed("a title"),
        labels: owned(labels),
        annotations: Labels::new(),
        fields: Labels::new(),
        links: Vec::new(),
    }
}

static NO_CONSTANTS: Labels<'static> = Labels::new();

fn origin() -> Origin<'static> {
    Origin { kind: "alertmanager", instance: "eks-prod", constants: &NO_CONSTANTS }
}

fn decide(rules: &RuleSet, labels: &[(&str, &str)]) -> Decision {
    rules.decide(&alert("HighErrorRate", labels), origin())
}

fn explain(rules: &RuleSet, labels: &[(&str, &str)]) -> Explanation {
    rules.explain(&alert("HighErrorRate", labels), origin())
}

fn value(decision: &Decision, name: TagName) -> Option<&str> {
    decision.tags.value(name)
}
