//! Tables: what is known of a key (a cluster, a cell, a team), from YAML rows, from a CSV file beside the rules, or
//! from the registries. Never larger than what was written: nothing is added at run time.

use std::sync::Arc;

use super::SourceFile;
use super::arn::Arn;
use super::diagnostic::{At, Diagnostic, Faults};
use super::facts::{Key, Place, View};
use super::hash::FastMap;
use super::suggest;
use super::walk::{self, Fields};
use super::yaml::{Kind, Node};

#[derive(Debug)]
pub(super) struct Table {
    /// As `in:` names it.
    pub(super) name: String,
    /// As `${prefix.column}` names it.
    pub(super) prefix: String,
    pub(super) columns: Vec<String>,
    rows: Vec<Vec<Option<Arc<str>>>>,
    /// Only registries have keys with several rows: the same cluster in two accounts.
    by_key: FastMap<Arc<str>, Vec<usize>>,
    /// Keys that are clusters may be asked for by ARN.
    clusters: Option<ClusterColumns>,
}

/// Where a table of clusters says which one it means.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClusterColumns {
    pub(super) region: usize,
    pub(super) account: usize,
}

/// What a `where` asks of a column.
#[derive(Debug)]
pub(super) enum Want {
    Text(Box<str>),
    /// Whatever stands behind this key; nothing fits an absent value.
    Value(Key),
}

impl Table {
    pub(super) fn new(name: &str, prefix: &str, columns: &[&str]) -> Table {
        Table {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: Vec::new(),
            by_key: FastMap::default(),
            clusters: None,
        }
    }

    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Its keys are names of clusters, and ARNs of clusters find them by account, region and name: detectors outside
    /// the partition `aws` write ARNs that differ in the partition.
    pub(super) fn of_clusters(self, columns: ClusterColumns) -> Table {
        Table { clusters: Some(columns), ..self }
    }

    /// The only row that fits; where two do, the key does not tell which is meant.
    pub(super) fn find(&self, key: &str, filters: &[(usize, Vec<Want>)], view: &View<'_>) -> Option<usize> {
        let fits = |row: &usize| {
            filters.iter().all(|(column, wants)| {
                self.cell(*row, *column).is_some_and(|cell| wants.iter().any(|want| want.is(cell, view)))
            })
        };
        let held = self.by_key.get(key);
        let Some(columns) = self.clusters else {
            return only(held?.iter().copied().filter(fits));
        };
        // Names of clusters are reused from account to account, so what is known of the place must agree.
        let (rows, place) = match held {
            Some(rows) => (rows, view.place),
            None => {
                let arn = Arn::parse(key).filter(|arn| arn.kind == "cluster")?;
                (self.by_key.get(arn.name?)?, Place { account: arn.field("account"), region: arn.field("region") })
            }
        };
        let agrees = |row: usize, column: usize, said: Option<&str>| match (self.cell(row, column), said) {
            (Some(held), Some(said)) => **held == *said,
            _ => true,
        };
        let is_meant =
            |row: &usize| agrees(*row, columns.account, place.account) && agrees(*row, columns.region, place.region);
        only(rows.iter().copied().filter(is_meant).filter(fits))
    }

    pub(super) fn rows_of(&self, key: &str) -> &[usize] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_key.keys().map(AsRef::as_ref)
    }

    pub(super) fn cell(&self, row: usize, column: usize) -> Option<&Arc<str>> {
        self.rows[row][column].as_ref()
    }

    /// Cells that are `None` or empty are absent.
    pub(super) fn add_row(&mut self, cells: Vec<Option<Arc<str>>>) -> usize {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells.into_iter().map(|cell| cell.filter(|text| !text.is_empty())).collect());
        self.rows.len() - 1
    }

    /// False when the key is taken.
    pub(super) fn add_key(&mut self, key: Arc<str>, row: usize) -> bool {
        let free = !self.by_key.contains_key(&key);
        if free {
            self.add_row_of(key, row);
        }
        free
    }

    /// One more row of the same key.
    pub(super) fn add_row_of(&mut self, key: Arc<str>, row: usize) {
        self.by_key.entry(key).or_default().push(row);
    }
}

impl Want {
    fn is(&self, cell: &str, view: &View<'_>) -> bool {
        match self {
            Want::Text(text) => **text == *cell,
            Want::Value(key) => view.get(*key) == Some(cell),
        }
    }
}

fn only(mut rows: impl Iterator<Item = usize>) -> Option<usize> {
    let first = rows.next()?;
    rows.next().is_none().then_some(first)
}

#[derive(Debug, Default)]
pub(super) struct Tables(Vec<Table>);

impl Tables {
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|table| table.name == name)
    }

    pub(super) fn get(&self, table: usize) -> &Table {
        &self.0[table]
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(|table| table.name.as_str())
    }

    pub(super) fn add(&mut self, table: Table) {
        self.0.push(table);
    }

    /// Reads a `tables:` section. Faults inside a CSV file are reported there.
    pub(super) fn read(
        &mut self,
        section: &Node,
        files: &[SourceFile],
        faults: &mut Faults<'_>,
        elsewhere: &mut Vec<Diagnostic>,
    ) {
        for entry in walk::entries(section, "`tables`", faults).unwrap_or_default() {
            if self.find(&entry.key).is_some() {
                faults.error(entry.key_at, format!("table `{}` is defined twice", entry.key), None);
                continue;
            }
            let Some(fields) = Fields::read(&entry.value, "a table", &["key", "rows", "file"], faults) else {
                continue;
            };
            let Some(key) = fields.required("key", "a table", faults) else { continue };
            let table = match (fields.get("rows"), fields.word("file", faults)) {
                (Some(_), None) => read_rows(&entry.key, key.text, fields.list("rows", faults), faults),
                (None, Some(name)) => match files.iter().find(|file| file.name == name.text) {
                    Some(file) => read_csv(&entry.key, key.text, file, elsewhere),
                    None => {
                        let hint = suggest::nearest(name.text, files.iter().map(|file| file.name.as_str()))
                            .map(|near| format!("did you mean `{near}`?"));
                        faults.error(name.at, format!("no file `{}` beside the rules", name.text), hint);
                        continue;
                    }
                },
                (Some(_), Some(file)) => {
                    faults.error(file.at, "a table has `rows` or a `file`, not both", None);
                    continue;
                }
                (None, None) => {
                    faults.error(fields.at, "a table needs `rows` or a `file`", None);
                    continue;
                }
            };
            self.0.push(table);
        }
    }
}

fn read_rows(name: &str, key: &str, rows: &[Node], faults: &mut Faults<'_>) -> Table {
    let mut columns: Vec<&str> = vec![key];
    for row in rows {
        if let Kind::Map(entries) = &row.kind {
            for entry in entries {
                if !columns.contains(&entry.key.as_str()) {
                    columns.push(&entry.key);
                }
            }
        }
    }
    let mut table = Table::new(name, name, &columns);
    for row in rows {
        let Some(entries) = walk::entries(row, "a row", faults) else { continue };
        let mut cells = vec![None; columns.len()];
        for entry in entries.iter().filter(|entry| !matches!(entry.value.kind, Kind::Null)) {
            let Some(word) = walk::word(&entry.value, &format!("`{}`", entry.key), faults) else { continue };
            if let Some(column) = table.column(&entry.key) {
                cells[column] = Some(Arc::from(word.text));
            }
        }
        add_keyed(&mut table, cells, row.at, faults);
    }
    table
}

fn read_csv(name: &str, key: &str, file: &SourceFile, elsewhere: &mut Vec<Diagnostic>) -> Table {
    let mut faults = Faults::new(file);
    let mut lines = (1..).zip(file.text.trim_start_matches('\u{feff}').lines());
    let header = lines.next().map(|(_, line)| split_csv(line)).unwrap_or_default();
    let mut columns: Vec<&str> = header.iter().map(|column| column.trim()).collect();
    if columns.iter().all(|column| *column != key) {
        faults.error(At::START, format!("no column `{key}`"), suggest::hint(key, columns.iter().copied()));
        columns.push(key);
    }
    // The key comes first in every table.
    let at_key = columns.iter().position(|column| *column == key).unwrap_or(0);
    columns.swap(0, at_key);
    let mut table = Table::new(name, name, &columns);
    for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty() && !text.starts_with('#')) {
        let at = At { line, column: 1 };
        let mut cells = split_csv(text);
        if cells.len() != header.len() {
            faults.error(at, format!("{} cells under {} columns", cells.len(), header.len()), None);
            continue;
        }
        cells.resize(columns.len(), String::new());
        cells.swap(0, at_key);
        let cells = cells.iter().map(|cell| cell.trim()).map(|cell| (!cell.is_empty()).then(|| Arc::from(cell)));
        add_keyed(&mut table, cells.collect(), at, &mut faults);
    }
    elsewhere.extend(faults.into_found());
    table
}

fn add_keyed(table: &mut Table, cells: Vec<Option<Arc<str>>>, at: At, faults: &mut Faults<'_>) {
    let Some(key) = cells[0].clone() else {
        faults.error(at, format!("a row without `{}`", table.columns[0]), None);
        return;
    };
    let row = table.add_row(cells);
    if !table.add_key(Arc::clone(&key), row) {
        faults.error(at, format!("`{key}` is in table `{}` twice", table.name), None);
    }
}

/// Commas, and double quotes around a cell that contains one.
fn split_csv(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let cell = cells.last_mut().expect("starts with one cell and never loses it");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            _ => cell.push(character),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_cells_may_be_quoted() {
        assert_eq!(split_csv(r#"a,"b,c","d ""e""",,f"#), ["a", "b,c", "d \"e\"", "", "f"]);
    }
}
