//! The two programs under test, as processes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stand_in::StandIn;

/// `sysconf(_SC_CLK_TCK)` on every Linux that Debian builds.
const TICKS_PER_SECOND: f64 = 100.0;

pub struct Peer {
    child: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
    client: reqwest::Client,
    restart: fn(&Path) -> Child,
}

/// Where the daemon's disk is.
pub fn store_folder() -> String {
    std::env::var("TAWNY_BENCH_DIR").unwrap_or("target".into())
}

impl Peer {
    pub async fn tawny(stand_in: &StandIn) -> Peer {
        let folder = tempfile::tempdir_in(store_folder()).unwrap();
        let settings = format!(
            "listen: \"127.0.0.1:0\"\nstore: \"sqlite:{0}/tawny.db\"\nrules: {0}/rules\nlog: {{ filter: warn }}\nsources:\n  - {{ name: prom, kind: alertmanager-api, auth: none }}\n\
             sinks:\n  - {{ name: pager, kind: pagerduty, routing_key: {{ file: {0}/key }}, endpoint: \"http://{1}\", rate_per_minute: 60000000 }}\n",
            folder.path().display(),
            stand_in.address
        );
        std::fs::write(folder.path().join("tawny.yaml"), settings).unwrap();
        std::fs::write(folder.path().join("key"), "0123456789abcdef0123456789abcdef").unwrap();
        rules_without_hold(&folder.path().join("rules"));
        let child = start_tawny(folder.path());
        let address = wait_for_port(&folder.path().join("port")).await;
        let mut peer = Peer { child, folder, address, client: client(), restart: start_tawny };
        peer.wait_ready("/readyz").await;
        peer
    }

    pub async fn alertmanager(stand_in: &StandIn) -> Peer {
        let folder = tempfile::tempdir().unwrap();
        let receiver = |name: &str| {
            format!(
                "- name: {name}\n  webhook_configs: [{{ url: 'http://{}/webhook', send_resolved: true }}]\n",
                stand_in.address
            )
        };
        let config = format!(
            "route:\n  receiver: rest\n  group_by: [alertname, service, cell]\n  group_wait: 0s\n  group_interval: 5m\n  routes:\n  \
             - {{ matchers: ['severity=~\"critical|error\"'], receiver: page }}\n  - {{ matchers: ['severity=\"warning\"'], receiver: warn }}\nreceivers:\n{}{}{}",
            receiver("page"),
            receiver("warn"),
            receiver("rest")
        );
        std::fs::write(folder.path().join("alertmanager.yml"), config).unwrap();
        let address: SocketAddr = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap()
        };
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", folder.path().join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's package prometheus-alertmanager is installed");
        let mut peer = Peer { child, folder, address, client: client(), restart: |_| unreachable!() };
        peer.wait_ready("/-/ready").await;
        peer
    }

    pub async fn post(&self, body: &str) {
        let url = format!("http://{}/api/v2/alerts", self.address);
        let answer = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{status}: {text}");
    }

    pub async fn get(&self, path: &str) -> String {
        self.client.get(format!("http://{}{path}", self.address)).send().await.unwrap().text().await.unwrap()
    }

    async fn wait_ready(&mut self, path: &str) {
        for _ in 0..4000 {
            let asked = self.client.get(format!("http://{}{path}", self.address)).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the process died");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("it never became ready");
    }

    /// User and system time of the whole process so far: what the scheduler counted for each thread in nanoseconds, or
    /// the kernel's own sum, which has steps of 10 ms, where that is more because threads have ended.
    pub fn cpu(&self) -> Duration {
        let home = format!("/proc/{}", self.child.id());
        let stat = std::fs::read_to_string(format!("{home}/stat")).unwrap();
        // The name in parentheses may hold blanks; fields 14 and 15 are counted from after it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        let threads = std::fs::read_dir(format!("{home}/task")).unwrap().flatten();
        let counted: u64 = threads
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
            .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .sum();
        Duration::from_nanos(counted).max(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    pub fn memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub async fn kill_and_restart(&mut self) -> Duration {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let port = self.folder.path().join("port");
        std::fs::remove_file(&port).unwrap();
        let started = Instant::now();
        self.child = (self.restart)(self.folder.path());
        self.address = wait_for_port(&port).await;
        self.wait_ready("/readyz").await;
        started.elapsed()
    }

    pub fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The shipped rules without their tests; nothing is held, so that both programs speak at once.
fn rules_without_hold(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let files = tawny::rules::RuleSet::built_in_files();
    for file in files.into_iter().filter(|file| !file.name.starts_with("tests/")) {
        let text: Vec<&str> = file.text.lines().filter(|line| !line.trim_start().starts_with("hold:")).collect();
        std::fs::write(folder.join(file.name), text.join("\n")).unwrap();
    }
}

fn start_tawny(folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    Command::new(std::env::var("TAWNY_BENCH_BINARY").unwrap_or(env!("CARGO_BIN_EXE_tawny").to_owned()))
        .arg("run")
        .arg("--config")
        .arg(folder.join("tawny.yaml"))
        .arg("--port-file")
        .arg(folder.join("port"))
        .stderr(log)
        .spawn()
        .unwrap()
}

async fn wait_for_port(path: &Path) -> SocketAddr {
    for _ in 0..10_000 {
        if let Ok(text) = std::fs::read_to_string(path) {
            return text.lines().next().unwrap().parse().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never listened");
}
