//! `snug admin`: its flags, its prompts, and what it prints.

use std::io::{IsTerminal, Read};

use clap::Subcommand;
use uuid::Uuid;

use super::direct::Direct;
use super::table::{moment, table};
use super::{Answer, CommandError, Request, socket};
use crate::protocol::PASSWORD_MAX;
use crate::server::chat::AccountItem;
use crate::server::config::Settings;
use crate::server::home::{Home, HomeError, Taken};
use crate::terminal::ask;

/// What to do.
#[derive(Subcommand)]
pub enum Admin {
    /// Make an account; its password is asked for, or read from the standard input.
    CreateUser {
        username: String,
        /// The e-mail address, by which one can log in, too.
        email: String,
        /// Make it an administrator. (The first account is one anyway.)
        #[arg(long)]
        admin: bool,
    },
    /// Set a person's password and end their logins; the password is asked for, or read from the standard input.
    SetPassword {
        /// Username or e-mail address.
        user: String,
    },
    /// Disable an account: its logins end, and nobody can log in to it. What it wrote stays.
    Disable {
        /// Username or e-mail address.
        user: String,
    },
    /// Enable an account again.
    Enable {
        /// Username or e-mail address.
        user: String,
    },
    /// List the accounts.
    Users,
    /// List a person's logins.
    Logins {
        /// Username or e-mail address.
        user: String,
    },
    /// End a login, and its live connections.
    EndLogin {
        /// Its id, as `logins` lists it.
        login: Uuid,
    },
    /// End all logins of a person.
    EndLogins {
        /// Username or e-mail address.
        user: String,
    },
    /// Close a room: it takes no more messages, and can be read.
    CloseRoom {
        /// As in the room's address.
        room: String,
    },
    /// Open a room again.
    ReopenRoom {
        /// As in the room's address.
        room: String,
    },
}

/// How the database is reached. With SQLite's the lock is held until the end.
enum Reached {
    Server(Home),
    Direct(Box<Direct>, Option<Taken>),
}

impl Reached {
    async fn by(settings: &Settings, new: bool) -> Result<Self, CommandError> {
        let Some(home) = Home::of(settings) else { return Ok(Self::Direct(Box::new(Direct::open(settings, new).await?), None)) };
        if socket::connect(&home.socket)?.is_some() {
            return Ok(Self::Server(home));
        }
        if !new && !home.database.exists() {
            return Err(CommandError::NoDatabase(home.database.display().to_string()));
        }
        let taken = home.take().map_err(|error| match error {
            HomeError::InUse { path } => CommandError::NoAnswer { folder: path.display().to_string() },
            error => error.into(),
        })?;
        Ok(Self::Direct(Box::new(Direct::open(settings, new).await?), Some(taken)))
    }

    async fn ask(&self, request: Request) -> Result<Answer, CommandError> {
        match self {
            Self::Server(home) => {
                let gone = || CommandError::NoAnswer { folder: home.folder.display().to_string() };
                let line = socket::connect(&home.socket)?.ok_or_else(gone)?;
                socket::ask(line, &request)
            }
            Self::Direct(direct, _) => direct.ask(request).await,
        }
    }

    async fn close(self) {
        if let Self::Direct(direct, _taken) = self {
            direct.close().await;
        }
    }
}

/// Does what is asked, and returns what to print: for people, or as `json`.
///
/// # Errors
/// [`CommandError`], one line.
pub async fn run(settings: &Settings, command: Admin, json: bool) -> Result<String, CommandError> {
    // Asked for before anything is opened: nobody waits for someone who types.
    let password = match &command {
        Admin::CreateUser { .. } | Admin::SetPassword { .. } => password()?,
        _ => String::new(),
    };
    let reached = Reached::by(settings, matches!(command, Admin::CreateUser { .. })).await?;
    let said = say(&reached, command, password, json).await;
    reached.close().await;
    said
}

async fn say(reached: &Reached, command: Admin, password: String, json: bool) -> Result<String, CommandError> {
    let (request, done) = match command {
        Admin::Users => return users(reached, json).await,
        Admin::CreateUser { username, email, admin } => {
            let done = format!("{username} has an account");
            (Request::CreateUser { username, email, password, admin }, done)
        }
        Admin::SetPassword { user } => {
            let done = format!("{user} has a new password");
            (Request::SetPassword { user, password }, done)
        }
        Admin::Disable { user } => (Request::Disable { user: user.clone() }, format!("{user} is disabled")),
        Admin::Enable { user } => (Request::Enable { user: user.clone() }, format!("{user} is enabled")),
        Admin::Logins { user } => (Request::Logins { user }, String::new()),
        Admin::EndLogin { login } => (Request::EndLogin { login }, String::new()),
        Admin::EndLogins { user } => (Request::EndLogins { user }, String::new()),
        Admin::CloseRoom { room } => (Request::CloseRoom { room: room.clone() }, format!("{room} is closed")),
        Admin::ReopenRoom { room } => (Request::ReopenRoom { room: room.clone() }, format!("{room} is open")),
    };
    Ok(match reached.ask(request).await? {
        Answer::Done if json => "{}\n".to_owned(),
        Answer::Ended(logins) if json => line(&serde_json::json!({ "ended": logins })),
        Answer::Logins(logins) if json => line(&logins),
        Answer::Done => format!("{done}\n"),
        Answer::Ended(logins) => {
            let ended = format!("{logins} {} ended", if logins == 1 { "login" } else { "logins" });
            if done.is_empty() { format!("{ended}\n") } else { format!("{done}; {ended}\n") }
        }
        Answer::Logins(logins) => {
            let rows: Vec<_> = logins
                .into_iter()
                .map(|login| {
                    let (made, used) = (moment(Some(login.created_at)), moment(Some(login.seen_at)));
                    [login.id.to_string(), made, used, login.address, login.program]
                })
                .collect();
            table(["login", "since (UTC)", "used (UTC)", "from", "with"], &rows)
        }
        Answer::Users(_) => return Err(CommandError::OtherVersion),
    })
}

async fn users(reached: &Reached, json: bool) -> Result<String, CommandError> {
    let mut accounts: Vec<AccountItem> = Vec::new();
    let mut after = None;
    loop {
        let Answer::Users(page) = reached.ask(Request::Users { after }).await? else { return Err(CommandError::OtherVersion) };
        accounts.extend(page.accounts);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        return Ok(line(&accounts));
    }
    let rows: Vec<_> = accounts
        .into_iter()
        .map(|account| {
            let is = match (account.disabled_at, account.admin) {
                (Some(_), _) => "disabled",
                (None, true) => "administrator",
                (None, false) => "",
            };
            let (since, seen) = (moment(Some(account.created_at)), moment(account.seen_at));
            [account.user, account.email, is.to_owned(), since, seen, account.logins.to_string()]
        })
        .collect();
    Ok(table(["user", "e-mail", "is", "since (UTC)", "seen (UTC)", "logins"], &rows))
}

fn line(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("these have string keys and no failing serializer");
    text.push('\n');
    text
}

/// A new password: asked for twice at a terminal, or the first line of the standard input. Never an argument, which others see.
fn password() -> Result<String, CommandError> {
    if std::io::stdin().is_terminal() {
        let ask = |prompt| ask::secret(prompt).map_err(CommandError::Terminal);
        let password = ask("Password: ")?;
        return if ask("Once more: ")? == password { Ok(password) } else { Err(CommandError::TwoPasswords) };
    }
    let most = u64::try_from(PASSWORD_MAX).unwrap_or(u64::MAX) + 16;
    let mut text = String::new();
    std::io::stdin().take(most).read_to_string(&mut text).map_err(CommandError::Terminal)?;
    text.lines().next().filter(|line| !line.is_empty()).map(str::to_owned).ok_or(CommandError::NoPassword)
}
