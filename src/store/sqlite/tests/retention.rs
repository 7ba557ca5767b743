//! What is deleted when, and above all what never is.

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[tokio::test]
async fn age_takes_what_is_over_and_leaves_what_is_pending_open_or_young() {
    let mut home = Home::new().await;
    let late = START.plus(KEEP_ALL.age).plus(DAY);
    // 1 delivered, 2 superseded, 3 dead and old, 4 pending; 5 dead of today.
    for number in 1..=5 {
        home.write(told(number, 1, START, &["pager"])).await.unwrap();
    }
    home.write(settled(1, Some(DeliveryOutcome::Delivered), START)).await.unwrap();
    home.write(settled(2, Some(DeliveryOutcome::Superseded), START)).await.unwrap();
    home.write(settled(3, Some(DeliveryOutcome::Dead), START)).await.unwrap();
    home.write(settled(5, Some(DeliveryOutcome::Dead), late)).await.unwrap();
    home.write(incidents([open_incident(1, at(60)), closed_incident(2, START)], START)).await.unwrap();
    home.write(incidents([closed_incident(3, late)], late)).await.unwrap();
    let mut journal = Changes { now: START, ..Changes::default() };
    journal.records = vec![record(START, 10), record(late, 10)];
    journal.rejects = vec![reject(START), reject(late)];
    home.write(journal).await.unwrap();
    home.write(members(vec![firing_member(1, 1, at(60)), ended_member(2, 2, START)], START)).await.unwrap();

    home.sweep(&KEEP_ALL, late).await;

    assert_eq!(home.pending_ids("pager").await, [4]);
    let left = home.reader.deliveries(DeliveryFilter::Recent { count_max: 10 }).await.unwrap();
    assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [5, 4]);
    assert_eq!(home.count("select count(*) from notices").await, 2);
    let left = home.reader.incidents(IncidentFilter::Recent { count_max: 10 }).await.unwrap();
    assert_eq!(left.iter().map(|incident| incident.key).collect::<Vec<_>>(), [key(3), key(1)]);
    assert_eq!(home.count("select count(*) from records").await, 1);
    assert_eq!(home.count("select count(*) from rejects").await, 1);
    assert_eq!(home.count("select count(*) from members").await, 1);
}

#[tokio::test]
async fn ended_members_go_after_a_day_and_firing_ones_never() {
    let mut home = Home::new().await;
    home.write(members(vec![ended_member(1, 1, START), firing_member(2, 1, at(60))], START)).await.unwrap();
    home.sweep(&KEEP_ALL, START.plus(DAY)).await;
    assert_eq!(home.count("select count(*) from members").await, 2);
    home.sweep(&KEEP_ALL, START.plus(DAY).plus(Duration::from_millis(1))).await;
    assert_eq!(home.count("select count(*) from members").await, 1);
    home.sweep(&KEEP_ALL, START.plus(YEAR)).await;
    assert_eq!(home.count("select count(*) from members where expires_at is not null").await, 1);
}

#[tokio::test]
async fn over_its_bytes_the_store_gives_up_the_journal_and_nothing_else() {
    let mut home = Home::new().await;
    for number in 1..=30 {
        let mut changes = told(number, 1, START, &["pager"]);
        changes.incidents = vec![Arc::new(open_incident(number, at(60)))];
        changes.members = vec![Box::new(ended_member(number, number, START))];
        changes.records = vec![record(START, 100_000)];
        changes.rejects = vec![reject(START)];
        home.write(changes).await.unwrap();
    }
    home.write(settled(1, Some(DeliveryOutcome::Dead), START)).await.unwrap();
    let before = home.reader.counts().await.unwrap();
    assert!(before.bytes > 3_000_000);
    let tight = Retention { bytes_max: 1, ..KEEP_ALL };
    home.sweep(&tight, START).await;
    let after = home.reader.counts().await.unwrap();
    assert!(after.bytes < 1_000_000, "{after:?}");
    assert_eq!(crate::store::Counts { bytes: 0, ..after }, crate::store::Counts { bytes: 0, ..before });
    assert_eq!(home.count("select count(*) from members").await, 30);
    assert_eq!(home.count("select count(*) from records").await, 0);
}

#[tokio::test]
async fn many_that_must_stay_do_not_keep_those_behind_them() {
    let mut home = Home::new().await;
    // The sink of the first 700 has left the settings; its deliveries wait for it to come back.
    for number in 0..700 {
        home.write(told(number, 1, START, &["gone"])).await.unwrap();
    }
    for number in 0..100 {
        let given = home.write(told(number, 1, at(1), &["pager"])).await.unwrap();
        let id = given[0].delivery.id.0;
        home.write(settled(id, Some(DeliveryOutcome::Delivered), at(2))).await.unwrap();
    }
    home.sweep(&KEEP_ALL, START.plus(YEAR)).await;
    assert_eq!(home.pending_ids("gone").await.len(), 700);
    assert_eq!(home.count("select count(*) from deliveries").await, 700);
    assert_eq!(home.count("select count(*) from notices").await, 700);
}

#[tokio::test]
async fn an_incident_outlives_the_notice_that_holds_its_state() {
    let mut home = Home::new().await;
    for number in 1..=3 {
        let mut changes = told(number, 1, START, &["pager"]);
        changes.incidents = vec![changes.notices[0].0.incident.clone()];
        home.write(changes).await.unwrap();
    }
    assert_eq!(home.count("select count(*) from incidents where length(state) = 0").await, 3);
    let before = home.reader.incidents(IncidentFilter::Recent { count_max: 10 }).await.unwrap();
    for id in [1, 3] {
        home.write(settled(id, Some(DeliveryOutcome::Delivered), START)).await.unwrap();
    }
    home.sweep(&KEEP_ALL, START.plus(YEAR)).await;
    assert_eq!(home.count("select count(*) from notices").await, 1);
    assert_eq!(home.count("select count(*) from incidents where length(state) = 0").await, 1);
    let mut home = home.reopen().await;
    let after = home.reader.incidents(IncidentFilter::Recent { count_max: 10 }).await.unwrap();
    assert_eq!(after, before);
    let keys = before.iter().map(|incident| incident.key).collect();
    let loaded = home.load(Wanted { keys, now: START, ..Wanted::default() }).await.unwrap();
    for incident in before {
        assert_eq!(*loaded.incidents[&incident.key], incident);
    }
}

#[tokio::test]
async fn a_notice_stays_as_long_as_a_delivery_needs_it() {
    let mut home = Home::new().await;
    // Its alert was received a while before the commit; the cut falls between both.
    let mut changes = told(1, 1, START, &["pager", "chat"]);
    changes.now = at(20);
    home.write(changes).await.unwrap();
    home.write(settled(1, Some(DeliveryOutcome::Delivered), at(21))).await.unwrap();
    for seconds in [10, 20, 21, 22, 1_000_000] {
        let brief = Retention { age: Duration::from_secs(60), bytes_max: u64::MAX };
        home.sweep(&brief, at(60 + seconds)).await;
        assert_eq!(home.pending_ids("chat").await, [2], "after {seconds} s");
    }
    home.write(settled(2, Some(DeliveryOutcome::Delivered), at(30))).await.unwrap();
    home.sweep(&KEEP_ALL, START.plus(YEAR)).await;
    assert_eq!(home.count("select count(*) from notices").await, 0);
}
