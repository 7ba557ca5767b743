//! Teams that own something and whom no route names, in a set whose routes do ask for owners: their alerts go where
//! everybody's go. Says nothing where no route tells one team from another.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::witness;
use super::{Tree, entries, get, roster};
use crate::model::TagName;
use crate::rules::condition::{All, Test};
use crate::rules::decide::Program;
use crate::rules::diagnostic::Faults;
use crate::rules::template::Template;
use crate::rules::{Diagnostic, DiagnosticSeverity, SourceFile};

/// Teams, each with what names it, as `file:line id`.
pub(super) type Stranded = BTreeMap<Arc<str>, Arc<str>>;

/// What conditions say of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// They do not ask.
    Silent,
    Fits,
    DoesNot,
}

pub(super) fn stranded(program: &Program) -> Stranded {
    let unowned = &program.values.unowned;
    let of_services = program.values.services.owners().map(|(team, by)| (Arc::clone(team), Arc::clone(by)));
    let of_rules = program.rules.iter().flat_map(|rule| {
        rule.sets.iter().filter_map(|(name, template)| match template {
            Template::Constant(team) if *name == TagName::Owner => Some((Arc::clone(team), Arc::clone(&rule.by))),
            Template::Constant(_) | Template::Parts(_) => None,
        })
    });
    let mut owners = Stranded::new();
    for (team, by) in of_services.chain(of_rules).filter(|(team, _)| team != unowned) {
        owners.entry(team).or_insert(by);
    }
    let is_named = |team: &str| program.routes.iter().any(|route| word(&route.when, team, program) == Word::Fits);
    let count = owners.len();
    owners.retain(|team, _| !is_named(team));
    // Where no team has a route of its own, owners are not what routes go by.
    if owners.len() == count { Stranded::new() } else { owners }
}

fn word(when: &All, team: &str, program: &Program) -> Word {
    let mut said = Word::Silent;
    for condition in &when.conditions {
        let here = match &condition.test {
            Test::Value { key, matcher } if *key == TagName::Owner as usize => {
                if witness::accepts(matcher, team, program) { Word::Fits } else { Word::DoesNot }
            }
            Test::Value { .. } => Word::Silent,
            Test::Any(lists) => {
                let words: Vec<Word> = lists.iter().map(|list| word(list, team, program)).collect();
                if words.contains(&Word::Fits) {
                    Word::Fits
                } else if words.iter().all(|word| *word == Word::DoesNot) {
                    Word::DoesNot
                } else {
                    Word::Silent
                }
            }
            Test::Not(inner) => match word(inner, team, program) {
                // With further conditions it denies only some of the team's alerts.
                Word::Fits if inner.conditions.len() == 1 => Word::DoesNot,
                Word::DoesNot => Word::Fits,
                Word::Fits | Word::Silent => Word::Silent,
            },
        };
        match here {
            Word::DoesNot => return Word::DoesNot,
            Word::Fits => said = Word::Fits,
            Word::Silent => {}
        }
    }
    said
}

/// Draws the teams that this file declares, and takes them off the list.
pub(super) fn check(tree: &Tree<'_>, stranded: &mut Stranded, faults: &mut Faults<'_>) {
    for team in get(tree.root, "teams").map(entries).unwrap_or_default() {
        if stranded.remove(team.key.as_str()).is_some() {
            faults.warning(team.key_at, message(&team.key), Some(hint(&team.key)));
        }
    }
}

/// Those of a catalogue stand in no file of ours.
pub(super) fn elsewhere(stranded: &Stranded, files: &[SourceFile]) -> Vec<Diagnostic> {
    let warning = DiagnosticSeverity::Warning;
    let found = stranded.iter();
    found.map(|(team, by)| roster::at_rule(files, by, warning, message(team), Some(hint(team)))).collect()
}

fn message(team: &str) -> String {
    format!("team `{team}` has no destination")
}

fn hint(team: &str) -> String {
    format!("other teams have a route; add one for it: `when: {{ out.owner: {team} }}`")
}
