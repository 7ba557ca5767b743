//! Long random histories from printed seeds, against two laws: everything taken is settled once, and what is called
//! delivered was in a request that the receiver took.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::stand_in::Answer;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_receiver_answers_each_parcel_is_settled_once_and_truly() {
    for seed in 0..4_u64 {
        let is_grpc = seed % 2 == 1;
        let taken = Arc::<Mutex<BTreeSet<String>>>::default();
        let took = taken.clone();
        let stand_in = StandIn::new(move |number, seen| {
            let ok = if is_grpc { grpc(0) } else { http(200) };
            let chance = fastrand::Rng::with_seed(seed * 10_000 + number as u64).u8(..100);
            match chance {
                0..75 => {
                    took.lock().unwrap().extend(seen.spans());
                    // A few connections end behind their answer.
                    Answer { last: chance < 10, ..ok }
                }
                75..88 if is_grpc => grpc(14),
                75..88 => http(503),
                _ if is_grpc => grpc(3),
                _ => http(400),
            }
        })
        .await;
        let protocol = if is_grpc { "grpc" } else { "http" };
        let options = json!({"protocol": protocol, "in_flight": 3, "give_up_seconds": 1, "queue_bytes": 4000});
        let rig = rig(to(&stand_in), Patience::Retry, options);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut fates = Vec::new();
        for number in 0..150 {
            let name = format!("{seed}-{number}");
            let (told, fate) = oneshot::channel();
            if rig.outlet.offer(parcel(&rig.budget, &[&name]), Some(told)).is_ok() {
                fates.push((name, fate));
            }
            if random.u8(..4) == 0 {
                tokio::time::sleep(Duration::from_millis(random.u64(..8))).await;
            }
        }
        assert!(fates.len() > 30, "seed {seed}: hardly anything was taken");
        let mut delivered_count = 0;
        for (name, fate) in fates {
            match fate.await.expect("somebody tells") {
                Fate::Delivered => {
                    delivered_count += 1;
                    assert!(taken.lock().unwrap().contains(&name), "seed {seed}: {name} was never taken");
                }
                // Refused alone, or given up: a receiver that took it has not said so.
                Fate::Refused { .. } | Fate::NotNow { .. } | Fate::Partly { .. } => {}
            }
        }
        assert_eq!(rig.settled(OutletOutcome::Delivered), delivered_count, "seed {seed}");
        assert_eq!(taken.lock().unwrap().len() as u64, delivered_count, "seed {seed}: taken, and called so");
        assert_eq!(rig.end(GRACE).await, Left::default(), "seed {seed}");
    }
}
