//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use snug::server::config::{ConfigError, DatabaseUrl, FILE_VARIABLE, Given, LogFormat, Settings};
use snug::server::operator::{self, Admin, CommandError};
use snug::terminal;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A self-hosted chat of rooms.
///
/// Settings are taken from flags, then the environment, then the settings file (Leptos.toml in the working folder, if it is
/// there), then the defaults.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Configured,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the chat (what `snug` does without a command).
    Serve(Box<Configured>),
    /// Chat from a terminal, or a script, with any Snug: https://chat.example.org, or the address of one of its rooms.
    Chat(terminal::Options),
    /// Say whether the server that these settings are of is ready for work: exit code 0, or 1.
    Health(Box<Configured>),
    /// Look after accounts, logins and rooms: by the server that runs, or, where none does, in its database.
    Admin {
        #[command(flatten)]
        place: Place,
        /// Print JSON: a line for programs, instead of a text for people.
        #[arg(long, global = true)]
        json: bool,
        #[command(subcommand)]
        command: Admin,
    },
    /// Copy the database to a file, while a server runs or not, and make sure that the copy is whole. (SQLite; PostgreSQL has
    /// pg_dump.)
    Backup {
        #[command(flatten)]
        place: Place,
        /// Replace the file if it is there.
        #[arg(long)]
        force: bool,
        /// The file to make.
        file: PathBuf,
    },
    /// Make a backup the database, with no server running; what is there is kept aside. Clients start afresh.
    Restore {
        #[command(flatten)]
        place: Place,
        /// End every login: those that were ended after the backup was made are not ended in it.
        #[arg(long)]
        end_logins: bool,
        /// The file that `snug backup` made.
        file: PathBuf,
    },
    /// Say that the database was restored by other tools, such as pg_restore, with no server running: clients start afresh.
    NewEpoch {
        #[command(flatten)]
        place: Place,
    },
}

/// Where the database is.
#[derive(Args)]
struct Place {
    /// The settings file. [default: Leptos.toml, if it is there]
    #[arg(long, env = FILE_VARIABLE, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Folder for what is kept. [default: data]
    #[arg(long, env = "SNUG_DATA", global = true)]
    data: Option<PathBuf>,
    /// postgres://USER:PASSWORD@HOST/NAME or sqlite://FILE. [default: snug.db in the data folder]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<DatabaseUrl>,
}

impl Place {
    fn load(self) -> Result<Settings, ConfigError> {
        Settings::load(Given::place(self.data, self.database_url), self.config.as_deref())
    }
}

/// The settings: the same for the server and for the commands that concern it, so that both mean the same place.
#[derive(Args)]
struct Configured {
    /// The settings file. [default: Leptos.toml, if it is there]
    #[arg(long, env = FILE_VARIABLE, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => cli.serve.load().map(serve),
        Some(Command::Serve(configured)) => configured.load().map(serve),
        Some(Command::Chat(options)) => return terminal::run(&options),
        Some(Command::Health(configured)) => configured.load().map(|settings| health(&settings)),
        Some(Command::Admin { place, json, command }) => {
            place.load().map(|settings| operate(&settings, operator::run(&settings, command, json)))
        }
        Some(Command::Backup { place, force, file }) => {
            place.load().map(|settings| operate(&settings, operator::backup(&settings, &file, force)))
        }
        Some(Command::Restore { place, end_logins, file }) => {
            place.load().map(|settings| operate(&settings, operator::restore(&settings, &file, end_logins)))
        }
        Some(Command::NewEpoch { place }) => place.load().map(|settings| operate(&settings, operator::new_epoch(&settings))),
    };
    outcome.unwrap_or_else(|error| stop(&error))
}

impl Configured {
    fn load(self) -> Result<Settings, ConfigError> {
        Settings::load(self.given, self.config.as_deref())
    }
}

fn health(settings: &Settings) -> ExitCode {
    match snug::server::health::check(settings.addr) {
        Ok(said) => print(&format!("{said}\n")),
        Err(error) => stop(&error),
    }
}

/// Does what an operator wants done, and prints what came of it.
fn operate(settings: &Settings, doing: impl Future<Output = Result<String, CommandError>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return stop(&error),
    };
    log_to_stderr(settings.log_format, "error");
    match runtime.block_on(doing) {
        Ok(said) => print(&said),
        Err(error) => stop(&error),
    }
}

/// Whoever reads it may have heard enough (`| head`): that is no failure.
fn print(said: &str) -> ExitCode {
    match std::io::Write::write_all(&mut std::io::stdout(), said.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => stop(&error),
        _ => ExitCode::SUCCESS,
    }
}

fn serve(settings: Settings) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return stop(&error),
    };
    // What fails in the session store is said by who asked it, and what PostgreSQL tells each connection is in its own log.
    log_to_stderr(settings.log_format, "warn,snug=info,tower_sessions_core=off,sqlx::postgres::notice=off");
    raise_file_limit();
    runtime.block_on(run(settings))
}

/// One clear line, and exit code 1.
fn stop(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("snug: {error}");
    ExitCode::FAILURE
}

async fn run(settings: Settings) -> ExitCode {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        eprintln!("snug: signals cannot be heard");
        return ExitCode::FAILURE;
    };
    // By default the end of the process: a file that may not grow (`ulimit -f`) is to be an error like a full disk.
    let Ok(_heard) = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())) else {
        eprintln!("snug: signals cannot be heard");
        return ExitCode::FAILURE;
    };
    let running = match snug::server::start(settings).await {
        Ok(running) => running,
        Err(error) => return stop(&error),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    ExitCode::SUCCESS
}

fn log_to_stderr(format: LogFormat, usual: &str) {
    // `RUST_LOG` narrows or widens it, such as `RUST_LOG=snug=debug`.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Each connection is an open file: as many as the system lets this process have.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::info!(files = limit.current, "open files, and so connections, are limited to what the system allows"),
        Err(error) => tracing::warn!(%error, "the limit on open files stays as it is"),
    }
}
