//! Rooms: listing, making, joining, leaving, reading.

use std::collections::HashMap;

use super::writer::{Closer, MakeRoom, Write};
use super::{Actor, Chat, fault, filled, names};
use crate::protocol::api::{Logged, Member, Members, Messages, Role, Room, Rooms};
use crate::protocol::{
    Event, Field, FoundRoom, FoundRooms, Idle, Micros, Presence, QUERY_MAX, ROOM_NAME_MAX, Refusal, RoomItem, RoomPage,
    RoomState, Seq, Slug, TOPIC_MAX,
};
use crate::server::config::RoomCreation;
pub use crate::server::store::log::Page;
use crate::server::store::rooms::{self, CountedRow, FoundRow, MemberRow, RoomRow, Search, Turn};
use crate::server::store::{RoomId, StoreError, UserId, log};

/// Rooms that one could join, in the list beside every page.
const LIVELY: i64 = 8;
/// Rooms on a page of all of them.
const FOUND: u32 = 30;
/// Rooms, or members, on a page that a program gets.
const LISTED: usize = 100;

impl Chat {
    /// One's own rooms, then the [`LIVELY`] ones among those that one could join, each group by name.
    ///
    /// # Errors
    /// A fault.
    pub async fn list_rooms(&self, actor: &Actor) -> Result<Vec<RoomItem>, Refusal> {
        let mut reader = self.store().reader().await.map_err(fault)?;
        let conn = &mut reader.conn();
        let rows = rooms::listed(conn, actor.user, LIVELY).await.map_err(fault)?;
        let mut counts = HashMap::new();
        for row in rows.iter().filter(|row| row.member() && row.read() < row.last()) {
            if let Some(count) = self.0.pages.unread(row.id, row.last(), row.read(), &actor.person) {
                counts.insert(row.id, count);
            } else {
                // One statement for all of them.
                let unread = rooms::unread(conn, actor.user).await.map_err(fault)?;
                counts = unread.into_iter().map(|(id, count)| (id, rooms::up_to_max(count))).collect();
                break;
            }
        }
        let item = |row: RoomRow| {
            Ok(RoomItem {
                room: row.slug().map_err(fault)?,
                member: row.member(),
                read: row.read(),
                unread: counts.get(&row.id).copied().unwrap_or_default(),
                members: u32::try_from(row.member_count).unwrap_or_default(),
                active_at: Micros(row.active_at),
                closed: row.closed,
                name: row.name,
            })
        };
        let mut items = rows.into_iter().map(item).collect::<Result<Vec<_>, Refusal>>()?;
        items.sort_by_cached_key(|item| (!item.member, item.name.to_lowercase(), item.room.clone()));
        Ok(items)
    }

    /// A page of the rooms that one could join; with a `query`, of those and of one's own, where the name or the topic has it in
    /// it. A page beyond the last one is the last one.
    ///
    /// # Errors
    /// A fault.
    pub async fn find_rooms(&self, actor: &Actor, query: &str, page: u32) -> Result<FoundRooms, Refusal> {
        let query: String = query.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUERY_MAX).collect();
        let search = if query.is_empty() { Search::open() } else { Search::of(&query) };
        let mut reader = self.store().reader().await.map_err(fault)?;
        let conn = &mut reader.conn();
        let total = rooms::count_found(conn, actor.user, &search).await.map_err(fault)?;
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        let pages = total.div_ceil(FOUND).max(1);
        let page = page.clamp(1, pages);
        let skip = i64::from(page - 1) * i64::from(FOUND);
        let rows = rooms::find(conn, actor.user, &search, FOUND.into(), skip).await.map_err(fault)?;
        let rooms = rows.into_iter().map(found).collect::<Result<_, _>>()?;
        Ok(FoundRooms { rooms, total, page, pages })
    }

    /// A page of the rooms that one is in or could join, by slug: what comes after the slug `after`, or the first.
    ///
    /// # Errors
    /// A fault.
    pub async fn page_rooms(&self, actor: &Actor, after: Option<&Slug>) -> Result<Rooms, Refusal> {
        let mut reader = self.store().reader().await.map_err(fault)?;
        let after = after.map_or("", Slug::as_str);
        let mut rows = rooms::visible(&mut reader.conn(), actor.user, after, one_more(LISTED)).await.map_err(fault)?;
        let more = rows.len() > LISTED;
        rows.truncate(LISTED);
        let rooms = rows.into_iter().map(|row| seen(actor, row)).collect::<Result<Vec<_>, _>>()?;
        let next = rooms.last().filter(|_| more).map(|room| room.room.clone());
        Ok(Rooms { rooms, next })
    }

    /// A room, as one sees it: member or not.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`], or a fault.
    pub async fn show_room(&self, actor: &Actor, room: &Slug) -> Result<Room, Refusal> {
        let mut reader = self.store().reader().await.map_err(fault)?;
        let row = rooms::one_counted(&mut reader.conn(), actor.user, room).await.map_err(fault)?.ok_or(Refusal::NoRoom)?;
        seen(actor, row)
    }

    /// A page of a room's members, by username: what comes after the username `after`, or the first.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`], [`Refusal::NotMember`], or a fault.
    pub async fn list_members(&self, actor: &Actor, room: &Slug, after: Option<&str>) -> Result<Members, Refusal> {
        let mut reader = self.store().reader().await.map_err(fault)?;
        let conn = &mut reader.conn();
        let row = rooms::one(conn, actor.user, room).await.map_err(fault)?.ok_or(Refusal::NoRoom)?;
        if !row.member() {
            return Err(Refusal::NotMember);
        }
        let after = names::username_key(after.unwrap_or_default());
        let mut rows = rooms::members(conn, row.id, &after, one_more(LISTED)).await.map_err(fault)?;
        let more = rows.len() > LISTED;
        rows.truncate(LISTED);
        let members = rows.into_iter().map(member).collect::<Result<Vec<_>, _>>()?;
        let next = members.last().filter(|_| more).map(|member| member.by.user.clone());
        Ok(Members { members, next })
    }

    /// Makes a room, with oneself as its first member. It closes after `idle` without a message; where that is not chosen, the
    /// server's setting holds.
    ///
    /// # Errors
    /// A refusal that names its field; [`Refusal::NotAllowed`] where only administrators make rooms; [`Refusal::TooMany`] when one
    /// has made as many as the server allows; [`Refusal::TooFast`]; or a fault.
    pub async fn create_room(&self, actor: &Actor, name: &str, topic: &str, idle: Option<Idle>) -> Result<Slug, Refusal> {
        if !self.may_create(actor) {
            return Err(Refusal::NotAllowed);
        }
        let name = names::line(filled(name, Field::Name)?, ROOM_NAME_MAX, Field::Name)?;
        let topic = names::line(topic, TOPIC_MAX, Field::Topic)?;
        let idle = idle.unwrap_or(self.settings().room_idle);
        let (slug, by, user) = (names::slug(&name), actor.person.clone(), actor.user);
        let make = MakeRoom { slug, exact: false, name, topic, idle, by, user };
        self.0.throttles.make_room(user)?;
        self.write(|answer| Write::MakeRoom(Box::new(make), answer)).await
    }

    /// Whether someone may make rooms here.
    #[must_use]
    pub fn may_create(&self, actor: &Actor) -> bool {
        match self.settings().room_creation {
            RoomCreation::Everyone => true,
            RoomCreation::Admins => actor.admin,
        }
    }

    /// Becomes a member of the room at this very slug; where there is none and one may make rooms, it is made, and called by its
    /// slug.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`], [`Refusal::Closed`], [`Refusal::TooMany`], [`Refusal::TooFast`], or a fault.
    pub async fn enter(&self, actor: &Actor, room: &Slug) -> Result<(), Refusal> {
        // Who is in it already, as most who come back are, needs no write: they get in while the disk is full, too.
        let mut reader = self.store().reader().await.map_err(fault)?;
        if rooms::one(&mut reader.conn(), actor.user, room).await.map_err(fault)?.is_some_and(|row| row.member()) {
            return Ok(());
        }
        drop(reader);
        match self.join(actor, room).await {
            Err(Refusal::NoRoom) if self.may_create(actor) => {}
            outcome => return outcome,
        }
        self.0.throttles.make_room(actor.user)?;
        let (slug, idle, by) = (room.to_string(), self.settings().room_idle, actor.person.clone());
        let make = MakeRoom { name: slug.clone(), slug, exact: true, topic: String::new(), idle, by, user: actor.user };
        match self.write(|answer| Write::MakeRoom(Box::new(make), answer)).await {
            Ok(_) => Ok(()),
            // Someone was quicker, or it is one that this person may not see: joining says which.
            Err(Refusal::NoRoom) => self.join(actor, room).await,
            Err(why) => Err(why),
        }
    }

    /// Becomes a member. Who is one already stays one.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`], [`Refusal::Closed`], or a fault.
    pub async fn join(&self, actor: &Actor, room: &Slug) -> Result<(), Refusal> {
        self.turn(actor, room, Turn::Joined).await
    }

    /// Ceases to be a member. Who is none stays none.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`], or a fault.
    pub async fn leave(&self, actor: &Actor, room: &Slug) -> Result<(), Refusal> {
        self.turn(actor, room, Turn::Left).await
    }

    async fn turn(&self, actor: &Actor, room: &Slug, turn: Turn) -> Result<(), Refusal> {
        let (room, user, by) = (room.clone(), actor.user, actor.person.clone());
        self.write(|answer| Write::Turn { room, user, by, turn, answer }).await
    }

    /// Closes a room: it takes no more messages and members, and stays as it is to read. One that is closed stays closed.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`]; [`Refusal::NotAllowed`] to who is neither its maker nor an administrator, and for the first rooms;
    /// or a fault.
    pub async fn close_room(&self, actor: &Actor, room: &Slug) -> Result<(), Refusal> {
        self.set_closed(actor, room, true).await
    }

    /// Opens a closed room again; how long it has been idle counts from now. One that is open stays open.
    ///
    /// # Errors
    /// As [`Chat::close_room`].
    pub async fn reopen_room(&self, actor: &Actor, room: &Slug) -> Result<(), Refusal> {
        self.set_closed(actor, room, false).await
    }

    async fn set_closed(&self, actor: &Actor, room: &Slug, closed: bool) -> Result<(), Refusal> {
        let (room, by) = (room.clone(), Closer::Person(Box::new(actor.clone())));
        self.write(|answer| Write::SetClosed { room, closed, by, answer }).await
    }

    /// Closes every room in which nobody has said anything for as long as it may be idle, as of the moment `at`. Several nodes
    /// may do so at once. Returns how many this one closed.
    ///
    /// # Errors
    /// A fault.
    pub async fn close_idle(&self, at: Micros) -> Result<usize, Refusal> {
        let mut rooms = 0;
        loop {
            match self.write(|answer| Write::CloseIdle { at, answer }).await? {
                0 => return Ok(rooms),
                closed => rooms += closed,
            }
        }
    }

    /// Everything in `room` up to `seq` has been read; a cursor never moves back, nor past the log's end.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`], [`Refusal::NotMember`], or a fault.
    pub async fn mark_read(&self, actor: &Actor, room: &Slug, seq: Seq) -> Result<(), Refusal> {
        let (room, user) = (room.clone(), actor.user);
        self.write(|answer| Write::Read { room, user, seq, answer }).await
    }

    /// A page of a room: the latest, or what is before, after or around a place. Who is no member sees its name and topic only.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`], or a fault.
    pub async fn read_room(&self, actor: &Actor, room: &Slug, page: Page) -> Result<RoomPage, Refusal> {
        let mut reader = self.store().reader().await.map_err(fault)?;
        let conn = &mut reader.conn();
        let row = rooms::one(conn, actor.user, room).await.map_err(fault)?.ok_or(Refusal::NoRoom)?;
        let rows = if row.member() {
            self.0.pages.read(conn, row.id, room, page, row.last()).await.map_err(fault)?
        } else {
            log::PageRows::default()
        };
        let here = if row.member() { self.hub().presence(row.id, room) } else { None };
        Ok(RoomPage {
            room: room.clone(),
            member: row.member(),
            closed: row.closed,
            idle: row.idle().map_err(fault)?,
            may_open: may_open(actor, row.created_by),
            members: u32::try_from(row.member_count).unwrap_or_default(),
            as_of: row.last(),
            epoch: self.epoch(),
            read: row.read(),
            events: rows.events,
            older: rows.older,
            newer: rows.newer,
            here: here.unwrap_or(Presence { room: room.clone(), count: 0, users: Vec::new() }),
            name: row.name,
            topic: row.topic,
        })
    }

    /// A page of a room's log, as [`Chat::read_room`] reads it, for members only.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`], [`Refusal::NotMember`], or a fault.
    pub async fn read_log(&self, actor: &Actor, room: &Slug, page: Page) -> Result<Messages, Refusal> {
        let read = self.read_room(actor, room, page).await?;
        if !read.member {
            return Err(Refusal::NotMember);
        }
        let events: Vec<_> = read.events.iter().cloned().filter_map(Logged::of).collect();
        let after = events.last().filter(|_| read.newer).map(Logged::seq);
        Ok(Messages { room: read.room, epoch: read.epoch, as_of: read.as_of, events, before: read.older, after })
    }

    /// The ids of one's rooms: what to listen to before reading [`Chat::joined`] or [`Chat::joined_counted`].
    pub(in crate::server) async fn joined_ids(&self, user: UserId) -> Result<Vec<RoomId>, Refusal> {
        rooms::joined_ids(self.store(), user).await.map_err(fault)
    }

    /// One's rooms as they are now.
    pub(in crate::server) async fn joined(&self, user: UserId) -> Result<Vec<RoomRow>, Refusal> {
        rooms::joined(self.store(), user).await.map_err(fault)
    }

    /// As [`Chat::joined`], with what they have not read.
    pub(in crate::server) async fn joined_counted(&self, user: UserId) -> Result<Vec<CountedRow>, Refusal> {
        rooms::joined_counted(self.store(), user).await.map_err(fault)
    }
}

impl Chat {
    /// What a member missed of a room: the log from after `after` to `to`, as it stands now.
    pub(in crate::server) async fn replay(&self, room: RoomId, slug: &Slug, after: Seq, to: Seq) -> Result<Vec<Event>, Refusal> {
        let mut reader = self.store().reader().await.map_err(fault)?;
        let events = log::replay(&mut reader.conn(), room, slug, after, to).await.map_err(fault)?;
        Ok(events)
    }

    /// How a former member left.
    pub(in crate::server) async fn parting(&self, room: RoomId, user: UserId) -> Result<Option<Event>, Refusal> {
        let mut reader = self.store().reader().await.map_err(fault)?;
        let event = log::parting(&mut reader.conn(), room, user).await.map_err(fault)?;
        Ok(event)
    }
}

/// A row more than `most`: whether there is more.
fn one_more(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX - 1) + 1
}

fn seen(actor: &Actor, row: CountedRow) -> Result<Room, Refusal> {
    let (unread, row) = (row.unread(), row.room);
    Ok(Room {
        room: row.slug().map_err(fault)?,
        member: row.member(),
        closed: row.closed,
        idle: row.idle().map_err(fault)?,
        may_open: may_open(actor, row.created_by),
        members: u32::try_from(row.member_count).unwrap_or_default(),
        active_at: Micros(row.active_at),
        seq: row.last(),
        read: row.read(),
        unread,
        name: row.name,
        topic: row.topic,
    })
}

fn member(row: MemberRow) -> Result<Member, Refusal> {
    let role = match row.role.as_str() {
        "member" => Role::Member,
        "moderator" => Role::Moderator,
        "owner" => Role::Owner,
        _ => return Err(fault(StoreError::Malformed("members.role"))),
    };
    Ok(Member { by: log::person(row.username, row.display_name), role, since: Seq(row.since_seq) })
}

fn found(row: FoundRow) -> Result<FoundRoom, Refusal> {
    Ok(FoundRoom {
        room: row.slug().map_err(fault)?,
        name: row.name,
        topic: row.topic,
        member: row.member,
        members: u32::try_from(row.member_count).unwrap_or_default(),
        active_at: Micros(row.active_at),
        closed: row.closed,
    })
}

/// A room as [`Event::Welcome`](crate::protocol::Event::Welcome) tells of it.
pub(in crate::server) fn state(row: &CountedRow) -> Result<RoomState, Refusal> {
    let (unread, row) = (row.unread(), &row.room);
    Ok(RoomState {
        room: row.slug().map_err(fault)?,
        name: row.name.clone(),
        seq: row.last(),
        read: row.read(),
        unread,
        closed: row.closed,
    })
}

/// Whether someone may close and open a room made by `created_by`: who made it, and administrators. The rooms that are there
/// from the start, made by nobody, stay open.
pub(super) fn may_open(actor: &Actor, created_by: Option<UserId>) -> bool {
    created_by.is_some_and(|maker| maker == actor.user || actor.admin)
}
