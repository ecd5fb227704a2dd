//! What whoever runs the server may do: what no person may, by the same rules otherwise.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::accounts::in_use_since;
use super::writer::{Closer, Write};
use super::{Chat, fault, names, now, passwords, slug};
use crate::protocol::{LoginItem, Micros, Refusal};
use crate::server::store::LoginId;
use crate::server::store::accounts::{AccountRow, Credentials};

/// Accounts in one answer.
const ACCOUNTS: u32 = 500;

/// Why something is not done for an operator; each is one line.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error("there is no account with the name {0}")]
    NoAccount(String),
    #[error("there is no login {0} that has not ended")]
    NoLogin(Uuid),
    #[error("there is no room {0}; rooms are named as in their address")]
    NoRoom(String),
    #[error("{0} is there from the start, and such rooms stay open")]
    FirstRoom(String),
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// An account, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountItem {
    pub user: String,
    pub email: String,
    pub admin: bool,
    pub created_at: Micros,
    /// Since when it is disabled.
    pub disabled_at: Option<Micros>,
    /// When one of its logins was used last, about.
    pub seen_at: Option<Micros>,
    /// How many logins it has.
    pub logins: u32,
}

/// Some of the accounts, by username.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountItems {
    pub accounts: Vec<AccountItem>,
    /// There are more: ask for those after this.
    pub next: Option<String>,
}

/// The operator as the one who acts.
#[derive(Clone, Copy, Debug)]
pub struct Operator<'c>(&'c Chat);

impl Chat {
    /// Acts as the operator. Only what the operating system says is theirs leads here: the data folder, or the database's own
    /// password.
    #[must_use]
    pub fn as_operator(&self) -> Operator<'_> {
        Operator(self)
    }
}

impl Operator<'_> {
    async fn account(&self, name: &str) -> Result<Credentials, OperatorError> {
        let found = self.0.store().credentials(&names::account_key(name)).await.map_err(fault)?;
        found.ok_or_else(|| OperatorError::NoAccount(name.to_owned()))
    }

    /// Makes an account, as who signs up does; an administrator if it is `admin`, or the first.
    ///
    /// # Errors
    /// What [`Chat::sign_up`] refuses.
    pub async fn create_account(&self, email: &str, username: &str, password: &str, admin: bool) -> Result<(), OperatorError> {
        self.0.add_account(email, username, password, admin, None).await?;
        tracing::info!(username, admin, "the operator made an account");
        Ok(())
    }

    /// Sets a person's password, and ends all of their logins; returns how many those were.
    ///
    /// # Errors
    /// [`OperatorError::NoAccount`], or what [`Chat::sign_up`] refuses of passwords.
    pub async fn set_password(&self, name: &str, password: &str) -> Result<usize, OperatorError> {
        let account = self.account(name).await?;
        let local_part = account.email.split('@').next().unwrap_or_default();
        passwords::acceptable(password, &[&account.username, &account.email, local_part])?;
        let hash = self.0.0.passwords.hash(password).await?;
        let ended = self.0.store().set_password(account.account_id, &hash, now()).await.map_err(fault)?;
        self.0.close_logins(&ended);
        tracing::info!(username = account.username, ended = ended.len(), "the operator set a password");
        Ok(ended.len())
    }

    /// Disables an account: its logins end, with their connections, and nobody can log in to it; a login is refused as one with a
    /// wrong password is. What it wrote stays. Returns how many logins ended.
    ///
    /// # Errors
    /// [`OperatorError::NoAccount`], or a fault.
    pub async fn disable(&self, name: &str) -> Result<usize, OperatorError> {
        self.set_disabled(name, true).await
    }

    /// Enables an account that was disabled.
    ///
    /// # Errors
    /// [`OperatorError::NoAccount`], or a fault.
    pub async fn enable(&self, name: &str) -> Result<(), OperatorError> {
        self.set_disabled(name, false).await.map(|_| ())
    }

    async fn set_disabled(&self, name: &str, disabled: bool) -> Result<usize, OperatorError> {
        let account = self.account(name).await?;
        let ended = self.0.store().set_disabled(account.account_id, disabled, now()).await.map_err(fault)?;
        self.0.close_logins(&ended);
        tracing::info!(username = account.username, disabled, ended = ended.len(), "the operator changed an account");
        Ok(ended.len())
    }

    /// Accounts by username: the first [`ACCOUNTS`] after `after`, which is what the last answer named.
    ///
    /// # Errors
    /// A fault.
    pub async fn accounts(&self, after: Option<&str>) -> Result<AccountItems, OperatorError> {
        let rows = self.0.store().accounts(after.unwrap_or_default(), in_use_since(), ACCOUNTS.into()).await.map_err(fault)?;
        let full = rows.len() >= usize::try_from(ACCOUNTS).unwrap_or(usize::MAX);
        let next = rows.last().filter(|_| full).map(|row| row.username_key.clone());
        let item = |row: AccountRow| AccountItem {
            user: row.username,
            email: row.email,
            admin: row.admin,
            created_at: Micros(row.created_at),
            disabled_at: row.disabled_at.map(Micros),
            seen_at: row.seen_at.map(Micros),
            logins: u32::try_from(row.logins).unwrap_or(u32::MAX),
        };
        Ok(AccountItems { accounts: rows.into_iter().map(item).collect(), next })
    }

    /// A person's logins that have not ended, the latest used first; 100 at most.
    ///
    /// # Errors
    /// [`OperatorError::NoAccount`], or a fault.
    pub async fn logins(&self, name: &str) -> Result<Vec<LoginItem>, OperatorError> {
        let account = self.account(name).await?;
        Ok(self.0.logins_of(account.account_id, None).await?)
    }

    /// Ends a login, and its connections.
    ///
    /// # Errors
    /// [`OperatorError::NoLogin`], or a fault.
    pub async fn end_login(&self, login: Uuid) -> Result<(), OperatorError> {
        let ended = self.0.store().end_login(None, LoginId(login), now()).await.map_err(fault)?;
        self.0.close_logins(ended.as_slice());
        ended.map(|_| ()).ok_or(OperatorError::NoLogin(login))
    }

    /// Ends all logins of a person, and their connections; returns how many those were.
    ///
    /// # Errors
    /// [`OperatorError::NoAccount`], or a fault.
    pub async fn end_logins(&self, name: &str) -> Result<usize, OperatorError> {
        let account = self.account(name).await?;
        let ended = self.0.store().end_logins(account.account_id, now()).await.map_err(fault)?;
        self.0.close_logins(&ended);
        Ok(ended.len())
    }

    /// Closes a room, or opens it again: any but the first ones. One that is so already stays so.
    ///
    /// # Errors
    /// [`OperatorError::NoRoom`], [`OperatorError::FirstRoom`], or a fault.
    pub async fn set_closed(&self, room: &str, closed: bool) -> Result<(), OperatorError> {
        let told = |why| match why {
            Refusal::NoRoom => OperatorError::NoRoom(room.to_owned()),
            Refusal::NotAllowed => OperatorError::FirstRoom(room.to_owned()),
            why => OperatorError::Refused(why),
        };
        let slug = slug(room).map_err(told)?;
        let write = self.0.write(|answer| Write::SetClosed { room: slug, closed, by: Closer::Operator, answer });
        write.await.map_err(told)
    }
}
