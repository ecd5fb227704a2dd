//! The mark of Snug.

use leptos::prelude::*;

#[component]
pub fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" aria-hidden="true" viewBox="0 0 32 32" fill="currentColor">
            <path d="M16 2C8.3 2 3 7.6 3 15v12.2c0 1.6 1.8 2.4 3 1.4L9.4 26H26a3 3 0 0 0 3-3v-8C29 7.6 23.7 2 16 2Zm0 7c3.9 0 6.5 2.8 6.5 6.6V20h-13v-4.4C9.5 11.8 12.1 9 16 9Z"/>
        </svg>
    }
}
