use std::io::Write;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = gzip(&vec![0; 8 << 20]);
    assert!(bomb.len() < 20_000);
    assert!(matches!(inflate("gzip", &bomb, 1 << 20, &mut room()), Err(BodyError::InflatesTooLarge { .. })));
}

#[test]
fn several_members_are_one_body_and_damage_is_named() {
    let two = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(inflate("gzip", &two, 100, &mut room()).unwrap(), "one two");
    assert!(matches!(inflate("gzip", &two[..two.len() - 3], 100, &mut room()), Err(BodyError::Corrupt { .. })));
    assert!(matches!(inflate("br", b"", 100, &mut room()), Err(BodyError::UnknownEncoding { .. })));
}

fn room() -> Booking {
    Booking::open(Arc::new(Semaphore::new(64 << 20)), 1).unwrap()
}

/// A body in pieces; each one is taken from a channel, so that a test says when it comes.
struct Pieces(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(hyper::body::Frame::data(piece))))
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_without_a_length_share_the_budget_while_they_grow_and_give_it_back() {
    let budget = BodyBudget::new(1 << 20, Duration::from_secs(10));
    let (mut senders, mut readings) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let (sender, pieces) = tokio::sync::mpsc::channel(100);
        let budget = budget.clone();
        readings.push(tokio::spawn(async move {
            budget.read(&HeaderMap::new(), Body::new(Pieces(pieces)), 1 << 20).await.map(|held| held.bytes.len())
        }));
        senders.push(sender);
    }
    let mut sent = 0;
    for round in 0..30 {
        for sender in &senders {
            // Who was refused does not listen any more.
            sent += usize::from(sender.send(Bytes::from(vec![b'x'; 16 * 1024])).await.is_ok()) * 16 * 1024;
        }
        tokio::task::yield_now().await;
        let booked = (1 << 20) - budget.bytes.available_permits();
        assert!(booked >= sent.min(1 << 20) / 2, "round {round}: {sent} bytes came, {booked} are booked");
    }
    drop(senders);
    let (mut taken, mut refused) = (0, 0);
    for reading in readings {
        match reading.await.unwrap() {
            Ok(_) => taken += 1,
            Err(error) => {
                assert!(matches!(error, BodyError::NoRoom), "{error}");
                refused += 1;
            }
        }
    }
    assert!(taken >= 1 && refused >= 1, "{taken} taken, {refused} refused");
    assert_eq!(budget.bytes.available_permits(), 1 << 20, "all is given back");
}

#[tokio::test]
async fn an_inflated_body_never_takes_more_than_the_budget_and_is_booked_at_its_size() {
    let budget = BodyBudget::new(256 * 1024, Duration::from_secs(10));
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, hyper::header::HeaderValue::from_static("gzip"))]);
    let small = gzip(&vec![b' '; 100_000]);
    let held = budget.read(&headers, Body::from(small.clone()), 1 << 20).await.unwrap();
    let free = budget.bytes.available_permits();
    assert!((256 * 1024 - 3 * STEP_BYTES..=256 * 1024 - 100_000).contains(&free), "{free}");
    let larger = gzip(&vec![b' '; 120_000]);
    let refused = budget.read(&headers, Body::from(larger), 1 << 20).await;
    assert!(matches!(refused, Err(BodyError::NoRoom)));
    drop(held);
    assert_eq!(budget.bytes.available_permits(), 256 * 1024);
}

#[tokio::test]
async fn a_body_for_which_there_is_never_room_is_refused_for_good() {
    let budget = BodyBudget::new(256 * 1024, Duration::from_secs(10));
    let plain = budget.read(&HeaderMap::new(), Body::from(vec![b' '; 300_000]), 1 << 20).await;
    assert!(matches!(plain, Err(BodyError::TooLarge { .. })), "{plain:?}");
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, hyper::header::HeaderValue::from_static("gzip"))]);
    let inflating = budget.read(&headers, Body::from(gzip(&vec![b' '; 300_000])), 1 << 20).await;
    assert!(matches!(inflating, Err(BodyError::InflatesTooLarge { .. })), "{inflating:?}");
    let most = budget.read(&HeaderMap::new(), Body::from(vec![b' '; 250_000]), 1 << 20).await;
    assert_eq!(most.unwrap().bytes.len(), 250_000);
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(131_000).collect();
    let stored = budget.read(&headers, Body::from(gzip(&noise)), 1 << 20).await;
    assert_eq!(stored.unwrap().bytes.len(), 131_000, "what may come finds room when nobody else is there");
}
