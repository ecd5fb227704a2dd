//! What people write, made into HTML that can do no harm: everything is escaped; addresses of the web can be followed, and code
//! and quotes look like what they are.

/// HTML takes it for more than text.
const ESCAPED: u8 = 1;
/// It ends a line, or begins or ends code.
const SHAPING: u8 = 2;
/// It may be in an address.
const COLON: u8 = 4;

/// What each byte may be. All of it is ASCII, which no other character's bytes contain.
const MEANING: [u8; 256] = {
    let mut meaning = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        meaning[byte as usize] = match byte {
            b'&' | b'<' | b'>' | b'"' | b'\'' => ESCAPED,
            b'\n' | b'`' => SHAPING,
            b':' => COLON,
            _ => 0,
        };
        byte += 1;
    }
    meaning
};

fn meaning(byte: u8) -> u8 {
    MEANING[usize::from(byte)]
}

/// Writes `text` so that HTML takes it for nothing but text, in an element as in a quoted attribute.
pub fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| meaning(byte) == ESCAPED) {
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

/// What begins and ends a block of code, at the beginning of a line.
const FENCE: &str = "```";

/// Whether a line begins a block of code: a fence, and after it at most the name of a language.
fn opens_code(line: &str) -> bool {
    line.strip_prefix(FENCE).is_some_and(|language| !language.trim_end().contains(|c: char| c == '`' || c.is_whitespace()))
}

/// Some lines of a text, as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    Plain(&'a str),
    /// Lines that begin with `>`.
    Quote(&'a str),
    /// Lines between fences (three backticks), with these; a fence that is not closed lasts to the end.
    Code(&'a str),
}

/// The blocks of `text`, in order and without loss.
pub fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.split_inclusive('\n').next()?;
        let fenced = opens_code(first);
        let mut length = first.len();
        if fenced {
            for line in rest[length..].split_inclusive('\n') {
                length += line.len();
                if line.trim_end() == FENCE {
                    break;
                }
            }
        } else {
            let begins = |line: &str| (line.starts_with('>'), opens_code(line));
            length += rest[length..]
                .split_inclusive('\n')
                .take_while(|line| begins(line) == begins(first))
                .map(str::len)
                .sum::<usize>();
        }
        let (block, after) = rest.split_at(length);
        rest = after;
        Some(match (fenced, first.starts_with('>')) {
            (true, _) => Block::Code(block),
            (_, true) => Block::Quote(block),
            _ => Block::Plain(block),
        })
    })
}

/// Part of a line or of some lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Words(&'a str),
    /// An address of the web: it begins with `http://` or `https://`.
    Link(&'a str),
    /// What stands between two backticks of one line, with these.
    Code(&'a str),
}

/// The pieces of `text`, in order and without loss. The only addresses that become links are those of the web.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut found = None;
    std::iter::from_fn(move || {
        if let Some(piece) = found.take() {
            return Some(piece);
        }
        if rest.is_empty() {
            return None;
        }
        let (code, link) = (find_code(rest), find_link(rest));
        let is_code = code.is_some_and(|(at, _)| link.is_none_or(|(link, _)| at < link));
        let Some((start, end)) = (if is_code { code } else { link }) else {
            return Some(Piece::Words(std::mem::take(&mut rest)));
        };
        let (words, special) = (&rest[..start], &rest[start..end]);
        rest = &rest[end..];
        let special = if is_code { Piece::Code(special) } else { Piece::Link(special) };
        if words.is_empty() {
            return Some(special);
        }
        found = Some(special);
        Some(Piece::Words(words))
    })
}

/// Where the first code of a line begins and ends, with its backticks.
fn find_code(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(start) = text[from..].find('`').map(|at| from + at) {
        from = start + 1;
        let length = text[from..].find(['`', '\n'])?;
        if length > 0 && text[from + length..].starts_with('`') {
            return Some((start, from + length + 1));
        }
        from += length;
    }
    None
}

/// Where the first address in `text` begins and ends.
fn find_link(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(colon) = text[from..].find(':').map(|at| from + at) {
        from = colon + 1;
        if !text[from..].starts_with("//") {
            continue;
        }
        from += 2;
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

/// Writes what someone wrote: the inside of an element that keeps line breaks.
pub fn push_text(out: &mut String, text: &str) {
    // Most of what people write is one line of words.
    let all = text.bytes().fold(0, |all, byte| all | meaning(byte));
    if all & SHAPING == 0 && !text.starts_with('>') && (all & COLON == 0 || !text.contains("://")) {
        return if all & ESCAPED == 0 { out.push_str(text) } else { push_escaped(out, text) };
    }
    for block in blocks(text) {
        match block {
            // A block begins and ends its own lines.
            Block::Plain(lines) => push_inline(out, lines.strip_suffix('\n').unwrap_or(lines)),
            Block::Quote(lines) => {
                out.push_str("<blockquote>");
                for (at, line) in lines.lines().enumerate() {
                    if at > 0 {
                        out.push('\n');
                    }
                    let line = line.strip_prefix('>').unwrap_or(line);
                    push_inline(out, line.strip_prefix(' ').unwrap_or(line));
                }
                out.push_str("</blockquote>");
            }
            Block::Code(lines) => {
                let inside = lines.split_once('\n').map_or("", |(_, inside)| inside);
                let inside = inside.trim_end().strip_suffix(FENCE).unwrap_or(inside);
                // Its long lines are scrolled, also by keyboard.
                out.push_str("<pre tabindex=\"0\"><code>");
                push_escaped(out, inside.strip_suffix('\n').unwrap_or(inside));
                out.push_str("</code></pre>");
            }
        }
    }
}

fn push_inline(out: &mut String, text: &str) {
    for piece in pieces(text) {
        match piece {
            Piece::Words(words) => push_escaped(out, words),
            Piece::Code(code) => {
                out.push_str("<code>");
                push_escaped(out, code.trim_matches('`'));
                out.push_str("</code>");
            }
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

/// The most characters of a message that is shown large because it is nothing but emoji.
const FEW: usize = 12;

/// Whether `text` is a few emoji and nothing else.
#[must_use]
pub fn is_emoji(text: &str) -> bool {
    let joins = |c: char| matches!(c, '\u{200D}' | '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}');
    let shows = |c: char| matches!(c, '\u{2600}'..='\u{27BF}' | '\u{1F1E6}'..='\u{1F1FF}' | '\u{1F300}'..='\u{1FAFF}');
    text.chars().take(FEW + 1).count() <= FEW && text.starts_with(shows) && text.chars().all(|c| shows(c) || joins(c) || c == ' ')
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

    fn html(text: &str) -> String {
        let mut out = String::new();
        push_text(&mut out, text);
        out
    }

    #[test]
    fn code_and_quotes_look_like_what_they_are() {
        assert_eq!(html("run `make <x>` now"), "run <code>make &lt;x&gt;</code> now");
        assert_eq!(html("a `b\nc` d"), "a `b\nc` d", "code of a line ends with it");
        assert_eq!(html("``"), "``");
        assert_eq!(html("`https://a.example`"), "<code>https://a.example</code>");
        assert_eq!(html("> so he said\n>no more\nYes.\nYes!"), "<blockquote>so he said\nno more</blockquote>Yes.\nYes!");
        assert_eq!(html("a\n> b"), "a<blockquote>b</blockquote>");
        assert_eq!(
            html("see\n```rust\nfn x() {}\n> `y`\n```\nthere"),
            "see<pre tabindex=\"0\"><code>fn x() {}\n&gt; `y`</code></pre>there"
        );
        assert_eq!(html("```\nopen\n"), "<pre tabindex=\"0\"><code>open</code></pre>");
        assert_eq!(html("``` and so on"), "``` and so on", "nothing that was said is hidden");
    }

    #[test]
    fn a_few_emoji_are_told_from_words() {
        for emoji in ["🙂", "👍🏽 👍", "❤️", "👨‍👩‍👧", "🇩🇪"] {
            assert!(is_emoji(emoji), "{emoji}");
        }
        for words in ["", " ", "a", "🙂 ok", "1", "…", &"🙂".repeat(13)] {
            assert!(!is_emoji(words), "{words}");
        }
    }

    /// Texts in which schemes, brackets and quotes are likely.
    fn texts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("http://".to_owned()),
            Just("https://".to_owned()),
            Just("javascript:".to_owned()),
            Just("://".to_owned()),
            Just("```".to_owned()),
            Just("\n```\n".to_owned()),
            Just("\n> ".to_owned()),
            "[`>\n]{0,3}",
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
                    Piece::Code(code) => {
                        prop_assert!(code.len() > 2 && code.starts_with('`') && code.ends_with('`') && !code.contains('\n'));
                        joined.push_str(code);
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
        fn blocks_are_the_text(text in texts()) {
            let joined: String = blocks(&text)
                .map(|block| { let (Block::Plain(lines) | Block::Quote(lines) | Block::Code(lines)) = block; lines })
                .collect();
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn only_our_own_markup_is_written(text in texts()) {
            let mut out = String::new();
            push_text(&mut out, &text);
            let ours = out
                .replace("\" target=\"_blank\" rel=\"noopener noreferrer\">", "")
                .replace("<a href=\"", "");
            let ours = ["</a>", "<code>", "</code>", "<pre tabindex=\"0\">", "</pre>", "<blockquote>", "</blockquote>"]
                .iter()
                .fold(ours, |ours, tag| ours.replace(tag, ""));
            prop_assert!(!ours.contains(['<', '>', '"', '\'']), "{}", out);
        }
    }
}
