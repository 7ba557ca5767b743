//! What an answer to a sender is worth: in `through` it is the first sink's, in `memory` it holds until a stop's grace
//! is over, and what is lost then is counted.

use std::time::Duration;

use base64::Engine;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kit::{
    OWL, arrived, block, export, export_by_grpc, home, home_of, ids, metric, outlet, owls, request, settled, sink,
};
use crate::daemon::{Daemon, Home};
use crate::otlp_doors::speak::{Answer, EXPORT, JSON, call, framed, post};
use crate::stand_in::otlp::Otlp;
use crate::stand_in::{Fault, StandIn, Weather};
use crate::wait::{PATIENCE, until, until_true};

fn refuse(status: u16, retry_after: Option<&'static str>) -> Fault {
    Fault::Refuse { status, retry_after }
}

fn has_retry_info(answer: &Answer) -> bool {
    let details = answer.header("grpc-status-details-bin");
    let details = base64::engine::general_purpose::STANDARD_NO_PAD.decode(details).expect("base64");
    details.windows(9).chain(answer.body.windows(9)).any(|part| part == b"RetryInfo")
}

/// After the sink has asked for a pause, its queue says so itself until the pause is over.
async fn after_the_pause(mut ask: impl AsyncFnMut() -> Answer) -> Answer {
    until("the pause of the sink to be over", PATIENCE, async || {
        let answer = ask().await;
        let words = format!("{} {}", String::from_utf8_lossy(&answer.body), answer.header("grpc-message"));
        if !words.contains("asked for a pause") {
            return Some(answer);
        }
        let is_delayed = !answer.header("retry-after").is_empty() || answer.header("grpc-status") == "14";
        assert!(is_delayed, "a pause names its end: {answer:?}");
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_first_sink_answers_is_what_the_sender_of_through_hears() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home_of(&backend, "", ", durability: through");
    let daemon = Daemon::start(&home).await;
    let mut sent = Vec::new();
    for (fault, http, grpc, is_retried) in [
        (refuse(400, None), "400 3", "3", false),
        (refuse(413, None), "413 8", "8", false),
        (refuse(401, None), "401 16", "16", false),
        (refuse(500, None), "500 13", "13", false),
        (refuse(502, None), "502 14", "14", true),
        (refuse(429, Some("1")), "429 14", "14", true),
        (refuse(503, Some("1")), "503 14", "14", true),
    ] {
        backend.set_weather(Weather::Always(fault));
        let body = owls(3);
        let by_http = after_the_pause(async || export(&daemon, &body).await).await;
        assert_eq!(by_http.brief(), http, "{fault:?}: {by_http:?}");
        assert_eq!(!by_http.header("retry-after").is_empty(), is_retried, "{fault:?}: {by_http:?}");
        assert_eq!(has_retry_info(&by_http), is_retried, "{fault:?}");
        let by_grpc = after_the_pause(async || export_by_grpc(&daemon, &body).await).await;
        assert_eq!(by_grpc.header("grpc-status"), grpc, "{fault:?}: {by_grpc:?}");
        assert_eq!(has_retry_info(&by_grpc), is_retried, "{fault:?}: {by_grpc:?}");
        let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"one"}]}]}]}"#;
        let address = daemon.telemetry_addresses()[1];
        let by_json = after_the_pause(async || post(address, "/v1/traces", &[JSON], json).await).await;
        assert_eq!((by_json.brief().as_str(), by_json.header("content-type")), (http, "application/json"));

        // Who was refused may come back with the same spans.
        backend.set_weather(Weather::Fair);
        let answer = after_the_pause(async || export(&daemon, &body).await).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        sent.push(body);
        // The answer is the promise: they are there when it comes.
        assert_eq!(arrived(&backend), ids(&sent));
    }
    let counts = outlet(&daemon, "back").await;
    assert_eq!((counts.accepted, counts.open), (counts.settled, 0.0), "{counts:?}");
    assert_eq!(settled(&daemon, "back", "delivered").await, 21.0);
    assert_eq!(settled(&daemon, "back", "gave_up").await, 0.0, "a sender that was told has lost nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_holds_a_block_twice_hears_the_refusal_of_the_sink() {
    let backend = StandIn::start_in(Otlp::default(), Weather::Always(refuse(400, None))).await;
    let home = home_of(&backend, "", ", durability: through");
    let daemon = Daemon::start(&home).await;
    let twin = block(&OWL, 2);
    let body = request(vec![twin.clone(), twin.clone()]);
    for _ in 0..2 {
        assert_eq!(export(&daemon, &body).await.brief(), "400 3", "a sender must not be asked to come back for ever");
    }
    backend.set_weather(Weather::Fair);
    assert_eq!(export(&daemon, &body).await.status, 200);
    assert_eq!(arrived(&backend), ids(&[request(vec![twin])]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_success_of_the_sink_reaches_the_sender_of_through_and_is_counted() {
    let backend = StandIn::start(Otlp::default()).await;
    backend.role.answer_partly(2, "two were too old");
    let home = home_of(&backend, "", ", durability: through");
    let daemon = Daemon::start(&home).await;
    let partial = |bytes: &[u8]| {
        let answer = ExportTraceServiceResponse::decode(bytes).expect("a response");
        answer.partial_success.map(|partial| (partial.rejected_spans, partial.error_message))
    };
    let expected = Some((2, "two were too old".to_owned()));
    assert_eq!(partial(&export(&daemon, &owls(5)).await.body), expected);
    assert_eq!(partial(&export_by_grpc(&daemon, &owls(5)).await.body[5..]), expected);
    assert_eq!(settled(&daemon, "back", "delivered").await, 6.0);
    assert_eq!(settled(&daemon, "back", "rejected").await, 4.0);
    // Two blocks, one of an unknown id: one answer holds both words.
    let mut odd = block(&OWL, 3);
    odd.scope_spans[0].spans[0].trace_id.truncate(15);
    let said = partial(&export(&daemon, &request(vec![odd])).await.body).expect("a partial success");
    assert!(said.0 == 2 && said.1.starts_with("two were too old; 1 items"), "{said:?}");
}

/// With so many seconds for a stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_refused_for_good_beside_one_that_was_taken_is_a_partial_success() {
    let (good, bad) = (StandIn::start(Otlp::default()).await, StandIn::start(Otlp::default()).await);
    let sinks = [sink("good", &good.url(), ""), sink("bad", &bad.url(), "")].concat();
    let routes = "to: [good], routes: [{ service: [payments], to: [bad] }], durability: through";
    let home = home(&sinks, "", routes);
    let daemon = Daemon::start(&home).await;
    let (mine, theirs) = (|| block(&OWL, 1), || block(&[("service.name", "payments")], 2));
    let rejected = |answer: &Answer, skip: usize| {
        let said = ExportTraceServiceResponse::decode(&answer.body[skip..]).expect("a response");
        said.partial_success.expect("a partial success")
    };
    bad.set_weather(Weather::Always(refuse(400, None)));
    let kept = request(vec![theirs(), mine()]);
    let first = export(&daemon, &kept).await;
    assert_eq!((first.status, rejected(&first, 0).rejected_spans), (200, 2), "{first:?}");
    assert!(rejected(&first, 0).error_message.contains("400"), "{first:?}");
    let by_grpc = export_by_grpc(&daemon, &request(vec![mine(), theirs()])).await;
    assert_eq!((by_grpc.header("grpc-status"), rejected(&by_grpc, 5).rejected_spans), ("0", 2), "{by_grpc:?}");
    assert_eq!(arrived(&good).len(), 2);
    assert_eq!(export(&daemon, &request(vec![theirs()])).await.brief(), "400 3", "alone it is an error");
    // What was accepted before counts as taken.
    assert_eq!(rejected(&export(&daemon, &kept).await, 0).rejected_spans, 2);
    // A part that may come again makes all come again, and what was taken is not sent twice.
    bad.set_weather(Weather::Always(refuse(503, None)));
    let again = request(vec![mine(), theirs()]);
    assert_eq!(export(&daemon, &again).await.brief(), "503 14");
    bad.set_weather(Weather::Fair);
    assert_eq!(after_the_pause(async || export(&daemon, &again).await).await.status, 200);
    assert_eq!((arrived(&good).len(), arrived(&bad).len()), (3, 2));
    assert!(arrived(&good).values().all(|count| *count == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_deadline_passes_has_its_items_counted() {
    let backend = StandIn::start_in(Otlp::default(), Weather::Always(Fault::Hang)).await;
    let home = home_of(&backend, "", ", durability: through");
    let daemon = Daemon::start(&home).await;
    let address = daemon.telemetry_addresses()[0];
    let answer = call(address, EXPORT, &[("grpc-timeout", "300m")], framed(0, &owls(3))).await;
    assert_eq!(answer.header("grpc-status"), "4", "{answer:?}");
    let count = async |outcome: &str| {
        metric(&daemon, "tawny_telemetry_items_total", &format!("signal=\"traces\",outcome=\"{outcome}\"")).await
    };
    assert_eq!(count("abandoned").await, 3.0);
    for other in ["taken", "not_now", "refused", "unsent", "resent"] {
        assert_eq!(count(other).await, 0.0, "{other}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sender_that_left_still_has_is_returned_and_its_request_is_counted() {
    let backend = StandIn::start_in(Otlp::default(), Weather::Always(Fault::Hang)).await;
    let sink = sink("back", &backend.url(), ", timeout_seconds: 1");
    let home = home(&sink, "", "to: [back], durability: through");
    let daemon = Daemon::start(&home).await;
    let address = daemon.telemetry_addresses()[0];
    let is_open = async || metric(&daemon, "tawny_outlet_open", "sink=\"back\"").await == 3.0;
    tokio::select! {
        answer = call(address, EXPORT, &[], framed(0, &owls(3))) => panic!("{answer:?}"),
        () = until_true("the sink has it", PATIENCE, is_open) => {}
    }
    let is_returned = async || settled(&daemon, "back", "returned").await == 3.0;
    until_true("the sink's time is up", PATIENCE, is_returned).await;
    assert_eq!(settled(&daemon, "back", "gave_up").await, 0.0);
    let items = metric(&daemon, "tawny_telemetry_items_total", "signal=\"traces\",outcome=\"abandoned\"").await;
    let labels = "outcome=\"broken\",signal=\"traces\",transport=\"grpc\"";
    assert_eq!((items, metric(&daemon, "tawny_telemetry_requests_total", labels).await), (3.0, 1.0));
}

fn with_shutdown(home: &Home, seconds: u32) {
    let settings = std::fs::read_to_string(home.settings_path()).expect("it was written");
    home.write("tawny.yaml", &settings.replace("limits: { ", &format!("limits: {{ shutdown_seconds: {seconds}, ")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_when_sigterm_comes_is_sent_within_the_grace() {
    let backend = StandIn::start_in(Otlp::default(), Weather::Always(refuse(503, Some("1")))).await;
    let home = home_of(&backend, "", "");
    let daemon = Daemon::start(&home).await;
    let sent: Vec<Vec<u8>> = (0..30).map(|_| owls(10)).collect();
    for body in &sent {
        assert_eq!(export(&daemon, body).await.status, 200);
    }
    assert_eq!(arrived(&backend).len(), 0);
    let opening = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        backend.set_weather(Weather::Fair);
    };
    let (status, ()) = tokio::join!(daemon.terminate(), opening);
    assert!(status.success());
    assert_eq!(arrived(&backend), ids(&sent), "{}", home.log_tail());
    assert!(!home.log().contains("still queued"), "{}", home.log_tail());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stop_could_not_send_is_counted_to_the_item() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home_of(&backend, "", "");
    with_shutdown(&home, 3);
    let daemon = Daemon::start(&home).await;
    let first = owls(7);
    assert_eq!(export(&daemon, &first).await.status, 200);
    until("the first to arrive", PATIENCE, async || (arrived(&backend).len() == 7).then_some(())).await;
    backend.set_weather(Weather::Always(Fault::Hang));
    for _ in 0..30 {
        assert_eq!(export(&daemon, &owls(3)).await.status, 200);
    }
    assert!(daemon.terminate().await.success(), "{}", home.log_tail());
    assert_eq!(arrived(&backend), ids(&[first]));
    assert!(home.log().contains("\"items\":90"), "{}", home.log_tail());
}

/// Peers that are frozen in the middle of something: heads that do not end, and HTTP/2 that answers nothing.
async fn frozen(daemon: &Daemon<'_>) -> Vec<TcpStream> {
    let mut frozen = Vec::new();
    let [grpc, http] = daemon.telemetry_addresses();
    for address in [daemon.address, grpc, http] {
        for said in [&b"POST /in/a HTTP/1.1\r\nhost: a"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(said).await.expect("it reads");
            frozen.push(stream);
        }
    }
    frozen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_ends_what_it_began_hides_no_loss() {
    let backend = StandIn::start_in(Otlp::default(), Weather::Always(Fault::Hang)).await;
    let home = home_of(&backend, "", "");
    with_shutdown(&home, 3);
    let daemon = Daemon::start(&home).await;
    let frozen = frozen(&daemon).await;
    for _ in 0..2 {
        assert_eq!(export(&daemon, &owls(3)).await.status, 200);
    }
    assert!(daemon.terminate().await.success(), "{}", home.log_tail());
    assert!(home.log().contains("\"items\":6"), "{}", home.log_tail());
    assert!(!home.log().contains("took too long"), "{}", home.log_tail());
    drop(frozen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_frames_of_strangers_do_not_fill_the_log() {
    let backend = StandIn::start(Otlp::default()).await;
    let home = home_of(&backend, "", "");
    let daemon = Daemon::start(&home).await;
    let [grpc, _] = daemon.telemetry_addresses();
    // An answer to a ping that nobody sent.
    let frame = b"\0\0\x08\x06\x01\0\0\0\0odd ping";
    let said = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..], &frame.repeat(1000)].concat();
    for address in [daemon.address, grpc] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(&said).await.expect("it reads");
        stream.shutdown().await.expect("it is open");
        // Until the other side has read it all.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    assert!(daemon.terminate().await.success());
    assert!(home.log().lines().count() < 20, "{}", home.log_tail());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_that_a_route_names_first_and_that_takes_the_signal_decides() {
    let (one, two) = (StandIn::start(Otlp::default()).await, StandIn::start(Otlp::default()).await);
    let sinks =
        [sink("logs", &one.url(), ", signals: [logs]"), sink("one", &one.url(), ""), sink("two", &two.url(), "")];
    let routes = "to: [logs, one, two], routes: [{ service: [owl-service], to: [two, one] }], durability: through";
    let home = home(&sinks.concat(), "", routes);
    let daemon = Daemon::start(&home).await;
    two.set_weather(Weather::Always(refuse(400, None)));
    let owl = owls(2);
    assert_eq!(export(&daemon, &owl).await.brief(), "400 3");
    assert!(arrived(&one).is_empty(), "it was only to follow");
    two.set_weather(Weather::Fair);
    assert_eq!(export(&daemon, &owl).await.status, 200);
    assert_eq!(arrived(&two), ids(std::slice::from_ref(&owl)));
    // The first of all takes no spans, so the answer of the next one is passed on, and nobody waits for it to mend.
    one.set_weather(Weather::Always(refuse(503, Some("1"))));
    let other = request(vec![block(&[("service.name", "duo-api")], 2)]);
    assert_eq!(export(&daemon, &other).await.brief(), "503 14");
}
