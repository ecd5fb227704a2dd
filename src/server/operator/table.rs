//! Lists for a terminal.

use jiff::Timestamp;

use crate::protocol::Micros;
use crate::terminal::safe;

/// A table: a line of names, then one a row, columns aligned by spaces. What others wrote, such as the name of a browser, is made fit
/// for a terminal.
pub(super) fn table<const N: usize>(names: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| safe::line(cell).into_owned())).collect();
    let mut widths = names.map(|name| name.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(names.map(str::to_owned)).chain(rows) {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A moment in UTC, to the minute; a dash where there is none.
pub(super) fn moment(at: Option<Micros>) -> String {
    let at = at.and_then(|at| Timestamp::from_microsecond(at.0).ok());
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_names() {
        let rows = [["ada".to_owned(), "1".to_owned()], ["grace-hopper".to_owned(), String::new()]];
        assert_eq!(table(["user", "logins"], &rows), "user          logins\nada           1\ngrace-hopper\n");
    }

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        let text = table(["agent"], &[["\u{1b}]0;owned\u{7}\u{202e}x\n".to_owned()]]);
        assert_eq!(text, "agent\n␛]0;owned␇<202E>x ↵\n");
    }

    #[test]
    fn a_moment_is_in_utc() {
        assert_eq!(moment(Some(Micros(1_700_000_000_000_000))), "2023-11-14 22:13");
        assert_eq!(moment(None), "-");
    }
}
