//! Whose turn it is to send: one tab's at a time, of all that one browser has open for an account.
//!
//! The invariant: of each room at most one message is under way, in all tabs together, and it is the first of those that wait,
//! whichever tab it was written in. What waits is kept where all tabs see it ([`super::outbox`]); who has the turn sends for
//! all, and gives it back when nothing waits any more, when its line is lost, and when its page is left.
//!
//! One that gets nothing done for [`PATIENCE`] loses its turn to whoever asks: it may be asleep, or its line dead without knowing
//! it. Then two may have asked the server to take the same message, which does no harm: it takes it once. The next one
//! goes out only after that.
//!
//! A browser has locks that its tabs share ([`ByLock`]), but only for pages that came over a secure connection; on others the
//! turn is a lease in the storage ([`Lease`]).

use uuid::Uuid;

use super::outbox::Storage;

/// What the names of turns begin with: the account's id follows.
pub const TURN: &str = "snug.turn.";

/// How long a tab may have the turn without getting anything done, in milliseconds.
pub const PATIENCE: u64 = 5_000;

/// How long a lease stands before it is believed, in milliseconds: until then another tab that saw none either may have
/// written over it.
const PAUSE: u64 = 60;

/// How long a tab that has nothing to send any more keeps its lock, in milliseconds: a lock is handed on sooner than the others
/// see in the storage what has become of the last message.
const LINGER: u64 = 100;

/// How long one whose lease ended while it was waiting for an answer lets others go first, in milliseconds. Timers of tabs that
/// nobody looks at run once in a second.
const AFTER_YOU: u64 = 1_500;

/// The turn, as one tab sees it. `now` is in milliseconds since 1970, everywhere.
pub trait Turn {
    /// Asks for it, or goes on asking: true when it is this tab's. `first` is what waits to be sent first of all; as long as it
    /// stays the same, nobody gets anything done.
    fn take(&mut self, now: u64, first: Uuid) -> bool;
    /// Something was sent.
    fn used(&mut self, now: u64);
    /// Nothing waits now.
    fn idle(&mut self, now: u64);
    /// Whatever waits, it is not for this tab to send it.
    fn give_back(&mut self);
    /// When to send again, if nothing happens until then.
    fn due(&self) -> Option<u64>;
}

/// A lock that the browser gives to one tab at a time, in the order in which they ask, and takes from tabs that are closed.
pub trait Lock {
    fn is_held(&self) -> bool;
    /// Asks for it, unless that was done; with `steal` it is taken at once from whichever tab has it.
    fn request(&mut self, steal: bool);
    /// Gives it back, and does not want it any more.
    fn release(&mut self);
}

/// The turn by a lock.
pub struct ByLock<L> {
    lock: L,
    /// Since when what waits has been the same.
    asked: Option<(u64, Uuid)>,
    /// Since when nothing waits.
    idle: Option<u64>,
}

impl<L: Lock> ByLock<L> {
    pub fn new(lock: L) -> Self {
        Self { lock, asked: None, idle: None }
    }
}

impl<L: Lock> Turn for ByLock<L> {
    fn take(&mut self, now: u64, first: Uuid) -> bool {
        self.idle = None;
        if self.lock.is_held() {
            self.asked = None;
            return true;
        }
        match self.asked {
            // `since` is later where the clock was set back.
            Some((since, unmoved)) if unmoved == first && since <= now && now < since + PATIENCE => return false,
            Some((since, unmoved)) => self.lock.request(unmoved == first && since <= now),
            None => self.lock.request(false),
        }
        self.asked = Some((now, first));
        self.lock.is_held()
    }

    fn used(&mut self, _now: u64) {}

    fn idle(&mut self, now: u64) {
        let since = *self.idle.get_or_insert(now);
        if !self.lock.is_held() || now < since || now - since >= LINGER {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        self.asked = None;
        self.idle = None;
        self.lock.release();
    }

    fn due(&self) -> Option<u64> {
        self.idle.map(|since| since + LINGER).or(self.asked.map(|(since, _)| since + PATIENCE))
    }
}

/// The turn by a lease: a key of the storage that names a tab, and until when, [`PATIENCE`] after it was last used.
pub struct Lease<S> {
    storage: S,
    key: String,
    /// This tab's name, unlike any other's.
    me: String,
    stand: Stand,
}

/// How a tab stands with the lease.
#[derive(Clone, Copy)]
enum Stand {
    /// It does not want it.
    Apart,
    /// Another tab has it, until then.
    Behind(u64),
    /// It had it and got nothing done: until then any other may have it.
    Rests(u64),
    /// It has written its name, then.
    Claims(u64),
    Has,
}

impl<S: Storage> Lease<S> {
    pub fn new(storage: S, key: String, me: String) -> Self {
        Self { storage, key, me, stand: Stand::Apart }
    }

    /// Whether the lease is this tab's, and until when; none when it is nobody's.
    fn read(&self, now: u64) -> Option<(bool, u64)> {
        let lease = self.storage.get(&self.key)?;
        let (who, until) = lease.split_once(' ')?;
        let until = until.parse().ok()?;
        // One that ends later than any can was written before the clock was set back.
        (until > now && until <= now + PATIENCE).then_some((who == self.me, until))
    }

    /// Whether the lease has this tab's name, ended or not.
    fn is_named(&self) -> bool {
        self.storage.get(&self.key).is_some_and(|lease| lease.starts_with(&self.me))
    }

    fn write(&mut self, now: u64) -> bool {
        let lease = format!("{} {}", self.me, now + PATIENCE);
        self.storage.set(&self.key, &lease)
    }
}

impl<S: Storage> Turn for Lease<S> {
    fn take(&mut self, now: u64, _first: Uuid) -> bool {
        self.stand = match (self.read(now), self.stand) {
            (Some((true, _)), Stand::Has) => Stand::Has,
            (Some((true, _)), Stand::Claims(at)) if now >= at + PAUSE => Stand::Has,
            (Some((true, _)), Stand::Claims(at)) if now >= at => Stand::Claims(at),
            (Some((false, until)), _) => Stand::Behind(until),
            (None, Stand::Has) if self.is_named() => Stand::Rests(now + AFTER_YOU),
            (None, Stand::Rests(until)) if now < until && until <= now + AFTER_YOU => Stand::Rests(until),
            _ if self.write(now) => Stand::Claims(now),
            // What keeps no lease keeps no messages either: what this tab has is its own.
            _ => Stand::Has,
        };
        matches!(self.stand, Stand::Has)
    }

    fn used(&mut self, now: u64) {
        self.write(now);
    }

    fn idle(&mut self, _now: u64) {
        self.give_back();
    }

    fn give_back(&mut self) {
        if let Stand::Claims(_) | Stand::Has = self.stand
            && self.is_named()
        {
            self.storage.remove(&self.key);
        }
        self.stand = Stand::Apart;
    }

    fn due(&self) -> Option<u64> {
        match self.stand {
            Stand::Apart | Stand::Has => None,
            Stand::Behind(until) | Stand::Rests(until) => Some(until),
            Stand::Claims(at) => Some(at + PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::Full;
    use super::super::outbox::tests::{Shelf, room, user};
    use super::super::outbox::{Outbox, State};
    use super::*;
    use crate::protocol::{Command, Refusal};
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::collections::{BTreeMap, VecDeque};
    use std::rc::Rc;

    /// Any message.
    const FIRST: Uuid = Uuid::from_u128(1);
    const SECOND: Uuid = Uuid::from_u128(2);

    fn lease(shelf: &Shelf, me: &str) -> Lease<Shelf> {
        Lease::new(shelf.clone(), "snug.turn.x".to_owned(), me.to_owned())
    }

    #[test]
    fn a_lease_is_believed_after_a_pause_and_free_when_it_is_given_back() {
        let shelf = Shelf::default();
        let (mut one, mut other) = (lease(&shelf, "one"), lease(&shelf, "other"));
        assert!(!one.take(1_000, FIRST));
        assert_eq!(one.due(), Some(1_000 + PAUSE));
        assert!(!one.take(1_000 + PAUSE - 1, FIRST));
        assert!(one.take(1_000 + PAUSE, FIRST));
        assert!(!other.take(1_100, FIRST));
        assert_eq!(other.due(), Some(1_000 + PATIENCE));
        one.give_back();
        assert!(!other.take(1_200, FIRST));
        assert!(other.take(1_200 + PAUSE, FIRST));
        one.give_back();
        assert!(other.take(1_300, FIRST), "nobody gives back what is another's");
    }

    #[test]
    fn of_two_who_saw_no_lease_the_one_who_wrote_last_has_it() {
        let shelf = Shelf::default();
        let (mut one, mut other) = (lease(&shelf, "one"), lease(&shelf, "other"));
        one.take(1_000, FIRST);
        let seen_by_one = shelf.0.borrow().clone();
        // The other one wrote at the same moment.
        shelf.0.borrow_mut().clear();
        other.take(1_001, FIRST);
        assert!(!one.take(1_000 + PAUSE, FIRST));
        assert!(other.take(1_001 + PAUSE, FIRST));
        assert_ne!(*shelf.0.borrow(), seen_by_one);
    }

    #[test]
    fn a_lease_that_is_used_stays_and_one_that_is_not_ends() {
        let shelf = Shelf::default();
        let (mut one, mut other) = (lease(&shelf, "one"), lease(&shelf, "other"));
        one.take(0, FIRST);
        assert!(one.take(PAUSE, FIRST));
        one.used(4_000);
        assert!(!other.take(PATIENCE + 100, FIRST));
        assert!(!other.take(4_000 + PATIENCE, FIRST));
        assert!(!one.take(4_000 + PATIENCE + 1, FIRST), "it is the other's, who has claimed it");
        assert!(other.take(4_000 + PATIENCE + PAUSE, FIRST));
    }

    #[test]
    fn one_who_got_nothing_done_lets_another_go_first_and_goes_on_when_there_is_none() {
        let shelf = Shelf::default();
        let (mut one, mut other) = (lease(&shelf, "one"), lease(&shelf, "other"));
        one.take(0, FIRST);
        assert!(one.take(PAUSE, FIRST));
        assert!(!one.take(PATIENCE, FIRST));
        assert_eq!(one.due(), Some(PATIENCE + AFTER_YOU));
        assert!(!other.take(PATIENCE + 1_000, FIRST));
        assert!(!one.take(PATIENCE + AFTER_YOU, FIRST));
        assert!(other.take(PATIENCE + AFTER_YOU, FIRST));
        drop(other);
        let ends = 2 * PATIENCE + 1_000;
        assert_eq!(one.due(), Some(ends));
        assert!(!one.take(ends, FIRST));
        assert!(one.take(ends + PAUSE, FIRST));
    }

    #[test]
    fn where_nothing_can_be_kept_every_tab_is_by_itself() {
        let mut lease = Lease::new(Full, "snug.turn.x".to_owned(), "one".to_owned());
        assert!((0..3).all(|now| lease.take(now, FIRST)));
    }

    #[test]
    fn a_lease_from_before_the_clock_was_set_back_holds_nobody_up() {
        let shelf = Shelf::default();
        lease(&shelf, "one").take(1_000_000, FIRST);
        let mut other = lease(&shelf, "other");
        assert!(!other.take(5_000, FIRST));
        assert!(other.take(5_000 + PAUSE, FIRST));
    }

    #[test]
    fn a_lock_is_asked_for_once_and_stolen_from_one_that_gets_nothing_done() {
        let locks = Locks::default();
        let (mut one, mut other) = (ByLock::new(locks.of(1)), ByLock::new(locks.of(2)));
        assert!(!one.take(0, FIRST));
        locks.grant();
        assert!(one.take(1, FIRST));
        assert!(!other.take(1, FIRST));
        assert_eq!(other.due(), Some(1 + PATIENCE));
        assert!(!other.take(PATIENCE, FIRST));
        assert!(!other.take(PATIENCE + 1, SECOND), "the first was sent meanwhile");
        assert!(!other.take(2 * PATIENCE, SECOND));
        assert!(other.take(2 * PATIENCE + 1, SECOND));
        assert!(!one.take(2 * PATIENCE + 1, SECOND));
        other.give_back();
        locks.grant();
        assert!(one.take(2 * PATIENCE + 2, SECOND));
    }

    #[test]
    fn a_lock_is_kept_for_a_moment_after_the_last_message() {
        let locks = Locks::default();
        let mut turn = ByLock::new(locks.of(1));
        turn.take(0, FIRST);
        locks.grant();
        assert!(turn.take(1, FIRST));
        turn.idle(10);
        assert_eq!(turn.due(), Some(10 + LINGER));
        assert!(turn.take(20, SECOND));
        turn.idle(30);
        turn.idle(30 + LINGER - 1);
        assert!(turn.lock.is_held());
        turn.idle(30 + LINGER);
        assert!(!turn.lock.is_held());
        assert_eq!(turn.due(), None);
    }

    fn step(world: &mut World, what: Happening, at: usize) {
        world.happens(what, at, 0).expect("as it should");
    }

    /// Tabs of which the first has written something, and asked the server to take it.
    fn with_one_under_way(by_lease: bool) -> World {
        let mut world = World::new(by_lease, true);
        step(&mut world, Happening::Write, 0);
        for _ in 0..2 {
            step(&mut world, Happening::Clock(PAUSE), 0);
            step(&mut world, Happening::Grant, 0);
            step(&mut world, Happening::Timer, 0);
        }
        assert_eq!(world.tabs[0].as_ref().expect("open").asked.len(), 1);
        world
    }

    #[test]
    fn one_whose_line_is_lost_holds_nobody_up() {
        for by_lease in [false, true] {
            let mut world = with_one_under_way(by_lease);
            step(&mut world, Happening::TakesAndLineIsLost, 0);
            step(&mut world, Happening::Write, 0);
            step(&mut world, Happening::Hears, 1);
            for _ in 0..2 {
                step(&mut world, Happening::Clock(PAUSE), 0);
                step(&mut world, Happening::Grant, 0);
                step(&mut world, Happening::Timer, 1);
                step(&mut world, Happening::Takes, 1);
            }
            assert_eq!(world.log, world.written);
        }
    }

    #[test]
    fn what_was_missed_is_sent_again_by_the_tab_whose_turn_it_is() {
        for by_lease in [false, true] {
            let mut world = with_one_under_way(by_lease);
            step(&mut world, Happening::Hears, 1);
            let under_way = world.tabs[0].as_ref().expect("open").asked.clone();
            step(&mut world, Happening::TakesAndTellsNobody, 0);
            let asked = |world: &World, at: usize| world.tabs[at].as_ref().expect("open").asked.clone();
            assert_eq!(asked(&world, 0), under_way, "the same, at once");
            assert!(asked(&world, 1).is_empty(), "and nobody else, who knows of it");
            step(&mut world, Happening::Takes, 0);
            assert!(world.tabs.iter().flatten().all(|tab| tab.outbox.items().is_empty()));
            assert_eq!(world.log, world.written, "it is there once");
        }
    }

    /// The browser's lock, for the tabs of one browser.
    #[derive(Clone, Debug, Default)]
    struct Locks(Rc<RefCell<Queue>>);

    #[derive(Debug, Default)]
    struct Queue {
        holder: Option<u32>,
        asking: VecDeque<u32>,
    }

    /// One tab's end of it.
    struct End {
        locks: Locks,
        tab: u32,
    }

    impl Locks {
        fn of(&self, tab: u32) -> End {
            End { locks: self.clone(), tab }
        }

        /// The next one has it, if nobody has: which tab that is.
        fn grant(&self) -> Option<u32> {
            let mut queue = self.0.borrow_mut();
            if queue.holder.is_some() {
                return None;
            }
            queue.holder = queue.asking.pop_front();
            queue.holder
        }
    }

    impl Lock for End {
        fn is_held(&self) -> bool {
            self.locks.0.borrow().holder == Some(self.tab)
        }
        fn request(&mut self, steal: bool) {
            let mut queue = self.locks.0.borrow_mut();
            if steal {
                queue.holder = Some(self.tab);
            } else if !queue.asking.contains(&self.tab) {
                queue.asking.push_back(self.tab);
            }
        }
        fn release(&mut self) {
            let mut queue = self.locks.0.borrow_mut();
            queue.asking.retain(|tab| *tab != self.tab);
            if queue.holder == Some(self.tab) {
                queue.holder = None;
            }
        }
    }

    impl Drop for End {
        fn drop(&mut self) {
            self.release();
        }
    }

    const TABS: usize = 3;
    const ROOMS: usize = 2;

    struct Tab {
        name: u32,
        outbox: Outbox<Shelf>,
        line: bool,
        /// What the server was asked to take on this line and has not answered, by room.
        asked: BTreeMap<usize, Uuid>,
    }

    /// Tabs of one browser, the server, and the lines between them.
    struct World {
        by_lease: bool,
        /// Whether nobody has the turn for so long that it may be taken from them: then none are ever under way together.
        brisk: bool,
        shelf: Shelf,
        locks: Locks,
        now: u64,
        /// How many tabs there have been.
        opened: u32,
        tabs: Vec<Option<Tab>>,
        written: Vec<(usize, Uuid)>,
        log: Vec<(usize, Uuid)>,
        refused: Vec<Uuid>,
    }

    /// What happens, in which tab and room.
    #[derive(Clone, Debug)]
    enum Happening {
        Write,
        /// A timer of the tab.
        Timer,
        /// The tab hears what others have changed in the storage, and by the server's answer what has become of that.
        Hears,
        Grant,
        /// The server takes what is under way; the others hear of it.
        Takes,
        TakesAndLineIsLost,
        /// The server takes what is under way, and so much more happens that no tab is told of it, but of that.
        TakesAndTellsNobody,
        Busy,
        Refuses,
        LineIsLost,
        LineIsBack,
        /// The tab is gone, without a farewell.
        Closes,
        Opens,
        Clock(u64),
    }

    impl World {
        fn new(by_lease: bool, brisk: bool) -> Self {
            let mut world = Self {
                by_lease,
                brisk,
                shelf: Shelf::default(),
                locks: Locks::default(),
                now: 100_000,
                opened: 0,
                tabs: Vec::new(),
                written: Vec::new(),
                log: Vec::new(),
                refused: Vec::new(),
            };
            world.tabs = (0..TABS).map(|_| Some(world.open())).collect();
            world
        }

        fn open(&mut self) -> Tab {
            self.opened += 1;
            let name = self.opened;
            let turn: Box<dyn Turn> = if self.by_lease {
                Box::new(lease(&self.shelf, &format!("tab-{name}.")))
            } else {
                Box::new(ByLock::new(self.locks.of(name)))
            };
            Tab { name, outbox: Outbox::open(self.shelf.clone(), turn, user()), line: true, asked: BTreeMap::new() }
        }

        /// Whether the server has answered for it, or will not any more.
        fn is_done(&self, id: Uuid) -> bool {
            self.refused.contains(&id) || self.log.iter().any(|(_, logged)| *logged == id)
        }

        fn flush(&mut self, at: usize) -> Result<(), TestCaseError> {
            let now = self.now;
            let Some(tab) = self.tabs[at].as_mut().filter(|tab| tab.line) else { return Ok(()) };
            for command in tab.outbox.send(now) {
                let Command::Send { room: slug, id, .. } = command else { continue };
                let n = (0..ROOMS).find(|n| room(*n) == slug).expect("one of the rooms");
                let before = self.written.iter().take_while(|(_, other)| *other != id).filter(|(other, _)| *other == n);
                for (_, other) in before {
                    prop_assert!(self.is_done(*other), "one was sent before its turn");
                }
                for (tab, other) in self.tabs.iter().enumerate().filter_map(|(tab, it)| Some((tab, it.as_ref()?.asked.get(&n)?)))
                {
                    // A tab that has missed its answer asks again.
                    prop_assert!(tab == at || !self.brisk, "two of a room under way");
                    prop_assert!(*other == id || self.is_done(*other), "two of a room under way, and not the same");
                }
                self.tabs[at].as_mut().expect("open").asked.insert(n, id);
            }
            Ok(())
        }

        /// The server takes what is under way on the tab's line.
        fn take(&mut self, at: usize, n: usize) -> Option<Uuid> {
            let id = self.tabs[at].as_mut()?.asked.remove(&n)?;
            if !self.is_done(id) {
                self.log.push((n, id));
            }
            Some(id)
        }

        fn lose(&mut self, at: usize) {
            if let Some(tab) = &mut self.tabs[at] {
                tab.line = false;
                tab.asked.clear();
                tab.outbox.line_lost();
            }
        }

        fn happens(&mut self, what: Happening, at: usize, n: usize) -> Result<(), TestCaseError> {
            let now = self.now;
            match what {
                Happening::Write => {
                    let number = u8::try_from(self.written.len()).unwrap_or_default();
                    let Some(tab) = &mut self.tabs[at] else { return Ok(()) };
                    let id = tab.outbox.push(room(n), number.to_string(), now, &[number; 10]);
                    self.written.push((n, id));
                    self.flush(at)
                }
                Happening::Timer => self.flush(at),
                Happening::Hears => {
                    let keys: Vec<String> = self.shelf.0.borrow().keys().cloned().collect();
                    let Some(tab) = &mut self.tabs[at] else { return Ok(()) };
                    let gone: Vec<String> =
                        tab.outbox.items().iter().map(|item| format!("snug.out.{}.{}", user(), item.id)).collect();
                    let heard = keys.into_iter().chain(gone).filter(|key| tab.outbox.changed_elsewhere(key)).count();
                    if heard == 0 {
                        return Ok(());
                    }
                    self.flush(at)?;
                    let Some(tab) = &mut self.tabs[at] else { return Ok(()) };
                    for item in tab.outbox.items().iter().filter(|item| item.state == State::Elsewhere) {
                        prop_assert!(
                            self.log.iter().any(|(_, logged)| *logged == item.id),
                            "nothing is said to be sent that is not"
                        );
                    }
                    if tab.line && tab.outbox.take_unheard() {
                        tab.outbox.caught_up(None);
                    }
                    Ok(())
                }
                Happening::Grant => {
                    let Some(name) = self.locks.grant() else { return Ok(()) };
                    let at = self.tabs.iter().position(|tab| tab.as_ref().is_some_and(|tab| tab.name == name));
                    self.flush(at.expect("who is gone asks for nothing"))
                }
                Happening::Takes => {
                    let Some(id) = self.take(at, n) else { return Ok(()) };
                    let refused = self.refused.contains(&id);
                    for (other, tab) in self.tabs.iter_mut().enumerate() {
                        let Some(tab) = tab.as_mut().filter(|tab| tab.line) else { continue };
                        if !refused {
                            tab.outbox.arrived(id);
                        } else if other == at {
                            tab.outbox.refused(id, &Refusal::NotMember, "no".to_owned(), now);
                        }
                    }
                    self.flush(at)
                }
                Happening::TakesAndLineIsLost => {
                    self.take(at, n);
                    self.lose(at);
                    Ok(())
                }
                Happening::TakesAndTellsNobody => {
                    self.take(at, n);
                    for at in 0..TABS {
                        let tab = self.tabs[at].as_mut().filter(|tab| tab.line);
                        if tab.is_some_and(|tab| tab.outbox.missed(&room(n))) {
                            self.flush(at)?;
                        }
                    }
                    Ok(())
                }
                Happening::Busy => {
                    let Some(tab) = &mut self.tabs[at] else { return Ok(()) };
                    if let Some(id) = tab.asked.remove(&n) {
                        tab.outbox.refused(id, &Refusal::Busy, String::new(), now);
                    }
                    Ok(())
                }
                Happening::Refuses => {
                    let Some(id) = self.tabs[at].as_ref().and_then(|tab| tab.asked.get(&n).copied()) else { return Ok(()) };
                    // What is in the log already is answered as such, never refused.
                    if !self.is_done(id) {
                        self.refused.push(id);
                    }
                    self.happens(Happening::Takes, at, n)
                }
                Happening::LineIsLost => {
                    self.lose(at);
                    Ok(())
                }
                Happening::LineIsBack => {
                    if let Some(tab) = &mut self.tabs[at] {
                        tab.line = true;
                        tab.outbox.adopt();
                        // Everything that was missed is told again.
                        for (_, id) in &self.log {
                            tab.outbox.arrived(*id);
                        }
                    }
                    self.flush(at)
                }
                Happening::Closes => {
                    self.tabs[at] = None;
                    Ok(())
                }
                Happening::Opens => {
                    if self.tabs[at].is_none() {
                        let tab = self.open();
                        self.tabs[at] = Some(tab);
                    }
                    self.flush(at)
                }
                Happening::Clock(on) => {
                    self.now += on;
                    Ok(())
                }
            }
        }
    }

    fn happenings(longest: u64) -> impl Strategy<Value = Vec<(Happening, usize, usize)>> {
        let what = prop_oneof![
            5 => Just(Happening::Write),
            4 => Just(Happening::Timer),
            4 => Just(Happening::Hears),
            5 => Just(Happening::Grant),
            6 => Just(Happening::Takes),
            1 => Just(Happening::TakesAndLineIsLost),
            1 => Just(Happening::TakesAndTellsNobody),
            1 => Just(Happening::Busy),
            1 => Just(Happening::Refuses),
            1 => Just(Happening::LineIsLost),
            2 => Just(Happening::LineIsBack),
            1 => Just(Happening::Closes),
            1 => Just(Happening::Opens),
            6 => (1..longest).prop_map(Happening::Clock),
        ];
        proptest::collection::vec((what, 0..TABS, 0..ROOMS), 0..160)
    }

    /// Whatever has happened: one tab with a good line is enough. One of the others has none, and the last wants its turn too
    /// and gets no answer.
    fn and_then_all_is_sent(mut world: World) -> Result<(), TestCaseError> {
        world.brisk = false;
        world.happens(Happening::Opens, 0, 0)?;
        world.happens(Happening::LineIsBack, 0, 0)?;
        world.happens(Happening::LineIsLost, 1, 0)?;
        for _ in 0..2 * world.written.len() + 20 {
            world.happens(Happening::Clock(PATIENCE / 2), 0, 0)?;
            for at in (0..TABS).rev() {
                world.happens(Happening::Hears, at, 0)?;
                world.happens(Happening::Timer, at, 0)?;
            }
            for _ in 0..3 {
                world.happens(Happening::Clock(PAUSE), 0, 0)?;
                world.happens(Happening::Grant, 0, 0)?;
                world.happens(Happening::Timer, 0, 0)?;
                (0..ROOMS).try_for_each(|n| world.happens(Happening::Takes, 0, n))?;
            }
        }
        for n in 0..ROOMS {
            let expected: Vec<Uuid> =
                world.written.iter().filter(|(at, id)| *at == n && !world.refused.contains(id)).map(|(_, id)| *id).collect();
            let got: Vec<Uuid> = world.log.iter().filter(|(at, _)| *at == n).map(|(_, id)| *id).collect();
            prop_assert_eq!(got, expected);
        }
        for at in 0..TABS {
            world.happens(Happening::LineIsBack, at, 0)?;
            world.happens(Happening::Hears, at, 0)?;
            let Some(tab) = &world.tabs[at] else { continue };
            prop_assert!(tab.outbox.items().iter().all(|item| matches!(item.state, State::Refused(_))));
            prop_assert_eq!(tab.outbox.items().len(), world.refused.len(), "what was refused stays, in every tab");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn one_of_a_room_is_under_way_in_all_tabs_together(by_lease: bool, happenings in happenings(30)) {
            let mut world = World::new(by_lease, true);
            for (what, at, n) in happenings {
                world.happens(what, at, n)?;
            }
            and_then_all_is_sent(world)?;
        }

        #[test]
        fn nothing_is_lost_doubled_or_out_of_order_also_when_tabs_sleep_on_their_turn(by_lease: bool, happenings in happenings(4_000)) {
            let mut world = World::new(by_lease, false);
            for (what, at, n) in happenings {
                world.happens(what, at, n)?;
            }
            and_then_all_is_sent(world)?;
        }
    }
}
