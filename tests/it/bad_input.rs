//! What no sender should send, sent. Each is refused with a status and a sentence, and the daemon goes on as if
//! nothing had been.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Alert, Client, Reply, alertmanager_body, pagerduty_body, prometheus_body, trickle};
use crate::daemon::{Daemon, Home, LOCKED_TOKEN};
use crate::stand_in::StandIn;
use crate::stand_in::pagerduty::PagerDuty;
use crate::wait::{PATIENCE, until_true};

/// More than one body of the largest kind may be in memory; a bomb that went off would show.
const MEMORY_GROWTH_MAX: u64 = 96 << 20;

fn good_alert() -> Alert {
    Alert::firing(&[("alertname", "HighErrorRate"), ("service", "owl-service"), ("cell", "c1")])
}

pub(crate) fn text(reply: &Reply) -> String {
    reply.reason().unwrap_or_else(|| panic!("no sentence in the answer {reply:?}"))
}

/// Refused as it is, with one line of JSON that says why.
pub(crate) fn assert_refused(reply: &Reply, statuses: &[u16], what: &str) {
    assert!(statuses.contains(&reply.status), "{what}: expected one of {statuses:?}, got {reply:?}");
    let reason = text(reply);
    assert!(!reason.trim().is_empty(), "{what}: an empty reason in {reply:?}");
    assert!(!reply.body.trim_end().contains('\n') && reply.body.len() <= 1000, "{what}: not one short line: {reply:?}");
}

/// Ready, and a good alert is still taken.
pub(crate) async fn assert_well(daemon: &mut Daemon<'_>, client: &Client, after: &str) {
    assert!(daemon.is_running(), "the daemon ended after {after}");
    let ready = client.get(daemon.address, "/readyz").await;
    assert!(ready.as_ref().is_ok_and(|reply| reply.status == 200), "not ready after {after}: {ready:?}");
    let taken = client.post(daemon.address, "/in/alertmanager", alertmanager_body(&[good_alert()])).await;
    assert!(taken.as_ref().is_ok_and(Reply::is_taken), "a good alert was refused after {after}: {taken:?}");
}

pub(crate) async fn rejects(daemon: &Daemon<'_>, client: &Client) -> (usize, String) {
    let reply = client.get(daemon.address, "/api/v1/rejects").await.expect("the daemon answers");
    assert_eq!(reply.status, 200, "{reply:?}");
    let value: Value = serde_json::from_str(&reply.body).expect("our own API speaks JSON");
    let list = if value.is_array() { value } else { value["rejects"].clone() };
    (list.as_array().expect("a list of rejects").len(), reply.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_cannot_be_understood_is_refused_with_a_reason_and_kept() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    let nested = "[".repeat(100_000);
    let nested_label = format!(r#"[{{"labels":{{"alertname":"X","deep":{nested}}}}}]"#);
    let webhook = "/in/alertmanager";
    let api = "/api/v2/alerts";
    let cases: [(&str, &str, &str); 15] = [
        ("not JSON", webhook, "status=firing&alert=Disk"),
        ("half a body", webhook, r#"{"version":"4","alerts":[{"status":"fir"#),
        ("nothing at all", webhook, ""),
        ("a list for an object", webhook, "[]"),
        ("text for the list of alerts", webhook, r#"{"version":"4","status":"firing","alerts":"many"}"#),
        ("an alert without labels", webhook, r#"{"version":"4","status":"firing","alerts":[{"status":"firing"}]}"#),
        ("deep nesting", webhook, &nested),
        ("not JSON", api, "alerts!"),
        ("an object for a list", api, r#"{"labels":{"alertname":"X"}}"#),
        ("a number as a label", api, r#"[{"labels":{"alertname":7}}]"#),
        ("no labels", api, r#"[{"labels":{}}]"#),
        ("only empty labels", api, r#"[{"labels":{"alertname":"","service":""}}]"#),
        ("a time that is none", api, r#"[{"labels":{"alertname":"X"},"startsAt":"2026-13-45T25:00:00Z"}]"#),
        (
            "an end before the start",
            api,
            r#"[{"labels":{"alertname":"X"},"startsAt":"2026-11-23T02:00:00Z","endsAt":"2026-11-23T01:00:00Z"}]"#,
        ),
        ("deep nesting", api, &nested_label),
    ];
    for (what, path, body) in cases {
        let what = format!("{what} to {path}");
        let (before, _) = rejects(&daemon, &client).await;
        let reply = client.post(daemon.address, path, body.as_bytes().to_vec()).await.expect("the daemon answers");
        assert_refused(&reply, &[400], &what);
        let reason = serde_json::to_string(&text(&reply)).expect("text is JSON");
        // The sender's answer does not wait for the list.
        until_true(&format!("{what} to be in the list of rejects, with {reason}"), PATIENCE, async || {
            let (after, list) = rejects(&daemon, &client).await;
            after > before && list.contains(reason.trim_matches('"'))
        })
        .await;
        assert_well(&mut daemon, &client, &what).await;
    }
    until_true("the one good alert to page", PATIENCE, async || pagerduty.role.page_count() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_alert_in_a_batch_never_costs_the_good_ones() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let good = String::from_utf8(prometheus_body(&[good_alert()])).expect("JSON is text");
    let mixed = format!(r#"[{{"labels":{{}}}},{},{{"labels":{{"alertname":7}}}}]"#, good.trim_matches(['[', ']']));
    let (before, _) = rejects(&daemon, &client).await;
    let reply = client.post(daemon.address, "/api/v2/alerts", mixed.into_bytes()).await.expect("the daemon answers");
    assert_eq!(reply.status, 200, "{reply:?}");
    until_true("the good alert to page", PATIENCE, async || pagerduty.role.page_count() == 1).await;
    until_true("both bad alerts to be kept, each on its own", PATIENCE, async || {
        rejects(&daemon, &client).await.0 == before + 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_far_from_now_neither_breaks_nor_outlives_anything() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    for (starts_at, ends_at) in [
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("-9999-01-01T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("99999-01-01T00:00:00Z", "99999-01-01T00:00:00Z"),
    ] {
        let body =
            format!(r#"[{{"labels":{{"alertname":"{starts_at}"}},"startsAt":"{starts_at}","endsAt":"{ends_at}"}}]"#);
        let reply = client.post(daemon.address, "/api/v2/alerts", body.into_bytes()).await.expect("the daemon answers");
        assert!(reply.is_taken() || reply.status == 400, "{starts_at} to {ends_at}: {reply:?}");
        assert_well(&mut daemon, &client, starts_at).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_before_it_takes_memory() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    assert_well(&mut daemon, &client, "nothing yet").await;
    let before = daemon.memory_peak_bytes();
    let head = "POST /in/alertmanager HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

    let announced = format!("{head}content-length: {}\r\n\r\n", 20 << 20);
    let chunk = || vec![b' '; 1 << 20];
    let pieces = std::iter::once(announced.into_bytes()).chain((0..20).map(|_| chunk()));
    let answer = trickle(daemon.address, pieces, Duration::ZERO).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "20 MB with a length: `{answer}`");
    assert_well(&mut daemon, &client, "20 MB with a length").await;

    let unannounced = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let pieces = std::iter::once(unannounced.into_bytes()).chain((0..20).map(|_| {
        let mut piece = format!("{:x}\r\n", 1 << 20).into_bytes();
        piece.extend(chunk());
        piece.extend(b"\r\n");
        piece
    }));
    let answer = trickle(daemon.address, pieces, Duration::ZERO).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "20 MB without a length: `{answer}`");
    assert_well(&mut daemon, &client, "20 MB without a length").await;

    let bomb = gzip_of_zeros(64 << 20);
    assert!(bomb.len() < 128 << 10, "64 MB of nothing should be small, not {} bytes", bomb.len());
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let reply = client.post_with(daemon.address, "/in/alertmanager", &headers, bomb).await.expect("an answer");
    assert_refused(&reply, &[413], "64 MB in a small gzip");
    let reply = client.post_with(daemon.address, "/in/alertmanager", &headers, b"\x1f\x8bnonsense".to_vec()).await;
    assert_refused(&reply.expect("an answer"), &[400], "a broken gzip");
    let unknown = [("content-type", "application/json"), ("content-encoding", "zstd, br")];
    let reply = client.post_with(daemon.address, "/in/alertmanager", &unknown, b"x".to_vec()).await;
    assert_refused(&reply.expect("an answer"), &[400, 415], "an encoding nobody knows");
    assert_well(&mut daemon, &client, "a gzip bomb").await;

    let growth = daemon.memory_peak_bytes().saturating_sub(before);
    assert!(growth < MEMORY_GROWTH_MAX, "memory grew by {} MB", growth >> 20);
}

fn gzip_of_zeros(byte_count: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..byte_count / zeros.len() {
        encoder.write_all(&zeros).expect("memory takes what is written");
    }
    encoder.finish().expect("memory takes what is written")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_are_ended_and_delay_nobody() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    let address = daemon.address;
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let head = "POST /in/alertmanager HTTP/1.1\r\nhost: x\r\ncontent-length: 4000\r\n\r\n".as_bytes().to_vec();
        let pieces = std::iter::once(head).chain((0..200).map(|_| b" ".to_vec()));
        slow.spawn(async move { ("408", trickle(address, pieces, Duration::from_millis(100)).await) });
        // Headers that never end: there is nobody yet to answer, so closing the line is enough.
        let pieces = std::iter::once(b"POST /in/alertmanager HTTP/1.1\r\nhost: x\r\nx-slow: ".to_vec())
            .chain((0..200).map(|_| b"a".to_vec()));
        slow.spawn(async move { ("", trickle(address, pieces, Duration::from_millis(100)).await) });
    }
    // Meanwhile others are served.
    assert_well(&mut daemon, &client, "32 slow senders").await;
    while let Some(ended) = slow.join_next().await {
        let (expected, answer) = ended.expect("every slow line ends");
        match expected {
            "" => assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "slow headers: `{answer}`"),
            status => assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "slow body: `{answer}`"),
        }
    }
    assert_well(&mut daemon, &client, "slow senders").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_without_the_sources_secret() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    let basic = |user_and_password: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user_and_password))
    };
    let (before, _) = rejects(&daemon, &client).await;
    for wrong in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer wrong".to_owned(),
        format!("Bearer {LOCKED_TOKEN}x"),
        format!("Bearer {}", &LOCKED_TOKEN[1..]),
        basic("prometheus:wrong"),
        basic(LOCKED_TOKEN),
        "Basic !!!".to_owned(),
        format!("Digest {LOCKED_TOKEN}"),
    ] {
        let headers = [("authorization", wrong.as_str())];
        let body = alertmanager_body(&[good_alert()]);
        let reply = client.post_with(daemon.address, "/in/locked", &headers, body).await.expect("an answer");
        assert_refused(&reply, &[401], &format!("authorization `{wrong}`"));
        assert!(!reply.body.contains(LOCKED_TOKEN), "the answer gives the secret away: {reply:?}");
    }
    let (after, kept) = rejects(&daemon, &client).await;
    assert_eq!(after, before + 9, "each is seen");
    assert!(kept.contains("the token is missing or wrong, from 127.0.0.1"), "{kept}");
    assert!(!kept.contains(LOCKED_TOKEN), "{kept}");
    for right in [format!("Bearer {LOCKED_TOKEN}"), basic(&format!("prometheus:{LOCKED_TOKEN}"))] {
        let headers = [("authorization", right.as_str())];
        let body = alertmanager_body(&[good_alert()]);
        let reply = client.post_with(daemon.address, "/in/locked", &headers, body).await.expect("an answer");
        assert!(reply.is_taken(), "authorization of kind `{}`: {reply:?}", &right[..6]);
    }
    // PagerDuty's own answer to a wrong key is 400, and its clients know nothing else.
    let body = pagerduty_body("ffffffffffffffffffffffffffffffff", "trigger", "k");
    let reply = client.post(daemon.address, "/v2/enqueue", body).await.expect("an answer");
    assert_refused(&reply, &[400, 401], "a wrong routing key");
    assert_well(&mut daemon, &client, "wrong credentials").await;
    assert!(!home.log().contains(LOCKED_TOKEN), "the log gives the secret away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_nobody_has_is_named_in_the_answer() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    for path in ["/in/nobody", "/in/", "/nowhere", "/in/%ff%00", "/api/v2/nothing", "/v2/other"] {
        let reply = client.post(daemon.address, path, alertmanager_body(&[good_alert()])).await.expect("an answer");
        assert_refused(&reply, &[404], path);
    }
    let reply = client.get(daemon.address, "/in/alertmanager").await.expect("an answer");
    assert!((400..500).contains(&reply.status), "a GET of a source: {reply:?}");
    assert_well(&mut daemon, &client, "unknown addresses").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_address_without_authentication_is_refused_with_file_and_line() {
    let home = Home::empty();
    let settings = format!(
        "listen: \"0.0.0.0:0\"\nstore: \"sqlite:{}\"\nsources:\n  - {{ name: open, kind: alertmanager }}\nsinks:\n  \
         - {{ name: console, kind: console }}\n",
        home.path().join("tawny.db").display()
    );
    home.write("tawny.yaml", &settings);
    let (status, words) = Daemon::refuse(&home).await;
    assert!(!status.success());
    assert!(words.contains("tawny.yaml:4"), "the file and the line of the source are missing: {words}");
    assert!(words.contains("open"), "the source is not named: {words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_cannot_be_right_are_refused_with_file_and_line() {
    for (what, line, settings) in [
        ("lisen", "tawny.yaml:1", "lisen: \"127.0.0.1:0\"\n"),
        (
            "NO_SUCH_VARIABLE",
            "tawny.yaml:3",
            "listen: \"127.0.0.1:0\"\nsinks:\n  - { name: pager, kind: pagerduty, routing_key: { env: NO_SUCH_VARIABLE } }\n",
        ),
        ("carrier-pigeon", "tawny.yaml:3", "listen: \"127.0.0.1:0\"\nsinks:\n  - { name: x, kind: carrier-pigeon }\n"),
    ] {
        let home = Home::empty();
        home.write("tawny.yaml", settings);
        let (status, words) = Daemon::refuse(&home).await;
        assert!(!status.success());
        assert!(words.contains(line) && words.contains(what), "`{what}` at {line} is not what was said: {words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_settings_file_it_listens_on_loopback_only() {
    let home = Home::empty();
    // The default has a port of its own, which another daemon on this machine may hold for a while.
    until_true("port 9393, which the default needs, to be free", PATIENCE, async || {
        std::net::TcpListener::bind("127.0.0.1:9393").is_ok() && std::net::TcpListener::bind("[::1]:9393").is_ok()
    })
    .await;
    let daemon = Daemon::start(&home).await;
    assert!(daemon.address.ip().is_loopback(), "it listens on {}", daemon.address);
    let sockets = daemon.listening();
    assert!(!sockets.is_empty(), "a daemon that is ready has a listening socket");
    for socket in sockets {
        // The kernel writes words of addresses in the byte order of the machine: 127.0.0.1 and ::1.
        let is_loopback = socket.starts_with("0100007F:") || socket.starts_with("00000000000000000000000001000000:");
        assert!(is_loopback, "it also listens on {socket}, which is not loopback");
    }
    let reply = Client::new().post(daemon.address, "/in/alertmanager", alertmanager_body(&[good_alert()])).await;
    assert!(reply.as_ref().is_ok_and(Reply::is_taken), "an instance per kind exists without a file: {reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_cannot_be_read_is_answered_in_the_words_of_the_api() {
    let home = Home::with_pager("http://127.0.0.1:9");
    let mut daemon = Daemon::start(&home).await;
    let client = Client::new();
    for path in [
        "/api/v1/incidents?limit=x",
        "/api/v1/incidents?limit=-1",
        "/api/v1/incidents?state=ajar",
        "/api/v1/incidents/v1-nothing",
        "/api/v1/incidents/%ff",
        "/api/v1/deliveries?limit=99999999999999999999",
        "/api/v1/deliveries?limit=1&limit=2",
        "/api/v1/rejects?limit=",
    ] {
        let reply = client.get(daemon.address, path).await.expect("an answer");
        assert_refused(&reply, &[400], path);
    }
    assert_well(&mut daemon, &client, "questions nobody understands").await;
}
