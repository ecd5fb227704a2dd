//! Who is in the room just now.

use leptos::prelude::*;

use super::avatar::{hue, initial};
use crate::protocol::Presence;

#[component]
pub fn Here(here: RwSignal<Presence>) -> impl IntoView {
    let shown = move || {
        here.with(|here| {
            let faces = here.users.iter().take(3).map(|person| {
                let class = format!("avatar {}", hue(&person.user));
                view! { <span class=class>{initial(person.shown())}</span> }
            });
            view! {
                <span class="faces" aria-hidden="true">{faces.collect_view()}</span>
                <span>{format!("{} here", here.count)}</span>
            }
        })
    };
    let names = move || {
        here.with(|here| {
            let names = here.users.iter().map(|person| view! { <li><bdi>{person.shown().to_owned()}</bdi></li> });
            let others = usize::try_from(here.count).unwrap_or_default().saturating_sub(here.users.len());
            view! {
                <ul>{names.collect_view()}</ul>
                {(others > 0).then(|| view! { <p class="hint">{format!("and {others} more")}</p> })}
            }
        })
    };
    view! {
        <button type="button" class="here" popovertarget="here">{shown}</button>
        <div class="popover" id="here" popover="auto">
            <p class="hint">"Here just now"</p>
            {names}
        </div>
    }
}
