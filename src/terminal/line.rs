//! The line: a socket to the server, and another one whenever it is gone.
//!
//! It runs as a task of its own, so that a slow network never holds up who types. What is said goes out on the socket that it was
//! meant for, or not at all: who speaks on the next one is whoever hears that it stands.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::header::{self, HeaderValue};
use serde::Deserialize;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Frame, Utf8Bytes};

use super::rest::Token;
use super::state::Incoming;
use super::stream::{Dialer, Io};
use crate::app::live::backoff::Backoff;
use crate::protocol::{Command, Event, Seq, Slug};

/// From asking for a socket to the server's welcome.
const WELCOME_WITHIN: Duration = Duration::from_secs(15);
/// A line on which nothing came for so long is asked whether it is there. (The server's patience is 75 s.)
const PING_AFTER: Duration = Duration::from_secs(15);
/// A server that has not answered for so long is gone.
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// How long saying good-bye may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Events that may wait to be heard; beyond that the server has to wait.
const WAITING: usize = 256;
/// The largest event: a welcome that names very many rooms.
const FRAME_MAX: usize = 16 * 1024 * 1024;
/// Bytes that are read at once. The library's 128 KiB would be taken from the start, and zeroed before each read: an event is smaller.
const READ: usize = 8 * 1024;

/// Closed by the server, which is being stopped: the next one is not far.
const GOING_AWAY: u16 = 1001;
/// Closed by the server because the login has ended.
const LOGIN_ENDED: u16 = 4401;

/// What is heard on the line.
#[derive(Debug)]
pub enum Heard {
    /// A socket stands: say `hello`.
    Opened,
    Event(Box<Incoming>),
    /// It is gone; the next one is tried after this.
    Lost {
        again: Duration,
        why: String,
    },
    /// The login has ended: there is no next one.
    LoggedOut,
}

/// One end of the line, and the task at the other.
pub struct Line {
    commands: mpsc::UnboundedSender<(u32, Command)>,
    heard: mpsc::Receiver<(u32, Heard)>,
    /// Which socket it is, so that nothing that was meant for an earlier one goes out on it.
    generation: u32,
    at_once: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Line {
    pub fn open(dialer: Arc<Dialer>, token: Token) -> Self {
        // What waits in it is one message of each room at most, and what a person does by hand.
        let (commands, given) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::channel(WAITING);
        let at_once = Arc::new(Notify::new());
        let far = Far { dialer, token, given, tell, generation: 0, backoff: Backoff::default(), at_once: Arc::clone(&at_once) };
        Self { commands, heard, generation: 0, at_once, task: tokio::spawn(far.run()) }
    }

    /// What is heard next; none once it has ended. Nothing is lost when this is dropped while it waits.
    pub async fn next(&mut self) -> Option<Heard> {
        let (generation, heard) = self.heard.recv().await?;
        self.generation = generation;
        Some(heard)
    }

    /// What has been heard already.
    pub fn try_next(&mut self) -> Option<Heard> {
        let (generation, heard) = self.heard.try_recv().ok()?;
        self.generation = generation;
        Some(heard)
    }

    /// Says something to the server, if the socket is there that was heard last.
    pub fn say(&self, command: Command) {
        let _ended = self.commands.send((self.generation, command));
    }

    /// Tries again now, if the line is gone.
    pub fn try_now(&self) {
        self.at_once.notify_one();
    }

    /// Closes the socket and waits for its end, for a moment.
    pub async fn close(self) {
        let Self { commands, heard, task, .. } = self;
        drop((commands, heard));
        let _late = timeout(FAREWELL, task).await;
    }
}

/// Why a socket ended.
enum Gone {
    /// Nobody listens any more.
    Unheard,
    Closed(u16),
    LoggedOut,
    Failed(String),
}

/// The task's end of the line.
struct Far {
    dialer: Arc<Dialer>,
    token: Token,
    given: mpsc::UnboundedReceiver<(u32, Command)>,
    tell: mpsc::Sender<(u32, Heard)>,
    generation: u32,
    backoff: Backoff,
    at_once: Arc<Notify>,
}

/// The place of an event in a log, whatever else it says.
#[derive(Deserialize)]
struct Place {
    room: Slug,
    seq: Seq,
}

impl Far {
    async fn run(mut self) {
        loop {
            self.generation += 1;
            let mut welcomed = false;
            let gone = self.socket(&mut welcomed).await;
            if welcomed {
                self.backoff.reset();
            }
            let (wait, why) = match gone {
                Gone::Unheard => return,
                Gone::LoggedOut | Gone::Closed(LOGIN_ENDED) => {
                    self.tell(Heard::LoggedOut).await;
                    return;
                }
                Gone::Closed(GOING_AWAY) if welcomed => {
                    (Backoff::restart(rand::random()), "the server is being stopped or restarted".to_owned())
                }
                Gone::Closed(code) => (self.backoff.next(rand::random()), format!("the server closed the line ({code})")),
                Gone::Failed(why) => (self.backoff.next(rand::random()), why),
            };
            let again = Duration::from_millis(wait.into());
            if !self.tell(Heard::Lost { again, why }).await {
                return;
            }
            tokio::select! {
                () = sleep(again) => {}
                () = self.at_once.notified() => {}
                () = self.tell.closed() => return,
            }
        }
    }

    async fn tell(&self, heard: Heard) -> bool {
        self.tell.send((self.generation, heard)).await.is_ok()
    }

    /// One socket, from its handshake to its end.
    async fn socket(&mut self, welcomed: &mut bool) -> Gone {
        let welcome_by = Instant::now() + WELCOME_WITHIN;
        let late = || Gone::Failed(format!("{} does not answer", self.dialer.address));
        let closed = self.tell.clone();
        let opening = tokio::select! {
            opening = timeout_at(welcome_by, open(&self.dialer, &self.token)) => opening,
            () = closed.closed() => return Gone::Unheard,
        };
        let mut socket = match opening {
            Err(_) => return late(),
            Ok(Err(gone)) => return gone,
            Ok(Ok(socket)) => socket,
        };
        if !self.tell(Heard::Opened).await {
            return Gone::Unheard;
        }
        let mut deadline = welcome_by;
        let mut asked = true;
        loop {
            tokio::select! {
                frame = socket.next() => {
                    match frame {
                        None => return Gone::Failed("the line broke".to_owned()),
                        Some(Err(error)) => return Gone::Failed(format!("the line broke: {error}")),
                        Some(Ok(Frame::Close(close))) => return Gone::Closed(close.map_or(1005, |close| close.code.into())),
                        Some(Ok(Frame::Text(text))) => {
                            if let Some(incoming) = read(&text) {
                                *welcomed |= matches!(incoming.event, Event::Welcome { .. });
                                if !self.tell(Heard::Event(Box::new(incoming))).await {
                                    let _late = timeout(FAREWELL, socket.close(None)).await;
                                    return Gone::Unheard;
                                }
                            }
                        }
                        Some(Ok(_)) => {}
                    }
                    if *welcomed {
                        (deadline, asked) = (Instant::now() + PING_AFTER, false);
                    }
                }
                given = self.given.recv() => {
                    let Some((generation, command)) = given else {
                        let _late = timeout(FAREWELL, socket.close(None)).await;
                        return Gone::Unheard;
                    };
                    if generation == self.generation && let Err(gone) = say(&mut socket, &command).await {
                        return gone;
                    }
                }
                () = sleep_until(deadline) => {
                    if asked {
                        return late();
                    }
                    if let Err(gone) = say(&mut socket, &Command::Ping).await {
                        return gone;
                    }
                    (deadline, asked) = (Instant::now() + PONG_WITHIN, true);
                }
            }
        }
    }
}

/// The handshake. The room stays unnamed: a socket that names one enters it, and who comes back may have left it meanwhile.
async fn open(dialer: &Dialer, token: &Token) -> Result<WebSocketStream<Box<dyn Io>>, Gone> {
    let address = &dialer.address;
    let failed = |why: &dyn std::fmt::Display| Gone::Failed(why.to_string());
    let stream = dialer.dial().await.map_err(|error| failed(&error))?;
    // The scheme says nothing here: the stream is made, and only host and path go out.
    let url = format!("ws://{}{}/ws?room=", address.authority(), address.prefix);
    let mut request = url.into_client_request().map_err(|error| failed(&error))?;
    request.headers_mut().insert(header::AUTHORIZATION, token.header());
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(super::AGENT));
    let config =
        WebSocketConfig::default().read_buffer_size(READ).max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) if answer.status().as_u16() == 401 => Err(Gone::LoggedOut),
        Err(tungstenite::Error::Http(answer)) => {
            let status = answer.status().as_u16();
            Err(Gone::Failed(match status {
                429 => "there are as many lines of this account as the server allows".to_owned(),
                502..=504 => format!("{address} is not there just now (status {status})"),
                _ => format!("{address} opens no socket (status {status}): a proxy before it may not let WebSockets through"),
            }))
        }
        Err(error) => Err(failed(&error)),
    }
}

fn say(socket: &mut WebSocketStream<Box<dyn Io>>, command: &Command) -> impl Future<Output = Result<(), Gone>> {
    let json = serde_json::to_string(command).unwrap_or_default();
    async move {
        let sending = timeout(PONG_WITHIN, socket.send(Frame::Text(Utf8Bytes::from(json)))).await;
        match sending {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Gone::Failed(format!("the line broke: {error}"))),
            Err(_) => Err(Gone::Failed("the server takes nothing".to_owned())),
        }
    }
}

/// An event, and its place. One of a kind that this build does not know may have a place that it takes.
fn read(text: &str) -> Option<Incoming> {
    let event: Event = serde_json::from_str(text).unwrap_or(Event::Unknown);
    let place = match event.place() {
        Some((room, seq)) => Some((room.clone(), seq)),
        None if event == Event::Unknown => serde_json::from_str(text).ok().map(|Place { room, seq }| (room, seq)),
        None => None,
    };
    (event != Event::Unknown || place.is_some()).then_some(Incoming { event, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_later_server_takes_its_place_and_what_is_no_event_is_nothing() {
        let place = Some((Slug::new("tea").expect("a slug"), Seq(9)));
        let later = read(r#"{"type":"reacted","room":"tea","seq":9,"with":{"x":[1]}}"#).expect("it has a place");
        assert_eq!((later.event, later.place), (Event::Unknown, place.clone()));
        // A known kind with a field that is not as it was.
        let changed = read(r#"{"type":"message","room":"tea","seq":9,"text":["rich"]}"#).expect("it has a place");
        assert_eq!((changed.event, changed.place), (Event::Unknown, place));
        for nothing in ["", "hello", "{}", r#"{"type":"typing","room":"tea"}"#] {
            assert!(read(nothing).is_none(), "{nothing}");
        }
        // What names a room and a place, but in no log, takes none.
        let sent = read(r#"{"type":"sent","room":"tea","seq":9,"id":"00000000-0000-0000-0000-000000000000"}"#).expect("known");
        assert_eq!(sent.place, None);
    }
}
