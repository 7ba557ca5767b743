//! Long random histories against the laws of delivery, and what a stop and a failing store may do to them.

use super::*;
use NoticeKind::{Changed, Opened, Reminder, Resolved};

/// Per lane: in order, one at a time, the next only after the end of the one before is committed.
fn check_lanes(world: &World, seed: u64) {
    let mut under_way: HashMap<u32, u32> = HashMap::new();
    let mut highest: HashMap<u32, u32> = HashMap::new();
    let mut lane_of: HashMap<u32, u32> = HashMap::new();
    for happened in world.happened() {
        match happened {
            Happened::Sent { id, number, .. } => {
                lane_of.insert(id, number);
                let before = under_way.insert(number, id);
                assert_eq!(
                    before, None,
                    "seed {seed}: {id} was sent while {before:?} of lane {number} was not committed"
                );
                let top = highest.entry(number).or_insert(0);
                assert!(id >= *top, "seed {seed}: {id} was sent after {top} in lane {number}");
                *top = id;
            }
            Happened::Committed { id, .. } => {
                if let Some(number) = lane_of.get(&id) {
                    under_way.remove(number);
                }
            }
            Happened::CommitFailed | Happened::Read { .. } => {}
        }
    }
}

/// Anything the network can do, from a seed.
fn moody(seed: u64) -> impl Fn(u32, u32) -> Reply + Send + Sync {
    move |id, attempt| {
        let mut dice = fastrand::Rng::with_seed(seed ^ u64::from(id) << 20 ^ u64::from(attempt));
        match dice.u32(0..20) {
            0..9 => Reply::Answer(200),
            9..12 => Reply::Answer(503),
            12 => Reply::Broken,
            13 => Reply::Never,
            14 => Reply::RetryAfter(dice.u64(0..90)),
            15 => Reply::Answer(400),
            16 => Reply::Answer(299),
            17 => Reply::Answer(429),
            18 => Reply::Slow(Duration::from_millis(dice.u64(0..9000)), 200),
            _ => Reply::Slow(Duration::from_millis(dice.u64(0..9000)), 500),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_network_and_store_do_each_lane_is_told_in_order_and_each_delivery_ends_once() {
    for seed in 1..=25_u64 {
        println!("seed {seed}");
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut plan = Plan::new(moody(seed));
        plan.limits.batch_count_max = dice.usize(1..4);
        plan.limits.in_flight_max = dice.usize(1..6);
        plan.commit_takes = Duration::from_millis(dice.u64(0..50));
        let mut commits = fastrand::Rng::with_seed(seed + 1000);
        plan.commit_fails = Box::new(move |_| commits.u32(0..6) == 0);
        let mut reads = fastrand::Rng::with_seed(seed + 2000);
        plan.read_fails = Box::new(move |_| reads.u32(0..3) == 0);
        let mut kind = || [Opened, Changed, Reminder, Resolved][dice.usize(0..4)];
        let left: Vec<_> = (0..40).map(|at| (at % 7, kind())).collect();
        let rig = plan.left(left).start();
        for id in 41..=160 {
            rig.post(id, id % 11, kind());
            tokio::time::sleep(Duration::from_millis(u64::from(id % 5) * 100)).await;
        }
        rig.all_settled().await;
        let world = rig.stop().await;
        check_lanes(&world, seed);
        let ended = world.ended();
        assert_eq!(ended.len(), 160, "seed {seed}");
        for (id, (outcome, _, _)) in ended {
            let is_sent = world.attempts.lock().unwrap().contains_key(&id);
            assert_eq!(is_sent, outcome != DeliveryOutcome::Superseded, "seed {seed}: {id} {outcome:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_memory_holds_are_all_delivered_in_order_and_never_held_at_once() {
    let count = 7000_u32;
    let mut plan = Plan::new(|_, _| Reply::Slow(Duration::from_millis(5), 200));
    plan.limits.in_flight_max = 20;
    let rig = plan.left((1..=3000).map(|at| (at % 13, Opened))).start();
    for id in 3001..=count {
        rig.post(id, id % 13, Opened);
        if id % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    rig.all_settled().await;
    let world = rig.stop().await;
    check_lanes(&world, 0);
    assert_eq!(world.sent().len(), count as usize, "each was sent once");
    let (mut settled, mut reads) = (0, 0);
    for happened in world.happened() {
        match happened {
            Happened::Committed { .. } => settled += 1,
            Happened::Read { after } => {
                reads += 1;
                let held = after - settled;
                assert!(held < i64::try_from(PENDING_COUNT_MAX).unwrap(), "{held} were held when more was read");
            }
            Happened::Sent { .. } | Happened::CommitFailed => {}
        }
    }
    assert!(reads < 100, "{reads} reads for {count} deliveries");
}

#[tokio::test(start_paused = true)]
async fn a_stop_settles_what_was_in_flight_and_leaves_the_rest_in_the_store() {
    let mut plan = Plan::new(|_, _| Reply::Slow(Duration::from_secs(5), 200));
    plan.limits.in_flight_max = 2;
    let rig = plan.left([(1, Opened), (2, Opened), (3, Opened), (1, Resolved)]).start();
    rig.until(|world| world.sent().len() == 2).await;
    let world = rig.stop().await;
    assert_eq!(world.sent_ids(), [1, 2]);
    assert_eq!(world.ended().keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.rows.lock().unwrap().keys().copied().collect::<Vec<_>>(), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_could_not_be_committed_is_committed_later_and_its_lane_waits_without_asking_again() {
    let mut plan = Plan::new(|_, _| Reply::Answer(200));
    plan.commit_fails = Box::new(|nth| nth <= 5);
    let rig = plan.left([(1, Opened), (1, Resolved)]).start();
    rig.until(|world| matches!(world.happened().last(), Some(Happened::CommitFailed))).await;
    pass(2).await;
    assert_eq!(rig.world.sent_ids(), [1], "the page stands in no store yet");
    rig.all_settled().await;
    assert_eq!(rig.world.sent_ids(), [1, 2], "the page was not sent twice");
    let world = rig.stop().await;
    check_lanes(&world, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_commits_what_failed_to_commit_before() {
    let mut plan = Plan::new(|_, _| Reply::Answer(200));
    plan.commit_fails = Box::new(|nth| nth <= 3);
    let rig = plan.left([(1, Opened)]).start();
    rig.until(|world| matches!(world.happened().last(), Some(Happened::CommitFailed))).await;
    assert_eq!(rig.stop().await.ended().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_does_not_hold_up_what_is_in_memory() {
    let mut plan = Plan::new(|_, _| Reply::Answer(200));
    // The first page comes, the second never does.
    plan.read_fails = Box::new(|nth| nth > 1);
    let rig = plan.left((1..=600).map(|at| (at, Opened))).start();
    rig.until(|world| world.ended().len() == 500).await;
    pass(60).await;
    let reads = rig.world.happened().iter().filter(|happened| matches!(happened, Happened::Read { .. })).count();
    assert!(reads < 200, "a failing store was asked {reads} times");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_can_be_read_again_is_read_to_the_end() {
    let mut plan = Plan::new(|_, _| Reply::Answer(200));
    plan.read_fails = Box::new(|nth| (2..9).contains(&nth));
    let rig = plan.left((1..=600).map(|at| (at, Opened))).start();
    rig.all_settled().await;
    assert_eq!(rig.world.sent().len(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_sink_whose_owner_is_gone_stops() {
    let mut rig = Plan::new(|_, _| Reply::Answer(200)).start();
    pass(1).await;
    drop(rig.stop.take());
    rig.task.await.unwrap();
}
