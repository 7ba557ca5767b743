//! Files to a program: registries and tables first, then the rules that use them. Collects every fault that it can
//! find and gives a program only when there is none.

use std::sync::Arc;

use super::SourceFile;
use super::alerts::AlertSets;
use super::ballot::{Witnesses, is_voter};
use super::catalogue::{Catalogue, Codeowners};
use super::cell::{CellTables, Cells};
use super::condition::Reading;
use super::decide::Program;
use super::diagnostic::{At, Diagnostic, DiagnosticSeverity, Faults};
use super::facts::{Asker, Keys};
use super::index::Index;
use super::look::Looks;
use super::route::RouteRule;
use super::rule::{Ids, Rule};
use super::service::{Services, Sources};
use super::silence::Silence;
use super::suggest;
use super::table::Tables;
use super::value::Values;
use super::walk::Fields;
use super::yaml::{self, Kind as NodeKind, Node};

/// In the order of evaluation: each kind sees what the kinds before it set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Platform,
    Cells,
    Services,
    Routes,
    Alerts,
    Silences,
}

const KINDS: [(Kind, &str, &[&str]); 6] = [
    (Kind::Platform, "platform", &["version", "kind", "tables", "pods_ipv6_only", "rules"]),
    (Kind::Cells, "cells", &["version", "kind", "tables", "environments", "cells", "rules"]),
    (Kind::Services, "services", &SERVICES_KEYS),
    (Kind::Routes, "routes", &["version", "kind", "tables", "routes"]),
    (Kind::Alerts, "alerts", &["version", "kind", "tables", "alerts"]),
    (Kind::Silences, "silences", &["version", "kind", "tables", "silences"]),
];

const SERVICES_KEYS: [&str; 10] =
    ["version", "kind", "tables", "import", "codeowners", "teams", "services", "strip", "class", "rules"];

/// What a file for platforms may declare about the company's networks: `field.pods_ipv6_only` is then `true`.
const PODS_IPV6_ONLY: &str = "pods_ipv6_only";

/// A file whose head is understood.
struct Document<'f> {
    kind: Kind,
    root: Node,
    faults: Faults<'f>,
}

impl<'f> Document<'f> {
    fn parts(&mut self) -> Option<(Kind, Fields<'_>, &mut Faults<'f>)> {
        let fields = Fields::unchecked(&self.root, "a rule file", &mut self.faults)?;
        Some((self.kind, fields, &mut self.faults))
    }
}

/// A program and its warnings, or at least one error.
pub(super) fn compile(files: &[SourceFile]) -> Result<(Program, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut documents: Vec<Document<'_>> = Vec::new();
    for file in files.iter().filter(|file| is_rule_file(&file.name)) {
        let mut faults = Faults::new(file);
        match open(file, &mut faults) {
            Some((kind, root)) => documents.push(Document { kind, root, faults }),
            None => found.extend(faults.into_found()),
        }
    }
    documents.sort_by(|left, right| (left.kind, left.faults.file_name()).cmp(&(right.kind, right.faults.file_name())));

    let (values, tables) = read_registries(&mut documents, files, &mut found);
    let program = read_rules(&mut documents, values, tables);
    if program.routes.is_empty() && found.is_empty() && !documents.iter().any(|document| document.kind == Kind::Routes)
    {
        found.push(no_routes(files));
    }
    found.extend(documents.into_iter().flat_map(|document| document.faults.into_found()));
    found.sort_by(|left, right| (&left.file, left.line, left.column).cmp(&(&right.file, right.line, right.column)));
    match found.iter().any(|fault| fault.severity == DiagnosticSeverity::Error) {
        true => Err(found),
        false => Ok((program, found)),
    }
}

/// What lies in folders is a story or a catalogue of somebody else's.
pub(super) fn is_rule_file(name: &str) -> bool {
    (name.ends_with(".yaml") || name.ends_with(".yml")) && !name.contains('/')
}

/// Reads the head of a file: its version and its kind.
fn open(file: &SourceFile, faults: &mut Faults<'_>) -> Option<(Kind, Node)> {
    let root = match yaml::read(&file.text, faults) {
        Some(root) => root,
        None => {
            if faults.error_count() == 0 {
                let hint = "start it with `version: 1` and `kind: …`, or remove it".to_owned();
                faults.error(At::START, "the file is empty", Some(hint));
            }
            return None;
        }
    };
    if matches!(root.kind, NodeKind::Null) {
        faults.error(At::START, "the file is empty", None);
        return None;
    }
    // Only the head here; the other keys depend on the kind.
    let head = Fields::unchecked(&root, "a rule file", faults)?;
    match head.required("version", "a rule file", faults) {
        Some(version) if version.text != "1" => {
            let hint = "this program reads `version: 1`".to_owned();
            faults.error(version.at, format!("unknown version `{}`", version.text), Some(hint));
        }
        Some(_) | None => {}
    }
    let word = head.required("kind", "a rule file", faults)?;
    let Some((kind, _, known)) = KINDS.iter().find(|(_, name, _)| *name == word.text) else {
        let hint = suggest::hint(word.text, KINDS.iter().map(|(_, name, _)| *name));
        faults.error(word.at, format!("unknown kind `{}`", word.text), hint);
        return None;
    };
    Fields::read(&root, "a rule file", known, faults)?;
    Some((*kind, root))
}

fn read_registries(
    documents: &mut [Document<'_>],
    files: &[SourceFile],
    elsewhere: &mut Vec<Diagnostic>,
) -> (Values, Tables) {
    let mut cells = Cells::default();
    let mut cell_tables = CellTables::new();
    for (_, fields, faults) in parts_of(documents, Kind::Cells) {
        cells.read(&fields, &mut cell_tables, faults);
    }
    let mut services = read_services(documents, files, elsewhere);
    services.finish(&cells);
    let mut tables = Tables::default();
    cell_tables.add_to(&mut tables);
    services.add_tables(&mut tables);
    for (_, fields, faults) in documents.iter_mut().filter_map(Document::parts) {
        if let Some(section) = fields.get("tables") {
            tables.read(section, files, faults, elsewhere);
        }
    }
    (Values::new(cells, services), tables)
}

fn parts_of<'d, 'f: 'd>(
    documents: &'d mut [Document<'f>],
    kind: Kind,
) -> impl Iterator<Item = (Kind, Fields<'d>, &'d mut Faults<'f>)> {
    documents.iter_mut().filter(move |document| document.kind == kind).filter_map(Document::parts)
}

/// Our own teams first, then what catalogues know, then our own services, which may lean on both.
fn read_services(documents: &mut [Document<'_>], files: &[SourceFile], elsewhere: &mut Vec<Diagnostic>) -> Services {
    let mut services = Services::default();
    let mut catalogue = Catalogue::default();
    let mut codeowners = None;
    for (_, fields, faults) in parts_of(documents, Kind::Services) {
        services.read_teams(&fields, faults);
        catalogue.import(&fields, files, faults, elsewhere);
        read_codeowners(&fields, files, &mut codeowners, faults, elsewhere);
    }
    for team in std::mem::take(&mut catalogue.teams) {
        services.adopt_team(&team);
    }
    catalogue.visit_owners(|owner| {
        services.adopt_team(owner);
    });
    for (_, fields, faults) in parts_of(documents, Kind::Services) {
        let mut sources = Sources { catalogue: &mut catalogue, codeowners: codeowners.as_ref() };
        services.read(&fields, &mut sources, faults);
    }
    services.import(catalogue);
    services
}

fn read_codeowners(
    fields: &Fields<'_>,
    files: &[SourceFile],
    held: &mut Option<Codeowners>,
    faults: &mut Faults<'_>,
    elsewhere: &mut Vec<Diagnostic>,
) {
    let Some(name) = fields.word("codeowners", faults) else { return };
    if let Some(held) = held {
        faults.error(name.at, "a second file of code owners", Some(format!("`{}` is named already", held.file)));
        return;
    }
    let Some(file) = files.iter().find(|file| file.name == name.text) else {
        let hint = "copy or mount it into the folder of the rules; its file name is `CODEOWNERS`".to_owned();
        faults.error(name.at, format!("no file `{}` beside the rules", name.text), Some(hint));
        return;
    };
    let mut foreign = Faults::new(file);
    *held = Some(Codeowners::read(file, &mut foreign));
    elsewhere.extend(foreign.into_found());
}

fn read_rules(documents: &mut [Document<'_>], values: Values, tables: Tables) -> Program {
    let mut keys = Keys::new();
    let mut ids = Ids::default();
    let (mut rules, mut routes, mut silences) = (Vec::new(), Vec::new(), Vec::new());
    let mut unknown_by: Option<Arc<str>> = None;
    let mut alerts = AlertSets::new();
    let mut reading = Reading { keys: &mut keys, tables: &tables };
    for (kind, fields, faults) in documents.iter_mut().filter_map(Document::parts) {
        if let (Kind::Platform, Some(at)) = (kind, fields.key_at("rules")) {
            unknown_by.get_or_insert_with(|| Arc::from(format!("{}:{} rules", faults.file_name(), at.line)));
        }
        if fields.one_of(PODS_IPV6_ONLY, &["true", "false"], faults).is_some_and(|word| word.text == "true") {
            reading.keys.declare(PODS_IPV6_ONLY);
        }
        for node in fields.list("rules", faults) {
            rules.extend(Rule::read(node, &mut reading, &values, &mut ids, faults));
        }
        alerts.read(&fields, &tables, &mut ids, faults);
        reading.keys.asked_by(Asker::Anyone);
        let nodes = fields.list("routes", faults);
        let before = faults.error_count();
        let read: Vec<_> =
            nodes.iter().map(|node| RouteRule::read(node, &mut reading, &values.services, &mut ids, faults)).collect();
        if kind == Kind::Routes && faults.error_count() == before {
            let routes_at = fields.key_at("routes").unwrap_or(At::START);
            check_order(&read, nodes, routes_at, faults);
        }
        routes.extend(read.into_iter().flatten());
        for node in fields.list("silences", faults) {
            silences.extend(Silence::read(node, &mut reading, &mut ids, faults));
        }
    }
    // Stable: within each part the order of the files stays.
    rules.sort_by_key(|rule| !is_voter(rule));
    let voter_count = rules.iter().filter(|rule| is_voter(rule)).count();
    let witnesses = Witnesses::new(&mut keys, &tables);
    let unknown_by = unknown_by.unwrap_or_else(|| Arc::clone(&values.unknown));
    let index = Index::new(rules.iter().map(|rule| &rule.when), keys.len());
    let route_index = Index::new(routes.iter().map(|route| &route.when), keys.len());
    let routes_ask_class = routes.iter().any(RouteRule::asks_class);
    let alerts = alerts.finish();
    let shadows = Program::shadows_of(&rules);
    let existing = rules.iter().filter_map(|rule| Some((Arc::clone(&rule.by), rule.existing?))).collect();
    let looks = Looks::new(&rules, &routes, &witnesses, keys.len());
    Program {
        keys,
        tables,
        values,
        rules,
        voter_count,
        witnesses,
        unknown_by,
        index,
        looks,
        shadows,
        existing,
        routes,
        route_index,
        routes_ask_class,
        alerts,
        silences,
    }
}

/// The last route takes what no other takes; routes behind such a route are never asked.
fn check_order(routes: &[Option<RouteRule>], nodes: &[Node], routes_at: At, faults: &mut Faults<'_>) {
    let matches_everything = |route: &Option<RouteRule>| route.as_ref().is_some_and(RouteRule::matches_everything);
    let hint = "end the list with a route that has `when: {}`, so that no alert is dropped".to_owned();
    match routes.iter().position(matches_everything) {
        None => {
            let at = nodes.last().map_or(routes_at, |node| node.at);
            faults.error(at, "the last route must match everything", Some(hint));
        }
        Some(first) if first + 1 < nodes.len() => {
            faults.warning(
                nodes[first + 1].at,
                "this route is never asked",
                Some(format!("the route on line {} matches everything", nodes[first].at.line)),
            );
        }
        Some(_) => {}
    }
}

fn no_routes(files: &[SourceFile]) -> Diagnostic {
    Diagnostic {
        file: files.first().map_or("routes.yaml", |file| &file.name).to_owned(),
        line: 1,
        column: 1,
        severity: DiagnosticSeverity::Error,
        message: "no file of `kind: routes`: nobody would be told".to_owned(),
        hint: Some("add `routes.yaml` with one route that has `when: {}`".to_owned()),
        source_line: String::new(),
    }
}
