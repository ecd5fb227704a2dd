//! PostgreSQL: a pool of connections, and how long to wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool, Postgres, Transaction};
use tokio::time::timeout;

use super::{ACQUIRE, StoreError};

/// How long to wait for a connection while there is none to be had. Until that is known, everyone waits for [`ACQUIRE`], so that a
/// database that is started anew is hardly noticed; from then on nobody hangs for what will not come.
const AWAY: Duration = Duration::from_millis(500);

/// Connections to the database, beside the writer's own.
const CONNECTIONS: u32 = 15;

/// How long a transaction may do nothing, and how long it waits for another one's locks: both less than the writer's may take in all.
const LIMITS: &str = "SET idle_in_transaction_session_timeout = '20s'; SET lock_timeout = '10s'";

/// A pool of connections that are waited for as long as [`ACQUIRE`]. What one locked in a transaction that its end was lost of is free
/// again soon, and it does not wait long itself for what another's has locked.
fn limited() -> PgPoolOptions {
    PgPoolOptions::new()
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(LIMITS).await.map(drop) }))
}

/// The database behind a URL. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    pool: PgPool,
    /// The last one who wanted a connection got none.
    away: Arc<AtomicBool>,
}

impl Pool {
    /// Connects.
    ///
    /// # Errors
    /// When there is no such database, or it does not answer.
    pub(super) async fn open(options: PgConnectOptions) -> Result<Self, sqlx::Error> {
        let pool = limited().max_connections(CONNECTIONS).connect_with(options).await?;
        Ok(Self { pool, away: Arc::default() })
    }

    /// One of one connection to the same database, for who keeps it. It is opened when it is asked for.
    pub(super) fn of_one(&self) -> Self {
        let options = PgConnectOptions::clone(&self.pool.connect_options());
        let pool = limited().max_connections(1).connect_lazy_with(options);
        Self { pool, away: Arc::clone(&self.away) }
    }

    /// The pool itself, for who has asked [`Self::there`].
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// # Errors
    /// When there is no connection in time.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.within(|pool| pool.acquire()).await
    }

    /// # Errors
    /// As [`Self::acquire`].
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.within(|pool| async move { pool.begin().await }).await
    }

    /// Makes sure that there is a connection to be had, where the last one who wanted one got none.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub(super) async fn there(&self) -> Result<(), StoreError> {
        if self.is_away() { self.acquire().await.map(drop) } else { Ok(()) }
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    async fn within<T, F>(&self, ask: impl Fn(PgPool) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let late = |_| Err(sqlx::Error::PoolTimedOut);
        let is_late = |outcome: &Result<T, _>| matches!(outcome, Err(sqlx::Error::PoolTimedOut));
        let patience = if self.is_away() { AWAY } else { ACQUIRE };
        let mut outcome = timeout(patience, ask(self.pool.clone())).await.unwrap_or_else(late);
        // It may be this process that stood still (stopped, its machine asleep) while the time went by: then it is there at once.
        if is_late(&outcome) && patience == ACQUIRE {
            outcome = timeout(AWAY, ask(self.pool.clone())).await.unwrap_or_else(late);
        }
        self.away.store(is_late(&outcome), Ordering::Relaxed);
        Ok(outcome?)
    }
}
