//! What stands above a room's log: what the room is, who is here, and what one can do about it. What stands in the composer's
//! place when it is closed, too.

use leptos::prelude::*;

use super::avatar::{hue, initial};
use super::markup::Markup;
use super::room_list::members;
use crate::app::form;
use crate::app::live::wire::About;
use crate::protocol::Presence;

pub fn head(about: &About, here: &Presence, page: &str) -> impl IntoView + use<> {
    view! {
        <header class="head">
            <a class="back" href="/">"Rooms"</a>
            <div class="title" id="room-title" inner_html=title(about)></div>
            <button type="button" class="here" popovertarget="here" id="room-here" inner_html=faces(here)></button>
            <div class="popover" id="here" popover="auto" inner_html=names(here)></div>
            <button type="button" class="round" popovertarget="room-menu" aria-label="About this room">"⋯"</button>
            <div class="popover" id="room-menu" popover="auto" inner_html=menu(about, page)></div>
        </header>
    }
}

#[must_use]
pub fn title(about: &About) -> String {
    let mut out = Markup::default();
    out.raw("<h1><bdi>").text(&about.name).raw("</bdi></h1>");
    push_topic(&mut out, about);
    out.done()
}

fn push_topic(out: &mut Markup, about: &About) {
    if !about.topic.is_empty() {
        out.raw("<p class=\"topic\" dir=\"auto\">").text(&about.topic).raw("</p>");
    }
}

/// The first who are here, and how many there are.
#[must_use]
pub fn faces(here: &Presence) -> String {
    let mut out = Markup::default();
    out.raw("<span class=\"faces\" aria-hidden=\"true\">");
    for person in here.users.iter().take(3) {
        out.raw("<span class=\"avatar ").raw(hue(&person.user)).raw("\">").text(&initial(person.shown())).raw("</span>");
    }
    out.raw("</span><span>").text(&here.count.to_string()).raw(" here</span>").done()
}

/// All who are here, as far as their names are known.
#[must_use]
pub fn names(here: &Presence) -> String {
    let mut out = Markup::default();
    out.raw("<p class=\"hint\">Here just now</p><ul>");
    for person in &here.users {
        out.raw("<li><bdi>").text(person.shown()).raw("</bdi></li>");
    }
    out.raw("</ul>");
    let others = usize::try_from(here.count).unwrap_or_default().saturating_sub(here.users.len());
    if others > 0 {
        out.raw("<p class=\"hint\">and ").text(&others.to_string()).raw(" more</p>");
    }
    out.done()
}

/// What there is to know of the room, and to do about it. `page` is where its forms are on.
#[must_use]
pub fn menu(about: &About, page: &str) -> String {
    let mut out = Markup::default();
    push_topic(&mut out, about);
    out.raw("<p class=\"hint\">").text(&members(about.members)).raw("</p>");
    if let Some(closes) = closes(&about.idle) {
        out.raw("<p class=\"hint\">").raw(closes).raw("</p>");
    }
    if about.may_open && !about.closed {
        push_form(&mut out, "close_room", "Close the room", about, page);
    }
    push_form(&mut out, "leave_room", "Leave the room", about, page);
    out.done()
}

/// What stands in the composer's place when the room is closed.
#[must_use]
pub fn closed(about: &About, page: &str) -> String {
    let mut out = Markup::default();
    out.raw("<div class=\"composer closed\"><p>This room is closed. All that was said can still be read.</p>");
    if about.may_open {
        push_form(&mut out, "reopen_room", "Open it again", about, page);
    }
    out.raw("</div>").done()
}

/// A button that does something with the room on the screen.
fn push_form(out: &mut Markup, action: &'static str, label: &'static str, about: &About, page: &str) {
    out.raw("<form method=\"post\" action=\"/actions/").raw(action).raw("\"><input type=\"hidden\" name=\"").raw(form::PAGE);
    out.raw("\" value=\"").text(page).raw("\"/><input type=\"hidden\" name=\"room\" value=\"").text(about.room.as_str());
    out.raw("\"/><button class=\"button quiet small\">").raw(label).raw("</button></form>");
}

/// When a room closes by itself, in a sentence; `idle` is as [`About::idle`] has it.
fn closes(idle: &str) -> Option<&'static str> {
    Some(match idle {
        "hour" => "Closes after an hour without a message",
        "day" => "Closes after a day without a message",
        "week" => "Closes after a week without a message",
        "month" => "Closes after a month without a message",
        _ => return None,
    })
}
