//! The demo as a newcomer runs it: the real binary, in an empty folder, with nothing set up. Never looks behind
//! what it prints.

use std::fs::{self, File};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::wait::{PATIENCE, until};

/// What fits a terminal.
const COLUMNS: usize = 100;

/// Ended with its test, even by a panic.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// How it ended, its standard output and its standard error.
async fn run_once() -> (ExitStatus, String, String) {
    let paper = tempfile::tempdir().expect("a temporary directory can be made");
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let (story, log) = (paper.path().join("story"), paper.path().join("log"));
    let create = |path| File::create(path).expect("the temporary directory can be written");
    let child = Command::new(env!("CARGO_BIN_EXE_tawny"))
        .args(["demo", "--once"])
        .current_dir(folder.path())
        // Its own folder goes here, so that what is left behind can be seen.
        .env("TMPDIR", folder.path())
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .stdout(create(&story))
        .stderr(create(&log))
        .spawn()
        .expect("the binary can be started");
    let mut demo = Demo(child);
    let status = until("the demo to end by itself", PATIENCE, async || {
        demo.0.try_wait().expect("a child of ours can be waited for")
    })
    .await;
    let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder is still there").flatten().collect();
    assert!(left.is_empty(), "the demo left files behind: {left:?}");
    let read = |path| fs::read_to_string(path).expect("it was written as text");
    (status, read(&story), read(&log))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_comes_out_as_told_and_fits_a_terminal() {
    let (status, story, log) = run_once().await;
    assert!(status.success(), "{log}\n{story}");
    assert_eq!(log, "", "nothing comes between the lines of the story");
    for line in [
        "-> pagerduty    trigger   Errors on owl-service [ECS prod-use1-c2]",
        "-> pagerduty    trigger   Errors on owl-service [EKS prod-use1-c2]",
        "-> pagerduty    trigger   Errors on owl-service [ECS+EKS prod-use1-c2]",
        "-> pagerduty    resolve   Errors on owl-service [ECS+EKS prod-use1-c2]",
        "ok  One page with two legs, each counted by itself.",
        "ok  Three resends cost nothing: no write to the store, no message.",
        "ok  The one that was gone within its hold reached nobody.",
        "ok  Four pages were opened, four were closed, and none is open.",
        "checked while it ran, and hold.",
    ] {
        assert!(story.contains(line), "`{line}` is missing:\n{story}");
    }
    assert!(!story.contains("WRONG"), "{story}");
    let too_long: Vec<&str> = story.lines().filter(|line| line.chars().count() > COLUMNS).collect();
    assert!(too_long.is_empty(), "{too_long:#?}");
}
