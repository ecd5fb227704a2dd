//! A command of the program that does something and ends, as an operator runs it.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::wait::{PATIENCE, within};

/// What a command said, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    /// What it wrote to the standard error.
    pub error: String,
}

impl Said {
    /// What it printed. Fails when it failed.
    pub fn ok(self) -> String {
        assert!(self.code == Some(0) && self.error.is_empty(), "{self:?}");
        self.out
    }

    /// Why it failed: one line, and exit code 1. Fails when it did not.
    #[must_use]
    pub fn refusal(self) -> String {
        assert_eq!((self.code, self.out.as_str(), self.error.lines().count()), (Some(1), "", 1), "{self:?}");
        let why = self.error.trim_end().strip_prefix("snug: ");
        why.unwrap_or_else(|| panic!("it does not say who speaks: {:?}", self.error)).to_owned()
    }
}

/// Runs the program with a command, for the database in the folder `data` or at `database_url`, with `input` at its
/// standard input.
pub async fn snug(data: &Path, database_url: Option<&str>, args: &[&str], input: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snug"));
    command.args(args).current_dir(std::env::temp_dir()).env_clear().env("SNUG_DATA", data);
    command.envs(database_url.map(|url| ("DATABASE_URL", url)));
    run(command, input).await
}

/// Runs `snug chat` with this environment, `input` at its standard input, and no terminal that it could ask anything at.
pub async fn snug_chat(args: &[&str], env: &[(&str, &str)], input: &str) -> Said {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(env!("CARGO_BIN_EXE_snug")).args(args).current_dir(std::env::temp_dir());
    command.env_clear().env("TZ", "UTC").envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs(env.iter().copied());
    run(command, input).await
}

async fn run(mut command: Command, input: &str) -> Said {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = piped.spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may end without reading.
    let _unread = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = within(PATIENCE * 3, "the command ends", child.wait_with_output()).await.expect("it ran");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}
