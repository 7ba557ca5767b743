//! Files that are not as they were written: cut, flipped, filled with something else.

use std::os::unix::fs::FileExt;

use super::super::open::{Opened, open};
use super::super::record::{self, Scanner};
use super::*;

/// A closed spool with these records in one segment, all open.
async fn written(home: &Home, count: usize) -> PathBuf {
    let life = home.open(Mood::Hold);
    let parcels = (0..count).map(|number| (home.parcel(&text(number)), vec![SinkId::of("a")])).collect();
    life.spool.append(parcels).await.unwrap();
    life.spool.close().await;
    let segments = home.segments();
    assert_eq!(segments.len(), 1, "all in one");
    files::path(&home.settings.directory, segments[0], Kind::Segment)
}

/// What a start finds, and what can be read then.
fn start(home: &Home) -> (Found, Vec<String>) {
    let known = [SinkId::of("a")].into();
    let Opened { view, found, writer: _writer } = open(&home.settings, &known, Arc::default()).unwrap();
    let mut texts = Vec::new();
    for (number, end) in view.with(|committed| committed.ends.clone()) {
        let path = files::path(&home.settings.directory, number, Kind::Segment);
        let file = fs::File::open(path).unwrap();
        let mut scanner = Scanner::new(&file, number, files::FILE_HEAD_BYTES, end);
        while let Some(record) = scanner.next().unwrap() {
            texts.push(String::from_utf8(record.payload.to_vec()).unwrap());
        }
    }
    (found, texts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_torn_at_any_byte_is_cut_and_the_rest_is_there() {
    let home = Home::new();
    let path = written(&home, 4).await;
    let whole = fs::read(&path).unwrap();
    let last = whole.len() - usize::try_from(record::byte_count(1, text(3).len())).unwrap();
    for cut in last..whole.len() {
        for fill in [0, 0x5a] {
            // Behind the tear lies nothing, or what was on the disk before.
            let mut torn = whole[..cut].to_vec();
            torn.resize(whole.len(), fill);
            fs::write(&path, if fill == 0 { &whole[..cut] } else { &torn }).unwrap();
            let (found, texts) = start(&home);
            // The padding at the end is no part of what is read.
            let is_whole = texts.len() == 4;
            assert!(!is_whole || cut >= whole.len() - 7, "{cut}");
            assert_eq!(texts[..3], [text(0), text(1), text(2)], "{cut}");
            assert_eq!(found.damaged_segment_count, 0, "{cut}");
            assert_eq!(found.open_record_count, texts.len() as u64);
            let has_rest = fill != 0 || cut > last;
            assert_eq!(found.torn_segment_count, u64::from(has_rest && !is_whole), "{cut} {fill}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_costs_one_record_and_the_segment_is_set_aside_when_the_others_are_delivered() {
    let mut random = fastrand::Rng::with_seed(7);
    let first = Home::new();
    let whole = fs::read(written(&first, 12).await).unwrap();
    for round in 0..40 {
        let home = Home::new();
        fs::create_dir(&home.settings.directory).unwrap();
        let path = files::path(&home.settings.directory, first.segments()[0], Kind::Segment);
        let mut bytes = whole.clone();
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u32(..8);
        fs::write(&path, &bytes).unwrap();
        let life = home.open(Mood::Deliver);
        until("all are settled", || home.tally.open.load(Ordering::Relaxed) == 0).await;
        let taken = life.taken();
        let missing: Vec<usize> = (0..12).filter(|number| !taken.contains(&text(*number))).collect();
        assert!(missing.len() <= 1, "round {round}, byte {at}: {missing:?} are gone");
        assert_eq!(taken.len() + missing.len(), 12, "nothing that was not written, nothing twice");
        let is_counted = life.found.damaged_segment_count + life.found.torn_segment_count;
        // Padding and the reserved bytes of the file's head hold nothing.
        assert!(missing.is_empty() || is_counted == 1, "round {round}, byte {at}: a loss that nobody counts");
        life.spool.close().await;
        let kept = files::numbers(&home.settings.directory, Kind::Damaged).unwrap();
        assert_eq!(kept.len() as u64, life.found.damaged_segment_count, "round {round}");
        let again = home.open(Mood::Deliver);
        assert_eq!(again.found, Found::default(), "round {round}");
        again.spool.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_was_cut_before_the_end_of_its_head_is_set_aside_and_counted() {
    for length in [0, 1, 8, 23] {
        let home = Home::new();
        let path = written(&home, 3).await;
        fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        let life = home.open(Mood::Deliver);
        assert_eq!((life.found.open_record_count, life.found.damaged_segment_count), (0, 1), "{length}");
        assert_eq!(home.tally.damaged.load(Ordering::Relaxed), 1, "{length}");
        life.append(&home, "new").await.unwrap();
        until("it is delivered", || life.taken() == ["new"]).await;
        life.spool.close().await;
        assert_eq!(files::numbers(&home.settings.directory, Kind::Damaged).unwrap().len(), 1, "{length}");
        let again = home.open(Mood::Deliver);
        assert_eq!(again.found, Found::default(), "counted once ({length})");
        again.spool.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_the_next_segment_is_made_is_no_damage() {
    for length in [0, 100, 8192] {
        let home = Home::new();
        written(&home, 3).await;
        // As one that was begun, and in which nothing was kept yet.
        let file = files::preallocate(&home.settings.directory, 8192).unwrap();
        files::christen(&home.settings.directory, &file, 0x20).unwrap();
        fs::write(home.settings.directory.join("next.tmp"), vec![0; length]).unwrap();
        let (found, texts) = start(&home);
        assert_eq!((found.damaged_segment_count, found.torn_segment_count, texts.len()), (0, 0, 3), "{length}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_stands_in_the_directory_a_start_goes_on() {
    let mut random = fastrand::Rng::with_seed(11);
    let home = Home::new();
    written(&home, 3).await;
    let directory = &home.settings.directory;
    let garbage: Vec<u8> = (0..5000).map(|_| random.u8(..)).collect();
    for name in ["0000000000000015.seg", "0000000000000011.done", "00000000000000ff.damaged", "next.tmp", "notes.seg"] {
        fs::write(directory.join(name), &garbage).unwrap();
    }
    fs::write(directory.join("0000000000000012.seg"), b"").unwrap();
    fs::write(directory.join("0000000000000013.seg"), vec![0; 4096]).unwrap();
    let known = files::path(directory, home.segments()[0], Kind::Done);
    fs::write(known, &garbage[..1001]).unwrap();
    // A directory where a file should be cannot be read at all.
    fs::create_dir(directory.join("0000000000000014.seg")).unwrap();
    let life = home.open(Mood::Deliver);
    // Garbage, nothing, zeros, and what cannot be read.
    assert_eq!((life.found.open_record_count, life.found.damaged_segment_count), (3, 4));
    let kept = fs::read(directory.join("0000000000000015.damaged")).unwrap();
    assert_eq!(kept, garbage, "there for people to look at");
    until("all are settled", || home.tally.open.load(Ordering::Relaxed) == 0).await;
    life.append(&home, "new").await.unwrap();
    until("it is delivered", || life.taken().len() == 4).await;
    life.spool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_was_changed_settles_nothing() {
    let home = Home::new();
    let life = home.open(Mood::Hold);
    for number in 0..4 {
        life.append(&home, &text(number)).await.unwrap();
    }
    let first: Vec<_> = life.takers[0].held.lock().unwrap().drain(..2).collect();
    first.into_iter().for_each(|told| told.send(Fate::Delivered).unwrap());
    until("two are settled", || home.tally.open.load(Ordering::Relaxed) == 2).await;
    life.spool.close().await;
    let path = files::path(&home.settings.directory, home.segments()[0], Kind::Done);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[whole[at] ^ 4], at as u64).unwrap();
        let (found, _) = start(&home);
        assert_eq!(found.open_record_count, 3, "a double, never a loss (byte {at})");
        file.write_all_at(&whole, 0).unwrap();
    }
}
