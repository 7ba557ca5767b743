//! Says so when the rules in the folder have been refused for a while, by an alert that takes the road of every other.
//! Never judges rules, and never sends anything itself.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::intake::{Intake, Made};
use super::live_rules::Refusal;
use crate::model::alert::Voice;
use crate::model::id::IdHasher;
use crate::model::{Alert, Identity, Labels, SenderId, Severity, State, Timestamp};
use crate::rules::{Origin, Stamped};

/// Kind and name of the source that the daemon itself is.
pub const SOURCE: &str = "tawny";
/// The alert's name.
pub const NAME: &str = "TawnyRulesRefused";
/// How often the state is looked at, unless less is waited for. What only repeats ends in the memory of the intake.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY_MIN: Duration = Duration::from_secs(1);
/// A daemon that starts anew waits again, and meanwhile its word from before must hold: for the wait and so much longer.
const HOLDS_BEYOND: Duration = Duration::from_secs(300);
/// Faults that are told; the log and `/readyz` have all of them.
const FAULT_COUNT_MAX: usize = 3;
/// Of each fault, because it quotes a line of a file.
const FAULT_CHARS_MAX: usize = 600;

static NO_CONSTANTS: Labels<'static> = Labels::new();

/// Looks again and again until told to stop; rules that are compiled in are never refused. Whoever edits rules has
/// `refused_for` to mend a slip before others hear of it.
pub async fn follow(intake: Arc<Intake>, refused_for: Duration, mut stop: watch::Receiver<bool>) {
    let Some(folder) = intake.rules.folder().map(|folder| folder.display().to_string()) else { return };
    let look_every = (refused_for / 2).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX);
    let mut alarm = Alarm { folder, refused_for, told: None };
    loop {
        tokio::select! {
            () = tokio::time::sleep(look_every) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        alarm.look(&intake).await;
    }
}

/// What people were told.
struct Alarm {
    folder: String,
    refused_for: Duration,
    /// The refusal that they may know of.
    told: Option<Refusal>,
}

impl Alarm {
    async fn look(&mut self, intake: &Intake) {
        let now = intake.clock.now();
        let refusal = intake.rules.loads().refusal;
        let Some(word) = word(refusal.as_ref(), self.told.as_ref(), now, self.refused_for) else { return };
        let rules = intake.rules.get();
        let (state, about) = match word {
            Word::Refused(refusal) => (State::Firing, refusal),
            Word::Over(refusal) => (State::Resolved, refusal),
        };
        let made = Made {
            kind: SOURCE,
            origin: Origin { kind: SOURCE, instance: SOURCE, constants: &NO_CONSTANTS },
            alerts: vec![Alert {
                holds_for: self.refused_for.saturating_add(HOLDS_BEYOND),
                ..alert(state, about, &self.folder, rules.revision(), now)
            }],
            rules: &rules,
            stamped: &Stamped::default(),
        };
        let taken = intake.take_made(made).await;
        if let Err(reason) = &taken {
            tracing::warn!(reason, "could not say of the rules that they are {}; it is tried again", word.as_str());
        }
        // An alert that was not answered for may stand in the store all the same, so its end is told in any case; an end
        // is told until it is taken.
        self.told = match (word, taken) {
            (Word::Refused(refusal), _) => Some(refusal.clone()),
            (Word::Over(_), Ok(())) => None,
            (Word::Over(refusal), Err(_)) => Some(refusal.clone()),
        };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word<'a> {
    Refused(&'a Refusal),
    Over(&'a Refusal),
}

impl Word<'_> {
    const fn as_str(self) -> &'static str {
        match self {
            Word::Refused(_) => "refused",
            Word::Over(_) => "good again",
        }
    }
}

/// What is to be said now. A clock that is set back does not end what lasts.
fn word<'a>(
    refusal: Option<&'a Refusal>,
    told: Option<&'a Refusal>,
    now: Timestamp,
    refused_for: Duration,
) -> Option<Word<'a>> {
    let is_told = |refusal: &Refusal| told.is_some_and(|told| told.since == refusal.since);
    match refusal {
        Some(refusal) if is_told(refusal) || now.since(refusal.since) >= refused_for => Some(Word::Refused(refusal)),
        // Good rules and the next refusal may both have come since the last look.
        Some(_) | None => told.map(Word::Over),
    }
}

fn alert(state: State, refusal: &Refusal, folder: &str, revision: &str, now: Timestamp) -> Alert<'static> {
    let first = refusal.faults.first().and_then(|fault| fault.lines().next()).unwrap_or("no reason was given");
    let title = match state {
        State::Resolved => format!("the rules in {folder} are in force again"),
        State::Firing | State::Acknowledged | State::Suppressed | State::NoData | State::Info => {
            format!("the rules in {folder} are refused and older ones decide: {}", clipped(first))
        }
    };
    let told = refusal.faults.iter().take(FAULT_COUNT_MAX).map(|fault| clipped(fault)).collect::<Vec<_>>();
    let labels = [("alertname", NAME), ("service", SOURCE), ("folder", folder)];
    let annotations = [
        ("description", told.join("\n")),
        ("fault_count", refusal.faults.len().to_string()),
        ("refused_since", refusal.since.to_string()),
        ("rules_in_force", revision.to_owned()),
    ];
    Alert {
        identity: identity(folder),
        sender: sender(),
        voice: Voice::Evaluator,
        state,
        starts_at: Some(refusal.since),
        ends_at: (state == State::Resolved).then_some(now),
        holds_for: HOLDS_BEYOND,
        severity: Severity::Warning,
        name: Cow::Borrowed(NAME),
        title: Cow::Owned(title),
        labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        annotations: annotations.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        fields: Labels::new(),
        links: Vec::new(),
    }
}

fn identity(folder: &str) -> Identity {
    let mut hasher = IdHasher::new("tawny");
    hasher.part(NAME);
    hasher.part(folder);
    hasher.identity()
}

fn sender() -> SenderId {
    let mut hasher = IdHasher::new("sender");
    hasher.part(SOURCE);
    hasher.part(SOURCE);
    hasher.sender()
}

fn clipped(fault: &str) -> String {
    fault.chars().take(FAULT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use tempfile::TempDir;
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::io::clock::Clock;
    use crate::io::commit::Work;
    use crate::io::live_rules::{LiveRules, RuleSource, RulesFrom};
    use crate::model::AlertOutcome;
    use crate::store::sqlite;
    use crate::telemetry::Metrics;

    const START: Timestamp = Timestamp::from_ms(1_795_394_412_000);
    const REFUSED_FOR: Duration = Duration::from_secs(600);
    const GOOD: &str = "version: 1\nkind: routes\nroutes:\n  - { id: all, when: {} }\n";
    const BAD: &str = "version: 1\nkind: routes\nruotes: []\n";

    fn word<'a>(refusal: Option<&'a Refusal>, told: Option<&'a Refusal>, now: Timestamp) -> Option<Word<'a>> {
        super::word(refusal, told, now, REFUSED_FOR)
    }

    fn refusal(since: Timestamp) -> Refusal {
        Refusal { faults: vec!["rules/a.yaml:3:1  unknown key `ruotes`\n    a line".to_owned()], since }
    }

    fn seconds(count: u64) -> Timestamp {
        START.plus(Duration::from_secs(count))
    }

    #[test]
    fn ten_minutes_of_refusal_are_told_while_they_last_and_their_end_once() {
        let (first, second) = (refusal(START), refusal(seconds(3000)));
        assert_eq!(word(None, None, START), None);
        assert_eq!(word(Some(&first), None, seconds(599)), None);
        assert_eq!(word(Some(&first), None, seconds(600)), Some(Word::Refused(&first)));
        assert_eq!(word(Some(&first), Some(&first), seconds(2000)), Some(Word::Refused(&first)));
        assert_eq!(word(None, Some(&first), seconds(2001)), Some(Word::Over(&first)));
        // Another refusal begins before anybody looked: the one that is known is over.
        assert_eq!(word(Some(&second), Some(&first), seconds(3001)), Some(Word::Over(&first)));
        assert_eq!(word(Some(&second), None, seconds(3001)), None);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_tells_nor_ends() {
        let lasting = refusal(seconds(3600));
        assert_eq!(word(Some(&lasting), None, START), None);
        assert_eq!(word(Some(&lasting), Some(&lasting), START), Some(Word::Refused(&lasting)));
    }

    #[test]
    fn the_alert_shows_the_first_faults_and_is_one_problem_however_often_it_is_told() {
        let mut lasting = refusal(START);
        lasting.faults.extend(["b".repeat(10_000), "third".to_owned(), "fourth".to_owned()]);
        let firing = alert(State::Firing, &lasting, "/etc/tawny/rules", "8f5e19890ca2", seconds(600));
        assert_eq!(
            firing.title,
            "the rules in /etc/tawny/rules are refused and older ones decide: rules/a.yaml:3:1  unknown key `ruotes`"
        );
        let description = firing.annotations.get("description").unwrap();
        assert!(description.contains("a line") && description.contains("third") && !description.contains("fourth"));
        assert!(description.len() < 2 * FAULT_CHARS_MAX, "{}", description.len());
        assert_eq!(firing.annotations.get("fault_count"), Some("4"));
        let resolved = alert(State::Resolved, &refusal(START), "/etc/tawny/rules", "x", seconds(900));
        assert_eq!((resolved.identity, resolved.sender), (firing.identity, firing.sender));
        assert_eq!((resolved.ends_at, firing.ends_at), (Some(seconds(900)), None));
        assert_ne!(alert(State::Firing, &lasting, "/elsewhere", "x", START).identity, firing.identity);
    }

    /// Rules in a folder, and a committer that only writes down what it is given.
    struct Rig {
        folder: TempDir,
        intake: Arc<Intake>,
        heard: Arc<Mutex<Vec<(State, Timestamp)>>>,
        committer: JoinHandle<()>,
    }

    impl Rig {
        async fn new() -> Rig {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("rules")).unwrap();
            fs::write(folder.path().join("rules/routes.yaml"), GOOD).unwrap();
            let store = format!("sqlite:{}", folder.path().join("t.db").display());
            let (_writer, reader) = sqlite::open(&store).await.unwrap();
            let clock = Arc::new(Clock::by_hand(START));
            let from = RulesFrom::Folder(folder.path().join("rules"));
            let source = RuleSource { from, examine: Box::new(|_, _| Ok(())) };
            let (rules, _) = LiveRules::start(source, reader.as_ref(), clock.clone()).await.unwrap();
            let (work, mut waiting) = mpsc::channel(8);
            let heard: Arc<Mutex<Vec<(State, Timestamp)>>> = Arc::default();
            let notes = heard.clone();
            let committer = tokio::spawn(async move {
                while let Some(work) = waiting.recv().await {
                    let Work::Alerts { alerts, reply, .. } = work else { continue };
                    for alert in &alerts {
                        assert_eq!((&*alert.heard.alert.name, &*alert.heard.source.kind), (NAME, SOURCE));
                        notes.lock().unwrap().push((alert.heard.alert.state, alert.heard.received_at));
                    }
                    reply.send(Ok(vec![AlertOutcome::Opened; alerts.len()])).unwrap();
                }
            });
            let metrics = Metrics::default();
            let intake = Arc::new(Intake { rules, cache: Arc::default(), clock, work, metrics });
            Rig { folder, intake, heard, committer }
        }

        fn write(&self, text: &str) {
            fs::write(self.folder.path().join("rules/routes.yaml"), text).unwrap();
            assert_eq!(self.intake.rules.reload().is_ok(), text == GOOD);
        }

        fn heard(&self) -> Vec<State> {
            self.heard.lock().unwrap().iter().map(|(state, _)| *state).collect()
        }
    }

    #[tokio::test]
    async fn refused_rules_come_through_the_intake_after_ten_minutes_and_end_with_good_ones() {
        let rig = Rig::new().await;
        // Not before the store was opened, which has a deadline.
        tokio::time::pause();
        let (stop, stopped) = watch::channel(false);
        let follower = tokio::spawn(follow(rig.intake.clone(), REFUSED_FOR, stopped));
        rig.write(BAD);
        tokio::time::sleep(Duration::from_secs(595)).await;
        assert_eq!(rig.heard(), [], "a slip that is mended in time is nobody's business");
        tokio::time::sleep(Duration::from_secs(40)).await;
        let heard = rig.heard();
        assert!(!heard.is_empty() && heard.iter().all(|state| *state == State::Firing), "{heard:?}");
        let first = rig.heard.lock().unwrap()[0].1;
        assert!(first.since(START) >= REFUSED_FOR && first.since(START) <= REFUSED_FOR + LOOK_EVERY_MAX, "{first}");
        rig.write(GOOD);
        tokio::time::sleep(Duration::from_secs(600)).await;
        let ends = rig.heard().iter().filter(|state| **state == State::Resolved).count();
        assert_eq!((ends, rig.heard().last()), (1, Some(&State::Resolved)));
        stop.send_replace(true);
        follower.await.unwrap();
        let Rig { intake, committer, .. } = rig;
        drop(intake);
        committer.await.unwrap();
    }
}
