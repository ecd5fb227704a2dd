//! What people write, made into HTML that can do no harm: everything is escaped, and addresses of the web can be followed.

/// Writes `text` so that HTML takes it for nothing but text, in an element as in a quoted attribute.
pub fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// Part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Words(&'a str),
    /// An address of the web: it begins with `http://` or `https://`.
    Link(&'a str),
}

/// The pieces of `text`, in order and without loss. The only addresses that become links are those of the web.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut link = None;
    std::iter::from_fn(move || {
        if let Some(link) = link.take() {
            return Some(Piece::Link(link));
        }
        if rest.is_empty() {
            return None;
        }
        let Some((start, end)) = find_link(rest) else {
            return Some(Piece::Words(std::mem::take(&mut rest)));
        };
        let (words, found) = (&rest[..start], &rest[start..end]);
        rest = &rest[end..];
        if words.is_empty() {
            return Some(Piece::Link(found));
        }
        link = Some(found);
        Some(Piece::Words(words))
    })
}

/// Where the first address in `text` begins and ends.
fn find_link(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(colon) = text[from..].find("://").map(|at| from + at) {
        from = colon + 3;
        let before = &text[..colon];
        let Some(start) = scheme_start(before) else { continue };
        // "xhttp://" is no address.
        if text[..start].ends_with(|c: char| c.is_ascii_alphanumeric()) {
            continue;
        }
        let rest = &text[from..];
        let length = rest.find(ends_link).unwrap_or(rest.len());
        let end = from + trimmed(&rest[..length]);
        if text[from..end].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[' || !c.is_ascii()) {
            return Some((start, end));
        }
    }
    None
}

/// Where `http` or `https` begins, at the end of `before`.
fn scheme_start(before: &str) -> Option<usize> {
    ["https", "http"].into_iter().find_map(|scheme| {
        let start = before.len().checked_sub(scheme.len())?;
        before.get(start..).filter(|end| end.eq_ignore_ascii_case(scheme)).map(|_| start)
    })
}

/// What no address contains.
fn ends_link(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '`' | '“' | '”' | '«' | '»')
}

/// The length of `address` without the punctuation of the sentence around it. A closing bracket belongs to the address when
/// it has been opened in it.
fn trimmed(address: &str) -> usize {
    let mut kept = address;
    while let Some(last) = kept.chars().next_back() {
        let opened = |open: char, close: char| kept.matches(open).count() >= kept.matches(close).count();
        let punctuation = match last {
            '.' | ',' | ':' | ';' | '!' | '?' | '\'' | '*' | '_' | '~' | '’' | '…' => true,
            ')' => !opened('(', ')'),
            ']' => !opened('[', ']'),
            '}' => !opened('{', '}'),
            _ => false,
        };
        if !punctuation {
            break;
        }
        kept = &kept[..kept.len() - last.len_utf8()];
    }
    kept.len()
}

/// Writes what someone wrote.
pub fn push_text(out: &mut String, text: &str) {
    for piece in pieces(text) {
        match piece {
            Piece::Words(words) => push_escaped(out, words),
            Piece::Link(address) => {
                out.push_str("<a href=\"");
                push_escaped(out, address);
                out.push_str("\" target=\"_blank\" rel=\"noopener noreferrer\">");
                push_escaped(out, address);
                out.push_str("</a>");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links(text: &str) -> Vec<&str> {
        pieces(text).filter_map(|piece| if let Piece::Link(link) = piece { Some(link) } else { None }).collect()
    }

    #[test]
    fn addresses_of_the_web_are_found() {
        assert_eq!(links("see https://a.example/b, and (http://c.example)."), ["https://a.example/b", "http://c.example"]);
        assert_eq!(links("https://en.example/wiki/Tea_(meal)"), ["https://en.example/wiki/Tea_(meal)"]);
        assert_eq!(links("HTTPS://A.EXAMPLE"), ["HTTPS://A.EXAMPLE"]);
        assert_eq!(links("http://[::1]:3000/x?y=1#z"), ["http://[::1]:3000/x?y=1#z"]);
        assert_eq!(links("“https://a.example”"), ["https://a.example"]);
    }

    #[test]
    fn nothing_else_becomes_a_link() {
        for text in [
            "javascript:alert(1)",
            "javascript://x",
            "data:text/html,x",
            "xhttp://a",
            "https://",
            "http:// a",
            "ftp://a.example",
            "https://\"x",
        ] {
            assert_eq!(links(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn markup_stays_text() {
        let mut out = String::new();
        push_text(&mut out, "<b onclick='x'>&\" https://a.example/?a=1&b='2");
        assert_eq!(
            out,
            "&lt;b onclick=&#39;x&#39;&gt;&amp;&quot; <a href=\"https://a.example/?a=1&amp;b=&#39;2\" target=\"_blank\" \
             rel=\"noopener noreferrer\">https://a.example/?a=1&amp;b=&#39;2</a>"
        );
    }

    /// Texts in which schemes, brackets and quotes are likely.
    fn texts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("http://".to_owned()),
            Just("https://".to_owned()),
            Just("javascript:".to_owned()),
            Just("://".to_owned()),
            "[a-z.()\\[\\]<>\"'& \n]{0,6}",
            "\\PC{0,4}",
        ];
        proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn pieces_are_the_text_and_links_are_of_the_web(text in texts()) {
            let mut joined = String::new();
            for piece in pieces(&text) {
                match piece {
                    Piece::Words(words) => {
                        prop_assert!(!words.is_empty());
                        joined.push_str(words);
                    }
                    Piece::Link(link) => {
                        let lower = link.to_ascii_lowercase();
                        prop_assert!(lower.starts_with("http://") || lower.starts_with("https://"));
                        joined.push_str(link);
                    }
                }
            }
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn only_our_own_markup_is_written(text in texts()) {
            let mut out = String::new();
            push_text(&mut out, &text);
            let ours = out
                .replace("\" target=\"_blank\" rel=\"noopener noreferrer\">", "")
                .replace("<a href=\"", "")
                .replace("</a>", "");
            prop_assert!(!ours.contains(['<', '>', '"', '\'']), "{}", out);
        }
    }
}
