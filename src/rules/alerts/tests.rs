//! Rules for alerts from text to what they make of a record.

use super::*;
use crate::rules::{RuleSet, SourceFile};

const ROUTES: &str = "version: 1\nkind: routes\nroutes:\n  - { id: rest, when: {} }\n";

fn files(alerts: &str) -> [SourceFile; 2] {
    let file = |name: &str, text: String| SourceFile { name: name.to_owned(), text };
    let head = "version: 1\nkind: alerts\nalerts:\n";
    [file("alerts.yaml", format!("{head}{alerts}")), file("routes.yaml", ROUTES.to_owned())]
}

fn compile(alerts: &str) -> RuleSet {
    RuleSet::compile(&files(alerts)).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// Messages and hints of all faults.
fn faults(alerts: &str) -> Vec<String> {
    let found = RuleSet::compile(&files(alerts)).expect_err("a fault");
    found
        .iter()
        .map(|fault| format!("{}: {} ({})", fault.line, fault.message, fault.hint.as_deref().unwrap_or("")))
        .collect()
}

fn tags(pairs: &[(TagName, &str)]) -> Tags {
    let mut tags = Tags::default();
    for (name, value) in pairs {
        tags.set_first(*name, crate::model::Tag { value: (*value).into(), by: "test".into(), seen: None });
    }
    tags
}

struct Case<'a> {
    rules: &'a RuleSet,
    records: Records,
    resource: &'a [(&'a str, &'a str)],
    tags: &'a [(TagName, &'a str)],
}

impl<'a> Case<'a> {
    fn find(&self, record: &[(&str, &str)]) -> Option<FoundAlert<'a>> {
        let rules = self.rules.alerts_from(self.records).expect("there are rules");
        let resource: Labels<'_> = self.resource.iter().copied().collect();
        let record: Labels<'_> = record.iter().copied().collect();
        let facts = RecordFacts { instance: "otlp", resource: &resource, tags: &tags(self.tags), record: &record };
        rules.find(&facts, &mut |_| true)
    }
}

const OOM: &str = r#"
  - id: oom-killed
    why: The kernel took the container.
    from: logs
    when:
      log.severity: [ERROR, FATAL]
      log.body: { re: ".*OOMKilled.*container (?<container>[a-z-]+).*" }
      resource.k8s.namespace.name: { exists: true }
    name: OOMKilled
    severity: critical
    title: "${container} of ${resource.k8s.namespace.name} ran out of memory"
    identity: [resource.service.name, resource.k8s.pod.name]
    labels: { reason: "${log.reason}", own: "${log.attributes.severity}", shard: "${out.cell}" }
    holds_for: 5m
"#;

const OOM_RESOURCE: [(&str, &str); 3] =
    [("k8s.namespace.name", "owl"), ("service.name", "owl-service"), ("k8s.pod.name", "owl-1")];

#[test]
fn a_record_that_fits_becomes_what_the_rule_says() {
    let rules = compile(OOM);
    let case = Case { rules: &rules, records: Records::Logs, resource: &OOM_RESOURCE, tags: &[(TagName::Cell, "c2")] };
    let record = [
        ("severity", "ERROR"),
        ("body", "OOMKilled: container web of pod x"),
        ("reason", "limit\nreached "),
        ("attributes.severity", "very"),
    ];
    let found = case.find(&record).expect("it holds");
    assert_eq!((&*found.rule.id, found.name.as_str()), ("oom-killed", "OOMKilled"));
    assert_eq!(&*found.rule.by, "alerts.yaml:5 oom-killed");
    assert_eq!(found.title.as_deref(), Some("web of owl ran out of memory"));
    assert_eq!((found.rule.severity, found.rule.holds_for), (Severity::Critical, Duration::from_secs(300)));
    let labels: Vec<(&str, &str)> = found.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(labels, [("reason", "limit reached"), ("own", "very"), ("shard", "c2")]);
    for other in [
        [("severity", "WARN"), ("body", "OOMKilled: container web")],
        [("severity", "ERROR"), ("body", "all is well")],
        [("severity", ""), ("body", "OOMKilled: container web")],
    ] {
        assert!(case.find(&other).is_none(), "{other:?}");
    }
    let elsewhere = Case { resource: &[("service.name", "owl-service")], ..case };
    assert!(elsewhere.find(&record).is_none(), "no namespace");
}

#[test]
fn the_identity_is_made_of_rule_place_and_the_values_that_were_chosen() {
    let rules = compile(OOM);
    let case = Case { rules: &rules, records: Records::Logs, resource: &OOM_RESOURCE, tags: &[] };
    let identity =
        |case: &Case<'_>, body: &str| case.find(&[("severity", "FATAL"), ("body", body)]).expect("it holds").identity;
    let first = identity(&case, "OOMKilled container a");
    assert_eq!(first, identity(&case, "OOMKilled container b"), "the body is not part of it");
    let mut resource = OOM_RESOURCE;
    resource[2].1 = "owl-2";
    assert_ne!(first, identity(&Case { resource: &resource, ..case }, "OOMKilled container a"), "another pod");
    for place in [
        [(TagName::Platform, "ecs")],
        [(TagName::Platform, "eks")],
        [(TagName::Cell, "c2")],
        [(TagName::Environment, "c2")],
    ] {
        assert_ne!(first, identity(&Case { tags: &place, ..case }, "OOMKilled container a"), "{place:?}");
    }
    let owner = [(TagName::Owner, "team-owl")];
    assert_eq!(first, identity(&Case { tags: &owner, ..case }, "OOMKilled container a"), "no place");
}

#[test]
fn without_an_identity_the_service_and_the_name_tell_alerts_apart() {
    let rules = compile("  - { id: a, from: spans, when: { span.status: ERROR }, name: \"Failed ${span.name}\" }\n");
    let case = Case { rules: &rules, records: Records::Spans, resource: &[("service.name", "owl")], tags: &[] };
    fn find<'a>(case: &Case<'a>, name: &str) -> FoundAlert<'a> {
        case.find(&[("status", "ERROR"), ("name", name)]).expect("it holds")
    }
    let found = find(&case, "GET /a");
    assert_eq!((found.name.as_str(), found.rule.severity), ("Failed GET /a", Severity::Error));
    assert_eq!(found.rule.holds_for, Duration::from_secs(600));
    assert_ne!(found.identity, find(&case, "GET /b").identity);
    assert_ne!(found.identity, find(&Case { resource: &[("service.name", "elk")], ..case }, "GET /a").identity);
    let nameless = case.find(&[("status", "ERROR")]).expect("it holds");
    assert_eq!(nameless.name, "a", "a name without its value is the rule's own");
}

#[test]
fn the_first_rule_that_holds_decides_and_what_is_known_is_not_made_again() {
    let rules = compile(
        "  - { id: first, from: logs, when: { log.severity: FATAL, out.env: production }, name: First }
  - { id: second, from: logs, when: { log.severity: FATAL }, name: Second }\n",
    );
    let case =
        Case { rules: &rules, records: Records::Logs, resource: &[], tags: &[(TagName::Environment, "production")] };
    assert_eq!(case.find(&[("severity", "FATAL")]).expect("it holds").name, "First");
    assert_eq!(Case { tags: &[], ..case }.find(&[("severity", "FATAL")]).expect("it holds").name, "Second");
    let record: Labels<'_> = [("severity", "FATAL")].into_iter().collect();
    let facts = RecordFacts { instance: "otlp", resource: &Labels::new(), tags: &Tags::default(), record: &record };
    assert!(rules.alerts_from(Records::Logs).expect("rules").find(&facts, &mut |_| false).is_none());
    assert!(rules.alerts_from(Records::Spans).is_none(), "nobody asks spans");
}

#[test]
fn a_glance_rules_out_what_no_rule_can_hold_for_and_nothing_else() {
    let rules = compile(
        "  - { id: a, from: spans, when: { span.status: ERROR, span.kind: [SERVER, CONSUMER] }, name: A }
  - { id: b, from: spans, when: { span.status: OK, span.slow: yes }, name: B }
  - { id: c, from: logs, when: { log.severity: [WARN, ERROR] }, name: C }\n",
    );
    let spans = rules.alerts_from(Records::Spans).expect("rules");
    for status in SpanStatus::ALL {
        for kind in SpanKind::ALL {
            let expected = match status {
                SpanStatus::Error => matches!(kind, SpanKind::Server | SpanKind::Consumer),
                SpanStatus::Ok => true,
                SpanStatus::Unset => false,
            };
            assert_eq!(spans.may_hold(Glance::Span { status, kind }), expected, "{status:?} {kind:?}");
        }
    }
    assert_eq!(spans.attribute("slow").as_deref(), Some("slow"));
    assert_eq!(spans.attribute("fast"), None);
    let logs = rules.alerts_from(Records::Logs).expect("rules");
    for severity in LogSeverity::ALL {
        let expected = matches!(severity, LogSeverity::Warn | LogSeverity::Error);
        assert_eq!(logs.may_hold(Glance::Log(Some(severity))), expected, "{severity:?}");
    }
    assert!(!logs.may_hold(Glance::Log(None)));
    let open = compile("  - { id: a, from: logs, when: { not: { log.severity: INFO }, log.event: boom }, name: A }\n");
    let open = open.alerts_from(Records::Logs).expect("rules");
    assert!(open.may_hold(Glance::Log(None)) && open.may_hold(Glance::Log(Some(LogSeverity::Trace))));
}

#[test]
fn faults_say_where_they_are_and_what_would_help() {
    let rule = |fields: &str| format!("  - {{ id: a, from: logs, name: A, {fields} }}\n");
    for (text, expected) in [
        (rule("when: { log.severity: error }"), "`log.severity` is never `error` (did you mean `ERROR`?)"),
        (rule("when: { any: [{ log.severity: [FATAL, EROR] }] }"), "`log.severity` is never `EROR`"),
        (rule("when: { log.sevrity: ERROR }"), "unknown word `sevrity` (did you mean `log.severity`?"),
        (rule("when: { span.status: ERROR }"), "a rule for logs does not see this scope"),
        (rule("when: { label.a: b, log.body: c }"), "a rule for logs does not see this scope"),
        (rule("when: { out.class: b, log.body: c }"), "a Resource has no tag `class`"),
        (rule("when: { resource.a: b }"), "an alert of every record"),
        (rule("when: {}"), "an alert of every record"),
        (rule("when: { log.body: a }, holds_for: 0s"), "an alert must hold for some time"),
        (rule("when: { log.body: a }, holds_for: soon"), "`soon` is not a duration"),
        (rule("when: { log.body: a }, severity: loud"), "unknown severity `loud`"),
        (rule("when: { log.body: a }, identity: [log.body]"), "`log.body` cannot tell alerts apart"),
        (rule("when: { log.body: a }, identity: [podname]"), "unknown scope in `podname`"),
        (rule("when: { log.body: a }, title: \"${nobody}\""), "nothing in `when` gives `${nobody}`"),
        (rule("when: { log.body: a }, labels: { alertname: b }"), "the label `alertname` cannot be set"),
        (rule("when: { log.body: a }, holdsfor: 1m"), "unknown key `holdsfor` (did you mean `holds_for`?)"),
        ("  - { id: a, when: { log.body: a }, name: A }\n".to_owned(), "an alert rule needs `from`"),
        ("  - { id: a, from: metrics, when: { log.body: a }, name: A }\n".to_owned(), "unknown from `metrics`"),
        ("  - { id: a, from: logs, when: { log.body: a } }\n".to_owned(), "an alert rule needs `name`"),
        ("  - { id: a, from: logs, name: A }\n".to_owned(), "an alert rule needs `when`"),
        ("  - { id: a, from: logs, when: { log.body: a }, name: \"${log.body}\" }\n".to_owned(), "cannot tell alerts"),
        ("  - { id: rest, from: logs, when: { log.body: a }, name: A }\n".to_owned(), "id `rest` is taken"),
    ] {
        let found = faults(&text);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{text}{expected}\n{found:#?}");
        assert_eq!(found.len(), 1, "{text}{found:#?}");
    }
}

#[test]
fn other_kinds_of_rules_do_not_look_at_log_records() {
    let text = "version: 1\nkind: services\nrules:\n  - { id: a, when: { log.body: x }, set: { service: x } }\n";
    let file = SourceFile { name: "services.yaml".to_owned(), text: text.to_owned() };
    let [_, routes] = files("");
    let found = RuleSet::compile(&[file, routes]).expect_err("a fault");
    assert!(found[0].message.contains("rules of kind `alerts` only"), "{found:?}");
}

#[test]
fn severities_are_read_from_numbers_and_from_usual_words() {
    for (number, expected) in [
        (0, None),
        (1, Some(LogSeverity::Trace)),
        (4, Some(LogSeverity::Trace)),
        (5, Some(LogSeverity::Debug)),
        (17, Some(LogSeverity::Error)),
        (24, Some(LogSeverity::Fatal)),
        (25, None),
        (u64::MAX, None),
    ] {
        assert_eq!(LogSeverity::of_number(number), expected, "{number}");
    }
    for (text, expected) in
        [("Warning", Some(LogSeverity::Warn)), (" crit ", Some(LogSeverity::Fatal)), ("loud", None), ("", None)]
    {
        assert_eq!(LogSeverity::of_text(text), expected, "{text}");
    }
}
