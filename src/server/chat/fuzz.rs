//! What `fuzz/` tries of the rules: each function takes whatever a stranger may send, and panics when what must hold does not.

use super::names;
use super::throttle::Source;
use super::tokens::Tokens;
use crate::protocol::{Field, ROOM_NAME_MAX, Slug, TOPIC_MAX, USERNAME_MAX};

/// Names of all kinds, and texts. What is accepted is accepted again, and stays as it is.
pub fn names(text: &str) {
    if let Ok(name) = names::username(text) {
        assert!(name.chars().count() <= USERNAME_MAX && !name.contains(['@', '<', '>', '&', '"', ' ', '/']));
        assert_eq!(names::username(&name).as_ref(), Ok(&name));
        assert_eq!(names::account_key(&name), names::username_key(&name), "who signs up with it can log in with it");
        let lower: String = name.chars().flat_map(char::to_lowercase).collect();
        assert_eq!(names::username_key(&name), names::username_key(&lower), "in any case it is the same name");
    }
    if let Ok(email) = names::email(text) {
        assert_eq!(names::email(&email).as_ref(), Ok(&email));
        assert_eq!(names::account_key(&email), names::email_key(&email));
    }
    let _any = names::account_key(text);
    for (max, field) in [(ROOM_NAME_MAX, Field::Name), (TOPIC_MAX, Field::Topic)] {
        if let Ok(line) = names::line(text, max, field) {
            assert!(line.chars().count() <= max && !line.contains(['\n', '\u{202e}', '\u{200b}']));
            assert_eq!(names::line(&line, max, field).as_ref(), Ok(&line));
        }
    }
    if let Ok(message) = names::text(text, 4000) {
        assert!(message.chars().count() <= 4000 && !message.contains(['\r', '\0', '\u{1b}']));
        assert_eq!(names::text(&message, 4000).as_ref(), Ok(&message));
    }
    let base = names::slug(text);
    let taken = [base.clone(), names::free_slug(&base, std::slice::from_ref(&base))];
    for slug in [&base, &taken[1], &names::free_slug(&base, &taken)] {
        assert!(Slug::new(slug.as_str()).is_ok(), "{slug:?}");
    }
    let _any = Slug::new(text);
}

/// A token. Nobody who tries knows the key.
pub fn token(text: &str) {
    assert!(Tokens::new(&Tokens::fresh_key()).opens(text).is_none(), "{text:?}");
}

/// Of an address, what throttles tell apart.
pub fn source(address: std::net::IpAddr) {
    let _any = Source::from(address);
}
