//! The rooms, in the left pane: one's own, with what is unread, and the others.

use leptos::prelude::*;

use crate::app::form;
use crate::app::live::live;
use crate::app::live::rooms::count;
use crate::protocol::{Me, RoomItem, Slug};

#[island]
pub fn RoomList(
    me: Me,
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
    let mine = move || list.with(|list| list.iter().filter(|room| room.member).cloned().collect::<Vec<_>>());
    let others = move || list.with(|list| list.iter().filter(|room| !room.member && !room.closed).cloned().collect::<Vec<_>>());
    let none = move || list.with(|list| !list.iter().any(|room| room.member));
    view! {
        <h2 class="label" id="your-rooms">"Your rooms"</h2>
        <ul aria-labelledby="your-rooms">
            <For each=mine key=|room| (room.room.clone(), room.name.clone(), room.closed) let:room>
                {own(room, list, current)}
            </For>
        </ul>
        {move || none().then(|| view! { <p class="side-note">"None yet. Join one below, or make your own."</p> })}
        <h2 class="label" id="more-rooms">"More rooms"</h2>
        <ul aria-labelledby="more-rooms">
            <For each=others key=|room| (room.room.clone(), room.name.clone()) let:room>
                {other(room, current, page)}
            </For>
        </ul>
        {move || {
            let none = list.with(|list| !list.iter().any(|room| !room.member && !room.closed));
            none.then(|| view! { <p class="side-note">"You are in all of them."</p> })
        }}
    }
}

/// "page" where `room` is the one on the screen, for `aria-current`.
fn is_current(room: &Slug, current: StoredValue<Option<Slug>>) -> Option<&'static str> {
    current.with_value(|current| current.as_ref() == Some(room)).then_some("page")
}

/// A room that one is a member of.
fn own(room: RoomItem, list: RwSignal<Vec<RoomItem>>, current: StoredValue<Option<Slug>>) -> impl IntoView {
    let RoomItem { room: slug, name, closed, .. } = room;
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
fn other(room: RoomItem, current: StoredValue<Option<Slug>>, page: StoredValue<String>) -> impl IntoView {
    let RoomItem { room: slug, name, .. } = room;
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
