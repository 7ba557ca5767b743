//! The registry of services: many spellings to one name, and that name to its owner. Never takes `unknown_service…`,
//! an address or a sentence for a service.

use std::sync::Arc;

use super::cell::Cells;
use super::diagnostic::{At, Faults};
use super::glob::Glob;
use super::hash::FastMap;
use super::suggest;
use super::table::{Table, Tables};
use super::walk::{self, Fields};
use super::yaml::{Kind, Node};

#[derive(Debug, Default)]
pub(super) struct Services {
    entries: Vec<Service>,
    /// Names and exact aliases, as written.
    by_name: FastMap<Box<str>, usize>,
    /// The same in lower case with `-` for `_`.
    by_plain_name: FastMap<String, usize>,
    globs: Vec<(Glob, usize)>,
    teams: Vec<Arc<str>>,
    strip: Strip,
    /// Words that say where and never what, in alert names.
    pub(super) place_words: Vec<Box<str>>,
    /// What says `unowned`: the registry that does not know the service.
    pub(super) unowned_by: Option<Arc<str>>,
    pub(super) class_by: Option<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: Arc<str>,
    pub(super) by: Arc<str>,
    pub(super) owner: Option<(Arc<str>, Arc<str>)>,
    pub(super) runbook: Option<Arc<str>>,
    /// The name and its exact aliases.
    pub(super) words: Vec<Box<str>>,
}

#[derive(Debug, Default)]
struct Strip {
    prefixes: Vec<Box<str>>,
    suffixes: Vec<Box<str>>,
    words: Vec<Box<str>>,
    parts: Vec<Box<str>>,
}

/// How a raw name became a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    Name,
    Alias,
    Glob,
    /// After cutting off what says where this copy runs.
    Stripped,
    /// Not registered, but it looks like the name of a service.
    Unregistered,
}

const PARTS: [&str; 4] = ["env", "cell", "region", "pod"];

impl Services {
    pub(super) fn get(&self, service: usize) -> &Service {
        &self.entries[service]
    }

    pub(super) fn team(&self, name: &str) -> Option<&Arc<str>> {
        self.teams.iter().find(|team| team.as_ref() == name)
    }

    pub(super) fn teams(&self) -> impl Iterator<Item = &str> + Clone {
        self.teams.iter().map(AsRef::as_ref)
    }

    /// The registered service, if any, and how it was found; `None` for what is no service's name.
    pub(super) fn resolve(&self, raw: &str) -> Option<(Option<usize>, Match)> {
        if let Some(found) = self.look_up(raw) {
            return Some((Some(found.0), found.1));
        }
        if raw.len() > SERVICE_BYTES_MAX || raw.starts_with("unknown_service") {
            return None;
        }
        if let Some(service) = self.look_up_stripped(raw) {
            return Some((Some(service), Match::Stripped));
        }
        looks_like_a_service(raw).then_some((None, Match::Unregistered))
    }

    fn look_up(&self, name: &str) -> Option<(usize, Match)> {
        if let Some(at) = self.by_name.get(name) {
            let how = if self.entries[*at].name.as_ref() == name { Match::Name } else { Match::Alias };
            return Some((*at, how));
        }
        self.globs.iter().find(|(glob, _)| glob.matches(name)).map(|(_, at)| (*at, Match::Glob))
    }

    /// Cuts one affix at a time, so that the longest remainder that is known wins: `owl-service-prod` is
    /// `owl-service`, although `-service` could be cut as well.
    fn look_up_stripped(&self, raw: &str) -> Option<usize> {
        let plain = plain(raw);
        let mut rest = plain.as_str();
        loop {
            if let Some(at) = self.by_plain_name.get(rest) {
                return Some(*at);
            }
            rest = self.strip.cut(rest)?;
            if let Some((at, _)) = self.look_up(rest) {
                return Some(at);
            }
        }
    }

    /// Reads `teams`, `services`, `strip` and `class` of one file.
    pub(super) fn read(&mut self, fields: &Fields<'_>, faults: &mut Faults<'_>) {
        if let Some(node) = fields.get("teams") {
            for entry in walk::entries(node, "`teams`", faults).unwrap_or_default() {
                if !matches!(entry.value.kind, Kind::Null) {
                    Fields::read(&entry.value, "a team", &["about"], faults);
                }
                self.teams.push(Arc::from(entry.key.as_str()));
            }
        }
        let by = |at: At, name: &str, faults: &Faults<'_>| -> Arc<str> {
            Arc::from(format!("{}:{} {name}", faults.file_name(), at.line))
        };
        if let Some(at) = fields.key_at("services") {
            self.unowned_by.get_or_insert_with(|| by(at, "services", faults));
        }
        for node in fields.list("services", faults) {
            self.read_service(node, faults);
        }
        if let Some(node) = fields.get("strip")
            && let Some(strip) = Fields::read(node, "`strip`", &["prefixes", "suffixes", "words", "parts"], faults)
        {
            self.strip.read(&strip, faults);
        }
        if let Some(node) = fields.get("class")
            && let Some(class) = Fields::read(node, "`class`", &["strip"], faults)
        {
            self.place_words.extend(class.words("strip", faults).iter().map(|word| Box::from(word.text)));
            self.class_by = fields.key_at("class").map(|at| by(at, "class", faults));
        }
    }

    fn read_service(&mut self, node: &Node, faults: &mut Faults<'_>) {
        const KEYS: [&str; 6] = ["name", "owner", "criticality", "aliases", "runbook", "about"];
        const CRITICALITIES: [&str; 4] = ["critical", "high", "medium", "low"];
        let Some(fields) = Fields::read(node, "a service", &KEYS, faults) else { return };
        let Some(name) = fields.required("name", "a service", faults) else { return };
        let by = |at: At| -> Arc<str> { Arc::from(format!("{}:{} {}", faults.file_name(), at.line, name.text)) };
        let (service_by, owner_by) = (by(name.at), by(fields.key_at("owner").unwrap_or(name.at)));
        fields.one_of("criticality", &CRITICALITIES, faults);
        let owner = fields.required("owner", "a service", faults).and_then(|owner| {
            let team = self.team(owner.text).cloned();
            if team.is_none() {
                let hint = suggest::hint(owner.text, self.teams());
                faults.error(owner.at, format!("unknown team `{}`", owner.text), hint);
            }
            team.map(|team| (team, owner_by))
        });
        let runbook = fields.word("runbook", faults).map(|word| Arc::from(word.text));
        let number = self.entries.len();
        let mut words = Vec::new();
        self.claim(name, number, &mut words, faults);
        for alias in fields.list("aliases", faults) {
            match &alias.kind {
                Kind::Map(_) => {
                    if let Some(glob) = Fields::read(alias, "an alias", &["glob"], faults)
                        .and_then(|fields| fields.required("glob", "an alias", faults))
                    {
                        self.globs.push((Glob::new(glob.text), number));
                    }
                }
                Kind::Null | Kind::Text(_) | Kind::List(_) => {
                    if let Some(alias) = walk::word(alias, "an alias", faults) {
                        self.claim(alias, number, &mut words, faults);
                    }
                }
            }
        }
        self.entries.push(Service { name: Arc::from(name.text), by: service_by, owner, runbook, words });
    }

    /// Gives a spelling to a service, unless another has it.
    fn claim(&mut self, word: walk::Word<'_>, service: usize, words: &mut Vec<Box<str>>, faults: &mut Faults<'_>) {
        if let Some(taken) = self.by_name.get(word.text) {
            let owner = self.entries.get(*taken).map_or("this service", |entry| entry.name.as_ref());
            faults.error(word.at, format!("`{}` already means service `{owner}`", word.text), None);
            return;
        }
        self.by_name.insert(word.text.into(), service);
        self.by_plain_name.entry(plain(word.text)).or_insert(service);
        words.push(word.text.into());
    }

    /// Tables `teams` and `services`, for rules that ask whether a label names one.
    pub(super) fn add_tables(&self, tables: &mut Tables) {
        let mut teams = Table::new("teams", "teams", &["name"]);
        for team in &self.teams {
            let row = teams.add_row(vec![Some(Arc::clone(team))]);
            teams.add_key(Arc::clone(team), row);
        }
        let mut services = Table::new("services", "services", &["name", "owner"]);
        for service in &self.entries {
            let owner = service.owner.as_ref().map(|(owner, _)| Arc::clone(owner));
            let row = services.add_row(vec![Some(Arc::clone(&service.name)), owner]);
            for word in &service.words {
                services.add_key(Arc::from(word.as_ref()), row);
            }
        }
        tables.add(teams);
        tables.add(services);
    }

    /// The words of cells, environments and regions are known only when all files are read.
    pub(super) fn finish(&mut self, cells: &Cells) {
        for part in std::mem::take(&mut self.strip.parts) {
            self.strip.words.extend(cells.words(&part));
            if part.as_ref() == "pod" {
                self.strip.parts.push(part);
            }
        }
        self.strip.words.iter_mut().for_each(|word| *word = plain(word).into());
        // The longest first, so that `prod-use1-c2` goes as one word and not piece by piece.
        self.strip.words.sort_by(|left, right| right.len().cmp(&left.len()).then_with(|| left.cmp(right)));
        self.strip.words.dedup();
    }
}

impl Strip {
    /// `None` when nothing can be cut.
    fn cut<'t>(&self, text: &'t str) -> Option<&'t str> {
        let rest = self
            .words
            .iter()
            .find_map(|word| cut_word(text, word))
            .or_else(|| self.parts.iter().find_map(|_| cut_pod_hash(text)))
            .or_else(|| self.suffixes.iter().find_map(|suffix| text.strip_suffix(&**suffix)))
            .or_else(|| self.prefixes.iter().find_map(|prefix| text.strip_prefix(&**prefix)))?;
        (!rest.is_empty()).then_some(rest)
    }

    fn read(&mut self, fields: &Fields<'_>, faults: &mut Faults<'_>) {
        let mut read =
            |key: &str| -> Vec<Box<str>> { fields.words(key, faults).iter().map(|word| word.text.into()).collect() };
        self.prefixes.extend(read("prefixes"));
        self.suffixes.extend(read("suffixes"));
        self.words.extend(read("words"));
        for part in fields.words("parts", faults) {
            if PARTS.contains(&part.text) {
                self.parts.push(part.text.into());
            } else {
                let hint = suggest::hint(part.text, PARTS);
                faults.error(part.at, format!("unknown part `{}`", part.text), hint);
            }
        }
    }
}

/// Longer names are prose or an accident.
const SERVICE_BYTES_MAX: usize = 128;

fn plain(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

/// A word at either end, set off by a dash or a dot.
fn cut_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let set_off = ['-', '.', '/'];
    text.strip_suffix(word)
        .and_then(|rest| rest.strip_suffix(set_off))
        .or_else(|| text.strip_prefix(word).and_then(|rest| rest.strip_prefix(set_off)))
}

/// `-7d4b9c8f6d-x2x9z` at the end of a Deployment's pod: Kubernetes' alphabet has no vowels, so that no word is cut.
fn cut_pod_hash(text: &str) -> Option<&str> {
    let is_safe = |part: &str| part.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    let (rest, pod) = text.rsplit_once('-')?;
    let (name, template) = rest.rsplit_once('-')?;
    // The hash of the template is a number in that alphabet; before Kubernetes 1.8 it was a plain number.
    let is_template =
        (8..=10).contains(&template.len()) && (is_safe(template) || template.bytes().all(|byte| byte.is_ascii_digit()));
    (pod.len() == 5 && is_safe(pod) && is_template).then_some(name)
}

/// Starts with a letter or digit, has a letter, and nothing that names do not have. A host and port is no service.
fn looks_like_a_service(raw: &str) -> bool {
    raw.chars().next().is_some_and(char::is_alphanumeric)
        && raw.chars().any(char::is_alphabetic)
        && raw.chars().all(|character| character.is_alphanumeric() || "-_./@".contains(character))
}
