//! `tawny test`: plays the tests that stand beside the rules, under a clock that is turned by hand.

mod junit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::check::as_json;
use super::{EXIT_FAULT, complain, say};
use crate::app;
use crate::rules::{RuleSet, SourceFile};
use crate::settings::{self, Flags, SecretsPolicy};
use crate::stories::{StoryReport, run_chosen};

/// What a route without `to` goes to, where no settings say which sinks there are.
const DEFAULT_SINK: &str = "console";
/// Untested rules shown to people.
const UNTESTED_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    /// One JSON object: cases with their failures, and the rules that nothing tried.
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny test\n  tawny test rules --filter payments\n  tawny test rules --junit target/rules.xml\n\nTests are files `tests/*.yaml` beside the rules; docs/rules-tests.md describes them.\n\nExit codes: 0 all tests hold, 1 a test fails, a file has a fault or there are no tests, 2 wrong usage."
)]
pub(super) struct TestArgs {
    /// Folder of rule files [default: `rules` of the settings, else ./rules, else the built-in rules]
    folder: Option<PathBuf>,
    /// Settings file; its sinks are those that routes without `to` go to [default: tawny.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Plays only tests whose name or file contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Also writes the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Lists the tests that hold, and every rule that no test tries
    #[arg(long, short)]
    verbose: bool,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub(super) fn test(args: &TestArgs) -> ExitCode {
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_FAULT),
        Err(fault) => {
            complain(&format!("{fault:#}"));
            ExitCode::from(EXIT_FAULT)
        }
    }
}

fn run(args: &TestArgs) -> anyhow::Result<bool> {
    let flags = Flags { config: args.config.clone(), rules: args.folder.clone(), ..Flags::default() };
    let loaded = settings::load(&flags)?;
    let folder = super::rules::folder(args.folder.as_deref().or(loaded.settings.rules.as_deref()));
    let files = super::rules::files(folder.as_deref())?;
    let mut rules = super::rules::compile_files(&files, &shown(folder.as_deref()))?;
    let sinks = sinks(&loaded, &rules)?;
    app::bind_sinks(&mut rules, &sinks)?;
    let mut report = run_chosen(&rules, &files, |case| match &args.filter {
        Some(text) => case.name.contains(text.as_str()) || case.spot.file.contains(text.as_str()),
        None => true,
    });
    under(&mut report, &shown(folder.as_deref()));
    if let Some(path) = &args.junit {
        std::fs::write(path, junit::xml(&report)).with_context(|| path.display().to_string())?;
    }
    match args.format {
        Format::Human => show(&report, args, &files),
        Format::Json => say(&in_json(&report, &rules).to_string()),
    }
    Ok(report.is_good() && !report.cases.is_empty())
}

/// Those of the settings; without settings, those that the rules name, so that rules can be tested alone.
fn sinks(loaded: &settings::Loaded, rules: &RuleSet) -> anyhow::Result<Vec<Arc<str>>> {
    if !loaded.settings.sinks.is_empty() {
        let ready = settings::resolve(loaded, SecretsPolicy::Ignored)?;
        return Ok(ready.sinks.iter().map(|plan| plan.name.clone()).collect());
    }
    let mut sinks: BTreeSet<Arc<str>> = rules.named_sinks();
    if sinks.is_empty() {
        sinks.insert(Arc::from(DEFAULT_SINK));
    }
    Ok(sinks.into_iter().collect())
}

fn shown(folder: Option<&Path>) -> String {
    folder.map_or("rules".to_owned(), |folder| folder.display().to_string())
}

/// Names the files as they can be opened from here.
fn under(report: &mut StoryReport, folder: &str) {
    let failures = report.cases.iter_mut().flat_map(|case| &mut case.failures);
    for fault in report.faults.iter_mut().chain(failures) {
        fault.file = format!("{folder}/{}", fault.file);
    }
    for case in &mut report.cases {
        case.spot.file = Arc::from(format!("{folder}/{}", case.spot.file));
    }
}

fn show(report: &StoryReport, args: &TestArgs, files: &[SourceFile]) {
    for fault in &report.faults {
        say(&fault.to_string());
    }
    for case in &report.cases {
        let place = format!("{}:{}", case.spot.file, case.spot.line);
        if !case.failures.is_empty() {
            say(&format!("FAILED  {place}  {}", case.name));
            for failure in &case.failures {
                say(&failure.to_string());
            }
            say("");
        } else if args.verbose {
            say(&format!("ok      {place}  {}", case.name));
        }
    }
    let failed_count = report.failed_count();
    let tried_count = report.rule_count - report.untested.len();
    say(&format!(
        "{} tests hold, {failed_count} fail, {} faults; {tried_count} of {} rules and routes are tried",
        report.cases.len() - failed_count,
        report.faults.len(),
        report.rule_count
    ));
    if report.cases.is_empty() && report.faults.is_empty() {
        complain(match &args.filter {
            Some(_) => "no test has this in its name",
            None if files.iter().any(|file| crate::rules::story::is_story_file(&file.name)) => "the files hold no test",
            None => "no tests: put them into `tests/*.yaml` beside the rules",
        });
    }
    // With a filter most rules are untried on purpose.
    if report.untested.is_empty() || args.filter.is_some() {
        return;
    }
    say("not tried by any test:");
    let shown_max = if args.verbose { usize::MAX } else { UNTESTED_MAX };
    for listed in report.untested.iter().take(shown_max) {
        say(&format!("  {}{}", listed.by, if listed.is_shadow { " (shadow)" } else { "" }));
    }
    if report.untested.len() > shown_max {
        say(&format!("  and {} more; --verbose lists all", report.untested.len() - shown_max));
    }
}

fn in_json(report: &StoryReport, rules: &RuleSet) -> Value {
    let cases: Vec<Value> = report
        .cases
        .iter()
        .map(|case| {
            let failures: Vec<Value> = case.failures.iter().map(as_json).collect();
            json!({
                "name": case.name, "file": case.spot.file.as_ref(), "line": case.spot.line,
                "holds": failures.is_empty(), "failures": failures,
            })
        })
        .collect();
    let untested: Vec<&str> = report.untested.iter().map(|listed| listed.by.as_ref()).collect();
    json!({
        "rules": rules.revision().as_ref(),
        "holds": report.is_good(),
        "tests": cases,
        "faults": report.faults.iter().map(as_json).collect::<Vec<_>>(),
        "coverage": { "rules": report.rule_count, "tried": report.rule_count - untested.len(), "untested": untested },
    })
}
