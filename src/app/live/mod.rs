//! The browser's end of the socket: events into a signal, the outbox, reconnecting.
//!
//! One [`Live`] for each tab, made when the first island asks for it; islands follow what is [`Known`] and tell it what happens. It
//! knows nothing of how a room looks. What can be decided without a browser is decided in [`log`], [`outbox`], [`turn`],
//! [`rooms`], [`watch`] and [`backoff`], and tested there; [`browser`], [`lock`] and [`socket`] are the browser's own. All of it is compiled
//! for the server too and never called there: only effects and event handlers reach it.

pub mod backoff;
pub mod browser;
pub mod json;
pub mod lock;
pub mod log;
pub mod outbox;
pub mod rooms;
pub mod socket;
pub mod turn;
pub mod watch;
pub mod wire;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use uuid::Uuid;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, MouseEvent, StorageEvent};

use self::backoff::Backoff;
use self::browser::Local;
use self::log::{Log, Step};
use self::outbox::{Item, Outbox, Storage};
use self::rooms::Rooms;
use self::socket::{Heard, Socket};
use self::watch::{Look, PONG_SOON, PONG_WITHIN, Stage, Watch, is_over};
use self::wire::{About, Page};
use crate::protocol::{Command, Event, Presence, Refusal, RoomItem, RoomState, Seq, Slug, VERSION};

/// How often the line is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// An interruption that is shorter than this is not worth a word.
const SAY_AFTER: Duration = Duration::from_secs(2);
/// How long it is said that the line is back, after it was gone for long.
const SAY_BACK: Duration = Duration::from_secs(4);
/// Who has not typed for so long, in milliseconds, has their fingers elsewhere.
const STILL: u64 = 5_000;
/// `read` is sent at most once in so long.
const READ_EVERY: Duration = Duration::from_secs(1);
/// A page that takes longer than this is said to be on its way.
const SLOW_AFTER: Duration = Duration::from_millis(200);
/// A list or a page that was refused for a reason that passes is asked for again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(3);
/// How long a form may take to lead away from the page that it was posted from, in milliseconds.
const FORM_GOES_FIRST: u64 = 15_000;

/// Closed by the server, which is being stopped: the next one is not far.
const GOING_AWAY: u16 = 1001;
/// Closed by the server because the login has ended.
const LOGIN_ENDED: u16 = 4401;

/// How it is with the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// It stands, or is not missed yet.
    #[default]
    Fine,
    /// It is gone, and tried again.
    Lost,
    /// It has been gone for so long that tries are far apart: one may ask for the next.
    Gone,
    /// So is the browser's network.
    Offline,
    /// It was gone for long, and has just come back.
    Back,
    /// The server has another build of this code: the page should be loaded again.
    Updated,
}

impl Line {
    /// Whether what is written has to wait.
    #[must_use]
    pub fn is_down(self) -> bool {
        matches!(self, Self::Lost | Self::Gone | Self::Offline)
    }
}

/// What happens in the room on the screen.
#[derive(Debug)]
pub enum Change {
    /// Below everything else.
    Show(Event),
    /// Instead of everything that is shown: another room, or the same one anew.
    Turn(Box<Page>),
    /// Above everything else.
    Older { events: Vec<Event>, older: Option<Seq> },
    /// Below everything else, towards the end of the log; `newer` says whether there is more.
    Newer { events: Vec<Event>, newer: bool },
    /// The page of this room is long in coming: what is known of it meanwhile.
    Slow(About),
}

/// Who shows the room on the screen.
type Show = Rc<dyn Fn(Change)>;

/// The room on the screen.
struct Open {
    room: Slug,
    /// None while a page is on the screen that is not the end of the log.
    log: Option<Log>,
    /// The place that the address of the page names.
    at: Option<Seq>,
    /// The place around which to fetch the room, if it has to be fetched; none for its end.
    around: Option<Seq>,
    /// The database that the log is of.
    epoch: Uuid,
    /// Whether the reader sees the end of it.
    at_end: bool,
    /// How often the room was asked for: an answer to an earlier question is not shown.
    asked: u32,
    /// Whether a page before or after what is shown is being fetched.
    paging: bool,
    show: Show,
}

/// Who reads, as far as the islands have to know.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: Uuid,
    pub user: String,
}

/// What is known by the line, for the islands to follow.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub line: Line,
    pub rooms: Rooms,
    /// The room on the screen, once there is one that lives.
    pub current: Option<Slug>,
    /// Of the room on the screen.
    pub presence: Option<Presence>,
    /// What has been written and has not arrived, in all rooms.
    pub waiting: Vec<Item>,
    /// A draft that another tab has sent or emptied, until who shows it has heard: its room's slug, and what it was.
    pub draft_gone: Option<(String, String)>,
}

/// One tab's connection, and what it knows by it.
pub struct Live {
    /// One signal for all of it: each type of signal is compiled anew.
    pub known: ArcRwSignal<Known>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    me: Option<Account>,
    outbox: Option<Outbox<Local>>,
    open: Option<Open>,
    socket: Option<Socket>,
    /// Which socket it is, so that a late word of an earlier one is not taken for one of this.
    generation: u32,
    /// Whether the server has welcomed this socket.
    ready: bool,
    /// How often it has welcomed one.
    welcomes: u32,
    /// This page's build.
    build: Option<String>,
    /// The server's, where it is another.
    newer: Option<String>,
    backoff: Backoff,
    /// Whether the line has been gone for long, and nothing has been said of its being back.
    long: bool,
    retry: Option<TimeoutHandle>,
    watch: Watch,
    /// The answer of the server by which all is told that has arrived elsewhere: the how manieth.
    told_by: u32,
    /// When something was typed last, in milliseconds since 1970.
    typed_at: u64,
    /// What is being written is not kept: the storage does not take it.
    draft_unkept: bool,
    /// The outbox's next attempt.
    due: Option<TimeoutHandle>,
    /// The list of rooms is to be fetched, and whether an earlier one is on its way.
    list_wanted: bool,
    list_fetching: bool,
    /// What has been read and is to be said when the pause after the last `read` ends.
    read_due: Option<(Slug, Seq)>,
    read_pause: bool,
    /// The document's title without a number.
    title: String,
    /// No socket any more: the page is being left, or too old.
    stopped: bool,
}

thread_local! {
    static LIVE: OnceCell<Rc<Live>> = const { OnceCell::new() };
}

/// This tab's. Only for effects and event handlers.
#[must_use]
pub fn live() -> Rc<Live> {
    LIVE.with(|live| Rc::clone(live.get_or_init(|| Rc::new(Live::new()))))
}

impl Live {
    fn new() -> Self {
        Self { known: ArcRwSignal::new(Known::default()), state: RefCell::new(State::default()) }
    }

    /// Begins, for the one who is logged in; does nothing when it has begun.
    pub fn start(&self, me: &Account) {
        {
            let mut state = self.state.borrow_mut();
            if state.me.is_some() {
                return;
            }
            state.me = Some(me.clone());
            state.outbox = Some(Outbox::open(Local, lock::turn(me.id), me.id));
            state.build = browser::build();
            state.watch.begin(browser::now());
            state.title = document().title();
        }
        if let Some(root) = document().document_element() {
            // The styles show now what needs scripts, and hide what is there instead of them.
            let _ = root.class_list().add_1("live");
        }
        browser::remember_zone();
        self.show_waiting();
        // Handles that are dropped leave their listeners in place: they are there for as long as the page.
        let _ = window_event_listener_untyped("online", |_| live().wake());
        let _ = window_event_listener_untyped("offline", |_| live().say(Line::Offline));
        let _ = window_event_listener_untyped("pageshow", |_| live().wake());
        let _ = window_event_listener_untyped("pagehide", |_| live().leave());
        let _ = window_event_listener_untyped("storage", |event| live().changed_elsewhere(event.unchecked_ref()));
        let _ = window_event_listener_untyped("popstate", |_| live().travelled());
        let _ = window_event_listener_untyped("click", |event| live().clicked(&event.unchecked_into()));
        // Of the document, and bubbles to the window.
        let _ = window_event_listener_untyped("visibilitychange", |_| live().visibility_changed());
        set_interval(|| live().look_after(), LOOK_EVERY);
        // After the other islands of the page have said what they show.
        set_timeout(|| live().connect(), Duration::ZERO);
    }

    /// The list of rooms that the page came with.
    pub fn know(&self, rooms: Vec<RoomItem>) {
        self.known.update(|known| known.rooms.replace(rooms));
        self.show_title();
    }

    /// A room is on the screen, with everything up to `last`, or (None) with a page that is not the end of its log. `at` is the
    /// place that the page's address names.
    pub fn open(&self, room: Slug, last: Option<Seq>, at: Option<Seq>, epoch: Uuid, show: Show) {
        self.known.update(|known| known.current = Some(room.clone()));
        let log = last.map(Log::at);
        let around = at.filter(|_| log.is_none());
        let open = Open { room, log, at, around, epoch, at_end: true, asked: 0, paging: false, show };
        self.state.borrow_mut().open = Some(open);
    }

    /// Turns to another room, or to another place of the one on the screen: around `at`, or its end. The socket stays.
    pub fn turn(&self, room: &Slug, at: Option<Seq>) {
        {
            let mut state = self.state.borrow_mut();
            let State { open: Some(open), socket, ready, .. } = &mut *state else { return };
            if open.room != *room
                && *ready
                && let Some(socket) = socket
            {
                socket.send(&Command::Look { room: Some(room.clone()) });
            }
            open.room = room.clone();
            (open.at, open.around) = (at, at);
            open.log = Some(Log::at(Seq::ZERO));
        }
        self.known.update(|known| known.current = Some(room.clone()));
        self.fetch_room(room);
    }

    /// Turns to the end of the room on the screen.
    pub fn turn_to_end(&self) {
        let room = self.state.borrow().open.as_ref().map(|open| open.room.clone());
        if let Some(room) = room {
            self.turn(&room, None);
            push_address(&format!("/room/{room}"));
        }
    }

    /// Fetches what is before `seq`, the first event that is shown.
    pub fn older(&self, seq: Seq) {
        self.page(format!("before={seq}"), |open, page| {
            Some((Rc::clone(&open.show), Change::Older { events: page.events, older: page.older }))
        });
    }

    /// Fetches what is after `seq`, the last event that is shown, of a page that is not the end of the log.
    pub fn newer(&self, seq: Seq) {
        if let Some(open) = &mut self.state.borrow_mut().open
            && open.log.is_none()
            && !open.paging
        {
            // What comes in until then belongs below it, if this is the end.
            let mut log = Log::at(Seq::ZERO);
            log.fetch();
            open.log = Some(log);
        }
        self.page(format!("after={seq}"), |open, page| {
            let mut log = open.log.take()?;
            let Page { newer, as_of, events, .. } = page;
            let events = if newer { events } else { log.replace(as_of, events) };
            if !newer {
                open.around = None;
                open.log = Some(log);
            }
            Some((Rc::clone(&open.show), Change::Newer { events, newer }))
        });
    }

    /// Fetches a page before or after what is shown, one at a time.
    fn page(&self, which: String, make: fn(&mut Open, Page) -> Option<(Show, Change)>) {
        let (room, asked) = {
            let mut state = self.state.borrow_mut();
            let Some(open) = state.open.as_mut().filter(|open| !open.paging) else { return };
            open.paging = true;
            (open.room.clone(), open.asked)
        };
        spawn_local(async move {
            let page = read_room(&room, &which).await;
            let live = live();
            let mut arrived = Vec::new();
            let change = {
                let mut state = live.state.borrow_mut();
                let State { me: Some(me), open: Some(open), .. } = &mut *state else { return };
                if open.asked != asked {
                    return;
                }
                open.paging = false;
                match page {
                    Ok(page) if page.member => {
                        arrived = page.messages_of(&me.user);
                        make(open, page)
                    }
                    // It is asked for again when the reader comes by again.
                    _ => {
                        open.log.take_if(|log| log.is_fetching());
                        None
                    }
                }
            };
            if let Some((show, change)) = change {
                arrived.into_iter().for_each(|id| live.arrived(id));
                show(change);
                live.mark_read();
            }
        });
    }

    /// A click somewhere on the page: a link to one of one's rooms is followed without a new page.
    fn clicked(&self, event: &MouseEvent) {
        let modified = event.ctrl_key() || event.meta_key() || event.shift_key() || event.alt_key();
        if event.default_prevented() || event.button() != 0 || modified {
            return;
        }
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let Some(link) = target.and_then(|target| target.closest("a[href^='/room/']").ok().flatten()) else { return };
        let Some(address) = link.get_attribute("href").filter(|_| !link.has_attribute("target")) else { return };
        let Some(to) = address_of(&address).filter(|to| self.may_turn(&to.room)) else { return };
        event.prevent_default();
        if let Some(before) = to.before {
            self.older(before);
        } else {
            push_address(&address);
            self.turn(&to.room, to.at);
        }
    }

    /// Back or forward, or to another part of the page.
    fn travelled(&self) {
        let Some((room, at)) = self.state.borrow().open.as_ref().map(|open| (open.room.clone(), open.at)) else { return };
        let location = location();
        let (path, query) = (location.pathname().unwrap_or_default(), location.search().unwrap_or_default());
        let to = address_of(&[path.as_str(), query.as_str()].concat()).filter(|to| to.before.is_none());
        let same_room = path.strip_prefix("/room/") == Some(room.as_str());
        match to {
            _ if same_room && to.as_ref().and_then(|to| to.at) == at => {}
            Some(to) if self.may_turn(&to.room) => self.turn(&to.room, to.at),
            _ => self.reload(),
        }
    }

    /// Whether a page can turn to `room`: there is a room on it, one is a member, and it is not too old to go on.
    fn may_turn(&self, room: &Slug) -> bool {
        self.state.borrow().open.is_some()
            && self.known.with_untracked(|known| known.line != Line::Updated && known.rooms.is_member(room))
    }

    /// Whether the reader sees the end of the room on the screen.
    pub fn at_end(&self, at_end: bool) {
        if let Some(open) = &mut self.state.borrow_mut().open {
            open.at_end = at_end;
        }
        self.mark_read();
    }

    /// Takes `text` into the outbox, and sends it when it can.
    pub fn write(&self, room: &Slug, text: String) {
        if let Some(outbox) = &mut self.state.borrow_mut().outbox {
            outbox.push(room.clone(), text, browser::now(), &browser::random());
        }
        self.flush();
    }

    /// Sends a refused message again.
    pub fn try_again(&self, id: Uuid) {
        if let Some(outbox) = &mut self.state.borrow_mut().outbox {
            outbox.try_again(id);
        }
        self.flush();
    }

    /// Takes a message out of the outbox: its text.
    pub fn take_back(&self, id: Uuid) -> Option<String> {
        let text = self.state.borrow_mut().outbox.as_mut().and_then(|outbox| outbox.take_back(id));
        self.flush();
        text
    }

    /// A message is in the log.
    pub fn arrived(&self, id: Uuid) {
        let was_here = self.state.borrow_mut().outbox.as_mut().is_some_and(|outbox| outbox.arrived(id));
        if was_here {
            self.flush();
        }
    }

    /// What was being written in `room` when it was left.
    #[must_use]
    pub fn draft(&self, room: &Slug) -> Option<String> {
        Local.get(&self.draft_key(room)?)
    }

    /// Keeps what is being written in `room`.
    pub fn keep_draft(&self, room: &Slug, text: &str) {
        let Some(key) = self.draft_key(room) else { return };
        let mut state = self.state.borrow_mut();
        state.typed_at = browser::now();
        state.draft_unkept = !text.is_empty() && !Local.set(&key, text);
        if text.is_empty() {
            Local.remove(&key);
        }
    }

    /// What was being written in `room` was sent, as `text`.
    pub fn draft_sent(&self, room: &Slug, text: &str) {
        let Some(key) = self.draft_key(room) else { return };
        self.state.borrow_mut().draft_unkept = false;
        // Another tab may be writing something else.
        if Local.get(&key).as_deref() == Some(text) {
            Local.remove(&key);
        }
    }

    fn draft_key(&self, room: &Slug) -> Option<String> {
        Some(format!("{}{room}", self.draft_prefix()?))
    }

    fn draft_prefix(&self) -> Option<String> {
        self.state.borrow().me.as_ref().map(|me| format!("snug.draft.{}.", me.id))
    }

    /// Another tab has changed what the storage has.
    fn changed_elsewhere(&self, event: &StorageEvent) {
        let key = event.key();
        let changed = match (&mut self.state.borrow_mut().outbox, &key) {
            (Some(outbox), Some(key)) => outbox.changed_elsewhere(key),
            (Some(outbox), None) => {
                // All of it was removed.
                outbox.adopt();
                true
            }
            _ => false,
        };
        if changed {
            self.flush();
        }
        let room = key.as_deref().and_then(|key| key.strip_prefix(self.draft_prefix()?.as_str()));
        if let (Some(room), Some(before), None) = (room, event.old_value(), event.new_value()) {
            self.known.update(|known| known.draft_gone = Some((room.to_owned(), before)));
        }
    }

    /// The page is left, for good or for a while: no tab must wait for it.
    fn leave(&self) {
        self.end_read_pause();
        self.hang_up();
    }

    // The socket

    fn connect(&self) {
        let mut state = self.state.borrow_mut();
        if state.stopped || state.socket.is_some() {
            return;
        }
        if let Some(retry) = state.retry.take() {
            retry.clear();
        }
        state.generation += 1;
        state.ready = false;
        state.watch.opening(browser::now());
        let generation = state.generation;
        state.socket = Socket::open(move |heard| live().hear(generation, heard)).ok();
        let failed = state.socket.is_none();
        drop(state);
        if failed {
            self.lost(0);
        }
    }

    fn hear(&self, generation: u32, heard: Heard) {
        {
            let mut state = self.state.borrow_mut();
            if state.generation != generation {
                return;
            }
            state.watch.heard();
        }
        match heard {
            Heard::Opened => self.hello(),
            Heard::Frame(frame) => frame.lines().for_each(|line| self.event(line)),
            Heard::Closed(code) => self.lost(code),
        }
    }

    fn hello(&self) {
        let state = self.state.borrow();
        let mut rooms = BTreeMap::new();
        if let Some(Open { room, log: Some(log), .. }) = &state.open
            && !log.is_fetching()
        {
            rooms.insert(room.clone(), log.last());
        }
        let epoch = state.open.as_ref().map(|open| open.epoch);
        let look = state.open.as_ref().map(|open| open.room.clone());
        if let Some(socket) = &state.socket {
            socket.send(&Command::Hello { rooms, epoch, look });
        }
    }

    /// The socket is closed, or as good as that.
    fn lost(&self, code: u16) {
        let mut state = self.state.borrow_mut();
        let was_ready = state.ready;
        state.generation += 1;
        state.ready = false;
        if let Some(socket) = state.socket.take() {
            socket.give_up();
        }
        if let Some(outbox) = &mut state.outbox {
            outbox.line_lost();
        }
        if state.stopped {
            return;
        }
        if code == LOGIN_ENDED {
            drop(state);
            self.log_in_again();
            return;
        }
        let wait = match code {
            GOING_AWAY if was_ready => Backoff::restart(browser::chance()),
            _ => state.backoff.next(browser::chance()),
        };
        // A handshake that is refused for want of a login looks like any other that fails: ask.
        let ask = !was_ready && state.backoff.failures() > 1;
        if let Some(retry) = state.retry.take() {
            retry.clear();
        }
        state.retry = set_timeout_with_handle(|| live().connect(), Duration::from_millis(wait.into())).ok();
        let welcomes = state.welcomes;
        drop(state);
        self.show_waiting();
        if ask {
            spawn_local(async {
                if browser::post("whoami", "").await.as_deref() == Ok("null") {
                    live().log_in_again();
                }
            });
        }
        if !was_ready {
            self.say_lost();
        } else {
            set_timeout(
                move || {
                    let live = live();
                    let still = {
                        let state = live.state.borrow();
                        // Of another interruption another word is due, at its own time.
                        !state.ready && state.welcomes == welcomes
                    };
                    if still {
                        live.say_lost();
                    }
                },
                SAY_AFTER,
            );
        }
    }

    /// The login has ended: nothing more is said, and the page leads to the door.
    fn log_in_again(&self) {
        self.state.borrow_mut().stopped = true;
        Self::after_form(go_to_login);
    }

    /// Does what leads away from the page: now, or when a form that was posted lately, and may be what led to it, has had its time to
    /// lead elsewhere.
    fn after_form(go: fn()) {
        let wait = browser::posted_at().map_or(0, |at| FORM_GOES_FIRST.saturating_sub(browser::now().saturating_sub(at)));
        set_timeout(go, Duration::from_millis(wait));
    }

    fn say_lost(&self) {
        let long = {
            let mut state = self.state.borrow_mut();
            state.long |= state.backoff.is_long();
            state.long
        };
        self.say(match window().navigator().on_line() {
            false => Line::Offline,
            true if long => Line::Gone,
            true => Line::Lost,
        });
    }

    fn say(&self, line: Line) {
        let line = {
            let mut state = self.state.borrow_mut();
            // That the page is too old stays said.
            if state.stopped {
                return;
            }
            let long = line == Line::Fine && std::mem::take(&mut state.long);
            match line {
                Line::Fine if state.newer.is_some() => Line::Updated,
                Line::Fine if long => Line::Back,
                line => line,
            }
        };
        if line == Line::Back {
            set_timeout(|| live().said_back(), SAY_BACK);
        }
        if self.line() != line {
            self.known.update(|known| known.line = line);
        }
    }

    fn line(&self) -> Line {
        self.known.with_untracked(|known| known.line)
    }

    fn said_back(&self) {
        if self.line() == Line::Back {
            self.say(Line::Fine);
        }
    }

    /// Someone does not want to wait for the next try.
    pub fn try_now(&self) {
        if !self.state.borrow().ready {
            self.say(Line::Lost);
            self.reconnect();
        }
    }

    /// Drops the socket and makes another at once.
    fn reconnect(&self) {
        if let Some(socket) = self.state.borrow_mut().socket.take() {
            socket.give_up();
        }
        self.hang_up();
        self.connect();
    }

    /// Drops the socket.
    fn hang_up(&self) {
        let mut state = self.state.borrow_mut();
        state.generation += 1;
        state.socket = None;
        state.ready = false;
        if let Some(outbox) = &mut state.outbox {
            outbox.line_lost();
        }
    }

    /// Something suggests that the line may be back, or that it should be looked at.
    fn wake(&self) {
        let (missing, silent) = {
            let state = self.state.borrow();
            (state.socket.is_none(), state.ready && state.watch.is_silent(browser::now()))
        };
        if missing {
            self.connect();
        } else if silent {
            let _asked = self.ping(PONG_SOON);
        }
        if self.line() == Line::Offline && self.state.borrow().ready {
            self.say(Line::Fine);
        }
    }

    fn visibility_changed(&self) {
        if document().hidden() {
            self.reload_if_unseen();
            return;
        }
        self.wake();
        self.mark_read();
    }

    /// Asks whether the server is there: the how manieth time it is on this line. One that has not answered within `patience`
    /// milliseconds is gone.
    fn ping(&self, patience: u64) -> u32 {
        let mut state = self.state.borrow_mut();
        let asked = state.watch.asked(browser::now(), patience);
        if let Some(socket) = &state.socket {
            socket.send(&Command::Ping);
        }
        set_timeout(|| live().look_after(), Duration::from_millis(patience + 100));
        asked
    }

    /// Looks after the socket, now and then.
    fn look_after(&self) {
        let look = {
            let mut state = self.state.borrow_mut();
            let stage = match state.socket {
                _ if state.ready => Stage::Ready,
                Some(_) => Stage::Opening,
                None => Stage::None,
            };
            state.watch.look(browser::now(), stage)
        };
        match look {
            Look::Dead => self.lost(0),
            Look::Slept => self.wake(),
            Look::Ask => {
                let _asked = self.ping(PONG_WITHIN);
            }
            Look::Fine => {}
        }
    }

    // What the server says

    fn event(&self, line: &str) {
        let Some(json) = json::parse(line) else { return };
        let place = wire::place(&json);
        let Some(event) = wire::event(&json) else { return };
        match event {
            Event::Welcome { epoch, version, build, rooms, .. } => self.welcome(epoch, version, build, &rooms),
            Event::Message(_) | Event::Joined(_) | Event::Left(_) | Event::Closed(_) | Event::Reopened(_) => self.logged(event),
            Event::Sent { id, .. } => self.arrived(id),
            Event::Read { .. } => {
                self.known.update(|known| known.rooms.apply(&event, ""));
                self.show_title();
            }
            Event::Presence(presence) => {
                let here = self.state.borrow().open.as_ref().is_some_and(|open| open.room == presence.room);
                if here {
                    self.known.update(|known| known.presence = Some(presence));
                }
            }
            Event::Limited { room, to, .. } => {
                if self.known.update_untracked(|known| known.rooms.missed(&room, to)) {
                    self.fetch_list();
                }
                self.missed(&room);
            }
            Event::Error { id: Some(id), why, message, .. } => {
                let known = self
                    .state
                    .borrow_mut()
                    .outbox
                    .as_mut()
                    .is_some_and(|outbox| outbox.refused(id, &why, message, browser::now()));
                if known {
                    self.flush();
                }
            }
            Event::Error { why: Refusal::LogIn, .. } => self.log_in_again(),
            Event::Pong => self.answered(),
            Event::Error { .. } => {}
            Event::Unknown => {
                if let Some((room, seq)) = place {
                    self.in_open_room(&room, seq, None);
                }
            }
        }
    }

    /// The server is there, and has told all that it had to tell when it was asked.
    fn answered(&self) {
        {
            let mut state = self.state.borrow_mut();
            let State { outbox: Some(outbox), open, watch, told_by, .. } = &mut *state else { return };
            if watch.answered() < *told_by {
                return;
            }
            let fetched = open.as_ref().filter(|open| open.log.as_ref().is_some_and(Log::is_fetching));
            outbox.caught_up(fetched.map(|open| &open.room));
        }
        self.show_waiting();
    }

    fn welcome(&self, epoch: Uuid, version: u32, build: String, rooms: &[RoomState]) {
        if version > VERSION {
            self.too_old(build);
            return;
        }
        let mut state = self.state.borrow_mut();
        state.ready = true;
        state.welcomes += 1;
        state.backoff.reset();
        let ours = state.build.get_or_insert_with(|| build.clone());
        state.newer = (*ours != build).then_some(build);
        let mut anew = None;
        let mut gone = false;
        if let Some(open) = &state.open {
            let now = rooms.iter().find(|room| room.room == open.room);
            gone = now.is_none();
            let ahead = now.zip(open.log.as_ref()).is_some_and(|(now, log)| now.seq < log.last());
            let fetching = open.log.as_ref().is_some_and(Log::is_fetching);
            if open.epoch != epoch || ahead || fetching {
                anew = Some(open.room.clone());
            }
        }
        if let Some(outbox) = &mut state.outbox {
            outbox.adopt();
        }
        drop(state);
        if gone {
            self.reload();
            return;
        }
        self.say(Line::Fine);
        self.reload_if_unseen();
        let mut changed = false;
        self.known.update(|known| changed = known.rooms.welcome(rooms));
        if changed {
            self.fetch_list();
        }
        if let Some(room) = anew {
            self.fetch_room(&room);
        }
        self.show_title();
        self.flush();
        self.mark_read();
    }

    /// An event of a room's log.
    fn logged(&self, event: Event) {
        let Some((room, seq)) = event.place().map(|(room, seq)| (room.clone(), seq)) else { return };
        let me = self.state.borrow().me.as_ref().map(|me| me.user.clone()).unwrap_or_default();
        self.known.update(|known| known.rooms.apply(&event, &me));
        let on_screen = self.state.borrow().open.as_ref().is_some_and(|open| open.room == room);
        match &event {
            Event::Message(message) if message.by.user == me => self.arrived(message.id),
            Event::Left(membership) if membership.by.user == me && on_screen => {
                Self::after_form(|| live().reload());
                return;
            }
            Event::Joined(membership) | Event::Left(membership) if membership.by.user == me => self.fetch_list(),
            _ => {}
        }
        self.in_open_room(&room, seq, Some(event));
        self.show_title();
    }

    fn in_open_room(&self, room: &Slug, seq: Seq, event: Option<Event>) {
        let mut state = self.state.borrow_mut();
        let Some(open) = state.open.as_mut().filter(|open| open.room == *room) else { return };
        let Some(log) = &mut open.log else { return };
        let step = log.apply(seq, event);
        let show = Rc::clone(&open.show);
        drop(state);
        match step {
            Step::Show(event) => {
                show(Change::Show(*event));
                self.mark_read();
            }
            Step::Nothing => {}
            Step::Resume => self.reconnect(),
            Step::Fetch => self.missed(room),
        }
    }

    /// More of a room is missing than is told again.
    fn missed(&self, room: &Slug) {
        self.fetch_room(room);
        // What happened to it may be among that.
        let under_way = self.state.borrow_mut().outbox.as_mut().is_some_and(|outbox| outbox.missed(room));
        if under_way {
            self.flush();
        }
    }

    /// Fetches the room on the screen anew, and shows it instead of what is shown. A page that is not followed stays.
    fn fetch_room(&self, room: &Slug) {
        let (around, asked) = {
            let mut state = self.state.borrow_mut();
            let Some(open) = state.open.as_mut().filter(|open| open.room == *room) else { return };
            let Some(log) = &mut open.log else { return };
            log.fetch();
            open.asked += 1;
            open.paging = false;
            (open.around, open.asked)
        };
        let room = room.clone();
        spawn_local(async move {
            let which = around.map_or_else(String::new, |at| format!("at={at}"));
            let page = read_room(&room, &which).await;
            live().fetched_room(&room, asked, page);
        });
        set_timeout(move || live().say_slow(asked), SLOW_AFTER);
    }

    /// The page that was asked for is not there yet.
    fn say_slow(&self, asked: u32) {
        let (room, show) = {
            let state = self.state.borrow();
            let fetching = |open: &&Open| open.asked == asked && open.log.as_ref().is_some_and(Log::is_fetching);
            let Some(open) = state.open.as_ref().filter(fetching) else { return };
            (open.room.clone(), Rc::clone(&open.show))
        };
        if let Some(about) = self.known.with_untracked(|known| known.rooms.about(&room)) {
            show(Change::Slow(about));
        }
    }

    fn fetched_room(&self, room: &Slug, asked: u32, page: Result<Page, Refusal>) {
        let mut state = self.state.borrow_mut();
        let ready = state.ready;
        let State { me: Some(me), open: Some(open), title, .. } = &mut *state else { return };
        if open.asked != asked {
            return;
        }
        let Some(log) = open.log.as_mut().filter(|log| log.is_fetching()) else { return };
        match page {
            Ok(mut page) if page.member => {
                open.epoch = page.epoch;
                if page.newer {
                    open.log = None;
                } else {
                    page.events = log.replace(page.as_of, page.events);
                    open.around = None;
                }
                let show = Rc::clone(&open.show);
                *title = format!("{} · Snug", page.about.name);
                let arrived = page.messages_of(&me.user);
                drop(state);
                arrived.into_iter().for_each(|id| self.arrived(id));
                self.known.update(|known| known.presence = page.here.take());
                show(Change::Turn(Box::new(page)));
                self.show_title();
                self.mark_read();
            }
            Err(why) if why.passes() => {
                drop(state);
                // Without a line it is asked for again with the next welcome.
                if ready {
                    let room = room.clone();
                    set_timeout(move || live().fetch_room(&room), AGAIN_AFTER);
                }
            }
            _ => {
                drop(state);
                self.reload();
            }
        }
    }

    /// Fetches the list of rooms anew: once for all that asks for it together, and one after the other, so that what comes last is the
    /// latest.
    fn fetch_list(&self) {
        {
            let mut state = self.state.borrow_mut();
            state.list_wanted = true;
            if state.list_fetching {
                return;
            }
            state.list_fetching = true;
        }
        spawn_local(async {
            let live = live();
            while live.wants_list() {
                let list = browser::post("list_rooms", "").await;
                live.fetched_list(list);
            }
        });
    }

    /// Whether the list is to be fetched once more; if not, nobody is at it any more.
    fn wants_list(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.list_fetching = std::mem::take(&mut state.list_wanted);
        state.list_fetching
    }

    fn fetched_list(&self, list: Result<String, Refusal>) {
        match list {
            Ok(json) => {
                if let Some(json) = json::parse(&json) {
                    self.know(wire::rooms(&json));
                    // What is on the screen is not unread.
                    self.mark_read();
                }
            }
            // Without a line the next welcome counts anew.
            Err(why) if why.passes() && self.state.borrow().ready => set_timeout(|| live().fetch_list(), AGAIN_AFTER),
            Err(_) => {}
        }
    }

    // What is said to the server

    /// Sends what can be sent, and shows how the rest stands.
    fn flush(&self) {
        let now = browser::now();
        let mut state = self.state.borrow_mut();
        let State { outbox: Some(outbox), socket, ready, due, watch, .. } = &mut *state else { return };
        if *ready && let Some(socket) = socket {
            for command in outbox.send(now) {
                socket.send(&command);
                watch.sent(now);
            }
        }
        if let Some(due) = due.take() {
            due.clear();
        }
        *due = outbox.due(now).and_then(|at| {
            set_timeout_with_handle(|| live().flush(), Duration::from_millis(at.saturating_sub(now).max(50))).ok()
        });
        let ask = *ready && outbox.take_unheard();
        drop(state);
        self.show_waiting();
        if ask {
            // Where the line has died without a word this tells that too.
            let asked = self.ping(PONG_SOON);
            self.state.borrow_mut().told_by = asked;
        }
    }

    fn show_waiting(&self) {
        let items = self.state.borrow().outbox.as_ref().map(|outbox| outbox.items().to_vec()).unwrap_or_default();
        if self.known.with_untracked(|known| known.waiting != items) {
            self.known.update(|known| known.waiting = items);
        }
    }

    /// What is at the end of the room on the screen has been read, if someone sees it.
    fn mark_read(&self) {
        if document().hidden() {
            return;
        }
        let (room, seq) = {
            let state = self.state.borrow();
            let Some(open) = state.open.as_ref().filter(|open| open.at_end) else { return };
            // A page that is fetched says when it is there.
            let Some(log) = open.log.as_ref().filter(|log| !log.is_fetching()) else { return };
            (open.room.clone(), log.last())
        };
        if self.known.with_untracked(|known| known.rooms.unread(&room)) == 0 {
            return;
        }
        self.known.update(|known| known.rooms.seen(&room));
        self.show_title();
        // What comes in during the pause may not be seen: what is said is what was read now.
        self.state.borrow_mut().read_due = Some((room, seq));
        self.send_read();
    }

    fn send_read(&self) {
        let mut state = self.state.borrow_mut();
        let State { socket: Some(socket), ready: true, read_due, read_pause: false, .. } = &mut *state else {
            // The welcome counts what is unread once more.
            return;
        };
        let Some((room, seq)) = read_due.take() else { return };
        socket.send(&Command::Read { room, seq });
        state.read_pause = true;
        set_timeout(|| live().end_read_pause(), READ_EVERY);
    }

    fn end_read_pause(&self) {
        self.state.borrow_mut().read_pause = false;
        self.send_read();
    }

    // The page

    fn show_title(&self) {
        let total = self.known.with_untracked(|known| known.rooms.total());
        let state = self.state.borrow();
        let title = if total == 0 { state.title.clone() } else { format!("({}) {}", rooms::count(total), state.title) };
        if document().title() != title {
            document().set_title(&title);
        }
    }

    /// The server speaks a newer protocol: nothing more is said, and the page is loaded again. What waits is kept.
    fn too_old(&self, build: String) {
        self.hang_up();
        {
            let mut state = self.state.borrow_mut();
            state.stopped = true;
            state.newer = Some(build);
        }
        self.known.update(|known| known.line = Line::Updated);
        self.reload_when_still();
    }

    /// Loads the page again, but not under anyone's fingers.
    fn reload_when_still(&self) {
        let still = is_over(browser::now(), self.state.borrow().typed_at, STILL);
        if document().hidden() || still {
            self.reload_once();
        } else {
            set_timeout(|| live().reload_when_still(), Duration::from_millis(STILL));
        }
    }

    /// A page of another build is loaded again while nobody looks.
    fn reload_if_unseen(&self) {
        if document().hidden() && self.state.borrow().ready {
            self.reload_once();
        }
    }

    /// Loads the page again where the server's build is another: once, since a proxy may have servers of several. Not while
    /// something is written that could not be kept.
    fn reload_once(&self) {
        let newer = {
            let state = self.state.borrow();
            let kept = !state.draft_unkept && state.outbox.as_ref().is_none_or(Outbox::is_kept);
            state.newer.clone().filter(|_| kept)
        };
        let (Some(build), Ok(Some(storage))) = (newer, window().session_storage()) else { return };
        if storage.get_item("snug.reloaded").ok().flatten().as_ref() != Some(&build)
            && storage.set_item("snug.reloaded", &build).is_ok()
        {
            self.reload();
        }
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.state.borrow_mut().stopped = true;
        // Drafts and the outbox are kept in storage.
        let _ = location().reload();
    }
}

/// A page of a room: `which` one is said as in a query, and is the latest when nothing is.
async fn read_room(room: &Slug, which: &str) -> Result<Page, Refusal> {
    let json = browser::post("read_room", &format!("room={room}&{which}")).await?;
    json::parse(&json).and_then(|json| wire::page(&json)).ok_or(Refusal::Unknown)
}

/// The page turns: its address is this from now on, and the way back leads to the one before.
fn push_address(address: &str) {
    let location = location();
    let parts = [location.pathname(), location.search(), location.hash()].map(Result::unwrap_or_default);
    if parts.concat() != address
        && let Ok(history) = window().history()
    {
        // Without it the page turns all the same.
        let _ = history.push_state_with_url(&JsValue::NULL, "", Some(address));
    }
}

/// Where a link to a room leads.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    room: Slug,
    at: Option<Seq>,
    before: Option<Seq>,
}

/// The room and place of `/room/tea`, `/room/tea?at=7#s7` and the like; none for what only a new page can show.
fn address_of(address: &str) -> Option<Address> {
    let address = address.split('#').next()?;
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let room = Slug::new(path.strip_prefix("/room/")?).ok()?;
    let seq = |name: &str| Some(Seq(query.strip_prefix(name)?.parse().ok()?));
    let (at, before) = (seq("at="), seq("before="));
    (query.is_empty() || at.is_some() || before.is_some()).then_some(Address { room, at, before })
}

/// To the door, and back here from there.
fn go_to_login() {
    let location = location();
    let mut here = format!("{}{}", location.pathname().unwrap_or_default(), location.search().unwrap_or_default());
    if here.starts_with("/actions/") {
        // The answer to a refused form: its address is no page's.
        here = "/".to_owned();
    }
    let next = String::from(js_sys::encode_uri_component(&here));
    let _ = location.assign(&format!("/login?next={next}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_rooms_are_told_from_others() {
        let room = Slug::new("tea").expect("a slug");
        let to =
            |at: Option<i64>, before: Option<i64>| Some(Address { room: room.clone(), at: at.map(Seq), before: before.map(Seq) });
        assert_eq!(address_of("/room/tea"), to(None, None));
        assert_eq!(address_of("/room/tea#new"), to(None, None));
        assert_eq!(address_of("/room/tea?at=7#s7"), to(Some(7), None));
        assert_eq!(address_of("/room/tea?before=51"), to(None, Some(51)));
        for other in ["/room/", "/room/Tea", "/room/tea/x", "/room/tea?after=3", "/room/tea?at=x", "/settings", ""] {
            assert_eq!(address_of(other), None, "{other}");
        }
    }
}
