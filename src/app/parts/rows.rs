//! The rows of a room's log. One function lays an event out, for the page as the server writes it and for what comes in
//! afterwards.

use uuid::Uuid;

use super::avatar;
use super::text::{is_emoji, push_escaped, push_text};
use crate::app::request::WallTime;
use crate::app::time;
use crate::protocol::{Event, Membership, Message, Micros, Person, Seq};

/// Messages of one author that are no further apart than this stand together.
const TOGETHER: i64 = 5 * 60 * 1_000_000;

/// Whose page it is, when, and on which wall.
pub struct Reader<'a> {
    /// Whose messages are "mine".
    pub me: &'a str,
    pub now: Micros,
    pub wall: &'a dyn Fn(Micros) -> WallTime,
}

/// What the next row follows: it decides whether a new day begins, whether the author is named again, and whether a join is
/// folded into the note above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// When the row above was, if there is one.
    pub at: Option<Micros>,
    /// Who wrote it, if it is a message.
    pub author: Option<String>,
    /// What it tells of, if it is a note: joins and leaves, in their order.
    pub notes: Vec<Event>,
}

/// An event, laid out; or some joins and leaves that follow each other, as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub seq: Seq,
    /// The last event in it; `seq` is the first.
    pub until: Seq,
    /// The line above it, where a day begins.
    pub day: Option<Day>,
    pub class: &'static str,
    /// The message's own id, on one's own messages only: by it the outbox knows what has arrived.
    pub id: Option<Uuid>,
    /// What is inside of the list item.
    pub html: String,
}

/// The beginning of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// `2026-11-20`
    pub date: String,
    pub name: String,
}

/// The most joins and leaves in one row.
const FOLD: usize = 100;

/// The line above the first message that is unread.
pub const NEW: &str = "<li id=\"new\" class=\"day new\"><span>New</span></li>";

impl Row {
    /// Lays `event` out below `above`, which becomes it. None for an event that is not shown. A join or leave right after
    /// others gives their row anew, with the same `seq`: see [`put`].
    #[must_use]
    pub fn of(event: &Event, above: &mut Above, reader: &Reader<'_>) -> Option<Self> {
        Self::laid(event, above, reader, String::new())
    }

    /// As [`Row::of`], in the space of a string that is not needed any more.
    fn laid(event: &Event, above: &mut Above, reader: &Reader<'_>, mut html: String) -> Option<Self> {
        html.clear();
        let before = above.at;
        match event {
            Event::Message(message) => {
                let begins_day = begins_day(before, message.at, reader);
                let mine = message.by.user == reader.me;
                let more = above.author.as_deref() == Some(&message.by.user)
                    && before.is_some_and(|at| message.at.0 - at.0 <= TOGETHER)
                    && !begins_day;
                let class = match (mine, more) {
                    (false, false) => "message",
                    (false, true) => "message more",
                    (true, false) => "message mine",
                    (true, true) => "message mine more",
                };
                html.reserve(message.text.len() + 300);
                push_message(&mut html, message, more, &(reader.wall)(message.at));
                let id = mine.then_some(message.id);
                let day = begins_day.then(|| Day::of(message.at, reader));
                if !more {
                    above.author.get_or_insert_default().clone_from(&message.by.user);
                }
                above.at = Some(message.at);
                above.notes.clear();
                Some(Self { seq: message.seq, until: message.seq, day, class, id, html })
            }
            Event::Joined(membership) | Event::Left(membership) => {
                let begins_day = begins_day(before, membership.at, reader);
                let mut notes = std::mem::take(&mut above.notes);
                if begins_day || notes.len() >= FOLD {
                    notes.clear();
                }
                notes.push(event.clone());
                push_notes(&mut html, &notes);
                let seq = notes.first().and_then(Event::place).map_or(membership.seq, |(_, seq)| seq);
                let day = begins_day.then(|| Day::of(membership.at, reader));
                *above = Above { at: Some(membership.at), author: None, notes };
                Some(Self { seq, until: membership.seq, day, class: "note", id: None, html })
            }
            Event::Closed(closure) | Event::Reopened(closure) => {
                let (by_someone, by_itself) = if matches!(event, Event::Closed(_)) {
                    (" closed the room", "This room closed by itself: nobody had said anything for a while")
                } else {
                    (" opened the room again", "This room was opened again")
                };
                match &closure.by {
                    Some(by) => push_name(&mut html, by),
                    None if closure.operator => html.push_str("Whoever runs this server"),
                    None => {}
                }
                html.push_str(if closure.by.is_some() || closure.operator { by_someone } else { by_itself });
                let day = begins_day(before, closure.at, reader).then(|| Day::of(closure.at, reader));
                *above = Above { at: Some(closure.at), author: None, notes: Vec::new() };
                Some(Self { seq: closure.seq, until: closure.seq, day, class: "note", id: None, html })
            }
            _ => None,
        }
    }

    /// Writes the row: a list item, and one for the day before it where one begins.
    pub fn push(&self, out: &mut String) {
        self.push_day(out);
        self.push_item(out);
    }

    /// Writes the line with the day that begins, if one does.
    pub fn push_day(&self, out: &mut String) {
        let Some(day) = &self.day else { return };
        out.push_str("<li class=\"day\"><time datetime=\"");
        out.push_str(&day.date);
        out.push_str("\">");
        out.push_str(&day.name);
        out.push_str("</time></li>");
    }

    /// Writes the list item.
    pub fn push_item(&self, out: &mut String) {
        out.push_str("<li id=\"s");
        push_seq(out, self.seq);
        if let Some(id) = &self.id {
            out.push_str("\" data-id=\"");
            out.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        }
        out.push_str("\" class=\"");
        out.push_str(self.class);
        out.push_str("\">");
        out.push_str(&self.html);
        out.push_str("</li>");
    }
}

impl Day {
    fn of(at: Micros, reader: &Reader<'_>) -> Self {
        let wall = (reader.wall)(at);
        let mut date = String::new();
        time::push_date(&mut date, &wall);
        let name = time::day_name(&wall, &(reader.wall)(reader.now), &(reader.wall)(time::day_before(reader.now)));
        Self { date, name }
    }
}

/// Puts a row below the others; one with the `seq` of the last takes its place.
pub fn put(rows: &mut Vec<Row>, mut row: Row) {
    if let Some(last) = rows.last_mut().filter(|last| last.seq == row.seq) {
        row.day = last.day.take();
        *last = row;
    } else {
        rows.push(row);
    }
}

/// Whether the moment `at` is on another day than the row above.
fn begins_day(before: Option<Micros>, at: Micros, reader: &Reader<'_>) -> bool {
    before.is_none_or(|before| !time::same_day(&(reader.wall)(before), &(reader.wall)(at)))
}

/// Writes the inside of a message. Those that follow one of the same author keep name and time for who cannot see that. The
/// time leads to the message, once it has a place in the log.
fn push_message(out: &mut String, message: &Message, more: bool, wall: &WallTime) {
    let Message { room, seq, by, text, at, .. } = message;
    if !more {
        out.push_str("<span class=\"avatar ");
        out.push_str(avatar::hue(&by.user));
        out.push_str("\" aria-hidden=\"true\">");
        push_escaped(out, &avatar::initial(by.shown()));
        out.push_str("</span>");
    }
    out.push_str("<div class=\"by\"><bdi>");
    push_escaped(out, by.shown());
    out.push_str("</bdi> ");
    let placed = *seq > Seq::ZERO;
    if placed {
        out.push_str("<a class=\"at\" href=\"/room/");
        out.push_str(room.as_str());
        for before in ["?at=", "#s"] {
            out.push_str(before);
            push_seq(out, *seq);
        }
        out.push_str("\">");
    }
    out.push_str("<time datetime=\"");
    time::push_iso(out, *at);
    out.push_str("\">");
    time::push_clock(out, wall);
    out.push_str("</time>");
    if placed {
        out.push_str("</a>");
    }
    out.push_str("</div><div class=\"text");
    if is_emoji(text) {
        out.push_str(" big");
    }
    out.push_str("\" dir=\"auto\">");
    push_text(out, text);
    out.push_str("</div>");
}

/// Writes a place in the log. (Formatting by `write!` takes ten times as long, three times for each row.)
fn push_seq(out: &mut String, seq: Seq) {
    let mut digits = [0; 20];
    let mut from = digits.len();
    let mut rest = seq.0.unsigned_abs();
    loop {
        from -= 1;
        digits[from] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push_str(str::from_utf8(&digits[from..]).unwrap_or_default());
}

/// The most names of a group in a note.
const NAMED: usize = 3;

/// What people have done, all in all: whether they joined in the first of their notes, and in the last.
const GROUPS: [(bool, bool, &str); 4] =
    [(true, true, " joined"), (true, false, " came and went"), (false, true, " left and came back"), (false, false, " left")];

/// Writes a note: who joined and who left, in a line; all of them below it, for who wants to know, where they are many.
fn push_notes(out: &mut String, notes: &[Event]) {
    let mut people: Vec<(&Person, bool, bool)> = Vec::new();
    for event in notes {
        let (Event::Joined(Membership { by, .. }) | Event::Left(Membership { by, .. })) = event else { continue };
        let joined = matches!(event, Event::Joined(_));
        match people.iter_mut().find(|(person, ..)| person.user == by.user) {
            Some((.., last)) => *last = joined,
            None => people.push((by, joined, joined)),
        }
    }
    let group = |first: bool, last: bool| people.iter().filter(move |(_, f, l)| (*f, *l) == (first, last)).map(|(by, ..)| *by);
    let many = GROUPS.iter().any(|&(first, last, _)| group(first, last).count() > NAMED);
    if many {
        out.push_str("<details><summary>");
    }
    let mut between = "";
    for (first, last, what) in GROUPS {
        let count = group(first, last).count();
        if count == 0 {
            continue;
        }
        out.push_str(between);
        between = " · ";
        let named = if count > NAMED { NAMED - 1 } else { count };
        for (at, by) in group(first, last).take(named).enumerate() {
            out.push_str(match at {
                0 => "",
                _ if at + 1 == count => " and ",
                _ => ", ",
            });
            push_name(out, by);
        }
        if count > named {
            out.push_str(" and ");
            out.push_str(&(count - named).to_string());
            out.push_str(" others");
        }
        out.push_str(what);
    }
    if many {
        out.push_str("</summary><ul>");
        for (first, last, what) in GROUPS {
            for by in group(first, last) {
                out.push_str("<li>");
                push_name(out, by);
                out.push_str(what);
                out.push_str("</li>");
            }
        }
        out.push_str("</ul></details>");
    }
}

fn push_name(out: &mut String, by: &Person) {
    out.push_str("<bdi>");
    push_escaped(out, by.shown());
    out.push_str("</bdi>");
}

/// Writes a page of the log, with a line above the first message of others after `read` where what is before it is on the page too
/// or is nothing. Gives what a row below it would follow.
pub fn push_page(out: &mut String, events: &[Event], read: Option<Seq>, reader: &Reader<'_>) -> Above {
    // Many rows are of one minute, and each looks at the one above.
    let wall = time::by_the_minute(reader.wall);
    let reader = &Reader { wall: &wall, ..*reader };
    // As much as most rows take.
    out.reserve(events.len() * 512);
    let mut above = Above::default();
    let mut unread = read;
    // The last row, which a join or leave after it may change.
    let mut last: Option<Row> = None;
    let mut space = String::new();
    for event in events {
        let mut line = false;
        if let (Event::Message(message), Some(read)) = (event, unread)
            && message.seq > read
            && message.by.user != reader.me
        {
            unread = None;
            // Below the line its author is named again.
            above.author = None;
            line = true;
        }
        let Some(mut row) = Row::laid(event, &mut above, reader, std::mem::take(&mut space)) else { continue };
        if let Some(before) = last.take() {
            if before.seq == row.seq {
                row.day = before.day;
            } else {
                before.push(out);
            }
            space = before.html;
        }
        if line {
            out.push_str(NEW);
        }
        last = Some(row);
    }
    if let Some(row) = last {
        row.push(out);
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Closure, Slug};

    const NOON: i64 = 1_795_176_000_000_000;

    fn reader() -> Reader<'static> {
        Reader { me: "ada", now: Micros(NOON), wall: &time::utc }
    }

    fn message(seq: i64, user: &str, minute: i64, text: &str) -> Event {
        Event::Message(Message {
            room: Slug::new("tea").expect("a slug"),
            seq: Seq(seq),
            id: Uuid::from_u128(seq.unsigned_abs().into()),
            by: Person { user: user.to_owned(), name: None },
            text: text.to_owned(),
            at: Micros(NOON + minute * 60_000_000),
        })
    }

    fn page(events: &[Event], read: Option<Seq>, reader: &Reader<'_>) -> (String, Above) {
        let mut html = String::new();
        let above = push_page(&mut html, events, read, reader);
        (html, above)
    }

    fn classes(events: &[Event]) -> Vec<&'static str> {
        let mut above = Above::default();
        events.iter().filter_map(|event| Row::of(event, &mut above, &reader())).map(|row| row.class).collect()
    }

    #[test]
    fn messages_of_one_author_stand_together_for_five_minutes() {
        let events = [
            message(1, "ben", 0, "a"),
            message(2, "ben", 5, "b"),
            message(3, "ben", 11, "c"),
            message(4, "ada", 11, "d"),
            message(5, "ada", 12, "e"),
        ];
        assert_eq!(classes(&events), ["message", "message more", "message", "message mine", "message mine more"]);
    }

    #[test]
    fn a_join_between_them_and_a_new_day_part_them() {
        let joined = Event::Joined(Membership {
            room: Slug::new("tea").expect("a slug"),
            seq: Seq(2),
            by: Person { user: "<i>".to_owned(), name: None },
            at: Micros(NOON),
        });
        assert_eq!(
            classes(&[message(1, "ben", 0, "a"), joined.clone(), message(3, "ben", 1, "b")]),
            ["message", "note", "message"]
        );
        assert_eq!(classes(&[message(1, "ben", 719, "a"), message(2, "ben", 720, "b")]), ["message", "message"]);
        let (html, _) = page(&[joined], None, &reader());
        assert!(html.contains("<bdi>&lt;i&gt;</bdi> joined"), "{html}");
    }

    fn turn(seq: i64, user: &str, joined: bool) -> Event {
        let by = Person { user: user.to_owned(), name: None };
        let membership =
            Membership { room: Slug::new("tea").expect("a slug"), seq: Seq(seq), by, at: Micros(NOON + seq * 1_000_000) };
        if joined { Event::Joined(membership) } else { Event::Left(membership) }
    }

    /// What people read of the only row that the events make.
    fn note(events: &[Event]) -> String {
        let (html, _) = page(events, None, &reader());
        assert_eq!(html.matches("<li id=").count(), 1, "{html}");
        let (_, note) = html.split_once("class=\"note\">").expect("a note");
        note.replace("<bdi>", "").replace("</bdi>", "").replace("</li>", "").replace("<li>", "|")
    }

    #[test]
    fn joins_and_leaves_that_follow_each_other_are_one_note() {
        assert_eq!(note(&[turn(1, "ben", true), turn(2, "cy", true)]), "ben and cy joined");
        assert_eq!(note(&[turn(1, "ben", true), turn(2, "cy", false), turn(3, "di", true)]), "ben and di joined · cy left");
        assert_eq!(note(&[turn(1, "ben", true), turn(2, "cy", true), turn(3, "ben", false)]), "cy joined · ben came and went");
        assert_eq!(note(&[turn(1, "ben", false), turn(2, "ben", true)]), "ben left and came back");
        let crowd: Vec<Event> =
            (1..=5).map(|seq| turn(seq, ["a", "b", "c", "d", "e", "f"][usize::try_from(seq).unwrap_or(0)], true)).collect();
        assert_eq!(
            note(&crowd),
            "<details><summary>b, c and 3 others joined</summary><ul>|b joined|c joined|d joined|e joined|f joined</ul></details>"
        );
        assert_eq!(classes(&[turn(1, "a", true), message(2, "ben", 0, "x"), turn(3, "b", true)]), ["note", "message", "note"]);
    }

    #[test]
    fn a_join_that_comes_in_is_folded_into_the_note_above_it() {
        let events = [turn(1, "a", true), turn(2, "b", true), turn(3, "c", false)];
        let (whole, _) = page(&events, None, &reader());
        let (_, mut above) = page(&events[..2], None, &reader());
        let row = Row::of(&events[2], &mut above, &reader()).expect("a row");
        assert_eq!((row.seq, row.until), (Seq(1), Seq(3)), "it takes the place of the row that is there");
        let mut pushed = String::new();
        row.push(&mut pushed);
        assert!(whole.ends_with(&pushed), "{whole}\n{pushed}");
    }

    #[test]
    fn a_message_is_reached_by_its_time_and_what_waits_is_not() {
        let (html, _) = page(&[message(7, "ben", 0, "x")], None, &reader());
        assert!(html.contains("<a class=\"at\" href=\"/room/tea?at=7#s7\"><time"), "{html}");
        let (html, _) = page(&[message(0, "ada", 0, "x")], None, &reader());
        assert!(!html.contains("<a "), "{html}");
    }

    #[test]
    fn a_closing_says_whose_doing_it_was() {
        let room = Slug::new("tea").expect("a slug");
        let by = Some(Person { user: "ben".to_owned(), name: Some("<Ben>".to_owned()) });
        let closure = |seq, by| Closure { room: room.clone(), seq: Seq(seq), by, operator: false, at: Micros(NOON) };
        let events = [
            message(1, "ben", 0, "a"),
            Event::Closed(closure(2, None)),
            Event::Reopened(closure(3, by.clone())),
            message(4, "ben", 0, "b"),
            Event::Closed(closure(5, by)),
            Event::Reopened(Closure { operator: true, ..closure(6, None) }),
        ];
        assert_eq!(classes(&events), ["message", "note", "note", "message", "note", "note"]);
        let (html, _) = page(&events, None, &reader());
        for said in [
            "This room closed by itself",
            "<bdi>&lt;Ben&gt;</bdi> opened the room again",
            "<bdi>&lt;Ben&gt;</bdi> closed the room",
            "Whoever runs this server opened the room again",
        ] {
            assert_eq!(html.matches(said).count(), 1, "{html}");
        }
    }

    #[test]
    fn a_line_stands_above_the_first_unread_message_of_others() {
        let events = [message(1, "ben", 0, "a"), message(2, "ada", 0, "b"), message(3, "ben", 0, "c"), message(4, "ben", 0, "d")];
        let (html, _) = page(&events, Some(Seq(1)), &reader());
        assert_eq!(html.matches("day new").count(), 1);
        assert!(html.find("day new") > html.find("id=\"s2\""));
        assert!(html.find("day new") < html.find("id=\"s3\""));
        assert!(!page(&events, Some(Seq(4)), &reader()).0.contains("day new"));
        assert!(!page(&events, None, &reader()).0.contains("day new"));
    }

    #[test]
    fn a_page_continues_where_the_one_before_it_ended() {
        let events: Vec<Event> =
            (1..20).map(|seq| message(seq, if seq % 3 == 0 { "ada" } else { "ben" }, seq * 2, "x")).collect();
        let (whole, end) = page(&events, None, &reader());
        let (mut html, mut above) = page(&events[..7], None, &reader());
        for event in &events[7..] {
            Row::of(event, &mut above, &reader()).expect("a row").push(&mut html);
        }
        assert_eq!(html, whole);
        assert_eq!(above, end);
    }
}
