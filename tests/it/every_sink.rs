//! One episode of one alert, told to every kind of sink in the shape its reader knows. Never checks texts: the
//! sinks' own fixtures do that.

use crate::client::{Alert, Client, pagerduty_body, prometheus_body};
use crate::daemon::{Daemon, Home, PAGERDUTY_IN_KEY, pager};
use crate::stand_in::honeycomb::Honeycomb;
use crate::stand_in::pagerduty::PagerDuty;
use crate::stand_in::sentry::Sentry;
use crate::stand_in::webhook::Webhook;
use crate::stand_in::{Fault, StandIn, Weather};
use crate::wait::{PATIENCE, until_true};

const WEBHOOK_SECRET: &str = "whsec_b3dsLXJlbGF5LXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=";

/// Without rules of its own, a daemon tells every sink.
fn owl_alert() -> Alert {
    let place = [("alertname", "HighErrorRate"), ("service", "owl-service"), ("cell", "c1"), ("severity", "critical")];
    Alert::firing(&place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_episode_is_told_to_each_kind_of_sink_in_two_transitions() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let sentry = StandIn::start(Sentry::default()).await;
    let honeycomb = StandIn::start(Honeycomb::default()).await;
    let webhook = StandIn::start(Webhook::new(WEBHOOK_SECRET)).await;
    let mut home = Home::with_sinks(&format!(
        "{}  - {{ name: errors, kind: sentry, dsn: {{ env: SENTRY_DSN }} }}\n  \
         - {{ name: events, kind: honeycomb, api_key: {{ env: HONEYCOMB_KEY }}, dataset: alerts, endpoint: \"{}\" }}\n  \
         - {{ name: hook, kind: webhook, secret: {{ env: HOOK_SECRET }}, endpoint: \"{}/hook\" }}\n",
        pager(&pagerduty.endpoint(0)),
        honeycomb.url(),
        webhook.url(),
    ));
    home.set_environment("SENTRY_DSN", &format!("http://0123456789abcdef@{}/7", sentry.address));
    home.set_environment("HONEYCOMB_KEY", "hcaik_test");
    home.set_environment("HOOK_SECRET", WEBHOOK_SECRET);
    // Sentry's first answer is lost: the second telling must be the same event.
    sentry.set_weather(Weather::script(&[Fault::TakeThenReset]));
    // Honeycomb takes the batch but throttles the event in it.
    honeycomb.role.script_statuses(&[429]);
    let daemon = Daemon::start(&home).await;
    let client = Client::new();

    let alert = owl_alert();
    for (moment, body, count) in [("the page", &alert, 1), ("the end", &alert.resolved(), 2)] {
        let reply = client.post(daemon.address, "/api/v2/alerts", prometheus_body(std::slice::from_ref(body))).await;
        assert!(reply.as_ref().is_ok_and(|reply| reply.is_taken()), "{reply:?}");
        until_true(&format!("{moment} at every sink"), PATIENCE, async || {
            let words: usize = pagerduty.role.alerts().values().map(|alert| alert.events.len()).sum();
            words == count
                && sentry.role.events().len() == count
                && honeycomb.role.events().len() == count
                && webhook.role.messages().len() == count
        })
        .await;
    }
    until_true("all deliveries to be settled", PATIENCE, async || {
        client.metric(daemon.address, "tawny_deliveries_pending").await == Some(0.0)
    })
    .await;
    assert_eq!((pagerduty.role.page_count(), pagerduty.role.resolve_count()), (1, 1));
    let refused = [pagerduty.role.refused(), sentry.role.refused(), honeycomb.role.refused(), webhook.role.refused()];
    assert!(refused.iter().all(Vec::is_empty), "a stand-in refused what it was sent: {refused:#?}");
    assert_eq!(sentry.role.double_count(), 1, "the event whose answer was lost is told again under the same id");
    let hooks = webhook.role.messages();
    assert_ne!(hooks[0].id, hooks[1].id, "two transitions are two messages: {hooks:?}");
    assert!(hooks.iter().all(|message| message.body["data"].is_object()));
    assert!(daemon.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_hangs_delays_no_other() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let webhook = StandIn::start(Webhook::new(WEBHOOK_SECRET)).await;
    webhook.set_weather(Weather::Always(Fault::Hang));
    let mut home = Home::with_sinks(&format!(
        "{}  - {{ name: hook, kind: webhook, secret: {{ env: HOOK_SECRET }}, endpoint: \"{}/hook\" }}\n",
        pager(&pagerduty.endpoint(0)),
        webhook.url(),
    ));
    home.set_environment("HOOK_SECRET", WEBHOOK_SECRET);
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let alerts: Vec<Alert> = (0..100)
        .map(|number| {
            let service = format!("service-{number}");
            Alert::firing(&[("alertname", "HighErrorRate"), ("service", &service), ("severity", "critical")])
        })
        .collect();
    let reply = client.post(daemon.address, "/api/v2/alerts", prometheus_body(&alerts)).await.unwrap();
    assert!(reply.is_taken(), "{reply:?}");
    until_true("the other sink to hear all", PATIENCE, async || pagerduty.role.page_count() == 100).await;
    assert!(webhook.role.messages().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pagerduty_event_comes_in_and_leaves_as_one_page_and_one_resolve() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    for action in ["trigger", "trigger", "resolve", "resolve"] {
        let body = pagerduty_body(PAGERDUTY_IN_KEY, action, "backup-1");
        let reply = client.post(daemon.address, "/v2/enqueue", body).await.unwrap();
        assert_eq!(reply.status, 202, "PagerDuty's clients take nothing but 202: {reply:?}");
        assert!(reply.body.contains(r#""dedup_key":"backup-1""#), "the Python client reads it: {reply:?}");
    }
    until_true("the resolve", PATIENCE, async || pagerduty.role.resolve_count() == 1).await;
    assert_eq!(pagerduty.role.page_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_told_after_an_outage_and_a_restart() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    pagerduty.set_weather(Weather::Always(Fault::Refuse { status: 500, retry_after: None }));
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let alert = owl_alert();
    let reply = client.post(daemon.address, "/api/v2/alerts", prometheus_body(&[alert])).await.unwrap();
    assert!(reply.is_taken(), "{reply:?}");
    until_true("a first attempt", PATIENCE, async || !pagerduty.exchanges().is_empty()).await;
    assert!(daemon.terminate().await.success(), "an unreachable sink must not hold up the end");
    pagerduty.set_weather(Weather::Fair);
    let daemon = Daemon::start(&home).await;
    until_true("the page", PATIENCE, async || pagerduty.role.page_count() == 1).await;
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_sink_that_left_the_settings_becomes_a_dead_letter_at_the_next_start() {
    let nowhere = "http://127.0.0.1:9";
    let home = Home::with_sinks(&(pager(nowhere) + &pager(nowhere).replace("name: pager", "name: old-pager")));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let reply = client.post(daemon.address, "/api/v2/alerts", prometheus_body(&[owl_alert()])).await;
    assert!(reply.as_ref().is_ok_and(|reply| reply.is_taken()), "{reply:?}");
    until_true("both pagers to have been asked", PATIENCE, async || home.log().matches("tried again").count() >= 2)
        .await;
    daemon.kill();

    home.write_settings(&pager(nowhere));
    let daemon = Daemon::start(&home).await;
    let dead = client.get(daemon.address, "/api/v1/deliveries?state=dead").await.expect("the daemon answers");
    assert!(dead.body.contains("sink `old-pager` is no longer in the settings"), "{dead:?}");
    let pending = client.get(daemon.address, "/api/v1/deliveries?state=pending").await.expect("the daemon answers");
    assert!(pending.body.contains("\"pager\"") && !pending.body.contains("old-pager"), "{pending:?}");
    assert_eq!(home.log().matches("no longer in the settings").count(), 1, "told once");
    daemon.kill();
    let daemon = Daemon::start(&home).await;
    assert_eq!(home.log().matches("no longer in the settings").count(), 1, "and not again");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_is_told_to_a_sink_under_its_new_name_and_so_is_its_end() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let settings = pager(&pagerduty.endpoint(0));
    let home = Home::with_sinks(&settings);
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let alert = owl_alert();
    let body = prometheus_body(std::slice::from_ref(&alert));
    let reply = client.post(daemon.address, "/api/v2/alerts", body).await;
    assert!(reply.as_ref().is_ok_and(|reply| reply.is_taken()), "{reply:?}");
    until_true("the page", PATIENCE, async || pagerduty.role.page_count() == 1).await;
    daemon.kill();

    home.write_settings(&settings.replace("name: pager", "name: oncall"));
    let daemon = Daemon::start(&home).await;
    let reasons = async || {
        let alerts = pagerduty.role.alerts();
        let events = alerts.values().flat_map(|alert| &alert.events);
        events.map(|event| event.body["payload"]["custom_details"]["tawny.reason"].clone()).collect::<Vec<_>>()
    };
    until_true("a word under the new name, though nothing was heard", PATIENCE, async || {
        reasons().await == ["first_alert", "new_sink"]
    })
    .await;
    assert_eq!(pagerduty.role.page_count(), 1, "PagerDuty knows the key");
    let body = prometheus_body(&[alert.resolved()]);
    let reply = client.post(daemon.address, "/api/v2/alerts", body).await;
    assert!(reply.as_ref().is_ok_and(|reply| reply.is_taken()), "{reply:?}");
    until_true("the end", PATIENCE, async || pagerduty.role.resolve_count() == 1).await;
    daemon.kill();

    let daemon = Daemon::start(&home).await;
    assert_eq!(home.log().matches("sinks have left").count(), 1, "it was told once");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_alert_pages_though_a_warning_opened_its_incident_for_others() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let webhook = StandIn::start(Webhook::new(WEBHOOK_SECRET)).await;
    let mut home = Home::empty();
    home.set_environment("HOOK_SECRET", WEBHOOK_SECRET);
    let rules = home.path().join("rules");
    std::fs::create_dir(&rules).expect("the temporary directory can be written");
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/services.yaml");
    std::fs::copy(shipped, rules.join("services.yaml")).expect("the shipped rules are there");
    let routes = "version: 1\nkind: routes\nroutes:\n  - { id: pages, when: { out.severity: critical }, to: [pager] }\n  \
                  - { id: rest, when: {}, to: [hook] }\n";
    std::fs::write(rules.join("routes.yaml"), routes).expect("the folder can be written");
    home.write_settings(&format!(
        "{}  - {{ name: hook, kind: webhook, secret: {{ env: HOOK_SECRET }}, endpoint: \"{}/hook\" }}\n",
        pager(&pagerduty.endpoint(0)),
        webhook.url(),
    ));
    let settings = std::fs::read_to_string(home.settings_path()).expect("the settings were written");
    home.write("tawny.yaml", &format!("rules: {}\n{settings}", rules.display()));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let alert =
        |severity| Alert::firing(&[("alertname", "DiskFills"), ("service", "owl-service"), ("severity", severity)]);
    let (warning, critical) = (alert("warning"), alert("critical"));
    let post = async |alert: &Alert| {
        let reply = client.post(daemon.address, "/api/v2/alerts", prometheus_body(std::slice::from_ref(alert))).await;
        assert!(reply.as_ref().is_ok_and(|reply| reply.is_taken()), "{reply:?}");
    };
    post(&warning).await;
    until_true("the warning at its sink", PATIENCE, async || webhook.role.messages().len() == 1).await;
    assert_eq!(pagerduty.role.page_count(), 0);
    post(&critical).await;
    until_true("the page", PATIENCE, async || pagerduty.role.page_count() == 1).await;
    post(&critical.resolved()).await;
    post(&warning.resolved()).await;
    until_true("the end at both", PATIENCE, async || {
        pagerduty.role.resolve_count() == 1 && webhook.role.messages().len() == 3
    })
    .await;
    assert_eq!(pagerduty.role.page_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pagerduty_events_that_begin_alike_are_two_pages() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    for (key, summary) in [
        ("A", "High CPU on owl-service: 91 %"),
        ("B", "High error rate on owl-service"),
        ("A", "High CPU on owl-service: 93 %"),
    ] {
        let body = String::from_utf8(pagerduty_body(PAGERDUTY_IN_KEY, "trigger", key)).unwrap();
        let body = body.replace(r#""class":"BackupFailed","#, "").replace("Nightly backup failed", summary);
        assert!(!body.contains("class") && body.contains(summary), "{body}");
        let reply = client.post(daemon.address, "/v2/enqueue", body.into_bytes()).await.unwrap();
        assert_eq!(reply.status, 202, "{reply:?}");
    }
    until_true("both pages", PATIENCE, async || pagerduty.role.page_count() == 2).await;
    for key in ["A", "B"] {
        let body = pagerduty_body(PAGERDUTY_IN_KEY, "resolve", key);
        assert_eq!(client.post(daemon.address, "/v2/enqueue", body).await.unwrap().status, 202);
    }
    until_true("both ends", PATIENCE, async || pagerduty.role.resolve_count() == 2).await;
    assert_eq!(pagerduty.role.page_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_one_page_directly_and_as_an_event_of_alertmanager() {
    let pagerduty = StandIn::start(PagerDuty::default()).await;
    let home = Home::with_pager(&pagerduty.endpoint(0));
    let daemon = Daemon::start(&home).await;
    let client = Client::new();
    let direct = Alert::firing(&[("alertname", "HighErrorRate"), ("service", "owl-service"), ("severity", "error")]);
    let reply = client.post(daemon.address, "/api/v2/alerts", prometheus_body(std::slice::from_ref(&direct))).await;
    assert!(reply.as_ref().is_ok_and(|reply| reply.is_taken()), "{reply:?}");
    until_true("the page", PATIENCE, async || pagerduty.role.page_count() == 1).await;
    let relayed = |action: &str| {
        let body = String::from_utf8(pagerduty_body(PAGERDUTY_IN_KEY, action, "group")).unwrap();
        let body = body.replace(r#""class":"BackupFailed","#, "");
        body.replace("Nightly backup failed", "[FIRING:1] HighErrorRate (owl-service error)").into_bytes()
    };
    assert_eq!(client.post(daemon.address, "/v2/enqueue", relayed("trigger")).await.unwrap().status, 202);
    let end = client.post(daemon.address, "/api/v2/alerts", prometheus_body(&[direct.resolved()])).await;
    assert!(end.is_ok_and(|reply| reply.is_taken()));
    assert_eq!(client.post(daemon.address, "/v2/enqueue", relayed("resolve")).await.unwrap().status, 202);
    until_true("the end", PATIENCE, async || pagerduty.role.resolve_count() == 1).await;
    assert_eq!(pagerduty.role.page_count(), 1);
}
