//! The rooms, in the left pane: one's own, with what is unread, and the others.

use leptos::prelude::*;

use crate::app::form;
use crate::app::live::rooms::count;
use crate::app::live::{Account, live};
use crate::protocol::{RoomItem, Slug};

#[island]
pub fn RoomList(
    me: Account,
    rooms: Vec<RoomItem>,
    /// The room on the screen.
    current: Option<Slug>,
    /// The page that the forms are on.
    page: String,
) -> impl IntoView {
    // The counts change often and by themselves; another set of rooms is laid out anew.
    let counts = RwSignal::new(rooms.clone());
    let list = RwSignal::new(rooms.clone());
    Effect::new(move |started: Option<()>| {
        let live = live();
        if started.is_none() {
            live.start(&me);
            live.know(rooms.clone());
        }
        let now = live.rooms.with(|rooms| rooms.items().to_vec());
        if list.with_untracked(|list| !same_rooms(list, &now)) {
            list.set(now.clone());
        }
        counts.set(now);
    });
    let here = RwSignal::new(current);
    Effect::new(move |_| {
        if let Some(room) = live().current.get() {
            here.set(Some(room));
        }
    });
    let mine = move || {
        let rooms = list.get().into_iter().filter(|room| room.member);
        rooms.map(|room| own(room, counts, here)).collect_view()
    };
    let others = move || {
        let rooms = list.get().into_iter().filter(|room| !room.member && !room.closed);
        rooms.map(|room| other(room, here, page.clone())).collect_view()
    };
    view! {
        <h2 class="label" id="your-rooms">"Your rooms"</h2>
        <ul aria-labelledby="your-rooms">{mine}</ul>
        // Shown where the list before it is empty.
        <p class="side-note">"None yet. Join one below, or make your own."</p>
        <h2 class="label" id="more-rooms">"More rooms"</h2>
        <ul aria-labelledby="more-rooms">{others}</ul>
        <p class="side-note">"You are in all of them."</p>
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

/// A room that one is a member of.
fn own(room: RoomItem, counts: RwSignal<Vec<RoomItem>>, here: RwSignal<Option<Slug>>) -> impl IntoView {
    let RoomItem { room: slug, name, closed, .. } = room;
    let address = format!("/room/{slug}");
    let is_here = {
        let slug = slug.clone();
        move || is_current(&slug, here)
    };
    let unread = move || counts.with(|rooms| rooms.iter().find(|room| room.room == slug).map_or(0, |room| room.unread));
    view! {
        <li>
            <a class="row" href=address aria-current=is_here>
                <bdi>{name}</bdi>
                {closed.then(|| view! { <span class="tag">"closed"</span> })}
                {move || {
                    let unread = unread();
                    (unread > 0).then(|| view! { <span class="count">{count(unread)} <span class="sr">" unread"</span></span> })
                }}
            </a>
        </li>
    }
}

/// A room that one may join.
fn other(room: RoomItem, here: RwSignal<Option<Slug>>, page: String) -> impl IntoView {
    let RoomItem { room: slug, name, .. } = room;
    let spoken = format!("Join {name}");
    let is_here = {
        let slug = slug.clone();
        move || is_current(&slug, here)
    };
    view! {
        <li class="joinable">
            <a class="row" href=format!("/room/{slug}") aria-current=is_here><bdi>{name}</bdi></a>
            <form method="post" action="/actions/join_room">
                <input type="hidden" name=form::PAGE value=page/>
                <input type="hidden" name="room" value=slug.to_string()/>
                <button class="link" aria-label=spoken>"Join"</button>
            </form>
        </li>
    }
}
