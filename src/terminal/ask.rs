//! Asks a person at the terminal, whatever the standard input and output are.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

fn terminal() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/tty")
}

/// Asks for a line.
///
/// # Errors
/// There is no terminal, or nobody at it any more.
pub fn line(prompt: &str) -> io::Result<String> {
    answer(&mut terminal()?, prompt)
}

/// Asks for a line that is not shown while it is typed.
///
/// # Errors
/// As [`line`].
pub fn secret(prompt: &str) -> io::Result<String> {
    let mut terminal = terminal()?;
    // Before one is asked: who types at once is not to see it either.
    let _silence = Silence::on(terminal.try_clone()?)?;
    answer(&mut terminal, prompt)
}

fn answer(terminal: &mut File, prompt: &str) -> io::Result<String> {
    terminal.write_all(prompt.as_bytes())?;
    terminal.flush()?;
    let mut line = String::new();
    // A terminal gives one line at a time: nothing of the next one is read.
    if BufReader::new(terminal).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not show what is typed, but for the end of the line; as before once this is dropped.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn on(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Now, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _gone = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
