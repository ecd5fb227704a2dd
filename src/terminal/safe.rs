//! Other people's text, made fit for a terminal.
//!
//! A terminal obeys what it is shown: an escape sequence in a message could move the cursor, rewrite what stands above, change
//! the window's title or type into the shell. And a control for the direction of text can make one's line look like another's. So
//! nothing that comes from a server goes to the terminal but through here, and what is taken out leaves something to see.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_segmentation::UnicodeSegmentation;

/// A tab, in cells: where it would go depends on what is left of it.
const TAB: &str = "    ";

/// Code points that one character on the screen may be made of: the longest emoji have ten.
const MARKS: usize = 16;

/// What a line break is in a text that has to be on one line.
const BREAK: &str = " ↵ ";

/// `text` on one line.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    made_safe(text, BREAK)
}

/// `text` with its line breaks.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    made_safe(text, "\n")
}

/// JSON in which nothing stands that a terminal would obey: such characters are only ever in strings, where they can be escaped.
#[must_use]
pub fn json(json: String) -> String {
    if !json.chars().any(is_harmful) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    let mut units = [0; 2];
    for c in json.chars() {
        if is_harmful(c) {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn made_safe<'a>(text: &'a str, line_break: &str) -> Cow<'a, str> {
    let too_many = |text: &str| text.graphemes(true).any(|grapheme| grapheme.chars().count() > MARKS);
    let fits = text.is_ascii() || !too_many(text);
    if fits && !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let text = text.replace("\r\n", "\n");
    for grapheme in text.graphemes(true) {
        for c in grapheme.chars().take(MARKS) {
            push(&mut out, c, line_break);
        }
    }
    Cow::Owned(out)
}

fn push(out: &mut String, c: char, line_break: &str) {
    match c {
        '\n' => out.push_str(line_break),
        '\t' => out.push_str(TAB),
        // The pictures of the controls: ␛ for escape.
        '\0'..='\x1f' => out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
        '\x7f' => out.push('␡'),
        c if is_harmful(c) => {
            let _ = write!(out, "<{:04X}>", u32::from(c));
        }
        c => out.push(c),
    }
}

/// Controls, what turns the direction of text or hides, and what ends a line in some programs. (Joiners stay: scripts and emoji are
/// made with them.)
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What terminals have been attacked with.
    pub const HOSTILE: [&str; 14] = [
        "\x1b[2J\x1b[H",
        "\x1b]0;title\x07",
        "\x1b]52;c;cm0gLXJmIC8=\x07",
        "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
        "\x1bP+q544e\x1b\\",
        "\x1b[6n\x1b[c\x1b[21t",
        "\u{9b}31mred\u{9c}",
        "over\rwritten",
        "back\x08\x08\x08\x08space",
        "\u{202e}gnp.exe",
        "\u{2066}\u{2067}\u{2069}\u{200f}\u{061c}",
        "line\u{2028}and\u{2029}paragraph\u{85}",
        "\x00\x07\x0b\x0c\x0e\x0f\x7f",
        "\u{feff}\u{200b}\u{e0041}hidden",
    ];

    /// Whether a terminal shows it, and does nothing else.
    pub fn is_shown(text: &str) -> bool {
        !text.chars().any(is_harmful)
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for hostile in HOSTILE {
            let shown = line(hostile);
            assert!(is_shown(&shown) && !shown.is_empty(), "{hostile:?} is {shown:?}");
            assert!(is_shown(&text(hostile).replace('\n', "")), "{hostile:?}");
        }
        assert_eq!(line("\x1b[31mred"), "␛[31mred");
        assert_eq!(line("a\u{202e}b\u{9b}"), "a<202E>b<009B>");
        assert_eq!(line("one\r\ntwo\n\tthree"), "one ↵ two ↵     three");
        assert_eq!(text("one\r\ntwo"), "one\ntwo");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for written in
            ["Grüße, 你好, שלום, सलाम 🙂", "👩‍👩‍👧‍👦 🏳️‍🌈 e\u{301}", "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}"]
        {
            assert_eq!(line(written), written);
        }
        assert_eq!(line(&format!("Z{}", "\u{300}".repeat(1000))).chars().count(), MARKS, "and no tower of marks");
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_shown(written in "\\PC*|.*") {
            prop_assert!(is_shown(&line(&written)));
            let json = serde_json::to_string(&written).expect("text is JSON");
            let escaped = super::json(json);
            prop_assert!(is_shown(&escaped));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).expect("still JSON"), written);
        }
    }
}
