//! The session store: on PostgreSQL the well-known one, on SQLite the same table through the store's own connections, so that
//! loading a page never waits behind a commit. On both a late save does not bring an ended session back, and the database holds
//! no id that opens anything.

use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, ExpiredDeletion, Result};
use tower_sessions::{SessionStore, session_store};
use tower_sessions_sqlx_store::PostgresStore;

use super::postgres::Pool;
use super::query::answered;
use super::{PATIENCE, Pools, Store, StoreError, query};

/// Sessions in the database.
#[derive(Clone, Debug)]
pub struct Sessions(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Sqlite(Store),
    Postgres { store: PostgresStore, pool: Pool },
}

impl Store {
    /// The sessions kept in this database.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions(match &self.pools {
            Pools::Sqlite(_) => Inner::Sqlite(self.clone()),
            Pools::Postgres(pool) => Inner::Postgres { store: PostgresStore::new(pool.pool().clone()), pool: pool.clone() },
        })
    }
}

/// The id under which a session is stored: the first 128 bits of the SHA-256 of the one that the cookie has. The ids are
/// random, 128 bits wide, so a plain hash is enough.
fn stored(id: Id) -> Id {
    let digest = Sha256::digest(id.0.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Id(i128::from_be_bytes(bytes))
}

fn backend(error: impl Into<StoreError>) -> Error {
    Error::Backend(error.into().to_string())
}

/// What the well-known store does, within [`PATIENCE`].
async fn in_time<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, answer).await.map_err(|_| backend(StoreError::Busy))?
}

fn encoded(record: &Record) -> Result<Vec<u8>> {
    rmp_serde::to_vec(record).map_err(|error| Error::Encode(error.to_string()))
}

/// A moment as the table has it on SQLite: in UTC, so that the texts sort as the moments do.
fn moment(at: OffsetDateTime) -> Result<String> {
    at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).map_err(|error| Error::Encode(error.to_string()))
}

impl Sessions {
    /// Deletes the sessions whose time is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired(&self) -> Result<()> {
        match &self.0 {
            Inner::Sqlite(store) => {
                let over = query("DELETE FROM tower_sessions WHERE expiry_date < $1").bind(moment(OffsetDateTime::now_utc())?);
                store.change(over).await.map_err(backend)?;
                Ok(())
            }
            Inner::Postgres { store, .. } => in_time(store.delete_expired()).await,
        }
    }
}

#[async_trait::async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        loop {
            let id = stored(record.id);
            let mut kept = Record { id, ..record.clone() };
            let created = match &self.0 {
                Inner::Sqlite(store) => {
                    let insert = query(
                        "INSERT INTO tower_sessions (id, data, expiry_date) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
                    )
                    .bind(id.to_string())
                    .bind(encoded(&kept)?)
                    .bind(moment(kept.expiry_date)?);
                    store.change(insert).await.map_err(backend)? > 0
                }
                Inner::Postgres { store, .. } => {
                    in_time(store.create(&mut kept)).await?;
                    // Where the id was taken, the store has found another, which no cookie's id leads to.
                    if kept.id != id {
                        in_time(store.delete(&kept.id)).await?;
                    }
                    kept.id == id
                }
            };
            if created {
                return Ok(());
            }
            record.id = Id::default();
        }
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let kept = Record { id: stored(record.id), ..record.clone() };
        match &self.0 {
            Inner::Sqlite(store) => {
                let update = query("UPDATE tower_sessions SET data = $2, expiry_date = $3 WHERE id = $1")
                    .bind(kept.id.to_string())
                    .bind(encoded(&kept)?)
                    .bind(moment(kept.expiry_date)?);
                store.change(update).await.map_err(backend)?;
            }
            Inner::Postgres { pool, .. } => {
                let save = sqlx::query("UPDATE tower_sessions.session SET data = $2, expiry_date = $3 WHERE id = $1")
                    .bind(kept.id.to_string())
                    .bind(encoded(&kept)?)
                    .bind(kept.expiry_date)
                    .execute(pool.pool());
                answered(save).await.map_err(backend)?;
            }
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let key = stored(*id);
        let found = match &self.0 {
            Inner::Sqlite(store) => {
                let select = query("SELECT data FROM tower_sessions WHERE id = $1 AND expiry_date > $2")
                    .bind(key.to_string())
                    .bind(moment(OffsetDateTime::now_utc())?);
                let mut reader = store.reader().await.map_err(backend)?;
                let data: Option<Vec<u8>> = select.optional(&mut reader.conn()).await.map_err(backend)?;
                data.map(|data| rmp_serde::from_slice::<Record>(&data))
                    .transpose()
                    .map_err(|error| Error::Decode(error.to_string()))?
            }
            Inner::Postgres { store, pool } => {
                pool.there().await.map_err(backend)?;
                in_time(store.load(&key)).await?
            }
        };
        Ok(found.map(|record| Record { id: *id, ..record }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let key = stored(*id);
        match &self.0 {
            Inner::Sqlite(store) => {
                store.change(query("DELETE FROM tower_sessions WHERE id = $1").bind(key.to_string())).await.map_err(backend)?;
                Ok(())
            }
            Inner::Postgres { store, .. } => in_time(store.delete(&key)).await,
        }
    }
}
