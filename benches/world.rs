//! A server with people in it.

use std::net::SocketAddr;
use std::process::Command;

use futures_util::StreamExt;
use hdrhistogram::Histogram;
use tempfile::TempDir;

use crate::Bench;
use crate::program::Program;
use crate::wire::Http;

/// A server on a data folder of its own.
pub struct World {
    pub server: Program,
    data: TempDir,
    limits: &'static [&'static str],
}

/// Limits that no benchmark meets, whose people come all at once and from one machine.
const LIFTED: [&str; 16] = [
    "--send-rate",
    "1000000",
    "--send-burst",
    "1000000",
    "--command-rate",
    "1000000",
    "--sign-ups-per-address",
    "1000000",
    "--sockets-per-minute",
    "1000000",
    "--sockets-per-address",
    "1000000",
    "--sockets-per-user",
    "1000",
    "--idle-timeout",
    "3600",
];

impl World {
    /// On an empty SQLite database, with limits that no benchmark meets.
    #[must_use]
    pub fn start(bench: &Bench) -> Self {
        Self::with(bench, &LIFTED)
    }

    /// On an empty SQLite database, with the limits that there are by default.
    #[must_use]
    pub fn with_usual_limits(bench: &Bench) -> Self {
        Self::with(bench, &[])
    }

    fn with(bench: &Bench, limits: &'static [&'static str]) -> Self {
        let data = tempfile::Builder::new().prefix("snug-bench-").tempdir().expect("a temporary folder");
        Self { server: program(bench, &data, limits), data, limits }
    }

    /// The same people and rooms in a new process, which has hashed no passwords yet (19 MiB each).
    #[must_use]
    pub fn restarted(self, bench: &Bench) -> Self {
        assert!(self.server.terminate().success(), "it ends in order");
        Self { server: program(bench, &self.data, self.limits), ..self }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The session cookies of `count` new people, all of them members of `general`.
    pub async fn people(&self, count: usize) -> Vec<String> {
        eprintln!("  signing up {count} people …");
        let sign_up = |n: usize| async move {
            let mut http = Http::connect(self.address()).await;
            let body = format!("email=person{n}%40example.org&username=person{n}&password=a+quiet+harbour+at+dusk");
            let reply = http.post("/actions/sign_up", "", &body).await;
            assert_eq!(reply.status, 200, "person{n} cannot sign up: {}", String::from_utf8_lossy(&reply.body));
            reply.cookie.expect("signing up logs in")
        };
        // As many at once as the server hashes passwords.
        futures_util::stream::iter(0..count).map(sign_up).buffered(2).collect().await
    }
}

/// A server on this data folder, with limits that no benchmark meets.
#[must_use]
pub fn serve(bench: &Bench, data: &TempDir) -> Program {
    program(bench, data, &LIFTED)
}

fn program(bench: &Bench, data: &TempDir, limits: &[&str]) -> Program {
    let mut command = Command::new(&bench.program);
    command.args(["serve", "--addr", "127.0.0.1:0", "--data"]).arg(data.path()).args(limits);
    Program::run(command)
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
