//! Finds and compiles the rules that a command works with.

use std::path::{Path, PathBuf};

use crate::io::live_rules::RulesFrom;
use crate::io::rules_folder;
use crate::rules::{Diagnostic, RuleSet, SourceFile};

/// Taken when nobody named a folder and it is there.
const DEFAULT_FOLDER: &str = "rules";

/// The chosen folder, or `None` for the built-in rules.
pub(super) fn folder(chosen: Option<&Path>) -> Option<PathBuf> {
    match chosen {
        Some(folder) => Some(folder.to_owned()),
        None => Some(PathBuf::from(DEFAULT_FOLDER)).filter(|folder| folder.is_dir()),
    }
}

/// The files and their tests, all of them read before anything is compiled.
pub(super) fn files(folder: Option<&Path>) -> anyhow::Result<Vec<SourceFile>> {
    match folder {
        Some(folder) => Ok(rules_folder::read_with_tests(folder)?),
        None => Ok(RuleSet::built_in_files()),
    }
}

/// Where the daemon takes them from.
pub(super) fn from(chosen: Option<&Path>) -> RulesFrom {
    folder(chosen).map_or_else(|| RulesFrom::Files(RuleSet::built_in_files()), RulesFrom::Folder)
}

pub(super) fn compile(chosen: Option<&Path>) -> anyhow::Result<RuleSet> {
    let folder = folder(chosen);
    let shown = folder.as_ref().map_or("rules".to_owned(), |folder| folder.display().to_string());
    compile_files(&files(folder.as_deref())?, &shown)
}

/// `shown` stands before the names of files in what is said about them.
pub(super) fn compile_files(files: &[SourceFile], shown: &str) -> anyhow::Result<RuleSet> {
    RuleSet::compile(files).map_err(|mut faults| {
        faults.iter_mut().for_each(|fault| fault.file = format!("{shown}/{}", fault.file));
        anyhow::anyhow!("the rules do not compile:\n{}", joined(&faults))
    })
}

fn joined(faults: &[Diagnostic]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
