//! The part of a connection that others reach: what waits for it, which is bounded in bytes, and its end.
//!
//! Whoever puts something there also sends it ([`Deliveries`]), on their own thread: most of what a server does is to hand one event to
//! many connections, and waking the task of each would cost more than that. The task itself is woken for what takes longer: when the
//! client takes nothing more now, has missed something, or is to be told that it ends.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use futures_util::task::AtomicWaker;

use super::hub::lock;
use super::wire::{self, FRAME};
use crate::protocol::{Event, Refusal, Seq};
use crate::server::chat::Actor;
use crate::server::store::RoomId;
use crate::server::stream::Outbound;

/// Events that an empty queue keeps room for.
const KEPT: usize = 4;

/// Connections that are delivered to one after the other; more are shared out among the threads.
const DELIVERED_TOGETHER: usize = 64;

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The server stops; come back in a moment.
    Stopping,
    /// The login it stands on has ended.
    LoginEnded,
    /// It took nothing for too long.
    TooSlow,
    /// Nothing came from it for too long.
    Silent,
    /// A frame larger than the server takes.
    TooLarge,
    /// A frame that is no text.
    NotText,
    /// A text that is no UTF-8.
    NotUtf8,
    /// Frames that are none by the WebSocket protocol.
    Malformed,
    /// The server cannot serve it now.
    Fault,
}

impl Closing {
    /// The close code (RFC 6455, section 7.4; 4000 to 4999 are the application's own) and reason.
    #[must_use]
    pub fn code(self) -> (u16, &'static str) {
        match self {
            Self::Stopping => (1001, "the server stops; come back in a moment"),
            Self::LoginEnded => (4401, "log in again"),
            Self::TooSlow => (4408, "too slow"),
            Self::Silent => (4409, "nothing came for too long"),
            Self::TooLarge => (1009, "that frame is larger than this server takes"),
            Self::NotText => (1003, "text frames only"),
            Self::NotUtf8 => (1007, "that text is no UTF-8"),
            Self::Malformed => (1002, "that breaks the WebSocket protocol"),
            Self::Fault => (1011, "the server cannot serve this connection now"),
        }
    }
}

impl From<Refusal> for Closing {
    /// Of what the connection itself needs, and cannot have now: what its client asked for is refused by an event.
    fn from(_: Refusal) -> Self {
        Self::Fault
    }
}

/// Events of one room that follow each other, made ready for everyone at once.
#[derive(Debug)]
pub(super) struct Run {
    room: RoomId,
    /// The place of the first.
    from: Seq,
    /// The place of the last.
    to: Seq,
    /// At least one.
    events: Vec<Utf8Bytes>,
    /// All of them in one frame, one a line.
    lines: Bytes,
    /// Each in a frame of its own, if there is more than one and anybody asks.
    single: OnceLock<Bytes>,
}

impl Run {
    /// The `events` of `room` from the place `from` on.
    pub(super) fn new(room: RoomId, from: Seq, to: Seq, events: Vec<Utf8Bytes>) -> Self {
        let lines = wire::text(&events);
        Self { room, from, to, events, lines, single: OnceLock::new() }
    }

    /// What comes after the place `after`, which lies within, or just before it.
    fn after(&self, after: Seq, lines: bool) -> Bytes {
        if after >= self.from {
            let known = usize::try_from(after.0 - self.from.0 + 1).unwrap_or(usize::MAX).min(self.events.len());
            let rest = &self.events[known..];
            return if lines { wire::text(rest) } else { singly(rest) };
        }
        if lines || self.events.len() == 1 {
            self.lines.clone()
        } else {
            self.single.get_or_init(|| singly(&self.events)).clone()
        }
    }
}

/// Each of some events in a frame of its own.
fn singly(events: &[Utf8Bytes]) -> Bytes {
    events.iter().flat_map(|event| wire::text(std::slice::from_ref(event))).collect()
}

/// What waits for a connection.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    /// Of a room's log.
    Log {
        run: Arc<Run>,
        /// The connection's own person left by it: nothing of the room comes after it.
        last: bool,
    },
    /// Beside the log: a frame.
    Beside(Bytes),
}

impl Waiting {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Log { run, .. } => run.lines.len(),
                Self::Beside(frame) => frame.len(),
            }
    }
}

/// The last event of each room that a client was told. (There are few; hashing the id of one takes longer than finding it.)
pub(super) type Cursors = BTreeMap<RoomId, Seq>;

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Something of a log was dropped: catch up from the log.
    behind: bool,
    closing: Option<Closing>,
    /// The connection's task is at work, and nobody else sends anything. As long as it is, it will look into the queue again.
    corked: bool,
    /// The client takes several events in one frame, one a line.
    lines: bool,
    cursors: Cursors,
}

/// What is left to do for a connection's task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing, until it is woken.
    Nothing,
    /// To wait until its client takes what it was sent.
    Flushing,
    /// To catch up from the log.
    CatchingUp,
    /// To end.
    Closing(Closing),
}

impl Queue {
    /// Sends what waits, in order, until there is nothing more or no room.
    fn send(&mut self, out: &Outbound, greeted: bool) -> Left {
        // What is on its way goes first.
        let mut sent = !self.corked || out.send([]);
        while sent && !self.waiting.is_empty() {
            let frames = self.next(greeted);
            sent = out.send(frames);
        }
        match self.closing {
            _ if !sent => Left::Flushing,
            Some(why) => Left::Closing(why),
            None if self.behind && greeted => Left::CatchingUp,
            None => Left::Nothing,
        }
    }

    /// Takes a [`FRAME`] of what waits, or one that is larger.
    fn next(&mut self, greeted: bool) -> impl Iterator<Item = Bytes> + use<> {
        let (mut first, mut more, mut bytes) = (None, Vec::new(), 0);
        while self.waiting.front().is_some_and(|next| bytes == 0 || bytes + next.bytes() <= FRAME)
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.bytes -= waiting.bytes();
            let frame = match waiting {
                Waiting::Beside(frame) => Some(frame),
                // Before the welcome nothing of a log goes out; what was handed over is in what the welcome reads.
                Waiting::Log { .. } if !greeted => None,
                Waiting::Log { run, last } => self.pass(&run, last),
            };
            bytes += frame.as_ref().map_or(0, Bytes::len);
            if first.is_none() { first = frame } else { more.extend(frame) }
        }
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
        first.into_iter().chain(more)
    }

    /// Lets out what comes after its room's cursor; nothing, and the connection is behind, when something before it is missing.
    fn pass(&mut self, run: &Run, last: bool) -> Option<Bytes> {
        // The first of a room that this person has just joined, by whichever door.
        let cursor = self.cursors.entry(run.room).or_insert(Seq(run.from.0 - 1));
        if run.to <= *cursor {
            return None;
        }
        if run.from > cursor.next() {
            self.behind = true;
            return None;
        }
        let frame = run.after(*cursor, self.lines);
        *cursor = run.to;
        if last {
            self.cursors.remove(&run.room);
        }
        Some(frame)
    }
}

/// A live connection, as the hub and the writer see it.
#[derive(Debug)]
pub struct Connection {
    pub(super) actor: Actor,
    out: Arc<Outbound>,
    queue: Mutex<Queue>,
    queue_bytes: usize,
    /// Someone who has put something into the queue is about to [deliver](Self::deliver) it. Only ever swapped, so that who finds it
    /// set knows that what they put there before will be seen.
    due: AtomicBool,
    /// Its task is to look into the queue; nobody but the task takes that back.
    awake: AtomicBool,
    /// Only its task waits for that, so one waker is enough.
    waker: AtomicWaker,
    /// The rooms that it hears, as the hub has it; none when it is gone and hears nothing any more.
    rooms: Mutex<Option<Vec<RoomId>>>,
    /// It has said `hello`. Before that it may hear rooms, and is sent nothing of them.
    greeted: AtomicBool,
    /// The room on its screen, which it is told the presence of.
    pub(super) look: Mutex<Option<RoomId>>,
}

impl Connection {
    /// A connection that is told nothing until its task has [begun](Self::begin).
    pub(super) fn new(actor: Actor, out: Arc<Outbound>, queue_bytes: usize) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            bytes: 0,
            behind: false,
            closing: None,
            corked: true,
            lines: false,
            cursors: Cursors::new(),
        };
        Self {
            actor,
            out,
            queue: Mutex::new(queue),
            queue_bytes,
            due: AtomicBool::new(false),
            awake: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            rooms: Mutex::new(Some(Vec::new())),
            greeted: AtomicBool::new(false),
            look: Mutex::new(None),
        }
    }

    /// Its socket is open, and its task looks into the queue. Whether it takes `lines`.
    pub(super) fn begin(&self, lines: bool) {
        lock(&self.queue).lines = lines;
        self.wake();
    }

    /// Notes that it hears a room; false when it did already, or is gone.
    pub(super) fn hears(&self, room: RoomId) -> bool {
        let mut rooms = lock(&self.rooms);
        let Some(rooms) = rooms.as_mut() else { return false };
        let new = !rooms.contains(&room);
        if new {
            rooms.push(room);
        }
        new
    }

    /// Notes that it hears a room no more.
    pub(super) fn hears_no_more(&self, room: RoomId) {
        if let Some(rooms) = lock(&self.rooms).as_mut() {
            rooms.retain(|other| *other != room);
        }
    }

    /// It has said `hello`: from now on it is sent what happens in the rooms that it hears.
    pub(super) fn greet(&self) {
        self.greeted.store(true, Ordering::Release);
    }

    /// Whether it has said `hello`.
    pub(in crate::server) fn has_greeted(&self) -> bool {
        self.greeted.load(Ordering::Acquire)
    }

    /// Whether it hears a room.
    pub(in crate::server) fn does_hear(&self, room: RoomId) -> bool {
        lock(&self.rooms).as_ref().is_some_and(|rooms| rooms.contains(&room))
    }

    /// The rooms that it hears.
    pub(super) fn heard(&self) -> Vec<RoomId> {
        lock(&self.rooms).clone().unwrap_or_default()
    }

    /// It is gone: hands over the rooms that it heard, and hears none from now on.
    pub(super) fn gone(&self) -> Vec<RoomId> {
        lock(&self.rooms).take().unwrap_or_default()
    }

    /// Puts something into the queue; whether it is on the caller to look that it is sent. When it does not fit, what is there of logs
    /// is dropped: the connection is then behind, and reads it from the log. What stands beside the log (answers, mostly) is kept; a
    /// connection that does not even take those is ended.
    fn push(&self, waiting: Waiting) -> bool {
        let mut queue = lock(&self.queue);
        let (bytes, log) = (waiting.bytes(), matches!(waiting, Waiting::Log { .. }));
        let mut ends = false;
        let mut fits = queue.bytes + bytes <= self.queue_bytes;
        if !fits {
            queue.waiting.retain(|waiting| matches!(waiting, Waiting::Beside(_)));
            queue.bytes = queue.waiting.iter().map(Waiting::bytes).sum();
            queue.behind = true;
            fits = queue.bytes + bytes <= self.queue_bytes;
            ends = !fits && !log;
            if ends {
                queue.closing.get_or_insert(Closing::TooSlow);
            }
        }
        if fits && !(log && queue.behind) {
            queue.bytes += bytes;
            queue.waiting.push_back(waiting);
        }
        drop(queue);
        if ends {
            self.wake();
        }
        !self.due.swap(true, Ordering::AcqRel)
    }

    /// There is an event at this place of a room that it hears: where it was not told of that, it will catch up from the log.
    pub(super) fn heard_of(&self, room: RoomId, seq: Seq) {
        let mut queue = lock(&self.queue);
        if queue.cursors.get(&room).is_some_and(|told| *told >= seq) {
            return;
        }
        queue.behind = true;
        drop(queue);
        self.wake();
    }

    /// Ends it, as soon as its task looks.
    pub fn close(&self, why: Closing) {
        lock(&self.queue).closing.get_or_insert(why);
        self.wake();
    }

    pub(super) fn closing(&self) -> Option<Closing> {
        lock(&self.queue).closing
    }

    /// For its task: sends what waits, also what its task had the others keep for it; what is left to do. Only if that is nothing may
    /// others send again.
    pub(super) fn uncork(&self) -> Left {
        let mut queue = lock(&self.queue);
        queue.corked = true;
        let left = queue.send(&self.out, self.has_greeted());
        queue.corked = left != Left::Nothing;
        left
    }

    /// For its task, which is going to read what was missed so far: what others have for it waits until it [uncorks](Self::uncork) it.
    pub(super) fn cork(&self) {
        let mut queue = lock(&self.queue);
        (queue.corked, queue.behind) = (true, false);
    }

    /// For its task, while it is corked: what its client was told.
    pub(super) fn cursors<T>(&self, act: impl FnOnce(&mut Cursors) -> T) -> T {
        act(&mut lock(&self.queue).cursors)
    }

    /// For those who have put something into the queue: sends it, or leaves it to the task.
    fn deliver(&self) {
        self.due.swap(false, Ordering::AcqRel);
        let mut queue = lock(&self.queue);
        if queue.corked || queue.closing.is_some() {
            return;
        }
        queue.corked = queue.send(&self.out, self.has_greeted()) != Left::Nothing;
        if queue.corked {
            drop(queue);
            self.wake();
        }
    }

    /// Makes its task look into the queue.
    pub(super) fn wake(&self) {
        self.awake.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Returns when its task has to look into the queue, or soon after. For its task alone: of two that wait, one may wait for ever.
    pub(super) async fn woken(&self) {
        poll_fn(|cx| {
            if self.awake.swap(false, Ordering::Acquire) {
                return Poll::Ready(());
            }
            self.waker.register(cx.waker());
            // What came before it was registered woke nobody.
            if self.awake.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What is to be delivered: the connections that were handed something and not sent it yet. It is collected while locks are held, and
/// sent when none is.
#[derive(Debug, Default)]
#[must_use = "what was handed over is sent by `send`"]
pub struct Deliveries(Vec<Arc<Connection>>);

impl Deliveries {
    pub(super) fn add(&mut self, to: &Arc<Connection>, waiting: Waiting) {
        if to.push(waiting) {
            self.0.push(Arc::clone(to));
        }
    }

    /// Something beside the log.
    pub fn tell(&mut self, to: &Arc<Connection>, event: &Event) {
        self.add(to, Waiting::Beside(wire::text(&[super::hub::json(event)])));
    }

    /// Sends all of it. Many connections are shared out among the threads of the runtime, some of them are left to this one.
    pub fn send(mut self) {
        while self.0.len() > DELIVERED_TOGETHER {
            let some = self.0.split_off(self.0.len() - DELIVERED_TOGETHER);
            tokio::spawn(async move { some.iter().for_each(|connection| connection.deliver()) });
        }
        self.0.iter().for_each(|connection| connection.deliver());
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use uuid::Uuid;

    use super::*;
    use crate::protocol::{Micros, Person};
    use crate::server::store::{AccountId, LoginId, UserId};
    use crate::server::stream::Stream;

    const ROOM: RoomId = RoomId(Uuid::nil());

    /// A connection with its end at the client; the stream is to be kept.
    async fn connected(queue_bytes: usize) -> (Arc<Connection>, Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = Stream::new(listener.accept().await.unwrap().0, std::time::Duration::from_secs(30));
        let person = Person { user: "ada".to_owned(), name: None };
        let (user, account, login) = (UserId::fresh(), AccountId::fresh(), LoginId(Uuid::new_v4()));
        let actor = Actor { user, account, login, person, admin: false, seen: Micros(0), until: Micros(0), program: false };
        (Arc::new(Connection::new(actor, stream.outbound(), queue_bytes)), stream, client)
    }

    /// One that has said `hello` with this cursor, and whose task has nothing to do.
    async fn greeted(queue_bytes: usize, lines: bool, cursor: i64) -> (Arc<Connection>, Stream, TcpStream) {
        let (connection, stream, client) = connected(queue_bytes).await;
        connection.begin(lines);
        connection.woken().await;
        connection.greet();
        connection.cursors(|cursors| cursors.insert(ROOM, Seq(cursor)));
        assert_eq!(connection.uncork(), Left::Nothing);
        (connection, stream, client)
    }

    /// Events at these places.
    fn run(from: i64, to: i64) -> Waiting {
        let event = |seq| Utf8Bytes::from(format!("{{{seq}{}}}", "x".repeat(100)));
        Waiting::Log { run: Arc::new(Run::new(ROOM, Seq(from), Seq(to), (from..=to).map(event).collect())), last: false }
    }

    fn deliver(connection: &Arc<Connection>, waiting: impl IntoIterator<Item = Waiting>) {
        let mut deliveries = Deliveries::default();
        waiting.into_iter().for_each(|waiting| deliveries.add(connection, waiting));
        deliveries.send();
    }

    /// The places that the client was told, frame by frame, up to `last`.
    async fn told(client: &mut TcpStream, last: i64) -> Vec<Vec<i64>> {
        let mut frames: Vec<Vec<i64>> = Vec::new();
        while frames.last().and_then(|frame| frame.last()) != Some(&last) {
            assert_eq!(client.read_u8().await.unwrap(), 0x81);
            let length = match client.read_u8().await.unwrap() {
                126 => client.read_u16().await.unwrap().into(),
                127 => client.read_u64().await.unwrap(),
                short => short.into(),
            };
            let mut text = vec![0; length.try_into().unwrap()];
            client.read_exact(&mut text).await.unwrap();
            let text = String::from_utf8(text).unwrap();
            frames.push(text.lines().map(|line| line.trim_matches(['{', '}', 'x']).parse().unwrap()).collect());
        }
        frames
    }

    #[tokio::test]
    async fn what_follows_the_cursor_goes_out_at_once_and_what_was_told_does_not_again() {
        let (connection, _stream, mut client) = greeted(10_000, true, 4).await;
        deliver(&connection, [run(3, 4), run(5, 5)]);
        deliver(&connection, [run(4, 7)]);
        deliver(&connection, [run(5, 6), run(8, 9)]);
        assert_eq!(told(&mut client, 9).await, [vec![5], vec![6, 7], vec![8, 9]]);
    }

    #[tokio::test]
    async fn who_does_not_take_lines_gets_each_event_in_a_frame_of_its_own() {
        let (connection, _stream, mut client) = greeted(10_000, false, 4).await;
        deliver(&connection, [run(5, 6)]);
        deliver(&connection, [run(6, 8), run(9, 9)]);
        assert_eq!(told(&mut client, 9).await, [[5], [6], [7], [8], [9]]);
    }

    #[tokio::test]
    async fn what_comes_after_something_missing_waits_for_the_log() {
        let (connection, _stream, mut client) = greeted(10_000, true, 4).await;
        deliver(&connection, [run(6, 6)]);
        deliver(&connection, [run(7, 7)]);
        connection.woken().await;
        assert_eq!(connection.uncork(), Left::CatchingUp);
        // Its task reads what is missing, while more comes.
        connection.cork();
        deliver(&connection, [run(8, 8), run(9, 9)]);
        connection.cursors(|cursors| cursors.insert(ROOM, Seq(8)));
        assert_eq!(connection.uncork(), Left::Nothing);
        deliver(&connection, [run(10, 10)]);
        assert_eq!(told(&mut client, 10).await, [[9], [10]]);
    }

    #[tokio::test]
    async fn nothing_of_a_log_goes_out_before_the_welcome() {
        let (connection, _stream, mut client) = connected(10_000).await;
        connection.begin(true);
        connection.woken().await;
        assert_eq!(connection.uncork(), Left::Nothing);
        deliver(&connection, [run(5, 5), Waiting::Beside(wire::text(&["{1}"]))]);
        assert_eq!(told(&mut client, 1).await, [[1]]);
    }

    #[tokio::test]
    async fn who_takes_nothing_is_left_to_its_task_and_gets_all_of_it_when_it_goes_on() {
        let (connection, mut stream, mut client) = greeted(1_000_000, true, 0).await;
        let mut last = 0;
        // More than the kernel takes, and less than the queue does.
        while !lock(&connection.queue).corked || lock(&connection.queue).bytes < 100_000 {
            deliver(&connection, [run(last + 1, last + 100)]);
            last += 100;
        }
        connection.woken().await;
        assert_eq!(connection.uncork(), Left::Flushing);
        let task = async {
            while connection.uncork() == Left::Flushing {
                tokio::io::AsyncWriteExt::flush(&mut stream).await.unwrap();
            }
        };
        let (frames, ()) = tokio::join!(told(&mut client, last), task);
        assert!(frames.into_iter().flatten().eq(1..=last));
        deliver(&connection, [run(last + 1, last + 1)]);
        assert_eq!(told(&mut client, last + 1).await, [[last + 1]], "and is nobody special afterwards");
    }

    #[tokio::test]
    async fn its_task_hears_of_the_end_whoever_delivers_meanwhile() {
        for corked in [false, true] {
            let (connection, _stream, _client) = greeted(10_000, true, 0).await;
            if corked {
                connection.cork();
            }
            let mut deliveries = Deliveries::default();
            deliveries.add(&connection, run(1, 1));
            connection.close(Closing::LoginEnded);
            deliveries.send();
            connection.woken().await;
            assert_eq!(connection.uncork(), Left::Closing(Closing::LoginEnded));
        }
    }

    #[tokio::test]
    async fn too_much_of_a_log_is_dropped_whole_and_answers_are_kept() {
        let (connection, _stream, mut client) = greeted(2000, true, 0).await;
        connection.cork();
        let pong = || Waiting::Beside(wire::text(&["{0}"]));
        deliver(&connection, std::iter::once(pong()).chain((1..100).map(|seq| run(seq, seq))).chain([pong()]));
        assert_eq!(connection.uncork(), Left::CatchingUp);
        connection.cork();
        deliver(&connection, (1..5).map(|seq| run(seq, seq)));
        assert_eq!(connection.uncork(), Left::Nothing, "what is taken makes room again");
        assert_eq!(told(&mut client, 4).await, [[0], [0], [1], [2], [3], [4]]);
    }

    #[tokio::test]
    async fn who_does_not_take_its_answers_is_ended_and_what_waits_stays_bounded() {
        let (connection, _stream, _client) = greeted(2000, true, 0).await;
        connection.cork();
        let mut deliveries = Deliveries::default();
        (0..1000).for_each(|_| deliveries.tell(&connection, &Event::Pong));
        deliveries.send();
        connection.woken().await;
        assert_eq!(connection.closing(), Some(Closing::TooSlow));
        assert!(lock(&connection.queue).waiting.iter().map(Waiting::bytes).sum::<usize>() <= 2000);
    }
}
