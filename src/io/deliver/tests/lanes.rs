//! Which notices a newer one makes unnecessary, and who goes first when not all can go.

use super::super::lanes::Lanes;
use super::*;
use crate::model::Severity;
use NoticeKind::{Changed, Event, Opened, Reminder, Resolved};

#[tokio::test(start_paused = true)]
async fn only_updates_that_nobody_has_tried_are_superseded_and_only_by_an_update_or_the_end() {
    for (kinds, left_over) in [
        (vec![Opened, Changed, Reminder, Changed], vec![0, 3]),
        (vec![Opened, Changed, Resolved], vec![0, 2]),
        (vec![Opened, Resolved], vec![0, 1]),
        (vec![Changed, Opened, Changed], vec![0, 1, 2]),
        (vec![Reminder, Resolved, Opened, Reminder, Reminder], vec![1, 2, 4]),
        (vec![Event, Event], vec![0, 1]),
        (vec![Changed], vec![0]),
    ] {
        let rig = Plan::new(|_, _| Reply::Answer(200)).left(kinds.iter().map(|kind| (1, *kind))).start();
        rig.all_settled().await;
        let expected: Vec<u32> = left_over.iter().map(|place| place + 1).collect();
        assert_eq!(rig.world.sent_ids(), expected, "{kinds:?}");
        let world = rig.stop().await;
        let ended = world.ended();
        assert_eq!(ended.len(), kinds.len(), "{kinds:?}: every one has ended");
        for (id, (outcome, _, _)) in ended {
            let is_sent = expected.contains(&id);
            assert_eq!(outcome == DeliveryOutcome::Superseded, !is_sent, "{kinds:?}: {id} is {outcome:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_tried_once_is_sent_again_before_the_end() {
    let rig = Plan::new(|id, attempt| Reply::Answer(if id == 1 && attempt == 1 { 500 } else { 200 }))
        .left([(1, Changed)])
        .start();
    rig.until(|world| !world.sent().is_empty()).await;
    rig.post(2, 1, Resolved);
    rig.all_settled().await;
    assert_eq!(rig.world.sent_ids(), [1, 1, 2], "somebody may have seen the first half");
}

#[test]
fn an_update_of_another_episode_is_never_superseded() {
    let mut lanes = Lanes::default();
    let mut later = pending(2, 1, Changed, START);
    let mut notice = (*later.notice).clone();
    let mut incident = (*notice.incident).clone();
    incident.episode = 2;
    notice.incident = Arc::new(incident);
    later.notice = Arc::new(notice);
    lanes.push(pending(1, 1, Changed, START), None);
    lanes.push(later, None);
    let (heads, skipped) = lanes.take(10, Instant::now());
    assert_eq!((heads.len(), skipped.len()), (1, 0));
    assert_eq!(heads[0].delivery.id, DeliveryId(1));
}

#[test]
fn pages_and_ends_go_before_what_can_wait() {
    let quiet = |id: u32, number: u32, kind| {
        let mut row = pending(id, number, kind, START);
        let mut notice = (*row.notice).clone();
        let mut incident = (*notice.incident).clone();
        incident.severity = Severity::Warning;
        notice.incident = Arc::new(incident);
        row.notice = Arc::new(notice);
        row
    };
    let mut lanes = Lanes::default();
    lanes.push(quiet(1, 1, Opened), None);
    lanes.push(quiet(2, 2, Changed), None);
    lanes.push(quiet(3, 3, Resolved), None);
    lanes.push(pending(4, 4, Opened, START), None);
    let order: Vec<i64> = (0..4).map(|_| lanes.take(1, Instant::now()).0[0].delivery.id.0).collect();
    assert_eq!(order, [3, 4, 1, 2]);
}

#[test]
fn a_lane_that_is_done_leaves_nothing_behind() {
    let mut lanes = Lanes::default();
    for id in 1..=500 {
        lanes.push(pending(id, id % 7, Opened, START), None);
    }
    let now = Instant::now();
    let mut settled_count = 0;
    loop {
        let (heads, skipped) = lanes.take(3, now);
        assert!(skipped.is_empty());
        if heads.is_empty() {
            break;
        }
        for head in heads {
            settled_count += 1;
            lanes.settled(head.delivery.id, Some(DeliveryOutcome::Delivered), now);
        }
    }
    assert_eq!((settled_count, lanes.len()), (500, 0));
    assert_eq!(format!("{lanes:?}"), format!("{:?}", Lanes::default()), "no key, no queue, nothing under way");
}

#[test]
fn what_was_to_wait_before_a_restart_waits_on_and_holds_up_its_lane_only() {
    let mut lanes = Lanes::default();
    let now = Instant::now();
    let later = now + Duration::from_secs(900);
    lanes.push(pending(1, 1, Opened, START), Some(later));
    lanes.push(pending(2, 1, Resolved, START), None);
    lanes.push(pending(3, 2, Opened, START), None);
    let ids = |lanes: &mut Lanes, at| lanes.take(10, at).0.iter().map(|head| head.delivery.id.0).collect::<Vec<_>>();
    assert_eq!(ids(&mut lanes, now), [3]);
    assert_eq!(lanes.next_ready_at(), Some(later));
    assert_eq!(ids(&mut lanes, later), [1], "and its lane keeps its order");
    lanes.settled(DeliveryId(1), Some(DeliveryOutcome::Delivered), later);
    assert_eq!(ids(&mut lanes, later), [2]);
}
