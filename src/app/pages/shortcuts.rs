//! `/shortcuts`: what the keyboard does.

use crate::app::parts::title::Title;
use leptos::prelude::*;

use super::page;
use crate::app::parts::frame::{Frame, PageHead, Pane};
use crate::app::request::request;

/// Keys that are pressed together, or one of which is, and what they do.
type Key = (&'static [&'static str], &'static str);

const EVERYWHERE: [Key; 4] = [
    (&["Ctrl", "K"], "Find a room"),
    (&["Alt", "↑ or ↓"], "To the room before or after this one"),
    (&["Alt", "Shift", "↑ or ↓"], "To the one before or after it that has something new"),
    (&["Ctrl", "/"], "This page"),
];
const FINDING: [Key; 3] = [
    (&["Enter"], "Open the first room that is found"),
    (&["↑ or ↓"], "Between the field and the rooms"),
    (&["Esc"], "Empty the field, and back to where you were"),
];
const WRITING: [Key; 3] =
    [(&["Enter"], "Send"), (&["Shift", "Enter"], "Break the line"), (&["Esc"], "Leave the text for the messages; it stays")];
const READING: [Key; 3] = [
    (&["↑ or ↓"], "A little up or down"),
    (&["Page Up or Page Down"], "A screen up or down"),
    (&["End"], "To the newest message"),
];

#[component]
pub fn Shortcuts() -> impl IntoView {
    view! {
        <Title text="Keyboard shortcuts"/>
        {page(|me, rooms| async move {
            Ok(view! {
                <Frame me=me rooms=rooms pane=Pane::Page>
                    <main id="main" class="sheet">
                        <PageHead title="Keyboard shortcuts"/>
                        // Nothing in it takes the focus: it does, to be scrolled.
                        <div class="sheet-body" tabindex="0" role="group" aria-label="Keyboard shortcuts">
                            <Keys id="everywhere" title="Everywhere" keys=&EVERYWHERE/>
                            <Keys id="finding" title="Finding a room" keys=&FINDING/>
                            <Keys id="writing" title="Writing a message" keys=&WRITING/>
                            <Keys id="reading" title="Among the messages" keys=&READING/>
                        </div>
                    </main>
                </Frame>
            })
        })}
    }
}

#[component]
fn Keys(id: &'static str, title: &'static str, keys: &'static [Key]) -> impl IntoView {
    let mac = request().is_some_and(|request| request.mac);
    let key = move |key: &'static str| match key {
        "Ctrl" if mac => "⌘",
        "Alt" if mac => "⌥",
        key => key,
    };
    let row = move |(together, what): &'static Key| {
        let keys = together.iter().enumerate().map(|(at, name)| {
            view! {
                {(at > 0).then_some(" + ")}
                <kbd>{key(name)}</kbd>
            }
        });
        view! {
            <div>
                <dt>{*what}</dt>
                <dd>{keys.collect_view()}</dd>
            </div>
        }
    };
    view! {
        <section aria-labelledby=id>
            <h2 id=id>{title}</h2>
            <dl class="keys">{keys.iter().map(row).collect_view()}</dl>
        </section>
    }
}
