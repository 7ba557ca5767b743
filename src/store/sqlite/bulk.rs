//! Statements for many rows at once. SQLite is given `values (…),(…)` in a few fixed sizes, so that each
//! text is prepared once: binding costs a fifth of what `json_each` costs to parse the same rows again.

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, Type};

use super::unavailable;
use crate::store::StoreError;

/// Row counts that have a statement of their own. Greedy: 100 rows are 64 + 16 + 16 + 4.
const BUCKETS: [usize; 4] = [64, 16, 4, 1];

/// The head and tail of a statement around its rows.
pub(super) struct Shape {
    pub(super) head: &'static str,
    pub(super) column_count: usize,
    pub(super) tail: &'static str,
}

impl Shape {
    fn sql(&self, row_count: usize) -> String {
        let row = format!("({})", vec!["?"; self.column_count].join(","));
        format!("{}{}{}", self.head, vec![row; row_count].join(","), self.tail)
    }
}

/// Runs `shape` over all rows; `bind` adds the columns of one row in order.
pub(super) async fn write_rows<T>(
    connection: &mut SqliteConnection,
    shape: &Shape,
    mut rows: &[T],
    bind: impl Fn(&mut Row, &T),
) -> Result<(), StoreError> {
    for size in BUCKETS {
        while rows.len() >= size {
            let (now, later) = rows.split_at(size);
            rows = later;
            let mut row = Row::default();
            row.0.reserve(size * shape.column_count, 0);
            for item in now {
                bind(&mut row, item);
            }
            sqlx::query_with(AssertSqlSafe(shape.sql(size)), row.0)
                .execute(&mut *connection)
                .await
                .map_err(unavailable)?;
        }
    }
    Ok(())
}

/// Arguments under construction.
#[derive(Default)]
pub(super) struct Row(pub(super) SqliteArguments);

impl Row {
    pub(super) fn add<'q, V: Encode<'q, Sqlite> + Type<Sqlite>>(&mut self, value: V) {
        self.0.add(value).expect("the types we bind have no failing encoder");
    }
}

/// `?1,?2,…` padded to a bucket, so that few statement texts exist; padding repeats the last value.
pub(super) fn in_list(count: usize, first: usize) -> (usize, String) {
    let padded = [1, 4, 16, 64, 256].into_iter().find(|size| *size >= count).unwrap_or(count);
    let marks: Vec<String> = (first..first + padded).map(|at| format!("?{at}")).collect();
    (padded, marks.join(","))
}
