//! How it is with the connection, in words, when there is something to say, and what one may do about it.

use leptos::html::Button;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::app::live::{Line as State, live};

const LOAD: &str = "Load it now";
const TRY: &str = "Try now";

#[island]
pub fn Line() -> impl IntoView {
    let state = RwSignal::new(State::Fine);
    let offer = RwSignal::new(None::<&'static str>);
    let button = NodeRef::<Button>::new();
    Effect::new(move |_| {
        let now = live().line.get();
        let offered = match now {
            State::Updated => Some(LOAD),
            State::Gone => Some(TRY),
            // While the try that was asked for goes on.
            State::Lost => offer.get_untracked().filter(|label| *label == TRY),
            _ => None,
        };
        if offered.is_none() && button.get_untracked().is_some_and(|button| document().active_element().as_ref() == Some(&button))
        {
            // What has the focus is about to go: back to writing.
            let composer = document().query_selector(".composer textarea").ok().flatten();
            if let Some(composer) = composer.and_then(|composer| composer.dyn_into::<HtmlElement>().ok()) {
                let _ = composer.focus();
            }
        }
        state.set(now);
        if offer.get_untracked() != offered {
            offer.set(offered);
        }
    });
    let words = move || match state.get() {
        State::Fine => None,
        State::Lost => Some("The line is down. Trying again… What you write waits here."),
        State::Gone => Some("The line is down. What you write waits here, and goes out when it is back."),
        State::Offline => Some("You are offline. What you write goes out when you are back."),
        State::Back => Some("The line is back."),
        State::Updated => Some("Snug has been updated. What you are writing stays."),
    };
    let act = move |_| {
        if state.get_untracked() == State::Updated {
            live().reload();
        } else {
            live().try_now();
        }
    };
    let again = move || {
        let label = offer.get()?;
        Some(view! { <button type="button" class="link" node_ref=button on:click=act>{label}</button> })
    };
    view! {
        <span class="line" role="status">{words}</span>
        {again}
    }
}
