//! What stands around a page for someone who is logged in: the rooms at the left, the page at the right.

use crate::app::parts::title::Title;
use leptos::prelude::*;

use super::avatar::Avatar;
use super::line::Line;
use super::mark::Mark;
use super::room_list::{ROOMS, RoomList};
use crate::app::actions::{list_rooms, whoami};
use crate::app::form;
use crate::app::given::give;
use crate::app::live::wire::Listed;
use crate::app::request::request;
use crate::protocol::{Me, Refusal, RoomItem, Slug};

/// What every page of someone who is logged in shows: who that is, and the rooms.
///
/// # Errors
/// [`Refusal::LogIn`] when nobody is, and what [`list_rooms`] refuses.
pub async fn around() -> Result<(Me, Vec<RoomItem>), Refusal> {
    let me = whoami().await?.ok_or(Refusal::LogIn)?;
    let rooms = list_rooms().await?;
    Ok((me, rooms))
}

/// Which of the two panes a small screen shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    /// The list of rooms: this is the home page.
    List,
    /// A room: the state of the line stands below its composer.
    Room,
    /// Another page.
    Page,
}

#[component]
pub fn Frame<Page>(
    me: Me,
    rooms: Vec<RoomItem>,
    pane: Pane,
    /// The room that the page shows.
    #[prop(optional_no_strip)]
    current: Option<Slug>,
    children: TypedChildren<Page>,
) -> impl IntoView
where
    Page: IntoView + 'static,
{
    let request = request();
    let page = request.as_ref().map(|request| request.path.clone()).unwrap_or_default();
    let zone = request.as_ref().map_or_else(|| "UTC".to_owned(), |request| request.zone.clone());
    let now = request.as_ref().map(|request| request.now).unwrap_or_default();
    let mac = request.as_ref().is_some_and(|request| request.mac);
    // A room seen from the outside says it itself, beside its own button.
    let refused = form::why_whole("join_room").filter(|_| current.is_none() || pane == Pane::Room);
    let keys = if mac { "Meta+/" } else { "Control+/" };
    let person = me.person;
    let shown = person.shown().to_owned();
    let class = match pane {
        Pane::List => "app list",
        Pane::Room | Pane::Page => "app",
    };
    let apart = pane == Pane::List;
    let makes_rooms = request.as_ref().is_some_and(|request| request.makes_rooms);
    let (id, user) = (me.id, person.user.clone());
    let given = give(ROOMS, Listed { id, user, rooms, current, page, apart, makes_rooms, zone, now, mac });
    view! {
        <div class=class>
            {(pane != Pane::List).then(|| view! { <a class="skip" href="#main">"Skip to the page"</a> })}
            <div class="side">
                <a class="brand" href="/" aria-current=(pane == Pane::List).then_some("page")>
                    <Mark/>
                    "Snug"
                </a>
                {refused.map(|why| view! { <p class="why whole" role="alert">{why}</p> })}
                {given}
                <RoomList/>
                {(pane != Pane::Room).then(|| view! { <div class="side-line"><Line/></div> })}
                <div class="me">
                    <Avatar person=person/>
                    <b><bdi>{shown}</bdi></b>
                    <a class="scripted" href="/shortcuts" title="Keyboard shortcuts" aria-keyshortcuts=keys>"Keys"</a>
                    <a href="/settings">"Settings"</a>
                </div>
            </div>
            {children.into_inner()()}
        </div>
    }
}

/// The head of a page that is no room.
#[component]
pub fn PageHead(title: &'static str) -> impl IntoView {
    view! {
        <header class="head">
            <a class="back" href="/">"Rooms"</a>
            <div class="title"><h1>{title}</h1></div>
        </header>
    }
}

/// A page that could not be made.
#[component]
pub fn Trouble(why: Refusal) -> impl IntoView {
    let request = request();
    if let Some(request) = &request {
        (request.status)(why.status());
    }
    let path = request.map(|request| request.path.clone()).unwrap_or_default();
    let (title, address, words) = match why {
        Refusal::LogIn => ("Who is there?", "/login".to_owned(), "Log in"),
        Refusal::Busy | Refusal::TooFast { .. } | Refusal::TooMany => ("One moment, please.", path, "Try again"),
        Refusal::Unavailable | Refusal::Full => ("Back in a moment.", path, "Try again"),
        _ => ("That did not work.", path, "Try again"),
    };
    view! {
        <Title text=title.trim_end_matches('.')/>
        <main class="door">
            <div class="card">
                <Mark/>
                <h1>{title}</h1>
                <p>{why.to_string()}</p>
                <p class="actions">
                    <a class="button" href=address>{words}</a>
                    <a class="button quiet" href="/">"To the rooms"</a>
                </p>
            </div>
        </main>
    }
}
