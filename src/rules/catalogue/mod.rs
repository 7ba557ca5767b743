//! Catalogues that a company has already: services and their owners from files in the formats of others. Reports what
//! it cannot use, and never judges a key that it does not read.

mod backstage;
mod codeowners;
mod datadog;
mod paths;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::SourceFile;
use super::diagnostic::{At, Diagnostic, Faults};
use super::hash::FastMap;
use super::strip::plain;
use super::walk::{Fields, Word};
use super::yaml::{self, Kind, Node};

pub(super) use codeowners::Codeowners;
use paths::PathPattern;

const FORMATS: [&str; 2] = ["backstage", "datadog"];

/// What all imports of a set found.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) teams: Vec<String>,
    entries: Vec<Option<Entry>>,
    /// By name in lower case: both formats say that case does not matter.
    by_plain_name: FastMap<String, usize>,
    read: BTreeSet<(String, &'static str)>,
}

/// A service of a catalogue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) by: Arc<str>,
    pub(super) owner: Option<Said>,
    pub(super) criticality: Option<Said>,
    pub(super) runbook: Option<Said>,
    pub(super) aliases: Vec<String>,
    pub(super) system: Option<String>,
    pub(super) lifecycle: Option<String>,
    pub(super) pagerduty: Option<String>,
    pub(super) sentry: Option<String>,
    pub(super) repository: Option<String>,
    rank: Rank,
    at: At,
    file: String,
}

/// A value, and the file and line that said it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) text: String,
    /// `file:line`.
    pub(super) place: String,
}

/// Which of two things of one name is the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    First,
    Second,
}

/// What one file holds.
#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    teams: Vec<String>,
    /// Systems with their owners, for components that name no owner.
    systems: Vec<(String, Said)>,
}

impl Catalogue {
    /// Reads the `import` of one file of services.
    pub(super) fn import(
        &mut self,
        fields: &Fields<'_>,
        files: &[SourceFile],
        faults: &mut Faults<'_>,
        elsewhere: &mut Vec<Diagnostic>,
    ) {
        let mut systems = Vec::new();
        for node in fields.list("import", faults) {
            let Some(import) = Fields::read(node, "an import", &["from", "files"], faults) else { continue };
            let from = import.required("from", "an import", faults);
            let from = from.and_then(|_| import.one_of("from", &FORMATS, faults));
            if import.get("files").is_none() {
                import.missing("files", "an import", Some("such as `catalog/**/catalog-info.yaml`".into()), faults);
            }
            let patterns = import.words("files", faults);
            let Some(format) = from.and_then(|word| FORMATS.into_iter().find(|name| *name == word.text)) else {
                continue;
            };
            for pattern in patterns {
                let named = named(pattern, files);
                if named.is_empty() {
                    let hint = "the path starts at the folder of the rules; `**` is any number of folders".to_owned();
                    faults.error(pattern.at, format!("no file fits `{}`", pattern.text), Some(hint));
                }
                for file in named {
                    if self.read.insert((file.name.clone(), format)) {
                        systems.extend(self.read_file(file, format, elsewhere));
                    }
                }
            }
        }
        for entry in self.entries.iter_mut().flatten().filter(|entry| entry.owner.is_none()) {
            let system = entry.system.as_deref();
            entry.owner =
                systems.iter().find(|(name, _)| Some(name.as_str()) == system).map(|(_, owner)| owner.clone());
        }
    }

    fn read_file(
        &mut self,
        file: &SourceFile,
        format: &'static str,
        elsewhere: &mut Vec<Diagnostic>,
    ) -> Vec<(String, Said)> {
        let mut faults = Faults::new(file);
        let mut found = Found::default();
        for document in yaml::read_foreign(&file.text, &mut faults).unwrap_or_default() {
            match &document.kind {
                // `---` with nothing behind it.
                Kind::Null => {}
                Kind::Text(_) | Kind::List(_) => {
                    let message = format!("a document must be a map, not {}", document.kind_name());
                    faults.error(document.at, message, None);
                }
                Kind::Map(_) if format == "backstage" => backstage::read(&document, &mut found, &mut faults),
                Kind::Map(_) => datadog::read(&document, &mut found, &mut faults),
            }
        }
        for entry in found.entries {
            self.add(entry, &mut faults);
        }
        self.teams.extend(found.teams);
        elsewhere.extend(faults.into_found());
        found.systems
    }

    fn add(&mut self, entry: Entry, faults: &mut Faults<'_>) {
        let Some(number) = self.by_plain_name.get(&plain(&entry.name)) else {
            self.by_plain_name.insert(plain(&entry.name), self.entries.len());
            self.entries.push(Some(entry));
            return;
        };
        let Some(held) = &mut self.entries[*number] else { return };
        if held.rank == entry.rank {
            let hint = format!("it is already at {}:{}; which of them is meant?", held.file, held.at.line);
            faults.error(entry.at, format!("service `{}` is imported twice", entry.name), Some(hint));
        } else if entry.rank < held.rank {
            *held = entry;
        }
    }

    /// Names of teams as the catalogue spells them.
    pub(super) fn visit_owners(&self, mut visit: impl FnMut(&str)) {
        self.entries.iter().flatten().filter_map(|entry| entry.owner.as_ref()).for_each(|owner| visit(&owner.text));
    }

    /// Takes out what a catalogue says of a name.
    pub(super) fn take(&mut self, name: &str) -> Option<Entry> {
        self.entries[*self.by_plain_name.get(&plain(name))?].take()
    }

    /// What nobody has taken, in the order of the files.
    pub(super) fn into_rest(self) -> impl Iterator<Item = Entry> {
        self.entries.into_iter().flatten()
    }
}

impl Entry {
    fn new(name: Word<'_>, rank: Rank, faults: &Faults<'_>) -> Entry {
        Entry {
            name: name.text.to_owned(),
            by: Arc::from(format!("{}:{} {}", faults.file_name(), name.at.line, name.text)),
            owner: None,
            criticality: None,
            runbook: None,
            aliases: Vec::new(),
            system: None,
            lifecycle: None,
            pagerduty: None,
            sentry: None,
            repository: None,
            rank,
            at: name.at,
            file: faults.file_name().to_owned(),
        }
    }
}

impl Said {
    fn new(text: &str, at: At, faults: &Faults<'_>) -> Said {
        Said { text: text.to_owned(), place: format!("{}:{}", faults.file_name(), at.line) }
    }

    /// `file:line name`.
    pub(super) fn by(&self, name: &str) -> Arc<str> {
        Arc::from(format!("{} {name}", self.place))
    }
}

/// Catalogues lie in folders of their own; what stands beside our own files is ours.
fn named<'f>(pattern: Word<'_>, files: &'f [SourceFile]) -> Vec<&'f SourceFile> {
    let parts = PathPattern::new(pattern.text);
    let is_foreign = |file: &&SourceFile| file.name.contains('/') && !file.is_of_tests();
    let fits = |file: &&SourceFile| parts.matches(&file.name.split('/').collect::<Vec<_>>());
    files.iter().filter(is_foreign).filter(fits).collect()
}

fn node_at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, key| match &node.kind {
        Kind::Map(entries) => entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.value),
        Kind::Null | Kind::Text(_) | Kind::List(_) => None,
    })
}

/// A text that is there and not empty.
fn text_at<'n>(node: &'n Node, path: &[&str]) -> Option<Word<'n>> {
    let node = node_at(node, path)?;
    match &node.kind {
        Kind::Text(text) if !text.trim().is_empty() => Some(Word { text: text.trim(), at: node.at }),
        Kind::Text(_) | Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// The first link that calls itself a runbook.
fn runbook(document: &Node, path: &[&str], faults: &Faults<'_>) -> Option<Said> {
    let Kind::List(links) = &node_at(document, path)?.kind else { return None };
    let is_runbook = |link: &&Node| {
        ["type", "title", "name"]
            .iter()
            .filter_map(|key| text_at(link, &[key]))
            .any(|word| word.text.to_ascii_lowercase().contains("runbook"))
    };
    let url = text_at(links.iter().find(is_runbook)?, &["url"])?;
    Some(Said::new(url.text, url.at, faults))
}
