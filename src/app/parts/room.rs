//! A room from the inside, as far as it lives: its head, its log and the composer below it.
//!
//! The page comes with the rows that the log had ([`super::rows::page`]); they stay as they are, and what comes in afterwards is
//! laid out below them by the same function. When another room is turned to, or the log cannot be followed any more, the rows are
//! written anew, again by the same function.

use std::rc::Rc;

use leptos::ev::{KeyboardEvent, SubmitEvent};
use leptos::html::{Div, Section, Textarea};
use leptos::prelude::*;
use uuid::Uuid;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, ScrollIntoViewOptions, ScrollLogicalPosition};

use super::here::Here;
use super::room_list::members;
use super::rows::{self, Above, LiveRow, Reader, Row};
use super::text::push_escaped;
use crate::app::given::given;
use crate::app::live::outbox::{Item, State};
use crate::app::live::rooms::count;
use crate::app::live::wire::{self, About, Opening, Page};
use crate::app::live::{Account, Change, Line, browser, live};
use crate::app::request::WallTime;
use crate::app::{form, time};
use crate::protocol::{Event, Message, Micros, Person, Presence, Seq, Slug};

/// Scrolled up by no more than this many pixels, one is still at the end.
const NEAR_END: i32 = 24;
/// The most rows that the composer grows to.
const COMPOSER_ROWS: usize = 8;
/// More is fetched when less than this many heights of the log are left to scroll.
const AHEAD: i32 = 1;
/// Rows that a log may grow to while its end is read, and how many of them are left then: the older ones are fetched again
/// by who scrolls up.
const ROWS_MAX: usize = 400;
const ROWS_LEFT: usize = 150;

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
    let above = Above { at: above_at, author: (!above_author.is_empty()).then_some(above_author), notes: events };
    let log = NodeRef::<Section>::new();
    let past = NodeRef::<Div>::new();
    let composer = NodeRef::<Textarea>::new();

    // Everything of the log that came after the page, or instead of it.
    let rows = RwSignal::new(Vec::<Row>::new());
    // One's own that have not arrived.
    let waiting = RwSignal::new(Vec::<Item>::new());
    let line = RwSignal::new(Line::Fine);
    let here = RwSignal::new(here);
    let paper = Paper {
        room: about.room.clone(),
        me: me.user.clone(),
        zone,
        above,
        older,
        at_end: true,
        wanted: None,
        seen: true,
        height: None,
    };
    let place = Place {
        log,
        past,
        paper: StoredValue::new(paper),
        about: RwSignal::new(about),
        rows,
        newer: RwSignal::new(newer),
        below: RwSignal::new(0),
        far: RwSignal::new(false),
        unread: RwSignal::new((unread > 0).then(|| Unread { from: read.next(), count: unread })),
        line_above: RwSignal::new(true),
        first_new: RwSignal::new(None),
        slow: RwSignal::new(false),
    };
    let about = place.about;

    Effect::new(move |_| {
        let live = live();
        live.start(&me);
        let room = place.room();
        for item in live.waiting.get_untracked().iter().filter(|item| item.room == room) {
            // It arrived while the page was being loaded, and stands there.
            if document().query_selector(&format!("[data-id=\"{}\"]", item.id)).is_ok_and(|row| row.is_some()) {
                live.arrived(item.id);
            }
        }
        let show = move |change| place.show(change);
        live.open(room, newer.is_none().then_some(as_of), at, epoch, Rc::new(show));
        // The reader may have moved before the page came to life, or come to a message by its address.
        if let (Some(at), None) = (at, browser::place_in_address())
            && let Some(message) = place.in_past(&format!("#s{at}"))
        {
            scroll_to(&message, ScrollLogicalPosition::Center);
        }
        place.scrolled();
    });
    Effect::new(move |_| {
        let room = about.with(|about| about.room.clone());
        waiting.set(live().waiting.get().into_iter().filter(|item| item.room == room).collect());
    });
    Effect::new(move |_| line.set(live().line.get()));
    Effect::new(move |_| {
        if let Some(presence) = live().presence.get() {
            here.set(presence);
        }
    });

    // What waits, laid out as it will stand when it has arrived. There is little of it: all of it at every change.
    let drafts = move || {
        rows.track();
        let down = line.get().is_down();
        let items = waiting.get();
        place.paper.with_value(|paper| {
            let mut above = paper.above.clone();
            let rows = items.into_iter().filter_map(|item| {
                let row = paper.lay_out(&paper.as_event(&item), &mut above)?;
                Some(waiting_row(item, row, down, composer))
            });
            rows.collect_view()
        })
    };
    let to_end = move |_| {
        if place.newer.get_untracked().is_some() {
            live().turn_to_end()
        } else {
            place.to_end()
        }
        if let Some(composer) = composer.get_untracked() {
            let _ = composer.focus();
        }
    };
    let sent = move || {
        // What one has just said stands at the end of the latest page.
        if place.newer.get_untracked().is_some() {
            live().turn_to_end()
        } else {
            place.to_end()
        }
        place.unread.set(None);
    };
    let keyed = move |event: KeyboardEvent| {
        // Who begins to type means to write.
        let types = event.key().chars().count() == 1 && !matches!(event.key().as_str(), " " | "?");
        if types
            && !event.ctrl_key()
            && !event.meta_key()
            && !event.alt_key()
            && let Some(composer) = composer.get_untracked()
        {
            let _ = composer.focus();
        }
    };
    let closed_page = page.clone();
    let head = head(about, here, page.clone());
    let form = compose(Form { about, log, as_of, nonce, typed: text, why: message, page, text_max }, composer, sent);
    view! {
        {head}
        <div class="log-frame">
            {move || place.unread_chip()}
            <section
                class="log"
                role="log"
                aria-label="Messages"
                aria-busy=move || place.slow.get().then_some("true")
                tabindex="0"
                node_ref=log
                on:scroll=move |_| place.scrolled()
                on:keydown=keyed
            >
                <div class="pages">
                    // Read by who reads it; announced is only what comes in.
                    <div node_ref=past aria-live="off">{children()}</div>
                    <ol class="rows">
                        <For each=move || rows.get() key=|row| (row.seq, row.until) let:row>
                            <LiveRow row=row first_new=place.first_new/>
                        </For>
                    </ol>
                    {move || place.newer_links()}
                    // Announced when they have arrived.
                    <ol class="rows" aria-live="off">{drafts}</ol>
                    <span id="end"></span>
                </div>
            </section>
            {move || place.slow.get().then(|| view! { <p class="slow" role="status">"On its way…"</p> })}
            {move || {
                let below = place.below.get();
                let words = match below {
                    0 if place.far.get() => "To the newest".to_owned(),
                    0 => return None,
                    _ => format!("{below} new below"),
                };
                Some(view! { <button type="button" class="jump" on:click=to_end>{words}</button> })
            }}
        </div>
        {move || about.with(|about| about.closed.then(|| closed(about, &closed_page)))}
        {form}
    }
}

/// What stands above the log: what the room is, who is here, and what one can do about it.
fn head(about: RwSignal<About>, here: RwSignal<Presence>, page: String) -> impl IntoView {
    let topic =
        |about: &About| (!about.topic.is_empty()).then(|| view! { <p class="topic" dir="auto">{about.topic.clone()}</p> });
    let title = move || {
        about.with(|about| {
            view! {
                <h1><bdi>{about.name.clone()}</bdi></h1>
                {topic(about)}
            }
        })
    };
    let menu = move || {
        about.with(|about| {
            let may_close = about.may_open && !about.closed;
            view! {
                {topic(about)}
                <p class="hint">{members(about.members)}</p>
                {closes(&about.idle).map(|closes| view! { <p class="hint">{closes}</p> })}
                {may_close.then(|| room_form("close_room", "Close the room", about, &page))}
                {room_form("leave_room", "Leave the room", about, &page)}
            }
        })
    };
    view! {
        <header class="head">
            <a class="back" href="/">"Rooms"</a>
            <div class="title">{title}</div>
            <Here here=here/>
            <button type="button" class="round" popovertarget="room-menu" aria-label="About this room">"⋯"</button>
            <div class="popover" id="room-menu" popover="auto">{menu}</div>
        </header>
    }
}

/// What stands in the composer's place when the room is closed.
fn closed(about: &About, page: &str) -> impl IntoView + use<> {
    view! {
        <div class="composer closed">
            <p>"This room is closed. All that was said can still be read."</p>
            {about.may_open.then(|| room_form("reopen_room", "Open it again", about, page))}
        </div>
    }
}

/// A button that does something with the room on the screen.
fn room_form(action: &'static str, label: &'static str, about: &About, page: &str) -> impl IntoView + use<> {
    view! {
        <form method="post" action=["/actions/", action].concat()>
            <input type="hidden" name=form::PAGE value=page.to_owned()/>
            <input type="hidden" name="room" value=about.room.to_string()/>
            <button class="button quiet small">{label}</button>
        </form>
    }
}

/// When a room closes by itself, in a sentence; `idle` is as [`About::idle`] has it.
fn closes(idle: &str) -> Option<&'static str> {
    Some(match idle {
        "hour" => "Closes after an hour without a message",
        "day" => "Closes after a day without a message",
        "week" => "Closes after a week without a message",
        "month" => "Closes after a month without a message",
        _ => return None,
    })
}

/// A page of the log, with what stands above it: the way to what is older, or the log's beginning.
#[must_use]
pub fn past_html(room: &Slug, older: Option<Seq>, rows: &str) -> String {
    let mut out = String::with_capacity(rows.len() + 200);
    out.push_str("<div class=\"older\">");
    out.push_str(&older_html(room, older));
    out.push_str("</div><span id=\"first\"></span><ol class=\"rows\">");
    out.push_str(rows);
    out.push_str("</ol>");
    out.push_str("<p class=\"empty\">Nobody has said anything here yet. The first word is yours.</p>");
    out
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
struct Place {
    log: NodeRef<Section>,
    /// What the page came with, and what was fetched above it.
    past: NodeRef<Div>,
    paper: StoredValue<Paper>,
    about: RwSignal<About>,
    rows: RwSignal<Vec<Row>>,
    /// The last event that is shown, where there is more after it.
    newer: RwSignal<Option<Seq>>,
    /// Messages of others that came in below what the reader sees.
    below: RwSignal<u32>,
    /// Whether the reader is more than a screen away from the end.
    far: RwSignal<bool>,
    /// What was unread when the room was opened, until it has been looked at.
    unread: RwSignal<Option<Unread>>,
    /// Whether the line above what is unread is above what the reader sees, or not on the page at all.
    line_above: RwSignal<bool>,
    /// The first message that came in while nobody looked.
    first_new: RwSignal<Option<Seq>>,
    /// The room that is turned to is long in coming.
    slow: RwSignal<bool>,
}

impl Place {
    fn room(self) -> Slug {
        self.paper.with_value(|paper| paper.room.clone())
    }

    fn show(self, change: Change) {
        match change {
            Change::Show(event) => self.show_next(&event),
            Change::Turn(page) => self.turn(*page),
            Change::Older { events, older } => self.show_older(&events, older),
            Change::Newer { events, newer } => {
                let last = events.iter().filter_map(Event::place).map(|(_, seq)| seq).next_back();
                self.before_growing();
                for event in &events {
                    if let Some(row) = self.paper.try_update_value(|paper| paper.lay_out_next(event)).flatten() {
                        self.put(row);
                    }
                }
                self.newer.update(|end| *end = if newer { last.or(*end) } else { None });
                // Where there is still more to fetch is known when the rows are there.
                request_animation_frame(move || self.scrolled());
            }
            // A room that is fetched anew stays on the screen until it comes.
            Change::Slow(about) if about.room == self.room() => {}
            Change::Slow(about) => {
                self.paper.update_value(|paper| {
                    paper.room = about.room.clone();
                    paper.older = None;
                });
                self.about.set(about);
                self.slow.set(true);
                self.clear("");
            }
        }
    }

    /// Takes away all that is shown; `past` is what stands there instead.
    fn clear(self, past_html: &str) {
        if let Some(past) = self.past.get_untracked() {
            past.set_inner_html(past_html);
        }
        self.rows.set(Vec::new());
        self.first_new.set(None);
        self.below.set(0);
    }

    /// Shows the next event of the log below the others.
    fn show_next(self, event: &Event) {
        match event {
            Event::Joined(_) => self.about.update(|about| about.members += 1),
            Event::Left(_) => self.about.update(|about| about.members = about.members.saturating_sub(1)),
            Event::Closed(_) => self.about.update(|about| about.closed = true),
            Event::Reopened(_) => self.about.update(|about| about.closed = false),
            _ => {}
        }
        let hidden = document().hidden();
        let laid_out = self.paper.try_update_value(|paper| {
            let others = matches!(event, Event::Message(message) if message.by.user != paper.me);
            let unseen = others && paper.seen && (hidden || !paper.at_end);
            if unseen {
                // Below the line its author is named again.
                paper.above.author = None;
                paper.seen = false;
            }
            let row = paper.lay_out_next(event)?;
            Some((row, others && !paper.at_end, unseen))
        });
        let Some((row, below, unseen)) = laid_out.flatten() else { return };
        let new_day = row.day.is_some();
        if unseen {
            self.drop_line();
            self.first_new.set(Some(row.seq));
        }
        if below {
            self.below.update(|below| *below += 1);
        }
        self.before_growing();
        self.put(row);
        self.trim();
        if new_day {
            self.paper.with_value(Paper::name_days);
        }
    }

    /// Puts a row below the others; what it takes the place of may have come with the page.
    fn put(self, row: Row) {
        if row.seq != row.until
            && let Some(there) = self.in_past(&format!("#s{}", row.seq))
        {
            there.remove();
        }
        self.rows.update(|rows| rows::put(rows, row));
    }

    /// Shows a page instead of everything that is shown.
    fn turn(self, page: Page) {
        let Page { about, read, events, older, newer, .. } = page;
        let unread = live().rooms.with_untracked(|rooms| rooms.unread(&about.room));
        let last = events.iter().filter_map(Event::place).map(|(_, seq)| seq).next_back();
        let other = self.room() != about.room || self.slow.get_untracked();
        let html = self.paper.try_update_value(|paper| {
            paper.room = about.room.clone();
            (paper.older, paper.at_end, paper.seen, paper.height) = (older, false, true, None);
            let wanted = paper.wanted.take();
            let line = line_after(wanted.unwrap_or(read), older, &events).filter(|_| wanted.is_some() || unread > 0);
            let (html, above) = paper.page(&events, line);
            paper.above = above;
            past_html(&paper.room, older, &html)
        });
        self.clear(&html.unwrap_or_default());
        self.slow.set(false);
        self.newer.set(last.filter(|_| newer));
        self.unread.set((unread > 0).then(|| Unread { from: read.next(), count: unread }));
        self.about.set(about);
        // Where the reader is will be known when the rows that were there are gone.
        live().at_end(false);
        request_animation_frame(move || self.go_to_place(other));
    }

    /// Goes to where the page's address leads; else, in a room that one has just come to, to what is unread; else to the end.
    fn go_to_place(self, just_come: bool) {
        let named = browser::place_in_address().and_then(|named| self.in_past(&named));
        if let Some(place) = named.as_ref().filter(|place| place.id() != "new") {
            let _ = place.class_list().add_1("found");
            scroll_to(place, ScrollLogicalPosition::Center);
        } else if let Some(line) = named.or_else(|| self.in_past("#new").filter(|_| just_come)) {
            scroll_to(&line, ScrollLogicalPosition::Start);
        } else {
            self.to_end();
        }
        self.scrolled();
    }

    /// Shows what is before everything that is shown; what the reader sees stays where it is, since places count from the end.
    fn show_older(self, events: &[Event], older: Option<Seq>) {
        let Some(past) = self.past.get_untracked() else { return };
        let html = self.paper.try_update_value(|paper| {
            paper.older = older;
            (paper.page(events, None).0, older_html(&paper.room, older))
        });
        let Some((rows, older)) = html else { return };
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
        if focused && let Some(log) = self.log.get_untracked() {
            let _ = log.focus();
        }
        request_animation_frame(move || self.scrolled());
    }

    /// The line above what is unread, if it came with a page, has been seen.
    fn drop_line(self) {
        if let Some(line) = self.in_past("#new") {
            line.remove();
        }
        self.unread.set(None);
    }

    fn in_past(self, selector: &str) -> Option<Element> {
        self.past.get_untracked()?.query_selector(selector).ok().flatten()
    }

    /// Drops the oldest rows of a log that has grown long, while its end is read.
    fn trim(self) {
        let at_end = self.paper.with_value(|paper| paper.at_end);
        if !at_end || self.rows.with_untracked(Vec::len) <= ROWS_MAX {
            return;
        }
        self.rows.update(|rows| {
            rows.drain(..rows.len() - ROWS_LEFT);
        });
        let Some(first) = self.rows.with_untracked(|rows| rows.first().map(|row| row.seq)) else { return };
        self.paper.update_value(|paper| paper.older = Some(first));
        if let Some(past) = self.past.get_untracked() {
            past.set_inner_html(&past_html(&self.room(), Some(first), ""));
        }
    }

    /// Something will be put at the end. Who is there stays there; who is elsewhere sees no line move.
    fn before_growing(self) {
        let Some(log) = self.log.get_untracked() else { return };
        if self.paper.with_value(|paper| paper.at_end || paper.height.is_some()) {
            return;
        }
        self.paper.update_value(|paper| paper.height = Some(log.scroll_height()));
        request_animation_frame(move || {
            let before = self.paper.try_update_value(|paper| paper.height.take()).flatten();
            if let (Some(log), Some(before)) = (self.log.get_untracked(), before) {
                log.set_scroll_top(log.scroll_top() - (log.scroll_height() - before));
            }
        });
    }

    fn scrolled(self) {
        let Some(log) = self.log.get_untracked() else { return };
        let (below, height) = (-log.scroll_top(), log.client_height());
        let above = log.scroll_height() - height - below;
        let newer = self.newer.get_untracked();
        let at_end = below < NEAR_END && newer.is_none();
        if at_end != self.paper.with_value(|paper| paper.at_end) {
            self.paper.update_value(|paper| paper.at_end = at_end);
            live().at_end(at_end);
        }
        if at_end {
            if !document().hidden() {
                self.paper.update_value(|paper| paper.seen = true);
            }
            if self.below.get_untracked() > 0 {
                self.below.set(0);
            }
        }
        let far = newer.is_some() || below > height;
        if far != self.far.get_untracked() {
            self.far.set(far);
        }
        self.look_for_line(&log);
        if self.slow.get_untracked() {
            return;
        }
        if above < height * AHEAD
            && let Some(older) = self.paper.with_value(|paper| paper.older)
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
    fn look_for_line(self, log: &HtmlElement) {
        if self.unread.with_untracked(Option::is_none) {
            return;
        }
        let top = log.get_bounding_client_rect().top();
        let above = self.in_past("#new").is_none_or(|line| line.get_bounding_client_rect().bottom() < top);
        if above != self.line_above.get_untracked() {
            self.line_above.set(above);
        }
        if !above {
            // Reached: it need not be offered any more.
            self.unread.set(None);
        }
    }

    /// The way up to the first message that is unread.
    fn unread_chip(self) -> Option<impl IntoView> {
        let Unread { from, count: unread } = self.unread.get().filter(|_| self.line_above.get())?;
        let address = self.about.with(|about| format!("/room/{}?at={from}#new", about.room));
        let up = move |event: leptos::ev::MouseEvent| {
            self.paper.update_value(|paper| paper.wanted = Some(Seq(from.0 - 1)));
            if let Some(line) = self.in_past("#new") {
                event.prevent_default();
                scroll_to(&line, ScrollLogicalPosition::Start);
                if let Some(log) = self.log.get_untracked() {
                    let _ = log.focus();
                }
            }
            self.unread.set(None);
        };
        Some(view! { <a class="jump up" href=address on:click=up>{count(unread)} " new, from here"</a> })
    }

    /// The ways on from a page that is not the end of the log.
    fn newer_links(self) -> Option<impl IntoView> {
        let last = self.newer.get()?;
        let address = self.about.with(|about| format!("/room/{}", about.room));
        let next = format!("{address}?after={last}#first");
        Some(view! { <p class="turn"><a href=next>"Newer messages"</a> <a href=address>"To the latest"</a></p> })
    }

    fn to_end(self) {
        if let Some(log) = self.log.get_untracked() {
            log.set_scroll_top(0);
        }
    }
}

fn scroll_to(to: &Element, place: ScrollLogicalPosition) {
    let options = ScrollIntoViewOptions::new();
    options.set_block(place);
    to.scroll_into_view_with_scroll_into_view_options(&options);
}

/// What rows are laid out on, and where on it the reader is.
struct Paper {
    room: Slug,
    me: String,
    zone: String,
    /// What the next row follows.
    above: Above,
    /// There is more before the first event that is shown.
    older: Option<Seq>,
    at_end: bool,
    /// Where what was unread begins, for who has asked to be led there: it is read by the time that the page comes.
    wanted: Option<Seq>,
    /// Whether the reader has seen everything that came in.
    seen: bool,
    /// How high the log was before what has just come in.
    height: Option<i32>,
}

impl Paper {
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
    fn page(&self, events: &[Event], read: Option<Seq>) -> (String, Above) {
        let wall = |at| browser::wall(&self.zone, at);
        rows::page(events, read, &Reader { me: &self.me, now: browser::now_micros(), wall: &wall })
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

/// A message that has not arrived, with how it stands.
fn waiting_row(item: Item, row: Row, down: bool, composer: NodeRef<Textarea>) -> impl IntoView {
    let id = item.id;
    let refused = matches!(item.state, State::Refused(_));
    let class = format!("{} {}", row.class, if refused { "refused" } else { "waiting" });
    let words = match item.state {
        State::Waiting if down => "waiting for the line…".to_owned(),
        State::Waiting | State::UnderWay => "sending…".to_owned(),
        State::Later { .. } => "The server is busy; sent again in a moment…".to_owned(),
        State::Refused(why) => format!("Not sent. {why}"),
    };
    let take_back = move |_| {
        let (Some(text), Some(composer)) = (live().take_back(id), composer.get_untracked()) else { return };
        let before = composer.value();
        composer.set_value(&if before.trim().is_empty() { text } else { format!("{before}\n{text}") });
        if let Ok(input) = web_sys::Event::new("input") {
            let _ = composer.dispatch_event(&input);
        }
        let _ = composer.focus();
    };
    let actions = refused.then(|| {
        view! {
            " "
            <button type="button" class="link" on:click=move |_| live().try_again(id)>"Try again"</button>
            " "
            <button type="button" class="link" on:click=take_back>"Take back"</button>
        }
    });
    view! {
        {row.day.map(|day| view! { <li class="day"><time datetime=day.date>{day.name}</time></li> })}
        <li class=class>
            <div class="inside" inner_html=row.html></div>
            <p class="state">{words} {actions}</p>
        </li>
    }
}

/// What the composer is rendered with.
struct Form {
    about: RwSignal<About>,
    log: NodeRef<Section>,
    as_of: Seq,
    nonce: Uuid,
    typed: String,
    /// Why it was refused; empty when it was not.
    why: String,
    page: String,
    text_max: u32,
}

/// Where messages are written. Without scripts it is a form; with them, what is sent goes to the outbox, and `sent` is told.
fn compose(form: Form, field: NodeRef<Textarea>, sent: impl Fn() + Copy + Send + 'static) -> impl IntoView {
    let Form { about, log, as_of, nonce, typed, why, page, text_max } = form;
    let max = usize::try_from(text_max).unwrap_or(usize::MAX);
    let refused = !why.is_empty();
    let notice = RwSignal::new(refused.then_some(why));
    let room = Memo::new(move |_| about.with(|about| about.room.clone()));
    // What the field holds has changed.
    let changed = move || {
        let Some(field) = field.get_untracked() else { return };
        let text = field.value();
        let length = text.chars().count();
        field.set_rows(u32::try_from(text.split('\n').count().min(COMPOSER_ROWS)).unwrap_or(1));
        if length > max {
            let over = length - max;
            let characters = if over == 1 { "character" } else { "characters" };
            notice.set(Some(format!("{over} {characters} too many: {max} is the most.")));
            let _ = field.set_attribute("aria-invalid", "true");
            return;
        }
        let _ = field.remove_attribute("aria-invalid");
        let near = length + max / 10 > max;
        if near || notice.with_untracked(Option::is_some) {
            notice.set(near.then(|| format!("{} characters left", max - length)));
        }
    };
    Effect::new(move |before: Option<Slug>| {
        let room = room.get();
        let Some(field) = field.get() else { return room };
        match before {
            None => {
                // The browser would bring it back, too: what another tab has sent since, and to whoever logs in here next.
                let _ = field.set_attribute("autocomplete", "off");
                let typed = field.value();
                // What was typed before this page came to life goes before what was left in an earlier one.
                if !typed.is_empty() {
                    live().keep_draft(&room, &typed);
                } else if let Some(draft) = live().draft(&room) {
                    field.set_value(&draft);
                }
                if !refused {
                    changed();
                }
            }
            // Another room: what was being written in the one before is kept there.
            Some(before) if before != room => {
                field.set_value(&live().draft(&room).unwrap_or_default());
                changed();
                if browser::has_keyboard() {
                    let _ = field.focus();
                }
            }
            Some(_) => {}
        }
        room
    });
    Effect::new(move |before: Option<()>| {
        let gone = live().draft_gone.get();
        // The first time it is an old story.
        let (Some(()), Some((slug, text)), Some(field)) = (before, gone, field.get_untracked()) else { return };
        if room.with_untracked(|room| room.as_str() == slug) && field.value() == text {
            field.set_value("");
            changed();
        }
    });
    let typing = move |_| {
        changed();
        if let Some(field) = field.get_untracked() {
            room.with_untracked(|room| live().keep_draft(room, &field.value()));
        }
    };
    let send = move || {
        let Some(field) = field.get_untracked() else { return };
        let text = field.value();
        // A message that is too long stays here, with the sentence that says so.
        if text.trim().is_empty() || text.chars().count() > max {
            return;
        }
        room.with_untracked(|room| {
            live().write(room, text.clone());
            live().draft_sent(room, &text);
        });
        field.set_value("");
        changed();
        sent();
    };
    let submitted = move |event: SubmitEvent| {
        event.prevent_default();
        send();
        if let Some(field) = field.get_untracked() {
            let _ = field.focus();
        }
    };
    let key = move |event: KeyboardEvent| {
        // 229: a key that an input method has taken, in browsers that do not say so otherwise.
        let composing = event.is_composing() || event.key_code() == 229;
        if event.key() == "Enter" && !event.shift_key() && !event.ctrl_key() && !event.alt_key() && !composing {
            event.prevent_default();
            send();
        } else if event.key() == "Escape"
            && !composing
            && let Some(log) = log.get_untracked()
        {
            let _ = log.focus();
        }
    };
    let label = move || about.with(|about| format!("Message to {}", about.name));
    let mut inside = String::new();
    if !typed.is_empty() {
        // HTML drops a line break at the beginning.
        inside.push('\n');
        push_escaped(&mut inside, &typed);
    }
    view! {
        <form
            class="composer"
            method="post"
            action="/actions/post_message"
            hidden=move || about.with(|about| about.closed)
            on:submit=submitted
        >
            <input type="hidden" name=form::PAGE value=page/>
            <input type="hidden" name="room" value=move || room.with(Slug::to_string)/>
            <input type="hidden" name="nonce" value=nonce.to_string()/>
            <input type="hidden" name="seen" value=as_of.to_string()/>
            <p class="notice" id="text-notice" role="status">{move || notice.get()}</p>
            <div class="box">
                <textarea
                    node_ref=field
                    name="text"
                    rows="1"
                    aria-label=label
                    placeholder=label
                    aria-describedby="text-notice"
                    aria-invalid=refused.then_some("true")
                    enterkeyhint="send"
                    on:input=typing
                    on:keydown=key
                    inner_html=inside
                ></textarea>
                <button class="button">"Send"</button>
            </div>
        </form>
    }
}
