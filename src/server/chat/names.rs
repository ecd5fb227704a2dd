//! What may be a name and a text: forms, lengths, and what two names have in common.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::protocol::{EMAIL_MAX, Field, Refusal, SLUG_MAX, USERNAME_MAX};

/// The most combining marks in a row: enough for any written language, too few to climb over the next line.
const MARKS_MAX: usize = 4;

/// Characters that are not seen, or turn round what is: bidirectional controls, zero-width spaces, line and paragraph
/// separators, tags. (The zero-width joiner, which emoji need, is not among them.)
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

fn has_pile_of_marks(text: &str) -> bool {
    let mut marks = 0;
    text.chars().any(|c| {
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        marks > MARKS_MAX
    })
}

fn within(text: &str, max: usize, field: Field) -> Result<(), Refusal> {
    if text.chars().count() > max {
        return Err(Refusal::TooLong { field, max: u32::try_from(max).unwrap_or(u32::MAX) });
    }
    Ok(())
}

/// A username in its normal form (NFKC): letters and digits, with single dots, hyphens and underscores between them.
pub fn username(text: &str) -> Result<String, Refusal> {
    let field = Field::Username;
    let name: String = super::filled(text, field)?.trim().nfkc().collect();
    within(&name, USERNAME_MAX, field)?;
    let between = |c: char| matches!(c, '.' | '-' | '_');
    let mut last_between = true;
    for c in name.chars() {
        if between(c) && last_between || !between(c) && !c.is_alphanumeric() && !is_combining_mark(c) {
            return Err(Refusal::BadForm { field });
        }
        last_between = between(c);
    }
    let marks_first = name.chars().next().is_some_and(is_combining_mark);
    if last_between || marks_first || has_pile_of_marks(&name) {
        return Err(Refusal::BadForm { field });
    }
    Ok(name)
}

/// What two usernames that look alike have in common: without case, and with look-alikes as one (the skeleton of Unicode's
/// UTS 39, section 4).
pub fn username_key(name: &str) -> String {
    let folded: String = name.nfkc().flat_map(char::to_lowercase).collect();
    unicode_security::skeleton(&folded).collect()
}

/// An e-mail address, as typed but for space around it. Whether it exists is not checked.
pub fn email(text: &str) -> Result<String, Refusal> {
    let field = Field::Email;
    let email = super::filled(text, field)?.trim();
    if email.len() > EMAIL_MAX {
        return Err(Refusal::TooLong { field, max: u32::try_from(EMAIL_MAX).unwrap_or(u32::MAX) });
    }
    let whole = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !domain.starts_with('.') && !domain.ends_with('.')
    });
    if !whole || email.chars().any(|c| c.is_whitespace() || is_hidden(c) || matches!(c, '<' | '>' | '"' | ',' | ';')) {
        return Err(Refusal::BadForm { field });
    }
    Ok(email.to_owned())
}

/// What two spellings of an e-mail address have in common.
pub fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The key of the account that a person names at a login: by e-mail address or username.
pub fn account_key(name: &str) -> String {
    if name.contains('@') { email_key(name) } else { username_key(name.trim()) }
}

/// A room's name or topic on one line: NFC, runs of space as one space.
pub fn line(text: &str, max: usize, field: Field) -> Result<String, Refusal> {
    let spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = spaced.nfc().collect();
    within(&line, max, field)?;
    if line.chars().any(is_hidden) || has_pile_of_marks(&line) {
        return Err(Refusal::BadForm { field });
    }
    Ok(line)
}

/// A message's text: line ends as `\n`, without control characters but tabs, and without empty lines around it.
pub fn text(text: &str, max: u32) -> Result<String, Refusal> {
    let field = Field::Text;
    let text: String = text.replace("\r\n", "\n").chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    let text = super::filled(&text, field)?.trim_end().trim_start_matches('\n').to_owned();
    within(&text, usize::try_from(max).unwrap_or(usize::MAX), field)?;
    Ok(text)
}

/// A readable slug for a room's name: transliterated to ASCII, words joined by hyphens. Never empty.
pub fn slug(name: &str) -> String {
    let ascii = deunicode::deunicode(name).to_lowercase();
    let mut slug = String::new();
    for c in ascii.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if c != '\'' && !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    // Room for `-1234` after it.
    slug.truncate(SLUG_MAX - 8);
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "room".to_owned() } else { slug.to_owned() }
}

/// The first of `base`, `base-2`, `base-3`, … that is not in `taken`.
pub fn free_slug(base: &str, taken: &[String]) -> String {
    let mut slug = base.to_owned();
    let mut n = 1_u32;
    while taken.contains(&slug) {
        n += 1;
        slug = format!("{base}-{n}");
    }
    slug
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Slug;

    #[test]
    fn usernames_are_letters_digits_and_single_marks_between_them() {
        for good in ["ada", "Ada.Lovelace", "x", "jean-luc_2", "Ünal", "健"] {
            assert_eq!(username(good).as_deref(), Ok(good));
        }
        for bad in [
            "a@b",
            "-a",
            "a-",
            "a..b",
            "a b",
            "\u{202e}ada",
            "ada\u{200b}",
            "<b>",
            "a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}b",
            "\u{301}a",
        ] {
            assert_eq!(username(bad), Err(Refusal::BadForm { field: Field::Username }), "{bad:?}");
        }
        assert_eq!(username("ａｄａ").as_deref(), Ok("ada"));
    }

    #[test]
    fn names_that_look_alike_have_the_same_key() {
        assert_eq!(username_key("Ada"), username_key("аdа"), "Cyrillic a");
        assert_eq!(username_key("ADA"), username_key("ada"));
        assert_ne!(username_key("ada"), username_key("ida"));
    }

    #[test]
    fn slugs_are_readable() {
        assert_eq!(slug("Tea & Biscuits"), "tea-biscuits");
        assert_eq!(slug("Größe  Über alles!"), "grosse-uber-alles");
        assert_eq!(slug("Ada's room"), "adas-room");
        assert_eq!(slug("!!!"), "room");
        assert_eq!(free_slug("tea", &["tea".into(), "tea-2".into()]), "tea-3");
    }

    #[test]
    fn a_message_keeps_its_lines_and_loses_what_is_not_text() {
        assert_eq!(text("\r\n  a\r\nb\u{0}\u{7}\n\n", 100).as_deref(), Ok("  a\nb"));
        assert_eq!(text(" \n ", 100), Err(Refusal::Empty { field: Field::Text }));
        assert_eq!(text("abc", 2), Err(Refusal::TooLong { field: Field::Text, max: 2 }));
    }

    proptest! {
        #[test]
        fn every_name_has_a_valid_slug(name in "\\PC{1,64}", n in 0_usize..30) {
            let base = slug(&name);
            prop_assert!(Slug::new(base.as_str()).is_ok(), "{base:?}");
            let mut taken = vec![];
            for _ in 0..n {
                let next = free_slug(&base, &taken);
                prop_assert!(Slug::new(next.as_str()).is_ok() && !taken.contains(&next));
                taken.push(next);
            }
        }

        #[test]
        fn what_is_accepted_is_accepted_again_and_stays_the_same(text_in in "\\PC{0,40}") {
            if let Ok(name) = username(&text_in) {
                prop_assert_eq!(username(&name), Ok(name.clone()));
                prop_assert!(!name.contains('@'));
            }
            if let Ok(line_out) = line(&text_in, 64, Field::Name) {
                prop_assert_eq!(line(&line_out, 64, Field::Name), Ok(line_out.clone()));
            }
            if let Ok(out) = text(&text_in, 100) {
                prop_assert_eq!(text(&out, 100), Ok(out.clone()));
            }
        }
    }
}
