//! Faults in routes and silences, each drawn where it stands, with what would help.

use super::*;

const SERVICES: &str = "version: 1\nkind: services\nteams: { owl: , platform: }\n";

fn said(kind: &str, entry: &str) -> String {
    let text = format!("version: 1\nkind: {kind}\n{kind}:\n  - {{ {entry} }}\n");
    let mut given = vec![("services.yaml", SERVICES)];
    let routes = format!("{text}  - {{ id: rest }}\n");
    let whole = if kind == "routes" { &routes } else { &text };
    given.push(("x.yaml", whole));
    match RuleSet::compile(&files(&given)) {
        Ok(rules) => print(rules.warnings()),
        Err(faults) => print(&faults),
    }
}

#[test]
fn a_route_says_what_is_wrong_with_its_times_and_limits() {
    for (entry, expected) in [
        ("id: x, partner: platfrom, to: [a]", "did you mean `platform`?"),
        ("id: x, partner: platform", "a route of a partner needs `to`"),
        ("id: x, partner: platform, to: [a], hold: 1m", "a route of a partner has no `hold`"),
        ("id: x, limit: { per: class, rate: often }", "`often` is not a rate"),
        ("id: x, limit: { per: class, rate: 1/30s }", "`1/30s` is not a rate"),
        ("id: x, limit: { per: class, rate: 0/h }", "`0/h` is not a rate"),
        ("id: x, limit: { per: clas, rate: 1/h }", "did you mean `class`?"),
        ("id: x, limit: { rate: 1/h }", "`limit` needs `per`"),
        ("id: x, severity: { critical: eror }", "did you mean `error`?"),
        ("id: x, continue: maybe", "unknown continue `maybe`"),
        ("id: x, mute: { weekdays: mon }", "`mute` must be a list, not a map"),
    ] {
        let seen = said("routes", entry);
        assert!(seen.contains(expected), "{entry}\n{seen}");
    }
}

#[test]
fn a_list_of_routes_that_all_continue_has_no_end() {
    let text = "version: 1\nkind: routes\nroutes:\n  - { id: x, continue: true }\n";
    assert!(print(&faults(&[("routes.yaml", text)])).contains("the last route must match everything"));
}

#[test]
fn a_silence_says_what_it_lacks() {
    let whole = "id: x, why: w, when: { out.service: a }, until: '2026-11-24T00:00:00Z'";
    assert_eq!(said("silences", whole), "");
    for (entry, expected) in [
        ("id: x, why: w, when: { out.service: a }", "a silence needs `until`"),
        ("id: x, when: { out.service: a }, until: '2026-11-24T00:00:00Z'", "a silence needs `why`"),
        ("id: x, why: w, until: '2026-11-24T00:00:00Z'", "a silence needs `when`"),
        ("id: x, why: w, when: {}, until: '2026-11-24T00:00:00Z'", "a silence of everything"),
        ("id: x, why: w, when: { out.service: a }, until: tomorrow", "`tomorrow` is not an instant"),
        (
            "id: x, why: w, when: { out.service: a }, from: '2026-11-25T00:00:00Z', until: '2026-11-24T00:00:00Z'",
            "a silence that ends before it begins",
        ),
        ("id: x, why: w, when: { resource.a: b }, until: '2026-11-24T00:00:00Z'", "cannot ask for `resource.a`"),
        (
            "id: x, why: w, when: { field.receiver: b }, until: '2026-11-24T00:00:00Z'",
            "cannot ask for `field.receiver`",
        ),
    ] {
        let seen = said("silences", entry);
        assert!(seen.contains(expected), "{entry}\n{seen}");
    }
}

#[test]
fn a_silence_that_is_over_is_doubted() {
    let text = "version: 1\nkind: silences\nsilences:\n  - { id: x, why: w, when: { out.service: a }, until: '2026-11-22T10:00:00Z' }\n";
    let given = files(&[("silences.yaml", text)]);
    let rules = RuleSet::compile(&given).unwrap();
    for (today, count) in [("2026-11-23", 1), ("2026-11-22", 0)] {
        let found = rules.lint(&given, &super::super::LintFacts { today: Some(today), untested: None });
        let ended = found.iter().filter(|found| found.message.starts_with("this silence has ended")).count();
        assert_eq!(ended, count, "{today}");
    }
}
