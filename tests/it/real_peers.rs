//! Debian's own Prometheus, Alertmanager and amtool post to the daemon. Never skips: a machine without them
//! cannot say that we work with them.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;

use crate::client::{Client, sum_of_metric};
use crate::daemon::{Daemon, Home};
use crate::stand_in::StandIn;
use crate::stand_in::pagerduty::PagerDuty;
use crate::wait::until_true;

const PROMETHEUS: &str = "/usr/bin/prometheus";
const ALERTMANAGER: &str = "/usr/bin/prometheus-alertmanager";
const AMTOOL: &str = "/usr/bin/amtool";

/// Scrape, evaluation, resend and flush follow each other; on a loaded machine each takes its time.
const PEER_PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_posting_directly_makes_one_page_and_one_resolve() {
    one_page_and_one_resolve(&[Way::Direct]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_through_alertmanager_makes_one_page_and_one_resolve() {
    one_page_and_one_resolve(&[Way::ThroughAlertmanager]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_at_once_make_one_page_and_one_resolve() {
    one_page_and_one_resolve(&[Way::Direct, Way::ThroughAlertmanager]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amtool_adds_an_alert_and_it_pages_once() {
    require(AMTOOL, "prometheus-alertmanager");
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&home).await;
    let url = format!("--alertmanager.url=http://{}", daemon.address);
    for _ in 0..2 {
        // A command blocks its thread, and the stand-in needs one too.
        let arguments = [url.clone(), "alert".into(), "add".into(), "alertname=X".into(), "service=owl-service".into()];
        let output = tokio::task::spawn_blocking(move || Command::new(AMTOOL).args(arguments).output());
        let output = output.await.expect("the task only runs a command").expect("amtool can be started");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "amtool ended with {}: {words}", output.status);
    }
    until_true("the page for amtool's alert", PEER_PATIENCE, async || pagerduty.role.page_count() == 1).await;
    settle(&daemon).await;
    let alerts = pagerduty.role.alerts();
    assert_eq!((pagerduty.role.page_count(), alerts.len()), (1, 1), "{alerts:#?}");
    assert!(pagerduty.role.refused().is_empty(), "{:#?}", pagerduty.role.refused());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    ThroughAlertmanager,
}

/// Breaks and mends a fake service; looks at PagerDuty only after each way has spoken, and spoken again.
async fn one_page_and_one_resolve(ways: &[Way]) {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&home).await;
    let broken = Arc::new(AtomicI64::new(0));
    let exporter = start_exporter(Arc::clone(&broken)).await;
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut receivers = Vec::new();
    let mut relay = None;
    for way in ways {
        match way {
            Way::Direct => receivers.push(daemon.address),
            Way::ThroughAlertmanager => {
                let peer = start_alertmanager(directory.path(), daemon.address).await;
                receivers.push(peer.address);
                relay = Some(peer);
            }
        }
    }
    let prometheus = start_prometheus(directory.path(), exporter, &receivers).await;

    broken.store(1, Ordering::SeqCst);
    until_true("the page", PEER_PATIENCE, async || pagerduty.role.page_count() > 0).await;
    prometheus.has_repeated_itself(receivers.len()).await;
    if let Some(relay) = &relay {
        relay.has_relayed(1.0).await;
    }
    let relayed_before = match &relay {
        Some(relay) => relay.metric("alertmanager_notifications_total", "webhook").await,
        None => 0.0,
    };
    broken.store(0, Ordering::SeqCst);
    until_true("the resolve", PEER_PATIENCE, async || pagerduty.role.resolve_count() > 0).await;
    prometheus.has_repeated_itself(receivers.len()).await;
    if let Some(relay) = &relay {
        relay.has_relayed(relayed_before + 1.0).await;
    }
    settle(&daemon).await;
    let alerts = pagerduty.role.alerts();
    let counts = (pagerduty.role.page_count(), pagerduty.role.resolve_count(), alerts.len());
    assert_eq!(counts, (1, 1, 1), "pages, resolves and alerts at PagerDuty over {ways:?}: {alerts:#?}");
    assert!(alerts.values().all(|alert| !alert.is_open));
    assert!(pagerduty.role.refused().is_empty(), "{:#?}", pagerduty.role.refused());
}

async fn settle(daemon: &Daemon<'_>) {
    let client = Client::new();
    until_true("all deliveries to be settled", PEER_PATIENCE, async || {
        client.metric(daemon.address, "tawny_deliveries_pending").await == Some(0.0)
    })
    .await;
}

/// What a broken service would export: one gauge, as the test wants it.
async fn start_exporter(broken: Arc<AtomicI64>) -> SocketAddr {
    let page = async move || {
        format!(
            "# TYPE errors gauge\nerrors{{service=\"owl-service\",cell=\"c1\",cluster=\"eks-prod-1\"}} {}\n",
            broken.load(Ordering::SeqCst)
        )
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let router = Router::new().route("/metrics", get(page));
    // Ends with the runtime of the test.
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A peer's process; killed when dropped.
struct Peer {
    address: SocketAddr,
    child: Child,
    client: Client,
    log: std::path::PathBuf,
}

impl Peer {
    async fn start(name: &str, binary: &str, directory: &Path, arguments: &[String]) -> Peer {
        require(binary, name);
        let address = free_address();
        let log = directory.join(format!("{name}.log"));
        let output = fs::File::create(&log).expect("the temporary directory can be written");
        let child = Command::new(binary)
            .arg(format!("--web.listen-address={address}"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("a Debian binary can be started");
        let mut peer = Peer { address, child, client: Client::new(), log };
        until_true(&format!("{name} to be ready"), PEER_PATIENCE, async || {
            if let Some(status) = peer.child.try_wait().expect("our own child can be waited for") {
                panic!("{name} ended with {status}:\n{}", fs::read_to_string(&peer.log).unwrap_or_default());
            }
            peer.client.get(address, "/-/ready").await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
        peer
    }

    async fn metric(&self, name: &str, label: &str) -> f64 {
        let page = self.client.get(self.address, "/metrics").await.map(|reply| reply.body).unwrap_or_default();
        sum_of_metric(&page, name, label).unwrap_or_default()
    }

    /// Prometheus has sent its alerts to every receiver once more from now on.
    async fn has_repeated_itself(&self, receiver_count: usize) {
        let before = self.metric("prometheus_notifications_sent_total", "").await;
        let wanted = before + receiver_count as f64;
        until_true("Prometheus to repeat itself", PEER_PATIENCE, async || {
            self.metric("prometheus_notifications_sent_total", "").await >= wanted
        })
        .await;
    }

    /// Alertmanager has told its webhook at least so often.
    async fn has_relayed(&self, count: f64) {
        until_true("Alertmanager to tell its webhook", PEER_PATIENCE, async || {
            self.metric("alertmanager_notifications_total", "webhook").await >= count
        })
        .await;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("what {} said:\n{log}", self.log.display());
        }
    }
}

async fn start_prometheus(directory: &Path, exporter: SocketAddr, receivers: &[SocketAddr]) -> Peer {
    let rules = directory.join("prometheus.rules.yml");
    let rule = r#"groups:
  - name: test
    rules:
      - alert: HighErrorRate
        expr: errors > 0
        labels: { severity: critical }
        annotations: { summary: "Errors on {{ $labels.service }}: {{ $value }}" }
"#;
    fs::write(&rules, rule).expect("the temporary directory can be written");
    let targets: Vec<String> = receivers.iter().map(|address| format!("\"{address}\"")).collect();
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [{}]\n\
         scrape_configs:\n  - {{ job_name: test, static_configs: [{{ targets: [\"{exporter}\"] }}] }}\n\
         alerting:\n  alertmanagers:\n    - {{ static_configs: [{{ targets: [{}] }}] }}\n",
        rules.display(),
        targets.join(", ")
    );
    let file = directory.join("prometheus.yml");
    fs::write(&file, config).expect("the temporary directory can be written");
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", directory.join("prometheus").display()),
        // A word holds for four of these: long enough for a machine that is busy with other tests.
        "--rules.alert.resend-delay=5s".to_owned(),
    ];
    Peer::start("prometheus", PROMETHEUS, directory, &arguments).await
}

async fn start_alertmanager(directory: &Path, daemon: SocketAddr) -> Peer {
    let config = format!(
        "route: {{ receiver: tawny, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h }}\n\
         receivers:\n  - name: tawny\n    webhook_configs: [{{ url: \"http://{daemon}/in/alertmanager\" }}]\n"
    );
    let file = directory.join("alertmanager.yml");
    fs::write(&file, config).expect("the temporary directory can be written");
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.path={}", directory.join("alertmanager").display()),
        // Empty: no gossip, alone.
        "--cluster.listen-address=".to_owned(),
    ];
    Peer::start("prometheus-alertmanager", ALERTMANAGER, directory, &arguments).await
}

/// A port that was free a moment ago; these peers cannot tell which one they chose.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}

fn require(binary: &str, package: &str) {
    assert!(
        Path::new(binary).exists(),
        "{binary} is missing: install the Debian package `{package}` (scripts/test does it)"
    );
}
