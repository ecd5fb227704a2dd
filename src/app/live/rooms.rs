//! What is unread in each of one's rooms, when something happened there last, and which are closed.

use super::wire::About;
use crate::protocol::{Event, RoomItem, RoomState, Seq, Slug, UNREAD_MAX};

/// The rooms of the list, kept up to date by what comes in.
#[derive(Clone, Debug, Default)]
pub struct Rooms {
    items: Vec<RoomItem>,
    /// How far each of one's rooms has been counted.
    counted: Vec<(Slug, Seq)>,
}

impl Rooms {
    #[must_use]
    pub fn items(&self) -> &[RoomItem] {
        &self.items
    }

    /// The list as the server gave it.
    pub fn replace(&mut self, items: Vec<RoomItem>) {
        self.items = items;
    }

    /// The server's own count of each room. True when that is another set of rooms than the list has, which then has to be
    /// fetched.
    pub fn welcome(&mut self, states: &[RoomState]) -> bool {
        self.counted = states.iter().map(|state| (state.room.clone(), state.seq)).collect();
        let mut found = 0;
        for item in self.items.iter_mut().filter(|item| item.member) {
            if let Some(state) = states.iter().find(|state| state.room == item.room) {
                found += 1;
                item.read = state.read;
                item.unread = state.unread;
                item.closed = state.closed;
                item.name.clone_from(&state.name);
            } else {
                return true;
            }
        }
        found != states.len()
    }

    /// What happened in `room` up to `to` is not told. True when it was not counted either: the server's count has to be asked for.
    pub fn missed(&mut self, room: &Slug, to: Seq) -> bool {
        let Some((_, counted)) = self.counted.iter_mut().find(|(slug, _)| slug == room) else {
            // The join was missed with the rest.
            self.counted.push((room.clone(), to));
            return true;
        };
        let news = *counted < to;
        *counted = to.max(*counted);
        news
    }

    /// The server's own count of one room, asked for alone. False when it is older than what is known here, and changes nothing.
    pub fn recount(&mut self, state: &RoomState) -> bool {
        let Some(item) = self.items.iter_mut().find(|item| item.room == state.room) else { return true };
        let Some((_, counted)) = self.counted.iter_mut().find(|(slug, _)| *slug == state.room) else { return true };
        // At its bound a count stays what it is, whatever came after it.
        if state.read < item.read || state.seq < *counted && state.unread < UNREAD_MAX {
            return false;
        }
        if state.seq >= *counted {
            item.closed = state.closed;
        }
        *counted = state.seq.max(*counted);
        (item.read, item.unread) = (state.read, state.unread);
        true
    }

    /// An event of one of the rooms; `me` is who reads.
    pub fn apply(&mut self, event: &Event, me: &str) {
        match event {
            Event::Read { room, seq, unread } => {
                if let Some(item) = self.item(room) {
                    item.read = *seq;
                    item.unread = *unread;
                }
            }
            _ => {
                let Some((room, seq)) = event.place() else { return };
                let Some((_, counted)) = self.counted.iter_mut().find(|(slug, _)| slug == room) else {
                    if let Event::Joined(membership) = event
                        && membership.by.user == me
                    {
                        self.counted.push((room.clone(), seq));
                    }
                    return;
                };
                if seq <= *counted {
                    return;
                }
                *counted = seq;
                let Some(item) = self.item(room) else { return };
                let at = match event {
                    Event::Message(message) => {
                        let unread = u32::from(message.by.user != me);
                        item.unread = (item.unread + unread).min(UNREAD_MAX);
                        message.at
                    }
                    Event::Joined(membership) | Event::Left(membership) => membership.at,
                    Event::Closed(closing) | Event::Reopened(closing) => {
                        item.closed = matches!(event, Event::Closed(_));
                        closing.at
                    }
                    _ => return,
                };
                item.active_at = item.active_at.max(at);
            }
        }
    }

    /// Everything in `room` is on the screen.
    pub fn seen(&mut self, room: &Slug) {
        if let Some(item) = self.item(room) {
            item.unread = 0;
        }
    }

    #[must_use]
    pub fn is_member(&self, room: &Slug) -> bool {
        self.items.iter().any(|item| item.room == *room && item.member)
    }

    /// What the list knows of a room.
    #[must_use]
    pub fn about(&self, room: &Slug) -> Option<About> {
        let item = self.items.iter().find(|item| item.room == *room)?;
        let (room, name, members, closed) = (item.room.clone(), item.name.clone(), item.members, item.closed);
        Some(About { room, name, topic: String::new(), members, closed, may_open: false, idle: String::new() })
    }

    #[must_use]
    pub fn unread(&self, room: &Slug) -> u32 {
        self.items.iter().find(|item| item.room == *room).map_or(0, |item| item.unread)
    }

    /// Unread messages in all rooms together.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.items.iter().map(|item| item.unread).sum()
    }

    fn item(&mut self, room: &Slug) -> Option<&mut RoomItem> {
        self.items.iter_mut().find(|item| item.room == *room)
    }
}

/// A count of unread messages, as it is shown.
#[must_use]
pub fn count(unread: u32) -> String {
    if unread >= UNREAD_MAX { "99+".to_owned() } else { unread.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Closure, Membership, Message, Micros, Person};
    use uuid::Uuid;

    fn tea() -> Slug {
        Slug::new("tea").expect("a slug")
    }

    fn rooms(unread: u32) -> Rooms {
        let mut rooms = Rooms::default();
        rooms.replace(vec![RoomItem {
            room: tea(),
            name: "Tea".to_owned(),
            member: true,
            read: Seq(0),
            unread,
            members: 2,
            active_at: Micros(0),
            closed: false,
        }]);
        rooms
    }

    fn state(seq: i64, unread: u32) -> RoomState {
        RoomState { room: tea(), name: "Tea".to_owned(), seq: Seq(seq), read: Seq(0), unread, closed: false }
    }

    fn message(seq: i64, user: &str) -> Event {
        let by = Person { user: user.to_owned(), name: None };
        Event::Message(Message { room: tea(), seq: Seq(seq), id: Uuid::nil(), by, text: "x".to_owned(), at: Micros(seq) })
    }

    #[test]
    fn the_last_thing_that_happened_says_when_a_room_was_active() {
        let mut rooms = rooms(0);
        rooms.welcome(&[state(5, 0)]);
        rooms.apply(&message(6, "ada"), "ada");
        assert_eq!(rooms.items()[0].active_at, Micros(6), "one's own count here");
        rooms.apply(&message(4, "ben"), "ada");
        assert_eq!(rooms.items()[0].active_at, Micros(6));
    }

    #[test]
    fn what_the_server_has_counted_is_not_counted_again() {
        let mut rooms = rooms(0);
        assert!(!rooms.welcome(&[state(5, 2)]));
        for seq in [4, 5, 6, 6] {
            rooms.apply(&message(seq, "ben"), "ada");
        }
        assert_eq!(rooms.unread(&tea()), 3);
        rooms.apply(&message(7, "ada"), "ada");
        assert_eq!(rooms.total(), 3, "one's own are not unread");
        rooms.apply(&Event::Read { room: tea(), seq: Seq(6), unread: 1 }, "ada");
        assert_eq!(rooms.total(), 1);
        rooms.seen(&tea());
        assert_eq!(rooms.total(), 0);
    }

    #[test]
    fn what_was_missed_is_asked_for_unless_the_server_has_counted_it() {
        let mut rooms = rooms(0);
        rooms.welcome(&[state(5, 2)]);
        assert!(!rooms.missed(&tea(), Seq(5)), "the welcome has counted it");
        assert!(rooms.missed(&tea(), Seq(205)));
        assert!(!rooms.missed(&tea(), Seq(205)), "it is asked for once");
        rooms.apply(&message(205, "ben"), "ada");
        assert_eq!(rooms.unread(&tea()), 2, "it is in what is asked for");
        rooms.apply(&message(206, "ben"), "ada");
        assert_eq!(rooms.unread(&tea()), 3);
        // One that was joined meanwhile.
        let mut rooms = self::rooms(0);
        assert!(rooms.missed(&tea(), Seq(9)));
        rooms.apply(&message(10, "ben"), "ada");
        assert_eq!(rooms.unread(&tea()), 1);
    }

    #[test]
    fn a_count_that_is_older_than_what_is_known_is_none() {
        let mut rooms = rooms(0);
        rooms.welcome(&[state(5, 0)]);
        rooms.missed(&tea(), Seq(50));
        rooms.apply(&message(51, "ben"), "ada");
        assert!(!rooms.recount(&state(50, 40)), "one more has come since");
        assert_eq!(rooms.unread(&tea()), 1);
        assert!(rooms.recount(&state(52, 42)));
        rooms.apply(&message(52, "ben"), "ada");
        assert_eq!(rooms.unread(&tea()), 42, "it has been counted");
        assert!(rooms.recount(&state(51, UNREAD_MAX)), "more is not counted");
        assert_eq!(rooms.unread(&tea()), UNREAD_MAX);
        rooms.apply(&Event::Read { room: tea(), seq: Seq(52), unread: 0 }, "ada");
        assert!(!rooms.recount(&state(52, 42)), "it has been read since");
        assert_eq!(rooms.unread(&tea()), 0);
    }

    #[test]
    fn a_room_that_was_joined_since_is_counted_too() {
        let mut rooms = rooms(0);
        rooms.apply(&message(4, "ben"), "ada");
        let by = Person { user: "ada".to_owned(), name: None };
        rooms.apply(&Event::Joined(Membership { room: tea(), seq: Seq(5), by, at: Micros(0) }), "ada");
        rooms.apply(&message(6, "ben"), "ada");
        assert_eq!(rooms.unread(&tea()), 1);
    }

    #[test]
    fn a_room_is_closed_until_it_is_opened_again() {
        let mut rooms = rooms(0);
        rooms.welcome(&[state(4, 0)]);
        let closure = |seq| Closure { room: tea(), seq: Seq(seq), by: None, operator: false, at: Micros(0) };
        let (closed, reopened) = (Event::Closed(closure(5)), Event::Reopened(closure(6)));
        rooms.apply(&closed, "ada");
        assert!(rooms.items()[0].closed);
        rooms.apply(&reopened, "ada");
        // Told again, it is no news.
        rooms.apply(&closed, "ada");
        assert!(!rooms.items()[0].closed);
        assert_eq!(rooms.total(), 0, "neither is unread");
    }

    #[test]
    fn counts_end_at_ninety_nine() {
        let mut rooms = rooms(99);
        rooms.welcome(&[state(0, 99)]);
        (1..9).for_each(|seq| rooms.apply(&message(seq, "ben"), "ada"));
        assert_eq!(count(rooms.unread(&tea())), "99+");
        assert_eq!(count(99), "99");
    }

    #[test]
    fn a_room_more_or_less_asks_for_the_list() {
        assert!(rooms(0).welcome(&[]));
        assert!(Rooms::default().welcome(&[state(1, 0)]));
    }
}
