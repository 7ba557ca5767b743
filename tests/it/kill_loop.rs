//! Nothing lost, nothing doubled: the real binary under SIGKILL, with senders that insist and a PagerDuty that
//! fails. Chance comes from a printed seed; the verdict is in `kill_loop_verdict.rs` and never looks at time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Alert, Client, Reply, alertmanager_body, prometheus_body};
use crate::daemon::{Daemon, Home, pager};
use crate::kill_loop_verdict::{Expected, faults_found};
use crate::stand_in::pagerduty::PagerDuty;
use crate::stand_in::{StandIn, Weather};
use crate::wait::until_true;

const SERVICES: [&str; 4] = ["owl-service", "duo-api", "payments", "checkout"];
const CLASSES: [&str; 5] = ["HighErrorRate", "HighLatency", "QueueBacklog", "DiskAlmostFull", "MemorySaturated"];
/// One wave of incidents for every so many deaths, so that each process has plenty to lose. A wave has alerts
/// of its own names; the words carry no digits, which a rule might take for a cell.
const WAVES: [&str; 12] = [
    "", "Reads", "Writes", "Logins", "Uploads", "Searches", "Payouts", "Refunds", "Exports", "Imports", "Renders",
    "Mails",
];
const KILLS_PER_WAVE: usize = 10;
/// Cells of the built-in rules, each with two of its clusters and the number of platforms these stand for.
const CELLS: [(&str, [&str; 2], usize); 3] = [
    ("prod-use1-c1", ["prod-c1-use1", "prod-legacy"], 2),
    ("prod-use1-c2", ["eks-prod-1", "prod-c2-use1"], 2),
    ("prod-use1-c3", ["prod-c3-use1", "eks-prod-3"], 1),
];

/// Deaths in the short form; the environment asks for more.
const KILL_COUNT_DEFAULT: u32 = 8;

/// Requests the stand-in may leave hanging: each holds its lane until the daemon's own patience ends.
const SILENCE_COUNT_MAX: u32 = 6;

/// A sender that cannot get a word in for so long has met a daemon that is gone for good.
const SENDER_PATIENCE: Duration = Duration::from_secs(120);

/// The longest backoff is a minute; three of them in a row are possible, more are not believable.
const DRAIN_PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_doubled_under_sigkill() {
    let kill_count = number_from_environment("TAWNY_KILLS").unwrap_or(KILL_COUNT_DEFAULT);
    let seed = number_from_environment("TAWNY_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("kill loop: TAWNY_KILLS={kill_count} TAWNY_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);

    let stand_in = StandIn::start(PagerDuty::default()).await;
    stand_in.set_weather(Weather::storm(chance.u64(..), SILENCE_COUNT_MAX));
    let groups = plan(&mut chance, kill_count);
    let expected: Vec<Expected> = groups.iter().map(Group::expected).collect();

    let (place, places) = watch::channel(Place { kill_count: 0, address: None });
    let mut senders = JoinSet::new();
    for group in groups {
        let sender = Sender { client: Client::new(), places: places.clone(), chance: chance.fork() };
        senders.spawn(Arc::new(group).live(sender));
    }
    let home = Home::with_pager(&stand_in.endpoint(0));
    let daemon = kill_again_and_again(&home, &stand_in, place, kill_count, &mut chance).await;
    let mut reply_count = 0;
    while let Some(finished) = senders.join_next().await {
        reply_count += finished.expect("a sender got an answer that no honest daemon gives");
    }

    stand_in.set_weather(Weather::Fair);
    let client = Client::new();
    until_true("all deliveries to be settled", DRAIN_PATIENCE, async || {
        client.metric(daemon.address, "tawny_deliveries_pending").await == Some(0.0)
    })
    .await;
    assert_eq!(client.metric(daemon.address, "tawny_deliveries_dead").await.unwrap_or_default(), 0.0, "dead letters");
    let faults = faults_found(&expected, &stand_in.role.alerts(), &stand_in.role.refused());
    eprintln!(
        "kill loop: {reply_count} posts acknowledged, {} requests at the stand-in; the survivor holds {} MB and used {:?} of CPU",
        stand_in.exchanges().len(),
        daemon.memory_bytes() >> 20,
        daemon.cpu_time(),
    );
    assert!(faults.is_empty(), "seed {seed}, {kill_count} kills:\n{}\n{}", faults.join("\n"), home.log_tail());
    assert!(daemon.terminate().await.success(), "SIGTERM is a request to end well");
}

fn number_from_environment<N: std::str::FromStr>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, not a number")))
}

/// Where the daemon is now, and how often it has died.
#[derive(Clone, Copy, Debug)]
struct Place {
    kill_count: u32,
    address: Option<SocketAddr>,
}

/// Lets the daemon live for random moments and kills it, now and then before it is ready. Gives the survivor.
async fn kill_again_and_again<'home>(
    home: &'home Home,
    stand_in: &StandIn<PagerDuty>,
    place: watch::Sender<Place>,
    kill_count_max: u32,
    chance: &mut fastrand::Rng,
) -> Daemon<'home> {
    let mut daemon = Daemon::start(home).await;
    place.send_modify(|place| place.address = Some(daemon.address));
    for kill_count in 1..=kill_count_max {
        tokio::time::sleep(Duration::from_millis(chance.u64(20..600))).await;
        place.send_modify(|place| place.address = None);
        daemon.kill();
        // Each process speaks to an address of its own, so that a repetition can be told from a recovery. One that
        // dies young may have spoken too.
        if chance.u32(0..5) == 0 {
            home.write_settings(&pager(&stand_in.endpoint(2 * kill_count)));
            let newborn = Daemon::start_unready(home);
            tokio::time::sleep(Duration::from_millis(chance.u64(0..80))).await;
            newborn.kill();
        }
        home.write_settings(&pager(&stand_in.endpoint(2 * kill_count + 1)));
        daemon = Daemon::start(home).await;
        place.send_modify(|place| *place = Place { kill_count, address: Some(daemon.address) });
    }
    daemon
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    AllResolve,
    SomeResolve,
    NoneResolves,
}

/// Which way the alerts come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Road {
    Prometheus,
    Alertmanager,
    Both,
}

/// The alerts of one incident.
struct Group {
    service: &'static str,
    class: String,
    cell: &'static str,
    alerts: Vec<Alert>,
    platform_count: usize,
    ending: Ending,
    road: Road,
    /// It begins after this many kills, so that the work lasts as long as the killing.
    begins_at: u32,
}

fn plan(chance: &mut fastrand::Rng, kill_count: u32) -> Vec<Group> {
    let wave_count = (kill_count as usize).div_ceil(KILLS_PER_WAVE).clamp(1, WAVES.len());
    let mut groups = Vec::new();
    for wave in &WAVES[..wave_count] {
        for service in SERVICES {
            for class in CLASSES {
                groups.extend((0..CELLS.len()).map(|cell| group(chance, service, format!("{class}{wave}"), cell)));
            }
        }
    }
    chance.shuffle(&mut groups);
    // The last ones still have a few deaths ahead of them.
    let last_begin = u64::from(kill_count.saturating_sub(3));
    let group_count = groups.len() as u64;
    for (position, group) in groups.iter_mut().enumerate() {
        let begin = position as u64 * (last_begin + 1) / group_count;
        group.begins_at = u32::try_from(begin).expect("less than the number of kills");
    }
    groups
}

fn group(chance: &mut fastrand::Rng, service: &'static str, class: String, cell: usize) -> Group {
    let (cell, clusters, platform_count) = CELLS[cell];
    let spans_clusters = chance.u32(0..3) == 0;
    let alert_count = chance.usize(2..9);
    let alerts = (0..alert_count)
        .map(|number| {
            let cluster = if spans_clusters { clusters[number % 2] } else { clusters[0] };
            let instance = format!("10.0.{}.{number}:9090", chance.u8(..));
            Alert::firing(&[
                ("alertname", &class),
                ("service", service),
                ("cell", cell),
                ("cluster", cluster),
                ("instance", &instance),
                ("severity", "critical"),
            ])
        })
        .collect();
    Group {
        service,
        class,
        cell,
        alerts,
        platform_count: if spans_clusters { platform_count } else { 1 },
        ending: [Ending::AllResolve, Ending::SomeResolve, Ending::NoneResolves][chance.usize(0..3)],
        road: [Road::Prometheus, Road::Prometheus, Road::Alertmanager, Road::Both][chance.usize(0..4)],
        begins_at: 0,
    }
}

impl Group {
    fn expected(&self) -> Expected {
        Expected {
            service: self.service,
            class: self.class.clone(),
            cell: self.cell,
            platform_count: self.platform_count,
            resolves: self.ending == Ending::AllResolve,
        }
    }

    /// Fires, repeats itself, resolves, and comes late. Gives the number of acknowledged posts.
    async fn live(self: Arc<Group>, mut sender: Sender) -> u64 {
        sender.wait_for_kill(self.begins_at).await;
        // One half comes as a batch, the others each on their own, all at once. No alert resolves before
        // all have fired: the incident has one episode, whatever the order.
        let (batch, singles) = self.alerts.split_at(self.alerts.len() / 2);
        let mut posts = JoinSet::new();
        posts.spawn(sender.fork().tell(self.road, batch.to_vec()));
        for alert in singles {
            posts.spawn(sender.fork().tell(self.road, vec![alert.clone()]));
        }
        let mut count = 0;
        while let Some(told) = posts.join_next().await {
            count += told.expect("a post got an answer that no honest daemon gives");
        }
        for after in 1..=2 {
            sender.wait_for_kill(self.begins_at + after).await;
            count += sender.fork().tell(self.road, self.alerts.clone()).await;
        }
        let resolving = match self.ending {
            Ending::AllResolve => self.alerts.len(),
            Ending::SomeResolve => self.alerts.len() - 1,
            Ending::NoneResolves => 0,
        };
        let resolved: Vec<Alert> = self.alerts[..resolving].iter().map(Alert::resolved).collect();
        for alert in &resolved {
            count += sender.fork().tell(self.road, vec![alert.clone()]).await;
        }
        sender.wait_for_kill(self.begins_at + 3).await;
        // Prometheus repeats a resolve for 15 minutes, and a peer may still say "firing" of what is over.
        count += sender.fork().tell(self.road, resolved).await;
        count + sender.fork().tell(self.road, self.alerts.clone()).await
    }
}

/// One sending process: insists until it is acknowledged.
struct Sender {
    client: Client,
    places: watch::Receiver<Place>,
    chance: fastrand::Rng,
}

impl Sender {
    fn fork(&mut self) -> Sender {
        Sender { client: Client::new(), places: self.places.clone(), chance: self.chance.fork() }
    }

    /// Waits for that many deaths, or for the last one, and then a little, so that not all speak at once.
    async fn wait_for_kill(&mut self, kill_count: u32) {
        // An error means that the killer is done: there will be no more deaths.
        let _reached_or_over = self.places.wait_for(|place| place.kill_count >= kill_count).await.is_ok();
        tokio::time::sleep(Duration::from_millis(self.chance.u64(0..400))).await;
    }

    async fn tell(mut self, road: Road, alerts: Vec<Alert>) -> u64 {
        if alerts.is_empty() {
            return 0;
        }
        let mut count = 0;
        if matches!(road, Road::Prometheus | Road::Both) {
            self.insist("/api/v2/alerts", prometheus_body(&alerts)).await;
            count += 1;
        }
        if matches!(road, Road::Alertmanager | Road::Both) {
            self.insist("/in/alertmanager", alertmanager_body(&alerts)).await;
            count += 1;
        }
        count
    }

    /// Posts until the answer is 2xx. "Not now" is 503; anything else but silence is a lie about a good body.
    async fn insist(&mut self, path: &str, body: Vec<u8>) {
        let deadline = tokio::time::Instant::now() + SENDER_PATIENCE;
        let mut last_refusal = None;
        loop {
            let address = self.places.borrow().address;
            let reply = match address {
                Some(address) => self.client.post(address, path, body.clone()).await.ok(),
                None => None,
            };
            match reply {
                Some(reply) if reply.is_taken() => return,
                Some(reply @ Reply { status: 503, retry_after: Some(_), .. }) => last_refusal = Some(reply),
                None => {}
                Some(reply) => panic!("a good body to {path} was answered with {reply:?}"),
            }
            let is_in_time = tokio::time::Instant::now() < deadline;
            assert!(is_in_time, "nobody acknowledged a post to {path}; the last refusal: {last_refusal:?}");
            tokio::time::sleep(Duration::from_millis(self.chance.u64(5..60))).await;
        }
    }
}
