//! A face for each person: the first letter of the name, in a colour that stays theirs.

use leptos::prelude::*;

use crate::protocol::Person;

/// The classes of the colours; `style/` gives them.
const HUES: [&str; 12] =
    ["hue-0", "hue-1", "hue-2", "hue-3", "hue-4", "hue-5", "hue-6", "hue-7", "hue-8", "hue-9", "hue-10", "hue-11"];

/// The class with this person's colour.
#[must_use]
pub fn hue(user: &str) -> &'static str {
    // FNV-1a, 32 bits; its upper half, which is mixed better.
    let hash = user.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    HUES[(hash >> 16) as usize % HUES.len()]
}

/// The first character of a name that is no punctuation. The styles make it a capital: the tables for that are the browser's.
#[must_use]
pub fn initial(name: &str) -> String {
    let first = name.chars().find(|c| !c.is_ascii_punctuation() && !c.is_whitespace());
    String::from(first.unwrap_or('·'))
}

#[component]
pub fn Avatar(person: Person) -> impl IntoView {
    view! { <span class=format!("avatar {}", hue(&person.user)) aria-hidden="true">{initial(person.shown())}</span> }
}
