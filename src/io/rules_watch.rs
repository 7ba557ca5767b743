//! What stands in a rule folder, and when it changes: by looking, because a ConfigMap and git-sync replace links and
//! an editor replaces files. Never gives a mixture of two states.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use twox_hash::XxHash3_128;

use super::commit::Work;
use super::live_rules::{LiveRules, keep};
use super::rules_folder::{self, DEPTH_MAX, FolderError};
use crate::rules::{SourceFile, content_hash};

/// How often the folder is looked at: some `stat`s.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What changed must stand still for so long: a file that is being written may compile half.
const STILL_FOR: Duration = Duration::from_millis(500);
/// Times that a folder which changes while it is read is read again.
const READ_COUNT_MAX: u32 = 5;

/// All files as they stood at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub files: Vec<SourceFile>,
    /// The commit, where the folder tells; never set without one.
    pub revision: Option<String>,
    pub fingerprint: u64,
}

/// Where a ConfigMap's link to the revision in force stands; the visible entries of its folder are links through it.
const CONFIG_MAP_DATA: &str = "..data";

/// Where the files really lie: links are followed once, for all files. A ConfigMap's visible entries are links through
/// one link, and following each of them on its own would mix two revisions while that link is swapped.
fn place(folder: &Path) -> std::io::Result<PathBuf> {
    let folder = folder.canonicalize()?;
    let Ok(data) = folder.join(CONFIG_MAP_DATA).canonicalize() else { return Ok(folder) };
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let is_through_data = || path.read_link().is_ok_and(|target| target.starts_with(CONFIG_MAP_DATA));
        if !rules_folder::is_hidden(&path) && !is_through_data() {
            return Ok(folder);
        }
    }
    Ok(data)
}

/// Changes whenever a file, its place or the folder's target changes.
pub fn fingerprint(folder: &Path) -> std::io::Result<u64> {
    fingerprint_of(place(folder)?)
}

fn fingerprint_of(place: PathBuf) -> std::io::Result<u64> {
    let mut hasher = XxHash3_128::with_seed(0);
    let mut waiting = vec![(place, 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        paths.sort();
        for path in paths {
            if rules_folder::is_hidden(&path) {
                continue;
            }
            hasher.write(path.as_os_str().as_encoded_bytes());
            // A link to nowhere is a state like others: whether it matters, the reading says.
            let Ok((target, found)) = target_of(&path) else { continue };
            hasher.write(target.as_os_str().as_encoded_bytes());
            for number in [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()] {
                hasher.write(&number.to_le_bytes());
            }
            hasher.write(&found.size().to_le_bytes());
            hasher.write(&found.ino().to_le_bytes());
            if found.is_dir() && depth <= DEPTH_MAX {
                waiting.push((path, depth + 1));
            }
        }
    }
    let hash = hasher.finish_128().to_le_bytes();
    Ok(u64::from_le_bytes(hash[..8].try_into().expect("sixteen bytes hold eight")))
}

fn target_of(path: &Path) -> std::io::Result<(PathBuf, std::fs::Metadata)> {
    let target = path.canonicalize()?;
    let found = target.metadata()?;
    Ok((target, found))
}

/// Reads until nothing changed meanwhile.
pub fn read(folder: &Path) -> Result<Snapshot, FolderError> {
    let wrong = |reason: String| FolderError { path: folder.display().to_string(), reason };
    let mut refusal = None;
    for _ in 0..READ_COUNT_MAX {
        let target = place(folder).map_err(|cause| wrong(cause.to_string()))?;
        let before = fingerprint_of(target.clone());
        let files = rules_folder::read_with_tests(&target);
        let after = fingerprint_of(target.clone());
        // Whoever swaps a link removes what it led to.
        let is_still_there = place(folder).is_ok_and(|now| now == target);
        match (files, before, after) {
            (Ok(files), Ok(before), Ok(after)) if before == after && is_still_there => {
                let revision = revision(&target, &files);
                return Ok(Snapshot { files, revision, fingerprint: before });
            }
            // It says which file; a fingerprint that failed does not.
            (Err(cause), ..) if is_still_there => refusal = Some(cause),
            (Ok(_), Err(cause), _) | (Ok(_), _, Err(cause)) if is_still_there => {
                refusal = Some(wrong(cause.to_string()));
            }
            _ => refusal = None,
        }
    }
    Err(refusal.unwrap_or_else(|| wrong("the folder does not stop changing".to_owned())))
}

/// Follows the folder until told to stop; rules that are compiled in have none.
pub async fn follow(reloader: Reloader, mut stop: watch::Receiver<bool>) {
    if reloader.rules.folder().is_none() {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let Some(seen) = reloader.news().await else { continue };
        tokio::time::sleep(STILL_FOR).await;
        if reloader.news().await == Some(seen) {
            // The refusal was logged and stands on the probes.
            let _ = reloader.reload().await;
        }
    }
}

/// For whoever may ask for a reload: a signal, an operator.
#[derive(Clone)]
pub struct Reloader {
    pub rules: Arc<LiveRules>,
    pub work: mpsc::Sender<Work>,
}

impl Reloader {
    /// What the folder holds that was not looked at yet. Away from the threads that serve: a catalogue may have
    /// thousands of files.
    async fn news(&self) -> Option<u64> {
        let rules = self.rules.clone();
        tokio::task::spawn_blocking(move || rules.has_news()).await.ok().flatten()
    }

    /// Reads the folder now; the revision in force, or why it is still the old one.
    pub async fn reload(&self) -> Result<Arc<str>, Vec<String>> {
        // Away from the threads that serve.
        let rules = self.rules.clone();
        let reloaded = tokio::task::spawn_blocking(move || rules.reload()).await;
        let (revision, to_keep) = reloaded.map_err(|cause| vec![format!("the reload died: {cause}")])??;
        if let Some(value) = to_keep {
            keep(&self.work, value).await;
        }
        Ok(revision)
    }
}

/// Where git-sync published it, the last part of the path that is a commit. In a checkout the commit, and behind it
/// a hash of what really stands there: nobody promises that the files were committed.
fn revision(target: &Path, files: &[SourceFile]) -> Option<String> {
    let is_commit = |part: &str| matches!(part.len(), 40 | 64) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<_> = target.iter().filter_map(|part| part.to_str()).collect();
    if let Some(commit) = parts.iter().rev().find(|part| is_commit(part)) {
        return Some(commit[..12].to_owned());
    }
    let commit = target.ancestors().find_map(|folder| head(&folder.join(".git")))?;
    Some(format!("{}+{}", commit.get(..12)?, &content_hash(files.iter())[..6]))
}

/// The commit that is checked out (gitrepository-layout(5)): `.git` may be a file that names the real one.
fn head(git: &Path) -> Option<String> {
    let mut git = git.to_owned();
    if git.is_file() {
        let text = std::fs::read_to_string(&git).ok()?;
        let place = PathBuf::from(text.strip_prefix("gitdir:")?.trim());
        git = if place.is_absolute() { place } else { git.parent()?.join(place) };
    }
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().to_owned()) };
    // A worktree keeps its references in the main repository.
    let common = std::fs::read_to_string(git.join("commondir")).map_or(git.clone(), |text| git.join(text.trim()));
    [&git, &common]
        .into_iter()
        .find_map(|place| std::fs::read_to_string(place.join(reference)).ok())
        .map(|text| text.trim().to_owned())
        .or_else(|| {
            let packed = std::fs::read_to_string(common.join("packed-refs")).ok()?;
            packed.lines().find_map(|line| line.strip_suffix(reference).map(|commit| commit.trim().to_owned()))
        })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_swapped_link_changes_the_fingerprint_and_names_the_commit() {
        let home = tempfile::tempdir().unwrap();
        let commits = ["a".repeat(40), "b".repeat(40)];
        for commit in &commits {
            fs::create_dir_all(home.path().join(commit).join("rules")).unwrap();
            fs::write(home.path().join(commit).join("rules/routes.yaml"), "version: 1\n").unwrap();
        }
        let link = home.path().join("current");
        symlink(&commits[0], &link).unwrap();
        let first = read(&link.join("rules")).unwrap();
        assert_eq!(first.revision.as_deref(), Some("aaaaaaaaaaaa"));
        let part = home.path().join("part");
        symlink(&commits[1], &part).unwrap();
        fs::rename(&part, &link).unwrap();
        let second = read(&link.join("rules")).unwrap();
        assert_eq!(second.revision.as_deref(), Some("bbbbbbbbbbbb"));
        assert_ne!(first.fingerprint, second.fingerprint);
    }

    #[test]
    fn a_config_map_is_read_through_its_links() {
        let home = tempfile::tempdir().unwrap();
        for (version, text) in [("..1", "version: 1\n"), ("..2", "version: 1\nkind: routes\n")] {
            fs::create_dir(home.path().join(version)).unwrap();
            fs::write(home.path().join(version).join("routes.yaml"), text).unwrap();
        }
        symlink("..1", home.path().join("..data")).unwrap();
        symlink("..data/routes.yaml", home.path().join("routes.yaml")).unwrap();
        let first = read(home.path()).unwrap();
        symlink("..2", home.path().join("..next")).unwrap();
        fs::rename(home.path().join("..next"), home.path().join("..data")).unwrap();
        let second = read(home.path()).unwrap();
        assert_ne!(first.fingerprint, second.fingerprint);
        assert_eq!((first.files.len(), second.files[0].text.as_str()), (1, "version: 1\nkind: routes\n"));
    }

    #[test]
    fn a_link_that_is_swapped_in_mid_read_never_gives_a_mixture() {
        let home = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..20).map(|number| format!("part-{number}.yaml")).collect();
        for version in ["..1", "..2"] {
            fs::create_dir(home.path().join(version)).unwrap();
            for name in &names {
                fs::write(home.path().join(version).join(name), version).unwrap();
            }
        }
        symlink("..1", home.path().join("..data")).unwrap();
        for name in &names {
            symlink(Path::new("..data").join(name), home.path().join(name)).unwrap();
        }
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let mut seen = std::collections::BTreeMap::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for version in ["..2", "..1"].into_iter().cycle() {
                    symlink(version, home.path().join("..next")).unwrap();
                    fs::rename(home.path().join("..next"), home.path().join("..data")).unwrap();
                    if is_over.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a thread of its own that only sets the pace of the swaps"
                    )]
                    std::thread::sleep(Duration::from_micros(300));
                }
            });
            for _ in 0..400 {
                let Ok(snapshot) = read(home.path()) else { continue };
                let whole = snapshot.files[0].text.clone();
                assert!(snapshot.files.len() == names.len(), "{} files", snapshot.files.len());
                let mixed = snapshot.files.iter().find(|file| file.text != whole);
                if mixed.is_some() {
                    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                assert!(mixed.is_none(), "{mixed:?} among files of {whole}");
                *seen.entry(whole).or_insert(0) += 1;
            }
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(seen.len() == 2, "both revisions were seen: {seen:?}");
    }

    #[test]
    fn a_config_map_with_a_file_beside_its_links_is_read_with_it() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("..1")).unwrap();
        fs::write(home.path().join("..1/routes.yaml"), "version: 1\n").unwrap();
        symlink("..1", home.path().join("..data")).unwrap();
        symlink("..data/routes.yaml", home.path().join("routes.yaml")).unwrap();
        fs::write(home.path().join("cells.yaml"), "version: 1\n").unwrap();
        let names: Vec<String> = read(home.path()).unwrap().files.into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["cells.yaml", "routes.yaml"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("routes.yaml"), "version: 1\n").unwrap();
        let cells = home.path().join("cells.yaml");
        fs::create_dir(&cells).unwrap();
        let refusal = read(home.path()).unwrap_err().to_string();
        assert!(refusal.contains("cells.yaml") && refusal.contains("not a file"), "{refusal}");
        fs::remove_dir(&cells).unwrap();
        symlink("nowhere", &cells).unwrap();
        let refusal = read(home.path()).unwrap_err().to_string();
        assert!(refusal.contains("cells.yaml") && refusal.contains("No such file"), "{refusal}");
        // What has no rule's name may lead nowhere: an editor's lock, a tool's socket.
        fs::remove_file(&cells).unwrap();
        symlink("nowhere", home.path().join("notes")).unwrap();
        symlink("circle", home.path().join("circle")).unwrap();
        assert_eq!(read(home.path()).unwrap().files.len(), 1);
    }

    #[test]
    fn a_checkout_names_its_commit_and_what_really_stands_there() {
        let home = tempfile::tempdir().unwrap();
        let rules = home.path().join("rules");
        fs::create_dir_all(home.path().join(".git/refs/heads")).unwrap();
        fs::create_dir(&rules).unwrap();
        fs::write(home.path().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(home.path().join(".git/refs/heads/main"), format!("{}\n", "c".repeat(40))).unwrap();
        fs::write(rules.join("routes.yaml"), "version: 1\n").unwrap();
        let clean = read(&rules).unwrap().revision.unwrap();
        fs::write(rules.join("routes.yaml"), "version: 1 # edited\n").unwrap();
        let edited = read(&rules).unwrap().revision.unwrap();
        assert!(clean.starts_with("cccccccccccc+") && edited.starts_with("cccccccccccc+"));
        assert_ne!(clean, edited);
        fs::remove_file(home.path().join(".git/refs/heads/main")).unwrap();
        fs::write(home.path().join(".git/packed-refs"), format!("{} refs/heads/main\n", "d".repeat(40))).unwrap();
        assert!(read(&rules).unwrap().revision.unwrap().starts_with("dddddddddddd+"));
    }

    #[test]
    fn a_folder_that_is_missing_or_empty_is_said_so() {
        let home = tempfile::tempdir().unwrap();
        assert!(read(home.path()).unwrap_err().to_string().contains("no rule files"));
        assert!(read(&home.path().join("nowhere")).is_err());
    }
}
