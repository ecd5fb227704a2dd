//! How it is with the connection, in words, when there is something to say, and what one may do about it.

use leptos::prelude::*;

use super::composer;
use super::draw::{draw, element, follow};
use super::markup::Markup;
use crate::app::live::{Line as State, live};

const LOAD: &str = "Load it now";
const TRY: &str = "Try now";

/// What one may do about it.
const OFFER: &str = "line-offer";

#[island]
pub fn Line() -> impl IntoView {
    let mut offered = None;
    follow(move |_| {
        let now = live().known.with(|known| known.line);
        offered = match now {
            State::Updated => Some(LOAD),
            State::Gone => Some(TRY),
            // While the try that was asked for goes on.
            State::Lost => offered.filter(|label| *label == TRY),
            _ => None,
        };
        let focused = element(OFFER).is_some_and(|offer| offer.contains(document().active_element().as_deref()));
        draw("line", words(now).to_owned());
        let mut button = Markup::default();
        if let Some(label) = offered {
            button.raw("<button type=\"button\" class=\"link\">").raw(label).raw("</button>");
        } else if focused {
            // What has the focus is about to go: back to writing.
            composer::focus();
        }
        draw(OFFER, button.done());
    });
    let act = move |_| {
        if live().known.with_untracked(|known| known.line) == State::Updated {
            live().reload();
        } else {
            live().try_now();
        }
    };
    view! {
        <span class="line" id="line" role="status"></span>
        <span class="offer" id=OFFER on:click=act></span>
    }
}

fn words(line: State) -> &'static str {
    match line {
        State::Fine => "",
        State::Lost => "The line is down. Trying again… What you write waits here.",
        State::Gone => "The line is down. What you write waits here, and goes out when it is back.",
        State::Offline => "You are offline. What you write goes out when you are back.",
        State::Back => "The line is back.",
        State::Updated => "Snug has been updated. What you are writing stays.",
    }
}
