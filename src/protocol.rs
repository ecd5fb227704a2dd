//! Every type that crosses the wire: between the browser, programs and the server, and from the server's pages into the
//! islands that take them over.
//!
//! The socket carries JSON text, one [`Command`] or [`Event`] a frame, or several events a frame, one a line, for a client
//! that asked for the subprotocol [`LINES`]. Adding an event or a field is not a new version: who reads ignores what it
//! does not know. [`VERSION`] grows when an old client would misunderstand.

pub mod api;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The version of this protocol, named in [`Event::Welcome`].
pub const VERSION: u32 = 1;

/// The WebSocket subprotocol under which events that wait together come in one frame, one a line.
pub const LINES: &str = "snug.lines";

/// The longest slug, in bytes.
pub const SLUG_MAX: usize = 48;
/// The longest username, in characters.
pub const USERNAME_MAX: usize = 32;
/// The longest room name, in characters.
pub const ROOM_NAME_MAX: usize = 64;
/// The longest topic, in characters.
pub const TOPIC_MAX: usize = 200;
/// The longest e-mail address, in bytes (RFC 5321, section 4.5.3.1.3, less the brackets).
pub const EMAIL_MAX: usize = 254;
/// The shortest password, in characters.
pub const PASSWORD_MIN: usize = 8;
/// The longest password, in bytes: enough for any passphrase, and a bound on what is hashed.
pub const PASSWORD_MAX: usize = 512;
/// Unread messages are counted up to this, and shown as "99+" beyond 99.
pub const UNREAD_MAX: u32 = 100;
/// The longest text that rooms are looked for by, in characters; what is beyond it does not count.
pub const QUERY_MAX: usize = 64;

/// A place in a room's log: 1, 2, 3, … without a gap; 0 is before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Seq(pub i64);

impl Seq {
    /// Before the first event of a room.
    pub const ZERO: Self = Self(0);

    /// The place after this one. (No log is so long that it has none; a number that someone made up may be.)
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment: whole microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// After how long without a message a room closes by itself. On the wire, in forms and in settings: `never`, `hour`, …
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    #[default]
    Never,
    Hour,
    Day,
    Week,
    /// Thirty days.
    Month,
}

impl Idle {
    /// Every choice, in the order to offer them.
    pub const ALL: [Self; 5] = [Self::Never, Self::Hour, Self::Day, Self::Week, Self::Month];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// How long that is, in microseconds; none for never.
    #[must_use]
    pub const fn micros(self) -> Option<i64> {
        const HOUR: i64 = 3600 * 1_000_000;
        match self {
            Self::Never => None,
            Self::Hour => Some(HOUR),
            Self::Day => Some(24 * HOUR),
            Self::Week => Some(7 * 24 * HOUR),
            Self::Month => Some(30 * 24 * HOUR),
        }
    }

    /// The choice that is so many microseconds long.
    ///
    /// # Errors
    /// [`Malformed`] when none is.
    pub fn lasting(micros: Option<i64>) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|idle| idle.micros() == micros).ok_or(Malformed)
    }
}

impl FromStr for Idle {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|idle| idle.as_str() == text).ok_or(Malformed)
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not of the form its type asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed")
    }
}

impl std::error::Error for Malformed {}

/// A room's name in addresses and on the wire: lower-case ASCII letters, digits and single hyphens between them, 1 to
/// [`SLUG_MAX`] bytes. It never changes, whatever the room is called later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "general")]
pub struct Slug(String);

impl Slug {
    /// # Errors
    /// [`Malformed`] when `text` is not of the form that the type describes.
    pub fn new(text: impl Into<String>) -> Result<Self, Malformed> {
        let text = text.into();
        let hyphens_apart = !text.starts_with('-') && !text.ends_with('-') && !text.contains("--");
        let known = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if text.is_empty() || text.len() > SLUG_MAX || !known || !hyphens_apart {
            return Err(Malformed);
        }
        Ok(Self(text))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Slug {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A person, as others see them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The username: unique, without `@`.
    pub user: String,
    /// The display name, where it is another than the username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Person {
    /// What to call this person on a screen.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.user)
    }
}

/// What a client asks of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// The first command: what this client has already. The answer is [`Event::Welcome`], then what it missed.
    Hello {
        /// The last `seq` that it has of each room that it wants continued.
        #[serde(default)]
        rooms: BTreeMap<Slug, Seq>,
        /// The `epoch` that those are of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<Uuid>,
        /// The room on the screen: see [`Command::Look`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        look: Option<Slug>,
    },
    /// A message. `id` is the client's own, new for each message and the same whenever it is sent again.
    Send { room: Slug, id: Uuid, text: String },
    /// Everything up to `seq` has been read. Never moves back.
    Read { room: Slug, seq: Seq },
    /// Become a member.
    Join { room: Slug },
    /// Cease to be one.
    Leave { room: Slug },
    /// The room on the screen, or none: who is present is told of that room only.
    Look {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<Slug>,
    },
    /// Are you there? Answered with [`Event::Pong`].
    Ping,
}

/// A message, as its room sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    pub room: Slug,
    pub seq: Seq,
    /// Chosen by its author's client; unique for its author.
    pub id: Uuid,
    #[serde(flatten)]
    pub by: Person,
    pub text: String,
    pub at: Micros,
}

/// Someone has become or ceased to be a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Membership {
    pub room: Slug,
    pub seq: Seq,
    #[serde(flatten)]
    pub by: Person,
    pub at: Micros,
}

/// A room has been closed, or opened again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Closure {
    pub room: Slug,
    pub seq: Seq,
    /// Who did it; none when it closed by itself, having been idle, or the operator did it.
    #[serde(flatten)]
    #[schema(value_type = Somebody)]
    pub by: Option<Person>,
    /// Whoever runs the server did it, who is nobody's user.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub operator: bool,
    pub at: Micros,
}

/// Who did something, in the description of the API: both are absent where nobody did.
#[derive(ToSchema)]
pub struct Somebody {
    /// The username.
    pub user: Option<String>,
    /// The display name, where it is another.
    pub name: Option<String>,
}

/// What a member's client knows of a room without having its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomState {
    pub room: Slug,
    pub name: String,
    /// The last event of its log.
    pub seq: Seq,
    /// This member has read up to here.
    pub read: Seq,
    /// Messages of others after `read`, counted up to [`UNREAD_MAX`].
    pub unread: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// Who is in a room right now: members with a live connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Presence {
    pub room: Slug,
    /// How many people (not connections).
    pub count: u32,
    /// Their names, in order; only some of them where `count` is larger than the list.
    pub users: Vec<Person>,
}

/// What the server tells a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The answer to [`Command::Hello`].
    Welcome {
        user: String,
        /// Another one than before: the database is another, and what the client has is void.
        epoch: Uuid,
        version: u32,
        /// Changes with every build of the browser's code: a tab of another build reloads when it can.
        build: String,
        rooms: Vec<RoomState>,
    },
    Message(Message),
    Joined(Membership),
    Left(Membership),
    /// From here on the room takes no messages and no members.
    Closed(Closure),
    /// From here on it does again.
    Reopened(Closure),
    /// The message `id` is there, at `seq`: it had been sent before, or the connection is sent no event of a room, or was sent none yet
    /// when it sent the message, as before its `hello`. Its event may come all the same.
    Sent {
        room: Slug,
        id: Uuid,
        seq: Seq,
    },
    /// This person has read a room up to `seq`, here or on another of their devices.
    Read {
        room: Slug,
        seq: Seq,
        unread: u32,
    },
    Presence(Presence),
    /// There is more than is replayed: drop what you have of the room and fetch it anew; events after `to` follow.
    Limited {
        room: Slug,
        from: Seq,
        to: Seq,
    },
    /// A command was refused.
    Error {
        /// The `id` of the message that was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Uuid>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<Slug>,
        #[serde(flatten)]
        why: Refusal,
        message: String,
    },
    Pong,
    /// An event that this build does not know.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// The room and place in its log, for an event that has one.
    #[must_use]
    pub fn place(&self) -> Option<(&Slug, Seq)> {
        match self {
            Self::Message(m) => Some((&m.room, m.seq)),
            Self::Joined(m) | Self::Left(m) => Some((&m.room, m.seq)),
            Self::Closed(c) | Self::Reopened(c) => Some((&c.room, c.seq)),
            _ => None,
        }
    }
}

/// What was wrong with what someone typed, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    Email,
    Username,
    Password,
    CurrentPassword,
    Name,
    Topic,
    /// When a room closes by itself: see [`Idle`].
    Idle,
    Text,
}

/// Why something was refused: the one error type of pages, programs and sockets. Closed, without free text, and safe to
/// show; its sentence ([`fmt::Display`]) says what happened and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// Not a command, or a field missing or of the wrong form.
    BadRequest,
    /// No login, or an ended one.
    LogIn,
    /// This name and this password do not go together.
    WrongPassword,
    /// The password typed to confirm is not the present one.
    WrongCurrentPassword,
    /// A write that comes from another site.
    CrossSite,
    /// Something required was left empty.
    Empty {
        field: Field,
    },
    /// Longer than `max` characters.
    TooLong {
        field: Field,
        max: u32,
    },
    /// Shorter than `min` characters.
    TooShort {
        field: Field,
        min: u32,
    },
    /// Characters or a form that the field does not take.
    BadForm {
        field: Field,
    },
    /// A password from the list of common ones, or the person's own name.
    CommonPassword,
    TakenUsername,
    TakenEmail,
    /// There is no such room, or none that this person may see.
    NoRoom,
    NotMember,
    /// It is for others to do: for who made the room, or for administrators.
    NotAllowed,
    Closed,
    /// This `id` names another message of the same author.
    Conflict,
    /// Too many in a short time.
    TooFast {
        retry_after_ms: u32,
    },
    /// As many as the server allows: connections, rooms.
    TooMany,
    /// A request or a frame larger than the server takes.
    TooLarge,
    /// No capacity this moment.
    Busy,
    /// The server cannot reach its database.
    Unavailable,
    /// The server's disk is full: it can be read, and takes nothing new.
    Full,
    /// A fault of the server's own. It is in its log.
    Internal,
    /// What a newer server says.
    #[serde(other)]
    Unknown,
}

impl Refusal {
    /// The HTTP status that says the same.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::LogIn | Self::WrongPassword => 401,
            Self::CrossSite | Self::NotMember | Self::NotAllowed => 403,
            Self::NoRoom => 404,
            Self::TakenUsername | Self::TakenEmail | Self::Conflict | Self::Closed => 409,
            Self::TooLarge => 413,
            Self::WrongCurrentPassword
            | Self::Empty { .. }
            | Self::TooLong { .. }
            | Self::TooShort { .. }
            | Self::BadForm { .. }
            | Self::CommonPassword => 422,
            Self::TooFast { .. } | Self::TooMany => 429,
            Self::Busy | Self::Unavailable | Self::Full => 503,
            Self::Internal | Self::Unknown => 500,
        }
    }

    /// The field beside which to say it.
    #[must_use]
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Empty { field } | Self::TooLong { field, .. } | Self::TooShort { field, .. } | Self::BadForm { field } => {
                Some(*field)
            }
            Self::WrongPassword | Self::CommonPassword => Some(Field::Password),
            Self::WrongCurrentPassword => Some(Field::CurrentPassword),
            Self::TakenUsername => Some(Field::Username),
            Self::TakenEmail => Some(Field::Email),
            _ => None,
        }
    }

    /// Whether the same may be accepted later without being changed.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::TooFast { .. } | Self::Busy | Self::Unavailable | Self::Full | Self::Internal)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Email => "e-mail address",
            Self::Username => "username",
            Self::Password => "password",
            Self::CurrentPassword => "current password",
            Self::Name => "name",
            Self::Topic => "topic",
            Self::Idle => "choice",
            Self::Text => "message",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest => f.write_str("The server could not make sense of that."),
            Self::LogIn => f.write_str("Log in to go on."),
            Self::WrongPassword => f.write_str("That name and password do not go together."),
            Self::WrongCurrentPassword => f.write_str("That is not your current password."),
            Self::CrossSite => f.write_str("That came from another site, so nothing was changed."),
            Self::Empty { field: Field::Text } => f.write_str("There is nothing in that message yet."),
            Self::Empty { field } => write!(f, "Please fill in the {field}."),
            Self::TooLong { field, max } => write!(f, "That {field} is too long: {max} characters is the most."),
            Self::TooShort { field, min } => write!(f, "That {field} is too short: at least {min} characters, please."),
            Self::BadForm { field: Field::Email } => f.write_str("That does not look like an e-mail address."),
            Self::BadForm { field: Field::Username } => {
                f.write_str("A username is letters and digits, with dots, hyphens or underscores between them.")
            }
            Self::BadForm { field: Field::Idle } => f.write_str(
                "A room closes after an hour, a day, a week or a month without a message, or never. Choose one of these.",
            ),
            Self::BadForm { field } => write!(f, "That {field} has characters that can't be used."),
            Self::CommonPassword => f.write_str("That password is among the first that anyone would try. Choose another."),
            Self::TakenUsername => f.write_str("Someone has that username already. Choose another."),
            Self::TakenEmail => f.write_str("There is an account with that e-mail address already. Log in instead?"),
            Self::NoRoom => f.write_str("There is no such room."),
            Self::NotMember => f.write_str("You are not a member of this room. Join it first."),
            Self::NotAllowed => f.write_str("That is not yours to do here. Ask whoever made the room, or an administrator."),
            Self::Closed => f.write_str("This room is closed. It can still be read."),
            Self::Conflict => f.write_str("Another message was already sent under this id."),
            Self::TooFast { retry_after_ms } => match retry_after_ms.div_ceil(1000).max(1) {
                seconds @ ..120 => write!(f, "Too fast. Try again in {seconds} s."),
                seconds => write!(f, "Too fast. Try again in {} min.", seconds.div_ceil(60)),
            },
            Self::TooMany => f.write_str("That is as many as this server allows."),
            Self::TooLarge => f.write_str("That is larger than this server takes."),
            Self::Busy => f.write_str("The server is busy. Try again in a moment."),
            Self::Unavailable => f.write_str("The server cannot reach its database just now. Try again in a moment."),
            Self::Full => f.write_str("The server's disk is full: it can be read, but can keep nothing new. Try again later."),
            Self::Internal => f.write_str("Something went wrong on the server. Try again; if it stays, tell whoever runs it."),
            Self::Unknown => f.write_str("The server refused that."),
        }
    }
}

impl std::error::Error for Refusal {}

/// A room in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomItem {
    pub room: Slug,
    pub name: String,
    /// Whether the person who asks is a member.
    pub member: bool,
    /// This member has read up to here; 0 for who is no member.
    #[serde(default)]
    pub read: Seq,
    /// Messages of others that this member has not read, counted up to [`UNREAD_MAX`]; 0 for who is no member.
    pub unread: u32,
    /// Current members.
    pub members: u32,
    /// When the last event of its log was.
    pub active_at: Micros,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// A room that was looked for, or that one could join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRoom {
    pub room: Slug,
    pub name: String,
    pub topic: String,
    /// Whether the person who asks is a member.
    pub member: bool,
    /// Current members.
    pub members: u32,
    /// When the last event of its log was.
    pub active_at: Micros,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// A page of the rooms that were found, the most active first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRooms {
    pub rooms: Vec<FoundRoom>,
    /// How many there are on all pages together.
    pub total: u32,
    /// Which page this is, from 1.
    pub page: u32,
    /// How many pages there are: at least one.
    pub pages: u32,
}

/// A page of a room's log with what is needed to show it, all from one reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomPage {
    pub room: Slug,
    pub name: String,
    pub topic: String,
    pub closed: bool,
    /// When it closes by itself.
    pub idle: Idle,
    /// Whether the person who asks may close it and open it again, member or not.
    pub may_open: bool,
    /// Whether the person who asks is a member. Who is not gets no events.
    pub member: bool,
    /// Current members.
    pub members: u32,
    /// The last event of the log when this was read.
    pub as_of: Seq,
    /// The same database as the socket's: see [`Event::Welcome`].
    pub epoch: Uuid,
    /// This member has read up to here.
    pub read: Seq,
    /// Messages and what else happened (joins, leaves, closings), by `seq`.
    pub events: Arc<[Event]>,
    /// There are events before the first of these: ask for what is before this `seq`.
    pub older: Option<Seq>,
    /// There are events after the last of these (this is not the latest page).
    pub newer: bool,
    /// Who is here now.
    pub here: Presence,
}

/// A login of one's own, in the list under settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginItem {
    pub id: Uuid,
    pub created_at: Micros,
    pub seen_at: Micros,
    /// The network address that it was made from.
    pub address: String,
    /// The program that it was made with, as it called itself.
    pub agent: String,
    /// The same in words: "Firefox on Linux".
    pub program: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    pub id: Uuid,
    #[serde(flatten)]
    pub person: Person,
    pub admin: bool,
}
