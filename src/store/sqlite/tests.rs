//! The store's laws on real files: all or nothing, order, deadlines, retention, damage, a full disk.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tempfile::TempDir;

use super::*;
use crate::model::{DeliveryId, DeliveryOutcome, Incident, Member, NoticeKind, Timestamp};
use crate::store::testkit::{
    START, at, closed_incident, ended_member, firing_member, identity, key, notice, open_incident,
};
use crate::store::{
    Changes, DeliveryFilter, IncidentFilter, Loaded, Pending, Record, RejectRecord, Retention, Settlement, Wanted,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEEP_ALL: Retention = Retention { age: Duration::from_secs(30 * 24 * 3600), bytes_max: u64::MAX };

struct Home {
    folder: TempDir,
    writer: Box<dyn Writer>,
    reader: Box<dyn Reader>,
}

impl Home {
    async fn new() -> Home {
        Home::open(tempfile::tempdir().unwrap()).await.unwrap()
    }

    async fn open(folder: TempDir) -> Result<Home, StoreError> {
        let (writer, reader) = open(&url(&folder)).await?;
        Ok(Home { folder, writer, reader })
    }

    async fn reopen(self) -> Home {
        let Home { folder, writer, reader } = self;
        drop((writer, reader));
        Home::open(folder).await.unwrap()
    }

    async fn write(&mut self, changes: Changes) -> Result<Vec<Pending>, StoreError> {
        self.writer.transact(Wanted::default(), Box::new(move |_| changes)).await
    }

    async fn load(&mut self, wanted: Wanted) -> Result<Loaded, StoreError> {
        let mut held = None;
        let slot = &mut held;
        let decide = Box::new(move |loaded| {
            *slot = Some(loaded);
            Changes::default()
        });
        self.writer.transact(wanted, decide).await?;
        Ok(held.unwrap())
    }

    /// A connection beside the store, for damage and for looking.
    async fn beside(&self) -> SqliteConnection {
        SqliteConnection::connect(&url(&self.folder)).await.unwrap()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query(sql).fetch_one(&mut self.beside().await).await.unwrap().get(0)
    }

    async fn damage(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.beside().await).await.unwrap();
    }

    async fn pending_ids(&self, sink: &str) -> Vec<i64> {
        let rows = self.reader.pending(sink, DeliveryId(0), 10_000).await.unwrap();
        rows.iter().map(|row| row.delivery.id.0).collect()
    }

    async fn sweep(&mut self, retention: &Retention, now: Timestamp) {
        for _ in 0..1000 {
            if !self.writer.retain(retention, now).await.unwrap() {
                return;
            }
        }
        panic!("the sweep has no end");
    }
}

fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("sub").join("tawny.db").display())
}

fn told(number: u32, sequence: u32, now: Timestamp, sinks: &[&str]) -> Changes {
    let sinks = sinks.iter().map(|sink| Arc::from(*sink)).collect();
    let notices = vec![(notice(number, sequence, NoticeKind::Opened, now), sinks)];
    Changes { notices, now, ..Changes::default() }
}

fn incidents(held: impl IntoIterator<Item = Incident>, now: Timestamp) -> Changes {
    Changes { incidents: held.into_iter().map(Arc::new).collect(), now, ..Changes::default() }
}

fn members(members: Vec<Member>, now: Timestamp) -> Changes {
    let members = members.into_iter().map(Box::new).collect();
    Changes { members, now, ..Changes::default() }
}

fn record(received_at: Timestamp, bytes: usize) -> Record {
    // The journal is compressed; this cannot be.
    let mut chance = fastrand::Rng::with_seed(7);
    let body = std::iter::repeat_with(|| chance.u8(..)).take(bytes).collect::<Vec<u8>>().into();
    Record { received_at, source: "prom".to_owned(), kind: "alertmanager-api", body, decisions: "[]".to_owned() }
}

fn reject(received_at: Timestamp) -> RejectRecord {
    RejectRecord {
        received_at,
        source: "prom".to_owned(),
        kind: "json".to_owned(),
        status: 400,
        reason: "not JSON".to_owned(),
        body: vec![0xff, b'x'].into(),
    }
}

fn settled(id: i64, outcome: Option<DeliveryOutcome>, now: Timestamp) -> Changes {
    let settlement = Settlement {
        id: DeliveryId(id),
        attempts: 3,
        next_attempt_at: now,
        outcome,
        reason: "because".to_owned(),
        at: now,
    };
    Changes { settlements: vec![settlement], now, ..Changes::default() }
}

#[tokio::test]
async fn a_transaction_that_fails_in_its_last_statement_leaves_nothing_and_the_next_one_works() {
    let mut home = Home::new().await;
    home.damage("create trigger stop before insert on rejects begin select raise(abort, 'no room'); end;").await;
    let all = || Changes {
        incidents: vec![Arc::new(open_incident(1, at(60)))],
        members: vec![Box::new(firing_member(1, 1, at(60)))],
        records: vec![record(START, 100)],
        rejects: vec![reject(START)],
        ..told(1, 1, START, &["pager"])
    };
    let error = home.write(all()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { reason } if reason.contains("no room")), "{error}");
    for sql in [
        "select count(*) from incidents",
        "select count(*) from members",
        "select count(*) from notices",
        "select count(*) from deliveries",
        "select count(*) from records",
    ] {
        assert_eq!(home.count(sql).await, 0, "{sql}");
    }
    home.damage("drop trigger stop").await;
    assert_eq!(home.write(all()).await.unwrap().len(), 1);
    assert_eq!(home.count("select count(*) from rejects").await, 1);
}

#[tokio::test]
async fn ids_grow_over_failures_and_starts_and_the_reader_gives_what_the_writer_gave() {
    let mut home = Home::new().await;
    let mut last = 0;
    for round in 1..=4_u32 {
        let given = home.write(told(round, round, at(u64::from(round)), &["pager", "chat"])).await.unwrap();
        assert!(given.iter().all(|row| row.delivery.id.0 > last));
        assert!(given[0].delivery.id < given[1].delivery.id);
        last = given[1].delivery.id.0;
        let held = home.reader.pending("chat", DeliveryId(given[0].delivery.id.0), 10).await.unwrap();
        assert_eq!(held.len(), 1);
        assert_eq!((&held[0].delivery, &held[0].notice), (&given[1].delivery, &given[1].notice));
        home.damage("create trigger stop before insert on deliveries begin select raise(abort, 'no'); end;").await;
        assert!(home.write(told(9, 9, START, &["pager"])).await.is_err());
        home.damage("drop trigger stop").await;
        if round == 2 {
            home = home.reopen().await;
        }
    }
}

#[tokio::test]
async fn pending_is_per_sink_in_order_after_an_id_and_without_what_is_settled() {
    let mut home = Home::new().await;
    for number in 1..=6 {
        home.write(told(number, 1, START, &["pager", "chat"])).await.unwrap();
    }
    assert_eq!(home.pending_ids("pager").await, [1, 3, 5, 7, 9, 11]);
    assert_eq!(home.pending_ids("nobody").await, [0_i64; 0]);
    let page = home.reader.pending("pager", DeliveryId(3), 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.delivery.id.0).collect::<Vec<_>>(), [5, 7]);
    home.write(settled(5, Some(DeliveryOutcome::Delivered), at(1))).await.unwrap();
    home.write(settled(7, Some(DeliveryOutcome::Dead), at(1))).await.unwrap();
    home.write(settled(9, None, at(30))).await.unwrap();
    assert_eq!(home.pending_ids("pager").await, [1, 3, 9, 11]);
    let row = home.reader.pending("pager", DeliveryId(7), 1).await.unwrap().remove(0);
    assert_eq!((row.delivery.attempts, row.delivery.next_attempt_at), (3, at(30)));
    assert_eq!(row.delivery.reason, "because");
    let dead = home.reader.deliveries(DeliveryFilter::Dead { count_max: 10 }).await.unwrap();
    assert_eq!(dead.iter().map(|row| row.id).collect::<Vec<_>>(), [7]);
}

#[tokio::test]
async fn the_last_word_on_a_delivery_in_one_batch_counts() {
    let mut home = Home::new().await;
    home.write(told(1, 1, START, &["pager"])).await.unwrap();
    let mut both = settled(1, None, at(1));
    both.settlements.extend(settled(1, Some(DeliveryOutcome::Delivered), at(2)).settlements);
    home.write(both).await.unwrap();
    assert!(home.pending_ids("pager").await.is_empty());
}

#[tokio::test]
async fn due_gives_the_earliest_first_and_names_the_next_deadline() {
    let mut home = Home::new().await;
    let open = [(1, 50), (2, 10), (3, 30), (4, 3000)].map(|(number, end)| open_incident(number, at(end)));
    home.write(incidents(open.into_iter().chain([closed_incident(5, at(1))]), START)).await.unwrap();
    let due = async |now, count_max| {
        let found = home.reader.due(now, count_max).await.unwrap();
        (found.due, found.next)
    };
    assert_eq!(due(at(9), 10).await, (vec![], Some(at(10))));
    assert_eq!(due(at(30), 10).await, (vec![key(2), key(3)], Some(at(50))));
    assert_eq!(due(at(60), 2).await, (vec![key(2), key(3)], Some(at(50))), "more is due than was asked for");
    assert_eq!(due(at(9999), 10).await, (vec![key(2), key(3), key(1), key(4)], None));
}

#[tokio::test]
async fn a_tick_loads_the_lapsed_members_and_when_the_next_one_lapses() {
    let mut home = Home::new().await;
    home.write(incidents([open_incident(1, at(10))], START)).await.unwrap();
    let lapses = [(1, 10), (2, 20), (3, 30)].map(|(number, end)| firing_member(number, 1, at(end)));
    let ended = ended_member(4, 1, at(5));
    let other = firing_member(5, 2, at(1));
    home.write(members(lapses.into_iter().chain([ended, other]).collect(), START)).await.unwrap();
    let wanted = Wanted { ticks: vec![key(1), key(8)], now: at(20), ..Wanted::default() };
    let mut loaded = home.load(wanted).await.unwrap();
    let due = loaded.due.remove(&key(1)).unwrap();
    assert_eq!(due.members.iter().map(|member| member.identity).collect::<Vec<_>>(), [identity(1), identity(2)]);
    assert_eq!(due.next_expiry, at(30));
    assert!(loaded.incidents.contains_key(&key(1)) && !loaded.incidents.contains_key(&key(8)));
    assert!(!loaded.due.contains_key(&key(8)), "nobody knows it");
}

#[tokio::test]
async fn any_number_of_rows_is_written_and_found_again() {
    let mut home = Home::new().await;
    for count in [1_u32, 3, 4, 5, 63, 64, 65, 255, 256, 257, 700] {
        let held = (0..count).map(|number| firing_member(number, number % 3, at(u64::from(count)))).collect();
        home.write(members(held, START)).await.unwrap();
        let mut wanted = Wanted { identities: (0..count).map(identity).collect(), ..Wanted::default() };
        wanted.dedup();
        let loaded = home.load(wanted).await.unwrap();
        assert_eq!(loaded.members.len(), count as usize);
        assert!(loaded.members.values().all(|member| member.expires_at() == Some(at(u64::from(count)))), "{count}");
    }
}

#[tokio::test]
async fn a_new_start_finds_everything() {
    let mut home = Home::new().await;
    let changes = Changes {
        incidents: vec![Arc::new(open_incident(1, at(60)))],
        members: vec![Box::new(firing_member(1, 1, at(60)))],
        records: vec![record(START, 10)],
        rejects: vec![reject(START)],
        ..told(1, 1, START, &["pager"])
    };
    home.write(changes).await.unwrap();
    let before = home.reader.counts().await.unwrap();
    let mut home = home.reopen().await;
    assert_eq!(home.reader.counts().await.unwrap(), before);
    assert_eq!((before.open_incidents, before.firing_members, before.pending_deliveries), (1, 1, 1));
    let (incident, firing) = home.reader.incident(key(1)).await.unwrap().unwrap();
    assert_eq!(incident, open_incident(1, at(60)));
    assert_eq!(firing, [firing_member(1, 1, at(60))]);
    let loaded = home.load(Wanted { identities: vec![identity(1)], ..Wanted::default() }).await.unwrap();
    assert_eq!(*loaded.incidents[&key(1)], incident, "a member brings its incident");
    assert_eq!(home.reader.rejects(10).await.unwrap()[0].body, "\u{fffd}x");
}

#[test]
fn a_state_is_read_as_a_list_of_fields_and_with_names_as_the_first_version_wrote_it() {
    use crate::model::Link;

    let mut incident = open_incident(1, at(60));
    let lead = Arc::make_mut(&mut incident.lead);
    // What is absent before something that is there must keep its place.
    lead.annotations = Default::default();
    lead.links = vec![Link { href: "https://example.com".to_owned(), text: "Source".to_owned() }];
    for bytes in [pack::packed(&incident, 1), rmp_serde::to_vec_named(&incident).unwrap()] {
        assert_eq!(rmp_serde::from_slice::<Incident>(&bytes).unwrap(), incident);
    }
    let firing = firing_member(1, 1, at(60));
    let bare = Member { incident: None, cell: None, generator_url: None, ..ended_member(2, 1, at(5)) };
    let full =
        Member { cell: Some("c1".into()), generator_url: Some("https://example.com".to_owned()), ..firing.clone() };
    for member in [firing, bare, full] {
        for bytes in [pack::packed(&member, 1), rmp_serde::to_vec_named(&member).unwrap()] {
            assert_eq!(rmp_serde::from_slice::<Member>(&bytes).unwrap(), member);
        }
    }
}

mod amounts;
mod damage;
mod packing;
mod retention;
