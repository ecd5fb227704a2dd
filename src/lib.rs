//! Snug: a self-hosted chat of rooms. ARCHITECTURE.md is the map.

#![recursion_limit = "256"]

pub mod app;
pub mod protocol;
#[cfg(feature = "ssr")]
pub mod server;
#[cfg(feature = "ssr")]
pub mod terminal;

/// The browser's entry: takes over the islands of the page that the server rendered.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_islands();
}
