//! The program itself, run as a process of its own, as an operator runs it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A running `snug serve`; killed when dropped.
pub struct Program {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<VecDeque<String>>>,
}

/// Lines of its log that are kept, and of those the ones that are shown when a test fails.
const KEPT: usize = 100_000;
const SHOWN: usize = 50;

impl Program {
    /// Starts `program serve --addr 127.0.0.1:0 …` and waits until it listens.
    ///
    /// # Panics
    /// When it ends instead, or does not listen within a minute; with its log.
    pub fn start(program: &Path, args: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Command::new(program);
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(args);
        Self::run(command)
    }

    /// Runs a server that says in its log where it listens. Neither the environment (but the path) nor a settings file
    /// in the working folder reaches it, but what `command` sets: what is set for the tests is no setting of the server's.
    pub fn run(mut command: Command) -> Self {
        let own: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        let mut child = command
            .current_dir(std::env::temp_dir())
            .env_clear()
            .envs(own)
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} cannot be run: {error}", command.get_program()));
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (tell, told) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().expect("its log is a pipe")).lines();
        std::thread::spawn({
            let log = log.clone();
            move || {
                for line in lines.map_while(Result::ok) {
                    if let Some(address) = listening_on(&line) {
                        let _ = tell.send(address);
                    }
                    let mut log = log.lock().expect("nothing panics while it holds this");
                    if log.len() == KEPT {
                        log.pop_front();
                    }
                    log.push_back(line);
                }
            }
        });
        match told.recv_timeout(Duration::from_secs(60)) {
            Ok(address) => Self { child, address, log },
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                let log = log.lock().expect("nothing panics while it holds this");
                panic!("the server does not listen; its log ends so:\n{}", Vec::from(log.clone()).join("\n"))
            }
        }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log(&self) -> String {
        let said = self.said();
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// Everything that it has said.
    #[must_use]
    pub fn said(&self) -> String {
        Vec::from(self.log.lock().expect("nothing panics while it holds this").clone()).join("\n")
    }

    /// `SIGKILL`: it has no chance to do anything more.
    pub fn kill(mut self) {
        self.child.kill().expect("a running process can be killed");
        self.child.wait().expect("a killed process ends");
    }

    /// `SIGTERM`: it ends in order.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().expect("it ends")
    }

    /// `SIGSTOP`: it stands still, and knows nothing of it.
    pub fn stand_still(&self) {
        self.signal(Signal::STOP);
    }

    /// `SIGCONT`: it goes on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a running process takes a signal");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let panicked = self.said().lines().find(|line| line.contains("panicked at")).map(str::to_owned);
        if let Some(line) = panicked.filter(|_| !std::thread::panicking()) {
            panic!("the server panicked: {line}");
        }
    }
}

fn listening_on(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once("listening on http://")?;
    let end = address.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap_or(address.len());
    address[..end].parse().ok()
}
