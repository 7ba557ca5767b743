//! What becomes of exceptions on their way, with time turned by hand and a network that does what a test says. The law:
//! each exception that was offered ends in exactly one outcome.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::io::secrets::{LiveSecret, SecretRef};
use crate::io::transport::{NoAnswer, Received};
use crate::model::exception::{ErrorId, Exception, Language, Level, Origin};
use crate::model::id::IdHasher;
use crate::sinks::{HttpRequest, SinkSettings, sink_kind};
use crate::store::Later;
use crate::store::testkit::START;

/// What the network does with the n-th request, from 0.
type Says = dyn Fn(usize) -> Reply + Send + Sync;

enum Reply {
    Answer(u16),
    Limits(u16, &'static str),
    RetryAfter(u16, &'static str),
    Broken,
    Never,
}

struct Network {
    says: Box<Says>,
    count: AtomicUsize,
    bodies: Mutex<Vec<(Instant, String)>>,
}

impl Transport for Network {
    fn post(&self, request: HttpRequest, _timeout: Duration) -> Later<'_, Result<Received, NoAnswer>> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.bodies.lock().unwrap().push((Instant::now(), String::from_utf8(request.body).unwrap()));
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match (self.says)(number) {
                Reply::Answer(status) => Ok(Received { status, ..Received::default() }),
                Reply::Limits(status, limits) => {
                    Ok(Received { status, rate_limits: Some(limits.to_owned()), ..Received::default() })
                }
                Reply::RetryAfter(status, wait) => {
                    Ok(Received { status, retry_after: Some(wait.to_owned()), ..Received::default() })
                }
                Reply::Broken => Err(NoAnswer { reason: "broken".to_owned(), is_doubtful: true }),
                Reply::Never => std::future::pending().await,
            }
        })
    }
}

/// A Sentry sink with its outlet and worker under way.
struct World {
    network: Arc<Network>,
    outlet: Arc<ErrorOutlet>,
    metrics: Metrics,
    stop: watch::Sender<bool>,
    worker: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(says: impl Fn(usize) -> Reply + Send + Sync + 'static) -> World {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dsn");
        std::fs::write(&path, "https://0123456789abcdef@o1.ingest.us.sentry.io/7").unwrap();
        let secret = LiveSecret::open(SecretRef::File(path)).unwrap();
        let settings = SinkSettings {
            name: "errors".to_owned(),
            endpoint: None,
            options: serde_json::Map::new(),
            secret_names: vec!["dsn".to_owned()],
        };
        let network = Arc::new(Network { says: Box::new(says), count: AtomicUsize::new(0), bodies: Mutex::default() });
        let (stop, stopped) = watch::channel(false);
        let metrics = Metrics::default();
        let (outlet, worker) = outlet(Parts {
            name: "errors".into(),
            sink: Arc::from(sink_kind("sentry").unwrap().build(settings).unwrap()),
            secrets: SecretSet(BTreeMap::from([("dsn".to_owned(), secret)])),
            transport: network.clone(),
            clock: Arc::new(Clock::by_hand(START)),
            metrics: metrics.clone(),
            stop: stopped,
            grace: Duration::from_secs(5),
        });
        World { network, outlet, metrics, stop, worker: tokio::spawn(worker.run()), _folder: folder }
    }

    fn sent_count(&self) -> usize {
        self.network.count.load(Ordering::Relaxed)
    }

    /// The counted outcomes.
    fn outcomes(&self) -> BTreeMap<String, u64> {
        let text = self.metrics.render(&[]);
        let lines = text.lines().filter(|line| line.starts_with("tawny_exceptions_total{"));
        lines
            .map(|line| {
                let outcome = line.split("outcome=\"").nth(1).unwrap().split('"').next().unwrap();
                (outcome.to_owned(), line.rsplit(' ').next().unwrap().parse().unwrap())
            })
            .collect()
    }
}

fn event(number: u32) -> ErrorEvent {
    let mut hasher = IdHasher::new("test");
    hasher.part(&number.to_string());
    ErrorEvent {
        id: ErrorId::of_hash(hasher.finish()),
        origin: Origin::SpanEvent,
        level: Level::Error,
        handled: false,
        language: Language::Other,
        at_us: START.as_ms() * 1000,
        exceptions: vec![Exception { kind: "E".to_owned(), ..Exception::default() }],
        stack_text: None,
        trace: None,
        transaction: None,
        attributes: Vec::new(),
        breadcrumbs: Vec::new(),
        resource: Arc::default(),
    }
}

fn events(numbers: std::ops::Range<u32>) -> Vec<ErrorEvent> {
    numbers.map(event).collect()
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(outcome, count)| ((*outcome).to_owned(), *count)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_exception_is_sent_once_and_a_repeat_is_known_for_minutes() {
    let world = World::new(|_| Reply::Answer(200));
    world.outlet.offer(events(0..20));
    world.outlet.offer(events(10..30));
    seconds(290).await;
    world.outlet.offer(events(0..1));
    seconds(400).await;
    assert_eq!((world.outcomes(), world.sent_count()), (counts(&[("repeated", 11), ("sent", 30)]), 30));
    seconds(400).await;
    world.outlet.offer(events(0..1));
    seconds(1).await;
    assert_eq!(world.sent_count(), 31, "the window is over");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_and_counts_and_tells_the_sink_of_it() {
    let world = World::new(|_| Reply::Answer(200));
    assert!(world.outlet.wants());
    world.outlet.offer(events(0..1500));
    assert!(!world.outlet.wants(), "full");
    world.outlet.omitted(7);
    seconds(60).await;
    assert_eq!(world.outcomes(), counts(&[("overflow", 507), ("sent", 1000)]));
    let bodies = world.network.bodies.lock().unwrap().clone();
    let reports: Vec<&String> =
        bodies.iter().map(|(_, body)| body).filter(|body| body.contains("client_report")).collect();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains(r#"{"reason":"queue_overflow","category":"error","quantity":507}"#), "{}", reports[0]);
    // What was dropped is not known, so that a resend has another chance.
    world.outlet.offer(events(1400..1500));
    seconds(60).await;
    assert_eq!(world.sent_count(), 1100);
}

#[tokio::test(start_paused = true)]
async fn large_exceptions_fill_the_queue_by_their_bytes() {
    let world = World::new(|_| Reply::Never);
    let large = |number| ErrorEvent { stack_text: Some("x".repeat(64 * 1024)), ..event(number) };
    world.outlet.offer((0..300).map(large).collect());
    assert!((100..128).contains(&world.outlet.waiting_count()), "{}", world.outlet.waiting_count());
}

#[tokio::test(start_paused = true)]
async fn limits_are_honoured_on_a_success_too_and_only_ours() {
    let world = World::new(|number| match number {
        0 => Reply::Limits(200, "60:transaction:key"),
        1 => Reply::Limits(200, "90.5:error:key"),
        _ => Reply::Answer(200),
    });
    world.outlet.offer(events(0..1));
    seconds(1).await;
    assert!(!world.outlet.is_paused());
    world.outlet.offer(events(1..2));
    seconds(1).await;
    assert!(world.outlet.is_paused() && !world.outlet.wants());
    world.outlet.offer(events(2..9));
    world.outlet.omitted(3);
    seconds(80).await;
    assert_eq!(world.outcomes(), counts(&[("sent", 2), ("throttled", 10)]));
    seconds(12).await;
    world.outlet.offer(events(2..12));
    seconds(1).await;
    assert_eq!(world.outcomes(), counts(&[("sent", 12), ("throttled", 10)]));
    let bodies = world.network.bodies.lock().unwrap().clone();
    assert!(bodies[2].1.contains(r#""reason":"ratelimit_backoff","category":"error","quantity":10"#));
}

#[tokio::test(start_paused = true)]
async fn a_429_is_not_sent_again_and_not_reported() {
    let world = World::new(|number| if number == 0 { Reply::RetryAfter(429, "30") } else { Reply::Answer(200) });
    world.outlet.offer(events(0..1));
    seconds(31).await;
    world.outlet.offer(events(1..2));
    seconds(1).await;
    assert_eq!((world.outcomes(), world.sent_count()), (counts(&[("sent", 1), ("throttled", 1)]), 2));
    assert!(world.network.bodies.lock().unwrap().iter().all(|(_, body)| !body.contains("client_report")));
}

#[tokio::test(start_paused = true)]
async fn a_429_for_the_quota_of_others_stops_nothing() {
    let world =
        World::new(|number| if number == 0 { Reply::Limits(429, "60:transaction:key") } else { Reply::Answer(200) });
    world.outlet.offer(events(0..1));
    seconds(1).await;
    world.outlet.offer(events(1..3));
    seconds(1).await;
    assert_eq!((world.outcomes(), world.sent_count()), (counts(&[("sent", 2), ("throttled", 1)]), 3));
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_twice_more_with_the_same_id() {
    let world = World::new(|number| match number {
        0 => Reply::Answer(500),
        1 => Reply::Broken,
        _ => Reply::Answer(200),
    });
    world.outlet.offer(events(0..1));
    seconds(10).await;
    assert_eq!((world.outcomes(), world.sent_count()), (counts(&[("sent", 1)]), 3));
    let bodies = world.network.bodies.lock().unwrap().clone();
    let id = event(0).id.to_string();
    assert!(bodies.iter().all(|(_, body)| body.contains(&id)));
    let hopeless = World::new(|_| Reply::Answer(502));
    hopeless.outlet.offer(events(0..5));
    seconds(20).await;
    assert_eq!((hopeless.outcomes(), hopeless.sent_count()), (counts(&[("failed", 5)]), 15));
    let busy = World::new(|number| if number == 0 { Reply::RetryAfter(503, "20") } else { Reply::Answer(200) });
    busy.outlet.offer(events(0..1));
    seconds(19).await;
    assert_eq!(busy.sent_count(), 1, "a busy server says when");
    seconds(3).await;
    assert_eq!(busy.outcomes(), counts(&[("sent", 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_exception_harms_no_other_and_a_wrong_key_is_asked_about_once_a_minute() {
    let world = World::new(|number| if number == 0 { Reply::Answer(413) } else { Reply::Answer(200) });
    world.outlet.offer(events(0..3));
    seconds(1).await;
    assert_eq!(world.outcomes(), counts(&[("refused", 1), ("sent", 2)]));
    let blocked = World::new(|_| Reply::Answer(403));
    for number in 0..130 {
        blocked.outlet.offer(events(number..number + 1));
        seconds(1).await;
    }
    assert_eq!(blocked.outcomes(), counts(&[("refused", 130)]));
    assert!((2..=3).contains(&blocked.sent_count()), "{}", blocked.sent_count());
}

#[tokio::test(start_paused = true)]
async fn a_stop_drains_within_its_grace_and_counts_what_it_leaves() {
    let world = World::new(|_| Reply::Answer(200));
    world.outlet.offer(events(0..100));
    world.stop.send_replace(true);
    seconds(2).await;
    assert!(world.worker.is_finished());
    assert_eq!(world.outcomes(), counts(&[("sent", 100)]));
    world.outlet.offer(events(100..101));
    assert_eq!(world.outcomes(), counts(&[("sent", 100), ("stopped", 1)]), "the door is closed");

    let stuck = World::new(|number| if number < 2 { Reply::Answer(200) } else { Reply::Never });
    stuck.outlet.offer(events(0..100));
    seconds(1).await;
    stuck.stop.send_replace(true);
    seconds(4).await;
    assert!(!stuck.worker.is_finished());
    seconds(2).await;
    assert!(stuck.worker.is_finished());
    assert_eq!(stuck.outcomes(), counts(&[("sent", 2), ("stopped", 98)]));
}

#[tokio::test(start_paused = true)]
async fn under_any_answers_each_exception_ends_once() {
    for seed in 0..20_u64 {
        let world = World::new(move |number| {
            let mut random = fastrand::Rng::with_seed(seed * 10_007 + number as u64);
            match random.u32(0..9) {
                0 => Reply::Broken,
                1 => Reply::Answer(500),
                2 => Reply::Answer(400),
                3 => Reply::Answer(403),
                4 => Reply::Limits(429, "3:error:key"),
                5 => Reply::Limits(200, "2::key"),
                _ => Reply::Answer(200),
            }
        });
        let mut random = fastrand::Rng::with_seed(seed);
        let mut offered = 0;
        for _ in 0..100 {
            let count = random.u32(0..40);
            let start = random.u32(0..2000);
            world.outlet.offer(events(start..start + count));
            offered += u64::from(count);
            tokio::time::sleep(Duration::from_millis(random.u64(0..4000))).await;
        }
        world.stop.send_replace(true);
        seconds(10).await;
        assert!(world.worker.is_finished(), "seed {seed}");
        assert_eq!(world.outcomes().values().sum::<u64>(), offered, "seed {seed}: {:?}", world.outcomes());
    }
}
