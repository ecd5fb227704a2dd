//! What has been written and is not yet in its room's log.
//!
//! Every message is kept in the browser's storage, one key each, until the server has it: it outlives the line, the page and
//! the server. All tabs of the account see it there, and whichever has the turn ([`super::turn`]) sends it. Of each room one
//! is under way at a time, so that they arrive in the order in which they were written; one that the server refuses for good
//! stays, with the reason, and holds up nothing.
//!
//! A message is on the screen of each tab from when it is written until its room's log has it there: the tab that hears first that
//! it has arrived keeps it no more, and the others, whose lines may be slower, show it until they are told.

use uuid::Uuid;

use super::turn::{TURN, Turn};
use crate::protocol::{Command, Refusal, Slug};

/// Where messages are kept: the browser's local storage, shared by all tabs. What it cannot keep lives as long as the page.
pub trait Storage {
    fn get(&self, key: &str) -> Option<String>;
    /// False when it cannot be kept.
    fn set(&mut self, key: &str, value: &str) -> bool;
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
    /// The server could not take it just now, for a reason that passes: asked again at `until` (milliseconds since 1970).
    Later { until: u64, why: Refusal },
    /// The server will not take it as it is, for the reason that this sentence says.
    Refused(String),
    /// Another tab has seen it arrive, and this one has not been told of it.
    Elsewhere,
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
    /// Whether the storage has it, where other tabs may send it, take it back, or see it arrive.
    kept: bool,
}

impl Item {
    /// Whether nothing is to be sent of it.
    fn is_done(&self) -> bool {
        matches!(self.state, State::Refused(_) | State::Elsewhere)
    }
}

/// An item as it is kept: a line with its order, its time and its room; a line with why it was refused, empty when it was not;
/// and its text.
struct Kept {
    order: u64,
    at: u64,
    room: Slug,
    refused: Option<String>,
    text: String,
}

impl Kept {
    fn write(item: &Item) -> String {
        let refused = if let State::Refused(why) = &item.state { why.as_str() } else { "" };
        let mut out = String::new();
        for part in [&item.order.to_string(), " ", &item.at.to_string(), " ", item.room.as_str(), "\n", refused, "\n", &item.text]
        {
            out.push_str(part);
        }
        out
    }

    fn read(kept: &str) -> Option<Self> {
        let (head, rest) = kept.split_once('\n')?;
        let (refused, text) = rest.split_once('\n')?;
        let mut head = head.splitn(3, ' ');
        let mut number = || head.next()?.parse().ok();
        let (order, at) = (number()?, number()?);
        let room = Slug::new(head.next()?).ok()?;
        let refused = (!refused.is_empty()).then(|| refused.to_owned());
        Some(Self { order, at, room, refused, text: text.to_owned() })
    }
}

/// The wait after a refusal that passes and does not say how long, in milliseconds.
const LATER: u64 = 2_000;

/// How long a refusal that passes is waited out, in milliseconds.
fn wait(why: &Refusal) -> u64 {
    if let Refusal::TooFast { retry_after_ms } = why { u64::from(*retry_after_ms).max(100) } else { LATER }
}

/// When what was refused is asked again. What would have to wait for longer than its refusal says was refused before the clock was set
/// back: it is asked now.
fn again(until: u64, why: &Refusal, now: u64) -> u64 {
    if until > now + wait(why) { now } else { until }
}

/// The outbox of one account, as one tab has it.
pub struct Outbox<S> {
    storage: S,
    turn: Box<dyn Turn>,
    prefix: String,
    /// By `order`.
    items: Vec<Item>,
    /// The largest `order` given out or seen.
    newest: u64,
    /// Something has arrived elsewhere since that was asked last.
    unheard: bool,
}

impl<S: Storage> Outbox<S> {
    /// The outbox of the account `user`, with what other tabs and earlier pages left in it.
    pub fn open(storage: S, turn: Box<dyn Turn>, user: Uuid) -> Self {
        let mut outbox =
            Self { storage, turn, prefix: format!("snug.out.{user}."), items: Vec::new(), newest: 0, unheard: false };
        outbox.adopt();
        outbox
    }

    /// By the order in which they were written.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether all of it outlives the page.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.items.iter().all(|item| item.kept)
    }

    /// Makes this what is kept, whichever tab kept it.
    pub fn adopt(&mut self) {
        let kept: Vec<Uuid> = self.storage.keys().iter().filter_map(|key| self.id_of(key)).collect();
        for at in (0..self.items.len()).rev() {
            let item = &self.items[at];
            if item.kept && !kept.contains(&item.id) {
                self.kept_no_more(at);
            }
        }
        for id in kept {
            self.look(id);
        }
    }

    /// Another tab has changed what is kept under `key`. True when there may be something to send or to show by it.
    pub fn changed_elsewhere(&mut self, key: &str) -> bool {
        match self.id_of(key) {
            Some(id) => self.look(id),
            None => key.starts_with(TURN),
        }
    }

    /// Makes one message what is kept of it. True when that is a change.
    fn look(&mut self, id: Uuid) -> bool {
        let kept = self.storage.get(&self.key(id)).and_then(|kept| Kept::read(&kept));
        let here = self.items.iter().position(|item| item.id == id);
        match (kept, here) {
            (None, Some(at)) if self.items[at].kept => return self.kept_no_more(at),
            (None, _) => return false,
            (Some(Kept { refused: Some(why), .. }), Some(at)) => self.items[at].state = State::Refused(why),
            (Some(_), Some(at)) => {
                if !matches!(self.items[at].state, State::Refused(_)) {
                    return false;
                }
                self.items[at].state = State::Waiting;
            }
            (Some(Kept { room, text, at, order, refused }), None) => {
                let state = refused.map_or(State::Waiting, State::Refused);
                // There are few: no sorting is needed that the browser would have to load.
                let place = self.items.iter().position(|other| (other.order, other.id) > (order, id));
                self.items.insert(place.unwrap_or(self.items.len()), Item { id, room, text, at, order, state, kept: true });
                self.newest = self.newest.max(order);
            }
        }
        true
    }

    /// Another tab keeps the message no more: one that was refused was taken back, any other has arrived (or, where that is seen late,
    /// was refused and taken back meanwhile). That one stays until this tab is told of it too, whose line may be slow. True when that
    /// is a change.
    fn kept_no_more(&mut self, at: usize) -> bool {
        match self.items[at].state {
            State::Refused(_) => {
                self.items.remove(at);
            }
            State::Elsewhere => return false,
            _ => {
                self.items[at].state = State::Elsewhere;
                self.unheard = true;
            }
        }
        true
    }

    /// Whether something has arrived elsewhere that this tab was not told of when it asked this last, or when its line was lost since.
    /// When the server has told it all that had happened by now, it has [caught up](Self::caught_up).
    pub fn take_unheard(&mut self) -> bool {
        std::mem::take(&mut self.unheard)
    }

    /// This tab has been told what had happened: all that arrived elsewhere stands in the log, but what is of a room that is being
    /// `fetched`.
    pub fn caught_up(&mut self, fetched: Option<&Slug>) {
        self.items.retain(|item| item.state != State::Elsewhere || Some(&item.room) == fetched);
    }

    /// A new message. `now` is in milliseconds since 1970; `random` makes its id unlike any other.
    pub fn push(&mut self, room: Slug, text: String, now: u64, random: &[u8; 10]) -> Uuid {
        // After those of other tabs.
        self.adopt();
        // The id begins with its place, so that ids grow too; what waits keeps its order even when the clock is set back.
        self.newest = now.max(self.newest + 1);
        let id = uuid::Builder::from_unix_timestamp_millis(self.newest, random).into_uuid();
        self.items.push(Item { id, room, text, at: now, order: self.newest, state: State::Waiting, kept: false });
        self.keep(id);
        id
    }

    /// What to send now, at most one message of each room, and only in this tab's turn; they are under way from here on. Only
    /// while the line stands.
    pub fn send(&mut self, now: u64) -> Vec<Command> {
        let mut commands = Vec::new();
        let Some(first) = self.first() else {
            self.turn.idle(now);
            return commands;
        };
        if !self.turn.take(now, first) {
            return commands;
        }
        // The first that waits may be another tab's, and what was the first here may have arrived from there.
        self.adopt();
        if self.first().is_none() {
            self.turn.idle(now);
        }
        let mut closed: Vec<Slug> = Vec::new();
        for item in &mut self.items {
            if item.is_done() || closed.contains(&item.room) {
                continue;
            }
            closed.push(item.room.clone());
            let due = match &item.state {
                State::Waiting => true,
                State::Later { until, why } => again(*until, why, now) <= now,
                State::UnderWay | State::Refused(_) | State::Elsewhere => false,
            };
            if due {
                item.state = State::UnderWay;
                commands.push(Command::Send { room: item.room.clone(), id: item.id, text: item.text.clone() });
            }
        }
        if !commands.is_empty() {
            self.turn.used(now);
        }
        commands
    }

    /// The first of those that are to go out.
    fn first(&self) -> Option<Uuid> {
        self.items.iter().find(|item| !item.is_done()).map(|item| item.id)
    }

    /// When something will be due that is not now.
    #[must_use]
    pub fn due(&self, now: u64) -> Option<u64> {
        let later =
            |item: &Item| if let State::Later { until, why } = &item.state { Some(again(*until, why, now)) } else { None };
        self.items.iter().filter_map(later).chain(self.turn.due()).min()
    }

    /// The line is gone: what was under way may or may not have arrived, and is asked again, by this tab or by one that has a
    /// line.
    pub fn line_lost(&mut self) {
        self.turn.give_back();
        for item in &mut self.items {
            if matches!(item.state, State::UnderWay | State::Later { .. }) {
                item.state = State::Waiting;
            }
            self.unheard |= item.state == State::Elsewhere;
        }
    }

    /// More happened in `room` than its server tells: an answer to what is under way there may have been among it, and is asked for
    /// again on the same line. True when there is something to ask.
    pub fn missed(&mut self, room: &Slug) -> bool {
        let under_way = |item: &&mut Item| item.room == *room && item.state == State::UnderWay;
        // There is one at most.
        self.items.iter_mut().find(under_way).map(|item| item.state = State::Waiting).is_some()
    }

    /// The server has the message. True when it was here.
    pub fn arrived(&mut self, id: Uuid) -> bool {
        // Also one that was not taken up here yet: what wrote it may be gone.
        self.drop(id).is_some()
    }

    /// The server refused the message. True when it was here.
    pub fn refused(&mut self, id: Uuid, why: &Refusal, sentence: String, now: u64) -> bool {
        let Some(item) = self.items.iter_mut().find(|item| item.id == id) else { return false };
        if item.state == State::Elsewhere {
            return false;
        }
        item.state =
            if why.passes() { State::Later { until: now + wait(why), why: why.clone() } } else { State::Refused(sentence) };
        if matches!(item.state, State::Refused(_)) {
            self.keep(id);
        }
        true
    }

    /// Its author wants a refused message to be sent again.
    pub fn try_again(&mut self, id: Uuid) {
        if let Some(item) = self.items.iter_mut().find(|item| item.id == id && matches!(item.state, State::Refused(_))) {
            item.state = State::Waiting;
            self.keep(id);
        }
    }

    /// Its author takes a message back: its text.
    pub fn take_back(&mut self, id: Uuid) -> Option<String> {
        self.drop(id)
    }

    fn id_of(&self, key: &str) -> Option<Uuid> {
        key.strip_prefix(&self.prefix)?.parse().ok()
    }

    fn key(&self, id: Uuid) -> String {
        format!("{}{id}", self.prefix)
    }

    fn drop(&mut self, id: Uuid) -> Option<String> {
        let key = self.key(id);
        self.storage.remove(&key);
        let at = self.items.iter().position(|item| item.id == id)?;
        Some(self.items.remove(at).text)
    }

    fn keep(&mut self, id: Uuid) {
        let key = self.key(id);
        let Some(item) = self.items.iter_mut().find(|item| item.id == id) else { return };
        item.kept |= self.storage.set(&key, &Kept::write(item));
    }
}

/// A storage that takes nothing: of a browser that lets a page keep nothing, or of a client that has none.
#[derive(Debug)]
pub struct Full;

impl Storage for Full {
    fn get(&self, _key: &str) -> Option<String> {
        None
    }
    fn set(&mut self, _key: &str, _value: &str) -> bool {
        false
    }
    fn remove(&mut self, _key: &str) {}
    fn keys(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The turn of who has nobody beside them: it is always theirs.
#[derive(Debug)]
pub struct Alone;

impl Turn for Alone {
    fn take(&mut self, _now: u64, _first: Uuid) -> bool {
        true
    }
    fn used(&mut self, _now: u64) {}
    fn idle(&mut self, _now: u64) {}
    fn give_back(&mut self) {}
    fn due(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    /// A storage that outlives the outbox, as the browser's does.
    #[derive(Clone, Debug, Default)]
    pub struct Shelf(pub Rc<RefCell<BTreeMap<String, String>>>);

    impl Storage for Shelf {
        fn get(&self, key: &str) -> Option<String> {
            self.0.borrow().get(key).cloned()
        }
        fn set(&mut self, key: &str, value: &str) -> bool {
            self.0.borrow_mut().insert(key.to_owned(), value.to_owned());
            true
        }
        fn remove(&mut self, key: &str) {
            self.0.borrow_mut().remove(key);
        }
        fn keys(&self) -> Vec<String> {
            self.0.borrow().keys().cloned().collect()
        }
    }

    pub fn room(n: usize) -> Slug {
        Slug::new(format!("room-{n}")).expect("a slug")
    }

    pub fn user() -> Uuid {
        Uuid::from_u128(7)
    }

    fn open(shelf: &Shelf) -> Outbox<Shelf> {
        Outbox::open(shelf.clone(), Box::new(Alone), user())
    }

    fn sent(commands: &[Command]) -> Vec<&str> {
        commands.iter().map(|command| if let Command::Send { text, .. } = command { text.as_str() } else { "?" }).collect()
    }

    #[test]
    fn one_of_a_room_is_under_way_at_a_time() {
        let mut outbox = open(&Shelf::default());
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
        let mut outbox = open(&shelf);
        let first = outbox.push(room(1), "a".to_owned(), 10, &[1; 10]);
        outbox.push(room(1), "b".to_owned(), 10, &[2; 10]);
        outbox.send(10);
        assert!(outbox.refused(first, &Refusal::NotMember, "no".to_owned(), 10));
        assert_eq!(sent(&outbox.send(10)), ["b"]);

        let mut outbox = open(&shelf);
        assert_eq!(outbox.items()[0].state, State::Refused("no".to_owned()), "it stays over a reload, with its reason");
        assert_eq!(sent(&outbox.send(10)), ["b"]);
        assert_eq!(outbox.take_back(first).as_deref(), Some("a"));
        assert_eq!(shelf.keys().len(), 1);
    }

    #[test]
    fn a_refusal_that_passes_is_waited_out_in_order() {
        let mut outbox = open(&Shelf::default());
        let first = outbox.push(room(1), "a".to_owned(), 10, &[1; 10]);
        outbox.push(room(1), "b".to_owned(), 10, &[2; 10]);
        outbox.send(10);
        outbox.refused(first, &Refusal::TooFast { retry_after_ms: 500 }, String::new(), 10);
        assert_eq!(outbox.due(10), Some(510));
        assert_eq!(sent(&outbox.send(509)), [""; 0]);
        assert_eq!(sent(&outbox.send(510)), ["a"]);
        assert_eq!(outbox.due(510), None);
        outbox.refused(first, &Refusal::Full, String::new(), 600);
        assert_eq!(outbox.items()[0].state, State::Later { until: 600 + LATER, why: Refusal::Full }, "it is kept, and says why");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_wait_for_longer_than_its_refusal_says() {
        const HOUR: u64 = 3_600_000;
        for (why, wait) in [(Refusal::Busy, LATER), (Refusal::TooFast { retry_after_ms: 60_000 }, 60_000)] {
            let mut outbox = open(&Shelf::default());
            let first = outbox.push(room(1), "a".to_owned(), HOUR, &[1; 10]);
            outbox.send(HOUR);
            outbox.refused(first, &why, String::new(), HOUR);
            // By less than has been waited, half of it: nobody can tell.
            assert_eq!(outbox.due(HOUR + wait / 4), Some(HOUR + wait));
            assert_eq!(sent(&outbox.send(HOUR + wait / 4)), [""; 0]);
            // By more.
            assert_eq!(outbox.due(10), Some(10));
            assert_eq!(sent(&outbox.send(10)), ["a"]);
        }
    }

    #[test]
    fn what_is_under_way_in_a_room_of_which_much_was_missed_is_sent_again() {
        let mut outbox = open(&Shelf::default());
        let first = outbox.push(room(1), "a".to_owned(), 10, &[1; 10]);
        outbox.push(room(1), "b".to_owned(), 10, &[2; 10]);
        let other = outbox.push(room(2), "c".to_owned(), 10, &[3; 10]);
        assert_eq!(sent(&outbox.send(10)), ["a", "c"]);
        assert!(!outbox.missed(&room(3)));
        assert!(outbox.missed(&room(1)));
        assert!(!outbox.missed(&room(1)), "nothing is under way there any more");
        // Under the same id, and neither what is after it nor what is under way elsewhere.
        let again = outbox.send(11);
        assert!(matches!(again.as_slice(), [Command::Send { id, .. }] if *id == first), "{again:?}");
        assert!(outbox.arrived(first));
        assert_eq!(sent(&outbox.send(12)), ["b"]);
        // What the server has refused for now is still waited out.
        outbox.refused(other, &Refusal::Busy, String::new(), 12);
        assert!(!outbox.missed(&room(2)));
        assert_eq!(sent(&outbox.send(13)), [""; 0]);
    }

    #[test]
    fn what_another_tab_saw_arrive_is_dropped_and_what_it_left_is_taken_up() {
        let shelf = Shelf::default();
        let mut one = open(&shelf);
        let mut other = open(&shelf);
        let id = one.push(room(1), "a".to_owned(), 10, &[1; 10]);
        other.adopt();
        assert_eq!(other.items(), one.items());
        one.send(10);
        one.arrived(id);
        assert!(other.changed_elsewhere(&one.key(id)));
        assert!(!other.changed_elsewhere(&one.key(id)), "no news");
        assert!(!other.changed_elsewhere("snug.draft.x"));
        assert_eq!(other.items()[0].state, State::Elsewhere, "it stays until this tab is told");
        assert_eq!(sent(&other.send(10)), [""; 0]);
        assert!(other.arrived(id));
        assert!(other.items().is_empty());
    }

    #[test]
    fn what_another_tab_saw_arrive_is_asked_for_once_on_each_line_and_stays_until_there_is_an_answer() {
        let shelf = Shelf::default();
        let (mut one, mut other) = (open(&shelf), open(&shelf));
        let ids: Vec<Uuid> = (1..=3).map(|n| one.push(room(1), n.to_string(), 10, &[n; 10])).collect();
        other.adopt();
        assert!(!other.take_unheard());
        one.arrived(ids[0]);
        // Where it is not heard of by itself, by what is written next.
        other.adopt();
        assert!(other.take_unheard());
        assert!(!other.take_unheard(), "it was asked");
        other.line_lost();
        assert!(other.take_unheard(), "the answer went with the line");
        assert_eq!(sent(&other.send(10)), ["2"], "it holds up nothing");
        assert!(!other.refused(ids[0], &Refusal::NotMember, "no".to_owned(), 10), "and is asked for no more");
        other.caught_up(Some(&room(1)));
        assert_eq!(other.items().len(), 3, "its page may have it");
        other.caught_up(Some(&room(2)));
        assert_eq!(other.items().iter().map(|item| item.id).collect::<Vec<_>>(), ids[1..]);
        assert!(!other.take_unheard());
    }

    #[test]
    fn what_was_refused_to_one_tab_is_refused_in_the_others_until_its_author_says_otherwise_in_any() {
        let shelf = Shelf::default();
        let mut one = open(&shelf);
        let mut other = open(&shelf);
        let id = one.push(room(1), "a".to_owned(), 10, &[1; 10]);
        assert!(other.changed_elsewhere(&one.key(id)));
        one.send(10);
        one.refused(id, &Refusal::NotMember, "no".to_owned(), 10);
        assert!(other.changed_elsewhere(&one.key(id)));
        assert_eq!(other.items()[0].state, State::Refused("no".to_owned()));
        assert_eq!(sent(&other.send(10)), [""; 0]);
        other.try_again(id);
        assert!(one.changed_elsewhere(&one.key(id)));
        assert_eq!(one.items()[0].state, State::Waiting);
        assert_eq!(sent(&one.send(10)), ["a"]);
        one.refused(id, &Refusal::NotMember, "no".to_owned(), 10);
        assert_eq!(other.take_back(id).as_deref(), Some("a"));
        assert!(one.changed_elsewhere(&one.key(id)));
        assert!(one.items().is_empty());
    }

    #[test]
    fn what_is_written_stands_after_what_other_tabs_wrote_also_when_the_clock_is_set_back() {
        let shelf = Shelf::default();
        let mut one = open(&shelf);
        let mut other = open(&shelf);
        one.push(room(1), "a".to_owned(), 20, &[2; 10]);
        other.push(room(1), "b".to_owned(), 20, &[1; 10]);
        one.push(room(1), "c".to_owned(), 10, &[0; 10]);
        let mut last = open(&shelf);
        for text in ["a", "b", "c"] {
            let commands = last.send(30);
            assert_eq!(sent(&commands), [text]);
            last.arrived(last.items()[0].id);
        }
    }

    #[test]
    fn what_arrived_before_it_was_taken_up_here_is_not_kept_either() {
        let shelf = Shelf::default();
        let mut one = open(&shelf);
        let mut other = open(&shelf);
        let id = one.push(room(1), "a".to_owned(), 10, &[1; 10]);
        drop(one);
        // The other tab hears of it as its room's newest message.
        assert!(!other.arrived(id));
        other.adopt();
        assert!(other.items().is_empty());
    }

    #[test]
    fn what_cannot_be_kept_lives_as_long_as_the_page() {
        let mut outbox = Outbox::open(Full, Box::new(Alone), user());
        let id = outbox.push(room(1), "a".to_owned(), 10, &[1; 10]);
        outbox.push(room(1), "b".to_owned(), 10, &[2; 10]);
        assert_eq!(sent(&outbox.send(10)), ["a"]);
        assert!(outbox.arrived(id));
        assert_eq!(sent(&outbox.send(10)), ["b"]);
    }

    #[test]
    fn another_account_has_another_outbox() {
        let shelf = Shelf::default();
        open(&shelf).push(room(1), "a".to_owned(), 10, &[1; 10]);
        assert!(Outbox::open(shelf, Box::new(Alone), Uuid::from_u128(8)).items().is_empty());
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
        /// The server tells that more happened in this room than it tells; among that what is under way, if it has taken it.
        Missed {
            room: usize,
            taken: bool,
        },
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
            1 => (0_usize..3, any::<bool>()).prop_map(|(room, taken)| Happening::Missed { room, taken }),
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
            let mut outbox = open(&shelf);
            let mut now = 10_000;
            let mut written: Vec<(usize, Uuid)> = Vec::new();
            let mut refused: Vec<Uuid> = Vec::new();
            // What the server's log has, and what it was asked and has not answered.
            let mut log: Vec<(usize, Uuid)> = Vec::new();
            let mut asked: BTreeMap<usize, Uuid> = BTreeMap::new();
            // No line is lost any more, and the clock is set back once: what was to wait until later than that has waited enough.
            let end = [0, LATER].into_iter().flat_map(|now| {
                let rest = (0..300).flat_map(|_| [Happening::Send, Happening::Takes { room: 0 }, Happening::Takes { room: 1 }, Happening::Takes { room: 2 }]);
                std::iter::once(Happening::Clock(now)).chain(rest)
            });
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
                        prop_assert!(asked.insert(n, id).is_none_or(|before| before == id), "two of a room under way");
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
                    Happening::Missed { room: n, taken } => {
                        if taken && let Some(id) = asked.remove(&n) && !log.contains(&(n, id)) { log.push((n, id)); }
                        outbox.missed(&room(n));
                    }
                    Happening::Busy { room } => if let Some(id) = asked.remove(&room) {
                        outbox.refused(id, &Refusal::Busy, String::new(), now);
                    },
                    // What is in the log already is answered as such, never refused.
                    Happening::Refuses { room } => if let Some(id) = asked.get(&room).copied() && !log.contains(&(room, id)) {
                        asked.remove(&room);
                        outbox.refused(id, &Refusal::NotMember, "no".to_owned(), now);
                        refused.push(id);
                    },
                    Happening::Reload => { asked.clear(); outbox = open(&shelf); }
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
