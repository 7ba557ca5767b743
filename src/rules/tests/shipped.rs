//! The rules that ship, on bodies that real senders sent.

use super::*;

#[test]
fn the_shipped_rules_compile_without_a_warning() {
    match RuleSet::compile(&RuleSet::built_in_files()) {
        Ok(rules) => assert_eq!(print(rules.warnings()), ""),
        Err(faults) => panic!("{}", print(&faults)),
    }
}

/// Labels that Prometheus 2.42 sent, through Alertmanager and directly.
fn sample(service: &'static str, namespace: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![
        ("alertname", "HighErrorRate"),
        ("cell", "prod-use1-c2"),
        ("cluster", "eks-prod-1"),
        ("instance", "127.0.0.1:19098"),
        ("job", "demo"),
        ("namespace", namespace),
        ("note", "line1\nline2"),
        ("path", "/x"),
        ("region", "us-east-1"),
        ("service", service),
        ("severity", "critical"),
    ]
}

/// `name=value (by)`, without the line: those of the shipped files move.
fn tags(decision: &Decision) -> Vec<String> {
    let by = |by: &str| {
        let (place, id) = by.split_once(' ').unwrap_or((by, ""));
        format!("{} {id}", place.split(':').next().unwrap_or("")).trim_end().to_owned()
    };
    decision.tags.iter().map(|(name, tag)| format!("{}={} ({})", name.as_str(), tag.value, by(&tag.by))).collect()
}

#[test]
fn the_captured_samples_get_their_platform_cell_service_and_owner() {
    let rules = RuleSet::built_in();
    let decision = decide(&rules, &sample("owl-service", "owl"));
    assert_eq!(
        tags(&decision),
        [
            "service=owl-service (services.yaml owl-service)",
            "class=HighErrorRate (services.yaml class)",
            "env=production (cells.yaml cell-of-cluster)",
            "platform=eks (platform.yaml cluster-label)",
            "platform.cluster=eks-prod-1 (platform.yaml cluster-label)",
            "platform.confidence=strong (platform.yaml cluster-label)",
            "cell=prod-use1-c2 (cells.yaml cell-label)",
            "owner=owl (services.yaml owl-service)",
            "criticality=critical (services.yaml owl-service)",
            "severity=critical (field.severity)",
            "runbook=https://runbooks.example.com/owl-service (services.yaml owl-service)",
        ]
    );
    assert_eq!(decision.tags.get(TagName::Platform).unwrap().seen.as_deref(), Some("label.cluster=eks-prod-1"));
    assert!(decision.route.by.ends_with(" page-at-once"), "{}", decision.route.by);
    let decision = decide(&rules, &sample("duo-api", "api"));
    assert_eq!(value(&decision, TagName::Owner), Some("learning"));
    assert_eq!(value(&decision, TagName::Service), Some("duo-api"));
}

#[test]
fn every_tag_names_a_line_that_holds_its_rule() {
    let files = RuleSet::built_in_files();
    let decision = decide(&RuleSet::built_in(), &sample("owl-service", "owl"));
    for (name, tag) in decision.tags.iter().filter(|(name, _)| *name != TagName::Severity) {
        let (place, id) = tag.by.split_once(' ').unwrap();
        let (file, line) = place.split_once(':').unwrap();
        let text = &files.iter().find(|held| held.name == file).unwrap().text;
        let from = line.parse::<usize>().unwrap() - 1;
        // The owner's line is a line of the service's entry.
        let near: String = text.lines().skip(from.saturating_sub(1)).take(2).collect();
        assert!(near.contains(id), "{}: {}", name.as_str(), tag.by);
    }
}

#[test]
fn the_same_service_on_ecs_and_eks_is_one_incident() {
    let rules = RuleSet::built_in();
    let eks = decide(&rules, &sample("owl-service", "owl"));
    let ecs = rules.decide(
        &alert("owl-service-ecs-HighErrorRate", &[("cluster", "prod-c2-use1"), ("ecs_service", "owl-svc")]),
        origin(),
    );
    assert_eq!(value(&ecs, TagName::Platform), Some("ecs"));
    assert_eq!(value(&ecs, TagName::Cell), Some("prod-use1-c2"));
    assert_eq!(&*ecs.class, "HighErrorRate");
    assert_eq!(ecs.key, eks.key);
}

#[test]
fn a_platform_is_right_or_unknown() {
    let rules = RuleSet::built_in();
    for (labels, platform, confidence) in [
        (vec![("cluster", "prod-legacy")], Some("ecs"), Some("strong")),
        (vec![("cluster", "prod-c9-use1"), ("namespace", "api"), ("pod", "a-1")], Some("k8s"), Some("inferred")),
        // The name of a cluster that nobody registered proves nothing.
        (vec![("cluster", "eks-prod-9")], Some("unknown"), Some("none")),
        (vec![("note", "retry after 30 secs for 2 weeks, see ecs and eks")], Some("unknown"), Some("none")),
        (vec![("instance", "[2600:1f13::1]:8080")], Some("unknown"), Some("none")),
        (vec![("LaunchType", "FARGATE")], Some("ecs"), Some("conclusive")),
        (vec![("LaunchType", "EXTERNAL")], Some("ecs"), Some("conclusive")),
        (vec![("ecs_task_arn", "arn:aws-us-gov:ecs:us-gov-west-1:1:task/0123")], Some("ecs"), Some("strong")),
        (vec![("platform", "lambda"), ("cluster", "eks-prod-1")], Some("lambda"), Some("conclusive")),
        (vec![("platform", "weeks"), ("cluster", "eks-prod-1")], Some("eks"), Some("strong")),
    ] {
        let decision = decide(&rules, &labels);
        assert_eq!(value(&decision, TagName::Platform), platform, "{labels:?}");
        assert_eq!(value(&decision, TagName::PlatformConfidence), confidence, "{labels:?}");
    }
    let constants: Labels<'static> = [("cluster", "prod-legacy")].into_iter().collect();
    let decision = rules.decide(&alert("n", &[]), Origin { constants: &constants, ..origin() });
    assert_eq!(value(&decision, TagName::Cell), Some("prod-use1-c1"));
}
