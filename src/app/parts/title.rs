//! What a page is called, in the browser's tab.

use leptos::prelude::*;

use super::text::push_escaped;

/// What every title ends in.
#[component]
#[expect(clippy::disallowed_methods, reason = "what it adds is ours")]
pub fn TitleEnd() -> impl IntoView {
    let whole = |title: String| if title.is_empty() { "Snug".to_owned() } else { format!("{title} · Snug") };
    view! { <leptos_meta::Title formatter=whole/> }
}

/// The page's title, which may be what someone wrote. `leptos_meta` puts it into the page as it is, so it is escaped here. (Pages
/// are rendered on the server only: nothing in the browser would show an escaped one.)
#[component]
#[expect(clippy::disallowed_methods, reason = "its text is escaped")]
pub fn Title(#[prop(into)] text: String) -> impl IntoView {
    let mut escaped = String::with_capacity(text.len());
    push_escaped(&mut escaped, &text);
    view! { <leptos_meta::Title text=escaped/> }
}
