//! What comes from the server or from storage, read by one flat type.
//!
//! [`Event`] and the others read themselves too, but what is derived for each, above all for a tagged enum with flattened
//! parts, has to be loaded by every browser: together a fifth of all its code. Everything that any of them can have is here
//! once, and optional.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::protocol::{Closure, Event, Membership, Message, Micros, Person, Presence, Refusal, RoomState, Seq, Slug};

/// An event, a refusal, a page of a room, or a message that was kept.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Wire {
    r#type: String,
    room: Option<Slug>,
    seq: Option<Seq>,
    id: Option<Uuid>,
    user: String,
    name: Option<String>,
    text: String,
    at: Micros,
    epoch: Uuid,
    version: u32,
    build: String,
    rooms: Vec<Wire>,
    read: Seq,
    closed: bool,
    unread: u32,
    count: u32,
    users: Vec<Person>,
    code: String,
    retry_after_ms: u32,
    message: String,
    member: bool,
    may_open: bool,
    as_of: Seq,
    events: Vec<Wire>,
    older: Option<Seq>,
    newer: bool,
    here: Option<Box<Wire>>,
    idle: String,
    topic: String,
    members: u32,
    at_place: Option<Seq>,
    newer_than: Option<Seq>,
    above_at: Option<Micros>,
    above_author: String,
    nonce: Uuid,
    page: String,
    zone: String,
    text_max: u32,
    order: u64,
    refused: Option<String>,
}

/// What stands around a room's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub room: Slug,
    pub name: String,
    pub topic: String,
    /// Current members.
    pub members: u32,
    pub closed: bool,
    /// Whether the reader may close it, and open it again.
    pub may_open: bool,
    /// After how long without a message it closes, as [`Idle`](crate::protocol::Idle) is written.
    pub idle: String,
}

/// What the page knows of the room when it is written. Read through [`Wire`], too.
#[derive(Clone, Debug, Serialize)]
pub struct Opening {
    #[serde(flatten)]
    pub about: About,
    /// Who reads.
    pub id: Uuid,
    pub user: String,
    /// The last event of the log when it was read.
    pub as_of: Seq,
    pub epoch: Uuid,
    /// The place that the page's address names.
    #[serde(rename = "at_place")]
    pub at: Option<Seq>,
    /// There is more before the page's first event, and after its last: not the latest page then, and nothing that comes in
    /// belongs below it.
    pub older: Option<Seq>,
    #[serde(rename = "newer_than")]
    pub newer: Option<Seq>,
    /// What the next row follows: see [`Above`](crate::app::parts::rows::Above).
    pub above_at: Option<Micros>,
    pub above_author: String,
    pub events: Vec<Event>,
    pub read: Seq,
    /// Messages after `read` that are others', as the list of rooms counted them.
    pub unread: u32,
    pub here: Presence,
    /// New for each form; see `post_message`.
    pub nonce: Uuid,
    /// What a refused form had in it, and why it was refused (or nothing).
    pub text: String,
    pub message: String,
    /// The path that the page was asked for under.
    pub page: String,
    /// The zone that its times are in.
    pub zone: String,
    /// The most characters in a message.
    pub text_max: u32,
}

impl<'de> Deserialize<'de> for Opening {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Wire::deserialize(from)?.opening().ok_or_else(|| serde::de::Error::custom(""))
    }
}

/// A page of the room on the screen, as far as it is needed to show it.
#[derive(Debug)]
pub struct Page {
    pub about: About,
    pub member: bool,
    pub as_of: Seq,
    pub epoch: Uuid,
    pub read: Seq,
    pub events: Vec<Event>,
    pub older: Option<Seq>,
    pub newer: bool,
    pub here: Option<Presence>,
}

/// A message as it was kept; see [`super::outbox`].
pub struct Kept {
    pub room: Slug,
    pub text: String,
    pub at: u64,
    pub order: u64,
    pub refused: Option<String>,
}

impl Wire {
    /// The room and place in its log, for an event that has one, also where this build does not know the event.
    #[must_use]
    pub fn place(&self) -> Option<(Slug, Seq)> {
        Some((self.room.clone()?, self.seq?))
    }

    /// The event; [`Event::Unknown`] for what this build does not know. None when something is missing.
    #[must_use]
    pub fn event(self) -> Option<Event> {
        let by = Person { user: self.user, name: self.name };
        Some(match self.r#type.as_str() {
            "message" => {
                Event::Message(Message { room: self.room?, seq: self.seq?, id: self.id?, by, text: self.text, at: self.at })
            }
            "joined" => Event::Joined(Membership { room: self.room?, seq: self.seq?, by, at: self.at }),
            "left" => Event::Left(Membership { room: self.room?, seq: self.seq?, by, at: self.at }),
            "closed" | "reopened" => {
                let closure = Closure { room: self.room?, seq: self.seq?, by: (!by.user.is_empty()).then_some(by), at: self.at };
                if self.r#type == "closed" { Event::Closed(closure) } else { Event::Reopened(closure) }
            }
            "welcome" => {
                let rooms = self.rooms.into_iter().filter_map(Self::state).collect();
                Event::Welcome { user: by.user, epoch: self.epoch, version: self.version, build: self.build, rooms }
            }
            "sent" => Event::Sent { room: self.room?, id: self.id?, seq: self.seq? },
            "read" => Event::Read { room: self.room?, seq: self.seq?, unread: self.unread },
            "presence" => Event::Presence(Presence { room: self.room?, count: self.count, users: self.users }),
            // Where it begins and ends does not matter: the whole room is fetched.
            "limited" => Event::Limited { room: self.room?, from: Seq::ZERO, to: Seq::ZERO },
            "error" => {
                let why = refusal(&self.code, self.retry_after_ms);
                Event::Error { id: self.id, room: self.room, why, message: self.message }
            }
            "pong" => Event::Pong,
            _ => Event::Unknown,
        })
    }

    fn state(self) -> Option<RoomState> {
        Some(RoomState {
            room: self.room?,
            name: self.name?,
            seq: self.seq?,
            read: self.read,
            unread: self.unread,
            closed: self.closed,
        })
    }

    /// The page of a room that this is.
    #[must_use]
    pub fn page(self) -> Option<Page> {
        let here = self.here.and_then(|here| Some(Presence { room: here.room?, count: here.count, users: here.users }));
        let events = self.events.into_iter().filter_map(Self::event).collect();
        let (topic, members, closed, may_open, idle) = (self.topic, self.members, self.closed, self.may_open, self.idle);
        let about = About { room: self.room?, name: self.name?, topic, members, closed, may_open, idle };
        let (member, as_of, epoch, read) = (self.member, self.as_of, self.epoch, self.read);
        Some(Page { about, member, as_of, epoch, read, events, older: self.older, newer: self.newer, here })
    }

    /// What a page was written with.
    #[must_use]
    pub fn opening(self) -> Option<Opening> {
        let here = self.here.and_then(|here| Some(Presence { room: here.room?, count: here.count, users: here.users }))?;
        let (topic, members, closed, may_open, idle) = (self.topic, self.members, self.closed, self.may_open, self.idle);
        Some(Opening {
            about: About { room: self.room?, name: self.name?, topic, members, closed, may_open, idle },
            id: self.id?,
            user: self.user,
            as_of: self.as_of,
            epoch: self.epoch,
            at: self.at_place,
            older: self.older,
            newer: self.newer_than,
            above_at: self.above_at,
            above_author: self.above_author,
            events: self.events.into_iter().filter_map(Self::event).collect(),
            read: self.read,
            unread: self.unread,
            here,
            nonce: self.nonce,
            text: self.text,
            message: self.message,
            page: self.page,
            zone: self.zone,
            text_max: self.text_max,
        })
    }

    /// The kept message that this is.
    #[must_use]
    pub fn kept(self) -> Option<Kept> {
        let at = u64::try_from(self.at.0).unwrap_or_default();
        Some(Kept { room: self.room?, text: self.text, at, order: self.order, refused: self.refused })
    }

    /// What was refused, and why, where that is an answer to a request.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        refusal(&self.code, self.retry_after_ms)
    }
}

/// A refusal, told apart only as far as the browser does something about it; its sentence comes with it.
fn refusal(code: &str, retry_after_ms: u32) -> Refusal {
    match code {
        "too_fast" => Refusal::TooFast { retry_after_ms },
        "busy" => Refusal::Busy,
        "unavailable" => Refusal::Unavailable,
        "internal" => Refusal::Internal,
        "log_in" => Refusal::LogIn,
        _ => Refusal::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Idle;

    fn read(event: &Event) -> Event {
        let json = serde_json::to_string(event).expect("events are JSON");
        serde_json::from_str::<Wire>(&json).expect("a flat event").event().expect("whole")
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let room = Slug::new("tea").expect("a slug");
        let by = Person { user: "ben".to_owned(), name: Some("Ben".to_owned()) };
        let id = Uuid::from_u128(5);
        let (seq, at) = (Seq(3), Micros(7));
        let membership = Membership { room: room.clone(), seq, by: by.clone(), at };
        let closure = |by| Closure { room: room.clone(), seq, by, at };
        let state = RoomState { room: room.clone(), name: "Tea".to_owned(), seq, read: Seq(1), unread: 2, closed: true };
        for event in [
            Event::Message(Message { room: room.clone(), seq, id, by: by.clone(), text: "x\n\"".to_owned(), at }),
            Event::Joined(membership.clone()),
            Event::Left(membership),
            Event::Closed(closure(None)),
            Event::Closed(closure(Some(by.clone()))),
            Event::Reopened(closure(Some(by.clone()))),
            Event::Welcome { user: "ada".to_owned(), epoch: id, version: 1, build: "b".to_owned(), rooms: vec![state] },
            Event::Sent { room: room.clone(), id, seq },
            Event::Read { room: room.clone(), seq, unread: 4 },
            Event::Presence(Presence { room: room.clone(), count: 9, users: vec![by] }),
            Event::Limited { room: room.clone(), from: Seq::ZERO, to: Seq::ZERO },
            Event::Pong,
        ] {
            assert_eq!(read(&event), event);
        }
        for why in
            [Refusal::TooFast { retry_after_ms: 5 }, Refusal::Busy, Refusal::Unavailable, Refusal::Internal, Refusal::LogIn]
        {
            let message = why.to_string();
            let event = Event::Error { id: Some(id), room: Some(room.clone()), why, message };
            assert_eq!(read(&event), event);
        }
    }

    #[test]
    fn a_page_is_read_as_it_was_written() {
        let room = Slug::new("tea").expect("a slug");
        let by = Person { user: "ben".to_owned(), name: None };
        let joined = Event::Joined(Membership { room: room.clone(), seq: Seq(8), by: by.clone(), at: Micros(1) });
        let here = Presence { room: room.clone(), count: 1, users: vec![by] };
        let tea = room.clone();
        let written = crate::protocol::RoomPage {
            room,
            name: "Tea".to_owned(),
            topic: "of tea".to_owned(),
            closed: true,
            idle: Idle::Week,
            may_open: true,
            member: true,
            members: 3,
            as_of: Seq(8),
            epoch: Uuid::from_u128(4),
            read: Seq(2),
            events: vec![joined.clone()],
            older: Some(Seq(8)),
            newer: true,
            here: here.clone(),
        };
        let json = serde_json::to_string(&written).expect("pages are JSON");
        let page = serde_json::from_str::<Wire>(&json).expect("a flat page").page().expect("whole");
        assert_eq!((page.member, page.as_of, page.epoch, page.read), (true, Seq(8), Uuid::from_u128(4), Seq(2)));
        assert_eq!((page.older, page.newer), (Some(Seq(8)), true));
        let about = About {
            room: tea,
            name: "Tea".to_owned(),
            topic: "of tea".to_owned(),
            members: 3,
            closed: true,
            may_open: true,
            idle: "week".to_owned(),
        };
        assert_eq!(page.about, about);
        assert_eq!((page.events, page.here), (vec![joined], Some(here)));
    }

    #[test]
    fn what_passes_is_known_to_pass_and_the_rest_is_not() {
        for why in [
            Refusal::TooFast { retry_after_ms: 5 },
            Refusal::Busy,
            Refusal::Unavailable,
            Refusal::Internal,
            Refusal::NotMember,
            Refusal::NotAllowed,
            Refusal::Closed,
            Refusal::TooMany,
        ] {
            let json = serde_json::to_string(&why).expect("refusals are JSON");
            let read = serde_json::from_str::<Wire>(&json).expect("a flat refusal").refusal();
            assert_eq!(read.passes(), why.passes(), "{json}");
        }
    }

    #[test]
    fn an_event_of_a_later_build_keeps_its_place() {
        let wire: Wire = serde_json::from_str(r#"{"type":"reacted","room":"tea","seq":9,"with":{"x":[1]}}"#).expect("flat");
        assert_eq!(wire.place(), Some((Slug::new("tea").expect("a slug"), Seq(9))));
        assert_eq!(wire.event(), Some(Event::Unknown));
    }
}
