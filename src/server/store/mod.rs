//! What is kept, on SQLite or PostgreSQL. Nothing outside this module has SQL, and nothing in it decides who may do what.
//!
//! Both engines run the same statements from one text ([`on!`]); the two that can't share one stand side by side in
//! [`append`]. On SQLite one connection in one process writes and checkpoints, and readers are read-only connections
//! of their own: this is also what keeps clear of the WAL-reset fault of SQLite before 3.51.3.

pub mod accounts;
pub mod append;
pub mod file;
pub mod log;
pub mod notices;
pub mod rooms;
pub mod sessions;
pub mod tokens;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};
use uuid::Uuid;

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database's schema (version {0}) is newer than this program: install a newer snug")]
    Newer(i64),
    #[error("the database's schema could not be brought up to date: {0}")]
    Migration(MigrateError),
    #[error("the database URL is not understood: it begins with postgres:// or sqlite://")]
    Url,
    #[error("the database cannot be opened: {0}")]
    Open(sqlx::Error),
    #[error("a row is not of the form that this program writes: {0}")]
    Malformed(&'static str),
}

impl StoreError {
    /// Whether the database could not be reached, as opposed to having said no.
    #[must_use]
    pub fn is_away(&self) -> bool {
        let Self::Database(error) = self else { return false };
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
            // PostgreSQL: connection exceptions, too many connections, shutting down (class 08, 53300, class 57P).
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| code.starts_with("08") || code == "53300" || code.starts_with("57P"))
            }
            _ => false,
        }
    }

    /// Whether the same transaction may succeed when it is run again: it met another one's (PostgreSQL only).
    #[must_use]
    pub fn is_collision(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        error.is_unique_violation() || error.code().is_some_and(|code| code == "40001" || code == "40P01")
    }

    /// Whether `table.column` has this value already.
    #[must_use]
    pub fn is_taken(&self, table: &str, column: &str) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        if !error.is_unique_violation() {
            return false;
        }
        // PostgreSQL names the constraint, SQLite the column.
        match error.constraint() {
            Some(name) => name == format!("{table}_{column}"),
            None => error.message().ends_with(&format!(": {table}.{column}")),
        }
    }
}

/// The same thing on either engine.
#[derive(Debug)]
pub enum Either<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// A transaction.
pub type Tx = Either<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>;

/// A connection to run statements on.
pub type Conn<'c> = Either<&'c mut SqliteConnection, &'c mut PgConnection>;

/// Runs one text on whichever engine `$conn` (a `&mut Conn`) is: `on!(conn, c => sqlx::query(…).execute(c).await)`.
macro_rules! on {
    ($conn:expr, $c:ident => $body:expr) => {
        match $conn {
            $crate::server::store::Either::Sqlite(connection) => {
                let $c = &mut **connection;
                $body
            }
            $crate::server::store::Either::Postgres(connection) => {
                let $c = &mut **connection;
                $body
            }
        }
    };
}
pub(crate) use on;

impl Tx {
    /// The connection of this transaction.
    pub fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(tx) => Either::Sqlite(&mut **tx),
            Self::Postgres(tx) => Either::Postgres(&mut **tx),
        }
    }

    /// # Errors
    /// When the database fails; nothing of the transaction is kept then.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// Where everything is kept.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
}

#[derive(Clone, Debug)]
enum Pools {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

/// How long to wait for a connection before saying that the database is away.
const ACQUIRE: Duration = Duration::from_secs(5);

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

impl Store {
    /// Opens the database at `url` (`postgres://…`, `sqlite://FILE`), or `snug.db` in the folder `data` when there is no
    /// URL, and brings its schema up to date. A file that is missing is made, a missing PostgreSQL database is not.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Open`], [`StoreError::Newer`], [`StoreError::Migration`].
    pub async fn open(url: Option<&str>, data: &Path) -> Result<Self, StoreError> {
        let pools = match url {
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                let options = PgConnectOptions::from_str(url).map_err(StoreError::Open)?.application_name("snug");
                let options = options.log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
                let pool = PgPoolOptions::new()
                    .max_connections(16)
                    .acquire_timeout(ACQUIRE)
                    .connect_with(options)
                    .await
                    .map_err(StoreError::Open)?;
                Pools::Postgres(pool)
            }
            Some(url) => match url.strip_prefix("sqlite://") {
                Some(file) if !file.is_empty() => Self::open_sqlite(PathBuf::from(file)).await?,
                _ => return Err(StoreError::Url),
            },
            None => Self::open_sqlite(data.join("snug.db")).await?,
        };
        let store = Self { pools };
        store.migrate().await?;
        Ok(store)
    }

    /// The engine's name: `sqlite` or `postgres`.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self.pools {
            Pools::Sqlite { .. } => "sqlite",
            Pools::Postgres(_) => "postgres",
        }
    }

    async fn open_sqlite(file: PathBuf) -> Result<Pools, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .foreign_keys(true)
            .busy_timeout(ACQUIRE)
            .statement_cache_capacity(200)
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
        // The writer never goes away, so that no other connection is ever the last one and checkpoints.
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE)
            .connect_with(
                options
                    .clone()
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .pragma("journal_size_limit", "67108864"),
            )
            .await
            .map_err(StoreError::Open)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(StoreError::Open)?;
        Ok(Pools::Sqlite { writer, readers })
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let outcome = match &self.pools {
            Pools::Sqlite { writer, .. } => SQLITE.run(writer).await,
            Pools::Postgres(pool) => POSTGRES.run(pool).await,
        };
        outcome.map_err(|error| match error {
            MigrateError::VersionMissing(version) => StoreError::Newer(version),
            error => StoreError::Migration(error),
        })
    }

    /// A transaction that writes. On SQLite it holds the one writing connection until it ends.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { writer, .. } => Either::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres(pool) => Either::Postgres(pool.begin().await?),
        })
    }

    /// A transaction that reads: all its statements see one moment.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { readers, .. } => Either::Sqlite(readers.begin().await?),
            Pools::Postgres(pool) => Either::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?),
        })
    }

    /// Makes sure that the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match &self.pools {
            Pools::Sqlite { readers, .. } => readers.acquire().await?.ping().await?,
            Pools::Postgres(pool) => pool.acquire().await?.ping().await?,
        }
        Ok(())
    }

    /// How many connections of servers a PostgreSQL has; none on SQLite, whose folder's lock says it.
    ///
    /// # Errors
    /// [`StoreError::Open`], or when the database fails.
    pub async fn servers(url: Option<&str>) -> Result<i64, StoreError> {
        let Some(url) = url.filter(|url| url.starts_with("postgres")) else { return Ok(0) };
        // Under another name than theirs.
        let options = PgConnectOptions::from_str(url).map_err(StoreError::Open)?.application_name("snug-command");
        let mut connection = options.connect().await.map_err(StoreError::Open)?;
        let servers = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'snug'";
        let servers = sqlx::query_scalar(servers).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(servers)
    }

    /// Gives the database another identity: what clients remember of it is void. No server may have it, since each has read the
    /// identity when it started.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_epoch(&self) -> Result<(), StoreError> {
        write_one!(self, c => sqlx::query("UPDATE server SET epoch = $1 WHERE one = 1")
            .bind(Uuid::new_v4())
            .execute(c)
            .await
            .map(|_| ()))?;
        Ok(())
    }

    /// Ends every connection; waits for the transactions under way.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                // The writer last: it checkpoints as it closes.
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// Runs one statement that reads, outside a transaction.
macro_rules! read_one {
    ($store:expr, $c:ident => $body:expr) => {
        match &$store.pools {
            $crate::server::store::Pools::Sqlite { readers, .. } => {
                let $c = readers;
                $body
            }
            $crate::server::store::Pools::Postgres(pool) => {
                let $c = pool;
                $body
            }
        }
    };
}
pub(crate) use read_one;

/// Runs one statement that writes, as a transaction of its own.
macro_rules! write_one {
    ($store:expr, $c:ident => $body:expr) => {
        match &$store.pools {
            $crate::server::store::Pools::Sqlite { writer, .. } => {
                let $c = writer;
                $body
            }
            $crate::server::store::Pools::Postgres(pool) => {
                let $c = pool;
                $body
            }
        }
    };
}
pub(crate) use write_one;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new one: ordered by time (UUIDv7), so that it goes to the end of an index.
            #[must_use]
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// How one logs in.
    AccountId
    /// Who one is.
    UserId
    /// One login of an account: what a request or a socket stands on. Public.
    LoginId
    RoomId
}

/// Starts a savepoint, to which [`back`] can return within the same transaction.
pub(crate) async fn savepoint(conn: &mut Conn<'_>) -> Result<(), StoreError> {
    on!(conn, c => sqlx::query("SAVEPOINT one").execute(c).await.map(|_| ()))?;
    Ok(())
}

/// Forgets the savepoint and keeps what came after it.
pub(crate) async fn release(conn: &mut Conn<'_>) -> Result<(), StoreError> {
    on!(conn, c => sqlx::query("RELEASE SAVEPOINT one").execute(c).await.map(|_| ()))?;
    Ok(())
}

/// Undoes what came after the savepoint.
pub(crate) async fn back(conn: &mut Conn<'_>) -> Result<(), StoreError> {
    on!(conn, c => sqlx::query("ROLLBACK TO SAVEPOINT one").execute(c).await.map(|_| ()))?;
    release(conn).await
}
