//! A terminal with a program in it: what stands on its screen, and keys.

use std::num::NonZeroU16;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pty_process::{Command, OwnedWritePty, Pty, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::wait::{PATIENCE, within};

/// A program in a pseudo-terminal of its own; killed when dropped.
pub struct Terminal {
    child: Child,
    keys: OwnedWritePty,
    screen: Arc<Mutex<vt100::Parser>>,
    /// All that the program has written, as it came.
    written: Arc<Mutex<Vec<u8>>>,
    changes: watch::Receiver<u64>,
    reading: JoinHandle<()>,
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cells(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).expect("a screen has cells")
}

impl Terminal {
    /// The program itself with these arguments, on a screen of so many columns and rows. Of the environment it has what is given,
    /// and the zone UTC.
    pub fn run(args: &[&str], env: &[(&str, &str)], (columns, rows): (u16, u16)) -> Self {
        let (pty, pts) = pty_process::open().expect("there is a pseudo-terminal");
        pty.resize(Size::new(rows, columns)).expect("it has a size");
        let command = Command::new(env!("CARGO_BIN_EXE_snug")).args(args).current_dir(std::env::temp_dir());
        let command = command.env_clear().env("TERM", "xterm-256color").env("TZ", "UTC").envs(env.iter().copied());
        let child = command.kill_on_drop(true).spawn(pts).expect("the program runs");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(rows), cells(columns), 0)));
        let written = Arc::new(Mutex::new(Vec::new()));
        let (changed, changes) = watch::channel(0);
        let (mut output, keys) = Pty::into_split(pty);
        let reading = tokio::spawn({
            let (screen, written) = (screen.clone(), written.clone());
            async move {
                let mut bytes = [0; 4096];
                // It ends with an error when the program has.
                while let Ok(n @ 1..) = output.read(&mut bytes).await {
                    lock(&screen).process(&bytes[..n]);
                    lock(&written).extend_from_slice(&bytes[..n]);
                    changed.send_modify(|changes| *changes += 1);
                }
            }
        });
        Self { child, keys, screen, written, changes, reading }
    }

    /// What stands on the screen now.
    #[must_use]
    pub fn shown(&self) -> String {
        lock(&self.screen).screen().contents()
    }

    /// Whether the program has the whole screen.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        lock(&self.screen).screen().alternate_screen()
    }

    /// All that the program has written, as it came.
    #[must_use]
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&lock(&self.written)).into_owned()
    }

    /// Waits until the screen is as `wanted` says; what it is then.
    pub async fn shows_that(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = tokio::time::Instant::now() + 3 * PATIENCE;
        loop {
            self.changes.borrow_and_update();
            let shown = self.shown();
            if wanted(&shown) {
                return shown;
            }
            let changed = tokio::time::timeout_at(deadline, self.changes.changed()).await;
            assert!(matches!(changed, Ok(Ok(()))) || wanted(&self.shown()), "{what} is not on the screen:\n{}", self.shown());
        }
    }

    /// Waits until this text stands on the screen.
    pub async fn shows(&mut self, text: &str) -> String {
        self.shows_that(&format!("{text:?}"), |shown| shown.contains(text)).await
    }

    /// Waits until it does not.
    pub async fn hides(&mut self, text: &str) -> String {
        self.shows_that(&format!("anything but {text:?}"), |shown| !shown.contains(text)).await
    }

    /// Presses keys: as text, or as what a terminal sends for them.
    pub async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.expect("the terminal takes keys");
    }

    /// Writes a line and sends it off.
    pub async fn enter(&mut self, line: &str) {
        self.press(&format!("{line}\r")).await;
    }

    pub fn resize(&mut self, (columns, rows): (u16, u16)) {
        lock(&self.screen).screen_mut().set_size(cells(rows), cells(columns));
        self.keys.resize(Size::new(rows, columns)).expect("a terminal can be resized");
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits for the end of the program; what is on the screen then is all that there will be.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = within(3 * PATIENCE, "the program ends", self.child.wait()).await.expect("it ran");
        within(PATIENCE, "what it wrote is read", &mut self.reading).await.expect("reading does not fail");
        status
    }
}
