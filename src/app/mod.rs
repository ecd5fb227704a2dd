//! What people see; compiled for the server and for the browser.
//!
//! A page is HTML that stands by itself. What changes by itself is an island ([`parts::room_list`], [`parts::room`],
//! [`parts::line`]), fed by [`live`]; nothing else runs in the browser, and pages without an island load no script at all.

pub mod actions;
pub mod form;
pub mod given;
pub mod live;
pub mod pages;
pub mod parts;
pub mod request;
pub mod time;

use leptos::config::LeptosOptions;
use leptos::nonce::use_nonce;
use leptos::prelude::*;
use leptos_router::components::{Route, Router, Routes};
use leptos_router::{SsrMode, path};

use pages::{Home, LogIn, NewRoom, NotFound, RoomPage, Settings, Shortcuts, SignUp};
use parts::frame::Trouble;
use request::{request, trouble};

/// Brings the islands to life; a function of the folder that the build's files are in.
const START: &str = include_str!("start.js");

/// The HTML document around a page that is called `title`. Its body is empty: [`Body`] is what it holds.
#[must_use]
pub fn shell(title: &str) -> impl IntoView {
    let request = request();
    let assets = request.as_ref().map(|request| request.assets.to_string()).unwrap_or_default();
    let path = request.as_ref().map(|request| request.path.clone()).unwrap_or_default();
    // There only while this is worked on.
    let reload = use_context::<LeptosOptions>();
    let nonce = use_nonce();
    let start = has_islands(&path).then(|| format!("{START}({:?})", format!("{assets}/pkg")));
    let stylesheet = format!("{assets}/pkg/snug.css");
    let title = if title.is_empty() { "Snug".to_owned() } else { format!("{title} · Snug") };
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content"/>
                <meta name="color-scheme" content="light dark"/>
                // As `--side` in the styles.
                <meta name="theme-color" media="(prefers-color-scheme: light)" content="#f7efe7"/>
                <meta name="theme-color" media="(prefers-color-scheme: dark)" content="#15100c"/>
                <title>{title}</title>
                <link rel="icon" href="/favicon.ico" sizes="32x32"/>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <link rel="apple-touch-icon" href="/apple-touch-icon.png"/>
                <link rel="manifest" href="/manifest.webmanifest"/>
                <link rel="stylesheet" href=stylesheet/>
                // Nothing is painted before everything is laid out: half a page would move when the rest came.
                <link rel="expect" href="#all" blocking="render"/>
                {start.map(|start| view! { <script type="module" nonce=nonce>{start}</script> })}
                {reload.map(|options| view! { <AutoReload options=options/> })}
            </head>
            <body></body>
        </html>
    }
}

/// What the document's body holds.
#[component]
pub fn Body() -> impl IntoView {
    view! {
        <App/>
        <i id="all" hidden></i>
    }
}

/// Whether the page at `path` (with or without a query) has something in it that lives.
fn has_islands(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    matches!(path, "/" | "/new-room" | "/settings" | "/shortcuts") || path.starts_with("/room/")
}

/// Every page, by its address.
#[component]
pub fn App() -> impl IntoView {
    if let Some(why) = trouble() {
        return view! { <Trouble why=why/> }.into_any();
    }
    view! {
        <Router>
            <Routes fallback=NotFound>
                <Route path=path!("/") view=Home ssr=SsrMode::Async/>
                <Route path=path!("/login") view=LogIn ssr=SsrMode::Async/>
                <Route path=path!("/signup") view=SignUp ssr=SsrMode::Async/>
                <Route path=path!("/room/:slug") view=RoomPage ssr=SsrMode::Async/>
                <Route path=path!("/new-room") view=NewRoom ssr=SsrMode::Async/>
                <Route path=path!("/settings") view=Settings ssr=SsrMode::Async/>
                <Route path=path!("/shortcuts") view=Shortcuts ssr=SsrMode::Async/>
            </Routes>
        </Router>
    }
    .into_any()
}
