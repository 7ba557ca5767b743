//! `tawny diff` as it is run before a merge: on folders, on git revisions, on a file of payloads and on the journal of a
//! daemon.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{change, copy_of_the_rules, out, root, tawny_in};
use crate::client::Client;
use crate::daemon::{Daemon, Home};

/// A copy of the rules in which the owl belongs to others, beside the untouched one.
fn two_sets() -> tempfile::TempDir {
    let home = copy_of_the_rules();
    copy_folder(&home.path().join("rules"), &home.path().join("mine"));
    change(home.path(), "mine/services.yaml", "owner: owl", "owner: payments");
    let body = std::fs::read_to_string(root().join("examples/alertmanager-firing.json")).expect("it is there");
    let body: Value = serde_json::from_str(&body).expect("it is JSON");
    let lines = [
        json!({ "source": "alertmanager", "body": body }).to_string(),
        json!({ "kind": "alertmanager", "body": body.to_string() }).to_string(),
        json!({ "kind": "no-such-kind", "body": "x" }).to_string(),
    ];
    std::fs::write(home.path().join("alerts.jsonl"), lines.join("\n")).expect("it can be written");
    home
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("it can be made");
    for entry in std::fs::read_dir(from).expect("it is there").flatten().filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("it can be copied");
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").args(identity).args(arguments).current_dir(folder).output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_changed_owner_is_counted_with_examples_and_ends_with_1() {
    let home = two_sets();
    let run = tawny_in(home.path(), &["diff", "rules", "mine", "--records", "alerts.jsonl"]);
    let shown = out(&run);
    assert_eq!(run.status.code(), Some(1), "{shown}");
    assert!(shown.contains("2 of 2 alerts change, in 2 lines"), "{shown}");
    assert!(shown.contains("owner: 2 of 2 alerts\n        2  owl -> payments  by services.yaml:"), "{shown}");
    assert!(shown.contains("(line 1 HighErrorRate, line 2 HighErrorRate)"), "{shown}");
    // What could not be read is said, and is no change.
    assert!(shown.contains("in no count: 1; line 3: ") && shown.contains("no-such-kind"), "{shown}");
    let arguments = ["diff", "rules", "mine", "--records", "alerts.jsonl", "--format", "json", "--exit-zero"];
    let run = tawny_in(home.path(), &arguments);
    assert!(run.status.success());
    let found: Value = serde_json::from_slice(&run.stdout).expect("JSON was asked for");
    assert_eq!(found["kinds"].as_object().expect("a map").len(), 1, "{found}");
    assert_eq!(found["kinds"]["owner"]["changes"][0]["after"], json!("payments"));
    assert_eq!((&found["alerts"], &found["changed"]), (&json!(2), &json!(2)));
}

#[test]
fn equal_sets_end_with_0_and_nothing_to_compare_with_2() {
    let home = two_sets();
    let same = tawny_in(home.path(), &["diff", "rules", "rules", "--records", "alerts.jsonl"]);
    assert!(same.status.success() && out(&same).contains("0 of 2 alerts change"), "{}", out(&same));
    std::fs::write(home.path().join("empty.jsonl"), "").expect("it can be written");
    std::fs::write(home.path().join("bad.jsonl"), "{\"kind\":\n").expect("it can be written");
    for (arguments, told) in [
        (&["rules", "mine", "--records", "empty.jsonl"][..], "no records to compare on"),
        (&["rules", "mine", "--records", "bad.jsonl"], "bad.jsonl:1: a line must be one JSON object"),
        (&["rules", "mine"], "there is no file"),
        (&["no-such-branch", "mine", "--records", "alerts.jsonl"], "neither a folder nor a git revision"),
    ] {
        let run = tawny_in(home.path(), &[&["diff"], arguments].concat());
        let fault = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{arguments:?}");
        assert!(fault.contains(told), "{arguments:?}: {fault}");
    }
}

#[test]
fn a_branch_is_compared_with_the_folder_and_with_another_commit() {
    let home = two_sets();
    let at = home.path();
    git(at, &["init", "-q", "-b", "main"]);
    git(at, &["add", "rules"]);
    git(at, &["commit", "-qm", "first"]);
    change(at, "rules/services.yaml", "owner: owl", "owner: payments");
    let run = tawny_in(at, &["diff", "main", "rules", "--records", "alerts.jsonl"]);
    assert_eq!(run.status.code(), Some(1), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(out(&run).contains("owl -> payments"), "{}", out(&run));
    git(at, &["commit", "-qam", "second"]);
    let run = tawny_in(at, &["diff", "HEAD~1", "HEAD:rules", "--records", "alerts.jsonl"]);
    assert!(run.status.code() == Some(1) && out(&run).contains("owl -> payments"), "{}", out(&run));
    let run = tawny_in(at, &["diff", "main", "HEAD", "--records", "alerts.jsonl"]);
    assert!(run.status.success(), "{}{}", out(&run), String::from_utf8_lossy(&run.stderr));
    let run = tawny_in(at, &["diff", "main:nowhere", "rules", "--records", "alerts.jsonl"]);
    assert_eq!(run.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_incidents_that_would_get_another_key_are_named() {
    let sets = two_sets();
    let at = sets.path();
    change(at, "mine/services.yaml", "name: owl-service\n", "name: night-owl\n");
    let home = Home::empty();
    home.write("tawny.yaml", "listen: \"127.0.0.1:0\"\nstore: \"sqlite:tawny.db\"\n");
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let body = std::fs::read(root().join("examples/alertmanager-firing.json")).expect("it is there");
    let reply = client.post(daemon.address, "/in/alertmanager", body).await.expect("it listens");
    assert!(reply.is_taken(), "{reply:?}");
    let shown = client.get(daemon.address, "/api/v1/incidents").await.expect("it listens");
    let shown: Value = serde_json::from_str(&shown.body).expect("the API speaks JSON");
    let key = shown[0]["key"].as_str().expect("an incident has a key");
    let store = format!("sqlite:{}", home.path().join("tawny.db").display());
    let run = tawny_in(at, &["diff", "rules", "mine", "--store", &store]);
    let found = out(&run);
    assert_eq!(run.status.code(), Some(1), "{found}{}", String::from_utf8_lossy(&run.stderr));
    assert!(found.contains("service: 1 of 1 alerts\n        1  owl-service -> night-owl"), "{found}");
    assert!(found.contains("1 of 1 open incidents would get another key"), "{found}");
    assert!(found.contains(&format!("{key} -> v1-")), "{found}");
    let same = tawny_in(at, &["diff", "rules", "built-in", "--store", &store]);
    assert!(same.status.success(), "{}{}", out(&same), String::from_utf8_lossy(&same.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_shadow_rule_would_change_is_counted_by_the_daemon() {
    let sets = copy_of_the_rules();
    let rule = "rules:\n  - { id: owl-to-payments, stage: shadow, expires: 2001-01-01, when: { label.service: { exists: true } }, set: { owner: payments } }\n";
    change(sets.path(), "rules/services.yaml", "rules:\n", rule);
    let home = Home::empty();
    let rules = sets.path().join("rules").display().to_string();
    home.write("tawny.yaml", &format!("listen: \"127.0.0.1:0\"\nstore: \"sqlite:tawny.db\"\nrules: \"{rules}\"\n"));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let body = std::fs::read(root().join("examples/alertmanager-firing.json")).expect("it is there");
    let reply = client.post(daemon.address, "/in/alertmanager", body).await.expect("it listens");
    assert!(reply.is_taken(), "{reply:?}");
    let shown = client.get(daemon.address, "/api/v1/rules").await.expect("it listens");
    let shown: Value = serde_json::from_str(&shown.body).expect("the API speaks JSON");
    let changes = shown["shadow"]["changes"].as_array().expect("a list");
    assert_eq!(changes.len(), 1, "{shown}");
    assert_eq!(changes[0]["tag"], json!("owner"));
    assert_eq!((&changes[0]["before"], &changes[0]["after"]), (&json!("owl"), &json!("payments")));
    assert_eq!((&changes[0]["count"], &changes[0]["examples"][0]["alert"]), (&json!(1), &json!("HighErrorRate")));
    assert_eq!(shown["expired"].as_array().map(Vec::len), Some(1), "{shown}");
    let metrics = client.get(daemon.address, "/metrics").await.expect("it listens").body;
    assert!(metrics.contains("tawny_rules_shadow_changes{rule=\"owl-to-payments\"} 1"), "{metrics}");
    assert!(metrics.contains("tawny_rules_expired 1"), "{metrics}");
    // A reload of the same files changes nothing; one of others begins anew.
    let text = "owner: owl\n";
    assert!(home.log().contains("their date is over"), "{}", home.log_tail());
    change(sets.path(), "rules/services.yaml", text, "owner: owl # as ever\n");
    let reply = client.post(daemon.address, "/-/reload", Vec::new()).await.expect("it listens");
    assert!(reply.is_taken(), "{reply:?}");
    let shown = client.get(daemon.address, "/api/v1/rules").await.expect("it listens");
    let shown: Value = serde_json::from_str(&shown.body).expect("the API speaks JSON");
    assert_eq!(shown["shadow"]["changes"], json!([]));
}
