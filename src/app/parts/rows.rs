//! The rows of a room's log. One function lays an event out, for the page as the server writes it and for what comes in
//! afterwards; [`Row::push`] and [`LiveRow`] give the same markup.

use leptos::prelude::*;

use super::avatar;
use super::text::{push_escaped, push_text};
use crate::app::request::WallTime;
use crate::app::time;
use crate::protocol::{Event, Micros, Person, Seq};

/// Messages of one author that are no further apart than this stand together.
const TOGETHER: i64 = 5 * 60 * 1_000_000;

/// Whose page it is, when, and on which wall.
pub struct Reader<'a> {
    /// Whose messages are "mine".
    pub me: &'a str,
    pub now: Micros,
    pub wall: &'a dyn Fn(Micros) -> WallTime,
}

/// What the next row follows: it decides whether a new day begins, and whether the author is named again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// When the row above was, if there is one.
    pub at: Option<Micros>,
    /// Who wrote it, if it is a message.
    pub author: Option<String>,
}

/// An event, laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub seq: Seq,
    /// The line above it, where a day begins.
    pub day: Option<Day>,
    pub class: &'static str,
    /// The message's own id, on one's own messages only: by it the outbox knows what has arrived.
    pub id: Option<String>,
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

impl Row {
    /// Lays `event` out below `above`, which becomes it. None for an event that is not shown.
    #[must_use]
    pub fn of(event: &Event, above: &mut Above, reader: &Reader<'_>) -> Option<Self> {
        let mut html = String::new();
        let (seq, at, class, id, author) = match event {
            Event::Message(message) => {
                let mine = message.by.user == reader.me;
                let more = above.author.as_deref() == Some(&message.by.user)
                    && above.at.is_some_and(|at| message.at.0 - at.0 <= TOGETHER)
                    && !begins_day(above, message.at, reader);
                let class = match (mine, more) {
                    (false, false) => "message",
                    (false, true) => "message more",
                    (true, false) => "message mine",
                    (true, true) => "message mine more",
                };
                html.reserve(message.text.len() + 220);
                push_message(&mut html, &message.by, message.at, &message.text, more, reader);
                (message.seq, message.at, class, mine.then(|| message.id.to_string()), Some(message.by.user.clone()))
            }
            Event::Joined(membership) => {
                push_note(&mut html, &membership.by, " joined");
                (membership.seq, membership.at, "note", None, None)
            }
            Event::Left(membership) => {
                push_note(&mut html, &membership.by, " left");
                (membership.seq, membership.at, "note", None, None)
            }
            Event::Closed(closure) => {
                match &closure.by {
                    Some(by) => push_note(&mut html, by, " closed the room"),
                    None => html.push_str("This room closed by itself: nobody had said anything for a while"),
                }
                (closure.seq, closure.at, "note", None, None)
            }
            Event::Reopened(closure) => {
                match &closure.by {
                    Some(by) => push_note(&mut html, by, " opened the room again"),
                    None => html.push_str("This room was opened again"),
                }
                (closure.seq, closure.at, "note", None, None)
            }
            _ => return None,
        };
        let day = begins_day(above, at, reader).then(|| {
            let wall = (reader.wall)(at);
            let mut date = String::with_capacity(10);
            time::push_date(&mut date, &wall);
            let name = time::day_name(&wall, &(reader.wall)(reader.now), &(reader.wall)(time::day_before(reader.now)));
            Day { date, name }
        });
        *above = Above { at: Some(at), author };
        Some(Self { seq, day, class, id, html })
    }

    /// Writes the row: a list item, and one for the day before it where one begins.
    pub fn push(&self, out: &mut String) {
        if let Some(day) = &self.day {
            out.push_str("<li class=\"day\"><time datetime=\"");
            out.push_str(&day.date);
            out.push_str("\">");
            out.push_str(&day.name);
            out.push_str("</time></li>");
        }
        out.push_str("<li id=\"s");
        out.push_str(&self.seq.to_string());
        if let Some(id) = &self.id {
            out.push_str("\" data-id=\"");
            out.push_str(id);
        }
        out.push_str("\" class=\"");
        out.push_str(self.class);
        out.push_str("\">");
        out.push_str(&self.html);
        out.push_str("</li>");
    }
}

/// Whether the moment `at` is on another day than the row above.
fn begins_day(above: &Above, at: Micros, reader: &Reader<'_>) -> bool {
    above.at.is_none_or(|before| !time::same_day(&(reader.wall)(before), &(reader.wall)(at)))
}

/// Writes the inside of a message. Those that follow one of the same author keep name and time for who cannot see that.
fn push_message(out: &mut String, by: &Person, at: Micros, text: &str, more: bool, reader: &Reader<'_>) {
    if !more {
        out.push_str("<span class=\"avatar ");
        out.push_str(avatar::hue(&by.user));
        out.push_str("\" aria-hidden=\"true\">");
        push_escaped(out, &avatar::initial(by.shown()));
        out.push_str("</span>");
    }
    out.push_str("<div class=\"by\"><bdi>");
    push_escaped(out, by.shown());
    out.push_str("</bdi> <time datetime=\"");
    time::push_iso(out, at);
    out.push_str("\">");
    time::push_clock(out, &(reader.wall)(at));
    out.push_str("</time></div><p dir=\"auto\">");
    push_text(out, text);
    out.push_str("</p>");
}

fn push_note(out: &mut String, by: &Person, what: &str) {
    out.push_str("<bdi>");
    push_escaped(out, by.shown());
    out.push_str("</bdi>");
    out.push_str(what);
}

/// The inside of a message that waits to be sent: as it will look, without its author's place among the others.
#[must_use]
pub fn waiting_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 24);
    push_text(&mut out, text);
    out
}

/// A row that has come in since the page was written.
#[component]
pub fn LiveRow(row: Row) -> impl IntoView {
    view! {
        {row.day.map(|day| view! { <li class="day"><time datetime=day.date>{day.name}</time></li> })}
        <li id=format!("s{}", row.seq) data-id=row.id class=row.class inner_html=row.html></li>
    }
}

/// A page of the log as one piece of HTML, with a line above the first message of others after `read`, and what a row below it
/// would follow.
#[must_use]
pub fn page(events: &[Event], read: Option<Seq>, reader: &Reader<'_>) -> (String, Above) {
    let mut out = String::with_capacity(events.len() * 400);
    let mut above = Above::default();
    let mut unread = read;
    for event in events {
        if let (Event::Message(message), Some(read)) = (event, unread)
            && message.seq > read
            && message.by.user != reader.me
        {
            unread = None;
            // Below the line its author is named again.
            above.author = None;
            out.push_str("<li class=\"day new\">New</li>");
        }
        if let Some(row) = Row::of(event, &mut above, reader) {
            row.push(&mut out);
        }
    }
    (out, above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Closure, Membership, Message, Slug};
    use uuid::Uuid;

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

    #[test]
    fn a_closing_says_whose_doing_it_was() {
        let room = Slug::new("tea").expect("a slug");
        let by = Some(Person { user: "ben".to_owned(), name: Some("<Ben>".to_owned()) });
        let closure = |seq, by| Closure { room: room.clone(), seq: Seq(seq), by, at: Micros(NOON) };
        let events = [
            message(1, "ben", 0, "a"),
            Event::Closed(closure(2, None)),
            Event::Reopened(closure(3, by.clone())),
            message(4, "ben", 0, "b"),
            Event::Closed(closure(5, by)),
        ];
        assert_eq!(classes(&events), ["message", "note", "note", "message", "note"]);
        let (html, _) = page(&events, None, &reader());
        for said in [
            "This room closed by itself",
            "<bdi>&lt;Ben&gt;</bdi> opened the room again",
            "<bdi>&lt;Ben&gt;</bdi> closed the room",
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
    fn what_comes_in_looks_like_what_was_there() {
        let mut above = Above::default();
        for event in [message(1, "ben", 0, "<b>\nhttps://a.example"), message(2, "ada", 1, "x"), message(3, "ada", 2, "y")] {
            let row = Row::of(&event, &mut above, &reader()).expect("a row");
            let mut pushed = String::new();
            row.push(&mut pushed);
            let live = LiveRow(LiveRowProps { row }).to_html().replace("<!>", "");
            assert_eq!(live, pushed);
        }
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
