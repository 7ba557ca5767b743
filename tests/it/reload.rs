//! Rules that change under a running daemon: good ones go live whole, wrong ones never do, and nobody is told twice.
//! Never waits for the watcher where a reload can be asked for.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::client::{Alert, Client, prometheus_body};
use crate::daemon::{Daemon, Home};
use crate::stand_in::StandIn;
use crate::stand_in::pagerduty::PagerDuty;
use crate::wait::{PATIENCE, until_true};

const ROUTES: &str = "version: 1\nkind: routes\nroutes:\n  - id: all\n    when: {}\n    hold: 0s\n";

/// A rule that gives every alert this cell, as a file of its own.
fn cell(name: &str) -> String {
    format!(
        "version: 1\nkind: platform\nrules:\n  - id: here\n    when: {{ label.alertname: {{ exists: true }} }}\n    set: {{ runbook: \"https://{name}.example.com\" }}\n"
    )
}

struct Folder {
    home: Home,
    path: PathBuf,
}

impl Folder {
    fn new(endpoint: &str) -> Folder {
        let home = Home::with_pager(endpoint);
        let path = home.path().join("rules");
        fs::create_dir(&path).expect("a fresh home");
        let folder = Folder { home, path };
        folder.write("routes.yaml", ROUTES);
        folder.write("platform.yaml", &cell("one"));
        let settings = fs::read_to_string(folder.home.settings_path()).expect("it was written");
        folder.home.write("tawny.yaml", &format!("rules: {}\n{settings}", folder.path.display()));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path.join(name), text).expect("the folder can be written");
    }
}

async fn revision(client: &Client, daemon: &Daemon<'_>) -> String {
    let reply = client.get(daemon.address, "/api/v1/rules").await.expect("the daemon answers");
    let body: serde_json::Value = serde_json::from_str(&reply.body).expect("it is JSON");
    body["revision"].as_str().expect("a revision").to_owned()
}

async fn reload(client: &Client, daemon: &Daemon<'_>) -> (u16, String) {
    let reply = client.post(daemon.address, "/-/reload", Vec::new()).await.expect("the daemon answers");
    (reply.status, reply.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_set_never_goes_live_and_the_last_good_one_survives_a_restart() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let folder = Folder::new(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&folder.home).await;
    let client = Client::new();
    let good = revision(&client, &daemon).await;

    let half = &cell("two")[..60];
    let duplicate = format!("{}  - id: here\n    when: {{}}\n    set: {{ cell: a }}\n", cell("two"));
    for (name, text, named) in [
        ("platform.yaml", half, "platform.yaml"),
        ("platform.yaml", duplicate.as_str(), "here"),
        ("platform.yaml", "version: 1\nkind: platform\nruels: []\n", "ruels"),
        ("platform.yaml", "\u{0}\u{1}", "platform.yaml"),
        ("routes.yaml", "version: 1\nkind: routes\nroutes:\n  - id: all\n    when: {}\n    to: [nobody]\n", "nobody"),
        ("routes.yaml", "version: 1\nkind: routes\nroutes: []\n", "routes"),
    ] {
        folder.write(name, text);
        let (status, body) = reload(&client, &daemon).await;
        assert_eq!(status, 422, "{name} {text:?}: {body}");
        assert!(body.contains(named), "{body}");
        assert_eq!(revision(&client, &daemon).await, good);
        assert_eq!(client.metric(daemon.address, "tawny_rules_stale").await, Some(1.0));
        let ready = client.get(daemon.address, "/readyz").await.expect("the daemon answers");
        assert!(ready.status == 200 && ready.body.contains("refused"), "{ready:?}");
        folder.write("routes.yaml", ROUTES);
        folder.write("platform.yaml", &cell("one"));
        assert_eq!(reload(&client, &daemon).await.0, 200);
        assert_eq!(client.metric(daemon.address, "tawny_rules_stale").await, Some(0.0));
    }

    // Not readable, not there, and a link in a circle.
    fs::remove_file(folder.path.join("platform.yaml")).expect("it is there");
    symlink("platform.yaml", folder.path.join("platform.yaml")).expect("a link can be made");
    assert_eq!(reload(&client, &daemon).await.0, 422);
    fs::remove_file(folder.path.join("platform.yaml")).expect("it is there");
    fs::create_dir(folder.path.join("gone")).expect("a folder can be made");
    fs::rename(&folder.path, folder.home.path().join("elsewhere")).expect("it can be renamed");
    assert_eq!(reload(&client, &daemon).await.0, 422);
    assert_eq!(revision(&client, &daemon).await, good);

    daemon.kill();
    let daemon = Daemon::start(&folder.home).await;
    assert_eq!(revision(&client, &daemon).await, good, "the last good rules came from the store");
    fs::rename(folder.home.path().join("elsewhere"), &folder.path).expect("it can be renamed");
    folder.write("platform.yaml", &cell("three"));
    assert_eq!(reload(&client, &daemon).await.0, 200);
    assert_ne!(revision(&client, &daemon).await, good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swapped_link_a_written_file_and_a_signal_are_followed_and_nobody_is_told_again() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let folder = Folder::new(&pagerduty.endpoint(0));
    // As git-sync does it: the folder is a link, and the link is replaced.
    let commits = ["a".repeat(40), "b".repeat(40)];
    for (commit, name) in commits.iter().zip(["one", "two"]) {
        let tree = folder.home.path().join(commit);
        fs::create_dir(&tree).expect("a fresh home");
        fs::write(tree.join("routes.yaml"), ROUTES).expect("the folder can be written");
        fs::write(tree.join("platform.yaml"), cell(name)).expect("the folder can be written");
    }
    fs::remove_dir_all(&folder.path).expect("it is there");
    symlink(&commits[0], &folder.path).expect("a link can be made");
    let daemon = Daemon::start(&folder.home).await;
    let client = Client::new();
    assert_eq!(revision(&client, &daemon).await, "aaaaaaaaaaaa");
    let alert = Alert::firing(&[("alertname", "HighErrorRate"), ("service", "owl-service"), ("severity", "critical")]);
    let fire = async || {
        let body = prometheus_body(std::slice::from_ref(&alert));
        let reply = client.post(daemon.address, "/api/v2/alerts", body).await;
        assert!(reply.as_ref().is_ok_and(|reply| reply.is_taken()), "{reply:?}");
    };
    fire().await;

    replace_link(&folder.path, &commits[1]);
    until_true("the swapped link to be followed", PATIENCE, async || {
        revision(&client, &daemon).await == "bbbbbbbbbbbb"
    })
    .await;
    fire().await;
    fs::write(folder.home.path().join(&commits[1]).join("platform.yaml"), cell("four")).expect("it can be written");
    let before = client.metric(daemon.address, "tawny_rules_loads").await;
    let log = folder.home.log().len();
    daemon.hang_up();
    until_true("the signal to be heard", PATIENCE, async || folder.home.log()[log..].contains("reloading the rules"))
        .await;
    until_true("what was written to go live", PATIENCE, async || {
        client.metric(daemon.address, "tawny_rules_loads").await > before
    })
    .await;
    fire().await;
    until_true("all deliveries to be settled", PATIENCE, async || {
        client.metric(daemon.address, "tawny_deliveries_pending").await == Some(0.0)
    })
    .await;
    let events: usize = pagerduty.role.alerts().values().map(|alert| alert.events.len()).sum();
    assert_eq!(events, 1, "one page, whatever the rules did");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_fail_no_request() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let folder = Folder::new(&pagerduty.endpoint(0));
    let rules: String = (0..1000)
        .map(|number| {
            format!("  - id: r{number}\n    when: {{ label.pod: p{number} }}\n    set: {{ runbook: \"https://{number}.example.com\" }}\n")
        })
        .collect();
    let thousand = |name: &str| format!("{}{rules}", cell(name));
    folder.write("platform.yaml", &thousand("one"));
    let daemon = Daemon::start(&folder.home).await;
    let client = Client::new();
    let load = async {
        for number in 0..150 {
            let pod = format!("p{number}");
            let alert = Alert::firing(&[("alertname", "A"), ("service", "owl-service"), ("pod", &pod)]);
            let reply = client.post(daemon.address, "/api/v2/alerts", prometheus_body(&[alert])).await;
            assert!(reply.as_ref().is_ok_and(|reply| reply.is_taken()), "{reply:?}");
        }
    };
    let reloads = async {
        for number in 0..10 {
            folder.write("platform.yaml", &thousand(&format!("n{number}")));
            assert_eq!(reload(&client, &daemon).await.0, 200);
        }
    };
    tokio::join!(load, reloads);
}

fn replace_link(link: &Path, target: &str) {
    let part = link.with_file_name("..part");
    symlink(target, &part).expect("a link can be made");
    fs::rename(&part, link).expect("it can be renamed");
}

impl Daemon<'_> {
    fn hang_up(&self) {
        let id = self.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -HUP \"$0\"", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGHUP could not be sent to {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_whose_own_tests_fail_never_goes_live() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let folder = Folder::new(&pagerduty.endpoint(0));
    let test = |expected: &str| {
        format!(
            "version: 1\ntests:\n  - name: the runbook\n    given: {{ alert: {{ labels: {{ alertname: A }} }} }}\n    expect: {{ runbook: \"https://{expected}.example.com\" }}\n"
        )
    };
    fs::create_dir(folder.path.join("tests")).expect("the folder can be written");
    folder.write("tests/a.yaml", &test("one"));
    let daemon = Daemon::start(&folder.home).await;
    let client = Client::new();
    let good = revision(&client, &daemon).await;
    folder.write("platform.yaml", &cell("two"));
    let (status, body) = reload(&client, &daemon).await;
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("tests/a.yaml:5") && body.contains("https://one.example.com"), "{body}");
    assert_eq!(revision(&client, &daemon).await, good);
    folder.write("tests/a.yaml", &test("two"));
    assert_eq!(reload(&client, &daemon).await.0, 200);
    assert_ne!(revision(&client, &daemon).await, good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_file_that_cannot_be_read_is_named_and_the_last_good_set_stays() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let folder = Folder::new(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&folder.home).await;
    let client = Client::new();
    let good = revision(&client, &daemon).await;
    let path = folder.path.join("platform.yaml");
    let refused = async |why: &str| {
        let (status, body) = reload(&client, &daemon).await;
        assert_eq!(status, 422, "{why}: {body}");
        assert!(body.contains("platform.yaml") && body.contains(why), "{why}: {body}");
        assert_eq!(revision(&client, &daemon).await, good);
        assert_eq!(client.metric(daemon.address, "tawny_rules_stale").await, Some(1.0));
    };

    fs::remove_file(&path).expect("it is there");
    symlink("nowhere.yaml", &path).expect("a link can be made");
    refused("No such file").await;
    fs::remove_file(&path).expect("it is there");
    fs::create_dir(&path).expect("a folder can be made");
    refused("not a file").await;
    fs::remove_dir(&path).expect("it is there");
    fs::write(&path, b"version: 1\nkind: platform # \xff\n").expect("the folder can be written");
    refused("UTF-8").await;
    folder.write("platform.yaml", &cell("two"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("it is ours");
    // Root reads everything, so only others can see this one.
    if fs::read(&path).is_err() {
        refused("denied").await;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert_eq!(reload(&client, &daemon).await.0, 200);
    assert_ne!(revision(&client, &daemon).await, good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_map_swapped_in_mid_read_is_one_whole_set_or_the_other() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let folder = Folder::new(&pagerduty.endpoint(0));
    // The same marker in every file: a mixture would compile, and have a revision of its own.
    let names: Vec<String> = (0..20).map(|number| format!("platform-{number}.yaml")).collect();
    fs::remove_file(folder.path.join("platform.yaml")).expect("it is there");
    fs::remove_file(folder.path.join("routes.yaml")).expect("it is there");
    for version in ["one", "two"] {
        let tree = folder.path.join(format!("..{version}"));
        fs::create_dir(&tree).expect("the folder can be written");
        fs::write(tree.join("routes.yaml"), ROUTES).expect("the folder can be written");
        for (number, name) in names.iter().enumerate() {
            let text = cell(version).replace("id: here", &format!("id: here-{number}"));
            fs::write(tree.join(name), text).expect("the folder can be written");
        }
    }
    let data = folder.path.join("..data");
    symlink("..one", &data).expect("a link can be made");
    for name in names.iter().map(String::as_str).chain(["routes.yaml"]) {
        symlink(Path::new("..data").join(name), folder.path.join(name)).expect("a link can be made");
    }
    let daemon = Daemon::start(&folder.home).await;
    let client = Client::new();
    let one = revision(&client, &daemon).await;
    replace_link(&data, "..two");
    assert_eq!(reload(&client, &daemon).await.0, 200);
    let two = revision(&client, &daemon).await;
    assert_ne!(one, two);

    let is_over = AtomicBool::new(false);
    let swaps = || {
        for version in ["..one", "..two"].into_iter().cycle() {
            replace_link(&data, version);
            if is_over.load(Relaxed) {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "a thread of its own that only sets the pace of the swaps")]
            std::thread::sleep(Duration::from_micros(700));
        }
    };
    let (mut loads, mut foreign) = (0, Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(swaps);
        let reloads = async {
            for _ in 0..60 {
                let (status, body) = reload(&client, &daemon).await;
                let says_why = status == 422 && body.contains("does not stop changing");
                if status != 200 && !says_why {
                    foreign.push(body);
                }
                loads += usize::from(status == 200);
                let live = revision(&client, &daemon).await;
                if live != one && live != two {
                    foreign.push(live);
                }
            }
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(reloads));
        is_over.store(true, Relaxed);
    });
    assert!(foreign.is_empty(), "neither {one} nor {two}: {foreign:?}");
    assert!(loads > 0, "not one of 60 reloads got through");
    replace_link(&data, "..one");
    assert_eq!(reload(&client, &daemon).await.0, 200);
    assert_eq!(revision(&client, &daemon).await, one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_set_that_is_put_back_after_one_that_cannot_be_read_is_no_longer_refused() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let folder = Folder::new(&pagerduty.endpoint(0));
    let good = folder.home.path().join("good");
    fs::rename(&folder.path, &good).expect("it can be renamed");
    symlink(&good, &folder.path).expect("a link can be made");
    let bad = folder.home.path().join("bad");
    fs::create_dir(&bad).expect("a fresh home");
    symlink("nowhere.yaml", bad.join("routes.yaml")).expect("a link can be made");
    let daemon = Daemon::start(&folder.home).await;
    let client = Client::new();
    let stale = async || client.metric(daemon.address, "tawny_rules_stale").await;
    let link = |target: &Path| replace_link(&folder.path, target.to_str().expect("a path in ASCII"));
    for target in [&bad, &folder.home.path().join("missing")] {
        link(target);
        until_true("the folder to be refused", PATIENCE, async || stale().await == Some(1.0)).await;
        // Byte for byte what is in force, and with the same times.
        link(&good);
        until_true("the refusal to be over", PATIENCE, async || stale().await == Some(0.0)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_stay_refused_page_once_and_the_page_ends_with_good_rules() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let folder = Folder::new(&pagerduty.endpoint(0));
    let settings = fs::read_to_string(folder.home.settings_path()).expect("it was written");
    folder.home.write("tawny.yaml", &format!("rules_refused_for: 2s\n{settings}"));
    let daemon = Daemon::start(&folder.home).await;
    let client = Client::new();
    folder.write("platform.yaml", "version: 1\nkind: platform\nruels: []\n");
    assert_eq!(reload(&client, &daemon).await.0, 422);
    until_true("somebody to be paged", PATIENCE, async || pagerduty.role.page_count() == 1).await;
    let paged = pagerduty.role.alerts();
    let alert = paged.values().next().expect("one was paged");
    let said = format!("{:?}", alert.events);
    assert!(said.contains("TawnyRulesRefused") && said.contains("ruels"), "{said}");
    // It fires while it lasts, and nobody is paged again.
    folder.write("platform.yaml", &cell("two"));
    assert_eq!(reload(&client, &daemon).await.0, 200);
    until_true("the page to end", PATIENCE, async || pagerduty.role.resolve_count() == 1).await;
    assert_eq!(pagerduty.role.page_count(), 1);
    // A slip that is mended in time is nobody's business.
    folder.write("platform.yaml", "version: 1\n");
    assert_eq!(reload(&client, &daemon).await.0, 422);
    folder.write("platform.yaml", &cell("three"));
    assert_eq!(reload(&client, &daemon).await.0, 200);
    assert_eq!((pagerduty.role.page_count(), pagerduty.role.resolve_count()), (1, 1));
}
