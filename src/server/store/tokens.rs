//! What tokens are signed with, and the tickets that open one socket each.

use super::{LoginId, Store, StoreError, query};
use crate::protocol::Micros;

impl Store {
    /// The key that tokens are signed with: the one that is there, or else `fresh`, which is there from now on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token_key(&self, fresh: &[u8]) -> Result<Vec<u8>, StoreError> {
        let keep = query("UPDATE server SET token_key = coalesce(token_key, $1) WHERE one = 1 RETURNING token_key").bind(fresh);
        self.change_one(keep).await?.ok_or(StoreError::Malformed("server"))
    }

    /// Adds a ticket of `login`, by its hash, and forgets those whose time is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_ticket(&self, hash: &[u8], login: LoginId, expires_at: Micros, at: Micros) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let conn = &mut tx.conn();
        query("DELETE FROM tickets WHERE expires_at <= $1").bind(at.0).execute(conn).await?;
        query("INSERT INTO tickets (hash, login_id, expires_at) VALUES ($1, $2, $3)")
            .bind(hash)
            .bind(login)
            .bind(expires_at.0)
            .execute(conn)
            .await?;
        tx.commit().await
    }

    /// Takes a ticket away, and says whose it was. One statement: of several who show the same ticket one gets it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_ticket(&self, hash: &[u8], at: Micros) -> Result<Option<LoginId>, StoreError> {
        let take = query("DELETE FROM tickets WHERE hash = $1 AND expires_at > $2 RETURNING login_id").bind(hash).bind(at);
        self.change_one(take).await
    }
}
