//! One text for both engines: a statement with its values, and what its rows become.
//!
//! On PostgreSQL a statement travels; on SQLite it runs at once, on the thread that asks: from memory most take a few
//! microseconds, which is less than the way to another thread and back.

use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::{Row as _, ValueRef as _};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Conn, Either, PATIENCE, StoreError};
use crate::protocol::{Micros, Seq};

/// A value of a statement. Each knows its type when it is absent too, as PostgreSQL asks.
#[derive(Clone, Debug)]
pub enum Value {
    Bool(Option<bool>),
    Int(Option<i64>),
    Text(Option<String>),
    Uuid(Option<Uuid>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($($from:ty, $variant:ident, $value:ident => $into:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                Self::$variant(Some($into))
            }
        }

        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value.map(|$value| $into))
            }
        }
    )*};
}

values! {
    bool, Bool, value => value;
    i64, Int, value => value;
    Micros, Int, value => value.0;
    Seq, Int, value => value.0;
    String, Text, value => value;
    &str, Text, value => value.to_owned();
    &String, Text, value => value.clone();
    Uuid, Uuid, value => value;
    Vec<u8>, Bytes, value => value;
    &[u8], Bytes, value => value.to_vec();
}

impl Value {
    fn to_sqlite(&self) -> ToSqlOutput<'_> {
        let value = match self {
            Self::Bool(Some(value)) => ValueRef::Integer((*value).into()),
            Self::Int(Some(value)) => ValueRef::Integer(*value),
            Self::Text(Some(value)) => ValueRef::Text(value.as_bytes()),
            Self::Uuid(Some(value)) => ValueRef::Blob(value.as_bytes()),
            Self::Bytes(Some(value)) => ValueRef::Blob(value),
            Self::Bool(None) | Self::Int(None) | Self::Text(None) | Self::Uuid(None) | Self::Bytes(None) => ValueRef::Null,
        };
        ToSqlOutput::Borrowed(value)
    }
}

/// A statement, with `$1`, `$2`, … for its values.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is run"]
pub struct Query {
    sql: &'static str,
    values: Vec<Value>,
}

/// A statement without values yet.
pub fn query(sql: &'static str) -> Query {
    Query { sql, values: Vec::new() }
}

impl Query {
    /// Its next value: the first is `$1`.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; how many rows it changed.
    ///
    /// # Errors
    /// When the database fails or says no.
    pub async fn execute(self, conn: &mut Conn<'_>) -> Result<u64, StoreError> {
        match conn {
            Either::Sqlite(conn) => {
                let mut statement = self.prepared(conn)?;
                Ok(statement.raw_execute().map(|rows| rows.try_into().unwrap_or_default())?)
            }
            Either::Postgres(conn) => Ok(answered(self.postgres().execute(&mut **conn)).await?.rows_affected()),
        }
    }

    /// All of its rows.
    ///
    /// # Errors
    /// When the database fails, says no, or holds another form.
    pub async fn all<T: FromRow>(self, conn: &mut Conn<'_>) -> Result<Vec<T>, StoreError> {
        match conn {
            Either::Sqlite(conn) => {
                let mut statement = self.prepared(conn)?;
                let mut rows = statement.raw_query();
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    all.push(T::from_row(&mut Row::sqlite(row))?);
                }
                Ok(all)
            }
            Either::Postgres(conn) => {
                let rows = answered(self.postgres().fetch_all(&mut **conn)).await?;
                rows.iter().map(|row| T::from_row(&mut Row::postgres(row))).collect()
            }
        }
    }

    /// Its row, if it has one.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub async fn optional<T: FromRow>(self, conn: &mut Conn<'_>) -> Result<Option<T>, StoreError> {
        // To the end: what changes rows is done with when there is no more of it.
        Ok(self.all(conn).await?.into_iter().next())
    }

    /// Its row, which there is.
    ///
    /// # Errors
    /// As [`Query::all`]; also when there is none.
    pub async fn one<T: FromRow>(self, conn: &mut Conn<'_>) -> Result<T, StoreError> {
        self.optional(conn).await?.ok_or(StoreError::Malformed("a row that is not there"))
    }

    fn prepared<'c>(&self, conn: &'c rusqlite::Connection) -> Result<rusqlite::CachedStatement<'c>, StoreError> {
        let mut statement = conn.prepare_cached(self.sql)?;
        // SQLite counts named parameters in the order in which they first stand in the text.
        for place in 1..=statement.parameter_count() {
            let number = statement.parameter_name(place).and_then(|name| name[1..].parse::<usize>().ok());
            let value =
                number.and_then(|number| self.values.get(number - 1)).ok_or(StoreError::Malformed("a statement's values"))?;
            statement.raw_bind_parameter(place, value.to_sqlite())?;
        }
        Ok(statement)
    }

    fn postgres(self) -> sqlx::query::Query<'static, Postgres, PgArguments> {
        self.values.into_iter().fold(sqlx::query(self.sql), |query, value| match value {
            Value::Bool(value) => query.bind(value),
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value.map(without_nul)),
            Value::Uuid(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }
}

/// A text as PostgreSQL can have it. None that is kept has a NUL (`chat/names.rs`), so one to look for that has is not found, and is not
/// to become another one.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

/// What PostgreSQL answers, within [`PATIENCE`].
pub(super) async fn answered<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    Ok(timeout(PATIENCE, answer).await.map_err(|_| StoreError::Busy)??)
}

/// A row of an answer, read from its first column to its last.
pub struct Row<'r> {
    of: Either<&'r rusqlite::Row<'r>, &'r PgRow>,
    next: usize,
}

impl<'r> Row<'r> {
    pub(super) fn sqlite(row: &'r rusqlite::Row<'r>) -> Self {
        Self { of: Either::Sqlite(row), next: 0 }
    }

    pub(super) fn postgres(row: &'r PgRow) -> Self {
        Self { of: Either::Postgres(row), next: 0 }
    }

    /// The next column.
    ///
    /// # Errors
    /// When there is none, or it is of another type.
    pub fn column<T: Column>(&mut self) -> Result<T, StoreError> {
        let cell = Cell { of: &self.of, column: self.next };
        self.next += 1;
        T::of(&cell)
    }

    /// The next column, which has this name.
    ///
    /// # Errors
    /// As [`Row::column`].
    pub fn column_named<T: Column>(&mut self, name: &'static str) -> Result<T, StoreError> {
        debug_assert_eq!(self.name(), Some(name), "a statement's columns stand in the order of the fields that they become");
        self.column()
    }

    fn name(&self) -> Option<&str> {
        match &self.of {
            Either::Sqlite(row) => row.as_ref().column_name(self.next).ok(),
            Either::Postgres(row) => row.columns().get(self.next).map(sqlx::Column::name),
        }
    }
}

/// One value of a row.
pub struct Cell<'r> {
    of: &'r Either<&'r rusqlite::Row<'r>, &'r PgRow>,
    column: usize,
}

impl Cell<'_> {
    fn is_null(&self) -> Result<bool, StoreError> {
        Ok(match self.of {
            Either::Sqlite(row) => row.get_ref(self.column)? == ValueRef::Null,
            Either::Postgres(row) => row.try_get_raw(self.column)?.is_null(),
        })
    }

    fn get<T>(&self) -> Result<T, StoreError>
    where
        T: FromSql + for<'d> sqlx::Decode<'d, Postgres> + sqlx::Type<Postgres>,
    {
        Ok(match self.of {
            Either::Sqlite(row) => row.get(self.column)?,
            Either::Postgres(row) => row.try_get(self.column)?,
        })
    }
}

/// What a column can become.
pub trait Column: Sized {
    /// # Errors
    /// When it is of another type.
    fn of(cell: &Cell<'_>) -> Result<Self, StoreError>;
}

macro_rules! columns {
    ($($type:ty)*) => {$(
        impl Column for $type {
            fn of(cell: &Cell<'_>) -> Result<Self, StoreError> {
                cell.get()
            }
        }
    )*};
}

columns! { bool i64 String Uuid Vec<u8> }

impl<T: Column> Column for Option<T> {
    fn of(cell: &Cell<'_>) -> Result<Self, StoreError> {
        if cell.is_null()? { Ok(None) } else { T::of(cell).map(Some) }
    }
}

/// What a row can become: a struct made by [`row`], its only column, or a tuple of columns.
pub trait FromRow: Sized {
    /// # Errors
    /// When the row has another form.
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError>;
}

impl<T: Column> FromRow for T {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.column()
    }
}

macro_rules! tuples {
    ($(($($column:ident)*))*) => {$(
        impl<$($column: Column),*> FromRow for ($($column,)*) {
            fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
                Ok(($(row.column::<$column>()?,)*))
            }
        }
    )*};
}

tuples! { (A B) (A B C) (A B C D) (A B C D E) }

/// A struct that a row becomes: its fields are named as the columns, and in their order.
macro_rules! row {
    ($(#[$attribute:meta])* $vis:vis struct $name:ident {
        $($(#[$of_field:meta])* $field_vis:vis $field:ident: $type:ty,)*
    }) => {
        $(#[$attribute])*
        $vis struct $name {
            $($(#[$of_field])* $field_vis $field: $type,)*
        }

        impl $crate::server::store::query::FromRow for $name {
            fn from_row(row: &mut $crate::server::store::query::Row<'_>) -> Result<Self, $crate::server::store::StoreError> {
                Ok(Self { $($field: row.column_named(stringify!($field))?,)* })
            }
        }
    };
}
pub(crate) use row;
