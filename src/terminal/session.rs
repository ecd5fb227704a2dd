//! One person's chat with one server: what is known ([`State`]), the line, and what is on its way by REST. What the state asks for
//! is done here, for the screen and for pipes alike.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::ChatError;
use super::line::{Heard, Line};
use super::login::Login;
use super::rest::{Page, Rest, RestError};
use super::state::{Ask, Filling, State};
use super::stream::Dialer;
use crate::protocol::api::{Messages, Room};
use crate::protocol::{Command, Person, Refusal, Slug};

/// The wait before what passes is asked again; the next ones are longer by as much, up to [`LONGEST`].
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

/// How it is with the line.
#[derive(Clone, Debug)]
pub enum Connection {
    Connecting,
    Up,
    /// Tried again at this moment.
    Lost {
        again: Instant,
        why: String,
    },
}

/// What came by REST.
pub enum Fetched {
    Page { room: Slug, page: Page, asked: u32, result: Result<Messages, String> },
    About { room: Room, members: Vec<Person> },
    Nothing,
}

/// What happened.
pub enum Happened {
    Heard(Heard),
    Fetched(Fetched),
    /// Something is to be sent again.
    Due,
}

pub struct Session {
    pub state: State,
    pub connection: Connection,
    /// What is to be told to whoever sits there.
    pub told: Vec<String>,
    line: Line,
    rest: Rest,
    fetching: JoinSet<Fetched>,
}

impl Session {
    pub fn open(dialer: Arc<Dialer>, rest: Rest, login: &Login, filling: Filling) -> Self {
        let state = State::new(login.me.person.user.clone(), login.me.id, filling);
        let line = Line::open(dialer, login.token.clone());
        Self { state, connection: Connection::Connecting, told: Vec::new(), line, rest, fetching: JoinSet::new() }
    }

    /// What happens next. Nothing is lost when this is dropped while it waits.
    pub async fn next(&mut self) -> Happened {
        let now = now();
        let due = self.state.due(now).map(|due| Duration::from_millis(due.saturating_sub(now)));
        tokio::select! {
            heard = self.line.next() => match heard {
                Some(heard) => Happened::Heard(heard),
                // It has ended, and has said why.
                None => pending().await,
            },
            Some(fetched) = self.fetching.join_next() => Happened::Fetched(fetched.unwrap_or(Fetched::Nothing)),
            () = sleep(due.unwrap_or_default()), if due.is_some() => Happened::Due,
        }
    }

    /// What has happened already.
    pub fn try_next(&mut self) -> Option<Happened> {
        self.line.try_next().map(Happened::Heard)
    }

    /// Makes the state what it is by that, and does what this asks for.
    ///
    /// # Errors
    /// What ends the chat.
    pub fn apply(&mut self, happened: Happened) -> Result<(), ChatError> {
        let asks = match happened {
            Happened::Heard(Heard::Opened) => {
                self.line.say(self.state.hello());
                Vec::new()
            }
            Happened::Heard(Heard::Event(incoming)) => self.state.hear(*incoming, now()),
            Happened::Heard(Heard::Lost { again, why }) => {
                self.state.lost();
                self.connection = Connection::Lost { again: Instant::now() + again, why };
                Vec::new()
            }
            Happened::Heard(Heard::LoggedOut) => return Err(ChatError::LoggedOut(self.state.on_their_way())),
            Happened::Fetched(Fetched::Page { room, page, asked, result }) => self.state.fetched(&room, page, asked, result),
            Happened::Fetched(Fetched::About { room, members }) => self.state.told_about(room, members),
            Happened::Fetched(Fetched::Nothing) => Vec::new(),
            Happened::Due => self.state.send(now()),
        };
        if self.state.is_ready() {
            self.connection = Connection::Up;
        }
        self.perform(asks)
    }

    /// Does what is asked for.
    ///
    /// # Errors
    /// [`ChatError::TooOld`].
    pub fn perform(&mut self, asks: impl IntoIterator<Item = Ask>) -> Result<(), ChatError> {
        for ask in asks {
            match ask {
                Ask::Say(command) => self.line.say(command),
                Ask::Tell(what) => self.told.push(what),
                Ask::TooOld(version) => return Err(ChatError::TooOld(version)),
                Ask::Fetch { room, page, asked } => {
                    let rest = self.rest.clone();
                    self.fetching.spawn(async move {
                        let result = patiently(|| rest.messages(&room, page)).await;
                        Fetched::Page { result: result.map_err(|why| why.to_string()), room, page, asked }
                    });
                }
                Ask::About(ref slug) | Ask::AboutSoon(ref slug) => {
                    let (rest, slug) = (self.rest.clone(), slug.clone());
                    let pause = if matches!(ask, Ask::AboutSoon(_)) { AGAIN } else { Duration::ZERO };
                    self.fetching.spawn(async move {
                        sleep(pause).await;
                        let Ok(room) = patiently(|| rest.room(&slug)).await else { return Fetched::Nothing };
                        let members = if room.member { rest.members(&slug).await.ok() } else { None };
                        let members = members.map(|page| page.members.into_iter().map(|member| member.by).collect());
                        Fetched::About { room, members: members.unwrap_or_default() }
                    });
                }
            }
        }
        Ok(())
    }

    /// Says something that needs no more than a line to be said on.
    pub fn say(&self, command: Command) {
        self.line.say(command);
    }

    /// Tries again now, if the line is gone.
    pub fn try_now(&self) {
        self.line.try_now();
    }

    /// Turns to a room.
    ///
    /// # Errors
    /// As [`Self::perform`].
    pub fn turn(&mut self, room: &Slug) -> Result<(), ChatError> {
        let asks = self.state.turn(room);
        self.perform(asks)
    }

    /// Writes a message: its id.
    ///
    /// # Errors
    /// As [`Self::perform`].
    pub fn write(&mut self, room: &Slug, text: String) -> Result<uuid::Uuid, ChatError> {
        let (id, asks) = self.state.write(room, text, now(), &rand::random());
        self.perform(asks)?;
        Ok(id)
    }

    pub async fn close(self) {
        self.line.close().await;
    }
}

/// Asks again for as long as what is in the way passes.
async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, RestError>
where
    F: Future<Output = Result<T, RestError>>,
{
    let mut wait = AGAIN;
    loop {
        match ask().await {
            Err(RestError::Refused { why: Refusal::TooFast { retry_after_ms }, .. }) => {
                sleep(Duration::from_millis(retry_after_ms.into()).max(AGAIN)).await;
            }
            Err(why) if why.passes() => sleep(wait).await,
            outcome => return outcome,
        }
        wait = (wait + AGAIN).min(LONGEST);
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
