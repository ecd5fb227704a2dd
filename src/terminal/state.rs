//! What one knows of the chat, and what each thing that happens changes about it. Nothing here waits, asks a clock or a network:
//! what has to be done comes out as [`Ask`]s.
//!
//! The invariant is the browser's, and so are the parts that keep it ([`Log`], [`Outbox`], [`Rooms`]): what is shown of a room is what
//! a page read at the same `seq` would show, and what was written arrives once and in order, whatever happens to the line.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uuid::Uuid;

use super::rest::Page;
use crate::app::live::log::{Log, Step};
use crate::app::live::outbox::{Alone, Full, Item, Outbox, State as Sending};
use crate::app::live::rooms::Rooms;
use crate::protocol::api::{Logged, Messages, Room};
use crate::protocol::{Command, Event, Person, Presence, Refusal, RoomItem, RoomState, Seq, Slug, VERSION};

/// Events of a room that are kept at its end; what is before them can be fetched again.
const KEPT: usize = 2_000;

/// An event, with its place in a room's log even where its kind is unknown.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub event: Event,
    pub place: Option<(Slug, Seq)>,
}

impl From<Event> for Incoming {
    fn from(event: Event) -> Self {
        let place = event.place().map(|(room, seq)| (room.clone(), seq));
        Self { event, place }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To be said on the line.
    Say(Command),
    /// To be read by REST, and given to [`State::fetched`] with this number.
    Fetch { room: Slug, page: Page, asked: u32 },
    /// To be read by REST, and given to [`State::told_about`].
    About(Slug),
    /// The same in a moment.
    AboutSoon(Slug),
    /// To be told to whoever sits there.
    Tell(String),
    /// The server speaks a later version of the protocol: nothing more can be understood.
    TooOld(u32),
}

/// What becomes of a room of which more was missed than is told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// Its end is shown instead of what was shown, as on a page.
    End,
    /// All of what is missing is read, page by page: what was printed stays printed.
    All,
}

/// A room whose log is followed.
#[derive(Debug)]
pub struct Followed {
    log: Log,
    /// The database that the log is of; none until a page has come.
    epoch: Option<Uuid>,
    /// How often a page at its end was asked for: an answer to an earlier question does not count.
    asked: u32,
    /// How far pages have come that fill a hole.
    filled: Seq,
    /// What is shown, by `seq`.
    pub events: VecDeque<Event>,
    /// There is more before the first of these.
    pub older: Option<Seq>,
    paging: bool,
    /// Whether a page has come: until then nothing is known of the room, not even that it is empty.
    pub loaded: bool,
    /// What was unread when the room was turned to begins after this.
    pub read: Option<Seq>,
    /// What the server says of the room.
    pub about: Option<Room>,
    /// The first of its members, by username.
    pub members: Vec<Person>,
    /// Why it cannot be shown.
    pub refused: Option<String>,
}

impl Followed {
    fn new() -> Self {
        let mut log = Log::at(Seq::ZERO);
        log.fetch();
        Self {
            log,
            epoch: None,
            asked: 0,
            filled: Seq::ZERO,
            events: VecDeque::new(),
            older: None,
            paging: false,
            loaded: false,
            read: None,
            about: None,
            members: Vec::new(),
            refused: None,
        }
    }

    /// The last event that is shown.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.log.last()
    }

    /// Lets go of what is far above the end: it can be fetched again.
    fn trim(&mut self) {
        // In one go, so that it does not happen with every event.
        if self.events.len() > 2 * KEPT {
            self.events.drain(..self.events.len() - KEPT);
            self.older = self.events.front().and_then(Event::place).map(|(_, seq)| seq);
        }
    }
}

/// Everything that is known.
pub struct State {
    /// One's username.
    pub me: String,
    filling: Filling,
    epoch: Option<Uuid>,
    /// The rooms whose last event the last `hello` named.
    named: BTreeSet<Slug>,
    /// Whether the server has welcomed this socket.
    ready: bool,
    pub rooms: Rooms,
    /// Rooms of which something is missing in the count of what is unread; it has been asked for.
    uncounted: BTreeSet<Slug>,
    followed: BTreeMap<Slug, Followed>,
    current: Option<Slug>,
    /// Of the room that is looked at.
    pub presence: Option<Presence>,
    /// Kept nowhere but in this process, whose person sees what waits.
    outbox: Outbox<Full>,
}

impl State {
    #[must_use]
    pub fn new(me: String, id: Uuid, filling: Filling) -> Self {
        let outbox = Outbox::open(Full, Box::new(Alone), id);
        Self {
            me,
            filling,
            epoch: None,
            named: BTreeSet::new(),
            ready: false,
            rooms: Rooms::default(),
            uncounted: BTreeSet::new(),
            followed: BTreeMap::new(),
            current: None,
            presence: None,
            outbox,
        }
    }

    /// Whether the server is there and has welcomed us.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The room on the screen.
    #[must_use]
    pub fn current(&self) -> Option<&Slug> {
        self.current.as_ref()
    }

    /// The log of the room on the screen.
    #[must_use]
    pub fn open(&self) -> Option<&Followed> {
        self.followed.get(self.current.as_ref()?)
    }

    /// The events of the room on the screen that have not been taken yet.
    pub fn take_events(&mut self) -> Vec<Event> {
        let open = self.current.as_ref().and_then(|room| self.followed.get_mut(room));
        open.map(|open| open.events.drain(..).collect()).unwrap_or_default()
    }

    /// What has been written and has not arrived.
    #[must_use]
    pub fn waiting(&self) -> &[Item] {
        self.outbox.items()
    }

    /// How many of those may still arrive.
    #[must_use]
    pub fn on_their_way(&self) -> usize {
        self.outbox.items().iter().filter(|item| !matches!(item.state, Sending::Refused(_))).count()
    }

    /// When something is to be sent again: call [`Self::send`] then. Both are in milliseconds since 1970.
    #[must_use]
    pub fn due(&self, now: u64) -> Option<u64> {
        self.outbox.due(now).filter(|_| self.ready)
    }

    // The line

    /// A socket stands: what to say first.
    #[must_use]
    pub fn hello(&mut self) -> Command {
        self.ready = false;
        let whole = self.followed.iter().filter(|(_, room)| !room.log.is_fetching() && room.epoch == self.epoch);
        let rooms: BTreeMap<_, _> = whole.map(|(slug, room)| (slug.clone(), room.log.last())).collect();
        self.named = rooms.keys().cloned().collect();
        Command::Hello { rooms, epoch: self.epoch, look: self.current.clone() }
    }

    /// The socket is gone.
    pub fn lost(&mut self) {
        self.ready = false;
        self.presence = None;
        self.outbox.line_lost();
    }

    /// The server says something. `now` is in milliseconds since 1970, here and below.
    pub fn hear(&mut self, incoming: Incoming, now: u64) -> Vec<Ask> {
        let mut asks = Vec::new();
        match incoming.event {
            Event::Welcome { version, .. } if version > VERSION => asks.push(Ask::TooOld(version)),
            Event::Welcome { epoch, rooms, .. } => self.welcome(epoch, &rooms, now, &mut asks),
            // Before the welcome, nothing is where the hello said: it comes again. But it is an answer, and the only one.
            event if !self.ready && incoming.place.is_some() => {
                if let Event::Message(message) = event
                    && message.by.user == self.me
                {
                    self.outbox.arrived(message.id);
                }
            }
            event @ (Event::Message(_) | Event::Joined(_) | Event::Left(_) | Event::Closed(_) | Event::Reopened(_)) => {
                self.logged(event, now, &mut asks);
            }
            Event::Sent { id, .. } => {
                self.outbox.arrived(id);
                asks.extend(self.send(now));
            }
            event @ Event::Read { .. } => self.rooms.apply(&event, &self.me),
            Event::Presence(presence) => {
                if self.current.as_ref() == Some(&presence.room) {
                    self.presence = Some(presence);
                }
            }
            Event::Limited { room, to, .. } => {
                if self.rooms.missed(&room, to) {
                    self.uncounted.insert(room.clone());
                    asks.push(Ask::About(room.clone()));
                }
                self.missed(&room, now, &mut asks);
            }
            Event::Error { id: Some(id), why, message, .. } => {
                if self.outbox.refused(id, &why, message, now) {
                    asks.extend(self.send(now));
                }
            }
            Event::Error { room: Some(room), why: Refusal::NotMember, message, .. } if self.followed.contains_key(&room) => {
                self.parted(&room, message);
            }
            Event::Error { message, .. } => asks.push(Ask::Tell(message)),
            Event::Pong => {}
            Event::Unknown => {
                if let Some((room, seq)) = incoming.place {
                    self.place(&room, seq, None, now, &mut asks);
                }
            }
        }
        asks
    }

    fn welcome(&mut self, epoch: Uuid, rooms: &[RoomState], now: u64, asks: &mut Vec<Ask>) {
        self.ready = true;
        let another = self.epoch.replace(epoch).is_some_and(|before| before != epoch);
        if another {
            asks.push(Ask::Tell("The server has another database than before: what is shown is read anew.".to_owned()));
        }
        self.rooms.replace(rooms.iter().map(item).collect());
        self.rooms.welcome(rooms);
        self.uncounted.clear();
        let followed: Vec<Slug> = self.followed.keys().cloned().collect();
        for slug in followed {
            let there = rooms.iter().find(|state| state.room == slug);
            let Some(room) = self.followed.get_mut(&slug) else { continue };
            match there {
                None if room.loaded && room.refused.is_none() => self.parted(&slug, Refusal::NotMember.to_string()),
                None => {}
                Some(state) => {
                    room.refused = None;
                    if !room.loaded && state.unread > 0 {
                        room.read = Some(state.read);
                    }
                    let named = self.named.contains(&slug);
                    let void = room.loaded && (room.epoch != Some(epoch) || named && state.seq < room.log.last());
                    // A page that is on its way, or that has come since the hello, may have been read before this socket listened.
                    if void || room.log.is_fetching() || !named && room.log.last() < state.seq {
                        self.fetch(&slug, void, asks);
                    }
                }
            }
        }
        asks.extend(self.send(now));
    }

    /// An event of a room's log.
    fn logged(&mut self, event: Event, now: u64, asks: &mut Vec<Ask>) {
        let Some((room, seq)) = event.place().map(|(room, seq)| (room.clone(), seq)) else { return };
        self.rooms.apply(&event, &self.me);
        match &event {
            Event::Message(message) if message.by.user == self.me => {
                self.outbox.arrived(message.id);
                asks.extend(self.send(now));
            }
            Event::Joined(membership) if membership.by.user == self.me => {
                if !self.rooms.is_member(&room) {
                    asks.push(Ask::About(room.clone()));
                }
                // A page that is on its way may have been refused by now.
                if let Some(open) = self.followed.get_mut(&room)
                    && (open.refused.take().is_some() || !open.loaded)
                {
                    self.fetch(&room, true, asks);
                    if self.current.as_ref() == Some(&room) {
                        asks.push(Ask::Say(Command::Look { room: Some(room.clone()) }));
                    }
                    return;
                }
            }
            Event::Left(membership) if membership.by.user == self.me => {
                self.place(&room, seq, Some(event), now, asks);
                self.parted(&room, Refusal::NotMember.to_string());
                return;
            }
            _ => {}
        }
        self.place(&room, seq, Some(event), now, asks);
    }

    /// Puts an event into the log of its room, if that is followed.
    fn place(&mut self, room: &Slug, seq: Seq, event: Option<Event>, now: u64, asks: &mut Vec<Ask>) {
        let Some(open) = self.followed.get_mut(room) else { return };
        match open.log.apply(seq, event) {
            Step::Show(event) => {
                match (&*event, &mut open.about) {
                    (Event::Joined(joined), _) => {
                        open.members.retain(|member| member.user != joined.by.user);
                        open.members.push(joined.by.clone());
                    }
                    (Event::Left(left), _) => open.members.retain(|member| member.user != left.by.user),
                    (Event::Closed(_), Some(about)) => about.closed = true,
                    (Event::Reopened(_), Some(about)) => about.closed = false,
                    _ => {}
                }
                open.events.push_back(*event);
                if self.current.as_ref() != Some(room) {
                    open.trim();
                }
            }
            Step::Nothing => {}
            Step::Resume => asks.push(Ask::Say(self.hello())),
            Step::Fetch => self.missed(room, now, asks),
        }
    }

    /// More of a room is missing than is told again.
    fn missed(&mut self, room: &Slug, now: u64, asks: &mut Vec<Ask>) {
        if self.followed.get(room).is_some_and(|open| !open.log.is_fetching()) {
            self.fetch(room, false, asks);
        }
        // What happened to it may be among that.
        if self.outbox.missed(room) {
            asks.extend(self.send(now));
        }
    }

    /// Reads the end of a room, or what is missing up to there; the end in any case when what one has is `void`.
    fn fetch(&mut self, slug: &Slug, void: bool, asks: &mut Vec<Ask>) {
        let Some(room) = self.followed.get_mut(slug) else { return };
        if void {
            room.loaded = false;
            room.filled = Seq::ZERO;
        } else if !room.log.is_fetching() {
            room.filled = room.log.last();
        }
        room.log.fetch();
        room.asked += 1;
        let page = if room.loaded && self.filling == Filling::All { Page::After(room.filled) } else { Page::Latest };
        asks.push(Ask::Fetch { room: slug.clone(), page, asked: room.asked });
    }

    /// One is no member of the room any more, or never was.
    fn parted(&mut self, slug: &Slug, why: String) {
        self.rooms.replace(self.rooms.items().iter().filter(|item| item.room != *slug).cloned().collect());
        if let Some(room) = self.followed.get_mut(slug) {
            room.refused = Some(why);
            if let Some(about) = &mut room.about {
                about.member = false;
            }
            // Whatever is on its way came too late.
            room.asked += 1;
            room.log.fetch();
        }
        if self.current.as_ref() == Some(slug) {
            self.presence = None;
        }
    }

    // What was asked for

    /// A page of a room has come, or the server has refused it (what passes is tried again by who asks).
    pub fn fetched(&mut self, slug: &Slug, page: Page, asked: u32, result: Result<Messages, String>) -> Vec<Ask> {
        let mut asks = Vec::new();
        let known = self.epoch;
        let Some(room) = self.followed.get_mut(slug).filter(|room| room.asked == asked) else { return asks };
        let page_came = match result {
            Ok(messages) => messages,
            Err(why) => {
                if let Page::Before(_) = page {
                    room.paging = false;
                } else {
                    room.refused = Some(why);
                }
                return asks;
            }
        };
        let Messages { epoch, as_of, events, before, after, .. } = page_came;
        let events: Vec<Event> = events.into_iter().map(event).collect();
        match page {
            Page::Before(first) => {
                room.paging = false;
                if room.epoch == Some(epoch) && room.older == Some(first) {
                    room.older = before;
                    events.into_iter().rev().for_each(|event| room.events.push_front(event));
                }
            }
            // It is another database than what this was to be added to.
            Page::After(_) if room.epoch != Some(epoch) => self.fetch(slug, true, &mut asks),
            Page::After(_) => {
                let new = events.into_iter().filter(|event| event.place().is_some_and(|(_, seq)| seq > room.filled)).collect();
                if let Some(after) = after.filter(|after| *after > room.filled) {
                    room.filled = after;
                    for event in new {
                        room.events.push_back(event);
                    }
                    asks.push(Ask::Fetch { room: slug.clone(), page: Page::After(after), asked });
                } else {
                    for event in room.log.replace(as_of, new) {
                        room.events.push_back(event);
                    }
                }
            }
            Page::Latest => {
                room.events = room.log.replace(as_of, events).into();
                room.older = before;
                room.paging = false;
                room.loaded = true;
                room.refused = None;
                room.epoch = Some(epoch);
                self.epoch = known.or(Some(epoch));
            }
        }
        asks
    }

    /// What the server says of a room.
    pub fn told_about(&mut self, about: Room, members: Vec<Person>) -> Vec<Ask> {
        let mut asks = Vec::new();
        let slug = about.room.clone();
        let Room { name, seq, read, unread, closed, .. } = about.clone();
        let counted = !about.member || self.rooms.recount(&RoomState { room: slug.clone(), name, seq, read, unread, closed });
        if counted {
            self.uncounted.remove(&slug);
        } else if self.uncounted.contains(&slug) {
            // More has come since it was asked for, and cannot be told from what that counts.
            asks.push(Ask::AboutSoon(slug.clone()));
        }
        if about.member && !self.rooms.is_member(&slug) {
            let mut items = self.rooms.items().to_vec();
            items.push(RoomItem {
                room: slug.clone(),
                name: about.name.clone(),
                member: true,
                read: about.read,
                unread: about.unread,
                members: about.members,
                active_at: about.active_at,
                closed: about.closed,
            });
            items.sort_by(|a, b| a.room.cmp(&b.room));
            self.rooms.replace(items);
        }
        if let Some(room) = self.followed.get_mut(&slug) {
            room.about = Some(about);
            room.members = members;
        }
        asks
    }

    // What the person does

    /// Turns to a room.
    pub fn turn(&mut self, slug: &Slug) -> Vec<Ask> {
        let mut asks = Vec::new();
        self.current = Some(slug.clone());
        self.presence = None;
        if self.ready {
            asks.push(Ask::Say(Command::Look { room: Some(slug.clone()) }));
        }
        asks.push(Ask::About(slug.clone()));
        let item = self.rooms.items().iter().find(|item| item.room == *slug && item.unread > 0);
        let read = item.map(|item| item.read);
        let new = !self.followed.contains_key(slug);
        self.followed.entry(slug.clone()).or_insert_with(Followed::new).read = read;
        if new {
            self.fetch(slug, true, &mut asks);
        }
        asks
    }

    /// Reads what is before the first event of the room on the screen, unless that is on its way or there is nothing.
    pub fn older(&mut self) -> Option<Ask> {
        let slug = self.current.clone()?;
        let room = self.followed.get_mut(&slug)?;
        let before = room.older.filter(|_| !room.paging && !room.log.is_fetching() && room.refused.is_none())?;
        room.paging = true;
        Some(Ask::Fetch { room: slug, page: Page::Before(before), asked: room.asked })
    }

    /// The end of the room on the screen has been seen. How far, if the server does not know yet.
    pub fn seen(&mut self) -> Option<Command> {
        let slug = self.current.clone()?;
        let room = self.followed.get(&slug).filter(|room| room.loaded && room.refused.is_none())?;
        let last = room.log.last();
        let unread = self.rooms.items().iter().find(|item| item.room == slug).is_some_and(|item| item.unread > 0);
        if !unread || !self.ready {
            return None;
        }
        self.rooms.seen(&slug);
        Some(Command::Read { room: slug, seq: last })
    }

    /// Nobody looks at what is far above the end of the room on the screen.
    pub fn trim(&mut self) {
        if let Some(room) = self.current.as_ref().and_then(|room| self.followed.get_mut(room)) {
            room.trim();
        }
    }

    /// Takes a message into the outbox. `random` makes its id unlike any other.
    pub fn write(&mut self, room: &Slug, text: String, now: u64, random: &[u8; 10]) -> (Uuid, Vec<Ask>) {
        let id = self.outbox.push(room.clone(), text, now, random);
        (id, self.send(now))
    }

    /// What is to be sent now.
    pub fn send(&mut self, now: u64) -> Vec<Ask> {
        if !self.ready {
            return Vec::new();
        }
        self.outbox.send(now).into_iter().map(Ask::Say).collect()
    }

    /// Takes a message back that was refused: its text.
    pub fn take_back(&mut self, id: Uuid) -> Option<String> {
        self.outbox.take_back(id)
    }

    /// Of whom one knows that they are in the room on the screen right now.
    #[must_use]
    pub fn here(&self) -> &[Person] {
        self.presence.as_ref().map_or(&[], |presence| &presence.users)
    }
}

/// A room of one's own, for the list.
fn item(state: &RoomState) -> RoomItem {
    RoomItem {
        room: state.room.clone(),
        name: state.name.clone(),
        member: true,
        read: state.read,
        unread: state.unread,
        members: 0,
        active_at: crate::protocol::Micros::default(),
        closed: state.closed,
    }
}

/// An event of a page is what the socket would have told.
fn event(logged: Logged) -> Event {
    match logged {
        Logged::Message(message) => Event::Message(message),
        Logged::Joined(membership) => Event::Joined(membership),
        Logged::Left(membership) => Event::Left(membership),
        Logged::Closed(closure) => Event::Closed(closure),
        Logged::Reopened(closure) => Event::Reopened(closure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Membership, Message, Micros};
    use proptest::prelude::*;

    const REPLAYED: i64 = 5;
    const ON_A_PAGE: usize = 4;
    const EPOCH: Uuid = Uuid::from_u128(7);

    fn tea() -> Slug {
        Slug::new("tea").expect("a slug")
    }

    fn person(user: &str) -> Person {
        Person { user: user.to_owned(), name: None }
    }

    fn said(seq: i64, id: Uuid, user: &str, text: &str) -> Event {
        let (room, seq, by, text) = (tea(), Seq(seq), person(user), text.to_owned());
        Event::Message(Message { room, seq, id, by, text, at: Micros(seq.0) })
    }

    /// Something of another that happens at `seq`.
    fn happened(seq: i64) -> Event {
        if seq % 7 == 3 {
            return Event::Joined(Membership { room: tea(), seq: Seq(seq), by: person("eve"), at: Micros(seq) });
        }
        said(seq, Uuid::from_u128(seq.unsigned_abs().into()), "ben", &format!("no. {seq}"))
    }

    fn seqs(events: impl IntoIterator<Item = Event>) -> Vec<i64> {
        events.into_iter().filter_map(|event| event.place().map(|(_, seq)| seq.0)).collect()
    }

    /// A server with one room, and the line to one client.
    struct World {
        log: Vec<Event>,
        state: State,
        /// What the client has been told of the log.
        cursor: Option<i64>,
        to_client: VecDeque<Event>,
        to_server: VecDeque<Command>,
        /// Pages that are asked for, and those that were read and are on their way.
        asked: VecDeque<(Page, u32)>,
        read: VecDeque<(Page, u32, Messages)>,
        printed: Vec<Event>,
        written: Vec<String>,
        now: u64,
    }

    impl World {
        fn new(filling: Filling, events: i64) -> Self {
            let mut world = Self {
                log: (1..=events).map(happened).collect(),
                state: State::new("ada".to_owned(), Uuid::from_u128(1), filling),
                cursor: None,
                to_client: VecDeque::new(),
                to_server: VecDeque::new(),
                asked: VecDeque::new(),
                read: VecDeque::new(),
                printed: Vec::new(),
                written: Vec::new(),
                now: 1_000,
            };
            let asks = world.state.turn(&tea());
            world.perform(asks);
            world
        }

        fn newest(&self) -> i64 {
            i64::try_from(self.log.len()).expect("few")
        }

        fn perform(&mut self, asks: Vec<Ask>) {
            for ask in asks {
                match ask {
                    Ask::Say(command) => self.to_server.push_back(command),
                    Ask::Fetch { page, asked, .. } => self.asked.push_back((page, asked)),
                    Ask::About(_) | Ask::AboutSoon(_) | Ask::Tell(_) => {}
                    Ask::TooOld(_) => panic!("the versions are the same"),
                }
            }
            if self.state.filling == Filling::All {
                self.printed.extend(self.state.take_events());
            }
        }

        fn happens(&mut self, event: Event) {
            self.log.push(event);
            self.tell_news();
        }

        /// As the server's socket does: what comes after the cursor.
        fn tell_news(&mut self) {
            if let Some(cursor) = self.cursor.replace(self.newest()).or_else(|| {
                self.cursor = None;
                None
            }) {
                let from = usize::try_from(cursor).expect("not negative");
                self.to_client.extend(self.log[from..].iter().cloned());
            }
        }

        fn connect(&mut self) {
            if self.cursor.is_none() {
                self.to_server = VecDeque::from([self.state.hello()]);
                self.cursor = Some(self.newest());
            }
        }

        fn lose_line(&mut self) {
            self.cursor = None;
            self.to_client.clear();
            self.to_server.clear();
            self.state.lost();
        }

        /// The server's queue for the client runs over: what is of the log is dropped, answers stay, and it goes on from the log.
        fn queue_overflows(&mut self) {
            let Some(first) = seqs(self.to_client.iter().cloned()).into_iter().min() else { return };
            self.to_client.retain(|event| event.place().is_none());
            self.cursor = Some(first - 1);
            if self.newest() - first >= REPLAYED {
                let (from, to) = (Seq(first), Seq(self.newest()));
                self.to_client.push_back(Event::Limited { room: tea(), from, to });
                self.cursor = Some(to.0);
            }
            self.tell_news();
        }

        fn server_takes(&mut self) {
            if self.cursor.is_none() {
                return;
            }
            match self.to_server.pop_front() {
                Some(Command::Hello { rooms, epoch, .. }) => {
                    let (seq, name) = (Seq(self.newest()), "Tea".to_owned());
                    let state = RoomState { room: tea(), name, seq, read: Seq(0), unread: 0, closed: false };
                    let user = "ada".to_owned();
                    self.to_client.push_back(Event::Welcome {
                        user,
                        epoch: EPOCH,
                        version: 1,
                        build: String::new(),
                        rooms: vec![state],
                    });
                    self.cursor = Some(self.newest());
                    let Some(from) = rooms.get(&tea()) else { return };
                    assert_eq!(epoch, Some(EPOCH), "what is named is of a database");
                    if self.newest() - from.0 > REPLAYED {
                        self.to_client.push_back(Event::Limited { room: tea(), from: from.next(), to: seq });
                    } else {
                        self.cursor = Some(from.0);
                        self.tell_news();
                    }
                }
                Some(Command::Send { id, text, room }) => {
                    let there = self.log.iter().find(|event| matches!(event, Event::Message(message) if message.id == id));
                    match there.and_then(Event::place).map(|(_, seq)| seq) {
                        Some(seq) => self.to_client.push_back(Event::Sent { room, id, seq }),
                        None => {
                            let seq = self.newest() + 1;
                            self.happens(said(seq, id, "ada", &text));
                        }
                    }
                }
                _ => {}
            }
        }

        fn deliver(&mut self) {
            if let Some(event) = self.to_client.pop_front() {
                let asks = self.state.hear(event.into(), self.now);
                self.perform(asks);
            }
        }

        fn read_page(&mut self) {
            let Some((page, asked)) = self.asked.pop_front() else { return };
            let events: Vec<Event> = match page {
                Page::Latest => self.log[self.log.len().saturating_sub(ON_A_PAGE)..].to_vec(),
                Page::After(seq) => {
                    let from = usize::try_from(seq.0).expect("not negative").min(self.log.len());
                    self.log[from..].iter().take(ON_A_PAGE).cloned().collect()
                }
                Page::Before(_) => unreachable!("nobody scrolls"),
            };
            let last = seqs(events.iter().cloned()).last().copied().unwrap_or(self.newest());
            let messages = Messages {
                room: tea(),
                epoch: EPOCH,
                as_of: Seq(self.newest()),
                events: events.into_iter().filter_map(Logged::of).collect(),
                before: None,
                after: (last < self.newest()).then_some(Seq(last)),
            };
            self.read.push_back((page, asked, messages));
        }

        fn page_comes(&mut self) {
            if let Some((page, asked, messages)) = self.read.pop_front() {
                let asks = self.state.fetched(&tea(), page, asked, Ok(messages));
                self.perform(asks);
            }
        }

        /// The network does what it should until nothing is on its way.
        fn settle(&mut self) {
            self.connect();
            for _ in 0..10_000 {
                let busy =
                    [!self.to_server.is_empty(), !self.to_client.is_empty(), !self.asked.is_empty(), !self.read.is_empty()];
                if !busy.contains(&true) {
                    return;
                }
                self.server_takes();
                self.deliver();
                self.read_page();
                self.page_comes();
            }
            panic!("it never comes to rest");
        }
    }

    #[derive(Clone, Debug)]
    enum Happening {
        OtherSpeaks,
        ISpeak,
        ServerTakes,
        Delivered,
        /// On its way, and lost though the line stands.
        Lost,
        /// Comes again, or late.
        Stray(usize),
        /// More than the server keeps is on its way.
        Overflow,
        LineLost,
        Connected,
        PageRead,
        PageComes,
    }

    fn happenings() -> impl Strategy<Value = Vec<Happening>> {
        let one = prop_oneof![
            6 => Just(Happening::OtherSpeaks),
            2 => Just(Happening::ISpeak),
            5 => Just(Happening::ServerTakes),
            8 => Just(Happening::Delivered),
            1 => Just(Happening::Lost),
            1 => (0_usize..40).prop_map(Happening::Stray),
            1 => Just(Happening::Overflow),
            1 => Just(Happening::LineLost),
            3 => Just(Happening::Connected),
            3 => Just(Happening::PageRead),
            3 => Just(Happening::PageComes),
        ];
        proptest::collection::vec(one, 0..150)
    }

    proptest! {
        #[test]
        fn the_log_is_told_once_and_in_order_whatever_happens(all: bool, start in 0_i64..12, happenings in happenings()) {
            let mut world = World::new(if all { Filling::All } else { Filling::End }, start);
            for happening in happenings {
                match happening {
                    Happening::OtherSpeaks => {
                        let seq = world.newest() + 1;
                        world.happens(happened(seq));
                    }
                    Happening::ISpeak => {
                        let text = format!("mine {}", world.written.len());
                        world.written.push(text.clone());
                        world.now += 1;
                        let (_, asks) = world.state.write(&tea(), text, world.now, &[1; 10]);
                        world.perform(asks);
                    }
                    Happening::ServerTakes => world.server_takes(),
                    Happening::Delivered => world.deliver(),
                    // The socket carries bytes in order: what has no place cannot get lost in it.
                    Happening::Lost => {
                        if world.to_client.front().is_some_and(|event| matches!(event, Event::Message(m) if m.by.user != "ada")) {
                            world.to_client.pop_front();
                        }
                    }
                    Happening::Stray(at) => if let Some(event) = world.log.get(at).cloned() && world.cursor.is_some() {
                        let asks = world.state.hear(event.into(), world.now);
                        world.perform(asks);
                    },
                    Happening::Overflow => world.queue_overflows(),
                    Happening::LineLost => world.lose_line(),
                    Happening::Connected => world.connect(),
                    Happening::PageRead => world.read_page(),
                    Happening::PageComes => world.page_comes(),
                }
            }
            world.settle();
            // What was lost on a line that stands is found out by what comes next.
            for _ in 0..2 {
                let seq = world.newest() + 1;
                world.happens(happened(seq));
                world.settle();
            }
            let told = if all { world.printed.clone() } else { world.state.open().expect("a room").events.iter().cloned().collect() };
            let told = seqs(told);
            let first = told.first().copied().unwrap_or_default();
            prop_assert_eq!(&told, &(first..=world.newest()).collect::<Vec<_>>());
            let mine = world.log.iter().filter_map(|event| match event {
                Event::Message(message) if message.by.user == "ada" => Some(message.text.clone()),
                _ => None,
            });
            prop_assert_eq!(mine.collect::<Vec<_>>(), world.written.clone());
            prop_assert!(world.state.waiting().is_empty());
        }
    }

    #[test]
    fn what_is_under_way_when_much_was_missed_is_sent_again_and_arrives_once() {
        for filling in [Filling::End, Filling::All] {
            let mut world = World::new(filling, 3);
            world.settle();
            let (id, asks) = world.state.write(&tea(), "mine".to_owned(), 1_000, &[1; 10]);
            world.perform(asks);
            world.server_takes();
            assert_eq!(world.newest(), 4, "it is there");
            let (_, asks) = world.state.write(&tea(), "and then".to_owned(), 1_001, &[2; 10]);
            assert_eq!(asks, [], "one at a time");
            for seq in 5..10 {
                world.happens(happened(seq));
            }
            world.queue_overflows();
            assert!(matches!(world.to_client.iter().collect::<Vec<_>>().as_slice(), [Event::Limited { .. }]));
            world.deliver();
            let said = world.to_server.iter().collect::<Vec<_>>();
            assert!(matches!(said.as_slice(), [Command::Send { id: again, .. }] if *again == id), "{said:?}");
            world.settle();
            assert!(world.state.waiting().is_empty());
            let mine = |event: &&Event| matches!(event, Event::Message(message) if message.by.user == "ada");
            assert_eq!(seqs(world.log.iter().filter(mine).cloned()), [4, 10], "once, and then the next");
        }
    }

    #[test]
    fn what_is_under_way_in_a_room_that_is_not_followed_is_sent_again_too() {
        let mut world = World::new(Filling::End, 3);
        world.settle();
        let cake = Slug::new("cake").expect("a slug");
        let (id, asks) = world.state.write(&cake, "mine".to_owned(), 1_000, &[1; 10]);
        let again = asks.clone();
        assert!(matches!(asks.as_slice(), [Ask::Say(Command::Send { .. })]));
        let limited = Event::Limited { room: cake.clone(), from: Seq(2), to: Seq(900) };
        let asks = world.state.hear(limited.into(), 1_001);
        assert!(asks.ends_with(&again), "{asks:?}");
        world.state.hear(Event::Sent { room: cake, id, seq: Seq(2) }.into(), 1_002);
        assert!(world.state.waiting().is_empty());
    }

    #[test]
    fn of_a_room_of_which_much_was_missed_the_count_is_asked_for_until_nothing_has_come_since() {
        let mut world = World::new(Filling::End, 3);
        world.settle();
        let cake = Slug::new("cake").expect("a slug");
        let room = |slug: &Slug| RoomState {
            room: slug.clone(),
            name: String::new(),
            seq: Seq(3),
            read: Seq(0),
            unread: 1,
            closed: false,
        };
        let welcome = Event::Welcome {
            user: "ada".to_owned(),
            epoch: EPOCH,
            version: 1,
            build: String::new(),
            rooms: vec![room(&tea()), room(&cake)],
        };
        world.state.hear(welcome.into(), 0);
        let limited = |to| Event::Limited { room: cake.clone(), from: Seq(1), to: Seq(to) };
        assert_eq!(world.state.hear(limited(3).into(), 0), [], "the welcome has counted it");
        assert_eq!(world.state.hear(limited(50).into(), 0), [Ask::About(cake.clone())]);
        assert_eq!(world.state.rooms.unread(&cake), 1, "so far");
        let about = |seq, unread| Room {
            room: cake.clone(),
            name: "Cake".to_owned(),
            topic: String::new(),
            member: true,
            closed: false,
            idle: crate::protocol::Idle::Never,
            may_open: false,
            members: 2,
            active_at: Micros(0),
            seq: Seq(seq),
            read: Seq(0),
            unread,
        };
        let by = person("ben");
        let message = Message { room: cake.clone(), seq: Seq(51), id: Uuid::nil(), by, text: "x".to_owned(), at: Micros(0) };
        world.state.hear(Event::Message(message).into(), 0);
        assert_eq!(world.state.told_about(about(50, 40), Vec::new()), [Ask::AboutSoon(cake.clone())], "more has come since");
        assert_eq!(world.state.told_about(about(51, 41), Vec::new()), []);
        assert_eq!(world.state.rooms.unread(&cake), 41);
        assert_eq!(world.state.told_about(about(50, 40), Vec::new()), [], "nobody waits for it any more");
        assert_eq!(world.state.rooms.unread(&cake), 41);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_up_no_message() {
        let mut world = World::new(Filling::End, 3);
        world.settle();
        let (id, _) = world.state.write(&tea(), "mine".to_owned(), 3_600_000, &[1; 10]);
        let busy = Event::Error { id: Some(id), room: Some(tea()), why: Refusal::Busy, message: String::new() };
        assert_eq!(world.state.hear(busy.into(), 3_600_000), []);
        assert!(world.state.due(3_600_000).is_some_and(|due| due > 3_600_000));
        assert_eq!(world.state.due(1_000), Some(1_000));
        assert!(matches!(world.state.send(1_000).as_slice(), [Ask::Say(Command::Send { .. })]));
    }

    #[test]
    fn another_database_is_read_from_its_end() {
        let mut world = World::new(Filling::End, 6);
        world.settle();
        assert_eq!(world.state.open().expect("a room").last(), Seq(6));
        world.lose_line();
        assert!(matches!(world.state.hello(), Command::Hello { rooms, .. } if rooms[&tea()] == Seq(6)));
        let state = RoomState { room: tea(), name: "Tea".to_owned(), seq: Seq(2), read: Seq(0), unread: 0, closed: false };
        let (user, epoch) = ("ada".to_owned(), Uuid::from_u128(8));
        let welcome = Event::Welcome { user, epoch, version: 1, build: String::new(), rooms: vec![state] };
        let asks = world.state.hear(welcome.into(), 0);
        assert!(asks.iter().any(|ask| matches!(ask, Ask::Fetch { page: Page::Latest, .. })), "{asks:?}");
        assert!(asks.iter().any(|ask| matches!(ask, Ask::Tell(_))), "and it is said");
    }

    #[test]
    fn a_later_protocol_is_the_end() {
        let mut world = World::new(Filling::End, 0);
        let welcome =
            Event::Welcome { user: "ada".to_owned(), epoch: EPOCH, version: 2, build: String::new(), rooms: Vec::new() };
        assert_eq!(world.state.hear(welcome.into(), 0), [Ask::TooOld(2)]);
    }

    #[test]
    fn who_leaves_sees_why_and_who_comes_back_sees_the_room() {
        let mut world = World::new(Filling::End, 3);
        world.settle();
        let membership = |seq| Membership { room: tea(), seq: Seq(seq), by: person("ada"), at: Micros(0) };
        world.happens(Event::Left(membership(4)));
        world.settle();
        assert!(world.state.open().expect("a room").refused.is_some() && world.state.rooms.items().is_empty());
        world.happens(Event::Joined(membership(5)));
        world.settle();
        let open = world.state.open().expect("a room");
        assert!(open.refused.is_none());
        assert_eq!(seqs(open.events.iter().cloned()), [2, 3, 4, 5]);
    }
}
