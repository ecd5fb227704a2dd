//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use snug::server::config::{ConfigError, FILE_VARIABLE, Given, LogFormat, Settings};
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
    /// Say whether the server that these settings are of is ready for work: exit code 0, or 1.
    Health(Box<Configured>),
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
        Some(Command::Health(configured)) => configured.load().map(|settings| health(&settings)),
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
        Ok(()) => {
            println!("ready");
            ExitCode::SUCCESS
        }
        Err(error) => stop(&error),
    }
}

fn serve(settings: Settings) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return stop(&error),
    };
    log_to_stderr(settings.log_format);
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

fn log_to_stderr(format: LogFormat) {
    // `RUST_LOG` narrows or widens it, such as `RUST_LOG=snug=debug`.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,snug=info"));
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
