//! Word for the other processes that share a PostgreSQL: a numbered list of what they cannot see by themselves, which each
//! server reads twice a second. On SQLite there is one process and nobody to tell.

use tokio::time::timeout;

use super::query::answered;
use super::{ANSWER, Conn, Either, LoginId, Pools, RoomId, Store, StoreError};
use crate::protocol::{Micros, Seq};

/// How many are read at once.
const READ: i64 = 1000;

/// Something that other processes should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A login has ended, and with it what stands on it.
    LoginEnded(LoginId),
    /// A room's log goes up to here, by a process that has no connections to tell.
    Room(RoomId, Seq),
}

#[derive(Debug, sqlx::FromRow)]
struct NoticeRow {
    number: i64,
    login_id: Option<LoginId>,
    room_id: Option<RoomId>,
    seq: Option<i64>,
}

/// Adds notices to the list; they are read once the transaction is committed.
///
/// # Errors
/// When the database fails.
pub async fn leave(conn: &mut Conn<'_>, notices: &[Notice], at: Micros) -> Result<(), StoreError> {
    let Either::Postgres(c) = conn else { return Ok(()) };
    if notices.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(notices.len()).unwrap_or(i64::MAX);
    // The row stays locked until the commit, so that the numbers are in the order of the commits and none is passed over.
    let take = sqlx::query_scalar("UPDATE server SET last_notice = last_notice + $1 WHERE one = 1 RETURNING last_notice");
    let last: i64 = answered(take.bind(count).fetch_one(&mut **c)).await?;
    for (notice, number) in notices.iter().zip(last - count + 1..) {
        let (login, room, seq) = match notice {
            Notice::LoginEnded(login) => (Some(*login), None, None),
            Notice::Room(room, seq) => (None, Some(*room), Some(seq.0)),
        };
        let add = sqlx::query("INSERT INTO notices (number, login_id, room_id, seq, at) VALUES ($1, $2, $3, $4, $5)")
            .bind(number)
            .bind(login)
            .bind(room)
            .bind(seq)
            .bind(at.0)
            .execute(&mut **c);
        answered(add).await?;
    }
    Ok(())
}

impl Store {
    /// The number of the last notice; none on SQLite, where there are none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_notice(&self) -> Result<Option<i64>, StoreError> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(None) };
        Ok(Some(sqlx::query_scalar("SELECT last_notice FROM server WHERE one = 1").fetch_one(&mut *pool.acquire().await?).await?))
    }

    /// The notices after the number `after`, in order, up to [`READ`] of them. Their numbers have no gap, unless
    /// [`Store::forget_notices`] has made one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notices(&self, after: i64) -> Result<Vec<(i64, Notice)>, StoreError> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(Vec::new()) };
        let mut connection = pool.acquire().await?;
        let read =
            sqlx::query_as("SELECT number, login_id, room_id, seq FROM notices WHERE number > $1 ORDER BY number LIMIT $2")
                .bind(after)
                .bind(READ)
                .fetch_all(&mut *connection);
        let rows: Vec<NoticeRow> = timeout(ANSWER, read).await.map_err(|_| StoreError::Busy)??;
        let notice = |row: NoticeRow| match (row.login_id, row.room_id, row.seq) {
            (Some(login), ..) => Ok((row.number, Notice::LoginEnded(login))),
            (_, Some(room), Some(seq)) => Ok((row.number, Notice::Room(room, Seq(seq)))),
            _ => Err(StoreError::Malformed("notices")),
        };
        rows.into_iter().map(notice).collect()
    }

    /// Deletes the notices from before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_notices(&self, before: Micros) -> Result<(), StoreError> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(()) };
        let forget = sqlx::query("DELETE FROM notices WHERE at < $1").bind(before.0);
        answered(forget.execute(&mut *pool.acquire().await?)).await?;
        Ok(())
    }
}
