//! A server with people in it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::StreamExt;
use hdrhistogram::Histogram;
use tempfile::TempDir;

use crate::Bench;
use crate::program::Program;
use crate::wire::Http;

/// The password of everyone.
pub const PASSWORD: &str = "a quiet harbour at dusk";

/// A server on a data folder of its own.
pub struct World {
    pub server: Program,
    place: Place,
}

/// What a server keeps when it ends, and where it is found again.
pub struct Place {
    program: PathBuf,
    data: TempDir,
    /// The URL of a database, where it is not a file in the folder.
    database: Option<String>,
    address: SocketAddr,
    limits: Limits,
}

/// Which limits a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// Those that there are by default.
    Usual,
    /// None that a benchmark meets, whose people come all at once and from one machine.
    Lifted,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `SIGTERM`.
    Asked,
    /// `SIGKILL`.
    Killed,
}

impl World {
    /// On an empty SQLite database, with limits that no benchmark meets.
    #[must_use]
    pub fn start(bench: &Bench) -> Self {
        Self::start_on(bench, None)
    }

    /// On an empty SQLite database, with the limits that there are by default.
    #[must_use]
    pub fn with_usual_limits(bench: &Bench) -> Self {
        Self::with(bench, None, Limits::Usual)
    }

    /// On the database with this URL, which is empty.
    #[must_use]
    pub fn start_on(bench: &Bench, database: Option<String>) -> Self {
        Self::with(bench, database, Limits::Lifted)
    }

    fn with(bench: &Bench, database: Option<String>, limits: Limits) -> Self {
        let place = Place { program: bench.program.clone(), data: folder(), database, address: ANYWHERE, limits };
        let server = place.serve();
        Self { place: Place { address: server.address(), ..place }, server }
    }

    /// The same people and rooms in a new process, which has hashed no passwords yet (19 MiB each).
    pub async fn restarted(self) -> Self {
        self.end(Ending::Asked).await.start().await
    }

    /// Waits until it is gone; its people may do something meanwhile.
    pub async fn end(self, how: Ending) -> Place {
        let Self { server, place } = self;
        let ending = move || match how {
            Ending::Asked => assert!(server.terminate().success(), "it ends in order"),
            Ending::Killed => server.kill(),
        };
        tokio::task::spawn_blocking(ending).await.expect("it ends");
        place
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.place.address
    }

    /// The session cookies of `count` new people, all of them members of `general`.
    pub async fn people(&self, count: usize) -> Vec<String> {
        eprintln!("  signing up {count} people …");
        let sign_up = |n: usize| async move {
            let mut http = Http::connect(self.address()).await;
            let password = PASSWORD.replace(' ', "+");
            let body = format!("email=person{n}%40example.org&username=person{n}&password={password}");
            let reply = http.post("/actions/sign_up", "", &body).await;
            assert_eq!(reply.status, 200, "person{n} cannot sign up: {}", String::from_utf8_lossy(&reply.body));
            reply.cookie.expect("signing up logs in")
        };
        // As many at once as the server hashes passwords.
        futures_util::stream::iter(0..count).map(sign_up).buffered(2).collect().await
    }

    /// A counter of its `/metrics`, by its name and labels; none where there is no such counter.
    pub async fn counter(&self, name: &str) -> Option<f64> {
        let reply = Http::connect(self.address()).await.get("/metrics", "").await;
        let text = String::from_utf8(reply.body).expect("the metrics are text");
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

impl Place {
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.data.path()
    }

    /// The server again, at the same address.
    pub async fn start(self) -> World {
        let start = move || World { server: self.serve(), place: self };
        tokio::task::spawn_blocking(start).await.expect("it starts")
    }

    fn serve(&self) -> Program {
        let mut command = command(&self.program, self.folder(), self.address, self.limits);
        if let Some(database) = &self.database {
            command.args(["--database-url", database]);
        }
        Program::run(command)
    }
}

/// A server on this data folder, somewhere.
#[must_use]
pub fn serve(bench: &Bench, data: &TempDir) -> Program {
    Program::run(command(&bench.program, data.path(), ANYWHERE, Limits::Lifted))
}

/// A port of its own.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn command(program: &Path, data: &Path, address: SocketAddr, limits: Limits) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--addr", &address.to_string(), "--data"]).arg(data);
    if limits == Limits::Lifted {
        for limit in LIMITS {
            command.args([format!("--{limit}"), "100000".to_owned()]);
        }
        command.args(["--sockets-per-user", "1000", "--idle-timeout", "3600"]);
    }
    command
}

/// What they would meet, and it goes up to this.
const LIMITS: [&str; 8] = [
    "send-rate",
    "send-burst",
    "command-rate",
    "sign-ups-per-address",
    "sockets-per-minute",
    "sockets-per-address",
    "rooms-per-hour",
    "rooms-per-user",
];

/// An empty folder for what a server keeps.
#[must_use]
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("snug-bench-").tempdir().expect("a temporary folder")
}

/// One thread for all of the load: the rest of the machine is the server's.
pub fn run<T>(load: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, load)
}

/// Latencies in ns, up to a minute, to three digits.
#[must_use]
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that there are")
}

/// Thousands with commas.
#[must_use]
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
