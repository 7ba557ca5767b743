//! The two sets of rules of a diff: folders, or revisions that git reads. Never writes to a repository.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::super::rules as found;
use crate::rules::{RuleSet, SourceFile};

/// The name of the rules that are compiled in.
const BUILT_IN: &str = "built-in";

pub(super) struct Side {
    /// As it was asked for.
    pub(super) name: String,
    pub(super) rules: RuleSet,
}

/// `usual`: the folder that a revision without a path speaks of, where neither side is a folder.
pub(super) fn read(before: &str, after: &str, usual: &Path) -> anyhow::Result<[Side; 2]> {
    let folder = [before, after].into_iter().map(Path::new).find(|path| path.is_dir()).unwrap_or(usual);
    Ok([side(before, folder)?, side(after, folder)?])
}

fn side(name: &str, folder: &Path) -> anyhow::Result<Side> {
    let (files, revision) = if Path::new(name).is_dir() {
        (found::files(Some(Path::new(name)))?, None)
    } else if name == BUILT_IN {
        (RuleSet::built_in_files(), None)
    } else {
        let (files, commit) = of_revision(name, folder)?;
        (files, Some(commit))
    };
    let mut rules = found::compile_files(&files, name)?;
    if let Some(revision) = revision {
        rules.set_revision(&revision);
    }
    Ok(Side { name: name.to_owned(), rules })
}

/// The rule files of a commit, and its short name.
fn of_revision(name: &str, folder: &Path) -> anyhow::Result<(Vec<SourceFile>, String)> {
    let (revision, path) = name.split_once(':').unwrap_or((name, ""));
    if revision.is_empty() || revision.starts_with('-') {
        bail!("`{name}` is neither a folder nor a git revision");
    }
    // Without a path it is the same folder as on the other side, wherever in the repository that stands.
    let here = if path.is_empty() { folder } else { Path::new(".") };
    if !here.is_dir() {
        bail!("`{name}` is no folder, and there is no `{}` to look for at that revision", here.display());
    }
    let tree = if path.is_empty() { format!("{revision}:./") } else { format!("{revision}:{path}") };
    let unknown = || format!("`{name}` is neither a folder nor a git revision that holds rules");
    let commit = line(here, &["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")], &unknown)?;
    let tree = line(here, &["rev-parse", "--verify", "--quiet", &tree], &unknown)?;
    let list = git(here, &["ls-tree", "-z", "--full-tree", &tree]).with_context(unknown)?;
    let mut files = Vec::new();
    for entry in list.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let entry = std::str::from_utf8(entry).context("a file name that is not UTF-8")?;
        // `100644 blob HASH\tNAME`
        let Some((about, file)) = entry.split_once('\t') else { continue };
        let mut about = about.split(' ');
        let (mode, kind, hash) = (about.next(), about.next(), about.next());
        let is_rule = [".yaml", ".yml", ".csv"].iter().any(|ending| file.ends_with(ending)) && !file.starts_with('.');
        let (Some("blob"), Some(hash), true) = (kind, hash, is_rule) else { continue };
        if mode == Some("120000") {
            bail!("{name}: `{file}` is a link; git does not say what it pointed to");
        }
        let text = String::from_utf8(git(here, &["cat-file", "blob", hash])?)
            .map_err(|_| anyhow::anyhow!("{name}: `{file}` is not UTF-8"))?;
        files.push(SourceFile { name: file.to_owned(), text });
    }
    if files.is_empty() {
        bail!("{name}: no rule files (*.yaml) there");
    }
    Ok((files, commit.chars().take(12).collect()))
}

fn line(folder: &Path, arguments: &[&str], about: &impl Fn() -> String) -> anyhow::Result<String> {
    let told = git(folder, arguments).with_context(about)?;
    Ok(String::from_utf8_lossy(&told).trim().to_owned())
}

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().map_err(|cause| {
        match cause.kind() == std::io::ErrorKind::NotFound {
            true => anyhow::anyhow!("the command `git` is needed to read a revision and was not found"),
            false => anyhow::anyhow!("the command `git` does not run: {cause}"),
        }
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    match told.trim() {
        "" => bail!("git finds no such thing here"),
        told => bail!("{told}"),
    }
}
