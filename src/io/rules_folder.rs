//! Reads a folder of rule files into memory, all of it before anything is compiled.

use std::path::{Path, PathBuf};

use crate::rules::SourceFile;

/// A rule folder is text that people wrote; more than this is a wrong path.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct FolderError {
    pub path: String,
    pub reason: String,
}

fn wrong(path: &Path, reason: &impl ToString) -> FolderError {
    FolderError { path: path.display().to_string(), reason: reason.to_string() }
}

/// The `.yaml`, `.yml` and `.csv` files directly in `folder`, in order of name. Dot files (a ConfigMap's
/// `..data`) and sub-folders (tests) are not rules.
pub fn read(folder: &Path) -> Result<Vec<SourceFile>, FolderError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|cause| wrong(folder, &cause))? {
        let path = entry.map_err(|cause| wrong(folder, &cause))?.path();
        let is_rule =
            path.extension().is_some_and(|ending| ["yaml", "yml", "csv"].iter().any(|known| ending == *known));
        if is_hidden(&path) || !is_rule {
            continue;
        }
        // `metadata` follows links: a ConfigMap's files are links. What has a rule file's name and cannot be read as one
        // would leave a part of the rules out, and nobody would know.
        if !std::fs::metadata(&path).map_err(|cause| wrong(&path, &cause))?.is_file() {
            return Err(wrong(&path, &"it has the name of a rule file and is not a file"));
        }
        paths.push(path);
    }
    paths.sort();
    if paths.is_empty() {
        return Err(FolderError {
            path: folder.display().to_string(),
            reason: "no rule files (*.yaml) here".to_owned(),
        });
    }
    paths.iter().map(|path| read_file(path)).collect()
}

/// The same, and what lies in folders: the tests (`tests/*.yaml` and payloads below), and catalogues in YAML and
/// CODEOWNERS files, which rules may name.
pub fn read_with_tests(folder: &Path) -> Result<Vec<SourceFile>, FolderError> {
    let mut files = read(folder)?;
    let mut found = Found::default();
    let codeowners = folder.join(CODEOWNERS);
    if codeowners.is_file() {
        found.paths.push(codeowners);
    }
    let tests = folder.join("tests");
    for entry in std::fs::read_dir(folder).map_err(|cause| wrong(folder, &cause))? {
        let path = entry.map_err(|cause| wrong(folder, &cause))?.path();
        if is_hidden(&path) || !path.is_dir() {
            continue;
        }
        let is_wanted = if path == tests { is_of_a_test } else { is_of_a_catalogue };
        find(&path, 0, is_wanted, &mut found)?;
    }
    found.paths.sort();
    for path in found.paths {
        let mut file = read_file(&path)?;
        let below = path.strip_prefix(folder).unwrap_or(&path);
        file.name = below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        files.push(file);
    }
    Ok(files)
}

const CODEOWNERS: &str = "CODEOWNERS";
/// Folders within folders; a link to a folder above ends here.
pub(super) const DEPTH_MAX: usize = 8;
const FILE_COUNT_MAX: usize = 10_000;
/// Looked at, wanted or not: a whole repository is a wrong path.
const ENTRY_COUNT_MAX: usize = 100_000;
/// All files of folders together; the store keeps the last good set.
const BYTES_MAX: u64 = 64 << 20;

#[derive(Default)]
struct Found {
    paths: Vec<PathBuf>,
    entry_count: usize,
    bytes: u64,
}

pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_of_a_test(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ["yaml", "yml", "json", "txt"].iter().any(|known| ending == *known))
}

fn is_of_a_catalogue(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|ending| ["yaml", "yml"].iter().any(|known| ending == *known));
    is_yaml || path.file_name().is_some_and(|name| name == CODEOWNERS)
}

/// A link to a folder that it lies in.
fn leads_back(path: &Path, folder: &Path) -> bool {
    let inside = |target: PathBuf| folder.canonicalize().is_ok_and(|folder| folder.starts_with(target));
    path.is_symlink() && path.canonicalize().is_ok_and(inside)
}

/// Text that people copy or that a pipeline puts there, so nothing deep, nothing hidden and nothing without end.
fn find(folder: &Path, depth: usize, is_wanted: fn(&Path) -> bool, found: &mut Found) -> Result<(), FolderError> {
    for entry in std::fs::read_dir(folder).map_err(|cause| wrong(folder, &cause))? {
        let path = entry.map_err(|cause| wrong(folder, &cause))?.path();
        if is_hidden(&path) {
            continue;
        }
        found.entry_count += 1;
        let metadata = std::fs::metadata(&path).map_err(|cause| wrong(&path, &cause))?;
        if metadata.is_dir() && depth < DEPTH_MAX && !leads_back(&path, folder) {
            find(&path, depth + 1, is_wanted, found)?;
        } else if metadata.is_file() && is_wanted(&path) {
            found.bytes += metadata.len();
            found.paths.push(path);
        }
        if found.paths.len() > FILE_COUNT_MAX || found.entry_count > ENTRY_COUNT_MAX {
            return Err(wrong(folder, &format!("more than {FILE_COUNT_MAX} files below the folder of the rules")));
        }
        if found.bytes > BYTES_MAX {
            return Err(wrong(folder, &format!("more than {} MiB below the folder of the rules", BYTES_MAX >> 20)));
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<SourceFile, FolderError> {
    let size = std::fs::metadata(path).map_err(|cause| wrong(path, &cause))?.len();
    if size > FILE_BYTES_MAX {
        return Err(FolderError {
            path: path.display().to_string(),
            reason: format!("{size} bytes are too many for rules"),
        });
    }
    let text = std::fs::read_to_string(path).map_err(|cause| wrong(path, &cause))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(SourceFile { name, text })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn catalogues_and_code_owners_are_read_from_folders_and_nothing_else_is() {
        let home = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a: 1\n").unwrap();
        };
        for name in [
            "routes.yaml",
            "CODEOWNERS",
            "catalog/owl/catalog-info.yaml",
            "catalog/owl/README.md",
            "catalog/.git/config.yaml",
            "repository/docs/CODEOWNERS",
            "schema/rules.v1.json",
            "tests/a.yaml",
            "tests/payloads/a.json",
        ] {
            put(name);
        }
        // A link to a folder above must not turn for ever.
        symlink(home.path(), home.path().join("catalog/up")).unwrap();
        let files = read_with_tests(home.path()).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "routes.yaml",
                "CODEOWNERS",
                "catalog/owl/catalog-info.yaml",
                "repository/docs/CODEOWNERS",
                "tests/a.yaml",
                "tests/payloads/a.json",
            ]
        );
    }
}
