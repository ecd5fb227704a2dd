//! What is unread, in words, with the way there: the greeting of the home page.

use leptos::prelude::*;

use super::draw::{draw, follow};
use super::markup::Markup;
use super::room_list::ROOMS;
use crate::app::given::given;
use crate::app::live::rooms::count;
use crate::app::live::{live, wire};
use crate::protocol::RoomItem;

/// The most rooms that are named; the list has them all.
const NAMED: usize = 6;
/// With more unread than this the first of it may not be on a room's latest page.
const ON_A_PAGE: u32 = 40;

#[island]
pub fn News() -> impl IntoView {
    given(ROOMS, wire::listed).map(|listed| {
        follow(|_| {
            live().known.with(|known| {
                // Until the list is known, the page knows better.
                if known.rooms.items().iter().any(|room| room.member) {
                    draw("news", news(known.rooms.items()));
                }
            });
        });
        view! { <div id="news" inner_html=news(&listed.rooms)></div> }
    })
}

fn news(rooms: &[RoomItem]) -> String {
    let mut out = Markup::default();
    let own = || rooms.iter().filter(|room| room.member);
    let unread: Vec<_> = own().filter(|room| room.unread > 0).collect();
    if unread.is_empty() {
        let none = own().next().is_none();
        let words = if none { "You are in no room yet. Join one, or make your own." } else { "You have read everything." };
        return out.raw("<p>").raw(words).raw("</p>").done();
    }
    out.raw("<ul class=\"news\" aria-label=\"Unread\">");
    for room in unread.iter().take(NAMED) {
        out.raw("<li data-key=\"").text(room.room.as_str()).raw("\"><a href=\"").text(&first_unread(room));
        out.raw("\"><span><b>").text(&count(room.unread)).raw(" new</b> in <bdi>").text(&room.name);
        out.raw("</bdi></span><span class=\"hint\">Go on reading</span></a></li>");
    }
    let others = unread.len().saturating_sub(NAMED);
    if others > 0 {
        out.raw("<li class=\"hint\">and in ").text(&others.to_string()).raw(" more of your rooms</li>");
    }
    out.raw("</ul>").done()
}

/// Where one goes on reading.
fn first_unread(room: &RoomItem) -> String {
    let RoomItem { room, unread, read, .. } = room;
    if *unread > ON_A_PAGE { format!("/room/{room}?at={}#new", read.next()) } else { format!("/room/{room}#new") }
}
