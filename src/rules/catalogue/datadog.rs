//! Datadog's `service.datadog.yaml`, schema versions v2, v2.1, v2.2 and v3. Never reads contacts and keys: what people
//! are told stands in our own files.
//!
//! <https://github.com/DataDog/schema/tree/main/service-catalog>
//!
//! | v2.x | v3 (`kind: service`, `datastore`, `queue`) | ours |
//! | --- | --- | --- |
//! | `dd-service` | `metadata.name` | the service |
//! | `team` | `metadata.owner` | its owner |
//! | `tier` | `spec.tier` | its criticality, where it is one of our four words |
//! | `links` of type `runbook` | `metadata.links` of type `runbook` | its runbook |
//! | `application` | | its system |

use super::{Entry, Found, Rank, Said, text_at};
use crate::rules::diagnostic::Faults;
use crate::rules::service::CRITICALITIES;
use crate::rules::walk::Word;
use crate::rules::yaml::Node;

/// Where one version of the schema has what we read.
struct Layout {
    name: &'static [&'static str],
    owner: &'static [&'static str],
    tier: &'static [&'static str],
    lifecycle: &'static [&'static str],
    system: &'static [&'static str],
    links: &'static [&'static str],
    pagerduty: &'static [&'static str],
}

const V2: Layout = Layout {
    name: &["dd-service"],
    owner: &["team"],
    tier: &["tier"],
    lifecycle: &["lifecycle"],
    system: &["application"],
    links: &["links"],
    pagerduty: &["integrations", "pagerduty", "service-url"],
};

const V3: Layout = Layout {
    name: &["metadata", "name"],
    owner: &["metadata", "owner"],
    tier: &["spec", "tier"],
    lifecycle: &["spec", "lifecycle"],
    system: &["spec", "componentOf"],
    links: &["metadata", "links"],
    pagerduty: &["integrations", "pagerduty", "serviceURL"],
};

pub(super) fn read(document: &Node, found: &mut Found, faults: &mut Faults<'_>) {
    let version = text_at(document, &["schema-version"]).or_else(|| text_at(document, &["apiVersion"]));
    let (layout, rank) = match version.map(|version| version.text) {
        Some("v2" | "v2.1" | "v2.2") => (&V2, Rank::First),
        Some("v3") => match text_at(document, &["kind"]).map(|kind| kind.text) {
            Some("service") => (&V3, Rank::First),
            Some("datastore" | "queue") => (&V3, Rank::Second),
            // Systems, APIs and kinds of a company's own.
            Some(_) | None => return,
        },
        Some(other) => {
            let hint = "v2, v2.1, v2.2 and v3 are read; this document is left out".to_owned();
            let at = version.map_or(document.at, |version| version.at);
            faults.warning(at, format!("schema version `{other}` is not known"), Some(hint));
            return;
        }
        None => {
            let hint = "a definition has `schema-version` or `apiVersion`; this document is left out".to_owned();
            faults.warning(document.at, "not a definition of a service for Datadog", Some(hint));
            return;
        }
    };
    let Some(name) = text_at(document, layout.name) else {
        let message = format!("a definition without `{}` is left out", layout.name.join("."));
        faults.warning(document.at, message, None);
        return;
    };
    let text = |path: &[&str]| text_at(document, path).map(|word| word.text.to_owned());
    let said = |word: Word<'_>, faults: &Faults<'_>| Said::new(word.text, word.at, faults);
    let mut entry = Entry::new(name, rank, faults);
    entry.owner = text_at(document, layout.owner).map(|word| said(word, faults));
    entry.criticality = text_at(document, layout.tier).and_then(|tier| {
        let word = CRITICALITIES.into_iter().find(|word| tier.text.eq_ignore_ascii_case(word))?;
        Some(Said::new(word, tier.at, faults))
    });
    entry.system = text(layout.system);
    entry.lifecycle = text(layout.lifecycle);
    entry.pagerduty = text(layout.pagerduty);
    entry.runbook = super::runbook(document, layout.links, faults);
    found.entries.push(entry);
}
