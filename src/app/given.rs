//! What an island is given by its page.
//!
//! The server hands it over directly and writes it into the page, as JSON in an element of its own; the browser reads it there.
//! (An island's own properties come with a parser that every browser would have to load.)

use leptos::prelude::*;
use serde::Serialize;
use wasm_bindgen::JsValue;

use super::live::json;

/// Gives `what` to the island of this page that asks for `name`, and writes it down.
pub fn give<T: Serialize + Clone + Send + Sync + 'static>(name: &'static str, what: T) -> impl IntoView {
    let written = serde_json::to_string(&what).unwrap_or_default();
    provide_context(what);
    view! { <div hidden id=name data-given=written></div> }
}

/// What the page gave under `name`; none while routes are listed.
pub fn given<T: Clone + 'static>(name: &str, read: fn(&JsValue) -> Option<T>) -> Option<T> {
    // In the browser there is no such context; on the server there always is.
    use_context::<T>().or_else(|| {
        let written = document().get_element_by_id(name)?.get_attribute("data-given")?;
        read(&json::parse(&written)?)
    })
}
