//! The registry of cells and the words for environments. Never invents a cell: an id that is not registered becomes
//! `unknown`.

use std::sync::Arc;

use super::arn::Arn;
use super::diagnostic::Faults;
use super::hash::FastMap;
use super::suggest;
use super::table::{ClusterColumns, Table, Tables};
use super::walk::{self, Fields, Word};
use super::yaml::Node;

#[derive(Debug, Default)]
pub(super) struct Cells {
    cells: Vec<Cell>,
    /// Ids and aliases.
    by_name: FastMap<Box<str>, usize>,
    environments: Vec<Environment>,
    regions: Vec<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Cell {
    pub(super) id: Arc<str>,
    /// The id and its aliases.
    pub(super) words: Vec<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Environment {
    pub(super) name: Arc<str>,
    /// The name and its aliases.
    pub(super) words: Vec<Box<str>>,
}

const CELL_KEYS: [&str; 12] = [
    "id",
    "kind",
    "env",
    "region",
    "account",
    "wave",
    "share",
    "clusters",
    "evacuation",
    "state",
    "contacts",
    "aliases",
];
const KINDS: [&str; 4] = ["shard", "zone", "dc", "tenant"];
const STATES: [&str; 4] = ["active", "draining", "drained", "building"];
/// Columns of the tables of cells.
const COLUMNS: [&str; 12] = [
    "id",
    "kind",
    "env",
    "region",
    "account",
    "wave",
    "share",
    "evacuation",
    "state",
    "contacts",
    "cluster",
    "platform",
];
const REGION_COLUMN: usize = 3;
const ACCOUNT_COLUMN: usize = 4;
const CLUSTER_COLUMN: usize = 10;
const PLATFORM_COLUMN: usize = 11;

impl Cells {
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Cell> {
        self.by_name.get(name).map(|at| &self.cells[*at])
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> + Clone {
        self.cells.iter().map(|cell| cell.id.as_ref())
    }

    pub(super) fn environment(&self, word: &str) -> Option<&Environment> {
        let is_meant = |known: &str| known.eq_ignore_ascii_case(word);
        self.environments.iter().find(|environment| environment.words.iter().any(|known| is_meant(known)))
    }

    /// Words that may be glued to a service's name to say where this copy runs.
    pub(super) fn words(&self, part: &str) -> Vec<Box<str>> {
        match part {
            "env" => self.environments.iter().flat_map(|environment| environment.words.clone()).collect(),
            "cell" => self.cells.iter().flat_map(|cell| cell.words.clone()).collect(),
            "region" => self.regions.iter().flat_map(|region| [region.clone(), short_region(region).into()]).collect(),
            _ => Vec::new(),
        }
    }

    /// Reads `environments` and `cells` of one file, and adds to the tables of cells and of clusters.
    pub(super) fn read(&mut self, fields: &Fields<'_>, tables: &mut CellTables, faults: &mut Faults<'_>) {
        if let Some(node) = fields.get("environments") {
            self.read_environments(node, faults);
        }
        for node in fields.list("cells", faults) {
            self.read_cell(node, tables, faults);
        }
    }

    fn read_environments(&mut self, node: &Node, faults: &mut Faults<'_>) {
        for entry in walk::entries(node, "`environments`", faults).unwrap_or_default() {
            let aliases = walk::words(&entry.value, "an alias", faults);
            let mut words: Vec<Box<str>> = vec![entry.key.as_str().into()];
            for alias in aliases {
                if let Some(other) = self.environment(alias.text) {
                    let message = format!("`{}` already means `{}`", alias.text, other.name);
                    faults.error(alias.at, message, None);
                } else if !words.iter().any(|word| **word == *alias.text) {
                    words.push(alias.text.into());
                }
            }
            self.environments.push(Environment { name: Arc::from(entry.key.as_str()), words });
        }
    }

    fn read_cell(&mut self, node: &Node, tables: &mut CellTables, faults: &mut Faults<'_>) {
        let Some(fields) = Fields::read(node, "a cell", &CELL_KEYS, faults) else { return };
        let Some(id) = fields.required("id", "a cell", faults) else { return };
        let environment = fields.word("env", faults);
        if let Some(word) = environment
            && !self.environments.is_empty()
            && !self.environments.iter().any(|environment| *environment.name == *word.text)
        {
            let hint = suggest::hint(word.text, self.environments.iter().map(|environment| environment.name.as_ref()));
            faults.error(word.at, format!("unknown environment `{}`", word.text), hint);
        }
        let mut text = |key: &str| fields.word(key, faults).map(|word| Arc::from(word.text));
        let (region, account, evacuation): (Option<Arc<str>>, _, _) =
            (text("region"), text("account"), text("evacuation"));
        let contacts: Vec<&str> = fields.words("contacts", faults).iter().map(|word| word.text).collect();
        let contacts = (!contacts.is_empty()).then(|| Arc::from(contacts.join(", ")));
        let kind = fields.one_of("kind", &KINDS, faults).map(|word| Arc::from(word.text));
        let state = fields.one_of("state", &STATES, faults).map(|word| Arc::from(word.text));
        let wave = read_number(&fields, "wave", |number| number >= 0.0 && number.fract() == 0.0, faults);
        let share = read_number(&fields, "share", |number| (0.0..=1.0).contains(&number), faults);
        if let Some(region) = &region
            && !self.regions.iter().any(|known| **known == **region)
        {
            self.regions.push(region.as_ref().into());
        }
        let id_text: Arc<str> = Arc::from(id.text);
        let environment = environment.map(|word| Arc::from(word.text));
        let row = vec![
            Some(Arc::clone(&id_text)),
            kind,
            environment,
            region,
            account,
            wave,
            share,
            evacuation,
            state,
            contacts,
            None,
            None,
        ];
        let number = self.cells.len();
        let cells_row = tables.cells.add_row(row.clone());
        if let Some(account) = &row[ACCOUNT_COLUMN] {
            let accounts_row = tables.accounts.add_row(row.clone());
            tables.accounts.add_row_of(Arc::clone(account), accounts_row);
        }
        let mut words: Vec<Box<str>> = Vec::new();
        for name in std::iter::once(id).chain(fields.words("aliases", faults)) {
            if let Some(other) = self.find(name.text) {
                faults.error(name.at, format!("`{}` already means cell `{}`", name.text, other.id), None);
                continue;
            }
            self.by_name.insert(name.text.into(), number);
            tables.cells.add_key(Arc::from(name.text), cells_row);
            words.push(name.text.into());
        }
        self.cells.push(Cell { id: id_text, words });
        if let Some(clusters) = fields.get("clusters") {
            read_clusters(clusters, &row, &mut tables.clusters, faults);
        }
    }
}

/// The table of clusters, by name.
pub(super) const CLUSTERS: &str = "cells.clusters";
/// Where it says which cluster it means.
pub(super) const CLUSTER_PLACE: [usize; 3] = [REGION_COLUMN, ACCOUNT_COLUMN, PLATFORM_COLUMN];

/// The tables that the registry of cells gives to rules.
pub(super) struct CellTables {
    cells: Table,
    clusters: Table,
    accounts: Table,
}

impl CellTables {
    pub(super) fn new() -> CellTables {
        CellTables {
            cells: Table::new("cells", "cells", &COLUMNS),
            clusters: Table::new(CLUSTERS, "cells", &COLUMNS)
                .of_clusters(ClusterColumns { region: REGION_COLUMN, account: ACCOUNT_COLUMN }),
            accounts: Table::new("cells.accounts", "cells", &COLUMNS),
        }
    }

    pub(super) fn add_to(self, tables: &mut Tables) {
        tables.add(self.cells);
        tables.add(self.clusters);
        tables.add(self.accounts);
    }
}

/// `{ eks: [names], ecs: [names] }`.
fn read_clusters(node: &Node, row: &[Option<Arc<str>>], clusters: &mut Table, faults: &mut Faults<'_>) {
    const PLATFORMS: [&str; 3] = ["ecs", "eks", "k8s"];
    for entry in walk::entries(node, "`clusters`", faults).unwrap_or_default() {
        if !PLATFORMS.contains(&entry.key.as_str()) {
            let hint = suggest::hint(&entry.key, PLATFORMS);
            faults.error(entry.key_at, format!("unknown platform `{}`", entry.key), hint);
            continue;
        }
        for word in walk::words(&entry.value, "a cluster", faults) {
            let mut row = row.to_vec();
            let Some(name) = read_cluster(word, &mut row, faults) else { continue };
            let name: Arc<str> = Arc::from(name);
            row[CLUSTER_COLUMN] = Some(Arc::clone(&name));
            row[PLATFORM_COLUMN] = Some(Arc::from(entry.key.as_str()));
            let is_taken = clusters.rows_of(&name).iter().any(|held| !is_elsewhere(clusters, *held, &row));
            if is_taken {
                let hint = "two clusters of one name need cells with different accounts or regions".to_owned();
                faults.error(word.at, format!("cluster `{name}` is already in a cell"), Some(hint));
                continue;
            }
            let row = clusters.add_row(row);
            clusters.add_row_of(name, row);
        }
    }
}

/// A name, or an ARN that also says account and region.
fn read_cluster<'n>(word: Word<'n>, row: &mut [Option<Arc<str>>], faults: &mut Faults<'_>) -> Option<&'n str> {
    if !word.text.starts_with("arn:") {
        return Some(word.text);
    }
    let Some(arn) = Arn::parse(word.text).filter(|arn| arn.kind == "cluster") else {
        faults.error(word.at, format!("`{}` is not the ARN of a cluster", word.text), None);
        return None;
    };
    for (column, said) in [(REGION_COLUMN, arn.region), (ACCOUNT_COLUMN, arn.account)] {
        if !said.is_empty() {
            row[column] = Some(Arc::from(said));
        }
    }
    arn.name
}

/// Two clusters may share a name when account or region tells them apart.
fn is_elsewhere(clusters: &Table, held: usize, row: &[Option<Arc<str>>]) -> bool {
    [REGION_COLUMN, ACCOUNT_COLUMN]
        .into_iter()
        .any(|column| matches!((clusters.cell(held, column), &row[column]), (Some(held), Some(new)) if held != new))
}

fn read_number(
    fields: &Fields<'_>,
    key: &str,
    fits: impl Fn(f64) -> bool,
    faults: &mut Faults<'_>,
) -> Option<Arc<str>> {
    let word = fields.word(key, faults)?;
    if word.text.parse().is_ok_and(fits) {
        return Some(Arc::from(word.text));
    }
    let hint = match key {
        "share" => "a fraction of all traffic: 0 to 1",
        _ => "a whole number: 0, 1, 2, …",
    };
    faults.error(word.at, format!("`{}` is not a {key}", word.text), Some(hint.to_owned()));
    None
}

/// `us-east-1` is written `use1` where names must be short.
fn short_region(region: &str) -> String {
    let mut parts = region.split('-');
    let mut short = parts.next().unwrap_or("").to_owned();
    short.extend(parts.filter_map(|part| part.chars().next()));
    short
}
