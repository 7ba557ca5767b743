//! Backstage's `catalog-info.yaml`: components and resources become services, groups become teams. Never follows a
//! `Location`, and never takes an entity that Backstage itself calls an orphan.
//!
//! <https://backstage.io/docs/features/software-catalog/descriptor-format>
//!
//! | theirs | ours |
//! | --- | --- |
//! | `Component`, `Resource`: `metadata.name` | a service; a component goes before a resource of the same name |
//! | `spec.owner`, else that of `spec.system` | its owner, without kind and namespace |
//! | annotations `backstage.io/kubernetes-id`, `argocd/app-name` | aliases |
//! | `metadata.links` of type or title `runbook` | its runbook |
//! | `Group`: `metadata.name` | a team |

use super::{Entry, Found, Rank, Said, text_at};
use crate::rules::diagnostic::Faults;
use crate::rules::yaml::Node;

const ANNOTATIONS: [&str; 2] = ["metadata", "annotations"];
/// Labels that tools put on the workload, so that telemetry carries them.
const ALIASES: [&str; 2] = ["backstage.io/kubernetes-id", "argocd/app-name"];

pub(super) fn read(document: &Node, found: &mut Found, faults: &mut Faults<'_>) {
    let Some(kind) = text_at(document, &["kind"]) else {
        let hint = "an entity has `apiVersion`, `kind`, `metadata` and `spec`; this document is left out".to_owned();
        faults.warning(document.at, "no `kind`: not an entity of Backstage", Some(hint));
        return;
    };
    let rank = match kind.text.to_ascii_lowercase().as_str() {
        "component" => Some(Rank::First),
        "resource" => Some(Rank::Second),
        "group" | "system" => None,
        // APIs, domains, users, templates and a company's own kinds say nothing that we ask for.
        _ => return,
    };
    let Some(name) = text_at(document, &["metadata", "name"]) else {
        faults.warning(document.at, "an entity without `metadata.name` is left out", None);
        return;
    };
    let annotation = |key: &'static str| text_at(document, &[ANNOTATIONS[0], ANNOTATIONS[1], key]);
    if annotation("backstage.io/orphan").is_some_and(|orphan| orphan.text == "true") {
        let hint = "nothing refers to it any more, so its owner may be out of date".to_owned();
        faults.warning(name.at, format!("`{}` is an orphan of the catalogue and left out", name.text), Some(hint));
        return;
    }
    let owner = text_at(document, &["spec", "owner"]).map(|owner| Said::new(reference(owner.text), owner.at, faults));
    let Some(rank) = rank else {
        if kind.text.eq_ignore_ascii_case("group") {
            found.teams.push(name.text.to_owned());
        } else if let Some(owner) = owner {
            found.systems.push((name.text.to_owned(), owner));
        }
        return;
    };
    let mut entry = Entry::new(name, rank, faults);
    entry.owner = owner;
    entry.system = text_at(document, &["spec", "system"]).map(|system| reference(system.text).to_owned());
    entry.lifecycle = text_at(document, &["spec", "lifecycle"]).map(|word| word.text.to_owned());
    entry.pagerduty = annotation("pagerduty.com/service-id").map(|word| word.text.to_owned());
    entry.sentry = annotation("sentry.io/project-slug").map(|word| word.text.to_owned());
    entry.repository = annotation("github.com/project-slug").map(|word| word.text.to_owned());
    entry.aliases.extend(ALIASES.iter().filter_map(|key| annotation(key)).map(|word| word.text.to_owned()));
    entry.runbook = super::runbook(document, &["metadata", "links"], faults);
    found.entries.push(entry);
}

/// `group:default/payments` is `payments`.
fn reference(text: &str) -> &str {
    let text = text.rsplit_once(':').map_or(text, |(_, rest)| rest);
    text.rsplit_once('/').map_or(text, |(_, name)| name).trim()
}
