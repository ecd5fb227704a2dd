//! Rendering a page: first what its body holds, waiting for what that needs; then the document around it, which says what the page
//! turned out to be called.
//!
//! (The integration of Leptos with axum streams: it copies a page four times on its way, waits a turn of the runtime for each, and
//! ends it with two scripts for resources, which these pages do not have.)

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use hydration_context::SsrSharedContext;
use leptos::prelude::*;
use leptos::reactive::owner::{Owner, Sandboxed};
use leptos::tachys::ssr::StreamBuilder;
use leptos::tachys::view::{Position, RenderHtml};
use leptos_router::location::RequestUrl;

use crate::app::{Body, shell};

/// Bytes of a body, as most are.
const USUAL: usize = 32 * 1024;

/// Where the body ends.
const END: &str = "</body>";

/// Renders the page at `path`, which may have a query. `provide` gives it its contexts; it is handed what sets the title.
pub async fn render(path: &str, provide: impl FnOnce(Arc<dyn Fn(String) + Send + Sync>)) -> String {
    // Only islands come to life: the rest is not marked for it.
    let owner = Owner::new_root(Some(Arc::new(SsrSharedContext::new_islands())));
    let title: Arc<Mutex<String>> = Arc::default();
    let set_title = {
        let title = Arc::clone(&title);
        Arc::new(move |text| *title.lock().unwrap_or_else(PoisonError::into_inner) = text)
    };
    let rendering = async {
        let mut parts = owner.with(|| {
            provide_context(RequestUrl::new(&format!("http://snug.invalid{path}")));
            provide(set_title);
            let mut parts = StreamBuilder::with_capacity(USUAL, None);
            let body = view! { <Body/> };
            body.to_html_async_with_buf::<false>(&mut parts, &mut Position::FirstChild, true, false, Vec::new());
            parts.finish()
        });
        let mut body = parts.next().await.unwrap_or_default();
        while let Some(part) = parts.next().await {
            body.push_str(&part);
        }
        let title = std::mem::take(&mut *title.lock().unwrap_or_else(PoisonError::into_inner));
        let around = owner.with(|| shell(&title).to_html());
        let (before, after) = around.rsplit_once(END).unwrap_or((&around, ""));
        [before, &body, END, after].concat()
    };
    let html = Sandboxed::new(rendering).await;
    owner.unset_with_forced_cleanup();
    html
}
