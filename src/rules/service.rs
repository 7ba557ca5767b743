//! The registry of services: many spellings to one name, and that name to its owner. Never takes `unknown_service…`,
//! an address or a sentence for a service.

use std::sync::Arc;

use super::catalogue::{Catalogue, Codeowners, Entry, Said};
use super::cell::Cells;
use super::diagnostic::{At, Faults};
use super::glob::Glob;
use super::hash::FastMap;
use super::strip::{Strip, plain};
use super::suggest;
use super::table::{Table, Tables};
use super::walk::{self, Fields, Word};
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
    /// Each with the place that says so.
    pub(super) owner: Option<(Arc<str>, Arc<str>)>,
    pub(super) criticality: Option<(Arc<str>, Arc<str>)>,
    pub(super) runbook: Option<(Arc<str>, Arc<str>)>,
    /// The name and its exact aliases.
    pub(super) words: Vec<Box<str>>,
    /// The team that is told as well while the service moves to EKS.
    pub(super) partner: Option<Arc<str>>,
    /// Of a catalogue: the columns of the table `services` from `system` on.
    catalogued: [Option<Arc<str>>; 5],
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

pub(super) const CRITICALITIES: [&str; 4] = ["critical", "high", "medium", "low"];

/// What entries of our own may lean on.
pub(super) struct Sources<'s> {
    pub(super) catalogue: &'s mut Catalogue,
    pub(super) codeowners: Option<&'s Codeowners>,
}

impl Services {
    /// The partner of the service of that name.
    pub(super) fn partner_of(&self, service: &str) -> Option<&Arc<str>> {
        self.entries.get(*self.by_name.get(service)?)?.partner.as_ref()
    }

    pub(super) fn get(&self, service: usize) -> &Service {
        &self.entries[service]
    }

    /// Each service's owner, and what says so.
    pub(super) fn owners(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.entries.iter().filter_map(|service| service.owner.as_ref())
    }

    /// The one whose name or alias is the longest whole part of the given name; else the one spelled nearly so.
    pub(super) fn likely(&self, name: &str) -> Option<&Service> {
        const SURE_BYTES_MIN: usize = 4;
        let name = plain(name);
        let is_part = |word: &str| {
            word.len() >= SURE_BYTES_MIN
                && name.match_indices(word).any(|(at, _)| {
                    let ends = |character: Option<char>| character.is_none_or(|character| !character.is_alphanumeric());
                    ends(name[..at].chars().next_back()) && ends(name[at + word.len()..].chars().next())
                })
        };
        let parts = self.by_plain_name.iter().filter(|(word, _)| is_part(word));
        // Of equally long ones always the same.
        let longest = parts.max_by_key(|(word, _)| (word.len(), word.as_str())).map(|(_, at)| *at);
        let near = || {
            let word = suggest::nearest(&name, self.by_plain_name.keys().map(String::as_str))?;
            self.by_plain_name.get(word).copied()
        };
        Some(&self.entries[longest.or_else(near)?])
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

    /// Reads `teams` of one file. All files before any service: a team may stand in another file.
    pub(super) fn read_teams(&mut self, fields: &Fields<'_>, faults: &mut Faults<'_>) {
        let Some(node) = fields.get("teams") else { return };
        for entry in walk::entries(node, "`teams`", faults).unwrap_or_default() {
            if !matches!(entry.value.kind, Kind::Null) {
                Fields::read(&entry.value, "a team", &["about"], faults);
            }
            self.teams.push(Arc::from(entry.key.as_str()));
        }
    }

    /// A team of a catalogue; one that stands in our own files keeps its spelling.
    pub(super) fn adopt_team(&mut self, name: &str) -> Arc<str> {
        if let Some(team) = self.teams.iter().find(|team| team.eq_ignore_ascii_case(name)) {
            return Arc::clone(team);
        }
        let team: Arc<str> = Arc::from(name);
        self.teams.push(Arc::clone(&team));
        team
    }

    /// Reads `services`, `strip` and `class` of one file.
    pub(super) fn read(&mut self, fields: &Fields<'_>, sources: &mut Sources<'_>, faults: &mut Faults<'_>) {
        let by = |at: At, name: &str, faults: &Faults<'_>| -> Arc<str> {
            Arc::from(format!("{}:{} {name}", faults.file_name(), at.line))
        };
        if let Some(at) = fields.key_at("services") {
            self.unowned_by.get_or_insert_with(|| by(at, "services", faults));
        }
        for node in fields.list("services", faults) {
            self.read_service(node, sources, faults);
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

    fn read_service(&mut self, node: &Node, sources: &mut Sources<'_>, faults: &mut Faults<'_>) {
        const KEYS: [&str; 8] = ["name", "owner", "criticality", "aliases", "path", "partner", "runbook", "about"];
        let Some(fields) = Fields::read(node, "a service", &KEYS, faults) else { return };
        let Some(name) = fields.required("name", "a service", faults) else { return };
        let by = |at: At, faults: &Faults<'_>| -> Arc<str> {
            Arc::from(format!("{}:{} {}", faults.file_name(), at.line, name.text))
        };
        let number = self.entries.len();
        let mut service = Service::new(name.text, by(name.at, faults));
        let said = |word: Option<Word<'_>>| word.map(|word| (Arc::from(word.text), Arc::clone(&service.by)));
        let criticality = said(fields.one_of("criticality", &CRITICALITIES, faults));
        let runbook = said(fields.word("runbook", faults));
        (service.criticality, service.runbook) = (criticality, runbook);
        service.owner = fields.word("owner", faults).and_then(|owner| {
            let team = self.team(owner.text).cloned();
            if team.is_none() {
                let hint = suggest::hint(owner.text, self.teams());
                faults.error(owner.at, format!("unknown team `{}`", owner.text), hint);
            }
            team.map(|team| (team, by(fields.key_at("owner").unwrap_or(name.at), faults)))
        });
        service.partner = fields.word("partner", faults).and_then(|partner| {
            let team = self.team(partner.text).cloned();
            if team.is_none() {
                let hint = suggest::hint(partner.text, self.teams());
                faults.error(partner.at, format!("unknown team `{}`", partner.text), hint);
            }
            team
        });
        self.claim(name, number, &mut service.words, faults);
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
                        self.claim(alias, number, &mut service.words, faults);
                    }
                }
            }
        }
        // Number and entry belong together, also while a catalogue adds names.
        let catalogued: Vec<Entry> = service.words.iter().filter_map(|word| sources.catalogue.take(word)).collect();
        self.entries.push(service);
        for entry in catalogued {
            self.fill_in(number, entry);
        }
        self.own_by_path(number, &fields, sources.codeowners, faults);
    }

    /// What no entry and no catalogue knows, the owners of the code do.
    fn own_by_path(
        &mut self,
        number: usize,
        fields: &Fields<'_>,
        owners: Option<&Codeowners>,
        faults: &mut Faults<'_>,
    ) {
        if let Some(path) = fields.word("path", faults) {
            let Some(owners) = owners else {
                let hint = "name the file beside the teams: `codeowners: CODEOWNERS`".to_owned();
                faults.error(path.at, "a `path` needs a file of code owners", Some(hint));
                return;
            };
            if self.entries[number].owner.is_none()
                && let Some((names, line)) = owners.owners_of(path.text)
            {
                // The first that is a team; people stand in such files too.
                let known = |name: &&String| self.teams.iter().any(|team| team.eq_ignore_ascii_case(name));
                let name = names.iter().find(known).unwrap_or(&names[0]).clone();
                let team = self.adopt_team(&name);
                let by = format!("{}:{line} {}", owners.file, self.entries[number].name);
                self.entries[number].owner = Some((team, Arc::from(by)));
            }
        } else if self.entries[number].owner.is_none() && fields.get("owner").is_none() {
            let hint = "a team of `teams`, or a catalogue of `import` that knows the service".to_owned();
            fields.missing("owner", "a service", Some(hint), faults);
        }
    }

    /// Services that only a catalogue knows.
    pub(super) fn import(&mut self, catalogue: Catalogue) {
        for entry in catalogue.into_rest() {
            let number = self.entries.len();
            let mut service = Service::new(&entry.name, Arc::clone(&entry.by));
            if self.claim_free(&entry.name, number, &mut service.words) {
                self.entries.push(service);
                self.fill_in(number, entry);
            }
        }
    }

    /// What our own files do not say of a service, its catalogue does.
    fn fill_in(&mut self, number: usize, entry: Entry) {
        let owner = entry.owner.as_ref().map(|owner| (self.adopt_team(&owner.text), owner.by(&entry.name)));
        let mut words = std::mem::take(&mut self.entries[number].words);
        for alias in [&entry.name].into_iter().chain(&entry.aliases) {
            // A tool's label may stand on several things; then it names none of them.
            self.claim_free(alias, number, &mut words);
        }
        let shared =
            |said: &Option<Said>| said.as_ref().map(|said| (Arc::from(said.text.as_str()), said.by(&entry.name)));
        let service = &mut self.entries[number];
        service.words = words;
        service.owner = service.owner.take().or(owner);
        service.criticality = service.criticality.take().or_else(|| shared(&entry.criticality));
        service.runbook = service.runbook.take().or_else(|| shared(&entry.runbook));
        let facts = [entry.system, entry.lifecycle, entry.pagerduty, entry.sentry, entry.repository];
        for (held, fact) in service.catalogued.iter_mut().zip(facts) {
            *held = held.take().or_else(|| fact.map(Arc::from));
        }
    }

    fn claim_free(&mut self, text: &str, service: usize, words: &mut Vec<Box<str>>) -> bool {
        let is_free = !self.by_name.contains_key(text);
        if is_free {
            self.by_name.insert(text.into(), service);
            self.by_plain_name.entry(plain(text)).or_insert(service);
            words.push(text.into());
        }
        is_free
    }

    /// Gives a spelling to a service, unless another has it.
    fn claim(&mut self, word: Word<'_>, service: usize, words: &mut Vec<Box<str>>, faults: &mut Faults<'_>) {
        if let Some(taken) = self.by_name.get(word.text) {
            let owner = self.entries.get(*taken).map_or("this service", |entry| entry.name.as_ref());
            faults.error(word.at, format!("`{}` already means service `{owner}`", word.text), None);
            return;
        }
        self.claim_free(word.text, service, words);
    }

    /// Tables `teams` and `services`, for rules that ask whether a label names one.
    pub(super) fn add_tables(&self, tables: &mut Tables) {
        let mut teams = Table::new("teams", "teams", &["name"]);
        for team in &self.teams {
            let row = teams.add_row(vec![Some(Arc::clone(team))]);
            teams.add_key(Arc::clone(team), row);
        }
        const COLUMNS: [&str; 9] =
            ["name", "owner", "criticality", "partner", "system", "lifecycle", "pagerduty", "sentry", "repository"];
        let mut services = Table::new("services", "services", &COLUMNS);
        for service in &self.entries {
            let value = |said: &Option<(Arc<str>, Arc<str>)>| said.as_ref().map(|(value, _)| Arc::clone(value));
            let mut cells = vec![Some(Arc::clone(&service.name)), value(&service.owner), value(&service.criticality)];
            cells.push(service.partner.clone());
            cells.extend(service.catalogued.iter().cloned());
            let row = services.add_row(cells);
            for word in &service.words {
                services.add_key(Arc::from(word.as_ref()), row);
            }
        }
        tables.add(teams);
        tables.add(services);
    }

    /// The words of cells, environments and regions are known only when all files are read.
    pub(super) fn finish(&mut self, cells: &Cells) {
        self.strip.finish(cells);
    }
}

impl Service {
    fn new(name: &str, by: Arc<str>) -> Service {
        Service {
            name: Arc::from(name),
            by,
            owner: None,
            criticality: None,
            runbook: None,
            words: Vec::new(),
            partner: None,
            catalogued: Default::default(),
        }
    }
}

/// Longer names are prose or an accident.
const SERVICE_BYTES_MAX: usize = 128;

/// Starts with a letter or digit, has a letter, and nothing that names do not have. A host and port is no service.
fn looks_like_a_service(raw: &str) -> bool {
    raw.chars().next().is_some_and(char::is_alphanumeric)
        && raw.chars().any(char::is_alphabetic)
        && raw.chars().all(|character| character.is_alphanumeric() || "-_./@".contains(character))
}
