//! `/new-room`.

use crate::app::parts::title::Title;
use leptos::prelude::*;

use super::page;
use crate::app::parts::field::{ChoiceField, PageField, TextField, WholeRefusal};
use crate::app::parts::frame::{Frame, PageHead, Pane};
use crate::app::request::{makes_rooms, request};
use crate::protocol::{Field, Idle, ROOM_NAME_MAX, TOPIC_MAX};

#[component]
pub fn NewRoom() -> impl IntoView {
    const ACTION: &str = "create_room";
    let idle = request().map_or(Idle::Never, |request| request.room_idle).as_str();
    let choices = Idle::ALL.map(|idle| (idle.as_str(), said(idle)));
    view! {
        <Title text="A new room"/>
        {page(move |me, rooms| async move {
            if !makes_rooms() {
                return Ok(view! { <Frame me=me rooms=rooms pane=Pane::Page><NotYours/></Frame> }.into_any());
            }
            Ok(view! {
                <Frame me=me rooms=rooms pane=Pane::Page>
                    <main id="main" class="sheet">
                        <PageHead title="A new room"/>
                        <div class="sheet-body">
                            <form class="stack" method="post" action="/actions/create_room">
                                <WholeRefusal action=ACTION/>
                                <PageField/>
                                <TextField
                                    action=ACTION
                                    name="name"
                                    label="Name"
                                    field=Field::Name
                                    autocomplete="off"
                                    maxlength=ROOM_NAME_MAX
                                    autofocus=true
                                    hint="Its address is made from this and stays as it is.".to_owned()
                                />
                                <TextField
                                    action=ACTION
                                    name="topic"
                                    label="What it is about (may be left empty)"
                                    field=Field::Topic
                                    autocomplete="off"
                                    maxlength=TOPIC_MAX
                                    required=false
                                />
                                <ChoiceField
                                    action=ACTION
                                    name="idle"
                                    label="Close it by itself"
                                    field=Field::Idle
                                    choices=choices.to_vec()
                                    default=idle
                                    hint="A closed room can still be read, and you can open it again."
                                />
                                <p class="hint">"Everyone with an account here can find the room, join it and read all of it."</p>
                                <p class="actions">
                                    <button class="button">"Make the room"</button>
                                    <a class="button quiet" href="/">"Never mind"</a>
                                </p>
                            </form>
                        </div>
                    </main>
                </Frame>
            }
            .into_any())
        })}
    }
}

/// Only administrators make rooms on this server.
#[component]
fn NotYours() -> impl IntoView {
    if let Some(request) = request() {
        (request.status)(403);
    }
    view! {
        <main id="main" class="welcome always">
            <a class="back" href="/">"Rooms"</a>
            <h1>"Rooms are made by administrators here."</h1>
            <p>"Ask one of them for the room that you miss."</p>
            <p class="actions"><a class="button" href="/">"To the rooms"</a></p>
        </main>
    }
}

/// A choice, in words.
fn said(idle: Idle) -> &'static str {
    match idle {
        Idle::Never => "Never",
        Idle::Hour => "After an hour without a message",
        Idle::Day => "After a day without a message",
        Idle::Week => "After a week without a message",
        Idle::Month => "After a month without a message",
    }
}
