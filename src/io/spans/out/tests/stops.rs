//! The end of a sink: what is under way is finished in time, and the rest is counted to the last item.

use super::stand_in::Answer;
use super::*;

#[tokio::test]
async fn a_stop_sends_what_is_queued_retries_included() {
    let stand_in = StandIn::new(|number, _| if number < 2 { http(503) } else { http(200) }).await;
    let rig = rig(to(&stand_in), Patience::Retry, json!({"join_bytes": 1}));
    for _ in 0..20 {
        rig.offer(&["a", "b"]).unwrap();
    }
    let tally = rig.tally.clone();
    assert_eq!(rig.end(GRACE).await, Left::default());
    assert_eq!(tally.settled_count(OutletOutcome::Delivered), 40);
}

#[tokio::test]
async fn what_a_stop_leaves_is_counted_exactly_wherever_it_was() {
    let hanging = StandIn::new(|_, _| Answer { hang: true, ..http(200) }).await;
    let refusing = StandIn::new(|_, _| {
        let mut answer = http(503);
        answer.headers.push(("retry-after", "600".to_owned()));
        answer
    })
    .await;
    for stand_in in [hanging, refusing] {
        let rig =
            rig(to(&stand_in), Patience::Retry, json!({"in_flight": 2, "join_bytes": 1, "give_up_seconds": 3600}));
        for _ in 0..7 {
            rig.offer(&["a", "b", "c"]).unwrap();
        }
        stand_in.wait_for(1).await;
        let tally = rig.tally.clone();
        let left = rig.end(Duration::from_millis(200)).await;
        assert_eq!(left, Left { parcel_count: 7, item_count: 21 });
        assert_eq!(tally.settled_count(OutletOutcome::Stopped), 21);
    }
}

#[tokio::test]
async fn who_keeps_a_parcel_elsewhere_gets_it_back_at_a_stop() {
    let stand_in = StandIn::new(|_, _| Answer { hang: true, ..http(200) }).await;
    let rig = rig(to(&stand_in), Patience::Keep, json!({}));
    let (told, fate) = oneshot::channel();
    rig.outlet.offer(parcel(&rig.budget, &["a"]), Some(told)).unwrap();
    stand_in.wait_for(1).await;
    let (outlet, tally, budget) = (rig.outlet.clone(), rig.tally.clone(), rig.budget.clone());
    rig.end(Duration::from_millis(50)).await;
    assert!(matches!(fate.await, Ok(Fate::NotNow { .. })));
    assert_eq!(tally.settled_count(OutletOutcome::Returned), 1);
    assert_eq!(outlet.offer(parcel(&budget, &["b"]), None), Err(NoRoom), "a stopped sink takes nothing");
}
