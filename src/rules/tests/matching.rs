//! What each matcher accepts, which rule wins, and where values come from.

use std::sync::Arc;

use super::*;

/// A platform file with one rule; its `when` is given, and it sets the owner to `hit`.
fn rules_with(when: &str) -> RuleSet {
    let tables = "tables: { t: { key: name, rows: [{ name: one, kind: eks }, { name: two, kind: ecs }] } }";
    compile(&[(
        "a.yaml",
        &format!(
            "version: 1\nkind: platform\n{tables}\nrules:\n  - {{ id: a, when: {when}, set: {{ owner: hit }} }}\n"
        ),
    )])
}

#[test]
fn each_matcher_accepts_what_it_says_and_nothing_else() {
    for (when, yes, no) in [
        ("{ label.x: no }", vec!["no"], vec!["false", "", "NO", "no "]),
        ("{ label.x: 0123 }", vec!["0123"], vec!["123", "83"]),
        ("{ label.x: [a, { prefix: b }] }", vec!["a", "b", "bc"], vec!["c", "ab", ""]),
        ("{ label.x: { prefix: ab } }", vec!["ab", "abc"], vec!["a", "cab"]),
        ("{ label.x: { suffix: ab } }", vec!["ab", "cab"], vec!["abc"]),
        ("{ label.x: { glob: \"a*c?\" } }", vec!["acd", "abcd"], vec!["ac", "abcde "]),
        ("{ label.x: { re: \"a|b\" } }", vec!["a", "b"], vec!["ab", "xa", "a\n"]),
        ("{ label.x: { re: \"(?i)fargate\" } }", vec!["FARGATE", "Fargate"], vec!["FARGATE_SPOT"]),
        ("{ label.x: { cidr: [10.0.0.0/8, \"2600::/16\"] } }", vec!["10.1.1.1", "[2600::1]:80"], vec!["11.0.0.1", "x"]),
        ("{ label.x: { exists: true } }", vec!["x", " "], vec![""]),
        ("{ label.x: { exists: false } }", vec![""], vec!["x"]),
        ("{ label.x: [{ exists: false }, a] }", vec!["", "a"], vec!["x"]),
        (
            "{ label.x: { arn: { service: ecs, type: [task, service] } } }",
            vec!["arn:aws-cn:ecs:r:1:task/c/t"],
            vec!["arn:aws:ecs:r:1:cluster/c", "arn:aws:eks:r:1:task/c/t", "task/c/t"],
        ),
        ("{ label.x: { arn: { service: elasticloadbalancing } } }", vec!["targetgroup/n/1", "app/n/1"], vec!["n/1"]),
        ("{ label.x: { in: t } }", vec!["one", "two"], vec!["three", ""]),
        ("{ label.x: { in: t, where: { kind: eks } } }", vec!["one"], vec!["two"]),
        ("{ label.x: { in: t, where: { kind: [eks, ecs] } } }", vec!["one", "two"], vec!["three"]),
        ("{ label.x: { gt: 5 } }", vec!["5.5", "1e3", "+Inf"], vec!["5", "-6", "x", "NaN"]),
        ("{ label.x: { gt: 5, lt: 7 } }", vec!["6"], vec!["5", "7"]),
        ("{ not: { label.x: a } }", vec!["", "b"], vec!["a"]),
        ("{ any: [{ label.x: a }, { label.x: { prefix: b } }] }", vec!["a", "bb"], vec!["", "c"]),
        ("{ any: [{ label.x: a }, { not: { label.x: { exists: true } } }] }", vec!["a", ""], vec!["b"]),
        ("{ not: { any: [{ label.x: a }, { label.x: b }] } }", vec!["c"], vec!["a", "b"]),
        ("{ label.x: { prefix: a }, not: { label.x: ab } }", vec!["a", "ac"], vec!["ab", "b"]),
        ("{}", vec!["", "x"], vec![]),
        // Nothing gives these scopes to an alert yet; they are absent, not wrong.
        ("{ resource.x: { exists: true } }", vec![], vec!["", "x"]),
        ("{ span.x: { exists: false }, dimension.x: { exists: false } }", vec!["", "x"], vec![]),
    ] {
        let rules = rules_with(when);
        let hit = |value: &str| self::value(&decide(&rules, &[("x", value)]), TagName::Owner) == Some("hit");
        for value in yes {
            assert!(hit(value), "{when} accepts `{value}`");
        }
        for value in no {
            assert!(!hit(value), "{when} refuses `{value}`");
        }
    }
}

#[test]
fn every_scope_of_an_alert_can_be_asked() {
    let constants: Labels<'static> = [("region", "eu-west-1"), ("x", "constant")].into_iter().collect();
    let origin = Origin { kind: "alertmanager", instance: "eks-prod", constants: &constants };
    let mut alert = alert("HighErrorRate", &[("x", "label")]);
    alert.annotations = [("summary", "s")].into_iter().collect();
    alert.fields = [("namespace", "AWS/ECS"), ("source", "sns")].into_iter().collect();
    for (key, expected) in [
        ("label.x", Some("label")),
        ("label.region", Some("eu-west-1")),
        ("constant.x", Some("constant")),
        ("constant.y", None),
        ("annotation.summary", Some("s")),
        ("field.namespace", Some("AWS/ECS")),
        ("field.source", Some("sns")),
        ("field.instance", Some("eks-prod")),
        ("field.name", Some("HighErrorRate")),
        ("field.title", Some("a title")),
        ("field.state", Some("firing")),
        ("field.severity", Some("critical")),
    ] {
        let rules = compile(&[(
            "a.yaml",
            &format!(
                "version: 1\nkind: platform\nrules:\n  - {{ id: a, when: {{}}, set: {{ runbook: \"${{{key}}}\" }} }}\n"
            ),
        )]);
        assert_eq!(value(&rules.decide(&alert, origin), TagName::Runbook), expected, "{key}");
    }
}

#[test]
fn values_are_put_together_from_captures_tables_arns_and_fields() {
    for (when, set, given, expected) in [
        ("{ label.x: { re: \"(?<a>[a-z]+)-(?<b>[0-9]+)\" } }", "${b}/${a}", "abc-12", Some("12/abc")),
        (
            "{ label.x: { arn: { service: ecs } } }",
            "${arn.cluster}.${arn.name}.${arn.account}.${arn.region}",
            "arn:aws:ecs:r:1:task/c/t",
            Some("c.t.1.r"),
        ),
        // The old form has no cluster, so there is nothing to say.
        ("{ label.x: { arn: { service: ecs } } }", "${arn.cluster}", "arn:aws:ecs:r:1:task/t", None),
        ("{ label.x: { in: t } }", "${t.kind}", "two", Some("ecs")),
        (
            "{ any: [{ label.y: { re: \"(?<a>.+)\" } }, { label.x: { re: \"(?<a>..).*\" } }] }",
            "${a}",
            "xyz",
            Some("xy"),
        ),
        ("{ label.x: { exists: true } }", "${label.y}", "x", None),
        ("{ label.x: { exists: true } }", "at ${label.x}!", "x", Some("at x!")),
        ("{ label.x: { re: \"(?<a>b)?x\" } }", "${a}", "x", None),
    ] {
        let tables = "tables: { t: { key: name, rows: [{ name: one, kind: eks }, { name: two, kind: ecs }] } }";
        let text = format!(
            "version: 1\nkind: platform\n{tables}\nrules:\n  - {{ id: a, when: {when}, set: {{ runbook: \"{set}\" }} }}\n"
        );
        let decision = decide(&compile(&[("a.yaml", &text)]), &[("x", given)]);
        assert_eq!(value(&decision, TagName::Runbook), expected, "{when} {set}");
    }
}

#[test]
fn the_first_rule_that_sets_a_field_wins_field_by_field() {
    let platform = "
version: 1
kind: platform
rules:
  - { id: silent, when: { label.x: y }, set: { platform: \"${label.none}\" } }
  - { id: shadow, stage: shadow, when: {}, set: { platform: lambda } }
  - { id: first, when: { label.x: y }, set: { platform: ecs } }
  - { id: second, when: { label.x: y }, set: { platform.cluster: c } }
";
    let cells = "
version: 1
kind: cells
rules:
  - { id: third, when: { out.platform: ecs, out.platform.cluster: { prefix: c } }, set: { cell: c1, platform.cluster: d } }
  - { id: fourth, when: { out.cell: c1 }, set: { env: production } }
";
    // The order of the files does not matter: kinds have an order, and names within a kind.
    let rules = compile(&[("z.yaml", cells), ("a.yaml", platform)]);
    let decision = decide(&rules, &[("x", "y")]);
    let tag = |name: TagName| decision.tags.get(name).map(|tag| (tag.value.to_string(), tag.by.to_string()));
    let expected = |value: &str, by: &str| Some((value.to_owned(), by.to_owned()));
    assert_eq!(tag(TagName::Platform), expected("ecs", "a.yaml:7 first"));
    assert_eq!(tag(TagName::PlatformCluster), expected("c", "a.yaml:8 second"));
    assert_eq!(tag(TagName::Cell), expected("c1", "z.yaml:5 third"));
    assert_eq!(tag(TagName::Environment), expected("production", "z.yaml:6 fourth"));
    assert_eq!(decision.tags.get(TagName::Platform).unwrap().seen.as_deref(), Some("label.x=y"));
    assert_eq!(decision.tags.get(TagName::Environment).unwrap().seen.as_deref(), Some("out.cell=c1"));
    assert_eq!(explain(&rules, &[("x", "y")]).shadow, [Arc::from("a.yaml:6 shadow")]);
}

#[test]
fn a_value_outside_a_closed_set_is_no_value() {
    let text = "
version: 1
kind: platform
rules:
  - { id: a, when: { label.x: { exists: true } }, set: { platform: \"${label.x}\", severity: \"${label.x}\", platform.cluster: \"${label.x}\" } }
";
    let rules = compile(&[("a.yaml", text)]);
    let decision = decide(&rules, &[("x", "ecs")]);
    assert_eq!((value(&decision, TagName::Platform), decision.severity), (Some("ecs"), Severity::Critical));
    let decision = decide(&rules, &[("x", "P3")]);
    assert_eq!((value(&decision, TagName::Platform), decision.severity), (Some("unknown"), Severity::Warning));
    for strange in ["a\0b".to_owned(), "a\nb".to_owned(), "x".repeat(4096), "  ".to_owned()] {
        assert_eq!(value(&decide(&rules, &[("x", &strange)]), TagName::PlatformCluster), None, "{strange:?}");
    }
}

/// The index may leave out only rules that could not have held.
#[test]
fn the_index_never_changes_an_answer() {
    let whens = [
        "{ label.a: x }",
        "{ label.a: [x, y] }",
        "{ label.b: { prefix: x } }",
        "{ label.b: { suffix: y } }",
        "{ label.a: { glob: \"?*\" } }",
        "{ label.b: [{ prefix: z }, { re: \"(x|y)+\" }] }",
        "{ not: { label.a: x } }",
        "{ label.a: { exists: false } }",
        "{ label.a: x, label.b: y }",
        "{ any: [{ label.a: x }, { label.b: y }] }",
        "{ any: [{ label.a: x }, {}] }",
        "{ label.a: [x, { exists: false }] }",
        "{ out.env: e3 }",
        "{ out.env: { prefix: e } }",
        "{ label.b: { re: \"x|y\" }, not: { label.a: { exists: true } } }",
        "{}",
    ];
    for first in 0..whens.len() {
        for second in 0..whens.len() {
            let text = format!(
                "version: 1\nkind: platform\nrules:\n  - {{ id: a, when: {}, set: {{ env: e3 }} }}\n  - {{ id: b, when: {}, set: {{ runbook: b }} }}\n",
                whens[first], whens[second]
            );
            let rules = compile(&[("a.yaml", &text)]);
            for a in ["", "x", "y", "z"] {
                for b in ["", "x", "y", "z"] {
                    let labels = [("a", a), ("b", b)];
                    let decision = decide(&rules, &labels);
                    let alert = alert("n", &labels);
                    let scopes = crate::rules::facts::Scopes::of_alert(&alert, origin());
                    let values = rules.program.keys.look_up(&scopes);
                    let mut tags = crate::model::Tags::default();
                    for rule in &rules.program.rules {
                        let view = rules.program.view(&values, &tags, crate::rules::facts::Place::default());
                        if rule.when.holds(&view) {
                            let name = rule.sets[0].0;
                            tags.set_first(name, decision.tags.get(name).expect("the index left out a rule").clone());
                        }
                    }
                    for name in [TagName::Environment, TagName::Runbook] {
                        assert_eq!(tags.get(name), decision.tags.get(name), "{text} a={a} b={b}");
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_that_a_sender_writes_makes_the_rules_panic() {
    let rules = RuleSet::built_in();
    let long = "x".repeat(4096);
    let dashes = "owl-service-".repeat(400);
    let strange = [
        "",
        "\0",
        "a\0b",
        "é",
        "\u{202e}owl",
        "💥-💥",
        "${label.x}",
        "owl-service\u{301}",
        "-",
        "---",
        "unknown_service:java",
        "arn:aws:ecs:::",
        "arn:::::",
        "[::1",
        "%",
        "[]:80",
        &long,
        &dashes,
        "-7d4b9c8f6d-x2x9z",
        "İ-prod",
        "prod-İ",
    ];
    let names = [
        "service",
        "cluster",
        "cell",
        "env",
        "platform",
        "instance",
        "LaunchType",
        "ecs_task_arn",
        "team",
        "container",
    ];
    for value in strange {
        for name in names {
            let mut alert = alert(value, &[(name, value)]);
            alert.fields = [("namespace", value)].into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let explanation = rules.explain(&alert, origin());
            assert_eq!(explanation.decision.key, rules.decide(&alert, origin()).key);
            for (_, tag) in explanation.decision.tags.iter() {
                assert!(tag.seen.as_ref().is_none_or(|seen| seen.len() < 300), "{name} {}", tag.value);
            }
        }
        let all: Vec<(&str, &str)> = names.into_iter().map(|name| (name, value)).collect();
        decide(&rules, &all);
    }
}

#[test]
fn near_misses_name_the_one_condition_that_failed() {
    let text = "
version: 1
kind: platform
tables: { t: { key: name, rows: [{ name: one }] } }
rules:
  - { id: typo, when: { label.cluster: { in: t } }, set: { platform: eks } }
  - { id: two, when: { label.a: x, label.b: y }, set: { platform: ecs } }
  - { id: far, when: { label.c: x, label.d: y }, set: { platform: ecs } }
  - { id: absent, when: { label.e: x }, set: { platform: ecs } }
";
    let explanation = explain(&compile(&[("a.yaml", text)]), &[("cluster", "onne"), ("a", "x")]);
    let misses: Vec<_> =
        explanation.near_misses.iter().map(|miss| (&*miss.rule, &*miss.condition, miss.seen.as_deref())).collect();
    assert_eq!(
        misses,
        [("a.yaml:6 typo", "label.cluster: { in: t }", Some("onne")), ("a.yaml:7 two", "label.b: y", None)]
    );
}

#[test]
fn routes_take_the_first_that_matches_and_have_defaults() {
    let text = "
version: 1
kind: routes
routes:
  - { id: warnings, when: { out.severity: warning }, hold: 30s, update: 5m, remind: 1d }
  - { id: owls, when: { out.owner: unowned, label.x: { exists: true } }, fold: none }
  - id: rest
";
    let rules = compile(&[("routes.yaml", text)]);
    let route = |decision: &Decision| {
        let seconds = |span: Duration| span.as_secs();
        let route = &decision.route;
        (route.by.to_string(), seconds(route.hold), seconds(route.update), seconds(route.remind))
    };
    assert_eq!(route(&decide(&rules, &[])), ("routes.yaml:7 rest".to_owned(), 0, 60, 10_800));
    assert_eq!(route(&decide(&rules, &[("x", "y")])), ("routes.yaml:6 owls".to_owned(), 0, 60, 10_800));
    let mut warning = alert("n", &[("x", "y")]);
    warning.severity = Severity::Warning;
    assert_eq!(route(&rules.decide(&warning, origin())), ("routes.yaml:5 warnings".to_owned(), 30, 300, 86_400));
}

#[test]
fn a_revision_is_the_content_until_somebody_knows_better() {
    let mut rules = RuleSet::built_in();
    let revision = Arc::clone(rules.revision());
    assert_eq!(revision.len(), 12);
    assert_eq!(*RuleSet::built_in().revision(), revision);
    assert_ne!(*compile(&[]).revision(), revision);
    rules.set_revision("4f2a9c1");
    assert_eq!(&**rules.revision(), "4f2a9c1");
}

/// Names of clusters are reused; account and region tell which is meant, and nothing else may be guessed.
#[test]
fn clusters_of_one_name_are_told_apart_by_account_and_region() {
    let cells = "
version: 1
kind: cells
cells:
  - { id: c1, region: us-east-1, account: \"111111111111\", clusters: { eks: [main] } }
  - { id: c2, region: us-east-1, account: \"222222222222\", clusters: { eks: [main, \"arn:aws:eks:eu-west-1:333333333333:cluster/far\"] } }
rules:
  - { id: a, when: { label.cluster: { in: cells.clusters } }, set: { cell: \"${cells.id}\", runbook: \"${cells.account}\" } }
  - { id: b, when: { label.where: { in: cells.accounts, where: { region: \"${label.region}\" } } }, set: { cell: \"${cells.id}\" } }
";
    let rules = compile(&[("cells.yaml", cells)]);
    for (labels, cell) in [
        (vec![("cluster", "main")], None),
        (vec![("cluster", "main"), ("account", "222222222222")], Some("c2")),
        (vec![("cluster", "main"), ("account", "111111111111"), ("region", "us-east-1")], Some("c1")),
        (vec![("cluster", "main"), ("account", "111111111111"), ("region", "eu-west-1")], None),
        // A nickname is no account.
        (vec![("cluster", "far"), ("account", "prod")], Some("c2")),
        (vec![("cluster", "arn:aws:eks:us-east-1:222222222222:cluster/main")], Some("c2")),
        (vec![("cluster", "arn:aws-cn:eks:us-east-1:222222222222:cluster/main")], Some("c2")),
        (vec![("cluster", "arn:aws:eks:us-east-1:999999999999:cluster/main")], None),
        (vec![("cluster", "far")], Some("c2")),
        (vec![("where", "111111111111"), ("region", "us-east-1")], Some("c1")),
        (vec![("where", "111111111111"), ("region", "us-east-2")], None),
        (vec![("where", "111111111111")], None),
    ] {
        assert_eq!(value(&decide(&rules, &labels), TagName::Cell), cell, "{labels:?}");
    }
    let far = decide(&rules, &[("cluster", "far")]);
    assert_eq!(value(&far, TagName::Runbook), Some("333333333333"));
}

#[test]
fn an_explanation_lists_every_vote_and_what_became_of_it() {
    let text = "
version: 1
kind: platform
rules:
  - { id: weak, when: { label.pod: { exists: true } }, set: { platform: k8s, confidence: inferred } }
  - { id: strong, when: { label.task: { exists: true } }, set: { platform: ecs, confidence: strong } }
  - { id: hint, when: { label.pod: { prefix: a } }, set: { platform: eks, confidence: hint } }
  - { id: silent, when: { label.task: two }, set: { platform: eks, confidence: strong } }
";
    let explanation = explain(&compile(&[("a.yaml", text)]), &[("pod", "a-1"), ("task", "one")]);
    let votes: Vec<String> = explanation
        .votes
        .iter()
        .map(|vote| format!("{} {} {:?} {:?} {}", vote.rule, vote.platform, vote.seen, vote.outcome, vote.why))
        .collect();
    assert_eq!(
        votes,
        [
            "a.yaml:5 weak k8s Some(\"label.pod=a-1\") Lost a stronger signal says otherwise",
            "a.yaml:6 strong ecs Some(\"label.task=one\") Won ",
            "a.yaml:7 hint eks Some(\"label.pod=a-1\") Ignored a hint never decides alone",
        ]
    );
    let tag = |name: TagName| explanation.decision.tags.get(name).map(|tag| (&*tag.value, &*tag.by));
    assert_eq!(tag(TagName::Platform), Some(("ecs", "a.yaml:6 strong")));
    assert_eq!(tag(TagName::PlatformConfidence), Some(("strong", "a.yaml:6 strong")));
    assert_eq!(tag(TagName::PlatformConflict), Some(("k8s", "a.yaml:5 weak")));
    let nothing = decide(&compile(&[("a.yaml", text)]), &[]);
    let platform = nothing.tags.get(TagName::Platform).unwrap();
    assert_eq!((&*platform.value, &*platform.by, platform.seen.as_deref()), ("unknown", "a.yaml:4 rules", None));
}
