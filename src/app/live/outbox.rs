//! What has been written and is not yet in its room's log.
//!
//! Every message is kept in the browser's storage, one key each, until the server has it: it outlives the line, the page and
//! the server. Of each room one is under way at a time, so that they arrive in the order in which they were written;
//! one that the server refuses for good stays, with the reason, and holds up nothing.

use serde::Serialize;
use uuid::Uuid;

use super::wire::{Kept, Wire};
use crate::protocol::{Command, Refusal, Slug};

/// Where messages are kept: the browser's local storage, shared by all tabs. What it cannot keep lives as long as the page.
pub trait Storage {
    fn get(&self, key: &str) -> Option<String>;
    fn set(&mut self, key: &str, value: &str);
    fn remove(&mut self, key: &str);
    fn keys(&self) -> Vec<String>;
}

/// How a message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes out when those of its room before it have, and when the line is there.
    Waiting,
    /// The server was asked to take it.
    UnderWay,
    /// The server could not take it just now: asked again at `until` (milliseconds since 1970).
    Later { until: u64 },
    /// The server will not take it as it is, for the reason that this sentence says.
    Refused(String),
}

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub id: Uuid,
    pub room: Slug,
    pub text: String,
    /// When it was written, in milliseconds since 1970.
    pub at: u64,
    /// Its place among the others of this account, in all tabs.
    pub order: u64,
    pub state: State,
}

/// An item as it is kept, to be written; [`Kept`] is how it is read.
#[derive(Serialize)]
struct Keeping<'a> {
    room: &'a Slug,
    text: &'a str,
    at: u64,
    order: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
}

/// The wait after a refusal that passes and does not say how long, in milliseconds.
const LATER: u64 = 2_000;

/// The outbox of one account.
#[derive(Clone, Debug)]
pub struct Outbox<S> {
    storage: S,
    prefix: String,
    /// By `order`.
    items: Vec<Item>,
    /// The largest `order` given out or seen.
    newest: u64,
}

impl<S: Storage> Outbox<S> {
    /// The outbox of the account `user`, with what an earlier page left in it.
    pub fn open(storage: S, user: Uuid) -> Self {
        let mut outbox = Self { storage, prefix: format!("snug.out.{user}."), items: Vec::new(), newest: 0 };
        outbox.adopt();
        outbox
    }

    /// By the order in which they were written.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Takes up what is kept and not here: another tab wrote it, and may be gone.
    pub fn adopt(&mut self) {
        for key in self.storage.keys() {
            let Some(id) = self.id_of(&key) else { continue };
            if self.items.iter().any(|item| item.id == id) {
                continue;
            }
            let json = self.storage.get(&key);
            let kept = json.and_then(|json| serde_json::from_str::<Wire>(&json).ok()?.kept());
            let Some(Kept { room, text, at, order, refused }) = kept else { continue };
            let item = Item { id, room, text, at, order, state: refused.map_or(State::Waiting, State::Refused) };
            // There are few: no sorting is needed that the browser would have to load.
            let place = self.items.iter().position(|other| (other.order, other.id) > (item.order, item.id));
            self.items.insert(place.unwrap_or(self.items.len()), item);
        }
        self.newest = self.items.last().map_or(self.newest, |item| item.order.max(self.newest));
    }

    /// A new message. `now` is in milliseconds since 1970; `random` makes its id unlike any other.
    pub fn push(&mut self, room: Slug, text: String, now: u64, random: &[u8; 10]) -> Uuid {
        // The id begins with its place, so that ids grow too; what waits keeps its order even when the clock is set back.
        self.newest = now.max(self.newest + 1);
        let id = uuid::Builder::from_unix_timestamp_millis(self.newest, random).into_uuid();
        self.items.push(Item { id, room, text, at: now, order: self.newest, state: State::Waiting });
        self.keep(id);
        id
    }

    /// What to send now, at most one message of each room; they are under way from here on.
    pub fn send(&mut self, now: u64) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut closed: Vec<Slug> = Vec::new();
        for item in &mut self.items {
            if matches!(item.state, State::Refused(_)) || closed.contains(&item.room) {
                continue;
            }
            closed.push(item.room.clone());
            let due = match item.state {
                State::Waiting => true,
                State::Later { until } => until <= now,
                State::UnderWay | State::Refused(_) => false,
            };
            if due {
                item.state = State::UnderWay;
                commands.push(Command::Send { room: item.room.clone(), id: item.id, text: item.text.clone() });
            }
        }
        commands
    }

    /// When something will be due that is not now.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        self.items.iter().filter_map(|item| if let State::Later { until } = item.state { Some(until) } else { None }).min()
    }

    /// The line is gone: what was under way may or may not have arrived, and is asked again.
    pub fn line_lost(&mut self) {
        for item in &mut self.items {
            if matches!(item.state, State::UnderWay | State::Later { .. }) {
                item.state = State::Waiting;
            }
        }
    }

    /// The server has the message. True when it was here.
    pub fn arrived(&mut self, id: Uuid) -> bool {
        self.drop(id).is_some()
    }

    /// The server refused the message. True when it was here.
    pub fn refused(&mut self, id: Uuid, why: &Refusal, sentence: String, now: u64) -> bool {
        let Some(item) = self.items.iter_mut().find(|item| item.id == id) else { return false };
        item.state = if why.passes() {
            let wait = if let Refusal::TooFast { retry_after_ms } = why { u64::from(*retry_after_ms).max(100) } else { LATER };
            State::Later { until: now + wait }
        } else {
            State::Refused(sentence)
        };
        self.keep(id);
        true
    }

    /// Its author wants a refused message to be sent again.
    pub fn try_again(&mut self, id: Uuid) {
        if let Some(item) = self.items.iter_mut().find(|item| item.id == id) {
            if matches!(item.state, State::Refused(_)) {
                item.state = State::Waiting;
            }
            self.keep(id);
        }
    }

    /// Its author takes a message back: its text.
    pub fn take_back(&mut self, id: Uuid) -> Option<String> {
        self.drop(id)
    }

    /// Another tab has changed what is kept under `key`. True when that was of this outbox.
    pub fn removed_elsewhere(&mut self, key: &str) -> bool {
        let Some(id) = self.id_of(key) else { return false };
        let before = self.items.len();
        self.items.retain(|item| item.id != id);
        before != self.items.len()
    }

    fn id_of(&self, key: &str) -> Option<Uuid> {
        key.strip_prefix(&self.prefix)?.parse().ok()
    }

    fn drop(&mut self, id: Uuid) -> Option<String> {
        let at = self.items.iter().position(|item| item.id == id)?;
        self.storage.remove(&format!("{}{id}", self.prefix));
        Some(self.items.remove(at).text)
    }

    fn keep(&mut self, id: Uuid) {
        let Some(item) = self.items.iter().find(|item| item.id == id) else { return };
        let refused = if let State::Refused(why) = &item.state { Some(why.as_str()) } else { None };
        let kept = Keeping { room: &item.room, text: &item.text, at: item.at, order: item.order, refused };
        if let Ok(json) = serde_json::to_string(&kept) {
            self.storage.set(&format!("{}{id}", self.prefix), &json);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    /// A storage that outlives the outbox, as the browser's does.
    #[derive(Clone, Debug, Default)]
    struct Shelf(Rc<RefCell<BTreeMap<String, String>>>);

    impl Storage for Shelf {
        fn get(&self, key: &str) -> Option<String> {
            self.0.borrow().get(key).cloned()
        }
        fn set(&mut self, key: &str, value: &str) {
            self.0.borrow_mut().insert(key.to_owned(), value.to_owned());
        }
        fn remove(&mut self, key: &str) {
            self.0.borrow_mut().remove(key);
        }
        fn keys(&self) -> Vec<String> {
            self.0.borrow().keys().cloned().collect()
        }
    }

    fn room(n: usize) -> Slug {
        Slug::new(format!("room-{n}")).expect("a slug")
    }

    fn user() -> Uuid {
        Uuid::from_u128(7)
    }

    fn sent(commands: &[Command]) -> Vec<&str> {
        commands.iter().map(|command| if let Command::Send { text, .. } = command { text.as_str() } else { "?" }).collect()
    }

    #[test]
    fn one_of_a_room_is_under_way_at_a_time() {
        let mut outbox = Outbox::open(Shelf::default(), user());
        let first = outbox.push(room(1), "a".to_owned(), 10, &[1; 10]);
        outbox.push(room(1), "b".to_owned(), 10, &[2; 10]);
        outbox.push(room(2), "c".to_owned(), 9, &[3; 10]);
        assert_eq!(sent(&outbox.send(10)), ["a", "c"]);
        assert_eq!(sent(&outbox.send(10)), [""; 0]);
        assert!(outbox.arrived(first));
        assert!(!outbox.arrived(first));
        assert_eq!(sent(&outbox.send(10)), ["b"]);
    }

    #[test]
    fn a_refused_message_stays_and_holds_up_nothing() {
        let shelf = Shelf::default();
        let mut outbox = Outbox::open(shelf.clone(), user());
        let first = outbox.push(room(1), "a".to_owned(), 10, &[1; 10]);
        outbox.push(room(1), "b".to_owned(), 10, &[2; 10]);
        outbox.send(10);
        assert!(outbox.refused(first, &Refusal::NotMember, "no".to_owned(), 10));
        assert_eq!(sent(&outbox.send(10)), ["b"]);

        let mut outbox = Outbox::open(shelf.clone(), user());
        assert_eq!(outbox.items()[0].state, State::Refused("no".to_owned()), "it stays over a reload, with its reason");
        assert_eq!(sent(&outbox.send(10)), ["b"]);
        assert_eq!(outbox.take_back(first).as_deref(), Some("a"));
        assert_eq!(shelf.keys().len(), 1);
    }

    #[test]
    fn a_refusal_that_passes_is_waited_out_in_order() {
        let mut outbox = Outbox::open(Shelf::default(), user());
        let first = outbox.push(room(1), "a".to_owned(), 10, &[1; 10]);
        outbox.push(room(1), "b".to_owned(), 10, &[2; 10]);
        outbox.send(10);
        outbox.refused(first, &Refusal::TooFast { retry_after_ms: 500 }, String::new(), 10);
        assert_eq!(outbox.due(), Some(510));
        assert_eq!(sent(&outbox.send(509)), [""; 0]);
        assert_eq!(sent(&outbox.send(510)), ["a"]);
        assert_eq!(outbox.due(), None);
    }

    #[test]
    fn what_another_tab_saw_arrive_is_dropped_and_what_it_left_is_taken_up() {
        let shelf = Shelf::default();
        let mut one = Outbox::open(shelf.clone(), user());
        let mut other = Outbox::open(shelf.clone(), user());
        let id = one.push(room(1), "a".to_owned(), 10, &[1; 10]);
        other.adopt();
        assert_eq!(other.items(), one.items());
        one.send(10);
        one.arrived(id);
        assert!(other.removed_elsewhere(&format!("snug.out.{}.{id}", user())));
        assert!(other.items().is_empty());
        assert!(!other.removed_elsewhere("snug.draft.x"));
    }

    #[test]
    fn another_account_has_another_outbox() {
        let shelf = Shelf::default();
        Outbox::open(shelf.clone(), user()).push(room(1), "a".to_owned(), 10, &[1; 10]);
        assert!(Outbox::open(shelf, Uuid::from_u128(8)).items().is_empty());
    }

    #[derive(Clone, Debug)]
    enum Happening {
        Write {
            room: usize,
        },
        Send,
        /// The server takes what is under way in this room.
        Takes {
            room: usize,
        },
        /// The server takes it and the answer is lost with the line.
        TakesAndLineIsLost {
            room: usize,
        },
        LineIsLost,
        Busy {
            room: usize,
        },
        Refuses {
            room: usize,
        },
        Reload,
        /// The clock goes on, or is set back.
        Clock(u64),
    }

    fn happenings() -> impl Strategy<Value = Vec<Happening>> {
        let one = prop_oneof![
            4 => (0_usize..3).prop_map(|room| Happening::Write { room }),
            5 => Just(Happening::Send),
            4 => (0_usize..3).prop_map(|room| Happening::Takes { room }),
            1 => (0_usize..3).prop_map(|room| Happening::TakesAndLineIsLost { room }),
            1 => Just(Happening::LineIsLost),
            1 => (0_usize..3).prop_map(|room| Happening::Busy { room }),
            1 => (0_usize..3).prop_map(|room| Happening::Refuses { room }),
            1 => Just(Happening::Reload),
            2 => (0_u64..20_000).prop_map(Happening::Clock),
        ];
        proptest::collection::vec(one, 0..120)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_doubled_or_out_of_order(happenings in happenings()) {
            let shelf = Shelf::default();
            let mut outbox = Outbox::open(shelf.clone(), user());
            let mut now = 10_000;
            let mut written: Vec<(usize, Uuid)> = Vec::new();
            let mut refused: Vec<Uuid> = Vec::new();
            // What the server's log has, and what it was asked and has not answered.
            let mut log: Vec<(usize, Uuid)> = Vec::new();
            let mut asked: BTreeMap<usize, Uuid> = BTreeMap::new();
            let end = [Happening::LineIsLost, Happening::Clock(19_999)].into_iter()
                .chain((0..300).flat_map(|_| [Happening::Send, Happening::Takes { room: 0 }, Happening::Takes { room: 1 }, Happening::Takes { room: 2 }]));
            for happening in happenings.into_iter().chain(end) {
                match happening {
                    Happening::Write { room: n } => {
                        let id = outbox.push(room(n), format!("{}", written.len()), now, &[u8::try_from(written.len()).unwrap_or(0); 10]);
                        prop_assert!(written.iter().all(|(_, before)| *before != id), "every id is new");
                        written.push((n, id));
                    }
                    Happening::Send => for command in outbox.send(now) {
                        let Command::Send { room: slug, id, .. } = command else { continue };
                        let n = (0..3).find(|n| room(*n) == slug).expect("one of the rooms");
                        prop_assert!(asked.insert(n, id).is_none(), "two of a room under way");
                    },
                    Happening::Takes { room } => if let Some(id) = asked.remove(&room) {
                        if !log.contains(&(room, id)) { log.push((room, id)); }
                        prop_assert!(outbox.arrived(id));
                    },
                    Happening::TakesAndLineIsLost { room } => {
                        if let Some(id) = asked.remove(&room) && !log.contains(&(room, id)) { log.push((room, id)); }
                        asked.clear();
                        outbox.line_lost();
                    }
                    Happening::LineIsLost => { asked.clear(); outbox.line_lost(); }
                    Happening::Busy { room } => if let Some(id) = asked.remove(&room) {
                        outbox.refused(id, &Refusal::Busy, String::new(), now);
                    },
                    // What is in the log already is answered as such, never refused.
                    Happening::Refuses { room } => if let Some(id) = asked.get(&room).copied() && !log.contains(&(room, id)) {
                        asked.remove(&room);
                        outbox.refused(id, &Refusal::NotMember, "no".to_owned(), now);
                        refused.push(id);
                    },
                    Happening::Reload => { asked.clear(); outbox = Outbox::open(shelf.clone(), user()); }
                    Happening::Clock(to) => now = to,
                }
            }
            for n in 0..3 {
                let expected: Vec<Uuid> = written.iter().filter(|(at, id)| *at == n && !refused.contains(id)).map(|(_, id)| *id).collect();
                let got: Vec<Uuid> = log.iter().filter(|(at, _)| *at == n).map(|(_, id)| *id).collect();
                prop_assert_eq!(got, expected);
            }
            let left: Vec<Uuid> = outbox.items().iter().map(|item| item.id).collect();
            let mut refused_in_order = refused.clone();
            refused_in_order.sort_unstable();
            prop_assert_eq!(left, refused_in_order);
        }
    }
}
