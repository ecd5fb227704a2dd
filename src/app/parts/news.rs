//! What is unread, in words, with the way there: the greeting of the home page.

use leptos::prelude::*;

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
    // The page has the list beside it.
    given(ROOMS, wire::listed).map(|listed| news(&listed.rooms))
}

/// How many rooms one is in, and those with something unread.
fn of(rooms: &[RoomItem]) -> (usize, Vec<RoomItem>) {
    let own = || rooms.iter().filter(|room| room.member);
    (own().count(), own().filter(|room| room.unread > 0).cloned().collect())
}

fn news(rooms: &[RoomItem]) -> impl IntoView + use<> {
    let news = RwSignal::new(of(rooms));
    Effect::new(move |_| {
        let now = live().rooms.with(|rooms| of(rooms.items()));
        // Until the list is known, the page knows better.
        if now.0 > 0 && news.with_untracked(|news| *news != now) {
            news.set(now);
        }
    });
    let nothing = move || {
        news.with(|(own, unread)| {
            unread.is_empty().then(|| {
                let words =
                    if *own == 0 { "You are in no room yet. Join one, or make your own." } else { "You have read everything." };
                view! { <p>{words}</p> }
            })
        })
    };
    let rooms = move || {
        news.with(|(_, unread)| {
            let others = unread.len().saturating_sub(NAMED);
            let rooms = unread.iter().take(NAMED).map(|room| {
                view! {
                    <li>
                        <a href=first_unread(room)>
                            <span>
                                <b>{count(room.unread)} " new"</b>
                                " in "
                                <bdi>{room.name.clone()}</bdi>
                            </span>
                            <span class="hint">"Go on reading"</span>
                        </a>
                    </li>
                }
            });
            let rooms = rooms.collect_view();
            let more = (others > 0).then(|| view! { <li class="hint">{format!("and in {others} more of your rooms")}</li> });
            (!unread.is_empty()).then(|| view! { <ul class="news" aria-label="Unread">{rooms}{more}</ul> })
        })
    };
    view! {
        {nothing}
        {rooms}
    }
}

/// Where one goes on reading.
fn first_unread(room: &RoomItem) -> String {
    let RoomItem { room, unread, read, .. } = room;
    if *unread > ON_A_PAGE { format!("/room/{room}?at={}#new", read.next()) } else { format!("/room/{room}#new") }
}
