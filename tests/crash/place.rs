//! Where a server keeps its data, and what is there when one looks without it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use snug::protocol::Event;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::{Engine, Postgres, Program};

/// The rooms whose logs are not what their rows say: so many events as the last place, the last of them there, and none twice. What must hold is in
/// one statement, which sees one moment, also while a server writes.
const INVARIANTS: &str = "SELECT r.slug FROM rooms r
     LEFT JOIN (SELECT room_id, count(*) AS events, count(DISTINCT seq) AS places, max(seq) AS last FROM log GROUP BY room_id) l
     ON l.room_id = r.id
     WHERE coalesce(l.events, 0) <> r.last_seq OR coalesce(l.places, 0) <> r.last_seq OR coalesce(l.last, 0) <> r.last_seq";

pub struct Place {
    folder: tempfile::TempDir,
    /// PostgreSQL's; without one it is SQLite.
    url: Option<String>,
    settings: Vec<String>,
}

impl Place {
    pub async fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::at(None),
            Engine::Postgres => Self::at(Some(Postgres::shared().database().await)),
        }
    }

    /// With PostgreSQL at this URL, or SQLite.
    pub fn at(url: Option<String>) -> Self {
        let place = Self { folder: tempfile::Builder::new().prefix("snug-crash-").tempdir().unwrap(), url, settings: Vec::new() };
        // Clients come back after each crash as fast as they can, and send so.
        let limits = ["send-rate", "send-burst", "command-rate", "sockets-per-minute", "sockets-per-address"];
        limits.into_iter().fold(place, |place, limit| place.with(limit, 1_000_000))
    }

    /// With another setting for its servers.
    pub fn with(mut self, setting: &str, value: u32) -> Self {
        self.settings.extend([format!("--{setting}"), value.to_string()]);
        self
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub async fn start(&self) -> Program {
        self.start_by(Command::new(env!("CARGO_BIN_EXE_snug"))).await
    }

    /// Starts a server by a command that ends in the program.
    pub async fn start_by(&self, mut command: Command) -> Program {
        command.args(["serve", "--addr", "127.0.0.1:0", "--data"]).arg(self.folder()).args(&self.settings);
        if let Some(url) = &self.url {
            command.args(["--database-url", url]);
        }
        tokio::task::spawn_blocking(|| Program::run(command)).await.unwrap()
    }

    /// Looks whether what is there is whole, with no server running.
    pub async fn check(&self) {
        let Some(url) = &self.url else { return File::copy(self.folder()).check().await };
        let mut connection = PgConnection::connect(url).await.unwrap();
        let wrong: Vec<String> = sqlx::query_scalar(INVARIANTS).fetch_all(&mut connection).await.unwrap();
        assert!(wrong.is_empty(), "rooms and their logs do not agree: {wrong:?}");
        connection.close().await.unwrap();
    }

    /// All of the database, read without a server.
    pub async fn read(&self) -> Database {
        match &self.url {
            None => File::copy(self.folder()).read().await,
            Some(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let messages = sqlx::query_as(MESSAGES).fetch_all(&mut connection).await.unwrap();
                Database::new(messages, sqlx::query_as(LOG).fetch_all(&mut connection).await.unwrap())
            }
        }
    }
}

/// A copy of SQLite's file as it lies in a folder, where nobody may be writing just then: opening it repairs it, and that is for a
/// server to do.
pub struct File(tempfile::TempDir);

impl File {
    pub fn copy(folder: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for name in ["snug.db", "snug.db-wal"] {
            // Not the shared memory, which is of the process that had it.
            if folder.join(name).exists() {
                fs::copy(folder.join(name), copy.path().join(name)).unwrap();
            }
        }
        Self(copy)
    }

    async fn open(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.0.path().join("snug.db"));
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// Looks whether it is whole.
    pub async fn check(&self) {
        let mut connection = self.open().await;
        let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await.unwrap();
        assert_eq!(found, ["ok"]);
        let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap();
        assert_eq!(dangling.len(), 0, "rows that refer to none");
        let wrong: Vec<String> = sqlx::query_scalar(INVARIANTS).fetch_all(&mut connection).await.unwrap();
        assert!(wrong.is_empty(), "rooms and their logs do not agree: {wrong:?}");
        connection.close().await.unwrap();
    }

    pub async fn read(&self) -> Database {
        let mut connection = self.open().await;
        let messages = sqlx::query_as(MESSAGES).fetch_all(&mut connection).await.unwrap();
        let log = sqlx::query_as(LOG).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Database::new(messages, log)
    }
}

const MESSAGES: &str = "SELECT r.slug, m.seq, m.id, u.username, m.text FROM messages m
     JOIN rooms r ON r.id = m.room_id JOIN users u ON u.id = m.author_id";

const LOG: &str = "SELECT r.slug, l.seq, l.kind, u.username, m.id, m.text FROM log l JOIN rooms r ON r.id = l.room_id
     LEFT JOIN users u ON u.id = l.user_id LEFT JOIN messages m ON m.room_id = l.room_id AND m.seq = l.message_seq
     ORDER BY r.slug, l.seq";

/// Everything that a database says of messages.
pub struct Database {
    pub messages: Vec<Row>,
    pub log: BTreeMap<String, Vec<Entry>>,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Row {
    #[sqlx(rename = "slug")]
    pub room: String,
    pub seq: i64,
    pub id: Uuid,
    #[sqlx(rename = "username")]
    pub user: String,
    pub text: String,
}

/// An event of a log, from wherever it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: i64,
    pub kind: String,
    pub user: String,
    pub message: Option<(Uuid, String)>,
}

type Change = (String, i64, String, Option<String>, Option<Uuid>, Option<String>);

impl Database {
    fn new(messages: Vec<Row>, changes: Vec<Change>) -> Self {
        let mut log: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for (room, seq, kind, user, id, text) in changes {
            log.entry(room).or_default().push(Entry { seq, kind, user: user.unwrap_or_default(), message: id.zip(text) });
        }
        Self { messages, log }
    }
}

impl From<&Event> for Entry {
    fn from(event: &Event) -> Self {
        let of = |kind: &str, seq: snug::protocol::Seq, user: &str| Self {
            seq: seq.0,
            kind: kind.into(),
            user: user.into(),
            message: None,
        };
        match event {
            Event::Message(m) => Self { message: Some((m.id, m.text.clone())), ..of("message", m.seq, &m.by.user) },
            Event::Joined(m) => of("joined", m.seq, &m.by.user),
            Event::Left(m) => of("left", m.seq, &m.by.user),
            other => panic!("{other:?} is not of a log"),
        }
    }
}
