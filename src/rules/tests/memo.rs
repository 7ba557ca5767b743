//! Answers that alerts of one batch share.

use std::sync::Arc;

use super::*;
use crate::rules::Memo;

/// Alerts that share an answer of a batch may differ only in what makes no difference.
#[test]
fn an_answer_of_a_batch_is_the_one_that_the_alert_would_get_alone() {
    let whens = [
        "{ label.a: x }",
        "{ label.a: [x, y], label.b: { exists: true } }",
        "{ label.b: { prefix: x } }",
        "{ label.a: { glob: \"?*\" } }",
        "{ label.b: [{ prefix: z }, { re: \"(x|y)+\" }] }",
        "{ not: { label.a: x } }",
        "{ label.a: { exists: false } }",
        "{ label.a: x, not: { label.b: [y, { in: services }] } }",
        "{ any: [{ label.a: x }, { label.b: { in: services } }] }",
        "{ out.env: e3, label.b: { suffix: y } }",
        "{ label.a: { re: \"(?<v>.+)\" } }",
        "{ label.b: { arn: { service: ecs, type: cluster } } }",
        "{}",
    ];
    let values = ["", "x", "y", "xy", "z", "owl", "arn:aws:ecs:us-east-1:111111111111:cluster/c"];
    for first in whens {
        for second in whens {
            let text = format!(
                "version: 1\nkind: services\nteams: {{ t: }}\nservices: [{{ name: owl, owner: t }}]\nrules:\n  - {{ id: a, when: {first}, set: {{ env: e3 }} }}\n  - {{ id: b, when: {second}, set: {{ runbook: b }} }}\n  - {{ id: s, when: {{}}, set: {{ service: owl }} }}\n"
            );
            let rules = compile(&[("a.yaml", &text)]);
            let mut memo = Memo::default();
            for labels in values.iter().flat_map(|a| values.iter().map(move |b| [("a", *a), ("b", *b)])) {
                let alert = alert("n", &labels);
                let alone = rules.decide(&alert, origin());
                let together = rules.decide_in_batch(&alert, origin(), &mut memo);
                assert_eq!((alone.tags, alone.key), (together.tags, together.key), "{text} {labels:?}");
            }
        }
    }
}

/// The addresses of instances differ in every alert, and the shipped rules ask for them in three places.
#[test]
fn the_shipped_rules_know_alerts_again_that_differ_in_their_instance() {
    let rules = RuleSet::built_in();
    let mut memo = Memo::default();
    let mut decide = |instance: &str| {
        let labels = [("service", "owl-service"), ("cluster", "eks-prod-1"), ("instance", instance)];
        rules.decide_in_batch(&alert("HighErrorRate", &labels), origin(), &mut memo)
    };
    let first = decide("10.0.0.1:9090");
    assert!(Arc::ptr_eq(&first.tags, &decide("10.0.103.202:9090").tags));
    assert!(!Arc::ptr_eq(&first.tags, &decide("owl-service-7d4b9c8f6d-x2x9z").tags), "the shape of a pod is a vote");
}

/// What an alert's name decides is decided for each name, on a ground that many names share.
#[test]
fn alerts_that_differ_in_their_name_share_what_the_rules_said_of_all_else() {
    let rules = RuleSet::built_in();
    let mut memo = Memo::default();
    let labels = [("service", "owl-service"), ("cluster", "eks-prod-1")];
    let mut decide = |name: &str| {
        let alert = alert(name, &labels);
        let together = rules.decide_in_batch(&alert, origin(), &mut memo);
        let alone = rules.decide(&alert, origin());
        assert_eq!((&alone.tags, alone.key, &alone.class), (&together.tags, together.key, &together.class), "{name}");
        memo.end_batch();
        together
    };
    let names = ["HighErrorRate", "owl-service-HighLatency", "HighLatency", "eks-prod-1 down", "owl-service"];
    let decisions: Vec<_> = names.iter().map(|name| decide(name)).collect();
    let shared = decisions[0].tags.shared_address();
    assert!(shared.is_some() && decisions.iter().all(|decision| decision.tags.shared_address() == shared));
    assert_eq!(decisions[1].key, decisions[2].key, "a name without its places is one class");
}

#[test]
fn a_route_that_asks_for_the_class_is_asked_for_each_name() {
    let text = "version: 1\nkind: routes\nroutes:\n  - { id: night, when: { out.class: [Backup, { prefix: Batch }] }, hold: 5m }\n  - { id: rest, when: {} }\n";
    let rules = compile(&[("routes.yaml", text)]);
    let mut memo = Memo::default();
    for name in ["Backup", "HighErrorRate", "BatchLate", "Backup", "Back", "BatchLate"] {
        for service in ["a", "b"] {
            let alert = alert(name, &[("service", service)]);
            let (alone, together) =
                (rules.decide(&alert, origin()), rules.decide_in_batch(&alert, origin(), &mut memo));
            assert_eq!((alone.route, alone.tags), (together.route, together.tags), "{name}");
        }
    }
}

#[test]
fn answers_that_push_each_other_out_stay_right() {
    let rules = RuleSet::built_in();
    let mut memo = Memo::default();
    for round in 0..2 {
        for number in 0..3000 {
            let service = format!("svc-{number}");
            let alert = alert("HighErrorRate", &[("service", &service), ("cell", "prod-use1-c2")]);
            let (alone, together) =
                (rules.decide(&alert, origin()), rules.decide_in_batch(&alert, origin(), &mut memo));
            assert_eq!((alone.key, alone.tags), (together.key, together.tags), "{round} {number}");
        }
        memo.end_batch();
    }
}
