//! What is kept, on SQLite or PostgreSQL. Nothing outside this module has SQL, and nothing in it decides who may do what.
//!
//! Both engines run the same statements from one text ([`query`]); the few that can't share one stand side by side. On SQLite one
//! connection in one process writes and checkpoints, and readers are read-only connections of their own: this is also what
//! keeps clear of the WAL-reset fault of SQLite before 3.51.3.

pub mod accounts;
pub mod append;
pub mod file;
pub mod log;
pub mod notices;
mod postgres;
pub mod query;
pub mod rooms;
pub mod sessions;
mod sqlite;
pub mod tokens;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rusqlite::ffi;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres};
use tokio::time::timeout;
use uuid::Uuid;

use self::postgres::Pool;
use self::query::{FromRow, Query};
pub(crate) use self::query::{query, row};
use self::sqlite::Sqlite;

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the database is closed, or others have held it for too long")]
    Busy,
    #[error("the database's schema (version {0}) is newer than this program: install a newer snug")]
    Newer(i64),
    #[error("the database's schema could not be brought up to date: {0}")]
    Migration(MigrateError),
    #[error("the database URL is not understood: it begins with postgres:// or sqlite://")]
    Url,
    #[error("the database cannot be opened: {0}")]
    Open(sqlx::Error),
    #[error("the database cannot be opened: {0}")]
    OpenFile(rusqlite::Error),
    #[error("the task that writes could not be started: {0}")]
    Writer(std::io::Error),
    #[error("a row is not of the form that this program writes: {0}")]
    Malformed(&'static str),
}

impl StoreError {
    /// Whether the database could not be reached, as opposed to having said no.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Database(
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed,
            ) => true,
            // PostgreSQL: connection exceptions, shutting down (classes 08, 57P), too many connections, a transaction that did nothing for
            // too long.
            Self::Database(sqlx::Error::Database(error)) => error
                .code()
                .is_some_and(|code| code.starts_with("08") || code.starts_with("57P") || matches!(&*code, "53300" | "25P03")),
            _ => false,
        }
    }

    /// Whether there was no room for what was to be written: it can be read, and written again when there is.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            // SQLite says so of a full disk only. Beyond a quota or a limit on a file's size, it cannot write, or not extend its
            // shared memory.
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) => {
                error.code == rusqlite::ErrorCode::DiskFull
                    || matches!(
                        error.extended_code,
                        ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_SHMSIZE
                    )
            }
            // PostgreSQL: disk_full.
            Self::Database(sqlx::Error::Database(error)) => error.code().is_some_and(|code| code == "53100"),
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
        match self {
            // PostgreSQL names the constraint, SQLite the column.
            Self::Database(sqlx::Error::Database(error)) => {
                error.is_unique_violation() && error.constraint() == Some(&format!("{table}_{column}"))
            }
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, Some(message))) => {
                error.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE && message.ends_with(&format!(": {table}.{column}"))
            }
            _ => false,
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
pub type Tx<'c> = Either<sqlite::Transaction, sqlx::Transaction<'c, Postgres>>;

/// What a task that writes one transaction after the other keeps between them: PostgreSQL's connection. (A pool asks a connection that
/// it hands out whether it is alive, and one that it takes back: two trips to PostgreSQL for each transaction, and for one that is lost
/// without a word a wait that only TCP bounds.)
#[derive(Debug)]
pub struct Kept {
    /// Of one connection, for PostgreSQL.
    pool: Option<Pool>,
    connection: Option<PoolConnection<Postgres>>,
    /// A transaction has begun on it since it was last asked for one.
    begun: bool,
    /// It had been kept when it was last asked for one.
    before: bool,
}

impl Kept {
    /// Keeps nothing, after a failure that is not a collision, which leaves the connection whole. It is dropped as it is.
    pub fn release(&mut self) {
        drop(self.connection.take().map(PoolConnection::detach));
    }

    /// Keeps nothing, and says farewell, where that is heard in time.
    pub async fn rest(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _lost = timeout(ACQUIRE, connection.close()).await;
        }
    }

    /// As [`Self::rest`], for good.
    pub async fn close(mut self) {
        self.rest().await;
        if let Some(pool) = self.pool {
            let _nobody_has_one = timeout(ACQUIRE, pool.pool().close()).await;
        }
    }

    /// Whether what was kept took no transaction when it was last asked for one: another connection may.
    #[must_use]
    pub fn was_stale(&self) -> bool {
        self.before && !self.begun
    }
}

/// A connection of a pool, outside a transaction.
pub type Reader = Either<sqlite::Reader, PoolConnection<Postgres>>;

/// A connection to run statements on.
pub type Conn<'c> = Either<&'c mut rusqlite::Connection, &'c mut PgConnection>;

impl Reader {
    /// The connection itself.
    pub fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(reader) => Either::Sqlite(reader.connection()),
            Self::Postgres(reader) => Either::Postgres(&mut **reader),
        }
    }
}

impl Tx<'_> {
    /// The connection of this transaction.
    pub fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(tx) => Either::Sqlite(tx.connection()),
            Self::Postgres(tx) => Either::Postgres(&mut **tx),
        }
    }

    /// # Errors
    /// When the database fails; nothing of the transaction is kept then.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => query::answered(tx.commit()).await,
        }
    }

    /// Commits on a thread that may wait for a disk.
    ///
    /// # Errors
    /// As [`Tx::commit`].
    pub async fn commit_here(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit_here(),
            Self::Postgres(tx) => Ok(tx.commit().await?),
        }
    }
}

/// Where everything is kept.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
}

#[derive(Clone, Debug)]
enum Pools {
    Sqlite(Sqlite),
    Postgres(Pool),
}

/// How long to wait for a connection before saying that the database is away.
const ACQUIRE: Duration = Duration::from_secs(5);

/// How long PostgreSQL may take to answer a statement. One that is lost without a word is noticed by nothing else.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the database may take to say that it is there: longer than a connection is waited for.
const ANSWER: Duration = Duration::from_secs(7);

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

impl Store {
    /// Opens the database at `url` (`postgres://…`, `sqlite://FILE`), or `snug.db` in the folder `data` when there is no
    /// URL, and brings its schema up to date. A file that is missing is made, a missing PostgreSQL database is not.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Open`], [`StoreError::OpenFile`], [`StoreError::Newer`], [`StoreError::Migration`].
    pub async fn open(url: Option<&str>, data: &Path) -> Result<Self, StoreError> {
        let pools = match url {
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                let options = PgConnectOptions::from_str(url).map_err(StoreError::Open)?.application_name("snug");
                let options = options.log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
                // By a connection of its own, which may take its time.
                let mut connection = options.connect().await.map_err(StoreError::Open)?;
                migrated(POSTGRES.run(&mut connection).await)?;
                connection.close().await.map_err(StoreError::Open)?;
                Pools::Postgres(Pool::open(options).await.map_err(StoreError::Open)?)
            }
            Some(url) => match url.strip_prefix("sqlite://") {
                Some(file) if !file.is_empty() => Pools::Sqlite(Sqlite::open(PathBuf::from(file)).await?),
                _ => return Err(StoreError::Url),
            },
            None => Pools::Sqlite(Sqlite::open(data.join("snug.db")).await?),
        };
        Ok(Self { pools })
    }

    /// The engine's name: `sqlite` or `postgres`.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self.pools {
            Pools::Sqlite(_) => "sqlite",
            Pools::Postgres(_) => "postgres",
        }
    }

    /// What [`Store::write_next`] keeps. PostgreSQL is then spoken with on the runtime that calls this.
    #[must_use]
    pub fn kept(&self) -> Kept {
        let pool = if let Pools::Postgres(pool) = &self.pools { Some(pool.of_one()) } else { None };
        Kept { pool, connection: None, begun: false, before: false }
    }

    /// A transaction that writes. On SQLite it holds the one writing connection until it ends.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn write(&self) -> Result<Tx<'static>, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite(sqlite) => Either::Sqlite(sqlite.begin().await?),
            Pools::Postgres(pool) => Either::Postgres(pool.begin().await?),
        })
    }

    /// As [`Store::write`], on the connection that is kept.
    ///
    /// # Errors
    /// As [`Store::write`]; the connection may be broken then, as after any other failure, and is to be released.
    pub async fn write_next<'k>(&self, kept: &'k mut Kept) -> Result<Tx<'k>, StoreError> {
        let Some(pool) = &kept.pool else { return self.write().await };
        (kept.before, kept.begun) = (kept.connection.is_some(), false);
        let connection = match kept.connection.take() {
            Some(connection) => connection,
            None => pool.acquire().await?,
        };
        let begin = kept.connection.insert(connection).begin();
        let tx = timeout(ACQUIRE, begin).await.map_err(|_| StoreError::Busy)??;
        kept.begun = true;
        Ok(Either::Postgres(tx))
    }

    /// What a database puts off until there is nothing else to do; for the one task that writes. Waits for the disk on this thread.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        match &self.pools {
            Pools::Sqlite(sqlite) => sqlite.fold().await,
            // It has a process of its own for that.
            Pools::Postgres(_) => Ok(()),
        }
    }

    /// A connection that reads. Each statement sees the moment at which it runs: what must be of one moment is one statement, or
    /// is bounded by what the first has found. (A transaction would cost two more trips to the database for every page.)
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite(sqlite) => Either::Sqlite(sqlite.reader()?),
            Pools::Postgres(pool) => Either::Postgres(pool.acquire().await?),
        })
    }

    /// Makes sure that the database answers, within some seconds.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let asking = async {
            let _one: i64 = query("SELECT CAST(one AS BIGINT) FROM server").one(&mut self.reader().await?.conn()).await?;
            Ok(())
        };
        timeout(ANSWER, asking).await.map_err(|_| StoreError::Busy)?
    }

    /// Whether the disk is full, as far as writing has shown. (Of its own, PostgreSQL says so itself.)
    #[must_use]
    pub fn is_full(&self) -> bool {
        match &self.pools {
            Pools::Sqlite(sqlite) => sqlite.is_full(),
            Pools::Postgres(_) => false,
        }
    }

    /// Writes, and changes nothing: does the disk take it?
    ///
    /// # Errors
    /// When it does not, or the database fails otherwise.
    pub async fn write_anything(&self) -> Result<(), StoreError> {
        self.change(query("UPDATE server SET epoch = epoch WHERE one = 1")).await?;
        Ok(())
    }

    /// Runs one statement that writes, as a transaction of its own; how many rows it changed.
    ///
    /// # Errors
    /// When the database fails or says no.
    async fn change(&self, query: Query) -> Result<u64, StoreError> {
        match &self.pools {
            Pools::Sqlite(_) => {
                let mut tx = self.write().await?;
                let changed = query.execute(&mut tx.conn()).await?;
                tx.commit().await?;
                Ok(changed)
            }
            Pools::Postgres(_) => query.execute(&mut self.reader().await?.conn()).await,
        }
    }

    /// The same for a statement that returns the row that it changed, if there is one.
    ///
    /// # Errors
    /// As [`Store::change`].
    async fn change_one<T: FromRow>(&self, query: Query) -> Result<Option<T>, StoreError> {
        match &self.pools {
            Pools::Sqlite(_) => {
                let mut tx = self.write().await?;
                let row = query.optional(&mut tx.conn()).await?;
                tx.commit().await?;
                Ok(row)
            }
            Pools::Postgres(_) => query.optional(&mut self.reader().await?.conn()).await,
        }
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
        self.change(query("UPDATE server SET epoch = $1 WHERE one = 1").bind(Uuid::new_v4())).await?;
        Ok(())
    }

    /// Ends every connection; waits for the transactions under way, though not for ever for a PostgreSQL that says nothing.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite(sqlite) => sqlite.close().await,
            Pools::Postgres(pool) => drop(timeout(ANSWER, pool.pool().close()).await),
        }
    }
}

fn migrated(outcome: Result<(), MigrateError>) -> Result<(), StoreError> {
    outcome.map_err(|error| match error {
        MigrateError::VersionMissing(version) => StoreError::Newer(version),
        error => StoreError::Migration(error),
    })
}

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

        impl query::Column for $name {
            fn of(cell: &query::Cell<'_>) -> Result<Self, StoreError> {
                query::Column::of(cell).map(Self)
            }
        }

        impl From<$name> for query::Value {
            fn from(id: $name) -> Self {
                Self::Uuid(Some(id.0))
            }
        }

        impl From<Option<$name>> for query::Value {
            fn from(id: Option<$name>) -> Self {
                Self::Uuid(id.map(|id| id.0))
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
    query("SAVEPOINT one").execute(conn).await?;
    Ok(())
}

/// Forgets the savepoint and keeps what came after it.
pub(crate) async fn release(conn: &mut Conn<'_>) -> Result<(), StoreError> {
    query("RELEASE SAVEPOINT one").execute(conn).await?;
    Ok(())
}

/// Undoes what came after the savepoint.
pub(crate) async fn back(conn: &mut Conn<'_>) -> Result<(), StoreError> {
    query("ROLLBACK TO SAVEPOINT one").execute(conn).await?;
    release(conn).await
}
