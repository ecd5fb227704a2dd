//! What comes from the server, and from the page that it wrote, read into the types of the protocol.

use serde::Serialize;
use uuid::Uuid;

use super::json::Json;
use crate::protocol::{Closure, Event, Membership, Message, Micros, Person, Presence, Refusal, RoomItem, RoomState, Seq, Slug};

/// What stands around a room's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

/// What the page knows of the room when it is written.
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
    pub at: Option<Seq>,
    /// There is more before the page's first event, and after its last: not the latest page then, and nothing that comes in
    /// belongs below it.
    pub older: Option<Seq>,
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

/// What the list of rooms is given by its page.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Who reads.
    pub id: Uuid,
    pub user: String,
    pub rooms: Vec<RoomItem>,
    /// The room on the screen.
    pub current: Option<Slug>,
    /// The page that the forms are on.
    pub page: String,
    /// Whether the page has the rooms that one could join beside the list.
    pub apart: bool,
    /// Whether who reads may make rooms.
    pub makes_rooms: bool,
    /// The zone that times are in.
    pub zone: String,
    /// When the page was made.
    pub now: Micros,
    pub mac: bool,
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

impl Page {
    /// The messages of `user` on it.
    pub fn messages_of(&self, user: &str) -> Vec<Uuid> {
        let by_user = |event: &Event| {
            if let Event::Message(message) = event { (message.by.user == user).then_some(message.id) } else { None }
        };
        self.events.iter().filter_map(by_user).collect()
    }
}

/// The room and place in its log, for an event that has one, also where this build does not know the event.
pub fn place(json: &impl Json) -> Option<(Slug, Seq)> {
    Some((json.parsed("room")?, seq(json, "seq")?))
}

fn seq(json: &impl Json, name: &str) -> Option<Seq> {
    json.number(name).map(Seq)
}

fn read(json: &impl Json) -> Seq {
    seq(json, "read").unwrap_or_default()
}

fn at(json: &impl Json) -> Micros {
    Micros(json.number("at").unwrap_or_default())
}

fn person(json: &impl Json) -> Option<Person> {
    Some(Person { user: json.text("user")?, name: json.text("name") })
}

/// An event; [`Event::Unknown`] for what this build does not know. None when something is missing.
pub fn event(json: &impl Json) -> Option<Event> {
    let r#type = json.text("type")?;
    let room = || json.parsed::<Slug>("room");
    let id = || json.parsed::<Uuid>("id");
    let seq = || seq(json, "seq");
    let membership = || Some(Membership { room: room()?, seq: seq()?, by: person(json)?, at: at(json) });
    let closure =
        || Some(Closure { room: room()?, seq: seq()?, by: person(json), operator: json.flag("operator"), at: at(json) });
    Some(match r#type.as_str() {
        "message" => Event::Message(Message {
            room: room()?,
            seq: seq()?,
            id: id()?,
            by: person(json)?,
            text: json.text("text")?,
            at: at(json),
        }),
        "joined" => Event::Joined(membership()?),
        "left" => Event::Left(membership()?),
        "closed" => Event::Closed(closure()?),
        "reopened" => Event::Reopened(closure()?),
        "welcome" => Event::Welcome {
            user: json.text("user")?,
            epoch: json.parsed("epoch")?,
            version: json.count("version"),
            build: json.text("build")?,
            rooms: json.list("rooms").iter().filter_map(state).collect(),
        },
        "sent" => Event::Sent { room: room()?, id: id()?, seq: seq()? },
        "read" => Event::Read { room: room()?, seq: seq()?, unread: json.count("unread") },
        "presence" => Event::Presence(presence(json)?),
        // Where it begins does not matter: the whole room is fetched.
        "limited" => Event::Limited { room: room()?, from: Seq::ZERO, to: self::seq(json, "to").unwrap_or_default() },
        "error" => Event::Error { id: id(), room: room(), why: refusal(json), message: json.text("message").unwrap_or_default() },
        "pong" => Event::Pong,
        _ => Event::Unknown,
    })
}

fn events(json: &impl Json) -> Vec<Event> {
    json.list("events").iter().filter_map(event).collect()
}

fn presence(json: &impl Json) -> Option<Presence> {
    let users = json.list("users").iter().filter_map(person).collect();
    Some(Presence { room: json.parsed("room")?, count: json.count("count"), users })
}

fn state(json: &impl Json) -> Option<RoomState> {
    Some(RoomState {
        room: json.parsed("room")?,
        name: json.text("name")?,
        seq: seq(json, "seq")?,
        read: read(json),
        unread: json.count("unread"),
        closed: json.flag("closed"),
    })
}

fn about(json: &impl Json) -> Option<About> {
    Some(About {
        room: json.parsed("room")?,
        name: json.text("name")?,
        topic: json.text("topic").unwrap_or_default(),
        members: json.count("members"),
        closed: json.flag("closed"),
        may_open: json.flag("may_open"),
        idle: json.text("idle").unwrap_or_default(),
    })
}

/// A page of a room.
pub fn page(json: &impl Json) -> Option<Page> {
    Some(Page {
        about: about(json)?,
        member: json.flag("member"),
        as_of: seq(json, "as_of")?,
        epoch: json.parsed("epoch")?,
        read: read(json),
        events: events(json),
        older: seq(json, "older"),
        newer: json.flag("newer"),
        here: json.part("here").and_then(|here| presence(&here)),
    })
}

/// What a room's page was written with.
pub fn opening(json: &impl Json) -> Option<Opening> {
    Some(Opening {
        about: about(json)?,
        id: json.parsed("id")?,
        user: json.text("user")?,
        as_of: seq(json, "as_of")?,
        epoch: json.parsed("epoch")?,
        at: seq(json, "at"),
        older: seq(json, "older"),
        newer: seq(json, "newer"),
        above_at: json.number("above_at").map(Micros),
        above_author: json.text("above_author").unwrap_or_default(),
        events: events(json),
        read: read(json),
        unread: json.count("unread"),
        here: presence(&json.part("here")?)?,
        nonce: json.parsed("nonce")?,
        text: json.text("text").unwrap_or_default(),
        message: json.text("message").unwrap_or_default(),
        page: json.text("page")?,
        zone: json.text("zone")?,
        text_max: json.count("text_max"),
    })
}

fn item(json: &impl Json) -> Option<RoomItem> {
    Some(RoomItem {
        room: json.parsed("room")?,
        name: json.text("name")?,
        member: json.flag("member"),
        read: seq(json, "read").unwrap_or_default(),
        unread: json.count("unread"),
        members: json.count("members"),
        active_at: Micros(json.number("active_at").unwrap_or_default()),
        closed: json.flag("closed"),
    })
}

/// A list of rooms.
pub fn rooms<J: Json>(json: &J) -> Vec<RoomItem> {
    json.items().iter().filter_map(item).collect()
}

/// What the list of a page was written with.
pub fn listed<J: Json>(json: &J) -> Option<Listed> {
    Some(Listed {
        id: json.parsed("id")?,
        user: json.text("user")?,
        rooms: rooms(&json.part("rooms")?),
        current: json.parsed("current"),
        page: json.text("page")?,
        apart: json.flag("apart"),
        makes_rooms: json.flag("makes_rooms"),
        zone: json.text("zone")?,
        now: Micros(json.number("now")?),
        mac: json.flag("mac"),
    })
}

/// What was refused, and why, told apart only as far as the browser does something about it; its sentence comes with it.
pub fn refusal(json: &impl Json) -> Refusal {
    match json.text("code").as_deref() {
        Some("too_fast") => Refusal::TooFast { retry_after_ms: json.count("retry_after_ms") },
        Some("busy") => Refusal::Busy,
        Some("unavailable") => Refusal::Unavailable,
        Some("full") => Refusal::Full,
        Some("internal") => Refusal::Internal,
        Some("log_in") => Refusal::LogIn,
        _ => Refusal::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Idle;
    use serde_json::Value;

    const PASSING: [Refusal; 5] =
        [Refusal::TooFast { retry_after_ms: 5 }, Refusal::Busy, Refusal::Unavailable, Refusal::Full, Refusal::Internal];

    fn read(event: &Event) -> Event {
        let json = serde_json::to_string(event).expect("events are JSON");
        super::event(&serde_json::from_str::<Value>(&json).expect("JSON")).expect("whole")
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let room = Slug::new("tea").expect("a slug");
        let by = Person { user: "ben".to_owned(), name: Some("Ben".to_owned()) };
        let id = Uuid::from_u128(5);
        let (seq, at) = (Seq(3), Micros(7));
        let membership = Membership { room: room.clone(), seq, by: by.clone(), at };
        let closure = |by: Option<Person>| Closure { room: room.clone(), seq, operator: by.is_none(), by, at };
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
            Event::Limited { room: room.clone(), from: Seq::ZERO, to: seq },
            Event::Pong,
        ] {
            assert_eq!(read(&event), event);
        }
        for why in PASSING.into_iter().chain([Refusal::LogIn]) {
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
            events: [joined.clone()].into(),
            older: Some(Seq(8)),
            newer: true,
            here: here.clone(),
        };
        let json = serde_json::to_string(&written).expect("pages are JSON");
        let page = super::page(&serde_json::from_str::<Value>(&json).expect("JSON")).expect("whole");
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
        let lasting = [Refusal::NotMember, Refusal::NotAllowed, Refusal::Closed, Refusal::TooMany];
        for why in PASSING.into_iter().chain(lasting) {
            let json = serde_json::to_string(&why).expect("refusals are JSON");
            let read = refusal(&serde_json::from_str::<Value>(&json).expect("JSON"));
            assert_eq!(read.passes(), why.passes(), "{json}");
        }
    }

    #[test]
    fn an_event_of_a_later_build_keeps_its_place() {
        let wire: Value = serde_json::from_str(r#"{"type":"reacted","room":"tea","seq":9,"with":{"x":[1]}}"#).expect("JSON");
        assert_eq!(place(&wire), Some((Slug::new("tea").expect("a slug"), Seq(9))));
        assert_eq!(event(&wire), Some(Event::Unknown));
    }
}
