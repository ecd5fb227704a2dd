//! The whole terminal: rooms, messages, members, a composer.

mod composer;
mod log;
mod view;
mod wrap;

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{Write, stdout};
use std::time::Duration;

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange, EnableMouseCapture,
    Event as Input, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use futures_util::StreamExt;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::time::{Instant, sleep_until};

use self::composer::{Composer, Move};
use self::log::Place;
use self::view::Drawn;
use super::ChatError;
use super::clock::Clock;
use super::plain::signals;
use super::session::{Connection, Session};
use super::state::State;
use crate::app::live::outbox::State as Sending;
use crate::protocol::{Command, RoomItem, Seq, Slug};

/// `read` is said at most once in so long.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How many events may be taken in before the screen is drawn again.
const AT_ONCE: usize = 500;
/// Rows that the wheel goes.
const WHEEL: isize = 3;
/// Events above the screen when older ones are asked for, so that they are there before the reader is.
const AHEAD: usize = 20;

/// What the person at it has done that nobody else knows.
struct Screen {
    place: Place,
    /// The end of the log when the place was last there.
    left_at: Seq,
    /// What is being written, in each room.
    composers: BTreeMap<Slug, Composer>,
    room: Slug,
    notice: Option<String>,
    help: bool,
    /// Whether the terminal has the keyboard; a terminal that never says so has it.
    focused: bool,
    /// Ending was asked for with messages on their way: the second time it is meant.
    leaving: bool,
    read_at: Instant,
    drawn: Drawn,
    clock: Clock,
    /// There is no `NO_COLOR`.
    colour: bool,
}

/// A member's room in the list.
fn is_member<'a>(state: &'a State, room: &Slug) -> Option<&'a RoomItem> {
    state.rooms.items().iter().find(|item| item.room == *room)
}

/// What a key leads to.
#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    Redraw,
    End,
}

/// Chats on the whole terminal until one ends it.
///
/// # Errors
/// What ended it otherwise.
pub async fn run(mut session: Session, room: &Slug) -> Result<(), ChatError> {
    session.turn(room)?;
    let signals = signals()?;
    let taken = Taken::new().map_err(ChatError::Output)?;
    let outcome = chat(&mut session, room, signals).await;
    drop(taken);
    session.close().await;
    outcome
}

async fn chat(
    session: &mut Session,
    room: &Slug,
    (mut terminate, mut interrupt, mut hang_up): (
        tokio::signal::unix::Signal,
        tokio::signal::unix::Signal,
        tokio::signal::unix::Signal,
    ),
) -> Result<(), ChatError> {
    let mut terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(ChatError::Output)?;
    let mut input = EventStream::new();
    let mut screen = Screen {
        place: Place::End,
        left_at: Seq::ZERO,
        composers: BTreeMap::new(),
        room: room.clone(),
        notice: None,
        help: false,
        focused: true,
        leaving: false,
        read_at: Instant::now() - READ_EVERY,
        drawn: Drawn::default(),
        clock: Clock::of_this_machine(),
        colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    loop {
        let mut drawn = Drawn::default();
        // A terminal that knows these shows all of it at once, and another one ignores them.
        queue!(stdout(), BeginSynchronizedUpdate).map_err(ChatError::Output)?;
        terminal.draw(|frame| drawn = view::draw(frame, &screen, session)).map_err(ChatError::Output)?;
        execute!(stdout(), EndSynchronizedUpdate).map_err(ChatError::Output)?;
        screen.drawn = drawn;
        screen.look_ahead(session)?;
        let again = screen.look_again(session);
        tokio::select! {
            happened = session.next() => {
                session.apply(happened)?;
                for _ in 0..AT_ONCE {
                    let Some(happened) = session.try_next() else { break };
                    session.apply(happened)?;
                }
                if let Some(told) = session.told.drain(..).next_back() {
                    screen.notice = Some(told);
                }
            }
            event = input.next() => match event {
                Some(Ok(event)) => match screen.input(session, event)? {
                    Then::GoOn => {}
                    Then::Redraw => terminal.clear().map_err(ChatError::Output)?,
                    Then::End => return Ok(()),
                },
                Some(Err(error)) => return Err(ChatError::Input(error)),
                // The terminal is gone.
                None => return Ok(()),
            },
            () = wait_until(again) => {}
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
        }
    }
}

async fn wait_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

impl Screen {
    fn composer(&self) -> &Composer {
        const EMPTY: &Composer = &Composer::new();
        self.composers.get(&self.room).unwrap_or(EMPTY)
    }

    fn writing(&mut self) -> &mut Composer {
        self.composers.entry(self.room.clone()).or_default()
    }

    /// Asks for older messages before one comes to them, lets go of those that nobody looks at, and says what has been read.
    fn look_ahead(&mut self, session: &mut Session) -> Result<(), ChatError> {
        if self.drawn.first < AHEAD && (self.place != Place::End || self.drawn.first == 0) {
            let older = session.state.older();
            session.perform(older)?;
        }
        if self.place == Place::End {
            session.state.trim();
            if self.focused
                && self.read_at.elapsed() >= READ_EVERY
                && let Some(read) = session.state.seen()
            {
                self.read_at = Instant::now();
                session.say(read);
            }
        }
        Ok(())
    }

    /// When to draw, or to say what has been read, if nothing happens until then.
    fn look_again(&self, session: &Session) -> Option<Instant> {
        let unread = session.state.rooms.unread(&self.room) > 0 && session.state.is_ready();
        let read = (unread && self.focused && self.place == Place::End).then(|| self.read_at + READ_EVERY);
        // The seconds until the next try are counted.
        let counted = match session.connection {
            Connection::Lost { again, .. } if again > Instant::now() => Some(Instant::now() + Duration::from_millis(250)),
            _ => None,
        };
        read.into_iter().chain(counted).min()
    }

    fn input(&mut self, session: &mut Session, input: Input) -> Result<Then, ChatError> {
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => return self.key(session, key),
            Input::Paste(text) => self.writing().insert(&text),
            Input::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollUp => self.scroll(session, WHEEL),
                MouseEventKind::ScrollDown => self.scroll(session, -WHEEL),
                _ => {}
            },
            Input::FocusGained => self.focused = true,
            Input::FocusLost => self.focused = false,
            Input::Resize(..) | Input::Key(_) => {}
        }
        Ok(Then::GoOn)
    }

    fn key(&mut self, session: &mut Session, key: KeyEvent) -> Result<Then, ChatError> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        if control && matches!(key.code, KeyCode::Char('c' | 'q')) {
            return Ok(self.end(session));
        }
        self.leaving = false;
        self.notice = None;
        if std::mem::take(&mut self.help) {
            return Ok(Then::GoOn);
        }
        let page = isize::try_from(self.drawn.height.saturating_sub(2).max(1)).unwrap_or(1);
        let width = self.drawn.writing;
        match key.code {
            KeyCode::F(1) => self.help = true,
            KeyCode::Char('l') if control => return Ok(Then::Redraw),
            KeyCode::Char('r') if control => session.try_now(),
            KeyCode::Tab => self.step(session, true)?,
            KeyCode::Char('n') if control => self.step(session, true)?,
            KeyCode::BackTab => self.step(session, false)?,
            KeyCode::Char('p') if control => self.step(session, false)?,
            KeyCode::Down if alt => self.step(session, true)?,
            KeyCode::Up if alt => self.step(session, false)?,
            KeyCode::PageUp => self.scroll(session, page),
            KeyCode::PageDown => self.scroll(session, -page),
            KeyCode::Esc => self.place = Place::End,
            KeyCode::Enter if alt || shift => self.writing().insert("\n"),
            KeyCode::Char('j') if control => self.writing().insert("\n"),
            KeyCode::Enter => return self.enter(session),
            KeyCode::Up if self.composer().is_empty() => self.take_back(session),
            KeyCode::Up => _ = self.writing().go(Move::Up, width),
            KeyCode::Down => _ = self.writing().go(Move::Down, width),
            KeyCode::Left if control || alt => _ = self.writing().go(Move::WordLeft, width),
            KeyCode::Right if control || alt => _ = self.writing().go(Move::WordRight, width),
            KeyCode::Left => _ = self.writing().go(Move::Left, width),
            KeyCode::Right => _ = self.writing().go(Move::Right, width),
            KeyCode::Home => _ = self.writing().go(Move::Home, width),
            KeyCode::End => _ = self.writing().go(Move::End, width),
            KeyCode::Char('a') if control => _ = self.writing().go(Move::Home, width),
            KeyCode::Char('e') if control => _ = self.writing().go(Move::End, width),
            KeyCode::Char('u') if control => self.writing().delete(Move::Home),
            KeyCode::Char('k') if control => self.writing().delete(Move::End),
            KeyCode::Char('w') if control => self.writing().delete(Move::WordLeft),
            KeyCode::Backspace if control || alt => self.writing().delete(Move::WordLeft),
            KeyCode::Backspace => self.writing().delete(Move::Left),
            KeyCode::Delete => self.writing().delete(Move::Right),
            KeyCode::Char(c) if !control && !alt => self.writing().insert(c.encode_utf8(&mut [0; 4])),
            _ => {}
        }
        Ok(Then::GoOn)
    }

    fn end(&mut self, session: &Session) -> Then {
        let waiting = session.state.on_their_way();
        if waiting == 0 || self.leaving {
            return Then::End;
        }
        self.leaving = true;
        let what = if waiting == 1 { "1 message has".to_owned() } else { format!("{waiting} messages have") };
        self.notice = Some(format!("{what} not arrived yet. Ctrl+C again ends without."));
        Then::GoOn
    }

    fn scroll(&mut self, session: &Session, by: isize) {
        let state = &session.state;
        let Some(open) = state.open().filter(|open| !open.events.is_empty() && open.refused.is_none()) else { return };
        if self.place == Place::End {
            self.left_at = open.last();
        }
        self.place = self.rows(state, open, self.drawn.width).moved(self.place, by, self.drawn.height);
    }

    /// Turns to the next room of the list, or to the one before.
    fn step(&mut self, session: &mut Session, on: bool) -> Result<(), ChatError> {
        let items = session.state.rooms.items();
        if items.is_empty() {
            return Ok(());
        }
        let n = items.len();
        let at = items.iter().position(|item| item.room == self.room);
        let to = match at {
            Some(at) if on => (at + 1) % n,
            Some(at) => (at + n - 1) % n,
            None => 0,
        };
        let room = items[to].room.clone();
        self.turn(session, room)
    }

    fn turn(&mut self, session: &mut Session, room: Slug) -> Result<(), ChatError> {
        self.place = Place::End;
        self.room = room;
        session.turn(&self.room)
    }

    /// Says what needs a line, unlike a message, which waits for one.
    fn say(&mut self, session: &Session, command: Command) {
        if session.state.is_ready() {
            session.say(command);
        } else {
            self.notice = Some("There is no line to the server just now. Try again when it is back.".to_owned());
        }
    }

    fn take_back(&mut self, session: &mut Session) {
        let refused = |state: &Sending| matches!(state, Sending::Refused(_));
        let last = session.state.waiting().iter().rev().find(|item| item.room == self.room && refused(&item.state));
        let text = last.map(|item| item.id).and_then(|id| session.state.take_back(id));
        if let Some(text) = text {
            self.writing().insert(&text);
        }
    }

    /// Sends what is written, or does what it says.
    fn enter(&mut self, session: &mut Session) -> Result<Then, ChatError> {
        let refused = session.state.open().is_some_and(|open| open.refused.is_some());
        if self.composer().is_empty() {
            if refused {
                self.place = Place::End;
                self.say(session, Command::Join { room: self.room.clone() });
            }
            return Ok(Then::GoOn);
        }
        if !self.composer().text().starts_with('/') || self.composer().text().starts_with("//") {
            let text = self.composer().text();
            let text = text.strip_prefix('/').filter(|_| text.starts_with("//")).unwrap_or(text).to_owned();
            if text.trim().is_empty() {
                return Ok(Then::GoOn);
            }
            self.writing().take();
            self.place = Place::End;
            session.write(&self.room.clone(), text)?;
            return Ok(Then::GoOn);
        }
        let text = self.writing().take();
        let mut words = text.split_whitespace();
        match (words.next().unwrap_or_default(), words.next()) {
            ("/join", Some(room)) => match Slug::new(room.trim_start_matches('#')) {
                Ok(room) => {
                    self.say(session, Command::Join { room: room.clone() });
                    self.turn(session, room)?;
                }
                Err(_) => self.notice = Some(format!("There is no room {room}: rooms are named as in their address.")),
            },
            ("/join", None) => self.notice = Some("Which room? /join general".to_owned()),
            ("/leave", None) => self.say(session, Command::Leave { room: self.room.clone() }),
            ("/help", _) => self.help = true,
            ("/quit", _) => return Ok(self.end(session)),
            (command, _) => {
                self.notice = Some(format!("There is no command {command}: F1 lists what there is. To say it, write //."));
                // It was typed with care.
                self.writing().insert(&text);
            }
        }
        Ok(Then::GoOn)
    }
}

/// The terminal, taken as a whole, and given back as it was however this ends.
struct Taken;

impl Taken {
    fn new() -> std::io::Result<Self> {
        // A panic's words are to be read.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            usual(panic);
        }));
        enable_raw_mode()?;
        // From here on it is given back if anything fails.
        let taken = Self;
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableMouseCapture, EnableFocusChange)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal that is gone needs nothing.
fn give_back() {
    let _gone = execute!(stdout(), DisableFocusChange, DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen);
    let _gone = execute!(stdout(), crossterm::cursor::Show);
    let _gone = disable_raw_mode();
    let _gone = stdout().flush();
}
