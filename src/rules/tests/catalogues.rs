//! Catalogues of others and CODEOWNERS, through the compiler: what becomes of them, and what is said about those that
//! cannot be used.

use super::*;

const HEAD: &str = "version: 1\nkind: services\n";
const RULE: &str = "rules:\n  - { id: name, when: { label.service: { exists: true } }, set: { service: \"${label.service}\" } }\n  - { id: kept, when: { label.service: { in: services } }, set: { env: \"${services.sentry}\" } }\n";

const BACKSTAGE: &str = "\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: Payments
  title: Money in and out
  annotations:
    pagerduty.com/integration-key: 0123456789abcdef
    sentry.io/project-slug: example/payments
    github.com/project-slug: example/payments
    backstage.io/kubernetes-id: payments-app
    company.example/unknown: [1, 2]
  links:
    - { url: https://wiki.example.com, title: Wiki }
    - { url: https://runbooks.example.com/payments, title: Runbook }
spec:
  type: service
  lifecycle: production
  owner: group:default/money
  system: billing
---
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: { name: payments }
spec: { type: database, owner: databases }
---
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: { name: ledger }
spec: { system: billing }
---
apiVersion: backstage.io/v1alpha1
kind: System
metadata: { name: billing }
spec: { owner: \"Finance\" }
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: { name: growth }
spec: { type: team, children: [] }
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: { name: gone, annotations: { backstage.io/orphan: 'true' } }
spec: { owner: money }
";

const DATADOG: &str = "\
schema-version: v2.2
dd-service: checkout
team: shop
tier: High
application: store
links:
  - { name: Runbook, type: runbook, url: https://runbooks.example.com/checkout }
---
apiVersion: v3
kind: service
metadata:
  name: cart
  owner: shop
  links: &links
    - { name: How, type: runbook, url: https://runbooks.example.com/cart }
  additionalOwners: *links
spec: { tier: critical }
---
apiVersion: v3
kind: system
metadata: { name: store, owner: nobody }
";

fn services(body: &str) -> String {
    format!("{HEAD}{body}{RULE}")
}

fn import(native: &str) -> String {
    services(&format!(
        "import:\n  - {{ from: backstage, files: \"catalog/**/catalog-info.yaml\" }}\n  - {{ from: datadog, files: \"dd/*.yaml\" }}\n{native}"
    ))
}

fn with_catalogues(native: &str) -> Vec<(&str, &str)> {
    vec![
        ("services.yaml", native),
        ("catalog/money/catalog-info.yaml", BACKSTAGE),
        ("dd/service.datadog.yaml", DATADOG),
        ("catalog/not-asked-for.yaml", "- [}"),
    ]
}

fn tag(decision: &Decision, name: TagName) -> Option<(&str, &str)> {
    decision.tags.get(name).map(|tag| (tag.value.as_ref(), tag.by.as_ref()))
}

#[test]
fn a_company_with_a_catalogue_writes_no_owners() {
    let native = import("");
    let rules = compile(&with_catalogues(&native));
    let place = "catalog/money/catalog-info.yaml";
    for (service, owner) in [
        ("payments", Some(("money", format!("{place}:18 Payments")))),
        ("payments-app", Some(("money", format!("{place}:18 Payments")))),
        ("ledger", Some(("Finance", format!("{place}:35 ledger")))),
        ("checkout", Some(("shop", "dd/service.datadog.yaml:3 checkout".to_owned()))),
        ("cart", Some(("shop", "dd/service.datadog.yaml:13 cart".to_owned()))),
        ("gone", None),
        ("store", None),
    ] {
        let decision = decide(&rules, &[("service", service)]);
        let seen = tag(&decision, TagName::Owner).filter(|(owner, _)| *owner != "unowned");
        assert_eq!(seen, owner.as_ref().map(|(owner, by)| (*owner, by.as_str())), "{service}");
    }
    let checkout = decide(&rules, &[("service", "checkout")]);
    assert_eq!(tag(&checkout, TagName::Criticality), Some(("high", "dd/service.datadog.yaml:4 checkout")));
    assert_eq!(value(&checkout, TagName::Runbook), Some("https://runbooks.example.com/checkout"));
    let payments = decide(&rules, &[("service", "payments-app")]);
    assert_eq!(value(&payments, TagName::Service), Some("Payments"));
    assert_eq!(value(&payments, TagName::Runbook), Some("https://runbooks.example.com/payments"));
    assert_eq!(value(&payments, TagName::Environment), Some("example/payments"));
    let warned: Vec<&str> = rules.warnings().iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(warned, ["`gone` is an orphan of the catalogue and left out"]);
}

#[test]
fn what_our_own_files_say_goes_before_a_catalogue() {
    let native = import(
        "teams: { Money: , platform: }\nservices:\n  - { name: pay, aliases: [payments], runbook: https://ours.example.com }\n  - { name: ledger, owner: platform }\n",
    );
    let rules = compile(&with_catalogues(&native));
    let pay = decide(&rules, &[("service", "payments-app")]);
    assert_eq!(value(&pay, TagName::Service), Some("pay"));
    assert_eq!(value(&pay, TagName::Owner), Some("Money"), "the team as we spell it");
    assert_eq!(tag(&pay, TagName::Runbook), Some(("https://ours.example.com", "services.yaml:8 pay")));
    let ledger = decide(&rules, &[("service", "ledger")]);
    assert_eq!(tag(&ledger, TagName::Owner), Some(("platform", "services.yaml:9 ledger")));
}

#[test]
fn what_cannot_be_used_is_said_with_its_place() {
    let twice = "schema-version: v2\ndd-service: payments\nteam: shop\n";
    let native = import("");
    let given = |dd: &'static str| -> String {
        let mut files = with_catalogues(&native);
        files[2].1 = dd;
        match RuleSet::compile(&super::files(&files)) {
            Ok(rules) => print(rules.warnings()),
            Err(faults) => print(&faults),
        }
    };
    for (dd, said) in [
        (twice, "dd/service.datadog.yaml:2:13  service `payments` is imported twice"),
        (twice, "it is already at catalog/money/catalog-info.yaml:4"),
        ("a: [1, 2\nb: 3\n", "dd/service.datadog.yaml:2:"),
        ("a: &x [*x]\n", "an alias that contains itself"),
        ("- 1\n", "a document must be a map, not a list"),
        ("schema-version: v9\n", "warning: schema version `v9` is not known"),
        ("name: x\n", "warning: not a definition of a service for Datadog"),
        ("schema-version: v2\n", "warning: a definition without `dd-service` is left out"),
    ] {
        let seen = given(dd);
        assert!(seen.contains(said), "{said}\n{seen}");
    }
    let orphaned = services("import: [{ from: backstage, files: nothing/*.yaml }, { from: backstag, files: x }]\n");
    let seen = print(&faults(&[("services.yaml", &orphaned)]));
    assert!(seen.contains("no file fits `nothing/*.yaml`") && seen.contains("did you mean `backstage`?"), "{seen}");
}

#[test]
fn aliases_that_grow_without_end_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", ")));
    }
    let native = import("");
    let mut files = with_catalogues(&native);
    files[2].1 = &text;
    let seen = print(&faults(&files));
    assert!(seen.contains("aliases that grow without end"), "{seen}");
}

#[test]
fn code_owners_speak_where_nobody_else_does() {
    let owners = "* @example/platform\n/services/owl/ @jane @example/owls\n/services/none/\n";
    let body = "codeowners: CODEOWNERS\nteams: { owls: , money: }\nservices:\n  - { name: owl, path: services/owl/ }\n  - { name: pay, owner: money, path: services/owl/ }\n  - { name: none, path: services/none }\n  - { name: rest, path: elsewhere }\n";
    let text = services(body);
    let rules = compile(&[("services.yaml", &text), ("CODEOWNERS", owners)]);
    for (service, owner, by) in [
        ("owl", "owls", "CODEOWNERS:2 owl"),
        ("pay", "money", "services.yaml:7 pay"),
        ("none", "unowned", "services.yaml:5 services"),
        ("rest", "platform", "CODEOWNERS:1 rest"),
    ] {
        assert_eq!(tag(&decide(&rules, &[("service", service)]), TagName::Owner), Some((owner, by)), "{service}");
    }
    let without = services("services:\n  - { name: owl, path: services/owl/ }\n  - { name: pay }\n");
    let seen = print(&faults(&[("services.yaml", &without)]));
    assert!(
        seen.contains("a `path` needs a file of code owners") && seen.contains("a service needs `owner`"),
        "{seen}"
    );
    let missing = services("codeowners: CODEOWNER\n");
    assert!(print(&faults(&[("services.yaml", &missing)])).contains("no file `CODEOWNER` beside the rules"));
}
