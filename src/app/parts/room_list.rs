//! The rooms, in the left pane: one's own, with what is unread, and some of the others.
//!
//! Each group is by name: a row stays where one has learnt to find it, whatever comes in. However many there are, the list
//! scrolls, begins at the room on the screen, and is narrowed by [`super::finder`].

use leptos::prelude::*;

use super::finder;
use crate::app::given::given;
use crate::app::live::rooms::count;
use crate::app::live::wire::{self, Listed};
use crate::app::live::{Account, browser, live};
use crate::app::request::{WallTime, request};
use crate::app::{form, time};
use crate::protocol::{Micros, RoomItem, Slug};

/// Under which its page gives it what it opens with.
pub const ROOMS: &str = "rooms-given";

#[island]
pub fn RoomList() -> impl IntoView {
    given(ROOMS, wire::listed).map(list)
}

fn list(listed: Listed) -> impl IntoView {
    let Listed { id, user, rooms, current, page, apart, zone, now, mac } = listed;
    let me = Account { id, user };
    // What is unread changes often and by itself; another set of rooms is laid out anew.
    let counts = RwSignal::new(rooms.clone());
    let list = RwSignal::new(rooms.clone());
    let clock = RwSignal::new(now);
    Effect::new(move |started: Option<()>| {
        let live = live();
        if started.is_none() {
            live.start(&me);
            live.know(rooms.clone());
            finder::listen(mac);
            show_current();
        }
        let now = live.rooms.with(|rooms| rooms.items().to_vec());
        if list.with_untracked(|list| !same_rooms(list, &now)) {
            list.set(now.clone());
            request_animation_frame(finder::narrow);
        }
        if started.is_some() {
            clock.set(browser::now_micros());
        }
        counts.set(now);
    });
    let here = RwSignal::new(current);
    Effect::new(move |_| {
        if let Some(room) = live().current.get() {
            here.set(Some(room));
        }
    });
    let row = Row { counts, here, clock, zone: StoredValue::new(zone) };
    let mine = move || {
        let rooms = list.get().into_iter().enumerate().filter(|(_, room)| room.member);
        rooms.map(|(at, room)| own(at, room, row)).collect_view()
    };
    let others = (!apart).then(|| {
        let others = move || {
            let rooms = list.get().into_iter().filter(|room| !room.member);
            rooms.map(|room| other(room, here, page.clone())).collect_view()
        };
        view! {
            <div class="label">
                <h2 id="more-rooms">"More rooms"</h2>
                <a href="/#more-rooms">"All rooms"</a>
            </div>
            <ul aria-labelledby="more-rooms">{others}</ul>
            <p class="side-note">"You are in all of them."</p>
        }
    });
    view! {
        {finder::finder(mac)}
        <nav aria-label="Rooms">
            <div class="label">
                <h2 id="your-rooms">"Your rooms"</h2>
                <a href="/new-room" aria-label="Make a new room">"New room"</a>
            </div>
            <ul aria-labelledby="your-rooms">{mine}</ul>
            // Shown where the list before it is empty.
            <p class="side-note">"None yet. Join one, or make your own."</p>
            {others}
            {finder::everywhere()}
        </nav>
    }
}

/// Whether two lists are of the same rooms, whatever is unread in them.
fn same_rooms(a: &[RoomItem], b: &[RoomItem]) -> bool {
    let same =
        |(a, b): (&RoomItem, &RoomItem)| a.room == b.room && a.name == b.name && a.member == b.member && a.closed == b.closed;
    a.len() == b.len() && a.iter().zip(b).all(same)
}

/// "page" where `room` is the one on the screen, for `aria-current`.
fn is_current(room: &Slug, here: RwSignal<Option<Slug>>) -> Option<&'static str> {
    here.with(|here| here.as_ref() == Some(room)).then_some("page")
}

/// A long list begins where the room on the screen is.
fn show_current() {
    if let Ok(Some(row)) = document().query_selector("nav [aria-current]") {
        let nearest = web_sys::ScrollIntoViewOptions::new();
        nearest.set_block(web_sys::ScrollLogicalPosition::Nearest);
        row.scroll_into_view_with_scroll_into_view_options(&nearest);
    }
}

/// What the rows of one's own rooms follow.
#[derive(Clone, Copy)]
struct Row {
    counts: RwSignal<Vec<RoomItem>>,
    here: RwSignal<Option<Slug>>,
    /// When it is, as far as a list has to know.
    clock: RwSignal<Micros>,
    zone: StoredValue<String>,
}

impl Row {
    /// The wall of the page: the server knows any zone, the browser its own.
    fn wall(self, at: Micros) -> WallTime {
        request().map_or_else(|| self.zone.with_value(|zone| browser::wall(zone, at)), |request| (request.wall)(at))
    }
}

/// A room that one is a member of, `place`th in the list.
fn own(place: usize, room: RoomItem, row: Row) -> impl IntoView {
    let RoomItem { room: slug, name, closed, unread, active_at, .. } = room;
    let address = format!("/room/{slug}");
    let is_here = {
        let slug = slug.clone();
        move || is_current(&slug, row.here)
    };
    // As long as it takes to lay out another set of rooms, the counts are of that one.
    let now = StoredValue::new((slug, unread, active_at));
    let latest = move || {
        row.counts.with(|rooms| {
            now.with_value(|(slug, unread, active_at)| {
                let room = rooms.get(place).filter(|room| room.room == *slug);
                room.map_or((*unread, *active_at), |room| (room.unread, room.active_at))
            })
        })
    };
    view! {
        <li class="place">
            <a class="row goto" href=address aria-current=is_here>
                <bdi>{name}</bdi>
                {closed.then(|| view! { <span class="tag">"closed"</span> })}
                {move || {
                    let (unread, _) = latest();
                    (unread > 0).then(|| view! { <span class="count">{count(unread)} <span class="sr">" unread"</span></span> })
                }}
            </a>
            {move || {
                let (_, at) = latest();
                view! { <time datetime=time::iso(at)>{time::short(at, row.clock.get(), |at| row.wall(at))}</time> }
            }}
        </li>
    }
}

/// A room that one may join.
fn other(room: RoomItem, here: RwSignal<Option<Slug>>, page: String) -> impl IntoView {
    let RoomItem { room: slug, name, members, .. } = room;
    let spoken = format!("Join {name}");
    let is_here = {
        let slug = slug.clone();
        move || is_current(&slug, here)
    };
    view! {
        <li class="place joinable">
            <a class="row goto" href=format!("/room/{slug}") aria-current=is_here>
                <bdi>{name}</bdi>
                <span class="hint">{self::members(members)}</span>
            </a>
            <form method="post" action="/actions/join_room">
                <input type="hidden" name=form::PAGE value=page/>
                <input type="hidden" name="room" value=slug.to_string()/>
                <button class="link" aria-label=spoken>"Join"</button>
            </form>
        </li>
    }
}

/// "3 members"
#[must_use]
pub fn members(count: u32) -> String {
    match count {
        0 => "Nobody yet".to_owned(),
        1 => "One member".to_owned(),
        count => format!("{count} members"),
    }
}
