//! `tawny check`: compiles and lints rules and settings.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::{EXIT_FAULT, complain, say};
use crate::io::clock::Clock;
use crate::rules::{Diagnostic, DiagnosticSeverity, LintFacts, RuleSet, SourceFile};
use crate::settings::{self, Flags, SecretsPolicy};
use crate::stories::{StoryReport, run_stories};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    /// One JSON array of faults.
    Json,
    /// Annotations of GitHub Actions.
    Github,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny check\n  tawny check rules --format github --deny-warnings\n\nExit codes: 0 clean (warnings allowed), 1 faults (with --deny-warnings also warnings), 2 wrong usage."
)]
pub(super) struct CheckArgs {
    /// Folder of rule files [default: `rules` of the settings, else ./rules, else the built-in rules]
    folder: Option<PathBuf>,
    /// Settings file [default: tawny.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Warnings are faults
    #[arg(long)]
    deny_warnings: bool,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub(super) fn check(args: &CheckArgs) -> ExitCode {
    let mut faults = Vec::new();
    let flags = Flags { config: args.config.clone(), rules: args.folder.clone(), ..Flags::default() };
    let mut sinks = None;
    let mut chosen = args.folder.clone();
    match settings::load(&flags).and_then(|loaded| {
        chosen = chosen.take().or_else(|| loaded.settings.rules.clone());
        // Secrets live where the daemon runs, not where the rules are reviewed.
        settings::resolve(&loaded, SecretsPolicy::Ignored).map(|ready| (ready, !loaded.settings.sinks.is_empty()))
    }) {
        Ok((ready, true)) => {
            faults.extend(ready.telemetry.warnings.iter().map(|fault| of_settings(fault, DiagnosticSeverity::Warning)));
            sinks = Some(ready.sinks.iter().map(|plan| plan.name.clone()).collect::<Vec<_>>());
        }
        // Without settings nobody knows which sinks the rules may name.
        Ok((_, false)) => {}
        Err(fault) => faults.push(of_settings(&fault, DiagnosticSeverity::Error)),
    }
    let folder = super::rules::folder(chosen.as_deref());
    let shown = folder.as_ref().map_or("rules".to_owned(), |folder| folder.display().to_string());
    let revision = match super::rules::files(folder.as_deref()) {
        Err(fault) => {
            complain(&format!("{fault:#}"));
            return ExitCode::from(EXIT_FAULT);
        }
        Ok(files) => {
            let (found, revision) = check_rules(&files, sinks.as_deref());
            faults.extend(found.into_iter().map(|fault| under(&shown, fault)));
            revision
        }
    };
    report(&faults, args, &revision)
}

/// What is wrong with the rules, from the first that would stop them to what is only doubtful; and their revision.
fn check_rules(files: &[SourceFile], sinks: Option<&[Arc<str>]>) -> (Vec<Diagnostic>, String) {
    let mut rules = match RuleSet::compile(files) {
        Ok(rules) => rules,
        Err(faults) => return (faults, String::new()),
    };
    let mut found = rules.warnings().to_vec();
    let named: Vec<Arc<str>> = rules.named_sinks().into_iter().collect();
    if let Err(faults) = rules.bind_sinks(sinks.unwrap_or(&named)) {
        found.extend(faults);
        return (found, rules.revision().to_string());
    }
    let report = run_stories(&rules, files);
    let today = Clock::default().now().to_string();
    // The day in UTC: a rule that ends today ends everywhere within a day.
    let facts = LintFacts { today: today.get(..10), untested: untested(&report) };
    found.extend(rules.lint(files, &facts));
    found.extend(report.wrongs().cloned());
    (found, rules.revision().to_string())
}

/// A story that cannot be read tries nothing: then the list would be wrong.
fn untested(report: &StoryReport) -> Option<&[crate::rules::Listed]> {
    report.faults.is_empty().then_some(report.untested.as_slice())
}

/// Names the file as it can be opened from here.
fn under(folder: &str, mut fault: Diagnostic) -> Diagnostic {
    fault.file = format!("{folder}/{}", fault.file);
    fault
}

fn of_settings(fault: &settings::SettingsError, severity: DiagnosticSeverity) -> Diagnostic {
    let mut parts = fault.place.rsplitn(3, ':');
    let numbers: Vec<Option<u32>> = parts.by_ref().take(2).map(|part| part.parse().ok()).collect();
    let (file, line, column) = match (numbers.as_slice(), parts.next()) {
        ([Some(column), Some(line)], Some(file)) => (file.to_owned(), *line, *column),
        _ => (fault.place.clone(), 1, 1),
    };
    Diagnostic {
        file,
        line,
        column,
        severity,
        message: fault.message.clone(),
        hint: fault.hint.clone(),
        source_line: String::new(),
    }
}

fn report(faults: &[Diagnostic], args: &CheckArgs, revision: &str) -> ExitCode {
    let error_count = faults.iter().filter(|fault| fault.severity == DiagnosticSeverity::Error).count();
    let warning_count = faults.len() - error_count;
    match args.format {
        Format::Human => {
            for fault in faults {
                say(&fault.to_string());
            }
            if error_count == 0 {
                say(&format!("rules {revision}: clean, {warning_count} warnings"));
            } else {
                say(&format!("{error_count} faults, {warning_count} warnings"));
            }
        }
        Format::Json => say(&serde_json::Value::from_iter(faults.iter().map(as_json)).to_string()),
        Format::Github => {
            for fault in faults {
                let level = if fault.severity == DiagnosticSeverity::Error { "error" } else { "warning" };
                let text =
                    [Some(fault.message.as_str()), fault.hint.as_deref()].into_iter().flatten().collect::<Vec<_>>();
                // The workflow-command syntax wants `%`, CR and LF escaped.
                let text = text.join("; ").replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
                // In a property `:` and `,` end things as well.
                let file = fault.file.replace('%', "%25").replace(':', "%3A").replace(',', "%2C");
                say(&format!("::{level} file={file},line={},col={}::{text}", fault.line, fault.column));
            }
        }
    }
    let is_clean = error_count == 0 && !(args.deny_warnings && warning_count > 0);
    if is_clean { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAULT) }
}

pub(super) fn as_json(fault: &Diagnostic) -> serde_json::Value {
    serde_json::json!({
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "severity": if fault.severity == DiagnosticSeverity::Error { "error" } else { "warning" },
        "message": fault.message,
        "hint": fault.hint,
    })
}
