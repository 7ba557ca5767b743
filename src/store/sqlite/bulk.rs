//! Statements for many rows at once. SQLite is given `values (…),(…)` in a few fixed sizes, so that each
//! text is prepared once: binding costs a fifth of what `json_each` costs to parse the same rows again.

use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, Type};

use super::unavailable;
use crate::store::StoreError;

/// Statements of at most this many rows are sent together with others.
const TOGETHER_MAX: usize = 4;

/// Row counts that have a statement of their own. Greedy: 100 rows are 64 + 16 + 16 + 4.
const BUCKETS: [usize; 4] = [64, 16, 4, 1];

/// The head and tail of a statement around its rows.
pub(super) struct Shape {
    pub(super) head: &'static str,
    /// `(?,?,0)`: a mark for each value that is bound.
    pub(super) row: &'static str,
    pub(super) tail: &'static str,
}

impl Shape {
    /// Appends the statement for so many rows.
    fn write_to(&self, sql: &mut String, row_count: usize) {
        sql.reserve(self.head.len() + (self.row.len() + 1) * row_count + self.tail.len());
        sql.push_str(self.head);
        for at in 0..row_count {
            if at > 0 {
                sql.push(',');
            }
            sql.push_str(self.row);
        }
        sql.push_str(self.tail);
    }

    fn mark_count(&self) -> usize {
        self.row.bytes().filter(|byte| *byte == b'?').count()
    }
}

/// Statements on their way: short ones are sent together, because each trip to SQLite's thread costs more than
/// the statement; long ones go alone, so that few distinct texts are prepared.
pub(super) struct Script<'a> {
    connection: &'a mut SqliteConnection,
    sql: String,
    row: Row,
}

impl<'a> Script<'a> {
    pub(super) fn new(connection: &'a mut SqliteConnection) -> Script<'a> {
        Script { connection, sql: String::new(), row: Row::default() }
    }

    /// A statement without rows: `begin immediate`, `commit`.
    pub(super) fn add(&mut self, sql: &str) {
        self.separate();
        self.sql.push_str(sql);
    }

    fn separate(&mut self) {
        if !self.sql.is_empty() {
            self.sql.push(';');
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.sql.is_empty() {
            return Ok(());
        }
        let (sql, arguments) = (std::mem::take(&mut self.sql), std::mem::take(&mut self.row.arguments));
        sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut *self.connection).await.map_err(unavailable)?;
        Ok(())
    }

    /// `shape` over all rows; `bind` adds the columns of one row in order.
    pub(super) async fn rows<T>(
        &mut self,
        shape: &Shape,
        mut rows: &[T],
        bind: impl Fn(&mut Row, &T),
    ) -> Result<(), StoreError> {
        for size in BUCKETS {
            while rows.len() >= size {
                let (now, later) = rows.split_at(size);
                rows = later;
                if size > TOGETHER_MAX {
                    self.flush().await?;
                }
                self.row.arguments.reserve(size * shape.mark_count(), 0);
                for item in now {
                    bind(&mut self.row, item);
                }
                self.separate();
                shape.write_to(&mut self.sql, size);
                if size > TOGETHER_MAX {
                    self.flush().await?;
                }
            }
        }
        Ok(())
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
