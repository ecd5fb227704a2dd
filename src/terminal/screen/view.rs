//! What the screen looks like: rooms at the left, the log, who is here at the right, what is being written below.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};
use tokio::time::Instant;
use unicode_width::UnicodeWidthStr;

use super::super::safe;
use super::super::session::{Connection, Session};
use super::super::state::State;
use super::log::{Place, Rows, dim};
use super::wrap::{cut, wrap};
use super::{Screen, is_member};
use crate::app::live::rooms::count;
use crate::protocol::{Event, RoomItem, Slug};

/// From which width on there are the rooms, and the people.
const WITH_ROOMS: u16 = 64;
const WITH_PEOPLE: u16 = 100;
const ROOMS: u16 = 20;
const PEOPLE: u16 = 20;
/// The most rows of the composer; a longer text is scrolled in it.
const COMPOSER: usize = 6;

/// What was drawn that the next key has to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drawn {
    /// Cells of the log's part of the screen, and of the composer.
    pub width: usize,
    pub height: usize,
    pub writing: usize,
    /// The first event that is seen.
    pub first: usize,
}

/// The keys, as F1 shows them: what fits on the smallest screen. (Others that one may have in one's fingers work, too: Ctrl+J, Ctrl+N
/// and P, Alt+↓ and ↑, and those of a shell's line.)
const KEYS: [(&str, &str); 10] = [
    ("Enter", "send"),
    ("Alt+Enter", "a new line"),
    ("Tab, Shift+Tab", "next, last room"),
    ("PageUp, Esc", "older, newest"),
    ("↑", "take back refused"),
    ("/join ROOM", "become a member"),
    ("/leave", "cease to be one"),
    ("Ctrl+R", "try the line now"),
    ("Shift+mouse", "select text"),
    ("Ctrl+C, /quit", "end"),
];

pub fn draw(frame: &mut Frame, screen: &Screen, session: &Session) -> Drawn {
    let state = &session.state;
    let area = frame.area();
    let writing = usize::from(area.width.saturating_sub(2)).max(1);
    let text_rows = wrap(screen.composer().text(), writing).len().clamp(1, COMPOSER).min(usize::from(area.height / 3).max(1));
    let composer_rows = u16::try_from(text_rows).unwrap_or(1) + 1;
    let notice_rows = u16::from(screen.notice.is_some());
    let [head, body, notice, composer, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(notice_rows),
        Constraint::Length(composer_rows),
        Constraint::Length(1),
    ])
    .areas(area);
    let (rooms, people) = (area.width >= WITH_ROOMS, area.width >= WITH_PEOPLE);
    let [left, middle, right] = Layout::horizontal([
        Constraint::Length(if rooms { ROOMS } else { 0 }),
        Constraint::Min(1),
        Constraint::Length(if people { PEOPLE } else { 0 }),
    ])
    .areas(body);
    draw_head(frame, head, screen, session, rooms);
    if rooms {
        draw_rooms(frame, left, screen, state);
    }
    if people {
        draw_people(frame, right, screen, state);
    }
    let first = draw_log(frame, middle, screen, state);
    if let Some(said) = &screen.notice {
        let style = screen.coloured(Color::Yellow);
        frame.render_widget(
            Paragraph::new(Span::styled(cut(&format!(" {}", safe::line(said)), area.width.into()), style)),
            notice,
        );
    }
    draw_composer(frame, composer, screen, state, writing);
    draw_foot(frame, foot, screen, session);
    if screen.help {
        draw_help(frame, area);
    }
    Drawn { width: log_width(middle), height: middle.height.into(), writing, first }
}

/// The log keeps a cell free at either side.
fn log_width(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(2))
}

fn draw_head(frame: &mut Frame, area: Rect, screen: &Screen, session: &Session, rooms: bool) {
    let state = &session.state;
    let (mark, said, style) = match &session.connection {
        Connection::Up => ("●", "connected".to_owned(), screen.coloured(Color::Green)),
        Connection::Connecting => ("○", "connecting…".to_owned(), screen.coloured(Color::Yellow)),
        Connection::Lost { again, .. } => {
            let left = again.saturating_duration_since(Instant::now()) + Duration::from_millis(999);
            let said =
                if left.as_secs() == 0 { "reconnecting…".to_owned() } else { format!("reconnecting in {} s", left.as_secs()) };
            ("○", said, screen.coloured(Color::Yellow))
        }
    };
    let room = state.current().map(|room| name(state, room)).unwrap_or_default();
    let mut status = vec![Span::styled(format!("{mark} "), style), Span::raw(said)];
    let elsewhere: u32 =
        state.rooms.items().iter().filter(|item| Some(&item.room) != state.current()).map(|item| item.unread).sum();
    if !rooms && elsewhere > 0 {
        status.insert(0, Span::styled(format!("{} elsewhere ", count(elsewhere)), bold()));
    }
    let taken: usize = status.iter().map(|span| span.content.width()).sum::<usize>() + 2;
    let room = cut(&safe::line(&room), usize::from(area.width).saturating_sub(taken + 1));
    let topic_width = usize::from(area.width).saturating_sub(taken + room.width() + 6);
    let topic = state.open().and_then(|open| open.about.as_ref()).map(|about| safe::line(&about.topic).into_owned());
    let mut title = vec![Span::styled(format!(" {room}"), bold())];
    if let Some(topic) = topic.filter(|topic| !topic.is_empty() && topic_width > 8) {
        title.push(Span::styled(format!("  {}", cut(&topic, topic_width)), dim()));
    }
    frame.render_widget(Paragraph::new(Line::from(title)), area);
    status.push(Span::raw(" "));
    frame.render_widget(Paragraph::new(Line::from(status)).alignment(Alignment::Right), right_part(area, taken));
}

fn right_part(area: Rect, width: usize) -> Rect {
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    Rect { x: area.right() - width, width, ..area }
}

fn draw_rooms(frame: &mut Frame, area: Rect, screen: &Screen, state: &State) {
    let block = Block::new().borders(Borders::RIGHT).border_style(dim());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let items = state.rooms.items();
    let current = items.iter().position(|item| Some(&item.room) == state.current());
    // The current one is always seen.
    let height = usize::from(inner.height);
    let skipped = current.map_or(0, |current| (current + 1).saturating_sub(height));
    let rows =
        items.iter().skip(skipped).map(|item| room_row(item, Some(&item.room) == state.current(), inner.width.into(), screen));
    frame.render_widget(Paragraph::new(rows.collect::<Vec<_>>()), inner);
}

fn room_row(item: &RoomItem, current: bool, width: usize, screen: &Screen) -> Line<'static> {
    // What one reads is not unread, though the server may not have heard of it yet.
    let unread = if item.unread == 0 || current && screen.place == Place::End { String::new() } else { count(item.unread) };
    let closed = if item.closed { " ×" } else { "" };
    let name = cut(&safe::line(&item.name), width.saturating_sub(4 + unread.width() + closed.width()));
    let pad = " ".repeat(width.saturating_sub(name.width() + unread.width() + closed.width() + 3));
    let style = match (current, unread.is_empty()) {
        (true, _) => bold(),
        (false, false) => Style::default().add_modifier(Modifier::BOLD),
        (false, true) if item.closed => dim(),
        (false, true) => Style::default(),
    };
    Line::from(vec![
        Span::styled(if current { "▌ " } else { "  " }, screen.coloured(Color::Cyan)),
        Span::styled(name, style),
        Span::styled(format!("{closed}{pad}"), dim()),
        Span::styled(unread, screen.coloured(Color::Cyan).add_modifier(Modifier::BOLD)),
        Span::raw(" "),
    ])
}

fn draw_people(frame: &mut Frame, area: Rect, screen: &Screen, state: &State) {
    let block = Block::new().borders(Borders::LEFT).border_style(dim());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let here = state.here();
    let width = usize::from(inner.width.saturating_sub(4));
    let mut rows = Vec::new();
    if let Some(presence) = &state.presence {
        rows.push(Line::from(Span::styled(format!(" Here {}", presence.count), dim())));
        rows.extend(here.iter().map(|person| {
            let style = if person.user == state.me { bold() } else { Style::default() };
            let name = cut(&safe::line(person.shown()), width);
            Line::from(vec![Span::styled(" ● ", screen.coloured(Color::Green)), Span::styled(name, style)])
        }));
    }
    if let Some(open) = state.open() {
        let away = open.members.iter().filter(|member| !here.iter().any(|person| person.user == member.user));
        let away: Vec<_> = away.collect();
        if !away.is_empty() {
            rows.extend((!rows.is_empty()).then(Line::default));
            rows.push(Line::from(Span::styled(format!(" Away {}", away.len()), dim())));
            rows.extend(
                away.iter()
                    .map(|person| Line::from(Span::styled(format!(" ○ {}", cut(&safe::line(person.shown()), width)), dim()))),
            );
        }
    }
    frame.render_widget(Paragraph::new(rows), inner);
}

/// Draws the log, and says which is its first event on the screen.
fn draw_log(frame: &mut Frame, area: Rect, screen: &Screen, state: &State) -> usize {
    let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let Some(open) = state.open() else { return 0 };
    let middle = |said: &str| {
        let width = usize::from(inner.width).max(1);
        let rows: Vec<Line> = wrap(said, width).into_iter().map(|row| Line::from(said[row].trim_end().to_owned())).collect();
        let top = inner.y + inner.height.saturating_sub(u16::try_from(rows.len()).unwrap_or(1)) / 2;
        let height = inner.bottom().saturating_sub(top);
        (Paragraph::new(rows).alignment(Alignment::Center).style(dim()), Rect { y: top, height, ..inner })
    };
    if let Some(why) = &open.refused {
        let joinable = open.about.as_ref().is_some_and(|about| !about.closed && !about.member);
        let then = if joinable { "\n\nPress Enter to join." } else { "" };
        let said = format!("{}{then}", safe::line(why));
        let (paragraph, place) = middle(&said);
        frame.render_widget(paragraph, place);
        return 0;
    }
    let rows = screen.rows(state, open, inner.width.into());
    if open.events.is_empty() && rows.waiting.is_empty() {
        let (paragraph, place) = middle(if open.loaded { "Nobody has said anything yet." } else { "…" });
        frame.render_widget(paragraph, place);
        return 0;
    }
    let (lines, first) = rows.up_to(screen.place, inner.height.into());
    // A short log stands at the bottom, where the next message comes.
    let height = u16::try_from(lines.len()).unwrap_or(inner.height).min(inner.height);
    let at = Rect { y: inner.bottom() - height, height, ..inner };
    frame.render_widget(Paragraph::new(lines), at);
    if screen.place != Place::End {
        let new = open.events.iter().rev().take_while(|event| event.place().is_some_and(|(_, seq)| seq > screen.left_at));
        let new = new.filter(|event| matches!(event, Event::Message(_))).count();
        let said = if new == 0 { " ↓ Esc: to the newest ".to_owned() } else { format!(" ↓ {new} new · Esc ") };
        let width = u16::try_from(said.width()).unwrap_or(u16::MAX).min(inner.width);
        let at = Rect { x: inner.right() - width, y: inner.bottom() - 1, width, height: 1 };
        frame.render_widget(Clear, at);
        let style = screen.coloured(Color::Cyan).add_modifier(Modifier::REVERSED);
        frame.render_widget(Paragraph::new(Span::styled(said, style)), at);
    }
    first
}

fn draw_composer(frame: &mut Frame, area: Rect, screen: &Screen, state: &State, width: usize) {
    let block = Block::new().borders(Borders::TOP).border_style(dim());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let composer = screen.composer();
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(1), ..inner };
    let (row, column) = composer.place(width);
    let skipped = (row + 1).saturating_sub(inner.height.into());
    if composer.is_empty() {
        let said = match state.current() {
            Some(_) if state.open().is_some_and(|open| open.refused.is_some()) => String::new(),
            Some(room) if is_closed(state, room) => "This room is closed. It can still be read.".to_owned(),
            Some(room) => format!("Write to {}", safe::line(&name(state, room))),
            None => String::new(),
        };
        frame.render_widget(Paragraph::new(Span::styled(cut(&said, width), dim())), inner);
    } else {
        let text = composer.text();
        let rows = wrap(text, width).into_iter().skip(skipped).map(|row| Line::from(text[row].to_owned()));
        frame.render_widget(Paragraph::new(rows.collect::<Vec<_>>()), inner);
    }
    if !screen.help {
        let offset = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let x = inner.x.saturating_add(offset(column)).min(inner.right().saturating_sub(1));
        frame.set_cursor_position(Position::new(x, inner.y.saturating_add(offset(row - skipped))));
    }
}

fn draw_foot(frame: &mut Frame, area: Rect, screen: &Screen, session: &Session) {
    let said = match &session.connection {
        _ if screen.help => "any key goes on".to_owned(),
        Connection::Lost { why, .. } => {
            let waiting = session.state.on_their_way();
            let waiting = if waiting > 0 { format!("{waiting} waiting · ") } else { String::new() };
            format!("{waiting}Ctrl+R tries now · {}", safe::line(why))
        }
        _ if area.width < WITH_ROOMS => "F1 keys · Tab room · Ctrl+C end".to_owned(),
        _ => "F1 keys · Enter send · Tab room · PageUp older · Ctrl+C end".to_owned(),
    };
    frame.render_widget(Paragraph::new(Span::styled(cut(&format!(" {said}"), area.width.into()), dim())), area);
}

fn draw_help(frame: &mut Frame, area: Rect) {
    let keys = KEYS.iter().map(|(key, _)| key.width()).max().unwrap_or_default();
    let does = KEYS.iter().map(|(_, does)| does.width()).max().unwrap_or_default();
    let rows: Vec<Line> = KEYS
        .iter()
        .map(|(key, does)| Line::from(vec![Span::styled(format!("{key:keys$}  "), bold()), Span::raw(*does)]))
        .collect();
    let number = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let (width, height) = (number(keys + does + 6).min(area.width), number(rows.len() + 2).min(area.height));
    let at = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, at);
    let block = Block::bordered().title(" Keys ").border_style(dim());
    frame.render_widget(Paragraph::new(rows).block(block.padding(ratatui::widgets::Padding::horizontal(1))), at);
}

/// What a room is called: its name, or, as long as that is not known, as in its address.
fn name(state: &State, room: &Slug) -> String {
    let item = state.rooms.items().iter().find(|item| item.room == *room);
    let about = state.open().and_then(|open| open.about.as_ref()).filter(|about| about.room == *room);
    item.map(|item| item.name.clone()).or(about.map(|about| about.name.clone())).unwrap_or_else(|| room.to_string())
}

fn is_closed(state: &State, room: &Slug) -> bool {
    is_member(state, room).is_some_and(|item| item.closed)
}

fn bold() -> Style {
    Style::default().add_modifier(Modifier::BOLD)
}

impl Screen {
    /// The rows of the room on the screen, in so many cells.
    pub(super) fn rows<'a>(&'a self, state: &'a State, open: &'a super::super::state::Followed, width: usize) -> Rows<'a> {
        let waiting = state.waiting().iter().filter(|item| Some(&item.room) == state.current()).collect();
        Rows::new(open, waiting, &state.me, &self.clock, self.colour, width)
    }

    pub(super) fn coloured(&self, colour: Color) -> Style {
        if self.colour { Style::default().fg(colour) } else { Style::default() }
    }
}
