//! Sets up the daemon and the stand-ins, and takes everything down again. Knows nothing of the story, and uses
//! no door of the daemon that others do not have.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::senders::{Alert, Sender};
use super::stand_ins::{Book, HONEYCOMB_KEY, ROUTING_KEY, SENTRY_KEY, Service, StandIns};
use crate::app::{self, App};
use crate::io::clock::Clock;
use crate::io::live_rules::RulesFrom;
use crate::model::Timestamp;
use crate::rules::{RuleSet, SourceFile};
use crate::settings::{self, Loaded, OneOrMany, OtlpSettings, SecretsPolicy, Settings, SinkEntry};

/// Longer than a busy machine takes for any step; a story that needs it all has failed anyway.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a minute of the routes lasts here.
pub(super) const MINUTE_SECONDS: u64 = 3;

pub(super) struct Stage {
    pub(super) url: String,
    pub(super) rules_revision: String,
    pub(super) stand_ins: StandIns,
    app: App,
    client: reqwest::Client,
    clock: Clock,
    // Last: it is removed when everybody who uses it has gone.
    _folder: Folder,
}

impl Stage {
    pub(super) async fn set_up() -> anyhow::Result<Stage> {
        refuse_a_proxy(|name| std::env::var(name).ok())?;
        let folder = Folder::create()?;
        let stand_ins = StandIns::start().await.context("the stand-ins")?;
        let settings = settings_for(&folder.path, &stand_ins)?;
        let ready = settings::resolve(&Loaded { settings, place: Default::default() }, SecretsPolicy::Required)?;
        let app = app::start(ready, RulesFrom::Files(rules()), None).await?;
        let rules_revision = app.reloader.rules.get().revision().to_string();
        let address = app.addresses.first().context("the daemon listens nowhere")?;
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let url = format!("http://{address}");
        Ok(Stage { url, rules_revision, stand_ins, app, client, clock: Clock::default(), _folder: folder })
    }

    /// The daemon first, as it still has something to say to the others.
    pub(super) async fn strike(self) {
        self.app.stop().await;
        self.stand_ins.stop().await;
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn book(&self) -> Book {
        self.stand_ins.book()
    }

    /// Posts as the sender would. What the daemon does not take ends the story.
    pub(super) async fn post(&self, sender: Sender, alerts: &[Alert]) -> anyhow::Result<()> {
        let body = sender.body(alerts, self.now()).to_string();
        let url = format!("{}{}", self.url, sender.path());
        let answer = self.client.post(&url).header("content-type", "application/json").body(body).send().await?;
        if !answer.status().is_success() {
            bail!("the daemon did not take an alert: {} {}", answer.status(), answer.text().await.unwrap_or_default());
        }
        Ok(())
    }

    pub(super) async fn read(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// One incident as the JSON API shows it.
    pub(super) async fn incident(&self, key: &str) -> anyhow::Result<Value> {
        let body = self.read(&format!("/api/v1/incidents/{key}")).await?;
        serde_json::from_str(&body).context("the daemon's answer is not JSON")
    }

    /// The sum of a metric over all lines whose labels contain `label`.
    pub(super) async fn metric(&self, name: &str, label: &str) -> anyhow::Result<u64> {
        Ok(sum_of_metric(&self.read("/metrics").await?, name, label))
    }

    /// Waits until everything that was decided so far has left and was answered.
    pub(super) async fn quiet(&self) -> anyhow::Result<()> {
        let looking = async {
            while self.metric("tawny_deliveries_pending", "").await? > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(looked) => looked,
            Err(_) => bail!("waited {} s in vain for the deliveries to be settled", PATIENCE.as_secs()),
        }
    }

    /// Waits until more has arrived at the stand-ins than `told_count`, and then for the rest of it.
    pub(super) async fn more_than(&self, told_count: usize) -> anyhow::Result<()> {
        let looking = async {
            while self.book().told.len() <= told_count {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        if tokio::time::timeout(PATIENCE, looking).await.is_err() {
            bail!("waited {} s in vain for something to leave", PATIENCE.as_secs());
        }
        self.quiet().await
    }
}

fn sum_of_metric(page: &str, name: &str, label: &str) -> u64 {
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        let (labels, value) = rest.rsplit_once(' ')?;
        labels.contains(label).then(|| value.parse::<u64>().ok())?
    });
    values.sum()
}

/// The built-in rules with faster routes: nobody watches a demo for an hour.
fn rules() -> Vec<SourceFile> {
    let mut files = RuleSet::built_in_files();
    // The tests of the shipped rules count in the times of the shipped routes.
    files.retain(|file| !file.is_of_tests());
    for file in files.iter_mut().filter(|file| file.name == "routes.yaml") {
        file.text = file.text.lines().map(|line| quickened(line) + "\n").collect();
    }
    files
}

/// `hold: 1m` becomes `hold: 3s`; lines keep their numbers and everything else its words.
fn quickened(line: &str) -> String {
    let minutes = |key: &str| {
        let value = line.trim_start().strip_prefix(key)?.trim().strip_suffix('m')?;
        value.parse::<u64>().ok()
    };
    match minutes("hold:").or_else(|| minutes("update:")) {
        Some(count) => {
            let head = line.split(':').next().unwrap_or_default();
            format!("{head}: {}s", count * MINUTE_SECONDS)
        }
        None => line.to_owned(),
    }
}

fn settings_for(folder: &Path, stand_ins: &StandIns) -> anyhow::Result<Settings> {
    let sentry = format!("http://{SENTRY_KEY}@{}/1", stand_ins.address(Service::Sentry));
    let secrets = [
        (Service::PagerDuty, "routing_key", ROUTING_KEY),
        (Service::Sentry, "dsn", sentry.as_str()),
        (Service::Honeycomb, "api_key", HONEYCOMB_KEY),
    ];
    let mut sinks = Vec::new();
    for (service, key, secret) in secrets {
        let file = folder.join(key);
        std::fs::write(&file, secret).with_context(|| file.display().to_string())?;
        let endpoint = format!("http://{}", stand_ins.address(service));
        sinks.push(SinkEntry {
            name: service.as_str().to_owned(),
            kind: service.as_str().to_owned(),
            // A DSN is an address already.
            endpoint: (service != Service::Sentry).then_some(endpoint),
            rest: Map::from_iter([(key.to_owned(), json!({ "file": file }))]),
        });
    }
    Ok(Settings {
        listen: Some(OneOrMany::One("127.0.0.1:0".to_owned())),
        store: format!("sqlite:{}", folder.join("tawny.db").display()),
        // Nothing of this story is telemetry, and the ports may be somebody's.
        otlp: OtlpSettings {
            grpc: Some(OneOrMany::Many(Vec::new())),
            http: Some(OneOrMany::Many(Vec::new())),
            ..OtlpSettings::default()
        },
        sinks,
        ..Settings::default()
    })
}

/// The daemon's own client heeds these variables, and a proxy cannot reach this machine's loopback.
fn refuse_a_proxy(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    let set = |name: &&&str| variable(name).is_some_and(|value| !value.is_empty());
    let Some(proxy) = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].iter().find(set) else { return Ok(()) };
    let exceptions = variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default();
    if exceptions.trim() == "*" || exceptions.contains("127.") {
        return Ok(());
    }
    bail!(
        "`{proxy}` is set, so what is meant for the stand-ins would go to a proxy\n    try `NO_PROXY=127.0.0.1 tawny demo`"
    )
}

/// A folder of this run's own that only this user can read, removed with its value.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn create() -> anyhow::Result<Folder> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("tawny-demo-{:016x}", fastrand::u64(..)));
        // Fails when it exists: nobody can have prepared it.
        std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| path.display().to_string())?;
        Ok(Folder { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(cause) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), error = %cause, "could not remove the demo's folder");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_holds_and_updates_in_minutes_are_quickened() {
        assert_eq!(quickened("    hold: 1m"), "    hold: 3s");
        assert_eq!(quickened("    update: 5m"), "    update: 15s");
        for kept in ["    hold: 0s", "    remind: 3h", "  - id: page-at-once", "#   update   the least time (1m)"] {
            assert_eq!(quickened(kept), kept);
        }
        RuleSet::compile(&rules()).unwrap();
    }

    #[test]
    fn a_proxy_is_refused_unless_this_machine_is_excepted() {
        let with = |held: &'static [(&'static str, &'static str)]| {
            refuse_a_proxy(|name| held.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(with(&[]).is_ok());
        assert!(with(&[("http_proxy", "")]).is_ok());
        assert!(with(&[("HTTP_PROXY", "http://proxy"), ("no_proxy", "localhost,127.0.0.1")]).is_ok());
        let refused = with(&[("HTTP_PROXY", "http://proxy"), ("no_proxy", "example.com")]).unwrap_err().to_string();
        assert!(refused.contains("`HTTP_PROXY`") && refused.contains("NO_PROXY=127.0.0.1"), "{refused}");
    }

    #[test]
    fn a_metric_is_summed_over_the_lines_with_the_label() {
        let page = "# HELP a_total x\na_total{k=\"x\"} 2\na_total{k=\"y\"} 3\na_total_more 9\nb 4\n";
        assert_eq!(sum_of_metric(page, "a_total", ""), 5);
        assert_eq!(sum_of_metric(page, "a_total", "k=\"y\""), 3);
        assert_eq!(sum_of_metric(page, "b", ""), 4);
    }
}
