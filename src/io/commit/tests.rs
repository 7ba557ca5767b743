//! The committer over a real store that can be held up and made to fail: who is answered when, and what is
//! remembered and handed out.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::*;
use crate::incidents::{Pages, deadline};
use crate::model::alert::Voice;
use crate::model::{Alert, Labels, SenderId, Severity, SourceRef, State, Tags};
use crate::store::testkit::{START, at, identity, key, route};
use crate::store::{Decide, Later, Reader, sqlite};

const HOLD: Duration = Duration::from_secs(240);

/// What a test can do to the store.
struct Switches {
    fails: AtomicBool,
    /// Incidents whose rows cannot be read.
    unreadable: Mutex<Vec<IncidentKey>>,
    transaction_count: AtomicU32,
    /// A transaction needs one permit.
    gate: Semaphore,
}

struct Flaky {
    inner: Box<dyn Writer>,
    switches: Arc<Switches>,
}

impl Writer for Flaky {
    fn transact<'a>(&'a mut self, wanted: Wanted, decide: Decide<'a>) -> Later<'a, Result<Vec<Pending>, StoreError>> {
        Box::pin(async move {
            self.switches.gate.acquire().await.unwrap().forget();
            self.switches.transaction_count.fetch_add(1, Ordering::Relaxed);
            if self.switches.fails.load(Ordering::Relaxed) {
                // As a full disk does it: everything was decided, and then the commit failed.
                let _decided = decide(Loaded::default());
                return Err(StoreError::Unavailable { reason: "disk full".to_owned() });
            }
            let asked = wanted.keys.iter().chain(&wanted.ticks);
            if asked.into_iter().any(|key| self.switches.unreadable.lock().unwrap().contains(key)) {
                return Err(StoreError::Unreadable { what: "incident", reason: "not JSON".to_owned() });
            }
            self.inner.transact(wanted, decide).await
        })
    }

    fn probe(&mut self, now: Timestamp) -> Later<'_, Result<(), StoreError>> {
        if self.switches.fails.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { reason: "disk full".to_owned() }) });
        }
        self.inner.probe(now)
    }

    fn retain<'a>(&'a mut self, retention: &'a Retention, now: Timestamp) -> Later<'a, Result<bool, StoreError>> {
        self.inner.retain(retention, now)
    }

    fn keep<'a>(&'a mut self, name: &'a str, value: &'a [u8]) -> Later<'a, Result<(), StoreError>> {
        self.inner.keep(name, value)
    }
}

struct Rig {
    _folder: TempDir,
    reader: Box<dyn Reader>,
    switches: Arc<Switches>,
    cache: Arc<ResendCache>,
    clock: Arc<Clock>,
    mailbox: Arc<Mailbox>,
    trouble: watch::Receiver<Option<String>>,
    work: mpsc::Sender<Work>,
}

type Outcomes = oneshot::Receiver<Result<Vec<AlertOutcome>, StoreError>>;

impl Rig {
    async fn new(permits: usize) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let (inner, reader) = sqlite::open(&format!("sqlite:{}", folder.path().join("t.db").display())).await.unwrap();
        let gate = Semaphore::new(permits);
        let switches = Arc::new(Switches {
            fails: AtomicBool::new(false),
            unreadable: Mutex::default(),
            transaction_count: AtomicU32::new(0),
            gate,
        });
        let mailbox = Mailbox::new();
        mailbox.catching_up();
        let outlet = Outlet { mailbox: mailbox.clone(), says: Box::new(|_| true) };
        let (work, waiting) = mpsc::channel(WAITING_COUNT_MAX);
        let (trouble_told, trouble) = watch::channel(None);
        let clock = Arc::new(Clock::by_hand(START));
        let cache: Arc<ResendCache> = Arc::default();
        let committer = Committer {
            writer: Box::new(Flaky { inner, switches: switches.clone() }),
            clock: clock.clone(),
            cache: cache.clone(),
            outlets: Arc::new(HashMap::from([(Arc::from("pager"), outlet)])),
            metrics: Metrics::default(),
            rules: None,
            pages: Pages::default(),
            next_deadline: watch::channel(Timestamp::MAX).0,
            trouble: trouble_told,
        };
        tokio::spawn(committer.run(waiting));
        Rig { _folder: folder, reader, switches, cache, clock, mailbox, trouble, work }
    }

    /// One request with these alerts, on its way.
    fn send(&self, alerts: &[(u32, State)], received_at: Timestamp) -> Outcomes {
        let incoming = |(number, state): &(u32, State)| {
            let heard = heard(*number, *state, received_at);
            let mark = self.cache.mark(&heard.alert, received_at);
            Incoming { heard: Box::new(heard), mark, record_head: "{\"name\":\"x\"".to_owned() }
        };
        let record = Record {
            received_at,
            source: "prom".to_owned(),
            kind: "alertmanager-api",
            body: bytes::Bytes::from_static(b"body"),
            decisions: String::new(),
        };
        let (reply, answered) = oneshot::channel();
        let alerts = alerts.iter().map(incoming).collect();
        self.work.try_send(Work::Alerts { alerts, record, rejects: Vec::new(), reply }).ok().unwrap();
        answered
    }

    fn tick(&self, numbers: &[u32]) -> oneshot::Receiver<bool> {
        let (done, ticked) = oneshot::channel();
        let keys = numbers.iter().map(|number| key(*number)).collect();
        self.work.try_send(Work::Ticks { keys, done }).ok().unwrap();
        ticked
    }

    fn reject(&self) -> oneshot::Receiver<bool> {
        let reject = RejectRecord {
            received_at: START,
            source: "prom".to_owned(),
            kind: "json".to_owned(),
            status: 400,
            reason: "bad".to_owned(),
            body: bytes::Bytes::new(),
        };
        let (done, kept) = oneshot::channel();
        self.work.try_send(Work::Reject { reject, done }).ok().unwrap();
        kept
    }

    fn told(&self) -> Vec<(NoticeKind, u32)> {
        self.mailbox.take(usize::MAX).iter().map(|row| (row.notice.kind, row.notice.sequence)).collect()
    }

    fn transaction_count(&self) -> u32 {
        self.switches.transaction_count.load(Ordering::Relaxed)
    }

    fn is_known(&self, number: u32, state: State) -> bool {
        self.cache.repeats(&heard(number, state, START).alert, START)
    }
}

fn heard(number: u32, state: State, received_at: Timestamp) -> Heard {
    let alert = Alert {
        identity: identity(number),
        sender: SenderId(1),
        voice: Voice::Evaluator,
        state,
        starts_at: None,
        ends_at: None,
        holds_for: HOLD,
        severity: Severity::Error,
        name: "HighErrorRate".into(),
        title: "Errors".into(),
        labels: Labels::new(),
        annotations: Labels::new(),
        fields: Labels::new(),
        links: Vec::new(),
    };
    Heard {
        alert,
        source: SourceRef { kind: "json".into(), instance: "lab".into() },
        received_at,
        tags: Tags::default().into(),
        rules_revision: "r1".into(),
        key: key(number),
        route: route(&["pager", "gone"]),
    }
}

use AlertOutcome::{Opened, Resolved, Updated};
use State::Firing;

#[tokio::test]
async fn what_waits_together_shares_one_transaction_and_nobody_is_answered_before_its_commit() {
    let rig = Rig::new(0).await;
    let first = rig.send(&[(1, Firing)], START);
    // The committer takes the first alone and then stands at the gate.
    while !rig.work.capacity().eq(&WAITING_COUNT_MAX) {
        tokio::task::yield_now().await;
    }
    let mut others: Vec<_> = (2..=50).map(|number| rig.send(&[(number, Firing)], START)).collect();
    let kept = rig.reject();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(others.iter_mut().all(|answer| answer.try_recv().is_err()));
    assert!(rig.told().is_empty() && !rig.is_known(1, Firing));

    rig.switches.gate.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap(), [Opened]);
    assert_eq!(rig.told(), [(NoticeKind::Opened, 1)], "handed out before the answer");
    assert!(rig.is_known(1, Firing), "remembered before the answer");
    assert!(others.iter_mut().all(|answer| answer.try_recv().is_err()));

    rig.switches.gate.add_permits(1);
    for answer in others {
        assert_eq!(answer.await.unwrap().unwrap(), [Opened]);
    }
    assert!(kept.await.unwrap());
    assert_eq!(rig.transaction_count(), 2);
    assert_eq!(rig.told().len(), 49);
    assert_eq!(rig.reader.pending("gone", crate::model::DeliveryId(0), 10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_failed_commit_is_told_to_every_sender_and_leaves_no_trace() {
    let rig = Rig::new(1000).await;
    rig.switches.fails.store(true, Ordering::Relaxed);
    let answers = [rig.send(&[(1, Firing), (2, Firing)], START), rig.send(&[(3, Firing)], START)];
    let (ticked, kept) = (rig.tick(&[1]), rig.reject());
    for answer in answers {
        let error = answer.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("disk full"), "{error}");
    }
    assert!(!ticked.await.unwrap() && !kept.await.unwrap());
    assert!((1..=3).all(|number| !rig.is_known(number, Firing)));
    assert!(rig.told().is_empty());
    assert!(rig.trouble.borrow().as_ref().unwrap().contains("disk full"));

    rig.switches.fails.store(false, Ordering::Relaxed);
    assert_eq!(rig.send(&[(1, Firing)], at(1)).await.unwrap().unwrap(), [Opened], "the first word was never kept");
    assert_eq!(rig.told(), [(NoticeKind::Opened, 1)]);
    assert!(rig.trouble.borrow().is_none());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_costs_only_those_who_ask_for_it() {
    let rig = Rig::new(10_000).await;
    rig.switches.unreadable.lock().unwrap().extend([key(7), key(40)]);
    let answers: Vec<_> = (1..=50).map(|number| rig.send(&[(number, Firing)], START)).collect();
    let (ticked, kept) = (rig.tick(&[1, 2]), rig.reject());
    for (number, answer) in (1..).zip(answers) {
        match answer.await.unwrap() {
            Ok(outcomes) => assert_eq!(outcomes, [Opened], "{number}"),
            Err(error) => assert!([7, 40].contains(&number), "{number}: {error}"),
        }
        assert_eq!(rig.is_known(number, Firing), ![7, 40].contains(&number), "{number}");
    }
    assert!(ticked.await.unwrap() && kept.await.unwrap());
    assert!(rig.trouble.borrow().is_none(), "the store itself is well");
    assert_eq!(rig.told().len(), 48, "each of the others is told once");
    assert!(rig.transaction_count() < 30, "{} transactions for two bad rows", rig.transaction_count());
}

#[tokio::test]
async fn a_tick_passes_by_the_incident_that_cannot_be_read_and_says_that_it_is_not_done() {
    let rig = Rig::new(10_000).await;
    let all: Vec<(u32, State)> = (1..=256).map(|number| (number, Firing)).collect();
    rig.send(&all, START).await.unwrap().unwrap();
    assert_eq!(rig.told().len(), 256);
    rig.switches.unreadable.lock().unwrap().push(key(100));
    rig.clock.move_by_ms(250_000);
    let keys: Vec<u32> = (1..=256).collect();
    assert!(!rig.tick(&keys).await.unwrap(), "one of them is still due");
    assert_eq!(rig.told(), vec![(NoticeKind::Resolved, 2); 255]);
    rig.switches.unreadable.lock().unwrap().clear();
    assert!(rig.tick(&[100]).await.unwrap());
    assert_eq!(rig.told(), [(NoticeKind::Resolved, 2)]);
}

#[tokio::test]
async fn a_full_disk_is_asked_once_per_batch() {
    let rig = Rig::new(0).await;
    rig.switches.fails.store(true, Ordering::Relaxed);
    let answers: Vec<_> = (1..=50).map(|number| rig.send(&[(number, Firing)], START)).collect();
    rig.switches.gate.add_permits(10_000);
    for answer in answers {
        answer.await.unwrap().unwrap_err();
    }
    assert!(rig.transaction_count() <= 2, "{} transactions against a full disk", rig.transaction_count());
}

#[tokio::test]
async fn one_alert_several_times_in_a_batch_is_decided_in_order_of_arrival() {
    let rig = Rig::new(1000).await;
    let script = [Firing, Firing, State::Resolved, Firing, State::Resolved];
    let in_one = script.map(|state| (1, state));
    let outcomes = rig.send(&in_one, START).await.unwrap().unwrap();
    assert_eq!(outcomes, [Opened, Updated, Resolved, Opened, Resolved]);
    let expected = [NoticeKind::Opened, NoticeKind::Resolved, NoticeKind::Opened, NoticeKind::Resolved];
    assert_eq!(rig.told(), expected.into_iter().zip(1..).collect::<Vec<_>>());

    // The same over several requests of one batch.
    let answers: Vec<_> = script.iter().map(|state| rig.send(&[(2, *state)], START)).collect();
    for (answer, outcome) in answers.into_iter().zip([Opened, Updated, Resolved, Opened, Resolved]) {
        assert_eq!(answer.await.unwrap().unwrap(), [outcome]);
    }
    assert_eq!(rig.told(), expected.into_iter().zip(1..).collect::<Vec<_>>());
    let (incident, firing) = rig.reader.incident(key(2)).await.unwrap().unwrap();
    assert!(incident.is_closed() && firing.is_empty());
}

#[tokio::test]
async fn a_tick_and_a_message_of_the_same_lapsed_member_neither_resolve_nor_reopen() {
    let rig = Rig::new(1000).await;
    rig.send(&[(1, Firing), (2, Firing)], START).await.unwrap().unwrap();
    assert_eq!(rig.told().len(), 2);
    rig.clock.move_by_ms(250_000);
    // Both words have lapsed; one is said again in the very batch in which its time comes.
    let (ticked, answer) = (rig.tick(&[1, 2]), rig.send(&[(1, Firing)], rig.clock.now()));
    assert!(ticked.await.unwrap());
    assert_eq!(answer.await.unwrap().unwrap(), [Updated]);
    assert_eq!(rig.transaction_count(), 2);
    assert_eq!(rig.told(), [(NoticeKind::Resolved, 2)], "only of the other one, which is silent");
    // The tick that comes again finds it alive, and then leaves it alone until its new word lapses.
    assert!(rig.tick(&[1]).await.unwrap());
    assert!(rig.told().is_empty());
    let (incident, firing) = rig.reader.incident(key(1)).await.unwrap().unwrap();
    assert_eq!((incident.firing_count(), firing.len()), (1, 1));
    assert!(deadline(&incident).unwrap() > rig.clock.now(), "or the timers would turn without end");
    rig.clock.move_by_ms(250_000);
    assert!(rig.tick(&[1]).await.unwrap());
    assert_eq!(rig.told(), [(NoticeKind::Resolved, 2)]);
}

#[tokio::test]
async fn fire_resolve_fire_without_start_times_opens_each_time_through_the_cache() {
    let rig = Rig::new(1000).await;
    for round in 0..5 {
        for (state, outcome) in [(Firing, Opened), (State::Resolved, Resolved)] {
            assert!(!rig.is_known(1, state), "round {round}");
            assert_eq!(rig.send(&[(1, state)], at(round)).await.unwrap().unwrap(), [outcome]);
            assert!(rig.is_known(1, state));
        }
    }
    assert_eq!(rig.told().len(), 10);
}

#[tokio::test]
async fn a_sender_that_went_away_changes_nothing_for_the_others() {
    let rig = Rig::new(1000).await;
    drop(rig.send(&[(1, Firing)], START));
    assert_eq!(rig.send(&[(1, Firing)], START).await.unwrap().unwrap(), [Updated]);
    assert_eq!(rig.told(), [(NoticeKind::Opened, 1)]);
}
