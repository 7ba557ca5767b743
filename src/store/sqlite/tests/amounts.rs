//! Many rows of a table have statements of their own and few go together with the commit: both are one transaction.

use super::*;

fn many(count: u32) -> Changes {
    let notices = (0..count).flat_map(|number| told(number, 1, START, &["pager"]).notices).collect();
    let members = (0..count).map(|number| Box::new(firing_member(number, number, at(60)))).collect();
    Changes { notices, members, rejects: vec![reject(START)], now: START, ..Changes::default() }
}

#[tokio::test]
async fn what_fails_among_the_few_takes_the_many_with_it() {
    let mut home = Home::new().await;
    home.damage("create trigger stop before insert on rejects begin select raise(abort, 'no room'); end;").await;
    let error = home.write(many(300)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { reason } if reason.contains("no room")), "{error}");
    for sql in ["select count(*) from members", "select count(*) from notices", "select count(*) from deliveries"] {
        assert_eq!(home.count(sql).await, 0, "{sql}");
    }
    home.damage("drop trigger stop").await;
    assert_eq!(home.write(many(300)).await.unwrap().len(), 300);
    assert_eq!(home.count("select count(*) from members").await, 300);
    assert_eq!(home.count("select count(*) from rejects").await, 1);
}

#[tokio::test]
async fn what_fails_among_the_many_leaves_nothing_of_them_and_the_next_transaction_works() {
    let mut home = Home::new().await;
    home.damage("create trigger stop before insert on deliveries begin select raise(abort, 'no room'); end;").await;
    assert!(home.write(many(300)).await.is_err());
    assert_eq!(home.count("select count(*) from members").await, 0);
    home.damage("drop trigger stop").await;
    assert_eq!(home.write(many(1)).await.unwrap().len(), 1);
    assert_eq!(home.count("select count(*) from members").await, 1);
}

#[tokio::test]
async fn each_of_any_number_of_deliveries_is_settled_as_was_said() {
    let outcomes = [Some(DeliveryOutcome::Delivered), Some(DeliveryOutcome::Dead), None];
    for count in [1, 2, 15, 16, 17, 80, 273] {
        let mut home = Home::new().await;
        let given = home.write(many(count)).await.unwrap();
        let settlements = given.iter().zip(outcomes.into_iter().cycle());
        let settlements: Vec<Settlement> =
            settlements.flat_map(|(row, outcome)| settled(row.delivery.id.0, outcome, at(5)).settlements).collect();
        let said = |wanted| settlements.iter().filter(|held| held.outcome == wanted).count();
        let [delivered, dead, pending] = outcomes.map(said);
        home.write(Changes { settlements, now: at(5), ..Changes::default() }).await.unwrap();
        let held = async |outcome: &str| {
            let all = "attempts = 3 and reason = 'because'";
            let sql = format!("select count(*) from deliveries where {all} and {outcome}");
            let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut home.beside().await).await.unwrap();
            usize::try_from(row.get::<i64, _>(0)).unwrap()
        };
        let time = at(5).as_ms();
        assert_eq!(held(&format!("outcome = 'delivered' and settled_at = {time}")).await, delivered, "{count}");
        assert_eq!(held(&format!("outcome = 'dead' and settled_at = {time}")).await, dead, "{count}");
        assert_eq!(held("outcome is null and settled_at is null").await, pending, "{count}");
        assert_eq!(home.pending_ids("pager").await.len(), pending, "{count}");
    }
}

#[tokio::test]
async fn sqlite_is_compiled_as_the_settings_of_cargo_say() {
    let home = Home::new().await;
    let options: Vec<String> = sqlx::query("pragma compile_options")
        .fetch_all(&mut home.beside().await)
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(options.iter().any(|option| option == "DEFAULT_MEMSTATUS=0"), "{options:?}");
    for slow in ["ENABLE_MEMORY_MANAGEMENT", "ENABLE_API_ARMOR"] {
        assert!(!options.iter().any(|option| option == slow), "{options:?}");
    }
}

#[tokio::test]
async fn the_log_has_its_length_from_the_start_and_what_lies_behind_its_end_is_nothing() {
    let mut home = Home::new().await;
    let folder = home.folder.path().join("sub");
    let log = folder.join("tawny.db-wal");
    let length = || std::fs::metadata(&log).unwrap().len();
    assert_eq!(length(), LOG_BYTES);
    home.write(many(40)).await.unwrap();
    assert_eq!(length(), LOG_BYTES, "written into, and not made longer");
    // As a daemon that was killed leaves it.
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("sub")).unwrap();
    for name in ["tawny.db", "tawny.db-wal"] {
        std::fs::copy(folder.join(name), copy.path().join("sub").join(name)).unwrap();
    }
    let home = Home::open(copy).await.unwrap();
    assert_eq!(home.count("select count(*) from members").await, 40);
}
