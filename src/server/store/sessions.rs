//! The session store: a thin wrapper over the well-known ones, so that loading a page never waits behind a commit (on SQLite
//! it loads through the readers and writes through the writer), that a late save does not bring an ended session back,
//! and that the database holds no id that opens anything.

use sha2::{Digest, Sha256};
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, ExpiredDeletion, Result};
use tower_sessions::{SessionStore, session_store};
use tower_sessions_sqlx_store::{PostgresStore, SqliteStore};

use super::{Pools, Store};

/// Sessions in the database.
#[derive(Clone, Debug)]
pub struct Sessions(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Sqlite { loading: SqliteStore, writing: SqliteStore, pool: sqlx::SqlitePool },
    Postgres { store: PostgresStore, pool: sqlx::PgPool },
}

impl Store {
    /// The sessions kept in this database.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions(match &self.pools {
            Pools::Sqlite { writer, readers } => Inner::Sqlite {
                loading: SqliteStore::new(readers.clone()),
                writing: SqliteStore::new(writer.clone()),
                pool: writer.clone(),
            },
            Pools::Postgres(pool) => Inner::Postgres { store: PostgresStore::new(pool.clone()), pool: pool.clone() },
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

fn backend(error: sqlx::Error) -> Error {
    Error::Backend(error.to_string())
}

impl Sessions {
    /// Deletes the sessions whose time is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired(&self) -> Result<()> {
        match &self.0 {
            Inner::Sqlite { writing, .. } => writing.delete_expired().await,
            Inner::Postgres { store, .. } => store.delete_expired().await,
        }
    }
}

#[async_trait::async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        loop {
            let id = stored(record.id);
            let mut kept = Record { id, ..record.clone() };
            match &self.0 {
                Inner::Sqlite { writing, .. } => writing.create(&mut kept).await?,
                Inner::Postgres { store, .. } => store.create(&mut kept).await?,
            }
            if kept.id == id {
                return Ok(());
            }
            // The id was taken, and the store found another that no cookie's id leads to.
            match &self.0 {
                Inner::Sqlite { writing, .. } => writing.delete(&kept.id).await?,
                Inner::Postgres { store, .. } => store.delete(&kept.id).await?,
            }
            record.id = Id::default();
        }
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let kept = Record { id: stored(record.id), ..record.clone() };
        let bytes = rmp_serde::to_vec(&kept).map_err(|error| Error::Encode(error.to_string()))?;
        match &self.0 {
            Inner::Sqlite { pool, .. } => {
                sqlx::query("UPDATE tower_sessions SET data = $2, expiry_date = $3 WHERE id = $1")
                    .bind(kept.id.to_string())
                    .bind(bytes)
                    .bind(kept.expiry_date)
                    .execute(pool)
                    .await
                    .map_err(backend)?;
            }
            Inner::Postgres { pool, .. } => {
                sqlx::query("UPDATE tower_sessions.session SET data = $2, expiry_date = $3 WHERE id = $1")
                    .bind(kept.id.to_string())
                    .bind(bytes)
                    .bind(kept.expiry_date)
                    .execute(pool)
                    .await
                    .map_err(backend)?;
            }
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let key = stored(*id);
        let found = match &self.0 {
            Inner::Sqlite { loading, .. } => loading.load(&key).await?,
            Inner::Postgres { store, .. } => store.load(&key).await?,
        };
        Ok(found.map(|record| Record { id: *id, ..record }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let key = stored(*id);
        match &self.0 {
            Inner::Sqlite { writing, .. } => writing.delete(&key).await,
            Inner::Postgres { store, .. } => store.delete(&key).await,
        }
    }
}
