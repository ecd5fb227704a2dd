//! The one way in which a room changes: a task that takes what has arrived and writes it in one transaction; after the commit another
//! tells the hub and whoever waits. Nothing lingers to fill a batch: while one commits, the next gathers.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::rooms::may_open;
use super::{Actor, fault, names, now};
use crate::protocol::{Closure, Event, Idle, Membership, Message, Micros, Person, Refusal, Seq, Slug};
use crate::server::config::Settings;
use crate::server::live::{Connection, Deliveries, Hub, News};
use crate::server::metrics::Metrics;
use crate::server::store::accounts::NewAccount;
use crate::server::store::notices::{self, Notice};
use crate::server::store::rooms::{self, By, NEWCOMERS, NewRoom, Turn};
use crate::server::store::{Conn, Kept, RoomId, Store, StoreError, UserId, accounts, append, back, release, savepoint};

/// Changes that may wait for the writer; whoever brings more waits to hand them over.
const QUEUE: usize = 4096;

/// Changes in one transaction.
const BATCH: usize = 1024;

/// How long nothing must have come before the writer does what was put off: long beside a batch, short beside a pause in a
/// conversation.
const PAUSE: Duration = Duration::from_millis(100);

/// How long nothing must have come before it lets go of its connection, which something between here and there may lose without a word
/// when it is not used.
const REST: Duration = Duration::from_secs(300);

/// How long a transaction may take: longer than it may wait for another node's. A database that is lost in the middle of one, without a
/// word, is noticed by nothing else.
const PATIENCE: Duration = Duration::from_secs(30);

/// Idle rooms that are closed in one transaction.
const CLOSINGS: i64 = 100;

/// How often a transaction is run at most, where it meets another node's.
const TRIES: usize = 5;

/// A message on its way in. Its text has been checked.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub room: Slug,
    pub author: UserId,
    pub by: Person,
    pub id: Uuid,
    pub text: String,
    /// When it arrived.
    pub since: Instant,
}

/// What became of a message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is new, at this place of this room.
    New(RoomId, Seq),
    /// It had been sent before, and is at this place.
    Before(Seq),
}

impl Sent {
    /// Its place.
    #[must_use]
    pub fn seq(self) -> Seq {
        let (Self::New(_, seq) | Self::Before(seq)) = self;
        seq
    }
}

/// Who hears what became of a message.
#[derive(Debug)]
pub(in crate::server) enum Reply {
    /// Someone who waits for it.
    Waiting(oneshot::Sender<Result<Sent, Refusal>>),
    /// A connection, and whether it had said `hello` when it sent the message. If it hears the room, the message's own event tells it;
    /// where it had not, its cursors may begin after that.
    Connection(Arc<Connection>, bool),
}

impl Reply {
    /// To a connection, which sends a message now.
    pub fn to(connection: &Arc<Connection>) -> Self {
        Self::Connection(Arc::clone(connection), connection.has_greeted())
    }

    pub(super) fn tell(self, room: &Slug, id: Uuid, outcome: Result<Sent, Refusal>, deliveries: &mut Deliveries) {
        match (self, outcome) {
            (Self::Waiting(answer), outcome) => {
                let _gone = answer.send(outcome);
            }
            (Self::Connection(connection, true), Ok(Sent::New(in_room, _))) if connection.does_hear(in_room) => {}
            (Self::Connection(connection, _), Ok(sent)) => {
                deliveries.tell(&connection, &Event::Sent { room: room.clone(), id, seq: sent.seq() });
            }
            (Self::Connection(connection, _), Err(why)) => {
                let message = why.to_string();
                deliveries.tell(&connection, &Event::Error { id: Some(id), room: Some(room.clone()), why, message });
            }
        }
    }

    /// Tells it at once.
    pub(super) fn answer(self, room: &Slug, id: Uuid, outcome: Result<Sent, Refusal>) {
        let mut deliveries = Deliveries::default();
        self.tell(room, id, outcome, &mut deliveries);
        deliveries.send();
    }
}

/// Who closes a room or opens it again.
#[derive(Debug)]
pub(super) enum Closer {
    Person(Box<Actor>),
    /// Whoever runs the server.
    Operator,
}

#[derive(Debug)]
pub(super) struct Newcomer {
    pub account: NewAccount,
}

#[derive(Debug)]
pub(super) struct MakeRoom {
    /// The slug to begin from; a number is added where it is taken.
    pub slug: String,
    /// That slug or none.
    pub exact: bool,
    pub name: String,
    pub topic: String,
    pub idle: Idle,
    pub user: UserId,
    pub by: Person,
}

type Answer<T> = oneshot::Sender<Result<T, Refusal>>;

/// A change.
#[derive(Debug)]
pub(super) enum Write {
    Send(Outgoing, Reply),
    Turn {
        room: Slug,
        user: UserId,
        by: Person,
        turn: Turn,
        answer: Answer<()>,
    },
    Read {
        room: Slug,
        user: UserId,
        seq: Seq,
        answer: Answer<()>,
    },
    MakeRoom(Box<MakeRoom>, Answer<Slug>),
    /// Closes a room, or opens it again.
    SetClosed {
        room: Slug,
        closed: bool,
        by: Closer,
        answer: Answer<()>,
    },
    /// Closes rooms that are idle at the moment `at`, up to [`CLOSINGS`]. Answered with how many it closed.
    CloseIdle {
        at: Micros,
        answer: Answer<usize>,
    },
    SignUp(Box<Newcomer>, Answer<()>),
    /// Answered when everything before it has been written, and the writer has let go of the database. Nothing comes after it.
    End(Answer<()>),
}

impl Write {
    /// Tells whoever waits what became of it.
    fn tell(self, outcome: Result<Done, Refusal>, deliveries: &mut Deliveries) {
        fn answer<T>(answer: Answer<T>, outcome: Result<T, Refusal>) {
            let _gone = answer.send(outcome);
        }
        match self {
            Self::Send(message, reply) => reply.tell(
                &message.room,
                message.id,
                outcome.and_then(|done| if let Done::Sent(sent) = done { Ok(sent) } else { Err(Refusal::Internal) }),
                deliveries,
            ),
            Self::MakeRoom(_, waiting) => answer(
                waiting,
                outcome.and_then(|done| if let Done::Made(slug) = done { Ok(slug) } else { Err(Refusal::Internal) }),
            ),
            Self::CloseIdle { answer: waiting, .. } => answer(
                waiting,
                outcome.and_then(|done| if let Done::Closed(rooms) = done { Ok(rooms) } else { Err(Refusal::Internal) }),
            ),
            Self::Turn { answer: waiting, .. }
            | Self::SetClosed { answer: waiting, .. }
            | Self::Read { answer: waiting, .. }
            | Self::SignUp(_, waiting)
            | Self::End(waiting) => answer(waiting, outcome.map(|_| ())),
        }
    }
}

/// What became of a change.
#[derive(Debug)]
enum Done {
    Sent(Sent),
    Made(Slug),
    /// So many rooms.
    Closed(usize),
    Other,
}

/// What a batch came to: an outcome for each change, in order, and what there is to tell after the commit.
#[derive(Debug, Default)]
struct Written {
    outcomes: Vec<Result<Done, Refusal>>,
    news: Vec<News>,
    /// Places of messages that had been sent before: the hub may not have heard of them.
    seen: Vec<(RoomId, Seq)>,
    cursors: Vec<(UserId, Event)>,
}

struct Writer {
    store: Store,
    settings: Settings,
    metrics: Metrics,
    /// Nobody is connected to this process: it leaves word of what it writes for those that have connections.
    apart: bool,
    /// What there is to tell, in the order of the commits.
    told: mpsc::Sender<Told>,
}

/// A batch, with what became of it.
type Told = (Vec<Write>, Result<Written, Refusal>);

/// Batches that are committed and not told yet; the writer waits while there are more.
const UNTOLD: usize = 16;

/// Starts writing, and telling what has been written, in `tasks` until the [end](Write::End), or until the last sender of changes is
/// gone. Writing has a thread and a runtime of its own: on SQLite it waits there for the disk, and what PostgreSQL answers does not wait
/// for the server's other tasks.
///
/// # Errors
/// When the system gives no runtime.
pub(super) fn start(
    store: Store,
    hub: Hub,
    settings: Settings,
    metrics: Metrics,
    apart: bool,
    tasks: &TaskTracker,
) -> io::Result<mpsc::Sender<Write>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (writes, queue) = mpsc::channel(QUEUE);
    let (told, to_tell) = mpsc::channel(UNTOLD);
    tasks.spawn(tell(hub, metrics.clone(), to_tell));
    let writing = write(Writer { store, settings, metrics, apart, told }, queue);
    tasks.spawn_blocking(move || runtime.block_on(writing));
    Ok(writes)
}

async fn write(writer: Writer, mut queue: mpsc::Receiver<Write>) {
    let mut kept = writer.store.kept();
    loop {
        let mut batch = Vec::new();
        let changes = match timeout(PAUSE, queue.recv_many(&mut batch, BATCH)).await {
            Ok(changes) => changes,
            Err(_) => {
                writer.tidy().await;
                match timeout(REST, queue.recv_many(&mut batch, BATCH)).await {
                    Ok(changes) => changes,
                    Err(_) => {
                        kept.rest().await;
                        queue.recv_many(&mut batch, BATCH).await
                    }
                }
            }
        };
        if changes == 0 {
            break;
        }
        let end = batch.iter().position(|change| matches!(change, Write::End(_))).map(|at| batch.split_off(at));
        if !batch.is_empty() {
            writer.write(batch, &mut kept).await;
        }
        if let Some(mut end) = end {
            kept.close().await;
            end.truncate(1);
            writer.tell(end, Ok(Written { outcomes: vec![Ok(Done::Other)], ..Written::default() })).await;
            return;
        }
    }
    kept.close().await;
}

/// Tells the hub and whoever waits what has been written, while the writer writes the next batch. What several batches have for a
/// connection goes out together.
async fn tell(hub: Hub, metrics: Metrics, mut told: mpsc::Receiver<Told>) {
    let mut batches = Vec::new();
    while told.recv_many(&mut batches, UNTOLD).await > 0 {
        let (mut deliveries, mut answers, mut news) = (Deliveries::default(), Vec::new(), Vec::new());
        let (mut seen, mut cursors) = (Vec::new(), Vec::new());
        for (batch, outcome) in batches.drain(..) {
            match outcome {
                Ok(written) => {
                    news.extend(written.news);
                    seen.extend(written.seen);
                    cursors.extend(written.cursors);
                    answers.extend(batch.into_iter().zip(written.outcomes));
                }
                Err(why) => answers.extend(batch.into_iter().map(|change| (change, Err(why.clone())))),
            }
        }
        metrics.events.inc_by(u64::try_from(news.len()).unwrap_or_default());
        hub.publish(news, &mut deliveries);
        for (room, seq) in seen {
            hub.heard_of(room, seq);
        }
        for (user, event) in cursors {
            hub.tell_user(user, &event, &mut deliveries);
        }
        let now = Instant::now();
        for (change, outcome) in answers {
            if let (Write::Send(message, _), Ok(Done::Sent(Sent::New(..)))) = (&change, &outcome) {
                metrics.send_time.observe(now.duration_since(message.since).as_secs_f64());
            }
            change.tell(outcome, &mut deliveries);
        }
        deliveries.send();
    }
}

impl Writer {
    /// In a pause.
    async fn tidy(&self) {
        if let Err(error) = self.store.tidy().await {
            tracing::warn!(%error, "the database could not be tidied; it is tried again");
        }
    }

    async fn write(&self, batch: Vec<Write>, kept: &mut Kept) {
        match self.commit(&batch, kept).await {
            // What one change cannot have must not sink the others: each on its own.
            Err(error) if batch.len() > 1 && !error.is_away() && !error.is_full() => {
                tracing::warn!(%error, changes = batch.len(), "a batch of changes failed; writing them one by one");
                let mut rest = batch.into_iter();
                while let Some(change) = rest.next() {
                    let mut alone = vec![change];
                    match self.commit(&alone, kept).await {
                        // It went meanwhile, and is not waited for once for each change.
                        Err(error) if error.is_away() => {
                            alone.extend(rest);
                            return self.tell(alone, Err(fault(error))).await;
                        }
                        outcome => self.tell(alone, outcome.map_err(fault)).await,
                    }
                }
            }
            outcome => self.tell(batch, outcome.map_err(fault)).await,
        }
    }

    async fn tell(&self, batch: Vec<Write>, outcome: Result<Written, Refusal>) {
        let _nobody_is_left = self.told.send((batch, outcome)).await;
    }

    async fn commit(&self, batch: &[Write], kept: &mut Kept) -> Result<Written, StoreError> {
        let mut tries = 1;
        loop {
            let start = Instant::now();
            let transacted = timeout(PATIENCE, self.transact(batch, kept)).await;
            match transacted.unwrap_or(Err(StoreError::Busy)) {
                Err(error) if error.is_collision() && tries < TRIES => tries += 1,
                // The database was started anew since the batch before: nothing of this one has reached it.
                Err(error) if error.is_away() && kept.was_stale() => kept.release(),
                Err(error) => {
                    kept.release();
                    self.metrics.failures.inc();
                    return Err(error);
                }
                Ok(written) => {
                    self.metrics.commit_time.observe(start.elapsed().as_secs_f64());
                    self.metrics.commit_changes.observe(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
                    return Ok(written);
                }
            }
        }
    }

    async fn transact(&self, batch: &[Write], kept: &mut Kept) -> Result<Written, StoreError> {
        let mut written = Written::default();
        let mut tx = self.store.write_next(kept).await?;
        let conn = &mut tx.conn();
        let mut rest = batch;
        // In the order of arrival: runs of messages together, everything else by itself.
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|change| matches!(change, Write::Send(..))).count();
            if run == 0 {
                self.one(conn, first, &mut written).await?;
                rest = &rest[1..];
            } else {
                let messages = rest[..run].iter().filter_map(|c| if let Write::Send(m, _) = c { Some(m) } else { None });
                self.messages(conn, &messages.collect::<Vec<_>>(), &mut written).await?;
                rest = &rest[run..];
            }
        }
        if self.apart {
            let word: Vec<_> = written.news.iter().map(News::place).map(|(room, seq)| Notice::Room(room, seq)).collect();
            notices::leave(conn, &word, now()).await?;
        }
        tx.commit_here().await?;
        Ok(written)
    }

    /// Locks the rooms, then decides on each message, then inserts those that are new.
    async fn messages(&self, conn: &mut Conn<'_>, messages: &[&Outgoing], written: &mut Written) -> Result<(), StoreError> {
        let wanted: Vec<_> = messages.iter().map(|m| append::Wanted { room: &m.room, author: m.author, id: m.id }).collect();
        let findings = append::examine(conn, &wanted).await?;
        if findings.len() != messages.len() {
            return Err(StoreError::Malformed("the findings of a batch"));
        }
        let at = now();
        let mut ends: HashMap<RoomId, Seq> = HashMap::new();
        let mut placed: Vec<append::Placed<'_>> = Vec::with_capacity(messages.len());
        let mut in_batch: HashMap<(UserId, Uuid), usize> = HashMap::new();
        for (&message, finding) in messages.iter().zip(findings) {
            let twin = in_batch.get(&(message.author, message.id)).map(|&i| &placed[i]);
            let there = match (twin, finding.there_room, finding.there_seq, &finding.there_text) {
                (Some(twin), ..) => Some((twin.room, twin.seq, twin.text)),
                (None, Some(room), Some(seq), Some(text)) => Some((room, Seq(seq), text.as_str())),
                _ => None,
            };
            let outcome = match (there, finding.room_id, finding.last_seq) {
                // Before any other check: what was sent once stays sent.
                (Some((room, seq, text)), here, _) if here == Some(room) && text == message.text => {
                    written.seen.push((room, seq));
                    Ok(Done::Sent(Sent::Before(seq)))
                }
                (Some(_), ..) => Err(Refusal::Conflict),
                (None, Some(_), Some(_)) if !finding.visible => Err(Refusal::NoRoom),
                (None, Some(_), Some(_)) if !finding.member => Err(Refusal::NotMember),
                (None, Some(_), Some(_)) if finding.closed => Err(Refusal::Closed),
                (None, Some(room), Some(last)) => {
                    let end = ends.entry(room).or_insert(Seq(last));
                    *end = end.next();
                    in_batch.insert((message.author, message.id), placed.len());
                    placed.push(append::Placed {
                        room,
                        seq: *end,
                        author: message.author,
                        id: message.id,
                        text: &message.text,
                        at,
                    });
                    written.news.push(News::new(
                        room,
                        None,
                        &Event::Message(Message {
                            room: message.room.clone(),
                            seq: *end,
                            id: message.id,
                            by: message.by.clone(),
                            text: message.text.clone(),
                            at,
                        }),
                    ));
                    Ok(Done::Sent(Sent::New(room, *end)))
                }
                _ => Err(Refusal::NoRoom),
            };
            written.outcomes.push(outcome);
        }
        if !placed.is_empty() {
            let ends: Vec<_> = ends.into_iter().map(|(room, seq)| (room, seq, at)).collect();
            append::insert(conn, &placed, &ends).await?;
        }
        Ok(())
    }

    /// One change within a savepoint: refused, it leaves nothing behind.
    async fn one(&self, conn: &mut Conn<'_>, change: &Write, written: &mut Written) -> Result<(), StoreError> {
        savepoint(conn).await?;
        let (news, cursors) = (written.news.len(), written.cursors.len());
        let outcome = match change {
            Write::Turn { room, user, by, turn, .. } => {
                self.turn(conn, room, *user, by, *turn, now(), written).await.map(|done| done.map(|()| Done::Other))
            }
            Write::Read { room, user, seq, .. } => {
                self.read(conn, room, *user, *seq, written).await.map(|done| done.map(|()| Done::Other))
            }
            Write::MakeRoom(make, _) => self.make_room(conn, make, written).await.map(|done| done.map(Done::Made)),
            Write::SetClosed { room, closed, by, .. } => {
                self.set_closed(conn, room, *closed, by, written).await.map(|done| done.map(|()| Done::Other))
            }
            Write::CloseIdle { at, .. } => self.close_idle(conn, *at, written).await.map(|rooms| Ok(Done::Closed(rooms))),
            Write::SignUp(newcomer, _) => {
                self.sign_up(conn, &newcomer.account, written).await.map(|done| done.map(|()| Done::Other))
            }
            Write::End(_) | Write::Send(..) => Ok(Ok(Done::Other)),
        };
        let outcome = outcome?;
        if outcome.is_ok() {
            release(conn).await?;
        } else {
            written.news.truncate(news);
            written.cursors.truncate(cursors);
            back(conn).await?;
        }
        written.outcomes.push(outcome);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of the one change")]
    async fn turn(
        &self,
        conn: &mut Conn<'_>,
        room: &Slug,
        user: UserId,
        by: &Person,
        turn: Turn,
        at: Micros,
        written: &mut Written,
    ) -> Result<Result<(), Refusal>, StoreError> {
        // Taking the place takes the room's lock; what is checked after it holds until the commit.
        let Some(place) = rooms::take_place(conn, room, at).await? else { return Ok(Err(Refusal::NoRoom)) };
        let standing = rooms::standing(conn, place.id, user).await?;
        match turn {
            _ if standing.kind != "public" && !standing.member => return Ok(Err(Refusal::NoRoom)),
            Turn::Joined if standing.member => return self.give_back(conn).await,
            Turn::Left if !standing.member => return self.give_back(conn).await,
            Turn::Joined if place.closed => return Ok(Err(Refusal::Closed)),
            Turn::Joined | Turn::Left => {}
        }
        let seq = Seq(place.seq);
        rooms::turn(conn, place.id, user, "member", turn, seq, at).await?;
        written.news.push(membership(place.id, room, user, by, turn, seq, at));
        Ok(Ok(()))
    }

    async fn read(
        &self,
        conn: &mut Conn<'_>,
        room: &Slug,
        user: UserId,
        seq: Seq,
        written: &mut Written,
    ) -> Result<Result<(), Refusal>, StoreError> {
        if let Some((_, seq, unread)) = rooms::advance(conn, user, room, seq).await? {
            written.cursors.push((user, Event::Read { room: room.clone(), seq, unread }));
            return Ok(Ok(()));
        }
        // It did not move: there is nothing to do, or it is nothing of theirs.
        Ok(match rooms::one(conn, user, room).await? {
            Some(row) if row.member() => Ok(()),
            Some(_) => Err(Refusal::NotMember),
            None => Err(Refusal::NoRoom),
        })
    }

    /// Nothing changes, and the place that was taken is free again.
    async fn give_back(&self, conn: &mut Conn<'_>) -> Result<Result<(), Refusal>, StoreError> {
        back(conn).await?;
        savepoint(conn).await?;
        Ok(Ok(()))
    }

    async fn set_closed(
        &self,
        conn: &mut Conn<'_>,
        room: &Slug,
        closed: bool,
        by: &Closer,
        written: &mut Written,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let at = now();
        let Some(place) = rooms::take_place(conn, room, at).await? else { return Ok(Err(Refusal::NoRoom)) };
        let (allowed, person, by) = match by {
            Closer::Person(actor) => {
                let standing = rooms::standing(conn, place.id, actor.user).await?;
                if standing.kind != "public" && !standing.member {
                    return Ok(Err(Refusal::NoRoom));
                }
                (may_open(actor, standing.created_by), Some(actor.person.clone()), By::User(actor.user))
            }
            // The first rooms stay open, whoever asks.
            Closer::Operator => (!rooms::is_first(conn, place.id).await?, None, By::Operator),
        };
        if !allowed {
            return Ok(Err(Refusal::NotAllowed));
        }
        if place.closed == closed {
            return self.give_back(conn).await;
        }
        let seq = Seq(place.seq);
        rooms::set_closed(conn, place.id, closed, by, seq, at).await?;
        let closure = Closure { room: room.clone(), seq, by: person, operator: by == By::Operator, at };
        let event = if closed { Event::Closed(closure) } else { Event::Reopened(closure) };
        written.news.push(News::new(place.id, None, &event));
        Ok(Ok(()))
    }

    /// Closes what is idle; each room is locked, and looked at again, in the order of their ids.
    async fn close_idle(&self, conn: &mut Conn<'_>, at: Micros, written: &mut Written) -> Result<usize, StoreError> {
        let mut closed = 0;
        for (id, room) in rooms::idle(conn, at, CLOSINGS).await? {
            if let Some(seq) = rooms::close_if_idle(conn, id, at).await? {
                written.news.push(News::new(id, None, &Event::Closed(Closure { room, seq, by: None, operator: false, at })));
                closed += 1;
            }
        }
        Ok(closed)
    }

    async fn make_room(
        &self,
        conn: &mut Conn<'_>,
        make: &MakeRoom,
        written: &mut Written,
    ) -> Result<Result<Slug, Refusal>, StoreError> {
        if rooms::made_by(conn, make.user).await? >= i64::from(self.settings.rooms_per_user) {
            return Ok(Err(Refusal::TooMany));
        }
        let taken = rooms::slugs_like(conn, &make.slug).await?;
        if make.exact && taken.contains(&make.slug) {
            return Ok(Err(Refusal::NoRoom));
        }
        let slug = Slug::new(names::free_slug(&make.slug, &taken)).map_err(|_| StoreError::Malformed("a new slug"))?;
        let (id, at) = (RoomId::fresh(), now());
        let MakeRoom { name, topic, idle, user, .. } = make;
        let created_by = Some(*user);
        rooms::add(conn, &NewRoom { id, slug: slug.as_str(), name, topic, idle: *idle, created_by, at }).await?;
        let first = rooms::take_place(conn, &slug, at).await?.map_or(Seq(1), |place| Seq(place.seq));
        rooms::turn(conn, id, make.user, "owner", Turn::Joined, first, at).await?;
        written.news.push(membership(id, &slug, make.user, &make.by, Turn::Joined, first, at));
        Ok(Ok(slug))
    }

    async fn sign_up(
        &self,
        conn: &mut Conn<'_>,
        account: &NewAccount,
        written: &mut Written,
    ) -> Result<Result<(), Refusal>, StoreError> {
        match accounts::add(conn, account).await {
            Err(error) if error.is_taken("accounts", "email_key") => return Ok(Err(Refusal::TakenEmail)),
            Err(error) if error.is_taken("users", "username_key") => return Ok(Err(Refusal::TakenUsername)),
            outcome => outcome?,
        }
        if accounts::has_look_alike(conn, account).await? {
            return Ok(Err(Refusal::TakenUsername));
        }
        let by = Person { user: account.username.clone(), name: None };
        let room = Slug::new(NEWCOMERS).map_err(|_| StoreError::Malformed("the newcomers' room"))?;
        savepoint(conn).await?;
        match self.turn(conn, &room, account.user_id, &by, Turn::Joined, account.at, written).await? {
            Ok(()) => release(conn).await?,
            // A server whose first room is gone or closed still takes newcomers.
            Err(_) => back(conn).await?,
        }
        Ok(Ok(()))
    }
}

fn membership(room_id: RoomId, room: &Slug, user: UserId, by: &Person, turn: Turn, seq: Seq, at: Micros) -> News {
    let membership = Membership { room: room.clone(), seq, by: by.clone(), at };
    let event = match turn {
        Turn::Joined => Event::Joined(membership),
        Turn::Left => Event::Left(membership),
    };
    News::new(room_id, Some((user, turn)), &event)
}
