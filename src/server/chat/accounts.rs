//! Signing up, logging in, and one's logins.

use std::net::IpAddr;

use uuid::Uuid;

use super::passwords::{self, Verdict};
use super::programs::program;
use super::throttle::Source;
use super::tokens::TOKEN_LASTS;
use super::writer::{Newcomer, Write};
use super::{Actor, Chat, fault, filled, names, now};
use crate::protocol::{Field, LoginItem, Micros, PASSWORD_MAX, Refusal};
use crate::server::live::Closing;
use crate::server::store::accounts::{Credentials, NewAccount, NewLogin};
use crate::server::store::{AccountId, LoginId, UserId};

/// Days after which a login that was not used is over: as long as its session slides.
pub const LOGIN_DAYS: i64 = 30;

/// The same in microseconds.
pub(super) const UNUSED: i64 = LOGIN_DAYS * 24 * 3600 * 1_000_000;

/// Bytes of what someone calls themselves at a login that are looked at: no account's name or address has as many.
const NAME_LOOKED_AT: usize = 1024;

/// Microseconds since a login was last noted as used until it is noted again: not every request is a write.
pub const TOUCH_AFTER: i64 = 3_600_000_000;

/// From where a login is made, and for what.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Made for a program, which gets a token for it; then it is over after 24 hours. Otherwise it lasts while its session does.
    pub program: bool,
    pub address: IpAddr,
    /// The `User-Agent`, cut to 200 characters.
    pub agent: String,
}

/// Logins that were last used before this are over.
pub(super) fn in_use_since() -> Micros {
    Micros(now().0 - UNUSED)
}

impl Chat {
    /// Makes an account, a member of the newcomers' room, and logs it in. The first account is the administrator.
    ///
    /// # Errors
    /// A refusal that names its field; [`Refusal::TooFast`]; [`Refusal::Busy`]; or a fault.
    pub async fn sign_up(&self, email: &str, username: &str, password: &str, from: &Origin) -> Result<LoginId, Refusal> {
        let account = self.add_account(email, username, password, false, Some(from)).await?;
        // Nobody else knows of it yet.
        self.start_login(account, None, from).await?.ok_or(Refusal::WrongPassword)
    }

    /// Makes an account, a member of the newcomers' room; an administrator if it is `admin`, or the first. What comes `from`
    /// somewhere is throttled, and what the operator does is not.
    ///
    /// # Errors
    /// As [`Chat::sign_up`].
    pub(super) async fn add_account(
        &self,
        email: &str,
        username: &str,
        password: &str,
        admin: bool,
        from: Option<&Origin>,
    ) -> Result<AccountId, Refusal> {
        let email = names::email(email)?;
        let username = names::username(username)?;
        let local_part = email.split('@').next().unwrap_or_default();
        passwords::acceptable(password, &[&username, &email, local_part])?;
        // Only what is well-formed counts: whoever mistypes is told so as often as they like.
        from.map_or(Ok(()), |from| self.0.throttles.sign_up(from.address))?;
        let password_hash = self.0.passwords.hash(password).await?;
        let account = NewAccount {
            account_id: AccountId::fresh(),
            user_id: UserId::fresh(),
            email_key: names::email_key(&email),
            email,
            username_key: names::username_key(&username),
            username,
            password_hash,
            admin,
            at: now(),
        };
        let id = account.account_id;
        self.write(|answer| Write::SignUp(Box::new(Newcomer { account }), answer)).await?;
        Ok(id)
    }

    /// Logs in with an e-mail address or a username. An unknown name costs and answers the same as a wrong password, and one that
    /// was tried too often the same as any other such.
    ///
    /// # Errors
    /// [`Refusal::WrongPassword`], [`Refusal::TooFast`], [`Refusal::Busy`], or a fault.
    pub async fn log_in(&self, name: &str, password: &str, from: &Origin) -> Result<LoginId, Refusal> {
        filled(name, Field::Username)?;
        filled(password, Field::Password)?;
        let outcome = self.try_log_in(name, password, from).await;
        match &outcome {
            Ok(_) => self.metrics().logins.inc(),
            Err(Refusal::WrongPassword) => {
                self.metrics().refused_logins.inc();
                tracing::info!(address = %from.address, "a login was refused");
            }
            // Not one line for each: whoever comes this fast would fill the log.
            Err(Refusal::TooFast { .. }) => self.metrics().refused_logins.inc(),
            Err(_) => {}
        }
        outcome
    }

    async fn try_log_in(&self, name: &str, password: &str, from: &Origin) -> Result<LoginId, Refusal> {
        let key = names::account_key(&name[..name.floor_char_boundary(NAME_LOOKED_AT)]);
        let attempt = self.0.throttles.log_in(&key, from.address)?;
        match self.log_in_by(&key, password, attempt.is_beyond(), from).await {
            Ok(Some(login)) => {
                attempt.right();
                Ok(login)
            }
            Ok(None) => Err(attempt.beyond().unwrap_or(Refusal::WrongPassword)),
            Err(why) => {
                attempt.cancel();
                Err(why)
            }
        }
    }

    /// Starts a login if the password is right, and, where `only_known`, comes from an address from which the account has logged in.
    async fn log_in_by(&self, key: &str, password: &str, only_known: bool, from: &Origin) -> Result<Option<LoginId>, Refusal> {
        // A second look where the password was hashed anew, by another login of the same moment, or set to another.
        for _ in 0..2 {
            let (found, verdict) = self.check_password(key, password).await?;
            // Looked up whether the password is right or not, and whether there is such an account or not.
            let account = found.as_ref().map_or(AccountId(Uuid::nil()), |found| found.account_id);
            let may = !only_known || self.has_logged_in_from(account, from.address).await?;
            let right = |found: &Credentials| verdict != Verdict::Wrong && !found.disabled && password.len() <= PASSWORD_MAX;
            let Some(found) = found.filter(|found| may && right(found)) else { return Ok(None) };
            let Some(login) = self.start_login(found.account_id, Some(&found.password_hash), from).await? else { continue };
            if let Verdict::Rehashed(hash) = verdict
                && let Err(error) = self.store().upgrade_password(found.account_id, &found.password_hash, &hash).await
            {
                tracing::warn!(%error, "a password stays hashed with older parameters");
            }
            return Ok(Some(login));
        }
        Ok(None)
    }

    async fn check_password(&self, key: &str, password: &str) -> Result<(Option<Credentials>, Verdict), Refusal> {
        let found = self.store().credentials(key).await.map_err(fault)?;
        let verdict = self.0.passwords.check(password, found.as_ref().map(|f| f.password_hash.as_str())).await?;
        Ok((found, verdict))
    }

    /// Whether the account has had a login from there, ended or not.
    async fn has_logged_in_from(&self, account: AccountId, address: IpAddr) -> Result<bool, Refusal> {
        let known = self.store().login_addresses(account).await.map_err(fault)?;
        let source = Source::from(address);
        Ok(known.iter().filter_map(|known| known.parse::<IpAddr>().ok()).any(|known| Source::from(known) == source))
    }

    /// Starts a login, of who knows the password that this hash is of, where there is one; none when that is not the account's any more,
    /// or it was disabled.
    async fn start_login(&self, account: AccountId, checked: Option<&str>, from: &Origin) -> Result<Option<LoginId>, Refusal> {
        let login = LoginId(Uuid::new_v4());
        let at = now();
        // Whole seconds, as tokens count.
        let until = from.program.then(|| Micros((at.0 + TOKEN_LASTS) / 1_000_000 * 1_000_000));
        let address = from.address.to_string();
        let new = NewLogin { id: login, account, address: &address, agent: &from.agent, at, until, checked };
        Ok(self.store().add_login(&new).await.map_err(fault)?.then_some(login))
    }

    /// Ends the login that acts.
    ///
    /// # Errors
    /// A fault.
    pub async fn log_out(&self, actor: &Actor) -> Result<(), Refusal> {
        self.end_login(actor, actor.login.0).await
    }

    /// Ends one of one's own logins, and its connections. One that has ended already, or is another's, is passed over.
    ///
    /// # Errors
    /// A fault.
    pub async fn end_login(&self, actor: &Actor, login: Uuid) -> Result<(), Refusal> {
        let login = LoginId(login);
        let ended = self.store().end_login(Some(actor.account), login, now()).await.map_err(fault)?;
        self.close_logins(ended.as_slice());
        Ok(())
    }

    /// Ends the connections of logins that have ended.
    pub(super) fn close_logins(&self, ended: &[LoginId]) {
        ended.iter().for_each(|login| self.hub().close_login(*login, Closing::LoginEnded));
    }

    /// Changes the password and ends every other login of the account.
    ///
    /// # Errors
    /// [`Refusal::WrongCurrentPassword`], [`Refusal::TooFast`], what [`Chat::sign_up`] refuses of passwords, [`Refusal::Busy`], or
    /// a fault.
    pub async fn change_password(&self, actor: &Actor, current: &str, new: &str) -> Result<(), Refusal> {
        filled(current, Field::CurrentPassword)?;
        passwords::acceptable(new, &[&actor.person.user])?;
        let hash = self.store().password_hash(actor.account).await.map_err(fault)?;
        // Whoever found someone's browser open may not guess, either.
        self.0.throttles.confirm(actor.account)?;
        match self.0.passwords.check(current, hash.as_deref()).await {
            Ok(Verdict::Wrong) => return Err(Refusal::WrongCurrentPassword),
            Ok(_) => self.0.throttles.confirmed(actor.account),
            Err(why) => {
                self.0.throttles.cancel_confirm(actor.account);
                return Err(why);
            }
        }
        let new = self.0.passwords.hash(new).await?;
        // Set anew meanwhile, from elsewhere: what was given is not the present one any more.
        let hashes = [hash.as_deref().unwrap_or_default(), &new];
        let changed = self.store().change_password(actor.account, actor.login, hashes, now()).await.map_err(fault)?;
        self.close_logins(&changed.ok_or(Refusal::WrongCurrentPassword)?);
        Ok(())
    }

    /// One's own logins that have not ended, the latest used first.
    ///
    /// # Errors
    /// A fault.
    pub async fn list_logins(&self, actor: &Actor) -> Result<Vec<LoginItem>, Refusal> {
        self.logins_of(actor.account, Some(actor.login)).await
    }

    /// The logins of an account that have not ended, the latest used first; `current` is the one that asks.
    pub(super) async fn logins_of(&self, account: AccountId, current: Option<LoginId>) -> Result<Vec<LoginItem>, Refusal> {
        let at = now();
        let rows = self.store().logins(account, in_use_since(), at).await.map_err(fault)?;
        let item = |row: crate::server::store::accounts::LoginRow| LoginItem {
            current: current == Some(LoginId(row.id)),
            id: row.id,
            created_at: Micros(row.created_at),
            seen_at: Micros(row.seen_at),
            address: row.address,
            program: program(&row.agent),
            agent: row.agent,
        };
        Ok(rows.into_iter().map(item).collect())
    }

    /// Notes that a login was used.
    ///
    /// # Errors
    /// A fault.
    pub async fn touch_login(&self, login: LoginId) -> Result<(), Refusal> {
        self.store().touch_login(login, now()).await.map_err(fault)
    }
}
