//! Secrets go in through every door, and are then looked for in all that the daemon writes and says. Never
//! looks at the settings or the environment, where they belong.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::client::{Alert, Client, alertmanager_body, pagerduty_body};
use crate::daemon::{Daemon, Home, LOCKED_TOKEN, PAGER_KEY, PAGERDUTY_IN_KEY, pager};
use crate::stand_in::StandIn;
use crate::stand_in::pagerduty::PagerDuty;
use crate::wait::{PATIENCE, until_true};

const HOOK_SECRET: &str = "whsec_b3dsLXJlbGF5LXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=";
const SENTRY_KEY: &str = "5e2c0a9b8d7f4e6a";
const READ: [&str; 13] = [
    "/",
    "/api/v1/incidents?state=open",
    "/api/v1/incidents?state=recent",
    "/api/v1/deliveries",
    "/api/v1/deliveries?state=pending",
    "/api/v1/deliveries?state=dead",
    "/api/v1/rejects",
    "/api/v1/rules",
    "/api/v2/alerts",
    "/api/v2/status",
    "/api/v2/receivers",
    "/metrics",
    "/readyz",
];

fn secrets() -> [&'static str; 5] {
    [PAGERDUTY_IN_KEY, PAGER_KEY, LOCKED_TOKEN, &HOOK_SECRET["whsec_".len()..], SENTRY_KEY]
}

/// Bodies of the one who knows the key: taken, refused, and with the key where nobody expects it.
fn pagerduty_bodies() -> Vec<(&'static str, Vec<u8>, u16)> {
    let key = PAGERDUTY_IN_KEY;
    let taken = |dedup_key| String::from_utf8(pagerduty_body(key, "trigger", dedup_key)).expect("JSON is text");
    let escaped: String = key.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let with =
        |dedup_key, more: String| taken(dedup_key).replacen("\"payload\":{", &format!("\"payload\":{{{more}"), 1);
    let repeated = format!(r#""custom_details":{{"url":"https://events.example.com/{key}/x","{key}":"{key}"}},"#);
    let hidden = format!(r#""custom_details":{{"note":"as {escaped} said"}},"#);
    let nested = format!(r#""custom_details":{{"raw":"{{\"routing_key\":\"{}\"}}"}},"#, escaped.replace('\\', "\\\\"));
    vec![
        ("/v2/enqueue", taken("plain").into_bytes(), 202),
        ("/in/pd", taken("by-name").into_bytes(), 202),
        ("/v2/enqueue", with("repeated", repeated).into_bytes(), 202),
        ("/v2/enqueue", with("hidden", hidden).into_bytes(), 202),
        ("/v2/enqueue", with("nested", nested).into_bytes(), 202),
        ("/v2/enqueue", taken("escaped").replace(key, &escaped).into_bytes(), 202),
        ("/v2/enqueue", pagerduty_body(key, "snooze", "refused"), 400),
        ("/v2/enqueue", format!(r#"{{"routing_key":"{key}","event_action":"#).into_bytes(), 400),
        ("/v2/enqueue", format!(r#"{{"routing_key":"{escaped}","event_action":"nothing"}}"#).into_bytes(), 400),
        ("/in/pd/integration/fedcba9876543210fedcba9876543210/enqueue", taken("path").into_bytes(), 404),
    ]
}

fn assert_silent(what: &str, bytes: &[u8]) {
    for secret in secrets() {
        let at = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
        let around = at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(200)..at]).into_owned());
        assert!(at.is_none(), "{what} gives the secret `{secret}` away behind: {around:?}");
    }
}

/// The database, its log, and what went to standard output and error.
fn assert_files_are_silent(home: &Path) {
    let mut seen = Vec::new();
    for entry in fs::read_dir(home).expect("the home can be listed") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        if path.is_file() && name != "event.json" {
            assert_silent(&name, &fs::read(&path).expect("a file can be read"));
            seen.push(name);
        }
    }
    for expected in ["tawny.db", "tawny.db-wal", "stderr.log", "stdout.log"] {
        assert!(seen.iter().any(|name| name == expected), "{expected} was not there to be looked at: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_stands_in_the_store_the_log_or_any_answer() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let mut home = Home::with_sinks(&format!(
        "{}  - {{ name: console, kind: console }}\n  \
         - {{ name: hook, kind: webhook, secret: {{ env: HOOK_SECRET }}, endpoint: \"http://127.0.0.1:9/hook\" }}\n  \
         - {{ name: errors, kind: sentry, dsn: {{ env: SENTRY_DSN }} }}\n",
        pager(&pagerduty.endpoint(0))
    ));
    home.set_environment("HOOK_SECRET", HOOK_SECRET);
    home.set_environment("SENTRY_DSN", &format!("http://{SENTRY_KEY}@127.0.0.1:9/7"));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    for (path, body, status) in pagerduty_bodies() {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let reply = client.post(daemon.address, path, body).await.expect("an answer");
        assert_eq!(reply.status, status, "{shown}: {reply:?}");
        // An address that nobody has is told to whoever asked for it, and to nobody else.
        if status != 404 {
            assert_silent(&format!("the answer to {shown}"), reply.body.as_bytes());
        }
    }
    let bearer = format!("Bearer {LOCKED_TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("user-agent", LOCKED_TOKEN)];
    let good = alertmanager_body(&[Alert::firing(&[("alertname", "HighErrorRate"), ("service", "owl-service")])]);
    for (path, body) in [("/in/locked", good), ("/in/locked", b"{".to_vec())] {
        let path = format!("{path}?token={LOCKED_TOKEN}");
        client.post_with(daemon.address, &path, &headers, body).await.expect("an answer");
    }
    until_true("all sinks to have been asked", PATIENCE, async || {
        pagerduty.role.page_count() >= 1 && home.log().contains("tried again")
    })
    .await;

    for path in READ {
        let reply = client.get(daemon.address, path).await.expect("the daemon answers");
        assert_silent(path, reply.body.as_bytes());
        if path == "/api/v1/rejects" {
            assert!(reply.body.contains("[secret]") && reply.body.contains("snooze"), "bodies are kept: {reply:?}");
        }
        if path == "/api/v1/incidents?state=recent" {
            let list: Vec<serde_json::Value> = serde_json::from_str(&reply.body).expect("our own API speaks JSON");
            for incident in list {
                let path = format!("/api/v1/incidents/{}", incident["key"].as_str().expect("an incident has a key"));
                let detail = client.get(daemon.address, &path).await.expect("the daemon answers");
                assert_silent(&path, detail.body.as_bytes());
            }
        }
    }
    assert_files_are_silent(home.path());
    daemon.kill();
    assert_files_are_silent(home.path());
}

#[test]
fn explain_shows_no_secret() {
    let home = Home::with_sinks(&pager("http://127.0.0.1:9"));
    for (_, body, _) in pagerduty_bodies() {
        fs::write(home.path().join("event.json"), body).expect("the temporary directory can be written");
        for format in ["human", "json"] {
            let run = Command::new(env!("CARGO_BIN_EXE_tawny"))
                .args(["explain", "event.json", "--source", "pd", "--format", format, "--config", "tawny.yaml"])
                .current_dir(home.path())
                .envs([("PD_KEY", PAGER_KEY), ("PD_IN_KEY", PAGERDUTY_IN_KEY), ("LOCKED_TOKEN", LOCKED_TOKEN)])
                .output()
                .expect("the binary can be started");
            assert_silent("explain", &run.stdout);
            assert_silent("explain", &run.stderr);
        }
    }
}
