//! How a sender comes to hear that it was refused, whatever it sent and however it listens.

use std::io::{Read, Write};

use crate::bad_input::{assert_refused, assert_well, rejects, text};
use crate::client::{Alert, Client, alertmanager_body, pagerduty_body, prometheus_body};
use crate::daemon::{Daemon, Home, PAGERDUTY_IN_KEY};
use crate::stand_in::StandIn;
use crate::stand_in::pagerduty::PagerDuty;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_where_no_routing_key_can_be_found_is_refused_for_what_it_is_and_listed_without_its_text() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    for (body, words) in [
        ("trigger=1", "the body is not JSON"),
        ("", "the body is empty"),
        ("[]", "expected an event object, found a list"),
        (r#"{"routing_key":"#, "the body is not JSON"),
    ] {
        let (before, _) = rejects(&daemon, &client).await;
        let reply = client.post(daemon.address, "/v2/enqueue", body.as_bytes().to_vec()).await.expect("an answer");
        assert_refused(&reply, &[400], body);
        assert!(text(&reply).contains(words), "{body}: {reply:?}");
        let (after, list) = rejects(&daemon, &client).await;
        assert_eq!(after, before + 1, "{body}");
        assert!(body.is_empty() || body == "[]" || !list.contains(body), "its text is kept: {list}");
    }
    assert_well(&mut daemon, &client, "events that are none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_serves_all_routing_keys_and_a_method_that_nobody_takes_is_refused_in_words() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let mut home = Home::with_pager(&pagerduty.endpoint(0));
    let other = "ccccccccccccccccccccccccccccccc2";
    home.set_environment("OTHER_IN_KEY", other);
    let settings = std::fs::read_to_string(home.settings_path()).expect("the settings were written");
    let both =
        settings.replace("sinks:\n", "  - { name: zz, kind: pagerduty, token: { env: OTHER_IN_KEY } }\nsinks:\n");
    home.write("tawny.yaml", &both);
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    for key in [PAGERDUTY_IN_KEY, other] {
        let body = pagerduty_body(key, "trigger", "same-key");
        let reply = client.post(daemon.address, "/v2/enqueue", body).await.expect("an answer");
        assert_eq!(reply.status, 202, "{reply:?}");
    }
    let body = pagerduty_body("ffffffffffffffffffffffffffffffff", "trigger", "same-key");
    assert_refused(&client.post(daemon.address, "/v2/enqueue", body).await.expect("an answer"), &[400], "a third key");
    let page = client.get(daemon.address, "/metrics").await.expect("an answer").body;
    for name in ["pd", "zz"] {
        assert!(page.contains(&format!("source=\"{name}\",status=\"202\"}} 1")), "{name}: {page}");
    }
    for path in ["/v2/enqueue", "/api/v1/alerts", "/in/pd"] {
        let reply = client.get(daemon.address, path).await.expect("an answer");
        assert_refused(&reply, &[405], path);
    }
    assert_well(&mut daemon, &client, "GET").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_all_before_listening_still_hears_why_it_was_refused() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let daemon = Daemon::start(&home).await;
    for (path, megabytes, status) in [("/in/alertmanager", 20, "413"), ("/in/locked", 12, "401"), ("/in/no", 12, "404")]
    {
        let address = daemon.address;
        let answer = tokio::task::spawn_blocking(move || {
            let mut line = std::net::TcpStream::connect(address).expect("the daemon listens");
            let length = megabytes << 20;
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            line.write_all(head.as_bytes()).expect("the head is taken");
            let piece = vec![b' '; 1 << 20];
            for sent in 0..megabytes {
                line.write_all(&piece).unwrap_or_else(|cause| panic!("{path}: cut off after {sent} MB: {cause}"));
            }
            let mut answer = String::new();
            line.read_to_string(&mut answer).expect("an answer");
            answer
        })
        .await
        .expect("the sender ends");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: `{answer}`");
    }
}

/// A typed slash at the end, a prefix of another product, two slashes where a tool joins addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_the_same_with_a_slash_behind_it_and_with_a_prefix_that_senders_put_before_theirs() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    let alerts = [Alert::firing(&[("alertname", "HighErrorRate"), ("service", "owl-service")])];
    let (webhook, api) = (alertmanager_body(&alerts), prometheus_body(&alerts));
    let event = pagerduty_body(PAGERDUTY_IN_KEY, "trigger", "k");
    for (path, body, status) in [
        ("/in/alertmanager/", &webhook, 200),
        ("/in/alertmanager//", &webhook, 200),
        ("/in/prom/", &api, 200),
        ("/in/prom/api/v2/alerts/", &api, 200),
        ("/in/prom//api/v2/alerts", &api, 200),
        ("/in/prom/api/alertmanager/api/v2/alerts", &api, 200),
        ("/in/prom/alertmanager/api/v1/alerts", &api, 200),
        ("/api/v2/alerts/", &api, 200),
        ("/api/v1/alerts/", &api, 200),
        ("/in/pd/", &event, 202),
        ("/in/pd//v2/enqueue", &event, 202),
        ("/v2/enqueue/", &event, 202),
        ("/v2/change/enqueue/", &event, 202),
    ] {
        let reply = client.post(daemon.address, path, body.clone()).await.expect("an answer");
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        let is_v1 = path.contains("/api/v1/");
        assert_eq!(reply.body.contains("\"status\":\"success\""), is_v1 || status == 202, "{path}: {reply:?}");
    }
    assert_well(&mut daemon, &client, "slashes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_for_a_source_that_is_not_there_is_seen_and_neither_its_text_nor_its_address_is_kept() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    let (before, _) = rejects(&daemon, &client).await;
    for path in ["/in/alertmanger", "/in/alertmanger/s3cret-in-a-path", "/in/", "/in"] {
        let body = alertmanager_body(&[Alert::firing(&[("alertname", "OwlIsLost")])]);
        let reply = client.post(daemon.address, path, body).await.expect("an answer");
        assert_refused(&reply, &[404], path);
    }
    let reply = client.get(daemon.address, "/in/alertmanger").await.expect("an answer");
    assert_refused(&reply, &[404], "a GET");
    let (after, list) = rejects(&daemon, &client).await;
    assert_eq!(after, before + 4, "{list}");
    assert!(list.contains("no source has the address of this request, from 127.0.0.1"), "{list}");
    assert!(!list.contains("OwlIsLost") && !list.contains("s3cret"), "{list}");
    let page = client.get(daemon.address, "/metrics").await.expect("an answer").body;
    assert!(page.contains("tawny_rejects_total{source=\"unknown\"} 4"), "{page}");
    assert_well(&mut daemon, &client, "addresses of nobody").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_routing_key_in_the_header_counts_where_the_body_has_none() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    let keyed = String::from_utf8(pagerduty_body(PAGERDUTY_IN_KEY, "trigger", "k")).expect("JSON is text");
    let mut event: serde_json::Value = serde_json::from_str(&keyed).expect("it is JSON");
    event.as_object_mut().expect("an event").remove("routing_key");
    let wrong = keyed.replace(PAGERDUTY_IN_KEY, "ffffffffffffffffffffffffffffffff");
    let empty = keyed.replace(PAGERDUTY_IN_KEY, "");
    for (key, body, status) in [
        (PAGERDUTY_IN_KEY, event.to_string(), 202),
        (PAGERDUTY_IN_KEY, empty.clone(), 202),
        ("", empty, 400),
        ("ffffffffffffffffffffffffffffffff", event.to_string(), 400),
        ("", event.to_string(), 400),
        (PAGERDUTY_IN_KEY, wrong, 400),
    ] {
        for path in ["/v2/enqueue", "/in/pd/v2/enqueue"] {
            let headers = [("content-type", "application/json"), ("x-routing-key", key)];
            let reply = client.post_with(daemon.address, path, &headers, body.clone().into_bytes()).await;
            let reply = reply.expect("an answer");
            assert_eq!(reply.status, status, "{key} to {path}: {reply:?}");
        }
    }
    assert!(!home.log().contains(PAGERDUTY_IN_KEY), "the log gives the key away");
    assert_well(&mut daemon, &client, "keys in headers").await;
}
