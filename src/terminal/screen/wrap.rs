//! Text in rows of so many cells.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// The rows that `text` takes, as ranges of its bytes: broken at line breaks, then after spaces, then within words that are too
/// long. Spaces at the end of a row may hang over its edge. There is always one row.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<Range<usize>> {
    let mut rows = Vec::new();
    let mut offset = 0;
    for line in text.split('\n') {
        wrap_line(line, offset, width.max(1), &mut rows);
        offset += line.len() + 1;
    }
    rows
}

fn wrap_line(line: &str, offset: usize, width: usize, rows: &mut Vec<Range<usize>>) {
    let (mut start, mut used, mut after_space) = (0, 0, 0);
    for (at, grapheme) in line.grapheme_indices(true) {
        let cells = grapheme.width();
        let space = grapheme == " ";
        // After a space first; what is left of the word may be too long still.
        while !space && used + cells > width && at > start {
            let end = if after_space > start { after_space } else { at };
            rows.push(offset + start..offset + end);
            start = end;
            used = line[end..at].width();
        }
        used += cells;
        if space {
            after_space = at + 1;
        }
    }
    rows.push(offset + start..offset + line.len());
}

/// `text` in `width` cells at most, with "…" where something is missing.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used > width {
            break;
        }
        out.push_str(grapheme);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str, width: usize) -> Vec<&str> {
        wrap(text, width).into_iter().map(|row| text[row].trim_end()).collect()
    }

    #[test]
    fn rows_break_after_spaces_and_words_only_where_they_must() {
        assert_eq!(rows("a quiet harbour at dusk", 10), ["a quiet", "harbour at", "dusk"]);
        assert_eq!(rows("harbourmaster", 5), ["harbo", "urmas", "ter"]);
        assert_eq!(rows("two\n\nlines", 10), ["two", "", "lines"]);
        assert_eq!(rows("", 10), [""]);
        // Wide characters take two cells, and what belongs to one character stays with it.
        assert_eq!(rows("你好世界", 5), ["你好", "世界"]);
        assert_eq!(rows("e\u{301}e\u{301}e\u{301}", 2), ["e\u{301}e\u{301}", "e\u{301}"]);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("harbour", 7), "harbour");
        assert_eq!(cut("harbour", 4), "har…");
        assert_eq!(cut("你好世界", 4), "你…");
        assert_eq!(cut("harbour", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_row_is_too_wide(text in "[a-z 你é👍\\n]{0,80}", width in 2_usize..20) {
            let rows = wrap(&text, width);
            let whole: String = rows.iter().map(|row| &text[row.clone()]).collect();
            prop_assert_eq!(whole, text.replace('\n', ""));
            for row in rows {
                prop_assert!(text[row.clone()].trim_end().width() <= width, "{:?}", &text[row]);
            }
        }
    }
}
