//! Adding many messages at once: the one place where the engines part. To PostgreSQL a batch travels as one JSON text, and four
//! statements serve any number of messages. On SQLite, where a statement costs no trip, each message has its own: prepared once,
//! it costs less than taking JSON apart.

use serde::Serialize;
use uuid::Uuid;

use super::query::{FromRow, Row};
use super::{Conn, Either, RoomId, StoreError, UserId, query, row};
use crate::protocol::{Micros, Seq, Slug};

/// A message that someone wants to send: its room, its author, its author's id for it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub room: &'a Slug,
    pub author: UserId,
    pub id: Uuid,
}

row! {
    /// What must be known to decide on it, read under the locks of the rooms.
    #[derive(Clone, Debug)]
    pub struct Finding {
        /// None when there is no such room.
        pub room_id: Option<RoomId>,
        pub last_seq: Option<i64>,
        pub closed: bool,
        pub visible: bool,
        pub member: bool,
        /// The message that already has this author and id: where, and what it says.
        pub there_room: Option<RoomId>,
        pub there_seq: Option<i64>,
        pub there_text: Option<String>,
    }
}

/// A message with its place.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    pub room: RoomId,
    pub seq: Seq,
    pub author: UserId,
    pub id: Uuid,
    pub text: &'a str,
    pub at: Micros,
}

fn json<T: Serialize>(rows: impl Iterator<Item = T>) -> Result<String, StoreError> {
    serde_json::to_string(&rows.collect::<Vec<_>>()).map_err(|_| StoreError::Malformed("a batch"))
}

/// Locks the rooms of a batch, in the order of their ids, and reads what is needed to decide on each message, in the order of
/// the batch.
///
/// # Errors
/// When the database fails.
pub async fn examine(conn: &mut Conn<'_>, wanted: &[Wanted<'_>]) -> Result<Vec<Finding>, StoreError> {
    match conn {
        // `BEGIN IMMEDIATE` holds the one lock that there is.
        Either::Sqlite(conn) => {
            let mut statement = conn.prepare_cached(
                "SELECT r.id AS room_id, r.last_seq, r.closed_at IS NOT NULL AS closed,
                        (r.kind = 'public' OR m.user_id IS NOT NULL) IS TRUE AS visible, m.user_id IS NOT NULL AS member,
                        d.room_id AS there_room, d.seq AS there_seq, d.text AS there_text
                 FROM (SELECT 1) AS one
                 LEFT JOIN rooms r ON r.slug = ?1
                 LEFT JOIN members m ON m.room_id = r.id AND m.user_id = ?2 AND m.until_seq IS NULL
                 LEFT JOIN messages d ON d.author_id = ?2 AND d.id = ?3",
            )?;
            let mut find = |w: &Wanted<'_>| {
                let mut rows = statement.query((w.room.as_str(), w.author.0, w.id))?;
                let row = rows.next()?.ok_or(StoreError::Malformed("the findings of a batch"))?;
                Finding::from_row(&mut Row::sqlite(row))
            };
            wanted.iter().map(&mut find).collect()
        }
        Either::Postgres(_) => {
            let batch =
                json(wanted.iter().map(|w| (w.room.as_str(), w.author.0.simple().to_string(), w.id.simple().to_string())))?;
            query(
                "SELECT 1 FROM rooms WHERE slug IN (SELECT value ->> 0 FROM json_array_elements($1::json) AS j(value))
                 ORDER BY id FOR UPDATE",
            )
            .bind(batch.as_str())
            .execute(conn)
            .await?;
            // A statement of its own: it sees what was committed while waiting for the locks. Each row is looked up by itself
            // (a LATERAL with a LIMIT is not joined otherwise): the plan is kept, and one that is made while the tables are small
            // would go through all of them for every batch when they have grown.
            query(
                "SELECT r.id AS room_id, r.last_seq, r.closed_at IS NOT NULL AS closed,
                        (r.kind = 'public' OR m.user_id IS NOT NULL) IS TRUE AS visible, m.user_id IS NOT NULL AS member,
                        d.room_id AS there_room, d.seq AS there_seq, d.text AS there_text
                 FROM json_array_elements($1::json) WITH ORDINALITY AS j(value, key)
                 LEFT JOIN LATERAL (SELECT id, last_seq, closed_at, kind FROM rooms WHERE slug = j.value ->> 0 LIMIT 1) r ON TRUE
                 LEFT JOIN LATERAL (
                   SELECT user_id FROM members
                   WHERE room_id = r.id AND user_id = (j.value ->> 1)::uuid AND until_seq IS NULL LIMIT 1
                 ) m ON TRUE
                 LEFT JOIN LATERAL (
                   SELECT room_id, seq, text FROM messages
                   WHERE author_id = (j.value ->> 1)::uuid AND id = (j.value ->> 2)::uuid LIMIT 1
                 ) d ON TRUE
                 ORDER BY j.key",
            )
            .bind(batch.as_str())
            .all(conn)
            .await
        }
    }
}

/// Adds messages, each of which is its own event of the log, and moves the rooms' ends. `ends` has each room's last place and when
/// that was: from then on its idleness counts anew.
///
/// # Errors
/// When the database fails or says no; the transaction must then be given up.
pub async fn insert(conn: &mut Conn<'_>, placed: &[Placed<'_>], ends: &[(RoomId, Seq, Micros)]) -> Result<(), StoreError> {
    match conn {
        Either::Sqlite(conn) => {
            let mut insert = conn.prepare_cached(
                "INSERT INTO messages (room_id, seq, author_id, id, text, at, changed_seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?2)",
            )?;
            for p in placed {
                insert.execute((p.room.0, p.seq.0, p.author.0, p.id, p.text, p.at.0))?;
            }
            let mut advance =
                conn.prepare_cached("UPDATE rooms SET last_seq = ?2, active_at = ?3, idle_from = ?3 WHERE id = ?1")?;
            for (room, seq, at) in ends {
                advance.execute((room.0, seq.0, at.0))?;
            }
        }
        Either::Postgres(_) => {
            let rows = json(placed.iter().map(|p| {
                (p.room.0.simple().to_string(), p.seq, p.author.0.simple().to_string(), p.id.simple().to_string(), p.text, p.at)
            }))?;
            let ends = json(ends.iter().map(|(room, seq, at)| (room.0.simple().to_string(), seq, at)))?;
            query(
                "INSERT INTO messages (room_id, seq, author_id, id, text, at, changed_seq)
                 SELECT (value ->> 0)::uuid, (value ->> 1)::bigint, (value ->> 2)::uuid, (value ->> 3)::uuid, value ->> 4,
                        (value ->> 5)::bigint, (value ->> 1)::bigint
                 FROM json_array_elements($1::json) AS j(value)",
            )
            .bind(rows.as_str())
            .execute(conn)
            .await?;
            query(
                "UPDATE rooms SET last_seq = (j.value ->> 1)::bigint, active_at = (j.value ->> 2)::bigint,
                        idle_from = (j.value ->> 2)::bigint
                 FROM json_array_elements($1::json) AS j(value) WHERE rooms.id = (j.value ->> 0)::uuid",
            )
            .bind(ends.as_str())
            .execute(conn)
            .await?;
        }
    }
    Ok(())
}
