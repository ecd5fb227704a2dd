//! What a page is called, in the browser's tab.

use leptos::prelude::*;

use crate::app::request::request;

/// The page's title. Of several on a page the last holds.
#[component]
pub fn Title(#[prop(into)] text: String) -> impl IntoView {
    if let Some(request) = request() {
        (request.title)(text);
    }
}
