//! The hub: who listens to which room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use dashmap::DashMap;
use tokio::sync::OwnedMutexGuard;

use super::connection::{Closing, Connection, Deliveries, Run, Waiting};
use super::presence::Here;
use super::tail::Tail;
use super::wire;
use crate::protocol::{Event, Presence, Refusal, Seq, Slug};
use crate::server::chat::Actor;
use crate::server::config::Settings;
use crate::server::metrics::Metrics;
use crate::server::store::rooms::Turn;
use crate::server::store::{LoginId, RoomId, UserId};
use crate::server::stream::Outbound;

/// The lock, also after a panic elsewhere: what it guards is consistent between statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An event as it goes over the wire.
pub(super) fn json(event: &Event) -> Utf8Bytes {
    serde_json::to_string(event).expect("an event has string keys and no failing serializer").into()
}

/// Something new in a room's log, serialised once for everyone.
#[derive(Debug)]
pub struct News {
    room: RoomId,
    seq: Seq,
    json: Utf8Bytes,
    turn: Option<(UserId, Turn)>,
}

impl News {
    /// `turn` says whose membership changes by it.
    #[must_use]
    pub fn new(room: RoomId, turn: Option<(UserId, Turn)>, event: &Event) -> Self {
        let seq = event.place().map(|(_, seq)| seq).unwrap_or_default();
        Self { room, seq, json: json(event), turn }
    }

    /// The room, and the place in its log.
    #[must_use]
    pub fn place(&self) -> (RoomId, Seq) {
        (self.room, self.seq)
    }
}

#[derive(Debug, Default)]
pub(super) struct Room {
    /// The connections that hear it, in no order.
    pub(super) listeners: Vec<Arc<Connection>>,
    /// Of those, the ones with the room on their screen.
    pub(super) lookers: Vec<Arc<Connection>>,
    pub(super) here: Here,
    tail: Tail,
    /// Held by who reads the end of the log for the tail.
    reading: Arc<tokio::sync::Mutex<()>>,
    /// The last event that was handed on.
    last: Seq,
    /// The last event that listeners were sent to the log for.
    heard_of: Seq,
    /// The room was dropped from the hub: find it anew.
    gone: bool,
}

impl Room {
    fn is_idle(&self) -> bool {
        self.listeners.is_empty() && self.here.is_empty()
    }

    /// It is handed on now.
    fn remember(&mut self, seq: Seq, json: &Utf8Bytes) {
        self.last = seq;
        self.tail.push(seq, json);
    }
}

/// How many of the first of these, which are of one room, go together: what follows each other and fits into a frame. A turn changes
/// who listens, so it goes by itself.
fn together(news: &[News]) -> usize {
    let follows = |pair: &&[News]| pair[0].turn.is_none() && pair[1].turn.is_none() && pair[1].seq == pair[0].seq.next();
    let in_a_row = news.windows(2).take_while(follows).count() + 1;
    wire::fitting(news.iter().take(in_a_row).map(|item| &item.json))
}

/// These, which go together; none if there are none.
fn run(room: RoomId, news: &[News]) -> Option<Arc<Run>> {
    let (first, last) = (news.first()?, news.last()?);
    Some(Arc::new(Run::new(room, first.seq, last.seq, news.iter().map(|item| item.json.clone()).collect())))
}

/// Who listens to what. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) rooms: DashMap<RoomId, Arc<Mutex<Room>>>,
    /// Every connection, by its person.
    users: DashMap<UserId, Vec<Arc<Connection>>>,
    queue_bytes: usize,
    sockets_per_user: usize,
    pub(super) grace: Duration,
    /// The server stops.
    stopped: OnceLock<Closing>,
    metrics: Metrics,
}

impl Hub {
    #[must_use]
    pub fn new(settings: &Settings, metrics: Metrics) -> Self {
        let wide = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        Self(Arc::new(Inner {
            rooms: DashMap::new(),
            users: DashMap::new(),
            queue_bytes: wide(settings.queue_bytes),
            sockets_per_user: wide(settings.sockets_per_user),
            grace: Duration::from_secs(settings.presence_grace.into()),
            stopped: OnceLock::new(),
            metrics,
        }))
    }

    /// A new connection of `actor`, by this way out, which is known by its person and login from now on and hears no room yet.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] when the person has as many as the server allows.
    pub(super) fn connect(&self, actor: Actor, out: Arc<Outbound>) -> Result<Arc<Connection>, Refusal> {
        let mut of_user = self.0.users.entry(actor.user).or_default();
        if of_user.len() >= self.0.sockets_per_user {
            return Err(Refusal::TooMany);
        }
        let connection = Arc::new(Connection::new(actor, out, self.0.queue_bytes));
        of_user.push(Arc::clone(&connection));
        self.0.metrics.connections.inc();
        self.0.metrics.opened.inc();
        if let Some(why) = self.0.stopped.get() {
            connection.close(*why);
        }
        Ok(connection)
    }

    /// Forgets a connection everywhere.
    pub(super) fn disconnect(&self, connection: &Arc<Connection>) {
        let user = connection.actor.user;
        if let Some(mut of_user) = self.0.users.get_mut(&user) {
            let before = of_user.len();
            of_user.retain(|other| !Arc::ptr_eq(other, connection));
            if of_user.len() < before {
                self.0.metrics.connections.dec();
            }
        }
        self.0.users.remove_if(&user, |_, of_user| of_user.is_empty());
        // From here on nothing adds it to a room; what added it before is in this list.
        for room in connection.gone() {
            self.unlisten(connection, room);
        }
    }

    /// The room, locked; made if it is not there.
    fn with_room<T>(&self, id: RoomId, act: impl FnOnce(&mut Room) -> T) -> T {
        loop {
            let room = Arc::clone(&self.0.rooms.entry(id).or_default());
            let mut room = lock(&room);
            if !room.gone {
                return act(&mut room);
            }
        }
    }

    /// The room, locked, if anyone listens.
    pub(super) fn with_known<T>(&self, id: RoomId, act: impl FnOnce(&mut Room) -> T) -> Option<T> {
        let room = Arc::clone(&*self.0.rooms.get(&id)?);
        let mut room = lock(&room);
        (!room.gone).then(|| act(&mut room))
    }

    /// Drops the room from the hub if nobody listens.
    pub(super) fn tidy(&self, id: RoomId) {
        self.0.rooms.remove_if(&id, |_, room| {
            let mut room = lock(room);
            room.gone = room.is_idle();
            room.gone
        });
    }

    /// The connection hears the room from now on. Asking twice is asking once.
    pub(super) fn listen(&self, connection: &Arc<Connection>, room: RoomId) {
        self.with_room(room, |found| Self::add_listener(room, found, connection));
        self.presence_changed(room);
    }

    fn add_listener(id: RoomId, room: &mut Room, connection: &Arc<Connection>) {
        if !connection.hears(id) {
            return;
        }
        room.listeners.push(Arc::clone(connection));
        room.here.came(connection.actor.user, &connection.actor.person);
    }

    /// The connection hears the room no more.
    pub(super) fn unlisten(&self, connection: &Arc<Connection>, room: RoomId) {
        let user = connection.actor.user;
        let gone = self.with_known(room, |found| {
            let before = found.listeners.len();
            connection.hears_no_more(room);
            found.listeners.retain(|other| !Arc::ptr_eq(other, connection));
            found.lookers.retain(|other| !Arc::ptr_eq(other, connection));
            before > found.listeners.len() && found.here.went(user)
        });
        if gone == Some(true) {
            self.gone_after_grace(room, user);
        }
        self.tidy(room);
    }

    /// Hands on what is new. `news` are in the order of their commit; across rooms there is no order to keep.
    pub fn publish(&self, news: Vec<News>, deliveries: &mut Deliveries) {
        let mut by_room: Vec<(RoomId, Vec<News>)> = Vec::new();
        let mut index: HashMap<RoomId, usize> = HashMap::new();
        for item in news {
            let at = *index.entry(item.room).or_insert_with(|| {
                by_room.push((item.room, Vec::new()));
                by_room.len() - 1
            });
            by_room[at].1.push(item);
        }
        for (room, of_room) in by_room {
            let mut rest = of_room.as_slice();
            while let Some(first) = rest.first() {
                let (together, others) = rest.split_at(together(rest));
                match first.turn {
                    Some((user, turn)) => self.publish_turn(room, first, user, turn, deliveries),
                    None => self.publish_plain(room, together, deliveries),
                }
                rest = others;
            }
        }
    }

    fn publish_plain(&self, id: RoomId, news: &[News], deliveries: &mut Deliveries) {
        self.with_known(id, |room| {
            let fresh = &news[news.partition_point(|item| item.seq <= room.last)..];
            let Some(run) = run(id, fresh) else { return };
            for item in fresh {
                room.remember(item.seq, &item.json);
            }
            for listener in &room.listeners {
                deliveries.add(listener, Waiting::Log { run: Arc::clone(&run), last: false });
            }
            self.delivered(fresh.len() * room.listeners.len());
        });
    }

    fn publish_turn(&self, id: RoomId, news: &News, user: UserId, turn: Turn, deliveries: &mut Deliveries) {
        // A newcomer's own connections hear the room from their join on, whether or not anyone listened before.
        let newcomers = match turn {
            Turn::Joined => self.0.users.get(&user).map(|of_user| of_user.clone()).unwrap_or_default(),
            Turn::Left => Vec::new(),
        };
        let hand_on = |room: &mut Room| {
            let Some(run) = run(id, std::slice::from_ref(news)).filter(|_| news.seq > room.last) else { return };
            newcomers.iter().for_each(|connection| Self::add_listener(id, room, connection));
            room.remember(news.seq, &news.json);
            for listener in &room.listeners {
                let last = turn == Turn::Left && listener.actor.user == user;
                deliveries.add(listener, Waiting::Log { run: Arc::clone(&run), last });
            }
            self.delivered(room.listeners.len());
            if turn == Turn::Left {
                room.listeners.retain(|listener| {
                    let stays = listener.actor.user != user;
                    if !stays {
                        listener.hears_no_more(id);
                    }
                    stays
                });
                room.lookers.retain(|looker| looker.actor.user != user);
                room.here.left(user);
            }
        };
        if newcomers.is_empty() {
            self.with_known(id, hand_on);
        } else {
            self.with_room(id, hand_on);
        }
        self.presence_changed(id);
        self.tidy(id);
    }

    /// Counts once for all who were handed something.
    fn delivered(&self, events: usize) {
        self.0.metrics.deliveries.inc_by(u64::try_from(events).unwrap_or_default());
    }

    /// There is an event at `seq` in the room's log; who has not been handed it reads the log.
    pub fn heard_of(&self, room: RoomId, seq: Seq) {
        self.with_known(room, |found| {
            if found.last.max(found.heard_of) < seq {
                found.heard_of = seq;
                found.listeners.iter().for_each(|listener| listener.heard_of(room, seq));
            }
        });
    }

    /// What a room's log says after `after` up to `to`, if memory has all of it.
    pub(super) fn tail(&self, room: RoomId, after: Seq, to: Seq) -> Option<Vec<Utf8Bytes>> {
        self.with_known(room, |found| found.tail.between(after, to)).flatten()
    }

    /// Waits for whoever reads the end of a room's log now, and lets nobody else do so meanwhile; none when nobody listens, or
    /// when what there is after `after` up to `to` is too much to be kept.
    pub(super) async fn reading(&self, room: RoomId, after: Seq, to: Seq) -> Option<OwnedMutexGuard<()>> {
        if !Tail::could_hold(after, to) {
            return None;
        }
        let reading = self.with_known(room, |found| Arc::clone(&found.reading))?;
        Some(reading.lock_owned().await)
    }

    /// Keeps what was read: all that a room's log says after `after` up to `to`.
    pub(super) fn adopt(&self, room: RoomId, after: Seq, to: Seq, events: Vec<(Seq, Utf8Bytes)>) {
        self.with_known(room, |found| found.tail.adopt(after, to, events));
    }

    /// Tells all connections of a person something beside the log.
    pub fn tell_user(&self, user: UserId, event: &Event, deliveries: &mut Deliveries) {
        if let Some(of_user) = self.0.users.get(&user) {
            of_user.iter().for_each(|connection| deliveries.tell(connection, event));
        }
    }

    /// Ends the connections that stand on a login.
    pub fn close_login(&self, login: LoginId, why: Closing) {
        for of_user in &self.0.users {
            of_user.iter().filter(|connection| connection.actor.login == login).for_each(|connection| connection.close(why));
        }
    }

    /// Ends every connection; who comes again is welcome.
    pub fn close_all(&self, why: Closing) {
        for of_user in &self.0.users {
            of_user.iter().for_each(|connection| connection.close(why));
        }
    }

    /// Ends every connection, and each that still comes.
    pub fn stop(&self, why: Closing) {
        let _stopped_before = self.0.stopped.set(why);
        self.close_all(why);
    }

    /// Who is in a room now; none when nobody listens.
    #[must_use]
    pub fn presence(&self, room: RoomId, slug: &Slug) -> Option<Presence> {
        self.with_known(room, |found| found.here.presence(slug))
    }
}
