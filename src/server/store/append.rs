//! Adding many messages at once: where the engines part. To PostgreSQL a batch travels as arrays, and four
//! statements serve any number of messages. On SQLite, where a statement costs no trip, each message has its own: prepared once,
//! it costs less than taking JSON apart.

use std::collections::HashMap;

use uuid::Uuid;

use super::query::{FromRow, Row};
use super::{Conn, Either, RoomId, StoreError, UserId, row};
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
        Either::Postgres(conn) => {
            let slugs: Vec<_> = wanted.iter().map(|w| w.room.as_str()).collect();
            // Who waits for a lock is given the row as it is afterwards.
            let rooms = sqlx::query(
                "SELECT slug, id, last_seq, closed_at IS NOT NULL, kind = 'public'
                 FROM rooms WHERE slug = ANY ($1::text[]) ORDER BY id FOR UPDATE",
            )
            .bind(&slugs)
            .fetch_all(&mut **conn)
            .await?;
            let rooms = rooms.iter().map(|row| {
                let (slug, id, last_seq, closed, public) = FromRow::from_row(&mut Row::postgres(row))?;
                Ok((slug, (id, last_seq, closed, public)))
            });
            let rooms: HashMap<String, (RoomId, i64, bool, bool)> = rooms.collect::<Result<_, StoreError>>()?;
            let rooms: Vec<_> = slugs.iter().map(|slug| rooms.get(*slug)).collect();
            // A statement of its own: it sees what was committed while waiting for the locks. Each row is looked up by itself
            // (a LATERAL with a LIMIT is not joined otherwise): the plan is kept, and one that is made while the tables are small
            // would go through all of them for every batch when they have grown.
            let rows = sqlx::query(
                "SELECT m.user_id IS NOT NULL AS member, d.room_id, d.seq, d.text
                 FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS w(room_id, author_id, id, key)
                 LEFT JOIN LATERAL (
                   SELECT user_id FROM members WHERE room_id = w.room_id AND user_id = w.author_id AND until_seq IS NULL LIMIT 1
                 ) m ON TRUE
                 LEFT JOIN LATERAL (
                   SELECT room_id, seq, text FROM messages WHERE author_id = w.author_id AND id = w.id LIMIT 1
                 ) d ON TRUE
                 ORDER BY w.key",
            )
            .bind(rooms.iter().map(|room| room.map(|(id, ..)| id.0)).collect::<Vec<_>>())
            .bind(wanted.iter().map(|w| w.author.0).collect::<Vec<_>>())
            .bind(wanted.iter().map(|w| w.id).collect::<Vec<_>>())
            .fetch_all(&mut **conn)
            .await?;
            let find = |(row, room): (_, Option<&(RoomId, i64, bool, bool)>)| {
                let (member, there_room, there_seq, there_text) = FromRow::from_row(&mut Row::postgres(row))?;
                Ok(Finding {
                    room_id: room.map(|(id, ..)| *id),
                    last_seq: room.map(|(_, last_seq, ..)| *last_seq),
                    closed: room.is_some_and(|(_, _, closed, _)| *closed),
                    visible: member || room.is_some_and(|(.., public)| *public),
                    member,
                    there_room,
                    there_seq,
                    there_text,
                })
            };
            rows.iter().zip(rooms).map(find).collect()
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
        Either::Postgres(conn) => {
            sqlx::query(
                "INSERT INTO messages (room_id, seq, author_id, id, text, at, changed_seq)
                 SELECT room_id, seq, author_id, id, text, at, seq
                 FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[])
                   AS p(room_id, seq, author_id, id, text, at)",
            )
            .bind(placed.iter().map(|p| p.room.0).collect::<Vec<_>>())
            .bind(placed.iter().map(|p| p.seq.0).collect::<Vec<_>>())
            .bind(placed.iter().map(|p| p.author.0).collect::<Vec<_>>())
            .bind(placed.iter().map(|p| p.id).collect::<Vec<_>>())
            .bind(placed.iter().map(|p| p.text).collect::<Vec<_>>())
            .bind(placed.iter().map(|p| p.at.0).collect::<Vec<_>>())
            .execute(&mut **conn)
            .await?;
            sqlx::query(
                "UPDATE rooms SET last_seq = e.seq, active_at = e.at, idle_from = e.at
                 FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS e(id, seq, at) WHERE rooms.id = e.id",
            )
            .bind(ends.iter().map(|(room, ..)| room.0).collect::<Vec<_>>())
            .bind(ends.iter().map(|(_, seq, _)| seq.0).collect::<Vec<_>>())
            .bind(ends.iter().map(|(.., at)| at.0).collect::<Vec<_>>())
            .execute(&mut **conn)
            .await?;
        }
    }
    Ok(())
}
