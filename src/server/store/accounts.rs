//! Accounts (how one logs in), users (who one is) and logins (what a request stands on).

use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use super::notices::{self, Notice};
use super::{AccountId, Conn, Either, LoginId, Store, StoreError, UserId, query, row};
use crate::protocol::Micros;

row! {
    /// A person as the database knows them.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct UserRow {
        pub user_id: UserId,
        pub account_id: AccountId,
        pub username: String,
        pub display_name: String,
        pub admin: bool,
        /// When the login by which they were found was last seen, and when it is over by itself.
        pub seen_at: i64,
        pub until_at: Option<i64>,
    }
}

row! {
    /// What is needed to check a password.
    #[derive(Clone, Debug)]
    pub struct Credentials {
        pub account_id: AccountId,
        pub user_id: UserId,
        pub username: String,
        pub email: String,
        pub password_hash: String,
        pub disabled: bool,
    }
}

row! {
    /// A login that has not ended.
    #[derive(Clone, Debug)]
    pub struct LoginRow {
        pub id: Uuid,
        pub created_at: i64,
        pub seen_at: i64,
        pub address: String,
        pub agent: String,
    }
}

/// A login to start.
#[derive(Clone, Copy, Debug)]
pub struct NewLogin<'a> {
    pub id: LoginId,
    pub account: AccountId,
    pub address: &'a str,
    pub agent: &'a str,
    pub at: Micros,
    /// When it is over by itself; none for that of a session.
    pub until: Option<Micros>,
    /// The password hash that the password was checked against, if one was: the login is for who knows the password now.
    pub checked: Option<&'a str>,
}

/// A new account with its user.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub account_id: AccountId,
    pub user_id: UserId,
    pub email: String,
    pub email_key: String,
    pub username: String,
    pub username_key: String,
    /// A PHC string.
    pub password_hash: String,
    /// An administrator, whether or not it is the first.
    pub admin: bool,
    pub at: Micros,
}

row! {
    /// An account as the operator's list has it.
    #[derive(Clone, Debug)]
    pub struct AccountRow {
        pub username: String,
        pub username_key: String,
        pub email: String,
        pub admin: bool,
        pub created_at: i64,
        pub disabled_at: Option<i64>,
        /// When one of its logins that are in use was used last.
        pub seen_at: Option<i64>,
        /// How many those are.
        pub logins: i64,
    }
}

/// Ends the logins of an account but `keep`, leaves word of it, and returns them.
async fn end_logins(
    conn: &mut Conn<'_>,
    account: AccountId,
    keep: Option<LoginId>,
    at: Micros,
) -> Result<Vec<LoginId>, StoreError> {
    let ended: Vec<LoginId> =
        query("UPDATE logins SET ended_at = $3 WHERE account_id = $1 AND id <> $2 AND ended_at IS NULL RETURNING id")
            .bind(account)
            .bind(keep.unwrap_or(LoginId(Uuid::nil())))
            .bind(at.0)
            .all(conn)
            .await?;
    let word: Vec<_> = ended.iter().copied().map(Notice::LoginEnded).collect();
    notices::leave(conn, &word, at).await?;
    Ok(ended)
}

/// Adds an account and its user. The first one of a database is an administrator.
///
/// # Errors
/// Also when the e-mail address (`accounts.email_key`) or username (`users.username_key`) is taken.
pub async fn add(conn: &mut Conn<'_>, new: &NewAccount) -> Result<(), StoreError> {
    // A lock on the one row of `server`, so that two newcomers are not both the first, and see each other's names.
    query("UPDATE server SET one = 1 WHERE one = 1").execute(conn).await?;
    query(
        "INSERT INTO accounts (id, email, email_key, password_hash, admin, created_at)
         VALUES ($1, $2, $3, $4, $5 OR NOT EXISTS (SELECT 1 FROM accounts), $6)",
    )
    .bind(new.account_id)
    .bind(&new.email)
    .bind(&new.email_key)
    .bind(&new.password_hash)
    .bind(new.admin)
    .bind(new.at.0)
    .execute(conn)
    .await?;
    query(
        "INSERT INTO users (id, account_id, username, username_key, username_shape, display_name, created_at)
         VALUES ($1, $2, $3, $4, $5, $3, $6)",
    )
    .bind(new.user_id)
    .bind(new.account_id)
    .bind(&new.username)
    .bind(&new.username_key)
    .bind(username_shape(&new.username))
    .bind(new.at.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// What a username looks like as it was typed: its skeleton (Unicode's UTS 39, section 4), without case. Its key loses the case first,
/// and with it what only capitals look like: "Ian" has the key of "ian", and the shape of "lan".
fn username_shape(name: &str) -> String {
    let typed: String = name.nfkc().collect();
    let folded: String = unicode_security::skeleton(&typed).flat_map(char::to_lowercase).collect();
    // What became of a capital may look like something else in its turn.
    unicode_security::skeleton(&folded).collect()
}

/// Whether a user who was just added looks like someone else: by the key or the shape of the one, and the key or the shape of the
/// other. It holds until the transaction ends, by the lock that [`add`] took.
///
/// # Errors
/// When the database fails.
pub async fn has_look_alike(conn: &mut Conn<'_>, new: &NewAccount) -> Result<bool, StoreError> {
    // Each by its index, as in `credentials`.
    query(
        "SELECT EXISTS (SELECT 1 FROM users WHERE username_key IN ($1, $2) AND id <> $3
                        UNION ALL SELECT 1 FROM users WHERE username_shape IN ($1, $2) AND id <> $3)",
    )
    .bind(&new.username_key)
    .bind(username_shape(&new.username))
    .bind(new.user_id)
    .one(conn)
    .await
}

/// Gives users from before there were shapes one each.
///
/// # Errors
/// When the database fails.
pub(super) async fn add_shapes(conn: &mut Conn<'_>) -> Result<(), StoreError> {
    match conn {
        Either::Sqlite(_) => {
            let without: Vec<(UserId, String)> =
                query("SELECT id, username FROM users WHERE username_shape IS NULL").all(conn).await?;
            for (id, name) in without {
                let shape = username_shape(&name);
                query("UPDATE users SET username_shape = $2 WHERE id = $1").bind(id).bind(shape).execute(conn).await?;
            }
        }
        // Who has many users waits for two trips, not for one each. Locked in one order: servers may start at the same moment.
        Either::Postgres(conn) => {
            let without: Vec<(Uuid, String)> =
                sqlx::query_as("SELECT id, username FROM users WHERE username_shape IS NULL ORDER BY id FOR NO KEY UPDATE")
                    .fetch_all(&mut **conn)
                    .await?;
            if without.is_empty() {
                return Ok(());
            }
            let (ids, names): (Vec<_>, Vec<_>) = without.into_iter().unzip();
            sqlx::query(
                "UPDATE users SET username_shape = s.shape FROM unnest($1::uuid[], $2::text[]) AS s(id, shape) WHERE users.id = s.id",
            )
            .bind(ids)
            .bind(names.iter().map(|name| username_shape(name)).collect::<Vec<_>>())
            .execute(&mut **conn)
            .await?;
        }
    }
    Ok(())
}

impl Store {
    /// The account with this e-mail address or this username, both as keys (without case).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn credentials(&self, key: &str) -> Result<Option<Credentials>, StoreError> {
        // Each by its index: one condition with an OR goes through everyone.
        let found = query(
            "SELECT a.id AS account_id, u.id AS user_id, u.username, a.email, a.password_hash, a.disabled_at IS NOT NULL AS disabled
             FROM accounts a JOIN users u ON u.account_id = a.id
             WHERE a.id IN (SELECT id FROM accounts WHERE email_key = $1 UNION ALL SELECT account_id FROM users WHERE username_key = $1)",
        )
        .bind(key)
        .optional(&mut self.reader().await?.conn())
        .await?;
        Ok(found)
    }

    /// The password hash of an account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn password_hash(&self, account: AccountId) -> Result<Option<String>, StoreError> {
        let found = query("SELECT password_hash FROM accounts WHERE id = $1")
            .bind(account)
            .optional(&mut self.reader().await?.conn())
            .await?;
        Ok(found)
    }

    /// Sets a password hash and ends all of the account's logins, which are returned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_password(&self, account: AccountId, hash: &str, at: Micros) -> Result<Vec<LoginId>, StoreError> {
        let mut tx = self.write().await?;
        let conn = &mut tx.conn();
        query("UPDATE accounts SET password_hash = $2 WHERE id = $1").bind(account).bind(hash).execute(conn).await?;
        let ended = end_logins(conn, account, None, at).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// As [`Store::set_password`], but by the login `by`, which goes on, and in place of the hash `old`. None, and nothing is changed,
    /// when the account has another hash by now, or the login has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_password(
        &self,
        account: AccountId,
        by: LoginId,
        [old, new]: [&str; 2],
        at: Micros,
    ) -> Result<Option<Vec<LoginId>>, StoreError> {
        let mut tx = self.write().await?;
        let conn = &mut tx.conn();
        let changed = query(
            "UPDATE accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2
               AND EXISTS (SELECT 1 FROM logins WHERE id = $4 AND account_id = $1 AND ended_at IS NULL)",
        )
        .bind(account)
        .bind(old)
        .bind(new)
        .bind(by)
        .execute(conn)
        .await?;
        if changed == 0 {
            return Ok(None);
        }
        let ended = end_logins(conn, account, Some(by), at).await?;
        tx.commit().await?;
        Ok(Some(ended))
    }

    /// Disables an account and ends its logins, which are returned; or enables it again. One that is so already stays so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_disabled(&self, account: AccountId, disabled: bool, at: Micros) -> Result<Vec<LoginId>, StoreError> {
        let mut tx = self.write().await?;
        let conn = &mut tx.conn();
        query("UPDATE accounts SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, $3) ELSE NULL END WHERE id = $1")
            .bind(account)
            .bind(disabled)
            .bind(at.0)
            .execute(conn)
            .await?;
        let ended = if disabled { end_logins(conn, account, None, at).await? } else { Vec::new() };
        tx.commit().await?;
        Ok(ended)
    }

    /// Ends every login of an account, and returns them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_logins(&self, account: AccountId, at: Micros) -> Result<Vec<LoginId>, StoreError> {
        let mut tx = self.write().await?;
        let ended = end_logins(&mut tx.conn(), account, None, at).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Accounts in the order of their username's key, after the key `after`, up to `limit` of them. Logins count that were used
    /// since `since`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts(&self, after: &str, since: Micros, limit: i64) -> Result<Vec<AccountRow>, StoreError> {
        let found = query(
            "SELECT u.username, u.username_key, a.email, a.admin, a.created_at, a.disabled_at,
                    (SELECT max(l.seen_at) FROM logins l
                     WHERE l.account_id = a.id AND l.ended_at IS NULL AND l.seen_at >= $2) AS seen_at,
                    (SELECT count(*) FROM logins l WHERE l.account_id = a.id AND l.ended_at IS NULL AND l.seen_at >= $2) AS logins
             FROM users u JOIN accounts a ON a.id = u.account_id
             WHERE u.username_key > $1 ORDER BY u.username_key LIMIT $3",
        )
        .bind(after)
        .bind(since.0)
        .bind(limit)
        .all(&mut self.reader().await?.conn())
        .await?;
        Ok(found)
    }

    /// Replaces a password hash by one of newer parameters, if it is still the old one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn upgrade_password(&self, account: AccountId, old: &str, new: &str) -> Result<(), StoreError> {
        let statement = query("UPDATE accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
            .bind(account)
            .bind(old)
            .bind(new);
        self.change(statement).await?;
        Ok(())
    }

    /// Starts a login; false, and nothing was started, when the account is disabled, or its password is not what was checked any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_login(&self, new: &NewLogin<'_>) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let conn = &mut tx.conn();
        // Under the account's lock, so that whoever disables it or sets another password finds this login and ends it, or this finds
        // that done.
        let open = query(
            "UPDATE accounts SET disabled_at = NULL
             WHERE id = $1 AND disabled_at IS NULL AND password_hash = coalesce($2, password_hash)",
        )
        .bind(new.account)
        .bind(new.checked.map(str::to_owned))
        .execute(conn)
        .await?;
        if open == 0 {
            return Ok(false);
        }
        query(
            "INSERT INTO logins (id, account_id, created_at, seen_at, address, agent, until_at) VALUES ($1, $2, $3, $3, $4, $5, $6)",
        )
        .bind(new.id)
        .bind(new.account)
        .bind(new.at.0)
        .bind(new.address)
        .bind(new.agent)
        .bind(new.until.map(|until| until.0))
        .execute(conn)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Who a login is of; none when it has ended, is over at the moment `at`, or was not used since `since`, or the account is disabled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn user_of_login(&self, login: LoginId, since: Micros, at: Micros) -> Result<Option<UserRow>, StoreError> {
        let found = query(
            "SELECT u.id AS user_id, a.id AS account_id, u.username, u.display_name, a.admin, l.seen_at, l.until_at
             FROM logins l JOIN accounts a ON a.id = l.account_id JOIN users u ON u.account_id = a.id
             WHERE l.id = $1 AND l.ended_at IS NULL AND (l.until_at IS NULL OR l.until_at > $2) AND l.seen_at >= $3
               AND a.disabled_at IS NULL",
        )
        .bind(login)
        .bind(at.0)
        .bind(since.0)
        .optional(&mut self.reader().await?.conn())
        .await?;
        Ok(found)
    }

    /// Notes that a login was used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn touch_login(&self, login: LoginId, at: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE logins SET seen_at = $2 WHERE id = $1 AND ended_at IS NULL").bind(login).bind(at.0);
        self.change(statement).await?;
        Ok(())
    }

    /// Ends a login, of this account where one is named, and returns it; none when there is none such that has not ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_login(&self, account: Option<AccountId>, login: LoginId, at: Micros) -> Result<Option<LoginId>, StoreError> {
        let mut tx = self.write().await?;
        let conn = &mut tx.conn();
        let ended: Option<LoginId> = query(
            "UPDATE logins SET ended_at = $3
             WHERE id = $1 AND account_id = coalesce($2, account_id) AND ended_at IS NULL RETURNING id",
        )
        .bind(login)
        .bind(account)
        .bind(at.0)
        .optional(conn)
        .await?;
        if let Some(login) = ended {
            notices::leave(conn, &[Notice::LoginEnded(login)], at).await?;
        }
        tx.commit().await?;
        Ok(ended)
    }

    /// The addresses that an account's logins were made from, ended ones too: of the latest thousand.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn login_addresses(&self, account: AccountId) -> Result<Vec<String>, StoreError> {
        let addresses = query(
            "SELECT DISTINCT address FROM
               (SELECT address FROM logins WHERE account_id = $1 ORDER BY created_at DESC LIMIT 1000) latest",
        );
        addresses.bind(account).all(&mut self.reader().await?.conn()).await
    }

    /// The account's logins that have not ended by the moment `at` and were used since `since`, the latest used first; 100 at
    /// most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn logins(&self, account: AccountId, since: Micros, at: Micros) -> Result<Vec<LoginRow>, StoreError> {
        let found = query(
            "SELECT id, created_at, seen_at, address, agent FROM logins
             WHERE account_id = $1 AND ended_at IS NULL AND seen_at >= $2 AND (until_at IS NULL OR until_at > $3)
             ORDER BY seen_at DESC, id DESC LIMIT 100",
        )
        .bind(account)
        .bind(since.0)
        .bind(at.0)
        .all(&mut self.reader().await?.conn())
        .await?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_as_typed_have_the_same_shape() {
        for (one, other) in [("aIice", "alice"), ("B0B", "BOB"), ("Ian", "lan"), ("Вob", "Bob"), ("mIa", "M1A"), ("Ida", "IDA")]
        {
            assert_eq!(username_shape(one), username_shape(other), "{one} and {other}");
        }
        for (one, other) in [("ian", "lan"), ("ada", "ida"), ("ida", "lda")] {
            assert_ne!(username_shape(one), username_shape(other), "{one} and {other}");
        }
    }
}
