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
    let list = RwSignal::new(rooms.clone());
    Effect::new(move |started: Option<()>| {
        let live = live();
        if started.is_none() {
            live.start(&me);
            live.know(rooms.clone());
        }
        list.set(live.rooms.with(|rooms| rooms.items().to_vec()));
    });
    let current = StoredValue::new(current);
    let page = StoredValue::new(page);
    // Another set of rooms is laid out anew; counts change by themselves.
    let known = Memo::new(move |_| {
        list.with(|list| {
            list.iter().map(|room| (room.member, room.closed, room.room.clone(), room.name.clone())).collect::<Vec<_>>()
        })
    });
    let mine = move || {
        let rooms = known.get().into_iter().filter(|room| room.0);
        rooms.map(|(_, closed, slug, name)| own(slug, name, closed, list, current)).collect_view()
    };
    let others = move || {
        let rooms = known.get().into_iter().filter(|room| !room.0 && !room.1);
        rooms.map(|(_, _, slug, name)| other(slug, name, current, page)).collect_view()
    };
    let no_mine = move || known.with(|rooms| !rooms.iter().any(|room| room.0));
    let no_others = move || known.with(|rooms| !rooms.iter().any(|room| !room.0 && !room.1));
    view! {
        <h2 class="label" id="your-rooms">"Your rooms"</h2>
        <ul aria-labelledby="your-rooms" hidden=no_mine>{mine}</ul>
        <p class="side-note" hidden=move || !no_mine()>"None yet. Join one below, or make your own."</p>
        <h2 class="label" id="more-rooms">"More rooms"</h2>
        <ul aria-labelledby="more-rooms" hidden=no_others>{others}</ul>
        <p class="side-note" hidden=move || !no_others()>"You are in all of them."</p>
    }
}

/// "page" where `room` is the one on the screen, for `aria-current`.
fn is_current(room: &Slug, current: StoredValue<Option<Slug>>) -> Option<&'static str> {
    current.with_value(|current| current.as_ref() == Some(room)).then_some("page")
}

/// A room that one is a member of.
fn own(
    slug: Slug,
    name: String,
    closed: bool,
    list: RwSignal<Vec<RoomItem>>,
    current: StoredValue<Option<Slug>>,
) -> impl IntoView {
    let address = format!("/room/{slug}");
    let here = is_current(&slug, current);
    let unread = Memo::new(move |_| list.with(|list| list.iter().find(|item| item.room == slug).map_or(0, |item| item.unread)));
    view! {
        <li>
            <a class="row" class:unread=move || { unread.get() > 0 } href=address aria-current=here>
                <bdi>{name}</bdi>
                {closed.then(|| view! { <span class="tag">"closed"</span> })}
                {move || {
                    let unread = unread.get();
                    (unread > 0).then(|| view! { <span class="count">{count(unread)} <span class="sr">" unread"</span></span> })
                }}
            </a>
        </li>
    }
}

/// A room that one may join.
fn other(slug: Slug, name: String, current: StoredValue<Option<Slug>>, page: StoredValue<String>) -> impl IntoView {
    let spoken = format!("Join {name}");
    let here = is_current(&slug, current);
    view! {
        <li class="joinable">
            <a class="row" href=format!("/room/{slug}") aria-current=here><bdi>{name}</bdi></a>
            <form method="post" action="/actions/join_room">
                <input type="hidden" name=form::PAGE value=page.get_value()/>
                <input type="hidden" name="room" value=slug.to_string()/>
                <button class="link" aria-label=spoken>"Join"</button>
            </form>
        </li>
    }
}
