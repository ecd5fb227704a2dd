//! A room from the inside, as far as it lives: its head, its log and the composer below it.
//!
//! The page comes with the rows that the log had ([`super::rows::push_page`]); they stay as they are, and what comes in afterwards is
//! laid out below them by the same function. When another room is turned to, or the log cannot be followed any more, the rows are
//! written anew, again by the same function.

use std::rc::Rc;

use leptos::ev::{KeyboardEvent, MouseEvent};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, ScrollIntoViewOptions, ScrollLogicalPosition};

use super::composer::{self, Form};
use super::draw::{draw, element, follow};
use super::markup::Markup;
use super::room_head::{self, closed};
use super::rows::{self, Above, NEW, Reader, Row};
use crate::app::given::given;
use crate::app::live::outbox::{Item, State};
use crate::app::live::rooms::count;
use crate::app::live::wire::{self, About, Opening, Page};
use crate::app::live::{Account, Change, browser, live};
use crate::app::request::WallTime;
use crate::app::time;
use crate::protocol::{Event, Message, Micros, Person, Presence, Refusal, Seq, Slug};

/// Scrolled up by no more than this many pixels, one is still at the end.
const NEAR_END: i32 = 24;
/// More is fetched when less than this many heights of the log are left to scroll.
const AHEAD: i32 = 1;
/// Rows that a log may grow to while its end is read, and how many of them are left then: the older ones are fetched again
/// by who scrolls up.
const ROWS_MAX: usize = 400;
const ROWS_LEFT: usize = 150;

/// The log, its end, and the page that is above what has come in.
pub const LOG: &str = "log";
const ROWS: &str = "rows";
const PAST: &str = "past";

/// Messages that the reader has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unread {
    /// The place after the last that is read.
    from: Seq,
    /// How many, up to [`UNREAD_MAX`](crate::protocol::UNREAD_MAX).
    count: u32,
}

/// Under which its page gives it what it opens with.
pub const ROOM: &str = "room-given";

#[island]
pub fn Room(children: Children) -> impl IntoView {
    given(ROOM, wire::opening).map(|opening| room(opening, children))
}

fn room(opening: Opening, children: Children) -> impl IntoView {
    let Opening { about, id, user, as_of, epoch, at, older, newer, above_at, above_author, events, .. } = opening;
    let Opening { read, unread, here, nonce, text, message, page, zone, text_max, .. } = opening;
    let me = Account { id, user };
    let paper = Paper {
        about,
        here,
        path: page,
        me: me.user.clone(),
        zone,
        above: Above { at: above_at, author: (!above_author.is_empty()).then_some(above_author), notes: events },
        rows: Vec::new(),
        older,
        newer,
        at_end: true,
        below: 0,
        far: false,
        unread: (unread > 0).then(|| Unread { from: read.next(), count: unread }),
        line_above: true,
        first_new: None,
        wanted: None,
        seen: true,
        slow: false,
        height: None,
        notice: message,
        composing: None,
        text_max: usize::try_from(text_max).unwrap_or(usize::MAX),
    };
    let head = room_head::head(&paper.about, &paper.here, &paper.path);
    let form = Form { as_of, nonce, typed: text, page: paper.path.clone() };
    let (chip, newer_links, closed_box) = (paper.unread_chip(), paper.newer_links(), paper.closed_box());
    let place = Place(RwSignal::new(paper));
    let mut drawn = Vec::new();
    follow(move |first| {
        if first {
            place.begin(&me, as_of, epoch, at);
        }
        place.draw(&mut drawn);
    });
    let keyed = |event: KeyboardEvent| {
        // Who begins to type means to write.
        let types = event.key().chars().count() == 1 && !matches!(event.key().as_str(), " " | "?");
        if types && !event.ctrl_key() && !event.meta_key() && !event.alt_key() {
            composer::focus();
        }
    };
    let form = composer::composer(place, form);
    view! {
        {head}
        <div class="log-frame" on:click=move |event| place.clicked(&event)>
            <div class="slot" id="unread" inner_html=chip></div>
            <section
                class="log"
                id=LOG
                role="log"
                aria-label="Messages"
                tabindex="0"
                on:scroll=move |_| place.scrolled()
                on:keydown=keyed
            >
                <div class="pages">
                    // Read by who reads it; announced is only what comes in.
                    <div id=PAST aria-live="off">{children()}</div>
                    <ol class="rows" id=ROWS></ol>
                    <div class="slot" id="newer" inner_html=newer_links></div>
                    // Announced when they have arrived.
                    <ol class="rows" id="waiting" aria-live="off"></ol>
                    <span id="end"></span>
                </div>
            </section>
            <div class="slot" id="jump"></div>
        </div>
        <div class="slot" id="closed" inner_html=closed_box></div>
        {form}
    }
}

/// A page of the log, in one element, with what stands above it: the way to what is older, or the log's beginning. `push_rows` writes
/// its rows.
pub fn past_html<T>(room: &Slug, older: Option<Seq>, push_rows: impl FnOnce(&mut String) -> T) -> (String, T) {
    let mut out = String::from("<div><div class=\"older\">");
    out.push_str(&older_html(room, older));
    out.push_str("</div><span id=\"first\"></span><ol class=\"rows\">");
    let pushed = push_rows(&mut out);
    out.push_str("</ol><p class=\"empty\">Nobody has said anything here yet. The first word is yours.</p></div>");
    (out, pushed)
}

/// The way to what is before `seq`; without one, the room begins here.
fn older_html(room: &Slug, seq: Option<Seq>) -> String {
    match seq {
        Some(seq) => format!("<p class=\"turn\"><a href=\"/room/{room}?before={seq}\">Older messages</a></p>"),
        None => "<p class=\"begins\">The room begins here.</p>".to_owned(),
    }
}

/// Where to draw the line above what is unread: after `read`, if what was read can be seen above it, or is nothing.
#[must_use]
pub fn line_after(read: Seq, older: Option<Seq>, events: &[Event]) -> Option<Seq> {
    let first = events.iter().filter_map(Event::place).map(|(_, seq)| seq).next()?;
    (older.is_none() || first <= read).then_some(read)
}

/// Where the reader is in the log, and what is shown of it. The log begins at its end (`flex-direction: column-reverse`), so
/// places are counted upwards from there and are negative.
#[derive(Clone, Copy)]
pub struct Place(RwSignal<Paper>);

impl Place {
    pub fn room(self) -> Slug {
        self.0.with_untracked(|paper| paper.about.room.clone())
    }

    /// What is shown, to be read; whoever does so in an effect does not follow it.
    pub fn look<T>(self, look: impl FnOnce(&Paper) -> T) -> T {
        self.0.with_untracked(look)
    }

    /// Changes what is shown.
    pub fn change(self, change: impl FnOnce(&mut Paper)) {
        self.0.update(change);
    }

    /// The page comes to life.
    fn begin(self, me: &Account, as_of: Seq, epoch: uuid::Uuid, at: Option<Seq>) {
        let live = live();
        live.start(me);
        let room = self.room();
        // What another tab sent before is an old story.
        live.known.update_untracked(|known| known.draft_gone = None);
        let waiting = live.known.with_untracked(|known| known.waiting.clone());
        for item in waiting.iter().filter(|item| item.room == room) {
            // It arrived while the page was being loaded, and stands there.
            if document().query_selector(&format!("[data-id=\"{}\"]", item.id)).is_ok_and(|row| row.is_some()) {
                live.arrived(item.id);
            }
        }
        let newer = self.look(|paper| paper.newer);
        live.open(room, newer.is_none().then_some(as_of), at, epoch, Rc::new(move |change| self.show(change)));
        // The reader may have moved before the page came to life, or come to a message by its address.
        if let (Some(at), None) = (at, browser::place_in_address())
            && let Some(message) = in_past(&format!("#s{at}"))
        {
            scroll_to(&message, ScrollLogicalPosition::Center);
        }
        self.scrolled();
    }

    /// Brings the page up to what is known. `drawn` are the items of the list of what has come in.
    fn draw(self, drawn: &mut Vec<Piece>) {
        let room = self.room();
        let (here, waiting, down, gone) = live().known.with(|known| {
            let waiting = known.waiting.iter().filter(|item| item.room == room).cloned().collect::<Vec<_>>();
            (known.presence.clone(), waiting, known.line.is_down(), known.draft_gone.clone())
        });
        if let Some(here) = here {
            self.0.update_untracked(|paper| paper.here = here);
        }
        let (pieces, slow) = self.0.with(|paper| {
            let waiting = paper.waiting(&waiting, down);
            draw_rows(drawn, paper);
            let pieces = [
                ("room-title", room_head::title(&paper.about)),
                ("room-here", room_head::faces(&paper.here)),
                ("here", room_head::names(&paper.here)),
                ("room-menu", room_head::menu(&paper.about, &paper.path)),
                ("unread", paper.unread_chip()),
                ("newer", paper.newer_links()),
                ("waiting", waiting),
                ("jump", paper.jump()),
                ("closed", paper.closed_box()),
                ("text-notice", Markup::default().text(&paper.notice).done()),
            ];
            (pieces, paper.slow)
        });
        for (id, html) in pieces {
            draw(id, html);
        }
        if let Some(log) = element(LOG) {
            let _ = if slow { log.set_attribute("aria-busy", "true") } else { log.remove_attribute("aria-busy") };
        }
        composer::turn(self);
        if let Some((room, text)) = gone {
            live().known.update_untracked(|known| known.draft_gone = None);
            composer::gone(self, &room, &text);
        }
    }

    fn clicked(self, event: &MouseEvent) {
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let Some(button) = target.and_then(|target| target.closest("[data-do]").ok().flatten()) else { return };
        let id = || button.get_attribute("data-id")?.parse().ok();
        match button.get_attribute("data-do").as_deref() {
            Some("up") => self.up(event),
            Some("end") => {
                self.to_latest();
                composer::focus();
            }
            Some("again") => {
                if let Some(id) = id() {
                    live().try_again(id);
                }
            }
            Some("back") => {
                if let Some(text) = id().and_then(|id| live().take_back(id)) {
                    composer::take_back(self, &text);
                }
            }
            _ => {}
        }
    }

    /// What one has just said stands at the end of the latest page.
    pub fn sent(self) {
        self.to_latest();
        self.change(|paper| paper.unread = None);
    }

    fn to_latest(self) {
        if self.look(|paper| paper.newer.is_some()) { live().turn_to_end() } else { to_end() }
    }

    fn show(self, change: Change) {
        match change {
            Change::Show(event) => self.show_next(&event),
            Change::Turn(page) => self.turn(*page),
            Change::Older { events, older } => self.show_older(&events, older),
            Change::Newer { events, newer } => {
                let last = events.iter().filter_map(Event::place).map(|(_, seq)| seq).next_back();
                self.before_growing();
                self.change(|paper| {
                    for event in &events {
                        if let Some(row) = paper.lay_out_next(event) {
                            paper.put(row);
                        }
                    }
                    paper.newer = if newer { last.or(paper.newer) } else { None };
                });
                // Where there is still more to fetch is known when the rows are there.
                request_animation_frame(move || self.scrolled());
            }
            // A room that is fetched anew stays on the screen until it comes.
            Change::Slow(about) if about.room == self.room() => {}
            Change::Slow(about) => {
                set_past("");
                self.change(|paper| {
                    paper.about = about;
                    paper.older = None;
                    paper.slow = true;
                    paper.clear();
                });
            }
        }
    }

    /// Shows the next event of the log below the others.
    fn show_next(self, event: &Event) {
        self.look_for_end();
        let hidden = document().hidden();
        let (others, unseen) = self.look(|paper| {
            let others = matches!(event, Event::Message(message) if message.by.user != paper.me);
            (others, others && paper.seen && (hidden || !paper.at_end))
        });
        // The line that came with a page, if one did, has been seen. Above what the reader sees nobody misses it; below, it is
        // made up for with what is put there.
        let line = in_past("#new").filter(|_| unseen);
        let drop_line = || line.iter().for_each(Element::remove);
        if line.as_ref().is_some_and(is_above) {
            drop_line();
        }
        self.before_growing();
        let mut new_day = false;
        let mut shown = false;
        self.change(|paper| {
            match event {
                Event::Joined(_) => paper.about.members += 1,
                Event::Left(_) => paper.about.members = paper.about.members.saturating_sub(1),
                Event::Closed(_) => paper.about.closed = true,
                Event::Reopened(_) => paper.about.closed = false,
                _ => {}
            }
            if unseen {
                // Below the line its author is named again.
                paper.above.author = None;
                paper.seen = false;
            }
            let Some(row) = paper.lay_out_next(event) else { return };
            if unseen {
                drop_line();
                paper.unread = None;
                paper.first_new = Some(row.seq);
            }
            paper.below += u32::from(others && !paper.at_end);
            new_day = row.day.is_some();
            paper.put(row);
            shown = true;
        });
        if !shown {
            return;
        }
        self.trim();
        if new_day {
            self.0.with_untracked(Paper::name_days);
        }
    }

    /// Shows a page instead of everything that is shown.
    fn turn(self, page: Page) {
        let Page { about, read, events, older, newer, .. } = page;
        let unread = live().known.with_untracked(|known| known.rooms.unread(&about.room));
        let last = events.iter().filter_map(Event::place).map(|(_, seq)| seq).next_back();
        let mut other = false;
        self.change(|paper| {
            other = paper.about.room != about.room || paper.slow;
            (paper.older, paper.at_end, paper.seen, paper.slow, paper.height) = (older, false, true, false, None);
            let wanted = paper.wanted.take();
            let line = line_after(wanted.unwrap_or(read), older, &events).filter(|_| wanted.is_some() || unread > 0);
            let (html, above) = past_html(&about.room, older, |out| paper.push_page(out, &events, line));
            set_past(&html);
            paper.clear();
            paper.above = above;
            paper.newer = last.filter(|_| newer);
            paper.unread = (unread > 0).then(|| Unread { from: read.next(), count: unread });
            paper.about = about;
        });
        // Where the reader is will be known when the rows that were there are gone.
        live().at_end(false);
        request_animation_frame(move || self.go_to_place(other));
    }

    /// Goes to where the page's address leads; else, in a room that one has just come to, to what is unread; else to the end.
    fn go_to_place(self, just_come: bool) {
        let named = browser::place_in_address().and_then(|named| in_past(&named));
        if let Some(place) = named.as_ref().filter(|place| place.id() != "new") {
            let _ = place.class_list().add_1("found");
            scroll_to(place, ScrollLogicalPosition::Center);
        } else if let Some(line) = named.or_else(|| in_past("#new").filter(|_| just_come)) {
            scroll_to(&line, ScrollLogicalPosition::Start);
        } else {
            to_end();
        }
        self.scrolled();
    }

    /// Shows what is before everything that is shown; what the reader sees stays where it is, since places count from the end.
    fn show_older(self, events: &[Event], older: Option<Seq>) {
        let Some(past) = element(PAST) else { return };
        self.0.update_untracked(|paper| paper.older = older);
        let mut rows = String::new();
        let older = self.look(|paper| {
            paper.push_page(&mut rows, events, None);
            older_html(&paper.about.room, older)
        });
        let Ok(Some(link)) = past.query_selector(".older") else { return };
        // The link that was there may have been what the reader stood on.
        let focused = document().active_element().is_some_and(|focused| link.contains(Some(&focused)));
        link.set_inner_html(&older);
        let below = past.query_selector(".rows .day time").ok().flatten();
        let _ = link.insert_adjacent_html("afterend", &format!("<ol class=\"rows\">{rows}</ol>"));
        // A day that both pages have is named once.
        if let (Some(below), Ok(above)) = (below, past.query_selector_all(".rows:first-of-type .day time"))
            && let Some(above) = above.get(above.length().saturating_sub(1)).and_then(|day| day.dyn_into::<Element>().ok())
            && above.get_attribute("datetime") == below.get_attribute("datetime")
            && let Some(row) = below.parent_element()
        {
            row.remove();
        }
        if focused && let Some(log) = element(LOG) {
            let _ = log.focus();
        }
        request_animation_frame(move || self.scrolled());
    }

    /// Drops the oldest rows of a log that has grown long, while its end is read.
    fn trim(self) {
        if self.look(|paper| !paper.at_end || paper.rows.len() <= ROWS_MAX) {
            return;
        }
        self.change(|paper| {
            paper.rows.drain(..paper.rows.len() - ROWS_LEFT);
            paper.older = paper.rows.first().map(|row| row.seq);
            set_past(&past_html(&paper.about.room, paper.older, |_| ()).0);
        });
    }

    /// Something will be put at the end. Who is there stays there; who is elsewhere sees no line move.
    fn before_growing(self) {
        let Some(log) = element(LOG) else { return };
        if self.look(|paper| paper.at_end || paper.height.is_some()) {
            return;
        }
        self.0.update_untracked(|paper| paper.height = Some(log.scroll_height()));
        request_animation_frame(move || {
            let mut before = None;
            self.0.update_untracked(|paper| before = paper.height.take());
            if let (Some(log), Some(before)) = (element(LOG), before) {
                log.set_scroll_top(log.scroll_top() - (log.scroll_height() - before));
            }
        });
    }

    /// Who has just scrolled up is away from the end before the browser's event says so, which comes with its next frame.
    fn look_for_end(self) {
        if self.look(|paper| paper.at_end) && element(LOG).is_some_and(|log| -log.scroll_top() >= NEAR_END) {
            self.scrolled();
        }
    }

    fn scrolled(self) {
        let Some(log) = element(LOG) else { return };
        let (below, height) = (-log.scroll_top(), log.client_height());
        let above = log.scroll_height() - height - below;
        let (newer, older, slow) = self.look(|paper| (paper.newer, paper.older, paper.slow));
        let at_end = below < NEAR_END && newer.is_none();
        let was_at_end = self.look(|paper| paper.at_end);
        let far = newer.is_some() || below > height;
        let seen = at_end && !document().hidden();
        if self.look(|paper| paper.far != far || at_end && paper.below > 0) {
            self.change(|paper| {
                paper.far = far;
                paper.below = if at_end { 0 } else { paper.below };
            });
        }
        self.0.update_untracked(|paper| {
            paper.at_end = at_end;
            paper.seen |= seen;
        });
        if at_end != was_at_end {
            live().at_end(at_end);
        }
        self.look_for_line();
        if slow {
            return;
        }
        if above < height * AHEAD
            && let Some(older) = older
        {
            live().older(older);
        }
        if below < height
            && let Some(newer) = newer
        {
            live().newer(newer);
        }
    }

    /// Whether the line above what is unread is above what the reader sees.
    fn look_for_line(self) {
        if self.look(|paper| paper.unread.is_none()) {
            return;
        }
        let above = in_past("#new").is_none_or(|line| is_above(&line));
        if !above || self.look(|paper| !paper.line_above) {
            self.change(|paper| {
                paper.line_above = above;
                // Reached, it need not be offered any more.
                paper.unread = paper.unread.filter(|_| above);
            });
        }
    }

    /// To the first message that is unread; where the page does not have it, by another page.
    fn up(self, event: &MouseEvent) {
        if let Some(line) = in_past("#new") {
            event.prevent_default();
            scroll_to(&line, ScrollLogicalPosition::Start);
            if let Some(log) = element(LOG) {
                let _ = log.focus();
            }
        }
        self.change(|paper| paper.wanted = paper.unread.take().map(|unread| Seq(unread.from.0 - 1)));
    }
}

fn in_past(selector: &str) -> Option<Element> {
    element(PAST)?.query_selector(selector).ok().flatten()
}

/// Whether `row` is above what the reader sees.
fn is_above(row: &Element) -> bool {
    element(LOG).is_some_and(|log| row.get_bounding_client_rect().bottom() < log.get_bounding_client_rect().top())
}

/// Instead of the page that is above what has come in.
fn set_past(html: &str) {
    if let Some(past) = element(PAST) {
        past.set_inner_html(html);
    }
}

fn to_end() {
    if let Some(log) = element(LOG) {
        log.set_scroll_top(0);
    }
}

fn scroll_to(to: &Element, place: ScrollLogicalPosition) {
    let options = ScrollIntoViewOptions::new();
    options.set_block(place);
    to.scroll_into_view_with_scroll_into_view_options(&options);
}

/// An item of the list of what has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// The day that begins with the row at this place.
    Day(Seq),
    /// The line "New".
    New,
    /// From the first event to the last.
    Row(Seq, Seq),
}

/// Brings the list of what has come in up to the rows of `paper`: items are put in, taken out, and never written again, so that
/// what is announced is only what is new.
fn draw_rows(drawn: &mut Vec<Piece>, paper: &Paper) {
    let mut wanted = Vec::with_capacity(paper.rows.len() + 2);
    for row in &paper.rows {
        if paper.first_new == Some(row.seq) {
            wanted.push((Piece::New, row));
        }
        if row.day.is_some() {
            wanted.push((Piece::Day(row.seq), row));
        }
        wanted.push((Piece::Row(row.seq, row.until), row));
    }
    let Some(list) = element(ROWS) else { return };
    let mut there = list.first_element_child();
    let mut old = drawn.iter().peekable();
    let mut html = String::new();
    for (at, (piece, row)) in wanted.iter().enumerate() {
        while old.next_if(|old| *old != piece && !wanted[at..].iter().any(|(piece, _)| piece == *old)).is_some() {
            there = take_out(there);
        }
        if old.next_if(|old| *old == piece).is_some() {
            there = there.and_then(|there| there.next_element_sibling());
            continue;
        }
        html.clear();
        match piece {
            Piece::Day(_) => row.push_day(&mut html),
            Piece::New => html.push_str(NEW),
            Piece::Row(..) => row.push_item(&mut html),
        }
        let _ = match &there {
            Some(there) => there.insert_adjacent_html("beforebegin", &html),
            None => list.insert_adjacent_html("beforeend", &html),
        };
    }
    while there.is_some() {
        there = take_out(there);
    }
    *drawn = wanted.into_iter().map(|(piece, _)| piece).collect();
}

/// Takes an item out of its list: the one after it.
fn take_out(item: Option<Element>) -> Option<Element> {
    let item = item?;
    let next = item.next_element_sibling();
    item.remove();
    next
}

/// What is shown of a room, and where on it the reader is.
#[derive(Clone, Debug)]
pub struct Paper {
    pub about: About,
    /// Who is here.
    here: Presence,
    /// The page's path and query.
    path: String,
    me: String,
    zone: String,
    /// What the next row follows.
    above: Above,
    /// Everything of the log that came after the page, or instead of it.
    rows: Vec<Row>,
    /// There is more before the first event that is shown.
    older: Option<Seq>,
    /// The last event that is shown, where there is more after it.
    newer: Option<Seq>,
    at_end: bool,
    /// Messages of others that came in below what the reader sees.
    below: u32,
    /// Whether the reader is more than a screen away from the end.
    far: bool,
    /// What was unread when the room was opened, until it has been looked at.
    unread: Option<Unread>,
    /// Whether the line above what is unread is above what the reader sees, or not on the page at all.
    line_above: bool,
    /// The first message that came in while nobody looked.
    first_new: Option<Seq>,
    /// Where what was unread begins, for who has asked to be led there: it is read by the time that the page comes.
    wanted: Option<Seq>,
    /// Whether the reader has seen everything that came in.
    seen: bool,
    /// The room that is turned to is long in coming.
    slow: bool,
    /// How high the log was before what has just come in.
    height: Option<i32>,
    /// What the composer says; empty when nothing.
    pub notice: String,
    /// The room that the composer writes to, once it lives.
    pub composing: Option<Slug>,
    /// The longest message, in characters.
    pub text_max: usize,
}

impl Paper {
    /// Nothing is shown any more.
    fn clear(&mut self) {
        self.rows.clear();
        self.first_new = None;
        self.below = 0;
    }

    /// Puts a row below the others; what it takes the place of may have come with the page.
    fn put(&mut self, row: Row) {
        if row.seq != row.until
            && let Some(there) = in_past(&format!("#s{}", row.seq))
        {
            there.remove();
        }
        rows::put(&mut self.rows, row);
    }

    /// Lays out the next event of the log.
    fn lay_out_next(&mut self, event: &Event) -> Option<Row> {
        let mut above = std::mem::take(&mut self.above);
        let row = self.lay_out(event, &mut above);
        self.above = above;
        row
    }

    fn lay_out(&self, event: &Event, above: &mut Above) -> Option<Row> {
        let wall = |at| browser::wall(&self.zone, at);
        Row::of(event, above, &Reader { me: &self.me, now: browser::now_micros(), wall: &wall })
    }

    /// Lays out a whole page, with a line after what is `read`.
    fn push_page(&self, out: &mut String, events: &[Event], read: Option<Seq>) -> Above {
        let wall = |at| browser::wall(&self.zone, at);
        rows::push_page(out, events, read, &Reader { me: &self.me, now: browser::now_micros(), wall: &wall })
    }

    /// What waits, laid out as it will stand when it has arrived. There is little of it: all of it at every change.
    fn waiting(&self, items: &[Item], down: bool) -> String {
        let mut above = self.above.clone();
        let mut out = Markup::default();
        for item in items {
            if let Some(row) = self.lay_out(&self.as_event(item), &mut above) {
                push_waiting(&mut out, item, &row, down);
            }
        }
        out.done()
    }

    /// What waits, as it will come back.
    fn as_event(&self, item: &Item) -> Event {
        Event::Message(Message {
            room: item.room.clone(),
            seq: Seq::ZERO,
            id: item.id,
            by: Person { user: self.me.clone(), name: None },
            text: item.text.clone(),
            at: Micros(i64::try_from(item.at.saturating_mul(1_000)).unwrap_or_default()),
        })
    }

    /// The way up to the first message that is unread.
    fn unread_chip(&self) -> String {
        let mut out = Markup::default();
        if let Some(unread) = self.unread.filter(|_| self.line_above) {
            out.raw("<a class=\"jump up\" data-do=\"up\" href=\"/room/").text(self.about.room.as_str());
            out.raw("?at=").text(&unread.from.to_string()).raw("#new\">");
            out.text(&count(unread.count)).raw(" new, from here</a>");
        }
        out.done()
    }

    /// The ways on from a page that is not the end of the log.
    fn newer_links(&self) -> String {
        let mut out = Markup::default();
        if let Some(last) = self.newer {
            let room = self.about.room.as_str();
            out.raw("<p class=\"turn\"><a href=\"/room/").text(room).raw("?after=").text(&last.to_string());
            out.raw("#first\">Newer messages</a> <a href=\"/room/").text(room).raw("\">To the latest</a></p>");
        }
        out.done()
    }

    /// The way down to the end; and the word that the room is on its way.
    fn jump(&self) -> String {
        let mut out = Markup::default();
        if self.slow {
            out.raw("<p class=\"slow\" role=\"status\">On its way…</p>");
        }
        let words = match self.below {
            0 if self.far => "To the newest".to_owned(),
            0 => return out.done(),
            below => format!("{below} new below"),
        };
        out.raw("<button type=\"button\" class=\"jump\" data-do=\"end\">").text(&words).raw("</button>").done()
    }

    fn closed_box(&self) -> String {
        if self.about.closed { closed(&self.about, &self.path) } else { String::new() }
    }

    /// Names the days anew: what was today may be yesterday by now.
    fn name_days(&self) {
        let now = browser::now_micros();
        let (today, yesterday) = (browser::wall(&self.zone, now), browser::wall(&self.zone, time::day_before(now)));
        let Ok(days) = document().query_selector_all(".day time") else { return };
        for at in 0..days.length() {
            let Some(day) = days.get(at).and_then(|day| day.dyn_into::<web_sys::Element>().ok()) else { continue };
            let Some(wall) = day.get_attribute("datetime").as_deref().and_then(date_of) else { continue };
            day.set_text_content(Some(&time::day_name(&wall, &today, &yesterday)));
        }
    }
}

/// The day that `2026-11-20` names.
fn date_of(date: &str) -> Option<WallTime> {
    let mut parts = date.split('-');
    let mut number = || parts.next()?.parse::<u16>().ok();
    let (year, month, day) = (number()?, number()?, number()?);
    Some(time::day(i32::from(year), u8::try_from(month).ok()?, u8::try_from(day).ok()?))
}

/// Writes a message that has not arrived, with how it stands.
fn push_waiting(out: &mut Markup, item: &Item, row: &Row, down: bool) {
    let refused = matches!(item.state, State::Refused(_));
    let id = item.id.to_string();
    if let Some(day) = &row.day {
        out.raw("<li class=\"day\"><time datetime=\"").text(&day.date).raw("\">").text(&day.name).raw("</time></li>");
    }
    out.raw("<li data-key=\"").text(&id).raw("\" class=\"").raw(row.class).raw(if refused { " refused" } else { " waiting" });
    out.raw("\"><div class=\"inside\">").laid_out(row).raw("</div><p class=\"state\">");
    match &item.state {
        State::Waiting if down => out.raw("waiting for the line…"),
        State::Waiting | State::UnderWay => out.raw("sending…"),
        State::Elsewhere => out.raw("sent from another tab…"),
        State::Later { why: Refusal::Full, .. } => {
            out.raw("The server's disk is full; kept here, and sent again until it is taken…")
        }
        State::Later { .. } => out.raw("The server is busy; sent again in a moment…"),
        State::Refused(why) => out.raw("Not sent. ").text(why),
    };
    if refused {
        for (action, label) in [("again", "Try again"), ("back", "Take back")] {
            out.raw(" <button type=\"button\" class=\"link\" data-do=\"").raw(action).raw("\" data-id=\"").text(&id);
            out.raw("\">").raw(label).raw("</button>");
        }
    }
    out.raw("</p></li>");
}
