//! The rooms, in the left pane: one's own, with what is unread, and some of the others.
//!
//! Each group is by name: a row stays where one has learnt to find it, whatever comes in. However many there are, the list
//! scrolls, begins at the room on the screen, and is narrowed by [`super::finder`].

use leptos::prelude::*;

use super::draw::{draw, follow};
use super::finder;
use super::markup::Markup;
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
    let Listed { id, user, rooms, current, page, apart, makes_rooms, zone, now, mac } = listed;
    let me = Account { id, user };
    // The wall of the page: the server knows any zone, the browser its own.
    let of_page = request();
    let wall = move |at| of_page.as_ref().map_or_else(|| browser::wall(&zone, at), |request| (request.wall)(at));
    let mine = own(&rooms, current.as_ref(), now, &wall);
    let others = (!apart).then(|| {
        view! {
            <div class="label">
                <h2 id="more-rooms">"More rooms"</h2>
                <a href="/#more-rooms">"All rooms"</a>
            </div>
            <ul id="others" aria-labelledby="more-rooms" inner_html=others(&rooms, current.as_ref(), &page)></ul>
            <p class="side-note">"You are in all of them."</p>
        }
    });
    follow(move |first| {
        let live = live();
        if first {
            live.start(&me);
            live.know(rooms.clone());
            finder::listen(mac);
            show_current();
        }
        let clock = if first { now } else { browser::now_micros() };
        let (mine, others) = live.known.with(|known| {
            let (rooms, here) = (known.rooms.items(), known.current.as_ref().or(current.as_ref()));
            (own(rooms, here, clock, &wall), (!apart).then(|| self::others(rooms, here, &page)))
        });
        if draw("own", mine) | others.is_some_and(|others| draw("others", others)) {
            finder::narrow();
        }
    });
    view! {
        {finder::finder(mac)}
        <nav aria-label="Rooms">
            <div class="label">
                <h2 id="your-rooms">"Your rooms"</h2>
                {makes_rooms.then(|| view! { <a href="/new-room" aria-label="Make a new room">"New room"</a> })}
            </div>
            <ul id="own" aria-labelledby="your-rooms" inner_html=mine></ul>
            // Shown where the list before it is empty.
            <p class="side-note">{if makes_rooms { "None yet. Join one, or make your own." } else { "None yet. Join one." }}</p>
            {others}
            {finder::everywhere()}
        </nav>
    }
}

/// A long list begins where the room on the screen is.
fn show_current() {
    if let Ok(Some(row)) = document().query_selector("nav [aria-current]") {
        let nearest = web_sys::ScrollIntoViewOptions::new();
        nearest.set_block(web_sys::ScrollLogicalPosition::Nearest);
        row.scroll_into_view_with_scroll_into_view_options(&nearest);
    }
}

/// The rooms that one is a member of.
fn own(rooms: &[RoomItem], here: Option<&Slug>, now: Micros, wall: &dyn Fn(Micros) -> WallTime) -> String {
    let mut out = Markup::default();
    for room in rooms.iter().filter(|room| room.member) {
        out.raw("<li class=\"place\" data-key=\"").text(room.room.as_str()).raw("\">");
        push_link(&mut out, room, here);
        if room.closed {
            out.raw("<span class=\"tag\">closed</span>");
        }
        if room.unread > 0 {
            out.raw("<span class=\"count\">").text(&count(room.unread)).raw(" <span class=\"sr\"> unread</span></span>");
        }
        out.raw("</a><time datetime=\"").text(&time::iso(room.active_at)).raw("\">");
        out.text(&time::short(room.active_at, now, wall)).raw("</time></li>");
    }
    out.done()
}

/// The rooms that one may join. `page` is where their forms are on.
fn others(rooms: &[RoomItem], here: Option<&Slug>, page: &str) -> String {
    let mut out = Markup::default();
    for room in rooms.iter().filter(|room| !room.member) {
        out.raw("<li class=\"place joinable\" data-key=\"").text(room.room.as_str()).raw("\">");
        push_link(&mut out, room, here);
        out.raw("<span class=\"hint\">").text(&members(room.members));
        out.raw("</span></a><form method=\"post\" action=\"/actions/join_room\"><input type=\"hidden\" name=\"").raw(form::PAGE);
        out.raw("\" value=\"").text(page).raw("\"/><input type=\"hidden\" name=\"room\" value=\"").text(room.room.as_str());
        out.raw("\"/><button class=\"link\" aria-label=\"Join ").text(&room.name).raw("\">Join</button></form></li>");
    }
    out.done()
}

/// The way to a room: its name, and as much of a link as comes before it.
fn push_link(out: &mut Markup, room: &RoomItem, here: Option<&Slug>) {
    out.raw("<a class=\"row goto\" href=\"/room/").text(room.room.as_str());
    out.raw(if here == Some(&room.room) { "\" aria-current=\"page\"><bdi>" } else { "\"><bdi>" });
    out.text(&room.name).raw("</bdi>");
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
