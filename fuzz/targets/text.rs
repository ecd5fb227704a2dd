//! What people write, made into markup.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug::app::parts::text::{Block, Piece, blocks, is_emoji, pieces, push_text};

/// Nothing but the markup that this has for texts, and in links nothing but addresses of the web.
fn check(html: &str) {
    for tag in html.split('<').skip(1) {
        let (tag, after) = tag.split_once('>').expect("a tag ends");
        assert!(!after.contains('>') && !after.contains('"'), "{html}");
        let name = tag.split([' ', '\n']).next().expect("the first is always there");
        assert!(["a", "/a", "code", "/code", "pre", "/pre", "blockquote", "/blockquote"].contains(&name), "{tag}");
        if name == "a" {
            let address = tag.strip_prefix("a href=\"").and_then(|rest| rest.split('"').next()).expect("a link leads somewhere");
            let lower = address.to_lowercase();
            assert!(lower.starts_with("http://") || lower.starts_with("https://"), "{tag}");
            assert_eq!(tag.matches('"').count(), 6, "{tag}");
        }
    }
}

fuzz_target!(|text: &str| {
    let whole: String = blocks(text)
        .map(|block| match block {
            Block::Plain(lines) | Block::Quote(lines) | Block::Code(lines) => lines,
        })
        .collect();
    assert_eq!(whole, text);
    let whole: String = pieces(text)
        .map(|piece| match piece {
            Piece::Words(words) | Piece::Link(words) | Piece::Code(words) => words,
        })
        .collect();
    assert_eq!(whole, text);
    let mut html = String::new();
    push_text(&mut html, text);
    check(&html);
    let _any = is_emoji(text);
});
