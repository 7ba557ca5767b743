//! One set per lint that has the fault, and one that nearly has it.

use super::*;
use crate::rules::RuleSet;

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

/// `file:line:column message | hint`, one per finding.
fn lint_with(given: &[(&str, &str)], facts: &LintFacts<'_>) -> Vec<String> {
    let mut files: Vec<SourceFile> = given.iter().map(|(name, text)| file(name, text)).collect();
    if !given.iter().any(|(_, text)| text.contains("kind: routes")) {
        files.push(file("rest.yaml", "version: 1\nkind: routes\nroutes:\n  - { id: rest, when: {} }\n"));
    }
    let rules = RuleSet::compile(&files).unwrap_or_else(|faults| panic!("{faults:#?}"));
    rules
        .lint(&files, facts)
        .iter()
        .map(|found| {
            let hint = found.hint.as_deref().map(|hint| format!(" | {hint}")).unwrap_or_default();
            format!("{}:{}:{} {}{hint}", found.file, found.line, found.column, found.message)
        })
        .collect()
}

fn lint(given: &[(&str, &str)]) -> Vec<String> {
    lint_with(given, &LintFacts::default())
}

/// A file of services with these rules, which start on line 4.
fn rules(rules: &str) -> String {
    format!("version: 1\nkind: services\nrules:\n{rules}\n")
}

fn of_rules(text: &str) -> Vec<String> {
    lint(&[("a.yaml", &rules(text))])
}

#[test]
fn the_shipped_rules_have_no_finding() {
    let files = RuleSet::built_in_files();
    let found = RuleSet::built_in().lint(&files, &LintFacts { today: Some("2026-11-23"), untested: None });
    let shown: String = found.iter().map(|found| format!("{found}\n")).collect();
    assert_eq!(shown, "");
}

#[test]
fn a_rule_behind_a_wider_one_that_sets_the_same_never_sets_anything() {
    let found = of_rules(
        "  - { id: wide, when: { label.team: { exists: true } }, set: { env: a } }\n  - { id: narrow, when: { label.team: x, label.b: y }, set: { env: b } }",
    );
    assert_eq!(
        found,
        ["a.yaml:5:11 `narrow` never sets anything | a.yaml:4 wide holds whenever this rule does, and sets the same"]
    );
    for (wide, narrow) in [
        ("{ any: [{ label.a: x }, { label.a: { prefix: p } }] }", "{ label.a: { prefix: pq } }"),
        ("{ label.a: [x, y, z] }", "{ label.a: [x, z] }"),
        ("{ label.a: { gt: 1 } }", "{ label.a: { gt: 2 } }"),
        ("{ not: { label.a: x } }", "{ not: { label.a: x }, label.b: y }"),
        ("{ label.a: { re: \"x+\" } }", "{ label.a: xx }"),
        ("{ label.a: { arn: { service: ecs } } }", "{ label.a: { arn: { service: ecs, type: task } } }"),
    ] {
        let text = format!(
            "  - {{ id: wide, when: {wide}, set: {{ env: a }} }}\n  - {{ id: narrow, when: {narrow}, set: {{ env: a }} }}"
        );
        assert_eq!(of_rules(&text).len(), 1, "{wide} then {narrow}");
        let text = format!(
            "  - {{ id: narrow, when: {narrow}, set: {{ env: a }} }}\n  - {{ id: wide, when: {wide}, set: {{ env: a }} }}"
        );
        assert_eq!(of_rules(&text), [""; 0], "{narrow} then {wide}");
    }
}

#[test]
fn a_rule_that_sets_more_asks_tags_or_waits_in_the_shadow_is_reachable() {
    for text in [
        "  - { id: a, when: { label.a: x }, set: { env: a } }\n  - { id: b, when: { label.a: x }, set: { env: a, cell: c } }",
        // What the first reads may be no value.
        "  - { id: a, when: { label.a: { exists: true } }, set: { env: \"${label.b}\" } }\n  - { id: b, when: { label.a: x }, set: { env: a } }",
        // The tag may be set between the two.
        "  - { id: a, when: { out.cell: x }, set: { env: a } }\n  - { id: c, when: { label.c: x }, set: { cell: x } }\n  - { id: b, when: { out.cell: x }, set: { env: a } }",
        "  - { id: a, stage: shadow, when: { label.a: x }, set: { env: a } }\n  - { id: b, when: { label.a: x }, set: { env: a } }",
    ] {
        assert_eq!(of_rules(text), [""; 0], "{text}");
    }
}

#[test]
fn rules_that_disagree_are_shown_with_an_alert_for_which_both_hold() {
    let found = of_rules(
        "  - { id: first, when: { label.q: { prefix: pay }, label.r: a }, set: { env: one } }\n  - { id: second, when: { label.q: { suffix: -dead } }, set: { env: two } }",
    );
    assert_eq!(
        found,
        ["a.yaml:5:11 `first` and `second` disagree about `env` | for label.q=pay-dead, label.r=a both hold: \
             a.yaml:4 first sets `one` and wins, this one would set `two`"]
    );
    let found = of_rules(
        "  - { id: first, when: { label.q: { re: 'p[aeiou]{7}y' }, label.r: a }, set: { env: one } }\n  - { id: second, when: { label.q: { suffix: -dead } }, set: { env: two } }",
    );
    // These meet in no sample: nothing is reported that was not tried.
    assert_eq!(found, [""; 0]);
    let found = of_rules(
        "  - { id: first, when: { label.q: [a, b], label.r: x }, set: { env: one } }\n  - { id: second, when: { label.q: [b, c], label.s: y }, set: { env: two } }",
    );
    assert_eq!(
        found,
        ["a.yaml:5:11 `first` and `second` disagree about `env` | for label.q=b, label.r=x, label.s=y both hold: \
             a.yaml:4 first sets `one` and wins, this one would set `two`"]
    );
    for text in [
        // The exception first, then the rule.
        "  - { id: a, when: { label.q: a, label.r: b }, set: { env: one } }\n  - { id: b, when: { label.q: a }, set: { env: two } }",
        // Nothing in common: the order of the file is the answer.
        "  - { id: a, when: { label.q: a }, set: { env: one } }\n  - { id: b, when: { label.r: b }, set: { env: two } }",
        "  - { id: a, when: { label.q: a, label.r: x }, set: { env: one } }\n  - { id: b, when: { label.q: b, label.s: y }, set: { env: two } }",
        "  - { id: a, when: { label.q: a, label.r: x }, set: { env: one } }\n  - { id: b, when: { label.q: a, label.s: y }, set: { env: one } }",
    ] {
        assert_eq!(of_rules(text), [""; 0], "{text}");
    }
}

#[test]
fn an_expression_that_fits_everything_and_finds_nothing_is_doubtful() {
    for pattern in [".*", ".+", "(.|x)+", ".*|foo"] {
        let text = format!("  - {{ id: a, when: {{ label.a: {{ re: \"{pattern}\" }} }}, set: {{ env: a }} }}");
        let expected = format!(
            "a.yaml:4:37 `{pattern}` fits every text | write `{{ exists: true }}`, or name what it finds: `(?<name>…)`"
        );
        assert_eq!(of_rules(&text), [expected]);
    }
    for pattern in ["(?<all>.+)", "[a-z]+", "x.*"] {
        let text = format!("  - {{ id: a, when: {{ label.a: {{ re: \"{pattern}\" }} }}, set: {{ env: a }} }}");
        assert_eq!(of_rules(&text), [""; 0]);
    }
}

#[test]
fn a_cluster_named_in_two_cells_is_doubtful_and_with_its_arns_it_is_not() {
    let found = |first: &str, second: &str| {
        let cell = |id: &str, account: u64, cluster: &str| {
            format!("  - {{ id: {id}, account: \"{account}\", clusters: {{ eks: [\"{cluster}\"] }} }}\n")
        };
        let cells = cell("a", 111_111_111_111, first) + &cell("b", 222_222_222_222, second);
        lint(&[("c.yaml", &format!("version: 1\nkind: cells\ncells:\n{cells}"))])
    };
    assert_eq!(
        found("x", "x"),
        [
            "c.yaml:5:57 cluster `x` is also in cell `a` | an alert that does not say its account or region is in neither; \
             if there are two, write their ARNs, here and on line 4"
        ]
    );
    let arn = |account: u64| format!("arn:aws:eks:us-east-1:{account}:cluster/x");
    assert_eq!(found(&arn(111_111_111_111), &arn(222_222_222_222)), [""; 0]);
    assert_eq!(found("x", "y"), [""; 0]);
}

#[test]
fn names_that_two_services_could_mean_are_found() {
    let services = |list: &str| format!("version: 1\nkind: services\nteams: {{ t: }}\nservices:\n{list}\n");
    let found = |list: &str| lint(&[("s.yaml", &services(list))]);
    assert_eq!(
        found("  - { name: duo-api, owner: t, aliases: [\"duo-*\"] }"),
        ["s.yaml:5:42 `duo-*` means only what is spelled just so | write `{ glob: \"duo-*\" }`"]
    );
    assert_eq!(
        found("  - { name: duo-api, owner: t }\n  - { name: other, owner: t, aliases: [Duo_API] }"),
        [
            "s.yaml:6:40 `Duo_API` differs from a name of another service in case or `_` only | `duo-api` on line 5 means `duo-api`"
        ]
    );
    assert_eq!(
        found("  - { name: pay, owner: t }\n  - { name: other, owner: t, aliases: [{ glob: \"pa*\" }] }"),
        ["s.yaml:6:48 `pa*` also fits a name of another service | `pay` on line 5 keeps its service `pay`"]
    );
    assert_eq!(
        found(
            "  - { name: one, owner: t, aliases: [{ glob: \"a-*\" }] }\n  - { name: two, owner: t, aliases: [{ glob: \"a-x*\" }] }"
        ),
        ["s.yaml:6:46 `a-x` could be two services | `a-*` on line 5 gets it, for service `one`"]
    );
    assert_eq!(
        found(
            "  - { name: one, owner: t, aliases: [{ glob: \"a-*\" }, a-b] }\n  - { name: two, owner: t, aliases: [b] }"
        ),
        [""; 0]
    );
}

#[test]
fn what_is_claimed_twice_does_not_compile() {
    let twice = [
        file(
            "s.yaml",
            "version: 1\nkind: services\nteams: { t: }\nservices:\n  - { name: a, owner: t, aliases: [x] }\n  - { name: b, owner: t, aliases: [x] }\n",
        ),
        file(
            "c.yaml",
            "version: 1\nkind: cells\ncells:\n  - { id: a, clusters: { eks: [x] } }\n  - { id: b, clusters: { eks: [x] } }\n",
        ),
        file("r.yaml", "version: 1\nkind: routes\nroutes:\n  - { id: rest, when: {} }\n"),
    ];
    let faults = RuleSet::compile(&twice).expect_err("an alias and a cluster are claimed twice");
    let places: Vec<(&str, u32)> = faults.iter().map(|fault| (fault.file.as_str(), fault.line)).collect();
    assert_eq!(places, [("c.yaml", 5), ("s.yaml", 6)], "{faults:#?}");
    assert_eq!(faults[0].message, "cluster `x` is already in a cell");
}

#[test]
fn a_cluster_is_in_two_cells_unless_account_or_region_tells_them_apart() {
    let routes = file("r.yaml", "version: 1\nkind: routes\nroutes:\n  - { id: rest, when: {} }\n");
    let compiles = |first: &str, second: &str| {
        let text = format!("version: 1\nkind: cells\ncells:\n  - {{ id: a, {first} }}\n  - {{ id: b, {second} }}\n");
        RuleSet::compile(&[file("c.yaml", &text), routes.clone()]).is_ok()
    };
    let arn = "clusters: { eks: [\"arn:aws:eks:us-east-1:111111111111:cluster/x\"] }";
    assert!(!compiles("clusters: { eks: [x] }", "clusters: { ecs: [x] }"));
    assert!(!compiles("account: \"111111111111\", clusters: { eks: [x] }", arn));
    assert!(!compiles("account: \"111111111111\", clusters: { eks: [x] }", "clusters: { eks: [x] }"));
    assert!(compiles("account: \"222222222222\", clusters: { eks: [x] }", arn));
    assert!(compiles("region: us-west-2, clusters: { eks: [x] }", "region: us-east-1, clusters: { eks: [x] }"));
}

#[test]
fn shares_of_an_environment_add_up_to_one() {
    let cells = |list: &str| lint(&[("c.yaml", &format!("version: 1\nkind: cells\ncells:\n{list}\n"))]);
    assert_eq!(
        cells(
            "  - { id: a, env: prod, share: 0.3 }\n  - { id: b, env: prod, share: 0.6 }\n  - { id: c, env: stage, share: 1 }"
        ),
        [
            "c.yaml:4:32 the shares of `prod` add up to 0.9 | the shares of an environment are parts of its whole traffic: together 1"
        ]
    );
    assert_eq!(
        cells("  - { id: a, env: prod, share: 0.5 }\n  - { id: b, env: prod }"),
        ["c.yaml:4:32 the shares of `prod` add up to 0.5 | 1 cells of it have no `share`"]
    );
    assert_eq!(cells("  - { id: a, share: 0.333 }\n  - { id: b, share: 0.333 }\n  - { id: c, share: 0.334 }"), [""; 0]);
    assert_eq!(cells("  - { id: a, env: prod }"), [""; 0]);
}

#[test]
fn a_route_that_tells_nobody_or_is_never_asked_is_found() {
    let routes = |list: &str| {
        lint(&[("r.yaml", &format!("version: 1\nkind: routes\nroutes:\n{list}\n  - {{ id: rest, when: {{}} }}\n"))])
    };
    assert_eq!(routes("  - { id: a, when: { out.owner: x }, to: [], why: a heartbeat }"), [""; 0]);
    assert_eq!(
        routes("  - { id: a, when: { out.owner: x }, to: [] }"),
        ["r.yaml:4:42 this route tells nobody | name a sink in `to`, leave it out for every sink, or say `why`"]
    );
    assert_eq!(
        routes("  - { id: a, when: { out.owner: { exists: true } } }\n  - { id: b, when: { out.owner: x } }"),
        ["r.yaml:5:11 route `b` is never asked | r.yaml:4 a holds whenever this route does"]
    );
    assert_eq!(
        routes("  - { id: b, when: { out.owner: x } }\n  - { id: a, when: { out.owner: { exists: true } } }"),
        [""; 0]
    );
}

#[test]
fn a_credential_is_found_and_never_repeated() {
    // Put together here, so that nothing in this file looks like one.
    for (what, secret) in [
        ("an access key of AWS", format!("AKIA{}", "ABCDEFGH12345678")),
        ("a private key", format!("-----BEGIN RSA {} KEY-----", "PRIVATE")),
        ("a token of Slack", format!("xoxb-{}", "1234567890-abcdef")),
        ("a token of GitHub", format!("ghp_{}", "a1".repeat(18))),
        ("a DSN of Sentry", format!("https://{}@o1.ingest.example.com/2", "0123456789abcdef".repeat(2))),
        ("a secret of Standard Webhooks", format!("whsec_{}", "bWFza2VkbWFza2VkbWFza2Vk")),
        ("a password in an address", format!("postgres://user:{}@db", "hunter22")),
        ("a secret", format!("routing_key: {}", "0123456789abcdefghijklmnopqrstuv")),
    ] {
        let text = format!("version: 1\nkind: services\n# {secret}\n");
        let files =
            [file("s.yaml", &text), file("r.yaml", "version: 1\nkind: routes\nroutes:\n  - { id: rest, when: {} }\n")];
        let found = RuleSet::compile(&files).expect("it compiles").lint(&files, &LintFacts::default());
        assert_eq!(found.len(), 1, "{what}");
        assert_eq!((found[0].line, found[0].message.clone()), (3, format!("this looks like {what}")));
        assert!(!format!("{found:?}").contains(&secret), "{what} is repeated");
    }
    for innocent in [
        "runbook: https://runbooks.example.com/owl-service/errors",
        "resource.aws.ecs.task.arn: arn:aws:ecs:us-east-1:111111111111:task/prod/10838bed421f43ef870af43feacbbb5b",
        "routing_key: { env: PD_KEY }",
        "token: ${label.token}",
    ] {
        assert_eq!(lint(&[("s.yaml", &format!("version: 1\nkind: services\n# {innocent}\n"))]), [""; 0], "{innocent}");
    }
}

#[test]
fn a_rule_whose_day_has_passed_is_found() {
    let text = rules("  - { id: a, when: { label.a: x }, set: { env: a }, expires: 2026-11-22 }");
    let on = |today| lint_with(&[("a.yaml", &text)], &LintFacts { today: Some(today), untested: None });
    assert_eq!(on("2026-11-22"), [""; 0]);
    assert_eq!(
        on("2026-11-23"),
        ["a.yaml:4:62 this rule was to end on 2026-11-22 | remove the rule, or give it a later date"]
    );
}

#[test]
fn rules_that_no_test_tries_are_listed_and_without_any_test_once() {
    let text = rules("  - { id: a, when: { label.a: x }, set: { env: a } }");
    let untested = [
        Listed { by: "a.yaml:4 a".into(), is_route: false, is_shadow: false },
        Listed { by: "rest.yaml:4 rest".into(), is_route: true, is_shadow: false },
    ];
    let facts = LintFacts { today: None, untested: Some(&untested) };
    let found = lint_with(&[("a.yaml", &text)], &facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a.yaml:4:11 no tests: none of 2 rules and routes is tried"), "{found:?}");
    let found = lint_with(&[("a.yaml", &text), ("tests/a.yaml", "version: 1\ntests: []\n")], &facts);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("a.yaml:4:11 no test tries rule `a`"), "{found:?}");
    assert!(found[1].starts_with("rest.yaml:4:11 no test tries route `rest`"), "{found:?}");
}

fn platform(rule: &str) -> Vec<String> {
    lint(&[("p.yaml", &format!("version: 1\nkind: platform\nrules:\n  - {{ id: a, {rule} }}\n"))])
}

#[test]
fn the_shape_of_a_name_is_a_hint_and_no_more() {
    let set = |confidence: &str| format!("set: {{ platform: eks{confidence} }}");
    for when in [
        "{ label.instance: { re: \"ip-.*\" } }",
        "{ resource.host.ip: { cidr: [\"2600:1f00::/24\"] } }",
        "{ label.anything: { cidr: [10.0.0.0/8] } }",
        "{ any: [{ label.service: { suffix: -eks } }, { resource.host.name: { prefix: ip- } }] }",
    ] {
        let found = platform(&format!("when: {when}, {}", set(", platform.confidence: strong")));
        assert_eq!(found.len(), 1, "{when}: {found:?}");
        assert!(found[0].contains("proves no platform | write `platform.confidence: hint`"), "{found:?}");
        assert_eq!(platform(&format!("when: {when}, {}", set(", platform.confidence: hint"))), [""; 0]);
    }
    for when in ["{ label.instance: bastion }", "{ label.instance: { re: \"ip-.*\" }, label.pod: { exists: true } }"] {
        assert_eq!(platform(&format!("when: {when}, {}", set(", platform.confidence: strong"))), [""; 0], "{when}");
    }
}

#[test]
fn an_expression_for_arns_of_one_partition_misses_the_others() {
    let found =
        of_rules("  - { id: a, when: { label.a: { re: \"arn:aws:ecs:(?<rest>.*)\" } }, set: { env: \"${rest}\" } }");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a.yaml:4:37 `arn:aws:` misses aws-cn and aws-us-gov"), "{found:?}");
    assert_eq!(
        of_rules(
            "  - { id: a, when: { label.a: { re: \"arn:aws[a-z-]*:ecs:(?<rest>.*)\" } }, set: { env: \"${rest}\" } }"
        ),
        [""; 0]
    );
}

#[test]
fn a_key_with_a_letter_wrong_is_sent_by_nobody() {
    for (key, meant) in [
        ("field.naem", "field.name"),
        ("field.recevier", "field.receiver"),
        ("resource.k8s.clutser.name", "resource.k8s.cluster.name"),
        ("resource.cloud.platfrom", "resource.cloud.platform"),
        ("label.clsuter", "label.cluster"),
        ("label.Clustername", "label.ClusterName"),
    ] {
        let found = of_rules(&format!("  - {{ id: a, when: {{ {key}: x }}, set: {{ env: a }} }}"));
        assert_eq!(found, [format!("a.yaml:4:22 nothing sends `{key}` as far as we know | did you mean `{meant}`?")]);
    }
    for key in
        ["label.team", "label.clusters", "label.shard", "resource.cell", "resource.k8s.pod.label.cell", "field.own"]
    {
        assert_eq!(of_rules(&format!("  - {{ id: a, when: {{ {key}: x }}, set: {{ env: a }} }}")), [""; 0], "{key}");
    }
}

#[test]
fn what_a_program_calls_says_nothing_of_where_it_runs() {
    for key in
        ["span.aws.remote.service", "annotation.summary", "field.title", "resource.server.address", "label.db.system"]
    {
        let root = format!(
            "version: 1\nkind: platform\nrules:\n  - {{ id: a, when: {{ {key}: x }}, set: {{ platform: eks }} }}\n"
        );
        let file = file("p.yaml", &root);
        let mut faults = Faults::new(&file);
        let node = yaml::read(&file.text, &mut Faults::new(&file)).expect("it is YAML");
        platform::check(&Tree::new(&node), &mut faults);
        let found = faults.into_found();
        assert_eq!(found.len(), 1, "{key}");
        assert_eq!((found[0].line, found[0].column, found[0].severity), (4, 22, DiagnosticSeverity::Error), "{key}");
        assert!(found[0].message.ends_with("not what ran"), "{}", found[0].message);
    }
    assert_eq!(platform("when: { label.team: x }, set: { platform: eks }"), [""; 0]);
}

#[test]
fn a_team_that_no_route_names_has_no_destination_where_other_teams_have_one() {
    let services = "version: 1\nkind: services\nteams:\n  alpha:\n  beta:\n  idle:\nservices:\n  - { name: a, owner: alpha }\n  - { name: b, owner: beta }\n";
    let routes = |routes: &str| {
        let text = format!("version: 1\nkind: routes\nroutes:\n{routes}  - {{ id: rest, when: {{}} }}\n");
        lint(&[("a.yaml", services), ("routes.yaml", &text)])
    };
    let found = routes("  - { id: alpha, when: { out.owner: alpha } }\n");
    assert_eq!(
        found,
        [
            "a.yaml:5:3 team `beta` has no destination | other teams have a route; add one for it: `when: { out.owner: beta }`"
        ]
    );
    // Nobody's route asks for a team, all of them are named, or all but one are denied.
    for all in [
        "  - { id: bad, when: { out.severity: critical } }\n",
        "  - { id: nobody, when: { out.owner: unowned } }\n",
        "  - { id: both, when: { out.owner: [alpha, beta] } }\n",
        "  - { id: either, when: { any: [{ out.owner: alpha }, { out.owner: beta }] } }\n",
        "  - { id: owned, when: { not: { out.owner: unowned } } }\n",
    ] {
        assert_eq!(routes(all), <Vec<String>>::new(), "{all}");
    }
    // What a rule says counts as well.
    let rule = "version: 1\nkind: services\nteams:\n  alpha:\n  gamma:\nservices:\n  - { name: a, owner: alpha }\nrules:\n  - { id: of-gamma, when: { label.a: b }, set: { owner: gamma } }\n";
    let text = "version: 1\nkind: routes\nroutes:\n  - { id: alpha, when: { out.owner: alpha } }\n  - { id: rest, when: {} }\n";
    let found = lint(&[("a.yaml", rule), ("routes.yaml", text)]);
    assert!(matches!(&found[..], [one] if one.starts_with("a.yaml:5:3 team `gamma` has no destination")), "{found:?}");
}
