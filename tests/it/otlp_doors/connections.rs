//! Connections that are slow, idle, old or told to stop. Each test has a door with short timeouts of its own.

use std::time::Duration;

use prost::Message;

use super::speak::{EXPORT, Http1, PROTOBUF, framed, head, http2, send2, spans};
use super::target::Target;
use crate::wait::PATIENCE;

const SHORT: Duration = Duration::from_millis(150);
/// Long enough that nothing but the timeout under test ends a connection.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_a_preface_is_closed() {
    let target = Target::start(|options| options.first_byte_timeout = SHORT).await;
    let mut silent = Http1::open(target.address).await;
    let mut undecided = Http1::open(target.address).await;
    undecided.write(b"PRI * HT").await;
    assert!(silent.closes_within(SOON).await);
    assert!(undecided.closes_within(SOON).await);
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let target = Target::start(|options| options.head_timeout = SHORT).await;
    let mut slow = Http1::open(target.address).await;
    slow.write(b"POST /v1/traces HTTP/1.1\r\nx-slow: ").await;
    let dripping = async {
        loop {
            slow.write(b"x").await;
            if slow.closes_within(Duration::from_millis(20)).await {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, dripping).await.expect("the connection is cut off");
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_with_408_and_gives_its_bytes_back() {
    let target = Target::start(|options| options.body_timeout = SHORT).await;
    let mut slow = Http1::open(target.address).await;
    slow.write(head("POST", "/v1/traces", &[PROTOBUF, ("content-length", "1000")]).as_bytes()).await;
    slow.write(b"abc").await;
    let answer = slow.read().await.unwrap();
    assert_eq!((answer.brief().as_str(), answer.header("connection")), ("408 4", "close"));
    assert!(slow.closes_within(SOON).await);
    target.assert_the_budget_is_whole().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_used_one_is_not() {
    let target = Target::start(|options| options.idle_timeout = 4 * SHORT).await;
    let body = spans(5).encode_to_vec();
    let mut used = Http1::open(target.address).await;
    for _ in 0..6 {
        assert_eq!(used.send("POST", "/v1/traces", &[PROTOBUF], &body).await.status, 200);
        tokio::time::sleep(SHORT).await;
    }
    assert!(used.closes_within(SOON).await);
    let (_sender, connection) = http2(target.address).await;
    tokio::time::timeout(PATIENCE, connection).await.expect("an idle connection over HTTP/2 ends").unwrap();
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end_over_both_protocols() {
    let target = Target::start(|options| options.connection_age_max = Some(SHORT)).await;
    let body = spans(5).encode_to_vec();
    let mut old = Http1::open(target.address).await;
    let grpc = [("content-type", "application/grpc")];
    let (mut sender, connection) = http2(target.address).await;
    assert_eq!(send2(&mut sender, EXPORT, &grpc, framed(0, &body)).await.header("grpc-status"), "0");
    // The first answers may be older than the age; in the end one says that it is the last.
    let last = async {
        loop {
            let answer = old.send("POST", "/v1/traces", &[PROTOBUF], &body).await;
            assert_eq!(answer.status, 200);
            if answer.header("connection") == "close" {
                return;
            }
            tokio::time::sleep(SHORT / 5).await;
        }
    };
    tokio::time::timeout(SOON, last).await.expect("an answer closes the connection");
    assert!(old.closes_within(SOON).await);
    tokio::time::timeout(SOON, connection).await.expect("the other one was told to go away").unwrap();
}

#[tokio::test]
async fn many_calls_at_once_on_one_connection_are_all_answered_and_answers_of_http_have_a_date() {
    let target = Target::start(|_| {}).await;
    let (mut sender, _connection) = http2(target.address).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..200 {
        let mut sender = sender.clone();
        // Some come in many reads.
        let body = framed(0, &spans(if number % 8 == 0 { 2000 } else { 5 }).encode_to_vec());
        let grpc = [("content-type", "application/grpc")];
        calls.spawn(async move { send2(&mut sender, EXPORT, &grpc, body).await });
    }
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap().header("grpc-status"), "0");
    }
    target.assert_the_budget_is_whole().await;
    let answer = send2(&mut sender, "/v1/traces", &[PROTOBUF], spans(5).encode_to_vec()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("date").ends_with(" GMT"));
}

#[tokio::test]
async fn a_stop_lets_the_request_under_way_finish_and_tells_health_watchers() {
    let target = Target::start(|_| {}).await;
    let body = spans(5).encode_to_vec();
    *target.road.delay.lock().unwrap() = 4 * SHORT;
    let mut busy = Http1::open(target.address).await;
    let length = body.len().to_string();
    let request = [head("POST", "/v1/traces", &[PROTOBUF, ("content-length", &length)]).as_bytes(), &body].concat();
    busy.write(&request).await;
    let mut idle = Http1::open(target.address).await;
    let (mut sender, _connection) = http2(target.address).await;
    let grpc = [("content-type", "application/grpc")];
    let watching =
        tokio::spawn(async move { send2(&mut sender, "/grpc.health.v1.Health/Watch", &grpc, framed(0, b"")).await });
    tokio::time::sleep(2 * SHORT).await;
    target.stop.send_replace(true);
    let answer = busy.read().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    let watched = watching.await.unwrap();
    assert_eq!(watched.body[..], [0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 2]);
    assert!(idle.closes_within(SOON).await);
    tokio::time::timeout(SOON, target.serving).await.expect("the listener ends").unwrap();
}

#[tokio::test]
async fn every_request_is_counted_once() {
    let target = Target::start(|_| {}).await;
    let body = spans(5).encode_to_vec();
    let mut connection = Http1::open(target.address).await;
    connection.send("POST", "/v1/traces", &[PROTOBUF], &body).await;
    connection.send("POST", "/v1/traces", &[PROTOBUF], b"garbage").await;
    connection.send("POST", "/nowhere", &[], b"").await;
    let metrics = tawny::telemetry::Metrics::default();
    let counts = target.door.counts();
    metrics.telemetry_requests(move || counts.read());
    let scraped = metrics.render(&[]);
    for _ in 0..2 {
        assert_eq!(metrics.render(&[]), scraped, "a scrape changes nothing");
    }
    let rows: Vec<&str> = scraped.lines().filter(|line| line.starts_with("tawny_telemetry_requests_total{")).collect();
    assert_eq!(rows.len(), 3, "{scraped}");
    for outcome in ["malformed", "taken", "unsupported"] {
        let row = rows.iter().find(|row| row.contains(&format!("outcome=\"{outcome}\""))).unwrap();
        assert!(row.ends_with("} 1"), "{row}");
    }
}
