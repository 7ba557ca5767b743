//! Rules in the shadow stage: what they would change, and that they change nothing.

use super::*;

fn changes(rules: &str, labels: &[(&str, &str)]) -> Vec<String> {
    let rules = compile(&[("a.yaml", &format!("version: 1\nkind: platform\nrules:\n{rules}"))]);
    assert!(rules.has_shadow_rules());
    let constants = Labels::new();
    let origin = Origin { kind: "alertmanager", instance: "test", constants: &constants };
    let alert = alert("A", labels);
    let decision = rules.decide(&alert, origin);
    rules
        .shadow_changes(&alert, origin, &decision)
        .iter()
        .map(|change| {
            let word = |value: &Option<std::sync::Arc<str>>| value.as_deref().unwrap_or("-").to_owned();
            let id = change.rule.split_once(' ').unwrap().1;
            format!("{id} {} {} -> {}", change.tag.as_str(), word(&change.before), word(&change.after))
        })
        .collect()
}

#[test]
fn a_shadow_rule_is_tried_in_its_own_place_with_all_that_follows_from_it() {
    let first = "  - { id: s, stage: shadow, when: { label.x: y }, set: { cell: c2 } }\n";
    let live = "  - { id: l, when: { label.x: y }, set: { cell: c1 } }\n";
    let follows = "  - { id: f, when: { out.cell: c2 }, set: { env: staging } }\n";
    assert_eq!(changes(&[first, live, follows].concat(), &[("x", "y")]), ["s env - -> staging", "s cell c1 -> c2"]);
    // Behind the live rule it would have come too late.
    assert!(changes(&[live, first, follows].concat(), &[("x", "y")]).is_empty());
    assert!(changes(&[first, live, follows].concat(), &[("x", "z")]).is_empty());
}

#[test]
fn a_shadow_vote_is_counted_with_the_live_ones() {
    let shadow =
        "  - { id: s, stage: shadow, when: { label.x: y }, set: { platform: ecs, platform.confidence: conclusive } }\n";
    let strong = "  - { id: l, when: { label.x: y }, set: { platform: eks, platform.confidence: strong } }\n";
    let found = changes(&[shadow, strong].concat(), &[("x", "y")]);
    assert_eq!(
        found,
        ["s platform eks -> ecs", "s platform.confidence strong -> conclusive", "s platform.conflict - -> eks"]
    );
    let hint = shadow.replace("conclusive", "hint");
    assert!(changes(&[&hint, strong].concat(), &[("x", "y")]).is_empty());
}

#[test]
fn a_shadow_rule_that_asks_tags_sees_those_that_stand_before_it() {
    let live = "  - { id: l, when: { label.x: y }, set: { cell: c1 } }\n";
    let asks = "  - { id: s, stage: shadow, when: { out.cell: { exists: false } }, set: { cell: c9 } }\n";
    assert_eq!(changes(&[asks, live].concat(), &[("x", "y")]), ["s cell c1 -> c9"]);
    assert!(changes(&[live, asks].concat(), &[("x", "y")]).is_empty());
}

#[test]
fn what_is_past_its_date_is_named_and_stays_in_force() {
    let text = "version: 1\nkind: platform\nrules:\n  - { id: old, expires: 2026-03-01, when: { label.x: y }, set: { platform: ecs } }\n";
    let rules = compile(&[("a.yaml", text)]);
    assert!(rules.expired("2026-03-01").is_empty(), "the last day is still wanted");
    assert_eq!(rules.expired("2026-03-02"), [std::sync::Arc::from("a.yaml:4 old")]);
    assert_eq!(decide(&rules, &[("x", "y")]).tags.value(TagName::Platform), Some("ecs"));
}
