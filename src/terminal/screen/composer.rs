//! What is being written in one room, and where in it the cursor is.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::super::safe;
use super::wrap::wrap;

#[derive(Clone, Debug, Default)]
pub struct Composer {
    text: String,
    /// A byte of `text`, between two characters.
    cursor: usize,
}

/// To where the cursor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Left,
    Right,
    WordLeft,
    WordRight,
    /// The beginning and the end of the line.
    Home,
    End,
    Up,
    Down,
}

impl Composer {
    /// With nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { text: String::new(), cursor: 0 }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What was written; nothing is left.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Writes where the cursor is. What a terminal would not show is not written: it would be sent unseen.
    pub fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
        let text: String = text.chars().filter(|c| *c == '\n' || !safe::is_harmful(*c)).collect();
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
    }

    /// Removes from the cursor to where the move would lead.
    pub fn delete(&mut self, to: Move) {
        let to = self.target(to, usize::MAX);
        let range = to.min(self.cursor)..to.max(self.cursor);
        self.cursor = range.start;
        self.text.replace_range(range, "");
    }

    /// Moves the cursor, in rows of `width` cells. False when it is there already.
    pub fn go(&mut self, to: Move, width: usize) -> bool {
        let to = self.target(to, width);
        std::mem::replace(&mut self.cursor, to) != to
    }

    /// The row and the column of the cursor, in rows of `width` cells.
    #[must_use]
    pub fn place(&self, width: usize) -> (usize, usize) {
        let rows = wrap(&self.text, width);
        // At the end of a row that goes on, it is at the beginning of the next.
        let row = rows.iter().rposition(|row| row.start <= self.cursor).unwrap_or_default();
        (row, self.text[rows[row].start..self.cursor].width())
    }

    fn target(&self, to: Move, width: usize) -> usize {
        let (before, after) = self.text.split_at(self.cursor);
        match to {
            Move::Left => before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at),
            Move::Right => self.cursor + after.graphemes(true).next().map_or(0, str::len),
            Move::WordLeft => before.unicode_word_indices().next_back().map_or(0, |(at, _)| at),
            Move::WordRight => {
                after.unicode_word_indices().next().map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
            }
            Move::Home => before.rfind('\n').map_or(0, |at| at + 1),
            Move::End => after.find('\n').map_or(self.text.len(), |at| self.cursor + at),
            Move::Up | Move::Down => {
                let rows = wrap(&self.text, width);
                let (row, column) = self.place(width);
                let row = if to == Move::Up { row.checked_sub(1) } else { Some(row + 1) };
                let Some(range) = row.and_then(|row| rows.get(row)) else { return self.cursor };
                let mut at = range.start;
                let mut used = 0;
                for grapheme in self.text[range.clone()].graphemes(true) {
                    used += grapheme.width();
                    if used > column {
                        break;
                    }
                    at += grapheme.len();
                }
                at
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composer(text: &str) -> Composer {
        let mut composer = Composer::default();
        composer.insert(text);
        composer
    }

    #[test]
    fn the_cursor_goes_by_characters_words_and_rows() {
        let mut composer = composer("e\u{301}👍 two\nthree");
        assert_eq!(composer.place(20), (1, 5));
        assert!(composer.go(Move::Up, 20));
        assert_eq!(composer.place(20), (0, 5));
        assert!(!composer.go(Move::Up, 20), "there is nothing above");
        composer.go(Move::Home, 20);
        composer.go(Move::Right, 20);
        composer.go(Move::Right, 20);
        assert_eq!(composer.place(20), (0, 3), "a thumb has two cells");
        composer.go(Move::WordRight, 20);
        assert_eq!(composer.place(20), (0, 7));
        composer.go(Move::Down, 20);
        assert_eq!(composer.place(20), (1, 5));
        composer.go(Move::WordLeft, 20);
        assert_eq!(composer.place(20), (1, 0));
    }

    #[test]
    fn what_is_deleted_is_what_the_cursor_would_have_passed() {
        let mut composer = composer("one two\nthree e\u{301}");
        composer.delete(Move::Left);
        assert_eq!(composer.text(), "one two\nthree ");
        composer.delete(Move::WordLeft);
        assert_eq!(composer.text(), "one two\n");
        composer.delete(Move::Left);
        composer.go(Move::WordLeft, 20);
        composer.delete(Move::End);
        assert_eq!(composer.text(), "one ");
        composer.delete(Move::Home);
        assert_eq!((composer.text(), composer.place(20)), ("", (0, 0)));
    }

    #[test]
    fn what_is_pasted_has_no_controls() {
        assert_eq!(composer("a\x1b[31m\x07b\r\nc\rd\te\u{202e}").text(), "a[31mb\nc\nd    e");
    }

    #[test]
    fn rows_that_wrap_are_gone_through_one_by_one() {
        let mut composer = composer("aaaa bbbb cccc");
        assert_eq!(composer.place(5), (2, 4));
        composer.go(Move::Up, 5);
        assert_eq!(composer.place(5), (1, 4));
        composer.go(Move::Up, 5);
        assert_eq!(composer.place(5), (0, 4));
        composer.go(Move::Right, 5);
        assert_eq!(composer.place(5), (1, 0));
    }
}
