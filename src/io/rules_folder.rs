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
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let is_rule =
            path.extension().is_some_and(|ending| ["yaml", "yml", "csv"].iter().any(|known| ending == *known));
        // `metadata` follows links: a ConfigMap's files are links.
        if !hidden && is_rule && std::fs::metadata(&path).map_err(|cause| wrong(&path, &cause))?.is_file() {
            paths.push(path);
        }
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

/// The same, and the tests: `tests/*.yaml`, and the payloads that lie below `tests/` in folders of their own.
pub fn read_with_tests(folder: &Path) -> Result<Vec<SourceFile>, FolderError> {
    let mut files = read(folder)?;
    let tests = folder.join("tests");
    if tests.is_dir() {
        let mut paths = Vec::new();
        find(&tests, 0, &mut paths)?;
        paths.sort();
        for path in paths {
            let mut file = read_file(&path)?;
            let below = path.strip_prefix(folder).unwrap_or(&path);
            file.name = below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
            files.push(file);
        }
    }
    Ok(files)
}

/// Test files and payloads: text that people copy, so nothing deep and nothing hidden.
fn find(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), FolderError> {
    const DEPTH_MAX: usize = 4;
    const FILE_COUNT_MAX: usize = 10_000;
    for entry in std::fs::read_dir(folder).map_err(|cause| wrong(folder, &cause))? {
        let path = entry.map_err(|cause| wrong(folder, &cause))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let metadata = std::fs::metadata(&path).map_err(|cause| wrong(&path, &cause))?;
        let known = ["yaml", "yml", "json", "txt"];
        if hidden {
            continue;
        } else if metadata.is_dir() && depth < DEPTH_MAX {
            find(&path, depth + 1, paths)?;
        } else if metadata.is_file() && path.extension().is_some_and(|ending| known.iter().any(|one| ending == *one)) {
            paths.push(path);
        }
        if paths.len() > FILE_COUNT_MAX {
            return Err(wrong(folder, &format!("more than {FILE_COUNT_MAX} files of tests")));
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
