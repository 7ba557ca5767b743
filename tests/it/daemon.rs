//! Starts the real binary in a directory of its own, kills it, stops it, starts it again. Never touches a process
//! it did not start.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::client::Client;
use crate::wait::{PATIENCE, until};

/// 32 letters and digits, as PagerDuty wants its keys.
pub const PAGER_KEY: &str = "0123456789abcdef0123456789abcdef";
pub const PAGERDUTY_IN_KEY: &str = "fedcba9876543210fedcba9876543210";
pub const LOCKED_TOKEN: &str = "correct-horse-battery-staple";

const LOG_LINES_SHOWN: usize = 60;

/// A directory with settings, store and logs. Survives its daemons.
pub struct Home {
    directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Home {
    /// An empty one: no settings file at all.
    pub fn empty() -> Home {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let secrets = [("PD_KEY", PAGER_KEY), ("PD_IN_KEY", PAGERDUTY_IN_KEY), ("LOCKED_TOKEN", LOCKED_TOKEN)];
        let environment = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Home { directory, environment }
    }

    /// The settings all tests share, with these sinks (YAML list items, two spaces in).
    pub fn with_sinks(sinks: &str) -> Home {
        let home = Home::empty();
        home.write_settings(sinks);
        home
    }

    /// With the stand-in PagerDuty at `endpoint` as its only sink.
    pub fn with_pager(endpoint: &str) -> Home {
        Home::with_sinks(&pager(endpoint))
    }

    pub fn write_settings(&self, sinks: &str) {
        let store = self.path().join("tawny.db");
        let settings = format!(
            r#"listen: "127.0.0.1:0"
otlp: {{ grpc: "127.0.0.1:0", http: "127.0.0.1:0" }}
store: "sqlite:{}"
limits: {{ body_seconds: 2, header_seconds: 2 }}
sources:
  - {{ name: prom, kind: alertmanager-api, auth: none }}
  - {{ name: alertmanager, kind: alertmanager, auth: none }}
  - {{ name: locked, kind: alertmanager, token: {{ env: LOCKED_TOKEN }} }}
  - {{ name: pd, kind: pagerduty, token: {{ env: PD_IN_KEY }} }}
sinks:
{sinks}"#,
            store.display()
        );
        self.write("tawny.yaml", &settings);
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("the temporary directory can be written");
    }

    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn settings_path(&self) -> PathBuf {
        self.path().join("tawny.yaml")
    }

    /// All that its daemons wrote to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("stderr.log")).unwrap_or_default()
    }

    /// The end of it, for a failing test to show.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        tail.iter().map(|line| format!("  | {line}\n")).collect()
    }

    fn port_file(&self) -> PathBuf {
        self.path().join("port")
    }

    /// `tawny run` with what settings there are; returns before it listens.
    fn spawn(&self) -> Child {
        // A port left by the one before would be believed.
        let _may_be_missing = fs::remove_file(self.port_file());
        let append = |name: &str| {
            fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.path().join(name))
                .expect("the temporary directory can be written")
        };
        let mut command = Command::new(binary());
        command.arg("run").arg("--port-file").arg(self.port_file());
        if self.settings_path().exists() {
            command.arg("--config").arg(self.settings_path());
        }
        command
            .current_dir(self.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(append("stdout.log"))
            .stderr(append("stderr.log"))
            .spawn()
            .expect("the binary can be started")
    }
}

/// One sink of kind `pagerduty` at a stand-in, as settings.
pub fn pager(endpoint: &str) -> String {
    format!(
        "  - {{ name: pager, kind: pagerduty, routing_key: {{ env: PD_KEY }}, endpoint: \"{endpoint}\", \
         rate_per_minute: 10000 }}\n"
    )
}

/// The binary under test; `TAWNY_BINARY` puts another build of it in its place.
fn binary() -> PathBuf {
    std::env::var_os("TAWNY_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tawny")), PathBuf::from)
}

/// A running daemon. Dropped, it is killed; if the test is failing, its log is shown.
pub struct Daemon<'home> {
    home: &'home Home,
    child: Child,
    pub address: SocketAddr,
}

impl<'home> Daemon<'home> {
    /// Starts it and waits until it is ready.
    pub async fn start(home: &'home Home) -> Daemon<'home> {
        let mut daemon = Daemon::start_unready(home);
        let client = Client::new();
        until("the daemon to be ready", PATIENCE, async || {
            if let Some(status) = daemon.child.try_wait().expect("our own child can be waited for") {
                panic!("the daemon ended with {status} before it was ready:\n{}", home.log());
            }
            daemon.address = read_port(&home.port_file())?;
            let reply = client.get(daemon.address, "/readyz").await.ok()?;
            (reply.status == 200).then_some(())
        })
        .await;
        daemon
    }

    /// Starts it and does not wait, for those who want to kill it early.
    pub fn start_unready(home: &'home Home) -> Daemon<'home> {
        Daemon { home, child: home.spawn(), address: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    /// Starts one that must refuse to start; gives its status and what it said.
    pub async fn refuse(home: &Home) -> (ExitStatus, String) {
        let mut child = home.spawn();
        let status = until("the daemon to refuse", PATIENCE, async || {
            if read_port(&home.port_file()).is_some() {
                stop(&mut child);
                panic!("the daemon should have refused these settings, but it listens");
            }
            child.try_wait().expect("our own child can be waited for")
        })
        .await;
        (status, home.log())
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(mut self) {
        stop(&mut self.child);
    }

    /// SIGTERM, and wait until it has ended by itself.
    pub async fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM could not be sent to {id}");
        until("the daemon to end after SIGTERM", PATIENCE, async || {
            self.child.try_wait().expect("our own child can be waited for")
        })
        .await
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child can be waited for").is_none()
    }

    /// The most memory it ever held.
    pub fn memory_peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Memory it holds now.
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// CPU it has used, user and system together. The kernel counts in hundredths of a second.
    pub fn cpu_time(&self) -> Duration {
        let stat = self.proc_file("stat");
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Local addresses of all its listening sockets, as the kernel writes them in `/proc/net/tcp` and `tcp6`.
    pub fn listening(&self) -> Vec<String> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the daemon runs");
        let inodes: Vec<String> = descriptors
            .filter_map(|entry| {
                let target = fs::read_link(entry.ok()?.path()).ok()?;
                Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
            })
            .collect();
        ["net/tcp", "net/tcp6"]
            .iter()
            .flat_map(|table| self.proc_file(table).lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
                // 0A is TCP_LISTEN.
                (*state == "0A" && inodes.iter().any(|ours| ours == inode)).then(|| (*local).to_owned())
            })
            .collect()
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = self.proc_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("/proc/<pid>/status is in kB");
        kib * 1024
    }

    fn proc_file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("the daemon runs")
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        stop(&mut self.child);
        if std::thread::panicking() {
            eprintln!("last lines of the daemon's log:\n{}", self.home.log_tail());
        }
    }
}

fn stop(child: &mut Child) {
    // Both fail only when it has ended already.
    let _ended = child.kill();
    let _reaped = child.wait();
}

/// The first address in the file; a daemon that listens on both loopbacks writes two.
fn read_port(path: &Path) -> Option<SocketAddr> {
    fs::read_to_string(path).ok()?.split_once('\n')?.0.parse().ok()
}
