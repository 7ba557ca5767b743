//! The story itself: what the senders say, what must leave, and the claims that are checked on the way. Never looks
//! inside the daemon: only at its answers, its pages and the stand-ins.

use super::senders::{Alert, Sender};
use super::stage::{MINUTE_SECONDS, Stage};
use super::stand_ins::{Book, Effect, Service, Told};
use super::teller::Teller;

const ECS_LABELS: [(&str, &str); 3] =
    [("severity", "error"), ("ecs_cluster", "prod-c2-use1"), ("TaskDefinitionFamily", "owl-svc")];
const EKS_LABELS: [(&str, &str); 5] = [
    ("severity", "error"),
    ("cluster", "eks-prod-1"),
    ("namespace", "owl"),
    ("app", "owl"),
    ("pod", "owl-7c9f8b6d5f-x2k4q"),
];
const SECOND_POD: (&str, &str) = ("pod", "owl-7c9f8b6d5f-p9m2d");

const ECS_NAME: &str = "owl-service-ecs-HighErrorRate";
const EKS_NAME: &str = "HighErrorRate";
const SUMMARY: &str = "Errors on owl-service";

pub(super) async fn play(stage: &Stage, teller: &mut Teller) -> anyhow::Result<()> {
    opening(stage, teller);
    let mut scene = Scene { stage, teller, told_count: 0, alert_count: 0 };
    let old_alert = before_the_move(&mut scene).await?;
    the_move(&mut scene, &old_alert).await?;
    both_at_once(&mut scene).await?;
    short_warning(&mut scene).await?;
    closing(&mut scene).await
}

fn opening(stage: &Stage, teller: &Teller) {
    teller.line("Tawny tells people about a problem once, says where it ran and whose it is, and names the rule.");
    teller.blank();
    teller.prose(
        "",
        "In cell prod-use1-c2, owl-service is moving from ECS to EKS. Its Prometheus and its Alertmanager post to a \
         real daemon here; PagerDuty, Sentry and Honeycomb are stand-ins on this machine, so nobody is really woken.",
    );
    teller.blank();
    teller.line("    <-  an alert comes in          ->  a message leaves          ok  a claim, checked");
    teller.blank();
    teller.line(&format!("    daemon     {}", stage.url));
    teller.line(&format!(
        "    rules      built in, revision {}; a minute of the routes lasts {MINUTE_SECONDS} s here",
        stage.rules_revision
    ));
}

/// The story so far: how much of it was shown and what was sent.
struct Scene<'a> {
    stage: &'a Stage,
    teller: &'a mut Teller,
    told_count: usize,
    alert_count: u64,
}

impl Scene<'_> {
    /// An alert that was not seen before: shown in full.
    async fn fire(&mut self, alert: &Alert) -> anyhow::Result<Vec<Told>> {
        self.teller.received(Sender::Prometheus, alert);
        self.send(Sender::Prometheus, std::slice::from_ref(alert)).await?;
        self.listen().await
    }

    async fn send(&mut self, sender: Sender, alerts: &[Alert]) -> anyhow::Result<()> {
        self.alert_count += u64::try_from(alerts.len())?;
        self.stage.post(sender, alerts).await
    }

    /// Something about alerts of one name that were seen before, in one request.
    async fn say(&mut self, sender: Sender, alerts: &[Alert], remark: &str) -> anyhow::Result<Vec<Told>> {
        if let Some(alert) = alerts.first() {
            self.teller.received_briefly(sender, alert, remark);
        }
        self.send(sender, alerts).await?;
        self.listen().await
    }

    /// Waits until the daemon has nothing more to say, shows what left and returns it.
    async fn listen(&mut self) -> anyhow::Result<Vec<Told>> {
        self.stage.quiet().await?;
        let told = self.stage.book().told.split_off(self.told_count);
        self.told_count += told.len();
        self.teller.told(&told);
        Ok(told)
    }

    /// Waits for what the daemon says by itself when a time has come.
    async fn listen_for_more(&mut self) -> anyhow::Result<Vec<Told>> {
        self.stage.more_than(self.told_count).await?;
        self.listen().await
    }

    async fn outcomes(&self, outcome: &str) -> anyhow::Result<u64> {
        self.stage.metric("tawny_alerts_total", outcome).await
    }

    /// Alerts that were answered without a transaction.
    async fn free_count(&self) -> anyhow::Result<u64> {
        let committed = self.stage.metric("tawny_commit_alerts_sum", "").await?;
        Ok(self.alert_count.saturating_sub(committed))
    }

    async fn legs(&self, incident: &str) -> anyhow::Result<Vec<String>> {
        let incident = self.stage.incident(incident).await?;
        let legs = incident["legs"].as_array().cloned().unwrap_or_default();
        Ok(legs.iter().map(|leg| format!("{} {}", text(&leg["platform"]), leg["firing_count"])).collect())
    }

    /// Claims that each service was told exactly this, once, in these words.
    fn claim_told(&mut self, claim: &str, told: &[Told], effect: Effect, title: &str) {
        let found: Vec<String> =
            told.iter().map(|one| format!("{:?} {:?} {}", one.service, one.effect, one.title)).collect();
        let each_once = Service::ALL.iter().all(|service| {
            told.iter().filter(|one| one.service == *service && one.effect == effect && one.title == title).count() == 1
        });
        self.teller.claim(claim, each_once && told.len() == Service::ALL.len(), &found.join("; "));
    }

    fn claim_silence(&mut self, claim: &str, told: &[Told]) {
        self.teller.claim(claim, told.is_empty(), &format!("{} messages", told.len()));
    }
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn incident_of(told: &[Told]) -> String {
    told.first().map(|one| one.incident.clone()).unwrap_or_default()
}

async fn before_the_move(scene: &mut Scene<'_>) -> anyhow::Result<Alert> {
    scene.teller.act("Before the move: owl-service on ECS has errors");
    scene.teller.narrate("Prometheus posts the alert, in the words of those who run ECS. No label says whose it is.");
    let alert = Alert::firing(ECS_NAME, SUMMARY, &ECS_LABELS, scene.stage.now());
    let told = scene.fire(&alert).await?;
    scene.claim_told(
        "One page, and an event each for Sentry and Honeycomb: the title says ECS and the cell.",
        &told,
        Effect::Opened,
        "Errors on owl-service [ECS prod-use1-c2]",
    );
    let incident = scene.stage.incident(&incident_of(&told)).await?;
    scene.teller.narrate("Why? Each tag names the file, line and rule that gave it, and what that rule saw:");
    scene.teller.tags(&incident);
    let is_right = |tag: &str, value: &str| {
        text(&incident["tags"][tag]["value"]) == value && text(&incident["tags"][tag]["by"]).contains(".yaml:")
    };
    let all_right = [("service", "owl-service"), ("owner", "owl"), ("platform", "ecs"), ("cell", "prod-use1-c2")]
        .iter()
        .all(|(tag, value)| is_right(tag, value));
    scene.teller.claim(
        "Service, owner, platform and cell are what the registries in the rules say.",
        all_right,
        &incident["tags"].to_string(),
    );

    scene.teller.narrate("Prometheus says it again every minute, for as long as it lasts.");
    for _ in 0..2 {
        scene.send(Sender::Prometheus, std::slice::from_ref(&alert)).await?;
    }
    let told = scene.say(Sender::Prometheus, std::slice::from_ref(&alert), "(again, three times)").await?;
    let free_count = scene.free_count().await?;
    let claim = "Three resends cost nothing: no write to the store, no message.";
    scene.teller.claim(
        claim,
        told.is_empty() && free_count == 3,
        &format!("{free_count} free, {} messages", told.len()),
    );

    scene.teller.narrate("The errors end.");
    let over = alert.resolved(scene.stage.now());
    let told = scene.say(Sender::Prometheus, std::slice::from_ref(&over), "").await?;
    let title = "Errors on owl-service [ECS prod-use1-c2]";
    scene.claim_told("One resolve, and the page is closed.", &told, Effect::Resolved, title);
    Ok(over)
}

async fn the_move(scene: &mut Scene<'_>, old_alert: &Alert) -> anyhow::Result<()> {
    const TITLE: &str = "Errors on owl-service [EKS prod-use1-c2]";
    scene.teller.act("The move: the first pods on EKS fail, ECS does not");
    scene.teller.narrate("The alert of EKS has other labels and another name, but it is the same problem.");
    let first = Alert::firing(EKS_NAME, SUMMARY, &EKS_LABELS, scene.stage.now());
    let key_before = scene.stage.book().told.last().map(|one| one.dedup_key.clone()).unwrap_or_default();
    let told = scene.fire(&first).await?;
    scene.claim_told("One page again, and this one says EKS.", &told, Effect::Opened, TITLE);
    let key = told.first().map(|one| one.dedup_key.clone()).unwrap_or_default();
    scene.teller.claim("It has the key that it had on ECS: one problem, one name.", key == key_before, &key);
    let incident = incident_of(&told);

    scene.teller.narrate("Alertmanager brings the same alert, by its webhook.");
    let mut told = scene.say(Sender::Alertmanager, std::slice::from_ref(&first), "(the same)").await?;
    scene.teller.narrate("On ECS nothing fires. Prometheus only repeats that its alert there is over.");
    told.extend(scene.say(Sender::Prometheus, std::slice::from_ref(old_alert), "(again)").await?);
    scene.teller.narrate("A second pod on EKS fails.");
    let mut labels = EKS_LABELS;
    labels[4] = SECOND_POD;
    let second = Alert::firing(EKS_NAME, SUMMARY, &labels, scene.stage.now());
    told.extend(scene.fire(&second).await?);
    scene.claim_silence("Three more messages, and nobody is disturbed: the open page covers them.", &told);

    scene.teller.narrate("Then it gets worse: a rule for higher rates fires, with severity critical.");
    labels[0] = ("severity", "critical");
    let worse = Alert::firing(EKS_NAME, SUMMARY, &labels, scene.stage.now());
    let told = scene.fire(&worse).await?;
    scene.claim_told("The open page is updated at once, and no second one is opened.", &told, Effect::Updated, TITLE);
    let legs = scene.legs(&incident).await?;
    scene.teller.claim(
        "All three alerts that fire are on EKS: ECS has no part in it.",
        legs == ["eks 3"],
        &legs.join(", "),
    );

    scene.teller.narrate("The move is rolled back, and Prometheus resolves all three in one request.");
    let now = scene.stage.now();
    let over = [first.resolved(now), second.resolved(now), worse.resolved(now)];
    let told = scene.say(Sender::Prometheus, &over, "(all three)").await?;
    scene.claim_told("Three resolved alerts, one resolve.", &told, Effect::Resolved, TITLE);
    scene.teller.narrate("Alertmanager says so too, a little later.");
    let told = scene.say(Sender::Alertmanager, &over[..1], "(the same)").await?;
    scene.claim_silence("What came by another way before is not told again.", &told);
    Ok(())
}

async fn both_at_once(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    scene.teller.act("Both platforms at once: is it EKS, or is it owl-service?");
    scene.teller.narrate("First the tasks on ECS.");
    let on_ecs = Alert::firing(ECS_NAME, SUMMARY, &ECS_LABELS, scene.stage.now());
    let told = scene.say(Sender::Prometheus, std::slice::from_ref(&on_ecs), "").await?;
    scene.claim_told("One page.", &told, Effect::Opened, "Errors on owl-service [ECS prod-use1-c2]");
    let incident = incident_of(&told);

    scene.teller.narrate("Then the pods on EKS. The page is updated when the route's `update` interval has passed.");
    let on_eks = Alert::firing(EKS_NAME, SUMMARY, &EKS_LABELS, scene.stage.now());
    scene.teller.received_briefly(Sender::Prometheus, &on_eks, "");
    scene.send(Sender::Prometheus, std::slice::from_ref(&on_eks)).await?;
    let told = scene.listen_for_more().await?;
    let title = "Errors on owl-service [ECS+EKS prod-use1-c2]";
    scene.claim_told("The same page now says ECS+EKS: it is not EKS alone.", &told, Effect::Updated, title);
    let legs = scene.legs(&incident).await?;
    scene.teller.claim("One page with two legs, each counted by itself.", legs == ["ecs 1", "eks 1"], &legs.join(", "));

    scene.teller.narrate("ECS recovers first.");
    let told = scene.say(Sender::Prometheus, &[on_ecs.resolved(scene.stage.now())], "").await?;
    scene.claim_silence("The page stays open, as EKS still fails.", &told);
    scene.teller.narrate("And then EKS.");
    let told = scene.say(Sender::Prometheus, &[on_eks.resolved(scene.stage.now())], "").await?;
    scene.claim_told("Both legs are well: one resolve.", &told, Effect::Resolved, title);
    Ok(())
}

async fn short_warning(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    scene.teller.act("Two warnings: one is gone at once, one lasts");
    scene.teller.narrate("The route of warnings has a `hold`: what is over within it wakes nobody.");
    let mut labels = EKS_LABELS;
    labels[0] = ("severity", "warning");
    let now = scene.stage.now();
    let short = Alert::firing("HighLatency", "Latency of owl-service", &labels, now);
    let long = Alert::firing("QueueBacklog", "Backlog of owl-service", &labels, now);
    let over = short.resolved(now);
    // Both at once, so that a slow machine does not make the short one long.
    scene.teller.received_briefly(Sender::Prometheus, &short, "(warning)");
    scene.teller.received_briefly(Sender::Prometheus, &long, "(warning)");
    scene.send(Sender::Prometheus, &[short, long.clone()]).await?;
    let told = scene.say(Sender::Prometheus, std::slice::from_ref(&over), "").await?;
    scene.claim_silence("Nobody has been told of either.", &told);

    scene.teller.narrate("The hold passes, and the second warning still fires.");
    let told = scene.listen_for_more().await?;
    let title = "Backlog of owl-service [EKS prod-use1-c2]";
    scene.claim_told("The one that lasts is told, now.", &told, Effect::Opened, title);
    let cancelled = scene.outcomes("outcome=\"cancelled\"").await?;
    let is_silent = !scene.stage.book().told.iter().any(|one| one.title.starts_with("Latency"));
    let claim = "The one that was gone within its hold reached nobody.";
    scene.teller.claim(claim, is_silent && cancelled == 1, &format!("{cancelled} cancelled"));

    scene.teller.narrate("And then it is over.");
    let told = scene.say(Sender::Prometheus, &[long.resolved(scene.stage.now())], "").await?;
    scene.claim_told("One resolve.", &told, Effect::Resolved, title);
    Ok(())
}

async fn closing(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let book = scene.stage.book();
    let counted = scene.outcomes("").await?;
    let free_count = scene.free_count().await?;
    let dead = scene.stage.metric("tawny_deliveries_dead", "").await?;
    let opened = book.count(Service::PagerDuty, Effect::Opened);
    let resolved = book.count(Service::PagerDuty, Effect::Resolved);

    scene.teller.blank();
    scene.teller.line("What came of it");
    scene.teller.blank();
    scene.teller.line(&format!("    {:>3}  alerts came in", scene.alert_count));
    scene.teller.line(&format!("    {free_count:>3}  of them were resends that cost nothing"));
    scene.teller.line(&format!("    {opened:>3}  pages were opened"));
    scene.teller.line(&format!("    {resolved:>3}  pages were closed"));
    scene.teller.blank();
    scene.teller.table(&book);
    scene.teller.blank();
    let claim = "Every alert that came in has exactly one outcome on /metrics.";
    scene.teller.claim(claim, counted == scene.alert_count, &format!("{counted} outcomes"));
    let claim = "Four pages were opened, four were closed, and none is open.";
    let found = format!("{opened} opened, {resolved} closed, {} open", book.open_pages.len());
    scene.teller.claim(claim, (opened, resolved) == (4, 4) && book.open_pages.is_empty(), &found);
    let claim = "PagerDuty, Sentry and Honeycomb were told the same; no message was refused or is lost.";
    let found = format!("{dead} dead letters, refused: {}", book.refused.join("; "));
    scene.teller.claim(claim, all_told_the_same(&book) && book.refused.is_empty() && dead == 0, &found);
    scene.teller.blank();
    Ok(())
}

fn all_told_the_same(book: &Book) -> bool {
    [Effect::Opened, Effect::Updated, Effect::Resolved].iter().all(|effect| {
        let count = book.count(Service::PagerDuty, *effect);
        Service::ALL.iter().all(|service| book.count(*service, *effect) == count)
    })
}
