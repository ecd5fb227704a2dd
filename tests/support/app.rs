use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, RwLock};

use snug::protocol::Micros;
use snug::server::Running;
use snug::server::config::Settings;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::bot::Bot;
use super::command::{Said, snug};
use super::log::{self, Secrets};
use super::person::{PASSWORD, Person, Visitor};
use super::postgres::Postgres;

/// The usual settings without what slows people down: a test does in a second, from one address, what hundreds of people do in an
/// hour from everywhere. Wrong passwords are slowed as usual; tests of the others set them.
#[must_use]
pub fn lifted() -> Settings {
    const NEVER: u32 = 100_000;
    Settings {
        send_rate: NEVER,
        send_burst: NEVER,
        command_rate: NEVER,
        sign_ups_per_address: NEVER,
        rooms_per_hour: NEVER,
        sockets_per_minute: NEVER,
        sockets_per_address: NEVER,
        ..Settings::default()
    }
}

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// What a test of [`super::on_both`] takes.
pub trait World {
    async fn on(engine: Engine) -> Self;
}

impl World for Engine {
    async fn on(engine: Engine) -> Self {
        engine
    }
}

impl World for TestApp {
    async fn on(engine: Engine) -> Self {
        Self::start(engine).await
    }
}

/// A server in this process, with a database of its own.
pub struct TestApp {
    pub engine: Engine,
    settings: Settings,
    running: Option<Running>,
    address: Arc<RwLock<SocketAddr>>,
    client: reqwest::Client,
    /// What a browser would send as `Origin`, where that is not the address.
    origin: Option<String>,
    data: TempDir,
    /// PostgreSQL's, made for it.
    database: Option<String>,
    /// What its people know, and where in the log it began.
    secrets: Secrets,
    log: usize,
}

impl Drop for TestApp {
    /// The log of the whole run is searched, piece by piece: of each server, for all that its people used.
    fn drop(&mut self) {
        if let Some(url) = self.database.take() {
            Postgres::shared().over(url);
        }
        if let Some((secret, line)) = self.secrets.told_by(&log::said(self.log)).filter(|_| !std::thread::panicking()) {
            panic!("the log has the secret {secret:?}: {line}");
        }
    }
}

impl TestApp {
    /// With the usual settings, but that a test may do everything as fast as it can.
    pub async fn start(engine: Engine) -> Self {
        Self::start_with(engine, |_| {}).await
    }

    pub async fn start_with(engine: Engine, change: impl FnOnce(&mut Settings)) -> Self {
        let log = log::listen();
        let data = tempfile::Builder::new().prefix("snug-test-").tempdir().expect("a temporary folder");
        let mut settings = Settings { addr: "127.0.0.1:0".parse().expect("an address"), data: data.path().into(), ..lifted() };
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Postgres::shared().database().await),
        };
        settings.database_url = database.clone().map(Into::into);
        change(&mut settings);
        let running = snug::server::start(settings.clone()).await.expect("the server starts");
        let origin = settings.public_url.as_ref().map(|url| url.origin.clone());
        Self {
            engine,
            settings,
            address: Arc::new(RwLock::new(running.addr)),
            running: Some(running),
            client: Visitor::client(),
            origin,
            data,
            database,
            secrets: Secrets::default(),
            log,
        }
    }

    /// The database's URL, on PostgreSQL.
    #[must_use]
    pub fn database_url(&self) -> Option<&str> {
        self.settings.database_url.as_ref().map(|url| url.as_str())
    }

    /// Makes a stopped server's database what it was before messages were their own events of the log.
    pub async fn make_old(&self) {
        let table = "CREATE TABLE was AS SELECT room_id, seq, kind, user_id, message_seq, at, operator FROM log;
            DROP VIEW log; DROP TABLE changes; ALTER TABLE was RENAME TO log;
            DROP INDEX users_by_shape; ALTER TABLE users DROP COLUMN username_shape; DELETE FROM _sqlx_migrations WHERE version > 6";
        self.sql(table).await.expect("the newest schema can be taken back");
        if self.engine == Engine::Postgres {
            let guards = "DROP FUNCTION changes_beside_messages;
                DROP TRIGGER messages_by_members ON messages;
                CREATE TRIGGER messages_by_members BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION messages_by_members();
                ALTER TABLE messages ADD CONSTRAINT messages_room_id_fkey FOREIGN KEY (room_id) REFERENCES rooms (id);
                ALTER TABLE messages DROP CONSTRAINT messages_by_id, ADD CONSTRAINT messages_author_id UNIQUE (author_id, id);
                ALTER TABLE messages ADD CONSTRAINT messages_room_id_author_id_fkey
                  FOREIGN KEY (room_id, author_id) REFERENCES members (room_id, user_id);
                DROP TRIGGER members_stay ON members;
                DROP FUNCTION members_stay;
                DROP TRIGGER messages_stay ON messages;
                DROP FUNCTION messages_stay";
            self.sql(guards).await.expect("and its guards");
        }
    }

    /// The folder of the SQLite file.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.settings.data
    }

    /// The program with a command such as `admin users`, for this server's database, with `input` at its standard input.
    pub async fn snug(&self, args: &[&str], input: &str) -> Said {
        snug(self.data(), self.database_url(), args, input).await
    }

    /// Another server on the same database: on PostgreSQL only, which takes several.
    pub async fn beside(&self) -> Self {
        assert_eq!(self.engine, Engine::Postgres, "SQLite has one server");
        Self::start_with(self.engine, |settings| settings.database_url.clone_from(&self.settings.database_url)).await
    }

    /// Runs statements on the database past the server, which is stopped: SQLite has one writer.
    pub async fn sql(&self, statements: &str) -> sqlx::Result<()> {
        assert!(self.running.is_none(), "the server is stopped");
        if let Some(url) = self.database_url() {
            let mut connection = PgConnection::connect(url).await?;
            connection.execute(statements).await?;
            return connection.close().await;
        }
        let url = format!("sqlite://{}", self.settings.data.join("snug.db").display());
        let mut connection = SqliteConnection::connect(&url).await?;
        connection.execute(statements).await?;
        connection.close().await
    }

    /// Returns when something waits for a lock in the server's PostgreSQL.
    pub async fn lock_is_waited_for(&self) {
        let url = self.database_url().expect("a PostgreSQL");
        super::eventually("a lock is waited for", async || {
            // Each time another connection: within a transaction the answer stays the same.
            let mut connection = PgConnection::connect(url).await.expect("the tests' PostgreSQL takes connections");
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut connection).await.expect("it counts");
            (waiting > 0).then_some(())
        })
        .await;
    }

    /// Closes what is idle at the moment `at`, as the server does by itself with the real clock; how many rooms it closed.
    pub async fn close_idle(&self, at: Micros) -> usize {
        self.running.as_ref().expect("the server runs").chat.close_idle(at).await.expect("idle rooms can be closed")
    }

    /// Stops as at a `SIGTERM`.
    pub async fn stop(&mut self) {
        self.running.take().expect("the server runs").stop().await;
    }

    /// Stops and starts again on the same data. Everyone finds the server at its new address.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Stops, and starts again on the data in another folder, where there is SQLite. Everyone finds the server at its new address.
    pub async fn move_to(&mut self, data: &Path) {
        self.stop().await;
        self.settings.data = data.to_owned();
        self.start_again().await;
    }

    /// Starts again on the same data after [`Self::stop`].
    pub async fn start_again(&mut self) {
        let running = snug::server::start(self.settings.clone()).await.expect("the server starts again");
        *self.address.write().expect("no test panics while it holds this") = running.addr;
        self.running = Some(running);
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *self.address.read().expect("no test panics while it holds this")
    }

    /// A browser without a cookie.
    #[must_use]
    pub fn visitor(&self) -> Visitor {
        Visitor::new(self.client.clone(), self.address.clone(), self.origin.clone()).keeping(&self.secrets)
    }

    /// A program without a token.
    #[must_use]
    pub fn bot(&self) -> Bot {
        Bot::new(self.client.clone(), self.address.clone()).keeping(&self.secrets)
    }

    /// A program with an account of its own.
    pub async fn register(&self, user: &str) -> Bot {
        self.bot().register(user).await
    }

    /// Whether the database has this text or these bytes anywhere, as they are or in hexadecimal.
    pub async fn holds(&self, what: &[u8]) -> bool {
        let hex: String = what.iter().map(|byte| format!("{byte:02x}")).collect();
        let Some(url) = self.database_url() else {
            let file = self.file();
            return [what, hex.as_bytes()].iter().any(|what| memchr::memmem::find(&file, what).is_some());
        };
        let mut connection = PgConnection::connect(url).await.expect("the tests' PostgreSQL takes connections");
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
             WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')",
        )
        .fetch_all(&mut connection)
        .await
        .expect("there are tables");
        let mut holds = false;
        for table in tables {
            // Rows as text have bytes in hexadecimal.
            let rows: Vec<String> =
                sqlx::query_scalar(&format!("SELECT t::text FROM {table} t")).fetch_all(&mut connection).await.expect("rows");
            let text = String::from_utf8_lossy(what);
            holds |= rows.iter().any(|row| row.contains(&*text) || row.contains(&hex));
        }
        connection.close().await.expect("the connection closes");
        holds
    }

    /// The SQLite file, as bytes, with what is not yet merged into it.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        let parts = ["snug.db", "snug.db-wal"].map(|name| std::fs::read(self.settings.data.join(name)).unwrap_or_default());
        parts.concat()
    }

    /// Changes the settings for the next start.
    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
    }

    /// A new account, logged in, in the rooms of a newcomer.
    pub async fn sign_up(&self, user: &str) -> Person {
        let visitor = self.visitor();
        visitor.sign_up(user).await
    }

    /// Another login of an account that [`Self::sign_up`] made.
    pub async fn log_in(&self, user: &str) -> Person {
        self.visitor().log_in(user, PASSWORD).await
    }
}
