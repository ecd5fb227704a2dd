//! JSON, read by the browser's own parser and written by hand.
//!
//! What is derived for reading, above all for a tagged enum with flattened parts, and the parser behind it have to be loaded by
//! every browser that comes for the first time: together they were a quarter of all its code.

use crate::protocol::Command;

/// A JSON value.
pub trait Json: Sized {
    /// A field of an object; none where it is missing or null.
    fn part(&self, name: &str) -> Option<Self>;
    fn as_text(&self) -> Option<String>;
    /// A whole number, exact up to 2^53.
    fn as_number(&self) -> Option<i64>;
    fn as_flag(&self) -> bool;
    /// The items of an array; none for anything else.
    fn items(&self) -> Vec<Self>;

    fn text(&self, name: &str) -> Option<String> {
        self.part(name)?.as_text()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.part(name)?.as_number()
    }

    fn count(&self, name: &str) -> u32 {
        self.number(name).and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        self.part(name).is_some_and(|part| part.as_flag())
    }

    fn list(&self, name: &str) -> Vec<Self> {
        self.part(name).map(|part| part.items()).unwrap_or_default()
    }

    /// What a text says: an id, a slug.
    fn parsed<T: TryFromText>(&self, name: &str) -> Option<T> {
        T::from_text(self.text(name)?)
    }
}

/// What is written as a text in JSON.
pub trait TryFromText: Sized {
    fn from_text(text: String) -> Option<Self>;
}

impl TryFromText for uuid::Uuid {
    fn from_text(text: String) -> Option<Self> {
        Self::parse_str(&text).ok()
    }
}

impl TryFromText for crate::protocol::Slug {
    fn from_text(text: String) -> Option<Self> {
        Self::new(text).ok()
    }
}

impl Json for wasm_bindgen::JsValue {
    fn part(&self, name: &str) -> Option<Self> {
        js_sys::Reflect::get(self, &name.into()).ok().filter(|part| !part.is_null() && !part.is_undefined())
    }

    fn as_text(&self) -> Option<String> {
        self.as_string()
    }

    fn as_number(&self) -> Option<i64> {
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^53")]
        self.as_f64().map(|number| number as i64)
    }

    fn as_flag(&self) -> bool {
        self.as_bool() == Some(true)
    }

    fn items(&self) -> Vec<Self> {
        if js_sys::Array::is_array(self) { js_sys::Array::from(self).iter().collect() } else { Vec::new() }
    }
}

/// Reads JSON in the browser; none when it is not JSON.
pub fn parse(text: &str) -> Option<wasm_bindgen::JsValue> {
    js_sys::JSON::parse(text).ok()
}

/// Writes a command.
#[must_use]
pub fn command(command: &Command) -> String {
    let mut out = String::new();
    match command {
        Command::Hello { rooms, epoch, look } => {
            begin(&mut out, "hello");
            out.push_str(",\"rooms\":{");
            for (at, (room, seq)) in rooms.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_text(&mut out, room.as_str());
                out.push(':');
                out.push_str(&seq.to_string());
            }
            out.push('}');
            if let Some(epoch) = epoch {
                push_field(&mut out, "epoch", &epoch.to_string());
            }
            if let Some(look) = look {
                push_field(&mut out, "look", look.as_str());
            }
        }
        Command::Send { room, id, text } => {
            begin(&mut out, "send");
            push_field(&mut out, "room", room.as_str());
            push_field(&mut out, "id", &id.to_string());
            push_field(&mut out, "text", text);
        }
        Command::Read { room, seq } => {
            begin(&mut out, "read");
            push_field(&mut out, "room", room.as_str());
            out.push_str(",\"seq\":");
            out.push_str(&seq.to_string());
        }
        Command::Join { room } => {
            begin(&mut out, "join");
            push_field(&mut out, "room", room.as_str());
        }
        Command::Leave { room } => {
            begin(&mut out, "leave");
            push_field(&mut out, "room", room.as_str());
        }
        Command::Look { room } => {
            begin(&mut out, "look");
            if let Some(room) = room {
                push_field(&mut out, "room", room.as_str());
            }
        }
        Command::Ping => begin(&mut out, "ping"),
    }
    out.push('}');
    out
}

fn begin(out: &mut String, r#type: &str) {
    out.push_str("{\"type\":");
    push_text(out, r#type);
}

fn push_field(out: &mut String, name: &str, text: &str) {
    out.push(',');
    push_text(out, name);
    out.push(':');
    push_text(out, text);
}

/// Writes a text as RFC 8259, section 7 has it.
fn push_text(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                out.push_str("\\u00");
                let code = c as usize;
                out.push(char::from(HEX[code >> 4 & 15]));
                out.push(char::from(HEX[code & 15]));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Seq, Slug};
    use proptest::prelude::*;
    use serde_json::Value;
    use uuid::Uuid;

    impl Json for Value {
        fn part(&self, name: &str) -> Option<Self> {
            self.get(name).filter(|part| !part.is_null()).cloned()
        }
        fn as_text(&self) -> Option<String> {
            self.as_str().map(ToOwned::to_owned)
        }
        fn as_number(&self) -> Option<i64> {
            self.as_i64()
        }
        fn as_flag(&self) -> bool {
            *self == Self::Bool(true)
        }
        fn items(&self) -> Vec<Self> {
            self.as_array().cloned().unwrap_or_default()
        }
    }

    fn slugs() -> impl Strategy<Value = Slug> {
        "[a-z0-9]{1,9}(-[a-z0-9]{1,9})?".prop_map(|text| Slug::new(text).expect("a slug"))
    }

    fn commands() -> impl Strategy<Value = Command> {
        let ids = || any::<u128>().prop_map(Uuid::from_u128);
        let seqs = || any::<i64>().prop_map(Seq);
        prop_oneof![
            (proptest::collection::btree_map(slugs(), seqs(), 0..4), proptest::option::of(ids()), proptest::option::of(slugs()))
                .prop_map(|(rooms, epoch, look)| Command::Hello { rooms, epoch, look }),
            (slugs(), ids(), any::<String>()).prop_map(|(room, id, text)| Command::Send { room, id, text }),
            (slugs(), seqs()).prop_map(|(room, seq)| Command::Read { room, seq }),
            slugs().prop_map(|room| Command::Join { room }),
            slugs().prop_map(|room| Command::Leave { room }),
            proptest::option::of(slugs()).prop_map(|room| Command::Look { room }),
            Just(Command::Ping),
        ]
    }

    proptest! {
        #[test]
        fn a_command_is_read_as_it_was_meant(written in commands()) {
            let read: Command = serde_json::from_str(&command(&written)).expect("a command");
            prop_assert_eq!(read, written);
        }
    }
}
