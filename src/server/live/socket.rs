//! One socket: a task that reads commands, and does what takes longer than to send what is new, which [others](super::connection) do.
//!
//! What its client was told of each room is its *cursor* there. The rule that makes the log whole for the client: an event
//! goes out only if it is the one after the cursor; an older one was told already, a later one means that something is
//! missing, and what is missing is read from the log. So it may listen first and read then, and what comes twice is
//! dropped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message as Frame, Utf8Bytes, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use governor::RateLimiter;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::connection::{Closing, Connection, Cursors, Deliveries, Left};
use super::hub::{Hub, json};
use super::wire::{self, FRAME, Socket};
use crate::protocol::{self, Command, Event, Micros, Refusal, Seq, Slug};
use crate::server::chat::{Actor, Chat, Reply, command_quota, fault, frame_quota, now, room_state, wait_for};
use crate::server::store::RoomId;
use crate::server::store::rooms::{CountedRow, RoomRow};
use crate::server::stream::Outbound;

/// Events of a log that are read at once: half a MiB, when all are as long as a text may be by default.
const PIECE: i64 = 32;

/// Seconds in which the first command must have come.
const HELLO: Duration = Duration::from_secs(20);

/// How long the server reads on when nothing seems to have come for too long. What a client said may be there, unread: where the
/// server itself stood still (it was stopped, its machine was asleep), all that was to happen meanwhile is due at once.
const DOUBT: Duration = Duration::from_secs(1);

/// What one socket may do how often. By the clock of `std`: the usual one asks the CPU what it is for each limiter, which on a virtual
/// machine takes longer than the rest of a new socket.
type Limiter = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// What every socket of a server shares.
#[derive(Clone)]
pub struct Sockets {
    pub chat: Chat,
    /// Names this build to the browser's code: another one reloads.
    pub build: Arc<str>,
    pub tasks: TaskTracker,
}

/// What a socket is opened for.
#[derive(Clone, Debug)]
pub struct Purpose {
    /// The room that it is in at once, without a `hello`: text that is no JSON object is a message to it.
    pub room: Option<Slug>,
    /// It is a program's: it is asked now and then whether it is still there, which a page says by itself.
    pub program: bool,
}

impl Sockets {
    /// Answers an upgrade whose login and origin have been checked, of the connection with this way out.
    ///
    /// # Errors
    /// [`Refusal::TooMany`].
    pub fn upgrade(
        &self,
        upgrade: WebSocketUpgrade,
        out: Arc<Outbound>,
        actor: Actor,
        purpose: Purpose,
    ) -> Result<Response, Refusal> {
        let settings = self.chat.settings();
        let frame_max = usize::try_from(settings.frame_max).unwrap_or(usize::MAX);
        let registered = Registered::new(&self.chat, actor, Arc::clone(&out))?;
        let (commands, frames) = (command_quota(settings), frame_quota(settings));
        let (chat, build, tasks) = (self.chat.clone(), Arc::clone(&self.build), self.tasks.clone());
        Ok(wire::upgrade(upgrade, out, frame_max, move |socket| {
            let session = Session {
                slugs: HashMap::new(),
                commands: Limiter::direct_with_clock(commands, MonotonicClock),
                frames: Limiter::direct_with_clock(frames, MonotonicClock),
                purpose,
                lines: socket.takes_lines(),
                build,
                registered,
                chat,
            };
            // Tracked, so that a stopping server waits for the farewells.
            tasks.track_future(Box::pin(session.run(socket)))
        }))
    }
}

/// A connection in the hub; forgotten there when dropped, however its task ends.
struct Registered {
    hub: Hub,
    connection: Arc<Connection>,
}

impl Registered {
    fn new(chat: &Chat, actor: Actor, out: Arc<Outbound>) -> Result<Self, Refusal> {
        let hub = chat.hub().clone();
        let connection = hub.connect(actor, out)?;
        Ok(Self { hub, connection })
    }

    fn listen(&self, room: RoomId) {
        self.hub.listen(&self.connection, room);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.hub.disconnect(&self.connection);
    }
}

struct Session {
    chat: Chat,
    registered: Registered,
    build: Arc<str>,
    /// The client takes several events in one frame, one a line.
    lines: bool,
    purpose: Purpose,
    slugs: HashMap<Slug, RoomId>,
    commands: Limiter,
    frames: Limiter,
}

/// Events on their way out.
struct Outgoing {
    lines: bool,
    events: Vec<Utf8Bytes>,
    bytes: usize,
}

impl Outgoing {
    fn new(lines: bool) -> Self {
        Self { lines, events: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, json: Utf8Bytes) {
        self.bytes += json.len();
        self.events.push(json);
    }

    /// What is to be sent now: events that go out together, one a line, where the client takes that.
    fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        let events = std::mem::take(&mut self.events);
        if !self.lines {
            return events.chunks(1).map(wire::text).collect();
        }
        let (mut frames, mut rest) = (Vec::new(), events.as_slice());
        while !rest.is_empty() {
            let (together, others) = rest.split_at(wire::fitting(rest));
            frames.push(wire::text(together));
            rest = others;
        }
        frames
    }

    /// Whether there is as much as a frame holds.
    fn is_enough(&self) -> bool {
        self.bytes >= FRAME
    }
}

impl Session {
    fn hub(&self) -> &Hub {
        &self.registered.hub
    }

    fn connection(&self) -> &Arc<Connection> {
        &self.registered.connection
    }

    fn me(&self) -> &Actor {
        &self.connection().actor
    }

    #[expect(clippy::manual_async_fn, reason = "what an `async fn` is given it keeps twice")]
    fn run(mut self, mut socket: Socket) -> impl Future<Output = ()> + Send {
        async move {
            if let Err(why) = self.serve(&mut socket).await {
                let (code, reason) = why.code();
                tracing::debug!(user = %self.me().user, code, reason, "a socket is closed");
                socket.farewell(why).await;
            }
        }
    }

    /// What comes before the client has said anything.
    async fn begin(&mut self, socket: &mut Socket) -> Result<(), Closing> {
        // The login may have ended between its check and now; from here on the hub tells.
        match self.chat.actor(self.me().login).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Closing::LoginEnded),
            Err(_) => return Err(Closing::Fault),
        }
        if let Some(room) = self.purpose.room.clone() {
            self.hello(socket, BTreeMap::new(), None).await?;
            self.look(Some(&room)).await;
        }
        Ok(())
    }

    /// Until the client goes (`Ok`), or the server ends it. What a socket seldom does is boxed, here and in what this calls: an idle
    /// one, as most are, keeps no room for it.
    async fn serve(&mut self, socket: &mut Socket) -> Result<(), Closing> {
        if !socket.send([]) {
            // The answer to the upgrade has not left whole, and never will.
            return Ok(());
        }
        self.connection().begin(self.lines);
        Box::pin(self.begin(socket)).await?;
        let idle = Duration::from_secs(self.chat.settings().idle_timeout.into());
        let connection = Arc::clone(&self.registered.connection);
        // A login is over by itself, and its socket with it.
        let mut over = at(self.me().until);
        // Whose room is named in the address need not say hello.
        let mut heard = Instant::now() + if self.purpose.room.is_some() { idle } else { HELLO.min(idle) };
        let mut doubted = false;
        let quiet = idle / 3;
        let mut ask = Instant::now() + quiet;
        let program = self.purpose.program;
        let first_of = |heard: Instant, over: Instant, ask| if program { heard.min(over).min(ask) } else { heard.min(over) };
        // One alarm for all that may come to pass in time. What happens puts it off, which is looked at when it goes off: setting it
        // anew for every event would cost more than the event.
        let alarm = sleep_until(first_of(heard, over, ask));
        tokio::pin!(alarm);
        let mut deaf = false;
        // What it says comes first, so that nobody is called silent who is not; but then everything else has its turn.
        let mut said = false;
        loop {
            tokio::select! {
                biased;
                frame = socket.hear(), if !deaf && !said => {
                    said = true;
                    let Some(frame) = frame? else { return Ok(()) };
                    heard = Instant::now() + idle;
                    ask = Instant::now() + quiet;
                    doubted = false;
                    // Who floods is heard no faster than is allowed: what it says meanwhile waits in the network, and then with itself.
                    if let Err(not_until) = self.frames.check() {
                        deaf = true;
                        alarm.as_mut().reset(Instant::now() + not_until.wait_time_from(self.frames.clock().now()));
                    }
                    match frame {
                        Frame::Text(text) => Box::pin(self.command(socket, text.as_str())).await?,
                        Frame::Binary(_) => return Err(Closing::NotText),
                        Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => {}
                    }
                }
                () = &mut alarm => {
                    deaf = false;
                    let now = Instant::now();
                    if over <= now {
                        // That of a session goes on where it was used meanwhile, by another door.
                        over = at(Box::pin(self.chat.actor(self.me().login)).await?.ok_or(Closing::LoginEnded)?.until);
                    }
                    if heard <= now {
                        if doubted {
                            return Err(Closing::Silent);
                        }
                        (doubted, heard) = (true, now + DOUBT);
                    }
                    if program && ask <= now {
                        ask = now + quiet;
                        let patience = Duration::from_secs(self.chat.settings().write_timeout.into());
                        timeout(patience, socket.say(Frame::Ping(Bytes::new()))).await.map_err(|_| Closing::TooSlow)??;
                    }
                    alarm.as_mut().reset(first_of(heard, over, ask));
                }
                () = connection.woken() => {
                    said = false;
                    self.flush(socket).await?;
                }
                () = std::future::ready(()), if said => said = false,
            }
        }
    }

    /// Sends what waits, or does what it waits for; once, and is woken again where that may not be all: a client that takes less than
    /// there is to tell has something to say, too.
    async fn flush(&mut self, socket: &mut Socket) -> Result<(), Closing> {
        match self.connection().uncork() {
            Left::Nothing => return Ok(()),
            Left::Flushing => self.flushed(socket).await?,
            Left::CatchingUp => Box::pin(self.catch_up(socket)).await?,
            Left::Closing(why) => return Err(why),
        }
        self.connection().wake();
        Ok(())
    }

    /// Sends frames; returns when they are gone.
    async fn send(&self, socket: &mut Socket, frames: Vec<Bytes>) -> Result<(), Closing> {
        for frame in frames {
            if !socket.send([frame]) {
                self.flushed(socket).await?;
            }
        }
        Ok(())
    }

    /// Returns when what was sent is gone.
    async fn flushed(&self, socket: &mut Socket) -> Result<(), Closing> {
        let patience = Duration::from_secs(self.chat.settings().write_timeout.into());
        let (connection, mut woken) = (self.connection(), false);
        let (flushed, late) = (socket.flush(), sleep(patience));
        tokio::pin!(flushed, late);
        loop {
            // While it takes nothing: an ended login still ends it. What else waits is sent afterwards.
            if let Some(why) = connection.closing() {
                return Err(why);
            }
            tokio::select! {
                biased;
                flushed = &mut flushed => {
                    flushed?;
                    break;
                }
                () = &mut late => return Err(Closing::TooSlow),
                () = connection.woken() => woken = true,
            }
        }
        // What woke it meanwhile is looked at next.
        if woken {
            connection.wake();
        }
        Ok(())
    }

    /// Reads what is missing, of every room: who is a member of what, and from each cursor to the log's end.
    async fn catch_up(&mut self, socket: &mut Socket) -> Result<(), Closing> {
        self.connection().cork();
        self.chat.metrics().resynced.inc();
        let mut out = Outgoing::new(self.lines);
        let user = self.me().user;
        let rooms = self.listen_to(|| self.chat.joined(user), |row| row.id).await?;
        let told = self.connection().cursors(|cursors| cursors.clone());
        for row in &rooms {
            let slug = row.slug().map_err(fault)?;
            self.replay(socket, row.id, &slug, goes_on(&told, row), row.last(), &mut out).await?;
            self.slugs.insert(slug, row.id);
        }
        self.part(&told, rooms.iter().map(|row| row.id), &mut out).await?;
        self.send(socket, out.take()).await
    }

    /// Listens to its person's rooms, then `read`s what they are; `id` is the room that a row is of. Those that it hears are then those
    /// that it read, and what one of them was left or joined by afterwards is handed to it.
    async fn listen_to<T, F>(&self, read: impl Fn() -> F, id: impl Fn(&T) -> RoomId) -> Result<Vec<T>, Refusal>
    where
        F: Future<Output = Result<Vec<T>, Refusal>>,
    {
        loop {
            for room in self.chat.joined_ids(self.me().user).await? {
                self.registered.listen(room);
            }
            let rows = read().await?;
            let rooms: HashSet<RoomId> = rows.iter().map(&id).collect();
            let strays: Vec<_> = self.connection().heard().into_iter().filter(|room| !rooms.contains(room)).collect();
            if strays.is_empty() {
                return Ok(rows);
            }
            // Left between the two, or since it was told so much; or joined since. Once more, without them.
            strays.into_iter().for_each(|room| self.hub().unlisten(self.connection(), room));
        }
    }

    /// Says of the rooms that it was told of and that are none of its person's any more that they were left.
    async fn part(&self, told: &Cursors, rooms: impl Iterator<Item = RoomId>, out: &mut Outgoing) -> Result<(), Closing> {
        let rooms: HashSet<RoomId> = rooms.collect();
        for id in told.keys().filter(|id| !rooms.contains(id)) {
            self.connection().cursors(|cursors| cursors.remove(id));
            if let Some(event) = self.chat.parting(*id, self.me().user).await? {
                out.add(json(&event));
            }
        }
        Ok(())
    }

    /// What the client has of a room, from now on.
    fn know(&self, room: RoomId, seq: Seq) {
        self.connection().cursors(|cursors| cursors.insert(room, seq));
    }

    /// What the room's log says after `cursor` to `to`; or [`Event::Limited`] where that is too much. It is sent as it is read, so that
    /// who does not take it makes the server hold a [`PIECE`] of it.
    async fn replay(
        &mut self,
        socket: &mut Socket,
        room: RoomId,
        slug: &Slug,
        cursor: Seq,
        to: Seq,
        out: &mut Outgoing,
    ) -> Result<(), Closing> {
        self.know(room, cursor.max(to));
        if cursor >= to {
            return Ok(());
        }
        if to.0 - cursor.0 > i64::from(self.chat.settings().replay_max) {
            self.chat.metrics().limited.inc();
            out.add(json(&Event::Limited { room: slug.clone(), from: cursor.next(), to }));
            return Ok(());
        }
        let (hub, metrics) = (self.hub().clone(), self.chat.metrics());
        let mut tail = hub.tail(room, cursor, to);
        // Of those who lost the same server and come back at once, one reads what memory can hold; the others wait for that.
        let mut reading = None;
        if tail.is_none() {
            reading = hub.reading(room, cursor, to).await;
            tail = reading.as_ref().and_then(|_| hub.tail(room, cursor, to));
        }
        if let Some(tail) = tail {
            metrics.replayed_from_memory.inc();
            tail.into_iter().for_each(|json| out.add(json));
            drop(reading);
            return self.send_enough(socket, out).await;
        }
        metrics.replayed_from_database.inc();
        let (mut after, mut read) = (cursor, Vec::new());
        while after < to {
            let until = to.min(Seq(after.0 + PIECE));
            for event in self.chat.replay(room, slug, after, until).await? {
                let json = json(&event);
                out.add(json.clone());
                read.extend(event.place().filter(|_| reading.is_some()).map(|(_, seq)| (seq, json)));
            }
            if out.is_enough() {
                // More than memory keeps; and nobody waits for a client that may be slow.
                (reading, read) = (None, Vec::new());
                self.send(socket, out.take()).await?;
            }
            after = until;
        }
        if reading.is_some() {
            hub.adopt(room, cursor, to, read);
        }
        Ok(())
    }

    /// Sends what is on its way, if it is enough for a frame.
    async fn send_enough(&self, socket: &mut Socket, out: &mut Outgoing) -> Result<(), Closing> {
        if out.is_enough() { self.send(socket, out.take()).await } else { Ok(()) }
    }

    fn tell(&self, event: &Event) {
        let mut deliveries = Deliveries::default();
        deliveries.tell(self.connection(), event);
        deliveries.send();
    }

    fn refuse(&self, room: Option<&Slug>, why: Refusal) {
        let message = why.to_string();
        self.tell(&Event::Error { id: None, room: room.cloned(), why, message });
    }

    async fn command(&mut self, socket: &mut Socket, text: &str) -> Result<(), Closing> {
        if let Some(room) = self.purpose.room.as_ref().filter(|_| !text.starts_with('{')) {
            let reply = Reply::to(self.connection());
            self.chat.send_with(self.me(), room, Uuid::now_v7(), text.to_owned(), reply).await;
            return Ok(());
        }
        let command = serde_json::from_str(text);
        // Messages have a limit of their own, by person; so has what costs others something, however many sockets they have.
        let costs = match &command {
            Ok(Command::Send { .. } | Command::Ping) | Err(_) => false,
            // The first belongs to opening the socket, which has a limit.
            Ok(Command::Hello { .. }) => self.connection().has_greeted(),
            Ok(_) => true,
        };
        if !matches!(command, Ok(Command::Send { .. }))
            && let Err(not_until) = self.commands.check()
        {
            self.refuse(None, wait_for(not_until.wait_time_from(self.commands.clock().now())));
            return Ok(());
        }
        if costs && let Err(why) = self.chat.allow_command(self.me()) {
            self.refuse(None, why);
            return Ok(());
        }
        let Ok(command) = command else {
            self.refuse(None, Refusal::BadRequest);
            return Ok(());
        };
        let actor = self.me().clone();
        match command {
            Command::Hello { rooms, epoch, look } => {
                self.hello(socket, rooms, epoch).await?;
                self.look(look.as_ref()).await;
            }
            Command::Ping => self.tell(&Event::Pong),
            Command::Send { room, id, text } => {
                let reply = Reply::to(self.connection());
                self.chat.send_with(&actor, &room, id, text, reply).await;
            }
            Command::Read { room, seq } => {
                if let Err(why) = self.chat.mark_read(&actor, &room, seq).await {
                    self.refuse(Some(&room), why);
                }
            }
            Command::Join { room } => {
                if let Err(why) = self.chat.join(&actor, &room).await {
                    self.refuse(Some(&room), why);
                }
            }
            Command::Leave { room } => {
                if let Err(why) = self.chat.leave(&actor, &room).await {
                    self.refuse(Some(&room), why);
                }
            }
            Command::Look { room } => self.look(room.as_ref()).await,
        }
        Ok(())
    }

    async fn look(&mut self, room: Option<&Slug>) {
        let known = room.and_then(|slug| self.slugs.get(slug).map(|id| (*id, slug)));
        if let (Some(slug), None) = (room, known) {
            // A room joined since the welcome.
            match self.chat.joined(self.me().user).await {
                Ok(rows) => {
                    for row in rows {
                        if let Ok(slug) = row.slug() {
                            self.slugs.insert(slug, row.id);
                        }
                    }
                }
                Err(why) => self.refuse(Some(slug), why),
            }
        }
        let room = room.and_then(|slug| self.slugs.get(slug).map(|id| (*id, slug)));
        self.hub().look(self.connection(), room);
    }

    /// Listens to every room, then reads, then tells: the welcome, and what was missed of the rooms that the client named;
    /// of all of them where it is said again.
    async fn hello(&mut self, socket: &mut Socket, named: BTreeMap<Slug, Seq>, epoch: Option<Uuid>) -> Result<(), Closing> {
        self.connection().cork();
        let user = self.me().user;
        let rooms = self.listen_to(|| self.chat.joined_counted(user), |counted| counted.room.id).await?;
        let states = rooms.iter().map(room_state).collect::<Result<Vec<_>, Refusal>>()?;
        let mut out = Outgoing::new(self.lines);
        out.add(json(&Event::Welcome {
            user: self.me().person.user.clone(),
            epoch: self.chat.epoch(),
            version: protocol::VERSION,
            build: self.build.to_string(),
            rooms: states,
        }));
        // Who says it again goes on where they were in the rooms that they do not name.
        let again = self.connection().has_greeted();
        let told = self.connection().cursors(std::mem::take);
        self.slugs.clear();
        for CountedRow { room: row, .. } in &rooms {
            let slug = row.slug().map_err(fault)?;
            let last = row.last();
            match named.get(&slug) {
                // Of another database, or ahead of this one: void.
                Some(seq) if epoch != Some(self.chat.epoch()) || *seq > last => {
                    self.chat.metrics().limited.inc();
                    out.add(json(&Event::Limited { room: slug.clone(), from: Seq(1), to: last }));
                    self.know(row.id, last);
                }
                Some(seq) => self.replay(socket, row.id, &slug, (*seq).max(Seq::ZERO), last, &mut out).await?,
                None if again => self.replay(socket, row.id, &slug, goes_on(&told, row), last, &mut out).await?,
                None => self.know(row.id, last),
            }
            self.slugs.insert(slug, row.id);
        }
        self.part(&told, rooms.iter().map(|counted| counted.room.id), &mut out).await?;
        // A room that was left by another door while this client was away.
        for (slug, _) in named.iter().filter(|(slug, _)| !self.slugs.contains_key(slug)) {
            self.refuse(Some(slug), Refusal::NotMember);
        }
        self.send(socket, out.take()).await?;
        // What was handed over meanwhile comes after the welcome.
        self.connection().greet();
        self.flush(socket).await
    }
}

/// A moment of the clock, as one to wait for.
fn at(moment: Micros) -> Instant {
    Instant::now() + Duration::from_micros((moment.0 - now().0).try_into().unwrap_or(0))
}

/// From where on a connection that was told so much is told of one of its rooms: one joined meanwhile, from the join on.
fn goes_on(told: &Cursors, row: &RoomRow) -> Seq {
    told.get(&row.id).copied().unwrap_or(Seq(row.since_seq.unwrap_or(1) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what a function of two arguments returns.
    fn size<A, B, T>(_: impl FnOnce(A, B) -> T) -> usize {
        size_of::<T>()
    }

    #[test]
    fn a_socket_that_is_idle_keeps_no_room_for_what_it_does_not_do() {
        let bytes = size(Session::run);
        assert!(bytes <= 1700, "{bytes}");
    }
}
