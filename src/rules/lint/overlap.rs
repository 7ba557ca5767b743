//! Rules against each other: one that an earlier rule always precedes, and two that disagree about the same alert.
//! Only what is certain is reported: a disagreement comes with an alert for which both hold.

use crate::model::TagName;

use super::witness::{self, Branch};
use crate::rules::decide::Program;
use crate::rules::facts::Key;
use crate::rules::matcher::Matcher;
use crate::rules::roster::{at_rule, id_of};
use crate::rules::rule::{Rule, Stage};
use crate::rules::template::{Part, Template};
use crate::rules::{Diagnostic, DiagnosticSeverity, SourceFile};

/// Findings of a set; a person mends the first few and asks again.
const FOUND_MAX: usize = 50;

/// A rule with its conditions multiplied out. `None`: too many to look at.
struct Spread<'p> {
    rule: &'p Rule,
    branches: Option<Vec<Branch<'p>>>,
}

pub(super) fn check(program: &Program, files: &[SourceFile]) -> Vec<Diagnostic> {
    let live = program.rules.iter().filter(|rule| rule.stage == Stage::Live);
    let spread: Vec<Spread<'_>> = live.map(|rule| Spread { rule, branches: witness::branches(&rule.when) }).collect();
    let mut found = Vec::new();
    for (at, later) in spread.iter().enumerate() {
        if found.len() >= FOUND_MAX {
            break;
        }
        let earlier = &spread[..at];
        // A rule that never speaks does not disagree either.
        let finding = earlier
            .iter()
            .find_map(|earlier| unreachable(earlier, later, program, files))
            .or_else(|| earlier.iter().find_map(|earlier| disagreeing(earlier, later, program, files)));
        found.extend(finding);
    }
    found.extend(routes(program, files));
    found
}

/// The conditions of both, where they have a tag in common: rules without one have nothing to settle, and that rules
/// out most pairs.
fn pair<'s, 'p>(earlier: &'s Spread<'p>, later: &'s Spread<'p>) -> Option<(&'s [Branch<'p>], &'s [Branch<'p>])> {
    let shares = earlier.rule.mask & later.rule.mask != 0;
    earlier.branches.as_deref().zip(later.branches.as_deref()).filter(|_| shares)
}

fn unreachable(
    earlier: &Spread<'_>,
    later: &Spread<'_>,
    program: &Program,
    files: &[SourceFile],
) -> Option<Diagnostic> {
    let (before, after) = pair(earlier, later)?;
    if !precedes(earlier, later, before, after, program) {
        return None;
    }
    let message = format!("`{}` never sets anything", id_of(&later.rule.by));
    let hint = format!("{} holds whenever this rule does, and sets the same", earlier.rule.by);
    Some(at_rule(files, &later.rule.by, DiagnosticSeverity::Warning, message, Some(hint)))
}

fn disagreeing(
    earlier: &Spread<'_>,
    later: &Spread<'_>,
    program: &Program,
    files: &[SourceFile],
) -> Option<Diagnostic> {
    let (before, after) = pair(earlier, later)?;
    let (tag, first, second) = disagreement(earlier.rule, later.rule)?;
    // The narrower rule first and the wider one behind it is how exceptions are written.
    if implies_any(before, after, program) {
        return None;
    }
    let pairs = before.iter().flat_map(|one| after.iter().map(move |other| (one, other)));
    let witness = pairs
        .filter(|(one, other)| meet(one, other))
        .find_map(|(one, other)| witness::find(&[one, other], program, &[&earlier.rule.when, &later.rule.when]))?;
    let message =
        format!("`{}` and `{}` disagree about `{}`", id_of(&earlier.rule.by), id_of(&later.rule.by), tag.as_str());
    let hint =
        format!("for {witness} both hold: {} sets `{first}` and wins, this one would set `{second}`", earlier.rule.by);
    Some(at_rule(files, &later.rule.by, DiagnosticSeverity::Warning, message, Some(hint)))
}

/// Whether the later rule holds only where the earlier one does, and sets nothing that the earlier one leaves open.
fn precedes(
    earlier: &Spread<'_>,
    later: &Spread<'_>,
    before: &[Branch<'_>],
    after: &[Branch<'_>],
    program: &Program,
) -> bool {
    // What a rule asks of tags may become true only after its turn.
    let asks_tags = before.iter().any(|branch| branch.values.iter().any(|(key, _)| *key < TagName::ALL.len()));
    // A vote counts beside others, whoever spoke first, and what a voter sets besides depends on the count.
    !asks_tags
        && later.rule.ballot.is_none()
        && earlier.rule.ballot.is_none()
        && later.rule.sets.iter().all(|(name, template)| surely_sets(earlier.rule, *name, template))
        && implies_any(after, before, program)
}

/// A constant always fits, because it is checked; anything else may be no value, unless both make the same one.
fn surely_sets(rule: &Rule, name: TagName, other: &Template) -> bool {
    let held = rule.sets.iter().find(|(set, _)| *set == name);
    held.is_some_and(|(_, template)| match (template, other) {
        (Template::Constant(_), _) => true,
        (Template::Parts(ours), Template::Parts(theirs)) => {
            matches!((&ours[..], &theirs[..]), ([Part::Value(one)], [Part::Value(other)]) if one == other)
        }
        (Template::Parts(_), Template::Constant(_)) => false,
    })
}

/// A tag that both set to constants which differ.
fn disagreement<'r>(earlier: &'r Rule, later: &'r Rule) -> Option<(TagName, &'r str, &'r str)> {
    let constant = |rule: &'r Rule, wanted: TagName| {
        rule.sets.iter().find_map(|(name, template)| match template {
            Template::Constant(value) if *name == wanted => Some(value.as_ref()),
            Template::Constant(_) | Template::Parts(_) => None,
        })
    };
    // Of two signals the stronger is meant to win.
    let confidence = |rule| constant(rule, TagName::PlatformConfidence);
    let weighed = confidence(earlier) != confidence(later);
    TagName::ALL.into_iter().filter(|name| !weighed || !name.as_str().starts_with("platform")).find_map(|name| {
        Some((name, constant(earlier, name)?, constant(later, name)?)).filter(|(_, one, two)| one != two)
    })
}

/// Whether they ask the same key something that tells alerts apart: rules about different keys meet by chance, and
/// their order is the answer.
fn meet(one: &Branch<'_>, other: &Branch<'_>) -> bool {
    let shared = |(key, matcher): &(Key, &Matcher)| {
        let also = other.values.iter().find(|(held, _)| held == key);
        also.is_some_and(|(_, also)| !matches!((matcher, also), (Matcher::Present, Matcher::Present)))
    };
    one.values.iter().any(shared)
}

/// A route behind one that holds whenever it does.
fn routes(program: &Program, files: &[SourceFile]) -> Vec<Diagnostic> {
    let branches: Vec<_> = program.routes.iter().map(|route| witness::branches(&route.when)).collect();
    let mut found = Vec::new();
    for (at, route) in program.routes.iter().enumerate() {
        // What stands behind a route for everything is already reported.
        let earlier = program.routes[..at].iter().zip(&branches).find(|(earlier, before)| {
            !earlier.matches_everything()
                && earlier.ends_the_search()
                && before
                    .as_ref()
                    .zip(branches[at].as_ref())
                    .is_some_and(|(before, after)| implies_any(after, before, program))
        });
        if let Some((earlier, _)) = earlier {
            let message = format!("route `{}` is never asked", id_of(&route.route.by));
            let hint = format!("{} holds whenever this route does", earlier.route.by);
            found.push(at_rule(files, &route.route.by, DiagnosticSeverity::Warning, message, Some(hint)));
        }
    }
    found
}

/// Whether each of `narrow` holds only where one of `wide` does.
fn implies_any(narrow: &[Branch<'_>], wide: &[Branch<'_>], program: &Program) -> bool {
    narrow.iter().all(|narrow| wide.iter().any(|wide| implies(narrow, wide, program)))
}

fn implies(narrow: &Branch<'_>, wide: &Branch<'_>, program: &Program) -> bool {
    let asked = |(key, matcher): &(Key, &Matcher)| {
        narrow.values.iter().any(|(held, given)| held == key && matcher_implies(given, matcher, program))
    };
    wide.values.iter().all(asked)
        && wide.denied.iter().all(|(text, _)| narrow.denied.iter().any(|(held, _)| held == text))
}

/// Whether every value that `given` accepts is one that `asked` accepts. When in doubt, no.
fn matcher_implies(given: &Matcher, asked: &Matcher, program: &Program) -> bool {
    if let Some(values) = given.exact_values() {
        return values.iter().all(|value| witness::accepts(asked, value, program));
    }
    match (given, asked) {
        (Matcher::AnyOf(given), asked) => given.iter().all(|given| matcher_implies(given, asked, program)),
        (given, Matcher::AllOf(asked)) => asked.iter().all(|asked| matcher_implies(given, asked, program)),
        (given, Matcher::AnyOf(asked)) => asked.iter().any(|asked| matcher_implies(given, asked, program)),
        (Matcher::AllOf(given), asked) => given.iter().any(|given| matcher_implies(given, asked, program)),
        (given, Matcher::Present) => !given.accepts_absence(),
        (Matcher::Absent, Matcher::Absent) => true,
        (Matcher::Prefix(given), Matcher::Prefix(asked)) => given.starts_with(&**asked),
        (Matcher::Suffix(given), Matcher::Suffix(asked)) => given.ends_with(&**asked),
        (Matcher::Glob(given), Matcher::Glob(asked)) => given == asked,
        (Matcher::Pattern(given), Matcher::Pattern(asked)) => given.as_str() == asked.as_str(),
        (Matcher::Within(given), Matcher::Within(asked)) => given == asked,
        (Matcher::In { table, filters }, Matcher::In { table: asked_table, filters: asked_filters }) => {
            // What a filter asks has no order of its own; the same words are the same question.
            let same = || format!("{filters:?}") == format!("{asked_filters:?}");
            table == asked_table && (asked_filters.is_empty() || same())
        }
        (Matcher::Arn { service, kinds, .. }, Matcher::Arn { service: asked_service, kinds: asked_kinds, .. }) => {
            let narrower = !kinds.is_empty() && kinds.iter().all(|kind| asked_kinds.contains(kind));
            service == asked_service && (asked_kinds.is_empty() || narrower)
        }
        (Matcher::Above(given), Matcher::Above(asked)) => given >= asked,
        (Matcher::Below(given), Matcher::Below(asked)) => given <= asked,
        (
            Matcher::Exact(_)
            | Matcher::Prefix(_)
            | Matcher::Suffix(_)
            | Matcher::Glob(_)
            | Matcher::Pattern(_)
            | Matcher::Within(_)
            | Matcher::Arn { .. }
            | Matcher::In { .. }
            | Matcher::Above(_)
            | Matcher::Below(_)
            | Matcher::Present
            | Matcher::Absent,
            _,
        ) => false,
    }
}
