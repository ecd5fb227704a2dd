//! `/room/{slug}`: a page of a room's log, and the composer below it.

use crate::app::parts::title::Title;
use leptos::either::EitherOf3;
use leptos::nonce::use_nonce;
use leptos::prelude::*;
use leptos::tachys::html::InertElement;
use leptos_router::hooks::{use_params_map, use_query_map};
use uuid::Uuid;

use super::page;
use crate::app::actions::read_room;
use crate::app::form;
use crate::app::given::give;
use crate::app::live::wire::{About, Opening};
use crate::app::parts::field::{PageField, PostButton, WholeRefusal};
use crate::app::parts::frame::{Frame, Pane};
use crate::app::parts::line::Line;
use crate::app::parts::room::{ROOM, Room, line_after, past_html};
use crate::app::parts::room_list::members;
use crate::app::parts::rows::{self, Reader};
use crate::app::request::{makes_rooms, request};
use crate::app::time;
use crate::protocol::{Event, Field, Me, Micros, Person, Presence, Refusal, RoomPage as Page, Seq, Slug};

#[component]
pub fn RoomPage() -> impl IntoView {
    let asked = use_params_map().with_untracked(|params| params.get("slug").unwrap_or_default());
    let (before, after, at) = use_query_map().with_untracked(|query| {
        let seq = |name| query.get(name).and_then(|seq| seq.parse::<i64>().ok());
        (seq("before"), seq("after"), seq("at"))
    });
    page(move |me, rooms| async move {
        let slug = Slug::new(asked.clone());
        let read = match &slug {
            Ok(slug) => read_room(slug.to_string(), before, after, at).await,
            Err(_) => Err(Refusal::NoRoom),
        };
        let page = match read {
            Ok(page) => page,
            Err(Refusal::NoRoom) => {
                return Ok(EitherOf3::A(view! { <Frame me=me rooms=rooms pane=Pane::Page><NoRoom/></Frame> }));
            }
            Err(why) => return Err(why),
        };
        let current = slug.ok();
        if !page.member {
            let outside = view! { <Frame me=me rooms=rooms pane=Pane::Page current=current><Outside page=page/></Frame> };
            return Ok(EitherOf3::B(outside));
        }
        let inside = me.clone();
        let unread = rooms.iter().find(|room| room.room == page.room).map_or(0, |room| room.unread);
        let at = at.map(Seq);
        Ok(EitherOf3::C(view! {
            <Frame me=me rooms=rooms pane=Pane::Room current=current><Inside me=inside page=page unread=unread at=at/></Frame>
        }))
    })
}

/// There is no such room, or none that one may see.
#[component]
fn NoRoom() -> impl IntoView {
    if let Some(request) = request() {
        (request.status)(404);
    }
    view! {
        <Title text="No such room"/>
        <main id="main" class="welcome always">
            <a class="back" href="/">"Rooms"</a>
            <h1>"There is no such room."</h1>
            <p>"Its address may have been mistyped, or you may not see it."</p>
            <p class="actions">
                <a class="button" href="/">"To the rooms"</a>
                {makes_rooms().then(|| view! { <a class="button quiet" href="/new-room">"Make a room"</a> })}
            </p>
        </main>
    }
}

/// A room that one is not a member of: what it is, and the way in.
#[component]
fn Outside(page: Page) -> impl IntoView {
    let members = members(page.members);
    let topic = (!page.topic.is_empty()).then(|| view! { <p class="topic" dir="auto">{page.topic}</p> });
    let room = page.room.to_string();
    let word = if page.closed {
        "The room is closed: who was a member can still read it, and nobody can join."
    } else {
        "You are not one of them yet: join to read and to write."
    };
    let step = match (page.closed, page.may_open) {
        (false, _) => view! { <PostButton action="join_room" name="room" value=room label="Join the room"/> }.into_any(),
        (true, true) => view! { <PostButton action="reopen_room" name="room" value=room label="Open it again"/> }.into_any(),
        (true, false) => view! { <a class="button" href="/">"To the rooms"</a> }.into_any(),
    };
    view! {
        <Title text=page.name.clone()/>
        <main id="main" class="welcome always">
            <a class="back" href="/">"Rooms"</a>
            <h1><bdi>{page.name}</bdi></h1>
            {topic}
            <p>{members} ". " {word}</p>
            <WholeRefusal action="join_room"/>
            <WholeRefusal action="reopen_room"/>
            {step}
        </main>
    }
}

/// A room from the inside.
#[component]
fn Inside(me: Me, page: Page, unread: u32, at: Option<Seq>) -> impl IntoView {
    const ACTION: &str = "post_message";
    let request = request();
    let now = request.as_ref().map_or(Micros(0), |request| request.now);
    let wall = request.as_ref().map(|request| request.wall.clone());
    let wall = move |at| wall.as_ref().map_or_else(|| time::utc(at), |wall| wall(at));
    let reader = Reader { me: &me.person.user, now, wall: &wall };
    let line = line_after(page.read, page.older, &page.events).filter(|_| unread > 0);
    let (html, above) = past_html(&page.room, page.older, |out| rows::push_page(out, &page.events, line, &reader));
    let last = page.events.iter().filter_map(Event::place).map(|(_, seq)| seq).next_back();
    let slug = page.room.clone();
    let address = format!("/room/{slug}");
    // The page's own nonce is random already: what is derived from it is as fresh as the page.
    let nonce = use_nonce().map_or(Uuid::nil(), |nonce| Uuid::new_v5(&Uuid::NAMESPACE_OID, nonce.as_bytes()));
    let why = form::why(ACTION, Field::Text).or_else(|| form::why_whole(ACTION));
    let opening = Opening {
        about: About {
            room: slug.clone(),
            name: page.name.clone(),
            topic: page.topic,
            members: page.members,
            closed: page.closed,
            may_open: page.may_open,
            idle: page.idle.to_string(),
        },
        id: me.id,
        user: me.person.user.clone(),
        as_of: page.as_of,
        epoch: page.epoch,
        at,
        older: page.older,
        newer: last.filter(|_| page.newer),
        above_at: above.at,
        above_author: above.author.unwrap_or_default(),
        events: above.notes,
        read: page.read,
        unread,
        here: with_reader(page.here, &me.person),
        nonce: if form::refused(ACTION).is_some() { form::typed(ACTION, "nonce").parse().unwrap_or(nonce) } else { nonce },
        text: form::typed(ACTION, "text"),
        message: why.unwrap_or_default(),
        page: request.as_ref().map(|request| request.path.clone()).unwrap_or_default(),
        zone: request.as_ref().map_or_else(|| "UTC".to_owned(), |request| request.zone.clone()),
        text_max: request.as_ref().map_or(4000, |request| request.text_max),
    };
    let mark_read = (unread > 0 && !page.newer).then(|| {
        view! {
            <form method="post" action="/actions/mark_read">
                <PageField/>
                <input type="hidden" name="room" value=slug.to_string()/>
                <input type="hidden" name="seq" value=page.as_of.to_string()/>
                <button class="link">"Mark as read"</button>
            </form>
        }
    });
    let given = give(ROOM, opening);
    view! {
        <Title text=page.name.clone()/>
        <main id="main" class="room">
            {given}
            <Room>
                {InertElement::new(html)}
            </Room>
            <div class="foot">
                <Line/>
                <span class="scripted">"Enter sends, Shift+Enter breaks the line"</span>
                <div class="plain">
                    {mark_read}
                    <a href=address>"Show what is new"</a>
                </div>
            </div>
        </main>
    }
}

/// Whoever reads the page is here, too; their connection only comes after it.
fn with_reader(mut here: Presence, reader: &Person) -> Presence {
    if !here.users.contains(reader) && usize::try_from(here.count).is_ok_and(|count| count == here.users.len()) {
        here.users.push(reader.clone());
        here.users.sort();
        here.count += 1;
    }
    here
}
