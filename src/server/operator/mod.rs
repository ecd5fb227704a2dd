//! What an operator asks for from the command line (`snug admin`, `snug backup` and what belongs to it), and how it reaches the
//! database: by the socket of the server
//! that runs, or, where none does, by opening the database itself.
//!
//! SQLite has one writer, so the server that has the data folder does what is asked. PostgreSQL takes several processes: there
//! the command acts itself, and the servers hear of it by [`notices`](super::store::notices).

mod backup;
mod command;
mod direct;
pub mod socket;
mod table;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::backup::BackupError;
pub use self::backup::{backup, new_epoch, restore};
pub use self::command::{Admin, run};
use super::chat::{AccountItems, Operator, OperatorError};
use super::home::HomeError;
use super::store::StoreError;
use crate::protocol::LoginItem;

/// What is asked. (No `Debug`: passwords are in it.)
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    CreateUser { username: String, email: String, password: String, admin: bool },
    SetPassword { user: String, password: String },
    Disable { user: String },
    Enable { user: String },
    Users { after: Option<String> },
    Logins { user: String },
    EndLogin { login: Uuid },
    EndLogins { user: String },
    CloseRoom { room: String },
    ReopenRoom { room: String },
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    /// Done, and so many logins have ended by it.
    Ended(usize),
    Users(AccountItems),
    Logins(Vec<LoginItem>),
}

/// Why a command failed; each is one line.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(
        "{folder} is in use by a snug server that does not answer operators: it is starting or stopping, or its log says why"
    )]
    NoAnswer { folder: String },
    #[error("{socket} is for the user that runs the server: run this as that user")]
    NotYours { socket: String },
    #[error("the server does not answer: {0}")]
    Broken(std::io::Error),
    #[error("the server that runs is of another version, and does not know this")]
    OtherVersion,
    #[error("there is no database at {0}: name its folder with --data, or start the server once")]
    NoDatabase(String),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Refused(#[from] OperatorError),
    /// What the server that runs said.
    #[error("{0}")]
    Told(String),
    #[error("no password came by the standard input")]
    NoPassword,
    #[error("the two passwords are not the same")]
    TwoPasswords,
    #[error("the terminal cannot be used: {0}")]
    Terminal(std::io::Error),
}

/// Does what is asked.
async fn act(operator: Operator<'_>, request: Request) -> Result<Answer, OperatorError> {
    Ok(match request {
        Request::CreateUser { username, email, password, admin } => {
            operator.create_account(&email, &username, &password, admin).await?;
            Answer::Done
        }
        Request::SetPassword { user, password } => Answer::Ended(operator.set_password(&user, &password).await?),
        Request::Disable { user } => Answer::Ended(operator.disable(&user).await?),
        Request::Enable { user } => {
            operator.enable(&user).await?;
            Answer::Done
        }
        Request::Users { after } => Answer::Users(operator.accounts(after.as_deref()).await?),
        Request::Logins { user } => Answer::Logins(operator.logins(&user).await?),
        Request::EndLogin { login } => {
            operator.end_login(login).await?;
            Answer::Ended(1)
        }
        Request::EndLogins { user } => Answer::Ended(operator.end_logins(&user).await?),
        Request::CloseRoom { room } => {
            operator.set_closed(&room, true).await?;
            Answer::Done
        }
        Request::ReopenRoom { room } => {
            operator.set_closed(&room, false).await?;
            Answer::Done
        }
    })
}
