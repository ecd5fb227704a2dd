//! `/new-room`.

use leptos::prelude::*;
use leptos_meta::Title;

use super::page;
use crate::app::parts::field::{PageField, TextField, WholeRefusal};
use crate::app::parts::frame::{Frame, PageHead, Pane};
use crate::protocol::{Field, ROOM_NAME_MAX, TOPIC_MAX};

#[component]
pub fn NewRoom() -> impl IntoView {
    const ACTION: &str = "create_room";
    view! {
        <Title text="A new room"/>
        {page(|me, rooms| async move {
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
                                <p class="hint">"Everyone with an account here can find the room, join it and read all of it."</p>
                                <p class="actions">
                                    <button class="button">"Make the room"</button>
                                    <a class="button quiet" href="/">"Never mind"</a>
                                </p>
                            </form>
                        </div>
                    </main>
                </Frame>
            })
        })}
    }
}
