//! The rules: what an account, a room, a member, a message is, and who may do what.
//!
//! Every door (pages, sockets, programs) calls these functions with who acts and what they want; nothing is decided
//! anywhere else. What changes a room goes through the one [`writer`], which also tells the [`Hub`](super::live::Hub).

mod accounts;
mod fault;
#[cfg(fuzzing)]
pub mod fuzz;
mod names;
mod operator;
mod pages;
mod passwords;
mod programs;
mod rooms;
mod throttle;
mod tokens;
mod writer;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use self::accounts::{LOGIN_DAYS, Origin, TOUCH_AFTER};
pub use self::fault::{away, fault};
pub use self::operator::{AccountItem, AccountItems, Operator, OperatorError};
use self::pages::Pages;
use self::passwords::Passwords;
pub use self::rooms::Page;
pub(super) use self::rooms::state as room_state;
use self::throttle::Throttles;
pub use self::throttle::{Allowance, BURST_SECONDS, command_quota, frame_quota, wait_for};
use self::tokens::Tokens;
pub(super) use self::writer::Reply;
pub use self::writer::Sent;
use self::writer::Write;
use super::config::Settings;
use super::live::{Closing, Hub};
use super::metrics::Metrics;
use super::store::accounts::UserRow;
use super::store::notices::Notice;
use super::store::{AccountId, LoginId, Store, StoreError, UserId, log};
use crate::protocol::{Field, Idle, Me, Micros, Person, Refusal, Slug};

/// Who acts, and by which login.
#[derive(Clone, Debug)]
pub struct Actor {
    pub user: UserId,
    pub account: AccountId,
    pub login: LoginId,
    pub person: Person,
    pub admin: bool,
    /// When the login was last noted as used.
    pub seen: Micros,
    /// When the login is over by itself: that of a program for good, that of a session if it is not used until then.
    pub until: Micros,
    /// It is a program's.
    pub program: bool,
}

impl Actor {
    fn new(row: UserRow, login: LoginId) -> Self {
        let person = log::person(row.username, row.display_name);
        let (seen, program) = (Micros(row.seen_at), row.until_at.is_some());
        let until = row.until_at.map_or(Micros(seen.0 + accounts::UNUSED), Micros);
        Self { user: row.user_id, account: row.account_id, login, person, admin: row.admin, seen, until, program }
    }

    /// What this person may know of themselves.
    #[must_use]
    pub fn me(&self) -> Me {
        Me { id: self.user.0, person: self.person.clone(), admin: self.admin }
    }
}

/// The chat: everything that the doors can ask.
#[derive(Clone)]
pub struct Chat(Arc<Inner>);

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat").finish_non_exhaustive()
    }
}

struct Inner {
    store: Store,
    hub: Hub,
    pages: Pages,
    /// The identity of the database: see [`Event::Welcome`](crate::protocol::Event::Welcome).
    epoch: Uuid,
    passwords: Passwords,
    tokens: Tokens,
    throttles: Throttles,
    writes: mpsc::Sender<Write>,
    settings: Settings,
    metrics: Metrics,
}

/// Now.
#[must_use]
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl Chat {
    /// Founds a new database's first rooms and starts the writer, which runs in `tasks` until every `Chat` is dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(store: Store, settings: Settings, tasks: &TaskTracker) -> Result<Self, StoreError> {
        Self::run(store, settings, tasks, false).await
    }

    /// As [`Chat::start`], for a process that nobody connects to: what it writes, it leaves word of for the servers on the same
    /// database, which hear of it within a second.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start_apart(store: Store, settings: Settings, tasks: &TaskTracker) -> Result<Self, StoreError> {
        Self::run(store, settings, tasks, true).await
    }

    async fn run(store: Store, settings: Settings, tasks: &TaskTracker, apart: bool) -> Result<Self, StoreError> {
        let epoch = store.found(now()).await?;
        let metrics = Metrics::new(store.engine());
        let hub = Hub::new(&settings, metrics.clone());
        let writes = writer::start(store.clone(), hub.clone(), settings.clone(), metrics.clone(), apart, tasks);
        let writes = writes.map_err(StoreError::Writer)?;
        let tokens = match &settings.token_key {
            Some(key) => Tokens::new(key.as_bytes()),
            None => Tokens::new(&store.token_key(&Tokens::fresh_key()).await?),
        };
        let throttles = Throttles::new(&settings, metrics.clone());
        let passwords = Passwords::new(&settings, metrics.clone());
        let pages = Pages::new();
        Ok(Self(Arc::new(Inner { store, hub, pages, epoch, passwords, tokens, throttles, writes, settings, metrics })))
    }

    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.0.epoch
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What is counted, in Prometheus' text format.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let writes = &self.0.writes;
        self.metrics().text(writes.max_capacity() - writes.capacity(), self.store().is_full())
    }

    #[must_use]
    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    /// Who a login is of; none when it has ended or is over, or its account is disabled. Looked up each time.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] or [`Refusal::Internal`].
    pub async fn actor(&self, login: LoginId) -> Result<Option<Actor>, Refusal> {
        let row = self.0.store.user_of_login(login, accounts::in_use_since(), now()).await.map_err(fault)?;
        Ok(row.map(|row| Actor::new(row, login)))
    }

    /// Hands a change to the writer and waits for what became of it.
    async fn write<T>(&self, make: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Write) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.0.writes.send(make(answer)).await.map_err(|_| Refusal::Unavailable)?;
        answered.await.map_err(|_| Refusal::Unavailable)?
    }

    /// Sends a message, once: the same `id` with the same room and text again is the message that is there.
    ///
    /// # Errors
    /// [`Refusal::Empty`], [`Refusal::TooLong`], [`Refusal::TooFast`], [`Refusal::NoRoom`], [`Refusal::NotMember`],
    /// [`Refusal::Closed`], [`Refusal::Conflict`], or a fault.
    pub async fn send(&self, actor: &Actor, room: &Slug, id: Uuid, text: String) -> Result<Sent, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.send_with(actor, room, id, text, writer::Reply::Waiting(answer)).await;
        answered.await.map_err(|_| Refusal::Unavailable)?
    }

    /// As [`Chat::send`], without waiting for the commit: returns when the writer has it in its queue. `reply` is told when
    /// it is refused or was there already, or where no event of the room goes; otherwise the message's own event is the acknowledgement.
    pub(super) async fn send_with(&self, actor: &Actor, room: &Slug, id: Uuid, text: String, reply: writer::Reply) {
        let text = match names::text(&text, self.0.settings.text_max) {
            Ok(text) => text,
            Err(why) => return reply.answer(room, id, Err(why)),
        };
        if let Err(why) = self.0.throttles.send(actor.user) {
            // What is there already is not too fast: whoever sends it again only wants to know.
            return match log::sent(self.store(), actor.user, id).await {
                Ok(Some((there, seq, same))) if there == *room && same == text => reply.answer(room, id, Ok(Sent::Before(seq))),
                _ => reply.answer(room, id, Err(why)),
            };
        }
        let (author, by, since) = (actor.user, actor.person.clone(), Instant::now());
        let message = writer::Outgoing { room: room.clone(), author, by, id, text, since };
        if let Err(mpsc::error::SendError(Write::Send(message, reply))) = self.0.writes.send(Write::Send(message, reply)).await {
            reply.answer(&message.room, message.id, Err(Refusal::Unavailable));
        }
    }

    /// Counts a request of the API, or a server function that is posted, which anyone may make as fast as a connection may send
    /// commands.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], with the allowance that is used up.
    pub fn allow_request(&self, actor: &Actor) -> Result<Allowance, (Allowance, Refusal)> {
        self.0.throttles.request(actor.user)
    }

    /// Counts a command that this person gives by any of their sockets and that costs others something: as many as requests.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn allow_command(&self, actor: &Actor) -> Result<(), Refusal> {
        self.0.throttles.command(actor.user)
    }

    /// Counts a socket that is about to be opened, by whomever.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn allow_socket_from(&self, address: IpAddr) -> Result<(), Refusal> {
        self.0.throttles.open_socket_from(address)
    }

    /// Counts a socket that this person is about to open.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn allow_socket(&self, actor: &Actor) -> Result<(), Refusal> {
        self.0.throttles.open_socket(actor.user)
    }

    /// Forgets what throttles need not remember any more. To be called now and then.
    pub(super) fn tidy(&self) {
        self.0.throttles.tidy();
    }

    /// Makes sure that the database answers, and, after a write that its disk had no room for, whether it has room again.
    ///
    /// # Errors
    /// [`Refusal::Full`]: it can be read, and takes nothing new. Or [`Refusal::Unavailable`] or [`Refusal::Internal`].
    pub async fn ready(&self) -> Result<(), Refusal> {
        self.store().ping().await.map_err(fault)?;
        if self.store().is_full() {
            self.store().write_anything().await.map_err(fault)?;
        }
        if self.store().is_full() { Err(Refusal::Full) } else { Ok(()) }
    }

    /// Hears what other processes on the same database have left word of, after the number `after`: ends the connections of
    /// logins that have ended, and sends those in rooms whose log went on to read it. Returns the number of the last notice.
    ///
    /// # Errors
    /// A fault; nothing is heard then.
    pub(super) async fn heed(&self, after: i64) -> Result<i64, StoreError> {
        let mut last = after;
        for (number, notice) in self.store().notices(after).await? {
            if number != last + 1 {
                // Away for so long that notices were forgotten: who may still be connected is asked of everyone anew.
                self.hub().close_all(Closing::Fault);
            }
            last = number;
            match notice {
                Notice::LoginEnded(login) => self.hub().close_login(login, Closing::LoginEnded),
                Notice::Room(room, seq) => self.hub().heard_of(room, seq),
            }
        }
        Ok(last)
    }

    /// Ends the writer, and waits until everything is written, at a server's end.
    pub(super) async fn end(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.writes.send(Write::End(answer)).await.is_ok() {
            let _done = answered.await;
        }
    }
}

/// The slug that a client sent.
///
/// # Errors
/// [`Refusal::NoRoom`] when it is none: there can be no such room.
pub fn slug(text: impl Into<String>) -> Result<Slug, Refusal> {
    Slug::new(text).map_err(|_| Refusal::NoRoom)
}

/// The choice that a client sent; none where it sent none.
///
/// # Errors
/// [`Refusal::BadForm`] when it is none of [`Idle`]'s.
pub fn idle(text: Option<&str>) -> Result<Option<Idle>, Refusal> {
    text.map(str::parse).transpose().map_err(|_| Refusal::BadForm { field: Field::Idle })
}

/// A field that must not be empty.
fn filled(text: &str, field: Field) -> Result<&str, Refusal> {
    if text.trim().is_empty() { Err(Refusal::Empty { field }) } else { Ok(text) }
}
