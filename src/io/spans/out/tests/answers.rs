//! What answers make of a parcel: tried again, refused, taken in part, passed on.

use std::io::Read;

use super::stand_in::Answer;
use super::*;

/// `partial_success { rejected_spans: 2, error_message: "odd" }`.
const PARTLY: &[u8] = &[10, 7, 8, 2, 18, 3, b'o', b'd', b'd'];

fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers.push((name, value.to_owned()));
    answer
}

fn trailing(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.trailers.push((name, value.to_owned()));
    answer
}

/// As something before the sink answers, such as a sign-in.
fn page() -> Answer {
    let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
    Answer { status: 200, headers, body: b"<html>sign in</html>".to_vec(), ..Answer::default() }
}

#[tokio::test]
async fn what_may_be_tried_again_is_and_arrives() {
    let cases: Vec<(&str, Answer)> = [429, 502, 503, 504]
        .map(|status| ("http", http(status)))
        .into_iter()
        .chain([1, 4, 10, 11, 14, 15].map(|status| ("grpc", grpc(status))))
        .chain(["http", "grpc"].map(|protocol| (protocol, page())))
        .collect();
    let mut rigs = Vec::new();
    for (protocol, first) in cases {
        let answer = first.clone();
        let ok = if protocol == "grpc" { grpc(0) } else { http(200) };
        let stand_in = StandIn::new(move |number, _| if number == 0 { answer.clone() } else { ok.clone() }).await;
        let rig = rig(to(&stand_in), Patience::Retry, json!({"protocol": protocol}));
        rig.offer(&["a"]).unwrap();
        rigs.push((rig, stand_in));
    }
    for (rig, stand_in) in rigs {
        rig.until_settled(1).await;
        assert_eq!(rig.settled(OutletOutcome::Delivered), 1);
        let seen = stand_in.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].message, seen[1].message, "the same bytes");
        rig.end(GRACE).await;
    }
}

#[tokio::test]
async fn what_waits_for_a_busy_sink_goes_back_when_its_sender_has_left() {
    let stand_in = StandIn::gated(|_, _| http(200)).await;
    let rig = rig(to(&stand_in), Patience::Pass, json!({}));
    let ask = |name: &str| {
        let (told, fate) = oneshot::channel();
        rig.outlet.offer(parcel(&rig.budget, &[name]), Some(told)).unwrap();
        fate
    };
    let first = ask("first");
    stand_in.wait_for(1).await;
    drop(ask("left"));
    let stays = ask("stays");
    stand_in.gate.add_permits(10);
    assert_eq!((first.await.unwrap(), stays.await.unwrap()), (Fate::Delivered, Fate::Delivered));
    rig.until_settled(3).await;
    assert_eq!(stand_in.seen().len(), 2, "the sink was asked for those who wait");
    assert_eq!((rig.settled(OutletOutcome::Delivered), rig.settled(OutletOutcome::Returned)), (2, 1));
    rig.end(GRACE).await;
}

#[tokio::test]
async fn what_may_not_be_tried_again_is_refused_once_and_counted() {
    for (protocol, answer) in [
        ("http", http(400)),
        ("http", http(401)),
        ("http", http(500)),
        ("http", with(http(307), "location", "http://127.0.0.1:1/")),
        ("grpc", grpc(3)),
        ("grpc", grpc(8)),
        ("grpc", grpc(13)),
        ("grpc", grpc(16)),
    ] {
        let stand_in = StandIn::new(move |_, _| answer.clone()).await;
        let rig = rig(to(&stand_in), Patience::Retry, json!({"protocol": protocol}));
        let fate = rig.fate(&["a", "b"]).await;
        assert!(matches!(fate, Fate::Refused { .. }), "{fate:?}");
        assert_eq!((stand_in.seen().len(), rig.settled(OutletOutcome::Refused)), (1, 2));
        rig.end(GRACE).await;
    }
}

#[tokio::test]
async fn the_wait_that_is_asked_for_is_kept_by_the_whole_sink() {
    // `Status { code: 8, details: [RetryInfo { retry_delay: 1 s }] }`.
    let details = "CAgaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIAQ==";
    let exhausted = trailing(grpc(8), "grpc-status-details-bin", details);
    for (protocol, first, ok) in
        [("http", with(http(503), "retry-after", "1"), http(200)), ("grpc", exhausted, grpc(0))]
    {
        let stand_in = StandIn::new(move |number, _| if number == 0 { first.clone() } else { ok.clone() }).await;
        let rig = rig(to(&stand_in), Patience::Retry, json!({"protocol": protocol, "in_flight": 2}));
        rig.offer(&["a"]).unwrap();
        stand_in.wait_for(1).await;
        while rig.tally.answer_count(OutletAnswer::NotNow) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The other lane is free, and waits as well.
        rig.offer(&["b"]).unwrap();
        rig.until_settled(2).await;
        let seen = stand_in.seen();
        assert_eq!((seen.len(), rig.settled(OutletOutcome::Delivered)), (3, 2));
        for later in &seen[1..] {
            assert!(later.at - seen[0].at >= Duration::from_millis(990), "{:?}", later.at - seen[0].at);
        }
        rig.end(GRACE).await;
    }
}

#[tokio::test]
async fn what_was_taken_in_part_is_never_sent_again_and_the_rest_is_counted() {
    let framed = [&[0, 0, 0, 0, 9][..], PARTLY].concat();
    for (protocol, answer) in
        [("http", Answer { body: PARTLY.to_vec(), ..http(200) }), ("grpc", Answer { body: framed, ..grpc(0) })]
    {
        let stand_in = StandIn::new(move |_, _| answer.clone()).await;
        let rig = rig(to(&stand_in), Patience::Retry, json!({"protocol": protocol}));
        let fate = rig.fate(&["a", "b", "c"]).await;
        assert_eq!(fate, Fate::Partly { rejected: 2, message: "odd".to_owned() });
        assert_eq!((rig.settled(OutletOutcome::Rejected), rig.settled(OutletOutcome::Delivered)), (2, 1));
        assert_eq!(stand_in.seen().len(), 1);
        rig.end(GRACE).await;
    }
}

fn packed(encoding: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = match encoding {
        "gzip" => flate2::bufread::GzEncoder::new(message, flate2::Compression::fast()).read_to_end(&mut bytes),
        "deflate" => flate2::bufread::ZlibEncoder::new(message, flate2::Compression::fast()).read_to_end(&mut bytes),
        "zstd" => zstd::stream::read::Encoder::new(message, 1).unwrap().read_to_end(&mut bytes),
        _ => return message.to_vec(),
    };
    read.unwrap();
    bytes
}

/// One message of gRPC with its flag set.
fn flagged(encoding: &str, message: &[u8]) -> Answer {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    with(Answer { body: [&[1][..], &length, message].concat(), ..grpc(0) }, "grpc-encoding", encoding)
}

#[tokio::test]
async fn a_compressed_answer_is_read_in_every_format_that_is_asked_for() {
    for encoding in ["identity", "gzip", "deflate", "zstd"] {
        let message = packed(encoding, PARTLY);
        let plain = with(Answer { body: message.clone(), ..http(200) }, "content-encoding", encoding);
        for (protocol, answer) in [("http", plain), ("grpc", flagged(encoding, &message))] {
            let stand_in = StandIn::new(move |_, _| answer.clone()).await;
            let rig = rig(to(&stand_in), Patience::Pass, json!({"protocol": protocol, "compression": "gzip"}));
            let fate = rig.fate(&["a", "b", "c"]).await;
            assert_eq!(fate, Fate::Partly { rejected: 2, message: "odd".to_owned() }, "{protocol} {encoding}");
            assert_eq!(rig.settled(OutletOutcome::Rejected), 2);
            if protocol == "grpc" {
                let asked = stand_in.seen()[0].headers["grpc-accept-encoding"].to_str().unwrap().to_owned();
                assert!(asked.split(',').any(|known| known == encoding), "{asked}");
            }
            rig.end(GRACE).await;
        }
    }
}

#[tokio::test]
async fn an_empty_answer_in_any_format_is_a_success() {
    for (encoding, message) in [("gzip", &[][..]), ("gzip", &[10, 0]), ("zstd", &[]), ("zstd", &[10, 0])] {
        let answer = flagged(encoding, &packed(encoding, message));
        let stand_in = StandIn::new(move |_, _| answer.clone()).await;
        let rig = rig(to(&stand_in), Patience::Pass, json!({"protocol": "grpc", "compression": encoding}));
        assert_eq!(rig.fate(&["a"]).await, Fate::Delivered);
        assert_eq!(rig.tally.answer_count(OutletAnswer::Taken), 1, "{encoding} {message:?}");
        rig.end(GRACE).await;
    }
}

#[tokio::test]
async fn a_success_that_cannot_be_read_is_one_for_the_sender_and_counted_as_partly() {
    let long = vec![10; 1 << 20];
    let mut damaged = packed("gzip", PARTLY);
    damaged[12] ^= 1;
    let mut cut = flagged("gzip", &packed("gzip", PARTLY));
    cut.body.truncate(12);
    for (protocol, answer) in [
        ("grpc", flagged("snappy", PARTLY)),
        ("grpc", Answer { headers: grpc(0).headers, ..flagged("gzip", &packed("gzip", PARTLY)) }),
        ("grpc", flagged("gzip", &damaged)),
        ("grpc", flagged("zstd", &damaged)),
        ("grpc", flagged("deflate", &damaged)),
        ("grpc", flagged("gzip", &packed("gzip", &long))),
        ("grpc", flagged("deflate", &packed("deflate", &long))),
        ("grpc", flagged("zstd", &packed("zstd", &long))),
        ("grpc", cut),
        ("http", with(Answer { body: damaged.clone(), ..http(200) }, "content-encoding", "gzip")),
        ("http", Answer { body: PARTLY[..5].to_vec(), ..http(200) }),
    ] {
        let shown = format!("{protocol} {:?}", answer.headers);
        let stand_in = StandIn::new(move |_, _| answer.clone()).await;
        let rig = rig(to(&stand_in), Patience::Pass, json!({"protocol": protocol}));
        assert_eq!(rig.fate(&["a"]).await, Fate::Delivered, "{shown}");
        assert_eq!(rig.settled(OutletOutcome::Delivered), 1, "{shown}");
        assert_eq!(rig.tally.answer_count(OutletAnswer::Partly), 1, "{shown}");
        rig.end(GRACE).await;
    }
}

#[tokio::test]
async fn of_a_joined_request_that_is_refused_each_part_is_tried_alone() {
    let stand_in =
        StandIn::gated(|_, seen| if seen.spans().contains(&"bad".to_owned()) { http(400) } else { http(200) }).await;
    let rig = rig(to(&stand_in), Patience::Retry, json!({}));
    rig.offer(&["first"]).unwrap();
    stand_in.wait_for(1).await;
    for name in ["a", "bad", "c"] {
        rig.offer(&[name]).unwrap();
    }
    stand_in.gate.add_permits(10);
    rig.until_settled(4).await;
    assert_eq!((rig.settled(OutletOutcome::Delivered), rig.settled(OutletOutcome::Refused)), (3, 1));
    assert_eq!(stand_in.seen().len(), 5);
    rig.end(GRACE).await;
}

#[tokio::test]
async fn in_through_mode_the_answer_is_told_and_nothing_is_tried_again_or_joined() {
    let stand_in = StandIn::gated(|_, _| with(http(503), "retry-after", "7")).await;
    let rig = rig(to(&stand_in), Patience::Pass, json!({}));
    let offer = |name: &str| {
        let (told, fate) = oneshot::channel();
        rig.outlet.offer(parcel(&rig.budget, &[name]), Some(told)).unwrap();
        fate
    };
    let first = offer("a");
    stand_in.wait_for(1).await;
    stand_in.gate.add_permits(1);
    let reason = "503".to_owned();
    let expected = Fate::NotNow { http: 503, grpc: 14, reason, retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(first.await.unwrap(), expected);
    assert_eq!((stand_in.seen().len(), rig.settled(OutletOutcome::Returned)), (1, 1));
    // Until then the sink is left alone, and the sender hears so at once.
    let Fate::NotNow { retry_after: Some(wait), .. } = rig.fate(&["b"]).await else { panic!("it was asked to wait") };
    assert!(wait > Duration::from_secs(4) && wait <= Duration::from_secs(7), "{wait:?}");
    assert_eq!(stand_in.seen().len(), 1);
    rig.end(GRACE).await;
}

#[tokio::test]
async fn what_nobody_takes_is_given_up_in_time_and_counted() {
    // A port on which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = rig(format!("http://{port}"), Patience::Retry, json!({"give_up_seconds": 1}));
    let Fate::NotNow { reason, .. } = rig.fate(&["a"]).await else { panic!("nobody was there to take it") };
    assert!(reason.starts_with("cannot connect: ") && !reason.contains(&port.port().to_string()), "{reason}");
    assert_eq!(rig.settled(OutletOutcome::GaveUp), 1);
    rig.end(GRACE).await;
}

#[tokio::test]
async fn a_secret_that_the_other_side_repeats_is_in_no_reason() {
    for (protocol, answer) in [
        ("http", Answer { body: format!("no key {SECRET}").into_bytes(), headers: vec![], ..http(400) }),
        ("grpc", trailing(grpc(3), "grpc-message", SECRET)),
        ("grpc", Answer { body: format!("key {SECRET}").into_bytes(), headers: vec![], trailers: vec![], ..http(403) }),
    ] {
        let stand_in = StandIn::new(move |_, _| answer.clone()).await;
        let rig = rig(to(&stand_in), Patience::Retry, json!({"protocol": protocol}));
        let Fate::Refused { reason, .. } = rig.fate(&["a"]).await else { panic!("it was refused") };
        assert!(reason.contains("[secret]") && !reason.contains("hunter2"), "{reason}");
        rig.end(GRACE).await;
    }
}
