//! More alerts at once than on a bad night, while the pager does not answer, and more bodies than there is room for. Never
//! asks how fast: each alert is taken or its sender asked to come back, memory stays within bounds, and in the end every
//! problem was told of once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{Alert, Client, alertmanager_body, prometheus_body, sum_of_metric};
use crate::daemon::{Daemon, Home};
use crate::stand_in::pagerduty::PagerDuty;
use crate::stand_in::{Fault, StandIn, Weather};
use crate::wait::{PATIENCE, until, until_true};

const SENDER_COUNT: usize = 16;
const POSTS_PER_SENDER: usize = 20;
const ALERTS_PER_POST: usize = 100;
const PROBLEM_COUNT: u32 = 200;
/// Of a debug build; what is told of one alert is some hundreds of bytes, and bodies on their way have a budget of their own.
const MEMORY_BYTES_MAX: u64 = 300 << 20;

/// Post number `post` of a sender: pods of one problem each, which other posts tell of too.
fn alerts(sender: usize, post: usize) -> Vec<Alert> {
    let name = format!("Flood{:03}", (sender * POSTS_PER_SENDER + post) % PROBLEM_COUNT as usize);
    (0..ALERTS_PER_POST)
        .map(|number| {
            let pod = format!("owl-{sender}-{post}-{number}");
            let place = [("alertname", name.as_str()), ("service", "owl-service"), ("cell", "c1"), ("pod", &pod)];
            Alert::firing(&place)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_alerts_behind_a_pager_that_hangs_is_taken_or_told_to_come_back_and_each_problem_pages_once() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    pagerduty.set_weather(Weather::Always(Fault::Hang));
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let mut daemon = Daemon::start(&home).await;
    let address = daemon.address;
    let come_backs = Arc::<AtomicU32>::default();
    let mut senders = JoinSet::new();
    for sender in 0..SENDER_COUNT {
        let come_backs = come_backs.clone();
        senders.spawn(async move {
            let client = Client::new();
            for post in 0..POSTS_PER_SENDER {
                let alerts = alerts(sender, post);
                let (path, body) = match sender % 2 {
                    0 => ("/api/v2/alerts", prometheus_body(&alerts)),
                    _ => ("/in/alertmanager", alertmanager_body(&alerts)),
                };
                loop {
                    let reply = client.post(address, path, body.clone()).await.expect("an answer");
                    if reply.is_taken() {
                        break;
                    }
                    assert_eq!((reply.status, reply.retry_after.is_some()), (503, true), "{reply:?}");
                    come_backs.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    let client = Client::new();
    while let Some(ended) = senders.join_next().await {
        ended.expect("every sender ends");
        assert_eq!(client.get(address, "/livez").await.expect("an answer").status, 200, "in the middle of it");
    }
    let page = client.get(address, "/metrics").await.expect("an answer").body;
    let taken = sum_of_metric(&page, "tawny_alerts_total", "source=").unwrap_or_default();
    assert_eq!(
        taken,
        (SENDER_COUNT * POSTS_PER_SENDER * ALERTS_PER_POST) as f64,
        "{come_backs:?} were asked to come back"
    );
    assert_eq!(sum_of_metric(&page, "tawny_incidents_open", ""), Some(f64::from(PROBLEM_COUNT)));
    let peak = daemon.memory_peak_bytes();
    assert!(peak < MEMORY_BYTES_MAX, "{} MiB at the peak", peak >> 20);
    assert!(daemon.is_running());

    // What hangs on the wire ends with the daemon's patience; everything else is new.
    pagerduty.set_weather(Weather::Fair);
    until_true("a page for each problem", PATIENCE, async || {
        pagerduty.role.page_count() == PROBLEM_COUNT
            && client.metric(address, "tawny_deliveries_pending").await == Some(0.0)
    })
    .await;
    let alerts = pagerduty.role.alerts();
    assert_eq!(alerts.len(), PROBLEM_COUNT as usize);
    for alert in alerts.values() {
        assert_eq!((alert.page_count, alert.is_open), (1, true), "{alert:?}");
    }
    println!("peak {} MiB, {come_backs:?} answers of 503", peak >> 20);
}

/// One alert with so much to say.
fn wordy(name: &str, bytes: usize) -> Vec<u8> {
    let place = [("alertname", name), ("service", "owl-service"), ("cell", "c1")];
    prometheus_body(&[Alert { summary: "e".repeat(bytes), ..Alert::firing(&place) }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_beyond_the_room_for_them_are_told_to_come_back_while_small_ones_pass_and_none_is_lost() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let mut home = Home::with_pager(&pagerduty.endpoint(0));
    home.set_environment("TAWNY__LIMITS__IN_FLIGHT_BYTES", "1048576");
    home.set_environment("TAWNY__LIMITS__BODY_SECONDS", "60");
    let mut daemon = Daemon::start(&home).await;
    let address = daemon.address;
    let client = Client::new();

    // Somebody slow holds most of the room from its first byte on.
    let held = wordy("Held", 900_000);
    let mut slow = TcpStream::connect(address).await.expect("the daemon listens");
    let head = format!(
        "POST /api/v2/alerts HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        held.len()
    );
    slow.write_all(head.as_bytes()).await.expect("a head is taken");
    slow.write_all(&held[..1000]).await.expect("a part of a body is taken");

    let mut taken_before = 0;
    let refused = until("an answer that there is no room", PATIENCE, async || {
        let body = wordy(&format!("Before{taken_before}"), 200_000);
        let reply = client.post(address, "/api/v2/alerts", body).await.ok()?;
        taken_before += u32::from(reply.is_taken());
        (!reply.is_taken()).then_some(reply)
    })
    .await;
    assert_eq!((refused.status, refused.retry_after.is_some()), (503, true), "{refused:?}");
    assert_eq!(refused.reason().as_deref(), Some("too many bodies are being read"));
    let names: Vec<String> = (0..24).map(|number| format!("Large{number:02}")).collect();
    for name in &names {
        let reply = client.post(address, "/api/v2/alerts", wordy(name, 200_000)).await.expect("an answer");
        assert_eq!((reply.status, reply.retry_after.is_some()), (503, true), "{name}: {reply:?}");
        let reply = client.post(address, "/api/v2/alerts", wordy(&format!("Small{name}"), 100)).await;
        assert!(reply.expect("an answer").is_taken(), "what is small beside {name}");
    }

    slow.write_all(&held[1000..]).await.expect("the rest is taken");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("an answer to who was slow");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for name in &names {
        let reply = client.post(address, "/api/v2/alerts", wordy(name, 200_000)).await.expect("an answer");
        assert!(reply.is_taken(), "{name} came again: {reply:?}");
    }
    let all = 1 + taken_before + 2 * u32::try_from(names.len()).expect("few");
    until_true("a page for each problem", PATIENCE, async || pagerduty.role.page_count() == all).await;
    assert!(pagerduty.role.alerts().values().all(|alert| (alert.page_count, alert.is_open) == (1, true)));
    assert!(daemon.is_running());
}
