//! What stands when all rules have spoken: owner, criticality and runbook of the registry, and the alert's class. Never
//! overrules a rule.

use std::sync::Arc;

use super::{Program, ServiceFound, note};
use crate::model::{Tag, TagName, Tags};
use crate::rules::class;

impl Program {
    /// Owner, criticality and runbook come from the registry where no rule knew better; nothing is without an owner.
    pub(super) fn finish_owner(&self, tags: &mut Tags, service: Option<&ServiceFound>) {
        let services = &self.values.services;
        if let Some(entry) = service.and_then(|found| found.entry).map(|entry| services.get(entry)) {
            for (name, said) in [
                (TagName::Owner, &entry.owner),
                (TagName::Criticality, &entry.criticality),
                (TagName::Runbook, &entry.runbook),
            ] {
                if let Some((value, by)) = said {
                    tags.set_first(name, Tag { value: Arc::clone(value), by: Arc::clone(by), seen: None });
                }
            }
        }
        if tags.get(TagName::Owner).is_none() {
            let value = Arc::clone(&self.values.unowned);
            let by = services.unowned_by.as_ref().map_or_else(|| Arc::clone(&value), Arc::clone);
            tags.set_first(TagName::Owner, Tag { value, by, seen: None });
        }
    }

    pub(super) fn finish_class(&self, tags: &mut Tags, service: Option<&ServiceFound>, name: &str) -> Arc<str> {
        if let Some(tag) = tags.get(TagName::Class) {
            return Arc::clone(&tag.value);
        }
        let stripped = class::has_parts(name).then(|| class::strip(name, &self.places(tags, service))).flatten();
        let (class, seen): (Arc<str>, _) = match stripped {
            Some(class) => (Arc::from(class), Some(note("field.name", name))),
            None => (Arc::from(name), None),
        };
        if !name.is_empty() {
            let by = self.values.services.class_by.as_ref().map_or_else(|| Arc::from("name"), Arc::clone);
            tags.set_first(TagName::Class, Tag { value: Arc::clone(&class), by, seen });
        }
        class
    }

    /// Words that say where this alert comes from: its own service, cell, environment and cluster, and the words
    /// of the rules for platforms.
    fn places<'a>(&'a self, tags: &'a Tags, service: Option<&'a ServiceFound>) -> Vec<&'a str> {
        let mut places: Vec<&str> = Vec::with_capacity(32);
        places.extend(self.values.services.place_words.iter().map(AsRef::as_ref));
        if let Some(found) = service {
            places.push(&found.raw);
            places.extend(
                found
                    .entry
                    .iter()
                    .flat_map(|entry| self.values.services.get(*entry).words.iter().map(AsRef::<str>::as_ref)),
            );
        }
        if let Some(cell) = tags.value(TagName::Cell) {
            places.push(cell);
            places.extend(
                self.values.cells.find(cell).iter().flat_map(|cell| cell.words.iter().map(AsRef::<str>::as_ref)),
            );
        }
        if let Some(environment) = tags.value(TagName::Environment) {
            places.push(environment);
            let words = self.values.cells.environment(environment);
            places.extend(words.iter().flat_map(|environment| environment.words.iter().map(AsRef::<str>::as_ref)));
        }
        places.extend(tags.value(TagName::PlatformCluster));
        places
    }
}
