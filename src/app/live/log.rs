//! A room's log as this tab has it: what an event means for who shows it.
//!
//! The invariant: what is shown is what a page read from the server at the same `seq` would show, whatever was sent twice, lost
//! or out of turn on the way.

use crate::protocol::{Event, Seq};

/// What to do about an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Show it below the others.
    Show(Box<Event>),
    /// Nothing: it is there already, it waits for a page, or it is of a kind that is not shown.
    Nothing,
    /// Events are missing before it: ask the server to go on from [`Log::last`].
    Resume,
    /// The same events are missing after they were asked for: fetch the room anew.
    Fetch,
}

/// How far the log of one room has been followed.
#[derive(Clone, Debug)]
pub struct Log {
    last: Seq,
    /// Where a hole was found last: a server that leaves the same one again will not fill it.
    hole: Option<Seq>,
    /// While a page is being fetched: the events that may have to follow it.
    fetching: Option<Vec<Event>>,
}

/// A bound on what is kept while a page is being fetched; beyond it the hole that this makes is found and filled.
const HELD_MAX: usize = 2_000;

impl Log {
    /// A log of which everything up to `last` is shown.
    #[must_use]
    pub fn at(last: Seq) -> Self {
        Self { last, hole: None, fetching: None }
    }

    /// The last event that is shown, or known to be none that is.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// Whether a page is being fetched.
    #[must_use]
    pub fn is_fetching(&self) -> bool {
        self.fetching.is_some()
    }

    /// An event of this room's log. One of a kind that this build does not know (`None`) takes its place and shows nothing.
    pub fn apply(&mut self, seq: Seq, event: Option<Event>) -> Step {
        if let Some(held) = &mut self.fetching {
            if let Some(event) = event
                && held.len() < HELD_MAX
            {
                held.push(event);
            }
            return Step::Nothing;
        }
        if seq <= self.last {
            return Step::Nothing;
        }
        if seq > self.last.next() {
            if self.hole == Some(self.last) {
                return Step::Fetch;
            }
            self.hole = Some(self.last);
            return Step::Resume;
        }
        self.last = seq;
        event.map_or(Step::Nothing, |event| Step::Show(Box::new(event)))
    }

    /// The log is no longer whole: a page is being fetched, and what comes in until then waits. False when that was
    /// so already.
    pub fn fetch(&mut self) -> bool {
        if self.fetching.is_some() {
            return false;
        }
        self.fetching = Some(Vec::new());
        true
    }

    /// The page has come, the latest one of the room, read when `as_of` was its last event: everything to show from now on instead of what was shown.
    pub fn replace(&mut self, as_of: Seq, mut events: Vec<Event>) -> Vec<Event> {
        let held = self.fetching.take().unwrap_or_default();
        self.last = as_of;
        self.hole = None;
        for event in held {
            if let Some((_, seq)) = event.place()
                && seq == self.last.next()
            {
                self.last = seq;
                events.push(event);
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Membership, Message, Micros, Person, Slug};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn slug() -> Slug {
        Slug::new("tea").expect("a slug")
    }

    /// The event at `seq` of the room that the tests follow.
    fn event(seq: i64) -> Event {
        let by = Person { user: "ben".to_owned(), name: None };
        if seq % 7 == 3 {
            return Event::Joined(Membership { room: slug(), seq: Seq(seq), by, at: Micros(seq) });
        }
        let id = Uuid::from_u128(seq.unsigned_abs().into());
        Event::Message(Message { room: slug(), seq: Seq(seq), id, by, text: format!("no. {seq}"), at: Micros(seq) })
    }

    /// What a page read at `seq` shows.
    fn snapshot(seq: i64, most: i64) -> Vec<Event> {
        ((seq - most).max(0) + 1..=seq).map(event).collect()
    }

    /// What happens to someone who reads along.
    #[derive(Clone, Debug)]
    enum Happening {
        /// The next event of the log is written, and reaches the tab.
        Arrives,
        /// The next event of the log is written, and is lost.
        Lost,
        /// An event comes that has been there, or has been lost.
        Stray(i64),
        /// The server says that it has too much to replay.
        Limited,
        /// The page that was asked for comes.
        PageComes,
    }

    fn happenings() -> impl Strategy<Value = Vec<Happening>> {
        let one = prop_oneof![
            6 => Just(Happening::Arrives),
            1 => Just(Happening::Lost),
            1 => (1_i64..60).prop_map(Happening::Stray),
            1 => Just(Happening::Limited),
            2 => Just(Happening::PageComes),
        ];
        proptest::collection::vec(one, 0..80)
    }

    /// A tab, with what it shows.
    struct Tab {
        log: Log,
        shown: Vec<Event>,
    }

    impl Tab {
        fn receive(&mut self, seq: i64, newest: i64) {
            match self.log.apply(Seq(seq), Some(event(seq))) {
                Step::Show(event) => self.shown.push(*event),
                Step::Nothing => {}
                // The server goes on from where the tab is.
                Step::Resume => (self.log.last().0 + 1..=newest).for_each(|seq| self.receive(seq, newest)),
                Step::Fetch => {
                    self.log.fetch();
                }
            }
        }

        fn page(&mut self, newest: i64) {
            if self.log.is_fetching() {
                self.shown = self.log.replace(Seq(newest), snapshot(newest, 10));
            }
        }
    }

    proptest! {
        #[test]
        fn a_snapshot_and_the_events_after_it_are_a_later_snapshot(start in 0_i64..20, happenings in happenings()) {
            let mut newest = start;
            let mut tab = Tab { log: Log::at(Seq(start)), shown: snapshot(start, 10) };
            for happening in happenings {
                match happening {
                    Happening::Arrives => {
                        newest += 1;
                        tab.receive(newest, newest);
                    }
                    Happening::Lost => newest += 1,
                    Happening::Stray(seq) if seq <= newest => tab.receive(seq, newest),
                    Happening::Stray(_) => {}
                    Happening::Limited => {
                        tab.log.fetch();
                    }
                    Happening::PageComes => tab.page(newest),
                }
            }
            tab.page(newest);
            newest += 1;
            tab.receive(newest, newest);
            let first = tab.shown.first().and_then(Event::place).map_or(newest + 1, |(_, seq)| seq.0);
            let expected: Vec<Event> = (first..=newest).map(event).collect();
            prop_assert_eq!(tab.shown, expected);
            prop_assert_eq!(tab.log.last(), Seq(newest));
        }
    }

    #[test]
    fn a_hole_that_is_not_filled_ends_in_a_new_page() {
        let mut log = Log::at(Seq(4));
        assert_eq!(log.apply(Seq(6), Some(event(6))), Step::Resume);
        assert_eq!(log.apply(Seq(6), Some(event(6))), Step::Fetch);
        assert!(log.fetch());
        assert!(!log.fetch(), "one page at a time");
        assert_eq!(log.apply(Seq(7), Some(event(7))), Step::Nothing);
        assert_eq!(log.replace(Seq(6), snapshot(6, 3)), [event(4), event(5), event(6), event(7)]);
        assert_eq!(log.last(), Seq(7));
    }

    #[test]
    fn what_this_build_does_not_know_takes_its_place() {
        let mut log = Log::at(Seq(4));
        assert_eq!(log.apply(Seq(5), None), Step::Nothing);
        assert_eq!(log.apply(Seq(6), Some(event(6))), Step::Show(Box::new(event(6))));
    }
}
