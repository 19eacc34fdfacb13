//! All that is in one database into another of the same version: between PostgreSQL and a file of SQLite, in either direction. The file says which
//! tables and columns there are.

use super::{Database, Engine, EngineConnection, Kind, StoreError, corrupt};
use sqlx::{
    Any, AnyConnection, AssertSqlSafe, Row, Transaction,
    any::{AnyArguments, AnyRow},
    query::{Query, QueryScalar},
};

/// Rows that are read at a time.
const PAGE: i64 = 20_000;
/// The most values of one statement; SQLite takes 32766, PostgreSQL 65535.
const MAX_VALUES: usize = 16_000;
/// The most rows of one statement.
const MAX_ROWS: usize = 250;
/// Tables that are never empty: what a new database holds makes way.
const NEVER_EMPTY: [&str; 2] = ["audit_end", "change"];

/// A table as the file describes it.
struct Table {
    name: String,
    columns: Vec<(String, Type)>,
}

/// What a column holds.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Bytes,
    Number,
}

/// A value on its way.
enum Value {
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Number(Option<i64>),
}

impl Database {
    /// Copies all that there is at one moment, from `from`, one of the two being a file. Nothing but what a new database holds may be there.
    pub(in crate::store) async fn fill_from(&self, from: &Self) -> Result<(), StoreError> {
        let mut source = from.read().await?;
        let mut target = self.write().await?;
        let tables = match (from.kind, self.kind) {
            (Kind::Sqlite, _) => tables(&mut source).await?,
            (Kind::Postgres, _) => tables(&mut target).await?,
        };
        for table in &tables {
            make_way(&mut target, table).await?;
        }
        for table in &tables {
            match from.kind {
                Kind::Sqlite => copy_from_sqlite(&mut source, &mut target, table).await?,
                Kind::Postgres => copy_from_postgres(&mut source, &mut target, table).await?,
            }
        }
        let last = last_policy(&mut source, from.kind).await?;
        set_last_policy(&mut target, self.kind, last).await?;
        Ok(target.commit().await?)
    }
}

/// In the order in which they were made, so that what a row refers to is there before it.
async fn tables(connection: &mut EngineConnection) -> Result<Vec<Table>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut tables = Vec::new();
    for name in names {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, type FROM pragma_table_info($1) ORDER BY cid")
                .bind(&name)
                .fetch_all(&mut *connection)
                .await?;
        let columns = rows.into_iter().map(|(name, kind)| match kind.as_str() {
            "TEXT" => Ok((name, Type::Text)),
            "BLOB" => Ok((name, Type::Bytes)),
            "INTEGER" => Ok((name, Type::Number)),
            _ => Err(corrupt("table")),
        });
        let columns = columns.collect::<Result<_, _>>()?;
        tables.push(Table { name, columns });
    }
    Ok(tables)
}

async fn make_way(connection: &mut EngineConnection, table: &Table) -> Result<(), StoreError> {
    let name = &table.name;
    if NEVER_EMPTY.contains(&name.as_str()) {
        sqlx::raw_sql(AssertSqlSafe(format!("DELETE FROM {name}")))
            .execute(connection)
            .await?;
        return Ok(());
    }
    let count = format!("SELECT count(*) FROM {name}");
    let count: QueryScalar<'_, Any, i64, AnyArguments> = sqlx::query_scalar(AssertSqlSafe(count));
    match count.fetch_one(connection).await? {
        0 => Ok(()),
        _ => Err(StoreError::Exists("something in the table", name.clone())),
    }
}

async fn copy_from_sqlite(
    source: &mut Transaction<'static, Engine>,
    target: &mut Transaction<'static, Engine>,
    table: &Table,
) -> Result<(), StoreError> {
    // By number, since the tables have no key in common to go on from.
    let statement = format!("SELECT {} FROM {}", table.column_list(), table.name);
    let mut skipped = 0;
    loop {
        let page = format!("{statement} LIMIT {PAGE} OFFSET {skipped}");
        let rows = sqlx::query(AssertSqlSafe(page))
            .persistent(false)
            .fetch_all(&mut **source)
            .await?;
        if rows.is_empty() {
            return Ok(());
        }
        insert(target, table, &rows).await?;
        skipped += PAGE;
    }
}

async fn copy_from_postgres(
    source: &mut Transaction<'static, Engine>,
    target: &mut Transaction<'static, Engine>,
    table: &Table,
) -> Result<(), StoreError> {
    let declared = format!(
        "DECLARE page NO SCROLL CURSOR FOR SELECT {} FROM {}",
        table.column_list(),
        table.name
    );
    sqlx::raw_sql(AssertSqlSafe(declared))
        .execute(&mut **source)
        .await?;
    loop {
        let page = format!("FETCH {PAGE} FROM page");
        let rows = sqlx::query(AssertSqlSafe(page))
            .persistent(false)
            .fetch_all(&mut **source)
            .await?;
        if rows.is_empty() {
            break;
        }
        insert(target, table, &rows).await?;
    }
    sqlx::raw_sql("CLOSE page").execute(&mut **source).await?;
    Ok(())
}

async fn insert(
    target: &mut AnyConnection,
    table: &Table,
    rows: &[AnyRow],
) -> Result<(), StoreError> {
    let width = table.columns.len().max(1);
    for rows in rows.chunks((MAX_VALUES / width).clamp(1, MAX_ROWS)) {
        let statement = table.insert_statement(rows.len());
        let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        for row in rows {
            for (index, (_, kind)) in table.columns.iter().enumerate() {
                query = bind(query, value_of(row, index, *kind)?);
            }
        }
        query.execute(&mut *target).await?;
    }
    Ok(())
}

impl Table {
    fn column_list(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    fn insert_statement(&self, rows: usize) -> String {
        let width = self.columns.len();
        let places = (0..rows).map(|row| {
            let places: Vec<String> = (1..=width)
                .map(|column| format!("${}", row * width + column))
                .collect();
            format!("({})", places.join(", "))
        });
        let places: Vec<String> = places.collect();
        let columns = self.column_list();
        format!(
            "INSERT INTO {} ({columns}) VALUES {}",
            self.name,
            places.join(", ")
        )
    }
}

fn value_of(row: &AnyRow, index: usize, kind: Type) -> Result<Value, StoreError> {
    Ok(match kind {
        Type::Text => Value::Text(row.try_get(index)?),
        Type::Bytes => Value::Bytes(row.try_get(index)?),
        Type::Number => Value::Number(row.try_get(index)?),
    })
}

fn bind(
    query: Query<'static, Any, AnyArguments>,
    value: Value,
) -> Query<'static, Any, AnyArguments> {
    match value {
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Number(number) => query.bind(number),
    }
}

/// The highest number that a rule ever had: it never names another.
async fn last_policy(connection: &mut EngineConnection, kind: Kind) -> Result<i64, StoreError> {
    let last: Option<i64> = sqlx::query_scalar(match kind {
        Kind::Sqlite => "SELECT seq FROM sqlite_sequence WHERE name = 'policy'",
        // NULL while none was given out.
        Kind::Postgres => {
            "SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence('policy', 'id') AS regclass))"
        },
    })
    .fetch_optional(connection)
    .await?
    .flatten();
    Ok(last.unwrap_or(0))
}

async fn set_last_policy(
    connection: &mut EngineConnection,
    kind: Kind,
    last: i64,
) -> Result<(), StoreError> {
    if last == 0 {
        return Ok(());
    }
    match kind {
        Kind::Sqlite => {
            sqlx::raw_sql("DELETE FROM sqlite_sequence WHERE name = 'policy'")
                .execute(&mut *connection)
                .await?;
            sqlx::query("INSERT INTO sqlite_sequence (name, seq) VALUES ('policy', $1)")
                .bind(last)
                .execute(connection)
                .await?;
        }
        Kind::Postgres => {
            sqlx::query(
                "SELECT setval(CAST(pg_get_serial_sequence('policy', 'id') AS regclass), $1)",
            )
            .bind(last)
            .execute(connection)
            .await?;
        }
    }
    Ok(())
}
