//! From the many spellings of a service to its name, its owner and the key of its incident.

use super::*;

const SERVICES: &str = "
version: 1
kind: services
teams: { owl: {}, money: {} }
services:
  - { name: owl-service, owner: owl, aliases: [owl, owl-svc, { glob: \"owl-*-argo\" }], runbook: https://r.example.com/owl }
  - { name: payments, owner: money, aliases: [PaymentsAPI] }
strip: { suffixes: [-svc, -service, -ecs], prefixes: [team-], parts: [env, cell, region, pod] }
class: { strip: [ecs, eks] }
rules:
  - { id: label, when: { label.service: { exists: true } }, set: { service: \"${label.service}\" } }
  - { id: family, when: { label.family: { exists: true } }, set: { service: \"${label.family}\" } }
  - { id: team, when: { label.team: { exists: true } }, set: { owner: \"${label.team}\" } }
";
const CELLS: &str = "
version: 1
kind: cells
environments: { production: [prod], staging: [stage] }
cells:
  - { id: prod-use1-c2, aliases: [c2], env: production, region: us-east-1, clusters: { eks: [eks-prod-1] } }
rules:
  - { id: cell, when: { label.cell: { exists: true } }, set: { cell: \"${label.cell}\" } }
  - { id: env-of-cell, when: { out.cell: { in: cells } }, set: { env: \"${cells.env}\" } }
  - { id: env, when: { label.env: { exists: true } }, set: { env: \"${label.env}\" } }
  - { id: platform, when: { label.platform: { exists: true } }, set: { platform: \"${label.platform}\" } }
";

fn rules() -> RuleSet {
    compile(&[("services.yaml", SERVICES), ("cells.yaml", CELLS)])
}

#[test]
fn every_spelling_of_a_service_is_that_service() {
    use crate::rules::Match::{Alias, Glob, Name, Stripped, Unregistered};
    let rules = rules();
    for (raw, service, how) in [
        ("owl-service", "owl-service", Name),
        ("owl-svc", "owl-service", Alias),
        ("owl-blue-argo", "owl-service", Glob),
        ("owl-service-prod", "owl-service", Stripped),
        ("prod-owl-service", "owl-service", Stripped),
        ("owl_service", "owl-service", Stripped),
        ("Owl-Service", "owl-service", Stripped),
        ("owl-service-prod-use1-c2", "owl-service", Stripped),
        ("owl-service-c2-us-east-1", "owl-service", Stripped),
        ("owl-service-use1", "owl-service", Stripped),
        ("payments-prod-svc", "payments", Stripped),
        ("paymentsapi", "payments", Stripped),
        ("team-payments-ecs", "payments", Stripped),
        ("payments-7d4b9c8f6d-x2x9z", "payments", Stripped),
        ("payments-green", "payments-green", Unregistered),
        ("payments-7d4b9c8f6d", "payments-7d4b9c8f6d", Unregistered),
        ("ledger", "ledger", Unregistered),
        ("-svc-x", "", Unregistered),
        ("unknown_service", "", Unregistered),
        ("unknown_service:java", "", Unregistered),
        ("10.0.0.1:9100", "", Unregistered),
        ("12345", "", Unregistered),
        ("High error rate!", "", Unregistered),
    ] {
        let explanation = explain(&rules, &[("service", raw)]);
        assert_eq!(value(&explanation.decision, TagName::Service).unwrap_or(""), service, "{raw}");
        if let Some(found) = explanation.service {
            assert_eq!((found.how, &*found.raw, &*found.read_by), (how, raw, "services.yaml:11 label"), "{raw}");
        }
    }
}

#[test]
fn what_is_no_service_leaves_the_word_to_the_next_rule() {
    let decision = decide(&rules(), &[("service", "unknown_service:java"), ("family", "owl-svc")]);
    let tag = decision.tags.get(TagName::Service).unwrap();
    assert_eq!(
        (&*tag.value, &*tag.by, tag.seen.as_deref()),
        ("owl-service", "services.yaml:6 owl-service", Some("label.family=owl-svc"))
    );
}

#[test]
fn an_owner_is_a_known_team_or_unowned() {
    let rules = rules();
    for (labels, owner, by) in [
        (vec![("service", "owl")], "owl", "services.yaml:6 owl-service"),
        (vec![("service", "owl"), ("team", "money")], "money", "services.yaml:13 team"),
        (vec![("service", "owl"), ("team", "nobody")], "owl", "services.yaml:6 owl-service"),
        (vec![("service", "ledger")], "unowned", "services.yaml:5 services"),
        (vec![], "unowned", "services.yaml:5 services"),
    ] {
        let decision = decide(&rules, &labels);
        let tag = decision.tags.get(TagName::Owner).unwrap();
        assert_eq!((&*tag.value, &*tag.by), (owner, by), "{labels:?}");
    }
}

#[test]
fn a_cell_is_registered_or_unknown() {
    let rules = rules();
    for (label, cell, environment) in [
        ("prod-use1-c2", "prod-use1-c2", Some("production")),
        ("c2", "prod-use1-c2", Some("production")),
        ("prod-use1-c22", "unknown", None),
    ] {
        let decision = decide(&rules, &[("cell", label)]);
        assert_eq!(value(&decision, TagName::Cell), Some(cell));
        assert_eq!(value(&decision, TagName::Environment), environment);
        assert_eq!(decision.tags.get(TagName::Cell).unwrap().seen.as_deref(), Some(&*format!("label.cell={label}")));
    }
}

#[test]
fn names_that_differ_only_in_where_are_one_class() {
    let rules = rules();
    let class = |name: &str, labels: &[(&str, &str)]| rules.decide(&alert(name, labels), origin()).class.to_string();
    let here = [("service", "owl-svc"), ("cell", "c2")];
    for name in [
        "HighErrorRate",
        "owl-service-ecs-HighErrorRate",
        "owl-svc_HighErrorRate",
        "prod-use1-c2/owl/HighErrorRate",
        "HighErrorRate PROD EKS",
    ] {
        assert_eq!(class(name, &here), "HighErrorRate", "{name}");
    }
    // Another service's name and another environment's word say what, not where.
    assert_eq!(class("payments-HighErrorRate", &here), "payments-HighErrorRate");
    assert_eq!(class("stage-HighErrorRate", &here), "stage-HighErrorRate");
    // Something always stays.
    assert_eq!(class("owl-service", &here), "owl-service");
}

#[test]
fn the_key_depends_on_service_class_environment_and_cell_and_on_nothing_else() {
    let rules = rules();
    let base = [("service", "owl-svc"), ("cell", "c2")];
    let key = decide(&rules, &base).key;
    for more in [("platform", "eks"), ("team", "money"), ("value", "17"), ("pod", "owl-1")] {
        assert_eq!(decide(&rules, &[base[0], base[1], more]).key, key, "{more:?}");
    }
    let mut other = alert("owl-service-ecs-HighErrorRate", &base);
    other.severity = Severity::Info;
    other.title = Cow::Borrowed("another title");
    other.identity = Identity([9; 16]);
    let elsewhere = Origin { instance: "ecs-prod", ..origin() };
    assert_eq!(rules.decide(&other, elsewhere).key, key);
    // Pinned: a change here splits every open incident and needs a new version of the key.
    assert_eq!(key.to_string(), "v1-97355b9d5e680592ef4c27125df96e90");
    for labels in [
        vec![("service", "payments"), ("cell", "c2")],
        vec![("service", "owl")],
        vec![("service", "owl"), ("env", "staging")],
        vec![("service", "owl"), ("cell", "c9")],
    ] {
        assert_ne!(decide(&rules, &labels).key, key, "{labels:?}");
    }
    assert_ne!(rules.decide(&alert("HighLatency", &base), origin()).key, key);
}

#[test]
fn an_alert_without_a_service_or_a_name_is_a_problem_of_its_own() {
    let rules = rules();
    let first = alert("HighErrorRate", &[("cell", "c2")]);
    let mut second = first.clone();
    assert_eq!(rules.decide(&first, origin()).key, rules.decide(&second, origin()).key);
    second.identity = Identity([8; 16]);
    assert_ne!(rules.decide(&first, origin()).key, rules.decide(&second, origin()).key);
    let elsewhere = Origin { instance: "other", ..origin() };
    assert_ne!(rules.decide(&first, elsewhere).key, rules.decide(&first, origin()).key);
    let nameless = rules.explain(&alert("", &[("service", "owl")]), origin());
    let parts: Vec<&str> = nameless.key_parts.iter().map(|part| part.name).collect();
    assert_eq!(parts, ["source", "identity"]);
}

#[test]
fn a_route_that_does_not_fold_keeps_platforms_apart() {
    let routes = "version: 1\nkind: routes\nroutes:\n  - { id: apart, fold: none }\n";
    let rules = compile(&[("services.yaml", SERVICES), ("cells.yaml", CELLS), ("routes.yaml", routes)]);
    let on = |platform: &'static str| explain(&rules, &[("service", "owl"), ("platform", platform)]);
    assert_ne!(on("ecs").decision.key, on("eks").decision.key);
    let parts: Vec<_> =
        on("ecs").key_parts.iter().map(|part| (part.name, part.value.as_deref().map(str::to_owned))).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        parts,
        [
            ("service", some("owl-service")),
            ("class", some("HighErrorRate")),
            ("env", None),
            ("cell", None),
            ("platform", some("ecs"))
        ]
    );
}
