//! What a sink would show twice: sent again where nothing can have arrived, and once where something may have.

use super::*;
use NoticeKind::{Event, Opened};

/// How delivery 1 ended, and how often it was sent.
async fn end_of(
    kind: NoticeKind,
    says: impl Fn(u32) -> Reply + Send + Sync + 'static,
) -> (DeliveryOutcome, String, u32) {
    let rig = Plan::new(move |_, attempt| says(attempt)).left([(1, kind)]).start();
    rig.all_settled().await;
    let world = rig.stop().await;
    let (outcome, reason, attempts) = world.ended()[&1].clone();
    assert_eq!(world.sent().len(), attempts as usize);
    (outcome, reason, attempts)
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_it_is_sent_again_once_and_is_then_a_dead_letter_that_says_why() {
    for (reply, why) in [(Reply::Never, "timed out"), (Reply::Broken, "the connection broke")] {
        let reason = format!("given up after 2 attempts: may have been taken: {why}");
        assert_eq!(end_of(Event, move |_| reply).await, (DeliveryOutcome::Dead, reason, 2));
    }
    let second = |attempt| if attempt == 1 { Reply::Never } else { Reply::Answer(200) };
    assert_eq!(end_of(Event, second).await, (DeliveryOutcome::Delivered, String::new(), 2));
}

#[tokio::test(start_paused = true)]
async fn what_has_certainly_failed_is_sent_again_as_often_as_anything_else() {
    for reply in [Reply::Answer(503), Reply::RetryAfter(1), Reply::Refused] {
        let says = move |attempt| if attempt <= 9 { reply } else { Reply::Answer(200) };
        assert_eq!(end_of(Event, says).await, (DeliveryOutcome::Delivered, String::new(), 10), "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_between_two_doubts_make_no_third_attempt() {
    for between in [Reply::Answer(503), Reply::RetryAfter(1), Reply::Refused, Reply::Answer(401)] {
        let says = move |attempt| if [3, 6].contains(&attempt) { Reply::Never } else { between };
        let (outcome, reason, attempts) = end_of(Event, says).await;
        assert_eq!((outcome, attempts), (DeliveryOutcome::Dead, 6), "{between:?}");
        assert_eq!(reason, "given up after 6 attempts: may have been taken: timed out");
    }
    let says = |attempt| if attempt == 1 { Reply::Broken } else { Reply::Answer(400) };
    let (_, reason, _) = end_of(Event, says).await;
    assert_eq!(reason, "may have been taken before: bad field");
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_forget_that_it_may_have_been_taken() {
    let rig = Plan::new(|_, attempt| if attempt == 1 { Reply::Broken } else { Reply::Answer(503) }).left([(1, Event)]);
    let rig = rig.start();
    rig.until(|world| world.happened().iter().filter(|one| matches!(one, Happened::Committed { .. })).count() > 2)
        .await;
    let happened = rig.stop().await.happened();
    let stored = happened.iter().rev().find_map(|happened| match happened {
        Happened::Committed { outcome: None, reason, attempts, .. } => Some((reason.clone(), *attempts)),
        Happened::Committed { .. } | Happened::Sent { .. } | Happened::CommitFailed | Happened::Read { .. } => None,
    });
    let (reason, attempts) = stored.expect("it waits for its next attempt");
    assert_eq!(reason, "may have been taken before: server error");
    let mut next = Plan::new(|_, _| Reply::Never).left([(1, Event)]);
    (next.rows[0].delivery.reason, next.rows[0].delivery.attempts) = (reason, attempts);
    let next = next.start();
    next.all_settled().await;
    let world = next.stop().await;
    assert_eq!((world.sent().len(), world.ended()[&1].0), (1, DeliveryOutcome::Dead));
}

#[tokio::test(start_paused = true)]
async fn what_has_a_key_is_sent_until_somebody_answers() {
    let says = |attempt| if attempt <= 9 { Reply::Never } else { Reply::Answer(200) };
    assert_eq!(end_of(Opened, says).await, (DeliveryOutcome::Delivered, String::new(), 10));
}
