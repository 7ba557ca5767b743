//! Each fault is found at its own line and column, and says what would help.

use super::*;

/// A platform file whose only rule is `rule`, which starts on line 4.
fn rule(rule: &str) -> String {
    format!("version: 1\nkind: platform\nrules:\n{rule}\n")
}

/// `line:column message | hint`, one per fault.
fn found(text: &str) -> Vec<String> {
    faults(&[("a.yaml", text)])
        .iter()
        .map(|fault| {
            let hint = fault.hint.as_deref().map(|hint| format!(" | {hint}")).unwrap_or_default();
            format!("{}:{} {}{hint}", fault.line, fault.column, fault.message)
        })
        .collect()
}

/// Notes every case that differs, so that one run shows them all.
fn check(wrong: &mut String, text: &str, expected: &str) {
    let found = found(text);
    if found != [expected] {
        wrong.push_str(&format!("{text}\n  expected {expected}\n  found    {}\n", found.join("\n           ")));
    }
}

#[test]
fn a_faulty_condition_is_reported_where_it_stands() {
    let mut wrong = String::new();
    for (text, expected) in [
        ("  - { id: a, whne: {}, set: { platform: ecs } }", "4:14 unknown key `whne` | did you mean `when`?"),
        (
            "  - id: a\n    when: { lable.cluster: x }\n    set: { platform: ecs }",
            "5:13 unknown scope in `lable.cluster` | did you mean `label.cluster`?",
        ),
        (
            "  - id: a\n    when: { cluster: x }\n    set: { platform: ecs }",
            "5:13 unknown scope in `cluster` | a key starts with its scope: resource. span. label. annotation. \
             dimension. field. constant. log. out.",
        ),
        (
            "  - id: a\n    when: { label.x: { perfix: x } }\n    set: { platform: ecs }",
            "5:24 unknown key `perfix` | did you mean `prefix`?",
        ),
        (
            "  - id: a\n    when: { label.x: { re: \"a(b\" } }\n    set: { platform: ecs }",
            "5:28 not a regular expression: unclosed group",
        ),
        (
            "  - id: a\n    when: { label.x: { in: clusters } }\n    set: { platform: ecs }",
            "5:28 unknown table `clusters` | known: cells, cells.clusters, cells.accounts, teams, services",
        ),
        (
            "  - id: a\n    when: { label.x: { cidr: 10.0.0.0/40 } }\n    set: { platform: ecs }",
            "5:30 `10.0.0.0/40` is not a network | write `10.0.0.0/8` or `2600:1f00::/24`",
        ),
        ("  - id: a\n    when: { label.x: { gt: many } }\n    set: { platform: ecs }", "5:28 `many` is not a number"),
        (
            "  - id: a\n    when: { label.x: { exists: yes } }\n    set: { platform: ecs }",
            "5:32 unknown exists `yes` | known: true, false",
        ),
        (
            "  - id: a\n    when: { label.x: { arn: { service: ecs, type: tsak } } }\n    set: { platform: ecs }",
            "5:51 `ecs` has no resource type `tsak` | did you mean `task`?",
        ),
        (
            "  - id: a\n    when: { label.x: { where: { a: b } } }\n    set: { platform: ecs }",
            "5:22 `where` needs `in: <table>` beside it",
        ),
        (
            "  - id: a\n    when: { label.x: }\n    set: { platform: ecs }",
            "5:20 a condition needs a value | write a value, or `{ exists: false }` for a value that must be absent",
        ),
        (
            "  - id: a\n    when: { label.x: \"\" }\n    set: { platform: ecs }",
            "5:22 a value must not be empty | an empty value counts as absent; test absence with `{ exists: false }`",
        ),
        ("  - id: a\n    when: { label.x: [] }\n    set: { platform: ecs }", "5:22 an empty list matches nothing"),
        ("  - id: a\n    when: { any: [] }\n    set: { platform: ecs }", "5:18 `any` of nothing never holds"),
        (
            "  - id: a\n    when: { any: x }\n    set: { platform: ecs }",
            "5:18 `any` must be a list of maps, not a text",
        ),
        ("  - id: a\n    when: { not: {} }\n    set: { platform: ecs }", "5:18 `not` of nothing never holds"),
    ] {
        check(&mut wrong, &rule(text), expected);
    }
    assert_eq!(wrong, "");
}

#[test]
fn a_fault_in_what_a_rule_sets_is_reported_where_it_stands() {
    let mut wrong = String::new();
    for (text, expected) in [
        (
            "  - id: a\n    when: {}\n    set: { platfrom: ecs }",
            "6:12 unknown tag `platfrom` | did you mean `platform`?",
        ),
        (
            "  - id: a\n    when: {}\n    set: { platform: esc }",
            "6:22 `esc` is not a value for `platform` | did you mean `ecs`?",
        ),
        (
            "  - id: a\n    when: {}\n    set: { severity: terrible }",
            "6:22 `terrible` is not a value for `severity` | known: info, warning, error, critical",
        ),
        (
            "  - id: a\n    when: { label.x: { re: \"(?<name>.+)\" } }\n    set: { service: \"${nmae}\" }",
            "6:21 nothing in `when` gives `${nmae}` | did you mean `name`?",
        ),
        (
            "  - id: a\n    when: { not: { label.x: { re: \"(?<name>.+)\" } } }\n    set: { service: \"${name}\" }",
            "6:21 nothing in `when` gives `${name}`",
        ),
        (
            "  - id: a\n    when: { label.x: { arn: { service: ecs } } }\n    set: { platform.cluster: \"${arn.clutser}\" }",
            "6:30 nothing in `when` gives `${arn.clutser}` | did you mean `arn.cluster`?",
        ),
        ("  - id: a\n    when: {}\n    set: { service: \"${label.x\" }", "6:21 `${` without its `}`"),
        ("  - id: a\n    when: {}\n    set: { env: a, environment: b }", "6:20 `env` is set twice"),
        ("  - id: a\n    when: {}", "4:5 a rule needs `set`"),
        ("  - id: a\n    set: { platform: ecs }", "4:5 a rule needs `when` | `when: {}` matches everything"),
        ("  - when: {}\n    set: { platform: ecs }", "4:5 a rule needs `id`"),
        (
            "  - id: a b\n    when: {}\n    set: { platform: ecs }",
            "4:9 `a b` is not an id | letters, digits, `-`, `_` and `.`",
        ),
        (
            "  - id: a\n    stage: shdaow\n    when: {}\n    set: { platform: ecs }",
            "5:12 unknown stage `shdaow` | did you mean `shadow`?",
        ),
        (
            "  - id: a\n    expires: soon\n    when: {}\n    set: { platform: ecs }",
            "5:14 `soon` is not a date | write `2027-06-30`",
        ),
        (
            "  - id: a\n    id: b\n    when: {}\n    set: { platform: ecs }",
            "5:5 key `id` written twice | it is already on line 4",
        ),
        ("  - just a text", "4:5 a rule must be a map, not a text"),
        (
            "  - { id: a, when: { label.x: *y }, set: { platform: ecs } }",
            "4:31 not YAML: while parsing node, found unknown anchor",
        ),
    ] {
        check(&mut wrong, &rule(text), expected);
    }
    assert_eq!(wrong, "");
}

#[test]
fn a_faulty_head_is_reported_where_the_fault_stands() {
    let mut wrong = String::new();
    for (text, expected) in [
        ("", "1:1 the file is empty | start it with `version: 1` and `kind: …`, or remove it"),
        ("# nothing but a comment\n", "1:1 the file is empty | start it with `version: 1` and `kind: …`, or remove it"),
        (
            "version: 1\nkind: owners\n",
            "2:7 unknown kind `owners` | known: platform, cells, services, routes, alerts, silences",
        ),
        ("version: 1\nkind: cels\n", "2:7 unknown kind `cels` | did you mean `cells`?"),
        ("version: 2\nkind: cells\n", "1:10 unknown version `2` | this program reads `version: 1`"),
        ("kind: cells\n", "1:1 a rule file needs `version`"),
        ("version: 1\n", "1:1 a rule file needs `kind`"),
        ("- a list\n", "1:1 a rule file must be a map, not a list"),
        (
            "version: 1\nkind: cells\nservices: []\n",
            "3:1 unknown key `services` | known: version, kind, tables, environments, cells, rules",
        ),
        (
            "version: 1\nkind: cells\n---\nversion: 1\n",
            "3:1 a second document in one file | put it into a file of its own",
        ),
        ("version: 1\nkind: cells\nrules: {}\n", "3:8 `rules` must be a list, not a map"),
        ("version: 1\nkind: [cells\n", "2:7 not YAML: unclosed bracket '['"),
        (
            "version: 1\nkind: cells\nx: &a 1\ny: *a\n",
            "4:4 aliases (`*name`) are not part of rule files | write the value again, so that each line can be read alone",
        ),
    ] {
        check(&mut wrong, text, expected);
    }
    assert_eq!(wrong, "");
}

#[test]
fn faulty_registries_are_reported_where_the_fault_stands() {
    let mut wrong = String::new();
    let cells = "version: 1\nkind: cells\nenvironments: { production: [prod], staging: [] }\ncells:\n";
    let services = "version: 1\nkind: services\nteams: { owl: {}, growth: {} }\nservices:\n";
    let routes = "version: 1\nkind: routes\nroutes:\n";
    for (head, text, expected) in [
        (cells, "  - { kind: shard }", "5:5 a cell needs `id`"),
        (cells, "  - { id: c1, env: prod }", "5:20 unknown environment `prod` | known: production, staging"),
        (cells, "  - { id: c1, kind: shrad }", "5:21 unknown kind `shrad` | did you mean `shard`?"),
        (cells, "  - { id: c1, share: 12 }", "5:22 `12` is not a share | a fraction of all traffic: 0 to 1"),
        (cells, "  - { id: c1, wave: -1 }", "5:21 `-1` is not a wave | a whole number: 0, 1, 2, …"),
        (cells, "  - { id: c1 }\n  - { id: c1 }", "6:11 `c1` already means cell `c1`"),
        (cells, "  - { id: c1, clusters: { esk: [a] } }", "5:27 unknown platform `esk` | did you mean `eks`?"),
        (
            cells,
            "  - { id: c1, clusters: { eks: [a] } }\n  - { id: c2, clusters: { ecs: [a] } }",
            "6:33 cluster `a` is already in a cell | two clusters of one name need cells with different accounts or regions",
        ),
        (services, "  - { owner: owl }", "5:5 a service needs `name`"),
        (
            services,
            "  - { name: a }",
            "5:5 a service needs `owner` | a team of `teams`, or a catalogue of `import` that knows the service",
        ),
        (services, "  - { name: a, owner: grwoth }", "5:23 unknown team `grwoth` | did you mean `growth`?"),
        (
            services,
            "  - { name: a, owner: owl, aliases: [b] }\n  - { name: b, owner: owl }",
            "6:13 `b` already means service `a`",
        ),
        (
            services,
            "  - { name: a, owner: owl, aliases: [{ golb: x }] }",
            "5:40 unknown key `golb` | did you mean `glob`?",
        ),
        (
            services,
            "  - { name: a, owner: owl, criticality: hihg }",
            "5:41 unknown criticality `hihg` | did you mean `high`?",
        ),
        (services, "strip: { parts: [evn] }", "5:18 unknown part `evn` | did you mean `env`?"),
        (
            routes,
            "  - { id: a, when: { label.x: y } }",
            "4:5 the last route must match everything | end the list with a route that has `when: {}`, so that no alert is dropped",
        ),
        (
            routes,
            "  - { id: a, hold: 5 }",
            "4:20 `5` is not a duration | write a number and a unit: `30s`, `5m`, `3h`, `1h30m`",
        ),
        (routes, "  - { id: a, fold: platform }", "4:20 unknown fold `platform` | did you mean `platforms`?"),
        (
            routes,
            "  - { id: a, colour: 5 }",
            "4:14 unknown key `colour` | known: id, why, when, to, continue, partner, severity, hold, update, remind, fold, active, mute, limit",
        ),
    ] {
        check(&mut wrong, &format!("{head}{text}\n"), expected);
    }
    assert_eq!(wrong, "");
    assert_eq!(
        found(routes),
        [
            "3:1 the last route must match everything | end the list with a route that has `when: {}`, so that no alert is dropped"
        ]
    );
}

#[test]
fn tables_are_checked_like_everything_else() {
    let mut wrong = String::new();
    let head = "version: 1\nkind: platform\ntables:\n";
    for (text, expected) in [
        ("  t: { key: a, rows: [{ a: x }, { a: x }] }", "4:33 `x` is in table `t` twice"),
        ("  t: { key: a, rows: [{ b: x }] }", "4:23 a row without `a`"),
        ("  t: { key: a }", "4:6 a table needs `rows` or a `file`"),
        ("  t: { key: a, file: b.csv }", "4:22 no file `b.csv` beside the rules"),
        ("  teams: { key: a, rows: [] }", "4:3 table `teams` is defined twice"),
    ] {
        check(&mut wrong, &format!("{head}{text}\n"), expected);
    }
    assert_eq!(wrong, "");
    let uses = "  t: { key: a, file: t.csv }\nrules:\n  - { id: a, when: { label.x: { in: t } }, set: { service: \"${t.c}\" } }\n";
    let rules = format!("{head}{uses}");
    let all = faults(&[("a.yaml", &rules), ("t.csv", "a,b\nx,1\ny\nx,2\n")]);
    let all: Vec<String> = all.iter().map(|fault| format!("{}:{} {}", fault.file, fault.line, fault.message)).collect();
    assert_eq!(
        all,
        [
            "a.yaml:6 table `t` has no column `c`",
            "t.csv:3 1 cells under 2 columns",
            "t.csv:4 `x` is in table `t` twice"
        ]
    );
}

#[test]
fn all_faults_of_all_files_come_at_once_in_order() {
    let all = faults(&[
        (
            "b.yaml",
            "version: 1\nkind: platform\nrules:\n  - { id: a, wen: {}, set: { platform: ecz } }\n  - { id: a }\n",
        ),
        ("a.yaml", "version: 1\nkind: cells\nrules:\n  - { id: same, when: {}, set: { cell: x } }\n"),
        ("c.yaml", "version: 1\nkind: services\nrules:\n  - { id: same, when: {}, set: { service: x } }\n"),
    ]);
    let all: Vec<String> = all.iter().map(|fault| format!("{}:{} {}", fault.file, fault.line, fault.message)).collect();
    assert_eq!(
        all,
        [
            "b.yaml:4 unknown key `wen`",
            "b.yaml:5 a rule needs `when`",
            "b.yaml:5 a rule needs `set`",
            "b.yaml:5 id `a` is taken",
            "c.yaml:4 id `same` is taken",
        ]
    );
}

#[test]
fn a_set_without_routes_does_not_compile() {
    let all = RuleSet::compile(&[]).expect_err("nobody would be told");
    assert_eq!(
        all[0].to_string().lines().next(),
        Some("routes.yaml:1:1  no file of `kind: routes`: nobody would be told")
    );
}

#[test]
fn a_route_that_is_never_asked_is_a_warning() {
    let rules = compile(&[("r.yaml", "version: 1\nkind: routes\nroutes:\n  - { id: a }\n  - { id: b }\n")]);
    assert_eq!(
        print(rules.warnings()),
        "r.yaml:5:5  warning: this route is never asked\n      - { id: b }\n        ^\n    the route on line 4 matches everything\n"
    );
}

#[test]
fn an_unknown_sink_is_reported_at_its_line_once_the_settings_are_known() {
    let text =
        "version: 1\nkind: routes\nroutes:\n  - { id: a, when: { label.x: y }, to: [pager, hook] }\n  - { id: b }\n";
    let mut rules = compile(&[("routes.yaml", text)]);
    let sinks: Vec<std::sync::Arc<str>> = vec!["pagers".into(), "hook".into()];
    assert_eq!(
        print(&rules.bind_sinks(&sinks).unwrap_err()),
        "routes.yaml:4:41  unknown sink `pager`\n      - { id: a, when: { label.x: y }, to: [pager, hook] }\n    \
         \u{20}                                       ^\n    did you mean `pagers`?\n"
    );
    let sinks: Vec<std::sync::Arc<str>> = vec!["pager".into(), "hook".into(), "events".into()];
    rules.bind_sinks(&sinks).unwrap();
    assert_eq!(decide(&rules, &[("x", "y")]).route.sinks, sinks[..2]);
    assert_eq!(decide(&rules, &[]).route.sinks, sinks);
}

#[test]
fn no_text_makes_the_compiler_panic() {
    let shipped = include_str!("../../../rules/services.yaml");
    // Every prefix, and every line cut out: half-written files are what an editor saves.
    for (at, _) in shipped.char_indices().step_by(7) {
        let _ = RuleSet::compile(&files(&[("a.yaml", &shipped[..at])]));
    }
    for skipped in 0..shipped.lines().count() {
        let text: Vec<&str> =
            shipped.lines().enumerate().filter(|(at, _)| *at != skipped).map(|(_, line)| line).collect();
        let _ = RuleSet::compile(&files(&[("a.yaml", &text.join("\n"))]));
    }
    for text in [
        "\0",
        "\u{feff}",
        "{",
        "[[[[",
        "a: b: c",
        "? a\n",
        "!!binary x",
        "%YAML 9.9\n---\n",
        &"[".repeat(10_000),
        &"- ".repeat(10_000),
    ] {
        let _ = RuleSet::compile(&files(&[("a.yaml", text)]));
    }
}

#[test]
fn a_vote_may_only_ask_what_the_sender_says_of_itself() {
    let mut wrong = String::new();
    let own = "ask what the sender says of itself: `resource.`, `label.`, `dimension.`, `field.`";
    for (when, expected) in [
        ("annotation.summary: { prefix: ECS }", format!("annotations are prose about anything | {own}")),
        ("field.description: ecs", format!("it is prose about anything | {own}")),
        ("span.aws.ecs.task.arn: { exists: true }", format!("attributes of a span tell what it called | {own}")),
        ("resource.aws.remote.service: ledger", format!("it names the other end of a call | {own}")),
        ("dimension.RemoteEnvironment: x", format!("it names the other end of a call | {own}")),
        ("label.aws_remote_environment: x", format!("it names the other end of a call | {own}")),
        ("label.server_address: { suffix: .eks.internal }", format!("it names the other end of a call | {own}")),
        ("label.summary: { prefix: ECS }", format!("it is prose about anything | {own}")),
        (
            "out.env: production",
            "tags are set when the votes are counted | let the rule set `platform.cluster` or `platform.variant` alone, without `platform`".to_owned(),
        ),
    ] {
        let key = when.split_once(": ").map_or(when, |(key, _)| key);
        let text = format!(
            "version: 1\nkind: platform\nrules:\n  - id: a\n    when: {{ {when} }}\n    set: {{ platform: ecs, confidence: strong }}\n"
        );
        check(&mut wrong, &text, &format!("5:13 `{key}` has no vote on the platform: {expected}"));
    }
    assert_eq!(wrong, "");
}

#[test]
fn a_vote_from_a_span_is_for_lambda_and_from_a_server() {
    let found = |when: &str, platform: &str| {
        let text = format!(
            "version: 1\nkind: platform\nrules:\n  - id: a\n    when: {{ {when} }}\n    set: {{ platform: {platform}, confidence: strong }}\n"
        );
        RuleSet::compile(&files(&[("a.yaml", &text)])).err().map(|faults| faults[0].message.clone())
    };
    let arn = "span.cloud.resource_id: { arn: { service: lambda, type: function } }";
    assert_eq!(found(&format!("field.span_kind: server, {arn}"), "lambda"), None);
    let refusal =
        Some("`span.cloud.resource_id` has no vote on the platform: a span speaks of what it called".to_owned());
    assert_eq!(found(arn, "lambda"), refusal);
    assert_eq!(found(&format!("field.span_kind: client, {arn}"), "lambda"), refusal);
    assert_eq!(found(&format!("field.span_kind: server, {arn}"), "ecs"), refusal);
}

#[test]
fn what_a_vote_cannot_say_is_reported_where_it_stands() {
    let mut wrong = String::new();
    for (set, expected) in [
        (
            "{ platform: ecs, confidence: none }",
            "6:39 the confidence of a vote must be one of four words | conclusive, strong, inferred or hint; without it the rule outranks all votes",
        ),
        (
            "{ platform: unknown, confidence: hint }",
            "6:22 `unknown` is no vote | without a confidence, the rule makes it `unknown` whatever the votes say",
        ),
        (
            "{ confidence: strong }",
            "6:12 `platform.confidence` cannot be set here | a confidence belongs to a `platform`",
        ),
        ("{ platform.conflict: x }", "6:12 `platform.conflict` cannot be set here | it is made of the votes that lost"),
    ] {
        let text =
            format!("version: 1\nkind: platform\nrules:\n  - id: a\n    when: {{ label.x: y }}\n    set: {set}\n");
        check(&mut wrong, &text, expected);
    }
    assert_eq!(wrong, "");
}
