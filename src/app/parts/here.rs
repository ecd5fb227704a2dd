//! Who is in the room just now.

use leptos::prelude::*;

use super::avatar::{hue, initial};
use crate::app::live::live;
use crate::protocol::Presence;

#[island]
pub fn Here(presence: Presence) -> impl IntoView {
    let here = RwSignal::new(presence);
    Effect::new(move |_| {
        if let Some(presence) = live().presence.get() {
            here.set(presence);
        }
    });
    let faces = move || {
        here.with(|here| {
            here.users
                .iter()
                .take(3)
                .map(|person| {
                    let class = format!("avatar {}", hue(&person.user));
                    view! { <span class=class>{initial(person.shown())}</span> }
                })
                .collect_view()
        })
    };
    let names = move || {
        here.with(|here| here.users.iter().map(|person| view! { <li><bdi>{person.shown().to_owned()}</bdi></li> }).collect_view())
    };
    let others = move || {
        let more = here.with(|here| usize::try_from(here.count).unwrap_or_default().saturating_sub(here.users.len()));
        (more > 0).then(|| view! { <p class="hint">{format!("and {more} more")}</p> })
    };
    view! {
        <button type="button" class="here" popovertarget="here">
            <span class="faces" aria-hidden="true">{faces}</span>
            <span>{move || here.with(|here| here.count)} " here"</span>
        </button>
        <div class="popover" id="here" popover="auto">
            <p class="hint">"Here just now"</p>
            <ul>{names}</ul>
            {others}
        </div>
    }
}
