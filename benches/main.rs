//! What Snug costs: `cargo bench --features ssr --bench load [-- SECTION…]` measures the release program named by `SNUG_DEV_BIN`
//! (`target/release/snug`) and prints a table for each section: `fanout`, `sends`, `sockets`, `crowd`, `pages`, `history`, `start`, `hostile`; all
//! without one.
//!
//! The load comes from this process over loopback, on one thread; it shares the machine with the server, so its own CPU time is
//! in the tables. It parses no more of a frame than it counts. `--quick` takes a tenth of everything, to try the benchmarks out.

mod crowd;
mod fanout;
mod history;
mod hostile;
mod pages;
mod peer;
mod population;
#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod postgres;
mod process;
#[path = "../tests/support/program.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod program;
mod sends;
mod sockets;
mod start;
mod wire;
mod world;

use std::path::PathBuf;

/// As the server has it, since the bare peer of [`fanout`] is this program too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is measured, and how much of it.
pub struct Bench {
    pub program: PathBuf,
    pub quick: bool,
}

impl Bench {
    /// `usual`, or a tenth of it in a quick run.
    #[must_use]
    pub fn scaled(&self, usual: usize) -> usize {
        if self.quick { usual.div_ceil(10) } else { usual }
    }
}

/// A part of the benchmark, which prints its own table.
type Section = (&'static str, fn(&Bench));

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == peer::COMMAND) {
        return peer::serve();
    }
    let program = std::env::var_os("SNUG_DEV_BIN").map_or_else(|| "target/release/snug".into(), PathBuf::from);
    assert!(program.is_file(), "{} is not there: build it (`make release`), or name it in SNUG_DEV_BIN", program.display());
    let program = program.canonicalize().expect("a file has a path");
    process::raise_file_limit();
    let bench = Bench { program, quick: args.iter().any(|arg| arg == "--quick") };
    let wanted: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with("--")).collect();
    let sections: [Section; 8] = [
        ("start", start::measure),
        ("pages", pages::measure),
        ("history", history::measure),
        ("sockets", sockets::measure),
        ("crowd", crowd::measure),
        ("fanout", fanout::measure),
        ("sends", sends::measure),
        ("hostile", hostile::measure),
    ];
    if let Some(unknown) = wanted.iter().find(|name| sections.iter().all(|(section, _)| section != *name)) {
        eprintln!("there is no section {unknown}; there are {}", sections.map(|(section, _)| section).join(", "));
        std::process::exit(2);
    }
    println!("{}, {}\n", process::machine(), process::version(&bench.program));
    for (name, measure) in sections {
        if wanted.is_empty() || wanted.contains(&name) {
            eprintln!("measuring {name} …");
            measure(&bench);
        }
    }
}
