//! Waits, pauses, deadlines and rates, as a sink on the other side would measure them.

use super::super::outcome::{Bucket, History, after};
use super::*;
use crate::sinks::Rate;
use NoticeKind::{Opened, Resolved};

#[test]
fn a_failed_attempt_waits_at_random_up_to_a_bound_that_doubles_to_a_minute() {
    let mut row = pending(1, 1, Opened, START);
    for attempts in 0..100 {
        row.delivery.attempts = attempts;
        let bound = Duration::from_secs(1 << attempts.min(20)).min(Duration::from_secs(60));
        let waits: Vec<Duration> = (0..300)
            .map(|_| {
                let done =
                    after(&row, Judgement::Transient { reason: "no".to_owned() }, &LIMITS, History::default(), START);
                assert_eq!((done.settlement.outcome, done.settlement.attempts), (None, attempts + 1));
                assert_eq!(done.pause, None, "one failure says nothing of the others");
                done.settlement.next_attempt_at.since(START)
            })
            .collect();
        assert!(waits.iter().all(|wait| *wait <= bound), "attempt {attempts}: {waits:?}");
        // 300 draws that all miss a half are less likely than a cosmic ray.
        assert!(waits.iter().any(|wait| *wait > bound / 2) && waits.iter().any(|wait| *wait < bound / 2));
    }
}

#[test]
fn no_number_of_attempts_and_no_answer_overflows() {
    let mut row = pending(1, 1, Opened, START);
    row.delivery.attempts = u32::MAX;
    let span = Duration::MAX;
    for judgement in [
        Judgement::Delivered,
        Judgement::DeliveredThenPause(span),
        Judgement::Throttled { retry_after: Some(span) },
        Judgement::Throttled { retry_after: None },
        Judgement::Transient { reason: "x".repeat(100_000) },
        Judgement::Blocked { reason: "é".repeat(100_000) },
        Judgement::Rejected { reason: String::new() },
    ] {
        let done = after(&row, judgement, &LIMITS, History::default(), START);
        assert!(done.settlement.reason.chars().count() <= 600);
        assert!(done.pause.unwrap_or_default() <= Duration::from_secs(3600), "nobody silences us for ever");
        assert_eq!(done.settlement.attempts, u32::MAX);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_names_a_time_is_left_alone_until_then_on_every_lane() {
    let says = |id, attempt| if id == 1 && attempt == 1 { Reply::RetryAfter(100) } else { Reply::Answer(200) };
    let rig = Plan::new(says).left([(1, Opened)]).start();
    rig.until(|world| world.sent().len() == 1).await;
    pass(1).await;
    assert!(*rig.paused.borrow(), "the gauge says so");
    rig.post(2, 2, Opened);
    rig.all_settled().await;
    let sent = rig.world.sent();
    for (id, _, when) in &sent[1..] {
        assert!(*when - sent[0].2 >= Duration::from_secs(100), "{id} went after {:?}", *when - sent[0].2);
    }
    assert_eq!(sent.len(), 3);
    assert!(!*rig.paused.borrow());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_delivers_and_asks_for_silence_gets_both() {
    let rig =
        Plan::new(|id, _| Reply::Answer(if id == 1 { 299 } else { 200 })).left([(1, Opened), (1, Resolved)]).start();
    rig.all_settled().await;
    let sent = rig.world.sent();
    assert_eq!(sent.len(), 2);
    assert!(sent[1].2 - sent[0].2 >= Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_credential_is_tried_every_five_minutes_until_somebody_mends_it() {
    let rig = Plan::new(|_, attempt| Reply::Answer(if attempt <= 3 { 401 } else { 200 })).left([(1, Opened)]).start();
    rig.all_settled().await;
    let sent = rig.world.sent();
    assert_eq!(sent.len(), 4);
    for pair in sent.windows(2) {
        let wait = pair[1].2 - pair[0].2;
        assert!((300..302).contains(&wait.as_secs()), "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_notice_is_a_dead_letter_with_the_reason_and_the_lane_goes_on() {
    let rig =
        Plan::new(|id, _| Reply::Answer(if id == 1 { 400 } else { 200 })).left([(1, Opened), (1, Resolved)]).start();
    rig.all_settled().await;
    let ended = rig.world.ended();
    assert_eq!(ended[&1], (DeliveryOutcome::Dead, "bad field".to_owned(), 1));
    assert_eq!(ended[&2].0, DeliveryOutcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn what_fails_until_its_deadline_is_a_dead_letter_that_tells_how_often_and_why() {
    let mut plan = Plan::new(|id, _| if id == 1 { Reply::Answer(503) } else { Reply::Answer(200) });
    plan.limits.deadline = Duration::from_secs(600);
    let rig = plan.left([(1, Opened), (1, Resolved)]).start();
    rig.all_settled().await;
    let world = rig.stop().await;
    let (outcome, reason, attempts) = world.ended()[&1].clone();
    assert_eq!(outcome, DeliveryOutcome::Dead);
    assert_eq!(reason, format!("given up after {attempts} attempts: server error"));
    let sent = world.sent();
    let last = sent.iter().filter(|(id, _, _)| *id == 1).map(|(_, _, when)| *when).max().unwrap();
    let tried_for = last - sent[0].2;
    assert!((500..=600).contains(&tried_for.as_secs()), "given up after {tried_for:?}");
    assert_eq!(world.ended()[&2].0, DeliveryOutcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_for_ever_delays_no_other() {
    let hanging = Plan::new(|_, _| Reply::Slow(Duration::from_secs(1 << 40), 200)).left([(1, Opened)]).start();
    hanging.until(|world| world.sent().len() == 1).await;
    let well = Plan::new(|_, _| Reply::Answer(200)).left([(1, Opened), (1, Resolved)]).start();
    let before = Instant::now();
    well.all_settled().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert!(hanging.world.ended().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_lane_that_hangs_delays_no_other_lane_while_there_is_room() {
    let rig = Plan::new(|id, _| if id == 1 { Reply::Never } else { Reply::Answer(200) })
        .left((1..=50).map(|number| (number, Opened)))
        .start();
    rig.until(|world| world.ended().len() == 49).await;
    assert_eq!(rig.world.attempts.lock().unwrap()[&1], 1, "all others went in the time of one request");
}

#[tokio::test(start_paused = true)]
async fn no_minute_sees_more_requests_than_rate_and_burst_and_the_rate_is_used() {
    for seed in 1..=5_u64 {
        println!("seed {seed}");
        let mut plan = Plan::new(move |id, attempt| {
            let mut dice = fastrand::Rng::with_seed(seed ^ u64::from(id) << 8 ^ u64::from(attempt));
            let status = if dice.u32(0..5) == 0 { 500 } else { 200 };
            Reply::Slow(Duration::from_millis(dice.u64(0..3000)), status)
        });
        plan.limits.rate = Some(Rate { per_minute: 120, burst: 20 });
        plan.limits.in_flight_max = 50;
        let rig = plan.left((1..=600).map(|number| (number, Opened))).start();
        rig.all_settled().await;
        let times: Vec<Instant> = rig.world.sent().into_iter().map(|(_, _, when)| when).collect();
        for (first, when) in times.iter().enumerate() {
            let count = times[first..].iter().take_while(|other| **other - *when <= Duration::from_secs(60)).count();
            assert!(count <= 141, "seed {seed}: {count} requests in a minute");
        }
        let took = times[times.len() - 1] - times[0];
        let fair = Duration::from_secs_f64((times.len() - 20) as f64 / 2.0);
        assert!(took < fair + Duration::from_secs(30), "seed {seed}: {took:?} for {} requests", times.len());
        rig.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_says_when_it_will_allow_and_then_does() {
    for per_minute in [1, 7, 59, 120, 1700, 100_000] {
        let mut bucket = Bucket::new(Some(Rate { per_minute, burst: 2 }));
        for _ in 0..200 {
            let now = Instant::now();
            if bucket.allows(now) {
                bucket.spend(now);
                continue;
            }
            let next = bucket.next_at().expect("an empty bucket fills");
            tokio::time::sleep_until(next).await;
            let spins = (0..3).take_while(|_| !bucket.allows(Instant::now())).count();
            assert_eq!(spins, 0, "{per_minute}: the moment it named was too early, which is a busy wait");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_asked_for_before_a_restart_holds_after_it_but_no_clock_makes_it_longer_than_an_hour() {
    for (asked, waited) in [(0, 0), (900, 900), (10 * 365 * 86_400, 3600)] {
        let rig = Plan::new(|_, _| Reply::Answer(200)).left([(1, Opened)]).start();
        let begun = Instant::now();
        rig.world.rows.lock().unwrap().get_mut(&1).unwrap().delivery.next_attempt_at =
            START.plus(Duration::from_secs(asked));
        rig.all_settled().await;
        assert_eq!(rig.world.sent()[0].2.duration_since(begun).as_secs(), waited, "asked for {asked} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_names_no_time_is_left_alone_for_longer_each_time_whichever_lane_asks() {
    // Each lane is refused once, so that no single delivery counts what the credential has suffered.
    let rig = Plan::new(|id, attempt| if attempt == 1 && id <= 6 { Reply::Answer(429) } else { Reply::Answer(200) });
    let mut rig = rig;
    rig.limits.in_flight_max = 1;
    let rig = rig.left((1..=6).map(|number| (number, Opened))).start();
    rig.all_settled().await;
    let times: Vec<Instant> = rig.world.sent().into_iter().map(|(_, _, when)| when).collect();
    let waits: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).filter(|wait| *wait > 0).collect();
    assert_eq!(waits, [30, 60, 120, 240, 300, 300]);
    rig.post(7, 7, Opened);
    rig.all_settled().await;
}

#[test]
fn however_small_a_span_a_sink_names_it_is_not_asked_again_within_a_second() {
    let row = pending(1, 1, Opened, START);
    for (asked, waited_ms) in [(0, 1000), (1, 1000), (999, 1000), (1500, 1500)] {
        let judgement = Judgement::Throttled { retry_after: Some(Duration::from_millis(asked)) };
        let done = after(&row, judgement, &LIMITS, History::default(), START);
        assert_eq!(done.pause, Some(Duration::from_millis(waited_ms)), "asked for {asked} ms");
        assert_eq!(done.settlement.next_attempt_at.since(START), Duration::from_millis(waited_ms));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_before_a_start_delays_no_page() {
    let rig = Plan::new(|_, _| Reply::Answer(200)).left([(1, Opened)]).start();
    let begun = Instant::now();
    rig.clock.move_by_ms(-7_200_000);
    rig.world.rows.lock().unwrap().get_mut(&1).unwrap().delivery.next_attempt_at = START.plus(Duration::from_secs(40));
    rig.all_settled().await;
    assert_eq!(rig.world.sent()[0].2.duration_since(begun).as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_forward_makes_no_dead_letters() {
    let rig = Plan::new(|_, attempt| if attempt <= 5 { Reply::Answer(503) } else { Reply::Answer(200) });
    let rig = rig.left([(1, Opened)]).start();
    rig.until(|world| !world.sent().is_empty()).await;
    rig.clock.move_by_ms(365 * 86_400_000);
    rig.all_settled().await;
    assert_eq!(rig.world.ended()[&1].0, DeliveryOutcome::Delivered);
}
