//! The rules in force, replaced whole while everybody reads them. A set that cannot be read, does not compile, does
//! not fit the settings or fails its own tests never goes live, and the last good one survives a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::commit::{Chore, Work};
use super::intake::Recall;
use super::rules_watch::{self, Snapshot};
use super::shadows::Shadows;
use crate::model::{Alert, Timestamp};
use crate::rules::{RuleSet, ShadowChange, SourceFile};
use crate::store::{Reader, StoreError};

/// Under this name the store keeps the last good set.
const KEPT_AS: &str = "rules";

/// What has the last word on a set that compiled: sinks it names, tests it brings. Says what is wrong.
pub type Examine = Box<dyn Fn(&mut RuleSet, &[SourceFile]) -> Result<(), Vec<String>> + Send + Sync>;

/// Where rules come from.
#[derive(Clone, Debug)]
pub enum RulesFrom {
    /// Looked at again and again.
    Folder(PathBuf),
    /// Compiled in; they never change.
    Files(Vec<SourceFile>),
}

/// Rules, and who judges them.
pub struct RuleSource {
    pub from: RulesFrom,
    pub examine: Examine,
}

impl RuleSource {
    fn folder(&self) -> Option<&Path> {
        match &self.from {
            RulesFrom::Folder(folder) => Some(folder),
            RulesFrom::Files(_) => None,
        }
    }
}

/// A set in force, and since when.
#[derive(Debug)]
pub struct InForce {
    pub rules: Arc<RuleSet>,
    pub since: Timestamp,
    /// What its shadow rules would have changed since then.
    pub shadows: Shadows,
    /// Rules whose date was over when the set went live, as `file:line id`.
    pub expired: Vec<Arc<str>>,
    /// What requests left for those behind them, while none has it in hand.
    recall: Mutex<Option<Recall>>,
}

impl InForce {
    fn new(rules: RuleSet, now: Timestamp) -> InForce {
        let expired = rules.expired(now.to_string().get(..10).unwrap_or_default());
        if !expired.is_empty() {
            tracing::warn!(
                count = expired.len(),
                "rules stay in force though their date is over: {}; `tawny check` shows each",
                expired.join(", ")
            );
        }
        InForce { rules: Arc::new(rules), since: now, shadows: Shadows::default(), expired, recall: Mutex::default() }
    }

    /// What is known of earlier requests, for one request at a time; a second one meanwhile begins with nothing.
    pub fn take_recall(&self) -> Recall {
        self.recall.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    pub fn put_recall(&self, mut recall: Recall) {
        recall.end_request();
        let mut held = self.recall.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two requests at a time the one that began with nothing leaves less.
        if held.as_ref().is_none_or(|held| held.known_count() <= recall.known_count()) {
            *held = Some(recall);
        }
    }
}

/// The revision in force, and what the store should keep of it where it is new.
pub type Reloaded = (Arc<str>, Option<Vec<u8>>);

/// Why what stands in the folder is not in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    pub faults: Vec<String>,
    /// The first refusal in a row.
    pub since: Timestamp,
}

pub struct LiveRules {
    current: ArcSwap<InForce>,
    source: RuleSource,
    clock: Arc<Clock>,
    state: Mutex<State>,
    /// Held from the reading to the swap, so that of two reloads the later reading wins.
    turn: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// What was looked at last, in force or refused.
    seen: Option<u64>,
    /// As it is kept: names and texts of all files.
    in_force: Vec<u8>,
    refusal: Option<Refusal>,
    load_count: u64,
    refused_count: u64,
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    pub load_count: u64,
    pub refused_count: u64,
    pub refusal: Option<Refusal>,
}

/// As the store keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    revision: String,
    files: Vec<(String, String)>,
}

impl LiveRules {
    /// The folder's rules; the last good ones when those are bad; a fault when there is neither.
    pub async fn start(
        source: RuleSource,
        reader: &dyn Reader,
        clock: Arc<Clock>,
    ) -> Result<(Arc<LiveRules>, Option<Vec<u8>>), Vec<String>> {
        let mut state = State::default();
        let mut to_keep = None;
        let rules = match attempt(&source) {
            Ok((rules, snapshot)) => {
                state.seen = Some(snapshot.fingerprint);
                state.in_force = packed(&rules, &snapshot);
                to_keep = source.folder().is_some().then(|| state.in_force.clone());
                rules
            }
            Err((faults, fingerprint)) => {
                let Some(rules) = last_good(&source, reader).await else { return Err(faults) };
                tracing::error!(
                    revision = %rules.revision(),
                    "the rules in the folder cannot be used; the last good ones are in force:\n{}",
                    faults.join("\n")
                );
                state.seen = fingerprint;
                state.refused_count = 1;
                state.refusal = Some(Refusal { faults, since: clock.now() });
                rules
            }
        };
        state.load_count = 1;
        let current = ArcSwap::from_pointee(InForce::new(rules, clock.now()));
        Ok((Arc::new(LiveRules { current, source, clock, state: Mutex::new(state), turn: Mutex::default() }), to_keep))
    }

    /// For a request to hold on to: it ends with the rules it began with.
    pub fn get(&self) -> Arc<RuleSet> {
        self.current.load().rules.clone()
    }

    /// The set, and what is counted of it.
    pub fn in_force(&self) -> Arc<InForce> {
        self.current.load_full()
    }

    /// Counts what the shadow rules of `rules` would have decided otherwise. Costs nothing where there are none.
    pub fn note_shadows(&self, rules: &RuleSet, changes: Vec<ShadowChange>, alert: &Alert<'_>) {
        if changes.is_empty() {
            return;
        }
        let in_force = self.current.load();
        // A set that was replaced meanwhile is not counted any more.
        if std::ptr::eq(&raw const *in_force.rules, rules) {
            in_force.shadows.note(changes, alert);
        }
    }

    pub fn since(&self) -> Timestamp {
        self.current.load().since
    }

    pub fn loads(&self) -> Loads {
        let state = self.state();
        Loads { load_count: state.load_count, refused_count: state.refused_count, refusal: state.refusal.clone() }
    }

    /// Where they stand, if they can change while the daemon runs.
    pub fn folder(&self) -> Option<&Path> {
        self.source.folder()
    }

    /// What the folder holds that was not looked at yet. Blocks for as long as a look at each file takes.
    pub fn has_news(&self) -> Option<u64> {
        let folder = self.source.folder()?;
        let fingerprint = seen(folder);
        (self.state().seen != Some(fingerprint)).then_some(fingerprint)
    }

    /// Reads the folder and puts its rules in force, or says why not; what to keep in the store goes to `work`.
    /// Blocks for as long as reading and compiling take.
    pub fn reload(&self) -> Result<Reloaded, Vec<String>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = attempt(&self.source);
        let now = self.clock.now();
        let mut state = self.state();
        match outcome {
            Ok((rules, snapshot)) => {
                state.seen = Some(snapshot.fingerprint);
                state.refusal = None;
                let before = self.current.load();
                let revision = rules.revision().clone();
                let to_keep = packed(&rules, &snapshot);
                if state.in_force == to_keep {
                    return Ok((revision, None));
                }
                state.load_count += 1;
                tracing::info!(before = %before.rules.revision(), now = %revision, "new rules are in force");
                self.current.store(Arc::new(InForce::new(rules, now)));
                state.in_force.clone_from(&to_keep);
                Ok((revision, Some(to_keep)))
            }
            Err((faults, fingerprint)) => {
                // Also where nothing could be seen: what stood there before would be news if it came back.
                state.seen = fingerprint;
                state.refused_count += 1;
                let since = state.refusal.as_ref().map_or(now, |refusal| refusal.since);
                state.refusal = Some(Refusal { faults: faults.clone(), since });
                tracing::error!(
                    in_force = %self.current.load().rules.revision(),
                    "the new rules cannot be used; the old ones stay in force:\n{}",
                    faults.join("\n")
                );
                Err(faults)
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the last good set to the store.
pub async fn keep(work: &mpsc::Sender<Work>, value: Vec<u8>) {
    let (done, kept) = oneshot::channel();
    let is_sent = work.send(Work::Chore(Chore::Keep { name: KEPT_AS, value, done })).await.is_ok();
    if !is_sent || !kept.await.unwrap_or(false) {
        tracing::warn!("the rules are in force but could not be kept for the next start");
    }
}

type Attempt = Result<(RuleSet, Snapshot), (Vec<String>, Option<u64>)>;

fn attempt(source: &RuleSource) -> Attempt {
    let snapshot = match &source.from {
        RulesFrom::Folder(folder) => {
            // Before the reading: what changes behind it was not looked at.
            let seen = seen(folder);
            rules_watch::read(folder).map_err(|cause| (vec![cause.to_string()], Some(seen)))?
        }
        RulesFrom::Files(files) => Snapshot { files: files.clone(), ..Snapshot::default() },
    };
    let fingerprint = Some(snapshot.fingerprint);
    let mut rules = RuleSet::compile(&snapshot.files)
        .map_err(|faults| (faults.iter().map(ToString::to_string).collect(), fingerprint))?;
    if let Some(revision) = &snapshot.revision {
        rules.set_revision(revision);
    }
    (source.examine)(&mut rules, &snapshot.files).map_err(|faults| (faults, fingerprint))?;
    Ok((rules, snapshot))
}

/// A folder that is not there is a state too, so that it is refused once and not at every look.
fn seen(folder: &Path) -> u64 {
    rules_watch::fingerprint(folder).unwrap_or_default()
}

async fn last_good(source: &RuleSource, reader: &dyn Reader) -> Option<RuleSet> {
    let kept: Result<Option<Vec<u8>>, StoreError> = reader.kept(KEPT_AS).await;
    let kept: Kept = rmp_serde::from_slice(&kept.ok().flatten()?).ok()?;
    let files: Vec<SourceFile> = kept.files.into_iter().map(|(name, text)| SourceFile { name, text }).collect();
    let mut rules = RuleSet::compile(&files).ok()?;
    rules.set_revision(&kept.revision);
    (source.examine)(&mut rules, &files).ok()?;
    Some(rules)
}

fn packed(rules: &RuleSet, snapshot: &Snapshot) -> Vec<u8> {
    let files = snapshot.files.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
    let kept = Kept { revision: rules.revision().to_string(), files };
    rmp_serde::to_vec_named(&kept).expect("texts always serialise")
}
