//! By lines: what the standard input says is sent, what is said is printed. For pipes, scripts and screen readers.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write, stderr, stdin, stdout};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::ChatError;
use super::clock::Clock;
use super::line::Heard;
use super::safe;
use super::session::{Connection, Fetched, Happened, Session};
use crate::app::live::outbox::State as Sending;
use crate::protocol::{Closure, Event, Person, Refusal, Slug};

/// How it is to be done.
pub struct How {
    /// Print what is said.
    pub follow: bool,
    /// Go on when the standard input ends.
    pub stay: bool,
    pub json: bool,
    /// How many of the latest messages come first.
    pub last: usize,
    /// For how many seconds a server that is away is waited for with messages that have not arrived.
    pub patience: u32,
}

/// Lines that wait to be acknowledged; beyond that no more are read.
const WAITING: usize = 64;
/// The longest line that is read, in bytes: no server can be set to take a longer message.
const LINE_MAX: usize = 64 * 1024;

/// A line of the standard input, its number from 1 on.
struct Typed {
    number: u64,
    text: String,
}

/// Chats by lines, until the input has ended and arrived, or for as long as it is to follow.
///
/// # Errors
/// What ended it before that.
pub async fn run(mut session: Session, room: &Slug, how: &How) -> Result<(), ChatError> {
    let mut typing = typing();
    let mut lines = Some(&mut typing);
    let mut plain =
        Plain { room, how, clock: Clock::of_this_machine(), first: true, under_way: VecDeque::new(), refused: 0, away: None };
    if how.follow {
        session.turn(room)?;
    }
    let (mut terminate, mut interrupt, mut hang_up) = signals()?;
    let outcome = loop {
        let unsent = session.state.on_their_way();
        if lines.is_none() && unsent == 0 && !how.stay {
            break plain.verdict();
        }
        let patience = plain.patience(&session);
        tokio::select! {
            happened = session.next() => {
                if let Err(error) = plain.take(&mut session, happened) {
                    break error;
                }
            }
            line = next(&mut lines), if unsent < WAITING => match line {
                Some(Ok(typed)) => {
                    let id = session.write(room, typed.text)?;
                    plain.under_way.push_back((id, typed.number));
                }
                Some(Err(error)) => break Err(ChatError::Input(error)),
                None => lines = None,
            },
            () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => {
                let why = match &session.connection {
                    Connection::Lost { why, .. } => why.clone(),
                    _ => "the server does not answer".to_owned(),
                };
                break Err(ChatError::Unreached { why, patience: how.patience, unsent });
            }
            _ = terminate.recv() => break stopped(unsent),
            _ = interrupt.recv() => break stopped(unsent),
            _ = hang_up.recv() => break stopped(unsent),
        }
    };
    session.close().await;
    match outcome {
        // Whoever reads it may have heard enough (`| head`): that is no failure.
        Err(ChatError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn stopped(unsent: usize) -> Result<(), ChatError> {
    if unsent == 0 { Ok(()) } else { Err(ChatError::Stopped(unsent)) }
}

/// SIGTERM, SIGINT and SIGHUP.
///
/// # Errors
/// The system's.
pub fn signals() -> Result<(Signal, Signal, Signal), ChatError> {
    let hear = |kind| signal(kind).map_err(ChatError::Input);
    Ok((hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?, hear(SignalKind::hangup())?))
}

async fn next(lines: &mut Option<&mut mpsc::Receiver<std::io::Result<Typed>>>) -> Option<std::io::Result<Typed>> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

/// The lines of the standard input that say something, read as they are wanted.
fn typing() -> mpsc::Receiver<std::io::Result<Typed>> {
    let (tell, told) = mpsc::channel(WAITING);
    // A thread of its own: reading cannot be given up, and the process does not wait for it.
    std::thread::spawn(move || {
        let mut input = BufReader::new(stdin());
        for number in 1.. {
            let line = match read_line(&mut input) {
                Ok(None) => return,
                Ok(Some(text)) if text.trim().is_empty() => continue,
                Ok(Some(text)) => Ok(Typed { number, text }),
                Err(error) => Err(error),
            };
            let failed = line.is_err();
            if tell.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    told
}

/// The next line; what is no UTF-8 in it is marked as such. None at the end.
fn read_line(input: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
    if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() >= LINE_MAX && !line.ends_with(b"\n") {
        return Err(std::io::Error::other("it has a line that is longer than any message"));
    }
    let text = String::from_utf8_lossy(&line);
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

struct Plain<'a> {
    room: &'a Slug,
    how: &'a How,
    clock: Clock,
    /// Nothing of the log has been printed yet.
    first: bool,
    /// What has been sent and has not been answered, and the numbers of these lines.
    under_way: VecDeque<(Uuid, u64)>,
    refused: usize,
    /// Since when there is no line.
    away: Option<Instant>,
}

impl Plain<'_> {
    /// Until when a line is waited for: with what is to be sent, or with nothing heard at all yet.
    fn patience(&mut self, session: &Session) -> Option<Instant> {
        if session.state.is_ready() {
            self.away = None;
            return None;
        }
        let away = *self.away.get_or_insert_with(Instant::now);
        let waits = session.state.on_their_way() > 0 || self.first || !self.how.stay;
        waits.then(|| away + Duration::from_secs(self.how.patience.into()))
    }

    /// What happened is printed, and known from here on. The error is the end, which may be a good one.
    fn take(&mut self, session: &mut Session, happened: Happened) -> Result<(), Result<(), ChatError>> {
        let mut fatal = false;
        if let Happened::Heard(heard) = &happened {
            fatal = self.hear(session, heard).map_err(Err)?;
        }
        let page = matches!(happened, Happened::Fetched(Fetched::Page { .. }));
        session.apply(happened).map_err(Err)?;
        for told in session.told.drain(..) {
            self.remark(&told);
        }
        self.answered(session);
        if fatal {
            return Err(self.verdict());
        }
        if self.how.follow {
            let events = session.state.take_events();
            // An answer to an earlier question is none.
            let page = page && session.state.open().is_some_and(|open| open.loaded);
            // The first page is as long as was asked for.
            let skipped = if self.first && page { events.len().saturating_sub(self.how.last) } else { 0 };
            self.first &= !page;
            self.print(&events[skipped..]).map_err(|error| Err(ChatError::Output(error)))?;
            if let Some(why) = session.state.open().and_then(|open| open.refused.clone()) {
                return Err(Err(ChatError::Parted(why)));
            }
        }
        Ok(())
    }

    /// What is worth a word or a line of JSON beside the log. True when nothing more will be taken.
    fn hear(&mut self, session: &Session, heard: &Heard) -> Result<bool, ChatError> {
        let event = match heard {
            Heard::Lost { again, why } => {
                if self.how.follow && session.state.is_ready() {
                    self.remark(&format!("the line is gone ({why}); tried again in {} s", again.as_secs().max(1)));
                }
                return Ok(false);
            }
            Heard::Event(incoming) => &incoming.event,
            Heard::Opened | Heard::LoggedOut => return Ok(false),
        };
        let (shown, fatal) = match event {
            Event::Welcome { user, .. } if self.how.follow => {
                self.remark(&format!("{} as {user}", self.room));
                (false, false)
            }
            Event::Presence(presence) if self.how.follow && presence.room == *self.room => {
                if !self.how.json {
                    let names: Vec<&str> = presence.users.iter().map(|person| person.user.as_str()).collect();
                    let more = presence.count.saturating_sub(names.len().try_into().unwrap_or(u32::MAX));
                    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                    self.remark(&format!("here: {}{more}", names.join(", ")));
                }
                (true, false)
            }
            // The acknowledgement; who follows sees it in the log.
            Event::Message(message) => (!self.how.follow && self.under_way.iter().any(|(id, _)| *id == message.id), false),
            Event::Sent { .. } => (true, false),
            Event::Error { id: Some(_), why, .. } => {
                let fatal = matches!(why, Refusal::NotMember | Refusal::NoRoom | Refusal::Closed | Refusal::NotAllowed);
                (!why.passes(), fatal && !self.how.follow)
            }
            Event::Error { .. } => (true, false),
            _ => (false, false),
        };
        if shown && self.how.json {
            self.print(std::slice::from_ref(event)).map_err(ChatError::Output)?;
        }
        Ok(fatal)
    }

    /// Lets go of what has arrived, and says of what was refused which line it was.
    fn answered(&mut self, session: &mut Session) {
        let mut refused = Vec::new();
        self.under_way.retain(|(id, number)| {
            let item = session.state.waiting().iter().find(|item| item.id == *id);
            if let Some(Sending::Refused(why)) = item.map(|item| &item.state) {
                refused.push((*id, *number, why.clone()));
                return false;
            }
            item.is_some()
        });
        for (id, number, why) in refused {
            session.state.take_back(id);
            self.refused += 1;
            say(&format!("snug: line {number} was refused: {why}"));
        }
    }

    /// What it comes to, when there is no more to be done.
    fn verdict(&self) -> Result<(), ChatError> {
        if self.refused == 0 { Ok(()) } else { Err(ChatError::Refused(self.refused)) }
    }

    /// Says something about the chat, beside what is said in it.
    fn remark(&self, what: &str) {
        say(&format!("# {what}"));
    }

    fn print(&self, events: &[Event]) -> std::io::Result<()> {
        let mut out = stdout().lock();
        for event in events {
            let line = if self.how.json { serde_json::to_string(event).ok().map(safe::json) } else { self.text(event) };
            if let Some(line) = line {
                writeln!(out, "{line}")?;
            }
        }
        out.flush()
    }

    /// A line for people. Persons are called by their usernames, which are theirs alone.
    fn text(&self, event: &Event) -> Option<String> {
        let (at, said) = match event {
            Event::Message(message) => (message.at, format!("{}: {}", safe::line(&message.by.user), safe::line(&message.text))),
            Event::Joined(joined) => (joined.at, format!("* {} joined", safe::line(&joined.by.user))),
            Event::Left(left) => (left.at, format!("* {} left", safe::line(&left.by.user))),
            Event::Closed(closure) => (closure.at, format!("* {}", safe::line(&closed(closure, |person| &person.user)))),
            Event::Reopened(closure) => (closure.at, format!("* {}", safe::line(&reopened(closure, |person| &person.user)))),
            _ => return None,
        };
        Some(format!("{} {said}", self.clock.moment(at)))
    }
}

/// How the closing of a room is told.
pub fn closed(closure: &Closure, name: fn(&Person) -> &str) -> String {
    match &closure.by {
        Some(by) => format!("{} closed the room", name(by)),
        None if closure.operator => "Whoever runs this server closed the room".to_owned(),
        None => "The room closed by itself: nobody had said anything for long".to_owned(),
    }
}

/// How its opening is told.
pub fn reopened(closure: &Closure, name: fn(&Person) -> &str) -> String {
    match &closure.by {
        Some(by) => format!("{} opened the room again", name(by)),
        None => "Whoever runs this server opened the room again".to_owned(),
    }
}

/// To the standard error; one that is gone hears nothing.
fn say(what: &str) {
    let _nobody_reads = writeln!(stderr().lock(), "{}", safe::line(what));
}
