//! A room's log as rows of the screen, and which of them are on it.
//!
//! Rows are made from below, as many as are seen: what it costs does not grow with what has been loaded. The place is an event and
//! one of its rows, not a distance from the end, so that it stays where it is when something comes above or below it.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::super::clock::{Clock, now, time};
use super::super::plain::{closed, reopened};
use super::super::safe;
use super::super::state::Followed;
use super::wrap::{cut, wrap};
use crate::app::live::outbox::{Item, State as Sending};
use crate::app::time::same_day;
use crate::protocol::{Event, Micros, Person, Refusal, Seq};

/// Messages of one person within so long stand under one name, in microseconds.
const TOGETHER: i64 = 5 * 60 * 1_000_000;
/// Cells of the time and the space after it.
const TIME: usize = 6;
/// The colours of people: those that are read on light and on dark ground.
const COLOURS: [Color; 5] = [Color::Cyan, Color::Green, Color::Magenta, Color::Yellow, Color::Blue];

/// What is at the bottom of the log's part of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The end of the log, and what waits to be sent.
    #[default]
    End,
    /// This row of the event with this `seq`.
    At { seq: Seq, row: usize },
}

/// What there is to lay out.
pub struct Rows<'a> {
    pub followed: &'a Followed,
    /// What of this room has not arrived.
    pub waiting: Vec<&'a Item>,
    pub me: &'a str,
    pub clock: &'a Clock,
    pub colour: bool,
    pub width: usize,
    names: usize,
}

impl<'a> Rows<'a> {
    #[must_use]
    pub fn new(
        followed: &'a Followed,
        waiting: Vec<&'a Item>,
        me: &'a str,
        clock: &'a Clock,
        colour: bool,
        width: usize,
    ) -> Self {
        let most = match width {
            0..50 => 8,
            50..70 => 10,
            70..90 => 12,
            _ => 16,
        };
        let names = followed.events.iter().filter_map(|event| match event {
            Event::Message(message) => Some(safe::line(message.by.shown()).width()),
            _ => None,
        });
        let own = if waiting.is_empty() { 0 } else { me.width() };
        let names = names.chain([own, 3]).max().unwrap_or_default().min(most);
        Self { followed, waiting, me, clock, colour, width, names }
    }

    /// The rows that end at `place`, from above, at most `height`; and the first event that they show.
    #[must_use]
    pub fn up_to(&self, place: Place, height: usize) -> (Vec<Line<'static>>, usize) {
        let (mut index, row) = self.find(place);
        let mut rows: Vec<Line<'static>> = Vec::new();
        let mut block = self.block(index);
        block.truncate(row + 1);
        loop {
            rows.extend(block.into_iter().rev());
            if rows.len() >= height || index == 0 {
                break;
            }
            index -= 1;
            block = self.block(index);
        }
        rows.truncate(height);
        rows.reverse();
        (rows, index)
    }

    /// The place `by` rows above (below, if negative) another, on a screen of `height` rows.
    #[must_use]
    pub fn moved(&self, place: Place, by: isize, height: usize) -> Place {
        let from = self.find(place);
        if by < 0 {
            return self.place(self.down(from, by.unsigned_abs()));
        }
        let to = self.up(from, by.unsigned_abs()).0;
        // The beginning of the log is not below the top of the screen.
        let (_, above) = self.up(to, height.saturating_sub(1));
        self.place(self.down(to, height.saturating_sub(1).saturating_sub(above)))
    }

    /// So many rows above, and how many there were.
    fn up(&self, (mut index, mut row): (usize, usize), by: usize) -> ((usize, usize), usize) {
        let mut gone = 0;
        while gone < by {
            let step = row.min(by - gone);
            row -= step;
            gone += step;
            if gone < by {
                if index == 0 {
                    break;
                }
                index -= 1;
                row = self.height(index) - 1;
                gone += 1;
            }
        }
        ((index, row), gone)
    }

    fn down(&self, (mut index, mut row): (usize, usize), by: usize) -> (usize, usize) {
        let mut left = by;
        loop {
            let below = self.height(index) - 1 - row;
            if left <= below {
                return (index, row + left);
            }
            if index + 1 >= self.len() {
                return (index, row + below);
            }
            left -= below + 1;
            index += 1;
            row = 0;
        }
    }

    fn place(&self, (index, row): (usize, usize)) -> Place {
        let last = index + 1 >= self.len() && row + 1 >= self.height(index);
        match self.followed.events.get(index).and_then(Event::place) {
            Some((_, seq)) if !last => Place::At { seq, row },
            // What waits has no place of its own.
            _ if !last => match self.followed.events.back().and_then(Event::place) {
                Some((_, seq)) => Place::At { seq, row: usize::MAX },
                None => Place::End,
            },
            _ => Place::End,
        }
    }

    fn find(&self, place: Place) -> (usize, usize) {
        let events = &self.followed.events;
        let (index, row) = match place {
            Place::End => (self.len().saturating_sub(1), usize::MAX),
            Place::At { seq, row } => {
                let index = events.partition_point(|event| event.place().is_some_and(|(_, at)| at < seq));
                (index.min(events.len().saturating_sub(1)), row)
            }
        };
        (index, row.min(self.height(index).saturating_sub(1)))
    }

    /// Events and what waits.
    fn len(&self) -> usize {
        self.followed.events.len() + self.waiting.len()
    }

    fn height(&self, index: usize) -> usize {
        self.block(index).len()
    }

    /// The rows of an event, with what stands above it: at least one, if there is such an event.
    fn block(&self, index: usize) -> Vec<Line<'static>> {
        let events = &self.followed.events;
        let Some(event) = events.get(index) else {
            let Some(item) = self.waiting.get(index - events.len()) else { return vec![Line::default()] };
            return self.item(item);
        };
        let before = index.checked_sub(1).and_then(|index| events.get(index));
        let mut rows = Vec::new();
        let wall = self.clock.wall(at(event));
        let new_day = before.is_none_or(|before| !same_day(&self.clock.wall(at(before)), &wall));
        if new_day {
            rows.push(self.rule(&self.clock.day(&wall, now()), dim()));
        }
        let seq = |event: &Event| event.place().map_or(Seq::ZERO, |(_, seq)| seq);
        let new = self.followed.read.is_some_and(|read| seq(event) > read && before.is_none_or(|before| seq(before) <= read));
        if new {
            rows.push(self.rule("new", self.coloured(Color::Red).add_modifier(Modifier::BOLD)));
        }
        match event {
            Event::Message(message) => {
                let together = matches!(before, Some(Event::Message(other))
                    if other.by.user == message.by.user && message.at.0 - other.at.0 < TOGETHER);
                let head = if together && !new_day && !new {
                    [Span::raw(" ".repeat(TIME)), Span::raw(" ".repeat(self.names))]
                } else {
                    [Span::styled(format!("{} ", time(&wall)), dim()), self.name(&message.by)]
                };
                self.text(&mut rows, head, &safe::text(&message.text), Style::default());
            }
            Event::Joined(joined) => self.note(&mut rows, &format!("{} joined", safe::line(joined.by.shown()))),
            Event::Left(left) => self.note(&mut rows, &format!("{} left", safe::line(left.by.shown()))),
            Event::Closed(closure) => self.note(&mut rows, &safe::line(&closed(closure, Person::shown))),
            Event::Reopened(closure) => self.note(&mut rows, &safe::line(&reopened(closure, Person::shown))),
            _ => self.note(&mut rows, ""),
        }
        rows
    }

    /// A message that has not arrived.
    fn item(&self, item: &Item) -> Vec<Line<'static>> {
        let mut rows = Vec::new();
        let (mark, style) = match item.state {
            Sending::Refused(_) => ("    ! ", self.coloured(Color::Red)),
            _ => ("    … ", dim()),
        };
        let name = cut(&safe::line(self.me), self.names);
        let name = format!("{}{name}", " ".repeat(self.names.saturating_sub(name.width())));
        self.text(&mut rows, [Span::styled(mark, style), Span::styled(name, style)], &safe::text(&item.text), style);
        let why = match &item.state {
            Sending::Refused(why) => Some(format!("Not sent: {} (↑ takes it back)", safe::line(why))),
            Sending::Later { why: Refusal::Full, .. } => {
                Some("The server's disk is full; sent again until it is taken…".to_owned())
            }
            _ => None,
        };
        if let Some(why) = why {
            let head = [Span::raw(" ".repeat(TIME)), Span::raw(" ".repeat(self.names))];
            self.text(&mut rows, head, &why, style.add_modifier(Modifier::ITALIC));
        }
        rows
    }

    /// A line across, with a word in its middle.
    fn rule(&self, word: &str, style: Style) -> Line<'static> {
        let word = cut(word, self.width.saturating_sub(4));
        let left = self.width.saturating_sub(word.width() + 2) / 2;
        let right = self.width.saturating_sub(word.width() + 2 + left);
        Line::from(Span::styled(format!("{} {word} {}", "─".repeat(left), "─".repeat(right)), style))
    }

    fn note(&self, rows: &mut Vec<Line<'static>>, said: &str) {
        let head = [Span::raw(" ".repeat(TIME)), Span::styled(format!("{:>1$}", "·", self.names), dim())];
        self.text(rows, head, said, dim());
    }

    fn text(&self, rows: &mut Vec<Line<'static>>, head: [Span<'static>; 2], text: &str, style: Style) {
        let indent = TIME + self.names + 1;
        let mut head = Some(head);
        for range in wrap(text, self.width.saturating_sub(indent)) {
            let row = Span::styled(text[range].trim_end().to_owned(), style);
            rows.push(match head.take() {
                Some([first, second]) => Line::from(vec![first, second, Span::raw(" "), row]),
                None => Line::from(vec![Span::raw(" ".repeat(indent)), row]),
            });
        }
    }

    /// A person's name, in the colour that is always theirs; one's own stands out.
    fn name(&self, by: &Person) -> Span<'static> {
        let name = cut(&safe::line(by.shown()), self.names);
        let pad = " ".repeat(self.names.saturating_sub(name.width()));
        let style = if by.user == self.me {
            Style::default().add_modifier(Modifier::BOLD)
        } else {
            let sum = by.user.bytes().fold(5381_usize, |sum, byte| sum.wrapping_mul(33) ^ usize::from(byte));
            self.coloured(COLOURS[sum % COLOURS.len()])
        };
        Span::styled(pad + &name, style)
    }

    fn coloured(&self, colour: Color) -> Style {
        if self.colour { Style::default().fg(colour) } else { Style::default() }
    }
}

/// What is not to be looked at first.
#[must_use]
pub fn dim() -> Style {
    Style::default().add_modifier(Modifier::DIM)
}

fn at(event: &Event) -> Micros {
    match event {
        Event::Message(message) => message.at,
        Event::Joined(membership) | Event::Left(membership) => membership.at,
        Event::Closed(closure) | Event::Reopened(closure) => closure.at,
        _ => Micros::default(),
    }
}
