//! Pages of rooms' logs, and what is kept in memory so that they cost little: the latest page of each room as it was last read, as
//! many read the same one (everyone who comes to a room), and the names of those who wrote.
//!
//! The page that is kept is true for the end that it was read up to. Every change in a room takes a place in its log, so whoever asks
//! says where the log ends now, as the database has just told, and a page that ends elsewhere is read anew. Names never change.

use std::mem::size_of;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::protocol::{Event, Person, Seq, Slug};
use crate::server::store::log::{self, Authors, Page, PageRows};
use crate::server::store::{Conn, RoomId, StoreError};

/// Messages on a page.
const LIMIT: usize = 50;

/// Bytes that the pages of all rooms may take; a page may take a sixteenth of it. Those of rooms that few read make room for others.
const BYTES: u64 = 8 * 1024 * 1024;

/// A page of usual messages, in bytes.
const USUAL: u64 = 16 * 1024;

pub struct Pages {
    latest: Cache<RoomId, Kept, Weight>,
    authors: Authors,
}

#[derive(Clone)]
struct Kept {
    end: Seq,
    rows: PageRows,
}

#[derive(Clone)]
struct Weight;

impl Weighter<RoomId, Kept> for Weight {
    fn weight(&self, _: &RoomId, kept: &Kept) -> u64 {
        let text = |event: &Event| match event {
            Event::Message(message) => message.text.len(),
            _ => 0,
        };
        // With the names, the slug, and what each allocation takes beside.
        let bytes: usize = kept.rows.events.iter().map(|event| size_of::<Event>() + 96 + text(event)).sum();
        bytes as u64 + 256
    }
}

impl Pages {
    pub fn new() -> Self {
        let rooms = usize::try_from(BYTES / USUAL).unwrap_or(usize::MAX);
        Self { latest: Cache::with_weighter(rooms, BYTES, Weight), authors: Authors::default() }
    }

    /// A page of the log that ends at `end`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(
        &self,
        conn: &mut Conn<'_>,
        room: RoomId,
        slug: &Slug,
        page: Page,
        end: Seq,
    ) -> Result<PageRows, StoreError> {
        let is_latest = page == Page::Latest;
        if let Some(kept) = self.latest.get(&room).filter(|kept| is_latest && kept.end == end) {
            return Ok(kept.rows);
        }
        let rows = log::page(conn, &self.authors, room, slug, page, end, LIMIT).await?;
        if is_latest {
            self.latest.insert(room, Kept { end, rows: rows.clone() });
        }
        Ok(rows)
    }

    /// How many messages of others than `reader` there are after `read`, in the log that ends at `end`; none where what is kept does
    /// not say.
    pub fn unread(&self, room: RoomId, end: Seq, read: Seq, reader: &Person) -> Option<u32> {
        let kept = self.latest.get(&room).filter(|kept| kept.end == end)?;
        let reaches_back = kept.rows.older.is_none_or(|first| first <= read.next());
        let of_others =
            |event: &&Event| matches!(event, Event::Message(message) if message.seq > read && message.by.user != reader.user);
        reaches_back.then(|| u32::try_from(kept.rows.events.iter().filter(of_others).count()).unwrap_or(u32::MAX))
    }
}
