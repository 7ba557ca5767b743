//! Statements for many rows at once, and one for few rows of several tables. SQLite is given `values (…),(…)` in a few
//! fixed sizes, so that each text is prepared once: binding costs a fifth of what `json_each` costs to parse the same
//! rows again.

use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Encode, Executor, Sqlite, Type};

use super::unavailable;
use crate::store::StoreError;

/// Row counts that have a statement of their own. Greedy: 340 rows are 256 + 64 + 16, and four few ones.
const BUCKETS: [usize; 3] = [256, 64, 16];
/// Columns of the view of few rows besides the table's number, each named by a letter.
const LETTERS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
/// The table's number and a mark for each letter.
const FEW_ROW: &str = "(?,?,?,?,?,?,?,?)";

/// How rows of one table are written.
pub(super) struct Shape {
    /// Tells the tables apart in the view of few rows.
    pub(super) number: i64,
    /// The statement up to its rows.
    pub(super) head: &'static str,
    /// `(?,?,0)`: a mark for each value that is bound.
    pub(super) row: &'static str,
    pub(super) tail: &'static str,
    /// The statement for one row of the view, whose first value is `new.a`. `None`: the same as for many rows.
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
        let statement = self.single.map_or_else(|| self.of_new_row(), str::to_owned);
        format!(
            "create temp trigger few_{number} instead of insert on few when new.shape = {number} begin {statement}; end"
        )
    }

    fn of_new_row(&self) -> String {
        let mut letters = LETTERS.iter();
        let mut sql = self.head.to_owned();
        for piece in self.row.split_inclusive('?') {
            match piece.strip_suffix('?').zip(letters.next()) {
                Some((before, letter)) => sql.extend([before, "new.", letter]),
                None => sql.push_str(piece),
            }
        }
        sql + self.tail
    }
}

/// Makes the view of few rows, which exists for this connection alone and holds nothing: what is inserted goes to the
/// tables of `shapes`. A statement of its own for each table would wake whoever waits for the last of them each time, and
/// these calls to the kernel cost more than the rows.
pub(super) async fn prepare(connection: &mut SqliteConnection, shapes: &[&Shape]) -> Result<(), StoreError> {
    let nothing: Vec<String> = LETTERS.iter().map(|letter| format!("null as {letter}")).collect();
    let mut sql = format!("create temp view few as select 0 as shape, {};", nothing.join(","));
    for shape in shapes {
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
    few: Row,
    few_count: usize,
}

impl<'a> Script<'a> {
    pub(super) fn new(connection: &'a mut SqliteConnection) -> Script<'a> {
        Script { connection, has_begun: false, few: Row::default(), few_count: 0 }
    }

    /// `shape` over all rows; `bind` adds the values of one row in order.
    pub(super) async fn rows<T>(
        &mut self,
        shape: &Shape,
        mut rows: &[T],
        bind: impl Fn(&mut Row, &T),
    ) -> Result<(), StoreError> {
        for size in BUCKETS {
            while let Some((now, later)) = rows.split_at_checked(size) {
                rows = later;
                let mut row = Row::default();
                row.arguments.reserve(size * shape.mark_count(), 0);
                now.iter().for_each(|item| bind(&mut row, item));
                let (opening, statement_count) = if self.has_begun { ("", 1) } else { ("begin immediate;", 2) };
                self.has_begun = true;
                self.execute(shape.many(opening, size), row, statement_count).await?;
            }
        }
        self.few_count += rows.len();
        self.few.arguments.reserve(rows.len() * (LETTERS.len() + 1), 0);
        for item in rows {
            self.few.add(shape.number);
            bind(&mut self.few, item);
            (shape.mark_count()..LETTERS.len()).for_each(|_| self.few.add(None::<i64>));
        }
        Ok(())
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let (mut sql, mut statement_count) = (String::new(), 0);
        if self.few_count > 0 {
            sql.push_str("insert into few values ");
            push_rows(&mut sql, FEW_ROW, self.few_count);
            statement_count += 1;
        }
        if self.has_begun {
            sql.push_str(if sql.is_empty() { "commit" } else { ";commit" });
            statement_count += 1;
        }
        let few = std::mem::take(&mut self.few);
        self.execute(sql, few, statement_count).await
    }

    /// Waits for the end of each statement, and not for that of their answer as a whole: it would wake us once more.
    async fn execute(&mut self, sql: String, row: Row, statement_count: usize) -> Result<(), StoreError> {
        let mut ends = self.connection.fetch_many(sqlx::query_with(AssertSqlSafe(sql), row.arguments));
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

/// Arguments under construction.
#[derive(Default)]
pub(super) struct Row {
    arguments: SqliteArguments,
    /// Words that came before: each is one text, however many rows hold it.
    words: Vec<Arc<str>>,
}

impl Row {
    pub(super) fn add<'q, V: Encode<'q, Sqlite> + Type<Sqlite>>(&mut self, value: V) {
        self.arguments.add(value).expect("the types we bind have no failing encoder");
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

/// `?,?,…` padded to a bucket, so that few statement texts exist.
pub(super) fn in_list(count: usize) -> (usize, String) {
    let padded = [1, 4, 16, 64, 256].into_iter().find(|size| *size >= count).unwrap_or(count);
    (padded, vec!["?"; padded].join(","))
}
