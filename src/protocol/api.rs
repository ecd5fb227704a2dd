//! What programs send and get under `/api`, beside the types that the socket shares.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Closure, Event, Idle, Me, Membership, Message, Micros, Person, Seq, Slug};

/// Makes an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// 254 bytes at most. Nobody else sees it.
    #[schema(example = "ada@example.org")]
    pub email: String,
    /// Up to 32 letters and digits, with dots, hyphens or underscores between them; unique, without case.
    #[schema(example = "ada", min_length = 1)]
    pub username: String,
    /// 8 characters to 512 bytes, and none of the common ones.
    #[schema(example = "a quiet harbour at dusk", min_length = 8)]
    pub password: String,
}

/// Logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    /// The username or the e-mail address.
    #[schema(example = "ada", min_length = 1)]
    pub name: String,
    #[schema(example = "a quiet harbour at dusk", min_length = 1)]
    pub password: String,
}

/// A login for a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Goes into the header `Authorization: Bearer …`.
    pub token: String,
    /// When it is over: 24 hours after it was made.
    pub expires_at: Micros,
    /// Whose it is.
    pub me: Me,
}

/// Opens one socket, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ticket {
    /// Goes into the socket's address: `/ws?ticket=…`.
    pub ticket: String,
    /// When it is over: 30 seconds after it was made.
    pub expires_at: Micros,
}

/// Makes a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    /// 1 to 64 characters; its address is made from it.
    #[schema(example = "Tea and biscuits", min_length = 1)]
    pub name: String,
    /// Up to 200 characters.
    #[serde(default)]
    pub topic: String,
    /// When it closes by itself; the server's own choice where there is none here.
    #[serde(default)]
    pub idle: Option<Idle>,
}

/// A room, as the person who asks sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Room {
    /// Its name in addresses, which never changes.
    pub room: Slug,
    pub name: String,
    pub topic: String,
    /// Whether the person who asks is a member.
    pub member: bool,
    /// It takes no messages and no members.
    pub closed: bool,
    /// When it closes by itself.
    pub idle: Idle,
    /// Whether the person who asks may close it and open it again.
    pub may_open: bool,
    /// How many current members it has.
    pub members: u32,
    /// When the last event of its log was.
    pub active_at: Micros,
    /// The last event of its log.
    pub seq: Seq,
    /// This member has read up to here; 0 for who is no member.
    pub read: Seq,
    /// Messages of others after `read`, counted up to 100; 0 for who is no member.
    pub unread: u32,
}

/// A page of the rooms: one's own, and those that one could join, by slug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rooms {
    pub rooms: Vec<Room>,
    /// There are more: ask for those `after` this one.
    pub next: Option<Slug>,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Member,
    Moderator,
    /// Who made the room.
    Owner,
}

/// A current member of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    #[serde(flatten)]
    pub by: Person,
    pub role: Role,
    /// The event by which they joined.
    pub since: Seq,
}

/// A page of a room's members, by username.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Members {
    pub members: Vec<Member>,
    /// There are more: ask for those `after` this one.
    pub next: Option<String>,
}

/// A page of a room's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Messages {
    pub room: Slug,
    /// The identity of the database: with another one than before, what is remembered of rooms is void.
    pub epoch: Uuid,
    /// The last event of the log when this was read.
    pub as_of: Seq,
    /// Up to 50 messages, with the joins, leaves and closings between them (of a crowd of those, the latest 50), by `seq`.
    pub events: Vec<Logged>,
    /// There is more before these: ask for what is `before` this.
    pub before: Option<Seq>,
    /// There is more after these: ask for what is `after` this.
    pub after: Option<Seq>,
}

/// An event of a room's log, as the socket tells of it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Logged {
    Message(Message),
    Joined(Membership),
    Left(Membership),
    Closed(Closure),
    Reopened(Closure),
}

impl Logged {
    /// The event, if it is one of a log.
    #[must_use]
    pub fn of(event: Event) -> Option<Self> {
        Some(match event {
            Event::Message(message) => Self::Message(message),
            Event::Joined(membership) => Self::Joined(membership),
            Event::Left(membership) => Self::Left(membership),
            Event::Closed(closure) => Self::Closed(closure),
            Event::Reopened(closure) => Self::Reopened(closure),
            _ => return None,
        })
    }

    /// Its place in the log.
    #[must_use]
    pub fn seq(&self) -> Seq {
        match self {
            Self::Message(message) => message.seq,
            Self::Joined(membership) | Self::Left(membership) => membership.seq,
            Self::Closed(closure) | Self::Reopened(closure) => closure.seq,
        }
    }
}

/// Sends a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// The client's own, new for each message and the same whenever it is sent again.
    pub id: Uuid,
    /// As long as the server's settings allow: 4000 characters, if they say nothing.
    #[schema(example = "Good morning", min_length = 1)]
    pub text: String,
}

/// A message that is in its room's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentMessage {
    pub room: Slug,
    pub id: Uuid,
    /// Its place.
    pub seq: Seq,
}

/// Says what one has read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadUpTo {
    /// Everything up to here. It never moves back.
    pub seq: Seq,
}
