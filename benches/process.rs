//! What Linux says of a process and of the machine.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Linux counts a process's time in hundredths of a second, on every architecture that we run on.
const TICK: Duration = Duration::from_millis(10);

/// The CPU time that a process has used, in the kernel and outside, by all its threads, ended ones too.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    cpu_of(pid).expect("the process runs")
}

/// The same of a process that may have ended.
#[must_use]
pub fn cpu_of(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it, in parentheses, may have spaces.
    let (_, fields) = stat.rsplit_once(')').expect("the form that proc(5) describes");
    let ticks: u32 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().expect("ticks")).sum();
    Some(TICK * ticks)
}

/// Memory that a process has in RAM, in bytes.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

/// The most that it ever had there, in bytes.
#[must_use]
pub fn peak_resident(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
}

/// As many files as we may have.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may be raised to the hard one");
}

/// The machine, in a few words.
#[must_use]
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cpus} × {}, Linux {}", model.trim_start_matches(['\t', ' ', ':']), kernel.trim())
}

/// What a program calls its version.
#[must_use]
pub fn version(program: &Path) -> String {
    let output = std::process::Command::new(program).arg("--version").env_clear().output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
