//! Where messages are written. Without scripts it is a form; with them, what is sent goes to the outbox.

use leptos::ev::{KeyboardEvent, SubmitEvent};
use leptos::prelude::*;
use uuid::Uuid;
use wasm_bindgen::JsCast;
use web_sys::{HtmlInputElement, HtmlTextAreaElement};

use super::draw::element;
use super::markup::Markup;
use super::room::{LOG, Place};
use super::text::push_escaped;
use crate::app::form;
use crate::app::live::{browser, live};
use crate::protocol::{Seq, Slug};

/// The most rows that the field grows to.
const ROWS_MAX: usize = 8;

/// The form, its field, and the hidden one that names the room.
const FORM: &str = "composer";
const FIELD: &str = "text";
const TO: &str = "to";

/// What the form is rendered with, beside what is shown of the room.
pub struct Form {
    /// The last event that the page shows.
    pub as_of: Seq,
    pub nonce: Uuid,
    /// What was typed into a form that was refused.
    pub typed: String,
    /// The page's path and query.
    pub page: String,
}

pub fn composer(place: Place, form: Form) -> impl IntoView {
    let Form { as_of, nonce, typed, page } = form;
    let (room, label, notice, closed) =
        place.look(|paper| (paper.about.room.to_string(), label(&paper.about.name), paper.notice.clone(), paper.about.closed));
    let refused = !notice.is_empty();
    let typing = move |_| {
        changed(place);
        if let Some(field) = field() {
            live().keep_draft(&place.room(), &field.value());
        }
    };
    let submitted = move |event: SubmitEvent| {
        event.prevent_default();
        send(place);
        focus();
    };
    let key = move |event: KeyboardEvent| {
        // 229: a key that an input method has taken, in browsers that do not say so otherwise.
        let composing = event.is_composing() || event.key_code() == 229;
        if event.key() == "Enter" && !event.shift_key() && !event.ctrl_key() && !event.alt_key() && !composing {
            event.prevent_default();
            send(place);
        } else if event.key() == "Escape"
            && !composing
            && let Some(log) = element(LOG)
        {
            let _ = log.focus();
        }
    };
    let mut inside = String::new();
    if !typed.is_empty() {
        // HTML drops a line break at the beginning.
        inside.push('\n');
        push_escaped(&mut inside, &typed);
    }
    view! {
        <form class="composer" id=FORM method="post" action="/actions/post_message" hidden=closed on:submit=submitted>
            <input type="hidden" name=form::PAGE value=page/>
            <input type="hidden" name="room" id=TO value=room/>
            <input type="hidden" name="nonce" value=nonce.to_string()/>
            <input type="hidden" name="seen" value=as_of.to_string()/>
            <p class="notice" id="text-notice" role="status" inner_html=Markup::default().text(&notice).done()></p>
            <div class="box">
                <textarea
                    id=FIELD
                    name="text"
                    rows="1"
                    aria-label=label.clone()
                    placeholder=label
                    aria-describedby="text-notice"
                    aria-invalid=refused.then_some("true")
                    enterkeyhint="send"
                    on:input=typing
                    on:keydown=key
                    inner_html=inside
                ></textarea>
                <button class="button">"Send"</button>
            </div>
        </form>
    }
}

fn label(room: &str) -> String {
    ["Message to ", room].concat()
}

/// Makes it the composer of the room that is shown.
pub fn turn(place: Place) {
    let (Some(form), Some(field)) = (element(FORM), field()) else { return };
    let (room, closed, label) = place.look(|paper| (paper.about.room.clone(), paper.about.closed, label(&paper.about.name)));
    form.set_hidden(closed);
    let _ = field.set_attribute("aria-label", &label);
    field.set_placeholder(&label);
    let before = place.look(|paper| paper.composing.clone());
    if before.as_ref() == Some(&room) {
        return;
    }
    if let Some(to) = element(TO).and_then(|to| to.dyn_into::<HtmlInputElement>().ok()) {
        to.set_value(room.as_str());
    }
    place.change(|paper| paper.composing = Some(room.clone()));
    if before.is_some() {
        // What was being written in the room before is kept there.
        field.set_value(&live().draft(&room).unwrap_or_default());
        changed(place);
        if browser::has_keyboard() {
            focus();
        }
        return;
    }
    // The browser would bring it back, too: what another tab has sent since, and to whoever logs in here next.
    let _ = field.set_attribute("autocomplete", "off");
    let typed = field.value();
    // What was typed before this page came to life goes before what was left in an earlier one.
    if !typed.is_empty() {
        live().keep_draft(&room, &typed);
    } else if let Some(draft) = live().draft(&room) {
        field.set_value(&draft);
    }
    if !field.has_attribute("aria-invalid") {
        changed(place);
    }
}

/// Another tab has sent what was being written in `room`: `text`.
pub fn gone(place: Place, room: &str, text: &str) {
    if let Some(field) = field().filter(|field| place.room().as_str() == room && field.value() == text) {
        field.set_value("");
        changed(place);
    }
}

/// Puts a message that was not sent back where it can be written on.
pub fn take_back(place: Place, text: &str) {
    let Some(field) = field() else { return };
    let before = field.value();
    let whole = if before.trim().is_empty() { text.to_owned() } else { [&before, "\n", text].concat() };
    field.set_value(&whole);
    live().keep_draft(&place.room(), &whole);
    changed(place);
    focus();
}

pub fn focus() {
    if let Some(field) = field() {
        let _ = field.focus();
    }
}

/// What the field holds has changed.
fn changed(place: Place) {
    let Some(field) = field() else { return };
    let (max, shown) = place.look(|paper| (paper.text_max, !paper.notice.is_empty()));
    let text = field.value();
    let length = text.chars().count();
    field.set_rows(u32::try_from(text.split('\n').count().min(ROWS_MAX)).unwrap_or(1));
    let notice = if length > max {
        let _ = field.set_attribute("aria-invalid", "true");
        let over = length - max;
        let characters = if over == 1 { "character" } else { "characters" };
        format!("{over} {characters} too many: {max} is the most.")
    } else {
        let _ = field.remove_attribute("aria-invalid");
        let near = length + max / 10 > max;
        if near { format!("{} characters left", max - length) } else { String::new() }
    };
    if shown || !notice.is_empty() {
        place.change(|paper| paper.notice = notice);
    }
}

fn send(place: Place) {
    let Some(field) = field() else { return };
    let text = field.value();
    // A message that is too long stays here, with the sentence that says so.
    if text.trim().is_empty() || text.chars().count() > place.look(|paper| paper.text_max) {
        return;
    }
    let room: Slug = place.room();
    live().write(&room, text.clone());
    live().draft_sent(&room, &text);
    field.set_value("");
    changed(place);
    place.sent();
}

fn field() -> Option<HtmlTextAreaElement> {
    element(FIELD)?.dyn_into().ok()
}
