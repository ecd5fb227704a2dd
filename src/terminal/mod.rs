//! `snug chat`: the terminal client, by the same protocol and API as any other program.
//!
//! What is known and what each event means is decided in [`state`], without a network or a clock; [`line`] keeps the socket, [`rest`]
//! asks for pages, and [`session`] brings the three together. [`screen`] shows it on a whole terminal, [`plain`] as lines. Nothing
//! that others wrote reaches a terminal but through [`safe`]. [`connect`] gives the session alone.

mod address;
pub mod ask;
mod clock;
mod line;
mod login;
mod plain;
mod rest;
pub mod safe;
mod screen;
mod session;
mod state;
mod stream;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use self::address::{Address, AddressError};
pub use self::line::Heard;
use self::login::Login;
pub use self::login::{TOKEN_VARIABLE, USER_VARIABLE};
use self::rest::{Rest, RestError, Token};
pub use self::session::{Happened, Session};
pub use self::state::Filling;
use self::stream::{DialError, Dialer};
use crate::protocol::api::Room;
use crate::protocol::{Refusal, Slug};

/// What this program calls itself to servers.
const AGENT: &str = concat!("snug-chat/", env!("CARGO_PKG_VERSION"));

/// Where everyone is, if nothing else is said.
const FIRST: &str = "general";

/// How long the end of a login may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// Between two tries to reach a server for the first time.
const AGAIN: Duration = Duration::from_millis(500);

/// How `snug chat` is asked for.
#[derive(clap::Args)]
#[command(after_long_help = "\
On a terminal it takes the whole of it; F1 lists the keys. Otherwise it works by lines: each line of the standard input is a \
message, and it ends when all of them have arrived (`echo hi | snug chat URL`). Each arrives once and in order, whatever \
happens to the line meanwhile. With --follow it prints what is said, without a hole, and goes on when the input ends.

Who one is: the token in SNUG_TOKEN; or else name (or SNUG_USER) and password, which are asked for at the terminal. A login that \
is made so ends with the program.

It exits with 0 when everything has arrived; with 1 when something was refused or the server could not be reached, and says which \
on the standard error; with 2 when it is called wrongly.")]
pub struct Options {
    /// The server, such as https://chat.example.org, or the address of one of its rooms.
    url: String,
    /// The room, as in its address. [default: the address's, or general]
    room: Option<String>,
    /// Become a member of the room first.
    #[arg(long)]
    join: bool,
    /// Print what is said, and go on when the standard input ends.
    #[arg(short, long)]
    follow: bool,
    /// Print JSON: an event of the protocol a line.
    #[arg(long)]
    json: bool,
    /// Work by lines on a terminal too: what a screen reader can follow.
    #[arg(long)]
    plain: bool,
    /// How many of the latest messages are printed first.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=50))]
    last: u16,
    /// For how long a server that cannot be reached is tried before what is to be sent is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u32,
}

/// Why the chat came to nothing, or to an end.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("there is no room {0}: rooms are named as in their address, such as general")]
    NoRoom(String),
    #[error("you are not a member of {0}: add --join to become one")]
    NotMember(Slug),
    #[error("{0} is closed: it can be read (--follow), but nothing can be said there")]
    Closed(Slug),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Rest(#[from] RestError),
    #[error("what SNUG_TOKEN has is no token")]
    BadToken,
    #[error("the token in SNUG_TOKEN is worth nothing, or nothing any more: log in for a new one")]
    OldToken,
    #[error("SNUG_TOKEN has no token, and there is no terminal to ask for a password at")]
    NoTerminal,
    #[error("without a name there is nobody to log in")]
    NoName,
    #[error("without a password there is no login")]
    NoPassword,
    #[error("your login has ended: log in again{}", left(*.0))]
    LoggedOut(usize),
    #[error("the server speaks version {0} of the protocol, which is newer than this program: install a newer snug")]
    TooOld(u32),
    #[error("{why}; tried for {patience} s{}", left(*.unsent))]
    Unreached { why: String, patience: u32, unsent: usize },
    #[error("stopped{}", left(*.0))]
    Stopped(usize),
    #[error("{} refused", count(*.0, "line"))]
    Refused(usize),
    #[error("the standard input cannot be read: {0}")]
    Input(std::io::Error),
    #[error("the terminal cannot be written to: {0}")]
    Output(std::io::Error),
    #[error("{0}")]
    Parted(String),
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{} {}", if n == 1 { "" } else { "s" }, if n == 1 { "was" } else { "were" })
}

/// What is said of messages that nobody knows about.
fn left(n: usize) -> String {
    match n {
        0 => String::new(),
        1 => "; 1 message may not have arrived".to_owned(),
        n => format!("; {n} messages may not have arrived"),
    }
}

/// Chats until it is over. What went wrong is said in one line, and by the exit code.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    // One thread for the network, so that who reads slowly at the other end of a pipe does not hold up the line.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return stop(&error),
    };
    let outcome = runtime.block_on(chat(options));
    // Who waits for a name to be looked up waits for nobody's sake now.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => stop(&error),
    }
}

fn stop(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("snug: {}", safe::line(&error.to_string()));
    ExitCode::FAILURE
}

async fn chat(options: &Options) -> Result<(), ChatError> {
    let address: Address = options.url.parse()?;
    let room = match &options.room {
        Some(name) => Slug::new(name.trim_start_matches('#')).map_err(|_| ChatError::NoRoom(name.clone()))?,
        None => match address.room.clone() {
            Some(room) => room,
            None => Slug::new(FIRST).map_err(|_| ChatError::NoRoom(FIRST.to_owned()))?,
        },
    };
    let typed = std::io::stdin().is_terminal();
    let whole = typed && std::io::stdout().is_terminal() && !options.plain && !options.json;
    let dialer = Arc::new(Dialer::new(address)?);
    let nobody = Rest::new(Arc::clone(&dialer), None);
    // Who sits there sees that a server is not there, and tries again; a script does not.
    let patience = Duration::from_secs(if typed { 0 } else { options.patience.into() });
    let login = match login::given()? {
        Some(token) => {
            let rest = Rest::new(Arc::clone(&dialer), Some(token.clone()));
            patiently(patience, async || Login::by_token(&rest, token.clone()).await).await?
        }
        None => Login::by_asking(&nobody).await?,
    };
    let rest = Rest::new(Arc::clone(&dialer), Some(login.token.clone()));
    let open = |filling| Session::open(Arc::clone(&dialer), rest.clone(), &login, filling);
    let outcome = async {
        let about = patiently(patience, async || enter(options, &rest, &room).await).await?;
        if whole {
            return screen::run(open(Filling::End), &room).await;
        }
        let follow = options.follow || typed;
        if !about.member {
            return Err(ChatError::NotMember(room.clone()));
        }
        if about.closed && !follow {
            return Err(ChatError::Closed(room.clone()));
        }
        let (stay, json) = (options.follow, options.json);
        let how = plain::How { follow, stay, json, last: options.last.into(), patience: options.patience };
        plain::run(open(Filling::All), &room, &how).await
    };
    let outcome = outcome.await;
    let _late = timeout(FAREWELL, login.end(&rest)).await;
    outcome
}

/// A session at the server of this address, of whoever the token is of, with neither screen nor lines: for who calls
/// [`Session::next`] and [`Session::apply`] by turns. A server that is not there is tried for as long as `patience`.
///
/// # Errors
/// What is wrong with the address or the token, or that the server cannot be reached.
pub async fn connect(url: &str, token: &str, filling: Filling, patience: Duration) -> Result<Session, ChatError> {
    let token = Token::new(token).ok_or(ChatError::BadToken)?;
    let dialer = Arc::new(Dialer::new(url.parse()?)?);
    let rest = Rest::new(Arc::clone(&dialer), Some(token.clone()));
    let login = patiently(patience, async || Login::by_token(&rest, token.clone()).await).await?;
    Ok(Session::open(dialer, rest, &login, filling))
}

/// The room, as it is when one has joined it, if one is to.
async fn enter(options: &Options, rest: &Rest, room: &Slug) -> Result<Room, ChatError> {
    let about = if options.join { rest.join(room).await } else { rest.room(room).await };
    about.map_err(|why| match why {
        why if why.is(&Refusal::NoRoom) => ChatError::NoRoom(room.to_string()),
        why if why.is(&Refusal::Closed) => ChatError::Closed(room.clone()),
        why => why.into(),
    })
}

/// Tries until it works, or what is in the way does not pass, or `patience` is at its end.
async fn patiently<T>(patience: Duration, mut doing: impl AsyncFnMut() -> Result<T, ChatError>) -> Result<T, ChatError> {
    let end = Instant::now() + patience;
    loop {
        match doing().await {
            Err(ChatError::Rest(why)) if why.passes() && Instant::now() + AGAIN < end => sleep(AGAIN).await,
            Err(ChatError::Rest(why)) if why.passes() && !patience.is_zero() => {
                let patience = u32::try_from(patience.as_secs()).unwrap_or(u32::MAX);
                return Err(ChatError::Unreached { why: why.to_string(), patience, unsent: 0 });
            }
            outcome => return outcome,
        }
    }
}
