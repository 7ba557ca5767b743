//! Rows that cannot be read, a disk without room, a file that is none: an error that names it, never a panic.

use super::*;

#[tokio::test]
async fn a_row_of_another_version_is_named_and_harms_no_other() {
    let mut home = Home::new().await;
    home.write(incidents([open_incident(1, at(60)), open_incident(2, at(60))], START)).await.unwrap();
    home.write(members(vec![firing_member(1, 1, at(60)), firing_member(2, 2, at(60))], START)).await.unwrap();
    home.write(told(1, 1, START, &["pager"])).await.unwrap();
    home.damage(
        "update incidents set state = '{\"phase\":\"dreaming\"}' where id = 1; \
         update members set state = x'00ff' where id = 1; \
         update notices set kind = 'sung';",
    )
    .await;
    // What was written last is held decoded; a new process reads it.
    let mut home = home.reopen().await;
    let of = |number| Wanted { identities: vec![identity(number)], ..Wanted::default() };
    for _ in 0..2 {
        assert!(matches!(home.load(of(1)).await, Err(StoreError::Unreadable { .. })));
        assert!(home.load(of(2)).await.is_ok(), "the failed transaction is over");
    }
    let tick = Wanted { ticks: vec![key(1)], now: at(99), ..Wanted::default() };
    assert!(matches!(home.load(tick).await, Err(StoreError::Unreadable { what: "incident", .. })));
    let pending = home.reader.pending("pager", DeliveryId(0), 10).await;
    assert!(matches!(pending, Err(StoreError::Unreadable { what: "notice kind", .. })));
    let open = home.reader.incidents(IncidentFilter::Open { count_max: 10 }).await;
    assert!(matches!(open, Err(StoreError::Unreadable { what: "incident", .. })));
    assert!(matches!(home.reader.firing(10).await, Err(StoreError::Unreadable { what: "member", .. })));
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_passes_and_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder).await.unwrap();
    let Home { folder, writer, reader } = home;
    drop(writer);
    let mut connection = SqliteConnection::connect(&url(&folder)).await.unwrap();
    sqlx::query("pragma synchronous = full").execute(&mut connection).await.unwrap();
    let pages: i64 = sqlx::query("pragma page_count").fetch_one(&mut connection).await.unwrap().get(0);
    let sql = sqlx::AssertSqlSafe(format!("pragma max_page_count = {}", pages + 40));
    sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
    let writer = Box::new(SqliteWriter::new(connection, directory::Directory::default(), None).await.unwrap());
    let mut home = Home { folder, writer, reader };

    home.write(told(1, 1, START, &["pager"])).await.unwrap();
    let big = || Changes { records: vec![record(START, 1 << 20)], ..told(2, 1, START, &["pager"]) };
    for _ in 0..3 {
        let error = home.write(big()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable { reason } if reason.contains("full")), "{error}");
    }
    // The reader of this home follows another writer, so the rows are counted.
    assert_eq!(home.count("select sum(id) from deliveries where outcome is null").await, 1, "nothing half done");
    home.write(settled(1, Some(DeliveryOutcome::Delivered), at(1))).await.unwrap();
    home.sweep(&KEEP_ALL, at(2)).await;
    // There is room again.
    let mut home = home.reopen().await;
    home.write(big()).await.unwrap();
    assert_eq!(home.pending_ids("pager").await.len(), 1);
}

#[tokio::test]
async fn what_is_no_database_and_what_a_later_version_made_is_refused_with_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "these are notes, not a database, and they are longer than a header".repeat(9)).unwrap();
    let error = open(&format!("sqlite:{}", path.display())).await.err().unwrap();
    assert!(matches!(error, StoreError::Unavailable { .. } | StoreError::BadAddress { .. }), "{error}");

    let home = Home::new().await;
    home.damage(
        "insert into _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
         values (99, 'the future', 0, 1, x'00', 0)",
    )
    .await;
    let Home { folder, writer, reader } = home;
    drop((writer, reader));
    let error = Home::open(folder).await.err().expect("a downgrade is refused");
    assert!(matches!(&error, StoreError::BadAddress { reason, .. } if reason.contains("migration")), "{error}");
}

#[tokio::test]
async fn reads_go_on_while_somebody_writes() {
    let mut home = Home::new().await;
    let mut other = home.beside().await;
    sqlx::query("begin immediate").execute(&mut other).await.unwrap();
    home.reader.counts().await.unwrap();
    sqlx::query("rollback").execute(&mut other).await.unwrap();
    home.write(told(1, 1, START, &["pager"])).await.unwrap();
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_noticed_before_anything_is_acknowledged() {
    let mut home = Home::new().await;
    home.write(told(1, 1, START, &["pager"])).await.unwrap();
    let path = home.folder.path().join("sub").join("tawny.db");
    let aside = home.folder.path().join("sub").join("aside.db");
    std::fs::rename(&path, &aside).unwrap();
    let error = home.write(told(2, 1, START, &["pager"])).await.unwrap_err();
    assert!(error.to_string().contains("tawny.db"), "{error}");
    std::fs::write(&path, "another").unwrap();
    let error = home.write(told(2, 1, START, &["pager"])).await.unwrap_err();
    assert!(error.to_string().contains("replaced"), "{error}");
    std::fs::rename(&aside, &path).unwrap();
    home.write(told(2, 1, START, &["pager"])).await.unwrap();
}
