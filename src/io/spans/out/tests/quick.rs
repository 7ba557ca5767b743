//! A sink that answers within a millisecond: what is small waits for its answer, and never for long.

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::queue::Bell;
use super::*;

/// Lanes that take loads and send none: an answer comes when a permit does.
struct Lanes {
    queue: Arc<Queue>,
    answers: Arc<Semaphore>,
    /// How many parcels each load held.
    loads: mpsc::UnboundedReceiver<usize>,
    tasks: JoinSet<()>,
    budget: Arc<Budget>,
}

const QUICK: Duration = Duration::from_micros(200);

impl Lanes {
    async fn start() -> Lanes {
        let serde_json::Value::Object(options) = json!({"compression": "none", "in_flight": 3}) else { panic!() };
        let settings = SinkSettings {
            name: "traces".to_owned(),
            endpoint: Some("http://localhost:1".to_owned()),
            options,
            secret_names: Vec::new(),
        };
        let sink = sink_kind("otlp").unwrap().telemetry(&settings).unwrap().unwrap();
        let queue = Queue::new(Arc::from("traces"), Arc::from(sink), Patience::Retry, Arc::default());
        let (told, loads) = mpsc::unbounded_channel();
        let (answers, mut tasks) = (Arc::new(Semaphore::new(0)), JoinSet::new());
        for _ in 0..3 {
            let (queue, answers, told) = (queue.clone(), answers.clone(), told.clone());
            tasks.spawn(async move {
                let bell = Bell::here();
                while let Some(load) = queue.take(&bell).await {
                    told.send(load.len()).unwrap();
                    answers.acquire().await.unwrap().forget();
                    for held in load {
                        queue.settle(held, Fate::Delivered, OutletOutcome::Delivered);
                    }
                    queue.free_lane();
                }
            });
        }
        let guarded = queue.clone();
        tasks.spawn(async move { guarded.guard().await });
        let lanes = Lanes { queue, answers, loads, tasks, budget: Budget::new(1 << 30) };
        lanes.rest().await;
        lanes
    }

    fn offer(&self, name: &str) {
        self.queue.offer(parcel(&self.budget, &[name]), None).unwrap();
    }

    /// Lets everybody run who can, and no time pass.
    async fn rest(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    async fn end(mut self) {
        self.answers.add_permits(100);
        self.queue.close();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        assert_eq!(self.budget.in_use(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_small_waits_for_the_answer_of_a_quick_sink_and_shares_the_next_request() {
    let mut lanes = Lanes::start().await;
    lanes.queue.note(Some(QUICK));
    for name in ["a", "b", "c", "d"] {
        lanes.offer(name);
        lanes.rest().await;
    }
    assert_eq!(lanes.loads.try_recv(), Ok(1), "the first goes as it came");
    assert!(lanes.loads.try_recv().is_err(), "the others wait, though two lanes are free");
    lanes.answers.add_permits(1);
    lanes.rest().await;
    assert_eq!(lanes.loads.try_recv(), Ok(3));
    lanes.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_long_behind_a_request_that_turns_out_to_be_slow() {
    let mut lanes = Lanes::start().await;
    lanes.queue.note(Some(QUICK));
    let start = Instant::now();
    lanes.offer("a");
    lanes.rest().await;
    lanes.offer("b");
    assert_eq!(lanes.loads.recv().await, Some(1));
    assert_eq!(lanes.loads.recv().await, Some(1), "b has a lane of its own");
    let waited = start.elapsed();
    assert!((Duration::from_millis(2)..=Duration::from_millis(5)).contains(&waited), "{waited:?}");
    // The sink is not called quick any more.
    lanes.offer("c");
    lanes.rest().await;
    assert_eq!(lanes.loads.try_recv(), Ok(1));
    lanes.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_large_and_what_goes_to_a_slow_or_broken_sink_has_a_lane_at_once() {
    let slow = [Some(Duration::from_millis(3)), None];
    for (usual, large) in [(Some(QUICK), true), (slow[0], false), (slow[1], false)] {
        let mut lanes = Lanes::start().await;
        lanes.queue.note(Some(QUICK));
        lanes.queue.note(None);
        lanes.queue.note(usual);
        lanes.offer("a");
        lanes.rest().await;
        lanes.offer(&"b".repeat(if large { 70_000 } else { 1 }));
        lanes.rest().await;
        assert_eq!((lanes.loads.try_recv(), lanes.loads.try_recv()), (Ok(1), Ok(1)), "{usual:?} {large}");
        lanes.end().await;
    }
}
