//! Adding many messages at once: the one place where the engines' dialects part. A batch travels as one JSON text, since
//! SQLite reads it with `json_each` and PostgreSQL with `json_array_elements`; four statements serve any number of messages.

use serde::Serialize;
use uuid::Uuid;

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
        /// Its place in the batch.
        pub key: i64,
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
    let batch = json(wanted.iter().map(|w| (w.room.as_str(), w.author.0.simple().to_string(), w.id.simple().to_string())))?;
    let found = match conn {
        // `BEGIN IMMEDIATE` holds the one lock that there is.
        Either::Sqlite(_) => {
            query(
                "SELECT j.key AS key, r.id AS room_id, r.last_seq, r.closed_at IS NOT NULL AS closed,
                        (r.kind = 'public' OR m.user_id IS NOT NULL) IS TRUE AS visible, m.user_id IS NOT NULL AS member,
                        d.room_id AS there_room, d.seq AS there_seq, d.text AS there_text
                 FROM json_each($1) AS j
                 LEFT JOIN rooms r ON r.slug = j.value ->> 0
                 LEFT JOIN members m ON m.room_id = r.id AND m.user_id = unhex(j.value ->> 1) AND m.until_seq IS NULL
                 LEFT JOIN messages d ON d.author_id = unhex(j.value ->> 1) AND d.id = unhex(j.value ->> 2)
                 ORDER BY j.key",
            )
            .bind(batch.as_str())
            .all(conn)
            .await?
        }
        Either::Postgres(_) => {
            query(
                "SELECT 1 FROM rooms WHERE slug IN (SELECT value ->> 0 FROM json_array_elements($1::json) AS j(value))
                 ORDER BY id FOR UPDATE",
            )
            .bind(batch.as_str())
            .execute(conn)
            .await?;
            // A statement of its own: it sees what was committed while waiting for the locks.
            query(
                "SELECT j.key - 1 AS key, r.id AS room_id, r.last_seq, r.closed_at IS NOT NULL AS closed,
                        (r.kind = 'public' OR m.user_id IS NOT NULL) IS TRUE AS visible, m.user_id IS NOT NULL AS member,
                        d.room_id AS there_room, d.seq AS there_seq, d.text AS there_text
                 FROM json_array_elements($1::json) WITH ORDINALITY AS j(value, key)
                 LEFT JOIN rooms r ON r.slug = j.value ->> 0
                 LEFT JOIN members m ON m.room_id = r.id AND m.user_id = (j.value ->> 1)::uuid AND m.until_seq IS NULL
                 LEFT JOIN messages d ON d.author_id = (j.value ->> 1)::uuid AND d.id = (j.value ->> 2)::uuid
                 ORDER BY j.key",
            )
            .bind(batch.as_str())
            .all(conn)
            .await?
        }
    };
    Ok(found)
}

/// Adds messages, their events, and moves the rooms' ends. `ends` has each room's last place and when that was: from then on
/// its idleness counts anew.
///
/// # Errors
/// When the database fails or says no; the transaction must then be given up.
pub async fn insert(conn: &mut Conn<'_>, placed: &[Placed<'_>], ends: &[(RoomId, Seq, Micros)]) -> Result<(), StoreError> {
    let rows = json(placed.iter().map(|p| {
        (p.room.0.simple().to_string(), p.seq, p.author.0.simple().to_string(), p.id.simple().to_string(), p.text, p.at)
    }))?;
    let ends = json(ends.iter().map(|(room, seq, at)| (room.0.simple().to_string(), seq, at)))?;
    match conn {
        Either::Sqlite(_) => {
            query(
                "INSERT INTO messages (room_id, seq, author_id, id, text, at, changed_seq)
                 SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), unhex(value ->> 3), value ->> 4, value ->> 5, value ->> 1
                 FROM json_each($1)",
            )
            .bind(rows.as_str())
            .execute(conn)
            .await?;
            query(
                "INSERT INTO log (room_id, seq, kind, user_id, message_seq, at)
                 SELECT unhex(value ->> 0), value ->> 1, 'message', unhex(value ->> 2), value ->> 1, value ->> 5 FROM json_each($1)",
            )
            .bind(rows.as_str())
            .execute(conn)
            .await?;
            query(
                "UPDATE rooms SET last_seq = j.value ->> 1, active_at = j.value ->> 2, idle_from = j.value ->> 2
                 FROM json_each($1) AS j WHERE rooms.id = unhex(j.value ->> 0)",
            )
            .bind(ends.as_str())
            .execute(conn)
            .await?;
        }
        Either::Postgres(_) => {
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
                "INSERT INTO log (room_id, seq, kind, user_id, message_seq, at)
                 SELECT (value ->> 0)::uuid, (value ->> 1)::bigint, 'message', (value ->> 2)::uuid, (value ->> 1)::bigint,
                        (value ->> 5)::bigint
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
