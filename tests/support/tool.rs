//! Programs of others that the tests run: installed, where they are missing, by the project's own setup.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::wait::{PATIENCE, within};

/// The folder of the programs that `scripts/setup WHAT` gives.
///
/// # Panics
/// When they cannot be installed; setup says why.
#[must_use]
pub fn programs(what: &str) -> PathBuf {
    // One at a time: the first may have to install it.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/setup");
    let output = std::process::Command::new(setup).arg(what).stderr(Stdio::inherit()).output().expect("scripts/setup can be run");
    assert!(output.status.success(), "scripts/setup {what} failed; it says why above");
    PathBuf::from(String::from_utf8(output.stdout).expect("a path of UTF-8").trim_end())
}

/// A program that runs beside the test; killed when dropped. What it prints is read line by line.
pub struct Tool {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tool {
    pub fn run(mut command: Command) -> Self {
        let name = format!("{:?}", command.as_std().get_program());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name} cannot be run: {error}"));
        let input = child.stdin.take().expect("its input is a pipe");
        let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        Self { child, input, lines }
    }

    /// Types a line.
    pub async fn type_in(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("it takes a line");
    }

    /// Waits until it ends by itself.
    pub async fn ends(&mut self) {
        within(3 * PATIENCE, "it ends", self.child.wait()).await.expect("it ran");
    }

    /// The first line from now on in which `wanted` is.
    pub async fn prints(&mut self, wanted: &str) -> String {
        within(3 * PATIENCE, &format!("it prints {wanted:?}"), async {
            loop {
                let line = self.lines.next_line().await.expect("it prints UTF-8");
                let line = line.unwrap_or_else(|| panic!("it ended before it printed {wanted:?}"));
                if line.contains(wanted) {
                    return line;
                }
            }
        })
        .await
    }
}
