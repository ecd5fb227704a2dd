//! The part of a connection that others reach: its queue, which is bounded in bytes, and its end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use axum::extract::ws::Utf8Bytes;
use futures_util::task::AtomicWaker;

use super::hub::lock;
use crate::protocol::{Event, Refusal, Seq};
use crate::server::chat::Actor;
use crate::server::store::RoomId;

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

/// An event that waits for a connection.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    /// Of a room's log.
    Log {
        room: RoomId,
        seq: Seq,
        json: Utf8Bytes,
        /// The connection's own person left by it: nothing of the room comes after it.
        last: bool,
    },
    /// Beside the log.
    Beside(Utf8Bytes),
}

impl Waiting {
    fn bytes(&self) -> usize {
        let (Self::Log { json, .. } | Self::Beside(json)) = self;
        json.len() + size_of::<Self>()
    }
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Waiting>,
    bytes: usize,
    behind: bool,
    closing: Option<Closing>,
}

/// What a connection finds when it looks into its queue.
#[derive(Debug)]
pub(super) struct Taken {
    pub events: VecDeque<Waiting>,
    /// Events were dropped: catch up from the log.
    pub behind: bool,
    pub closing: Option<Closing>,
}

/// A live connection, as the hub and the writer see it.
#[derive(Debug)]
pub struct Connection {
    pub(super) actor: Actor,
    queue: Mutex<Queue>,
    queue_bytes: usize,
    /// There is something to take. Only its task waits for that, so one waker is enough.
    due: AtomicBool,
    waker: AtomicWaker,
    /// The rooms that it hears, as the hub has it; none when it is gone and hears nothing any more.
    rooms: Mutex<Option<Vec<RoomId>>>,
    /// It has said `hello`. Before that it may hear rooms, and is sent nothing of them.
    greeted: AtomicBool,
    /// The room on its screen, which it is told the presence of.
    pub(super) look: Mutex<Option<RoomId>>,
}

impl Connection {
    pub(super) fn new(actor: Actor, queue_bytes: usize) -> Self {
        let rooms = Mutex::new(Some(Vec::new()));
        let (due, waker, greeted) = (AtomicBool::new(false), AtomicWaker::new(), AtomicBool::new(false));
        Self { actor, queue: Mutex::default(), queue_bytes, due, waker, rooms, greeted, look: Mutex::new(None) }
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

    /// Whether it is sent what happens in its person's rooms, its own messages among that: it has said `hello`, and hears a room.
    pub(in crate::server) fn follows(&self) -> bool {
        self.greeted.load(Ordering::Acquire) && lock(&self.rooms).as_ref().is_some_and(|rooms| !rooms.is_empty())
    }

    /// It is gone: hands over the rooms that it heard, and hears none from now on.
    pub(super) fn gone(&self) -> Vec<RoomId> {
        lock(&self.rooms).take().unwrap_or_default()
    }

    /// Puts events into the queue. When one does not fit, what is there of logs is dropped: the connection is then behind, and
    /// reads it from the log. What stands beside the log (answers, mostly) is kept; a connection that does not even take those
    /// is ended.
    pub(super) fn push(&self, events: impl Iterator<Item = Waiting>) {
        let mut queue = lock(&self.queue);
        for event in events {
            let log = matches!(event, Waiting::Log { .. });
            if log && queue.behind {
                continue;
            }
            if queue.bytes + event.bytes() > self.queue_bytes {
                queue.events.retain(|event| matches!(event, Waiting::Beside(_)));
                queue.bytes = queue.events.iter().map(Waiting::bytes).sum();
                queue.behind = true;
                if log {
                    continue;
                }
                if queue.bytes + event.bytes() > self.queue_bytes {
                    queue.closing.get_or_insert(Closing::TooSlow);
                    continue;
                }
            }
            queue.bytes += event.bytes();
            queue.events.push_back(event);
        }
        drop(queue);
        self.wake();
    }

    /// Tells it something beside the log.
    pub fn tell(&self, event: &Event) {
        self.push(std::iter::once(Waiting::Beside(super::hub::json(event))));
    }

    /// It has missed something: it will catch up from the log.
    pub(super) fn fall_behind(&self) {
        lock(&self.queue).behind = true;
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

    pub(super) fn take(&self) -> Taken {
        let mut queue = lock(&self.queue);
        queue.bytes = 0;
        Taken { events: std::mem::take(&mut queue.events), behind: std::mem::take(&mut queue.behind), closing: queue.closing }
    }

    /// Makes its task look into the queue.
    pub(super) fn wake(&self) {
        self.due.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Returns when there is something to [`take`](Self::take), or soon after. For its task alone: of two that wait, one may wait for
    /// ever.
    pub(super) async fn woken(&self) {
        poll_fn(|cx| {
            if self.due.swap(false, Ordering::Acquire) {
                return Poll::Ready(());
            }
            self.waker.register(cx.waker());
            // What came before it was registered woke nobody.
            if self.due.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::protocol::{Micros, Person};
    use crate::server::store::{AccountId, LoginId, UserId};

    fn connection(queue_bytes: usize) -> Connection {
        let person = Person { user: "ada".to_owned(), name: None };
        let (user, account, login) = (UserId::fresh(), AccountId::fresh(), LoginId(Uuid::new_v4()));
        Connection::new(Actor { user, account, login, person, admin: false, seen: Micros(0), until: None }, queue_bytes)
    }

    fn event(seq: i64) -> Waiting {
        Waiting::Log { room: RoomId(Uuid::nil()), seq: Seq(seq), json: "x".repeat(100).into(), last: false }
    }

    #[test]
    fn too_much_of_a_log_is_dropped_whole_and_answers_are_kept() {
        let connection = connection(2000);
        connection.tell(&Event::Pong);
        connection.push((1..100).map(event));
        connection.tell(&Event::Pong);
        let taken = connection.take();
        assert!(taken.behind && taken.closing.is_none());
        assert!(taken.events.iter().all(|event| matches!(event, Waiting::Beside(_))) && taken.events.len() == 2);
        connection.push((1..5).map(event));
        let taken = connection.take();
        assert!(!taken.behind && taken.events.len() == 4, "what is taken makes room again");
    }

    #[test]
    fn who_does_not_take_its_answers_is_ended_and_what_waits_stays_bounded() {
        let connection = connection(2000);
        (0..1000).for_each(|_| connection.tell(&Event::Pong));
        let taken = connection.take();
        assert_eq!(taken.closing, Some(Closing::TooSlow));
        assert!(taken.events.iter().map(Waiting::bytes).sum::<usize>() <= 2000);
    }
}
