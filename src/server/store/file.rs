//! A SQLite database as one file: a copy of it as it is at one moment, whether such a file is whole, and its identity.
//!
//! The copy is made by `VACUUM INTO`, on a read-only connection of the process that asks: one reading transaction, so it is one
//! moment; and with a write-ahead log, who reads and who writes do not wait for each other. (The backup API would need the
//! same transaction, or begin anew whenever the server writes.) What cannot write cannot checkpoint either, so the server stays
//! the only process that does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use uuid::Uuid;

use super::{ACQUIRE, SQLITE};
use crate::protocol::Micros;

/// Why a file is no database to rely on.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("it is no database of snug's")]
    Foreign,
    #[error("its schema (version {0}) is newer than this program: install a newer snug")]
    Newer(i64),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("{0}")]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for FileError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned);
        match code.as_deref() {
            // SQLITE_NOTADB, SQLITE_CORRUPT.
            Some("26") => Self::Foreign,
            Some("11") => Self::Damaged("the database disk image is malformed".to_owned()),
            _ => Self::Database(error),
        }
    }
}

/// How much a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Contents {
    pub accounts: i64,
    pub rooms: i64,
    pub messages: i64,
}

impl std::fmt::Display for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { accounts, rooms, messages } = self;
        write!(f, "accounts: {accounts}, rooms: {rooms}, messages: {messages}")
    }
}

/// The file that SQLite keeps beside a database under this ending (`-wal`, `-shm`).
#[must_use]
pub fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(ending);
    name.into()
}

/// A SQLite file on a connection of its own.
#[derive(Debug)]
pub struct DatabaseFile(SqliteConnection);

impl DatabaseFile {
    async fn open(options: SqliteConnectOptions, path: &Path) -> Result<Self, FileError> {
        let options = options.filename(path).create_if_missing(false).busy_timeout(ACQUIRE);
        Ok(Self(options.disable_statement_logging().connect().await?))
    }

    /// Opens one that a server may be writing, for reading.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn read(path: &Path) -> Result<Self, FileError> {
        Self::open(SqliteConnectOptions::new().read_only(true), path).await
    }

    /// Opens one that nobody writes, for reading, also where nothing can be written beside it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn read_still(path: &Path) -> Result<Self, FileError> {
        // What is in its log would be passed over.
        let logged = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
        Self::open(SqliteConnectOptions::new().read_only(true).immutable(!logged), path).await
    }

    /// Opens one that nobody else has, for writing.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn write(path: &Path) -> Result<Self, FileError> {
        Self::open(SqliteConnectOptions::new().foreign_keys(true), path).await
    }

    /// Copies it as it is now to `to`: a file that is empty, or not there.
    ///
    /// # Errors
    /// When it cannot be read, or `to` cannot be written.
    pub async fn copy(&mut self, to: &str) -> Result<(), FileError> {
        sqlx::query("VACUUM INTO $1").bind(to).execute(&mut self.0).await?;
        Ok(())
    }

    /// Moves what is in its log into the file, whole.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub async fn fold(&mut self) -> Result<(), FileError> {
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.0).await?;
        Ok(())
    }

    /// Gives it another identity: what clients remember of it is void.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn renew_epoch(&mut self) -> Result<(), FileError> {
        sqlx::query("UPDATE server SET epoch = $1 WHERE one = 1").bind(Uuid::new_v4()).execute(&mut self.0).await?;
        Ok(())
    }

    /// Ends every login; returns how many.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn end_logins(&mut self, at: Micros) -> Result<u64, FileError> {
        let ended = sqlx::query("UPDATE logins SET ended_at = $1 WHERE ended_at IS NULL").bind(at.0).execute(&mut self.0).await?;
        Ok(ended.rows_affected())
    }

    /// # Errors
    /// When what was written cannot be kept.
    pub async fn close(self) -> Result<(), FileError> {
        Ok(self.0.close().await?)
    }

    /// Looks whether it is whole: a database of a schema that this program knows, as SQLite wrote it, in which every reference leads
    /// somewhere, every room's log goes from 1 to its end without a gap, and what it says of messages is of messages that there are.
    ///
    /// # Errors
    /// [`FileError`], with the first thing that is wrong.
    pub async fn verify(&mut self) -> Result<Contents, FileError> {
        self.check_schema().await?;
        let found: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut self.0).await?;
        if found != "ok" {
            return Err(FileError::Damaged(found.lines().next().unwrap_or("SQLite does not say how").to_owned()));
        }
        let lost = sqlx::query("PRAGMA foreign_key_check").fetch_optional(&mut self.0).await?;
        if lost.is_some() {
            return Err(FileError::Damaged("a reference leads nowhere".to_owned()));
        }
        let changes = sqlx::query("SELECT 1 FROM sqlite_schema WHERE name = 'changes'").fetch_optional(&mut self.0).await?;
        for (wrong, sql) in if changes.is_some() { CHECKS } else { OLD_CHECKS } {
            let room: Option<String> = sqlx::query_scalar(sql).fetch_optional(&mut self.0).await?;
            if let Some(room) = room {
                return Err(FileError::Damaged(format!("{wrong}, in the room {room}")));
            }
        }
        let contents = "SELECT (SELECT count(*) FROM accounts) AS accounts, (SELECT count(*) FROM rooms) AS rooms,
                               (SELECT count(*) FROM messages) AS messages";
        Ok(sqlx::query_as(contents).fetch_one(&mut self.0).await?)
    }

    async fn check_schema(&mut self) -> Result<(), FileError> {
        let tables: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('_sqlx_migrations', 'server', 'rooms', 'messages')",
        )
        .fetch_one(&mut self.0)
        .await?;
        if tables != 4 {
            return Err(FileError::Foreign);
        }
        let versions: Vec<i64> =
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version").fetch_all(&mut self.0).await?;
        if let Some(unknown) = versions.into_iter().find(|version| !SQLITE.version_exists(*version)) {
            return Err(FileError::Newer(unknown));
        }
        let servers: i64 = sqlx::query_scalar("SELECT count(*) FROM server").fetch_one(&mut self.0).await?;
        if servers == 1 { Ok(()) } else { Err(FileError::Foreign) }
    }
}

/// What must not be found: what is wrong then, and the rooms in which it is. Each goes through a table once.
const CHECKS: [(&str, &str); 3] = [
    (
        "two events have the same place in the log",
        "SELECT r.slug FROM changes c JOIN messages m ON m.room_id = c.room_id AND m.seq = c.seq JOIN rooms r ON r.id = c.room_id LIMIT 1",
    ),
    (
        "the log has a gap",
        "SELECT r.slug FROM rooms r
         LEFT JOIN (SELECT room_id, count(*) AS events, max(seq) AS last FROM messages GROUP BY room_id) m ON m.room_id = r.id
         LEFT JOIN (SELECT room_id, count(*) AS events, max(seq) AS last FROM changes GROUP BY room_id) c ON c.room_id = r.id
         WHERE coalesce(m.events, 0) + coalesce(c.events, 0) <> r.last_seq
            OR max(coalesce(m.last, 0), coalesce(c.last, 0)) <> r.last_seq LIMIT 1",
    ),
    (
        "the log has a message that is not there",
        "SELECT r.slug FROM changes c JOIN rooms r ON r.id = c.room_id
         LEFT JOIN messages m ON m.room_id = c.room_id AND m.seq = c.message_seq
         WHERE c.message_seq IS NOT NULL AND m.seq IS NULL LIMIT 1",
    ),
];

/// The same of a database from before messages were their own events: `log` is a table that names each.
const OLD_CHECKS: [(&str, &str); 3] = [
    (
        "the log has a gap",
        "SELECT r.slug FROM rooms r
         LEFT JOIN (SELECT room_id, count(*) AS events, max(seq) AS last FROM log GROUP BY room_id) l ON l.room_id = r.id
         WHERE coalesce(l.events, 0) <> r.last_seq OR coalesce(l.last, 0) <> r.last_seq LIMIT 1",
    ),
    (
        "a message is not in the log",
        "SELECT r.slug FROM messages m JOIN rooms r ON r.id = m.room_id
         LEFT JOIN log l ON l.room_id = m.room_id AND l.seq = m.seq AND l.message_seq = m.seq
         WHERE l.seq IS NULL LIMIT 1",
    ),
    (
        "the log has a message that is not there",
        "SELECT r.slug FROM log l JOIN rooms r ON r.id = l.room_id
         LEFT JOIN messages m ON m.room_id = l.room_id AND m.seq = l.message_seq
         WHERE l.message_seq IS NOT NULL AND m.seq IS NULL LIMIT 1",
    ),
];
