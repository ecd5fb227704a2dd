//! Reading a room's log.

use std::collections::HashMap;
use std::sync::Arc;

use quick_cache::sync::Cache;
use uuid::Uuid;

use super::{Conn, RoomId, Store, StoreError, UserId, query, row};
use crate::protocol::{Closure, Event, Membership, Message, Micros, Person, Seq, Slug};

row! {
    /// A message of a room.
    #[derive(Clone, Debug)]
    struct MessageRow {
        seq: i64,
        id: Uuid,
        text: String,
        at: i64,
        author_id: UserId,
    }
}

row! {
    /// An event that is no message's: a join, a leave, a closing.
    #[derive(Clone, Debug)]
    struct NoteRow {
        seq: i64,
        kind: String,
        at: i64,
        /// None for what nobody did.
        username: Option<String>,
        display_name: Option<String>,
        /// The operator did it.
        operator: bool,
    }
}

row! {
    /// An event of the log, joined to the message as it is now.
    #[derive(Clone, Debug)]
    struct LogRow {
        seq: i64,
        kind: String,
        at: i64,
        username: Option<String>,
        display_name: Option<String>,
        operator: bool,
        id: Option<Uuid>,
        text: Option<String>,
    }
}

/// A person by their username and display name.
#[must_use]
pub fn person(user: String, display_name: String) -> Person {
    Person { name: (display_name != user).then_some(display_name), user }
}

/// How many authors' names are kept: a megabyte.
const AUTHORS: usize = 10_000;

/// The names of those who write, kept: every page has the same few people on it, and to look each of them up for each message
/// is as much work as to read the messages. They never change; whoever lets them has to empty this.
pub struct Authors(Cache<UserId, Person>);

impl Default for Authors {
    fn default() -> Self {
        Self(Cache::new(AUTHORS))
    }
}

impl Authors {
    /// Makes the messages events of `room`, in the same order.
    async fn name(
        &self,
        conn: &mut Conn<'_>,
        room: RoomId,
        slug: &Slug,
        messages: Vec<MessageRow>,
    ) -> Result<Vec<Message>, StoreError> {
        let mut named: Vec<_> = messages.iter().map(|message| self.0.get(&message.author_id)).collect();
        if let (true, Some(first), Some(last)) = (named.contains(&None), messages.first(), messages.last()) {
            let rows: Vec<(UserId, String, String)> = query(
                "SELECT DISTINCT u.id, u.username, u.display_name FROM messages m JOIN users u ON u.id = m.author_id
                 WHERE m.room_id = $1 AND m.seq BETWEEN $2 AND $3",
            )
            .bind(room)
            .bind(first.seq)
            .bind(last.seq)
            .all(conn)
            .await?;
            let people: HashMap<_, _> = rows.into_iter().map(|(id, user, name)| (id, person(user, name))).collect();
            named = messages.iter().map(|message| people.get(&message.author_id).cloned()).collect();
            for (id, person) in people {
                self.0.insert(id, person);
            }
        }
        let named = messages.into_iter().zip(named).map(|(MessageRow { seq, id, text, at, .. }, by)| {
            let by = by.ok_or(StoreError::Malformed("messages.author_id"))?;
            Ok(Message { room: slug.clone(), seq: Seq(seq), id, by, text, at: Micros(at) })
        });
        named.collect()
    }
}

/// None for a kind that this program does not tell of.
fn note(room: &Slug, kind: &str, seq: i64, at: i64, by: Option<Person>, operator: bool) -> Option<Event> {
    let (room, seq, at) = (room.clone(), Seq(seq), Micros(at));
    Some(match kind {
        "joined" => Event::Joined(Membership { room, seq, by: by?, at }),
        "left" => Event::Left(Membership { room, seq, by: by?, at }),
        "closed" => Event::Closed(Closure { room, seq, by, operator, at }),
        "reopened" => Event::Reopened(Closure { room, seq, by, operator, at }),
        _ => return None,
    })
}

impl NoteRow {
    fn event(self, room: &Slug) -> Option<Event> {
        let by = self.username.zip(self.display_name).map(|(user, name)| person(user, name));
        note(room, &self.kind, self.seq, self.at, by, self.operator)
    }
}

impl LogRow {
    fn event(self, room: &Slug) -> Option<Event> {
        let by = self.username.zip(self.display_name).map(|(user, name)| person(user, name));
        match (self.kind.as_str(), self.id, self.text, by) {
            ("message", Some(id), Some(text), Some(by)) => {
                Some(Event::Message(Message { room: room.clone(), seq: Seq(self.seq), id, by, text, at: Micros(self.at) }))
            }
            (kind, _, _, by) => note(room, kind, self.seq, self.at, by, self.operator),
        }
    }
}

/// Which page of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Latest,
    /// What comes right before this place.
    Before(Seq),
    /// What comes right after this place.
    After(Seq),
    /// What is around this place.
    At(Seq),
}

/// A page of a log, by `seq`.
#[derive(Clone, Debug, Default)]
pub struct PageRows {
    pub events: Arc<[Event]>,
    /// There is more before the first of these.
    pub older: Option<Seq>,
    /// There is more after the last of these.
    pub newer: bool,
}

/// A page of `limit` messages of the log up to `end`, and the joins, leaves and the like between them (the `limit` nearest to the page's end, so that a crowd that
/// comes does not push the messages off it). Costs the same however long the log is.
///
/// # Errors
/// When the database fails.
pub async fn page(
    conn: &mut Conn<'_>,
    authors: &Authors,
    room: RoomId,
    slug: &Slug,
    page: Page,
    end: Seq,
    limit: usize,
) -> Result<PageRows, StoreError> {
    // What to read backwards (before which place, how many at most), and what forwards (from which).
    let (back, on) = match page {
        Page::Latest => (Some((end.next().0, limit)), None),
        Page::Before(seq) => (Some((seq.0, limit)), None),
        Page::After(seq) => (None, Some((seq.next().0, limit))),
        Page::At(seq) => (Some((seq.0, limit / 2)), Some((seq.0, limit - limit / 2))),
    };
    let mut messages: Vec<MessageRow> = Vec::with_capacity(limit + 1);
    // The places that the page covers: from its first message (or the log's beginning) to its last (or the log's end).
    let (mut from, mut to) = (1, end.0);
    let (mut older, mut newer) = (None, false);
    if let Some((before, most)) = back {
        messages = query(
            "SELECT m.seq, m.id, m.text, m.at, m.author_id FROM messages m
             WHERE m.room_id = $1 AND m.seq < $2 AND m.deleted_at IS NULL ORDER BY m.seq DESC LIMIT $3",
        )
        .bind(room)
        .bind(before)
        .bind(one_more(most))
        .all(conn)
        .await?;
        if messages.len() > most {
            messages.truncate(most);
            from = messages.last().map_or(before, |m| m.seq);
            older = Some(Seq(from));
        }
        messages.reverse();
        to = end.0.min(before.saturating_sub(1));
    }
    if let Some((start, most)) = on {
        if back.is_none() {
            from = start;
            older = (start > 1).then_some(Seq(start));
        }
        let mut later: Vec<MessageRow> = query(
            "SELECT m.seq, m.id, m.text, m.at, m.author_id FROM messages m
             WHERE m.room_id = $1 AND m.seq BETWEEN $2 AND $4 AND m.deleted_at IS NULL ORDER BY m.seq LIMIT $3",
        )
        .bind(room)
        .bind(start)
        .bind(one_more(most))
        .bind(end.0)
        .all(conn)
        .await?;
        newer = later.len() > most;
        later.truncate(most);
        to = if newer { later.last().map_or(start, |m| m.seq) } else { end.0 };
        messages.append(&mut later);
    } else if let Page::Before(seq) = page {
        newer = seq <= end;
    }
    let mut notes: Vec<NoteRow> = query(
        "SELECT l.seq, l.kind, l.at, u.username, u.display_name, l.operator IS NOT NULL AS operator FROM changes l LEFT JOIN users u ON u.id = l.user_id
         WHERE l.room_id = $1 AND l.message_seq IS NULL AND l.seq BETWEEN $2 AND $3 ORDER BY l.seq DESC LIMIT $4",
    )
    .bind(room)
    .bind(from)
    .bind(to)
    .bind(one_more(limit) - 1)
    .all(conn)
    .await?;
    notes.reverse();

    let mut events = Vec::with_capacity(messages.len() + notes.len());
    let mut notes = notes.into_iter().peekable();
    for message in authors.name(conn, room, slug, messages).await? {
        while let Some(before) = notes.next_if(|n| n.seq < message.seq.0) {
            events.extend(before.event(slug));
        }
        events.push(Event::Message(message));
    }
    events.extend(notes.filter_map(|rest| rest.event(slug)));
    Ok(PageRows { events: events.into(), older, newer })
}

/// A row more than `most`: whether there is more.
fn one_more(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX - 1) + 1
}

/// What a room's log says from after `after` to `to`, as it stands now, with each event's place.
///
/// # Errors
/// When the database fails.
pub async fn replay(conn: &mut Conn<'_>, room: RoomId, slug: &Slug, after: Seq, to: Seq) -> Result<Vec<Event>, StoreError> {
    let rows: Vec<LogRow> = query(
        "SELECT l.seq, l.kind, l.at, u.username, u.display_name, l.operator IS NOT NULL AS operator, m.id, m.text
         FROM log l LEFT JOIN users u ON u.id = l.user_id
         LEFT JOIN messages m ON m.room_id = l.room_id AND m.seq = l.message_seq AND m.deleted_at IS NULL
         WHERE l.room_id = $1 AND l.seq > $2 AND l.seq <= $3 ORDER BY l.seq",
    )
    .bind(room)
    .bind(after.0)
    .bind(to.0)
    .all(conn)
    .await?;
    Ok(rows.into_iter().filter_map(|row| row.event(slug)).collect())
}

/// The message that an author sent under this id: its room, its place, its text.
///
/// # Errors
/// When the database fails.
pub async fn sent(store: &Store, author: UserId, id: Uuid) -> Result<Option<(Slug, Seq, String)>, StoreError> {
    let row: Option<(String, i64, String)> = query(
        "SELECT r.slug, m.seq, m.text FROM messages m JOIN rooms r ON r.id = m.room_id WHERE m.author_id = $1 AND m.id = $2",
    )
    .bind(author)
    .bind(id)
    .optional(&mut store.reader().await?.conn())
    .await?;
    let Some((slug, seq, text)) = row else { return Ok(None) };
    let slug = Slug::new(slug).map_err(|_| StoreError::Malformed("rooms.slug"))?;
    Ok(Some((slug, Seq(seq), text)))
}

/// How a former member left.
///
/// # Errors
/// When the database fails.
pub async fn parting(conn: &mut Conn<'_>, room: RoomId, user: UserId) -> Result<Option<Event>, StoreError> {
    let row: Option<(String, i64, i64, String, String)> = query(
        "SELECT r.slug, l.seq, l.at, u.username, u.display_name
         FROM members m JOIN rooms r ON r.id = m.room_id JOIN users u ON u.id = m.user_id
         JOIN changes l ON l.room_id = m.room_id AND l.seq = m.until_seq
         WHERE m.room_id = $1 AND m.user_id = $2",
    )
    .bind(room)
    .bind(user)
    .optional(conn)
    .await?;
    let Some((slug, seq, at, username, display_name)) = row else { return Ok(None) };
    let slug = Slug::new(slug).map_err(|_| StoreError::Malformed("rooms.slug"))?;
    Ok(note(&slug, "left", seq, at, Some(person(username, display_name)), false))
}
