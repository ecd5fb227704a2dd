//! `/`: what is unread, and every room that one could join. On a small screen the list of rooms is above it, and is the page.

use crate::app::parts::title::Title;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::page;
use crate::app::actions::find_rooms;
use crate::app::parts::field::{PostButton, encoded};
use crate::app::parts::frame::{Frame, Pane};
use crate::app::parts::news::News;
use crate::app::parts::room_list::members;
use crate::app::request::{makes_rooms, request};
use crate::app::time;
use crate::protocol::{FoundRoom, FoundRooms, Micros, QUERY_MAX};

#[component]
pub fn Home() -> impl IntoView {
    let (query, number) = use_query_map().with_untracked(|asked| {
        let query = asked.get("q").unwrap_or_default().trim().to_owned();
        (query, asked.get("page").and_then(|page| page.parse().ok()))
    });
    view! {
        <Title text="Rooms"/>
        {page(move |me, rooms| async move {
            let found = find_rooms(Some(query.clone()), number).await?;
            let name = me.person.shown().to_owned();
            let own = rooms.iter().filter(|room| room.member).count();
            // Who looks for a room has asked for something else than what is new.
            let browsing = !query.is_empty() || found.page > 1;
            Ok(view! {
                <Frame me=me rooms=rooms pane=Pane::List>
                    <main id="main" class="home">
                        <div class="greeting">
                            <h1>"Hello, " <bdi>{name}</bdi> "."</h1>
                            {(!browsing).then(|| view! { <News/> })}
                        </div>
                        <Browse query=query found=found own=own/>
                    </main>
                </Frame>
            })
        })}
    }
}

/// The rooms that there are, to be looked through.
#[component]
fn Browse(query: String, found: FoundRooms, own: usize) -> impl IntoView {
    let FoundRooms { rooms, total, page, pages } = found;
    let asked = !query.is_empty();
    let title = if asked {
        view! { "Rooms with “" <bdi>{query.clone()}</bdi> "”" }.into_any()
    } else {
        view! { "More rooms" }.into_any()
    };
    let empty = (total == 0).then(|| view! { <Nothing query=query.clone() own=own/> });
    let turn = |to: u32, words: &'static str, rel: &'static str| {
        let query = if asked { format!("q={}&", encoded(&query)) } else { String::new() };
        view! { <a href=format!("/?{query}page={to}#more-rooms") rel=rel>{words}</a> }
    };
    let turns = (pages > 1).then(|| {
        view! {
            <nav class="turn" aria-label="Pages">
                {(page > 1).then(|| turn(page - 1, "Previous page", "prev"))}
                <span>{format!("Page {page} of {pages}")}</span>
                {(page < pages).then(|| turn(page + 1, "Next page", "next"))}
            </nav>
        }
    });
    view! {
        <section class="browse" aria-labelledby="more-rooms">
            <div class="browse-head">
                <h2 id="more-rooms">{title}</h2>
                {asked.then(|| view! { <a href="/">"All rooms"</a> })}
                {makes_rooms().then(|| view! { <a class="button quiet small" href="/new-room">"Make a room"</a> })}
            </div>
            <form class="search" role="search" aria-label="All rooms" action="/">
                <input
                    type="search"
                    name="q"
                    value=query.clone()
                    maxlength=QUERY_MAX.to_string()
                    aria-label="Search all rooms"
                    placeholder="A name, or what it is about"
                />
                <button class="button quiet">"Search"</button>
            </form>
            {empty}
            <ul class="offers" aria-labelledby="more-rooms">
                {rooms.into_iter().map(|room| view! { <Offer room=room/> }).collect_view()}
            </ul>
            {turns}
        </section>
    }
}

/// What to do where nothing was found.
#[component]
fn Nothing(query: String, own: usize) -> impl IntoView {
    if !query.is_empty() {
        let make = format!("/new-room?name={}", encoded(&query));
        return view! {
            <div class="nothing">
                <p>"No room has “" <bdi>{query.clone()}</bdi> "” in its name, or in what it is about."</p>
                {makes_rooms().then(|| {
                    view! { <p class="actions"><a class="button" href=make>"Make a room called “" <bdi>{query}</bdi> "”"</a></p> }
                })}
            </div>
        }
        .into_any();
    }
    let words = match (own, makes_rooms()) {
        (0, true) => "There is no room yet. Make the first one: whoever comes after you can join it.",
        (0, false) => "There is no room yet. An administrator of this server can make one.",
        (_, true) => "You are in every room that there is. There is always space for another.",
        (_, false) => "You are in every room that there is.",
    };
    view! { <p class="nothing">{words}</p> }.into_any()
}

/// A room, with what helps to decide.
#[component]
fn Offer(room: FoundRoom) -> impl IntoView {
    let FoundRoom { room: slug, name, topic, member, members: count, active_at, closed } = room;
    let spoken = format!("Join {name}");
    view! {
        <li class="place">
            <div>
                <h3><a class="goto" href=format!("/room/{slug}")><bdi>{name}</bdi></a></h3>
                {(!topic.is_empty()).then(|| view! { <p class="topic" dir="auto">{topic}</p> })}
                <p class="hint">{members(count)} ", last active " <Short at=active_at/></p>
            </div>
            {closed.then(|| view! { <span class="tag">"closed"</span> })}
            {if member {
                view! { <span class="tag">"you are in it"</span> }.into_any()
            } else {
                view! {
                    <PostButton
                        action="join_room"
                        name="room"
                        value=slug.to_string()
                        label="Join"
                        class="button quiet small"
                        spoken=spoken
                    />
                }
                .into_any()
            }}
        </li>
    }
}

/// When something was, in few letters.
#[component]
fn Short(at: Micros) -> impl IntoView {
    let words =
        request().map_or_else(|| time::short(at, at, time::utc), |request| time::short(at, request.now, |at| (request.wall)(at)));
    view! { <time datetime=time::iso(at)>{words}</time> }
}
