//! A PostgreSQL server for the tests: started once in a test process, on a free port of 127.0.0.1, in a temporary folder. A test that
//! stops it has one of its own.
//!
//! It ends with the process whatever happens to that: a small shell process in a group of its own waits for the end of its
//! standard input, which is a pipe from us that the kernel closes when we are gone, then stops the server and removes the
//! folder.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;
use std::{mem, thread};

use sqlx::{Connection, Executor, PgConnection};

/// How long it may say nothing before it is ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it says then.
const READY: &str = "database system is ready to accept connections";

/// Every user and database is open to anyone on this machine who finds the port, and holds nothing but test data.
const USER: &str = "snug";

/// `$1`: the folder of the programs, `$2`: the server's folder, `$3`: its port. A line of its input is the signal with which to stop
/// the server, or `start`.
const SUPERVISOR: &str = r#"
trap '' INT TERM HUP
start() {
    "$1/postgres" -D "$2/cluster" -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c max_connections=300 -c shared_buffers=64MB >&2 </dev/null &
    server=$!
}
stop() {
    kill "-$1" "$server" 2>/dev/null
    wait "$server"
}
start "$@"
while read -r line; do
    if [ "$line" = start ]; then start "$@"; else stop "$line"; echo stopped >&2; fi
done
stop QUIT
rm -rf "$2"
"#;

pub struct Postgres {
    port: u16,
    databases: AtomicU32,
    /// Those that nobody needs any more.
    over: Mutex<Vec<String>>,
    /// Holds the pipe that keeps the server alive.
    supervisor: Child,
    /// What the server says.
    lines: Mutex<mpsc::Receiver<String>>,
}

/// How a server is stopped (PostgreSQL's documentation, section 18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Transactions are rolled back, and everything is written.
    Fast,
    /// As a crash is: what was committed is found again at the next start.
    Immediate,
}

impl Postgres {
    /// The server of this test process; the first call starts it.
    ///
    /// # Panics
    /// When PostgreSQL's programs are missing or it does not start: a test that needs it has failed then, not been skipped.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One of its caller's own, which may be stopped. It ends when dropped.
    ///
    /// # Panics
    /// As [`Self::shared`].
    #[must_use]
    pub fn own() -> Self {
        Self::start()
    }

    /// Stops it; returns when it is gone.
    pub fn stop(&self, how: Shutdown) {
        self.order(if how == Shutdown::Fast { "INT" } else { "QUIT" }, "stopped");
    }

    /// Starts it after [`Self::stop`]; returns when it takes connections.
    pub fn start_again(&self) {
        self.order("start", READY);
    }

    /// Tells the supervisor, and waits until something is said.
    fn order(&self, order: &str, awaited: &str) {
        let lines = self.lines.lock().expect("nothing panics while it holds this");
        let mut ear = self.supervisor.stdin.as_ref().expect("it is piped");
        writeln!(ear, "{order}").expect("the supervisor listens");
        while !lines.recv_timeout(PATIENCE).expect("PostgreSQL does so in time").contains(awaited) {}
    }

    /// Whether its programs are there.
    #[must_use]
    pub fn is_there() -> bool {
        find_programs().is_some()
    }

    /// The URL of a new, empty database. Those that are over go by then: each takes 10 MB of the disk, and there are hundreds of tests.
    pub async fn database(&self) -> String {
        let over = mem::take(&mut *self.over.lock().expect("nothing panics while it holds this"));
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let gone = over.iter().map(|url| format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", Self::name(url)));
        self.run(gone.chain([format!("CREATE DATABASE {name}")])).await;
        self.url(&name)
    }

    /// Nobody needs the database at `url` any more.
    pub fn over(&self, url: String) {
        self.over.lock().expect("nothing panics while it holds this").push(url);
    }

    /// Takes the database at `url` away from under whoever uses it.
    pub async fn drop(&self, url: &str) {
        self.run([format!("DROP DATABASE {} WITH (FORCE)", Self::name(url))]).await;
    }

    async fn run(&self, statements: impl IntoIterator<Item = String>) {
        let mut connection = PgConnection::connect(&self.url("postgres")).await.expect("the tests' PostgreSQL takes connections");
        for statement in statements {
            connection.execute(statement.as_str()).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        connection.close().await.expect("the connection closes");
    }

    fn name(url: &str) -> &str {
        url.rsplit('/').next().expect("a URL ends in the database's name")
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    fn start() -> Self {
        let programs = programs();
        // A port that was free a moment ago may be taken by now: then another.
        for _ in 0..5 {
            if let Some(server) = Self::start_on(&programs, free_port()) {
                return server;
            }
        }
        panic!("PostgreSQL found no free port in five attempts");
    }

    #[expect(clippy::zombie_processes, reason = "it outlives us by a moment, which is its purpose")]
    fn start_on(programs: &Path, port: u16) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("snug-postgres-").tempdir().expect("a temporary folder").keep();
        let owner = unprivileged();
        if let Some((uid, gid)) = owner {
            chown(&folder, Some(uid), Some(gid)).expect("root may give a folder away");
        }
        let run = |program: &Path| {
            let mut command = Command::new(program);
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command.current_dir(&folder).stdin(Stdio::null());
            command
        };

        let made = run(&programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={USER}"))
            .arg(format!("--pgdata={}", folder.join("cluster").display()))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));

        let mut supervisor = run(Path::new("/bin/sh"))
            .args(["-c", SUPERVISOR, "sh"])
            .args([programs, &folder])
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell runs");

        // Read for as long as it runs, so that it never waits for someone to read.
        let says = BufReader::new(supervisor.stderr.take().expect("it is piped"));
        let (line, lines) = mpsc::channel();
        thread::spawn(move || says.lines().map_while(Result::ok).for_each(|said| drop(line.send(said))));
        let mut log = String::new();
        loop {
            let Ok(said) = lines.recv_timeout(PATIENCE) else { panic!("PostgreSQL was not ready in time:\n{log}") };
            log.push_str(&said);
            log.push('\n');
            if said.contains(READY) {
                return Some(Self {
                    port,
                    databases: AtomicU32::new(0),
                    over: Mutex::default(),
                    supervisor,
                    lines: Mutex::new(lines),
                });
            }
            if said.contains("database system is shut down") {
                drop(supervisor.stdin.take());
                let _ = supervisor.wait();
                // Another took the port between our look and our start.
                assert!(log.contains("could not bind"), "PostgreSQL did not start:\n{log}");
                return None;
            }
        }
    }
}

fn programs() -> PathBuf {
    find_programs().expect("PostgreSQL's programs (initdb, postgres) are needed: install its server, or set SNUG_DEV_PG_BIN")
}

/// The folder of PostgreSQL's programs: `SNUG_DEV_PG_BIN`, or where `PATH` has them, or Debian's newest.
fn find_programs() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
    if let Some(folder) = std::env::var_os("SNUG_DEV_PG_BIN").map(PathBuf::from) {
        assert!(complete(&folder), "SNUG_DEV_PG_BIN={} lacks initdb or postgres", folder.display());
        return Some(folder);
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<(u32, PathBuf)> =
        debian.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))).collect();
    debian.sort();
    std::env::split_paths(&on_path).chain(debian.into_iter().rev().map(|(_, folder)| folder)).find(complete)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Whom to run PostgreSQL as when we are root, which it refuses to be.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    let find = |name: &str| {
        let fields: Vec<&str> = accounts.lines().map(|line| line.split(':').collect()).find(|f: &Vec<&str>| f[0] == name)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("an account `postgres` or `nobody` to run PostgreSQL as"))
}
