//! A face for each person: the initials of the name, on a colour and a shape that stay theirs.

use leptos::prelude::*;

use crate::protocol::Person;

/// The classes of each colour with each shape; `style/` gives them.
macro_rules! faces {
    ($($hue:literal)*) => {
        [$(
            concat!("hue-", $hue, " look-0"),
            concat!("hue-", $hue, " look-1"),
            concat!("hue-", $hue, " look-2"),
            concat!("hue-", $hue, " look-3"),
            concat!("hue-", $hue, " look-4"),
            concat!("hue-", $hue, " look-5"),
            concat!("hue-", $hue, " look-6"),
            concat!("hue-", $hue, " look-7"),
        )*]
    };
}
const FACES: [&str; 96] = faces!(0 1 2 3 4 5 6 7 8 9 10 11);

/// The classes with this person's colour and shape.
#[must_use]
pub fn hue(user: &str) -> &'static str {
    // FNV-1a, 32 bits; its upper half, which is mixed better.
    let hash = user.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    FACES[(hash >> 16) as usize % FACES.len()]
}

/// The first character of a name's first word, and of its last one where there are several. The styles make them capitals: the
/// tables for that are the browser's.
#[must_use]
pub fn initial(name: &str) -> String {
    let mut words = name.split(|c: char| c.is_ascii_punctuation() || c.is_whitespace()).filter(|word| !word.is_empty());
    let first = words.next().and_then(|word| word.chars().next()).unwrap_or('·');
    let last = words.next_back().and_then(|word| word.chars().next());
    std::iter::once(first).chain(last).collect()
}

#[component]
pub fn Avatar(person: Person) -> impl IntoView {
    view! { <span class=format!("avatar {}", hue(&person.user)) aria-hidden="true">{initial(person.shown())}</span> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_made_of_the_name() {
        for (name, letters) in [
            ("ada", "a"),
            ("maximilian.featherstonehaugh-smy", "ms"),
            ("Ada King Lovelace", "AL"),
            ("Дмитрий", "Д"),
            ("…", "…"),
            ("-", "·"),
        ] {
            assert_eq!(initial(name), letters, "{name}");
        }
    }

    #[test]
    fn faces_stay_and_differ() {
        assert_eq!(hue("ada"), hue("ada"));
        let faces: std::collections::BTreeSet<_> = (0..1000).map(|n| hue(&format!("person-{n}"))).collect();
        assert_eq!(faces.len(), FACES.len());
    }
}
