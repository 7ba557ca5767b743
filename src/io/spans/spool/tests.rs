//! The spool against real files: what was acknowledged is there, whatever happens to the files behind it.

mod damage;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tempfile::TempDir;

use super::files::Kind;
use super::*;
use crate::io::spans::faces::{Fate, NoRoom};
use crate::model::Signal;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Deliver,
    /// Takes and says nothing.
    Hold,
    Full,
}

/// A sink that keeps what it was given.
struct Taker {
    mood: Mutex<Mood>,
    taken: Mutex<Vec<String>>,
    held: Mutex<Vec<oneshot::Sender<Fate>>>,
}

impl Outlet for Taker {
    fn offer(&self, parcel: Parcel, told: Option<oneshot::Sender<Fate>>) -> Result<(), NoRoom> {
        let mood = *self.mood.lock().unwrap();
        if mood == Mood::Full {
            return Err(NoRoom);
        }
        self.taken.lock().unwrap().push(String::from_utf8(parcel.slices.concat()).unwrap());
        let told = told.expect("the spool wants to know");
        match mood {
            Mood::Deliver => told.send(Fate::Delivered).unwrap(),
            Mood::Hold | Mood::Full => self.held.lock().unwrap().push(told),
        }
        Ok(())
    }
}

struct Home {
    folder: TempDir,
    settings: SpoolSettings,
    tally: Arc<SpoolTally>,
    budget: Arc<Budget>,
}

struct Life {
    spool: Spool,
    found: Found,
    takers: Vec<Arc<Taker>>,
}

impl Home {
    fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            SpoolSettings { directory: folder.path().join("spool"), segment_bytes: 8192, bytes_max: 1 << 20 };
        Home { folder, settings, tally: Arc::default(), budget: Budget::new(1 << 20) }
    }

    fn open(&self, mood: Mood) -> Life {
        self.open_with(mood, &["a"])
    }

    fn open_with(&self, mood: Mood, names: &[&str]) -> Life {
        let taker = |_| Arc::new(Taker { mood: Mutex::new(mood), taken: Mutex::default(), held: Mutex::default() });
        let takers: Vec<Arc<Taker>> = names.iter().map(taker).collect();
        let outlets: Vec<(Arc<str>, Arc<dyn Outlet>)> =
            names.iter().zip(&takers).map(|(name, taker)| (Arc::from(*name), taker.clone() as _)).collect();
        let (spool, found) = Spool::open(&self.settings, &outlets, &self.budget, self.tally.clone())
            .unwrap_or_else(|error| panic!("{error}"));
        Life { spool, found, takers }
    }

    fn parcel(&self, text: &str) -> Parcel {
        let share = Arc::new(self.budget.take(text.len()).unwrap());
        let (first, rest) = text.split_at(text.len() / 2);
        let slices = [first, rest].map(|part| Bytes::copy_from_slice(part.as_bytes())).to_vec();
        Parcel::new(Signal::Logs, slices, 1, share)
    }

    fn segments(&self) -> Vec<u64> {
        files::numbers(&self.settings.directory, Kind::Segment).unwrap()
    }
}

impl Life {
    async fn append(&self, home: &Home, text: &str) -> Result<(), NotKept> {
        self.append_to(home, text, &["a"]).await
    }

    async fn append_to(&self, home: &Home, text: &str, sinks: &[&str]) -> Result<(), NotKept> {
        let sinks = sinks.iter().map(|name| SinkId::of(name)).collect();
        self.spool.append(vec![(home.parcel(text), sinks)]).await
    }

    fn taken(&self) -> Vec<String> {
        self.takers[0].taken.lock().unwrap().clone()
    }

    fn set(&self, mood: Mood) {
        *self.takers[0].mood.lock().unwrap() = mood;
    }

    /// Answers everything that is held.
    fn deliver(&self) {
        for taker in &self.takers {
            taker.held.lock().unwrap().drain(..).for_each(|told| told.send(Fate::Delivered).unwrap());
        }
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..4000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// As a kill leaves it: whatever the files hold at this moment.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        // A file may be deleted or renamed while we look.
        let _ = fs::copy(entry.path(), to.join(entry.file_name()));
    }
}

/// Text number so and so, of some length.
fn text(number: usize) -> String {
    format!("{number:06}{}", "x".repeat(number * 37 % 600))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_is_forgotten_and_its_segments_with_it() {
    let home = Home::new();
    let life = home.open(Mood::Deliver);
    for number in 0..200 {
        life.append(&home, &text(number)).await.unwrap();
    }
    until("all are settled", || home.tally.open.load(Ordering::Relaxed) == 0).await;
    assert_eq!(life.taken(), (0..200).map(text).collect::<Vec<_>>(), "in order, each once");
    until("old segments are deleted", || home.segments().len() <= 1).await;
    life.spool.close().await;
    assert!(home.segments().is_empty(), "nothing is open");
    let again = home.open(Mood::Deliver);
    assert_eq!(again.found, Found::default());
    again.spool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_each_sink_gets_what_it_has_not_settled_and_nothing_else() {
    let home = Home::new();
    let life = home.open_with(Mood::Hold, &["a", "b"]);
    for number in 0..60 {
        life.append_to(&home, &text(number), &["a", "b"]).await.unwrap();
    }
    // The first sink settles every third, the second all but those.
    for (at, taker) in life.takers.iter().enumerate() {
        for (number, told) in taker.held.lock().unwrap().drain(..).enumerate() {
            if (number % 3 == 0) == (at == 0) {
                told.send(Fate::Delivered).unwrap();
            }
        }
    }
    until("60 are settled", || home.tally.open.load(Ordering::Relaxed) == 60).await;
    life.spool.close().await;
    let again = home.open_with(Mood::Deliver, &["a", "b"]);
    assert_eq!((again.found.open_record_count, again.found.open_delivery_count), (60, 60));
    until("all are settled", || home.tally.open.load(Ordering::Relaxed) == 0).await;
    let expected = |first: bool| (0..60).filter(|number| (number % 3 == 0) != first).map(text).collect::<Vec<_>>();
    assert_eq!(again.taken(), expected(true));
    assert_eq!(*again.takers[1].taken.lock().unwrap(), expected(false));
    again.spool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_falls_behind_reads_from_disk_and_gets_each_record_once() {
    let home = Home::new();
    let life = home.open(Mood::Deliver);
    let mut number = 0;
    for mood in [Mood::Deliver, Mood::Full, Mood::Deliver, Mood::Full, Mood::Deliver] {
        life.set(mood);
        for _ in 0..50 {
            life.append(&home, &text(number)).await.unwrap();
            number += 1;
        }
    }
    until("all are settled", || home.tally.open.load(Ordering::Relaxed) == 0).await;
    assert_eq!(life.taken(), (0..250).map(text).collect::<Vec<_>>());
    life.spool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_whenever_the_process_dies() {
    let home = Home::new();
    let life = Arc::new(home.open(Mood::Hold));
    let home = Arc::new(home);
    let acknowledged = Arc::<Mutex<Vec<String>>>::default();
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let (life, home, acknowledged) = (life.clone(), home.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for number in 0..60 {
                    let text = text(sender * 1000 + number);
                    life.append(&home, &text).await.unwrap();
                    acknowledged.lock().unwrap().push(text);
                }
            })
        })
        .collect();
    let mut copies = Vec::new();
    while copies.len() < 12 && senders.iter().any(|sender| !sender.is_finished()) {
        let before = acknowledged.lock().unwrap().clone();
        let directory = home.folder.path().join(format!("copy-{}", copies.len()));
        copy(&home.settings.directory, &directory);
        copies.push((before, directory));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(copies.len() >= 2, "too quick to be seen");
    for sender in senders {
        sender.await.unwrap();
    }
    for (before, directory) in copies {
        let mut copied = Home::new();
        copied.settings.directory = directory;
        let again = copied.open(Mood::Deliver);
        until("all are settled", || copied.tally.open.load(Ordering::Relaxed) == 0).await;
        let taken = again.taken();
        let missing: Vec<_> = before.iter().filter(|text| !taken.contains(text)).collect();
        assert!(missing.is_empty(), "{missing:?} of {}", before.len());
        again.spool.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_says_so_and_takes_again_when_there_is_room() {
    let mut home = Home::new();
    home.settings.bytes_max = 32 * 1024;
    let life = home.open(Mood::Hold);
    let big = "y".repeat(3000);
    let mut kept = 0;
    let full = loop {
        match life.append(&home, &big).await {
            Ok(()) => kept += 1,
            Err(not_kept) => break not_kept,
        }
    };
    assert_eq!(full.reason, "the spool is full");
    assert!((6..=10).contains(&kept), "{kept} of 3 KB in 32 KiB");
    assert!(home.tally.bytes.load(Ordering::Relaxed) <= 32 * 1024);
    assert!(home.tally.not_now.load(Ordering::Relaxed) > 0);
    life.deliver();
    until("there is room", || home.tally.bytes.load(Ordering::Relaxed) < 16 * 1024).await;
    life.append(&home, &big).await.unwrap();
    life.spool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_is_told_and_its_return_is_noticed() {
    let home = Home::new();
    let life = home.open(Mood::Deliver);
    life.append(&home, "before").await.unwrap();
    // The next segment may just be made there.
    until("the directory is gone", || fs::remove_dir_all(&home.settings.directory).is_ok()).await;
    // The open segment still has room; behind it no other can be made.
    let failed = loop {
        if let Err(not_kept) = life.append(&home, &"z".repeat(3000)).await {
            break not_kept;
        }
    };
    assert!(failed.reason.contains("disk"), "{failed}");
    fs::create_dir_all(&home.settings.directory).unwrap();
    until("the pause is over", || home.tally.not_now.load(Ordering::Relaxed) > 0).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    life.append(&home, "after").await.unwrap();
    until("it is delivered", || life.taken().last().is_some_and(|last| last == "after")).await;
    life.spool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_do_not_share_a_spool() {
    let home = Home::new();
    let life = home.open(Mood::Hold);
    let second = Spool::open(&home.settings, &[], &home.budget, Arc::default());
    assert!(matches!(second.err(), Some(SpoolError::Locked { .. })));
    life.spool.close().await;
    home.open(Mood::Hold).spool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_sink_that_is_gone_is_counted_and_let_go() {
    let home = Home::new();
    let life = home.open_with(Mood::Hold, &["a", "b"]);
    life.append_to(&home, "for both", &["a", "b"]).await.unwrap();
    life.append_to(&home, "for one", &["b"]).await.unwrap();
    life.spool.close().await;
    let again = home.open(Mood::Deliver);
    let expected =
        Found { open_record_count: 1, open_delivery_count: 1, forgotten_delivery_count: 2, ..Found::default() };
    assert_eq!(again.found, expected);
    until("it is settled", || home.tally.open.load(Ordering::Relaxed) == 0).await;
    assert_eq!(again.taken(), ["for both"]);
    again.spool.close().await;
}
