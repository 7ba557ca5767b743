//! A sink's task with time turned by hand, a network and a store that do what a test says. Every request and
//! every commit is noted in one list, and the laws are read from that list; nothing waits in real time.

mod lanes;
mod laws;
mod limits;
mod twice;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::*;
use crate::model::{NoticeKind, Timestamp};
use crate::sinks::{HttpAnswer, HttpRequest, Secrets};
use crate::store::testkit::{START, pending};
use crate::store::{
    Counts, Deadlines, DeliveryFilter, DeliveryRow, IncidentFilter, Later, RejectRow, StoreError, Stray,
};

/// What the network does with one request.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Answer(u16),
    RetryAfter(u64),
    Slow(Duration, u16),
    Broken,
    /// Nobody is there, so nothing has left.
    Refused,
    Never,
}

/// One thing that happened, in order.
#[derive(Clone, Debug)]
enum Happened {
    Sent { id: u32, number: u32, at: Instant },
    Committed { id: u32, outcome: Option<DeliveryOutcome>, reason: String, attempts: u32 },
    CommitFailed,
    Read { after: i64 },
}

type Says = dyn Fn(u32, u32) -> Reply + Send + Sync;

/// The network and the store of one sink.
struct World {
    happened: Mutex<Vec<Happened>>,
    attempts: Mutex<HashMap<u32, u32>>,
    /// Given the delivery's id and which attempt this is, from 1.
    says: Box<Says>,
    rows: Mutex<BTreeMap<i64, Pending>>,
    /// Whether the n-th group of settlements fails to commit, from 1.
    commit_fails: Mutex<Box<dyn FnMut(u32) -> bool + Send>>,
    /// Whether the n-th read of pending rows fails, from 1.
    read_fails: Mutex<Box<dyn FnMut(u32) -> bool + Send>>,
    commit_takes: Duration,
}

impl World {
    fn note(&self, happened: Happened) {
        self.happened.lock().unwrap().push(happened);
    }

    fn happened(&self) -> Vec<Happened> {
        self.happened.lock().unwrap().clone()
    }

    /// Requests so far: `(id, lane, when)`.
    fn sent(&self) -> Vec<(u32, u32, Instant)> {
        let sent = |happened: &Happened| match happened {
            Happened::Sent { id, number, at } => Some((*id, *number, *at)),
            Happened::Committed { .. } | Happened::CommitFailed | Happened::Read { .. } => None,
        };
        self.happened().iter().filter_map(sent).collect()
    }

    fn sent_ids(&self) -> Vec<u32> {
        self.sent().into_iter().map(|(id, _, _)| id).collect()
    }

    /// How each settled delivery ended, with its reason and the number of attempts.
    fn ended(&self) -> BTreeMap<u32, (DeliveryOutcome, String, u32)> {
        let mut ended = BTreeMap::new();
        for happened in self.happened() {
            if let Happened::Committed { id, outcome: Some(outcome), reason, attempts } = happened {
                assert!(ended.insert(id, (outcome, reason, attempts)).is_none(), "delivery {id} ended twice");
            }
        }
        ended
    }

    async fn commit(&self, nth: u32, settlements: Vec<Settlement>) -> bool {
        tokio::time::sleep(self.commit_takes).await;
        if (self.commit_fails.lock().unwrap())(nth) {
            self.note(Happened::CommitFailed);
            return false;
        }
        for settlement in settlements {
            if settlement.outcome.is_some() {
                self.rows.lock().unwrap().remove(&settlement.id.0);
            }
            self.note(Happened::Committed {
                id: u32::try_from(settlement.id.0).unwrap(),
                outcome: settlement.outcome,
                reason: settlement.reason,
                attempts: settlement.attempts,
            });
        }
        true
    }
}

impl Transport for World {
    fn post(&self, request: HttpRequest, timeout: Duration) -> Later<'_, Result<Received, NoAnswer>> {
        Box::pin(async move {
            let mut reply = Reply::Answer(200);
            for line in String::from_utf8(request.body).unwrap().lines() {
                let (number, id) = line.split_once(' ').unwrap();
                let (number, id) = (number.parse().unwrap(), id.parse().unwrap());
                self.note(Happened::Sent { id, number, at: Instant::now() });
                let mut attempts = self.attempts.lock().unwrap();
                let attempt = attempts.entry(id).or_insert(0);
                *attempt += 1;
                reply = (self.says)(id, *attempt);
            }
            let received = |status| Ok(Received { status, ..Received::default() });
            match reply {
                Reply::Answer(status) => received(status),
                Reply::RetryAfter(seconds) => {
                    Ok(Received { status: 429, retry_after: Some(seconds.to_string()), ..Received::default() })
                }
                Reply::Slow(span, status) => {
                    tokio::time::sleep(span).await;
                    received(status)
                }
                Reply::Broken => Err(NoAnswer { reason: "the connection broke".to_owned(), is_doubtful: true }),
                Reply::Refused => Err(NoAnswer { reason: "cannot connect".to_owned(), is_doubtful: false }),
                Reply::Never => {
                    tokio::time::sleep(timeout).await;
                    Err(NoAnswer { reason: "timed out".to_owned(), is_doubtful: true })
                }
            }
        })
    }
}

impl Reader for World {
    fn pending<'a>(
        &'a self,
        _sink: &'a str,
        after: DeliveryId,
        count_max: u32,
    ) -> Later<'a, Result<Vec<Pending>, StoreError>> {
        Box::pin(async move {
            self.note(Happened::Read { after: after.0 });
            let reads = self.happened().iter().filter(|happened| matches!(happened, Happened::Read { .. })).count();
            if (self.read_fails.lock().unwrap())(u32::try_from(reads).unwrap()) {
                return Err(StoreError::Unavailable { reason: "disk".to_owned() });
            }
            let rows = self.rows.lock().unwrap();
            Ok(rows.range(after.0 + 1..).take(count_max as usize).map(|(_, row)| row.clone()).collect())
        })
    }
    fn kept<'a>(&'a self, _: &'a str) -> Later<'a, Result<Option<Vec<u8>>, StoreError>> {
        unreachable!("a sink keeps nothing")
    }
    fn due(&self, _: Timestamp, _: u32) -> Later<'_, Result<Deadlines, StoreError>> {
        unreachable!("a sink has no deadlines")
    }
    fn strays<'a>(&'a self, _: &'a [Arc<str>], _: u32) -> Later<'a, Result<Vec<Stray>, StoreError>> {
        unreachable!("a sink knows nothing of others")
    }
    fn counts(&self) -> Later<'_, Result<Counts, StoreError>> {
        unreachable!("a sink counts nothing")
    }
    fn incidents(&self, _: IncidentFilter) -> Later<'_, Result<Vec<crate::model::Incident>, StoreError>> {
        unreachable!("a sink looks at no incident")
    }
    fn incident(
        &self,
        _: IncidentKey,
    ) -> Later<'_, Result<Option<(crate::model::Incident, Vec<crate::model::Member>)>, StoreError>> {
        unreachable!("a sink looks at no incident")
    }
    fn firing(&self, _: u32) -> Later<'_, Result<Vec<crate::model::Member>, StoreError>> {
        unreachable!("a sink looks at no member")
    }
    fn deliveries(&self, _: DeliveryFilter) -> Later<'_, Result<Vec<DeliveryRow>, StoreError>> {
        unreachable!("a sink looks at no list")
    }
    fn records(&self, _: i64, _: u32) -> Later<'_, Result<Vec<crate::store::RecordRow>, StoreError>> {
        unreachable!("a sink looks at no list")
    }
    fn rejects(&self, _: u32) -> Later<'_, Result<Vec<RejectRow>, StoreError>> {
        unreachable!("a sink looks at no list")
    }
}

/// Writes which deliveries it was given, and reads the status as the real sinks do.
struct PlainSink(Limits);

impl Sink for PlainSink {
    fn kind(&self) -> &'static str {
        "plain"
    }
    fn limits(&self) -> Limits {
        self.0
    }
    fn shows_twice(&self, kind: NoticeKind) -> bool {
        kind == NoticeKind::Event
    }
    fn encode(&self, notices: &[&Notice], _: &dyn Secrets, _: Timestamp) -> Result<Outgoing, EncodeError> {
        let lane = |notice: &Notice| u32::from_be_bytes(notice.incident.key.0[..4].try_into().unwrap());
        let lines = notices.iter().map(|notice| format!("{} {}\n", lane(notice), notice.sequence));
        let body = lines.collect::<String>().into_bytes();
        Ok(Outgoing::Http(HttpRequest { url: String::new(), headers: Vec::new(), body }))
    }
    fn judge(&self, answer: &HttpAnswer<'_>, notice_count: usize) -> Vec<Judgement> {
        let judgement = match answer.status {
            200 => Judgement::Delivered,
            299 => Judgement::DeliveredThenPause(Duration::from_secs(40)),
            429 => Judgement::Throttled {
                retry_after: answer.retry_after.map(|text| Duration::from_secs(text.parse().unwrap())),
            },
            401 => Judgement::Blocked { reason: "wrong key".to_owned() },
            400 => Judgement::Rejected { reason: "bad field".to_owned() },
            _ => Judgement::Transient { reason: "server error".to_owned() },
        };
        vec![judgement; notice_count]
    }
}

const LIMITS: Limits = Limits {
    batch_count_max: 1,
    in_flight_max: 4,
    rate: None,
    deadline: Duration::from_secs(24 * 3600),
    timeout: Duration::from_secs(10),
};

/// A running sink.
struct Rig {
    world: Arc<World>,
    mailbox: Arc<Mailbox>,
    stop: Option<watch::Sender<bool>>,
    paused: watch::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
    clock: Arc<Clock>,
}

/// What a test changes before the start.
struct Plan {
    limits: Limits,
    rows: Vec<Pending>,
    says: Box<Says>,
    commit_fails: Box<dyn FnMut(u32) -> bool + Send>,
    read_fails: Box<dyn FnMut(u32) -> bool + Send>,
    commit_takes: Duration,
}

impl Plan {
    fn new(says: impl Fn(u32, u32) -> Reply + Send + Sync + 'static) -> Plan {
        Plan {
            limits: LIMITS,
            rows: Vec::new(),
            says: Box::new(says),
            commit_fails: Box::new(|_| false),
            read_fails: Box::new(|_| false),
            commit_takes: Duration::from_millis(3),
        }
    }

    /// Rows that an earlier process left: `(lane, kind)`, with ids from 1.
    fn left(mut self, rows: impl IntoIterator<Item = (u32, NoticeKind)>) -> Plan {
        let rows = (1..).zip(rows).map(|(id, (number, kind))| pending(id, number, kind, START));
        self.rows = rows.collect();
        self
    }

    fn start(self) -> Rig {
        let world = Arc::new(World {
            happened: Mutex::default(),
            attempts: Mutex::default(),
            says: self.says,
            rows: Mutex::new(self.rows.into_iter().map(|row| (row.delivery.id.0, row)).collect()),
            commit_fails: Mutex::new(self.commit_fails),
            read_fails: Mutex::new(self.read_fails),
            commit_takes: self.commit_takes,
        });
        let (work, mut waiting) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        let (pausing, paused) = watch::channel(false);
        let mailbox = Mailbox::new();
        let clock = Arc::new(Clock::by_hand(START));
        let deliverer = Deliverer {
            name: "pager".into(),
            sink: Arc::new(PlainSink(self.limits)),
            secrets: SecretSet::default(),
            transport: world.clone(),
            mailbox: mailbox.clone(),
            reader: world.clone(),
            clock: clock.clone(),
            work,
            metrics: Metrics::default(),
            paused: pausing,
            stop: stopped,
        };
        let store = world.clone();
        tokio::spawn(async move {
            let mut nth = 0;
            while let Some(work) = waiting.recv().await {
                let Work::Settle { settlements, done } = work else { panic!("a sink only settles") };
                nth += 1;
                let _ = done.send(store.commit(nth, settlements).await);
            }
        });
        Rig { world, mailbox, stop: Some(stop), paused, task: tokio::spawn(deliverer.run()), clock }
    }
}

impl Rig {
    /// What the committer does after a commit.
    fn post(&self, id: u32, number: u32, kind: NoticeKind) {
        let row = pending(id, number, kind, self.clock.now());
        self.world.rows.lock().unwrap().insert(row.delivery.id.0, row.clone());
        self.mailbox.post([row]);
    }

    /// Lets time pass until nothing is left pending.
    async fn all_settled(&self) {
        self.until(|world| world.rows.lock().unwrap().is_empty()).await;
    }

    async fn until(&self, is_so: impl Fn(&World) -> bool) {
        for _ in 0..2_000_000 {
            if is_so(&self.world) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never came to that: {:?}", self.world.rows.lock().unwrap().keys());
    }

    async fn stop(mut self) -> Arc<World> {
        self.stop.take().unwrap().send_replace(true);
        self.task.await.unwrap();
        self.world
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
