//! What is shown where there is nothing.

use crate::app::parts::title::Title;
use leptos::prelude::*;

use crate::app::parts::mark::Mark;
use crate::app::request::request;

#[component]
pub fn NotFound() -> impl IntoView {
    if let Some(request) = request() {
        (request.status)(404);
    }
    view! {
        <Title text="Nothing here"/>
        <main class="door">
            <div class="card">
                <Mark/>
                <h1>"There is nothing here."</h1>
                <p>"The address may have been mistyped, or what was here is gone."</p>
                <a class="button" href="/">"To the rooms"</a>
            </div>
        </main>
    }
}
