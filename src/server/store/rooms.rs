//! Rooms and their members.

use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use super::query::{FromRow, Row};
use super::{Conn, RoomId, Store, StoreError, UserId, accounts, query, row};
use crate::protocol::{Idle, Micros, Seq, Slug, UNREAD_MAX};

/// The first rooms of a database: slug and topic. Their name is the slug. They never close.
const FIRST: [(&str, &str); 3] = [
    ("general", "Everything that has no room of its own"),
    ("random", "Whatever crosses your mind"),
    ("help", "Questions, and people who know"),
];

/// The room that newcomers are members of.
pub const NEWCOMERS: &str = "general";

row! {
    /// A room as one person sees it.
    #[derive(Clone, Debug)]
    pub struct RoomRow {
        pub id: RoomId,
        slug: String,
        pub name: String,
        pub topic: String,
        pub closed: bool,
        idle_after: Option<i64>,
        /// None for the rooms that are there from the start.
        pub created_by: Option<UserId>,
        pub member_count: i64,
        pub last_seq: i64,
        pub active_at: i64,
        /// Up to where a current member has read; none for who is no member.
        pub read_seq: Option<i64>,
        /// Since when they are a member.
        pub since_seq: Option<i64>,
    }
}

/// A room as one person sees it, with what they have not read.
#[derive(Clone, Debug)]
pub struct CountedRow {
    pub room: RoomRow,
    /// Messages of others after `read_seq`, up to [`UNREAD_MAX`].
    unread: i64,
}

impl FromRow for CountedRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { room: RoomRow::from_row(row)?, unread: row.column_named("unread")? })
    }
}

impl CountedRow {
    #[must_use]
    pub fn unread(&self) -> u32 {
        up_to_max(self.unread)
    }
}

/// What a statement counted, which stops at [`UNREAD_MAX`].
#[must_use]
pub fn up_to_max(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(UNREAD_MAX)
}

impl RoomRow {
    /// # Errors
    /// When the database holds another form.
    pub fn slug(&self) -> Result<Slug, StoreError> {
        Slug::new(self.slug.as_str()).map_err(|_| StoreError::Malformed("rooms.slug"))
    }

    /// # Errors
    /// When the database holds another length than there are choices.
    pub fn idle(&self) -> Result<Idle, StoreError> {
        Idle::lasting(self.idle_after).map_err(|_| StoreError::Malformed("rooms.idle_after"))
    }

    #[must_use]
    pub fn member(&self) -> bool {
        self.read_seq.is_some()
    }

    #[must_use]
    pub fn last(&self) -> Seq {
        Seq(self.last_seq)
    }

    #[must_use]
    pub fn read(&self) -> Seq {
        Seq(self.read_seq.unwrap_or_default())
    }
}

macro_rules! room_columns {
    () => {
        "r.id, r.slug, r.name, r.topic, r.closed_at IS NOT NULL AS closed, r.idle_after, r.created_by,
         r.member_count, r.last_seq, r.active_at, m.read_seq, m.since_seq"
    };
}

/// `$1` is the one who looks. The count walks the room's messages from the cursor on and stops at `UNREAD_MAX`.
macro_rules! unread {
    () => {
        "CASE WHEN m.read_seq IS NULL OR m.read_seq >= r.last_seq THEN 0 ELSE (
           SELECT count(*) FROM (
             SELECT 1 AS one FROM messages x
             WHERE x.room_id = r.id AND x.seq > m.read_seq AND x.author_id <> $1 AND x.deleted_at IS NULL
             LIMIT 100
           ) AS counted
         ) END AS unread"
    };
}

macro_rules! counted {
    () => {
        concat!("SELECT ", room_columns!(), ", ", unread!(), " FROM rooms r")
    };
}

/// One room, where one may see it: `$1` is the one who looks, `$2` its slug.
macro_rules! seen {
    () => {
        " LEFT JOIN members m ON m.room_id = r.id AND m.user_id = $1 AND m.until_seq IS NULL
          WHERE r.slug = $2 AND (r.kind = 'public' OR m.user_id IS NOT NULL)"
    };
}

/// Those that one is a member of: `$1` is the one who looks.
macro_rules! joined {
    () => {
        " JOIN members m ON m.room_id = r.id AND m.user_id = $1 AND m.until_seq IS NULL ORDER BY r.id"
    };
}

/// The rooms that `user` is a member of.
///
/// # Errors
/// When the database fails.
pub async fn joined(store: &Store, user: UserId) -> Result<Vec<RoomRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", room_columns!(), " FROM rooms r", joined!());
    query(SQL).bind(user).all(&mut store.reader().await?.conn()).await
}

/// As [`joined`], with what they have not read.
///
/// # Errors
/// When the database fails.
pub async fn joined_counted(store: &Store, user: UserId) -> Result<Vec<CountedRow>, StoreError> {
    const SQL: &str = concat!(counted!(), joined!());
    query(SQL).bind(user).all(&mut store.reader().await?.conn()).await
}

/// The ids alone of the rooms that `user` is a member of.
///
/// # Errors
/// When the database fails.
pub async fn joined_ids(store: &Store, user: UserId) -> Result<Vec<RoomId>, StoreError> {
    let ids = query("SELECT room_id FROM members WHERE user_id = $1 AND until_seq IS NULL")
        .bind(user)
        .all(&mut store.reader().await?.conn())
        .await?;
    Ok(ids)
}

/// One room as `user` sees it; none where they may not.
///
/// # Errors
/// When the database fails.
pub async fn one(conn: &mut Conn<'_>, user: UserId, slug: &Slug) -> Result<Option<RoomRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", room_columns!(), " FROM rooms r", seen!());
    query(SQL).bind(user).bind(slug.as_str()).optional(conn).await
}

/// As [`one`], with what they have not read.
///
/// # Errors
/// When the database fails.
pub async fn one_counted(conn: &mut Conn<'_>, user: UserId, slug: &Slug) -> Result<Option<CountedRow>, StoreError> {
    const SQL: &str = concat!(counted!(), seen!());
    query(SQL).bind(user).bind(slug.as_str()).optional(conn).await
}

/// The rooms that `user` is in or could join, by slug: `limit` of them after the slug `after`.
///
/// # Errors
/// When the database fails.
pub async fn visible(conn: &mut Conn<'_>, user: UserId, after: &str, limit: i64) -> Result<Vec<CountedRow>, StoreError> {
    const SQL: &str = concat!(
        counted!(),
        " LEFT JOIN members m ON m.room_id = r.id AND m.user_id = $1 AND m.until_seq IS NULL
          WHERE r.slug > $2 AND (m.user_id IS NOT NULL OR (r.kind = 'public' AND r.closed_at IS NULL)) ORDER BY r.slug LIMIT $3"
    );
    query(SQL).bind(user).bind(after).bind(limit).all(conn).await
}

row! {
    /// A current member of a room.
    #[derive(Clone, Debug)]
    pub struct MemberRow {
        pub username: String,
        pub display_name: String,
        pub role: String,
        pub since_seq: i64,
    }
}

/// The current members of a room, by username without case: `limit` of them after the username `after`, as a key.
///
/// # Errors
/// When the database fails.
pub async fn members(conn: &mut Conn<'_>, room: RoomId, after: &str, limit: i64) -> Result<Vec<MemberRow>, StoreError> {
    query(
        "SELECT u.username, u.display_name, m.role, m.since_seq FROM members m JOIN users u ON u.id = m.user_id
         WHERE m.room_id = $1 AND m.until_seq IS NULL AND u.username_key > $2 ORDER BY u.username_key LIMIT $3",
    )
    .bind(room)
    .bind(after)
    .bind(limit)
    .all(conn)
    .await
}

row! {
    /// A room that was looked for.
    #[derive(Clone, Debug)]
    pub struct FoundRow {
        slug: String,
        pub name: String,
        pub topic: String,
        pub closed: bool,
        pub member_count: i64,
        pub active_at: i64,
        pub member: bool,
    }
}

impl FoundRow {
    /// # Errors
    /// When the database holds another form.
    pub fn slug(&self) -> Result<Slug, StoreError> {
        Slug::new(self.slug.as_str()).map_err(|_| StoreError::Malformed("rooms.slug"))
    }
}

/// Which rooms to look for.
#[derive(Clone, Debug)]
pub struct Search {
    /// Whether those that one is in are looked through too, closed ones among them.
    own: bool,
    /// What the key begins with, and what it contains: patterns of `LIKE`.
    begins: String,
    contains: String,
}

impl Search {
    /// Every room that one could join.
    #[must_use]
    pub fn open() -> Self {
        Self { own: false, begins: "%".to_owned(), contains: "%".to_owned() }
    }

    /// Every room that one is in or could join and that has `text` in its name or topic.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut begins = String::with_capacity(text.len() + 1);
        for c in folded(text).chars() {
            if matches!(c, '%' | '_' | '\\') {
                begins.push('\\');
            }
            begins.push(c);
        }
        begins.push('%');
        Self { own: true, contains: format!("%{begins}"), begins }
    }
}

/// What is kept of a room to find it by: its name and its topic, each [`folded`].
fn search_key(name: &str, topic: &str) -> String {
    format!("{}\n{}", folded(name), folded(topic))
}

/// A text without case, accents and other dress: who looks for "cafe" finds "Café". Neither engine has this for more than ASCII.
fn folded(text: &str) -> String {
    text.nfkd().filter(|c| !('\u{300}'..='\u{36F}').contains(c)).flat_map(char::to_lowercase).collect()
}

/// `$1` is the one who looks, `$2` whether their own rooms count, `$3` what the key contains.
macro_rules! found {
    () => {
        " FROM rooms r
          WHERE r.search_key LIKE $3 ESCAPE '\\'
            AND CASE WHEN r.id IN (SELECT room_id FROM members WHERE user_id = $1 AND until_seq IS NULL) THEN $2
                     ELSE r.kind = 'public' AND r.closed_at IS NULL END"
    };
}

/// The rooms that `user` is a member of, and those that they could join and that were active last, `lively` of them. It is read
/// for every page; for the second part it walks over all rooms and looks at little of each. (An index by activity would be
/// written to with every message.)
///
/// # Errors
/// When the database fails.
pub async fn listed(conn: &mut Conn<'_>, user: UserId, lively: i64) -> Result<Vec<RoomRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        room_columns!(),
        " FROM rooms r JOIN members m ON m.room_id = r.id AND m.user_id = $1 AND m.until_seq IS NULL
          UNION ALL
          SELECT * FROM (
            SELECT r.id, r.slug, r.name, r.topic, FALSE AS closed, r.idle_after, r.created_by, r.member_count, r.last_seq, r.active_at,
                   CAST(NULL AS BIGINT) AS read_seq, CAST(NULL AS BIGINT) AS since_seq
            FROM rooms r
            WHERE r.kind = 'public' AND r.closed_at IS NULL
              AND r.id NOT IN (SELECT room_id FROM members WHERE user_id = $1 AND until_seq IS NULL)
            ORDER BY r.active_at DESC, r.slug LIMIT $2
          ) AS lively"
    );
    query(SQL).bind(user).bind(lively).all(conn).await
}

/// What `user` has not read of each of their rooms that has something: messages of others after the cursor, up to [`UNREAD_MAX`].
///
/// # Errors
/// When the database fails.
pub async fn unread(conn: &mut Conn<'_>, user: UserId) -> Result<Vec<(RoomId, i64)>, StoreError> {
    const SQL: &str = concat!("SELECT r.id, ", unread!(), " FROM rooms r", joined!());
    query(SQL).bind(user).all(conn).await
}

/// How many rooms a search finds.
///
/// # Errors
/// When the database fails.
pub async fn count_found(conn: &mut Conn<'_>, user: UserId, search: &Search) -> Result<i64, StoreError> {
    const SQL: &str = concat!("SELECT count(*)", found!());
    query(SQL).bind(user).bind(search.own).bind(&search.contains).one(conn).await
}

/// What a search finds: first what begins with it, and of those what was active last; `limit` of them after the first `skip`.
///
/// # Errors
/// When the database fails.
pub async fn find(
    conn: &mut Conn<'_>,
    user: UserId,
    search: &Search,
    limit: i64,
    skip: i64,
) -> Result<Vec<FoundRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT r.slug, r.name, r.topic, r.closed_at IS NOT NULL AS closed, r.member_count, r.active_at,
                r.id IN (SELECT room_id FROM members WHERE user_id = $1 AND until_seq IS NULL) AS member",
        found!(),
        " ORDER BY CASE WHEN r.search_key LIKE $4 ESCAPE '\\' THEN 0 ELSE 1 END, r.active_at DESC, r.slug LIMIT $5 OFFSET $6"
    );
    query(SQL).bind(user).bind(search.own).bind(&search.contains).bind(&search.begins).bind(limit).bind(skip).all(conn).await
}

row! {
    /// A place in a room's log that was just taken, and whether the room is closed.
    #[derive(Clone, Copy, Debug)]
    pub struct Place {
        pub id: RoomId,
        pub seq: i64,
        pub closed: bool,
    }
}

/// Takes the next place in a room's log, and with it the lock on the room until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn take_place(conn: &mut Conn<'_>, slug: &Slug, at: Micros) -> Result<Option<Place>, StoreError> {
    query(
        "UPDATE rooms SET last_seq = last_seq + 1, active_at = $2 WHERE slug = $1
         RETURNING id, last_seq AS seq, closed_at IS NOT NULL AS closed",
    )
    .bind(slug.as_str())
    .bind(at.0)
    .optional(conn)
    .await
}

row! {
    /// A room's kind, who made it, and whether `user` is a current member.
    #[derive(Clone, Debug)]
    pub struct Standing {
        pub kind: String,
        pub created_by: Option<UserId>,
        pub member: bool,
    }
}

/// # Errors
/// When the database fails.
pub async fn standing(conn: &mut Conn<'_>, room: RoomId, user: UserId) -> Result<Standing, StoreError> {
    query(
        "SELECT r.kind, r.created_by,
                EXISTS (SELECT 1 FROM members m WHERE m.room_id = r.id AND m.user_id = $2 AND m.until_seq IS NULL) AS member
         FROM rooms r WHERE r.id = $1",
    )
    .bind(room)
    .bind(user)
    .one(conn)
    .await
}

/// Whether a room is one of those that are there from the start.
///
/// # Errors
/// When the database fails.
pub async fn is_first(conn: &mut Conn<'_>, room: RoomId) -> Result<bool, StoreError> {
    query("SELECT created_by IS NULL FROM rooms WHERE id = $1").bind(room).one(conn).await
}

/// What happened to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Joined,
    Left,
}

impl Turn {
    /// As in the column `log.kind`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Left => "left",
        }
    }
}

/// Makes `user` a member, or ends that, at `seq`, and logs it. The caller has taken the place and checked.
///
/// # Errors
/// When the database fails.
pub async fn turn(
    conn: &mut Conn<'_>,
    room: RoomId,
    user: UserId,
    role: &str,
    turn: Turn,
    seq: Seq,
    at: Micros,
) -> Result<(), StoreError> {
    let change = match turn {
        // What was there before one came is not unread.
        Turn::Joined => query(
            "INSERT INTO members (room_id, user_id, role, since_seq, read_seq) VALUES ($1, $2, $3, $4, $4)
             ON CONFLICT (room_id, user_id) DO UPDATE
             SET role = excluded.role, since_seq = excluded.since_seq, until_seq = NULL, read_seq = excluded.read_seq",
        )
        .bind(room)
        .bind(user)
        .bind(role)
        .bind(seq.0),
        Turn::Left => {
            query("UPDATE members SET until_seq = $3 WHERE room_id = $1 AND user_id = $2").bind(room).bind(user).bind(seq.0)
        }
    };
    change.execute(conn).await?;
    query("UPDATE rooms SET member_count = member_count + $2 WHERE id = $1")
        .bind(room)
        .bind(if turn == Turn::Joined { 1_i64 } else { -1 })
        .execute(conn)
        .await?;
    note(conn, room, seq, turn.kind(), By::User(user), at).await
}

/// Whose doing an event of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    User(UserId),
    /// Whoever runs the server, who is nobody's user.
    Operator,
    /// Nobody: the room was idle.
    Itself,
}

/// Logs an event that is no message's.
async fn note(conn: &mut Conn<'_>, room: RoomId, seq: Seq, kind: &str, by: By, at: Micros) -> Result<(), StoreError> {
    let (user, operator) = match by {
        By::User(user) => (Some(user), None),
        By::Operator => (None, Some(true)),
        By::Itself => (None, None),
    };
    query("INSERT INTO changes (room_id, seq, kind, user_id, operator, at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(room)
        .bind(seq.0)
        .bind(kind)
        .bind(user)
        .bind(operator)
        .bind(at.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Closes a room at `seq`, or opens it again, from when on its idleness counts anew; and logs it. The caller has taken the
/// place and checked.
///
/// # Errors
/// When the database fails.
pub async fn set_closed(conn: &mut Conn<'_>, room: RoomId, closed: bool, by: By, seq: Seq, at: Micros) -> Result<(), StoreError> {
    let sql = if closed {
        "UPDATE rooms SET closed_at = $2 WHERE id = $1"
    } else {
        "UPDATE rooms SET closed_at = NULL, idle_from = $2 WHERE id = $1"
    };
    query(sql).bind(room).bind(at.0).execute(conn).await?;
    note(conn, room, seq, if closed { "closed" } else { "reopened" }, by, at).await
}

/// Open rooms that have been idle for as long as they may be at the moment `at`, at most `limit`, in the order of their ids:
/// the one in which to lock them. A look without a lock; [`close_if_idle`] looks again.
///
/// # Errors
/// When the database fails.
pub async fn idle(conn: &mut Conn<'_>, at: Micros, limit: i64) -> Result<Vec<(RoomId, Slug)>, StoreError> {
    let rows: Vec<(RoomId, String)> = query(
        "SELECT id, slug FROM rooms
         WHERE idle_after IS NOT NULL AND closed_at IS NULL AND idle_from + idle_after <= $1 ORDER BY id LIMIT $2",
    )
    .bind(at.0)
    .bind(limit)
    .all(conn)
    .await?;
    let slug = |text| Slug::new(text).map_err(|_| StoreError::Malformed("rooms.slug"));
    rows.into_iter().map(|(id, text)| Ok((id, slug(text)?))).collect()
}

/// Closes a room as of `at` if it is still open and idle then, now that it is locked, and logs that as nobody's doing. Returns the
/// place that this took; none where another node was quicker, or someone has said something.
///
/// # Errors
/// When the database fails.
pub async fn close_if_idle(conn: &mut Conn<'_>, room: RoomId, at: Micros) -> Result<Option<Seq>, StoreError> {
    // One statement: where it waits for the lock, it decides on the row as it is afterwards.
    let seq: Option<i64> = query(
        "UPDATE rooms SET last_seq = last_seq + 1, active_at = $2, closed_at = $2
         WHERE id = $1 AND closed_at IS NULL AND idle_from + idle_after <= $2 RETURNING last_seq",
    )
    .bind(room)
    .bind(at.0)
    .optional(conn)
    .await?;
    let Some(seq) = seq.map(Seq) else { return Ok(None) };
    note(conn, room, seq, "closed", By::Itself, at).await?;
    Ok(Some(seq))
}

/// How many rooms `user` has made.
///
/// # Errors
/// When the database fails.
pub async fn made_by(conn: &mut Conn<'_>, user: UserId) -> Result<i64, StoreError> {
    query("SELECT count(*) FROM rooms WHERE created_by = $1").bind(user).one(conn).await
}

/// Which of `slug` and `slug-2`, `slug-3`, … are there.
///
/// # Errors
/// When the database fails.
pub async fn slugs_like(conn: &mut Conn<'_>, slug: &str) -> Result<Vec<String>, StoreError> {
    // A slug has neither `%` nor `_`, so it needs no escape.
    query("SELECT slug FROM rooms WHERE slug = $1 OR slug LIKE $2").bind(slug).bind(format!("{slug}-%")).all(conn).await
}

/// A room to add.
#[derive(Clone, Copy, Debug)]
pub struct NewRoom<'a> {
    pub id: RoomId,
    pub slug: &'a str,
    pub name: &'a str,
    pub topic: &'a str,
    pub idle: Idle,
    pub created_by: Option<UserId>,
    pub at: Micros,
}

/// Adds an empty public room.
///
/// # Errors
/// Also when the slug (`rooms.slug`) is taken.
pub async fn add(conn: &mut Conn<'_>, new: &NewRoom<'_>) -> Result<(), StoreError> {
    query(
        "INSERT INTO rooms (id, slug, name, topic, search_key, idle_after, created_by, created_at, active_at, idle_from)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8)",
    )
    .bind(new.id)
    .bind(new.slug)
    .bind(new.name)
    .bind(new.topic)
    .bind(search_key(new.name, new.topic))
    .bind(new.idle.micros())
    .bind(new.created_by)
    .bind(new.at.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves a member's cursor forward to `seq`, but not past the log's end. Returns the room, the cursor and what is unread
/// after it when it moved.
///
/// # Errors
/// When the database fails.
pub async fn advance(conn: &mut Conn<'_>, user: UserId, slug: &Slug, seq: Seq) -> Result<Option<(RoomId, Seq, u32)>, StoreError> {
    let moved: Option<(RoomId, i64)> = query(
        "UPDATE members SET read_seq = $3
         WHERE user_id = $1 AND until_seq IS NULL AND read_seq < $3
           AND room_id = (SELECT id FROM rooms WHERE slug = $2 AND last_seq >= $3)
         RETURNING room_id, read_seq",
    )
    .bind(user)
    .bind(slug.as_str())
    .bind(seq.0)
    .optional(conn)
    .await?;
    let Some((room, read)) = moved else { return Ok(None) };
    let unread: i64 = query(
        "SELECT count(*) FROM (
           SELECT 1 AS one FROM messages
           WHERE room_id = $1 AND seq > $2 AND author_id <> $3 AND deleted_at IS NULL LIMIT 100
         ) AS counted",
    )
    .bind(room)
    .bind(read)
    .bind(user)
    .one(conn)
    .await?;
    Ok(Some((room, Seq(read), u32::try_from(unread).unwrap_or(UNREAD_MAX))))
}

/// Gives rooms from before there were search keys one each.
async fn add_search_keys(conn: &mut Conn<'_>) -> Result<(), StoreError> {
    let without: Vec<(RoomId, String, String)> =
        query("SELECT id, name, topic FROM rooms WHERE search_key IS NULL").all(conn).await?;
    for (id, name, topic) in without {
        query("UPDATE rooms SET search_key = $2 WHERE id = $1").bind(id).bind(search_key(&name, &topic)).execute(conn).await?;
    }
    Ok(())
}

impl Store {
    /// Gives a new database its identity and its first rooms, and an older one's rooms and users what they lack; returns the `epoch`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn found(&self, at: Micros) -> Result<Uuid, StoreError> {
        let mut tx = self.write().await?;
        let conn = &mut tx.conn();
        let founded = query("INSERT INTO server (one, epoch) VALUES (1, $1) ON CONFLICT (one) DO NOTHING")
            .bind(Uuid::new_v4())
            .execute(conn)
            .await?
            > 0;
        if founded {
            for (slug, topic) in FIRST {
                let (id, idle, created_by) = (RoomId::fresh(), Idle::Never, None);
                add(conn, &NewRoom { id, slug, name: slug, topic, idle, created_by, at }).await?;
            }
        }
        add_search_keys(conn).await?;
        accounts::add_shapes(conn).await?;
        let epoch = query("SELECT epoch FROM server WHERE one = 1").one(conn).await?;
        tx.commit().await?;
        Ok(epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_found_without_case_and_accents() {
        assert_eq!(search_key("Café Über", "ÅNGSTRÖM"), "cafe uber\nangstrom");
        assert_eq!(folded("ДАЧА"), "дача");
        assert_eq!(folded("ﬁeld"), "field");
    }

    #[test]
    fn a_search_is_for_its_own_characters() {
        let search = Search::of(r"100%_\ Tea");
        assert_eq!(search.begins, r"100\%\_\\ tea%");
        assert_eq!(search.contains, r"%100\%\_\\ tea%");
    }
}
