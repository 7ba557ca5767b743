//! Finds and compiles the rules that a command works with.

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::io::live_rules::RulesFrom;
use crate::io::rules_folder;
use crate::rules::{RuleSet, SourceFile};

/// Taken when nobody named a folder and it is there.
const DEFAULT_FOLDER: &str = "rules";

/// The chosen folder, or `None` for the built-in rules.
pub(super) fn folder(chosen: Option<&Path>) -> Option<PathBuf> {
    match chosen {
        Some(folder) => Some(folder.to_owned()),
        None => Some(PathBuf::from(DEFAULT_FOLDER)).filter(|folder| folder.is_dir()),
    }
}

/// The files, named as people can open them.
pub(super) fn files(folder: Option<&Path>) -> anyhow::Result<Vec<SourceFile>> {
    match folder {
        Some(folder) => Ok(rules_folder::read(folder)?),
        None => Ok(RuleSet::built_in_files()),
    }
}

/// Where the daemon takes them from.
pub(super) fn from(chosen: Option<&Path>) -> RulesFrom {
    folder(chosen).map_or_else(|| RulesFrom::Files(RuleSet::built_in_files()), RulesFrom::Folder)
}

pub(super) fn compile(chosen: Option<&Path>) -> anyhow::Result<RuleSet> {
    let folder = folder(chosen);
    match RuleSet::compile(&files(folder.as_deref())?) {
        Ok(rules) => Ok(rules),
        Err(faults) => {
            let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
            bail!("the rules do not compile:\n{}", shown.join("\n"))
        }
    }
}
