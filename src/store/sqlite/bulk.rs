//! Statements for many rows at once, and one for few rows of several tables. SQLite is given `values (…),(…)` in a few
//! fixed sizes, so that each text is prepared once: binding costs a fifth of what `json_each` costs to parse the same
//! rows again.

use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Executor};

use super::shapes::SHAPES;
use super::unavailable;
use crate::store::StoreError;

/// Row counts that have a statement of their own. Greedy: 340 rows are 256 + 64 + 16, and four few ones.
const BUCKETS: [usize; 3] = [256, 64, 16];
/// As many marks as the widest shape has.
const MARKS: &str = "?,?,?,?,?,?,?,";

/// How rows of one table are written.
pub(super) struct Shape {
    /// Its place among all of them, from 1: tells the tables apart in the view of few rows.
    pub(super) number: usize,
    /// The statement up to its rows.
    pub(super) head: &'static str,
    /// `(?,?,0)`: a mark for each value that is bound.
    pub(super) row: &'static str,
    pub(super) tail: &'static str,
    /// What its values are called in the view of few rows. The first is one that is never null.
    pub(super) columns: &'static str,
    /// The statement for one row of the view. `None`: the same as for many rows.
    pub(super) single: Option<&'static str>,
}

impl Shape {
    fn mark_count(&self) -> usize {
        self.row.bytes().filter(|byte| *byte == b'?').count()
    }

    /// The statement for so many rows behind an opening one.
    fn many(&self, opening: &str, row_count: usize) -> String {
        let length = opening.len() + self.head.len() + (self.row.len() + 1) * row_count + self.tail.len();
        let mut sql = String::with_capacity(length);
        sql.push_str(opening);
        sql.push_str(self.head);
        push_rows(&mut sql, self.row, row_count);
        sql.push_str(self.tail);
        sql
    }

    fn trigger(&self) -> String {
        let number = self.number;
        let first = self.columns.split(',').next().unwrap_or_default();
        let statement = self.single.map_or_else(|| self.of_new_row(), str::to_owned);
        format!(
            "create temp trigger few_{number} instead of insert on few when new.{first} is not null \
             begin {statement}; end"
        )
    }

    fn of_new_row(&self) -> String {
        let mut columns = self.columns.split(',');
        let mut sql = self.head.to_owned();
        for piece in self.row.split_inclusive('?') {
            match piece.strip_suffix('?').zip(columns.next()) {
                Some((before, column)) => sql.extend([before, "new.", column]),
                None => sql.push_str(piece),
            }
        }
        sql + self.tail
    }
}

/// Makes the view of few rows, which exists for this connection alone and holds nothing: what is inserted goes to the
/// tables of `shapes`. A row of the view is at most one row of each table, side by side: each row sets out once for
/// every table, so one row for all of them costs a fifth of a row for each. A statement of its own for each table would
/// wake whoever waits for the last of them each time, and these calls to the kernel cost more than the rows.
pub(super) async fn prepare(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let columns = SHAPES.iter().flat_map(|shape| shape.columns.split(','));
    let nothing: Vec<String> = columns.map(|column| format!("null as {column}")).collect();
    let mut sql = format!("create temp view few as select {};", nothing.join(","));
    for shape in SHAPES {
        sql.push_str(&shape.trigger());
        sql.push(';');
    }
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map_err(unavailable)?;
    Ok(())
}

/// One transaction on its way. Many rows of a table go at once, in one statement; the few of every table are gathered and
/// go last, with the commit. Where there are no others, that one statement is the transaction.
pub(super) struct Script<'a> {
    connection: &'a mut SqliteConnection,
    has_begun: bool,
    /// Of each shape, row behind row.
    few: [Vec<Value>; SHAPES.len()],
}

impl<'a> Script<'a> {
    pub(super) fn new(connection: &'a mut SqliteConnection) -> Script<'a> {
        Script { connection, has_begun: false, few: Default::default() }
    }

    /// `shape` over all rows; `bind` adds the values of one row in order.
    pub(super) async fn rows<T>(
        &mut self,
        shape: &Shape,
        mut rows: &[T],
        bind: impl Fn(&mut Row<'_>, &T),
    ) -> Result<(), StoreError> {
        for size in BUCKETS {
            while let Some((now, later)) = rows.split_at_checked(size) {
                rows = later;
                let mut arguments = SqliteArguments::default();
                arguments.reserve(size * shape.mark_count(), 0);
                let mut row = Row { to: To::Statement(&mut arguments), words: Vec::new() };
                now.iter().for_each(|item| bind(&mut row, item));
                let (opening, statement_count) = if self.has_begun { ("", 1) } else { ("begin immediate;", 2) };
                self.has_begun = true;
                self.execute(shape.many(opening, size), arguments, statement_count).await?;
            }
        }
        let few = &mut self.few[shape.number - 1];
        few.reserve(rows.len() * shape.mark_count());
        let mut row = Row { to: To::Few(few), words: Vec::new() };
        rows.iter().for_each(|item| bind(&mut row, item));
        Ok(())
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let (mut sql, few) = few(std::mem::take(&mut self.few));
        let mut statement_count = usize::from(!sql.is_empty());
        if self.has_begun {
            sql.push_str(if sql.is_empty() { "commit" } else { ";commit" });
            statement_count += 1;
        }
        self.execute(sql, few, statement_count).await
    }

    /// Waits for the end of each statement, and not for that of their answer as a whole: it would wake us once more.
    async fn execute(
        &mut self,
        sql: String,
        arguments: SqliteArguments,
        statement_count: usize,
    ) -> Result<(), StoreError> {
        let mut ends = self.connection.fetch_many(sqlx::query_with(AssertSqlSafe(sql), arguments));
        for _ in 0..statement_count {
            match std::future::poll_fn(|context| ends.as_mut().poll_next(context)).await {
                Some(end) => drop(end.map_err(unavailable)?),
                None => return Err(StoreError::Unavailable { reason: "a statement was not executed".to_owned() }),
            }
        }
        Ok(())
    }
}

fn push_rows(sql: &mut String, row: &str, count: usize) {
    for at in 0..count {
        if at > 0 {
            sql.push(',');
        }
        sql.push_str(row);
    }
}

/// The insert of what was gathered, with its values; empty when nothing was. Only the columns of shapes that have rows
/// are named, and where another shape has more rows they are null.
fn few(values: [Vec<Value>; SHAPES.len()]) -> (String, SqliteArguments) {
    let mut used: Vec<_> = SHAPES
        .into_iter()
        .zip(values)
        .filter(|(_, values)| !values.is_empty())
        .map(|(shape, values)| (shape, shape.mark_count(), values.len() / shape.mark_count(), values.into_iter()))
        .collect();
    let row_count = used.iter().map(|(_, _, count, _)| *count).max().unwrap_or(0);
    let mut arguments = SqliteArguments::default();
    if row_count == 0 {
        return (String::new(), arguments);
    }
    let columns: Vec<&str> = used.iter().map(|(shape, ..)| shape.columns).collect();
    let mut row = String::from("(");
    used.iter().for_each(|(_, width, ..)| row.push_str(&MARKS[..2 * width]));
    row.pop();
    row.push(')');
    let columns = columns.join(",");
    let mut sql = String::with_capacity(columns.len() + 32 + row_count * (row.len() + 1));
    sql.extend(["insert into few (", &columns, ") values "]);
    push_rows(&mut sql, &row, row_count);
    arguments.reserve(row_count * row.len() / 2, 0);
    for _ in 0..row_count {
        for (_, width, _, values) in &mut used {
            (0..*width).for_each(|_| values.next().unwrap_or(Value::Null).add_to(&mut arguments));
        }
    }
    (sql, arguments)
}

/// Rows under construction.
pub(super) struct Row<'a> {
    to: To<'a>,
    /// Words that came before: each is one text, however many rows hold it.
    words: Vec<Arc<str>>,
}

enum To<'a> {
    Statement(&'a mut SqliteArguments),
    Few(&'a mut Vec<Value>),
}

impl Row<'_> {
    pub(super) fn add(&mut self, value: impl Into<Value>) {
        match &mut self.to {
            To::Statement(arguments) => value.into().add_to(arguments),
            To::Few(values) => values.push(value.into()),
        }
    }

    /// A word of a small vocabulary.
    pub(super) fn word(&mut self, word: &'static str) {
        let held = self.words.iter().find(|held| held.as_ref() == word).cloned();
        let held = held.unwrap_or_else(|| {
            self.words.push(Arc::from(word));
            self.words[self.words.len() - 1].clone()
        });
        self.add(held);
    }
}

/// A value of a column.
pub(super) enum Value {
    Null,
    Number(i64),
    Text(Arc<str>),
    Bytes(Vec<u8>),
}

impl Value {
    fn add_to(self, arguments: &mut SqliteArguments) {
        let added = match self {
            Value::Null => arguments.add(None::<i64>),
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
        };
        added.expect("the types we bind have no failing encoder");
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Value {
        number.map_or(Value::Null, Value::Number)
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Value {
        Value::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(Arc::from(text))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes)
    }
}

/// `?,?,…` padded to a bucket, so that few statement texts exist.
pub(super) fn in_list(count: usize) -> (usize, String) {
    let padded = [1, 4, 16, 64, 256].into_iter().find(|size| *size >= count).unwrap_or(count);
    (padded, vec!["?"; padded].join(","))
}
