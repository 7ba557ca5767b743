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
