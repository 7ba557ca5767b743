//! Stories about stories: what holds holds, what does not says what was seen, and a fault of the author has its place.

use super::*;
use crate::rules::RuleSet;

const FILES: &str = "version: 1\ntests:\n";

/// The shipped rules with these stories in the place of theirs.
fn files(stories: &str) -> Vec<SourceFile> {
    let mut files = RuleSet::built_in_files();
    files.retain(|file| !story::is_story_file(&file.name));
    files.push(SourceFile { name: "tests/a.yaml".to_owned(), text: format!("{FILES}{stories}") });
    files
}

fn bound() -> RuleSet {
    let mut rules = RuleSet::built_in();
    rules.bind_sinks(&["pager".into(), "chat".into()]).expect("no route names a sink");
    rules
}

/// `line:column message | hint`, for all that is wrong.
fn wrongs(stories: &str) -> Vec<String> {
    let report = run_stories(&bound(), &files(stories));
    report
        .wrongs()
        .map(|wrong| {
            let hint = wrong.hint.as_deref().map(|hint| format!(" | {hint}")).unwrap_or_default();
            format!("{}:{} {}{hint}", wrong.line, wrong.column, wrong.message)
        })
        .collect()
}

#[test]
fn the_shipped_stories_hold_and_try_every_rule() {
    let report = run_stories(&bound(), &RuleSet::built_in_files());
    let wrongs: Vec<String> = report.wrongs().map(|wrong| format!("{wrong}\n")).collect();
    assert!(report.is_good(), "{}", wrongs.concat());
    assert!(report.cases.len() > 50, "{}", report.cases.len());
    let untested: Vec<&str> = report.untested.iter().map(|listed| listed.by.as_ref()).collect();
    let ids: Vec<&str> = untested.iter().filter_map(|by| by.split_once(' ')).map(|(_, id)| id).collect();
    assert!(ids.is_empty(), "{untested:?}");
}

#[test]
fn a_failure_names_the_rule_that_set_the_value_and_what_it_saw() {
    let found = wrongs(
        "  - name: a\n    given: { alert: { cluster: eks-prod-1 } }\n    expect:\n      platform: ecs\n      owner: owl\n      cell: { is: prod-use1-c2, by: cell-label }\n      service: absent\n      route: elsewhere\n",
    );
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].starts_with("6:7 `platform` is `eks`, expected `ecs` | set by platform.yaml:"), "{}", found[0]);
    assert!(found[0].contains("label.cluster=eks-prod-1"), "{}", found[0]);
    assert!(found[1].starts_with("7:7 `owner` is `unowned`, expected `owl`"), "{}", found[1]);
    assert!(
        found[2].starts_with("8:7 `cell` is `prod-use1-c2`, but `cell-label` did not set it | set by"),
        "{}",
        found[2]
    );
    assert_eq!(found[3], "10:7 the route is `unowned-at-once`, expected `elsewhere` | no route is called `elsewhere`");
}

#[test]
fn silence_is_expected_and_what_was_said_instead_is_shown() {
    let alert = "    given: { alert: { severity: critical, service: owl } }\n";
    let found = wrongs(&format!("  - name: a\n{alert}    expect: {{ notices: [] }}\n"));
    assert_eq!(found, ["5:15 1 notices, expected 0 | said: opened first_alert at 0s"]);
    let found = wrongs(&format!("  - name: a\n{alert}    expect: {{ notices: [opened, resolved] }}\n"));
    assert_eq!(found, ["5:15 1 notices, expected 2 | said: opened first_alert at 0s"]);
    let found = wrongs(&format!("  - name: a\n{alert}    expect: {{ notices: [resolved] }}\n"));
    assert_eq!(found, ["5:25 a notice `opened`, expected `resolved` | said: opened first_alert at 0s"]);
    let found = wrongs(&format!("  - name: a\n{alert}    expect: {{ notices: {{ resolved: 0 }} }}\n"));
    assert_eq!(found, ["5:15 a notice `opened`, expected none | said: opened first_alert at 0s"]);
    let found = wrongs(&format!("  - name: a\n{alert}    expect: {{ notices: [opened hold_over] }}\n"));
    assert_eq!(
        found,
        ["5:25 `opened` because of `first_alert`, expected `hold_over` | said: opened first_alert at 0s"]
    );
}

#[test]
fn deliveries_are_counted_per_sink_and_a_misspelt_sink_is_no_silence() {
    let alert = "    given: { alert: { severity: critical, service: owl } }\n";
    assert_eq!(
        wrongs(&format!(
            "  - name: a\n{alert}    expect: {{ deliveries: {{ pager: 1, chat: 1 }}, to: [chat, pager] }}\n"
        )),
        [""; 0]
    );
    let found = wrongs(&format!("  - name: a\n{alert}    expect: {{ deliveries: {{ pgaer: 0 }} }}\n"));
    assert_eq!(found, ["5:29 no route goes to a sink `pgaer` | known: chat, pager"]);
    let found = wrongs(&format!("  - name: a\n{alert}    expect: {{ deliveries: {{ pager: 2 }} }}\n"));
    assert_eq!(found, ["5:29 1 notices for `pager`, expected 2 | said: opened first_alert at 0s"]);
}

#[test]
fn whether_two_alerts_are_one_incident_is_told_with_what_their_keys_are_made_of() {
    let story = |expected: &str| {
        format!(
            "  - name: a\n    given: {{ alert: {{ service: owl, cluster: \"${{c}}\" }} }}\n    steps:\n      - {{ send: firing, with: {{ c: eks-prod-1 }} }}\n      - {{ at: 1m, send: firing, with: {{ c: prod-c3-use1 }}, expect: {{ incident: {expected} }} }}\n"
        )
    };
    assert_eq!(wrongs(&story("different")), [""; 0]);
    let found = wrongs(&story("same"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("another incident"), "{}", found[0]);
    assert!(
        found[0]
            .contains("cell prod-use1-c2; now: service owl-service, class Alert, env production, cell prod-use1-c3"),
        "{}",
        found[0]
    );
}

#[test]
fn a_fault_of_the_author_is_reported_where_it_stands() {
    let mut wrong = String::new();
    let given = "given: { alert: { service: owl } }";
    for (story, expected) in [
        ("  - { name: a, gvien: {} }", "3:16 unknown key `gvien` | did you mean `given`?".to_owned()),
        (&format!("  - name: a\n    {given}"), "3:5 a test needs `expect` | a test that expects nothing cannot fail".to_owned()),
        (
            &format!("  - name: a\n    {given}\n    expect: {{ platfrom: ecs }}"),
            "5:15 unknown key `platfrom` | did you mean `platform`?".to_owned(),
        ),
        (
            &format!("  - name: a\n    {given}\n    expect: {{ notices: [opend] }}"),
            "5:25 unknown kind of notice `opend` | did you mean `opened`?".to_owned(),
        ),
        (
            &format!("  - name: a\n    {given}\n    expect: {{ incidents: one }}"),
            "5:26 `incidents` must be a whole number, not `one`".to_owned(),
        ),
        (
            &format!("  - name: a\n    {given}\n    steps: [{{ at: 5m }}, {{ at: 1m, expect: {{ open: 0 }} }}]"),
            "5:25 time goes backwards | write the steps in order of time".to_owned(),
        ),
        (
            "  - name: a\n    given: { alert: { service: \"${x}\" } }\n    expect: { owner: owl }",
            "4:32 nothing fills in `${x}` | give it a value in `with` of the step".to_owned(),
        ),
        (
            "  - name: a\n    given: { file: payloads/alertmanger.json, source: alertmanager }\n    expect: { owner: owl }",
            "4:20 no file `tests/payloads/alertmanger.json` beside the rules | did you mean `payloads/alertmanager.json`?".to_owned(),
        ),
        (
            "  - name: a\n    given: { file: payloads/alertmanager.json, source: alertmanger }\n    expect: { owner: owl }",
            "4:56 no source is of kind `alertmanger` | known kinds: alertmanager, alertmanager-api, pagerduty, json".to_owned(),
        ),
        (
            "  - name: a\n    given: { file: payloads/alertmanager.json, source: pagerduty }\n    expect: { owner: owl }",
            "4:20 `tests/payloads/alertmanager.json`: ".to_owned(),
        ),
        (
            "  - name: a\n    given: { span: {}, alert: {} }\n    expect: { owner: owl }",
            "4:12 `given` must say one thing that comes in | one of `alert`, `file` and `span`".to_owned(),
        ),
        (
            &format!("  - name: a\n    {given}\n    expect: {{ rules: [service-labl] }}"),
            "5:23 `service-labl` decided nothing, and no rule or route has this id | decided: ".to_owned(),
        ),
        (
            &format!("  - name: a\n    {given}\n    expect: {{ owner: owl }}\n  - name: a\n    {given}\n    expect: {{ owner: owl }}"),
            "6:5 a test called `a` twice | it is already on line 3".to_owned(),
        ),
    ] {
        let found = wrongs(&format!("{story}\n"));
        let fits = matches!(&found[..], [found] if found.starts_with(&expected));
        if !fits {
            wrong.push_str(&format!("{story}\n  expected {expected}\n  found    {}\n", found.join("\n           ")));
        }
    }
    assert_eq!(wrong, "");
}

#[test]
fn a_file_that_is_not_yaml_is_a_fault_and_no_silence() {
    for text in ["", "version: 1\n", "version: 2\ntests: []\n", "tests: [}\n", "- a\n"] {
        let files = vec![SourceFile { name: "tests/a.yaml".to_owned(), text: text.to_owned() }];
        assert!(!run_stories(&bound(), &files).is_good(), "{text:?}");
    }
}

#[test]
fn several_alerts_of_one_payload_can_be_expected_each() {
    let body = r#"{"alerts":[{"status":"firing","labels":{"alertname":"A","service":"owl"}},{"status":"firing","labels":{"alertname":"A","service":"duo"}}]}"#;
    let story = |expect: &str| {
        let mut files = files(&format!(
            "  - name: a\n    given: {{ file: payloads/two.json, source: alertmanager }}\n    expect: {{ {expect} }}\n"
        ));
        files.push(SourceFile { name: "tests/payloads/two.json".to_owned(), text: body.to_owned() });
        let report = run_stories(&bound(), &files);
        report.wrongs().map(|wrong| wrong.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        story("alerts: [{ service: owl-service, rules: [service-label] }, { service: duo-api }]"),
        ["`service-label` decided nothing"]
    );
    assert_eq!(story("alerts: [{ service: owl-service }, { service: duo-api }], incidents: 2"), [""; 0]);
    assert_eq!(story("alerts: [{ service: owl-service }]"), ["2 alerts were sent, expected 1"]);
    assert_eq!(story("service: owl-service"), ["`service` is `duo-api`, expected `owl-service`"]);
}

#[test]
fn a_story_goes_the_same_way_each_time() {
    let files = RuleSet::built_in_files();
    let first = format!("{:?}", run_stories(&bound(), &files));
    assert_eq!(first, format!("{:?}", run_stories(&bound(), &files)));
}

#[test]
fn of_a_class_that_nobody_owns_the_shipped_routes_page_300_incidents_an_hour() {
    let story = |owner: &str, wanted: &str| {
        let moments: Vec<String> = (0..302).map(|number| format!("{number}s w{number}w")).collect();
        format!(
            "  - name: a\n    given: {{ alert: {{ name: Restarting, severity: critical, service: \"${{at}}\", labels: {{ owner: {owner} }} }} }}\n    at: {moments:?}\n    expect: {{ incidents: 302, open: 302, {wanted} }}\n"
        )
    };
    let nobody = wrongs(&story("nobody", "notices: { opened: 300 }, quiet: unowned-at-once"));
    assert_eq!(nobody, Vec::<String>::new());
    // What has an owner has no limit.
    assert_eq!(wrongs(&story("growth", "notices: { opened: 302 }")), Vec::<String>::new());
}

#[test]
fn a_story_that_reminds_for_ever_is_stopped_and_says_so() {
    let routes = "version: 1\nkind: routes\nroutes:\n  - { id: rest, when: {}, remind: 1ms }\n";
    let story = "version: 1\ntests:\n  - name: a\n    given: { alert: { service: owl } }\n    steps: [{ send: firing }, { at: 1h, expect: { open: 1 } }]\n";
    let files = [("routes.yaml", routes), ("tests/a.yaml", story)]
        .map(|(name, text)| SourceFile { name: name.to_owned(), text: text.to_owned() });
    let rules = RuleSet::compile(&files).expect("it compiles");
    let report = run_stories(&rules, &files);
    assert!(report.cases[0].failures[0].message.contains("the story is too long for its intervals"));
}

#[test]
fn a_story_hears_of_a_gateway_s_stamp_as_the_daemon_does() {
    let moments: Vec<String> = (0..12).map(|number| format!("{number}s {number}")).collect();
    let resource = "{ k8s.pod.uid: \"${at}\", k8s.cluster.name: prod-c3-use1, service.name: owl, service.instance.id: \"${at}\", aws.ecs.task.arn: \"arn:aws:ecs:us-east-1:111111111111:task/gateway/1\" }";
    let story = |count: usize, platform: &str| {
        format!(
            "  - name: {count}\n    at: {:?}\n    given: {{ span: {{ resource: {resource} }} }}\n    expect: {{ platform: {platform} }}\n",
            &moments[..count]
        )
    };
    assert_eq!(wrongs(&format!("{}{}", story(3, "unknown"), story(12, "eks"))), <Vec<String>>::new());
}

#[test]
fn a_span_has_tags_and_no_route_or_incident() {
    let given =
        "    given: { span: { resource: { cloud.platform: aws_ecs }, attributes: { cloud.platform: aws_eks } } }\n";
    let found =
        wrongs(&format!("  - name: a\n{given}    expect: {{ platform: ecs, route: page-at-once, outcome: opened }}\n"));
    assert_eq!(
        found,
        [
            "5:30 no route of the rules is asked about a span | `spans` in the settings says where telemetry goes",
            "5:51 no alert was sent, so nothing became of one",
        ]
    );
}

#[test]
fn a_body_tells_which_source_reads_it_or_the_story_must() {
    let with = |body: &str| {
        let stories = "  - name: a\n    given: { file: payloads/one.json }\n    expect: { service: owl-service }\n";
        let mut files = files(stories);
        files.push(SourceFile { name: "tests/payloads/one.json".to_owned(), text: body.to_owned() });
        let report = run_stories(&bound(), &files);
        report.wrongs().map(|wrong| wrong.message.clone()).collect::<Vec<_>>()
    };
    let event = r#"{"routing_key":"0123456789abcdef0123456789abcdef","event_action":"trigger","payload":{"summary":"x","source":"y","severity":"error","custom_details":{"service":"owl-svc"}}}"#;
    assert_eq!(with(event), [""; 0]);
    assert_eq!(with(r#"[{"labels":{"alertname":"A","service":"owl-svc"}}]"#), [""; 0]);
    let silent = "`tests/payloads/one.json` does not tell which source reads it";
    for body in [r#"{"title":"x","service":"owl-svc"}"#, "{", "", "7"] {
        assert_eq!(with(body), [silent], "{body}");
    }
}
