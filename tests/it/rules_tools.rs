//! The commands for people who write rules, run as they would run them: `test`, `check`, `schema`, `explain`, `diff`. Looks at
//! what is printed and at exit codes; what a lint finds is tested beside the lints.

mod diff;
mod json_schema;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tawny::rules::schema::{SECTIONS, json_schema as rules_schema, markdown as rules_reference};
use tawny::sources::SOURCES;

use crate::client::Client;
use crate::daemon::{Daemon, Home};
use crate::wait::{PATIENCE, until};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

fn tawny_in(folder: &Path, arguments: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_tawny")).args(arguments).current_dir(folder).output();
    run.expect("the binary was built with this test")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder with the shipped rules and their tests, to be changed.
fn copy_of_the_rules() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    for folder in ["rules", "rules/tests", "rules/tests/payloads"] {
        std::fs::create_dir_all(home.path().join(folder)).expect("it can be written");
        for entry in std::fs::read_dir(root().join(folder)).expect("it is there").flatten() {
            if entry.path().is_file() {
                let to = home.path().join(folder).join(entry.file_name());
                std::fs::copy(entry.path(), to).expect("it can be copied");
            }
        }
    }
    home
}

fn change(home: &Path, file: &str, from: &str, to: &str) {
    let path = home.join(file);
    let text = std::fs::read_to_string(&path).expect("it was copied");
    assert!(text.contains(from), "{file} does not contain `{from}`");
    std::fs::write(path, text.replacen(from, to, 1)).expect("it can be written");
}

#[test]
fn an_alias_and_its_test_added_by_copying_work_at_once() {
    let home = copy_of_the_rules();
    change(home.path(), "rules/services.yaml", "aliases: [lessons-svc,", "aliases: [lessons-svc, lektionen,");
    let tests = home.path().join("rules/tests/services.yaml");
    let mut text = std::fs::read_to_string(&tests).expect("it was copied");
    text.push_str("\n  - name: the German name\n    given: { alert: { service: lektionen } }\n    expect: { service: lessons, owner: learning }\n");
    std::fs::write(&tests, text).expect("it can be written");
    let played = tawny_in(home.path(), &["test", "--filter", "German"]);
    assert!(played.status.success(), "{}{}", out(&played), String::from_utf8_lossy(&played.stderr));
    assert!(out(&played).contains("1 tests hold, 0 fail"), "{}", out(&played));
    assert!(tawny_in(home.path(), &["test"]).status.success());
    assert!(tawny_in(home.path(), &["check"]).status.success());
}

#[test]
fn a_failing_test_is_shown_with_its_line_and_ends_with_1() {
    let home = copy_of_the_rules();
    change(
        home.path(),
        "rules/tests/services.yaml",
        "expect: { service: owl-service, owner: owl,",
        "expect: { service: owl-service, owner: payments,",
    );
    let junit = home.path().join("out.xml");
    let played = tawny_in(home.path(), &["test", "--junit", &junit.display().to_string()]);
    let shown = out(&played);
    assert_eq!(played.status.code(), Some(1), "{shown}");
    assert!(shown.contains("FAILED  rules/tests/services.yaml:"), "{shown}");
    assert!(
        shown
            .contains("`owner` is `owl`, expected `payments`\n        expect: { service: owl-service, owner: payments"),
        "{shown}"
    );
    assert!(shown.contains("^\n    set by services.yaml:"), "{shown}");
    let xml = std::fs::read_to_string(junit).expect("it was written");
    assert!(xml.contains("failures=\"1\"") && xml.contains("rules/tests/services.yaml"), "{xml}");
    let played = tawny_in(home.path(), &["test", "--format", "json"]);
    let report: Value = serde_json::from_slice(&played.stdout).expect("JSON was asked for");
    assert_eq!(report["holds"], json!(false));
    let failed: Vec<&Value> =
        report["tests"].as_array().expect("a list").iter().filter(|test| test["holds"] == json!(false)).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["failures"][0]["file"], json!("rules/tests/services.yaml"));
    // `check` says the same, so that one command is enough for CI.
    let checked = tawny_in(home.path(), &["check", "--format", "github"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(out(&checked).contains("::error file=rules/tests/services.yaml,line="), "{}", out(&checked));
}

#[test]
fn nothing_to_play_is_no_success() {
    let home = copy_of_the_rules();
    let played = tawny_in(home.path(), &["test", "--filter", "no test is called this"]);
    assert_eq!(played.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&played.stderr).contains("no test has this in its name"));
    std::fs::remove_dir_all(home.path().join("rules/tests")).expect("it was copied");
    let played = tawny_in(home.path(), &["test"]);
    assert_eq!(played.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&played.stderr).contains("no tests: put them into `tests/*.yaml`"));
    assert_eq!(tawny_in(home.path(), &["test", "--no-such-flag"]).status.code(), Some(2));
    // Rules without tests may run; `check` says so once.
    let checked = tawny_in(home.path(), &["check", "--format", "json"]);
    assert!(checked.status.success());
    let found: Value = serde_json::from_slice(&checked.stdout).expect("JSON was asked for");
    let messages: Vec<&str> =
        found.as_array().expect("a list").iter().filter_map(|found| found["message"].as_str()).collect();
    assert!(matches!(messages[..], [message] if message.starts_with("no tests: ")), "{messages:?}");
    assert_eq!(tawny_in(home.path(), &["check", "--deny-warnings"]).status.code(), Some(1));
}

#[test]
fn what_check_finds_is_drawn_with_its_line_and_a_hint() {
    let home = copy_of_the_rules();
    change(home.path(), "rules/cells.yaml", "share: 0.6", "share: 0.5");
    let checked = tawny_in(home.path(), &["check"]);
    assert!(checked.status.success(), "{}", out(&checked));
    let shown = out(&checked);
    assert!(
        shown.contains("warning: the shares of `production` add up to 0.9\n        share: 0.1\n               ^\n"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_route_whose_sink_leaves_signals_out_is_told_by_check_and_at_the_start() {
    let home = Home::with_sinks(
        "  - { name: all, kind: otlp, endpoint: 'http://127.0.0.1:1' }
  - { name: some, kind: otlp, endpoint: 'http://127.0.0.1:1', signals: [traces] }
spans: { to: [all], routes: [{ owner: [owl], to: [some] }] }
",
    );
    let told = "`spans.routes`: what fits entry 1 (owner: owl) goes to `some`, and nobody there takes logs, metrics";
    let settings = home.settings_path();
    let settings = settings.to_str().expect("a path in ASCII");
    let folder = copy_of_the_rules();
    let checked = tawny_in(folder.path(), &["check", "--config", settings]);
    assert!(checked.status.success() && out(&checked).contains(told), "{}", out(&checked));
    let strict = tawny_in(folder.path(), &["check", "--deny-warnings", "--config", settings]);
    assert_eq!(strict.status.code(), Some(1));
    let daemon = Daemon::start(&home).await;
    assert!(home.log().contains(told), "{}", home.log());
    daemon.terminate().await;
}

#[test]
fn the_shipped_files_fit_the_schema_and_a_slip_does_not() {
    let schema = rules_schema();
    let mut file_count = 0;
    for folder in ["rules", "rules/tests"] {
        for entry in std::fs::read_dir(root().join(folder)).expect("it is there").flatten() {
            if entry.path().extension().is_none_or(|kind| kind != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).expect("a rule file is text");
            let value: Value = serde_saphyr::from_str(&text).expect("it is YAML");
            let faults = json_schema::faults(&schema, &value);
            assert!(faults.is_empty(), "{}:\n{}", entry.path().display(), faults.join("\n"));
            file_count += 1;
        }
    }
    assert!(file_count >= 8, "{file_count} files");
    for wrong in [
        "{ version: 1, kind: platfrom }",
        "{ version: 2, kind: platform }",
        "{ version: 1, kind: platform, ruels: [] }",
        "{ version: 1, kind: platform, rules: [{ id: a, when: {}, set: { platfrom: ecs } }] }",
        "{ version: 1, kind: platform, rules: [{ id: a, when: { cluster: x }, set: { platform: ecs } }] }",
        "{ version: 1, kind: platform, rules: [{ id: a, when: { label.x: { perfix: x } }, set: { platform: ecs } }] }",
        "{ version: 1, kind: platform, rules: [{ id: a, when: {}, set: {} }] }",
        "{ version: 1, kind: routes, routes: [{ id: a, hold: soon }] }",
        "{ version: 1, kind: cells, cells: [{ id: a, wave: -1 }] }",
        "{ version: 1, tests: [{ name: a, expct: {} }] }",
        "{ version: 1, tests: [{ name: a, expect: { platfrom: ecs } }] }",
    ] {
        let value: Value = serde_saphyr::from_str(wrong).expect("it is YAML");
        assert!(!json_schema::faults(&schema, &value).is_empty(), "{wrong}");
    }
}

#[test]
fn the_example_settings_fit_their_schema_and_a_slip_does_not() {
    let printed = tawny_in(root(), &["schema", "settings"]);
    let schema: Value = serde_json::from_slice(&printed.stdout).expect("a schema is JSON");
    let take_in = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("  ") || rest.starts_with(|first: char| first.is_alphabetic()) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    let text: String = read("deploy/tawny.yaml").lines().map(|line| take_in(line) + "\n").collect();
    let value: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    let faults = json_schema::faults(&schema, &value);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for wrong in [
        "{ lisen: x }",
        "{ limits: { body_second: 1 } }",
        "{ sources: [{ name: a, kind: alertmanger }] }",
        "{ sources: [{ name: a, kind: json, token: abc }] }",
        "{ sources: [{ name: a, kind: json, options: { states: { up: ressolved } } }] }",
        "{ sinks: [{ name: a, kind: pagerduty, routing_kye: { env: A } }] }",
        "{ sinks: [{ name: a, kind: sentry, dsn: \"https://x\" }] }",
        "{ sinks: [{ kind: console }] }",
    ] {
        let value: Value = serde_saphyr::from_str(wrong).expect("it is YAML");
        assert!(!json_schema::faults(&schema, &value).is_empty(), "{wrong}");
    }
}

#[test]
fn the_printed_schema_is_the_one_beside_the_rules() {
    let printed = tawny_in(root(), &["schema", "rules"]);
    assert!(printed.status.success());
    expect_file("rules/schema/rules.v1.json", &out(&printed));
}

#[test]
fn the_reference_of_the_format_is_made_from_the_table() {
    const MARK: &str = "<!-- Everything below is made by `UPDATE=1 cargo test --test it rules_tools`. -->\n";
    let document = "docs/rules-reference.md";
    let text = read(document);
    let (head, _) = text.split_once(MARK).expect("the mark stands in the document");
    let made = format!("{head}{MARK}\n{}", rules_reference());
    for section in SECTIONS {
        assert!(made.contains(&format!("\n### {}\n", section.name)), "{}", section.name);
    }
    expect_file(document, &made);
}

/// Compares, or with `UPDATE=1` writes.
fn expect_file(path: &str, expected: &str) {
    if std::env::var_os("UPDATE").is_some() {
        let path = root().join(path);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("it can be made");
        std::fs::write(path, expected).expect("it can be written");
        return;
    }
    let held = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(held == expected, "{path} is not what the program says; run this test with UPDATE=1");
}

/// Bodies that a daemon can be sent, with the kind of source and the path.
fn bodies() -> Vec<(String, &'static str, &'static str)> {
    let mut bodies = Vec::new();
    for entry in std::fs::read_dir(root().join("examples")).expect("there are examples").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kinds = SOURCES.iter().filter(|source| name.starts_with(source.kind()));
        // The longest: `alertmanager-api.json` is not one of `alertmanager`.
        let source = kinds.max_by_key(|source| source.kind().len());
        let source = source.unwrap_or_else(|| panic!("examples/{name} begins with no kind of source"));
        let path = source.fixed_paths().first().copied().unwrap_or("");
        bodies.push((format!("examples/{name}"), source.kind(), path));
    }
    bodies.push((
        "tests/fixtures/sources/alertmanager-api/mixed.json".to_owned(),
        "alertmanager-api",
        "/api/v2/alerts",
    ));
    bodies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_explained_is_what_the_daemon_decides() {
    let mut compared_count = 0;
    for (file, kind, path) in bodies() {
        // A daemon for each, so that no message meets an incident of another.
        let home = Home::empty();
        home.write("tawny.yaml", "listen: \"127.0.0.1:0\"\nstore: \"sqlite:tawny.db\"\n");
        let daemon = Daemon::start(&home).await;
        let client = Client::new();
        let body = std::fs::read(root().join(&file)).expect("it was listed");
        let explained = tawny_in(
            home.path(),
            &["explain", &root().join(&file).display().to_string(), "--source", kind, "--format", "json"],
        );
        let explained: Value =
            serde_json::from_slice(&explained.stdout).unwrap_or_else(|cause| panic!("{file}: {cause}"));
        let reply = client.post(daemon.address, &format!("/in/{kind}{path}"), body).await.expect("it listens");
        assert!(reply.is_taken(), "{file}: {reply:?}");
        let shown = client.get(daemon.address, "/api/v1/incidents?state=recent").await.expect("it listens");
        let shown: Value = serde_json::from_str(&shown.body).expect("the API speaks JSON");
        let incidents = shown.as_array().expect("a list of incidents");
        let firing: Vec<&Value> = explained["alerts"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|alert| alert["state"] == json!("firing"))
            .collect();
        for alert in &firing {
            let incident = incidents.iter().find(|incident| incident["key"] == alert["incident"]);
            let incident = incident.unwrap_or_else(|| panic!("{file}: no incident {} in {shown}", alert["incident"]));
            assert_eq!(incident["title"], alert["title"], "{file}");
            assert_eq!(incident["tags"], alert["tags"], "{file}");
            assert_eq!(incident["route"], alert["route"]["by"], "{file}");
            assert_eq!(incident["sinks"], alert["route"]["sinks"], "{file}");
            compared_count += 1;
        }
        let keys: std::collections::BTreeSet<&str> =
            firing.iter().filter_map(|alert| alert["incident"].as_str()).collect();
        assert_eq!(incidents.len(), keys.len(), "{file}: {shown}");
        // The same from the journal, while the daemon runs.
        let url = format!("sqlite:{}", home.path().join("tawny.db").display());
        let again = until("the record to be readable", PATIENCE, async || {
            let again = tawny_in(home.path(), &["explain", "--record", "last", "--store", &url, "--format", "json"]);
            again.status.success().then(|| serde_json::from_slice::<Value>(&again.stdout).expect("JSON was asked for"))
        })
        .await;
        for (now, then) in
            again["alerts"].as_array().expect("a list").iter().zip(explained["alerts"].as_array().expect("a list"))
        {
            for part in ["tags", "incident", "route", "identity", "key_parts", "near_misses"] {
                assert_eq!(now[part], then[part], "{file}: {part} of the record");
            }
        }
        let recorded = again["record"]["decisions"]["alerts"].as_array().expect("the decision is kept");
        assert_eq!(recorded.len(), explained["alerts"].as_array().expect("a list").len(), "{file}");
    }
    assert!(compared_count >= 5, "{compared_count} alerts");
}

#[test]
fn a_record_that_is_not_there_is_said_to_be_missing() {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let missing = tawny_in(home.path(), &["explain", "--record", "1", "--store", "sqlite:nowhere.db"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no file `nowhere.db`"));
    assert!(!home.path().join("nowhere.db").exists(), "asking must not make a store");
}
