//! A file of stories to its cases. Collects every fault; what a case expects is read in `expect`, what it is given
//! in `given`.

use std::time::Duration;

use crate::model::Timestamp;
use crate::rules::SourceFile;
use crate::rules::diagnostic::{At, Faults};
use crate::rules::hash::FastMap;
use crate::rules::schema::{CASE, STEP, STORIES, known};
use crate::rules::walk::{self, Fields};
use crate::rules::yaml::{self, Kind, Node};

use super::given::{Givens, Words};
use super::{CLOCK, Case, Spot, Step, Want, expect};

pub(super) fn read(file: &SourceFile, files: &[SourceFile], cases: &mut Vec<Case>, faults: &mut Faults<'_>) {
    let Some(root) = yaml::read(&file.text, faults) else {
        if faults.error_count() == 0 {
            faults.error(At::START, "the file is empty", Some("start it with `version: 1` and `tests:`".to_owned()));
        }
        return;
    };
    let Some(fields) = Fields::read(&root, "a file of tests", &known(&STORIES), faults) else { return };
    match fields.required("version", "a file of tests", faults) {
        Some(version) if version.text != "1" => {
            let hint = "this program reads `version: 1`".to_owned();
            faults.error(version.at, format!("unknown version `{}`", version.text), Some(hint));
        }
        Some(_) | None => {}
    }
    if fields.get("tests").is_none() {
        fields.missing("tests", "a file of tests", None, faults);
    }
    let mut names: FastMap<String, u32> = FastMap::default();
    for node in fields.list("tests", faults) {
        let before = faults.error_count();
        if let Some(case) = read_case(node, files, faults) {
            if let Some(line) = names.insert(case.name.clone(), case.spot.line) {
                let hint = format!("it is already on line {line}");
                faults.error(node.at, format!("a test called `{}` twice", case.name), Some(hint));
            }
            if faults.error_count() == before {
                cases.push(case);
            }
        }
    }
}

fn read_case(node: &Node, files: &[SourceFile], faults: &mut Faults<'_>) -> Option<Case> {
    let fields = Fields::read(node, "a test", &known(&CASE), faults)?;
    let before = faults.error_count();
    let name = fields.required("name", "a test", faults)?;
    fields.word("why", faults);
    let clock = read_clock(&fields, faults);
    let givens = Givens { files, given: fields.get("given") };
    let (at, steps) = (fields.get("at"), fields.get("steps"));
    let steps = match (at, steps) {
        (Some(at), Some(_)) => {
            faults.error(at.at, "a test has `at` or `steps`, not both", None);
            return None;
        }
        (Some(at), None) => read_moments(at, &givens, faults),
        (None, Some(_)) => read_steps(fields.list("steps", faults), &givens, faults),
        (None, None) => {
            if givens.given.is_none() {
                fields.missing("given", "a test", Some("say what comes in: `alert`, `file` or `span`".into()), faults);
            }
            let given = givens.read(&Words::default(), None, faults);
            let spot = Spot::new(node.at, faults);
            vec![Step { spot, at: Duration::ZERO, given, expect: Vec::new() }]
        }
    };
    let mut wants = fields.get("expect").map(|node| expect::read(node, faults)).unwrap_or_default();
    if let Some(node) = fields.get("expect_rules") {
        wants.push(expect::read_rules(node, "`expect_rules`", faults));
    }
    let expects_nothing = wants.is_empty() && steps.iter().all(|step| step.expect.is_empty());
    // What is written and wrong is reported already.
    if expects_nothing && faults.error_count() == before {
        fields.missing("expect", "a test", Some("a test that expects nothing cannot fail".to_owned()), faults);
    }
    Some(Case { name: name.text.to_owned(), spot: Spot::new(name.at, faults), clock, steps, expect: wants })
}

fn read_clock(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Timestamp {
    let default = Timestamp::parse_rfc3339(CLOCK).expect("the constant is a time");
    let Some(word) = fields.word("clock", faults) else { return default };
    Timestamp::parse_rfc3339(word.text).unwrap_or_else(|| {
        let hint = format!("write `{CLOCK}`");
        faults.error(word.at, format!("`{}` is not a time", word.text), Some(hint));
        default
    })
}

/// `at: ["0s c1", "20s c3"]`: the given once per moment, with the word behind the time as `${at}`.
fn read_moments(node: &Node, givens: &Givens<'_>, faults: &mut Faults<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for moment in walk::words(node, "a moment", faults) {
        let (time, word) = moment.text.split_once(' ').unwrap_or((moment.text, ""));
        let Some(at) = walk::duration(time) else {
            let hint = "write a time and a word: `20s c3`".to_owned();
            faults.error(moment.at, format!("`{}` is not a moment", moment.text), Some(hint));
            continue;
        };
        check_order(at, &steps, moment.at, faults);
        let words = Words::of_moment(word.trim());
        let given = givens.read(&words, None, faults);
        steps.push(Step { spot: Spot::new(moment.at, faults), at, given, expect: Vec::new() });
    }
    if givens.given.is_none() {
        faults.error(node.at, "`at` repeats `given`, which is missing", None);
    }
    steps
}

fn read_steps(nodes: &[Node], givens: &Givens<'_>, faults: &mut Faults<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for node in nodes {
        let Some(fields) = Fields::read(node, "a step", &known(&STEP), faults) else { continue };
        let before = steps.last().map_or(Duration::ZERO, |step| step.at);
        let at = match (fields.duration("at", faults), fields.duration("after", faults)) {
            (Some(_), Some(_)) => {
                faults.error(node.at, "a step has `at` or `after`, not both", None);
                before
            }
            (Some(at), None) => at,
            (None, Some(after)) => before.saturating_add(after),
            (None, None) => before,
        };
        check_order(at, &steps, node.at, faults);
        let own = fields.get("given");
        let words = fields.get("with").map(|node| Words::read(node, faults)).unwrap_or_default();
        let state = fields.get("send").and_then(|_| super::given::read_send(&fields, faults));
        let givens = Givens { files: givens.files, given: own.or(givens.given) };
        let sends = own.is_some() || state.is_some();
        if let (false, Some(with)) = (sends, fields.get("with")) {
            faults.error(with.at, "`with` fills in what is sent, and this step sends nothing", sends_hint());
        }
        if sends && givens.given.is_none() {
            faults.error(node.at, "nothing is given to send", Some("add `given` to the step or the test".to_owned()));
        }
        let given = if sends { givens.read(&words, state.flatten(), faults) } else { None };
        let expect: Vec<Want> = fields.get("expect").map(|node| expect::read(node, faults)).unwrap_or_default();
        steps.push(Step { spot: Spot::new(node.at, faults), at, given, expect });
    }
    steps
}

fn sends_hint() -> Option<String> {
    Some("add `send: firing`".to_owned())
}

fn check_order(at: Duration, steps: &[Step], place: At, faults: &mut Faults<'_>) {
    if steps.last().is_some_and(|last| at < last.at) {
        faults.error(place, "time goes backwards", Some("write the steps in order of time".to_owned()));
    }
}

/// A whole number, for counts.
pub(super) fn count(node: &Node, what: &str, faults: &mut Faults<'_>) -> Option<usize> {
    let word = walk::word(node, what, faults)?;
    let number = word.text.parse().ok();
    if number.is_none() {
        faults.error(word.at, format!("{what} must be a whole number, not `{}`", word.text), None);
    }
    number
}

/// `{ name: number }`.
pub(super) fn counts(node: &Node, what: &str, faults: &mut Faults<'_>) -> Vec<(String, usize, At)> {
    let entries = walk::entries(node, what, faults).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            count(&entry.value, &format!("`{}`", entry.key), faults).map(|n| (entry.key.clone(), n, entry.key_at))
        })
        .collect()
}

/// Nothing but a list may be empty on purpose: `notices: []`.
pub(super) fn is_empty_list(node: &Node) -> bool {
    matches!(&node.kind, Kind::List(items) if items.is_empty())
}
