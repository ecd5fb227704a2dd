//! How it is with the connection, in words, when there is something to say.

use leptos::prelude::*;

use crate::app::live::{Line as State, live};

#[island]
pub fn Line() -> impl IntoView {
    let state = RwSignal::new(State::Fine);
    Effect::new(move |_| state.set(live().line.get()));
    let words = move || match state.get() {
        State::Fine => None,
        State::Lost => Some("The line is down. Trying again… What you write waits here."),
        State::Offline => Some("You are offline. What you write goes out when you are back."),
        State::Updated => Some("Snug has been updated. Load the page again: what you were writing stays."),
    };
    view! { <span class="line" role="status">{words}</span> }
}
