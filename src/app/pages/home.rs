//! `/`: the rooms. On a small screen the list is the page; on a large one there is a word of welcome beside it.

use leptos::prelude::*;
use leptos_meta::Title;

use super::page;
use crate::app::parts::frame::{Frame, Pane};

#[component]
pub fn Home() -> impl IntoView {
    view! {
        <Title text="Rooms"/>
        {page(|me, rooms| async move {
            let name = me.person.shown().to_owned();
            let mine = rooms.iter().filter(|room| room.member).count();
            let unread = rooms.iter().filter(|room| room.unread > 0).count();
            let word = match (mine, unread) {
                (0, _) => "You are in no room yet. Join one from the list, or make your own.".to_owned(),
                (_, 0) => "You have read everything. Choose a room to go on.".to_owned(),
                (_, 1) => "There is something new in one of your rooms.".to_owned(),
                (_, n) => format!("There is something new in {n} of your rooms."),
            };
            Ok(view! {
                <Frame me=me rooms=rooms pane=Pane::List>
                    <main id="main" class="welcome">
                        <h1>"Hello, " <bdi>{name}</bdi> "."</h1>
                        <p>{word}</p>
                        <p><a class="button" href="/new-room">"Make a room"</a></p>
                    </main>
                </Frame>
            })
        })}
    }
}
