//! Going to another room by keyboard: the field above the list, and the keys that work wherever one is on the page.
//!
//! All of it works on what the page shows, whoever put it there: a room is an item of the class `place` with its name in a
//! `bdi` and a link of the class `goto`. A room is always opened by a click on its link.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::JsString;
use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, FocusEvent, HtmlElement, HtmlInputElement, KeyboardEvent};

use crate::protocol::QUERY_MAX;

const FIELD: &str = "finder";
/// What one can go to, in its order on the page.
const SHOWN: &str = ".place:not([hidden]) .goto, .everywhere:not([hidden]) .goto";

/// The field. It is a form that asks the server; with scripts it narrows what the page shows.
pub fn finder(mac: bool) -> impl IntoView {
    let keys = if mac { ("Meta+K", "⌘ K") } else { ("Control+K", "Ctrl K") };
    let submitted = |event: SubmitEvent| {
        let empty = field().is_none_or(|field| field.value().trim().is_empty());
        if !empty && let Some(first) = shown().into_iter().next() {
            event.prevent_default();
            first.click();
            clear();
            // Where the page turns and stays, one goes on by writing.
            if let Some(composer) = all(".composer textarea").first() {
                let _ = composer.focus();
            }
        }
    };
    view! {
        <form class="finder" role="search" aria-label="Rooms" action="/" on:submit=submitted>
            <input
                id=FIELD
                type="search"
                name="q"
                aria-label="Find a room"
                placeholder="Find a room…"
                autocomplete="off"
                maxlength=QUERY_MAX.to_string()
                aria-keyshortcuts=keys.0
                on:input=|_| narrow()
            />
            <kbd class="scripted" aria-hidden="true">{keys.1}</kbd>
        </form>
    }
}

/// What the field finds beside the rooms of the list.
pub fn everywhere() -> impl IntoView {
    view! {
        <p class="sr" id="finds" role="status"></p>
        <ul class="everywhere" hidden=true>
            <li><a class="row goto" href="/">"Search all rooms"</a></li>
        </ul>
    }
}

/// Begins to listen to the keyboard.
pub fn listen(mac: bool) {
    // From where one came to the field.
    let from = Rc::new(RefCell::new(None::<HtmlElement>));
    let came = Rc::clone(&from);
    let _ = window_event_listener_untyped("focusin", move |event| {
        let event: FocusEvent = event.unchecked_into();
        let into_field = event.target().and_then(|target| target.dyn_into::<Element>().ok()).is_some_and(|to| to.id() == FIELD);
        let left = event.related_target().and_then(|left| left.dyn_into::<HtmlElement>().ok());
        if into_field && let Some(left) = left.filter(|left| !is_goto(left)) {
            *came.borrow_mut() = Some(left);
        }
    });
    let _ = window_event_listener_untyped("keydown", move |event| {
        let event: KeyboardEvent = event.unchecked_into();
        if pressed(&event, mac, &from) {
            event.prevent_default();
        }
    });
    // What was typed before the page came to life.
    if field().is_some_and(|field| !field.value().is_empty()) {
        narrow();
    }
}

/// Whether the key was meant for this.
fn pressed(event: &KeyboardEvent, mac: bool, from: &RefCell<Option<HtmlElement>>) -> bool {
    let (key, alt, shift) = (event.key(), event.alt_key(), event.shift_key());
    let other = if mac { event.ctrl_key() } else { event.meta_key() };
    let command = if mac { event.meta_key() } else { event.ctrl_key() };
    let up = key == "ArrowUp";
    let arrow = up || key == "ArrowDown";
    if event.is_composing() || other {
        return false;
    }
    if command && !alt {
        return match key.as_str() {
            "k" | "K" if !shift => to_field(),
            "/" => click("a[href=\"/shortcuts\"]"),
            _ => false,
        };
    }
    let Some(at) = document().active_element().filter(|_| !command) else { return false };
    if alt {
        // In a menu of choices these keys open it.
        return arrow && at.tag_name() != "SELECT" && step(up, shift);
    }
    let in_field = at.id() == FIELD;
    if shift || !in_field && !is_goto(&at) {
        return false;
    }
    if arrow {
        walk(&at, up);
    } else if key == "Escape" {
        clear();
        let back = from.borrow_mut().take().filter(|back| back.is_connected());
        let _ = match (back, field()) {
            (Some(back), _) => back.focus(),
            (None, Some(field)) if in_field => field.blur(),
            (None, Some(field)) => field.focus(),
            (None, None) => Ok(()),
        };
    } else {
        return false;
    }
    true
}

/// Shows only what has the field's text in its name, and how much that is.
pub fn narrow() {
    let Some(field) = field() else { return };
    let (typed, wanted) = (field.value(), folded(&field.value()));
    let mut found = 0;
    for place in all(".place") {
        let name = place.query_selector("bdi").ok().flatten().and_then(|name| name.text_content());
        let fits = name.is_some_and(|name| folded(&name).contains(&wanted));
        found += u32::from(fits);
        place.set_hidden(!fits);
    }
    let asked = !wanted.is_empty();
    for everywhere in all(".everywhere") {
        everywhere.set_hidden(!asked);
        if asked && let Ok(Some(link)) = everywhere.query_selector("a") {
            let _ = link.set_attribute("href", &format!("/?q={}", String::from(js_sys::encode_uri_component(&typed))));
        }
    }
    let Some(finds) = document().get_element_by_id("finds") else { return };
    // What is seen need not be said, but to who does not see it.
    finds.set_class_name(if asked && found == 0 { "side-note" } else { "sr" });
    finds.set_text_content(
        match found {
            _ if !asked => None,
            0 => Some("No room here is called that.".to_owned()),
            1 => Some("One room.".to_owned()),
            found => Some(format!("{found} rooms.")),
        }
        .as_deref(),
    );
}

/// A name without case and accents, so that "cafe" finds "Café".
fn folded(name: &str) -> String {
    let plain = JsString::from(name).normalize("NFKD").to_lower_case();
    String::from(plain).trim().chars().filter(|c| !('\u{300}'..='\u{36F}').contains(c)).collect()
}

fn clear() {
    if let Some(field) = field() {
        field.set_value("");
        narrow();
    }
}

/// To the field; where the page does not show it, to the page that does.
fn to_field() -> bool {
    match field().filter(|field| field.offset_parent().is_some()) {
        Some(field) => {
            let _ = field.focus();
            field.select();
            true
        }
        None => click("a[href=\"/\"]"),
    }
}

/// One up or down from `at`, which is the field or a room.
fn walk(at: &Element, up: bool) {
    let rooms = shown();
    let here = rooms.iter().position(|room| **room == *at);
    let to = match here {
        Some(here) if up => here.checked_sub(1).map(|to| &rooms[to]),
        Some(here) => rooms.get(here + 1).or(rooms.get(here)),
        None => rooms.first().filter(|_| !up),
    };
    let _ = match (to, field()) {
        (Some(to), _) => to.focus(),
        (None, Some(field)) => field.focus(),
        (None, None) => Ok(()),
    };
}

/// To the room of one's own before or after the one on the screen; where asked, to one with something `unread`. After the last
/// comes the first.
fn step(up: bool, unread: bool) -> bool {
    let rooms = all("[aria-labelledby=your-rooms] .place:not([hidden]) .goto");
    let here = rooms.iter().position(|room| room.has_attribute("aria-current"));
    let from = here.unwrap_or(if up { 0 } else { rooms.len().saturating_sub(1) });
    let next = (1..=rooms.len()).map(|n| if up { from + rooms.len() - n } else { from + n } % rooms.len()).find(|at| {
        let wanted = !unread || rooms[*at].query_selector(".count").is_ok_and(|count| count.is_some());
        wanted && here != Some(*at)
    });
    if let Some(next) = next {
        rooms[next].click();
    }
    true
}

fn click(selector: &str) -> bool {
    let link = all(selector).into_iter().next();
    link.as_ref().inspect(|link| link.click()).is_some()
}

fn field() -> Option<HtmlInputElement> {
    document().get_element_by_id(FIELD)?.dyn_into().ok()
}

fn is_goto(element: &Element) -> bool {
    element.class_list().contains("goto")
}

fn shown() -> Vec<HtmlElement> {
    all(SHOWN)
}

fn all(selector: &str) -> Vec<HtmlElement> {
    let Ok(found) = document().query_selector_all(selector) else { return Vec::new() };
    (0..found.length()).filter_map(|at| found.get(at)?.dyn_into().ok()).collect()
}
