//! PagerDuty, Events API v2 (developer.pagerduty.com/docs/events-api-v2): alerts to `/v2/enqueue`, changes to
//! `/v2/change/enqueue`. Never sends an event that PagerDuty would refuse for its size or shape.
//!
//! | our notice | their event |
//! | --- | --- |
//! | opened, changed, reminder | `trigger` |
//! | changed because acknowledged | `acknowledge` |
//! | resolved, also as stale | `resolve` |
//! | event | change event: no key, no severity, never pages |

mod body;
mod shrink;

use std::time::Duration;

use super::answer::{default_judgement, only};
use super::{
    EncodeError, HttpAnswer, HttpRequest, Judgement, Limits, Outgoing, Rate, Secrets, Sink, SinkKind, SinkSettings,
    options, words,
};
use crate::model::{Notice, NoticeKind, Reason, Timestamp};

pub(super) struct Kind;

/// Requests at once, each of another incident. What bounds a key is its rate; this lets settlements share a commit.
const IN_FLIGHT: u32 = 32;

/// About 120 calls a minute and key are allowed, counted over a sliding minute.
const RATE_PER_MINUTE: u32 = 120;
const BURST: u32 = 20;
const ROUTING_KEY: &str = "routing_key";
const ROUTING_KEY_BYTES: usize = 32;

impl SinkKind for Kind {
    fn kind(&self) -> &'static str {
        "pagerduty"
    }

    fn about(&self) -> &'static str {
        "Pages through PagerDuty's Events API v2; changes go to its change events."
    }

    fn build(&self, settings: SinkSettings) -> Result<Box<dyn Sink>, String> {
        options::check_keys(&settings, &["region", "rate_per_minute", "in_flight"], &[ROUTING_KEY])?;
        options::check_secrets(&settings, &[ROUTING_KEY], &[])?;
        let vendor = match options::choice(&settings, "region", &["us", "eu"])? {
            "eu" => "https://events.eu.pagerduty.com",
            _ => "https://events.pagerduty.com",
        };
        let base = options::base_url(&settings, vendor)?;
        let per_minute = options::count(&settings, "rate_per_minute", RATE_PER_MINUTE, 100_000_000)?;
        let in_flight = options::count(&settings, "in_flight", IN_FLIGHT, 256)?;
        Ok(Box::new(PagerDuty {
            alerts_url: format!("{base}/v2/enqueue"),
            changes_url: format!("{base}/v2/change/enqueue"),
            is_vendor: settings.endpoint.is_none(),
            limits: Limits {
                batch_count_max: 1,
                in_flight_max: in_flight as usize,
                rate: Some(Rate { per_minute, burst: BURST.min(per_minute) }),
                deadline: Duration::from_secs(6 * 3600),
                timeout: Duration::from_secs(10),
            },
        }))
    }
}

struct PagerDuty {
    alerts_url: String,
    changes_url: String,
    limits: Limits,
    /// The address is PagerDuty's own.
    is_vendor: bool,
}

impl PagerDuty {
    /// What speaks PagerDuty's language at another address (this daemon does) has keys of its own kind.
    fn check_key(&self, key: &str) -> Result<(), EncodeError> {
        let is_key = key.len() == ROUTING_KEY_BYTES && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_key || !self.is_vendor {
            return Ok(());
        }
        Err(EncodeError::SecretBad { name: ROUTING_KEY, reason: "a routing key is 32 letters and digits" })
    }
}

impl Sink for PagerDuty {
    fn kind(&self) -> &'static str {
        Kind.kind()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn encode(&self, notices: &[&Notice], secrets: &dyn Secrets, _now: Timestamp) -> Result<Outgoing, EncodeError> {
        let notice = only(notices)?;
        let secret = options::secret(secrets, ROUTING_KEY)?;
        let key = secret.reveal();
        self.check_key(key)?;
        let (url, body) = match (notice.kind, notice.reason) {
            // The key serves alerts well, so it is not blocked: this one event cannot go there.
            (NoticeKind::Event, _) if key.starts_with('R') => {
                let reason = "`routing_key` starts with `R`: ruleset keys take no change events".to_owned();
                return Err(EncodeError::Unencodable { reason });
            }
            (NoticeKind::Event, _) => (&self.changes_url, body::change(notice, key)),
            (NoticeKind::Resolved, _) => (&self.alerts_url, body::brief(notice, key, "resolve")),
            (NoticeKind::Opened | NoticeKind::Changed | NoticeKind::Reminder, Reason::Acknowledged) => {
                (&self.alerts_url, body::brief(notice, key, "acknowledge"))
            }
            (NoticeKind::Opened | NoticeKind::Changed | NoticeKind::Reminder, _) => {
                (&self.alerts_url, body::trigger(notice, key))
            }
        };
        Ok(Outgoing::Http(HttpRequest {
            url: url.clone(),
            headers: vec![
                ("content-type".into(), "application/json".into()),
                ("user-agent".into(), words::PRODUCT.into()),
            ],
            body,
        }))
    }

    /// Change events have no key.
    fn shows_twice(&self, kind: NoticeKind) -> bool {
        match kind {
            NoticeKind::Event => true,
            NoticeKind::Opened | NoticeKind::Changed | NoticeKind::Reminder | NoticeKind::Resolved => false,
        }
    }

    fn check_secrets(&self, secrets: &dyn Secrets) -> Result<(), EncodeError> {
        self.check_key(options::secret(secrets, ROUTING_KEY)?.reveal())
    }

    fn judge(&self, answer: &HttpAnswer<'_>, notice_count: usize) -> Vec<Judgement> {
        vec![judgement(answer); notice_count]
    }
}

fn judgement(answer: &HttpAnswer<'_>) -> Judgement {
    if answer.status == 202 {
        return Judgement::Delivered;
    }
    match (answer.status, default_judgement(answer)) {
        // An unknown key is answered like a bad event; the event is fine and waits for a good key.
        (400, Judgement::Rejected { reason }) if blames_the_key(answer.body) => Judgement::Blocked { reason },
        (_, other) => other,
    }
}

/// Looks at `errors` and `message`, or at the whole body where it is not theirs: it is seen as plain text too.
fn blames_the_key(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Refusal {
        #[serde(default)]
        message: String,
        #[serde(default)]
        errors: Vec<String>,
    }
    let names_it = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.contains("routing_key") || text.contains("routing key")
    };
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => names_it(&refusal.message) || refusal.errors.iter().any(|error| names_it(error)),
        Err(_) => names_it(&String::from_utf8_lossy(body)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testkit::{Held, body, build, check_life, judge, labels_of, life, notice, now, owl, request};
    use super::*;
    use crate::model::incident::Sample;
    use crate::model::{Labels, TagName};

    const SECRETS: Held = Held(&[("routing_key", "0123456789abcdef0123456789abcdef")]);

    fn sink() -> Box<dyn Sink> {
        build("pagerduty", json!({}), &["routing_key"]).unwrap()
    }

    #[test]
    fn the_life_of_an_incident_is_written_as_in_the_golden_files() {
        check_life("pagerduty", sink().as_ref(), &SECRETS);
    }

    #[test]
    fn all_events_of_an_episode_carry_the_same_key() {
        let sink = sink();
        let keys: std::collections::BTreeSet<String> = life()
            .iter()
            .filter(|(name, _)| !["event", "bare"].contains(name))
            .map(|(_, notice)| body(sink.encode(&[notice], &SECRETS, now()))["dedup_key"].to_string())
            .collect();
        assert_eq!(keys.len(), 1, "{keys:?}");
    }

    #[test]
    fn a_stale_incident_is_resolved_too() {
        let stale = notice(owl(), NoticeKind::Resolved, Reason::Stale);
        let body = body(sink().encode(&[&stale], &SECRETS, now()));
        assert_eq!(body["event_action"], "resolve");
        assert_eq!(body["payload"]["custom_details"]["tawny.reason"], "stale");
    }

    #[test]
    fn long_texts_are_cut_to_what_pagerduty_takes() {
        let mut incident = owl();
        std::sync::Arc::make_mut(&mut incident.lead).title = "ö".repeat(3000);
        let body = body(sink().encode(&[&notice(incident, NoticeKind::Opened, Reason::FirstAlert)], &SECRETS, now()));
        let summary = body["payload"]["summary"].as_str().unwrap();
        assert_eq!(summary.chars().count(), 1024);
        assert!(summary.ends_with("… [ECS+EKS prod-use1-c2]"));
    }

    fn huge(sample_count: usize, text_bytes: usize) -> Notice {
        let mut incident = owl();

        let sample = Sample {
            annotations: Labels::from_iter([("dump", "x".repeat(text_bytes))]),
            ..incident.lead.as_ref().clone()
        };
        incident.lead = sample.clone().into();
        incident.samples = vec![sample.into(); sample_count - 1];
        notice(incident, NoticeKind::Opened, Reason::FirstAlert)
    }

    #[test]
    fn an_event_that_is_too_large_loses_its_longest_texts_first() {
        let request = request(sink().encode(&[&huge(4, 200_000)], &SECRETS, now()));
        assert!(request.body.len() <= 512_000, "{}", request.body.len());
        assert!(request.body.len() > 256_000, "no more than needed: {}", request.body.len());
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let details = &body["payload"]["custom_details"];
        assert_eq!(details["firing"].as_array().unwrap().len(), 4);
        let dump = |at: usize| details["firing"][at]["annotations"]["dump"].as_str().unwrap();
        assert_eq!(dump(0).len(), 200_000, "the lead is cut last");
        assert!(dump(3).ends_with("…[cut]"));
        assert_eq!(details["omitted"], Value::Null);
        assert_eq!(details["tawny.owner"], "team-owl");
    }

    #[test]
    fn an_event_of_very_many_alerts_loses_the_end_of_its_list_and_says_how_much() {
        let request = request(sink().encode(&[&huge(5000, 300)], &SECRETS, now()));
        assert!(request.body.len() <= 512_000, "{}", request.body.len());
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let details = &body["payload"]["custom_details"];
        let kept = details["firing"].as_array().unwrap().len();
        assert!(kept > 100);
        assert_eq!(details["omitted"], 5000 - kept);
        for pinned in ["service", "owner", "platform", "cell", "runbook", "dedup_key"] {
            assert!(details[format!("tawny.{pinned}")].is_string(), "{pinned}");
        }
    }

    #[test]
    fn an_event_of_huge_labels_keeps_what_is_pinned() {
        let mut incident = owl();
        std::sync::Arc::make_mut(&mut incident.lead).labels = labels_of(40_000, "x");
        std::sync::Arc::make_mut(&mut incident.tags)
            .replace(TagName::Owner, super::super::testkit::tag(&"o".repeat(600_000), "x"));
        let request =
            request(sink().encode(&[&notice(incident, NoticeKind::Opened, Reason::FirstAlert)], &SECRETS, now()));
        assert!(request.body.len() <= 512_000, "{}", request.body.len());
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["payload"]["custom_details"]["tawny.service"], "owl-service");
    }

    #[test]
    fn a_change_event_is_refused_for_a_ruleset_key_and_alerts_are_not() {
        const RULESET: Held = Held(&[("routing_key", "R123456789abcdef0123456789abcdef")]);
        let event = notice(owl(), NoticeKind::Event, Reason::Event);
        let error = sink().encode(&[&event], &RULESET, now()).err().unwrap();
        assert!(matches!(&error, EncodeError::Unencodable { reason } if reason.contains("ruleset")), "{error}");
        assert!(sink().encode(&[&notice(owl(), NoticeKind::Opened, Reason::FirstAlert)], &RULESET, now()).is_ok());
    }

    #[test]
    fn only_what_has_no_key_is_shown_twice() {
        let sink = sink();
        assert!(sink.shows_twice(NoticeKind::Event));
        for kind in [NoticeKind::Opened, NoticeKind::Changed, NoticeKind::Reminder, NoticeKind::Resolved] {
            assert!(!sink.shows_twice(kind), "{kind:?}");
        }
    }

    #[test]
    fn a_missing_or_malformed_key_is_the_credentials_fault_and_is_not_repeated() {
        let opened = notice(owl(), NoticeKind::Opened, Reason::FirstAlert);
        let missing = sink().encode(&[&opened], &Held(&[]), now()).err().unwrap();
        assert!(matches!(missing, EncodeError::SecretMissing { name: "routing_key" }));
        let bad = sink().encode(&[&opened], &Held(&[("routing_key", "hunter2")]), now()).err().unwrap();
        assert!(matches!(bad, EncodeError::SecretBad { .. }) && !bad.to_string().contains("hunter2"));
    }

    #[test]
    fn each_answer_has_its_class() {
        let sink = sink();
        let judge = |status, body| judge(sink.as_ref(), status, body);
        let accepted = r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#;
        assert_eq!(judge(202, accepted), Judgement::Delivered);
        assert_eq!(judge(202, ""), Judgement::Delivered);
        for blocked in [
            r#"{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}"#,
            "Invalid routing key",
        ] {
            assert!(matches!(judge(400, blocked), Judgement::Blocked { .. }), "{blocked}");
        }
        let unread = r#"{"status":"Unrecognized object","message":"Event object format is unrecognized","errors":["JSON parse error"]}"#;
        for (status, body) in [(400, unread), (400, ""), (413, ""), (422, "")] {
            assert!(matches!(judge(status, body), Judgement::Rejected { .. }), "{status}");
        }
        let calm = r#"{"status":"throttle exceeded","errors":["Enhance Your Calm."]}"#;
        assert_eq!(judge(429, calm), Judgement::Throttled { retry_after: None }, "30 s, and longer each time");
        for status in [401, 403, 404, 410, 302] {
            assert!(matches!(judge(status, ""), Judgement::Blocked { .. }), "{status}");
        }
        for status in [200, 408, 500, 502, 503, 504] {
            assert!(matches!(judge(status, "<html>"), Judgement::Transient { .. }), "{status}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let refused = |options, secrets: &[&str]| build("pagerduty", options, secrets).err().unwrap();
        assert_eq!(
            refused(json!({"regoin": "eu"}), &["routing_key"]),
            "unknown option `regoin` (known: `region`, `rate_per_minute`, `in_flight`)"
        );
        assert_eq!(refused(json!({"region": "mars"}), &["routing_key"]), "`region` is `mars` (known: `us`, `eu`)");
        assert_eq!(refused(json!({"region": 1}), &["routing_key"]), "`region` must be a text, not a number");
        assert!(refused(json!({"in_flight": 0}), &["routing_key"]).starts_with("`in_flight` must be a whole number"));
        assert!(refused(json!({}), &[]).starts_with("secret `routing_key` is missing"));
        assert!(refused(json!({"routing_key": "0123"}), &[]).starts_with("`routing_key` is a secret"));
        let eu = build("pagerduty", json!({"region": "eu", "rate_per_minute": 600}), &["routing_key"]).unwrap();
        assert_eq!(eu.limits().rate, Some(Rate { per_minute: 600, burst: 20 }));
        let opened = notice(owl(), NoticeKind::Opened, Reason::FirstAlert);
        assert_eq!(request(eu.encode(&[&opened], &SECRETS, now())).url, "https://events.eu.pagerduty.com/v2/enqueue");
    }
}
