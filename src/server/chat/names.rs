//! What may be a name and a text: forms, lengths, and what two names have in common.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_segmentation::UnicodeSegmentation;

use crate::protocol::{EMAIL_MAX, Field, Refusal, SLUG_MAX, USERNAME_MAX};

/// The most combining marks in a row: enough for any written language, too few to climb over the next line.
const MARKS_MAX: usize = 4;

/// The zero-width joiner: between two pictures it makes one of them.
const JOINER: char = '\u{200D}';

/// The zero-width non-joiner: keeps apart two letters that would be written as one.
const NON_JOINER: char = '\u{200C}';

/// Whether `c` is of the Arabic script, whose letters join, as far as Persian, Urdu and their neighbours use it.
fn is_arabic(c: char) -> bool {
    matches!(c, '\u{0620}'..='\u{06FF}' | '\u{0750}'..='\u{077F}' | '\u{08A0}'..='\u{08FF}')
}

/// Whether Unicode has `c` as a Default_Ignorable_Code_Point: bidirectional controls, zero-width spaces and joiners, fillers, variation
/// selectors, tags. They are what a skeleton drops, which has the table of them.
fn is_ignorable(c: char) -> bool {
    unicode_security::skeleton(c.encode_utf8(&mut [0; 4])).next().is_none()
}

/// Characters that are not seen, or turn round what is: controls, what is ignorable, line and paragraph separators, notes between
/// lines, and what is blank without being a space (in Braille, Egyptian, Khitan, music).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || is_ignorable(c)
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{2800}' | '\u{FFF9}'..='\u{FFFB}' | '\u{13430}'..='\u{13442}' | '\u{16FE4}'
            | '\u{1D159}')
}

/// Whether `c` is a picture (Extended_Pictographic): only two of those are held together by a joiner (UAX 29, GB11).
fn is_pictograph(c: char) -> bool {
    let joined: String = [c, JOINER, '❤'].iter().collect();
    joined.graphemes(true).nth(1).is_none()
}

/// Whether `c` takes a consonant's own vowel away (a virama), by which letters of Indic scripts join.
fn is_virama(c: Option<char>) -> bool {
    c.is_some_and(|c| canonical_combining_class(c) == 9)
}

/// Whether the hidden `c` between `before` and `after` does something to see. A joiner does between pictures, and beside
/// a virama (RFC 5892, A.2, has the most common case); a non-joiner after one, and between Arabic letters (A.1); the selectors of emoji do after a picture, and in a keycap.
fn has_effect(before: &str, c: char, after: &str) -> bool {
    let next = after.chars().next();
    let last = before.chars().next_back();
    match c {
        JOINER if next.is_some_and(is_pictograph) => {
            let dress = |c| matches!(c, '\u{FE0E}' | '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}');
            before.trim_end_matches(dress).chars().next_back().is_some_and(is_pictograph)
        }
        JOINER => is_virama(last) && next != Some(JOINER) || is_virama(next) && last.is_some_and(char::is_alphabetic),
        NON_JOINER => last
            .zip(next)
            .is_some_and(|(last, next)| next.is_alphabetic() && (is_virama(Some(last)) || is_arabic(last) && is_arabic(next))),
        '\u{FE0E}' | '\u{FE0F}' => {
            let keycap = matches!(last, Some('0'..='9' | '#' | '*')) && next == Some('\u{20E3}');
            keycap || last.is_some_and(is_pictograph)
        }
        _ => false,
    }
}

fn has_pile_of_marks(text: &str) -> bool {
    let mut marks = 0;
    text.chars().any(|c| {
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        marks > MARKS_MAX
    })
}

fn too_long(max: usize, field: Field) -> Refusal {
    Refusal::TooLong { field, max: u32::try_from(max).unwrap_or(u32::MAX) }
}

fn within(text: &str, max: usize, field: Field) -> Result<(), Refusal> {
    if text.chars().count() > max { Err(too_long(max, field)) } else { Ok(()) }
}

/// A username in its normal form (NFKC): letters and digits, with single dots, hyphens and underscores between them.
pub fn username(text: &str) -> Result<String, Refusal> {
    let field = Field::Username;
    let text = super::filled(text, field)?.trim();
    // What is far too long is not normalized first, which may make it longer still.
    if text.chars().count() > 4 * USERNAME_MAX {
        return Err(too_long(USERNAME_MAX, field));
    }
    let name: String = text.nfkc().collect();
    within(&name, USERNAME_MAX, field)?;
    let between = |c: char| matches!(c, '.' | '-' | '_');
    let mut last_between = true;
    for c in name.chars() {
        // Some letters and marks show nothing.
        if between(c) && last_between || !between(c) && !c.is_alphanumeric() && !is_combining_mark(c) || is_hidden(c) {
            return Err(Refusal::BadForm { field });
        }
        last_between = between(c);
    }
    let marks_first = name.chars().next().is_some_and(is_combining_mark);
    if last_between || marks_first || has_pile_of_marks(&name) || username_key(&name).is_empty() {
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
        return Err(too_long(EMAIL_MAX, field));
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

/// A room's name or topic on one line: NFC, runs of space as one space. Unless it is empty it shows something, and all that it has does.
pub fn line(text: &str, max: usize, field: Field) -> Result<String, Refusal> {
    let spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = spaced.nfc().collect();
    within(&line, max, field)?;
    let hidden = |(at, c): (usize, char)| is_hidden(c) && !has_effect(&line[..at], c, &line[at + c.len_utf8()..]);
    let blank = !line.is_empty() && line.chars().all(|c| c == ' ' || is_combining_mark(c));
    if blank || line.char_indices().any(hidden) || has_pile_of_marks(&line) {
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
            // Letters and marks that show nothing.
            "\u{115f}",
            "\u{1160}",
            "\u{3164}",
            "\u{ffa0}",
            "ada\u{3164}",
            "a\u{34f}da",
            "ada\u{fe0f}",
            "ada\u{17b5}",
            "ada\u{180b}",
            "ada\u{e0100}",
            "ada\u{13441}",
            "ada\u{16fe4}",
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
    fn lines_show_all_that_they_have() {
        let line = |text: &str| line(text, 64, Field::Name);
        for hidden in
            ('\u{e0100}'..='\u{e01ef}').chain("\u{115f}\u{1160}\u{3164}\u{ffa0}\u{34f}\u{2800}\u{200c}\u{17b4}\u{17b5}".chars())
        {
            for bad in [format!("{hidden}"), format!("gen{hidden}eral"), format!("general{hidden}"), format!("❤{hidden}")] {
                assert_eq!(line(&bad), Err(Refusal::BadForm { field: Field::Name }), "{bad:?}");
            }
        }
        for good in [
            "👩‍💻",
            "❤️",
            "❤️‍🔥",
            "👩🏽‍💻 at work",
            "🏳️‍🌈",
            "👨‍👩‍👧‍👦",
            "ℹ️ help",
            "🅰️",
            "1️⃣ first",
            "#️⃣",
            "☎︎",
            "ශ්‍රී",
            "র\u{200d}্যালি",
            "അവന്\u{200d}",
            "کتاب\u{200c}ها",
            "e\u{323}\u{302}",
            "",
        ] {
            assert_eq!(line(good), Ok(good.nfc().collect()), "{good:?}");
        }
        for bad in [
            "general\u{200d}",
            "gen\u{200d}eral",
            "\u{200d}",
            "1\u{200d}2",
            "a \u{200d}b",
            "general!\u{200d}",
            "x\u{303}\u{200d}",
            "کتاب\u{200c}",
            "کتاب\u{200c} ها",
            "\u{200c}ها",
            "کتاب\u{200c}a",
            "👩\u{200d}\u{200d}💻",
            "👩\u{200d}",
            "👩\u{200d} 💻",
            "\u{200d}👩",
            "general\u{fe0f}",
            "\u{fe00}",
            "1\u{fe0f}",
            "general!\u{fe0f}",
            "❤\u{fe0f}\u{fe0f}",
            // Marks with nothing that they are on.
            "\u{301}",
            "\u{301} \u{302}",
        ] {
            assert_eq!(line(bad), Err(Refusal::BadForm { field: Field::Name }), "{bad:?}");
        }
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
        fn what_is_accepted_is_accepted_again_and_stays_the_same(
            text_in in "\\PC{0,40}|[a1 #\u{20e3}\u{200d}\u{fe0f}\u{3164}\u{301}👩💻❤\u{1f3fd}\u{94d}क]{0,12}",
        ) {
            if let Ok(name) = username(&text_in) {
                prop_assert_eq!(username(&name), Ok(name.clone()));
                prop_assert!(!name.contains('@') && !username_key(&name).is_empty());
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
